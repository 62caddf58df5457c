// Observed traffic: what reporters say, as sums over windows, series and percentiles; and what bounds it.
import { beforeEach, describe, expect, it } from 'vitest'
import {
  HOUR_MS,
  MAX_SERIES,
  ObservedTraffic,
  type ReportedLoad,
  type TrafficReporter,
} from '../../../src/control/traffic/observed-traffic.js'

const SECOND = 1000
const MINUTE = 60 * SECOND
/** The beginning of a slot of both widths. */
const START = 1_700_000_040 * SECOND
const load = (more: Partial<ReportedLoad> = {}): ReportedLoad => ({ successes: 0, failures: 0, active: 0, latencies: [], ...more })

let now: number
let traffic: ObservedTraffic
let web: TrafficReporter

beforeEach(() => {
  now = START
  traffic = new ObservedTraffic({ now: () => now })
  web = traffic.reporter('web-1', 'web')
})

function report(reporter: TrafficReporter, destination: string, what: Partial<ReportedLoad>, subset = ''): void {
  reporter.begin()
  reporter.upstream(destination, subset, load(what), 10 * SECOND)
  reporter.end()
}

describe('sums', () => {
  it('count what came within the window, of all instances of the caller', () => {
    const other = traffic.reporter('web-2', 'web')
    report(web, 'api', { successes: 90, failures: 10 })
    report(other, 'api', { successes: 100 })
    now += 10 * SECOND
    report(web, 'api', { successes: 50 })
    expect(traffic.totals({ source: 'web', destination: 'api' }, MINUTE)).toMatchObject({
      requests: 250,
      failures: 10,
      successRate: 240 / 250,
    })
    now += 40 * SECOND
    expect(traffic.totals({ destination: 'api' }, MINUTE)).toMatchObject({ requests: 250 })
    now += 10 * SECOND
    expect(traffic.totals({ destination: 'api' }, MINUTE)).toMatchObject({ requests: 50, successRate: 1 })
    now += 10 * SECOND
    expect(traffic.edges(MINUTE)).toEqual([])
    expect(traffic.edges(10 * MINUTE)).toMatchObject([{ source: 'web', destination: 'api', subset: '' }])
  })

  it('have a rate over the time that the edge has been reported for', () => {
    report(web, 'api', { successes: 100 })
    expect(traffic.totals({}, MINUTE).requestsPerSecond).toBe(10)
    for (let i = 1; i < 6; i++) {
      now += 10 * SECOND
      report(web, 'api', { successes: 100 })
    }
    expect(traffic.totals({}, MINUTE).requestsPerSecond).toBe(10)
    // The running slot's report is still to come.
    now += 10 * SECOND
    expect(traffic.totals({}, MINUTE).requestsPerSecond).toBe(10)
  })

  it('keep subsets apart, and add them up where none is named', () => {
    report(web, 'api', { successes: 9 }, 'v1')
    report(web, 'api', { successes: 1 }, 'v2')
    expect(traffic.totals({ destination: 'api', subset: 'v2' }, MINUTE).requests).toBe(1)
    expect(traffic.totals({ destination: 'api' }, MINUTE).requests).toBe(10)
    expect(traffic.edges(MINUTE).map(({ subset }) => subset)).toEqual(['v1', 'v2'])
  })

  it('of a service are the edges that begin or end there', () => {
    report(web, 'api', { successes: 1 })
    report(traffic.reporter('api-1', 'api'), 'db', { successes: 1 })
    report(traffic.reporter('x-1', 'x'), 'y', { successes: 1 })
    expect(traffic.edges(MINUTE, 'api').map(({ source, destination }) => `${source}>${destination}`)).toEqual(['web>api', 'api>db'])
  })

  it('without traffic are empty, and say no rate of success', () => {
    expect(traffic.totals({ source: 'nobody' }, MINUTE)).toMatchObject({ requests: 0, successRate: null, p50: null })
    expect(traffic.newestReport).toBe(0)
  })
})

it('of a minute are of all of it, also where reports come each second, and wherever the clock stands', () => {
  const seconds = new ObservedTraffic({ intervalMs: SECOND, now: () => now })
  const reporter = seconds.reporter('web-1', 'web')
  for (let i = 0; i < 90; i++) {
    report(reporter, 'api', { successes: 1 })
    now += SECOND
  }
  // Half a minute into the running one.
  expect(seconds.totals({}, MINUTE).requests).toBeGreaterThanOrEqual(59)
})

describe('what runs', () => {
  it('is what the newest report of each proxy says', () => {
    report(web, 'api', { active: 3 })
    report(traffic.reporter('web-2', 'web'), 'api', { active: 4 })
    expect(traffic.totals({}, MINUTE).active).toBe(7)
    report(web, 'api', { active: 1 })
    expect(traffic.totals({}, MINUTE).active).toBe(5)
  })

  it('ends with a report that does not speak of it, and with the stream', () => {
    report(web, 'api', { active: 3 })
    report(web, 'db', { active: 1 })
    expect(traffic.totals({ destination: 'api' }, MINUTE).active).toBe(0)
    web.close()
    expect(traffic.totals({}, MINUTE).active).toBe(0)
  })

  it('shows an edge whose window has no finished request', () => {
    report(web, 'api', { active: 1 })
    now += 5 * MINUTE
    expect(traffic.edges(MINUTE)).toMatchObject([{ totals: { requests: 0, active: 1 } }])
  })
})

it('percentiles come from the buckets, evenly within one', () => {
  // 0: to 1 ms, 5: 7 to 10 ms, 24: longer than all bounds.
  report(web, 'api', { successes: 100, latencies: [0, 50, 5, 49, 24, 1] })
  expect(traffic.totals({}, MINUTE)).toMatchObject({ p50: 1, p90: expect.closeTo(7 + (3 * 40) / 49, 6), p99: 10 })
  report(web, 'api', { successes: 100, latencies: [24, 100] })
  expect(traffic.totals({}, MINUTE).p99).toBe(30_000)
})

it('inbound traffic is that of an instance, and of the service that it stands before now', () => {
  web.begin()
  web.inbound(load({ successes: 5 }), 10 * SECOND)
  web.end()
  expect(traffic.inbound(MINUTE)).toMatchObject([{ proxy: 'web-1', service: 'web', totals: { requests: 5 } }])
  const renamed = traffic.reporter('web-1', 'shop')
  renamed.inbound(load({ successes: 1 }), 10 * SECOND)
  expect(traffic.inbound(MINUTE)).toMatchObject([{ proxy: 'web-1', service: 'shop', totals: { requests: 1 } }])
})

describe('a series', () => {
  it('has the slots with a report, the oldest first, and ends with the running one', () => {
    report(web, 'api', { successes: 10 })
    now += 20 * SECOND
    report(web, 'api', { successes: 20, failures: 20, active: 2 })
    expect(traffic.series({ destination: 'api' }, MINUTE)).toMatchObject([
      { at: START + 10 * SECOND, totals: { requests: 10, requestsPerSecond: 1, active: 0 } },
      { at: START + 30 * SECOND, totals: { requests: 40, requestsPerSecond: 4, successRate: 0.5, active: 2 } },
    ])
  })

  it('of an hour has minutes', () => {
    for (let i = 0; i < 61; i++) {
      report(web, 'api', { successes: i })
      now += MINUTE
    }
    const points = traffic.series({}, HOUR_MS)
    expect(points).toHaveLength(59)
    expect(points.at(-1)).toMatchObject({ at: now, totals: { requests: 60 } })
    expect(points[0]!.totals.requests).toBe(2)
  })
})

describe('bounds', () => {
  it('a series without a report for an hour is forgotten', () => {
    report(web, 'api', { successes: 1 })
    now += HOUR_MS + MINUTE
    report(web, 'db', { successes: 1 })
    expect(traffic.seriesCount).toBe(1)
  })

  it('more series than MAX_SERIES are not begun, and that is said once', () => {
    let full = 0
    traffic = new ObservedTraffic({ now: () => now, onFull: () => full++ })
    web = traffic.reporter('web-1', 'web')
    web.begin()
    for (let i = 0; i < MAX_SERIES + 5; i++) web.upstream(`s${i}`, '', load({ successes: 1 }), 10 * SECOND)
    expect(traffic.seriesCount).toBe(MAX_SERIES)
    expect(full).toBe(1)
    web.upstream('s0', '', load({ successes: 1 }), 10 * SECOND)
    expect(traffic.totals({ destination: 's0' }, MINUTE).requests).toBe(2)
  })
})
