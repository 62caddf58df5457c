// Makes a request head of a decoded header block, or says why it is malformed (RFC 9113 §8.2, §8.3, RFC 8441 §4). Called by
// server-codec.ts. Everything a downgrade to HTTP/1 could trip over is refused here: nothing in a head that passes can change the
// framing, the target or the host of a message written from it.

import type { HeadLimits, RequestHead } from '../codec.js'
import { HeaderList } from '../header-list.js'
import { AUTHORITY_OCTETS, hasOnly, NameKind, PATH_OCTETS, TOKEN_OCTETS } from './header-names.js'
import type { DecodedBlock } from './hpack-decoder.js'

/** Envoy's response_code_details of the HTTP/2 codec: of one field, and of the message as a whole. */
export const INVALID_FIELD = 'http2.invalid.header.field'
export const MESSAGING_RULE = 'http2.violation.of.messaging.rule'
export const UNDERSCORE = 'http2.unexpected_underscore'

/** Why a block is malformed. */
export interface Malformed {
  /** One of the details above. */
  readonly details: string
  readonly reason: string
}

function malformed(details: string, reason: string): Malformed {
  return { details, reason }
}

export function isMalformed(result: object): result is Malformed {
  return 'reason' in result && 'details' in result
}

/** A valid head and what was left out of it. */
export interface ParsedRequest {
  readonly head: RequestHead
  /** Fields dropped for an underscore in their name. */
  readonly dropped: number
}

/** @param connectProtocol we announced SETTINGS_ENABLE_CONNECT_PROTOCOL */
export function parseRequest(
  block: DecodedBlock,
  underscores: HeadLimits['underscores'],
  connectProtocol: boolean,
): ParsedRequest | Malformed {
  if (block.badValue) return malformed(INVALID_FIELD, 'a field value holds a control character or is surrounded by space')
  const headers = new HeaderList()
  let method = ''
  let scheme = ''
  let authority: string | null = null
  let path: string | null = null
  let protocol = ''
  let host: string | null = null
  let cookieAt = -1
  let contentLength = -1
  let expectContinue = false
  let dropped = 0
  let regular = false
  let schemeSeen = false
  const names = block.names
  const values = block.values
  for (let i = 0; i < block.count; i++) {
    const name = names[i]!
    const value = values[i]!
    const kind = name.kind
    if (kind >= NameKind.METHOD && kind <= NameKind.UNKNOWN_PSEUDO) {
      if (regular) return malformed(INVALID_FIELD, `pseudo-header ${printable(name.name)} after a regular field`)
      switch (kind) {
        case NameKind.METHOD:
          if (method !== '') return repeated(':method')
          if (value === '' || !hasOnly(TOKEN_OCTETS, value)) return malformed(INVALID_FIELD, ':method is not a token')
          method = value
          break
        case NameKind.SCHEME:
          if (schemeSeen) return repeated(':scheme')
          schemeSeen = true
          // Compared and forwarded in lower case (CVE-2023-35944).
          scheme = value === 'http' || value === 'https' ? value : value.toLowerCase()
          if (scheme !== 'http' && scheme !== 'https' && !SCHEME.test(scheme)) return malformed(INVALID_FIELD, ':scheme is none')
          break
        case NameKind.AUTHORITY:
          if (authority !== null) return repeated(':authority')
          if (!hasOnly(AUTHORITY_OCTETS, value)) return malformed(INVALID_FIELD, ':authority holds an illegal character')
          authority = value
          break
        case NameKind.PATH:
          if (path !== null) return repeated(':path')
          if (!hasOnly(PATH_OCTETS, value)) return malformed(INVALID_FIELD, ':path holds a space or control character')
          path = value
          break
        case NameKind.PROTOCOL:
          if (protocol !== '') return repeated(':protocol')
          if (value === '' || !hasOnly(TOKEN_OCTETS, value)) return malformed(INVALID_FIELD, ':protocol is not a token')
          protocol = value.toLowerCase()
          break
        default:
          return malformed(INVALID_FIELD, `pseudo-header ${printable(name.name)} in a request`)
      }
      continue
    }
    regular = true
    switch (kind) {
      case NameKind.REGULAR:
        if (name.underscore && underscores !== 'ALLOW') {
          if (underscores === 'REJECT_REQUEST') return malformed(UNDERSCORE, `header name ${name.name} holds an underscore`)
          dropped++
        } else headers.appendParsed(name.name, name.name, value)
        break
      case NameKind.TE:
        if (value.toLowerCase() !== 'trailers') return malformed(INVALID_FIELD, 'te is not "trailers"')
        headers.appendParsed('te', 'te', 'trailers')
        break
      case NameKind.HOST:
        if (host !== null) return repeated('host')
        if (!hasOnly(AUTHORITY_OCTETS, value)) return malformed(INVALID_FIELD, 'host holds an illegal character')
        host = value
        break
      case NameKind.COOKIE:
        // Crumbs become one field again (RFC 9113 §8.2.3).
        if (cookieAt === -1) {
          cookieAt = headers.length
          headers.appendParsed('cookie', 'cookie', value)
        } else headers.values[cookieAt] = `${headers.values[cookieAt]}; ${value}`
        break
      case NameKind.CONTENT_LENGTH:
        if (contentLength !== -1) return repeated('content-length')
        contentLength = parseContentLength(value)
        if (contentLength === -1) return malformed(INVALID_FIELD, 'content-length is not a number')
        headers.appendParsed('content-length', 'content-length', value)
        break
      case NameKind.EXPECT:
        expectContinue = !headers.has('expect') && value.toLowerCase() === '100-continue'
        headers.appendParsed('expect', 'expect', value)
        break
      case NameKind.CONNECTION_SPECIFIC:
        return malformed(INVALID_FIELD, `connection-specific header ${name.name}`)
      default:
        return malformed(INVALID_FIELD, `illegal header name ${printable(name.name)}`)
    }
  }

  if (method === '') return malformed(MESSAGING_RULE, 'no :method')
  if (protocol !== '' && (method !== 'CONNECT' || !connectProtocol)) return malformed(INVALID_FIELD, ':protocol is not expected')
  if (method === 'CONNECT' && protocol === '') {
    if (schemeSeen || path !== null) return malformed(MESSAGING_RULE, 'CONNECT with :scheme or :path')
    if (authority === null || authority === '') return malformed(MESSAGING_RULE, 'CONNECT without :authority')
  } else {
    if (!schemeSeen) return malformed(MESSAGING_RULE, 'no :scheme')
    if (path === null) return malformed(MESSAGING_RULE, 'no :path')
    // A path without a leading slash would pass rules written for paths (CVE-2026-33186).
    if (path.charCodeAt(0) !== 0x2f && !(path === '*' && method === 'OPTIONS')) {
      return malformed(INVALID_FIELD, ':path does not begin with a slash')
    }
    if (protocol !== '' && (authority === null || authority === '')) return malformed(MESSAGING_RULE, 'CONNECT without :authority')
  }
  // One host, whichever field is read (CVE-2021-39242).
  if (host !== null && authority !== null && host !== authority && host.toLowerCase() !== authority.toLowerCase()) {
    return malformed(MESSAGING_RULE, 'host differs from :authority')
  }
  const head: RequestHead = {
    method,
    scheme,
    authority: authority ?? host ?? '',
    path: path ?? '',
    version: 'HTTP/2',
    headers,
    upgrade: protocol,
    contentLength: method === 'CONNECT' ? -1 : contentLength,
    hostName: 'host',
    expectContinue,
  }
  return { head, dropped }
}

/** RFC 3986 §3.1, in lower case. Whatever it is, the connection manager makes it http or https. */
const SCHEME = /^[a-z][a-z0-9+.-]*$/

function repeated(name: string): Malformed {
  return malformed(INVALID_FIELD, `${name} is repeated`)
}

/** A head of the same content that its owner may change. */
export function copyRequest(head: RequestHead): RequestHead {
  return {
    method: head.method,
    scheme: head.scheme,
    authority: head.authority,
    path: head.path,
    version: 'HTTP/2',
    headers: copyFields(head.headers),
    upgrade: head.upgrade,
    contentLength: head.contentLength,
    hostName: 'host',
    expectContinue: head.expectContinue,
  }
}

/** HOT: three array copies instead of three pushes per field. */
export function copyFields(list: HeaderList): HeaderList {
  const copy = new HeaderList() as { raw: string[]; lower: string[]; values: string[] }
  copy.raw = list.raw.slice()
  copy.lower = list.lower.slice()
  copy.values = list.values.slice()
  return copy as HeaderList
}

/** Digits only (RFC 9110 §8.6), at most fifteen of them count; -1 otherwise. */
export function parseContentLength(value: string): number {
  if (value === '' || value.length > 19) return -1
  let length = 0
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return -1
    length = length * 10 + digit
  }
  return length <= Number.MAX_SAFE_INTEGER ? length : -1
}

/** Trailer fields of either direction (RFC 9113 §8.1): no pseudo-headers, none of the fields that frame or route a message. */
export function parseTrailers(block: DecodedBlock, underscores: HeadLimits['underscores']): HeaderList | Malformed {
  if (block.badValue) return malformed(INVALID_FIELD, 'a trailer value holds a control character or is surrounded by space')
  const trailers = new HeaderList()
  for (let i = 0; i < block.count; i++) {
    const name = block.names[i]!
    switch (name.kind) {
      case NameKind.REGULAR:
      case NameKind.COOKIE:
      case NameKind.EXPECT:
        if (name.underscore && underscores !== 'ALLOW') {
          if (underscores === 'REJECT_REQUEST') return malformed(UNDERSCORE, `trailer name ${name.name} holds an underscore`)
        } else trailers.appendParsed(name.name, name.name, block.values[i]!)
        break
      case NameKind.HOST:
      case NameKind.CONTENT_LENGTH:
        // Meaningless in trailers, and dangerous once merged into a head (RFC 9110 §6.5.1): left out.
        break
      case NameKind.TE:
        if (block.values[i]!.toLowerCase() !== 'trailers') return malformed(INVALID_FIELD, 'te is not "trailers"')
        break
      case NameKind.CONNECTION_SPECIFIC:
        return malformed(INVALID_FIELD, `connection-specific trailer ${name.name}`)
      case NameKind.INVALID:
        return malformed(INVALID_FIELD, `illegal trailer name ${printable(name.name)}`)
      default:
        return malformed(INVALID_FIELD, `pseudo-header ${printable(name.name)} in trailers`)
    }
  }
  return trailers
}

/** A name of the peer's, fit for a log line. */
export function printable(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name)
}
