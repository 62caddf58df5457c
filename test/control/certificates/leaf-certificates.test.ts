import { afterEach, expect, it, vi } from 'vitest'
import { type Leaf, LeafCertificates } from '../../../src/control/certificates/leaf-certificates.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import type { Store } from '../../../src/control/store/store.js'
import { CertificateAuthority } from '../../../src/mtls/ca/authority.js'
import { MemoryCaStore, testConfig } from '../../mtls/ca/support.js'
import { eventually } from '../../support/eventually.js'

afterEach(() => {
  vi.useRealTimers()
})

it('a leaf that is being signed while the root rotates is replaced soon after, as every other is', async () => {
  const store = new MemoryStore()
  const ca = new CertificateAuthority({ store: new MemoryCaStore(), config: testConfig })
  await ca.init()
  const leaves: Leaf[] = []
  const certificates = new LeafCertificates({
    ca,
    store,
    seal: undefined,
    datacenter: 'dc1',
    onLeaf: leaf => leaves.push(leaf),
    onProblem: (_service, reason) => expect.fail(reason),
  })
  await certificates.start()
  const before = ca.roots().ActiveRootID
  const signed = ca.signer.issue.bind(ca.signer)
  let rotate = true
  vi.spyOn(ca.signer, 'issue').mockImplementation(async identity => {
    const leaf = await signed(identity)
    if (rotate) {
      rotate = false
      await ca.rotateRoot()
    }
    return leaf
  })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  await certificates.ensure('web')
  expect(leaves.map(leaf => leaf.rootId)).toEqual([before])
  await vi.advanceTimersByTimeAsync(30_000)
  vi.useRealTimers()
  await eventually(() => expect(leaves.map(leaf => leaf.rootId)).toEqual([before, ca.roots().ActiveRootID]))
  certificates.stop()
  await ca.close()
  await store.close()
})

it('what the CA cannot sign when it is asked for in advance is asked for again by itself', async () => {
  const ca = new CertificateAuthority({ store: new MemoryCaStore(), config: testConfig })
  await ca.init()
  const leaves: Leaf[] = []
  const problems: string[] = []
  const certificates = new LeafCertificates({
    ca,
    store: new MemoryStore(),
    seal: undefined,
    datacenter: 'dc1',
    onLeaf: leaf => leaves.push(leaf),
    onProblem: (_service, reason) => problems.push(reason),
  })
  const issue = vi.spyOn(ca.signer, 'issue').mockRejectedValueOnce(new Error('not now'))
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  certificates.prepare('web')
  certificates.prepare('web')
  await eventually(() => expect(problems).toEqual(['not now']))
  certificates.prepare('web')
  expect(issue).toHaveBeenCalledTimes(1)
  await vi.advanceTimersByTimeAsync(1_000)
  vi.useRealTimers()
  await eventually(() => expect(leaves).toHaveLength(1))
  certificates.stop()
  await ca.close()
})

it('a rotation asks for no more certificates a second than the CA signs', async () => {
  const ca = new CertificateAuthority({ store: new MemoryCaStore(), config: { ...testConfig, csrMaxPerSecond: 0.01 } })
  await ca.init()
  const certificates = new LeafCertificates({
    ca,
    store: new MemoryStore(),
    seal: undefined,
    datacenter: 'dc1',
    random: () => 0.999,
    onLeaf: () => {},
    onProblem: (_service, reason) => expect.fail(reason),
  })
  await certificates.start()
  await certificates.ensure('web')
  const timer = vi.spyOn(globalThis, 'setTimeout')
  await ca.rotateRoot()
  // One in 100 s, and a fifth of that for who asks meanwhile.
  expect(timer.mock.calls.map(([, delayMs]) => delayMs)).toContain(Math.floor(0.999 * 125_000))
  timer.mockRestore()
  certificates.stop()
  await ca.close()
})

it('follows the clock: a leaf that has ended by it, or not begun, is replaced within a minute and at every use, and said', async () => {
  const ca = new CertificateAuthority({ store: new MemoryCaStore(), config: testConfig })
  await ca.init()
  let offsetMs = 0
  const problems: string[] = []
  const leaves: Leaf[] = []
  const certificates = new LeafCertificates({
    ca,
    store: new MemoryStore(),
    seal: undefined,
    datacenter: 'dc1',
    now: () => Date.now() + offsetMs,
    onLeaf: leaf => leaves.push(leaf),
    onProblem: (_service, reason) => problems.push(reason),
  })
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  await certificates.start()
  const first = await certificates.ensure('web')
  vi.advanceTimersByTime(60_000)
  expect(await certificates.ensure('web')).toBe(first)
  offsetMs = 80 * 24 * 3_600_000
  vi.advanceTimersByTime(60_000)
  vi.useRealTimers()
  await eventually(() => expect(leaves.length).toBeGreaterThanOrEqual(2))
  expect(problems[0]).toMatch(/^not valid by the clock \(from .* to .*\), replaced now$/)
  offsetMs = -80 * 24 * 3_600_000
  const last = leaves.at(-1)!
  expect((await certificates.ensure('web')).serial).not.toBe(last.serial)
  certificates.stop()
  await ca.close()
})

it('a leaf that nobody wants any more ends when it would be renewed, with its key and its timer', async () => {
  const store = new MemoryStore()
  const ca = new CertificateAuthority({ store: new MemoryCaStore(), config: testConfig })
  await ca.init()
  const ended: string[] = []
  const leaves: Leaf[] = []
  const certificates = new LeafCertificates({
    ca,
    store,
    seal: undefined,
    datacenter: 'dc1',
    isWanted: service => service === 'web',
    onLeaf: leaf => leaves.push(leaf),
    onEnd: service => ended.push(service),
    onProblem: (_service, reason) => expect.fail(reason),
  })
  await certificates.start()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  await certificates.ensure('web')
  await certificates.ensure('nobody')
  await vi.advanceTimersByTimeAsync(leaves[0]!.notAfter.getTime() - Date.now())
  vi.useRealTimers()
  await eventually(() => expect(leaves.map(({ service }) => service)).toEqual(['web', 'nobody', 'web']))
  expect(ended).toEqual(['nobody'])
  expect((await store.list('leaf')).map(({ key }) => key)).toEqual(['web'])
  certificates.stop()
  await ca.close()
  await store.close()
})

it('of replicas that share the store one signs for a service; another does once nothing comes of that', async () => {
  const store = new MemoryStore()
  const shared: Store = Object.create(store, { isShared: { value: true } })
  const ca = new CertificateAuthority({ store: new MemoryCaStore(), config: testConfig })
  await ca.init()
  const issue = vi.spyOn(ca.signer, 'issue')
  const replica = (turn: number) =>
    new LeafCertificates({
      ca,
      store: shared,
      seal: undefined,
      datacenter: 'dc1',
      replicas: { turnFor: () => turn, list: () => Array(2) },
      onLeaf: () => {},
      onProblem: (_service, reason) => expect.fail(reason),
    })
  const [first, second] = [replica(0), replica(1)]
  for (const each of [first, second]) await each.start()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  for (const each of [first, second]) each.prepare('web', true)
  await eventually(() => expect(second.get('web')).toBeDefined())
  expect(second.get('web')).toEqual(first.get('web'))
  await vi.advanceTimersByTimeAsync(3_000)
  expect(issue).toHaveBeenCalledTimes(1)

  // A new root: again one.
  const { serial } = first.get('web')!
  await ca.rotateRoot()
  await vi.advanceTimersByTimeAsync(30_000)
  await eventually(() => expect(second.get('web')!.serial).not.toBe(serial))
  await eventually(() => expect(second.get('web')).toEqual(first.get('web')))
  await vi.advanceTimersByTimeAsync(63_000)
  expect(issue).toHaveBeenCalledTimes(2)

  // The first is gone, and nobody knows yet.
  first.stop()
  second.prepare('api', true)
  await vi.advanceTimersByTimeAsync(2_999)
  expect(second.get('api')).toBeUndefined()
  await vi.advanceTimersByTimeAsync(1)
  vi.useRealTimers()
  await eventually(() => expect(second.get('api')).toBeDefined())
  // What only this one knows of is signed at once.
  second.prepare('billing')
  await eventually(() => expect(second.get('billing')).toBeDefined())
  second.stop()
  await ca.close()
  await store.close()
})

it('names that change while a leaf is being signed are those of the next one, at once', async () => {
  const ca = new CertificateAuthority({ store: new MemoryCaStore(), config: testConfig })
  await ca.init()
  const leaves: Leaf[] = []
  let names = ['a.ingress.consul']
  const certificates = new LeafCertificates({
    ca,
    store: new MemoryStore(),
    seal: undefined,
    datacenter: 'dc1',
    dnsSans: () => names,
    onLeaf: leaf => leaves.push(leaf),
    onProblem: (_service, reason) => expect.fail(reason),
  })
  const signed = ca.signer.issue.bind(ca.signer)
  vi.spyOn(ca.signer, 'issue').mockImplementationOnce(async identity => {
    const leaf = await signed(identity)
    names = ['b.ingress.consul']
    certificates.namesChanged('ingress')
    return leaf
  })
  await certificates.ensure('ingress')
  await eventually(() => expect(leaves.map(({ dnsSans }) => dnsSans)).toEqual([['a.ingress.consul'], ['b.ingress.consul']]))
  certificates.stop()
  await ca.close()
})
