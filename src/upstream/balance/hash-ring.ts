// Ketama ring with Envoy's rules: the hash of `<key>_<i>` puts a host on the ring, as often as its weight demands
// (Envoy docs: intro/arch_overview/upstream/load_balancing/load_balancers, ring hash). Used by hash-load-balancer.
// A change computes only the hashes of entries that come or go and copies the rest in long runs.
// Invariant: hi/lo/slots are sorted by the 64-bit hash; `bySlot` names the owner of each slot on the ring.

import type { Gauge } from '../../metrics/stat.js'
import type { ClusterStats } from '../../metrics/stat-names.js'
import { murmurHash64 } from '../hash/murmur-hash.js'
import { type Hash64, xxHash64Into } from '../hash/xx-hash.js'
import { hashKeyOf } from '../host/hash-key.js'
import type { Host } from '../host/host.js'
import type { HashTable, WeightedHosts } from './hash-table.js'

export interface HashRingOptions {
  readonly minRingSize: number
  readonly maxRingSize: number
  readonly hashFunction: 'XX_HASH' | 'MURMUR_HASH_2'
  readonly useHostname: boolean
}

/** Parallel arrays: halves of the hash, slot of the owner. */
interface Entries {
  readonly hi: Uint32Array
  readonly lo: Uint32Array
  readonly slots: Uint32Array
}

/** Entries of one host that come or go: `key_from` up to, not including, `key_to`. */
interface Stretch {
  readonly slot: number
  readonly key: string
  readonly from: number
  readonly to: number
}

/** A host on the ring: its key and how many entries it has. */
interface Place {
  readonly host: Host
  readonly key: string
  count: number
  /** Number of the update that saw it last. */
  seen: number
}

const hash: Hash64 = { hi: 0, lo: 0 }

export class HashRing implements HashTable {
  private readonly options: HashRingOptions
  private readonly sizeGauge: Gauge
  private readonly fewestGauge: Gauge
  private readonly mostGauge: Gauge
  private ring: Entries = emptyEntries(0)
  private readonly places: (Place | undefined)[] = []
  private readonly bySlot: (Host | undefined)[] = []
  /** Slots that have a place. */
  private occupied: number[] = []
  private updates = 0

  constructor(options: HashRingOptions, stats: ClusterStats) {
    this.options = options
    this.sizeGauge = stats.scope.gauge('ring_hash_lb.size')
    this.fewestGauge = stats.scope.gauge('ring_hash_lb.min_hashes_per_host')
    this.mostGauge = stats.scope.gauge('ring_hash_lb.max_hashes_per_host')
  }

  update(weighted: WeightedHosts): void {
    const { hosts, weights, minWeight } = weighted
    const { useHostname } = this.options
    const update = ++this.updates
    const come: Stretch[] = []
    const go: Stretch[] = []
    const fresh: Place[] = []
    // Running sums, so that fractions of an entry even out over the hosts.
    const scale = hosts.length === 0 ? 0 : Math.min(Math.ceil(minWeight * this.options.minRingSize) / minWeight, this.options.maxRingSize)
    let made = 0
    let target = 0
    let fewest = Math.ceil(scale)
    let most = 0
    for (let i = 0; i < hosts.length; i++) {
      const host = hosts[i]!
      target += scale * weights[i]!
      const count = Math.max(0, Math.ceil(target) - made)
      made += count
      if (count < fewest) fewest = count
      if (count > most) most = count
      const { slot } = host
      const place = this.places[slot]
      const key = hashKeyOf(host, useHostname)
      if (place !== undefined && place.host === host && place.key === key) {
        place.seen = update
        if (place.count === count) continue
        if (count > place.count) come.push({ slot, key, from: place.count, to: count })
        else go.push({ slot, key, from: count, to: place.count })
        place.count = count
      } else {
        if (place !== undefined) {
          // Another host had the slot, or this one had another key.
          go.push({ slot, key: place.key, from: 0, to: place.count })
          place.seen = update
        }
        come.push({ slot, key, from: 0, to: count })
        fresh.push({ host, key, count, seen: update })
      }
    }
    let left = false
    for (const slot of this.occupied) {
      const place = this.places[slot]!
      if (place.seen === update) continue
      left = true
      go.push({ slot, key: place.key, from: 0, to: place.count })
      this.places[slot] = undefined
      this.bySlot[slot] = undefined
    }
    for (const place of fresh) {
      this.places[place.host.slot] = place
      this.bySlot[place.host.slot] = place.host
    }
    if (fresh.length > 0 || left) this.occupied = hosts.map(host => host.slot)
    if (come.length > 0 || go.length > 0) this.ring = replaceEntries(this.ring, this.entriesOf(go), this.entriesOf(come))
    this.sizeGauge.value = Math.ceil(scale)
    this.fewestGauge.value = fewest
    this.mostGauge.value = most
  }

  // HOT: a binary search over one Uint32Array.
  choose(hi: number, lo: number, attempt: number): Host | null {
    const { ring } = this
    const size = ring.hi.length
    if (size === 0) return null
    const at = lowerBound(ring, hi, lo)
    // Past the last entry the ring starts again; a further attempt goes on along the ring.
    return this.bySlot[ring.slots[(at + attempt) % size]!]!
  }

  private entriesOf(stretches: readonly Stretch[]): Entries {
    let total = 0
    for (const { from, to } of stretches) total += to - from
    const entries = emptyEntries(total)
    let at = 0
    for (const { slot, key, from, to } of stretches) {
      const prefix = `${key}_`
      for (let i = from; i < to; i++) {
        this.hash(prefix + i)
        entries.hi[at] = hash.hi
        entries.lo[at] = hash.lo
        entries.slots[at++] = slot
      }
    }
    return sortEntries(entries)
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

function emptyEntries(count: number): Entries {
  return { hi: new Uint32Array(count), lo: new Uint32Array(count), slots: new Uint32Array(count) }
}

/** Index of the first entry whose hash is at least the given one. */
function lowerBound(entries: Entries, hi: number, lo: number): number {
  let low = 0
  let high = entries.hi.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const at = entries.hi[middle]!
    if (at < hi || (at === hi && entries.lo[middle]! < lo)) low = middle + 1
    else high = middle
  }
  return low
}

/** `old` without `go` (which are in it) and with `come`; all sorted. What lies between is copied in runs. */
function replaceEntries(old: Entries, go: Entries, come: Entries): Entries {
  if (old.hi.length === 0) return come
  const next = emptyEntries(old.hi.length - go.hi.length + come.hi.length)
  let from = 0
  let to = 0
  let g = 0
  let c = 0
  while (g < go.hi.length || c < come.hi.length) {
    const isGo =
      c >= come.hi.length || (g < go.hi.length && (go.hi[g]! < come.hi[c]! || (go.hi[g] === come.hi[c] && go.lo[g]! <= come.lo[c]!)))
    let stop: number
    if (isGo) {
      stop = lowerBound(old, go.hi[g]!, go.lo[g]!)
      // Equal hashes of two hosts: the right one goes.
      while (old.slots[stop] !== go.slots[g]) stop++
      g++
    } else stop = Math.max(from, lowerBound(old, come.hi[c]!, come.lo[c]!))
    copyRun(old, next, from, stop, to)
    to += stop - from
    if (isGo) from = stop + 1
    else {
      next.hi[to] = come.hi[c]!
      next.lo[to] = come.lo[c]!
      next.slots[to++] = come.slots[c++]!
      from = stop
    }
  }
  copyRun(old, next, from, old.hi.length, to)
  return next
}

/** Runs shorter than this are copied by hand: a subarray costs more. */
const SHORT_RUN = 32

function copyRun(source: Entries, target: Entries, from: number, end: number, to: number): void {
  if (end - from < SHORT_RUN) {
    for (let i = from; i < end; i++, to++) {
      target.hi[to] = source.hi[i]!
      target.lo[to] = source.lo[i]!
      target.slots[to] = source.slots[i]!
    }
    return
  }
  target.hi.set(source.hi.subarray(from, end), to)
  target.lo.set(source.lo.subarray(from, end), to)
  target.slots.set(source.slots.subarray(from, end), to)
}

/** Below this, insertion sort: the radix sort's tables cost more. */
const SMALL_SORT = 64

/** Radix sort by the upper half, then insertion among equal upper halves (rare). */
function sortEntries(entries: Entries): Entries {
  const count = entries.hi.length
  if (count < SMALL_SORT) return reorder(entries, insertionSort(entries, identity(count)))
  let order = identity(count)
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
  return reorder(entries, insertionSort(entries, order))
}

function identity(count: number): Uint32Array<ArrayBuffer> {
  const order = new Uint32Array(count)
  for (let i = 0; i < count; i++) order[i] = i
  return order
}

/** Linear where the order is nearly right. */
function insertionSort(entries: Entries, order: Uint32Array): Uint32Array {
  const { hi, lo } = entries
  for (let i = 1; i < order.length; i++) {
    const moving = order[i]!
    let at = i
    for (; at > 0; at--) {
      const before = order[at - 1]!
      if (hi[before]! < hi[moving]! || (hi[before] === hi[moving] && lo[before]! <= lo[moving]!)) break
      order[at] = before
    }
    order[at] = moving
  }
  return order
}

function reorder(entries: Entries, order: Uint32Array): Entries {
  const sorted = emptyEntries(order.length)
  for (let i = 0; i < order.length; i++) {
    const from = order[i]!
    sorted.hi[i] = entries.hi[from]!
    sorted.lo[i] = entries.lo[from]!
    sorted.slots[i] = entries.slots[from]!
  }
  return sorted
}
