// The instances that requests of a target go to: the same, by the same filter, that endpoints are made of by snapshot/build-snapshot.ts. Asked by the
// parts of `/v1/outrigger/explain`. What a peer has is not here.
import type { CatalogIndex } from '../catalog/catalog-index.js'
import type { CatalogInstance } from '../catalog/catalog-types.js'
import { subsetFilter } from '../config-entries/filter-expression.js'
import type { DiscoveryTarget } from '../discovery-chain/types.js'
import { healthEntry } from './shapes.js'

export function instancesOfTarget(catalog: CatalogIndex, datacenter: string, target: DiscoveryTarget): readonly CatalogInstance[] {
  if (target.Datacenter !== datacenter) return []
  const instances = catalog.connectInstancesOf(target.Service)
  const fits = subsetFilter(target.Subset.Filter)
  return fits === undefined ? instances : instances.filter(each => each.Kind === 'terminating-gateway' || fits(healthEntry(catalog, each)))
}
