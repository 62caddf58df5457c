// Endpoints of every EDS cluster of a proxy: the connect instances (sidecars) of the target's service that its subset's filter takes,
// with health and weight. An assignment is sent for every known cluster, with no endpoints when there is none:
// a missing one would keep the cluster, and with it the listener, waiting for ever.
import type { Resource } from '../../xds/server/snapshot.js'
import type { DiscoveryTarget } from '../discovery-chain/types.js'
import type { EndpointSet } from './endpoint-set.js'
import { chainClusters, type UpstreamView } from './proxy-view.js'

/** Endpoints of a target, subset applied: where the mesh reaches it, or (`direct`) the instances themselves. */
export type EndpointLookup = (target: DiscoveryTarget, way?: 'mesh' | 'direct') => EndpointSet

export function buildEndpoints(view: { readonly upstreams: readonly Pick<UpstreamView, 'chain'>[] }, lookup: EndpointLookup): Resource[] {
  const assignments = new Map<string, Resource>()
  for (const { chain } of view.upstreams) {
    for (const resolver of chainClusters(chain)) {
      for (const { name, target } of resolver.targets) {
        if (!assignments.has(name)) assignments.set(name, lookup(target).assignment(name, target.Subset.OnlyPassing === true))
      }
    }
  }
  return [...assignments.values()]
}
