// A net or tls socket as the codecs see it (the Transport contract of l7/codec). Counts bytes, keeps pause requests apart from the
// socket's own state, and does the delayed close: FIN, then the rest of the peer's bytes are thrown away until it closes too or a
// bounded time ends, so that a last response is not lost to a reset (RFC 9112 §9.6; Envoy delayed_close_timeout).

import type { Socket } from 'node:net'
import { BulkWriter, MAX_WAITING_BYTES } from './bulk-writer.js'
import { DirectWriter } from './direct-write.js'
import { ownBytes } from './shared-read.js'

/** Above this much unsent data a write reports backpressure. Envoy's per_connection_buffer_limit_bytes default is 1 MiB. */
export const DEFAULT_HIGH_WATERMARK_BYTES = 1024 * 1024

export class SocketTransport {
  readonly socket: Socket
  bytesWritten = 0
  private readonly highWatermark: number
  private readonly writer: BulkWriter
  private readonly direct: DirectWriter | null
  private readonly delayedCloseMs: number
  private pauses = 0
  /** Our FIN went out before the peer's came. */
  endedFirst = false
  /** The peer did not close in the time of a delayed close. */
  closeTimedOut = false
  private ended = false
  private delayedClose: NodeJS.Timeout | null = null

  constructor(socket: Socket, highWatermark = DEFAULT_HIGH_WATERMARK_BYTES, delayedCloseMs = 1000) {
    this.socket = socket
    this.highWatermark = Math.min(highWatermark, MAX_WAITING_BYTES)
    this.writer = new BulkWriter(socket, highWatermark)
    this.direct = DirectWriter.of(socket)
    this.delayedCloseMs = delayedCloseMs
  }

  get writableLength(): number {
    return this.socket.writableLength + (this.direct === null ? 0 : this.direct.waitingBytes)
  }

  /** HOT. True while less than the high watermark waits in user space. */
  write(data: Buffer | string): boolean {
    const { socket, direct } = this
    if (socket.destroyed || this.ended) return true
    this.bytesWritten += data.length
    if (direct?.takes(data.length) === true) return direct.write(typeof data === 'string' ? data : ownBytes(data), this.highWatermark)
    if (typeof data === 'string') return socket.write(data, 'latin1') || socket.writableLength < this.highWatermark
    return this.writer.write(data)
  }

  end(half?: 'half'): void {
    if (this.ended || this.socket.destroyed) return
    this.ended = true
    this.endedFirst = !this.socket.readableEnded
    this.socket.end()
    if (half === 'half' || this.delayedCloseMs === 0) return
    // The owner keeps reading and dropping, so a peer that still sends sees our response before a reset.
    this.socket.resume()
    this.delayedClose = setTimeout(onDelayedClose, this.delayedCloseMs, this)
    this.delayedClose.unref()
    this.socket.once('close', () => {
      if (this.delayedClose !== null) clearTimeout(this.delayedClose)
    })
  }

  destroy(): void {
    if (!this.ended) this.endedFirst = !this.socket.readableEnded && !this.socket.destroyed
    this.ended = true
    this.socket.destroy()
  }

  pauseRead(): void {
    if (this.pauses++ === 0) this.socket.pause()
  }

  resumeRead(): void {
    if (this.pauses === 0) return
    if (--this.pauses === 0 && !this.socket.destroyed) this.socket.resume()
  }
}

function onDelayedClose(transport: SocketTransport): void {
  transport.closeTimedOut = true
  transport.socket.destroy()
}
