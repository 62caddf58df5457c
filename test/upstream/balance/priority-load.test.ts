import { describe, expect, it } from 'vitest'
import { choosePriority, computePriorityLoads, excludePriorities } from '../../../src/upstream/balance/priority-load.js'
import type { Host } from '../../../src/upstream/host/host.js'
import type { HostSet } from '../../../src/upstream/host/host-set.js'

/** A priority of 100 hosts of which so many are healthy, degraded, excluded. */
function level(
  priority: number,
  healthy: number,
  more: { degraded?: number; excluded?: number; total?: number; factor?: number } = {},
): HostSet {
  const total = more.total ?? 100
  const host = { weight: 1 } as Host
  const list = (count: number): Host[] => new Array<Host>(count).fill(host)
  return {
    priority,
    hosts: list(total),
    healthy: list(healthy),
    degraded: list(more.degraded ?? 0),
    excluded: list(more.excluded ?? 0),
    localities: [],
    hasLocalLocality: false,
    localLocality: null,
    localityWeights: false,
    overprovisioningFactor: more.factor ?? 140,
    weightedPriorityHealth: false,
  }
}

const levels = (...healthy: number[]): HostSet[] => healthy.map((count, priority) => level(priority, count))

describe('priority load (Envoy docs, load_balancing/priority)', () => {
  it.each([
    [
      [100, 100],
      [100, 0],
    ],
    [
      [72, 72],
      [100, 0],
    ],
    [
      [71, 71],
      [99, 1],
    ],
    [
      [50, 50],
      [70, 30],
    ],
    [
      [25, 100],
      [35, 65],
    ],
    [
      [25, 25],
      [50, 50],
    ],
    [
      [0, 100],
      [0, 100],
    ],
    [
      [100, 100, 100],
      [100, 0, 0],
    ],
    [
      [72, 72, 100],
      [100, 0, 0],
    ],
    [
      [71, 71, 100],
      [99, 1, 0],
    ],
    [
      [50, 50, 100],
      [70, 30, 0],
    ],
    [
      [25, 100, 100],
      [35, 65, 0],
    ],
    [
      [25, 25, 100],
      [35, 35, 30],
    ],
  ])('healthy per cent %j gives load %j', (healthy, load) => {
    expect(computePriorityLoads(levels(...healthy), 0).healthy).toEqual(load)
  })

  it('fails over only when everything is down at overprovisioning 100000 (Consul failover)', () => {
    expect(computePriorityLoads([level(0, 1, { factor: 100_000 }), level(1, 100, { factor: 100_000 })], 0).healthy).toEqual([100, 0])
    expect(computePriorityLoads([level(0, 0, { factor: 100_000 }), level(1, 1, { factor: 100_000 })], 0).healthy).toEqual([0, 100])
  })

  it('spills to degraded hosts after all healthy ones', () => {
    const loads = computePriorityLoads([level(0, 10, { degraded: 20 }), level(1, 20, { degraded: 10 }), level(2, 10)], 0)
    expect(loads.healthy).toEqual([16, 28, 14])
    expect(loads.degraded).toEqual([28, 14, 0])
  })

  it('does not count excluded hosts', () => {
    expect(computePriorityLoads([level(0, 36, { excluded: 50 }), level(1, 100)], 0).healthy).toEqual([100, 0])
  })

  it('gives everything to the first priority when nothing is healthy and panic is off (threshold 0)', () => {
    const loads = computePriorityLoads(levels(0, 0), 0)
    expect(loads.healthy).toEqual([100, 0])
    expect(loads.panic).toEqual([false, false])
  })

  it.each([
    [
      [72, 72],
      [false, false],
    ],
    [
      [25, 100],
      [false, false],
    ],
    [
      [5, 65],
      [true, false],
    ],
    [
      [25, 25],
      [true, true],
    ],
    [
      [0, 0],
      [true, true],
    ],
  ])('healthy per cent %j at threshold 50 panics %j (load_balancing/panic_threshold)', (healthy, panic) => {
    expect(computePriorityLoads(levels(...healthy), 50).panic).toEqual(panic)
  })

  it('spreads by the number of hosts when every priority panics', () => {
    const loads = computePriorityLoads([level(0, 0, { total: 10 }), level(1, 0, { total: 30 }), level(2, 0, { total: 0 })], 50)
    expect(loads.healthy).toEqual([25, 75, 0])
  })

  it('always sums up to 100', () => {
    for (const threshold of [0, 50]) {
      for (let a = 0; a <= 100; a += 7) {
        for (let b = 0; b <= 100; b += 9) {
          const loads = computePriorityLoads([level(0, a, { degraded: 100 - a }), level(1, b)], threshold)
          const sum = [...loads.healthy, ...loads.degraded].reduce((x, y) => x + y, 0)
          expect(sum, `${a}/${b}`).toBe(100)
        }
      }
    }
  })

  it('maps every roll of 0..99 to the shares', () => {
    const loads = { healthy: [16, 28], degraded: [50, 6] }
    const counts = [0, 0, 0, 0]
    for (let roll = 0; roll < 100; roll++) counts[choosePriority(loads, roll)]!++
    expect(counts).toEqual([16, 50, 28, 6])
  })

  it('leaves out priorities that were tried before (retry_priority), unless none is left', () => {
    const loads = computePriorityLoads(levels(100, 100, 100), 0)
    expect(excludePriorities(loads, new Set([0])).healthy).toEqual([0, 100, 0])
    expect(excludePriorities(loads, new Set([0, 1])).healthy).toEqual([0, 0, 100])
    expect(excludePriorities(loads, new Set([0, 1, 2])).healthy).toEqual([100, 0, 0])
  })
})
