import { createPublicKey, X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CertificateAuthorityOptions } from '../../../../src/mtls/ca/authority.js'
import { PkiMount } from '../../../../src/mtls/ca/vault/pki-mount.js'
import { certificatePems } from '../../../../src/mtls/x509/der.js'
import { generateKey, privateKeyPem } from '../../../../src/mtls/x509/keys.js'
import { crossSign, issueIntermediate, issueRoot, readCertificate } from '../../../../src/mtls/x509/x509.js'
import type { VaultSession } from '../../../../src/vault/vault-session.js'
import { FakePki } from '../../../support/fake-vault/fake-pki.js'
import { FaultyStore, handshake, hourMs, MemoryCaStore, makeCa, type Party, type TestCa, testConfig, trusted } from '../support.js'
import { startVaultWorld, type VaultWorld } from './vault-ca.js'

let world: VaultWorld
let cas: TestCa[]

beforeEach(async () => {
  world = await startVaultWorld()
  cas = []
})

afterEach(async () => {
  for (const { ca } of cas) await ca.close()
  await world.vault.stop()
  expect(world.vault.violations).toEqual([])
})

async function started(options: Partial<CertificateAuthorityOptions> = {}): Promise<TestCa> {
  const made = makeCa({ config: world.config(), ...options, clock: world.clock })
  cas.push(made)
  await made.ca.init()
  return made
}

const party = async ({ ca, leaf }: TestCa): Promise<Party> => ({ leaf: await leaf('web'), bundlePem: ca.trustBundlePem() })

describe('the provider "vault" of a new CA', () => {
  it('mounts both engines, makes root and intermediate there, and signs leaves by the role', async () => {
    const test = await started()
    const { ca, leaf } = test
    const issued = await leaf('web')
    const inter = world.vault.pki.get('/connect_inter')!
    expect(world.vault.paths).toEqual([
      'GET auth/token/lookup-self',
      'GET sys/mounts/connect_root',
      'POST sys/mounts/connect_root',
      'GET connect_root/issuers?list=true',
      'POST connect_root/root/generate/internal',
      'GET connect_root/issuers?list=true',
      'GET connect_root/cert/ca_chain',
      'GET sys/mounts/connect_inter',
      'POST sys/mounts/connect_inter',
      'POST connect_inter/roles/leaf-cert',
      'POST connect_inter/intermediate/generate/internal',
      'POST connect_root/root/sign-intermediate',
      'POST connect_inter/intermediate/set-signed',
      'POST connect_inter/config/issuers',
      `POST connect_inter/issuer/${inter.defaultIssuer}/sign/leaf-cert`,
    ])
    const [own, intermediate] = certificatePems(issued.chainPem).map(pem => new X509Certificate(pem))
    expect(own!.subjectAltName).toBe(`URI:${test.uri('web')}`)
    expect(own!.subject || undefined).toBeUndefined()
    expect(own!.checkIssued(intermediate!) && own!.verify(intermediate!.publicKey)).toBe(true)
    expect(readCertificate(intermediate!.toString()).pathLength).toBe(0)
    expect(issued.notAfter.getTime()).toBe(Math.floor((world.clock.wallNow() + 72 * hourMs) / 1000) * 1000)
    expect(issued.serial.replaceAll(':', '').toUpperCase()).toBe(own!.serialNumber)
    expect(ca.roots().Roots[0]).toMatchObject({ Active: true, PrivateKeyType: 'ec', PrivateKeyBits: 256 })
    const root = new X509Certificate(ca.trustBundlePem())
    expect(root.subjectAltName).toBe(`URI:spiffe://${ca.trustDomain}`)
    expect(root.subject).toMatch(/^CN=pri-[a-z0-9]{7}\.vault\.ca\.[0-9a-f]{8}\.consul$/)
    expect(await handshake(await party(test), await party(test))).toEqual(trusted)
  })

  it('takes a root that is there, and what stands above it outside of Vault', async () => {
    const now = world.clock.wallNow()
    const times = { notBeforeMs: now - 1000, notAfterMs: now + 100_000 * hourMs }
    const key = await generateKey({ type: 'ec', bits: 256 })
    const root = { certificate: issueRoot({ key, name: 'Corporate Root', ...times }), key }
    const subKey = await generateKey({ type: 'ec', bits: 256 })
    // A root that the corporate one has signed: a CA without a path length.
    const sub = issueRoot({ key: subKey, name: 'Mesh CA', ...times })
    const signing = crossSign(root, sub, times)
    const mount = new FakePki(0, () => world.clock.wallNow())
    mount.maxLeaseS = 100_000 * 3600
    mount.defaultIssuer = mount.import(signing, privateKeyPem(subKey))
    mount.import(root.certificate, undefined)
    world.vault.pki.set('/connect_root', mount)
    const test = await started()
    expect(test.ca.trustBundlePem()).toBe(root.certificate.pem)
    const both = await party(test)
    expect(certificatePems(both.leaf.chainPem)).toHaveLength(3)
    expect(await handshake(both, both)).toEqual(trusted)
    expect(world.vault.paths).not.toContain('POST connect_root/root/generate/internal')
    // An intermediate of another root can cross-sign none.
    await expect(test.ca.updateConfig(testConfig)).rejects.toThrow(/holds an intermediate of another root.*ForceWithoutCrossSigning/)
  })

  it('goes by Consul’s words where the root’s key is of another kind', async () => {
    const mount = new FakePki(0, () => world.clock.wallNow())
    await mount.generateRoot({ common_name: 'existing', key_type: 'rsa', key_bits: 2048 })
    world.vault.pki.set('/connect_root', mount)
    await expect(started()).rejects.toThrow('cannot update the PrivateKeyType field without choosing a new PKI mount for the root CA')
  })

  it.each([
    ['a root that leads nowhere', 'leads to no self-signed root'],
    ['a root with path length 0', 'has path length 0'],
    ['a mount of another engine', 'is a mount of type "kv" in Vault'],
  ])('refuses %s', async (kind, reason) => {
    const now = world.clock.wallNow()
    const key = await generateKey({ type: 'ec', bits: 256 })
    const root = issueRoot({ key, name: 'Outside', notBeforeMs: now - 1000, notAfterMs: now + 100_000 * hourMs })
    const mount = new FakePki(0, () => now)
    if (kind === 'a root that leads nowhere' || kind === 'a root with path length 0') {
      const subKey = await generateKey({ type: 'ec', bits: 256 })
      const sub = issueIntermediate(
        { certificate: root, key },
        { publicKey: createPublicKey(subKey), name: 'Below', trustDomain: 'x', notBeforeMs: now - 1000, notAfterMs: now + 90_000 * hourMs },
      )
      mount.defaultIssuer = mount.import(sub, privateKeyPem(subKey))
      if (kind === 'a root with path length 0') mount.import(root, undefined)
      world.vault.pki.set('/connect_root', mount)
    } else world.vault.mountKv('connect_root')
    await expect(started()).rejects.toThrow(reason)
  })

  it('asks in the namespaces that are configured', async () => {
    await started({ config: world.config({ Namespace: 'mesh', RootPKINamespace: 'security/ca', IntermediatePKINamespace: '' }) })
    expect([...world.vault.pki.keys()]).toEqual(['security/ca/connect_root', 'mesh/connect_inter'])
    expect(world.vault.seen[0]).toMatchObject({ path: 'auth/token/lookup-self', namespace: 'mesh' })
  })

  it('logs in by an auth method', async () => {
    world.vault.logins.set('mesh-roles', { role_id: 'the-role', secret_id: 'the-secret' })
    const AuthMethod = { Type: 'approle', MountPath: 'mesh-roles', Params: { role_id: 'the-role', secret_id: 'the-secret' } }
    const { leaf } = await started({ config: world.config({ AuthMethod }) })
    await leaf('web')
    expect(world.vault.paths[0]).toBe('POST auth/mesh-roles/login')
  })

  it('does not start where Vault denies it, and says what was denied', async () => {
    world.vault.denied = /^sys\/mounts/
    await expect(started()).rejects.toThrow('Vault: GET sys/mounts/connect_root: HTTP 403: 1 error occurred: * permission denied')
  })
})

describe('signing by Vault', () => {
  it('carries DNS names and addresses of gateways and servers', async () => {
    const { ca, uri } = await started()
    const leaf = await ca.signer.issue({ uri: uri('web'), dnsSans: ['*.ingress.consul', 'a_b.example'], ipSans: ['10.0.0.7', '::1'] })
    const san = new X509Certificate(leaf.certPem).subjectAltName
    expect(san).toBe(`DNS:*.ingress.consul, DNS:a_b.example, URI:${uri('web')}, IP Address:10.0.0.7, IP Address:0:0:0:0:0:0:0:1`)
  })

  it('fails by name while Vault is gone and goes on when it is back; what is trusted stays', async () => {
    const { ca, leaf } = await started()
    const bundle = ca.trustBundlePem()
    world.vault.sealed = true
    await expect(leaf('web')).rejects.toMatchObject({ code: 'signer-unavailable', message: expect.stringContaining('HTTP 503 (sealed') })
    expect(ca.trustBundlePem()).toBe(bundle)
    world.vault.sealed = false
    await leaf('web')
  })

  it('refuses what another issuer has signed', async () => {
    const { leaf } = await started()
    const inter = world.vault.pki.get('/connect_inter')!
    const other = new FakePki(0, () => world.clock.wallNow())
    await other.generateRoot({ common_name: 'other', key_type: 'ec' })
    inter.sign = (_ref, body) => {
      other.role = inter.role
      return other.sign('default', body)
    }
    await expect(leaf('web')).rejects.toThrow('connect_inter/ in Vault answered a leaf that another issuer has signed')
  })

  it('goes on after a restart without a word to Vault but the signature', async () => {
    const store = new MemoryCaStore()
    const first = await started({ store })
    const before = await party(first)
    const seen = world.vault.seen.length
    const second = await started({ store })
    expect(second.ca.roots()).toEqual(first.ca.roots())
    expect(world.vault.seen).toHaveLength(seen)
    const after = await party(second)
    expect(await handshake(before, after)).toEqual(trusted)
    expect(world.vault.paths.slice(seen)).toEqual(['GET auth/token/lookup-self', expect.stringMatching(/sign\/leaf-cert$/)])
  })

  it('keeps no private key in the state', async () => {
    const store = new MemoryCaStore()
    await started({ store })
    expect(JSON.stringify(await store.load())).not.toContain('PRIVATE KEY')
  })
})

describe('changes', () => {
  it('another LeafCertTTL changes the role and keeps root and intermediate', async () => {
    const { ca, leaf, events } = await started()
    const before = ca.roots()
    await ca.updateConfig(world.config({ LeafCertTTL: '24h' }))
    expect(ca.roots()).toEqual(before)
    expect(events).toEqual([])
    expect(world.vault.pki.get('/connect_inter')!.role!.max_ttl).toBe('86400s')
    const { notAfter } = await leaf('web')
    expect(notAfter.getTime()).toBe(Math.floor((world.clock.wallNow() + 24 * hourMs) / 1000) * 1000)
  })

  it('a longer IntermediateCertTTL tunes the mount', async () => {
    const { ca } = await started()
    await ca.updateConfig(world.config({ IntermediateCertTTL: '20000h' }))
    expect(world.vault.pki.get('/connect_inter')!.maxLeaseS).toBe(20_000 * 3600)
  })

  it('another token is used at once; one that is wrong changes nothing', async () => {
    const { ca, leaf } = await started()
    const before = ca.config
    await expect(ca.updateConfig(world.config({ Token: 'hvs.wrong' }))).rejects.toThrow(/permission denied/)
    expect(ca.config).toEqual(before)
    await leaf('web')
    world.vault.addToken('hvs.new', 0, { renewable: false })
    await ca.updateConfig(world.config({ Token: 'hvs.new' }))
    await leaf('web')
    expect(world.vault.seen.at(-1)!.token).toBe('hvs.new')
  })

  it('the intermediate is renewed past half its life, under the same root', async () => {
    const { ca, leaf } = await started()
    const root = ca.roots().ActiveRootID
    const before = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }
    const signing = ca.roots().Roots[0]!.SigningKeyID
    await world.clock.settle(4400 * hourMs)
    await ca.maintain()
    expect(ca.roots().ActiveRootID).toBe(root)
    expect(ca.roots().Roots[0]!.SigningKeyID).not.toBe(signing)
    const after = { leaf: await leaf('web'), bundlePem: before.bundlePem }
    expect(certificatePems(after.leaf.chainPem)).toHaveLength(2)
  })

  it('goes over to another intermediate mount, which knows nothing of the issuer in force', async () => {
    const { ca, leaf } = await started()
    const before = ca.roots()
    await ca.updateConfig(world.config({ IntermediatePKIPath: 'connect_other' }))
    expect(ca.roots().ActiveRootID).toBe(before.ActiveRootID)
    await leaf('web')
    expect(world.vault.paths.at(-1)).toMatch(/^POST connect_other\/issuer\/.*\/sign\/leaf-cert$/)
  })

  it('to renew the intermediate makes no new root where the old one is gone', async () => {
    const { ca, leaf } = await started()
    const emptied = new FakePki(0, () => world.clock.wallNow())
    world.vault.pki.set('/connect_root', emptied)
    await world.clock.settle(4400 * hourMs)
    await expect(ca.maintain()).rejects.toThrow('connect_root/ in Vault holds no CA')
    expect(emptied.issuers.size).toBe(0)
    await leaf('web')
  })

  it('no new root takes the place of one that is gone from its mount, whatever is changed and however much is forced', async () => {
    const { ca, leaf } = await started()
    const before = ca.roots()
    const emptied = new FakePki(0, () => world.clock.wallNow())
    world.vault.pki.set('/connect_root', emptied)
    const forced = { ...world.config({ LeafCertTTL: '24h' }), forceWithoutCrossSigning: true }
    await expect(ca.updateConfig(forced)).rejects.toThrow('connect_root/ in Vault holds no CA any more')
    await expect(ca.rotateRoot({ force: true })).rejects.toThrow('choose another RootPKIPath to begin with a new root')
    expect([emptied.issuers.size, ca.roots()]).toEqual([0, before])
    await leaf('web')
    await ca.updateConfig({ ...world.config({ RootPKIPath: 'other_root' }), forceWithoutCrossSigning: true })
    expect(ca.roots().ActiveRootID).not.toBe(before.ActiveRootID)
  })

  it('inert serves what is in the state and says no word to Vault, also where the intermediate is due', async () => {
    const store = new MemoryCaStore()
    const first = await started({ store })
    const state = await store.load()
    await world.clock.settle(4400 * hourMs)
    const seen = world.vault.seen.length
    const second = await started({ store, inert: true })
    expect(second.ca.roots()).toEqual(first.ca.roots())
    await expect(second.leaf('web')).rejects.toMatchObject({ code: 'signer-unavailable' })
    expect(await store.load()).toEqual(state)
    expect(world.vault.seen).toHaveLength(seen)
  })

  it('an intermediate that was taken over although the answer was lost is found by the second request', async () => {
    const data = { mapping: { own: 'key', above: '' }, imported_issuers: null, existing_issuers: ['own', 'above'] }
    const session = { write: async () => ({ data, auth: undefined, warnings: [] }) } as unknown as VaultSession
    expect(await new PkiMount(session, 'connect_inter', undefined, () => {}).setSigned('pem')).toBe('own')
  })

  it('a mount whose longest lease is short is told of', async () => {
    const mount = new FakePki(100 * 3600, () => world.clock.wallNow())
    mount.maxLeaseS = 200_000 * 3600
    await mount.generateRoot({ common_name: 'short', key_type: 'ec', ttl: '87600h' })
    mount.maxLeaseS = 100 * 3600
    world.vault.pki.set('/connect_root', mount)
    const { problems } = await started()
    expect(problems).toEqual([
      expect.stringContaining('is longer than permitted maxTTL'),
      expect.stringMatching(/in less than 3 x LeafCertTTL: is max_lease_ttl of connect_root\/ too short\?$/),
    ])
  })
})

describe('rotation', () => {
  /** Old and new leaves, under old and new bundles, trust each other in every combination. */
  async function expectNoOutage(before: Party, after: Party): Promise<void> {
    for (const client of [before, after])
      for (const server of [before, after])
        for (const [clientBundle, serverBundle] of [
          [before.bundlePem, before.bundlePem],
          [before.bundlePem, after.bundlePem],
          [after.bundlePem, before.bundlePem],
          [after.bundlePem, after.bundlePem],
        ] as const)
          expect(await handshake({ leaf: client.leaf, bundlePem: clientBundle }, { leaf: server.leaf, bundlePem: serverBundle })).toEqual(
            trusted,
          )
  }

  it('from the built-in CA to Vault and back, and to another root mount, without an outage', async () => {
    const test = await started({ config: testConfig })
    const { ca, events } = test
    const builtin = await party(test)
    await ca.updateConfig(world.config())
    const first = await party(test)
    await expectNoOutage(builtin, first)
    await ca.updateConfig(world.config({ RootPKIPath: 'connect_root_2' }))
    const second = await party(test)
    await expectNoOutage(first, second)
    await ca.updateConfig(testConfig)
    await expectNoOutage(second, await party(test))
    expect(events).toEqual(['roots', 'leaf-reissue', 'roots', 'leaf-reissue', 'roots', 'leaf-reissue'])
  })

  it('while it is staged the old intermediate signs on, although the new one is in the same mount', async () => {
    let during: Party['leaf'] | undefined
    const test: TestCa = await started({
      bundleSettled: async () => {
        during = await test.leaf('web')
      },
    })
    const { ca } = test
    const before = await party(test)
    await ca.updateConfig(world.config({ RootPKIPath: 'connect_root_2' }))
    const oldRoot = new X509Certificate(before.bundlePem)
    const [, intermediate] = certificatePems(during!.chainPem).map(pem => new X509Certificate(pem))
    expect(intermediate!.verify(oldRoot.publicKey)).toBe(true)
    expect(await handshake(before, { leaf: during!, bundlePem: before.bundlePem })).toEqual(trusted)
  })

  it('needs the right to cross-sign, or force', async () => {
    const { ca, leaf } = await started()
    world.vault.denied = /sign-self-issued/
    await expect(ca.updateConfig(testConfig)).rejects.toThrow(
      /^Vault: POST connect_root\/issuer\/[0-9a-f-]+\/sign-self-issued: HTTP 403: .*permission denied.*ForceWithoutCrossSigning$/,
    )
    expect(ca.config.provider.kind).toBe('vault')
    await leaf('web')
    await ca.updateConfig({ ...testConfig, forceWithoutCrossSigning: true })
    expect(ca.config.provider.kind).toBe('consul')
  })

  it('by force leaves a Vault that is gone', async () => {
    const { ca, leaf } = await started()
    world.vault.sealed = true
    await expect(ca.updateConfig(testConfig)).rejects.toThrow('sealed')
    await ca.updateConfig({ ...testConfig, forceWithoutCrossSigning: true })
    await leaf('web')
  })

  it('within a mount goes over to the issuer that the operator has made the default', async () => {
    const test = await started()
    const { ca } = test
    await expect(ca.rotateRoot()).rejects.toMatchObject({ code: 'rotation-not-possible' })
    const before = await party(test)
    const mount = world.vault.pki.get('/connect_root')!
    const { data } = await mount.generateRoot({ common_name: 'next', key_type: 'ec', ttl: '87600h', uri_sans: 'spiffe://x' })
    mount.configureIssuers({ default: data.issuer_id })
    await ca.rotateRoot()
    expect(ca.roots().Roots).toHaveLength(2)
    await expectNoOutage(before, await party(test))
  })

  it.each([2, 3])('cut off at save %i goes on after a restart', async failAt => {
    const store = new FaultyStore()
    const test = await started({ store, config: testConfig })
    const before = await party(test)
    store.failAt = failAt
    await expect(test.ca.updateConfig(world.config())).rejects.toThrow('the disk is full')
    const meanwhile = await party(test)
    expect(await handshake(before, meanwhile)).toEqual(trusted)
    await test.ca.close()
    const again = await started({ store })
    expect(again.ca.config.provider.kind).toBe(failAt === 2 ? 'consul' : 'vault')
    const after = await party(again)
    expect(await handshake({ ...before, bundlePem: after.bundlePem }, after)).toEqual(trusted)
    expect(await handshake(after, { ...before, bundlePem: after.bundlePem })).toEqual(trusted)
  })
})
