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

/** What follows name and address in the public listener, by the view of the first of those that are alike: its filters and certificates. */
const unplacedListeners = new WeakMap<ProxyView, Uint8Array>()

/** At the proxy's own address. `alike`: a view that is the same but for the place. */
export function buildInboundListeners(view: ProxyView, alike: ProxyView = view): Resource[] {
  return [publicListener(view, alike), ...exposedListeners(view).map(listener => toResource(listener))]
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
  return makeResource(init.name!, LISTENER_TYPE, listenerBytes(init), children)
}

const listenerBytes = (init: ListenerInit): Uint8Array => toBinary(ListenerSchema, create(ListenerSchema, init))

/** Name and address are the first fields of the message, so the bytes of the rest stand behind those of any place. */
function publicListener(view: ProxyView, alike: ProxyView): Resource {
  let rest = unplacedListeners.get(alike)
  if (rest === undefined) unplacedListeners.set(alike, (rest = listenerBytes(unplacedListener(view))))
  const { proxy, config } = view
  const address = config.bindAddress || proxy.Address || '0.0.0.0'
  const port = config.bindPort || proxy.Port
  const name = `public_listener:${proxy.SocketPath || `${address}:${port}`}`
  // The user's own has its own address.
  const isUsers = config.publicListenerJson !== undefined
  const place = isUsers ? {} : { address: proxy.SocketPath === '' ? socketAddress(address, port) : pipeAddress(proxy.SocketPath) }
  return makeResource(name, LISTENER_TYPE, Buffer.concat([listenerBytes({ name, ...place }), rest]))
}

function unplacedListener(view: ProxyView): ListenerInit {
  const { config } = view
  const metadata = { filterMetadata: { outrigger: { intentions: view.intentionTable as unknown as JsonObject } } }
  if (config.publicListenerJson !== undefined) return { ...userPublicListener(view, config.publicListenerJson), name: '', metadata }
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
