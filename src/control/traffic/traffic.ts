// What the control plane has seen of the mesh's traffic: the contract between who fills it (load reports of the sidecars, over the gRPC
// port) and who reads it (console, `outrigger stat|edges|top`, rollouts, dry runs of intentions). Rings of one hour in memory; nothing here
// is stored. Types only.

/** One direction of calls as its caller's sidecar counts it. */
export interface EdgeId {
  /** Service of the reporting sidecar, or the name of a gateway. */
  readonly source: string
  readonly destination: string
  /** Subset of the destination's resolver, '' for its default. */
  readonly subset: string
}

/** Sums over a window. Requests for HTTP, connections for TCP. */
export interface TrafficTotals {
  readonly requests: number
  /** 5xx, resets, timeouts, failed connections: what LRS calls errors. */
  readonly failures: number
  readonly requestsPerSecond: number
  /** 0 to 1; null without a finished request. */
  readonly successRate: number | null
  /** Milliseconds, from histograms; null where the reporter sends none (the real Envoy). */
  readonly p50: number | null
  readonly p90: number | null
  readonly p99: number | null
  /** Running now, by the last report. */
  readonly active: number
}

export interface EdgeTraffic extends EdgeId {
  readonly totals: TrafficTotals
}

/** Traffic into one instance as its own sidecar counts it, for figures by version. */
export interface InboundTraffic {
  /** Key of the proxy's catalog instance. */
  readonly proxy: string
  readonly service: string
  readonly totals: TrafficTotals
}

/** Traffic into all instances of a service that report. */
export interface ServiceTraffic {
  readonly service: string
  readonly instances: number
  readonly totals: TrafficTotals
}

/** One interval of a series; `at` is its end, milliseconds since the epoch. */
export interface TrafficPoint {
  readonly at: number
  readonly totals: TrafficTotals
}

export interface TrafficReader {
  /** Edges with a report in the last `windowMs`; `service` keeps those that start or end there. */
  edges(windowMs: number, service?: string): EdgeTraffic[]
  /** Those with a report in the last hour, without their sums. */
  edgeIds(): Iterable<EdgeId>
  inbound(windowMs: number, service?: string): InboundTraffic[]
  /** The same by service, since percentiles do not add up. */
  services(windowMs: number, service?: string): ServiceTraffic[]
  /** Oldest first; intervals without a report are missing. */
  series(filter: Partial<EdgeId>, windowMs: number): TrafficPoint[]
  /** Sums of all edges that fit: what a rollout judges by. */
  totals(filter: Partial<EdgeId>, windowMs: number): TrafficTotals
  /** When the newest report of any sidecar came, milliseconds since the epoch; 0 for never. */
  readonly newestReport: number
}
