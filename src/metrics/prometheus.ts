// `/stats/prometheus`: Envoy's Prometheus text for a StatsStore. Called by admin.
// Envoy's form cannot come out of prom-client: it has no HELP lines, prints `name{}` for no labels, lets one metric carry different label
// sets, sorts by stat name, and prom-client would build an object per label set and scrape. So it is made here, straight from the handles.
// Invariant: tags are extracted once per stat; the sorted layout is rebuilt only when a name came or went.
import { approximateSum, cumulativeBuckets, type Histogram, quantilesOf, SUPPORTED_QUANTILES } from './histogram.js'
import { formatCount, formatG } from './number-format.js'
import type { Counter, Gauge, Stat, StatKind, TextReadout } from './stat.js'
import type { StatGroup } from './stat-group.js'
import { inPieces } from './stats-page.js'
import { type StatsQuery, untouchedStat } from './stats-query.js'
import type { StatsStore } from './stats-store.js'
import type { TaggedName } from './tags.js'

/** While the layout is built, an empty piece is yielded after so many new names, so that the caller can let the event loop turn. */
const NAMES_PER_PAUSE = 2000
/** Significant digits of sums and quantiles. */
const DIGITS = 32
const KIND_ORDER: readonly StatKind[] = ['counter', 'gauge', 'text', 'histogram']

/** One line (or block, for histograms) of a family: a stat with a handle, or a member of a group. */
interface Member {
  readonly labels: string
  readonly stat: Stat | null
  readonly group: StatGroup | null
  readonly index: number
}

interface Family {
  readonly kind: StatKind
  readonly metric: string
  readonly members: Member[]
}

interface Series {
  extracted: string
  readonly labels: string
}

export class PrometheusExposition {
  private layout: readonly Family[] = []
  private laidOut = -1
  private readonly ofStat = new WeakMap<Stat, Series>()
  private readonly ofGroup = new WeakMap<StatGroup, Series[]>()

  constructor(private readonly store: StatsStore) {}

  /** The text in pieces, some of them empty: the caller may yield to the event loop after each. */
  *pieces(query: StatsQuery): Generator<string> {
    if (this.laidOut !== this.store.generation) yield* this.rebuild()
    yield* inPieces(this.lines(query))
  }

  private *lines(query: StatsQuery): Generator<string> {
    const { usedOnly, filter } = query
    const summary = query.view === 'quantiles'
    for (const { kind, metric, members } of this.layout) {
      if (!query.kinds.has(kind) || (kind === 'text' && !query.textReadouts)) continue
      let typed = false
      for (const member of members) {
        const { group, index, labels } = member
        const touched = group === null ? member.stat! : group.slots[index]
        if (usedOnly && !touched?.used) continue
        if (filter !== null && !filter(group === null ? member.stat!.name : group.prefix + group.type.names[index]!)) continue
        if (!typed) {
          typed = true
          yield `# TYPE ${metric} ${kind === 'text' ? 'gauge' : kind === 'histogram' && summary ? 'summary' : kind}\n`
        }
        switch (kind) {
          case 'counter':
          case 'gauge':
            yield `${metric}{${labels}} ${touched === undefined ? '0' : formatCount((touched as Counter | Gauge).value)}\n`
            break
          case 'text':
            yield `${metric}{${labels}${labels === '' ? '' : ','}text_value="${escapeLabel((touched as TextReadout).value)}"} 1\n`
            break
          case 'histogram': {
            const histogram = (touched ?? untouchedStat(this.store, kind, group!.prefix + group!.type.names[index]!)) as Histogram
            yield summary ? summaryLines(metric, labels, histogram) : bucketLines(metric, labels, histogram)
            break
          }
          default:
            kind satisfies never
        }
      }
    }
  }

  private *rebuild(): Generator<string> {
    const generation = this.store.generation
    const families = new Map(KIND_ORDER.map(kind => [kind, new Map<string, { family: Family; extracted: string; keys: string[] }>()]))
    const place = (kind: StatKind, name: string, series: Series, stat: Stat | null, group: StatGroup | null, index: number) => {
      let entry = families.get(kind)?.get(series.extracted)
      if (!entry) {
        const metric = `envoy_${sanitizeMetricName(series.extracted)}`
        entry = { family: { kind, metric, members: [] }, extracted: series.extracted, keys: [] }
        families.get(kind)!.set(series.extracted, entry)
      }
      // One copy of the name for the whole family.
      series.extracted = entry.extracted
      entry.family.members.push({ labels: series.labels, stat, group, index })
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
          yield ''
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
          yield ''
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

function bucketLines(metric: string, labels: string, histogram: Histogram): string {
  const bins = histogram.bins(false)
  const counts = cumulativeBuckets(bins, histogram.buckets)
  const comma = labels === '' ? '' : ','
  let text = ''
  for (let i = 0; i < counts.length; i++) {
    text += `${metric}_bucket{${labels}${comma}le="${formatG(histogram.buckets[i]!, DIGITS)}"} ${counts[i]}\n`
  }
  text += `${metric}_bucket{${labels}${comma}le="+Inf"} ${histogram.sampleCount}\n`
  return `${text}${metric}_sum{${labels}} ${formatG(approximateSum(bins), DIGITS)}\n${metric}_count{${labels}} ${histogram.sampleCount}\n`
}

function summaryLines(metric: string, labels: string, histogram: Histogram): string {
  const comma = labels === '' ? '' : ','
  const bins = histogram.bins(false)
  const values = quantilesOf(bins)
  let text = ''
  for (let i = 0; i < values.length; i++) {
    text += `${metric}{${labels}${comma}quantile="${SUPPORTED_QUANTILES[i]}"} ${formatG(values[i]!, DIGITS)}\n`
  }
  return `${text}${metric}_sum{${labels}} ${formatG(approximateSum(bins), DIGITS)}\n${metric}_count{${labels}} ${histogram.sampleCount}\n`
}

function formatLabels(tagged: TaggedName): string {
  return tagged.tags.map(({ name, value }) => `${sanitizeMetricName(name)}="${escapeLabel(value)}"`).join(',')
}

function sanitizeMetricName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_]/g, '_')
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, char => (char === '\n' ? '\\n' : `\\${char}`))
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
