// Building blocks of the entry schemas over zod: how one field of a Consul config entry is read from JSON, YAML or HCL-as-JSON.
// Used by `schemas.ts` only. The leniency is Consul's own decoder's: field names in any case with or without underscores, numbers and
// booleans as strings, one object where a list of one is meant and the other way round, null and "" as absent.
// Invariant: keys of maps that are user data are never touched, and a name that fits no field is an error.
import { z } from 'zod'
import { formatDuration, parseDuration } from './duration.js'

type Shape = Record<string, z.ZodType>

/** Longest list or map of an entry; a splitter or intention of more is a mistake, and the whole entry is bounded by the HTTP body too. */
const MAX_ITEMS = 10_000

export const spelling = (key: string) => key.replaceAll('_', '').toLowerCase()

const isPlainObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** HCL turned into JSON writes a block as a list of one. */
const unwrapBlock = (value: unknown) => (Array.isArray(value) && value.length === 1 && isPlainObject(value[0]) ? value[0] : value)

/** An object with these fields and no others; keys come out in the spelling of `shape`. */
export function record<S extends Shape>(shape: S) {
  const bySpelling = new Map(Object.keys(shape).map(key => [spelling(key), key]))
  return z.preprocess((raw, ctx) => {
    const value = unwrapBlock(raw)
    if (!isPlainObject(value)) return value
    const out: Record<string, unknown> = Object.create(null)
    const givenAs = new Map<string, string>()
    for (const [key, field] of Object.entries(value)) {
      const name = bySpelling.get(spelling(key))
      if (name !== undefined && givenAs.has(name)) {
        ctx.issues.push({ code: 'custom', message: `given twice, as ${givenAs.get(name)} and ${key}`, path: [name], input: value })
        continue
      }
      if (name !== undefined) givenAs.set(name, key)
      if (name === undefined || field !== null) out[name ?? key] = field
    }
    return out
  }, z.strictObject(shape))
}

/** A list; a single value stands for a list of one. Empty lists count as absent when made `optional`. */
export function list<T extends z.ZodType>(item: T) {
  return z.preprocess(
    value => (value === undefined || value === null || Array.isArray(value) ? value : [value]),
    z.array(item).max(MAX_ITEMS, `more than ${MAX_ITEMS} items`),
  )
}

/** A map with user-chosen keys, kept as they are, in an object without prototype. */
export function userMap<T extends z.ZodType>(value: T) {
  return z.preprocess(
    (raw, ctx) => {
      const map = unwrapBlock(raw)
      // zod drops this key without a word; nobody means it, so say so.
      if (isPlainObject(map) && Object.hasOwn(map, '__proto__')) {
        ctx.issues.push({ code: 'custom', message: 'the key "__proto__" is not allowed', input: map })
      }
      return map
    },
    z
      .record(z.string(), value)
      .refine(map => Object.keys(map).length <= MAX_ITEMS, `more than ${MAX_ITEMS} keys`)
      .transform(map => Object.assign(Object.create(null) as Record<string, z.output<T>>, map)),
  )
}

const absentIfEmpty = (value: unknown) => (value === '' || value === null ? undefined : value)

export const text = z.string('must be a string')
/** A string; "" and absent are the same. */
export const optionalText = z.preprocess(absentIfEmpty, text.optional())
export const texts = list(text)

const toBoolean = (value: unknown) => (value === 'true' || value === '1' ? true : value === 'false' || value === '0' ? false : value)
/** A flag; false and absent are the same. */
export const flag = z.preprocess(toBoolean, z.boolean('must be true or false').optional()).transform(value => value || undefined)
/** A flag whose `false` means something. */
export const explicitFlag = z.preprocess(toBoolean, z.boolean('must be true or false').optional())

const toNumber = (value: unknown) => (typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : absentIfEmpty(value))

export const number = z.preprocess(toNumber, z.number('must be a number'))

export function integer(min: number, max = 2 ** 32 - 1) {
  const range = `must be a whole number from ${min} to ${max}`
  return z.preprocess(toNumber, z.number(range).int(range).min(min, range).max(max, range))
}

export const optionalInteger = (min: number, max?: number) => z.preprocess(absentIfEmpty, integer(min, max).optional())

/** One of `values`, compared without case where Consul does; "" and absent are the same. */
export function choice<const V extends readonly string[]>(values: V, options: { lowerCase?: boolean; also?: readonly string[] } = {}) {
  const reason = `must be one of ${values.join(', ')}`
  return z.preprocess(value => {
    if (value === '' || value === null || (typeof value === 'string' && options.also?.includes(value))) return undefined
    return typeof value === 'string' && options.lowerCase ? value.toLowerCase() : value
  }, z.enum(values, reason).optional())
}

/** A Go duration string or a number of nanoseconds; comes out as Go prints it, zero as absent. */
export const duration = z.preprocess(
  absentIfEmpty,
  z
    .union([z.string(), z.number()], 'must be a duration such as "5s"')
    .optional()
    .transform((value, ctx) => {
      if (value === undefined) return undefined
      const ns = typeof value === 'number' ? value : parseDuration(value)
      if (ns === undefined || !Number.isSafeInteger(ns)) {
        ctx.issues.push({
          code: 'custom',
          message: `not a duration: ${JSON.stringify(value)} (write "5s", "1m30s", "250ms")`,
          input: value,
        })
        return z.NEVER
      }
      return ns === 0 ? undefined : formatDuration(ns)
    }),
)

/** `value` optional, and absent when it is an empty list or an empty object would say nothing. */
export function optional<T extends z.ZodType>(schema: T) {
  return z.preprocess(value => (value === null || (Array.isArray(value) && value.length === 0) ? undefined : value), schema.optional())
}
