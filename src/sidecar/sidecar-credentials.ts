// Connections to a management server as Envoy makes them to the cluster that stands for it: TLS by the cluster's own UpstreamTlsContext
// (SAN matchers, secrets from files or SDS and their rotation, no verification where none is configured), never grpc-js's rules (system
// roots, host names); TCP keepalive either way, so that a server that vanished is noticed without HTTP/2 pings, which grpc servers punish.

import type { Socket } from 'node:net'
import { type Connected, OwnChannelCredentials, whenSecured } from '../io/grpc-credentials.js'
import type { UpstreamTlsContext } from '../mtls/tls/upstream-tls.js'

/** An idle connection is probed after this, when the cluster's `tcp_keepalive` says nothing else. */
const KEEPALIVE_MS = 30_000

export class SidecarCredentials extends OwnChannelCredentials {
  private readonly tls: () => UpstreamTlsContext | null
  private readonly keepaliveMs: number

  /** `tls` is asked at each connection; null: in the clear. `keepaliveMs`: idle time before TCP probes. */
  constructor(
    private readonly secure: boolean,
    tls: () => UpstreamTlsContext | null,
    keepaliveMs: number | null,
  ) {
    super()
    this.tls = tls
    this.keepaliveMs = keepaliveMs ?? KEEPALIVE_MS
  }

  override _isSecure(): boolean {
    return this.secure
  }

  protected override async connectOver(socket: Socket): Promise<Connected> {
    socket.setKeepAlive(true, this.keepaliveMs)
    if (!this.secure) return { socket, secure: false }
    const context = this.tls()
    if (context === null) throw new Error('the cluster has no TLS context')
    // ALPN h2 only: a gRPC server speaks nothing else.
    const secured = context.connect(socket, { sni: '', alpn: ['h2'] })
    await whenSecured(secured, socket).catch((error: Error) => {
      context.onHandshakeError(error)
      throw error
    })
    const verdict = context.verify(secured, '')
    if (verdict.ok) return { socket: secured, secure: true }
    secured.on('error', () => {})
    secured.destroy()
    throw new Error(verdict.reason)
  }
}
