// The registry of all counters, gauges, histograms and text readouts of a proxy. Listeners, clusters and filters take handles once,
// when their config is compiled, and then only touch numbers on them; admin reads them through stats-page.ts and prometheus.ts.
// Stats live as long as a scope or group holds them: release() of the last owner removes them from every exposition (expiry).
// Invariants: one live stat per kind and name; never more than maxStats names, whatever the network or the config does.
import type { StatsConfig, StatsTag } from '../model/bootstrap.js'
import type { Checked } from '../model/config-error.js'
import { Histogram, type HistogramUnit, ObservedHistogram } from './histogram.js'
import type { FlushedStats } from './sinks/stats-sink.js'
import { Counter, Gauge, type Stat, type StatKind, TextReadout } from './stat.js'
import { type GroupHost, StatGroup, type StatGroupType, type StatHandles } from './stat-group.js'
import { compileStatsRules, DEFAULT_RULES, type StatsRules } from './stats-matcher.js'
import { compileTagProducer, defaultTagProducer, type TagProducer } from './tags.js'

/** Where handles come from: the store itself, or a scope of it. */
export interface StatSource {
  counter(name: string): Counter
  scope(prefix: string): StatScope
}

/** A prefix and the stats taken through it. Kept by its owner, who calls release() when the listener, cluster or route goes. */
export class StatScope implements StatSource {
  // Made on first use: a mesh has thousands of scopes, and most hold one kind of thing.
  private stats: Set<Stat> | null = null
  private groups: StatGroup[] | null = null
  private children: Set<StatScope> | null = null
  private released = false

  constructor(
    private readonly store: StatsStore,
    /** Empty, or with its closing dot. */
    readonly prefix: string,
    private readonly parent: StatScope | null,
  ) {}

  counter(name: string): Counter {
    return this.own('counter', name) as Counter
  }

  gauge(name: string): Gauge {
    return this.own('gauge', name) as Gauge
  }

  histogram(name: string, unit: HistogramUnit = 'unspecified'): Histogram {
    return this.own('histogram', name, unit) as Histogram
  }

  /** Null: nothing has been recorded under this name yet. */
  knownHistogram(name: string): Histogram | null {
    return this.store.has('histogram', this.prefix + name) ? this.histogram(name) : null
  }

  textReadout(name: string): TextReadout {
    return this.own('text', name) as TextReadout
  }

  group<C extends string, G extends string, H extends string>(type: StatGroupType<C, G, H>): StatHandles<C, G, H> {
    const group = this.released ? this.store.sinkGroup(type, this.prefix) : this.store.obtainGroup(type, this.prefix)
    if (!this.released && this.groups?.includes(group) !== true) {
      if (this.groups === null) this.groups = [group]
      else this.groups.push(group)
      group.refs++
    }
    return group.handles as StatHandles<C, G, H>
  }

  /** A scope below this one; it is released with it, if not earlier. */
  scope(prefix: string): StatScope {
    const child = new StatScope(this.store, joinPrefix(this.prefix, prefix), this)
    if (this.released) child.release()
    else (this.children ??= new Set()).add(child)
    return child
  }

  /**
   * Gives up all stats of this scope and of those below. Handles still held stay writable but no longer show, and new ones lead
   * nowhere. Idempotent. On an update take the new scope before releasing the old one, and shared names keep their values.
   */
  release(): void {
    if (this.released) return
    this.released = true
    for (const child of this.children ?? []) child.release()
    this.parent?.children?.delete(this)
    for (const stat of this.stats ?? []) this.store.drop(stat)
    for (const group of this.groups ?? []) this.store.dropGroup(group)
    this.stats = null
    this.groups = null
    this.children = null
  }

  private own(kind: StatKind, name: string, unit: HistogramUnit = 'unspecified'): Stat {
    // A request may outlive its cluster: what it counts first after that must not come back to life unowned.
    if (this.released) return this.store.sink(kind)
    const stat = this.store.obtain(kind, this.prefix + name, unit, false)
    this.stats ??= new Set()
    if (stat.exposed && !this.stats.has(stat)) {
      this.stats.add(stat)
      stat.refs++
    }
    return stat
  }
}

export interface StatsStoreOptions {
  /** Default: Envoy's default tags. */
  readonly tags?: TagProducer
  /** Default: accept all, default buckets. */
  readonly rules?: StatsRules
  /** Most names that may exist, untouched group members included. Default DEFAULT_MAX_STATS. */
  readonly maxStats?: number
  /** Each value of a histogram is told to `onValue`. */
  readonly observed?: boolean
}

export const DEFAULT_MAX_STATS = 1_000_000
const OVERFLOW_NAME = 'stats.overflow'

/** Compiles `stats_config`. Errors are the field paths that Envoy would refuse at start. */
export function compileStatsConfig(
  config: StatsConfig,
  onSlowTag?: (tag: StatsTag) => void,
): Checked<{ readonly tags: TagProducer; readonly rules: StatsRules }> {
  const tags = compileTagProducer(config, onSlowTag)
  const rules = compileStatsRules(config)
  if (tags.ok && rules.ok) return { ok: true, value: { tags: tags.value, rules: rules.value }, warnings: [] }
  return { ok: false, errors: [...(tags.ok ? [] : tags.errors), ...(rules.ok ? [] : rules.errors)] }
}

export class StatsStore implements StatSource, GroupHost {
  readonly tags: TagProducer
  readonly maxStats: number
  /** A value was recorded. Called only where the store was made `observed`. */
  onValue: ((histogram: Histogram, value: number) => void) | null = null
  private readonly observed: boolean
  /** Changes whenever a name comes or goes; expositions keep their sorted layout until then. */
  generation = 0
  private readonly rules: StatsRules
  private readonly byName: Readonly<Record<StatKind, Map<string, Stat>>> = {
    counter: new Map(),
    gauge: new Map(),
    histogram: new Map(),
    text: new Map(),
  }
  private readonly groupsByPrefix = new Map<StatGroupType, Map<string, StatGroup>>()
  private readonly sinks: Readonly<Record<StatKind, Stat>>
  /** Never released: what is taken from the store itself lives as long as it. */
  private readonly root: StatScope
  private refused = 0
  private namesInGroups = 0
  private standalone = 0

  constructor(options: StatsStoreOptions = {}) {
    this.root = new StatScope(this, '', null)
    this.tags = options.tags ?? defaultTagProducer()
    this.rules = options.rules ?? DEFAULT_RULES
    this.maxStats = options.maxStats ?? DEFAULT_MAX_STATS
    this.observed = options.observed ?? false
    this.sinks = {
      counter: new Counter(''),
      gauge: new Gauge(''),
      histogram: new Histogram('', 'unspecified', []),
      text: new TextReadout(''),
    }
    for (const sink of Object.values(this.sinks)) sink.exposed = false
  }

  counter(name: string): Counter {
    return this.root.counter(name)
  }

  /** A new owner of stats below `prefix` (sanitized; its closing dot is added). */
  scope(prefix: string): StatScope {
    return this.root.scope(prefix)
  }

  /** Names that exist now. */
  get seriesCount(): number {
    return this.standalone + this.namesInGroups
  }

  /** All stats of one kind that have a handle, in no order. Untouched group members are not among them: see allGroups(). */
  allStats(kind: StatKind): Iterable<Stat> {
    return this.byName[kind].values()
  }

  *allGroups(): Iterable<StatGroup> {
    for (const byPrefix of this.groupsByPrefix.values()) yield* byPrefix.values()
  }

  /** Ends the interval of every histogram. Called once per `stats_flush_interval`. */
  flush(): void {
    for (const histogram of this.byName.histogram.values()) (histogram as Histogram).flush()
  }

  /** Where no sink asks: what was counted up to now belongs to the interval that ends. */
  markFlushed(): void {
    for (const counter of this.byName.counter.values()) (counter as Counter).takeGrowth()
  }

  /** For the sinks, after flush(): what was ever touched, with the growth of counters since this was last asked. */
  takeFlushed(): FlushedStats {
    const { counter, gauge, histogram } = this.byName
    return {
      counters: ([...counter.values()] as Counter[]).filter(isUsed).map(each => ({ counter: each, delta: each.takeGrowth() })),
      gauges: ([...gauge.values()] as Gauge[]).filter(isUsed),
      histograms: ([...histogram.values()] as Histogram[]).filter(isUsed),
    }
  }

  /** POST /reset_counters. */
  resetCounters(): void {
    for (const counter of this.byName.counter.values()) (counter as Counter).reset()
  }

  /** Whether the stats matcher lets this name exist. */
  accepts(name: string): boolean {
    return this.rules.accepts === null || this.rules.accepts(name)
  }

  /** The buckets a histogram of that name shows. */
  bucketsFor(name: string): readonly number[] {
    return this.rules.bucketsFor(name)
  }

  // -- for scopes and groups --

  has(kind: StatKind, name: string): boolean {
    return this.byName[kind].has(name)
  }

  sink(kind: StatKind): Stat {
    return this.sinks[kind]
  }

  sinkGroup(type: StatGroupType, prefix: string): StatGroup {
    return new StatGroup(this, type, prefix, false)
  }

  /** The stat of that name, made now if need be; `inGroup` names were counted with their group. */
  obtain(kind: StatKind, name: string, unit: HistogramUnit, inGroup: boolean): Stat {
    const known = this.byName[kind].get(name)
    if (known) return known
    if (!this.accepts(name)) return this.sinks[kind]
    if (!inGroup) {
      if (this.seriesCount >= this.maxStats) {
        this.refuse()
        return this.sinks[kind]
      }
      this.standalone++
      this.generation++
    }
    const stat = this.make(kind, name, unit)
    stat.standalone = !inGroup
    this.byName[kind].set(name, stat)
    return stat
  }

  obtainGroup(type: StatGroupType, prefix: string): StatGroup {
    let byPrefix = this.groupsByPrefix.get(type)
    const known = byPrefix?.get(prefix)
    if (known) return known
    if (this.seriesCount + type.names.length > this.maxStats) {
      this.refuse()
      return this.sinkGroup(type, prefix)
    }
    if (!byPrefix) this.groupsByPrefix.set(type, (byPrefix = new Map()))
    const group = new StatGroup(this, type, prefix, true)
    byPrefix.set(prefix, group)
    this.namesInGroups += type.names.length
    this.generation++
    return group
  }

  drop(stat: Stat): void {
    if (--stat.refs > 0 || !stat.exposed) return
    this.byName[stat.kind].delete(stat.name)
    if (stat.standalone) this.standalone--
    this.generation++
  }

  dropGroup(group: StatGroup): void {
    if (--group.refs > 0 || !group.exposed) return
    group.exposed = false
    const byPrefix = this.groupsByPrefix.get(group.type)!
    byPrefix.delete(group.prefix)
    if (byPrefix.size === 0) this.groupsByPrefix.delete(group.type)
    this.namesInGroups -= group.type.names.length
    this.generation++
    for (const stat of group.slots) {
      if (!stat?.exposed) continue
      this.drop(stat)
      // A scope still holds it by its full name: from now on it counts by itself.
      if (stat.refs > 0 && !stat.standalone) {
        stat.standalone = true
        this.standalone++
      }
    }
  }

  private refuse(): void {
    this.refused++
    // Made past the limit: it is the one name that must not be refused. Absent, as in Envoy, while all is well.
    let overflow = this.byName.counter.get(OVERFLOW_NAME) as Counter | undefined
    if (!overflow) {
      if (!this.accepts(OVERFLOW_NAME)) return
      overflow = new Counter(OVERFLOW_NAME)
      overflow.refs = 1
      overflow.standalone = true
      this.byName.counter.set(OVERFLOW_NAME, overflow)
      this.generation++
    }
    overflow.value = this.refused
  }

  private make(kind: StatKind, name: string, unit: HistogramUnit): Stat {
    switch (kind) {
      case 'counter':
        return new Counter(name)
      case 'gauge':
        return new Gauge(name)
      case 'histogram':
        if (this.observed)
          return new ObservedHistogram(name, unit, this.rules.bucketsFor(name), (each, value) => this.onValue?.(each, value))
        return new Histogram(name, unit, this.rules.bucketsFor(name))
      case 'text':
        return new TextReadout(name)
      default:
        return kind satisfies never
    }
  }
}

function isUsed(stat: { readonly used: boolean }): boolean {
  return stat.used
}

/**
 * A name part made safe for a stat name, as Envoy does it for cluster and listener names: no dot at either end; `://`, `:/`, `:`
 * and NUL become `_`.
 */
export function sanitizeStatName(name: string): string {
  const start = name.startsWith('.') ? 1 : 0
  const end = name.length > start && name.endsWith('.') ? name.length - 1 : name.length
  return name.slice(start, end).replace(/:\/\/|:\/|:|\0/g, '_')
}

function joinPrefix(prefix: string, name: string): string {
  const clean = sanitizeStatName(name)
  return clean === '' ? prefix : `${prefix}${clean}.`
}
