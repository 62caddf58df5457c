// What Envoy writes of hosts that go and come back: outlier detection's events (cluster_manager.outlier_detection) and those of active health
// checks (event_log_path, event_logger), a line of JSON each, with Envoy's fields. Written by OutlierDetector and HealthChecker; the lines go
// where the proxy opens a log. Invariant: only the process that judges writes, and nothing is made where there is no log.

import type { Clock } from '../../io/clock.js'
import type { HealthCheck, HealthEventRules } from '../../model/cluster.js'
import type { Host } from '../host/host.js'
import type { EjectionCause, SuccessRates } from './ejection.js'

/** Where lines go; each ends with a line feed, and is a byte string. */
export interface EventLog {
  write(line: string): void
}

const EJECTION_TYPES: Readonly<Record<EjectionCause, string>> = {
  consecutive_5xx: 'CONSECUTIVE_5XX',
  consecutive_gateway_failure: 'CONSECUTIVE_GATEWAY_FAILURE',
  success_rate: 'SUCCESS_RATE',
  failure_percentage: 'FAILURE_PERCENTAGE',
  consecutive_local_origin_failure: 'CONSECUTIVE_LOCAL_ORIGIN_FAILURE',
  local_origin_success_rate: 'SUCCESS_RATE_LOCAL_ORIGIN',
  local_origin_failure_percentage: 'FAILURE_PERCENTAGE_LOCAL_ORIGIN',
}

/** envoy.data.cluster.v3.OutlierDetectionEvent, of one cluster. */
export class OutlierEvents {
  private readonly log: EventLog
  private readonly clusterName: string
  private readonly clock: Clock

  constructor(log: EventLog, clusterName: string, clock: Clock) {
    this.log = log
    this.clusterName = clusterName
    this.clock = clock
  }

  /** `enforced`: it is out; else it only would be (`enforcing_*`). */
  ejected(host: Host, cause: EjectionCause, enforced: boolean, rates: SuccessRates): void {
    this.write(EJECTION_TYPES[cause], host, host.outlier!.unejectedAtMs, 'EJECT', enforced, this.detail(host, cause, rates))
  }

  returned(host: Host): void {
    this.write('CONSECUTIVE_5XX', host, host.outlier!.ejectedAtMs, 'UNEJECT', false, {})
  }

  private detail(host: Host, cause: EjectionCause, rates: SuccessRates): object {
    const kind = cause.startsWith('local_origin') ? 'localOrigin' : 'external'
    const host_success_rate = Math.trunc(host.outlier![kind].percent)
    if (cause.endsWith('success_rate'))
      return {
        eject_success_rate_event: {
          host_success_rate,
          cluster_average_success_rate: Math.trunc(rates.successRateAverage[kind]),
          cluster_success_rate_ejection_threshold: Math.trunc(rates.successRateThreshold[kind]),
        },
      }
    return cause.endsWith('failure_percentage')
      ? { eject_failure_percentage_event: { host_success_rate } }
      : { eject_consecutive_event: {} }
  }

  private write(
    type: string,
    host: Host,
    lastActionMs: number | null,
    action: 'EJECT' | 'UNEJECT',
    enforced: boolean,
    detail: object,
  ): void {
    const since = lastActionMs === null ? {} : { secs_since_last_action: String(Math.floor((this.clock.now() - lastActionMs) / 1000)) }
    writeLine(this.log, {
      type,
      timestamp: new Date().toISOString(),
      ...since,
      cluster_name: this.clusterName,
      upstream_url: host.addressText,
      action,
      num_ejections: host.outlier!.ejections,
      enforced,
      ...detail,
    })
  }
}

/** Envoy's HealthCheckFailureType. */
export type FailureType = 'ACTIVE' | 'PASSIVE' | 'NETWORK' | 'NETWORK_TIMEOUT'

/** envoy.data.core.v3.HealthCheckEvent, of one check of a cluster. */
export class HealthCheckEvents {
  readonly rules: HealthEventRules
  private readonly logs: readonly EventLog[]
  private readonly checker: string
  private readonly clusterName: string

  constructor(rules: HealthEventRules, check: HealthCheck['check'], clusterName: string, open: (path: string) => EventLog) {
    this.rules = rules
    this.logs = rules.paths.map(open)
    this.checker = check.kind.toUpperCase()
    this.clusterName = clusterName
  }

  /** `status`: of the HTTP answer; 0 = there was none. */
  ejected(host: Host, failure: FailureType, status: number): void {
    this.write(host, { eject_unhealthy_event: { failure_type: failure, http_status_code: status } })
  }

  added(host: Host, firstCheck: boolean): void {
    this.write(host, { add_healthy_event: { first_check: firstCheck } })
  }

  succeeded(host: Host): void {
    this.write(host, { successful_health_check_event: {} })
  }

  failed(host: Host, failure: FailureType, firstCheck: boolean, status: number): void {
    this.write(host, { health_check_failure_event: { failure_type: failure, first_check: firstCheck, http_status_code: status } })
  }

  degraded(host: Host): void {
    this.write(host, { degraded_healthy_host: {} })
  }

  noLongerDegraded(host: Host): void {
    this.write(host, { no_longer_degraded_host: {} })
  }

  private write(host: Host, event: object): void {
    const { region, zone, subZone } = host.locality
    const { metadata } = host
    const line = {
      health_checker_type: this.checker,
      host: addressJson(host),
      cluster_name: this.clusterName,
      ...event,
      timestamp: new Date().toISOString(),
      ...(metadata.size === 0 ? {} : { metadata: { filter_metadata: Object.fromEntries(metadata), typed_filter_metadata: {} } }),
      locality: { region, zone, sub_zone: subZone },
    }
    for (const log of this.logs) writeLine(log, line)
  }
}

function addressJson({ address }: Host): object {
  if (address.kind === 'pipe') return { pipe: { path: address.path, mode: 0 } }
  return {
    socket_address: {
      protocol: 'TCP',
      address: address.host,
      resolver_name: '',
      ipv4_compat: false,
      network_namespace_filepath: '',
      port_value: address.port,
    },
  }
}

function writeLine(log: EventLog, event: object): void {
  log.write(`${Buffer.from(JSON.stringify(event)).toString('latin1')}\n`)
}
