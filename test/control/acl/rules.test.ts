// ACL rules: Consul's documented forms, precedence between rules and policies, what is implied, what is refused.
import { describe, expect, it } from 'vitest'
import { BUILTIN_POLICIES } from '../../../src/control/acl/acl-types.js'
import { type DefaultPolicy, RuleIndex } from '../../../src/control/acl/rule-index.js'
import { parseRules } from '../../../src/control/acl/rules.js'
import { rendered, templates } from '../../../src/control/acl/templated-policies.js'

function index(texts: readonly string[], defaultPolicy: DefaultPolicy = 'deny'): RuleIndex {
  return new RuleIndex(
    texts.map(text => {
      const rules = parseRules(text)
      if ('problems' in rules) throw new Error(rules.problems.join('; '))
      return rules
    }),
    defaultPolicy,
  )
}

describe('which rule decides', () => {
  it('an exact name beats every prefix, a longer prefix a shorter one', () => {
    const rules = index([
      'key_prefix "" { policy = "read" }\nkey_prefix "a/" { policy = "deny" }\nkey_prefix "a/b/" { policy = "write" }\nkey "a/b/c" { policy = "deny" }',
    ])
    expect(rules.allows('key', 'x', 'read')).toBe(true)
    expect(rules.allows('key', 'x', 'write')).toBe(false)
    expect(rules.allows('key', 'a/x', 'read')).toBe(false)
    expect(rules.allows('key', 'a/b/x', 'write')).toBe(true)
    expect(rules.allows('key', 'a/b/c', 'read')).toBe(false)
    expect(rules.allows('key', 'a/b/cc', 'write')).toBe(true)
  })

  it('of several policies with one rule: deny, then write, then list, then read', () => {
    const [deny, write, list, read] = ['deny', 'write', 'list', 'read'].map(access => `key_prefix "p" { policy = "${access}" }`) as [
      string,
      string,
      string,
      string,
    ]
    expect(index([read, write]).allows('key', 'p', 'write')).toBe(true)
    expect(index([write, read, deny]).allows('key', 'p', 'read')).toBe(false)
    expect(index([read, list]).allows('key', 'p', 'list')).toBe(true)
    expect(index([read, list]).allows('key', 'p', 'write')).toBe(false)
    expect(index([read]).allows('key', 'p', 'list')).toBe(false)
  })

  it('every template of Consul makes rules', () => {
    const made = templates().map(({ TemplateName }) => [TemplateName, parseRules(rendered(TemplateName, 'web'))] as const)
    expect(made.map(([name]) => name).sort()).toEqual(
      ['api-gateway', 'dns', 'node', 'nomad-client', 'nomad-server', 'service', 'workload-identity'].map(name => `builtin/${name}`),
    )
    for (const [name, rules] of made) expect(rules, name).not.toHaveProperty('problems')
    expect(index([rendered('builtin/workload-identity', 'web')]).allows('identity', 'web', 'write')).toBe(true)
  })

  it('what no rule speaks of is left to the default policy', () => {
    expect(index([]).allows('service', 'web', 'read')).toBe(false)
    expect(index([], 'allow').allows('service', 'web', 'write')).toBe(true)
    expect(index(['service "web" { policy = "deny" }'], 'allow').allows('service', 'web', 'read')).toBe(false)
    expect(index(['service "web" { policy = "deny" }'], 'allow').allows('service', 'webb', 'read')).toBe(true)
  })

  it('mesh and peering follow operator where they have no rule of their own', () => {
    expect(index(['operator = "write"']).allowsSingle('mesh', 'write')).toBe(true)
    expect(index(['operator = "write"\nmesh = "deny"']).allowsSingle('mesh', 'read')).toBe(false)
    expect(index(['operator = "write"']).allowsSingle('keyring', 'read')).toBe(false)
  })

  it('who may see a service may see its intentions; writing them must be said', () => {
    const rules = index([
      'service "web" { policy = "write" }\nservice "api" { policy = "read" intentions = "write" }\nservice "db" { policy = "deny" }',
    ])
    expect(rules.allows('intention', 'web', 'read')).toBe(true)
    expect(rules.allows('intention', 'web', 'write')).toBe(false)
    expect(rules.allows('intention', 'api', 'write')).toBe(true)
    expect(rules.allows('intention', 'db', 'read')).toBe(false)
  })

  it('everything below a prefix: one rule inside that is less than write forbids it', () => {
    const rules = index(['key_prefix "a/" { policy = "write" }\nkey "a/locked" { policy = "read" }\nkey_prefix "b/" { policy = "write" }'])
    expect(rules.allowsAllBelow('key', 'a/', 'write')).toBe(false)
    expect(rules.allowsAllBelow('key', 'b/x', 'write')).toBe(true)
    expect(rules.allowsAllBelow('key', '', 'write')).toBe(false)
    expect(rules.allowsAllBelow('key', 'a/', 'read')).toBe(true)
    expect(index(['service_prefix "" { policy = "read" }\nservice "db" { policy = "deny" }']).allowsAllBelow('service', '', 'read')).toBe(
      false,
    )
  })

  it('the builtin policies grant all, and all reading', () => {
    const [management, readOnly] = BUILTIN_POLICIES.map(({ Rules }) => index([Rules])) as [RuleIndex, RuleIndex]
    for (const resource of ['agent', 'event', 'key', 'node', 'query', 'service', 'session', 'intention'] as const) {
      expect(management.allows(resource, 'any', 'write')).toBe(true)
      expect(readOnly.allows(resource, 'any', 'read')).toBe(true)
      expect(readOnly.allows(resource, 'any', 'write')).toBe(false)
    }
    for (const resource of ['acl', 'keyring', 'mesh', 'operator', 'peering'] as const) {
      expect(management.allowsSingle(resource, 'write')).toBe(true)
      expect(readOnly.allowsSingle(resource, 'write')).toBe(false)
      expect(readOnly.allowsSingle(resource, 'read')).toBe(true)
    }
  })
})

describe('texts', () => {
  it('JSON is read as HCL is', () => {
    const json = '{"service_prefix": {"": {"policy": "read"}}, "acl": "write"}'
    expect(parseRules(json)).toEqual(parseRules('service_prefix "" { policy = "read" }\nacl = "write"'))
  })

  it.each([
    ['service "web" { policy = "wirte" }', 'service "web": policy: must be "read", "write" or "deny", is "wirte"'],
    ['service "web" { policy = "list" }', 'service "web": policy: must be "read", "write" or "deny", is "list"'],
    ['service "web" {}', 'service "web": policy: must be "read", "write" or "deny", is missing'],
    ['service = "read"', 'service: must name what it is about: service "NAME" { policy = "…" }'],
    ['operator "x" { policy = "read" }', 'operator: must be "read", "write" or "deny"'],
    ['serivce "web" { policy = "read" }', 'serivce: is no resource that rules are about'],
    ['partition "p" { policy = "read" }', 'partition: is a rule of Consul Enterprise'],
    ['key "k" { policy = "write" sentinel { code = "" } }', 'key "k": sentinel: is of Consul Enterprise'],
    ['node "n" { policy = "read" intentions = "read" }', 'node "n": intentions: is no field of this rule'],
    ['key "k" {', 'line 1, column 10'],
  ])('%s', (text, problem) => {
    const result = parseRules(text)
    expect('problems' in result && result.problems.join('\n')).toContain(problem)
  })
})
