import { describe, expect, it } from 'vitest'
import type { Counter, Gauge } from '../../src/metrics/stat.js'
import { clusterStats } from '../../src/metrics/stat-names.js'
import { isOfWorkers, StatsExport } from '../../src/metrics/stats-export.js'
import { StatsImport } from '../../src/metrics/stats-import.js'
import { StatsStore } from '../../src/metrics/stats-store.js'

function value(store: StatsStore, kind: 'counter' | 'gauge', name: string): number | undefined {
  for (const stat of store.allStats(kind)) if (stat.name === name) return (stat as Counter | Gauge).value
  return undefined
}

function twoWorkers() {
  const primary = new StatsStore()
  const imported = new StatsImport(primary)
  const workers = [0, 1].map(() => {
    const store = new StatsStore()
    const exported = new StatsExport(store)
    const there = imported.worker()
    return { store, there, tell: () => there.apply(structuredClone(exported.take())) }
  })
  return { primary, workers }
}

describe('stats of several workers in one store', () => {
  it('counters and histograms are the sum, told once; gauges the sum of what each has now', () => {
    const { primary, workers } = twoWorkers()
    for (const [i, { store, tell }] of workers.entries()) {
      store.counter('http.in.downstream_rq_total').value += 3 + i
      store.scope('http.in').gauge('downstream_cx_active').value = 2
      for (const ms of [1, 5, 5, 2500]) store.scope('http.in').histogram('downstream_rq_time', 'milliseconds').record(ms)
      tell()
      tell()
    }
    workers[0]!.store.counter('http.in.downstream_rq_total').value++
    workers[0]!.store.scope('http.in').gauge('downstream_cx_active').value = 1
    workers[0]!.tell()
    expect(value(primary, 'counter', 'http.in.downstream_rq_total')).toBe(8)
    expect(value(primary, 'gauge', 'http.in.downstream_cx_active')).toBe(3)
    const histogram = primary.scope('http.in').histogram('downstream_rq_time', 'milliseconds')
    expect(histogram.sampleCount).toBe(8)
    histogram.flush()
    expect(histogram.bins(false).map(({ lower, count }) => [lower, count])).toEqual([
      [1, 2],
      [5, 4],
      [2500, 2],
    ])
  })

  it('a worker that ends takes its part of the gauges off, and leaves its counts', () => {
    const { primary, workers } = twoWorkers()
    for (const { store, tell } of workers) {
      store.counter('cluster.a.upstream_rq_200').value = 5
      store.scope('cluster.a').gauge('upstream_cx_active').value = 4
      tell()
    }
    workers[0]!.there.release()
    expect(value(primary, 'counter', 'cluster.a.upstream_rq_200')).toBe(10)
    expect(value(primary, 'gauge', 'cluster.a.upstream_cx_active')).toBe(4)
  })

  it('a name goes when no worker has it, and stays while the primary itself does', () => {
    const { primary, workers } = twoWorkers()
    const here = clusterStats(primary, 'a')
    const scopes = workers.map(({ store, tell }) => {
      const stats = clusterStats(store, 'a')
      stats.main.upstream_cx_total.value = 7
      store.counter('cluster.b.upstream_rq_200').value = 1
      const scope = store.scope('cluster.c')
      scope.counter('upstream_rq_503').value = 1
      tell()
      return { stats, scope }
    })
    expect(here.main.upstream_cx_total.value).toBe(14)
    for (const { stats, scope } of scopes) {
      stats.release()
      scope.release()
    }
    workers[0]!.tell()
    expect(value(primary, 'counter', 'cluster.c.upstream_rq_503')).toBe(2)
    workers[1]!.tell()
    expect(value(primary, 'counter', 'cluster.c.upstream_rq_503')).toBeUndefined()
    expect(value(primary, 'counter', 'cluster.b.upstream_rq_200')).toBe(2)
    expect(here.main.upstream_cx_total.value).toBe(14)
    here.release()
    expect(value(primary, 'counter', 'cluster.a.upstream_cx_total')).toBeUndefined()
  })

  it.each([
    ['counter', 'cluster.a.b.upstream_rq_total', true],
    ['counter', 'server.connection_exceptions', true],
    ['counter', 'listener.0.0.0.0_80.ssl.handshake', true],
    ['counter', 'cluster.a.update_success', false],
    ['counter', 'cluster.a.membership_change', false],
    ['counter', 'cluster.a.outlier_detection.ejections_total', false],
    ['counter', 'http.in.rds.main.config_reload', false],
    ['counter', 'cluster_manager.cluster_added', false],
    ['counter', 'server.worker_restarts', false],
    ['gauge', 'http.in.downstream_rq_active', true],
    ['gauge', 'cluster.a.circuit_breakers.default.remaining_cx', true],
    ['gauge', 'cluster.a.membership_total', false],
    ['gauge', 'cluster.a.outlier_detection.ejections_active', false],
    ['gauge', 'listener_manager.total_listeners_active', false],
    ['gauge', 'server.live', false],
    ['histogram', 'http.in.downstream_rq_time', true],
  ] as const)('%s %s is counted by workers: %s', (kind, name, theirs) => {
    expect(isOfWorkers(kind, name)).toBe(theirs)
  })
})
