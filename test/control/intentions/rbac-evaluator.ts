// A small evaluator of Envoy's RBAC message, written from Envoy's documentation and apart from the code under test (JS regexes, not RE2):
// ALLOW admits what a policy matches, DENY what none matches; a policy matches when one principal and one permission do.
import type { Permission, Principal, RBAC } from '../../../src/xds/gen/envoy/config/rbac/v3/rbac_pb.js'
import { RBAC_Action } from '../../../src/xds/gen/envoy/config/rbac/v3/rbac_pb.js'
import type { HeaderMatcher } from '../../../src/xds/gen/envoy/config/route/v3/route_components_pb.js'
import type { MetadataMatcher } from '../../../src/xds/gen/envoy/type/matcher/v3/metadata_pb.js'
import type { StringMatcher } from '../../../src/xds/gen/envoy/type/matcher/v3/string_pb.js'

export interface WireRequest {
  /** URI SAN of the peer certificate. */
  readonly uri: string
  /** `:method` and `:path` among them. */
  readonly headers: ReadonlyMap<string, string>
  /** `jwt_payload_<provider>` → payload. */
  readonly jwt?: ReadonlyMap<string, unknown>
}

export function rbacAllows(rbac: RBAC, request: WireRequest): boolean {
  const matched = Object.values(rbac.policies).some(
    policy => policy.principals.some(id => principal(id, request)) && policy.permissions.some(rule => permission(rule, request)),
  )
  return rbac.action === RBAC_Action.ALLOW ? matched : !matched
}

function principal({ identifier: id }: Principal, request: WireRequest): boolean {
  switch (id.case) {
    case 'any':
      return id.value
    case 'andIds':
      return id.value.ids.every(inner => principal(inner, request))
    case 'orIds':
      return id.value.ids.some(inner => principal(inner, request))
    case 'notId':
      return !principal(id.value, request)
    case 'authenticated':
      return string(id.value.principalName!, request.uri)
    case 'header':
      return header(id.value, request)
    case 'metadata':
      return metadata(id.value, request)
    default:
      throw new Error(`unexpected principal ${id.case}`)
  }
}

function permission({ rule }: Permission, request: WireRequest): boolean {
  switch (rule.case) {
    case 'any':
      return rule.value
    case 'andRules':
      return rule.value.rules.every(inner => permission(inner, request))
    case 'orRules':
      return rule.value.rules.some(inner => permission(inner, request))
    case 'notRule':
      return !permission(rule.value, request)
    case 'urlPath':
      return string(rule.value.rule.value as StringMatcher, (request.headers.get(':path') ?? '').replace(/[?#].*$/s, ''))
    case 'header':
      return header(rule.value, request)
    case 'metadata':
      return metadata(rule.value, request)
    default:
      throw new Error(`unexpected permission ${rule.case}`)
  }
}

function header({ name, headerMatchSpecifier: match, invertMatch }: HeaderMatcher, request: WireRequest): boolean {
  const value = request.headers.get(name)
  if (match.case === 'presentMatch') return ((value !== undefined) === match.value) !== invertMatch
  if (match.case !== 'stringMatch') throw new Error(`unexpected header match ${match.case}`)
  return value !== undefined && string(match.value, value) !== invertMatch
}

function metadata({ filter, path, value }: MetadataMatcher, request: WireRequest): boolean {
  if (filter !== 'envoy.filters.http.jwt_authn') throw new Error(`unexpected filter ${filter}`)
  let found: unknown = Object.fromEntries(request.jwt ?? [])
  for (const { segment } of path) found = (found as Record<string, unknown> | undefined)?.[segment.value ?? '']
  const match = value!.matchPattern
  if (match.case === 'presentMatch') return (found !== undefined) === match.value
  if (match.case !== 'stringMatch') throw new Error(`unexpected value match ${match.case}`)
  return typeof found === 'string' && string(match.value, found)
}

function string({ matchPattern: match, ignoreCase }: StringMatcher, value: string): boolean {
  if (match.case === 'safeRegex') return new RegExp(`^(?:${match.value.regex})$`, 's').test(value)
  const fold = (text: string) => (ignoreCase ? text.toLowerCase() : text)
  const [wanted, found] = [fold(match.value as string), fold(value)]
  switch (match.case) {
    case 'exact':
      return found === wanted
    case 'prefix':
      return found.startsWith(wanted)
    case 'suffix':
      return found.endsWith(wanted)
    case 'contains':
      return found.includes(wanted)
    default:
      throw new Error(`unexpected string match ${match.case}`)
  }
}
