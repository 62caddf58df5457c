// What every `Store` keeps: the same cases run against each implementation (memory-store.test.ts, journal-store.test.ts,
// etcd-store.test.ts).
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Commit, put, remove, type Store, type Turn } from '../../../src/control/store/store.js'
import { type HeldLease, LeaseLost } from '../../../src/control/store/task-leases.js'
import { until } from '../../support/proxy-process.js'

export function storeContract(name: string, open: () => Promise<Store>): void {
  describe(`${name} as a Store`, () => {
    let store: Store
    beforeEach(async () => {
      store = await open()
    })
    afterEach(() => store.close())

    it('begins at index 0, and each transaction takes the next one', async () => {
      expect(store.index).toBe(0)
      expect(await store.put('service', 'a', 1)).toBe(1)
      expect(await store.transaction([put('service', 'b', 1), put('check', 'b', 2)])).toEqual({ ok: true, index: 2 })
      expect(await store.delete('service', 'a')).toBe(3)
      expect(store.index).toBe(3)
    })

    it('keeps createIndex and moves modifyIndex when a record is overwritten, and begins anew after a delete', async () => {
      await store.put('service', 'a', 1)
      await store.put('service', 'a', 2)
      expect(await store.get('service', 'a')).toEqual({ key: 'a', value: 2, createIndex: 1, modifyIndex: 2 })
      await store.delete('service', 'a')
      expect(await store.get('service', 'a')).toBeUndefined()
      await store.put('service', 'a', 3)
      expect(await store.get('service', 'a')).toEqual({ key: 'a', value: 3, createIndex: 4, modifyIndex: 4 })
    })

    it('gives back what was written, whatever the keys and values', async () => {
      const value = { text: 'ä\u{1f600}\n"', list: [1, null, true], deep: { __proto__x: {} } }
      for (const key of ['a/b', '', '__proto__', 'ä\u{1f600}', "'; DROP TABLE records", 'line\nend']) {
        await store.put('config-entry', key, value)
        expect(await store.get('config-entry', key)).toMatchObject({ key, value })
      }
      value.list.push(2)
      expect((await store.get('config-entry', ''))!.value).toMatchObject({ list: [1, null, true] })
    })

    it('lists a collection in the order of the keys’ bytes, and by prefix', async () => {
      for (const key of ['b', 'a/2', '\u{1f600}', 'a', '\uffff', 'a/1', 'B']) await store.put('config-entry', key, key)
      await store.put('service', 'a/3', 1)
      const keys = async (prefix?: string) => (await store.list('config-entry', prefix)).map(({ key }) => key)
      expect(await keys()).toEqual(['B', 'a', 'a/1', 'a/2', 'b', '\uffff', '\u{1f600}'])
      expect(await keys('a/')).toEqual(['a/1', 'a/2'])
      expect(await keys('c')).toEqual([])
    })

    it('writes all of a transaction or, where a compare does not hold, nothing', async () => {
      await store.put('service', 'a', 1)
      const refused = await store.transaction(
        [put('service', 'a', 2), put('service', 'b', 2)],
        [
          { collection: 'service', key: 'a', modifyIndex: 1 },
          { collection: 'service', key: 'b', modifyIndex: 7 },
        ],
      )
      expect(refused).toEqual({ ok: false, conflict: { collection: 'service', key: 'b', modifyIndex: 7 } })
      expect([store.index, (await store.list('service')).map(({ value }) => value)]).toEqual([1, [1]])
      const absent = { collection: 'service', key: 'b', modifyIndex: 0 } as const
      expect(await store.transaction([put('service', 'b', 2)], [absent])).toEqual({ ok: true, index: 2 })
      expect(await store.transaction([put('service', 'b', 3)], [absent])).toEqual({ ok: false, conflict: absent })
    })

    it('lets one of many who compare with the same index win', async () => {
      await store.put('service', 'a', 0)
      const compare = [{ collection: 'service', key: 'a', modifyIndex: 1 }] as const
      const results = await Promise.all(Array.from({ length: 8 }, (_, i) => store.transaction([put('service', 'a', i)], compare)))
      expect(results.filter(({ ok }) => ok)).toHaveLength(1)
      expect(await store.get('service', 'a')).toMatchObject({ value: results.findIndex(({ ok }) => ok) })
    })

    it('tells subscribers of each commit in order, before its promise resolves', async () => {
      const seen: Commit[] = []
      const stop = store.subscribe(['service', 'check'], commit => seen.push(commit))
      const first = store.transaction([put('service', 'a', 1), put('leaf', 'a', 1), put('check', 'c', 2)])
      const second = store.put('service', 'b', 3)
      await first
      expect(seen[0]).toEqual({
        index: 1,
        changes: [
          { collection: 'service', key: 'a', record: { key: 'a', value: 1, createIndex: 1, modifyIndex: 1 } },
          { collection: 'check', key: 'c', record: { key: 'c', value: 2, createIndex: 1, modifyIndex: 1 } },
        ],
      })
      await second
      await store.put('leaf', 'a', 2)
      await store.transaction([remove('service', 'a')])
      expect(seen.map(({ index }) => index)).toEqual([1, 2, 4])
      expect(seen[2]!.changes).toEqual([{ collection: 'service', key: 'a', record: undefined }])
      stop()
      await store.put('service', 'c', 1)
      expect(seen).toHaveLength(3)
    })

    it('runs exclusive tasks one after another, also after one that failed', async () => {
      const order: string[] = []
      const task = (name: string) => async (turn: Turn) => {
        order.push(`${name} begins`)
        await turn.transaction([put('service', name, 1)])
        order.push(`${name} ends`)
        if (name === 'a') throw new Error('refused')
        return name
      }
      const first = store.exclusive(task('a'))
      const second = store.exclusive(task('b'))
      await expect(first).rejects.toThrow('refused')
      expect(await second).toBe('b')
      expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends'])
    })

    it('judges the compares of a turn too, and gives back what the task says', async () => {
      await store.put('service', 'a', 1)
      const compare = (modifyIndex: number) => [{ collection: 'service', key: 'a', modifyIndex }] as const
      const result = await store.exclusive(turn => turn.transaction([put('service', 'a', 2)], compare(7)))
      expect(result).toEqual({ ok: false, conflict: compare(7)[0] })
      expect((await store.exclusive(turn => turn.transaction([put('service', 'a', 2)], compare(1)))).ok).toBe(true)
      expect(await store.exclusive(async () => 'nothing written')).toBe('nothing written')
    })

    it('gives a task to one that contends for it, and refuses its writes once it is given up', async () => {
      let lease: HeldLease | undefined
      const giveUp = store.leases.contend('backup', held => {
        lease = held
      })
      await until('the task is held', () => lease)
      await store.exclusive(turn => turn.transaction([put('kv', 'a', 1)]), lease)
      await giveUp()
      expect(lease!.signal.aborted).toBe(true)
      await expect(store.exclusive(turn => turn.transaction([put('kv', 'b', 1)]), lease)).rejects.toThrow(LeaseLost)
      await store.catchUp()
      expect(await store.list('kv')).toHaveLength(1)
    })

    it('keeps a transaction of thousands of records, and one key written twice in it', async () => {
      const writes = Array.from({ length: 3_000 }, (_, i) => put('kv', `key${i}`, i))
      expect(await store.transaction([put('kv', 'key7', 'first'), ...writes, remove('kv', 'key8')])).toEqual({ ok: true, index: 1 })
      expect(await store.list('kv')).toHaveLength(2_999)
      expect((await store.get('kv', 'key7'))!.value).toBe(7)
      expect(await store.put('kv', 'key8', 'again')).toBe(2)
      expect(await store.get('kv', 'key8')).toMatchObject({ createIndex: 2 })
    })
  })
}
