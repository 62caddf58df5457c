// Route tables that come over RDS, by name: who wants them, the version in use, who waits for the first. ListenerRegistry takes
// holders; the update side (ConfigChanges.applyRoute) swaps `holder.current` and nothing else, so no connection notices.

import { isDeepStrictEqual } from 'node:util'
import type { Steps } from '../io/slices.js'
import type { Runtime } from '../l7/match/runtime-fraction.js'
import { RouteHolder } from '../l7/route/route-holder.js'
import { type CompiledRouteTable, compileRouteTable, compileRouteTableInSteps } from '../l7/route/route-table.js'
import type { StatSource } from '../metrics/stats-store.js'
import type { AdsStats } from '../metrics/subscription-stats.js'
import type { ConfigError } from '../model/config-error.js'
import { type ConfigSource, sourceKey } from '../model/config-source.js'
import { NO_ROUTES, type RouteTable, type VirtualHost } from '../model/route.js'
import { tableOf, virtualHostAlias } from '../model/virtual-host-name.js'
import type { AwaitedConfig } from './awaited-config.js'
import type { DemandAnswer, Demands } from './demands.js'
import { VirtualHostStore } from './virtual-host-store.js'

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
  /** Of the table itself, where others come over VHDS. */
  domains: ReadonlySet<string>
  users: number
  waiters: Set<Waiter>
  /** `http.<prefix>.rds.<name>.` of each connection manager that uses the table. */
  readonly stats: Set<RdsStats>
}

const NO_DOMAINS: ReadonlySet<string> = new Set()

export type RdsStats = ReturnType<AdsStats['rds']>

export class RouteRegistry {
  private readonly entries = new Map<string, Entry>()
  private readonly runtime: Runtime
  private readonly stats: StatSource
  private readonly virtualHosts = new VirtualHostStore()
  /** Answers nothing. */
  readonly empty: CompiledRouteTable
  /** The set of wanted names changed. */
  onNamesChange: (() => void) | null = null
  /** A table was swapped. */
  onSwap: (() => void) | null = null

  private readonly demands: Demands

  constructor(runtime: Runtime, stats: StatSource, demands: Demands) {
    this.runtime = runtime
    this.stats = stats
    this.demands = demands
    this.empty = compileRouteTable(NO_ROUTES, { runtime })
  }

  /** The holder for a route name; it answers 404 until the table is there. Each hold needs one drop. */
  hold(name: string, source: ConfigSource, stats: RdsStats): RouteHolder {
    let entry = this.entries.get(name)
    if (entry === undefined) {
      const holder = new RouteHolder(this.empty, (authority, done) => this.askForHost(name, authority, done))
      entry = { holder, source, model: null, domains: NO_DOMAINS, users: 0, waiters: new Set(), stats: new Set() }
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
    // Requests may wait for a table of a scope.
    for (const waiter of [...entry.waiters]) waiter.refused()
    if (entry.model?.vhds !== undefined) this.dropHosts(entry.model.vhds, name)
    this.onNamesChange?.()
  }

  private dropHosts(source: ConfigSource, table: string): void {
    this.virtualHosts.drop(source)
    this.demands.drop('virtual-host', source, alias => tableOf(alias) === table)
  }

  /** The table has no route for a request: a virtual host for it is asked for. Null: none may be, or it is here already. */
  private askForHost(name: string, authority: string, done: () => void): (() => void) | null {
    const source = this.entries.get(name)?.model?.vhds
    if (source === undefined) return null
    return this.demands.ask({ kind: 'virtual-host', source, name: virtualHostAlias(name, authority) }, done)
  }

  subscriptions(): RouteSubscription[] {
    return [...this.entries].map(([name, { source }]) => ({ name, source }))
  }

  /** Where virtual hosts come from. */
  virtualHostSources(): ConfigSource[] {
    return this.virtualHosts.sources()
  }

  /** True when the table is there, with its virtual hosts. */
  has(name: string): boolean {
    const model = this.entries.get(name)?.model ?? null
    return model !== null && (model.vhds === undefined || this.virtualHosts.seen(model.vhds))
  }

  awaited(name: string, timeoutMs: number): AwaitedConfig {
    const isThere = (): boolean => this.has(name)
    return {
      name,
      timeoutMs,
      get ready() {
        return isThere()
      },
      whenReady: (ready, refused) => this.whenReady(name, ready, refused),
    }
  }

  /**
   * `ready` once, when the table is there (at once if it is); `refused` whenever a version came that was refused while there is none.
   * Returns the way to stop waiting.
   */
  whenReady(name: string, ready: () => void, refused: () => void): () => void {
    const entry = this.entries.get(name)
    if (entry === undefined || this.has(name)) {
      ready()
      return () => {}
    }
    const waiter = { ready, refused }
    entry.waiters.add(waiter)
    return () => entry.waiters.delete(waiter)
  }

  /** A new version of a wanted table, swapped in at the last step; an equal one touches nothing. */
  *apply(model: RouteTable): Steps<void> {
    const entry = this.entries.get(model.name)
    if (entry === undefined) return
    for (const stats of entry.stats) countUpdate(stats)
    if (entry.model !== null && (yield* sameTable(entry.model, model))) return
    // Virtual hosts of VHDS are added in one go: they may change between two steps.
    const compiled = model.vhds === undefined ? yield* compileRouteTableInSteps(model, this.compileOptions) : null
    if (this.entries.get(model.name) !== entry) {
      // Nobody wants it any more.
      compiled?.release()
      return
    }
    const { vhds } = model
    const old = entry.model?.vhds
    if (vhds !== undefined) this.virtualHosts.hold(vhds)
    if (old !== undefined) {
      if (vhds === undefined || sourceKey(old) !== sourceKey(vhds)) this.dropHosts(old, model.name)
      else this.virtualHosts.drop(old)
    }
    entry.model = model
    entry.domains = vhds === undefined ? NO_DOMAINS : new Set(model.virtualHosts.flatMap(({ domains }) => domains))
    for (const stats of entry.stats) stats.config_reload.value++
    this.swap(entry, compiled ?? this.compile(model))
    if (vhds !== undefined || old !== undefined) this.onNamesChange?.()
  }

  private get compileOptions() {
    return { runtime: this.runtime, stats: this.stats }
  }

  private compile(model: RouteTable): CompiledRouteTable {
    const hosts = model.vhds === undefined ? [] : this.virtualHosts.of(model.vhds, model.name)
    const whole = hosts.length === 0 ? model : { ...model, virtualHosts: [...model.virtualHosts, ...hosts] }
    return compileRouteTable(whole, this.compileOptions)
  }

  private swap(entry: Entry, compiled: CompiledRouteTable): void {
    // The new one's counters were made first, so that those both have keep their values.
    const before = entry.holder.current
    entry.holder.current = compiled
    before.release()
    if (this.has(compiled.model.name)) {
      const { waiters } = entry
      entry.waiters = new Set()
      for (const waiter of waiters) waiter.ready()
    }
    this.onSwap?.()
  }

  /** A virtual host of VHDS; in use once its update is settled. */
  putVirtualHost(source: ConfigSource, name: string, host: VirtualHost): readonly ConfigError[] {
    return this.virtualHosts.put(source, name, host, this.entries.get(tableOf(name))?.domains ?? NO_DOMAINS)
  }

  removeVirtualHost(source: ConfigSource, name: string): void {
    this.virtualHosts.remove(source, name)
  }

  /** An update of virtual hosts is over. */
  settleVirtualHosts(source: ConfigSource, answer: DemandAnswer): void {
    const changed = this.virtualHosts.settle(source)
    // Most answers on demand are that there is no such host: they cost no table.
    if (changed === null || changed.size > 0) {
      const key = sourceKey(source)
      for (const [name, entry] of this.entries) {
        const { model } = entry
        if (changed?.has(name) !== false && model?.vhds !== undefined && sourceKey(model.vhds) === key)
          this.swap(entry, this.compile(model))
      }
    }
    this.demands.answer('virtual-host', source, answer)
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

/** A route at a time: comparing is as long as compiling. */
function* sameTable(a: RouteTable, b: RouteTable): Steps<boolean> {
  if (a.virtualHosts.length !== b.virtualHosts.length) return false
  if (!isDeepStrictEqual({ ...a, virtualHosts: [] }, { ...b, virtualHosts: [] })) return false
  for (const [i, host] of a.virtualHosts.entries()) {
    const other = b.virtualHosts[i]!
    if (host.routes.length !== other.routes.length || !isDeepStrictEqual({ ...host, routes: [] }, { ...other, routes: [] })) return false
    for (const [j, route] of host.routes.entries()) {
      if (!isDeepStrictEqual(route, other.routes[j])) return false
      yield
    }
  }
  return true
}

function countUpdate(stats: RdsStats): void {
  stats.update_attempt.value++
  stats.update_success.value++
  stats.update_time.value = Date.now()
}
