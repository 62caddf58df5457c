// The config entries of the control plane, in Consul's canonical JSON form (CamelCase keys, durations as Go strings).
// Made only by `parse-config-entry.ts`; read by the discovery chain, the intentions, the snapshot and the HTTP API.
// Invariant: a value of these types has passed every rule that can be checked on the entry alone. Rules that need other
// entries are `discovery-chain/validate-write.ts`. Maps whose keys are user data (Meta, Config, Subsets, Failover, header Add/Set)
// may come from JSON, so look them up with `Object.hasOwn`.

import type {
  Duration,
  EntryCommon,
  HeaderModifiers,
  JwtRequirement,
  PassiveHealthCheck,
  TlsVersion,
  UpstreamLimits,
  UserMap,
} from './common-types.js'
import type { EdgeEntry } from './edge-types.js'
import type { TerminatingGateway } from './gateway-types.js'

export type { Duration, EntryCommon, HeaderModifiers, JwtRequirement, TlsVersion, UserMap }

export type MeshGatewayMode = 'none' | 'local' | 'remote'

export interface MeshGateway {
  readonly Mode?: MeshGatewayMode
}

export interface TransparentProxy {
  readonly OutboundListenerPort?: number
  readonly DialedDirectly?: boolean
}

export interface ExposePath {
  readonly Path: string
  readonly LocalPathPort: number
  readonly ListenerPort: number
  readonly Protocol?: 'http' | 'http2'
}

export interface Expose {
  readonly Checks?: boolean
  readonly Paths?: readonly ExposePath[]
}

export interface EnvoyExtension {
  readonly Name: string
  readonly Required?: boolean
  readonly Arguments?: UserMap<unknown>
  readonly ConsulVersion?: string
  readonly EnvoyVersion?: string
}

export interface UpstreamConfig {
  readonly Name?: string
  readonly Namespace?: string
  readonly Partition?: string
  readonly Peer?: string
  readonly EnvoyListenerJSON?: string
  readonly EnvoyClusterJSON?: string
  readonly Protocol?: string
  readonly ConnectTimeoutMs?: number
  readonly Limits?: UpstreamLimits
  readonly PassiveHealthCheck?: PassiveHealthCheck
  readonly MeshGateway?: MeshGateway
  readonly BalanceOutboundConnections?: 'exact_balance'
}

export interface RateLimitRoute {
  readonly PathExact?: string
  readonly PathPrefix?: string
  readonly PathRegex?: string
  readonly RequestsPerSecond?: number
  readonly RequestsMaxBurst?: number
}

export interface RateLimits {
  readonly InstanceLevel?: {
    readonly RequestsPerSecond?: number
    readonly RequestsMaxBurst?: number
    readonly Routes?: readonly RateLimitRoute[]
  }
}

export type ProxyMode = 'direct' | 'transparent'
export type MutualTlsMode = 'strict' | 'permissive'

export interface ServiceDefaults extends EntryCommon {
  readonly Kind: 'service-defaults'
  /** Lower case: tcp, http, http2, grpc. */
  readonly Protocol?: string
  readonly Mode?: ProxyMode
  readonly TransparentProxy?: TransparentProxy
  readonly MutualTLSMode?: MutualTlsMode
  readonly MeshGateway?: MeshGateway
  readonly Expose?: Expose
  readonly ExternalSNI?: string
  readonly UpstreamConfig?: { readonly Overrides?: readonly UpstreamConfig[]; readonly Defaults?: UpstreamConfig }
  readonly Destination?: { readonly Addresses: readonly string[]; readonly Port: number }
  readonly MaxInboundConnections?: number
  readonly LocalConnectTimeoutMs?: number
  readonly LocalRequestTimeoutMs?: number
  readonly BalanceInboundConnections?: 'exact_balance'
  readonly RateLimits?: RateLimits
  readonly EnvoyExtensions?: readonly EnvoyExtension[]
}

export interface AccessLogs {
  readonly Enabled?: boolean
  readonly DisableListenerLogs?: boolean
  readonly Type?: 'stdout' | 'stderr' | 'file'
  readonly Path?: string
  readonly JSONFormat?: string
  readonly TextFormat?: string
}

export interface FailoverPolicy {
  readonly Mode?: 'sequential' | 'order-by-locality'
  readonly Regions?: readonly string[]
}

export interface PrioritizeByLocality {
  readonly Mode?: 'none' | 'failover'
}

export interface ProxyDefaults extends EntryCommon {
  readonly Kind: 'proxy-defaults'
  readonly Name: 'global'
  /** Opaque keys for the proxy; those that Consul knows are checked for their types. */
  readonly Config?: UserMap<unknown>
  readonly Mode?: ProxyMode
  readonly TransparentProxy?: TransparentProxy
  readonly MutualTLSMode?: MutualTlsMode
  readonly MeshGateway?: MeshGateway
  readonly Expose?: Expose
  readonly AccessLogs?: AccessLogs
  readonly EnvoyExtensions?: readonly EnvoyExtension[]
  readonly FailoverPolicy?: FailoverPolicy
  readonly PrioritizeByLocality?: PrioritizeByLocality
}

export interface HeaderMatch {
  readonly Name: string
  readonly Present?: boolean
  readonly Exact?: string
  readonly Prefix?: string
  readonly Suffix?: string
  readonly Contains?: string
  readonly Regex?: string
  readonly Invert?: boolean
  readonly IgnoreCase?: boolean
}

export interface QueryParamMatch {
  readonly Name: string
  readonly Present?: boolean
  readonly Exact?: string
  readonly Regex?: string
}

export interface RouteHttpMatch {
  readonly PathExact?: string
  readonly PathPrefix?: string
  readonly PathRegex?: string
  readonly CaseInsensitive?: boolean
  readonly Header?: readonly HeaderMatch[]
  readonly QueryParam?: readonly QueryParamMatch[]
  readonly Methods?: readonly string[]
}

export interface RouteDestination {
  readonly Service?: string
  readonly ServiceSubset?: string
  readonly Namespace?: string
  readonly Partition?: string
  readonly PrefixRewrite?: string
  readonly RequestTimeout?: Duration
  readonly IdleTimeout?: Duration
  readonly NumRetries?: number
  readonly RetryOnConnectFailure?: boolean
  readonly RetryOn?: readonly string[]
  readonly RetryOnStatusCodes?: readonly number[]
  readonly RequestHeaders?: HeaderModifiers
  readonly ResponseHeaders?: HeaderModifiers
}

export interface ServiceRoute {
  readonly Match?: { readonly HTTP?: RouteHttpMatch }
  readonly Destination?: RouteDestination
}

export interface ServiceRouter extends EntryCommon {
  readonly Kind: 'service-router'
  readonly Routes: readonly ServiceRoute[]
}

export interface ServiceSplit {
  /** 0–100 in steps of 0.01. */
  readonly Weight: number
  readonly Service?: string
  readonly ServiceSubset?: string
  readonly Namespace?: string
  readonly Partition?: string
  readonly RequestHeaders?: HeaderModifiers
  readonly ResponseHeaders?: HeaderModifiers
}

export interface ServiceSplitter extends EntryCommon {
  readonly Kind: 'service-splitter'
  readonly Splits: readonly ServiceSplit[]
}

export interface ResolverSubset {
  /** go-bexpr over a service instance; compile with `compileFilter`. */
  readonly Filter?: string
  readonly OnlyPassing?: boolean
}

export interface ResolverRedirect {
  readonly Service?: string
  readonly ServiceSubset?: string
  readonly Namespace?: string
  readonly Partition?: string
  readonly Datacenter?: string
  readonly Peer?: string
  readonly SamenessGroup?: string
}

export interface FailoverTarget {
  readonly Service?: string
  readonly ServiceSubset?: string
  readonly Namespace?: string
  readonly Partition?: string
  readonly Datacenter?: string
  readonly Peer?: string
}

export interface ResolverFailover {
  readonly Service?: string
  readonly ServiceSubset?: string
  readonly Namespace?: string
  readonly SamenessGroup?: string
  readonly Datacenters?: readonly string[]
  readonly Targets?: readonly FailoverTarget[]
  readonly Policy?: FailoverPolicy
}

export type LbPolicy = 'random' | 'round_robin' | 'least_request' | 'ring_hash' | 'maglev'

export interface HashPolicy {
  readonly Field?: 'header' | 'cookie' | 'query_parameter'
  readonly FieldValue?: string
  readonly CookieConfig?: { readonly Session?: boolean; readonly TTL?: Duration; readonly Path?: string }
  readonly SourceIP?: boolean
  readonly Terminal?: boolean
}

export interface LoadBalancer {
  readonly Policy?: LbPolicy
  readonly RingHashConfig?: { readonly MinimumRingSize?: number; readonly MaximumRingSize?: number }
  readonly LeastRequestConfig?: { readonly ChoiceCount?: number }
  readonly HashPolicies?: readonly HashPolicy[]
}

export interface ServiceResolver extends EntryCommon {
  readonly Kind: 'service-resolver'
  readonly DefaultSubset?: string
  readonly Subsets?: UserMap<ResolverSubset>
  readonly Redirect?: ResolverRedirect
  readonly Failover?: UserMap<ResolverFailover>
  readonly ConnectTimeout?: Duration
  readonly RequestTimeout?: Duration
  readonly PrioritizeByLocality?: PrioritizeByLocality
  readonly LoadBalancer?: LoadBalancer
}

export type IntentionAction = 'allow' | 'deny'

export interface IntentionHttpPermission {
  readonly PathExact?: string
  readonly PathPrefix?: string
  readonly PathRegex?: string
  readonly Header?: readonly HeaderMatch[]
  readonly Methods?: readonly string[]
}

export interface IntentionPermission {
  readonly Action: IntentionAction
  readonly HTTP?: IntentionHttpPermission
  readonly JWT?: JwtRequirement
}

export interface SourceIntention {
  /** A service name, or `*`. */
  readonly Name: string
  readonly Namespace?: string
  readonly Partition?: string
  readonly Peer?: string
  readonly SamenessGroup?: string
  readonly Type: 'consul'
  /** Exactly one of Action and Permissions is set. */
  readonly Action?: IntentionAction
  readonly Permissions?: readonly IntentionPermission[]
  /** Computed, 9 to 1; larger wins. */
  readonly Precedence: number
  readonly Description?: string
  /** When `/v1/connect/intentions` made it, and when that wrote it last: RFC 3339. Whoever writes the entry whole says nothing of them. */
  readonly LegacyCreateTime?: string
  readonly LegacyUpdateTime?: string
}

export interface ServiceIntentions extends EntryCommon {
  readonly Kind: 'service-intentions'
  /** Sorted by Precedence, largest first, stable. */
  readonly Sources: readonly SourceIntention[]
  readonly JWT?: JwtRequirement
}

export interface MeshTls {
  readonly TLSMinVersion?: TlsVersion | undefined
  readonly TLSMaxVersion?: TlsVersion | undefined
  readonly CipherSuites?: readonly string[] | undefined
  readonly ECDHCurves?: readonly string[]
}

export interface RequestNormalization {
  readonly InsecureDisablePathNormalization?: boolean
  readonly MergeSlashes?: boolean
  readonly PathWithEscapedSlashesAction?:
    | 'IMPLEMENTATION_SPECIFIC_DEFAULT'
    | 'KEEP_UNCHANGED'
    | 'REJECT_REQUEST'
    | 'UNESCAPE_AND_REDIRECT'
    | 'UNESCAPE_AND_FORWARD'
  readonly HeadersWithUnderscoresAction?: 'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER'
}

export interface Mesh extends EntryCommon {
  readonly Kind: 'mesh'
  readonly Name: 'mesh'
  readonly TransparentProxy?: { readonly MeshDestinationsOnly?: boolean }
  readonly AllowEnablingPermissiveMutualTLS?: boolean
  readonly ValidateClusters?: boolean
  readonly TLS?: { readonly Incoming?: MeshTls; readonly Outgoing?: MeshTls }
  readonly HTTP?: {
    readonly SanitizeXForwardedClientCert?: boolean
    readonly Incoming?: { readonly RequestNormalization?: RequestNormalization }
  }
  readonly Peering?: { readonly PeerThroughMeshGateways?: boolean }
}

export interface ServiceConsumer {
  readonly Partition?: string
  readonly Peer?: string
  readonly SamenessGroup?: string
}

export interface ExportedServices extends EntryCommon {
  readonly Kind: 'exported-services'
  readonly Services: readonly { readonly Name: string; readonly Namespace?: string; readonly Consumers: readonly ServiceConsumer[] }[]
}

export interface JwksCluster {
  readonly DiscoveryType?: 'STRICT_DNS' | 'STATIC' | 'LOGICAL_DNS' | 'EDS' | 'ORIGINAL_DST'
  readonly TLSCertificates?: {
    readonly CaCertificateProviderInstance?: { readonly InstanceName?: string; readonly CertificateName?: string }
    readonly TrustedCA?: {
      readonly Filename?: string
      readonly EnvironmentVariable?: string
      readonly InlineString?: string
      readonly InlineBytes?: string
    }
  }
  readonly ConnectTimeout?: Duration
}

export interface JwtLocation {
  readonly Header?: { readonly Name: string; readonly ValuePrefix?: string; readonly Forward?: boolean }
  readonly QueryParam?: { readonly Name: string }
  readonly Cookie?: { readonly Name: string }
}

export interface JwtProvider extends EntryCommon {
  readonly Kind: 'jwt-provider'
  readonly JSONWebKeySet: {
    readonly Local?: { readonly JWKS?: string; readonly Filename?: string }
    readonly Remote?: {
      readonly URI: string
      readonly RequestTimeoutMs?: number
      readonly CacheDuration?: Duration
      readonly FetchAsynchronously?: boolean
      readonly RetryPolicy?: {
        readonly NumRetries?: number
        readonly RetryPolicyBackOff?: { readonly BaseInterval?: Duration; readonly MaxInterval?: Duration }
      }
      readonly JWKSCluster?: JwksCluster
    }
  }
  readonly Issuer?: string
  readonly Audiences?: readonly string[]
  readonly Locations?: readonly JwtLocation[]
  readonly Forwarding?: { readonly HeaderName: string; readonly PadForwardPayloadHeader?: boolean }
  /** 30 when not given. */
  readonly ClockSkewSeconds: number
  readonly CacheConfig?: { readonly Size?: number }
}

export type ConfigEntry =
  | ServiceDefaults
  | ProxyDefaults
  | ServiceRouter
  | ServiceSplitter
  | ServiceResolver
  | ServiceIntentions
  | Mesh
  | ExportedServices
  | JwtProvider
  | TerminatingGateway
  | EdgeEntry

export type ConfigEntryKind = ConfigEntry['Kind']
export type EntryOfKind<K extends ConfigEntryKind> = Extract<ConfigEntry, { Kind: K }>

/** What the pure half reads entries through; the store and the tests provide one. */
export interface ConfigEntryIndex {
  get<K extends ConfigEntryKind>(kind: K, name: string): EntryOfKind<K> | undefined
  list<K extends ConfigEntryKind>(kind: K): readonly EntryOfKind<K>[]
}

/** One problem of an entry: `path` in Consul's spelling (`Splits[1].Weight`), empty for the entry as a whole. */
export type { ConfigError } from '../../model/config-error.js'
