import { createSocket, type Socket } from 'node:dgram'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import packet from 'dns-packet'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Cluster, DnsOptions } from '../../../src/model/cluster.js'
import { type CaresResolver, DEFAULT_DNS_RESOLVER, type DnsResolverConfig } from '../../../src/model/dns-resolver.js'
import type { Endpoint } from '../../../src/model/endpoint.js'
import { DnsResolver, type DnsResult, MAX_PENDING_QUERIES, type NameResolver } from '../../../src/upstream/dns/dns-resolver.js'
import { hostnameProblem } from '../../../src/upstream/dns/hostname.js'
import { assignment, cluster, context, endpoint, histogram, locality, pool, seeded, testRegistry } from '../fixtures.js'

type Records = { a?: string[]; aaaa?: string[]; ttl?: number }

const directory = mkdtempSync(join(tmpdir(), 'dns-'))
const zone = new Map<string, Records | 'SERVFAIL'>()
let asked: string[] = []
let server: Socket
let address = ''

beforeAll(async () => {
  server = createSocket('udp4')
  server.on('message', (message, from) => {
    const query = packet.decode(message)
    const question = query.questions![0]!
    asked.push(`${question.type} ${question.name}`)
    const entry = zone.get(question.name.toLowerCase())
    const list = entry === undefined || entry === 'SERVFAIL' ? [] : ((question.type === 'A' ? entry.a : entry.aaaa) ?? [])
    const rcode = entry === undefined ? 3 : entry === 'SERVFAIL' ? 2 : 0
    const ttl = typeof entry === 'object' ? (entry.ttl ?? 30) : 0
    const answers = list.map(data => ({ type: question.type as 'A', name: question.name, ttl, data }))
    server.send(
      packet.encode({ type: 'response', id: query.id ?? 0, flags: 0x8180 | rcode, questions: query.questions ?? [], answers }),
      from.port,
      from.address,
    )
  })
  await new Promise<void>(resolve => server.bind(0, '127.0.0.1', resolve))
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => {
  server.close()
  rmSync(directory, { recursive: true, force: true })
})

beforeEach(() => {
  zone.clear()
  asked = []
})

const cares = (more: Partial<CaresResolver> = {}): CaresResolver => ({
  ...DEFAULT_DNS_RESOLVER,
  servers: [address],
  timeoutMs: 500,
  tries: 1,
  ...more,
})

const ask = (
  resolver: NameResolver,
  name: string,
  family: DnsOptions['family'] = 'V4_ONLY',
  config: DnsResolverConfig = cares(),
): Promise<DnsResult> => new Promise(resolve => resolver.resolve(name, family, config, resolve))

const offline = (more = {}) => new DnsResolver({ hostsFile: null, resolvConf: null, ...more })

describe('DnsResolver', () => {
  it('gives addresses with the smallest TTL, by family', async () => {
    zone.set('web.test', { a: ['10.0.0.1', '10.0.0.2'], aaaa: ['fd00::1'], ttl: 17 })
    zone.set('four.test', { a: ['10.0.0.4'] })
    const resolver = offline()
    const addresses = async (name: string, family: DnsOptions['family']): Promise<readonly string[] | string> => {
      const result = await ask(resolver, name, family)
      return result.ok ? result.answer.addresses : result.reason
    }
    expect(await ask(resolver, 'web.test')).toEqual({
      ok: true,
      answer: { addresses: ['10.0.0.1', '10.0.0.2'], ttlSeconds: 17, stale: false },
    })
    expect(await addresses('web.test', 'V6_ONLY')).toEqual(['fd00::1'])
    expect(await addresses('web.test', 'AUTO')).toEqual(['fd00::1'])
    expect(await addresses('web.test', 'ALL')).toEqual(['10.0.0.1', '10.0.0.2', 'fd00::1'])
    expect(await addresses('web.test', 'V4_PREFERRED')).toEqual(['10.0.0.1', '10.0.0.2'])
    expect(await addresses('four.test', 'AUTO')).toEqual(['10.0.0.4'])
    expect(await addresses('four.test', 'V6_ONLY')).toEqual([])
    resolver.close()
  })

  it('asks once for equal questions under way', async () => {
    zone.set('web.test', { a: ['10.0.0.1'] })
    const resolver = offline()
    const results = await Promise.all(Array.from({ length: 50 }, () => ask(resolver, 'WEB.test')))
    expect(results.every(result => result.ok)).toBe(true)
    expect(asked).toEqual(['A web.test'])
    resolver.close()
  })

  it('takes NXDOMAIN for an empty answer, and a failure for the last good one', async () => {
    const resolver = offline()
    expect(await ask(resolver, 'nobody.test')).toEqual({ ok: true, answer: { addresses: [], ttlSeconds: null, stale: false } })
    zone.set('web.test', 'SERVFAIL')
    expect(await ask(resolver, 'web.test')).toMatchObject({ ok: false, reason: 'ESERVFAIL' })
    zone.set('web.test', { a: ['10.0.0.1'] })
    await ask(resolver, 'web.test')
    zone.set('web.test', 'SERVFAIL')
    expect(await ask(resolver, 'web.test')).toEqual({ ok: true, answer: { addresses: ['10.0.0.1'], ttlSeconds: 30, stale: true } })
    resolver.close()
  })

  it.each([
    ['good.test\0.evil.test', '0x00'],
    ['good.test\u0000', '0x00'],
    ['a b.test', '0x20'],
    ['exämple.test', '0xe4'],
    ['a..test', 'label of 0'],
    [`${'a'.repeat(64)}.test`, 'label of 64'],
    ['', '1 to 253'],
    [`${'a.'.repeat(130)}test`, '1 to 253'],
  ])('refuses %j without asking (CVE-2026-48930)', async (name, reason) => {
    expect(hostnameProblem(name)).toContain(reason)
    const resolver = offline()
    const result = await ask(resolver, name)
    expect(result).toMatchObject({ ok: false })
    expect(asked).toEqual([])
    resolver.close()
  })

  it('knows literals, localhost and the hosts file without asking', async () => {
    const hostsFile = join(directory, 'hosts')
    writeFileSync(hostsFile, '# comment\n10.9.9.9 db.test other.test # more\nfd00::9 db.test\n')
    const resolver = offline({ hostsFile })
    const of = async (name: string, family: DnsOptions['family']) => {
      const result = await ask(resolver, name, family)
      return result.ok ? result.answer.addresses : null
    }
    expect(await of('192.0.2.1', 'V4_ONLY')).toEqual(['192.0.2.1'])
    expect(await of('[::1]', 'AUTO')).toEqual(['::1'])
    expect(await of('localhost', 'V4_ONLY')).toEqual(['127.0.0.1'])
    expect(await of('x.localhost', 'V6_ONLY')).toEqual(['::1'])
    expect(await of('DB.test', 'V4_ONLY')).toEqual(['10.9.9.9'])
    expect(await of('db.test', 'ALL')).toEqual(['10.9.9.9', 'fd00::9'])
    expect(asked).toEqual([])
    resolver.close()
  })

  it('goes through the search list by ndots', async () => {
    const resolvConf = join(directory, 'resolv.conf')
    writeFileSync(resolvConf, 'nameserver 192.0.2.1\nsearch ns.svc.test svc.test\noptions timeout:1 ndots:3\n')
    zone.set('web.svc.test', { a: ['10.0.0.7'] })
    const resolver = offline({ resolvConf })
    const result = await ask(resolver, 'web')
    expect(result).toMatchObject({ ok: true, answer: { addresses: ['10.0.0.7'] } })
    expect(asked).toEqual(['A web.ns.svc.test', 'A web.svc.test'])
    asked = []
    await ask(resolver, 'web.')
    expect(asked).toEqual(['A web'])
    resolver.close()
  })

  it('bounds the questions under way', async () => {
    const silent = createSocket('udp4')
    await new Promise<void>(resolve => silent.bind(0, '127.0.0.1', resolve))
    const nowhere = `127.0.0.1:${(silent.address() as AddressInfo).port}`
    const resolver = offline()
    const results: DnsResult[] = []
    const done = new Promise<void>(resolve => {
      for (let i = 0; i < MAX_PENDING_QUERIES + 5; i++) {
        resolver.resolve(`n${i}.test`, 'V4_ONLY', cares({ servers: [nowhere], timeoutMs: 50 }), result => {
          results.push(result)
          if (results.length === 5) resolve()
        })
      }
    })
    await done
    expect(results.slice(0, 5).every(result => !result.ok && result.reason.includes('maxPendingQueries'))).toBe(true)
    resolver.close()
    silent.close()
  })
})

describe('c-ares, configured', () => {
  /** Servers that answer each name with their own address, and remember who asked from where. */
  async function servers(count: number) {
    const ports: number[][] = Array.from({ length: count }, () => [])
    const sockets = await Promise.all(
      ports.map(async (seen, i) => {
        const socket = createSocket('udp4')
        socket.on('message', (message, from) => {
          seen.push(from.port)
          const { id = 0, questions = [] } = packet.decode(message)
          const answers = [{ type: 'A' as const, name: questions[0]!.name, ttl: 5, data: `10.0.0.${i + 1}` }]
          socket.send(packet.encode({ type: 'response', id, flags: 0x8180, questions, answers }), from.port, from.address)
        })
        await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve))
        return socket
      }),
    )
    return {
      ports,
      addresses: sockets.map(socket => `127.0.0.1:${(socket.address() as AddressInfo).port}`),
      close: () => {
        for (const socket of sockets) socket.close()
      },
    }
  }
  const addressesOf = (result: DnsResult): readonly string[] => (result.ok ? result.answer.addresses : [])

  it('rotate_nameservers: the next server first with every query', async () => {
    const { addresses, close } = await servers(3)
    const resolver = offline()
    const found = new Set<string>()
    for (let i = 0; i < 3; i++)
      found.add(addressesOf(await ask(resolver, `n${i}.test`, 'V4_ONLY', cares({ servers: addresses, rotate: true })))[0]!)
    expect([...found].sort()).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
    resolver.close()
    close()
  })

  it('each query has a socket of its own (udp_max_queries, max_udp_channel_duration)', async () => {
    const { ports, addresses, close } = await servers(1)
    const resolver = offline()
    for (let i = 0; i < 6; i++) await ask(resolver, `n${i}.test`, 'V4_ONLY', cares({ servers: addresses }))
    expect(new Set(ports[0]).size).toBe(6)
    resolver.close()
    close()
  })

  it('no_default_search_domain: the name alone', async () => {
    const resolvConf = join(directory, 'search.conf')
    writeFileSync(resolvConf, 'search svc.test\noptions ndots:2\n')
    zone.set('web.svc.test', { a: ['10.0.0.7'] })
    const resolver = offline({ resolvConf })
    expect(addressesOf(await ask(resolver, 'web'))).toEqual(['10.0.0.7'])
    expect(addressesOf(await ask(resolver, 'web', 'V4_ONLY', cares({ searchDomains: false })))).toEqual([])
    resolver.close()
  })

  it('asks by the config of the proxy where a cluster has none', async () => {
    zone.set('web.test', { a: ['10.0.0.1'] })
    const resolver = offline({ config: cares() })
    const result = await new Promise<DnsResult>(resolve => resolver.resolve('web.test', 'V4_ONLY', null, resolve))
    expect(addressesOf(result)).toEqual(['10.0.0.1'])
    resolver.close()
  })

  it('bounds the resolver configs', async () => {
    const resolver = offline()
    const results = await Promise.all(
      Array.from({ length: 65 }, (_, i) => ask(resolver, 'localhost', 'V4_ONLY', cares({ timeoutMs: 1000 + i }))),
    )
    expect(results.filter(result => !result.ok)).toEqual([{ ok: false, reason: 'more than 64 resolver configs (MAX_LOOKUPS)' }])
    resolver.close()
  })
})

describe('DNS over TCP', () => {
  /** Answers on TCP what `respond` makes of a query. */
  async function tcpServer(respond: (query: packet.DecodedPacket) => Buffer | null) {
    const server = createServer(socket => {
      socket.on('error', () => {})
      socket.on('data', data => {
        const answer = respond(packet.decode(data.subarray(2)))
        if (answer === null) return void socket.destroy()
        const length = Buffer.alloc(2)
        length.writeUInt16BE(answer.length)
        // In pieces, as a network may.
        socket.write(length.subarray(0, 1))
        setImmediate(() => socket.end(Buffer.concat([length.subarray(1), answer])))
      })
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}` }
  }
  const response = (query: packet.DecodedPacket, answers: packet.Answer[], rcode = 0, id = query.id ?? 0): Buffer =>
    packet.encode({ type: 'response', id, flags: 0x8180 | rcode, questions: query.questions ?? [], answers })

  it('follows aliases, and takes no record of another name', async () => {
    const { server, address: tcp } = await tcpServer(query =>
      response(query, [
        { type: 'CNAME', name: 'WEB.test', ttl: 9, data: 'real.test' },
        { type: 'A', name: 'real.test', ttl: 7, data: '10.0.0.1' },
        { type: 'A', name: 'other.test', ttl: 1, data: '10.6.6.6' },
      ]),
    )
    const resolver = offline()
    expect(await ask(resolver, 'web.test', 'V4_ONLY', cares({ servers: [tcp], tcp: true }))).toEqual({
      ok: true,
      answer: { addresses: ['10.0.0.1'], ttlSeconds: 7, stale: false },
    })
    resolver.close()
    server.close()
  })

  it.each([
    ['no such name', 3, undefined, []],
    ['a server failure', 2, undefined, 'ESERVFAIL'],
    ['an answer to another question', 0, 1, 'EBADRESP'],
  ])('%s', async (_, rcode, idShift, expected) => {
    const { server, address: tcp } = await tcpServer(query => response(query, [], rcode, ((query.id ?? 0) + (idShift ?? 0)) & 0xffff))
    const resolver = offline()
    const result = await ask(resolver, 'web.test', 'V4_ONLY', cares({ servers: [tcp], tcp: true }))
    expect(result.ok ? result.answer.addresses : result.reason).toEqual(expected)
    resolver.close()
    server.close()
  })

  it('asks the next server where one closes or refuses', async () => {
    const closing = await tcpServer(() => null)
    const good = await tcpServer(query => response(query, [{ type: 'A', name: 'web.test', ttl: 5, data: '10.0.0.1' }]))
    const resolver = offline()
    const servers = ['127.0.0.1:1', closing.address, good.address]
    const result = await ask(resolver, 'web.test', 'V4_ONLY', cares({ servers, tcp: true }))
    expect(result).toMatchObject({ ok: true, answer: { addresses: ['10.0.0.1'] } })
    resolver.close()
    closing.server.close()
    good.server.close()
  })
})

describe("the system's getaddrinfo", () => {
  it('gives addresses by family for 60 s, and nothing for names that are not', async () => {
    const resolver = offline()
    const config: DnsResolverConfig = { kind: 'getaddrinfo', retries: 0, threads: 4 }
    expect(await ask(resolver, 'localhost', 'V4_ONLY', config)).toEqual({
      ok: true,
      answer: { addresses: ['127.0.0.1'], ttlSeconds: 60, stale: false },
    })
    // Without a network the system may not be able to say.
    const missing = await ask(resolver, 'nobody.invalid', 'V4_ONLY', config)
    expect(missing.ok ? missing.answer.addresses : missing.reason).toEqual(missing.ok ? [] : 'EAI_AGAIN')
    resolver.close()
  })
})

/** A resolver whose answers the test gives. */
class ScriptedResolver implements NameResolver {
  waiting: { name: string; done: (result: DnsResult) => void }[] = []
  asked: string[] = []
  resolve(name: string, _family: DnsOptions['family'], _config: DnsResolverConfig | null, done: (result: DnsResult) => void): void {
    this.asked.push(name)
    this.waiting.push({ name, done })
  }
  close(): void {}
  answer(addresses: string[] | null, ttlSeconds: number | null = null, stale = false): void {
    const { done } = this.waiting.shift()!
    done(addresses === null ? { ok: false, reason: 'ETIMEOUT' } : { ok: true, answer: { addresses, ttlSeconds, stale } })
  }
}

const dnsDefaults: DnsOptions = {
  refreshMs: 5_000,
  failureRefreshBaseMs: 2_000,
  failureRefreshMaxMs: 10_000,
  respectTtl: false,
  jitterMs: 0,
  family: 'V4_ONLY',
  minRefreshMs: 0,
  resolver: null,
}

function dnsCluster(kind: 'strictDns' | 'logicalDns', endpoints: Endpoint[], more: Partial<DnsOptions> = {}): Cluster {
  return cluster('c', { discovery: { kind, assignment: assignment('c', [locality(endpoints)]), dns: { ...dnsDefaults, ...more } } })
}

describe('STRICT_DNS', () => {
  it('is warm after the first answers of all names, with every address an endpoint', () => {
    const resolver = new ScriptedResolver()
    const { registry } = testRegistry({ resolver })
    registry.apply(dnsCluster('strictDns', [endpoint('a.test', 80, { weight: 3 }), endpoint('b.test', 81)]))
    resolver.answer(['10.0.0.1', '10.0.0.2'])
    expect(registry.get('c')).toBeUndefined()
    resolver.answer(['10.0.0.3'])
    const target = registry.get('c')!
    expect(target.hosts.map(host => [host.key, host.weight, host.hostname])).toEqual([
      ['10.0.0.1:80', 3, 'a.test'],
      ['10.0.0.2:80', 3, 'a.test'],
      ['10.0.0.3:81', 1, 'b.test'],
    ])
    expect(histogram(() => target.pick(context(seeded(1))), 70).size).toBe(3)
    expect(target.stats.main.update_success.value).toBe(2)
  })

  it('asks again after the refresh rate and keeps hosts that stay', () => {
    const resolver = new ScriptedResolver()
    const { registry, clock } = testRegistry({ resolver })
    registry.apply(dnsCluster('strictDns', [endpoint('a.test', 80)]))
    resolver.answer(['10.0.0.1', '10.0.0.2'])
    const [first] = registry.get('c')!.hosts
    clock.advance(4_999)
    expect(resolver.waiting).toHaveLength(0)
    clock.advance(1)
    resolver.answer(['10.0.0.1', '10.0.0.9'])
    expect(registry.get('c')!.hosts[0]).toBe(first)
    expect(registry.get('c')!.hosts.map(host => host.key)).toEqual(['10.0.0.1:80', '10.0.0.9:80'])
    clock.advance(5_000)
    resolver.answer([])
    expect(registry.get('c')!.hosts).toEqual([])
    const { main } = registry.get('c')!.stats
    expect([main.update_success.value, main.update_no_rebuild.value]).toEqual([3, 0])
    clock.advance(5_000)
    resolver.answer([])
    expect([main.update_success.value, main.update_no_rebuild.value]).toEqual([4, 1])
  })

  it('respects the TTL where asked, but never without pause', () => {
    const resolver = new ScriptedResolver()
    const { registry, clock } = testRegistry({ resolver })
    registry.apply(dnsCluster('strictDns', [endpoint('a.test', 80)], { respectTtl: true }))
    resolver.answer(['10.0.0.1'], 60)
    clock.advance(59_999)
    expect(resolver.waiting).toHaveLength(0)
    clock.advance(1)
    resolver.answer(['10.0.0.1'], 0)
    clock.advance(4_999)
    expect(resolver.waiting).toHaveLength(0)
    clock.advance(1)
    expect(resolver.waiting).toHaveLength(1)
  })

  it('respects no TTL below dns_min_refresh_rate, and adds jitter', () => {
    const resolver = new ScriptedResolver()
    const { registry, clock } = testRegistry({ resolver, random: () => 0.5 })
    registry.apply(dnsCluster('strictDns', [endpoint('a.test', 80)], { respectTtl: true, minRefreshMs: 3_000, jitterMs: 1_000 }))
    resolver.answer(['10.0.0.1'], 1)
    clock.advance(3_499)
    expect(resolver.waiting).toHaveLength(0)
    clock.advance(1)
    expect(resolver.waiting).toHaveLength(1)
  })

  it('keeps its hosts through failures, with backoff, and starts empty when even the first try fails', () => {
    const resolver = new ScriptedResolver()
    const { registry, clock, logs } = testRegistry({ resolver, random: () => 0.999999 })
    registry.apply(dnsCluster('strictDns', [endpoint('a.test', 80)]))
    resolver.answer(null)
    expect(registry.get('c')!.hosts).toEqual([])
    expect(logs[0]).toContain('DNS resolution of a.test failed: ETIMEOUT')
    const pauses: number[] = []
    for (let i = 0; i < 4; i++) {
      let ms = 0
      while (resolver.waiting.length === 0) {
        clock.advance(100)
        ms += 100
      }
      pauses.push(ms)
      resolver.answer(null)
    }
    expect(pauses).toEqual([2_000, 4_000, 8_000, 10_000])
    clock.advance(10_000)
    resolver.answer(['10.0.0.1'])
    clock.advance(5_000)
    resolver.answer(null)
    expect(registry.get('c')!.hosts).toHaveLength(1)
    expect(registry.get('c')!.stats.main.update_failure.value).toBe(6)
  })

  it('stops asking when it is closed', () => {
    const resolver = new ScriptedResolver()
    const { registry, clock } = testRegistry({ resolver })
    registry.apply(dnsCluster('strictDns', [endpoint('a.test', 80)]))
    registry.close()
    resolver.answer(['10.0.0.1'])
    expect(clock.pending).toBe(0)
  })

  it('works with a real server', async () => {
    zone.set('web.test', { a: ['10.0.0.1', '10.0.0.2'] })
    const resolver = offline()
    const { registry } = testRegistry({ resolver })
    await new Promise<void>(resolve => {
      registry.onWarm(() => resolve())
      registry.apply(dnsCluster('strictDns', [endpoint('web.test', 80)], { resolver: cares() }))
    })
    expect(registry.get('c')!.hosts.map(host => host.key)).toEqual(['10.0.0.1:80', '10.0.0.2:80'])
    registry.close()
    resolver.close()
  })
})

describe('LOGICAL_DNS', () => {
  it('has one host that dials the first address of the newest answer; its connections stay', () => {
    const resolver = new ScriptedResolver()
    const { registry, clock } = testRegistry({ resolver })
    registry.apply(dnsCluster('logicalDns', [endpoint('a.test', 443)]))
    resolver.answer(['10.0.0.1', '10.0.0.2'])
    const target = registry.get('c')!
    const [host] = target.hosts
    let closed = 0
    host!.pools.set(
      'p',
      pool(() => closed++),
    )
    expect(target.hosts).toHaveLength(1)
    expect(host!.address).toEqual({ kind: 'socket', host: '10.0.0.1', port: 443 })
    clock.advance(5_000)
    resolver.answer(['10.0.0.7'])
    expect(target.hosts[0]).toBe(host)
    expect(host!.addressText).toBe('10.0.0.7:443')
    expect(host!.hostname).toBe('a.test')
    clock.advance(5_000)
    resolver.answer([])
    expect(target.hosts).toHaveLength(1)
    expect(host!.addressText).toBe('10.0.0.7:443')
    expect(closed).toBe(0)
  })
})
