// Changing a path's query by parameter name. Used by ext_authz (query_parameters_to_set/remove), and by jwt_authn and api_key_auth, which
// take a token out. Parameters that are not named keep their bytes and their order.

import { decodeComponent } from '../match/query-parameter.js'

/** `set` replaces every parameter of that name by one; values are percent-encoded here. */
export function rewriteQuery(path: string, set: readonly (readonly [string, string])[], remove: readonly string[]): string {
  const question = path.indexOf('?')
  const base = question === -1 ? path : path.slice(0, question)
  const gone = new Set([...remove, ...set.map(([name]) => name)])
  const kept =
    question === -1
      ? []
      : path
          .slice(question + 1)
          .split('&')
          .filter(part => part !== '' && !gone.has(parameterName(part)))
  for (const [name, value] of set) kept.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
  return kept.length === 0 ? base : `${base}?${kept.join('&')}`
}

function parameterName(part: string): string {
  const equals = part.indexOf('=')
  return decodeComponent(equals === -1 ? part : part.slice(0, equals))
}
