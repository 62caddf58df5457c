import { X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { MAX_TRUSTED_ROOTS } from '../../../src/mtls/ca/roots.js'
import { certificatePems } from '../../../src/mtls/x509/der.js'
import { generateKey, privateKeyPem } from '../../../src/mtls/x509/keys.js'
import { crossSign, issueRoot, readCertificate } from '../../../src/mtls/x509/x509.js'
import { ManualClock } from '../../support/manual-clock.js'
import { FaultyStore, handshake, hourMs, makeCa, type Party, testConfig, trusted } from './support.js'

/** The bundle as a peer that holds only one of the roots. */
const only = (leaf: Party['leaf'], bundlePem: string): Party => ({ leaf, bundlePem })

describe('root rotation', () => {
  it('grows the bundle first, signs under the new root after, and announces both in that order', async () => {
    const seen: string[] = []
    const { ca, uri } = makeCa({
      bundleSettled: async id => {
        seen.push('settling')
        expect(ca.roots().Roots.map(root => [root.ID === id, root.Active])).toEqual([
          [false, true],
          [true, false],
        ])
        expect(ca.roots().ActiveRootID).toBe(old)
        const leaf = await ca.signer.issue({ uri: uri('web') })
        expect(new X509Certificate(certificatePems(leaf.chainPem)[1]!).verify(new X509Certificate(oldRoot).publicKey)).toBe(true)
      },
    })
    await ca.init()
    const old = ca.roots().ActiveRootID
    const oldRoot = ca.trustBundlePem()
    ca.onChange(event => seen.push(`${event.kind} ${event.activeRootId === old ? 'old' : 'new'}`))
    await ca.rotateRoot()
    expect(seen).toEqual(['roots old', 'settling', 'leaf-reissue new'])
    const { Roots, ActiveRootID } = ca.roots()
    expect(Roots.map(root => [root.ID, root.Active])).toEqual([
      [ActiveRootID, true],
      [old, false],
    ])
    expect(Roots[1]!.RotatedOutAt).toMatch(/Z$/)
    expect(Roots[0]!.IntermediateCerts).toHaveLength(2)
    expect(certificatePems(ca.trustBundlePem())).toEqual([Roots[0]!.RootCert, oldRoot])
    const crossSigned = new X509Certificate(Roots[0]!.IntermediateCerts[0]!)
    const fresh = new X509Certificate(Roots[0]!.RootCert)
    expect(crossSigned.verify(new X509Certificate(oldRoot).publicKey)).toBe(true)
    expect(crossSigned.publicKey.equals(fresh.publicKey)).toBe(true)
    expect(crossSigned.subject).toBe(fresh.subject)
    expect(crossSigned.serialNumber).not.toBe(fresh.serialNumber)
    expect(Date.parse(crossSigned.validTo) - Date.parse(crossSigned.validFrom)).toBe(7 * 24 * hourMs + 60_000)
  })

  it('sends leaf, intermediate, cross-sign: each certifies the one before (RFC 5246 section 7.4.2)', async () => {
    const { ca, leaf } = makeCa()
    await ca.init()
    await ca.rotateRoot()
    const chain = certificatePems((await leaf('web')).chainPem).map(pem => new X509Certificate(pem))
    expect(chain).toHaveLength(3)
    for (let i = 0; i + 1 < chain.length; i++)
      expect(chain[i]!.checkIssued(chain[i + 1]!) && chain[i]!.verify(chain[i + 1]!.publicKey)).toBe(true)
  })

  describe.each(['TLSv1.2', 'TLSv1.3'] as const)('handshakes during the overlap, %s', version => {
    it('consul#16779, #9443: every combination of old and new leaf with old and new bundle succeeds', async () => {
      const { ca, leaf } = makeCa()
      await ca.init()
      const oldLeaf = await leaf('web')
      const oldBundle = ca.trustBundlePem()
      await ca.rotateRoot()
      const newLeaf = await leaf('web')
      const newBundle = ca.trustBundlePem()
      for (const clientLeaf of [oldLeaf, newLeaf]) {
        for (const serverLeaf of [oldLeaf, newLeaf]) {
          for (const clientBundle of [oldBundle, newBundle]) {
            for (const serverBundle of [oldBundle, newBundle]) {
              expect(await handshake(only(clientLeaf, clientBundle), only(serverLeaf, serverBundle), version)).toEqual(trusted)
            }
          }
        }
      }
    })
  })

  it('RSA to EC and back: cross-signing holds between key types', async () => {
    const { ca, leaf } = makeCa({ config: { ...testConfig, privateKey: { type: 'rsa', bits: 2048 } } })
    await ca.init()
    const first = only(await leaf('web'), ca.trustBundlePem())
    await ca.updateConfig({ ...testConfig, privateKey: { type: 'ec', bits: 384 } })
    expect(ca.roots().Roots[0]).toMatchObject({ PrivateKeyType: 'ec', PrivateKeyBits: 384 })
    const second = only(await leaf('web'), ca.trustBundlePem())
    expect(await handshake(first, second)).toEqual(trusted)
    expect(await handshake(second, first)).toEqual(trusted)
  })

  it('two rotations in a row: a peer that has seen neither still trusts the newest leaf', async () => {
    const { ca, leaf } = makeCa()
    await ca.init()
    const first = only(await leaf('web'), ca.trustBundlePem())
    await ca.rotateRoot()
    await ca.rotateRoot()
    const third = only(await leaf('web'), ca.trustBundlePem())
    expect(certificatePems(third.leaf.chainPem)).toHaveLength(4)
    expect(await handshake(first, third)).toEqual(trusted)
    expect(await handshake(third, first)).toEqual(trusted)
  })

  it('trusts the old root until RotatedOutAt + 2 x LeafCertTTL has passed, then prunes it with its cross-sign', async () => {
    const { ca, clock, leaf, events } = makeCa()
    await ca.init()
    const oldLeaf = await leaf('web')
    await ca.rotateRoot()
    await clock.settle(144 * hourMs)
    await ca.prune()
    expect(ca.roots().Roots).toHaveLength(2)
    expect(events).toEqual(['roots', 'leaf-reissue'])
    await clock.settle(1)
    await ca.prune()
    expect(ca.roots().Roots).toHaveLength(1)
    expect(ca.roots().Roots[0]!.IntermediateCerts).toHaveLength(1)
    expect(events).toEqual(['roots', 'leaf-reissue', 'roots'])
    const fresh = await leaf('web')
    expect(certificatePems(fresh.chainPem)).toHaveLength(2)
    const answer = await handshake(only(oldLeaf, ca.trustBundlePem()), only(fresh, ca.trustBundlePem()))
    expect(answer.server).toMatch(/UNABLE_TO|SELF_SIGNED/)
    await ca.prune()
    expect(events).toHaveLength(3)
  })

  it('keeps an old root as long as its longest leaf, though LeafCertTTL has been lowered since', async () => {
    const { ca, clock } = makeCa({ config: { ...testConfig, leafCertTtlMs: 2000 * hourMs } })
    await ca.init()
    await ca.updateConfig({ ...testConfig, leafCertTtlMs: hourMs })
    await ca.rotateRoot()
    await clock.settle(1999 * hourMs)
    await ca.prune()
    expect(ca.roots().Roots).toHaveLength(2)
    await clock.settle(2 * hourMs)
    await ca.prune()
    expect(ca.roots().Roots).toHaveLength(1)
  })

  it('cross-signs for as long as long-lived leaves need it', async () => {
    const { ca } = makeCa({ config: { ...testConfig, leafCertTtlMs: 500 * hourMs } })
    await ca.init()
    await ca.rotateRoot()
    const crossSigned = new X509Certificate(ca.roots().Roots[0]!.IntermediateCerts[0]!)
    expect(Date.parse(crossSigned.validTo) - Date.parse(crossSigned.validFrom)).toBe(1000 * hourMs + 60_000)
  })

  it('leaves an expired cross-sign out of the chain', async () => {
    const { ca, clock, leaf } = makeCa()
    await ca.init()
    await ca.rotateRoot()
    await clock.settle(8 * 24 * hourMs)
    expect(certificatePems((await leaf('web')).chainPem)).toHaveLength(2)
  })

  it('forgets the private key of a root that is rotated out', async () => {
    const store = new FaultyStore()
    const { ca } = makeCa({ store })
    await ca.init()
    const oldKey = (await store.load())!.chain.rootKeyPem!
    await ca.rotateRoot()
    expect(JSON.stringify(await store.load())).not.toContain(JSON.stringify(oldKey).slice(1, -1))
  })

  it('refuses to rotate where the old root may not cross-sign, unless forced', async () => {
    const clock = new ManualClock()
    const key = await generateKey({ type: 'ec', bits: 256 })
    const times = { notBeforeMs: clock.wallNow() - 1000, notAfterMs: clock.wallNow() + 1000 * hourMs }
    const plain = issueRoot({ key, name: 'Own Root', trustDomain: 'x', ...times })
    // Path length 1: room for an intermediate, none for a cross-signed root above it.
    const narrow = withPathLengthOne(plain.pem)
    const root = crossSign({ certificate: plain, key }, readCertificate(narrow), times)
    const config = { ...testConfig, provider: { kind: 'consul', privateKeyPem: privateKeyPem(key), rootCertPem: root.pem } } as const
    const { ca, leaf, events } = makeCa({ clock, config })
    await ca.init()
    const before = only(await leaf('web'), ca.trustBundlePem())
    await expect(ca.updateConfig(testConfig)).rejects.toThrow(/path length 1.*ForceWithoutCrossSigning/)
    expect(ca.roots().Roots).toHaveLength(1)
    expect(events).toEqual([])
    await ca.updateConfig({ ...testConfig, forceWithoutCrossSigning: true })
    expect(ca.roots().Roots[0]!.IntermediateCerts).toHaveLength(1)
    const after = only(await leaf('web'), ca.trustBundlePem())
    // Who has the grown bundle trusts both; who has not can't trust the new leaf: that is what the hook between the steps is for.
    expect(await handshake(only(before.leaf, after.bundlePem), after)).toEqual(trusted)
    expect((await handshake(before, after)).client).not.toBe('')
  })

  it('bounds the number of trusted roots', async () => {
    const { ca, clock } = makeCa()
    await ca.init()
    for (let i = 1; i < MAX_TRUSTED_ROOTS; i++) await ca.rotateRoot()
    await expect(ca.rotateRoot()).rejects.toMatchObject({ code: 'too-many-roots' })
    await clock.settle(200 * hourMs)
    await ca.prune()
    await ca.rotateRoot()
    expect(ca.roots().Roots).toHaveLength(2)
  })

  it('runs rotations that are asked for at once one after another', async () => {
    const { ca, events } = makeCa()
    await ca.init()
    await Promise.all([ca.rotateRoot(), ca.rotateRoot(), ca.prune(), ca.maintain()])
    expect(events).toEqual(['roots', 'leaf-reissue', 'roots', 'leaf-reissue'])
    expect(ca.roots().Roots.filter(root => root.Active)).toHaveLength(1)
    expect(ca.roots().Roots).toHaveLength(3)
  })
})

describe('a rotation that is cut off', () => {
  it.each([
    [2, false, 'no trace: the first save failed', 1, false],
    [2, true, 'staged, though the save failed in the end', 2, true],
    [3, false, 'staged: the second save failed', 2, true],
    [3, true, 'done, though the save failed in the end', 2, true],
  ])('at save %i (kept: %s): %s', async (failAt, failAfterKeeping, _name, roots, rotated) => {
    const store = new FaultyStore()
    const { ca, leaf } = makeCa({ store })
    await ca.init()
    const before = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }
    const old = ca.roots().ActiveRootID
    store.failAt = failAt
    store.failAfterKeeping = failAfterKeeping
    await expect(ca.rotateRoot()).rejects.toThrow('the disk is full')
    // The running CA goes on signing, under a root that is persisted.
    const meanwhile = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }
    expect(await handshake(before, meanwhile)).toEqual(trusted)

    const again = makeCa({ store })
    await again.ca.init()
    expect(again.ca.clusterId).toBe(ca.clusterId)
    expect(again.ca.roots().Roots).toHaveLength(roots)
    expect(again.ca.roots().ActiveRootID !== old).toBe(rotated)
    expect((await store.load())!.rotation).toBeUndefined()
    const after = { leaf: await again.leaf('web'), bundlePem: again.ca.trustBundlePem() }
    for (const [a, b] of [
      [before, after],
      [after, before],
      [meanwhile, after],
      [after, meanwhile],
    ] as const) {
      expect(await handshake(a, b)).toEqual(trusted)
    }
    await again.ca.rotateRoot()
    expect(again.ca.roots().Roots).toHaveLength(roots + 1)
  })

  it('is finished by the next rotateRoot in the same process', async () => {
    const store = new FaultyStore()
    const { ca, events } = makeCa({ store })
    await ca.init()
    store.failAt = 3
    await expect(ca.rotateRoot()).rejects.toThrow('the disk is full')
    expect(events).toEqual(['roots'])
    const staged = ca.roots().Roots[1]!.ID
    await ca.rotateRoot()
    expect(ca.roots().ActiveRootID).toBe(staged)
    expect(ca.roots().Roots).toHaveLength(2)
    expect(events).toEqual(['roots', 'leaf-reissue'])
  })

  it('by close waits for nothing and goes on at the next start', async () => {
    const store = new FaultyStore()
    let reached: () => void = () => {}
    const settling = new Promise<void>(resolve => {
      reached = resolve
    })
    const { ca } = makeCa({
      store,
      bundleSettled: () => {
        reached()
        return new Promise(() => {})
      },
    })
    await ca.init()
    const old = ca.roots().ActiveRootID
    const rotation = ca.rotateRoot()
    await settling
    await ca.close()
    await expect(rotation).rejects.toThrow('goes on at the next start')
    const again = makeCa({ store })
    await again.ca.init()
    expect(again.ca.roots().ActiveRootID).not.toBe(old)
  })

  it('without cross-signs waits for the hook after a restart too', async () => {
    const store = new FaultyStore()
    const { ca } = makeCa({ store })
    await ca.init()
    store.failAt = 3
    await expect(ca.rotateRoot()).rejects.toThrow()
    const state = (await store.load())!
    await store.save({ ...state, rotation: { ...state.rotation!, crossSigned: false } })
    let release: () => void = () => {}
    const settled = new Promise<void>(resolve => {
      release = resolve
    })
    const again = makeCa({ store, bundleSettled: () => settled })
    await again.ca.init()
    expect(again.ca.roots().ActiveRootID).toBe(ca.roots().ActiveRootID)
    const reissue = new Promise<void>(resolve => again.ca.onChange(event => event.kind === 'leaf-reissue' && resolve()))
    release()
    await reissue
    expect(again.ca.roots().ActiveRootID).toBe(state.rotation!.rootId)
  })
})

/** The same certificate with BasicConstraints CA:TRUE replaced by CA:TRUE, pathlen 1 (its signature is made anew by the caller). */
function withPathLengthOne(pem: string): string {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  const from = Buffer.from('0603551d130101ff040530030101ff', 'hex')
  const to = Buffer.from('0603551d130101ff0408300601 01ff020101'.replaceAll(' ', ''), 'hex')
  const at = der.indexOf(from)
  // One length byte grows in the extension, and three two-byte lengths above it: [3], its SEQUENCE, tbs, and the whole.
  const grown = Buffer.concat([der.subarray(0, at), to, der.subarray(at + from.length)])
  grown[at - 1] = grown[at - 1]! + 3
  const extensionsAt = der.lastIndexOf(Buffer.from('a3', 'hex'), at)
  growLength(grown, 0)
  growLength(grown, 4)
  growLength(grown, extensionsAt)
  growLength(grown, extensionsAt + headerLength(grown, extensionsAt))
  return `-----BEGIN CERTIFICATE-----\n${grown.toString('base64')}\n-----END CERTIFICATE-----\n`
}

function headerLength(der: Buffer, at: number): number {
  const first = der[at + 1]!
  return first < 0x80 ? 2 : 2 + (first & 0x7f)
}

function growLength(der: Buffer, at: number): void {
  const last = at + headerLength(der, at) - 1
  der[last] = der[last]! + 3
}
