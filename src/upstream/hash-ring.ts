// Ketama ring with Envoy's rules: the hash of `<key>_<i>` puts a host on the ring, as often as its weight demands
// (Envoy docs: intro/arch_overview/upstream/load_balancing/load_balancers, ring hash). Used by hash-load-balancer.
// A change of a few hosts takes their entries out of the sorted ring and merges the new ones in; hashes of hosts that stay are never
// computed again. Invariant: hi/lo/owners are sorted by the 64-bit hash.

import type { Gauge } from '../metrics/stat.js'
import type { ClusterStats } from '../metrics/stat-names.js'
import type { HashTable, WeightedHosts } from './hash-table.js'
import { hashKeyOf } from './hash-table.js'
import type { Host } from './host.js'
import { murmurHash64 } from './murmur-hash.js'
import { SlotTable } from './slot-table.js'
import { type Hash64, xxHash64Into } from './xx-hash.js'

export interface HashRingOptions {
  readonly minRingSize: number
  readonly maxRingSize: number
  readonly hashFunction: 'XX_HASH' | 'MURMUR_HASH_2'
  readonly useHostname: boolean
}

interface Entries {
  readonly hi: Uint32Array
  readonly lo: Uint32Array
  readonly owners: Host[]
}

/** Most virtual nodes that may be asked for (Envoy's limit of both ring sizes). */
export const maxRingSize = 8 * 1024 * 1024

// Counts of the ring that is replaced, and hosts whose entries stay; scratch of update().
const oldCounts = new SlotTable()
const kept = new SlotTable()
const hash: Hash64 = { hi: 0, lo: 0 }

export class HashRing implements HashTable {
  private readonly options: HashRingOptions
  private readonly sizeGauge: Gauge
  private readonly fewestGauge: Gauge
  private readonly mostGauge: Gauge
  private ring: Entries = { hi: new Uint32Array(0), lo: new Uint32Array(0), owners: [] }
  private hosts: readonly Host[] = []
  private counts = new Int32Array(0)
  /** Hash keys of `hosts` where they are not the address: they can change with the metadata. */
  private customKeys = new Map<Host, string>()

  constructor(options: HashRingOptions, stats: ClusterStats) {
    this.options = options
    const scope = stats.scope.scope('ring_hash_lb')
    this.sizeGauge = scope.gauge('size')
    this.fewestGauge = scope.gauge('min_hashes_per_host')
    this.mostGauge = scope.gauge('max_hashes_per_host')
  }

  finish(): void {}

  update(weighted: WeightedHosts): void {
    const counts = this.countEntries(weighted)
    oldCounts.clear()
    for (let i = 0; i < this.hosts.length; i++) if (!this.hosts[i]!.removed) oldCounts.set(this.hosts[i]!.slot, this.counts[i]!)
    kept.clear()
    let keptEntries = 0
    const fresh: Host[] = []
    const freshCounts: number[] = []
    const customKeys = new Map<Host, string>()
    for (let i = 0; i < weighted.hosts.length; i++) {
      const host = weighted.hosts[i]!
      const count = counts[i]!
      const sameKey = this.keepsKey(host, customKeys)
      if (sameKey && oldCounts.has(host.slot) && oldCounts.get(host.slot) === count) {
        kept.set(host.slot, 1)
        keptEntries += count
      } else {
        fresh.push(host)
        freshCounts.push(count)
      }
    }
    if (fresh.length > 0 || keptEntries !== this.ring.owners.length) {
      this.ring = merge(this.ring, keptEntries, this.entriesOf(fresh, freshCounts))
    }
    this.hosts = weighted.hosts
    this.counts = counts
    this.customKeys = customKeys
  }

  // HOT: a binary search over one Uint32Array.
  choose(hi: number, lo: number, attempt: number): Host | null {
    const { ring } = this
    const size = ring.owners.length
    if (size === 0) return null
    let low = 0
    let high = size
    while (low < high) {
      const middle = (low + high) >>> 1
      const at = ring.hi[middle]!
      if (at < hi || (at === hi && ring.lo[middle]! < lo)) low = middle + 1
      else high = middle
    }
    // Past the last entry the ring starts again; a further attempt goes on along the ring.
    return ring.owners[(low + attempt) % size]!
  }

  /** Whether the key is the one the present entries were made with; notes keys that are not the plain address. */
  private keepsKey(host: Host, customKeys: Map<Host, string>): boolean {
    if (!this.options.useHostname && host.endpoint.metadata.size === 0) return this.customKeys.size === 0 || !this.customKeys.has(host)
    const key = hashKeyOf(host, this.options.useHostname)
    const plain = key === host.addressText
    if (!plain) customKeys.set(host, key)
    return plain ? !this.customKeys.has(host) : this.customKeys.get(host) === key
  }

  /** How many entries each host gets, with running sums so that fractions even out over the hosts. */
  private countEntries({ hosts, weights, minWeight }: WeightedHosts): Int32Array {
    const counts = new Int32Array(hosts.length)
    if (hosts.length === 0) return counts
    const scale = Math.min(Math.ceil(minWeight * this.options.minRingSize) / minWeight, this.options.maxRingSize)
    let made = 0
    let target = 0
    let fewest = Math.ceil(scale)
    let most = 0
    for (let i = 0; i < hosts.length; i++) {
      target += scale * weights[i]!
      const count = Math.max(0, Math.ceil(target) - made)
      counts[i] = count
      made += count
      if (count < fewest) fewest = count
      if (count > most) most = count
    }
    this.sizeGauge.value = Math.ceil(scale)
    this.fewestGauge.value = fewest
    this.mostGauge.value = most
    return counts
  }

  private entriesOf(hosts: readonly Host[], counts: readonly number[]): Entries {
    const total = counts.reduce((sum, n) => sum + n, 0)
    const hi = new Uint32Array(total)
    const lo = new Uint32Array(total)
    const owners = new Array<Host>(total)
    let at = 0
    for (let h = 0; h < hosts.length; h++) {
      const key = `${hashKeyOf(hosts[h]!, this.options.useHostname)}_`
      for (let i = 0; i < counts[h]!; i++) {
        this.hash(key + i)
        hi[at] = hash.hi
        lo[at] = hash.lo
        owners[at++] = hosts[h]!
      }
    }
    return sortEntries({ hi, lo, owners })
  }

  private hash(text: string): void {
    if (this.options.hashFunction === 'XX_HASH') {
      xxHash64Into(hash, text)
      return
    }
    const value = murmurHash64(Buffer.from(text, 'latin1'))
    hash.hi = Number(value >> 32n)
    hash.lo = Number(value & 0xffffffffn)
  }
}

/** Radix sort by the upper half, then insertion among equal upper halves (rare). */
function sortEntries(entries: Entries): Entries {
  const count = entries.owners.length
  let order = new Uint32Array(count)
  for (let i = 0; i < count; i++) order[i] = i
  let next = new Uint32Array(count)
  const starts = new Uint32Array(65537)
  for (const shift of [0, 16]) {
    starts.fill(0)
    for (let i = 0; i < count; i++) starts[((entries.hi[i]! >>> shift) & 0xffff) + 1]!++
    for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!
    for (let i = 0; i < count; i++) {
      const digit = (entries.hi[order[i]!]! >>> shift) & 0xffff
      next[starts[digit]!++] = order[i]!
    }
    ;[order, next] = [next, order]
  }
  for (let i = 1; i < count; i++) {
    const moving = order[i]!
    let at = i
    while (at > 0 && entries.hi[order[at - 1]!]! === entries.hi[moving]! && entries.lo[order[at - 1]!]! > entries.lo[moving]!) {
      order[at] = order[at - 1]!
      at--
    }
    order[at] = moving
  }
  const hi = new Uint32Array(count)
  const lo = new Uint32Array(count)
  const owners = new Array<Host>(count)
  for (let i = 0; i < count; i++) {
    const from = order[i]!
    hi[i] = entries.hi[from]!
    lo[i] = entries.lo[from]!
    owners[i] = entries.owners[from]!
  }
  return { hi, lo, owners }
}

/** The old entries whose hosts are marked as kept, merged with new ones; all sorted. */
function merge(old: Entries, keptEntries: number, fresh: Entries): Entries {
  if (keptEntries === 0) return fresh
  const total = keptEntries + fresh.owners.length
  const hi = new Uint32Array(total)
  const lo = new Uint32Array(total)
  const owners = new Array<Host>(total)
  let at = 0
  let f = 0
  for (let i = 0; i < old.owners.length; i++) {
    const owner = old.owners[i]!
    if (owner.removed || !kept.has(owner.slot)) continue
    const oldHi = old.hi[i]!
    const oldLo = old.lo[i]!
    while (f < fresh.owners.length && (fresh.hi[f]! < oldHi || (fresh.hi[f] === oldHi && fresh.lo[f]! < oldLo))) {
      hi[at] = fresh.hi[f]!
      lo[at] = fresh.lo[f]!
      owners[at++] = fresh.owners[f++]!
    }
    hi[at] = oldHi
    lo[at] = oldLo
    owners[at++] = owner
  }
  for (; f < fresh.owners.length; f++) {
    hi[at] = fresh.hi[f]!
    lo[at] = fresh.lo[f]!
    owners[at++] = fresh.owners[f]!
  }
  return { hi, lo, owners }
}
