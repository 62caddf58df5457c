// Bytes of one stream that wait: received while it is paused, or to be sent without window. Copies what it is given, and joins small
// pieces, so that a body in one-byte frames costs little more than its bytes (CVE-2020-8659). The owner bounds `length`.

const FIRST_BLOCK = 512
const LATER_BLOCK = 16384

export class ByteQueue {
  length = 0
  private readonly blocks: Buffer[] = []
  /** Read position in the first block, end of the last one's content. */
  private start = 0
  private end = 0

  /** Append a copy of `chunk[from, …)`. */
  push(chunk: Buffer, from: number): void {
    const count = chunk.length - from
    if (count === 0) return
    this.length += count
    let last = this.blocks[this.blocks.length - 1]
    if (last !== undefined) {
      const fits = Math.min(last.length - this.end, count)
      chunk.copy(last, this.end, from, from + fits)
      this.end += fits
      if (fits === count) return
      from += fits
    }
    const rest = chunk.length - from
    last = Buffer.allocUnsafeSlow(Math.max(rest, this.blocks.length === 0 ? FIRST_BLOCK : LATER_BLOCK))
    chunk.copy(last, 0, from)
    this.blocks.push(last)
    this.end = rest
  }

  /** Take up to `most` bytes from the front; only when there are some. The slice stays valid. */
  shift(most: number): Buffer {
    const block = this.blocks[0]!
    const last = this.blocks.length === 1
    const available = (last ? this.end : block.length) - this.start
    const count = Math.min(most, available)
    const slice = block.subarray(this.start, this.start + count)
    this.length -= count
    if (count === available) {
      this.blocks.shift()
      this.start = 0
      if (last) this.end = 0
    } else this.start += count
    return slice
  }
}
