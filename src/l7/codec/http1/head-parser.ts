// One HTTP/1.1 head as text to a RequestHead or ResponseHead, or the reason it is refused. Pure: no socket, no state.
// Called by server-codec and client-codec with the bytes up to and including the last header line's CRLF, as latin1.
// Requests are strict (RFC 9112: what is ambiguous is refused); responses are mended where §5.1 and §5.2 say so.
// HOT: every request and response (bench/micro/http1-codec.bench.ts).

import type { CodecError, HeadLimits, HttpVersion, RequestHead, ResponseHead } from '../codec.js'
import type { HeaderList } from '../header-list.js'
import { codecError, FieldSection, refuse } from './field-section.js'
import { type Section, sectionOf } from './head-reader.js'
import {
  hasToken,
  isAuthority,
  isKnownMethod,
  isProtected,
  isToken,
  isUpgradeList,
  isUrlAuthority,
  mayNominate,
  TOKEN,
  trimOws,
} from './syntax.js'

/** How the body of a message is delimited (RFC 9112 §6.3). */
export type Framing = 'none' | 'length' | 'chunked' | 'close'

/** What Http1ProtocolOptions leave to the operator. */
export interface RequestRules {
  readonly allowAbsoluteUrl: boolean
  readonly allowCustomMethods: boolean
}

export interface ParsedRequest {
  readonly head: RequestHead
  readonly framing: Framing
  /** False: `Connection: close`, or HTTP/1.0 without keep-alive. */
  readonly keepAlive: boolean
}

export interface ParsedResponse {
  readonly head: ResponseHead
  readonly framing: Framing
  readonly keepAlive: boolean
  /** Seconds of `Keep-Alive: timeout=`, -1 when absent: how long the peer keeps an idle connection. */
  readonly keepAliveTimeoutS: number
}

const bad = (details: string, message: string): CodecError => codecError(400, details, message)
const badResponse = (message: string): CodecError => refuse('response', message)

const fields = new FieldSection()

/** RFC 9112 §3. */
export function parseRequestHead(section: Section, limits: HeadLimits, rules: RequestRules): ParsedRequest | CodecError {
  const { bytes, base, text } = section
  let i = base
  while (TOKEN[bytes[i]!] === 1) i++
  if (i === base || bytes[i] !== 32) return bad('http1.codec_error', 'malformed request line: the method is not a token')
  const method = text.slice(0, i - base)
  if (!rules.allowCustomMethods && !isKnownMethod(method)) return bad('http1.codec_error', 'unknown method (allow_custom_methods)')
  const targetStart = ++i
  let c = bytes[i]!
  while (c > 32 && c < 127) c = bytes[++i]!
  if (c !== 32) {
    return c === 13
      ? bad('http1.codec_error', 'the request line must end with HTTP/1.1 or HTTP/1.0')
      : bad('http1.invalid_url', 'a character that may not stand in a request target')
  }
  const target = text.slice(targetStart - base, i - base)
  const lineEnd = i - base + 9
  const version = requestVersion(text, lineEnd - 8)
  if (version === null) return bad('http1.codec_error', 'the request line must end with HTTP/1.1 or HTTP/1.0')

  const error = fields.read(section, lineEnd + 2, limits, 'request')
  if (error !== null) return error
  if (fields.hosts > 1) return bad('http1.codec_error', 'more than one Host header')
  const { headers, host } = fields

  let framing: Framing = 'none'
  let contentLength = fields.contentLength
  if (fields.transferEncodings > 0) {
    if (contentLength !== -1)
      return bad('http1.content_length_and_chunked_not_allowed', 'both Content-Length and Transfer-Encoding (RFC 9112 §6.1)')
    if (fields.transferEncodings > 1) return bad('http1.invalid_transfer_encoding', 'more than one Transfer-Encoding header')
    if (version === 'HTTP/1.0') return bad('http1.invalid_transfer_encoding', 'Transfer-Encoding in an HTTP/1.0 request')
    const refused = checkTransferEncoding(fields.transferEncoding!)
    if (refused !== null) return refused
    framing = 'chunked'
  } else if (contentLength > 0) framing = 'length'
  else contentLength = 0

  let keepAlive = version === 'HTTP/1.1'
  let upgrade = ''
  if (fields.connection !== null) {
    const options = fields.connection.toLowerCase()
    if (hasToken(options, 'close')) keepAlive = false
    else if (hasToken(options, 'keep-alive')) keepAlive = true
    if (!mayNominate(options)) return bad('http1.connection_header_rejected', 'Connection names a field that it may not')
    if (fields.upgrade !== null && version === 'HTTP/1.1' && hasToken(options, 'upgrade')) {
      if (!isUpgradeList(fields.upgrade)) return codecError(403, 'upgrade_failed', 'malformed Upgrade')
      upgrade = upgradeToken(fields.upgrade)
    }
    stripNominated(headers, options)
  }

  let scheme = ''
  let authority = host ?? ''
  let path = target
  if (host !== null && host !== '' && !isAuthority(host)) return bad('http1.codec_error', 'invalid Host header')
  if (method === 'CONNECT') {
    if (!isAuthority(target) || !HOST_AND_PORT.test(target)) return bad('http1.invalid_url', 'CONNECT needs a host:port target')
    authority = target
    path = ''
  } else if (target.charCodeAt(0) !== 47) {
    if (target === '*') {
      if (method !== 'OPTIONS') return bad('http1.invalid_url', 'the target * goes with OPTIONS only')
    } else {
      const schemeLength = absoluteSchemeLength(target)
      if (schemeLength === 0 || !rules.allowAbsoluteUrl)
        return bad('http1.invalid_url', 'the request target is neither a path nor an http(s) URL')
      scheme = schemeLength === 7 ? 'http' : 'https'
      const rest = authorityEnd(target, schemeLength)
      // RFC 9112 §3.2.2: the target's authority replaces Host.
      authority = target.slice(schemeLength, rest)
      if (!isUrlAuthority(authority)) return bad('http1.invalid_url', 'invalid authority in the request target')
      // RFC 9112 §3.2.4: OPTIONS of a whole server.
      if (rest === target.length) path = method === 'OPTIONS' ? '*' : '/'
      else path = target.charCodeAt(rest) === 47 ? target.slice(rest) : `/${target.slice(rest)}`
    }
  }
  return {
    head: {
      method,
      scheme,
      authority,
      path,
      version,
      headers,
      upgrade,
      contentLength,
      hostName: fields.hostName,
      expectContinue: fields.expectContinue && version === 'HTTP/1.1',
    },
    framing,
    keepAlive,
  }
}

/**
 * RFC 9112 §4 and §6.3. The request's method and a 1xx/204/304 status decide whether a body can follow; `upgrade` is what the
 * request asked for, '' when nothing: a 101 must answer it.
 */
export function parseResponseHead(
  section: Section,
  limits: HeadLimits,
  requestMethod: string,
  upgrade: string,
): ParsedResponse | CodecError {
  const { text } = section
  const version = responseVersion(text)
  if (version === null) return badResponse('malformed status line')
  const status = statusAt(text, 9)
  if (status === -1) return badResponse('malformed status line')
  let i = 12
  let c = text.charCodeAt(i)
  if (c === 32) c = text.charCodeAt(++i)
  else if (c !== 13) return badResponse('malformed status line')
  const reasonStart = i
  while (c > 31 ? c !== 127 : c === 9) c = text.charCodeAt(++i)
  if (c !== 13 || text.charCodeAt(i + 1) !== 10) return badResponse('malformed status line')
  const reason = i > reasonStart ? text.slice(reasonStart, i) : ''

  let error = fields.read(section, i + 2, limits, 'response')
  if (error !== null && fields.folded) error = fields.read(sectionOf(unfold(text.slice(i + 2, section.end))), 0, limits, 'response')
  if (error !== null) return error
  const { headers } = fields

  let framing: Framing
  let contentLength = fields.contentLength
  const interim = status < 200
  if (interim || status === 204 || (requestMethod === 'CONNECT' && status < 300)) {
    // No body can follow whatever the fields say (RFC 9112 §6.3 1 and 2), and those that say so may not travel on.
    if (fields.transferEncodings > 0 && requestMethod !== 'CONNECT') return badResponse(`Transfer-Encoding in a ${status} response`)
    // As Envoy: an upstream that declares a body where none can be has lost track of its framing.
    if (contentLength > 0 && requestMethod !== 'CONNECT') return badResponse(`Content-Length in a ${status} response`)
    if (contentLength !== -1) headers.remove('content-length')
    contentLength = requestMethod === 'CONNECT' ? -1 : 0
    framing = 'none'
  } else if (fields.transferEncodings > 0) {
    if (fields.transferEncodings > 1 || contentLength !== -1)
      return badResponse('ambiguous framing: Transfer-Encoding twice or with Content-Length')
    if (checkTransferEncoding(fields.transferEncoding!) !== null) return badResponse('unsupported Transfer-Encoding')
    framing = requestMethod === 'HEAD' || status === 304 ? 'none' : 'chunked'
  } else if (requestMethod === 'HEAD' || status === 304) framing = 'none'
  else if (contentLength === -1) framing = 'close'
  else framing = contentLength === 0 ? 'none' : 'length'

  let keepAlive = version === 'HTTP/1.1'
  if (fields.connection !== null) {
    const options = fields.connection.toLowerCase()
    if (hasToken(options, 'close')) keepAlive = false
    else if (hasToken(options, 'keep-alive')) keepAlive = true
    stripNominated(headers, options)
  }
  // RFC 9112 §6.1: after Transfer-Encoding in HTTP/1.0 the connection cannot be trusted further; Envoy reads the message too.
  if (framing === 'close' || (version === 'HTTP/1.0' && fields.transferEncodings > 0)) keepAlive = false
  let upgraded = false
  if (status === 101) {
    // Only a 101 to a request that asked for this protocol switches (CVE-2024-23326, RFC 9110 §7.8).
    const switched = fields.upgrade || upgrade
    if (upgrade === '' || switched.includes(',') || !hasToken(upgrade, switched.toLowerCase()))
      return badResponse('101 to a protocol that was not asked for')
    upgraded = true
    headers.append('Upgrade', switched)
  } else if (status === 426 && fields.upgrade !== null && isUpgradeList(fields.upgrade)) headers.append('Upgrade', fields.upgrade)
  const head: ResponseHead = { status, reason, version, headers, contentLength, upgraded }
  return { head, framing, keepAlive, keepAliveTimeoutS: fields.keepAliveTimeoutS }
}

/** Trailer section: same rules; framing, routing, identity and connection fields are dropped (RFC 9110 §6.5.1). */
export function parseTrailers(section: Section, limits: HeadLimits): HeaderList | CodecError {
  return fields.read(section, 0, limits, 'trailers') ?? fields.headers
}

/** `HTTP/1.1` CR LF at `at`. */
function requestVersion(text: string, at: number): HttpVersion | null {
  if (text.startsWith('HTTP/1.1\r\n', at)) return 'HTTP/1.1'
  return text.startsWith('HTTP/1.0\r\n', at) ? 'HTTP/1.0' : null
}

/** A later minor version is read as the one that we know (RFC 9110 §2.5). */
function responseVersion(text: string): HttpVersion | null {
  if (text.startsWith('HTTP/1.1 ')) return 'HTTP/1.1'
  const minor = text.charCodeAt(7) - 48
  if (!text.startsWith('HTTP/1.') || minor < 0 || minor > 9 || text.charCodeAt(8) !== 32) return null
  return minor === 0 ? 'HTTP/1.0' : 'HTTP/1.1'
}

/** Three digits, 100 to 999, or -1. */
function statusAt(text: string, at: number): number {
  const a = text.charCodeAt(at) - 48
  const b = text.charCodeAt(at + 1) - 48
  const c = text.charCodeAt(at + 2) - 48
  return a >= 1 && a <= 9 && b >= 0 && b <= 9 && c >= 0 && c <= 9 ? a * 100 + b * 10 + c : -1
}

/** obs-fold becomes one SP (RFC 9112 §5.2). Not a regex: a long run of blanks must not cost its square. */
function unfold(lines: string): string {
  const out: string[] = []
  for (const line of lines.split('\r\n')) {
    const c = line.charCodeAt(0)
    const last = out.length - 1
    if ((c === 32 || c === 9) && last >= 0) out[last] = `${trimOws(out[last]!, 0, out[last]!.length)} ${trimOws(line, 0, line.length)}`
    else out.push(line)
  }
  return out.join('\r\n')
}

/**
 * Only `chunked`, alone. 501 for codings that we do not have (`gzip, chunked`, `zorg`); 400 where it is not certain that the body is
 * chunked: a malformed list, chunked twice or not last, something that only looks like it (CVE-2022-32213, CVE-2022-32215).
 */
function checkTransferEncoding(value: string): CodecError | null {
  const lower = value.toLowerCase()
  if (lower === 'chunked') return null
  const codings = lower.split(',').map(part => trimOws(part, 0, part.length))
  const last = codings.pop()!
  const others = codings.every(coding => isToken(coding) && !coding.includes('chunked'))
  if (others && (last === 'chunked' || (codings.length === 0 && isToken(last) && !last.includes('chunked'))))
    return codecError(501, 'http1.invalid_transfer_encoding', 'unsupported Transfer-Encoding')
  return bad('http1.invalid_transfer_encoding', 'malformed Transfer-Encoding')
}

/** Lower case; `h2c` is not seen, for that upgrade would carry requests past every rule (Envoy too). In a list it makes none of ours. */
function upgradeToken(value: string): string {
  const lower = value.toLowerCase()
  return lower === 'h2c' ? '' : lower
}

/** Remove the fields that `Connection` names (RFC 9110 §7.6.1), but never a protected one. */
function stripNominated(headers: HeaderList, options: string): void {
  if (options === 'close' || options === 'keep-alive' || options === 'upgrade') return
  const named = new Set<string>()
  for (const part of options.split(',')) named.add(trimOws(part, 0, part.length))
  for (let i = headers.length - 1; i >= 0; i--) {
    const lower = headers.lower[i]!
    if (named.has(lower) && !isProtected(lower)) headers.removeAt(i)
  }
}

function absoluteSchemeLength(target: string): 0 | 7 | 8 {
  const start = target.slice(0, 8).toLowerCase()
  if (start.startsWith('http://')) return 7
  return start === 'https://' ? 8 : 0
}

/** First of `/`, `?`, `#` at or after `from`, or the length. */
function authorityEnd(target: string, from: number): number {
  for (let i = from; i < target.length; i++) {
    const c = target.charCodeAt(i)
    if (c === 47 || c === 63 || c === 35) return i
  }
  return target.length
}

/** RFC 9110 §9.3.6: a CONNECT target without a port is refused. */
const HOST_AND_PORT = /:[0-9]+$/
