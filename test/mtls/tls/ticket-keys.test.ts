import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { DataSource, DownstreamTls, TlsVersion } from '../../../src/model/tls.js'
import { checkSecret, checkTlsModel } from '../../../src/mtls/tls/tls-checks.js'
import { AnyCa, common, downstream, downstreamContext, inline, Pair, san, side, spiffe, upstream } from './tls-support.js'

const ca = new AnyCa()
const [web, api] = [ca.service('web'), ca.service('api')]
const trust = { trustedCa: inline(ca.pem) }
const [keyA, keyB, keyC] = [randomBytes(80), randomBytes(80), randomBytes(80)]
const source = (bytes: Buffer): DataSource => ({ kind: 'inline', text: bytes.toString('utf8'), base64: bytes.toString('base64') })
const serving = (keys: readonly Buffer[], trusted = trust): DownstreamTls =>
  downstream(common(api, trusted), { ticketKeys: keys.map(source) })
let pair: Pair | null = null

afterEach(() => {
  pair?.close()
  pair = null
})

function dialling(keys: readonly Buffer[], version: TlsVersion): Pair {
  pair = new Pair(
    serving(keys),
    upstream(common(web, { ...trust, sanMatchers: [san('URI', spiffe('api'))] }, { minVersion: version, maxVersion: version })),
  )
  return pair
}

/** Another process with that config: nothing is shared but the keys. */
async function resumesAt(model: DownstreamTls): Promise<boolean> {
  Object.assign(pair!, { server: side() })
  pair!.downstream = model
  const { resumed, server, client } = await pair!.dial()
  expect([server?.ok, client?.ok]).toEqual([true, true])
  return resumed
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('session ticket keys of the config, %s', version => {
  it('the first seals, all open: tickets outlive a rotation, a restart and a change of sidecar', async () => {
    dialling([keyA], version)
    expect((await pair!.dial()).resumed).toBe(false)
    expect(await resumesAt(serving([keyA]))).toBe(true)
    expect(await resumesAt(serving([keyB, keyA]))).toBe(true)
    // The ticket was renewed under the new key, so the old one may go. (OpenSSL's client keeps the old ticket in TLS 1.2.)
    expect(await resumesAt(serving([keyB]))).toBe(version === 'TLSv1.3')
    expect(await resumesAt(serving([keyC]))).toBe(false)
  })

  it('three keys: the last one still opens, one that is gone means a full handshake', async () => {
    dialling([keyC], version)
    await pair!.dial()
    expect(await resumesAt(serving([keyA, keyB, keyC]))).toBe(true)
    dialling([keyC, keyA], version)
    await pair!.dial()
    expect(await resumesAt(serving([keyA, keyB]))).toBe(false)
  })

  it('opens no ticket that was given under another trust bundle (CVE-2022-21654, CVE-2025-23419)', async () => {
    dialling([keyA], version)
    await pair!.dial()
    expect(await resumesAt(serving([keyA], { trustedCa: inline(new AnyCa('Other CA').pem + ca.pem) }))).toBe(false)
  })
})

it('refuses a key that has not 80 bytes, inline, by file and by SDS', () => {
  const short = 'session_ticket_keys.keys[1]'
  expect(checkTlsModel(serving([keyA, keyB.subarray(1)]))).toEqual([{ path: short, reason: 'a key has 80 bytes, this one 79' }])
  const registry = side().registry
  const secret = { name: 'tickets', kind: 'ticketKeys', keys: [source(keyA), source(Buffer.alloc(48))] } as const
  expect(checkSecret(secret, registry)).toEqual([{ path: short, reason: 'a key has 80 bytes, this one 48' }])
  expect(checkSecret({ ...secret, keys: [source(keyA)] }, registry)).toEqual([])
})

it('takes keys from a secret and from files, byte for byte, and follows both', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-tickets-'))
  try {
    const path = join(dir, 'key')
    writeFileSync(path, keyA)
    const ref = { name: 'tickets', source: { kind: 'ads' }, initialFetchTimeoutMs: 0 } as const
    dialling([keyA], 'TLSv1.3')
    await pair!.dial()
    const { server } = pair!
    const model = downstream(common(api, trust), { ticketKeysSds: ref })
    const context = downstreamContext(server, model)
    expect(context.ready).toBe(false)
    server.registry.setSecret(ref, { name: 'tickets', kind: 'ticketKeys', keys: [{ kind: 'file', path, watchedDirectory: '' }] })
    expect(context.ready).toBe(true)
    pair!.downstream = model
    const before = context.material
    expect((await pair!.dial()).resumed).toBe(true)
    writeFileSync(path, keyB)
    server.registry.checkFiles()
    expect(context.material).not.toBe(before)
    expect((await pair!.dial()).resumed).toBe(false)
    server.registry.setSecret(ref, { name: 'tickets', kind: 'ticketKeys', keys: [source(keyA), source(keyB)] })
    expect((await pair!.dial()).resumed).toBe(true)
  } finally {
    rmSync(dir, { recursive: true })
  }
})
