// The selector of a binding rule, over what an auth method knows of an identity: `serviceaccount.name == "web"`, `"ops" in list.groups`.
// Called by login.ts, and by acl-writes.ts to judge a rule when it is written.
import { compileFilter } from '../config-entries/filter-expression.js'
import type { SelectorTable } from '../config-entries/filter-selectors.js'
import type { VerifiedIdentity } from './auth-methods.js'

const KUBERNETES = new Set(['serviceaccount.namespace', 'serviceaccount.name', 'serviceaccount.uid'])

/** Whether the identity is one that the selector means; `type` is the auth method's. Throws when the selector can't be read. */
export function selects(type: string, selector: string, identity: VerifiedIdentity): boolean {
  const compiled = compileFilter(selector, selectorsOf(type))
  if ('error' in compiled) throw new Error(compiled.error)
  return compiled.predicate(identity)
}

/** Why the selector can't be used with auth methods of this type; null when it can. */
export function selectorProblem(type: string, selector: string): string | null {
  const compiled = compileFilter(selector, selectorsOf(type))
  return 'error' in compiled ? compiled.error : null
}

function selectorsOf(type: string): SelectorTable<VerifiedIdentity> {
  return path => {
    const name = path.join('.')
    const known = type === 'kubernetes' ? KUBERNETES.has(name) : path.length === 2 && (path[0] === 'value' || path[0] === 'list')
    if (!known) return undefined
    const kind = path[0] === 'list' ? 'list' : 'string'
    return { kind, read: identity => [identity.get(name) ?? (kind === 'list' ? [] : '')] }
  }
}
