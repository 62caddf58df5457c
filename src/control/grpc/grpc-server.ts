// The gRPC port of the control plane, on our own HTTP/2 engine: accepts (plain or TLS with ALPN h2), gives each request to the service
// whose method its path names, and ends the rest with UNIMPLEMENTED. Made by `ControlPlane`; services are added before `listen`.
// Node's own http2 resets a request with an empty `:authority` before anyone sees it, and that is what Go clients of a `consul://` target send.
// Invariants: connections, calls of a connection, heads and messages are bounded, and next to nothing is held of senders that are not known, nor for long;
// an exception of a method ends its call alone.

import net from 'node:net'
import tls from 'node:tls'
import { readShared } from '../../io/shared-read.js'
import { SocketTransport } from '../../io/socket-transport.js'
import type { ServerHandler } from '../../l7/codec/codec.js'
import type { Http2CodecOptions } from '../../l7/codec/http2/connection-base.js'
import { Http2ServerCodec } from '../../l7/codec/http2/server-codec.js'
import { HTTP2_DEFAULTS } from '../../model/defaults.js'
import { GrpcCall } from './grpc-call.js'
import { GrpcStatus } from './grpc-status.js'
import { MessageAllowance } from './message-allowance.js'

/** Called once for each call of its path; sets `call.events` before it returns. */
export type GrpcMethod = (call: GrpcCall) => void

export interface GrpcServerOptions {
  /** Of a sender that is known. */
  readonly maxMessageBytes: number
  /** By the token of its head. */
  isKnown(call: GrpcCall): boolean
  readonly onProblem: (reason: string) => void
}

/** Sidecars, agents and dataplanes of a mesh; each has one connection or two. */
const MAX_CONNECTIONS = 20_000
/** Connections that wait to be accepted, when all come back at once; the kernel has a limit of its own (net.core.somaxconn). */
const BACKLOG = 4_096
/** Logins, DNS questions, openings of peerings, and first requests that are going to be refused. */
const MAX_UNKNOWN_MESSAGE_BYTES = 1024 * 1024
const MAX_UNKNOWN_HELD_BYTES = 64 * 1024 * 1024
const UNKNOWN_WHOLE_WITHIN_MS = 15_000
const MAX_HELD_BYTES = 512 * 1024 * 1024
const HANDSHAKE_TIMEOUT_MS = 10_000
/** A client that is silent for this long is asked whether it is still there, and has as long to answer. */
const KEEPALIVE_MS = 30_000
const CODEC_OPTIONS: Http2CodecOptions = {
  http2: {
    ...HTTP2_DEFAULTS,
    maxConcurrentStreams: 256,
    initialStreamWindowSize: 1024 * 1024,
    initialConnectionWindowSize: 4 * 1024 * 1024,
    keepaliveIntervalMs: KEEPALIVE_MS,
    keepaliveTimeoutMs: KEEPALIVE_MS,
  },
  limits: { maxHeadBytes: 64 * 1024, maxHeaders: 100, underscores: 'ALLOW' },
}

export class GrpcServer {
  private readonly options: GrpcServerOptions
  private readonly methods = new Map<string, GrpcMethod>()
  private readonly connections = new Map<net.Socket, Http2ServerCodec | null>()
  private readonly servers: net.Server[] = []
  private readonly unknown = new MessageAllowance(MAX_UNKNOWN_MESSAGE_BYTES, MAX_UNKNOWN_HELD_BYTES, UNKNOWN_WHOLE_WITHIN_MS)
  /** Methods that learn who sends only from a message give it to their call. */
  readonly known: MessageAllowance

  constructor(options: GrpcServerOptions) {
    this.options = options
    this.known = new MessageAllowance(options.maxMessageBytes, MAX_HELD_BYTES)
  }

  /** `path`: `/package.Service/Method`. */
  add(path: string, method: GrpcMethod): void {
    this.methods.set(path, method)
  }

  /** In clear text, or with TLS where `secure` is given. May be called for several addresses. Resolves with the port as bound. */
  listen(host: string, port: number, secure?: tls.SecureContextOptions & tls.TlsOptions): Promise<number> {
    const server = secure === undefined ? this.plainServer() : this.tlsServer(secure)
    this.servers.push(server)
    server.maxConnections = MAX_CONNECTIONS
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ port, host, backlog: BACKLOG }, () => {
        server.removeListener('error', reject)
        server.on('error', error => this.options.onProblem(error.message))
        resolve((server.address() as net.AddressInfo).port)
      })
    })
  }

  /** New connections of the TLS addresses get this certificate; those that are open stay. */
  replaceCertificate(secure: tls.SecureContextOptions): void {
    for (const server of this.servers) if (server instanceof tls.Server) server.setSecureContext(secure)
  }

  /** Ends what is open at once; who calls it has told its clients before. */
  async close(): Promise<void> {
    for (const [socket, codec] of this.connections) {
      codec?.flush()
      socket.destroySoon()
    }
    const listening = this.servers.filter(server => server.listening)
    await Promise.all(listening.map(server => new Promise<void>(resolve => server.close(() => resolve()))))
  }

  private plainServer(): net.Server {
    return net.createServer({ noDelay: true }, socket => {
      this.watch(socket)
      this.serve(socket)
    })
  }

  private tlsServer(secure: tls.TlsOptions): tls.Server {
    const server = tls.createServer({ ...secure, ALPNProtocols: ['h2'], handshakeTimeout: HANDSHAKE_TIMEOUT_MS, noDelay: true })
    server.on('connection', (socket: net.Socket) => this.watch(socket))
    server.on('secureConnection', socket => this.serve(socket))
    server.on('tlsClientError', () => {})
    return server
  }

  private watch(socket: net.Socket): void {
    this.connections.set(socket, null)
    socket.on('error', () => {})
    socket.once('close', () => this.connections.delete(socket))
  }

  private serve(socket: net.Socket): void {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`
    const codec = new Http2ServerCodec(new SocketTransport(socket), this.handler(peer), CODEC_OPTIONS)
    this.connections.set(socket, codec)
    socket.on('error', () => {})
    // A buffer of 64 KiB a read, for each report of a thousand sidecars, would cost more than what is read.
    readShared(socket, chunk => codec.feed(chunk))
    socket.on('drain', () => codec.onTransportDrain())
    socket.on('end', () => codec.onTransportEnd())
    socket.once('close', () => {
      this.connections.delete(socket)
      codec.onTransportClose({ code: 'connection-closed', details: '' })
    })
  }

  private handler(peer: string): ServerHandler {
    return {
      onRequest: (stream, head, end) => {
        const call = new GrpcCall(stream, head, peer, this.unknown)
        stream.events = call
        if (this.options.isKnown(call)) call.allow(this.known)
        const method = head.method === 'POST' ? this.methods.get(head.path) : undefined
        if (method === undefined) {
          call.end(GrpcStatus.UNIMPLEMENTED, `unknown method ${head.path}`)
          return
        }
        try {
          method(call)
        } catch (error) {
          this.options.onProblem(`${head.path}: ${(error as Error).message}`)
          call.end(GrpcStatus.INTERNAL, 'internal error')
        }
        if (end) call.halfClosed()
        else call.expectMessage()
      },
      onBadRequest: stream => stream.reset('protocol-error'),
      onRefusedHead() {},
      onIdle() {},
      onHeadPending() {},
      onConnectionError() {},
    }
  }
}
