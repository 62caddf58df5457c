// One reading of the clock a read. Time is faked, so that a read can take as long as it likes.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { beginRead, endRead, eventDate, eventNow } from '../../src/io/event-clock.js'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'Date'] })
  // A clock that stands at 0 is one that nobody has asked.
  vi.advanceTimersByTime(10)
})
afterEach(() => {
  endRead()
  vi.useRealTimers()
})

test('stands still during a read from the first who asks, and never goes back', () => {
  const before = eventNow()
  beginRead()
  vi.advanceTimersByTime(5)
  const asked = eventNow()
  vi.advanceTimersByTime(20)
  expect([asked - before, eventNow() - before]).toEqual([5, 5])
  endRead()
  expect(eventNow() - before).toBe(25)
})

test('a read inside another ends both: what is left of the outer one has the present time', () => {
  beginRead()
  const outer = eventNow()
  beginRead()
  vi.advanceTimersByTime(3)
  endRead()
  vi.advanceTimersByTime(4)
  expect(eventNow() - outer).toBe(7)
})

test('the time of day stands still during a read too', () => {
  const before = eventDate()
  expect(before).toBe(Date.now())
  beginRead()
  vi.advanceTimersByTime(5)
  const asked = eventDate()
  vi.advanceTimersByTime(20)
  expect([asked - before, eventDate() - before]).toEqual([5, 5])
  endRead()
  expect(eventDate() - before).toBe(25)
})
