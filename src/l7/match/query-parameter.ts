// Query parameters of a path: reading one, and envoy.config.route.v3.QueryParameterMatcher. Names and values are compared as they
// stand in the query, undecoded, and the first of several counts: Envoy's rule. Called by routes, hash policies and formatters; filters
// and matcher trees read decoded ones.

import type { QueryParameterMatcher } from '../../model/matcher.js'
import { toByteString } from '../codec/byte-string.js'
import { compileStringMatcher } from './string-matcher.js'

/** Raw value of the first parameter of that name ('' without `=`), or undefined. HOT: no allocation but the value. */
export function queryParameter(path: string, name: string): string | undefined {
  let at = path.indexOf('?')
  if (at === -1) return undefined
  at++
  while (at <= path.length) {
    let end = path.indexOf('&', at)
    if (end === -1) end = path.length
    if (path.startsWith(name, at)) {
      const after = at + name.length
      if (after === end) return ''
      if (after < end && path.charCodeAt(after) === 0x3d) return path.slice(after + 1, end)
    }
    at = end + 1
  }
  return undefined
}

/** True when the path's query meets all; null for an empty list. */
export function compileQueryParameters(list: readonly QueryParameterMatcher[]): ((path: string) => boolean) | null {
  if (list.length === 0) return null
  const tests = list.map(compileOne)
  return path => {
    for (let i = 0; i < tests.length; i++) if (!tests[i]!(path)) return false
    return true
  }
}

function compileOne(parameter: QueryParameterMatcher): (path: string) => boolean {
  const name = toByteString(parameter.name)
  if ('present' in parameter) return path => (queryParameter(path, name) !== undefined) === parameter.present
  const test = compileStringMatcher(parameter.matcher)
  return path => {
    const value = queryParameter(path, name)
    return value !== undefined && test(value)
  }
}

/** Percent-decoded value of the first parameter of that name with a value; undefined for none. */
export function decodedParameter(path: string, name: string): string | undefined {
  const question = path.indexOf('?')
  if (question === -1) return undefined
  for (const part of path.slice(question + 1).split('&')) {
    const equals = part.indexOf('=')
    if (equals !== -1 && decodeComponent(part.slice(0, equals)) === name) return decodeComponent(part.slice(equals + 1))
  }
  return undefined
}

/** Percent-decoding that leaves what is malformed as it is. */
export function decodeComponent(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
