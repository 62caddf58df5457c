// Consul's DNS for the service beside this proxy (-consul-dns-bind-port): each question travels to the current server as it came, by gRPC, and its
// answer back. Made by dataplane.ts. Invariant: a question that no server answers is answered by SERVFAIL, so that nobody waits for a timeout;
// how many wait at the same time is bounded.
import { create } from '@bufbuild/protobuf'
import { DnsPort, type SendDns } from '../io/dns-port.js'
import { Protocol, QueryRequestSchema, QueryResponseSchema } from '../xds/gen/hashicorp/dns_pb.js'
import type { ConsulServers } from './servers/consul-servers.js'
import type { CallMetadata, Method } from './servers/server-channel.js'

export interface DnsProxyOptions {
  readonly servers: Pick<ConsulServers, 'call'>
  readonly namespace: string
  readonly partition: string
  readonly log: (level: 'warn', message: string) => void
}

const QUERY: Method<typeof QueryRequestSchema, typeof QueryResponseSchema> = {
  path: '/hashicorp.consul.dns.DNSService/Query',
  request: QueryRequestSchema,
  answer: QueryResponseSchema,
}
const HEADER_BYTES = 12
const MAX_WAITING = 1_024
const MAX_MESSAGE_BYTES = 65_535
const RESPONSE = 0x80
const SERVFAIL = 2

export class DnsProxy {
  private readonly options: DnsProxyOptions
  private readonly metadata: CallMetadata
  private readonly port: DnsPort
  private waiting = 0
  private lastProblem = ''

  constructor(options: DnsProxyOptions) {
    this.options = options
    this.metadata = [
      ['x-consul-partition', options.partition],
      ['x-consul-namespace', options.namespace],
    ]
    this.port = new DnsPort(
      (message, tcp, send) => this.ask(message, tcp, send),
      reason => options.log('warn', `DNS: ${reason}`),
    )
  }

  /** Resolves with the port as bound; rejects where it can't be had. */
  listen(host: string, port: number): Promise<number> {
    return this.port.listen(host, port).catch((error: Error) => {
      throw new Error(`-consul-dns-bind-port ${port}: ${error.message}`)
    })
  }

  close(): Promise<void> {
    return this.port.close()
  }

  private async ask(message: Buffer, tcp: boolean, send: SendDns): Promise<void> {
    // A stump, or a response: whoever answered those could be made to answer itself.
    if (message.length < HEADER_BYTES || (message[2]! & RESPONSE) !== 0) return
    if (this.waiting >= MAX_WAITING) return send(failure(message))
    this.waiting++
    try {
      const request = create(QueryRequestSchema, { msg: new Uint8Array(message), protocol: tcp ? Protocol.TCP : Protocol.UDP })
      const { msg } = await this.options.servers.call(QUERY, request, this.metadata)
      send(msg.length > MAX_MESSAGE_BYTES ? failure(message) : Buffer.from(msg))
      this.lastProblem = ''
    } catch (error) {
      const { message: reason } = error as Error
      // A server that goes on refusing is told of once.
      if (reason !== this.lastProblem) this.options.log('warn', `DNS: ${reason}`)
      this.lastProblem = reason
      send(failure(message))
    } finally {
      this.waiting--
    }
  }
}

/** The header of the answer alone, without the question: that may be torn. */
function failure(query: Buffer): Buffer {
  const answer = Buffer.alloc(HEADER_BYTES)
  query.copy(answer, 0, 0, 4)
  answer[2] = answer[2]! | RESPONSE
  answer[3] = SERVFAIL
  return answer
}
