// Judges the outcome of a try: counts it, once, towards host health, outlier detection and the cluster's numbers, and says what the
// router is to do. The conditions are the retry policy's (retry-state.ts, route/retry-policy.ts); the router acts.

import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { Host, HostCluster } from '../../upstream/host/host.js'
import type { UpstreamRequest } from '../client/upstream-request.js'
import type { ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { grpcStatusOf, grpcToHttpStatus } from '../grpc/grpc.js'
import { ResponseFlag } from '../stream/response-flags.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'
import type { RetryState } from './retry-state.js'
import type { RouteCounters } from './route-counters.js'

/**
 * pass: of a response, it goes to the client; of a failure, other tries go on. retry: this try is over, another follows.
 * hedge: another starts beside this one. fail: the request has failed.
 */
export type Verdict = 'pass' | 'retry' | 'hedge' | 'fail'

/** What the judgement rests on. Router implements it. */
export interface JudgedRequest {
  readonly info: StreamInfo
  readonly isGrpc: boolean
  readonly cluster: Pick<UpstreamCluster, 'traffic'> | null
  readonly retry: RetryState | null
  readonly counters: RouteCounters | null
  /** dynamic_stats of the router filter. */
  readonly countsCodes: boolean
  /** All tries that still run. */
  readonly attempts: readonly UpstreamRequest[]
  readonly body: { readonly replayable: boolean }
  /** The client has seen a response head. */
  readonly responseStarted: boolean
  /** Tries made without the retry policy, for requests that no server can have seen. */
  freeRetries: number
}

/** A host that is about to go says so in any answer; it then counts as failed until an active check succeeds. */
const IMMEDIATE_FAIL = 'x-envoy-immediate-health-check-fail'
/** `true` in an answer counts it under `canary.`, as the endpoint's metadata do (Envoy's router filter). */
const UPSTREAM_CANARY = 'x-envoy-upstream-canary'

/** Tries that cost the retry policy nothing, because the server cannot have seen the request. */
const MAX_FREE_RETRIES = 3

/** A response head has come. HOT. */
export function judgeHead(request: JudgedRequest, upstream: UpstreamRequest, head: ResponseHead, end: boolean): 'pass' | 'retry' {
  const { host } = upstream
  const { retry } = request
  const grpcStatus = request.isGrpc ? grpcStatusOf(head.headers) : -1
  if (grpcStatus >= 0) host.cluster.recordGrpcStatus(host, grpcStatus)
  else host.cluster.recordResponse(host, head.status)
  if (head.headers.has(IMMEDIATE_FAIL)) host.cluster.recordImmediateHealthCheckFail(host)
  const verdict = retry === null ? 'pass' : judgeRetry(request, retry, head, grpcStatus)
  if (verdict === 'retry') chargeRetried(request, upstream, head.status)
  else chargeResponse(request, upstream, head, end, grpcStatus)
  return verdict
}

function judgeRetry(request: JudgedRequest, retry: RetryState, head: ResponseHead, grpcStatus: number): 'pass' | 'retry' {
  if (!retry.wantsRetryOnResponse(head, grpcStatus)) {
    retry.succeeded(head.status)
    return 'pass'
  }
  if (!request.body.replayable) return 'pass'
  if (retry.take()) return 'retry'
  request.info.responseFlags |= refusedFlag(retry)
  return 'pass'
}

/** An answer that another try follows: under `cluster.X.retry.`, and not among the cluster's responses. */
function chargeRetried(request: JudgedRequest, { host }: UpstreamRequest, status: number): void {
  host.stats.rqError++
  if (request.countsCodes) host.cluster.traffic.retryCodes.charge(status)
}

/** HOT. */
function chargeResponse(request: JudgedRequest, upstream: UpstreamRequest, head: ResponseHead, end: boolean, grpcStatus: number): void {
  const { host } = upstream
  const { status } = head
  chargeStatus(request, host.cluster, status)
  if (request.countsCodes && (host.canary || head.headers.get(UPSTREAM_CANARY) === 'true')) {
    upstream.canary = true
    host.cluster.traffic.canaryCodes.charge(status)
  }
  chargeZone(request, host, status)
  if (status >= 500) host.stats.rqError++
  else if (!request.isGrpc) host.stats.rqSuccess++
  // Of a gRPC answer the trailers decide, unless there are none to come.
  else if (end) chargeGrpcStatus(host, grpcStatus)
}

/** The end of a gRPC response. */
export function chargeGrpcTrailers({ host }: UpstreamRequest, trailers: HeaderList): void {
  chargeGrpcStatus(host, grpcStatusOf(trailers))
}

function chargeGrpcStatus(host: Host, grpcStatus: number): void {
  if (grpcStatus >= 0 && grpcToHttpStatus(grpcStatus) < 500) host.stats.rqSuccess++
  else host.stats.rqError++
}

/** The route's time is up for every try that still runs. */
export function chargeRouteTimeout(request: JudgedRequest): void {
  for (const { host, responseStarted, timedOut } of request.attempts) {
    const { cluster } = host
    cluster.traffic.main.upstream_rq_timeout.value++
    request.counters?.count('upstream_rq_timeout')
    host.stats.rqTimeout++
    if (responseStarted) continue
    if (!timedOut) cluster.recordTimeout(host)
    chargeStatus(request, cluster, 504)
    chargeZone(request, host, 504)
    host.stats.rqError++
  }
}

/** HOT. */
function chargeZone(request: JudgedRequest, { cluster, locality }: Host, status: number): void {
  if (request.countsCodes) cluster.traffic.zone(locality.zone)?.codes.charge(status)
}

/** Counts a response of `served`, or the answer given in its place. HOT. */
export function chargeStatus(request: JudgedRequest, served: HostCluster, status: number): void {
  if (!request.countsCodes) return
  const { cluster, counters, info } = request
  served.traffic.chargeResponse(status, info.internal)
  // An aggregate is charged beside the cluster that served.
  if (cluster !== null && cluster !== served) cluster.traffic.chargeResponse(status, info.internal)
  if (counters !== null) counters.chargeResponse(status)
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
      info.upstreamTransportFailureReason = failure.reason
      host.stats.rqError++
      break
    case 'connect-timeout':
      cluster.recordConnectFailure(host)
      host.stats.rqError++
      break
    case 'reset':
      cluster.recordReset(host)
      host.stats.rqError++
      break
    case 'per-try-timeout':
      cluster.traffic.main.upstream_rq_per_try_timeout.value++
      cluster.recordTimeout(host)
      host.stats.rqTimeout++
      host.stats.rqError++
      break
    case 'per-try-idle-timeout':
      cluster.traffic.main.upstream_rq_per_try_idle_timeout.value++
      cluster.recordTimeout(host)
      host.stats.rqTimeout++
      host.stats.rqError++
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
