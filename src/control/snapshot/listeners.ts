// Listeners of one proxy: the public (inbound) listener with mesh TLS and authorisation, and one outbound listener an upstream.
// Names, filters and their order as the newest Consul sends them. Beyond that, the public listener's metadata
// carries the intention table, from which our sidecar names the intention that decided; Envoy ignores it.
import { create, type JsonObject, toBinary } from '@bufbuild/protobuf'
import { TrafficDirection } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import { type Listener, ListenerSchema } from '../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { ConnectionLimitSchema } from '../../xds/gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js'
import { makeResource, type Resource } from '../../xds/server/snapshot.js'
import { LISTENER_TYPE, ROUTE_TYPE } from '../../xds/type-urls.js'
import { isHttpLike } from '../discovery-chain/service-protocol.js'
import { listenerAccessLogs } from './access-logs.js'
import { guardChains, userListener } from './escape-hatches.js'
import { exposedListeners } from './exposed-paths.js'
import { authorization, HCM_FILTER, publicHcm, tunnelHcm } from './http-connection-manager.js'
import {
  EXPLAINS,
  type FilterInit,
  filter,
  type ListenerInit,
  networkRbac,
  tcpProxy,
  tlsInspector,
  upstreamFilter,
} from './network-filters.js'
import { originalDstFilter, outboundListener, virtualUpstreams } from './outbound-listener.js'
import { pack, pipeAddress, socketAddress } from './protobuf.js'
import { acceptsTunnels, LOCAL_APP, type ProxyView, type UpstreamView } from './proxy-view.js'
import { usesRds } from './routes.js'
import { downstreamTls, TUNNEL_ALPN } from './tls.js'

/** At the proxy's own address. */
export function buildInboundListeners(view: ProxyView): Resource[] {
  return [toResource(publicListener(view)), ...exposedListeners(view).map(listener => toResource(listener))]
}

export function buildOutboundListeners(view: ProxyView): Resource[] {
  const outbound = outboundListener(view)
  return [
    ...view.upstreams.filter(hasListener).map(upstream => toResource(upstreamListener(view, upstream), [upstream])),
    ...(outbound === undefined ? [] : [toResource(outbound, virtualUpstreams(view))]),
  ]
}

/** Others are asked for by their virtual addresses alone. */
function hasListener({ upstream }: UpstreamView): boolean {
  return upstream.LocalBindPort !== 0 || upstream.LocalBindSocketPath !== ''
}

function toResource(init: ListenerInit, upstreams: readonly UpstreamView[] = []): Resource {
  const tables = upstreams.filter(usesRds).map(({ envoyId }) => envoyId)
  const children = tables.length > 0 ? [{ typeUrl: ROUTE_TYPE, names: tables }] : []
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
    ...(tunnels ? { listenerFilters: [tlsInspector()] } : {}),
    ...(view.permissive ? { listenerFilters: [originalDstFilter()] } : {}),
    filterChains: [
      ...(tunnels ? [tunnelChain(view)] : []),
      ...(view.permissive ? [permissiveChain(view)] : []),
      { filters, transportSocket: downstreamTls(view) },
    ],
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

/** Clients of no mesh dial the application's own port, and the kernel brings them here: nobody asks who they are. */
function permissiveChain(view: ProxyView): NonNullable<ListenerInit['filterChains']>[number] {
  return {
    name: 'permissive',
    filterChainMatch: { destinationPort: view.proxy.Proxy.LocalServicePort },
    filters: [tcpProxy(view, LOCAL_APP, 'permissive_public_listener')],
  }
}

function upstreamListener(view: ProxyView, upstreamView: UpstreamView): ListenerInit {
  const { upstream, settings } = upstreamView
  const path = upstream.LocalBindSocketPath
  const where = path || `${upstream.LocalBindAddress}:${upstream.LocalBindPort}`
  const name = `${upstreamView.envoyId}:${where}`
  if (upstreamView.listenerJson !== undefined)
    return {
      ...fieldsOf(userListener(upstreamView.listenerJson, 'envoy_listener_json')),
      name,
      trafficDirection: TrafficDirection.OUTBOUND,
    }
  return {
    name,
    address:
      path === ''
        ? socketAddress(upstream.LocalBindAddress, upstream.LocalBindPort)
        : pipeAddress(path, Number.parseInt(upstream.LocalBindSocketMode || '0', 8)),
    filterChains: [{ filters: [upstreamFilter(view, upstreamView)] }],
    metadata: EXPLAINS,
    trafficDirection: TrafficDirection.OUTBOUND,
    accessLog: listenerAccessLogs(view.accessLogs),
    ...(settings.balanceOutboundConnections ? exactBalance() : {}),
  }
}

function exactBalance(): Pick<ListenerInit, 'connectionBalanceConfig'> {
  return { connectionBalanceConfig: { balanceType: { case: 'exactBalance', value: {} } } }
}
