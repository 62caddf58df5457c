// Scopes of route tables that come over SRDS, by the source they come from, and the connection managers that use them. A manager gets every
// scope of its source, holds the tables that they name in RouteRegistry, and fills its RouteScopes. Invariant: a scope is replaced in
// one step with all others of its update, so a key that moves from one scope to another is never nobody's.

import type { Runtime } from '../l7/match/runtime-fraction.js'
import { RouteHolder } from '../l7/route/route-holder.js'
import type { RouteScopes } from '../l7/route/route-scopes.js'
import { type CompiledRouteTable, compileRouteTable } from '../l7/route/route-table.js'
import type { StatSource } from '../metrics/stats-store.js'
import type { ConfigError } from '../model/config-error.js'
import { type ConfigSource, sourceKey } from '../model/config-source.js'
import type { RouteTable } from '../model/route.js'
import { type RouteScope, type ScopedRoutes, sameScopeKey, scopeKey } from '../model/scoped-routes.js'
import type { AwaitedConfig } from './awaited-config.js'
import type { RdsStats, RouteRegistry } from './route-registry.js'

interface Held {
  readonly source: ConfigSource
  readonly users: Set<ScopeUser>
  seen: boolean
  readonly scopes: Map<string, RouteScope>
  /** Names that came in the update under way: two of them may not have one key. */
  readonly fresh: Set<string>
}

export class ScopeRegistry {
  private readonly held = new Map<string, Held>()
  /** The set of sources changed. */
  onSourcesChange: (() => void) | null = null

  constructor(private readonly log: (message: string) => void) {}

  hold(source: ConfigSource, user: ScopeUser): void {
    const key = sourceKey(source)
    let held = this.held.get(key)
    if (held === undefined) {
      held = { source, users: new Set(), seen: false, scopes: new Map(), fresh: new Set() }
      this.held.set(key, held)
      held.users.add(user)
      this.onSourcesChange?.()
      return
    }
    held.users.add(user)
    if (held.seen) user.update([...held.scopes.values()])
  }

  drop(source: ConfigSource, user: ScopeUser): void {
    const key = sourceKey(source)
    const held = this.held.get(key)
    if (held === undefined) return
    held.users.delete(user)
    if (held.users.size > 0) return
    this.held.delete(key)
    this.onSourcesChange?.()
  }

  sources(): ConfigSource[] {
    return [...this.held.values()].map(({ source }) => source)
  }

  *clusterNames(): IterableIterator<string> {
    for (const { users } of this.held.values()) for (const user of users) yield* user.clusterNames()
  }

  put(source: ConfigSource, scope: RouteScope): readonly ConfigError[] {
    const held = this.held.get(sourceKey(source))
    if (held === undefined) return []
    const key = scopeKey(scope.key)
    for (const other of held.fresh)
      if (other !== scope.name && scopeKey(held.scopes.get(other)!.key) === key)
        return [{ path: 'key', reason: sameScopeKey(other, scope.name) }]
    held.scopes.set(scope.name, scope)
    held.fresh.add(scope.name)
    return []
  }

  remove(source: ConfigSource, name: string): void {
    this.held.get(sourceKey(source))?.scopes.delete(name)
  }

  /** An update is over: the users get what there is now. */
  settle(source: ConfigSource): void {
    const held = this.held.get(sourceKey(source))
    if (held === undefined) return
    held.seen = true
    this.dropStale(held)
    held.fresh.clear()
    for (const user of held.users) user.update([...held.scopes.values()])
  }

  /** Of two scopes with one key the one that came in the last update counts. */
  private dropStale({ scopes, fresh }: Held): void {
    const keys = new Map([...fresh].map(name => [scopeKey(scopes.get(name)?.key ?? []), name]))
    for (const [name, { key }] of scopes) {
      const newer = keys.get(scopeKey(key))
      if (newer === undefined || newer === name || fresh.has(name)) continue
      scopes.delete(name)
      this.log(sameScopeKey(newer, name))
    }
  }
}

export interface ScopeUserOptions {
  readonly scopedRoutes: ScopedRoutes
  readonly scopes: RouteScopes
  readonly routes: RouteRegistry
  readonly runtime: Runtime
  readonly stats: StatSource
  /** `http.<prefix>.rds.<table>.`, taken anew for each hold. */
  readonly statsOf: (table: string) => RdsStats
}

/** A connection manager with scoped routes. */
export class ScopeUser implements AwaitedConfig {
  readonly name: string
  private readonly options: ScopeUserOptions
  private readonly tables = new Map<string, { readonly holder: RouteHolder; readonly stats: RdsStats }>()
  private list: readonly RouteScope[] | null = null
  /** Tables that stand in scopes. */
  private readonly inline: CompiledRouteTable[] = []
  /** By key: what answers now. */
  private serving = new Map<string, RouteHolder>()
  private waiters = new Set<() => void>()

  constructor(options: ScopeUserOptions) {
    this.options = options
    this.name = options.scopedRoutes.name
  }

  update(list: readonly RouteScope[]): void {
    const { scopedRoutes, routes, statsOf } = this.options
    this.list = list
    const named = new Set(list.flatMap(scope => (scope.routes.kind === 'rds' ? [scope.routes.name] : [])))
    for (const name of named) {
      if (this.tables.has(name)) continue
      const stats = statsOf(name)
      this.tables.set(name, { holder: routes.hold(name, scopedRoutes.rdsSource, stats), stats })
    }
    this.serve()
    for (const [name, { stats }] of this.tables) {
      if (named.has(name)) continue
      this.tables.delete(name)
      routes.drop(name, stats)
    }
    for (const name of named)
      if (!routes.has(name))
        routes.whenReady(
          name,
          () => this.serve(),
          () => {},
        )
  }

  /** A scope that moves to another table is served by its old one until the new one is there. */
  private serve(): void {
    const { scopes, routes } = this.options
    // The new tables' counters first, so that those both have keep their values.
    const before = this.inline.splice(0)
    const serving = new Map<string, RouteHolder>()
    const entries = (this.list ?? []).map(({ key, routes: table }) => {
      const text = scopeKey(key)
      const holder = table.kind === 'inline' ? this.compile(table.table) : this.tables.get(table.name)!.holder
      const old = table.kind === 'rds' && !routes.has(table.name) ? this.serving.get(text) : undefined
      serving.set(text, old ?? holder)
      return { key, holder: old ?? holder }
    })
    this.serving = serving
    scopes.replace(entries)
    for (const table of before) table.release()
    this.tell()
  }

  private compile(model: RouteTable): RouteHolder {
    const { runtime, stats } = this.options
    const table = compileRouteTable(model, { runtime, stats })
    this.inline.push(table)
    return new RouteHolder(table)
  }

  /** Of the tables that stand in the scopes themselves. */
  *clusterNames(): IterableIterator<string> {
    for (const table of this.inline) yield* table.clusterNames
  }

  get ready(): boolean {
    return this.list !== null && [...this.tables.keys()].every(name => this.options.routes.has(name))
  }

  whenReady(ready: () => void): () => void {
    this.waiters.add(ready)
    return () => this.waiters.delete(ready)
  }

  release(): void {
    for (const [name, { stats }] of this.tables) this.options.routes.drop(name, stats)
    for (const table of this.inline.splice(0)) table.release()
    this.tables.clear()
    this.list = null
    this.waiters.clear()
  }

  private tell(): void {
    if (!this.ready) return
    const { waiters } = this
    this.waiters = new Set()
    for (const ready of waiters) ready()
  }
}
