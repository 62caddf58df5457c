// The stats of all workers in the primary's store: growth is added to counters and histograms, of gauges each worker's last value is part
// of the sum. Fed by sidecar/workers/worker-pool.ts with what stats-export.ts tells. Invariant: a name lives while the primary's own
// config holds it or a worker does; what a worker counted before it died stays counted, what it had in hand then is taken off.

import type { Histogram } from './histogram.js'
import type { Counter, Gauge, Stat } from './stat.js'
import type { NewStat, StatsChanges } from './stats-export.js'
import type { StatsStore } from './stats-store.js'

interface Shared {
  readonly stat: Stat
  /** Workers that have the name. A dead one's names have no holder, and go with the next worker that drops them. */
  holders: number
}

export class StatsImport {
  private readonly store: StatsStore
  private readonly shared = new Map<string, Shared>()

  constructor(store: StatsStore) {
    this.store = store
  }

  /** One more worker. */
  worker(): WorkerStats {
    return new WorkerStats(this)
  }

  hold({ kind, name, unit }: NewStat): Stat {
    const key = `${kind} ${name}`
    let shared = this.shared.get(key)
    if (shared === undefined) {
      shared = { stat: this.store.obtain(kind, name, unit, false), holders: 0 }
      if (shared.stat.exposed) {
        shared.stat.refs++
        this.shared.set(key, shared)
      }
    }
    shared.holders++
    return shared.stat
  }

  /** `kept`: the name stays, as the worker is gone and not what it counted. */
  drop(stat: Stat, kept: boolean): void {
    const key = `${stat.kind} ${stat.name}`
    const shared = this.shared.get(key)
    if (shared === undefined || shared.stat !== stat || --shared.holders > 0 || kept) return
    this.shared.delete(key)
    this.store.drop(stat)
  }
}

/** What one worker has told. */
export class WorkerStats {
  private readonly owner: StatsImport
  private readonly byId = new Map<number, Stat>()
  /** Its part of each gauge. */
  private readonly parts = new Map<Gauge, number>()

  constructor(owner: StatsImport) {
    this.owner = owner
  }

  apply({ added, gone, counters, gauges, histograms }: StatsChanges): void {
    for (const stat of added) this.byId.set(stat.id, this.owner.hold(stat))
    for (let i = 0; i + 1 < counters.length; i += 2) {
      const counter = this.byId.get(counters[i]!) as Counter | undefined
      if (counter !== undefined) counter.value += counters[i + 1]!
    }
    for (let i = 0; i + 1 < gauges.length; i += 2) {
      const gauge = this.byId.get(gauges[i]!) as Gauge | undefined
      if (gauge !== undefined) this.setPart(gauge, gauges[i + 1]!)
    }
    for (const [id, bins] of histograms) (this.byId.get(id) as Histogram | undefined)?.addRunning(bins)
    for (const id of gone) {
      const stat = this.byId.get(id)
      if (stat === undefined) continue
      if (stat.kind === 'gauge') this.setPart(stat, 0)
      this.byId.delete(id)
      this.owner.drop(stat, false)
    }
  }

  /** The worker has ended. */
  release(): void {
    for (const gauge of [...this.parts.keys()]) this.setPart(gauge, 0)
    for (const stat of this.byId.values()) this.owner.drop(stat, true)
    this.byId.clear()
  }

  private setPart(gauge: Gauge, value: number): void {
    gauge.value += value - (this.parts.get(gauge) ?? 0)
    if (value === 0) this.parts.delete(gauge)
    else this.parts.set(gauge, value)
  }
}
