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
        { name: 'static', rtds: null, values: new Map([['a', 1]]) },
        { name: 'rtds', rtds, values: new Map() },
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
})
