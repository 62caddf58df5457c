// The keys of the opaque maps: `Proxy.Config` of a sidecar (and `Config` of proxy-defaults, which it goes over) and `Config` of an upstream.
// For each: what a value must look like, and who reads it. Used by snapshot/proxy-config.ts and http-api/bootstrap.ts, which read them, by
// `configProblems` when a registration or proxy-defaults is written, and by docs/consul-compatibility.md through a test.
// Invariant: a key of ours (`outrigger_*`) that is unknown or wrong is refused; of others' it is warned of, as Consul's agent logs it.
import { isIP } from 'node:net'
import { templateProblem } from '../spiffe/id-template.js'
import { parseDuration } from './duration.js'
import { isObject } from './field-reader.js'
import type { ConfigError } from './types.js'

export interface ValueShape<T> {
  /** Completes "must be …". */
  readonly expected: string
  read(value: unknown): T | undefined
}

export interface ConfigKey<T> {
  readonly shape: ValueShape<T>
  /**
   * `xds`: the resources of a running proxy; `gateway`: those of a gateway; `bootstrap`: what it starts with; `mesh`: the resources of other
   * proxies too, so that no registration may say it; `nobody`: warned of.
   */
  readonly reader: 'xds' | 'gateway' | 'bootstrap' | 'mesh' | 'nobody'
  /** A wrong value is refused, not only warned of. */
  readonly strict: boolean
  /** Why nobody reads it. */
  readonly why: string
}

// biome-ignore lint/suspicious/noExplicitAny: each key has its own type of value.
export type ConfigKeys = Readonly<Record<string, ConfigKey<any>>>

const TEXT: ValueShape<string> = { expected: 'a string', read: value => (typeof value === 'string' ? value : undefined) }
const OBJECT: ValueShape<Readonly<Record<string, unknown>>> = {
  expected: 'an object',
  read: value => (isObject(value) ? value : undefined),
}
const FLAG: ValueShape<boolean> = {
  expected: 'true or false',
  read: value => (value === true || value === 'true' ? true : value === false || value === 'false' ? false : undefined),
}
const TEXTS: ValueShape<readonly string[]> = {
  expected: 'a list of strings',
  read: value => (Array.isArray(value) && value.every(item => typeof item === 'string') ? value : undefined),
}
/** Milliseconds of a Go duration, or of a count of nanoseconds. */
const DURATION: ValueShape<number> = {
  expected: 'a duration such as 10s',
  read: value => {
    const ns = typeof value === 'string' ? parseDuration(value) : typeof value === 'number' ? value : undefined
    return ns !== undefined && ns >= 0 ? ns / 1e6 : undefined
  },
}
const JSON_OBJECT: ValueShape<string> = { expected: 'a JSON object in a string', read: value => jsonText(value, isObject) }
/** One object, or several with commas between them, as they would stand in a JSON list. */
const JSON_ITEMS: ValueShape<string> = {
  expected: 'JSON objects in a string, with commas between them',
  read: value => (typeof value === 'string' && jsonText(`[${value}]`, isListOfObjects) !== undefined ? value : undefined),
}
const ID_TEMPLATE: ValueShape<string> = {
  expected: 'a SPIFFE id in which {service} stands for the name of the service',
  read: value => (typeof value === 'string' && templateProblem(value, true) === undefined ? value : undefined),
}
const BIND: ValueShape<string> = {
  expected: 'host:port in a string',
  read: value =>
    typeof value === 'string' && /^.+:\d{1,5}$/.test(value) && Number(value.slice(value.lastIndexOf(':') + 1)) <= 65_535
      ? value
      : undefined,
}
export interface NamedBind {
  readonly name: string
  readonly address: string
  readonly port: number
}
/** By name, where a gateway listens besides. */
const BINDS: ValueShape<readonly NamedBind[]> = {
  expected: 'a map of names to an IP address and a port',
  read: value => {
    if (!isObject(value)) return undefined
    const binds = Object.entries(value).map(([name, at]) => namedBind(name, at))
    return binds.every(bind => bind !== undefined) ? binds : undefined
  },
}
/** Of a statsd server. `$NAME` and `${NAME}` are looked up in the environment of the command that starts the proxy. */
const SINK_URL: ValueShape<string> = {
  expected: 'udp://address:port, unix:///path, or either from $NAME of the environment',
  read: value => (typeof value === 'string' && (SINK.test(value) || /^\S*\$(?:\w+|\{\w+\})\S*$/.test(value)) ? value : undefined),
}
export const SINK = /^(?:udp:\/\/[^\s/]+:\d{1,5}|unix:\/\/\/\S+)$/
const MAX_INTEGER = 2_147_483_647

function integer(min: number, max = MAX_INTEGER): ValueShape<number> {
  return {
    expected: `an integer from ${min} to ${max}`,
    read: value => {
      const number = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : value
      return typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max ? number : undefined
    },
  }
}

function oneOf<const V extends string>(...values: readonly V[]): ValueShape<V> {
  return { expected: values.map(value => `"${value}"`).join(' or '), read: value => values.find(each => each === value) }
}

function namedBind(name: string, at: unknown): NamedBind | undefined {
  if (!isObject(at)) return undefined
  const fields = new Map(Object.entries(at).map(([key, value]) => [foldKey(key), value]))
  const address = fields.get('address')
  const port = Number(fields.get('port'))
  return typeof address === 'string' && isIP(address) !== 0 && Number.isInteger(port) && port > 0 && port <= 65_535
    ? { name, address, port }
    : undefined
}

const isListOfObjects = (value: unknown): boolean => Array.isArray(value) && value.every(isObject)

function jsonText(value: unknown, isWanted: (parsed: unknown) => boolean): string | undefined {
  if (typeof value !== 'string') return undefined
  try {
    return isWanted(JSON.parse(value)) ? value : undefined
  } catch {
    return undefined
  }
}

const xds = <T>(shape: ValueShape<T>): ConfigKey<T> => ({ shape, reader: 'xds', strict: false, why: '' })
const strict = <T>(shape: ValueShape<T>): ConfigKey<T> => ({ shape, reader: 'xds', strict: true, why: '' })
const bootstrap = <T>(shape: ValueShape<T>): ConfigKey<T> => ({ shape, reader: 'bootstrap', strict: false, why: '' })
const gateway = <T>(shape: ValueShape<T>): ConfigKey<T> => ({ shape, reader: 'gateway', strict: false, why: '' })
const mesh = <T>(shape: ValueShape<T>): ConfigKey<T> => ({ shape, reader: 'mesh', strict: true, why: '' })
const nobody = (why: string): ConfigKey<unknown> => ({
  shape: { expected: '', read: value => value },
  reader: 'nobody',
  strict: false,
  why,
})

const OLD_PROXY = 'is of the proxy that Consul once had built in'
const GATEWAYS = 'is for gateways to other datacenters, which are not here'

/** Keeps a service on HTTP/1.1 between the sidecars, for applications that need the case of header names kept. Outrigger's own. */
export const HTTP1_ONLY_KEY = 'outrigger_http1_only'

/**
 * TCP services over CONNECT streams of shared HTTP/2 connections, so that a new client connection costs no handshake. `accept`: the
 * public listener takes both forms; `use`: and the proxy's own TCP upstreams are called that way, whose proxies must accept it. Outrigger's own.
 */
export const TCP_TUNNEL_KEY = 'outrigger_tcp_tunnel'
const TCP_TUNNEL = oneOf('auto', 'off', 'accept', 'use')

/** A transparent proxy takes connections that were made to IPv6 addresses too. Outrigger's own: it needs IPv6 on the proxy's machine. */
export const IPV6_KEY = 'outrigger_transparent_ipv6'

/**
 * Services have their certificates from a SPIFFE Workload API, under this id: a template in proxy-defaults, or in the Meta of a
 * service-defaults entry the id itself (empty: the mesh's own CA). Outrigger's own.
 */
export const SPIFFE_ID_KEY = 'outrigger_spiffe_id'

export const PROXY_CONFIG_KEYS = {
  protocol: xds(TEXT),
  bind_address: xds(TEXT),
  bind_port: xds(integer(1, 65_535)),
  local_connect_timeout_ms: xds(integer(1)),
  local_request_timeout_ms: xds(integer(0)),
  local_idle_timeout_ms: xds(integer(0)),
  max_inbound_connections: xds(integer(0)),
  balance_inbound_connections: xds(oneOf('', 'exact_balance')),
  max_request_headers_kb: xds(integer(1, 8_192)),
  xds_fetch_timeout_ms: xds(integer(0)),
  envoy_public_listener_json: strict(JSON_OBJECT),
  envoy_local_cluster_json: strict(JSON_OBJECT),
  envoy_listener_tracing_json: strict(JSON_OBJECT),
  [HTTP1_ONLY_KEY]: strict(FLAG),
  [TCP_TUNNEL_KEY]: strict(TCP_TUNNEL),
  [IPV6_KEY]: strict(FLAG),
  [SPIFFE_ID_KEY]: mesh(ID_TEMPLATE),
  envoy_prometheus_bind_addr: bootstrap(BIND),
  envoy_stats_bind_addr: bootstrap(BIND),
  envoy_ready_bind_addr: bootstrap(BIND),
  envoy_statsd_url: bootstrap(SINK_URL),
  envoy_dogstatsd_url: bootstrap(SINK_URL),
  envoy_stats_tags: bootstrap(TEXTS),
  envoy_stats_flush_interval: bootstrap(DURATION),
  envoy_stats_config_json: bootstrap(JSON_OBJECT),
  envoy_extra_stats_sinks_json: bootstrap(JSON_ITEMS),
  envoy_extra_static_clusters_json: bootstrap(JSON_ITEMS),
  envoy_extra_static_listeners_json: bootstrap(JSON_ITEMS),
  envoy_tracing_json: bootstrap(JSON_OBJECT),
  envoy_bootstrap_json_tpl: nobody('is a Go template, which is not carried out here'),
  envoy_telemetry_collector_bind_socket_dir: nobody('is of HCP Consul'),
  envoy_hcp_metrics_bind_socket_dir: nobody('is of HCP Consul'),
  envoy_listener_json: nobody('belongs into the Config of an upstream'),
  envoy_cluster_json: nobody('belongs into the Config of an upstream'),
  connect_timeout_ms: gateway(integer(1)),
  handshake_timeout_ms: nobody(OLD_PROXY),
  local_service_address: nobody(OLD_PROXY),
  tcp_check_address: nobody(OLD_PROXY),
  disable_tcp_check: nobody(OLD_PROXY),
  envoy_gateway_bind_addresses: gateway(BINDS),
  envoy_gateway_bind_tagged_addresses: gateway(FLAG),
  envoy_gateway_no_default_bind: gateway(FLAG),
  envoy_mesh_gateway_bind_addresses: gateway(BINDS),
  envoy_mesh_gateway_bind_tagged_addresses: gateway(FLAG),
  envoy_mesh_gateway_no_default_bind: gateway(FLAG),
  envoy_dns_discovery_type: gateway(oneOf('STRICT_DNS', 'LOGICAL_DNS')),
  envoy_gateway_remote_tcp_enable_keepalive: nobody(GATEWAYS),
  envoy_gateway_remote_tcp_keepalive_time: nobody(GATEWAYS),
  envoy_gateway_remote_tcp_keepalive_interval: nobody(GATEWAYS),
  envoy_gateway_remote_tcp_keepalive_probes: nobody(GATEWAYS),
} as const satisfies ConfigKeys

export const UPSTREAM_CONFIG_KEYS = {
  protocol: xds(TEXT),
  connect_timeout_ms: xds(integer(1)),
  limits: xds(OBJECT),
  passive_health_check: xds(OBJECT),
  balance_outbound_connections: xds(oneOf('', 'exact_balance')),
  envoy_listener_json: strict(JSON_OBJECT),
  envoy_cluster_json: strict(JSON_OBJECT),
  [HTTP1_ONLY_KEY]: strict(FLAG),
  [TCP_TUNNEL_KEY]: strict(TCP_TUNNEL),
  mesh_gateway: nobody(GATEWAYS),
} as const satisfies ConfigKeys

export const UPSTREAM_LIMIT_KEYS = {
  max_connections: xds(integer(0)),
  max_pending_requests: xds(integer(0)),
  max_concurrent_requests: xds(integer(0)),
} as const satisfies ConfigKeys

export const PASSIVE_HEALTH_CHECK_KEYS = {
  interval: xds(DURATION),
  max_failures: xds(integer(0)),
  enforcing_consecutive_5xx: xds(integer(0, 100)),
  max_ejection_percent: xds(integer(0, 100)),
  base_ejection_time: xds(DURATION),
} as const satisfies ConfigKeys

/** Keys are the same in any case, with or without underscores. */
export const foldKey = (key: string): string => key.replaceAll('_', '').toLowerCase()

export interface ConfigProblems {
  /** To be refused. */
  readonly errors: readonly ConfigError[]
  /** Without effect, and to be said. */
  readonly warnings: readonly ConfigError[]
}

/** What is wrong with an opaque map at `path`. `strict`: a wrong value is an error, whatever the key. */
export function configProblems(
  config: Readonly<Record<string, unknown>>,
  keys: ConfigKeys,
  path: string,
  options: { readonly strict: boolean } = { strict: false },
): ConfigProblems {
  const known = new Map(Object.entries(keys).map(([name, key]) => [foldKey(name), key]))
  const errors: ConfigError[] = []
  const warnings: ConfigError[] = []
  for (const [name, value] of Object.entries(config)) {
    const at = `${path}.${name}`
    const key = known.get(foldKey(name))
    const isOurs = foldKey(name).startsWith('outrigger')
    if (key === undefined) (isOurs ? errors : warnings).push({ path: at, reason: 'unknown key, has no effect' })
    else if (key.reader === 'mesh' && !options.strict)
      errors.push({ path: at, reason: 'belongs into proxy-defaults, or into the Meta of service-defaults: other proxies have to know it' })
    else if (key.reader === 'nobody') warnings.push({ path: at, reason: `has no effect: ${key.why}` })
    else if (value !== null && value !== '' && key.shape.read(value) === undefined)
      (key.strict || options.strict ? errors : warnings).push({ path: at, reason: `must be ${key.shape.expected}` })
  }
  return { errors, warnings }
}
