// A CA for tests: a clock that is set by hand, listeners that remember, a store that fails at a chosen step, TLS dialling.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { CertificateAuthority, type CertificateAuthorityOptions } from '../../../src/mtls/ca/authority.js'
import { type CaConfig, DEFAULT_CA_CONFIG } from '../../../src/mtls/ca/config.js'
import type { IssuedLeaf } from '../../../src/mtls/ca/leaf-signer.js'
import { type CaState, type CaStore, decodeCaState, encodeCaState } from '../../../src/mtls/ca/store.js'
import { serviceSpiffeId } from '../../../src/mtls/spiffe.js'
import { ManualClock } from '../../support/manual-clock.js'

export const hourMs = 3_600_000
/** No rate limit, so that tests with a hand-set clock never wait. */
export const testConfig: CaConfig = { ...DEFAULT_CA_CONFIG, csrMaxPerSecond: 0 }

/** A small seeded generator (mulberry32): [0, 1). */
export function seeded(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Keeps the state as long as the test lives. */
export class MemoryCaStore implements CaStore {
  private text: string | undefined

  async load(): Promise<CaState | undefined> {
    return this.text === undefined ? undefined : decodeCaState(this.text)
  }

  async save(state: CaState): Promise<void> {
    this.text = encodeCaState(state)
  }
}

/** Fails the n-th save (from 1), before or after the state is kept. */
export class FaultyStore implements CaStore {
  saves = 0
  failAt = 0
  failAfterKeeping = false
  private readonly inner = new MemoryCaStore()

  load(): Promise<CaState | undefined> {
    return this.inner.load()
  }

  async save(state: CaState): Promise<void> {
    this.saves++
    const fails = this.saves === this.failAt
    if (!fails || this.failAfterKeeping) await this.inner.save(state)
    if (fails) throw new Error('the disk is full')
  }
}

export interface TestCa {
  readonly ca: CertificateAuthority
  readonly clock: ManualClock
  readonly events: string[]
  readonly problems: string[]
  /** A leaf for a service of dc1. */
  leaf(service: string): Promise<IssuedLeaf>
  uri(service: string): string
}

export function makeCa(options: Partial<CertificateAuthorityOptions> & { clock?: ManualClock } = {}): TestCa {
  const clock = options.clock ?? new ManualClock()
  const events: string[] = []
  const problems: string[] = []
  const ca = new CertificateAuthority({
    store: new MemoryCaStore(),
    config: testConfig,
    onProblem: reason => problems.push(reason),
    ...options,
    clock,
  })
  ca.onChange(event => events.push(event.kind))
  const uri = (service: string) => serviceSpiffeId({ trustDomain: ca.trustDomain, datacenter: 'dc1', service })
  return { ca, clock, events, problems, uri, leaf: service => ca.signer.issue({ uri: uri(service) }) }
}

export interface Party {
  readonly leaf: { readonly chainPem: string; readonly keyPem: string }
  readonly bundlePem: string
}

/** A mutual handshake over loopback; resolves with what each side thinks of the other, '' for trusted. */
export async function handshake(
  client: Party,
  server: Party,
  version?: 'TLSv1.2' | 'TLSv1.3',
): Promise<{ client: string; server: string }> {
  const versions = version === undefined ? {} : { minVersion: version, maxVersion: version }
  const listener = createServer(
    {
      cert: server.leaf.chainPem,
      key: server.leaf.keyPem,
      ca: server.bundlePem,
      requestCert: true,
      rejectUnauthorized: false,
      ...versions,
    },
    socket => socket.on('error', () => {}).resume(),
  )
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const accepted = once(listener, 'secureConnection') as Promise<[TLSSocket]>
  const socket = connect({
    host: '127.0.0.1',
    port: (listener.address() as AddressInfo).port,
    cert: client.leaf.chainPem,
    key: client.leaf.keyPem,
    ca: client.bundlePem,
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
    ...versions,
  })
  socket.on('error', () => {})
  try {
    const [[peer]] = await Promise.all([accepted, once(socket, 'secureConnect')])
    return { client: String(socket.authorizationError ?? ''), server: String(peer.authorizationError ?? '') }
  } finally {
    socket.destroy()
    listener.close()
  }
}

export const trusted = { client: '', server: '' }
