// Zipkin (envoy.tracers.zipkin): B3 contexts, W3C's beside them where asked for, spans to a collector over HTTP. Made by Tracers. What a
// span looks like on the wire is in zipkin-span.ts.

import type { ZipkinTracerHandles } from '../../metrics/reporting-stats.js'
import type { ZipkinTracerConfig } from '../../model/tracing.js'
import type { RequestHead } from '../codec/codec.js'
import { HeaderList } from '../codec/header-list.js'
import { localAddress } from '../stream/local-address.js'
import { type B3Context, readB3, writeB3 } from './b3-context.js'
import { randomId } from './random-ids.js'
import { runtimeNumber } from './runtime-number.js'
import { Span, type SpanIdentity, type SpanKind } from './span.js'
import { SpanQueue } from './span-queue.js'
import type { SpanStart, Tracer } from './tracer.js'
import type { TracerEnvironment } from './tracer-environment.js'
import { readTraceparent, writeTraceparent } from './w3c-context.js'
import { type ZipkinEndpoint, zipkinJson, zipkinProto } from './zipkin-span.js'

const DEFAULT_MIN_FLUSH_SPANS = 5
const DEFAULT_FLUSH_INTERVAL_MS = 5000
/** Spans that wait beyond these are dropped. */
export const MAX_WAITING_ZIPKIN_SPANS = 1024
const ACCEPTED = 202

export class ZipkinTracer implements Tracer {
  private readonly config: ZipkinTracerConfig
  private readonly env: TracerEnvironment
  private readonly stats: ZipkinTracerHandles
  private readonly endpoint: ZipkinEndpoint
  private readonly queue: SpanQueue
  private failing = false

  constructor(config: ZipkinTracerConfig, env: TracerEnvironment) {
    this.config = config
    this.env = env
    this.stats = env.zipkinStats()
    this.endpoint = { serviceName: env.serviceCluster, address: localAddress() }
    const { stats } = this
    this.queue = new SpanQueue({
      clock: env.clock,
      maxSpans: MAX_WAITING_ZIPKIN_SPANS,
      minFlushSpans: () => runtimeNumber(env.runtime, 'tracing.zipkin.min_flush_spans', DEFAULT_MIN_FLUSH_SPANS),
      flushIntervalMs: () => runtimeNumber(env.runtime, 'tracing.zipkin.flush_interval_ms', DEFAULT_FLUSH_INTERVAL_MS),
      onTimer: () => stats.timer_flushed.value++,
      onDropped: () => stats.reports_dropped.value++,
      send: (spans, done) => this.send(spans, done),
    })
  }

  start({ headers, authority }: RequestHead, { kind, startMs, traced }: SpanStart): Span | null {
    const context = this.readContext(headers)
    if (context === null) return null
    return new Span(this.identify(context, kind, traced), authority, startMs)
  }

  private readContext(headers: HeaderList): B3Context | null | undefined {
    const b3 = readB3(headers)
    if (b3 !== undefined || !this.config.w3c) return b3
    const w3c = readTraceparent(headers)
    if (w3c === null || w3c === undefined) return undefined
    return { traceId: w3c.traceId, spanId: w3c.spanId, parentId: '', sampled: w3c.sampled, single: false }
  }

  private identify(context: B3Context | undefined, kind: SpanKind, traced: boolean): SpanIdentity {
    const shared = kind === 'server' && this.config.sharedSpanContext
    const rest = { kind, shared, parentIsRemote: false, traceState: '', singleB3: context?.single ?? false }
    const sampled = context?.sampled ?? traced
    if (context === undefined || context.traceId === '') {
      const id = randomId()
      return { ...rest, traceId: this.newTraceId(id), id, parentId: '', sampled }
    }
    const { traceId, spanId, parentId } = context
    return shared ? { ...rest, traceId, id: spanId, parentId, sampled } : { ...rest, traceId, id: randomId(), parentId: spanId, sampled }
  }

  /** Its second half is the id of its first span. */
  private newTraceId(firstSpanId: string): string {
    if (!this.config.traceId128Bit) return firstSpanId
    if (!this.config.timestampTraceIds) return randomId() + firstSpanId
    const second = Math.floor(Date.now() / 1000) % 2 ** 32
    return second.toString(16).padStart(8, '0') + randomId().slice(8) + firstSpanId
  }

  child({ identity }: Span, name: string, startMs: number): Span {
    return new Span({ ...identity, id: randomId(), parentId: identity.id, kind: 'client', shared: false }, name, startMs)
  }

  inject({ identity }: Span, headers: HeaderList): void {
    writeB3(headers, identity)
    if (this.config.w3c) writeTraceparent(headers, identity.traceId, identity.id, identity.sampled)
  }

  report(span: Span): void {
    this.queue.add(span)
  }

  close(): Promise<void> {
    return this.queue.close()
  }

  private send(spans: readonly Span[], done: () => void): void {
    const { config, env, stats, endpoint } = this
    const { cluster, host, path, headers } = config.collector
    stats.spans_sent.value += spans.length
    if (env.clusters.get(cluster) === undefined) {
      stats.reports_skipped_no_cluster.value++
      done()
      return
    }
    const json = config.encoding === 'json'
    const list = HeaderList.of(['content-type', json ? 'application/json' : 'application/x-protobuf'])
    for (const { name, value } of headers) list.set(name, value)
    const body = json ? zipkinJson(spans, endpoint) : zipkinProto(spans, endpoint)
    const timeoutMs = runtimeNumber(env.runtime, 'tracing.zipkin.request_timeout', config.collector.timeoutMs)
    env.transport.send(cluster, { method: 'POST', path, authority: host, headers: list, body, timeoutMs }, result => {
      done()
      if (result.kind === 'failure') stats.reports_failed.value++
      else if (result.status !== ACCEPTED) stats.reports_dropped.value++
      else {
        stats.reports_sent.value++
        this.failing = false
        return
      }
      if (!this.failing) {
        env.log(
          `tracing: the collector in cluster ${cluster} takes no spans: ${result.kind === 'failure' ? result.message : `HTTP status ${result.status}`}`,
        )
      }
      this.failing = true
    })
  }
}
