import { describe, expect, it } from 'vitest'
import type { Cluster, SubsetConfig, SubsetSelector } from '../../../src/model/cluster.js'
import type { JsonObject } from '../../../src/model/metadata.js'
import { HealthFlag } from '../../../src/upstream/host/host.js'
import {
  assignment,
  cluster,
  context,
  endpoint,
  histogram,
  lbMetadata,
  locality,
  seeded,
  type TestRegistry,
  testRegistry,
} from '../fixtures.js'

const selector = (keys: string[], more: Partial<SubsetSelector> = {}): SubsetSelector => ({
  keys,
  fallback: 'NOT_DEFINED',
  fallbackKeys: [],
  singleHostPerSubset: false,
  ...more,
})

const subsetConfig = (selectors: SubsetSelector[], more: Partial<SubsetConfig> = {}): SubsetConfig => ({
  fallback: 'NO_FALLBACK',
  defaultSubset: new Map(),
  selectors,
  localityWeightAware: false,
  scaleLocalityWeight: false,
  panicModeAny: false,
  listAsAny: false,
  ...more,
})

// The table of the Envoy docs (load_balancing/subsets).
const docHosts: [string, JsonObject][] = [
  ['10.0.0.1', { stage: 'prod', version: '1.0', type: 'std', xlarge: true }],
  ['10.0.0.2', { stage: 'prod', version: '1.0', type: 'std' }],
  ['10.0.0.3', { stage: 'prod', version: '1.1', type: 'std' }],
  ['10.0.0.4', { stage: 'prod', version: '1.1', type: 'std' }],
  ['10.0.0.5', { stage: 'prod', version: '1.0', type: 'bigmem' }],
  ['10.0.0.6', { stage: 'prod', version: '1.1', type: 'bigmem' }],
  ['10.0.0.7', { stage: 'dev', version: '1.2-pre', type: 'std' }],
]
const docSelectors = [selector(['stage', 'type']), selector(['stage', 'version']), selector(['version']), selector(['xlarge', 'version'])]

function make(
  subset: SubsetConfig,
  hosts: [string, JsonObject][] = docHosts,
  more: Partial<Cluster> = {},
): TestRegistry & {
  pick(match: JsonObject | null): string[]
} {
  const test = testRegistry()
  test.registry.apply(cluster('c', { subset, healthyPanicPercent: 0, ...more }))
  test.registry.applyAssignment(assignment('c', [locality(hosts.map(([address, lb]) => endpoint(address, 80, { lb })))]))
  const roll = seeded(1)
  const pick = (match: JsonObject | null): string[] => {
    const ctx = context(roll, { metadataMatch: match === null ? null : lbMetadata(match) })
    const counts = histogram(() => test.registry.get('c')!.pick(ctx), 60)
    return [...counts.keys()].map(key => key.replace(/^10\.0\.0\.(\d+):80$/, 'e$1')).sort()
  }
  return { ...test, pick }
}

describe('subsets (Envoy docs, load_balancing/subsets)', () => {
  const config = subsetConfig(docSelectors, {
    fallback: 'DEFAULT_SUBSET',
    defaultSubset: new Map(Object.entries({ stage: 'prod', version: '1.0', type: 'std' })),
  })

  it.each([
    [{ stage: 'prod', type: 'std' }, ['e1', 'e2', 'e3', 'e4']],
    [{ stage: 'prod', type: 'bigmem' }, ['e5', 'e6']],
    [{ stage: 'prod', version: '1.0' }, ['e1', 'e2', 'e5']],
    [{ version: '1.0', stage: 'prod' }, ['e1', 'e2', 'e5']],
    [{ version: '1.2-pre' }, ['e7']],
    [{ version: '1.0', xlarge: true }, ['e1']],
    // No such subset: the default subset.
    [{ version: '1.0', xlarge: false }, ['e1', 'e2']],
    [{ stage: 'prod' }, ['e1', 'e2']],
    [{ unknown: 'key' }, ['e1', 'e2']],
    [null, ['e1', 'e2']],
  ])('%j goes to %j', (match, expected) => {
    expect(make(config).pick(match)).toEqual(expected)
  })

  it('counts subsets, selections and fallbacks', () => {
    const { registry, pick } = make(config)
    pick({ version: '1.1' })
    pick({ version: '7' })
    const { main } = registry.get('c')!.stats
    // (prod,std) (prod,bigmem) (dev,std); (prod,1.0) (prod,1.1) (dev,1.2-pre); 1.0 1.1 1.2-pre; (1.0,true)
    expect(main.lb_subsets_active.value).toBe(10)
    expect(main.lb_subsets_created.value).toBe(10)
    expect(main.lb_subsets_selected.value).toBe(60)
    expect(main.lb_subsets_fallback.value).toBe(60)
  })

  it('gives nothing with NO_FALLBACK and any endpoint with ANY_ENDPOINT', () => {
    expect(make(subsetConfig(docSelectors)).pick({ version: '9' })).toEqual(['none'])
    expect(make(subsetConfig(docSelectors)).pick(null)).toEqual(['none'])
    expect(make(subsetConfig(docSelectors, { fallback: 'ANY_ENDPOINT' })).pick({ version: '9' })).toHaveLength(7)
  })

  it('keeps to a subset whose hosts are all down, rather than fall back', () => {
    const { registry, pick } = make(subsetConfig(docSelectors, { fallback: 'ANY_ENDPOINT' }))
    const target = registry.get('c')!
    target.setHealth(target.host('10.0.0.7:80')!, HealthFlag.FAILED_OUTLIER_CHECK, 0)
    expect(pick({ version: '1.2-pre' })).toEqual(['none'])
  })

  it('falls back per selector', () => {
    const fallback = make(
      subsetConfig(
        [
          selector(['stage'], { fallback: 'ANY_ENDPOINT' }),
          selector(['version'], { fallback: 'NO_FALLBACK' }),
          selector(['type'], { fallback: 'DEFAULT_SUBSET' }),
          selector(['stage', 'version'], { fallback: 'KEYS_SUBSET', fallbackKeys: ['stage'] }),
        ],
        { fallback: 'NO_FALLBACK', defaultSubset: new Map([['version', '1.0']]) },
      ),
    )
    expect(fallback.pick({ stage: 'x' })).toHaveLength(7)
    expect(fallback.pick({ version: 'x' })).toEqual(['none'])
    expect(fallback.pick({ type: 'x' })).toEqual(['e1', 'e2', 'e5'])
    // stage+version misses, stage alone is asked: a subset.
    expect(fallback.pick({ stage: 'dev', version: '1.0' })).toEqual(['e7'])
    // stage alone misses too: its own fallback.
    expect(fallback.pick({ stage: 'x', version: '1.0' })).toHaveLength(7)
  })

  it('uses any endpoint in panic_mode_any when the fallback has none', () => {
    const config = subsetConfig(docSelectors, {
      fallback: 'DEFAULT_SUBSET',
      defaultSubset: new Map([['stage', 'none']]),
      panicModeAny: true,
    })
    const { registry, pick } = make(config)
    expect(pick({ version: '9' })).toHaveLength(7)
    expect(registry.get('c')!.stats.main.lb_subsets_fallback_panic.value).toBe(60)
  })

  it('takes a list for any of its values with list_as_any, for itself without', () => {
    const hosts: [string, JsonObject][] = [
      ['10.0.0.1', { version: ['1', '2'] }],
      ['10.0.0.2', { version: '2' }],
    ]
    const any = make(subsetConfig([selector(['version'])], { listAsAny: true }), hosts)
    expect(any.pick({ version: '1' })).toEqual(['e1'])
    expect(any.pick({ version: '2' })).toEqual(['e1', 'e2'])
    const whole = make(subsetConfig([selector(['version'])]), hosts)
    expect(whole.pick({ version: '2' })).toEqual(['e2'])
    expect(whole.pick({ version: ['1', '2'] })).toEqual(['e1'])
  })

  it('has one host per subset where asked, the first, and counts the others', () => {
    const { store, pick } = make(subsetConfig([selector(['version'], { singleHostPerSubset: true })]))
    expect(pick({ version: '1.1' })).toEqual(['e3'])
    expect(store.scope('').gauge('cluster.c.lb_subsets_single_host_per_subset_duplicate').value).toBe(4)
  })

  it('follows changed metadata, and drops subsets that are empty', () => {
    const { registry, pick } = make(subsetConfig([selector(['version'])]))
    pick(null)
    const moved = docHosts.map(([address, lb]): [string, JsonObject] => [address, address === '10.0.0.7' ? { ...lb, version: '1.0' } : lb])
    registry.applyAssignment(assignment('c', [locality(moved.map(([address, lb]) => endpoint(address, 80, { lb })))]))
    expect(pick({ version: '1.0' })).toEqual(['e1', 'e2', 'e5', 'e7'])
    expect(pick({ version: '1.2-pre' })).toEqual(['none'])
    const { main } = registry.get('c')!.stats
    expect(main.lb_subsets_active.value).toBe(2)
    expect(main.lb_subsets_removed.value).toBe(1)
    registry.applyAssignment(assignment('c', []))
    expect(pick({ version: '1.0' })).toEqual(['none'])
    expect(main.lb_subsets_active.value).toBe(0)
  })

  it('does not mistake a host for the one whose slot it got', () => {
    const { registry, pick } = make(subsetConfig([selector(['version'])]))
    expect(pick({ version: '1.2-pre' })).toEqual(['e7'])
    const next: [string, JsonObject][] = [...docHosts.slice(0, 6), ['10.0.0.8', { version: '3' }]]
    registry.applyAssignment(assignment('c', [locality(next.map(([address, lb]) => endpoint(address, 80, { lb })))]))
    expect(pick({ version: '3' })).toEqual(['e8'])
    expect(pick({ version: '1.2-pre' })).toEqual(['none'])
  })

  it('reads keys from the network as data: __proto__ is a key like any other', () => {
    const hostile = JSON.parse('{"__proto__": "x"}') as JsonObject
    const { pick } = make(subsetConfig([selector(['__proto__'])]), [
      ['10.0.0.1', hostile],
      ['10.0.0.2', {}],
    ])
    expect(pick(hostile)).toEqual(['e1'])
    expect(pick({ constructor: 'x' })).toEqual(['none'])
  })
})
