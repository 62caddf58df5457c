// Rules of service-intentions that one entry alone can break, and the precedence of its sources.
// Called by `parse-config-entry.ts`. Invariant of the result: every source has its precedence, sources are sorted by it.
import { commonRules, headerMatchRules, methodRules, nameRules, pathRules, type Report } from './rules-common.js'
import type { IntentionPermission, JwtRequirement, ServiceIntentions, SourceIntention } from './types.js'

const MAX_DESCRIPTION_LENGTH = 512
/** In the Meta of an entry: `true`, or names of its sources with commas between. They are counted and logged, not enforced. */
export const SHADOW_META = 'outrigger-shadow'

export function intentionsRules(entry: ServiceIntentions, report: Report): ServiceIntentions {
  commonRules(entry, report, { wildcard: true })
  jwtRules('JWT', entry.JWT, report)
  const sources = entry.Sources ?? []
  if (sources.length === 0) report('Sources', 'at least one source is required')
  const seen = new Set<string>()
  const checked = sources.map((source, i) => {
    const path = `Sources[${i}]`
    const key = JSON.stringify([source.Peer ?? '', source.Partition ?? 'default', source.Namespace ?? 'default', source.Name])
    if (seen.has(key)) report(path, `defines ${JSON.stringify(source.Name)} more than once`)
    seen.add(key)
    return sourceRules(path, source, entry, report)
  })
  const shadow = entry.Meta?.[SHADOW_META]
  if (shadow !== undefined && shadow !== 'true')
    for (const name of shadow.split(',').map(text => text.trim()))
      if (!sources.some(source => source.Name === name))
        report(`Meta.${SHADOW_META}`, `must be true, or names of its Sources: ${JSON.stringify(name)} is none`)
  checked.sort((a, b) => b.Precedence - a.Precedence)
  return { ...entry, Sources: checked }
}

function sourceRules(path: string, source: SourceIntention, entry: ServiceIntentions, report: Report): SourceIntention {
  nameRules(`${path}.Name`, source.Name, report, { wildcard: true })
  const namespace = source.Namespace ?? 'default'
  if (namespace !== '*' && namespace.includes('*')) report(`${path}.Namespace`, 'the wildcard "*" must be the whole namespace')
  else if (namespace === '*' && source.Name !== '*') report(`${path}.Name`, 'an exact name cannot follow a wildcard namespace')
  for (const field of ['Partition', 'Peer', 'SamenessGroup'] as const) {
    if (source[field]?.includes('*')) report(`${path}.${field}`, 'the wildcard "*" is not allowed here')
  }
  if (source.Peer !== undefined && source.Partition !== undefined) report(`${path}.Peer`, 'cannot be set with Partition')
  if ((source.Description?.length ?? 0) > MAX_DESCRIPTION_LENGTH) {
    report(`${path}.Description`, `is longer than ${MAX_DESCRIPTION_LENGTH} characters`)
  }
  if (source.Permissions === undefined && source.Action === undefined) {
    report(`${path}.Action`, 'must be "allow" or "deny", or Permissions given')
  }
  if (source.Permissions !== undefined && source.Action !== undefined) report(`${path}.Action`, 'must be omitted if Permissions are given')
  if (source.Permissions !== undefined && entry.Name === '*') {
    report(`${path}.Permissions`, 'cannot be given for a wildcard destination')
  }
  const permissions = source.Permissions?.map((permission, j) => permissionRules(`${path}.Permissions[${j}]`, permission, report))
  return {
    ...source,
    Type: 'consul',
    Precedence: intentionPrecedence({ name: entry.Name, namespace: entry.Namespace }, { name: source.Name, namespace: source.Namespace }),
    ...(permissions && { Permissions: permissions }),
  }
}

function permissionRules(path: string, permission: IntentionPermission, report: Report): IntentionPermission {
  if (permission.Action === undefined) report(`${path}.Action`, 'must be "allow" or "deny"')
  const http = permission.HTTP
  if (http === undefined) {
    if (permission.JWT === undefined) report(`${path}.HTTP`, 'is required')
  } else {
    const { PathExact, PathPrefix, PathRegex, Header, Methods } = http
    if ([PathExact, PathPrefix, PathRegex, Header, Methods].every(value => value === undefined)) {
      report(`${path}.HTTP`, 'should not be empty')
    }
    pathRules(`${path}.HTTP`, http, report)
    headerMatchRules(`${path}.HTTP.Header`, Header, report)
  }
  jwtRules(`${path}.JWT`, permission.JWT, report)
  const methods = methodRules(`${path}.HTTP.Methods`, http?.Methods, report)
  return methods === undefined ? permission : { ...permission, HTTP: { ...http, Methods: methods } }
}

export function jwtRules(path: string, jwt: JwtRequirement | undefined, report: Report) {
  if (jwt === undefined) return
  if ((jwt.Providers ?? []).length === 0) report(`${path}.Providers`, 'at least one provider is required')
  for (const [i, provider] of (jwt.Providers ?? []).entries()) {
    if (provider.Name === undefined) report(`${path}.Providers[${i}].Name`, 'is required')
    for (const [j, claim] of (provider.VerifyClaims ?? []).entries()) {
      if ((claim.Path ?? []).length === 0) report(`${path}.Providers[${i}].VerifyClaims[${j}].Path`, 'is required')
    }
  }
}

interface NamePattern {
  readonly name: string
  readonly namespace?: string
}

/** Consul's precedence: 9 for exact to exact, 8 for any source to exact, 6 and 5 for any destination, 3 to 1 with wildcard namespaces. */
export function intentionPrecedence(destination: NamePattern, source: NamePattern): number {
  return 3 * (exactParts(destination) + 1) - (2 - exactParts(source))
}

const exactParts = ({ name, namespace }: NamePattern) => (namespace === '*' ? 0 : name === '*' ? 1 : 2)
