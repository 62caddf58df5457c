// What HTTP/2 must know about a header name, worked out once per name instead of once per field: whether it is legal, whether it is
// a pseudo-header, forbidden, or framing, and how the encoder may index it. Shared by all connections through a bounded cache.
// Called by hpack-decoder and hpack-encoder; the kinds are switched on by request-fields, response-fields and trailer-fields.

/** How a field takes part in the message. The numbers are dense so that a switch on them is a jump table. */
export const NameKind = {
  REGULAR: 0,
  METHOD: 1,
  SCHEME: 2,
  AUTHORITY: 3,
  PATH: 4,
  STATUS: 5,
  PROTOCOL: 6,
  /** A name that starts with `:` and is none of the above. */
  UNKNOWN_PSEUDO: 7,
  /** connection, keep-alive, proxy-connection, transfer-encoding, upgrade (RFC 9113 §8.2.2). */
  CONNECTION_SPECIFIC: 8,
  TE: 9,
  HOST: 10,
  COOKIE: 11,
  CONTENT_LENGTH: 12,
  EXPECT: 13,
  /** Not a lower-case token (RFC 9113 §8.2.1). */
  INVALID: 14,
} as const

/** Whether the encoder puts a field into the dynamic table. */
export const Indexing = {
  /** At first sight. */
  ALWAYS: 0,
  /** Once the same value came twice running: values that usually differ from message to message. */
  WHEN_REPEATED: 1,
  /** Literal, never indexed, here nor by an intermediary (RFC 7541 §7.1.3). */
  NEVER: 2,
  /** Cookie: short ones could be guessed by probing the table, so they are never indexed. */
  UNLESS_SHORT: 3,
} as const

/** One header name; the same object for equal names while the cache has room. */
export interface HeaderName {
  readonly name: string
  /** NameKind. */
  readonly kind: number
  /** Indexing. */
  readonly indexing: number
  /** Holds `_` (Envoy's headers_with_underscores_action). */
  readonly underscore: boolean
}

const KINDS = new Map<string, number>([
  [':method', NameKind.METHOD],
  [':scheme', NameKind.SCHEME],
  [':authority', NameKind.AUTHORITY],
  [':path', NameKind.PATH],
  [':status', NameKind.STATUS],
  [':protocol', NameKind.PROTOCOL],
  ['connection', NameKind.CONNECTION_SPECIFIC],
  ['keep-alive', NameKind.CONNECTION_SPECIFIC],
  ['proxy-connection', NameKind.CONNECTION_SPECIFIC],
  ['transfer-encoding', NameKind.CONNECTION_SPECIFIC],
  ['upgrade', NameKind.CONNECTION_SPECIFIC],
  ['te', NameKind.TE],
  ['host', NameKind.HOST],
  ['cookie', NameKind.COOKIE],
  ['content-length', NameKind.CONTENT_LENGTH],
  ['expect', NameKind.EXPECT],
])

const CHANGING_NAMES =
  ':path content-length date etag last-modified expires age location set-cookie if-none-match if-modified-since if-match if-range range ' +
  'content-range referer x-request-id x-correlation-id traceparent tracestate grpc-timeout grpc-trace-bin x-b3-traceid x-b3-spanid ' +
  'x-b3-parentspanid x-envoy-upstream-service-time x-envoy-expected-rq-timeout-ms x-amzn-trace-id x-forwarded-for sec-websocket-key ' +
  'sec-websocket-accept'

const INDEXING = new Map<string, number>([
  ['authorization', Indexing.NEVER],
  ['proxy-authorization', Indexing.NEVER],
  ['cookie', Indexing.UNLESS_SHORT],
])
for (const name of CHANGING_NAMES.split(' ')) INDEXING.set(name, Indexing.WHEN_REPEATED)

/** 1 for octets allowed in an HTTP/2 field name: token characters without upper case. */
export const NAME_OCTETS = octets(c => "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz".includes(String.fromCharCode(c)))

/** 1 for octets allowed in a method: token characters. */
export const TOKEN_OCTETS = octets(c => NAME_OCTETS[c] === 1 || (c >= 0x41 && c <= 0x5a))

/** 1 for octets allowed in a field value (RFC 9110 §5.5): visible, obs-text, SP and HTAB. */
export const VALUE_OCTETS = octets(c => c === 9 || (c >= 0x20 && c !== 0x7f))

/** 1 for octets allowed in a request target: no controls, no space. */
export const PATH_OCTETS = octets(c => c > 0x20 && c !== 0x7f)

/** 1 for octets allowed in an authority: RFC 3986 reg-name, IP literals and port; no userinfo `@` (RFC 9113 §8.3.1). */
export const AUTHORITY_OCTETS = octets(c =>
  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=:[]".includes(String.fromCharCode(c)),
)

function octets(allowed: (octet: number) => boolean): Uint8Array {
  const table = new Uint8Array(256)
  for (let octet = 0; octet < 256; octet++) table[octet] = allowed(octet) ? 1 : 0
  return table
}

/** Every character is below 256 and marked in `table`; an empty text passes. */
export function hasOnly(table: Uint8Array, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (table[text.charCodeAt(i)] !== 1) return false
  return true
}

const MAX_CACHED_NAMES = 4096
const MAX_CACHED_NAME_LENGTH = 64
const cache = new Map<string, HeaderName>()

/** The properties of a name. HOT: once per field that is not in an HPACK table. */
export function headerName(name: string): HeaderName {
  const known = cache.get(name)
  if (known !== undefined) return known
  const made: HeaderName = {
    name,
    kind: kindOf(name),
    indexing: INDEXING.get(name) ?? Indexing.ALWAYS,
    underscore: name.includes('_'),
  }
  if (cache.size < MAX_CACHED_NAMES && name.length <= MAX_CACHED_NAME_LENGTH) cache.set(name, made)
  return made
}

function kindOf(name: string): number {
  const known = KINDS.get(name)
  if (known !== undefined) return known
  if (name.length === 0) return NameKind.INVALID
  if (name.charCodeAt(0) === 0x3a) return NameKind.UNKNOWN_PSEUDO
  return hasOnly(NAME_OCTETS, name) ? NameKind.REGULAR : NameKind.INVALID
}
