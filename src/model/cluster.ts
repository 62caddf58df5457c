// Clusters (envoy.config.cluster.v3.Cluster) as model.

import type { Address } from './address.js'
import type { ConfigSource } from './config-source.js'
import type { DnsResolverConfig } from './dns-resolver.js'
import type { EndpointAssignment } from './endpoint.js'
import type { HeaderOption } from './header-option.js'
import type { CommonHttpOptions, Http1Options, Http2Options } from './http-connection-manager.js'
import type { StringMatcher } from './matcher.js'
import type { JsonObject, JsonValue, Metadata } from './metadata.js'
import type { UpstreamTls } from './tls.js'

/** Config slow_start_config; `aggression` 1.0 = linear. */
export interface SlowStart {
  readonly windowMs: number
  readonly aggression: number
  readonly minWeightPercent: number
}

export type LbPolicy =
  | { readonly kind: 'roundRobin'; readonly slowStart: SlowStart | null }
  | {
      readonly kind: 'leastRequest'
      readonly choiceCount: number
      readonly activeRequestBias: number
      readonly fullScan: boolean
      readonly slowStart: SlowStart | null
    }
  | { readonly kind: 'random' }
  | {
      readonly kind: 'ringHash'
      readonly minRingSize: number
      readonly maxRingSize: number
      readonly hashFunction: 'XX_HASH' | 'MURMUR_HASH_2'
      readonly useHostnameForHashing: boolean
      readonly hashBalanceFactor: number
    }
  | { readonly kind: 'maglev'; readonly tableSize: number; readonly useHostnameForHashing: boolean; readonly hashBalanceFactor: number }
  | { readonly kind: 'pickFirst' }
  | { readonly kind: 'clusterProvided' }

export interface SubsetSelector {
  readonly keys: readonly string[]
  readonly fallback: 'NOT_DEFINED' | 'NO_FALLBACK' | 'ANY_ENDPOINT' | 'DEFAULT_SUBSET' | 'KEYS_SUBSET'
  readonly fallbackKeys: readonly string[]
  readonly singleHostPerSubset: boolean
}

export interface SubsetConfig {
  readonly fallback: 'NO_FALLBACK' | 'ANY_ENDPOINT' | 'DEFAULT_SUBSET'
  readonly defaultSubset: ReadonlyMap<string, JsonValue>
  readonly selectors: readonly SubsetSelector[]
  readonly localityWeightAware: boolean
  readonly scaleLocalityWeight: boolean
  readonly panicModeAny: boolean
  readonly listAsAny: boolean
}

export interface BreakerThresholds {
  readonly maxConnections: number
  /** per_host_thresholds: connections of all priorities to one host; the limit is the priority's that wants another. */
  readonly maxConnectionsPerHost: number
  readonly maxPendingRequests: number
  readonly maxRequests: number
  readonly maxRetries: number
  readonly retryBudget: { readonly percent: number; readonly minConcurrency: number } | null
  readonly trackRemaining: boolean
  readonly maxConnectionPools: number
}

/** Percentages 0–100, times in ms; the defaults of envoy.config.cluster.v3.OutlierDetection are already filled in. */
export interface OutlierDetection {
  readonly consecutive5xx: number
  readonly intervalMs: number
  readonly baseEjectionTimeMs: number
  readonly maxEjectionTimeMs: number
  readonly maxEjectionTimeJitterMs: number
  readonly maxEjectionPercent: number
  readonly alwaysEjectOneHost: boolean
  readonly enforcingConsecutive5xx: number
  readonly enforcingSuccessRate: number
  readonly successRateMinimumHosts: number
  readonly successRateRequestVolume: number
  readonly successRateStdevFactor: number
  readonly consecutiveGatewayFailure: number
  readonly enforcingConsecutiveGatewayFailure: number
  readonly splitExternalLocalOriginErrors: boolean
  readonly consecutiveLocalOriginFailure: number
  readonly enforcingConsecutiveLocalOriginFailure: number
  readonly enforcingLocalOriginSuccessRate: number
  readonly failurePercentageThreshold: number
  readonly enforcingFailurePercentage: number
  readonly enforcingFailurePercentageLocalOrigin: number
  readonly failurePercentageMinimumHosts: number
  readonly failurePercentageRequestVolume: number
  readonly successfulActiveHealthCheckUnejectHost: boolean
}

/** Where what becomes of hosts is written, and whether also what changes nothing. */
export interface HealthEventRules {
  readonly paths: readonly string[]
  readonly everyFailure: boolean
  readonly everySuccess: boolean
}

/** Most of the answer to a health check that is kept. */
export const MAX_HEALTH_RESPONSE_BYTES = 64 * 1024

export interface HealthCheck {
  readonly timeoutMs: number
  readonly intervalMs: number
  readonly initialJitterMs: number
  readonly intervalJitterMs: number
  readonly intervalJitterPercent: number
  readonly unhealthyThreshold: number
  readonly healthyThreshold: number
  readonly altPort: number | null
  readonly reuseConnection: boolean
  readonly noTrafficIntervalMs: number
  readonly noTrafficHealthyIntervalMs: number | null
  readonly unhealthyIntervalMs: number
  readonly unhealthyEdgeIntervalMs: number
  readonly healthyEdgeIntervalMs: number
  /** Absent: nothing is written. */
  readonly events?: HealthEventRules
  readonly check:
    | {
        readonly kind: 'http'
        readonly host: string
        readonly path: string
        readonly method: string
        readonly http2: boolean
        readonly headersToAdd: readonly HeaderOption[]
        readonly headersToRemove: readonly string[]
        readonly expectedStatuses: readonly { readonly start: number; readonly end: number }[]
        readonly retriableStatuses: readonly { readonly start: number; readonly end: number }[]
        readonly serviceName: StringMatcher | null
        readonly send: Uint8Array | null
        /** Blocks that the body must have, in this order. */
        readonly receive: readonly Uint8Array[]
        /** So much of the body is looked at. */
        readonly responseBufferBytes: number
      }
    | { readonly kind: 'tcp'; readonly send: Uint8Array | null; readonly receive: readonly Uint8Array[] }
    | {
        readonly kind: 'grpc'
        readonly serviceName: string
        readonly authority: string
        readonly initialMetadata: readonly HeaderOption[]
      }
}

/** How HTTP is spoken to the endpoints (envoy.extensions.upstreams.http.v3.HttpProtocolOptions). `auto`: by ALPN, h2 first. */
export interface UpstreamHttp {
  readonly protocol: 'http1' | 'http2' | 'auto' | 'downstream'
  readonly common: CommonHttpOptions
  readonly http1: Http1Options
  readonly http2: Http2Options
  readonly autoSni: boolean
  readonly autoSanValidation: boolean
}

export interface DnsOptions {
  readonly refreshMs: number
  readonly failureRefreshBaseMs: number
  readonly failureRefreshMaxMs: number
  readonly respectTtl: boolean
  readonly jitterMs: number
  readonly family: 'AUTO' | 'V4_ONLY' | 'V6_ONLY' | 'V4_PREFERRED' | 'ALL'
  /** A TTL that is respected counts as no less than this. */
  readonly minRefreshMs: number
  /** null = the bootstrap's. */
  readonly resolver: DnsResolverConfig | null
}

export type Discovery =
  | { readonly kind: 'static'; readonly assignment: EndpointAssignment }
  | {
      readonly kind: 'eds'
      readonly serviceName: string
      readonly source: ConfigSource
      readonly initialFetchTimeoutMs: number
    }
  | { readonly kind: 'strictDns' | 'logicalDns'; readonly assignment: EndpointAssignment; readonly dns: DnsOptions }
  | {
      readonly kind: 'originalDst'
      readonly useHttpHeader: boolean
      readonly httpHeaderName: string
      readonly portOverride: number | null
      readonly cleanupIntervalMs: number
    }
  | { readonly kind: 'aggregate'; readonly clusters: readonly string[] }

export interface TransportSocketMatch {
  readonly name: string
  readonly match: JsonObject
  readonly tls: UpstreamTls | null
}

export interface Cluster {
  readonly name: string
  readonly altStatName: string
  readonly discovery: Discovery
  readonly connectTimeoutMs: number
  readonly perConnectionBufferLimitBytes: number
  readonly lbPolicy: LbPolicy
  readonly subset: SubsetConfig | null
  /** 0–100; 0 = never panic. */
  readonly healthyPanicPercent: number
  readonly localityWeighted: boolean
  readonly zoneAware: {
    readonly routingEnabledPercent: number
    readonly minClusterSize: number
    readonly failTrafficOnPanic: boolean
    /** With so many healthy endpoints in our own zone everything stays there, whatever the others have; null: only what is its share. */
    readonly forceLocalMinSize: number | null
    /** A zone's share is by the weights of its healthy endpoints, not by their number. */
    readonly byWeight: boolean
  } | null
  readonly overrideHostStatus: readonly string[]
  readonly ignoreNewHostsUntilFirstHealthCheck: boolean
  readonly closeConnectionsOnHostSetChange: boolean
  readonly ignoreHealthOnHostRemoval: boolean
  readonly breakers: {
    readonly default: BreakerThresholds
    readonly high: BreakerThresholds
  }
  readonly outlier: OutlierDetection | null
  readonly healthChecks: readonly HealthCheck[]
  readonly http: UpstreamHttp
  readonly tls: UpstreamTls | null
  readonly transportSocketMatches: readonly TransportSocketMatch[]
  readonly tcpKeepalive: { readonly timeSeconds: number | null } | null
  readonly bindSource: Address | null
  readonly metadata: Metadata
  readonly unsupported: readonly string[]
}
