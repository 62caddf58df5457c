// One of two leads; the other follows when it stops, and when it falls silent.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { KubeClient } from '../../../src/kubernetes/api/kube-client.js'
import { LeaderLease } from '../../../src/kubernetes/api/leader-lease.js'
import type { Json } from '../../support/admission-reviews.js'
import { FakeKubeApi } from '../../support/fake-kube-api.js'
import { until } from '../../support/proxy-process.js'

const LEASES = '/apis/coordination.k8s.io/v1/leases'
let kube: FakeKubeApi
let client: KubeClient
let told: string[]
const leases: LeaderLease[] = []

beforeEach(async () => {
  kube = await FakeKubeApi.start()
  client = new KubeClient(kube.config)
  told = []
})

afterEach(async () => {
  for (const lease of leases.splice(0)) await lease.stop()
  client.close()
  await kube.stop()
})

function candidate(identity: string): LeaderLease {
  const lease = new LeaderLease(client, {
    namespace: 'mesh',
    name: 'outrigger-k8s',
    identity,
    times: { leaseS: 1, renewForMs: 600, retryEveryMs: 20 },
    onLeading: () => told.push(`${identity} leads`),
    onLost: async () => void told.push(`${identity} lost`),
    onProblem: () => {},
  })
  leases.push(lease)
  return lease
}

const spec = (): Json => kube.get(LEASES, 'outrigger-k8s', 'mesh')?.spec

it('who stops gives the lease back, and the next one takes it', async () => {
  const first = candidate('one')
  await until('told.length', () => told.length === 1)
  candidate('two')
  const renewed = spec().renewTime
  await until('a renewal', () => spec().renewTime !== renewed)
  expect(told).toEqual(['one leads'])
  await first.stop()
  await until('told.at(-1)', () => told.at(-1) === 'two leads')
  expect(told).toEqual(['one leads', 'one lost', 'two leads'])
  expect(spec()).toMatchObject({ holderIdentity: 'two', leaseTransitions: 1 })
})

it('a lease whose holder is silent is taken once it has not changed for its time', async () => {
  kube.put(LEASES, {
    metadata: { name: 'outrigger-k8s', namespace: 'mesh' },
    spec: { holderIdentity: 'gone', leaseDurationSeconds: 1, leaseTransitions: 4 },
  })
  candidate('one')
  await until('told.length', () => told.length === 1)
  expect(spec()).toMatchObject({ holderIdentity: 'one', leaseTransitions: 5 })
})

it('who waits for an answer longer than its renewal is good for stops, and leads again when it comes', async () => {
  candidate('one')
  await until('told.length', () => told.length === 1)
  kube.silent = 'PUT'
  await until('told.length', () => told.length === 2)
  expect(told).toEqual(['one leads', 'one lost'])
  kube.silent = ''
  await until('told.length', () => told.length === 3)
  expect(told.at(-1)).toBe('one leads')
})

it('says whether the cluster answers, also of who does not lead', async () => {
  kube.failures.push({ match: 'GET', status: 500 })
  const first = candidate('one')
  expect([first.started, first.ready]).toEqual([false, false])
  await until('the first leads', () => told.length === 1)
  const second = candidate('two')
  await until('the second has asked', () => second.ready)
  expect([first.ready, second.started, told]).toEqual([true, true, ['one leads']])
})

it('who finds the lease in the hands of another stops', async () => {
  candidate('one')
  await until('told.length', () => told.length === 1)
  const taken = (): void =>
    void kube.put(LEASES, { ...kube.get(LEASES, 'outrigger-k8s', 'mesh'), spec: { ...spec(), holderIdentity: 'thief' } })
  taken()
  await until('told.at(-1)', () => told.at(-1) === 'one lost')
})
