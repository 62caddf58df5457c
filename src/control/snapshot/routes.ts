// Route tables of a proxy's HTTP upstreams (RDS), made from compiled discovery chains: routes in order, splits as weighted clusters,
// rewrites, header changes, timeouts, retries and hash policies. Also the route action of inline tables.
// Ours beyond Consul's: for grpc no route timeout cuts a stream (the caller's grpc-timeout still holds), a split's route says that a retry
// may pick again (`filter_metadata["outrigger"]`, which Envoy ignores), and where the operator says nothing of retries, a request that
// found no connection goes to another instance, so that a dead one costs no request.
import { create, toBinary } from '@bufbuild/protobuf'
import { HeaderValueOption_HeaderAppendAction as Append, type HeaderValueOptionSchema } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import type {
  HeaderMatcherSchema,
  QueryParameterMatcherSchema,
  RetryPolicySchema,
  RouteAction_HashPolicySchema,
  RouteActionSchema,
  RouteMatchSchema,
  RouteSchema,
  WeightedCluster_ClusterWeightSchema,
} from '../../xds/gen/envoy/config/route/v3/route_components_pb.js'
import { RouteConfigurationSchema } from '../../xds/gen/envoy/config/route/v3/route_pb.js'
import { PreviousHostsPredicateSchema } from '../../xds/gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js'
import type { StringMatcherSchema } from '../../xds/gen/envoy/type/matcher/v3/string_pb.js'
import { FractionalPercent_DenominatorType as Denominator } from '../../xds/gen/envoy/type/v3/percent_pb.js'
import { makeResource, type Resource } from '../../xds/server/snapshot.js'
import { ROUTE_TYPE } from '../../xds/type-urls.js'
import { parseDuration } from '../config-entries/duration.js'
import type {
  HashPolicy,
  HeaderMatch,
  HeaderModifiers,
  LoadBalancer,
  QueryParamMatch,
  RouteDestination,
  RouteHttpMatch,
} from '../config-entries/types.js'
import { isHttpLike } from '../discovery-chain/service-protocol.js'
import type { DiscoveryNode, SplitterNode } from '../discovery-chain/types.js'
import { duration, type Init, pack } from './protobuf.js'
import { chainNode, clusterOfNode, type ProxyView, type UpstreamView } from './proxy-view.js'

export type RouteInit = Init<typeof RouteSchema>
type RouteActionInit = Init<typeof RouteActionSchema>
type StringMatcherInit = Init<typeof StringMatcherSchema>

/** Weights travel as hundredths of a percent. */
const WEIGHT_SCALE = 100
/** Of a percent. */
const PER_MILLION = 10_000
/** Further instances that a request tries when it finds no connection. */
const CONNECT_RETRIES = 2
/** How often the balancer is asked again when it names an instance that was tried. */
const HOST_SELECTION_ATTEMPTS = 5n

/** Consul's rule: a route table of its own unless the chain is the default one, whose single route stays inline. */
export function usesRds(upstream: UpstreamView): boolean {
  return isHttpLike(upstream.chain.Protocol) && upstream.chain.Default !== true
}

export function buildRoutes(view: ProxyView): Resource[] {
  const tables = new Map<string, Resource>()
  for (const upstream of view.upstreams) {
    if (!usesRds(upstream) || tables.has(upstream.envoyId)) continue
    const table = create(RouteConfigurationSchema, {
      name: upstream.envoyId,
      ...(view.mesh?.ValidateClusters ? { validateClusters: true } : { validateClusters: false }),
      virtualHosts: [{ name: upstream.envoyId, domains: ['*'], routes: chainRoutes(upstream) }],
    })
    tables.set(upstream.envoyId, makeResource(upstream.envoyId, ROUTE_TYPE, toBinary(RouteConfigurationSchema, table)))
  }
  return [...tables.values()]
}

export function chainRoutes(upstream: Pick<UpstreamView, 'chain'>): RouteInit[] {
  const { chain } = upstream
  const start = chainNode(chain, chain.StartNode)
  if (start.Type !== 'router') {
    const timeout = start.Type === 'resolver' ? start.Resolver.RequestTimeout : undefined
    return [route({ pathSpecifier: { case: 'prefix', value: '/' } }, upstream, start, { RequestTimeout: timeout })]
  }
  return start.Routes.map(({ Definition, NextNode }) =>
    route(routeMatch(Definition.Match?.HTTP), upstream, chainNode(chain, NextNode), Definition.Destination),
  )
}

type DestinationOptions = { readonly [K in keyof RouteDestination]?: RouteDestination[K] | undefined }

function route(
  match: Init<typeof RouteMatchSchema>,
  upstream: Pick<UpstreamView, 'chain'>,
  node: DiscoveryNode,
  destination: DestinationOptions = {},
): RouteInit {
  const { chain } = upstream
  const action: RouteActionInit = {
    ...timeouts(chain.Protocol, destination.RequestTimeout, destination.IdleTimeout),
    ...(destination.PrefixRewrite ? { prefixRewrite: destination.PrefixRewrite } : {}),
    ...retries(destination),
    ...(node.Type === 'router' ? {} : { hashPolicy: hashPolicies(node.LoadBalancer) }),
    ...(node.Type === 'splitter' ? mirrors(upstream, node) : {}),
  }
  return {
    match,
    action: { case: 'route', value: { ...action, clusterSpecifier: clusterSpecifier(upstream, node) } },
    ...headerChanges(destination.RequestHeaders, destination.ResponseHeaders),
    // A canary that fails must not eat its own retries.
    ...(node.Type === 'splitter' ? { metadata: { filterMetadata: { outrigger: { retry_repick: true } } } } : {}),
  }
}

function clusterSpecifier(upstream: Pick<UpstreamView, 'chain'>, node: DiscoveryNode): NonNullable<RouteActionInit['clusterSpecifier']> {
  if (node.Type === 'splitter') return { case: 'weightedClusters', value: { clusters: splits(upstream, node) } }
  return { case: 'cluster', value: clusterOfNode(upstream.chain, nodeKey(node)) }
}

function splits(upstream: Pick<UpstreamView, 'chain'>, node: SplitterNode): Init<typeof WeightedCluster_ClusterWeightSchema>[] {
  return node.Splits.map(split => ({
    name: clusterOfNode(upstream.chain, split.NextNode),
    // Truncated as Consul does, so the sum may be a hundredth short; a weight of 0 stays, as the way back of a canary.
    weight: Math.trunc(split.Weight * WEIGHT_SCALE),
    ...headerChanges(split.Definition.RequestHeaders, split.Definition.ResponseHeaders),
  }))
}

/** A copy of the request goes to the mirrored leg, and its answer nowhere. */
function mirrors(upstream: Pick<UpstreamView, 'chain'>, { Mirror }: SplitterNode): RouteActionInit {
  if (Mirror === undefined || Mirror.Percent === 0) return {}
  const numerator = Math.round(Mirror.Percent * PER_MILLION)
  return {
    requestMirrorPolicies: [
      {
        cluster: clusterOfNode(upstream.chain, Mirror.NextNode),
        runtimeFraction: { defaultValue: { numerator, denominator: Denominator.MILLION } },
      },
    ],
  }
}

function nodeKey(node: DiscoveryNode): string {
  return node.Name.startsWith(`${node.Type}:`) ? node.Name : `${node.Type}:${node.Name}`
}

/** Action of an inline table's only route: everything to `cluster`. */
export function inlineRouteAction(
  cluster: string,
  protocol: string,
  options: { readonly requestTimeoutMs?: number | undefined; readonly idleTimeoutMs?: number | undefined } = {},
): RouteActionInit {
  return {
    clusterSpecifier: { case: 'cluster', value: cluster },
    ...(options.requestTimeoutMs === undefined ? grpcTimeouts(protocol) : { timeout: duration(options.requestTimeoutMs) }),
    ...(options.idleTimeoutMs === undefined ? {} : { idleTimeout: duration(options.idleTimeoutMs) }),
  }
}

/** A positive timeout as it is, a negative one turns it off, 0 leaves the default. */
export function timeouts(protocol: string, request: string | undefined, idle: string | undefined): RouteActionInit {
  const requestMs = (parseDuration(request ?? '') ?? 0) / 1e6
  const idleMs = (parseDuration(idle ?? '') ?? 0) / 1e6
  return {
    ...(requestMs === 0 ? grpcTimeouts(protocol) : { timeout: duration(Math.max(requestMs, 0)) }),
    ...(idleMs === 0 ? {} : { idleTimeout: duration(Math.max(idleMs, 0)) }),
  }
}

/** Envoy's 15 s would cut long streams; for gRPC the client's own deadline (`grpc-timeout`) holds, without a ceiling. */
function grpcTimeouts(protocol: string): RouteActionInit {
  return protocol === 'grpc' ? { timeout: duration(0), maxStreamDuration: { grpcTimeoutHeaderMax: duration(0) } } : {}
}

function retries(destination: DestinationOptions): { retryPolicy?: Init<typeof RetryPolicySchema> } {
  const codes = destination.RetryOnStatusCodes ?? []
  const on = [...(destination.RetryOn ?? [])]
  if (destination.RetryOnConnectFailure && !on.includes('connect-failure')) on.push('connect-failure')
  if (codes.length > 0) on.push('retriable-status-codes')
  if (on.length === 0 && !destination.NumRetries) return { retryPolicy: elsewhereRetry() }
  return {
    retryPolicy: {
      ...(destination.NumRetries ? { numRetries: destination.NumRetries } : {}),
      retryOn: on.join(','),
      retriableStatusCodes: [...codes],
    },
  }
}

/** No instance has seen the request, so it may be sent again whatever it is; to one that has not been tried, as far as there is one. */
export function elsewhereRetry(): Init<typeof RetryPolicySchema> {
  return {
    retryOn: 'connect-failure',
    numRetries: CONNECT_RETRIES,
    retryHostPredicate: [
      {
        name: 'envoy.retry_host_predicates.previous_hosts',
        configType: { case: 'typedConfig', value: pack(PreviousHostsPredicateSchema, {}) },
      },
    ],
    hostSelectionRetryMaxAttempts: HOST_SELECTION_ATTEMPTS,
  }
}

export function hashPolicies(lb: LoadBalancer | undefined): Init<typeof RouteAction_HashPolicySchema>[] {
  if (lb?.Policy !== 'ring_hash' && lb?.Policy !== 'maglev') return []
  return (lb.HashPolicies ?? []).flatMap(policy => {
    const policySpecifier = hashSpecifier(policy)
    return policySpecifier === undefined ? [] : [{ policySpecifier, terminal: policy.Terminal === true }]
  })
}

function hashSpecifier(policy: HashPolicy): Init<typeof RouteAction_HashPolicySchema>['policySpecifier'] {
  if (policy.SourceIP) return { case: 'connectionProperties', value: { sourceIp: true } }
  const name = policy.FieldValue ?? ''
  switch (policy.Field) {
    case 'header':
      return { case: 'header', value: { headerName: name } }
    case 'query_parameter':
      return { case: 'queryParameter', value: { name } }
    case 'cookie': {
      const cookie = policy.CookieConfig
      const ttlMs = (parseDuration(cookie?.TTL ?? '') ?? 0) / 1e6
      // A session cookie is one whose lifetime is zero; with no lifetime at all Envoy would only read, never set it.
      const ttl = cookie?.Session ? { ttl: duration(0) } : ttlMs > 0 ? { ttl: duration(ttlMs) } : {}
      return { case: 'cookie', value: { name, path: cookie?.Path ?? '', ...ttl } }
    }
    case undefined:
      return undefined
    default: {
      const never: never = policy.Field
      return never
    }
  }
}

function routeMatch(http: RouteHttpMatch | undefined): Init<typeof RouteMatchSchema> {
  const headers = (http?.Header ?? []).map(headerMatcher)
  const methods = http?.Methods ?? []
  if (methods.length > 0)
    headers.push({
      name: ':method',
      headerMatchSpecifier: { case: 'stringMatch', value: { matchPattern: { case: 'safeRegex', value: { regex: methods.join('|') } } } },
    })
  return {
    pathSpecifier: http?.PathExact
      ? { case: 'path', value: http.PathExact }
      : http?.PathRegex
        ? { case: 'safeRegex', value: { regex: http.PathRegex } }
        : { case: 'prefix', value: http?.PathPrefix || '/' },
    ...(http?.CaseInsensitive ? { caseSensitive: false } : {}),
    headers,
    queryParameters: (http?.QueryParam ?? []).map(queryMatcher),
  }
}

function headerMatcher(match: HeaderMatch): Init<typeof HeaderMatcherSchema> {
  return {
    name: match.Name,
    headerMatchSpecifier: match.Present ? { case: 'presentMatch', value: true } : { case: 'stringMatch', value: stringMatcher(match) },
    invertMatch: match.Invert === true,
  }
}

function queryMatcher(match: QueryParamMatch): Init<typeof QueryParameterMatcherSchema> {
  return {
    name: match.Name,
    queryParameterMatchSpecifier: match.Present
      ? { case: 'presentMatch', value: true }
      : { case: 'stringMatch', value: stringMatcher(match) },
  }
}

function stringMatcher(match: Omit<HeaderMatch, 'Name'>): StringMatcherInit {
  const ignoreCase = match.IgnoreCase === true
  if (match.Regex) return { matchPattern: { case: 'safeRegex', value: { regex: match.Regex } } }
  if (match.Prefix) return { matchPattern: { case: 'prefix', value: match.Prefix }, ignoreCase }
  if (match.Suffix) return { matchPattern: { case: 'suffix', value: match.Suffix }, ignoreCase }
  if (match.Contains) return { matchPattern: { case: 'contains', value: match.Contains }, ignoreCase }
  return { matchPattern: { case: 'exact', value: match.Exact ?? '' }, ignoreCase }
}

interface HeaderChanges {
  readonly requestHeadersToAdd: Init<typeof HeaderValueOptionSchema>[]
  readonly requestHeadersToRemove: string[]
  readonly responseHeadersToAdd: Init<typeof HeaderValueOptionSchema>[]
  readonly responseHeadersToRemove: string[]
}

export function headerChanges(request: HeaderModifiers | undefined, response: HeaderModifiers | undefined): HeaderChanges {
  return {
    requestHeadersToAdd: headersToAdd(request),
    requestHeadersToRemove: [...(request?.Remove ?? [])],
    responseHeadersToAdd: headersToAdd(response),
    responseHeadersToRemove: [...(response?.Remove ?? [])],
  }
}

function headersToAdd(changes: HeaderModifiers | undefined): Init<typeof HeaderValueOptionSchema>[] {
  const options = (values: Readonly<Record<string, string>> | undefined, appendAction: Append) =>
    Object.entries(values ?? {})
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ header: { key, value }, appendAction }))
  return [...options(changes?.Add, Append.APPEND_IF_EXISTS_OR_ADD), ...options(changes?.Set, Append.OVERWRITE_IF_EXISTS_OR_ADD)]
}
