// The network filters of mesh listeners, each as Consul sends it: the intentions, the TCP proxy, and what serves an upstream. Called by
// whatever makes listeners: `listeners.ts`, `outbound-listener.ts` and the gateways.
import type { Any } from '@bufbuild/protobuf/wkt'
import type { FilterSchema } from '../../xds/gen/envoy/config/listener/v3/listener_components_pb.js'
import type { ListenerSchema } from '../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { TlsInspectorSchema } from '../../xds/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js'
import { RBACSchema as NetworkRbacSchema } from '../../xds/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.js'
import { TcpProxySchema } from '../../xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import { isHttpLike } from '../discovery-chain/service-protocol.js'
import { rbacRules } from '../intentions/rbac-proto.js'
import { filterAccessLogs } from './access-logs.js'
import { HCM_FILTER, statPrefix, upstreamHcm } from './http-connection-manager.js'
import { type Init, pack } from './protobuf.js'
import { clusterOfNode, type ProxyView, type UpstreamView } from './proxy-view.js'

export type ListenerInit = Init<typeof ListenerSchema>
export type FilterInit = Init<typeof FilterSchema>
export type FilterChainInit = NonNullable<ListenerInit['filterChains']>[number]
type TcpProxyInit = Init<typeof TcpProxySchema>

/** Which instance is tried next is the balancer's choice, and may be the dead one again; after five failures in a row that is ejected. */
export const CONNECT_ATTEMPTS = 6

/** The application beside the sidecar is told why its request failed, with host and limit; Envoy ignores it. */
export const EXPLAINS = { filterMetadata: { outrigger: { explain: true } } }

/** What serves a connection to the upstream, by whichever listener it came. */
export function upstreamFilter(view: ProxyView, upstream: UpstreamView): FilterInit {
  const { chain } = upstream
  if (isHttpLike(chain.Protocol)) return filter(HCM_FILTER, upstreamHcm(view, upstream))
  return tcpProxy(view, clusterOfNode(chain, chain.StartNode), statPrefix(upstream), {
    maxConnectAttempts: CONNECT_ATTEMPTS,
    ...tunnelTo(upstream),
  })
}

export function networkRbac(view: Pick<ProxyView, 'rbac' | 'shadowRbac'>): FilterInit {
  return filter('envoy.filters.network.rbac', pack(NetworkRbacSchema, { ...rbacRules(view), statPrefix: 'connect_authz' }))
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

export function tlsInspector(): FilterInit {
  return filter('envoy.filters.listener.tls_inspector', pack(TlsInspectorSchema, {}))
}

export function filter(name: string, config: Any): FilterInit {
  return { name, configType: { case: 'typedConfig', value: config } }
}
