// The HTTP filters of one request (what Envoy calls its filter manager): made one by one as the request head passes them in config
// order, passed by the response in reverse. Made by the exchange where its connection manager has filters; it is the call that filters
// get. Behind the last filter comes FilterChainHost: requestPassed() towards the router, relay*() towards the client.
//
// A filter may stop the request head (resume; the body that came waits in `host.body`, past the filters before it), the response head
// (resumeResponse; its body waits in `heldResponse`, the upstream paused), keep body bytes back and send them on itself (emit*), or ask
// for a whole body first (bufferRequest, bufferResponse: bounded by what the filter says).

import { ownBytes } from '../../io/shared-read.js'
import type { HttpFilterOverride } from '../../model/http-filter.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { LocalReply } from '../reply/local-reply.js'
import { type ClusterChoice, type CompiledRoute, filterOverride, filterOverrides } from '../route/compiled-route.js'
import type { HeldBody } from '../stream/held-body.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { FilterFactory, FilterStatus, StreamFilter } from './http-filter.js'
import type { Asked, DiscoveringCall } from './on-demand.js'
import type { RequestControl } from './request-control.js'
import type { HeldResponse, RedirectOutcome, ResponseControl } from './response-control.js'

/** The request that the filters stand in. Exchange implements it. */
export interface FilterChainHost {
  readonly request: RequestHead
  readonly info: StreamInfo
  readonly body: HeldBody
  readonly route: CompiledRoute | null
  readonly choice: ClusterChoice | null
  readonly ended: boolean
  /** Match the route again. */
  clearRouteCache(): void
  /** Ask for what would give it a route. */
  discoverRoute(done: () => void): Asked
  /** The last filter has let the request pass; what comes of its body from now on follows by the next two. */
  requestPassed(): void
  requestDataPassed(chunk: Buffer, end: boolean): void
  requestTrailersPassed(trailers: HeaderList): void
  reply(reply: LocalReply, headers: HeaderList | null): void
  replyWithHead(status: number, details: string, headers: HeaderList): void
  redirectTo(head: RequestHead, state: object): RedirectOutcome
  requestTooLarge(limit: string): void
  responseTooLarge(): void
  /** Ask the client, or the upstream, to stop or go on sending. */
  pauseRequest(): void
  resumeRequest(): void
  pauseUpstream(): void
  resumeUpstream(): void
  /** The response, past the last filter. */
  relayHead(head: ResponseHead, end: boolean): void
  relayData(chunk: Buffer, end: boolean): void
  relayTrailers(trailers: HeaderList): void
}

/** Of a body whose end came alone, after its head had been told that a body follows. */
const END_ALONE: readonly Buffer[] = [Buffer.alloc(0)]
/** Nothing is held: nearly always. Never pushed to. */
const NONE: Buffer[] = []

export class FilterChain implements RequestControl, ResponseControl, DiscoveringCall {
  /** The last filter has let the request pass: its body goes through the filters as it comes. */
  passed = false
  private readonly host: FilterChainHost
  private readonly factories: readonly FilterFactory[]
  private readonly filters: (StreamFilter | null)[] = []
  private next = 0
  private running = false
  /** Of the body of a request that waits at a filter. */
  readonly bufferLimitBytes: number
  /** The filter that the head waits at was told that no body follows. */
  private stoppedAtEnd = false
  private requestPauses = 0
  /** Some filter looks at the request's body or trailers. */
  private requestDataFilters = false
  /** Some filter looks at the response's body or trailers. */
  private responseDataFilters = false
  private collector: BodyCollector | null = null
  private responseHead: ResponseHead | null = null
  private localResponse = false
  private responseIndex = -1
  /** A filter holds the response back: what follows its head waits in `heldResponse`. */
  private responseStopped = false
  private heldResponse: Buffer[] = NONE
  private heldResponseBytes = 0
  private heldResponseEnd = false
  private heldResponseTrailers: HeaderList | null = null
  private responseBuffer: ResponseBuffer | null = null
  private pauses = 0
  /** A filter has put an answer of our own in the response's place. */
  private replaced = false

  constructor(host: FilterChainHost, factories: readonly FilterFactory[], bufferLimitBytes: number) {
    this.host = host
    this.bufferLimitBytes = bufferLimitBytes
    this.factories = factories
  }

  // ---- FilterCall: what filters see ---------------------------------------------------------------------------------------------

  get request(): RequestHead {
    return this.host.request
  }

  get info(): StreamInfo {
    return this.host.info
  }

  get route(): CompiledRoute | null {
    return this.host.route
  }

  get ended(): boolean {
    return this.host.ended
  }

  clearRouteCache(): void {
    this.host.clearRouteCache()
  }

  get clusterName(): string {
    return this.host.choice?.name ?? ''
  }

  discoverRoute(done: () => void): Asked {
    return this.host.discoverRoute(done)
  }

  sendReply(status: number, body: string, details: string, flag: number, headers: HeaderList | null = null): void {
    this.host.reply({ status, body, details, flag }, headers)
  }

  sendHead(status: number, details: string, headers: HeaderList): void {
    this.host.replyWithHead(status, details, headers)
  }

  overrideFor(filterName: string): HttpFilterOverride | undefined {
    const { route, choice } = this.host
    return route === null ? undefined : filterOverride(route, choice, filterName)
  }

  overridesFor(filterName: string): readonly HttpFilterOverride[] {
    const { route, choice } = this.host
    return route === null || !route.hasOverrides ? [] : filterOverrides(route, choice, filterName)
  }

  // ---- request --------------------------------------------------------------------------------------------------------------

  /** The filters' request hooks, then the router. Re-entered by resume(). */
  run(): void {
    if (this.running) return
    this.running = true
    const { factories, host } = this
    const { body } = host
    if (this.next > 0) this.passHeld(this.next - 1, this.stoppedAtEnd)
    while (this.next < factories.length && !host.ended) {
      const factory = factories[this.next]!
      const index = this.next++
      const override = this.overrideFor(factory.name)
      const off = override === undefined ? factory.disabled : override.disabled
      const filter = off ? null : factory.create(this)
      this.filters[index] = filter
      if (filter === null) continue
      if (filter.requestData !== undefined || filter.requestTrailers !== undefined) this.requestDataFilters = true
      if (filter.responseData !== undefined || filter.responseTrailers !== undefined) this.responseDataFilters = true
      const end = body.complete && body.bytes === 0 && body.trailers === null
      if (filter.requestHead !== undefined) {
        const status: FilterStatus = filter.requestHead(this, host.request, end)
        if (host.ended || status === 'stop') {
          this.running = false
          this.stoppedAtEnd = end
          // A filter that asked for the body needs it to come.
          if (!host.ended && this.collector === null) host.pauseRequest()
          return
        }
      }
      this.passHeld(index, end)
    }
    this.running = false
    if (host.ended) return
    this.passed = true
    host.requestPassed()
  }

  resume(): void {
    if (!this.host.ended && !this.passed) this.run()
  }

  /** What waited before a filter that has let the head go on: through that filter. `toldEnd`: it knows that nothing follows. */
  private passHeld(index: number, toldEnd: boolean): void {
    const filter = this.filters[index]
    const { body } = this.host
    if (!this.requestDataFilters || toldEnd || filter === null || filter === undefined) return
    const { trailers, complete } = body
    if (filter.requestData !== undefined) {
      const chunks = body.bytes === 0 && complete && trailers === null ? END_ALONE : body.take()
      const last = complete && trailers === null ? chunks.length - 1 : -1
      for (let i = 0; i < chunks.length; i++) {
        const out = filter.requestData(this, chunks[i]!, i === last)
        if (this.host.ended) return
        if (out !== null) body.add(out)
        else if (i === last) body.withheld = true
      }
    }
    if (complete && trailers !== null && filter.requestTrailers !== undefined && filter.requestTrailers(this, trailers) === null)
      body.withheld = true
  }

  /** HOT. Body bytes of the client: through the filters that have let the head go on, then to the router, or into what waits. */
  requestData(chunk: Buffer, end: boolean): void {
    if (this.requestDataFilters) this.passRequestData(0, ownBytes(chunk), end)
    else this.requestDataArrived(chunk, end)
  }

  private passRequestData(from: number, chunk: Buffer, end: boolean): void {
    // The filter that the head waits at is not asked before the head has gone on.
    const to = this.passed ? this.filters.length : this.next - 1
    for (let i = from; i < to; i++) {
      const filter = this.filters[i]
      if (filter?.requestData === undefined) continue
      const out = filter.requestData(this, chunk, end)
      if (this.host.ended) return
      if (out === null) {
        if (end) this.host.body.withheld = true
        return
      }
      chunk = out
    }
    this.requestDataArrived(chunk, end)
  }

  private requestDataArrived(chunk: Buffer, end: boolean): void {
    const { host } = this
    if (this.passed) {
      host.requestDataPassed(chunk, end)
      return
    }
    host.body.add(chunk)
    // Kept within the limit, unless a filter collects it within a limit of its own.
    if (this.collector !== null) this.collect()
    else if (host.body.exceeds(this.bufferLimitBytes))
      host.requestTooLarge(`${this.bufferLimitBytes} bytes (per_connection_buffer_limit_bytes)`)
    if (!end && !host.ended && !this.passed && this.collector === null) host.pauseRequest()
  }

  /** They end the request; `host.body` has them. */
  requestTrailersCame(trailers: HeaderList): void {
    this.passRequestTrailers(0, trailers)
  }

  private passRequestTrailers(from: number, trailers: HeaderList): void {
    const { host } = this
    if (this.requestDataFilters) {
      const to = this.passed ? this.filters.length : this.next - 1
      for (let i = from; i < to; i++) {
        const filter = this.filters[i]
        if (filter?.requestTrailers === undefined) continue
        const out = filter.requestTrailers(this, trailers)
        if (host.ended) return
        if (out === null) {
          host.body.withheld = true
          return
        }
        trailers = out
      }
    }
    host.body.trailers = trailers
    if (this.passed) host.requestTrailersPassed(trailers)
    else if (this.collector !== null) this.collect()
  }

  // ---- RequestControl -------------------------------------------------------------------------------------------------------------

  emitRequestData(filter: StreamFilter, chunk: Buffer, end: boolean): void {
    if (this.host.ended) return
    if (end) this.host.body.withheld = false
    this.passRequestData(this.filters.indexOf(filter) + 1, chunk, end)
  }

  emitRequestTrailers(filter: StreamFilter, trailers: HeaderList): void {
    if (this.host.ended) return
    this.host.body.withheld = false
    this.passRequestTrailers(this.filters.indexOf(filter) + 1, trailers)
  }

  get requestTrailers(): HeaderList | null {
    return this.host.body.trailers
  }

  pauseRequestBody(): void {
    this.requestPauses++
    this.host.pauseRequest()
  }

  unpauseRequestBody(): void {
    if (this.requestPauses > 0 && --this.requestPauses === 0) this.host.resumeRequest()
  }

  /** A filter has more of the request than it wants. */
  get holdsClient(): boolean {
    return this.requestPauses > 0
  }

  bufferRequest(maxBytes: number, allowPartial: boolean, done: (body: Buffer, complete: boolean) => void): void {
    this.collector = { maxBytes, allowPartial, done }
    this.host.resumeRequest()
    this.collect()
  }

  replaceRequestBody(whole: Buffer): void {
    const { body, request } = this.host
    body.clear()
    body.add(whole)
    if (body.trailers !== null) return
    request.contentLength = whole.length
    request.headers.set('content-length', String(whole.length))
  }

  /** The collected body is handed over when it is complete or has passed its limit. */
  private collect(): void {
    const { collector, host } = this
    const { body } = host
    if (collector === null) return
    const over = body.bytes > collector.maxBytes
    if (!body.complete && !over) return
    this.collector = null
    if (over && !collector.allowPartial) {
      host.requestTooLarge(`${collector.maxBytes} bytes`)
      return
    }
    const whole = body.whole()
    if (!body.ended) host.pauseRequest()
    collector.done(over ? whole.subarray(0, collector.maxBytes) : whole, !over && body.complete)
  }

  /** The request has its answer: nobody waits for its body. */
  stopCollecting(): void {
    this.collector = null
  }

  // ---- response: head ---------------------------------------------------------------------------------------------------------

  /** The final head, from upstream or our own: through the filters, then to the client. */
  startResponse(head: ResponseHead, end: boolean): void {
    this.beginResponse(head, end, false)
  }

  private beginResponse(head: ResponseHead, end: boolean, local: boolean): void {
    this.responseHead = head
    this.localResponse = local
    if (local && this.next < this.factories.length) this.addResponseFilters()
    this.responseIndex = this.filters.length - 1
    this.continueResponse(end)
  }

  /** An answer of our own takes the place of what a filter may be holding back. */
  startLocalResponse(head: ResponseHead, body: Buffer): void {
    this.responseStopped = false
    this.responseBuffer = null
    this.heldResponse = NONE
    this.heldResponseBytes = 0
    this.heldResponseTrailers = null
    if (this.replaced) {
      this.host.relayHead(head, body.length === 0)
      if (body.length > 0 && !this.ended) this.host.relayData(body, true)
      return
    }
    this.beginResponse(head, body.length === 0, true)
    if (body.length > 0 && !this.ended) this.responseData(body, true)
  }

  /** An answer by one filter passes those behind it too, where they look at responses alone. */
  private addResponseFilters(): void {
    const { factories } = this
    for (let i = this.next; i < factories.length; i++) {
      const factory = factories[i]!
      const override = this.overrideFor(factory.name)
      const off = override === undefined ? factory.disabled : override.disabled
      const filter = factory.seesLocalReplies === true && !off ? factory.create(this) : null
      this.filters[i] = filter
      if (filter?.responseData !== undefined) this.responseDataFilters = true
    }
    this.next = factories.length
  }

  private continueResponse(end: boolean): void {
    const head = this.responseHead!
    while (this.responseIndex >= 0) {
      const filter = this.filters[this.responseIndex--]
      if (filter?.responseHead === undefined) continue
      const status = filter.responseHead(this, head, end, this.localResponse)
      if (this.ended) return
      if (status === 'stop') {
        this.responseStopped = true
        if (end) {
          this.heldResponseEnd = true
          if (this.responseBuffer !== null) this.completeResponseBuffer()
        }
        return
      }
    }
    this.host.relayHead(head, end)
  }

  resumeResponse(): void {
    if (this.ended || !this.responseStopped) return
    this.responseStopped = false
    const data = this.heldResponse
    const trailers = this.heldResponseTrailers
    const end = this.heldResponseEnd
    this.heldResponse = NONE
    this.heldResponseBytes = 0
    this.heldResponseTrailers = null
    this.continueResponse(end && data.length === 0 && trailers === null)
    // Another filter may have stopped it again: then it waits once more.
    for (let i = 0; i < data.length && !this.ended; i++) this.responseData(data[i]!, end && trailers === null && i === data.length - 1)
    if (trailers !== null && !this.ended) this.responseTrailers(trailers)
    if (!this.ended) this.host.resumeUpstream()
  }

  /** Body bytes while a filter holds the head back. */
  private holdResponse(chunk: Buffer, end: boolean): void {
    this.keepResponse(ownBytes(chunk))
    this.heldResponseBytes += chunk.length
    this.heldResponseEnd = end
    if (this.responseBuffer !== null) this.checkResponseBuffer()
    else if (!end) this.host.pauseUpstream()
  }

  private keepResponse(chunk: Buffer): void {
    if (this.heldResponse === NONE) this.heldResponse = [chunk]
    else this.heldResponse.push(chunk)
  }

  /** What is held for a filter that asked for a body is whole, or too long. */
  private checkResponseBuffer(): void {
    const { maxBytes, allowPartial } = this.responseBuffer!
    const over = this.heldResponseBytes > maxBytes
    if (over && !allowPartial) {
      this.responseBuffer = null
      this.host.responseTooLarge()
    } else if (over || this.heldResponseEnd) this.completeResponseBuffer()
  }

  private holdResponseTrailers(trailers: HeaderList): void {
    this.heldResponseTrailers = trailers
    this.heldResponseEnd = true
    if (this.responseBuffer !== null) this.completeResponseBuffer()
  }

  private completeResponseBuffer(): void {
    const buffer = this.responseBuffer!
    this.responseBuffer = null
    const body = Buffer.concat(this.heldResponse)
    this.heldResponse = NONE
    if (!this.heldResponseEnd) this.host.pauseUpstream()
    const trailers = this.heldResponseTrailers
    this.heldResponseTrailers = null
    const done = buffer.done(body, trailers)
    if (done !== null) this.resumeResponseWith(done.body, done.trailers)
  }

  resumeResponseWith(body: Buffer, trailers: HeaderList | null): void {
    if (body.length > 0) this.heldResponse = [body, ...this.heldResponse]
    if (trailers !== null) this.heldResponseTrailers = trailers
    this.resumeResponse()
  }

  // ---- response: body and trailers --------------------------------------------------------------------------------------------

  /** HOT. Also used by local replies with a body. */
  responseData(chunk: Buffer, end: boolean): void {
    if (this.responseStopped) this.holdResponse(chunk, end)
    else this.sendResponseData(chunk, end)
  }

  responseTrailers(trailers: HeaderList): void {
    if (this.responseStopped) this.holdResponseTrailers(trailers)
    else this.sendResponseTrailers(trailers)
  }

  private sendResponseData(chunk: Buffer, end: boolean): void {
    if (this.responseDataFilters) this.passResponseData(this.filters.length - 1, ownBytes(chunk), end)
    else this.host.relayData(chunk, end)
  }

  /** Through the filters from index `from` towards the client. A filter that keeps the bytes back sends them on itself. */
  private passResponseData(from: number, chunk: Buffer, end: boolean): void {
    for (let i = from; i >= 0; i--) {
      const filter = this.filters[i]
      if (filter?.responseData === undefined) continue
      const out = filter.responseData(this, chunk, end)
      if (this.ended || out === null) return
      chunk = out
    }
    this.host.relayData(chunk, end)
  }

  private sendResponseTrailers(trailers: HeaderList): void {
    this.info.responseTrailers = trailers
    this.passResponseTrailers(this.responseDataFilters ? this.filters.length - 1 : -1, trailers)
  }

  private passResponseTrailers(from: number, trailers: HeaderList): void {
    for (let i = from; i >= 0; i--) {
      const filter = this.filters[i]
      if (filter?.responseTrailers === undefined) continue
      const out = filter.responseTrailers(this, trailers)
      // Null: the filter ends the response itself.
      if (this.ended || out === null) return
      trailers = out
    }
    this.host.relayTrailers(trailers)
  }

  // ---- ResponseControl ----------------------------------------------------------------------------------------------------------

  bufferResponse(maxBytes: number, done: (body: Buffer, trailers: HeaderList | null) => HeldResponse | null, allowPartial = false): void {
    this.responseBuffer = { maxBytes, allowPartial, done }
    // Asked for late, while the head waits: some of the body may be here.
    if (!this.responseStopped) return
    this.checkResponseBuffer()
    if (this.responseBuffer !== null) this.host.resumeUpstream()
  }

  emitResponseData(filter: StreamFilter, chunk: Buffer, end: boolean): void {
    if (this.ended) return
    this.passResponseData(this.filters.indexOf(filter) - 1, chunk, end)
  }

  emitResponseTrailers(filter: StreamFilter, trailers: HeaderList): void {
    if (this.ended) return
    this.passResponseTrailers(this.filters.indexOf(filter) - 1, trailers)
  }

  replaceResponse(status: number, body: string, details: string, headers: HeaderList): void {
    this.replaced = true
    this.host.reply({ status, body, details, flag: 0 }, headers)
  }

  redirect(head: RequestHead, state: object): RedirectOutcome {
    return this.host.redirectTo(head, state)
  }

  pauseResponse(): void {
    this.pauses++
    if (this.pauses === 1) this.host.pauseUpstream()
  }

  /** A filter holds more than it wants of the response. */
  get holdsUpstream(): boolean {
    return this.pauses > 0
  }

  unpauseResponse(): void {
    if (this.pauses > 0 && --this.pauses === 0) this.host.resumeUpstream()
  }

  // ---- end --------------------------------------------------------------------------------------------------------------------

  /** The request is over. */
  finish(): void {
    for (const filter of this.filters) filter?.finished?.(this)
    this.heldResponse = NONE
  }
}

interface ResponseBuffer {
  readonly maxBytes: number
  readonly allowPartial: boolean
  readonly done: (body: Buffer, trailers: HeaderList | null) => HeldResponse | null
}

interface BodyCollector {
  readonly maxBytes: number
  readonly allowPartial: boolean
  readonly done: (body: Buffer, complete: boolean) => void
}
