// Three replicas of the store on a real three-node etcd, under writers, readers and swappers, while members are killed, the way to etcd is cut, slow or broken, and
// etcd throws its history away: what clients saw is checked as a history (test/support/store-load.ts).
// STORE_FAULT_SECONDS makes it longer (`npm run soak:ha`).
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EtcdStore } from '../../../../src/control/store/etcd/etcd-store.js'
import { EtcdCluster, etcdBin } from '../../../support/etcd-cluster.js'
import { until } from '../../../support/proxy-process.js'
import { StoreLoad, seededRandom } from '../../../support/store-load.js'
import { TcpRelay } from '../../../support/tcp-relay.js'

const SECONDS = Number(process.env['STORE_FAULT_SECONDS'] ?? 4)
const GIVE_UP_SECONDS = 60

describe.skipIf(etcdBin === undefined)('the store under faults (no etcd is installed here)', () => {
  let etcd: EtcdCluster
  const relays: TcpRelay[] = []
  const stores: EtcdStore[] = []
  let load: StoreLoad

  beforeAll(async () => {
    etcd = await EtcdCluster.start({ size: 3 })
    for (let i = 0; i < 3; i++) {
      const relay = await TcpRelay.start(etcd.members[i]!.clientPort)
      relays.push(relay)
    }
    for (let i = 0; i < 3; i++) {
      // Each begins with another member, through relays alone.
      const ports = [0, 1, 2].map(n => relays[(i + n) % 3]!.port)
      const store = await EtcdStore.open(
        { store: `etcd://${ports.map(port => `127.0.0.1:${port}`).join(',')}`, prefix: '/faults' },
        () => {},
      )
      stores.push(store)
    }
    load = new StoreLoad(stores)
  })
  afterAll(async () => {
    for (const relay of relays) relay.heal()
    await Promise.all(stores.map(store => store.close()))
    await Promise.all(relays.map(relay => relay.stop()))
    await etcd.stop()
  })

  const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

  it('keeps every acknowledged write, in one order that all replicas saw whole', {
    timeout: (SECONDS + GIVE_UP_SECONDS + 90) * 1_000,
  }, async () => {
    load.begin()
    const roll = seededRandom(4)
    const begin = performance.now()
    const isDone = () => performance.now() >= begin + SECONDS * 1_000 && load.hasSeenEnough
    while (!isDone() && performance.now() < begin + (SECONDS + GIVE_UP_SECONDS) * 1_000) {
      const relay = relays[Math.floor(roll() * 3)]!
      const fault = roll()
      if (fault < 0.3) {
        const killed = etcd.members[await etcd.leader()]!
        await killed.kill()
        await pause(300)
        killed.start()
        await killed.ready()
      } else if (fault < 0.5) {
        relay.cut()
        await pause(500)
        if (roll() < 0.5) relay.breakConnections()
        relay.heal()
      } else if (fault < 0.65) relay.breakConnections()
      else if (fault < 0.8) {
        relay.delay(100)
        await pause(300)
        relay.delay(0)
      } else {
        const { header } = JSON.parse(await etcd.ctl('get', 'x', '-w', 'json')) as { header: { revision: number } }
        await etcd.ctl('compact', String(header.revision)).catch(() => {})
      }
      await pause(100)
    }
    await load.end()
    await load.expectConsistent()
  })
})

describe.skipIf(etcdBin === undefined)('a full etcd (none is installed here)', () => {
  let etcd: EtcdCluster
  beforeAll(async () => {
    etcd = await EtcdCluster.start({ args: ['--quota-backend-bytes', String(8 * 1024 * 1024)] })
  })
  afterAll(() => etcd.stop())

  it('refuses writes in one line that says so, goes on with reads, and with writes once there is room', async () => {
    const said: string[] = []
    const store = await EtcdStore.open({ store: etcd.url, prefix: '/full' }, reason => said.push(reason))
    const large = 'x'.repeat(900_000)
    const fill = async (): Promise<void> => {
      for (let i = 0; i < 40; i++) await store.put('kv', 'large', `${i}${large}`)
    }
    await expect(fill()).rejects.toThrow(/^etcd 127\.0\.0\.1:\d+: its database is full \(quota\).* nothing was written$/)
    const { index } = store
    await store.catchUp()
    expect([store.contact.knowsLeader, store.index, (await store.get('kv', 'large'))!.modifyIndex]).toEqual([true, index, index])
    // A replica that starts now serves what there is, and takes part in the work once there is room.
    const late = await EtcdStore.open({ store: etcd.url, prefix: '/full' }, () => {})
    let held = 0
    late.leases.contend('task', () => held++)
    expect([(await late.get('kv', 'large'))!.modifyIndex, held]).toEqual([index, 0])
    // Each is tried twice a second, and what keeps them from being taken is said once.
    for (const task of ['one', 'another', 'a third']) store.leases.contend(task, () => held++)
    await until('it is said', () => said.some(reason => reason.startsWith('tasks')))
    const { header } = JSON.parse(await etcd.ctl('get', 'x', '-w', 'json')) as { header: { revision: number } }
    await etcd.ctl('compact', String(header.revision))
    await etcd.ctl('defrag')
    await etcd.ctl('alarm', 'disarm')
    expect(await store.put('kv', 'small', 1)).toBe(index + 1)
    await until('all have their tasks', () => held === 4)
    expect(said.filter(reason => reason.startsWith('tasks'))).toEqual([
      expect.stringMatching(/^tasks can't be taken: etcd .*: its database is full/),
      'tasks can be taken again',
    ])
    await Promise.all([store.close(), late.close()])
  })
})
