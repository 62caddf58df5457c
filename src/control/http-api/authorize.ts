// Asks, for every request where ACLs are on, what its token may do (permissions.ts): before the handler, and of what it answers. Added to the
// server by server.ts before its routes. Invariant: a request whose token is unknown reaches no handler, and a server with a route that the
// table does not know does not start.
import assert from 'node:assert/strict'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Access } from '../acl/access.js'
import { notFound } from '../acl/acl-error.js'
import type { TokenJudge } from '../acl/acl-system.js'
import type { ApiContext, LocalContext } from './context.js'
import { permissionOf } from './permissions.js'
import { presentedToken } from './token.js'

const FILTERED = 'X-Consul-Results-Filtered-By-ACLs'
/** Asked without a token, or with one that grants nothing: bootstrap, logins, and whether the server is there. */
const WITHOUT_TOKEN = new Set(['PUT /v1/acl/bootstrap', 'POST /v1/acl/login'])

/** An agent answers the routes about its machine alone, whose permissions ask for nothing but that. */
export function authorizeWith(judge: TokenJudge, app: FastifyInstance, local: LocalContext): void {
  const context = local as ApiContext
  const accesses = new WeakMap<FastifyRequest, Access>()
  app.addHook('onRoute', ({ method, url, config }) => {
    if (isForwarded(config)) return
    for (const each of [method].flat()) assert(permissionOf(each, url), `${each} ${url}: no permission says who may use it`)
  })
  app.addHook('preHandler', async request => {
    const { method, routeOptions } = request
    const { url } = routeOptions
    // No such route: 404 is no secret.
    if (url === undefined || WITHOUT_TOKEN.has(`${method} ${url}`) || isForwarded(routeOptions.config)) return
    const resolved = await judge.resolveRequest(presentedToken(request))
    if (resolved === undefined) throw notFound()
    const permission = permissionOf(method, url)!
    const access = new Access(resolved)
    permission.check?.(access, request, context)
    if (permission.filter !== undefined) accesses.set(request, access)
  })
  app.addHook('preSerialization', async (request, reply, payload) => {
    const access = accesses.get(request)
    if (access === undefined || reply.statusCode !== 200) return payload
    const seen = permissionOf(request.method, request.routeOptions.url!)!.filter!(access, payload, context)
    if (sizeOf(seen) !== sizeOf(payload)) reply.header(FILTERED, 'true')
    return seen
  })
}

/** Whoever it is forwarded to asks. */
function isForwarded(config: unknown): boolean {
  return (config as { readonly forwarded?: boolean } | undefined)?.forwarded === true
}

function sizeOf(payload: unknown): number {
  return Array.isArray(payload) ? payload.length : typeof payload === 'object' && payload !== null ? Object.keys(payload).length : 0
}
