// Rules of all policies of one token, compiled for asking: an exact name beats a prefix, a longer prefix a shorter one, and where several
// policies speak of the same name or prefix, deny beats write beats list beats read. What no rule speaks of is the default policy's.
// Made by token-resolver.ts, once for each set of policies; asked for each request. HOT: `decide` does one map look-up and a walk over the
// prefixes' lengths that exist, no allocation but the slices (bench/micro/acl.bench.ts).
import type { NamedResource, PolicyRules, Resource, RuleAccess, SingleResource } from './rules.js'

/** What is asked for. */
export type WantedAccess = 'read' | 'list' | 'write'
export type DefaultPolicy = 'allow' | 'deny'

const PRECEDENCE: Readonly<Record<RuleAccess, number>> = { read: 0, list: 1, write: 2, deny: 3 }

interface NamedIndex {
  readonly exact: Map<string, RuleAccess>
  readonly prefixes: Map<string, RuleAccess>
  /** Lengths of the prefixes, longest first. */
  lengths: number[]
}

export class RuleIndex {
  private readonly named = new Map<Resource, NamedIndex>()
  private readonly single = new Map<Resource, RuleAccess>()
  private readonly defaultPolicy: DefaultPolicy

  constructor(policies: readonly PolicyRules[], defaultPolicy: DefaultPolicy) {
    this.defaultPolicy = defaultPolicy
    for (const { named, single } of policies) {
      for (const [resource, access] of single) keep(this.single, resource, access)
      for (const rule of named) {
        const index = this.indexOf(rule.resource)
        keep(rule.prefix ? index.prefixes : index.exact, rule.name, rule.access)
      }
    }
    for (const index of this.named.values())
      index.lengths = [...new Set([...index.prefixes.keys()].map(({ length }) => length))].sort((a, b) => b - a)
  }

  /** Whether `wanted` on the thing of this name is granted. */
  allows(resource: NamedResource | 'intention', name: string, wanted: WantedAccess): boolean {
    return this.grants(this.ruleFor(resource, name), wanted)
  }

  allowsSingle(resource: SingleResource, wanted: WantedAccess): boolean {
    const rule = this.single.get(resource)
    // Consul: a token without a rule for the mesh or for peering is judged by its operator rule.
    if (rule === undefined && (resource === 'mesh' || resource === 'peering')) return this.allowsSingle('operator', wanted)
    return this.grants(rule, wanted)
  }

  /** Whether everything below `prefix` may be written (what `?recurse` deletes) or read. */
  allowsAllBelow(resource: NamedResource, prefix: string, wanted: WantedAccess): boolean {
    const index = this.named.get(resource)
    if (index === undefined) return this.grants(undefined, wanted)
    for (const rules of [index.exact, index.prefixes])
      for (const [name, access] of rules) if (name.startsWith(prefix) && !this.grants(access, wanted)) return false
    return this.grants(this.longestPrefix(index, prefix), wanted)
  }

  private ruleFor(resource: Resource, name: string): RuleAccess | undefined {
    const index = this.named.get(resource)
    if (index === undefined) return undefined
    return index.exact.get(name) ?? this.longestPrefix(index, name)
  }

  private longestPrefix(index: NamedIndex, name: string): RuleAccess | undefined {
    for (const length of index.lengths) {
      if (length > name.length) continue
      const access = index.prefixes.get(name.slice(0, length))
      if (access !== undefined) return access
    }
    return undefined
  }

  private grants(rule: RuleAccess | undefined, wanted: WantedAccess): boolean {
    if (rule === undefined) return this.defaultPolicy === 'allow'
    switch (rule) {
      case 'write':
        return true
      case 'list':
        return wanted !== 'write'
      case 'read':
        return wanted === 'read'
      case 'deny':
        return false
    }
  }

  private indexOf(resource: Resource): NamedIndex {
    let index = this.named.get(resource)
    if (index === undefined) this.named.set(resource, (index = { exact: new Map(), prefixes: new Map(), lengths: [] }))
    return index
  }
}

function keep<K>(into: Map<K, RuleAccess>, key: K, access: RuleAccess): void {
  const before = into.get(key)
  if (before === undefined || PRECEDENCE[access] > PRECEDENCE[before]) into.set(key, access)
}
