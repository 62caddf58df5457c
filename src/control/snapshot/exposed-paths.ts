// Paths of the application that may be asked for without mesh TLS and intentions (`Expose.Paths`: health checks, metrics): one plain
// listener a path, and a cluster where the path is on another port of the application. Called by the listener and cluster builders.
// Invariant: nothing but exactly that path is reached through such a listener.
import { TrafficDirection } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import type { ListenerSchema } from '../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import type { ExposePath } from '../config-entries/types.js'
import { filterAccessLogs, listenerAccessLogs } from './access-logs.js'
import { exposedHcm, HCM_FILTER } from './http-connection-manager.js'
import { type Init, socketAddress } from './protobuf.js'
import { isHttp2, LOCAL_APP, type ProxyView } from './proxy-view.js'

export function exposedListeners(view: ProxyView): Init<typeof ListenerSchema>[] {
  return view.exposed.map(exposed => {
    const address = view.config.bindAddress || view.proxy.Address || '0.0.0.0'
    const id = exposed.Path.replace(/[^A-Za-z0-9]/g, '')
    const hcm = exposedHcm({
      statPrefix: `exposed_path_filter_${id}_${exposed.ListenerPort}`,
      path: exposed.Path,
      protocol: exposed.Protocol ?? 'http',
      cluster: exposedCluster(view, exposed),
      accessLog: filterAccessLogs(view.accessLogs),
    })
    return {
      name: `exposed_path_${id}:${address}:${exposed.ListenerPort}`,
      address: socketAddress(address, exposed.ListenerPort),
      filterChains: [{ filters: [{ name: HCM_FILTER, configType: { case: 'typedConfig', value: hcm } }] }],
      trafficDirection: TrafficDirection.INBOUND,
      accessLog: listenerAccessLogs(view.accessLogs),
    }
  })
}

/** Ports of the application other than the one that the mesh knows, or that one in another protocol. */
export function exposedPorts(view: ProxyView): ExposePath[] {
  const seen = new Set<number>()
  return view.exposed.filter(exposed => {
    if (exposedCluster(view, exposed) === LOCAL_APP || seen.has(exposed.LocalPathPort)) return false
    seen.add(exposed.LocalPathPort)
    return true
  })
}

export function exposedClusterName(port: number): string {
  return `exposed_cluster_${port}`
}

/** The application's own, where that speaks what the path does. */
function exposedCluster({ proxy, protocol }: ProxyView, { LocalPathPort: port, Protocol }: ExposePath): string {
  const isOwn = port === 0 || (port === proxy.Proxy.LocalServicePort && (!isHttp2(Protocol ?? 'http') || isHttp2(protocol)))
  return isOwn ? LOCAL_APP : exposedClusterName(port)
}
