import { describe, expect, it } from 'vitest'
import { clusterStats } from '../../../src/metrics/stat-names.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import type { BreakerThresholds } from '../../../src/model/cluster.js'
import { newAssignment } from '../../../src/model/defaults.js'
import { Breakers } from '../../../src/upstream/host/breakers.js'
import { cluster, testRegistry, thresholds } from '../fixtures.js'

function make(more: Partial<BreakerThresholds> = {}) {
  const store = new StatsStore()
  const stats = clusterStats(store, 'c')
  return { breakers: new Breakers({ ...thresholds, ...more }, 'default', stats), stats, store }
}

describe('Breakers', () => {
  it.each([
    ['connections', 'Connection', 'maxConnections', 'cx_open', 'upstream_cx_overflow', 'max_connections'],
    ['pending', 'Pending', 'maxPendingRequests', 'rq_pending_open', 'upstream_rq_pending_overflow', 'max_pending_requests'],
    ['requests', 'Request', 'maxRequests', 'rq_open', 'upstream_rq_active_overflow', 'max_requests'],
    ['retries', 'Retry', 'maxRetries', 'rq_retry_open', 'upstream_rq_retry_overflow', 'max_retries'],
    ['connectionPools', 'ConnectionPool', 'maxConnectionPools', 'cx_pool_open', 'upstream_cx_pool_overflow', 'max_connection_pools'],
  ] as const)(
    '%s: opens at the limit, counts the overflow, closes on release, and names itself',
    (field, kind, limit, gauge, overflow, name) => {
      const { breakers, stats } = make({ [limit]: 2 })
      const open = stats.circuitBreakers.default[gauge]
      expect([breakers[`try${kind}`](), open.value]).toEqual([true, 0])
      expect([breakers[`try${kind}`](), open.value]).toEqual([true, 1])
      expect(breakers[`try${kind}`]()).toBe(false)
      expect(stats.main[overflow].value).toBe(1)
      expect(breakers[field]).toBe(2)
      breakers[`release${kind}`]()
      expect([open.value, breakers[field]]).toEqual([0, 1])
      expect(breakers.describe(name)).toBe(`${name} 2`)
    },
  )

  it('makes no gauge before the first permit', () => {
    expect([...make().store.allStats('gauge')]).toEqual([])
  })

  it('refuses another connection to a host that has its share, whatever room the cluster has', () => {
    const { breakers, stats } = make({ maxConnectionsPerHost: 2 })
    expect([breakers.tryConnection(0), breakers.tryConnection(1), breakers.tryConnection(2)]).toEqual([true, true, false])
    expect([breakers.connections, stats.main.upstream_cx_overflow.value]).toEqual([2, 1])
    expect(stats.circuitBreakers.default.cx_open.value).toBe(0)
    breakers.update({ ...thresholds, maxConnectionsPerHost: 3 })
    expect(breakers.tryConnection(2)).toBe(true)
  })

  it('refuses all at a limit of 0, and is not seen open, as in Envoy', () => {
    const { breakers, stats } = make({ maxRequests: 0 })
    expect(breakers.tryRequest()).toBe(false)
    expect(stats.circuitBreakers.default.rq_open.value).toBe(0)
  })

  it('shows of a budget what Envoy shows: open by max_retries, and nothing that remains', () => {
    const { breakers, stats } = make({ retryBudget: { percent: 20, minConcurrency: 3 }, maxRetries: 2, trackRemaining: true })
    const open = stats.circuitBreakers.default.rq_retry_open
    const { remaining_retries } = stats.breakersRemaining('default')
    expect([open.value, remaining_retries.value]).toEqual([0, 2])
    breakers.tryRetry()
    expect([open.value, remaining_retries.value]).toEqual([0, 0])
    breakers.tryRetry()
    expect(open.value).toBe(1)
  })

  it('allows retries by budget: a share of active and pending requests, with a floor', () => {
    const { breakers } = make({ retryBudget: { percent: 20, minConcurrency: 3 }, maxRetries: 0 })
    expect(breakers.maxRetries).toBe(3)
    for (let i = 0; i < 40; i++) breakers.tryRequest()
    for (let i = 0; i < 10; i++) breakers.tryPending()
    expect(breakers.maxRetries).toBe(10)
    for (let i = 0; i < 10; i++) expect(breakers.tryRetry()).toBe(true)
    expect(breakers.tryRetry()).toBe(false)
    expect(breakers.describe('max_retries')).toBe('retry_budget 20% (at least 3), now 10')
    for (let i = 0; i < 40; i++) breakers.releaseRequest()
    expect(breakers.maxRetries).toBe(3)
  })

  it('shows what remains only with track_remaining', () => {
    const { breakers, store } = make({ trackRemaining: true, maxRequests: 3 })
    breakers.tryRequest()
    expect(store.scope('').gauge('cluster.c.circuit_breakers.default.remaining_rq').value).toBe(2)
    expect(store.scope('').gauge('cluster.c.circuit_breakers.default.remaining_cx').value).toBe(1024)
  })

  it('keeps what is under way when the limits change', () => {
    const test = testRegistry()
    const limits = (maxRequests: number) => ({
      breakers: { default: { ...thresholds, maxRequests }, high: thresholds },
      discovery: { kind: 'static' as const, assignment: newAssignment('c') },
    })
    test.registry.apply(cluster('c', limits(1)))
    const breakers = test.registry.get('c')!.breakers('DEFAULT')
    expect(breakers.tryRequest()).toBe(true)
    expect(test.registry.get('c')!.breakers('HIGH').tryRequest()).toBe(true)
    test.registry.apply(cluster('c', limits(2)))
    expect(test.registry.get('c')!.breakers('DEFAULT')).toBe(breakers)
    expect([breakers.tryRequest(), breakers.tryRequest()]).toEqual([true, false])
  })
})
