// Counts length-prefixed gRPC messages in a byte stream without copying it (gRPC over HTTP/2: 1 flag byte, 4 length bytes).
// Used by grpc-stats.ts. HOT: per chunk, no allocation.

export class GrpcFrameCounter {
  count = 0
  /** Bytes of the 5-byte prefix seen so far. */
  private prefix = 0
  private length = 0

  /** Returns how many messages begin in this chunk. */
  feed(chunk: Buffer): number {
    const before = this.count
    let i = 0
    while (i < chunk.length) {
      if (this.prefix < 5) {
        const byte = chunk[i++]!
        if (this.prefix > 0) this.length = this.length * 256 + byte
        if (++this.prefix === 5) {
          this.count++
          if (this.length === 0) this.prefix = 0
        }
        continue
      }
      const taken = Math.min(this.length, chunk.length - i)
      i += taken
      this.length -= taken
      if (this.length === 0) this.prefix = 0
    }
    return this.count - before
  }
}
