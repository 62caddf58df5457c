// envoy.filters.http.local_ratelimit: token buckets of this proxy (or of each downstream connection), one for all requests and one
// for each configured descriptor. A request takes a token of every bucket that it falls under.

import { TokenBucket } from '../../io/token-bucket.js'
import type { HttpFilterOverride, LocalRateLimitConfig } from '../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import { isGrpcRequest } from '../grpc/grpc.js'
import { compileRuntimeFraction, type FractionTest } from '../match/runtime-fraction.js'
import type { ConnectionInfo } from '../stream/connection-info.js'
import { ResponseFlag } from '../stream/response-flags.js'
import { compileOnce } from './compile-once.js'
import type { FilterContext } from './filter-environment.js'
import { compileHeaderOptions } from './header-options.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'
import { type Descriptor, DescriptorSource } from './rate-limit/rate-limit-descriptors.js'

const GRPC_RESOURCE_EXHAUSTED = '8'

const COUNTERS = ['enabled', 'enforced', 'ok', 'rate_limited', 'shadow_mode'] as const

export function localRateLimitFilter(name: string, disabled: boolean, config: LocalRateLimitConfig, ctx: FilterContext): FilterFactory {
  const source = new DescriptorSource(ctx)
  const own = new CompiledLimit(config, ctx, source)
  const limitOf = compileOnce(
    (override: HttpFilterOverride & { kind: 'localRateLimit' }) => new CompiledLimit(override.config, ctx, source),
  )
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      const override = call.overrideFor(name)
      const limit = override?.kind === 'localRateLimit' ? limitOf(override) : own
      return limit.applies ? new LocalRateLimitFilter(limit) : null
    },
  }
}

class CompiledLimit {
  readonly config: LocalRateLimitConfig
  readonly ctx: FilterContext
  readonly source: DescriptorSource
  readonly stats
  readonly responseHeaders
  readonly requestHeaders
  readonly applies: boolean
  private readonly enabledTest: FractionTest | null
  private readonly enforcedTest: FractionTest | null
  private readonly buckets: BucketSet
  private readonly perConnection = new WeakMap<ConnectionInfo, BucketSet>()

  constructor(config: LocalRateLimitConfig, ctx: FilterContext, source: DescriptorSource) {
    this.config = config
    this.ctx = ctx
    this.source = source
    this.stats = ctx.counters(ctx.scope(`${config.statPrefix}.http_local_rate_limit`), COUNTERS)
    this.responseHeaders = compileHeaderOptions(config.responseHeadersToAdd)
    this.requestHeaders = compileHeaderOptions(config.requestHeadersToAddWhenNotEnforced)
    this.enabledTest = compileRuntimeFraction(config.enabled, ctx.runtime)
    this.enforcedTest = compileRuntimeFraction(config.enforced, ctx.runtime)
    this.buckets = new BucketSet(config, ctx)
    this.applies = config.bucket !== null || config.descriptors.length > 0
  }

  enabled(): boolean {
    return this.enabledTest === null || this.enabledTest(this.ctx.random())
  }

  enforced(): boolean {
    return this.enforcedTest === null || this.enforcedTest(this.ctx.random())
  }

  descriptors(call: FilterCall, head: RequestHead): Descriptor[] {
    const { descriptors, rateLimits, stage, hostRateLimits } = this.config
    if (descriptors.length === 0) return []
    // The filter's own have no stages.
    return rateLimits === null
      ? this.source.descriptors(call, head, stage, hostRateLimits)
      : this.source.descriptorsOf(rateLimits, call, head, 0)
  }

  bucketsOf(connection: ConnectionInfo): BucketSet {
    if (!this.config.perConnection) return this.buckets
    let own = this.perConnection.get(connection)
    if (own === undefined) {
      own = new BucketSet(this.config, this.ctx)
      this.perConnection.set(connection, own)
    }
    return own
  }
}

class BucketSet {
  private readonly config: LocalRateLimitConfig
  private readonly ctx: FilterContext
  private readonly main: TokenBucket | null
  private readonly fixed: readonly (TokenBucket | null)[]
  /** By configured descriptor, then by the request's values. */
  private readonly dynamic: readonly Map<string, TokenBucket>[]
  private readonly order: readonly number[]

  constructor(config: LocalRateLimitConfig, ctx: FilterContext) {
    this.config = config
    this.ctx = ctx
    this.main = config.bucket === null ? null : new TokenBucket(config.bucket, ctx.clock)
    this.fixed = config.descriptors.map(({ entries, bucket }) =>
      entries.some(entry => entry.value === '') ? null : new TokenBucket(bucket, ctx.clock),
    )
    this.dynamic = config.descriptors.map(() => new Map())
    // The strictest first: a request that it refuses takes nothing from the others.
    const rate = (i: number) => {
      const { tokensPerFill, fillIntervalMs } = config.descriptors[i]!.bucket
      return fillIntervalMs === 0 ? 0 : tokensPerFill / fillIntervalMs
    }
    this.order = config.descriptors.map((_descriptor, i) => i).sort((a, b) => rate(a) - rate(b))
  }

  /** The bucket that decided: the one that refused, or the last one asked. */
  take(descriptors: readonly Descriptor[]): { readonly allowed: boolean; readonly bucket: TokenBucket | null } {
    let last: TokenBucket | null = null
    for (const i of this.order) {
      for (const descriptor of descriptors) {
        if (!matches(this.config.descriptors[i]!.entries, descriptor)) continue
        const bucket = this.fixed[i] ?? this.dynamicBucket(i, descriptor)
        if (!bucket.take()) return { allowed: false, bucket }
        last ??= bucket
      }
    }
    if (this.main === null || (last !== null && !this.config.alwaysTakesDefault)) return { allowed: true, bucket: last }
    const allowed = this.main.take()
    return { allowed, bucket: allowed ? (last ?? this.main) : this.main }
  }

  private dynamicBucket(index: number, descriptor: Descriptor): TokenBucket {
    const buckets = this.dynamic[index]!
    const key = JSON.stringify(descriptor.map(entry => entry.value))
    let bucket = buckets.get(key)
    if (bucket !== undefined) {
      buckets.delete(key)
      buckets.set(key, bucket)
      return bucket
    }
    if (buckets.size >= this.config.maxDynamicDescriptors) buckets.delete(buckets.keys().next().value!)
    bucket = new TokenBucket(this.config.descriptors[index]!.bucket, this.ctx.clock)
    buckets.set(key, bucket)
    return bucket
  }
}

function reasonOf({ statPrefix, perConnection }: LocalRateLimitConfig, bucket: TokenBucket | null): string {
  const tokens =
    bucket === null ? '' : `: ${bucket.config.tokensPerFill} each ${bucket.config.fillIntervalMs} ms, ${bucket.config.maxTokens} at once`
  return `over the local rate limit of this sidecar (stat_prefix ${statPrefix})${tokens}${perConnection ? ', for each connection' : ''}`
}

function matches(entries: Descriptor, descriptor: Descriptor): boolean {
  if (entries.length !== descriptor.length) return false
  return entries.every((entry, i) => entry.key === descriptor[i]!.key && (entry.value === '' || entry.value === descriptor[i]!.value))
}

class LocalRateLimitFilter implements StreamFilter {
  private readonly limit: CompiledLimit
  private bucket: TokenBucket | null = null

  constructor(limit: CompiledLimit) {
    this.limit = limit
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const { limit } = this
    const { stats, config } = limit
    if (!limit.enabled()) return 'continue'
    stats.enabled.value++
    const descriptors = limit.descriptors(call, head)
    const { allowed, bucket } = limit.bucketsOf(call.info.connection).take(descriptors)
    this.bucket = bucket
    if (allowed) {
      stats.ok.value++
      return 'continue'
    }
    stats.rate_limited.value++
    if (!limit.enforced()) {
      for (const option of limit.requestHeaders) option.apply(head.headers, call.info, head)
      return 'continue'
    }
    stats.enforced.value++
    const headers = new HeaderList()
    for (const option of limit.responseHeaders) option.apply(headers, call.info, null)
    if (config.rateLimitedAsResourceExhausted && isGrpcRequest(head)) headers.append('grpc-status', GRPC_RESOURCE_EXHAUSTED)
    // The flag as an argument would also bring x-envoy-ratelimited, which only the global limit sends.
    call.info.responseFlags |= ResponseFlag.RateLimited
    call.info.noteFailure(reasonOf(config, bucket))
    call.sendReply(config.status, 'local_rate_limited', 'local_rate_limited', 0, headers)
    return 'stop'
  }

  responseHead(_call: FilterCall, head: ResponseHead): FilterStatus {
    const { bucket } = this
    if (this.limit.config.enableXRateLimitHeaders && bucket !== null) {
      head.headers.set('x-ratelimit-limit', String(bucket.config.maxTokens))
      head.headers.set('x-ratelimit-remaining', String(bucket.remaining))
      head.headers.set('x-ratelimit-reset', String(Math.ceil(bucket.msToToken / 1000)))
    }
    return 'continue'
  }
}
