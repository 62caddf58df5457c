// What a load report says and what its server asks for, without protobuf: filled by sidecar/load-reports, written as
// envoy.service.load_stats.v3 by load-report-messages.ts. Types, and the names of what is ours in a report.
import type { Address } from '../../model/address.js'
import type { Locality } from '../../model/endpoint.js'

export const STREAM_LOAD_STATS = '/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats'

/** The server's metadata that asks for what is ours (OWN_METRICS): other servers get what Envoy sends, and nothing else. */
export const OWN_METRICS_KEY = 'x-outrigger-load-metrics'

/** `load_metric_stats` of ours, of a whole cluster and since the last report. */
export const OWN_METRICS = {
  /** Connections that could not be made. */
  connectFailures: 'outrigger.connect_failures',
  /** Requests and connections for which there was no host. */
  unreached: 'outrigger.unreached',
  /** `<prefix><n>`: requests that took up to the n-th of LATENCY_BOUNDS_MS, and longer than the one before; after the last: any longer. */
  latencyPrefix: 'outrigger.latency.',
} as const

/** Milliseconds. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 10_000, 30_000,
]

export interface ReportTerms {
  /** 'all': every cluster that there is. */
  readonly clusters: readonly string[] | 'all'
  readonly intervalMs: number
  readonly perEndpoint: boolean
}

/** Since the last report; `active` is now. */
export interface RequestLoad {
  successes: number
  errors: number
  active: number
  issued: number
}

export interface LoadMetric {
  readonly name: string
  readonly count: number
}

export interface EndpointLoad extends RequestLoad {
  readonly address: Address
}

export interface LocalityLoad extends RequestLoad {
  readonly locality: Locality
  readonly priority: number
  readonly endpoints: readonly EndpointLoad[]
  readonly metrics: LoadMetric[]
}

export interface ClusterLoad {
  readonly name: string
  /** Name of its endpoints; '' = the cluster's own. */
  readonly serviceName: string
  readonly localities: readonly LocalityLoad[]
  /** By circuit breakers and by drop_overloads. */
  readonly dropped: number
  /** Those by drop_overloads. */
  readonly droppedByCategory: readonly { readonly category: string; readonly count: number }[]
  readonly intervalMs: number
}
