// What has changed in a worker's stats since it was last asked, small enough to be sent each second: handles get a number when their name
// is first told, then numbers alone are sent. Made by a worker, whose primary adds what is told to its own (stats-import.ts), and by the
// old process of a hot restart for the new one.
// Invariant: what config changes count (updates, members, listeners) is not told: the primary applies the same config and counts it itself.

import type { Histogram, HistogramUnit } from './histogram.js'
import type { Counter, Gauge, Stat, StatKind } from './stat.js'
import type { StatsStore } from './stats-store.js'

export interface NewStat {
  readonly id: number
  readonly kind: Exclude<StatKind, 'text'>
  readonly name: string
  readonly unit: HistogramUnit
}

/** Numbers in pairs and runs, as they cost least to send. */
export interface StatsChanges {
  readonly added: readonly NewStat[]
  /** Numbers of names that are no more. */
  readonly gone: readonly number[]
  /** id, growth, id, growth, ... */
  readonly counters: readonly number[]
  /** id, value, ... */
  readonly gauges: readonly number[]
  /** One entry a histogram: bin, count, bin, count, ... */
  readonly histograms: readonly (readonly [id: number, bins: readonly number[]])[]
}

interface Told {
  readonly id: number
  value: number
}

/** Names of what the primary counts, as config changes and the process itself make it. */
const CONFIG_PREFIXES = [
  'cluster_manager.',
  'control_plane.',
  'listener_manager.',
  'main_thread.',
  'runtime.',
  'sds.',
  'server.',
  'stats.',
  'thread_local_cluster_manager.',
  'workers.',
]
const OF_WORKERS_ALL_THE_SAME = 'server.connection_exceptions'
const CONFIG_PARTS = ['.health_check.', '.outlier_detection.', '.rds.', '.scoped_rds.']
const CONFIG_NAMES: ReadonlySet<string> = new Set([
  'config_reload',
  'extension_config_missing',
  'init_fetch_timeout',
  'membership_change',
  'network_extension_config_missing',
  'ssl_context_update_by_sds',
  'total_match_count',
])
const CONFIG_NAME = /^(?:assignment|update)_/

/** Gauges that count what a worker has in hand. Of the others the primary's own value is the truth. */
const LOAD_GAUGE =
  /(?:_active|_buffered|_open|_soft_drain|\.active|\.active_connections|\.remaining_(?:cx|cx_pools|pending|retries|rq)|upstream_queue_overloaded|deferred_stream_close|pending_send_bytes)$/
const CONFIG_GAUGE = /(?:\.ejections_active|\.lb_subsets_active|_listeners_active|\.admin_overrides_active)$/

export interface ExportRule {
  readonly tells: (kind: StatKind, name: string) => boolean
  /** What counters are told from: the start, or the last flush, as what went before was told to the sinks. */
  readonly since: 'start' | 'flush'
}

const OF_A_WORKER: ExportRule = { tells: isOfWorkers, since: 'start' }

export class StatsExport {
  private readonly store: StatsStore
  private readonly rule: ExportRule
  private readonly told = new Map<Stat, Told | null>()
  private nextId = 1

  constructor(store: StatsStore, rule: ExportRule = OF_A_WORKER) {
    this.store = store
    this.rule = rule
  }

  /** Everything since the last call. */
  take(): StatsChanges {
    const changes = {
      added: [] as NewStat[],
      gone: [] as number[],
      counters: [] as number[],
      gauges: [] as number[],
      histograms: [] as [number, number[]][],
    }
    for (const stat of this.store.allStats('counter') as Iterable<Counter>) {
      const told = this.toldOf(stat, changes.added)
      if (told === null || stat.value === told.value) continue
      changes.counters.push(told.id, stat.value - told.value)
      told.value = stat.value
    }
    for (const stat of this.store.allStats('gauge') as Iterable<Gauge>) {
      const told = this.toldOf(stat, changes.added)
      if (told === null || stat.value === told.value) continue
      changes.gauges.push(told.id, stat.value)
      told.value = stat.value
    }
    for (const stat of this.store.allStats('histogram') as Iterable<Histogram>) {
      const told = this.toldOf(stat, changes.added)
      const bins = told === null ? [] : stat.takeRunning()
      if (told !== null && bins.length > 0) changes.histograms.push([told.id, bins])
    }
    for (const [stat, told] of this.told) {
      if (stat.exposed && stat.refs > 0) continue
      this.told.delete(stat)
      if (told !== null) changes.gone.push(told.id)
    }
    return changes
  }

  /** Null: not told. */
  private toldOf(stat: Exclude<Stat, { kind: 'text' }>, added: NewStat[]): Told | null {
    const known = this.told.get(stat)
    if (known !== undefined) return known
    const { tells, since } = this.rule
    const from = stat.kind === 'counter' && since === 'flush' ? stat.flushedValue : 0
    const told = tells(stat.kind, stat.name) ? { id: this.nextId++, value: from } : null
    this.told.set(stat, told)
    if (told !== null)
      added.push({ id: told.id, kind: stat.kind, name: stat.name, unit: stat.kind === 'histogram' ? stat.unit : 'unspecified' })
    return told
  }
}

/** Whether a process that takes over goes on from it: every counter, and gauges of what is in hand. */
export function isCarriedOver(kind: StatKind, name: string): boolean {
  return kind === 'counter' || (kind === 'gauge' && LOAD_GAUGE.test(name) && !CONFIG_GAUGE.test(name))
}

/** Whether workers count it, each its part. */
export function isOfWorkers(kind: StatKind, name: string): boolean {
  if (kind === 'gauge') return LOAD_GAUGE.test(name) && !CONFIG_GAUGE.test(name)
  if (name === OF_WORKERS_ALL_THE_SAME) return true
  if (CONFIG_PREFIXES.some(prefix => name.startsWith(prefix)) || CONFIG_PARTS.some(part => name.includes(part))) return false
  const last = name.slice(name.lastIndexOf('.') + 1)
  return !CONFIG_NAMES.has(last) && !CONFIG_NAME.test(last)
}
