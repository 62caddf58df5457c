// A DNS server on the loopback for tests: what each name has is set by the test, and every query is counted.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import dnsPacket from 'dns-packet'
import { decodeDnsMessage, encodeDnsMessage } from '../../src/io/dns-message.js'

export interface NameRecords {
  readonly a?: readonly string[]
  readonly aaaa?: readonly string[]
  /** Seconds; default 1. */
  readonly ttl?: number
}

const RCODE = { servfail: 2, nxdomain: 3 } as const

export class FakeDns {
  /** Name -> its records, or how the server fails. Absent: NXDOMAIN. */
  readonly names = new Map<string, NameRecords | 'servfail' | 'silent'>()
  /** Name -> queries, of either type. */
  readonly queries = new Map<string, number>()
  private readonly socket = createSocket('udp4')

  async listen(): Promise<this> {
    this.socket.on('message', (message, from) => {
      const query = decodeDnsMessage(message)
      const question = query?.questions?.[0]
      if (query === undefined || question === undefined) return
      const name = question.name.toLowerCase()
      this.queries.set(name, (this.queries.get(name) ?? 0) + 1)
      const found = this.names.get(name)
      if (found === 'silent') return
      const records = typeof found === 'object' ? found : {}
      const data = question.type === 'AAAA' ? records.aaaa : question.type === 'A' ? records.a : undefined
      const type = question.type as 'A' | 'AAAA'
      const rcode = found === 'servfail' ? RCODE.servfail : found === undefined ? RCODE.nxdomain : 0
      const answers = (data ?? []).map(address => ({ type, name: question.name, ttl: records.ttl ?? 1, data: address }))
      const flags = dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE | rcode
      this.socket.send(
        encodeDnsMessage({ type: 'response', id: query.id!, flags, questions: query.questions!, answers }),
        from.port,
        from.address,
      )
    })
    this.socket.bind(0, '127.0.0.1')
    await once(this.socket, 'listening')
    return this
  }

  get port(): number {
    return (this.socket.address() as AddressInfo).port
  }

  count(name: string): number {
    return this.queries.get(name) ?? 0
  }

  close(): void {
    this.socket.close()
  }
}
