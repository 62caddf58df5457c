// The opaque configuration of a proxy and of its upstreams (`Proxy.Config`, `Upstreams[].Config`, proxy-defaults `Config`,
// service-defaults), merged in Consul's order and read into typed values. Called by `proxy-view.ts`.
// Order, later wins: proxy-defaults, service-defaults, the registration. A value of the wrong type is left out and reported.
import { parseDuration } from '../config-entries/duration.js'
import { isObject } from '../config-entries/field-reader.js'
import type { ConfigError, ProxyDefaults, ServiceDefaults, UpstreamConfig } from '../config-entries/types.js'

/** Keeps a service on HTTP/1.1 between the sidecars, for applications that need the case of header names kept. Outrigger's own. */
export const HTTP1_ONLY_KEY = 'outrigger_http1_only'

/**
 * TCP services over CONNECT streams of shared HTTP/2 connections, so that a new client connection costs no handshake. `accept`: the
 * public listener takes both forms; `use`: and the proxy's own TCP upstreams are called that way, whose proxies must accept it. Outrigger's own.
 */
export const TCP_TUNNEL_KEY = 'outrigger_tcp_tunnel'
const TCP_TUNNEL = ['off', 'accept', 'use'] as const
export type TcpTunnelMode = (typeof TCP_TUNNEL)[number]

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
}

/** Keys that Consul takes and that can't be carried over: refused into `problems`, never skipped in silence. */
const ESCAPE_HATCHES = ['envoy_public_listener_json', 'envoy_listener_json', 'envoy_cluster_json', 'envoy_local_cluster_json']

export function readProxyConfig(
  sources: {
    readonly proxyDefaults: ProxyDefaults | undefined
    readonly serviceDefaults: ServiceDefaults | undefined
    readonly registration: Readonly<Record<string, unknown>>
  },
  problems: ConfigError[],
): ProxyConfig {
  const { serviceDefaults } = sources
  const merged = new OpaqueConfig('Proxy.Config', problems)
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
  merged.refuse(ESCAPE_HATCHES)
  return {
    protocol: merged.text('protocol')?.toLowerCase(),
    bindAddress: merged.text('bind_address'),
    bindPort: merged.integer('bind_port', 1, 65_535),
    localConnectTimeoutMs: merged.integer('local_connect_timeout_ms', 1) ?? DEFAULT_CONNECT_TIMEOUT_MS,
    localRequestTimeoutMs: merged.integer('local_request_timeout_ms', 0),
    localIdleTimeoutMs: merged.integer('local_idle_timeout_ms', 0),
    maxInboundConnections: merged.integer('max_inbound_connections', 0) ?? 0,
    balanceInboundConnections: merged.text('balance_inbound_connections') === 'exact_balance',
    maxRequestHeadersKb: merged.integer('max_request_headers_kb', 1, 8_192),
    xdsFetchTimeoutMs: merged.integer('xds_fetch_timeout_ms', 0),
    httpMeshProtocol: merged.flag(HTTP1_ONLY_KEY) ? 'http1' : 'auto',
    tcpTunnel: merged.oneOf(TCP_TUNNEL_KEY, TCP_TUNNEL) ?? 'off',
  }
}

/** `sources` are the downstream's UpstreamConfig.Defaults, its override for this upstream, and the registration, in that order. */
export function readUpstreamSettings(
  defaults: UpstreamConfig | undefined,
  override: UpstreamConfig | undefined,
  registration: Readonly<Record<string, unknown>>,
  problems: ConfigError[],
): UpstreamSettings {
  const merged = new OpaqueConfig('Proxy.Upstreams.Config', problems)
  for (const entry of [defaults, override]) if (entry !== undefined) merged.add(asOpaque(entry))
  merged.add(registration)
  merged.refuse(ESCAPE_HATCHES)
  const limits = merged.nested('limits')
  const passive = merged.nested('passive_health_check')
  return {
    protocol: merged.text('protocol')?.toLowerCase(),
    connectTimeoutMs: merged.integer('connect_timeout_ms', 1),
    limits: defined({
      maxConnections: limits?.integer('max_connections', 0),
      maxPendingRequests: limits?.integer('max_pending_requests', 0),
      maxRequests: limits?.integer('max_concurrent_requests', 0),
    }),
    passiveHealthCheck:
      passive === undefined
        ? undefined
        : defined({
            intervalMs: passive.duration('interval'),
            maxFailures: passive.integer('max_failures', 0),
            enforcingConsecutive5xx: passive.integer('enforcing_consecutive_5xx', 0, 100),
            maxEjectionPercent: passive.integer('max_ejection_percent', 0, 100),
            baseEjectionTimeMs: passive.duration('base_ejection_time'),
          }),
    balanceOutboundConnections: merged.text('balance_outbound_connections') === 'exact_balance',
    httpMeshProtocol: merged.flag(HTTP1_ONLY_KEY) ? 'http1' : 'auto',
    tcpTunnel: merged.oneOf(TCP_TUNNEL_KEY, TCP_TUNNEL),
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

class OpaqueConfig {
  private readonly values = new Map<string, unknown>()

  constructor(
    readonly path: string,
    readonly problems: ConfigError[],
  ) {}

  add(values: Readonly<Record<string, unknown>>): void {
    for (const [key, value] of Object.entries(values)) this.values.set(key.replaceAll('_', '').toLowerCase(), value)
  }

  text(key: string): string | undefined {
    const value = this.get(key)
    return value === undefined || value === '' ? undefined : typeof value === 'string' ? value : this.wrong(key, 'a string')
  }

  integer(key: string, min: number, max = 2_147_483_647): number | undefined {
    const value = this.get(key)
    if (value === undefined) return undefined
    const number = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : value
    if (typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max) return number
    return this.wrong(key, `an integer from ${min} to ${max}`)
  }

  flag(key: string): boolean {
    const value = this.get(key)
    if (value === undefined || value === false || value === 'false') return false
    return value === true || value === 'true' ? true : (this.wrong(key, 'true or false') ?? false)
  }

  oneOf<T extends string>(key: string, values: readonly T[]): T | undefined {
    const value = this.get(key)
    if (value === undefined) return undefined
    return values.find(each => each === value) ?? this.wrong(key, values.map(each => `"${each}"`).join(' or '))
  }

  /** Milliseconds of a Go duration, or of a count of nanoseconds. */
  duration(key: string): number | undefined {
    const value = this.get(key)
    if (value === undefined) return undefined
    const ns = typeof value === 'string' ? parseDuration(value) : typeof value === 'number' ? value : undefined
    return ns !== undefined && ns >= 0 ? ns / 1e6 : this.wrong(key, 'a duration such as 10s')
  }

  nested(key: string): OpaqueConfig | undefined {
    const value = this.get(key)
    if (value === undefined) return undefined
    if (!isObject(value)) return this.wrong(key, 'an object')
    const nested = new OpaqueConfig(`${this.path}.${key}`, this.problems)
    nested.add(value)
    return nested
  }

  refuse(keys: readonly string[]): void {
    for (const key of keys)
      if (this.get(key) !== undefined) this.problems.push({ path: `${this.path}.${key}`, reason: 'is not supported and has no effect' })
  }

  private get(key: string): unknown {
    const value = this.values.get(key.replaceAll('_', ''))
    return value === null ? undefined : value
  }

  private wrong(key: string, expected: string): undefined {
    this.problems.push({ path: `${this.path}.${key}`, reason: `must be ${expected}` })
    return undefined
  }
}
