// What a token may do, asked of 1,000 policies at once: the answer is asserted first, then timed.
import assert from 'node:assert/strict'
import { bench, describe } from 'vitest'
import { RuleIndex } from '../../src/control/acl/rule-index.js'
import { type PolicyRules, parseRules } from '../../src/control/acl/rules.js'

const policies = Array.from({ length: 1000 }, (_, i): PolicyRules => {
  const rules = parseRules(`
service "svc-${i}" { policy = "write" }
service_prefix "team-${i % 50}-" { policy = "read" }
key_prefix "apps/svc-${i}/" { policy = "write" }
node_prefix "" { policy = "read" }`)
  if ('problems' in rules) throw new Error(rules.problems.join('; '))
  return rules
})
const rules = new RuleIndex(policies, 'deny')

assert(rules.allows('service', 'svc-999', 'write'))
assert(rules.allows('key', 'apps/svc-500/a/b/c', 'write'))
assert(!rules.allows('key', 'apps/other/a/b/c', 'read'))
assert(!rules.allows('service', 'unknown', 'read'))

describe('1,000 policies', () => {
  bench('an exact rule', () => {
    rules.allows('service', 'svc-999', 'write')
  })
  bench('the longest of 1,000 prefixes', () => {
    rules.allows('key', 'apps/svc-500/a/b/c', 'write')
  })
  bench('no rule at all', () => {
    rules.allows('service', 'unknown', 'read')
  })
})
