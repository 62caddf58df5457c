// What ring hash and maglev share: the contract of a table, and weights normalised as in Envoy's thread-aware load balancers.
// Called by hash-load-balancer; the tables are hash-ring and maglev-table. Invariant: the shares of one table sum up to 1.

import type { Host } from '../host/host.js'
import type { HostSet } from '../host/host-set.js'

/** Hosts with their share of the traffic; the shares sum up to 1 (or `hosts` is empty). */
export interface WeightedHosts {
  readonly hosts: readonly Host[]
  readonly weights: Float64Array
  readonly minWeight: number
  readonly maxWeight: number
}

export interface HashTable {
  /** Takes new hosts or weights. The very first call builds at once; later ones may finish a little later (maglev). */
  update(weighted: WeightedHosts): void
  /** `hi`, `lo`: halves of the 64-bit hash. `attempt` > 0: another host than the last attempt, as far as possible. */
  choose(hi: number, lo: number, attempt: number): Host | null
}

const NO_HOSTS: WeightedHosts = { hosts: [], weights: new Float64Array(0), minWeight: 1, maxWeight: 0 }

export function normalizeWeights(set: HostSet, panic: boolean, localityWeighted: boolean): WeightedHosts {
  if (!localityWeighted || set.localities.length === 0) return normalizeFlat(panic ? set.hosts : set.healthy)
  let sum = 0
  for (const locality of set.localities) sum += locality.weight
  if (sum === 0) return NO_HOSTS
  const hosts: Host[] = []
  const weights: number[] = []
  for (const locality of set.localities) {
    if (locality.weight === 0) continue
    const members = panic ? locality.hosts : locality.healthy
    const share = locality.weight / sum
    let total = 0
    for (const host of members) total += host.endpoint.weight
    for (const host of members) {
      hosts.push(host)
      weights.push((host.endpoint.weight * share) / total)
    }
  }
  return withExtremes(hosts, Float64Array.from(weights))
}

function normalizeFlat(hosts: readonly Host[]): WeightedHosts {
  let total = 0
  for (let i = 0; i < hosts.length; i++) total += hosts[i]!.endpoint.weight
  const weights = new Float64Array(hosts.length)
  for (let i = 0; i < hosts.length; i++) weights[i] = hosts[i]!.endpoint.weight / total
  return withExtremes(hosts, weights)
}

function withExtremes(hosts: readonly Host[], weights: Float64Array): WeightedHosts {
  let minWeight = 1
  let maxWeight = 0
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!
    if (weight < minWeight) minWeight = weight
    if (weight > maxWeight) maxWeight = weight
  }
  return { hosts, weights, minWeight, maxWeight }
}
