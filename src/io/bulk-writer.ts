// Writes to a socket (or what behaves like one) so that the big chunks of one turn of the event loop leave in one system call: decrypted
// TLS records come 16 KiB at a time, and a call for each is most of what moving a stream costs. Small chunks, where latency counts, go
// at once unless big ones are before them, past Writable where that can be (direct-write.ts). Used by the TCP relay and by SocketTransport. HOT.

import type { Writable } from 'node:stream'
import type { DirectWriter } from './direct-write.js'
import { BULK_BYTES, isShared, ownBytes } from './shared-read.js'

/** From this size on a chunk is worth a call of its own. */
const LARGE_BYTES = 32 * 1024
/**
 * Most bytes of one connection that wait for its peer, whatever per_connection_buffer_limit_bytes allows: the kernel holds megabytes more,
 * and what waits here for hundreds of slow readers is memory, and work before any of it can be sent.
 */
export const MAX_WAITING_BYTES = 256 * 1024

export class BulkWriter {
  private readonly target: Writable
  private readonly limitBytes: number
  private readonly direct: DirectWriter | null
  private joining = false

  /**
   * `limitBytes`: with that much waiting, `write` asks for a pause (per_connection_buffer_limit_bytes). `direct`: of the target, for small
   * chunks.
   */
  constructor(target: Writable, limitBytes: number, direct: DirectWriter | null = null) {
    this.target = target
    this.direct = direct
    this.limitBytes = Math.min(limitBytes, MAX_WAITING_BYTES)
  }

  /** False: wait for the target's `drain`. An end() of the target sends what is joined first. */
  write(borrowed: Buffer): boolean {
    const { target, direct } = this
    // As text, since that is copied into the call: a copy of our own would be for the few writes that the kernel does not take whole.
    if (direct !== null && borrowed.length < BULK_BYTES && direct.takes(borrowed.length))
      return direct.write(borrowed.latin1Slice(), this.limitBytes)
    if (borrowed.length >= LARGE_BYTES && !this.joining) {
      const chunk = isShared(borrowed) ? ownBytes(borrowed) : borrowed
      const more = target.write(chunk)
      const waiting = target.writableLength
      // Else the kernel has taken all of it, and a slab may be read into again.
      if (waiting > 0) ownBytes(chunk)
      return more || waiting < this.limitBytes
    }
    const chunk = ownBytes(borrowed)
    if (chunk.length >= BULK_BYTES && !this.joining) {
      this.joining = true
      target.cork()
      setImmediate(flush, this)
    }
    return target.write(chunk) || target.writableLength < this.limitBytes
  }

  /** The turn is over. */
  flush(): void {
    this.joining = false
    this.target.uncork()
  }
}

function flush(writer: BulkWriter): void {
  writer.flush()
}
