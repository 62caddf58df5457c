// What ring hash and maglev share: weights normalised as in Envoy's thread-aware load balancers, the key a host is hashed by, and the
// contract of a table. Called by hash-load-balancer; tables are hash-ring and maglev-table.

import { LB_METADATA, type Metadata } from '../../model/metadata.js'
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
  /** Completes work that was put off. */
  finish(): void
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

/**
 * Bytes a host is hashed by: metadata `envoy.lb`.`hash_key`, else hostname or address. As latin1 text (UTF-8 bytes, one a character).
 * Kept in Host.hashKey until the host's config changes.
 */
export function hashKeyOf(host: Host, useHostname: boolean): string {
  if (host.hashKey === '') host.hashKey = computeHashKey(host, useHostname)
  return host.hashKey
}

/** The `hash_key` of an endpoint's metadata; '' = none. */
export function hashKeyOfMetadata(metadata: Metadata): string {
  if (metadata.size === 0) return ''
  const given = metadata.get(LB_METADATA)?.['hash_key']
  return typeof given === 'string' ? given : ''
}

function computeHashKey(host: Host, useHostname: boolean): string {
  const given = hashKeyOfMetadata(host.endpoint.metadata)
  if (given !== '') return latin1OfUtf8(given)
  // Addresses are ASCII: no need to look.
  return useHostname && host.hostname !== '' ? latin1OfUtf8(host.hostname) : host.addressText
}

function latin1OfUtf8(text: string): string {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return Buffer.from(text, 'utf8').toString('latin1')
  return text
}
