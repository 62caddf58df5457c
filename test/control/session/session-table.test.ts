// Sessions that nobody renews: they end, also where the end could not be written at first. What a write depends on is asked in its own turn.
import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { KvTable } from '../../../src/control/kv/kv-table.js'
import { KvWriter } from '../../../src/control/kv/kv-writer.js'
import { parsePreparedQuery } from '../../../src/control/query/prepared-query.js'
import { QueryTable } from '../../../src/control/query/query-table.js'
import { type SessionRecord, SessionTable } from '../../../src/control/session/session-table.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
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

const well = () => undefined

it('one whose end could not be written is ended a moment later, by its TTL and by a check; one that was renewed meanwhile lives', async () => {
  const store = new RefusingStore()
  const kv = await KvTable.open(store)
  const problems: string[] = []
  const sessions = await SessionTable.open(store, kv, reason => problems.push(reason))
  sessions.start(new KvWriter(store, kv, sessions))
  const { value: byTtl } = await sessions.create(session('30ms'), well)
  const { value: byCheck } = await sessions.create(session(''), well)
  const { value: renewed } = await sessions.create(session('40ms'), well)
  // Its TTL passes while the end by its check is still to be written; then the check is well again.
  const { value: byBoth } = await sessions.create(session('20ms'), well)
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

it('is not made once its check is critical, nor a query once its session is gone, though both were well when they were asked for', async () => {
  const store = new MemoryStore()
  const kv = await KvTable.open(store)
  const problems: string[] = []
  const sessions = await SessionTable.open(store, kv, reason => problems.push(reason))
  sessions.start(new KvWriter(store, kv, sessions))
  const queries = await QueryTable.open(store, reason => problems.push(reason))
  const { value: ID } = await sessions.create(session(''), well)
  const parsed = parsePreparedQuery({ Service: { Service: 'web' }, Session: ID })
  let free!: () => void
  const gate = new Promise<void>(resolve => (free = resolve))
  const before = store.exclusive(() => gate)
  let problem: string | undefined
  const made = sessions.create(session(''), () => problem)
  const destroyed = sessions.destroy(ID)
  // By then the writer of both stands in the store's line, and the query behind it.
  for (let turn = 0; turn < 3; turn++) await setImmediate()
  expect(sessions.has(ID)).toBe(true)
  const written = queries.put({ ...parsed, ID: '11111111-2222-3333-4444-555555555555' }, true, id => sessions.has(id))
  problem = "Check 'alive' is in critical state"
  free()
  const outcomes = await Promise.allSettled([made, written, before, destroyed])
  const reasons = outcomes.map(outcome => (outcome.status === 'rejected' ? (outcome.reason as Error).message : 'done'))
  expect(reasons).toEqual([problem, `failed session lookup: invalid session '${ID}'`, 'done', 'done'])
  expect([sessions.size, queries.list(), problems]).toEqual([0, [], []])
  await sessions.stop()
})
