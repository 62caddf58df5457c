// One route of a table, compiled: what to match is in route-match, what to do is here. Made by route-table once per accepted config and
// shared by all requests; a request keeps the route it matched while tables are swapped. Everything that a route does not configure is
// null or a shared empty value. HOT: once or a few times a request.

import { VirtualClusterStats } from '../../metrics/stat-names.js'
import type { StatSource } from '../../metrics/stats-store.js'
import type { HostRateLimits, HttpFilterOverride } from '../../model/http-filter.js'
import { LB_METADATA, type Metadata, OUTRIGGER_METADATA } from '../../model/metadata.js'
import type { RateLimit } from '../../model/rate-limit.js'
import type {
  ForwardAction,
  HedgePolicy,
  MirrorPolicy,
  RetryPolicy,
  Route,
  RouteTable,
  VirtualHost,
  WeightedCluster,
} from '../../model/route.js'
import { toByteString } from '../codec/byte-string.js'
import type { RequestHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { compileHeaderMatchers } from '../match/header-matcher.js'
import { CompiledRouteMatch } from '../match/route-match.js'
import { compileRuntimeFraction, type FractionTest, type Runtime } from '../match/runtime-fraction.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { compileHashPolicies, NO_HASH, type RequestHash } from './hash-policy.js'
import { compileRequestMutations, compileResponseMutations, type HeaderMutator } from './header-mutations.js'
import { compileHostRewrite, compilePathRewrite, type PathRewriter, updateAuthority } from './path-rewrite.js'
import { CompiledRetryPolicy } from './retry-policy.js'
import { type AnswerTarget, answerDirectly, answerDirectResponse, answerRedirect } from './route-answers.js'
import { type CompiledDecorator, CompiledRouteTracing, compileDecorator } from './route-tracing.js'

/** Which cluster a request goes to. `name` may be one that does not exist (cluster_header). */
export interface ClusterChoice {
  readonly name: string
  readonly weighted: CompiledWeightedCluster | null
}

/** A virtual cluster of a virtual host; the last is the one for requests that no other matches, whose name is ''. */
export interface CompiledVirtualCluster {
  readonly name: string
  readonly test: ReturnType<typeof compileHeaderMatchers>
  readonly stats: VirtualClusterStats | null
}

/** What compiled routes share of their virtual host and table. */
export interface CompiledVirtualHost {
  readonly name: string
  readonly includeAttemptCount: boolean
  readonly includeAttemptCountInResponse: boolean
  readonly model: VirtualHost
  readonly table: RouteTable
  readonly rateLimits: readonly RateLimit[]
  /** Virtual host over table. */
  readonly overrides: ReadonlyMap<string, HttpFilterOverride>
  readonly retry: CompiledRetryPolicy | null
  /** Virtual host, then table; reversed where most_specific_header_mutations_wins. */
  readonly requestMutators: readonly HeaderMutator[]
  readonly responseMutators: readonly HeaderMutator[]
  readonly virtualClusters: readonly CompiledVirtualCluster[]
  /** The first that matches; null where there is none at all. */
  virtualClusterOf(head: RequestHead, info: StreamInfo): CompiledVirtualCluster | null
}

const NO_MUTATORS: readonly HeaderMutator[] = []

/** Levels in the order they are applied: the most specific first, or last where it shall win. */
export function inOrder(
  specific: HeaderMutator | null,
  general: readonly HeaderMutator[],
  specificWins: boolean,
): readonly HeaderMutator[] {
  if (specific === null) return general
  return specificWins ? [...general, specific] : [specific, ...general]
}

function applyAll(mutators: readonly HeaderMutator[], headers: HeaderList, info: StreamInfo): void {
  for (let i = 0; i < mutators.length; i++) mutators[i]!.apply(headers, info)
}

export class CompiledWeightedCluster {
  readonly model: WeightedCluster
  /** '' where a header names it. */
  readonly name: string
  /** The route's criteria with this cluster's merged over them; null when neither has any. */
  readonly metadataMatch: Metadata | null
  readonly overrides: ReadonlyMap<string, HttpFilterOverride>
  readonly hostRewrite: string
  /** All levels, in order. */
  readonly requestMutators: readonly HeaderMutator[]
  readonly responseMutators: readonly HeaderMutator[]
  private readonly fixedChoice: ClusterChoice

  constructor(model: WeightedCluster, routeMetadata: Metadata | null, route: CompiledRoute) {
    const wins = route.virtualHost.table.mostSpecificHeaderMutationsWins
    this.model = model
    this.name = model.name
    this.metadataMatch = mergeCriteria(routeMetadata, model.metadataMatch)
    this.overrides = model.overrides
    this.hostRewrite = toByteString(model.hostRewrite)
    this.requestMutators = inOrder(compileRequestMutations(model.mutations), route.requestMutators, wins)
    this.responseMutators = inOrder(compileResponseMutations(model.mutations), route.responseMutators, wins)
    this.fixedChoice = { name: model.name, weighted: this }
  }

  choice(head: RequestHead): ClusterChoice {
    if (this.model.clusterHeader === '') return this.fixedChoice
    return { name: head.headers.get(this.model.clusterHeader) ?? '', weighted: this }
  }
}

function mergeCriteria(general: Metadata | null, specific: Metadata | null): Metadata | null {
  if (general === null || specific === null) return specific ?? general
  const merged = new Map([...general, ...specific])
  const lb = { ...general.get(LB_METADATA), ...specific.get(LB_METADATA) }
  merged.set(LB_METADATA, Object.assign(Object.create(null), lb))
  return merged
}

export class CompiledMirror {
  readonly model: MirrorPolicy
  private readonly fraction: FractionTest | null

  constructor(model: MirrorPolicy, runtime: Runtime) {
    this.model = model
    this.fraction = compileRuntimeFraction(model.fraction, runtime)
  }

  wants(random: () => number): boolean {
    return this.fraction === null || this.fraction(random())
  }
}

/** A request that is sent on: RouteAction. */
export class CompiledForward {
  readonly model: ForwardAction
  readonly timeoutMs: number | null
  readonly idleTimeoutMs: number | null
  readonly maxStreamDurationMs: number | null
  /** The route has a max_stream_duration, so that Envoy's older max_grpc_timeout counts for nothing. */
  readonly limitsDuration: boolean
  readonly grpcTimeoutHeaderMaxMs: number | null
  readonly grpcTimeoutHeaderOffsetMs: number | null
  readonly maxGrpcTimeoutMs: number | null
  readonly grpcTimeoutOffsetMs: number | null
  /** The route's, else the virtual host's. */
  readonly retry: RetryPolicy | null
  readonly retryPolicy: CompiledRetryPolicy | null
  readonly hedge: HedgePolicy | null
  /** The route's, else the virtual host's, else the table's. */
  readonly mirrors: readonly CompiledMirror[]
  readonly priority: 'DEFAULT' | 'HIGH'
  readonly metadataMatch: Metadata | null
  readonly upgrades: ForwardAction['upgrades']
  /** CONNECT requests end here and their bytes go on over TCP (connect_config). */
  readonly endsConnect: boolean
  readonly clusterNotFoundStatus: 404 | 500 | 503
  /** As a filter of the route has it, which `include_vh_rate_limits` overrides. */
  readonly rateLimits: Readonly<Record<HostRateLimits, readonly RateLimit[]>>
  /** filter_metadata["outrigger"].retry_repick: a retry chooses among the weighted clusters again. */
  readonly retryRepick: boolean
  private readonly weighted: readonly CompiledWeightedCluster[]
  private readonly fixedChoice: ClusterChoice | null
  private readonly hashOf: ReturnType<typeof compileHashPolicies>
  private readonly rewritePath: PathRewriter | null
  private readonly hostOf: ReturnType<typeof compileHostRewrite>
  private readonly autoHost: boolean

  constructor(model: ForwardAction, route: CompiledRoute, runtime: Runtime) {
    const { virtualHost } = route
    this.model = model
    this.timeoutMs = model.timeoutMs
    this.idleTimeoutMs = model.idleTimeoutMs
    this.maxStreamDurationMs = model.maxStreamDurationMs
    this.limitsDuration =
      model.maxStreamDurationMs !== null || model.grpcTimeoutHeaderMaxMs !== null || model.grpcTimeoutHeaderOffsetMs !== null
    this.grpcTimeoutHeaderMaxMs = model.grpcTimeoutHeaderMaxMs
    this.grpcTimeoutHeaderOffsetMs = model.grpcTimeoutHeaderOffsetMs
    this.maxGrpcTimeoutMs = model.maxGrpcTimeoutMs
    this.grpcTimeoutOffsetMs = model.grpcTimeoutOffsetMs
    this.retryPolicy = model.retry === null ? virtualHost.retry : new CompiledRetryPolicy(model.retry)
    this.retry = this.retryPolicy?.model ?? null
    this.hedge = model.hedge ?? virtualHost.model.hedge
    this.mirrors = mirrorsOf(model, virtualHost).map(mirror => new CompiledMirror(mirror, runtime))
    this.priority = model.priority
    this.metadataMatch = model.metadataMatch
    this.upgrades = model.upgrades
    this.endsConnect = model.upgrades.some(upgrade => upgrade.upgradeType === 'connect' && upgrade.connect && upgrade.enabled)
    this.clusterNotFoundStatus = model.clusterNotFoundStatus
    this.rateLimits = rateLimitsOf(model, virtualHost.model)
    this.retryRepick = route.model.metadata.get(OUTRIGGER_METADATA)?.['retry_repick'] === true
    this.weighted =
      model.cluster.kind === 'weighted'
        ? model.cluster.clusters.map(cluster => new CompiledWeightedCluster(cluster, model.metadataMatch, route))
        : []
    this.fixedChoice = model.cluster.kind === 'cluster' ? { name: model.cluster.name, weighted: null } : null
    this.hashOf = compileHashPolicies(model.hashPolicy)
    this.rewritePath = compilePathRewrite(model, route.match.matchPath)
    this.hostOf = compileHostRewrite(model.hostRewrite)
    this.autoHost = model.hostRewrite?.kind === 'auto'
  }

  /** `random` uniform in [0, 1); `hash` of the hash policies, for splits that are sticky by it. */
  selectCluster(head: RequestHead, random: number, hash: bigint | null): ClusterChoice {
    if (this.fixedChoice !== null) return this.fixedChoice
    const { cluster } = this.model
    if (cluster.kind === 'weighted') return this.selectWeighted(head, pointOf(cluster, head, random, hash))
    return { name: cluster.kind === 'clusterHeader' ? (head.headers.get(cluster.header) ?? '') : '', weighted: null }
  }

  /** The cluster whose share of the weights holds `point`; Envoy's arithmetic, in config order. */
  private selectWeighted(head: RequestHead, point: number): ClusterChoice {
    const { weighted } = this
    let end = 0
    for (let i = 0; i < weighted.length; i++) {
      end += weighted[i]!.model.weight
      if (point < end) return weighted[i]!.choice(head)
    }
    return weighted[weighted.length - 1]!.choice(head)
  }

  /** Host, then path, as the route says (Envoy finalizeRequestHeaders). Once a request, not per try. */
  rewrite(head: RequestHead, info: StreamInfo, suppressEnvoyHeaders = false): void {
    if (this.hostOf !== null) {
      const host = this.hostOf(head, info)
      if (host !== '') {
        if (!suppressEnvoyHeaders) head.headers.set('x-envoy-original-host', head.authority)
        updateAuthority(head, host, this.model.appendXForwardedHost)
      }
    }
    if (this.rewritePath === null || head.path === '') return
    const before = head.path
    if (!suppressEnvoyHeaders) head.headers.set('x-envoy-original-path', before)
    head.path = this.rewritePath(before, info)
  }

  /** auto_host_rewrite: the endpoint's name becomes the host. Called per try; only the first try's host goes to x-forwarded-host. */
  rewriteHostForEndpoint(head: RequestHead, hostname: string): void {
    if (!this.autoHost || hostname === '') return
    if (endpointHosts.has(head)) head.authority = hostname
    else {
      endpointHosts.add(head)
      updateAuthority(head, hostname, this.model.appendXForwardedHost)
    }
  }

  hash(head: RequestHead, info: StreamInfo): RequestHash {
    return this.hashOf === null ? NO_HASH : this.hashOf(head, info)
  }
}

/** Heads whose host is an endpoint's already. */
const endpointHosts = new WeakSet<RequestHead>()

function pointOf(cluster: ForwardAction['cluster'] & { kind: 'weighted' }, head: RequestHead, random: number, hash: bigint | null): number {
  const total = cluster.totalWeight
  if (cluster.useHashPolicy && hash !== null) return Number(hash % BigInt(total))
  if (cluster.randomValueHeader !== '') {
    const value = head.headers.get(cluster.randomValueHeader)
    if (value !== undefined && /^\d{1,20}$/.test(value)) return Number(BigInt(value) % BigInt(total))
  }
  return Math.floor(random * total)
}

function mirrorsOf(model: ForwardAction, { model: host, table }: CompiledVirtualHost): readonly MirrorPolicy[] {
  if (model.mirrors.length > 0) return model.mirrors
  return host.mirrors.length > 0 ? host.mirrors : table.mirrors
}

function rateLimitsOf({ rateLimits: own, includeVhRateLimits }: ForwardAction, host: VirtualHost): CompiledForward['rateLimits'] {
  const include = host.rateLimits.length === 0 ? own : [...own, ...host.rateLimits]
  if (includeVhRateLimits) return { override: include, include, ignore: include }
  return { override: own.length === 0 ? host.rateLimits : own, include, ignore: own }
}

export class CompiledRoute {
  readonly model: Route
  readonly virtualHost: CompiledVirtualHost
  readonly match: CompiledRouteMatch
  /** Null: the route answers by itself. */
  readonly forward: CompiledForward | null
  /** Some level of this route's config overrides some filter. */
  readonly hasOverrides: boolean
  /** Route, virtual host and table, in the order they are applied. */
  readonly requestMutators: readonly HeaderMutator[]
  readonly responseMutators: readonly HeaderMutator[]
  /** `vhost.<name>.route.<stat_prefix>.`, where the route has one. */
  readonly stats: VirtualClusterStats | null
  /** Null: the connection manager's. */
  readonly tracing: CompiledRouteTracing | null
  readonly decorator: CompiledDecorator | null
  private readonly overrides: ReadonlyMap<string, HttpFilterOverride>
  private readonly rewritePath: PathRewriter | null
  private shownLabel = ''

  constructor(model: Route, virtualHost: CompiledVirtualHost, runtime: Runtime, stats: StatSource | null = null) {
    const wins = virtualHost.table.mostSpecificHeaderMutationsWins
    const { action } = model
    this.model = model
    this.virtualHost = virtualHost
    this.match = new CompiledRouteMatch(model.match, runtime)
    this.overrides = model.overrides.size === 0 ? virtualHost.overrides : new Map([...virtualHost.overrides, ...model.overrides])
    this.requestMutators = inOrder(compileRequestMutations(model.mutations), virtualHost.requestMutators, wins)
    this.responseMutators = inOrder(compileResponseMutations(model.mutations), virtualHost.responseMutators, wins)
    this.tracing = model.tracing === undefined ? null : new CompiledRouteTracing(model.tracing)
    this.decorator = compileDecorator(model.decorator)
    this.stats =
      model.statPrefix === '' || stats === null ? null : new VirtualClusterStats(stats, virtualHost.name, 'route', model.statPrefix)
    this.forward = action.kind === 'forward' ? new CompiledForward(action, this, runtime) : null
    this.hasOverrides =
      this.overrides.size > 0 ||
      (action.kind === 'forward' &&
        action.cluster.kind === 'weighted' &&
        action.cluster.clusters.some(cluster => cluster.overrides.size > 0))
    this.rewritePath = action.kind === 'redirect' ? compilePathRewrite(action, this.match.matchPath) : null
  }

  /** What people know it by. HOT from its first use on: a request's record has it. */
  get label(): string {
    if (this.shownLabel === '') {
      const { model, virtualHost } = this
      this.shownLabel = model.name !== '' ? model.name : `routes[${virtualHost.model.routes.indexOf(model)}]`
    }
    return this.shownLabel
  }

  /** The most specific override: route, virtual host, table. A weighted cluster's own are in CompiledWeightedCluster.overrides. */
  overrideFor(filterName: string): HttpFilterOverride | undefined {
    return this.overrides.get(filterName)
  }

  /** Header mutations in Envoy's order, and the weighted cluster's host_rewrite_literal. */
  applyRequestMutations(head: RequestHead, info: StreamInfo, weighted: CompiledWeightedCluster | null): void {
    const mutators = weighted === null ? this.requestMutators : weighted.requestMutators
    if (mutators.length > 0) applyAll(mutators, head.headers, info)
    if (weighted !== null && weighted.hostRewrite !== '') head.authority = weighted.hostRewrite
  }

  applyResponseMutations(headers: HeaderList, info: StreamInfo, weighted: CompiledWeightedCluster | null): void {
    const mutators = weighted === null ? this.responseMutators : weighted.responseMutators
    if (mutators.length > 0) applyAll(mutators, headers, info)
  }

  /** Answer without an upstream; only where `forward` is null. */
  answer(exchange: AnswerTarget): void {
    const { action } = this.model
    switch (action.kind) {
      case 'redirect':
        answerRedirect(exchange, action, this.rewritePath)
        return
      case 'directResponse':
        answerDirectResponse(exchange, action)
        return
      default:
        // A route for gRPC servers without a proxy: nothing here can serve it.
        answerDirectly(exchange, 500, '', 'non_forwarding_action', [])
    }
  }
}

/** The most specific override of all: the chosen leg's, then the route's. HOT. */
export function filterOverride(route: CompiledRoute, choice: ClusterChoice | null, filterName: string): HttpFilterOverride | undefined {
  const weighted = choice === null ? null : choice.weighted
  if (weighted !== null && weighted.overrides.size > 0) {
    const override = weighted.overrides.get(filterName)
    if (override !== undefined) return override
  }
  return route.hasOverrides ? route.overrideFor(filterName) : undefined
}

/** The overrides of all levels, the least specific first: table, virtual host, route, chosen leg. */
export function filterOverrides(route: CompiledRoute, choice: ClusterChoice | null, filterName: string): HttpFilterOverride[] {
  const { virtualHost, model } = route
  const levels = [virtualHost.table.overrides, virtualHost.model.overrides, model.overrides, choice?.weighted?.overrides]
  return levels.flatMap(overrides => overrides?.get(filterName) ?? [])
}

export { NO_MUTATORS }
