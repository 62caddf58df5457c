// The rules of one ACL policy: HCL or JSON text to a table of rules, or every reason why not. Called when a policy is written and when the
// synthetic ones (templated-policies.ts) are made; compiled into decisions by rule-index.ts.
// Resources, access levels and which of them have names are Consul's; what belongs to Enterprise is refused by name.
import { type HclObject, type HclValue, readHcl } from '../hcl/read-hcl.js'

/** What a rule grants; `list` is for keys alone. */
export type RuleAccess = 'deny' | 'read' | 'list' | 'write'

/** Resources whose rules carry a name: `service "web"`, `service_prefix "we"`. */
export const NAMED_RESOURCES = ['agent', 'event', 'identity', 'key', 'node', 'query', 'service', 'session'] as const
/** Resources that exist once: `operator = "read"`. */
export const SINGLE_RESOURCES = ['acl', 'keyring', 'mesh', 'operator', 'peering'] as const

export type NamedResource = (typeof NAMED_RESOURCES)[number]
export type SingleResource = (typeof SINGLE_RESOURCES)[number]
export type Resource = NamedResource | SingleResource | 'intention'

export interface NamedRule {
  readonly resource: NamedResource | 'intention'
  readonly name: string
  /** `…_prefix`. */
  readonly prefix: boolean
  readonly access: RuleAccess
}

export interface PolicyRules {
  readonly named: readonly NamedRule[]
  readonly single: ReadonlyMap<SingleResource, RuleAccess>
}

/** Rules of one policy: more is a mistake, or an attack on what each request must look through. */
const MAX_RULES = 10_000
const ENTERPRISE = new Set(['partition', 'partition_prefix', 'namespace', 'namespace_prefix', 'sentinel'])
const PREFIX_SUFFIX = '_prefix'

/** The rules of a text; problems as one line each. Empty text is a policy without rules. */
export function parseRules(text: string): PolicyRules | { readonly problems: readonly string[] } {
  let body: HclObject
  try {
    body = readHcl(text)
  } catch (error) {
    return { problems: [(error as Error).message] }
  }
  const problems: string[] = []
  const named: NamedRule[] = []
  const single = new Map<SingleResource, RuleAccess>()
  for (const [key, value] of Object.entries(body)) {
    if ((SINGLE_RESOURCES as readonly string[]).includes(key)) {
      const access = accessOf(value, false)
      if (access === null) problems.push(`${key}: must be "read", "write" or "deny", is ${show(value)}`)
      else single.set(key as SingleResource, access)
    } else if (ENTERPRISE.has(key)) problems.push(`${key}: is a rule of Consul Enterprise`)
    else readNamed(key, value, named, problems)
  }
  if (named.length > MAX_RULES) problems.push(`${named.length} rules, the limit is ${MAX_RULES}`)
  return problems.length > 0 ? { problems } : { named, single }
}

function readNamed(key: string, value: HclValue, into: NamedRule[], problems: string[]): void {
  const prefix = key.endsWith(PREFIX_SUFFIX)
  const resource = (prefix ? key.slice(0, -PREFIX_SUFFIX.length) : key) as NamedResource
  if (!NAMED_RESOURCES.includes(resource)) {
    problems.push(`${key}: is no resource that rules are about`)
    return
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    problems.push(`${key}: must name what it is about: ${key} "NAME" { policy = "…" }`)
    return
  }
  for (const [name, body] of Object.entries(value)) {
    const at = `${key} ${JSON.stringify(name)}`
    for (const rule of Array.isArray(body) ? body : [body]) readRule({ resource, name, prefix, at }, rule, into, problems)
  }
}

function readRule(
  { resource, name, prefix, at }: { resource: NamedResource; name: string; prefix: boolean; at: string },
  body: HclValue,
  into: NamedRule[],
  problems: string[],
): void {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    problems.push(`${at}: must be a block with policy = "…"`)
    return
  }
  for (const field of Object.keys(body)) {
    if (field === 'sentinel') problems.push(`${at}: sentinel: is of Consul Enterprise`)
    else if (field !== 'policy' && !(field === 'intentions' && resource === 'service'))
      problems.push(`${at}: ${field}: is no field of this rule`)
  }
  const access = accessOf(body.policy, resource === 'key')
  if (access === null) {
    problems.push(`${at}: policy: must be "read", "write"${resource === 'key' ? ', "list"' : ''} or "deny", is ${show(body.policy)}`)
    return
  }
  into.push({ resource, name, prefix, access })
  if (resource !== 'service') return
  // Who may see a service may see who may call it, unless the rule says otherwise.
  const intentions = body.intentions === undefined ? (access === 'deny' ? 'deny' : 'read') : accessOf(body.intentions, false)
  if (intentions === null) problems.push(`${at}: intentions: must be "read", "write" or "deny", is ${show(body.intentions)}`)
  else into.push({ resource: 'intention', name, prefix, access: intentions })
}

function accessOf(value: HclValue | undefined, list: boolean): RuleAccess | null {
  if (value === 'read' || value === 'write' || value === 'deny') return value
  return list && value === 'list' ? value : null
}

function show(value: HclValue | undefined): string {
  return value === undefined ? 'missing' : JSON.stringify(value)
}
