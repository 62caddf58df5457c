// HTTP/1.1 on an upstream connection: one request at a time out, its response back (RFC 9112). Any byte that arrives while no
// request is outstanding breaks the connection, so that a response never pairs with a later request (CVE-2026-48931, CVE-2026-6733).
// Made by the upstream connection, which is its ClientHandler.
//
//   IDLE ──sendHead──▶ HEAD ──1xx──▶ HEAD ──final head──▶ BODY ──end──▶ IDLE (if both ways ended cleanly) or CLOSED
//                        └── 101 / CONNECT 2xx ──▶ TUNNEL ──both ways ended──▶ CLOSED

import type { ClientCodec, ClientEvents, ClientHandler, ClientStream, CodecError, HeadLimits, StreamReset, Transport } from '../codec.js'
import type { HeaderList } from '../header-list.js'
import { BodyDecoder, type BodySink } from './body-decoder.js'
import { type ClientStreamHost, Http1ClientStream } from './client-stream.js'
import { codecError } from './field-section.js'
import { parseResponseHead } from './head-parser.js'
import { HEAD_ILLEGAL, HEAD_INCOMPLETE, HEAD_TOO_LARGE, HeadReader } from './head-reader.js'
import { Http1Input, type InputTaker, MAX_HELD_BYTES } from './input.js'
import type { HeaderCase } from './message-writer.js'
import { Http1Output } from './output.js'

export interface Http1ClientOptions {
  readonly limits: HeadLimits
  readonly headerCase: HeaderCase
  readonly enableTrailers: boolean
}

/** 1xx responses to one request before the upstream is taken for broken. */
export const MAX_INFORMATIONAL = 32

const PROTOCOL_ERROR = 'upstream_reset_before_response_started{protocol_error}'
const EMPTY = Buffer.alloc(0)

const IDLE = 0
const HEAD = 1
const BODY = 2
const TUNNEL = 3
const CLOSED = 4

export class Http1ClientCodec implements ClientCodec, ClientStreamHost, BodySink, InputTaker {
  readonly transport: Transport
  readonly options: Http1ClientOptions
  readonly output: Http1Output
  readonly maxStreams = 1
  readonly limitKnown = true
  usable = true
  /** Seconds that the peer said it keeps idle connections (Keep-Alive: timeout=), -1 unknown. */
  keepAliveTimeoutS = -1
  private readonly handler: ClientHandler
  private readonly input: Http1Input
  private readonly head: HeadReader
  private readonly body: BodyDecoder
  private phase = IDLE
  private stream: Http1ClientStream | null = null
  private informational = 0
  private keepAlive = true
  peerCloses = false
  /** The exchange is over and the owner hears of it once this read has been looked at to its end. */
  private freePending = false
  private tunnelLocalEnded = false
  private tunnelRemoteEnded = false
  cutShort = false

  constructor(transport: Transport, handler: ClientHandler, options: Http1ClientOptions) {
    this.transport = transport
    this.handler = handler
    this.options = options
    this.output = new Http1Output(transport)
    this.input = new Http1Input(transport, this)
    this.head = new HeadReader(options.limits.maxHeadBytes)
    this.body = new BodyDecoder(this, options.limits, true)
  }

  get activeStreams(): number {
    return this.stream === null ? 0 : 1
  }

  newStream(events: ClientEvents): ClientStream | null {
    if (!this.usable || this.stream !== null || this.phase !== IDLE || this.freePending) return null
    const stream = new Http1ClientStream(this, events)
    this.stream = stream
    this.informational = 0
    this.output.wrote = false
    return stream
  }

  /** The stream's head leaves. */
  awaitResponse(): void {
    this.phase = HEAD
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
          if (this.input.paused) return offset
          offset = this.takeHead(chunk, offset)
          if (offset === -1) return chunk.length
          break
        case BODY:
          if (this.input.paused) return offset
          offset = this.body.feed(chunk, offset)
          if (offset === -1) {
            this.fail(this.body.error!)
            return chunk.length
          }
          break
        case TUNNEL:
          if (this.input.paused) return offset
          this.stream!.events.onData(offset === 0 ? chunk : chunk.subarray(offset), false)
          return chunk.length
        case IDLE:
          this.unsolicited()
          return chunk.length
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
    if (!this.freePending) return
    this.freePending = false
    if (this.phase === IDLE) this.handler.onStreamFree()
  }

  inputOverflow(): void {
    this.fail(codecError(502, 'http1.held_bytes', `more than ${MAX_HELD_BYTES} bytes wait for a paused response`))
  }

  private unsolicited(): void {
    this.fail(codecError(502, 'upstream_unsolicited_data', 'the upstream sent bytes with no request outstanding'))
  }

  private takeHead(chunk: Buffer, offset: number): number {
    const stream = this.stream!
    const { head: reader } = this
    const { limits } = this.options
    if (!this.output.wrote) {
      this.unsolicited()
      return -1
    }
    if (!reader.pending && chunk[offset] !== 72) {
      this.fail(codecError(502, PROTOCOL_ERROR, 'the upstream does not answer in HTTP/1.1'))
      return -1
    }
    const next = reader.take(chunk, offset)
    switch (next) {
      case HEAD_INCOMPLETE:
        return -1
      case HEAD_TOO_LARGE:
        this.fail(
          codecError(
            502,
            'upstream_reset_before_response_started{headers_too_large}',
            `response headers are larger than ${limits.maxHeadBytes >> 10} KiB (max_response_headers_kb)`,
          ),
        )
        return -1
      case HEAD_ILLEGAL:
        this.fail(codecError(502, PROTOCOL_ERROR, 'a control character, bare CR or bare LF in the response head'))
        return -1
    }
    const parsed = parseResponseHead(reader, limits, stream.method, stream.upgrade)
    reader.reset()
    if ('details' in parsed) {
      this.fail(parsed)
      return -1
    }
    const { head, framing } = parsed
    if (head.status < 200 && !head.upgraded) {
      if (++this.informational > MAX_INFORMATIONAL) {
        this.fail(codecError(502, PROTOCOL_ERROR, `more than ${MAX_INFORMATIONAL} informational responses`))
        return -1
      }
      stream.events.onInformational(head)
      return next
    }
    if (parsed.keepAliveTimeoutS >= 0) this.keepAliveTimeoutS = parsed.keepAliveTimeoutS
    const success = head.status >= 200 && head.status < 300
    if (head.upgraded || (stream.method === 'CONNECT' && success)) {
      head.upgraded = true
      head.contentLength = -1
      this.keepAlive = false
      this.phase = TUNNEL
      stream.events.onHead(head, false)
      if (stream === this.stream) stream.openTunnel()
      return next
    }
    if (stream.extendedConnect && success) {
      // Passed on, this would tell an HTTP/2 client that its tunnel stands (RFC 8441 §5; CVE-2024-23326).
      this.fail(codecError(502, PROTOCOL_ERROR, `${head.status} to an upgrade that only 101 accepts`))
      return -1
    }
    // A refused upgrade's connection is never used again: the upstream may read what follows as another protocol (CVE-2026-73548).
    if (!parsed.keepAlive) this.peerCloses = true
    if (!parsed.keepAlive || stream.upgrade !== '' || stream.method === 'CONNECT') this.keepAlive = false
    if (framing === 'none') {
      this.endOfResponse(stream)
      stream.events.onHead(head, true)
      this.settle(stream)
    } else {
      this.phase = BODY
      this.body.start(framing, head.contentLength)
      stream.events.onHead(head, false)
    }
    return next
  }

  get bodyStopped(): boolean {
    return this.input.paused || this.phase === CLOSED
  }

  bodyData(chunk: Buffer, end: boolean): void {
    if (this.phase !== BODY) return
    const stream = this.stream!
    if (end) this.endOfResponse(stream)
    stream.events.onData(chunk, end)
    if (end) this.settle(stream)
  }

  bodyTrailers(trailers: HeaderList): void {
    if (this.phase !== BODY) return
    const stream = this.stream!
    this.endOfResponse(stream)
    if (this.options.enableTrailers) stream.events.onTrailers(trailers)
    else stream.events.onData(EMPTY, true)
    this.settle(stream)
  }

  private endOfResponse(stream: Http1ClientStream): void {
    this.phase = IDLE
    this.input.paused = false
    stream.responseDone = true
  }

  // ---- ends -----------------------------------------------------------------------------------------------------------------

  /** The response is complete, or the request is; the connection is free when both are. */
  settle(stream: Http1ClientStream): void {
    if (stream !== this.stream || !stream.responseDone || this.phase === CLOSED) return
    // The upstream answered without reading all of the request: what is left of it must not meet the next one ("0.CL").
    if (!stream.requestDone || !this.keepAlive) {
      this.shut()
      return
    }
    stream.close()
    this.stream = null
    this.freePending = true
    if (!this.input.running) this.input.pump()
    if (!this.input.running) this.afterInput()
  }

  /** The stream never sent its head: the connection is as good as before. */
  release(stream: Http1ClientStream): void {
    if (stream !== this.stream || this.phase !== IDLE) return
    stream.close()
    this.stream = null
    this.handler.onStreamFree()
  }

  private shut(): void {
    if (this.phase === CLOSED) return
    this.closeState()
    this.transport.destroy()
    this.handler.onDraining()
  }

  /** CLOSED. Returns the stream that was in progress, for a last event. */
  private closeState(): Http1ClientStream | null {
    const { stream } = this
    this.phase = CLOSED
    this.usable = false
    this.cutShort = stream !== null && !stream.responseDone
    this.stream = null
    this.freePending = false
    this.head.reset()
    this.output.close()
    this.input.close()
    stream?.close()
    return stream
  }

  private fail(error: CodecError): void {
    const { wrote } = this.output
    const stream = this.closeState()
    this.transport.destroy()
    stream?.events.onReset(wrote ? { code: 'protocol-error', details: error.details } : NOTHING_SENT)
    this.handler.onConnectionError(error)
  }

  onTransportEnd(): void {
    if (this.phase === CLOSED || this.tunnelRemoteEnded) return
    this.input.end()
  }

  inputEnded(): void {
    if (this.phase === TUNNEL) {
      this.tunnelRemoteEnded = true
      this.stream!.events.onData(EMPTY, true)
      this.settleTunnel()
      return
    }
    if (this.phase === BODY && this.body.endsWithConnection) {
      this.body.finish()
      return
    }
    // As in Envoy, a message that the upstream broke off is one that it got wrong.
    if (this.insideMessage) {
      this.fail(closedInside())
      return
    }
    const reason: StreamReset = { code: 'connection-closed', details: 'upstream_reset_connection_termination' }
    const { wrote } = this.output
    const stream = this.closeState()
    this.transport.destroy()
    stream?.events.onReset(wrote ? reason : NOTHING_SENT)
    this.handler.onDraining()
  }

  onTransportClose(reason: StreamReset): void {
    if (this.phase === CLOSED) return
    // Everything came before the FIN, and its reader has not yet taken it.
    if (this.input.finPending && reason.code === 'connection-closed') return
    const { wrote } = this.output
    // Also by a reset, as in Envoy.
    const brokenOff = reason.code === 'connection-closed' && this.insideMessage
    const stream = this.closeState()
    stream?.events.onReset(!wrote ? NOTHING_SENT : brokenOff ? BROKEN_OFF : reason)
    if (brokenOff) this.handler.onConnectionError(closedInside())
  }

  /** A head or a body has begun whose end is still to come, and would not be the connection's. */
  private get insideMessage(): boolean {
    return this.phase === BODY ? !this.body.endsWithConnection : this.phase === HEAD && this.head.pending
  }

  onTransportDrain(): void {
    this.stream?.drained()
  }

  drain(): void {
    this.usable = false
    this.keepAlive = false
    if (this.stream === null && this.phase === IDLE) this.shut()
  }

  flush(): void {
    this.output.flush()
  }

  // ---- what streams do ------------------------------------------------------------------------------------------------------

  setPaused(stream: Http1ClientStream, paused: boolean): void {
    if (stream === this.stream && !stream.responseDone) this.input.setPaused(paused)
  }

  tunnelEnded(stream: Http1ClientStream): void {
    if (stream !== this.stream) return
    this.tunnelLocalEnded = true
    this.transport.end('half')
    this.settleTunnel()
  }

  /** Over when both ways have ended; the transport closes by itself once everything is written. */
  private settleTunnel(): void {
    if (!this.tunnelLocalEnded || !this.tunnelRemoteEnded || this.phase !== TUNNEL) return
    this.closeState()
    this.handler.onDraining()
  }

  abort(stream: Http1ClientStream): void {
    if (stream === this.stream) this.shut()
  }
}

/** Not one byte of the request was handed to the transport: it can go again on another connection without any doubt. */
const NOTHING_SENT: StreamReset = { code: 'connection-closed', details: 'nothing_sent' }
const BROKEN_OFF: StreamReset = { code: 'protocol-error', details: PROTOCOL_ERROR }

function closedInside(): CodecError {
  return codecError(502, PROTOCOL_ERROR, 'the upstream closed inside its response')
}
