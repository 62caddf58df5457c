// One family as `io.prometheus.client.MetricFamily`, length-delimited: the form that Prometheus asks for by `Accept` where it wants native
// histograms. Called by prometheus.ts; the metrics service's sink sends the same messages.
// https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto
import { approximateSum, cumulativeBuckets, type Histogram, quantilesOf, SUPPORTED_QUANTILES, sampleCountOf } from './histogram.js'
import { nativeHistogram } from './native-histogram.js'
import { type Family, type Member, sanitizeMetricName } from './prometheus-layout.js'
import { ProtoWriter } from './proto-writer.js'
import type { Counter, Gauge, StatKind, TextReadout } from './stat.js'
import type { StatsQuery } from './stats-query.js'
import type { StatsStore } from './stats-store.js'

export const PROTOBUF_CONTENT_TYPE = 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited'

export const FAMILY = { name: 1, type: 3, metric: 4 } as const
export const METRIC = { label: 1, gauge: 2, counter: 3, summary: 4, timestamp: 6, histogram: 7 } as const
export const TYPE = { counter: 0, gauge: 1, summary: 2, histogram: 4 } as const
/** Values below it are zero: the smallest that a histogram counts is one, of a percentage one millionth. */
const ZERO_THRESHOLD = 0.5
const PERCENT_ZERO_THRESHOLD = ZERO_THRESHOLD / 1e6

export function protobufFamily(family: Family, store: StatsStore, query: StatsQuery): Uint8Array {
  const message = new ProtoWriter().string(FAMILY.name, family.metric).varint(FAMILY.type, typeOf(family.kind, query))
  for (const member of family.members) message.message(FAMILY.metric, metricOf(member, family.kind, store, query))
  return new ProtoWriter().delimited(message.bytes()).bytes()
}

function typeOf(kind: StatKind, query: StatsQuery): number {
  if (kind === 'counter') return TYPE.counter
  if (kind === 'histogram') return query.view === 'quantiles' ? TYPE.summary : TYPE.histogram
  return TYPE.gauge
}

function metricOf(member: Member, kind: StatKind, store: StatsStore, query: StatsQuery): ProtoWriter {
  member.labelBytes ??= labelsOf(member, store).bytes()
  const metric = new ProtoWriter().raw(member.labelBytes)
  switch (kind) {
    case 'counter':
    case 'gauge': {
      const value = (member.touched as Counter | Gauge | undefined)?.value ?? 0
      return metric.message(METRIC[kind], new ProtoWriter().double(1, value))
    }
    case 'text':
      return metric
        .message(METRIC.label, label('text_value', (member.touched as TextReadout).value))
        .message(METRIC.gauge, new ProtoWriter().double(1, 1))
    case 'histogram': {
      const histogram = member.statOf(kind, store) as Histogram
      if (query.view === 'quantiles') return metric.message(METRIC.summary, summary(histogram))
      return metric.message(METRIC.histogram, query.view === 'native' ? native(histogram, query.nativeBuckets) : classic(histogram, false))
    }
    default:
      return kind satisfies never
  }
}

function labelsOf(member: Member, store: StatsStore): ProtoWriter {
  const labels = new ProtoWriter()
  for (const { name, value } of store.tags.produce(member.name).tags) labels.message(METRIC.label, label(sanitizeMetricName(name), value))
  return labels
}

export function label(name: string, value: string): ProtoWriter {
  return new ProtoWriter().string(1, name).string(2, value)
}

/** Of the last finished interval, as the text form. */
export function summary(histogram: Histogram): ProtoWriter {
  const bins = histogram.bins(true)
  const message = new ProtoWriter().varint(1, sampleCountOf(bins)).double(2, approximateSum(bins))
  quantilesOf(bins).forEach((value, i) => {
    message.message(3, new ProtoWriter().double(1, SUPPORTED_QUANTILES[i]!).double(2, value))
  })
  return message
}

/** `interval`: of the last finished one alone. */
export function classic(histogram: Histogram, interval: boolean): ProtoWriter {
  const bins = histogram.bins(interval)
  const message = new ProtoWriter().varint(1, sampleCountOf(bins)).double(2, approximateSum(bins))
  cumulativeBuckets(bins, histogram.buckets).forEach((count, i) => {
    message.message(3, new ProtoWriter().varint(1, count).double(2, histogram.buckets[i]!))
  })
  return message
}

function native(histogram: Histogram, maxBuckets: number): ProtoWriter {
  const bins = histogram.bins(false)
  const { schema, zeroCount, spans, deltas } = nativeHistogram(bins, maxBuckets)
  const message = new ProtoWriter()
    .varint(1, histogram.sampleCount)
    .double(2, approximateSum(bins))
    .signed(5, schema)
    .double(6, histogram.unit === 'percent' ? PERCENT_ZERO_THRESHOLD : ZERO_THRESHOLD)
    .varint(7, zeroCount)
  for (const { offset, length } of spans) message.message(12, new ProtoWriter().signed(1, offset).varint(2, length))
  for (const delta of deltas) message.signed(13, delta)
  // A span of nothing says to Prometheus that this is a native histogram, if an empty one.
  if (spans.length === 0) message.message(12, new ProtoWriter().signed(1, 0).varint(2, 0))
  return message
}
