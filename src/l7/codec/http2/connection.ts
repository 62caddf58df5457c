// One HTTP/2 connection, the reading side of both roles (RFC 9113): frames in, stream states, receive flow control, settings, header
// blocks, keepalive. Extends connection-base.ts (sending, windows, the end of streams); server-codec.ts and client-codec.ts extend it
// with heads and their roles of GOAWAY. Fed by the connection's owner through Codec.
//
// What the peer does wrong costs it the stream where the RFC allows (also where Envoy would close the connection, i.e. as with
// stream_error_on_invalid_http_message: one bad request of one client must not cost the others that a sidecar multiplexes with it),
// else the connection. Invariants: the HPACK state is kept up for every header block, also of refused streams; a frame that makes us
// answer is counted by FloodGuard before the next one is read; after `stopped` nothing is read, written or told.

import type { Transport } from '../codec.js'
import { type Http2CodecOptions, Http2ConnectionBase } from './connection-base.js'
import { FrameReader, type FrameSink } from './frame-reader.js'
import { frameProblem } from './frame-rules.js'
import { ErrorCode, Flag, FrameType, MAX_31_BIT } from './frames.js'
import { HeaderBlock } from './header-block.js'
import { DEFAULT_TABLE_SIZE, type DecodedBlock, HpackDecoder } from './hpack-decoder.js'
import { Liveness, SETTINGS_TIMEOUT_MS } from './liveness.js'
import { isMalformed, parseTrailers } from './request-fields.js'
import type { Http2Stream } from './stream.js'

export abstract class Http2Connection extends Http2ConnectionBase implements FrameSink {
  protected readonly decoder: HpackDecoder
  protected readonly liveness: Liveness
  protected peerSettingsSeen = false

  private readonly reader: FrameReader
  private readonly block: HeaderBlock
  // The DATA frame being read: null when its stream takes no data.
  private dataStream: Http2Stream | null = null
  private dataEnd = false

  constructor(role: 'client' | 'server', transport: Transport, options: Http2CodecOptions) {
    super(role, transport, options)
    this.reader = new FrameReader(this)
    this.decoder = new HpackDecoder(options.limits.maxHeaders, options.limits.maxHeadBytes)
    this.decoder.setLimit(Math.max(DEFAULT_TABLE_SIZE, this.local.headerTableSize))
    this.liveness = new Liveness(options.http2, this.clock)
    this.block = new HeaderBlock(options.limits.maxHeadBytes)
  }

  // ── what the sides do differently ──

  /** A complete header block on a stream that may be open, new or over. */
  protected abstract onBlock(streamId: number, endStream: boolean, selfDependent: boolean, block: DecodedBlock): void
  /** The stream id was never used by either side. */
  protected abstract isIdle(streamId: number): boolean
  /** GOAWAY of the peer. */
  protected abstract onGoaway(lastStreamId: number, code: number): void
  /** The peer acknowledged a PING that was not the keepalive's; false: nor of this side. `buffer[start, start + 8)` is its data. */
  protected abstract onPingAck(buffer: Buffer, start: number): boolean
  /** The peer's settings changed. */
  protected abstract onPeerSettings(): void
  /** Is there a reason to call `tick` at all, beyond keepalive and settings? */
  protected abstract needsTick(): boolean
  protected abstract onTick(now: number): void
  /** The head-pending state may have changed: a frame or a block is incomplete at the end of a chunk. */
  protected abstract onMidHead(pending: boolean): void

  protected feedFrames(chunk: Buffer, pos: number): void {
    this.clock = this.now()
    this.liveness.received(this.clock)
    this.reading = true
    this.reader.read(chunk, pos)
    this.endOfRead()
    if (!this.stopped) this.onMidHead(this.reader.midFrame || this.block.streamId !== 0)
  }

  /** Keepalive, the settings timeout and timed parts of a drain. Called a few times a second while `wantsTicks`. */
  tick(now: number): void {
    if (this.stopped) return
    switch (this.liveness.check(now)) {
      case 'settings-timeout':
        // A peer with which messages were exchanged is alive, though it forgets to acknowledge (Envoy waits for ever).
        if (this.peerSettingsSeen && this.guard.openedStreams > 0) break
        this.connectionError(ErrorCode.SETTINGS_TIMEOUT, `SETTINGS were not acknowledged within ${SETTINGS_TIMEOUT_MS} ms`)
        return
      case 'keepalive-timeout':
        this.connectionError(ErrorCode.NO_ERROR, 'no answer to a keepalive PING within its timeout', 'keepalive_timeout')
        return
      case 'send-ping':
        this.writer.ping(false, this.liveness.pingData, 0)
        break
      default:
    }
    this.onTick(now)
  }

  away(ms: number): void {
    this.liveness.away(ms)
  }

  get wantsTicks(): boolean {
    return !this.stopped && (this.liveness.waits || this.needsTick())
  }

  protected dropPartial(): void {
    this.block.clear()
  }

  // ── frames in ──

  onFrameHeader(length: number, type: number, streamId: number): boolean {
    if (this.block.streamId !== 0 && (type !== FrameType.CONTINUATION || streamId !== this.block.streamId)) {
      this.connectionError(ErrorCode.PROTOCOL_ERROR, 'a header block was interrupted')
      return false
    }
    if (!this.peerSettingsSeen && type !== FrameType.SETTINGS) {
      this.connectionError(ErrorCode.PROTOCOL_ERROR, 'the first frame is not SETTINGS')
      return false
    }
    const problem = frameProblem(type, length, streamId)
    if (problem === null) return true
    this.connectionError(problem.code, problem.reason)
    return false
  }

  onFrame(type: number, flags: number, streamId: number, buffer: Buffer, start: number, length: number): void {
    switch (type) {
      case FrameType.HEADERS:
        this.onHeadersFrame(flags, streamId, buffer, start, length)
        break
      case FrameType.CONTINUATION:
        this.onContinuationFrame(flags, buffer, start, length)
        break
      case FrameType.RST_STREAM:
        this.onResetFrame(streamId, buffer.readUInt32BE(start))
        break
      case FrameType.WINDOW_UPDATE:
        this.onWindowUpdateFrame(streamId, buffer.readUInt32BE(start) & MAX_31_BIT)
        break
      case FrameType.SETTINGS:
        this.onSettingsFrame(flags, buffer, start, length)
        break
      case FrameType.PING:
        if ((flags & Flag.ACK) === 0) this.writer.ping(true, buffer, start)
        else if (!this.liveness.pingAnswered(buffer, start) && !this.onPingAck(buffer, start)) this.ignored()
        break
      case FrameType.PRIORITY:
        this.onPriorityFrame(streamId, buffer, start, length)
        break
      case FrameType.GOAWAY:
        this.ignored()
        if (!this.stopped) this.onGoaway(buffer.readUInt32BE(start) & MAX_31_BIT, buffer.readUInt32BE(start + 4))
        break
      case FrameType.PUSH_PROMISE:
        // Clients never push, and we told servers not to (RFC 9113 §8.4).
        this.connectionError(ErrorCode.PROTOCOL_ERROR, 'PUSH_PROMISE')
        break
      default:
        this.ignored()
    }
    if (!this.stopped) this.checkFlood(this.guard.outbound())
  }

  onReadError(code: number, reason: string): void {
    this.connectionError(code, reason)
  }

  private onHeadersFrame(flags: number, streamId: number, buffer: Buffer, start: number, length: number): void {
    const end = start + length
    let padding = 0
    if ((flags & Flag.PADDED) !== 0) {
      if (length === 0) {
        this.connectionError(ErrorCode.FRAME_SIZE_ERROR, 'a padded HEADERS frame without a pad length')
        return
      }
      padding = buffer[start++]!
    }
    let selfDependent = false
    if ((flags & Flag.PRIORITY) !== 0) {
      if (end - start < 5) {
        this.connectionError(ErrorCode.FRAME_SIZE_ERROR, 'HEADERS is too short for its priority')
        return
      }
      selfDependent = (buffer.readUInt32BE(start) & MAX_31_BIT) === streamId
      start += 5
    }
    if (padding > end - start) {
      this.connectionError(ErrorCode.PROTOCOL_ERROR, 'HEADERS padding is longer than the frame')
      return
    }
    const blockEnd = end - padding
    const endStream = (flags & Flag.END_STREAM) !== 0
    if (this.checkFlood(this.guard.messageFrame(blockEnd === start && !endStream))) return
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.decodeBlock(streamId, endStream, selfDependent, buffer, start, blockEnd)
      return
    }
    this.block.begin(streamId, endStream, selfDependent)
    this.appendFragment(buffer, start, blockEnd)
  }

  private onContinuationFrame(flags: number, buffer: Buffer, start: number, length: number): void {
    const block = this.block
    if (block.streamId === 0) {
      this.connectionError(ErrorCode.PROTOCOL_ERROR, 'CONTINUATION outside a header block')
      return
    }
    if (this.checkFlood(this.guard.messageFrame(length === 0))) return
    if (!this.appendFragment(buffer, start, start + length) || (flags & Flag.END_HEADERS) === 0) return
    const { streamId, bytes } = block
    block.clear()
    this.decodeBlock(streamId, block.endStream, block.selfDependent, bytes, 0, block.length)
  }

  private appendFragment(buffer: Buffer, start: number, end: number): boolean {
    const limit = this.block.append(buffer, start, end)
    if (limit !== '') this.calm('header_overflow', limit)
    return limit === ''
  }

  private decodeBlock(streamId: number, endStream: boolean, selfDependent: boolean, buffer: Buffer, start: number, end: number): void {
    if (!this.decoder.decode(buffer, start, end)) {
      const { block, exceeded } = this.decoder
      if (exceeded) this.calm('header_overflow', `a header block expands beyond ${block.bytes} bytes and ${block.total} fields`)
      else this.connectionError(ErrorCode.COMPRESSION_ERROR, 'a header block cannot be decompressed')
      return
    }
    this.onBlock(streamId, endStream, selfDependent, this.decoder.block)
  }

  private onResetFrame(streamId: number, code: number): void {
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      if (this.isIdle(streamId)) this.connectionError(ErrorCode.PROTOCOL_ERROR, 'RST_STREAM on an idle stream')
      else this.ignored()
      return
    }
    this.stats.rx_reset++
    // An early but complete response stops the request with NO_ERROR; it must not be lost (RFC 9113 §8.1).
    const complete = stream.remoteClosed && code === ErrorCode.NO_ERROR
    this.forget(stream)
    const refused = code === ErrorCode.REFUSED_STREAM
    stream.receiveReset(
      {
        code: refused ? 'refused' : this.role === 'client' && code === ErrorCode.PROTOCOL_ERROR ? 'protocol-error' : 'remote-reset',
        details: refused ? 'http2.remote_refuse' : 'http2.remote_reset',
        h2Code: code,
      },
      complete && this.role === 'client',
    )
    if (this.role === 'server') this.checkFlood(this.guard.streamEnded(!stream.sendEnded, stream.openedAt, this.clock))
  }

  private onWindowUpdateFrame(streamId: number, increment: number): void {
    if (this.checkFlood(this.guard.windowUpdateFrame())) return
    if (streamId === 0) {
      if (increment === 0) this.connectionError(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE of 0 on the connection')
      else if (!this.scheduler.credit(increment)) {
        this.connectionError(ErrorCode.FLOW_CONTROL_ERROR, 'WINDOW_UPDATE takes the connection window beyond 2^31-1')
      }
      return
    }
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      if (this.isIdle(streamId)) this.connectionError(ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE on an idle stream')
      return
    }
    if (increment === 0) this.streamError(stream, ErrorCode.PROTOCOL_ERROR, 'WINDOW_UPDATE of 0')
    else if (!this.scheduler.creditStream(stream, increment)) {
      this.streamError(stream, ErrorCode.FLOW_CONTROL_ERROR, 'WINDOW_UPDATE takes the window beyond 2^31-1')
    }
  }

  private onSettingsFrame(flags: number, buffer: Buffer, start: number, length: number): void {
    if ((flags & Flag.ACK) !== 0) {
      if (length !== 0) this.connectionError(ErrorCode.FRAME_SIZE_ERROR, 'a SETTINGS acknowledgement with content')
      else if (!this.peerSettingsSeen) this.connectionError(ErrorCode.PROTOCOL_ERROR, 'the first frame is not SETTINGS')
      else if (this.liveness.settingsAcknowledged) this.ignored()
      else {
        this.liveness.settingsAcknowledged = true
        this.decoder.setLimit(this.local.headerTableSize)
      }
      return
    }
    this.peerSettingsSeen = true
    const peer = this.peer
    const window = peer.initialWindowSize
    for (let at = start; at < start + length; at += 6) {
      const reason = peer.apply(this.role, buffer.readUInt16BE(at), buffer.readUInt32BE(at + 2))
      if (reason !== '') {
        this.connectionError(peer.errorCode, `SETTINGS: ${reason}`)
        return
      }
    }
    this.encoder.setPeerLimit(peer.headerTableSize)
    this.writer.settingsAck()
    const change = peer.initialWindowSize - window
    if (change !== 0) {
      for (const stream of this.streams.values()) {
        if (stream.gone || this.scheduler.creditStream(stream, change)) continue
        this.connectionError(ErrorCode.FLOW_CONTROL_ERROR, 'SETTINGS_INITIAL_WINDOW_SIZE takes a window beyond 2^31-1')
        return
      }
    }
    if (!this.stopped) this.onPeerSettings()
  }

  private onPriorityFrame(streamId: number, buffer: Buffer, start: number, length: number): void {
    if (this.checkFlood(this.guard.priorityFrame())) return
    const stream = this.streams.get(streamId)
    if (length !== 5) {
      if (stream !== undefined) this.streamError(stream, ErrorCode.FRAME_SIZE_ERROR, 'PRIORITY is not 5 bytes long')
      else this.connectionError(ErrorCode.FRAME_SIZE_ERROR, 'PRIORITY is not 5 bytes long')
    } else if ((buffer.readUInt32BE(start) & MAX_31_BIT) === streamId) {
      if (stream !== undefined) this.streamError(stream, ErrorCode.PROTOCOL_ERROR, 'a stream depends on itself')
      else this.connectionError(ErrorCode.PROTOCOL_ERROR, 'a stream depends on itself')
    }
  }

  onDataBegin(streamId: number, length: number): void {
    this.dataStream = null
    this.receiveWindow -= length
    if (this.receiveWindow < 0) {
      this.connectionError(ErrorCode.FLOW_CONTROL_ERROR, 'DATA exceeds the connection window')
      return
    }
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      if (this.isIdle(streamId)) this.connectionError(ErrorCode.PROTOCOL_ERROR, 'DATA on an idle stream')
      else if (this.wasReset(streamId)) {
        // On its way when we reset the stream: the connection's window is given back in onDataSlice.
        if (!this.lateDataFits(streamId, length)) {
          this.connectionError(ErrorCode.FLOW_CONTROL_ERROR, 'DATA on a stream that was reset exceeds its window')
        }
      } else if (!this.ignored()) {
        this.writeReset(streamId, ErrorCode.STREAM_CLOSED, this.local.streamWindow)
        this.checkFlood(this.guard.streamEnded(true, this.clock, this.clock))
      }
      return
    }
    if (stream.remoteClosed) {
      this.streamError(stream, ErrorCode.STREAM_CLOSED, 'DATA after END_STREAM')
      return
    }
    stream.receiveWindow -= length
    if (stream.receiveWindow < 0) {
      this.streamError(stream, ErrorCode.FLOW_CONTROL_ERROR, 'DATA exceeds the stream window')
      return
    }
    this.dataStream = stream
  }

  onDataStart(length: number, padding: number, endStream: boolean): void {
    this.dataEnd = endStream
    if (this.checkFlood(this.guard.messageFrame(length === 0 && !endStream))) return
    const stream = this.dataStream
    if (padding > 0) this.consumed(stream, padding)
    if (stream === null) return
    const problem = this.dataProblem(stream, length, endStream)
    if (problem === '') return
    this.dataStream = null
    this.streamError(stream, ErrorCode.PROTOCOL_ERROR, problem)
  }

  /** Why `length` more octets of content may not come now, or ''. */
  protected dataProblem(stream: Http2Stream, length: number, endStream: boolean): string {
    stream.received += length
    if (stream.bodyForbidden) return length > 0 ? 'content in a response that has none' : ''
    if (stream.contentLength === -1) return ''
    if (stream.received > stream.contentLength) return 'content exceeds content-length'
    return endStream && stream.received < stream.contentLength ? 'content is shorter than content-length' : ''
  }

  onDataSlice(slice: Buffer, last: boolean): void {
    const stream = this.dataStream
    if (stream === null || stream.gone) {
      this.dataStream = null
      if (slice.length > 0) this.consumed(null, slice.length)
      return
    }
    const end = last && this.dataEnd
    if (end) stream.remoteClosed = true
    // An empty frame without END_STREAM says nothing.
    if (end || slice.length > 0) stream.receive(slice, end)
    if (end) this.finishIfClosed(stream)
  }

  /** Trailers on an open stream. */
  protected onTrailerBlock(stream: Http2Stream, endStream: boolean, block: DecodedBlock): void {
    if (stream.remoteClosed) {
      this.streamError(stream, ErrorCode.STREAM_CLOSED, 'HEADERS after END_STREAM')
      return
    }
    // CVE-2026-73513.
    if (!endStream) {
      this.streamError(stream, ErrorCode.PROTOCOL_ERROR, 'trailers without END_STREAM')
      return
    }
    if (block.overflow) {
      this.stats.header_overflow++
      this.streamError(stream, ErrorCode.ENHANCE_YOUR_CALM, 'trailers exceed the limits of a head', 'overflow')
      return
    }
    const trailers = parseTrailers(block, this.options.limits.underscores)
    if (isMalformed(trailers)) {
      this.streamError(stream, ErrorCode.PROTOCOL_ERROR, trailers.reason)
      return
    }
    const problem = this.dataProblem(stream, 0, true)
    if (problem !== '') {
      this.streamError(stream, ErrorCode.PROTOCOL_ERROR, problem)
      return
    }
    this.stats.trailers++
    stream.remoteClosed = true
    stream.receiveTrailers(trailers)
    this.finishIfClosed(stream)
  }
}
