// A moment of every fuzz target, so that a broken target is seen before anyone runs `npm run fuzz` for a night.
import { describe, expect, it } from 'vitest'
import { fuzzOnce as hpack } from './hpack-fuzz.js'
import { fuzzOnce as http1 } from './http1-fuzz.js'
import { fuzzOnce as http2 } from './http2-fuzz.js'
import { seeded } from './seeded.js'

const ROUNDS = 200

describe('fuzz targets', () => {
  it.each([
    ['http1', http1],
    ['http2', http2],
    ['hpack', hpack],
  ])('%s: no failure in the first rounds', (_name, fuzzOnce) => {
    for (let seed = 1; seed <= ROUNDS; seed++) {
      try {
        fuzzOnce(seeded(seed))
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error })
      }
    }
  })

  it('the same seed gives the same numbers, another seed others', () => {
    const draw = (seed: number) => Array.from({ length: 5 }, seeded(seed))
    expect(draw(7)).toEqual(draw(7))
    expect(draw(7)).not.toEqual(draw(8))
    expect(draw(7).every(value => value >= 0 && value < 1)).toBe(true)
  })
})
