// The order in which Prometheus sees a store's stats: families by tag-extracted name, counters first, then gauges, text readouts and
// histograms, members by full name. Shared by the two forms, text (prometheus.ts) and protobuf (prometheus-protobuf.ts).
// Invariant: tags are extracted once per stat; the sorted layout is rebuilt only when a name came or went.
import type { Stat, StatKind } from './stat.js'
import type { StatGroup } from './stat-group.js'
import { type StatsQuery, untouchedStat } from './stats-query.js'
import type { StatsStore } from './stats-store.js'
import type { TaggedName } from './tags.js'

/** While the layout is built, a pause is yielded after so many new names, so that the caller can let the event loop turn. */
const NAMES_PER_PAUSE = 2000
const KIND_ORDER: readonly StatKind[] = ['counter', 'gauge', 'text', 'histogram']

/** One series of a family: a stat with a handle, or a member of a group. */
export class Member {
  /** The protobuf form of the labels, made when it is first asked for. */
  labelBytes: Uint8Array | null = null

  constructor(
    /** `name="value",…` */
    readonly labels: string,
    private readonly stat: Stat | null,
    private readonly group: StatGroup | null,
    private readonly index: number,
  ) {}

  get name(): string {
    return this.group === null ? this.stat!.name : this.group.prefix + this.group.type.names[this.index]!
  }

  /** Undefined: nobody touched it yet. */
  get touched(): Stat | undefined {
    return this.group === null ? this.stat! : this.group.slots[this.index]
  }

  /** What it counts, or a stand-in with nothing counted. */
  statOf(kind: StatKind, store: StatsStore): Stat {
    return this.touched ?? untouchedStat(store, kind, this.name)
  }
}

export interface Family {
  readonly kind: StatKind
  readonly metric: string
  readonly members: readonly Member[]
}

interface Series {
  extracted: string
  readonly labels: string
}

interface FamilyInMaking {
  readonly family: { readonly kind: StatKind; readonly metric: string; readonly members: Member[] }
  readonly extracted: string
  readonly keys: string[]
}

export class PrometheusLayout {
  private layout: readonly Family[] = []
  private laidOut = -1
  private readonly ofStat = new WeakMap<Stat, Series>()
  private readonly ofGroup = new WeakMap<StatGroup, Series[]>()

  constructor(private readonly store: StatsStore) {}

  /** Families that the query selects, each with the members it selects; null where the caller may let the event loop turn. */
  *select(query: StatsQuery): Generator<Family | null> {
    if (this.laidOut !== this.store.generation) yield* this.rebuild()
    const { usedOnly, filter, kinds, textReadouts } = query
    for (const family of this.layout) {
      if (!kinds.has(family.kind) || (family.kind === 'text' && !textReadouts)) continue
      if (!usedOnly && filter === null) {
        yield family
        continue
      }
      const members = family.members.filter(
        member => (!usedOnly || member.touched?.used === true) && (filter === null || filter(member.name)),
      )
      if (members.length > 0) yield { ...family, members }
    }
  }

  private *rebuild(): Generator<null> {
    const generation = this.store.generation
    const families = new Map(KIND_ORDER.map(kind => [kind, new Map<string, FamilyInMaking>()]))
    const place = (kind: StatKind, name: string, series: Series, stat: Stat | null, group: StatGroup | null, index: number) => {
      let entry = families.get(kind)?.get(series.extracted)
      if (!entry) {
        const metric = `envoy_${sanitizeMetricName(series.extracted)}`
        entry = { family: { kind, metric, members: [] }, extracted: series.extracted, keys: [] }
        families.get(kind)!.set(series.extracted, entry)
      }
      // One copy of the name for the whole family.
      series.extracted = entry.extracted
      entry.family.members.push(new Member(series.labels, stat, group, index))
      entry.keys.push(name)
    }
    let fresh = 0
    const grouped = new Set<Stat>()
    // Copies: stats may come and go while the caller lets the event loop turn.
    for (const group of [...this.store.allGroups()]) {
      group.adopt(generation)
      const { names, kinds } = group.type
      let known = this.ofGroup.get(group)
      if (!known) this.ofGroup.set(group, (known = []))
      for (let i = 0; i < names.length; i++) {
        const slot = group.slots[i]
        const name = group.prefix + names[i]!
        if (slot ? !slot.exposed || grouped.has(slot) : !this.store.accepts(name)) continue
        if (slot) grouped.add(slot)
        let series = known[i]
        if (!series) {
          known[i] = series = this.extract(name, known[i - 1])
          fresh++
        }
        place(kinds[i]!, name, series, null, group, i)
        if (fresh >= NAMES_PER_PAUSE) {
          fresh = 0
          yield null
        }
      }
    }
    for (const kind of KIND_ORDER) {
      for (const stat of [...this.store.allStats(kind)]) {
        // A handle that a group made meanwhile is already placed by its group.
        if (!stat.standalone || grouped.has(stat)) continue
        let series = this.ofStat.get(stat)
        if (!series) {
          this.ofStat.set(stat, (series = this.extract(stat.name, undefined)))
          fresh++
        }
        place(kind, stat.name, series, stat, null, -1)
        if (fresh >= NAMES_PER_PAUSE) {
          fresh = 0
          yield null
        }
      }
    }
    const entries = KIND_ORDER.flatMap(kind => [...families.get(kind)!.values()].sort((a, b) => compareStatNames(a.extracted, b.extracted)))
    for (const { family, keys } of entries) sortByKeys(family.members, keys)
    this.layout = entries.map(entry => entry.family)
    this.laidOut = generation
  }

  private extract(name: string, neighbour: Series | undefined): Series {
    const tagged = this.store.tags.produce(name)
    const labels = formatLabels(tagged)
    // The members of a group mostly have the same labels: keep one copy of that text.
    return { extracted: tagged.name, labels: neighbour?.labels === labels ? neighbour.labels : labels }
  }
}

export function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, char => (char === '\n' ? '\\n' : `\\${char}`))
}

export function sanitizeMetricName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_]/g, '_')
}

function formatLabels(tagged: TaggedName): string {
  return tagged.tags.map(({ name, value }) => `${sanitizeMetricName(name)}="${escapeLabel(value)}"`).join(',')
}

/** By dot-separated parts, as Envoy sorts stat names: `a.b` comes before `a-b.c`. */
function compareStatNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return x === 46 ? -1 : y === 46 ? 1 : x - y
  }
  return a.length - b.length
}

function sortByKeys(members: Member[], keys: readonly string[]): void {
  const order = members.map((_, i) => i).sort((a, b) => compareStatNames(keys[a]!, keys[b]!))
  const sorted = order.map(i => members[i]!)
  for (let i = 0; i < sorted.length; i++) members[i] = sorted[i]!
}
