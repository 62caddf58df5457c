// TLS of one filter chain: wraps an accepted socket, picks certificate and ALPN, judges the client. Made by TlsContexts; called by the
// listener's connection. Invariant: `verify` is called on `secure`, before a byte of the application is read, for resumed handshakes too:
// the ticket carries the client's certificate, OpenSSL gives it back (measured for TLS 1.2 and 1.3), and it is judged anew.
// Tickets are sealed with keys that belong to exactly these rules, trust bundle and identity: any change means a full handshake.
// `wantsClientHello` asks the listener to read the ClientHello first. For ALPN: Node ends a handshake in which no protocol overlaps, Envoy
// goes on without ALPN. For several certificates: what the client can verify decides (certificate-choice.ts).
// For OCSP: whether the client asks for a response.

import type { Socket } from 'node:net'
import tls, { type SecureContext, TLSSocket, type TLSSocketOptions } from 'node:tls'
import { setCarrier } from '../../io/reset-socket.js'
import type { TlsStats } from '../../metrics/stat-names.js'
import type { DownstreamTls } from '../../model/tls.js'
import type { PeerIdentity } from '../peer/peer-identity.js'
import { NO_CERTIFICATE, type RefusalCode } from '../peer/peer-verification.js'
import { CertificateChoice } from './certificate-choice.js'
import { type ClientHello, readClientHello } from './client-hello.js'
import { type StapleAction, stapleAction } from './ocsp-staple.js'
import type { OwnCertificate } from './own-certificate.js'
import {
  alpnWire,
  chainErrorOf,
  closeOnError,
  peerCertificateOf,
  releaseControl,
  sendStaple,
  TlsContext,
  type TlsContextDeps,
} from './tls-context.js'
import { downstreamInput } from './tls-input.js'
import type { TlsMaterial } from './tls-material.js'

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

/** Prepared once per certificate of a material; handshakes share them. */
interface Served {
  readonly material: TlsMaterial
  readonly certificate: OwnCertificate
  readonly withAlpn: TLSSocketOptions
  readonly withoutAlpn: TLSSocketOptions
}

const servedOf = Symbol('served')
type DownstreamSocket = TLSSocket & { [servedOf]?: Served }

export class DownstreamTlsContext extends TlsContext {
  readonly model: DownstreamTls
  /** ALPN or several certificates are configured: give the bytes of the ClientHello to `accept`. */
  readonly wantsClientHello: boolean
  private readonly owner: DownstreamTlsOwner
  /** In the order of the certificates; empty until the secrets are there. */
  private served: readonly Served[] = []
  private choice: CertificateChoice | null = null

  constructor(model: DownstreamTls, owner: DownstreamTlsOwner, ownerName: string, deps: TlsContextDeps) {
    super(downstreamInput(model), ownerName, owner.tls, deps)
    this.model = model
    this.owner = owner
    const { alpnProtocols, certificates, certificateSds } = model.common
    // A certificate by SDS may bring an OCSP response.
    this.wantsClientHello =
      alpnProtocols.length > 0 ||
      certificates.length + certificateSds.length > 1 ||
      certificateSds.length > 0 ||
      certificates.some(({ ocspStaple }) => (ocspStaple ?? null) !== null)
  }

  /**
   * Starts a handshake. `early`: bytes already read from the socket, which must be paused. The result emits `secure` (then call `verify`
   * before reading) or `error`/`close`. When the secrets are not there yet the result is destroyed with an error.
   */
  accept(socket: Socket, early: Buffer | null): TLSSocket {
    const parsed = this.wantsClientHello && early !== null ? readClientHello(early) : null
    const hello = parsed?.kind === 'hello' ? parsed : null
    const asked = hello?.wantsStaple === true
    const nowMs = this.deps.nowMs()
    const actionFor = (own: OwnCertificate): StapleAction => (asked ? stapleAction(own, this.model.ocspStaplePolicy, nowMs) : 'omit')
    const chosen = this.choice?.choose(hello, own => actionFor(own) !== 'fail')
    const served = chosen === undefined ? this.served[0] : this.served.find(({ certificate }) => certificate === chosen)
    if (served === undefined) return refusedSocket(socket, 'the TLS secrets of the listener are not there yet')
    const action = actionFor(served.certificate)
    if (asked) this.countStaple(action)
    if (action === 'fail') return refusedSocket(socket, 'the OCSP response of the certificate has expired')
    // The TLS layer takes what the socket has buffered before it reads the descriptor itself.
    if (early !== null && early.length > 0) socket.unshift(early)
    const secured: DownstreamSocket = new TLSSocket(socket, this.overlaps(hello) ? served.withAlpn : served.withoutAlpn)
    secured[servedOf] = served
    secured.setKeyCert(served.certificate.context)
    setCarrier(secured, socket)
    if (action === 'staple') sendStaple(secured, served.certificate.staple!.der)
    secured.disableRenegotiation()
    secured.once('secure', releaseControl)
    secured.on('error', closeOnError)
    return secured
  }

  /** Judges the client after `secure`; counts and logs. `remote` is for the log. */
  verify(socket: TLSSocket, remote = ''): DownstreamVerdict {
    const served = (socket as DownstreamSocket)[servedOf]
    const stats = this.owner.tls
    if (served === undefined) return { ok: false, code: 'malformed', reason: 'the connection is not one of this filter chain' }
    const { material, certificate } = served
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
    const local = certificate.identity
    return {
      ok: true,
      info: {
        sni: sni.toLowerCase(),
        version,
        cipher,
        alpn: socket.alpnProtocol || '',
        resumed,
        peer: verdict.peer,
        localUriSans: local.uriSans,
        localDnsSans: local.dnsSans,
        localSubject: local.subject,
        local,
      },
    }
  }

  onHandshakeError(error: NodeJS.ErrnoException, remote = ''): void {
    if (error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') {
      this.deps.refusals.refused(this.owner.tls, this.ownerName, remote, NO_CERTIFICATE)
      return
    }
    this.deps.refusals.failed(this.owner.tls, this.ownerName, remote, error)
  }

  protected override onMaterial(material: TlsMaterial): void {
    const { alpnProtocols } = material.common
    this.served = material.own.map(certificate => {
      const withoutAlpn: TLSSocketOptions = {
        isServer: true,
        secureContext: material.serving,
        requestCert: material.requestsPeer,
        // OpenSSL then answers a client without a certificate with the alert that says so. All else is judged by `verify`.
        rejectUnauthorized: material.requestsPeer && material.verifier.demandsCertificate,
      }
      const withAlpn = alpnProtocols.length === 0 ? withoutAlpn : { ...withoutAlpn, ALPNProtocols: alpnWire(alpnProtocols) }
      return { material, certificate, withAlpn, withoutAlpn }
    })
    this.choice = material.own.length > 1 ? new CertificateChoice(material.own, this.model.fullScanCertsOnSniMismatch) : null
  }

  private countStaple(action: StapleAction): void {
    const { main } = this.owner.tls
    main.ocsp_staple_requests.value++
    if (action === 'staple') main.ocsp_staple_responses.value++
    else if (action === 'omit') main.ocsp_staple_omitted.value++
    else main.ocsp_staple_failed.value++
  }

  private overlaps(hello: ClientHello | null): boolean {
    const { alpnProtocols } = this.model.common
    if (hello === null || hello.alpn.length === 0 || alpnProtocols.length === 0) return true
    return alpnProtocols.some(name => hello.alpn.includes(name))
  }
}

let emptyContext: SecureContext | null = null

function refusedSocket(socket: Socket, reason: string): TLSSocket {
  emptyContext ??= tls.createSecureContext({ ca: [] })
  const secured = new TLSSocket(socket, { isServer: true, secureContext: emptyContext })
  secured.destroy(new Error(reason))
  socket.destroy()
  return secured
}
