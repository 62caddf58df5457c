// Where a request would go: it takes the steps of server/request-path.ts (normalise -> authorise -> match -> split) with the very objects
// that real requests meet, on a head and a StreamInfo made for it, and says at each step what was decided and why. Called by proxy/explain.
// Invariant: nothing is counted, sent, drawn from a limit or picked; what only a real request can show is said to be unknown.

import type { ClusterRegistry } from '../../upstream/cluster/cluster-registry.js'
import type { RequestHead } from '../codec/codec.js'
import type { FilterCall } from '../filters/http-filter.js'
import { isGrpcRequest } from '../grpc/grpc.js'
import type { RouteCondition } from '../match/route-match.js'
import { type ClusterChoice, type CompiledForward, type CompiledRoute, filterOverride, filterOverrides } from '../route/compiled-route.js'
import type { RouteTrace } from '../route/route-table.js'
import { RetryState } from '../router/retry-state.js'
import { RouteTimeouts } from '../router/route-timeouts.js'
import type { HttpRuntime } from '../server/http-runtime.js'
import { type IncomingRequest, prepareRequest } from '../server/request-headers.js'
import type { ConnectionInfo } from '../stream/connection-info.js'
import { StreamInfo } from '../stream/stream-info.js'
import { explainCluster } from './explain-cluster.js'
import type {
  ExplainedCluster,
  ExplainedFilter,
  ExplainedRequest,
  ExplainedRetry,
  ExplainedRoute,
  ExplainedTimeout,
  PassedRoute,
} from './explanation.js'
import { describeMatch, describeMiss } from './match-words.js'

/** The last ones before the route that matched: those nearest to it. */
const MAX_PASSED = 50
const MAX_DOMAINS = 10
const MAX_LEGS = 50

export function explainRequest(runtime: HttpRuntime, connection: ConnectionInfo, head: RequestHead): Promise<ExplainedRequest> {
  return new ImaginedRequest(runtime, connection, head).explain()
}

class ImaginedRequest implements IncomingRequest, RouteTrace {
  readonly request: RequestHead
  readonly info: StreamInfo
  readonly body = { ended: true }
  readonly stream = { sendInformational: (): void => {} }
  readonly runtime: HttpRuntime
  route: CompiledRoute | null = null
  choice: ClusterChoice | null = null
  private virtualHost: string | null = null
  private passed: PassedRoute[] = []
  private passedCount = 0
  /** One draw for the whole explanation. */
  private readonly roll: number

  constructor(runtime: HttpRuntime, connection: ConnectionInfo, head: RequestHead) {
    this.runtime = runtime
    this.request = head
    this.info = new StreamInfo(connection, Date.now(), performance.now())
    this.info.request = head
    this.roll = runtime.random()
  }

  async explain(): Promise<ExplainedRequest> {
    const refused = prepareRequest(this)
    if (refused !== null) {
      return this.result([], 'redirect' in refused ? `redirected to ${refused.redirect}` : `answered ${refused.status}: ${refused.details}`)
    }
    this.match()
    const filters = await this.runFilters()
    const denied = filters.find(({ verdict }) => verdict === 'denies')
    if (denied !== undefined) return this.result(filters, `answered ${denied.status ?? 403} by ${denied.name}: ${denied.reason}`)
    return this.result(filters, this.outcome())
  }

  // ---- match -> split -----------------------------------------------------------------------------------------------------------

  private match(): void {
    this.passed = []
    this.passedCount = 0
    const random = (): number => this.roll
    const result = this.runtime.routes.tableFor(this.request).match(this.request, this.info, random, this)
    this.route = result.kind === 'route' ? result.route : null
    this.virtualHost = result.kind === 'route' ? result.route.virtualHost.name : result.kind === 'no-route' ? result.virtualHost : null
    this.info.routeName = this.route?.model.name ?? ''
    this.choice = this.route === null || this.route.forward === null ? null : this.split(this.route.forward)
  }

  private split(forward: CompiledForward): ClusterChoice {
    return forward.selectCluster(this.request, this.roll, forward.hash(this.request, this.info).hash)
  }

  passedOver(route: CompiledRoute, missed: RouteCondition): void {
    this.passedCount++
    const { model } = route
    this.passed.push({
      route: route.label,
      match: describeMatch(model.match),
      missed: describeMiss(model.match, missed, this.request, this.info),
    })
    if (this.passed.length > MAX_PASSED) this.passed.shift()
  }

  // ---- filters --------------------------------------------------------------------------------------------------------------------

  private async runFilters(): Promise<ExplainedFilter[]> {
    const explained: ExplainedFilter[] = []
    const call = this.filterCall()
    for (const factory of this.runtime.filters) {
      const { name } = factory
      const override = this.overrideFor(name)
      if (override === undefined ? factory.disabled : override.disabled) {
        explained.push({ name, verdict: 'disabled', reason: override === undefined ? 'by its config' : 'by the route' })
        continue
      }
      const filter = factory.create(call)
      if (filter === null) explained.push({ name, verdict: 'passes', reason: 'it has nothing to do for this request' })
      else if (filter.explain !== undefined) explained.push({ name, ...(await filter.explain(call, this.request)) })
      else if (filter.requestHead === undefined)
        explained.push({ name, verdict: 'passes', reason: 'it looks at bodies or responses alone' })
      else explained.push({ name, verdict: 'unknown', reason: 'it decides when a request comes' })
      if (explained[explained.length - 1]!.verdict === 'denies') break
    }
    return explained
  }

  private overrideFor(filterName: string): ReturnType<FilterCall['overrideFor']> {
    return this.route === null ? undefined : filterOverride(this.route, this.choice, filterName)
  }

  /** What filters get: it knows the request, and does nothing to it. */
  private filterCall(): FilterCall {
    const route = (): CompiledRoute | null => this.route
    return {
      info: this.info,
      request: this.request,
      ended: false,
      imagined: true,
      get route() {
        return route()
      },
      overrideFor: name => this.overrideFor(name),
      overridesFor: name => (this.route === null ? [] : filterOverrides(this.route, this.choice, name)),
      clearRouteCache: () => this.match(),
      sendReply: () => {},
      sendHead: () => {},
      resume: () => {},
      resumeResponse: () => {},
      bufferRequest: () => {},
      replaceRequestBody: () => {},
    }
  }

  // ---- what comes of it -------------------------------------------------------------------------------------------------------------

  private outcome(): string {
    const { route } = this
    if (this.virtualHost === null) return `answered 404: no virtual host takes ${this.request.authority}`
    if (route === null) return `answered 404: no route of virtual host ${this.virtualHost} matches`
    if (route.forward === null) return describeAction(route)
    const legs = legsOf(route.forward, this.choice!)
    return legs.length === 1 ? `forwarded to cluster ${legs[0]!.name}` : `forwarded to one of ${legs.length} clusters`
  }

  private result(filters: readonly ExplainedFilter[], outcome: string): ExplainedRequest {
    const { runtime, request, route, passed, passedCount } = this
    const forward = route?.forward ?? null
    const table = runtime.routes.tableFor(request).model
    const domains = route?.virtualHost.model.domains
    return {
      route_config: table.name,
      host: request.authority,
      path: request.path,
      filters,
      virtual_host: this.virtualHost,
      ...(domains === undefined ? {} : { domains: domains.slice(0, MAX_DOMAINS) }),
      passed_over: passed,
      ...(passedCount > passed.length ? { passed_over_left_out: passedCount - passed.length } : {}),
      route: route === null ? null : explainRoute(route),
      outcome,
      ...(forward === null ? NOT_FORWARDED : this.forwarded(forward)),
    }
  }

  private forwarded(forward: CompiledForward): Pick<ExplainedRequest, 'clusters' | 'timeouts' | 'retries'> {
    const { runtime, request, choice } = this
    const { clusters } = runtime
    const shown = legsOf(forward, choice!).slice(0, MAX_LEGS)
    const explained = shown.map((leg): ExplainedCluster => {
      const weights = leg.weight === undefined ? {} : { weight: leg.weight, total_weight: leg.total }
      return { ...explainCluster(clusters, leg.name, forward.priority === 'HIGH' ? 'high' : 'default'), ...weights }
    })
    const cluster = clusters.get(choice!.name) ?? null
    const timeouts = new RouteTimeouts(
      { onStreamTimer: () => {} },
      request,
      forward,
      isGrpcRequest(request),
      runtime.routerConfig.respectExpectedRqTimeout,
    )
    const hash = forward.hash(request, this.info).hash
    const asked = ASKED_BY_HEADER.filter(name => request.headers.has(name))
    const retry = RetryState.create(
      { request, cluster, routeTimeoutMs: timeouts.routeMs, random: () => this.roll, counters: null },
      forward,
      hash,
    )
    return {
      clusters: explained,
      timeouts: timeoutsOf(timeouts, retry, forward, this, clusters),
      retries: explainRetry(retry, forward, asked),
    }
  }
}

/** Headers by which a request asks for retries itself. */
const ASKED_BY_HEADER = ['x-envoy-retry-on', 'x-envoy-retry-grpc-on']

const NOT_FORWARDED = { clusters: [], timeouts: [], retries: null }

function legsOf(
  forward: CompiledForward,
  choice: ClusterChoice,
): { readonly name: string; readonly weight?: number; readonly total?: number }[] {
  const { cluster } = forward.model
  if (cluster.kind !== 'weighted') return [{ name: choice.name }]
  return cluster.clusters.map(leg => ({
    name: leg.name === '' ? choice.name : leg.name,
    weight: leg.weight,
    total: cluster.totalWeight,
  }))
}

function explainRoute(route: CompiledRoute): ExplainedRoute {
  return { name: route.label, match: describeMatch(route.model.match), action: describeAction(route) }
}

function describeAction({ model: { action } }: CompiledRoute): string {
  switch (action.kind) {
    case 'forward':
      return describeForward(action)
    case 'redirect':
      return `answered ${action.status}: a redirect`
    case 'directResponse':
      return `answered ${action.status} by the route itself`
    case 'nonForwarding':
      return 'answered 500: the route is for gRPC clients without a proxy'
  }
}

function describeForward({ cluster, prefixRewrite, hostRewrite }: CompiledForward['model']): string {
  const to =
    cluster.kind === 'cluster'
      ? `cluster ${cluster.name}`
      : cluster.kind === 'clusterHeader'
        ? `the cluster that header ${cluster.header} names`
        : `${cluster.clusters.length} weighted clusters`
  const path = prefixRewrite === '' ? '' : `, with the prefix rewritten to ${prefixRewrite}`
  return `forward to ${to}${path}${hostRewrite === null ? '' : ', with the host rewritten'}`
}

function timeoutsOf(
  { routeMs, origin }: RouteTimeouts,
  retry: RetryState | null,
  forward: CompiledForward,
  {
    runtime: { config },
    route,
    choice,
  }: { readonly runtime: HttpRuntime; readonly route: CompiledRoute | null; readonly choice: ClusterChoice | null },
  clusters: ClusterRegistry,
): ExplainedTimeout[] {
  const timeouts: ExplainedTimeout[] = [{ name: 'request', ms: routeMs, set_by: origin === 'route' ? `route ${route!.label}` : origin }]
  if (retry !== null && retry.perTryTimeoutMs !== null) {
    const own = forward.retry?.perTryTimeoutMs === retry.perTryTimeoutMs
    timeouts.push({
      name: 'per try',
      ms: retry.perTryTimeoutMs,
      set_by: own ? `retry policy of the ${retryOwner(forward)}` : `header ${PER_TRY}`,
    })
  }
  if (retry !== null && retry.perTryIdleTimeoutMs !== null)
    timeouts.push({ name: 'per try, idle', ms: retry.perTryIdleTimeoutMs, set_by: `retry policy of the ${retryOwner(forward)}` })
  timeouts.push(
    forward.idleTimeoutMs === null
      ? { name: 'stream idle', ms: config.streamIdleTimeoutMs, set_by: 'connection manager' }
      : { name: 'stream idle', ms: forward.idleTimeoutMs, set_by: 'route' },
  )
  if (config.requestTimeoutMs > 0) timeouts.push({ name: 'request body', ms: config.requestTimeoutMs, set_by: 'connection manager' })
  const longest = forward.maxStreamDurationMs ?? config.common.maxStreamDurationMs
  if (longest !== null && longest > 0)
    timeouts.push({ name: 'stream', ms: longest, set_by: forward.maxStreamDurationMs === null ? 'connection manager' : 'route' })
  const cluster = choice === null ? undefined : clusters.get(choice.name)
  if (cluster !== undefined) {
    timeouts.push({ name: 'connect', ms: cluster.config.connectTimeoutMs, set_by: `cluster ${cluster.name}` })
    const { maxStreamDurationMs } = cluster.config.http.common
    if (maxStreamDurationMs !== null && maxStreamDurationMs > 0)
      timeouts.push({ name: 'upstream stream', ms: maxStreamDurationMs, set_by: `cluster ${cluster.name}` })
  }
  return timeouts
}

const PER_TRY = 'x-envoy-upstream-rq-per-try-timeout-ms'

function retryOwner(forward: CompiledForward): string {
  return forward.model.retry === null ? 'virtual host' : 'route'
}

function explainRetry(retry: RetryState | null, forward: CompiledForward, asked: readonly string[]): ExplainedRetry | null {
  if (retry === null || retry.left.on.length === 0) return null
  const owners = [...(forward.retry === null ? [] : [retryOwner(forward)]), ...asked.map(name => `header ${name}`)]
  return { set_by: owners.join(' and '), ...retry.left }
}
