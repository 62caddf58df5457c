// Header modifiers of nested splits merged into one, for flattened splitters.
// Used by `flatten-splitters.ts`. Requests pass the parent first, responses the child first; whoever comes last overrides.
import type { HeaderModifiers, ServiceSplit } from '../config-entries/types.js'

/** The child's split as if it were reached through `parent`. Neither is changed. */
export function mergeParentSplit(parent: ServiceSplit, child: ServiceSplit): ServiceSplit {
  const { RequestHeaders: _request, ResponseHeaders: _response, ...rest } = child
  const request = mergeModifiers(parent.RequestHeaders, child.RequestHeaders)
  const response = mergeModifiers(child.ResponseHeaders, parent.ResponseHeaders)
  return { ...rest, ...(request && { RequestHeaders: request }), ...(response && { ResponseHeaders: response }) }
}

/** `over` wins where both name a header; removals add up. */
function mergeModifiers(base: HeaderModifiers | undefined, over: HeaderModifiers | undefined): HeaderModifiers | undefined {
  if (base === undefined) return over
  if (over === undefined) return base
  const add = mergeMaps(base.Add, over.Add)
  const set = mergeMaps(base.Set, over.Set)
  const remove = [...(base.Remove ?? []), ...(over.Remove ?? [])]
  return { ...(add && { Add: add }), ...(set && { Set: set }), ...(remove.length > 0 && { Remove: remove }) }
}

function mergeMaps(base: Readonly<Record<string, string>> | undefined, over: Readonly<Record<string, string>> | undefined) {
  if (base === undefined || over === undefined) return over ?? base
  return Object.assign(Object.create(null) as Record<string, string>, base, over)
}
