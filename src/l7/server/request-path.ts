// The table of contents of the data plane: what happens to a request, step by step. The downstream connection calls
// handleRequest for each request; Exchange carries the state and relays the bytes, its base FilteredStream runs the filters.
// docs/life-of-a-request.md uses the same names.
//
//   normalise -> authorise (filters) -> match -> split -> pick -> acquire -> send -> relay -> finish
//
// Each failure leaves through exchange.reply with an entry of local-reply.ts; everything ends in exchange.finish.

import type { LbContext } from '../../upstream/balance/load-balancer.js'
import type { Host } from '../../upstream/host/host.js'
import { UpstreamRequest } from '../client/upstream-request.js'
import type { RequestHead, ServerStream } from '../codec/codec.js'
import { clampGrpcTimeout, formatGrpcTimeout, isGrpcRequest } from '../grpc/grpc.js'
import { localReply } from '../reply/local-reply.js'
import type { ClusterChoice, CompiledForward } from '../route/compiled-route.js'
import { answerDirectly } from '../route/route-answers.js'
import { mirrorRequest } from '../router/mirror.js'
import { RetryState } from '../router/retry-state.js'
import type { DownstreamConnection } from './downstream-connection.js'
import { Exchange } from './exchange.js'
import type { HttpRuntime } from './http-runtime.js'
import { normalizeTarget, prepareRequest, prepareUpstreamHead } from './request-headers.js'

const DEFAULT_ROUTE_TIMEOUT_MS = 15_000

/** A request head has arrived on a downstream stream. Sets `stream.events`. */
export function handleRequest(
  runtime: HttpRuntime,
  connection: DownstreamConnection,
  stream: ServerStream,
  head: RequestHead,
  end: boolean,
): Exchange {
  const exchange = new Exchange(runtime, connection, stream, head, end, isGrpcRequest(head))
  stream.events = exchange
  start(exchange)
  normalise(exchange, prepareRequest(exchange))
  return exchange
}

function start(exchange: Exchange): void {
  const { stats } = exchange.runtime
  stats.downstream_rq_total.value++
  stats.downstream_rq_active.value++
  if (exchange.request.version === 'HTTP/2') stats.downstream_rq_http2_total.value++
  else stats.downstream_rq_http1_total.value++
  exchange.armStreamTimers()
}

/** An internal redirect: `head` follows on the stream of `previous`, past filters and routes once more. What it says of the client stays. */
export function handleRedirected(previous: Exchange, head: RequestHead, dropBody: boolean): void {
  const { runtime, connection, stream } = previous
  const exchange = new Exchange(runtime, connection, stream, head, true, isGrpcRequest(head))
  exchange.succeed(previous, dropBody)
  previous.finish()
  stream.events = exchange
  connection.onExchange(exchange)
  start(exchange)
  normalise(exchange, normalizeTarget(exchange))
}

/** Make the head what routing and authorisation may trust: version, host, path, trust headers, request id, XFCC. */
function normalise(exchange: Exchange, refused: ReturnType<typeof prepareRequest>): void {
  if (refused !== null) {
    if ('redirect' in refused) answerDirectly(exchange, 307, '', 'path_normalization_redirect', [['location', refused.redirect]])
    else {
      // What follows an invalid head on this connection cannot be trusted to be a new message.
      if ((refused.status === 400 || refused.status === 426) && exchange.stream.version !== 'HTTP/2') exchange.stream.closeAfter()
      exchange.reply(refused)
    }
    return
  }
  matchRoute(exchange)
  const { request, runtime } = exchange
  if ((request.upgrade !== '' || request.method === 'CONNECT') && !upgradeAllowed(exchange)) {
    runtime.stats.downstream_rq_ws_on_non_ws_route.value++
    exchange.reply(localReply('upgrade-failed', ''))
    return
  }
  authorise(exchange)
}

/** The filters, in config order: RBAC, JWT, rate limits … Each may answer; the last of them hands on to forwardRequest. */
function authorise(exchange: Exchange): void {
  exchange.runFilters()
}

/** The route is matched once, before the filters (they look at its overrides), and again where a filter asks for it. */
export function matchRoute(exchange: Exchange): void {
  const { runtime, request, info } = exchange
  const result = runtime.routes.current.match(request, info, runtime.random)
  exchange.choice = null
  info.routeResolutions++
  if (result.kind === 'route') {
    const { route } = result
    exchange.route = route
    exchange.forward = route.forward
    // A route that answers by itself belongs to no virtual cluster, as in Envoy.
    if (route.forward === null) info.virtualClusterName = ''
    else {
      exchange.choice = splitOf(exchange, route.forward)
      // Also for requests that a filter answers (Envoy logs the cluster of the route).
      if (runtime.clusters.get(exchange.choice.name) !== undefined) info.upstreamCluster = exchange.choice.name
    }
    info.routeName = route.model.name
    info.routeMetadata = route.model.metadata
    info.virtualHostMetadata = route.virtualHost.model.metadata
    info.virtualHostName = route.virtualHost.name
    if (route.forward !== null && route.forward.idleTimeoutMs !== null) exchange.setIdleTimeout(route.forward.idleTimeoutMs)
    return
  }
  exchange.route = null
  exchange.forward = null
  exchange.noRoute = result.kind === 'no-virtual-host' ? 'no-virtual-host' : 'route-not-found'
}

/** split: the cluster is drawn with the match, as the filters may look at the overrides of the chosen leg. */
function splitOf(exchange: Exchange, forward: CompiledForward): ClusterChoice {
  const { request, info, runtime } = exchange
  const { cluster } = forward.model
  const hash = cluster.kind === 'weighted' && cluster.useHashPolicy ? forward.hash(request, info).hash : null
  return forward.selectCluster(request, cluster.kind === 'weighted' ? runtime.random() : 0, hash)
}

/** The router: what the route says is done. Called when the last filter has let the request pass. */
export function forwardRequest(exchange: Exchange): void {
  const { route, forward, runtime } = exchange
  if (route === null) {
    runtime.router.no_route.value++
    exchange.reply(localReply(exchange.noRoute, ''))
    return
  }
  if (forward === null) {
    route.answer(exchange)
    return
  }
  runtime.router.rq_total.value++
  const { request, info } = exchange
  const hash = forward.hash(request, info)
  exchange.hashCookie = hash.setCookie

  // A filter may have set the header that names the cluster.
  const choice = exchange.choice !== null && forward.model.cluster.kind !== 'clusterHeader' ? exchange.choice : splitOf(exchange, forward)
  exchange.choice = choice
  info.upstreamCluster = choice.name
  const cluster = runtime.clusters.get(choice.name)
  if (cluster === undefined) {
    runtime.router.no_cluster.value++
    exchange.reply({ ...localReply('cluster-not-found', choice.name), status: forward.clusterNotFoundStatus })
    return
  }
  exchange.cluster = cluster
  if (cluster.dropCategory(runtime.random()) !== null) {
    exchange.reply(localReply(cluster.dropsAll ? 'unconditional-drop-overload' : 'drop-overload', ''))
    return
  }
  setTimeouts(exchange)
  exchange.retry = RetryState.create(exchange, forward, hash.hash)
  exchange.retry?.remember(request)
  prepareUpstreamHead(exchange, route, choice)
  mirrorRequest(exchange, forward)
  if (exchange.requestEnded && exchange.mirrors.length > 0) exchange.sendMirrors()
  sendToCluster(exchange, hash.hash)
}

/** pick -> acquire: choose an endpoint and ask its pool for a connection. Also the way of every retry and hedge. */
export function sendToCluster(exchange: Exchange, hash: bigint | null): void {
  const { cluster, forward, request, runtime, info } = exchange
  if (cluster === null || forward === null) return
  const attempt = ++info.upstreamRequestAttemptCount
  const context = new PickContext(exchange, hash)
  const host = cluster.pick(context)
  if (host === null) {
    cluster.traffic.main.upstream_cx_none_healthy.value++
    exchange.reply(localReply('no-healthy-upstream', ''))
    return
  }
  const owner = host.cluster
  if (attempt > 1) shrinkExpectedTimeout(exchange)
  if (exchange.route!.virtualHost.includeAttemptCount) request.headers.set('x-envoy-attempt-count', String(attempt))
  forward.rewriteHostForEndpoint(request, host.hostname)
  const tunnel = request.method === 'CONNECT' && request.upgrade === '' && forward.endsConnect
  const protocol = tunnel ? 'http1' : runtime.pools.protocolFor(host, request)
  const pool = runtime.pools.poolFor(host, protocol, forward.priority, sniFor(exchange, host), tunnel)
  exchange.info.selectedHost = host
  const upstream = new UpstreamRequest(exchange, host, pool, owner.breakers(forward.priority), attempt)
  exchange.upstream = upstream
  // Envoy's route timeout counts the wait for a connection too.
  if (exchange.requestEnded && !exchange.tunnel) exchange.armRouteTimer()
  exchange.attempts.push(upstream)
  exchange.retry?.tried(host)
  upstream.armPerTry(exchange.retry?.perTryTimeoutMs ?? null, exchange.retry?.perTryIdleTimeoutMs ?? null)
  upstream.start()
}

/** auto_sni: the request's host (without port) becomes the server name. */
function sniFor(exchange: Exchange, host: Host): string {
  const { config } = host.cluster
  if (config.tls === null) return ''
  if (config.http.autoSni) return hostOnly(exchange.request.authority)
  if (config.tls.autoHostSni) return host.hostname
  return ''
}

function hostOnly(authority: string): string {
  if (authority.startsWith('[')) return ''
  const colon = authority.indexOf(':')
  const name = colon === -1 ? authority : authority.slice(0, colon)
  return /^[0-9.]+$/.test(name) ? '' : name.toLowerCase()
}

/** Route timeout: x-envoy-upstream-rq-timeout-ms, grpc-timeout where the route allows it, the route, or 15 s. */
function setTimeouts(exchange: Exchange): void {
  const { forward, request } = exchange
  if (forward === null) return
  // max_stream_duration stands in for the route timeout (Envoy RouteEntry::usingNewTimeouts).
  let timeoutMs = forward.limitsDuration ? 0 : (forward.timeoutMs ?? DEFAULT_ROUTE_TIMEOUT_MS)
  limitDuration(exchange, forward)
  if (exchange.isGrpc && !forward.limitsDuration) {
    const clamped = clampGrpcTimeout(request.headers, forward)
    if (clamped !== null) timeoutMs = clamped
  }
  const header = request.headers.get('x-envoy-upstream-rq-timeout-ms')
  if (header !== undefined) {
    const ms = parseMs(header)
    if (ms !== null) timeoutMs = ms
    request.headers.remove('x-envoy-upstream-rq-timeout-ms')
  }
  if (request.upgrade !== '' || request.method === 'CONNECT') timeoutMs = forward.timeoutMs ?? 0
  exchange.routeTimeoutMs = timeoutMs
  const { maxStreamDurationMs } = exchange.cluster!.config.http.common
  if (maxStreamDurationMs !== null && maxStreamDurationMs > 0) exchange.armUpstreamMaxDuration(maxStreamDurationMs)
  if (timeoutMs > 0 && !exchange.runtime.routerConfig.suppressEnvoyHeaders)
    request.headers.set('x-envoy-expected-rq-timeout-ms', String(expectedTimeout(exchange, timeoutMs)))
  else request.headers.remove('x-envoy-expected-rq-timeout-ms')
}

/** A retry tells the upstream what is left of the route timeout. */
function shrinkExpectedTimeout(exchange: Exchange): void {
  const { routeTimeoutMs, request, info } = exchange
  if (routeTimeoutMs <= 0 || !request.headers.has('x-envoy-expected-rq-timeout-ms')) return
  const from = info.requestReceivedAt === 0 ? info.startedAt : info.requestReceivedAt
  const left = Math.max(1, Math.round(routeTimeoutMs - (performance.now() - from)))
  const perTry = exchange.retry?.perTryTimeoutMs ?? null
  request.headers.set('x-envoy-expected-rq-timeout-ms', String(perTry !== null && perTry > 0 ? Math.min(perTry, left) : left))
}

/**
 * A route's max_stream_duration replaces the connection manager's; with grpc_timeout_header_max the client's grpc-timeout, clamped,
 * replaces both. A gRPC upstream is told what holds (Envoy ActiveStream::refreshDurationTimeout).
 */
function limitDuration(exchange: Exchange, forward: CompiledForward): void {
  if (!forward.limitsDuration) return
  const { headers } = exchange.request
  const asked = forward.grpcTimeoutHeaderMaxMs === null ? null : clampGrpcTimeout(headers, forward)
  const ms = asked ?? forward.maxStreamDurationMs ?? exchange.runtime.config.common.maxStreamDurationMs ?? 0
  exchange.setMaxDuration(ms)
  if (ms > 0 && exchange.isGrpc) headers.set('grpc-timeout', formatGrpcTimeout(ms))
}

/** With a per-try timeout shorter than the whole, the upstream is told that one (Envoy FilterUtility::finalTimeout). */
function expectedTimeout(exchange: Exchange, timeoutMs: number): number {
  const perTry = exchange.forward?.retry?.perTryTimeoutMs ?? null
  return perTry !== null && perTry > 0 && perTry < timeoutMs ? perTry : timeoutMs
}

/** Unsigned decimal of at most nine digits, or null. */
function parseMs(text: string): number | null {
  return /^\d{1,9}$/.test(text) ? Number(text) : null
}

/** upgrade_configs of the connection manager, overridden by the route's. */
function upgradeAllowed(exchange: Exchange): boolean {
  const { request, runtime, forward } = exchange
  const type = request.method === 'CONNECT' && request.upgrade === '' ? 'connect' : request.upgrade
  // Answers that do not forward (direct response, redirect) and unknown routes take the normal way.
  const forRoute = forward?.upgrades.find(upgrade => upgrade.upgradeType === type)
  if (forRoute !== undefined) return forRoute.enabled
  return runtime.config.upgrades.some(upgrade => upgrade.upgradeType === type && upgrade.enabled)
}

/** What a request brings to the choice of a host. */
class PickContext implements LbContext {
  readonly hash: bigint | null
  readonly metadataMatch
  readonly maxAttempts: number
  readonly random: () => number
  readonly originalDst: string | null
  readonly excludedPriorities: ReadonlySet<number> | null
  private readonly retry: RetryState | null

  constructor(exchange: Exchange, hash: bigint | null) {
    this.hash = hash
    this.metadataMatch = exchange.choice?.weighted?.metadataMatch ?? exchange.forward!.metadataMatch
    this.retry = exchange.retry
    this.maxAttempts = this.retry?.hostSelectionAttempts ?? 1
    this.random = exchange.runtime.random
    this.excludedPriorities = this.retry?.excludedPriorities ?? null
    const { config } = exchange.cluster!
    this.originalDst =
      config.discovery.kind === 'originalDst' && config.discovery.useHttpHeader
        ? (exchange.request.headers.get(config.discovery.httpHeaderName || 'x-envoy-original-dst-host') ?? null)
        : null
  }

  shouldSkip(host: Host): boolean {
    return this.retry?.shouldSkip(host) === true
  }
}
