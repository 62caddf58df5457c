// Why a request was denied, for the log, response_code_details and the denied-by header. From the intention table where the listener
// has one, else from the RBAC rules themselves. Called after a denial only; it decides nothing.

import type { IntentionPermission, IntentionTable } from '../../model/intention.js'
import type { HeaderMatcher, StringMatcher } from '../../model/matcher.js'
import type { RbacPermission, RbacRules } from '../../model/rbac.js'
import { meshIdentityOf, parseSpiffeId } from '../../mtls/spiffe.js'
import { compileHeaderMatcher } from '../match/header-matcher.js'
import { pathOnly } from '../match/route-match.js'
import { compileStringMatcher } from '../match/string-matcher.js'
import { compilePermission } from './permission.js'
import { compileRbac, type RbacEngine } from './rbac-engine.js'
import type { RbacInput } from './rbac-input.js'

export { intentionTableOf } from './intention-table.js'

export interface DenialReason {
  /** Name of the intention (or, without a table, the policy) that decided; '' none. */
  readonly intention: string
  /** One line: `intention "batch -> api" denies`, `no intention matched; default deny`. */
  readonly reason: string
}

/** Longest piece of a request that is repeated in a reason. */
const MAX_SHOWN = 120

export function explainDenial(table: IntentionTable | null, rules: RbacRules, input: RbacInput): DenialReason {
  return table === null ? explainRules(rules, input) : explainTable(table, input)
}

/** Why the request passes: `policy` is the one that matched, or null. */
export function explainAllowed(table: IntentionTable | null, rules: RbacRules, input: RbacInput, policy: string | null): DenialReason {
  if (table !== null) {
    const source = sourceOf(input)
    const intention = source === null ? undefined : table.intentions.find(candidate => sourceMatches(candidate.source, source))
    if (intention === undefined) return { intention: '', reason: `no intention matched; default ${table.defaultAction}` }
    return { intention: intention.name, reason: `intention "${intention.name}" allows` }
  }
  if (rules.action === 'DENY') return { intention: '', reason: 'no policy denies' }
  return { intention: policy ?? '', reason: policy === null ? 'these rules only log' : `policy "${policy}" allows` }
}

/** The decision of `engine` in words, and the rule behind it. Nothing is counted. */
export function explainDecision(
  engine: RbacEngine,
  table: IntentionTable | null,
  input: RbacInput,
): DenialReason & { readonly allowed: boolean } {
  const { allowed, policy } = engine.decide(input)
  const why = allowed ? explainAllowed(table, engine.rules, input, policy) : explainDenial(table, engine.rules, input)
  return { allowed, intention: why.intention === '' && table === null ? (policy ?? '') : why.intention, reason: why.reason }
}

// ---- by intentions ----

function explainTable(table: IntentionTable, input: RbacInput): DenialReason {
  const source = sourceOf(input)
  const byDefault = `default ${table.defaultAction}`
  if (source === null) return { intention: '', reason: `the peer has no mesh identity; ${byDefault}` }
  const intention = table.intentions.find(candidate => sourceMatches(candidate.source, source))
  if (intention === undefined) return { intention: '', reason: `no intention matched ${source} -> ${table.destination}; ${byDefault}` }
  const { name } = intention
  const permissions = intention.permissions ?? []
  if (intention.action === 'deny') {
    const why = permissions.length > 0 ? ': its permissions need an HTTP protocol' : ''
    return { intention: name, reason: `intention "${name}" denies${why}` }
  }
  if (intention.action === 'allow') {
    return {
      intention: name,
      reason: `intention "${name}" allows, but the rules in force do not: they were made from an older or newer table`,
    }
  }
  let nearest: Miss | null = null
  for (let i = 0; i < permissions.length; i++) {
    const permission = permissions[i]!
    const miss = missedCheck(permission, input)
    if (miss === null) {
      const at = `permission ${i + 1}`
      if (permission.action === 'deny') return { intention: name, reason: `intention "${name}" denies by ${at} (${describe(permission)})` }
      if (permission.jwt)
        return { intention: name, reason: `intention "${name}" ${at} needs a valid JWT, which the request does not carry` }
      return { intention: name, reason: `intention "${name}" allows by ${at}, but the rules in force do not` }
    }
    if (nearest === null || miss.depth > nearest.depth) nearest = miss
  }
  const missed = nearest === null ? 'it has no permissions' : nearest.text
  return { intention: name, reason: `intention "${name}": source matched, ${missed}; ${byDefault}` }
}

/** The source as the table writes it: `web`, `ns/web`, `ap/ns/web`. Null: no certificate, or none with a service's id. */
function sourceOf(input: RbacInput): string | null {
  const peer = input.connection.tls?.peer ?? null
  if (peer === null) return null
  for (const uri of peer.uriSans) {
    const parsed = parseSpiffeId(uri)
    const identity = parsed.ok ? meshIdentityOf(parsed.id) : undefined
    if (identity?.kind !== 'service') continue
    const { partition, namespace, service } = identity
    if (partition !== 'default') return `${partition}/${namespace}/${service}`
    return namespace === 'default' ? service : `${namespace}/${service}`
  }
  return null
}

function sourceMatches(pattern: string, source: string): boolean {
  if (pattern === source) return true
  const slash = pattern.lastIndexOf('/')
  if (pattern.slice(slash + 1) !== '*') return false
  const tenancy = pattern.slice(0, slash + 1)
  return tenancy === '*/' || source.slice(0, source.lastIndexOf('/') + 1) === tenancy
}

interface Miss {
  /** How many checks were met before. */
  readonly depth: number
  readonly text: string
}

function missedCheck(permission: IntentionPermission, { head }: RbacInput): Miss | null {
  if (head === null) return { depth: 0, text: 'but its permissions are about HTTP requests' }
  let depth = 0
  const { path, headers, methods } = permission
  if (path !== undefined) {
    const actual = pathOnly(head.path)
    if (!compileStringMatcher(stringMatcher(path.kind, path.value, false))(actual)) return { depth, text: `path ${shown(actual)} did not` }
    depth++
  }
  for (const header of headers ?? []) {
    if (!compileHeaderMatcher(headerMatcher(header), 'possible')(head)) return { depth, text: `header ${header.name} did not` }
    depth++
  }
  if (methods !== undefined && !methods.includes(head.method)) return { depth, text: `method ${shown(head.method)} did not` }
  return null
}

function stringMatcher(kind: 'exact' | 'prefix' | 'suffix' | 'contains' | 'regex', value: string, ignoreCase: boolean): StringMatcher {
  return kind === 'regex' ? { kind, value } : { kind, value, ignoreCase }
}

function headerMatcher({
  name,
  kind,
  value = '',
  invert = false,
  ignoreCase = false,
}: NonNullable<IntentionPermission['headers']>[number]): HeaderMatcher {
  const match: HeaderMatcher['match'] =
    kind === 'present' ? { kind: 'present', present: true } : { kind: 'string', matcher: stringMatcher(kind, value, ignoreCase) }
  return { name, match, invert, treatMissingAsEmpty: false }
}

function describe({ path, methods, headers }: IntentionPermission): string {
  const parts: string[] = []
  if (methods !== undefined) parts.push(methods.join('|'))
  if (path !== undefined) parts.push(`path ${path.kind} ${path.value}`)
  if (headers !== undefined) parts.push(`headers ${headers.map(header => header.name).join(', ')}`)
  return parts.length === 0 ? 'any request' : parts.join(', ')
}

/** A piece of the request as it may stand in a header and a log line. */
function shown(text: string): string {
  const clean = text.replace(/[^\x21-\x7e]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
  return clean.length > MAX_SHOWN ? `${clean.slice(0, MAX_SHOWN)}...` : clean
}

// ---- by rules ----

const engines = new WeakMap<RbacRules, RbacEngine>()

function explainRules(rules: RbacRules, input: RbacInput): DenialReason {
  let engine = engines.get(rules)
  if (engine === undefined) {
    engine = compileRbac(rules)
    engines.set(rules, engine)
  }
  const { policy } = engine.decide(input)
  if (policy !== null) return { intention: policy, reason: `policy "${policy}" denies` }
  if (rules.policies.length === 0) return { intention: '', reason: 'there are no policies; default deny' }
  const verdicts = engine.verdicts(input)
  const known = verdicts.find(verdict => verdict.principal)
  if (known !== undefined) {
    const missed =
      known.policy.permissions.map(permission => missedPermission(permission, input)).find(text => text !== '') ?? 'the permissions did not'
    return { intention: known.policy.name, reason: `policy "${known.policy.name}": source matched, ${missed}; default deny` }
  }
  const open = verdicts.find(verdict => verdict.permission)
  const near = open === undefined ? '' : ` (policy "${open.policy.name}" permits it, to other sources)`
  return { intention: '', reason: `no policy matched${near}; default deny` }
}

/** The first rule that was not met, for people; '' when it was, or when there is no short way to say it. */
function missedPermission(permission: RbacPermission, input: RbacInput): string {
  const { head, connection } = input
  switch (permission.kind) {
    case 'and':
      return permission.rules.map(rule => missedPermission(rule, input)).find(text => text !== '') ?? ''
    case 'any':
      return ''
    default:
      if (compilePermission(permission, 'certain')(input)) return ''
  }
  switch (permission.kind) {
    case 'urlPath':
      return head === null ? 'path did not' : `path ${shown(pathOnly(head.path))} did not`
    case 'header':
      if (permission.header.name === ':method' && head !== null) return `method ${shown(head.method)} did not`
      return `header ${permission.header.name} did not`
    case 'destinationPort':
    case 'destinationPortRange':
      return `port ${connection.localPort} did not`
    case 'metadata':
      return `metadata ${permission.matcher.namespace} did not (no valid token?)`
    default:
      return ''
  }
}
