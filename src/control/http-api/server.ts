// The HTTP API as one fastify instance: parsing, authentication, errors; the routes are in the files beside. Made by `ControlPlane`; the
// agents of other machines make theirs with the same frame (`newHttpApi`).
// JSON is read whatever the content type says, as Consul does. With a token configured every request needs it; without one the API is
// for this machine only, and then a Host that is no address of it is refused (a web page could have its name point here).
import { isIP } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { aclRoutes } from './acl.js'
import { agentRoutes } from './agent.js'
import { agentProcessRoutes } from './agent-process.js'
import { agentSelfRoutes } from './agent-self.js'
import { agentsRoutes } from './agents.js'
import { auditWrites } from './audit-hook.js'
import { authorizeWith } from './authorize.js'
import { autopilotRoutes } from './autopilot.js'
import { backupRoutes } from './backups.js'
import { catalogHealthRoutes } from './catalog-health.js'
import { catalogRegistrationRoutes } from './catalog-registration.js'
import { checkCommonParameters } from './common-parameters.js'
import { configRoutes } from './config.js'
import { connectRoutes } from './connect.js'
import { consistentReads } from './consistency.js'
import { consoleApiRoutes } from './console-api.js'
import type { ApiContext } from './context.js'
import { eventRoutes } from './event.js'
import { applyHttpConfig } from './http-config.js'
import { indentJson } from './indent-json.js'
import { intentionRoutes } from './intentions.js'
import { internalRoutes } from './internal-ui.js'
import { kvRoutes } from './kv.js'
import { refuseMissingNames } from './missing-names.js'
import { operatorRoutes } from './operator.js'
import { outriggerRoutes } from './outrigger.js'
import { peeringRoutes } from './peering.js'
import { planRoutes } from './plan.js'
import { queryRoutes } from './query.js'
import { refusedRoutes } from './refused.js'
import { HttpError, query } from './respond.js'
import { rolloutRoutes } from './rollouts.js'
import { sessionRoutes } from './session.js'
import { snapshotRoutes } from './snapshot.js'
import { spiffeRoutes } from './spiffe.js'
import { StreamedAnswers } from './streamed-answers.js'
import { requireToken } from './token.js'
import { trafficRoutes } from './traffic.js'
import { txnRoutes } from './txn.js'
import { consoleRoutes, isPublic, readablePath } from './ui/console-routes.js'

/** Largest body: a service definition or config entry. */
const MAX_BODY_BYTES = 1024 * 1024
/** What walks a body later (validation, storing, printing) recurses. */
const MAX_JSON_DEPTH = 100
const MAX_PARAM_CHARS = 512
const REQUEST_TIMEOUT_MS = 30_000

export function buildHttpApi(context: ApiContext): FastifyInstance {
  const localHosts = new LocalHosts()
  const defaultPolicy = context.acl?.defaultPolicy ?? 'allow'
  const app = newHttpApi((request, reply) => {
    reply.header('X-Consul-Default-ACL-Policy', defaultPolicy)
    if (context.loopbackOnly && !context.tokenRequired) localHosts.require(request)
    requireToken(context.authorizer, request, isPublic)
    checkCommonParameters(request, context.node)
  })
  applyHttpConfig(app, context.httpConfig)
  const streams = new StreamedAnswers()
  if (context.store.isShared) consistentReads(app, context)
  auditWrites(app, context)
  if (context.acl !== undefined) authorizeWith(context.acl, app, context)
  aclRoutes(app, context)
  agentRoutes(app, context)
  agentProcessRoutes(app, context, streams)
  agentSelfRoutes(app, context, streams)
  agentsRoutes(app, context)
  catalogHealthRoutes(app, context)
  catalogRegistrationRoutes(app, context)
  configRoutes(app, context)
  connectRoutes(app, context)
  intentionRoutes(app, context)
  eventRoutes(app, context)
  kvRoutes(app, context)
  internalRoutes(app, context)
  operatorRoutes(app, context)
  autopilotRoutes(app, context)
  snapshotRoutes(app, context)
  backupRoutes(app, context)
  peeringRoutes(app, context)
  queryRoutes(app, context)
  sessionRoutes(app, context)
  refusedRoutes(app)
  txnRoutes(app, context)
  outriggerRoutes(app, context)
  rolloutRoutes(app, context)
  spiffeRoutes(app, context)
  consoleApiRoutes(app, context)
  consoleRoutes(app, context.consoleFolder)
  planRoutes(app, context)
  trafficRoutes(app, context)
  return app
}

/** The frame without routes. `admit` is asked first of every request, and throws what it refuses. */
export function newHttpApi(admit: (request: FastifyRequest, reply: FastifyReply) => void): FastifyInstance {
  const app = Fastify({
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: MAX_PARAM_CHARS },
    rewriteUrl: ({ url }) => readablePath(url!),
    // What comes before any route: a path that can't be decoded, or is too long.
    frameworkErrors: (error, _request, reply) => plainError(reply, error.statusCode ?? 400, error.message),
  })
  refuseMissingNames(app)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, bytes, done) => {
    // Of a path or method that there is not, nobody reads the body: it is not what is wrong.
    if (bytes.length === 0 || request.is404) return done(null, undefined)
    if ((request.routeOptions.config as { readonly rawBody?: boolean }).rawBody === true) return done(null, bytes)
    const body = bytes.toString('utf8')
    if (isDeeperThan(body, MAX_JSON_DEPTH)) return done(new HttpError(400, 'Request decode failed: nested too deeply'))
    try {
      done(null, JSON.parse(body))
    } catch (error) {
      done(new HttpError(400, `Request decode failed: ${(error as Error).message}`))
    }
  })
  // Hooks with a callback cost an answer no turns of promises; what they throw is answered all the same.
  app.addHook('onRequest', (request, reply, done) => {
    admit(request, reply)
    done()
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    const isIndented = typeof payload === 'string' && payload !== '' && query(request, 'pretty') !== undefined
    done(null, isIndented && String(reply.getHeader('content-type')).startsWith('application/json') ? indentJson(payload) : payload)
  })
  app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) =>
    plainError(reply, error.statusCode ?? 500, error.message),
  )
  app.setNotFoundHandler((request, reply) => {
    const known = ['GET', 'PUT', 'POST', 'DELETE'].filter(method => app.findRoute({ method, url: request.url.split('?')[0]! }))
    if (known.length > 0 && request.method === 'OPTIONS') return reply.header('Allow', ['OPTIONS', ...known].join(',')).send()
    if (known.length > 0)
      return reply.code(405).header('Allow', known.join(',')).type('text/plain; charset=utf-8').send(`method ${request.method} not allowed`)
    return reply.code(404).type('text/plain; charset=utf-8').send('Invalid URL path: not a recognized HTTP API endpoint')
  })
  return app
}

function plainError(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).type('text/plain; charset=utf-8').send(message)
}

/** Whether JSON text nests deeper than `depth`; text that is no JSON may give either answer. */
function isDeeperThan(text: string, depth: number): boolean {
  let open = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (quoted) {
      if (c === 0x5c) i++
      else if (c === 0x22) quoted = false
    } else if (c === 0x22) quoted = true
    else if (c === 0x7b || c === 0x5b) {
      if (++open > depth) return true
    } else if (c === 0x7d || c === 0x5d) open--
  }
  return false
}

/** Throws for a Host that is no name of this machine: a web page could have its name point here. */
export class LocalHosts {
  /** Clients say the same name again and again. */
  private last: string | undefined

  require({ headers: { host } }: FastifyRequest): void {
    if (host !== undefined && host === this.last) return
    if (!isLocalHost(host)) throw new HttpError(403, `this API is served to this machine only, and ${host} is not one of its names`)
    this.last = host
  }
}

function isLocalHost(host: string | undefined): boolean {
  if (host === undefined) return false
  const name = host.replace(/:\d{1,5}$/, '').replace(/^\[|\]$/g, '')
  return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')
}
