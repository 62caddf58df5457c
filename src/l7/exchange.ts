// One request and its response on a downstream stream: the state that the steps of request-path.ts work on, and the relay between
// the two sides. Made by the downstream connection for each request; it ends exactly once, in finish().
//
// Body bytes that come before the upstream is open, or may be needed for another try, wait in `held` (bounded by the buffer limit:
// the downstream stream is paused while nobody takes them).

import { performance } from 'node:perf_hooks'
import type { HttpFilterOverride } from '../model/http-filter.js'
import type { UpstreamCluster } from '../upstream/cluster.js'
import type { BodyEvents, RequestHead, ResponseHead, ServerStream, StreamReset } from './codec/codec.js'
import type { HeaderList } from './codec/header-list.js'
import type { ClusterChoice, CompiledForward, CompiledRoute } from './compiled-route.js'
import type { DownstreamConnection } from './downstream-connection.js'
import type { ResponseControl } from './filters/response-control.js'
import { finishStats } from './finish.js'
import type { FilterStatus, StreamFilter } from './http-filter.js'
import type { HttpRuntime } from './http-runtime.js'
import type { LocalReply } from './local-reply.js'
import { type LocalReplyCode, localReply } from './local-reply.js'
import { prepareLocalReply } from './local-reply-response.js'
import type { Mirror } from './mirror.js'
import { forwardRequest, matchRoute } from './request-path.js'
import { ResponseFlag } from './response-flags.js'
import { finishResponseHead } from './response-headers.js'
import type { RetryState } from './retry-state.js'
import { StreamInfo } from './stream-info.js'
import type { StreamTimerKind } from './stream-timer.js'
import { TimedStream } from './timed-stream.js'
import { onUpstreamFailure, wantsRetryOnHead } from './upstream-outcome.js'
import type { UpstreamFailure, UpstreamRequest, UpstreamRequestOwner } from './upstream-request.js'

const EMPTY = Buffer.alloc(0)

export class Exchange extends TimedStream implements BodyEvents, ResponseControl, UpstreamRequestOwner {
  readonly runtime: HttpRuntime
  readonly connection: DownstreamConnection
  readonly stream: ServerStream
  readonly request: RequestHead
  readonly info: StreamInfo
  route: CompiledRoute | null = null
  /** Why there is no route: for the local reply. */
  noRoute: LocalReplyCode = 'route-not-found'
  forward: CompiledForward | null = null
  choice: ClusterChoice | null = null
  cluster: UpstreamCluster | null = null
  retry: RetryState | null = null
  /** The try that the response comes from, or the newest one. */
  upstream: UpstreamRequest | null = null
  /** All tries that still run (more than one only when hedging). */
  readonly attempts: UpstreamRequest[] = []
  requestEnded: boolean
  requestTrailers: HeaderList | null = null
  headSent = false
  ended = false
  /** An upgrade or CONNECT has become a tunnel. */
  tunnel = false
  private upstreamEnded = false
  hashCookie: string | null = null
  /** Tries made without the retry policy, for requests that no server can have seen. */
  freeRetries = 0
  readonly mirrors: Mirror[] = []
  /** By content type; filters (grpc_web, the bridge) may turn a request into one. */
  isGrpc: boolean

  held: Buffer[] = []
  heldBytes = 0
  /** `held` still has every byte of the body so far, so that another try can send it again. */
  replayable = true
  private pausedForUpstream = false
  private filters: (StreamFilter | null)[] = []
  private filterIndex = 0
  private filtersDone = false
  private filtersRunning = false
  private dataFilters = false
  private responseDataFilters = false
  private responseFilterIndex = -1
  private responseStopped = false
  private heldResponse: Buffer[] = []
  private heldResponseBytes = 0
  private responseBuffer: ResponseBuffer | null = null
  private filterPauses = 0
  private heldResponseEnd = false
  private heldResponseTrailers: HeaderList | null = null
  private localResponse = false
  private responseHead: ResponseHead | null = null
  private bodyCollector: BodyCollector | null = null

  constructor(
    runtime: HttpRuntime,
    connection: DownstreamConnection,
    stream: ServerStream,
    request: RequestHead,
    end: boolean,
    isGrpc: boolean,
  ) {
    super()
    this.runtime = runtime
    this.connection = connection
    this.stream = stream
    this.request = request
    // A tunnel to be: what follows the head is its first direction, which has not ended.
    this.requestEnded = end && request.upgrade === '' && request.method !== 'CONNECT'
    this.isGrpc = isGrpc
    this.info = new StreamInfo(connection.info, Date.now(), performance.now())
    this.info.request = request
    if (end) this.info.requestReceivedAt = this.info.startedAt
  }

  // ---- timers -------------------------------------------------------------------------------------------------------------

  armStreamTimers(): void {
    const { upgrade, method } = this.request
    this.startTimers(this.runtime.config, !this.requestEnded && upgrade === '' && method !== 'CONNECT')
  }

  /** How long the whole stream may last; replaces the connection manager's limit. 0: no limit. */
  setMaxDuration(ms: number): void {
    this.limitDuration(ms, this.info.startedAt)
  }

  onStreamTimer(kind: StreamTimerKind): void {
    if (this.ended) return
    const { stats } = this.runtime
    switch (kind) {
      case 'idle':
        stats.downstream_rq_idle_timeout.value++
        if (this.headSent) this.abort(ResponseFlag.StreamIdleTimeout, 'stream_idle_timeout')
        else this.reply({ ...localReply('stream-idle-timeout', ''), ...(this.requestEnded ? null : { status: 408 }) })
        return
      case 'request':
        stats.downstream_rq_timeout.value++
        if (this.headSent) this.abort(0, 'request_overall_timeout')
        else this.reply(localReply('request-timeout', ''))
        return
      case 'max-duration':
        stats.downstream_rq_max_duration_reached.value++
        if (this.headSent) this.abort(0, 'max_duration_timeout')
        // Envoy Utility::maybeRequestTimeoutCode: whose fault it is depends on whether the request is all here.
        else this.reply({ ...localReply('max-duration', ''), ...(this.requestEnded ? { status: 504 } : null) })
        return
      case 'upstream-max-duration':
        if (this.cluster !== null) this.cluster.traffic.main.upstream_rq_max_duration_reached.value++
        if (this.headSent) this.abort(ResponseFlag.UpstreamMaxStreamDurationReached, 'upstream_max_stream_duration_reached')
        else this.reply(localReply('upstream-max-stream-duration', ''))
        return
      case 'route':
        if (this.cluster !== null) this.cluster.traffic.main.upstream_rq_timeout.value++
        for (const attempt of this.attempts) {
          attempt.host.stats.rqTimeout++
          if (!attempt.responseStarted) attempt.host.cluster.recordTimeout(attempt.host)
        }
        if (this.headSent) this.abort(ResponseFlag.UpstreamRequestTimeout, 'response_timeout')
        else this.reply(localReply('upstream-request-timeout', ''))
    }
  }

  // ---- request: filters, body -----------------------------------------------------------------------------------------------

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
    if (!this.ended) forwardRequest(this)
  }

  /** Body bytes that came while a filter was thinking have not been through the filters yet. */
  private filterHeld(): void {
    const held = this.held
    const last = this.requestEnded && this.requestTrailers === null ? held.length - 1 : -1
    this.heldBytes = 0
    for (let i = 0; i < held.length; i++) {
      let chunk = held[i]!
      for (const filter of this.filters) if (filter?.requestData !== undefined) chunk = filter.requestData(this, chunk, i === last)
      held[i] = chunk
      this.heldBytes += chunk.length
      if (this.ended) return
    }
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

  clearRouteCache(): void {
    matchRoute(this)
  }

  bufferRequest(maxBytes: number, allowPartial: boolean, done: (body: Buffer, complete: boolean) => void): void {
    this.bodyCollector = { maxBytes, allowPartial, done }
    this.resumeRequest()
    this.collect()
  }

  /** The collected body is handed over when it is complete or has passed its limit. */
  private collect(): void {
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

  private pauseRequest(): void {
    if (!this.pausedForUpstream && !this.requestEnded) {
      this.pausedForUpstream = true
      this.stream.pause()
    }
  }

  resumeRequest(): void {
    if (this.pausedForUpstream) {
      this.pausedForUpstream = false
      this.stream.resume()
    }
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.ended) return
    this.info.bytesReceived += chunk.length
    this.touch()
    if (end) this.endOfRequest()
    if (this.dataFilters && this.filtersDone) {
      for (const filter of this.filters) if (filter?.requestData !== undefined) chunk = filter.requestData(this, chunk, end)
    }
    this.sendBody(chunk, end)
  }

  onTrailers(trailers: HeaderList): void {
    if (this.ended) return
    this.touch()
    this.endOfRequest()
    this.requestTrailers = trailers
    if (this.dataFilters) for (const filter of this.filters) filter?.requestTrailers?.(this, trailers)
    if (this.bodyCollector !== null) this.collect()
    const upstream = this.upstream
    if (upstream?.stream && !upstream.done) {
      upstream.requestSent = true
      upstream.stream.sendTrailers(trailers)
    }
    this.afterRequestEnd()
  }

  private endOfRequest(): void {
    this.requestEnded = true
    this.info.requestReceivedAt = performance.now()
    this.dropRequestTimer()
  }

  /** The route timeout runs from the end of the request (Envoy: route timeout starts when the downstream end of stream is seen). */
  private afterRequestEnd(): void {
    if (this.upstream !== null && !this.tunnel) this.armRouteTimer()
    if (this.mirrors.length > 0) this.sendMirrors()
  }

  sendMirrors(): void {
    const body = this.replayable ? (this.held.length === 1 ? this.held[0]! : Buffer.concat(this.held)) : null
    for (const mirror of this.mirrors.splice(0)) mirror.send(body)
  }

  private sendBody(chunk: Buffer, end: boolean): void {
    const upstream = this.upstream
    const open = upstream !== null && upstream.stream !== null && !upstream.done && upstream.headSent
    if (!open || this.replayable) this.hold(chunk)
    if (this.bodyCollector !== null) this.collect()
    if (this.ended) return
    if (!open) {
      if (!end && this.bodyCollector === null) this.pauseRequest()
      if (end) this.afterRequestEnd()
      return
    }
    const stream = upstream.stream!
    if (end) upstream.requestSent = true
    this.info.upstreamBytesSent += chunk.length
    if (this.attempts.length > 1) {
      for (const attempt of this.attempts)
        if (attempt !== upstream && attempt.headSent && attempt.stream !== null) attempt.stream.sendData(chunk, end)
    }
    if (!stream.sendData(chunk, end) && !end) this.pauseRequest()
    if (end) {
      if (this.tunnel) this.tunnelSideEnded()
      else this.afterRequestEnd()
    }
  }

  private hold(chunk: Buffer): void {
    if (chunk.length === 0 || !this.replayable) return
    const limit =
      this.retry !== null || this.mirrors.length > 0 || this.upstream === null || this.bodyCollector !== null
        ? this.runtime.bufferLimitBytes
        : MAX_REPLAY_BYTES
    const opened = this.upstream?.headSent === true
    if (opened && this.heldBytes + chunk.length > limit) {
      // Too long to be sent again: from here on a failure is final (Envoy: retry_or_shadow_abandoned).
      this.replayable = false
      this.held = []
      this.heldBytes = 0
      if (this.retry !== null && this.cluster !== null) this.cluster.traffic.main.retry_or_shadow_abandoned.value++
      return
    }
    this.held.push(chunk)
    this.heldBytes += chunk.length
    if (!opened && this.heldBytes > this.runtime.bufferLimitBytes + HELD_SLACK_BYTES && this.bodyCollector === null) {
      this.runtime.stats.downstream_rq_too_large.value++
      this.reply(localReply('payload-too-large', `the limit is ${this.runtime.bufferLimitBytes} bytes (per_connection_buffer_limit_bytes)`))
    }
  }

  // ---- upstream -> downstream -----------------------------------------------------------------------------------------------

  /** HOT. The head, then what is held of the body, goes out on a fresh stream. */
  onUpstreamReady(upstream: UpstreamRequest): void {
    const stream = upstream.stream!
    const { info } = this
    info.firstUpstreamByteSentAt = performance.now()
    info.upstreamHost = upstream.host
    info.upstreamLocalAddress = upstream.connection!.localAddress
    info.useConnection(upstream.connection!, upstream.startedAt)
    info.upstreamProtocol = upstream.connection!.protocol === 'http2' ? 'HTTP/2' : 'HTTP/1.1'
    const bodiless = this.requestEnded && this.heldBytes === 0 && this.requestTrailers === null
    upstream.headSent = true
    if (bodiless) {
      upstream.requestSent = true
      stream.sendHead(this.request, true)
    } else {
      stream.sendHead(this.request, false)
      this.sendHeld(upstream)
    }
    if (this.requestEnded) this.armRouteTimer()
    this.resumeRequest()
  }

  private sendHeld(upstream: UpstreamRequest): void {
    const stream = upstream.stream!
    const last = this.held.length - 1
    const endWithData = this.requestEnded && this.requestTrailers === null
    for (let i = 0; i <= last && !upstream.done; i++) stream.sendData(this.held[i]!, endWithData && i === last)
    if (upstream.done) return
    this.info.upstreamBytesSent += this.heldBytes
    if (this.requestEnded) {
      upstream.requestSent = true
      if (this.requestTrailers !== null) stream.sendTrailers(this.requestTrailers)
      else if (last === -1) stream.sendData(EMPTY, true)
    } else if (this.heldBytes > MAX_REPLAY_BYTES && this.retry === null && this.mirrors.length === 0) {
      this.replayable = false
      this.held = []
      this.heldBytes = 0
    }
  }

  onUpstreamDrain(upstream: UpstreamRequest): void {
    if (upstream === this.upstream) this.resumeRequest()
  }

  onUpstreamInformational(_upstream: UpstreamRequest, head: ResponseHead): void {
    if (this.ended || this.headSent) return
    // 100 was answered here already unless proxy_100_continue is on; the others travel on.
    if (head.status === 100 && !this.runtime.config.proxy100Continue) return
    this.stream.sendInformational(head)
  }

  /** HOT. */
  onUpstreamHead(upstream: UpstreamRequest, head: ResponseHead, end: boolean): void {
    if (this.ended) return
    if (this.headSent) {
      upstream.cancel()
      return
    }
    this.touch()
    const { info } = this
    info.firstUpstreamByteReceivedAt = performance.now()
    if (wantsRetryOnHead(this, upstream, head, end)) return
    this.upstream = upstream
    if (this.attempts.length > 1) this.cancelOthers(upstream)
    if (head.upgraded) {
      this.tunnel = true
      this.dropRouteTimer()
    }
    this.startResponse(head, end, false)
  }

  /** The final head, from upstream or our own: through the filters, then to the client. */
  startResponse(head: ResponseHead, end: boolean, local: boolean): void {
    this.responseHead = head
    this.localResponse = local
    if (local && this.filterIndex < this.runtime.filters.length) this.addResponseFilters()
    this.responseFilterIndex = this.filters.length - 1
    this.info.response = head
    this.info.responseCode = head.status
    this.continueResponse(end)
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
    finishResponseHead(this, head)
    this.headSent = true
    this.info.responseCode = head.status
    this.info.firstDownstreamByteSentAt = performance.now()
    this.stream.sendHead(head, end)
    if (end) this.finish()
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

  onUpstreamData(upstream: UpstreamRequest, chunk: Buffer, end: boolean): void {
    if (this.ended || upstream !== this.upstream) return
    this.info.upstreamBytesReceived += chunk.length
    this.touch()
    if (this.responseStopped) {
      this.holdResponse(chunk, end)
      return
    }
    this.sendResponseData(chunk, end)
  }

  /** Body bytes while a filter holds the head back. */
  private holdResponse(chunk: Buffer, end: boolean): void {
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

  // ---- ResponseControl ----------------------------------------------------------------------------------------------------------

  bufferResponse(
    maxBytes: number,
    done: (body: Buffer, trailers: HeaderList | null) => { readonly body: Buffer; readonly trailers: HeaderList | null },
  ): void {
    this.responseBuffer = { maxBytes, done }
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

  /** HOT. Also used by local replies with a body. */
  sendResponseData(chunk: Buffer, end: boolean): void {
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

  relayData(chunk: Buffer, end: boolean): void {
    this.info.bytesSent += chunk.length
    const ok = this.stream.sendData(chunk, end)
    if (end) {
      this.upstreamEnded = true
      if (this.tunnel) this.tunnelSideEnded()
      else this.finish()
    } else if (!ok) this.upstream?.stream?.pause()
  }

  onUpstreamTrailers(upstream: UpstreamRequest, trailers: HeaderList): void {
    if (this.ended || upstream !== this.upstream) return
    if (this.responseStopped) {
      this.heldResponseTrailers = trailers
      this.heldResponseEnd = true
      if (this.responseBuffer !== null) this.completeResponseBuffer()
      return
    }
    this.sendResponseTrailers(trailers)
  }

  sendResponseTrailers(trailers: HeaderList): void {
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
    this.stream.sendTrailers(trailers)
    this.finish()
  }

  /** One direction of a tunnel has ended; the other may still flow. */
  private tunnelSideEnded(): void {
    if (!this.requestEnded || !this.upstreamEnded) return
    // Both codecs close by themselves once their last bytes are out; a reset here could cut those off.
    for (const attempt of this.attempts.splice(0)) attempt.release()
    this.finish()
  }

  onUpstreamFailure(upstream: UpstreamRequest, failure: UpstreamFailure): void {
    if (this.ended) return
    onUpstreamFailure(this, upstream, failure)
  }

  cancelOthers(keep: UpstreamRequest | null): void {
    for (const attempt of this.attempts.splice(0)) {
      if (attempt === keep) this.attempts.push(attempt)
      else attempt.cancel()
    }
  }

  // ---- downstream events ----------------------------------------------------------------------------------------------------

  onDrain(): void {
    if (!this.ended && this.filterPauses === 0) this.upstream?.stream?.resume()
  }

  /** The client went away or broke the protocol. */
  onReset(reset: StreamReset): void {
    if (this.ended) return
    const { info, runtime } = this
    if (reset.code === 'remote-reset') {
      runtime.stats.downstream_rq_rx_reset.value++
      info.responseFlags |= ResponseFlag.DownstreamRemoteReset
      info.responseCodeDetails = 'http2.remote_reset'
    } else if (reset.code === 'protocol-error' || reset.code === 'overflow') {
      info.responseFlags |= ResponseFlag.DownstreamProtocolError
      info.responseCodeDetails = reset.details
    } else {
      info.responseFlags |= ResponseFlag.DownstreamConnectionTermination
      info.responseCodeDetails = 'downstream_remote_disconnect'
    }
    this.finish()
  }

  // ---- endings --------------------------------------------------------------------------------------------------------------

  sendReply(status: number, body: string, details: string, flags: number, headers: HeaderList | null = null): void {
    this.reply({ status, body, details, flag: flags }, headers)
  }

  /** Answer from here: every failure of the request path leaves through this. */
  reply(reply: LocalReply, headers: HeaderList | null = null): void {
    if (this.ended) return
    this.cancelOthers(null)
    this.upstream = null
    this.bodyCollector = null
    this.info.responseFlags |= reply.flag
    this.info.responseCodeDetails = reply.details
    if (this.headSent) {
      this.abort(reply.flag, reply.details)
      return
    }
    const { head, body } = prepareLocalReply(this, reply, headers)
    if (!this.requestEnded && this.request.contentLength !== 0) this.stream.closeAfter()
    this.responseStopped = false
    this.responseBuffer = null
    this.heldResponse = []
    this.heldResponseBytes = 0
    this.heldResponseTrailers = null
    this.startResponse(head, body.length === 0, true)
    if (!this.ended && body.length > 0 && !this.responseStopped) this.sendResponseData(body, true)
    else if (this.responseStopped && body.length > 0) this.holdResponse(body, true)
  }

  /** The response has begun and cannot be finished: the client must see a broken message, never a false end. */
  abort(flag: number, details: string): void {
    if (this.ended) return
    this.info.responseFlags |= flag
    if (details !== '') this.info.responseCodeDetails = details
    this.runtime.stats.downstream_rq_tx_reset.value++
    this.stream.reset('internal-error')
    this.finish()
  }

  finish(): void {
    if (this.ended) return
    this.ended = true
    this.info.endedAt = performance.now()
    this.releaseTimers()
    this.retry?.release()
    this.cancelOthers(null)
    for (const filter of this.filters) filter?.finished?.(this)
    for (const mirror of this.mirrors.splice(0)) mirror.end()
    // HTTP/2: the rest of a body that nobody reads is called off once the response is out (RFC 9113 §8.1).
    if (this.headSent && !this.requestEnded && this.stream.version === 'HTTP/2') this.stream.reset('no-error')
    this.held = []
    this.heldResponse = []
    finishStats(this)
    this.connection.onExchangeEnd(this)
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

/** Bodies up to this are kept for another try even without a retry policy (refused streams, the keep-alive race). */
const MAX_REPLAY_BYTES = 64 * 1024
/** One read may arrive after the stream was paused. */
const HELD_SLACK_BYTES = 256 * 1024
