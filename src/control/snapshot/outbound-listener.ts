// The one outbound listener of a transparent proxy, to which the kernel redirects every connection of the application, and the clusters that
// only it has. A connection takes the chain of the virtual address it was made to, or of the instance that is dialled directly; what is of
// the mesh in neither way passes as it is. Called by `listeners.ts` and `clusters.ts`. Names and fields as Consul sends them.
import { Cluster_DiscoveryType, Cluster_LbPolicy, type ClusterSchema } from '../../xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { TrafficDirection } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import { OriginalDstSchema } from '../../xds/gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js'
import { listenerAccessLogs } from './access-logs.js'
import { destinationChains, needServerNames } from './destinations.js'
import {
  EXPLAINS,
  type FilterChainInit,
  type FilterInit,
  filter,
  type ListenerInit,
  tcpProxy,
  tlsInspector,
  upstreamFilter,
} from './network-filters.js'
import { duration, type Init, pack, singleAddress, socketAddress } from './protobuf.js'
import { DEFAULT_CONNECT_TIMEOUT_MS } from './proxy-config.js'
import type { DirectService, ProxyView, UpstreamView } from './proxy-view.js'
import { upstreamTls } from './tls.js'

type ClusterInit = Init<typeof ClusterSchema>

const ORIGINAL_DESTINATION = 'original-destination'
const OUTBOUND_ADDRESS = '127.0.0.1'
const OUTBOUND_IPV6 = '::1'
const CLIENT_HELLO_WITHIN_MS = 1_000

export function originalDstFilter(): NonNullable<ListenerInit['listenerFilters']>[number] {
  return filter('envoy.filters.listener.original_dst', pack(OriginalDstSchema, {}))
}

/** What is reached through the outbound listener. */
export function virtualUpstreams({ upstreams }: Pick<ProxyView, 'upstreams'>): UpstreamView[] {
  return upstreams.filter(({ virtualAddresses }) => virtualAddresses.length > 0)
}

/** Undefined: mode `direct`, or nothing that it could lead to. */
export function outboundListener(view: ProxyView): ListenerInit | undefined {
  const { transparent } = view
  if (transparent === undefined) return undefined
  const filterChains = [
    ...virtualUpstreams(view).map(upstream => chainFor(upstream.envoyId, upstream.virtualAddresses, upstreamFilter(view, upstream))),
    ...transparent.direct.map(service => {
      const name = passthroughName(service)
      return chainFor(name, service.addresses, tcpProxy(view, name, `upstream.${service.filterName}`))
    }),
    ...destinationChains(view),
  ]
  if (filterChains.length === 0 && !transparent.passesOthers) return undefined
  return {
    name: `outbound_listener:${OUTBOUND_ADDRESS}:${transparent.outboundPort}`,
    address: socketAddress(OUTBOUND_ADDRESS, transparent.outboundPort),
    // The kernel redirects what was made to IPv6 addresses to the loopback of IPv6.
    ...(view.config.transparentIpv6 ? { additionalAddresses: [{ address: socketAddress(OUTBOUND_IPV6, transparent.outboundPort) }] } : {}),
    listenerFilters: [originalDstFilter(), ...(needServerNames(view) ? [tlsInspector()] : [])],
    // Where the server speaks first there is no ClientHello to wait for.
    ...(needServerNames(view) ? { listenerFiltersTimeout: duration(CLIENT_HELLO_WITHIN_MS), continueOnListenerFiltersTimeout: true } : {}),
    filterChains,
    ...(transparent.passesOthers
      ? { defaultFilterChain: { filters: [tcpProxy(view, ORIGINAL_DESTINATION, `upstream.${ORIGINAL_DESTINATION}`)] } }
      : {}),
    metadata: EXPLAINS,
    trafficDirection: TrafficDirection.OUTBOUND,
    accessLog: listenerAccessLogs(view.accessLogs),
  }
}

function chainFor(name: string, addresses: readonly string[], served: FilterInit): FilterChainInit {
  return { name, filterChainMatch: { prefixRanges: addresses.map(singleAddress) }, filters: [served] }
}

function passthroughName({ target }: DirectService): string {
  return `passthrough~${target.SNI}`
}

/** One that leads to wherever a connection was made, and one over mesh TLS for each service that is dialled directly. */
export function passthroughClusters(view: ProxyView): ClusterInit[] {
  const { transparent } = view
  if (transparent === undefined) return []
  const direct = transparent.direct.map(service => ({
    ...originalDestination(passthroughName(service)),
    transportSocket: upstreamTls(view, service.target, service.peer),
  }))
  return transparent.passesOthers ? [originalDestination(ORIGINAL_DESTINATION), ...direct] : direct
}

function originalDestination(name: string): ClusterInit {
  return {
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.ORIGINAL_DST },
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
    connectTimeout: duration(DEFAULT_CONNECT_TIMEOUT_MS),
  }
}
