// Listener and filter-chain model (envoy.config.listener.v3.Listener).

import type { AccessLog } from './access-log.js'
import type { Address, CidrRange } from './address.js'
import type { Discovery } from './discovery.js'
import type { GrpcService } from './grpc-service.js'
import type { HeaderOption } from './header-option.js'
import type { HttpConnectionManager } from './http-connection-manager.js'
import type { MatchTree } from './match-tree.js'
import type { RuntimeFlag } from './matcher.js'
import type { Metadata } from './metadata.js'
import type { RbacConfig } from './rbac.js'
import type { HashPolicy } from './route.js'
import type { DownstreamTls } from './tls.js'

/** Empty lists and null match everything. `serverNames` lower case, may start with `*.`. */
export interface FilterChainMatch {
  readonly destinationPort: number | null
  readonly prefixRanges: readonly CidrRange[]
  readonly serverNames: readonly string[]
  readonly transportProtocol: string
  readonly applicationProtocols: readonly string[]
  readonly directSourcePrefixRanges: readonly CidrRange[]
  readonly sourceType: 'ANY' | 'SAME_IP_OR_LOOPBACK' | 'EXTERNAL'
  readonly sourcePrefixRanges: readonly CidrRange[]
  readonly sourcePorts: readonly number[]
}

export interface WeightedTcpCluster {
  readonly name: string
  readonly weight: number
}

export interface TcpProxy {
  readonly statPrefix: string
  readonly cluster: string
  readonly weightedClusters: readonly WeightedTcpCluster[]
  /** 0 = no idle timeout; Envoy's default is 1 h. */
  readonly idleTimeoutMs: number
  readonly maxConnectAttempts: number
  readonly maxDownstreamConnectionDurationMs: number | null
  readonly hashPolicy: readonly HashPolicy[]
  readonly accessLogs: readonly AccessLog[]
  readonly metadataMatch: Metadata | null
  /** Null: plain TCP to the endpoint. */
  readonly tunneling: TcpTunneling | null
}

/** TcpProxy.TunnelingConfig: the connection travels in a CONNECT or POST stream. */
export interface TcpTunneling {
  /** The :authority; may hold %COMMANDS%. */
  readonly hostname: string
  /** '' = CONNECT, else the path of the POST. */
  readonly postPath: string
  readonly headersToAdd: readonly HeaderOption[]
}

export type NetworkFilter =
  | { readonly kind: 'rbac'; readonly name: string; readonly rbac: RbacConfig }
  | {
      readonly kind: 'connectionLimit'
      readonly name: string
      readonly statPrefix: string
      readonly maxConnections: number
      readonly delayMs: number
      readonly enabled: RuntimeFlag
    }
  | {
      readonly kind: 'localRateLimit'
      readonly name: string
      readonly statPrefix: string
      readonly maxTokens: number
      readonly tokensPerFill: number
      readonly fillIntervalMs: number
      readonly enabled: RuntimeFlag
    }
  | {
      readonly kind: 'extAuthz'
      readonly name: string
      readonly statPrefix: string
      readonly service: GrpcService
      readonly timeoutMs: number
      readonly failureModeAllow: boolean
      readonly includePeerCertificate: boolean
      readonly includeTlsSession: boolean
    }
  | { readonly kind: 'sniCluster'; readonly name: string }
  | { readonly kind: 'tcpProxy'; readonly name: string; readonly tcpProxy: TcpProxy }
  | { readonly kind: 'httpConnectionManager'; readonly name: string; readonly hcm: HttpConnectionManager }
  | { readonly kind: 'directResponse'; readonly name: string; readonly body: Uint8Array }
  | { readonly kind: 'echo'; readonly name: string }
  /** What it is comes over ECDS; none of these is left in a listener that runs. */
  | { readonly kind: 'discovered'; readonly name: string; readonly discovery: NetworkFilterDiscovery }

export interface NetworkFilterDiscovery extends Discovery<NetworkFilter> {
  /** In the place of the terminal filter. */
  readonly isLast: boolean
}

/** Filters that end a chain: they serve the connection. */
export const TERMINAL_FILTERS: ReadonlySet<NetworkFilter['kind']> = new Set(['tcpProxy', 'httpConnectionManager', 'directResponse', 'echo'])

export type ListenerFilter =
  | { readonly kind: 'tlsInspector' | 'httpInspector' | 'originalDst' }
  | { readonly kind: 'proxyProtocol'; readonly allowWithout: boolean }

export interface FilterChain {
  readonly name: string
  readonly match: FilterChainMatch
  readonly tls: DownstreamTls | null
  /** In order; the last one is terminal (tcpProxy, httpConnectionManager, directResponse, echo). */
  readonly filters: readonly NetworkFilter[]
  readonly transportSocketConnectTimeoutMs: number
  readonly metadata: Metadata
}

export interface Listener {
  readonly name: string
  readonly statPrefix: string
  readonly address: Address
  readonly additionalAddresses: readonly Address[]
  readonly bindToPort: boolean
  readonly trafficDirection: 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND'
  readonly filterChains: readonly FilterChain[]
  readonly defaultFilterChain: FilterChain | null
  /** Names the chain of a connection, in place of the chains' own matches. */
  readonly filterChainMatcher: MatchTree<string> | null
  readonly tlsInspector: boolean
  readonly httpInspector: boolean
  /** The connection's local address is where the client wanted to go before the kernel redirected it. */
  readonly originalDst: boolean
  /** Redirected connections are served by the listener whose address they were for, where there is one. */
  readonly handsOffRedirected: boolean
  /** Takes connections to addresses that are not the host's (TPROXY). */
  readonly transparent: boolean
  readonly proxyProtocol: { readonly allowWithout: boolean } | null
  /** Listener filters that come over ECDS; absent: none. */
  readonly discoveredFilters?: readonly { readonly name: string; readonly discovery: Discovery<ListenerFilter> }[]
  readonly listenerFiltersTimeoutMs: number
  readonly continueOnListenerFiltersTimeout: boolean
  readonly perConnectionBufferLimitBytes: number
  readonly accessLogs: readonly AccessLog[]
  readonly drainType: 'DEFAULT' | 'MODIFY_ONLY'
  /** Null: the system's maximum. */
  readonly tcpBacklogSize: number | null
  readonly metadata: Metadata
  /** The most connections of the whole proxy are no limit here. */
  readonly ignoreGlobalConnLimit?: boolean
  /** Connections are taken whatever the overload manager says. */
  readonly bypassOverload?: boolean
  /** What was accepted without effect, for admin and the gauge: field paths. */
  readonly unsupported: readonly string[]
}

type ListenerFilterFields = Pick<Listener, 'tlsInspector' | 'httpInspector' | 'originalDst' | 'proxyProtocol'>

/** Of two filters of one kind the later one counts. */
export function withListenerFilters(fields: ListenerFilterFields, filters: readonly ListenerFilter[]): ListenerFilterFields {
  const found: { -readonly [K in keyof ListenerFilterFields]: ListenerFilterFields[K] } = { ...fields }
  for (const filter of filters) {
    if (filter.kind === 'proxyProtocol') found.proxyProtocol = { allowWithout: filter.allowWithout }
    else found[filter.kind] = true
  }
  return found
}
