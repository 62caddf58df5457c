// TLS towards one cluster: wraps a connected socket, offers a session, judges the server. Made by TlsContexts; called by the connector and
// (for `key`) by the pools. Invariant: `verify` judges every handshake by the material it began with; a resumed one, for which Node gives no
// certificate, by the identity that its full handshake proved (sessions are kept with it and filed under all that was checked).

import type { Socket } from 'node:net'
import { isIP } from 'node:net'
import tls, { type ConnectionOptions, type DetailedPeerCertificate, type TLSSocket } from 'node:tls'
import { setCarrier } from '../../io/reset-socket.js'
import type { TlsStats } from '../../metrics/stat-names.js'
import type { UpstreamTls } from '../../model/tls.js'
import type { CertificateIdentity } from '../peer/certificate-identity.js'
import type { PeerIdentity } from '../peer/peer-identity.js'
import type { ResumableSession } from './session-cache.js'
import { sessionWithoutPeer } from './session-without-peer.js'
import { alpnWire, chainErrorOf, closeOnError, peerCertificateOf, TlsContext, type TlsContextDeps } from './tls-context.js'
import { upstreamInput } from './tls-input.js'
import type { TlsMaterial } from './tls-material.js'

/** What a cluster gives to its TLS context. */
export interface UpstreamTlsOwner {
  readonly config: { readonly name: string; readonly http: { readonly autoSanValidation: boolean } }
  readonly stats: { readonly tls: TlsStats }
}

export type UpstreamVerdict = { readonly ok: true; readonly peer: PeerIdentity | null } | { readonly ok: false; readonly reason: string }

/** Lists of ALPN protocols other than the configured one that are kept in wire form. */
const MAX_ALPN_LISTS = 16

interface Handshake {
  readonly context: UpstreamTlsContext
  readonly material: TlsMaterial
  readonly sessionKey: string
  readonly offered: ResumableSession | null
  identity: CertificateIdentity | null
  verified: boolean
}

const handshakeOf = Symbol('handshake')
type UpstreamSocket = TLSSocket & { [handshakeOf]?: Handshake }

export class UpstreamTlsContext extends TlsContext {
  readonly model: UpstreamTls
  private readonly owner: UpstreamTlsOwner
  private readonly checksServerName: boolean
  private readonly configuredAlpn: Buffer | null
  private readonly alpnLists = new Map<string, Buffer>()

  constructor(model: UpstreamTls, owner: UpstreamTlsOwner, deps: TlsContextDeps) {
    super(upstreamInput(model, owner.config.http.autoSanValidation), `cluster ${owner.config.name}`, owner.stats.tls, deps)
    this.model = model
    this.owner = owner
    this.checksServerName = model.autoSniSanValidation || owner.config.http.autoSanValidation
    this.configuredAlpn = model.common.alpnProtocols.length === 0 ? null : alpnWire(model.common.alpnProtocols)
  }

  /** Equal keys verify the same things: SNI, names, trust bundle, protocols. Our own certificate is no part of it. */
  get key(): string {
    return this.material === null ? 'not-ready' : this.material.verifyKey
  }

  /** Connections verified under `key`, an earlier one, are good under the rules of now too: only the trust bundle has grown. */
  covers(key: string): boolean {
    return this.material !== null && this.deps.history.covers(this.material.verifyKey, key)
  }

  /** A connection is tried without the secrets. */
  countNotReady(): void {
    this.owner.stats.tls.socketFactory.upstream_context_secrets_not_ready.value++
  }

  /**
   * Starts a handshake on a connected socket. `sni` '' = the configured one; `alpn` null = the configured ones. The socket emits
   * `secureConnect` (then call `verify` before anything else) or `error`. Throws when the secrets are not there yet.
   */
  connect(socket: Socket, { sni, alpn }: { readonly sni: string; readonly alpn: readonly string[] | null }): TLSSocket {
    const { material } = this
    if (material === null) throw new Error('the TLS secrets of the cluster are not there yet')
    const servername = sni === '' ? this.model.sni : sni
    const protocols = alpn === null ? this.configuredAlpn : this.alpnList(alpn)
    const resumes = this.model.maxSessionKeys > 0
    const sessionKey = resumes
      ? `${material.resumptionKey} ${servername} ${socket.remoteAddress ?? ''} ${socket.remotePort ?? ''} ${protocols?.toString('latin1') ?? ''}`
      : ''
    const offered = resumes ? this.deps.sessions.newest(sessionKey) : null
    const options: ConnectionOptions = {
      socket,
      secureContext: material.context,
      rejectUnauthorized: false,
      checkServerIdentity: accept,
    }
    // RFC 6066 section 3: an address is no server name. What is verified stays the same.
    if (servername !== '' && isIP(servername) === 0) options.servername = servername
    if (protocols !== null) options.ALPNProtocols = protocols
    if (offered !== null) options.session = offered.session
    const secured = tls.connect(options) as UpstreamSocket
    setCarrier(secured, socket)
    // Node would build the whole legacy certificate object for checkServerIdentity: a third of a handshake's time.
    secured.getPeerCertificate = noLegacyCertificate
    secured[handshakeOf] = { context: this, material, sessionKey, offered, identity: null, verified: false }
    if (resumes) secured.on('session', onSession)
    secured.on('error', closeOnError)
    return secured
  }

  /** Judges the server after `secureConnect`. `sni` as given to `connect`. Counts and logs a refusal. */
  verify(socket: TLSSocket, sni: string): UpstreamVerdict {
    const state = (socket as UpstreamSocket)[handshakeOf]
    if (state === undefined) return { ok: false, reason: 'the connection is not one of this cluster' }
    const { main } = this.owner.stats.tls
    const { verifier } = state.material
    const serverName = this.checksServerName ? (sni === '' ? this.model.sni : sni) : ''
    const nowMs = this.deps.nowMs()
    const resumed = socket.isSessionReused()
    const verdict =
      resumed && state.offered !== null
        ? verifier.judgeAgain(state.offered.identity, chainErrorOf(socket), serverName, nowMs)
        : verifier.judge(peerCertificateOf(socket), chainErrorOf(socket), serverName, nowMs)
    if (!verdict.ok) {
      if (state.offered !== null) this.deps.sessions.drop(state.sessionKey, state.offered)
      this.deps.refusals.refused(this.owner.stats.tls, this.ownerName, socket.remoteAddress ?? '', verdict)
      return { ok: false, reason: `${verdict.code}: ${verdict.reason}` }
    }
    state.identity = verdict.peer
    state.verified = true
    main.handshake.value++
    if (resumed) main.session_reused.value++
    if (verdict.peer === null) main.no_certificate.value++
    countNames(this.owner.stats.tls, socket)
    return verdict
  }

  onHandshakeError(error: Error): void {
    this.deps.refusals.failed(this.owner.stats.tls, this.ownerName, '', error)
  }

  keep(state: Handshake, session: Buffer): void {
    const entry = { session: sessionWithoutPeer(session), identity: state.identity }
    this.deps.sessions.put(state.sessionKey, entry, this.model.maxSessionKeys)
  }

  protected override onMaterial(material: TlsMaterial): void {
    this.deps.history.remember(material.verifyKey, material.rules)
  }

  private alpnList(names: readonly string[]): Buffer | null {
    if (names.length === 0) return null
    const key = names.join()
    let wire = this.alpnLists.get(key)
    if (wire === undefined) {
      wire = alpnWire(names)
      if (this.alpnLists.size < MAX_ALPN_LISTS) this.alpnLists.set(key, wire)
    }
    return wire
  }
}

function onSession(this: UpstreamSocket, session: Buffer): void {
  const state = this[handshakeOf]
  if (state?.verified === true) state.context.keep(state, session)
}

function accept(): undefined {
  return undefined
}

function noLegacyCertificate(): DetailedPeerCertificate {
  return {} as DetailedPeerCertificate
}

/** `ssl.versions.<v>` and `ssl.ciphers.<c>`. */
export function countNames(stats: TlsStats, socket: TLSSocket): void {
  stats.countName('versions', socket.getProtocol() ?? 'unknown')
  stats.countName('ciphers', socket.getCipher()?.name ?? 'unknown')
}
