// TLS of one filter chain: wraps an accepted socket, picks certificate and ALPN, judges the client. Made by TlsContexts; called by the
// listener's connection. Invariant: `verify` is called on `secure`, before a byte of the application is read, for resumed handshakes too:
// the ticket carries the client's certificate, OpenSSL gives it back (measured for TLS 1.2 and 1.3), and it is judged anew.
// Tickets are sealed with keys that belong to exactly these rules, trust bundle and identity: any change means a full handshake.
// ALPN: Node ends a handshake in which no protocol overlaps, Envoy goes on without ALPN. So where ALPN is configured `wantsClientHello` asks
// the listener to read the ClientHello first; without overlap the handshake is done with no protocols. Without `early` Node's way holds.

import type { Socket } from 'node:net'
import tls, { type SecureContext, TLSSocket, type TLSSocketOptions } from 'node:tls'
import type { TlsStats } from '../metrics/stat-names.js'
import type { DownstreamTls } from '../model/tls.js'
import { readClientHello } from './client-hello.js'
import type { PeerIdentity } from './peer-identity.js'
import { dnsNameMatches, type RefusalCode } from './peer-verification.js'
import { alpnWire, chainErrorOf, peerCertificateOf, releaseControl, TlsContext, type TlsContextDeps } from './tls-context.js'
import { downstreamInput, type OwnCertificate, type TlsMaterial } from './tls-material.js'

/** What a listener gives to its TLS contexts (ListenerStats has this shape). */
export interface DownstreamTlsOwner {
  readonly tls: TlsStats
}

/** What a finished handshake gave; l7 knows it as TlsInfo. */
export interface DownstreamTlsInfo {
  /** Lower case; '' without SNI. */
  readonly sni: string
  readonly version: string
  readonly cipher: string
  readonly alpn: string
  readonly resumed: boolean
  readonly peer: PeerIdentity | null
  /** SANs and subject of our own certificate (XFCC `By=`, `%DOWNSTREAM_LOCAL_URI_SAN%`). */
  readonly localUriSans: readonly string[]
  readonly localDnsSans: readonly string[]
  readonly localSubject: string
  /** Our own certificate; null when it cannot be read. */
  readonly local: PeerIdentity | null
}

export type DownstreamVerdict =
  | { readonly ok: true; readonly info: DownstreamTlsInfo }
  | { readonly ok: false; readonly code: RefusalCode; readonly reason: string }

/** Prepared once per material; handshakes share them. */
interface Served {
  readonly material: TlsMaterial
  readonly withAlpn: TLSSocketOptions
  readonly withoutAlpn: TLSSocketOptions
}

const servedOf = Symbol('served')
type DownstreamSocket = TLSSocket & { [servedOf]?: Served }
type SniDone = (error: Error | null, context?: SecureContext) => void

export class DownstreamTlsContext extends TlsContext {
  readonly model: DownstreamTls
  /** ALPN is configured: give the bytes of the ClientHello to `accept`. */
  readonly wantsClientHello: boolean
  private readonly owner: DownstreamTlsOwner
  private served: Served | null = null

  constructor(model: DownstreamTls, owner: DownstreamTlsOwner, ownerName: string, deps: TlsContextDeps) {
    super(downstreamInput(model), ownerName, deps)
    this.model = model
    this.owner = owner
    this.wantsClientHello = model.common.alpnProtocols.length > 0
  }

  /**
   * Starts a handshake. `early`: bytes already read from the socket, which must be paused. The result emits `secure` (then call `verify`
   * before reading) or `error`/`close`. When the secrets are not there yet the result is destroyed with an error.
   */
  accept(socket: Socket, early: Buffer | null): TLSSocket {
    const { served } = this
    if (served === null) return refusedSocket(socket)
    // The TLS layer takes what the socket has buffered before it reads the descriptor itself.
    if (early !== null && early.length > 0) socket.unshift(early)
    const secured: DownstreamSocket = new TLSSocket(socket, this.overlaps(early) ? served.withAlpn : served.withoutAlpn)
    secured[servedOf] = served
    secured.disableRenegotiation()
    secured.once('secure', releaseControl)
    return secured
  }

  /** Judges the client after `secure`; counts and logs. `remote` is for the log. */
  verify(socket: TLSSocket, remote = ''): DownstreamVerdict {
    const served = (socket as DownstreamSocket)[servedOf]
    const stats = this.owner.tls
    if (served === undefined) return { ok: false, code: 'malformed', reason: 'the connection is not one of this filter chain' }
    const { material } = served
    const sni = (socket as { servername?: string | false | null }).servername || ''
    let verdict = material.verifier.judge(
      material.requestsPeer ? peerCertificateOf(socket) : undefined,
      material.requestsPeer ? chainErrorOf(socket) : null,
      '',
      this.deps.nowMs(),
    )
    if (verdict.ok && this.model.requireSni && sni === '')
      verdict = { ok: false, code: 'sni-missing', reason: 'the client sent no server name' }
    if (!verdict.ok) {
      this.deps.refusals.refused(stats, this.ownerName, remote, verdict)
      return verdict
    }
    const resumed = socket.isSessionReused()
    const version = socket.getProtocol() ?? ''
    const cipher = socket.getCipher()?.name ?? ''
    stats.main.handshake.value++
    if (resumed) stats.main.session_reused.value++
    if (verdict.peer === null) stats.main.no_certificate.value++
    stats.countName('versions', version)
    stats.countName('ciphers', cipher)
    const local = (ownCertificateFor(material.own, sni) ?? material.own[0])?.identity
    return {
      ok: true,
      info: {
        sni: sni.toLowerCase(),
        version,
        cipher,
        alpn: socket.alpnProtocol || '',
        resumed,
        peer: verdict.peer,
        localUriSans: local?.uriSans ?? [],
        localDnsSans: local?.dnsSans ?? [],
        localSubject: local?.subject ?? '',
        local: local ?? null,
      },
    }
  }

  onHandshakeError(error: Error, remote = ''): void {
    this.deps.refusals.failed(this.owner.tls, this.ownerName, remote, error)
  }

  protected override onMaterial(material: TlsMaterial): void {
    const { alpnProtocols } = material.common
    const withoutAlpn: TLSSocketOptions = {
      isServer: true,
      secureContext: material.context,
      requestCert: material.requestsPeer,
      rejectUnauthorized: false,
      ...(material.own.length > 1 ? { SNICallback: (name: string, done: SniDone) => chooseCertificate(material.own, name, done) } : {}),
    }
    const withAlpn = alpnProtocols.length === 0 ? withoutAlpn : { ...withoutAlpn, ALPNProtocols: alpnWire(alpnProtocols) }
    this.served = { material, withAlpn, withoutAlpn }
  }

  private overlaps(early: Buffer | null): boolean {
    if (!this.wantsClientHello || early === null) return true
    const hello = readClientHello(early)
    if (hello.kind !== 'hello' || hello.alpn.length === 0) return true
    return this.model.common.alpnProtocols.some(name => hello.alpn.includes(name))
  }
}

/** The first certificate that names the host; exact or by wildcard of one label. */
function ownCertificateFor(own: readonly OwnCertificate[], sni: string): OwnCertificate | undefined {
  if (own.length <= 1 || sni === '') return undefined
  return own.find(item => item.identity.dnsSans.some(san => dnsNameMatches(san, sni)))
}

/** An exception here would end the process, and the name is the client's (CVE-2026-21637): none leaves. */
function chooseCertificate(own: readonly OwnCertificate[], name: string, done: SniDone): void {
  let context: SecureContext | undefined
  try {
    context = ownCertificateFor(own, name)?.context
  } catch {
    context = undefined
  }
  done(null, context)
}

let emptyContext: SecureContext | null = null

function refusedSocket(socket: Socket): TLSSocket {
  emptyContext ??= tls.createSecureContext({ ca: [] })
  const secured = new TLSSocket(socket, { isServer: true, secureContext: emptyContext })
  secured.destroy(new Error('the TLS secrets of the listener are not there yet'))
  socket.destroy()
  return secured
}
