// consul-template's functions on lists and maps: grouping, searching, splitting, merging; and JSON and YAML both ways.
// Part of every template's functions (template.ts). Invariant: what is given is never changed, but by mergeMap, which is so documented.
import { Document, parse, visit } from 'yaml'
import {
  fromJson,
  type GoFunction,
  GoMap,
  GoStruct,
  type GoValue,
  isList,
  type MapKey,
  TemplateError,
  toJson,
  typeName,
} from './go-value.js'

const MAX_LOOP = 1_000_000n
const MAX_YAML_ALIASES = 100

export const COLLECTION_FUNCTIONS: Readonly<Record<string, GoFunction>> = {
  byKey: { params: ['list'], call: ([pairs]) => byKey(pairs) },
  byTag: {
    params: ['any'],
    call: ([services]) => groupBy('byTag', services, service => listOf(service.fields.get('Tags') ?? service.fields.get('ServiceTags'))),
  },
  byPort: { params: ['any'], call: ([services]) => groupBy('byPort', services, service => [service.fields.get('Port')]) },
  byMeta: { params: ['string', 'list'], call: ([meta, services]) => byMeta(meta as string, services) },
  contains: { params: ['any', 'any'], call: ([value, list]) => isIn(list, value) },
  in: { params: ['any', 'any'], call: ([list, value]) => isIn(list, value) },
  containsAll: { params: ['list', 'any'], call: ([values, list]) => listOf(values).every(value => isIn(list, value)) },
  containsAny: { params: ['list', 'any'], call: ([values, list]) => listOf(values).some(value => isIn(list, value)) },
  containsNone: { params: ['list', 'any'], call: ([values, list]) => !listOf(values).some(value => isIn(list, value)) },
  containsNotAll: { params: ['list', 'any'], call: ([values, list]) => !listOf(values).every(value => isIn(list, value)) },
  explode: { params: ['list'], call: ([pairs]) => explode(listOf(pairs).map(pair => [textField(pair, 'Key'), textField(pair, 'Value')])) },
  explodeMap: { params: ['map'], call: ([map]) => explode((map as GoMap).sorted().map(([key, value]) => [String(key), value])) },
  mergeMap: { params: ['map', 'map'], call: ([to, from]) => merge(to as GoMap, from as GoMap, false) },
  mergeMapWithOverride: { params: ['map', 'map'], call: ([to, from]) => merge(to as GoMap, from as GoMap, true) },
  join: { params: ['string', 'strings'], call: ([separator, list]) => listOf(list).join(separator as string) },
  split: { params: ['string', 'string'], call: ([separator, text]) => split(separator as string, (text as string).trim()) },
  splitToMap: {
    params: ['string', 'string', 'string'],
    call: ([outer, inner, text]) => {
      const pairs = split(outer as string, (text as string).trim()).map(part => [part, part.indexOf(inner as string)] as const)
      return new GoMap(
        pairs.filter(([, at]) => at !== -1).map(([part, at]) => [part.slice(0, at), part.slice(at + (inner as string).length)]),
        true,
      )
    },
  },
  loop: { params: ['any'], rest: 'any', call: loop },
  parseJSON: {
    params: ['string'],
    call: ([text]) => (text === '' ? new GoMap() : parsed('parseJSON', () => fromJson(JSON.parse(text as string), false))),
  },
  parseYAML: {
    params: ['string'],
    call: ([text]) =>
      text === '' ? new GoMap() : parsed('parseYAML', () => fromJson(parse(text as string, { maxAliasCount: MAX_YAML_ALIASES }), true)),
  },
  toJSON: { params: ['any'], call: ([value]) => jsonText(value, true) },
  toJSONPretty: { params: ['any'], call: ([value]) => jsonText(value, true, '  ') },
  toUnescapedJSON: { params: ['any'], call: ([value]) => jsonText(value, false) },
  toUnescapedJSONPretty: { params: ['any'], call: ([value]) => jsonText(value, false, '  ') },
  toYAML: { params: ['any'], call: ([value]) => yamlText(value) },
}

function fail(reason: string): never {
  throw new TemplateError(reason)
}

function listOf(value: GoValue): readonly GoValue[] {
  return isList(value) ? value : []
}

function textField(value: GoValue, name: string): string {
  const field = value instanceof GoStruct ? value.fields.get(name) : undefined
  return typeof field === 'string' ? field : fail(`${typeName(value)} has no ${name}`)
}

function groupBy(name: string, services: GoValue, keysOf: (service: GoStruct) => readonly GoValue[]): GoMap {
  if (services !== null && services !== undefined && !isList(services)) fail(`${name}: wrong argument type ${typeName(services)}`)
  const groups = new Map<MapKey, GoValue[]>()
  for (const service of listOf(services)) {
    if (!(service instanceof GoStruct)) fail(`${name}: wrong argument type ${typeName(services)}`)
    for (const key of keysOf(service)) groups.set(key as MapKey, [...(groups.get(key as MapKey) ?? []), service])
  }
  return new GoMap(groups)
}

function byMeta(meta: string, services: GoValue): GoMap {
  return groupBy('byMeta', services, service => {
    const texts = service.fields.get('ServiceMeta') as GoMap
    const parts = meta.split(',').map(name => {
      const key = name.replace(/\|int$/, '')
      const value = (texts.entries.get(key) as string | undefined) || (key === name ? `_no_${key}_` : '0')
      if (key !== name && !/^[+-]?\d+$/.test(value)) fail(`cannot parse ${value} as number`)
      return key === name ? value : String(BigInt(value)).padStart(5, '0')
    })
    return [parts.map(part => part.replace(/[^a-zA-Z0-9_-]/g, '_')).join('_')]
  })
}

/** `a/b` under `a`, then under `b`; pairs without a slash are left out. */
function byKey(pairs: GoValue): GoMap {
  const groups = new Map<string, GoMap>()
  for (const pair of listOf(pairs)) {
    const [top = '', ...rest] = textField(pair, 'Key').split('/')
    const key = rest.join('/')
    if (key === '') continue
    if (!groups.has(top)) groups.set(top, new GoMap())
    const { type, fields } = pair as GoStruct
    groups.get(top)!.entries.set(key, new GoStruct(type, new Map([...fields, ['Key', key]])))
  }
  return new GoMap(groups)
}

function isIn(list: GoValue, value: GoValue): boolean {
  if (typeof list === 'string') return typeof value === 'string' && list.includes(value)
  return isList(list) && ['string', 'bigint', 'number'].includes(typeof value) && list.includes(value)
}

function explode(pairs: readonly (readonly [string, GoValue])[]): GoMap {
  const whole = new GoMap()
  for (const [path, value] of pairs) {
    const keys = path.split('/')
    const last = keys.pop()!
    let at = whole
    for (const key of keys) {
      if (!at.entries.has(key)) at.entries.set(key, new GoMap())
      const next = at.entries.get(key)
      if (!(next instanceof GoMap)) fail(`explode: not a map: ${JSON.stringify(path)}: ${JSON.stringify(key)} already has a value`)
      at = next
    }
    if (last !== '') at.entries.set(last, value)
  }
  return whole
}

/** Maps in both are merged; other values of `to` stay, where nothing overrides them and they are not empty. */
function merge(to: GoMap, from: GoMap, override: boolean): GoMap {
  for (const [key, value] of from.entries) {
    const own = to.entries.get(key)
    if (own instanceof GoMap && value instanceof GoMap) merge(own, value, override)
    else if (own === undefined || own === null || own === '' || own === 0 || own === 0n || own === false || (override && !isEmpty(value)))
      to.entries.set(key, value)
  }
  return to
}

function isEmpty(value: GoValue): boolean {
  return value === undefined || value === null || value === '' || value === 0 || value === 0n || value === false
}

function split(separator: string, text: string): string[] {
  if (text === '') return []
  return separator === '' ? [...text] : text.split(separator)
}

function loop(args: readonly GoValue[]): GoValue {
  if (args.length > 2) fail(`loop: wrong number of arguments, expected 1 or 2, but got ${args.length}`)
  const [from, to] = (args.length === 1 ? [0n, args[0]] : args).map(value => {
    if (typeof value === 'bigint') return value
    return typeof value === 'string' && /^[+-]?\d+$/.test(value) ? BigInt(value) : fail(`loop: bad argument type: ${typeName(value)}`)
  }) as [bigint, bigint]
  if (to - from > MAX_LOOP) fail(`loop: more than ${MAX_LOOP} rounds`)
  return Array.from({ length: Number(to > from ? to - from : 0n) }, (_, i) => from + BigInt(i))
}

function parsed(name: string, parse: () => GoValue): GoValue {
  try {
    return parse()
  } catch (error) {
    return fail(`${name}: ${(error as Error).message.split('\n')[0]}`)
  }
}

/** What YAML would take for something else than a text: as Go's package sees it. */
const NO_TEXT =
  /^(?:|~|null|y|n|yes|no|on|off|true|false|[-+]?\.inf|\.nan|[-+]?(?:\d[\d_]*(?:\.\d*)?|\.?\d*)(?:e[-+]?\d+)?|0[xob][\da-f_]+|\d{4}-\d\d?-\d\d?.*)$/i

/** Go's package quotes those twice, and others that need it once. */
function yamlText(value: GoValue): string {
  const document = new Document(toJson(value))
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === 'string' && NO_TEXT.test(node.value)) node.type = 'QUOTE_DOUBLE'
    },
  })
  return document.toString({ indentSeq: false, lineWidth: 0, singleQuote: true }).trim()
}

const JSON_ESCAPES: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
}

/** encoding/json's text: keys in order, numbers whole, and by default what would mean something in HTML escaped. */
export function jsonText(value: GoValue, escaped: boolean, indent?: string, depth = 0): string {
  if (value === undefined || value === null) return 'null'
  if (typeof value === 'string')
    return JSON.stringify(value).replace(escaped ? /[<>&\u2028\u2029]/g : /[\u2028\u2029]/g, char => JSON_ESCAPES[char]!)
  if (typeof value === 'number' && !Number.isFinite(value)) return fail('toJSON: unsupported value')
  if (typeof value !== 'object') return String(value)
  const [open, close] = isList(value) ? ['[', ']'] : ['{', '}']
  const members = isList(value)
    ? value.map(each => jsonText(each, escaped, indent, depth + 1))
    : (value instanceof GoMap ? value.sorted() : [...value.fields]).map(
        ([key, each]) =>
          `${jsonText(String(key), escaped)}:${indent === undefined ? '' : ' '}${jsonText(each, escaped, indent, depth + 1)}`,
      )
  if (members.length === 0) return open + close
  if (indent === undefined) return open + members.join(',') + close
  const line = `\n${indent.repeat(depth + 1)}`
  return `${open}${line}${members.join(`,${line}`)}\n${indent.repeat(depth)}${close}`
}
