// HPACK's static table (RFC 7541 Appendix A), in the two shapes that are needed: by index for the decoder, by name for the encoder.

import { type HeaderName, headerName } from './header-names.js'

// biome-ignore format: one entry a line would be three screens
const ENTRIES: readonly (readonly [string, string])[] = [
  [':authority', ''], [':method', 'GET'], [':method', 'POST'], [':path', '/'], [':path', '/index.html'], [':scheme', 'http'],
  [':scheme', 'https'], [':status', '200'], [':status', '204'], [':status', '206'], [':status', '304'], [':status', '400'],
  [':status', '404'], [':status', '500'], ['accept-charset', ''], ['accept-encoding', 'gzip, deflate'], ['accept-language', ''],
  ['accept-ranges', ''], ['accept', ''], ['access-control-allow-origin', ''], ['age', ''], ['allow', ''], ['authorization', ''],
  ['cache-control', ''], ['content-disposition', ''], ['content-encoding', ''], ['content-language', ''], ['content-length', ''],
  ['content-location', ''], ['content-range', ''], ['content-type', ''], ['cookie', ''], ['date', ''], ['etag', ''], ['expect', ''],
  ['expires', ''], ['from', ''], ['host', ''], ['if-match', ''], ['if-modified-since', ''], ['if-none-match', ''], ['if-range', ''],
  ['if-unmodified-since', ''], ['last-modified', ''], ['link', ''], ['location', ''], ['max-forwards', ''],
  ['proxy-authenticate', ''], ['proxy-authorization', ''], ['range', ''], ['referer', ''], ['refresh', ''], ['retry-after', ''],
  ['server', ''], ['set-cookie', ''], ['strict-transport-security', ''], ['transfer-encoding', ''], ['user-agent', ''], ['vary', ''],
  ['via', ''], ['www-authenticate', ''],
]

export const STATIC_TABLE_LENGTH = ENTRIES.length

/** Names by index, 1 to 61; index 0 is a filler. */
export const STATIC_NAMES: readonly HeaderName[] = [headerName(''), ...ENTRIES.map(entry => headerName(entry[0]))]

/** Values by index, 1 to 61. */
export const STATIC_VALUES: readonly string[] = ['', ...ENTRIES.map(entry => entry[1])]

/** The static entries of one name: the first index, and the indexes of the values that it has (none when the only value is ''). */
export interface StaticName {
  readonly index: number
  readonly values: readonly string[]
}

/** Lower-case name to its entries. The value at `values[i]` has index `index + i`: entries of one name stand together. */
export const STATIC_BY_NAME: ReadonlyMap<string, StaticName> = byName()

function byName(): Map<string, StaticName> {
  const map = new Map<string, StaticName>()
  for (let i = 0; i < ENTRIES.length; i++) {
    const [name, value] = ENTRIES[i]!
    const known = map.get(name)
    if (known === undefined) map.set(name, { index: i + 1, values: value === '' ? [] : [value] })
    else map.set(name, { index: known.index, values: [...known.values, value] })
  }
  return map
}
