// Types of the intentions for one destination: the flat list they are matched in, who asks, and the RBAC compiled from them.
// Pure data; made by `match.ts` and `compile.ts`. The RBAC is the proxy's own model (`model/rbac.ts`), the JSON table that travels
// in listener metadata is `model/intention.ts`: both halves of the mesh speak of the same values.
import type { RbacRules } from '../../model/rbac.js'
import type { IntentionAction, IntentionPermission, JwtRequirement } from '../config-entries/types.js'

/** One source → destination rule, flattened out of its service-intentions entry. */
export interface Intention {
  /** `<source> -> <destination>`: `web -> api`, `* -> api`; tenancy and peer only where they are not the default (`peer:p1/web -> api`). */
  readonly name: string
  /** Service name or `*`. */
  readonly source: string
  /** Namespace or `*`. */
  readonly sourceNamespace: string
  readonly sourcePartition: string
  readonly sourcePeer?: string
  readonly destination: string
  /** 9 to 1; larger wins. */
  readonly precedence: number
  /** Absent when permissions decide. */
  readonly action?: IntentionAction
  readonly permissions?: readonly IntentionPermission[]
  /** The entry's JWT requirement: nothing of this entry allows without it. */
  readonly jwt?: JwtRequirement
  readonly description?: string
  /** Counted and logged, not enforced. */
  readonly shadow?: true
}

/** Who calls, as read from a SPIFFE id. */
export interface SourceIdentity {
  readonly service: string
  /** `default` when absent. */
  readonly namespace?: string
  readonly partition?: string
  readonly peer?: string
}

/** One request (or, without method and path, one connection) to decide on. */
export interface IntentionRequest {
  readonly source: SourceIdentity
  readonly method?: string
  /** Path as received, a query is cut off before matching. */
  readonly path?: string
  /** By lower-case name; several values of a name joined with a comma. */
  readonly headers?: ReadonlyMap<string, string>
  /** Verified JWT payloads by provider name. */
  readonly jwt?: ReadonlyMap<string, unknown>
}

/** ALLOW without policies denies everything, DENY without policies allows everything. */
export type CompiledIntentions = RbacRules & { readonly action: 'ALLOW' | 'DENY' }

export interface IntentionPolicy {
  readonly defaultAction: IntentionAction
  /** The destination speaks http, http2 or grpc; else an intention with permissions or a JWT requirement denies its source. */
  readonly http: boolean
}
