// Cuts the byte stream into frames for connection.ts. DATA is passed on as it arrives, as slices of the chunk; every other frame is
// passed whole, from the chunk when it lies in one, else from a buffer of its own size. Sizes are checked before anything is kept.
// Invariants: at most one frame (16 KiB) is ever kept; any split of the same bytes gives the same calls, but for DATA slices.

import { DEFAULT_MAX_FRAME_SIZE, ErrorCode, Flag, FRAME_HEADER_BYTES, FrameType } from './frames.js'

export interface FrameSink {
  /** A frame's nine octets, before its payload. False: stop reading for good. */
  onFrameHeader(length: number, type: number, streamId: number): boolean
  /** A whole frame other than DATA; `buffer[start, start + length)` is its payload, valid during the call. */
  onFrame(type: number, flags: number, streamId: number, buffer: Buffer, start: number, length: number): void
  /** A DATA frame begins; `length` counts padding. */
  onDataBegin(streamId: number, length: number): void
  /** The frame's padding (with its length octet) is known: `length` octets of content follow. */
  onDataStart(length: number, padding: number, endStream: boolean): void
  /** Content of the current DATA frame; `last` with its last slice (which is empty for an empty frame). */
  onDataSlice(slice: Buffer, last: boolean): void
  /** Error that ends the connection. */
  onReadError(code: number, reason: string): void
  /** Nothing more is to be read. */
  readonly stopped: boolean
}

const NOTHING = Buffer.alloc(0)

// What the next byte belongs to.
const HEADER = 0
const PAYLOAD = 1
const PAD_LENGTH = 2
const CONTENT = 3
const PADDING = 4

export class FrameReader {
  private state = HEADER
  private readonly headerBytes = Buffer.alloc(FRAME_HEADER_BYTES)
  private headerFilled = 0
  private payload = NOTHING
  private payloadFilled = 0
  private type = 0
  private flags = 0
  private streamId = 0
  private length = 0
  /** Of the current DATA frame: content and padding still to come. */
  private content = 0
  private padding = 0

  constructor(private readonly sink: FrameSink) {}

  /** A frame other than DATA has begun and is not complete. */
  get midFrame(): boolean {
    return this.state === PAYLOAD || this.headerFilled > 0
  }

  /** HOT: every byte in. */
  read(chunk: Buffer, pos: number): void {
    const end = chunk.length
    const sink = this.sink
    while (pos < end) {
      switch (this.state) {
        case HEADER: {
          let header = chunk
          let at = pos
          if (this.headerFilled > 0 || end - pos < FRAME_HEADER_BYTES) {
            const taken = Math.min(FRAME_HEADER_BYTES - this.headerFilled, end - pos)
            chunk.copy(this.headerBytes, this.headerFilled, pos, pos + taken)
            this.headerFilled += taken
            pos += taken
            if (this.headerFilled < FRAME_HEADER_BYTES) return
            this.headerFilled = 0
            header = this.headerBytes
            at = 0
          } else pos += FRAME_HEADER_BYTES
          if (!this.readHeader(header, at)) return
          if (this.type === FrameType.DATA) {
            this.beginData()
            if (sink.stopped) return
          } else if (end - pos >= this.length) {
            const length = this.length
            sink.onFrame(this.type, this.flags, this.streamId, chunk, pos, length)
            if (sink.stopped) return
            pos += length
          } else {
            this.payload = Buffer.allocUnsafe(this.length)
            this.payloadFilled = 0
            this.state = PAYLOAD
          }
          break
        }
        case PAYLOAD: {
          const taken = Math.min(this.length - this.payloadFilled, end - pos)
          chunk.copy(this.payload, this.payloadFilled, pos, pos + taken)
          this.payloadFilled += taken
          pos += taken
          if (this.payloadFilled < this.length) return
          const payload = this.payload
          this.payload = NOTHING
          this.state = HEADER
          sink.onFrame(this.type, this.flags, this.streamId, payload, 0, this.length)
          if (sink.stopped) return
          break
        }
        case PAD_LENGTH:
          this.startContent(chunk[pos++]!)
          if (sink.stopped) return
          break
        case CONTENT: {
          const taken = Math.min(this.content, end - pos)
          this.content -= taken
          const last = this.content === 0
          if (last) this.state = this.padding > 0 ? PADDING : HEADER
          const slice = taken === end && pos === 0 ? chunk : chunk.subarray(pos, pos + taken)
          pos += taken
          sink.onDataSlice(slice, last)
          if (sink.stopped) return
          break
        }
        default: {
          const taken = Math.min(this.padding, end - pos)
          this.padding -= taken
          pos += taken
          if (this.padding === 0) this.state = HEADER
        }
      }
    }
  }

  private readHeader(header: Buffer, at: number): boolean {
    this.length = (header[at]! << 16) | (header[at + 1]! << 8) | header[at + 2]!
    this.type = header[at + 3]!
    this.flags = header[at + 4]!
    this.streamId = ((header[at + 5]! & 0x7f) << 24) | (header[at + 6]! << 16) | (header[at + 7]! << 8) | header[at + 8]!
    if (this.length > DEFAULT_MAX_FRAME_SIZE) {
      this.sink.onReadError(ErrorCode.FRAME_SIZE_ERROR, `a frame of ${this.length} bytes exceeds SETTINGS_MAX_FRAME_SIZE`)
      return false
    }
    return this.sink.onFrameHeader(this.length, this.type, this.streamId)
  }

  private beginData(): void {
    this.sink.onDataBegin(this.streamId, this.length)
    if (this.sink.stopped) return
    if ((this.flags & Flag.PADDED) === 0) {
      this.content = this.length
      this.padding = 0
      this.contentKnown(0)
    } else if (this.length === 0) this.sink.onReadError(ErrorCode.FRAME_SIZE_ERROR, 'a padded DATA frame without a pad length')
    else this.state = PAD_LENGTH
  }

  private startContent(padLength: number): void {
    if (padLength >= this.length) {
      this.sink.onReadError(ErrorCode.PROTOCOL_ERROR, 'DATA padding is longer than the frame')
      return
    }
    this.content = this.length - 1 - padLength
    this.padding = padLength
    this.contentKnown(1 + padLength)
  }

  private contentKnown(overhead: number): void {
    const content = this.content
    this.state = content > 0 ? CONTENT : this.padding > 0 ? PADDING : HEADER
    this.sink.onDataStart(content, overhead, (this.flags & Flag.END_STREAM) !== 0)
    if (content === 0 && !this.sink.stopped) this.sink.onDataSlice(NOTHING, true)
  }
}
