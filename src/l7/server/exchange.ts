// One request and its response on a downstream stream: the client's side of it. Made by request-path.ts for each request; it ends
// exactly once, in finish(). Between it and the upstream stand the filters (FilterChain; null where the connection manager has none)
// and the router, whose hosts it is. Read it forwards: request body, response, downstream events, endings.
//
//   client ──▶ Exchange ──▶ FilterChain ──▶ Router ──▶ upstream        and back the same way
//
// HOT: a plain request allocates the exchange, its info, body, timers and router, and nothing else here.

import { eventDate, eventNow } from '../../io/event-clock.js'
import { LazyTimer } from '../../io/lazy-timer.js'
import { asksForTunnel, type BodyEvents, type RequestHead, type ResponseHead, type ServerStream, type StreamReset } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { FilterChain, type FilterChainHost } from '../filters/filter-chain.js'
import type { RedirectOutcome } from '../filters/response-control.js'
import { type LocalReply, localReply } from '../reply/local-reply.js'
import { explained, prepareLocalReply, responseHead } from '../reply/local-reply-response.js'
import type { ClusterChoice, CompiledRoute } from '../route/compiled-route.js'
import { Router } from '../router/router.js'
import type { RouterHost } from '../router/router-host.js'
import type { ConnectionInfo } from '../stream/connection-info.js'
import { HeldBody } from '../stream/held-body.js'
import { ResponseFlag } from '../stream/response-flags.js'
import { CUSTOM_RESPONSE_STATE, StreamInfo } from '../stream/stream-info.js'
import type { StreamTimerKind, StreamTimerTarget } from '../stream/stream-timer.js'
import { StreamTimers } from '../stream/stream-timers.js'
import { finishStats } from './finish.js'
import type { HttpRuntime } from './http-runtime.js'
import { addRouteHeaders, finishResponseHead, routeUpstreamHead } from './response-headers.js'
import { onStreamTimeout } from './stream-timeout.js'

const EMPTY = Buffer.alloc(0)
/** A tunnel that one side has ended, where delayed_close_timeout is off. */
const DEFAULT_HALF_CLOSED_MS = 1000

/** The connection that a request came on. DownstreamConnection implements it. */
export interface ExchangeOwner {
  readonly info: ConnectionInfo
  /** Answers say that the connection ends. */
  readonly draining: boolean
  onExchange(exchange: Exchange): void
  onExchangeEnd(exchange: Exchange): void
  /** An internal redirect: `head` follows `previous` on its stream. */
  redirect(previous: Exchange, head: RequestHead, dropBody: boolean): void
}

export class Exchange implements BodyEvents, RouterHost, FilterChainHost, StreamTimerTarget {
  readonly runtime: HttpRuntime
  readonly owner: ExchangeOwner
  readonly stream: ServerStream
  readonly request: RequestHead
  readonly info: StreamInfo
  readonly body: HeldBody
  readonly router: Router
  /** By the content type it came with. */
  readonly isGrpc: boolean
  /** The client has seen a response head. */
  responseStarted = false
  ended = false
  private readonly chain: FilterChain | null
  readonly timers: StreamTimers
  private upgrade = false
  /** Of a tunnel that one side has ended; null while none has. */
  private halfClosed: LazyTimer | null = null
  private responseEnded = false
  /** Its place among those of its connection; -1: it is not there. The owner's. */
  place = -1
  private pausedRequest = false

  /** `previous`: the request that was answered with the internal redirect which this one follows. */
  constructor(
    runtime: HttpRuntime,
    owner: ExchangeOwner,
    stream: ServerStream,
    request: RequestHead,
    end: boolean,
    isGrpc: boolean,
    previous: Exchange | null,
  ) {
    this.runtime = runtime
    this.owner = owner
    this.stream = stream
    this.request = request
    this.isGrpc = isGrpc
    // A tunnel to be: what follows the head is its first direction, which has not ended.
    this.body = new HeldBody(end && !asksForTunnel(request))
    this.info = new StreamInfo(owner.info, eventDate(), eventNow())
    this.info.request = request
    if (end) this.info.requestReceivedAt = this.info.startedAt
    this.timers = new StreamTimers(this, runtime.overload)
    this.chain = runtime.filters.length === 0 ? null : new FilterChain(this, runtime.filters, runtime.bufferLimitBytes)
    this.router = new Router(this, runtime, previous === null ? null : previous.router.redirects)
  }

  /** What the client said stays known, and its body where the redirect does not drop it. */
  succeed(previous: Exchange, dropBody: boolean): void {
    const { info } = this
    info.requestId = previous.info.requestId
    info.remoteAddress = previous.info.remoteAddress
    info.internal = previous.info.internal
    const policy = previous.info.filterState(CUSTOM_RESPONSE_STATE)
    if (policy !== undefined) info.setFilterState(CUSTOM_RESPONSE_STATE, policy)
    if (dropBody) return
    this.body.inherit(previous.body)
    info.bytesReceived = previous.body.bytes
  }

  startTimers(): void {
    this.timers.start(this.runtime.config, !this.body.ended && !asksForTunnel(this.request))
  }

  /** It asks for an upgrade, and may have it. */
  countUpgrade(): void {
    const { stats } = this.runtime
    this.upgrade = true
    stats.downstream_cx_upgrades_total.value++
    stats.downstream_cx_upgrades_active.value++
  }

  // ---- route ----------------------------------------------------------------------------------------------------------------

  get route(): CompiledRoute | null {
    return this.router.route
  }

  get choice(): ClusterChoice | null {
    return this.router.choice
  }

  matchRoute(): void {
    this.router.matchRoute()
    const { forward } = this.router
    if (forward !== null && forward.idleTimeoutMs !== null) this.timers.setIdle(forward.idleTimeoutMs)
  }

  clearRouteCache(): void {
    this.matchRoute()
  }

  discoverRoute(done: () => void): (() => void) | null {
    return this.runtime.routes.discover(this.request, done)
  }

  // ---- request --------------------------------------------------------------------------------------------------------------

  /** The filters, in config order, then the router. */
  runFilters(): void {
    if (this.chain === null) this.router.forwardRequest()
    else this.chain.run()
  }

  requestPassed(): void {
    this.router.forwardRequest()
  }

  /** HOT. */
  requestDataPassed(chunk: Buffer, end: boolean): void {
    this.router.requestData(chunk, end)
  }

  requestTrailersPassed(trailers: HeaderList): void {
    this.router.requestTrailers(trailers)
  }

  pauseRequest(): void {
    if (!this.pausedRequest && !this.body.ended) {
      this.pausedRequest = true
      this.stream.pause()
    }
  }

  resumeRequest(): void {
    if (this.pausedRequest && (this.chain === null || !this.chain.holdsClient)) {
      this.pausedRequest = false
      this.stream.resume()
    }
  }

  /** HOT. */
  onData(chunk: Buffer, end: boolean): void {
    if (this.ended) return
    this.info.bytesReceived += chunk.length
    this.timers.touch()
    if (end) this.endOfRequest()
    const { chain, router } = this
    if (chain === null) router.requestData(chunk, end)
    else chain.requestData(chunk, end)
    if (end && router.tunnel) this.tunnelSideEnded()
  }

  onTrailers(trailers: HeaderList): void {
    if (this.ended) return
    this.timers.touch()
    this.endOfRequest()
    this.body.trailers = trailers
    if (this.chain === null) this.router.requestTrailers(trailers)
    else this.chain.requestTrailersCame(trailers)
  }

  private endOfRequest(): void {
    this.body.ended = true
    this.info.requestReceivedAt = eventNow()
    this.timers.dropRequest()
  }

  // ---- response: from the router ------------------------------------------------------------------------------------------------

  informational(head: ResponseHead): void {
    // 100 was answered here already unless proxy_100_continue is on; the others travel on.
    if (head.status !== 100 || this.runtime.config.proxy100Continue) this.stream.sendInformational(head)
  }

  /** HOT. */
  startResponse(head: ResponseHead, end: boolean): void {
    this.timers.touch()
    this.showResponse(head)
    routeUpstreamHead(this, head.headers)
    if (this.chain === null) this.relayHead(head, end)
    else this.chain.startResponse(head, end)
  }

  /** HOT. */
  responseData(chunk: Buffer, end: boolean): void {
    this.timers.touch()
    if (this.chain === null) this.relayData(chunk, end)
    else this.chain.responseData(chunk, end)
  }

  responseTrailers(trailers: HeaderList): void {
    this.info.responseTrailers = trailers
    if (this.chain === null) this.relayTrailers(trailers)
    else this.chain.responseTrailers(trailers)
  }

  private showResponse(head: ResponseHead): void {
    this.info.response = head
    this.info.responseCode = head.status
  }

  // ---- response: to the client --------------------------------------------------------------------------------------------------

  /** HOT. */
  relayHead(head: ResponseHead, end: boolean): void {
    finishResponseHead(this, head)
    this.responseStarted = true
    this.info.responseCode = head.status
    this.info.firstDownstreamByteSentAt = eventNow()
    this.stream.sendHead(head, end)
    if (end) this.finish()
  }

  /** HOT. */
  relayData(chunk: Buffer, end: boolean): void {
    this.info.bytesSent += chunk.length
    const ok = this.stream.sendData(chunk, end)
    if (end) {
      this.responseEnded = true
      if (this.router.tunnel) this.tunnelSideEnded()
      else this.finish()
    } else if (!ok) this.router.holdUpstream()
  }

  relayTrailers(trailers: HeaderList): void {
    this.stream.sendTrailers(trailers)
    this.finish()
  }

  pauseUpstream(): void {
    this.router.pauseUpstream()
  }

  resumeUpstream(): void {
    this.router.resumeUpstream()
  }

  /** One direction of a tunnel has ended; the other may still flow. */
  private tunnelSideEnded(): void {
    if (this.ended) return
    if (!this.body.ended || !this.responseEnded) {
      this.boundHalfClosed()
      return
    }
    this.router.releaseTunnel()
    this.finish()
  }

  /**
   * HTTP/1 cannot say whether a FIN is half of a close or all of it; Envoy takes it for all, from the client and, in an upgrade, from the
   * application too. What the other side still has to say gets the time of a delayed close, then both sides go.
   */
  private boundHalfClosed(): void {
    const applicationLeft = this.responseEnded && this.request.upgrade !== '' && this.info.upstreamProtocol === 'HTTP/1.1'
    if ((this.stream.version === 'HTTP/2' && !applicationLeft) || this.halfClosed !== null) return
    this.halfClosed = new LazyTimer(() => {
      this.stream.reset('no-error')
      this.finish()
    })
    this.halfClosed.set(this.runtime.config.delayedCloseTimeoutMs || DEFAULT_HALF_CLOSED_MS)
  }

  // ---- downstream events ----------------------------------------------------------------------------------------------------

  onDrain(): void {
    if (!this.ended && (this.chain === null || !this.chain.holdsUpstream)) this.router.resumeUpstream()
  }

  /** The client went away or broke the protocol. */
  onReset(reset: StreamReset): void {
    if (this.ended) return
    const { info, runtime } = this
    // As in Envoy a connection that goes resets what was on it.
    runtime.stats.downstream_rq_rx_reset.value++
    if (reset.code === 'remote-reset') {
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

  onStreamTimer(kind: StreamTimerKind): void {
    if (!this.ended) onStreamTimeout(this, kind)
  }

  /** How long the whole stream may last; replaces the connection manager's limit. 0: no limit. */
  limitDuration(ms: number): void {
    this.timers.limitDuration(ms, this.info.startedAt)
  }

  /** Overload shortens timeouts more, or less, than it did. */
  rescaleTimeouts(): void {
    this.timers.rescale()
  }

  /** Bytes that this process holds for it: of the request for another try or a filter, of the response for a slow client. */
  get heldBytes(): number {
    return this.body.bytes + this.stream.bufferedBytes
  }

  /** The process runs out of memory, and this stream holds much of it. */
  resetForMemory(): void {
    this.abort(ResponseFlag.OverloadManager, 'overload_manager_reset')
  }

  // ---- endings --------------------------------------------------------------------------------------------------------------

  sendReply(status: number, body: string, details: string, flag: number, headers: HeaderList | null = null): void {
    this.reply({ status, body, details, flag }, headers)
  }

  requestTooLarge(limit: string): void {
    this.runtime.stats.downstream_rq_too_large.value++
    this.reply(localReply('payload-too-large', `the limit is ${limit}`))
  }

  responseTooLarge(): void {
    this.runtime.stats.rs_too_large.value++
    this.reply(localReply('response-payload-too-large', ''))
  }

  /** Answer from here: every failure of the request path leaves through this. */
  reply(reply: LocalReply, headers: HeaderList | null = null): void {
    if (this.ended) return
    const { chain, info } = this
    this.router.abandon()
    chain?.stopCollecting()
    info.responseFlags |= reply.flag
    info.responseCodeDetails = reply.details
    if (this.responseStarted) {
      this.abort(reply.flag, reply.details)
      return
    }
    const told = info.failure !== '' && this.runtime.explainsTo(info.connection) ? explained(reply, info.failure) : reply
    const { head, body } = prepareLocalReply(this.request, info, this.runtime.localReplyRewriter, this.isGrpc, told, headers, list =>
      addRouteHeaders(this, list),
    )
    this.leaveUnreadBody()
    this.showResponse(head)
    if (chain !== null) chain.startLocalResponse(head, body)
    else {
      this.relayHead(head, body.length === 0)
      if (body.length > 0 && !this.ended) this.relayData(body, true)
    }
  }

  /** A filter's own head, as it is. */
  replyWithHead(status: number, details: string, headers: HeaderList): void {
    if (this.ended || this.responseStarted) return
    this.router.abandon()
    this.chain?.stopCollecting()
    this.info.responseCodeDetails = details
    this.leaveUnreadBody()
    const head = responseHead(status, headers, 0)
    this.showResponse(head)
    this.chain!.startLocalResponse(head, EMPTY)
  }

  /** HTTP/1 ends with an answer that comes before the request's end; a stream of HTTP/2 ends alone, its connection carries others. */
  private leaveUnreadBody(): void {
    if (!this.body.ended && this.request.contentLength !== 0 && this.stream.version !== 'HTTP/2') this.stream.closeAfter()
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

  redirected(head: RequestHead, dropBody: boolean): void {
    this.owner.redirect(this, head, dropBody)
  }

  redirectTo(head: RequestHead, state: object): RedirectOutcome {
    if (!this.body.ended) return 'incomplete'
    const { runtime, info } = this
    if (runtime.routes.tableFor(head).match(head, info, runtime.random).kind !== 'route') return 'no-route'
    info.responseCodeDetails = 'internal_redirect'
    // As in Envoy, the log line of this leg shows the head that its redirect led to.
    info.request = head
    info.setFilterState(CUSTOM_RESPONSE_STATE, state)
    this.redirected(head, true)
    return 'redirected'
  }

  finish(): void {
    if (this.ended) return
    this.ended = true
    this.info.endedAt = eventNow()
    this.timers.release()
    this.halfClosed?.dispose()
    this.router.finish()
    this.chain?.finish()
    // HTTP/2: the rest of a body that nobody reads is called off once the response is out (RFC 9113 §8.1).
    if (this.responseStarted && !this.body.ended && this.stream.version === 'HTTP/2') this.stream.reset('no-error')
    if (this.responseStarted && !this.body.ended) this.runtime.stats.downstream_rq_response_before_rq_complete.value++
    if (this.upgrade) this.runtime.stats.downstream_cx_upgrades_active.value--
    this.body.clear()
    finishStats(this.runtime, this.info)
    this.runtime.recent.record(this.info, this.router.route)
    this.owner.onExchangeEnd(this)
  }
}
