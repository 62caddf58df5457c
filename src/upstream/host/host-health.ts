// Between the health of the config (EDS), the health flags of a host and the status that Envoy's API names. Used by UpstreamCluster and
// by whoever shows hosts (admin).

import type { HealthStatus } from '../../model/endpoint.js'
import { HealthFlag, type Host } from './host.js'

/** The flags that EDS alone sets. */
export const edsMask = HealthFlag.FAILED_EDS_HEALTH | HealthFlag.DEGRADED_EDS_HEALTH | HealthFlag.EDS_STATUS_DRAINING

/** Envoy's health status of a host, as override_host_status and /clusters name it. */
export function healthStatusOf(host: Host): HealthStatus {
  if (host.hasFlag(HealthFlag.FAILED_EDS_HEALTH) || host.hasFlag(HealthFlag.EDS_STATUS_DRAINING)) return host.endpoint.health
  if (host.hasFlag(HealthFlag.FAILED_ACTIVE_HC)) return host.hasFlag(HealthFlag.ACTIVE_HC_TIMEOUT) ? 'TIMEOUT' : 'UNHEALTHY'
  if (host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK)) return 'UNHEALTHY'
  if (host.hasFlag(HealthFlag.DEGRADED_EDS_HEALTH) || host.hasFlag(HealthFlag.DEGRADED_ACTIVE_HC)) return 'DEGRADED'
  return host.endpoint.health
}

/** Flags of an endpoint's own health. */
export function edsFlags(health: HealthStatus): number {
  switch (health) {
    case 'UNHEALTHY':
    case 'TIMEOUT':
      return HealthFlag.FAILED_EDS_HEALTH
    case 'DRAINING':
      return HealthFlag.EDS_STATUS_DRAINING
    case 'DEGRADED':
      return HealthFlag.DEGRADED_EDS_HEALTH
    case 'UNKNOWN':
    case 'HEALTHY':
      return 0
  }
}
