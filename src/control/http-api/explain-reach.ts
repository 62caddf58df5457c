// Does a request find somebody? Of each target that it may end at: how many of the instances that its subset has are healthy, and where there is
// none (nor one of its failover targets), why its requests get a 503. Part of `/v1/outrigger/explain`.
import type { CatalogIndex } from '../catalog/catalog-index.js'
import { isWell } from '../catalog/check-definition.js'
import type { Destination } from '../discovery-chain/follow-chain.js'
import type { DiscoveryTarget } from '../discovery-chain/types.js'
import { instancesOfTarget } from './target-instances.js'

export interface Reach {
  /** Some request finds an instance. */
  readonly reached: boolean
  /** A line for each target that nobody answers at. */
  readonly unreached: readonly string[]
}

interface Found {
  readonly healthy: number
  /** Why there is none. */
  readonly lack: string
}

/** `destinations`: each target before its failover targets. */
export function explainReach(catalog: CatalogIndex, datacenter: string, destinations: readonly Destination[]): Reach {
  const unreached = new Set<string>()
  let reached = false
  for (let i = 0; i < destinations.length; ) {
    const first = destinations[i]!
    const found = [find(catalog, datacenter, first.target)]
    for (i++; destinations[i]?.isFailover === true; i++) found.push(find(catalog, datacenter, destinations[i]!.target))
    if (found.some(({ healthy }) => healthy > 0)) reached = true
    else unreached.add([...first.via, found.map(({ lack }) => lack).join('; failover: ')].join(', '))
  }
  return { reached, unreached: [...unreached] }
}

function find(catalog: CatalogIndex, datacenter: string, target: DiscoveryTarget): Found {
  const { Service: service, Peer: peer, Datacenter: wanted } = target
  // What is there of a peer's is the peer's to say.
  if (peer) return { healthy: 1, lack: '' }
  if (wanted !== datacenter) return { healthy: 0, lack: `${service} in datacenter ${wanted}, which is not here` }
  const instances = catalog.connectInstancesOf(service)
  if (instances.length === 0) {
    const apps = catalog.instancesOf(service).length
    return { healthy: 0, lack: apps === 0 ? `${service} has no instance` : `none of the ${apps} instances of ${service} has a sidecar` }
  }
  const { Filter, OnlyPassing } = target.Subset
  const chosen = instancesOfTarget(catalog, datacenter, target)
  if (chosen.length === 0) return { healthy: 0, lack: `none of the ${instances.length} instances of ${service} fits ${Filter}` }
  const healthy = chosen.filter(instance => isWell(catalog.health(instance), OnlyPassing)).length
  const nobody =
    chosen.length === 1 ? `the only instance of ${service} is not healthy` : `none of ${chosen.length} instances of ${service} is healthy`
  return { healthy, lack: healthy > 0 ? '' : nobody }
}
