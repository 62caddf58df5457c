// Why would this request be allowed or denied? From the intention table alone, so that the control plane and whoever holds a
// sidecar's table say the same (`outrigger explain`, the HTTP API).
// Invariant: `allowed` equals what the RBAC compiled from the same intentions decides.
import type { Intention, IntentionPermission, IntentionTable } from '../../model/intention.js'
import { type MatchedRequest, missedCheck } from './permission-match.js'

export interface ExplainRequest extends MatchedRequest {
  /** Source as the table writes it: `web`, with tenancy or peer `ns/web`, `ap/ns/web`, `peer:p1/web`. */
  readonly source: string
  /** The request carries the token that the intentions ask for. */
  readonly jwt?: boolean
}

export interface Explanation {
  readonly allowed: boolean
  /** One sentence for people: which rule decided, or what came nearest. */
  readonly reason: string
  /** Name of the intention that decided; absent when the default did and no source matched. */
  readonly intention?: string
  /** All intentions in order of precedence, those whose source matches marked. */
  readonly precedence: readonly {
    readonly name: string
    readonly precedence: number
    readonly action: Intention['action']
    readonly matches: boolean
    readonly decides: boolean
  }[]
}

export function explainIntention(table: IntentionTable, request: ExplainRequest): Explanation {
  const deciding = table.intentions.find(intention => sourceMatches(intention.source, request.source))
  const precedence = table.intentions.map(intention => ({
    name: intention.name,
    precedence: intention.precedence,
    action: intention.action,
    matches: sourceMatches(intention.source, request.source),
    decides: intention === deciding,
  }))
  const byDefault = `the default is ${table.defaultAction}`
  const allowedByDefault = table.defaultAction === 'allow'
  if (deciding === undefined) {
    const reason = `no intention matched ${request.source} -> ${table.destination}; ${byDefault}`
    return { allowed: allowedByDefault, reason, precedence }
  }
  const named = `intention ${deciding.name} (precedence ${deciding.precedence})`
  const decided = (allowed: boolean, why: string): Explanation => ({
    allowed,
    reason: `${named} ${why}`,
    intention: deciding.name,
    precedence,
  })
  const permissions = deciding.permissions ?? []
  if (deciding.action === 'deny' && permissions.length > 0) {
    return decided(false, `denies: its permissions need an HTTP protocol, and ${table.destination} speaks tcp`)
  }
  if (deciding.action !== 'permissions') return decided(deciding.action === 'allow', deciding.action === 'allow' ? 'allows' : 'denies')
  const misses = permissions.map(permission => missedCheck(permission, request))
  const index = misses.indexOf(undefined)
  if (index < 0) {
    // The miss that got furthest is the one to tell: a path that matched says more than one that did not.
    const nearest = misses.reduce((best, miss) => (miss!.depth > best!.depth ? miss : best), misses[0])
    const miss = nearest === undefined ? '' : `: ${nearest.text}`
    return decided(allowedByDefault, `matched the source, but none of its permissions${miss}; ${byDefault}`)
  }
  const permission = permissions[index]!
  const at = `by permission ${index + 1} (${describe(permission)})`
  if (permission.action === 'deny') return decided(false, `denies ${at}`)
  if (permission.jwt && !request.jwt) return decided(false, `matched ${at}, which needs a valid JWT that the request does not carry`)
  return decided(true, `allows ${at}`)
}

function sourceMatches(pattern: string, source: string): boolean {
  if (pattern === source) return true
  const slash = pattern.lastIndexOf('/')
  if (pattern.slice(slash + 1) !== '*') return false
  const tenancy = pattern.slice(0, slash + 1)
  // `*/*`: any namespace.
  if (tenancy === '*/') return !source.startsWith('peer:')
  return source.slice(0, source.lastIndexOf('/') + 1) === tenancy
}

function describe({ action, path, methods, headers, jwt }: IntentionPermission): string {
  const parts: string[] = [action]
  if (methods !== undefined) parts.push(methods.join('|'))
  if (path !== undefined) parts.push(`path ${path.kind} ${path.value}`)
  if (headers !== undefined) parts.push(`headers ${headers.map(header => header.name).join(', ')}`)
  if (jwt) parts.push('with a JWT')
  return parts.join(' ')
}
