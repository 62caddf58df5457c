// Where the requests of a service go by locality, and why: for each place that its proxies are in, the instances of a target from near to far,
// with how many are well. Part of `/v1/outrigger/explain`. By the same distances as endpoint-set.ts gives priorities by.
import type { CatalogIndex } from '../catalog/catalog-index.js'
import { isWell } from '../catalog/check-definition.js'
import { localityOf } from '../catalog/instance-locality.js'
import { type Distance, distance, type Locality } from '../catalog/locality.js'
import type { DiscoveryTarget } from '../discovery-chain/types.js'

/** One line for each place; none where the target does not ask for the nearest. */
export function explainLocality(catalog: CatalogIndex, from: string, target: DiscoveryTarget): string[] {
  if (target.PrioritizeByLocality?.Mode !== 'failover' || target.Peer) return []
  const places = new Map<string, Locality | undefined>()
  for (const proxy of catalog.connectInstancesOf(from)) {
    const locality = localityOf(catalog, proxy)
    places.set(textOf(locality), locality)
  }
  return [...places]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, place]) => `${target.Service}: ${lineOf(catalog, name, place, target)}`)
}

function lineOf(catalog: CatalogIndex, name: string, place: Locality | undefined, target: DiscoveryTarget): string {
  if (place === undefined) return 'where a proxy says no locality, and neither its service nor its node does, all instances are alike'
  const tiers = new Map<Distance, { all: number; well: number }>()
  for (const instance of catalog.connectInstancesOf(target.Service)) {
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
