// Splits the bytes of a gRPC stream into its messages, however they are cut up. Used by streams that are answered message by message. Bounded:
// a message that is compressed, or longer than MAX_GRPC_MESSAGE_BYTES, ends the reading. Each byte is copied a bounded number of times: what is
// held grows by doubling, and is looked at when the head, or the message that the head announces, is whole.

import { GRPC_FRAME_HEADER_BYTES } from './grpc-frame.js'

export const MAX_GRPC_MESSAGE_BYTES = 4 * 1024 * 1024

const EMPTY = Buffer.alloc(0)

export class GrpcMessageReader {
  /** Of which `heldBytes` are there. */
  private held = EMPTY
  private heldBytes = 0
  /** Nothing is whole before so much is there. */
  private wantedBytes = GRPC_FRAME_HEADER_BYTES

  /** The messages that are complete with `chunk`; null: what came is no message that we take. */
  push(chunk: Buffer): Buffer[] | null {
    this.hold(chunk)
    const messages: Buffer[] = []
    let start = 0
    while (this.heldBytes - start >= this.wantedBytes) {
      const length = this.held.readUInt32BE(start + 1)
      if (this.held[start] !== 0 || length > MAX_GRPC_MESSAGE_BYTES) return null
      const end = start + GRPC_FRAME_HEADER_BYTES + length
      if (this.heldBytes < end) {
        this.wantedBytes = end - start
        break
      }
      messages.push(this.held.subarray(start + GRPC_FRAME_HEADER_BYTES, end))
      start = end
      this.wantedBytes = GRPC_FRAME_HEADER_BYTES
    }
    if (start > 0) this.release(start)
    return messages
  }

  private hold(chunk: Buffer): void {
    const needed = this.heldBytes + chunk.length
    if (needed > this.held.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, Math.min(2 * this.held.length, this.wantedBytes)))
      this.held.copy(grown, 0, 0, this.heldBytes)
      this.held = grown
    }
    chunk.copy(this.held, this.heldBytes)
    this.heldBytes = needed
  }

  /** The messages stand in what was held: what follows them begins in a buffer of its own. */
  private release(start: number): void {
    const rest = this.held.subarray(start, this.heldBytes)
    this.held = rest.length === 0 ? EMPTY : Buffer.from(rest)
    this.heldBytes = rest.length
  }
}
