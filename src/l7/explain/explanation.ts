// What an explanation says, in the form in which the admin gives it as JSON (names as Envoy's: snake_case). Made by explain-request and, for
// what comes before HTTP, by proxy/explain; printed as a tree by `outrigger explain`. Types only, and importing nothing: they are
// part of the public interface.

export interface ExplainedFilter {
  readonly name: string
  /** `unknown`: only a real request shows it. */
  readonly verdict: 'passes' | 'denies' | 'unknown' | 'disabled'
  readonly reason: string
  /** The policy, intention or rule that decided. */
  readonly rule?: string
  /** Of the answer, where it denies. */
  readonly status?: number
}

/** A route that was looked at and not taken. */
export interface PassedRoute {
  readonly route: string
  readonly match: string
  /** Which of its conditions was not met first. */
  readonly missed: string
}

export interface ExplainedRoute {
  readonly name: string
  readonly match: string
  /** What it does: forward, redirect to …, answer … */
  readonly action: string
}

export interface ExplainedTimeout {
  readonly name: string
  /** 0: none. */
  readonly ms: number
  /** Where it is set: route, virtual host, cluster, connection manager, default, or a header of the request. */
  readonly set_by: string
}

export interface ExplainedEndpoint {
  readonly address: string
  readonly priority: number
  /** region/zone/sub-zone, as far as they are said; absent: nothing is. */
  readonly locality?: string
  readonly weight: number
  /** Traffic may go to it. */
  readonly eligible: boolean
  readonly health: string
  /** Why it is out; absent where it is eligible. */
  readonly reason?: string
}

export interface ExplainedCluster {
  readonly name: string
  /** Weight of its leg and of all together, where the route splits. */
  readonly weight?: number
  readonly total_weight?: number
  readonly state: 'ready' | 'warming' | 'unknown'
  readonly detail?: string
  readonly type?: string
  readonly lb_policy?: string
  readonly endpoints?: readonly ExplainedEndpoint[]
  /** Endpoints beyond those shown. */
  readonly endpoints_left_out?: number
  readonly connect_timeout_ms?: number
  readonly limits?: { readonly connections: number; readonly pending_requests: number; readonly requests: number; readonly retries: number }
}

export interface ExplainedRetry {
  readonly set_by: string
  readonly on: readonly string[]
  readonly tries: number
}

export interface ExplainedRequest {
  readonly route_config: string
  readonly host: string
  readonly path: string
  readonly filters: readonly ExplainedFilter[]
  readonly virtual_host: string | null
  readonly domains?: readonly string[]
  readonly passed_over: readonly PassedRoute[]
  /** Routes that were passed over beyond those shown. */
  readonly passed_over_left_out?: number
  readonly route: ExplainedRoute | null
  readonly clusters: readonly ExplainedCluster[]
  readonly timeouts: readonly ExplainedTimeout[]
  readonly retries: ExplainedRetry | null
  /** One line: where it goes, or how it is answered and why. */
  readonly outcome: string
}

export interface ExplainedChain {
  readonly name: string
  readonly tls: boolean
  /** What the chain asks of connections; `anything` where it takes all. */
  readonly match: string
}

export interface ExplainedListener {
  readonly listener: string
  readonly address: string
  readonly direction: string
  /** Null: none matches, and the connection is closed. */
  readonly filter_chain: ExplainedChain | null
  readonly network_filters: readonly ExplainedFilter[]
  readonly http: ExplainedRequest | null
  /** Of a chain that ends in a TCP proxy. */
  readonly clusters: readonly ExplainedCluster[]
  readonly outcome: string
}

export interface Explanation {
  readonly request: { readonly method: string; readonly host: string; readonly path: string; readonly source: string }
  readonly listeners: readonly ExplainedListener[]
  readonly listeners_left_out?: number
}
