// The router: what stands behind the last filter. It matches the route, and then sends the request to a cluster: split -> pick ->
// acquire -> send, again for retries and hedges, with mirrors beside it and redirects behind it. Made by the exchange, one per request;
// it tells its RouterHost what came back. Calls route/ (what to do), client/ (one UpstreamRequest a try), upstream-outcome (a try's
// judge). Invariant: it names no client stream; after finish() or abandon() no try of it runs.

import { eventNow } from '../../io/event-clock.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import { sniFor } from '../client/upstream-pools.js'
import { UpstreamRequest, type UpstreamRequestOwner } from '../client/upstream-request.js'
import { asksForTunnel, type RequestHead, type ResponseHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import { isGrpcRequest } from '../grpc/grpc.js'
import { failureFlag } from '../reply/failure-code.js'
import type { LocalReplyCode } from '../reply/local-reply.js'
import type { ClusterChoice, CompiledForward, CompiledRoute } from '../route/compiled-route.js'
import type { AnswerTarget } from '../route/route-answers.js'
import type { HeldBody } from '../stream/held-body.js'
import type { StreamInfo } from '../stream/stream-info.js'
import type { StreamTimerKind, StreamTimerTarget } from '../stream/stream-timer.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'
import { checkEnvoyHeaders } from './envoy-header-check.js'
import { failureReason, retriesSpentReason } from './failure-reason.js'
import { brokenResponseDetails, failureReply } from './failure-reply.js'
import { type ControlledRequest, countBackedUp, countDrained, countHeld, countResumed } from './flow-control.js'
import { followRedirect, type RedirectingRequest, type RedirectTrail, seesOther } from './internal-redirect.js'
import { type Mirror, startMirrors } from './mirror.js'
import { PickContext } from './pick-context.js'
import { freeReplayBytes, keepForReplay, MAX_REPLAY_BYTES, sendHeld } from './replay-body.js'
import { type RetriedRequest, RetryState } from './retry-state.js'
import { RouteCounters } from './route-counters.js'
import { RouteTimeouts, shrinkExpectedTimeout, streamDuration, tellExpectedTimeout } from './route-timeouts.js'
import {
  type AnsweredRequest,
  answerDropped,
  answerMaxDuration,
  answerNoCluster,
  answerNoHost,
  answerNoRoute,
  answerRouteTimeout,
  hearReason,
  noteFailure,
} from './router-answers.js'
import type { RouterHost, RouterRuntime } from './router-host.js'
import { prepareUpstreamHead } from './upstream-head.js'
import { chargeGrpcTrailers, chargeStatus, type JudgedRequest, judgeFailure, judgeHead } from './upstream-outcome.js'

export class Router
  implements
    UpstreamRequestOwner,
    RetriedRequest,
    JudgedRequest,
    ControlledRequest,
    RedirectingRequest,
    AnswerTarget,
    AnsweredRequest,
    StreamTimerTarget
{
  readonly runtime: RouterRuntime
  readonly host: RouterHost
  route: CompiledRoute | null = null
  forward: CompiledForward | null = null
  choice: ClusterChoice | null = null
  cluster: UpstreamCluster | null = null
  retry: RetryState | null = null
  /** Virtual cluster and stat_prefix; null: neither. */
  counters: RouteCounters | null = null
  /** The try that the response comes from, or the newest one. */
  upstream: UpstreamRequest | null = null
  /** All tries that still run (more than one only when hedging). */
  readonly attempts: UpstreamRequest[] = []
  freeRetries = 0
  /** By its content type as it leaves the filters. */
  isGrpc = false
  /** An upgrade or CONNECT has become a tunnel. */
  tunnel = false
  /** Set-Cookie of a hash policy, for the response. */
  hashCookie: string | null = null
  /** Redirects followed before this request, once a route follows them. */
  redirects: RedirectTrail | null
  /** Why there is no route: for the local reply. */
  noRoute: LocalReplyCode = 'route-not-found'
  timeouts: RouteTimeouts | null = null
  private mirrors: Mirror[] | null = null
  private finished = false
  /** The client is not read from until the upstream takes more. */
  backedUp = false
  /** The upstream is not read from until the client takes more. */
  held = false

  constructor(host: RouterHost, runtime: RouterRuntime, redirects: RedirectTrail | null) {
    this.host = host
    this.runtime = runtime
    this.redirects = redirects
  }

  get request(): RequestHead {
    return this.host.request
  }

  get info(): StreamInfo {
    return this.host.info
  }

  get body(): HeldBody {
    return this.host.body
  }

  get responseStarted(): boolean {
    return this.host.responseStarted
  }

  get countsCodes(): boolean {
    return this.runtime.routerConfig.dynamicStats
  }

  get routeTimeoutMs(): number {
    return this.timeouts === null ? 0 : this.timeouts.routeMs
  }

  get random(): () => number {
    return this.runtime.random
  }

  // ---- match -> split -----------------------------------------------------------------------------------------------------------

  /** Once before the filters (they look at its overrides), and again where a filter asks for it. HOT. */
  matchRoute(): void {
    const { runtime, host } = this
    const { info } = host
    const result = runtime.routes.tableFor(host.request).match(host.request, info, runtime.random)
    this.choice = null
    info.routeResolutions++
    if (result.kind !== 'route') {
      this.route = null
      this.forward = null
      this.noRoute = result.kind === 'no-virtual-host' ? 'no-virtual-host' : 'route-not-found'
      return
    }
    const { route } = result
    const { forward } = route
    this.route = route
    this.forward = forward
    if (forward !== null) {
      this.choice = this.split(forward)
      // Also for requests that a filter answers (Envoy logs the cluster of the route).
      const cluster = runtime.clusters.get(this.choice.name)
      if (cluster !== undefined) {
        info.upstreamCluster = this.choice.name
        info.clusterConfig = cluster.config
      }
    }
    info.routeName = route.model.name
    info.routeMetadata = route.model.metadata
    info.virtualHostMetadata = route.virtualHost.model.metadata
  }

  /** The cluster is drawn with the match, as the filters may look at the overrides of the chosen leg. */
  private split(forward: CompiledForward): ClusterChoice {
    const { request, info } = this.host
    const { cluster } = forward.model
    const hash = cluster.kind === 'weighted' && cluster.useHashPolicy ? forward.hash(request, info).hash : null
    return forward.selectCluster(request, cluster.kind === 'weighted' ? this.runtime.random() : 0, hash)
  }

  // ---- forward ----------------------------------------------------------------------------------------------------------------

  /** What the route says is done. Called when the last filter has let the request pass. HOT. */
  forwardRequest(): void {
    const { route, forward, runtime, host } = this
    runtime.router.rq_total.value++
    const { strictCheckHeaders } = runtime.routerConfig
    if (strictCheckHeaders.length > 0) {
      const refused = checkEnvoyHeaders(host.request.headers, strictCheckHeaders)
      if (refused !== null) {
        host.reply(refused)
        return
      }
    }
    if (route === null) {
      answerNoRoute(this)
      return
    }
    if (forward === null) {
      route.answer(this)
      return
    }
    const { request, info, body } = host
    this.isGrpc = isGrpcRequest(request)
    const hash = forward.hash(request, info)
    this.hashCookie = hash.setCookie
    this.counters = RouteCounters.of(route, request, info)

    // A filter may have set the header that names the cluster.
    const choice = this.choice !== null && forward.model.cluster.kind !== 'clusterHeader' ? this.choice : this.split(forward)
    this.choice = choice
    info.upstreamCluster = choice.name
    const cluster = runtime.clusters.get(choice.name)
    if (cluster === undefined) {
      answerNoCluster(this, route, forward, choice.name)
      return
    }
    this.cluster = cluster
    info.clusterConfig = cluster.config
    const dropped = cluster.dropCategory(runtime.random())
    if (dropped !== null) {
      answerDropped(this, cluster, dropped)
      return
    }
    this.setTimeouts(forward, cluster)
    this.retry = RetryState.create(this, forward, hash.hash)
    this.retry?.remember(request)
    prepareUpstreamHead(request, info, route, forward, choice, runtime.routerConfig.suppressEnvoyHeaders)
    this.mirrors = startMirrors(request, forward, runtime)
    if (body.complete && this.mirrors !== null) this.sendMirrors()
    this.sendToCluster(hash.hash)
  }

  private setTimeouts(forward: CompiledForward, cluster: UpstreamCluster): void {
    const { host, runtime } = this
    const { request } = host
    const { isGrpc } = this
    const duration = streamDuration(request, forward, isGrpc, runtime.config.common.maxStreamDurationMs)
    if (duration !== null) host.limitDuration(duration)
    const timeouts = new RouteTimeouts(this, request, forward, isGrpc, runtime.routerConfig.respectExpectedRqTimeout)
    this.timeouts = timeouts
    const { maxStreamDurationMs } = cluster.config.http.common
    if (maxStreamDurationMs !== null && maxStreamDurationMs > 0) timeouts.armUpstreamMax(maxStreamDurationMs)
    tellExpectedTimeout(request, forward, timeouts.routeMs, isGrpc, runtime.routerConfig.suppressEnvoyHeaders)
  }

  /** pick -> acquire: choose an endpoint and ask its pool for a connection. Also the way of every retry and hedge. HOT. */
  private sendToCluster(hash: bigint | null): void {
    const { cluster, forward, runtime, host: client, retry } = this
    if (cluster === null || forward === null) return
    const { request, info } = client
    const attempt = ++info.upstreamRequestAttemptCount
    const override = attempt === 1 ? info.overrideHost : null
    const host = cluster.pick(
      new PickContext(request, forward, this.choice, cluster, retry, hash, info.connection, runtime.random, override),
    )
    if (host === null) {
      answerNoHost(this, cluster, override)
      return
    }
    if (attempt > 1) shrinkExpectedTimeout(request, this.routeTimeoutMs, this.elapsedMs(), retry?.perTryTimeoutMs ?? null)
    if (this.route!.virtualHost.includeAttemptCount) request.headers.set('x-envoy-attempt-count', String(attempt))
    forward.rewriteHostForEndpoint(request, host.hostname)
    const tunnel = request.method === 'CONNECT' && request.upgrade === '' && forward.endsConnect
    const protocol = tunnel ? 'http1' : runtime.pools.protocolFor(host, request)
    const pool = runtime.pools.poolFor(host, protocol, forward.priority, sniFor(host, request.authority), tunnel)
    info.selectedHost = host
    const upstream = new UpstreamRequest(this, host, pool, host.cluster.breakers(forward.priority), attempt)
    this.upstream = upstream
    if (info.trace !== null) upstream.trace = info.trace.startTry(host, attempt)
    // Envoy's route timeout counts the wait for a connection too.
    if ((client.body.complete || asksForTunnel(request)) && !this.tunnel) this.timeouts!.armRoute()
    this.attempts.push(upstream)
    retry?.tried(host)
    upstream.armPerTry(retry?.perTryTimeoutMs ?? null, retry?.perTryIdleTimeoutMs ?? null)
    upstream.start()
  }

  /** Since the request was complete; since it began while it is not. */
  private elapsedMs(): number {
    const { requestReceivedAt, startedAt } = this.host.info
    return performance.now() - (requestReceivedAt === 0 ? startedAt : requestReceivedAt)
  }

  // ---- request: body ------------------------------------------------------------------------------------------------------------

  /** HOT. The filters have let it pass. */
  requestData(chunk: Buffer, end: boolean): void {
    const { upstream, host } = this
    const open = upstream !== null && upstream.stream !== null && !upstream.done && upstream.headSent
    if (!open || host.body.replayable) {
      this.hold(chunk)
      if (this.finished) return
    }
    if (!open) {
      if (!end) host.pauseRequest()
      else this.requestComplete()
      return
    }
    host.info.upstreamBytesSent += chunk.length
    if (this.attempts.length > 1) {
      for (const attempt of this.attempts)
        if (attempt !== upstream && attempt.headSent && attempt.stream !== null) attempt.stream.sendData(chunk, end)
    }
    if (!upstream.stream!.sendData(chunk, end) && !end) {
      countBackedUp(this, upstream.host)
      host.pauseRequest()
    }
    if (end && !this.tunnel) this.requestComplete()
  }

  requestTrailers(trailers: HeaderList): void {
    const { upstream } = this
    if (upstream !== null && upstream.stream !== null && !upstream.done) {
      upstream.stream.sendTrailers(trailers)
    }
    this.requestComplete()
  }

  /** The route timeout runs from here (Envoy: from the end of the downstream's stream). */
  private requestComplete(): void {
    if (this.upstream !== null && !this.tunnel) this.timeouts?.armRoute()
    if (this.mirrors !== null) this.sendMirrors()
  }

  private sendMirrors(): void {
    const { mirrors } = this
    const { body } = this.host
    if (mirrors === null) return
    this.mirrors = null
    if (!body.replayable) {
      this.cluster!.traffic.main.retry_or_shadow_abandoned.value++
      for (const mirror of mirrors) mirror.end()
      return
    }
    const whole = body.whole()
    for (const mirror of mirrors) mirror.send(whole)
  }

  /** The body may have to be sent again. */
  private get keepsBody(): boolean {
    return this.retry !== null || (this.forward !== null && this.forward.model.internalRedirect !== null)
  }

  private hold(chunk: Buffer): void {
    const { body } = this.host
    if (chunk.length === 0 || !body.replayable) return
    const { bufferLimitBytes } = this.runtime
    if (this.upstream?.headSent === true) {
      const wanted = !this.tunnel && (this.keepsBody || this.mirrors !== null)
      const limit = wanted ? bufferLimitBytes : freeReplayBytes(this.upstream, this.tunnel || this.responseStarted)
      const kept = keepForReplay(body, chunk, limit)
      if (!kept && wanted && this.keepsBody && this.cluster !== null) this.cluster.traffic.main.retry_or_shadow_abandoned.value++
      return
    }
    body.add(chunk)
    if (body.exceeds(bufferLimitBytes)) this.host.requestTooLarge(`${bufferLimitBytes} bytes (per_connection_buffer_limit_bytes)`)
  }

  /** The client takes no more of the response for now. */
  holdUpstream(): void {
    const { upstream } = this
    if (upstream === null || upstream.stream === null) return
    countHeld(this, upstream.host)
    upstream.stream.pause()
  }

  /** The client's stream has room for more of the response. */
  resumeUpstream(): void {
    const { upstream } = this
    if (upstream === null) return
    countResumed(this, upstream.host)
    upstream.stream?.resume()
  }

  pauseUpstream(): void {
    this.upstream?.stream?.pause()
  }

  // ---- UpstreamRequestOwner -------------------------------------------------------------------------------------------------------

  /** HOT. The head, then what is held of the body, goes out on a fresh stream. */
  onUpstreamReady(upstream: UpstreamRequest): void {
    const stream = upstream.stream!
    const { host } = this
    const { info, body, request } = host
    const connection = upstream.connection!
    info.firstUpstreamByteSentAt = eventNow()
    this.counters?.count('upstream_rq_total')
    info.upstreamHost = upstream.host
    info.upstreamLocalAddress = connection.localAddress
    info.useConnection(connection, upstream.startedAt)
    info.upstreamProtocol = connection.protocol === 'http2' ? 'HTTP/2' : 'HTTP/1.1'
    if (info.trace !== null) {
      upstream.trace?.sent(info.upstreamProtocol)
      info.trace.inject(request, upstream.trace)
    }
    upstream.headSent = true
    if (body.complete && body.bytes === 0 && body.trailers === null) {
      stream.sendHead(request, true)
    } else {
      stream.sendHead(request, false)
      if (sendHeld(upstream, body)) {
        info.upstreamBytesSent += body.bytes
        if (!body.complete && body.bytes > MAX_REPLAY_BYTES && !this.keepsBody && this.mirrors === null) body.abandon()
      }
    }
    if (body.complete) this.timeouts?.armRoute()
    countDrained(this, upstream.host)
    host.resumeRequest()
  }

  onUpstreamDrain(upstream: UpstreamRequest): void {
    if (upstream !== this.upstream) return
    countDrained(this, upstream.host)
    this.host.resumeRequest()
  }

  onUpstreamInformational(upstream: UpstreamRequest, head: ResponseHead): void {
    // Envoy counts them as responses.
    chargeStatus(this, upstream.host.cluster, head.status)
    if (!this.finished && !this.host.responseStarted) this.host.informational(head)
  }

  /** HOT. */
  onUpstreamHead(upstream: UpstreamRequest, head: ResponseHead, end: boolean): void {
    if (this.finished) return
    const { host } = this
    if (host.responseStarted) {
      upstream.cancel()
      return
    }
    const { info } = host
    info.firstUpstreamByteReceivedAt = eventNow()
    if (end) info.lastUpstreamByteReceivedAt = info.firstUpstreamByteReceivedAt
    const told = head.status >= 400 && hearReason(this, upstream, head)
    if (judgeHead(this, upstream, head, end) === 'retry') {
      info.firstUpstreamByteReceivedAt = 0
      info.lastUpstreamByteReceivedAt = 0
      this.drop(upstream)
      if (!end) upstream.cancel()
      this.retry!.schedule(head, () => this.tryAgain())
      return
    }
    if (this.retry?.limitReached === true && !told)
      noteFailure(this, upstream.host.cluster.name, `answer ${head.status}`, retriesSpentReason(upstream, head.status, this.route!))
    if (head.status >= 300 && head.status < 400 && this.followsRedirect(upstream, head)) return
    this.upstream = upstream
    if (this.attempts.length > 1) this.cancelOthers(upstream)
    if (head.upgraded) {
      this.tunnel = true
      this.timeouts!.dropRoute()
    }
    host.startResponse(head, end)
  }

  /** HOT. */
  onUpstreamData(upstream: UpstreamRequest, chunk: Buffer, end: boolean): void {
    if (this.finished || upstream !== this.upstream) return
    const { host } = this
    host.info.upstreamBytesReceived += chunk.length
    if (end) host.info.lastUpstreamByteReceivedAt = eventNow()
    host.responseData(chunk, end)
  }

  onUpstreamTrailers(upstream: UpstreamRequest, trailers: HeaderList): void {
    if (this.finished || upstream !== this.upstream) return
    if (this.isGrpc) chargeGrpcTrailers(upstream, trailers)
    this.host.info.lastUpstreamByteReceivedAt = eventNow()
    this.host.responseTrailers(trailers)
  }

  onUpstreamFailure(upstream: UpstreamRequest, failure: UpstreamFailure): void {
    if (this.finished) return
    const reason = failureReason(failure, upstream, this.route!, this.retry)
    // Not a failure of the upstream: it closed an idle connection while we took it.
    if (failure.kind !== 'reset' || !failure.reuseRace) noteFailure(this, upstream.host.cluster.name, failure.kind, reason)
    switch (judgeFailure(this, upstream, failure)) {
      case 'pass':
        return
      case 'hedge':
        this.retry!.schedule(null, () => this.tryAgain())
        return
      case 'retry':
        this.drop(upstream)
        upstream.cancel()
        if (this.retry !== null) this.retry.schedule(null, () => this.tryAgain())
        else this.tryAgain()
        return
      case 'fail':
        this.fail(upstream, failure)
    }
  }

  // ---- endings of a try -----------------------------------------------------------------------------------------------------------

  private fail(upstream: UpstreamRequest, failure: UpstreamFailure): void {
    const { host } = this
    if (upstream.responseStarted && host.responseStarted) {
      this.runtime.router.rq_reset_after_downstream_response_started.value++
      host.abort(failureFlag(failure), brokenResponseDetails(failure))
      return
    }
    this.drop(upstream)
    upstream.cancel()
    if (this.attempts.length > 0) return
    const reply = failureReply(failure, upstream.attempt > 1)
    chargeStatus(this, upstream.host.cluster, reply.status)
    host.reply(reply)
  }

  private tryAgain(): void {
    if (this.finished) return
    const { retry } = this
    if (retry?.repickSplit === true) this.repick(retry)
    this.sendToCluster(retry?.hash ?? null)
  }

  /**
   * Choose among the weighted clusters again; the old choice stays where the new one's cluster is unknown. Another leg's header
   * mutations and host are applied to the head as it was before the first leg's.
   */
  private repick(retry: RetryState): void {
    const { runtime, route, forward } = this
    const { request, info } = this.host
    const choice = forward!.selectCluster(request, runtime.random(), null)
    const cluster = runtime.clusters.get(choice.name)
    if (cluster === undefined) return
    if (choice.weighted !== this.choice?.weighted) {
      retry.restore(request)
      prepareUpstreamHead(request, info, route!, forward!, choice, runtime.routerConfig.suppressEnvoyHeaders)
    }
    this.choice = choice
    this.cluster = cluster
    info.upstreamCluster = choice.name
    info.clusterConfig = cluster.config
  }

  /** True when the response is swallowed: the request has ended and another took its stream. */
  private followsRedirect(upstream: UpstreamRequest, head: ResponseHead): boolean {
    const next = followRedirect(this, head)
    if (next === null) return false
    this.upstream = upstream
    this.host.redirected(next, seesOther(this.host.request, head))
    return true
  }

  // ---- timeouts -------------------------------------------------------------------------------------------------------------------

  onStreamTimer(kind: StreamTimerKind): void {
    if (this.finished) return
    if (kind === 'route') answerRouteTimeout(this)
    else answerMaxDuration(this)
  }

  // ---- AnswerTarget ---------------------------------------------------------------------------------------------------------------

  sendReply(status: number, body: string, details: string, flag: number, headers: HeaderList | null = null): void {
    this.host.reply({ status, body, details, flag }, headers)
  }

  // ---- end ------------------------------------------------------------------------------------------------------------------------

  /** The answer is the proxy's own: no try is wanted any more. */
  abandon(): void {
    this.retry?.release()
    this.cancelAll()
    if (this.upstream !== null) countDrained(this, this.upstream.host)
    this.upstream = null
  }

  /** Both directions of a tunnel have ended: the codecs close by themselves once their last bytes are out; a reset could cut those off. */
  releaseTunnel(): void {
    for (const attempt of this.attempts) attempt.release()
    this.attempts.length = 0
  }

  /** The request is over. Called once. HOT. */
  finish(): void {
    this.finished = true
    this.timeouts?.release()
    this.retry?.release()
    const { upstream } = this
    if (upstream !== null) countDrained(this, upstream.host)
    if (upstream?.responseStarted) {
      const { endedAt, requestReceivedAt, startedAt } = this.host.info
      const ms = endedAt - (requestReceivedAt === 0 ? startedAt : requestReceivedAt)
      const { cluster, locality } = upstream.host
      cluster.traffic.chargeTime(ms, this.host.info.internal, upstream.canary)
      cluster.traffic.zone(locality.zone)?.recordTime(ms)
      this.counters?.chargeTime(ms)
    }
    this.cancelAll()
    if (this.mirrors !== null) for (const mirror of this.mirrors) mirror.end()
  }

  private cancelOthers(keep: UpstreamRequest): void {
    for (const attempt of this.attempts) if (attempt !== keep) attempt.cancel()
    this.attempts.length = 0
    this.attempts.push(keep)
  }

  /** HOT: mostly of one try that has ended. */
  private cancelAll(): void {
    for (let i = 0; i < this.attempts.length; i++) this.attempts[i]!.cancel()
    this.attempts.length = 0
  }

  private drop(upstream: UpstreamRequest): void {
    const index = this.attempts.indexOf(upstream)
    if (index !== -1) this.attempts.splice(index, 1)
    if (this.upstream !== upstream) return
    countDrained(this, upstream.host)
    this.upstream = null
  }
}
