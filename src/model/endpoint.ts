// Endpoints (envoy.config.endpoint.v3.ClusterLoadAssignment) as model.

import type { Address } from './address.js'
import type { Metadata } from './metadata.js'

export type HealthStatus = 'UNKNOWN' | 'HEALTHY' | 'UNHEALTHY' | 'DRAINING' | 'TIMEOUT' | 'DEGRADED'

export interface Endpoint {
  readonly address: Address
  readonly hostname: string
  readonly health: HealthStatus
  /** >= 1. */
  readonly weight: number
  readonly metadata: Metadata
  readonly healthCheckPort: number | null
  readonly healthCheckHostname: string
  readonly disableActiveHealthCheck: boolean
}

export interface Locality {
  readonly region: string
  readonly zone: string
  readonly subZone: string
}

export interface LocalityEndpoints {
  readonly locality: Locality
  /** 0 = no weight set. */
  readonly weight: number
  readonly priority: number
  readonly endpoints: readonly Endpoint[]
}

export interface EndpointAssignment {
  readonly clusterName: string
  readonly localities: readonly LocalityEndpoints[]
  /** Per cent, Envoy's default 140. */
  readonly overprovisioningFactor: number
  readonly endpointStaleAfterMs: number | null
  readonly weightedPriorityHealth: boolean
  readonly dropPercentages: readonly { readonly category: string; readonly numerator: number; readonly denominator: number }[]
}
