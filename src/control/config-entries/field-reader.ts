// Reads one object of a service definition: each field by its canonical name in any of Consul's spellings (`LocalBindPort`,
// `local_bind_port`, `localBindPort`), with every problem collected as `{path, reason}`. Used by `service-definition.ts`.
// Invariant: nothing is coerced silently except what Consul's own decoder coerces (numbers in strings for integers, and back).
import type { ConfigError } from './types.js'

/** Longest string taken for one field of a definition (bodies and headers of checks are the longest real ones). */
const MAX_STRING_CHARS = 16_384

export class FieldReader {
  private readonly values = new Map<string, { key: string; value: unknown }>()
  private readonly read = new Set<string>()

  constructor(
    object: Readonly<Record<string, unknown>>,
    readonly path: string,
    readonly errors: ConfigError[],
    /** What is taken and has no effect. */
    readonly warnings: ConfigError[] = [],
  ) {
    for (const key of Object.keys(object)) {
      const folded = fold(key)
      const before = this.values.get(folded)
      if (before !== undefined) this.fail(key, `given twice (also as ${before.key})`)
      this.values.set(folded, { key, value: object[key] })
    }
  }

  fail(name: string, reason: string): void {
    this.errors.push({ path: this.child(name), reason })
  }

  warn(name: string, reason: string): void {
    this.warnings.push({ path: this.child(name), reason })
  }

  child(name: string): string {
    return this.path === '' || name === '' ? this.path + name : `${this.path}.${name}`
  }

  string(name: string, fallback = ''): string {
    const value = this.take(name)
    if (value === undefined) return fallback
    if (typeof value === 'number') return String(value)
    if (typeof value !== 'string') return this.wrong(name, 'a string', fallback)
    if (value.length > MAX_STRING_CHARS) return this.wrong(name, `at most ${MAX_STRING_CHARS} characters`, fallback)
    return value
  }

  integer(name: string, min: number, max: number, fallback: number): number {
    const value = this.take(name)
    if (value === undefined) return fallback
    const number = typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value
    if (typeof number !== 'number' || !Number.isInteger(number) || number < min || number > max)
      return this.wrong(name, `an integer from ${min} to ${max}`, fallback)
    return number
  }

  boolean(name: string, fallback = false): boolean {
    const value = this.take(name)
    if (value === undefined) return fallback
    if (typeof value !== 'boolean') return this.wrong(name, 'true or false', fallback)
    return value
  }

  strings(name: string): string[] {
    const value = this.take(name)
    if (value === undefined) return []
    if (!Array.isArray(value) || value.some(item => typeof item !== 'string')) return this.wrong(name, 'a list of strings', [])
    return [...value]
  }

  /** A map of strings with keys of the user's own, kept as they are written. */
  stringMap(name: string): Record<string, string> {
    const value = this.take(name)
    if (value === undefined) return Object.create(null)
    if (!isObject(value)) return this.wrong(name, 'a map of strings', Object.create(null))
    const map: Record<string, string> = Object.create(null)
    for (const [key, item] of Object.entries(value)) {
      if (typeof item === 'string') map[key] = item
      else if (typeof item === 'number' || typeof item === 'boolean') map[key] = String(item)
      else this.fail(`${name}.${key}`, 'must be a string')
    }
    return map
  }

  /** Header lists of HTTP checks: `{name: [values]}`; a single string is taken as one value. */
  stringListMap(name: string): Record<string, string[]> {
    const value = this.take(name)
    const map: Record<string, string[]> = Object.create(null)
    if (value === undefined) return map
    if (!isObject(value)) return this.wrong(name, 'a map of string lists', map)
    for (const [key, item] of Object.entries(value)) {
      const list = Array.isArray(item) ? item : [item]
      if (list.every(text => typeof text === 'string')) map[key] = list
      else this.fail(`${name}.${key}`, 'must be a list of strings')
    }
    return map
  }

  /** Opaque JSON for the proxy (`Proxy.Config`), keys as they are written. */
  opaque(name: string): Record<string, unknown> {
    const value = this.take(name)
    if (value === undefined) return Object.create(null)
    if (!isObject(value)) return this.wrong(name, 'an object', Object.create(null))
    return Object.assign(Object.create(null), value)
  }

  object(name: string): FieldReader | undefined {
    const value = this.take(name)
    if (value === undefined) return undefined
    if (!isObject(value)) return this.wrong(name, 'an object', undefined)
    return new FieldReader(value, this.child(name), this.errors, this.warnings)
  }

  /** A reader of nothing in the place of `name`, for who goes on to find what else is missing. */
  absent(name: string): FieldReader {
    return new FieldReader({}, this.child(name), this.errors, this.warnings)
  }

  /** Any value, as it is; undefined when absent or null. */
  json(name: string): unknown {
    return this.take(name)
  }

  objects(name: string, max: number): FieldReader[] {
    const value = this.take(name)
    if (value === undefined) return []
    if (!Array.isArray(value)) return this.wrong(name, 'a list', [])
    if (value.length > max) return this.wrong(name, `a list of at most ${max}`, [])
    const readers: FieldReader[] = []
    value.forEach((item, i) => {
      if (isObject(item)) readers.push(new FieldReader(item, `${this.child(name)}[${i}]`, this.errors, this.warnings))
      else this.fail(`${name}[${i}]`, 'must be an object')
    })
    return readers
  }

  has(name: string): boolean {
    const value = this.values.get(fold(name))?.value
    return value !== undefined && value !== null
  }

  /** Marks fields that Consul knows and that mean nothing here. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.read.add(fold(name))
  }

  /** Reports every field that nobody asked for. */
  refuseUnknown(): void {
    for (const [folded, { key }] of this.values) if (!this.read.has(folded)) this.fail(key, 'unknown field')
  }

  private take(name: string): unknown {
    const folded = fold(name)
    this.read.add(folded)
    const value = this.values.get(folded)?.value
    return value === null ? undefined : value
  }

  private wrong<T>(name: string, expected: string, fallback: T): T {
    this.fail(name, `must be ${expected}`)
    return fallback
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function fold(key: string): string {
  return key.replaceAll('_', '').toLowerCase()
}
