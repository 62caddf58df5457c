// The DNS server (`--dns-addr`, 8600): reads queries of its port (io/dns-port.ts), asks `DnsAnswers`, leaves foreign names to the recursors,
// writes what fits. Made by `ControlPlane`.
// Invariant: every query has one answer or, when it is none (a response, a stump), silence.
// HOT: a UDP answer costs about 40 µs of one core, most of it in the two system calls.
import { decodeDnsMessage, encodeDnsMessage } from '../../io/dns-message.js'
import { DnsPort, type SendDns } from '../../io/dns-port.js'
import type { HostPort } from '../http-api/listen-addresses.js'
import { addressBytes } from './address.js'
import type { DnsAnswer, DnsAnswers } from './dns-answers.js'
import type { AskedRights } from './dns-rights.js'
import { type DnsRecord, MessageWriter, RCODE, TYPE } from './message-writer.js'
import { type DnsQuery, readQuery } from './query-reader.js'
import type { Forwarder } from './recursors.js'

export interface DnsServerOptions {
  readonly answers: Pick<DnsAnswers, 'answer' | 'soa'>
  readonly recursors: Forwarder
  /** Of whoever asks on the port: DNS carries no token. */
  readonly rights: () => AskedRights
  readonly onProblem: (reason: string) => void
}

/** UDP without EDNS (RFC 1035, 4.2.1). */
const PLAIN_UDP_BYTES = 512
/** What we take by UDP, and give: larger answers would travel in fragments. */
const MAX_UDP_BYTES = 4_096
const MAX_TCP_BYTES = 65_535
/** Without EDNS Consul gives no more than three addresses, so that old resolvers, which cannot ask again, get an answer. */
const PLAIN_UDP_ANSWERS = 3
const AUTHORITATIVE = 0x0400
const RECURSION_DESIRED = 0x0100
const RECURSION_AVAILABLE = 0x0080
const RESPONSE = 0x8000
const EMPTY = Buffer.alloc(0)

export class DnsServer {
  private readonly options: DnsServerOptions
  private readonly writer = new MessageWriter()
  private readonly port: DnsPort

  constructor(options: DnsServerOptions) {
    this.options = options
    this.port = new DnsPort((bytes, tcp, send) => this.handle(bytes, tcp, options.rights(), send), options.onProblem)
  }

  /** Resolves with the port as bound, the same for UDP and TCP. Rejects with the reason when it can't be had. */
  async listen({ host, port }: HostPort): Promise<HostPort> {
    return { host, port: await this.port.listen(host, port) }
  }

  close(): Promise<void> {
    return this.port.close()
  }

  /** The answer to one message that came another way (gRPC); undefined where there is none to be given. */
  async resolve(bytes: Buffer, tcp: boolean, rights: AskedRights): Promise<Buffer | undefined> {
    let answer: Buffer | undefined
    await this.handle(bytes, tcp, rights, message => {
      answer = Buffer.from(message)
    })
    return answer
  }

  private handle(bytes: Buffer, tcp: boolean, rights: AskedRights, send: SendDns): void | Promise<void> {
    const read = readQuery(bytes)
    if (read === undefined) return
    if (!read.ok) {
      this.writer.begin(read.id, responseFlags(read.flags, false), EMPTY, '', PLAIN_UDP_BYTES, read.rcode === RCODE.BADVERS)
      return send(this.writer.end(read.rcode, false, MAX_UDP_BYTES))
    }
    const { query } = read
    if (rights === 'refused') return send(this.write(query, { rcode: RCODE.REFUSED, answers: [], authority: [], additional: [] }, tcp))
    const answer = this.options.answers.answer(query.name, query.type, rights)
    if (answer === undefined) return this.recurse(bytes, query, tcp, send)
    if (answer.follow !== undefined && this.options.recursors.size > 0) return this.follow(answer, answer.follow, query, tcp, send)
    send(this.write(query, answer, tcp))
  }

  private write(query: DnsQuery, answer: DnsAnswer, tcp: boolean): Buffer {
    const { writer } = this
    const limit = tcp ? MAX_TCP_BYTES : query.ednsBytes === 0 ? PLAIN_UDP_BYTES : Math.min(query.ednsBytes, MAX_UDP_BYTES)
    const flags = responseFlags(query.flags, this.options.recursors.size > 0) | AUTHORITATIVE
    writer.begin(query.id, flags, query.question, query.name, limit, query.ednsBytes > 0)
    const most = tcp || query.ednsBytes > 0 ? answer.answers.length : Math.min(answer.answers.length, PLAIN_UDP_ANSWERS)
    let truncated = false
    for (let i = 0; i < most && !truncated; i++) truncated = !writer.add(0, answer.answers[i]!)
    if (!truncated) {
      for (const record of answer.authority) if (!writer.add(1, record)) break
      // What comes along may be left out without saying so (RFC 2181, 9).
      for (const record of answer.additional) if (!writer.add(2, record)) break
    }
    return writer.end(answer.rcode, truncated, MAX_UDP_BYTES)
  }

  private async recurse(bytes: Buffer, query: DnsQuery, tcp: boolean, send: SendDns): Promise<void> {
    const { answers, recursors } = this.options
    const isReverse = query.name.endsWith('.arpa')
    if (recursors.size === 0) {
      const authority = isReverse ? [answers.soa(query.name)] : []
      return send(this.write(query, { rcode: isReverse ? RCODE.NXDOMAIN : RCODE.REFUSED, answers: [], authority, additional: [] }, tcp))
    }
    const answer = await recursors.forward(bytes, query.question.length, tcp)
    if (answer === undefined) return send(this.write(query, { rcode: RCODE.SERVFAIL, answers: [], authority: [], additional: [] }, tcp))
    answer.writeUInt16BE(answer.readUInt16BE(2) | RECURSION_AVAILABLE, 2)
    send(answer)
  }

  /** Adds what recursors know of the host name that an instance is registered with. */
  private async follow(answer: DnsAnswer, name: string, query: DnsQuery, tcp: boolean, send: SendDns): Promise<void> {
    const type = query.type === TYPE.AAAA ? 'AAAA' : 'A'
    const question = encodeDnsMessage({ type: 'query', id: query.id, flags: RECURSION_DESIRED, questions: [{ type, name, class: 'IN' }] })
    const found = await this.options.recursors.forward(question, question.length - 12, true)
    const message = found === undefined ? undefined : decodeDnsMessage(found)
    const records = (message?.answers ?? []).flatMap((record): DnsRecord[] => {
      const ttl = 'ttl' in record ? (record.ttl ?? 0) : 0
      if (record.type === 'CNAME') return [{ type: TYPE.CNAME, name: record.name, ttl, target: record.data }]
      const address = record.type === 'A' || record.type === 'AAAA' ? addressBytes(record.data) : undefined
      if (address === undefined) return []
      return [{ type: address.length === 4 ? TYPE.A : TYPE.AAAA, name: record.name, ttl, address }]
    })
    send(this.write(query, { ...answer, answers: [...answer.answers, ...records] }, tcp))
  }
}

function responseFlags(flags: number, recursion: boolean): number {
  return RESPONSE | (flags & (0x7800 | RECURSION_DESIRED)) | (recursion ? RECURSION_AVAILABLE : 0)
}
