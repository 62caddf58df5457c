// envoy.config.route.v3.HeaderMatcher compiled to tests of a head. Called by routes, RBAC, retries, access-log filters, fault, rate
// limits. HOT: once per candidate route.
//
// A field that comes several times has several readings: the list joined by commas (RFC 9110 §5.3, what Envoy matched on up to
// 1.38) and each value by itself (what it matches on since CVE-2026-26308; the older form of the hole is CVE-2020-25017). An
// upstream may act on either. So a rule says which way it must err:
//   'possible'  matches when any reading does: rules that deny, and routes (a route may be what refuses);
//   'certain'   matches when a single value does, as Envoy: rules that allow. No list that nobody sent ever gives a permission.
// A negation turns one into the other, so that deny wins below any nesting of not and invert_match.

import type { HeaderMatcher } from '../../model/matcher.js'
import type { RequestHead } from '../codec/codec.js'
import type { HeaderList } from '../codec/header-list.js'
import type { StreamInfo } from '../stream/stream-info.js'
import { compileStringMatcher } from './string-matcher.js'

export type Certainty = 'possible' | 'certain'
export type RequestHeaderTest = (head: RequestHead | null) => boolean

export function opposite(certainty: Certainty): Certainty {
  return certainty === 'possible' ? 'certain' : 'possible'
}

/** True when the head meets all; null for an empty list. */
export function compileHeaderMatchers(list: readonly HeaderMatcher[]): ((head: RequestHead, info: StreamInfo | null) => boolean) | null {
  if (list.length === 0) return null
  const tests = list.map(matcher => compileHeaderMatcher(matcher, 'possible'))
  if (tests.length === 1) return tests[0]!
  return head => {
    for (let i = 0; i < tests.length; i++) if (!tests[i]!(head)) return false
    return true
  }
}

/** One matcher. `null` (no HTTP request: the network filter) is a head without fields. */
export function compileHeaderMatcher(matcher: HeaderMatcher, certainty: Certainty): RequestHeaderTest {
  const read = pseudoReader(matcher.name)
  if (read !== null) {
    const test = compileValue(matcher, certainty)
    return head => test(head === null ? undefined : read(head))
  }
  const test = compileField(matcher, certainty)
  return head => test(head === null ? null : head.headers)
}

export function compileResponseHeaderMatcher(matcher: HeaderMatcher): (headers: HeaderList, status: number) => boolean {
  if (matcher.name === ':status') {
    const test = compileValue(matcher, 'possible')
    return (_headers, status) => test(String(status))
  }
  return compileField(matcher, 'possible')
}

/** Fields that the codec keeps outside the header list. Null: an ordinary field. */
function pseudoReader(name: string): ((head: RequestHead) => string | undefined) | null {
  switch (name) {
    case ':method':
      return head => head.method
    case ':path':
      return head => (head.path === '' ? undefined : head.path)
    case ':authority':
    case 'host':
      return head => (head.authority === '' ? undefined : head.authority)
    case ':scheme':
      return head => (head.scheme === '' ? undefined : head.scheme)
    case ':protocol':
      return head => (head.version === 'HTTP/2' && head.upgrade !== '' ? head.upgrade : undefined)
    case 'upgrade':
      return head => (head.upgrade === '' ? head.headers.getJoined('upgrade') : head.upgrade)
    case 'connection':
      return head => (head.upgrade === '' ? head.headers.getJoined('connection') : 'upgrade')
    default:
      return null
  }
}

/** The value of a request field as matchers and formatters see it: joined, pseudo-headers included; undefined when absent. */
export function requestHeaderReader(lower: string): (head: RequestHead) => string | undefined {
  return pseudoReader(lower) ?? (head => head.headers.getJoined(lower))
}

function compileValue(matcher: HeaderMatcher, certainty: Certainty): (value: string | undefined) => boolean {
  const { match, invert, treatMissingAsEmpty } = matcher
  if (match.kind === 'present') {
    const wanted = match.present !== invert
    return value => (value !== undefined || treatMissingAsEmpty) === wanted
  }
  const test = valueTest(match, invert ? opposite(certainty) : certainty)
  return value => {
    if (value === undefined) {
      // A missing field matches nothing, inverted or not, unless the rule reads it as empty.
      if (!treatMissingAsEmpty) return false
      value = ''
    }
    return test(value) !== invert
  }
}

function compileField(matcher: HeaderMatcher, certainty: Certainty): (headers: HeaderList | null) => boolean {
  const { name, match, invert, treatMissingAsEmpty } = matcher
  if (match.kind === 'present') {
    const wanted = match.present !== invert
    return headers => (headers?.has(name) === true || treatMissingAsEmpty) === wanted
  }
  const inner = invert ? opposite(certainty) : certainty
  const test = valueTest(match, inner)
  const joined = inner === 'possible'
  return headers => {
    const first = headers === null ? -1 : headers.indexOf(name)
    if (first === -1) return treatMissingAsEmpty && test('') !== invert
    const list = headers!
    if (list.indexOf(name, first + 1) === -1) return test(list.values[first]!) !== invert
    let met = joined && test(list.getJoined(name)!)
    for (let i = first; !met && i !== -1; i = list.indexOf(name, i + 1)) met = test(list.values[i]!)
    return met !== invert
  }
}

function valueTest(match: Exclude<HeaderMatcher['match'], { kind: 'present' }>, certainty: Certainty): (value: string) => boolean {
  if (match.kind === 'string') return compileStringMatcher(match.matcher, certainty === 'possible')
  const { start, end } = match
  return value => {
    if (!/^[+-]?\d{1,19}$/.test(value)) return false
    const number = BigInt(value.startsWith('+') ? value.slice(1) : value)
    return number >= start && number < end
  }
}
