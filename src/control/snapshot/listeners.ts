// Listeners of one proxy: the public (inbound) listener with mesh TLS and authorisation, and one outbound listener an upstream.
// Names, filters and their order as the newest Consul sends them. Beyond that, the public listener's metadata
// carries the intention table, from which our sidecar names the intention that decided; Envoy ignores it.
import { create, type JsonObject, toBinary } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import { TrafficDirection } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import type { FilterSchema } from '../../xds/gen/envoy/config/listener/v3/listener_components_pb.js'
import { type Listener, ListenerSchema } from '../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { TlsInspectorSchema } from '../../xds/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js'
import { ConnectionLimitSchema } from '../../xds/gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js'
import { RBACSchema as NetworkRbacSchema } from '../../xds/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.js'
import { TcpProxySchema } from '../../xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import { makeResource, type Resource } from '../../xds/server/snapshot.js'
import { LISTENER_TYPE, ROUTE_TYPE } from '../../xds/type-urls.js'
import { isHttpLike } from '../discovery-chain/service-protocol.js'
import { toRbacProto } from '../intentions/rbac-proto.js'
import { filterAccessLogs, listenerAccessLogs } from './access-logs.js'
import { guardChains, userListener } from './escape-hatches.js'
import { exposedListeners } from './exposed-paths.js'
import { authorization, HCM_FILTER, publicHcm, statPrefix, tunnelHcm, upstreamHcm } from './http-connection-manager.js'
import { type Init, pack, pipeAddress, socketAddress } from './protobuf.js'
import { acceptsTunnels, clusterOfNode, LOCAL_APP, type ProxyView, type UpstreamView } from './proxy-view.js'
import { usesRds } from './routes.js'
import { downstreamTls, TUNNEL_ALPN } from './tls.js'

export type ListenerInit = Init<typeof ListenerSchema>
type FilterInit = Init<typeof FilterSchema>
type TcpProxyInit = Init<typeof TcpProxySchema>

/** Which instance is tried next is the balancer's choice, and may be the dead one again; after five failures in a row that is ejected. */
export const CONNECT_ATTEMPTS = 6

/** The application beside the sidecar is told why its request failed, with host and limit; Envoy ignores it. */
const EXPLAINS = { filterMetadata: { outrigger: { explain: true } } }

export function buildListeners(view: ProxyView): Resource[] {
  return [
    toResource(publicListener(view)),
    ...exposedListeners(view).map(listener => toResource(listener)),
    ...view.upstreams.map(upstream => toResource(upstreamListener(view, upstream), upstream)),
  ]
}

function toResource(init: ListenerInit, upstream?: UpstreamView): Resource {
  const children = upstream !== undefined && usesRds(upstream) ? [{ typeUrl: ROUTE_TYPE, names: [upstream.envoyId] }] : []
  return makeResource(init.name!, LISTENER_TYPE, toBinary(ListenerSchema, create(ListenerSchema, init)), children)
}

function publicListener(view: ProxyView): ListenerInit {
  const { proxy, config } = view
  const address = config.bindAddress || proxy.Address || '0.0.0.0'
  const port = config.bindPort || proxy.Port
  const name = `public_listener:${proxy.SocketPath || `${address}:${port}`}`
  const metadata = { filterMetadata: { outrigger: { intentions: view.intentionTable as unknown as JsonObject } } }
  if (config.publicListenerJson !== undefined) return { ...userPublicListener(view, config.publicListenerJson), name, metadata }
  const limit = config.maxInboundConnections
  const connectionLimit: FilterInit[] =
    limit > 0
      ? [
          filter(
            'envoy.filters.network.connection_limit',
            pack(ConnectionLimitSchema, { statPrefix: 'inbound_connection_limit', maxConnections: BigInt(limit) }),
          ),
        ]
      : []
  const filters = isHttpLike(view.protocol)
    ? [...connectionLimit, filter(HCM_FILTER, publicHcm(view))]
    : [networkRbac(view), ...connectionLimit, tcpProxy(view, LOCAL_APP, 'public_listener')]
  const tunnels = acceptsTunnels(view)
  return {
    name,
    address: proxy.SocketPath === '' ? socketAddress(address, port) : pipeAddress(proxy.SocketPath),
    ...(tunnels ? { listenerFilters: [filter('envoy.filters.listener.tls_inspector', pack(TlsInspectorSchema, {}))] } : {}),
    filterChains: [...(tunnels ? [tunnelChain(view)] : []), { filters, transportSocket: downstreamTls(view) }],
    trafficDirection: TrafficDirection.INBOUND,
    metadata,
    accessLog: listenerAccessLogs(view.accessLogs),
    ...(config.balanceInboundConnections ? exactBalance() : {}),
  }
}

/** The user's own, with mesh TLS and the intentions put into every filter chain. */
function userPublicListener(view: ProxyView, json: string): ListenerInit {
  const listener = userListener(json, 'envoy_public_listener_json')
  guardChains(listener, {
    tls: downstreamTls(view),
    httpFilters: isHttpLike(view.protocol) ? authorization(view) : undefined,
    networkFilter: networkRbac(view),
  })
  return { ...fieldsOf(listener), trafficDirection: TrafficDirection.INBOUND }
}

/** A message as what `create` takes. */
function fieldsOf({ $typeName: _type, $unknown: _unknown, ...fields }: Listener): ListenerInit {
  return fields
}

/** Chosen by the ALPN of the ClientHello; a connection in the clear form never offers one on a TCP service. */
function tunnelChain(view: ProxyView): NonNullable<ListenerInit['filterChains']>[number] {
  return {
    name: 'tunnels',
    filterChainMatch: { applicationProtocols: [...TUNNEL_ALPN] },
    filters: [networkRbac(view), filter(HCM_FILTER, tunnelHcm(view))],
    transportSocket: downstreamTls(view, TUNNEL_ALPN),
  }
}

function upstreamListener(view: ProxyView, upstreamView: UpstreamView): ListenerInit {
  const { upstream, chain, settings } = upstreamView
  const path = upstream.LocalBindSocketPath
  const where = path || `${upstream.LocalBindAddress}:${upstream.LocalBindPort}`
  const name = `${upstreamView.envoyId}:${where}`
  if (upstreamView.listenerJson !== undefined)
    return {
      ...fieldsOf(userListener(upstreamView.listenerJson, 'envoy_listener_json')),
      name,
      trafficDirection: TrafficDirection.OUTBOUND,
    }
  const filterConfig = isHttpLike(chain.Protocol)
    ? filter(HCM_FILTER, upstreamHcm(view, upstreamView))
    : tcpProxy(view, clusterOfNode(chain, chain.StartNode), statPrefix(upstreamView), {
        maxConnectAttempts: CONNECT_ATTEMPTS,
        ...tunnelTo(upstreamView),
      })
  return {
    name,
    address:
      path === ''
        ? socketAddress(upstream.LocalBindAddress, upstream.LocalBindPort)
        : pipeAddress(path, Number.parseInt(upstream.LocalBindSocketMode || '0', 8)),
    filterChains: [{ filters: [filterConfig] }],
    metadata: EXPLAINS,
    trafficDirection: TrafficDirection.OUTBOUND,
    accessLog: listenerAccessLogs(view.accessLogs),
    ...(settings.balanceOutboundConnections ? exactBalance() : {}),
  }
}

function exactBalance(): Pick<ListenerInit, 'connectionBalanceConfig'> {
  return { connectionBalanceConfig: { balanceType: { case: 'exactBalance', value: {} } } }
}

export function networkRbac(view: Pick<ProxyView, 'rbac'>): FilterInit {
  return filter('envoy.filters.network.rbac', pack(NetworkRbacSchema, { rules: toRbacProto(view.rbac), statPrefix: 'connect_authz' }))
}

/** Nothing: a connection of its own for each client. The host names the service, for the far side's access log. */
function tunnelTo({ tunnel, chain }: UpstreamView): Pick<TcpProxyInit, 'tunnelingConfig'> {
  return tunnel ? { tunnelingConfig: { hostname: `${chain.ServiceName}:80` } } : {}
}

export function tcpProxy(view: Pick<ProxyView, 'accessLogs'>, cluster: string, prefix: string, more: TcpProxyInit = {}): FilterInit {
  return filter(
    'envoy.filters.network.tcp_proxy',
    pack(TcpProxySchema, {
      statPrefix: prefix,
      clusterSpecifier: { case: 'cluster', value: cluster },
      accessLog: filterAccessLogs(view.accessLogs),
      ...more,
    }),
  )
}

export function filter(name: string, config: Any): FilterInit {
  return { name, configType: { case: 'typedConfig', value: config } }
}
