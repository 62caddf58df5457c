import { describe, expect, test } from 'vitest'
import { statsJson, statsText } from '../../src/metrics/stats-page.js'
import { parseStatsQuery } from '../../src/metrics/stats-query.js'
import { StatsStore } from '../../src/metrics/stats-store.js'

function page(store: StatsStore, params: string): string {
  const parsed = parseStatsQuery('/stats', new URLSearchParams(params))
  if (!parsed.ok) return `${parsed.status} ${parsed.body}`
  return [...(parsed.query.format === 'json' ? statsJson : statsText)(store, parsed.query)].join('')
}

function sample(): StatsStore {
  const store = new StatsStore()
  store.scope('').textReadout('control_plane.identifier').value = 'cp "1"'
  store.counter('cluster.b.upstream_rq_total').value = 3
  store.scope('').gauge('cluster.a.upstream_cx_active').value = 2
  store.scope('').gauge('cluster.a.remaining').value = 2 ** 64
  store.counter('cluster_manager.cluster_added')
  store.scope('').histogram('http.p.downstream_rq_time', 'milliseconds')
  const time = store.scope('').histogram('http.a.downstream_rq_time', 'milliseconds')
  time.record(1)
  store.flush()
  time.record(1)
  return store
}

const QUANTILES = ['P0', 'P25', 'P50', 'P75', 'P90', 'P95', 'P99', 'P99.5', 'P99.9', 'P100']

describe('text', () => {
  test('text readouts, then counters and gauges, then histograms, each sorted', () => {
    const values = ['1.0333333333333334', '1.0333333333333334', '1.0333333333333334', ...Array<string>(7).fill('1.0666666666666667')]
    expect(page(sample(), '')).toBe(
      [
        'control_plane.identifier: "cp "1""',
        'cluster.a.remaining: 18446744073709551615',
        'cluster.a.upstream_cx_active: 2',
        'cluster.b.upstream_rq_total: 3',
        'cluster_manager.cluster_added: 0',
        `http.a.downstream_rq_time: ${QUANTILES.map((q, i) => `${q}(1.05,${values[i]})`).join(' ')}`,
        'http.p.downstream_rq_time: No recorded values',
        '',
      ].join('\n'),
    )
  })

  test('an interval without values shows nan', () => {
    const store = new StatsStore()
    store.scope('').histogram('h').record(1)
    expect(page(store, '')).toBe(`h: ${QUANTILES.map(q => `${q}(nan,1.05)`).join(' ')}\n`)
  })

  test('filter, invert_filter, usedonly and type choose', () => {
    expect(page(sample(), 'filter=^cluster\\.')).toBe(
      'cluster.a.remaining: 18446744073709551615\ncluster.a.upstream_cx_active: 2\ncluster.b.upstream_rq_total: 3\n',
    )
    expect(page(sample(), 'filter=e&invert_filter')).toBe('')
    expect(page(sample(), 'usedonly&type=Counters')).toBe('cluster.b.upstream_rq_total: 3\n')
    expect(page(sample(), 'type=TextReadouts')).toBe('control_plane.identifier: "cp "1""\n')
  })

  test('bucket views', () => {
    const buckets = (counts: (i: number) => string) =>
      [
        '0.5',
        '1',
        '5',
        '10',
        '25',
        '50',
        '100',
        '250',
        '500',
        '1000',
        '2500',
        '5000',
        '10000',
        '30000',
        '60000',
        '300000',
        '600000',
        '1.8e+06',
        '3.6e+06',
      ]
        .map((bound, i) => `B${bound}${counts(i)}`)
        .join(' ')
    const only = '&filter=a.downstream'
    expect(page(sample(), `histogram_buckets=cumulative${only}`)).toBe(
      `http.a.downstream_rq_time: ${buckets(i => (i === 0 ? '(0,0)' : '(1,2)'))}\n`,
    )
    expect(page(sample(), `histogram_buckets=disjoint${only}`)).toBe(
      `http.a.downstream_rq_time: ${buckets(i => (i === 1 ? '(1,2)' : '(0,0)'))}\n`,
    )
    expect(page(sample(), `histogram_buckets=detailed${only}`)).toMatch(
      /^http\.a\.downstream_rq_time:\n {2}totals=1,0\.1:2\n {2}intervals=1,0\.1:1\n {2}summary=P0\(1\.05,/,
    )
  })
})

describe('json', () => {
  test('the shape of Envoy', () => {
    const values = [1, 1, 1, 2, 2, 2, 2, 2, 2, 2].map(rank => ({ cumulative: 1 + (0.1 * rank) / 3, interval: 1.05 }))
    const nothing = { cumulative: null, interval: null }
    expect(JSON.parse(page(sample(), 'format=json'))).toEqual({
      stats: [
        { name: 'control_plane.identifier', value: 'cp "1"' },
        { name: 'cluster.a.remaining', value: 2 ** 64 },
        { name: 'cluster.a.upstream_cx_active', value: 2 },
        { name: 'cluster.b.upstream_rq_total', value: 3 },
        { name: 'cluster_manager.cluster_added', value: 0 },
        {
          histograms: {
            supported_quantiles: [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100],
            computed_quantiles: [
              { name: 'http.a.downstream_rq_time', values },
              { name: 'http.p.downstream_rq_time', values: Array(10).fill(nothing) },
            ],
          },
        },
      ],
    })
    expect(page(sample(), 'format=json&filter=rq_total')).toBe('{"stats":[{"name":"cluster.b.upstream_rq_total","value":3}]}')
    expect(page(sample(), 'format=json&filter=zzz')).toBe('{"stats":[]}')
  })

  test('bucket views', () => {
    const store = new StatsStore({ rules: { accepts: null, bucketsFor: () => [1, 5] } })
    store.scope('').histogram('h').record(2)
    const form = (view: string) => page(store, `format=json&histogram_buckets=${view}`)
    expect(form('cumulative')).toBe(
      '{"stats":[{"histograms":[{"name":"h","buckets":[{"upper_bound":1,"interval":0,"cumulative":0},{"upper_bound":5,"interval":0,"cumulative":1}]}]}]}',
    )
    expect(form('disjoint')).toBe(form('cumulative'))
    expect(form('detailed')).toMatch(
      /^\{"stats":\[\{"histograms":\{"supported_percentiles":\[0,25,.*\],"details":\[\{"name":"h","totals":\[\{"lower_bound":2,"width":0\.1,"count":1\}\],"intervals":\[\],"percentiles":\[\{"cumulative":2\.05,"interval":null\}/,
    )
  })
})

describe('bad requests', () => {
  test.each([
    ['type=Foo', '400 invalid &type= param'],
    ['format=foo', '400 usage: /stats?format=(html|active-html|json|prometheus|text)\n\n'],
    ['histogram_buckets=foo', '400 usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n'],
    ['format=prometheus&histogram_buckets=detailed', '400 unsupported prometheus histogram bucket mode'],
  ])('%s', (params, expected) => {
    expect(page(new StatsStore(), params)).toBe(expected)
  })

  test('a filter that is no RE2 regex', () => {
    expect(page(new StatsStore(), 'filter=(')).toMatch(/^400 Invalid re2 regex: /)
  })
})
