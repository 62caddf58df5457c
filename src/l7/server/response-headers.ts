// The response head on its way to the client, in two steps, for upstream and local responses alike. What the router and the route add, which the
// filters see; and, behind the filters, what the connection manager does (Envoy ConnectionManagerUtility::mutateResponseHeaders). HOT.

import { eventDate } from '../../io/event-clock.js'
import type { ResponseHead, ServerStream } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { dropReasons, tellDenial, tellFailure } from '../reply/peer-reason.js'
import type { ClusterChoice, CompiledRoute } from '../route/compiled-route.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { HttpRuntime } from './http-runtime.js'

/** The request that is answered. */
export interface AnsweredRequest {
  readonly runtime: HttpRuntime
  readonly info: StreamInfo
  readonly stream: Pick<ServerStream, 'closeAfter'>
  readonly owner: { readonly draining: boolean }
  readonly router: {
    readonly route: CompiledRoute | null
    readonly choice: ClusterChoice | null
    /** The try that the response comes from; null: it is our own. */
    readonly upstream: object | null
    readonly hashCookie: string | null
  }
}

/** Answers of the connection manager, not of the router: they do not say how often it tried. */
const STREAM_TIMEOUTS = new Set(['stream_idle_timeout', 'max_duration_timeout', 'request_overall_timeout'])

let dateText = ''
let dateSecond = 0

/** IMF-fixdate of now, computed once a second. */
export function httpDate(nowMs: number): string {
  const second = Math.floor(nowMs / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = new Date(second * 1000).toUTCString()
  }
  return dateText
}

/** One list, whoever passed the message on before (RFC 9110 §7.6.3). */
export function appendVia(headers: HeaderList, via: string): void {
  const before = headers.getJoined('via')
  if (before === undefined) headers.append('via', via)
  else headers.set(headers.raw[headers.indexOf('via')]!, `${before}, ${via}`)
}

/** Of an upstream's response. HOT. */
export function routeUpstreamHead(request: AnsweredRequest, headers: HeaderList): void {
  const { runtime, info } = request
  if (info.responseCodeDetails === '') info.responseCodeDetails = 'via_upstream'
  // It runs from the end of the request: an answer that came before, as every tunnel's does, has none.
  if (info.requestReceivedAt !== 0 && !runtime.routerConfig.suppressEnvoyHeaders) {
    const ms = Math.max(0, Math.round(info.firstUpstreamByteReceivedAt - info.requestReceivedAt))
    headers.setLower('x-envoy-upstream-service-time', String(ms))
  }
  addRouteHeaders(request, headers)
}

/** HOT. */
export function addRouteHeaders({ info, router }: AnsweredRequest, headers: HeaderList): void {
  const { route, choice } = router
  if (route === null) return
  route.applyResponseMutations(headers, info, choice === null ? null : choice.weighted)
  if (
    route.virtualHost.includeAttemptCountInResponse &&
    info.upstreamRequestAttemptCount > 0 &&
    !STREAM_TIMEOUTS.has(info.responseCodeDetails)
  )
    headers.set('x-envoy-attempt-count', String(info.upstreamRequestAttemptCount))
}

/** HOT. */
export function finishResponseHead(request: AnsweredRequest, head: ResponseHead): void {
  const { runtime, info } = request
  const { upstream, hashCookie } = request.router
  const { config } = runtime
  const headers = head.headers
  if (hashCookie !== null) headers.append('set-cookie', hashCookie)
  if (!headers.has('date')) headers.appendLower('date', httpDate(eventDate()))
  switch (config.serverHeaderTransformation) {
    case 'OVERWRITE':
      headers.setLower('server', config.serverName)
      break
    case 'APPEND_IF_ABSENT':
      if (!headers.has('server')) headers.appendLower('server', config.serverName)
      break
    case 'PASS_THROUGH':
      break
  }
  if (config.via !== '') appendVia(headers, config.via)
  if (info.trace !== null) info.trace.onResponseHead(headers)
  if (config.alwaysSetRequestIdInResponse && info.requestId !== '') headers.set('x-request-id', info.requestId)
  // What the callee's sidecar told us is for the mesh, and for the application beside us: not for who comes in by a gateway.
  if (upstream !== null && head.status >= 400 && !runtime.explainsTo(info.connection)) dropReasons(headers)
  if (info.failure !== '' && upstream === null && runtime.explainToPeers(info.connection)) tellFailure(headers, info.failure)
  if (info.deniedBy !== '' && runtime.explainToPeers(info.connection)) tellDenial(headers, info.deniedBy)
  if (request.owner.draining && !head.upgraded) {
    request.stream.closeAfter()
    runtime.stats.downstream_cx_drain_close.value++
  }
}
