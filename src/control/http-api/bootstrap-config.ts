// The keys of `Proxy.Config` (and of proxy-defaults, which it goes over) that a proxy starts with, as parts of its bootstrap: listeners that
// serve one page of the admin endpoint, stats sinks, tags, and JSON of the user's own. Called by bootstrap.ts.
import { OpaqueConfig } from '../config-entries/opaque-config.js'
import { PROXY_CONFIG_KEYS, SINK } from '../config-entries/proxy-config-keys.js'

export interface BootstrapParts {
  readonly listeners: readonly object[]
  readonly clusters: readonly object[]
  /** Listeners here ask the admin endpoint. */
  readonly needsAdmin: boolean
  readonly statsSinks: readonly object[]
  /** Beside Consul's. */
  readonly statsTags: readonly { readonly tag_name: string; readonly fixed_value: string }[]
  /** In place of tags and all. */
  readonly statsConfig: object | undefined
  readonly statsFlushInterval: string | undefined
  readonly tracing: object | undefined
}

/** What the listener for Prometheus serves in the place of the proxy's own metrics: those of a dataplane, merged with others. */
export interface MetricsPage {
  readonly path: string
  readonly backend: { readonly host: string; readonly port: number }
  readonly tls?: { readonly caPem: string; readonly certFile: string; readonly keyFile: string }
}

/** The cluster of the proxy's own admin endpoint. */
export const SELF_ADMIN = 'self_admin'
export const METRICS_BACKEND = 'prometheus_backend'

/** What orchestrators ask; Envoy has the first alone. */
const PROBES = ['/ready', '/live', '/startup']

/** Later maps go over earlier ones. What is of the wrong form is left out: whoever wrote it has been warned. */
export function bootstrapParts(configs: readonly Readonly<Record<string, unknown>>[], metrics?: MetricsPage): BootstrapParts {
  const config = new OpaqueConfig('Config', PROXY_CONFIG_KEYS, [])
  for (const each of configs) config.add(each)
  const metricsPage = pages(
    { name: 'envoy_prometheus_metrics', cluster: metrics === undefined ? SELF_ADMIN : METRICS_BACKEND, tls: metrics?.tls },
    config.get('envoy_prometheus_bind_addr'),
    [[{ path: metrics?.path ?? '/metrics' }, '/stats/prometheus']],
  )
  const adminPages = [
    pages({ name: 'envoy_metrics', cluster: SELF_ADMIN }, config.get('envoy_stats_bind_addr'), [[{ prefix: '/stats' }, '/stats']]),
    pages(
      { name: 'envoy_ready', cluster: SELF_ADMIN },
      config.get('envoy_ready_bind_addr'),
      PROBES.map(path => [{ path }, path]),
    ),
  ].flat()
  const flushMs = config.get('envoy_stats_flush_interval')
  return {
    listeners: [...jsonItems(config.get('envoy_extra_static_listeners_json')), ...metricsPage, ...adminPages],
    clusters: [
      ...(metrics === undefined || metricsPage.length === 0
        ? []
        : [pageCluster(METRICS_BACKEND, metrics.backend.host, metrics.backend.port)]),
      ...jsonItems(config.get('envoy_extra_static_clusters_json')),
    ],
    needsAdmin: adminPages.length > 0 || (metrics === undefined && metricsPage.length > 0),
    statsSinks: [
      ...sink('envoy.stat_sinks.statsd', 'StatsdSink', config.get('envoy_statsd_url')),
      ...sink('envoy.stat_sinks.dog_statsd', 'DogStatsdSink', config.get('envoy_dogstatsd_url')),
      ...jsonItems(config.get('envoy_extra_stats_sinks_json')),
    ],
    statsTags: (config.get('envoy_stats_tags') ?? []).map(tag => {
      const equals = tag.indexOf('=')
      // A tag without a value has the value "1".
      const [name, value] = equals < 0 ? [tag, '1'] : [tag.slice(0, equals), tag.slice(equals + 1)]
      return { tag_name: name.toLowerCase(), fixed_value: value }
    }),
    statsConfig: jsonObject(config.get('envoy_stats_config_json')),
    statsFlushInterval: flushMs === undefined ? undefined : `${flushMs / 1_000}s`,
    tracing: jsonObject(config.get('envoy_tracing_json')),
  }
}

const jsonItems = (text: string | undefined): object[] => (text === undefined ? [] : JSON.parse(`[${text}]`))
const jsonObject = (text: string | undefined): object | undefined => (text === undefined ? undefined : JSON.parse(text))

function sink(name: string, type: string, url: string | undefined): object[] {
  if (url === undefined) return []
  const address = url.includes('$') ? { pipe: { path: url } } : sinkAddress(url)
  return [{ name, typed_config: { '@type': `type.googleapis.com/envoy.config.metrics.v3.${type}`, address } }]
}

/** Of `udp://address:port` or `unix:///path`. */
function sinkAddress(url: string): object {
  const colon = url.lastIndexOf(':')
  return url.startsWith('unix://')
    ? { pipe: { path: url.slice('unix://'.length) } }
    : socketAddress(url.slice('udp://'.length, colon), Number(url.slice(colon + 1)))
}

type Sink = { readonly typed_config?: { address?: { readonly pipe?: { readonly path: string } } } }

/**
 * Fills in where statsd servers are that stand in the environment of who starts the proxy: the server, which has no view of it, leaves the
 * text in the place of a pipe. The reason why it can't be done, or undefined.
 */
export function resolveSinks(bootstrap: object, env: (name: string) => string | undefined): string | undefined {
  for (const { typed_config: config } of (bootstrap as { readonly stats_sinks?: readonly Sink[] }).stats_sinks ?? []) {
    const text = config?.address?.pipe?.path
    if (config === undefined || text === undefined || !text.includes('$')) continue
    let missing = ''
    const url = text.replace(/\$(?:(\w+)|\{(\w+)\})/g, (_all, plain?: string, braced?: string) => {
      const value = env(plain ?? braced!)
      if (value === undefined) missing = plain ?? braced!
      return value ?? ''
    })
    if (missing !== '') return `statsd address "${text}": $${missing} is not set in the environment`
    if (!SINK.test(url)) return `statsd address "${text}": "${url}" is neither udp://address:port nor unix:///path`
    config.address = sinkAddress(url)
  }
  return undefined
}

export function socketAddress(address: string, port: number): object {
  return { socket_address: { address: address.replace(/^\[|\]$/g, ''), port_value: port } }
}

/** The cluster that the pages of a listener come from. */
export function pageCluster(name: string, host: string, port: number): object {
  return {
    name,
    ignore_health_on_host_removal: false,
    connect_timeout: '5s',
    type: 'STATIC',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(host, port) } }] }] },
  }
}

interface PageListener {
  readonly name: string
  readonly cluster: string
  readonly tls?: MetricsPage['tls']
}

/** A listener that serves these pages of a cluster, and nothing else of it; none where it has no address. */
function pages(
  { name, cluster, tls }: PageListener,
  bind: string | undefined,
  served: readonly (readonly [match: object, page: string])[],
): object[] {
  if (bind === undefined) return []
  const colon = bind.lastIndexOf(':')
  const hcm = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: name,
    codec_type: 'HTTP1',
    route_config: {
      name: 'self_admin_route',
      virtual_hosts: [
        {
          name: SELF_ADMIN,
          domains: ['*'],
          routes: [
            ...served.map(([match, page]) => ({ match, route: { cluster, prefix_rewrite: page } })),
            { match: { prefix: '/' }, direct_response: { status: 404 } },
          ],
        },
      ],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  }
  const chain = {
    filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: hcm }],
    ...(tls === undefined ? {} : { transport_socket: metricsTls(tls) }),
  }
  const address = socketAddress(bind.slice(0, colon), Number(bind.slice(colon + 1)))
  return [{ name: `${name}_listener`, address, filter_chains: [chain] }]
}

function metricsTls({ caPem, certFile, keyFile }: NonNullable<MetricsPage['tls']>): object {
  return {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      common_tls_context: {
        tls_certificates: [{ certificate_chain: { filename: certFile }, private_key: { filename: keyFile } }],
        validation_context: { trusted_ca: { inline_string: caPem } },
      },
    },
  }
}
