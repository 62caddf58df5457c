// Principals of RBAC policies compiled: who may. Called by rbac-engine. A list of principals is an "or"; its members that begin with an
// identity pattern stand in a table (identity-index), the rest are tried one by one.
// `certainty` says which way to err (match/header-matcher): an allow rule needs a certain match, a deny rule a possible one.

import type { StringMatcher } from '../../model/matcher.js'
import type { RbacPrincipal } from '../../model/rbac.js'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import { toByteString } from '../codec/byte-string.js'
import { compileCidr } from '../match/cidr.js'
import { type Certainty, compileHeaderMatcher, opposite } from '../match/header-matcher.js'
import { compileMetadataMatcher } from '../match/metadata-matcher.js'
import { pathOnly } from '../match/route-match.js'
import { compileStringMatcher } from '../match/string-matcher.js'
import { IdentityIndex, type IdentityPattern, identityPatternOf } from './identity-index.js'
import { peerFor, type RbacInput, type RbacTest } from './rbac-input.js'

export interface PrincipalOptions {
  /** Use tables for identities; off only to test them against the plain way. */
  readonly tables: boolean
}

const ALWAYS: RbacTest = () => true

/** A member of an "or" that can only match peers with that identity. `rest` null: having it is all. */
interface IdentityTerm {
  readonly pattern: IdentityPattern
  readonly rest: RbacTest | null
}

/** True when one principal matches. */
export function compilePrincipals(principals: readonly RbacPrincipal[], certainty: Certainty, options: PrincipalOptions): RbacTest {
  if (principals.length === 1 && principals[0]!.kind === 'any') return ALWAYS
  const index = new IdentityIndex<RbacTest | null>()
  const others: RbacTest[] = []
  for (const principal of flattenOr(principals)) {
    const term = options.tables ? identityTermOf(principal, certainty, options) : null
    if (term === null) others.push(compilePrincipal(principal, certainty, options))
    else index.add(term.pattern, term.rest)
  }
  if (index.empty) return others.length === 1 ? others[0]! : input => others.some(test => test(input))
  return input => {
    const peer = peerFor(input, certainty)
    if (peer !== null) {
      const rests = index.valuesOf(peer)
      for (let i = 0; i < rests.length; i++) {
        const rest = rests[i]!
        if (rest === null || rest(input)) return true
      }
    }
    for (let i = 0; i < others.length; i++) if (others[i]!(input)) return true
    return false
  }
}

function* flattenOr(principals: readonly RbacPrincipal[]): Generator<RbacPrincipal> {
  for (const principal of principals) {
    if (principal.kind === 'or') yield* flattenOr(principal.ids)
    else yield principal
  }
}

function patternOf(principal: RbacPrincipal): IdentityPattern | null {
  return principal.kind === 'authenticated' && principal.matcher !== null ? identityPatternOf(principal.matcher) : null
}

function identityTermOf(principal: RbacPrincipal, certainty: Certainty, options: PrincipalOptions): IdentityTerm | null {
  const pattern = patternOf(principal)
  if (pattern !== null) return { pattern, rest: null }
  if (principal.kind !== 'and') return null
  for (let i = 0; i < principal.ids.length; i++) {
    const first = patternOf(principal.ids[i]!)
    if (first === null) continue
    const rest = principal.ids.filter((_id, at) => at !== i).map(id => compilePrincipal(id, certainty, options))
    if (rest.length === 0) return { pattern: first, rest: null }
    return { pattern: first, rest: rest.length === 1 ? rest[0]! : input => rest.every(test => test(input)) }
  }
  return null
}

/**
 * Identities that a principal list needs: patterns of which the peer must match one for the list to match at all. Null when some member
 * can match without. The engine finds candidate policies by them.
 */
export function neededIdentities(principals: readonly RbacPrincipal[]): IdentityPattern[] | null {
  const patterns: IdentityPattern[] = []
  for (const principal of flattenOr(principals)) {
    const own =
      patternOf(principal) ?? (principal.kind === 'and' ? (principal.ids.map(patternOf).find(pattern => pattern !== null) ?? null) : null)
    if (own === null) return null
    patterns.push(own)
  }
  return patterns
}

function compilePrincipal(principal: RbacPrincipal, certainty: Certainty, options: PrincipalOptions): RbacTest {
  switch (principal.kind) {
    case 'any':
      return ALWAYS
    case 'and': {
      const all = principal.ids.map(id => compilePrincipal(id, certainty, options))
      return input => all.every(test => test(input))
    }
    case 'or':
      return compilePrincipals(principal.ids, certainty, options)
    case 'not': {
      const inner = compilePrincipals([principal.id], opposite(certainty), options)
      return input => !inner(input)
    }
    case 'authenticated':
      return compileAuthenticated(principal.matcher, certainty)
    case 'directRemoteIp': {
      const inRange = compileCidr(principal.range)
      return ({ connection }) => inRange(connection.directRemoteAddress)
    }
    case 'sourceIp': {
      const inRange = compileCidr(principal.range)
      return ({ connection }) => inRange(connection.remoteAddress)
    }
    case 'remoteIp': {
      const inRange = compileCidr(principal.range)
      return ({ connection, info }) => inRange(info === null ? connection.remoteAddress : info.remoteAddress)
    }
    case 'header': {
      const test = compileHeaderMatcher(principal.header, certainty)
      return ({ head }) => test(head)
    }
    case 'urlPath': {
      const test = compileStringMatcher(principal.matcher, certainty === 'possible')
      return ({ head }) => head !== null && head.path !== '' && test(pathOnly(head.path))
    }
    case 'metadata': {
      const test = compileMetadataMatcher(principal.matcher, certainty === 'possible')
      return ({ info }) => test(namespace => info?.dynamicMetadata(namespace))
    }
    case 'routeMetadata': {
      const test = compileMetadataMatcher(principal.matcher, certainty === 'possible')
      return ({ info }) => test(namespace => info?.routeMetadata?.get(namespace))
    }
  }
}

/**
 * Envoy's AuthenticatedMatcher: URI SANs, then DNS SANs, then the subject, each until one matches. A matcher that asks for a SPIFFE id
 * looks at URI SANs only: a DNS SAN or a subject that spells one is no identity (CVE-2022-21656).
 */
function compileAuthenticated(matcher: StringMatcher | null, certainty: Certainty): RbacTest {
  if (matcher === null) {
    // Envoy lets any TLS connection pass for authenticated; for a permission that is too little.
    return certainty === 'possible' ? ({ connection }) => connection.tls !== null : input => peerFor(input, certainty) !== null
  }
  const test = compileStringMatcher(matcher, certainty === 'possible')
  const uriOnly = /^\^?spiffe:\/\//.test(matcher.value) && matcher.kind !== 'suffix' && matcher.kind !== 'contains'
  return (input: RbacInput) => {
    const peer = peerFor(input, certainty)
    if (peer === null) return false
    if (someMatches(peer.uriSans, test)) return true
    return !uriOnly && matchesOtherNames(peer, test)
  }
}

function someMatches(names: readonly string[], test: (value: string) => boolean): boolean {
  for (let i = 0; i < names.length; i++) if (test(toByteString(names[i]!))) return true
  return false
}

function matchesOtherNames(peer: PeerIdentity, test: (value: string) => boolean): boolean {
  return someMatches(peer.dnsSans, test) || test(toByteString(peer.subject))
}
