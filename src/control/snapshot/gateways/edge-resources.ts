// Listeners, route tables, clusters, endpoints and secrets of the gateways by which traffic comes in, out of their view. Called by
// `kinds/api-gateway.ts` and `kinds/ingress-gateway.ts`. Names and stat prefixes are Consul's.
// Invariant: paths are normalised before anything is matched, and what a client says of itself in XFCC goes no further.
import { create, toBinary } from '@bufbuild/protobuf'
import { TrafficDirection } from '../../../xds/gen/envoy/config/core/v3/base_pb.js'
import { ListenerSchema } from '../../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../../../xds/gen/envoy/config/route/v3/route_pb.js'
import { makeResource, type Resource } from '../../../xds/server/snapshot.js'
import { LISTENER_TYPE, ROUTE_TYPE } from '../../../xds/type-urls.js'
import { listenerAccessLogs } from '../access-logs.js'
import { type ClusterInit, chainClusterInits, clusterResource } from '../clusters.js'
import { buildEndpoints, type EndpointLookup } from '../endpoints.js'
import { edgeHcm, HCM_FILTER } from '../http-connection-manager.js'
import { jwksClusters, perRouteJwt } from '../jwt.js'
import { type FilterChainInit, filter, tcpProxy, tlsInspector } from '../network-filters.js'
import { socketAddress } from '../protobuf.js'
import { clusterOfNode } from '../proxy-view.js'
import { chainRoutes, headerChanges, type RouteInit } from '../routes.js'
import { certificateSecret } from '../tls.js'
import type { EdgeChain, EdgeHost, EdgeView } from './edge-view.js'

export function edgeListeners(view: EdgeView): Resource[] {
  return view.listeners.map(listener => {
    const { label, address, port, chains } = listener
    const hasTls = chains.some(({ transportSocket }) => transportSocket !== undefined)
    const message = create(ListenerSchema, {
      name: `${label}:${address}:${port}`,
      address: socketAddress(address, port),
      ...(hasTls ? { listenerFilters: [tlsInspector()] } : {}),
      filterChains: chains.map(chain => filterChain(view, chain)),
      trafficDirection: TrafficDirection.OUTBOUND,
      accessLog: listenerAccessLogs(view.accessLogs),
    })
    const names = chains.flatMap(({ to }) => ('table' in to ? [to.table] : []))
    const children = names.length === 0 ? [] : [{ typeUrl: ROUTE_TYPE, names: [...new Set(names)] }]
    return makeResource(message.name, LISTENER_TYPE, toBinary(ListenerSchema, message), children)
  })
}

function filterChain(view: EdgeView, { serverNames, transportSocket, to, maxRequestHeadersKb }: EdgeChain): FilterChainInit {
  return {
    ...(serverNames.length === 0 ? {} : { filterChainMatch: { serverNames: [...serverNames] } }),
    filters: [
      'table' in to
        ? filter(HCM_FILTER, edgeHcm(view, { table: to.table, protocol: to.protocol, maxRequestHeadersKb }))
        : tcpProxy(view, clusterOfNode(to.tcp.chain, to.tcp.chain.StartNode), `upstream.${to.tcp.filterName}`),
    ],
    ...(transportSocket === undefined ? {} : { transportSocket }),
  }
}

export function edgeRoutes(view: EdgeView): Resource[] {
  return view.tables.map(({ name, hosts }) => {
    const table = create(RouteConfigurationSchema, {
      name,
      validateClusters: view.mesh?.ValidateClusters === true,
      // Who is asked is the gateway, under whatever port a balancer or a port mapping gives it.
      ignorePortInHostMatching: true,
      virtualHosts: hosts.map(host => ({
        name: host.name,
        domains: [...host.domains],
        routes: hostRoutes(host, view),
        ...headerChanges(host.requestHeaders, host.responseHeaders),
      })),
    })
    return makeResource(name, ROUTE_TYPE, toBinary(RouteConfigurationSchema, table))
  })
}

function hostRoutes({ behind, requirements }: EdgeHost, { jwtProviders }: EdgeView): RouteInit[] {
  return chainRoutes(behind).map((route, i) => {
    const requirement = requirements[i]
    return requirement === undefined ? route : { ...route, typedPerFilterConfig: perRouteJwt(requirement, jwtProviders) }
  })
}

export function edgeClusters(view: EdgeView): Resource[] {
  const clusters = new Map<string, ClusterInit>()
  const add = (cluster: ClusterInit): void => {
    if (!clusters.has(cluster.name!)) clusters.set(cluster.name!, cluster)
  }
  for (const behind of view.behind) for (const cluster of chainClusterInits(view, behind)) add(cluster)
  for (const cluster of jwksClusters(view.jwtProviders)) add(cluster)
  return [...clusters.values()].map(clusterResource)
}

export function edgeSecrets({ secrets }: EdgeView): Resource[] {
  return secrets.map(({ name, certificate }) => certificateSecret(name, certificate))
}

export function edgeEndpoints({ behind }: EdgeView, lookup: EndpointLookup): Resource[] {
  return buildEndpoints({ upstreams: behind }, lookup)
}
