// HTTP/2 server side: reads requests, writes responses (RFC 9113 §8). Made by the connection manager for ALPN h2 or the cleartext
// preface; calls ServerHandler for each request. GOAWAY in two phases (§6.8): first with the highest id, so that requests on their way
// still count, then, after a PING round trip, with the last one that was taken.
//
//   open ──drain()──▶ announced ──PING ack or 1 s──▶ draining ──no stream left──▶ closed

import type { Codec, CodecError, RequestHead, ResponseHead, ServerHandler, ServerStream, Transport } from '../codec.js'
import { Http2Connection } from './connection.js'
import { fieldBytes, type Http2CodecOptions } from './connection-base.js'
import { ConnectionClock } from './connection-clock.js'
import { ErrorCode, FRAME_HEADER_BYTES, MAX_31_BIT, PREFACE } from './frames.js'
import type { DecodedBlock } from './hpack-decoder.js'
import { copyRequest, isMalformed, MESSAGING_RULE, parseRequest, UNDERSCORE } from './request-fields.js'
import { Http2Stream, NO_EVENTS } from './stream.js'

const DRAIN_PING = Buffer.from('outdrain', 'latin1')
/** Envoy's default of drain_timeout. */
const DEFAULT_DRAIN_TIMEOUT_MS = 5000
const STATUS_TEXT: readonly string[] = Array.from({ length: 1000 }, (_, status) => String(status))

export class Http2ServerStream extends Http2Stream implements ServerStream {
  readonly version = 'HTTP/2'
  /** The request was HEAD: the response has no content. */
  headRequest = false
  headSent = false
  /** An extended CONNECT with the key of an HTTP/1 client: a proxy before us (Envoy) hands on what answers it, which RFC 8441 has no use for. */
  hasWebsocketKey = false
  /** Answered by onBadRequest: what still comes of the request is thrown away. */
  rejected = false

  sendInformational(head: ResponseHead): void {
    if (this.gone || this.headSent) return
    ;(this.connection as Http2ServerCodec).writeHead(this, head.status, head, false)
  }

  sendHead(head: ResponseHead, end: boolean): void {
    if (this.gone || this.headSent) return
    this.headSent = true
    const codec = this.connection as Http2ServerCodec
    // An upgrade accepted by an HTTP/1 upstream is a plain success here (RFC 8441 §5).
    const status = head.upgraded && head.status === 101 ? 200 : head.status
    if (status !== head.status && !this.hasWebsocketKey) head.headers.remove('sec-websocket-accept')
    const bodiless = this.headRequest || status === 204 || status === 304
    if (bodiless) end = true
    if (end) this.sendEnded = true
    codec.writeHead(this, status, head, end)
    if (!end) return
    if (this.rejected && !this.remoteClosed) this.resetWhenSent = true
    codec.localEnded(this)
  }

  override sendData(chunk: Buffer, end: boolean): boolean {
    if (end && this.rejected && !this.remoteClosed) this.resetWhenSent = true
    return super.sendData(chunk, end)
  }

  closeAfter(): void {
    this.connection.drain()
  }
}

export class Http2ServerCodec extends Http2Connection implements Codec {
  private prefaceLeft = PREFACE.length
  /** Highest stream id that the client used, and the highest that we took. */
  private lastId = 0
  private lastTaken = 0
  private phase: 'open' | 'announced' | 'draining' = 'open'
  private announcedAt = 0
  private headPending = false

  constructor(
    transport: Transport,
    private readonly handler: ServerHandler,
    options: Http2CodecOptions,
  ) {
    super('server', transport, options)
    this.sendPreface()
  }

  feed(chunk: Buffer): void {
    if (this.stopped) return
    let pos = 0
    if (this.prefaceLeft > 0) {
      const from = PREFACE.length - this.prefaceLeft
      const count = Math.min(this.prefaceLeft, chunk.length)
      if (PREFACE.compare(chunk, 0, count, from, from + count) !== 0) {
        this.connectionError(ErrorCode.PROTOCOL_ERROR, 'the connection preface is invalid')
        return
      }
      this.prefaceLeft -= count
      pos = count
      if (this.prefaceLeft > 0) {
        this.onMidHead(true)
        return
      }
    }
    this.feedFrames(chunk, pos)
  }

  drain(): void {
    if (this.stopped || this.phase !== 'open') return
    this.phase = 'announced'
    this.announcedAt = this.now()
    this.stats.goaway_sent++
    this.writer.goaway(MAX_31_BIT, ErrorCode.NO_ERROR, '')
    this.writer.ping(false, DRAIN_PING, 0)
    ConnectionClock.add(this)
  }

  private finishDrain(): void {
    if (this.phase !== 'announced') return
    this.phase = 'draining'
    this.stats.goaway_sent++
    this.writer.goaway(this.lastTaken, ErrorCode.NO_ERROR, '')
    if (this.streams.size === 0) this.close()
  }

  /** Called by Http2ServerStream. HOT: every response. */
  writeHead(stream: Http2ServerStream, status: number, head: ResponseHead, end: boolean): void {
    const headers = head.headers
    const start = this.beginBlock(headers.length + 1, 10 + fieldBytes(headers))
    const buffer = this.writer.buffer
    let pos = this.encoder.begin(buffer, start + FRAME_HEADER_BYTES)
    pos = this.encoder.write(buffer, pos, ':status', STATUS_TEXT[status]!)
    this.finishBlock(start, this.writeFields(pos, headers), stream.id, end)
  }

  // ── hooks of Http2Connection ──

  protected onBlock(streamId: number, endStream: boolean, selfDependent: boolean, block: DecodedBlock): void {
    if (streamId > this.lastId) {
      if ((streamId & 1) === 0) {
        this.connectionError(ErrorCode.PROTOCOL_ERROR, 'a client stream has an even id')
        return
      }
      this.lastId = streamId
      this.onRequestBlock(streamId, endStream, selfDependent, block)
      return
    }
    const stream = this.streams.get(streamId)
    if (stream !== undefined) {
      if (selfDependent) this.streamError(stream, ErrorCode.PROTOCOL_ERROR, 'a stream depends on itself')
      else this.onTrailerBlock(stream, endStream, block)
    } else if (this.wasReset(streamId)) this.lateHeaders()
    else if ((streamId & 1) === 0) this.connectionError(ErrorCode.PROTOCOL_ERROR, 'a client stream has an even id')
    else this.connectionError(ErrorCode.STREAM_CLOSED, 'HEADERS on a closed stream')
  }

  private onRequestBlock(streamId: number, endStream: boolean, selfDependent: boolean, block: DecodedBlock): void {
    // After the last GOAWAY new streams are ignored (§6.8); their header block was needed for the table.
    if (this.phase === 'draining') {
      this.ignored()
      return
    }
    this.guard.streamOpened(this.clock)
    if (selfDependent) {
      this.refuseHead(streamId, MESSAGING_RULE, 'a stream depends on itself')
      return
    }
    if (this.streams.size >= this.local.maxConcurrentStreams || !this.admitHead(block.bytes)) {
      this.stats.stream_refused_errors++
      // Before it knows our limit, a client is not to blame.
      this.refuse(streamId, ErrorCode.REFUSED_STREAM, this.liveness.settingsAcknowledged)
      return
    }
    const limits = this.options.limits
    let head: RequestHead | null
    const template = block.parsed as RequestHead | null
    if (template !== null) head = copyRequest(template)
    else {
      const parsed = parseRequest(block, limits.underscores, this.local.connectProtocol)
      if (!isMalformed(parsed)) {
        head = parsed.head
        this.stats.dropped_headers_with_underscores += parsed.dropped
        if (this.decoder.repeated && parsed.dropped === 0 && !block.overflow) block.parsed = copyRequest(head)
      } else if (block.overflow) head = null
      else {
        if (parsed.details === UNDERSCORE) this.stats.requests_rejected_with_underscores_in_headers++
        this.stats.rx_messaging_error++
        this.refuseHead(streamId, parsed.details, parsed.reason)
        return
      }
    }
    if (!block.overflow && endStream && head!.contentLength > 0) {
      this.stats.rx_messaging_error++
      this.refuseHead(streamId, MESSAGING_RULE, 'content is shorter than content-length')
      return
    }

    const stream = new Http2ServerStream(this, streamId, NO_EVENTS, this.peer.initialWindowSize, this.local.streamWindow, this.clock)
    stream.remoteClosed = endStream
    stream.headBytes = block.bytes
    this.headerBytes += block.bytes
    this.streams.add(stream)
    this.lastTaken = streamId
    if (block.overflow) {
      this.reject(stream, head, block)
      return
    }
    stream.headRequest = head!.method === 'HEAD'
    if (head!.upgrade !== '') stream.hasWebsocketKey = head!.headers.has('sec-websocket-key')
    if (endStream && head!.contentLength === -1 && head!.method !== 'CONNECT') head!.contentLength = 0
    stream.contentLength = head!.contentLength
    this.settleHead()
    this.handler.onRequest(stream, head!, endStream)
  }

  /** The head passes a limit: the handler answers 431, as Envoy does, and the body is thrown away. */
  private reject(stream: Http2ServerStream, head: RequestHead | null, block: DecodedBlock): void {
    const { maxHeaders, maxHeadBytes } = this.options.limits
    this.stats.header_overflow++
    stream.rejected = true
    stream.headRequest = head !== null && head.method === 'HEAD'
    const message =
      block.total > maxHeaders
        ? `the request has ${block.total} header fields, the limit (max_headers_count) is ${maxHeaders}`
        : `the request head has ${block.bytes} bytes, the limit (max_request_headers_kb) is ${maxHeadBytes}`
    this.settleHead()
    this.handler.onBadRequest(stream, { status: 431, details: 'http2.too_many_headers', message, stat: 'header_overflow' }, head)
  }

  private refuse(streamId: number, code: number, blamed: boolean): void {
    this.writeReset(streamId, code, this.local.streamWindow)
    if (blamed) this.provoked(this.clock)
  }

  /** Malformed: the connection's owner hears of it, which logs it as it does a request. */
  private refuseHead(streamId: number, details: string, message: string): void {
    this.refuse(streamId, ErrorCode.PROTOCOL_ERROR, true)
    this.settleHead()
    this.handler.onRefusedHead({ status: 0, details, message, stat: '' })
  }

  private settleHead(): void {
    if (!this.headPending) return
    this.headPending = false
    this.handler.onHeadPending(false)
  }

  protected onMidHead(pending: boolean): void {
    if (pending === this.headPending) return
    this.headPending = pending
    this.handler.onHeadPending(pending)
  }

  protected isIdle(streamId: number): boolean {
    return (streamId & 1) === 0 || streamId > this.lastId
  }

  protected onGoaway(): void {
    // The client leaves: nothing new comes, what is in flight is finished.
    this.drain()
    this.finishDrain()
  }

  protected onPingAck(buffer: Buffer, start: number): boolean {
    if (this.phase !== 'announced' || DRAIN_PING.compare(buffer, start, start + 8) !== 0) return false
    this.finishDrain()
    return true
  }

  protected onStreamGone(): void {
    if (this.streams.size > 0) return
    if (this.phase === 'draining') this.close()
    this.handler.onIdle()
  }

  protected onPeerSettings(): void {}

  protected tellConnectionError(error: CodecError): void {
    this.handler.onConnectionError(error)
  }

  protected lastProcessedId(): number {
    return this.lastTaken
  }

  protected needsTick(): boolean {
    return this.phase === 'announced'
  }

  protected onTick(now: number): void {
    if (this.phase === 'announced' && now - this.announcedAt >= (this.options.drainTimeoutMs ?? DEFAULT_DRAIN_TIMEOUT_MS))
      this.finishDrain()
  }
}
