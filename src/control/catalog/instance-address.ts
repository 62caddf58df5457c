// Where an instance is reached inside of its datacenter. Used by whoever tells sidecars and peers of it.
import type { CatalogIndex } from './catalog-index.js'
import type { CatalogInstance } from './catalog-types.js'

/** A sidecar registered without an address stands beside its service. */
export function addressOf(catalog: CatalogIndex, instance: CatalogInstance): string {
  return instance.Address || behind(catalog, instance)?.Address || catalog.nodeOf(instance).Address
}

function behind(catalog: CatalogIndex, instance: CatalogInstance): CatalogInstance | undefined {
  const id = instance.Proxy?.DestinationServiceID
  return id ? catalog.instanceOn(instance.Node, id) : undefined
}
