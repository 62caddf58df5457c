// envoy.filters.http.fault: delays and aborts of a share of the requests, and slowed responses. What clients may ask for by
// x-envoy-fault-* headers is decided by the config alone: without header_delay or header_abort they change nothing, and a header's
// percentage can only lower the configured one.
//
//   requestHead ──delay?──▶ DELAYED ──timer──▶ abort? ──▶ reply | resume

import type { Counter } from '../../metrics/stat.js'
import type { FaultConfig, HttpFilterOverride } from '../../model/http-filter.js'
import type { RuntimeFraction } from '../../model/matcher.js'
import type { Timer } from '../../upstream/clock.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'
import { compileHeaderMatchers } from '../match/header-matcher.js'
import { compileRuntimeFraction, type FractionTest } from '../match/runtime-fraction.js'
import { ResponseFlag } from '../response-flags.js'
import type { FilterContext } from './filter-environment.js'
import { responseControl } from './response-control.js'
import { ResponseThrottle } from './response-throttle.js'
import { targetCluster } from './route-target.js'

/** Downstream clusters (x-envoy-downstream-service-cluster) that get counters of their own. */
const MAX_DOWNSTREAM_CLUSTERS = 64
/** Longest delay a header may ask for: one hour. */
export const MAX_HEADER_DELAY_MS = 3_600_000

const COUNTERS = ['aborts_injected', 'delays_injected', 'faults_overflow', 'response_rl_injected'] as const

export function faultFilter(name: string, disabled: boolean, config: FaultConfig, ctx: FilterContext): FilterFactory {
  const stats = new FaultStats(ctx)
  const own = new CompiledFault(config, ctx, stats)
  const byOverride = new WeakMap<HttpFilterOverride, CompiledFault>()
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      const override = call.overrideFor(name)
      let fault = own
      if (override?.kind === 'fault') {
        let compiled = byOverride.get(override)
        if (compiled === undefined) {
          compiled = new CompiledFault(override.config, ctx, stats)
          byOverride.set(override, compiled)
        }
        fault = compiled
      }
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
  downstream(head: RequestHead): { readonly aborts: Counter; readonly delays: Counter } | null {
    const name = head.headers.get('x-envoy-downstream-service-cluster')
    if (name === undefined || name === '') return null
    const known = this.byCluster.get(name)
    if (known !== undefined) return known
    if (this.byCluster.size >= MAX_DOWNSTREAM_CLUSTERS || !/^[\w.-]{1,128}$/.test(name)) return null
    const scope = this.ctx.httpScope(`fault.${name}`)
    const made = { aborts: scope.counter('aborts_injected'), delays: scope.counter('delays_injected') }
    this.byCluster.set(name, made)
    return made
  }
}

class CompiledFault {
  readonly config: FaultConfig
  readonly ctx: FilterContext
  readonly stats: FaultStats
  private readonly matches: ReturnType<typeof compileHeaderMatchers>
  private readonly nodes: ReadonlySet<string> | null
  private readonly delayFraction: FractionTest | null
  private readonly abortFraction: FractionTest | null
  private readonly inert: boolean

  constructor(config: FaultConfig, ctx: FilterContext, stats: FaultStats) {
    this.config = config
    this.ctx = ctx
    this.stats = stats
    this.matches = compileHeaderMatchers(config.headers)
    this.nodes = config.downstreamNodes.length === 0 ? null : new Set(config.downstreamNodes)
    this.delayFraction = compileRuntimeFraction(config.delay?.fraction ?? null, ctx.runtime)
    this.abortFraction = compileRuntimeFraction(config.abort?.fraction ?? null, ctx.runtime)
    this.inert = config.delay === null && config.abort === null && config.responseRateLimitKbps === null
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
    const fromRuntime = numberOf(this.ctx.runtime.get('fault.http.max_active_faults'))
    const limit = fromRuntime ?? this.config.maxActiveFaults
    if (limit === null || this.stats.active.value < limit) return false
    this.stats.main.faults_overflow.value++
    return true
  }

  /** Milliseconds, or 0 for none. */
  delayMs(head: RequestHead): number {
    const { delay } = this.config
    if (delay === null) return 0
    if (delay.fromHeader) {
      const ms = headerNumber(head, 'x-envoy-fault-delay-request')
      if (ms === null || !this.headerChance(head, 'x-envoy-fault-delay-request-percentage', delay.fraction, this.delayFraction)) return 0
      return Math.min(ms, MAX_HEADER_DELAY_MS)
    }
    if (!draw(this.delayFraction, this.ctx)) return 0
    return numberOf(this.ctx.runtime.get('fault.http.delay.fixed_duration_ms')) ?? delay.fixedMs ?? 0
  }

  abortOf(head: RequestHead): { readonly httpStatus: number; readonly grpcStatus: number | null } | null {
    const { abort } = this.config
    if (abort === null) return null
    if (abort.fromHeader) {
      const httpStatus = headerNumber(head, 'x-envoy-fault-abort-request')
      const grpcStatus = headerNumber(head, 'x-envoy-fault-abort-grpc-request')
      const hasHttp = httpStatus !== null && httpStatus >= 200 && httpStatus < 600
      if (!hasHttp && (grpcStatus === null || grpcStatus > 16)) return null
      if (!this.headerChance(head, 'x-envoy-fault-abort-request-percentage', abort.fraction, this.abortFraction)) return null
      return hasHttp ? { httpStatus, grpcStatus: null } : { httpStatus: 200, grpcStatus }
    }
    if (!draw(this.abortFraction, this.ctx)) return null
    if (abort.httpStatus !== null) {
      const status = numberOf(this.ctx.runtime.get('fault.http.abort.http_status')) ?? abort.httpStatus
      return { httpStatus: status >= 200 && status < 600 ? status : abort.httpStatus, grpcStatus: null }
    }
    return { httpStatus: 200, grpcStatus: numberOf(this.ctx.runtime.get('fault.http.abort.grpc_status')) ?? abort.grpcStatus ?? 0 }
  }

  /** The header may lower the configured share, not raise it. */
  private headerChance(head: RequestHead, header: string, fraction: RuntimeFraction, configured: FractionTest | null): boolean {
    const asked = headerNumber(head, header)
    if (asked === null) return draw(configured, this.ctx)
    const numerator = Math.min(asked, fraction.numerator)
    return this.ctx.random() * fraction.denominator < numerator
  }
}

class FaultFilter implements StreamFilter {
  private readonly fault: CompiledFault
  private timer: Timer | null = null
  private counted = false
  private throttle: ResponseThrottle | null = null

  constructor(fault: CompiledFault) {
    this.fault = fault
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const { fault } = this
    if (fault.overflows()) return 'continue'
    const limit = fault.config.responseRateLimitKbps
    if (limit !== null) {
      this.count()
      fault.stats.main.response_rl_injected.value++
      this.throttle = new ResponseThrottle(this, responseControl(call), fault.ctx.clock, limit)
    }
    const ms = fault.delayMs(head)
    if (ms <= 0) return this.maybeAbort(call, head) ? 'stop' : 'continue'
    this.count()
    fault.stats.main.delays_injected.value++
    const downstream = fault.stats.downstream(head)
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
    const abort = fault.abortOf(head)
    if (abort === null) return false
    this.count()
    fault.stats.main.aborts_injected.value++
    const downstream = fault.stats.downstream(head)
    if (downstream !== null) downstream.aborts.value++
    const headers = abort.grpcStatus === null ? null : HeaderList.of(['grpc-status', String(abort.grpcStatus)])
    call.sendReply(abort.httpStatus, 'fault filter abort', 'fault_filter_abort', ResponseFlag.FaultInjected, headers)
    return true
  }

  private count(): void {
    if (this.counted) return
    this.counted = true
    this.fault.stats.active.value++
  }
}

/** A null test of a fault means always: it is only asked when the fault is there. */
function draw(test: FractionTest | null, ctx: FilterContext): boolean {
  return test === null || test(ctx.random())
}

/** An unsigned decimal in one field, or null. */
function headerNumber(head: RequestHead, name: string): number | null {
  const text = head.headers.get(name)
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : null
}

function numberOf(value: number | boolean | string | undefined): number | null {
  return typeof value === 'number' ? value : null
}
