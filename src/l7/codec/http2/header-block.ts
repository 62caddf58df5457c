// A header block that comes in more than one frame (RFC 9113 §4.3, §6.10): collected until END_HEADERS, bounded in frames and bytes
// (CVE-2024-27919, CVE-2024-30255). One per connection, since no other frame may come in between. Called by connection.ts.

/** CONTINUATION frames of one block. */
export const MAX_CONTINUATION_FRAMES = 64
/** A block may be this much larger, coded, than what it may decode to. */
const CODED_HEAD_FACTOR = 4
const MIN_CODED_HEAD_BYTES = 65536

const NOTHING = Buffer.alloc(0)

export class HeaderBlock {
  /** Its stream; 0 while no block is being collected. */
  streamId = 0
  endStream = false
  selfDependent = false
  bytes: Buffer = NOTHING
  length = 0
  private frames = 0
  private readonly maxBytes: number

  /** @param maxHeadBytes limit of the decoded head */
  constructor(maxHeadBytes: number) {
    this.maxBytes = Math.max(MIN_CODED_HEAD_BYTES, maxHeadBytes * CODED_HEAD_FACTOR)
  }

  begin(streamId: number, endStream: boolean, selfDependent: boolean): void {
    this.streamId = streamId
    this.endStream = endStream
    this.selfDependent = selfDependent
    this.length = 0
    this.frames = 0
  }

  /** Add a fragment. Returns '' or the limit that it passes. */
  append(buffer: Buffer, start: number, end: number): string {
    // The first fragment is of HEADERS.
    if (this.frames++ > MAX_CONTINUATION_FRAMES) return `more than ${MAX_CONTINUATION_FRAMES} CONTINUATION frames in one header block`
    const length = this.length + end - start
    if (length > this.maxBytes) return `a header block is longer than ${this.maxBytes} bytes`
    if (length > this.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(this.maxBytes, Math.max(4096, length, this.bytes.length * 2)))
      this.bytes.copy(grown, 0, 0, this.length)
      this.bytes = grown
    }
    buffer.copy(this.bytes, this.length, start, end)
    this.length = length
    return ''
  }

  /** The block is complete or given up. */
  clear(): void {
    this.streamId = 0
    this.bytes = NOTHING
  }
}
