import { describe, expect, it } from 'vitest'
import { runtimeStats } from '../../src/metrics/stat-names.js'
import { StatsStore } from '../../src/metrics/stats-store.js'
import { RuntimeLayers } from '../../src/proxy/runtime-layers.js'

describe('the stats of the runtime', () => {
  it('count loads, layers and final keys, as Envoy shows them under runtime.', () => {
    const stats = runtimeStats(new StatsStore())
    const rtds = { name: 'remote', source: { kind: 'ads' }, initialFetchTimeoutMs: 0 } as const
    const layers = new RuntimeLayers(
      [
        { name: 'static', rtds: null, isAdmin: false, values: new Map([['a', 1]]) },
        { name: 'rtds', rtds, isAdmin: false, values: new Map() },
      ],
      stats,
    )
    expect(stats.num_layers.value).toBe(2)
    expect(stats.num_keys.value).toBe(1)
    expect(stats.load_success.value).toBe(1)
    layers.set(
      'remote',
      new Map([
        ['a', 2],
        ['b', 3],
      ]),
    )
    expect(stats.num_keys.value).toBe(2)
    expect(stats.load_success.value).toBe(2)
    expect(stats.load_error.value).toBe(0)
  })

  it('an admin layer takes overrides and gives them back; without one there is nowhere to put them', () => {
    const stats = runtimeStats(new StatsStore())
    const fixed = { name: 'static', rtds: null, isAdmin: false, values: new Map([['a', 1]]) }
    expect(new RuntimeLayers([fixed], stats).hasAdminLayer).toBe(false)
    const layers = new RuntimeLayers([fixed, { name: 'admin', rtds: null, isAdmin: true, values: new Map() }], stats)
    layers.modify([
      ['a', '5'],
      ['on', 'true'],
      ['text', 'x'],
    ])
    expect([layers.get('a'), layers.get('on'), layers.get('text')]).toEqual([5, true, 'x'])
    expect(stats.admin_overrides_active.value).toBe(1)
    layers.modify([
      ['a', ''],
      ['on', ''],
      ['text', ''],
    ])
    expect([layers.get('a'), layers.get('on')]).toEqual([1, undefined])
    expect(stats.admin_overrides_active.value).toBe(0)
  })
})
