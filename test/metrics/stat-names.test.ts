import { describe, expect, test } from 'vitest'
import {
  clusterManagerStats,
  clusterStats,
  hcmStats,
  http1CodecStats,
  http2CodecStats,
  listenerManagerStats,
  listenerStatName,
  listenerStats,
  MAX_TLS_NAMES,
  rbacStats,
  serverStats,
  tcpProxyStats,
  VirtualClusterStats,
} from '../../src/metrics/stat-names.js'
import { statsText } from '../../src/metrics/stats-page.js'
import { parseStatsQuery } from '../../src/metrics/stats-query.js'
import { StatsStore } from '../../src/metrics/stats-store.js'
import { adsStats } from '../../src/metrics/subscription-stats.js'

function used(store: StatsStore): string[] {
  return page(store, 'usedonly')
}

function page(store: StatsStore, params: string): string[] {
  const parsed = parseStatsQuery('/stats', new URLSearchParams(params))
  if (!parsed.ok) throw new Error(parsed.body)
  return [...statsText(store, parsed.query)].join('').split('\n').slice(0, -1)
}

const names = (store: StatsStore) => page(store, '').map(line => line.slice(0, line.indexOf(': ')))

describe('listeners and connection managers', () => {
  test('a finished response counts under the connection manager and its listener', () => {
    const store = new StatsStore()
    const listener = listenerStats(store, listenerStatName('127.0.0.1', 20000))
    const hcm = hcmStats(store, 'public_listener')
    const http = listener.http('public_listener')
    for (const status of [101, 200, 302, 404, 503, 200, 799]) hcm.completed(status, http)
    hcm.completed(200, null)
    expect(used(store)).toEqual([
      'http.public_listener.downstream_rq_1xx: 1',
      'http.public_listener.downstream_rq_2xx: 3',
      'http.public_listener.downstream_rq_3xx: 1',
      'http.public_listener.downstream_rq_4xx: 1',
      'http.public_listener.downstream_rq_5xx: 1',
      'http.public_listener.downstream_rq_completed: 8',
      'listener.127.0.0.1_20000.http.public_listener.downstream_rq_1xx: 1',
      'listener.127.0.0.1_20000.http.public_listener.downstream_rq_2xx: 2',
      'listener.127.0.0.1_20000.http.public_listener.downstream_rq_3xx: 1',
      'listener.127.0.0.1_20000.http.public_listener.downstream_rq_4xx: 1',
      'listener.127.0.0.1_20000.http.public_listener.downstream_rq_5xx: 1',
      'listener.127.0.0.1_20000.http.public_listener.downstream_rq_completed: 7',
    ])
  })

  test('listener names', () => {
    expect([listenerStatName('::1', 80), listenerStatName('0.0.0.0', 80), listenerStatName('/run/x.sock', null)]).toEqual([
      '[__1]_80',
      '0.0.0.0_80',
      '/run/x.sock',
    ])
  })

  test('tracing, router and rbac names exist from their first use', () => {
    const store = new StatsStore()
    const hcm = hcmStats(store, 'p')
    expect(names(store).some(name => name.includes('no_route'))).toBe(false)
    hcm.router.no_route.value++
    hcm.rbac().main.denied.value++
    hcm.rbac('rules').policy('a.b', 'allowed').value++
    rbacStats(store, 'connect_authz').main.allowed.value++
    rbacStats(store, 'with_dot.').main.allowed.value++
    tcpProxyStats(store, 'upstream.api.default.default.dc1').main.downstream_cx_total.value++
    expect(used(store)).toEqual([
      'connect_authz.rbac.allowed: 1',
      'http.p.no_route: 1',
      'http.p.rbac.denied: 1',
      'http.p.rbac.rules.policy.a.b.allowed: 1',
      'tcp.upstream.api.default.default.dc1.downstream_cx_total: 1',
      'with_dot.rbac.allowed: 1',
    ])
  })

  test('two listeners with one prefix share it; it lives until both went', () => {
    const store = new StatsStore()
    const a = hcmStats(store, 'p')
    const b = hcmStats(store, 'p')
    a.main.downstream_rq_total.value++
    b.main.downstream_rq_total.value++
    a.release()
    expect(used(store)).toEqual(['http.p.downstream_rq_total: 2'])
    b.release()
    expect(names(store)).toEqual([])
  })

  test('names negotiated in TLS are bounded', () => {
    const store = new StatsStore()
    const { tls } = listenerStats(store, 'l')
    for (let i = 0; i < MAX_TLS_NAMES + 3; i++) tls.countName('ciphers', `C${i}`)
    tls.countName('ciphers', 'C0')
    expect(page(store, 'filter=ciphers')).toHaveLength(MAX_TLS_NAMES + 1)
    expect(page(store, 'filter=ciphers.(other|C0)$')).toEqual(['listener.l.ssl.ciphers.C0: 2', 'listener.l.ssl.ciphers.other: 3'])
  })
})

describe('clusters', () => {
  test('the whole documented set shows with zeros at once, and goes with the cluster', () => {
    const store = new StatsStore()
    const cluster = clusterStats(store, 'local_app')
    const lines = page(store, '')
    expect(lines).toContain('cluster.local_app.upstream_cx_http2_total: 0')
    expect(lines).toContain('cluster.local_app.circuit_breakers.high.rq_retry_open: 0')
    expect(lines).toContain('cluster.local_app.membership_healthy: 0')
    expect(lines).toContain('cluster.local_app.upstream_cx_length_ms: No recorded values')
    expect(lines.some(line => line.includes('outlier') || line.includes('remaining') || line.includes('health_check'))).toBe(false)
    expect(store.seriesCount).toBe(lines.length)
    cluster.release()
    expect(store.seriesCount).toBe(0)
  })

  test('what depends on the config shows once it is asked for', () => {
    const store = new StatsStore()
    const cluster = clusterStats(store, 'c')
    cluster.outlierDetection.ejections_active.value = 1
    cluster.healthCheck.attempt.value++
    cluster.tls.main.handshake.value++
    cluster.http2.streams_active.value = 3
    cluster.http1.response_flood.value++
    cluster.breakersRemaining('default').remaining_rq.value = 1024
    expect(used(store)).toEqual([
      'cluster.c.circuit_breakers.default.remaining_rq: 1024',
      'cluster.c.health_check.attempt: 1',
      'cluster.c.http1.response_flood: 1',
      'cluster.c.http2.streams_active: 3',
      'cluster.c.outlier_detection.ejections_active: 1',
      'cluster.c.ssl.handshake: 1',
    ])
    expect(cluster.http2).toBe(cluster.http2)
  })

  test('responses by code and class, overall and by origin', () => {
    const store = new StatsStore()
    const cluster = clusterStats(store, 'c')
    cluster.chargeResponse(200, false)
    cluster.chargeResponse(503, true)
    cluster.chargeResponse(200, true)
    cluster.chargeTime(7, false, true)
    expect(used(store).slice(0, -3)).toEqual([
      'cluster.c.external.upstream_rq_200: 1',
      'cluster.c.external.upstream_rq_2xx: 1',
      'cluster.c.external.upstream_rq_completed: 1',
      'cluster.c.internal.upstream_rq_200: 1',
      'cluster.c.internal.upstream_rq_2xx: 1',
      'cluster.c.internal.upstream_rq_503: 1',
      'cluster.c.internal.upstream_rq_5xx: 1',
      'cluster.c.internal.upstream_rq_completed: 2',
      'cluster.c.upstream_rq_200: 2',
      'cluster.c.upstream_rq_2xx: 2',
      'cluster.c.upstream_rq_503: 1',
      'cluster.c.upstream_rq_5xx: 1',
      'cluster.c.upstream_rq_completed: 3',
    ])
    expect(
      used(store)
        .slice(-3)
        .map(line => line.slice(0, line.indexOf(':'))),
    ).toEqual(['cluster.c.canary.upstream_rq_time', 'cluster.c.external.upstream_rq_time', 'cluster.c.upstream_rq_time'])
  })

  test('numbers that are no status code make no names', () => {
    const store = new StatsStore()
    const cluster = clusterStats(store, 'c')
    for (const status of [0, 99, 1000, 200.5, Number.NaN, 1e9]) cluster.codes.charge(status)
    expect(used(store)).toEqual(['cluster.c.upstream_rq_completed: 6'])
  })

  test('a cluster removed under a request leaves nothing behind', () => {
    const store = new StatsStore()
    const cluster = clusterStats(store, 'c')
    cluster.release()
    cluster.chargeResponse(200, false)
    cluster.chargeTime(1, false, false)
    cluster.main.upstream_cx_active.value++
    expect(names(store)).toEqual([])
  })

  test('an EDS cluster counts its subscription under its own prefix, each name once', () => {
    const store = new StatsStore()
    const { eds } = clusterStats(store, 'c')
    eds.update_success.value++
    eds.update_rejected.value++
    eds.version_text.value = 'v1'
    expect(used(store)).toEqual(['cluster.c.version_text: "v1"', 'cluster.c.update_rejected: 1', 'cluster.c.update_success: 1'])
    const all = names(store)
    expect(new Set(all).size).toBe(all.length)
  })

  test('virtual clusters and routes', () => {
    const store = new StatsStore()
    const stats = new VirtualClusterStats(store, 'vh', 'vcluster', 'other')
    stats.main.upstream_rq_total.value++
    stats.codes.charge(404)
    expect(used(store)).toEqual([
      'vhost.vh.vcluster.other.upstream_rq_404: 1',
      'vhost.vh.vcluster.other.upstream_rq_4xx: 1',
      'vhost.vh.vcluster.other.upstream_rq_completed: 1',
      'vhost.vh.vcluster.other.upstream_rq_total: 1',
    ])
    stats.release()
    expect(names(store)).toEqual([])
  })
})

test('server-wide groups and subscriptions carry the names that dashboards use', () => {
  const store = new StatsStore()
  serverStats(store).live.value = 1
  listenerManagerStats(store).total_listeners_active.value = 1
  clusterManagerStats(store).active_clusters.value = 1
  http1CodecStats(store).metadata_not_supported_error.value = 1
  http2CodecStats(store).rx_reset.value = 1
  const ads = adsStats(store)
  ads.controlPlane.connected_state.value = 1
  ads.lds.update_success.value = 1
  ads.cds.config_reload.value = 1
  const rds = ads.rds('p', 'my.route/x')
  rds.update_rejected.value = 1
  ads.sds('leaf').update_attempt.value = 1
  expect(used(store)).toEqual([
    'cluster_manager.active_clusters: 1',
    'cluster_manager.cds.config_reload: 1',
    'control_plane.connected_state: 1',
    'http.p.rds.my.route/x.update_rejected: 1',
    'http1.metadata_not_supported_error: 1',
    'http2.rx_reset: 1',
    'listener_manager.lds.update_success: 1',
    'listener_manager.total_listeners_active: 1',
    'sds.leaf.update_attempt: 1',
    'server.live: 1',
  ])
  expect(page(store, 'type=TextReadouts')).toContain('control_plane.identifier: ""')
  rds.release()
  expect(names(store).some(name => name.includes('.rds.'))).toBe(false)
})
