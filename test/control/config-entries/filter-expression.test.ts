import { describe, expect, test } from 'vitest'
import { compileFilter, type FilterInstance } from '../../../src/control/config-entries/filter-expression.js'

const instance: FilterInstance = {
  Node: { ID: 'n-1', Node: 'host-a', Address: '10.0.0.1', Datacenter: 'dc1', Meta: { rack: 'r1' } },
  Service: {
    ID: 'api-v1',
    Service: 'api',
    Tags: ['blue', 'v1'],
    Meta: { version: 'v1', 'build-id': '42', empty: '' },
    Address: '10.0.0.7',
    Port: 8080,
    EnableTagOverride: false,
  },
  Checks: [
    { CheckID: 'alive', Status: 'passing' },
    { CheckID: 'load', Status: 'warning' },
  ],
}

function evaluate(expression: string): boolean {
  const compiled = compileFilter(expression)
  if ('error' in compiled) throw new Error(compiled.error)
  return compiled.predicate(instance)
}

describe('filter expressions', () => {
  test.each<[string, boolean]>([
    ['Service.Meta.version == v1', true],
    ['Service.Meta.version == "v1"', true],
    ['Service.Meta.version==`v1`', true],
    ['Service.Meta["version"] == v1', true],
    ['Service.Meta["build-id"] == 42', true],
    ['"/Service/Meta/version" == v1', true],
    ['Service.Meta.version == v2', false],
    ['Service.Meta.version != v2', true],
    ['Service.Meta.absent == v1', false],
    ['Service.Meta.absent != v1', true],
    ['Service.Meta.absent is empty', true],
    ['Service.Meta.empty is empty', true],
    ['Service.Meta.absent is not empty', false],
    ['Service.Meta.absent matches ".*"', false],
    ['Service.Meta.absent not matches ".*"', true],
    ['Service.Meta.constructor is empty', true],
    ['"version" in Service.Meta', true],
    ['version in Service.Meta', true],
    ['"constructor" in Service.Meta', false],
    ['Service.Meta contains version', true],
    ['"x" not in Service.Meta', true],
    ['"blue" in Service.Tags', true],
    ['"blu" in Service.Tags', false],
    ['Service.Tags contains v1', true],
    ['Service.Tags not contains "v2"', true],
    ['Service.Tags is not empty', true],
    ['"api" in Service.ID', true],
    ['Service.ID contains "-v"', true],
    ['Service.ID matches "^api-v[0-9]+$"', true],
    ['Service.ID matches "v1"', true],
    ['Service.ID not matches "v2"', true],
    ['Service.Port == 8080', true],
    ['Service.Port != 80', true],
    ['Service.EnableTagOverride == false', true],
    ['Node.Node == "host-a" and Node.Meta.rack == r1', true],
    ['Node.Datacenter == dc2 or Service.Port == 8080', true],
    ['Node.Datacenter == dc2 or Service.Port == 80 and Service.Service == api', false],
    ['(Node.Datacenter == dc1 or Service.Port == 80) and Service.Service == api', true],
    ['not Service.Port == 80', true],
    ['not not Service.Port == 80', false],
    ['not (Service.Port == 80 or Service.Service == api)', false],
    ['( ( Service.Port == 8080 ) )', true],
    ['  Service.Port\t==\n8080  ', true],
    ['Checks.Status == warning', true],
    ['Checks.Status == critical', false],
    ['Checks is not empty', true],
  ])('%s → %s', (expression, expected) => {
    expect(evaluate(expression)).toBe(expected)
  })

  test.each<[string, RegExp]>([
    ['', /at position 1/],
    ['Service.Meta.version ==', /expected a value, found the end at position 24/],
    ['Service.Meta.version = v1', /unexpected "=" at position 22/],
    ['Service.Meta.version v1', /expected an operator.*position 22/],
    ['(Service.Port == 80', /unmatched parentheses.*position 20/],
    ['Service.Port == 80)', /expected "and", "or" or the end.*position 19/],
    ['Service.Port == 80 and', /found the end at position 23/],
    ['Service.Port == abc', /"abc" is not a number/],
    ['Service.Port is empty', /does not apply to a number/],
    ['Service.Tags == blue', /do not apply to a list/],
    ['Service.Nothing == x', /unknown selector "Service.Nothing" at position 1/],
    ['Service.Meta.a.b == x', /unknown selector/],
    ['Meta.version == v1', /unknown selector/],
    ['Service.ID == "v1', /unterminated string at position 15/],
    ['Service.Meta[version] == v1', /invalid index at position 13/],
    ['Service.Meta. == v1', /position/],
    ['Service.ID matches "("', /not an RE2 expression/],
    ['and == x', /expected a selector/],
    ['"x" in "y"', /expected a selector.*position 8/],
    ['"x" in', /expected a selector, found the end/],
    [`${'('.repeat(200)}Service.Port == 80${')'.repeat(200)}`, /more than 100 nested/],
    ['x'.repeat(20_000), /longer than/],
    ['é == x', /unexpected/],
  ])('refuses %j', (expression, reason) => {
    const compiled = compileFilter(expression)
    expect('error' in compiled && compiled.error).toMatch(reason)
  })

  test('an instance without optional parts has zero values, and nothing throws', () => {
    const bare: FilterInstance = { Service: { ID: 'a', Service: 'a' } }
    const expressions = [
      'Service.Tags is empty',
      'Node.Meta.x is empty',
      'Service.Port == 0',
      'not Checks.Status == passing',
      'Service.Weights.Passing == 0',
    ]
    for (const expression of expressions) {
      const compiled = compileFilter(expression)
      expect('predicate' in compiled && compiled.predicate(bare), expression).toBe(true)
    }
  })
})
