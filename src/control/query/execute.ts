// Who answers a prepared query: instances of its service that its tags, metadata and checks let through, in no order; where there are none,
// those of the first peer of its failover targets that has some. Called by the query endpoints and by DNS. Other datacenters are not
// reachable from here.
import { type CatalogIndex, worst } from '../catalog/catalog-index.js'
import type { CatalogInstance } from '../catalog/catalog-types.js'
import { isWell } from '../catalog/check-definition.js'
import type { PeeringTable } from '../peering/peering-table.js'
import type { ImportedService, PeerInstance } from '../peering/peering-types.js'
import type { ServiceQuery } from './prepared-query.js'

export interface ExecutionSource {
  readonly catalog: Pick<CatalogIndex, 'instancesOf' | 'connectInstancesOf' | 'checksOf' | 'nodeOf'>
  readonly peers: Pick<PeeringTable, 'imported'>
  readonly random: () => number
}

export interface QueryOutcome {
  /** Empty where a peer answers. */
  readonly instances: CatalogInstance[]
  readonly imported?: { readonly service: ImportedService; readonly instances: PeerInstance[] }
  /** Peers that were asked. */
  readonly failovers: number
}

export function executeQuery(source: ExecutionSource, query: ServiceQuery, connect = query.Connect): QueryOutcome {
  const instances = ownInstances(source, query, connect)
  if (instances.length > 0) return { instances, failovers: 0 }
  let failovers = 0
  for (const { Peer: peer } of query.Failover.Targets ?? []) {
    if (peer === '') continue
    failovers++
    const service = source.peers.imported(peer, query.Service)
    const found = service === undefined ? [] : importedInstances(connect ? service.ways : service.instances, query)
    if (service !== undefined && found.length > 0)
      return { instances: [], imported: { service, instances: shuffled(found, source.random) }, failovers }
  }
  return { instances: [], failovers }
}

function ownInstances({ catalog, random }: ExecutionSource, query: ServiceQuery, connect: boolean): CatalogInstance[] {
  const instances = connect ? catalog.connectInstancesOf(query.Service) : catalog.instancesOf(query.Service)
  const ignored = new Set(query.IgnoreCheckIDs)
  const found = instances.filter(instance => {
    const checks = catalog.checksOf(instance).filter(({ definition }) => !ignored.has(definition.CheckID))
    return (
      isWell(worst(checks.map(check => check.status)), query.OnlyPassing) &&
      hasTags(instance.Tags, query.Tags) &&
      hasAll(instance.Meta, query.ServiceMeta) &&
      hasAll(catalog.nodeOf(instance).Meta ?? {}, query.NodeMeta)
    )
  })
  return shuffled(found, random)
}

/** A peer tells what all checks of an instance come to, and nothing of its nodes' metadata. */
function importedInstances(instances: readonly PeerInstance[], query: ServiceQuery): PeerInstance[] {
  return instances.filter(
    ({ status, tags, meta }) =>
      isWell(status, query.OnlyPassing) && hasTags(tags, query.Tags) && hasAll(meta, query.ServiceMeta) && hasAll({}, query.NodeMeta),
  )
}

function shuffled<T>(found: T[], random: () => number): T[] {
  for (let i = found.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[found[i], found[j]] = [found[j]!, found[i]!]
  }
  return found
}

function hasTags(own: readonly string[], wanted: readonly string[]): boolean {
  const tags = new Set(own.map(tag => tag.toLowerCase()))
  return wanted.every(tag => (tag.startsWith('!') ? !tags.has(tag.slice(1).toLowerCase()) : tags.has(tag.toLowerCase())))
}

function hasAll(map: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(map, key) && map[key] === value)
}
