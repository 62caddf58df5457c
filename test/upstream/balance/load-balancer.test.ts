import { describe, expect, it } from 'vitest'
import type { Cluster, LbPolicy } from '../../../src/model/cluster.js'
import type { Endpoint } from '../../../src/model/endpoint.js'
import type { UpstreamCluster } from '../../../src/upstream/cluster/cluster.js'
import { xxHash64 } from '../../../src/upstream/hash/xx-hash.js'
import { HealthFlag } from '../../../src/upstream/host/host.js'
import {
  assignment,
  chiSquare,
  chiSquareLimit,
  cluster,
  context,
  endpoint,
  histogram,
  leastRequest,
  locality,
  maglev,
  manyEndpoints,
  ringHash,
  roundRobin,
  seeded,
  staticCluster,
  type TestRegistry,
  testRegistry,
} from '../fixtures.js'

const random: LbPolicy = { kind: 'random' }
const fullScan = { ...leastRequest, fullScan: true } as LbPolicy
const every: [string, LbPolicy][] = [
  ['round robin', roundRobin],
  ['least request', leastRequest],
  ['least request, full scan', fullScan],
  ['random', random],
  ['ring hash', ringHash],
  ['maglev', maglev],
]

function make(endpoints: Endpoint[], more: Partial<Cluster> = {}): UpstreamCluster & { test: TestRegistry } {
  const test = testRegistry()
  test.registry.apply(staticCluster('c', [locality(endpoints)], more))
  test.settle()
  return Object.assign(test.registry.get('c')!, { test })
}

const three = (weights = [1, 1, 1]): Endpoint[] => weights.map((weight, i) => endpoint(`10.0.0.${i + 1}`, 80, { weight }))

/** A context whose hash is new at every pick, as for requests of ever other users. */
function users(seed: number) {
  const roll = seeded(seed)
  const ctx = context(roll)
  let user = 0
  return () => {
    ctx.hash = xxHash64(`user-${seed}-${user++}`)
    return ctx
  }
}

describe('shares of 100,000 picks', () => {
  const weights = [1, 2, 3, 4, 10]
  const picks = 100_000

  it.each([
    ['round robin', roundRobin],
    ['least request', leastRequest],
    ['maglev', maglev],
    ['ring hash of many entries', { ...ringHash, minRingSize: 400_000 } as LbPolicy],
  ] as [string, LbPolicy][])('%s follows the weights (chi-square, seeded)', (_name, lbPolicy) => {
    const target = make(three(weights), { lbPolicy })
    const next = users(1)
    const counts = histogram(() => target.pick(next()), picks)
    const shares = new Map(weights.map((weight, i) => [`10.0.0.${i + 1}:80`, weight / 20]))
    expect(chiSquare(counts, shares, picks)).toBeLessThan(chiSquareLimit(weights.length - 1) * (lbPolicy.kind === 'ringHash' ? 2 : 1))
  })

  it.each(every.filter(([, policy]) => policy.kind !== 'ringHash'))(
    '%s spreads evenly over equal hosts (chi-square, seeded)',
    (_name, lbPolicy) => {
      const hosts = 20
      const target = make(manyEndpoints(hosts), { lbPolicy })
      const next = users(2)
      const counts = histogram(() => target.pick(next()), picks)
      const shares = new Map(target.hosts.map(host => [host.key, 1 / hosts]))
      expect(chiSquare(counts, shares, picks)).toBeLessThan(chiSquareLimit(hosts - 1))
    },
  )

  it('random knows no weights, as in Envoy', () => {
    const target = make(three([1, 100]), { lbPolicy: random })
    const next = users(3)
    const counts = histogram(() => target.pick(next()), 10_000)
    expect(
      chiSquare(
        counts,
        new Map([
          ['10.0.0.1:80', 0.5],
          ['10.0.0.2:80', 0.5],
        ]),
        10_000,
      ),
    ).toBeLessThan(chiSquareLimit(1))
  })

  it.each(every)('%s serves 10,000 endpoints', (_name, lbPolicy) => {
    const target = make(manyEndpoints(10_000), { lbPolicy })
    const next = users(4)
    const seen = histogram(() => target.pick(next()), 1_000)
    expect(seen.size).toBeGreaterThan(500)
    expect(seen.has('none')).toBe(false)
  })
})

describe('round robin', () => {
  it('goes through all hosts before it repeats one', () => {
    const target = make(manyEndpoints(7))
    const ctx = context(seeded(1))
    for (let turn = 0; turn < 3; turn++) expect(histogram(() => target.pick(ctx), 7).size).toBe(7)
  })

  it('spaces the turns of a heavy host evenly', () => {
    const target = make(three([4, 1, 1]))
    const ctx = context(seeded(1))
    let light = 0
    for (let i = 0; i < 600; i++) {
      light = target.pick(ctx)!.weight === 1 ? light + 1 : 0
      expect(light).toBeLessThanOrEqual(2)
    }
  })

  it('starts at different places with different seeds', () => {
    const firsts = new Set<string>()
    for (let seed = 0; seed < 40; seed++) {
      const test = testRegistry({ random: seeded(seed) })
      test.registry.apply(staticCluster('c', [locality(three([1, 2, 3]))]))
      firsts.add(test.registry.get('c')!.pick(context(seeded(seed)))!.key)
    }
    expect(firsts.size).toBe(3)
  })

  it('keeps the turns of the others when an endpoint comes and goes', () => {
    const test = testRegistry()
    const base = three([5, 3, 2])
    test.registry.apply(cluster('c'))
    test.registry.applyAssignment(assignment('c', [locality(base)]))
    const target = test.registry.get('c')!
    const ctx = context(seeded(1))
    // Ten picks are one period; a change in the middle of it must not favour whoever the schedule began with.
    const counts = histogram(() => {
      const host = target.pick(ctx)
      test.registry.applyAssignment(assignment('c', [locality([...base, endpoint('10.0.9.9', 80, { weight: 1 })])]))
      test.registry.applyAssignment(assignment('c', [locality(base)]))
      return host
    }, 1000)
    expect([...counts.values()].sort((a, b) => a - b)).toEqual([200, 300, 500])
  })
})

describe('least request', () => {
  it('takes the one with fewer requests of those it looks at', () => {
    const target = make(three(), { lbPolicy: { ...leastRequest, choiceCount: 20 } as LbPolicy })
    target.hosts[0]!.activeRequests = 5
    target.hosts[1]!.activeRequests = 2
    target.hosts[2]!.activeRequests = 9
    expect(histogram(() => target.pick(context(seeded(5))), 50)).toEqual(new Map([['10.0.0.2:80', 50]]))
  })

  it('looks at every host in a full scan and breaks ties evenly', () => {
    const target = make(manyEndpoints(50), { lbPolicy: fullScan })
    for (const host of target.hosts) host.activeRequests = 3
    target.hosts[7]!.activeRequests = 1
    target.hosts[31]!.activeRequests = 1
    const roll = seeded(6)
    const counts = histogram(() => target.pick(context(roll)), 2_000)
    expect([...counts.keys()].sort()).toEqual([target.hosts[31]!.key, target.hosts[7]!.key].sort())
    expect(chiSquare(counts, new Map([...counts.keys()].map(key => [key, 0.5])), 2_000)).toBeLessThan(chiSquareLimit(1))
  })

  it('divides unequal weights by (requests + 1)^bias', () => {
    const share = (bias: number): number => {
      const target = make(three([1, 2]), { lbPolicy: { ...leastRequest, activeRequestBias: bias } as LbPolicy })
      target.hosts[1]!.activeRequests = 3
      return histogram(() => target.pick(context(seeded(7))), 3_000).get('10.0.0.2:80')! / 3_000
    }
    // weight 2 / (3 + 1)^1 = 0.5 against 1, 2 / 4^0.5 = 1 against 1, and 2 against 1
    expect(share(1)).toBeCloseTo(1 / 3, 1)
    expect(share(0.5)).toBeCloseTo(1 / 2, 1)
    expect(share(0)).toBeCloseTo(2 / 3, 1)
  })
})

describe('health', () => {
  it.each(every)('%s leaves out unhealthy hosts, and gives none when all are and panic is off', (_name, lbPolicy) => {
    const target = make(three(), { lbPolicy, healthyPanicPercent: 0 })
    const next = users(8)
    target.setHealth(target.hosts[0]!, HealthFlag.FAILED_OUTLIER_CHECK, 0)
    target.test.settle()
    expect(histogram(() => target.pick(next()), 300).has('10.0.0.1:80')).toBe(false)
    target.setHealth(target.hosts[1]!, HealthFlag.FAILED_ACTIVE_HC, 0)
    target.setHealth(target.hosts[2]!, HealthFlag.FAILED_EDS_HEALTH, 0)
    target.test.settle()
    expect(target.pick(next())).toBeNull()
    target.setHealth(target.hosts[2]!, 0, HealthFlag.FAILED_EDS_HEALTH)
    target.test.settle()
    expect(histogram(() => target.pick(next()), 20)).toEqual(new Map([['10.0.0.3:80', 20]]))
  })

  it.each(every)('%s uses all hosts in panic and counts it', (_name, lbPolicy) => {
    const target = make(three(), { lbPolicy, healthyPanicPercent: 50 })
    const next = users(9)
    for (const host of target.hosts.slice(0, 2)) target.setHealth(host, HealthFlag.FAILED_OUTLIER_CHECK, 0)
    target.test.settle()
    expect(histogram(() => target.pick(next()), 3000).size).toBe(3)
    expect(target.stats.main.lb_healthy_panic.value).toBe(3000)
  })

  it('takes DRAINING, TIMEOUT and UNHEALTHY endpoints of EDS for unhealthy, DEGRADED for a last resort', () => {
    const target = make(
      [
        endpoint('10.0.0.1', 80, { health: 'DRAINING' }),
        endpoint('10.0.0.2', 80, { health: 'TIMEOUT' }),
        endpoint('10.0.0.3', 80, { health: 'UNHEALTHY' }),
        endpoint('10.0.0.4', 80, { health: 'DEGRADED' }),
      ],
      { healthyPanicPercent: 0 },
    )
    expect(histogram(() => target.pick(context(seeded(1))), 10)).toEqual(new Map([['10.0.0.4:80', 10]]))
    expect(target.stats.main.membership_degraded.value).toBe(1)
    expect(target.stats.main.membership_healthy.value).toBe(0)
    expect(target.stats.main.membership_total.value).toBe(4)
  })
})

describe('retries and overrides', () => {
  it.each(every)('%s tries other hosts while the predicate rejects, at most maxAttempts', (_name, lbPolicy) => {
    const target = make(three(), { lbPolicy })
    const next = users(10)
    let tried = 0
    let avoided = 0
    for (let i = 0; i < 100; i++) {
      const ctx = next()
      ctx.maxAttempts = 30
      ctx.shouldSkip = host => host.key === '10.0.0.1:80'
      if (target.pick(ctx)!.key !== '10.0.0.1:80') avoided++
    }
    expect(avoided).toBe(100)
    const ctx = next()
    ctx.maxAttempts = 4
    ctx.shouldSkip = () => {
      tried++
      return true
    }
    expect(target.pick(ctx)).not.toBeNull()
    expect(tried).toBe(4)
  })

  it('prefers the override host while its status is allowed, and knows strict mode', () => {
    const target = make(three())
    const ctx = context(seeded(1), { overrideHost: '10.0.0.2:80' })
    expect(histogram(() => target.pick(ctx), 10)).toEqual(new Map([['10.0.0.2:80', 10]]))
    target.setHealth(target.hosts[1]!, HealthFlag.FAILED_OUTLIER_CHECK, 0)
    expect(histogram(() => target.pick(ctx), 10).has('10.0.0.2:80')).toBe(false)
    ctx.overrideHostStrict = true
    expect(target.pick(ctx)).toBeNull()
    ctx.overrideHost = '9.9.9.9:1'
    expect(target.pick(ctx)).toBeNull()
    ctx.overrideHostStrict = false
    expect(target.pick(ctx)).not.toBeNull()
  })

  it('draining hosts serve overrides when override_host_status says so', () => {
    const target = make([endpoint('10.0.0.1', 80, { health: 'DRAINING' }), endpoint('10.0.0.2', 80)], { overrideHostStatus: ['DRAINING'] })
    expect(target.pick(context(seeded(1), { overrideHost: '10.0.0.1:80' }))!.key).toBe('10.0.0.1:80')
    expect(target.pick(context(seeded(1), { overrideHost: '10.0.0.2:80' }))!.key).toBe('10.0.0.2:80')
  })
})

describe('slow start', () => {
  const slow = (aggression: number, minWeightPercent = 10): Partial<Cluster> => ({
    lbPolicy: { kind: 'roundRobin', slowStart: { windowMs: 100_000, aggression, minWeightPercent } },
  })

  function shareOfNew(more: Partial<Cluster>, afterMs: number): number {
    const test = testRegistry()
    const old = manyEndpoints(4)
    test.registry.apply(cluster('c', more))
    test.registry.applyAssignment(assignment('c', [locality(old)]))
    const target = test.registry.get('c')!
    const ctx = context(seeded(1))
    target.pick(ctx)
    test.clock.advance(500_000)
    target.pick(ctx)
    test.registry.applyAssignment(assignment('c', [locality([...old, endpoint('10.9.9.9', 80)])]))
    target.pick(ctx)
    test.clock.advance(afterMs)
    return (histogram(() => target.pick(ctx), 10_000).get('10.9.9.9:80') ?? 0) / 10_000
  }

  // The new host's weight is w * max(min, (age / window)^(1 / aggression)), against four old ones of weight 1.
  it.each([
    [1, 50_000, 0.5],
    [1, 80_000, 0.8],
    [1, 1_000, 0.1],
    [2, 25_000, 0.5],
    [1, 200_000, 1],
  ])('aggression %d after %d ms: weight %d', (aggression, ageMs, weight) => {
    expect(shareOfNew(slow(aggression), ageMs)).toBeCloseTo(weight / (4 + weight), 2)
  })

  it('has the minimum weight percent as floor', () => {
    expect(shareOfNew(slow(1, 40), 1_000)).toBeCloseTo(0.4 / 4.4, 2)
  })
})

describe('pick first', () => {
  it('takes the first usable host, and the next for a retry', () => {
    const target = make(three(), { lbPolicy: { kind: 'pickFirst' } })
    expect(histogram(() => target.pick(context(seeded(1))), 9)).toEqual(new Map([['10.0.0.1:80', 9]]))
    const retry = context(seeded(1), { maxAttempts: 3, shouldSkip: host => host.key === '10.0.0.1:80' })
    expect(target.pick(retry)!.key).toBe('10.0.0.2:80')
  })
})

describe('drop_overload', () => {
  it('drops the configured share of each category', () => {
    const test = testRegistry()
    test.registry.apply(cluster('c'))
    const drops = [
      { category: 'lb', numerator: 10, denominator: 100 },
      { category: 'throttle', numerator: 500_000, denominator: 1_000_000 },
    ]
    test.registry.applyAssignment(assignment('c', [locality(three())], { dropPercentages: drops }))
    const roll = seeded(3)
    const counts = { lb: 0, throttle: 0, none: 0 }
    for (let i = 0; i < 20_000; i++) counts[(test.registry.get('c')!.dropCategory(roll()) ?? 'none') as keyof typeof counts]++
    expect(counts.lb / 20_000).toBeCloseTo(0.1, 1)
    expect(counts.throttle / 20_000).toBeCloseTo(0.45, 1)
  })
})
