// The failover targets of a chain by where their instances are, for resolvers whose policy is `order-by-locality`: those nearest to the proxy
// are tried first. Asked by the kinds of proxies for each chain (peer-targets.ts), and by `explain`.
// Invariants: what the resolver resolves to stays the first; targets that are equally near stay in the order in which they are listed; whether an
// instance is healthy moves no target, so that a flapping check makes no cluster anew.
import { distance, type Locality } from '../catalog/locality.js'
import type { CompiledDiscoveryChain, DiscoveryFailover, DiscoveryNode, DiscoveryTarget } from '../discovery-chain/types.js'

export interface PlacesOfTargets {
  /** Where the requests come from; undefined: nobody says. */
  from(): Locality | undefined
  /** Of the target's instances. */
  of(target: DiscoveryTarget): readonly (Locality | undefined)[]
}

/** As listed: for who only asks whether a proxy could be made. */
export const NO_PLACES: PlacesOfTargets = { from: () => undefined, of: () => [] }

export function orderedFailover(chain: CompiledDiscoveryChain, places: PlacesOfTargets): CompiledDiscoveryChain {
  let ordered: Record<string, DiscoveryNode> | undefined
  for (const [name, node] of Object.entries(chain.Nodes)) {
    const failover = node.Type === 'resolver' ? node.Resolver.Failover : undefined
    if (node.Type !== 'resolver' || failover?.Policy?.Mode !== 'order-by-locality') continue
    ordered ??= Object.assign(Object.create(null), chain.Nodes) as Record<string, DiscoveryNode>
    const Targets = nearestFirst(failover, chain, places)
    ordered[name] = { ...node, Resolver: { ...node.Resolver, Failover: { ...failover, Targets } } }
  }
  return ordered === undefined ? chain : { ...chain, Nodes: ordered }
}

/** Its zone, its region, the policy's regions in their order, all others, and last what has no instances. */
function nearestFirst({ Targets, Policy }: DiscoveryFailover, chain: CompiledDiscoveryChain, places: PlacesOfTargets): string[] {
  const from = places.from()
  const regions = Policy?.Regions ?? []
  const rank = (to: Locality | undefined): number => {
    const away = from === undefined ? 2 : distance(from, to)
    if (away < 2) return away
    const at = to === undefined ? -1 : regions.indexOf(to.Region)
    return 2 + (at === -1 ? regions.length : at)
  }
  const ranks = new Map(Targets.map(id => [id, Math.min(...places.of(chain.Targets[id]!).map(rank))]))
  return [...Targets].sort((a, b) => (ranks.get(a) === ranks.get(b) ? 0 : ranks.get(a)! - ranks.get(b)!))
}
