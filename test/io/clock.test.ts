import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { heldClock, systemClock, type Timer } from '../../src/io/clock.js'
import { LazyTimer } from '../../src/io/lazy-timer.js'

let here: Socket
let there: Socket
let server: net.Server

beforeEach(async () => {
  server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  here = net.connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', noDelay: true })
  ;[[there]] = (await Promise.all([once(server, 'connection'), once(here, 'connect')])) as [[Socket], unknown]
})
afterEach(() => {
  here.destroy()
  there.destroy()
  server.close()
})

/** Nothing else runs: neither timers nor sockets. */
function busyFor(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

/** Each starts a timer and gives what calls it off. */
const TIMERS: readonly [name: string, start: (ms: number, fn: () => void) => Timer][] = [
  ['heldClock', (ms, fn) => heldClock.after(ms, fn)],
  ['systemClock', (ms, fn) => systemClock.after(ms, fn)],
  [
    'LazyTimer',
    (ms, fn) => {
      const timer = new LazyTimer(fn)
      timer.set(ms)
      return { cancel: () => timer.clear() }
    },
  ],
]

it.each(TIMERS)('%s: what came in time is read before the timer that ran out while the process was busy', async (_, start) => {
  let firedFirst = false
  const timer = start(20, () => {
    firedFirst = true
  })
  const read = once(there, 'data').then(() => timer.cancel())
  here.write('in time')
  busyFor(60)
  await read
  expect(firedFirst).toBe(false)
  // It has been called off, late as it was.
  await new Promise(resolve => heldClock.after(30, () => resolve(null)))
  expect(firedFirst).toBe(false)
})

it.each(TIMERS)('%s: fires once where nothing came', async (_, start) => {
  let fired = 0
  start(20, () => fired++)
  busyFor(60)
  await new Promise(resolve => heldClock.after(30, () => resolve(null)))
  expect(fired).toBe(1)
})

it('a LazyTimer that is set again by what was read runs for its new time', async () => {
  let fired = 0
  const timer = new LazyTimer(() => fired++)
  timer.set(20)
  const read = once(there, 'data').then(() => timer.set(10_000))
  here.write('in time')
  busyFor(60)
  await read
  await new Promise(resolve => heldClock.after(30, () => resolve(null)))
  expect(fired).toBe(0)
  timer.dispose()
})
