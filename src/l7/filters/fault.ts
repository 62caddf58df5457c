// envoy.filters.http.fault: delays and aborts of a share of the requests, and slowed responses. What clients may ask for by
// x-envoy-fault-* headers is decided by the config alone: without header_delay or header_abort they change nothing, and a header's
// percentage can only lower the configured one.
//
//   requestHead ──delay?──▶ DELAYED ──timer──▶ abort? ──▶ reply | resume

import type { Timer } from '../../io/clock.js'
import type { Counter } from '../../metrics/stat.js'
import type { FaultConfig, HttpFilterOverride } from '../../model/http-filter.js'
import type { RuntimeFraction } from '../../model/matcher.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import { isGrpcRequest } from '../grpc/grpc.js'
import { compileHeaderMatchers } from '../match/header-matcher.js'
import { drawFraction } from '../match/runtime-fraction.js'
import { ResponseFlag } from '../stream/response-flags.js'
import { BodyThrottle, byteBucket, MIN_WAITING_BYTES, throttledResponse } from './body-throttle.js'
import { compileOnce } from './compile-once.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'
import { responseControl } from './response-control.js'
import { targetCluster } from './route-target.js'

/** Downstream clusters (x-envoy-downstream-service-cluster) that get counters of their own. */
const MAX_DOWNSTREAM_CLUSTERS = 64
/** A slowed response gets bytes so often. */
const FILL_INTERVAL_MS = 50
/** Longest delay a header may ask for: one hour. */
export const MAX_HEADER_DELAY_MS = 3_600_000

const FAULT_METADATA = 'envoy.filters.http.fault'

const COUNTERS = ['aborts_injected', 'delays_injected', 'faults_overflow', 'response_rl_injected'] as const

export function faultFilter(name: string, disabled: boolean, config: FaultConfig, ctx: FilterContext): FilterFactory {
  const stats = new FaultStats(ctx)
  const own = new CompiledFault(config, ctx, stats)
  const faultOf = compileOnce((override: HttpFilterOverride & { kind: 'fault' }) => new CompiledFault(override.config, ctx, stats))
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      const override = call.overrideFor(name)
      const fault = override?.kind === 'fault' ? faultOf(override) : own
      return fault.concerns(call) ? new FaultFilter(fault) : null
    },
  }
}

class FaultStats {
  readonly main
  readonly active
  private readonly ctx: FilterContext
  private readonly byCluster = new Map<string, { readonly aborts: Counter; readonly delays: Counter }>()

  constructor(ctx: FilterContext) {
    this.ctx = ctx
    this.main = ctx.httpCounters('fault', COUNTERS)
    this.active = ctx.httpGauge('fault', 'active_faults')
  }

  /** Counters of the calling service, or null. The name comes from the network. */
  downstream(name: string): { readonly aborts: Counter; readonly delays: Counter } | null {
    if (name === '') return null
    const known = this.byCluster.get(name)
    if (known !== undefined) return known
    if (this.byCluster.size >= MAX_DOWNSTREAM_CLUSTERS || !/^[\w.-]{1,128}$/.test(name)) return null
    const scope = this.ctx.httpScope(`fault.${name}`)
    const made = { aborts: scope.counter('aborts_injected'), delays: scope.counter('delays_injected') }
    this.byCluster.set(name, made)
    return made
  }
}

/** What the runtime may override for one calling service only, beside the keys of the config. */
const clusterKey = (cluster: string, key: string) => `fault.http.${cluster}.${key}`

class CompiledFault {
  readonly config: FaultConfig
  readonly ctx: FilterContext
  readonly stats: FaultStats
  private readonly matches: ReturnType<typeof compileHeaderMatchers>
  private readonly nodes: ReadonlySet<string> | null
  private readonly inert: boolean

  constructor(config: FaultConfig, ctx: FilterContext, stats: FaultStats) {
    this.config = config
    this.ctx = ctx
    this.stats = stats
    this.matches = compileHeaderMatchers(config.headers)
    this.nodes = config.downstreamNodes.length === 0 ? null : new Set(config.downstreamNodes)
    this.inert = config.delay === null && config.abort === null && config.responseRateLimit === null
  }

  concerns(call: FilterCall): boolean {
    if (this.inert) return false
    const { config } = this
    const head = call.request
    if (config.upstreamCluster !== '' && targetCluster(call, head) !== config.upstreamCluster) return false
    if (this.nodes !== null && !this.nodes.has(head.headers.get('x-envoy-downstream-service-node') ?? '')) return false
    return this.matches === null || this.matches(head, call.info)
  }

  /** True when one more fault would pass the limit. */
  overflows(): boolean {
    const limit = numberOf(this.ctx.runtime.get(this.config.runtimeKeys.maxActiveFaults)) ?? this.config.maxActiveFaults
    if (limit === null || this.stats.active.value < limit) return false
    this.stats.main.faults_overflow.value++
    return true
  }

  /** KiB/s, or null for no limit. */
  responseLimit(head: RequestHead): number | null {
    const { responseRateLimit } = this.config
    if (responseRateLimit === null) return null
    const fraction = askedFraction(head, 'x-envoy-fault-throughput-response-percentage', responseRateLimit.kbps, responseRateLimit.fraction)
    if (!this.draw(fraction, '', '')) return null
    const kbps = responseRateLimit.kbps ?? headerNumber(head, 'x-envoy-fault-throughput-response')
    return kbps === null || kbps === 0 ? null : kbps
  }

  /** Milliseconds, or 0 for none. `cluster`: x-envoy-downstream-service-cluster. */
  delayMs(head: RequestHead, cluster: string): number {
    const { delay, runtimeKeys } = this.config
    if (delay === null) return 0
    const fraction = askedFraction(head, 'x-envoy-fault-delay-request-percentage', delay.fromHeader ? null : 0, delay.fraction)
    if (!this.draw(fraction, cluster, 'delay.fixed_delay_percent')) return 0
    const ms = delay.fromHeader ? headerNumber(head, 'x-envoy-fault-delay-request') : delay.fixedMs
    if (ms === null) return 0
    return Math.min(this.overridden(runtimeKeys.delayDuration, cluster, 'delay.fixed_duration_ms', ms), MAX_HEADER_DELAY_MS)
  }

  abortOf(head: RequestHead, cluster: string): { readonly httpStatus: number; readonly grpcStatus: number | null } | null {
    const { abort, runtimeKeys } = this.config
    if (abort === null) return null
    const fraction = askedFraction(head, 'x-envoy-fault-abort-request-percentage', abort.fromHeader ? null : 0, abort.fraction)
    if (!this.draw(fraction, cluster, 'abort.abort_percent')) return null
    const httpStatus = abort.fromHeader ? headerNumber(head, 'x-envoy-fault-abort-request') : abort.httpStatus
    if (httpStatus !== null && isStatus(httpStatus)) {
      const overridden = this.overridden(runtimeKeys.abortHttpStatus, cluster, 'abort.http_status', httpStatus)
      return { httpStatus: isStatus(overridden) ? overridden : httpStatus, grpcStatus: null }
    }
    const grpcStatus = abort.fromHeader ? headerNumber(head, 'x-envoy-fault-abort-grpc-request') : abort.grpcStatus
    if (grpcStatus === null) return null
    return { httpStatus: 200, grpcStatus: this.overridden(runtimeKeys.abortGrpcStatus, cluster, 'abort.grpc_status', grpcStatus) }
  }

  /** Does the fault happen? One more chance where the runtime has a share for the calling service. */
  private draw(fraction: RuntimeFraction, cluster: string, key: string): boolean {
    const { runtime, random } = this.ctx
    if (drawFraction(fraction, fraction.runtimeKey, runtime, random)) return true
    if (cluster === '' || runtime.get(clusterKey(cluster, key)) === undefined) return false
    return drawFraction(fraction, clusterKey(cluster, key), runtime, random)
  }

  private overridden(key: string, cluster: string, suffix: string, configured: number): number {
    const { runtime } = this.ctx
    const general = numberOf(runtime.get(key)) ?? configured
    return cluster === '' ? general : (numberOf(runtime.get(clusterKey(cluster, suffix))) ?? general)
  }
}

class FaultFilter implements StreamFilter {
  private readonly fault: CompiledFault
  private timer: Timer | null = null
  private counted = false
  private throttle: BodyThrottle | null = null
  private cluster = ''

  constructor(fault: CompiledFault) {
    this.fault = fault
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const { fault } = this
    this.cluster = head.headers.get('x-envoy-downstream-service-cluster') ?? ''
    const limit = fault.responseLimit(head)
    if (limit !== null && this.begin(call)) {
      fault.stats.main.response_rl_injected.value++
      const { clock } = fault.ctx
      const body = throttledResponse(this, responseControl(call))
      const bucket = byteBucket(limit, FILL_INTERVAL_MS, clock)
      this.throttle = new BodyThrottle(body, clock, bucket, FILL_INTERVAL_MS, MIN_WAITING_BYTES, null)
    }
    const ms = fault.delayMs(head, this.cluster)
    if (ms <= 0 || !this.begin(call)) return this.maybeAbort(call, head) ? 'stop' : 'continue'
    fault.stats.main.delays_injected.value++
    const downstream = this.downstreamStats()
    if (downstream !== null) downstream.delays.value++
    call.info.responseFlags |= ResponseFlag.DelayInjected
    this.timer = fault.ctx.clock.after(ms, () => {
      this.timer = null
      if (call.ended) return
      if (!this.maybeAbort(call, head)) call.resume()
    })
    return 'stop'
  }

  responseHead(_call: FilterCall, _head: ResponseHead, _end: boolean, local: boolean): FilterStatus {
    // Our own replies leave at once.
    if (local) this.throttle = null
    return 'continue'
  }

  responseData(_call: FilterCall, chunk: Buffer, end: boolean): Buffer | null {
    if (this.throttle === null) return chunk
    this.throttle.push(chunk, end)
    return null
  }

  responseTrailers(_call: FilterCall, trailers: HeaderList): HeaderList | null {
    if (this.throttle === null) return trailers
    this.throttle.endWith(trailers)
    return null
  }

  finished(): void {
    this.timer?.cancel()
    this.throttle?.cancel()
    if (this.counted) {
      this.counted = false
      this.fault.stats.active.value--
    }
  }

  private maybeAbort(call: FilterCall, head: RequestHead): boolean {
    const { fault } = this
    const abort = fault.abortOf(head, this.cluster)
    if (abort === null || !this.begin(call)) return false
    fault.stats.main.aborts_injected.value++
    const downstream = this.downstreamStats()
    if (downstream !== null) downstream.aborts.value++
    // Only gRPC requests hear of a gRPC status.
    const grpc = abort.grpcStatus !== null && isGrpcRequest(head)
    call.info.noteFailure('the fault filter aborts it, as it is configured to')
    const headers = grpc ? HeaderList.of(['grpc-status', String(abort.grpcStatus)]) : null
    call.sendReply(
      abort.httpStatus,
      fault.config.abort?.body || 'fault filter abort',
      'fault_filter_abort',
      ResponseFlag.FaultInjected,
      headers,
    )
    return true
  }

  private downstreamStats(): { readonly aborts: Counter; readonly delays: Counter } | null {
    return this.fault.config.downstreamClusterStats ? this.fault.stats.downstream(this.cluster) : null
  }

  /** Counts the request as one active fault, however many it gets. False: the limit is reached and nothing happens to it. */
  private begin(call: FilterCall): boolean {
    if (this.counted) return true
    const { fault } = this
    if (fault.overflows()) return false
    this.counted = true
    fault.stats.active.value++
    const { filterMetadata } = fault.config
    if (filterMetadata !== null) {
      for (const [key, value] of Object.entries(filterMetadata)) call.info.setDynamicMetadata(FAULT_METADATA, key, value)
    }
    return true
  }
}

/** Of a fault that a header sets (`configured` null), a header may lower the share, not raise it. */
function askedFraction(head: RequestHead, header: string, configured: number | null, fraction: RuntimeFraction): RuntimeFraction {
  const asked = configured === null ? headerNumber(head, header) : null
  return asked === null || asked >= fraction.numerator ? fraction : { ...fraction, numerator: asked }
}

function isStatus(status: number): boolean {
  return status >= 200 && status < 600
}

/** An unsigned decimal in one field, or null. */
function headerNumber(head: RequestHead, name: string): number | null {
  const text = head.headers.get(name)
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : null
}

function numberOf(value: number | boolean | string | undefined): number | null {
  return typeof value === 'number' ? value : null
}
