// envoy.config.rbac.v3.RBAC compiled: the one decision behind the network filter, the HTTP filter and `explain`. Pure; HOT: once a
// request and once a connection, and 10,000 policies cost as 10 do (bench/micro/rbac.bench.ts).
//
//   ALLOW: some policy matches -> allowed; none (also with no policies at all) -> denied
//   DENY:  some policy matches -> denied;  none -> allowed
//   LOG:   always allowed; the policy is named
//
// Policies are tried in the order of their names, as Envoy's std::map holds them, so that the name told is the one Envoy tells.

import type { RbacPolicy, RbacRules } from '../../model/rbac.js'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import { type CelTest, compileCel } from '../match/cel-test.js'
import type { Certainty } from '../match/header-matcher.js'
import { IdentityIndex } from './identity-index.js'
import { compilePermissions } from './permission.js'
import { compilePrincipals, neededIdentities, type PrincipalOptions } from './principal.js'
import { peerFor, type RbacInput, type RbacTest } from './rbac-input.js'

export type { RbacInput } from './rbac-input.js'

export interface RbacDecision {
  readonly allowed: boolean
  /** Name of the policy that matched, or null. */
  readonly policy: string | null
  /** For the access log, where the rules are LOG rules: did one match? */
  readonly logHint?: boolean
}

interface CompiledPolicy {
  readonly name: string
  readonly order: number
  readonly permits: RbacTest
  readonly applies: RbacTest
  /** Null: no condition. */
  readonly condition: CelTest | null
  readonly decision: RbacDecision
}

/** How near a policy came, for explanations. */
export interface PolicyVerdict {
  readonly policy: RbacPolicy
  readonly principal: boolean
  readonly permission: boolean
}

export class RbacEngine {
  readonly rules: RbacRules
  private readonly certainty: Certainty
  private readonly policies: readonly CompiledPolicy[]
  /** Policies that only peers with certain identities can match. */
  private readonly index = new IdentityIndex<CompiledPolicy>()
  /** Policies that anyone may match, in order. */
  private readonly open: readonly CompiledPolicy[]
  /** Policies in question for a peer: found once per connection. */
  private readonly candidates = new WeakMap<PeerIdentity, readonly CompiledPolicy[]>()
  private readonly unmatched: RbacDecision

  constructor(rules: RbacRules, options: PrincipalOptions) {
    this.rules = rules
    // What allows must match for certain, what denies must not be dodged.
    this.certainty = rules.action === 'DENY' ? 'possible' : 'certain'
    const logs = rules.action === 'LOG'
    this.unmatched = { allowed: rules.action !== 'ALLOW', policy: null, ...(logs ? { logHint: false } : {}) }
    const sorted = [...rules.policies].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
    const open: CompiledPolicy[] = []
    this.policies = sorted.map((policy, order) => {
      const compiled: CompiledPolicy = {
        name: policy.name,
        order,
        permits: compilePermissions(policy.permissions, this.certainty),
        applies: compilePrincipals(policy.principals, this.certainty, options),
        condition: policy.condition === undefined ? null : compileCel(policy.condition),
        decision: { allowed: rules.action !== 'DENY', policy: policy.name, ...(logs ? { logHint: true } : {}) },
      }
      const needed = options.tables ? neededIdentities(policy.principals) : null
      if (needed === null) open.push(compiled)
      else for (const pattern of needed) this.index.add(pattern, compiled)
      return compiled
    })
    this.open = open
  }

  decide(input: RbacInput): RbacDecision {
    const peer = peerFor(input, this.certainty)
    const candidates = peer === null || this.index.empty ? this.open : this.candidatesFor(peer)
    for (let i = 0; i < candidates.length; i++) {
      const policy = candidates[i]!
      if (!policy.permits(input) || !policy.applies(input)) continue
      if (policy.condition === null || policy.condition(input.connection, input.info)) return policy.decision
    }
    return this.unmatched
  }

  private candidatesFor(peer: PeerIdentity): readonly CompiledPolicy[] {
    let candidates = this.candidates.get(peer)
    if (candidates === undefined) {
      candidates = [...new Set([...this.open, ...this.index.valuesOf(peer)])].sort((a, b) => a.order - b.order)
      this.candidates.set(peer, candidates)
    }
    return candidates
  }

  /** Every policy's two halves by themselves, in order. Slow: for explanations only. */
  verdicts(input: RbacInput): PolicyVerdict[] {
    const byName = new Map(this.rules.policies.map(policy => [policy.name, policy]))
    return this.policies.map(compiled => ({
      policy: byName.get(compiled.name)!,
      principal: compiled.applies(input),
      permission: compiled.permits(input),
    }))
  }
}

export function compileRbac(rules: RbacRules, options: PrincipalOptions = { tables: true }): RbacEngine {
  return new RbacEngine(rules, options)
}
