// Passive health checking (envoy.config.cluster.v3.OutlierDetection): ejects hosts that fail in a row, or clearly more than the others,
// and lets them back after a time that grows. Called by UpstreamCluster.record* per response and by its own interval timer.
// Invariant: `ejected` counts the hosts with FAILED_OUTLIER_CHECK; it never exceeds max_ejection_percent, except for the first host
// under always_eject_one_host, whatever the order of adds, removals and failures.

import { type Clock, NO_TIMER, type Timer } from '../../io/clock.js'
import type { ClusterStats } from '../../metrics/stat-names.js'
import type { OutlierDetection } from '../../model/cluster.js'
import { HealthFlag, type Host } from '../host/host.js'
import { OutlierMonitor, type SuccessRate } from '../host/outlier-monitor.js'
import type { EjectionCause, SuccessRates } from './ejection.js'
import type { OutlierEvents } from './event-log.js'

/** Envoy's Outlier::Result: what happened to a try, seen from the proxy. */
export type OutlierResult = 'extSuccess' | 'extFailure' | 'localTimeout' | 'localConnectFailed' | 'localSuccess' | 'localSuccessFinal'

export interface OutlierHooks {
  /** Sets or clears FAILED_OUTLIER_CHECK; the host lists follow. */
  setEjected(host: Host, ejected: boolean): void
  /** One line an ejection or return. */
  log(message: string): void
  readonly clusterName: string
  readonly clock: Clock
  readonly random: () => number
  /** Another process judges: it is told of each run of failures, and takes the rates. Null: this one does. */
  readonly tellRun: ((host: Host, cause: EjectionCause) => void) | null
  /** Null: there is no event log. */
  readonly events: OutlierEvents | null
}

/** Success rates, standard deviation factors: `1900` in the config means 1.9. */
const FACTOR_SCALE = 1000

export class OutlierDetector implements SuccessRates {
  private config: OutlierDetection
  private readonly stats: ClusterStats
  private readonly hooks: OutlierHooks
  private readonly hosts = new Set<Host>()
  private ejected = 0
  private timer: Timer
  readonly successRateAverage = { external: -1, localOrigin: -1 }
  readonly successRateThreshold = { external: -1, localOrigin: -1 }

  constructor(config: OutlierDetection, stats: ClusterStats, hooks: OutlierHooks) {
    this.config = config
    this.stats = stats
    this.hooks = hooks
    this.timer = this.nextInterval()
  }

  /** New parameters; runs, rates and ejections stay. */
  update(config: OutlierDetection): void {
    const intervalChanged = config.intervalMs !== this.config.intervalMs
    this.config = config
    if (!intervalChanged) return
    this.timer.cancel()
    this.timer = this.nextInterval()
  }

  private nextInterval(): Timer {
    const { config, hooks } = this
    return hooks.tellRun === null ? hooks.clock.after(config.intervalMs, () => this.onInterval()) : NO_TIMER
  }

  add(host: Host): void {
    host.outlier ??= new OutlierMonitor()
    this.hosts.add(host)
  }

  remove(host: Host): void {
    if (!this.hosts.delete(host) || !host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK)) return
    this.changeEjected(-1)
  }

  /** Ends detection: every ejected host returns. */
  close(): void {
    this.timer.cancel()
    for (const host of this.hosts) {
      if (host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK)) {
        this.changeEjected(-1)
        this.hooks.setEjected(host, false)
      }
      host.outlier = null
    }
    this.hosts.clear()
  }

  /** A try ended. `status`: the HTTP status, where there was one (or one stands for the failure). */
  // HOT: once a response.
  report(host: Host, result: OutlierResult, status: number | null): void {
    const monitor = host.outlier
    if (monitor === null) return
    if (this.config.splitExternalLocalOriginErrors) this.reportSplit(host, monitor, result, status)
    else {
      const code = status ?? statusOf(result)
      if (code !== null) this.countStatus(host, monitor, code)
    }
  }

  /** successful_active_health_check_uneject_host: a passed active check ends the ejection. */
  onActiveCheckPassed(host: Host): void {
    if (this.config.successfulActiveHealthCheckUnejectHost && host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK)) {
      this.uneject(host, 'an active health check passed')
    }
  }

  private reportSplit(host: Host, monitor: OutlierMonitor, result: OutlierResult, status: number | null): void {
    switch (result) {
      case 'localSuccess':
      case 'localSuccessFinal':
        this.countLocal(host, monitor, true)
        return
      case 'localTimeout':
      case 'localConnectFailed':
        this.countLocal(host, monitor, false)
        return
      case 'extFailure':
        this.countStatus(host, monitor, status ?? 503)
        return
      case 'extSuccess':
        this.countStatus(host, monitor, status ?? 200)
        this.countLocal(host, monitor, true)
    }
  }

  private countStatus(host: Host, monitor: OutlierMonitor, status: number): void {
    const failed = status >= 500 && status < 600
    monitor.external.count(!failed)
    if (!failed) {
      monitor.consecutive5xx = 0
      monitor.consecutiveGatewayFailures = 0
      return
    }
    if (status === 502 || status === 503 || status === 504) {
      if (++monitor.consecutiveGatewayFailures === this.config.consecutiveGatewayFailure) {
        this.onRun(host, 'consecutive_gateway_failure')
        monitor.consecutiveGatewayFailures = 0
      }
    } else monitor.consecutiveGatewayFailures = 0
    if (++monitor.consecutive5xx === this.config.consecutive5xx) {
      this.onRun(host, 'consecutive_5xx')
      monitor.consecutive5xx = 0
    }
  }

  private countLocal(host: Host, monitor: OutlierMonitor, success: boolean): void {
    monitor.localOrigin.count(success)
    if (success) {
      monitor.consecutiveLocalOriginFailures = 0
      return
    }
    if (++monitor.consecutiveLocalOriginFailures === this.config.consecutiveLocalOriginFailure) {
      this.onRun(host, 'consecutive_local_origin_failure')
      monitor.consecutiveLocalOriginFailures = 0
    }
  }

  /** A run of failures reached its limit, here or in a worker. */
  onRun(host: Host, cause: EjectionCause): void {
    if (!this.hosts.has(host) || host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK)) return
    if (this.hooks.tellRun !== null) {
      this.hooks.tellRun(host, cause)
      return
    }
    this.detected(host, cause, null)
    if (cause === 'consecutive_5xx') this.stats.outlierDetection.ejections_consecutive_5xx.value++
  }

  private detected(host: Host, cause: EjectionCause, rate: string | null): void {
    const { config, hooks } = this
    const stats = this.stats.outlierDetection
    stats[`ejections_detected_${cause}`].value++
    const allowed = (100 * (this.ejected + 1)) / this.hosts.size <= Math.min(100, config.maxEjectionPercent)
    if (!allowed && !(config.alwaysEjectOneHost && this.ejected === 0)) {
      stats.ejections_overflow.value++
      return
    }
    if (cause === 'consecutive_5xx' || cause === 'success_rate') stats.ejections_total.value++
    if (Math.floor(hooks.random() * 100) >= this.enforcing(cause)) {
      hooks.events?.ejected(host, cause, false, this)
      return
    }
    const monitor = host.outlier!
    this.changeEjected(1)
    stats.ejections_enforced_total.value++
    stats[`ejections_enforced_${cause}`].value++
    monitor.ejections++
    monitor.ejectedAtMs = hooks.clock.now()
    monitor.jitterMs = Math.floor(hooks.random() * (config.maxEjectionTimeJitterMs + 1))
    if (monitor.backoff * config.baseEjectionTimeMs < config.maxEjectionTimeMs + config.baseEjectionTimeMs) monitor.backoff++
    hooks.setEjected(host, true)
    hooks.events?.ejected(host, cause, true, this)
    hooks.log(
      `outlier: cluster ${hooks.clusterName}: host ${host.addressText} ejected: ${cause}${rate === null ? '' : ` (${rate})`}, for ` +
        `${this.ejectionTimeMs(monitor)} ms (ejection ${monitor.ejections}), ${this.ejected} of ${this.hosts.size} hosts ejected`,
    )
  }

  private ejectionTimeMs(monitor: OutlierMonitor): number {
    return Math.min(this.config.baseEjectionTimeMs * monitor.backoff, this.config.maxEjectionTimeMs) + monitor.jitterMs
  }

  private uneject(host: Host, why: string): void {
    const monitor = host.outlier!
    this.changeEjected(-1)
    monitor.resetRuns()
    monitor.unejectedAtMs = this.hooks.clock.now()
    this.hooks.setEjected(host, false)
    this.hooks.events?.returned(host)
    this.hooks.log(`outlier: cluster ${this.hooks.clusterName}: host ${host.addressText} returns: ${why}`)
  }

  private onInterval(): void {
    const now = this.hooks.clock.now()
    for (const host of this.hosts) {
      const monitor = host.outlier!
      if (host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK) && now - monitor.ejectedAtMs! >= this.ejectionTimeMs(monitor)) {
        this.uneject(host, 'its ejection time is over')
      }
      monitor.external.rotate()
      monitor.localOrigin.rotate()
    }
    this.compareRates('external')
    this.compareRates('localOrigin')
    for (const host of this.hosts) {
      const monitor = host.outlier!
      if (host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK) || monitor.unejectedAtMs === null) continue
      if (now - monitor.unejectedAtMs >= this.config.intervalMs && monitor.backoff > 0) monitor.backoff--
    }
    this.timer = this.nextInterval()
  }

  /** Success rate (against mean and deviation) and failure percentage (absolute) of the last interval. */
  private compareRates(kind: 'external' | 'localOrigin'): void {
    const { config } = this
    this.successRateAverage[kind] = -1
    this.successRateThreshold[kind] = -1
    if (this.hosts.size < config.successRateMinimumHosts && this.hosts.size < config.failurePercentageMinimumHosts) return
    const forSuccessRate: Host[] = []
    const forFailurePercentage: Host[] = []
    let sum = 0
    for (const host of this.hosts) {
      if (host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK)) continue
      const rate: SuccessRate = host.outlier![kind]
      if (rate.volume === 0) continue
      if (rate.volume >= Math.min(config.successRateRequestVolume, config.failurePercentageRequestVolume)) rate.shown = rate.percent
      if (rate.volume >= config.successRateRequestVolume) {
        forSuccessRate.push(host)
        sum += rate.percent
      }
      if (rate.volume >= config.failurePercentageRequestVolume) forFailurePercentage.push(host)
    }
    if (forSuccessRate.length > 0 && forSuccessRate.length >= config.successRateMinimumHosts) {
      const mean = sum / forSuccessRate.length
      const variance = forSuccessRate.reduce((total, host) => total + (host.outlier![kind].percent - mean) ** 2, 0) / forSuccessRate.length
      const threshold = mean - (config.successRateStdevFactor / FACTOR_SCALE) * Math.sqrt(variance)
      this.successRateAverage[kind] = mean
      this.successRateThreshold[kind] = threshold
      for (const host of forSuccessRate) {
        const { percent } = host.outlier![kind]
        if (percent >= threshold) continue
        this.stats.outlierDetection.ejections_success_rate.value++
        const rate = `${percent.toFixed(1)} % success, threshold ${threshold.toFixed(1)} %`
        this.detected(host, kind === 'external' ? 'success_rate' : 'local_origin_success_rate', rate)
      }
    }
    if (forFailurePercentage.length === 0 || forFailurePercentage.length < config.failurePercentageMinimumHosts) return
    for (const host of forFailurePercentage) {
      if (host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK)) continue
      const failures = 100 - host.outlier![kind].percent
      if (failures < config.failurePercentageThreshold) continue
      const rate = `${failures.toFixed(1)} % failures, threshold ${config.failurePercentageThreshold} %`
      this.detected(host, kind === 'external' ? 'failure_percentage' : 'local_origin_failure_percentage', rate)
    }
  }

  private changeEjected(by: 1 | -1): void {
    this.ejected += by
    this.stats.outlierDetection.ejections_active.value = this.ejected
  }

  private enforcing(cause: EjectionCause): number {
    const { config } = this
    switch (cause) {
      case 'consecutive_5xx':
        return config.enforcingConsecutive5xx
      case 'consecutive_gateway_failure':
        return config.enforcingConsecutiveGatewayFailure
      case 'success_rate':
        return config.enforcingSuccessRate
      case 'failure_percentage':
        return config.enforcingFailurePercentage
      case 'consecutive_local_origin_failure':
        return config.enforcingConsecutiveLocalOriginFailure
      case 'local_origin_success_rate':
        return config.enforcingLocalOriginSuccessRate
      case 'local_origin_failure_percentage':
        return config.enforcingFailurePercentageLocalOrigin
    }
  }
}

/** Without split_external_local_origin_errors everything is an HTTP status; a bare connect success says nothing yet. */
function statusOf(result: OutlierResult): number | null {
  switch (result) {
    case 'extSuccess':
    case 'localSuccessFinal':
      return 200
    case 'extFailure':
      return 500
    case 'localTimeout':
      return 504
    case 'localConnectFailed':
      return 503
    case 'localSuccess':
      return null
  }
}

const GRPC_TO_HTTP = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]

/** The HTTP status that a gRPC status counts as (Envoy's Grpc::Utility::grpcToHttpStatus). */
export function httpStatusOfGrpc(grpcStatus: number): number {
  return GRPC_TO_HTTP[grpcStatus] ?? 500
}
