// A DNS server over a real catalog in memory, for the tests of this folder; `ask` sends one question as a stub resolver does.
import dgram from 'node:dgram'
import net from 'node:net'
import type { DecodedPacket, RecordType } from 'dns-packet'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { parseServiceDefinition } from '../../../src/control/catalog/service-definition.js'
import { type DirectorySource, DnsDirectory } from '../../../src/control/dns/directory.js'
import { DnsAnswers, type QueryInstances } from '../../../src/control/dns/dns-answers.js'
import type { AskedRights } from '../../../src/control/dns/dns-rights.js'
import { DnsServer } from '../../../src/control/dns/dns-server.js'
import { Recursors } from '../../../src/control/dns/recursors.js'
import type { HostPort } from '../../../src/control/http-api/listen-addresses.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { decodeDnsMessage, encodeDnsMessage } from '../../../src/io/dns-message.js'
import { OWN } from '../../support/own-node.js'

export interface DnsFixture {
  readonly port: number
  readonly catalog: Catalog
  register(definition: object): Promise<void>
  ask(name: string, type: RecordType, options?: { readonly udpBytes?: number; readonly tcp?: boolean }): Promise<DecodedPacket>
  /** Sends bytes as they are by UDP; undefined when nothing comes back before an answer to a later question does. */
  send(bytes: Buffer): Promise<Buffer>
  close(): Promise<void>
}

export interface DnsFixtureOptions {
  readonly domains?: readonly string[]
  readonly recursors?: readonly HostPort[]
  readonly onlyPassing?: boolean
  readonly serviceTtlSeconds?: ReadonlyMap<string, number>
  readonly executeQuery?: (name: string, directory: DnsDirectory) => QueryInstances | undefined
  readonly virtualIp?: (service: string, peer: string | undefined) => string | undefined
  readonly peers?: DirectorySource['peers']
  readonly rights?: () => AskedRights
}

const NODE = { ...OWN, Node: 'Node-1', Address: '10.0.0.1', Meta: { rack: 'r1' } }

export async function startDns(options: DnsFixtureOptions = {}): Promise<DnsFixture> {
  const catalog = await Catalog.open(new MemoryStore(), { node: NODE, sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
  const directory = new DnsDirectory({
    catalog,
    peers: options.peers ?? { imported: () => undefined },
    onlyPassing: options.onlyPassing ?? false,
  })
  let seed = 1
  const answers = new DnsAnswers({
    directory,
    domains: options.domains ?? ['consul'],
    datacenter: 'dc1',
    nodeTtlSeconds: 0,
    serviceTtlSeconds: options.serviceTtlSeconds ?? new Map(),
    executeQuery: name => options.executeQuery?.(name, directory),
    virtualIp: (service, peer) => options.virtualIp?.(service, peer),
    now: () => 1_700_000_000_000,
    random: () => {
      seed = (seed * 48_271) % 2_147_483_647
      return seed / 2_147_483_647
    },
  })
  const problems: string[] = []
  const server = new DnsServer({
    answers,
    recursors: new Recursors(options.recursors ?? []),
    rights: options.rights ?? (() => undefined),
    onProblem: reason => problems.push(reason),
  })
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 })
  let id = 0
  const fixture: DnsFixture = {
    port,
    catalog,
    async register(definition) {
      const parsed = parseServiceDefinition(definition, { strict: true })
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
      const result = await catalog.register(parsed.value)
      if (!result.ok) throw new Error(JSON.stringify(result.errors))
    },
    async ask(name, type, { udpBytes = 1_232, tcp = false } = {}) {
      const opt = {
        type: 'OPT',
        name: '.',
        udpPayloadSize: udpBytes,
        flags: 0,
        extendedRcode: 0,
        ednsVersion: 0,
        flag_do: false,
        options: [],
      }
      const bytes = encodeDnsMessage({
        type: 'query',
        id: ++id,
        flags: 0x0100,
        questions: [{ type, name, class: 'IN' }],
        ...(udpBytes === 0 ? {} : { additionals: [opt as never] }),
      })
      const answer = decodeDnsMessage(tcp ? await askTcp(port, bytes) : await fixture.send(bytes))
      if (answer === undefined) throw new Error('not a DNS message')
      return answer
    },
    send: bytes => askUdp(port, bytes),
    close: () => server.close(),
  }
  return fixture
}

function askUdp(port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = dgram.createSocket('udp4')
    const timer = setTimeout(() => socket.emit('error', new Error('no answer within 20 s')), 20_000)
    const done = (): void => {
      clearTimeout(timer)
      socket.close()
    }
    socket.once('error', error => {
      done()
      reject(error)
    })
    socket.once('message', answer => {
      done()
      resolve(answer)
    })
    socket.send(bytes, port, '127.0.0.1')
  })
}

function askTcp(port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('error', reject)
    let received = Buffer.alloc(0)
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk])
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return
      socket.destroy()
      resolve(received.subarray(2))
    })
    const length = Buffer.alloc(2)
    length.writeUInt16BE(bytes.length)
    socket.write(Buffer.concat([length, bytes]))
  })
}
