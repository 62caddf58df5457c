import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { SecondSweep } from '../../src/io/second-sweep.js'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('sweeps each member once a second, until it is taken out', () => {
  const sweeper = new SecondSweep()
  const [a, b] = [{ sweep: vi.fn() }, { sweep: vi.fn() }]
  sweeper.add(a)
  sweeper.add(b)
  vi.advanceTimersByTime(1000)
  sweeper.remove(a)
  vi.advanceTimersByTime(1000)
  expect([a.sweep.mock.calls.length, b.sweep.mock.calls.length]).toEqual([1, 2])
})

it('keeps no timer where there is nobody', () => {
  const sweeper = new SecondSweep()
  const member = { sweep: vi.fn() }
  sweeper.add(member)
  expect(vi.getTimerCount()).toBe(1)
  sweeper.remove(member)
  expect(vi.getTimerCount()).toBe(0)
})
