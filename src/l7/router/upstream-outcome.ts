// Judges the outcome of a try: counts it, once, towards host health, outlier detection and the cluster's numbers, and says what the
// router is to do. The conditions are the retry policy's (retry-state.ts, route/retry-policy.ts); the router acts.

import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { UpstreamRequest } from '../client/upstream-request.js'
import type { ResponseHead } from '../codec/codec.js'
import { grpcStatusOf } from '../grpc/grpc.js'
import { ResponseFlag } from '../stream/response-flags.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'
import type { RetryState } from './retry-state.js'

/**
 * pass: of a response, it goes to the client; of a failure, other tries go on. retry: this try is over, another follows.
 * hedge: another starts beside this one. fail: the request has failed.
 */
export type Verdict = 'pass' | 'retry' | 'hedge' | 'fail'

/** What the judgement rests on. Router implements it. */
export interface JudgedRequest {
  readonly info: StreamInfo
  readonly isGrpc: boolean
  readonly cluster: UpstreamCluster | null
  readonly retry: RetryState | null
  /** All tries that still run. */
  readonly attempts: readonly UpstreamRequest[]
  readonly body: { readonly replayable: boolean }
  /** The client has seen a response head. */
  readonly responseStarted: boolean
  /** Tries made without the retry policy, for requests that no server can have seen. */
  freeRetries: number
}

/** Tries that cost the retry policy nothing, because the server cannot have seen the request. */
const MAX_FREE_RETRIES = 3

/** A response head has come. HOT. */
export function judgeHead(request: JudgedRequest, upstream: UpstreamRequest, head: ResponseHead): 'pass' | 'retry' {
  const { host } = upstream
  const { retry, info } = request
  const grpcStatus = request.isGrpc ? grpcStatusOf(head.headers) : -1
  host.cluster.recordResponse(host, grpcStatus > 0 ? grpcHttpStatus(grpcStatus) : head.status)
  chargeResponse(request, upstream, head)
  if (retry === null) return 'pass'
  if (!retry.wantsRetryOnResponse(head, grpcStatus)) {
    retry.succeeded(head.status)
    return 'pass'
  }
  if (!request.body.replayable) return 'pass'
  if (retry.take()) return 'retry'
  info.responseFlags |= refusedFlag(retry)
  return 'pass'
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

function chargeResponse(request: JudgedRequest, upstream: UpstreamRequest, head: ResponseHead): void {
  const { host } = upstream
  if (head.status >= 500) host.stats.rqError++
  else host.stats.rqSuccess++
  const { traffic } = host.cluster
  traffic.chargeResponse(head.status, false)
  const { cluster } = request
  // An aggregate is charged beside the cluster that served.
  if (cluster !== null && cluster !== host.cluster) cluster.traffic.chargeResponse(head.status, false)
}

/** A try failed before its response ended. */
export function judgeFailure(request: JudgedRequest, upstream: UpstreamRequest, failure: UpstreamFailure): Verdict {
  const { retry, info } = request
  chargeFailure(info, upstream, failure)
  if (upstream.responseStarted && request.responseStarted) return 'fail'
  const timedOut = failure.kind === 'per-try-timeout' || failure.kind === 'per-try-idle-timeout'
  const hedging = timedOut && retry?.hedgeOnPerTryTimeout === true
  if (request.body.replayable && retryAllowed(request, upstream, failure)) return hedging ? 'hedge' : 'retry'
  if (hedging && request.attempts.some(attempt => attempt !== upstream || !attempt.done)) return 'pass'
  if (retry !== null && !request.attempts.some(attempt => attempt !== upstream)) info.responseFlags |= refusedFlag(retry)
  return 'fail'
}

/** Why there is no further try, as the access log shows it. */
function refusedFlag(retry: RetryState): number {
  if (retry.limitReached) return ResponseFlag.UpstreamRetryLimitExceeded
  return retry.overflowed ? ResponseFlag.UpstreamOverflow : 0
}

function chargeFailure(info: StreamInfo, upstream: UpstreamRequest, failure: UpstreamFailure): void {
  const { host } = upstream
  const { cluster } = host
  switch (failure.kind) {
    case 'connect-failure':
      cluster.recordConnectFailure(host)
      info.upstreamTransportFailureReason = failure.why
      break
    case 'connect-timeout':
      cluster.recordConnectFailure(host)
      break
    case 'reset':
      cluster.recordReset(host)
      host.stats.rqError++
      break
    case 'per-try-timeout':
      cluster.traffic.main.upstream_rq_per_try_timeout.value++
      cluster.recordTimeout(host)
      break
    case 'per-try-idle-timeout':
      cluster.traffic.main.upstream_rq_per_try_idle_timeout.value++
      cluster.recordTimeout(host)
      break
    case 'overflow':
      break
  }
  // A request that was not let into the queue has no host (Envoy: onPoolFailure without one).
  if (failure.kind !== 'overflow' || !failure.why.startsWith('max_pending')) info.upstreamHost = host
}

/** The request may go again: refused or never sent (by itself, a few times), or the policy says so and the budget has room. */
function retryAllowed(request: JudgedRequest, upstream: UpstreamRequest, failure: UpstreamFailure): boolean {
  const { retry } = request
  if (failure.kind === 'reset' && request.freeRetries < MAX_FREE_RETRIES && neverProcessed(failure)) {
    request.freeRetries++
    upstream.host.cluster.traffic.scope.counter('upstream_rq_reuse_race_retry').value++
    return true
  }
  if (retry === null) return false
  return retry.wantsRetryOnFailure(failure, upstream) && retry.take()
}

function neverProcessed(failure: UpstreamFailure & { kind: 'reset' }): boolean {
  return failure.reset.code === 'refused' || failure.reset.details === 'nothing_sent'
}
