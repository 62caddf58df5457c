// The table of contents of the data plane: what happens to a request, step by step. The downstream connection calls
// handleRequest for each request; Exchange carries the client's side, its FilterChain runs the filters, its Router does the rest.
// docs/life-of-a-request.md uses the same names.
//
//   normalise -> authorise (filters) -> match -> split -> pick -> acquire -> send -> relay -> finish
//
// Each failure leaves through exchange.reply with an entry of local-reply.ts; everything ends in exchange.finish.

import { asksForTunnel, type RequestHead, type ServerStream } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import { isGrpcRequest } from '../grpc/grpc.js'
import { localReply } from '../reply/local-reply.js'
import { answerDirectly } from '../route/route-answers.js'
import { RequestTrace } from '../tracing/request-trace.js'
import { Exchange, type ExchangeOwner } from './exchange.js'
import type { HttpRuntime } from './http-runtime.js'
import { countRefusedTarget, normalizeTarget, prepareRequest } from './request-headers.js'

/** A request head has arrived on a downstream stream. Sets `stream.events`. */
export function handleRequest(runtime: HttpRuntime, owner: ExchangeOwner, stream: ServerStream, head: RequestHead, end: boolean): Exchange {
  const exchange = new Exchange(runtime, owner, stream, head, end, isGrpcRequest(head), null)
  stream.events = exchange
  start(exchange)
  if (runtime.overload?.refusesRequest() === true) refuseForOverload(exchange)
  else normalise(exchange, prepareRequest(exchange))
  return exchange
}

function start(exchange: Exchange): void {
  const { stats } = exchange.runtime
  stats.downstream_rq_total.value++
  stats.downstream_rq_active.value++
  if (exchange.request.version === 'HTTP/2') stats.downstream_rq_http2_total.value++
  else stats.downstream_rq_http1_total.value++
  exchange.startTimers()
}

const LOCALLY_OVERLOADED = ['x-envoy-local-overloaded', 'true'] as const

/** Before anything is done for it: neither filters nor routes have seen it. */
function refuseForOverload(exchange: Exchange): void {
  exchange.runtime.stats.downstream_rq_overload_close.value++
  exchange.info.noteFailure('this proxy is overloaded: stop_accepting_requests of its overload manager is in force')
  exchange.reply(
    localReply('overload', ''),
    exchange.runtime.config.appendLocalOverload === true ? HeaderList.of(LOCALLY_OVERLOADED) : null,
  )
}

/** An internal redirect: `head` follows on the stream of `previous`, past filters and routes once more. What it says of the client stays. */
export function handleRedirected(previous: Exchange, head: RequestHead, dropBody: boolean): void {
  const { runtime, owner, stream } = previous
  const exchange = new Exchange(runtime, owner, stream, head, true, isGrpcRequest(head), previous)
  exchange.succeed(previous, dropBody)
  previous.finish()
  stream.events = exchange
  owner.onExchange(exchange)
  start(exchange)
  normalise(exchange, normalizeTarget(exchange))
}

/** Make the head what routing and authorisation may trust: version, host, path, trust headers, request id, XFCC. */
function normalise(exchange: Exchange, refused: ReturnType<typeof prepareRequest>): void {
  if (refused !== null) {
    countRefusedTarget(exchange.runtime.stats, refused)
    if ('redirect' in refused) answerDirectly(exchange, 307, '', 'path_normalization_redirect', [['location', refused.redirect]])
    else {
      // What follows an invalid head on this connection cannot be trusted to be a new message.
      if ((refused.status === 400 || refused.status === 426) && exchange.stream.version !== 'HTTP/2') exchange.stream.closeAfter()
      exchange.reply(refused)
    }
    return
  }
  // The route is matched before the filters, which look at its overrides, and again where a filter asks for it.
  exchange.matchRoute()
  const { request, runtime } = exchange
  if (runtime.tracing !== null) exchange.info.trace = new RequestTrace(runtime.tracing, request, exchange.info, exchange.route)
  // A CONNECT that no route takes is a 404 like any other request.
  if (asksForTunnel(request) && (request.method !== 'CONNECT' || exchange.route !== null)) {
    if (!upgradeAllowed(exchange)) {
      runtime.stats.downstream_rq_ws_on_non_ws_route.value++
      exchange.reply(localReply('upgrade-failed', ''))
      return
    }
    exchange.countUpgrade()
  }
  authorise(exchange)
}

/** The filters, in config order: RBAC, JWT, rate limits … Each may answer; the last of them hands on to Router.forwardRequest. */
function authorise(exchange: Exchange): void {
  exchange.runFilters()
}

/** upgrade_configs of the connection manager, overridden by the route's. */
function upgradeAllowed(exchange: Exchange): boolean {
  const { request, runtime } = exchange
  const { forward } = exchange.router
  const type = request.method === 'CONNECT' && request.upgrade === '' ? 'connect' : request.upgrade
  // Answers that do not forward (direct response, redirect) and unknown routes take the normal way.
  const forRoute = forward?.upgrades.find(upgrade => upgrade.upgradeType === type)
  if (forRoute !== undefined) return forRoute.enabled
  return runtime.config.upgrades.some(upgrade => upgrade.upgradeType === type && upgrade.enabled)
}
