// Who answers a prepared query: instances of its service that its tags, metadata and checks let through, in no order. Called by the query
// endpoints and by DNS. Other datacenters are not reachable from here, so that failover has nowhere to go.
import { type CatalogIndex, worst } from '../catalog/catalog-index.js'
import type { CatalogInstance } from '../catalog/catalog-types.js'
import type { ServiceQuery } from './prepared-query.js'

export interface ExecutionSource {
  readonly catalog: Pick<CatalogIndex, 'instancesOf' | 'connectInstancesOf' | 'checksOf' | 'nodeOf'>
  readonly random: () => number
}

export function executeQuery(source: ExecutionSource, query: ServiceQuery, connect = query.Connect): CatalogInstance[] {
  const { catalog } = source
  const instances = connect ? catalog.connectInstancesOf(query.Service) : catalog.instancesOf(query.Service)
  const ignored = new Set(query.IgnoreCheckIDs)
  const found = instances.filter(instance => {
    const checks = catalog.checksOf(instance).filter(({ definition }) => !ignored.has(definition.CheckID))
    const status = worst(checks.map(check => check.status))
    return (
      (query.OnlyPassing ? status === 'passing' : status !== 'critical') &&
      hasTags(instance, query.Tags) &&
      hasAll(instance.Meta, query.ServiceMeta) &&
      hasAll(catalog.nodeOf(instance).Meta ?? {}, query.NodeMeta)
    )
  })
  for (let i = found.length - 1; i > 0; i--) {
    const j = Math.floor(source.random() * (i + 1))
    ;[found[i], found[j]] = [found[j]!, found[i]!]
  }
  return found
}

function hasTags(instance: CatalogInstance, wanted: readonly string[]): boolean {
  const tags = new Set(instance.Tags.map(tag => tag.toLowerCase()))
  return wanted.every(tag => (tag.startsWith('!') ? !tags.has(tag.slice(1).toLowerCase()) : tags.has(tag.toLowerCase())))
}

function hasAll(map: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(map, key) && map[key] === value)
}
