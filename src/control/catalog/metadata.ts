// Consul's limits of the metadata of services and nodes. Used where definitions are read.
import type { FieldReader } from '../config-entries/field-reader.js'

const MAX_PAIRS = 64
const MAX_KEY_CHARS = 128
const MAX_VALUE_CHARS = 512
const KEY = /^[A-Za-z0-9_-]+$/

/** As agents take it. */
export function checkMeta(fields: FieldReader, name: string, meta: Readonly<Record<string, string>>): void {
  for (const key of Object.keys(meta))
    if (!KEY.test(key))
      fields.fail(`${name}.${key.slice(0, MAX_KEY_CHARS)}`, 'key contains invalid characters (letters, digits, "_" and "-" are valid)')
  checkMetaSize(fields, name, meta)
}

/** As the catalog takes it, which leaves the keys to who registers. */
export function checkMetaSize(fields: FieldReader, name: string, meta: Readonly<Record<string, string>>): void {
  const pairs = Object.entries(meta)
  if (pairs.length > MAX_PAIRS) fields.fail(name, `cannot contain more than ${MAX_PAIRS} key/value pairs`)
  for (const [key, value] of pairs) {
    const shown = `${name}.${key.slice(0, MAX_KEY_CHARS)}`
    if (key.length === 0 || key.length > MAX_KEY_CHARS) fields.fail(shown, `key must be 1 to ${MAX_KEY_CHARS} characters`)
    if (value.length > MAX_VALUE_CHARS) fields.fail(shown, `value is too long (limit ${MAX_VALUE_CHARS} characters)`)
  }
}
