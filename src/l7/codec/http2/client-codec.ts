// HTTP/2 client side: writes requests, reads responses (RFC 9113 §8). Made by the upstream pool; tells it through ClientHandler when
// there is room for more streams, or none any more. After GOAWAY streams above its last id get onReset 'refused' (never processed,
// safe to send again), the others finish. Invariant: stream ids are given when the head is written, so they rise on the wire.

import { ownBytes } from '../../../io/shared-read.js'
import type {
  ClientCodec,
  ClientEvents,
  ClientHandler,
  ClientStream,
  CodecError,
  RequestHead,
  ResponseHead,
  StreamReset,
  Transport,
} from '../codec.js'
import { Http2Connection } from './connection.js'
import { fieldBytes, type Http2CodecOptions } from './connection-base.js'
import { ErrorCode, FRAME_HEADER_BYTES, MAX_31_BIT, PREFACE } from './frames.js'
import type { DecodedBlock } from './hpack-decoder.js'
import { isMalformed } from './request-fields.js'
import { copyResponse, parseResponse } from './response-fields.js'
import { Http2Stream } from './stream.js'

/** Streams opened before the server's SETTINGS say how many it takes: those above its limit would be refused, and have to go again. */
const STREAMS_BEFORE_SETTINGS = 1
/** Tunnel bytes kept while an extended CONNECT waits for the server's SETTINGS; the sender is told to wait from the first on. */
const MAX_EARLY_TUNNEL_BYTES = 1024 * 1024
/** Interim responses to one request. */
const MAX_INFORMATIONAL = 100

export class Http2ClientStream extends Http2Stream implements ClientStream {
  declare events: ClientEvents
  headRequest = false
  /** CONNECT, plain or extended: a 2xx makes the stream a tunnel. */
  connectRequest = false
  /** Extended: its 2xx is what 101 is to HTTP/1. */
  extendedConnect = false
  headReceived = false
  informational = 0
  /** An extended CONNECT waits here for the server's SETTINGS, which say whether it takes one (RFC 8441 §3). */
  private waitingHead: RequestHead | null = null
  private early: Buffer[] = []
  private earlyBytes = 0
  private earlyEnd = false

  sendHead(head: RequestHead, end: boolean): void {
    if (this.gone || this.silent || this.id !== 0) return
    const codec = this.connection as Http2ClientCodec
    if (codec.mustWait(head)) {
      this.waitingHead = head
      codec.waiting.push(this)
      return
    }
    const obstacle = codec.obstacleTo(head)
    if (obstacle === null) {
      codec.writeHead(this, head, end)
      return
    }
    codec.release(this)
    this.receiveReset(obstacle, false)
  }

  override sendData(chunk: Buffer, end: boolean): boolean {
    if (this.id !== 0) return super.sendData(chunk, end)
    if (this.waitingHead === null || this.gone || this.silent) return true
    this.earlyBytes += chunk.length
    if (this.earlyBytes > MAX_EARLY_TUNNEL_BYTES) {
      ;(this.connection as Http2ClientCodec).release(this)
      this.receiveReset({ code: 'local', details: 'http2.early_tunnel_data' }, false)
      return true
    }
    this.early.push(ownBytes(chunk))
    this.earlyEnd = end
    return false
  }

  /** The server's SETTINGS have come. */
  settingsSeen(): void {
    const head = this.waitingHead
    this.waitingHead = null
    if (head === null || this.gone || this.silent) return
    this.sendHead(head, false)
    let ok = true
    const last = this.early.length - 1
    for (const [i, chunk] of this.early.splice(0).entries()) ok = this.sendData(chunk, this.earlyEnd && i === last)
    if (ok && last >= 0 && !this.gone && !this.silent) this.events.onDrain()
  }
}

export class Http2ClientCodec extends Http2Connection implements ClientCodec {
  private nextId = 1
  /** Streams handed out that have not sent their head. */
  private reserved = 0
  private leaving = false
  peerCloses = false
  private toldDraining = false
  /** Streams whose extended CONNECT waits for the server's SETTINGS. */
  readonly waiting: Http2ClientStream[] = []

  constructor(
    transport: Transport,
    private readonly handler: ClientHandler,
    options: Http2CodecOptions,
  ) {
    super('client', transport, options)
    this.writer.raw(PREFACE)
    this.sendPreface()
  }

  get usable(): boolean {
    return !this.stopped && !this.leaving
  }

  get maxStreams(): number {
    const peers = this.peerSettingsSeen ? this.peer.maxConcurrentStreams : (this.options.streamsBeforeSettings ?? STREAMS_BEFORE_SETTINGS)
    return Math.min(peers, this.local.maxConcurrentStreams)
  }

  get limitKnown(): boolean {
    return this.peerSettingsSeen
  }

  override get activeStreams(): number {
    return this.streams.size + this.reserved
  }

  newStream(events: ClientEvents): ClientStream | null {
    if (this.stopped || this.leaving || this.activeStreams >= this.maxStreams) return null
    this.reserved++
    return new Http2ClientStream(this, 0, events, this.peer.initialWindowSize, this.local.streamWindow, this.clock)
  }

  feed(chunk: Buffer): void {
    if (!this.stopped) this.feedFrames(chunk, 0)
  }

  drain(): void {
    this.leave()
    if (!this.stopped && this.activeStreams === 0) this.sayGoodbye()
  }

  /** The connection ends before the server's SETTINGS came: nothing of what waits for them was ever sent. */
  protected override endAll(reset: StreamReset): void {
    super.endAll(reset)
    for (const stream of this.waiting.splice(0)) {
      if (stream.gone) continue
      stream.gone = true
      stream.receiveReset({ code: 'refused', details: 'http2.connection_closed' }, false)
    }
  }

  mustWait(head: RequestHead): boolean {
    return head.upgrade !== '' && !this.peerSettingsSeen && !this.stopped && !this.peerCloses
  }

  /** Why a head cannot be sent on a stream that was handed out, or null. Nothing was sent then. */
  obstacleTo(head: RequestHead): StreamReset | null {
    if (this.stopped || this.peerCloses) return { code: 'refused', details: 'http2.goaway' }
    if (head.upgrade !== '' && !this.peer.connectProtocol) return { code: 'local', details: 'http2.extended_connect_not_supported' }
    return null
  }

  /** Give back a stream that never sent its head. */
  release(stream: Http2ClientStream): void {
    if (this.stopped) stream.gone = true
    else this.resetStream(stream, ErrorCode.CANCEL)
  }

  private sayGoodbye(): void {
    this.stats.goaway_sent++
    this.writer.goaway(0, ErrorCode.NO_ERROR, '')
    this.close()
  }

  private leave(): void {
    this.leaving = true
    if (this.toldDraining) return
    this.toldDraining = true
    this.handler.onDraining()
  }

  /** Called by Http2ClientStream. HOT: every request. */
  writeHead(stream: Http2ClientStream, head: RequestHead, end: boolean): void {
    this.reserved--
    stream.id = this.nextId
    this.nextId += 2
    stream.sendWindow = this.peer.initialWindowSize
    this.streams.add(stream)
    this.guard.streamOpened(this.clock)
    const protocol = head.upgrade
    const method = protocol === '' ? head.method : 'CONNECT'
    stream.headRequest = method === 'HEAD'
    stream.connectRequest = method === 'CONNECT'
    stream.extendedConnect = protocol !== ''

    const headers = head.headers
    const fixed = 64 + method.length + head.authority.length + head.path.length + protocol.length
    const start = this.beginBlock(headers.length + 5, fixed + fieldBytes(headers))
    const encoder = this.encoder
    const buffer = this.writer.buffer
    let pos = encoder.begin(buffer, start + FRAME_HEADER_BYTES)
    pos = encoder.write(buffer, pos, ':method', method)
    if (method !== 'CONNECT' || protocol !== '') {
      pos = encoder.write(buffer, pos, ':scheme', head.scheme === '' ? (this.options.scheme ?? 'http') : head.scheme)
      pos = encoder.write(buffer, pos, ':path', head.path)
    }
    if (head.authority !== '') pos = encoder.write(buffer, pos, ':authority', head.authority)
    if (protocol !== '') pos = encoder.write(buffer, pos, ':protocol', protocol)
    this.finishBlock(start, this.writeFields(pos, headers), stream.id, end)
    if (this.nextId > MAX_31_BIT) this.leave()
    if (!end || stream.gone) return
    stream.sendEnded = true
    this.localEnded(stream)
  }

  // ── hooks of Http2Connection ──

  protected onBlock(streamId: number, endStream: boolean, _selfDependent: boolean, block: DecodedBlock): void {
    const stream = this.streams.get(streamId) as Http2ClientStream | undefined
    if (stream === undefined) {
      if (this.isIdle(streamId)) this.connectionError(ErrorCode.PROTOCOL_ERROR, 'HEADERS on an idle stream')
      else this.lateHeaders()
      return
    }
    if (stream.headReceived) {
      this.onTrailerBlock(stream, endStream, block)
      return
    }
    if (stream.remoteClosed) {
      this.streamError(stream, ErrorCode.STREAM_CLOSED, 'HEADERS after END_STREAM')
      return
    }
    if (block.overflow) {
      this.stats.header_overflow++
      this.streamError(stream, ErrorCode.ENHANCE_YOUR_CALM, this.limitMessage(block), 'overflow')
      return
    }
    let head: ResponseHead
    const template = block.parsed as ResponseHead | null
    if (template !== null) head = copyResponse(template)
    else {
      const parsed = parseResponse(block)
      if (isMalformed(parsed)) {
        this.streamError(stream, ErrorCode.PROTOCOL_ERROR, parsed.reason)
        return
      }
      head = parsed
      if (this.decoder.repeated) block.parsed = copyResponse(head)
    }
    if (head.status < 200) {
      // CVE-2023-0056.
      if (endStream) {
        this.streamError(stream, ErrorCode.PROTOCOL_ERROR, 'an interim response with END_STREAM')
        return
      }
      if (++stream.informational > MAX_INFORMATIONAL) {
        this.streamError(stream, ErrorCode.ENHANCE_YOUR_CALM, `more than ${MAX_INFORMATIONAL} interim responses`, 'overflow')
        return
      }
      if (!stream.silent) stream.events.onInformational(head)
      return
    }
    stream.headReceived = true
    if (stream.connectRequest && head.status < 300) {
      head.upgraded = true
      head.contentLength = -1
      // Counters, logs and HTTP/1 clients see one and the same status (RFC 8441 §5).
      if (stream.extendedConnect) head.status = 101
    } else if (stream.headRequest || head.status === 204 || head.status === 304) stream.bodyForbidden = true
    else {
      stream.contentLength = head.contentLength
      if (endStream && head.contentLength > 0) {
        this.streamError(stream, ErrorCode.PROTOCOL_ERROR, 'content is shorter than content-length')
        return
      }
    }
    stream.remoteClosed = endStream
    if (!stream.silent) stream.events.onHead(head, endStream)
    if (endStream) this.finishIfClosed(stream)
  }

  protected override dataProblem(stream: Http2Stream, length: number, endStream: boolean): string {
    if (!(stream as Http2ClientStream).headReceived) return 'content before the head'
    return super.dataProblem(stream, length, endStream)
  }

  private limitMessage(block: DecodedBlock): string {
    const { maxHeaders, maxHeadBytes } = this.options.limits
    return block.total > maxHeaders
      ? `the response has ${block.total} header fields, the limit is ${maxHeaders}`
      : `the response head has ${block.bytes} bytes, the limit is ${maxHeadBytes}`
  }

  protected isIdle(streamId: number): boolean {
    return (streamId & 1) === 0 || streamId >= this.nextId
  }

  protected onGoaway(lastStreamId: number, code: number): void {
    this.peerCloses = true
    this.leave()
    if (this.stopped) return
    for (const stream of this.streams.values()) {
      if (stream.id <= lastStreamId || stream.gone) continue
      this.abandon(stream, code)
      if (this.stopped) return
    }
    if (this.activeStreams === 0) this.sayGoodbye()
  }

  protected onPingAck(): boolean {
    return false
  }

  protected onStreamGone(stream: Http2Stream): void {
    if (stream.id === 0) this.reserved--
    if (this.leaving) {
      if (this.activeStreams === 0) this.sayGoodbye()
    } else if (!this.stopped) this.handler.onStreamFree()
  }

  protected onPeerSettings(): void {
    if (this.waiting.length > 0) for (const stream of this.waiting.splice(0)) stream.settingsSeen()
    if (!this.leaving && !this.stopped) this.handler.onStreamLimit()
  }

  protected onMidHead(): void {}

  protected tellConnectionError(error: CodecError): void {
    this.handler.onConnectionError(error)
  }

  protected lastProcessedId(): number {
    return 0
  }

  protected needsTick(): boolean {
    return false
  }

  protected onTick(): void {}
}
