// Listeners, clusters, routes and endpoints of a terminating gateway: one filter chain a service (and subset) outside of the mesh, chosen by
// server name, with that service's own certificate and intentions; behind it a cluster of the service's own instances, over TLS where the
// entry says so. Called by `kinds/terminating-gateway.ts`.
// Invariant: a server name that is no linked service's meets no chain, and the connection ends. (Consul hands it to a cluster of that name.)
import { isIP } from 'node:net'
import { create, toBinary } from '@bufbuild/protobuf'
import { BoolValueSchema } from '@bufbuild/protobuf/wkt'
import { Cluster_DiscoveryType, Cluster_DnsLookupFamily } from '../../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { TrafficDirection } from '../../../xds/gen/envoy/config/core/v3/base_pb.js'
import { ListenerSchema } from '../../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../../../xds/gen/envoy/config/route/v3/route_pb.js'
import { SubjectAltNameMatcher_SanType as SanType } from '../../../xds/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js'
import { UpstreamTlsContextSchema } from '../../../xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { makeResource, type Resource } from '../../../xds/server/snapshot.js'
import { LISTENER_TYPE, ROUTE_TYPE } from '../../../xds/type-urls.js'
import { durationMs } from '../../config-entries/duration.js'
import type { LinkedService } from '../../config-entries/gateway-types.js'
import { isHttpLike } from '../../discovery-chain/service-protocol.js'
import { listenerAccessLogs } from '../access-logs.js'
import { type ClusterInit, clusterResource, loadBalancing } from '../clusters.js'
import type { EndpointLookup } from '../endpoints.js'
import { HCM_FILTER, terminatingHcm } from '../http-connection-manager.js'
import { explicitHttp2, HTTP_OPTIONS_KEY } from '../http-options.js'
import { jwksClusters } from '../jwt.js'
import { type FilterChainInit, filter, networkRbac, tcpProxy, tlsInspector } from '../network-filters.js'
import { adsConfigSource, duration, fileSource, pack, socketAddress } from '../protobuf.js'
import { isHttp2 } from '../proxy-view.js'
import { hashPolicies, type RouteInit, timeouts } from '../routes.js'
import { downstreamTls, type TransportSocketInit } from '../tls.js'
import type { OutsideCluster, OutsideService, TerminatingView } from './terminating-view.js'

/** How often names outside are looked up again: Consul's. */
const DNS_REFRESH_MS = 10_000

export function terminatingListeners({ gateway, services }: TerminatingView): Resource[] {
  const filterChains = services.flatMap(service => service.clusters.map(cluster => filterChain(service, cluster)))
  const children = services.filter(({ protocol }) => isHttpLike(protocol)).flatMap(({ clusters }) => clusters.map(({ sni }) => sni))
  return filterChains.length === 0
    ? []
    : gateway.binds.map(({ name, address, port }) => {
        const listener = create(ListenerSchema, {
          name: `${name}:${address}:${port}`,
          address: socketAddress(address, port),
          listenerFilters: [tlsInspector()],
          filterChains,
          trafficDirection: TrafficDirection.INBOUND,
          accessLog: listenerAccessLogs(services[0]!.accessLogs),
        })
        return makeResource(listener.name, LISTENER_TYPE, toBinary(ListenerSchema, listener), [{ typeUrl: ROUTE_TYPE, names: children }])
      })
}

function filterChain(service: OutsideService, { sni, peerNames }: OutsideCluster): FilterChainInit {
  const filters = isHttpLike(service.protocol)
    ? [filter(HCM_FILTER, terminatingHcm(service, service.statPrefix, sni))]
    : [networkRbac(service), tcpProxy(service, sni, service.statPrefix)]
  return { name: sni, filterChainMatch: { serverNames: [sni, ...peerNames] }, filters, transportSocket: downstreamTls(service) }
}

export function terminatingRoutes({ services }: TerminatingView): Resource[] {
  return services
    .filter(({ protocol }) => isHttpLike(protocol))
    .flatMap(service => service.clusters.map(cluster => routeTable(service, cluster)))
}

function routeTable({ link, protocol, resolver, mesh }: OutsideService, { sni, places }: OutsideCluster): Resource {
  const rewritesHost = places !== undefined && link.DisableAutoHostRewrite !== true
  const route: RouteInit = {
    match: { pathSpecifier: { case: 'prefix', value: '/' } },
    action: {
      case: 'route',
      value: {
        ...timeouts(protocol, resolver?.RequestTimeout, undefined),
        clusterSpecifier: { case: 'cluster', value: sni },
        hashPolicy: hashPolicies(resolver?.LoadBalancer),
        ...(rewritesHost ? { hostRewriteSpecifier: { case: 'autoHostRewrite', value: create(BoolValueSchema, { value: true }) } } : {}),
      },
    },
  }
  const table = create(RouteConfigurationSchema, {
    name: sni,
    validateClusters: mesh?.ValidateClusters === true,
    virtualHosts: [{ name: sni, domains: ['*'], routes: [route] }],
  })
  return makeResource(sni, ROUTE_TYPE, toBinary(RouteConfigurationSchema, table))
}

export function terminatingClusters(view: TerminatingView): Resource[] {
  const clusters = new Map<string, ClusterInit>()
  for (const service of view.services) {
    for (const cluster of service.clusters) clusters.set(cluster.sni, outsideCluster(view, service, cluster))
    for (const cluster of jwksClusters(service.jwtProviders)) clusters.set(cluster.name!, cluster)
  }
  return [...clusters.values()].map(clusterResource)
}

function outsideCluster({ gateway }: TerminatingView, service: OutsideService, cluster: OutsideCluster): ClusterInit {
  const { link, resolver, protocol } = service
  return {
    name: cluster.sni,
    altStatName: cluster.sni,
    ...discovery(cluster, gateway.dnsDiscovery),
    connectTimeout: duration(durationMs(resolver?.ConnectTimeout) || gateway.connectTimeoutMs),
    outlierDetection: {},
    ...(isHttp2(protocol) ? { typedExtensionProtocolOptions: { [HTTP_OPTIONS_KEY]: explicitHttp2() } } : {}),
    ...loadBalancing(resolver?.LoadBalancer),
    ...(link.CAFile === undefined ? {} : { transportSocket: outsideTls(link) }),
  }
}

function discovery({ sni, places }: OutsideCluster, dns: 'STRICT_DNS' | 'LOGICAL_DNS'): ClusterInit {
  if (places === undefined)
    return {
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
      edsClusterConfig: { edsConfig: adsConfigSource() },
    }
  const loadAssignment = {
    clusterName: sni,
    endpoints: [
      {
        lbEndpoints: places.map(({ host, port }) => ({
          hostIdentifier: { case: 'endpoint' as const, value: { address: socketAddress(host, port) } },
        })),
      },
    ],
  }
  if (places.every(({ host }) => isIP(host) !== 0))
    return { clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC }, loadAssignment }
  // A logical cluster has one name.
  const type = places.length === 1 ? dns : 'STRICT_DNS'
  return {
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType[type] },
    dnsLookupFamily: Cluster_DnsLookupFamily.V4_ONLY,
    dnsRefreshRate: duration(DNS_REFRESH_MS),
    loadAssignment,
  }
}

/** Files are the gateway's: it reads them itself. */
function outsideTls({ CAFile, CertFile, KeyFile, SNI }: LinkedService): TransportSocketInit {
  const sanType = SNI === undefined ? undefined : isIP(SNI) !== 0 ? SanType.IP_ADDRESS : SNI.includes('://') ? SanType.URI : SanType.DNS
  return {
    name: 'tls',
    configType: {
      case: 'typedConfig',
      value: pack(UpstreamTlsContextSchema, {
        commonTlsContext: {
          tlsParams: {},
          ...(CertFile === undefined
            ? {}
            : { tlsCertificates: [{ certificateChain: fileSource(CertFile), privateKey: fileSource(KeyFile!) }] }),
          validationContextType: {
            case: 'validationContext',
            value: {
              trustedCa: fileSource(CAFile!),
              ...(sanType === undefined
                ? {}
                : { matchTypedSubjectAltNames: [{ sanType, matcher: { matchPattern: { case: 'exact', value: SNI! } } }] }),
            },
          },
        },
        ...(sanType === SanType.DNS ? { sni: SNI! } : {}),
      }),
    },
  }
}

export function terminatingEndpoints({ services }: TerminatingView, lookup: EndpointLookup): Resource[] {
  return services.flatMap(({ clusters }) =>
    clusters
      .filter(({ places }) => places === undefined)
      .map(({ sni, target }) => lookup(target, 'direct').assignment(sni, target.Subset.OnlyPassing === true)),
  )
}
