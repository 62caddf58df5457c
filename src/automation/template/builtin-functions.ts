// The functions that Go's text/template has by itself: comparisons, index, slice, len, print, and the escapes. Part of every template's
// functions (template.ts). `and` and `or` are execute-template.ts' own, because they evaluate no more than they need; they stand here by name.

import { sprintf } from './format-verbs.js'
import { type GoFunction, GoMap, GoStruct, type GoValue, isList, isTrue, type MapKey, TemplateError, typeName } from './go-value.js'
import { printValue, sprint, sprintln } from './print-value.js'

const HTML: Readonly<Record<string, string>> = { '"': '&#34;', "'": '&#39;', '&': '&amp;', '<': '&lt;', '>': '&gt;', '\0': '�' }
const JS: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  "'": "\\'",
  '"': '\\"',
  '<': '\\u003C',
  '>': '\\u003E',
  '&': '\\u0026',
  '=': '\\u003D',
}

export const BUILTIN_FUNCTIONS: Readonly<Record<string, GoFunction>> = {
  and: { params: ['any'], rest: 'any', call: args => args.find(value => !isTrue(value)) ?? args.at(-1) },
  or: { params: ['any'], rest: 'any', call: args => args.find(isTrue) ?? args.at(-1) },
  not: { params: ['any'], call: ([value]) => !isTrue(value) },
  eq: { params: ['any', 'any'], rest: 'any', call: ([first, ...others]) => others.some(other => isEqual(first, other)) },
  ne: { params: ['any', 'any'], call: ([a, b]) => !isEqual(a, b) },
  lt: { params: ['any', 'any'], call: ([a, b]) => order(a, b) < 0 },
  le: { params: ['any', 'any'], call: ([a, b]) => order(a, b) <= 0 },
  gt: { params: ['any', 'any'], call: ([a, b]) => order(a, b) > 0 },
  ge: { params: ['any', 'any'], call: ([a, b]) => order(a, b) >= 0 },
  call: { params: ['any'], rest: 'any', call: ([value]) => fail(`non-function of type ${typeName(value)}`) },
  index: { params: ['any'], rest: 'any', call: ([value, ...keys]) => keys.reduce(member, value ?? fail('index of untyped nil')) },
  slice: { params: ['any'], rest: 'any', call: ([value, ...bounds]) => cut(value, bounds) },
  len: { params: ['any'], call: ([value]) => length(value) },
  print: { params: [], rest: 'any', call: sprint },
  printf: { params: ['string'], rest: 'any', call: ([format, ...args]) => sprintf(format as string, args) },
  println: { params: [], rest: 'any', call: sprintln },
  html: { params: [], rest: 'any', call: args => textOf(args).replace(/["'&<>\0]/g, char => HTML[char]!) },
  js: { params: [], rest: 'any', call: args => escapeJs(textOf(args)) },
  urlquery: {
    params: [],
    rest: 'any',
    call: args =>
      encodeURIComponent(textOf(args))
        .replace(/[!'()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
        .replaceAll('%20', '+'),
  },
}

function fail(reason: string): never {
  throw new TemplateError(reason)
}

function textOf(args: readonly GoValue[]): string {
  const [only] = args
  return args.length === 1 && typeof only === 'string'
    ? only
    : sprint(args.map(value => (value === undefined || value === null ? '<no value>' : value)))
}

function escapeJs(text: string): string {
  let escaped = ''
  for (const char of text) {
    const code = char.codePointAt(0)!
    if (JS[char] !== undefined) escaped += JS[char]
    else if (code >= 0x20 && (code < 0x7f || /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(char))) escaped += char
    else escaped += `\\u${code.toString(16).toUpperCase().padStart(4, '0')}`
  }
  return escaped
}

type Basic = 'bool' | 'int' | 'float' | 'string'

function basicOf(value: GoValue): Basic | undefined {
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint') return 'int'
  if (typeof value === 'number') return 'float'
  return typeof value === 'string' ? 'string' : undefined
}

function isEqual(a: GoValue, b: GoValue): boolean {
  const nothing = (value: GoValue): boolean => value === undefined || value === null
  if (nothing(a) || nothing(b)) return nothing(a) && nothing(b)
  const [kindA, kindB] = [basicOf(a), basicOf(b)]
  if (kindA === undefined) fail(`non-comparable type ${printValue(a)}: ${typeName(a)}`)
  if (kindB === undefined) fail(`non-comparable type ${printValue(b)}: ${typeName(b)}`)
  if (kindA !== kindB) fail('incompatible types for comparison')
  return a === b
}

function order(a: GoValue, b: GoValue): number {
  const [kindA, kindB] = [basicOf(a), basicOf(b)]
  if (kindA === undefined || kindB === undefined || kindA === 'bool' || kindB === 'bool') fail('invalid type for comparison')
  if (kindA !== kindB) fail('incompatible types for comparison')
  if (kindA === 'string') return Buffer.compare(Buffer.from(a as string), Buffer.from(b as string))
  return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0
}

function length(value: GoValue): bigint {
  if (typeof value === 'string') return BigInt(Buffer.byteLength(value))
  if (value instanceof GoMap) return BigInt(value.entries.size)
  if (isList(value)) return BigInt(value.length)
  return fail(value === undefined || value === null ? 'len of nil pointer' : `len of type ${typeName(value)}`)
}

function member(of: GoValue, key: GoValue): GoValue {
  if (of === undefined || of === null) fail('index of untyped nil')
  if (of instanceof GoMap) {
    const [known = ''] = of.entries.keys()
    if (typeof key !== typeof known) fail(`value has type ${typeName(key)}; should be ${typeName(known)}`)
    return of.entries.has(key as MapKey) ? of.entries.get(key as MapKey) : of.textual ? '' : null
  }
  if (typeof of !== 'string' && !isList(of)) fail(`can't index item of type ${typeName(of)}`)
  if (typeof key !== 'bigint') fail(`cannot index slice/array with type ${typeName(key)}`)
  const bytes = typeof of === 'string' ? Buffer.from(of) : of
  if (key < 0n || key >= BigInt(bytes.length)) fail(`index out of range: ${key}`)
  const found = bytes[Number(key)]
  return typeof of === 'string' ? BigInt(found as number) : (found as GoValue)
}

function cut(of: GoValue, bounds: readonly GoValue[]): GoValue {
  if (typeof of !== 'string' && !isList(of))
    fail(of instanceof GoStruct || of instanceof GoMap ? `can't slice item of type ${typeName(of)}` : 'slice of untyped nil')
  if (bounds.length > 3) fail(`too many slice indexes: ${bounds.length}`)
  if (bounds.length === 3 && typeof of === 'string') fail('cannot 3-index slice a string')
  const bytes = typeof of === 'string' ? Buffer.from(of) : of
  const numbers = bounds.map(bound => {
    if (typeof bound !== 'bigint') return fail(`cannot index slice/array with type ${typeName(bound)}`)
    if (bound < 0n || bound > BigInt(bytes.length)) return fail(`index out of range: ${bound}`)
    return Number(bound)
  })
  const [from = 0, to = bytes.length, most = to] = numbers
  if (from > to || to > most) fail(`invalid slice index: ${from} > ${to}`)
  return typeof of === 'string' ? (bytes as Buffer).subarray(from, to).toString() : of.slice(from, to)
}
