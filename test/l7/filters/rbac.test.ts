import { describe, expect, it } from 'vitest'
import type { RbacConfig, RbacPermission, RbacRules } from '../../../src/model/rbac.js'
import { connectionInfo, FakeCall, FakeEnvironment, requestHead, runHead } from './fake-call.js'

const WEB = 'spiffe://td/ns/default/dc/dc1/svc/web'

function rules(
  action: RbacRules['action'],
  permissions: readonly RbacPermission[] = [{ kind: 'any' }],
  name = 'consul intentions',
): RbacRules {
  return {
    action,
    policies: [
      {
        name,
        permissions,
        principals: [{ kind: 'authenticated', matcher: { kind: 'exact', value: WEB, ignoreCase: false } }],
      },
    ],
  }
}

function config(fields: Partial<RbacConfig>): RbacConfig {
  return {
    rules: null,
    shadowRules: null,
    rulesStatPrefix: '',
    shadowRulesStatPrefix: '',
    matcher: null,
    shadowMatcher: null,
    trackPerRuleStats: false,
    statPrefix: '',
    ...fields,
  }
}

const filter = (fields: Partial<RbacConfig>) => ({ kind: 'rbac', config: config(fields) })

describe('HTTP RBAC filter', () => {
  it('lets a matching peer pass and counts it', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead(), connectionInfo(WEB))
    expect(runHead(world.factory(filter({ rules: rules('ALLOW') })), call).status).toBe('continue')
    expect(world.counter('http.in.rbac.allowed')).toBe(1)
    expect(world.counter('http.in.rbac.denied')).toBe(0)
  })

  it('refuses with 403, the body and the details of Envoy, and says why', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead(), connectionInfo('spiffe://td/ns/default/dc/dc1/svc/batch'))
    expect(runHead(world.factory(filter({ rules: rules('ALLOW') })), call).status).toBe('stop')
    expect(call.reply).toMatchObject({
      status: 403,
      body: 'RBAC: access denied',
      details: 'rbac_access_denied_matched_policy[none]',
      flags: 0,
    })
    expect(call.info.deniedBy).toContain('default deny')
    expect(call.info.dynamicMetadata('outrigger')).toMatchObject({ denied_reason: expect.stringContaining('default deny') })
    expect(world.counter('http.in.rbac.denied')).toBe(1)
  })

  it('names the policy of a DENY rule without spaces', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead(), connectionInfo(WEB))
    runHead(world.factory(filter({ rules: rules('DENY') })), call)
    expect(call.reply?.details).toBe('rbac_access_denied_matched_policy[consul_intentions]')
  })

  it('is not enforced without rules, but fails closed with rules that hold no policy', () => {
    const world = new FakeEnvironment()
    expect(runHead(world.factory(filter({})), new FakeCall(requestHead())).filter).toBeNull()
    const call = new FakeCall(requestHead(), connectionInfo(WEB))
    runHead(world.factory(filter({ rules: { action: 'ALLOW', policies: [] } })), call)
    expect(call.reply?.status).toBe(403)
  })

  it('CVE-2021-36213: a deny rule for one path under default deny allows no other path', () => {
    const world = new FakeEnvironment()
    // Under default deny a lone L7 deny adds nothing to the ALLOW policies: the rules stay empty, and empty must deny.
    const factory = world.factory(filter({ rules: { action: 'ALLOW', policies: [] } }))
    for (const path of ['/admin', '/other']) {
      const call = new FakeCall(requestHead({ path }), connectionInfo(WEB))
      runHead(factory, call)
      expect(call.reply?.status, path).toBe(403)
    }
  })

  it('CVE-2024-10006: a header rule looks at every value, whatever the name is written like', () => {
    const world = new FakeEnvironment()
    const denied: RbacPermission = {
      kind: 'header',
      header: {
        name: 'x-check',
        match: { kind: 'string', matcher: { kind: 'exact', value: 'bad', ignoreCase: false } },
        invert: false,
        treatMissingAsEmpty: false,
      },
    }
    const factory = world.factory(filter({ rules: rules('DENY', [denied]) }))
    const spellings: Record<string, string | string[]>[] = [
      { 'X-CHECK': 'bad' },
      { 'x-check': ['good', 'bad'] },
      { 'X-Check': ['bad', 'good'] },
    ]
    for (const headers of spellings) {
      const call = new FakeCall(requestHead({}, headers), connectionInfo(WEB))
      runHead(factory, call)
      expect(call.reply?.status, JSON.stringify(headers)).toBe(403)
    }
    const call = new FakeCall(requestHead({}, { 'x-check': 'good' }), connectionInfo(WEB))
    expect(runHead(factory, call).status).toBe('continue')
  })

  it('counts each policy by itself where the config asks for it', () => {
    const world = new FakeEnvironment()
    const factory = world.factory(
      filter({
        rules: rules('ALLOW'),
        rulesStatPrefix: 'p.',
        shadowRules: rules('DENY'),
        shadowRulesStatPrefix: 's.',
        trackPerRuleStats: true,
      }),
    )
    const policy = rules('ALLOW').policies[0]!.name
    runHead(factory, new FakeCall(requestHead(), connectionInfo(WEB)))
    expect(world.counter(`http.in.rbac.p.policy.${policy}.allowed`)).toBe(1)
    expect(world.counter(`http.in.rbac.s.policy.${policy}.shadow_denied`)).toBe(1)
  })

  it('only records what shadow rules would do', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead(), connectionInfo(WEB))
    const factory = world.factory(filter({ shadowRules: rules('DENY'), shadowRulesStatPrefix: 'trial_' }))
    expect(runHead(factory, call).status).toBe('continue')
    expect(call.info.dynamicMetadata('envoy.filters.http.rbac')).toEqual({
      trial_shadow_effective_policy_id: 'consul intentions',
      trial_shadow_engine_result: 'denied',
    })
    expect(world.counter('http.in.rbac.trial_.shadow_denied')).toBe(1)
  })

  it("takes the route's rules, and none where the route has switched it off", () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter({ rules: rules('ALLOW') }))
    const off = new FakeCall(requestHead(), connectionInfo(null), { overrides: { f: { disabled: false, kind: 'rbac', config: null } } })
    expect(runHead(factory, off).filter).toBeNull()
    const stricter = new FakeCall(requestHead(), connectionInfo(WEB), {
      overrides: { f: { disabled: false, kind: 'rbac', config: config({ rules: rules('DENY') }) } },
    })
    runHead(factory, stricter)
    expect(stricter.reply?.status).toBe(403)
  })

  it('metadata tell of denials alone, under the prefix of the filter, by whatever rules', () => {
    const factory = new FakeEnvironment().factory(filter({ rulesStatPrefix: 'own_', rules: rules('ALLOW') }))
    const told = (action: 'ALLOW' | 'DENY') => {
      const override = {
        disabled: false,
        kind: 'rbac' as const,
        config: filter({ rules: rules(action), rulesStatPrefix: 'route_' }).config,
      }
      const call = new FakeCall(requestHead(), connectionInfo(WEB), { overrides: { f: override } })
      runHead(factory, call)
      return Object.keys(call.info.dynamicMetadata('envoy.filters.http.rbac') ?? {})
    }
    expect(told('DENY')).toContain('own_enforced_engine_result')
    expect(told('ALLOW')).toEqual([])
  })

  it('decides by claims that jwt_authn left in the metadata', () => {
    const world = new FakeEnvironment()
    const claim: RbacPermission = {
      kind: 'metadata',
      matcher: {
        namespace: 'envoy.filters.http.jwt_authn',
        path: ['jwt_payload_okta', 'role'],
        value: { kind: 'string', matcher: { kind: 'exact', value: 'admin', ignoreCase: false } },
        invert: false,
      },
    }
    const factory = world.factory(filter({ rules: rules('ALLOW', [claim]) }))
    const without = new FakeCall(requestHead(), connectionInfo(WEB))
    runHead(factory, without)
    expect(without.reply?.status).toBe(403)
    const admin = new FakeCall(requestHead(), connectionInfo(WEB))
    admin.info.setDynamicMetadata('envoy.filters.http.jwt_authn', 'jwt_payload_okta', { role: 'admin' })
    expect(runHead(factory, admin).status).toBe('continue')
  })

  it('only logs with the LOG action', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead(), connectionInfo(WEB))
    expect(runHead(world.factory(filter({ rules: rules('LOG') })), call).status).toBe('continue')
    expect(call.info.dynamicMetadata('envoy.common')).toEqual({ access_log_hint: true })
  })
})
