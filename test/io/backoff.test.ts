import { expect, it } from 'vitest'
import { fullJitterMs } from '../../src/io/backoff.js'

it('doubles with each attempt, is fully jittered, and never exceeds its maximum', () => {
  expect(fullJitterMs(0, 500, 30_000, () => 0.5)).toBe(250)
  expect(fullJitterMs(3, 500, 30_000, () => 1)).toBe(4000)
  expect(fullJitterMs(1_000, 500, 30_000, () => 1)).toBe(30_000)
  expect(fullJitterMs(5, 500, 30_000, () => 0)).toBe(0)
})
