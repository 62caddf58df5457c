import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import type { OverloadConfig } from '../../../src/model/overload.js'
import { OverloadActions } from '../../../src/proxy/overload/overload-actions.js'
import { OverloadWatch, triggerLevel } from '../../../src/proxy/overload/overload-watch.js'

const INJECTED = 'envoy.resource_monitors.injected_resource'
const STOP = 'envoy.overload_actions.stop_accepting_requests'
const RESET = 'envoy.overload_actions.reset_high_memory_stream'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'overload-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function world(config: Partial<OverloadConfig>, connections = 0) {
  const store = new StatsStore()
  const path = join(folder, 'pressure')
  const whole: OverloadConfig = {
    refreshIntervalMs: 1000,
    monitors: [{ name: INJECTED, kind: 'injected', path }],
    actions: [],
    shedPoints: [],
    timeoutFloors: new Map(),
    minTrackedBytes: null,
    ...config,
  }
  const said: string[] = []
  const actions = new OverloadActions(whole, { store, random: () => 0.5 })
  const watch = new OverloadWatch(whole, {
    store,
    measured: { memoryUse: () => ({ heapUsed: 60, heapTotal: 0, external: 20, rss: 0 }), connectionCount: connections },
    log: (_level, message) => said.push(message),
    onLevel: (name, value) => actions.set(name, value),
  })
  const press = (pressure: string): void => {
    writeFileSync(path, pressure)
    watch.refresh()
  }
  return { store, actions, watch, press, said, gauge: (name: string) => store.scope('overload').gauge(name).value }
}

describe('triggerLevel', () => {
  it('is reached by the value of a threshold itself', () => {
    const threshold = { resource: INJECTED, from: 0.5, to: 0.5 }
    expect([0.49, 0.5, 1].map(pressure => triggerLevel(threshold, pressure))).toEqual([0, 1, 1])
  })

  it('grows from the first to the second value of a scaled trigger', () => {
    const scaled = { resource: INJECTED, from: 0.5, to: 0.9 }
    const levels = [0.5, 0.6, 0.7, 0.9].map(pressure => triggerLevel(scaled, pressure))
    expect(levels.map(level => Number(level.toFixed(3)))).toEqual([0, 0.25, 0.5, 1])
  })
})

describe('OverloadWatch', () => {
  it('sets actions and their gauges by the pressure, and takes them back', () => {
    const { press, actions, gauge, said } = world({ actions: [{ name: STOP, triggers: [{ resource: INJECTED, from: 0.4, to: 0.8 }] }] })
    press('0.7')
    expect([gauge(`${INJECTED}.pressure`), gauge(`${STOP}.scale_percent`), gauge(`${STOP}.active`)]).toEqual([70, 74, 0])
    expect(actions.overload.refusesRequest()).toBe(true)
    press('0.5')
    expect(actions.overload.refusesRequest()).toBe(false)
    press('0.8')
    expect([gauge(`${STOP}.scale_percent`), gauge(`${STOP}.active`)]).toEqual([100, 1])
    press('0.1')
    expect([gauge(`${STOP}.scale_percent`), gauge(`${STOP}.active`)]).toEqual([0, 0])
    expect(said).toEqual([`overload: ${STOP} became active`, `overload: ${STOP} became inactive`])
  })

  it('keeps the level of before when a reading fails, counts it, and says the reason once', () => {
    const { press, actions, store, said } = world({ actions: [{ name: STOP, triggers: [{ resource: INJECTED, from: 0.8, to: 0.8 }] }] })
    press('0.9')
    press('much')
    press('much')
    expect(actions.overload.refusesRequest()).toBe(true)
    expect(store.counter(`overload.${INJECTED}.failed_updates`).value).toBe(2)
    expect(said.filter(line => line.includes('holds no number from 0 to 1'))).toHaveLength(1)
  })

  it('measures the heap and the connections against their maximum', () => {
    const { watch, gauge } = world(
      {
        monitors: [
          { name: 'heap', kind: 'fixed-heap', maxBytes: 160 },
          { name: 'connections', kind: 'downstream-connections', max: 4 },
        ],
      },
      3,
    )
    watch.refresh()
    expect([gauge('heap.pressure'), gauge('connections.pressure')]).toEqual([50, 75])
  })

  it('counts what a load shed point turned away', () => {
    const point = 'envoy.load_shed_points.http_connection_manager_decode_headers'
    const { press, actions, store } = world({ shedPoints: [{ name: point, triggers: [{ resource: INJECTED, from: 0.5, to: 0.5 }] }] })
    press('0.6')
    expect(actions.overload.refusesRequest()).toBe(true)
    expect(store.counter(`overload.${point}.shed_load_count`).value).toBe(1)
  })

  it('resets the largest streams first, and smaller ones as the pressure grows', () => {
    const { press, actions, store } = world({
      minTrackedBytes: 1024,
      actions: [{ name: RESET, triggers: [{ resource: INJECTED, from: 0.5, to: 1 }] }],
    })
    const held = [500, 2000, 5000, 300_000]
    const reset: number[] = []
    actions.listeners = {
      acceptHeld: () => {},
      rescaleTimeouts: () => {},
      streams: () =>
        held.filter(bytes => !reset.includes(bytes)).map(heldBytes => ({ heldBytes, resetForMemory: () => void reset.push(heldBytes) })),
    }
    press('0.55')
    expect(reset).toEqual([300_000])
    press('0.1')
    press('1')
    actions.close()
    expect(reset).toEqual([300_000, 5000, 2000])
    expect(store.counter(`${RESET}.count`).value).toBe(3)
  })

  it('collects garbage when asked to shrink the heap', () => {
    const shrink = 'envoy.overload_actions.shrink_heap'
    const { press, actions, store } = world({ actions: [{ name: shrink, triggers: [{ resource: INJECTED, from: 0.5, to: 0.5 }] }] })
    press('0.6')
    actions.close()
    expect(store.counter(`overload.${shrink}.shrink_count`).value).toBe(1)
  })
})
