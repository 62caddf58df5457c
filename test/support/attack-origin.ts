// The origin behind the proxies of attack-differential.test.ts: raw sockets, so that it sees what a proxy really wrote. Every request is
// kept as one line; probes and sentinels are answered and forgotten.
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'

/** What differs between any two proxies or runs; framing is judged by the body that it delimits. */
const IGNORED = new Set('x-request-id x-forwarded-proto connection content-length transfer-encoding http2-settings'.split(' '))

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n'

export class RecordingOrigin {
  /** Whole requests, as `METHOD target | name: value | … | <body>`. */
  seen: string[] = []
  /** The raw answer to what is neither probe nor sentinel; null for a plain 200. */
  answer: string | null = null
  closeAfterAnswer = false
  private readonly server: Server
  /** What each connection sent that is no whole request yet. */
  private readonly sockets = new Map<Socket, string>()

  private constructor() {
    this.server = createServer(socket => {
      this.sockets.set(socket, '')
      socket.on('error', () => {})
      socket.on('close', () => this.sockets.delete(socket))
      socket.on('data', chunk => this.take(socket, chunk))
    })
  }

  static async start(): Promise<RecordingOrigin> {
    const origin = new RecordingOrigin()
    origin.server.listen(0, '127.0.0.1')
    await once(origin.server, 'listening')
    return origin
  }

  get port(): number {
    return (this.server.address() as { port: number }).port
  }

  /** First lines of requests that are not complete. */
  get partial(): string[] {
    return [...this.sockets.values()].filter(text => text !== '').map(text => `partial ${text.split('\r\n', 1)[0]}`)
  }

  dropAll(): void {
    for (const socket of this.sockets.keys()) socket.destroy()
    this.sockets.clear()
  }

  stop(): void {
    this.dropAll()
    this.server.close()
  }

  private take(socket: Socket, chunk: Buffer): void {
    let pending = (this.sockets.get(socket) ?? '') + chunk.toString('latin1')
    for (let taken = takeRequest(pending); taken !== null; taken = takeRequest(pending)) {
      pending = pending.slice(taken.length)
      this.reply(socket, taken.line)
    }
    if (this.sockets.has(socket)) this.sockets.set(socket, pending)
  }

  private reply(socket: Socket, line: string): void {
    if (line.startsWith('GET /__probe ')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nprobe')
    else if (line.startsWith('GET /__next ')) socket.write(`${OK}ok`)
    else {
      this.seen.push(line)
      socket.write(this.answer ?? (line.startsWith('HEAD ') ? OK : `${OK}ok`), 'latin1')
      if (this.closeAfterAnswer) socket.end()
    }
  }
}

/** The first request of `text`, or null when it is not complete. Reads only what a proxy should write. */
function takeRequest(text: string): { length: number; line: string } | null {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return null
  const [start, ...fieldLines] = text.slice(0, end).split('\r\n')
  const fields = fieldLines.map(line => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
  })
  const lengths = fields.filter(([name]) => name === 'content-length')
  const codings = fields.filter(([name]) => name === 'transfer-encoding')
  const body = codings.length > 0 ? takeChunks(text, end + 4) : takeBytes(text, end + 4, Number(lengths[0]?.[1] ?? 0))
  if (body === null) return null
  const shown = new Map<string, string>()
  for (const [name, value] of fields) {
    if (!IGNORED.has(name)) shown.set(name, shown.has(name) ? `${shown.get(name)},${value}` : value)
  }
  const line = [start!.replace(/ HTTP\/1\.1$/, ''), ...[...shown].map(([name, value]) => `${name}: ${value}`).sort()]
  if (body.text !== '') line.push(`<${body.text}>`)
  if (lengths.length + codings.length > 1) line.push('AMBIGUOUS FRAMING')
  return { length: body.end, line: line.join(' | ') }
}

function takeBytes(text: string, at: number, size: number): { text: string; end: number } | null {
  return text.length < at + size ? null : { text: text.slice(at, at + size), end: at + size }
}

function takeChunks(text: string, from: number): { text: string; end: number } | null {
  let body = ''
  for (let at = from; ; ) {
    const line = text.indexOf('\r\n', at)
    if (line === -1) return null
    const size = Number.parseInt(text.slice(at, line), 16)
    if (size === 0) {
      if (text.startsWith('\r\n', line + 2)) return { text: body, end: line + 4 }
      const end = text.indexOf('\r\n\r\n', line + 2)
      return end === -1 ? null : { text: `${body}[trailers ${text.slice(line + 2, end).toLowerCase()}]`, end: end + 4 }
    }
    const data = takeBytes(text, line + 2, size + 2)
    if (data === null) return null
    body += data.text.slice(0, size)
    at = data.end
  }
}
