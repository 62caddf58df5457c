// Handles of the overload manager's stats, `overload.<name>.`: of the resources that it watches, of its actions and of its load shed points.
// Called by proxy/overload, once for each name in the bootstrap; two of them are there without an overload manager too.

import type { Histogram } from './histogram.js'
import type { Counter, Gauge } from './stat.js'
import type { StatSource } from './stats-store.js'

export interface OverloadResourceStats {
  /** In percent. */
  readonly pressure: Gauge
  readonly failedUpdates: Counter
}

/** `polled`: it is asked for its value, and might not have answered when it is asked again; ours always has. */
export function overloadResourceStats(source: StatSource, name: string, polled: boolean): OverloadResourceStats {
  const scope = source.scope(`overload.${name}`)
  if (polled) scope.counter('skipped_updates')
  return {
    pressure: scope.gauge('pressure'),
    failedUpdates: scope.counter('failed_updates'),
  }
}

export interface OverloadLevelStats {
  /** 1: wholly in force. A load shed point has none. */
  readonly active: Gauge | null
  readonly scalePercent: Gauge
}

export function overloadActionStats(source: StatSource, name: string): OverloadLevelStats {
  const scope = source.scope(`overload.${name}`)
  return { active: scope.gauge('active'), scalePercent: scope.gauge('scale_percent') }
}

export function loadShedPointStats(source: StatSource, name: string): OverloadLevelStats {
  return { active: null, scalePercent: source.scope(`overload.${name}`).gauge('scale_percent') }
}

/** Connections or requests that the point turned away. */
export function shedLoadCount(source: StatSource, name: string): Counter {
  return source.scope(`overload.${name}`).counter('shed_load_count')
}

/** Streams that were reset for the memory they held. There from the start, as in Envoy. */
export function resetStreamCount(source: StatSource): Counter {
  return source.counter('envoy.overload_actions.reset_high_memory_stream.count')
}

/** Time from one look at the resources to the next. There from the start, as in Envoy. */
export function refreshIntervalDelay(source: StatSource): Histogram {
  return source.scope('overload').histogram('refresh_interval_delay', 'milliseconds')
}

/** Garbage collections that overload asked for. */
export function shrinkCount(source: StatSource): Counter {
  return source.scope('overload.envoy.overload_actions.shrink_heap').counter('shrink_count')
}
