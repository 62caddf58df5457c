// envoy.stat_sinks.open_telemetry: at each flush one ExportMetricsServiceRequest (OTLP), gauges first, then counters and histograms, as
// Envoy 1.40 sends them. Opened by proxy/stats-flush.ts, which gives it the call. Numbers are those of opentelemetry-proto 1.x.
// Invariant: nothing is kept: an export that fails takes its growth along, as in Envoy.

import type { OpenTelemetrySinkConfig } from '../../model/stats-sink.js'
import { approximateSum, disjointBuckets, type Histogram, sampleCountOf } from '../histogram.js'
import { ProtoWriter } from '../proto-writer.js'
import type { TagProducer } from '../tags.js'
import type { FlushedStats, StatsSink } from './stats-sink.js'

export const EXPORT_METRICS = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
const DELTA = 1
const CUMULATIVE = 2
const METRIC = { name: 1, gauge: 5, sum: 7, histogram: 9 } as const

export interface OpenTelemetryEnvironment {
  readonly export: (request: Buffer) => void
  readonly tags: TagProducer
  readonly version: string
  /** Milliseconds of the epoch. */
  readonly now: () => number
}

export class OpenTelemetrySink implements StatsSink {
  private readonly config: OpenTelemetrySinkConfig
  private readonly env: OpenTelemetryEnvironment
  private readonly resource: ProtoWriter
  private readonly startedAt: bigint
  private flushedAt: bigint

  constructor(config: OpenTelemetrySinkConfig, env: OpenTelemetryEnvironment) {
    this.config = config
    this.env = env
    this.startedAt = this.flushedAt = nanoseconds(env.now())
    this.resource = new ProtoWriter()
    for (const [key, value] of [
      ['telemetry.sdk.name', 'outrigger'],
      ['telemetry.sdk.language', 'nodejs'],
      ['telemetry.sdk.version', env.version],
    ] as const)
      this.resource.message(1, attribute(key, value))
  }

  flush({ counters, gauges, histograms }: FlushedStats): void {
    const { config } = this
    const at = nanoseconds(this.env.now())
    const scope = new ProtoWriter()
    for (const { name, value } of gauges) {
      const point = new ProtoWriter().fixed64(3, at).fixed64(6, integer(value))
      scope.message(2, this.metric(name, METRIC.gauge, point, 7, new ProtoWriter()))
    }
    for (const { counter, delta } of counters) {
      const value = config.countersAsDeltas ? delta : counter.value
      // Without growth there is nothing to say.
      if (config.countersAsDeltas && delta === 0) continue
      const point = new ProtoWriter().fixed64(2, this.since(config.countersAsDeltas)).fixed64(3, at).fixed64(6, integer(value))
      const kind = new ProtoWriter().varint(2, config.countersAsDeltas ? DELTA : CUMULATIVE).varint(3, 1)
      scope.message(2, this.metric(counter.name, METRIC.sum, point, 7, kind))
    }
    for (const histogram of histograms) {
      const { histogramsAsDeltas } = config
      const point = this.histogramPoint(histogram, histogramsAsDeltas, at)
      if (point === null) continue
      const kind = new ProtoWriter().varint(2, histogramsAsDeltas ? DELTA : CUMULATIVE)
      scope.message(2, this.metric(histogram.name, METRIC.histogram, point, 9, kind))
    }
    this.flushedAt = at
    this.env.export(new ProtoWriter().message(1, new ProtoWriter().message(1, this.resource).message(2, scope)).bytes())
  }

  close(): void {}

  private since(delta: boolean): bigint {
    return delta ? this.flushedAt : this.startedAt
  }

  /** Null: an interval without values. */
  private histogramPoint(histogram: Histogram, interval: boolean, at: bigint): ProtoWriter | null {
    const bins = histogram.bins(interval)
    const count = sampleCountOf(bins)
    if (interval && count === 0) return null
    const inBuckets = disjointBuckets(bins, histogram.buckets)
    const beyond = count - inBuckets.reduce((sum, each) => sum + each, 0)
    return new ProtoWriter()
      .fixed64(2, this.since(interval))
      .fixed64(3, at)
      .fixed64(4, BigInt(count))
      .double(5, approximateSum(bins))
      .fixed64s(6, [...inBuckets, beyond])
      .doubles(7, histogram.buckets)
  }

  /** Of one data point; `rest` are the fields after it. */
  private metric(statName: string, field: number, point: ProtoWriter, attributes: number, rest: ProtoWriter): ProtoWriter {
    const { prefix, tagsAsAttributes, tagExtractedNames } = this.config
    const tagged = this.env.tags.produce(statName)
    if (tagsAsAttributes) for (const { name, value } of tagged.tags) point.message(attributes, attribute(name, value))
    const name = tagExtractedNames ? tagged.name : statName
    const data = new ProtoWriter().message(1, point).raw(rest.bytes())
    return new ProtoWriter().string(METRIC.name, prefix === '' ? name : `${prefix}.${name}`).message(field, data)
  }
}

/** KeyValue with a string value. */
function attribute(key: string, value: string): ProtoWriter {
  return new ProtoWriter().string(1, key).message(2, new ProtoWriter().string(1, value))
}

/** `as_int`; a number that is none is 0. */
function integer(value: number): bigint {
  return Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.trunc(ms)) * 1_000_000n
}
