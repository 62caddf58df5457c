// What backpressure does to a request, in numbers (Envoy's *_flow_control_* statistics): once for each time that one side makes the other
// wait. Called by the router, whose two marks it sets; pausing and resuming itself is the router's. HOT: a compare where nothing waits.

import type { Host } from '../../upstream/host/host.js'
import type { RouterRuntime } from './router-host.js'

export interface ControlledRequest {
  readonly runtime: Pick<RouterRuntime, 'stats'>
  /** The client is not read from until the upstream takes more. */
  backedUp: boolean
  /** The upstream is not read from until the client takes more. */
  held: boolean
}

/** The upstream takes no more for now. */
export function countBackedUp(request: ControlledRequest, host: Host): void {
  if (request.backedUp) return
  request.backedUp = true
  host.cluster.traffic.main.upstream_flow_control_backed_up_total.value++
  request.runtime.stats.downstream_flow_control_paused_reading_total.value++
}

/** It takes more, or is no longer written to. */
export function countDrained(request: ControlledRequest, host: Host): void {
  if (!request.backedUp) return
  request.backedUp = false
  host.cluster.traffic.main.upstream_flow_control_drained_total.value++
  request.runtime.stats.downstream_flow_control_resumed_reading_total.value++
}

/** The client takes no more of the response for now. */
export function countHeld(request: ControlledRequest, host: Host): void {
  if (request.held) return
  request.held = true
  host.cluster.traffic.main.upstream_flow_control_paused_reading_total.value++
}

/** It takes more. */
export function countResumed(request: ControlledRequest, host: Host): void {
  if (!request.held) return
  request.held = false
  host.cluster.traffic.main.upstream_flow_control_resumed_reading_total.value++
}
