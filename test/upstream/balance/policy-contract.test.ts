// The contract of LoadBalancer: what a request may rely on whichever policy its cluster has. The same cases run against each policy, the
// subset balancer around one of them and an aggregate cluster in front of one. What only one policy does stands in its own test.

import { describe, expect, it } from 'vitest'
import type { Cluster, LbPolicy, SubsetConfig } from '../../../src/model/cluster.js'
import type { LocalityEndpoints } from '../../../src/model/endpoint.js'
import type { LbContext } from '../../../src/upstream/balance/load-balancer.js'
import type { UpstreamCluster } from '../../../src/upstream/cluster/cluster.js'
import { xxHash64 } from '../../../src/upstream/hash/xx-hash.js'
import { HealthFlag, type Host } from '../../../src/upstream/host/host.js'
import {
  assignment,
  chiSquare,
  chiSquareLimit,
  cluster,
  context,
  type EndpointSpec,
  endpoint,
  histogram,
  leastRequest,
  locality,
  maglev,
  ringHash,
  roundRobin,
  seeded,
  testRegistry,
} from '../fixtures.js'

interface Policy {
  readonly name: string
  readonly config: Partial<Cluster>
  /** Set: the cluster that is picked from is an aggregate of the one with the hosts. */
  readonly behindAggregate?: true
  /** False: one host serves until it fails. */
  readonly spreads: boolean
  /** False: weights have no meaning (random, pick first). */
  readonly honoursWeights: boolean
  /** How far the shares may stray, in chi-square limits: tables give shares in whole entries. */
  readonly tolerance: number
}

const subset: SubsetConfig = {
  fallback: 'NO_FALLBACK',
  defaultSubset: new Map(),
  selectors: [{ keys: ['stage'], fallback: 'NOT_DEFINED', fallbackKeys: [], singleHostPerSubset: false }],
  localityWeightAware: false,
  scaleLocalityWeight: false,
  panicModeAny: false,
  listAsAny: false,
}

const byHash = (policy: LbPolicy): Partial<Cluster> => ({ lbPolicy: policy })
const POLICIES: readonly Policy[] = [
  { name: 'round robin', config: { lbPolicy: roundRobin }, spreads: true, honoursWeights: true, tolerance: 1 },
  { name: 'least request', config: { lbPolicy: leastRequest }, spreads: true, honoursWeights: true, tolerance: 1 },
  {
    name: 'least request, full scan',
    config: { lbPolicy: { ...leastRequest, fullScan: true } as LbPolicy },
    spreads: true,
    honoursWeights: true,
    tolerance: 1,
  },
  { name: 'random', config: { lbPolicy: { kind: 'random' } }, spreads: true, honoursWeights: false, tolerance: 1 },
  { name: 'pick first', config: { lbPolicy: { kind: 'pickFirst' } }, spreads: false, honoursWeights: false, tolerance: 1 },
  {
    name: 'ring hash',
    config: byHash({ ...ringHash, minRingSize: 16_384 } as LbPolicy),
    spreads: true,
    honoursWeights: true,
    tolerance: 4,
  },
  { name: 'maglev', config: byHash(maglev), spreads: true, honoursWeights: true, tolerance: 2 },
  { name: 'a subset of round robin', config: { lbPolicy: roundRobin, subset }, spreads: true, honoursWeights: true, tolerance: 1 },
  {
    name: 'an aggregate of round robin',
    config: { lbPolicy: roundRobin },
    behindAggregate: true,
    spreads: true,
    honoursWeights: true,
    tolerance: 1,
  },
]

/** Every endpoint is of the subset that every request asks for. */
const at = (n: number, spec: EndpointSpec = {}) => endpoint(`10.0.0.${n}`, 80, { lb: { stage: 'prod' }, ...spec })
const key = (n: number) => `10.0.0.${n}:80`
const METADATA_MATCH = new Map([['envoy.lb', { stage: 'prod' }]])

class World {
  readonly test = testRegistry()
  /** Which the requests name. */
  readonly target: UpstreamCluster
  /** Which has the hosts. */
  readonly owner: UpstreamCluster
  private readonly roll: () => number
  private readonly seed: number
  private user = 0

  constructor(policy: Policy, localities: LocalityEndpoints[], more: Partial<Cluster> = {}, seed = 1) {
    const { registry } = this.test
    this.roll = seeded(seed)
    this.seed = seed
    registry.apply(cluster('c', { healthyPanicPercent: 0, ...policy.config, ...more }))
    registry.applyAssignment(assignment('c', localities))
    this.owner = registry.get('c')!
    if (policy.behindAggregate === true) {
      const discovery = { kind: 'aggregate', clusters: ['c'] } as const
      registry.apply(cluster('all', { healthyPanicPercent: 0, ...more, discovery, lbPolicy: { kind: 'clusterProvided' } }))
      this.target = registry.get('all')!
    } else this.target = this.owner
    this.test.settle()
  }

  /** Of a new user each time. */
  context(more: Partial<LbContext> = {}): LbContext {
    return context(this.roll, { hash: xxHash64(`user-${this.seed}-${this.user++}`), metadataMatch: METADATA_MATCH, ...more })
  }

  pick(more: Partial<LbContext> = {}): Host | null {
    return this.target.pick(this.context(more))
  }

  picks(times: number, more: Partial<LbContext> = {}): Map<string, number> {
    return histogram(() => this.pick(more), times)
  }

  update(localities: LocalityEndpoints[]): void {
    this.test.registry.applyAssignment(assignment('c', localities))
    this.settle()
  }

  fail(n: number): void {
    this.owner.setHealth(this.owner.host(key(n))!, HealthFlag.FAILED_ACTIVE_HC, 0)
    this.settle()
  }

  recover(n: number): void {
    this.owner.setHealth(this.owner.host(key(n))!, 0, HealthFlag.FAILED_ACTIVE_HC)
    this.settle()
  }

  /** Tables are built by the first pick after a change, and in slices after that. */
  private settle(): void {
    this.pick()
    this.test.settle()
  }
}

describe.each(POLICIES)('$name', policy => {
  it('gives no host of an empty cluster', () => {
    expect(new World(policy, []).picks(20)).toEqual(new Map([['none', 20]]))
  })

  it('gives the one host every time', () => {
    expect(new World(policy, [locality([at(1)])]).picks(20)).toEqual(new Map([[key(1), 20]]))
  })

  it.runIf(policy.spreads)('spreads over equal hosts', () => {
    const world = new World(policy, [locality([1, 2, 3, 4, 5].map(n => at(n)))])
    const counts = world.picks(20_000)
    const shares = new Map([1, 2, 3, 4, 5].map(n => [key(n), 0.2]))
    expect([...counts.keys()].sort()).toEqual([...shares.keys()])
    expect(chiSquare(counts, shares, 20_000)).toBeLessThan(
      chiSquareLimit(4) * policy.tolerance * (policy.config.lbPolicy?.kind === 'ringHash' ? 10 : 1),
    )
  })

  it.runIf(policy.honoursWeights)('honours the weights of hosts', () => {
    const world = new World(policy, [locality([at(1, { weight: 1 }), at(2, { weight: 3 }), at(3, { weight: 6 })])])
    const counts = world.picks(20_000)
    const shares = new Map([
      [key(1), 0.1],
      [key(2), 0.3],
      [key(3), 0.6],
    ])
    expect(chiSquare(counts, shares, 20_000)).toBeLessThan(chiSquareLimit(2) * policy.tolerance)
  })

  it('never gives an unhealthy host while it does not panic', () => {
    const world = new World(policy, [locality([1, 2, 3].map(n => at(n)))])
    world.picks(10)
    world.fail(1)
    expect(world.picks(300).has(key(1))).toBe(false)
    world.fail(2)
    expect(world.picks(50)).toEqual(new Map([[key(3), 50]]))
    world.fail(3)
    expect(world.picks(50)).toEqual(new Map([['none', 50]]))
  })

  it('gives a host again that has recovered', () => {
    const world = new World(policy, [locality([at(1), at(2)])])
    world.fail(1)
    world.picks(10)
    world.recover(1)
    world.fail(2)
    expect(world.picks(20)).toEqual(new Map([[key(1), 20]]))
  })

  it('in panic gives every host, healthy or not', () => {
    const world = new World(policy, [locality([1, 2, 3].map(n => at(n)))], { healthyPanicPercent: 60 })
    world.fail(1)
    expect(world.picks(300).has(key(1))).toBe(false)
    world.fail(2)
    const counts = world.picks(300)
    expect(counts.has('none')).toBe(false)
    if (policy.spreads) expect([...counts.keys()].sort()).toEqual([key(1), key(2), key(3)])
    expect(world.owner.stats.main.lb_healthy_panic.value).toBeGreaterThan(0)
  })

  it('takes hosts that come, and never again one that left', () => {
    const world = new World(policy, [locality([at(1), at(2)])])
    world.picks(10)
    world.update([locality([at(2), at(3)])])
    const counts = world.picks(300)
    expect(counts.has(key(1))).toBe(false)
    expect(counts.has('none')).toBe(false)
    world.update([locality([at(4)])])
    expect(world.picks(20)).toEqual(new Map([[key(4), 20]]))
    world.update([])
    expect(world.picks(20)).toEqual(new Map([['none', 20]]))
    world.update([locality([at(1)])])
    expect(world.picks(20)).toEqual(new Map([[key(1), 20]]))
  })

  it('prefers priority 0, and moves to the next only as far as hosts fail', () => {
    const world = new World(policy, [locality([at(1), at(2)]), locality([at(3), at(4)], { priority: 1 })])
    const first = world.picks(200)
    expect([first.has(key(3)), first.has(key(4)), first.has('none')]).toEqual([false, false, false])
    world.fail(1)
    // One of two healthy, overprovisioned by 1.4: 70 % of the traffic stays.
    const split = world.picks(2_000)
    expect((split.get(key(2)) ?? 0) / 2_000).toBeCloseTo(0.7, 1)
    expect(split.has(key(1))).toBe(false)
    world.fail(2)
    const second = world.picks(200)
    expect([second.has(key(1)), second.has(key(2)), second.has('none')]).toEqual([false, false, false])
  })

  it('leaves out excluded priorities, and uses them when there is nothing else', () => {
    const world = new World(policy, [locality([at(1)]), locality([at(2)], { priority: 1 })])
    expect(world.picks(20, { excludedPriorities: new Set([0]) })).toEqual(new Map([[key(2), 20]]))
    expect(world.picks(20, { excludedPriorities: new Set([0, 1]) }).has('none')).toBe(false)
    expect(world.picks(20, { excludedPriorities: new Set() })).toEqual(new Map([[key(1), 20]]))
  })

  it('asks shouldSkip at most maxAttempts times, and gives the last host when all are skipped', () => {
    const world = new World(policy, [locality([1, 2, 3].map(n => at(n)))])
    for (const maxAttempts of [1, 3, 5]) {
      let asked = 0
      const host = world.pick({
        maxAttempts,
        shouldSkip: () => {
          asked++
          return true
        },
      })
      expect(host).not.toBeNull()
      // Pick first goes through its list within an attempt.
      expect(asked).toBeLessThanOrEqual(policy.spreads ? maxAttempts : maxAttempts * 4)
      expect(asked).toBeGreaterThanOrEqual(maxAttempts)
    }
  })

  it.runIf(policy.spreads)('finds another host for a retry within its attempts', () => {
    const world = new World(policy, [locality([1, 2, 3].map(n => at(n)))])
    let avoided = 0
    for (let i = 0; i < 500; i++) {
      const first = world.pick()!
      if (world.pick({ maxAttempts: 12, shouldSkip: host => host === first }) !== first) avoided++
    }
    expect(avoided).toBeGreaterThan(480)
  })

  it('chooses the same hosts for the same seed, hosts and requests', () => {
    const run = (seed: number) => {
      const world = new World(policy, [locality([1, 2, 3, 4, 5].map(n => at(n, { weight: n })))], {}, seed)
      const keys: (string | undefined)[] = []
      for (let i = 0; i < 100; i++) {
        if (i === 50) world.fail(2)
        keys.push(world.pick()?.key)
      }
      return keys
    }
    expect(run(7)).toEqual(run(7))
  })

  it('a choice that is made already (an aggregate) binds it to that priority', () => {
    const world = new World(policy, [locality([at(1)]), locality([at(2)], { priority: 1 })])
    const pickAt = (choice: number) => histogram(() => world.target.pickAt(world.context(), choice), 20)
    expect([pickAt(0), pickAt(2)]).toEqual([new Map([[key(1), 20]]), new Map([[key(2), 20]])])
    expect(pickAt(8)).toEqual(new Map([['none', 20]]))
  })

  it('tells the priority of a host that it gave, and none of a stranger', () => {
    const world = new World(policy, [locality([at(1)]), locality([at(2)], { priority: 1 })])
    const stranger = new World(policy, [locality([at(1)])])
    expect(world.target.priorityOf(world.owner.host(key(1))!)).toBe(0)
    expect(world.target.priorityOf(world.owner.host(key(2))!)).toBe(1)
    expect(world.target.priorityOf(stranger.owner.host(key(1))!)).toBe(-1)
  })
})
