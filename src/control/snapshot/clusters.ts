// Clusters of one proxy: `local_app`, one EDS cluster a target of its upstreams' chains, an aggregate cluster a failover, and the
// JWKS clusters of remote JWT providers. Names and fields as the newest Consul sends them, with two
// additions of ours: a retry budget by default, and `auto_config` for protocol http (see `tls.ts`).
import { create, toBinary } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import type { CircuitBreakersSchema } from '../../xds/gen/envoy/config/cluster/v3/circuit_breaker_pb.js'
import { type Cluster, Cluster_DiscoveryType, Cluster_LbPolicy, ClusterSchema } from '../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import type { OutlierDetectionSchema } from '../../xds/gen/envoy/config/cluster/v3/outlier_detection_pb.js'
import { ClusterConfigSchema } from '../../xds/gen/envoy/extensions/clusters/aggregate/v3/cluster_pb.js'
import { HttpProtocolOptionsSchema } from '../../xds/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js'
import { makeResource, type Resource } from '../../xds/server/snapshot.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE } from '../../xds/type-urls.js'
import { durationMs } from '../config-entries/duration.js'
import type { LoadBalancer } from '../config-entries/types.js'
import { destinationClusters } from './destinations.js'
import { userCluster } from './escape-hatches.js'
import { exposedCluster, exposedPorts } from './exposed-paths.js'
import { explicitHttp2, HTTP_OPTIONS_KEY } from './http-options.js'
import { jwksClusters } from './jwt.js'
import { passthroughClusters } from './outbound-listener.js'
import { adsConfigSource, duration, type Init, pack, pipeAddress, socketAddress } from './protobuf.js'
import { DEFAULT_CONNECT_TIMEOUT_MS, type UpstreamSettings } from './proxy-config.js'
import {
  chainClusters,
  type ExposedPath,
  isHttp2,
  LOCAL_APP,
  type ProxyView,
  type ResolverClusters,
  type TargetCluster,
  type UpstreamView,
} from './proxy-view.js'
import { TUNNEL_ALPN, upstreamTls } from './tls.js'

export type ClusterInit = Init<typeof ClusterSchema>

/** Retries may be at most this share of the active requests, and always this many: a failing upstream is not buried under retries. */
const RETRY_BUDGET_PERCENT = 20
const RETRY_BUDGET_MIN = 3

/** All clusters of the proxy; of two with one name (one target reached over two upstreams) the first upstream's is kept. */
export function buildClusters(view: ProxyView): Resource[] {
  const clusters = new Map<string, ClusterInit>()
  const add = (cluster: ClusterInit): void => {
    if (!clusters.has(cluster.name!)) clusters.set(cluster.name!, cluster)
  }
  add(localApp(view))
  for (const exposed of exposedPorts(view)) add(exposedAppCluster(view, exposed))
  for (const upstream of view.upstreams) for (const cluster of chainClusterInits(view, upstream)) add(cluster)
  for (const cluster of [...passthroughClusters(view), ...destinationClusters(view)]) add(cluster)
  for (const cluster of jwksClusters(view.jwtProviders)) add(cluster)
  return [...clusters.values()].map(clusterResource)
}

type ChainOwner = Pick<UpstreamView, 'chain' | 'settings' | 'tunnel' | 'clusterJson' | 'protocolOf' | 'peers'>

/** Of one chain: a cluster a target, and one over those of a failover. */
export function chainClusterInits(view: Pick<ProxyView, 'identity' | 'mesh'>, upstream: ChainOwner): ClusterInit[] {
  return chainClusters(upstream.chain).flatMap(resolver => [
    ...resolver.targets.map(target => targetCluster(view, upstream, resolver, target)),
    ...(resolver.failover ? [aggregateCluster(upstream, resolver)] : []),
  ])
}

export function clusterResource(init: ClusterInit): Resource {
  const cluster = create(ClusterSchema, init)
  const isEds = cluster.clusterDiscoveryType.case === 'type' && cluster.clusterDiscoveryType.value === Cluster_DiscoveryType.EDS
  // A cluster that is sent again warms again and waits for its endpoints (Envoy issue 13009).
  const children = isEds ? [{ typeUrl: ENDPOINT_TYPE, names: [cluster.name] }] : []
  return makeResource(cluster.name, CLUSTER_TYPE, toBinary(ClusterSchema, cluster), children)
}

function localApp(view: ProxyView): ClusterInit {
  const { localClusterJson } = view.config
  if (localClusterJson !== undefined) return { ...fieldsOf(userCluster(localClusterJson, 'envoy_local_cluster_json')), name: LOCAL_APP }
  const { Proxy: registration } = view.proxy
  const address =
    registration.LocalServiceSocketPath === ''
      ? socketAddress(registration.LocalServiceAddress || '127.0.0.1', registration.LocalServicePort)
      : pipeAddress(registration.LocalServiceSocketPath)
  const limit = view.config.maxInboundConnections
  return {
    name: LOCAL_APP,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    connectTimeout: duration(view.config.localConnectTimeoutMs),
    loadAssignment: {
      clusterName: LOCAL_APP,
      endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address } } }] }],
    },
    ...(isHttp2(view.protocol) ? { typedExtensionProtocolOptions: { [HTTP_OPTIONS_KEY]: explicitHttp2() } } : {}),
    ...(limit > 0 ? { circuitBreakers: { thresholds: [{ maxConnections: limit }] } } : {}),
  }
}

function exposedAppCluster(view: ProxyView, exposed: ExposedPath): ClusterInit {
  const { LocalPathPort, Protocol } = exposed
  const name = exposedCluster(view, exposed)
  const address = socketAddress(view.proxy.Proxy.LocalServiceAddress || '127.0.0.1', LocalPathPort)
  return {
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    connectTimeout: duration(view.config.localConnectTimeoutMs),
    loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address } } }] }] },
    ...(Protocol === 'http2' ? { typedExtensionProtocolOptions: { [HTTP_OPTIONS_KEY]: explicitHttp2() } } : {}),
  }
}

function targetCluster(
  view: Pick<ProxyView, 'identity' | 'mesh'>,
  upstream: ChainOwner,
  resolver: ResolverClusters,
  target: TargetCluster,
): ClusterInit {
  const { settings, chain } = upstream
  const { tunnel } = upstream
  const transportSocket = upstreamTls(view, target.target, upstream.peers.get(target.target.ID), tunnel ? TUNNEL_ALPN : [])
  if (upstream.clusterJson !== undefined)
    return { ...fieldsOf(userCluster(upstream.clusterJson, 'envoy_cluster_json')), name: target.name, transportSocket }
  const options = tunnel ? explicitHttp2() : httpOptions(upstream.protocolOf?.(target.target.Service) ?? chain.Protocol, settings)
  return {
    name: target.name,
    altStatName: target.name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { edsConfig: adsConfigSource() },
    connectTimeout: duration(connectTimeoutMs(resolver, target)),
    commonLbConfig: { healthyPanicThreshold: {} },
    circuitBreakers: circuitBreakers(settings),
    outlierDetection: outlierDetection(settings),
    ...(options === undefined ? {} : { typedExtensionProtocolOptions: { [HTTP_OPTIONS_KEY]: options } }),
    ...loadBalancing(resolver.node.LoadBalancer),
    transportSocket,
    // A tunnel that the callee refuses says nothing of its health, no more than a connection that it closes.
    ...(tunnel ? { metadata: { filterMetadata: { outrigger: { spare_refusing_hosts: true } } } } : {}),
  }
}

function aggregateCluster(upstream: ChainOwner, resolver: ResolverClusters): ClusterInit {
  return { ...aggregate(resolver), outlierDetection: outlierDetection(upstream.settings) }
}

/** Over the clusters of a failover, in its order. */
export function aggregate(resolver: ResolverClusters): ClusterInit {
  return {
    name: resolver.name,
    altStatName: resolver.name,
    clusterDiscoveryType: {
      case: 'clusterType',
      value: {
        name: 'envoy.clusters.aggregate',
        typedConfig: pack(ClusterConfigSchema, { clusters: resolver.targets.map(target => target.name) }),
      },
    },
    connectTimeout: duration(connectTimeoutMs(resolver, resolver.targets[0]!)),
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
  }
}

function connectTimeoutMs(resolver: ResolverClusters, target: TargetCluster): number {
  return durationMs(target.target.ConnectTimeout) || durationMs(resolver.node.Resolver.ConnectTimeout) || DEFAULT_CONNECT_TIMEOUT_MS
}

/** A message as what `create` takes. */
function fieldsOf({ $typeName: _type, $unknown: _unknown, ...fields }: Cluster): ClusterInit {
  return fields
}

function httpOptions(protocol: string, settings: UpstreamSettings): Any | undefined {
  if (isHttp2(protocol)) return explicitHttp2()
  if (protocol !== 'http' || settings.httpMeshProtocol === 'http1') return undefined
  return pack(HttpProtocolOptionsSchema, {
    upstreamProtocolOptions: { case: 'autoConfig', value: { httpProtocolOptions: {}, http2ProtocolOptions: {} } },
  })
}

function circuitBreakers(settings: UpstreamSettings): Init<typeof CircuitBreakersSchema> {
  const budget = { budgetPercent: { value: RETRY_BUDGET_PERCENT }, minRetryConcurrency: RETRY_BUDGET_MIN }
  return { thresholds: [{ ...settings.limits, retryBudget: budget }] }
}

function outlierDetection({ passiveHealthCheck: check }: UpstreamSettings): Init<typeof OutlierDetectionSchema> {
  // Of two instances a dead one is one half: more than max_ejection_percent, which stays Envoy's 10 by default.
  const always = { alwaysEjectOneHost: true }
  if (check === undefined) return always
  return {
    ...always,
    ...(check.maxFailures ? { consecutive5xx: check.maxFailures } : {}),
    ...(check.intervalMs ? { interval: duration(check.intervalMs) } : {}),
    ...(check.enforcingConsecutive5xx === undefined ? {} : { enforcingConsecutive5xx: check.enforcingConsecutive5xx }),
    ...(check.maxEjectionPercent === undefined ? {} : { maxEjectionPercent: check.maxEjectionPercent }),
    ...(check.baseEjectionTimeMs ? { baseEjectionTime: duration(check.baseEjectionTimeMs) } : {}),
  }
}

export function loadBalancing(lb: LoadBalancer | undefined): Pick<ClusterInit, 'lbPolicy' | 'lbConfig'> {
  switch (lb?.Policy) {
    case undefined:
    case 'round_robin':
      return {}
    case 'random':
      return { lbPolicy: Cluster_LbPolicy.RANDOM }
    case 'maglev':
      return { lbPolicy: Cluster_LbPolicy.MAGLEV }
    case 'least_request':
      return {
        lbPolicy: Cluster_LbPolicy.LEAST_REQUEST,
        ...(lb.LeastRequestConfig?.ChoiceCount
          ? { lbConfig: { case: 'leastRequestLbConfig', value: { choiceCount: lb.LeastRequestConfig.ChoiceCount } } }
          : {}),
      }
    case 'ring_hash': {
      const ring = lb.RingHashConfig
      const sizes = {
        ...(ring?.MinimumRingSize ? { minimumRingSize: BigInt(ring.MinimumRingSize) } : {}),
        ...(ring?.MaximumRingSize ? { maximumRingSize: BigInt(ring.MaximumRingSize) } : {}),
      }
      return {
        lbPolicy: Cluster_LbPolicy.RING_HASH,
        ...(Object.keys(sizes).length > 0 ? { lbConfig: { case: 'ringHashLbConfig', value: sizes } } : {}),
      }
    }
    default: {
      const never: never = lb!.Policy as never
      return never
    }
  }
}
