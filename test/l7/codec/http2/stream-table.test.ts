// The table of a connection's streams against a Map, with ids as both sides use them: in order, most of them soon gone, a few that stay.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { StreamTable } from '../../../../src/l7/codec/http2/stream-table.js'

interface Stream {
  readonly id: number
}

const ids = (streams: Iterable<Stream>): number[] => [...streams].map(({ id }) => id).sort((a, b) => a - b)

/** Opens `count` streams; each closes after as many others as `lives` says in turn (0: never). */
function run(first: number, count: number, lives: readonly number[]): void {
  const table = new StreamTable<Stream>()
  const model = new Map<number, Stream>()
  const ends = new Map<number, number[]>()
  for (let turn = 0; turn < count; turn++) {
    const stream = { id: first + 2 * turn }
    table.add(stream)
    model.set(stream.id, stream)
    const life = lives[turn % lives.length]!
    if (life > 0) ends.set(turn + life, [...(ends.get(turn + life) ?? []), stream.id])
    for (const id of ends.get(turn) ?? []) {
      table.delete(id)
      // Once more changes nothing.
      table.delete(id)
      model.delete(id)
    }
    expect(table.size).toBe(model.size)
    expect(table.get(stream.id)).toBe(model.get(stream.id))
    expect(table.get(first - 2)).toBeUndefined()
    expect(table.get(stream.id + 2)).toBeUndefined()
  }
  expect(ids(table.values())).toEqual(ids(model.values()))
  for (let turn = 0; turn < count; turn++) expect(table.get(first + 2 * turn)).toBe(model.get(first + 2 * turn))
  table.clear()
  expect([table.size, table.values().length, table.get(first)]).toEqual([0, 0, undefined])
}

test('is a Map, whatever ends when', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(1, 2, 3, 0x7fff_0001),
      fc.integer({ min: 1, max: 400 }),
      fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 20 }),
      run,
    ),
    { numRuns: 200, seed: 9 },
  )
})

test('holds more streams than it has places', () => run(1, 3000, [0]))

test('one that stays is in the way of nobody', () => run(1, 5000, [0, ...Array.from({ length: 5000 }, () => 1)]))
