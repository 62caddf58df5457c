// Path and host of a request made canonical, once, before authorisation, matching and forwarding. Called by request-headers. Rules are
// Envoy's (ConnectionManagerUtility::maybeNormalizePath, PathUtil): escaped slashes, then RFC 3986 normalisation as the WHATWG URL
// code that Envoy uses does it, then merged slashes. The query is never touched. Invariant: normalising twice changes nothing more.
// HOT: a clean path costs one scan and allocates nothing.

import { isUtf8 } from 'node:buffer'
import type { RequestHead } from '../codec/codec.js'

export interface PathOptions {
  readonly normalizePath: boolean
  readonly mergeSlashes: boolean
  readonly pathWithEscapedSlashes: 'KEEP_UNCHANGED' | 'REJECT_REQUEST' | 'UNESCAPE_AND_REDIRECT' | 'UNESCAPE_AND_FORWARD'
}

export interface HostOptions {
  readonly stripMatchingHostPort: boolean
  readonly stripAnyHostPort: boolean
  readonly stripTrailingHostDot: boolean
}

export type PathRefusal = { readonly redirect: string } | { readonly status: number; readonly details: string }

/** Envoy supports no absolute paths here; the codec has taken the authority off absolute targets (also CVE-2026-33186). */
const NOT_A_PATH: PathRefusal = { status: 404, details: 'absolute_path_rejected' }
const REFUSED: PathRefusal = { status: 400, details: 'path_normalization_failed' }

const SLASH = 0x2f
const DOT = 0x2e
const PERCENT = 0x25
const BACKSLASH = 0x5c

/** What a character of a path asks for. Unreserved ones are unescaped when they come escaped; `escape` ones get escaped. */
const PLAIN = 0
const UNRESERVED = 1
const ESCAPE = 2
const SPECIAL = 3
const CLASS = new Uint8Array(256)
for (let c = 0; c < 256; c++) {
  const char = String.fromCharCode(c)
  if (c <= 0x20 || c >= 0x7f || '"<>^`{|}'.includes(char)) CLASS[c] = ESCAPE
  else if (/[A-Za-z0-9\-._~]/.test(char)) CLASS[c] = UNRESERVED
  else CLASS[c] = PLAIN
}
CLASS[SLASH] = SPECIAL
CLASS[BACKSLASH] = SPECIAL
CLASS[PERCENT] = SPECIAL

/** Null: `head.path` is canonical now. */
export function normalizePath(head: RequestHead, options: PathOptions): PathRefusal | null {
  const { path } = head
  if (path === '*' || path === '') return null
  if (path.charCodeAt(0) !== SLASH) return NOT_A_PATH
  let query = -1
  let dirty = false
  // One scan: find the query, and whether anything before it could need work.
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i)
    if (code === 0x3f) {
      query = i
      break
    }
    // RFC 9112 §3.2: a target has no fragment; an upstream that cuts it off would see another path than the rules did
    // (CVE-2021-32779, CVE-2021-39156, CVE-2023-45539).
    if (code === 0x23) return REFUSED
    if (code === SLASH) {
      const next = path.charCodeAt(i + 1)
      if (next === SLASH || next === DOT) dirty = true
    } else if (CLASS[code]! >= ESCAPE || code > 0xff) dirty = true
  }
  if (query !== -1 && path.indexOf('#', query) !== -1) return REFUSED
  if (!dirty) return null
  return normalizeSlow(head, query === -1 ? path.length : query, options)
}

function normalizeSlow(head: RequestHead, end: number, options: PathOptions): PathRefusal | null {
  const original = head.path
  const query = original.slice(end)
  let path = original.slice(0, end)
  let redirect = false
  if (options.pathWithEscapedSlashes !== 'KEEP_UNCHANGED' && /%(?:2f|5c)/i.test(path)) {
    if (options.pathWithEscapedSlashes === 'REJECT_REQUEST') return REFUSED
    path = path.replace(/%2f/gi, '/').replace(/%5c/gi, '\\')
    redirect = options.pathWithEscapedSlashes === 'UNESCAPE_AND_REDIRECT'
  }
  if (options.normalizePath) {
    const canonical = canonicalPath(path)
    if (canonical === null) return REFUSED
    path = canonical
  }
  if (options.mergeSlashes && path.includes('//')) path = path.replace(/\/{2,}/g, '/')
  head.path = path + query
  return redirect ? { redirect: head.path } : null
}

const HEX_UPPER = '0123456789ABCDEF'

function hexValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

/**
 * RFC 3986 §6.2.2 on a path without query: backslashes are slashes, escaped unreserved characters are unescaped once, characters that
 * may not stand in a path are escaped, dot segments are resolved, `..;x` counting as `..` (CVE-2026-73551). Null for %00, a raw NUL,
 * and bytes that are not UTF-8: no two programs read those alike.
 */
export function canonicalPath(path: string): string | null {
  if (/[^\x00-\x7f]/.test(path) && !isUtf8(Buffer.from(path, 'latin1'))) return null
  const decoded = unescapeUnreserved(path)
  return decoded === null ? null : resolveDots(decoded)
}

function unescapeUnreserved(path: string): string | null {
  let out = path.charCodeAt(0) === SLASH || path.charCodeAt(0) === BACKSLASH ? '' : '/'
  // A `%` that begins no escape stays, as in Envoy; but a digit unescaped right behind it would complete one for the next reader
  // (`%%32e` -> `%2e`). Such a digit stays escaped. -1: no such `%` near.
  let lonePercent = -1
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i)
    switch (CLASS[code]) {
      case SPECIAL: {
        if (code !== PERCENT) {
          out += '/'
          break
        }
        const high = hexValue(path.charCodeAt(i + 1))
        const low = hexValue(path.charCodeAt(i + 2))
        if (high === -1 || low === -1) {
          lonePercent = out.length
          out += '%'
          break
        }
        const value = high * 16 + low
        if (value === 0) return null
        const completes = lonePercent !== -1 && out.length - lonePercent <= 2 && hexValue(value) !== -1
        if (CLASS[value] === UNRESERVED && !completes) out += String.fromCharCode(value)
        else out += path.slice(i, i + 3)
        i += 2
        break
      }
      case ESCAPE:
        if (code === 0) return null
        out += `%${HEX_UPPER[code >> 4]}${HEX_UPPER[code & 15]}`
        break
      default:
        out += path[i]
    }
  }
  return out
}

/** 1: `.`, 2: `..`, 0: neither; path parameters do not count. */
function dots(segment: string): number {
  if (segment.charCodeAt(0) !== DOT) return 0
  const semicolon = segment.indexOf(';')
  const length = semicolon === -1 ? segment.length : semicolon
  if (length === 1) return 1
  return length === 2 && segment.charCodeAt(1) === DOT ? 2 : 0
}

function resolveDots(path: string): string {
  if (!path.includes('/.')) return path
  const segments = path.split('/')
  const out: string[] = ['']
  const last = segments.length - 1
  for (let i = 1; i <= last; i++) {
    const segment = segments[i]!
    const kind = dots(segment)
    if (kind === 0) out.push(segment)
    else {
      if (kind === 2 && out.length > 1) out.pop()
      // `/a/.` is the directory `/a/`.
      if (i === last) out.push('')
    }
  }
  if (out.length === 1) return '/'
  return out.join('/')
}

/** Ports and the trailing dot of the host, where the connection manager strips them. CONNECT keeps its port: it is the target. */
export function normalizeHost(head: RequestHead, options: HostOptions, localPort: number): void {
  if (options.stripTrailingHostDot) stripTrailingDot(head)
  if (head.method === 'CONNECT') return
  if (options.stripAnyHostPort) stripPort(head, -1)
  else if (options.stripMatchingHostPort) stripPort(head, localPort)
}

/** Index of the `:` before the port, or -1. */
export function portSeparator(authority: string): number {
  const colon = authority.lastIndexOf(':')
  if (colon === -1 || colon < authority.lastIndexOf(']')) return -1
  // More than one colon and no brackets: a bare IPv6 address, which has no port.
  if (authority.charCodeAt(0) !== 0x5b && authority.indexOf(':') !== colon) return -1
  return colon
}

function stripPort(head: RequestHead, onlyPort: number): void {
  const { authority } = head
  const colon = portSeparator(authority)
  if (colon === -1) return
  const port = authority.slice(colon + 1)
  if (!/^\d{1,5}$/.test(port)) return
  if (onlyPort === -1 || Number(port) === onlyPort) head.authority = authority.slice(0, colon)
}

function stripTrailingDot(head: RequestHead): void {
  const { authority } = head
  const colon = portSeparator(authority)
  const end = colon === -1 ? authority.length : colon
  if (end > 0 && authority.charCodeAt(end - 1) === DOT) head.authority = authority.slice(0, end - 1) + authority.slice(end)
}
