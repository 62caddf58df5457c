// Route tables (envoy.config.route.v3.RouteConfiguration) as model: what l7/route/route-table compiles.

import type { ConfigSource } from './config-source.js'
import type { HeaderMutations } from './header-option.js'
import type { HttpFilterOverride } from './http-filter.js'
import type { MatchTree } from './match-tree.js'
import type { HeaderMatcher, RegexRewrite, RuntimeFraction } from './matcher.js'
import type { Metadata } from './metadata.js'
import type { RateLimit } from './rate-limit.js'
import type { RedirectAction } from './redirect-action.js'
import type { RouteMatch } from './route-match.js'
import type { Decorator, RouteTracing } from './tracing.js'

export type HashPolicy =
  | { readonly kind: 'header'; readonly name: string; readonly regexRewrite: RegexRewrite | null; readonly terminal: boolean }
  | {
      readonly kind: 'cookie'
      readonly name: string
      readonly path: string
      readonly ttlSeconds: number | null
      /** Further attributes of a cookie that is made, e.g. `Secure` with an empty value. */
      readonly attributes: readonly { readonly name: string; readonly value: string }[]
      readonly terminal: boolean
    }
  | { readonly kind: 'sourceIp'; readonly terminal: boolean }
  | { readonly kind: 'queryParameter'; readonly name: string; readonly terminal: boolean }
  | { readonly kind: 'filterState'; readonly key: string; readonly terminal: boolean }

export interface RetryPolicy {
  /** Lower-case tokens of `retry_on`, e.g. `5xx`, `connect-failure`, `retriable-status-codes`. */
  readonly retryOn: readonly string[]
  readonly numRetries: number
  readonly perTryTimeoutMs: number | null
  readonly perTryIdleTimeoutMs: number | null
  readonly retriableStatusCodes: readonly number[]
  readonly retriableHeaders: readonly HeaderMatcher[]
  readonly retriableRequestHeaders: readonly HeaderMatcher[]
  readonly baseIntervalMs: number
  readonly maxIntervalMs: number
  readonly rateLimitedBackoff: {
    readonly headers: readonly { readonly name: string; readonly format: 'SECONDS' | 'UNIX_TIMESTAMP' }[]
    readonly maxIntervalMs: number
  } | null
  readonly avoidPreviousHosts: boolean
  readonly omitCanaryHosts: boolean
  readonly omitHostMetadata: Metadata | null
  readonly avoidPreviousPrioritiesEvery: number | null
  readonly hostSelectionMaxAttempts: number
}

export interface HedgePolicy {
  readonly hedgeOnPerTryTimeout: boolean
}

export interface MirrorPolicy {
  readonly cluster: string
  readonly clusterHeader: string
  readonly fraction: RuntimeFraction | null
  readonly disableShadowHostSuffix: boolean
}

export interface WeightedCluster {
  readonly name: string
  readonly clusterHeader: string
  readonly weight: number
  readonly mutations: HeaderMutations
  readonly metadataMatch: Metadata | null
  readonly hostRewrite: string
  readonly overrides: ReadonlyMap<string, HttpFilterOverride>
}

export type ClusterSpecifier =
  | { readonly kind: 'cluster'; readonly name: string }
  | {
      readonly kind: 'weighted'
      readonly clusters: readonly WeightedCluster[]
      readonly totalWeight: number
      readonly randomValueHeader: string
      readonly useHashPolicy: boolean
    }
  | { readonly kind: 'clusterHeader'; readonly header: string }

export type InternalRedirectPredicate =
  | { readonly kind: 'previousRoutes' | 'safeCrossScheme' }
  | { readonly kind: 'allowListedRoutes'; readonly routeNames: readonly string[] }

export interface InternalRedirectPolicy {
  readonly maxRedirects: number
  readonly statuses: readonly number[]
  /** Each may refuse. */
  readonly predicates: readonly InternalRedirectPredicate[]
  readonly allowCrossScheme: boolean
  /** Lower case. */
  readonly responseHeadersToCopy: readonly string[]
}

/** RouteAction. Timeouts in ms: null = not set, 0 = disabled. */
export interface ForwardAction {
  readonly kind: 'forward'
  readonly cluster: ClusterSpecifier
  readonly clusterNotFoundStatus: 404 | 500 | 503
  readonly metadataMatch: Metadata | null
  readonly prefixRewrite: string
  readonly regexRewrite: RegexRewrite | null
  /** Holds %COMMANDS%; '' = none. */
  readonly pathFormat: string
  readonly hostRewrite: {
    /** `format` holds %COMMANDS%. */
    readonly kind: 'literal' | 'header' | 'auto' | 'pathRegex' | 'format'
    readonly value: string
    readonly regex: RegexRewrite | null
  } | null
  readonly appendXForwardedHost: boolean
  /** null = Envoy's 15 s. */
  readonly timeoutMs: number | null
  readonly idleTimeoutMs: number | null
  readonly maxStreamDurationMs: number | null
  readonly grpcTimeoutHeaderMaxMs: number | null
  readonly grpcTimeoutHeaderOffsetMs: number | null
  /** Deprecated max_grpc_timeout: null = not set, 0 = use the header unclamped. */
  readonly maxGrpcTimeoutMs: number | null
  readonly grpcTimeoutOffsetMs: number | null
  readonly retry: RetryPolicy | null
  readonly hedge: HedgePolicy | null
  readonly mirrors: readonly MirrorPolicy[]
  readonly priority: 'DEFAULT' | 'HIGH'
  readonly hashPolicy: readonly HashPolicy[]
  readonly upgrades: readonly { readonly upgradeType: string; readonly enabled: boolean; readonly connect: boolean }[]
  readonly rateLimits: readonly RateLimit[]
  readonly includeVhRateLimits: boolean
  /** Null: redirects go to the client. */
  readonly internalRedirect: InternalRedirectPolicy | null
}

export interface DirectResponseAction {
  readonly kind: 'directResponse'
  readonly status: number
  readonly body: string
}

export type RouteAction = ForwardAction | RedirectAction | DirectResponseAction | { readonly kind: 'nonForwarding' }

export interface Route {
  readonly name: string
  readonly match: RouteMatch
  readonly action: RouteAction
  readonly mutations: HeaderMutations
  readonly metadata: Metadata
  readonly overrides: ReadonlyMap<string, HttpFilterOverride>
  readonly statPrefix: string
  /** Absent: the connection manager's. */
  readonly tracing?: RouteTracing
  /** Name of the requests' spans; absent: none of the route. */
  readonly decorator?: Decorator
}

export interface VirtualHost {
  readonly name: string
  readonly domains: readonly string[]
  /** In the order in which they are tried, unless a matcher says which ones are. */
  readonly routes: readonly Route[]
  /** Its actions are places in `routes`, tried in order. */
  readonly matcher?: MatchTree<readonly number[]>
  readonly requireTls: 'NONE' | 'EXTERNAL_ONLY' | 'ALL'
  readonly mutations: HeaderMutations
  readonly retry: RetryPolicy | null
  readonly hedge: HedgePolicy | null
  readonly mirrors: readonly MirrorPolicy[]
  readonly rateLimits: readonly RateLimit[]
  readonly includeRequestAttemptCount: boolean
  readonly includeAttemptCountInResponse: boolean
  readonly overrides: ReadonlyMap<string, HttpFilterOverride>
  readonly virtualClusters: readonly { readonly name: string; readonly headers: readonly HeaderMatcher[] }[]
  readonly metadata: Metadata
}

export interface RouteTable {
  readonly name: string
  readonly virtualHosts: readonly VirtualHost[]
  readonly mutations: HeaderMutations
  readonly mostSpecificHeaderMutationsWins: boolean
  readonly internalOnlyHeaders: readonly string[]
  readonly validateClusters: boolean
  readonly ignorePortInHostMatching: boolean
  readonly ignorePathParametersInPathMatching: boolean
  readonly overrides: ReadonlyMap<string, HttpFilterOverride>
  readonly mirrors: readonly MirrorPolicy[]
  /** Where more virtual hosts of the table come from. */
  readonly vhds?: ConfigSource
}

/** Routes nothing: stands for a table that has not come, or could not be read. */
export const NO_ROUTES: RouteTable = {
  name: '',
  virtualHosts: [],
  mutations: { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] },
  mostSpecificHeaderMutationsWins: false,
  internalOnlyHeaders: [],
  validateClusters: false,
  ignorePortInHostMatching: false,
  ignorePathParametersInPathMatching: false,
  overrides: new Map(),
  mirrors: [],
}
