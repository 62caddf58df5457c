// A histogram's bins as Prometheus' native histogram: exponential buckets whose bounds are powers of 2^(2^-schema), found by index.
// Used by prometheus-protobuf.ts for `histogram_buckets=prometheusnative`. Pure.
// Invariant: the finest schema is taken whose buckets, all those that a bin reaches into, are no more than asked for; a bin counts where
// its lower bound lies, as in Envoy.
import type { Bin } from './histogram.js'

/** Buckets when the query does not say (`native_histogram_max_buckets`). */
export const DEFAULT_NATIVE_BUCKETS = 20
const FINEST_SCHEMA = 4
const COARSEST_SCHEMA = -4

export interface NativeHistogram {
  readonly schema: number
  readonly zeroCount: number
  /** Runs of buckets that follow each other; `offset` from the end of the run before (the first: from index 0). */
  readonly spans: readonly { readonly offset: number; readonly length: number }[]
  /** Of each bucket in the spans: its count less that of the bucket before. */
  readonly deltas: readonly number[]
}

export function nativeHistogram(bins: readonly Bin[], maxBuckets: number): NativeHistogram {
  const positive = bins.filter(({ lower }) => lower > 0)
  const zeroCount = bins.reduce((sum, { lower, count }) => (lower > 0 ? sum : sum + count), 0)
  let schema = FINEST_SCHEMA
  while (schema > COARSEST_SCHEMA && reached(positive, schema) > maxBuckets) schema--
  const counts = new Map<number, number>()
  for (const { lower, count } of positive) {
    const index = indexOf(lower, schema)
    counts.set(index, (counts.get(index) ?? 0) + count)
  }
  const spans: { offset: number; length: number }[] = []
  const deltas: number[] = []
  let next = 0
  let before = 0
  // Bins ascend, and so do the indexes.
  for (const [index, count] of counts) {
    const last = spans.at(-1)
    if (last !== undefined && index === next) last.length++
    else spans.push({ offset: index - next, length: 1 })
    deltas.push(count - before)
    next = index + 1
    before = count
  }
  return { schema, zeroCount, spans, deltas }
}

/** The bucket (2^((index-1)/2^schema), 2^(index/2^schema)] that holds the value. */
function indexOf(value: number, schema: number): number {
  return Math.ceil(Math.log2(value) * 2 ** schema)
}

function reached(bins: readonly Bin[], schema: number): number {
  let buckets = 0
  let next = Number.NEGATIVE_INFINITY
  for (const { lower, width } of bins) {
    const first = Math.max(next, indexOf(lower, schema))
    const last = indexOf(lower + width, schema)
    if (last < first) continue
    buckets += last - first + 1
    next = last + 1
  }
  return buckets
}
