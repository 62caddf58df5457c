// Sessions that nobody renews: they end, also where the end could not be written at first.
import { expect, it } from 'vitest'
import { KvTable } from '../../../src/control/kv/kv-table.js'
import { KvWriter } from '../../../src/control/kv/kv-writer.js'
import { type SessionRecord, SessionTable } from '../../../src/control/session/session-table.js'
import { until } from '../../support/proxy-process.js'
import { RefusingStore } from '../../support/refusing-store.js'

const session = (TTL: string): Omit<SessionRecord, 'ID'> => ({
  Name: '',
  Node: 'n',
  LockDelay: 0,
  Behavior: 'release',
  TTL,
  NodeChecks: [],
  ServiceChecks: [],
})

it('one whose end could not be written is ended a moment later, by its TTL and by a check; one that was renewed meanwhile lives', async () => {
  const store = new RefusingStore()
  const kv = await KvTable.open(store)
  const problems: string[] = []
  const sessions = await SessionTable.open(store, kv, reason => problems.push(reason))
  sessions.start(new KvWriter(store, kv, sessions))
  const { value: byTtl } = await sessions.create(session('30ms'))
  const { value: byCheck } = await sessions.create(session(''))
  const { value: renewed } = await sessions.create(session('40ms'))
  // Its TTL passes while the end by its check is still to be written; then the check is well again.
  const { value: byBoth } = await sessions.create(session('20ms'))
  store.refusals = 4
  let critical = [byCheck, byBoth]
  sessions.judge(({ ID }) => (critical.includes(ID) ? 'its check is critical' : undefined))
  critical = [byCheck]
  await until('all four were refused', () => problems.length >= 4)
  const beating = setInterval(() => sessions.renew(renewed), 10)
  await until('three are over', () => [byTtl, byCheck, byBoth].every(id => !sessions.has(id)))
  expect(sessions.has(renewed)).toBe(true)
  clearInterval(beating)
  await sessions.stop()
  expect(problems.every(problem => /^session .* could not be ended: etcd is away$/.test(problem))).toBe(true)
})
