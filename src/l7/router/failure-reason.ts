// Why a request got no answer from its upstream, in one line with the host, the limit or timer, its value and where that is set: for our own
// log, and for clients who may know (HttpRuntime.explainsTo). What everybody is told is Envoy's (failure-reply.ts). Called by the router. Pure.

import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import { HealthFlag, type Host } from '../../upstream/host/host.js'
import type { UpstreamRequest } from '../client/upstream-request.js'
import type { LocalReplyCode } from '../reply/local-reply.js'
import type { CompiledRoute } from '../route/compiled-route.js'
import type { UpstreamFailure } from '../stream/upstream-failure.js'
import type { RetryState } from './retry-state.js'
import type { RouteTimeouts } from './route-timeouts.js'

/** Of what a client says. */
const MAX_SHOWN_ADDRESS = 64

/** The try that failed, as far as it is told. */
export interface FailedTry {
  readonly host: Host
  readonly headSent: boolean
}

export function failureReason(
  failure: UpstreamFailure,
  { host, headSent }: FailedTry,
  route: CompiledRoute,
  retry: RetryState | null,
): string {
  const { name, config } = host.cluster
  switch (failure.kind) {
    case 'overflow':
      return `limit ${failure.why} is reached, set by the circuit breakers of cluster ${name}`
    case 'connect-timeout':
      return `no connection to ${host.addressText} within ${config.connectTimeoutMs} ms, the connect_timeout of cluster ${name}`
    case 'connect-failure':
      return connectReason(host, failure.why)
    case 'per-try-timeout':
      return `no answer from ${host.addressText} within ${retry?.perTryTimeoutMs ?? 0} ms, the per-try timeout, set by ${perTryOrigin(route, retry)}`
    case 'per-try-idle-timeout':
      return `silence of ${host.addressText} for ${retry?.perTryIdleTimeoutMs ?? 0} ms, the per-try idle timeout, set by ${retryOwner(route)}`
    case 'reset': {
      const how = failure.reset.code === 'connection-closed' ? 'closed the connection' : `broke the request off (${failure.reset.code})`
      const details = failure.reset.details === '' ? '' : `: ${failure.reset.details}`
      return `${host.addressText} ${how}${headSent ? ' after the request was sent' : ''}${details}`
    }
  }
}

/** The layer that dialled may have named the host itself. */
export function connectReason({ addressText }: Host, why: string): string {
  return `no connection to ${why.startsWith(addressText) ? why : `${addressText}: ${why}`}`
}

export function timeoutReason({ routeMs, origin }: RouteTimeouts, host: Host | null, route: CompiledRoute): string {
  const from = host === null ? 'no answer' : `no answer from ${host.addressText}`
  const owner = origin === 'route' ? routeName(route) : origin === 'default' ? "Envoy's default" : origin
  return `${from} within ${routeMs} ms, the request timeout, set by ${owner}`
}

/** `table`: the route config's name, '' where it stands in its listener. */
export function noRouteReason(code: LocalReplyCode, table: string): string {
  const where = table === '' ? 'the route config' : `route config ${table}`
  return code === 'no-virtual-host' ? `no virtual host of ${where} takes this host` : `no route of ${where} matches`
}

export function noClusterReason({ label, forward }: CompiledRoute, cluster: string): string {
  const named = forward?.model.cluster
  if (cluster === '' && named?.kind === 'clusterHeader')
    return `route ${label} takes its cluster from header ${named.header}, which the request has not`
  return `route ${label} leads to cluster ${cluster}, which is not there`
}

export function maxDurationReason({ name, config }: UpstreamCluster): string {
  return `the stream lasted ${config.http.common.maxStreamDurationMs} ms, the max_stream_duration of cluster ${name}`
}

export function dropReason({ name }: UpstreamCluster, category: string): string {
  return `dropped by drop_overloads of cluster ${name}, category ${category}, as the control plane wants it`
}

/** The last answer goes to the client as it is: there is no further try. */
export function retriesSpentReason(
  { host, attempt }: Pick<UpstreamRequest, 'host' | 'attempt'>,
  status: number,
  route: CompiledRoute,
): string {
  return `${host.addressText} answered ${status} to the last of ${attempt} tries, as many as ${retryOwner(route)} allows`
}

/** Nobody could be picked. */
export function noHostReason({ name, hosts, config, dnsProblem }: UpstreamCluster): string {
  if (hosts.length === 0) {
    const why = dnsProblem !== '' ? `: ${dnsProblem}` : config.discovery.kind === 'eds' ? ': the control plane sent none' : ''
    return `cluster ${name} has no endpoints${why}`
  }
  const count = (flag: number): number => hosts.filter(host => host.hasFlag(flag)).length
  const reasons = [
    [count(HealthFlag.FAILED_ACTIVE_HC), 'fail their health checks'],
    [count(HealthFlag.FAILED_OUTLIER_CHECK), 'are ejected by outlier detection'],
    [count(HealthFlag.FAILED_EDS_HEALTH) + count(HealthFlag.EDS_STATUS_DRAINING), 'are out by the control plane'],
  ] as const
  const told = reasons.filter(([number]) => number > 0).map(([number, why]) => `${number} ${why}`)
  if (told.length === 0 && config.subset !== null) told.push('none has the metadata that the route asks for')
  return `none of the ${hosts.length} endpoints of cluster ${name} may be used${told.length === 0 ? '' : `: ${told.join(', ')}`}`
}

/** Of a strict session. `address`: the client's word. */
export function noSessionHostReason({ name }: UpstreamCluster, address: string): string {
  return `the session is at ${JSON.stringify(address.slice(0, MAX_SHOWN_ADDRESS))}, which is no endpoint that cluster ${name} may use`
}

function perTryOrigin(route: CompiledRoute, retry: RetryState | null): string {
  return route.forward?.retry?.perTryTimeoutMs === retry?.perTryTimeoutMs
    ? retryOwner(route)
    : 'header x-envoy-upstream-rq-per-try-timeout-ms'
}

function retryOwner(route: CompiledRoute): string {
  return route.forward?.model.retry === null
    ? `the retry policy of virtual host ${route.virtualHost.name}`
    : `the retry policy of ${routeName(route)}`
}

function routeName({ label, virtualHost }: CompiledRoute): string {
  return `route ${label} of virtual host ${virtualHost.name}`
}
