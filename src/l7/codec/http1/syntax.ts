// The character rules of HTTP/1.1 messages (RFC 9110 §5.6.2 token, §5.5 field value; RFC 9112 §3.2 request target) and the
// framing fields a codec must understand. Pure; used by both directions.

import { lowerHeaderName } from '../header-list.js'

const TOKEN = new Uint8Array(256)
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") TOKEN[c.charCodeAt(0)] = 1

/** RFC 9110 §5.6.2. */
export function isToken(text: string): boolean {
  if (text.length === 0) return false
  for (let i = 0; i < text.length; i++) if (TOKEN[text.charCodeAt(i)] !== 1) return false
  return true
}

/**
 * A control character that no head may hold (all but HTAB and the CRLF line ends), a CR not followed by LF, or an LF not
 * preceded by CR: the characters by which two parsers come to see two messages (CVE-2019-9900, CVE-2023-30589, CVE-2022-32214).
 */
export const ILLEGAL_IN_HEAD = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]|[^\r]\n|^\n/

/** Any character that may not stand in a request target: controls, space, DEL. */
export const ILLEGAL_IN_TARGET = /[\0-\x20\x7f]/

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

export interface FieldName {
  readonly lower: string
  readonly kind: number
  readonly underscore: boolean
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

const MAX_CACHED_NAMES = 4096
const MAX_CACHED_NAME_LENGTH = 64
const fieldNames = new Map<string, FieldName>()

/** HOT: one Map look-up for a name seen before (bench/micro/http1-codec). Null when the name is not a token. */
export function fieldName(raw: string): FieldName | null {
  const known = fieldNames.get(raw)
  if (known !== undefined) return known
  if (!isToken(raw)) return null
  const lower = lowerHeaderName(raw)
  const name: FieldName = { lower, kind: KINDS.get(lower) ?? FIELD_KIND.other, underscore: lower.includes('_') }
  if (fieldNames.size < MAX_CACHED_NAMES && raw.length <= MAX_CACHED_NAME_LENGTH) fieldNames.set(raw, name)
  return name
}

/**
 * Fields that a peer's `Connection` header may not strip: they decide framing, routing, identity or trust
 * (CVE-2024-45410, CVE-2026-33805). All of `x-forwarded-*` and `x-envoy-*` too.
 */
const PROTECTED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'authorization',
  'cookie',
  'x-request-id',
  'traceparent',
  'tracestate',
  'set-cookie',
  'content-type',
  'content-encoding',
  'cache-control',
  'location',
])

export function mayStrip(lower: string): boolean {
  return !(lower.startsWith(':') || lower.startsWith('x-forwarded-') || lower.startsWith('x-envoy-') || PROTECTED.has(lower))
}

/** 1*DIGIT within a safe integer, or -1 (RFC 9110 §8.6: no sign, no list, no blanks inside). */
export function parseContentLength(value: string): number {
  const length = value.length
  if (length === 0 || length > 15) return -1
  let n = 0
  for (let i = 0; i < length; i++) {
    const digit = value.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return -1
    n = n * 10 + digit
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
