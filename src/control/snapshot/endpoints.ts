// Endpoints of every EDS cluster of a proxy: the connect instances (sidecars) of the target's service that its subset's filter takes,
// with health and weight. An assignment is sent for every known cluster, with no endpoints when there is none:
// a missing one would keep the cluster, and with it the listener, waiting for ever.
import type { Resource } from '../../xds/server/snapshot.js'
import type { DiscoveryTarget } from '../discovery-chain/types.js'
import type { Assignments } from './endpoint-set.js'
import { chainClusters, type UpstreamView } from './proxy-view.js'

/** Where the mesh reaches a target; the instances themselves; our own mesh gateways, which know the way to a peer's. */
export type Way = 'mesh' | 'direct' | 'gateways'

/** Endpoints of a target, subset applied; the nearest to the proxy first where the target asks for that. */
export type EndpointLookup = (target: DiscoveryTarget, way?: Way) => Assignments

export function buildEndpoints(view: { readonly upstreams: readonly Pick<UpstreamView, 'chain'>[] }, lookup: EndpointLookup): Resource[] {
  const assignments = new Map<string, Resource>()
  for (const { chain } of view.upstreams) {
    for (const resolver of chainClusters(chain)) {
      for (const { name, target } of resolver.targets) {
        if (!assignments.has(name))
          assignments.set(name, lookup(target, wayTo(target)).assignment(name, target.Subset.OnlyPassing === true))
      }
    }
  }
  return [...assignments.values()]
}

/** A peer's service with `MeshGateway.Mode` local is asked for at our own gateways. */
const wayTo = ({ Peer, MeshGateway }: DiscoveryTarget): Way => (Peer && MeshGateway.Mode === 'local' ? 'gateways' : 'mesh')
