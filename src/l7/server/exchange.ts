// One request and its response on a downstream stream: the state that the steps of request-path.ts work on, and the relay between
// the two sides. Made by the downstream connection for each request; it ends exactly once, in finish(). Read it forwards: request
// body, upstream -> downstream, downstream events, endings. The filters stand between (FilteredStream), the timers below them
// (TimedStream).
//
// Body bytes that come before the upstream is open, or may be needed for another try, wait in `held` (bounded by the buffer limit:
// the downstream stream is paused while nobody takes them).

import { performance } from 'node:perf_hooks'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { UpstreamFailure, UpstreamRequest, UpstreamRequestOwner } from '../client/upstream-request.js'
import type { BodyEvents, RequestHead, ResponseHead, ServerStream, StreamReset } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { FilteredStream } from '../filters/filter-chain.js'
import type { LocalReply } from '../reply/local-reply.js'
import { type LocalReplyCode, localReply } from '../reply/local-reply.js'
import { prepareLocalReply } from '../reply/local-reply-response.js'
import type { ClusterChoice, CompiledForward, CompiledRoute } from '../route/compiled-route.js'
import { followsRedirect, type RedirectTrail } from '../router/internal-redirect.js'
import type { Mirror } from '../router/mirror.js'
import type { RetryState } from '../router/retry-state.js'
import { onUpstreamFailure, wantsRetryOnHead } from '../router/upstream-outcome.js'
import { ResponseFlag } from '../stream/response-flags.js'
import { StreamInfo } from '../stream/stream-info.js'
import type { StreamTimerKind } from '../stream/stream-timer.js'
import type { DownstreamConnection } from './downstream-connection.js'
import { finishStats } from './finish.js'
import type { HttpRuntime } from './http-runtime.js'
import { forwardRequest, matchRoute } from './request-path.js'
import { finishResponseHead } from './response-headers.js'
import { onStreamTimeout } from './stream-timeout.js'

const EMPTY = Buffer.alloc(0)

export class Exchange extends FilteredStream implements BodyEvents, UpstreamRequestOwner {
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
  /** Redirects followed before this request, once a route follows them. */
  redirects: RedirectTrail | null = null
  /** By content type; filters (grpc_web, the bridge) may turn a request into one. */
  isGrpc: boolean

  held: Buffer[] = []
  heldBytes = 0
  /** `held` still has every byte of the body so far, so that another try can send it again. */
  replayable = true
  private pausedForUpstream = false

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

  /** This request follows a redirect that the other one was answered with: it has its whole body already. */
  succeed(previous: Exchange, dropBody: boolean): void {
    const { info } = this
    this.redirects = previous.redirects
    info.requestId = previous.info.requestId
    info.remoteAddress = previous.info.remoteAddress
    if (dropBody) return
    this.held = previous.held
    this.heldBytes = previous.heldBytes
    info.bytesReceived = previous.heldBytes
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
    if (!this.ended) onStreamTimeout(this, kind)
  }

  // ---- request: body --------------------------------------------------------------------------------------------------------

  clearRouteCache(): void {
    matchRoute(this)
  }

  /** The router. */
  protected onRequestFiltered(): void {
    forwardRequest(this)
  }

  protected pauseRequest(): void {
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
    this.sendBody(this.dataFilters && this.filtersDone ? this.passRequestData(chunk, end) : chunk, end)
  }

  onTrailers(trailers: HeaderList): void {
    if (this.ended) return
    this.touch()
    this.endOfRequest()
    this.requestTrailers = trailers
    if (this.dataFilters) this.passRequestTrailers(trailers)
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

  /** The body may have to be sent again. */
  private get keepsBody(): boolean {
    return this.retry !== null || (this.forward !== null && this.forward.model.internalRedirect !== null)
  }

  private hold(chunk: Buffer): void {
    if (chunk.length === 0 || !this.replayable) return
    const limit =
      this.keepsBody || this.mirrors.length > 0 || this.upstream === null || this.bodyCollector !== null
        ? this.runtime.bufferLimitBytes
        : MAX_REPLAY_BYTES
    const opened = this.upstream?.headSent === true
    if (opened && this.heldBytes + chunk.length > limit) {
      // Too long to be sent again: from here on a failure is final (Envoy: retry_or_shadow_abandoned).
      this.replayable = false
      this.held = []
      this.heldBytes = 0
      if (this.keepsBody && this.cluster !== null) this.cluster.traffic.main.retry_or_shadow_abandoned.value++
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
    } else if (this.heldBytes > MAX_REPLAY_BYTES && !this.keepsBody && this.mirrors.length === 0) {
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
    if (head.status >= 300 && head.status < 400 && followsRedirect(this, upstream, head)) return
    this.upstream = upstream
    if (this.attempts.length > 1) this.cancelOthers(upstream)
    if (head.upgraded) {
      this.tunnel = true
      this.dropRouteTimer()
    }
    this.startResponse(head, end, false)
  }

  onUpstreamData(upstream: UpstreamRequest, chunk: Buffer, end: boolean): void {
    if (this.ended || upstream !== this.upstream) return
    this.info.upstreamBytesReceived += chunk.length
    this.touch()
    if (this.responseStopped) this.holdResponse(chunk, end)
    else this.sendResponseData(chunk, end)
  }

  /** HOT. */
  protected relayHead(head: ResponseHead, end: boolean): void {
    finishResponseHead(this, head)
    this.headSent = true
    this.info.responseCode = head.status
    this.info.firstDownstreamByteSentAt = performance.now()
    this.stream.sendHead(head, end)
    if (end) this.finish()
  }

  /** HOT. */
  protected relayData(chunk: Buffer, end: boolean): void {
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
    if (this.responseStopped) this.holdResponseTrailers(trailers)
    else this.sendResponseTrailers(trailers)
  }

  protected relayTrailers(trailers: HeaderList): void {
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
    this.startLocalResponse(head, body)
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
    this.finishFilters()
    for (const mirror of this.mirrors.splice(0)) mirror.end()
    // HTTP/2: the rest of a body that nobody reads is called off once the response is out (RFC 9113 §8.1).
    if (this.headSent && !this.requestEnded && this.stream.version === 'HTTP/2') this.stream.reset('no-error')
    this.held = []
    finishStats(this)
    this.connection.onExchangeEnd(this)
  }
}

/** Bodies up to this are kept for another try even without a retry policy (refused streams, the keep-alive race). */
const MAX_REPLAY_BYTES = 64 * 1024
/** One read may arrive after the stream was paused. */
const HELD_SLACK_BYTES = 256 * 1024
