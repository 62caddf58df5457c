// Requests that the router answers itself, without a try or because their time is up: the reply, what is counted, and why, for the log and for
// whoever asks (failure-reason.ts has the words). How a try that failed is answered: failure-reply.ts. Called by the router.

import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { UpstreamRequest } from '../client/upstream-request.js'
import type { ResponseHead } from '../codec/codec.js'
import { type LocalReplyCode, localReply } from '../reply/local-reply.js'
import { toldReason } from '../reply/peer-reason.js'
import type { CompiledForward, CompiledRoute } from '../route/compiled-route.js'
import { ResponseFlag } from '../stream/response-flags.js'
import type { OverrideHost } from '../stream/stream-info.js'
import {
  dropReason,
  maxDurationReason,
  noClusterReason,
  noHostReason,
  noRouteReason,
  noSessionHostReason,
  timeoutReason,
} from './failure-reason.js'
import type { RouteTimeouts } from './route-timeouts.js'
import type { RouterHost, RouterRuntime } from './router-host.js'
import { chargeRouteTimeout, chargeStatus, type JudgedRequest } from './upstream-outcome.js'

/** What the answers rest on. Router implements it. */
export interface AnsweredRequest extends JudgedRequest {
  readonly host: RouterHost
  readonly runtime: RouterRuntime
  readonly route: CompiledRoute | null
  /** Why there is no route. */
  readonly noRoute: LocalReplyCode
  readonly cluster: UpstreamCluster | null
  /** The newest try. */
  readonly upstream: UpstreamRequest | null
  readonly timeouts: RouteTimeouts | null
}

export function answerNoRoute({ host, runtime, noRoute }: AnsweredRequest): void {
  runtime.router.no_route.value++
  host.info.noteFailure(noRouteReason(noRoute, runtime.routes.tableFor(host.request).model.name))
  host.reply(localReply(noRoute, ''))
}

export function answerNoCluster({ host, runtime }: AnsweredRequest, route: CompiledRoute, forward: CompiledForward, name: string): void {
  runtime.router.no_cluster.value++
  host.info.noteFailure(noClusterReason(route, name))
  host.reply({ ...localReply('cluster-not-found', name), status: forward.clusterNotFoundStatus })
}

export function answerDropped(request: AnsweredRequest, cluster: UpstreamCluster, category: string): void {
  cluster.countDrops(category)
  chargeStatus(request, cluster, 503)
  noteFailure(request, cluster.name, 'drop_overloads', dropReason(cluster, category))
  request.host.reply(localReply(cluster.dropsAll ? 'unconditional-drop-overload' : 'drop-overload', ''))
}

export function answerNoHost(request: AnsweredRequest, cluster: UpstreamCluster, override: OverrideHost | null): void {
  const reply = localReply('no-healthy-upstream', '')
  chargeStatus(request, cluster, 503)
  cluster.traffic.main.upstream_cx_none_healthy.value++
  if (override?.strict === true) {
    noteFailure(request, cluster.name, 'no session endpoint', noSessionHostReason(cluster, override.address))
    request.host.reply({ ...reply, status: override.missingStatus })
    return
  }
  noteFailure(request, cluster.name, 'no endpoint', noHostReason(cluster))
  request.host.reply(reply)
}

export function answerRouteTimeout(request: AnsweredRequest): void {
  const { host, upstream, route, timeouts } = request
  const cluster = upstream?.host.cluster ?? request.cluster!
  noteFailure(request, cluster.name, 'request timeout', timeoutReason(timeouts!, upstream?.host ?? null, route!))
  chargeRouteTimeout(request)
  if (host.responseStarted) host.abort(ResponseFlag.UpstreamRequestTimeout, 'response_timeout')
  else host.reply(localReply('upstream-request-timeout', ''))
}

export function answerMaxDuration(request: AnsweredRequest): void {
  const { host } = request
  const cluster = request.cluster!
  cluster.traffic.main.upstream_rq_max_duration_reached.value++
  noteFailure(request, cluster.name, 'max_stream_duration', maxDurationReason(cluster))
  if (host.responseStarted) host.abort(ResponseFlag.UpstreamMaxStreamDurationReached, 'upstream_max_stream_duration_reached')
  else host.reply(localReply('upstream-max-stream-duration', ''))
}

export function noteFailure({ host, runtime }: AnsweredRequest, cluster: string, cause: string, reason: string): void {
  host.info.noteFailure(reason)
  runtime.failures.record(cluster, cause, reason)
}

/** What the sidecar of the callee says of its answer; believed of validated peers alone. */
export function hearReason(request: AnsweredRequest, { host, connection }: UpstreamRequest, head: ResponseHead): boolean {
  const reason = toldReason(head.headers)
  if (reason === undefined || connection?.peer?.validated !== true) return false
  noteFailure(request, host.cluster.name, `answer ${head.status}`, `${host.addressText} answered ${head.status}: ${reason}`)
  return true
}
