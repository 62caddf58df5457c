// What decides for an RBAC filter, network or HTTP: the policies of `rules`, or the tree of `matcher`, which wins where both are set (as in
// Envoy). Called by the two filters, once per config for the rules in force and once for their shadow.

import type { IntentionTable } from '../../model/intention.js'
import type { MatchTree } from '../../model/match-tree.js'
import type { RbacAction, RbacRules } from '../../model/rbac.js'
import { type DenialReason, explainDecision, explainDenial } from './explain.js'
import { compileMatcherRbac } from './matcher-rbac.js'
import { compileRbac, type RbacDecision } from './rbac-engine.js'
import type { RbacInput } from './rbac-input.js'

export interface RbacDecider {
  decide(input: RbacInput): RbacDecision
  /** Why it denied: by the intentions where the listener has their table. */
  explain(table: IntentionTable | null, input: RbacInput): DenialReason
  /** Its decision in words, and the rule behind it. Nothing is counted. */
  tell(table: IntentionTable | null, input: RbacInput): DenialReason & { readonly allowed: boolean }
}

/** null: nothing is enforced. */
export function rbacDecider(rules: RbacRules | null, matcher: MatchTree<RbacAction> | null): RbacDecider | null {
  if (matcher !== null) {
    const decide = compileMatcherRbac(matcher)
    const tell: RbacDecider['tell'] = (_table, input) => {
      const { allowed, policy } = decide(input)
      if (policy === null) return { allowed, intention: '', reason: 'the matcher has no match; default deny' }
      return { allowed, intention: policy, reason: `action "${policy}" of the matcher ${allowed ? 'allows' : 'denies'}` }
    }
    return { decide, explain: tell, tell }
  }
  if (rules === null) return null
  const engine = compileRbac(rules)
  return {
    decide: input => engine.decide(input),
    explain: (table, input) => explainDenial(table, rules, input),
    tell: (table, input) => explainDecision(engine, table, input),
  }
}
