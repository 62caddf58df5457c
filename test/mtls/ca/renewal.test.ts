import { createPublicKey, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { certificatePems } from '../../../src/mtls/x509/der.js'
import { generateKey, privateKeyPem } from '../../../src/mtls/x509/keys.js'
import { issueIntermediate, issueRoot } from '../../../src/mtls/x509/x509.js'
import { ManualClock } from '../../support/manual-clock.js'
import { hourMs, MemoryCaStore, makeCa, testConfig } from './support.js'

const yearMs = 8760 * hourMs

describe('maintenance, left to itself for years', () => {
  it('rotates the root in its last year, before an intermediate would be cut short; every leaf lives its full time', async () => {
    const { ca, clock, leaf, events, problems } = makeCa()
    await ca.init()
    const firstRoot = ca.roots().ActiveRootID
    const startMs = clock.wallNow()
    let rotatedAtMs: number | undefined
    let previous = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }
    while (clock.wallNow() < startMs + 12 * yearMs) {
      await clock.settle(30 * 24 * hourMs)
      await ca.maintain()
      const next = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }
      expect(next.leaf.notAfter.getTime() - clock.wallNow()).toBe(
        Math.floor(clock.wallNow() / 1000) * 1000 + testConfig.leafCertTtlMs - clock.wallNow(),
      )
      if (ca.roots().ActiveRootID !== firstRoot && rotatedAtMs === undefined) {
        rotatedAtMs = clock.wallNow()
        // A peer that has not heard of the new root trusts the new leaf all the same: the chain ends in a cross-sign of the old root.
        const cross = new X509Certificate(certificatePems(next.leaf.chainPem)[2]!)
        expect(cross.verify(new X509Certificate(previous.bundlePem).publicKey)).toBe(true)
        expect(Date.parse(cross.validTo)).toBeGreaterThan(clock.wallNow() + 2 * testConfig.leafCertTtlMs - 1_000)
      }
      previous = next
    }
    expect(rotatedAtMs! - startMs).toBeGreaterThan(9 * yearMs - 31 * 24 * hourMs)
    expect(rotatedAtMs! - startMs).toBeLessThan(9.5 * yearMs + 31 * 24 * hourMs)
    expect(events.filter(kind => kind === 'leaf-reissue')).toHaveLength(1)
    expect(problems).toEqual([expect.stringMatching(/^the root ends at .*: rotating to a new one$/)])
    expect(ca.roots().Roots).toHaveLength(1)
    expect(ca.expiries().intermediateMs).toBeLessThan(ca.expiries().rootMs)
  })

  it('with the shortest lifetimes too there is always a signer, and leaves are never shorter than the time to the next look', async () => {
    const { ca, clock, leaf } = makeCa({
      config: { ...testConfig, leafCertTtlMs: hourMs, intermediateCertTtlMs: 3 * hourMs, rootCertTtlMs: 3 * hourMs + 1_000 },
    })
    await ca.init()
    for (let minutes = 0; minutes < 24 * 60; minutes += 10) {
      const issued = await leaf('web')
      expect(issued.notAfter.getTime() - clock.wallNow()).toBeGreaterThan(3_590_000)
      await clock.settle(600_000)
      await ca.maintain()
    }
  })

  it('a root that ended while the control plane was down is replaced at its start, though it can cross-sign no more', async () => {
    const store = new MemoryCaStore()
    const clock = new ManualClock()
    await makeCa({ store, clock }).ca.init()
    await clock.settle(10 * yearMs + hourMs)
    const again = makeCa({ store, clock })
    await again.ca.init()
    expect((await again.leaf('web')).notAfter.getTime()).toBeGreaterThan(clock.wallNow())
    expect(again.problems).toEqual([expect.stringContaining('rotating to a new one')])
  })
})

describe("what is the operator's to renew", () => {
  it('is a warning once a day: a root given in the configuration', async () => {
    const clock = new ManualClock()
    const key = await generateKey({ type: 'ec', bits: 256 })
    const given = issueRoot({
      key,
      name: 'Own',
      trustDomain: 'x',
      notBeforeMs: clock.wallNow() - 1_000,
      notAfterMs: clock.wallNow() + 2 * yearMs,
    })
    const provider = { kind: 'consul', privateKeyPem: privateKeyPem(key), rootCertPem: given.pem } as const
    const { ca, problems, events } = makeCa({ clock, config: { ...testConfig, provider } })
    await ca.init()
    await clock.settle(0.9 * yearMs)
    await ca.maintain()
    expect(problems).toEqual([])
    await clock.settle(0.6 * yearMs)
    for (let i = 0; i < 3; i++) await ca.maintain()
    // The intermediate is renewed as long as that gains time; then the root is named.
    await clock.settle(25 * hourMs)
    for (let i = 0; i < 3; i++) await ca.maintain()
    expect(problems.length).toBeGreaterThan(0)
    expect(new Set(problems).size).toBe(problems.length)
    for (const problem of problems) expect(problem).toMatch(/^the root ends at .* \(days left: 18\d\); give a new RootCert and PrivateKey$/)
    expect(events).toEqual([])
  })

  it('is a warning once a day: files', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'ca-renewal-'))
    const clock = new ManualClock()
    const key = await generateKey({ type: 'ec', bits: 256 })
    const times = { notBeforeMs: clock.wallNow() - 1_000, notAfterMs: clock.wallNow() + 1_000 * hourMs }
    const root = { key, certificate: issueRoot({ key, name: 'Root', trustDomain: 'x', ...times }) }
    const own = await generateKey({ type: 'ec', bits: 256 })
    const intermediate = issueIntermediate(root, { publicKey: createPublicKey(own), name: 'Int', trustDomain: 'x', ...times })
    const [rootFile, intermediateFile, keyFile] = ['root.pem', 'int.pem', 'key.pem'].map(name => join(directory, name)) as [
      string,
      string,
      string,
    ]
    await Promise.all([
      writeFile(rootFile, root.certificate.pem),
      writeFile(intermediateFile, intermediate.pem),
      writeFile(keyFile, privateKeyPem(own)),
    ])
    const { ca, problems } = makeCa({ clock, config: { ...testConfig, provider: { kind: 'files', rootFile, intermediateFile, keyFile } } })
    try {
      await ca.init()
      await clock.settle(400 * hourMs)
      await ca.maintain()
      expect(problems).toEqual([])
      await clock.settle(101 * hourMs)
      await ca.maintain()
      await ca.maintain()
      expect(problems.splice(0)).toEqual([
        expect.stringMatching(/half the life of the intermediate is over, .*days left: 20\); renew it in .*int\.pem/),
      ])
      await clock.settle(400 * hourMs)
      await ca.maintain()
      expect(problems).toEqual([
        expect.stringMatching(/nine tenths .*days left: 4\); replace it in .*root\.pem; more than half .*int\.pem/),
      ])
    } finally {
      await ca.close()
      await rm(directory, { recursive: true })
    }
  })
})

it('says that a configuration given at a later start is not the one in force', async () => {
  const store = new MemoryCaStore()
  await makeCa({ store }).ca.init()
  const same = makeCa({ store })
  await same.ca.init()
  expect(same.problems).toEqual([])
  const other = makeCa({ store, config: { ...testConfig, leafCertTtlMs: 2 * hourMs } })
  await other.ca.init()
  expect(other.problems).toEqual([expect.stringContaining('differs from the one in force')])
  expect(other.ca.config.leafCertTtlMs).toBe(testConfig.leafCertTtlMs)
})
