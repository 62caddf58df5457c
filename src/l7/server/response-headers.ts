// The response head on its way to the client (Envoy ConnectionManagerUtility::mutateResponseHeaders and the router's additions).
// One function for upstream and local responses, so that both carry the same server, date and route headers. HOT.

import type { ResponseHead } from '../codec/codec.js'
import type { Exchange } from './exchange.js'

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

export function finishResponseHead(exchange: Exchange, head: ResponseHead): void {
  const { runtime, info, route, choice, upstream } = exchange
  const { config } = runtime
  const headers = head.headers
  if (upstream !== null && !runtime.routerConfig.suppressEnvoyHeaders) {
    const from = info.requestReceivedAt === 0 ? info.startedAt : info.requestReceivedAt
    headers.set('X-Envoy-Upstream-Service-Time', String(Math.max(0, Math.round(info.firstUpstreamByteReceivedAt - from))))
  }
  if (route !== null) {
    route.applyResponseMutations(headers, info, choice === null ? null : choice.weighted)
    if (route.virtualHost.includeAttemptCountInResponse) headers.set('x-envoy-attempt-count', String(info.upstreamRequestAttemptCount))
  }
  if (exchange.hashCookie !== null) headers.append('Set-Cookie', exchange.hashCookie)
  if (!headers.has('date')) headers.append('Date', httpDate(Date.now()))
  switch (config.serverHeaderTransformation) {
    case 'OVERWRITE':
      headers.set('Server', config.serverName)
      break
    case 'APPEND_IF_ABSENT':
      if (!headers.has('server')) headers.append('Server', config.serverName)
      break
    case 'PASS_THROUGH':
      break
  }
  if (config.via !== '') headers.append('Via', config.via)
  if (config.alwaysSetRequestIdInResponse && info.requestId !== '') headers.set('X-Request-Id', info.requestId)
  if (info.deniedBy !== '' && runtime.explainToPeers(exchange.connection.info)) headers.set('X-Outrigger-Denied-By', info.deniedBy)
  if (exchange.connection.draining && !head.upgraded) {
    exchange.stream.closeAfter()
    runtime.stats.downstream_cx_drain_close.value++
  }
}
