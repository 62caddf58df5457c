import { X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { CaConfig } from '../../../src/mtls/ca/config.js'
import { reissueDelayMs, renewAt } from '../../../src/mtls/ca/renewal.js'
import { createCsr } from '../../../src/mtls/x509/csr.js'
import { certificatePems } from '../../../src/mtls/x509/der.js'
import { generateKey, privateKeyPem } from '../../../src/mtls/x509/keys.js'
import { issueRoot, readCertificate } from '../../../src/mtls/x509/x509.js'
import { ManualClock } from '../../support/manual-clock.js'
import { handshake, hourMs, MemoryCaStore, makeCa, seeded, testConfig, trusted } from './support.js'

describe('CertificateAuthority', () => {
  it('makes cluster id and trust domain once and keeps them over restarts', async () => {
    const store = new MemoryCaStore()
    const first = makeCa({ store })
    await first.ca.init()
    expect(first.ca.clusterId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(first.ca.trustDomain).toBe(`${first.ca.clusterId}.consul`)
    const second = makeCa({ store })
    await second.ca.init()
    expect(second.ca.roots()).toEqual(first.ca.roots())
  })

  it('refuses everything before init', async () => {
    const { ca } = makeCa()
    expect(() => ca.roots()).toThrow('the CA is not initialised')
    await expect(ca.signer.sign('', { uri: 'spiffe://a/b' })).rejects.toMatchObject({ code: 'not-initialised' })
  })

  it('shows its roots as Consul does', async () => {
    const { ca } = makeCa()
    await ca.init()
    const { ActiveRootID, TrustDomain, Roots } = ca.roots()
    expect(TrustDomain).toBe(ca.trustDomain)
    expect(Roots).toHaveLength(1)
    const root = Roots[0]!
    const x509 = new X509Certificate(root.RootCert)
    expect(root).toMatchObject({
      ID: ActiveRootID,
      Active: true,
      ExternalTrustDomain: ca.clusterId,
      PrivateKeyType: 'ec',
      PrivateKeyBits: 256,
    })
    expect(root.ID).toBe(x509.fingerprint.toLowerCase())
    expect(root.SigningKeyID).toMatch(/^([0-9a-f]{2}:){31}[0-9a-f]{2}$/)
    expect(BigInt(root.SerialNumber)).toBe(BigInt(`0x${x509.serialNumber}`) & 0xffff_ffff_ffff_ffffn)
    expect(Date.parse(root.NotAfter)).toBe(Date.parse(x509.validTo))
    expect(root.NotBefore).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    expect(root.IntermediateCerts).toHaveLength(1)
    expect(root).not.toHaveProperty('RotatedOutAt')
    expect(ca.trustBundlePem()).toBe(root.RootCert)
  })

  it('signs a leaf as Consul does: extensions, times, serial, chain', async () => {
    const { ca, clock, uri } = makeCa({ clock: new ManualClock(Date.UTC(2026, 0, 1, 12, 0, 0, 500)) })
    await ca.init()
    const leaf = await ca.signer.issue({ uri: uri('web') })
    const [own, intermediate] = certificatePems(leaf.chainPem).map(pem => new X509Certificate(pem))
    const root = new X509Certificate(ca.trustBundlePem())
    expect(leaf.certPem).toBe(certificatePems(leaf.chainPem)[0])
    // Node 24 and later say '' of an empty name.
    expect(own!.subject || undefined).toBeUndefined()
    expect(own!.subjectAltName).toBe(`URI:${uri('web')}`)
    expect(own!.ca).toBe(false)
    expect([...own!.keyUsage].sort()).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
    expect(own!.checkIssued(intermediate!) && own!.verify(intermediate!.publicKey)).toBe(true)
    expect(intermediate!.checkIssued(root) && intermediate!.verify(root.publicKey)).toBe(true)
    expect(intermediate!.ca && root.ca && root.verify(root.publicKey)).toBe(true)
    expect(root.subjectAltName).toBe(`URI:spiffe://${ca.trustDomain}`)
    expect(leaf.notBefore.getTime()).toBe(Math.floor((clock.wallNow() - 60_000) / 1000) * 1000)
    expect(leaf.notAfter.getTime()).toBe(Math.floor((clock.wallNow() + 72 * hourMs) / 1000) * 1000)
    expect(Date.parse(own!.validTo)).toBe(leaf.notAfter.getTime())
    expect(leaf.serial.replaceAll(':', '').toUpperCase()).toBe(own!.serialNumber)
    expect(leaf.serial).toMatch(/^[4-7][0-9a-f](:[0-9a-f]{2}){19}$/)
    const parsed = readCertificate(leaf.certPem)
    expect(readCertificate(intermediate!.toString()).pathLength).toBe(0)
    // keyUsage: digitalSignature, keyEncipherment, dataEncipherment, keyAgreement, critical; SAN critical.
    expect(parsed.der.includes(Buffer.from('0603551d0f0101ff0404030203b8', 'hex'))).toBe(true)
    expect(parsed.der.includes(Buffer.from('0603551d110101ff', 'hex'))).toBe(true)
    expect(parsed.canSignCertificates).toBe(false)
  })

  it('gives every certificate a serial number of its own', async () => {
    const { ca, leaf } = makeCa()
    await ca.init()
    const serials = await Promise.all(Array.from({ length: 20 }, async () => (await leaf('web')).serial))
    expect(new Set(serials).size).toBe(20)
  })

  it.each([
    ['ec', 224],
    ['ec', 256],
    ['ec', 384],
    ['ec', 521],
    ['rsa', 2048],
  ] as const)('signs by %s %i roots, and node:crypto verifies the chain', async (type, bits) => {
    const { ca, leaf } = makeCa({ config: { ...testConfig, privateKey: { type, bits } } })
    await ca.init()
    const issued = await leaf('web')
    const [own, intermediate] = certificatePems(issued.chainPem).map(pem => new X509Certificate(pem))
    const root = new X509Certificate(ca.trustBundlePem())
    expect(own!.verify(intermediate!.publicKey) && intermediate!.verify(root.publicKey)).toBe(true)
    expect(own!.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
    expect(ca.roots().Roots[0]).toMatchObject({ PrivateKeyType: type, PrivateKeyBits: bits })
    // OpenSSL 3 has no P-224 among its TLS signature algorithms; the other chains must carry a connection.
    if (bits !== 224) {
      const party = { leaf: issued, bundlePem: ca.trustBundlePem() }
      expect(await handshake(party, party)).toEqual(trusted)
    }
  })

  it('uses GeneralizedTime from 2050 on', async () => {
    const { ca } = makeCa({ clock: new ManualClock(Date.UTC(2045, 5, 1)) })
    await ca.init()
    expect(new X509Certificate(ca.trustBundlePem()).validTo).toMatch(/ 2055 GMT$/)
    expect(ca.roots().Roots[0]!.NotAfter).toMatch(/^2055-/)
  })

  it('carries authorised DNS SANs for gateways', async () => {
    const { ca, uri } = makeCa()
    await ca.init()
    const leaf = await ca.signer.issue({ uri: uri('ingress'), dnsSans: ['*.ingress.consul', 'a.example'] })
    expect(new X509Certificate(leaf.certPem).subjectAltName).toBe(`DNS:*.ingress.consul, DNS:a.example, URI:${uri('ingress')}`)
  })

  it('bounds a leaf by LeafCertTTL and by its intermediate', async () => {
    const { ca, clock, uri } = makeCa()
    await ca.init()
    expect((await ca.signer.issue({ uri: uri('web'), ttlMs: 5_000 })).notAfter.getTime()).toBe(
      Math.floor((clock.wallNow() + 5_000) / 1000) * 1000,
    )
    for (const ttlMs of [0, -1, Number.NaN, 72 * hourMs + 1]) {
      await expect(ca.signer.issue({ uri: uri('web'), ttlMs })).rejects.toMatchObject({ code: 'ttl' })
    }
    await clock.settle(8760 * hourMs - 10_000)
    const late = await ca.signer.issue({ uri: uri('web') })
    expect(late.notAfter.getTime()).toBeLessThanOrEqual(clock.wallNow() + 10_000)
    await clock.settle(20_000)
    await expect(ca.signer.issue({ uri: uri('web') })).rejects.toMatchObject({ code: 'intermediate-expired' })
  })

  it('renews the intermediate past half its life; old leaves stay trusted', async () => {
    const { ca, clock, leaf } = makeCa()
    await ca.init()
    const before = await leaf('web')
    await clock.settle(4000 * hourMs)
    await ca.maintain()
    expect(certificatePems((await leaf('web')).chainPem)[1]).toBe(certificatePems(before.chainPem)[1])
    await clock.settle(400 * hourMs)
    await ca.maintain()
    const after = await leaf('web')
    const [, oldIntermediate] = certificatePems(before.chainPem)
    const [own, newIntermediate] = certificatePems(after.chainPem)
    expect(newIntermediate).not.toBe(oldIntermediate)
    expect(new X509Certificate(own!).verify(new X509Certificate(newIntermediate!).publicKey)).toBe(true)
    expect(new X509Certificate(newIntermediate!).verify(new X509Certificate(ca.trustBundlePem()).publicKey)).toBe(true)
  })

  it('renews an intermediate that expired while the CA was down', async () => {
    const store = new MemoryCaStore()
    const clock = new ManualClock()
    await makeCa({ store, clock }).ca.init()
    await clock.settle(9000 * hourMs)
    const again = makeCa({ store, clock })
    await again.ca.init()
    expect((await again.leaf('web')).notAfter.getTime()).toBeGreaterThan(clock.wallNow())
  })

  it('says when the root has expired', async () => {
    const { ca, clock, uri } = makeCa()
    await ca.init()
    await clock.settle(87_600 * hourMs + 1000)
    await expect(ca.signer.issue({ uri: uri('web') })).rejects.toMatchObject({ code: 'root-expired' })
  })

  it('signs under a root and key that the operator gives', async () => {
    const clock = new ManualClock()
    const key = await generateKey({ type: 'ec', bits: 384 })
    const times = { notBeforeMs: clock.wallNow() - 1000, notAfterMs: clock.wallNow() + 1000 * hourMs }
    const given = issueRoot({ key, name: 'Own Root', trustDomain: 'x', ...times })
    const provider = { kind: 'consul', privateKeyPem: privateKeyPem(key), rootCertPem: given.pem } as const
    const { ca, leaf } = makeCa({ clock, config: { ...testConfig, provider } })
    await ca.init()
    expect(ca.trustBundlePem()).toBe(given.pem)
    const party = { leaf: await leaf('web'), bundlePem: given.pem }
    expect(await handshake(party, party)).toEqual(trusted)
    await expect(ca.rotateRoot()).rejects.toMatchObject({ code: 'rotation-not-possible' })
    const other = privateKeyPem(await generateKey({ type: 'ec', bits: 256 }))
    await expect(ca.updateConfig({ ...testConfig, provider: { ...provider, privateKeyPem: other } })).rejects.toMatchObject({
      code: 'key-mismatch',
    })
    const noCa = { kind: 'consul', privateKeyPem: (await leaf('x')).keyPem, rootCertPem: (await leaf('x')).certPem } as const
    await expect(ca.updateConfig({ ...testConfig, provider: noCa })).rejects.toMatchObject({ code: 'key-mismatch' })
    const own = await leaf('x')
    await expect(
      ca.updateConfig({ ...testConfig, provider: { kind: 'consul', privateKeyPem: own.keyPem, rootCertPem: own.certPem } }),
    ).rejects.toMatchObject({ code: 'root-invalid' })
    await ca.updateConfig(testConfig)
    expect(ca.roots().Roots.map(root => root.Active)).toEqual([true, false])
  })

  it('updates the configuration under the same root, and keeps it on a bad update', async () => {
    const { ca, events, uri, clock } = makeCa()
    await ca.init()
    const id = ca.roots().ActiveRootID
    await ca.updateConfig({ ...testConfig, leafCertTtlMs: hourMs })
    expect(ca.roots().ActiveRootID).toBe(id)
    expect((await ca.signer.issue({ uri: uri('web') })).notAfter.getTime()).toBeLessThanOrEqual(clock.wallNow() + hourMs)
    const bad: CaConfig = { ...testConfig, leafCertTtlMs: 1, privateKey: { type: 'rsa', bits: 1024 } }
    await expect(ca.updateConfig(bad)).rejects.toThrow(/LeafCertTTL must be at least 1h.*PrivateKeyBits an rsa key has 2048 or 4096 bits/)
    expect(ca.config.leafCertTtlMs).toBe(hourMs)
    expect(events).toEqual([])
  })

  it('survives a listener that throws', async () => {
    const { ca, events, problems } = makeCa()
    await ca.init()
    ca.onChange(() => {
      throw new Error('listener')
    })
    await ca.rotateRoot()
    expect(events).toEqual(['roots', 'leaf-reissue'])
    expect(problems).toEqual(['a listener of the CA failed: listener', 'a listener of the CA failed: listener'])
  })
})

describe('authorised identities', () => {
  it.each([
    ['identity-spiffe-syntax', (td: string) => `spiffe://${td}/a/../b`],
    ['identity-trust-domain', () => 'spiffe://other.consul/ns/default/dc/dc1/svc/web'],
    ['identity-kind', (td: string) => `spiffe://${td}`],
    ['identity-kind', (td: string) => `spiffe://${td}/workload`],
    ['identity-datacenter', (td: string) => `spiffe://${td}/ns/default/dc/dc2/svc/web`],
  ])('are refused with %s', async (code, uri) => {
    const { ca } = makeCa({ datacenter: 'dc1' })
    await ca.init()
    await expect(ca.signer.issue({ uri: uri(ca.trustDomain) })).rejects.toMatchObject({ code })
  })

  it('refuses what is no DNS name (CVE-2026-48930: NUL in a name)', async () => {
    const { ca, uri } = makeCa()
    await ca.init()
    for (const name of ['', 'a b', 'a\0.example', 'a..b', '-a.example', 'a.*.example', `${'a'.repeat(64)}.example`, '\uff10.example']) {
      await expect(ca.signer.issue({ uri: uri('gw'), dnsSans: [name] })).rejects.toMatchObject({ code: 'dns-name' })
    }
  })
})

describe('rate-limited signing', () => {
  const limited = (csrMaxPerSecond: number, csrMaxConcurrent = 0): CaConfig => ({ ...testConfig, csrMaxPerSecond, csrMaxConcurrent })

  it('signs 50 per second, lets callers wait up to 500 ms and refuses the rest clearly', async () => {
    const { ca, clock, uri } = makeCa({ config: limited(50) })
    await ca.init()
    const csr = createCsr(await generateKey({ type: 'ec', bits: 256 }), { uris: [uri('web')], dns: [] })
    let signed = 0
    const attempts = Array.from({ length: 40 }, () =>
      ca.signer.sign(csr, { uri: uri('web') }).then(
        () => {
          signed++
          return ''
        },
        error => `${error.code}: ${error.message}`,
      ),
    )
    await new Promise(resolve => setImmediate(resolve))
    expect(signed).toBe(1)
    await clock.settle(20)
    expect(signed).toBe(2)
    for (let i = 0; i < 25; i++) await clock.settle(20)
    // One at once, then one each 20 ms for 500 ms.
    expect(signed).toBe(26)
    const refused = (await Promise.all(attempts)).filter(text => text !== '')
    expect(refused).toHaveLength(14)
    expect(refused[0]).toMatch(/^rate-limited: rate limited: .*CSRMaxPerSecond 50.*try again later$/)
    await clock.settle(20)
    await ca.signer.sign(csr, { uri: uri('web') })
  })

  it('spends no turn on a request that is refused anyway', async () => {
    const { ca, uri } = makeCa({ config: limited(0.001) })
    await ca.init()
    const csr = createCsr(await generateKey({ type: 'ec', bits: 256 }), { uris: [uri('web')], dns: [] })
    for (let i = 0; i < 5; i++) await expect(ca.signer.sign(csr, { uri: uri('api') })).rejects.toMatchObject({ code: 'csr-identity' })
    await ca.signer.sign(csr, { uri: uri('web') })
    await expect(ca.signer.sign(csr, { uri: uri('web') })).rejects.toMatchObject({ code: 'rate-limited' })
  })

  it('lets a caller that knows better wait longer', async () => {
    const { ca, clock, uri } = makeCa({ config: limited(1) })
    await ca.init()
    const csr = createCsr(await generateKey({ type: 'ec', bits: 256 }), { uris: [uri('web')], dns: [] })
    await ca.signer.sign(csr, { uri: uri('web') })
    const patient = ca.signer.sign(csr, { uri: uri('web'), maxWaitMs: 60_000 })
    await new Promise(resolve => setImmediate(resolve))
    await clock.settle(1000)
    expect((await patient).uri).toBe(uri('web'))
  })
})

describe('leaf renewal', () => {
  const leaf = { notBefore: new Date(1_000_000), notAfter: new Date(2_000_000) }

  it('falls on a random point of 60-90 % of the lifetime', () => {
    expect(renewAt(leaf, () => 0)).toBe(1_600_000)
    expect(renewAt(leaf, () => 1 - 2 ** -32)).toBe(1_900_000)
    const random = seeded(42)
    const points = Array.from({ length: 1000 }, () => renewAt(leaf, random))
    expect(Math.min(...points)).toBeGreaterThanOrEqual(1_600_000)
    expect(Math.max(...points)).toBeLessThanOrEqual(1_900_000)
    const mean = points.reduce((sum, at) => sum + at, 0) / points.length
    expect(Math.abs(mean - 1_750_000)).toBeLessThan(10_000)
    const again = seeded(42)
    expect(points[0]).toBe(renewAt(leaf, again))
  })

  it('spreads re-issue after a root change over 30 s', () => {
    expect(reissueDelayMs(() => 0)).toBe(0)
    expect(reissueDelayMs(() => 1 - 2 ** -32)).toBeLessThan(30_000)
  })
})

it('two CAs never share a trust domain', async () => {
  const [a, b] = [makeCa(), makeCa()]
  await Promise.all([a.ca.init(), b.ca.init()])
  expect(a.ca.trustDomain).not.toBe(b.ca.trustDomain)
  const answer = await handshake(
    { leaf: await a.leaf('web'), bundlePem: a.ca.trustBundlePem() },
    { leaf: await b.leaf('web'), bundlePem: b.ca.trustBundlePem() },
  )
  expect(answer.client).not.toBe('')
  expect(answer.server).not.toBe('')
})
