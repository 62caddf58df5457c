// One HTTP/1.1 head as text to a RequestHead or ResponseHead, or the reason it is refused. Pure: no socket, no state.
// Called by server-codec and client-codec with the bytes up to and including the last header line's CRLF, as latin1.
// Requests are strict (RFC 9112: what is ambiguous is refused); responses are mended where §5.1 and §5.2 say so.
// HOT: every request and response; the string is scanned by indexOf and each field sliced once (bench/micro/http1-codec).

import type { CodecError, HeadLimits, HttpVersion, RequestHead, ResponseHead } from '../codec.js'
import { HeaderList } from '../header-list.js'
import { FIELD_KIND, fieldName, ILLEGAL_IN_HEAD, ILLEGAL_IN_TARGET, isToken, mayStrip, parseContentLength, trimOws } from './syntax.js'

/** How the body of a message is delimited (RFC 9112 §6.3). */
export type Framing = 'none' | 'length' | 'chunked' | 'close'

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

export function codecError(status: number, details: string, message: string, stat = ''): CodecError {
  return { status, details, message, stat }
}

const bad = (details: string, message: string): CodecError => codecError(400, details, message)

/** Collected while the fields of one head are read. Reused between heads: the parser is synchronous. */
class Fields {
  headers = new HeaderList()
  host: string | null = null
  hostName = 'Host'
  hosts = 0
  contentLength = -1
  transferEncoding: string | null = null
  transferEncodings = 0
  connection: string | null = null
  upgrade = ''
  te = false
  expectContinue = false
  keepAliveTimeoutS = -1

  reset(): void {
    this.headers = new HeaderList()
    this.host = null
    this.hostName = 'Host'
    this.hosts = 0
    this.contentLength = -1
    this.transferEncoding = null
    this.transferEncodings = 0
    this.connection = null
    this.upgrade = ''
    this.te = false
    this.expectContinue = false
    this.keepAliveTimeoutS = -1
  }
}

const fields = new Fields()

/** RFC 9112 §3. `text` = request line and header lines, each ended by CRLF. */
export function parseRequestHead(text: string, limits: HeadLimits, allowAbsoluteUrl: boolean): ParsedRequest | CodecError {
  if (ILLEGAL_IN_HEAD.test(text)) return bad('http1.invalid_characters', 'control character, bare CR or bare LF in the request head')
  const lineEnd = text.indexOf('\r\n')
  const methodEnd = text.indexOf(' ')
  if (methodEnd <= 0 || methodEnd > lineEnd) return bad('http1.codec_error', 'malformed request line')
  const targetEnd = lineEnd - 9
  const version = parseVersion(text, lineEnd)
  if (version === null || targetEnd <= methodEnd || text.charCodeAt(targetEnd) !== 32)
    return bad('http1.codec_error', 'the request line must end with HTTP/1.1 or HTTP/1.0')
  const method = text.slice(0, methodEnd)
  if (!isToken(method)) return bad('http1.codec_error', 'the method is not a token')
  const target = text.slice(methodEnd + 1, targetEnd)
  if (target.length === 0 || ILLEGAL_IN_TARGET.test(target))
    return bad('http1.invalid_url', 'white space or control character in the request target')

  fields.reset()
  const error = parseFields(text, lineEnd + 2, limits, true)
  if (error !== null) return error
  if (fields.hosts > 1) return bad('http1.codec_error', 'more than one Host header')
  const headers = fields.headers

  let framing: Framing = 'none'
  let contentLength = fields.contentLength
  if (fields.transferEncodings > 0) {
    if (fields.transferEncodings > 1) return bad('http1.invalid_transfer_encoding', 'more than one Transfer-Encoding header')
    if (contentLength !== -1)
      return bad('http1.content_length_and_chunked_not_allowed', 'both Content-Length and Transfer-Encoding (RFC 9112 §6.1)')
    if (version === 'HTTP/1.0') return bad('http1.invalid_transfer_encoding', 'Transfer-Encoding in an HTTP/1.0 request')
    const refused = checkTransferEncoding(fields.transferEncoding!)
    if (refused !== null) return refused
    framing = 'chunked'
    contentLength = -1
  } else if (contentLength > 0) framing = 'length'
  else contentLength = 0

  let keepAlive = version === 'HTTP/1.1'
  let upgrade = ''
  if (fields.connection !== null) {
    const options = fields.connection.toLowerCase()
    if (hasToken(options, 'close')) keepAlive = false
    else if (version === 'HTTP/1.0' && hasToken(options, 'keep-alive')) keepAlive = true
    if (fields.upgrade !== '' && hasToken(options, 'upgrade')) upgrade = fields.upgrade.toLowerCase()
    stripNominated(headers, options)
  } else if (version === 'HTTP/1.0') keepAlive = false

  let scheme = ''
  let authority = fields.host ?? ''
  let path = target
  if (method === 'CONNECT') {
    if (!isAuthority(target)) return bad('http1.invalid_url', 'CONNECT needs an authority-form target (host:port)')
    authority = target
    path = ''
  } else if (target.charCodeAt(0) !== 47) {
    if (target === '*') {
      if (method !== 'OPTIONS') return bad('http1.invalid_url', 'the target * goes with OPTIONS only')
    } else {
      const schemeLength = absoluteSchemeLength(target)
      if (schemeLength === 0 || !allowAbsoluteUrl)
        return bad('http1.invalid_url', 'the request target is neither a path nor an http(s) URL')
      scheme = schemeLength === 7 ? 'http' : 'https'
      const rest = indexOfAny(target, schemeLength)
      // RFC 9112 §3.2.2: the target's authority replaces Host.
      authority = target.slice(schemeLength, rest)
      path = rest === target.length ? '/' : target.charCodeAt(rest) === 47 ? target.slice(rest) : `/${target.slice(rest)}`
      if (authority === '') return bad('http1.invalid_url', 'the request target has an empty authority')
    }
  }
  if (fields.host !== null && fields.host !== '' && !isAuthority(fields.host)) return bad('http1.codec_error', 'invalid Host header')
  if (authority !== '' && authority !== fields.host && !isAuthority(authority))
    return bad('http1.invalid_url', 'invalid authority in the request target')

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

/** RFC 9112 §4 and §6.3. `requestMethod` and a 1xx/204/304 status decide whether a body can follow. */
export function parseResponseHead(text: string, limits: HeadLimits, requestMethod: string): ParsedResponse | CodecError {
  if (text.includes('\r\n ') || text.includes('\r\n\t')) text = text.replace(/[\t ]*\r\n[\t ]+/g, ' ') // obs-fold -> SP (RFC 9112 §5.2)
  if (ILLEGAL_IN_HEAD.test(text)) return badResponse('control character, bare CR or bare LF in the response head')
  const lineEnd = text.indexOf('\r\n')
  const version: HttpVersion | null = text.startsWith('HTTP/1.1 ') ? 'HTTP/1.1' : text.startsWith('HTTP/1.0 ') ? 'HTTP/1.0' : null
  if (version === null || lineEnd < 12) return badResponse('malformed status line')
  const status = parseContentLength(text.slice(9, 12))
  if (status < 100 || (lineEnd > 12 && text.charCodeAt(12) !== 32)) return badResponse('malformed status line')
  const reason = lineEnd > 13 ? text.slice(13, lineEnd) : ''

  fields.reset()
  const error = parseFields(text, lineEnd + 2, limits, false)
  if (error !== null) return error
  if (fields.hosts > 0) fields.headers.append(fields.hostName, fields.host ?? '')

  let framing: Framing
  let contentLength = fields.contentLength
  const bodiless = requestMethod === 'HEAD' || status < 200 || status === 204 || status === 304
  if (fields.transferEncodings > 0) {
    if (fields.transferEncodings > 1 || contentLength !== -1)
      return badResponse('ambiguous framing: Transfer-Encoding with Content-Length or twice')
    if (bodiless && requestMethod !== 'HEAD' && status !== 304) return badResponse(`Transfer-Encoding in a ${status} response`)
    if (version === 'HTTP/1.0') return badResponse('Transfer-Encoding in an HTTP/1.0 response')
    if (checkTransferEncoding(fields.transferEncoding!) !== null) return badResponse('unsupported Transfer-Encoding')
    framing = bodiless ? 'none' : 'chunked'
  } else if (bodiless) {
    framing = 'none'
    if (requestMethod !== 'HEAD' && status !== 304) contentLength = 0
  } else if (contentLength === -1) framing = 'close'
  else framing = contentLength === 0 ? 'none' : 'length'

  let keepAlive = version === 'HTTP/1.1'
  let upgraded = false
  if (fields.connection !== null) {
    const options = fields.connection.toLowerCase()
    if (hasToken(options, 'close')) keepAlive = false
    else if (version === 'HTTP/1.0' && hasToken(options, 'keep-alive')) keepAlive = true
    stripNominated(fields.headers, options)
  }
  if (status === 101) {
    upgraded = true
    fields.headers.append('Upgrade', fields.upgrade)
  }
  if (framing === 'close') keepAlive = false
  const head: ResponseHead = { status, reason, version, headers: fields.headers, contentLength, upgraded }
  return { head, framing, keepAlive, keepAliveTimeoutS: fields.keepAliveTimeoutS }
}

/** Trailer section: same field rules; framing and routing fields are dropped (RFC 9110 §6.5.1). */
export function parseTrailers(text: string, limits: HeadLimits): HeaderList | CodecError {
  if (ILLEGAL_IN_HEAD.test(text)) return bad('http1.invalid_characters', 'control character, bare CR or bare LF in the trailers')
  fields.reset()
  const error = parseFields(text, 0, limits, true)
  if (error !== null) return error
  return fields.headers
}

function badResponse(message: string): CodecError {
  return codecError(502, 'upstream_reset_before_response_started{protocol_error}', message)
}

function parseVersion(text: string, lineEnd: number): HttpVersion | null {
  if (text.startsWith('HTTP/1.1', lineEnd - 8)) return 'HTTP/1.1'
  if (text.startsWith('HTTP/1.0', lineEnd - 8)) return 'HTTP/1.0'
  return null
}

function parseFields(text: string, start: number, limits: HeadLimits, strict: boolean): CodecError | null {
  const headers = fields.headers
  const raws = headers.raw
  const lowers = headers.lower
  const values = headers.values
  const length = text.length
  let count = 0
  let position = start
  while (position < length) {
    const end = text.indexOf('\r\n', position)
    if (++count > limits.maxHeaders)
      return codecError(
        strict ? 431 : 502,
        'http1.too_many_headers',
        `more than ${limits.maxHeaders} headers (max_headers_count)`,
        'downstream_rq_too_many_headers',
      )
    const colon = text.indexOf(':', position)
    if (colon === -1 || colon > end) return fieldError(strict, 'a header line has no colon')
    const first = text.charCodeAt(position)
    if (first === 32 || first === 9) return fieldError(strict, 'obsolete line folding (RFC 9112 §5.2)')
    let nameEnd = colon
    if (!strict) while (nameEnd > position && (text.charCodeAt(nameEnd - 1) === 32 || text.charCodeAt(nameEnd - 1) === 9)) nameEnd--
    const raw = text.slice(position, nameEnd)
    const name = fieldName(raw)
    if (name === null) return fieldError(strict, 'invalid header name')
    // OWS around the value: nearly always exactly one SP before and none after.
    let from = colon + 1
    if (text.charCodeAt(from) === 32) from++
    const head = text.charCodeAt(from)
    const tail = text.charCodeAt(end - 1)
    const value = head === 32 || head === 9 || tail === 32 || tail === 9 ? trimOws(text, from, end) : text.slice(from, end)
    position = end + 2
    if (name.underscore && limits.underscores !== 'ALLOW') {
      if (limits.underscores === 'REJECT_REQUEST')
        return codecError(
          400,
          'http1.unexpected_underscore',
          'a header name holds an underscore',
          'http1.requests_rejected_with_underscores_in_headers',
        )
      continue
    }
    switch (name.kind) {
      case FIELD_KIND.other:
        break
      case FIELD_KIND.host:
        fields.hosts++
        fields.host = value
        fields.hostName = raw
        continue
      case FIELD_KIND.contentLength: {
        const parsed = parseContentLength(value)
        if (parsed === -1) return framingError(strict, 'invalid Content-Length')
        // Two of them are refused even when equal: nothing tells which one the next hop would take.
        if (fields.contentLength !== -1) return framingError(strict, 'more than one Content-Length')
        fields.contentLength = parsed
        break
      }
      case FIELD_KIND.transferEncoding:
        fields.transferEncodings++
        fields.transferEncoding = value
        continue
      case FIELD_KIND.connection:
        fields.connection = fields.connection === null ? value : `${fields.connection},${value}`
        continue
      case FIELD_KIND.hopByHop:
        if (name.lower === 'keep-alive') fields.keepAliveTimeoutS = keepAliveTimeout(value)
        continue
      case FIELD_KIND.upgrade:
        fields.upgrade = fields.upgrade === '' ? value : `${fields.upgrade}, ${value}`
        continue
      case FIELD_KIND.te:
        // `trailers` is end to end for gRPC and travels on; other codings are hop by hop (RFC 9110 §10.1.4).
        if (!hasToken(value.toLowerCase(), 'trailers') || fields.te) continue
        fields.te = true
        raws.push(raw)
        lowers.push('te')
        values.push('trailers')
        continue
      case FIELD_KIND.expect:
        if (value.toLowerCase() === '100-continue') fields.expectContinue = true
        break
    }
    raws.push(raw)
    lowers.push(name.lower)
    values.push(value)
  }
  return null
}

function fieldError(strict: boolean, message: string): CodecError {
  return strict ? bad('http1.codec_error', message) : badResponse(message)
}

function framingError(strict: boolean, message: string): CodecError {
  return strict ? bad('http1.codec_error', message) : badResponse(message)
}

/** Only `chunked`, alone: 501 for a coding we do not have, 400 for a list or a malformed one (CVE-2022-32213/-32215). */
function checkTransferEncoding(value: string): CodecError | null {
  const lower = value.toLowerCase()
  if (lower === 'chunked') return null
  if (isToken(lower) && !lower.includes('chunked'))
    return codecError(501, 'http1.invalid_transfer_encoding', 'unsupported Transfer-Encoding')
  return bad('http1.invalid_transfer_encoding', 'malformed Transfer-Encoding')
}

function hasToken(list: string, token: string): boolean {
  if (list === token) return true
  if (!list.includes(token)) return false
  for (const part of list.split(',')) if (trimOws(part, 0, part.length) === token) return true
  return false
}

/** Remove the fields that `Connection` names (RFC 9110 §7.6.1), but never a protected one. */
function stripNominated(headers: HeaderList, options: string): void {
  if (options === 'close' || options === 'keep-alive' || options === 'upgrade') return
  for (const part of options.split(',')) {
    const name = trimOws(part, 0, part.length)
    if (name === '' || name === 'close' || name === 'keep-alive' || name === 'upgrade') continue
    if (mayStrip(name)) headers.remove(name)
  }
}

function absoluteSchemeLength(target: string): 0 | 7 | 8 {
  const start = target.slice(0, 8).toLowerCase()
  if (start.startsWith('http://')) return 7
  return start === 'https://' ? 8 : 0
}

/** First of `/`, `?`, `#` at or after `from`, or the length. */
function indexOfAny(target: string, from: number): number {
  for (let i = from; i < target.length; i++) {
    const c = target.charCodeAt(i)
    if (c === 47 || c === 63 || c === 35) return i
  }
  return target.length
}

const AUTHORITY = /^(?:[A-Za-z0-9\-._~!$&'()*+;=%]+|\[[0-9A-Fa-f:.]+(?:%25?[A-Za-z0-9]+)?\])(?::[0-9]{0,5})?$/

/** `host[:port]` of RFC 3986 without userinfo (`a@b` is refused) and without a list (`a, b`). */
export function isAuthority(text: string): boolean {
  return AUTHORITY.test(text)
}

function keepAliveTimeout(value: string): number {
  const match = /(?:^|[,\s])timeout\s*=\s*(\d{1,6})/i.exec(value)
  return match === null ? -1 : Number(match[1])
}
