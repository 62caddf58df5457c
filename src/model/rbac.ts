// envoy.config.rbac.v3.RBAC as model. The same value serves the network filter, the HTTP filter and `explain`.

import type { CidrRange } from './address.js'
import type { MatchTree } from './match-tree.js'
import type { HeaderMatcher, MetadataMatcher, StringMatcher } from './matcher.js'

export type RbacPermission =
  | { readonly kind: 'any' }
  | { readonly kind: 'and'; readonly rules: readonly RbacPermission[] }
  | { readonly kind: 'or'; readonly rules: readonly RbacPermission[] }
  | { readonly kind: 'not'; readonly rule: RbacPermission }
  | { readonly kind: 'header'; readonly header: HeaderMatcher }
  | { readonly kind: 'urlPath'; readonly matcher: StringMatcher }
  | { readonly kind: 'destinationIp'; readonly range: CidrRange }
  | { readonly kind: 'destinationPort'; readonly port: number }
  | { readonly kind: 'destinationPortRange'; readonly start: number; readonly end: number }
  | { readonly kind: 'requestedServerName'; readonly matcher: StringMatcher }
  | { readonly kind: 'metadata'; readonly matcher: MetadataMatcher }
  | { readonly kind: 'routeMetadata'; readonly matcher: MetadataMatcher }

export type RbacPrincipal =
  | { readonly kind: 'any' }
  | { readonly kind: 'and'; readonly ids: readonly RbacPrincipal[] }
  | { readonly kind: 'or'; readonly ids: readonly RbacPrincipal[] }
  | { readonly kind: 'not'; readonly id: RbacPrincipal }
  /** `matcher` null: any peer with a validated certificate. Against URI SANs, then DNS SANs, then the subject. */
  | { readonly kind: 'authenticated'; readonly matcher: StringMatcher | null }
  | { readonly kind: 'directRemoteIp'; readonly range: CidrRange }
  | { readonly kind: 'remoteIp'; readonly range: CidrRange }
  | { readonly kind: 'sourceIp'; readonly range: CidrRange }
  | { readonly kind: 'header'; readonly header: HeaderMatcher }
  | { readonly kind: 'urlPath'; readonly matcher: StringMatcher }
  | { readonly kind: 'metadata'; readonly matcher: MetadataMatcher }
  | { readonly kind: 'routeMetadata'; readonly matcher: MetadataMatcher }

export interface RbacPolicy {
  readonly name: string
  /** OR-ed; a policy matches when one permission and one principal match. */
  readonly permissions: readonly RbacPermission[]
  readonly principals: readonly RbacPrincipal[]
  /** CEL; where there is one, it must hold too. */
  readonly condition?: string
}

/** `null` where a filter has no `rules`: not enforced. A value with no policies is enforced: ALLOW denies all, DENY allows all. */
export interface RbacRules {
  readonly action: 'ALLOW' | 'DENY' | 'LOG'
  readonly policies: readonly RbacPolicy[]
}

/** What a matcher tree ends in. */
export interface RbacAction {
  readonly name: string
  readonly action: 'ALLOW' | 'DENY' | 'LOG'
}

/** Settings of the network and the HTTP filter. A matcher stands above the rules. */
export interface RbacConfig {
  readonly rules: RbacRules | null
  readonly shadowRules: RbacRules | null
  readonly matcher: MatchTree<RbacAction> | null
  readonly shadowMatcher: MatchTree<RbacAction> | null
  readonly rulesStatPrefix: string
  readonly shadowRulesStatPrefix: string
  /** HTTP filter: counters of each policy too. */
  readonly trackPerRuleStats: boolean
  /** Network filter only: prefix of its stats, e.g. `connect_authz`. */
  readonly statPrefix: string
}
