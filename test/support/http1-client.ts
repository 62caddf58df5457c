// A small HTTP/1.1 client on a bare socket (plain or TLS) for integration tests: one connection, requests one after the other, and it
// tells a complete answer from a truncated one, which is what node:http hides.
import net, { type Socket } from 'node:net'
import tls, { type ConnectionOptions } from 'node:tls'
import { readMessageHead } from './http1-head.js'

export interface Answer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

interface Waiter {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
  readonly head: boolean
}

export class Http1Client {
  readonly socket: Socket
  closed = false
  bytes = 0
  private chunks: Buffer[] = []
  private size = 0
  /** Fewer bytes are no whole answer. */
  private needed = 0
  private ended = false
  private readonly waiters: Waiter[] = []
  private readonly whenClosed: Promise<void>

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    this.whenClosed = new Promise(resolve => socket.once('close', () => resolve()))
    socket.on('data', chunk => {
      this.bytes += chunk.length
      this.chunks.push(chunk)
      this.size += chunk.length
      this.drain()
    })
    socket.on('end', () => {
      this.ended = true
      this.drain()
    })
    socket.on('close', () => {
      this.closed = true
      this.ended = true
      this.drain()
      for (const waiter of this.waiters.splice(0))
        waiter.reject(new Error(`connection closed with ${this.size} bytes of an answer: ${this.held.toString('latin1', 0, 200)}`))
    })
  }

  static async connect(port: number, secure?: ConnectionOptions): Promise<Http1Client> {
    const socket =
      secure === undefined
        ? net.connect({ port, host: '127.0.0.1', noDelay: true })
        : tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, checkServerIdentity: () => undefined, ...secure })
    const client = new Http1Client(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once(secure === undefined ? 'connect' : 'secureConnect', resolve)
      socket.once('error', reject)
      socket.once('close', () => reject(new Error('closed')))
    })
    return client
  }

  /** Sends raw text and waits for one answer; rejects when the connection ends before it is complete. */
  send(text: string): Promise<Answer> {
    const answer = this.expect(text.startsWith('HEAD '))
    this.socket.write(text)
    return answer
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const lines = Object.entries({ host: 'test', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    return this.send(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
  }

  expect(head = false): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.closed) {
        reject(new Error('connection closed'))
        return
      }
      this.waiters.push({ resolve, reject, head })
      this.drain()
    })
  }

  private drain(): void {
    while (this.waiters.length > 0) {
      if (this.size < this.needed && !this.ended) return
      const { held } = this
      const parsed = parseAnswer(held, this.ended, this.waiters[0]!.head)
      if (parsed.answer === null) {
        this.needed = parsed.length
        return
      }
      this.needed = 0
      this.chunks = [held.subarray(parsed.length)]
      this.size -= parsed.length
      this.waiters.shift()!.resolve(parsed.answer)
    }
  }

  /** Bytes that came after the last answer. */
  get rest(): Buffer {
    return this.held
  }

  private get held(): Buffer {
    if (this.chunks.length !== 1) this.chunks = [Buffer.concat(this.chunks)]
    return this.chunks[0]!
  }

  async untilClosed(): Promise<void> {
    if (!this.closed) await this.whenClosed
  }

  destroy(): void {
    this.socket.destroy()
  }
}

/** `length`: of the answer, or, where it is not whole, how much there must be before another look is worth it. */
function parseAnswer(bytes: Buffer, ended: boolean, isHead: boolean): { answer: Answer | null; length: number } {
  const head = readMessageHead(bytes)
  if (head === null) return { answer: null, length: bytes.length + 1 }
  const { first, headers, length: start } = head
  const status = Number(first.split(' ')[1])
  const make = (body: Buffer, length: number) => ({ answer: { status, headers, body: body.toString('utf8') }, length })
  if (isHead || status === 101 || status === 204 || status === 304) return make(Buffer.alloc(0), start)
  if (headers.get('transfer-encoding') === 'chunked') {
    const chunks: Buffer[] = []
    let at = start
    for (;;) {
      const lineEnd = bytes.indexOf('\r\n', at)
      if (lineEnd === -1) return { answer: null, length: bytes.length + 1 }
      const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
      const next = lineEnd + 2 + size + 2
      if (bytes.length < next) return { answer: null, length: next }
      if (size === 0) return make(Buffer.concat(chunks), next)
      chunks.push(bytes.subarray(lineEnd + 2, next - 2))
      at = next
    }
  }
  const declared = headers.get('content-length')
  if (declared !== undefined) {
    const length = start + Number(declared)
    return bytes.length < length ? { answer: null, length } : make(bytes.subarray(start, length), length)
  }
  return ended ? make(bytes.subarray(start), bytes.length) : { answer: null, length: bytes.length + 1 }
}

/** One request on a connection of its own. */
export async function fetchOnce(
  port: number,
  path = '/',
  headers: Readonly<Record<string, string>> = {},
  secure?: ConnectionOptions,
): Promise<Answer> {
  const client = await Http1Client.connect(port, secure)
  try {
    return await client.get(path, headers)
  } finally {
    client.destroy()
  }
}
