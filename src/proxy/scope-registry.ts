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
  /** Names that came in the update under way, by their keys: two of them may not have one. */
  readonly fresh: Map<string, string>
}

export class ScopeRegistry {
  private readonly held = new Map<string, Held>()
  private readonly users = new Set<ScopeUser>()
  /** The set of sources changed. */
  onSourcesChange: (() => void) | null = null
  /** A request met a scope whose table is loaded on demand. Set in a worker process, whose primary asks for tables. */
  onTableDemanded: ((source: ConfigSource, table: string) => void) | null = null

  constructor(private readonly log: (message: string) => void) {}

  /** Every user, wherever its scopes come from; each add needs one remove. */
  add(user: ScopeUser): void {
    this.users.add(user)
  }

  remove(user: ScopeUser): void {
    this.users.delete(user)
  }

  /** Some other process has a request for a table that is loaded on demand. */
  load(source: ConfigSource, table: string): void {
    for (const user of this.users) user.load(source, table)
  }

  hold(source: ConfigSource, user: ScopeUser): void {
    const key = sourceKey(source)
    let held = this.held.get(key)
    if (held === undefined) {
      held = { source, users: new Set(), seen: false, scopes: new Map(), fresh: new Map() }
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
    const other = held.fresh.get(key)
    if (other !== undefined && other !== scope.name) return [{ path: 'key', reason: sameScopeKey(other, scope.name) }]
    held.scopes.set(scope.name, scope)
    held.fresh.set(key, scope.name)
    return []
  }

  removeScope(source: ConfigSource, name: string): void {
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
    for (const [name, { key }] of scopes) {
      const newer = fresh.get(scopeKey(key))
      if (newer === undefined || newer === name) continue
      scopes.delete(name)
      this.log(sameScopeKey(newer, name))
    }
  }
}

export interface ScopeUserOptions {
  readonly scopedRoutes: ScopedRoutes
  readonly initialFetchTimeoutMs: number
  readonly scopes: RouteScopes
  readonly routes: RouteRegistry
  readonly runtime: Runtime
  readonly stats: StatSource
  /** `http.<prefix>.rds.<table>.`, taken anew for each hold. */
  readonly statsOf: (table: string) => RdsStats
  readonly onTableDemanded: (source: ConfigSource, table: string) => void
}

/** A connection manager with scoped routes. */
export class ScopeUser implements AwaitedConfig {
  readonly name: string
  readonly timeoutMs: number
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
    this.timeoutMs = options.initialFetchTimeoutMs
  }

  update(list: readonly RouteScope[]): void {
    const { routes } = this.options
    this.list = list
    const named = new Set<string>()
    const opened: string[] = []
    for (const { routes: table, onDemand } of list) {
      if (table.kind !== 'rds') continue
      named.add(table.name)
      // One that is here already, for somebody else, needs no request.
      if (this.tables.has(table.name) || (onDemand && !routes.has(table.name))) continue
      this.open(table.name)
      opened.push(table.name)
    }
    this.serve()
    for (const [name, { stats }] of this.tables) {
      if (named.has(name)) continue
      this.tables.delete(name)
      routes.drop(name, stats)
    }
    for (const name of opened) this.serveOnceReady(name)
  }

  private open(name: string): void {
    const { scopedRoutes, routes, statsOf } = this.options
    const stats = statsOf(name)
    this.tables.set(name, { holder: routes.hold(name, scopedRoutes.rdsSource, stats), stats })
  }

  private serveOnceReady(name: string): void {
    const { routes } = this.options
    if (routes.has(name)) return
    routes.whenReady(
      name,
      () => this.serve(),
      () => {},
    )
  }

  /** A table that is loaded on demand, where one of its scopes names it. */
  load(source: ConfigSource, name: string): void {
    if (sourceKey(source) !== sourceKey(this.options.scopedRoutes.rdsSource) || this.tables.has(name)) return
    if (this.list?.some(({ routes }) => routes.kind === 'rds' && routes.name === name) !== true) return
    this.open(name)
    if (this.options.routes.has(name)) this.serve()
    else this.serveOnceReady(name)
  }

  /** A request is for a scope whose table is not here: `done` once it is, or was refused. */
  private await(name: string, done: () => void): () => void {
    const { routes, scopedRoutes, onTableDemanded } = this.options
    if (!this.tables.has(name)) {
      this.load(scopedRoutes.rdsSource, name)
      onTableDemanded(scopedRoutes.rdsSource, name)
    }
    // Not held: the listener has another version by now, and this request goes on without the table.
    if (this.tables.has(name) && !routes.has(name)) return routes.whenReady(name, done, done)
    const soon = setImmediate(done)
    return () => clearImmediate(soon)
  }

  /** A scope that moves to another table is served by its old one until the new one is there. */
  private serve(): void {
    const { scopes, routes } = this.options
    // The new tables' counters first, so that those both have keep their values.
    const replaced = this.inline.splice(0)
    const serving = new Map<string, RouteHolder>()
    const entries = (this.list ?? []).map(({ key, routes: table }) => {
      const text = scopeKey(key)
      const holder = table.kind === 'inline' ? this.compile(table.table) : this.holderOf(table.name)
      const before = table.kind === 'rds' && this.awaits(table.name) ? this.serving.get(text) : undefined
      const used = before === undefined || before.current === routes.empty ? holder : before
      serving.set(text, used)
      return { key, holder: used }
    })
    this.serving = serving
    scopes.replace(entries)
    for (const table of replaced) table.release()
    this.tell()
  }

  /** Asked for, and not here yet. */
  private awaits(name: string): boolean {
    return this.tables.has(name) && !this.options.routes.has(name)
  }

  /** Until the table is here requests may wait for it. */
  private holderOf(name: string): RouteHolder {
    const { routes } = this.options
    return (routes.has(name) ? this.tables.get(name)?.holder : undefined) ?? this.lazy(name)
  }

  private lazy(name: string): RouteHolder {
    return new RouteHolder(this.options.routes.empty, (_, done) => this.await(name, done))
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
