// One HTTP/2 connection, the part below the frames that come in: its streams, sending, windows, and every way that a stream or the
// connection ends. connection.ts adds the reading of frames, server-codec.ts and client-codec.ts the heads. Called by those and by
// stream.ts and send-scheduler.ts; calls streams, and the transport through FrameWriter. Invariants: after `stopped` nothing is
// written or told; `streams` holds exactly the streams that are not `gone`.

import type { Http2Options } from '../../../model/http-connection-manager.js'
import type { CodecError, HeadLimits, StreamReset, Transport } from '../codec.js'
import type { Flushable } from '../flush-queue.js'
import type { HeaderList } from '../header-list.js'
import { ConnectionClock, type Ticking } from './connection-clock.js'
import { type Flood, FloodGuard } from './flood-guard.js'
import { ErrorCode, FRAME_HEADER_BYTES, FrameWriter } from './frames.js'
import { BLOCK_OVERHEAD, FIELD_OVERHEAD, HpackEncoder } from './hpack-encoder.js'
import { MESSAGING_RULE } from './request-fields.js'
import { type SchedulerHost, SendScheduler } from './send-scheduler.js'
import { DEFAULT_WINDOW, type LocalSettings, localSettings, PeerSettings, settingsEntries } from './settings.js'
import { type Http2Stats, newHttp2Stats } from './stats.js'
import type { Http2Stream, Http2StreamHost } from './stream.js'
import { StreamTable } from './stream-table.js'

export interface Http2CodecOptions {
  readonly http2: Http2Options
  readonly limits: HeadLimits
  /** The :scheme of requests whose head names none, by the transport. Default `http`. */
  readonly scheme?: 'http' | 'https'
  /** Of a client: streams it may open before the server's SETTINGS. Default 1. */
  readonly streamsBeforeSettings?: number
  /** Shared by the connections of one listener or cluster. */
  readonly stats?: Http2Stats
  /** A server's: how long a peer that is told to leave may take to answer the PING behind the first GOAWAY. Default 5 s. */
  readonly drainTimeoutMs?: number
  /** Milliseconds of a monotonic clock; read once per chunk. Default `performance.now`. */
  readonly now?: () => number
}

/** Decoded heads of all open streams together (CVE-2026-56846). */
const MAX_HEADER_BYTES_PER_CONNECTION = 16 * 1024 * 1024
/** Streams that we reset and whose frames may still be on their way. */
const MAX_REMEMBERED_RESETS = 1024

export abstract class Http2ConnectionBase implements Http2StreamHost, SchedulerHost, Flushable, Ticking {
  readonly writer: FrameWriter
  readonly scheduler: SendScheduler
  readonly local: LocalSettings
  readonly peer = new PeerSettings()
  /** The connection is over for the codec. */
  stopped = false
  /** It ended with streams that were not complete. */
  cutShort = false

  protected readonly streams = new StreamTable<Http2Stream>()
  protected readonly guard: FloodGuard
  protected readonly encoder: HpackEncoder
  protected readonly stats: Http2Stats
  /** Time of the current chunk. */
  protected clock: number
  protected readonly now: () => number
  /** Octets of decoded heads of the streams in `streams`. */
  protected headerBytes = 0
  /** What the peer may still send on the connection. */
  protected receiveWindow: number
  private unacknowledged = 0
  /** Streams that we reset, and the octets of DATA that each may still bring: what was left of its window. */
  private readonly recentResets = new Map<number, number>()
  /** Inside a read. */
  protected reading = false
  /** Streams to call off behind it. */
  private answered: Http2Stream[] | null = null

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
    this.guard = new FloodGuard(options.http2, this.writer)
    this.encoder = new HpackEncoder(this.local.headerTableSize)
    this.clock = this.now()
    this.receiveWindow = this.local.connectionWindow
    ConnectionClock.add(this)
  }

  /** Our first bytes, after the client's preface. Called once by the subclass constructor. */
  protected sendPreface(): void {
    this.writer.settings(settingsEntries(this.local, this.role))
    if (this.local.connectionWindow > DEFAULT_WINDOW) this.writer.windowUpdate(0, this.local.connectionWindow - DEFAULT_WINDOW)
  }

  // ── what the sides do differently ──

  /** A stream left `streams`. */
  protected abstract onStreamGone(stream: Http2Stream): void
  protected abstract tellConnectionError(error: CodecError): void
  /** For GOAWAY: the highest stream of the peer's that we acted on. */
  protected abstract lastProcessedId(): number
  /** Drop what was kept of unfinished frames. */
  protected abstract dropPartial(): void
  abstract drain(): void
  abstract tick(now: number): void
  abstract away(ms: number): void
  abstract get wantsTicks(): boolean

  get activeStreams(): number {
    return this.streams.size
  }

  flush(): void {
    this.writer.flush()
  }

  currentTime(): number {
    return this.now()
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
    if (stream === null || stream.gone || stream.silent || stream.remoteClosed) return
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
    if (stream.resetWhenSent && !stream.remoteClosed) this.callOff(stream)
    else this.finishIfClosed(stream)
  }

  protected finishIfClosed(stream: Http2Stream): void {
    if (!stream.remoteClosed || !stream.localClosed || stream.gone) return
    if (this.role === 'server') this.guard.streamEnded(false, stream.openedAt, this.clock)
    this.forget(stream)
  }

  /** The stream is over: out of the table, with no event. */
  protected forget(stream: Http2Stream): void {
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
    if (stream.id !== 0) this.writeReset(stream.id, code, stream.receiveWindow)
    this.forget(stream)
  }

  /**
   * The answer is whole, the request is not: its rest is not wanted (RFC 9113 §8.1). Behind what is being read, where the request may
   * end as well: clients of gRPC take a reset for a failure even after the answer (grpc-node#2569).
   */
  callOff(stream: Http2Stream): void {
    if (!this.reading) this.resetStream(stream, ErrorCode.NO_ERROR)
    else if (this.answered === null) this.answered = [stream]
    else this.answered.push(stream)
  }

  protected endOfRead(): void {
    this.reading = false
    const { answered } = this
    if (answered === null) return
    this.answered = null
    for (const stream of answered) if (!stream.remoteClosed) this.resetStream(stream, ErrorCode.NO_ERROR)
  }

  /** `window`: octets that the peer may have sent before it hears of the reset. */
  protected writeReset(streamId: number, code: number, window: number): void {
    this.stats.tx_reset++
    this.guard.resetsSent++
    this.writer.rstStream(streamId, code)
    const recent = this.recentResets
    recent.set(streamId, window)
    if (recent.size > MAX_REMEMBERED_RESETS) for (const oldest of recent.keys()) return void recent.delete(oldest)
  }

  protected wasReset(streamId: number): boolean {
    return this.recentResets.has(streamId)
  }

  /** DATA on a stream that we reset. False: the peer cannot have sent so much before it heard of it (RFC 9113 §6.9.1). */
  protected lateDataFits(streamId: number, length: number): boolean {
    const left = this.recentResets.get(streamId)! - length
    this.recentResets.set(streamId, left)
    return left >= 0
  }

  /** A header block on a stream that is over. */
  protected lateHeaders(): void {
    this.checkFlood(this.guard.lateHeaders())
  }

  /** The peer broke a rule on one stream (RFC 9113 §5.4.2). */
  protected streamError(stream: Http2Stream, code: number, reason: string, kind: StreamReset['code'] = 'protocol-error'): void {
    if (stream.gone) return
    this.stats.rx_messaging_error++
    this.writeReset(stream.id, code, stream.receiveWindow)
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
  protected calm(stat: string, message: string): void {
    this.fail(ErrorCode.ENHANCE_YOUR_CALM, message, 'http2.too_many_headers', stat, 'overflow')
  }

  /** Connection error (RFC 9113 §5.4.1). */
  protected connectionError(code: number, reason: string, stat = ''): void {
    this.fail(code, reason, 'http2.protocol_error', stat, 'protocol-error')
  }

  private fail(code: number, message: string, details: string, stat: string, kind: StreamReset['code']): void {
    if (this.stopped) return
    if (stat in this.stats) this.stats[stat as keyof Http2Stats]++
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
    this.cutShort = this.streams.size > 0
    const streams = this.streams.values()
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
    this.dropPartial()
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
