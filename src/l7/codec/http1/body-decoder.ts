// Bytes of one message body to data, trailers and end, for the three delimitations of RFC 9112 §6.3. Used by both HTTP/1 codecs.
// Holds no body bytes: only a partial chunk-size line or trailer section, both bounded. Chunk extensions are checked and dropped.
//
//   chunked:  SIZE ─CRLF─▶ DATA ─▶ DATA_CR ─▶ DATA_LF ─▶ SIZE …   size 0 ─▶ TRAILERS ─▶ done

import type { CodecError, HeadLimits } from '../codec.js'
import type { HeaderList } from '../header-list.js'
import { codecError } from './field-section.js'
import { type Framing, parseTrailers } from './head-parser.js'
import { HEAD_ILLEGAL, HEAD_INCOMPLETE, HEAD_TOO_LARGE, HeadReader } from './head-reader.js'
import { trimOws } from './syntax.js'

/** Bytes of chunk extensions and needless zeros allowed per message (CVE-2021-22960, CVE-2024-22019). */
export const MAX_CHUNK_OVERHEAD_BYTES = 16 * 1024
/** One chunk-size line. */
export const MAX_SIZE_LINE_BYTES = 4 * 1024
/** Hex digits of a chunk size: 2^52 bytes, exact in a double. */
const MAX_SIZE_DIGITS = 13

export interface BodySink {
  bodyData(chunk: Buffer, end: boolean): void
  bodyTrailers(trailers: HeaderList): void
  /** The sink takes no more for now (or never again): `feed` returns early. */
  readonly bodyStopped: boolean
}

const SIZE = 0
const DATA = 1
const DATA_CR = 2
const DATA_LF = 3
const TRAILERS = 4

const CR = 13
const LF = 10
const EMPTY = Buffer.alloc(0)

/** HOT: one is reused for every message of a connection. */
export class BodyDecoder {
  error: CodecError | null = null
  done = true
  /** Body bytes still due: of the message (framing `length`) or of the chunk. */
  remaining = 0
  private framing: Framing = 'none'
  private state = SIZE
  private line = ''
  private overhead = 0
  private readonly sink: BodySink
  private readonly limits: HeadLimits
  /** White space behind a chunk size is mended, as Envoy does: servers exist that pad it. Never for requests. */
  private readonly mends: boolean
  private trailerReader: HeadReader | null = null

  constructor(sink: BodySink, limits: HeadLimits, mends = false) {
    this.sink = sink
    this.limits = limits
    this.mends = mends
  }

  /** Begin a message. `length` only for framing `length`. */
  start(framing: Framing, length: number): void {
    this.framing = framing
    this.remaining = length
    this.state = SIZE
    this.line = ''
    this.overhead = 0
    this.error = null
    this.done = framing === 'none'
    this.trailerReader?.reset()
  }

  /** True when the end of the connection ends the body (framing `close`). */
  get endsWithConnection(): boolean {
    return this.framing === 'close' && !this.done
  }

  /** Bytes that are certainly still to come; Infinity when the framing does not tell. */
  get bytesLeft(): number {
    return this.framing === 'length' ? this.remaining : Number.POSITIVE_INFINITY
  }

  /** The connection ended: completes a `close` body. */
  finish(): void {
    this.done = true
    this.sink.bodyData(EMPTY, true)
  }

  /**
   * Decode from `offset`; the sink may be called several times. Returns the offset after the last byte taken (less than the chunk's
   * length when the message ended or the sink stopped), or -1 after an error.
   */
  feed(chunk: Buffer, offset: number): number {
    if (this.framing === 'length') {
      const available = chunk.length - offset
      if (available < this.remaining) {
        this.remaining -= available
        this.sink.bodyData(offset === 0 ? chunk : chunk.subarray(offset), false)
        return chunk.length
      }
      const end = offset + this.remaining
      this.remaining = 0
      this.done = true
      this.sink.bodyData(offset === 0 && end === chunk.length ? chunk : chunk.subarray(offset, end), true)
      return end
    }
    if (this.framing === 'close') {
      this.sink.bodyData(offset === 0 ? chunk : chunk.subarray(offset), false)
      return chunk.length
    }
    return this.feedChunked(chunk, offset)
  }

  private feedChunked(chunk: Buffer, start: number): number {
    let offset = start
    while (offset < chunk.length && !this.done) {
      switch (this.state) {
        case SIZE: {
          offset = this.takeSize(chunk, offset)
          if (offset === -1) return -1
          break
        }
        case DATA: {
          const take = Math.min(this.remaining, chunk.length - offset)
          this.remaining -= take
          const data = chunk.subarray(offset, offset + take)
          offset += take
          if (this.remaining === 0) {
            this.state = DATA_CR
            // The last chunk and the terminator often came in the same read: then data and end are one event.
            if (endsAt(chunk, offset)) {
              this.done = true
              this.sink.bodyData(data, true)
              return offset + 7
            }
          }
          this.sink.bodyData(data, false)
          if (this.sink.bodyStopped) return offset
          break
        }
        case DATA_CR:
          if (chunk[offset++] !== CR) return this.fail('chunk data is longer than its size')
          this.state = DATA_LF
          break
        case DATA_LF:
          if (chunk[offset++] !== LF) return this.fail('chunk data is not followed by CRLF')
          this.state = SIZE
          break
        default: {
          offset = this.takeTrailers(chunk, offset)
          if (offset === -1) return -1
        }
      }
    }
    return offset
  }

  /** chunk-size [ chunk-ext ] CRLF (RFC 9112 §7.1). Returns the new offset or -1. */
  private takeSize(chunk: Buffer, offset: number): number {
    if (this.line === '') {
      // The usual line: digits and CRLF, all here.
      let size = 0
      let i = offset
      let digit = hexDigit(chunk[i]!)
      while (digit !== -1 && i - offset < MAX_SIZE_DIGITS) {
        size = size * 16 + digit
        digit = ++i < chunk.length ? hexDigit(chunk[i]!) : -1
      }
      if (i > offset && i + 1 < chunk.length && chunk[i] === CR && chunk[i + 1] === LF) {
        this.startChunk(size)
        return i + 2
      }
    }
    const lf = chunk.indexOf(LF, offset)
    const end = lf === -1 ? chunk.length : lf + 1
    if (this.line.length + end - offset > MAX_SIZE_LINE_BYTES)
      return this.fail(`a chunk-size line is longer than ${MAX_SIZE_LINE_BYTES} bytes`)
    this.line += chunk.latin1Slice(offset, end)
    if (lf === -1) return end
    const line = this.line
    this.line = ''
    if (line.length < 2 || line.charCodeAt(line.length - 2) !== CR) return this.fail('bare LF in chunked framing')
    return this.readSizeLine(line.slice(0, -2)) ? end : -1
  }

  private readSizeLine(line: string): boolean {
    let size = 0
    let digits = 0
    let i = 0
    for (; i < line.length; i++) {
      const digit = hexDigit(line.charCodeAt(i))
      if (digit === -1) break
      size = size * 16 + digit
      if (size > 0) digits++
      if (digits > MAX_SIZE_DIGITS) return this.fail('chunk size is too large') !== -1
    }
    if (i === 0) return this.fail('invalid chunk size') !== -1
    const extended = i < line.length && !(this.mends && isBlank(line, i))
    if (extended && !isChunkExtension(line, i)) return this.fail('malformed chunk size or chunk extension') !== -1
    this.overhead += line.length - digits
    if (this.overhead > MAX_CHUNK_OVERHEAD_BYTES)
      return this.fail(`chunk extensions are longer than ${MAX_CHUNK_OVERHEAD_BYTES} bytes`) !== -1
    this.startChunk(size)
    return true
  }

  private startChunk(size: number): void {
    this.remaining = size
    this.state = size === 0 ? TRAILERS : DATA
  }

  private takeTrailers(chunk: Buffer, offset: number): number {
    // Nearly always there are none: `0` CRLF CRLF. The section is read as a head, whose empty line may come first.
    const reader = (this.trailerReader ??= new HeadReader(this.limits.maxHeadBytes))
    if (!reader.pending) {
      if (this.line === '' && chunk[offset] === CR) {
        this.line = '\r'
        offset++
        if (offset === chunk.length) return offset
      }
      if (this.line === '\r') {
        this.line = ''
        if (chunk[offset] !== LF) return this.fail('bare CR in the trailer section', 400, 'http1.invalid_characters')
        this.done = true
        this.sink.bodyData(EMPTY, true)
        return offset + 1
      }
    }
    const next = reader.take(chunk, offset)
    switch (next) {
      case HEAD_INCOMPLETE:
        return chunk.length
      case HEAD_TOO_LARGE:
        return this.fail(
          `trailers are larger than ${this.limits.maxHeadBytes >> 10} KiB (max_request_headers_kb)`,
          431,
          'http1.headers_too_large',
        )
      case HEAD_ILLEGAL:
        return this.fail('a control character, bare CR or bare LF among the trailers', 400, 'http1.invalid_characters')
    }
    const trailers = parseTrailers(reader, this.limits)
    reader.reset()
    if ('details' in trailers) {
      this.error = trailers
      return -1
    }
    this.done = true
    if (trailers.length === 0) this.sink.bodyData(EMPTY, true)
    else this.sink.bodyTrailers(trailers)
    return next
  }

  private fail(message: string, status = 400, details = 'http1.codec_error'): -1 {
    this.error = codecError(status, details, message)
    return -1
  }
}

/** CRLF `0` CRLF CRLF. */
function endsAt(chunk: Buffer, offset: number): boolean {
  return (
    chunk.length >= offset + 7 &&
    chunk[offset] === CR &&
    chunk[offset + 1] === LF &&
    chunk[offset + 2] === 48 &&
    chunk[offset + 3] === CR &&
    chunk[offset + 4] === LF &&
    chunk[offset + 5] === CR &&
    chunk[offset + 6] === LF
  )
}

function hexDigit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48
  const lower = c | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

function isBlank(line: string, from: number): boolean {
  return trimOws(line, from, line.length) === ''
}

/** *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ); no control characters at all (CVE-2025-55315). */
const CHUNK_EXTENSION =
  /^(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)+$/

function isChunkExtension(line: string, from: number): boolean {
  return CHUNK_EXTENSION.test(line.slice(from))
}
