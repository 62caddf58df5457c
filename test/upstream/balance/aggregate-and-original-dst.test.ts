import { describe, expect, it } from 'vitest'
import type { Cluster } from '../../../src/model/cluster.js'
import { MAX_AGGREGATE_MEMBERS } from '../../../src/upstream/balance/aggregate-load-balancer.js'
import { MAX_ORIGINAL_DST_HOSTS, parseIpPort } from '../../../src/upstream/balance/original-dst-load-balancer.js'
import { HealthFlag } from '../../../src/upstream/host/host.js'
import {
  assignment,
  cluster,
  context,
  endpoint,
  histogram,
  locality,
  manyEndpoints,
  pool,
  seeded,
  staticCluster,
  testRegistry,
} from '../fixtures.js'

const aggregate = (name: string, clusters: string[], more: Partial<Cluster> = {}): Cluster =>
  cluster(name, { discovery: { kind: 'aggregate', clusters }, lbPolicy: { kind: 'clusterProvided' }, healthyPanicPercent: 0, ...more })

describe('aggregate cluster', () => {
  const make = () => {
    const test = testRegistry()
    const { registry } = test
    registry.apply(staticCluster('one', [locality([endpoint('10.1.0.1', 80), endpoint('10.1.0.2', 80)])], { healthyPanicPercent: 0 }))
    registry.apply(
      staticCluster('two', [locality([endpoint('10.2.0.1', 80)]), locality([endpoint('10.3.0.1', 80)], { priority: 1 })], {
        healthyPanicPercent: 0,
      }),
    )
    registry.apply(aggregate('all', ['one', 'two']))
    const roll = seeded(1)
    const pick = () => histogram(() => registry.get('all')!.pick(context(roll)), 1_000)
    const fail = (key: string): void => {
      for (const cluster of registry.clusters()) {
        const host = cluster.host(key)
        if (host !== undefined) cluster.setHealth(host, HealthFlag.FAILED_OUTLIER_CHECK, 0)
      }
    }
    return { ...test, pick, fail }
  }

  it("goes through the children's priorities in order as hosts fail", () => {
    const { registry, pick, fail } = make()
    expect([...pick().keys()].sort()).toEqual(['10.1.0.1:80', '10.1.0.2:80'])
    fail('10.1.0.1:80')
    const spilled = pick()
    // Half of the first level at 140 %: 70 % stay.
    expect(spilled.get('10.1.0.2:80')! / 1_000).toBeCloseTo(0.7, 1)
    expect(spilled.get('10.2.0.1:80')! / 1_000).toBeCloseTo(0.3, 1)
    fail('10.1.0.2:80')
    expect(pick()).toEqual(new Map([['10.2.0.1:80', 1_000]]))
    fail('10.2.0.1:80')
    expect(pick()).toEqual(new Map([['10.3.0.1:80', 1_000]]))
    fail('10.3.0.1:80')
    expect(pick()).toEqual(new Map([['none', 1_000]]))
    expect(registry.get('all')!.hostSets).toHaveLength(3)
  })

  it('picks right when somebody looked at its host sets between a failure and the pick', () => {
    const { registry, pick, fail } = make()
    pick()
    fail('10.1.0.1:80')
    fail('10.1.0.2:80')
    expect(registry.get('all')!.hostSetVersion).toBeGreaterThan(1)
    expect(registry.get('all')!.hostSets[0]!.healthy).toEqual([])
    expect(pick()).toEqual(new Map([['10.2.0.1:80', 1_000]]))
  })

  it('gives hosts of the child: its breakers and stats apply', () => {
    const { registry } = make()
    const host = registry.get('all')!.pick(context(seeded(1)))!
    expect(host.cluster).toBe(registry.get('one'))
    expect(registry.get('all')!.priorityOf(host)).toBe(0)
    expect(registry.get('all')!.priorityOf(registry.get('two')!.host('10.3.0.1:80')!)).toBe(2)
  })

  it('is warm only when its children are, and the old version serves until then (consul#10379)', () => {
    const { registry, clock } = testRegistry()
    registry.apply(staticCluster('web', [locality([endpoint('10.0.0.1', 80)])]))
    const old = registry.get('web')
    // Consul turns a target into an aggregate when a failover is written; its children come with no endpoints yet.
    registry.apply(aggregate('web', ['failover-target~0~web', 'failover-target~1~web']))
    registry.apply(cluster('failover-target~0~web'))
    registry.apply(cluster('failover-target~1~web'))
    expect(registry.get('web')).toBe(old)
    registry.applyAssignment(assignment('failover-target~0~web', [locality([endpoint('10.0.0.1', 80)])]))
    expect(registry.get('web')).toBe(old)
    registry.applyAssignment(assignment('failover-target~1~web', []))
    expect(registry.get('web')).not.toBe(old)
    expect(registry.get('web')!.pick(context(seeded(1)))!.key).toBe('10.0.0.1:80')
    const replaced = registry.get('web')
    registry.apply(aggregate('web', ['never-comes']))
    expect([registry.get('web'), registry.warmingCount, registry.awaitedCount]).toEqual([replaced, 1, 0])
    clock.advance(15_000)
    expect(registry.get('web')!.pick(context(seeded(1)))).toBeNull()
  })

  it('that replaces nothing does not wait for children that are not there, and takes them when they come', () => {
    const { registry } = testRegistry()
    registry.apply(aggregate('lonely', ['comes-late']))
    expect(registry.get('lonely')!.pick(context(seeded(1)))).toBeNull()
    expect(registry.warmingCount).toBe(0)
    registry.apply(staticCluster('comes-late', [locality([endpoint('10.0.0.1', 80)])]))
    expect(registry.get('lonely')!.pick(context(seeded(1)))!.key).toBe('10.0.0.1:80')
  })

  describe.each([
    ['itself', { a: ['a'] }],
    ['each other', { a: ['b'], b: ['a'] }],
    ['each other through a third', { a: ['b'], b: ['c'], c: ['a'] }],
    ['each other, twice', { a: ['b', 'b', 'a'], b: ['a', 'a'] }],
  ] as [string, Record<string, string[]>][])('aggregates that contain %s', (_name, config) => {
    it('are warm at once, and find no host', () => {
      const { registry } = testRegistry()
      for (const [name, children] of Object.entries(config)) registry.apply(aggregate(name, children))
      expect([registry.warmingCount, registry.awaitedCount]).toEqual([0, 0])
      for (const name of Object.keys(config)) expect(registry.get(name)!.pick(context(seeded(1)))).toBeNull()
    })

    it('wait for the children that are no part of the cycle, in whatever order they come, and find their hosts', () => {
      for (const childFirst of [true, false]) {
        const { registry } = testRegistry()
        if (childFirst) registry.apply(cluster('leaf'))
        for (const [name, children] of Object.entries(config)) registry.apply(aggregate(name, [...children, 'leaf']))
        if (!childFirst) registry.apply(cluster('leaf'))
        if (childFirst) expect(registry.get('a')).toBeUndefined()
        registry.applyAssignment(assignment('leaf', [locality([endpoint('10.0.0.1', 80)])]))
        expect(registry.warmingCount).toBe(0)
        for (const name of Object.keys(config)) expect(registry.get(name)!.pick(context(seeded(1)))!.key).toBe('10.0.0.1:80')
      }
    })
  })

  it('comes upon so many clusters and no more, however deep and wide aggregates nest', () => {
    const { registry } = testRegistry()
    registry.apply(staticCluster('leaf', [locality([endpoint('10.0.0.1', 80)])]))
    const chain = MAX_AGGREGATE_MEMBERS + 1
    for (let i = 0; i < chain; i++) registry.apply(aggregate(`n${i}`, [i === 0 ? 'leaf' : `n${i - 1}`]))
    expect(registry.get(`n${MAX_AGGREGATE_MEMBERS - 1}`)!.pick(context(seeded(1)))!.key).toBe('10.0.0.1:80')
    expect(registry.get(`n${MAX_AGGREGATE_MEMBERS}`)!.pick(context(seeded(1)))).toBeNull()
    for (let i = 0; i < 40; i++) registry.apply(aggregate(`d${i}`, i === 0 ? ['leaf', 'leaf'] : [`d${i - 1}`, `d${i - 1}`]))
    expect(registry.get('d39')!.hostSets.length).toBeLessThan(MAX_AGGREGATE_MEMBERS)
    expect(registry.get('d39')!.pick(context(seeded(1)))!.key).toBe('10.0.0.1:80')
  })

  it('follows an aggregate within it that is replaced, and knows the priority of its hosts', () => {
    const { registry } = testRegistry()
    registry.apply(staticCluster('one', [locality([endpoint('10.1.0.1', 80)])]))
    registry.apply(staticCluster('two', [locality([endpoint('10.2.0.1', 80)])]))
    registry.apply(aggregate('inner', ['one', 'two']))
    registry.apply(aggregate('outer', ['inner']))
    const outer = registry.get('outer')!
    expect(outer.pick(context(seeded(1)))!.key).toBe('10.1.0.1:80')
    expect(outer.priorityOf(registry.get('two')!.hosts[0]!)).toBe(1)
    registry.apply(aggregate('inner', ['two']))
    expect(outer.pick(context(seeded(1)))!.key).toBe('10.2.0.1:80')
    expect(outer.priorityOf(registry.get('two')!.hosts[0]!)).toBe(0)
  })

  it('follows a child that is replaced', () => {
    const { registry, pick } = make()
    pick()
    registry.apply(staticCluster('one', [locality([endpoint('10.7.0.1', 80)])], { healthyPanicPercent: 0 }))
    expect(pick()).toEqual(new Map([['10.7.0.1:80', 1_000]]))
  })
})

describe('original destination cluster', () => {
  const originalDst = (portOverride: number | null = null): Cluster =>
    cluster('orig', {
      discovery: { kind: 'originalDst', useHttpHeader: true, httpHeaderName: '', portOverride, cleanupIntervalMs: 5_000 },
      lbPolicy: { kind: 'clusterProvided' },
    })

  it('makes a host for the address of the request and finds it again', () => {
    const { registry } = testRegistry()
    registry.apply(originalDst())
    const target = registry.get('orig')!
    const pick = (originalDst: string | null) => target.pick(context(seeded(1), { originalDst }))
    const host = pick('10.1.2.3:8080')!
    expect(host.address).toEqual({ kind: 'socket', host: '10.1.2.3', port: 8080 })
    expect(pick('10.1.2.3:8080')).toBe(host)
    expect(pick('[fd00::1]:443')!.key).toBe('[fd00::1]:443')
    expect(pick(null)).toBeNull()
    expect(target.hosts).toHaveLength(2)
    for (const bad of [
      'name.example:80',
      '10.1.2.3',
      '10.1.2.3:',
      '10.1.2.3:99999',
      ':80',
      '[10.1.2.3]:80',
      'fd00::1:80',
      '10.1.2.3:80\0',
    ]) {
      expect(pick(bad), bad).toBeNull()
    }
    expect(target.stats.main.original_dst_host_invalid.value).toBe(8)
  })

  it('overrides the port', () => {
    const { registry } = testRegistry()
    registry.apply(originalDst(15_001))
    expect(registry.get('orig')!.pick(context(seeded(1), { originalDst: '10.1.2.3:80' }))!.key).toBe('10.1.2.3:15001')
  })

  it('drops hosts that nobody used between two sweeps, and closes their pools', () => {
    const { registry, clock } = testRegistry()
    registry.apply(originalDst())
    const target = registry.get('orig')!
    const pick = (originalDst: string) => target.pick(context(seeded(1), { originalDst }))!
    const idle = pick('10.0.0.1:80')
    const busy = pick('10.0.0.2:80')
    busy.activeConnections = 1
    const closed: boolean[] = []
    idle.pools.set(
      'p',
      pool(graceful => closed.push(graceful)),
    )
    clock.advance(5_000)
    expect(target.hosts).toHaveLength(2)
    clock.advance(5_000)
    expect(target.hosts).toEqual([busy])
    expect(closed).toEqual([true])
    expect(pick('10.0.0.1:80')).not.toBe(idle)
  })

  it('is bounded: idle hosts make room, busy ones do not', () => {
    const { registry } = testRegistry()
    registry.apply(originalDst())
    const target = registry.get('orig')!
    const pick = (i: number) => target.pick(context(seeded(1), { originalDst: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}:80` }))
    for (let i = 0; i < MAX_ORIGINAL_DST_HOSTS; i++) pick(i)
    expect(pick(20_000)).not.toBeNull()
    expect(target.hosts.length).toBeLessThanOrEqual(MAX_ORIGINAL_DST_HOSTS)
    for (let i = 0; target.hosts.length < MAX_ORIGINAL_DST_HOSTS; i++) pick(i)
    for (const host of target.hosts) host.activeConnections = 1
    expect(pick(30_000)).toBeNull()
    expect(target.hosts).toHaveLength(MAX_ORIGINAL_DST_HOSTS)
  })

  it('parses addresses strictly', () => {
    expect(parseIpPort('1.2.3.4:80')).toEqual({ host: '1.2.3.4', port: 80 })
    expect(parseIpPort('[::1]:0')).toEqual({ host: '::1', port: 0 })
    expect(parseIpPort('1.2.3.4:-1')).toBeNull()
    expect(parseIpPort('1.2.3.4:8e1')).toBeNull()
  })
})

describe('host table at 10,000 endpoints', () => {
  it('keeps every host that stays, whatever the order', () => {
    const { registry } = testRegistry()
    registry.apply(cluster('c'))
    const list = manyEndpoints(10_000)
    registry.applyAssignment(assignment('c', [locality(list)]))
    const target = registry.get('c')!
    const before = new Map(target.hosts.map(host => [host.key, host]))
    const roll = seeded(9)
    const shuffled = list
      .map(each => ({ each: { ...each }, at: roll() }))
      .sort((a, b) => a.at - b.at)
      .map(({ each }) => each)
    registry.applyAssignment(assignment('c', [locality([...shuffled.slice(5), ...shuffled.slice(0, 2), endpoint('10.99.0.1', 80)])]))
    expect(target.hosts).toHaveLength(9_998)
    expect(target.hosts.filter(host => before.get(host.key) !== host).map(host => host.key)).toEqual(['10.99.0.1:80'])
    expect(new Set(target.hosts.map(host => host.slot)).size).toBe(9_998)
    expect(target.hosts.every((host, i) => host.position === i)).toBe(true)
    expect(target.stats.main.membership_change.value).toBe(2)
    expect(target.stats.main.membership_total.value).toBe(9_998)
  })

  it('takes an address named twice for one host', () => {
    const { registry } = testRegistry()
    registry.apply(cluster('c'))
    registry.applyAssignment(assignment('c', [locality([...manyEndpoints(3), ...manyEndpoints(2)])]))
    expect(registry.get('c')!.hosts).toHaveLength(3)
    registry.applyAssignment(assignment('c', [locality([...manyEndpoints(2), ...manyEndpoints(3), ...manyEndpoints(3)])]))
    expect(registry.get('c')!.hosts).toHaveLength(3)
  })
})
