// envoy.filters.http.health_check: answers a load balancer's probes for the proxy. Without pass-through it answers itself: 503 while
// the server is told to fail, else by the health of the named clusters, else 200. With pass-through the service answers, and its
// answer may be kept for a while. While failing, every response carries x-envoy-immediate-health-check-fail.

import type { HealthCheckFilterConfig } from '../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import { compileHeaderMatchers } from '../match/header-matcher.js'
import { ResponseFlag } from '../stream/response-flags.js'
import { HEALTH_CHECK_STATE } from '../stream/stream-info.js'
import type { FilterContext } from './filter-environment.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'

export function healthCheckFilter(name: string, disabled: boolean, config: HealthCheckFilterConfig, ctx: FilterContext): FilterFactory {
  const matches = compileHeaderMatchers(config.headers)
  const cache: StatusCache = { status: 0, degraded: false, until: -1 }
  const stats = ctx.httpCounters('health_check', COUNTERS)
  const failMarker = new FailMarker()
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      if (matches === null || matches(call.request, call.info)) return new HealthCheckFilter(config, ctx, cache, stats)
      return ctx.env.healthFailed() ? failMarker : null
    },
  }
}

/** `http.<prefix>.health_check.`: of the probes that the filter answers. */
const COUNTERS = [
  'cached_response',
  'degraded',
  'failed',
  'failed_cluster_empty',
  'failed_cluster_not_found',
  'failed_cluster_unhealthy',
  'ok',
  'request_total',
] as const

type HealthCheckStats = Readonly<Record<(typeof COUNTERS)[number], { value: number }>>

interface StatusCache {
  status: number
  degraded: boolean
  until: number
}

/** Why the named clusters say that the proxy is not healthy, by the counter. */
const FAULT_DETAILS = {
  failed_cluster_not_found: 'health_check_failed_no_cluster_found',
  failed_cluster_empty: 'health_check_failed_cluster_empty',
  failed_cluster_unhealthy: 'health_check_failed_cluster_unhealthy',
} as const

/** Not a probe, but the balancers that see the answer shall turn away. */
class FailMarker implements StreamFilter {
  responseHead(_call: FilterCall, head: ResponseHead): FilterStatus {
    head.headers.set('x-envoy-immediate-health-check-fail', 'true')
    return 'continue'
  }
}

class HealthCheckFilter implements StreamFilter {
  private readonly config: HealthCheckFilterConfig
  private readonly ctx: FilterContext
  private readonly cache: StatusCache
  private readonly stats: HealthCheckStats
  private passedThrough = false

  constructor(config: HealthCheckFilterConfig, ctx: FilterContext, cache: StatusCache, stats: HealthCheckStats) {
    this.config = config
    this.ctx = ctx
    this.cache = cache
    this.stats = stats
  }

  requestHead(call: FilterCall, _head: RequestHead): FilterStatus {
    call.info.setFilterState(HEALTH_CHECK_STATE, true)
    this.ctx.env.stats.tracing.health_check.value++
    if (this.ctx.env.healthFailed()) {
      this.answer(call, 503, 'health_check_failed', false, true)
      return 'stop'
    }
    const { config, cache } = this
    if (!config.passThrough) {
      const fault = this.clusterFault()
      if (fault !== null) {
        this.stats[fault].value++
        this.answer(call, 503, FAULT_DETAILS[fault], false, false)
      } else {
        const details = config.clusterMinHealthyPercentages.size > 0 ? 'health_check_ok_cluster_healthy' : 'health_check_ok'
        this.answer(call, 200, details, false, false)
      }
      return 'stop'
    }
    if (config.cacheTimeMs !== null && this.ctx.clock.now() < cache.until) {
      this.stats.cached_response.value++
      if (cache.degraded) this.stats.degraded.value++
      this.answer(call, cache.status, 'health_check_cached', cache.degraded, false)
      return 'stop'
    }
    this.passedThrough = true
    return 'continue'
  }

  responseHead(_call: FilterCall, head: ResponseHead, _end: boolean, local: boolean): FilterStatus {
    if (!this.passedThrough) return 'continue'
    const { cache, config } = this
    if (config.cacheTimeMs !== null && !local) {
      cache.status = head.status
      cache.degraded = head.headers.has('x-envoy-degraded')
      cache.until = this.ctx.clock.now() + config.cacheTimeMs
    }
    head.headers.set('x-envoy-upstream-healthchecked-cluster', this.ctx.env.serviceCluster ?? '')
    return 'continue'
  }

  /** Null: all named clusters are healthy enough. */
  private clusterFault(): keyof typeof FAULT_DETAILS | null {
    for (const [name, minPercent] of this.config.clusterMinHealthyPercentages) {
      const cluster = this.ctx.env.clusters.get(name)
      if (cluster === undefined) return 'failed_cluster_not_found'
      const { membership_total, membership_healthy, membership_degraded } = cluster.stats.main
      const total = membership_total.value
      const available = membership_healthy.value + membership_degraded.value
      if (total === 0 && minPercent > 0) return 'failed_cluster_empty'
      if (total > 0 && (available * 100) / total < minPercent) return 'failed_cluster_unhealthy'
    }
    return null
  }

  private answer(call: FilterCall, status: number, details: string, degraded: boolean, failing: boolean): void {
    const headers = new HeaderList()
    if (failing) headers.append('x-envoy-immediate-health-check-fail', 'true')
    if (degraded) headers.append('x-envoy-degraded', 'true')
    headers.append('x-envoy-upstream-healthchecked-cluster', this.ctx.env.serviceCluster ?? '')
    const ok = status >= 200 && status < 300
    this.stats.request_total.value++
    if (ok) this.stats.ok.value++
    else this.stats.failed.value++
    call.sendReply(status, '', details, ok ? 0 : ResponseFlag.FailedLocalHealthCheck, headers)
  }
}
