// The upstream side of a CONNECT that ends here (Envoy connect_config): a plain TCP connection that looks like a codec, so that the
// relay need not know. Connecting is the success that a 200 tells; after it bytes pass both ways. Made by the upstream connection.
// Invariant: one stream a connection, never used again.
//
//   IDLE ──sendHead──▶ OPEN ──both ways ended, reset, closed──▶ CLOSED

import { ownBytes } from '../../io/shared-read.js'
import type { ClientCodec, ClientEvents, ClientHandler, ClientStream, RequestHead, StreamReset, Transport } from './codec.js'
import { HeaderList } from './header-list.js'

const EMPTY = Buffer.alloc(0)

export class TunnelClientCodec implements ClientCodec, ClientStream {
  readonly maxStreams = 1
  readonly limitKnown = true
  private readonly transport: Transport
  private readonly handler: ClientHandler
  private events: ClientEvents | null = null
  private taken = false
  private paused = false
  private blocked = false
  private localEnded = false
  private remoteEnded = false
  cutShort = false
  readonly peerCloses = false
  /** A server that speaks first may do so before the request takes the connection. */
  private early: Buffer[] = []

  constructor(transport: Transport, handler: ClientHandler) {
    this.transport = transport
    this.handler = handler
  }

  get usable(): boolean {
    return !this.taken
  }

  get activeStreams(): number {
    return this.events === null ? 0 : 1
  }

  get bufferedBytes(): number {
    return this.transport.writableLength
  }

  newStream(events: ClientEvents): ClientStream | null {
    if (this.taken) return null
    this.taken = true
    this.events = events
    return this
  }

  // ---- the stream -----------------------------------------------------------------------------------------------------------

  /** The answer comes a moment later, as every other's: the sender is still in the middle of sending. */
  sendHead(_head: RequestHead, _end: boolean): void {
    process.nextTick(() => this.open())
  }

  private open(): void {
    const head = { status: 200, reason: '', version: 'HTTP/1.1' as const, headers: new HeaderList(), contentLength: -1, upgraded: true }
    this.events?.onHead(head, false)
    for (const chunk of this.early.splice(0)) this.events?.onData(chunk, false)
    this.resume()
    if (this.remoteEnded) this.events?.onData(EMPTY, true)
  }

  sendData(chunk: Buffer, end: boolean): boolean {
    if (this.events === null || this.localEnded) return true
    this.blocked = chunk.length > 0 && !this.transport.write(chunk)
    if (end) {
      this.localEnded = true
      this.transport.end()
      this.settle()
      return true
    }
    return !this.blocked
  }

  sendTrailers(): void {
    this.sendData(EMPTY, true)
  }

  pause(): void {
    this.paused = true
    if (this.events !== null) this.transport.pauseRead()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.transport.resumeRead()
  }

  reset(): void {
    if (this.events === null) return
    this.events = null
    this.cutShort = true
    this.transport.destroy()
    this.handler.onDraining()
  }

  /** Over when both ways have ended; the socket closes by itself once everything is written. */
  private settle(): void {
    if (!this.localEnded || !this.remoteEnded) return
    this.events = null
    this.handler.onDraining()
  }

  // ---- the connection -------------------------------------------------------------------------------------------------------

  /** HOT. */
  feed(chunk: Buffer): void {
    if (this.events !== null) this.events.onData(chunk, false)
    else if (!this.taken) {
      this.early.push(ownBytes(chunk))
      this.transport.pauseRead()
      this.paused = true
    }
  }

  onTransportEnd(): void {
    if (this.remoteEnded) return
    this.remoteEnded = true
    this.events?.onData(EMPTY, true)
    if (this.events !== null) this.settle()
  }

  onTransportClose(reason: StreamReset): void {
    const { events } = this
    this.taken = true
    this.events = null
    if (events !== null) this.cutShort = true
    events?.onReset(reason)
  }

  onTransportDrain(): void {
    if (!this.blocked) return
    this.blocked = false
    this.events?.onDrain()
  }

  flush(): void {}

  drain(): void {
    this.taken = true
  }
}
