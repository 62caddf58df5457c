// One HTTP/2 connection, what is the same on both sides (RFC 9113): frames in, stream states, both flow controls, settings, header
// blocks, errors, keepalive. server-codec.ts and client-codec.ts add heads and the two roles of GOAWAY. Fed by the connection's owner
// through Codec; calls streams, and the transport through FrameWriter.
//
// What the peer does wrong costs it the stream where the RFC allows (also where Envoy would close the connection, i.e. as with
// stream_error_on_invalid_http_message: one bad request of one client must not cost the others that a sidecar multiplexes with it),
// else the connection. Invariants: the HPACK state is kept up for every header block, also of refused streams; a frame that makes us
// answer is counted by FloodGuard before the next one is read; after `stopped` nothing is read, written or told.

import type { Http2Options } from '../../../model/http-connection-manager.js'
import type { CodecError, HeadLimits, StreamReset, Transport } from '../codec.js'
import type { Flushable } from '../flush-queue.js'
import type { HeaderList } from '../header-list.js'
import { ConnectionClock, type Ticking } from './connection-clock.js'
import { type Flood, FloodGuard, MAX_CONTINUATION_FRAMES } from './flood-guard.js'
import { FrameReader, type FrameSink } from './frame-reader.js'
import { ErrorCode, Flag, FRAME_HEADER_BYTES, FrameType, FrameWriter, MAX_31_BIT } from './frames.js'
import { DEFAULT_TABLE_SIZE, type DecodedBlock, HpackDecoder } from './hpack-decoder.js'
import { BLOCK_OVERHEAD, FIELD_OVERHEAD, HpackEncoder } from './hpack-encoder.js'
import { isMalformed, MESSAGING_RULE, parseTrailers } from './request-fields.js'
import { SendScheduler } from './send-scheduler.js'
import { DEFAULT_WINDOW, type LocalSettings, localSettings, PeerSettings, settingsEntries } from './settings.js'
import { type Http2Stats, newHttp2Stats } from './stats.js'
import type { Http2Stream } from './stream.js'

export interface Http2CodecOptions {
  readonly http2: Http2Options
  readonly limits: HeadLimits
  /** The :scheme of requests whose head names none, by the transport. Default `http`. */
  readonly scheme?: 'http' | 'https'
  /** Shared by the connections of one listener or cluster. */
  readonly stats?: Http2Stats
  /** Milliseconds of a monotonic clock; read once per chunk. Default `performance.now`. */
  readonly now?: () => number
}

/** A header block may be this much larger, coded, than what it may decode to. */
const CODED_HEAD_FACTOR = 4
const MIN_CODED_HEAD_BYTES = 65536
/** A block that decodes to this many times the limit ends the connection; up to there the request is answered with 431. */
const HARD_HEAD_FACTOR = 16
/** Decoded heads of all open streams together (CVE-2026-56846). */
const MAX_HEADER_BYTES_PER_CONNECTION = 16 * 1024 * 1024
/** Streams that we reset and whose frames may still be on their way. */
const MAX_REMEMBERED_RESETS = 1024
const SETTINGS_TIMEOUT_MS = 10_000

const KEEPALIVE_PING = Buffer.from('outalive', 'latin1')

export abstract class Http2Connection implements FrameSink, Flushable, Ticking {
  readonly writer: FrameWriter
  readonly scheduler: SendScheduler
  readonly local: LocalSettings
  readonly peer = new PeerSettings()
  /** The connection is over for the codec. */
  stopped = false

  protected readonly streams = new Map<number, Http2Stream>()
  protected readonly guard: FloodGuard
  protected readonly decoder: HpackDecoder
  protected readonly encoder: HpackEncoder
  protected readonly stats: Http2Stats
  /** Time of the current chunk. */
  protected clock: number
  protected readonly now: () => number
  protected settingsAcknowledged = false
  protected peerSettingsSeen = false
  /** Octets of decoded heads of the streams in `streams`. */
  protected headerBytes = 0

  private readonly reader: FrameReader
  private readonly recentResets = new Set<number>()
  private receiveWindow: number
  private unacknowledged = 0
  private readonly settingsSentAt: number
  private lastReceivedAt: number
  private keepaliveSentAt = -1
  private lastKeepaliveAt: number
  // The header block being assembled: its stream (0: none), flags of its HEADERS frame, fragments so far.
  private blockStream = 0
  private blockEndStream = false
  private blockSelfDependent = false
  private blockBytes: Buffer = Buffer.alloc(0)
  private blockLength = 0
  private blockFrames = 0
  // The DATA frame being read: null when its stream takes no data.
  private dataStream: Http2Stream | null = null
  private dataEnd = false

  constructor(
    protected readonly role: 'client' | 'server',
    protected readonly transport: Transport,
    protected readonly options: Http2CodecOptions,
  ) {
    this.stats = options.stats ?? newHttp2Stats()
    this.now = options.now ?? monotonicMs
    this.local = localSettings(options.http2)
    this.writer = new FrameWriter(transport, this)
    this.scheduler = new SendScheduler(this)
    this.reader = new FrameReader(this)
    this.guard = new FloodGuard(options.http2, this.writer)
    this.decoder = new HpackDecoder(options.limits.maxHeaders, options.limits.maxHeadBytes)
    this.decoder.setLimit(Math.max(DEFAULT_TABLE_SIZE, this.local.headerTableSize))
    this.encoder = new HpackEncoder(this.local.headerTableSize)
    this.clock = this.now()
    this.settingsSentAt = this.clock
    this.lastReceivedAt = this.clock
    this.lastKeepaliveAt = this.clock
    this.receiveWindow = this.local.connectionWindow
    ConnectionClock.add(this)
  }

  /** Our first bytes, after the client's preface. Called once by the subclass constructor. */
  protected sendPreface(): void {
    this.writer.settings(settingsEntries(this.local, this.role))
    if (this.local.connectionWindow > DEFAULT_WINDOW) this.writer.windowUpdate(0, this.local.connectionWindow - DEFAULT_WINDOW)
  }

  // ── what the sides do differently ──

  /** A complete header block on a stream that may be open, new or over. */
  protected abstract onBlock(streamId: number, endStream: boolean, selfDependent: boolean, block: DecodedBlock): void
  /** The stream id was never used by either side. */
  protected abstract isIdle(streamId: number): boolean
  /** GOAWAY of the peer. */
  protected abstract onGoaway(lastStreamId: number, code: number): void
  /** The peer acknowledged a PING that was not the keepalive's. `buffer[start, start + 8)` is its data. */
  protected abstract onPingAck(buffer: Buffer, start: number): boolean
  /** A stream left `streams`. */
  protected abstract onStreamGone(stream: Http2Stream): void
  /** The peer's settings changed. */
  protected abstract onPeerSettings(): void
  protected abstract tellConnectionError(error: CodecError): void
  /** For GOAWAY: the highest stream of the peer's that we acted on. */
  protected abstract lastProcessedId(): number
  /** Is there a reason to call `tick` at all, beyond keepalive and settings? */
  protected abstract needsTick(): boolean
  protected abstract onTick(now: number): void
  /** The head-pending state may have changed: a frame or a block is incomplete at the end of a chunk. */
  protected abstract onMidHead(pending: boolean): void

  // ── Codec ──

  get activeStreams(): number {
    return this.streams.size
  }

  flush(): void {
    this.writer.flush()
  }

  abstract drain(): void

  protected feedFrames(chunk: Buffer, pos: number): void {
    this.clock = this.now()
    this.lastReceivedAt = this.clock
    this.reader.read(chunk, pos)
    if (!this.stopped) this.onMidHead(this.reader.midFrame || this.blockStream !== 0)
  }

  onTransportDrain(): void {
    if (this.stopped) return
    const blocked = this.writer.blocked
    this.writer.drained()
    if (!blocked) return
    this.scheduler.pump()
    for (const stream of this.streams.values()) {
      if (this.writer.blocked || this.stopped) return
      this.scheduler.notify(stream)
    }
  }

  onTransportEnd(): void {
    if (this.stopped) return
    // HTTP/2 has no half-closed connections: what is not complete now never will be.
    this.endAll({ code: 'connection-closed', details: 'http2.connection_closed' })
    this.stop()
    this.transport.end()
  }

  onTransportClose(reason: StreamReset): void {
    if (this.stopped) return
    this.endAll(reason)
    this.stop()
  }

  /** Keepalive, the settings timeout and timed parts of a drain. Called a few times a second while `wantsTicks`. */
  tick(now: number): void {
    if (this.stopped) return
    if (!this.settingsAcknowledged && now - this.settingsSentAt > SETTINGS_TIMEOUT_MS) {
      this.connectionError(ErrorCode.SETTINGS_TIMEOUT, `SETTINGS were not acknowledged within ${SETTINGS_TIMEOUT_MS} ms`)
      return
    }
    const { keepaliveIntervalMs, keepaliveTimeoutMs } = this.options.http2
    if (keepaliveIntervalMs !== null && keepaliveIntervalMs > 0) {
      if (this.keepaliveSentAt !== -1) {
        if (now - this.keepaliveSentAt > keepaliveTimeoutMs) {
          this.stats.keepalive_timeout++
          this.connectionError(ErrorCode.NO_ERROR, `no answer to a keepalive PING within ${keepaliveTimeoutMs} ms`, 'keepalive_timeout')
          return
        }
      } else if (now - Math.max(this.lastReceivedAt, this.lastKeepaliveAt) >= keepaliveIntervalMs) {
        this.keepaliveSentAt = now
        this.lastKeepaliveAt = now
        this.writer.ping(false, KEEPALIVE_PING, 0)
      }
    }
    this.onTick(now)
  }

  get wantsTicks(): boolean {
    if (this.stopped) return false
    const interval = this.options.http2.keepaliveIntervalMs
    return !this.settingsAcknowledged || (interval !== null && interval > 0) || this.needsTick()
  }

  currentTime(): number {
    return this.now()
  }

  // ── frames in ──

  onFrameHeader(length: number, type: number, _flags: number, streamId: number): boolean {
    if (this.blockStream !== 0 && (type !== FrameType.CONTINUATION || streamId !== this.blockStream)) {
      this.connectionError(ErrorCode.PROTOCOL_ERROR, 'a header block was interrupted')
      return false
    }
    if (!this.peerSettingsSeen && type !== FrameType.SETTINGS) {
      this.connectionError(ErrorCode.PROTOCOL_ERROR, 'the first frame is not SETTINGS')
      return false
    }
    let error = ''
    let code: number = ErrorCode.PROTOCOL_ERROR
    switch (type) {
      case FrameType.DATA:
      case FrameType.HEADERS:
      case FrameType.PRIORITY:
      case FrameType.CONTINUATION:
        if (streamId === 0) error = 'a stream frame on stream 0'
        break
      case FrameType.RST_STREAM:
        if (streamId === 0) error = 'RST_STREAM on stream 0'
        else if (length !== 4) {
          error = 'RST_STREAM is not 4 bytes long'
          code = ErrorCode.FRAME_SIZE_ERROR
        }
        break
      case FrameType.WINDOW_UPDATE:
        if (length !== 4) {
          error = 'WINDOW_UPDATE is not 4 bytes long'
          code = ErrorCode.FRAME_SIZE_ERROR
        }
        break
      case FrameType.SETTINGS:
      case FrameType.PING:
      case FrameType.GOAWAY:
        if (streamId !== 0) error = 'a connection frame on a stream'
        else if (type === FrameType.SETTINGS ? length % 6 !== 0 : type === FrameType.PING ? length !== 8 : length < 8) {
          error = 'a connection frame of a wrong length'
          code = ErrorCode.FRAME_SIZE_ERROR
        }
        break
      default:
    }
    if (error === '') return true
    this.connectionError(code, error)
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
        else if (this.keepaliveSentAt !== -1 && KEEPALIVE_PING.compare(buffer, start, start + 8) === 0) this.keepaliveSentAt = -1
        else if (!this.onPingAck(buffer, start)) this.ignored()
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
    this.blockStream = streamId
    this.blockEndStream = endStream
    this.blockSelfDependent = selfDependent
    this.blockLength = 0
    this.blockFrames = 0
    this.appendFragment(buffer, start, blockEnd)
  }

  private onContinuationFrame(flags: number, buffer: Buffer, start: number, length: number): void {
    if (this.blockStream === 0) {
      this.connectionError(ErrorCode.PROTOCOL_ERROR, 'CONTINUATION outside a header block')
      return
    }
    if (this.checkFlood(this.guard.messageFrame(length === 0))) return
    // CVE-2024-27919, CVE-2024-30255: both frames and bytes of a block are bounded.
    if (++this.blockFrames > MAX_CONTINUATION_FRAMES) {
      this.calm('header_overflow', `more than ${MAX_CONTINUATION_FRAMES} CONTINUATION frames in one header block`)
      return
    }
    this.appendFragment(buffer, start, start + length)
    if (this.stopped || (flags & Flag.END_HEADERS) === 0) return
    const streamId = this.blockStream
    const bytes = this.blockBytes
    this.blockStream = 0
    this.blockBytes = Buffer.alloc(0)
    this.decodeBlock(streamId, this.blockEndStream, this.blockSelfDependent, bytes, 0, this.blockLength)
  }

  private appendFragment(buffer: Buffer, start: number, end: number): void {
    const length = this.blockLength + end - start
    const most = Math.max(MIN_CODED_HEAD_BYTES, this.options.limits.maxHeadBytes * CODED_HEAD_FACTOR)
    if (length > most) {
      this.calm('header_overflow', `a header block is longer than ${most} bytes`)
      return
    }
    if (length > this.blockBytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(most, Math.max(4096, length, this.blockBytes.length * 2)))
      this.blockBytes.copy(grown, 0, 0, this.blockLength)
      this.blockBytes = grown
    }
    buffer.copy(this.blockBytes, this.blockLength, start, end)
    this.blockLength = length
  }

  private decodeBlock(streamId: number, endStream: boolean, selfDependent: boolean, buffer: Buffer, start: number, end: number): void {
    if (!this.decoder.decode(buffer, start, end)) {
      this.connectionError(ErrorCode.COMPRESSION_ERROR, 'a header block cannot be decompressed')
      return
    }
    const block = this.decoder.block
    if (block.bytes > this.options.limits.maxHeadBytes * HARD_HEAD_FACTOR) {
      this.calm('header_overflow', `a header block expands to ${block.bytes} bytes`)
      return
    }
    this.onBlock(streamId, endStream, selfDependent, block)
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
        code: refused ? 'refused' : 'remote-reset',
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
      else if (this.settingsAcknowledged) this.ignored()
      else {
        this.settingsAcknowledged = true
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
      for (const stream of [...this.streams.values()]) {
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
      else if (this.recentResets.has(streamId)) {
        // On its way when we reset the stream.
      } else if (!this.ignored()) {
        this.writeReset(streamId, ErrorCode.STREAM_CLOSED)
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

  // ── receive windows ──

  /** `count` received octets were taken by their reader, or thrown away (`stream` null: of no stream that is left). */
  consumed(stream: Http2Stream | null, count: number): void {
    if (this.stopped) return
    this.unacknowledged += count
    if (this.unacknowledged * 2 >= this.local.connectionWindow) {
      this.writer.windowUpdate(0, this.unacknowledged)
      this.receiveWindow += this.unacknowledged
      this.unacknowledged = 0
    }
    if (stream === null || stream.gone || stream.remoteClosed) return
    stream.unacknowledged += count
    if (stream.unacknowledged * 2 < this.local.streamWindow) return
    this.writer.windowUpdate(stream.id, stream.unacknowledged)
    stream.receiveWindow += stream.unacknowledged
    stream.unacknowledged = 0
  }

  // ── sending ──

  /** Start a header block of at most `fieldBytes` octets of names and values in `fields` fields. Returns the position of the frame. */
  protected beginBlock(fields: number, fieldBytes: number): number {
    this.writer.reserve(FRAME_HEADER_BYTES + BLOCK_OVERHEAD + fields * FIELD_OVERHEAD + fieldBytes)
    return this.writer.length
  }

  /** Write the fields of `headers` at `pos` of the output buffer. */
  protected writeFields(pos: number, headers: HeaderList): number {
    const buffer = this.writer.buffer
    const names = headers.lower
    const values = headers.values
    const encoder = this.encoder
    for (let i = 0; i < values.length; i++) pos = encoder.write(buffer, pos, names[i]!, values[i]!)
    return pos
  }

  protected finishBlock(start: number, end: number, streamId: number, endStream: boolean): void {
    this.writer.headers(start, end, streamId, endStream, this.peer.maxFrameSize)
    if (this.writer.blocked) this.checkFlood(this.guard.outbound())
  }

  writeTrailers(stream: Http2Stream, trailers: HeaderList): void {
    const start = this.beginBlock(trailers.length, fieldBytes(trailers))
    const pos = this.encoder.begin(this.writer.buffer, start + FRAME_HEADER_BYTES)
    this.finishBlock(start, this.writeFields(pos, trailers), stream.id, true)
  }

  // ── the end of streams ──

  localEnded(stream: Http2Stream): void {
    stream.localClosed = true
    if (stream.resetWhenSent && !stream.remoteClosed) this.resetStream(stream, ErrorCode.NO_ERROR)
    else this.finishIfClosed(stream)
  }

  protected finishIfClosed(stream: Http2Stream): void {
    if (!stream.remoteClosed || !stream.localClosed || stream.gone) return
    if (this.role === 'server') this.guard.streamEnded(false, stream.openedAt, this.clock)
    this.forget(stream)
  }

  /** The stream is over: out of the table, with no event. */
  private forget(stream: Http2Stream): void {
    if (stream.gone) return
    stream.gone = true
    stream.outbox = null
    stream.outTrailers = null
    this.headerBytes -= stream.headBytes
    this.streams.delete(stream.id)
    this.onStreamGone(stream)
  }

  /** RST_STREAM for a reason of our own side; tells nobody. */
  resetStream(stream: Http2Stream, code: number): void {
    if (stream.gone || this.stopped) return
    if (stream.id !== 0) this.writeReset(stream.id, code)
    this.forget(stream)
  }

  protected writeReset(streamId: number, code: number): void {
    this.stats.tx_reset++
    this.writer.rstStream(streamId, code)
    const recent = this.recentResets
    recent.add(streamId)
    if (recent.size > MAX_REMEMBERED_RESETS) for (const oldest of recent) return void recent.delete(oldest)
  }

  protected wasReset(streamId: number): boolean {
    return this.recentResets.has(streamId)
  }

  /** The peer broke a rule on one stream (RFC 9113 §5.4.2). */
  protected streamError(stream: Http2Stream, code: number, reason: string, kind: StreamReset['code'] = 'protocol-error'): void {
    if (stream.gone) return
    this.stats.rx_messaging_error++
    this.writeReset(stream.id, code)
    this.forget(stream)
    stream.receiveReset({ code: kind, details: `${MESSAGING_RULE}: ${reason}`, h2Code: code }, false)
    this.provoked(stream.openedAt)
  }

  /** The peer made us reset a stream: counts like a reset of its own (CVE-2025-8671). */
  protected provoked(openedAt: number): void {
    if (!this.stopped && this.role === 'server') this.checkFlood(this.guard.streamEnded(true, openedAt, this.clock))
  }

  /** Reserve room for a new stream's head in the connection's sum; false: too much is open. */
  protected admitHead(bytes: number): boolean {
    return this.headerBytes + bytes <= MAX_HEADER_BYTES_PER_CONNECTION
  }

  /** GOAWAY says that the peer never acted on this stream. */
  protected abandon(stream: Http2Stream, code: number): void {
    this.forget(stream)
    stream.receiveReset({ code: 'refused', details: 'http2.goaway', h2Code: code }, false)
  }

  // ── the end of the connection ──

  /** A frame that changes nothing; true when there were too many. */
  protected ignored(): boolean {
    return this.checkFlood(this.guard.idleFrame())
  }

  /** True when the connection was ended for it. */
  protected checkFlood(flood: Flood | null): boolean {
    if (flood === null) return this.stopped
    if (!this.stopped) this.fail(ErrorCode.ENHANCE_YOUR_CALM, flood.message, flood.details, flood.stat, 'overflow')
    return true
  }

  /** A limit on one header block was passed for good. */
  private calm(stat: string, message: string): void {
    this.fail(ErrorCode.ENHANCE_YOUR_CALM, message, 'http2.too_many_headers', stat, 'overflow')
  }

  /** Connection error (RFC 9113 §5.4.1). */
  protected connectionError(code: number, reason: string, stat = ''): void {
    this.fail(code, reason, 'http2.protocol_error', stat, 'protocol-error')
  }

  private fail(code: number, message: string, details: string, stat: string, kind: StreamReset['code']): void {
    if (this.stopped) return
    if (stat in this.stats && stat !== 'keepalive_timeout') this.stats[stat as keyof Http2Stats]++
    if (code === ErrorCode.PROTOCOL_ERROR) this.stats.rx_messaging_error++
    this.stats.goaway_sent++
    this.writer.goaway(this.lastProcessedId(), code, message)
    this.writer.flush()
    const error: CodecError = { status: 0, details, message: `HTTP/2: ${message}`, stat }
    this.endAll({ code: kind, details, h2Code: code })
    this.stop()
    this.transport.end()
    this.tellConnectionError(error)
  }

  /** Every stream gets its onReset. */
  protected endAll(reset: StreamReset): void {
    this.stopped = true
    const streams = [...this.streams.values()]
    this.streams.clear()
    for (const stream of streams) {
      stream.gone = true
      stream.outbox = null
      // A response that is complete though not yet taken is not lost with the connection.
      stream.receiveReset(reset, this.role === 'client' && stream.remoteClosed)
    }
  }

  private stop(): void {
    this.stopped = true
    this.blockBytes = Buffer.alloc(0)
    this.recentResets.clear()
    ConnectionClock.remove(this)
  }

  /** The last stream of a drain ended: close in order. */
  protected close(): void {
    if (this.stopped) return
    this.writer.flush()
    this.stop()
    this.transport.end()
  }
}

function monotonicMs(): number {
  return performance.now()
}

/** Octets of all names and values. */
export function fieldBytes(headers: HeaderList): number {
  const names = headers.lower
  const values = headers.values
  let bytes = 0
  for (let i = 0; i < values.length; i++) bytes += names[i]!.length + values[i]!.length
  return bytes
}
