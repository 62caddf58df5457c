// The field lines of one head or trailer section: one pass over the text checks every character (RFC 9110 §5.5, §5.6.2), finds the
// names and values, and sorts out the fields that are the connection's own business. Called by head-parser only.
// HOT: every field of every message; no regex and no search call per line (bench/micro/http1-codec.bench.ts).

import type { CodecError, HeadLimits } from '../codec.js'
import { HeaderList } from '../header-list.js'
import type { Section } from './head-reader.js'
import { FIELD_KIND, fieldName, hashStep, hasToken, isProtected, parseContentLength, TOKEN } from './syntax.js'

export function codecError(status: number, details: string, message: string, stat = ''): CodecError {
  return { status, details, message, stat }
}

/** Requests are taken strictly; in responses white space before a colon is removed (RFC 9112 §5.1); trailers may not frame or route. */
export type SectionKind = 'request' | 'response' | 'trailers'

const SP = 32
const HTAB = 9
const COLON = 58

/** What one section holds. The parser is synchronous: one instance serves all connections, and `headers` is new for each section. */
export class FieldSection {
  headers = new HeaderList()
  host: string | null = null
  hostName = 'Host'
  hosts = 0
  contentLength = -1
  transferEncoding: string | null = null
  transferEncodings = 0
  connection: string | null = null
  upgrade: string | null = null
  expects = 0
  expectContinue = false
  keepAliveTimeoutS = -1
  /** A response line began with white space: unfold and read again. */
  folded = false
  private te = false

  private reset(): void {
    this.headers = new HeaderList()
    this.host = null
    this.hostName = 'Host'
    this.hosts = 0
    this.contentLength = -1
    this.transferEncoding = null
    this.transferEncodings = 0
    this.connection = null
    this.upgrade = null
    this.expects = 0
    this.expectContinue = false
    this.keepAliveTimeoutS = -1
    this.folded = false
    this.te = false
  }

  /** Read the lines of `section` from `start`. Null when all are well-formed. */
  read(section: Section, start: number, limits: HeadLimits, kind: SectionKind): CodecError | null {
    this.reset()
    const { raw, lower, values } = this.headers
    const { bytes, base, text } = section
    const length = base + section.end
    const dropsUnderscores = limits.underscores !== 'ALLOW' && kind !== 'response'
    let count = 0
    // `i` and its like are offsets in `bytes`; behind the section stands at least one byte that ends every loop (CR or nothing).
    let position = base + start
    while (position < length) {
      if (++count > limits.maxHeaders) return tooMany(limits, kind)
      let i = position
      let hash = 0
      let c = bytes[i]!
      while (TOKEN[c] === 1) {
        hash = hashStep(hash, c)
        c = bytes[++i]!
      }
      const nameEnd = i
      if (c !== COLON || nameEnd === position) {
        if (kind === 'response' && nameEnd > position) while (c === SP || c === HTAB) c = bytes[++i]!
        if (c !== COLON || nameEnd === position) {
          this.folded = kind === 'response' && count > 1 && nameEnd === position && (c === SP || c === HTAB)
          return nameError(c, nameEnd === position, kind)
        }
      }
      c = bytes[++i]!
      while (c === SP || c === HTAB) c = bytes[++i]!
      const from = i
      while (c > 31 ? c !== 127 : c === HTAB) c = bytes[++i]!
      if (c !== 13 || bytes[i + 1] !== 10) return illegal(kind)
      let to = i
      while (to > from && (bytes[to - 1] === SP || bytes[to - 1] === HTAB)) to--
      const name = fieldName(bytes, position, nameEnd, hash)
      position = i + 2
      const value = text.slice(from - base, to - base)
      if (name.underscore && dropsUnderscores) {
        if (limits.underscores === 'REJECT_REQUEST') return underscore()
        continue
      }
      if (kind === 'trailers') {
        if (name.kind !== FIELD_KIND.other || isProtected(name.lower)) continue
      } else if (name.kind !== FIELD_KIND.other) {
        const error = this.special(name.kind, name.raw, name.lower, value, kind)
        if (error === null) continue
        if (error !== KEEP) return error
      }
      raw.push(name.raw)
      lower.push(name.lower)
      values.push(value)
    }
    return null
  }

  /** Fields that the codec acts on. KEEP: the field is also passed on; null: it is not; else the message is refused. */
  private special(kind: number, raw: string, lower: string, value: string, section: SectionKind): CodecError | null {
    switch (kind) {
      case FIELD_KIND.host:
        if (section === 'response') return KEEP
        this.hosts++
        this.host = value
        this.hostName = raw
        return null
      case FIELD_KIND.contentLength: {
        const parsed = parseContentLength(value)
        if (parsed === -1) return refuse(section, 'invalid Content-Length')
        // Two of them are refused even when equal: nothing tells which one the next hop would take.
        if (this.contentLength !== -1) return refuse(section, 'more than one Content-Length')
        this.contentLength = parsed
        return KEEP
      }
      case FIELD_KIND.transferEncoding:
        this.transferEncodings++
        this.transferEncoding = value
        return null
      case FIELD_KIND.connection:
        this.connection = this.connection === null ? value : `${this.connection},${value}`
        return null
      case FIELD_KIND.hopByHop:
        if (lower === 'keep-alive') this.keepAliveTimeoutS = keepAliveTimeout(value)
        return null
      case FIELD_KIND.upgrade:
        this.upgrade = this.upgrade === null ? value : `${this.upgrade}, ${value}`
        return null
      case FIELD_KIND.te:
        // `trailers` is end to end for gRPC and travels on; other codings are hop by hop (RFC 9110 §10.1.4).
        if (this.te || !hasToken(value.toLowerCase(), 'trailers')) return null
        this.te = true
        this.headers.appendParsed(raw, lower, 'trailers')
        return null
      default:
        // Any other expectation beside it is the origin's to judge.
        this.expectContinue = ++this.expects === 1 && value.toLowerCase() === '100-continue'
        return KEEP
    }
  }
}

const KEEP: CodecError = codecError(0, '', '')

/** 400 for a request or its trailers, 502 for a response. */
export function refuse(kind: SectionKind, message: string, details = 'http1.codec_error'): CodecError {
  return kind === 'response'
    ? codecError(502, 'upstream_reset_before_response_started{protocol_error}', message)
    : codecError(400, details, message)
}

function illegal(kind: SectionKind): CodecError {
  return refuse(kind, 'a control character, bare CR or bare LF among the headers', 'http1.invalid_characters')
}

function nameError(c: number, empty: boolean, kind: SectionKind): CodecError {
  if (empty && (c === SP || c === HTAB)) return refuse(kind, 'obsolete line folding (RFC 9112 §5.2)')
  if (c === SP || c === HTAB) return refuse(kind, 'white space in a header name or before its colon (RFC 9112 §5.1)')
  if (c < 32 && c !== 13) return illegal(kind)
  if (c === 13) return refuse(kind, 'a header line has no colon')
  return refuse(kind, 'invalid header name', c >= 127 ? 'http1.invalid_characters' : 'http1.codec_error')
}

function tooMany(limits: HeadLimits, kind: SectionKind): CodecError {
  return codecError(
    kind === 'response' ? 502 : 431,
    'http1.too_many_headers',
    `more than ${limits.maxHeaders} headers (max_headers_count)`,
    kind === 'response' ? '' : 'downstream_rq_too_many_headers',
  )
}

function underscore(): CodecError {
  return codecError(
    400,
    'http1.unexpected_underscore',
    'a header name holds an underscore (headers_with_underscores_action)',
    'http1.requests_rejected_with_underscores_in_headers',
  )
}

function keepAliveTimeout(value: string): number {
  const match = /(?:^|[,\s])timeout\s*=\s*(\d{1,6})/i.exec(value)
  return match === null ? -1 : Number(match[1])
}
