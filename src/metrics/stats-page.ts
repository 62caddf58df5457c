// `/stats` in Envoy's text and JSON forms. Admin writes the yielded pieces one after the other and may let the event loop turn
// between them; prometheus.ts is the third form. Reads StatsStore, never changes it.
// Invariant: text readouts come first, then counters and gauges together, then histograms, each sorted by name.
import { type Bin, cumulativeBuckets, disjointBuckets, type Histogram, quantilesOf, SUPPORTED_QUANTILES } from './histogram.js'
import { formatCount, formatG, formatShortest } from './number-format.js'
import type { Counter, Gauge, Stat, StatKind, TextReadout } from './stat.js'
import { type StatsQuery, selectStats } from './stats-query.js'
import type { StatsStore } from './stats-store.js'

/** Pieces are about this long, so that a big page neither blocks for long nor needs one huge string. */
const PIECE_LENGTH = 64 * 1024
const NO_VALUES = 'No recorded values'
const PERCENTILES = SUPPORTED_QUANTILES.map(quantile => Number((quantile * 100).toFixed(1)))

interface Row {
  readonly name: string
  readonly stat: Stat
}

/** Envoy's plain text: `name: value`, text readouts quoted, histograms as their quantiles (interval,cumulative) or buckets. */
export function* statsText(store: StatsStore, query: StatsQuery): Generator<string> {
  yield* inPieces(
    (function* () {
      for (const { name, stat } of rows(store, query, 'text')) yield `${name}: "${(stat as TextReadout).value}"\n`
      for (const { name, stat } of rows(store, query, 'counter', 'gauge'))
        yield `${name}: ${formatCount((stat as Counter | Gauge).value)}\n`
      for (const { name, stat } of rows(store, query, 'histogram')) yield histogramText(name, stat as Histogram, query)
    })(),
  )
}

/** Envoy's JSON: `{"stats":[{"name","value"}, ..., {"histograms": ...}]}`; the form of the last entry depends on `histogram_buckets`. */
export function* statsJson(store: StatsStore, query: StatsQuery): Generator<string> {
  yield* inPieces(
    (function* () {
      yield '{"stats":['
      let separator = ''
      for (const { name, stat } of rows(store, query, 'text')) {
        yield `${separator}{"name":${JSON.stringify(name)},"value":${JSON.stringify((stat as TextReadout).value)}}`
        separator = ','
      }
      for (const { name, stat } of rows(store, query, 'counter', 'gauge')) {
        yield `${separator}{"name":${JSON.stringify(name)},"value":${formatCount((stat as Counter | Gauge).value)}}`
        separator = ','
      }
      const histograms = rows(store, query, 'histogram')
      if (histograms.length > 0) {
        yield separator
        yield* histogramsJson(histograms, query)
      }
      yield ']}'
    })(),
  )
}

function rows(store: StatsStore, query: StatsQuery, ...kinds: StatKind[]): Row[] {
  const found: Row[] = []
  for (const kind of kinds) if (query.kinds.has(kind)) for (const row of selectStats(store, kind, query)) found.push(row)
  return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

function histogramText(name: string, histogram: Histogram, query: StatsQuery): string {
  if (!histogram.used) return `${name}: ${NO_VALUES}\n`
  const interval = histogram.bins(true)
  const total = histogram.bins(false)
  switch (query.view) {
    case 'cumulative':
      return `${name}: ${bucketText(histogram.buckets, cumulativeBuckets(interval, histogram.buckets), cumulativeBuckets(total, histogram.buckets))}\n`
    case 'disjoint':
      return `${name}: ${bucketText(histogram.buckets, disjointBuckets(interval, histogram.buckets), disjointBuckets(total, histogram.buckets))}\n`
    case 'detailed':
      return `${name}:\n  totals=${binText(total)}\n  intervals=${binText(interval)}\n  summary=${quantileText(interval, total)}\n`
    default:
      return `${name}: ${quantileText(interval, total)}\n`
  }
}

function quantileText(interval: readonly Bin[], total: readonly Bin[]): string {
  const inInterval = quantilesOf(interval)
  const inTotal = quantilesOf(total)
  return PERCENTILES.map((p, i) => `P${p}(${formatShortest(inInterval[i]!)},${formatShortest(inTotal[i]!)})`).join(' ')
}

function bucketText(bounds: readonly number[], interval: readonly number[], total: readonly number[]): string {
  return bounds.map((bound, i) => `B${formatG(bound, 6)}(${interval[i]},${total[i]})`).join(' ')
}

function binText(bins: readonly Bin[]): string {
  return bins.map(({ lower, width, count }) => `${formatG(lower, 6)},${formatG(width, 6)}:${count}`).join(', ')
}

function* histogramsJson(histograms: readonly Row[], query: StatsQuery): Generator<string> {
  const { view } = query
  const bucketed = view === 'cumulative' || view === 'disjoint'
  if (bucketed) yield '{"histograms":['
  else if (view === 'detailed') yield `{"histograms":{"supported_percentiles":${JSON.stringify(PERCENTILES)},"details":[`
  else yield `{"histograms":{"supported_quantiles":${JSON.stringify(PERCENTILES)},"computed_quantiles":[`
  let separator = ''
  for (const { name, stat } of histograms) {
    yield separator + histogramJson(name, stat as Histogram, query)
    separator = ','
  }
  yield bucketed ? ']}' : ']}}'
}

function histogramJson(name: string, histogram: Histogram, query: StatsQuery): string {
  const interval = histogram.bins(true)
  const total = histogram.bins(false)
  const { view } = query
  if (view === 'cumulative' || view === 'disjoint') {
    const count = view === 'cumulative' ? cumulativeBuckets : disjointBuckets
    const inInterval = count(interval, histogram.buckets)
    const inTotal = count(total, histogram.buckets)
    const buckets = histogram.buckets.map((bound, i) => ({ upper_bound: bound, interval: inInterval[i], cumulative: inTotal[i] }))
    return JSON.stringify({ name, buckets })
  }
  // JSON.stringify turns NaN (no values) into null, as Envoy does.
  const inInterval = quantilesOf(interval)
  const values = quantilesOf(total).map((cumulative, i) => ({ cumulative, interval: inInterval[i] }))
  if (view !== 'detailed') return JSON.stringify({ name, values })
  return JSON.stringify({ name, totals: total.map(binJson), intervals: interval.map(binJson), percentiles: values })
}

function binJson({ lower, width, count }: Bin): object {
  return { lower_bound: lower, width, count }
}

/** Joins many small strings into pieces of about PIECE_LENGTH; an empty one, a pause, is passed on at once. */
export function* inPieces(lines: Iterable<string>): Generator<string> {
  let parts: string[] = []
  let length = 0
  for (const line of lines) {
    if (line === '') {
      yield line
      continue
    }
    parts.push(line)
    length += line.length
    if (length >= PIECE_LENGTH) {
      yield parts.join('')
      parts = []
      length = 0
    }
  }
  if (length > 0) yield parts.join('')
}
