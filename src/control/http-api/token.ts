// The token of an HTTP request, and what the `Authorizer` says to it. Called by server.ts before every route, and by routes that pass the
// caller's own token on.
import type { FastifyRequest } from 'fastify'
import type { Authorizer } from '../acl/authorizer.js'
import { HttpError, query } from './respond.js'

/** From the places where Consul's clients put it, the first one that has it: `?token=`, `X-Consul-Token`, `Authorization: Bearer`. */
export function presentedToken(request: FastifyRequest): string | undefined {
  const asked = query(request, 'token')
  if (asked !== undefined && asked !== '') return asked
  const header = request.headers['x-consul-token']
  if (typeof header === 'string' && header !== '') return header
  const { authorization } = request.headers
  const bearer = authorization === undefined ? null : /^Bearer (.+)$/i.exec(authorization)
  return bearer?.[1]?.trim()
}

/** Throws Consul's 403 to whoever may not use the API; what `isPublic` is served to everybody. */
export function requireToken(authorizer: Authorizer, request: FastifyRequest, isPublic: (request: FastifyRequest) => boolean): void {
  if (authorizer.verdict('http', presentedToken(request)) === 'allowed' || isPublic(request)) return
  throw new HttpError(403, 'Permission denied')
}
