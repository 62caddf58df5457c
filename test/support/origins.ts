// Origins for integration tests, on bare sockets so that they can misbehave: an HTTP/1 origin whose answer is a function of the request,
// a TCP echo, a server that speaks first. Each counts what reached it, which is how tests prove that nothing did.
import net, { type AddressInfo, type Socket } from 'node:net'
import { readMessageHead } from './http1-head.js'

export interface OriginRequest {
  readonly method: string
  readonly path: string
  readonly head: string
  /** Lower-case name -> values joined by `, `. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
  readonly connection: number
  readonly index: number
}

export type Respond = (request: OriginRequest, socket: Socket) => void

/** A whole HTTP/1.1 response with a content-length. */
export function http(body: string, status = '200 OK', headers: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${lines.join('')}\r\n${body}`
}

abstract class Origin {
  protected readonly server: net.Server
  readonly sockets = new Set<Socket>()
  connections = 0

  constructor() {
    this.server = net.createServer({ allowHalfOpen: true, noDelay: true }, socket => {
      this.connections++
      this.sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.sockets.delete(socket))
      this.onConnection(socket)
    })
  }

  protected abstract onConnection(socket: Socket): void

  async listen(port = 0): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen(port, '127.0.0.1', resolve)
    })
    return this
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    if (this.server.listening) await new Promise(resolve => this.server.close(resolve))
  }
}

/** Reads whole requests (content-length or chunked), hands each to `respond`. After an upgrade head the socket is raw. */
export class HttpOrigin extends Origin {
  readonly requests: OriginRequest[] = []
  respond: Respond

  constructor(respond: Respond = (request, socket) => void socket.write(http(`${request.method} ${request.path}`))) {
    super()
    this.respond = respond
  }

  protected onConnection(socket: Socket): void {
    const connection = this.connections
    let held = Buffer.alloc(0)
    let raw = false
    let index = 0
    socket.on('data', chunk => {
      if (raw) return
      held = Buffer.concat([held, chunk])
      for (;;) {
        const parsed = parseRequest(held)
        if (parsed === null) return
        held = held.subarray(parsed.length)
        const request: OriginRequest = { ...parsed.request, connection, index: index++ }
        this.requests.push(request)
        if (request.headers.has('upgrade')) raw = true
        this.respond(request, socket)
        if (raw) return
      }
    })
    socket.on('end', () => socket.end())
  }
}

function parseRequest(bytes: Buffer): { request: Omit<OriginRequest, 'connection' | 'index'>; length: number } | null {
  const whole = readMessageHead(bytes)
  if (whole === null) return null
  const { first, text: head, headers, length: start } = whole
  const [method = '', path = ''] = first.split(' ')
  if (headers.get('transfer-encoding')?.toLowerCase().includes('chunked')) {
    const chunks: Buffer[] = []
    let at = start
    for (;;) {
      const lineEnd = bytes.indexOf('\r\n', at)
      if (lineEnd === -1) return null
      const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
      const next = lineEnd + 2 + size + 2
      if (size === 0) {
        const last = bytes.indexOf('\r\n\r\n', lineEnd)
        if (last === -1) return null
        return { request: { method, path, head, headers, body: Buffer.concat(chunks) }, length: last + 4 }
      }
      if (bytes.length < next) return null
      chunks.push(bytes.subarray(lineEnd + 2, next - 2))
      at = next
    }
  }
  const length = Number(headers.get('content-length') ?? 0)
  if (bytes.length < start + length) return null
  return { request: { method, path, head, headers, body: bytes.subarray(start, start + length) }, length: start + length }
}

/** Sends back what it gets; its own end follows the client's. */
export class EchoOrigin extends Origin {
  received = 0

  protected onConnection(socket: Socket): void {
    socket.on('data', chunk => {
      this.received += chunk.length
      if (!socket.write(chunk)) {
        socket.pause()
        socket.once('drain', () => socket.resume())
      }
    })
    socket.on('end', () => socket.end())
  }
}

/** Each connection is the test's to drive. */
export class TcpOrigin extends Origin {
  readonly onSocket: (socket: Socket) => void

  constructor(onSocket: (socket: Socket) => void) {
    super()
    this.onSocket = onSocket
  }

  protected onConnection(socket: Socket): void {
    this.onSocket(socket)
  }
}
