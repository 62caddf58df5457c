import { describe, expect, it } from 'vitest'
import { StatsdLines } from '../../../src/metrics/sinks/statsd-lines.js'
import { packed } from '../../../src/metrics/sinks/statsd-sink.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'

describe('statsd lines', () => {
  const store = new StatsStore()
  const scope = store.scope('cluster.a|b')

  it('hold no character in a name that would end it', () => {
    expect(new StatsdLines('', null).counter(scope.counter('upstream_rq'), 2)).toBe('envoy.cluster.a_b.upstream_rq:2|c')
  })

  it('keep tags beside the name, where they may hold colons', () => {
    expect(new StatsdLines('pre', store.tags).counter(scope.counter('upstream_rq'), 2)).toBe(
      'pre.cluster.upstream_rq:2|c|#envoy.cluster_name:a_b',
    )
  })

  it('tell every value as milliseconds, and fractions as they are', () => {
    const lines = new StatsdLines('', null)
    expect(lines.value(scope.histogram('t', 'milliseconds'), 7.9)).toBe('envoy.cluster.a_b.t:7|ms')
    expect(lines.value(scope.histogram('u', 'microseconds'), 2500)).toBe('envoy.cluster.a_b.u:2|ms')
    expect(lines.value(scope.histogram('p', 'percent'), 500_000)).toBe('envoy.cluster.a_b.p:0.5|h')
  })

  it('share datagrams as long as they fit', () => {
    expect(packed(['aaa', 'bbb', 'cccccccc', 'd'], 7)).toEqual(['aaa\nbbb', 'cccccccc', 'd'])
    expect(packed(['aaa', 'bbb'], 0)).toEqual(['aaa', 'bbb'])
  })
})

describe('the growth of a counter', () => {
  it('loses nothing by a reset', () => {
    const store = new StatsStore()
    const counter = store.counter('c')
    counter.value += 3
    expect(counter.takeGrowth()).toBe(3)
    counter.value += 2
    store.resetCounters()
    counter.value += 5
    expect(counter.takeGrowth()).toBe(7)
    expect(store.takeFlushed().counters).toEqual([{ counter, delta: 0 }])
  })
})
