import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ApiGateway, InlineCertificate } from '../../../src/control/config-entries/edge-types.js'
import { ConfigEntryTable } from '../../../src/control/config-entry-table.js'
import { bindGateway } from '../../../src/control/gateways/api-gateway-binding.js'
import { GatewayCertificates } from '../../../src/control/secrets/gateway-certificates.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { StateSeal } from '../../../src/mtls/ca/store.js'
import { VaultSession } from '../../../src/vault/vault-session.js'
import { NO_TLS } from '../../../src/vault/vault-settings.js'
import { FakeVault } from '../../support/fake-vault/fake-vault.js'
import { ImpatientClock } from '../../support/fake-vault/impatient-clock.js'
import { AnyCa } from '../../support/mesh-certificates.js'

const POLL_MS = 60_000
const ca = new AnyCa()
const pair = () => {
  const { cert, key } = ca.leaf({ dns: ['shop.example.com'] })
  return { certificate: cert, key }
}
const REFERENCES = { Certificate: 'vault://secret/data/gateways/shop#certificate', PrivateKey: 'vault://secret/data/gateways/shop#key' }

let clock: ImpatientClock
let vault: FakeVault
let store: MemoryStore
let stops: (() => void)[]
let changes: string[]
let problems: string[]

beforeEach(async () => {
  clock = new ImpatientClock()
  vault = new FakeVault({ clock })
  await vault.start()
  vault.mountKv('secret')
  store = new MemoryStore()
  stops = []
  changes = []
  problems = []
})

afterEach(async () => {
  for (const stop of stops) stop()
  await vault.stop()
  expect(vault.violations).toEqual([])
})

async function open(options: { seal?: StateSeal; vault?: boolean } = {}) {
  const settings = { address: vault.address, namespace: '', tls: NO_TLS, login: { kind: 'token', token: 'root' } } as const
  const session = new VaultSession({ settings, clock, onProblem: reason => problems.push(reason) })
  const check: { of?: GatewayCertificates } = {}
  const entries = await ConfigEntryTable.open(store, {
    datacenter: 'dc1',
    trustDomain: 'td.consul',
    check: entry => check.of!.check(entry),
  })
  const certificates = new GatewayCertificates({
    entries,
    store,
    seal: options.seal,
    vault: options.vault === false ? undefined : { session, pollMs: POLL_MS, clock },
    onChange: name => changes.push(name),
    onProblem: reason => problems.push(reason),
  })
  check.of = certificates
  entries.onChange(() => certificates.entriesChanged())
  stops.push(() => {
    certificates.stop()
    session.close()
  })
  await certificates.start()
  return { entries, certificates }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 1))
}

/** The interval is over and what it asks for is answered. */
async function polled(): Promise<void> {
  const before = vault.seen.length
  clock.advance(POLL_MS)
  await until(() => vault.seen.length > before && clock.pending > 0)
}

const entry = { Kind: 'inline-certificate', Name: 'shop', ...REFERENCES }
const gateway = {
  Kind: 'api-gateway',
  Name: 'edge',
  Listeners: [{ Name: 'tls', Port: 443, Protocol: 'http', TLS: { Certificates: [{ Kind: 'inline-certificate', Name: 'shop' }] } }],
}

describe('an inline-certificate whose PEM is in Vault', () => {
  it('is served once it has been read; the entry itself goes on to hold references', async () => {
    const { entries, certificates } = await open()
    expect(await entries.put(gateway)).toMatchObject({ ok: true })
    expect(await entries.put(entry)).toMatchObject({ ok: true })
    const bound = () => bindGateway(entries.get('api-gateway', 'edge') as ApiGateway, certificates.index)
    expect(bound().listeners).toEqual([])
    expect(bound().conditions.find(({ Reason }) => Reason === 'InvalidCertificateRef')?.Message).toBe(
      'inline-certificate "shop" is in Vault, and has not been read from there yet',
    )
    await until(() => problems.length === 1)
    expect(problems).toEqual(['Vault has no secret at secret/data/gateways/shop, or its newest version is deleted'])
    const first = pair()
    vault.putSecret('secret', 'gateways/shop', first)
    await polled()
    await until(() => changes.length === 1)
    expect(bound().listeners[0]!.certificates).toMatchObject([{ Certificate: first.certificate, PrivateKey: first.key }])
    expect(entries.get('inline-certificate', 'shop')).toMatchObject(REFERENCES)
    // The same object as long as nothing changes: snapshots compare.
    expect(certificates.index.get('inline-certificate', 'shop')).toBe(certificates.index.get('inline-certificate', 'shop'))
  })

  it('is replaced by the next version, which the metadata tells of', async () => {
    vault.putSecret('secret', 'gateways/shop', pair())
    const { entries, certificates } = await open()
    await entries.put(entry)
    await until(() => changes.length === 1)
    await polled()
    expect(vault.paths.slice(-2)).toEqual(['GET secret/data/gateways/shop', 'GET secret/metadata/gateways/shop'])
    const second = pair()
    vault.putSecret('secret', 'gateways/shop', second)
    await polled()
    await until(() => changes.length === 2)
    expect((certificates.index.get('inline-certificate', 'shop') as InlineCertificate).Certificate).toBe(second.certificate)
  })

  it('is replaced by what was written anew after the secret was deleted, which begins at version 1 again', async () => {
    vault.putSecret('secret', 'gateways/shop', pair())
    const { entries, certificates } = await open()
    await entries.put(entry)
    await until(() => changes.length === 1)
    vault.deleteSecret('secret', 'gateways/shop')
    const second = pair()
    vault.putSecret('secret', 'gateways/shop', second)
    await polled()
    await until(() => changes.length === 2)
    expect((certificates.index.get('inline-certificate', 'shop') as InlineCertificate).Certificate).toBe(second.certificate)
  })

  it('stays as it is while the next version is half written, or Vault is gone; each is told once', async () => {
    const first = pair()
    vault.putSecret('secret', 'gateways/shop', first)
    const { entries, certificates } = await open()
    await entries.put(entry)
    await until(() => changes.length === 1)
    vault.putSecret('secret', 'gateways/shop', { certificate: pair().certificate, key: first.key })
    await polled()
    await until(() => problems.length === 1)
    await polled()
    vault.sealed = true
    await polled()
    await until(() => problems.length === 2)
    const before = vault.seen.length
    await polled()
    await until(() => vault.seen.length >= before + 3)
    expect(problems).toEqual([
      'inline-certificate shop: the private key does not belong to the certificate',
      'Vault: GET secret/metadata/gateways/shop: HTTP 503 (sealed or in maintenance): Vault is sealed',
    ])
    expect(changes).toHaveLength(1)
    expect((certificates.index.get('inline-certificate', 'shop') as InlineCertificate).Certificate).toBe(first.certificate)
  })

  it('is kept over a restart where the state is sealed, and nowhere in the clear', async () => {
    const seal = new StateSeal('a key of sixteen characters')
    const first = pair()
    vault.putSecret('secret', 'gateways/shop', first)
    const { entries } = await open({ seal })
    await entries.put(entry)
    await until(() => changes.length === 1)
    while ((await store.list('gateway-certificate')).length === 0) await new Promise(resolve => setTimeout(resolve, 1))
    expect(JSON.stringify(await store.list('gateway-certificate'))).not.toContain('PRIVATE')
    vault.sealed = true
    const again = await open({ seal })
    expect(again.certificates.index.get('inline-certificate', 'shop')).toMatchObject({ Certificate: first.certificate })
    const otherKey = await open({ seal: new StateSeal('another key of that length') })
    expect(otherKey.certificates.index.get('inline-certificate', 'shop')).toMatchObject(REFERENCES)
  })

  it('is not kept at all in a state that is open', async () => {
    vault.putSecret('secret', 'gateways/shop', pair())
    const { entries } = await open()
    await entries.put(entry)
    await until(() => changes.length === 1)
    expect(await store.list('gateway-certificate')).toEqual([])
  })

  it('asks Vault for nothing that no entry names any more', async () => {
    vault.putSecret('secret', 'gateways/shop', pair())
    const { entries } = await open()
    await entries.put(entry)
    await until(() => changes.length === 1)
    await entries.delete('inline-certificate', 'shop')
    const seen = vault.seen.length
    clock.advance(POLL_MS)
    await new Promise(resolve => setImmediate(resolve))
    expect(vault.seen).toHaveLength(seen)
  })

  it.each([
    [{ PrivateKey: 'vault://secret/shop#key' }, 'PrivateKey', 'must have the form vault://<mount>/data/<path>#<field>'],
    [{ PrivateKey: 'vault://secret/data/../shop#key' }, 'PrivateKey', 'must have the form vault://<mount>/data/<path>#<field>'],
    [{ Certificate: 'pem' }, 'Certificate', 'is no PEM certificate'],
  ])('is refused as %j', async (change, path, reason) => {
    const { entries } = await open()
    const result = await entries.put({ ...entry, ...change })
    expect(result).toMatchObject({ ok: false, errors: [{ path, reason: expect.stringContaining(reason) }] })
  })

  it('is refused where no Vault is configured', async () => {
    const { entries } = await open({ vault: false })
    expect(await entries.put(entry)).toMatchObject({
      ok: false,
      errors: [{ path: 'Certificate', reason: 'names a secret in Vault, and no --vault-config says where Vault is' }],
    })
  })
})
