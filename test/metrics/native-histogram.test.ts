import { describe, expect, test } from 'vitest'
import { type Bin, Histogram } from '../../src/metrics/histogram.js'
import { DEFAULT_NATIVE_BUCKETS, nativeHistogram } from '../../src/metrics/native-histogram.js'

/** Bins as `/stats?histogram_buckets=detailed` prints them. */
const bins = (text: string): Bin[] =>
  text.split(', ').map(bin => {
    const [, lower, width, count] = /^(.+),(.+):(.+)$/.exec(bin)!
    return { lower: Number(lower), width: Number(width), count: Number(count) }
  })
const indexes = (from: readonly Bin[], most: number): number[] => {
  const found: number[] = []
  let next = 0
  for (const { offset, length } of nativeHistogram(from, most).spans) {
    next += offset
    for (let i = 0; i < length; i++) found.push(next++)
  }
  return found
}

describe('native histograms', () => {
  // What Envoy 1.40 made of these bins, asked with native_histogram_max_buckets.
  const SEEN = bins('0,0:1, 1,0.1:4, 2,0.1:12, 3,0.1:12, 4,0.1:2, 7,0.1:1')
  test.each([
    [1, -4, [0, 1]],
    [2, -2, [0, 1]],
    [3, -1, [0, 1, 2]],
    [6, 0, [0, 1, 2, 3]],
    [7, 1, [0, 2, 4, 6]],
    [8, 2, [0, 4, 7, 8, 12]],
    [9, 2, [0, 4, 7, 8, 12]],
    [10, 3, [0, 8, 13, 16, 23]],
    [12, 3, [0, 8, 13, 16, 23]],
    [13, 4, [0, 16, 26, 32, 45]],
    [1000, 4, [0, 16, 26, 32, 45]],
  ])('at most %i buckets: schema %i', (most, schema, found) => {
    expect(nativeHistogram(SEEN, most).schema).toBe(schema)
    expect(indexes(SEEN, most)).toEqual(found)
  })

  test('counts stand as differences, zero apart', () => {
    const { zeroCount, spans, deltas } = nativeHistogram(bins('0,0:1, 1,0.1:2, 2,0.1:10, 3,0.1:8'), DEFAULT_NATIVE_BUCKETS)
    expect(zeroCount).toBe(1)
    expect(spans).toEqual([
      { offset: 0, length: 1 },
      { offset: 15, length: 1 },
      { offset: 9, length: 1 },
    ])
    expect(deltas).toEqual([2, 8, -2])
  })

  test('every value is counted once, whatever the schema', () => {
    const histogram = new Histogram('h', 'milliseconds', [])
    for (let i = 0; i < 5000; i++) histogram.record((i * i) % 7919)
    for (const most of [1, 4, 20, 160]) {
      const { zeroCount, deltas } = nativeHistogram(histogram.bins(false), most)
      let count = 0
      let sum = zeroCount
      for (const delta of deltas) sum += count += delta
      expect(sum).toBe(5000)
    }
  })
})
