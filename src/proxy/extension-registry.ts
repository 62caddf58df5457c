// The extension configs that come over ECDS, by name: who wants them, the version in use, who waits for the first. compile-listener's HTTP
// filters are its users; the update side (ExtensionKind) applies. Invariant: a version is used by all of its users, or refused.

import { isDeepStrictEqual } from 'node:util'
import type { FilterConfigs, FilterConfigUser } from '../l7/filters/discovered-filter.js'
import type { StatSource } from '../metrics/stats-store.js'
import { type ExtensionConfigStats, extensionConfigStats } from '../metrics/subscription-stats.js'
import type { ConfigError } from '../model/config-error.js'
import type { ConfigSource } from '../model/config-source.js'
import type { Discovery } from '../model/discovery.js'
import type { ExtensionConfig, ExtensionPlace } from '../model/extension-config.js'
import type { AwaitedConfig } from './awaited-config.js'

/** An extension config that is wanted, and where from. */
export interface ExtensionSubscription {
  readonly place: ExtensionPlace
  readonly name: string
  readonly source: ConfigSource
  readonly initialFetchTimeoutMs: number
}

interface Waiter {
  readonly ready: () => void
  readonly refused: () => void
}

interface Entry {
  readonly place: ExtensionPlace
  readonly name: string
  source: ConfigSource
  initialFetchTimeoutMs: number
  config: ExtensionConfig | null
  readonly users: Set<FilterConfigUser>
  waiters: Set<Waiter>
  readonly stats: ExtensionConfigStats
}

const PLACES = ['http', 'network', 'listener'] as const satisfies readonly ExtensionPlace[]
const STAT_PLACES: Readonly<Record<ExtensionPlace, string>> = {
  http: 'http_filter',
  network: 'network_filter',
  listener: 'tcp_listener_filter',
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
  hold(place: ExtensionPlace, name: string, { source, initialFetchTimeoutMs }: Discovery<unknown>, user: FilterConfigUser): void {
    const key = keyOf(place, name)
    let entry = this.entries.get(key)
    const isNew = entry === undefined
    if (entry === undefined) {
      const stats = extensionConfigStats(this.stats, STAT_PLACES[place], name)
      entry = { place, name, source, initialFetchTimeoutMs, config: null, users: new Set(), waiters: new Set(), stats }
      this.entries.set(key, entry)
    }
    const moved = !isDeepStrictEqual(entry.source, source)
    entry.source = source
    entry.initialFetchTimeoutMs = initialFetchTimeoutMs
    entry.users.add(user)
    // One that another user has, and this one cannot be, leaves this one its default.
    if (entry.config !== null && user.check(entry.config) === null) user.use(entry.config)
    if (isNew || moved) this.onNamesChange?.()
  }

  drop(place: ExtensionPlace, name: string, user: FilterConfigUser): void {
    const key = keyOf(place, name)
    const entry = this.entries.get(key)
    if (entry === undefined || !entry.users.delete(user) || entry.users.size > 0) return
    this.entries.delete(key)
    entry.stats.release()
    this.onNamesChange?.()
  }

  subscriptions(): ExtensionSubscription[] {
    return [...this.entries.values()].map(({ place, name, source, initialFetchTimeoutMs }) => ({
      place,
      name,
      source,
      initialFetchTimeoutMs,
    }))
  }

  /** Of a wanted name, in each place that wants it. */
  statsOf(name: string): ExtensionConfigStats[] {
    return this.named(name).map(({ stats }) => stats)
  }

  private named(name: string): Entry[] {
    return PLACES.flatMap(place => this.entries.get(keyOf(place, name)) ?? [])
  }

  has(place: ExtensionPlace, name: string): boolean {
    return this.entries.get(keyOf(place, name))?.config != null
  }

  awaited(place: ExtensionPlace, name: string, { initialFetchTimeoutMs: timeoutMs }: Discovery<unknown>): AwaitedConfig {
    const isThere = (): boolean => this.has(place, name)
    return {
      name: `extension config ${name}`,
      timeoutMs,
      get ready() {
        return isThere()
      },
      whenReady: (ready, refused) => this.whenReady(keyOf(place, name), { ready, refused }),
    }
  }

  private whenReady(key: string, waiter: Waiter): () => void {
    const entry = this.entries.get(key)
    if (entry === undefined || entry.config !== null) {
      waiter.ready()
      return () => {}
    }
    entry.waiters.add(waiter)
    return () => entry.waiters.delete(waiter)
  }

  /** Refused where one of its users cannot be it; an equal one touches nothing. */
  apply(config: ExtensionConfig): ConfigError[] {
    const entry = this.entries.get(keyOf(config.place, config.name))
    if (entry === undefined) return this.elsewhere(config)
    const problems = new Set([...entry.users].map(user => user.check(config)).filter(problem => problem !== null))
    if (problems.size > 0) return [...problems].map(reason => ({ path: 'typed_config', reason }))
    if (isDeepStrictEqual(entry.config, config)) return []
    entry.config = config
    entry.stats.config_reload.value++
    // A user may give its place to another one meanwhile.
    for (const user of [...entry.users]) if (entry.users.has(user)) user.use(config)
    const { waiters } = entry
    entry.waiters = new Set()
    for (const waiter of waiters) waiter.ready()
    return []
  }

  /** Wanted, but not as such a filter. */
  private elsewhere(config: ExtensionConfig): ConfigError[] {
    const problems = this.named(config.name).flatMap(({ users }) => [...users].map(user => user.check(config)))
    return [...new Set(problems)].flatMap(reason => (reason === null ? [] : [{ path: 'typed_config', reason }]))
  }

  /** The server says that there is none: its users go back to their defaults. */
  remove(name: string): void {
    for (const entry of this.named(name)) {
      if (entry.config === null) continue
      entry.config = null
      entry.stats.config_reload.value++
      for (const user of [...entry.users]) if (entry.users.has(user)) user.use(null)
    }
  }

  /** A version was refused; the last good one stays. */
  refused(name: string): void {
    for (const entry of this.named(name)) {
      entry.stats.config_fail.value++
      for (const waiter of [...entry.waiters]) waiter.refused()
    }
  }
}

function keyOf(place: ExtensionPlace, name: string): string {
  return `${place} ${name}`
}
