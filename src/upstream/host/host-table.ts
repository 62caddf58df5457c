// The hosts of one cluster by address, and the difference between them and a new list of endpoints. Used by UpstreamCluster.
// Hosts whose address stays are kept (pools, counts, ejection); what came unchanged costs one compare, so that one changed endpoint in
// 10,000 costs a pass of compares and nothing else. Invariant: `hosts` is in the order of the config, `byKey` has the same hosts.

import { type Address, formatAddress } from '../../model/address.js'
import type { Endpoint, LocalityEndpoints } from '../../model/endpoint.js'
import { type JsonValue, LB_METADATA, type Metadata } from '../../model/metadata.js'
import { hashKeyOfMetadata } from './hash-key.js'
import { Host, type HostCluster } from './host.js'
import { MAX_PRIORITIES, sameLocality } from './host-set.js'

export interface HostChanges {
  readonly added: readonly Host[]
  readonly removed: readonly Host[]
  /** Kept hosts whose endpoint (weight, health, metadata), priority or locality changed. */
  readonly updated: readonly Host[]
}

/**
 * Which changes of metadata count: none, those of the hash key, or all (subsets). Where they do not count, the newest metadata is
 * taken over without a compare, which would cost more than all the rest.
 */
export type MetadataInterest = 'none' | 'hashKey' | 'all'

/** Most endpoints of one cluster. */
const MAX_HOSTS = 1_000_000

const NOTHING: HostChanges = { added: [], removed: [], updated: [] }

export class HostTable {
  hosts: readonly Host[] = []
  maxWeight = 0
  readonly byKey = new Map<string, Host>()
  private readonly cluster: HostCluster
  private readonly freeSlots: number[] = []
  private nextSlot = 0
  /** Hosts that take part in the present update, to find duplicates: the number of the update by slot. */
  private claims = new Uint32Array(64)
  private update = 0

  constructor(cluster: HostCluster) {
    this.cluster = cluster
  }

  /**
   * Makes the table equal to `localities`. `keep` may hold back a host from removal (it stays, in last place). The same address twice
   * is one host, the first mention counts.
   */
  apply(localities: readonly LocalityEndpoints[], interest: MetadataInterest, keep: (host: Host) => boolean): HostChanges {
    const old = this.hosts
    const next: Host[] = []
    const added: Host[] = []
    const updated: Host[] = []
    this.update++
    // Hosts that stand where they stood need no look into the map: nearly all, nearly always.
    let guess = 0
    let maxWeight = 0
    for (const group of localities) {
      if (group.priority >= MAX_PRIORITIES) continue
      for (const endpoint of group.endpoints) {
        if (next.length >= MAX_HOSTS) break
        while (guess < old.length && this.claims[old[guess]!.slot] === this.update) guess++
        let host: Host | undefined = old[guess]
        if (host === undefined || !sameAddress(host.endpoint.address, endpoint.address)) {
          const after = old[guess + 1]
          if (after !== undefined && sameAddress(after.endpoint.address, endpoint.address)) {
            host = after
            guess++
          } else host = this.byKey.get(formatAddress(endpoint.address))
        }
        if (host === undefined) {
          host = this.create(endpoint, group)
          added.push(host)
        } else if (this.claims[host.slot] === this.update) {
          continue
        } else {
          if (host === old[guess]) guess++
          if (reuse(host, endpoint, group, interest)) updated.push(host)
        }
        this.claims[host.slot] = this.update
        if (endpoint.weight > maxWeight) maxWeight = endpoint.weight
        host.position = next.length
        next.push(host)
      }
    }
    this.maxWeight = maxWeight
    const removed: Host[] = []
    if (next.length - added.length < old.length) {
      for (const host of old) {
        if (this.claims[host.slot] === this.update) continue
        if (keep(host)) {
          host.position = next.length
          next.push(host)
        } else removed.push(host)
      }
      for (const host of removed) this.forget(host)
    }
    if (added.length === 0 && removed.length === 0 && updated.length === 0 && sameOrder(old, next)) return NOTHING
    this.hosts = next
    return { added, removed, updated }
  }

  /** Adds one host (ORIGINAL_DST). */
  add(endpoint: Endpoint, group: LocalityEndpoints): Host {
    const host = this.create(endpoint, group)
    host.position = this.hosts.length
    this.hosts = [...this.hosts, host]
    return host
  }

  remove(gone: ReadonlySet<Host>): void {
    this.hosts = this.hosts.filter(host => !gone.has(host))
    for (const host of gone) this.forget(host)
  }

  private create(endpoint: Endpoint, group: LocalityEndpoints): Host {
    const host = new Host(this.cluster, endpoint, endpoint.address, group.priority, group.locality)
    host.slot = this.freeSlots.pop() ?? this.nextSlot++
    if (host.slot >= this.claims.length) {
      const grown = new Uint32Array(this.claims.length * 2)
      grown.set(this.claims)
      this.claims = grown
    }
    this.byKey.set(host.key, host)
    return host
  }

  private forget(host: Host): void {
    host.removed = true
    this.byKey.delete(host.key)
    this.claims[host.slot] = 0
    this.freeSlots.push(host.slot)
  }
}

/** Takes over what is new; true when something differs that counts. */
function reuse(host: Host, endpoint: Endpoint, group: LocalityEndpoints, interest: MetadataInterest): boolean {
  let changed = false
  const old = host.endpoint
  if (old !== endpoint) {
    const sameMeta = metadataAgrees(old.metadata, endpoint.metadata, interest)
    changed = !sameMeta || !sameFields(old, endpoint)
    // Subsets tell changed metadata by its identity: equal metadata stays the same object.
    if (interest !== 'all') host.endpoint = endpoint
    else if (changed) host.endpoint = sameMeta ? { ...endpoint, metadata: old.metadata } : endpoint
  }
  if (changed) host.hashKey = ''
  if (host.priority !== group.priority) {
    host.priority = group.priority
    changed = true
  }
  if (!sameLocality(host.locality, group.locality)) {
    host.locality = group.locality
    changed = true
  }
  return changed
}

function sameOrder(a: readonly Host[], b: readonly Host[]): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

function sameAddress(a: Address, b: Address): boolean {
  if (a === b) return true
  if (a.kind === 'socket') return b.kind === 'socket' && a.port === b.port && a.host === b.host
  return b.kind === 'pipe' && a.path === b.path
}

function sameFields(a: Endpoint, b: Endpoint): boolean {
  return (
    a.weight === b.weight &&
    a.health === b.health &&
    a.healthCheckPort === b.healthCheckPort &&
    a.disableActiveHealthCheck === b.disableActiveHealthCheck &&
    a.hostname === b.hostname &&
    a.healthCheckHostname === b.healthCheckHostname
  )
}

function metadataAgrees(a: Metadata, b: Metadata, interest: MetadataInterest): boolean {
  if (interest === 'none' || a === b) return true
  if (interest === 'all') return sameMetadata(a, b)
  return hashKeyOfMetadata(a) === hashKeyOfMetadata(b)
}

function sameMetadata(a: Metadata, b: Metadata): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  if (a.size === 0) return true
  // Nearly always there is just this one namespace.
  const lb = a.get(LB_METADATA)
  const otherLb = b.get(LB_METADATA)
  if (lb !== undefined && otherLb !== undefined && !sameJson(lb, otherLb)) return false
  if (a.size === 1 && lb !== undefined) return otherLb !== undefined
  for (const [namespace, value] of a) {
    const other = b.get(namespace)
    if (other === undefined || !sameJson(value, other)) return false
  }
  return true
}

// HOT: once an endpoint of every update. for-in makes no array of keys.
function sameJson(a: JsonValue, b: JsonValue): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => sameJson(item, b[i]))
  }
  const left = a as { readonly [key: string]: JsonValue }
  const right = b as { readonly [key: string]: JsonValue }
  let count = 0
  for (const key in left) {
    const other = right[key]
    if (other === undefined || !sameJson(left[key]!, other)) return false
    count++
  }
  for (const _key in right) count--
  return count === 0
}
