// The bootstrap's overload manager as model: what is measured, and what is done as it nears its end. Decoded by xds/resources/overload.ts,
// run by proxy/overload; the names are Envoy's.

/** What can be done. */
export const OVERLOAD_ACTIONS = [
  'envoy.overload_actions.stop_accepting_requests',
  'envoy.overload_actions.disable_http_keepalive',
  'envoy.overload_actions.stop_accepting_connections',
  'envoy.overload_actions.reject_incoming_connections',
  'envoy.overload_actions.shrink_heap',
  'envoy.overload_actions.reduce_timeouts',
  'envoy.overload_actions.reset_high_memory_stream',
] as const

/** Where in the life of a connection or request load is turned away. */
export const LOAD_SHED_POINTS = [
  'envoy.load_shed_points.tcp_listener_accept',
  'envoy.load_shed_points.hcm_ondata_creating_codec',
  'envoy.load_shed_points.http_connection_manager_decode_headers',
  'envoy.load_shed_points.http_downstream_filter_check',
  'envoy.load_shed_points.http2_server_go_away_on_dispatch',
] as const

export type OverloadAction = (typeof OVERLOAD_ACTIONS)[number]
export type LoadShedPoint = (typeof LOAD_SHED_POINTS)[number]

/** Something that runs out, by the name that triggers call it by. */
export type ResourceMonitor = { readonly name: string } & (
  | { readonly kind: 'fixed-heap'; readonly maxBytes: number }
  /** null: the limit of the control group. */
  | { readonly kind: 'cgroup-memory'; readonly maxBytes: number | null }
  | { readonly kind: 'downstream-connections'; readonly max: number }
  /** A file that holds the pressure, 0 to 1. */
  | { readonly kind: 'injected'; readonly path: string }
)

/** `from`: where it begins; `to`: where it is wholly in force. A threshold has both at one place. */
export interface OverloadTrigger {
  readonly resource: string
  readonly from: number
  readonly to: number
}

/** Timeouts that reduce_timeouts shortens. */
export type ScaledTimeout = 'connection-idle' | 'stream-idle' | 'handshake' | 'connection-max'

/** Down to how much: a time, or a share (0 to 1) of what is configured. */
export type TimeoutFloor = { readonly kind: 'time'; readonly ms: number } | { readonly kind: 'share'; readonly share: number }

export interface OverloadRule<Name extends string> {
  readonly name: Name
  readonly triggers: readonly OverloadTrigger[]
}

export interface OverloadConfig {
  readonly refreshIntervalMs: number
  readonly monitors: readonly ResourceMonitor[]
  readonly actions: readonly OverloadRule<OverloadAction>[]
  readonly shedPoints: readonly OverloadRule<LoadShedPoint>[]
  readonly timeoutFloors: ReadonlyMap<ScaledTimeout, TimeoutFloor>
  /** Streams that hold less are never reset for what they hold; null: none is. */
  readonly minTrackedBytes: number | null
}
