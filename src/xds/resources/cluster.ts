// envoy.config.cluster.v3.Cluster -> model: discovery, HTTP, TLS and connection settings; balancing, checks and breakers are decoded by
// lb-policy.ts and health-check.ts. Called by decode.ts (CDS) and bootstrap.ts (static clusters).

import type { Cluster, Discovery, TransportSocketMatch } from '../../model/cluster.js'
import { CLUSTER_DEFAULTS, newAssignment } from '../../model/defaults.js'
import type { EndpointAssignment } from '../../model/endpoint.js'
import {
  Cluster_ClusterProtocolSelection,
  Cluster_DiscoveryType,
  type Cluster as ClusterMessage,
} from '../gen/envoy/config/cluster/v3/cluster_pb.js'
import type { BindConfig } from '../gen/envoy/config/core/v3/address_pb.js'
import { HealthStatusSchema } from '../gen/envoy/config/core/v3/health_check_pb.js'
import type { ClusterConfig } from '../gen/envoy/extensions/clusters/aggregate/v3/cluster_pb.js'
import { ClusterConfigSchema } from '../gen/envoy/extensions/clusters/aggregate/v3/cluster_pb.js'
import { type DnsCluster, DnsClusterSchema } from '../gen/envoy/extensions/clusters/dns/v3/dns_cluster_pb.js'
import { decodeSocketAddress } from './address.js'
import { describeType, unpackAny } from './any.js'
import { decodeConfigSource, initialFetchTimeoutMs } from './config-source.js'
import { decodeClusterDns, decodeDnsCluster } from './dns.js'
import { decodeAssignment } from './endpoint.js'
import type { Ctx } from './field-path.js'
import { decodeBreakers, decodeHealthChecks, decodeOutlier } from './health-check.js'
import { decodeLoadBalancing } from './lb-policy.js'
import { decodeUpstreamSocket } from './transport-socket.js'
import { decodeUpstreamHttp } from './upstream-http.js'
import { decodeMetadata, durationMsOr, enumName, plainObject } from './values.js'

export function decodeClusterMessage(cluster: ClusterMessage, ctx: Ctx): Cluster {
  const balancing = decodeLoadBalancing(cluster, ctx)
  const errorsBefore = ctx.sink.errors.length
  const discovery = decodeDiscovery(cluster, ctx)
  const typeKnown = ctx.sink.errors.length === errorsBefore
  const provided = balancing.lbPolicy.kind === 'clusterProvided'
  const provides = discovery.kind === 'aggregate' || discovery.kind === 'originalDst'
  if (typeKnown && provides && !provided) ctx.at('lb_policy').error(`cluster type '${discovery.kind}' needs LB policy CLUSTER_PROVIDED`)
  if (typeKnown && provided && !provides)
    ctx.at('lb_policy').error(`LB policy CLUSTER_PROVIDED cannot be used with cluster type '${discovery.kind}'`)
  const hashing = cluster.commonLbConfig?.consistentHashingLbConfig
  if (typeKnown && hashing?.useHostnameForHashing && discovery.kind !== 'strictDns') {
    ctx
      .at('common_lb_config')
      .at('consistent_hashing_lb_config')
      .at('use_hostname_for_hashing')
      .error(`cannot be used with cluster type '${discovery.kind}': only STRICT_DNS endpoints have host names`)
  }
  if (cluster.loadBalancingPolicy !== undefined && cluster.lbSubsetConfig !== undefined) {
    ctx.at('load_balancing_policy').error('cannot be combined with lb_subset_config')
  }
  if (
    cluster.httpProtocolOptions !== undefined &&
    cluster.http2ProtocolOptions !== undefined &&
    cluster.protocolSelection === Cluster_ClusterProtocolSelection.USE_CONFIGURED_PROTOCOL
  ) {
    ctx.at('http2_protocol_options').error('HTTP/1 and HTTP/2 options together need protocol_selection USE_DOWNSTREAM_PROTOCOL')
  }
  const http = decodeUpstreamHttp(cluster, ctx)
  const tls = decodeUpstreamSocket(cluster.transportSocket, ctx.at('transport_socket'))
  if (http.protocol === 'auto' && cluster.transportSocket === undefined && cluster.transportSocketMatches.length === 0) {
    ctx.at('typed_extension_protocol_options').error('auto_config needs a transport socket with ALPN (TLS)')
  }
  const common = cluster.commonLbConfig
  const status = common?.overrideHostStatus
  return {
    name: cluster.name,
    altStatName: cluster.altStatName,
    discovery,
    connectTimeoutMs: durationMsOr(cluster.connectTimeout, CLUSTER_DEFAULTS.connectTimeoutMs),
    perConnectionBufferLimitBytes: cluster.perConnectionBufferLimitBytes ?? CLUSTER_DEFAULTS.perConnectionBufferLimitBytes,
    ...balancing,
    healthyPanicPercent: common?.healthyPanicThreshold?.value ?? CLUSTER_DEFAULTS.healthyPanicPercent,
    overrideHostStatus:
      status === undefined ? CLUSTER_DEFAULTS.overrideHostStatus : status.statuses.map(value => enumName(HealthStatusSchema, value)),
    ignoreNewHostsUntilFirstHealthCheck: common?.ignoreNewHostsUntilFirstHc ?? false,
    closeConnectionsOnHostSetChange: common?.closeConnectionsOnHostSetChange ?? false,
    ignoreHealthOnHostRemoval: cluster.ignoreHealthOnHostRemoval,
    breakers: decodeBreakers(cluster.circuitBreakers, ctx),
    outlier: decodeOutlier(cluster.outlierDetection, ctx.at('outlier_detection')),
    healthChecks: decodeHealthChecks(cluster.healthChecks, ctx, http.protocol !== 'http1'),
    http,
    tls,
    transportSocketMatches: decodeSocketMatches(cluster, ctx),
    tcpKeepalive: decodeKeepalive(cluster),
    bindSource: decodeBindSource(cluster.upstreamBindConfig, ctx.at('upstream_bind_config')),
    metadata: decodeMetadata(cluster.metadata),
    unsupported: ctx.sink.unsupported,
  }
}

function decodeSocketMatches(cluster: ClusterMessage, ctx: Ctx): TransportSocketMatch[] {
  return cluster.transportSocketMatches.map((match, i) => {
    const at = ctx.at('transport_socket_matches', i).at('transport_socket')
    if (match.transportSocket === undefined) at.error('value is required')
    return { name: match.name, match: plainObject(match.match ?? {}), tls: decodeUpstreamSocket(match.transportSocket, at) }
  })
}

function decodeKeepalive(cluster: ClusterMessage): Cluster['tcpKeepalive'] {
  const keepalive = cluster.upstreamConnectionOptions?.tcpKeepalive
  return keepalive === undefined ? null : { timeSeconds: keepalive.keepaliveTime ?? null }
}

/** Of a cluster, and of all that have none of their own. `ctx` is where it stands. */
export function decodeBindSource(config: BindConfig | undefined, ctx: Ctx): Cluster['bindSource'] {
  const source = config?.sourceAddress
  return source === undefined ? null : decodeSocketAddress(source, ctx.at('source_address'), 'ip')
}

function assignmentOf(cluster: ClusterMessage, ctx: Ctx, hosts: 'ip' | 'host'): EndpointAssignment {
  if (cluster.loadAssignment === undefined) return newAssignment(cluster.name)
  return decodeAssignment(cluster.loadAssignment, ctx.at('load_assignment'), hosts)
}

function decodeDiscovery(cluster: ClusterMessage, ctx: Ctx): Discovery {
  const type = cluster.clusterDiscoveryType
  if (type.case === 'clusterType') return decodeClusterType(cluster, ctx)
  return decodeBuiltIn(cluster, type.case === 'type' ? type.value : Cluster_DiscoveryType.STATIC, ctx)
}

function decodeBuiltIn(cluster: ClusterMessage, type: Cluster_DiscoveryType, ctx: Ctx): Discovery {
  if (cluster.loadAssignment !== undefined && (type === Cluster_DiscoveryType.EDS || type === Cluster_DiscoveryType.ORIGINAL_DST)) {
    ctx.at('load_assignment').error('cannot be set for this cluster type')
  }
  if (cluster.edsClusterConfig !== undefined && type !== Cluster_DiscoveryType.EDS)
    ctx.at('eds_cluster_config').error('set in a cluster whose type is not EDS')
  switch (type) {
    case Cluster_DiscoveryType.STRICT_DNS:
      return { kind: 'strictDns', assignment: assignmentOf(cluster, ctx, 'host'), dns: decodeClusterDns(cluster, ctx) }
    case Cluster_DiscoveryType.LOGICAL_DNS:
      return { kind: 'logicalDns', assignment: logicalAssignment(cluster, ctx), dns: decodeClusterDns(cluster, ctx) }
    case Cluster_DiscoveryType.EDS:
      return decodeEds(cluster, ctx)
    case Cluster_DiscoveryType.ORIGINAL_DST:
      return decodeOriginalDst(cluster, ctx)
    default:
      return { kind: 'static', assignment: assignmentOf(cluster, ctx, 'ip') }
  }
}

/** Of the one host; its priority has no meaning, as in Envoy. */
function logicalAssignment(cluster: ClusterMessage, ctx: Ctx): EndpointAssignment {
  const assignment = assignmentOf(cluster, ctx, 'host')
  if (assignment.localities.length !== 1 || assignment.localities[0]?.endpoints.length !== 1) {
    ctx.at('load_assignment').error('LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint')
  }
  return { ...assignment, localities: assignment.localities.map(locality => ({ ...locality, priority: 0 })) }
}

function decodeEds(cluster: ClusterMessage, ctx: Ctx): Discovery {
  const config = cluster.edsClusterConfig
  const at = ctx.at('eds_cluster_config')
  const discovery = {
    kind: 'eds' as const,
    serviceName: config?.serviceName || cluster.name,
    initialFetchTimeoutMs: initialFetchTimeoutMs(config?.edsConfig),
  }
  if (config === undefined) {
    at.error('value is required: cannot create an EDS cluster without an EDS config')
    return { ...discovery, source: { kind: 'ads' } }
  }
  return { ...discovery, source: decodeConfigSource(config.edsConfig, at.at('eds_config')) ?? { kind: 'ads' } }
}

function decodeOriginalDst(cluster: ClusterMessage, ctx: Ctx): Discovery {
  const config = cluster.lbConfig.case === 'originalDstLbConfig' ? cluster.lbConfig.value : undefined
  if (config !== undefined && config.httpHeaderName !== '' && !config.useHttpHeader)
    ctx.at('original_dst_lb_config').at('http_header_name').error('needs use_http_header')
  return {
    kind: 'originalDst',
    useHttpHeader: config?.useHttpHeader ?? false,
    httpHeaderName: (config?.httpHeaderName || 'x-envoy-original-dst-host').toLowerCase(),
    portOverride: config?.upstreamPortOverride ?? null,
    cleanupIntervalMs: durationMsOr(cluster.cleanupInterval, 5000),
  }
}

/** Factory names that stand for the built-in types when given as a cluster_type. */
const BUILT_IN: ReadonlyMap<string, Cluster_DiscoveryType> = new Map([
  ['envoy.cluster.static', Cluster_DiscoveryType.STATIC],
  ['envoy.cluster.strict_dns', Cluster_DiscoveryType.STRICT_DNS],
  ['envoy.cluster.logical_dns', Cluster_DiscoveryType.LOGICAL_DNS],
  ['envoy.cluster.eds', Cluster_DiscoveryType.EDS],
  ['envoy.cluster.original_dst', Cluster_DiscoveryType.ORIGINAL_DST],
])

function decodeClusterType(cluster: ClusterMessage, ctx: Ctx): Discovery {
  const type = cluster.clusterDiscoveryType.case === 'clusterType' ? cluster.clusterDiscoveryType.value : undefined
  const name = type?.name ?? ''
  const at = ctx.at('cluster_type').at('typed_config')
  const nothing: Discovery = { kind: 'aggregate', clusters: [] }
  if (type?.typedConfig === undefined) {
    const builtIn = BUILT_IN.get(name)
    if (builtIn !== undefined) return decodeBuiltIn(cluster, builtIn, ctx)
    if (name !== '') at.error(`unknown cluster type '${name}' (no typed_config)`)
    return nothing
  }
  const { typeName, typeUrl, message, known } = unpackAny(type.typedConfig, at)
  if (message !== null && typeName === ClusterConfigSchema.typeName) {
    return { kind: 'aggregate', clusters: (message as ClusterConfig).clusters }
  }
  if (message !== null && typeName === DnsClusterSchema.typeName) {
    const { allAddressesInSingleEndpoint, ...dns } = decodeDnsCluster(message as DnsCluster, at)
    return allAddressesInSingleEndpoint
      ? { kind: 'logicalDns', assignment: logicalAssignment(cluster, ctx), dns }
      : { kind: 'strictDns', assignment: assignmentOf(cluster, ctx, 'host'), dns }
  }
  if (message !== null || !known) at.error(`unknown cluster type '${name}' (${describeType(typeUrl)})`)
  return nothing
}
