// The same three replicas of the store on a three-node etcd whose members are each in a network namespace: packets vanish between the leader and the
// others, in one direction alone, between clients and a member; the leader's disk takes long. What clients saw is checked as a history
// (test/support/store-load.ts). STORE_FAULT_SECONDS makes it longer (`npm run soak:ha`).
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EtcdStore } from '../../../../src/control/store/etcd/etcd-store.js'
import { EtcdCluster, etcdBin } from '../../../support/etcd-cluster.js'
import { canSlowDisks, EtcdNetwork, networkProblem } from '../../../support/etcd-network.js'
import { StoreLoad, seededRandom } from '../../../support/store-load.js'

const SECONDS = Number(process.env['STORE_FAULT_SECONDS'] ?? 4)
const GIVE_UP_SECONDS = 60
const problem = etcdBin === undefined ? 'no etcd is installed here' : networkProblem

describe.skipIf(problem !== '')(`the store in namespaces of a network ${problem}`, () => {
  let network: EtcdNetwork
  let etcd: EtcdCluster
  const stores: EtcdStore[] = []
  let load: StoreLoad

  beforeAll(async () => {
    network = EtcdNetwork.make(3)
    etcd = await EtcdCluster.start({ size: 3, places: network.places })
    for (let i = 0; i < 3; i++) {
      // Each begins with another member.
      const members = [0, 1, 2].map(n => etcd.members[(i + n) % 3]!.address)
      stores.push(await EtcdStore.open({ store: `etcd://${members.join(',')}`, prefix: '/network' }, () => {}))
    }
    load = new StoreLoad(stores)
  })
  afterAll(async () => {
    await Promise.all(stores.map(store => store.close()))
    await etcd?.stop()
    network?.close()
  })

  const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

  it('keeps every acknowledged write, in one order that all replicas saw whole', {
    timeout: (SECONDS + GIVE_UP_SECONDS + 90) * 1_000,
  }, async () => {
    load.begin()
    const roll = seededRandom(9)
    const faults: ((member: number) => void)[] = [
      // It goes on leading for its clients, until it notices; the others elect another one.
      member => network.partition(member),
      member => network.deafen(member),
      member => network.hide(member),
      ...(canSlowDisks ? [(member: number) => network.slowDisk(member, 20)] : []),
    ]
    const begin = performance.now()
    const isDone = (n: number) => n >= faults.length && performance.now() >= begin + SECONDS * 1_000 && load.hasSeenEnough
    for (let n = 0; !isDone(n) && performance.now() < begin + (SECONDS + GIVE_UP_SECONDS) * 1_000; n++) {
      // The leader as a rule: of the others a majority needs only one.
      const member = roll() < 0.75 ? await etcd.leader().catch(() => 0) : Math.floor(roll() * 3)
      faults[n % faults.length]!(member)
      await pause(600)
      network.heal(member)
      if (canSlowDisks) network.slowDisk(member, 0)
      await pause(200)
    }
    await load.end()
    await load.expectConsistent()
    expect(load.hasSeenEnough).toBe(true)
  })
})
