// The admin's socket: HTTP/1.1 by node:http, and HTTP/2 by node:http2 for a client that begins with its preface (prior knowledge, in the
// clear, as Envoy's admin takes it). Made by AdminServer, which counts and answers. node's own servers are good enough here: they are not
// on any request's path. Invariant: a connection that says nothing is closed after SILENT_MS.

import type { SendHandle } from 'node:child_process'
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Http2Server, Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import type { Address } from '../../model/address.js'
import type { ListeningHandle } from '../predecessor.js'

const load = createRequire(import.meta.url)
/** Admin connections at once: scrapes are few, and each costs memory. */
const MAX_CONNECTIONS = 100
const SILENT_MS = 60_000
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export interface AdminListenerHost {
  onConnection(socket: Socket): void
  onProtocol(socket: Socket, http2: boolean): void
  onRequest(request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse): void
}

export class AdminListener {
  private readonly http1: HttpServer
  private http2: Http2Server | null
  private readonly sockets = new Set<Socket>()

  constructor(host: AdminListenerHost) {
    this.http1 = createServer((request, response) => host.onRequest(request, response))
    this.http2 = null
    this.http1.maxConnections = MAX_CONNECTIONS
    // The one that serves HTTP/1 is called once the first bytes have told which it is; node goes on watching over its timeouts.
    const [serveHttp1] = this.http1.listeners('connection') as [(socket: Socket) => void]
    this.http1.removeAllListeners('connection')
    this.http1.on('connection', (socket: Socket) => {
      this.sockets.add(socket)
      socket.once('close', () => this.sockets.delete(socket))
      host.onConnection(socket)
      whenProtocolIsKnown(socket, http2 => {
        host.onProtocol(socket, http2)
        if (http2) this.http2Server(host).emit('connection', socket)
        else serveHttp1.call(this.http1, socket)
      })
    })
  }

  /** Few ever ask by HTTP/2, and to load it is a tenth of what Node's own modules take of a start. */
  private http2Server(host: AdminListenerHost): Http2Server {
    this.http2 ??= (load('node:http2') as typeof import('node:http2')).createServer((request, response) =>
      host.onRequest(request, response),
    )
    return this.http2
  }

  /** Resolves with what was bound. `inherited`: the same, bound by the process before this one. */
  async listen(address: Address, inherited: ListeningHandle | null): Promise<Address> {
    await new Promise<void>((resolve, reject) => {
      this.http1.once('error', reject)
      const done = (): void => {
        this.http1.off('error', reject)
        resolve()
      }
      if (inherited !== null) this.http1.listen(inherited, done)
      else if (address.kind === 'pipe') this.http1.listen(address.path, done)
      else this.http1.listen(address.port, address.host, done)
    })
    const bound = this.http1.address()
    return bound !== null && typeof bound === 'object' ? { kind: 'socket', host: bound.address, port: bound.port } : address
  }

  /** Null: it does not listen. */
  get handle(): SendHandle | null {
    return (this.http1 as HttpServer & { readonly _handle?: SendHandle | null })._handle ?? null
  }

  /** Another process answers from now on; what is being answered goes on. */
  leave(): void {
    this.http1.close()
    this.http1.closeIdleConnections()
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise<void>(resolve => this.http1.close(() => resolve()))
  }
}

/** Calls back with the first bytes put back. */
function whenProtocolIsKnown(socket: Socket, known: (http2: boolean) => void): void {
  let head: Buffer = Buffer.alloc(0)
  const giveUp = (): void => void socket.destroy()
  const onReadable = (): void => {
    const chunk = socket.read() as Buffer | null
    if (chunk === null) return
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk])
    const length = Math.min(head.length, PREFACE.length)
    const isPreface = head.subarray(0, length).equals(PREFACE.subarray(0, length))
    if (isPreface && length < PREFACE.length) return
    socket.setTimeout(0)
    socket.off('readable', onReadable).off('timeout', giveUp).off('error', giveUp).off('end', giveUp)
    socket.unshift(head)
    known(isPreface)
  }
  socket.setTimeout(SILENT_MS)
  socket.on('readable', onReadable).on('timeout', giveUp).on('error', giveUp).on('end', giveUp)
}
