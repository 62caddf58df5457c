// The first bytes of a client, looked at before anything is decided: each inspector in turn (PROXY header, ClientHello, HTTP request line)
// sees what has come until it knows enough. Made by Connection while its socket is paused; pauses it again before it reports. What was
// read and not consumed goes on with the connection. Reports exactly once, and never after stop().

import type { Socket } from 'node:net'

export type Inspection =
  | { readonly kind: 'more' }
  /** `consumed`: bytes that are this inspector's own and nobody else's. */
  | { readonly kind: 'done'; readonly consumed: number }
  | { readonly kind: 'refused'; readonly reason: string }

export const MORE: Inspection = { kind: 'more' }
export const SEEN: Inspection = { kind: 'done', consumed: 0 }

export interface Inspector {
  /** `bytes`: all that has come; called again with more after `more`. */
  look(bytes: Buffer): Inspection
}

export interface FirstBytesHost {
  onInspected(early: Buffer | null): void
  onRefused(reason: string): void
  /** The client ended before enough had come. */
  onLeft(): void
}

const NO_BYTES = Buffer.alloc(0)

export class FirstBytes {
  private readonly socket: Socket
  private readonly inspectors: readonly Inspector[]
  private readonly host: FirstBytesHost
  private bytes: Buffer
  private at = 0
  private over = false
  private readonly onData = (chunk: Buffer): void => {
    this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk])
    this.look()
  }
  private readonly onEnd = (): void => {
    this.stop()
    this.host.onLeft()
  }

  /** `early`: bytes that were read before. */
  constructor(socket: Socket, early: Buffer | null, inspectors: readonly Inspector[], host: FirstBytesHost) {
    this.socket = socket
    this.inspectors = inspectors
    this.host = host
    this.bytes = early ?? NO_BYTES
  }

  start(): void {
    if (this.bytes.length > 0 || this.inspectors.length === 0) this.look()
    if (this.over) return
    this.socket.on('data', this.onData)
    this.socket.once('end', this.onEnd)
    this.socket.resume()
  }

  /** Read no further; the socket is paused. */
  stop(): void {
    this.over = true
    this.socket.off('data', this.onData)
    this.socket.off('end', this.onEnd)
    this.socket.pause()
  }

  /** The time is over: go on with what is known. */
  giveUp(): void {
    this.stop()
    this.host.onInspected(this.bytes.length === 0 ? null : this.bytes)
  }

  private look(): void {
    for (; this.at < this.inspectors.length; this.at++) {
      if (this.bytes.length === 0) return
      const result = this.inspectors[this.at]!.look(this.bytes)
      if (result.kind === 'more') return
      if (result.kind === 'refused') {
        this.stop()
        this.host.onRefused(result.reason)
        return
      }
      this.bytes = this.bytes.subarray(result.consumed)
    }
    this.giveUp()
  }
}
