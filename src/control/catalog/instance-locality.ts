// Where an instance is: what it says itself, or the service that it stands before, or its node. Asked by the snapshot builder and by bootstraps.
import type { CatalogIndex } from './catalog-index.js'
import type { CatalogInstance } from './catalog-types.js'
import type { Locality } from './locality.js'

export function localityOf(catalog: Pick<CatalogIndex, 'instanceOn' | 'nodeOf'>, instance: CatalogInstance): Locality | undefined {
  const served = instance.Proxy && catalog.instanceOn(instance.Node, instance.Proxy.DestinationServiceID)
  return instance.Locality ?? served?.Locality ?? catalog.nodeOf(instance).Locality
}
