import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type EtcdClient, EtcdError } from '../../../../src/control/store/etcd/etcd-client.js'
import { EtcdStore } from '../../../../src/control/store/etcd/etcd-store.js'
import { type Commit, put, remove, type Store } from '../../../../src/control/store/store.js'
import { type HeldLease, LeaseLost } from '../../../../src/control/store/task-leases.js'
import { EtcdCluster, etcdBin } from '../../../support/etcd-cluster.js'
import { until } from '../../../support/proxy-process.js'
import { TcpRelay } from '../../../support/tcp-relay.js'
import { storeContract } from '../store-contract.js'

let etcd: EtcdCluster
let prefixes = 0
const problems: string[] = []

const open = (prefix: string): Promise<EtcdStore> => EtcdStore.open({ store: etcd.url, prefix }, reason => problems.push(reason))

describe.skipIf(etcdBin === undefined)('with a real etcd (none is installed here)', () => {
  beforeAll(async () => {
    etcd = await EtcdCluster.start()
  })
  afterAll(() => etcd.stop())

  storeContract('EtcdStore', () => open(`/contract${prefixes++}`))

  describe('two replicas', () => {
    const opened: Store[] = []
    const pair = async (): Promise<[EtcdStore, EtcdStore]> => {
      const prefix = `/pair${prefixes++}`
      const stores: [EtcdStore, EtcdStore] = [await open(prefix), await open(prefix)]
      opened.push(...stores)
      return stores
    }
    afterEach(async () => {
      await Promise.all(opened.splice(0).map(store => store.close()))
    })

    it('see each other’s commits whole and in order, with the same indexes', async () => {
      const [one, two] = await pair()
      const seen: Commit[] = []
      two.subscribe(['service', 'check'], commit => seen.push(commit))
      await one.transaction([put('service', 'a', { n: 1 }), put('check', 'a', 'passing')])
      await one.put('service', 'a', { n: 2 })
      await one.delete('check', 'a')
      await two.catchUp()
      expect(seen.map(({ index, changes }) => [index, changes.length])).toEqual([
        [1, 2],
        [2, 1],
        [3, 1],
      ])
      expect(await two.get('service', 'a')).toEqual({ key: 'a', value: { n: 2 }, createIndex: 1, modifyIndex: 2 })
      expect(await two.list('check')).toEqual([])
      expect(await one.get('service', 'a')).toEqual(await two.get('service', 'a'))
    })

    it('never both decide on what was there before', async () => {
      const stores = await pair()
      const adds = stores.flatMap(store =>
        Array.from({ length: 20 }, () =>
          store.exclusive(async turn => {
            const count = ((await store.get('kv', 'count'))?.value as number | undefined) ?? 0
            await turn.transaction([put('kv', 'count', count + 1)])
          }),
        ),
      )
      await Promise.all(adds)
      await stores[1].catchUp()
      expect((await stores[1].get('kv', 'count'))?.value).toBe(40)
      expect(stores[1].index).toBe(40)
    })

    it('refuse by what is there now, not by what memory still says', async () => {
      const [one, two] = await pair()
      for (let i = 0; i < 20; i++) {
        await one.put('kv', 'a', i)
        // The other one may not have heard of it.
        const value = await two.exclusive(async () => (await two.get('kv', 'a'))?.value)
        expect(value).toBe(i)
        const { modifyIndex } = (await one.get('kv', 'a'))!
        expect((await two.transaction([put('kv', 'b', i)], [{ collection: 'kv', key: 'a', modifyIndex }])).ok).toBe(true)
      }
    })

    it('do a task once where nobody knows whether it was written', async () => {
      const [one, two] = await pair()
      const { client } = one as unknown as { readonly client: EtcdClient }
      const txn = client.txn.bind(client)
      client.txn = async request => {
        client.txn = txn
        await txn(request)
        throw new EtcdError('etcd 127.0.0.1:2379: no answer', true, 14)
      }
      let runs = 0
      const task = one.exclusive(turn => turn.transaction([put('kv', `made-by-run-${++runs}`, 1)]))
      await expect(task).rejects.toThrow('no answer; whether it was written is not known')
      await Promise.all([one.catchUp(), two.catchUp()])
      expect(runs).toBe(1)
      for (const store of [one, two]) expect((await store.list('kv')).map(({ key }) => key)).toEqual(['made-by-run-1'])
    })

    it('hear a note also while another one is refused', async () => {
      const [one, two] = await pair()
      const heard = new Map<string, unknown>()
      for (const topic of ['large', 'small']) two.notes.hear(topic, (_replica, note) => heard.set(topic, note))
      one.notes.say('large', 'x'.repeat(2_000_000))
      one.notes.say('small', 'here')
      await until('the small one is heard', () => heard.size > 0)
      expect([...heard]).toEqual([['small', 'here']])
    })

    it('go on where a note is none, or none that they understand', async () => {
      const [one, two] = await pair()
      const prefix = `/pair${prefixes - 1}`
      two.notes.hear('names', (_replica, note) => {
        for (const name of note as string[]) name.trim()
      })
      problems.length = 0
      await etcd.ctl('put', `${prefix}/note/names/stray`, 'no JSON')
      one.notes.say('names', 7)
      await until('both are said', () => problems.length >= 3)
      expect(problems.filter(problem => problem.includes('is left alone'))).toHaveLength(3)
      await one.put('kv', 'after', 1)
      await two.catchUp()
      expect((await two.get('kv', 'after'))?.value).toBe(1)
      const late = await open(prefix)
      opened.push(late)
      expect((await late.get('kv', 'after'))?.value).toBe(1)
    })

    it('write a transaction of any size whole, also in the eyes of who comes later or follows', async () => {
      const [one, two] = await pair()
      await one.put('kv', 'gone', 1)
      const large = 'x'.repeat(150_000)
      const seen: Commit[] = []
      two.subscribe(['kv'], commit => seen.push(commit))
      // The watch tells the writer of its own commits too: each is one.
      const told: number[] = []
      one.subscribe(['kv'], ({ index }) => told.push(index))
      const writes = Array.from({ length: 1_500 }, (_, i) => put('kv', `key${i}`, i % 100 === 0 ? large : i))
      expect(await one.transaction([remove('kv', 'gone'), ...writes])).toEqual({ ok: true, index: 2 })
      await two.catchUp()
      expect([seen.at(-1)!.index, seen.at(-1)!.changes.length]).toEqual([2, 1_501])
      // Not yet put in its places.
      const late = await open(`/pair${prefixes - 1}`)
      opened.push(late)
      expect(await late.list('kv')).toEqual(await one.list('kv'))
      expect(await two.put('kv', 'after', 1)).toBe(3)
      await one.catchUp()
      expect(told).toEqual([2, 3])
      const fresh = await open(`/pair${prefixes - 1}`)
      opened.push(fresh)
      expect(await fresh.list('kv')).toEqual(await one.list('kv'))
      expect(await etcd.ctl('get', '--prefix', '--keys-only', `/pair${prefixes - 1}/staged/`)).toBe('')
    })

    it('give a task to one of them, and to the other when it goes', async () => {
      const [one, two] = await pair()
      const held: { readonly who: string; readonly lease: HeldLease }[] = []
      const giveUp = one.leases.contend('backup', lease => held.push({ who: 'one', lease }))
      await until('the first one has it', () => held.length === 1)
      two.leases.contend('backup', lease => held.push({ who: 'two', lease }))
      await two.catchUp()
      const [first] = held
      await one.exclusive(turn => turn.transaction([put('kv', 'by', 'one')]), first!.lease)
      await giveUp()
      expect(first!.lease.signal.aborted).toBe(true)
      await until('the other one has it', () => held.length === 2)
      expect(held.map(({ who }) => who)).toEqual(['one', 'two'])
      await two.exclusive(turn => turn.transaction([put('kv', 'by', 'two')]), held[1]!.lease)
      await expect(one.exclusive(turn => turn.transaction([put('kv', 'by', 'one')]), first!.lease)).rejects.toThrow(LeaseLost)
    })

    it('refuse at etcd what a holder writes that has not noticed its loss', async () => {
      const [one, two] = await pair()
      const held: HeldLease[] = []
      one.leases.contend('rotation', lease => held.push(lease))
      await until('it is held', () => held.length > 0)
      await etcd.ctl('del', `/pair${prefixes - 1}/held/rotation`)
      await expect(one.exclusive(turn => turn.transaction([put('kv', 'a', 1)]), held[0])).rejects.toThrow(LeaseLost)
      await two.catchUp()
      expect(await two.list('kv')).toEqual([])
    })
  })

  it('goes on after a compaction that it has slept through, and tells the difference in one commit', async () => {
    const prefix = `/compacted${prefixes++}`
    const relay = await TcpRelay.start(etcd.members[0]!.clientPort)
    const reader = await EtcdStore.open({ store: `etcd://127.0.0.1:${relay.port}`, prefix }, reason => problems.push(reason))
    const writer = await open(prefix)
    await writer.transaction([put('kv', 'kept', 1), put('kv', 'gone', 1), put('kv', 'changed', 1)])
    await reader.catchUp()
    const seen: Commit[] = []
    reader.subscribe(['kv'], commit => seen.push(commit))
    relay.cut()
    await writer.put('kv', 'changed', 2)
    await writer.delete('kv', 'gone')
    await writer.put('kv', 'new', 1)
    const { header } = JSON.parse(await etcd.ctl('get', 'x', '-w', 'json')) as { header: { revision: number } }
    await etcd.ctl('compact', String(header.revision))
    relay.breakConnections()
    relay.heal()
    await until('the difference is told', () => seen.length > 0)
    expect(seen).toHaveLength(1)
    expect(seen[0]!.index).toBe(4)
    expect(seen[0]!.changes.map(({ key, record }) => [key, record?.value]).sort()).toEqual([
      ['changed', 2],
      ['gone', undefined],
      ['new', 1],
    ])
    await Promise.all([reader.close(), writer.close()])
    await relay.stop()
  })
})
