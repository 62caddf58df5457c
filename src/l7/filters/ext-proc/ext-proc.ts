// envoy.filters.http.ext_proc: an external processor sees and changes heads, bodies and trailers of a request and its response, over one gRPC
// stream a request (envoy.service.ext_proc.v3). Which parts it gets, the processing mode says.
//
//   head ──▶ with the processor ──answer──▶ [body: BUFFERED, whole, before the head goes on │ STREAMED, piece by piece] ──▶ [trailers] ──▶ on
//                    ├─ immediate response ──▶ reply
//                    └─ timeout, error, an answer to something else ──▶ reply, or (failure_mode_allow) all goes on as it is

import { grpcServiceName } from '../../../model/grpc-service.js'
import type { BodyMode, ExtProcConfig, ProcessingMode } from '../../../model/http-filter.js'
import type { GrpcStream } from '../../client/grpc-stream.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import { HeaderList } from '../../codec/header-list.js'
import { RequestFlow, ResponseFlow } from '../body-flow.js'
import type { FilterContext } from '../filter-environment.js'
import type { FilterCall, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'
import { requestControl } from '../request-control.js'
import { type HeldResponse, responseControl } from '../response-control.js'
import { CompiledExtProc } from './compiled-ext-proc.js'
import {
  bodyMessage,
  headersMessage,
  type ImmediateAnswer,
  type MessageContext,
  type ModeOverride,
  type NamedFields,
  Part,
  type PartAnswer,
  readAnswer,
  trailersMessage,
} from './ext-proc-messages.js'
import type { MutatedHead } from './ext-proc-mutations.js'
import { Side } from './ext-proc-side.js'

const PROCESS = '/envoy.service.ext_proc.v3.ExternalProcessor/Process'
const BODY_MODES: readonly BodyMode[] = ['NONE', 'STREAMED', 'BUFFERED', 'BUFFERED_PARTIAL']

export function extProcFilter(name: string, disabled: boolean, config: ExtProcConfig, ctx: FilterContext): FilterFactory {
  const compiled = new CompiledExtProc(config, ctx)
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter | null {
      const override = call.overrideFor(name)
      const own = override?.kind === 'extProc' ? override : null
      return new ExtProcFilter(compiled, call, {
        mode: own?.mode ?? config.mode,
        service: own?.service ?? config.service,
        failureModeAllow: own?.failureModeAllow ?? config.failureModeAllow,
      })
    },
  }
}

/** Of one request: the route's, where it has its own. */
type RequestSettings = Pick<ExtProcConfig, 'mode' | 'service' | 'failureModeAllow'>

class ExtProcFilter implements StreamFilter {
  private readonly request: Side
  private readonly response: Side
  private responseHeadOf: ResponseHead | null = null
  private stream: GrpcStream | null = null
  /** Nothing more goes to the processor. */
  private over = false
  private mode: ProcessingMode
  /** Of the request's body, with the processor. */
  private collectedBytes = 0
  /** The response's body is being held. */
  private collecting = false
  private collectedResponse: HeldResponse | null = null

  constructor(
    private readonly compiled: CompiledExtProc,
    private readonly call: FilterCall,
    private readonly settings: RequestSettings,
  ) {
    const { mode } = settings
    this.mode = mode
    this.request = new Side(new RequestFlow(call, this), mode.requestBody, mode.requestTrailers)
    this.response = new Side(new ResponseFlow(call, this), mode.responseBody, mode.responseTrailers)
  }

  // ---- request ----------------------------------------------------------------------------------------------------------------------

  requestHead(call: FilterCall, head: RequestHead, end: boolean): FilterStatus {
    // What flows in a tunnel is no body.
    const tunnel = call.request.upgrade !== '' || call.request.method === 'CONNECT'
    if (end || tunnel) this.request.hasNoBody()
    if (tunnel) this.response.hasNoBody()
    if (!this.mode.requestHeaders) return this.collectRequest() ? 'stop' : 'continue'
    const fields: [string, string][] = [
      [':method', head.method],
      [':scheme', head.scheme],
      [':authority', head.authority],
      [':path', head.path],
      ...fieldsOf(head.headers),
    ]
    this.request.holdsHead = true
    this.send(
      this.request,
      Part.RequestHeaders,
      headersMessage(Part.RequestHeaders, this.compiled.forwarded(fields), end, this.context(this.request)),
    )
    return 'stop'
  }

  /** BUFFERED: the head waits for its body. False: there is nothing to wait for. */
  private collectRequest(): boolean {
    const { request, call } = this
    if (!isBuffered(request.bodyMode)) return false
    request.holdsHead = true
    const limit = requestControl(call).bufferLimitBytes
    call.bufferRequest(limit, request.bodyMode === 'BUFFERED_PARTIAL', (body, complete) => {
      if (this.over) {
        this.resumeRequest()
        return
      }
      this.collectedBytes = body.length
      const end = complete && requestControl(call).requestTrailers === null
      this.send(request, Part.RequestBody, bodyMessage(Part.RequestBody, body, end, this.context(request)))
    })
    return true
  }

  private resumeRequest(): void {
    this.request.holdsHead = false
    this.call.resume()
  }

  requestData(_call: FilterCall, chunk: Buffer, end: boolean): Buffer | null {
    return this.data(this.request, chunk, end)
  }

  requestTrailers(_call: FilterCall, trailers: HeaderList): HeaderList | null {
    return this.trailers(this.request, trailers)
  }

  // ---- response ---------------------------------------------------------------------------------------------------------------------

  responseHead(_call: FilterCall, head: ResponseHead, end: boolean, local: boolean): FilterStatus {
    if (local || this.over) {
      this.over = true
      return 'continue'
    }
    const { response } = this
    this.responseHeadOf = head
    if (end || head.upgraded) response.hasNoBody()
    const buffered = isBuffered(response.bodyMode)
    if (!this.mode.responseHeaders && !buffered) return 'continue'
    response.holdsHead = true
    if (buffered) this.collectResponse()
    if (this.mode.responseHeaders) {
      const fields: NamedFields = [[':status', String(head.status)], ...fieldsOf(head.headers)]
      this.send(
        response,
        Part.ResponseHeaders,
        headersMessage(Part.ResponseHeaders, this.compiled.forwarded(fields), end, this.context(response)),
      )
    }
    return 'stop'
  }

  private collectResponse(): void {
    const { bufferLimitBytes } = requestControl(this.call)
    const partial = this.response.bodyMode === 'BUFFERED_PARTIAL'
    this.collecting = true
    const collected = (body: Buffer, trailers: HeaderList | null): HeldResponse | null => {
      if (this.over || !isBuffered(this.response.bodyMode)) return { body, trailers }
      this.collectedResponse = { body, trailers }
      if (this.response.awaiting === null) this.sendResponseBody()
      return null
    }
    responseControl(this.call).bufferResponse(bufferLimitBytes, collected, partial)
  }

  private sendResponseBody(): void {
    const { body, trailers } = this.collectedResponse!
    this.send(this.response, Part.ResponseBody, bodyMessage(Part.ResponseBody, body, trailers === null, this.context(this.response)))
  }

  responseData(_call: FilterCall, chunk: Buffer, end: boolean): Buffer | null {
    return this.data(this.response, chunk, end)
  }

  responseTrailers(_call: FilterCall, trailers: HeaderList): HeaderList | null {
    return this.trailers(this.response, trailers)
  }

  finished(): void {
    this.over = true
    this.request.timer.cancel()
    this.response.timer.cancel()
    this.closeStream()
  }

  // ---- both directions ----------------------------------------------------------------------------------------------------------------

  private data(side: Side, chunk: Buffer, end: boolean): Buffer | null {
    const rest = side.substitute(chunk)
    if (this.over || side.bodyMode !== 'STREAMED') return rest
    side.queue.push({ chunk: rest, end })
    this.pump(side)
    return null
  }

  private trailers(side: Side, trailers: HeaderList): HeaderList | null {
    if (this.over || (!side.sendsTrailers && side.queue.length === 0)) return trailers
    side.trailers = trailers
    this.pump(side)
    return null
  }

  /** The next piece that waits goes to the processor. */
  private pump(side: Side): void {
    if (side.awaiting !== null) {
      side.pause()
      return
    }
    const isRequest = side === this.request
    const next = side.queue[0]
    if (next !== undefined) {
      const part = isRequest ? Part.RequestBody : Part.ResponseBody
      this.send(side, part, bodyMessage(part, next.chunk, next.end, this.context(side)))
      return
    }
    side.unpause()
    const { trailers } = side
    if (trailers === null) return
    if (side.sendsTrailers) {
      const part = isRequest ? Part.RequestTrailers : Part.ResponseTrailers
      this.send(side, part, trailersMessage(part, trailers, this.context(side)))
    } else {
      side.trailers = null
      side.flow.emitTrailers(trailers)
    }
  }

  private send(side: Side, part: Part, message: Buffer): void {
    const { stats, config, ctx } = this.compiled
    if (this.stream === null) {
      stats.streams_started.value++
      this.stream = ctx.env.grpcClient.exchange(this.settings.service, PROCESS, {
        onMessage: answer => this.onMessage(answer),
        onEnd: (status, reason) => this.onStreamEnd(status, reason),
      })
    }
    side.awaiting = part
    stats.stream_msgs_sent.value++
    this.stream.send(message)
    this.startTimer(side, config.messageTimeoutMs)
  }

  private startTimer(side: Side, ms: number): void {
    side.timer.cancel()
    side.timer = this.compiled.ctx.clock.after(ms, () => this.onTimeout())
  }

  /** Of the next message of this direction; its first one has the attributes. */
  private context(side: Side): MessageContext {
    const { compiled, call } = this
    const metadata: Record<string, object> = {}
    for (const name of compiled.config.forwardedNamespaces) {
      const struct = call.info.dynamicMetadata(name)
      if (struct !== undefined) metadata[name] = struct
    }
    const attributesOf = side === this.request ? compiled.requestAttributes : compiled.responseAttributes
    const attributes = attributesOf === null || side.attributesSent ? null : attributesOf(call.info)
    side.attributesSent = true
    return { metadata, attributes }
  }

  // ---- the processor's answers ----------------------------------------------------------------------------------------------------------

  private onMessage(message: Buffer): void {
    if (this.over || this.call.ended) return
    const { stats, config } = this.compiled
    stats.stream_msgs_received.value++
    const read = readAnswer(message)
    if (read === null) {
      this.fail('ext_proc_error_malformed_response')
      return
    }
    const { answer, metadata, mode, timeoutMs } = read
    if (metadata !== null) this.takeMetadata(metadata)
    if (timeoutMs > 0 && answer === null) {
      this.prolong(timeoutMs)
      return
    }
    if (answer === null) this.fail('ext_proc_error_empty_response')
    else if (answer.kind === 'immediate') this.onImmediate(answer)
    else {
      const side = this.request.awaiting === answer.part ? this.request : this.response.awaiting === answer.part ? this.response : null
      if (side === null) {
        stats.spurious_msgs_received.value++
        this.fail('ext_proc_error_spurious_message')
        return
      }
      side.awaiting = null
      side.timer.cancel()
      if (mode !== null && config.allowModeOverride && isHeadPart(answer.part)) this.overrideMode(mode)
      this.onAnswer(side, answer)
    }
  }

  private prolong(ms: number): void {
    const { stats, config } = this.compiled
    const side = this.request.awaiting !== null ? this.request : this.response
    if (side.awaiting === null || ms > config.maxMessageTimeoutMs) stats.override_message_timeout_ignored.value++
    else {
      stats.override_message_timeout_received.value++
      this.startTimer(side, ms)
    }
  }

  private overrideMode(mode: ModeOverride): void {
    const { request, response } = this
    const trailers = (given: number, own: boolean): boolean => (given === 0 ? own : given === 1)
    if (request.awaiting === null && this.responseHeadOf === null) request.setMode(BODY_MODES[mode.requestBody])
    request.sendsTrailers = trailers(mode.requestTrailers, request.sendsTrailers)
    if (this.collectedResponse === null) response.setMode(BODY_MODES[mode.responseBody])
    response.sendsTrailers = trailers(mode.responseTrailers, response.sendsTrailers)
    this.mode = { ...this.mode, responseHeaders: trailers(mode.responseHeaders, this.mode.responseHeaders) }
  }

  private onAnswer(side: Side, answer: PartAnswer): void {
    switch (answer.part) {
      case Part.RequestHeaders:
        this.onRequestHead(answer)
        return
      case Part.ResponseHeaders:
        this.onResponseHead(answer)
        return
      case Part.RequestBody:
        if (side.holdsHead) this.onRequestBody(answer)
        else this.onPiece(side, answer)
        return
      case Part.ResponseBody:
        if (side.holdsHead) this.onResponseBody(answer)
        else this.onPiece(side, answer)
        return
      default: {
        const trailers = side.trailers!
        side.trailers = null
        if (!this.mutate(answer, trailers, { kind: 'fields' })) return
        side.flow.emitTrailers(trailers)
      }
    }
  }

  private onPiece(side: Side, { body }: PartAnswer): void {
    const { chunk, end } = side.queue.shift()!
    side.flow.emitData(body ?? chunk, end)
    if (!this.call.ended) this.pump(side)
  }

  private onRequestHead(answer: PartAnswer): void {
    const { request, call } = this
    if (!this.changeRequestHead(answer)) return
    if (answer.replaces && answer.body !== null) {
      if (request.bodiless) call.replaceRequestBody(answer.body)
      else {
        request.bodyMode = 'NONE'
        request.replace(answer.body, Number.POSITIVE_INFINITY)
        setLength(call.request, answer.body.length)
      }
    }
    if (!this.collectRequest()) this.resumeRequest()
  }

  private onRequestBody(answer: PartAnswer): void {
    const { request, call } = this
    if (!this.changeRequestHead(answer)) return
    if (answer.body !== null) {
      request.replace(answer.body, this.collectedBytes)
      setLength(call.request, request.bodyMode === 'BUFFERED' ? answer.body.length : -1)
    }
    request.bodyMode = 'NONE'
    this.resumeRequest()
  }

  /** False: the request has failed over it. */
  private mutate({ headers, replaces }: PartAnswer, list: HeaderList, of: MutatedHead): boolean {
    if (this.compiled.mutations.apply(headers, list, of, replaces)) return true
    this.fail('ext_proc_error_invalid_mutation')
    return false
  }

  private changeRequestHead(answer: PartAnswer): boolean {
    const { call, compiled } = this
    const { stats, config } = compiled
    const { headers, clearRouteCache } = answer
    if (!this.mutate(answer, call.request.headers, { kind: 'request', head: call.request })) return false
    const changed = headers.set.length > 0 || headers.remove.length > 0
    if (config.routeCache === 'clear' || (config.routeCache === 'default' && clearRouteCache)) {
      if (changed) call.clearRouteCache()
      else stats.clear_route_cache_ignored.value++
    } else if (clearRouteCache) stats.clear_route_cache_disabled.value++
    return true
  }

  private onResponseHead(answer: PartAnswer): void {
    const { response } = this
    const head = this.responseHeadOf!
    if (!this.mutate(answer, head.headers, { kind: 'response', head })) return
    if (isBuffered(response.bodyMode)) {
      if (this.collectedResponse !== null) this.sendResponseBody()
      else if (!this.collecting) this.collectResponse()
      return
    }
    response.holdsHead = false
    this.call.resumeResponse()
  }

  private onResponseBody(answer: PartAnswer): void {
    const { response } = this
    const head = this.responseHeadOf!
    const { body, trailers } = this.collectedResponse!
    if (!this.mutate(answer, head.headers, { kind: 'response', head })) return
    if (answer.body !== null) setLength(head, response.bodyMode === 'BUFFERED' ? answer.body.length : -1)
    response.bodyMode = 'NONE'
    response.holdsHead = false
    responseControl(this.call).resumeResponseWith(answer.body ?? body, trailers)
  }

  private onImmediate({ status, headers, body, details, grpcStatus }: ImmediateAnswer): void {
    const { config, stats } = this.compiled
    if (config.disableImmediateResponse) {
      stats.spurious_msgs_received.value++
      this.fail('ext_proc_error_immediate_response_disabled')
      return
    }
    this.over = true
    const list = new HeaderList()
    this.compiled.mutations.apply(headers, list, { kind: 'fields' })
    if (grpcStatus >= 0) list.set('grpc-status', String(grpcStatus))
    this.call.sendReply(status, body.toString('latin1'), details === '' ? 'ext_proc_immediate_response' : details, 0, list)
  }

  private takeMetadata(metadata: Record<string, unknown>): void {
    for (const namespace of this.compiled.config.receivedNamespaces) {
      const struct = metadata[namespace]
      if (typeof struct !== 'object' || struct === null) continue
      for (const [key, value] of Object.entries(struct)) this.call.info.setDynamicMetadata(namespace, key, value)
    }
  }

  // ---- endings ------------------------------------------------------------------------------------------------------------------------

  private onTimeout(): void {
    if (this.over || this.call.ended) return
    this.compiled.stats.message_timeouts.value++
    this.fail('ext_proc_error_message_timeout', 504)
  }

  private onStreamEnd(status: number, reason: string): void {
    this.stream = null
    this.compiled.stats.streams_closed.value++
    if (this.over || this.call.ended) return
    // A processor that ends its stream has seen enough.
    if (status === 0) this.letGo()
    else {
      this.compiled.ctx.env.log('debug', `ext_proc: the stream to '${grpcServiceName(this.settings.service)}' failed: ${reason}`)
      this.fail(`ext_proc_error_grpc_error_${status}`)
    }
  }

  private fail(details: string, status = this.compiled.config.statusOnError): void {
    const { stats } = this.compiled
    stats.streams_failed.value++
    this.closeStream()
    if (this.settings.failureModeAllow) {
      stats.failure_mode_allowed.value++
      this.letGo()
      return
    }
    this.over = true
    this.call.sendReply(status, '', details, 0)
  }

  /** Everything goes on as it is, without the processor. */
  private letGo(): void {
    this.over = true
    this.closeStream()
    const { request, response } = this
    request.timer.cancel()
    response.timer.cancel()
    if (request.holdsHead) this.resumeRequest()
    else request.flush()
    if (this.call.ended || !response.holdsHead) {
      if (!this.call.ended) response.flush()
      return
    }
    response.holdsHead = false
    const collected = this.collectedResponse
    if (collected !== null) responseControl(this.call).resumeResponseWith(collected.body, collected.trailers)
    else if (!isBuffered(response.bodyMode)) this.call.resumeResponse()
  }

  private closeStream(): void {
    if (this.stream === null) return
    this.stream.close()
    this.stream = null
    this.compiled.stats.streams_closed.value++
  }
}

function isBuffered(mode: BodyMode): boolean {
  return mode === 'BUFFERED' || mode === 'BUFFERED_PARTIAL'
}

function isHeadPart(part: Part): boolean {
  return part === Part.RequestHeaders || part === Part.ResponseHeaders
}

function fieldsOf(headers: HeaderList): [string, string][] {
  return headers.lower.map((name, i) => [name, headers.values[i]!])
}

/** -1: not known. */
function setLength(head: RequestHead | ResponseHead, length: number): void {
  head.contentLength = length
  if (length < 0) head.headers.remove('content-length')
  else head.headers.set('content-length', String(length))
}
