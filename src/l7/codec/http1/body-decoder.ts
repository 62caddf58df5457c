// Bytes of one message body to data, trailers and end, for the three delimitations of RFC 9112 §6.3. Used by both HTTP/1 codecs.
// Holds no body bytes: only a partial chunk-size line or trailer section, both bounded. Chunk extensions are checked and dropped.
//
//   chunked:  size ─CRLF─▶ data ─▶ dataEnd(CRLF) ─▶ size …   size 0 ─▶ trailers ─▶ done

import type { CodecError, HeadLimits } from '../codec.js'
import type { HeaderList } from '../header-list.js'
import { codecError, type Framing, parseTrailers } from './head-parser.js'

/** Bytes of chunk-size lines (digits and extensions) allowed beyond what the sizes need, per message (CVE-2024-22019). */
const MAX_CHUNK_OVERHEAD_BYTES = 16 * 1024
/** One chunk-size line. */
const MAX_SIZE_LINE_BYTES = 4 * 1024

export interface BodySink {
  bodyData(chunk: Buffer, end: boolean): void
  bodyTrailers(trailers: HeaderList): void
}

const CHUNK_SIZE = 0
const CHUNK_DATA = 1
const CHUNK_DATA_END = 2
const TRAILERS = 3

const EMPTY = Buffer.alloc(0)

/** HOT: reused for every message of a connection; `feed` returns how many bytes it took, or -1 after an error. */
export class BodyDecoder {
  error: CodecError | null = null
  done = true
  private framing: Framing = 'none'
  private remaining = 0
  private state = CHUNK_SIZE
  private partial = ''
  private overhead = 0
  private readonly sink: BodySink
  private readonly limits: HeadLimits

  constructor(sink: BodySink, limits: HeadLimits) {
    this.sink = sink
    this.limits = limits
  }

  /** Begin a message. `length` only for framing `length`. */
  start(framing: Framing, length: number): void {
    this.framing = framing
    this.remaining = length
    this.state = CHUNK_SIZE
    this.partial = ''
    this.overhead = 0
    this.error = null
    this.done = framing === 'none'
  }

  /** True when the end of the connection ends the body (framing `close`). */
  get endsWithConnection(): boolean {
    return this.framing === 'close' && !this.done
  }

  /** The connection ended: completes a `close` body. */
  finish(): void {
    this.done = true
    this.sink.bodyData(EMPTY, true)
  }

  /** Decode from `offset`; the sink may be called several times. Returns the offset after the last byte taken, or -1. */
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
        case CHUNK_SIZE: {
          offset = this.takeLine(chunk, offset, MAX_SIZE_LINE_BYTES)
          if (offset === -1) return -1
          if (this.line === null) return offset
          if (!this.startChunk(this.line)) return -1
          break
        }
        case CHUNK_DATA: {
          const take = Math.min(this.remaining, chunk.length - offset)
          this.remaining -= take
          const data = chunk.subarray(offset, offset + take)
          offset += take
          if (this.remaining === 0) {
            this.state = CHUNK_DATA_END
            // The last chunk's end and the terminator often came in the same read: then data and end are one event.
            if (this.endsHere(chunk, offset)) {
              this.done = true
              this.sink.bodyData(data, true)
              return offset + 7
            }
          }
          this.sink.bodyData(data, false)
          if (this.error !== null) return -1
          break
        }
        case CHUNK_DATA_END: {
          offset = this.takeLine(chunk, offset, 2)
          if (offset === -1) return -1
          if (this.line === null) return offset
          if (this.line !== '') return this.fail('chunk data is longer than its size')
          this.state = CHUNK_SIZE
          break
        }
        default: {
          offset = this.takeTrailers(chunk, offset)
          if (offset === -1) return -1
        }
      }
    }
    return offset
  }

  /** `\r\n0\r\n\r\n` at `offset`. */
  private endsHere(chunk: Buffer, offset: number): boolean {
    return (
      chunk.length >= offset + 7 &&
      chunk[offset] === 13 &&
      chunk[offset + 1] === 10 &&
      chunk[offset + 2] === 48 &&
      chunk[offset + 3] === 13 &&
      chunk[offset + 4] === 10 &&
      chunk[offset + 5] === 13 &&
      chunk[offset + 6] === 10
    )
  }

  private line: string | null = null

  /** Take a CRLF-ended line into `line` (null: incomplete, bytes kept in `partial`). Returns the new offset or -1. */
  private takeLine(chunk: Buffer, offset: number, maxBytes: number): number {
    this.line = null
    const lf = chunk.indexOf(10, offset)
    const end = lf === -1 ? chunk.length : lf + 1
    this.partial += chunk.latin1Slice(offset, end)
    if (this.partial.length > maxBytes + 2) return this.fail(`a chunk-size line is longer than ${maxBytes} bytes`)
    if (lf === -1) return end
    const text = this.partial
    this.partial = ''
    if (text.length < 2 || text.charCodeAt(text.length - 2) !== 13) return this.fail('bare LF in chunked framing')
    this.line = text.slice(0, -2)
    return end
  }

  /** chunk-size [ chunk-ext ] of RFC 9112 §7.1. */
  private startChunk(line: string): boolean {
    let size = 0
    let i = 0
    for (; i < line.length; i++) {
      const digit = hexDigit(line.charCodeAt(i))
      if (digit === -1) break
      if (i >= 13) {
        this.fail('chunk size is too large')
        return false
      }
      size = size * 16 + digit
    }
    if (i === 0) {
      this.fail('invalid chunk size')
      return false
    }
    if (i < line.length) {
      if (!isChunkExtension(line, i)) {
        this.fail('malformed chunk extension')
        return false
      }
      this.overhead += line.length - i
    }
    // Many tiny chunks are as expensive as long extensions; each line above 16 data bytes is free.
    if (this.overhead > MAX_CHUNK_OVERHEAD_BYTES) {
      this.fail(`chunk extensions are longer than ${MAX_CHUNK_OVERHEAD_BYTES} bytes`)
      return false
    }
    this.remaining = size
    this.state = size === 0 ? TRAILERS : CHUNK_DATA
    return true
  }

  private takeTrailers(chunk: Buffer, offset: number): number {
    const before = this.partial.length
    this.partial += chunk.latin1Slice(offset, Math.min(chunk.length, offset + this.limits.maxHeadBytes + 4))
    const text = this.partial
    if (text.startsWith('\r\n')) {
      this.partial = ''
      this.done = true
      this.sink.bodyData(EMPTY, true)
      return offset + 2 - before
    }
    const end = text.indexOf('\r\n\r\n', Math.max(0, before - 3))
    if (end === -1) {
      if (text.length > this.limits.maxHeadBytes) return this.fail(`trailers are longer than ${this.limits.maxHeadBytes} bytes`, 431)
      return chunk.length
    }
    const trailers = parseTrailers(text.slice(0, end + 2), this.limits)
    this.partial = ''
    if (!('values' in trailers)) {
      this.error = trailers
      return -1
    }
    this.done = true
    if (trailers.length === 0) this.sink.bodyData(EMPTY, true)
    else this.sink.bodyTrailers(trailers)
    return offset + end + 4 - before
  }

  private fail(message: string, status = 400): number {
    this.error = codecError(status, 'http1.codec_error', message)
    return -1
  }
}

function hexDigit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48
  const lower = c | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

/** *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ); no control characters at all (CVE-2025-55315). */
const CHUNK_EXTENSION =
  /^(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)+$/

function isChunkExtension(line: string, from: number): boolean {
  return CHUNK_EXTENSION.test(line.slice(from))
}
