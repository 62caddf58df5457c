// From the secret that a request shows to what it may do: the token, its policies (its own, its roles', its identities'), compiled once and
// kept until the ACL table changes. Asked by the HTTP API, xDS, the dataplane API and DNS for each request.
// Invariant: an expired or deleted token resolves to nothing from that moment on; what is kept is bounded.
import type { AclTable } from './acl-table.js'
import { type AclToken, ANONYMOUS_ACCESSOR_ID, ANONYMOUS_SECRET_ID, type Grants } from './acl-types.js'
import { type DefaultPolicy, RuleIndex } from './rule-index.js'
import { type PolicyRules, parseRules } from './rules.js'
import { nodeIdentityRules, rendered, serviceIdentityRules } from './templated-policies.js'

export interface ResolvedToken {
  readonly accessorId: string
  readonly rules: RuleIndex
  readonly token: AclToken | undefined
}

/** Tokens and rule texts remembered; beyond that the oldest go. */
const MAX_REMEMBERED = 10_000
const NO_RULES: PolicyRules = { named: [], single: new Map() }

export interface ResolverOptions {
  readonly table: AclTable
  readonly defaultPolicy: DefaultPolicy
  readonly datacenter: string
  nowMs(): number
}

export class TokenResolver {
  private readonly options: ResolverOptions
  private readonly resolved = new Map<string, ResolvedToken>()
  private readonly parsed = new Map<string, PolicyRules>()
  private version = -1

  constructor(options: ResolverOptions) {
    this.options = options
  }

  /** Undefined: there is no such token. No secret at all is the anonymous token's. */
  resolve(secret: string | undefined): ResolvedToken | undefined {
    const { table } = this.options
    if (this.version !== table.version) {
      this.resolved.clear()
      this.version = table.version
    }
    const shown = secret === undefined || secret === '' ? ANONYMOUS_SECRET_ID : secret
    const known = this.resolved.get(shown)
    if (known !== undefined && !this.isExpired(known.token)) return known
    this.resolved.delete(shown)
    const token = table.tokenOfSecret(shown)
    if (token === undefined) return shown === ANONYMOUS_SECRET_ID ? this.keep(shown, this.anonymous()) : undefined
    if (this.isExpired(token)) return undefined
    return this.keep(shown, { accessorId: token.AccessorID, rules: this.rulesOf(token), token })
  }

  /** The texts of everything that the token gives, its roles included. */
  ruleTexts(token: AclToken): string[] {
    const texts = new Set<string>()
    this.collect(token, texts)
    for (const link of token.Roles) {
      const role = this.options.table.get('acl-role', link.ID)
      if (role !== undefined) this.collect(role, texts)
    }
    return [...texts]
  }

  private rulesOf(token: AclToken): RuleIndex {
    return new RuleIndex(
      this.ruleTexts(token).map(text => this.parse(text)),
      this.options.defaultPolicy,
    )
  }

  private collect(grants: Grants, texts: Set<string>): void {
    const { table, datacenter } = this.options
    const here = (datacenters: readonly string[] | undefined): boolean =>
      datacenters === undefined || datacenters.length === 0 || datacenters.includes(datacenter)
    for (const link of grants.Policies) {
      const policy = table.get('acl-policy', link.ID)
      if (policy !== undefined && here(policy.Datacenters)) texts.add(policy.Rules)
    }
    for (const { ServiceName, Datacenters } of grants.ServiceIdentities) if (here(Datacenters)) texts.add(serviceIdentityRules(ServiceName))
    for (const { NodeName, Datacenter } of grants.NodeIdentities) if (Datacenter === datacenter) texts.add(nodeIdentityRules(NodeName))
    for (const { TemplateName, TemplateVariables, Datacenters } of grants.TemplatedPolicies)
      if (here(Datacenters)) texts.add(rendered(TemplateName, TemplateVariables?.Name ?? ''))
  }

  private parse(text: string): PolicyRules {
    const known = this.parsed.get(text)
    if (known !== undefined) return known
    const rules = parseRules(text)
    // What was written has been judged; text of an older release that no longer parses grants nothing.
    const usable = 'problems' in rules ? NO_RULES : rules
    bounded(this.parsed).set(text, usable)
    return usable
  }

  private anonymous(): ResolvedToken {
    return { accessorId: ANONYMOUS_ACCESSOR_ID, rules: new RuleIndex([], this.options.defaultPolicy), token: undefined }
  }

  private keep(secret: string, resolved: ResolvedToken): ResolvedToken {
    bounded(this.resolved).set(secret, resolved)
    return resolved
  }

  private isExpired(token: AclToken | undefined): boolean {
    return token?.ExpirationTime !== undefined && Date.parse(token.ExpirationTime) <= this.options.nowMs()
  }
}

function bounded<V>(map: Map<string, V>): Map<string, V> {
  if (map.size >= MAX_REMEMBERED) map.delete(map.keys().next().value!)
  return map
}
