import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readQuery } from '../../../src/control/dns/query-reader.js'
import { encodeDnsMessage } from '../../../src/io/dns-message.js'
import { FakeDns } from '../../support/fake-dns.js'
import { type DnsFixture, startDns } from './dns-fixture.js'

let dns: DnsFixture
beforeEach(async () => {
  dns = await startDns({
    serviceTtlSeconds: new Map([
      ['web', 7],
      ['ap*', 3],
    ]),
  })
  await dns.register({
    ID: 'web-1',
    Name: 'web',
    Port: 80,
    Address: '10.0.0.11',
    Tags: ['v1', 'Blue.Green'],
    Weights: { Passing: 5, Warning: 1 },
  })
  await dns.register({ ID: 'web-2', Name: 'web', Port: 81, Address: '10.0.0.12', Tags: ['v2'], Check: { TTL: '1h', Status: 'warning' } })
  await dns.register({ ID: 'web-3', Name: 'web', Port: 82, Address: '10.0.0.13', Check: { TTL: '1h', Status: 'critical' } })
  await dns.register({ Name: 'api', Port: 9000, Connect: { SidecarService: { Port: 21_000 } } })
  await dns.register({ Name: 'six', Port: 6, Address: '2001:db8::6' })
})
afterEach(() => dns.close())

const data = (answer: { answers?: readonly unknown[] }): unknown[] =>
  (answer.answers ?? []).map(record => (record as { data: unknown }).data)
const codeOf = (answer: unknown): string => (answer as { rcode: string }).rcode

describe('a service', () => {
  it('of the server itself is there, as in every catalog of Consul', async () => {
    expect(data(await dns.ask('consul.service.consul', 'A'))).toEqual(['10.0.0.1'])
    expect(data(await dns.ask('consul.service.dc1.consul', 'SRV'))).toMatchObject([{ port: 8300, target: 'Node-1.node.dc1.consul' }])
  })

  it('has the addresses of its instances that are not critical, in changing order', async () => {
    const orders = new Set<string>()
    for (let i = 0; i < 20; i++) {
      const answer = await dns.ask('web.service.consul', 'A')
      expect([...data(answer)].sort()).toEqual(['10.0.0.11', '10.0.0.12'])
      orders.add(String(data(answer)[0]))
    }
    expect(orders.size).toBe(2)
  })

  it('is found in any case, by tag, by datacenter in both forms, and with its TTL', async () => {
    for (const name of [
      'WEB.Service.CONSUL',
      'web.service.dc1.consul',
      'web.service.dc1.dc.consul',
      '_web._tcp.service.consul',
      '_web._tcp.consul',
    ])
      expect(data(await dns.ask(name, 'A')), name).toHaveLength(2)
    for (const name of ['v1.web.service.consul', 'V1.web.service.dc1.consul', 'blue.green.web.service.consul', '_web._v1.service.consul'])
      expect(data(await dns.ask(name, 'A')), name).toEqual(['10.0.0.11'])
    expect(((await dns.ask('web.service.consul', 'A')).answers![0] as { ttl: number }).ttl).toBe(7)
    expect(((await dns.ask('api.service.consul', 'A')).answers![0] as { ttl: number }).ttl).toBe(3)
    expect(((await dns.ask('six.service.consul', 'AAAA')).answers![0] as { ttl: number }).ttl).toBe(0)
  })

  it('has SRV records with weights, and the addresses of their targets beside them', async () => {
    const answer = await dns.ask('web.service.consul', 'SRV')
    const records = data(answer) as { port: number; weight: number; priority: number; target: string }[]
    expect(records.map(({ port, weight, priority, target }) => [port, weight, priority, target]).sort()).toEqual([
      [80, 5, 1, '0a00000b.addr.dc1.consul'],
      [81, 1, 1, '0a00000c.addr.dc1.consul'],
    ])
    const glue = answer.additionals!.filter(record => record.type === 'A') as { name: string; data: string }[]
    expect(glue.map(({ name, data }) => [name, data]).sort()).toEqual([
      ['0a00000b.addr.dc1.consul', '10.0.0.11'],
      ['0a00000c.addr.dc1.consul', '10.0.0.12'],
    ])
    expect(data(await dns.ask('0a00000b.addr.dc1.consul', 'A'))).toEqual(['10.0.0.11'])
    expect((data(await dns.ask('api.service.consul', 'SRV'))[0] as { target: string }).target).toBe('Node-1.node.dc1.consul')
  })

  it('is NODATA for a type that it lacks, and NXDOMAIN when nobody may answer for it', async () => {
    const nodata = await dns.ask('six.service.consul', 'A')
    expect([codeOf(nodata), nodata.answers, nodata.authorities?.[0]?.type]).toEqual(['NOERROR', [], 'SOA'])
    for (const name of [
      'nope.service.consul',
      'v9.web.service.consul',
      'web.service.dc2.consul',
      'web.service.east.peer.consul',
      'web.ingress.consul',
      'web.virtual.consul',
      'service.consul',
      'x.y.consul',
      'web.consul',
    ]) {
      const answer = await dns.ask(name, 'A')
      expect([codeOf(answer), answer.authorities?.[0]?.type], name).toEqual(['NXDOMAIN', 'SOA'])
    }
  })

  it('is followed through the catalog: an answer is never older than the last change', async () => {
    expect(codeOf(await dns.ask('late.service.consul', 'A'))).toBe('NXDOMAIN')
    await dns.register({ Name: 'late', Port: 1, Address: '10.9.9.9' })
    expect(data(await dns.ask('late.service.consul', 'A'))).toEqual(['10.9.9.9'])
    await dns.catalog.setCheckStatus('service:web-2', 'critical', '')
    expect(data(await dns.ask('web.service.consul', 'A'))).toEqual(['10.0.0.11'])
    await dns.catalog.deregister('late')
    expect(codeOf(await dns.ask('late.service.consul', 'A'))).toBe('NXDOMAIN')
  })

  it('is reached through its sidecars under .connect', async () => {
    const answer = await dns.ask('api.connect.consul', 'SRV')
    expect((data(answer)[0] as { port: number }).port).toBe(21_000)
  })

  it('leaves warning instances out where only passing ones may answer', async () => {
    await dns.close()
    dns = await startDns({ onlyPassing: true })
    await dns.register({ Name: 'web', Port: 81, Address: '10.0.0.12', Check: { TTL: '1h', Status: 'warning' } })
    expect(codeOf(await dns.ask('web.service.consul', 'A'))).toBe('NXDOMAIN')
  })
})

describe('other names', () => {
  it('answers for nodes, with their metadata as text', async () => {
    const answer = await dns.ask('node-1.node.consul', 'A')
    expect(data(answer)).toEqual(['10.0.0.1'])
    expect(answer.additionals!.find(record => record.type === 'TXT')).toMatchObject({ data: [Buffer.from('rack=r1')] })
    expect(data(await dns.ask('node-1.node.dc1.consul', 'TXT'))).toEqual([[Buffer.from('rack=r1')]])
    expect(codeOf(await dns.ask('node-2.node.consul', 'A'))).toBe('NXDOMAIN')
  })

  it('is the authority of its domain: SOA and NS with glue', async () => {
    const soa = await dns.ask('consul', 'SOA')
    expect(data(soa)[0]).toMatchObject({ mname: 'ns.consul', rname: 'hostmaster.consul', refresh: 3600, retry: 600, expire: 86_400 })
    expect(soa.flag_aa).toBe(true)
    const ns = await dns.ask('consul', 'NS')
    expect(data(ns)).toEqual(['Node-1.node.dc1.consul'])
    expect(ns.additionals!.find(record => record.type === 'A')).toMatchObject({ name: 'Node-1.node.dc1.consul', data: '10.0.0.1' })
    expect(data(await dns.ask('ns.consul', 'A'))).toEqual(['10.0.0.1'])
  })

  it('names what is at an address', async () => {
    expect(data(await dns.ask('1.0.0.10.in-addr.arpa', 'PTR'))).toEqual(['Node-1.node.dc1.consul'])
    expect(data(await dns.ask('11.0.0.10.in-addr.arpa', 'PTR'))).toEqual(['web.service.consul'])
    const six = [...'20010db8000000000000000000000006'].reverse().join('.')
    expect(data(await dns.ask(`${six}.ip6.arpa`, 'PTR'))).toEqual(['six.service.consul'])
    expect(codeOf(await dns.ask('9.9.9.9.in-addr.arpa', 'PTR'))).toBe('NXDOMAIN')
  })

  it('answers in the other domain with names of that domain', async () => {
    await dns.close()
    dns = await startDns({ domains: ['consul', 'mesh.example'] })
    await dns.register({ Name: 'web', Port: 80, Address: '10.0.0.11' })
    expect((data(await dns.ask('web.service.mesh.example', 'SRV'))[0] as { target: string }).target).toBe('0a00000b.addr.dc1.mesh.example')
  })

  it('answers for prepared queries and virtual addresses', async () => {
    await dns.close()
    dns = await startDns({
      executeQuery: (name, directory) =>
        name === 'near.web' ? { instances: directory.instances('service', 'web', '')!, ttlSeconds: 11 } : undefined,
      virtualIp: service => (service === 'web' ? '240.0.0.1' : undefined),
    })
    await dns.register({ Name: 'web', Port: 80, Address: '10.0.0.11' })
    expect((await dns.ask('near.web.query.consul', 'A')).answers![0]).toMatchObject({ data: '10.0.0.11', ttl: 11 })
    expect(data(await dns.ask('web.virtual.consul', 'A'))).toEqual(['240.0.0.1'])
    expect(codeOf(await dns.ask('other.query.consul', 'A'))).toBe('NXDOMAIN')
  })
})

describe('services of peers', () => {
  const instance = (id: string, address: string, status: 'passing' | 'critical') => ({
    id,
    kind: '',
    name: 'api',
    tags: ['v1'],
    meta: {},
    address,
    port: 9000,
    weights: { Passing: 3, Warning: 1 },
    status,
    node: { id: '', name: 'far', address: '192.0.2.1' },
  })
  const api = {
    name: 'api',
    peer: 'east',
    protocol: 'http',
    sni: 'x',
    spiffeIds: [],
    hash: '',
    CreateIndex: 1,
    ModifyIndex: 1,
    instances: [instance('a', '192.0.2.7', 'passing'), instance('b', '192.0.2.8', 'critical')],
    ways: [{ ...instance('g', '192.0.2.9', 'passing'), port: 443 }],
  }

  it('are answered by the name of the peer, without those that are critical', async () => {
    await dns.close()
    dns = await startDns({
      peers: { imported: (peer, service) => (peer === 'east' && service === 'api' ? api : undefined) },
      virtualIp: (service, peer) => (service === 'api' && peer === 'east' ? '240.0.0.9' : undefined),
    })
    expect(data(await dns.ask('api.service.east.peer.consul', 'A'))).toEqual(['192.0.2.7'])
    expect(data(await dns.ask('api.service.east.consul', 'A'))).toEqual(['192.0.2.7'])
    expect(data(await dns.ask('api.service.east.peer.consul', 'SRV'))).toMatchObject([
      { port: 9000, weight: 3, target: 'c0000207.addr.dc1.consul' },
    ])
    expect(data(await dns.ask('api.connect.east.peer.consul', 'A'))).toEqual(['192.0.2.9'])
    expect(data(await dns.ask('api.virtual.east.peer.consul', 'A'))).toEqual(['240.0.0.9'])
    for (const name of ['api.service.consul', 'api.service.west.peer.consul', 'v2.api.service.east.peer.consul', 'api.virtual.consul'])
      expect(codeOf(await dns.ask(name, 'A')), name).toMatch(/NXDOMAIN/)
  })
})

describe('sizes', () => {
  beforeEach(async () => {
    for (let i = 0; i < 100; i++) await dns.register({ ID: `big-${i}`, Name: 'big', Port: 1, Address: `10.1.0.${i}` })
  })

  it('gives three addresses to who has no EDNS, and as many as fit to who has; all of them by TCP', async () => {
    const plain = await dns.ask('big.service.consul', 'A', { udpBytes: 0 })
    expect([plain.answers!.length, plain.flag_tc]).toEqual([3, false])
    const edns = await dns.ask('big.service.consul', 'A', { udpBytes: 1_232 })
    // 12 of head, 24 of question, 11 of OPT, 16 an answer.
    expect([edns.answers!.length, edns.flag_tc]).toEqual([74, true])
    const large = await dns.ask('big.service.consul', 'A', { udpBytes: 4_096 })
    expect([large.answers!.length, large.flag_tc]).toEqual([100, false])
    const tcp = await dns.ask('big.service.consul', 'A', { udpBytes: 0, tcp: true })
    expect([tcp.answers!.length, tcp.flag_tc]).toEqual([100, false])
  })

  it('never sends more than it was asked for, whatever the type', async () => {
    for (const type of ['A', 'SRV', 'ANY'] as const)
      for (const udpBytes of [0, 512, 700, 1_232]) {
        const bytes = await dns.send(
          encodeDnsMessage({
            type: 'query',
            id: 1,
            questions: [{ type: type as 'A', name: 'big.service.consul' }],
            ...(udpBytes === 0
              ? {}
              : { additionals: [{ type: 'OPT', name: '.', udpPayloadSize: udpBytes, flags: 0, options: [] } as never] }),
          }),
        )
        expect(bytes.length, `${type} ${udpBytes}`).toBeLessThanOrEqual(Math.max(udpBytes, 512))
      }
  })
})

describe('recursors', () => {
  let outside: FakeDns
  beforeEach(async () => {
    outside = await new FakeDns().listen()
    outside.names.set('www.example.com', { a: ['192.0.2.1'] })
    await dns.close()
    dns = await startDns({
      recursors: [
        { host: '127.0.0.1', port: 1 },
        { host: '127.0.0.1', port: outside.port },
      ],
    })
  })
  afterEach(() => outside.close())

  it('are asked for foreign names, in order, and say so in the flags', async () => {
    const answer = await dns.ask('www.example.com', 'A')
    expect(data(answer)).toEqual(['192.0.2.1'])
    expect(answer.flag_ra).toBe(true)
    expect(answer.id).toBeGreaterThan(0)
  })

  it('give the addresses of an instance that is registered with a host name', async () => {
    await dns.register({ Name: 'ext', Port: 443, Address: 'www.example.com' })
    const answer = await dns.ask('ext.service.consul', 'A')
    expect(data(answer)).toEqual(['www.example.com', '192.0.2.1'])
    expect((data(await dns.ask('ext.service.consul', 'SRV'))[0] as { target: string }).target).toBe('www.example.com')
  })

  it('are not there: foreign names are refused', async () => {
    await dns.close()
    dns = await startDns()
    expect(codeOf(await dns.ask('www.example.com', 'A'))).toBe('REFUSED')
  })
})

describe('bad input', () => {
  const query = encodeDnsMessage({ type: 'query', id: 7, questions: [{ type: 'A', name: 'web.service.consul' }] })

  it('is answered with its code, and a response with silence', async () => {
    const changed = (at: number, value: number): Buffer => {
      const bytes = Buffer.from(query)
      bytes.writeUInt16BE(value, at)
      return bytes
    }
    const rcode = async (bytes: Buffer): Promise<number> => (await dns.send(bytes)).readUInt16BE(2) & 0x0f
    expect(await rcode(changed(2, 0x2800))).toBe(4)
    expect(await rcode(changed(4, 2))).toBe(1)
    expect(await rcode(query.subarray(0, 20))).toBe(1)
    expect(readQuery(changed(2, 0x8000))).toBeUndefined()
    expect(readQuery(Buffer.alloc(5))).toBeUndefined()
  })

  it('never throws, and whatever is understood is answered', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(query.length), (noise, cut) => {
        readQuery(Buffer.concat([query.subarray(0, cut), Buffer.from(noise)]))
      }),
      { numRuns: 2_000 },
    )
  })

  it('by TCP: a stump waits, many questions in one packet are all answered', async () => {
    const socket = net.connect(dns.port, '127.0.0.1')
    const framed = Buffer.concat([Buffer.from([0, query.length]), query])
    socket.write(Buffer.concat([framed, framed, framed, framed.subarray(0, 5)]))
    let received = Buffer.alloc(0)
    while (count(received) < 3) received = Buffer.concat([received, (await once(socket, 'data'))[0] as Buffer])
    socket.write(framed.subarray(5))
    while (count(received) < 4) received = Buffer.concat([received, (await once(socket, 'data'))[0] as Buffer])
    socket.destroy()
  })
})

function count(received: Buffer): number {
  let at = 0
  let messages = 0
  while (at + 2 <= received.length && at + 2 + received.readUInt16BE(at) <= received.length) {
    at += 2 + received.readUInt16BE(at)
    messages++
  }
  return messages
}

const hasDig = spawnSync('dig', ['-v']).status === 0
describe.skipIf(!hasDig)('dig', () => {
  const dig = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)('dig', ['@127.0.0.1', '-p', String(dns.port), '+tries=1', '+time=20', ...args])).stdout

  it('reads our answers without a word of complaint, and comes again by TCP for what did not fit', async () => {
    for (let i = 0; i < 100; i++) await dns.register({ ID: `big-${i}`, Name: 'big', Port: 1, Address: `10.1.0.${i}` })
    for (const question of [
      ['web.service.consul'],
      ['web.service.consul', 'SRV'],
      ['web.service.consul', 'ANY', '+notcp'],
      ['six.service.consul', 'AAAA'],
      ['consul', 'SOA'],
      ['consul', 'NS'],
      ['-x', '10.0.0.11'],
      ['node-1.node.consul', 'TXT'],
    ]) {
      const text = await dig(...question)
      expect(text).toContain('status: NOERROR')
      expect(text).not.toMatch(/WARNING: (?!recursion)|malformed|extra bytes/i)
    }
    const big = await dig('big.service.consul')
    expect(big).toContain('Truncated, retrying in TCP mode')
    expect(big).toContain('ANSWER: 100')
    expect((await dig('+short', 'web.service.consul', 'SRV')).trim().split('\n').sort()).toEqual([
      '1 1 81 0a00000c.addr.dc1.consul.',
      '1 5 80 0a00000b.addr.dc1.consul.',
    ])
    expect(await dig('+edns=1', '+noednsneg', 'web.service.consul')).toContain('BADVERS')
    expect(await dig('example.com')).toContain('status: REFUSED')
  })
})

describe('where ACLs are on', () => {
  it('answers with what the asking token may see, and with nothing for a token that is none', async () => {
    const seen = new Set<string>()
    let refused = false
    const rights = { may: (resource: string, name: string): boolean => seen.has(`${resource} ${name}`) }
    const dns = await startDns({ rights: () => (refused ? 'refused' : rights) })
    try {
      await dns.register({ Name: 'Web', Port: 80, Address: '10.0.0.9' })
      const code = async (name: string, type: 'A' | 'PTR' = 'A'): Promise<unknown> => {
        const answer = await dns.ask(name, type)
        return [codeOf(answer), answer.answers?.length]
      }
      expect(await code('web.service.consul')).toEqual(['NXDOMAIN', 0])
      seen.add('service Web')
      expect(await code('web.service.consul')).toEqual(['NXDOMAIN', 0])
      expect(await code('node-1.node.consul')).toEqual(['NXDOMAIN', 0])
      seen.add('node Node-1')
      expect(await code('web.service.consul')).toEqual(['NOERROR', 1])
      expect(await code('node-1.node.consul')).toEqual(['NOERROR', 1])
      expect(await code('9.0.0.10.in-addr.arpa', 'PTR')).toEqual(['NOERROR', 1])
      seen.delete('service Web')
      expect(await code('web.service.consul')).toEqual(['NXDOMAIN', 0])
      expect(await code('9.0.0.10.in-addr.arpa', 'PTR')).toEqual(['NXDOMAIN', 0])
      refused = true
      expect(await code('web.service.consul')).toEqual(['REFUSED', 0])
    } finally {
      await dns.close()
    }
  })
})

describe('a node that was registered with the catalog', () => {
  it('has a name, and is where its services without an address are', async () => {
    await dns.catalog.change(draft => {
      draft.setNode({ ID: '', Node: 'Rack-7', Address: '192.0.2.10', TaggedAddresses: null, Meta: { row: '3' } })
      draft.setNode({ ID: '', Node: 'cloud', Address: 'db.example.com', TaggedAddresses: null, Meta: null })
      for (const [node, port] of [
        ['rack-7', 5432],
        ['cloud', 5433],
      ] as const)
        draft.setInstance(node, { ...dns.catalog.instance('api')!, ID: 'db', Service: 'db', Port: port })
    })
    expect(data(await dns.ask('rack-7.node.consul', 'A'))).toEqual(['192.0.2.10'])
    expect(data(await dns.ask('RACK-7.node.dc1.consul', 'TXT'))).toEqual([[Buffer.from('row=3')]])
    expect(data(await dns.ask('10.2.0.192.in-addr.arpa', 'PTR'))).toEqual(['Rack-7.node.dc1.consul'])
    const srv = data(await dns.ask('db.service.consul', 'SRV')) as { target: string; port: number }[]
    expect(srv.map(({ target, port }) => `${target}:${port}`).sort()).toEqual(['Rack-7.node.dc1.consul:5432', 'db.example.com:5433'])
    await dns.catalog.change(draft => draft.deleteNode('RACK-7'))
    expect(codeOf(await dns.ask('rack-7.node.consul', 'A'))).toBe('NXDOMAIN')
    expect(data(await dns.ask('db.service.consul', 'SRV'))).toHaveLength(1)
  })
})
