// One HTTP/2 stream, the part that is the same on both sides: body events with pause and resume, sending, reset. The sides' own parts
// (heads) are in server-codec.ts and client-codec.ts. Called by connection.ts with what arrives and by the request path with what is
// to be sent; sends through send-scheduler.ts.
//
//   remote: open ──END_STREAM──▶ remoteClosed          local: open ──end accepted──▶ sendEnded ──END_STREAM written──▶ localClosed
//   both closed: the stream leaves the connection (`gone`); a paused stream may still hold events. reset: gone and `silent`.
//
// Invariant: after `silent` no event is delivered; every received byte is credited to the connection's window exactly once.

import type { BodyEvents, ResetCode, StreamReset } from '../codec.js'
import type { HeaderList } from '../header-list.js'
import { ByteQueue } from './byte-queue.js'
import { ErrorCode } from './frames.js'

const NOTHING = Buffer.alloc(0)

/** Swallows events of a stream that nobody listens to. */
export const NO_EVENTS: BodyEvents = { onData() {}, onTrailers() {}, onReset() {}, onDrain() {} }

const RESET_CODES: Readonly<Record<ResetCode, number>> = {
  cancel: ErrorCode.CANCEL,
  'internal-error': ErrorCode.INTERNAL_ERROR,
  refused: ErrorCode.REFUSED_STREAM,
  'protocol-error': ErrorCode.PROTOCOL_ERROR,
  'no-error': ErrorCode.NO_ERROR,
  'enhance-your-calm': ErrorCode.ENHANCE_YOUR_CALM,
  'connect-error': ErrorCode.CONNECT_ERROR,
}

/** The connection as its streams see it. Http2ConnectionBase implements it. */
export interface Http2StreamHost {
  readonly scheduler: {
    /** False: wait for onDrain. */
    send(stream: Http2Stream, chunk: Buffer, end: boolean): boolean
    sendTrailers(stream: Http2Stream, trailers: HeaderList): void
  }
  /** Received octets were taken by their reader, or thrown away. */
  consumed(stream: Http2Stream, count: number): void
  resetStream(stream: Http2Stream, code: number): void
  /** With NO_ERROR: nothing more of the request is wanted. */
  callOff(stream: Http2Stream): void
  /** No stream after those that run. */
  drain(): void
}

export abstract class Http2Stream {
  /** 0 on a client stream that has not sent its head. */
  id: number
  events: BodyEvents
  /** Octets that we may send, and that the peer may send. */
  sendWindow: number
  receiveWindow: number
  /** Octets consumed and not yet given back with WINDOW_UPDATE. */
  unacknowledged = 0
  remoteClosed = false
  localClosed = false
  /** The end was accepted by sendData, sendHead or sendTrailers, though it may wait behind data. */
  sendEnded = false
  gone = false
  silent = false
  paused = false
  /** Data that waits for window or transport; null when none ever did. */
  outbox: ByteQueue | null = null
  /** Trailers that wait behind it. */
  outTrailers: HeaderList | null = null
  /** sendData returned false. */
  wantsDrain = false
  /** In the scheduler's queue. */
  queued = false
  /** Reset with NO_ERROR once everything is sent (RFC 9113 §8.1: an early, complete response). */
  resetWhenSent = false
  /** Declared content-length of what we receive, -1 when unknown; and what came so far. */
  contentLength = -1
  received = 0
  /** Content is not allowed: responses to HEAD, 204, 304. */
  bodyForbidden = false
  /** Octets of its decoded head, counted against the connection. */
  headBytes = 0

  private inbox: ByteQueue | null = null
  private inboxEnded = false
  private inboxTrailers: HeaderList | null = null
  private inboxReset: StreamReset | null = null
  private delivering = false

  constructor(
    readonly connection: Http2StreamHost,
    id: number,
    events: BodyEvents,
    sendWindow: number,
    receiveWindow: number,
    readonly openedAt: number,
  ) {
    this.id = id
    this.events = events
    this.sendWindow = sendWindow
    this.receiveWindow = receiveWindow
  }

  get bufferedBytes(): number {
    return this.outbox === null ? 0 : this.outbox.length
  }

  // ── receiving, from connection.ts ──

  /** Content that passed all checks. `end`: the message ends with it. */
  receive(slice: Buffer, end: boolean): void {
    if (this.silent) {
      if (slice.length > 0) this.connection.consumed(this, slice.length)
      return
    }
    if (this.paused || this.holding()) {
      if (this.inbox === null) this.inbox = new ByteQueue()
      this.inbox.push(slice, 0)
      if (end) this.inboxEnded = true
      return
    }
    this.events.onData(slice, end)
    if (slice.length > 0) this.connection.consumed(this, slice.length)
  }

  /** The message ends with trailers. */
  receiveTrailers(trailers: HeaderList): void {
    if (this.silent) return
    if (this.paused || this.holding()) this.inboxTrailers = trailers
    else this.events.onTrailers(trailers)
  }

  /** The stream is gone. `patient`: what already arrived is complete and is delivered first. */
  receiveReset(reset: StreamReset, patient: boolean): void {
    if (this.silent) return
    if (patient && this.holding()) {
      this.inboxReset = reset
      return
    }
    this.silent = true
    this.discardInbox()
    this.events.onReset(reset)
  }

  private holding(): boolean {
    return this.inboxEnded || this.inboxTrailers !== null || this.inboxReset !== null || (this.inbox !== null && this.inbox.length > 0)
  }

  private discardInbox(): void {
    const inbox = this.inbox
    this.inbox = null
    this.inboxEnded = false
    this.inboxTrailers = null
    if (inbox !== null && inbox.length > 0) this.connection.consumed(this, inbox.length)
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (this.delivering || !this.holding()) return
    this.delivering = true
    this.deliverInbox()
    this.delivering = false
  }

  private deliverInbox(): void {
    while (!this.paused && !this.silent) {
      const inbox = this.inbox
      if (inbox !== null && inbox.length > 0) {
        const slice = inbox.shift(inbox.length)
        const last = this.inboxEnded && inbox.length === 0
        if (last) this.inboxEnded = false
        this.events.onData(slice, last)
        this.connection.consumed(this, slice.length)
      } else if (this.inboxEnded) {
        this.inboxEnded = false
        this.events.onData(NOTHING, true)
      } else if (this.inboxTrailers !== null) {
        const trailers = this.inboxTrailers
        this.inboxTrailers = null
        this.events.onTrailers(trailers)
      } else if (this.inboxReset !== null) {
        const reset = this.inboxReset
        this.inboxReset = null
        this.silent = true
        this.events.onReset(reset)
      } else return
    }
  }

  // ── sending, from the request path ──

  sendData(chunk: Buffer, end: boolean): boolean {
    if (this.sendEnded || this.gone) return true
    if (end) this.sendEnded = true
    return this.connection.scheduler.send(this, chunk, end)
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.sendEnded || this.gone) return
    this.sendEnded = true
    this.connection.scheduler.sendTrailers(this, trailers)
  }

  reset(code: ResetCode): void {
    if (this.silent) return
    this.silent = true
    this.discardInbox()
    if (this.gone) return
    if (code === 'no-error' && this.sendEnded) {
      if (this.localClosed) this.connection.callOff(this)
      else this.resetWhenSent = true
      return
    }
    this.connection.resetStream(this, RESET_CODES[code])
  }
}
