// Where stats are sent at every flush (bootstrap `stats_sinks`) as model: statsd and dogstatsd servers, Envoy's metrics service, and
// OpenTelemetry collectors.

import type { Address } from './address.js'
import type { GrpcService } from './grpc-service.js'

export interface StatsdSinkConfig {
  readonly kind: 'statsd'
  /** UDP to an address, or TCP to a host of a cluster. */
  readonly to: { readonly kind: 'udp'; readonly address: Address } | { readonly kind: 'tcp'; readonly cluster: string }
  readonly prefix: string
  /** dogstatsd: tags beside the tag-extracted name. */
  readonly tags: boolean
  /** 0: one line a datagram. */
  readonly maxDatagramBytes: number
}

export interface MetricsServiceSinkConfig {
  readonly kind: 'metrics-service'
  readonly service: GrpcService
  readonly countersAsDeltas: boolean
  readonly tagsAsLabels: boolean
  readonly summaries: boolean
  readonly histograms: boolean
}

export interface OpenTelemetrySinkConfig {
  readonly kind: 'open-telemetry'
  readonly service: GrpcService
  readonly countersAsDeltas: boolean
  readonly histogramsAsDeltas: boolean
  readonly tagsAsAttributes: boolean
  readonly tagExtractedNames: boolean
  readonly prefix: string
}

export type StatsSinkConfig = StatsdSinkConfig | MetricsServiceSinkConfig | OpenTelemetrySinkConfig
