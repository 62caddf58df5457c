// Buffer periods on a clock moved by hand.
import { expect, it } from 'vitest'
import { BufferTimer } from '../../../src/automation/tasks/buffer-timer.js'
import { ManualClock } from '../../support/manual-clock.js'

function timerOf(period: { minMs: number; maxMs: number } | null): { clock: ManualClock; timer: BufferTimer; fired: number[] } {
  const clock = new ManualClock(0)
  const start = clock.now()
  const fired: number[] = []
  return { clock, fired, timer: new BufferTimer(period, clock, () => fired.push(clock.now() - start)) }
}

it('fires when nothing has changed for the shortest time', () => {
  const { clock, timer, fired } = timerOf({ minMs: 5_000, maxMs: 20_000 })
  timer.changed()
  clock.advance(4_000)
  timer.changed()
  clock.advance(4_999)
  expect(fired).toEqual([])
  clock.advance(1)
  expect(fired).toEqual([9_000])
})

it('fires after the longest time though changes go on, and then begins anew', () => {
  const { clock, timer, fired } = timerOf({ minMs: 5_000, maxMs: 12_000 })
  for (let i = 0; i < 10; i++) {
    timer.changed()
    clock.advance(3_000)
  }
  expect(fired).toEqual([12_000, 24_000])
})

it('without a period every change counts, and a cancelled one none', () => {
  const { timer, fired } = timerOf(null)
  timer.changed()
  timer.changed()
  expect(fired).toHaveLength(2)
  const other = timerOf({ minMs: 1, maxMs: 2 })
  other.timer.changed()
  other.timer.cancel()
  other.clock.advance(10)
  expect(other.fired).toEqual([])
})
