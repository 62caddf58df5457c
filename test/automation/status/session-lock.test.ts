// The lock of several processes, where its end comes at a bad moment.
import { expect, it } from 'vitest'
import type { ConsulApi } from '../../../src/automation/answers/consul-reads.js'
import { SessionLock } from '../../../src/automation/status/session-lock.js'
import { ManualClock } from '../../support/manual-clock.js'

it('ends, and never leads, when it is stopped while its session is made', async () => {
  const clock = new ManualClock(0)
  const puts: string[] = []
  let made = (_: { ID: string }): void => {}
  const api = {
    putJson: (path: string) => {
      puts.push(path)
      return path.includes('acquire') ? Promise.resolve(true) : new Promise(resolve => (made = resolve))
    },
    put: async (path: string) => void puts.push(path),
    call: async () => ({ text: '[{"Session": "s1", "Value": ""}]', indexText: '1', missing: false }),
  } as unknown as ConsulApi
  let leads = 0
  const lock = new SessionLock({
    api,
    clock,
    path: '/v1/kv/cts/leader',
    id: 'one',
    ttlMs: 15_000,
    onLeading: () => leads++,
    onLost: async () => {},
    onProblem() {},
  })
  const stopped = lock.stop()
  made({ ID: 's1' })
  await stopped
  expect([leads, puts]).toEqual([0, ['/v1/session/create', '/v1/kv/cts/leader?release=s1', '/v1/session/destroy/s1']])
})
