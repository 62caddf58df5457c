// Maglev lookup table with Envoy's rules (Eisenbud et al., NSDI 2016, section 3.4; weights by turns). Used by hash-load-balancer.
// A full build of 65,537 places costs milliseconds, so all but the first run in slices between requests, while the old table serves;
// places of hosts that are gone meanwhile fall to their next living neighbour.

//   idle --update--> building --slices--> idle
//                       ^  \--update--> building (from the start)

import type { Gauge } from '../../metrics/stat.js'
import type { ClusterStats } from '../../metrics/stat-names.js'
import { type Hash64, xxHash64Into } from '../hash/xx-hash.js'
import { hashKeyOf } from '../host/hash-key.js'
import type { Host } from '../host/host.js'
import type { HashTable, WeightedHosts } from './hash-table.js'
import { SlotTable } from './slot-table.js'

/** Probes per slice: well under half a millisecond. */
const PROBES_PER_SLICE = 16_384
/** Neighbours looked at while a table still names hosts that are gone. */
const MAX_NEIGHBOURS = 256

interface Sorted {
  readonly hosts: Host[]
  readonly keys: string[]
  readonly weights: Float64Array
  readonly offsets: Uint32Array
  readonly skips: Uint32Array
}

interface Build {
  readonly sorted: Sorted
  readonly maxWeight: number
  readonly table: Int32Array
  readonly positions: Uint32Array
  readonly targets: Float64Array
  readonly counts: Uint32Array
  iteration: number
  entry: number
  filled: number
}

const oldIndex = new SlotTable()
const newIndex = new SlotTable()
const hash: Hash64 = { hi: 0, lo: 0 }

export class MaglevTable implements HashTable {
  private readonly size: number
  private readonly useHostname: boolean
  private readonly fewestGauge: Gauge
  private readonly mostGauge: Gauge
  private readonly defer: (step: () => void) => void
  private hosts: readonly Host[] = []
  private table: Int32Array = new Int32Array(0)
  private sorted: Sorted = { hosts: [], keys: [], weights: new Float64Array(0), offsets: new Uint32Array(0), skips: new Uint32Array(0) }
  private build: Build | null = null
  private sliceAsked = false

  /** `size` must be a prime; config validation has checked it. */
  constructor(size: number, useHostname: boolean, stats: ClusterStats, defer: (step: () => void) => void) {
    this.size = size
    this.useHostname = useHostname
    this.fewestGauge = stats.scope.gauge('maglev_lb.min_entries_per_host')
    this.mostGauge = stats.scope.gauge('maglev_lb.max_entries_per_host')
    this.defer = defer
  }

  update(weighted: WeightedHosts): void {
    const sorted = this.sort(weighted)
    if (sorted.hosts.length > 0 && sameEntries(sorted, this.sorted)) return
    this.sorted = sorted
    if (weighted.hosts.length === 0) {
      this.build = null
      this.hosts = []
      this.table = new Int32Array(0)
      return
    }
    const count = weighted.hosts.length
    this.build = {
      sorted: this.sorted,
      maxWeight: weighted.maxWeight,
      table: new Int32Array(this.size).fill(-1),
      positions: this.sorted.offsets.slice(),
      targets: new Float64Array(count),
      counts: new Uint32Array(count),
      iteration: 1,
      entry: 0,
      filled: 0,
    }
    if (this.table.length === 0) this.finish()
    else this.askForSlice()
  }

  private finish(): void {
    while (this.build !== null) this.slice(Number.MAX_SAFE_INTEGER)
  }

  // HOT: a remainder and a load.
  choose(hi: number, lo: number, attempt: number): Host | null {
    if (this.table.length === 0) return null
    if (attempt > 0) {
      // hash ^= ~0 - attempt + 1: flips most bits, so that attempts spread over the table.
      hi = ~hi >>> 0
      lo = (lo ^ -attempt) >>> 0
    }
    let place = ((hi % this.size) * (4294967296 % this.size) + lo) % this.size
    if (this.build === null) return this.hosts[this.table[place]!]!
    for (let i = 0; i < MAX_NEIGHBOURS; i++) {
      const host = this.hosts[this.table[place]!]!
      if (!host.removed && host.healthy) return host
      if (++place === this.size) place = 0
    }
    this.finish()
    return this.choose(hi, lo, 0)
  }

  private askForSlice(): void {
    if (this.sliceAsked) return
    this.sliceAsked = true
    this.defer(() => {
      this.sliceAsked = false
      if (this.build === null) return
      this.slice(PROBES_PER_SLICE)
      if (this.build !== null) this.askForSlice()
    })
  }

  private slice(probes: number): void {
    const build = this.build!
    const { size } = this
    const { table, positions, targets, counts, maxWeight } = build
    const { skips, weights } = build.sorted
    const hosts = build.sorted.hosts.length
    let left = probes
    while (build.filled < size) {
      if (build.entry === hosts) {
        build.entry = 0
        build.iteration++
      }
      const i = build.entry++
      // A host of a third of the largest weight takes a place every third turn.
      if (build.iteration * weights[i]! < targets[i]!) {
        if (--left <= 0) return
        continue
      }
      targets[i]! += maxWeight
      const skip = skips[i]!
      let place = positions[i]!
      while (table[place] !== -1) {
        place += skip
        if (place >= size) place -= size
        left--
      }
      table[place] = i
      place += skip
      positions[i] = place >= size ? place - size : place
      counts[i]!++
      build.filled++
      if (--left <= 0 && build.filled < size) return
    }
    this.swap(build)
  }

  private swap(build: Build): void {
    this.build = null
    this.table = build.table
    this.hosts = build.sorted.hosts
    let fewest = this.size
    let most = 0
    for (const count of build.counts) {
      if (count < fewest) fewest = count
      if (count > most) most = count
    }
    this.fewestGauge.value = fewest
    this.mostGauge.value = most
  }

  /** Hosts in the order of their keys; order, offsets and skips of those that stay are taken over from the last time. */
  private sort({ hosts, weights }: WeightedHosts): Sorted {
    const old = this.sorted
    const count = hosts.length
    oldIndex.clear()
    for (let i = 0; i < old.hosts.length; i++) if (!old.hosts[i]!.removed) oldIndex.set(old.hosts[i]!.slot, i)
    newIndex.clear()
    const fresh: { host: Host; key: string; index: number }[] = []
    let stay = 0
    for (let i = 0; i < count; i++) {
      const host = hosts[i]!
      if (oldIndex.has(host.slot) && hashKeyOf(host, this.useHostname) === old.keys[oldIndex.get(host.slot)]) {
        newIndex.set(host.slot, i)
        stay++
      } else fresh.push({ host, key: hashKeyOf(host, this.useHostname), index: i })
    }
    fresh.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    const sorted: Sorted = {
      hosts: new Array<Host>(count),
      keys: new Array<string>(count),
      weights: new Float64Array(count),
      offsets: new Uint32Array(count),
      skips: new Uint32Array(count),
    }
    let at = 0
    let f = 0
    for (let i = 0; i < old.hosts.length && stay > 0; i++) {
      const host = old.hosts[i]!
      if (host.removed || !newIndex.has(host.slot)) continue
      const key = old.keys[i]!
      while (f < fresh.length && fresh[f]!.key < key) this.place(sorted, at++, fresh[f]!, weights[fresh[f++]!.index]!)
      sorted.hosts[at] = host
      sorted.keys[at] = key
      sorted.weights[at] = weights[newIndex.get(host.slot)]!
      sorted.offsets[at] = old.offsets[i]!
      sorted.skips[at++] = old.skips[i]!
    }
    while (f < fresh.length) this.place(sorted, at++, fresh[f]!, weights[fresh[f++]!.index]!)
    return sorted
  }

  private place(sorted: Sorted, at: number, entry: { host: Host; key: string }, weight: number): void {
    sorted.hosts[at] = entry.host
    sorted.keys[at] = entry.key
    sorted.weights[at] = weight
    xxHash64Into(hash, entry.key, 0)
    sorted.offsets[at] = remainder(hash, this.size)
    xxHash64Into(hash, entry.key, 1)
    sorted.skips[at] = remainder(hash, this.size - 1) + 1
  }
}

function sameEntries(a: Sorted, b: Sorted): boolean {
  if (a.hosts.length !== b.hosts.length) return false
  for (let i = 0; i < a.hosts.length; i++)
    if (a.hosts[i] !== b.hosts[i] || a.weights[i] !== b.weights[i] || a.keys[i] !== b.keys[i]) return false
  return true
}

/** 64-bit value modulo `size` (< 2^26, so every product stays exact). */
function remainder(value: Hash64, size: number): number {
  return ((value.hi % size) * (4294967296 % size) + value.lo) % size
}
