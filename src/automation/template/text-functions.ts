// consul-template's functions on texts and numbers: cases, trims, replacements, regular expressions, hashes, parsing, arithmetic.
// Part of every template's functions (template.ts). Arguments stand in consul-template's order: what is piped comes last.
// Invariant: regular expressions are RE2's, so no text of the catalog can make one run for ever.
import { createHash, createHmac } from 'node:crypto'
import { RE2JS } from 're2js'
import { type GoFunction, type GoValue, TemplateError } from './go-value.js'

type Texts = readonly string[]

const MAX_INT = 2n ** 63n - 1n
const MAX_UINT = 2n ** 64n - 1n
const MAX_INDENT = 10_000
/** Letters behind anything that is no part of a word. */
const WORD_START = /(^|[^\p{L}\p{Nd}_])(\p{L})/gu
const TRUE = /^(1|t|T|TRUE|true|True)$/
const FALSE = /^(0|f|F|FALSE|false|False)$/

function texts(count: number, call: (texts: Texts) => GoValue): GoFunction {
  return { params: Array.from({ length: count }, () => 'string' as const), call: args => call(args as Texts) }
}

export const TEXT_FUNCTIONS: Readonly<Record<string, GoFunction>> = {
  toLower: texts(1, ([text]) => text!.toLowerCase()),
  toUpper: texts(1, ([text]) => text!.toUpperCase()),
  toTitle: texts(1, ([text]) => text!.replace(WORD_START, (_, before: string, letter: string) => before + letter.toUpperCase())),
  trim: texts(2, ([cutset, text]) => trimSet(cutset!, text!)),
  trimPrefix: texts(2, ([prefix, text]) => (text!.startsWith(prefix!) ? text!.slice(prefix!.length) : text!)),
  trimSuffix: texts(2, ([suffix, text]) => (suffix !== '' && text!.endsWith(suffix!) ? text!.slice(0, -suffix!.length) : text!)),
  trimSpace: texts(1, ([text]) => text!.trim()),
  replaceAll: texts(3, ([from, to, text]) => text!.split(from!).join(to!)),
  regexMatch: texts(2, ([expression, text]) => compile(expression!).matcher(text!).find()),
  regexReplaceAll: texts(3, ([expression, replacement, text]) => replaceMatches(compile(expression!), replacement!, text!)),
  indent: { params: ['int', 'string'], call: ([spaces, text]) => indent(spaces as bigint, text as string) },
  sha256Hex: texts(1, ([text]) => createHash('sha256').update(text!).digest('hex')),
  md5sum: texts(1, ([text]) => createHash('md5').update(text!).digest('hex')),
  hmacSHA256Hex: texts(2, ([message, key]) => createHmac('sha256', key!).update(message!).digest('hex')),
  base64Encode: texts(1, ([text]) => Buffer.from(text!).toString('base64')),
  base64Decode: texts(1, ([text]) => decodeBase64(text!, /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/)),
  base64URLEncode: texts(1, ([text]) => Buffer.from(text!).toString('base64').replaceAll('+', '-').replaceAll('/', '_')),
  base64URLDecode: texts(1, ([text]) => decodeBase64(text!, /^(?:[\w-]{4})*(?:[\w-]{2}==|[\w-]{3}=)?$/)),
  parseBool: texts(1, ([text]) =>
    text === '' || FALSE.test(text!) ? false : TRUE.test(text!) || fail(`parseBool: ${JSON.stringify(text)}: invalid syntax`),
  ),
  parseFloat: texts(1, ([text]) => (text === '' ? 0 : parseFloating(text!))),
  parseInt: texts(1, ([text]) => parseWhole('parseInt', text!, /^[+-]?\d+$/, -MAX_INT - 1n, MAX_INT)),
  parseUint: texts(1, ([text]) => parseWhole('parseUint', text!, /^\d+$/, 0n, MAX_UINT)),
  add: arithmetic(
    'add',
    (a, b) => a + b,
    (a, b) => a + b,
  ),
  subtract: arithmetic(
    'subtract',
    (a, b) => a - b,
    (a, b) => a - b,
  ),
  multiply: arithmetic(
    'multiply',
    (a, b) => a * b,
    (a, b) => a * b,
  ),
  divide: arithmetic(
    'divide',
    (a, b) => (b === 0n ? fail('divide: by zero') : a / b),
    (a, b) => a / b,
  ),
  modulo: arithmetic('modulo', (a, b) => (b === 0n ? fail('modulo: by zero') : a % b)),
  minimum: choice('minimum', (a, b) => (a < b ? 'a' : 'b')),
  maximum: choice('maximum', (a, b) => (a > b ? 'a' : 'b')),
}

function fail(reason: string): never {
  throw new TemplateError(reason)
}

function trimSet(cutset: string, text: string): string {
  const set = new Set(cutset)
  const chars = [...text]
  let from = 0
  let to = chars.length
  while (from < to && set.has(chars[from]!)) from++
  while (to > from && set.has(chars[to - 1]!)) to--
  return chars.slice(from, to).join('')
}

function compile(expression: string): RE2JS {
  try {
    return RE2JS.compile(expression)
  } catch (error) {
    return fail(`${JSON.stringify(expression)} is no regular expression: ${(error as Error).message}`)
  }
}

/** `$1`, `${1}` and `${name}` stand for groups, `$$` for itself; a group that is not there for nothing. */
function replaceMatches(expression: RE2JS, replacement: string, text: string): string {
  const matcher = expression.matcher(text)
  let replaced = ''
  let at = 0
  while (matcher.find()) {
    replaced += text.slice(at, matcher.start())
    replaced += replacement.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (whole, bare?: string, braced?: string) => {
      const name = bare ?? braced
      return name === undefined ? whole.slice(1) : groupOf(matcher, name)
    })
    at = matcher.end()
  }
  return replaced + text.slice(at)
}

function groupOf(matcher: ReturnType<RE2JS['matcher']>, name: string): string {
  try {
    return (/^\d+$/.test(name) ? matcher.group(Number(name)) : matcher.group(name)) ?? ''
  } catch {
    return ''
  }
}

function indent(spaces: bigint, text: string): string {
  if (spaces < 0n) fail('indent value must be a positive integer')
  if (spaces > MAX_INDENT) fail(`indent value must be at most ${MAX_INDENT}`)
  return text.replace(/^(?=[^\n])/gm, ' '.repeat(Number(spaces)))
}

function decodeBase64(text: string, form: RegExp): string {
  const plain = text.replace(/[\r\n]/g, '')
  return form.test(plain) ? Buffer.from(plain, 'base64').toString() : fail('illegal base64 data')
}

function parseFloating(text: string): number {
  const plain = text.replace(/^\+/, '')
  if (/^-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(plain)) return Number(plain)
  if (/^[+-]?inf(inity)?$/i.test(text)) return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  return /^nan$/i.test(text) ? Number.NaN : fail(`parseFloat: ${JSON.stringify(text)}: invalid syntax`)
}

function parseWhole(name: string, text: string, form: RegExp, least: bigint, most: bigint): bigint {
  if (text === '') return 0n
  if (!form.test(text)) fail(`${name}: ${JSON.stringify(text)}: invalid syntax`)
  const value = BigInt(text.replace(/^\+/, ''))
  return value < least || value > most ? fail(`${name}: ${JSON.stringify(text)}: value out of range`) : value
}

/** Of two whole numbers a whole one, that wraps as Go's; of others a float. The piped one is `a`. */
function arithmetic(name: string, whole: (a: bigint, b: bigint) => bigint, floating?: (a: number, b: number) => number): GoFunction {
  return {
    params: ['any', 'any'],
    call: ([b, a]) => {
      checkNumbers(name, a, b)
      if (typeof a === 'bigint' && typeof b === 'bigint') return BigInt.asIntN(64, whole(a, b))
      return floating === undefined ? fail(`${name}: whole numbers are wanted`) : floating(Number(a), Number(b))
    },
  }
}

function choice(name: string, choose: (a: number | bigint, b: number | bigint) => 'a' | 'b'): GoFunction {
  return {
    params: ['any', 'any'],
    call: ([b, a]) => {
      checkNumbers(name, a, b)
      return choose(a as number, b as number) === 'a' ? a : b
    },
  }
}

function checkNumbers(name: string, ...values: readonly GoValue[]): void {
  for (const value of values)
    if (typeof value !== 'bigint' && typeof value !== 'number') fail(`${name}: unknown type for ${JSON.stringify(String(value))}`)
}
