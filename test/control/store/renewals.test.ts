// What one replica tells the others of renewals: until it was told, however long that takes.
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Renewals } from '../../../src/control/store/renewals.js'
import type { Store } from '../../../src/control/store/store.js'

interface Said {
  readonly topic: string
  readonly ids: readonly string[]
  told(): void
}

let said: Said[]
let renewals: Renewals
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  said = []
  const say = (topic: string, note: unknown, onTold?: () => void): void => {
    said.push({ topic, ids: note as string[], told: () => onTold?.() })
  }
  const store = { isShared: true, notes: { replica: 'a', say, hear: () => () => {} } } as unknown as Store
  renewals = new Renewals(store, 'sessions', () => {})
})
afterEach(() => {
  renewals.stop()
  vi.useRealTimers()
})

function renewedAndSaid(id: string): readonly string[] {
  renewals.renewed(id, 10_000)
  vi.advanceTimersByTime(300)
  return said.at(-1)!.ids
}

it('says an id again for a while, in whatever takes the place of what it said', () => {
  expect(renewedAndSaid('one')).toEqual(['one'])
  said[0]!.told()
  expect(renewedAndSaid('two')).toEqual(['one', 'two'])
  said[1]!.told()
  vi.advanceTimersByTime(3_000)
  expect(renewedAndSaid('three')).toEqual(['three'])
})

it('forgets nothing that could not be told yet', () => {
  renewedAndSaid('one')
  vi.advanceTimersByTime(4_000)
  expect(renewedAndSaid('two')).toEqual(['one', 'two'])
})

it('leaves nothing in the note once all has been told for a while', () => {
  renewedAndSaid('one')
  said[0]!.told()
  vi.advanceTimersByTime(10_000)
  expect(said.map(({ ids }) => ids)).toEqual([['one'], []])
})

it('says what comes while it only waits to empty the note as soon as ever', () => {
  renewedAndSaid('one')
  said[0]!.told()
  vi.advanceTimersByTime(100)
  expect(renewedAndSaid('two')).toEqual(['one', 'two'])
})

it('says much less often than little', () => {
  for (let i = 0; i < 5_000; i++) renewals.renewed(`a-check-of-a-service-${i}`, 10_000)
  vi.advanceTimersByTime(300)
  said[0]!.told()
  renewals.renewed('another', 10_000)
  vi.advanceTimersByTime(1_400)
  expect(said).toHaveLength(1)
  vi.advanceTimersByTime(200)
  expect(said[1]!.ids).toContain('another')
})

it('is bounded: the oldest go first', () => {
  // As checks of a long name have them: a note of all of them is more than etcd takes.
  for (let i = 0; i < 20_000; i++) renewals.renewed(`${i}`.padStart(97, '-'), 10_000)
  vi.advanceTimersByTime(300)
  const [{ ids }] = said as [Said]
  expect([ids.length, ids[0], ids.at(-1), JSON.stringify(ids).length]).toEqual([
    10_000,
    '10000'.padStart(97, '-'),
    '19999'.padStart(97, '-'),
    1_000_001,
  ])
})

it('what lives but seconds is heard of within a quarter of that, however much else there is to say', () => {
  for (let i = 0; i < 5_000; i++) renewals.renewed(`a-session-of-some-name-${i}`, 20_000)
  vi.advanceTimersByTime(300)
  said.splice(0)[0]!.told()
  renewals.renewed('a-session-of-some-name-0', 20_000)
  renewals.renewed('three-seconds', 3_000)
  renewals.renewed('one-second', 1_000)
  vi.advanceTimersByTime(250)
  expect(said.map(({ topic, ids }) => [topic, ids])).toEqual([['short-sessions', ['three-seconds', 'one-second']]])
  vi.advanceTimersByTime(1_250)
  expect(said.map(({ topic, ids }) => [topic, ids.length])).toEqual([
    ['short-sessions', 2],
    ['sessions', 5_000],
  ])
})
