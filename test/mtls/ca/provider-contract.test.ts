// What the authority relies on in a provider, held against each of them.
import { createPublicKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CaConfig } from '../../../src/mtls/ca/config.js'
import { certificatePems } from '../../../src/mtls/x509/der.js'
import { generateKey, privateKeyPem } from '../../../src/mtls/x509/keys.js'
import { issueIntermediate, issueRoot, readCertificate } from '../../../src/mtls/x509/x509.js'
import { ManualClock } from '../../support/manual-clock.js'
import { handshake, hourMs, MemoryCaStore, makeCa, type Party, type TestCa, testConfig, trusted } from './support.js'
import { startVaultWorld } from './vault/vault-ca.js'

interface ProviderWorld {
  readonly clock: ManualClock
  readonly config: CaConfig
  /** Under another root. */
  readonly otherRoot: CaConfig
  /** Whether another root's certificate can be had from it. */
  readonly crossSigns: boolean
  close(): Promise<void>
}

async function externalFiles(clock: ManualClock, folder: string, name: string): Promise<CaConfig> {
  const key = await generateKey({ type: 'ec', bits: 256 })
  const times = { notBeforeMs: clock.wallNow() - hourMs, notAfterMs: clock.wallNow() + 50_000 * hourMs }
  const root = { key, certificate: issueRoot({ key, name, ...times }) }
  const ownKey = await generateKey({ type: 'ec', bits: 256 })
  const shorter = { ...times, notAfterMs: times.notAfterMs - 1000 * hourMs }
  const own = issueIntermediate(root, { publicKey: createPublicKey(ownKey), name: `${name} int`, trustDomain: 'x', ...shorter })
  const write = (file: string, text: string): string => {
    const path = join(folder, `${name}-${file}`)
    writeFileSync(path, text)
    return path
  }
  return {
    ...testConfig,
    provider: {
      kind: 'files',
      rootFile: write('root.pem', root.certificate.pem),
      intermediateFile: write('int.pem', own.pem),
      keyFile: write('key.pem', privateKeyPem(ownKey)),
    },
  }
}

const WORLDS: Record<string, () => Promise<ProviderWorld>> = {
  consul: async () => ({
    clock: new ManualClock(),
    config: testConfig,
    otherRoot: { ...testConfig, privateKey: { type: 'ec', bits: 384 } },
    crossSigns: true,
    close: async () => {},
  }),
  files: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ca-contract-'))
    const clock = new ManualClock()
    return {
      clock,
      config: await externalFiles(clock, folder, 'first'),
      otherRoot: await externalFiles(clock, folder, 'second'),
      crossSigns: false,
      close: async () => rmSync(folder, { recursive: true }),
    }
  },
  vault: async () => {
    const { vault, clock, config } = await startVaultWorld()
    return {
      clock,
      config: config(),
      otherRoot: config({ RootPKIPath: 'connect_root_2' }),
      crossSigns: true,
      close: async () => {
        await vault.stop()
        expect(vault.violations).toEqual([])
      },
    }
  },
}

describe.each(Object.keys(WORLDS))('the provider "%s"', name => {
  let world: ProviderWorld
  const open: TestCa[] = []

  beforeEach(async () => {
    world = await WORLDS[name]!()
  })

  afterEach(async () => {
    for (const { ca } of open.splice(0)) await ca.close()
    await world.close()
  })

  async function start(options: Parameters<typeof makeCa>[0] = {}): Promise<TestCa> {
    const made = makeCa({ config: world.config, ...options, clock: world.clock })
    open.push(made)
    await made.ca.init()
    return made
  }

  const party = async ({ ca, leaf }: TestCa): Promise<Party> => ({ leaf: await leaf('web'), bundlePem: ca.trustBundlePem() })

  it('signs leaves that hold exactly what was asked for, under its own root', async () => {
    const { ca, uri, clock } = await start()
    const leaf = await ca.signer.issue({ uri: uri('web'), dnsSans: ['web.example'], ipSans: ['127.0.0.1'], ttlMs: 2 * hourMs })
    const [own, intermediate] = certificatePems(leaf.chainPem).map(readCertificate)
    expect(own!.names).toMatchObject({ uris: [uri('web')], dns: ['web.example'], ips: ['127.0.0.1'] })
    expect(own!.canSignCertificates).toBe(false)
    expect(own!.notAfterMs).toBe(Math.floor((clock.wallNow() + 2 * hourMs) / 1000) * 1000)
    expect(own!.notBeforeMs).toBe(Math.floor((clock.wallNow() - 60_000) / 1000) * 1000)
    expect(intermediate!.canSignCertificates).toBe(true)
    const root = new X509Certificate(ca.trustBundlePem())
    expect(own!.x509.verify(intermediate!.publicKey) && intermediate!.x509.verify(root.publicKey)).toBe(true)
    expect([...own!.x509.keyUsage].sort()).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  })

  it('signs on after a restart, under the same root and trust domain', async () => {
    const store = new MemoryCaStore()
    const first = await start({ store })
    const before = await party(first)
    await first.ca.close()
    const second = await start({ store })
    expect(second.ca.roots()).toEqual(first.ca.roots())
    expect(second.problems).toEqual([])
    const after = await party(second)
    expect(await handshake(before, after)).toEqual(trusted)
    expect(await handshake(after, before)).toEqual(trusted)
  })

  it('never lets a leaf outlive what signs it', async () => {
    const { leaf, clock, ca } = await start({
      config: { ...world.config, leafCertTtlMs: 72 * hourMs, intermediateCertTtlMs: 216 * hourMs },
    })
    const { intermediateMs } = ca.expiries()
    await clock.settle(intermediateMs - clock.wallNow() - hourMs)
    expect((await leaf('web')).notAfter.getTime()).toBeLessThanOrEqual(intermediateMs)
    await clock.settle(2 * hourMs)
    await expect(leaf('web')).rejects.toMatchObject({ code: 'intermediate-expired' })
  })

  it('rotates to another of its roots: the bundle grows first, old and new trust each other', async () => {
    const test = await start()
    const before = await party(test)
    const config = { ...world.otherRoot, forceWithoutCrossSigning: !world.crossSigns }
    await test.ca.updateConfig(config)
    expect(test.events).toEqual(['roots', 'leaf-reissue'])
    expect(test.ca.roots().Roots).toHaveLength(2)
    const after = await party(test)
    // Who has the grown bundle trusts both; where roots are cross-signed, so does who has not.
    const bundles = world.crossSigns ? [before.bundlePem, after.bundlePem] : [after.bundlePem]
    for (const bundlePem of bundles) {
      expect(await handshake({ ...before, bundlePem }, { ...after, bundlePem })).toEqual(trusted)
      expect(await handshake({ ...after, bundlePem }, { ...before, bundlePem })).toEqual(trusted)
    }
    await world.clock.settle(145 * hourMs)
    await test.ca.prune()
    expect(test.ca.roots().Roots).toHaveLength(1)
  })

  it.each(Object.keys(WORLDS).filter(other => other !== name))('hands over to "%s" and back', async other => {
    const next = await WORLDS[other]!()
    try {
      const test = await start()
      const first = await party(test)
      // Both worlds were made at the same moment, by clocks that stand still.
      await test.ca.updateConfig({ ...next.config, forceWithoutCrossSigning: true })
      const second = await party(test)
      expect(await handshake({ ...first, bundlePem: second.bundlePem }, second)).toEqual(trusted)
      await test.ca.updateConfig({ ...world.config, forceWithoutCrossSigning: true })
      const third = await party(test)
      expect(await handshake({ ...second, bundlePem: third.bundlePem }, third)).toEqual(trusted)
      expect(await handshake({ ...first, bundlePem: third.bundlePem }, third)).toEqual(trusted)
      await test.ca.close()
    } finally {
      await next.close()
    }
  })
})
