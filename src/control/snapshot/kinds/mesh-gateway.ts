// A mesh gateway (`Kind` mesh-gateway): hands connections of the mesh on by their server name, TLS untouched, to whoever has that name. Called
// by build-snapshot.ts. Invariant: it has no part in the TLS: who calls and who answers see each other's certificates.
import { create, toBinary } from '@bufbuild/protobuf'
import { Cluster_DiscoveryType } from '../../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ListenerSchema } from '../../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { TlsInspectorSchema } from '../../../xds/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js'
import { SniClusterSchema } from '../../../xds/gen/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster_pb.js'
import { makeResource, type Resource } from '../../../xds/server/snapshot.js'
import { LISTENER_TYPE } from '../../../xds/type-urls.js'
import { durationMs } from '../../config-entries/duration.js'
import type { AccessLogs, ServiceResolver } from '../../config-entries/types.js'
import type { DiscoveryTarget } from '../../discovery-chain/types.js'
import { listenerAccessLogs } from '../access-logs.js'
import { clusterResource, loadBalancing } from '../clusters.js'
import type { EndpointLookup } from '../endpoints.js'
import { type GatewayConfig, readGatewayConfig } from '../gateways/gateway-config.js'
import { serviceTarget } from '../gateways/service-target.js'
import { filter, tcpProxy } from '../listeners.js'
import { adsConfigSource, duration, pack, socketAddress } from '../protobuf.js'
import type { BuildContext, ProxyInstance, ProxyKind } from './proxy-kind.js'

interface MeshGatewayView {
  readonly gateway: GatewayConfig
  readonly accessLogs: AccessLogs | undefined
  readonly targets: readonly { readonly target: DiscoveryTarget; readonly resolver: ServiceResolver | undefined }[]
}

export const MESH_GATEWAY: ProxyKind<MeshGatewayView> = {
  view,
  listeners,
  clusters,
  routes: () => [],
  endpoints: ({ targets }, lookup: EndpointLookup) =>
    targets.map(({ target }) => lookup(target).assignment(target.Name, target.Subset.OnlyPassing === true)),
  acceptsTunnels: () => false,
}

function view(proxy: ProxyInstance, context: BuildContext): MeshGatewayView {
  const { entries, catalog, mesh } = context
  const services = [...catalog.serviceNames()].filter(name => catalog.isInMesh(name)).sort()
  return {
    gateway: readGatewayConfig(proxy, context),
    accessLogs: entries.get('proxy-defaults', 'global')?.AccessLogs,
    targets: services.flatMap(service => {
      const resolver = entries.get('service-resolver', service)
      const subsets = [undefined, ...Object.keys(resolver?.Subsets ?? {}).sort()]
      return subsets.map(subset => ({ target: serviceTarget(service, subset, resolver, mesh), resolver }))
    }),
  }
}

function listeners({ gateway, accessLogs }: MeshGatewayView): Resource[] {
  return gateway.binds.map(({ name, address, port }) => {
    const listener = create(ListenerSchema, {
      name: `${name}:${address}:${port}`,
      address: socketAddress(address, port),
      listenerFilters: [filter('envoy.filters.listener.tls_inspector', pack(TlsInspectorSchema, {}))],
      filterChains: [
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

function clusters({ gateway, targets }: MeshGatewayView): Resource[] {
  return targets.map(({ target, resolver }) =>
    clusterResource({
      name: target.Name,
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
      edsClusterConfig: { edsConfig: adsConfigSource() },
      connectTimeout: duration(durationMs(resolver?.ConnectTimeout) || gateway.connectTimeoutMs),
      outlierDetection: {},
      ...loadBalancing(resolver?.LoadBalancer),
    }),
  )
}
