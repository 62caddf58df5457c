// Does a request meet an L7 permission? By Envoy's rules, since Envoy (or our sidecar) is who enforces it.
// Used by `decide` and `explain`, on the form that permissions have in the intention table.
// Regexes are RE2 and match the whole value; paths are compared without query and fragment.
import { RE2JS } from 're2js'
import type { IntentionPermission } from '../../model/intention.js'
import type { JwtRequirement } from '../config-entries/types.js'

export interface MatchedRequest {
  readonly method?: string
  readonly path?: string
  /** By lower-case name. */
  readonly headers?: ReadonlyMap<string, string>
}

export interface Miss {
  /** How many checks were met before this one. */
  readonly depth: number
  /** The check that was not met, for people. */
  readonly text: string
}

/** The first check of the permission that the request does not meet; undefined when it meets all. The token is not looked at. */
export function missedCheck(permission: IntentionPermission, request: MatchedRequest): Miss | undefined {
  let depth = 0
  if (permission.path !== undefined) {
    const { kind, value } = permission.path
    const path = pathOf(request.path ?? '')
    if (!matchesString(kind, value, path)) return { depth, text: `path ${path} did not match ${kind} ${value}` }
    depth++
  }
  for (const header of permission.headers ?? []) {
    if (!matchesHeader(header, request.headers?.get(header.name))) return { depth, text: `header ${header.name} did not match` }
    depth++
  }
  if (permission.methods !== undefined && !permission.methods.includes(request.method ?? '')) {
    return { depth, text: `method ${request.method ?? ''} is not one of ${permission.methods.join(', ')}` }
  }
  return undefined
}

function pathOf(path: string): string {
  const end = path.search(/[?#]/)
  return end < 0 ? path : path.slice(0, end)
}

/** Envoy's HeaderMatcher: a header that is not there matches nothing, not even inverted, except by `present`. */
function matchesHeader(header: NonNullable<IntentionPermission['headers']>[number], value: string | undefined): boolean {
  const invert = header.invert ?? false
  if (header.kind === 'present') return (value !== undefined) !== invert
  if (value === undefined) return false
  const fold = (text: string) => (header.ignoreCase ? text.toLowerCase() : text)
  return matchesString(header.kind, fold(header.value ?? ''), fold(value)) !== invert
}

function matchesString(kind: 'exact' | 'prefix' | 'suffix' | 'contains' | 'regex', wanted: string, value: string): boolean {
  switch (kind) {
    case 'exact':
      return value === wanted
    case 'prefix':
      return value.startsWith(wanted)
    case 'suffix':
      return value.endsWith(wanted)
    case 'contains':
      return value.includes(wanted)
    case 'regex':
      return RE2JS.compile(wanted).matches(value)
    default: {
      const never: never = kind
      return never
    }
  }
}

/** Some provider's verified payload has every claim (its issuer was checked when it was verified). No requirement is met. */
export function meetsJwt(jwt: JwtRequirement | undefined, payloads: ReadonlyMap<string, unknown> | undefined): boolean {
  if (jwt === undefined) return true
  return jwt.Providers.some(provider => {
    const payload = payloads?.get(provider.Name)
    return payload !== undefined && (provider.VerifyClaims ?? []).every(claim => claimAt(payload, claim.Path) === claim.Value)
  })
}

function claimAt(payload: unknown, path: readonly string[]): unknown {
  let value = payload
  for (const key of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value
}
