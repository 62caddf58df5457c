// Listeners, clusters and endpoints of a mesh gateway: a filter chain for each server name of a peering, and one that takes the name of a cluster
// of ours from the server name. Called by `kinds/mesh-gateway.ts`. Stat prefixes are Consul's.
// Invariant: a server name that nobody has meets no cluster, and the connection ends.
import { isIP } from 'node:net'
import { create, toBinary } from '@bufbuild/protobuf'
import { Cluster_DiscoveryType } from '../../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ListenerSchema } from '../../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { SniClusterSchema } from '../../../xds/gen/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster_pb.js'
import { makeResource, type Resource } from '../../../xds/server/snapshot.js'
import { LISTENER_TYPE } from '../../../xds/type-urls.js'
import { durationMs } from '../../config-entries/duration.js'
import type { ServiceResolver } from '../../config-entries/types.js'
import { listenerAccessLogs } from '../access-logs.js'
import { aggregate, type ClusterInit, clusterResource, loadBalancing } from '../clusters.js'
import { buildEndpoints, type EndpointLookup } from '../endpoints.js'
import { CONNECT_ATTEMPTS, type FilterChainInit, filter, tcpProxy, tlsInspector } from '../network-filters.js'
import { adsConfigSource, duration, pack, socketAddress } from '../protobuf.js'
import { chainClusters, clusterOfNode } from '../proxy-view.js'
import type { MeshGatewayView, ServerView } from './mesh-gateway-view.js'

export function meshGatewayListeners(view: MeshGatewayView): Resource[] {
  const { gateway, accessLogs } = view
  return gateway.binds.map(({ name, address, port }) => {
    const listener = create(ListenerSchema, {
      name: `${name}:${address}:${port}`,
      address: socketAddress(address, port),
      listenerFilters: [tlsInspector()],
      filterChains: [
        ...namedChains(view),
        {
          filters: [
            filter('envoy.filters.network.sni_cluster', pack(SniClusterSchema, {})),
            // Named by the server name; without one there is nowhere to go.
            tcpProxy({ accessLogs }, '', `mesh_gateway_local.${name}`),
          ],
        },
      ],
      accessLog: listenerAccessLogs(accessLogs),
    })
    return makeResource(listener.name, LISTENER_TYPE, toBinary(ListenerSchema, listener))
  })
}

function namedChains({ accessLogs, exported, imported, servers }: MeshGatewayView): FilterChainInit[] {
  const seen = new Set<string>()
  const chain = (names: readonly string[], cluster: string, statPrefix: string): FilterChainInit[] => {
    const serverNames = names.filter(name => !seen.has(name) && seen.add(name))
    if (serverNames.length === 0) return []
    const filters = [tcpProxy({ accessLogs }, cluster, statPrefix, { maxConnectAttempts: CONNECT_ATTEMPTS })]
    return [{ filterChainMatch: { serverNames }, filters }]
  }
  return [
    ...exported.flatMap(({ serverNames, chain: compiled, filterName }) =>
      chain(serverNames, clusterOfNode(compiled, compiled.StartNode), `mesh_gateway_local_peered.${filterName}`),
    ),
    ...imported.flatMap(({ serverName, cluster, filterName }) => chain([serverName], cluster, `mesh_gateway_remote_peered.${filterName}`)),
    ...servers.flatMap(({ serverName, statPrefix }) => chain([serverName], serverName, `${statPrefix}.${serverName}`)),
  ]
}

export function meshGatewayClusters({ gateway, targets, exported, imported, servers }: MeshGatewayView): Resource[] {
  const clusters = new Map<string, ClusterInit>()
  const add = (cluster: ClusterInit): void => {
    if (!clusters.has(cluster.name!)) clusters.set(cluster.name!, cluster)
  }
  const endpoints = (name: string, resolver?: ServiceResolver): ClusterInit => ({
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { edsConfig: adsConfigSource() },
    connectTimeout: duration(durationMs(resolver?.ConnectTimeout) || gateway.connectTimeoutMs),
    outlierDetection: {},
    ...loadBalancing(resolver?.LoadBalancer),
  })
  // One with a failover is an aggregate, by the same name.
  for (const resolver of exported.flatMap(({ chain }) => chainClusters(chain)).filter(({ failover }) => failover)) {
    for (const { name } of resolver.targets) add(endpoints(name))
    add(aggregate(resolver))
  }
  for (const { target, resolver } of targets) add(endpoints(target.Name, resolver))
  for (const { name } of exported.flatMap(({ chain }) => chainClusters(chain)).flatMap(resolver => resolver.targets)) add(endpoints(name))
  for (const { cluster } of imported) add(endpoints(cluster))
  for (const server of servers) add(serverCluster(server, gateway.connectTimeoutMs))
  return [...clusters.values()].map(clusterResource)
}

function serverCluster({ serverName, places }: ServerView, connectTimeoutMs: number): ClusterInit {
  const isNamed = places.some(({ host }) => isIP(host) === 0)
  const lbEndpoints = places.map(({ host, port }) => ({
    hostIdentifier: { case: 'endpoint' as const, value: { address: socketAddress(host, port) } },
  }))
  return {
    name: serverName,
    clusterDiscoveryType: { case: 'type', value: isNamed ? Cluster_DiscoveryType.STRICT_DNS : Cluster_DiscoveryType.STATIC },
    connectTimeout: duration(connectTimeoutMs),
    outlierDetection: {},
    loadAssignment: { clusterName: serverName, endpoints: [{ lbEndpoints }] },
  }
}

export function meshGatewayEndpoints({ targets, exported, imported }: MeshGatewayView, lookup: EndpointLookup): Resource[] {
  const assignments = new Map<string, Resource>()
  const add = (name: string, make: () => Resource): void => {
    if (!assignments.has(name)) assignments.set(name, make())
  }
  for (const { target } of targets) add(target.Name, () => lookup(target).assignment(target.Name, target.Subset.OnlyPassing === true))
  for (const resource of buildEndpoints({ upstreams: exported }, lookup)) add(resource.name, () => resource)
  for (const { cluster, target } of imported) add(cluster, () => lookup(target).assignment(cluster, false))
  return [...assignments.values()]
}
