// HTTP filters of the connection manager, as model. One variant per filter that Outrigger runs or accepts.

import type { BandwidthLimitConfig } from './bandwidth-limit.js'
import type { ConfigSource } from './config-source.js'
import type { CustomFilterConfig } from './custom-filter.js'
import type { CustomResponseConfig } from './custom-response.js'
import type { Discovery } from './discovery.js'
import type { GrpcService } from './grpc-service.js'
import type { HeaderOption } from './header-option.js'
import type { MatchTree } from './match-tree.js'
import type { HeaderMatcher, RegexRewrite, RuntimeFlag, RuntimeFraction, StringMatcher } from './matcher.js'
import type { JsonObject } from './metadata.js'
import type { JsonToMetadataConfig, SetFilterStateConfig, SetMetadataRule } from './metadata-filters.js'
import type { OAuth2Config } from './oauth2.js'
import type { RateLimit } from './rate-limit.js'
import type { RbacConfig } from './rbac.js'
import type { RouteMatch } from './route-match.js'
import type { StatefulSessionConfig } from './stateful-session.js'
import type { DataSource, SdsSecretRef } from './tls.js'

export interface FaultConfig {
  readonly delay: { readonly fixedMs: number | null; readonly fromHeader: boolean; readonly fraction: RuntimeFraction } | null
  readonly abort: {
    readonly httpStatus: number | null
    readonly grpcStatus: number | null
    readonly fromHeader: boolean
    /** '' is Envoy's own text. */
    readonly body: string
    readonly fraction: RuntimeFraction
  } | null
  readonly upstreamCluster: string
  readonly headers: readonly HeaderMatcher[]
  readonly downstreamNodes: readonly string[]
  readonly maxActiveFaults: number | null
  /** `kbps` null: from the header x-envoy-fault-throughput-response. KiB/s. */
  readonly responseRateLimit: { readonly kbps: number | null; readonly fraction: RuntimeFraction } | null
  readonly runtimeKeys: {
    readonly delayDuration: string
    readonly abortHttpStatus: string
    readonly abortGrpcStatus: string
    readonly maxActiveFaults: string
  }
  /** Counters of their own for x-envoy-downstream-service-cluster. */
  readonly downstreamClusterStats: boolean
  /** Put under envoy.filters.http.fault in the dynamic metadata of a request with a fault. */
  readonly filterMetadata: JsonObject | null
}

/** Where clusters that a request names, and that are not there, are asked for. */
export interface OnDemandClusters {
  readonly source: ConfigSource
  readonly timeoutMs: number
}

export interface OnDemandConfig {
  /** Null: routes alone are discovered. */
  readonly odcds: OnDemandClusters | null
}

export interface CorsPolicy {
  readonly allowOrigin: readonly StringMatcher[]
  readonly allowMethods: string
  readonly allowHeaders: string
  readonly exposeHeaders: string
  readonly maxAge: string
  /** Of these null is unset, of those above '' and no matchers: a less specific level of the routes may say it. */
  readonly allowCredentials: boolean | null
  readonly allowPrivateNetworkAccess: boolean | null
  readonly forwardNotMatchingPreflights: boolean | null
  readonly enabled: RuntimeFraction
  readonly shadowEnabled: RuntimeFraction | null
}

export interface BasicAuthConfig {
  /** SHA-1 of the password by user name, both as bytes. */
  readonly users: ReadonlyMap<string, Buffer>
  /** What the challenge names; '' = the request's URI. */
  readonly realm: string
  /** Lower case; '' = none. */
  readonly forwardUsernameHeader: string
  readonly authenticationHeader: string
  readonly allowMissing: boolean
  readonly emitDynamicMetadata: boolean
}

export interface ApiKeyAuthConfig {
  /** Client by key, both as bytes; null: none are configured here. */
  readonly credentials: ReadonlyMap<string, string> | null
  /** Where keys stand, in the order in which they are looked for; null: not said here. Header names in lower case. */
  readonly keySources: readonly { readonly from: 'header' | 'query' | 'cookie'; readonly name: string }[] | null
  /** Lower case; '' = none. */
  readonly clientHeader: string
  readonly hideCredentials: boolean
}

export interface CsrfPolicy {
  readonly enabled: RuntimeFraction
  readonly shadowEnabled: RuntimeFraction | null
  readonly additionalOrigins: readonly StringMatcher[]
}

/** Whether rate_limits of the virtual host count beside those of the route. `override`: only where the route has none. */
export type HostRateLimits = 'override' | 'include' | 'ignore'

export interface LocalRateLimitConfig {
  readonly statPrefix: string
  readonly status: number
  readonly bucket: { readonly maxTokens: number; readonly tokensPerFill: number; readonly fillIntervalMs: number } | null
  readonly enabled: RuntimeFraction
  readonly enforced: RuntimeFraction
  readonly responseHeadersToAdd: readonly HeaderOption[]
  readonly requestHeadersToAddWhenNotEnforced: readonly HeaderOption[]
  readonly descriptors: readonly {
    readonly entries: readonly { readonly key: string; readonly value: string }[]
    readonly bucket: { readonly maxTokens: number; readonly tokensPerFill: number; readonly fillIntervalMs: number }
  }[]
  readonly stage: number
  readonly hostRateLimits: HostRateLimits
  /** The filter's own actions, in the place of those of routes; null: it has none. */
  readonly rateLimits: readonly RateLimit[] | null
  /** Buckets for distinct values of one descriptor with an empty (any) value. */
  readonly maxDynamicDescriptors: number
  /** The main bucket gives a token too where a descriptor has given one. */
  readonly alwaysTakesDefault: boolean
  readonly perConnection: boolean
  readonly enableXRateLimitHeaders: boolean
  readonly rateLimitedAsResourceExhausted: boolean
}

export interface RateLimitConfig {
  readonly domain: string
  readonly stage: number
  readonly requestType: 'internal' | 'external' | 'both'
  readonly timeoutMs: number
  readonly failureModeDeny: boolean
  readonly rateLimitedAsResourceExhausted: boolean
  readonly service: GrpcService
  readonly enableXRateLimitHeaders: boolean
  readonly disableXEnvoyRateLimitedHeader: boolean
  readonly rateLimitedStatus: number
  readonly statusOnError: number
  readonly responseHeadersToAdd: readonly HeaderOption[]
}

export interface ExtAuthzConfig {
  readonly service:
    | { readonly kind: 'grpc'; readonly grpc: GrpcService }
    | {
        readonly kind: 'http'
        readonly cluster: string
        readonly uri: string
        readonly timeoutMs: number
        readonly pathPrefix: string
        readonly allowedRequestHeaders: readonly StringMatcher[]
        readonly headersToAdd: readonly { readonly key: string; readonly value: string }[]
        readonly allowedUpstreamHeaders: readonly StringMatcher[]
        readonly allowedUpstreamHeadersToAppend: readonly StringMatcher[]
        readonly allowedClientHeaders: readonly StringMatcher[]
        readonly allowedClientHeadersOnSuccess: readonly StringMatcher[]
      }
  readonly failureModeAllow: boolean
  readonly failureModeAllowHeaderAdd: boolean
  readonly withRequestBody: { readonly maxBytes: number; readonly allowPartial: boolean; readonly packAsBytes: boolean } | null
  readonly clearRouteCache: boolean
  readonly statusOnError: number
  readonly filterEnabled: RuntimeFraction | null
  readonly denyAtDisable: RuntimeFlag
  readonly includePeerCertificate: boolean
  readonly statPrefix: string
  readonly metadataContextNamespaces: readonly string[]
  readonly allowedHeaders: readonly StringMatcher[]
  readonly disallowedHeaders: readonly StringMatcher[]
}

export interface JwtProvider {
  readonly name: string
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly subjects: StringMatcher | null
  readonly requireExpiration: boolean
  readonly maxLifetimeMs: number | null
  readonly forward: boolean
  readonly forwardPayloadHeader: string
  readonly padForwardPayloadHeader: boolean
  readonly payloadInMetadata: string
  /** Claims of words that stand in the metadata as lists of them. */
  readonly spaceDelimitedClaims: readonly string[]
  readonly headerInMetadata: string
  readonly failedStatusInMetadata: string
  readonly fromHeaders: readonly { readonly name: string; readonly valuePrefix: string }[]
  readonly fromParams: readonly string[]
  readonly fromCookies: readonly string[]
  readonly clockSkewSeconds: number
  readonly claimToHeaders: readonly { readonly headerName: string; readonly claimName: string }[]
  readonly clearRouteCache: boolean
  readonly jwks:
    | { readonly kind: 'local'; readonly source: DataSource }
    | {
        readonly kind: 'remote'
        readonly uri: string
        readonly cluster: string
        readonly timeoutMs: number
        readonly cacheMs: number
        readonly asyncFetch: boolean
        readonly failedRefetchMs: number
        readonly retries: number
        readonly retryBaseMs: number
        readonly retryMaxMs: number
      }
  readonly cacheSize: number
}

export type JwtRequirement =
  | { readonly kind: 'provider'; readonly provider: string; readonly audiences: readonly string[] }
  | { readonly kind: 'any' | 'all'; readonly requirements: readonly JwtRequirement[] }
  | { readonly kind: 'allowMissing' }
  | { readonly kind: 'allowMissingOrFailed' }
  | { readonly kind: 'none' }

export interface JwtConfig {
  readonly providers: ReadonlyMap<string, JwtProvider>
  readonly rules: readonly { readonly match: RouteMatch; readonly requires: JwtRequirement }[]
  readonly requirementMap: ReadonlyMap<string, JwtRequirement>
  readonly bypassCorsPreflight: boolean
  readonly stripFailureResponse: boolean
  readonly statPrefix: string
}

export type CompressorLibrary =
  | {
      readonly kind: 'gzip'
      readonly level: number
      readonly windowBits: number
      readonly memLevel: number
      /** As node:zlib numbers them. */
      readonly strategy: number
      readonly chunkBytes: number
    }
  | {
      readonly kind: 'brotli'
      readonly quality: number
      readonly windowBits: number
      /** As node:zlib numbers them. */
      readonly mode: number
      /** 0: by the quality. */
      readonly inputBlockBits: number
      readonly literalContextModeling: boolean
      readonly chunkBytes: number
    }
  | {
      readonly kind: 'zstd'
      readonly level: number
      readonly checksum: boolean
      /** 0: by the level. */
      readonly strategy: number
      readonly chunkBytes: number
    }

/** What of one direction is compressed. */
export interface CompressorDirection {
  readonly enabled: RuntimeFlag
  readonly minContentLength: number
  readonly contentTypes: readonly string[]
  readonly contentTypeMatchers: readonly StringMatcher[]
}

export interface CompressorConfig {
  /** Null: the Node that runs has it not, and nothing is compressed. */
  readonly library: CompressorLibrary | null
  /** Null: requests are not compressed. */
  readonly request: CompressorDirection | null
  readonly response: CompressorDirection
  readonly disableOnEtagHeader: boolean
  readonly weakenEtag: boolean
  readonly removeAcceptEncodingHeader: boolean
  readonly statusHeader: boolean
  readonly chooseFirst: boolean
  readonly uncompressibleResponseCodes: readonly number[]
  /** Name of the compressor library. */
  readonly statPrefix: string
  /** response_direction_config is there. */
  readonly responseDirection: boolean
}

export type DecompressorLibrary =
  | { readonly kind: 'gzip'; readonly windowBits: number; readonly chunkBytes: number; readonly maxInflateRatio: number }
  | { readonly kind: 'brotli' | 'zstd'; readonly chunkBytes: number }

export interface DecompressorDirection {
  readonly enabled: RuntimeFlag
  readonly ignoreNoTransform: boolean
}

export interface DecompressorConfig {
  readonly library: DecompressorLibrary
  readonly request: DecompressorDirection
  readonly response: DecompressorDirection
  /** Say upstream, by Accept-Encoding, that answers may be compressed. */
  readonly advertise: boolean
  /** Name of the decompressor library. */
  readonly statPrefix: string
}

export type BodyMode = 'NONE' | 'STREAMED' | 'BUFFERED' | 'BUFFERED_PARTIAL'

/** Which parts of a message an external processor gets. */
export interface ProcessingMode {
  readonly requestHeaders: boolean
  readonly responseHeaders: boolean
  readonly requestBody: BodyMode
  readonly responseBody: BodyMode
  readonly requestTrailers: boolean
  readonly responseTrailers: boolean
}

/** Which fields an outside service may change (envoy.config.common.mutation_rules.v3.HeaderMutationRules). */
export interface HeaderMutationRules {
  readonly allowAllRouting: boolean
  readonly allowEnvoy: boolean
  readonly disallowSystem: boolean
  readonly disallowAll: boolean
  /** Whole names, over everything but the next. */
  readonly allowExpression: string | null
  readonly disallowExpression: string | null
  readonly disallowIsError: boolean
}

export interface ExtProcConfig {
  readonly service: GrpcService
  readonly failureModeAllow: boolean
  /** Of the answer to a request that fails over its processor. */
  readonly statusOnError: number
  readonly mode: ProcessingMode
  readonly messageTimeoutMs: number
  /** 0: timeouts are not prolonged. */
  readonly maxMessageTimeoutMs: number
  readonly statPrefix: string
  readonly allowedHeaders: readonly StringMatcher[]
  readonly disallowedHeaders: readonly StringMatcher[]
  readonly allowModeOverride: boolean
  readonly disableImmediateResponse: boolean
  readonly mutationRules: HeaderMutationRules
  readonly routeCache: 'default' | 'clear' | 'retain'
  /** Namespaces of dynamic metadata that the processor gets, and may set. */
  readonly forwardedNamespaces: readonly string[]
  readonly receivedNamespaces: readonly string[]
  /** CEL expressions whose values go with the first message of each direction. */
  readonly requestAttributes: readonly string[]
  readonly responseAttributes: readonly string[]
}

export interface HeaderToMetadataRule {
  readonly header: string
  readonly cookie: string
  readonly onPresent: {
    readonly namespace: string
    readonly key: string
    readonly value: string
    readonly type: 'STRING' | 'NUMBER' | 'PROTOBUF_VALUE'
    readonly regexRewrite: RegexRewrite | null
    readonly encodeBase64: boolean
  } | null
  readonly onMissing: {
    readonly namespace: string
    readonly key: string
    readonly value: string
    readonly type: 'STRING' | 'NUMBER' | 'PROTOBUF_VALUE'
  } | null
  readonly remove: boolean
}

export interface HeaderToMetadataConfig {
  readonly request: readonly HeaderToMetadataRule[]
  readonly response: readonly HeaderToMetadataRule[]
}

export type HeaderMutation =
  | { readonly kind: 'remove'; readonly name: string }
  | { readonly kind: 'removeOnMatch'; readonly matcher: StringMatcher }
  | { readonly kind: 'append'; readonly option: HeaderOption }

export type QueryMutation =
  | { readonly kind: 'remove'; readonly name: string }
  /** `value` is a format. */
  | { readonly kind: 'append'; readonly name: string; readonly value: string; readonly action: HeaderOption['action'] }

/** Of the filter, or of one level of the routes. */
export interface HeaderMutationConfig {
  readonly request: readonly HeaderMutation[]
  readonly response: readonly HeaderMutation[]
  readonly requestTrailers: readonly HeaderMutation[]
  readonly responseTrailers: readonly HeaderMutation[]
  readonly query: readonly QueryMutation[]
}

export interface CredentialInjectorConfig {
  readonly secret: SdsSecretRef
  readonly header: string
  /** Bytes, one a character. */
  readonly prefix: string
  readonly overwrite: boolean
  /** Without a secret the request goes on as it came. */
  readonly allowWithout: boolean
}

export interface HealthCheckFilterConfig {
  readonly passThrough: boolean
  readonly headers: readonly HeaderMatcher[]
  readonly cacheTimeMs: number | null
  readonly clusterMinHealthyPercentages: ReadonlyMap<string, number>
}

export interface RouterConfig {
  readonly dynamicStats: boolean
  /** Each try of a traced request has a span of its own. */
  readonly startChildSpan: boolean
  readonly suppressEnvoyHeaders: boolean
  readonly respectExpectedRqTimeout: boolean
  readonly strictCheckHeaders: readonly string[]
}

/** `name` is the filter's name in the config (per-route overrides use it); `disabled` filters run only where a route enables them. */
export type HttpFilter = { readonly name: string; readonly disabled: boolean } & (
  | { readonly kind: 'router'; readonly config: RouterConfig }
  | { readonly kind: 'rbac'; readonly config: RbacConfig }
  | {
      readonly kind: 'grpcStats'
      readonly config: {
        readonly emitFilterState: boolean
        readonly statsForAllMethods: boolean
        readonly individualMethods: readonly { readonly service: string; readonly methods: readonly string[] }[]
        readonly enableUpstreamStats: boolean
      }
    }
  | { readonly kind: 'grpcHttp1Bridge'; readonly config: { readonly upgradeProtobufToGrpc: boolean } }
  | { readonly kind: 'grpcWeb' }
  | { readonly kind: 'headerToMetadata'; readonly config: HeaderToMetadataConfig }
  | { readonly kind: 'fault'; readonly config: FaultConfig }
  | { readonly kind: 'cors' }
  | { readonly kind: 'csrf'; readonly config: CsrfPolicy }
  | { readonly kind: 'basicAuth'; readonly config: BasicAuthConfig }
  | { readonly kind: 'apiKeyAuth'; readonly config: ApiKeyAuthConfig }
  | { readonly kind: 'buffer'; readonly config: { readonly maxRequestBytes: number } }
  | { readonly kind: 'compressor'; readonly config: CompressorConfig }
  | { readonly kind: 'decompressor'; readonly config: DecompressorConfig }
  | { readonly kind: 'localRateLimit'; readonly config: LocalRateLimitConfig }
  | { readonly kind: 'rateLimit'; readonly config: RateLimitConfig }
  | { readonly kind: 'extAuthz'; readonly config: ExtAuthzConfig }
  | { readonly kind: 'extProc'; readonly config: ExtProcConfig }
  | { readonly kind: 'jwtAuthn'; readonly config: JwtConfig }
  | {
      readonly kind: 'headerMutation'
      readonly config: HeaderMutationConfig
      /** Of the levels of the routes, which all count, the most specific is applied last. */
      readonly mostSpecificWins: boolean
    }
  | { readonly kind: 'statefulSession'; readonly config: StatefulSessionConfig }
  | { readonly kind: 'bandwidthLimit'; readonly config: BandwidthLimitConfig }
  | { readonly kind: 'customResponse'; readonly config: CustomResponseConfig }
  /** null: it is what routes say. */
  | { readonly kind: 'oauth2'; readonly config: OAuth2Config | null }
  | { readonly kind: 'credentialInjector'; readonly config: CredentialInjectorConfig }
  | { readonly kind: 'setMetadata'; readonly config: readonly SetMetadataRule[] }
  | { readonly kind: 'setFilterState'; readonly config: SetFilterStateConfig }
  | { readonly kind: 'jsonToMetadata'; readonly config: JsonToMetadataConfig }
  | { readonly kind: 'healthCheck'; readonly config: HealthCheckFilterConfig }
  | { readonly kind: 'onDemand'; readonly config: OnDemandConfig }
  | { readonly kind: 'custom'; readonly config: CustomFilterConfig }
  | { readonly kind: 'discovered'; readonly discovery: FilterDiscovery }
  | MatchedFilter
)

/** One that a matcher stands before (ExtensionWithMatcher), or that a matcher's actions make (composite). */
export interface MatchedFilter {
  readonly kind: 'matched'
  /** Null: nothing is matched. */
  readonly tree: MatchTree<FilterMatchAction> | null
  /** Runs unless it is skipped; null: a composite, which is what its action says. */
  readonly filter: PlainFilterConfig | null
}

/** skip: SkipFilter. run: ExecuteFilterAction; its filters one after the other, where the sample says so. */
export type FilterMatchAction =
  | { readonly kind: 'skip' }
  | { readonly kind: 'run'; readonly filters: readonly PlainFilterConfig[]; readonly sample: RuntimeFraction | null }

/** A filter that can stand behind a matcher. */
export type PlainFilterConfig = Exclude<HttpFilterConfig, { readonly kind: 'router' }>

/** What a filter is, without the name and the switch that its place in the chain gives it. */
export type HttpFilterConfig = HttpFilter extends infer F
  ? F extends HttpFilter
    ? F extends { readonly kind: 'discovered' | 'matched' }
      ? never
      : Omit<F, 'name' | 'disabled'>
    : never
  : never

/** config_discovery of an HTTP filter. */
export interface FilterDiscovery extends Discovery<HttpFilterConfig> {
  /** In the router's place. */
  readonly isLast: boolean
}

/** typed_per_filter_config, by filter name. `disabled: true` turns the filter off there. */
export type HttpFilterOverride = { readonly disabled: boolean } & (
  | { readonly kind: 'rbac'; readonly config: RbacConfig | null }
  /** In the place of the tree of a filter that has one. */
  | { readonly kind: 'matched'; readonly tree: MatchTree<FilterMatchAction> | null }
  | { readonly kind: 'fault'; readonly config: FaultConfig }
  | { readonly kind: 'cors'; readonly config: CorsPolicy }
  | { readonly kind: 'csrf'; readonly config: CsrfPolicy }
  | { readonly kind: 'basicAuth'; readonly users: ReadonlyMap<string, Buffer>; readonly realm: string }
  | { readonly kind: 'apiKeyAuth'; readonly config: ApiKeyAuthConfig; readonly allowedClients: ReadonlySet<string> }
  | { readonly kind: 'buffer'; readonly config: { readonly maxRequestBytes: number } | null }
  | { readonly kind: 'localRateLimit'; readonly config: LocalRateLimitConfig }
  /** `domain` '': the filter's own. */
  | { readonly kind: 'rateLimit'; readonly hostRateLimits: HostRateLimits; readonly domain: string }
  /** null: as the filter's own. */
  | {
      readonly kind: 'extProc'
      readonly mode: ProcessingMode | null
      readonly service: GrpcService | null
      readonly failureModeAllow: boolean | null
    }
  | { readonly kind: 'extAuthz'; readonly contextExtensions: ReadonlyMap<string, string> }
  | { readonly kind: 'jwtAuthn'; readonly requirementName: string }
  | { readonly kind: 'headerMutation'; readonly config: HeaderMutationConfig }
  /** null: the filter is off. */
  | { readonly kind: 'statefulSession'; readonly config: StatefulSessionConfig | null }
  | { readonly kind: 'bandwidthLimit'; readonly config: BandwidthLimitConfig }
  | { readonly kind: 'customResponse'; readonly config: CustomResponseConfig }
  | { readonly kind: 'oauth2'; readonly config: OAuth2Config }
  | { readonly kind: 'compressor'; readonly compressesResponses: boolean; readonly removeAcceptEncodingHeader: boolean | null }
  | { readonly kind: 'onDemand'; readonly config: OnDemandConfig }
  | { readonly kind: 'headerToMetadata'; readonly config: HeaderToMetadataConfig }
  | { readonly kind: 'setMetadata'; readonly config: readonly SetMetadataRule[] }
  | { readonly kind: 'setFilterState'; readonly config: SetFilterStateConfig }
  | { readonly kind: 'jsonToMetadata'; readonly config: JsonToMetadataConfig }
  | { readonly kind: 'custom'; readonly config: CustomFilterConfig }
  | { readonly kind: 'generic' }
)
