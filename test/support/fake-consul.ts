// A strict fake of the gRPC services of one Consul server, written from the field numbers of its public API (hashicorp/consul/proto-public): what is
// not in them, or has another form, is refused and remembered in `complaints`. Several share one `FakeConsul`, at one port of several addresses of
// loopback, as the servers of one datacenter do. Used by test/dataplane and test/integration/sidecar-under-consul.test.ts.
import { type Metadata, Server, ServerCredentials, type ServerDuplexStream, type ServerWritableStream, status } from '@grpc/grpc-js'
import { freePort } from './port-range.js'
import { decodeWire, encodeStruct, encodeWire } from './wire.js'

type Unary = (request: Buffer, metadata: Metadata) => Buffer

export class Refusal extends Error {
  constructor(
    readonly code: status,
    readonly details: string,
  ) {
    super(details)
  }
}

/** Fields of each request, by number: text, number. */
const REQUESTS = {
  '/hashicorp.consul.dataplane.DataplaneService/GetSupportedDataplaneFeatures': {},
  '/hashicorp.consul.dataplane.DataplaneService/GetEnvoyBootstrapParams': {
    1: 'text',
    2: 'text',
    3: 'text',
    4: 'text',
    5: 'text',
    6: 'text',
  },
  '/hashicorp.consul.acl.ACLService/Login': { 1: 'text', 2: 'text', 3: 'text', 4: 'text', 5: 'text', 6: 'text' },
  '/hashicorp.consul.acl.ACLService/Logout': { 1: 'text', 2: 'text' },
  '/hashicorp.consul.dns.DNSService/Query': { 1: 'text', 2: 'number' },
} as const

const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources'
const WATCH = '/hashicorp.consul.serverdiscovery.ServerDiscoveryService/WatchServers'
const raw = (bytes: Buffer): Buffer => bytes
const FEATURES = { watchServers: 1, bootstrap: 3 }

/** What all servers of the datacenter know. */
export class FakeConsul {
  readonly complaints: string[] = []
  readonly calls: string[] = []
  /** Secret -> whether it counts; empty: no ACLs. */
  readonly tokens = new Set<string>()
  /** Bearer token -> the secret that its login gives. */
  readonly bearers = new Map<string, string>()
  readonly loginMeta: Record<string, string>[] = []
  readonly logouts: string[] = []
  config: Readonly<Record<string, string | boolean>> = {}
  features = [FEATURES.watchServers, FEATURES.bootstrap]
  members: readonly string[] = []
  /** Of servers of this product, from who has said who it is. */
  readonly distances = new Map<string, number>()
  /** Proxy and node of each watch. */
  readonly introductions: string[][] = []
  port = 0
  readonly servers = new Map<string, FakeServer>()

  async start(addresses: readonly string[]): Promise<void> {
    this.port = await freePort()
    this.members = addresses
    for (const address of addresses) await this.startServer(address)
  }

  async startServer(address: string): Promise<FakeServer> {
    const server = new FakeServer(this, address)
    await server.start()
    this.servers.set(address, server)
    return server
  }

  /** Who has the dataplane's stream of configuration. */
  streamed(): string[] {
    return [...this.servers.values()].filter(({ streams }) => streams.size > 0).map(({ address }) => address)
  }

  stop(): void {
    for (const server of this.servers.values()) server.stop()
  }
}

export class FakeServer {
  readonly streams = new Set<ServerDuplexStream<Buffer, Buffer>>()
  /** Token of each stream, in order. */
  readonly streamTokens: string[] = []
  private readonly watches = new Set<ServerWritableStream<Buffer, Buffer>>()
  private readonly server = new Server()

  constructor(
    private readonly consul: FakeConsul,
    readonly address: string,
  ) {
    for (const [path, known] of Object.entries(REQUESTS)) {
      this.add(path, (request, metadata) => {
        const fields = this.checked(path, request, known)
        if (!path.endsWith('/Login') && !path.endsWith('/Logout')) this.authorize(metadata)
        return this.answer(path, fields, metadata)
      })
    }
    this.server.register(
      WATCH,
      (call: ServerWritableStream<Buffer, Buffer>) => {
        if (!this.allowed(call.metadata)) return call.emit('error', refused(status.UNAUTHENTICATED, 'ACL not found'))
        this.consul.introductions.push(['outrigger-proxy-id', 'outrigger-node-name'].map(key => String(call.metadata.get(key)[0] ?? '')))
        this.watches.add(call)
        call.on('cancelled', () => this.watches.delete(call))
        call.write(this.memberList())
      },
      raw,
      raw,
      'serverStream',
    )
    this.server.register(
      ADS,
      (call: ServerDuplexStream<Buffer, Buffer>) => {
        this.streamTokens.push(String(call.metadata.get('x-consul-token')[0] ?? ''))
        if (!this.allowed(call.metadata)) return call.emit('error', refused(status.UNAUTHENTICATED, 'ACL not found'))
        this.streams.add(call)
        call.sendMetadata(call.metadata.clone())
        call.on('data', () => {})
        for (const event of ['cancelled', 'end', 'close', 'error']) call.on(event, () => this.streams.delete(call))
      },
      raw,
      raw,
      'bidi',
    )
  }

  start(): Promise<void> {
    const { address, consul } = this
    return new Promise((resolve, reject) =>
      this.server.bindAsync(`${address}:${consul.port}`, ServerCredentials.createInsecure(), error => (error ? reject(error) : resolve())),
    )
  }

  stop(): void {
    this.server.forceShutdown()
  }

  /** As a server that has more proxies than its share. */
  endStreams(code: status, details: string): void {
    for (const stream of this.streams) stream.emit('error', refused(code, details))
  }

  /** Tells those who watch the list of servers as it is now. */
  tellMembers(): void {
    for (const watch of this.watches) watch.write(this.memberList())
  }

  private memberList(): Buffer {
    return encodeWire(
      ...this.consul.members.map(address => {
        const distance = this.consul.distances.get(address)
        return [
          1,
          encodeWire([1, address], [2, address], [3, '1.21.5'], ...(distance === undefined ? [] : [[1000, distance] as const])),
        ] as const
      }),
    )
  }

  private add(path: string, serve: Unary): void {
    this.server.register(
      path,
      (call: { request: Buffer; metadata: Metadata }, done: (error: Error | null, answer?: Buffer) => void) => {
        this.consul.calls.push(`${this.address} ${path.slice(path.lastIndexOf('/') + 1)}`)
        try {
          done(null, serve(call.request, call.metadata))
        } catch (error) {
          const { code = status.INTERNAL, details = String(error) } = error as Partial<Refusal>
          done(refused(code, details))
        }
      },
      raw,
      raw,
      'unary',
    )
  }

  private checked(path: string, request: Buffer, known: Readonly<Record<number, string>>): Map<number, (number | Buffer)[]> {
    const fields = decodeWire(request)
    for (const [field, values] of fields) {
      const kind = known[field]
      const wrong =
        kind === undefined
          ? 'is in no version'
          : values.every(value => (typeof value === 'number') === (kind === 'number'))
            ? ''
            : `is no ${kind}`
      if (wrong === '') continue
      this.consul.complaints.push(`${path}: field ${field} ${wrong}`)
      throw new Refusal(status.INVALID_ARGUMENT, `field ${field} ${wrong}`)
    }
    return fields
  }

  private allowed(metadata: Metadata): boolean {
    const { tokens } = this.consul
    return tokens.size === 0 || tokens.has(String(metadata.get('x-consul-token')[0] ?? ''))
  }

  private authorize(metadata: Metadata): void {
    if (!this.allowed(metadata)) throw new Refusal(status.UNAUTHENTICATED, 'ACL not found')
  }

  private answer(path: string, fields: Map<number, (number | Buffer)[]>, metadata: Metadata): Buffer {
    const text = (field: number): string => String(fields.get(field)?.[0] ?? '')
    const { consul } = this
    switch (path.slice(path.lastIndexOf('/') + 1)) {
      case 'GetSupportedDataplaneFeatures':
        return encodeWire(...consul.features.map(feature => [1, encodeWire([1, feature], [2, 1])] as const))
      case 'GetEnvoyBootstrapParams': {
        const id = text(6) || text(3)
        if (id !== 'web-proxy') throw new Refusal(status.NOT_FOUND, 'Service not found')
        return encodeWire(
          [2, 'web'],
          [3, 'default'],
          [4, 'default'],
          [5, 'dc1'],
          [6, encodeStruct(consul.config)],
          [8, text(2)],
          [10, 'web'],
        )
      }
      case 'Login': {
        const secret = consul.bearers.get(text(2))
        if (secret === undefined || text(1) !== 'ci') throw new Refusal(status.PERMISSION_DENIED, 'Permission denied')
        consul.tokens.add(secret)
        consul.loginMeta.push(
          Object.fromEntries((fields.get(3) ?? []).map(entry => [...decodeWire(entry as Buffer).values()].map(([value]) => String(value)))),
        )
        return encodeWire([1, encodeWire([1, 'accessor'], [2, secret])])
      }
      case 'Logout':
        consul.logouts.push(text(1))
        return Buffer.alloc(0)
      default: {
        for (const key of ['x-consul-partition', 'x-consul-namespace'])
          if (metadata.get(key)[0] !== 'default') consul.complaints.push(`DNS: ${key} is ${metadata.get(key)[0]}`)
        // The question as its own answer: header flags turned to a response, the protocol in its last bits.
        const answer = Buffer.from(fields.get(1)![0] as Buffer)
        answer[2] = answer[2]! | 0x80
        return encodeWire([1, answer])
      }
    }
  }
}

function refused(code: status, details: string): Error {
  return Object.assign(new Error(details), { code, details })
}
