// `/stats/prometheus`: Envoy's Prometheus text for a StatsStore, and the way to its protobuf form. Called by admin.
// Envoy's form cannot come out of prom-client: it has no HELP lines, prints `name{}` for no labels, lets one metric carry different label
// sets, sorts by stat name, and prom-client would build an object per label set and scrape. So it is made here, straight from the handles.
import { approximateSum, cumulativeBuckets, type Histogram, quantilesOf, SUPPORTED_QUANTILES, sampleCountOf } from './histogram.js'
import { formatCount, formatG } from './number-format.js'
import { escapeLabel, type Family, PrometheusLayout } from './prometheus-layout.js'
import { protobufFamily } from './prometheus-protobuf.js'
import type { Counter, Gauge, TextReadout } from './stat.js'
import { inPieces } from './stats-page.js'
import type { StatsQuery } from './stats-query.js'
import type { StatsStore } from './stats-store.js'

/** Significant digits of sums and quantiles. */
const DIGITS = 32

export class PrometheusExposition {
  private readonly layout: PrometheusLayout

  constructor(private readonly store: StatsStore) {
    this.layout = new PrometheusLayout(store)
  }

  /** The text in pieces, some of them empty: the caller may yield to the event loop after each. */
  *pieces(query: StatsQuery): Generator<string> {
    yield* inPieces(this.lines(query))
  }

  /** Length-delimited `io.prometheus.client.MetricFamily` messages, one a piece. */
  *protobuf(query: StatsQuery): Generator<Uint8Array> {
    for (const family of this.layout.select(query)) if (family !== null) yield protobufFamily(family, this.store, query)
  }

  private *lines(query: StatsQuery): Generator<string> {
    for (const family of this.layout.select(query)) {
      if (family === null) yield ''
      else yield* familyLines(family, this.store, query)
    }
  }
}

function* familyLines({ kind, metric, members }: Family, store: StatsStore, query: StatsQuery): Generator<string> {
  const summary = query.view === 'quantiles'
  yield `# TYPE ${metric} ${kind === 'text' ? 'gauge' : kind === 'histogram' && summary ? 'summary' : kind}\n`
  for (const member of members) {
    const { labels } = member
    switch (kind) {
      case 'counter':
      case 'gauge':
        yield `${metric}{${labels}} ${formatCount((member.touched as Counter | Gauge | undefined)?.value ?? 0)}\n`
        break
      case 'text':
        yield `${metric}{${labels}${labels === '' ? '' : ','}text_value="${escapeLabel((member.touched as TextReadout).value)}"} 1\n`
        break
      case 'histogram': {
        const histogram = member.statOf(kind, store) as Histogram
        yield summary ? summaryLines(metric, labels, histogram) : bucketLines(metric, labels, histogram)
        break
      }
      default:
        kind satisfies never
    }
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

/** Of the last finished interval, as Envoy's summaries are. */
function summaryLines(metric: string, labels: string, histogram: Histogram): string {
  const comma = labels === '' ? '' : ','
  const bins = histogram.bins(true)
  const values = quantilesOf(bins)
  let text = ''
  for (let i = 0; i < values.length; i++) {
    text += `${metric}{${labels}${comma}quantile="${SUPPORTED_QUANTILES[i]}"} ${formatG(values[i]!, DIGITS)}\n`
  }
  return `${text}${metric}_sum{${labels}} ${formatG(approximateSum(bins), DIGITS)}\n${metric}_count{${labels}} ${sampleCountOf(bins)}\n`
}
