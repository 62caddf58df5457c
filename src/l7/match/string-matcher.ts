// envoy.type.matcher.v3.StringMatcher compiled to a test of byte strings. Called by header, query, metadata, path and RBAC matching.

import type { StringMatcher } from '../../model/matcher.js'
import { asciiLower, toByteString } from '../codec/byte-string.js'
import { compileFullMatch } from './regex.js'

/**
 * `whenFailing`: the answer when a regex cannot be evaluated; false for rules that allow, true for rules that deny.
 * ignore_case folds A–Z only, as Envoy does, and is not defined for regexes.
 */
export function compileStringMatcher(m: StringMatcher, whenFailing = false): (value: string) => boolean {
  if (m.kind === 'regex') return compileFullMatch(m.value, whenFailing)
  const wanted = m.ignoreCase ? asciiLower(toByteString(m.value)) : toByteString(m.value)
  switch (m.kind) {
    case 'exact':
      return m.ignoreCase ? value => value.length === wanted.length && asciiLower(value) === wanted : value => value === wanted
    case 'prefix':
      return m.ignoreCase ? value => asciiLower(value).startsWith(wanted) : value => value.startsWith(wanted)
    case 'suffix':
      return m.ignoreCase ? value => asciiLower(value).endsWith(wanted) : value => value.endsWith(wanted)
    case 'contains':
      return m.ignoreCase ? value => asciiLower(value).includes(wanted) : value => value.includes(wanted)
  }
}

/** True when one of them matches; null for an empty list. */
export function compileStringMatchers(list: readonly StringMatcher[], whenFailing = false): ((value: string) => boolean) | null {
  if (list.length === 0) return null
  const tests = list.map(matcher => compileStringMatcher(matcher, whenFailing))
  if (tests.length === 1) return tests[0]!
  return value => tests.some(test => test(value))
}
