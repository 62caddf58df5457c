import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { certificatePems } from '../../../src/mtls/x509/der.js'
import { generateKey, privateKeyPem } from '../../../src/mtls/x509/keys.js'
import { type Certificate, crossSign, issueIntermediate, issueRoot, type Signer } from '../../../src/mtls/x509/x509.js'
import { FaultyStore, handshake, hourMs, MemoryCaStore, makeCa, type TestCa, testConfig, trusted } from './support.js'

let directory: string
let files: { kind: 'files'; rootFile: string; intermediateFile: string; keyFile: string }
const open: TestCa[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ca-files-'))
  files = {
    kind: 'files',
    rootFile: join(directory, 'roots.pem'),
    intermediateFile: join(directory, 'intermediate.pem'),
    keyFile: join(directory, 'key.pem'),
  }
})
afterEach(async () => {
  for (const { ca } of open.splice(0)) await ca.close()
  await rm(directory, { recursive: true })
})

const times = () => ({ notBeforeMs: Date.now() - hourMs, notAfterMs: Date.now() + 5000 * hourMs })

async function externalRoot(name: string): Promise<Signer> {
  const key = await generateKey({ type: 'ec', bits: 256 })
  return { key, certificate: issueRoot({ key, name, trustDomain: 'pki.example', ...times() }) }
}

async function externalIntermediate(root: Signer, name: string): Promise<{ key: KeyObject; certificate: Certificate }> {
  const key = await generateKey({ type: 'ec', bits: 256 })
  return { key, certificate: issueIntermediate(root, { publicKey: createPublicKey(key), name, trustDomain: 'pki.example', ...times() }) }
}

async function write(roots: string, intermediates: string, key: string): Promise<void> {
  await Promise.all([writeFile(files.rootFile, roots), writeFile(files.intermediateFile, intermediates), writeFile(files.keyFile, key)])
}

function make(options: Parameters<typeof makeCa>[0] = {}): TestCa {
  const made = makeCa({ config: { ...testConfig, provider: files }, ...options })
  open.push(made)
  return made
}

describe('external PKI by files', () => {
  it('signs by the intermediate of the operator, whose key never enters the state', async () => {
    const root = await externalRoot('Root A')
    const intermediate = await externalIntermediate(root, 'Int A')
    await write(root.certificate.pem, intermediate.certificate.pem, privateKeyPem(intermediate.key))
    const store = new MemoryCaStore()
    const { ca, leaf } = make({ store })
    await ca.init()
    expect(ca.trustBundlePem()).toBe(root.certificate.pem)
    expect(ca.roots().Roots[0]).toMatchObject({ Name: 'External CA Primary Cert', Active: true })
    const issued = await leaf('web')
    expect(certificatePems(issued.chainPem)[1]).toBe(intermediate.certificate.pem)
    const party = { leaf: issued, bundlePem: ca.trustBundlePem() }
    expect(await handshake(party, party)).toEqual(trusted)
    expect(JSON.stringify(await store.load())).not.toContain('PRIVATE KEY')
    await expect(ca.rotateRoot()).rejects.toThrow(/replace root, intermediate and key there/)
    // A restart reads the key from its file again.
    const again = make({ store })
    await again.ca.init()
    expect(again.ca.clusterId).toBe(ca.clusterId)
    expect((await again.leaf('web')).chainPem).toContain(intermediate.certificate.pem)
  })

  it('follows a new intermediate without a word, and a new root through a rotation', async () => {
    const rootA = await externalRoot('Root A')
    const one = await externalIntermediate(rootA, 'Int 1')
    await write(rootA.certificate.pem, one.certificate.pem, privateKeyPem(one.key))
    const { ca, leaf, events, problems } = make()
    await ca.init()
    const first = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }

    const two = await externalIntermediate(rootA, 'Int 2')
    await write(rootA.certificate.pem, two.certificate.pem, privateKeyPem(two.key))
    await ca.checkFiles()
    expect(events).toEqual([])
    expect(certificatePems((await leaf('web')).chainPem)[1]).toBe(two.certificate.pem)

    const rootB = await externalRoot('Root B')
    const three = await externalIntermediate(rootB, 'Int 3')
    const cross = crossSign(rootA, rootB.certificate, times())
    await write(rootB.certificate.pem, three.certificate.pem + cross.pem, privateKeyPem(three.key))
    await ca.checkFiles()
    expect(events).toEqual(['roots', 'leaf-reissue'])
    expect(ca.roots().Roots.map(root => root.Active)).toEqual([true, false])
    expect(ca.roots().Roots[1]!.RotatedOutAt).toBeDefined()
    const second = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }
    expect(certificatePems(second.leaf.chainPem)).toEqual([second.leaf.certPem, three.certificate.pem, cross.pem])
    for (const [a, b] of [
      [first, second],
      [second, first],
      [second, second],
    ] as const) {
      expect(await handshake(a, b)).toEqual(trusted)
    }
    expect(problems).toEqual([])
  })

  it('trusts every root of the file, and one taken out of it for a while yet', async () => {
    const [rootA, rootB] = [await externalRoot('Root A'), await externalRoot('Root B')]
    const one = await externalIntermediate(rootA, 'Int 1')
    await write(rootB.certificate.pem + rootA.certificate.pem, one.certificate.pem, privateKeyPem(one.key))
    const { ca, events, clock } = make()
    await ca.init()
    expect(ca.roots().Roots.map(root => [root.RootCert, root.Active, root.RotatedOutAt])).toEqual([
      [rootA.certificate.pem, true, undefined],
      [rootB.certificate.pem, false, undefined],
    ])
    await clock.settle(1000 * hourMs)
    await ca.prune()
    expect(ca.roots().Roots).toHaveLength(2)
    await writeFile(files.rootFile, rootA.certificate.pem)
    await ca.checkFiles()
    expect(ca.roots().Roots[1]!.RotatedOutAt).toBeDefined()
    await clock.settle(145 * hourMs)
    await ca.prune()
    expect(ca.roots().Roots).toHaveLength(1)
    expect(events).toEqual(['roots', 'roots'])
  })

  it('retries half-written and mismatched files, keeps the last good ones, and says so once', async () => {
    const root = await externalRoot('Root A')
    const one = await externalIntermediate(root, 'Int 1')
    await write(root.certificate.pem, one.certificate.pem, privateKeyPem(one.key))
    const { ca, leaf, problems } = make()
    await ca.init()
    const two = await externalIntermediate(root, 'Int 2')
    const steps: [string, string, RegExp][] = [
      [files.intermediateFile, two.certificate.pem.slice(0, 200), /intermediate\.pem: .*has no end/],
      [files.intermediateFile, two.certificate.pem, /key\.pem does not belong to the first certificate/],
      [files.keyFile, privateKeyPem(two.key).slice(0, 80), /key\.pem is not a private key in PEM/],
      [files.rootFile, '', /roots\.pem: it holds no certificate/],
    ]
    for (const [file, text, problem] of steps) {
      await writeFile(file, text)
      await ca.checkFiles()
      await ca.checkFiles()
      expect(problems.splice(0)).toEqual([expect.stringMatching(problem)])
      expect(certificatePems((await leaf('web')).chainPem)[1]).toBe(one.certificate.pem)
    }
    await rm(files.rootFile)
    await ca.checkFiles()
    expect(problems.splice(0)).toEqual([expect.stringMatching(/roots\.pem: ENOENT/)])
    await write(root.certificate.pem, two.certificate.pem, privateKeyPem(two.key))
    await ca.checkFiles()
    expect(problems).toEqual([])
    expect(certificatePems((await leaf('web')).chainPem)[1]).toBe(two.certificate.pem)
  })

  it('takes new files over again when the state could not be saved, and signs by the old ones meanwhile', async () => {
    const [rootA, rootB] = [await externalRoot('Root A'), await externalRoot('Root B')]
    const one = await externalIntermediate(rootA, 'Int 1')
    const two = await externalIntermediate(rootB, 'Int 2')
    await write(rootA.certificate.pem, one.certificate.pem, privateKeyPem(one.key))
    const store = new FaultyStore()
    const { ca, leaf, problems, events } = make({ store })
    await ca.init()
    await write(rootB.certificate.pem, two.certificate.pem, privateKeyPem(two.key))
    // The first save of the rotation fails, then, offered again, the second.
    for (const [save, reported] of [
      [1, ['the disk is full']],
      [2, []],
    ] as const) {
      store.failAt = store.saves + save
      await ca.checkFiles()
      expect(store.saves).toBe(store.failAt)
      expect(problems.splice(0)).toEqual(reported.map(text => expect.stringMatching(text)))
      expect(certificatePems((await leaf('web')).chainPem)[1]).toBe(one.certificate.pem)
    }
    await ca.checkFiles()
    expect(events).toEqual(['roots', 'leaf-reissue'])
    expect(certificatePems((await leaf('web')).chainPem)[1]).toBe(two.certificate.pem)
    expect(problems).toEqual([])
  })

  it('notices a change by its own watch', async () => {
    const root = await externalRoot('Root A')
    const one = await externalIntermediate(root, 'Int 1')
    await write(root.certificate.pem, one.certificate.pem, privateKeyPem(one.key))
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const { ca, events } = make()
      await ca.init()
      const next = await externalRoot('Root B')
      const two = await externalIntermediate(next, 'Int 2')
      await write(next.certificate.pem, two.certificate.pem, privateKeyPem(two.key))
      const reissue = new Promise<void>(resolve => ca.onChange(event => event.kind === 'leaf-reissue' && resolve()))
      vi.advanceTimersByTime(5_000)
      await reissue
      expect(events).toEqual(['roots', 'leaf-reissue'])
    } finally {
      vi.useRealTimers()
    }
  })

  it.each(['a leaf', 'a stranger', 'an intermediate without its root', 'an expired intermediate'])(
    'refuses %s as intermediate at the start',
    async what => {
      const root = await externalRoot('Root A')
      let signer = await externalIntermediate(root, 'Int 1')
      let rootPem = root.certificate.pem
      if (what === 'a leaf') {
        const { ca, leaf } = makeCa()
        await ca.init()
        const issued = await leaf('web')
        await write(ca.trustBundlePem(), issued.certPem, issued.keyPem)
        await expect(make().ca.init()).rejects.toThrow('is not a CA that may sign certificates')
        return
      }
      if (what === 'a stranger') signer = { ...signer, key: await generateKey({ type: 'ec', bits: 256 }) }
      if (what === 'an intermediate without its root') rootPem = (await externalRoot('Root A')).certificate.pem
      if (what === 'an expired intermediate') {
        const past = { notBeforeMs: Date.now() - 2 * hourMs, notAfterMs: Date.now() - hourMs }
        signer.certificate = issueIntermediate(root, { publicKey: createPublicKey(signer.key), name: 'Old', trustDomain: 'x', ...past })
      }
      await write(rootPem, signer.certificate.pem, privateKeyPem(signer.key))
      const expected =
        { 'a stranger': 'does not belong', 'an expired intermediate': 'has expired' }[what] ?? 'is signed by none of the roots'
      await expect(make().ca.init()).rejects.toThrow(expected)
    },
  )

  it('starts with the roots it remembers when the files are gone, refuses to sign by name, and goes on when they are back', async () => {
    const root = await externalRoot('Root A')
    const one = await externalIntermediate(root, 'Int 1')
    await write(root.certificate.pem, one.certificate.pem, privateKeyPem(one.key))
    const store = new MemoryCaStore()
    await make({ store }).ca.init()
    await rm(files.keyFile)
    const again = make({ store })
    await again.ca.init()
    expect(again.problems).toEqual([expect.stringMatching(/CA files: .*key\.pem: ENOENT/)])
    expect(again.ca.trustBundlePem()).toBe(root.certificate.pem)
    await expect(again.leaf('web')).rejects.toMatchObject({ code: 'signer-unavailable' })
    await writeFile(files.keyFile, privateKeyPem(one.key))
    await again.ca.checkFiles()
    expect((await again.leaf('web')).uri).toContain('/svc/web')
  })

  it('changes from built-in to files with a cross-sign, and back only when forced', async () => {
    const root = await externalRoot('Root A')
    const one = await externalIntermediate(root, 'Int 1')
    await write(root.certificate.pem, one.certificate.pem, privateKeyPem(one.key))
    const { ca, leaf } = make({ config: testConfig })
    await ca.init()
    const builtin = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }
    await ca.updateConfig({ ...testConfig, provider: files })
    const external = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }
    expect(await handshake(builtin, external)).toEqual(trusted)
    expect(await handshake(external, builtin)).toEqual(trusted)
    expect(new X509Certificate(ca.roots().Roots[0]!.RootCert).subject).toContain('Root A')
    await expect(ca.updateConfig(testConfig)).rejects.toMatchObject({ code: 'cross-sign-unsupported' })
    await ca.updateConfig({ ...testConfig, forceWithoutCrossSigning: true })
    expect(ca.roots().Roots).toHaveLength(3)
    const back = { leaf: await leaf('web'), bundlePem: ca.trustBundlePem() }
    expect(await handshake({ ...external, bundlePem: back.bundlePem }, back)).toEqual(trusted)
  })

  it('finishes after a crash a rotation that new files had begun', async () => {
    const [rootA, rootB] = [await externalRoot('Root A'), await externalRoot('Root B')]
    const one = await externalIntermediate(rootA, 'Int 1')
    const two = await externalIntermediate(rootB, 'Int 2')
    await write(rootA.certificate.pem, one.certificate.pem, privateKeyPem(one.key))
    const store = new MemoryCaStore()
    let reached: () => void = () => {}
    const staged = new Promise<void>(resolve => {
      reached = resolve
    })
    const crashed = make({
      store,
      bundleSettled: () => {
        reached()
        return new Promise(() => {})
      },
    })
    await crashed.ca.init()
    await write(rootB.certificate.pem, two.certificate.pem, privateKeyPem(two.key))
    const check = crashed.ca.checkFiles()
    await staged
    await crashed.ca.close()
    await check
    const again = make({ store })
    await again.ca.init()
    expect(again.ca.roots().Roots.map(root => [root.RootCert, root.Active])).toEqual([
      [rootB.certificate.pem, true],
      [rootA.certificate.pem, false],
    ])
    expect(certificatePems((await again.leaf('web')).chainPem)[1]).toBe(two.certificate.pem)
  })
})
