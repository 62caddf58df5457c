// Sends the bodies of one connection's streams within the peer's windows and the transport's watermark. Data goes straight into the
// output buffer while there is room; what has to wait is copied to the stream and sent in turns of one frame each, so that no stream
// starves another. Called by stream.ts (send), connection.ts (WINDOW_UPDATE, transport drain). Invariant: a stream is in the queue
// when it holds data and has window of its own; only the connection's window and the transport can then be in the way.

import type { HeaderList } from '../header-list.js'
import { ByteQueue } from './byte-queue.js'
import { DEFAULT_MAX_FRAME_SIZE, ErrorCode, type FrameWriter, MAX_31_BIT } from './frames.js'
import { DEFAULT_WINDOW } from './settings.js'
import type { Http2Stream } from './stream.js'

/** sendData says "enough" from here on, and onDrain comes below the second. */
const STREAM_HIGH_WATERMARK = 65536
const STREAM_LOW_WATERMARK = 16384
/** A caller that does not listen to "enough" loses its stream here. */
const MAX_STREAM_BUFFER = 64 * 1024 * 1024

const NOTHING = Buffer.alloc(0)

/** What the scheduler needs of its connection. */
export interface SchedulerHost {
  readonly writer: FrameWriter
  writeTrailers(stream: Http2Stream, trailers: HeaderList): void
  /** Our END_STREAM was written. */
  localEnded(stream: Http2Stream): void
  resetStream(stream: Http2Stream, code: number): void
}

export class SendScheduler {
  /** The connection's send window (RFC 9113 §6.9.1). */
  window: number = DEFAULT_WINDOW
  private queue: Http2Stream[] = []
  private head = 0
  private pumping = false

  constructor(private readonly host: SchedulerHost) {}

  /** HOT: every piece of body. Returns false when the caller should wait for onDrain. */
  send(stream: Http2Stream, chunk: Buffer, end: boolean): boolean {
    const writer = this.host.writer
    let sent = 0
    const outbox = stream.outbox
    if (outbox === null || outbox.length === 0) {
      const length = chunk.length
      if (length === 0) {
        if (end) this.finish(stream)
        return true
      }
      if (this.head === this.queue.length) {
        while (!writer.blocked) {
          const count = Math.min(length - sent, DEFAULT_MAX_FRAME_SIZE, stream.sendWindow, this.window)
          if (count <= 0) break
          const last = sent + count === length
          stream.sendWindow -= count
          this.window -= count
          writer.data(stream.id, chunk, sent, count, last && end)
          sent += count
          if (!last) continue
          if (end) this.host.localEnded(stream)
          else if (writer.blocked) stream.wantsDrain = true
          return !writer.blocked
        }
      }
    }
    return this.keep(stream, chunk, sent)
  }

  private keep(stream: Http2Stream, chunk: Buffer, from: number): boolean {
    let outbox = stream.outbox
    if (outbox === null) stream.outbox = outbox = new ByteQueue()
    outbox.push(chunk, from)
    if (outbox.length > MAX_STREAM_BUFFER) {
      this.host.resetStream(stream, ErrorCode.INTERNAL_ERROR)
      return true
    }
    if (stream.sendWindow > 0 && !stream.queued) this.enqueue(stream)
    if (outbox.length < STREAM_HIGH_WATERMARK && !this.host.writer.blocked) return true
    stream.wantsDrain = true
    return false
  }

  sendTrailers(stream: Http2Stream, trailers: HeaderList): void {
    if (stream.outbox !== null && stream.outbox.length > 0) {
      stream.outTrailers = trailers
      return
    }
    this.host.writeTrailers(stream, trailers)
    this.host.localEnded(stream)
  }

  private finish(stream: Http2Stream): void {
    this.host.writer.data(stream.id, NOTHING, 0, 0, true)
    this.host.localEnded(stream)
  }

  private enqueue(stream: Http2Stream): void {
    stream.queued = true
    this.queue.push(stream)
  }

  /** WINDOW_UPDATE on the connection. False: beyond 2^31 - 1. */
  credit(increment: number): boolean {
    if (this.window + increment > MAX_31_BIT) return false
    this.window += increment
    this.pump()
    return true
  }

  /** WINDOW_UPDATE on a stream, or a changed SETTINGS_INITIAL_WINDOW_SIZE (then it may be negative). False: beyond 2^31 - 1. */
  creditStream(stream: Http2Stream, increment: number): boolean {
    if (stream.sendWindow + increment > MAX_31_BIT) return false
    stream.sendWindow += increment
    if (stream.outbox !== null && stream.outbox.length > 0 && stream.sendWindow > 0 && !stream.queued) {
      this.enqueue(stream)
      this.pump()
    }
    return true
  }

  /** One frame of each waiting stream in turn while window and transport allow. */
  pump(): void {
    if (this.pumping) return
    this.pumping = true
    const writer = this.host.writer
    while (this.head < this.queue.length && this.window > 0 && !writer.blocked) {
      const stream = this.queue[this.head++]!
      if (this.head > 256 && this.head * 2 > this.queue.length) {
        this.queue = this.queue.slice(this.head)
        this.head = 0
      }
      stream.queued = false
      const outbox = stream.outbox
      if (stream.gone || outbox === null || outbox.length === 0 || stream.sendWindow <= 0) continue
      this.sendOne(stream, outbox)
    }
    if (this.head === this.queue.length && this.head > 0) {
      this.queue.length = 0
      this.head = 0
    }
    this.pumping = false
  }

  private sendOne(stream: Http2Stream, outbox: ByteQueue): void {
    const slice = outbox.shift(Math.min(DEFAULT_MAX_FRAME_SIZE, stream.sendWindow, this.window))
    const count = slice.length
    const empty = outbox.length === 0
    stream.sendWindow -= count
    this.window -= count
    const end = empty && stream.sendEnded && stream.outTrailers === null
    this.host.writer.data(stream.id, slice, 0, count, end)
    if (!empty) {
      if (stream.sendWindow > 0) this.enqueue(stream)
    } else if (end) {
      this.host.localEnded(stream)
      return
    } else if (stream.outTrailers !== null) {
      const trailers = stream.outTrailers
      stream.outTrailers = null
      this.host.writeTrailers(stream, trailers)
      this.host.localEnded(stream)
      return
    }
    this.notify(stream)
  }

  /** Deliver a due onDrain. */
  notify(stream: Http2Stream): void {
    if (!stream.wantsDrain || stream.silent || this.host.writer.blocked) return
    if (stream.outbox !== null && stream.outbox.length > STREAM_LOW_WATERMARK) return
    stream.wantsDrain = false
    stream.events.onDrain()
  }
}
