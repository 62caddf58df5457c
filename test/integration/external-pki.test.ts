// A mesh under an operator's own PKI: `bin/outrigger control --ca-config FILE` with the provider "files", real sidecars, and the operator
// who replaces first the intermediate, then the root, while requests keep coming. Bad files are refused with one line, old ones stay.
import { spawnSync } from 'node:child_process'
import { createPublicKey, type KeyObject } from 'node:crypto'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { generateKey, privateKeyPem } from '../../src/mtls/x509/keys.js'
import { type Certificate, crossSign, issueIntermediate, issueRoot, type Signer } from '../../src/mtls/x509/x509.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import { until } from '../support/proxy-process.js'
import { SteadyLoad } from '../support/steady-load.js'

const hourMs = 3_600_000
/** The control plane looks at the files every 5 s, and a rotation waits for the sidecars besides. */
const NOTICED_WITHIN_MS = 40_000
const outriggerBin = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
const dir = mkdtempSync(join(tmpdir(), 'outrigger-pki-'))
const files = { roots: join(dir, 'roots.pem'), intermediate: join(dir, 'intermediate.pem'), key: join(dir, 'key.pem') }
const configFile = join(dir, 'ca.yaml')
writeFileSync(
  configFile,
  `Provider: files\nConfig:\n  RootFile: ${files.roots}\n  IntermediateFile: ${files.intermediate}\n  KeyFile: ${files.key}\n`,
)
const times = () => ({ notBeforeMs: Date.now() - hourMs, notAfterMs: Date.now() + 5_000 * hourMs })

interface Intermediate {
  readonly key: KeyObject
  readonly certificate: Certificate
}

async function makeRoot(name: string): Promise<Signer> {
  const key = await generateKey({ type: 'ec', bits: 256 })
  return { key, certificate: issueRoot({ key, name, trustDomain: 'pki.example', ...times() }) }
}

async function makeIntermediate(root: Signer, name: string): Promise<Intermediate> {
  const key = await generateKey({ type: 'ec', bits: 256 })
  return { key, certificate: issueIntermediate(root, { publicKey: createPublicKey(key), name, trustDomain: 'pki.example', ...times() }) }
}

/** As an operator's tool does: each file in one step, the three not at once. */
function install(roots: string, intermediate: string, key: string): void {
  for (const [file, text] of [
    [files.key, key],
    [files.intermediate, intermediate],
    [files.roots, roots],
  ] as const) {
    writeFileSync(`${file}.new`, text, { mode: 0o600 })
    renameSync(`${file}.new`, file)
  }
}

const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const mesh = new MeshFixture(['--ca-config', configFile])
let web: Registered
let api: Registered
let rootA: Signer
let first: Intermediate

beforeAll(async () => {
  rootA = await makeRoot('Root A')
  first = await makeIntermediate(rootA, 'Int A1')
  install(rootA.certificate.pem, first.certificate.pem, privateKeyPem(first.key))
  await origin.listen()
  await mesh.start()
  api = await mesh.register('api', { name: 'api', port: origin.port })
  web = await mesh.register('web', { name: 'web', upstreams: ['api'] })
  await mesh.intention('api', [{ Name: 'web', Action: 'allow' }])
  await mesh.sidecar('api')
  await mesh.sidecar('web')
})
afterAll(async () => {
  await mesh.stop()
  await origin.close()
  rmSync(dir, { recursive: true })
})

/** What the api sidecar shows: common names of its chain, and OpenSSL's verdict by `bundle` ('' = trusted). */
async function shown(bundle: string): Promise<{ names: string[]; verdict: string }> {
  const { cert, key } = await mesh.leaf('web')
  const socket = tls.connect({ port: api.publicPort, host: '127.0.0.1', ca: bundle, cert, key, checkServerIdentity: () => undefined })
  return await new Promise((resolve, reject) => {
    socket.on('error', error => reject(new Error(`the api sidecar refused: ${error.message}`)))
    socket.once('secureConnect', () => {
      const names = new Set<string>()
      for (let item = socket.getPeerCertificate(true); item?.subject !== undefined; item = item.issuerCertificate) {
        const name = String(item.issuer.CN)
        if (names.has(name)) break
        names.add(name)
      }
      resolve({ names: [...names], verdict: String(socket.authorizationError ?? '') })
      socket.destroy()
    })
  })
}

async function rotateLeaves(...services: readonly string[]): Promise<void> {
  for (const service of services) {
    const { text } = await mesh.writeFor(`/v1/outrigger/ca/rotate-leaf?service=${service}`)
    await mesh.acknowledged(service, (JSON.parse(text) as { Index: number }).Index)
  }
}

it('a new intermediate, then a new root, each replaced in the files: no request fails, and whoever knows only the old root still trusts', {
  timeout: 150_000,
}, async () => {
  const load = new SteadyLoad(web.upstreams.get('api')!)
  expect(await shown(rootA.certificate.pem)).toEqual({ names: ['Int A1', 'Root A'], verdict: '' })

  const second = await makeIntermediate(rootA, 'Int A2')
  install(rootA.certificate.pem, second.certificate.pem, privateKeyPem(second.key))
  await until(
    'leaves come from the new intermediate',
    async () => {
      await rotateLeaves('api')
      return (await shown(rootA.certificate.pem)).names.includes('Int A2')
    },
    NOTICED_WITHIN_MS,
  )
  await rotateLeaves('web')
  expect((await mesh.read('/v1/connect/ca/roots')).Roots).toHaveLength(1)

  const rootB = await makeRoot('Root B')
  const third = await makeIntermediate(rootB, 'Int B1')
  const cross = crossSign(rootA, rootB.certificate, times())
  install(rootB.certificate.pem, third.certificate.pem + cross.pem, privateKeyPem(third.key))
  await until(
    'the new root is the active one',
    async () => {
      const { Roots } = await mesh.read('/v1/connect/ca/roots')
      return Roots.length === 2 && Roots.find((root: { Active: boolean }) => root.Active).RootCert.trim() === rootB.certificate.pem.trim()
    },
    NOTICED_WITHIN_MS,
  )
  // Old and new leaf on the two sides, both ways round, then new on both.
  await rotateLeaves('api')
  const before = load.sent
  await until('requests go on', () => load.sent > before + 20)
  expect(await shown(rootA.certificate.pem)).toEqual({ names: ['Int B1', 'Root B', 'Root A'], verdict: '' })
  expect((await shown(rootB.certificate.pem)).verdict).toBe('')
  await rotateLeaves('web')
  const after = load.sent
  await until('requests go on', () => load.sent > after + 20)
  await load.stop()
  expect(load.failures).toEqual([])
})

it('files that do not fit together are named in one line of the log, once, and the last good ones go on signing', {
  timeout: 60_000,
}, async () => {
  const load = new SteadyLoad(web.upstreams.get('api')!)
  const stranger = await makeIntermediate(rootA, 'Int C1')
  const logged = mesh.log.length
  writeFileSync(files.key, privateKeyPem(stranger.key))
  await until('the log names the file', () => mesh.log.slice(logged).includes('CA files (the last good ones go on)'), NOTICED_WITHIN_MS)
  await rotateLeaves('api', 'web')
  await load.stop()
  expect(load.failures).toEqual([])
  const lines = mesh.log
    .slice(logged)
    .split('\n')
    .filter(line => line.includes('CA files'))
  expect(lines).toEqual([expect.stringContaining('key.pem does not belong to the first certificate of')])
  expect(mesh.log).not.toContain('PRIVATE KEY')
})

it('bad files at the start end the control plane with one line', () => {
  const bad = join(dir, 'bad.yaml')
  writeFileSync(
    bad,
    `Provider: files\nConfig:\n  RootFile: ${files.roots}\n  IntermediateFile: ${join(dir, 'none.pem')}\n  KeyFile: ${files.key}\n`,
  )
  const addresses = ['--http-addr', '127.0.0.1:0', '--grpc-addr', '127.0.0.1:0']
  const { status, stderr } = spawnSync(process.execPath, [outriggerBin, 'control', '--ca-config', bad, ...addresses], {
    encoding: 'utf8',
    timeout: 30_000,
  })
  expect(status).toBe(1)
  expect(stderr.trim().split('\n')).toEqual([expect.stringMatching(/none\.pem: ENOENT/)])
})
