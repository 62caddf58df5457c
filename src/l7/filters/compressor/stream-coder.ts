// One body through a stream of node:zlib, either way: bytes in by write, bytes out along a BodyFlow, each chunk flushed so that a
// streamed body is never held back. Made per body by the compressor (Brotli, zstd) and the decompressor.
// Invariant: at most MAX_PENDING_BYTES of input (and one chunk) wait; the sender is paused meanwhile. `owner` judges what comes out
// before any of it goes on.

import type { Transform } from 'node:stream'
import type { HeaderList } from '../../codec/header-list.js'
import type { BodyFlow } from '../body-flow.js'

const EMPTY = Buffer.alloc(0)
const MAX_PENDING_BYTES = 64 * 1024

/** The code of a body whose owner wants no more of it. */
export const OVERFLOW = 'ERR_BUFFER_TOO_LARGE'

/** A stream of node:zlib. */
export type ZlibStream = Transform & { flush(kind?: number): void }

export interface CoderOwner {
  /** Bytes that came out; false: no more of them are wanted. */
  onOutput(bytes: Buffer): boolean
  /** All of it is out: the trailers to end with, or null for none. */
  endTrailers(own: HeaderList | null): HeaderList | null
  /** The body cannot be coded. `code` is node:zlib's. */
  onError(code: string): void
}

export class StreamCoder {
  private readonly stream: ZlibStream
  private readonly flow: BodyFlow
  private readonly owner: CoderOwner
  /** Kind of flush after each chunk; null where what is known comes out by itself. */
  private readonly flush: number | null
  private trailers: HeaderList | null = null
  private paused = false
  private done = false

  constructor(stream: ZlibStream, flow: BodyFlow, flush: number | null, owner: CoderOwner) {
    this.stream = stream
    this.flow = flow
    this.flush = flush
    this.owner = owner
    stream.on('data', (bytes: Buffer) => this.onData(bytes))
    stream.on('end', () => this.onEnd())
    stream.on('drain', () => this.resume())
    stream.on('error', (error: NodeJS.ErrnoException) => this.fail(error.code ?? ''))
  }

  /** `chunk` is copied. */
  write(chunk: Buffer, end: boolean): void {
    if (this.done) return
    if (chunk.length > 0) {
      const ok = this.stream.write(Buffer.from(chunk))
      if (this.flush !== null) this.stream.flush(this.flush)
      if (!ok && !end && !this.paused && this.stream.writableLength > MAX_PENDING_BYTES) {
        this.paused = true
        this.flow.pause()
      }
    }
    if (end) this.stream.end()
  }

  endWith(trailers: HeaderList): void {
    this.trailers = trailers
    this.stream.end()
  }

  destroy(): void {
    this.done = true
    this.stream.destroy()
  }

  private onData(bytes: Buffer): void {
    if (this.done || this.flow.ended) return
    if (this.owner.onOutput(bytes)) this.flow.emitData(bytes, false)
    else this.fail(OVERFLOW)
  }

  private onEnd(): void {
    if (this.done || this.flow.ended) return
    this.done = true
    const trailers = this.owner.endTrailers(this.trailers)
    if (trailers === null) this.flow.emitData(EMPTY, true)
    else this.flow.emitTrailers(trailers)
  }

  private resume(): void {
    if (!this.paused || this.done || this.flow.ended) return
    this.paused = false
    this.flow.unpause()
  }

  private fail(code: string): void {
    if (this.done || this.flow.ended) return
    this.destroy()
    this.owner.onError(code)
  }
}
