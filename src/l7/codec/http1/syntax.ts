// The character rules of HTTP/1.1 messages (RFC 9110 §5.6.2 token, §5.5 field value; RFC 9112 §3.2 request target) and the
// fields that a codec must understand. Pure; used by both directions.

import { lowerHeaderName } from '../header-list.js'

/** 1 for the characters of a token, by char code. */
export const TOKEN = new Uint8Array(256)
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") TOKEN[c.charCodeAt(0)] = 1

/** RFC 9110 §5.6.2. */
export function isToken(text: string): boolean {
  if (text.length === 0) return false
  for (let i = 0; i < text.length; i++) if (TOKEN[text.charCodeAt(i)] !== 1) return false
  return true
}

/** What Envoy takes without `allow_custom_methods`: the leftovers of a body that was cut short (`helloGET`) are none of these. */
const METHODS: ReadonlySet<string> = new Set(
  (
    'GET HEAD POST PUT DELETE OPTIONS PATCH CONNECT TRACE ACL BIND CHECKOUT COPY LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE ' +
    'MSEARCH NOTIFY PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE'
  ).split(' '),
)

export function isKnownMethod(method: string): boolean {
  return METHODS.has(method)
}

/** What we may write as a request target or host: nothing that ends either. Octets above 127 come from HTTP/2 paths, as in Envoy. */
export function isTarget(text: string): boolean {
  if (text.length === 0) return false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c <= 32 || c === 127 || c > 255) return false
  }
  return true
}

/** `protocol-name ["/" version]`, one or a list (RFC 9110 §7.8). CVE-2026-1527: nothing else may reach an Upgrade line. */
export function isUpgradeList(text: string): boolean {
  for (const part of text.split(',')) {
    const protocol = trimOws(part, 0, part.length)
    const slash = protocol.indexOf('/')
    if (slash === -1 ? !isToken(protocol) : !isToken(protocol.slice(0, slash)) || !isToken(protocol.slice(slash + 1))) return false
  }
  return true
}

/** What a header means to the codec; everything else is passed on. */
export const FIELD_KIND = {
  other: 0,
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  hopByHop: 5,
  upgrade: 6,
  te: 7,
  expect: 8,
} as const

/** A header name as it was spelled, and what is known about it. */
export interface FieldName {
  readonly raw: string
  readonly lower: string
  readonly kind: number
  readonly underscore: boolean
  /** `raw` as bytes. */
  readonly bytes: Uint8Array
}

const KINDS = new Map<string, number>([
  ['host', FIELD_KIND.host],
  ['content-length', FIELD_KIND.contentLength],
  ['transfer-encoding', FIELD_KIND.transferEncoding],
  ['connection', FIELD_KIND.connection],
  ['keep-alive', FIELD_KIND.hopByHop],
  ['proxy-connection', FIELD_KIND.hopByHop],
  ['http2-settings', FIELD_KIND.hopByHop],
  ['upgrade', FIELD_KIND.upgrade],
  ['te', FIELD_KIND.te],
  ['expect', FIELD_KIND.expect],
])

/** One name a slot, the newest wins: bounded, and junk from one peer can't keep real names out for good. Power of two. */
const NAME_SLOTS = 2048
const MAX_CACHED_NAME_LENGTH = 64
const names: (FieldName | null)[] = new Array<FieldName | null>(NAME_SLOTS).fill(null)

/** The step of the hash that `fieldName` wants, over the name's char codes, from 0. */
export function hashStep(hash: number, code: number): number {
  return (Math.imul(hash, 31) + code) | 0
}

/**
 * The name at [from, to) of `bytes`, which is a token with that hash. HOT: every field; a name seen before costs neither a substring
 * nor a look-up by string (bench/micro/http1-codec.bench.ts).
 */
export function fieldName(bytes: Uint8Array, from: number, to: number, hash: number): FieldName {
  const slot = (hash ^ (hash >>> 11)) & (NAME_SLOTS - 1)
  const known = names[slot]!
  const length = to - from
  if (known !== null && known.bytes.length === length) {
    const other = known.bytes
    let i = 0
    while (i < length && other[i] === bytes[from + i]) i++
    if (i === length) return known
  }
  const own = Uint8Array.prototype.slice.call(bytes, from, to)
  const raw = String.fromCharCode(...own)
  const lower = lowerHeaderName(raw)
  const name: FieldName = { raw, lower, kind: KINDS.get(lower) ?? FIELD_KIND.other, underscore: lower.includes('_'), bytes: own }
  if (length <= MAX_CACHED_NAME_LENGTH) names[slot] = name
  return name
}

/**
 * Fields that a peer's `Connection` header may not strip and that no trailer may set: they decide framing, routing, identity or
 * trust (CVE-2024-45410, CVE-2026-33805; RFC 9110 §6.5.1). All of `x-forwarded-*` and `x-envoy-*` too. `te` was reduced already.
 */
const PROTECTED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'authorization',
  'cookie',
  'te',
  'x-request-id',
  'traceparent',
  'tracestate',
  'set-cookie',
  'content-type',
  'content-encoding',
  'cache-control',
  'location',
])

export function isProtected(lower: string): boolean {
  return lower.startsWith(':') || lower.startsWith('x-forwarded-') || lower.startsWith('x-envoy-') || PROTECTED.has(lower)
}

/** May a field of this name stand in a trailer section that we write? Origins exist that merge trailers into the head. */
export function mayBeTrailer(lower: string): boolean {
  return !KINDS.has(lower) && !isProtected(lower)
}

/** 1*DIGIT of at most 15 significant digits, or -1 (RFC 9110 §8.6: no sign, no list, no blanks inside). */
export function parseContentLength(value: string): number {
  const length = value.length
  if (length === 0) return -1
  let n = 0
  for (let i = 0; i < length; i++) {
    const digit = value.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return -1
    n = n * 10 + digit
    if (n > 999_999_999_999_999) return -1
  }
  return n
}

/** Trim SP and HTAB only (OWS, RFC 9110 §5.6.3): String.trim would also take VT and NBSP. */
export function trimOws(text: string, from: number, to: number): string {
  while (from < to) {
    const c = text.charCodeAt(from)
    if (c !== 32 && c !== 9) break
    from++
  }
  while (to > from) {
    const c = text.charCodeAt(to - 1)
    if (c !== 32 && c !== 9) break
    to--
  }
  return text.slice(from, to)
}

/** Is `token` (lower case) in a lower-case comma list? */
export function hasToken(list: string, token: string): boolean {
  if (list === token) return true
  if (!list.includes(token)) return false
  for (const part of list.split(',')) if (trimOws(part, 0, part.length) === token) return true
  return false
}

/** Fields that one `Connection` may name (Envoy's bound). */
const MAX_NOMINATIONS = 10

/** As Envoy: a client may not nominate the fields that say where a message came from or goes to (CVE-2024-45410, CVE-2026-33805). */
export function mayNominate(options: string): boolean {
  if (options === 'keep-alive' || options === 'close' || options === 'upgrade') return true
  let nominations = 0
  for (const part of options.split(',')) {
    const name = trimOws(part, 0, part.length)
    if (name === '' || name === 'close' || name === 'keep-alive' || name === 'upgrade') continue
    if (++nominations > MAX_NOMINATIONS) return false
    if (name === 'host' || name.charCodeAt(0) === 58) return false
    if (name === 'x-forwarded-for' || name === 'x-forwarded-host' || name === 'x-forwarded-proto') return false
  }
  return true
}

/** The authority of an absolute request target, as strict as Envoy's: no escapes, no empty port, none beyond 65535. */
export function isUrlAuthority(text: string): boolean {
  const match = URL_AUTHORITY.exec(text)
  return match !== null && (match[1] === undefined || Number(match[1]) <= 65_535)
}

const URL_AUTHORITY = /^(?:[A-Za-z0-9\-.]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?$/
const AUTHORITY = /^(?:[A-Za-z0-9\-._~!$&'()*+;=%]+|\[[0-9A-Fa-f:.]+(?:%25?[A-Za-z0-9]+)?\])(?::[0-9]{0,5})?$/
let lastAuthority = ''

/** `host[:port]` of RFC 3986 without userinfo (`a@b` is refused) and without a list (`a, b`). HOT: mostly the same as the last. */
export function isAuthority(text: string): boolean {
  if (text === lastAuthority) return text !== ''
  if (!AUTHORITY.test(text)) return false
  lastAuthority = text
  return true
}
