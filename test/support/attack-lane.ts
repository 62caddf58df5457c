// What one attack does to a proxy: the raw bytes go in, the statuses that come back, whether the connection stays in step, and what the
// origin behind the proxy got. Used by attack-differential.test.ts with the real Envoy and Outrigger side by side. A lane is one
// listener with its own origin; nothing waits for a clock: a probe that went through the same lane twice says that the proxy is done.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** `statuses` like `100 200`, `end` whether the client's connection was closed, `seen` the requests at the origin, one line each. */
export interface Outcome {
  statuses: string
  end: 'closed' | 'open'
  seen: string[]
}

/** What differs between any two proxies or runs. */
const IGNORED = new Set(['x-request-id', 'x-forwarded-proto', 'x-envoy-expected-rq-timeout-ms', 'connection', 'x-envoy-attempt-count'])
const PROBE = 'GET /__probe HTTP/1.1\r\nHost: probe\r\n\r\n'
const SENTINEL = 'GET /__next HTTP/1.1\r\nHost: next\r\n\r\n'

/** Keeps every request as the bytes were; a probe is answered and forgotten. */
export class RecordingOrigin {
  seen: string[] = []
  /** Raw answer to everything but probes. */
  answer: string | ((request: string) => string) = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  /** After the answer. */
  closeAfterAnswer = false
  private readonly server: Server
  /** What each connection sent that is no whole request yet. */
  private readonly sockets = new Map<Socket, string>()

  private constructor() {
    this.server = createServer(socket => this.take(socket))
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

  private take(socket: Socket): void {
    this.sockets.set(socket, '')
    let pending = ''
    socket.on('error', () => {})
    socket.on('close', () => this.sockets.delete(socket))
    socket.on('data', chunk => {
      pending += chunk.toString('latin1')
      for (;;) {
        const taken = takeRequest(pending)
        if (taken === null) break
        pending = pending.slice(taken.length)
        if (taken.line.startsWith('GET /__probe ')) {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nprobe')
          continue
        }
        if (!taken.line.startsWith('GET /__next ')) this.seen.push(taken.line)
        const answer = taken.line.startsWith('GET /__next ')
          ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
          : typeof this.answer === 'string'
            ? this.answer
            : this.answer(taken.line)
        const bytes = taken.line.startsWith('HEAD ') && typeof this.answer === 'string' ? answer.replace(/\r\n\r\nok$/, '\r\n\r\n') : answer
        socket.write(bytes, 'latin1')
        if (this.closeAfterAnswer && !taken.line.startsWith('GET /__next ')) socket.end()
      }
      if (this.sockets.has(socket)) this.sockets.set(socket, pending)
    })
  }
}

/** One request of `text` as `METHOD target | name: value | … | framing body`, or null when it is not complete. */
function takeRequest(text: string): { length: number; line: string } | null {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return null
  const [start, ...lines] = text.slice(0, end).split('\r\n')
  const fields = lines.map(line => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
  })
  let at = end + 4
  let body = ''
  const length = fields.filter(([name]) => name === 'content-length')
  const coding = fields.filter(([name]) => name === 'transfer-encoding')
  if (coding.length > 0) {
    for (;;) {
      const line = text.indexOf('\r\n', at)
      if (line === -1) return null
      const size = Number.parseInt(text.slice(at, line), 16)
      if (text.length < line + 2 + size + 2) return null
      if (size === 0) {
        const trailersEnd = text.startsWith('\r\n', line + 2) ? line + 2 : text.indexOf('\r\n\r\n', line) + 2
        if (trailersEnd === 1) return null
        if (trailersEnd > line + 2)
          body += `[trailers ${text
            .slice(line + 2, trailersEnd)
            .trim()
            .toLowerCase()}]`
        at = trailersEnd + 2
        break
      }
      body += text.slice(line + 2, line + 2 + size)
      at = line + 2 + size + 2
    }
  } else if (length.length > 0) {
    const size = Number(length[0]![1])
    if (text.length < at + size) return null
    body = text.slice(at, at + size)
    at += size
  }
  const shown = fields.filter(([name]) => !IGNORED.has(name)).map(([name, value]) => `${name}: ${value}`)
  return {
    length: at,
    line: [start!.replace(/ HTTP\/1\.1$/, ''), ...shown.sort(), body === '' ? '' : `<${body}>`].filter(Boolean).join(' | '),
  }
}

export class Lane {
  readonly origin: RecordingOrigin
  readonly port: number
  private probe: Socket | null = null

  constructor(origin: RecordingOrigin, port: number) {
    this.origin = origin
    this.port = port
  }

  /** Twice through proxy and origin, on a connection of its own. */
  async barrier(): Promise<void> {
    for (let i = 0; i < 2; i++) {
      if (this.probe === null || this.probe.destroyed) {
        this.probe = connect(this.port, '127.0.0.1')
        this.probe.setNoDelay(true)
        this.probe.on('error', () => {})
      }
      const { probe } = this
      await new Promise<void>((resolve, reject) => {
        let got = ''
        const done = (error?: Error): void => {
          probe.off('data', onData)
          probe.off('close', onClose)
          if (error === undefined) resolve()
          else reject(error)
        }
        const onData = (chunk: Buffer): void => {
          got += chunk.toString('latin1')
          if (got.endsWith('probe')) done()
          else if (/^HTTP\/1.1 5/.test(got) && got.includes('\r\n\r\n')) {
            probe.destroy()
            done()
          }
        }
        const onClose = (): void => done()
        probe.on('data', onData)
        probe.on('close', onClose)
        probe.write(PROBE)
      })
    }
  }

  async attack(parts: readonly string[], onEnd: (got: string) => void = () => {}): Promise<Outcome> {
    const { origin } = this
    origin.seen = []
    const socket = connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.setNoDelay(true)
    let got = ''
    let closed = false
    socket.on('data', chunk => (got += chunk.toString('latin1')))
    socket.on('end', () => (closed = true))
    socket.on('close', () => (closed = true))
    socket.on('error', () => {})
    await once(socket, 'connect')
    const settle = async (): Promise<void> => {
      let before: number
      do {
        before = got.length + origin.seen.length
        if (closed) return
        await this.barrier()
      } while (before !== got.length + origin.seen.length)
    }
    for (const part of parts) {
      if (closed) break
      socket.write(part, 'latin1')
      if (parts.length > 1) await this.barrier()
    }
    await settle()
    let statuses = statusesOf(got)
    if (!closed) {
      const before = got.length
      socket.write(SENTINEL)
      await settle()
      if (got.length > before) statuses += ` + ${statusesOf(got.slice(before))}`
      else if (!closed) statuses += ' + none'
    }
    onEnd(got)
    const partial = origin.partial
    if (partial.length > 0) origin.dropAll()
    socket.destroy()
    return { statuses, end: closed ? 'closed' : 'open', seen: [...origin.seen, ...partial] }
  }

  /** The origin answers `request` with `answer`, then closes or not. What the client got, as lines that are the same for any proxy. */
  async respond(request: string, answer: string, close: boolean): Promise<Outcome> {
    const { origin } = this
    const usual = origin.answer
    origin.answer = answer
    origin.closeAfterAnswer = close
    let got = ''
    const outcome = await this.attack([request], text => (got = text))
    origin.answer = usual
    origin.closeAfterAnswer = false
    origin.dropAll()
    return { ...outcome, seen: normalResponse(got) }
  }

  stop(): void {
    this.probe?.destroy()
  }
}

/** Header lines in lower case and order, without those that vary, and what follows as it is. */
function normalResponse(text: string): string[] {
  return text
    .split('\r\n')
    .map(line => (/^[\w-]+: /.test(line) ? line.replace(/^[^:]+/, name => name.toLowerCase()) : line))
    .filter(line => !/^(?:date|server|x-envoy-upstream-service-time): /.test(line))
    .map(line => (/^HTTP/.test(line) ? line.replace(/^(HTTP.1.. ...).*/, '$1') : line))
}

export function statusesOf(text: string): string {
  return [...text.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map(match => match[1]).join(' ')
}
