// RE2 regexes of the config (Envoy safe_regex), matched against whole byte strings. Patterns that only spell out strings (`^/a$`,
// `GET|POST`, `/v1/.*`) become compares and set look-ups: nearly all that control planes emit are of that kind.
// Called by string-matcher, path matching and rewrites. Invariant: matching never throws; what the engine cannot answer is answered
// with `whenFailing`, so that a deny rule is not passed by confusing it (CVE-2026-73552).

import { RE2JS } from 're2js'
import { fromByteString, isAscii, toByteString } from '../codec/byte-string.js'

export type BytesTest = (value: string) => boolean

/** Characters that mean something outside a class; a backslash before any punctuation makes it literal. */
const META = new Set('\\.+*?()|[]{}^$')

/** Most alternatives that are kept as a set; longer lists are left to RE2. */
const MAX_ALTERNATIVES = 100_000

/** The string that a pattern without operators spells, or null. Anchors at the ends say nothing under a full match. */
export function literalOf(pattern: string): string | null {
  const start = pattern.startsWith('^') ? 1 : 0
  const end = endsWithAnchor(pattern) ? pattern.length - 1 : pattern.length
  let out = ''
  for (let i = start; i < end; i++) {
    const char = pattern[i]!
    if (char === '\\') {
      const next = i + 1 < end ? pattern[++i]! : ''
      if (next === '' || /[A-Za-z0-9]/.test(next) || !isAscii(next)) return null
      out += next
    } else if (META.has(char)) return null
    else out += char
  }
  return toByteString(out)
}

function endsWithAnchor(pattern: string): boolean {
  if (!pattern.endsWith('$')) return false
  let backslashes = 0
  for (let i = pattern.length - 2; i >= 0 && pattern[i] === '\\'; i--) backslashes++
  return backslashes % 2 === 0
}

/** Splits at `|` outside groups and classes; null when the pattern has either (then it is not a plain list). */
function alternativesOf(pattern: string): string[] | null {
  const out: string[] = []
  let from = 0
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i]
    if (char === '\\') i++
    else if (char === '(' || char === ')' || char === '[') return null
    else if (char === '|') {
      out.push(pattern.slice(from, i))
      from = i + 1
      if (out.length > MAX_ALTERNATIVES) return null
    }
  }
  out.push(pattern.slice(from))
  return out
}

/** `^(…)$` or `^(?:…)$` without its wrapping, if one group spans all. */
function unwrap(pattern: string): string {
  let body = pattern
  if (body.startsWith('^(') && body.endsWith(')$')) body = body.slice(1, -1)
  if (!body.startsWith('(') || !body.endsWith(')')) return pattern
  const open = body.startsWith('(?:') ? 3 : body.startsWith('(?') ? -1 : 1
  if (open === -1 || body.at(-2) === '\\') return pattern
  const inside = body.slice(open, -1)
  return alternativesOf(inside) === null ? pattern : inside
}

/** A test for patterns that need no engine, or null. */
function plainTest(pattern: string): BytesTest | null {
  const alternatives = alternativesOf(unwrap(pattern))
  if (alternatives === null) return null
  if (alternatives.length > 1) {
    const set = new Set<string>()
    for (const alternative of alternatives) {
      const literal = literalOf(alternative)
      if (literal === null) return null
      set.add(literal)
    }
    return value => set.has(value)
  }
  const only = alternatives[0]!
  const literal = literalOf(only)
  if (literal !== null) return value => value === literal
  return wildcardTest(only)
}

/** `literal.*`, `.*literal`, `.*literal.*`, `.*`, `.+`. A dot matches no newline (RE2 without the s flag). */
function wildcardTest(pattern: string): BytesTest | null {
  let body = pattern.startsWith('^') ? pattern.slice(1) : pattern
  if (endsWithAnchor(body)) body = body.slice(0, -1)
  if (body === '.*') return value => !value.includes('\n')
  if (body === '.+') return value => value.length > 0 && !value.includes('\n')
  const before = body.startsWith('.*')
  if (before) body = body.slice(2)
  let atLeast = -1
  if (/(?:^|[^\\])(?:\\\\)*\.[*+]$/.test(body)) {
    atLeast = body.endsWith('+') ? 1 : 0
    body = body.slice(0, -2)
  }
  const text = literalOf(body)
  if (text === null || text.includes('\n') || body.startsWith('^') || body.endsWith('$')) return null
  if (before && atLeast === 1) return null
  if (before && atLeast === 0) return value => value.includes(text) && !value.includes('\n')
  if (before) return value => value.endsWith(text) && !value.includes('\n')
  if (atLeast === -1) return null
  return value => value.length >= text.length + atLeast && value.startsWith(text) && value.indexOf('\n', text.length) === -1
}

/**
 * Full match of `pattern` against a byte string. The pattern has been checked when the config was validated; one that does not
 * compile here answers `whenFailing` always. Values that are UTF-8 are matched as text (a dot is a character), others byte by byte.
 */
export function compileFullMatch(pattern: string, whenFailing = false): BytesTest {
  const plain = plainTest(pattern)
  if (plain !== null) return plain
  const regex = compileRegex(pattern)
  if (regex === null) return () => whenFailing
  return value => {
    try {
      return regex.testExact(fromByteString(value))
    } catch {
      return whenFailing
    }
  }
}

export function compileRegex(pattern: string): RE2JS | null {
  try {
    return RE2JS.compile(pattern)
  } catch {
    return null
  }
}

/** Replaces every match of a RegexMatchAndSubstitute in a byte string (`\1` groups, `\\` a backslash); unchanged without a match. */
export function compileSubstitution(pattern: string, substitution: string): (value: string) => string {
  const regex = compileRegex(pattern)
  if (regex === null) return value => value
  const parts = substitutionParts(substitution)
  const byteParts = parts.map(part => (typeof part === 'string' ? toByteString(part) : part))
  return value => {
    const text = fromByteString(value)
    try {
      // Bytes that are no UTF-8 were not decoded and must not be encoded either.
      return text === value ? substitute(regex, byteParts, value) : toByteString(substitute(regex, parts, text))
    } catch {
      return value
    }
  }
}

/** Literal text and group numbers in turn. */
function substitutionParts(substitution: string): (string | number)[] {
  const parts: (string | number)[] = []
  let text = ''
  for (let i = 0; i < substitution.length; i++) {
    const char = substitution[i]!
    if (char !== '\\') {
      text += char
      continue
    }
    const next = substitution[++i] ?? '\\'
    if (next >= '0' && next <= '9') {
      parts.push(text, Number(next))
      text = ''
    } else text += next
  }
  parts.push(text)
  return parts
}

function substitute(regex: RE2JS, parts: readonly (string | number)[], value: string): string {
  const matcher = regex.matcher(value)
  let out = ''
  let from = 0
  while (matcher.find()) {
    out += value.slice(from, matcher.start())
    for (const part of parts) out += typeof part === 'string' ? part : (matcher.group(part) ?? '')
    from = matcher.end()
  }
  return out + value.slice(from)
}
