// Tells the audit log of every request that changes something, or tried to: after its answer, with the accessor of its token. Added to the
// server by server.ts before its routes, and to those routes alone that change something: reads pay nothing for it.
// What it writes down of a request is its path and a few names out of its body, never a value, a query or a secret.
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler, onResponseHookHandler } from 'fastify'
import type { AuditOutcome } from '../audit/audit-log.js'
import type { ApiContext } from './context.js'
import { routeKey } from './permissions.js'
import { query } from './respond.js'
import { presentedToken } from './token.js'

/** Requests that write and change nothing that anybody looks after: heartbeats, questions with a body, previews. */
const NO_CHANGES =
  /^PUT \/v1\/(agent\/check\/(pass|warn|fail|update)\/|session\/renew\/|outrigger\/agents\/lease|coordinate\/|outrigger\/(intentions\/preview|config-entries\/check|plan))|^POST \/v1\/(outrigger\/dns|discovery-chain\/|agent\/connect\/authorize|acl\/templated-policy\/preview)|^\w+ \/v1\/internal\/acl\/authorize|^\w+ \/v1\/query\/:x\/execute/

/** Route -> area; the first that fits. */
const AREAS: readonly (readonly [RegExp, string])[] = [
  [/\/v1\/connect\/intentions/, 'intentions'],
  [/\/v1\/(config|outrigger\/config-entries)/, 'config'],
  [/\/v1\/(agent\/service|agent\/check|agent\/maintenance|catalog)/, 'services'],
  [/\/v1\/(connect\/ca|outrigger\/ca)/, 'ca'],
  [/\/v1\/(acl|agent\/token)/, 'acl'],
  [/\/v1\/(kv|txn)/, 'kv'],
  [/\/v1\/(session|query|event)/, 'coordination'],
  [/\/v1\/outrigger\/rollout/, 'rollouts'],
  [/\/v1\/peering/, 'peering'],
  [/\/v1\/outrigger\/backup/, 'backups'],
]

const accessors = new WeakMap<FastifyRequest, { readonly id: string; readonly name: string }>()

export function auditWrites(app: FastifyInstance, context: ApiContext): void {
  const { acl, audit } = context
  // Before the handler: a token may end itself.
  const noteToken = (request: FastifyRequest): void => {
    const token = acl?.resolveRequest(presentedToken(request))
    if (token !== undefined)
      accessors.set(request, { id: token.accessorId, name: token.token?.Description || token.token?.Policies[0]?.Name || '' })
  }
  const record = (request: FastifyRequest, reply: FastifyReply): void => {
    const outcome = outcomeOf(reply)
    if (outcome === undefined) return
    const { id = '', name = '' } = accessors.get(request) ?? {}
    const { area, subject } = described(request)
    audit.add({ area, action: request.method, subject, outcome, by: id, byName: name, from: request.socket.remoteAddress ?? '' })
  }
  app.addHook('onRoute', route => {
    const changes = new Set([route.method].flat().filter(method => isChange(method, route.url)))
    if (changes.size === 0) return
    const before: onRequestHookHandler = (request, _reply, done) => {
      if (changes.has(request.method)) noteToken(request)
      done()
    }
    const after: onResponseHookHandler = (request, reply, done) => {
      if (changes.has(request.method)) record(request, reply)
      done()
    }
    route.onRequest = [before, ...[route.onRequest ?? []].flat()]
    route.onResponse = [...[route.onResponse ?? []].flat(), after]
  })
}

function isChange(method: string, url: string): boolean {
  return method !== 'GET' && method !== 'HEAD' && !NO_CHANGES.test(routeKey(method, url))
}

/** Undefined: there was nothing to change. */
function outcomeOf({ statusCode }: FastifyReply): AuditOutcome | undefined {
  if (statusCode < 400) return 'done'
  if (statusCode === 401 || statusCode === 403) return 'denied'
  if (statusCode === 404 || statusCode === 405) return undefined
  return statusCode < 500 ? 'refused' : 'failed'
}

function described(request: FastifyRequest): { readonly area: string; readonly subject: string } {
  const path = decoded(request.url.split('?')[0]!)
  const area = AREAS.find(([pattern]) => pattern.test(path))?.[1] ?? 'operation'
  if (area === 'intentions') {
    const pair = [
      query(request, 'source') ?? named(request.body, 'SourceName'),
      query(request, 'destination') ?? named(request.body, 'DestinationName'),
    ]
    if (pair.every(name => name !== '')) return { area, subject: pair.join(' → ') }
  }
  if (area === 'config') {
    const entries = Array.isArray(request.body) ? request.body : [request.body]
    const names = entries.map(entry => `${named(entry, 'Kind')}/${named(entry, 'Name')}`).filter(name => name !== '/')
    if (names.length > 0) return { area, subject: names.join(', ') }
  }
  const name = named(request.body, 'Name') || named(request.body, 'Service') || named(request.body, 'Description')
  const subject = path.replace(/^\/v1\/(outrigger\/)?/, '')
  return { area, subject: name === '' || subject.endsWith(name) ? subject : `${subject}: ${name}` }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** A field of a body, in Consul's spellings; '' where it is no text. */
function named(body: unknown, name: string): string {
  if (typeof body !== 'object' || body === null || body instanceof Uint8Array) return ''
  const wanted = name.toLowerCase()
  const value = Object.entries(body).find(([key]) => key.replaceAll('_', '').toLowerCase() === wanted)?.[1]
  return typeof value === 'string' ? value : ''
}
