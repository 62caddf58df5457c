// envoy.stat_sinks.metrics_service: at each flush one StreamMetricsMessage of Prometheus' MetricFamily messages, on a stream that stays
// open. Opened by proxy/stats-flush.ts, which gives it the way to a gRPC service. What each metric says is as Envoy 1.40 sends it.
// Invariant: what waits while the stream takes nothing is bounded by MAX_WAITING_FLUSHES, the oldest goes first; a stream that ended is
// opened again at the next flush.

import { grpcServiceName } from '../../model/grpc-service.js'
import type { MetricsServiceSinkConfig } from '../../model/stats-sink.js'
import { classic, FAMILY, label, METRIC, summary, TYPE } from '../prometheus-protobuf.js'
import { ProtoWriter } from '../proto-writer.js'
import type { TagProducer } from '../tags.js'
import type { FlushedStats, StatsSink } from './stats-sink.js'

export const STREAM_METRICS = '/envoy.service.metrics.v3.MetricsService/StreamMetrics'
/** So many flushes wait while the stream is being opened, or its server reads slowly. */
const MAX_WAITING_FLUSHES = 12
const MESSAGE = { identifier: 1, metrics: 2 } as const

export interface MetricsStream {
  /** False, and nothing is taken, while it can take nothing. */
  send(message: Buffer): boolean
  close(): void
}

export interface MetricsServiceEnvironment {
  /** Opens a stream; `onEnd` once, later. */
  readonly open: (onEnd: (reason: string) => void) => MetricsStream
  readonly tags: TagProducer
  /** envoy.config.core.v3.Node, encoded. */
  readonly node: Uint8Array
  readonly now: () => number
  readonly log: (message: string) => void
}

export class MetricsServiceSink implements StatsSink {
  private readonly config: MetricsServiceSinkConfig
  private readonly env: MetricsServiceEnvironment
  private stream: MetricsStream | null = null
  /** The stream has carried a message: later ones need no identifier. */
  private introduced = false
  private waiting: Buffer[] = []

  constructor(config: MetricsServiceSinkConfig, env: MetricsServiceEnvironment) {
    this.config = config
    this.env = env
  }

  flush(stats: FlushedStats): void {
    const { env } = this
    if (this.stream === null) {
      this.introduced = false
      this.stream = env.open(reason => {
        this.stream = null
        env.log(`stats sink: the stream to ${grpcServiceName(this.config.service)} ended: ${reason}`)
      })
    }
    this.waiting.push(this.metrics(stats))
    if (this.waiting.length > MAX_WAITING_FLUSHES) this.waiting.shift()
    while (this.waiting.length > 0 && this.stream.send(this.message(this.waiting[0]!))) {
      this.introduced = true
      this.waiting.shift()
    }
  }

  close(): void {
    this.stream?.close()
    this.stream = null
  }

  /** The first of a stream says who sends. */
  private message(metrics: Buffer): Buffer {
    if (this.introduced) return metrics
    return new ProtoWriter()
      .message(MESSAGE.identifier, new ProtoWriter().raw(nodeField(this.env.node)))
      .raw(metrics)
      .bytes()
  }

  private metrics({ counters, gauges, histograms }: FlushedStats): Buffer {
    const { config, env } = this
    const message = new ProtoWriter()
    const at = env.now()
    for (const { counter, delta } of counters) {
      const value = config.countersAsDeltas ? delta : counter.value
      message.message(MESSAGE.metrics, this.family(counter.name, TYPE.counter, METRIC.counter, new ProtoWriter().double(1, value), at))
    }
    for (const gauge of gauges)
      message.message(MESSAGE.metrics, this.family(gauge.name, TYPE.gauge, METRIC.gauge, new ProtoWriter().double(1, gauge.value), at))
    for (const histogram of histograms) {
      const { name } = histogram
      if (config.summaries) message.message(MESSAGE.metrics, this.family(name, TYPE.summary, METRIC.summary, summary(histogram), at))
      if (config.histograms)
        message.message(MESSAGE.metrics, this.family(name, TYPE.histogram, METRIC.histogram, classic(histogram, true), at))
    }
    return message.bytes()
  }

  private family(statName: string, type: number, field: number, value: ProtoWriter, at: number): ProtoWriter {
    const tagged = this.config.tagsAsLabels ? this.env.tags.produce(statName) : { name: statName, tags: [] }
    const metric = new ProtoWriter()
    for (const tag of tagged.tags) metric.message(METRIC.label, label(tag.name, tag.value))
    metric.message(field, value).varint(METRIC.timestamp, at)
    return new ProtoWriter().string(FAMILY.name, tagged.name).varint(FAMILY.type, type).message(FAMILY.metric, metric)
  }
}

function nodeField(node: Uint8Array): Uint8Array {
  return new ProtoWriter().raw(Uint8Array.of(10)).delimited(node).bytes()
}
