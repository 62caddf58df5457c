// OpenTelemetry (envoy.tracers.opentelemetry): W3C contexts, samplers, spans as OTLP over gRPC or HTTP. Made by Tracers. What a span looks
// like on the wire is in otlp-span.ts.

import type { OpenTelemetryTracerHandles } from '../../metrics/reporting-stats.js'
import type { OpenTelemetryTracerConfig, Sampler } from '../../model/tracing.js'
import type { RequestHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { readEnvironment } from '../format/header-format.js'
import { OtlpClient, otlpUserAgent } from '../otlp/otlp-client.js'
import type { Attributes } from '../otlp/otlp-values.js'
import { resourceAttributes } from '../otlp/resource.js'
import { encodeTraces } from './otlp-span.js'
import { randomId } from './random-ids.js'
import { runtimeNumber } from './runtime-number.js'
import { Span } from './span.js'
import { SpanQueue } from './span-queue.js'
import type { SpanStart, Tracer } from './tracer.js'
import type { TracerEnvironment } from './tracer-environment.js'
import { type RemoteContext, readTraceparent, writeTraceparent } from './w3c-context.js'

const EXPORT_SPANS = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
const DEFAULT_MIN_FLUSH_SPANS = 5
const DEFAULT_FLUSH_INTERVAL_MS = 5000

export class OpenTelemetryTracer implements Tracer {
  private readonly sampler: Sampler | null
  private readonly queue: SpanQueue | null
  private readonly stats: OpenTelemetryTracerHandles

  constructor(config: OpenTelemetryTracerConfig, env: TracerEnvironment) {
    this.sampler = config.sampler
    this.stats = env.openTelemetryStats()
    this.queue =
      config.target === null
        ? null
        : this.newQueue(config, new OtlpClient(config.target, EXPORT_SPANS, otlpUserAgent(env.program), env.transport), env)
  }

  private newQueue(config: OpenTelemetryTracerConfig, client: OtlpClient, env: TracerEnvironment): SpanQueue {
    const { stats } = this
    const resource = resourceAttributes(ownAttributes(config, env), config.resourceDetectors, readEnvironment)
    const scope = config.instrumentationScope ? env.program : null
    let failing = false
    return new SpanQueue({
      clock: env.clock,
      maxSpans: config.maxCachedSpans,
      minFlushSpans: () => runtimeNumber(env.runtime, 'tracing.opentelemetry.min_flush_spans', DEFAULT_MIN_FLUSH_SPANS),
      flushIntervalMs: () => runtimeNumber(env.runtime, 'tracing.opentelemetry.flush_interval_ms', DEFAULT_FLUSH_INTERVAL_MS),
      onTimer: () => stats.timer_flushed.value++,
      onDropped: () => stats.spans_dropped.value++,
      send(spans, done) {
        stats.spans_sent.value += spans.length
        client.export(encodeTraces(spans, resource, scope), problem => {
          if (problem !== '' && !failing) env.log(`tracing: the collector${client.place} takes no spans: ${problem}`)
          failing = problem !== ''
          done()
        })
      },
    })
  }

  start({ headers }: RequestHead, { operation, kind, startMs, traced }: SpanStart): Span | null {
    const parent = readTraceparent(headers)
    if (parent === null) return null
    const traceId = parent === undefined ? randomId() + randomId() : parent.traceId
    const identity = {
      traceId,
      id: randomId(),
      parentId: parent === undefined ? '' : parent.spanId,
      sampled: traced && sampledBy(this.sampler, traceId, parent),
      kind,
      parentIsRemote: parent !== undefined,
      traceState: parent === undefined ? '' : parent.traceState,
      shared: false,
      singleB3: false,
    }
    return new Span(identity, operation, startMs)
  }

  child({ identity }: Span, name: string, startMs: number): Span {
    return new Span({ ...identity, id: randomId(), parentId: identity.id, kind: 'client', parentIsRemote: false }, name, startMs)
  }

  inject({ identity }: Span, headers: HeaderList): void {
    writeTraceparent(headers, identity.traceId, identity.id, identity.sampled)
    headers.set('tracestate', identity.traceState)
  }

  report(span: Span): void {
    this.queue?.add(span)
  }

  async close(): Promise<void> {
    await this.queue?.close()
  }
}

/** Without a sampler: as the parent is, and without one of those as the connection manager decided. */
function sampledBy(sampler: Sampler | null, traceId: string, parent: RemoteContext | undefined): boolean {
  if (sampler === null) return parent === undefined || parent.sampled
  switch (sampler.kind) {
    case 'alwaysOn':
      return true
    case 'parentBased':
      return parent === undefined ? sampledBy(sampler.wrapped, traceId, parent) : parent.sampled
    case 'traceIdRatio':
      // The first 52 bits, as far as a double is exact.
      return sampler.ratio > 0 && Number.parseInt(traceId.slice(0, 13), 16) / 2 ** 52 <= sampler.ratio
  }
}

function ownAttributes(config: OpenTelemetryTracerConfig, { program }: TracerEnvironment): Attributes {
  return [
    ...(config.serviceNameAttribute ? [['service.name', config.serviceName] as const] : []),
    ...(config.sdkAttributes
      ? ([
          ['telemetry.sdk.language', 'nodejs'],
          ['telemetry.sdk.name', program.name],
          ['telemetry.sdk.version', program.version],
        ] as const)
      : []),
  ]
}
