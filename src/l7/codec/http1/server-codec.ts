// HTTP/1.1 on a downstream connection: bytes to requests, responses to bytes (RFC 9112). One request is in progress at a time;
// bytes that cannot be taken now (pipelined, early tunnel bytes, a paused body) wait in Http1Input while the transport is paused. Thin: no routing, no policy. Made by the downstream connection, which is its ServerHandler.
//
//   HEAD ──head complete──▶ BODY ──end──▶ WAIT ──response end──▶ HEAD
//                             │                     │
//                             └── response end ──▶ DISCARD (rest of the body, bounded) ──▶ HEAD
//   WAIT ──101 / CONNECT 2xx──▶ TUNNEL ──both ways ended──▶ CLOSED          any ──error, close──▶ CLOSED

import type { Codec, CodecError, HeadLimits, ServerHandler, StreamReset, Transport } from '../codec.js'
import type { HeaderList } from '../header-list.js'
import { BodyDecoder, type BodySink } from './body-decoder.js'
import { codecError } from './field-section.js'
import { parseRequestHead, type RequestRules } from './head-parser.js'
import { HEAD_ILLEGAL, HEAD_INCOMPLETE, HEAD_TOO_LARGE, HeadReader } from './head-reader.js'
import { Http1Input, type InputTaker, MAX_HELD_BYTES } from './input.js'
import type { HeaderCase } from './message-writer.js'
import { Http1Output } from './output.js'
import { Http1ServerStream, type ServerStreamHost } from './server-stream.js'

export interface Http1ServerOptions extends RequestRules {
  readonly limits: HeadLimits
  readonly headerCase: HeaderCase
  /** Trailers are passed on (Http1ProtocolOptions.enable_trailers); without it they are read and dropped. */
  readonly enableTrailers: boolean
}

/** Empty lines allowed before a request line (RFC 9112 §2.2 asks for at least one). */
const MAX_LEADING_CRLF = 8
/** How much of an unread request body is thrown away after an early response before the connection is closed instead. */
export const MAX_DISCARDED_BODY_BYTES = 64 * 1024

const EMPTY = Buffer.alloc(0)
const CR = 13
const LF = 10

const HEAD = 0
const BODY = 1
const WAIT = 2
const DISCARD = 3
const TUNNEL = 4
const CLOSED = 5

export class Http1ServerCodec implements Codec, ServerStreamHost, BodySink, InputTaker {
  readonly transport: Transport
  readonly options: Http1ServerOptions
  readonly output: Http1Output
  draining = false
  private readonly handler: ServerHandler
  private readonly input: Http1Input
  private readonly head: HeadReader
  private readonly body: BodyDecoder
  private phase = HEAD
  private stream: Http1ServerStream | null = null
  private leadingCrlf = 0
  private leadingCr = false
  private headPending = false
  private discarded = 0
  /** A request has been taken since the owner last heard onIdle. */
  private busy = false
  private tunnelLocalEnded = false
  private tunnelRemoteEnded = false

  constructor(transport: Transport, handler: ServerHandler, options: Http1ServerOptions) {
    this.transport = transport
    this.handler = handler
    this.options = options
    this.output = new Http1Output(transport)
    this.input = new Http1Input(transport, this)
    this.head = new HeadReader(options.limits.maxHeadBytes)
    this.body = new BodyDecoder(this, options.limits)
  }

  get activeStreams(): number {
    return this.stream === null ? 0 : 1
  }

  // ---- input ----------------------------------------------------------------------------------------------------------------

  /** HOT. */
  feed(chunk: Buffer): void {
    this.input.feed(chunk)
  }

  take(chunk: Buffer): number {
    let offset = 0
    while (offset < chunk.length) {
      switch (this.phase) {
        case HEAD:
          offset = this.takeHead(chunk, offset)
          if (offset === -1) return chunk.length
          break
        case BODY:
        case DISCARD: {
          if (this.input.paused) return offset
          const discarding = this.phase === DISCARD
          const next = this.body.feed(chunk, offset)
          if (next === -1) {
            this.failBody(this.body.error!)
            return chunk.length
          }
          if (this.phase === DISCARD) {
            if (discarding) this.discarded += next - offset
            if (this.body.done) this.phase = HEAD
            else if (this.discarded > MAX_DISCARDED_BODY_BYTES) this.close()
          }
          offset = next
          break
        }
        case TUNNEL:
          if (this.input.paused) return offset
          this.stream!.events.onData(offset === 0 ? chunk : chunk.subarray(offset), false)
          return chunk.length
        case WAIT:
          return offset
        default:
          return chunk.length
      }
    }
    return offset
  }

  get inputClosed(): boolean {
    return this.phase === CLOSED
  }

  afterInput(): void {
    if (this.busy && this.stream === null && this.phase === HEAD) this.idle()
  }

  inputOverflow(): void {
    this.breakOff(codecError(0, 'http1.held_bytes', `more than ${MAX_HELD_BYTES} bytes wait for a paused request`), 'overflow')
  }

  /** Parse one head at `offset`; returns the new offset, or -1 when it is incomplete (bytes are kept) or refused. */
  private takeHead(chunk: Buffer, offset: number): number {
    const { head: reader } = this
    const { limits } = this.options
    if (!reader.pending) {
      offset = this.skipEmptyLines(chunk, offset)
      if (offset === -1 || offset === chunk.length) return offset
    }
    const next = reader.take(chunk, offset)
    switch (next) {
      case HEAD_INCOMPLETE:
        if (!this.headPending) {
          this.headPending = true
          this.handler.onHeadPending(true)
        }
        return -1
      case HEAD_TOO_LARGE:
        return this.refuse(
          codecError(
            431,
            'http1.headers_too_large',
            `request headers are larger than ${limits.maxHeadBytes >> 10} KiB (max_request_headers_kb)`,
            'downstream_rq_too_large',
          ),
        )
      case HEAD_ILLEGAL:
        return this.refuse(codecError(400, 'http1.invalid_characters', 'a control character, bare CR or bare LF in the request head'))
    }
    this.headIsComplete()
    this.leadingCrlf = 0
    const parsed = parseRequestHead(reader, limits, this.options)
    reader.reset()
    if ('details' in parsed) return this.refuse(parsed)
    const { head, framing } = parsed
    let end = framing === 'none'
    if (head.method === 'CONNECT' || head.upgrade !== '') {
      if (!end) {
        if (head.method === 'CONNECT') return this.refuse(codecError(400, 'http1.body_disallowed', 'CONNECT with a body'))
        // An upgrade with a body cannot be told from a pipelined request by every hop: the body wins (nghttp2#2809, CVE-2026-58055).
        head.upgrade = ''
      } else {
        // What follows the head is the tunnel's, without a length.
        head.headers.remove('content-length')
        head.contentLength = -1
        end = false
      }
    }
    const stream = new Http1ServerStream(this, head, parsed.keepAlive)
    this.stream = stream
    this.busy = true
    if (framing === 'none') {
      this.phase = WAIT
      stream.requestDone = true
    } else {
      this.phase = BODY
      this.body.start(framing, head.contentLength)
    }
    this.handler.onRequest(stream, head, end)
    return next
  }

  /** RFC 9112 §2.2. Returns the offset of the first byte of the request line, the chunk's length, or -1. */
  private skipEmptyLines(chunk: Buffer, offset: number): number {
    while (offset < chunk.length && (this.leadingCr || chunk[offset] === CR)) {
      if (!this.leadingCr) {
        this.leadingCr = true
        offset++
        continue
      }
      this.leadingCr = false
      if (chunk[offset] !== LF) return this.refuse(codecError(400, 'http1.invalid_characters', 'a bare CR before the request line'))
      if (++this.leadingCrlf > MAX_LEADING_CRLF)
        return this.refuse(codecError(400, 'http1.codec_error', `more than ${MAX_LEADING_CRLF} empty lines before the request line`))
      offset++
    }
    return offset
  }

  private headIsComplete(): void {
    if (!this.headPending) return
    this.headPending = false
    this.handler.onHeadPending(false)
  }

  get bodyStopped(): boolean {
    return this.input.paused || this.phase === CLOSED
  }

  bodyData(chunk: Buffer, end: boolean): void {
    if (this.phase !== BODY) return
    const stream = this.stream!
    stream.bodySeen = true
    if (end) this.endOfRequest(stream)
    stream.events.onData(chunk, end)
  }

  bodyTrailers(trailers: HeaderList): void {
    if (this.phase !== BODY) return
    const stream = this.stream!
    this.endOfRequest(stream)
    if (this.options.enableTrailers) stream.events.onTrailers(trailers)
    else stream.events.onData(EMPTY, true)
  }

  private endOfRequest(stream: Http1ServerStream): void {
    this.phase = WAIT
    stream.requestDone = true
  }

  // ---- refusals and ends ----------------------------------------------------------------------------------------------------

  /** A request that cannot be parsed: the handler answers on a stream that closes the connection. */
  private refuse(error: CodecError): -1 {
    const stream = new Http1ServerStream(this, null, false)
    stream.requestDone = true
    this.stream = stream
    this.phase = WAIT
    this.input.held = null
    this.head.reset()
    this.headIsComplete()
    this.handler.onBadRequest(stream, error, null)
    return -1
  }

  /** The body is broken: a 400 if nothing was answered yet, else the connection breaks off inside the response. */
  private failBody(error: CodecError): void {
    const stream = this.stream
    if (stream === null || this.phase === DISCARD || stream.headSent) {
      this.breakOff(error, 'protocol-error')
      return
    }
    stream.keepAlive = false
    stream.requestDone = true
    this.phase = WAIT
    this.input.held = null
    this.input.paused = false
    const { events } = stream
    stream.forgetEvents()
    events.onReset({ code: error.status === 431 ? 'overflow' : 'protocol-error', details: error.details })
    if (this.stream === stream && !stream.headSent) this.handler.onBadRequest(stream, error, stream.request)
  }

  /** Nothing can be answered: drop the connection, so that the client sees a broken message and never a false end. */
  private breakOff(error: CodecError, code: StreamReset['code']): void {
    const { stream } = this
    this.cut()
    stream?.events.onReset({ code, details: error.details })
    this.handler.onConnectionError(error)
  }

  onTransportEnd(): void {
    if (this.phase === CLOSED) return
    if (this.phase === TUNNEL) {
      if (!this.tunnelRemoteEnded) this.input.end()
      return
    }
    if (this.stream === null) {
      // Between requests: what was written still goes out.
      this.close()
      return
    }
    // As Envoy: a client that half-closes has gone; nothing is kept running for it.
    this.onTransportClose({ code: 'connection-closed', details: 'downstream_remote_disconnect' })
    this.transport.destroy()
  }

  inputEnded(): void {
    if (this.phase !== TUNNEL) return
    this.tunnelRemoteEnded = true
    this.stream!.events.onData(EMPTY, true)
    this.settleTunnel()
  }

  onTransportClose(reason: StreamReset): void {
    if (this.phase === CLOSED) return
    // Both ways of a tunnel ended properly, and its reader has not yet taken everything.
    if (this.input.finPending && this.tunnelLocalEnded && reason.code === 'connection-closed') return
    const stream = this.takeStream()
    stream?.events.onReset(reason)
  }

  /** CLOSED. Returns the stream that was in progress, for a last event. */
  private takeStream(): Http1ServerStream | null {
    const { stream } = this
    this.phase = CLOSED
    this.stream = null
    this.head.reset()
    this.output.close()
    this.input.close()
    stream?.close()
    return stream
  }

  onTransportDrain(): void {
    this.stream?.drained()
  }

  drain(): void {
    this.draining = true
    if (this.stream === null && this.phase === DISCARD) this.close()
    else if (this.stream === null && this.phase === HEAD && !this.head.pending && !this.input.running && this.input.held === null)
      this.close()
  }

  flush(): void {
    this.output.flush()
  }

  // ---- what streams do ------------------------------------------------------------------------------------------------------

  setPaused(stream: Http1ServerStream, paused: boolean): void {
    if (stream === this.stream) this.input.setPaused(paused)
  }

  /** The 101 or CONNECT 2xx was written: what the client sent behind its request goes through now. */
  tunnel(stream: Http1ServerStream): void {
    if (stream !== this.stream) return
    this.phase = TUNNEL
    this.input.pump()
  }

  tunnelEnded(stream: Http1ServerStream): void {
    if (stream !== this.stream) return
    this.tunnelLocalEnded = true
    this.transport.end('half')
    this.settleTunnel()
  }

  /** Over when both ways have ended; the transport closes by itself once everything is written. */
  private settleTunnel(): void {
    if (this.tunnelLocalEnded && this.tunnelRemoteEnded && this.phase === TUNNEL) this.takeStream()
  }

  /** The response is complete. */
  finished(stream: Http1ServerStream): void {
    if (stream !== this.stream) return
    this.output.flush()
    const discard = this.phase === BODY
    if (!stream.keepAlive || this.draining || (discard && this.bodyTooLong)) {
      this.close()
      return
    }
    this.stream = null
    this.input.paused = false
    if (discard) {
      this.phase = DISCARD
      this.discarded = 0
      // Nothing is in flight any more, though what is left of the body may take its time.
      this.idle()
    } else this.phase = HEAD
    if (this.input.held !== null && !this.input.running) {
      // A pipelined request is begun when all of this one is settled: its counters and log, and above all its upstream connection.
      this.input.pumpSoon()
      return
    }
    this.input.pump()
    if (!this.input.running) this.afterInput()
  }

  get bodyTooLong(): boolean {
    const { bytesLeft } = this.body
    return this.phase === BODY && bytesLeft !== Number.POSITIVE_INFINITY && bytesLeft > MAX_DISCARDED_BODY_BYTES
  }

  private idle(): void {
    this.busy = false
    this.handler.onIdle()
  }

  /** Orderly end: what was written goes out, then FIN. */
  close(): void {
    if (this.phase === CLOSED) return
    this.output.flush()
    this.takeStream()
    this.transport.end()
  }

  abort(stream: Http1ServerStream): void {
    if (stream === this.stream) this.cut()
  }

  /** The end inside a message. What there was of the response goes out first, as Envoy does, where the client still sees that it is cut. */
  private cut(): void {
    if (this.stream?.showsCut === true && !this.tunnelLocalEnded) {
      this.close()
      return
    }
    this.takeStream()
    this.transport.destroy()
  }
}
