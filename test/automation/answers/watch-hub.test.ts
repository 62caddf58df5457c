// Blocking watches: shared, ended, bounded; an index that goes back, an answer that says the same, a server that fails.
import { expect, it } from 'vitest'
import type { ConsulApi } from '../../../src/automation/answers/consul-reads.js'
import { NO_SECRETS } from '../../../src/automation/answers/secret-reads.js'
import { MAX_WATCHES, WatchHub } from '../../../src/automation/answers/watch-hub.js'
import { ManualClock } from '../../support/manual-clock.js'

interface Waiting {
  readonly path: string
  answer(text: string, index: string): Promise<void>
  fail(message: string): Promise<void>
}

function fakeApi(): { api: ConsulApi; waiting: Waiting[]; next: (path: string) => Waiting } {
  const waiting: Waiting[] = []
  const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
  const api = {
    call: ({ path, signal }: { path: string; signal: AbortSignal }) =>
      new Promise((resolve, reject) => {
        const remove = (): void => void waiting.splice(waiting.indexOf(one), 1)
        const one: Waiting = {
          path,
          answer: (text, indexText) => {
            remove()
            resolve({ text, indexText, missing: text === '' })
            return turn()
          },
          fail: message => {
            remove()
            reject(new Error(message))
            return turn()
          },
        }
        waiting.push(one)
        signal.addEventListener('abort', () => {
          remove()
          reject(new Error('aborted'))
        })
      }),
  }
  return {
    api: api as unknown as ConsulApi,
    waiting,
    next: path => waiting.find(each => each.path === path) ?? expect.fail(`nobody waits for ${path}: ${waiting.map(each => each.path)}`),
  }
}

const owner = (): { changes: number; onChange(): void } => ({
  changes: 0,
  onChange() {
    this.changes++
  },
})
const known = (hub: WatchHub, path: string): unknown => hub.answers().answer(path)

it('waits at the server for the next change, and tells of new answers alone', async () => {
  const { api, next } = fakeApi()
  const hub = new WatchHub(api, new ManualClock(), () => 0, NO_SECRETS)
  const one = owner()
  expect(hub.hold(one, new Set(['/a?x']))).toBe('')
  expect(known(hub, '/a?x')).toBeUndefined()
  await next('/a?x').answer('[1]', '7')
  expect([known(hub, '/a?x'), one.changes]).toEqual([[1], 1])
  await next('/a?x&index=7&wait=5m').answer('[1]', '9')
  expect(one.changes).toBe(1)
  await next('/a?x&index=9&wait=5m').answer('[2]', '10')
  expect([known(hub, '/a?x'), one.changes]).toEqual([[2], 2])
  // Index went back: a server restored from a snapshot.
  await next('/a?x&index=10&wait=5m').answer('[3]', '4')
  await next('/a?x').answer('', '5')
  expect(known(hub, '/a?x')).toBe(null)
  hub.stop()
})

it('shares a watch, and ends it when nobody asks any more', async () => {
  const { api, waiting } = fakeApi()
  const hub = new WatchHub(api, new ManualClock(), () => 0, NO_SECRETS)
  const [one, two] = [owner(), owner()]
  hub.hold(one, new Set(['/a', '/b']))
  hub.hold(two, new Set(['/b']))
  await Promise.resolve()
  expect(waiting.map(({ path }) => path)).toEqual(['/a', '/b'])
  hub.hold(one, new Set())
  expect(waiting.map(({ path }) => path)).toEqual(['/b'])
  await waiting[0]!.answer('{}', '1')
  expect([one.changes, two.changes]).toEqual([0, 1])
  hub.stop()
  expect(waiting).toEqual([])
})

it('says what fails, keeps the last answer, and asks again later', async () => {
  const clock = new ManualClock()
  const { api, next, waiting } = fakeApi()
  const hub = new WatchHub(api, clock, () => 1, NO_SECRETS)
  const one = owner()
  hub.hold(one, new Set(['/a']))
  await next('/a').answer('1', '1')
  await next('/a?index=1&wait=5m').fail('connection refused')
  expect([hub.problems(one), known(hub, '/a'), one.changes, waiting.length]).toEqual([['/a: connection refused'], 1, 2, 0])
  await clock.settle(500)
  await next('/a').fail('connection refused')
  expect(one.changes).toBe(2)
  await clock.settle(999)
  expect(waiting).toEqual([])
  await clock.settle(1)
  await next('/a').answer('1', '2')
  expect([hub.problems(one), one.changes]).toEqual([[], 3])
  hub.stop()
})

it('reads few at one time at first, and no more than so many in all', async () => {
  const { api, waiting } = fakeApi()
  const hub = new WatchHub(api, new ManualClock(), () => 0, NO_SECRETS)
  const paths = Array.from({ length: MAX_WATCHES + 1 }, (_, i) => `/p${i}`)
  expect(hub.hold(owner(), new Set(paths))).toBe(`more than ${MAX_WATCHES} paths are watched: /p${MAX_WATCHES} is not`)
  await new Promise(resolve => setImmediate(resolve))
  expect(waiting).toHaveLength(16)
  await waiting[0]!.answer('1', '1')
  expect(waiting.map(({ path }) => path)).toContain('/p16')
  hub.stop()
})
