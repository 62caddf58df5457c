import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  approximateSum,
  bucketEnds,
  cumulativeBuckets,
  DEFAULT_BUCKETS,
  disjointBuckets,
  Histogram,
  quantilesOf,
} from '../../src/metrics/histogram.js'

function histogramOf(...values: number[]): Histogram {
  const histogram = new Histogram('h', 'milliseconds', DEFAULT_BUCKETS)
  for (const value of values) histogram.record(value)
  return histogram
}

describe('bins', () => {
  test('every whole number lies in its own bin, which is at most a tenth of it wide', () => {
    fc.assert(
      fc.property(fc.oneof(fc.nat(2000), fc.nat(), fc.maxSafeNat()), value => {
        const [bin, ...others] = histogramOf(value).bins(false)
        expect(others).toEqual([])
        expect(bin!.count).toBe(1)
        expect(bin!.lower).toBeLessThanOrEqual(value)
        expect(value === 0 || value < bin!.lower + bin!.width).toBe(true)
        expect(bin!.width).toBeLessThanOrEqual(Math.max(0.1, value / 10))
      }),
      { seed: 7, numRuns: 500 },
    )
  })

  test.each([
    [9, 9, 0.1],
    [10, 10, 1],
    [99, 99, 1],
    [100, 100, 10],
    [999, 990, 10],
    [1000, 1000, 100],
    [1099, 1000, 100],
    [99_999, 99_000, 1000],
    [100_000, 100_000, 10_000],
    [2 ** 31 - 1, 2_100_000_000, 100_000_000],
    [2 ** 31, 2_100_000_000, 100_000_000],
    [1e10, 1e10, 1e9],
  ])('%d is in the bin from %d, %d wide', (value, lower, width) => {
    expect(histogramOf(value).bins(false)).toEqual([{ lower, width, count: 1 }])
  })

  test('fractions are cut off, negative numbers and NaN count as zero, the endless as the largest', () => {
    expect(histogramOf(0.9, -5, Number.NaN, 12.7).bins(false)).toEqual([
      { lower: 0, width: 0, count: 3 },
      { lower: 12, width: 1, count: 1 },
    ])
    expect(histogramOf(Number.POSITIVE_INFINITY, 1e300).bins(false)[0]!.count).toBe(2)
  })
})

describe('quantiles, buckets and sum are those of Envoy', () => {
  // Bins and figures read off a running Envoy 1.40: 5 values of 0, 31 of 1, 17 of 2, one of 4.
  const values = [...Array(5).fill(0), ...Array(31).fill(1), ...Array(17).fill(2), 4] as number[]

  test('quantiles', () => {
    expect(quantilesOf(histogramOf(...values).bins(false))).toEqual([
      0, 1.028125, 1.06875, 2.0277777777777777, 2.0722222222222224, 2.088888888888889, 4.05, 4.05, 4.05, 4.05,
    ])
  })

  test('none for no values', () => {
    expect(quantilesOf([]).every(Number.isNaN)).toBe(true)
  })

  test('a value equal to a bound counts below it', () => {
    const bins = histogramOf(25, 0, 1, 26).bins(false)
    expect(cumulativeBuckets(bins, [0.5, 1, 24, 25, 100])).toEqual([1, 2, 2, 3, 4])
    expect(disjointBuckets(bins, [0.5, 1, 24, 25, 100])).toEqual([1, 1, 0, 1, 1])
  })

  test('the sum takes the harmonic mean of a bin', () => {
    expect(approximateSum(histogramOf(0, 1, 1, 1, 1, 4).bins(false))).toBeCloseTo(8.239858906525573, 12)
  })

  test('percent values are shown as fractions', () => {
    const histogram = new Histogram('h', 'percent', [0.5, 1])
    histogram.record(500_000)
    expect(histogram.bins(false)).toEqual([{ lower: 0.5, width: 0.01, count: 1 }])
  })
})

describe('intervals', () => {
  test('the last finished interval is kept apart from all time, which includes the running one', () => {
    const histogram = histogramOf(1, 1)
    expect([histogram.bins(true), histogram.sampleCount]).toEqual([[], 2])
    histogram.flush()
    histogram.record(5_000_000)
    expect(histogram.bins(true)).toEqual([{ lower: 1, width: 0.1, count: 2 }])
    expect(histogram.sampleCount).toBe(3)
    histogram.flush()
    expect(histogram.bins(true)).toEqual([{ lower: 5_000_000, width: 100_000, count: 1 }])
    histogram.flush()
    expect(histogram.bins(true)).toEqual([])
    histogram.record(1)
    histogram.flush()
    expect(histogram.bins(true)).toEqual([{ lower: 1, width: 0.1, count: 1 }])
    expect(histogram.bins(false).map(bin => bin.count)).toEqual([3, 1])
    expect(histogram.used).toBe(true)
  })
})

test('counts by bucket without bins in between are the same, flushed and running', () => {
  const bounds = [1, 5, 99, 1_000, 30_000]
  const ends = bucketEnds(bounds)
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(2000), fc.nat(), fc.maxSafeNat())), fc.array(fc.nat(2000)), (flushed, running) => {
      const histogram = histogramOf(...flushed)
      histogram.flush()
      for (const value of running) histogram.record(value)
      const counts = new Float64Array(bounds.length + 1)
      histogram.countInto(ends, counts)
      const bins = histogram.bins(false)
      const above = histogram.sampleCount - cumulativeBuckets(bins, bounds).at(-1)!
      expect([...counts]).toEqual([...disjointBuckets(bins, bounds), above])
    }),
    { seed: 7, numRuns: 200 },
  )
})
