// A log-linear histogram with the resolution of Envoy's: two significant decimal digits (90 bins a decade, plus one for zero).
// Handles come from StatsStore; the request path only calls record(). Every stats flush moves the running interval into the totals,
// and the expositions read quantiles, bucket counts and an approximate sum from the bins.
// Invariant: bins hold counts only, so memory grows by whole decades with the largest value ever seen (at most 1441 bins) and
// record() allocates nothing once that decade exists.
import type { StatState } from './stat-state.js'

/** `percent` values are recorded as parts per million of one (0.5 -> 500 000) and shown as the fraction. */
export type HistogramUnit = 'unspecified' | 'milliseconds' | 'microseconds' | 'bytes' | 'percent'

/** The quantiles Envoy computes for every histogram. */
export const SUPPORTED_QUANTILES: readonly number[] = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1]

/** Upper bounds of the buckets shown when no `histogram_bucket_settings` matches (Envoy's defaults). */
export const DEFAULT_BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
]

const BINS_PER_DECADE = 90
const DECADES = 16
const MAX_BINS = 1 + BINS_PER_DECADE * DECADES
const PERCENT_SCALE = 1e6
const POWERS = Float64Array.from({ length: DECADES + 1 }, (_, e) => 10 ** e)

// Bin of every integer below 1000: these are nearly all latencies, and cost one load.
const SMALL_BINS = Uint16Array.from({ length: 1000 }, (_, n) => binOfDecade(n, n < 10 ? 0 : n < 100 ? 1 : 2))
// For a 32-bit integer with that many leading zero bits: the decade of the smallest number so long.
const DECADE_BY_LEADING_ZEROS = Uint8Array.from({ length: 33 }, (_, zeros) => (zeros > 31 ? 0 : Math.floor(Math.log10(2 ** (31 - zeros)))))

const NO_BINS = new Uint32Array(0)
const NO_TOTALS = new Float64Array(0)

/** One non-empty bin: values in [lower, lower + width). */
export interface Bin {
  readonly lower: number
  readonly width: number
  readonly count: number
}

export class Histogram implements StatState {
  readonly kind = 'histogram'
  refs = 0
  exposed = true
  standalone = false
  private running: Uint32Array = NO_BINS
  private runningCount = 0
  private last: Uint32Array = NO_BINS
  private lastCount = 0
  private totals: Float64Array = NO_TOTALS
  private totalCount = 0

  constructor(
    readonly name: string,
    readonly unit: HistogramUnit,
    /** Ascending upper bounds shown by the bucket expositions. */
    readonly buckets: readonly number[],
  ) {}

  /** Adds one value. Fractions are cut off, negative numbers and NaN count as 0. */
  // HOT: once or more per request; see bench/micro/metrics.bench.ts.
  record(value: number): void {
    let bin: number
    if (value < 1000) {
      bin = value >= 1 ? SMALL_BINS[value | 0]! : 0
    } else if (value < 0x80000000) {
      const n = value | 0
      let decade = DECADE_BY_LEADING_ZEROS[Math.clz32(n)]!
      if (n >= POWERS[decade + 1]!) decade++
      bin = 1 + BINS_PER_DECADE * decade + (((n / POWERS[decade - 1]!) | 0) - 10)
    } else bin = slowBin(value)
    if (bin >= this.running.length) this.grow(bin)
    this.running[bin]!++
    this.runningCount++
  }

  get used(): boolean {
    return this.totalCount + this.runningCount > 0
  }

  /** Values recorded since the start, the running interval included. */
  get sampleCount(): number {
    return this.totalCount + this.runningCount
  }

  /** Ends the running interval: it becomes the last one, and part of the totals. */
  flush(): void {
    if (this.runningCount === 0) {
      if (this.lastCount > 0) this.last.fill(0)
      this.lastCount = 0
      return
    }
    if (this.totals.length < this.running.length) {
      const grown = new Float64Array(this.running.length)
      grown.set(this.totals)
      this.totals = grown
    }
    for (let i = 0; i < this.running.length; i++) this.totals[i]! += this.running[i]!
    this.totalCount += this.runningCount
    const spare = this.last
    this.last = this.running
    this.lastCount = this.runningCount
    this.running = spare.length < this.last.length ? new Uint32Array(this.last.length) : spare.fill(0)
    this.runningCount = 0
  }

  /** Takes out what the running interval holds: bin, count, bin, count, ... Of a worker, whose totals are another process's. */
  takeRunning(): number[] {
    const taken: number[] = []
    if (this.runningCount === 0) return taken
    for (let i = 0; i < this.running.length; i++) if (this.running[i]! > 0) taken.push(i, this.running[i]!)
    this.running.fill(0)
    this.runningCount = 0
    return taken
  }

  /** Puts in what takeRunning gave elsewhere. */
  addRunning(bins: readonly number[]): void {
    for (let i = 0; i + 1 < bins.length; i += 2) {
      const bin = bins[i]!
      if (bin >= this.running.length) this.grow(bin)
      this.running[bin]! += bins[i + 1]!
      this.runningCount += bins[i + 1]!
    }
  }

  /** Non-empty bins in ascending order, of all time or of the last finished interval. */
  bins(interval: boolean): Bin[] {
    const scale = this.unit === 'percent' ? PERCENT_SCALE : 1
    const bins: Bin[] = []
    const length = interval ? this.last.length : Math.max(this.totals.length, this.running.length)
    for (let i = 0; i < length; i++) {
      const count = interval ? this.last[i]! : (this.totals[i] ?? 0) + (this.running[i] ?? 0)
      if (count > 0) bins.push({ lower: lowerOf(i) / scale, width: widthOf(i) / scale, count })
    }
    return bins
  }

  /** Adds to each of `counts` the values since the start that lie in its bucket (`bucketEnds`). Makes nothing. */
  // HOT: a load report asks every cluster's; a sum over a run of bins costs a fifth of a look into each.
  countInto(ends: Uint16Array, counts: Float64Array): void {
    const { totals, running } = this
    // Two loops, since arrays of two kinds in one would cost twice as much.
    for (let bucket = 0, bin = 0; bin < totals.length; bucket++) {
      const end = Math.min(ends[bucket]!, totals.length)
      let sum = 0
      for (; bin < end; bin++) sum += totals[bin]!
      counts[bucket]! += sum
    }
    for (let bucket = 0, bin = 0; bin < running.length; bucket++) {
      const end = Math.min(ends[bucket]!, running.length)
      let sum = 0
      for (; bin < end; bin++) sum += running[bin]!
      counts[bucket]! += sum
    }
  }

  private grow(bin: number): void {
    const decades = Math.ceil(bin / BINS_PER_DECADE)
    const grown = new Uint32Array(Math.max(1, Math.min(MAX_BINS, 1 + BINS_PER_DECADE * decades)))
    grown.set(this.running)
    this.running = grown
  }
}

/** A histogram where a sink wants to hear of each value: made in place of the plain one, which pays nothing for it. */
export class ObservedHistogram extends Histogram {
  private readonly observe: (histogram: Histogram, value: number) => void

  constructor(name: string, unit: HistogramUnit, buckets: readonly number[], observe: (histogram: Histogram, value: number) => void) {
    super(name, unit, buckets)
    this.observe = observe
  }

  override record(value: number): void {
    super.record(value)
    this.observe(this, value)
  }
}

/**
 * Approximate values at SUPPORTED_QUANTILES; NaN for each when there are no values. The k-th of n values of a bin is taken
 * to lie k/(n+1) of the way through it, as Envoy's histogram library does.
 */
export function quantilesOf(bins: readonly Bin[]): number[] {
  const total = sampleCountOf(bins)
  if (total === 0) return SUPPORTED_QUANTILES.map(() => Number.NaN)
  const values: number[] = []
  let index = 0
  let below = 0
  for (const quantile of SUPPORTED_QUANTILES) {
    const rank = Math.max(1, Math.ceil(total * quantile))
    while (below + bins[index]!.count < rank) below += bins[index++]!.count
    const bin = bins[index]!
    values.push(bin.lower + (bin.width * (rank - below)) / (bin.count + 1))
  }
  return values
}

export function sampleCountOf(bins: readonly Bin[]): number {
  return bins.reduce((sum, { count }) => sum + count, 0)
}

/** For each bound, how many values lie in bins that start at or below it (so the bin that holds the bound counts whole). */
export function cumulativeBuckets(bins: readonly Bin[], bounds: readonly number[]): number[] {
  const counts: number[] = []
  let index = 0
  let below = 0
  for (const bound of bounds) {
    while (index < bins.length && bins[index]!.lower <= bound) below += bins[index++]!.count
    counts.push(below)
  }
  return counts
}

/** For each of `bounds`, and for what is above all of them, the bin that ends the bucket: the values that cumulativeBuckets counts there first. */
export function bucketEnds(bounds: readonly number[]): Uint16Array {
  const ends = new Uint16Array(bounds.length + 1).fill(MAX_BINS)
  let bin = 0
  bounds.forEach((bound, bucket) => {
    while (bin < MAX_BINS && lowerOf(bin) <= bound) bin++
    ends[bucket] = bin
  })
  return ends
}

/** Like cumulativeBuckets, but each bucket without those below it. */
export function disjointBuckets(bins: readonly Bin[], bounds: readonly number[]): number[] {
  const counts = cumulativeBuckets(bins, bounds)
  return counts.map((count, i) => count - (i > 0 ? counts[i - 1]! : 0))
}

/** The sum of all values, each taken as the harmonic mean of its bin's edges. */
export function approximateSum(bins: readonly Bin[]): number {
  let sum = 0
  for (const { lower, width, count } of bins) {
    const upper = lower + width
    if (upper > 0) sum += ((2 * lower * upper) / (lower + upper)) * count
  }
  return sum
}

function binOfDecade(value: number, decade: number): number {
  return value < 1 ? 0 : 1 + BINS_PER_DECADE * decade + (Math.floor(value / 10 ** (decade - 1)) - 10)
}

function slowBin(value: number): number {
  if (!(value >= 1)) return 0
  for (let decade = 1; decade < DECADES; decade++) if (value < POWERS[decade + 1]!) return binOfDecade(value, decade)
  return MAX_BINS - 1
}

function lowerOf(bin: number): number {
  if (bin === 0) return 0
  const decade = Math.floor((bin - 1) / BINS_PER_DECADE)
  const digits = ((bin - 1) % BINS_PER_DECADE) + 10
  return decade === 0 ? digits / 10 : digits * POWERS[decade - 1]!
}

function widthOf(bin: number): number {
  if (bin === 0) return 0
  const decade = Math.floor((bin - 1) / BINS_PER_DECADE)
  return decade === 0 ? 0.1 : POWERS[decade - 1]!
}
