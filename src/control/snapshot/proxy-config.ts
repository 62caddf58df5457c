// The opaque configuration of a proxy and of its upstreams (`Proxy.Config`, `Upstreams[].Config`, proxy-defaults `Config`,
// service-defaults), merged in Consul's order and read into typed values. Called by `proxy-view.ts`.
// Order, later wins: proxy-defaults, service-defaults, the registration. A value of the wrong type is left out and reported.
import { OpaqueConfig } from '../config-entries/opaque-config.js'
import {
  HTTP1_ONLY_KEY,
  IPV6_KEY,
  PASSIVE_HEALTH_CHECK_KEYS,
  PROXY_CONFIG_KEYS,
  TCP_TUNNEL_KEY,
  UPSTREAM_CONFIG_KEYS,
  UPSTREAM_LIMIT_KEYS,
} from '../config-entries/proxy-config-keys.js'
import type { ConfigError, ProxyDefaults, ServiceDefaults, UpstreamConfig } from '../config-entries/types.js'

export type TcpTunnelMode = 'auto' | 'off' | 'accept' | 'use'

export const DEFAULT_CONNECT_TIMEOUT_MS = 5_000

export interface ProxyConfig {
  readonly protocol: string | undefined
  readonly bindAddress: string | undefined
  readonly bindPort: number | undefined
  readonly localConnectTimeoutMs: number
  /** Undefined: Envoy's default (15 s); 0: none. */
  readonly localRequestTimeoutMs: number | undefined
  readonly localIdleTimeoutMs: number | undefined
  readonly maxInboundConnections: number
  readonly balanceInboundConnections: boolean
  readonly maxRequestHeadersKb: number | undefined
  readonly xdsFetchTimeoutMs: number | undefined
  readonly httpMeshProtocol: 'auto' | 'http1'
  readonly tcpTunnel: TcpTunnelMode
  readonly transparentIpv6: boolean
  /** Escape hatches: the user's own Envoy messages, as JSON. */
  readonly publicListenerJson: string | undefined
  readonly localClusterJson: string | undefined
  readonly tracingJson: string | undefined
}

export interface UpstreamSettings {
  readonly protocol: string | undefined
  readonly connectTimeoutMs: number | undefined
  readonly limits: { readonly maxConnections?: number; readonly maxPendingRequests?: number; readonly maxRequests?: number }
  readonly passiveHealthCheck:
    | {
        readonly intervalMs?: number
        readonly maxFailures?: number
        readonly enforcingConsecutive5xx?: number
        readonly maxEjectionPercent?: number
        readonly baseEjectionTimeMs?: number
      }
    | undefined
  readonly balanceOutboundConnections: boolean
  readonly httpMeshProtocol: 'auto' | 'http1'
  /** Undefined: as the proxy's own. */
  readonly tcpTunnel: TcpTunnelMode | undefined
  readonly listenerJson: string | undefined
  readonly clusterJson: string | undefined
}

export function readProxyConfig(
  sources: {
    readonly proxyDefaults: ProxyDefaults | undefined
    readonly serviceDefaults: ServiceDefaults | undefined
    readonly registration: Readonly<Record<string, unknown>>
  },
  problems: ConfigError[],
): ProxyConfig {
  const { serviceDefaults } = sources
  const merged = new OpaqueConfig('Proxy.Config', PROXY_CONFIG_KEYS, problems)
  merged.add(sources.proxyDefaults?.Config ?? {})
  merged.add(
    defined({
      protocol: serviceDefaults?.Protocol,
      max_inbound_connections: serviceDefaults?.MaxInboundConnections || undefined,
      local_connect_timeout_ms: serviceDefaults?.LocalConnectTimeoutMs || undefined,
      local_request_timeout_ms: serviceDefaults?.LocalRequestTimeoutMs || undefined,
      balance_inbound_connections: serviceDefaults?.BalanceInboundConnections,
      // service-defaults has no opaque map in Consul; its Meta is free for such a mark.
      [HTTP1_ONLY_KEY]: serviceDefaults?.Meta?.[HTTP1_ONLY_KEY],
      [TCP_TUNNEL_KEY]: serviceDefaults?.Meta?.[TCP_TUNNEL_KEY],
    }),
  )
  merged.add(sources.registration)
  return {
    protocol: merged.get('protocol')?.toLowerCase(),
    bindAddress: merged.get('bind_address'),
    bindPort: merged.get('bind_port'),
    localConnectTimeoutMs: merged.get('local_connect_timeout_ms') ?? DEFAULT_CONNECT_TIMEOUT_MS,
    localRequestTimeoutMs: merged.get('local_request_timeout_ms'),
    localIdleTimeoutMs: merged.get('local_idle_timeout_ms'),
    maxInboundConnections: merged.get('max_inbound_connections') ?? 0,
    balanceInboundConnections: merged.get('balance_inbound_connections') === 'exact_balance',
    maxRequestHeadersKb: merged.get('max_request_headers_kb'),
    xdsFetchTimeoutMs: merged.get('xds_fetch_timeout_ms'),
    httpMeshProtocol: merged.get(HTTP1_ONLY_KEY) ? 'http1' : 'auto',
    tcpTunnel: merged.get(TCP_TUNNEL_KEY) ?? 'auto',
    transparentIpv6: merged.get(IPV6_KEY) === true,
    publicListenerJson: merged.get('envoy_public_listener_json'),
    localClusterJson: merged.get('envoy_local_cluster_json'),
    tracingJson: merged.get('envoy_listener_tracing_json'),
  }
}

/** `sources` are the downstream's UpstreamConfig.Defaults, its override for this upstream, and the registration, in that order. */
export function readUpstreamSettings(
  defaults: UpstreamConfig | undefined,
  override: UpstreamConfig | undefined,
  registration: Readonly<Record<string, unknown>>,
  problems: ConfigError[],
): UpstreamSettings {
  const merged = new OpaqueConfig('Proxy.Upstreams.Config', UPSTREAM_CONFIG_KEYS, problems)
  for (const entry of [defaults, override]) if (entry !== undefined) merged.add(asOpaque(entry))
  merged.add(registration)
  const limits = new OpaqueConfig('Proxy.Upstreams.Config.limits', UPSTREAM_LIMIT_KEYS, problems).add(merged.get('limits') ?? {})
  const check = merged.get('passive_health_check')
  const passive = check && new OpaqueConfig('Proxy.Upstreams.Config.passive_health_check', PASSIVE_HEALTH_CHECK_KEYS, problems).add(check)
  return {
    protocol: merged.get('protocol')?.toLowerCase(),
    connectTimeoutMs: merged.get('connect_timeout_ms'),
    limits: defined({
      maxConnections: limits.get('max_connections'),
      maxPendingRequests: limits.get('max_pending_requests'),
      maxRequests: limits.get('max_concurrent_requests'),
    }),
    passiveHealthCheck:
      passive &&
      defined({
        intervalMs: passive.get('interval'),
        maxFailures: passive.get('max_failures'),
        enforcingConsecutive5xx: passive.get('enforcing_consecutive_5xx'),
        maxEjectionPercent: passive.get('max_ejection_percent'),
        baseEjectionTimeMs: passive.get('base_ejection_time'),
      }),
    balanceOutboundConnections: merged.get('balance_outbound_connections') === 'exact_balance',
    httpMeshProtocol: merged.get(HTTP1_ONLY_KEY) ? 'http1' : 'auto',
    tcpTunnel: merged.get(TCP_TUNNEL_KEY),
    listenerJson: merged.get('envoy_listener_json'),
    clusterJson: merged.get('envoy_cluster_json'),
  }
}

function asOpaque(entry: UpstreamConfig): Record<string, unknown> {
  return defined({
    protocol: entry.Protocol,
    connect_timeout_ms: entry.ConnectTimeoutMs || undefined,
    limits: entry.Limits,
    passive_health_check: entry.PassiveHealthCheck,
    balance_outbound_connections: entry.BalanceOutboundConnections,
    envoy_listener_json: entry.EnvoyListenerJSON || undefined,
    envoy_cluster_json: entry.EnvoyClusterJSON || undefined,
  })
}

/** The object without its undefined fields. */
function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}
