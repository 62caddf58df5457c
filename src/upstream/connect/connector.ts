// Dials one endpoint: TCP or a pipe, then TLS when the cluster has it, and the verdict on the peer's certificate before anyone
// may write a byte. Used by the HTTP pools, the tcp proxy and the TCP health checks. One result callback, never two.

import net from 'node:net'
import type { TLSSocket } from 'node:tls'
import { heldClock, type Timer } from '../../io/clock.js'
import { guardSocket } from '../../io/socket-guard.js'
import type { Address } from '../../model/address.js'
import { formatAddress } from '../../model/address.js'
import type { Cluster } from '../../model/cluster.js'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import type { UpstreamTlsContext } from '../../mtls/tls/upstream-tls.js'

export interface DialFailure {
  readonly kind: 'refused' | 'timeout' | 'tls'
  /** With the endpoint, for our own log. */
  readonly message: string
  /** Without it, in Envoy's words where it has any: upstream.transport_failure_reason. */
  readonly reason: string
  /** The source address could not be had. */
  readonly bind: boolean
}

export interface Dialled {
  readonly socket: net.Socket
  /** ALPN result, '' without TLS or agreement. */
  readonly alpn: string
  readonly peer: PeerIdentity | null
}

export interface DialOptions {
  readonly address: Address
  readonly tls: UpstreamTlsContext | null
  readonly timeoutMs: number
  /** SNI to use instead of the configured one (auto_sni, auto_host_sni); '' = configured. */
  readonly sni: string
  /** ALPN protocols offered; null = what the context is configured with. */
  readonly alpn: readonly string[] | null
  readonly keepAlive: { readonly timeSeconds: number | null } | null
  readonly localAddress: string
}

export interface DialListener {
  onDialled(result: Dialled): void
  onDialFailure(failure: DialFailure): void
}

/** Keep-alive probes start after this when the cluster asks for them without a time (Linux default is 2 h). */
const DEFAULT_KEEPALIVE_SECONDS = 7200

/** `upstream_bind_config`: the local address to dial from; '' = any. */
export function bindHostOf({ bindSource }: Pick<Cluster, 'bindSource'>): string {
  return bindSource?.kind === 'socket' ? bindSource.host : ''
}

/** `host:port` of our end; '' when the socket has none. */
export function localAddressText({ localAddress, localPort }: net.Socket): string {
  return localAddress === undefined ? '' : `${localAddress}:${localPort}`
}

export class Dial {
  private readonly listener: DialListener
  private readonly options: DialOptions
  private socket: net.Socket | null
  private tlsSocket: TLSSocket | null = null
  private timer: Timer | null
  private readonly onTlsError = (error: NodeJS.ErrnoException): void => {
    this.options.tls!.onHandshakeError(error)
    this.fail('tls', describe(error))
  }

  constructor(options: DialOptions, listener: DialListener) {
    this.options = options
    this.listener = listener
    const { address, tls } = options
    if (tls?.ready === false) tls.countNotReady()
    const socket =
      address.kind === 'pipe'
        ? net.connect({ path: address.path, allowHalfOpen: true })
        : net.connect({
            host: address.host,
            port: address.port,
            allowHalfOpen: true,
            noDelay: true,
            ...(options.localAddress !== '' ? { localAddress: options.localAddress } : {}),
          })
    guardSocket(socket)
    this.socket = socket
    this.timer = heldClock.after(options.timeoutMs, () => this.fail('timeout', `no connection within ${options.timeoutMs} ms`))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (this.tlsSocket !== null) this.fail('tls', describe(error))
      else this.fail('refused', describe(error), connectErrorReason(error, address), error.syscall === 'bind')
    })
    socket.once('close', () => this.fail(this.tlsSocket === null ? 'refused' : 'tls', 'closed by the peer'))
    socket.once('connect', () => this.onConnect())
  }

  cancel(): void {
    const socket = this.tlsSocket ?? this.socket
    this.settle()
    socket?.on('error', ignore)
    socket?.destroy()
  }

  private onConnect(): void {
    const socket = this.socket
    if (socket === null) return
    const { tls, keepAlive } = this.options
    if (keepAlive !== null) socket.setKeepAlive(true, (keepAlive.timeSeconds ?? DEFAULT_KEEPALIVE_SECONDS) * 1000)
    if (tls === null) {
      this.settle()
      this.listener.onDialled({ socket, alpn: '', peer: null })
      return
    }
    let secured: TLSSocket
    try {
      secured = tls.connect(socket, { sni: this.options.sni, alpn: this.options.alpn })
    } catch (error) {
      // Envoy has no reason where no handshake was tried for want of secrets.
      const what = describe(error as Error)
      this.fail('tls', what, tls.ready ? what : '')
      return
    }
    guardSocket(secured)
    this.tlsSocket = secured
    secured.on('error', this.onTlsError)
    secured.once('close', () => this.fail('tls', 'closed during the TLS handshake'))
    secured.once('secureConnect', () => {
      if (this.socket === null) return
      const verdict = tls.verify(secured, this.options.sni)
      if (!verdict.ok) {
        this.fail('tls', verdict.reason)
        return
      }
      this.settle()
      this.listener.onDialled({ socket: secured, alpn: secured.alpnProtocol || '', peer: verdict.peer })
    })
  }

  private fail(kind: DialFailure['kind'], what: string, reason = what, bind = false): void {
    const socket = this.tlsSocket ?? this.socket
    if (this.socket === null) return
    this.settle()
    socket?.on('error', ignore)
    socket?.destroy()
    this.listener.onDialFailure({ kind, message: `${formatAddress(this.options.address)}: ${what}`, reason, bind })
  }

  /** Stop listening; whoever takes the socket adds its own listeners in the same turn. */
  private settle(): void {
    this.timer?.cancel()
    this.timer = null
    const socket = this.tlsSocket ?? this.socket
    // The TLS context's own listener stays: it ends the connection over a record that is broken.
    if (this.tlsSocket !== null) this.tlsSocket.off('error', this.onTlsError)
    else socket?.removeAllListeners('error')
    socket?.removeAllListeners('close')
    socket?.removeAllListeners('secureConnect')
    if (this.tlsSocket !== null && this.socket !== null) {
      // The raw socket's errors are reported by the TLS socket; alone they must not crash the process.
      this.socket.removeAllListeners('close')
      this.socket.removeAllListeners('error')
      this.socket.on('error', ignore)
    }
    this.socket = null
  }
}

function ignore(): void {}

function describe(error: NodeJS.ErrnoException): string {
  return error.code !== undefined && !error.message.includes(error.code) ? `${error.code}: ${error.message}` : error.message
}

const ERRNO_WORDS = new Map([
  ['ECONNREFUSED', 'Connection refused'],
  ['ECONNRESET', 'Connection reset by peer'],
  ['ETIMEDOUT', 'Connection timed out'],
  ['EHOSTUNREACH', 'No route to host'],
  ['ENETUNREACH', 'Network is unreachable'],
  ['EADDRNOTAVAIL', 'Cannot assign requested address'],
  ['EACCES', 'Permission denied'],
  ['ENOENT', 'No such file or directory'],
])

/** What the kernel says before anything was sent. */
const IMMEDIATE = new Set(['ENETUNREACH', 'EACCES', 'EADDRNOTAVAIL'])

function connectErrorReason(error: NodeJS.ErrnoException, address: Address): string {
  const code = error.code ?? ''
  const words = ERRNO_WORDS.get(code) ?? error.message
  if (address.kind === 'pipe' || IMMEDIATE.has(code)) return `immediate connect error: ${words}|remote address:${formatAddress(address)}`
  return `delayed connect error: ${words}`
}
