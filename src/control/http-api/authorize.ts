// Asks, for every request where ACLs are on, what its token may do (permissions.ts): before the handler, and of what it answers. Added to the
// server by server.ts before its routes. Invariant: a request whose token is unknown reaches no handler, and a server with a route that the
// table does not know does not start.
import assert from 'node:assert/strict'
import type { FastifyInstance, FastifyRequest, onRequestHookHandler, preHandlerHookHandler, preSerializationHookHandler } from 'fastify'
import { Access } from '../acl/access.js'
import { notFound } from '../acl/acl-error.js'
import type { TokenJudge } from '../acl/acl-system.js'
import type { ResolvedToken } from '../acl/token-resolver.js'
import type { ApiContext, LocalContext } from './context.js'
import { permissionOf, type RoutePermission } from './permissions.js'
import { presentedToken } from './token.js'

const FILTERED = 'X-Consul-Results-Filtered-By-ACLs'
/** Asked without a token, or with one that grants nothing: bootstrap, logins, and whether the server is there. */
const WITHOUT_TOKEN = new Set(['PUT /v1/acl/bootstrap', 'POST /v1/acl/login'])

interface RouteConfig {
  /** Whoever it is forwarded to asks. */
  readonly forwarded?: boolean
  /** Nobody needs a token for it. */
  readonly isPublic?: boolean
  /** The handler reads the body itself: its permission goes by the rest. */
  readonly rawBody?: boolean
}

/** An agent answers the routes about its machine alone, whose permissions ask for nothing but that. */
export function authorizeWith(judge: TokenJudge, app: FastifyInstance, local: LocalContext): void {
  const context = local as ApiContext
  const accesses = new WeakMap<FastifyRequest, Access>()
  const admit = (request: FastifyRequest, permission: RoutePermission, resolved: ResolvedToken | undefined): void => {
    if (resolved === undefined) throw notFound()
    const access = new Access(resolved)
    permission.check?.(access, request, context)
    if (permission.filter !== undefined) accesses.set(request, access)
  }
  // No such route, or one that is forwarded, has no permission: 404 is no secret.
  app.addHook('onRoute', route => {
    const config = route.config as RouteConfig | undefined
    if (config?.forwarded === true || config?.isPublic === true) return
    /** By method, found once. */
    const permissions = new Map<string, RoutePermission>()
    for (const method of [route.method].flat()) {
      const permission = permissionOf(method, route.url)
      assert(permission, `${method} ${route.url}: no permission says who may use it`)
      if (!WITHOUT_TOKEN.has(`${method} ${route.url}`)) permissions.set(method, permission)
    }
    const ask: onRequestHookHandler & preHandlerHookHandler = (request, _reply, done) => {
      const permission = permissions.get(request.method)
      if (permission === undefined) return done()
      const resolved = judge.resolveRequest(presentedToken(request))
      if (resolved instanceof Promise) {
        resolved.then(token => admit(request, permission, token)).then(() => done(), done)
        return
      }
      admit(request, permission, resolved)
      done()
    }
    const leaveOut: preSerializationHookHandler<unknown> = (request, reply, payload, done) => {
      const access = accesses.get(request)
      if (access === undefined || reply.statusCode !== 200) return done(null, payload)
      const seen = permissions.get(request.method)!.filter!(access, payload, context)
      if (sizeOf(seen) !== sizeOf(payload)) reply.header(FILTERED, 'true')
      done(null, seen)
    }
    // A body that nobody reads yet says nothing to its permission, and may be long: it is not waited for.
    if (config?.rawBody === true) route.onRequest = [...[route.onRequest ?? []].flat(), ask]
    else route.preHandler = [ask, ...[route.preHandler ?? []].flat()]
    if ([...permissions.values()].some(({ filter }) => filter !== undefined))
      route.preSerialization = [...[route.preSerialization ?? []].flat(), leaveOut]
  })
}

function sizeOf(payload: unknown): number {
  return Array.isArray(payload) ? payload.length : typeof payload === 'object' && payload !== null ? Object.keys(payload).length : 0
}
