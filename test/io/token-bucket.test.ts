import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TokenBucket } from '../../src/io/token-bucket.js'
import { ManualClock } from '../support/manual-clock.js'

describe('token bucket', () => {
  it('starts full, runs out, and says when the next token is there', () => {
    const clock = new ManualClock()
    const bucket = new TokenBucket({ maxTokens: 2, tokensPerFill: 10, fillIntervalMs: 1000 }, clock)
    expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([true, true, false])
    expect(bucket.msToToken).toBe(100)
    clock.advance(50)
    expect([bucket.take(), bucket.msToToken]).toEqual([false, 50])
    clock.advance(50)
    expect([bucket.take(), bucket.take()]).toEqual([true, false])
  })

  it('never holds more than its maximum, however long nobody asks and whatever is given back', () => {
    const clock = new ManualClock()
    const bucket = new TokenBucket({ maxTokens: 2, tokensPerFill: 10, fillIntervalMs: 1000 }, clock)
    clock.advance(100_000)
    bucket.giveBack()
    expect(bucket.remaining).toBe(2)
    bucket.take()
    bucket.giveBack()
    expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([true, true, false])
  })

  it('is never refilled without an interval', () => {
    const clock = new ManualClock()
    const bucket = new TokenBucket({ maxTokens: 1, tokensPerFill: 1, fillIntervalMs: 0 }, clock)
    bucket.take()
    clock.advance(1_000_000)
    expect([bucket.take(), bucket.msToToken]).toEqual([false, 0])
  })

  it('never gives more than what it held and what came in', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 100 }),
        (maxTokens, tokensPerFill, waits) => {
          const clock = new ManualClock()
          const startedAt = clock.now()
          const bucket = new TokenBucket({ maxTokens, tokensPerFill, fillIntervalMs: 100 }, clock)
          let taken = 0
          for (const wait of waits) {
            clock.advance(wait)
            if (bucket.take()) taken++
            expect(taken).toBeLessThanOrEqual(maxTokens + Math.floor(((clock.now() - startedAt) * tokensPerFill) / 100))
          }
        },
      ),
      { seed: 42 },
    )
  })
})
