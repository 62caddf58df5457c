// What one attack does to a proxy: raw bytes go in; out come the statuses, whether the connection stays in step, and what the origin
// behind the proxy got. Used by attack-differential.test.ts with the real Envoy and Outrigger side by side. A lane is one listener with
// its own origin. Nothing waits for a clock: a probe that went through the same lane twice says that the proxy is done.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { RecordingOrigin } from './attack-origin.js'

/** What came of one attack. */
export interface Outcome {
  /** `100 200` as they came; behind `+` what a next request on the same connection got. */
  readonly statuses: string
  /** Whether the proxy ended the client's connection. */
  readonly end: 'closed' | 'open'
  /** The requests at the origin; of an answer, its lines as the client got them. */
  readonly seen: readonly string[]
}

const PROBE = 'GET /__probe HTTP/1.1\r\nHost: probe\r\n\r\n'
const SENTINEL = 'GET /__next HTTP/1.1\r\nHost: next\r\n\r\n'

export class Lane {
  readonly origin: RecordingOrigin
  private readonly port: number
  private probe: Socket | null = null

  constructor(origin: RecordingOrigin, port: number) {
    this.origin = origin
    this.port = port
  }

  async open(): Promise<AttackConnection> {
    this.origin.seen = []
    const socket = connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true })
    const connection = new AttackConnection(this, socket)
    await once(socket, 'connect')
    return connection
  }

  /** The requests at the origin since `open`, cut-off ones too. */
  takeSeen(): string[] {
    const { partial } = this.origin
    if (partial.length > 0) this.origin.dropAll()
    return [...this.origin.seen, ...partial]
  }

  async attack(parts: readonly string[]): Promise<Outcome> {
    const connection = await this.open()
    const { statuses, end } = await exchange(connection, parts)
    return { statuses, end, seen: this.takeSeen() }
  }

  /** The origin answers `request` with `answer`, then closes or not. */
  async respond(request: string, answer: string, close: boolean): Promise<Outcome> {
    const { origin } = this
    const connection = await this.open()
    origin.answer = answer
    origin.closeAfterAnswer = close
    const { statuses, end } = await exchange(connection, [request])
    origin.answer = null
    origin.closeAfterAnswer = false
    origin.dropAll()
    return { statuses, end, seen: normalResponse(connection.text, request.startsWith('HEAD ')) }
  }

  /** Twice through proxy and origin, on a connection of its own. */
  async barrier(): Promise<void> {
    for (let round = 0; round < 2; round++) {
      if (this.probe === null || this.probe.destroyed) {
        this.probe = connect(this.port, '127.0.0.1')
        this.probe.on('error', () => {})
      }
      await answerOf(this.probe)
    }
  }

  stop(): void {
    this.probe?.destroy()
  }
}

async function exchange(connection: AttackConnection, parts: readonly string[]): Promise<Pick<Outcome, 'statuses' | 'end'>> {
  for (const part of parts) {
    connection.write(Buffer.from(part, 'latin1'))
    if (parts.length > 1) await connection.settle()
  }
  await connection.settle()
  let statuses = statusesOf(connection.text)
  if (!connection.closed) {
    const before = connection.text.length
    connection.write(Buffer.from(SENTINEL))
    await connection.settle()
    statuses += ` + ${statusesOf(connection.text.slice(before))}`
  }
  connection.destroy()
  return { statuses, end: connection.closed ? 'closed' : 'open' }
}

function statusesOf(text: string): string {
  return [...text.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map(match => match[1]).join(' ')
}

/** One probe; also over when the connection ends, or with an error answer (then the next one gets a new connection). */
function answerOf(probe: Socket): Promise<void> {
  return new Promise(resolve => {
    let got = ''
    const done = (): void => {
      probe.off('data', onData)
      probe.off('close', done)
      resolve()
    }
    const onData = (chunk: Buffer): void => {
      got += chunk.toString('latin1')
      if (got.endsWith('probe')) done()
      else if (got.startsWith('HTTP/1.1 5') && got.includes('\r\n\r\n')) {
        probe.destroy()
        done()
      }
    }
    probe.on('data', onData)
    probe.on('close', done)
    probe.write(PROBE)
  })
}

/** The attacker's side of one connection. */
export class AttackConnection {
  closed = false
  private readonly lane: Lane
  private readonly socket: Socket
  private readonly chunks: Buffer[] = []
  private length = 0

  constructor(lane: Lane, socket: Socket) {
    this.lane = lane
    this.socket = socket
    const close = (): void => {
      this.closed = true
    }
    socket.setNoDelay(true)
    socket.on('data', chunk => {
      this.chunks.push(chunk)
      this.length += chunk.length
    })
    socket.on('end', close)
    socket.on('close', close)
    socket.on('error', () => {})
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }

  get text(): string {
    return this.bytes.toString('latin1')
  }

  write(bytes: Buffer): void {
    if (!this.closed) this.socket.write(bytes)
  }

  /** Until the proxy has nothing more to say to anyone, or has closed. */
  async settle(): Promise<void> {
    const progress = (): number => this.length + this.lane.origin.seen.length
    for (let before = -1; before !== progress() && !this.closed; ) {
      before = progress()
      await this.lane.barrier()
    }
  }

  destroy(): void {
    this.socket.destroy()
  }
}

/** Header lines in lower case, without those that vary, and what follows as it is. */
function normalResponse(text: string, toHead: boolean): string[] {
  return text
    .split('\r\n')
    .map(line => (/^[\w-]+: /.test(line) ? line.replace(/^[^:]+/, name => name.toLowerCase()) : line))
    .filter(line => !/^(?:date|server|x-envoy-upstream-service-time): /.test(line) && !(toHead && line.startsWith('transfer-encoding: ')))
    .map(line => line.replace(/^(HTTP.1.. ...).*/, '$1'))
}
