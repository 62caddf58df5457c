// The trace of one request: decided when its route is known, ended with it. Made by request-path for each request of a connection manager
// that traces; everyone else knows it as StreamInfo.trace. Calls the tracer; span-tags says what a span tells.
//
//   begin (decision, span, decorator) ─▶ startTry, inject … per try ─▶ onResponseHead ─▶ end

import type { Host } from '../../upstream/host/host.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { FormatFunction } from '../format/header-format.js'
import { isGrpcRequest } from '../grpc/grpc.js'
import { failureFlag } from '../reply/failure-code.js'
import type { CompiledRoute } from '../route/compiled-route.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { StreamTrace, TryTrace } from '../stream/stream-trace.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'
import { failureWords } from './failure-words.js'
import type { Span } from './span.js'
import { addMoment, addMoments, tagAnswer, tagCustom, tagRequest, tagTry } from './span-tags.js'
import { decideTracing, type TraceReason, withReason } from './trace-reason.js'
import type { TracingRuntime } from './tracing-runtime.js'

const DECORATOR_HEADER = 'x-envoy-decorator-operation'

export class RequestTrace implements StreamTrace {
  readonly traced: boolean
  readonly info: StreamInfo
  readonly runtime: TracingRuntime
  readonly route: CompiledRoute | null
  private readonly span: Span | null
  /** The route's name for what is done, which the other party is told. */
  private told = ''
  /** The config's format names the spans; decorators do not. */
  private readonly named: boolean

  /** The head is what filters will see: the id gets its reason, the decorator's header goes. */
  constructor(runtime: TracingRuntime, request: RequestHead, info: StreamInfo, route: CompiledRoute | null) {
    const reason = decide(runtime, request, info, route)
    this.traced = reason !== 'not-traceable'
    this.runtime = runtime
    this.info = info
    this.route = route
    this.span = runtime.tracer.start(request, {
      operation: runtime.egress ? `egress ${request.authority}` : 'ingress',
      kind: runtime.egress && !runtime.spawnUpstreamSpan ? 'client' : 'server',
      startMs: info.startTimeMs,
      traced: this.traced,
    })
    const operation = route?.tracing?.operation ?? runtime.operation
    this.named = operation !== null
    if (operation === null) this.decorate(request, route)
    else if (this.span !== null) this.span.name = operation(info)
  }

  get traceId(): string {
    return this.span === null ? '' : this.span.identity.traceId
  }

  get spanId(): string {
    return this.span === null ? '' : this.span.identity.id
  }

  private decorate({ headers }: RequestHead, route: CompiledRoute | null): void {
    const decorator = route === null ? null : route.decorator
    if (decorator !== null) {
      if (this.span !== null && decorator.operation !== '') this.span.name = decorator.operation
      if (decorator.propagate) this.told = decorator.operation
    }
    if (this.runtime.egress) {
      if (this.told !== '') headers.set(DECORATOR_HEADER, this.told)
      return
    }
    const given = headers.get(DECORATOR_HEADER)
    if (given === undefined) return
    if (given !== '' && this.span !== null) this.span.name = given
    // Who asked names it already.
    this.told = ''
    headers.remove(DECORATOR_HEADER)
  }

  onResponseHead(headers: HeaderList): void {
    if (this.named) return
    if (!this.runtime.egress) {
      if (this.told !== '') headers.set(DECORATOR_HEADER, this.told)
      return
    }
    const given = headers.get(DECORATOR_HEADER)
    if (given === undefined) return
    if (given !== '' && this.span !== null) this.span.name = given
    headers.remove(DECORATOR_HEADER)
  }

  startTry(host: Host, attempt: number): TryTrace | null {
    const { span, runtime, route, info } = this
    if (span === null || !runtime.tracesTries) return null
    const operation = route?.tracing?.upstreamOperation ?? runtime.upstreamOperation
    const startedAt = performance.now()
    const startMs = info.startTimeMs + (startedAt - info.startedAt)
    return new SpanOfTry(this, runtime.tracer.child(span, this.nameOfTry(operation, host), startMs), startedAt, host, attempt)
  }

  private nameOfTry(operation: FormatFunction | null, host: Host): string {
    if (operation !== null) return operation(this.info)
    const { name, config } = host.cluster
    return `router ${config.altStatName || name} egress`
  }

  inject(request: RequestHead, attempt: TryTrace | null): void {
    const { span, runtime } = this
    if (span === null || !runtime.propagates) return
    runtime.tracer.inject(attempt instanceof SpanOfTry ? attempt.span : span, request.headers)
  }

  end(): void {
    const { span, info, runtime } = this
    if (span === null || !span.identity.sampled) return
    const { request, response, responseTrailers, responseCode, responseFlags } = info
    tagRequest(span, info, runtime.names, runtime.maxPathTagLength)
    const facts = { status: responseCode, responseFlags, headers: response?.headers ?? null, trailers: responseTrailers }
    tagAnswer(span, facts, this.cluster, request !== null && isGrpcRequest(request))
    this.tagCustom(span)
    if (runtime.verbose) addMoments(span, info)
    span.endMs = info.startTimeMs + (info.endedAt - info.startedAt)
    runtime.tracer.report(span)
  }

  /** Of the endpoint that was asked last; the route's while none was. */
  private get cluster(): { readonly name: string; readonly altStatName: string } | null {
    const { selectedHost, upstreamCluster } = this.info
    const config = selectedHost !== null ? selectedHost.cluster.config : this.runtime.clusters.get(upstreamCluster)?.config
    return config === undefined ? null : config
  }

  tagCustom(span: Span): void {
    const ofRoute = this.route?.tracing ?? null
    tagCustom(span, this.runtime.customTags, this.info, ofRoute === null ? null : ofRoute.tagNames)
    if (ofRoute !== null) tagCustom(span, ofRoute.customTags, this.info)
  }
}

function decide(runtime: TracingRuntime, { headers }: RequestHead, info: StreamInfo, route: CompiledRoute | null): TraceReason {
  const sampling = route?.tracing?.sampling ?? runtime.sampling
  const given = headers.get('x-request-id') ?? ''
  const reason = decideTracing(given, headers, sampling, runtime.requestId, runtime.runtime, runtime.random)
  if (runtime.requestId.packTraceReason && given !== '') {
    const packed = withReason(given, reason)
    if (packed !== given) {
      headers.set('x-request-id', packed)
      info.requestId = packed
    }
  }
  count(runtime, reason)
  return reason
}

function count({ stats }: TracingRuntime, reason: TraceReason): void {
  switch (reason) {
    case 'service-forced':
      stats.service_forced.value++
      break
    case 'client-forced':
      stats.client_enabled.value++
      break
    case 'sampling':
      stats.random_sampling.value++
      break
    case 'not-traceable':
      stats.not_traceable.value++
      break
  }
}

class SpanOfTry implements TryTrace {
  readonly span: Span
  private readonly request: RequestTrace
  private readonly host: Host
  private readonly startedAt: number
  private protocol = '-'
  private head: ResponseHead | null = null
  private responseFlags = 0
  private sentAt = 0
  private respondedAt = 0

  constructor(request: RequestTrace, span: Span, startedAt: number, host: Host, attempt: number) {
    this.request = request
    this.span = span
    this.startedAt = startedAt
    this.host = host
    if (attempt > 1) span.tag('retry.count', String(attempt - 1))
  }

  sent(protocol: string): void {
    this.protocol = protocol
    this.sentAt = performance.now()
  }

  responded(head: ResponseHead): void {
    this.head = head
    this.respondedAt = performance.now()
  }

  failed(failure: UpstreamFailure): void {
    this.responseFlags |= failureFlag(failure)
    const reason = failureWords(failure)
    if (reason === '') return
    this.span.tag('error', 'true')
    this.span.tag('error.reason', reason)
  }

  canceled(): void {
    this.span.tag('canceled', 'true')
  }

  end(): void {
    const { span, request, host, head } = this
    const { runtime, info } = request
    if (!span.identity.sampled) return
    tagTry(span, host, this.protocol)
    const { name, config } = host.cluster
    const facts = { status: head?.status ?? 0, responseFlags: this.responseFlags, headers: head?.headers ?? null, trailers: null }
    tagAnswer(span, facts, { name, altStatName: config.altStatName }, false)
    request.tagCustom(span)
    const endedAt = performance.now()
    if (runtime.verbose) {
      addMoment(span, 'first_upstream_tx_byte_sent', this.sentAt, info)
      addMoment(span, 'last_upstream_tx_byte_sent', this.sentAt === 0 ? 0 : Math.max(this.sentAt, info.requestReceivedAt), info)
      addMoment(span, 'first_upstream_rx_byte_received', this.respondedAt, info)
      if (this.respondedAt !== 0 && span.tagged('canceled') === undefined) {
        addMoment(span, 'last_upstream_rx_byte_received', endedAt, info)
      }
    }
    span.endMs = span.startMs + (endedAt - this.startedAt)
    runtime.tracer.report(span)
  }
}
