import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isLinearizable, type Operation, type Value } from './linearizable.js'

const read = (saw: Value, begin: number, end: number): Operation => ({ kind: 'read', saw, begin, end })
const write = (value: string, begin: number, end: number): Operation => ({ kind: 'write', value, begin, end })
const swap = (expected: Value, value: string, swapped: boolean | undefined, begin: number, end: number): Operation => ({
  kind: 'swap',
  expected,
  value,
  swapped,
  begin,
  end,
})
const NEVER = Number.POSITIVE_INFINITY

describe('a history is refused in which', () => {
  it.each<[string, Operation[]]>([
    ['a read goes back behind a write that was acknowledged', [write('a', 0, 1), read(null, 2, 3)]],
    ['a read goes back behind another read', [write('a', 0, 9), read('a', 1, 2), read(null, 3, 4)]],
    ['an acknowledged write is lost', [write('a', 0, 1), write('b', 2, 3), read('a', 4, 5)]],
    ['two swaps of the same value win', [swap(null, 'a', true, 0, 5), swap(null, 'b', true, 1, 6)]],
    ['a swap is refused that nothing stood against', [write('a', 0, 1), swap('a', 'b', false, 2, 3)]],
    ['somebody reads what nobody wrote', [write('a', 0, 1), read('b', 2, 3)]],
    [
      'a write of unknown outcome takes effect twice',
      [write('a', 0, NEVER), write('b', 1, 2), read('a', 3, 4), write('c', 5, 6), read('a', 7, 8)],
    ],
    ['a write of unknown outcome shows before it began', [read('a', 0, 1), write('a', 2, NEVER)]],
    ['two readers see two writes in different orders', [write('a', 0, 9), write('b', 0, 9), read('a', 10, 11), read('b', 12, 13)]],
  ])('%s', (_what, history) => {
    expect(isLinearizable(history)).toBe(false)
  })
})

it('one is taken in which a write of unknown outcome shows late, or never', () => {
  expect(isLinearizable([write('a', 0, NEVER), read(null, 1, 2), read('a', 3, 4)])).toBe(true)
  expect(isLinearizable([write('a', 0, NEVER), read(null, 1, 2), read(null, 3, 4)])).toBe(true)
  expect(isLinearizable([swap(null, 'a', undefined, 0, NEVER), write('b', 1, 2), read('b', 3, 4)])).toBe(true)
})

/** What clients see of a real register: each operation takes effect at a moment of its own, between its begin and its end. */
const real = fc
  .array(
    fc.record({
      at: fc.double({ min: 0, max: 20, noNaN: true }),
      before: fc.nat(3),
      after: fc.nat(3),
      kind: fc.nat(2),
      value: fc.constantFrom('a', 'b', 'c'),
    }),
    {
      minLength: 1,
      maxLength: 14,
    },
  )
  .map(drafts => {
    let state: Value = null
    return [...drafts]
      .sort((a, b) => a.at - b.at)
      .map(({ at, before, after, kind, value }): Operation => {
        const [begin, end] = [at - before - 0.01, at + after + 0.01]
        if (kind === 0) return read(state, begin, end)
        if (kind === 1) {
          state = value
          return write(value, begin, end)
        }
        const swapped = state === 'a'
        if (swapped) state = value
        return swap('a', value, swapped, begin, end)
      })
  })

it('takes whatever a real register shows', () => {
  fc.assert(
    fc.property(real, history => isLinearizable(history)),
    { seed: 17, numRuns: 400 },
  )
})

it('refuses it with one more read, at the end, of what is not there', () => {
  fc.assert(
    fc.property(real, history => !isLinearizable([...history, read('nobody wrote this', 100, 101)])),
    { seed: 17, numRuns: 200 },
  )
})

it('agrees with trying every order', () => {
  const orders = (history: readonly Operation[]): Operation[][] =>
    history.length === 0 ? [[]] : history.flatMap((first, i) => orders(history.filter((_, j) => j !== i)).map(rest => [first, ...rest]))
  const isReal = (order: readonly Operation[]): boolean => {
    let state: Value = null
    return order.every((operation, i) => {
      if (order.slice(i + 1).some(later => later.end < operation.begin)) return false
      if (operation.kind === 'read') return operation.saw === state
      if (operation.kind === 'swap' && operation.swapped !== (operation.expected === state)) return false
      if (operation.kind === 'write' || operation.swapped === true) state = operation.value
      return true
    })
  }
  const value = fc.constantFrom<Value>(null, 'a', 'b')
  const any = fc
    .record({ begin: fc.nat(8), lasts: fc.integer({ min: 1, max: 5 }), kind: fc.nat(2), value, other: value, swapped: fc.boolean() })
    .map(({ begin, lasts, kind, value: v, other, swapped }): Operation => {
      const end = begin + lasts
      if (kind === 0) return read(v, begin, end)
      return kind === 1 ? write(v ?? 'a', begin, end) : swap(v, other ?? 'b', swapped, begin, end)
    })
  fc.assert(
    fc.property(fc.array(any, { maxLength: 5 }), history => isLinearizable(history) === orders(history).some(isReal)),
    { seed: 17, numRuns: 600 },
  )
})
