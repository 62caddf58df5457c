// `?merge-central-config`: proxies and gateways as they are once proxy-defaults and service-defaults are merged in, as Consul's agents resolve
// them. Used by the endpoints of catalog and health that have it in Consul, and by who sends checks through a sidecar; what sidecars are sent is
// merged by snapshot/.
import { mergedExpose } from '../config-entries/expose.js'
import type { ConfigEntryIndex, ServiceDefaults } from '../config-entries/types.js'
import { type CatalogInstance, meshServiceOf } from './catalog-types.js'
import type { ProxyRegistration } from './service-definition.js'

/** What is registered goes over service-defaults, and that over proxy-defaults. */
export function withCentralConfig(entries: Pick<ConfigEntryIndex, 'get'>, instance: CatalogInstance): CatalogInstance {
  const { Proxy: proxy } = instance
  if (proxy === undefined) return instance
  const proxyDefaults = entries.get('proxy-defaults', 'global')
  const serviceDefaults = entries.get('service-defaults', meshServiceOf(instance))
  const Mode = proxy.Mode || serviceDefaults?.Mode || proxyDefaults?.Mode
  const TransparentProxy = proxy.TransparentProxy ?? serviceDefaults?.TransparentProxy ?? proxyDefaults?.TransparentProxy
  const MutualTLSMode = proxy.MutualTLSMode || serviceDefaults?.MutualTLSMode || proxyDefaults?.MutualTLSMode
  const MeshGateway = proxy.MeshGateway || serviceDefaults?.MeshGateway?.Mode || proxyDefaults?.MeshGateway?.Mode
  const merged: ProxyRegistration = {
    ...proxy,
    Config: { ...proxyDefaults?.Config, ...configOf(serviceDefaults), ...proxy.Config },
    ...(Mode && { Mode }),
    ...(TransparentProxy && { TransparentProxy }),
    ...(MutualTLSMode && { MutualTLSMode }),
    ...(MeshGateway && { MeshGateway }),
    Expose: mergedExpose(proxy.Expose, meshServiceOf(instance), entries),
  }
  return { ...instance, Proxy: merged }
}

/** The fields that are keys of a proxy's configuration. */
function configOf(entry: ServiceDefaults | undefined): Readonly<Record<string, unknown>> {
  return {
    ...(entry?.Protocol && { protocol: entry.Protocol }),
    ...(entry?.MaxInboundConnections && { max_inbound_connections: entry.MaxInboundConnections }),
    ...(entry?.LocalConnectTimeoutMs && { local_connect_timeout_ms: entry.LocalConnectTimeoutMs }),
    ...(entry?.LocalRequestTimeoutMs && { local_request_timeout_ms: entry.LocalRequestTimeoutMs }),
    ...(entry?.BalanceInboundConnections && { balance_inbound_connections: entry.BalanceInboundConnections }),
  }
}
