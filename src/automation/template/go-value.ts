// The values that a template computes with, and what Go's text/template asks of them: kind, truth, order, fields. Used by everything in this
// folder. Whole numbers are bigints and floating ones numbers, because Go tells them apart in division, comparison and print.
// Invariant: `undefined` is Go's invalid value (a key that a map has not), `null` is nil; a map's order is never that of insertion.

export type GoValue = undefined | null | boolean | bigint | number | string | readonly GoValue[] | GoMap | GoStruct

export type MapKey = string | bigint

export type ParamType = 'any' | 'string' | 'int' | 'bool' | 'list' | 'strings' | 'map'

/** A function that templates call by name, or a method of a struct. */
export interface GoFunction {
  readonly params: readonly ParamType[]
  /** Of all arguments behind those of `params`. */
  readonly rest?: ParamType
  /** Throws `TemplateError`. */
  call(args: readonly GoValue[]): GoValue
}

/** What is wrong with a template, or with what it is executed on. */
export class TemplateError extends Error {}

/** A map of Go; `textual` is `map[string]string`, whose missing values are the empty string where `index` asks. */
export class GoMap {
  readonly entries: Map<MapKey, GoValue>
  readonly textual: boolean

  constructor(entries: Iterable<readonly [MapKey, GoValue]> = [], textual = false) {
    this.entries = new Map(entries)
    this.textual = textual
  }

  static ofTexts(texts: Readonly<Record<string, string>> | null | undefined): GoMap {
    return new GoMap(Object.entries(texts ?? {}), true)
  }

  /** In the order in which Go ranges and prints. */
  sorted(): [MapKey, GoValue][] {
    return [...this.entries].sort(([a], [b]) => compareKeys(a, b))
  }
}

export class GoStruct {
  constructor(
    readonly type: string,
    readonly fields: ReadonlyMap<string, GoValue>,
    readonly methods: ReadonlyMap<string, GoFunction> = new Map(),
  ) {}
}

export function structOf(type: string, fields: Readonly<Record<string, GoValue>>): GoStruct {
  return new GoStruct(type, new Map(Object.entries(fields)))
}

export function isList(value: GoValue): value is readonly GoValue[] {
  return Array.isArray(value)
}

/** As Go's `%T` names it. */
export function typeName(value: GoValue): string {
  if (value === undefined || value === null) return '<nil>'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'bigint') return 'int'
  if (typeof value === 'number') return 'float64'
  if (typeof value === 'string') return 'string'
  if (value instanceof GoMap) return value.textual ? 'map[string]string' : 'map[string]interface {}'
  if (value instanceof GoStruct) return `*${value.type}`
  return '[]interface {}'
}

export function isTrue(value: GoValue): boolean {
  if (value === undefined || value === null || value === false) return false
  if (typeof value === 'string') return value !== ''
  if (typeof value === 'bigint') return value !== 0n
  if (typeof value === 'number') return value !== 0
  if (value instanceof GoMap) return value.entries.size > 0
  return isList(value) ? value.length > 0 : true
}

/** Go's strings are bytes; by them they are sorted. */
export function compareTexts(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function compareKeys(a: MapKey, b: MapKey): number {
  if (typeof a === 'bigint' && typeof b === 'bigint') return a < b ? -1 : a > b ? 1 : 0
  return compareTexts(String(a), String(b))
}

/** What JSON or YAML has become in Go: every number of JSON is a float, of YAML those alone that are written so. */
export function fromJson(value: unknown, wholeNumbers: boolean): GoValue {
  if (value === null || value === undefined || typeof value === 'string' || typeof value === 'boolean' || typeof value === 'bigint')
    return value ?? null
  if (typeof value === 'number') return wholeNumbers && Number.isInteger(value) ? BigInt(value) : value
  if (Array.isArray(value)) return value.map(each => fromJson(each, wholeNumbers))
  return new GoMap(Object.entries(value as object).map(([key, each]) => [key, fromJson(each, wholeNumbers)]))
}

/** The way back, keys in Go's order. */
export function toJson(value: GoValue): unknown {
  if (value === undefined || value === null) return null
  if (typeof value === 'bigint') return Number(value)
  if (isList(value)) return value.map(toJson)
  const ordered = value instanceof GoMap ? value.sorted() : value instanceof GoStruct ? [...value.fields] : undefined
  if (ordered === undefined) return value
  // A Map, because an object would put keys that are numbers first.
  return new Map(ordered.map(([key, each]) => [String(key), toJson(each)]))
}
