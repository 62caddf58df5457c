// What the router does with the outcome of a try: retry, hedge, or let it through. The decisions are the compiled retry policy's
// (retry-policy.ts); the counting towards outlier detection and the circuit breakers happens here, once per try.

import type { UpstreamFailure, UpstreamRequest } from '../client/upstream-request.js'
import type { ResponseHead, StreamReset } from '../codec/codec.js'
import { grpcStatusOf } from '../grpc/grpc.js'
import { type LocalReply, type LocalReplyCode, localReply } from '../reply/local-reply.js'
import type { Exchange } from '../server/exchange.js'
import { sendToCluster } from '../server/request-path.js'
import { ResponseFlag } from '../stream/response-flags.js'

/** Count the head towards host health, and retry if the policy says so. True when the response is swallowed. */
export function wantsRetryOnHead(exchange: Exchange, upstream: UpstreamRequest, head: ResponseHead, end: boolean): boolean {
  const { host } = upstream
  const grpcStatus = exchange.isGrpc ? grpcStatusOf(head.headers) : -1
  host.cluster.recordResponse(host, grpcStatus > 0 ? grpcHttpStatus(grpcStatus) : head.status)
  chargeResponse(exchange, upstream, head)
  const { retry } = exchange
  if (retry === null) return false
  if (!retry.wantsRetryOnResponse(head, grpcStatus)) {
    retry.succeeded(head.status)
    return false
  }
  if (!exchange.replayable) return false
  if (!retry.take()) {
    if (retry.limitReached) exchange.info.responseFlags |= ResponseFlag.UpstreamRetryLimitExceeded
    else if (retry.overflowed) exchange.info.responseFlags |= ResponseFlag.UpstreamOverflow
    return false
  }
  drop(exchange, upstream)
  if (!end) upstream.cancel()
  retry.schedule(head, () => again(exchange))
  return true
}

/** gRPC statuses that speak against the host count as the HTTP status they map to (Envoy: outlier detection of gRPC). */
function grpcHttpStatus(grpcStatus: number): number {
  switch (grpcStatus) {
    case 4:
      return 504
    case 14:
      return 503
    case 2:
    case 13:
    case 15:
      return 500
    default:
      return 200
  }
}

function chargeResponse(exchange: Exchange, upstream: UpstreamRequest, head: ResponseHead): void {
  const { host } = upstream
  if (head.status >= 500) host.stats.rqError++
  else host.stats.rqSuccess++
  const { traffic } = host.cluster
  traffic.chargeResponse(head.status, false)
  const { cluster } = exchange
  // An aggregate is charged beside the cluster that served.
  if (cluster !== null && cluster !== host.cluster) cluster.traffic.chargeResponse(head.status, false)
}

/** A try failed before its response ended. */
export function onUpstreamFailure(exchange: Exchange, upstream: UpstreamRequest, failure: UpstreamFailure): void {
  const { retry, info } = exchange
  const { host } = upstream
  switch (failure.kind) {
    case 'connect-failure':
      host.cluster.recordConnectFailure(host)
      info.upstreamTransportFailureReason = failure.why
      break
    case 'connect-timeout':
      host.cluster.recordConnectFailure(host)
      break
    case 'reset':
      if (!exchange.ended) host.cluster.recordReset(host)
      host.stats.rqError++
      break
    case 'per-try-timeout':
    case 'per-try-idle-timeout':
      if (failure.kind === 'per-try-timeout') host.cluster.traffic.main.upstream_rq_per_try_timeout.value++
      else host.cluster.traffic.main.upstream_rq_per_try_idle_timeout.value++
      host.cluster.recordTimeout(host)
      break
    case 'overflow':
      break
  }
  // A request that was not let into the queue has no host (Envoy: onPoolFailure without one).
  if (failure.kind !== 'overflow' || !failure.why.startsWith('max_pending')) info.upstreamHost = host
  if (upstream.responseStarted && exchange.headSent) {
    exchange.runtime.router.rq_reset_after_downstream_response_started.value++
    const reset = failure.kind === 'reset' ? failure.reset : null
    exchange.abort(flagOf(failure), reset === null ? '' : `upstream_reset_after_response_started{${resetReason(reset)}}`)
    return
  }
  const timedOut = failure.kind === 'per-try-timeout' || failure.kind === 'per-try-idle-timeout'
  const hedging = timedOut && retry?.hedgeOnPerTryTimeout
  if (exchange.replayable && retryAllowed(exchange, upstream, failure)) {
    if (!hedging) {
      drop(exchange, upstream)
      upstream.cancel()
    }
    if (retry !== null) retry.schedule(null, () => again(exchange))
    else again(exchange)
    return
  }
  if (hedging && exchange.attempts.some(attempt => attempt !== upstream || !attempt.done)) return
  drop(exchange, upstream)
  upstream.cancel()
  if (exchange.attempts.length > 0) return
  if (retry?.limitReached) info.responseFlags |= ResponseFlag.UpstreamRetryLimitExceeded
  else if (retry?.overflowed) info.responseFlags |= ResponseFlag.UpstreamOverflow
  const reply = replyFor(failure)
  host.cluster.traffic.chargeResponse(reply.status, false)
  exchange.reply(
    upstream.attempt > 1 ? { ...reply, body: reply.body.replace(RESET_REASON, `retried and the latest ${RESET_REASON}`) } : reply,
  )
}

const RESET_REASON = 'reset reason: '

/** The request may go again: refused or never sent (once by itself), or the policy says so and the budget has room. */
function retryAllowed(exchange: Exchange, upstream: UpstreamRequest, failure: UpstreamFailure): boolean {
  const { retry } = exchange
  if (failure.kind === 'reset' && exchange.freeRetries < MAX_FREE_RETRIES && neverProcessed(failure)) {
    exchange.freeRetries++
    upstream.host.cluster.traffic.scope.counter('upstream_rq_reuse_race_retry').value++
    return true
  }
  if (retry === null) return false
  return retry.wantsRetryOnFailure(failure, upstream) && retry.take()
}

/** Tries that cost the retry policy nothing, because the server cannot have seen the request. */
const MAX_FREE_RETRIES = 3

function neverProcessed(failure: UpstreamFailure & { kind: 'reset' }): boolean {
  return failure.reset.code === 'refused' || failure.reset.details === 'nothing_sent'
}

function again(exchange: Exchange): void {
  if (exchange.ended) return
  const { retry } = exchange
  if (retry !== null && exchange.forward !== null && retry.repickSplit) retry.repick(exchange)
  sendToCluster(exchange, retry?.hash ?? null)
}

function drop(exchange: Exchange, upstream: UpstreamRequest): void {
  const index = exchange.attempts.indexOf(upstream)
  if (index !== -1) exchange.attempts.splice(index, 1)
  if (exchange.upstream === upstream) exchange.upstream = null
}

function resetReason(reset: StreamReset): string {
  switch (reset.code) {
    case 'connection-closed':
      return 'connection_termination'
    case 'remote-reset':
      return 'remote_reset'
    case 'refused':
      return 'remote_refused_stream_reset'
    case 'protocol-error':
      return 'protocol_error'
    default:
      return 'local_reset'
  }
}

function replyCodeOf(failure: UpstreamFailure): LocalReplyCode {
  switch (failure.kind) {
    case 'overflow':
      return 'upstream-overflow'
    case 'connect-failure':
      return 'upstream-connect-failure'
    case 'connect-timeout':
      return 'upstream-connect-timeout'
    case 'per-try-timeout':
      return 'upstream-per-try-timeout'
    case 'per-try-idle-timeout':
      return 'upstream-per-try-idle-timeout'
    case 'reset':
      switch (failure.reset.code) {
        case 'connection-closed':
          return 'upstream-connection-termination'
        case 'remote-reset':
          return 'upstream-remote-reset'
        case 'refused':
          return 'upstream-refused-stream'
        case 'protocol-error':
        case 'overflow':
          return 'upstream-protocol-error'
        default:
          return 'upstream-local-reset'
      }
  }
}

function replyFor(failure: UpstreamFailure): LocalReply {
  // As in Envoy, a connect timeout has no transport failure reason: the endpoint's address is not the client's to know.
  const reply = localReply(replyCodeOf(failure), 'why' in failure && failure.kind !== 'connect-timeout' ? failure.why : '')
  // As Envoy, a refused connection is told to the client without its address; log and details have it.
  if (failure.kind === 'connect-failure' && !failure.tls) return { ...reply, body: localReply(replyCodeOf(failure), '').body }
  return reply
}

function flagOf(failure: UpstreamFailure): number {
  return localReply(replyCodeOf(failure), '').flag
}
