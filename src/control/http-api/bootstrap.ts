// The Envoy bootstrap of one sidecar, in the form that Consul prints (JSON with the proto's field names): node, stats tags, admin
// and an ADS cluster. Served by the HTTP API, printed by `outrigger bootstrap`; runs the real Envoy as well as our own proxy.
// Cluster and stat names keep the shape that the tag regexes need.
import type { Locality } from '../catalog/locality.js'
import { bootstrapParts, type MetricsPage, pageCluster, SELF_ADMIN, socketAddress } from './bootstrap-config.js'
import { HttpError } from './respond.js'

export interface BootstrapOptions {
  readonly proxyId: string
  /** The service behind the proxy: node cluster and source of its metrics. */
  readonly service: string
  readonly nodeName: string
  readonly datacenter: string
  /** Consul Enterprise; absent or empty: default. */
  readonly namespace?: string
  readonly partition?: string
  readonly locality?: Locality | undefined
  readonly grpcHost?: string
  readonly grpcPort?: number
  /** Further servers that share the state, asked when that one is gone. */
  readonly grpcOthers?: readonly { readonly host: string; readonly port: number }[]
  /** In their place a target of google_grpc, which whoever runs the proxy resolves (src/dataplane). Its server takes no load reports. */
  readonly adsTarget?: string
  /** A unix socket in the place of host and port: Nomad puts one into an allocation's network. */
  readonly grpcPath?: string
  readonly adminHost: string
  readonly adminPort: number
  /** Sent as `x-consul-token` on the ADS stream. */
  readonly token?: string
  /** PEM bundle that verifies the ADS server; its presence turns TLS on. */
  readonly grpcCaPem?: string
  /** `Config` of proxy-defaults and of the registration, later ones over earlier ones. */
  readonly configs?: readonly Readonly<Record<string, unknown>>[]
  /** Envoy's access logs of the admin endpoint; without any there is none. */
  readonly adminAccessLogs?: readonly object[]
  /** What `envoy_prometheus_bind_addr` serves; absent: the proxy's own metrics, at /metrics. */
  readonly metricsPage?: MetricsPage
}

const ADS_CLUSTER = 'local_agent'
const NAMESPACE = 'default'
const PARTITION = 'default'

/** One tag of `stats_config`: a fixed value, or a regex whose outer group leaves the stat name and whose inner one is the value. */
export interface StatsTag {
  readonly tag_name: string
  readonly fixed_value?: string
  readonly regex?: string
}

/** Throws `HttpError` where the parts cannot be joined. */
export function envoyBootstrap(options: BootstrapOptions): Record<string, unknown> {
  const { namespace, partition } = tenancyOf(options)
  const parts = bootstrapParts(options.configs ?? [], options.metricsPage)
  const logs = options.adminAccessLogs ?? []
  if (parts.needsAdmin && options.adminPort === 0)
    throw new HttpError(400, 'admin_bind: port 0 is known to nobody, and a listener that serves pages of the admin endpoint asks it')
  return {
    admin: {
      ...(logs.length === 0 ? { access_log_path: '/dev/null' } : { access_log: logs }),
      address: socketAddress(options.adminHost, options.adminPort),
    },
    node: {
      cluster: options.service,
      id: options.proxyId,
      metadata: { namespace, node_name: options.nodeName, partition },
      // The proxy counts by zones (`zone.<its own>.<that of the endpoint>.*`), and prefers its own where a cluster asks for that.
      ...(options.locality && { locality: { region: options.locality.Region, zone: options.locality.Zone } }),
    },
    layered_runtime: { layers: [{ name: 'base', static_layer: { 're2.max_program_size.error_level': 1_048_576 } }] },
    static_resources: {
      clusters: [
        ...(options.adsTarget === undefined ? [adsCluster(options)] : []),
        ...(parts.needsAdmin ? [pageCluster(SELF_ADMIN, options.adminHost, options.adminPort)] : []),
        ...parts.clusters,
      ],
      ...(parts.listeners.length === 0 ? {} : { listeners: parts.listeners }),
    },
    stats_config: parts.statsConfig ?? { stats_tags: allTags(parts.statsTags, statsTags(options)), use_all_default_tags: true },
    ...(parts.statsSinks.length === 0 ? {} : { stats_sinks: parts.statsSinks }),
    ...(parts.statsFlushInterval === undefined ? {} : { stats_flush_interval: parts.statsFlushInterval }),
    ...(parts.tracing === undefined ? {} : { tracing: parts.tracing }),
    dynamic_resources: {
      lds_config: adsSource(),
      cds_config: adsSource(),
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: adsService(options),
      },
    },
    // What load its clusters have, the proxy tells the control plane: the traffic that console and command line show.
    ...(options.adsTarget === undefined
      ? { cluster_manager: { load_stats_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: adsService(options) } } }
      : {}),
  }
}

function tenancyOf({ namespace, partition }: Pick<BootstrapOptions, 'namespace' | 'partition'>): {
  readonly namespace: string
  readonly partition: string
} {
  return { namespace: namespace || NAMESPACE, partition: partition || PARTITION }
}

function adsService({ token, adsTarget }: BootstrapOptions): object {
  if (adsTarget !== undefined) return { google_grpc: { target_uri: adsTarget, stat_prefix: 'consul' } }
  return {
    ...(token === undefined ? {} : { initial_metadata: [{ key: 'x-consul-token', value: token }] }),
    envoy_grpc: { cluster_name: ADS_CLUSTER },
  }
}

function adsSource(): object {
  // 0 s: a proxy without configuration waits for it, however long; it must not open its listeners half configured.
  return { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' }
}

function adsCluster(options: BootstrapOptions): object {
  const { grpcHost = '', grpcPort = 0, grpcOthers = [], grpcPath } = options
  const servers = [{ host: grpcHost, port: grpcPort }, ...grpcOthers]
  const isIp = grpcPath !== undefined || servers.every(({ host }) => /^[\d.]+$|:/.test(host))
  const addresses = grpcPath === undefined ? servers.map(({ host, port }) => socketAddress(host, port)) : [{ pipe: { path: grpcPath } }]
  return {
    name: ADS_CLUSTER,
    ignore_health_on_host_removal: false,
    connect_timeout: '1s',
    type: isIp ? 'STATIC' : 'STRICT_DNS',
    ...(options.grpcCaPem === undefined
      ? {}
      : {
          transport_socket: {
            name: 'tls',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
              common_tls_context: { validation_context: { trusted_ca: { inline_string: options.grpcCaPem } } },
              ...(isIp ? {} : { sni: grpcHost }),
            },
          },
        }),
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: {
      cluster_name: ADS_CLUSTER,
      endpoints: [{ lb_endpoints: addresses.map(address => ({ endpoint: { address } })) }],
    },
  }
}

// Parts of a mesh cluster's name: [<hash>~][<subset>.]<service>.<namespace>.[<partition>.]<datacenter>.<routing>.<trust domain>.consul
const PART = '[^.]+'
const HASH = '(?:[^.]+~)?'
const OPTIONAL = `(?:${PART}\\.)?`
const ROUTING = 'internal[^.]*'

/** Regex of `cluster.<name>.` in which the outer group spans the name and `inner` builds it with one capturing part. */
function clusterTag(inner: string): string {
  return `^cluster\\.(?:passthrough~)?(${inner}\\.consul\\.)`
}

/** `tcp|http.upstream[_peered].<service>[.<namespace>][.<partition>].<datacenter>.` */
function upstreamTag(prefix: string, inner: string): string {
  return `^(?:tcp|http)\\.${prefix}\\.(${inner}\\.)`
}

/** Those of the user come first, and stand in the place of Consul's fixed ones. */
function allTags(own: readonly StatsTag[], consuls: readonly StatsTag[]): StatsTag[] {
  const names = new Set(own.map(({ tag_name }) => tag_name))
  return [...own, ...consuls.filter(({ tag_name, fixed_value }) => fixed_value === undefined || !names.has(tag_name))]
}

/** Consul's tags: existing dashboards and its UI select by them. */
export function statsTags(options: Pick<BootstrapOptions, 'service' | 'datacenter' | 'namespace' | 'partition'>): StatsTag[] {
  const { namespace, partition } = tenancyOf(options)
  const capture = `(${PART})`
  const service = `${HASH}${OPTIONAL}`
  const tail = `${ROUTING}\\.${PART}`
  const any = 'upstream(?:_peered)?'
  const fixed: readonly (readonly [string, string])[] = [
    ['local_cluster', options.service],
    ['consul.source.service', options.service],
    ['consul.source.namespace', namespace],
    ['consul.source.partition', partition],
    ['consul.source.datacenter', options.datacenter],
  ]
  const regexes: readonly (readonly [string, string])[] = [
    ['consul.destination.custom_hash', clusterTag(`(?:([^.]+)~)?${OPTIONAL}${PART}\\.${PART}\\.${OPTIONAL}${PART}\\.${PART}\\.${PART}`)],
    [
      'consul.destination.service_subset',
      clusterTag(`${HASH}(?:${capture}\\.)?${PART}\\.${PART}\\.${OPTIONAL}${PART}\\.${PART}\\.${PART}`),
    ],
    ['consul.destination.service', clusterTag(`${service}${capture}\\.${PART}\\.${OPTIONAL}${PART}\\.${PART}\\.${PART}`)],
    ['consul.destination.namespace', clusterTag(`${service}${PART}\\.${capture}\\.${OPTIONAL}${PART}\\.${PART}\\.${PART}`)],
    ['consul.destination.partition', clusterTag(`${service}${PART}\\.${PART}\\.(?:${capture}\\.)?${PART}\\.${tail}`)],
    ['consul.destination.datacenter', clusterTag(`${service}${PART}\\.${PART}\\.${OPTIONAL}${capture}\\.${tail}`)],
    // Nobody's passthrough cluster is a peer's.
    ['consul.destination.peer', `^cluster\\.(${PART}\\.${OPTIONAL}${capture}\\.external\\.${PART}\\.consul\\.)`],
    ['consul.destination.routing_type', clusterTag(`${service}${PART}\\.${PART}\\.${OPTIONAL}${PART}\\.${capture}\\.${PART}`)],
    ['consul.destination.trust_domain', clusterTag(`${service}${PART}\\.${PART}\\.${OPTIONAL}${PART}\\.${PART}\\.${capture}`)],
    ['consul.destination.target', clusterTag(`(${service}${PART}\\.${PART}\\.${OPTIONAL}${PART})\\.${PART}\\.${PART}`)],
    ['consul.destination.full_target', clusterTag(`(${service}${PART}\\.${PART}\\.${OPTIONAL}${PART}\\.${PART}\\.${PART})`)],
    ['consul.upstream.service', upstreamTag(any, `${capture}(?:\\.${PART})?(?:\\.${PART})?\\.${PART}`)],
    ['consul.upstream.datacenter', upstreamTag('upstream', `${PART}(?:\\.${PART})?(?:\\.${PART})?\\.${capture}`)],
    ['consul.upstream.peer', upstreamTag('upstream_peered', `${PART}(?:\\.${PART})?\\.${capture}`)],
    ['consul.upstream.namespace', upstreamTag(any, `${PART}(?:\\.${capture})?(?:\\.${PART})?\\.${PART}`)],
    ['consul.upstream.partition', upstreamTag('upstream', `${PART}(?:\\.${PART})?(?:\\.${capture})?\\.${PART}`)],
  ]
  return [
    ...regexes.map(([tag_name, regex]) => ({ tag_name, regex })),
    ...fixed.filter(([, value]) => value !== '').map(([tag_name, fixed_value]) => ({ tag_name, fixed_value })),
  ]
}
