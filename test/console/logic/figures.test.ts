import { describe, expect, it } from 'vitest'
import { ago, count, millis, percent, rate, span } from '../../../src/console/logic/figures.js'
import {
  byPair,
  byVersion,
  intoServices,
  NO_TRAFFIC,
  outlierReason,
  pairKey,
  sidecarKey,
  sum,
} from '../../../src/console/logic/traffic-figures.js'

const totals = (Requests: number, Failures = 0, P99 = 10) => ({
  Requests,
  Failures,
  RequestsPerSecond: Requests / 60,
  SuccessRate: Requests === 0 ? null : 1 - Failures / Requests,
  P50: 1,
  P90: 5,
  P99,
  Active: 0,
})

describe('figures as they are written', () => {
  it('never round what is not all up to all', () => {
    expect(percent(1)).toBe('100 %')
    expect(percent(0.99999)).toBe('99.99 %')
    expect(percent(0.5)).toBe('50.0 %')
    expect(percent(0)).toBe('0 %')
    expect(percent(null)).toBe('–')
  })

  it('have the unit that fits', () => {
    expect([millis(0.42), millis(42), millis(1_500), millis(null)]).toEqual(['0.4 ms', '42 ms', '1.50 s', '–'])
    expect([rate(0), rate(0.01), rate(3.21), rate(1_234)]).toEqual(['0', '<0.1', '3.2', '1,234'])
    expect([count(999), count(1_234_567)]).toEqual(['999', '1.2M'])
    expect([span(59_000), span(180_000), span(3 * 3_600_000), span(72 * 3_600_000)]).toEqual(['59 s', '3 min', '3 h', '3 d'])
    expect(ago('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:05:00Z'))).toBe('5 min ago')
  })
})

describe('traffic put together', () => {
  const edge = (Source: string, Destination: string, Subset: string, Totals: ReturnType<typeof totals>) => ({
    Source,
    Destination,
    Subset,
    Totals,
  })

  it('adds the subsets of a destination up, the success rate by requests', () => {
    const pairs = byPair([edge('web', 'api', 'v1', totals(90)), edge('web', 'api', 'v2', totals(10, 10, 99))])
    expect(pairs.get(pairKey('web', 'api'))).toMatchObject({ Requests: 100, Failures: 10, SuccessRate: 0.9, P99: 10 })
    expect(sum([])).toEqual(NO_TRAFFIC)
  })

  it('takes what a service counts itself over what its callers count', () => {
    const into = intoServices(
      [edge('web', 'api', '', totals(50)), edge('web', 'legacy', '', totals(7))],
      [{ Proxy: 'p', Service: 'api', Totals: totals(60) }],
    )
    expect([into.get('api')?.Requests, into.get('legacy')?.Requests]).toEqual([60, 7])
  })

  it('tells versions apart by the sidecar that reported, also of one ID on two nodes', () => {
    const versions = new Map([
      [sidecarKey('api', 'n1'), 'v1'],
      [sidecarKey('api', 'n2'), 'v2'],
      [sidecarKey('api-3', 'n2'), 'v2'],
    ])
    const inbound = [
      { Proxy: 'api', Node: 'n1', Service: 'api', Totals: totals(90) },
      { Proxy: 'api', Node: 'n2', Service: 'api', Totals: totals(10) },
      { Proxy: 'unknown', Node: 'n1', Service: 'api', Totals: totals(5) },
    ]
    expect(byVersion(inbound, versions).map(({ version, instances, totals: { Requests } }) => [version, instances, Requests])).toEqual([
      ['v1', 1, 90],
      ['v2', 2, 10],
    ])
  })

  it('finds the instance that fails more, or is slower, than its siblings, once there are enough requests', () => {
    const good = [totals(100), totals(100), totals(100)]
    expect(outlierReason(totals(100, 20), [...good])).toMatch(/20 points/)
    expect(outlierReason(totals(100, 0, 40), [...good])).toMatch(/p99 is 4\.0 times/)
    expect(outlierReason(totals(100, 1), [...good])).toBeUndefined()
    expect(outlierReason(totals(5, 5), [...good])).toBeUndefined()
    expect(outlierReason(good[0]!, [good[0]!])).toBeUndefined()
  })
})
