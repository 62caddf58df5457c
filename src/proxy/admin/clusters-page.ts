// /clusters: every host of every cluster with its health and counts, as Envoy's text and envoy.admin.v3.Clusters JSON.

import type { Address } from '../../model/address.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import { HealthFlag, type Host, type HostStats } from '../../upstream/host/host.js'
import { healthStatusOf } from '../../upstream/host/host-health.js'

const FLAG_NAMES: readonly (readonly [number, string, string])[] = [
  [HealthFlag.FAILED_ACTIVE_HC, '/failed_active_hc', 'failed_active_health_check'],
  [HealthFlag.FAILED_OUTLIER_CHECK, '/failed_outlier_check', 'failed_outlier_check'],
  [HealthFlag.FAILED_EDS_HEALTH, '/failed_eds_health', ''],
  [HealthFlag.DEGRADED_ACTIVE_HC, '/degraded_active_hc', 'failed_active_degraded_check'],
  [HealthFlag.DEGRADED_EDS_HEALTH, '/degraded_eds_health', ''],
  [HealthFlag.PENDING_DYNAMIC_REMOVAL, '/pending_dynamic_removal', 'pending_dynamic_removal'],
  [HealthFlag.PENDING_ACTIVE_HC, '/pending_active_hc', 'pending_active_hc'],
  [HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL, '/excluded_via_immediate_hc_fail', 'excluded_via_immediate_hc_fail'],
  [HealthFlag.ACTIVE_HC_TIMEOUT, '/active_hc_timeout', 'active_hc_timeout'],
  [HealthFlag.EDS_STATUS_DRAINING, '/eds_status_draining', ''],
]

const COUNTER_NAMES: Readonly<Record<string, keyof HostStats>> = {
  cx_connect_fail: 'cxConnectFail',
  cx_total: 'cxTotal',
  rq_error: 'rqError',
  rq_success: 'rqSuccess',
  rq_timeout: 'rqTimeout',
  rq_total: 'rqTotal',
}

function flagsText(host: Host): string {
  const names = FLAG_NAMES.filter(([bit]) => host.hasFlag(bit)).map(([, text]) => text)
  return names.length === 0 ? 'healthy' : names.join('')
}

export function clustersText(clusters: Iterable<UpstreamCluster>): string {
  let out = ''
  for (const cluster of clusters) {
    const { name, config } = cluster
    const line = (key: string, value: string | number | boolean): void => {
      out += `${name}::${key}::${value}\n`
    }
    line('observability_name', config.altStatName || name)
    const rates = cluster.successRates
    if (rates !== null) {
      line('outlier::success_rate_average', rates.successRateAverage.external)
      line('outlier::success_rate_ejection_threshold', rates.successRateThreshold.external)
      line('outlier::local_origin_success_rate_average', rates.successRateAverage.localOrigin)
      line('outlier::local_origin_success_rate_ejection_threshold', rates.successRateThreshold.localOrigin)
    }
    for (const priority of ['default', 'high'] as const) {
      const limits = config.breakers[priority]
      line(`${priority}_priority::max_connections`, limits.maxConnections)
      line(`${priority}_priority::max_pending_requests`, limits.maxPendingRequests)
      line(`${priority}_priority::max_requests`, limits.maxRequests)
      line(`${priority}_priority::max_retries`, limits.maxRetries)
    }
    line('added_via_api', !cluster.isStatic)
    if (config.discovery.kind === 'eds') line('eds_service_name', config.discovery.serviceName)
    for (const host of cluster.hosts) {
      const prefix = host.addressText
      const counts = host.counts()
      line(`${prefix}::cx_active`, counts.activeConnections)
      line(`${prefix}::cx_connect_fail`, counts.cxConnectFail)
      line(`${prefix}::cx_total`, counts.cxTotal)
      line(`${prefix}::rq_active`, counts.activeRequests)
      line(`${prefix}::rq_error`, counts.rqError)
      line(`${prefix}::rq_pending_active`, counts.pendingRequests)
      line(`${prefix}::rq_success`, counts.rqSuccess)
      line(`${prefix}::rq_timeout`, counts.rqTimeout)
      line(`${prefix}::rq_total`, counts.rqTotal)
      line(`${prefix}::hostname`, host.hostname)
      line(`${prefix}::health_flags`, flagsText(host))
      line(`${prefix}::weight`, host.weight)
      line(`${prefix}::region`, host.locality.region)
      line(`${prefix}::zone`, host.locality.zone)
      line(`${prefix}::sub_zone`, host.locality.subZone)
      line(`${prefix}::canary`, host.canary)
      line(`${prefix}::priority`, host.priority)
      line(`${prefix}::success_rate`, host.outlier?.external.shown ?? -1)
      line(`${prefix}::local_origin_success_rate`, host.outlier?.localOrigin.shown ?? -1)
    }
  }
  return out
}

export function clustersJson(clusters: Iterable<UpstreamCluster>): object {
  const statuses = [...clusters].map(clusterStatus)
  return statuses.length === 0 ? {} : { cluster_statuses: statuses }
}

function clusterStatus(cluster: UpstreamCluster): object {
  const { config } = cluster
  const thresholds = (['default', 'high'] as const).map(priority => ({
    ...(priority === 'high' ? { priority: 'HIGH' } : {}),
    max_connections: config.breakers[priority].maxConnections,
    max_pending_requests: config.breakers[priority].maxPendingRequests,
    max_requests: config.breakers[priority].maxRequests,
    max_retries: config.breakers[priority].maxRetries,
  }))
  return {
    name: cluster.name,
    ...(cluster.isStatic ? {} : { added_via_api: true }),
    ...(cluster.hosts.length === 0 ? {} : { host_statuses: cluster.hosts.map(hostStatus) }),
    circuit_breakers: { thresholds },
    observability_name: config.altStatName || cluster.name,
    ...(config.discovery.kind === 'eds' && config.discovery.serviceName !== '' ? { eds_service_name: config.discovery.serviceName } : {}),
  }
}

function hostStatus(host: Host): object {
  const counts = host.counts()
  const health: Record<string, unknown> = {}
  for (const [bit, , name] of FLAG_NAMES) if (name !== '' && host.hasFlag(bit)) health[name] = true
  const status = healthStatusOf(host)
  health['eds_health_status'] = status === 'UNKNOWN' ? 'HEALTHY' : status
  const locality: Record<string, string> = {}
  if (host.locality.region !== '') locality['region'] = host.locality.region
  if (host.locality.zone !== '') locality['zone'] = host.locality.zone
  if (host.locality.subZone !== '') locality['sub_zone'] = host.locality.subZone
  return {
    address: addressJson(host.address),
    stats: [
      ...Object.entries(COUNTER_NAMES).map(([name, counter]) => ({ name, ...nonZero(counts[counter]) })),
      { type: 'GAUGE', ...nonZero(counts.activeConnections), name: 'cx_active' },
      { type: 'GAUGE', ...nonZero(counts.activeRequests), name: 'rq_active' },
      { type: 'GAUGE', ...nonZero(counts.pendingRequests), name: 'rq_pending_active' },
    ],
    health_status: health,
    weight: host.weight,
    ...(host.hostname === '' ? {} : { hostname: host.hostname }),
    ...(host.priority === 0 ? {} : { priority: host.priority }),
    locality,
  }
}

/** A 64-bit number of protobuf's JSON: text, and absent where it is zero. */
function nonZero(value: number): { readonly value?: string } {
  return value === 0 ? {} : { value: String(value) }
}

export function addressJson(address: Address): object {
  if (address.kind === 'pipe') return { pipe: { path: address.path } }
  return { socket_address: { address: address.host, port_value: address.port } }
}
