// The Envoy bootstrap of one sidecar, in the form that Consul prints (JSON with the proto's field names): node, stats tags, admin
// and an ADS cluster. Served by the HTTP API, printed by `outrigger bootstrap`; runs the real Envoy as well as our own proxy.
// Cluster and stat names keep the shape that the tag regexes need.
import { bootstrapParts, SELF_ADMIN, socketAddress } from './bootstrap-config.js'
import { HttpError } from './respond.js'

export interface BootstrapOptions {
  readonly proxyId: string
  /** The service behind the proxy: node cluster and source of its metrics. */
  readonly service: string
  readonly nodeName: string
  readonly datacenter: string
  readonly grpcHost: string
  readonly grpcPort: number
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
  const parts = bootstrapParts(...(options.configs ?? []))
  if (parts.needsAdmin && options.adminPort === 0)
    throw new HttpError(400, 'admin_bind: port 0 is known to nobody, and a listener that serves pages of the admin endpoint asks it')
  return {
    admin: { access_log_path: '/dev/null', address: socketAddress(options.adminHost, options.adminPort) },
    node: {
      cluster: options.service,
      id: options.proxyId,
      metadata: { namespace: NAMESPACE, node_name: options.nodeName, partition: PARTITION },
    },
    layered_runtime: { layers: [{ name: 'base', static_layer: { 're2.max_program_size.error_level': 1_048_576 } }] },
    static_resources: {
      clusters: [adsCluster(options), ...(parts.needsAdmin ? [selfAdminCluster(options)] : []), ...parts.clusters],
      ...(parts.listeners.length === 0 ? {} : { listeners: parts.listeners }),
    },
    stats_config: parts.statsConfig ?? { stats_tags: [...statsTags(options), ...parts.statsTags], use_all_default_tags: true },
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
    cluster_manager: { load_stats_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: adsService(options) } },
  }
}

function adsService({ token }: BootstrapOptions): object {
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
  const isIp = options.grpcPath !== undefined || /^[\d.]+$|:/.test(options.grpcHost)
  const address = options.grpcPath === undefined ? socketAddress(options.grpcHost, options.grpcPort) : { pipe: { path: options.grpcPath } }
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
              ...(isIp ? {} : { sni: options.grpcHost }),
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
      endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
    },
  }
}

function selfAdminCluster(options: BootstrapOptions): object {
  return {
    name: SELF_ADMIN,
    ignore_health_on_host_removal: false,
    connect_timeout: '5s',
    type: 'STATIC',
    load_assignment: {
      cluster_name: SELF_ADMIN,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(options.adminHost, options.adminPort) } }] }],
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

/** Consul's tags: existing dashboards and its UI select by them. */
export function statsTags(options: Pick<BootstrapOptions, 'service' | 'datacenter'>): StatsTag[] {
  const capture = `(${PART})`
  const service = `${HASH}${OPTIONAL}`
  const tail = `${ROUTING}\\.${PART}`
  const any = 'upstream(?:_peered)?'
  const fixed: readonly (readonly [string, string])[] = [
    ['local_cluster', options.service],
    ['consul.source.service', options.service],
    ['consul.source.namespace', NAMESPACE],
    ['consul.source.partition', PARTITION],
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
    ['consul.destination.peer', clusterTag(`${PART}\\.${OPTIONAL}${capture}\\.external\\.${PART}`)],
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
