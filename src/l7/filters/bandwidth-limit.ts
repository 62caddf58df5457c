// envoy.filters.http.bandwidth_limit: all bodies together that a filter (or a route with its own limit) lets through share one bucket of
// bytes, in both directions. Heads pass at once. What it made requests wait may be told in trailers.

import type { TokenBucket } from '../../io/token-bucket.js'
import type { Histogram } from '../../metrics/histogram.js'
import type { Counter, Gauge } from '../../metrics/stat.js'
import type { BandwidthLimitConfig } from '../../model/bandwidth-limit.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import { flagIsOn } from '../match/runtime-fraction.js'
import { BodyThrottle, byteBucket, type ThrottledBody, type ThrottleWatcher, throttledRequest, throttledResponse } from './body-throttle.js'
import { compileOnce } from './compile-once.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'
import { requestControl } from './request-control.js'
import { responseControl } from './response-control.js'

export function bandwidthLimitFilter(name: string, disabled: boolean, config: BandwidthLimitConfig, ctx: FilterContext): FilterFactory {
  const own = new CompiledLimit(config, ctx)
  const limitOf = compileOnce((ofRoute: BandwidthLimitConfig) => new CompiledLimit(ofRoute, ctx))
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      const override = call.overrideFor(name)
      const limit = override?.kind === 'bandwidthLimit' ? limitOf(override.config) : own
      return limit.applies ? new BandwidthLimitFilter(limit) : null
    },
  }
}

interface DirectionStats {
  readonly enabled: Counter
  readonly enforced: Counter
  readonly pending: Gauge
  readonly incomingSize: Gauge
  readonly allowedSize: Gauge
  readonly incomingTotal: Counter
  readonly allowedTotal: Counter
  readonly duration: Histogram
}

class CompiledLimit {
  readonly config: BandwidthLimitConfig
  readonly ctx: FilterContext
  readonly bucket: TokenBucket
  readonly request: DirectionStats
  readonly response: DirectionStats

  constructor(config: BandwidthLimitConfig, ctx: FilterContext) {
    this.config = config
    this.ctx = ctx
    this.bucket = byteBucket(config.kilobytesPerSecond, config.fillIntervalMs, ctx.clock)
    const scope = ctx.scope(`${config.statPrefix}.http_bandwidth_limit`)
    const statsOf = (direction: string): DirectionStats => ({
      enabled: scope.counter(`${direction}_enabled`),
      enforced: scope.counter(`${direction}_enforced`),
      pending: scope.gauge(`${direction}_pending`),
      incomingSize: scope.gauge(`${direction}_incoming_size`),
      allowedSize: scope.gauge(`${direction}_allowed_size`),
      incomingTotal: scope.counter(`${direction}_incoming_total_size`),
      allowedTotal: scope.counter(`${direction}_allowed_total_size`),
      duration: scope.histogram(`${direction}_transfer_duration`, 'milliseconds'),
    })
    this.request = statsOf('request')
    this.response = statsOf('response')
  }

  get applies(): boolean {
    const { config } = this
    return (config.request || config.response) && flagIsOn(config.enabled, this.ctx.runtime)
  }
}

/** One body on its way, and what it is counted as. */
class LimitedBody implements ThrottleWatcher {
  private readonly stats: DirectionStats
  private readonly limit: CompiledLimit
  private readonly throttle: BodyThrottle
  /** Adds to the trailers of the body's end what the waits were. */
  private readonly tell: ((trailers: HeaderList, durationMs: number) => void) | null
  private startedAt = -1
  /** What the filter made it wait. */
  delayMs = 0
  /** From its first bytes to its last. */
  durationMs = 0

  constructor(
    limit: CompiledLimit,
    stats: DirectionStats,
    body: ThrottledBody,
    bufferLimitBytes: number,
    tell: ((trailers: HeaderList, durationMs: number) => void) | null,
  ) {
    this.limit = limit
    this.stats = stats
    this.tell = tell
    const { ctx, bucket, config } = limit
    this.throttle = new BodyThrottle(body, ctx.clock, bucket, config.fillIntervalMs, bufferLimitBytes, this)
    stats.enabled.value++
  }

  /** HOT where a limit is configured: once a chunk. */
  data(chunk: Buffer, end: boolean): Buffer | null {
    const { stats } = this
    if (this.startedAt === -1) {
      this.startedAt = this.limit.ctx.clock.now()
      stats.pending.value++
    }
    stats.incomingSize.value = chunk.length
    stats.incomingTotal.value += chunk.length
    if (end && this.tell !== null) {
      // The end becomes trailers of ours, which are filled in when it leaves.
      this.throttle.push(chunk, false)
      this.throttle.endWith(new HeaderList())
      return null
    }
    return this.throttle.pass(chunk, end) ? chunk : null
  }

  trailers(trailers: HeaderList): HeaderList | null {
    return this.throttle.passTrailers(trailers) ? trailers : null
  }

  onReleased(bytes: number, waiting: number): void {
    const { stats } = this
    stats.allowedSize.value = bytes
    stats.allowedTotal.value += bytes
    if (waiting === 0) return
    stats.enforced.value++
    this.delayMs += this.limit.config.fillIntervalMs
  }

  onEnd(trailers: HeaderList | null): void {
    if (this.startedAt === -1) return
    this.durationMs = Math.round(this.limit.ctx.clock.now() - this.startedAt)
    if (trailers !== null) this.tell?.(trailers, this.durationMs)
    this.stats.duration.record(this.durationMs)
    this.finish()
  }

  /** The request is over, with or without the body's end. */
  cancel(): void {
    this.throttle.cancel()
    this.finish()
  }

  private finish(): void {
    if (this.startedAt === -1) return
    this.startedAt = -1
    this.stats.pending.value--
  }
}

class BandwidthLimitFilter implements StreamFilter {
  private readonly limit: CompiledLimit
  private request: LimitedBody | null = null
  private response: LimitedBody | null = null

  constructor(limit: CompiledLimit) {
    this.limit = limit
  }

  requestHead(call: FilterCall, _head: RequestHead): FilterStatus {
    const { limit } = this
    if (!limit.config.request) return 'continue'
    const control = requestControl(call)
    this.request = new LimitedBody(limit, limit.request, throttledRequest(this, control), control.bufferLimitBytes, null)
    return 'continue'
  }

  explain(): FilterExplanation {
    return { verdict: 'passes', reason: `bodies pass at ${this.limit.config.kilobytesPerSecond} KiB a second, all together` }
  }

  requestData(_call: FilterCall, chunk: Buffer, end: boolean): Buffer | null {
    return this.request === null ? chunk : this.request.data(chunk, end)
  }

  requestTrailers(_call: FilterCall, trailers: HeaderList): HeaderList | null {
    return this.request === null ? trailers : this.request.trailers(trailers)
  }

  responseHead(call: FilterCall, head: ResponseHead): FilterStatus {
    const { limit } = this
    if (!limit.config.response) return 'continue'
    const body = throttledResponse(this, responseControl(call))
    // A tunnel has no trailers, and its other direction outlives this one's end.
    const trailers = head.upgraded ? null : limit.config.trailers
    const tell = trailers === null ? null : (list: HeaderList, durationMs: number) => this.tell(trailers, list, durationMs)
    this.response = new LimitedBody(limit, limit.response, body, requestControl(call).bufferLimitBytes, tell)
    return 'continue'
  }

  responseData(_call: FilterCall, chunk: Buffer, end: boolean): Buffer | null {
    return this.response === null ? chunk : this.response.data(chunk, end)
  }

  responseTrailers(_call: FilterCall, trailers: HeaderList): HeaderList | null {
    return this.response === null ? trailers : this.response.trailers(trailers)
  }

  finished(): void {
    this.request?.cancel()
    this.response?.cancel()
  }

  /** What took no time is not told. */
  private tell(names: NonNullable<BandwidthLimitConfig['trailers']>, trailers: HeaderList, responseMs: number): void {
    const told: readonly (readonly [string, number])[] = [
      [names.requestDelay, this.request?.durationMs ?? 0],
      [names.requestFilterDelay, this.request?.delayMs ?? 0],
      [names.responseDelay, responseMs],
      [names.responseFilterDelay, this.response?.delayMs ?? 0],
    ]
    for (const [name, ms] of told) if (ms > 0) trailers.set(name, String(ms))
  }
}
