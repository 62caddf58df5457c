// Three replicas of the store on a real three-node etcd, under writers, readers and swappers, while members are killed, the way to etcd is cut, slow or broken, and
// etcd throws its history away: what clients saw is checked as a history (test/support/linearizable.ts).
// STORE_FAULT_SECONDS makes it longer (`npm run soak:ha`).
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EtcdStore } from '../../../../src/control/store/etcd/etcd-store.js'
import { put } from '../../../../src/control/store/store.js'
import { EtcdCluster, etcdBin } from '../../../support/etcd-cluster.js'
import { isLinearizable, type Operation, type Value } from '../../../support/linearizable.js'
import { until } from '../../../support/proxy-process.js'
import { TcpRelay } from '../../../support/tcp-relay.js'

const SECONDS = Number(process.env['STORE_FAULT_SECONDS'] ?? 4)
const KEYS = ['a', 'b', 'c']
const NEVER = Number.POSITIVE_INFINITY
/** Above it the search for an order may take too long. */
const MAX_OPERATIONS_OF_A_KEY = 3_000
/** Below it a history says little; a machine under load takes longer to have so many. */
const MIN_OPERATIONS_OF_A_KEY = 21
const GIVE_UP_SECONDS = 60

function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

describe.skipIf(etcdBin === undefined)('the store under faults (no etcd is installed here)', () => {
  let etcd: EtcdCluster
  const relays: TcpRelay[] = []
  const stores: EtcdStore[] = []
  const commits: string[][] = [[], [], []]
  const histories = new Map(KEYS.map(key => [key, [] as Operation[]]))
  let stopped = false

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
      store.subscribe(['kv'], ({ index, changes }) => {
        commits[i]!.push(`${index} ${changes.map(({ key, record }) => `${key}=${String(record?.value)}`).join()}`)
      })
      stores.push(store)
    }
  })
  afterAll(async () => {
    for (const relay of relays) relay.heal()
    await Promise.all(stores.map(store => store.close()))
    await Promise.all(relays.map(relay => relay.stop()))
    await etcd.stop()
  })

  async function act(client: number, n: number, roll: () => number): Promise<void> {
    const store = stores[client % 3]!
    const key = KEYS[Math.floor(roll() * KEYS.length)]!
    const history = histories.get(key)!
    if (history.length >= MAX_OPERATIONS_OF_A_KEY) return
    const value = `${client}-${n}`
    const begin = performance.now()
    const kind = roll()
    if (kind < 0.4) {
      await store.catchUp()
      const saw = ((await store.get('kv', key))?.value as string | undefined) ?? null
      history.push({ kind: 'read', saw, begin, end: performance.now() })
      return
    }
    const record = await store.get('kv', key)
    const expected: Value = (record?.value as string | undefined) ?? null
    const compares = kind < 0.7 ? [] : [{ collection: 'kv', key, modifyIndex: record?.modifyIndex ?? 0 } as const]
    const done = (end: number, swapped: boolean | undefined): void => {
      if (compares.length === 0) history.push({ kind: 'write', value, begin, end })
      else history.push({ kind: 'swap', expected, value, swapped, begin, end })
    }
    try {
      // Now and then one that is laid down in parts.
      const others = roll() < 0.02 ? Array.from({ length: 130 }, (_, i) => put('service', `other-${i}`, value)) : []
      const { ok } = await store.transaction([put('kv', key, value), ...others], compares)
      done(performance.now(), ok)
    } catch (error) {
      // What was not written for certain has not happened.
      if (!(error as Error).message.includes('nothing was written')) done(NEVER, undefined)
    }
  }

  async function client(number: number): Promise<void> {
    const roll = random(17 + number)
    for (let n = 0; !stopped; n++) {
      await act(number, n, roll).catch(() => {})
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }

  const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

  async function leader(): Promise<number> {
    const status = JSON.parse(await etcd.ctl('endpoint', 'status', '-w', 'json')) as {
      Status: { header: { member_id: number }; leader: number }
    }[]
    return Math.max(
      0,
      status.findIndex(({ Status }) => Status.leader === Status.header.member_id),
    )
  }

  it('keeps every acknowledged write, in one order that all replicas saw whole', {
    timeout: (SECONDS + GIVE_UP_SECONDS + 90) * 1_000,
  }, async () => {
    const clients = Array.from({ length: 6 }, (_, i) => client(i))
    const roll = random(4)
    const begin = performance.now()
    const hasSeenEnough = () =>
      performance.now() >= begin + SECONDS * 1_000 && [...histories.values()].every(({ length }) => length >= MIN_OPERATIONS_OF_A_KEY)
    while (!hasSeenEnough() && performance.now() < begin + (SECONDS + GIVE_UP_SECONDS) * 1_000) {
      const relay = relays[Math.floor(roll() * 3)]!
      const fault = roll()
      if (fault < 0.3) {
        const killed = etcd.members[await leader()]!
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
    stopped = true
    await Promise.all(clients)
    await until('all replicas are back', async () => {
      await Promise.all(stores.map(store => store.catchUp()))
      return true
    })
    const lists = await Promise.all(stores.map(store => store.list('kv')))
    expect(lists[1]).toEqual(lists[0])
    expect(lists[2]).toEqual(lists[0])
    for (const seen of commits) {
      const indexes = seen.map(line => Number(line.split(' ')[0]))
      expect(indexes).toEqual([...new Set(indexes)].sort((a, b) => a - b))
      expect(indexes.at(-1)).toBe(stores[0]!.index)
    }
    // Where two tell of one index, they tell the same.
    const byIndex = new Map(commits[0]!.map(line => [line.split(' ')[0], line]))
    for (const line of [...commits[1]!, ...commits[2]!]) {
      const other = byIndex.get(line.split(' ')[0])
      if (other !== undefined && !line.includes(',') && !other.includes(',')) expect(line).toBe(other)
    }
    for (const [key, history] of histories) {
      expect(history.length, `operations of ${key}`).toBeGreaterThanOrEqual(MIN_OPERATIONS_OF_A_KEY)
      expect(isLinearizable(history), `${key}: ${JSON.stringify(history.slice(-60))}`).toBe(true)
    }
  })
})

describe.skipIf(etcdBin === undefined)('a full etcd (none is installed here)', () => {
  let etcd: EtcdCluster
  beforeAll(async () => {
    etcd = await EtcdCluster.start({ args: ['--quota-backend-bytes', String(8 * 1024 * 1024)] })
  })
  afterAll(() => etcd.stop())

  it('refuses writes in one line that says so, goes on with reads, and with writes once there is room', async () => {
    const store = await EtcdStore.open({ store: etcd.url, prefix: '/full' }, () => {})
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
    const { header } = JSON.parse(await etcd.ctl('get', 'x', '-w', 'json')) as { header: { revision: number } }
    await etcd.ctl('compact', String(header.revision))
    await etcd.ctl('defrag')
    await etcd.ctl('alarm', 'disarm')
    expect(await store.put('kv', 'small', 1)).toBe(index + 1)
    await until('the late one has its task', () => held === 1)
    await Promise.all([store.close(), late.close()])
  })
})
