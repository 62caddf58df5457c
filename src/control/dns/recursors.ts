// Asks other DNS servers (`--recursor`) what is not ours: one query as it came, or the addresses of a host name that an instance is
// registered with. Used by `dns-server.ts`. They are asked in order until one answers; a cut answer is asked for again by TCP.
// Invariant: an answer is taken only from who was asked, with the random id and the very question that were sent (CVE-2008-1447).
import { randomInt } from 'node:crypto'
import dgram from 'node:dgram'
import net from 'node:net'
import type { HostPort } from '../http-api/listen-addresses.js'

/** Questions on their way at the same time; further ones fail at once. */
export const MAX_PENDING_RECURSIONS = 512
const TIMEOUT_MS = 2_000
const HEADER_BYTES = 12
const TRUNCATED = 0x0200
const MAX_TCP_MESSAGE_BYTES = 65_535

/** Asks somebody else: the recursors, or an agent's control plane. */
export interface Forwarder {
  /** Whom there is to ask; 0 = nobody. */
  readonly size: number
  /** The answer to `query`, under its id; undefined when there is none. `tcp`: it may be as long as it likes. */
  forward(query: Buffer, questionBytes: number, tcp: boolean): Promise<Buffer | undefined>
}

export class Recursors implements Forwarder {
  private readonly servers: readonly HostPort[]
  private pending = 0

  constructor(servers: readonly HostPort[]) {
    this.servers = servers
  }

  get size(): number {
    return this.servers.length
  }

  /** The first recursor's answer to `query`, under the query's id; undefined when none has one. */
  async forward(query: Buffer, questionBytes: number): Promise<Buffer | undefined> {
    if (this.pending >= MAX_PENDING_RECURSIONS) return undefined
    this.pending++
    try {
      for (const server of this.servers) {
        const answer = await this.ask(server, query, questionBytes)
        if (answer === undefined) continue
        query.copy(answer, 0, 0, 2)
        return answer
      }
      return undefined
    } finally {
      this.pending--
    }
  }

  private async ask(server: HostPort, query: Buffer, questionBytes: number): Promise<Buffer | undefined> {
    const sent = Buffer.from(query)
    sent.writeUInt16BE(randomInt(65_536), 0)
    const answer = await askUdp(server, sent, questionBytes)
    if (answer === undefined || (answer.readUInt16BE(2) & TRUNCATED) === 0) return answer
    return (await askTcp(server, sent, questionBytes)) ?? answer
  }
}

/** A response with our id that repeats our question, in whatever case. */
function isAnswer(sent: Buffer, answer: Buffer, questionBytes: number): boolean {
  if (answer.length < HEADER_BYTES + questionBytes || answer.readUInt16BE(0) !== sent.readUInt16BE(0)) return false
  if ((answer.readUInt16BE(2) & 0x8000) === 0) return false
  const question = (bytes: Buffer): string => bytes.toString('latin1', HEADER_BYTES, HEADER_BYTES + questionBytes).toLowerCase()
  return question(sent) === question(answer)
}

function askUdp({ host, port }: HostPort, sent: Buffer, questionBytes: number): Promise<Buffer | undefined> {
  return new Promise(resolve => {
    // A socket of its own for each question: a random source port is half of the protection against forged answers.
    const socket = dgram.createSocket(net.isIPv6(host) ? 'udp6' : 'udp4')
    const finish = (answer: Buffer | undefined): void => {
      clearTimeout(timer)
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.close()
      resolve(answer)
    }
    const timer = setTimeout(() => finish(undefined), TIMEOUT_MS)
    timer.unref()
    socket.once('error', () => finish(undefined))
    socket.on('message', bytes => {
      if (isAnswer(sent, bytes, questionBytes)) finish(bytes)
    })
    socket.connect(port, host, () => socket.send(sent))
  })
}

function askTcp({ host, port }: HostPort, sent: Buffer, questionBytes: number): Promise<Buffer | undefined> {
  return new Promise(resolve => {
    const socket = net.connect({ host, port })
    const finish = (answer: Buffer | undefined): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(TIMEOUT_MS, () => finish(undefined))
    socket.on('error', () => finish(undefined))
    socket.once('close', () => finish(undefined))
    let received = Buffer.alloc(0)
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk])
      if (received.length > MAX_TCP_MESSAGE_BYTES + 2) return finish(undefined)
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return
      const answer = received.subarray(2, 2 + received.readUInt16BE(0))
      finish(isAnswer(sent, answer, questionBytes) ? answer : undefined)
    })
    const length = Buffer.alloc(2)
    length.writeUInt16BE(sent.length)
    socket.write(Buffer.concat([length, sent]))
  })
}
