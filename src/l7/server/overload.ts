// How overloaded the process is, as the listeners and the request path ask: how far each action of the overload manager is in force, and
// whether this connection or request is one that it takes. Made by proxy/overload, which sets the levels; null in an HttpRuntime where
// the bootstrap configures none. HOT: a request asks three levels, each one compare while there is no overload.

import type { Counter } from '../../metrics/stat.js'
import type { LoadShedPoint, OverloadAction, ScaledTimeout, TimeoutFloor } from '../../model/overload.js'

export interface OverloadParts {
  readonly random: () => number
  readonly timeoutFloors: ReadonlyMap<ScaledTimeout, TimeoutFloor>
  /** Of what a load shed point turned away. */
  readonly shedCount: (point: LoadShedPoint) => Counter
}

/** Of one action or load shed point. */
export class OverloadLevel {
  /** 0: no overload; 1: all of it; between: the share of the cases that it takes. */
  value = 0
  private readonly random: () => number
  private readonly count: (() => Counter) | null
  /** Made with the first case. */
  private counter: Counter | null = null

  constructor(random: () => number, count: (() => Counter) | null) {
    this.random = random
    this.count = count
  }

  /** Whether it takes this case. */
  takes(): boolean {
    const { value } = this
    if (value <= 0 || (value < 1 && this.random() >= value)) return false
    if (this.count !== null) (this.counter ??= this.count()).value++
    return true
  }
}

export class Overload {
  private readonly parts: OverloadParts
  private readonly levels = new Map<OverloadAction | LoadShedPoint, OverloadLevel>()
  private readonly stopRequests = this.action('envoy.overload_actions.stop_accepting_requests')
  private readonly disableKeepalive = this.action('envoy.overload_actions.disable_http_keepalive')
  private readonly stopConnections = this.action('envoy.overload_actions.stop_accepting_connections')
  private readonly rejectConnections = this.action('envoy.overload_actions.reject_incoming_connections')
  private readonly reduceTimeouts = this.action('envoy.overload_actions.reduce_timeouts')
  private readonly atAccept = this.point('envoy.load_shed_points.tcp_listener_accept')
  private readonly atCodec = this.point('envoy.load_shed_points.hcm_ondata_creating_codec')
  private readonly atHead = this.point('envoy.load_shed_points.http_connection_manager_decode_headers')
  private readonly atFilters = this.point('envoy.load_shed_points.http_downstream_filter_check')
  private readonly atHttp2 = this.point('envoy.load_shed_points.http2_server_go_away_on_dispatch')

  constructor(parts: OverloadParts) {
    this.parts = parts
  }

  private action(name: OverloadAction): OverloadLevel {
    return this.keep(name, new OverloadLevel(() => this.parts.random(), null))
  }

  private point(name: LoadShedPoint): OverloadLevel {
    return this.keep(
      name,
      new OverloadLevel(
        () => this.parts.random(),
        () => this.parts.shedCount(name),
      ),
    )
  }

  private keep(name: OverloadAction | LoadShedPoint, level: OverloadLevel): OverloadLevel {
    this.levels.set(name, level)
    return level
  }

  set(name: OverloadAction | LoadShedPoint, value: number): void {
    const level = this.levels.get(name)
    if (level !== undefined) level.value = value
  }

  /** A new connection is closed unread. */
  rejectsConnection(): boolean {
    return this.atAccept.takes() || this.rejectConnections.takes()
  }

  /** New connections wait until it is over. */
  get holdsConnections(): boolean {
    return this.stopConnections.value >= 1
  }

  /** A connection whose first bytes have come gets no codec. */
  refusesCodec(): boolean {
    return this.atCodec.takes()
  }

  /** HOT. The request is answered with 503 before anything is done for it. */
  refusesRequest(): boolean {
    return this.atHead.takes() || this.stopRequests.takes() || this.atFilters.takes()
  }

  /** HOT. The connection ends after this request. */
  endsKeepalive(): boolean {
    return this.disableKeepalive.takes()
  }

  /** HOT. An HTTP/2 client is asked to go elsewhere. */
  sendsGoaway(): boolean {
    return this.atHttp2.takes()
  }

  /** What is left of a configured timeout now; 0 stays "none". */
  timeoutMs(kind: ScaledTimeout, ms: number): number {
    const { value } = this.reduceTimeouts
    if (value <= 0 || ms <= 0) return ms
    const floor = this.parts.timeoutFloors.get(kind)
    if (floor === undefined) return ms
    const leastMs = Math.min(ms, floor.kind === 'time' ? floor.ms : floor.share * ms)
    return Math.max(1, leastMs + (ms - leastMs) * (1 - value))
  }
}
