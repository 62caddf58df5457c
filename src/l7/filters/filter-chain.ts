// The HTTP filters of one request (what Envoy calls its filter manager): made one by one as the request head passes them in config
// order, passed by the response in reverse. Base of Exchange, which comes after the last filter on both ways: onRequestFiltered()
// towards the upstream, relay*() towards the client. Nothing is allocated for a stage without filters.
//
// A filter may stop the request head (resume), the response head (resumeResponse; its body waits in `heldResponse`, the upstream
// paused), or ask for a whole body first (bufferRequest, bufferResponse: bounded by what the filter says).

import type { HttpFilterOverride } from '../../model/http-filter.js'
import type { UpstreamRequest } from '../client/upstream-request.js'
import type { RequestHead, ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { type LocalReply, localReply } from '../reply/local-reply.js'
import type { ClusterChoice, CompiledRoute } from '../route/compiled-route.js'
import type { HttpRuntime } from '../server/http-runtime.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { TimedStream } from '../stream/stream-timers.js'
import type { FilterStatus, StreamFilter } from './http-filter.js'
import type { ResponseControl } from './response-control.js'

export abstract class FilteredStream extends TimedStream implements ResponseControl {
  // What the filters' side looks at; Exchange keeps it.
  abstract readonly runtime: HttpRuntime
  abstract readonly request: RequestHead
  abstract readonly info: StreamInfo
  abstract route: CompiledRoute | null
  abstract choice: ClusterChoice | null
  abstract upstream: UpstreamRequest | null
  abstract requestEnded: boolean
  abstract requestTrailers: HeaderList | null
  abstract held: Buffer[]
  abstract heldBytes: number
  abstract ended: boolean

  private filters: (StreamFilter | null)[] = []
  private filterIndex = 0
  /** The last filter has let the request pass: its body goes through the filters as it comes. */
  protected filtersDone = false
  private filtersRunning = false
  /** Some filter looks at the request's body or trailers. */
  protected dataFilters = false
  /** Some filter looks at the response's body or trailers. */
  private responseDataFilters = false
  private responseFilterIndex = -1
  /** A filter holds the response back: what follows its head waits in `heldResponse`. */
  protected responseStopped = false
  private heldResponse: Buffer[] = []
  private heldResponseBytes = 0
  private responseBuffer: ResponseBuffer | null = null
  protected filterPauses = 0
  private heldResponseEnd = false
  private heldResponseTrailers: HeaderList | null = null
  private localResponse = false
  private responseHead: ResponseHead | null = null
  protected bodyCollector: BodyCollector | null = null

  abstract clearRouteCache(): void
  abstract sendReply(status: number, body: string, details: string, flags: number, headers?: HeaderList | null): void
  abstract reply(reply: LocalReply): void
  protected abstract pauseRequest(): void
  protected abstract resumeRequest(): void
  protected abstract onRequestFiltered(): void
  protected abstract relayHead(head: ResponseHead, end: boolean): void
  protected abstract relayData(chunk: Buffer, end: boolean): void
  protected abstract relayTrailers(trailers: HeaderList): void

  // ---- request --------------------------------------------------------------------------------------------------------------

  /** Run the filters' request hooks, then the router. Re-entered by resume(). */
  runFilters(): void {
    if (this.filtersRunning) return
    this.filtersRunning = true
    const { filters } = this.runtime
    while (this.filterIndex < filters.length) {
      const factory = filters[this.filterIndex]!
      const index = this.filterIndex++
      const override = this.overrideFor(factory.name)
      if (override === undefined ? factory.disabled : override.disabled) {
        this.filters.push(null)
        continue
      }
      const filter = factory.create(this)
      this.filters[index] = filter
      if (filter === null) continue
      if (filter.requestData !== undefined || filter.requestTrailers !== undefined) this.dataFilters = true
      if (filter.responseData !== undefined || filter.responseTrailers !== undefined) this.responseDataFilters = true
      if (filter.requestHead === undefined) continue
      const status: FilterStatus = filter.requestHead(this, this.request, this.requestEnded && this.heldBytes === 0)
      if (this.ended) {
        this.filtersRunning = false
        return
      }
      if (status === 'stop') {
        this.filtersRunning = false
        // A filter that asked for the body needs it to come.
        if (this.bodyCollector === null) this.pauseRequest()
        return
      }
    }
    this.filtersRunning = false
    this.filtersDone = true
    if (this.dataFilters && this.held.length > 0) this.filterHeld()
    if (!this.ended) this.onRequestFiltered()
  }

  resume(): void {
    if (this.ended || this.filtersDone) return
    if (this.filtersRunning) return
    this.runFilters()
  }

  overrideFor(filterName: string): HttpFilterOverride | undefined {
    const { route, choice } = this
    if (route === null) return undefined
    const weighted = choice === null ? null : choice.weighted
    if (weighted !== null && weighted.overrides.size > 0) {
      const override = weighted.overrides.get(filterName)
      if (override !== undefined) return override
    }
    return route.hasOverrides ? route.overrideFor(filterName) : undefined
  }

  /** Body bytes that came while a filter was thinking have not been through the filters yet. */
  private filterHeld(): void {
    const held = this.held
    const last = this.requestEnded && this.requestTrailers === null ? held.length - 1 : -1
    this.heldBytes = 0
    for (let i = 0; i < held.length; i++) {
      const chunk = this.passRequestData(held[i]!, i === last)
      held[i] = chunk
      this.heldBytes += chunk.length
      if (this.ended) return
    }
  }

  /** HOT. */
  protected passRequestData(chunk: Buffer, end: boolean): Buffer {
    for (const filter of this.filters) if (filter?.requestData !== undefined) chunk = filter.requestData(this, chunk, end)
    return chunk
  }

  protected passRequestTrailers(trailers: HeaderList): void {
    for (const filter of this.filters) filter?.requestTrailers?.(this, trailers)
  }

  bufferRequest(maxBytes: number, allowPartial: boolean, done: (body: Buffer, complete: boolean) => void): void {
    this.bodyCollector = { maxBytes, allowPartial, done }
    this.resumeRequest()
    this.collect()
  }

  /** The collected body is handed over when it is complete or has passed its limit. */
  protected collect(): void {
    const collector = this.bodyCollector
    if (collector === null) return
    const over = this.heldBytes > collector.maxBytes
    if (!this.requestEnded && !over) return
    this.bodyCollector = null
    if (over && !collector.allowPartial) {
      this.runtime.stats.downstream_rq_too_large.value++
      this.reply(localReply('payload-too-large', `the limit is ${collector.maxBytes} bytes`))
      return
    }
    const body = this.held.length === 1 ? this.held[0]! : Buffer.concat(this.held)
    if (!this.requestEnded) this.pauseRequest()
    collector.done(over ? body.subarray(0, collector.maxBytes) : body, !over && this.requestEnded)
  }

  // ---- response: head ---------------------------------------------------------------------------------------------------------

  /** The final head, from upstream or our own: through the filters, then to the client. */
  protected startResponse(head: ResponseHead, end: boolean, local: boolean): void {
    this.responseHead = head
    this.localResponse = local
    if (local && this.filterIndex < this.runtime.filters.length) this.addResponseFilters()
    this.responseFilterIndex = this.filters.length - 1
    this.info.response = head
    this.info.responseCode = head.status
    this.continueResponse(end)
  }

  /** An answer of our own takes the place of what a filter may be holding back. */
  protected startLocalResponse(head: ResponseHead, body: Buffer): void {
    this.responseStopped = false
    this.responseBuffer = null
    this.heldResponse = []
    this.heldResponseBytes = 0
    this.heldResponseTrailers = null
    this.startResponse(head, body.length === 0, true)
    if (!this.ended && body.length > 0 && !this.responseStopped) this.sendResponseData(body, true)
    else if (this.responseStopped && body.length > 0) this.holdResponse(body, true)
  }

  /** An answer by one filter passes those behind it too, where they look at responses alone. */
  private addResponseFilters(): void {
    const { filters } = this.runtime
    for (let i = this.filterIndex; i < filters.length; i++) {
      const factory = filters[i]!
      const override = this.overrideFor(factory.name)
      const off = override === undefined ? factory.disabled : override.disabled
      const filter = factory.seesLocalReplies === true && !off ? factory.create(this) : null
      this.filters[i] = filter
      if (filter?.responseData !== undefined) this.responseDataFilters = true
    }
    this.filterIndex = filters.length
  }

  private continueResponse(end: boolean): void {
    const head = this.responseHead!
    while (this.responseFilterIndex >= 0) {
      const filter = this.filters[this.responseFilterIndex--]
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
    this.relayHead(head, end)
  }

  resumeResponse(): void {
    if (this.ended || !this.responseStopped) return
    this.responseStopped = false
    const data = this.heldResponse
    const trailers = this.heldResponseTrailers
    const end = this.heldResponseEnd
    this.heldResponse = []
    this.continueResponse(end && data.length === 0 && trailers === null)
    for (let i = 0; i < data.length && !this.ended; i++) this.sendResponseData(data[i]!, end && trailers === null && i === data.length - 1)
    if (trailers !== null && !this.ended) this.sendResponseTrailers(trailers)
    if (!this.ended) this.upstream?.stream?.resume()
  }

  /** Body bytes while a filter holds the head back. */
  protected holdResponse(chunk: Buffer, end: boolean): void {
    this.heldResponse.push(chunk)
    this.heldResponseBytes += chunk.length
    this.heldResponseEnd = end
    const buffer = this.responseBuffer
    if (buffer === null) {
      if (!end) this.upstream?.stream?.pause()
    } else if (this.heldResponseBytes > buffer.maxBytes) {
      this.runtime.stats.rs_too_large.value++
      this.responseBuffer = null
      this.reply(localReply('response-payload-too-large', ''))
    } else if (end) this.completeResponseBuffer()
  }

  protected holdResponseTrailers(trailers: HeaderList): void {
    this.heldResponseTrailers = trailers
    this.heldResponseEnd = true
    if (this.responseBuffer !== null) this.completeResponseBuffer()
  }

  private completeResponseBuffer(): void {
    const buffer = this.responseBuffer!
    this.responseBuffer = null
    const { body, trailers } = buffer.done(Buffer.concat(this.heldResponse), this.heldResponseTrailers)
    this.heldResponse = body.length === 0 ? [] : [body]
    this.heldResponseTrailers = trailers
    this.heldResponseEnd = true
    this.resumeResponse()
  }

  // ---- response: body and trailers --------------------------------------------------------------------------------------------

  /** HOT. Also used by local replies with a body. */
  protected sendResponseData(chunk: Buffer, end: boolean): void {
    if (this.responseDataFilters) this.passResponseData(this.filters.length - 1, chunk, end)
    else this.relayData(chunk, end)
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
    this.relayData(chunk, end)
  }

  protected sendResponseTrailers(trailers: HeaderList): void {
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
    this.relayTrailers(trailers)
  }

  // ---- ResponseControl ----------------------------------------------------------------------------------------------------------

  bufferResponse(
    maxBytes: number,
    done: (body: Buffer, trailers: HeaderList | null) => { readonly body: Buffer; readonly trailers: HeaderList | null },
  ): void {
    this.responseBuffer = { maxBytes, done }
  }

  emitResponseData(filter: StreamFilter, chunk: Buffer, end: boolean): void {
    if (this.ended) return
    this.passResponseData(this.filters.indexOf(filter) - 1, chunk, end)
  }

  emitResponseTrailers(filter: StreamFilter, trailers: HeaderList): void {
    if (this.ended) return
    this.passResponseTrailers(this.filters.indexOf(filter) - 1, trailers)
  }

  pauseResponse(): void {
    this.filterPauses++
    if (this.filterPauses === 1) this.upstream?.stream?.pause()
  }

  unpauseResponse(): void {
    if (this.filterPauses > 0 && --this.filterPauses === 0) this.upstream?.stream?.resume()
  }

  // ---- end --------------------------------------------------------------------------------------------------------------------

  protected finishFilters(): void {
    for (const filter of this.filters) filter?.finished?.(this)
    this.heldResponse = []
  }
}

interface ResponseBuffer {
  readonly maxBytes: number
  readonly done: (body: Buffer, trailers: HeaderList | null) => { readonly body: Buffer; readonly trailers: HeaderList | null }
}

interface BodyCollector {
  readonly maxBytes: number
  readonly allowPartial: boolean
  readonly done: (body: Buffer, complete: boolean) => void
}
