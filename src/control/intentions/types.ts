/**
 * Types of the intentions: the flat list for one destination, the RBAC model compiled from it, and the JSON table that
 * travels in listener metadata. Pure data; made by `match.ts`, `compile.ts` and `table.ts`.
 * The RBAC model mirrors the part of Envoy's `envoy.config.rbac.v3` that Consul uses, without protobuf.
 */
import type { IntentionAction, IntentionPermission, JwtRequirement } from '../config-entries/types.js'

/** One source → destination rule, flattened out of its service-intentions entry. */
export interface Intention {
  /** Stable, human-readable: `web => api`, `* => api`; with a peer `peer:p1/web => api`. */
  readonly id: string
  readonly source: string
  readonly sourceNamespace: string
  readonly sourcePartition: string
  readonly sourcePeer?: string
  readonly destination: string
  readonly destinationNamespace: string
  readonly destinationPartition: string
  readonly precedence: number
  /** Absent when permissions decide. */
  readonly action?: IntentionAction
  readonly permissions?: readonly IntentionPermission[]
  /** The entry's JWT requirement; applies to every allowing intention of the entry. */
  readonly jwt?: JwtRequirement
  readonly description?: string
}

export interface StringMatch {
  readonly exact?: string
  readonly prefix?: string
  readonly suffix?: string
  readonly contains?: string
  readonly regex?: string
  readonly ignoreCase?: boolean
}

/** `present: true` stands alone; else exactly one field of `match` is set. */
export interface HeaderRule {
  readonly name: string
  readonly present?: boolean
  readonly match?: StringMatch
  readonly invert?: boolean
}

export interface MetadataRule {
  readonly filter: string
  readonly path: readonly string[]
  readonly value: string
}

export type RbacPrincipal =
  | { readonly type: 'any' }
  | { readonly type: 'authenticatedRegex'; readonly regex: string }
  | { readonly type: 'header'; readonly header: HeaderRule }
  | { readonly type: 'metadata'; readonly metadata: MetadataRule }
  | { readonly type: 'andIds'; readonly ids: readonly RbacPrincipal[] }
  | { readonly type: 'orIds'; readonly ids: readonly RbacPrincipal[] }
  | { readonly type: 'notId'; readonly id: RbacPrincipal }

export type RbacPermission =
  | { readonly type: 'any' }
  | { readonly type: 'urlPath'; readonly exact?: string; readonly prefix?: string; readonly regex?: string }
  | { readonly type: 'header'; readonly header: HeaderRule }
  | { readonly type: 'metadata'; readonly metadata: MetadataRule }
  | { readonly type: 'andRules'; readonly rules: readonly RbacPermission[] }
  | { readonly type: 'orRules'; readonly rules: readonly RbacPermission[] }
  | { readonly type: 'notRule'; readonly rule: RbacPermission }

export interface RbacPolicy {
  readonly name: string
  /** OR. */
  readonly principals: readonly RbacPrincipal[]
  /** OR. */
  readonly permissions: readonly RbacPermission[]
}

/** No policies: ALLOW denies everything, DENY allows everything. */
export interface CompiledIntentions {
  readonly action: 'ALLOW' | 'DENY'
  readonly policies: readonly RbacPolicy[]
}

/** One row of the table put into `filter_metadata["outrigger"]`. Plain JSON. */
export interface IntentionRow {
  readonly id: string
  readonly source: string
  readonly sourceNamespace: string
  readonly sourcePartition: string
  readonly sourcePeer?: string
  readonly destination: string
  readonly precedence: number
  readonly action?: IntentionAction
  readonly permissions?: readonly IntentionPermission[]
  readonly jwt?: JwtRequirement
}

export interface IntentionTable {
  readonly destination: string
  readonly trustDomain: string
  readonly defaultAction: IntentionAction
  /** True for http-like services: permissions are evaluated; false: an intention with permissions denies. */
  readonly http: boolean
  /** Highest precedence first. */
  readonly intentions: readonly IntentionRow[]
}
