// What a transparent proxy has for services outside of the mesh (`Destination`s) that it reaches through a terminating gateway: filter chains
// of the outbound listener, clusters and endpoints. Called by `outbound-listener.ts`, `clusters.ts` and `kinds/sidecar.ts`.
// TCP is told apart by server name or address, and port; HTTP by port, and then by host. Names and forms are Consul's.
import { isIP } from 'node:net'
import { Cluster_DiscoveryType, type ClusterSchema } from '../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import type { Resource } from '../../xds/server/snapshot.js'
import { isHttpLike } from '../discovery-chain/service-protocol.js'
import type { EndpointLookup } from './endpoints.js'
import { destinationHcm, HCM_FILTER } from './http-connection-manager.js'
import { explicitHttp2, HTTP_OPTIONS_KEY } from './http-options.js'
import { type FilterChainInit, filter, tcpProxy } from './network-filters.js'
import { adsConfigSource, duration, type Init, singleAddress } from './protobuf.js'
import { DEFAULT_CONNECT_TIMEOUT_MS } from './proxy-config.js'
import { type DestinationService, isHttp2, type ProxyView } from './proxy-view.js'
import { upstreamTls } from './tls.js'

export function destinationChains(view: ProxyView): FilterChainInit[] {
  const destinations = view.transparent?.destinations ?? []
  const http = destinations.filter(({ protocol }) => isHttpLike(protocol))
  const ports = [...new Set(http.map(({ port }) => port))].sort((a, b) => a - b)
  return [
    ...destinations.filter(({ protocol }) => !isHttpLike(protocol)).flatMap(destination => tcpChains(view, destination)),
    ...ports.map(port =>
      httpChain(
        view,
        port,
        http.filter(destination => destination.port === port),
      ),
    ),
  ]
}

/** Host names are told by the ClientHello. */
export function needServerNames(view: ProxyView): boolean {
  return (view.transparent?.destinations ?? []).some(
    ({ protocol, addresses }) => !isHttpLike(protocol) && addresses.some(({ address }) => isIP(address) === 0),
  )
}

function tcpChains(view: ProxyView, { port, addresses, filterName }: DestinationService): FilterChainInit[] {
  return addresses.map(({ address, cluster }) => ({
    name: cluster,
    filterChainMatch: {
      destinationPort: port,
      ...(isIP(address) === 0 ? { serverNames: [address] } : { prefixRanges: [singleAddress(address)] }),
    },
    filters: [tcpProxy(view, cluster, `upstream.${filterName}`)],
  }))
}

function httpChain(view: ProxyView, port: number, destinations: readonly DestinationService[]): FilterChainInit {
  const name = `destination.${port}.~http`
  return { name, filterChainMatch: { destinationPort: port }, filters: [filter(HCM_FILTER, destinationHcm(view, name, destinations))] }
}

export function destinationClusters(view: ProxyView): Init<typeof ClusterSchema>[] {
  return (view.transparent?.destinations ?? []).flatMap(({ target, protocol, addresses }) =>
    addresses.map(({ cluster }) => ({
      name: cluster,
      altStatName: cluster,
      clusterDiscoveryType: { case: 'type' as const, value: Cluster_DiscoveryType.EDS },
      edsClusterConfig: { edsConfig: adsConfigSource() },
      connectTimeout: duration(DEFAULT_CONNECT_TIMEOUT_MS),
      commonLbConfig: { healthyPanicThreshold: {} },
      outlierDetection: {},
      ...(isHttp2(protocol) ? { typedExtensionProtocolOptions: { [HTTP_OPTIONS_KEY]: explicitHttp2() } } : {}),
      // The gateway shows the certificate of the service; which address is meant the server name says.
      transportSocket: upstreamTls(view, { ...target, SNI: cluster }, undefined),
    })),
  )
}

/** The gateways. */
export function destinationEndpoints(view: ProxyView, lookup: EndpointLookup): Resource[] {
  return (view.transparent?.destinations ?? []).flatMap(({ target, addresses }) =>
    addresses.map(({ cluster }) => lookup(target).assignment(cluster, target.Subset.OnlyPassing === true)),
  )
}
