import { createSocket, type Socket } from 'node:dgram'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import packet from 'dns-packet'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Cluster, DnsOptions } from '../../../src/model/cluster.js'
import type { Endpoint } from '../../../src/model/endpoint.js'
import {
  DnsResolver,
  type DnsResult,
  hostnameProblem,
  MAX_PENDING_QUERIES,
  type NameResolver,
} from '../../../src/upstream/dns/dns-resolver.js'
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

const ask = (resolver: NameResolver, name: string, family: DnsOptions['family'] = 'V4_ONLY'): Promise<DnsResult> =>
  new Promise(resolve => resolver.resolve(name, family, [address], resolve))

const offline = (more = {}) => new DnsResolver({ hostsFile: null, resolvConf: null, timeoutMs: 500, tries: 1, ...more })

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
    const resolver = offline({ timeoutMs: 50 })
    const results: DnsResult[] = []
    const done = new Promise<void>(resolve => {
      for (let i = 0; i < MAX_PENDING_QUERIES + 5; i++) {
        resolver.resolve(`n${i}.test`, 'V4_ONLY', [nowhere], result => {
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

/** A resolver whose answers the test gives. */
class ScriptedResolver implements NameResolver {
  waiting: { name: string; done: (result: DnsResult) => void }[] = []
  asked: string[] = []
  resolve(name: string, _family: DnsOptions['family'], _servers: readonly string[], done: (result: DnsResult) => void): void {
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
  resolvers: [],
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
      registry.apply(dnsCluster('strictDns', [endpoint('web.test', 80)], { resolvers: [address] }))
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
