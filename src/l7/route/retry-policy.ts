// RetryPolicy compiled: which responses and failures of a try ask for another (envoy RetryStateImpl::wouldRetryFromHeaders and
// wouldRetryFromReset). Compiled once per route, or per request where headers change it. Called by RetryState. Pure.

import type { RetryPolicy } from '../../model/route.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { compileHeaderMatcher, compileResponseHeaderMatcher, type RequestHeaderTest } from '../match/header-matcher.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'

/** Bits of the retry_on tokens. */
export const RetryOn = {
  '5xx': 1 << 0,
  'gateway-error': 1 << 1,
  'connect-failure': 1 << 2,
  'retriable-4xx': 1 << 3,
  'refused-stream': 1 << 4,
  'retriable-status-codes': 1 << 5,
  'retriable-headers': 1 << 6,
  reset: 1 << 7,
  'reset-before-request': 1 << 8,
  'envoy-ratelimited': 1 << 9,
  cancelled: 1 << 10,
  'deadline-exceeded': 1 << 11,
  internal: 1 << 12,
  'resource-exhausted': 1 << 13,
  unavailable: 1 << 14,
  /** Known and never met: there is no HTTP/3 here. */
  'http3-post-connect-failure': 0,
} as const

const TOKENS: ReadonlyMap<string, number> = new Map(Object.entries(RetryOn))
const GRPC_TOKENS = ['cancelled', 'deadline-exceeded', 'internal', 'resource-exhausted', 'unavailable']
const GRPC_BITS: ReadonlyMap<number, number> = new Map([
  [1, RetryOn.cancelled],
  [4, RetryOn['deadline-exceeded']],
  [8, RetryOn['resource-exhausted']],
  [13, RetryOn.internal],
  [14, RetryOn.unavailable],
])

/** Bits of a list of tokens; unknown ones count for nothing. */
export function retryOnBits(tokens: readonly string[]): number {
  let bits = 0
  for (const token of tokens) bits |= TOKENS.get(token) ?? 0
  return bits
}

export function retryOnNames(bits: number): string[] {
  return [...TOKENS].filter(([, bit]) => (bits & bit) !== 0).map(([name]) => name)
}

/** `x-envoy-retry-on` and `x-envoy-retry-grpc-on`: the latter knows gRPC tokens only. */
export function retryOnHeaderBits(value: string | undefined, grpc: boolean): number {
  if (value === undefined) return 0
  const tokens = value.split(',').map(token => token.trim().toLowerCase())
  return retryOnBits(tokens.filter(token => GRPC_TOKENS.includes(token) === grpc))
}

export class CompiledRetryPolicy {
  readonly model: RetryPolicy
  readonly bits: number
  readonly statusCodes: ReadonlySet<number>
  private readonly responseHeaders: readonly ((headers: HeaderList, status: number) => boolean)[]
  private readonly requestHeaders: readonly RequestHeaderTest[]

  constructor(model: RetryPolicy) {
    this.model = model
    this.bits = retryOnBits(model.retryOn)
    this.statusCodes = new Set(model.retriableStatusCodes)
    this.responseHeaders = model.retriableHeaders.map(compileResponseHeaderMatcher)
    this.requestHeaders = model.retriableRequestHeaders.map(matcher => compileHeaderMatcher(matcher, 'certain'))
  }

  /** retriable_request_headers: an empty list lets every request be retried. */
  mayRetry(head: RequestHead): boolean {
    return this.requestHeaders.length === 0 || this.requestHeaders.some(test => test(head))
  }

  wantsRetryOnHeaders(headers: HeaderList, status: number): boolean {
    return this.responseHeaders.some(test => test(headers, status))
  }
}

/** What one request retries on: the route's policy with the request's headers merged in. */
export interface RetryConditions {
  readonly bits: number
  readonly policy: CompiledRetryPolicy | null
  /** From x-envoy-retriable-status-codes and -header-names; null when not sent. */
  readonly extraStatusCodes: readonly number[] | null
  readonly extraHeaderNames: readonly string[] | null
}

/** `grpcStatus` of the head, -1 when it has none. */
export function wantsRetryOnResponse(conditions: RetryConditions, head: ResponseHead, grpcStatus: number): boolean {
  const { bits, policy } = conditions
  if (bits === 0) return false
  const { status, headers } = head
  // An upstream that rate limits is not helped by more requests, unless the policy says so.
  if (headers.has('x-envoy-ratelimited')) return (bits & RetryOn['envoy-ratelimited']) !== 0
  if ((bits & RetryOn['5xx']) !== 0 && status >= 500 && status < 600) return true
  if ((bits & RetryOn['gateway-error']) !== 0 && status >= 502 && status <= 504) return true
  if ((bits & RetryOn['retriable-4xx']) !== 0 && status === 409) return true
  if ((bits & RetryOn['retriable-status-codes']) !== 0) {
    if (policy?.statusCodes.has(status) === true || conditions.extraStatusCodes?.includes(status) === true) return true
  }
  if ((bits & RetryOn['retriable-headers']) !== 0) {
    if (policy?.wantsRetryOnHeaders(headers, status) === true) return true
    if (conditions.extraHeaderNames?.some(name => headers.has(name)) === true) return true
  }
  return (bits & (GRPC_BITS.get(grpcStatus) ?? 0)) !== 0
}

/** `started`: the request's head had been handed to a connection. */
export function wantsRetryOnFailure(bits: number, failure: UpstreamFailure, started: boolean): boolean {
  if (bits === 0) return false
  if (failure.kind === 'overflow') return false
  // The upstream broke a limit of ours: another try would meet it too (Envoy: StreamResetReason::Overflow).
  if (failure.kind === 'reset' && failure.reset.code === 'overflow') return false
  if ((bits & RetryOn.reset) !== 0) return true
  if ((bits & RetryOn['reset-before-request']) !== 0 && !started) return true
  // A reset ends as a 503, so both count it.
  if ((bits & (RetryOn['5xx'] | RetryOn['gateway-error'])) !== 0) return true
  if ((bits & RetryOn['refused-stream']) !== 0 && failure.kind === 'reset' && failure.reset.code === 'refused') return true
  return (bits & RetryOn['connect-failure']) !== 0 && (failure.kind === 'connect-failure' || failure.kind === 'connect-timeout')
}
