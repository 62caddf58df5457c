import { describe, expect, test } from 'vitest'
import { defineStatGroup } from '../../src/metrics/stat-group.js'
import { statsText } from '../../src/metrics/stats-page.js'
import { parseStatsQuery } from '../../src/metrics/stats-query.js'
import { compileStatsConfig, StatsStore, type StatsStoreOptions, sanitizeStatName } from '../../src/metrics/stats-store.js'
import type { StatsConfig } from '../../src/model/bootstrap.js'

const GROUP = defineStatGroup({ counters: ['total', 'failed'], gauges: ['active'], histograms: { time: 'milliseconds' } })

function text(store: StatsStore, params = ''): string {
  const parsed = parseStatsQuery('/stats', new URLSearchParams(params))
  if (!parsed.ok) throw new Error(parsed.body)
  return [...statsText(store, parsed.query)].join('')
}

function configured(config: Partial<StatsConfig>): StatsStore {
  const full: StatsConfig = {
    useAllDefaultTags: true,
    tags: [],
    rejectAll: false,
    inclusion: null,
    exclusion: null,
    histogramBuckets: [],
    ...config,
  }
  const compiled = compileStatsConfig(full)
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.errors))
  return new StatsStore(compiled.value satisfies StatsStoreOptions)
}

describe('names', () => {
  test('one stat per kind and name, however it is reached', () => {
    const store = new StatsStore()
    const counter = store.counter('a.b.total')
    expect(store.scope('a').scope('b').counter('total')).toBe(counter)
    expect(store.scope('a.b').group(GROUP).total).toBe(counter)
    expect(store.scope('a.b').group(GROUP)).toBe(store.scope('a').scope('b').group(GROUP))
  })

  test('a group member made first by its full name shows once', () => {
    const store = new StatsStore()
    store.scope('a').group(GROUP)
    store.counter('a.total').value = 3
    expect(text(store, 'type=Counters')).toBe('a.failed: 0\na.total: 3\n')
  })

  test.each([
    ['http://x:80', 'http_x_80'],
    ['unix:/run/x', 'unix_run/x'],
    ['[::1]:80', '[__1]_80'],
    ['.a.', 'a'],
    ['a\0b', 'a_b'],
    ['.', ''],
  ])('%j is sanitized to %j', (name, expected) => {
    expect(sanitizeStatName(name)).toBe(expected)
  })
})

describe('groups', () => {
  test('untouched members show as zero and are not used', () => {
    const store = new StatsStore()
    const handles = store.scope('a').group(GROUP)
    expect(text(store)).toBe('a.active: 0\na.failed: 0\na.total: 0\na.time: No recorded values\n')
    expect(text(store, 'usedonly')).toBe('')
    handles.total.value++
    handles.active.value = 0
    handles.time.record(1)
    expect(text(store, 'usedonly')).toMatch(/^a\.active: 0\na\.total: 1\na\.time: P0\(nan,1\.05\) /)
  })

  test('a counter stays used after a reset', () => {
    const store = new StatsStore()
    store.counter('a').value = 5
    store.counter('b')
    store.resetCounters()
    expect(text(store, 'usedonly')).toBe('a: 0\n')
  })
})

describe('expiry', () => {
  test('stats vanish with the last scope that holds them', () => {
    const store = new StatsStore()
    const before = store.seriesCount
    const old = store.scope('cluster.a')
    const next = store.scope('cluster.a')
    old.group(GROUP).total.value = 7
    old.counter('upstream_rq_200').value = 1
    next.group(GROUP)
    next.counter('upstream_rq_200')
    old.release()
    old.release()
    expect(text(store, 'usedonly')).toBe('cluster.a.total: 7\ncluster.a.upstream_rq_200: 1\n')
    next.release()
    expect(text(store)).toBe('')
    expect(store.seriesCount).toBe(before)
  })

  test('a group member held by its full name outlives its group', () => {
    const store = new StatsStore()
    const cluster = store.scope('a')
    const holder = store.scope('a')
    cluster.group(GROUP).total.value = 2
    holder.counter('total')
    cluster.release()
    expect(text(store)).toBe('a.total: 2\n')
    expect(store.seriesCount).toBe(1)
    holder.release()
    expect(store.seriesCount).toBe(0)
  })

  test('child scopes go with their parent', () => {
    const store = new StatsStore()
    const scope = store.scope('cluster.a')
    scope.scope('ssl').counter('handshake')
    scope.release()
    expect(text(store)).toBe('')
  })

  test('what a request counts after its cluster went does not come back', () => {
    const store = new StatsStore()
    const scope = store.scope('cluster.a')
    const handles = scope.group(GROUP)
    const kept = handles.total
    scope.release()
    kept.value++
    handles.failed.value++
    scope.counter('upstream_rq_200').value++
    scope.scope('later').group(GROUP).total.value++
    scope.gauge('g').value++
    expect(text(store)).toBe('')
    expect(store.seriesCount).toBe(0)
  })

  test('a name that comes back starts at zero', () => {
    const store = new StatsStore()
    const scope = store.scope('cluster.a')
    scope.group(GROUP).total.value = 7
    scope.release()
    store.scope('cluster.a').group(GROUP)
    expect(text(store, 'filter=total')).toBe('cluster.a.total: 0\n')
  })
})

describe('bounds', () => {
  test('beyond maxStats names lead to a shared sink and are counted', () => {
    const store = new StatsStore({ maxStats: 5 })
    store.scope('a').group(GROUP).total.value = 1
    store.counter('b').value = 2
    const refused = store.counter('c')
    refused.value = 9
    expect(store.counter('d')).toBe(refused)
    store.scope('e').group(GROUP).total.value = 1
    expect(store.counter('stats.overflow').value).toBe(3)
    expect(store.seriesCount).toBe(5)
    expect(text(store, 'usedonly')).toBe('a.total: 1\nb: 2\nstats.overflow: 3\n')
  })

  test('room that expires is given again', () => {
    const store = new StatsStore({ maxStats: 4 })
    const scope = store.scope('a')
    scope.group(GROUP)
    scope.release()
    store.scope('b').group(GROUP)
    expect(store.has('counter', 'stats.overflow')).toBe(false)
    expect(text(store, 'type=Gauges')).toBe('b.active: 0\n')
  })
})

describe('stats_config', () => {
  const prefix = (value: string) => ({ kind: 'prefix', value, ignoreCase: false }) as const

  test('reject_all leaves nothing, and handles still work', () => {
    const store = configured({ rejectAll: true })
    store.counter('a').value++
    store.scope('b').group(GROUP).total.value++
    expect(text(store)).toBe('')
  })

  test('an inclusion list admits only what matches, group members one by one', () => {
    const store = configured({ inclusion: [prefix('a.'), { kind: 'regex', value: 'b\\..*al' }] })
    store.counter('a.x')
    store.counter('c.x')
    store.scope('b').group(GROUP)
    expect(text(store)).toBe('a.x: 0\nb.total: 0\n')
  })

  test('an exclusion list refuses what matches', () => {
    const store = configured({
      exclusion: [
        { kind: 'suffix', value: 'TOTAL', ignoreCase: true },
        { kind: 'contains', value: 'ail', ignoreCase: false },
      ],
    })
    store.scope('b').group(GROUP).total.value++
    store.counter('exact')
    expect(text(store)).toBe('b.active: 0\nexact: 0\nb.time: No recorded values\n')
  })

  test('the first matching bucket setting counts', () => {
    const store = configured({
      histogramBuckets: [
        { match: prefix('a'), buckets: [10, 1, 10] },
        { match: prefix('a'), buckets: [7] },
      ],
    })
    store.scope('').histogram('a.time').record(5)
    expect(text(store, 'histogram_buckets=cumulative')).toBe('a.time: B1(0,0) B10(0,1)\n')
    expect(store.scope('').histogram('b').buckets).toHaveLength(19)
  })

  test('errors name their fields', () => {
    const result = compileStatsConfig({
      useAllDefaultTags: true,
      tags: [{ name: 'x', regex: '[', fixedValue: null }],
      rejectAll: false,
      inclusion: [{ kind: 'regex', value: '(' }],
      exclusion: null,
      histogramBuckets: [{ match: prefix('a'), buckets: [0] }],
    })
    expect(result.ok ? [] : result.errors.map(error => error.path)).toEqual([
      'stats_config.stats_tags[0].regex',
      'stats_config.stats_matcher.inclusion_list.patterns[0].safe_regex.regex',
      'stats_config.histogram_bucket_settings[0].buckets',
    ])
  })
})
