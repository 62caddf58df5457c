// Paths of the application that may be asked for without mesh TLS and intentions (`Expose.Paths`: health checks, metrics; `Expose.Checks`: what
// the checks of the service ask for): one plain listener a path, and a cluster where the path is on another port of the application, or speaks
// another HTTP than the mesh does. Called by the listener and cluster builders.
// Invariants: nothing but exactly that path is reached through such a listener; one of a check is reached by who runs the checks alone.
import { isIPv6 } from 'node:net'
import { TrafficDirection } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import type { FilterChainSchema } from '../../xds/gen/envoy/config/listener/v3/listener_components_pb.js'
import type { ListenerSchema } from '../../xds/gen/envoy/config/listener/v3/listener_pb.js'
import { singleAddressOf } from '../catalog/check-exposure.js'
import { filterAccessLogs, listenerAccessLogs } from './access-logs.js'
import { exposedHcm, HCM_FILTER } from './http-connection-manager.js'
import { type Init, singleAddress, socketAddress } from './protobuf.js'
import { type ExposedPath, isHttp2, LOCAL_APP, type ProxyView } from './proxy-view.js'

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
      filterChains: [{ ...onlyFrom(exposed, address), filters: [{ name: HCM_FILTER, configType: { case: 'typedConfig', value: hcm } }] }],
      trafficDirection: TrafficDirection.INBOUND,
      accessLog: listenerAccessLogs(view.accessLogs),
    }
  })
}

/**
 * Checks come from this machine (which dials an address of its own from that address), or from the node's. A listener of IPv4 never sees `::1`,
 * which Envoy can't parse on some machines; and none takes the same range twice.
 */
function onlyFrom(exposed: ExposedPath, listening: string): Pick<Init<typeof FilterChainSchema>, 'filterChainMatch'> {
  if (!('sources' in exposed)) return {}
  const own = singleAddressOf(listening)
  const addresses = new Set([...(isIPv6(listening) ? ['::1'] : []), ...(own === undefined ? [] : [own]), ...exposed.sources])
  return { filterChainMatch: { sourcePrefixRanges: [{ addressPrefix: '127.0.0.0', prefixLen: 8 }, ...[...addresses].map(singleAddress)] } }
}

/** One for each cluster: ports of the application other than the one that the mesh knows, or that one in another protocol. */
export function exposedPorts(view: ProxyView): ExposedPath[] {
  const seen = new Set([LOCAL_APP])
  return view.exposed.filter(exposed => {
    const cluster = exposedCluster(view, exposed)
    return !seen.has(cluster) && seen.add(cluster)
  })
}

/** The application's own, where that speaks what the path does. Of one port that is asked in HTTP/1 and in HTTP/2 there are two. */
export function exposedCluster(view: ProxyView, exposed: ExposedPath): string {
  const { LocalPathPort: port } = exposed
  if (isLocalApp(view, exposed)) return LOCAL_APP
  const name = `exposed_cluster_${port}`
  const isPlainToo = (other: ExposedPath): boolean => other.LocalPathPort === port && !speaksHttp2(other) && !isLocalApp(view, other)
  return speaksHttp2(exposed) && view.exposed.some(isPlainToo) ? `${name}_http2` : name
}

function isLocalApp({ proxy, protocol }: ProxyView, exposed: ExposedPath): boolean {
  const { LocalPathPort: port } = exposed
  return port === 0 || (port === proxy.Proxy.LocalServicePort && (!speaksHttp2(exposed) || isHttp2(protocol)))
}

const speaksHttp2 = ({ Protocol }: ExposedPath): boolean => isHttp2(Protocol ?? 'http')
