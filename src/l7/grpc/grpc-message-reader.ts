// Splits the bytes of a gRPC stream into its messages, however they are cut up. Used by streams that are answered message by message. Bounded:
// a message that is compressed, or longer than MAX_GRPC_MESSAGE_BYTES, ends the reading.

import { GRPC_FRAME_HEADER_BYTES } from './grpc-frame.js'

export const MAX_GRPC_MESSAGE_BYTES = 4 * 1024 * 1024

export class GrpcMessageReader {
  private held: Buffer = Buffer.alloc(0)

  /** The messages that are complete with `chunk`; null: what came is no message that we take. */
  push(chunk: Buffer): Buffer[] | null {
    this.held = this.held.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.held, chunk])
    const messages: Buffer[] = []
    while (this.held.length >= GRPC_FRAME_HEADER_BYTES) {
      const length = this.held.readUInt32BE(1)
      if (this.held[0] !== 0 || length > MAX_GRPC_MESSAGE_BYTES) return null
      const end = GRPC_FRAME_HEADER_BYTES + length
      if (this.held.length < end) break
      messages.push(this.held.subarray(GRPC_FRAME_HEADER_BYTES, end))
      this.held = this.held.subarray(end)
    }
    return messages
  }
}
