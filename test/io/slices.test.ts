// Long work in slices, with a clock that moves one millisecond a step.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { finish, inSlices, type Steps } from '../../src/io/slices.js'

afterEach(() => vi.restoreAllMocks())

function steppedClock(): void {
  let now = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now++)
}

function* counting(count: number, seen: string[] = []): Steps<number> {
  for (let i = 0; i < count; i++) {
    seen.push('step')
    yield
  }
  return count
}

const isTurn = (what: string): boolean => what === 'turn'

describe('work in slices', () => {
  it('that fits in one is over at once', () => {
    steppedClock()
    expect(inSlices(counting(1))).toBe(1)
    expect(inSlices(counting(0))).toBe(0)
  })

  it('lets a turn of the event loop pass after each slice, and resolves to its result', async () => {
    steppedClock()
    const seen: string[] = []
    const result = inSlices(counting(30, seen))
    expect(result).toBeInstanceOf(Promise)
    const perSlice = seen.length
    expect(perSlice).toBeLessThan(10)
    let done = false
    const turn = (): void => {
      seen.push('turn')
      if (!done) setImmediate(turn)
    }
    setImmediate(turn)
    expect(await result).toBe(30)
    done = true
    for (let at = seen.findIndex(isTurn), next: number; ; at = next) {
      next = seen.findIndex((what, i) => i > at && isTurn(what))
      if (next === -1) break
      expect(next - at - 1).toBeLessThanOrEqual(perSlice)
    }
    expect(seen.filter(isTurn).length).toBeGreaterThanOrEqual(3)
  })

  it('fails as it does', async () => {
    steppedClock()
    function* failing(): Steps<never> {
      yield* counting(30)
      throw new Error('broken')
    }
    await expect(inSlices(failing())).rejects.toThrow('broken')
    expect(() => finish(failing())).toThrow('broken')
  })

  it('is done in one go where it must be', () => {
    steppedClock()
    expect(finish(counting(1000))).toBe(1000)
  })
})
