// gzip of a body as it streams: bytes in, bytes out, flushed per chunk so that a streamed answer is never held back. Used by
// compressor.ts.
//
// Synchronous: each chunk becomes its own run of deflate blocks, ended by a sync flush, with the bytes before it as dictionary (so
// references reach back as in one stream). Brotli and zstd have no such mode and go through node:zlib's streams (stream-coder.ts).

import zlib from 'node:zlib'
import type { CompressorLibrary } from '../../../model/http-filter.js'

type GzipSettings = Extract<CompressorLibrary, { kind: 'gzip' }>

const EMPTY = Buffer.alloc(0)
/** RFC 1952 §2.3: deflate, no flags, no time, Unix. */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 3])

export class GzipEncoder {
  private readonly options: zlib.ZlibOptions
  private readonly windowBytes: number
  private window = EMPTY
  private crc = 0
  private size = 0
  private started = false

  constructor({ level, windowBits, memLevel, strategy, chunkBytes }: GzipSettings) {
    // zlib cannot make raw streams with a window of 256 bytes.
    const bits = Math.max(windowBits, 9)
    this.options = { level, windowBits: bits, memLevel, strategy, chunkSize: chunkBytes }
    this.windowBytes = 1 << bits
  }

  encode(chunk: Buffer, end: boolean): Buffer {
    const parts: Buffer[] = []
    if (!this.started) {
      this.started = true
      parts.push(GZIP_HEADER)
    }
    if (chunk.length > 0 || end) {
      this.crc = zlib.crc32(chunk, this.crc)
      this.size = (this.size + chunk.length) % 0x1_0000_0000
      const options: zlib.ZlibOptions = { ...this.options, finishFlush: end ? zlib.constants.Z_FINISH : zlib.constants.Z_SYNC_FLUSH }
      if (this.window.length > 0) options.dictionary = this.window
      parts.push(zlib.deflateRawSync(chunk, options))
      if (!end) this.remember(chunk)
    }
    if (end) {
      const trailer = Buffer.allocUnsafe(8)
      trailer.writeUInt32LE(this.crc >>> 0, 0)
      trailer.writeUInt32LE(this.size, 4)
      parts.push(trailer)
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  }

  private remember(chunk: Buffer): void {
    if (chunk.length >= this.windowBytes) this.window = Buffer.from(chunk.subarray(chunk.length - this.windowBytes))
    else {
      const kept = this.window.subarray(Math.max(0, this.window.length + chunk.length - this.windowBytes))
      this.window = Buffer.concat([kept, chunk])
    }
  }
}
