// Where the requests of a service go by locality, and why: for each place that its proxies are in, the instances of a target from near to far,
// with how many are well, and the order in which it fails over. Part of `/v1/outrigger/explain`. By the same distances as endpoint-set.ts gives
// priorities by, and the same order as failover-order.ts.
import type { CatalogIndex } from '../catalog/catalog-index.js'
import { isWell } from '../catalog/check-definition.js'
import { localityOf } from '../catalog/instance-locality.js'
import { type Distance, distance, type Locality } from '../catalog/locality.js'
import type { CompiledDiscoveryChain, DiscoveryTarget } from '../discovery-chain/types.js'
import { orderedFailover } from '../snapshot/failover-order.js'
import { instancesOfTarget } from './target-instances.js'

/** One line for each place; none where the target does not ask for the nearest. */
export function explainLocality(catalog: CatalogIndex, datacenter: string, from: string, target: DiscoveryTarget): string[] {
  if (target.PrioritizeByLocality?.Mode !== 'failover' || target.Peer) return []
  return placesOf(catalog, from).map(([name, place]) => `${target.Service}: ${lineOf(catalog, datacenter, name, place, target)}`)
}

/** One line for each place and each failover that is ordered by it. */
export function explainFailoverOrder(
  catalog: CatalogIndex,
  datacenter: string,
  from: string,
  chain: CompiledDiscoveryChain,
  ofPeer: (peer: string, service: string) => readonly (Locality | undefined)[],
): string[] {
  return placesOf(catalog, from).flatMap(([name, place]) => {
    const ordered = orderedFailover(chain, {
      from: () => place,
      of: target =>
        target.Peer
          ? ofPeer(target.Peer, target.Service)
          : instancesOfTarget(catalog, datacenter, target).map(instance => localityOf(catalog, instance)),
    })
    return Object.values(ordered.Nodes).flatMap(node => {
      const failover = node.Type === 'resolver' ? node.Resolver.Failover : undefined
      if (node.Type !== 'resolver' || failover?.Policy?.Mode !== 'order-by-locality') return []
      const nameOf = (id: string): string => {
        const { Service, ServiceSubset, Peer } = ordered.Targets[id]!
        return `${Service}${ServiceSubset ? ` (${ServiceSubset})` : ''}${Peer ? ` of peer ${Peer}` : ''}`
      }
      const list = failover.Targets.map(nameOf).join(', then ')
      return `${nameOf(node.Resolver.Target)}: from ${name || 'no known place'} it fails over to ${list}`
    })
  })
}

function placesOf(catalog: CatalogIndex, from: string): [string, Locality | undefined][] {
  const places = new Map<string, Locality | undefined>()
  for (const proxy of catalog.connectInstancesOf(from)) {
    const locality = localityOf(catalog, proxy)
    places.set(textOf(locality), locality)
  }
  return [...places].sort(([a], [b]) => (a < b ? -1 : 1))
}

function lineOf(catalog: CatalogIndex, datacenter: string, name: string, place: Locality | undefined, target: DiscoveryTarget): string {
  if (place === undefined) return 'where a proxy says no locality, and neither its service nor its node does, all instances are alike'
  const tiers = new Map<Distance, { all: number; well: number }>()
  for (const instance of instancesOfTarget(catalog, datacenter, target)) {
    const at = distance(place, localityOf(catalog, instance))
    const tier = tiers.get(at) ?? { all: 0, well: 0 }
    const well = isWell(catalog.health(instance), target.Subset.OnlyPassing) ? 1 : 0
    tiers.set(at, { all: tier.all + 1, well: tier.well + well })
  }
  const ordered = [...tiers].sort(([a], [b]) => a - b)
  const titles: Record<Distance, string> = { 0: 'its zone', 1: `the rest of ${place.Region}`, 2: 'elsewhere' }
  const list = ordered.map(([at, { all, well }]) => `${titles[at]} (${well} of ${all} healthy)`).join(', then ')
  const chosen = ordered.find(([, { well }]) => well > 0)
  const outcome = chosen === undefined ? 'none is healthy' : `requests go to ${titles[chosen[0]]}, the nearest with a healthy instance`
  return `from ${name}: ${list || 'no instances'}; ${outcome}`
}

const textOf = (locality: Locality | undefined): string =>
  locality === undefined ? '' : locality.Zone === '' ? locality.Region : `${locality.Region}/${locality.Zone}`
