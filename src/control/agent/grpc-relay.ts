// The gRPC port of an agent: each connection of a local sidecar is carried, byte for byte, to the gRPC port of the control plane, by TLS where
// that has it. Made by `ClientAgent`. What is said on it (xDS, the dataplane's services) is between the two; the sidecar's own token goes along.
// Invariant: a connection here has one there for as long as both live; while no server is known it is closed at once, and the sidecar comes
// again, keeping the configuration that it has.

import net from 'node:net'
import tls from 'node:tls'
import { serverNameOptions } from '../../io/server-name.js'
import type { HostPort } from '../http-api/listen-addresses.js'
import type { ServerTls } from './server-link.js'

export interface GrpcTarget extends HostPort {
  readonly tls: boolean
}

export interface GrpcRelayOptions {
  /** Undefined while it is not known. */
  target(): GrpcTarget | undefined
  readonly tls: ServerTls | undefined
  onProblem(reason: string): void
}

const MAX_CONNECTIONS = 4_096
const CONNECT_TIMEOUT_MS = 5_000

export class GrpcRelay {
  private readonly options: GrpcRelayOptions
  private readonly sockets = new Set<net.Socket>()
  private readonly server: net.Server
  private lastProblem = ''

  constructor(options: GrpcRelayOptions) {
    this.options = options
    this.server = net.createServer({ noDelay: true, pauseOnConnect: true }, socket => this.accept(socket))
    this.server.maxConnections = MAX_CONNECTIONS
  }

  /** Resolves with the port as bound. */
  listen({ host, port }: HostPort): Promise<HostPort> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen(port, host, () => {
        this.server.removeListener('error', reject)
        this.server.on('error', error => this.options.onProblem(error.message))
        resolve({ host, port: (this.server.address() as net.AddressInfo).port })
      })
    })
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    if (this.server.listening) await new Promise<void>(resolve => this.server.close(() => resolve()))
  }

  private accept(local: net.Socket): void {
    const target = this.options.target()
    if (target === undefined) {
      local.destroy()
      return
    }
    const remote = this.dial(target)
    remote.setTimeout(CONNECT_TIMEOUT_MS, () => remote.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`)))
    remote.once(target.tls ? 'secureConnect' : 'connect', () => {
      remote.setTimeout(0)
      this.lastProblem = ''
      local.pipe(remote)
      remote.pipe(local)
    })
    remote.on('error', error => this.report(`${target.host}:${target.port}: ${error.message}`))
    local.on('error', () => {})
    local.once('close', () => remote.destroy())
    remote.once('close', () => local.destroy())
    for (const socket of [local, remote]) {
      this.sockets.add(socket)
      socket.once('close', () => this.sockets.delete(socket))
    }
  }

  private dial({ host, port, tls: secure }: GrpcTarget): net.Socket {
    if (!secure) return net.connect({ host, port, noDelay: true })
    const { caPem, certPem, keyPem, serverName } = this.options.tls ?? {}
    return tls.connect({
      host,
      port,
      ALPNProtocols: ['h2'],
      ...(caPem === undefined ? {} : { ca: caPem }),
      ...(certPem === undefined ? {} : { cert: certPem }),
      ...(keyPem === undefined ? {} : { key: keyPem }),
      ...serverNameOptions(serverName ?? host),
    })
  }

  /** Once, however often sidecars come again. */
  private report(reason: string): void {
    if (reason === this.lastProblem) return
    this.lastProblem = reason
    this.options.onProblem(reason)
  }
}
