// Route tables that come over RDS, by name: who wants them, the version in use, who waits for the first. ListenerRegistry takes
// holders; the update side (server.applyRoute) swaps `holder.current` and nothing else, so no connection notices.

import { isDeepStrictEqual } from 'node:util'
import type { RouteHolder } from '../l7/http-runtime.js'
import type { Runtime } from '../l7/match/runtime-fraction.js'
import { type CompiledRouteTable, compileRouteTable } from '../l7/route-table.js'
import type { AdsStats } from '../metrics/stat-names.js'
import { NO_ROUTES, type RouteTable } from '../model/route.js'

interface Entry {
  readonly holder: RouteHolder
  model: RouteTable | null
  users: number
  waiters: Set<() => void>
  /** `http.<prefix>.rds.<name>.` of each connection manager that uses the table. */
  readonly stats: Set<RdsStats>
}

export type RdsStats = ReturnType<AdsStats['rds']>

export class RouteRegistry {
  private readonly entries = new Map<string, Entry>()
  private readonly runtime: Runtime
  private readonly empty: CompiledRouteTable
  /** The set of wanted names changed. */
  onNamesChange: (() => void) | null = null
  /** A table was swapped. */
  onSwap: (() => void) | null = null

  constructor(runtime: Runtime) {
    this.runtime = runtime
    this.empty = compileRouteTable(NO_ROUTES, { runtime })
  }

  /** The holder for a route name; it answers 404 until the table is there. Each hold needs one drop. */
  hold(name: string, stats: RdsStats): RouteHolder {
    let entry = this.entries.get(name)
    if (entry === undefined) {
      entry = { holder: { current: this.empty }, model: null, users: 0, waiters: new Set(), stats: new Set() }
      this.entries.set(name, entry)
    }
    entry.users++
    entry.stats.add(stats)
    if (entry.model !== null) countUpdate(stats)
    if (entry.users === 1) this.onNamesChange?.()
    return entry.holder
  }

  drop(name: string, stats: RdsStats): void {
    const entry = this.entries.get(name)
    if (entry === undefined) return
    entry.stats.delete(stats)
    stats.release()
    if (--entry.users > 0) return
    this.entries.delete(name)
    this.onNamesChange?.()
  }

  names(): string[] {
    return [...this.entries.keys()]
  }

  models(): RouteTable[] {
    return [...this.entries.values()].flatMap(entry => (entry.model === null ? [] : [entry.model]))
  }

  /** True when the table is there. */
  has(name: string): boolean {
    return this.entries.get(name)?.model != null
  }

  /** `done` once, when the table is there (at once if it is). Returns the way to stop waiting. */
  whenReady(name: string, done: () => void): () => void {
    const entry = this.entries.get(name)
    if (entry === undefined || entry.model !== null) {
      done()
      return () => {}
    }
    entry.waiters.add(done)
    return () => entry.waiters.delete(done)
  }

  /** A new version of a wanted table; an equal one touches nothing. */
  apply(model: RouteTable): void {
    const entry = this.entries.get(model.name)
    if (entry === undefined) return
    for (const stats of entry.stats) countUpdate(stats)
    if (entry.model !== null && isDeepStrictEqual(entry.model, model)) return
    entry.model = model
    for (const stats of entry.stats) stats.config_reload.value++
    entry.holder.current = compileRouteTable(model, { runtime: this.runtime })
    const { waiters } = entry
    entry.waiters = new Set()
    for (const done of waiters) done()
    this.onSwap?.()
  }

  /** An update of the table was refused; the last good one serves on. */
  refused(name: string): void {
    for (const stats of this.entries.get(name)?.stats ?? []) {
      stats.update_attempt.value++
      stats.update_rejected.value++
    }
  }

  /** RDS keeps serving a removed table while a listener wants it, as Envoy does: removal takes effect with the listener. */
  remove(_name: string): void {}

  *clusterNames(): IterableIterator<string> {
    for (const { holder } of this.entries.values()) yield* holder.current.clusterNames
  }
}

function countUpdate(stats: RdsStats): void {
  stats.update_attempt.value++
  stats.update_success.value++
  stats.update_time.value = Date.now()
}
