import { describe, expect, it } from 'vitest'
import type { ConnectionInfo } from '../../../src/l7/stream/connection-info.js'
import { StatsStore } from '../../../src/metrics/stats-store.js'
import type { NetworkFilter } from '../../../src/model/listener.js'
import type { RbacRules } from '../../../src/model/rbac.js'
import type { FilterState } from '../../../src/proxy/network/network-filter.js'
import { compilePreFilters } from '../../../src/proxy/network/network-filters.js'

const info = {} as ConnectionInfo

function filter(model: NetworkFilter, runtime: Record<string, boolean | number> = {}) {
  const store = new StatsStore()
  const [made] = compilePreFilters([model], store, new Map(), {} as never, { get: key => runtime[key] })
  const state: FilterState = { cluster: '', metadata: [], releases: [] }
  return { check: () => made!.check(info, state), state, store }
}

const rateLimit = (on: boolean): NetworkFilter => ({
  kind: 'localRateLimit',
  name: 'rate',
  statPrefix: 'rate',
  maxTokens: 1,
  tokensPerFill: 1,
  fillIntervalMs: 3_600_000,
  enabled: { defaultValue: on, runtimeKey: 'limit.on' },
})

const connectionLimit = (on: boolean): NetworkFilter => ({
  kind: 'connectionLimit',
  name: 'gate',
  statPrefix: 'gate',
  maxConnections: 1,
  delayMs: 250,
  enabled: { defaultValue: on, runtimeKey: 'gate.on' },
})

describe('rbac', () => {
  const rules = (action: 'ALLOW' | 'DENY'): RbacRules => ({
    action,
    policies: [{ name: 'p', permissions: [{ kind: 'any' }], principals: [{ kind: 'any' }] }],
  })

  it.each([
    ['', 'wall.rbac.shadow_denied'],
    ['trial_', 'wall.rbac.trial_.shadow_denied'],
  ])('shadow rules with shadow_rules_stat_prefix %j count in %s', (shadowRulesStatPrefix, stat) => {
    const rbac = { rules: rules('ALLOW'), shadowRules: rules('DENY'), matcher: null, shadowMatcher: null, rulesStatPrefix: '' }
    const { check, state, store } = filter({
      kind: 'rbac',
      name: 'wall',
      rbac: { ...rbac, shadowRulesStatPrefix, trackPerRuleStats: false, statPrefix: 'wall' },
    })
    expect(check()).toBeNull()
    expect([store.counter(stat).value, store.counter('wall.rbac.allowed').value]).toEqual([1, 1])
    expect(state.metadata.map(({ key, value }) => `${key}=${value}`)).toEqual([
      `${shadowRulesStatPrefix}shadow_effective_policy_id=p`,
      `${shadowRulesStatPrefix}shadow_engine_result=denied`,
    ])
  })
})

describe('connection_limit', () => {
  it('refuses above its limit, and keeps the refused connection open for its delay', () => {
    const { check } = filter(connectionLimit(true))
    expect(check()).toBeNull()
    expect(check()).toMatchObject({ reason: 'connection_limit max_connections 1 reached', delayMs: 250 })
  })

  it('neither counts nor refuses while it is off', () => {
    const runtime: Record<string, boolean> = { 'gate.on': false }
    const { check, state, store } = filter(connectionLimit(true), runtime)
    expect([check(), check(), state.releases.length]).toEqual([null, null, 0])
    runtime['gate.on'] = true
    expect(check()).toBeNull()
    expect([check()?.filter, store.counter('connection_limit.gate.limited_connections').value]).toEqual(['gate', 1])
    expect(filter(connectionLimit(false)).check()).toBeNull()
  })
})

describe('local_ratelimit', () => {
  it('limits by default, and with runtime_enabled only while it is on', () => {
    const refusals = (made: ReturnType<typeof filter>) =>
      [made.check(), made.check(), made.check()].filter(denial => denial !== null).length
    expect(refusals(filter(rateLimit(true)))).toBe(2)
    expect(refusals(filter(rateLimit(false)))).toBe(0)
    expect(refusals(filter(rateLimit(true), { 'limit.on': false }))).toBe(0)
    // Only a boolean counts.
    expect(refusals(filter(rateLimit(true), { 'limit.on': 0 }))).toBe(2)
    expect(refusals(filter(rateLimit(false), { 'limit.on': true }))).toBe(2)
  })
})
