// A group is a fixed table of stat names under one prefix: all stats of a cluster, of an HTTP connection manager, of a listener.
// stat-names.ts declares the tables; scopes hand out the groups; the expositions walk them.
// Invariant: a handle is made on first touch, and until then an exposition shows zero for its name, so thousands of idle clusters
// show all they should and cost one small object each.
import type { Histogram, HistogramUnit } from './histogram.js'
import type { Counter, Gauge, Stat, StatKind } from './stat.js'

/** What a group needs of the store. */
export interface GroupHost {
  obtain(kind: StatKind, name: string, unit: HistogramUnit, inGroup: boolean): Stat
  sink(kind: StatKind): Stat
  has(kind: StatKind, name: string): boolean
}

/** A table of stat names that belong together. Make one per kind of object with defineStatGroup, at module load. */
export interface StatTable<C extends string, G extends string, H extends string> {
  readonly counters: readonly C[]
  readonly gauges: readonly G[]
  readonly histograms: Readonly<Record<H, HistogramUnit>>
}

export type StatHandles<C extends string, G extends string, H extends string> = { readonly [K in C]: Counter } & {
  readonly [K in G]: Gauge
} & { readonly [K in H]: Histogram }

export interface StatGroupType<C extends string = string, G extends string = string, H extends string = string> {
  readonly names: readonly string[]
  readonly kinds: readonly StatKind[]
  readonly units: readonly HistogramUnit[]
  readonly handles: new (group: StatGroup) => StatHandles<C, G, H>
}

/** Builds the handle class of a table: one getter per name, spelled exactly as in Envoy's documentation. */
export function defineStatGroup<C extends string = never, G extends string = never, H extends string = never>(
  table: Partial<StatTable<C, G, H>>,
): StatGroupType<C, G, H> {
  const counters: readonly string[] = table.counters ?? []
  const gauges: readonly string[] = table.gauges ?? []
  const histograms = Object.entries<HistogramUnit>(table.histograms ?? {})
  const names = [...counters, ...gauges, ...histograms.map(([name]) => name)]
  const kinds: StatKind[] = [
    ...counters.map(() => 'counter' as const),
    ...gauges.map(() => 'gauge' as const),
    ...histograms.map(() => 'histogram' as const),
  ]
  const units = names.map((_, i) => histograms[i - counters.length - gauges.length]?.[1] ?? 'unspecified')
  class Handles {
    constructor(readonly statGroup: StatGroup) {}
  }
  names.forEach((name, i) => {
    // HOT: a load and a check once the handle exists.
    Object.defineProperty(Handles.prototype, name, {
      get(this: Handles) {
        return this.statGroup.slots[i] ?? this.statGroup.create(i)
      },
    })
  })
  return { names, kinds, units, handles: Handles as new (group: StatGroup) => StatHandles<C, G, H> }
}

/** One table under one prefix, shared by all owners that ask for the same. */
export class StatGroup {
  readonly slots: (Stat | undefined)[]
  readonly handles: object
  refs = 0
  private adoptedAt = -1

  constructor(
    private readonly host: GroupHost,
    readonly type: StatGroupType,
    /** Empty, or with its closing dot. */
    readonly prefix: string,
    /** False when there was no room, or the last owner has gone: every further handle is a sink. */
    public exposed: boolean,
  ) {
    this.slots = new Array<Stat | undefined>(type.names.length).fill(undefined)
    this.handles = new type.handles(this)
  }

  create(index: number): Stat {
    const kind = this.type.kinds[index]!
    const stat = this.exposed
      ? this.host.obtain(kind, this.prefix + this.type.names[index]!, this.type.units[index]!, true)
      : this.host.sink(kind)
    stat.refs++
    this.slots[index] = stat
    return stat
  }

  /** Fills slots whose stat was meanwhile made by its full name, so that no name shows twice. */
  adopt(generation: number): void {
    if (this.adoptedAt === generation) return
    this.adoptedAt = generation
    const { names, kinds } = this.type
    for (let i = 0; i < names.length; i++) {
      if (this.slots[i] === undefined && this.host.has(kinds[i]!, this.prefix + names[i]!)) this.create(i)
    }
  }
}
