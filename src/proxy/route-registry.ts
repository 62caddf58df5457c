// Route tables that come over RDS, by name: who wants them, the version in use, who waits for the first. ListenerRegistry takes
// holders; the update side (ConfigChanges.applyRoute) swaps `holder.current` and nothing else, so no connection notices.

import { isDeepStrictEqual } from 'node:util'
import type { Runtime } from '../l7/match/runtime-fraction.js'
import { type CompiledRouteTable, compileRouteTable } from '../l7/route/route-table.js'
import type { RouteHolder } from '../l7/server/http-runtime.js'
import type { AdsStats } from '../metrics/stat-names.js'
import type { StatSource } from '../metrics/stats-store.js'
import type { ConfigSource } from '../model/config-source.js'
import { NO_ROUTES, type RouteTable } from '../model/route.js'

/** A route table that is wanted, and where from. */
export interface RouteSubscription {
  readonly name: string
  readonly source: ConfigSource
}

interface Waiter {
  readonly ready: () => void
  readonly refused: () => void
}

interface Entry {
  readonly holder: RouteHolder
  source: ConfigSource
  model: RouteTable | null
  users: number
  waiters: Set<Waiter>
  /** `http.<prefix>.rds.<name>.` of each connection manager that uses the table. */
  readonly stats: Set<RdsStats>
}

export type RdsStats = ReturnType<AdsStats['rds']>

export class RouteRegistry {
  private readonly entries = new Map<string, Entry>()
  private readonly runtime: Runtime
  private readonly stats: StatSource
  private readonly empty: CompiledRouteTable
  /** The set of wanted names changed. */
  onNamesChange: (() => void) | null = null
  /** A table was swapped. */
  onSwap: (() => void) | null = null

  constructor(runtime: Runtime, stats: StatSource) {
    this.runtime = runtime
    this.stats = stats
    this.empty = compileRouteTable(NO_ROUTES, { runtime })
  }

  /** The holder for a route name; it answers 404 until the table is there. Each hold needs one drop. */
  hold(name: string, source: ConfigSource, stats: RdsStats): RouteHolder {
    let entry = this.entries.get(name)
    if (entry === undefined) {
      entry = { holder: { current: this.empty }, source, model: null, users: 0, waiters: new Set(), stats: new Set() }
      this.entries.set(name, entry)
    }
    entry.users++
    entry.stats.add(stats)
    if (entry.model !== null) countUpdate(stats)
    // The newest user says where the table comes from.
    const moved = !isDeepStrictEqual(entry.source, source)
    entry.source = source
    if (entry.users === 1 || moved) this.onNamesChange?.()
    return entry.holder
  }

  drop(name: string, stats: RdsStats): void {
    const entry = this.entries.get(name)
    if (entry === undefined) return
    entry.stats.delete(stats)
    stats.release()
    if (--entry.users > 0) return
    entry.holder.current.release()
    this.entries.delete(name)
    this.onNamesChange?.()
  }

  subscriptions(): RouteSubscription[] {
    return [...this.entries].map(([name, { source }]) => ({ name, source }))
  }

  /** True when the table is there. */
  has(name: string): boolean {
    return this.entries.get(name)?.model != null
  }

  /**
   * `ready` once, when the table is there (at once if it is); `refused` whenever a version came that was refused while there is none.
   * Returns the way to stop waiting.
   */
  whenReady(name: string, ready: () => void, refused: () => void): () => void {
    const entry = this.entries.get(name)
    if (entry === undefined || entry.model !== null) {
      ready()
      return () => {}
    }
    const waiter = { ready, refused }
    entry.waiters.add(waiter)
    return () => entry.waiters.delete(waiter)
  }

  /** A new version of a wanted table; an equal one touches nothing. */
  apply(model: RouteTable): void {
    const entry = this.entries.get(model.name)
    if (entry === undefined) return
    for (const stats of entry.stats) countUpdate(stats)
    if (entry.model !== null && isDeepStrictEqual(entry.model, model)) return
    entry.model = model
    for (const stats of entry.stats) stats.config_reload.value++
    // The new one's counters first, so that those both have keep their values.
    const before = entry.holder.current
    entry.holder.current = compileRouteTable(model, { runtime: this.runtime, stats: this.stats })
    before.release()
    const { waiters } = entry
    entry.waiters = new Set()
    for (const waiter of waiters) waiter.ready()
    this.onSwap?.()
  }

  /** An update of the table was refused; the last good one serves on. */
  refused(name: string): void {
    const entry = this.entries.get(name)
    for (const stats of entry?.stats ?? []) {
      stats.update_attempt.value++
      stats.update_rejected.value++
    }
    for (const waiter of [...(entry?.waiters ?? [])]) waiter.refused()
  }

  *clusterNames(): IterableIterator<string> {
    for (const { holder } of this.entries.values()) yield* holder.current.clusterNames
  }
}

function countUpdate(stats: RdsStats): void {
  stats.update_attempt.value++
  stats.update_success.value++
  stats.update_time.value = Date.now()
}
