import { describe, expect, test } from 'vitest'
import { PrometheusExposition } from '../../src/metrics/prometheus.js'
import { hcmStats } from '../../src/metrics/stat-names.js'
import { parseStatsQuery, type StatsQuery } from '../../src/metrics/stats-query.js'
import { StatsStore } from '../../src/metrics/stats-store.js'
import { compileTagProducer } from '../../src/metrics/tags.js'
import { consulTags } from './consul-tags.js'

function query(params = ''): StatsQuery {
  const parsed = parseStatsQuery('/stats/prometheus', new URLSearchParams(params))
  if (!parsed.ok) throw new Error(parsed.body)
  return parsed.query
}

function render(exposition: PrometheusExposition, params = ''): string {
  return [...exposition.pieces(query(params))].join('')
}

function text(store: StatsStore, params = ''): string {
  return render(new PrometheusExposition(store), params)
}

function consulStore(): StatsStore {
  const tags = compileTagProducer({ useAllDefaultTags: true, tags: consulTags('web') })
  if (!tags.ok) throw new Error(JSON.stringify(tags.errors))
  return new StatsStore({ tags: tags.value })
}

describe('exact text', () => {
  test('counters, gauges and histograms, sorted by the parts of the stat name; `_` comes after `.`', () => {
    const store = new StatsStore({ rules: { accepts: null, bucketsFor: () => [0.5, 1, 3600000] } })
    store.counter('cluster_manager.cluster_added').value = 2
    store.counter('cluster.b.upstream_rq_503').value = 4
    store.counter('cluster.a.upstream_rq_200').value = 1
    store.scope('').gauge('server.live').value = 1
    store.scope('').gauge('cluster.a.membership_total').value = 1
    for (const value of [0, 1, 1, 1, 1, 4]) store.scope('').histogram('http.p.downstream_rq_time').record(value)
    expect(text(store)).toBe(`# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="a"} 1
envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="b"} 4
# TYPE envoy_cluster_manager_cluster_added counter
envoy_cluster_manager_cluster_added{} 2
# TYPE envoy_cluster_membership_total gauge
envoy_cluster_membership_total{envoy_cluster_name="a"} 1
# TYPE envoy_server_live gauge
envoy_server_live{} 1
# TYPE envoy_http_downstream_rq_time histogram
envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="p",le="0.5"} 1
envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="p",le="1"} 5
envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="p",le="3600000"} 6
envoy_http_downstream_rq_time_bucket{envoy_http_conn_manager_prefix="p",le="+Inf"} 6
envoy_http_downstream_rq_time_sum{envoy_http_conn_manager_prefix="p"} 8.2398589065255727348358050221577
envoy_http_downstream_rq_time_count{envoy_http_conn_manager_prefix="p"} 6
`)
  })

  test('summaries, of the last finished interval', () => {
    const store = new StatsStore()
    store.scope('').histogram('t').record(1)
    expect(text(store, 'histogram_buckets=summary')).toContain('envoy_t{quantile="0.5"} nan\n')
    store.flush()
    store.scope('').histogram('t').record(7)
    const values = ['0', '0.25', '0.5', '0.75', '0.9', '0.95', '0.99', '0.995', '0.999', '1']
      .map(quantile => `envoy_t{quantile="${quantile}"} 1.0500000000000000444089209850063\n`)
      .join('')
    expect(text(store, 'histogram_buckets=summary')).toBe(
      `# TYPE envoy_t summary\n${values}envoy_t_sum{} 1.0476190476190476719153821250075\nenvoy_t_count{} 1\n`,
    )
  })

  test('text readouts only when asked for; label values are escaped', () => {
    const store = new StatsStore()
    store.scope('').textReadout('control_plane.identifier').value = 'a"b\\c\nd'
    expect(text(store)).toBe('')
    expect(text(store, 'text_readouts')).toBe(
      '# TYPE envoy_control_plane_identifier gauge\nenvoy_control_plane_identifier{text_value="a\\"b\\\\c\\nd"} 1\n',
    )
  })

  test('one metric may have different label sets', () => {
    const store = consulStore()
    store.counter('http.public_listener.downstream_rq_total').value = 1
    store.counter('http.upstream.api.default.default.dc1.downstream_rq_total').value = 2
    const fixed = 'local_cluster="web",consul_source_service="web",consul_source_namespace="default",consul_source_partition="default"'
    expect(text(store)).toBe(`# TYPE envoy_http_downstream_rq_total counter
envoy_http_downstream_rq_total{${fixed},envoy_http_conn_manager_prefix="public_listener"} 1
envoy_http_downstream_rq_total{consul_upstream_service="api",consul_upstream_datacenter="dc1",consul_upstream_namespace="default",consul_upstream_partition="default",${fixed},envoy_http_conn_manager_prefix="upstream"} 2
`)
  })

  test("what Consul's UI asks for", () => {
    const store = consulStore()
    store.counter('listener.10.0.0.1_20000.http.public_listener.downstream_rq_5xx').value = 1
    const labels = /^envoy_listener_http_downstream_rq_xx\{(.*)\} 1$/m.exec(text(store))?.[1]
    expect(labels).toContain('envoy_http_conn_manager_prefix="public_listener"')
    expect(labels).toContain('envoy_response_code_class="5"')
    expect(labels).toContain('consul_source_service="web"')
  })
})

describe('selection', () => {
  test('usedonly leaves out whole metrics, filter looks at the stat name', () => {
    const store = new StatsStore()
    const hcm = hcmStats(store, 'p')
    hcm.main.downstream_rq_total.value = 2
    expect(text(store, 'usedonly')).toBe(
      '# TYPE envoy_http_downstream_rq_total counter\nenvoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="p"} 2\n',
    )
    expect(text(store, 'filter=^http\\.p\\.downstream_cx_active$')).toBe(
      '# TYPE envoy_http_downstream_cx_active gauge\nenvoy_http_downstream_cx_active{envoy_http_conn_manager_prefix="p"} 0\n',
    )
    expect(text(store, 'filter=rq_time$')).toMatch(/^# TYPE envoy_http_downstream_rq_time histogram\n(.*\n){19}.*le="\+Inf"\} 0\n/)
  })
})

describe('changes between scrapes', () => {
  test('values, new names, names touched late, and names that went', () => {
    const store = new StatsStore()
    const exposition = new PrometheusExposition(store)
    const only = 'filter=downstream_rq_total|upstream_rq'
    const scope = store.scope('cluster.a')
    const hcm = hcmStats(store, 'p')
    expect(render(exposition, only)).toContain('envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="p"} 0')
    hcm.main.downstream_rq_total.value = 5
    expect(render(exposition, only)).toContain('envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="p"} 5')
    scope.counter('upstream_rq_200').value = 1
    expect(render(exposition, only)).toContain('envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="a"} 1')
    scope.release()
    hcm.release()
    expect(render(exposition, only)).toBe('')
  })

  test('stats that come between the pieces of a scrape show once', () => {
    const store = new StatsStore()
    const hcm = hcmStats(store, 'p')
    for (let i = 0; i < 3000; i++) store.counter(`c.n${i}`)
    const exposition = new PrometheusExposition(store)
    const pieces = exposition.pieces(query())
    pieces.next()
    store.counter('late')
    hcm.main.downstream_cx_active.value = 3
    const rest = [...pieces].join('')
    expect(rest.match(/^envoy_http_downstream_cx_active\{/gm)).toHaveLength(1)
    expect(render(exposition, 'usedonly')).toBe(
      '# TYPE envoy_http_downstream_cx_active gauge\nenvoy_http_downstream_cx_active{envoy_http_conn_manager_prefix="p"} 3\n',
    )
    expect(render(exposition, 'filter=^late$')).toBe('# TYPE envoy_late counter\nenvoy_late{} 0\n')
  })
})
