// xds.type.matcher.v3.Matcher as model: a tree that reads inputs of a connection or request and ends in an action. Filter chains (the
// action is a chain's name), RBAC (a verdict) and filters hold one; l7/match/match-tree.ts compiles it.

import type { CidrRange } from './address.js'
import type { MetadataMatcher, StringMatcher } from './matcher.js'

export type MatchInput =
  | {
      readonly kind:
        | 'destinationIp'
        | 'destinationPort'
        | 'sourceIp'
        | 'sourcePort'
        | 'directSourceIp'
        | 'sourceType'
        | 'serverName'
        | 'transportProtocol'
        | 'applicationProtocol'
        | 'uriSan'
        | 'dnsSan'
        | 'subject'
        | 'responseStatus'
        | 'responseStatusClass'
        | 'responseIsLocal'
    }
  /** Headers in lower case. */
  | { readonly kind: 'requestHeader' | 'responseHeader' | 'queryParameter' | 'filterState'; readonly name: string }

/** What is judged of the subject as a whole, not of one text of it. */
export type SubjectPredicate =
  | { readonly kind: 'cel'; readonly expression: string }
  | { readonly kind: 'metadata'; readonly matcher: MetadataMatcher }

export type MatchPredicate =
  | SubjectPredicate
  | { readonly kind: 'value'; readonly input: MatchInput; readonly matcher: StringMatcher }
  | { readonly kind: 'ip'; readonly input: MatchInput; readonly ranges: readonly CidrRange[] }
  /** By the hash of the input: that of `threshold` of `modulo` values, and above, matches. */
  | { readonly kind: 'hash'; readonly input: MatchInput; readonly threshold: number; readonly modulo: number; readonly seed: bigint }
  | { readonly kind: 'and' | 'or'; readonly predicates: readonly MatchPredicate[] }
  | { readonly kind: 'not'; readonly predicate: MatchPredicate }

export type OnMatch<A> = { readonly kind: 'action'; readonly action: A } | { readonly kind: 'matcher'; readonly matcher: MatchTree<A> }

export type MatchTree<A> = { readonly onNoMatch: OnMatch<A> | null } & (
  | { readonly kind: 'list'; readonly matchers: readonly { readonly predicate: MatchPredicate; readonly onMatch: OnMatch<A> }[] }
  | { readonly kind: 'exact' | 'prefix'; readonly input: MatchInput; readonly map: ReadonlyMap<string, OnMatch<A>> }
  /** The longest range that holds the address, and the next where it leads nowhere; an `exclusive` one only if there is no longer one. */
  | {
      readonly kind: 'ranges'
      readonly input: MatchInput
      readonly ranges: readonly { readonly ranges: readonly CidrRange[]; readonly onMatch: OnMatch<A>; readonly exclusive: boolean }[]
    }
  /** Exact names, `*.` before a suffix, `*`. */
  | {
      readonly kind: 'domains'
      readonly input: MatchInput
      readonly domains: readonly { readonly domains: readonly string[]; readonly onMatch: OnMatch<A> }[]
    }
)
