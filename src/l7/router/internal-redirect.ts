// internal_redirect_policy: a redirect that the upstream answers is followed here, as a new request on the same downstream stream,
// instead of being passed on. Called by the router once a response head is not retried. What stands in the way is counted and leaves
// everything as it was: the redirect then goes to the client (Envoy Filter::setupRedirect).

import type { RouterHandles } from '../../metrics/stat-names.js'
import type { InternalRedirectPolicy, InternalRedirectPredicate } from '../../model/route.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { CompiledForward, CompiledRoute } from '../route/compiled-route.js'
import { parseTarget } from '../route/redirect-target.js'
import type { RouteSource } from '../route/route-holder.js'
import type { HeldBody } from '../stream/held-body.js'
import type { StreamInfo } from '../stream/stream-info.js'

/** What the requests of one downstream request know of its redirects so far. */
export class RedirectTrail {
  count = 0
  /** By the name of a route: where redirects from it have pointed to. At most max_internal_redirects entries, and one a refusal. */
  readonly visited: Map<string, Set<string>> = new Map()
}

/** The request that was answered with a redirect. */
export interface RedirectedRequest {
  readonly request: RequestHead
  readonly info: StreamInfo
  readonly route: CompiledRoute | null
  readonly runtime: {
    readonly router: RouterHandles
    readonly routes: RouteSource
    readonly random: () => number
  }
}

/** The same with what it takes to follow the redirect. Router implements it. */
export interface RedirectingRequest extends RedirectedRequest {
  readonly forward: CompiledForward | null
  readonly cluster: UpstreamCluster | null
  readonly body: HeldBody
  readonly tunnel: boolean
  redirects: RedirectTrail | null
}

/** The head of the next request, with this one's outcome noted and counted; null: the response goes to the client. */
export function followRedirect(of: RedirectingRequest, head: ResponseHead): RequestHead | null {
  const policy = of.forward!.model.internalRedirect
  if (policy === null || !policy.statuses.includes(head.status)) return null
  const { info, body } = of
  const stats = of.cluster!.traffic.main
  let next: RequestHead | null = null
  // A body that is not complete, or was too long to keep, cannot be sent again.
  if (body.complete && body.replayable && !of.tunnel) {
    of.redirects ??= new RedirectTrail()
    next = redirectedHead(of, policy, head, of.redirects)
  }
  if (next === null) {
    stats.upstream_internal_redirect_failed_total.value++
    return null
  }
  stats.upstream_internal_redirect_succeeded_total.value++
  of.redirects!.count++
  // As in Envoy, the log line of this leg shows the head that its redirect led to.
  info.request = next
  info.response = head
  info.responseCode = head.status
  info.responseCodeDetails = 'internal_redirect'
  return next
}

/** The head of the next request, or null. Nothing is changed but what previous_routes remembers. */
export function redirectedHead(
  of: RedirectedRequest,
  policy: InternalRedirectPolicy,
  head: ResponseHead,
  trail: RedirectTrail,
): RequestHead | null {
  const { request, info, route } = of
  const { router, routes, random } = of.runtime
  const location = head.headers.get('location')
  if (location === undefined) return null
  const target = parseTarget(location)
  if (target === null) {
    router.passthrough_internal_redirect_bad_location.value++
    return null
  }
  const https = request.scheme !== 'http' && info.connection.tls !== null
  const toHttps = target.scheme !== 'http'
  if (!policy.allowCrossScheme && https !== toHttps) {
    router.passthrough_internal_redirect_unsafe_scheme.value++
    return null
  }
  if (trail.count >= policy.maxRedirects) {
    router.passthrough_internal_redirect_too_many_redirects.value++
    return null
  }
  const next: RequestHead = { ...request, ...target, headers: request.headers.clone(), expectContinue: false }
  copyHeaders(policy, head, next)
  const match = routes.tableFor(next).match(next, info, random)
  if (match.kind !== 'route') {
    router.passthrough_internal_redirect_no_route.value++
    return null
  }
  const from = route === null ? '' : route.model.name
  const to = match.route.model.name
  if (!policy.predicates.every(predicate => accepts(predicate, trail, from, to, https, toHttps))) {
    router.passthrough_internal_redirect_predicate.value++
    return null
  }
  if (seesOther(request, head)) {
    next.method = 'GET'
    next.contentLength = 0
    next.headers.remove('content-length')
  }
  next.headers.set('x-envoy-original-url', `${https ? 'https' : 'http'}://${request.authority}${request.path}`)
  return next
}

/** 303 turns every method but GET and HEAD into a GET without a body (RFC 9110 §15.4.4). */
export function seesOther(request: RequestHead, head: ResponseHead): boolean {
  return head.status === 303 && request.method !== 'GET' && request.method !== 'HEAD'
}

/** response_headers_to_copy: those that the redirect lacks are taken off the request. */
function copyHeaders(policy: InternalRedirectPolicy, head: ResponseHead, next: RequestHead): void {
  for (const name of policy.responseHeadersToCopy) {
    next.headers.remove(name)
    for (const value of head.headers.getAll(name)) next.headers.append(name, value)
  }
}

/** `from` and `to`: names of routes. */
function accepts(
  predicate: InternalRedirectPredicate,
  trail: RedirectTrail,
  from: string,
  to: string,
  https: boolean,
  toHttps: boolean,
): boolean {
  switch (predicate.kind) {
    case 'safeCrossScheme':
      return https || !toHttps
    case 'allowListedRoutes':
      return predicate.routeNames.includes(to)
    case 'previousRoutes': {
      const seen = trail.visited.get(from) ?? new Set()
      trail.visited.set(from, seen)
      const fresh = !seen.has(to)
      seen.add(to)
      return fresh
    }
  }
}
