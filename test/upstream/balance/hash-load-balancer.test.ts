import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LbPolicy } from '../../../src/model/cluster.js'
import type { Endpoint } from '../../../src/model/endpoint.js'
import type { UpstreamCluster } from '../../../src/upstream/cluster/cluster.js'
import { xxHash64 } from '../../../src/upstream/hash/xx-hash.js'
import { HealthFlag } from '../../../src/upstream/host/host.js'
import {
  assignment,
  cluster,
  context,
  endpoint,
  lbMetadata,
  locality,
  maglev,
  manyEndpoints,
  ringHash,
  seeded,
  testRegistry,
} from '../fixtures.js'

const keys = Array.from({ length: 400 }, (_, i) => xxHash64(`key ${i}`))
const both: [string, LbPolicy][] = [
  ['ring hash', { ...ringHash, minRingSize: 256 } as LbPolicy],
  ['maglev', { ...maglev, tableSize: 1009 } as LbPolicy],
]

function fresh(lbPolicy: LbPolicy, endpoints: Endpoint[]) {
  const test = testRegistry()
  test.registry.apply(cluster('c', { lbPolicy, healthyPanicPercent: 0 }))
  test.registry.applyAssignment(assignment('c', [locality(endpoints)]))
  const apply = (next: Endpoint[]): void => test.registry.applyAssignment(assignment('c', [locality(next)]))
  return { ...test, apply, target: test.registry.get('c')! }
}

function choices(target: UpstreamCluster): string[] {
  const ctx = context(seeded(1))
  return keys.map(hash => {
    ctx.hash = hash
    return target.pick(ctx)?.key ?? 'none'
  })
}

describe.each(both)('%s', (_name, lbPolicy) => {
  it('chooses the same after any history of changes as when made at once', () => {
    const pool = manyEndpoints(12)
    const state = fc.array(fc.record({ on: fc.boolean(), weight: fc.integer({ min: 1, max: 6 }) }), { minLength: 12, maxLength: 12 })
    fc.assert(
      fc.property(fc.array(state, { minLength: 2, maxLength: 5 }), history => {
        const lists = history.map(step => pool.map((each, i) => ({ ...each, weight: step[i]!.weight })).filter((_, i) => step[i]!.on))
        const grown = fresh(lbPolicy, lists[0]!)
        for (const list of lists.slice(1)) {
          choices(grown.target)
          grown.apply(list)
        }
        choices(grown.target)
        grown.settle()
        expect(choices(grown.target)).toEqual(choices(fresh(lbPolicy, lists.at(-1)!).target))
      }),
      { seed: 11, numRuns: 40 },
    )
  })

  it('moves few keys when one host of ten leaves', () => {
    const { target, apply, settle } = fresh(lbPolicy, manyEndpoints(10))
    const before = choices(target)
    const gone = target.hosts[4]!.key
    apply(manyEndpoints(10).filter((_, i) => i !== 4))
    choices(target)
    settle()
    const after = choices(target)
    expect(after).not.toContain(gone)
    const moved = before.filter((key, i) => key !== gone && key !== after[i]).length
    expect(moved).toBeLessThan(keys.length / 10)
  })

  it('changes no choice when an equal list comes again', () => {
    const { target, apply, settle } = fresh(lbPolicy, manyEndpoints(10))
    const before = choices(target)
    apply(manyEndpoints(10))
    expect(choices(target)).toEqual(before)
    settle()
    expect(choices(target)).toEqual(before)
  })

  it('follows a changed hash_key', () => {
    const named = (name: string): Endpoint[] => [
      ...manyEndpoints(4),
      { ...endpoint('10.7.7.7', 80), metadata: lbMetadata({ hash_key: name }) },
    ]
    const { target, apply, settle } = fresh(lbPolicy, named('one'))
    const before = choices(target)
    apply(named('two'))
    choices(target)
    settle()
    const after = choices(target)
    expect(after).not.toEqual(before)
    expect(after).toEqual(choices(fresh(lbPolicy, named('two')).target))
  })

  it('never gives a host that left or failed, not even while a new table is being made', () => {
    const { target, apply, settle } = fresh(lbPolicy, manyEndpoints(6))
    choices(target)
    const gone = target.hosts[1]!.key
    apply(manyEndpoints(6).filter((_, i) => i !== 1))
    expect(choices(target)).not.toContain(gone)
    const failed = target.hosts[0]!
    target.setHealth(failed, HealthFlag.FAILED_OUTLIER_CHECK, 0)
    expect(choices(target)).not.toContain(failed.key)
    settle()
    for (const host of target.hosts) target.setHealth(host, HealthFlag.FAILED_OUTLIER_CHECK, 0)
    expect(new Set(choices(target))).toEqual(new Set(['none']))
  })

  it('is random without a hash', () => {
    const { target } = fresh(lbPolicy, manyEndpoints(5))
    const ctx = context(seeded(3))
    expect(new Set(Array.from({ length: 200 }, () => target.pick(ctx)!.key)).size).toBe(5)
  })

  it("sends an overloaded host's keys elsewhere with hash_balance_factor, the same way each time", () => {
    const bounded = { ...lbPolicy, hashBalanceFactor: 150 } as LbPolicy
    const { target } = fresh(bounded, manyEndpoints(5))
    const ctx = context(seeded(1), { hash: keys[0]! })
    const home = target.pick(ctx)!
    target.stats.main.upstream_rq_active.value = 100
    for (const host of target.hosts) host.activeRequests = 20
    expect(target.pick(ctx)).toBe(home)
    home.activeRequests = 60
    const other = target.pick(ctx)!
    expect(other).not.toBe(home)
    expect(target.pick(ctx)).toBe(other)
    home.activeRequests = 10
    expect(target.pick(ctx)).toBe(home)
  })

  it('takes the least overloaded host when all are over their bound', () => {
    const bounded = { ...lbPolicy, hashBalanceFactor: 100 } as LbPolicy
    const { target } = fresh(bounded, manyEndpoints(5))
    target.stats.main.upstream_rq_active.value = 10
    for (const host of target.hosts) host.activeRequests = 50
    target.hosts[3]!.activeRequests = 40
    expect(target.pick(context(seeded(1), { hash: keys[1]! }))).toBe(target.hosts[3])
  })

  it('reports its size', () => {
    const { store, target } = fresh(lbPolicy, manyEndpoints(4))
    choices(target)
    if (lbPolicy.kind === 'ringHash') {
      expect(store.scope('').gauge('cluster.c.ring_hash_lb.size').value).toBe(256)
      expect(store.scope('').gauge('cluster.c.ring_hash_lb.min_hashes_per_host').value).toBe(64)
      expect(store.scope('').gauge('cluster.c.ring_hash_lb.max_hashes_per_host').value).toBe(64)
    } else {
      expect(store.scope('').gauge('cluster.c.maglev_lb.min_entries_per_host').value).toBe(252)
      expect(store.scope('').gauge('cluster.c.maglev_lb.max_entries_per_host').value).toBe(253)
    }
  })
})

describe('priorities by hash', () => {
  it('sends a key to the same priority each time, by its share', () => {
    const test = testRegistry()
    test.registry.apply(cluster('c', { lbPolicy: ringHash, healthyPanicPercent: 0 }))
    const first = manyEndpoints(4, i => ({ health: i < 2 ? 'UNHEALTHY' : 'HEALTHY' }))
    const second = [endpoint('10.8.0.1', 80), endpoint('10.8.0.2', 80)]
    test.registry.applyAssignment(assignment('c', [locality(first), locality(second, { priority: 1 })]))
    const target = test.registry.get('c')!
    const priorities = keys.map(hash => target.pick(context(seeded(1), { hash }))!.priority)
    expect(priorities).toEqual(keys.map(hash => (Number(hash % 100n) < 70 ? 0 : 1)))
  })
})
