// HTTP/2 frame constants (RFC 9113 §6, §7) and the writer that every frame of a connection goes through. The writer fills one output
// buffer per turn of the event loop and hands it over once (flush-queue.ts), so that many streams share a write and a TLS record.
// Called by connection.ts, send-scheduler.ts and the codecs. Invariants: a frame is never torn between two owners of the buffer; an
// idle connection holds no buffer; what the peer does not read is counted, by frames and by bytes, for flood-guard.ts.

import type { Transport } from '../codec.js'
import { type Flushable, queueFlush } from '../flush-queue.js'

export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const

export const Flag = { END_STREAM: 0x1, ACK: 0x1, END_HEADERS: 0x4, PADDED: 0x8, PRIORITY: 0x20 } as const

export const ErrorCode = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const

export const FRAME_HEADER_BYTES = 9
/** Both the protocol's default SETTINGS_MAX_FRAME_SIZE and the one we keep to for what we receive. */
export const DEFAULT_MAX_FRAME_SIZE = 16384
/** 2^31 - 1: largest window, stream id and window increment. */
export const MAX_31_BIT = 0x7fffffff
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/** One output buffer; a fuller one is handed over in mid-turn. */
const OUTPUT_BYTES = 65536
/** Output up to this long is copied for a transport that keeps it, so that the large buffer can be used again. */
const COPY_BYTES = 16384
const MAX_SPARE_BUFFERS = 16
/** Below this the kernel has room: what was counted against the peer as unread is forgiven. */
const SETTLED_BYTES = 16384

const NOTHING = Buffer.alloc(0)
const spareBuffers: Buffer[] = []

/** HOT: every frame out. */
export class FrameWriter implements Flushable {
  /** The current output; write at `length` after `reserve`. */
  buffer: Buffer = NOTHING
  length = 0
  /** The transport said "enough"; DATA waits until `drained`. */
  blocked = false
  /** Frames in `buffer`, and of those control frames (RST_STREAM, SETTINGS, PING). */
  private frames = 0
  private controlFrames = 0
  /** The same of earlier output, since the transport was last settled. */
  private handedFrames = 0
  private handedControlFrames = 0
  /** DATA frames ever, for the limit on WINDOW_UPDATE frames. */
  dataFrames = 0
  private queued = false
  private keepsBuffers = false

  constructor(
    private readonly transport: Transport,
    private readonly owner: Flushable,
  ) {}

  /** Frames that the peer's side has not taken yet, as far as one can see. */
  get pendingFrames(): number {
    return this.handedFrames + this.frames
  }

  /** RST_STREAM, SETTINGS and PING frames among them. */
  get pendingControlFrames(): number {
    return this.handedControlFrames + this.controlFrames
  }

  /** Bytes that neither left for the kernel nor can be taken back. */
  get pendingBytes(): number {
    return this.length + this.transport.writableLength
  }

  /** Make room for `bytes` more; the buffer may be another one afterwards. */
  reserve(bytes: number): void {
    if (this.length + bytes > this.buffer.length) this.makeRoom(bytes)
  }

  private makeRoom(bytes: number): void {
    this.hand()
    this.buffer = bytes > OUTPUT_BYTES ? Buffer.allocUnsafeSlow(bytes) : (spareBuffers.pop() ?? Buffer.allocUnsafeSlow(OUTPUT_BYTES))
    if (this.queued) return
    this.queued = true
    queueFlush(this.owner)
  }

  /** Hand the output of this turn to the transport. Called from the owner's flush(). */
  flush(): void {
    this.queued = false
    this.hand()
  }

  /** The transport emptied. */
  drained(): void {
    this.blocked = false
    this.settle()
  }

  private hand(): void {
    const buffer = this.buffer
    const length = this.length
    this.buffer = NOTHING
    this.length = 0
    if (length === 0) {
      if (buffer !== NOTHING) release(buffer)
      return
    }
    const transport = this.transport
    if (transport.writableLength <= SETTLED_BYTES) this.settle()
    this.handedFrames += this.frames
    this.handedControlFrames += this.controlFrames
    this.frames = 0
    this.controlFrames = 0
    // A transport may keep the buffer until the kernel took it; then it counts it in writableLength.
    let taken: boolean
    if (this.keepsBuffers && length <= COPY_BYTES) {
      const copy = Buffer.allocUnsafe(length)
      copy.set(buffer.subarray(0, length))
      release(buffer)
      taken = transport.write(copy)
      if (transport.writableLength === 0) this.keepsBuffers = false
    } else {
      taken = transport.write(buffer.subarray(0, length))
      this.keepsBuffers = transport.writableLength !== 0
      if (!this.keepsBuffers) release(buffer)
    }
    if (!taken) this.blocked = true
    else if (transport.writableLength <= SETTLED_BYTES) this.settle()
  }

  private settle(): void {
    this.handedFrames = 0
    this.handedControlFrames = 0
  }

  /** Frame header at `at`, in room already reserved. */
  header(at: number, length: number, type: number, flags: number, streamId: number): void {
    const buffer = this.buffer
    buffer[at] = length >>> 16
    buffer[at + 1] = length >>> 8
    buffer[at + 2] = length
    buffer[at + 3] = type
    buffer[at + 4] = flags
    buffer[at + 5] = streamId >>> 24
    buffer[at + 6] = streamId >>> 16
    buffer[at + 7] = streamId >>> 8
    buffer[at + 8] = streamId
  }

  /** Reserve and start a frame; returns where its payload goes. */
  private begin(length: number, type: number, flags: number, streamId: number): number {
    this.reserve(FRAME_HEADER_BYTES + length)
    const at = this.length
    this.header(at, length, type, flags, streamId)
    this.length = at + FRAME_HEADER_BYTES + length
    this.frames++
    return at + FRAME_HEADER_BYTES
  }

  private uint32(at: number, value: number): void {
    const buffer = this.buffer
    buffer[at] = value >>> 24
    buffer[at + 1] = value >>> 16
    buffer[at + 2] = value >>> 8
    buffer[at + 3] = value
  }

  /** One DATA frame with `chunk[start, start + length)`. */
  data(streamId: number, chunk: Buffer, start: number, length: number, end: boolean): void {
    const at = this.begin(length, FrameType.DATA, end ? Flag.END_STREAM : 0, streamId)
    this.dataFrames++
    if (length === 0) return
    if (start === 0 && length === chunk.length) this.buffer.set(chunk, at)
    else chunk.copy(this.buffer, at, start, start + length)
  }

  /**
   * Finish a header block that was written at `start + FRAME_HEADER_BYTES` up to `end` in room already reserved: one HEADERS frame, or
   * with CONTINUATION frames when the peer's largest frame is smaller.
   */
  headers(start: number, end: number, streamId: number, endStream: boolean, maxFrameSize: number): void {
    const total = end - start - FRAME_HEADER_BYTES
    const streamFlag = endStream ? Flag.END_STREAM : 0
    this.frames++
    if (total <= maxFrameSize) {
      this.header(start, total, FrameType.HEADERS, streamFlag | Flag.END_HEADERS, streamId)
      this.length = end
      return
    }
    const rest = Buffer.from(this.buffer.subarray(start + FRAME_HEADER_BYTES + maxFrameSize, end))
    this.header(start, maxFrameSize, FrameType.HEADERS, streamFlag, streamId)
    this.length = start + FRAME_HEADER_BYTES + maxFrameSize
    for (let sent = 0; sent < rest.length; ) {
      const length = Math.min(maxFrameSize, rest.length - sent)
      const at = this.begin(length, FrameType.CONTINUATION, sent + length === rest.length ? Flag.END_HEADERS : 0, streamId)
      rest.copy(this.buffer, at, sent, sent + length)
      sent += length
    }
  }

  rstStream(streamId: number, code: number): void {
    const at = this.begin(4, FrameType.RST_STREAM, 0, streamId)
    this.uint32(at, code)
    this.controlFrames++
  }

  /** `entries`: identifier, value, identifier, value … */
  settings(entries: readonly number[]): void {
    let at = this.begin((entries.length / 2) * 6, FrameType.SETTINGS, 0, 0)
    for (let i = 0; i < entries.length; i += 2) {
      this.buffer[at] = entries[i]! >>> 8
      this.buffer[at + 1] = entries[i]!
      this.uint32(at + 2, entries[i + 1]!)
      at += 6
    }
    this.controlFrames++
  }

  settingsAck(): void {
    this.begin(0, FrameType.SETTINGS, Flag.ACK, 0)
    this.controlFrames++
  }

  /** `source[start, start + 8)` is the opaque data. */
  ping(ack: boolean, source: Buffer, start: number): void {
    const at = this.begin(8, FrameType.PING, ack ? Flag.ACK : 0, 0)
    source.copy(this.buffer, at, start, start + 8)
    this.controlFrames++
  }

  goaway(lastStreamId: number, code: number, debug: string): void {
    const at = this.begin(8 + debug.length, FrameType.GOAWAY, 0, 0)
    this.uint32(at, lastStreamId)
    this.uint32(at + 4, code)
    this.buffer.latin1Write(debug, at + 8, debug.length)
  }

  windowUpdate(streamId: number, increment: number): void {
    const at = this.begin(4, FrameType.WINDOW_UPDATE, 0, streamId)
    this.uint32(at, increment)
  }

  /** Bytes as they are (the client's preface). */
  raw(bytes: Buffer): void {
    this.reserve(bytes.length)
    this.buffer.set(bytes, this.length)
    this.length += bytes.length
  }
}

function release(buffer: Buffer): void {
  if (buffer.length === OUTPUT_BYTES && spareBuffers.length < MAX_SPARE_BUFFERS) spareBuffers.push(buffer)
}
