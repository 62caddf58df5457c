// The meaning of intentions, in its plainest form: one request, the intentions in order, allowed or not and why.
// Used by `/v1/connect/intentions/check`, `/v1/agent/connect/authorize`, and by the tests as what the compiled RBAC must equal.
//
//   first intention whose source matches → its action; or its first permission that matches; nothing matched → the default
import { sortIntentions, sourceMatches } from './match.js'
import { meetsJwt, missedCheck } from './permission-match.js'
import { tablePermission } from './table.js'
import type { Intention, IntentionPolicy, IntentionRequest } from './types.js'

export interface IntentionDecision {
  readonly allowed: boolean
  readonly by: 'action' | 'permission' | 'default' | 'needs-http' | 'jwt'
  /** The intention whose source matched, if any; with `by: 'default'` none of its permissions did. */
  readonly intention?: Intention
  /** Index in `intention.permissions` for `by: 'permission'` and, if a permission asked for the JWT, `by: 'jwt'`. */
  readonly permission?: number
}

export function decide(intentions: readonly Intention[], request: IntentionRequest, policy: IntentionPolicy): IntentionDecision {
  const intention = sortIntentions(intentions).find(candidate => sourceMatches(candidate, request.source))
  const byDefault = { allowed: policy.defaultAction === 'allow', by: 'default' } as const
  if (intention === undefined) return byDefault
  const denies = intention.action === 'deny'
  if (denies) return { allowed: false, by: 'action', intention }
  if (!policy.http && (intention.permissions !== undefined || intention.jwt !== undefined)) {
    return { allowed: false, by: 'needs-http', intention }
  }
  if (intention.permissions === undefined) {
    if (!meetsJwt(intention.jwt, request.jwt)) return { allowed: false, by: 'jwt', intention }
    return { allowed: true, by: 'action', intention }
  }
  const index = intention.permissions.findIndex(permission => missedCheck(tablePermission(permission), request) === undefined)
  const permission = intention.permissions[index]
  if (permission === undefined) return { ...byDefault, intention }
  if (permission.Action === 'deny') return { allowed: false, by: 'permission', intention, permission: index }
  const allowed = meetsJwt(permission.JWT, request.jwt) && meetsJwt(intention.jwt, request.jwt)
  return { allowed, by: allowed ? 'permission' : 'jwt', intention, permission: index }
}
