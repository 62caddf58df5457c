// A cluster as an explanation shows it: is it there, which of its endpoints may have traffic, and why the others may not. Called by
// explain-request and, for TCP, by proxy/explain. Reads the state that the load balancers pick by; picks nothing, so no turn is lost.

import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { ClusterRegistry } from '../../upstream/cluster/cluster-registry.js'
import { HealthFlag, type Host } from '../../upstream/host/host.js'
import { healthStatusOf } from '../../upstream/host/host-health.js'
import type { ExplainedCluster, ExplainedEndpoint } from './explanation.js'

/** Of a cluster with more it is said how many are left out; those that are out come first. */
const MAX_ENDPOINTS = 100

const REASONS: readonly (readonly [flag: number, reason: string])[] = [
  [HealthFlag.FAILED_ACTIVE_HC, 'its active health check fails'],
  [HealthFlag.FAILED_OUTLIER_CHECK, 'ejected by outlier detection'],
  [HealthFlag.FAILED_EDS_HEALTH, 'the control plane says that it is unhealthy'],
  [HealthFlag.EDS_STATUS_DRAINING, 'the control plane says that it drains'],
  [HealthFlag.PENDING_ACTIVE_HC, 'its first active health check has not ended'],
  [HealthFlag.EXCLUDED_VIA_IMMEDIATE_HC_FAIL, 'it said itself that it is about to go'],
  [HealthFlag.PENDING_DYNAMIC_REMOVAL, 'it has left the config and passes its last health checks'],
]

export function explainCluster(clusters: ClusterRegistry, name: string, priority: 'default' | 'high'): ExplainedCluster {
  const cluster = clusters.get(name)
  if (cluster === undefined) {
    if (clusters.warming(name) !== undefined)
      return { name, state: 'warming', detail: 'it waits for its endpoints or their first health checks' }
    return { name, state: 'unknown', detail: 'there is no such cluster' }
  }
  const { config } = cluster
  const limits = config.breakers[priority]
  const hosts = cluster.hostSets.flatMap(set => set.hosts)
  const endpoints = hosts.map(explainEndpoint).sort((a, b) => Number(a.eligible) - Number(b.eligible))
  const leftOut = Math.max(0, endpoints.length - MAX_ENDPOINTS)
  return {
    name,
    state: 'ready',
    ...stateDetail(cluster, hosts),
    type: config.discovery.kind,
    lb_policy: config.lbPolicy.kind,
    endpoints: endpoints.slice(0, MAX_ENDPOINTS),
    ...(leftOut === 0 ? {} : { endpoints_left_out: leftOut }),
    connect_timeout_ms: config.connectTimeoutMs,
    limits: {
      connections: limits.maxConnections,
      pending_requests: limits.maxPendingRequests,
      requests: limits.maxRequests,
      retries: limits.maxRetries,
    },
  }
}

function stateDetail({ dropsAll }: UpstreamCluster, hosts: readonly Host[]): { readonly detail?: string } {
  if (dropsAll) return { detail: 'drop_overload drops every request' }
  if (hosts.length === 0) return { detail: 'it has no endpoints' }
  if (!hosts.some(host => host.health !== 'unhealthy')) return { detail: 'no endpoint is healthy: panic mode may use those there are' }
  return {}
}

function explainEndpoint(host: Host): ExplainedEndpoint {
  const reasons = REASONS.filter(([flag]) => host.hasFlag(flag)).map(([, reason]) => reason)
  const { region, zone, subZone } = host.locality
  const locality = [region, zone, subZone].filter(Boolean).join('/')
  const eligible = host.health !== 'unhealthy' && !host.excluded
  return {
    address: host.addressText,
    priority: host.priority,
    ...(locality === '' ? {} : { locality }),
    weight: host.weight,
    eligible,
    health: healthStatusOf(host),
    ...(eligible ? {} : { reason: reasons.join('; ') }),
  }
}
