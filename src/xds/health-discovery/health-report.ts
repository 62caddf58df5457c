// What a health discovery server asks for and is told, without protobuf: read and written as envoy.service.health.v3 by
// health-discovery-messages.ts, used by sidecar/health-discovery. Types and names only.

import type { Address } from '../../model/address.js'
import type { Cluster } from '../../model/cluster.js'
import type { Locality } from '../../model/endpoint.js'

export const STREAM_HEALTH_CHECK = '/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck'

/** Hosts and how to check them: clusters that nothing is sent to. */
export interface HealthOrders {
  readonly clusters: readonly Cluster[]
  /** From one report to the next. */
  readonly intervalMs: number
}

/** As a report says it; Envoy knows no more of them. */
export type ReportedHealth = 'HEALTHY' | 'UNHEALTHY' | 'TIMEOUT'

export interface ClusterHealth {
  readonly name: string
  readonly localities: readonly {
    readonly locality: Locality
    readonly hosts: readonly { readonly address: Address; readonly health: ReportedHealth }[]
  }[]
}
