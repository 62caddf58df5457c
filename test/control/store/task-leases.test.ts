import { expect, it } from 'vitest'
import { KvTable } from '../../../src/control/kv/kv-table.js'
import { KvWriter } from '../../../src/control/kv/kv-writer.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { put } from '../../../src/control/store/store.js'
import { type HeldLease, LeaseLost, LocalLeases } from '../../../src/control/store/task-leases.js'

it('gives a task to who comes first, and on when it is given up', async () => {
  const leases = new LocalLeases()
  const held: string[] = []
  const contend = (who: string, task: string) => leases.contend(task, lease => held.push(`${who}: ${lease.task}`))
  const first = contend('first', 'backup')
  const second = contend('second', 'backup')
  contend('third', 'backup')
  contend('second', 'rotation')
  expect(held).toEqual(['first: backup', 'second: rotation'])
  await second()
  await first()
  await first()
  expect(held.slice(2)).toEqual(['third: backup'])
})

it('aborts what its holder does when the task is given up, and lets it write nothing more', async () => {
  const store = new MemoryStore()
  let lease!: HeldLease
  const giveUp = store.leases.contend('backup', held => {
    lease = held
  })
  await store.exclusive(turn => turn.transaction([put('kv', 'a', 1)]), lease)
  expect(lease.signal.aborted).toBe(false)
  await giveUp()
  expect(lease.signal.aborted).toBe(true)
  await expect(store.exclusive(turn => turn.transaction([put('kv', 'b', 1)]), lease)).rejects.toThrow(LeaseLost)
  expect(await store.list('kv')).toHaveLength(1)
})

it('lets a decision about keys of a lost task write nothing, and others go on', async () => {
  const store = new MemoryStore()
  const writer = new KvWriter(store, await KvTable.open(store), { has: () => false, isDelayed: () => false })
  let lease!: HeldLease
  const giveUp = store.leases.contend('sessions', held => {
    lease = held
  })
  const end = (key: string, by?: HeldLease) => writer.run(() => ({ value: key, writes: [put('session', key, 1)] }), by)
  expect((await end('held', lease)).value).toBe('held')
  await giveUp()
  const other = end('asked')
  await expect(end('lost', lease)).rejects.toThrow(LeaseLost)
  await other
  expect((await store.list('session')).map(({ key }) => key)).toEqual(['asked', 'held'])
})
