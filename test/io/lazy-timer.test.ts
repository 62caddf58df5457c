import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { beginRead, endRead } from '../../src/io/event-clock.js'
import { LazyTimer } from '../../src/io/lazy-timer.js'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  endRead()
  vi.useRealTimers()
})

it('is shifted by as much as is said, also late in a long read', () => {
  let fired = 0
  const timer = new LazyTimer(() => fired++)
  beginRead()
  timer.set(100)
  // The read takes 40 ms: for who asks the time during it, it is still when it began.
  vi.setSystemTime(0)
  vi.advanceTimersByTime(40)
  timer.shift(10)
  endRead()
  vi.advanceTimersByTime(69)
  expect(fired).toBe(0)
  vi.advanceTimersByTime(3)
  expect(fired).toBe(1)
})
