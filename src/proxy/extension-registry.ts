// The extension configs that come over ECDS, by name: who wants them, the version in use, who waits for the first. compile-listener's HTTP
// filters are its users; the update side (ExtensionKind) applies. Invariant: a version is used by all of its users, or refused.

import { isDeepStrictEqual } from 'node:util'
import type { FilterConfigs, FilterConfigUser } from '../l7/filters/discovered-filter.js'
import type { StatSource } from '../metrics/stats-store.js'
import { type ExtensionConfigStats, extensionConfigStats } from '../metrics/subscription-stats.js'
import type { ConfigError } from '../model/config-error.js'
import type { ConfigSource } from '../model/config-source.js'
import type { ExtensionConfig, FilterDiscovery } from '../model/http-filter.js'
import type { AwaitedConfig } from './awaited-config.js'

/** An extension config that is wanted, and where from. */
export interface ExtensionSubscription {
  readonly name: string
  readonly source: ConfigSource
  readonly initialFetchTimeoutMs: number
}

interface Waiter {
  readonly ready: () => void
  readonly refused: () => void
}

interface Entry {
  source: ConfigSource
  initialFetchTimeoutMs: number
  config: ExtensionConfig | null
  readonly users: Set<FilterConfigUser>
  waiters: Set<Waiter>
  readonly stats: ExtensionConfigStats
}

export class ExtensionRegistry implements FilterConfigs {
  private readonly entries = new Map<string, Entry>()
  private readonly stats: StatSource
  /** The set of wanted names, or where one comes from, changed. */
  onNamesChange: (() => void) | null = null

  constructor(stats: StatSource) {
    this.stats = stats
  }

  /** The newest user says where the config comes from. */
  hold(name: string, { source, initialFetchTimeoutMs }: FilterDiscovery, user: FilterConfigUser): void {
    let entry = this.entries.get(name)
    const isNew = entry === undefined
    if (entry === undefined) {
      const stats = extensionConfigStats(this.stats, name)
      entry = { source, initialFetchTimeoutMs, config: null, users: new Set(), waiters: new Set(), stats }
      this.entries.set(name, entry)
    }
    const moved = !isDeepStrictEqual(entry.source, source)
    entry.source = source
    entry.initialFetchTimeoutMs = initialFetchTimeoutMs
    entry.users.add(user)
    // One that another user has, and this one cannot be, leaves this one its default.
    if (entry.config !== null && user.check(entry.config) === null) user.use(entry.config)
    if (isNew || moved) this.onNamesChange?.()
  }

  drop(name: string, user: FilterConfigUser): void {
    const entry = this.entries.get(name)
    if (entry === undefined || !entry.users.delete(user) || entry.users.size > 0) return
    this.entries.delete(name)
    entry.stats.release()
    this.onNamesChange?.()
  }

  subscriptions(): ExtensionSubscription[] {
    return [...this.entries].map(([name, { source, initialFetchTimeoutMs }]) => ({ name, source, initialFetchTimeoutMs }))
  }

  /** Of a wanted name. */
  statsOf(name: string): ExtensionConfigStats | undefined {
    return this.entries.get(name)?.stats
  }

  has(name: string): boolean {
    return this.entries.get(name)?.config != null
  }

  awaited(name: string): AwaitedConfig {
    const isThere = (): boolean => this.has(name)
    return {
      name: `extension config ${name}`,
      get ready() {
        return isThere()
      },
      whenReady: (ready, refused) => this.whenReady(name, { ready, refused }),
    }
  }

  private whenReady(name: string, waiter: Waiter): () => void {
    const entry = this.entries.get(name)
    if (entry === undefined || entry.config !== null) {
      waiter.ready()
      return () => {}
    }
    entry.waiters.add(waiter)
    return () => entry.waiters.delete(waiter)
  }

  /** Refused where one of its users cannot be it; an equal one touches nothing. */
  apply(config: ExtensionConfig): ConfigError[] {
    const entry = this.entries.get(config.name)
    if (entry === undefined) return []
    const problems = new Set([...entry.users].map(user => user.check(config)).filter(problem => problem !== null))
    if (problems.size > 0) return [...problems].map(reason => ({ path: 'typed_config', reason }))
    if (isDeepStrictEqual(entry.config, config)) return []
    entry.config = config
    entry.stats.config_reload.value++
    for (const user of entry.users) user.use(config)
    const { waiters } = entry
    entry.waiters = new Set()
    for (const waiter of waiters) waiter.ready()
    return []
  }

  /** The server says that there is none: its users go back to their defaults. */
  remove(name: string): void {
    const entry = this.entries.get(name)
    if (entry === undefined || entry.config === null) return
    entry.config = null
    entry.stats.config_reload.value++
    for (const user of entry.users) user.use(null)
  }

  /** A version was refused; the last good one stays. */
  refused(name: string): void {
    const entry = this.entries.get(name)
    if (entry === undefined) return
    entry.stats.config_fail.value++
    for (const waiter of [...entry.waiters]) waiter.refused()
  }
}
