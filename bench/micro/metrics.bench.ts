// Cost of the metrics on the request path (a handle through a group, a histogram record, a response charge) and of one scrape of
// 50 000 series. Each asserts its answer before it is timed.
import { strict as assert } from 'node:assert'
import { bench, describe } from 'vitest'
import { DEFAULT_BUCKETS, Histogram } from '../../src/metrics/histogram.js'
import { PrometheusExposition } from '../../src/metrics/prometheus.js'
import { clusterStats } from '../../src/metrics/stat-names.js'
import { parseStatsQuery } from '../../src/metrics/stats-query.js'
import { StatsStore } from '../../src/metrics/stats-store.js'
import { compileTagProducer } from '../../src/metrics/tags.js'
import { consulTags } from '../../test/metrics/consul-tags.js'

const PER_RUN = 1000

describe('request path, 1000 a run', () => {
  const store = new StatsStore()
  const cluster = clusterStats(store, 'api')
  const histogram = new Histogram('h', 'milliseconds', DEFAULT_BUCKETS)
  cluster.main.upstream_rq_total.value++
  assert.equal(store.counter('cluster.api.upstream_rq_total').value, 1)
  histogram.record(1234)
  assert.deepEqual(histogram.bins(false), [{ lower: 1200, width: 100, count: 1 }])
  cluster.chargeResponse(200, true)
  assert.equal(store.counter('cluster.api.upstream_rq_200').value, 1)

  bench('counter of a group', () => {
    for (let i = 0; i < PER_RUN; i++) cluster.main.upstream_rq_total.value++
  })
  bench('gauge up and down', () => {
    for (let i = 0; i < PER_RUN; i++) {
      cluster.main.upstream_rq_active.value++
      cluster.main.upstream_rq_active.value--
    }
  })
  bench('histogram, small and large values', () => {
    for (let i = 0; i < PER_RUN; i++) histogram.record(i * i)
  })
  bench('response by code, class and origin', () => {
    for (let i = 0; i < PER_RUN; i++) cluster.chargeResponse(200, true)
  })
})

describe('scrape of 50 000 series', () => {
  const tags = compileTagProducer({ useAllDefaultTags: true, tags: consulTags('web') })
  assert.ok(tags.ok)
  const store = new StatsStore({ tags: tags.value })
  let clusters = 0
  while (store.seriesCount < 50_000) clusterStats(store, `svc${clusters++}.default.dc1.internal.td.consul`).main.upstream_rq_total.value++
  const parsed = parseStatsQuery('/stats/prometheus', new URLSearchParams('type=Counters'))
  assert.ok(parsed.ok)
  const { query } = parsed
  const exposition = new PrometheusExposition(store)
  const render = () => [...exposition.pieces(query)].join('')
  assert.equal(render().match(/^envoy_cluster_upstream_rq_total\{/gm)?.length, clusters)

  bench('layout kept', () => {
    render()
  })
  bench('a name came: layout built again', () => {
    const scope = store.scope('x')
    scope.counter('y')
    render()
    scope.release()
  })
})
