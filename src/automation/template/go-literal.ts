// Go's constants as they stand in a template: quoted strings with escapes, characters, numbers. Called by template-parser.ts.
// Invariant: what is no constant of Go is undefined, never something near it.
import type { GoValue } from './go-value.js'

const SIMPLE: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', '\\': '\\' }
const CODE_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }
const MAX_CODE_POINT = 0x10ffff
const MIN_INT = -(2n ** 63n)
const MAX_INT = 2n ** 63n - 1n

/** The text of `"…"` or `` `…` ``. */
export function unquote(literal: string): string | undefined {
  const body = literal.slice(1, -1)
  // Go drops carriage returns from raw strings.
  if (literal.startsWith('`')) return body.replaceAll('\r', '')
  return unescaped(body, '"')
}

/** The code point of `'x'`. */
export function charCode(literal: string): bigint | undefined {
  const text = unescaped(literal.slice(1, -1), "'")
  return text === undefined || [...text].length !== 1 ? undefined : BigInt(text.codePointAt(0)!)
}

/** Escapes of bytes may make a text that is no UTF-8; it is what its bytes decode to. */
function unescaped(body: string, quote: string): string | undefined {
  if (!body.includes('\\')) return body
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const next = body.indexOf('\\', at)
    parts.push(Buffer.from(body.slice(at, next === -1 ? undefined : next)))
    if (next === -1) break
    const char = body[next + 1] ?? ''
    const digits = CODE_DIGITS[char]
    if (char === quote || SIMPLE[char] !== undefined) {
      parts.push(Buffer.from(char === quote ? quote : SIMPLE[char]!))
      at = next + 2
    } else if (digits !== undefined) {
      const hex = body.slice(next + 2, next + 2 + digits)
      const code = /^[0-9a-fA-F]+$/.test(hex) && hex.length === digits ? Number.parseInt(hex, 16) : -1
      if (code < 0 || code > MAX_CODE_POINT || (code >= 0xd800 && code < 0xe000)) return undefined
      parts.push(char === 'x' ? Buffer.from([code]) : Buffer.from(String.fromCodePoint(code)))
      at = next + 2 + digits
    } else {
      const octal = /^[0-7]{3}/.exec(body.slice(next + 1))?.[0]
      if (octal === undefined || Number.parseInt(octal, 8) > 0xff) return undefined
      parts.push(Buffer.from([Number.parseInt(octal, 8)]))
      at = next + 4
    }
  }
  return Buffer.concat(parts).toString()
}

/** A whole number is a bigint; one with a point or an exponent is a float. Undefined where Go has no such constant. */
export function numberOf(literal: string): GoValue {
  if (/(^|[^\da-fA-FxXoObB])_|__|_$|_[.eEpP]|[.eEpP]_/.test(literal)) return undefined
  const plain = literal.replaceAll('_', '')
  const negative = plain.startsWith('-')
  const digits = plain.replace(/^[+-]/, '')
  if (/^0[xX].*[.pP]/.test(digits)) return hexFloat(digits, negative)
  if (/^(0[xX]|0[oO]|0[bB])/.test(digits) || /^\d+$/.test(digits)) {
    // An older form of octal.
    if (/^0\d+$/.test(digits) && !/^[0-7]+$/.test(digits)) return undefined
    const value = BigInt(/^0\d+$/.test(digits) ? `0o${digits}` : digits.toLowerCase())
    const signed = negative ? -value : value
    return signed < MIN_INT || signed > MAX_INT ? undefined : signed
  }
  const float = Number(plain)
  return Number.isFinite(float) ? float : undefined
}

function hexFloat(digits: string, negative: boolean): number | undefined {
  const match = /^0[xX]([0-9a-fA-F]*)(?:\.([0-9a-fA-F]*))?[pP]([+-]?\d+)$/.exec(digits)
  if (match === null) return undefined
  const [, whole = '', fraction = '', exponent] = match
  const value = Number.parseInt(`${whole}${fraction}` || '0', 16) * 2 ** (Number(exponent) - 4 * fraction.length)
  return negative ? -value : value
}
