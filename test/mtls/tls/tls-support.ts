// Two sides of a TLS connection over loopback for the tests of src/mtls: models with defaults, certificates of any shape, one dial.

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { TlsStats } from '../../../src/metrics/stat-names.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import { TLS_DEFAULTS, UPSTREAM_TLS_DEFAULTS, VALIDATION_DEFAULTS } from '../../../src/model/defaults.js'
import type {
  CommonTlsContext,
  DataSource,
  DownstreamTls,
  SanMatcher,
  SanType,
  UpstreamTls,
  ValidationContext,
} from '../../../src/model/tls.js'
import { SecretRegistry, type SecretRegistryOptions } from '../../../src/mtls/secrets/secret-registry.js'
import type { DownstreamTlsContext, DownstreamVerdict } from '../../../src/mtls/tls/downstream-tls.js'
import { TlsContexts } from '../../../src/mtls/tls/tls-contexts.js'
import type { UpstreamVerdict } from '../../../src/mtls/tls/upstream-tls.js'
import {
  type Asn1,
  bits,
  bool,
  integer,
  octets,
  oid,
  readDer,
  sequence,
  set,
  tagged,
  time,
  utf8,
  writeDer,
  writePem,
} from '../../../src/mtls/x509/der.js'
import { signatureAlgorithmOf, signDer } from '../../../src/mtls/x509/keys.js'

export const trustDomain = '11111111-2222-3333-4444-555555555555.consul'
export const spiffe = (service: string, domain = trustDomain): string => `spiffe://${domain}/ns/default/dc/dc1/svc/${service}`
export const inline = (text: string): DataSource => ({ kind: 'inline', text })

export interface Leaf {
  readonly cert: string
  readonly key: string
}

export interface Shape {
  readonly uris?: readonly string[]
  readonly dns?: readonly string[]
  readonly emails?: readonly string[]
  readonly ips?: readonly (readonly number[])[]
  /** otherName with a UTF8String. */
  readonly otherNames?: readonly string[]
  readonly ca?: boolean
  readonly usages?: readonly ('clientAuth' | 'serverAuth')[]
  readonly fromMs?: number
  readonly untilMs?: number
  readonly commonName?: string
  /** EC P-256 unless given. */
  readonly keyType?: 'rsa' | 'P-384'
}

const usageOids = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' }
const hour = 3_600_000
let serial = 1

/** A CA that signs whatever shape it is asked for. */
export class AnyCa {
  readonly pem: string
  readonly key: KeyObject
  private readonly name: Asn1

  /** With a parent it is an intermediate. */
  constructor(name = 'Test CA', parent?: AnyCa) {
    this.key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    this.name = sequence(set(sequence(oid('2.5.4.3'), utf8(name))))
    this.pem = (parent ?? this).sign({ ca: true }, this.key, this.name)
  }

  leaf(shape: Shape): Leaf {
    const { keyType = 'P-256' } = shape
    const { privateKey } =
      keyType === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ec', { namedCurve: keyType })
    const subject = shape.commonName === undefined ? sequence() : sequence(set(sequence(oid('2.5.4.3'), utf8(shape.commonName))))
    return { cert: this.sign(shape, privateKey, subject), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
  }

  service(name: string): Leaf {
    return this.leaf({ uris: [spiffe(name)] })
  }

  /** `hours` from now: thisUpdate, nextUpdate (null: none). */
  crl(serials: readonly Buffer[], hours: readonly [number, number | null] = [-1, 1]): string {
    const algorithm = signatureAlgorithmOf(this.key)
    const now = Date.now()
    const revoked = serials.map(bytes => sequence(integer(bytes), time(now - hour)))
    const tbs = sequence(
      integer(Buffer.from([1])),
      algorithm,
      this.name,
      time(now + hours[0] * hour),
      ...(hours[1] === null ? [] : [time(now + hours[1] * hour)]),
      ...(revoked.length > 0 ? [sequence(...revoked)] : []),
    )
    return writePem('X509 CRL', writeDer(sequence(tbs, algorithm, bits(signDer(writeDer(tbs), this.key)))))
  }

  private sign(shape: Shape, key: KeyObject, subject: Asn1): string {
    const algorithm = signatureAlgorithmOf(this.key)
    const spki = readDer(publicDer(key))
    const names = [
      ...(shape.otherNames ?? []).map(text => tagged(0, [oid('1.3.6.1.4.1.311.20.2.3'), tagged(0, [utf8(text)])])),
      ...(shape.emails ?? []).map(text => tagged(1, Buffer.from(text, 'latin1'))),
      ...(shape.dns ?? []).map(text => tagged(2, Buffer.from(text, 'latin1'))),
      ...(shape.uris ?? []).map(text => tagged(6, Buffer.from(text, 'latin1'))),
      ...(shape.ips ?? []).map(bytes => tagged(7, Buffer.from(bytes))),
    ]
    const extension = (id: string, content: Asn1, critical = false): Asn1 =>
      sequence(oid(id), ...(critical ? [bool(true)] : []), octets(writeDer(content)))
    const extensions = [
      extension('2.5.29.19', sequence(...(shape.ca ? [bool(true)] : [])), true),
      ...(shape.ca ? [extension('2.5.29.15', bits(Buffer.from([0x86]), 1), true)] : []),
      ...(shape.usages === undefined ? [] : [extension('2.5.29.37', sequence(...shape.usages.map(usage => oid(usageOids[usage]))))]),
      ...(names.length === 0 ? [] : [extension('2.5.29.17', sequence(...names))]),
    ]
    const tbs = sequence(
      tagged(0, [integer(Buffer.from([2]))]),
      integer(Buffer.from([0x10, (serial >> 8) & 0xff, serial++ & 0xff])),
      algorithm,
      this.name,
      sequence(time(shape.fromMs ?? Date.now() - hour), time(shape.untilMs ?? Date.now() + hour)),
      subject,
      spki,
      tagged(3, [sequence(...extensions)]),
    )
    return writePem('CERTIFICATE', writeDer(sequence(tbs, algorithm, bits(signDer(writeDer(tbs), this.key)))))
  }
}

function publicDer(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' })
}

export const san = (sanType: SanType, value: string): SanMatcher => ({ sanType, matcher: { kind: 'exact', value, ignoreCase: false } })

export function validation(given: Partial<ValidationContext>): ValidationContext {
  return { ...VALIDATION_DEFAULTS, ...given }
}

export function common(
  leaf: Leaf | null,
  trust: Partial<ValidationContext> | null,
  given: Partial<CommonTlsContext> = {},
): CommonTlsContext {
  return {
    ...TLS_DEFAULTS,
    certificates: leaf === null ? [] : [{ certificateChain: inline(leaf.cert), privateKey: inline(leaf.key), password: null }],
    validation: trust === null ? null : validation(trust),
    ...given,
  }
}

export function downstream(parts: CommonTlsContext, given: Partial<DownstreamTls> = {}): DownstreamTls {
  return {
    common: parts,
    requireClientCertificate: true,
    requireSni: false,
    disableStatelessSessionResumption: false,
    ocspStaplePolicy: 'LENIENT',
    fullScanCertsOnSniMismatch: false,
    ticketKeys: [],
    ticketKeysSds: null,
    sessionTimeoutMs: null,
    ...given,
  }
}

export function upstream(parts: CommonTlsContext, given: Partial<UpstreamTls> = {}): UpstreamTls {
  return {
    ...UPSTREAM_TLS_DEFAULTS,
    common: parts,
    sni: 'api.internal',
    ...given,
  }
}

export interface Side {
  readonly contexts: TlsContexts
  readonly registry: SecretRegistry
  readonly log: { message: string; fields: Record<string, unknown> }[]
  readonly stats: TlsStats
  readonly store: StatsStore
  readonly cluster: { config: { name: string; http: { autoSanValidation: boolean } }; stats: { tls: TlsStats } }
}

export function side(options: { registry?: SecretRegistryOptions; nowMs?: () => number } = {}): Side {
  const store = new StatsStore()
  const stats = new TlsStats(store.scope('test'), 'server')
  const log: Side['log'] = []
  const registry = new SecretRegistry(options.registry)
  const contexts = new TlsContexts({
    registry,
    log: (_level, message, fields) => log.push({ message, fields }),
    ...(options.nowMs === undefined ? {} : { nowMs: options.nowMs }),
  })
  return {
    contexts,
    registry,
    log,
    stats,
    store,
    cluster: { config: { name: 'api', http: { autoSanValidation: false } }, stats: { tls: stats } },
  }
}

/** The context of a server's model, which must be good. */
export function downstreamContext(server: Side, model: DownstreamTls): DownstreamTlsContext {
  const made = server.contexts.downstream(model, { tls: server.stats })
  if (!made.ok) throw new Error(made.errors.map(({ path, reason }) => `${path}: ${reason}`).join('; '))
  return made.value
}

export interface Dialled {
  readonly server: DownstreamVerdict | null
  readonly client: UpstreamVerdict | null
  readonly clientError: Error | null
  readonly serverError: Error | null
  readonly clientSocket: TLSSocket
  readonly resumed: boolean
}

/** A listener that stays, so that sessions are filed under one address. */
export class Pair {
  readonly server = side()
  readonly client = side()
  downstream: DownstreamTls
  upstream: UpstreamTls
  /** Read the ClientHello first, as tls_inspector does. */
  inspect = false
  private readonly listener = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true })
  private port = 0

  constructor(downstreamModel: DownstreamTls, upstreamModel: UpstreamTls) {
    this.downstream = downstreamModel
    this.upstream = upstreamModel
  }

  async dial(options: { sni?: string; alpn?: readonly string[] | null } = {}): Promise<Dialled> {
    if (this.port === 0) {
      this.listener.listen(0, '127.0.0.1')
      await once(this.listener, 'listening')
      this.port = (this.listener.address() as AddressInfo).port
    }
    let serverVerdict: DownstreamVerdict | null = null
    let serverError: Error | null = null
    const served = new Promise<void>(resolve => {
      this.listener.once('connection', async (raw: net.Socket) => {
        raw.on('error', () => {})
        const context = downstreamContext(this.server, this.downstream)
        let early: Buffer | null = null
        if (this.inspect || context.wantsClientHello) {
          raw.resume()
          ;[early] = (await once(raw, 'data')) as [Buffer]
          raw.pause()
        }
        const secured = context.accept(raw, early)
        secured.on('error', error => {
          serverError = error
          context.onHandshakeError(error)
        })
        secured.once('close', resolve)
        secured.once('end', () => secured.destroy())
        secured.once('secure', () => {
          serverVerdict = context.verify(secured, 'test')
          if (!serverVerdict.ok) secured.destroy()
          else {
            secured.resume()
            secured.write('hello')
          }
        })
      })
    })
    const raw = net.connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true })
    await once(raw, 'connect')
    const context = this.client.contexts.upstream(this.upstream, this.client.cluster)
    let clientVerdict: UpstreamVerdict | null = null
    let clientError: Error | null = null
    let resumed = false
    const sni = options.sni ?? ''
    const secured = context.connect(raw, { sni, alpn: options.alpn ?? null })
    await new Promise<void>(resolve => {
      secured.on('error', error => {
        clientError = error
        context.onHandshakeError(error)
        resolve()
      })
      secured.once('close', () => resolve())
      secured.once('end', () => resolve())
      secured.once('secureConnect', () => {
        resumed = secured.isSessionReused()
        clientVerdict = context.verify(secured, sni)
        if (!clientVerdict.ok) secured.destroy()
      })
      // Session tickets come before the greeting, so they are there when it is.
      secured.once('data', () => resolve())
    })
    const alpn = secured.alpnProtocol
    secured.destroy()
    await served
    secured.alpnProtocol = alpn
    return { server: serverVerdict, client: clientVerdict, clientError, serverError, clientSocket: secured, resumed }
  }

  close(): void {
    this.listener.close()
    this.server.contexts.close()
    this.client.contexts.close()
  }
}
