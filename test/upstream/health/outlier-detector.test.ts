import { describe, expect, it } from 'vitest'
import type { OutlierDetection } from '../../../src/model/cluster.js'
import { HealthFlag, type Host } from '../../../src/upstream/host/host.js'
import {
  assignment,
  cluster,
  context,
  endpoint,
  histogram,
  locality,
  manyEndpoints,
  outlierDefaults,
  seeded,
  testRegistry,
} from '../fixtures.js'

function make(hosts: number, more: Partial<OutlierDetection> = {}, random?: () => number) {
  const test = testRegistry(random === undefined ? {} : { random })
  const outlier = { ...outlierDefaults, maxEjectionPercent: 100, ...more }
  test.registry.apply(cluster('c', { outlier, healthyPanicPercent: 0 }))
  test.registry.applyAssignment(assignment('c', [locality(manyEndpoints(hosts))]))
  const target = test.registry.get('c')!
  const respond = (host: Host, status: number, times = 1): void => {
    for (let i = 0; i < times; i++) target.recordResponse(host, status)
  }
  const ejected = (): number[] => target.hosts.flatMap((host, i) => (host.hasFlag(HealthFlag.FAILED_OUTLIER_CHECK) ? [i] : []))
  return { ...test, target, respond, ejected, stats: target.stats.outlierDetection, outlier }
}

describe('runs of failures', () => {
  it('ejects after 5 server errors in a row, says so in one line, and picks the others', () => {
    const { target, respond, ejected, stats, logs } = make(4)
    respond(target.hosts[2]!, 500, 4)
    respond(target.hosts[2]!, 200)
    respond(target.hosts[2]!, 500, 4)
    expect(ejected()).toEqual([])
    respond(target.hosts[2]!, 500)
    expect(ejected()).toEqual([2])
    expect(stats.ejections_active.value).toBe(1)
    expect(stats.ejections_enforced_total.value).toBe(1)
    expect(stats.ejections_detected_consecutive_5xx.value).toBe(1)
    expect(stats.ejections_enforced_consecutive_5xx.value).toBe(1)
    expect(stats.ejections_total.value).toBe(1)
    expect(target.stats.main.membership_healthy.value).toBe(3)
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatch(/cluster c: host 10\.0\.0\.2:80 ejected: consecutive_5xx, for 30000 ms/)
    expect(histogram(() => target.pick(context(seeded(1))), 100).has('10.0.0.2:80')).toBe(false)
  })

  it('counts 502, 503 and 504 for gateway failures, other server errors not', () => {
    const { target, respond, ejected, stats } = make(3, { consecutive5xx: 100, enforcingConsecutiveGatewayFailure: 100 })
    for (const status of [502, 503, 504, 502, 500]) respond(target.hosts[0]!, status)
    expect(ejected()).toEqual([])
    for (const status of [502, 503, 504, 502, 503]) respond(target.hosts[0]!, status)
    expect(ejected()).toEqual([0])
    expect(stats.ejections_enforced_consecutive_gateway_failure.value).toBe(1)
  })

  it('only detects where enforcing is 0', () => {
    const { target, respond, ejected, stats } = make(3, { enforcingConsecutive5xx: 0 })
    respond(target.hosts[0]!, 500, 20)
    expect(ejected()).toEqual([])
    expect(stats.ejections_detected_consecutive_5xx.value).toBe(4)
    expect(stats.ejections_enforced_total.value).toBe(0)
  })

  it('takes connect failures and timeouts for 503 and 504 without the split', () => {
    const { target, ejected } = make(3)
    for (let i = 0; i < 2; i++) target.recordConnectFailure(target.hosts[1]!)
    for (let i = 0; i < 2; i++) target.recordTimeout(target.hosts[1]!)
    // A connection alone proves nothing about the service behind it.
    target.recordLocalOriginSuccess(target.hosts[1]!)
    target.recordReset(target.hosts[1]!)
    expect(ejected()).toEqual([1])
  })

  it('counts local failures apart with split_external_local_origin_errors', () => {
    const { target, ejected, stats } = make(3, { splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailure: 3 })
    const host = target.hosts[0]!
    target.recordConnectFailure(host)
    target.recordTimeout(host)
    target.recordLocalOriginSuccess(host)
    target.recordConnectFailure(host)
    target.recordConnectFailure(host)
    target.recordResponse(host, 500)
    expect(ejected()).toEqual([])
    target.recordConnectFailure(host)
    expect(ejected()).toEqual([0])
    expect(stats.ejections_enforced_consecutive_local_origin_failure.value).toBe(1)
    expect(stats.ejections_detected_consecutive_5xx.value).toBe(0)
  })

  it('maps gRPC statuses: UNAVAILABLE is a gateway failure, NOT_FOUND is none', () => {
    const { target, ejected } = make(2, { consecutive5xx: 3 })
    for (let i = 0; i < 10; i++) target.recordGrpcStatus(target.hosts[0]!, 5)
    for (let i = 0; i < 3; i++) target.recordGrpcStatus(target.hosts[1]!, 14)
    expect(ejected()).toEqual([1])
  })
})

describe('max_ejection_percent', () => {
  it.each([
    [10, 10, 1],
    [10, 9, 0],
    [50, 10, 5],
    [100, 4, 4],
    [34, 3, 1],
    [33, 3, 0],
  ])('at %i %% of %i hosts at most %i are ejected (envoyproxy/envoy#26877)', (percent, hosts, most) => {
    const { target, respond, ejected, stats } = make(hosts, { maxEjectionPercent: percent })
    for (const host of target.hosts) respond(host, 500, 5)
    expect(ejected()).toHaveLength(most)
    expect(stats.ejections_overflow.value).toBe(hosts - most)
    expect(stats.ejections_active.value).toBe(most)
  })

  it('ejects the first host whatever the percentage under always_eject_one_host', () => {
    const { target, respond, ejected } = make(3, { maxEjectionPercent: 10, alwaysEjectOneHost: true })
    for (const host of target.hosts) respond(host, 500, 5)
    expect(ejected()).toEqual([0])
  })

  it('does not eject the only host of a cluster at the default 10 % (envoyproxy/envoy#3263)', () => {
    const { target, respond, ejected } = make(1, { maxEjectionPercent: 10 })
    respond(target.hosts[0]!, 500, 50)
    expect(ejected()).toEqual([])
  })

  it('counts right when ejected hosts leave and others come', () => {
    const { registry, target, respond, ejected, stats } = make(10, { maxEjectionPercent: 20 })
    respond(target.hosts[0]!, 500, 5)
    respond(target.hosts[1]!, 500, 5)
    respond(target.hosts[2]!, 500, 5)
    expect(ejected()).toEqual([0, 1])
    registry.applyAssignment(
      assignment('c', [locality([...manyEndpoints(10).slice(2), endpoint('10.5.0.1', 80), endpoint('10.5.0.2', 80)])]),
    )
    expect(stats.ejections_active.value).toBe(0)
    for (const host of target.hosts) respond(host, 500, 5)
    expect(ejected()).toHaveLength(2)
    expect(stats.ejections_active.value).toBe(2)
  })

  it('keeps an ejected host ejected through an equal EDS update and one that changes another host', () => {
    const { registry, target, respond, ejected } = make(5)
    respond(target.hosts[3]!, 500, 5)
    registry.applyAssignment(assignment('c', [locality(manyEndpoints(5))]))
    registry.applyAssignment(assignment('c', [locality(manyEndpoints(5, i => (i === 0 ? { weight: 7, health: 'HEALTHY' } : {})))]))
    expect(ejected()).toEqual([3])
  })
})

describe('ejection time', () => {
  it('grows with each ejection up to the maximum, and decays while the host behaves', () => {
    const { target, respond, ejected, clock } = make(4, { maxEjectionTimeMs: 90_000 })
    const host = target.hosts[0]!
    const outFor = (): number => {
      respond(host, 500, 5)
      expect(ejected()).toEqual([0])
      let intervals = 0
      while (ejected().length > 0) {
        clock.advance(10_000)
        intervals++
      }
      return intervals
    }
    expect([outFor(), outFor(), outFor(), outFor(), outFor()]).toEqual([3, 6, 9, 9, 9])
    // The multiplier falls by one per interval of good behaviour.
    clock.advance(30_000)
    expect(outFor()).toBe(6)
    clock.advance(100_000)
    expect(outFor()).toBe(3)
  })

  it('adds a jitter of at most max_ejection_time_jitter', () => {
    const { target, respond, ejected, clock, logs } = make(4, { maxEjectionTimeJitterMs: 20_000 }, seeded(3))
    respond(target.hosts[0]!, 500, 5)
    const ms = Number(/for (\d+) ms/.exec(logs[0]!)![1])
    expect(ms).toBeGreaterThanOrEqual(30_000)
    expect(ms).toBeLessThanOrEqual(50_000)
    clock.advance(Math.floor(ms / 10_000) * 10_000)
    expect(ejected()).toEqual([0])
    clock.advance(10_000)
    expect(ejected()).toEqual([])
  })

  it('starts its runs anew when a host returns', () => {
    const { target, respond, ejected, clock } = make(4)
    respond(target.hosts[0]!, 500, 9)
    clock.advance(40_000)
    expect(ejected()).toEqual([])
    respond(target.hosts[0]!, 500, 4)
    expect(ejected()).toEqual([])
  })

  it('lets everyone back when outlier detection is switched off, and keeps ejections when only its numbers change', () => {
    const { registry, target, respond, ejected, outlier } = make(4)
    respond(target.hosts[0]!, 500, 5)
    registry.apply(cluster('c', { outlier: { ...outlier, consecutive5xx: 7 }, healthyPanicPercent: 0 }))
    expect(registry.get('c')).toBe(target)
    expect(ejected()).toEqual([0])
    registry.apply(cluster('c', { outlier: null, healthyPanicPercent: 0 }))
    expect(ejected()).toEqual([])
    respond(target.hosts[0]!, 500, 50)
    expect(ejected()).toEqual([])
  })
})

describe('success rate and failure percentage', () => {
  it('ejects who is below mean - factor * deviation (the example of the Envoy sources: 50, 100, 100, 100, 100)', () => {
    const { target, respond, ejected, clock, stats, logs } = make(5, { consecutive5xx: 1000 })
    target.hosts.forEach((host, i) => {
      respond(host, 200, i === 0 ? 50 : 100)
      respond(host, 500, i === 0 ? 50 : 0)
    })
    clock.advance(10_000)
    expect(ejected()).toEqual([0])
    expect(target.successRates!.successRateAverage.external).toBeCloseTo(90)
    expect(target.successRates!.successRateThreshold.external).toBeCloseTo(52)
    expect(stats.ejections_enforced_success_rate.value).toBe(1)
    expect(logs[0]).toContain('success_rate (50.0 % success, threshold 52.0 %)')
  })

  it('needs enough hosts with enough requests', () => {
    const volume = make(5, { consecutive5xx: 1000 })
    for (const [i, host] of volume.target.hosts.entries()) volume.respond(host, i === 0 ? 500 : 200, 99)
    volume.clock.advance(10_000)
    expect(volume.ejected()).toEqual([])
    const hosts = make(4, { consecutive5xx: 1000 })
    for (const [i, host] of hosts.target.hosts.entries()) hosts.respond(host, i === 0 ? 500 : 200, 200)
    hosts.clock.advance(10_000)
    expect(hosts.ejected()).toEqual([])
  })

  it('looks at the last interval only', () => {
    const { target, respond, ejected, clock } = make(5, { consecutive5xx: 1000, enforcingSuccessRate: 0 })
    for (const [i, host] of target.hosts.entries()) respond(host, i === 0 ? 500 : 200, 100)
    clock.advance(10_000)
    expect(target.successRates!.successRateAverage.external).toBeCloseTo(80)
    clock.advance(10_000)
    expect(target.successRates!.successRateAverage.external).toBe(-1)
    expect(ejected()).toEqual([])
  })

  it('ejects by failure percentage where enforced', () => {
    const { target, respond, ejected, clock, stats } = make(6, {
      consecutive5xx: 1000,
      enforcingSuccessRate: 0,
      enforcingFailurePercentage: 100,
    })
    target.hosts.forEach((host, i) => {
      respond(host, 500, i < 2 ? 85 + i : 84)
      respond(host, 200, i < 2 ? 15 - i : 16)
    })
    clock.advance(10_000)
    expect(ejected()).toEqual([0, 1])
    expect(stats.ejections_enforced_failure_percentage.value).toBe(2)
  })
})
