// Sums of traffic by slots of time, for as long as the ring reaches back: an edge has one of fine slots and one of coarse ones. Filled and
// read by observed-traffic.ts. Invariant: its size is fixed from the first record on, whatever comes; a slot that time has passed counts
// nothing.
import { LATENCY_BOUNDS_MS } from '../../xds/load-reports/load-report.js'

/** One of each bound, and one for what took longer. */
export const LATENCY_BUCKETS = LATENCY_BOUNDS_MS.length + 1

/** What one proxy did in one interval. */
export interface TrafficLoad {
  readonly successes: number
  readonly failures: number
  /** Finished requests by LATENCY_BOUNDS_MS: bucket, count, bucket, count; empty where the proxy does not say. */
  readonly latencies: readonly number[]
}

export class TrafficSums {
  successes = 0
  failures = 0
  readonly latencies = new Float64Array(LATENCY_BUCKETS)
  /** Some slot of the window has a report. */
  reported = false

  clear(): void {
    this.successes = 0
    this.failures = 0
    this.latencies.fill(0)
    this.reported = false
  }
}

export class TrafficRing {
  private readonly slotMs: number
  private readonly slots: number
  /** The slot of time that each place holds; -1 = none yet. */
  private readonly held: Float64Array
  private readonly successes: Float64Array
  private readonly failures: Float64Array
  /** Made with the first latency: connections and Envoy's reports have none. */
  private latencies: Uint32Array | null = null

  constructor(slotMs: number, slots: number) {
    this.slotMs = slotMs
    this.slots = slots
    this.held = new Float64Array(slots).fill(-1)
    this.successes = new Float64Array(slots)
    this.failures = new Float64Array(slots)
  }

  add(at: number, { successes, failures, latencies }: TrafficLoad): void {
    const place = this.placeFor(Math.floor(at / this.slotMs))
    this.successes[place]! += successes
    this.failures[place]! += failures
    if (latencies.length === 0) return
    this.latencies ??= new Uint32Array(this.slots * LATENCY_BUCKETS)
    for (let i = 0; i + 1 < latencies.length; i += 2) this.latencies[place * LATENCY_BUCKETS + latencies[i]!]! += latencies[i + 1]!
  }

  holds(slot: number): boolean {
    return this.held[slot % this.slots] === slot
  }

  /** Adds what `slot` has to `sums`. */
  addTo(sums: TrafficSums, slot: number): void {
    if (!this.holds(slot)) return
    const place = slot % this.slots
    sums.reported = true
    sums.successes += this.successes[place]!
    sums.failures += this.failures[place]!
    if (this.latencies === null) return
    const first = place * LATENCY_BUCKETS
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) sums.latencies[bucket]! += this.latencies[first + bucket]!
  }

  private placeFor(slot: number): number {
    const place = slot % this.slots
    if (this.held[place] === slot) return place
    this.held[place] = slot
    this.successes[place] = 0
    this.failures[place] = 0
    this.latencies?.fill(0, place * LATENCY_BUCKETS, (place + 1) * LATENCY_BUCKETS)
    return place
  }
}

export interface Quantiles {
  readonly p50: number | null
  readonly p90: number | null
  readonly p99: number | null
}

const NO_QUANTILES: Quantiles = { p50: null, p90: null, p99: null }

/**
 * Milliseconds below which that share of the requests lies, evenly spread within a bucket; null without any. What took longer than the last bound is
 * said to have taken that.
 */
export function quantilesOf(latencies: Float64Array): Quantiles {
  let total = 0
  for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) total += latencies[bucket]!
  if (total === 0) return NO_QUANTILES
  return { p50: quantileOf(latencies, total * 0.5), p90: quantileOf(latencies, total * 0.9), p99: quantileOf(latencies, total * 0.99) }
}

function quantileOf(latencies: Float64Array, rank: number): number {
  let below = 0
  for (let bucket = 0; bucket < LATENCY_BOUNDS_MS.length; bucket++) {
    const count = latencies[bucket]!
    if (count > 0 && below + count >= rank) {
      const lower = bucket === 0 ? 0 : LATENCY_BOUNDS_MS[bucket - 1]!
      return lower + ((LATENCY_BOUNDS_MS[bucket]! - lower) * Math.max(0, rank - below)) / count
    }
    below += count
  }
  return LATENCY_BOUNDS_MS.at(-1)!
}
