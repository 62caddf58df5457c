// The retries of one request: how many are left, what they are for, when they run, which hosts they avoid. Made by forwardRequest where
// the route, or the request itself, asks for retries; upstream-outcome asks it after each try. Semantics of envoy RetryStateImpl.
// Invariant: at most one permit of the retry breaker is held, from the decision to try again until that try's outcome; release()
// gives back whatever is held, whenever the request ends.

import { LazyTimer } from '../../io/lazy-timer.js'
import type { Metadata } from '../../model/metadata.js'
import { LB_METADATA } from '../../model/metadata.js'
import type { RetryPolicy } from '../../model/route.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { Breakers } from '../../upstream/host/breakers.js'
import type { Host } from '../../upstream/host/host.js'
import type { UpstreamRequest } from '../client/upstream-request.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { type HeaderList, isEnvoyHeader } from '../codec/header-list.js'
import type { CompiledForward } from '../route/compiled-route.js'
import {
  type CompiledRetryPolicy,
  type RetryConditions,
  retryOnHeaderBits,
  retryOnNames,
  wantsRetryOnFailure,
  wantsRetryOnResponse,
} from '../route/retry-policy.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'
import type { RouteCounters } from './route-counters.js'

const DEFAULT_RETRIES = 1
const DEFAULT_BASE_MS = 25
/** Of x-envoy-retriable-status-codes and -header-names, so that a request can't make its retries costly. */
const MAX_HEADER_ENTRIES = 64
/** Of x-envoy-max-retries. */
const MAX_RETRIES = 1_000_000

const RETRY_ON = 'x-envoy-retry-on'
const RETRY_GRPC_ON = 'x-envoy-retry-grpc-on'
const MAX_RETRIES_HEADER = 'x-envoy-max-retries'
const STATUS_CODES = 'x-envoy-retriable-status-codes'
const HEADER_NAMES = 'x-envoy-retriable-header-names'
const PER_TRY_TIMEOUT = 'x-envoy-upstream-rq-per-try-timeout-ms'
const HEDGE = 'x-envoy-hedge-on-per-try-timeout'
const CONSUMED = [RETRY_ON, RETRY_GRPC_ON, MAX_RETRIES_HEADER, STATUS_CODES, HEADER_NAMES, PER_TRY_TIMEOUT, HEDGE]

/** The request that is tried again. Router implements it. */
export interface RetriedRequest {
  readonly request: RequestHead
  /** Of the newest try. */
  readonly cluster: Pick<UpstreamCluster, 'breakers' | 'traffic' | 'priorityOf'> | null
  readonly routeTimeoutMs: number
  readonly random: () => number
  readonly counters: RouteCounters | null
}

/** What a request says about its retries; null: nothing. */
interface RequestWishes {
  readonly bits: number
  readonly maxRetries: number | null
  readonly statusCodes: readonly number[] | null
  readonly headerNames: readonly string[] | null
  readonly perTryTimeoutMs: number | null
  readonly hedge: boolean | null
}

/** Methods whose second try changes nothing (RFC 9110 §9.2.1, RFC 10008): only these are hedged. */
function isSafe(method: string): boolean {
  return method === 'GET' || method === 'QUERY' || method === 'HEAD' || method === 'OPTIONS' || method === 'TRACE'
}

export class RetryState {
  readonly hash: bigint | null
  readonly perTryTimeoutMs: number | null
  readonly perTryIdleTimeoutMs: number | null
  readonly hedgeOnPerTryTimeout: boolean
  readonly hostSelectionAttempts: number
  readonly repickSplit: boolean
  /** Why the last take() said no. */
  limitReached = false
  overflowed = false
  /** Priorities that the next try avoids (retry_priority previous_priorities), or null. */
  excludedPriorities: ReadonlySet<number> | null = null
  private readonly of: RetriedRequest
  private readonly forward: CompiledForward
  private readonly conditions: RetryConditions
  private readonly policy: RetryPolicy | null
  private remaining: number
  private nextIntervalMs: number
  private readonly maxIntervalMs: number
  private permit: Breakers | null = null
  /** The head before the first leg's changes, where a retry may pick another leg. */
  private headBefore: { readonly headers: HeaderList; readonly authority: string; readonly path: string } | null = null
  private timers: LazyTimer[] = []
  private readonly triedHosts: Host[] = []
  private ended = false

  /** Null where neither route nor request asks for retries or per-try timeouts. Takes the x-envoy-retry-* headers off the request. */
  static create(of: RetriedRequest, forward: CompiledForward, hash: bigint | null): RetryState | null {
    const wishes = takeWishes(of.request.headers)
    const policy = forward.retryPolicy
    const bits = (policy === null ? 0 : policy.bits) | (wishes === null ? 0 : wishes.bits)
    if (bits === 0 && !timesTries(policy, wishes)) return null
    const mayRetry = policy === null || policy.mayRetry(of.request)
    return new RetryState(of, forward, hash, mayRetry ? bits : 0, wishes)
  }

  private constructor(of: RetriedRequest, forward: CompiledForward, hash: bigint | null, bits: number, wishes: RequestWishes | null) {
    const policy = forward.retryPolicy?.model ?? null
    this.of = of
    this.forward = forward
    this.hash = hash
    this.policy = policy
    this.conditions = {
      bits,
      policy: forward.retryPolicy,
      extraStatusCodes: wishes?.statusCodes ?? null,
      extraHeaderNames: wishes?.headerNames ?? null,
    }
    this.remaining = wishes?.maxRetries ?? policy?.numRetries ?? DEFAULT_RETRIES
    const perTry = wishes?.perTryTimeoutMs ?? policy?.perTryTimeoutMs ?? null
    // A try may not outlast the request: then there is no limit per try (Envoy FilterUtility::finalTimeout).
    const total = of.routeTimeoutMs
    this.perTryTimeoutMs = perTry !== null && total > 0 && perTry >= total ? null : perTry
    this.perTryIdleTimeoutMs = policy?.perTryIdleTimeoutMs ?? null
    this.hedgeOnPerTryTimeout = (wishes?.hedge ?? forward.hedge?.hedgeOnPerTryTimeout ?? false) && isSafe(of.request.method)
    this.hostSelectionAttempts = (policy?.hostSelectionMaxAttempts ?? 1) + 1
    this.repickSplit = forward.retryRepick
    this.nextIntervalMs = policy?.baseIntervalMs ?? DEFAULT_BASE_MS
    this.maxIntervalMs = policy?.maxIntervalMs ?? DEFAULT_BASE_MS * 10
  }

  /** How often it may still try, and on what: for explanations. */
  get left(): { readonly tries: number; readonly on: readonly string[] } {
    return { tries: this.remaining, on: retryOnNames(this.conditions.bits) }
  }

  // ---- decisions ----

  wantsRetryOnResponse(head: ResponseHead, grpcStatus: number): boolean {
    return wantsRetryOnResponse(this.conditions, head, grpcStatus)
  }

  wantsRetryOnFailure(failure: UpstreamFailure, upstream: UpstreamRequest): boolean {
    // A hedge is a second try beside the first: nothing has failed yet, so retry_on has nothing to say (Envoy
    // shouldHedgeRetryPerTryTimeout).
    if (failure.kind === 'per-try-timeout' && this.hedgeOnPerTryTimeout) return true
    return wantsRetryOnFailure(this.conditions.bits, failure, upstream.headSent)
  }

  /** One more try, if any is left and the breaker has room. False sets `limitReached` or `overflowed`. */
  take(): boolean {
    this.releasePermit()
    this.limitReached = false
    this.overflowed = false
    const { cluster, counters } = this.of
    if (this.ended || cluster === null) return false
    const stats = cluster.traffic.main
    if (this.remaining <= 0) {
      stats.upstream_rq_retry_limit_exceeded.value++
      counters?.count('upstream_rq_retry_limit_exceeded')
      this.limitReached = true
      return false
    }
    this.remaining--
    const breakers = cluster.breakers(this.forward.priority)
    if (!breakers.tryRetry()) {
      this.overflowed = true
      counters?.count('upstream_rq_retry_overflow')
      return false
    }
    this.permit = breakers
    stats.upstream_rq_retry.value++
    counters?.count('upstream_rq_retry')
    return true
  }

  /** A try brought an answer that is not retried. */
  succeeded(_status: number): void {
    // What a hedge was refused is not why this answer is the last.
    this.limitReached = false
    this.overflowed = false
    if (this.permit === null) return
    this.of.cluster!.traffic.main.upstream_rq_retry_success.value++
    this.of.counters?.count('upstream_rq_retry_success')
    this.releasePermit()
  }

  // ---- when ----

  /** `head`: the response that is retried, whose reset headers may say when. `fn` is not called once released. */
  schedule(head: ResponseHead | null, fn: () => void): void {
    const stats = this.of.cluster!.traffic.main
    const { random } = this.of
    const asked = head === null ? null : this.rateLimitedInterval(head.headers)
    let delayMs: number
    if (asked === null) {
      stats.upstream_rq_retry_backoff_exponential.value++
      delayMs = Math.floor(random() * this.nextIntervalMs)
      this.nextIntervalMs = Math.min(this.nextIntervalMs * 2, this.maxIntervalMs)
    } else {
      stats.upstream_rq_retry_backoff_ratelimited.value++
      // Never earlier than asked for, spread over half as much again.
      delayMs = asked + Math.floor((random() * asked) / 2)
    }
    const timer = new LazyTimer(() => {
      this.timers = this.timers.filter(other => other !== timer)
      if (!this.ended) fn()
    })
    this.timers.push(timer)
    timer.set(delayMs)
  }

  /** Milliseconds that the first usable reset header asks for; null without one, or where it asks for more than the policy allows. */
  private rateLimitedInterval(headers: HeaderList): number | null {
    const rules = this.policy?.rateLimitedBackoff ?? null
    if (rules === null) return null
    for (const { name, format } of rules.headers) {
      const text = headers.get(name)
      if (text === undefined || !/^\d{1,15}$/.test(text)) continue
      const number = Number(text)
      const ms = format === 'SECONDS' ? number * 1000 : number * 1000 - Date.now()
      if (ms > 0 && ms <= rules.maxIntervalMs) return Math.ceil(ms)
    }
    return null
  }

  // ---- where ----

  /** A try starts on that host. */
  tried(host: Host): void {
    this.triedHosts.push(host)
    const every = this.policy?.avoidPreviousPrioritiesEvery ?? null
    if (every !== null && this.triedHosts.length % every === 0)
      // As the cluster that is picked from counts them: an aggregate's are its children's, one after the other.
      this.excludedPriorities = new Set(this.triedHosts.map(tried => this.of.cluster!.priorityOf(tried)))
  }

  /** The predicates of retry_host_predicate; the first try takes any host. */
  shouldSkip(host: Host): boolean {
    const { policy, triedHosts } = this
    if (policy === null || triedHosts.length === 0) return false
    if (policy.avoidPreviousHosts && triedHosts.includes(host)) return true
    if (policy.omitCanaryHosts && host.canary) return true
    return policy.omitHostMetadata !== null && hasMetadata(host.metadata, policy.omitHostMetadata)
  }

  /** Before the route's and the leg's changes are made: what another leg's are made to. */
  remember(head: RequestHead): void {
    if (this.repickSplit) this.headBefore = { headers: head.headers.clone(), authority: head.authority, path: head.path }
  }

  /** Before another leg's changes are made to the head: take the first leg's back. */
  restore(head: RequestHead): void {
    const { headBefore } = this
    if (headBefore === null) return
    head.headers = headBefore.headers.clone()
    head.authority = headBefore.authority
    head.path = headBefore.path
  }

  /** The request is over. Idempotent. */
  release(): void {
    this.ended = true
    this.releasePermit()
    for (const timer of this.timers) timer.dispose()
    this.timers = []
  }

  private releasePermit(): void {
    if (this.permit === null) return
    this.permit.releaseRetry()
    this.permit = null
  }
}

function timesTries(policy: CompiledRetryPolicy | null, wishes: RequestWishes | null): boolean {
  const timeout = wishes?.perTryTimeoutMs ?? policy?.model.perTryTimeoutMs ?? null
  const idle = policy?.model.perTryIdleTimeoutMs ?? null
  return (timeout !== null && timeout > 0) || (idle !== null && idle > 0)
}

/** Every key of `wanted`'s envoy.lb with an equal value; an empty one matches nothing. */
function hasMetadata(metadata: Metadata, wanted: Metadata): boolean {
  const criteria = Object.entries(wanted.get(LB_METADATA) ?? {})
  const own = metadata.get(LB_METADATA)
  if (criteria.length === 0 || own === undefined) return false
  return criteria.every(([key, value]) => Object.hasOwn(own, key) && JSON.stringify(own[key]) === JSON.stringify(value))
}

/** HOT: most requests have none of these, which one scan tells. */
function takeWishes(headers: HeaderList): RequestWishes | null {
  const { lower } = headers
  let any = false
  for (let i = 0; i < lower.length && !any; i++) any = isEnvoyHeader(lower[i]!) && CONSUMED.includes(lower[i]!)
  if (!any) return null
  const wishes: RequestWishes = {
    bits: retryOnHeaderBits(headers.getJoined(RETRY_ON), false) | retryOnHeaderBits(headers.getJoined(RETRY_GRPC_ON), true),
    maxRetries: unsigned(headers.get(MAX_RETRIES_HEADER), MAX_RETRIES),
    statusCodes:
      list(headers.getJoined(STATUS_CODES))
        ?.map(code => unsigned(code, 999))
        .filter(code => code !== null) ?? null,
    headerNames: list(headers.getJoined(HEADER_NAMES))?.map(name => name.toLowerCase()) ?? null,
    perTryTimeoutMs: unsigned(headers.get(PER_TRY_TIMEOUT), 0xffff_ffff),
    hedge: headers.has(HEDGE) ? headers.get(HEDGE) === 'true' : null,
  }
  for (const name of CONSUMED) headers.remove(name)
  return wishes
}

function list(value: string | undefined): string[] | null {
  if (value === undefined) return null
  return value
    .split(',', MAX_HEADER_ENTRIES)
    .map(part => part.trim())
    .filter(part => part !== '')
}

function unsigned(text: string | undefined, max: number): number | null {
  if (text === undefined || !/^\d{1,10}$/.test(text.trim())) return null
  return Math.min(Number(text), max)
}
