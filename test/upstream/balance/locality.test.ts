import { describe, expect, it } from 'vitest'
import { HealthFlag } from '../../../src/upstream/host/host.js'
import {
  assignment,
  chiSquare,
  chiSquareLimit,
  cluster,
  context,
  endpoint,
  histogram,
  locality,
  manyEndpoints,
  seeded,
  testRegistry,
} from '../fixtures.js'

const zone = (name: string) => ({ region: 'r', zone: name, subZone: '' })
const inZone = (name: string, net: number, count: number, weight = 0) =>
  locality(
    Array.from({ length: count }, (_, i) => endpoint(`10.${net}.0.${i + 1}`, 80)),
    { zone: name, weight },
  )

function zoneShares(counts: Map<string, number>): Map<string, number> {
  const shares = new Map<string, number>()
  for (const [key, count] of counts) {
    const net = key.split('.')[1]!
    shares.set(net, (shares.get(net) ?? 0) + count)
  }
  return shares
}

describe('locality weights (Envoy docs, load_balancing/locality_weight)', () => {
  const make = () => {
    const test = testRegistry()
    test.registry.apply(cluster('c', { localityWeighted: true, healthyPanicPercent: 0 }))
    test.registry.applyAssignment(assignment('c', [inZone('x', 1, 10, 1), inZone('y', 2, 10, 2)]))
    return { ...test, target: test.registry.get('c')! }
  }

  // Left: healthy hosts of ten in X, whose weight is 1 against 2 of Y. Right: the share of X, as the docs have it.
  it.each([
    [10, 33],
    [8, 33],
    [7, 33],
    [6, 30],
    [5, 26],
    [2, 12],
    [0, 0],
  ])('%i of 10 healthy in X gives it about %i %%', (healthy, share) => {
    const { target } = make()
    for (const host of target.hosts.slice(0, 10 - healthy)) target.setHealth(host, HealthFlag.FAILED_OUTLIER_CHECK, 0)
    const counts = zoneShares(histogram(() => target.pick(context(seeded(1))), 10_000))
    expect(Math.abs((counts.get('1') ?? 0) / 100 - share)).toBeLessThan(1)
  })

  it('gives nothing to a locality without weight', () => {
    const test = testRegistry()
    test.registry.apply(cluster('c', { localityWeighted: true }))
    test.registry.applyAssignment(assignment('c', [inZone('x', 1, 3, 0), inZone('y', 2, 1, 5)]))
    expect(zoneShares(histogram(() => test.registry.get('c')!.pick(context(seeded(1))), 100))).toEqual(new Map([['2', 100]]))
  })

  it('takes a change of weights alone', () => {
    const { registry, target } = make()
    target.pick(context(seeded(1)))
    registry.applyAssignment(assignment('c', [inZone('x', 1, 10, 3), inZone('y', 2, 10, 1)]))
    const counts = zoneShares(histogram(() => target.pick(context(seeded(1))), 4_000))
    expect(counts.get('1')).toBe(3_000)
  })
})

describe('zone-aware routing (Envoy docs, load_balancing/zone_aware)', () => {
  const zoneAware = {
    routingEnabledPercent: 100,
    minClusterSize: 6,
    failTrafficOnPanic: false,
    forceLocalMinSize: null as number | null,
    byWeight: false,
  }

  function make(own: [string, number][], upstream: [string, number][], more: Partial<typeof zoneAware> = {}) {
    const test = testRegistry({ localLocality: zone('a'), localClusterName: 'self' })
    test.registry.apply(cluster('self'))
    test.registry.applyAssignment(
      assignment(
        'self',
        own.map(([name, count], i) => inZone(name, 100 + i, count)),
      ),
    )
    test.registry.apply(cluster('c', { zoneAware: { ...zoneAware, ...more } }))
    test.registry.applyAssignment(
      assignment(
        'c',
        upstream.map(([name, count], i) => inZone(name, i + 1, count)),
      ),
    )
    const target = test.registry.get('c')!
    const roll = seeded(4)
    const shares = (): Map<string, number> => zoneShares(histogram(() => target.pick(context(roll)), 10_000))
    return { ...test, target, shares }
  }

  it('keeps everything local while the upstream has at least our share here', () => {
    const { shares, target } = make(
      [
        ['a', 2],
        ['b', 8],
      ],
      [
        ['a', 3],
        ['b', 7],
      ],
    )
    expect(shares()).toEqual(new Map([['1', 10_000]]))
    expect(target.stats.main.lb_zone_routing_all_directly.value).toBe(10_000)
  })

  it('sends what does not fit to the zones with spare capacity', () => {
    // Ours: 40 % here. Theirs: 20 % here, 50 % in b (we have 30 %), 30 % in c (we have 30 %): half stays, the rest goes to b.
    const { shares, target } = make(
      [
        ['a', 4],
        ['b', 3],
        ['c', 3],
      ],
      [
        ['b', 5],
        ['a', 2],
        ['c', 3],
      ],
    )
    const counts = shares()
    expect(
      chiSquare(
        counts,
        new Map([
          ['2', 0.5],
          ['1', 0.5],
        ]),
        10_000,
      ),
    ).toBeLessThan(chiSquareLimit(1))
    expect(counts.has('3')).toBe(false)
    expect(target.stats.main.lb_zone_routing_sampled.value).toBe(counts.get('2'))
    expect(target.stats.main.lb_zone_routing_cross_zone.value).toBe(counts.get('1'))
  })

  it('does not route by zone for a small cluster, without a local cluster, or when our own zone is unknown there', () => {
    const small = make(
      [
        ['a', 1],
        ['b', 1],
      ],
      [
        ['a', 2],
        ['b', 2],
      ],
    )
    expect(small.shares().size).toBe(2)
    expect(small.target.stats.main.lb_zone_cluster_too_small.value).toBeGreaterThan(0)
    const elsewhere = make(
      [
        ['x', 1],
        ['b', 1],
      ],
      [
        ['a', 5],
        ['b', 5],
      ],
    )
    expect(elsewhere.shares().size).toBe(2)
    expect(elsewhere.target.stats.main.lb_local_cluster_not_ok.value).toBeGreaterThan(0)
  })

  it('routes only the enabled share by zone', () => {
    const { shares } = make(
      [
        ['a', 5],
        ['b', 5],
      ],
      [
        ['a', 5],
        ['b', 5],
      ],
      { routingEnabledPercent: 40 },
    )
    // 40 % local, and of the other 60 % half.
    expect(
      chiSquare(
        shares(),
        new Map([
          ['1', 0.7],
          ['2', 0.3],
        ]),
        10_000,
      ),
    ).toBeLessThan(chiSquareLimit(1))
  })

  it('fails traffic on panic where asked', () => {
    const { target } = make(
      [
        ['a', 5],
        ['b', 5],
      ],
      [
        ['a', 5],
        ['b', 5],
      ],
      { failTrafficOnPanic: true },
    )
    for (const host of target.hosts.slice(0, 8)) target.setHealth(host, HealthFlag.FAILED_OUTLIER_CHECK, 0)
    expect(target.pick(context(seeded(1)))).toBeNull()
  })

  it('stays in our own zone where it is told to, as long as there are enough', () => {
    const own: [string, number][] = [['a', 5]]
    const upstream: [string, number][] = [
      ['a', 2],
      ['b', 8],
    ]
    expect(make(own, upstream, { forceLocalMinSize: 2 }).shares()).toEqual(new Map([['1', 10_000]]))
    // Too few: our share of the callers, who are all here, is what a fifth of the endpoints can carry.
    const few = make(own, upstream, { forceLocalMinSize: 3 }).shares()
    expect(few.get('1')! / 10_000).toBeCloseTo(0.2, 1)
    // Without it a cluster whose callers are all in one zone is not routed by zone.
    expect(make(own, upstream).target.stats.main.lb_zone_routing_all_directly.value).toBe(0)
  })

  it('begins when the local cluster becomes known', () => {
    const test = testRegistry({ localLocality: zone('a'), localClusterName: 'self' })
    test.registry.apply(cluster('c', { zoneAware }))
    test.registry.applyAssignment(assignment('c', [inZone('a', 1, 5), inZone('b', 2, 5)]))
    const pick = () => zoneShares(histogram(() => test.registry.get('c')!.pick(context(seeded(1))), 100)).size
    expect(pick()).toBe(2)
    test.registry.apply(cluster('self'))
    test.registry.applyAssignment(assignment('self', [inZone('a', 100, 5), inZone('b', 101, 5)]))
    expect(pick()).toBe(1)
  })

  it('follows changes of the local cluster', () => {
    const { registry, shares } = make(
      [
        ['a', 5],
        ['b', 5],
      ],
      [
        ['a', 5],
        ['b', 5],
      ],
    )
    expect(shares().size).toBe(1)
    registry.applyAssignment(assignment('self', [inZone('a', 100, 9), inZone('b', 101, 1)]))
    expect(shares().size).toBe(2)
  })
})

describe('weighted_priority_health', () => {
  it('measures a priority by the weight of its healthy hosts', () => {
    const run = (weighted: boolean): number => {
      const test = testRegistry()
      test.registry.apply(cluster('c', { healthyPanicPercent: 0 }))
      const first = manyEndpoints(2, i => ({ weight: i === 0 ? 9 : 1, health: i === 0 ? 'UNHEALTHY' : 'HEALTHY' }))
      const list = [locality(first), locality([endpoint('10.9.0.1', 80)], { priority: 1 })]
      test.registry.applyAssignment(assignment('c', list, { weightedPriorityHealth: weighted }))
      const roll = seeded(2)
      return (histogram(() => test.registry.get('c')!.pick(context(roll)), 5_000).get('10.9.0.1:80') ?? 0) / 5_000
    }
    expect(run(false)).toBeCloseTo(0.3, 1)
    expect(run(true)).toBeCloseTo(0.86, 1)
  })
})
