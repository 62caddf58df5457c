// A downstream HTTP connection: a socket, the server codec on it, its timers, and the exchanges in progress. Made by proxy for each
// accepted connection whose filter chain ends in the connection manager. It is the ServerHandler of its codec.
//
// Drain: new requests are answered with Connection: close (HTTP/1) or GOAWAY (HTTP/2); an idle connection closes at once.

import type { Socket } from 'node:net'
import { LazyTimer } from '../../io/lazy-timer.js'
import { everySecond, type Swept } from '../../io/second-sweep.js'
import { ownBytes, readShared } from '../../io/shared-read.js'
import { SocketTransport } from '../../io/socket-transport.js'
import type { Codec, CodecError, HttpVersion, RequestHead, ServerHandler, ServerStream } from '../codec/codec.js'
import { headerCase, headLimits } from '../codec/codec-options.js'
import { HeaderList } from '../codec/header-list.js'
import { Http1ServerCodec } from '../codec/http1/server-codec.js'
import { Http2ServerCodec } from '../codec/http2/server-codec.js'
import { writeAccessLogs } from '../log/open-access-log.js'
import { localReply } from '../reply/local-reply.js'
import { responseHead } from '../reply/local-reply-response.js'
import type { ConnectionInfo } from '../stream/connection-info.js'
import { ResponseFlag } from '../stream/response-flags.js'
import { StreamInfo } from '../stream/stream-info.js'
import type { Exchange, ExchangeOwner } from './exchange.js'
import type { HttpRuntime } from './http-runtime.js'
import type { Overload } from './overload.js'
import { handleRedirected, handleRequest } from './request-path.js'
import { httpDate } from './response-headers.js'

/** First bytes of an HTTP/2 connection with prior knowledge (RFC 9113 §3.4). */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export class DownstreamConnection implements ServerHandler, ExchangeOwner, Swept {
  readonly info: ConnectionInfo
  /** The newest version for this connection's filter chain: each request is judged by it, also on old connections (envoy#44116). */
  runtime: HttpRuntime
  draining = false
  private readonly transport: SocketTransport
  private codec: Codec | null = null
  private sniffed: Buffer | null = null
  /** Each knows its place: a Set would be changed and compacted for each request. */
  private readonly exchanges: Exchange[] = []
  private readonly idleTimer: LazyTimer
  private headTimer: LazyTimer | null = null
  private ageTimer: LazyTimer | null = null
  /** What both timers are set to. */
  private idleMs = 0
  private maxAgeMs = 0
  private requests = 0
  private bytesRead = 0
  /** Of what was read and written, so much is in the counters. */
  private reportedRead = 0
  private reportedWritten = 0
  /** Of the gauges of bytes that wait and of open streams, so much is this connection's. */
  private reportedWaiting = 0
  private reportedStreams = 0
  /** Who began to close it; '' while it is open. */
  private closedBy: '' | 'local' | 'remote' = ''
  private closed = false
  /** The client's FIN came while requests of it ran: they are gone before the socket is. */
  private leftRequests = false
  private protocolError = false
  /** A request has begun whose head is not complete. */
  private insideHead = false
  private readonly startedAt = performance.now()
  private readonly onClosed: (connection: DownstreamConnection) => void
  private readonly drainClose: () => boolean

  /** `early`: bytes already read from the socket (listener filters). `drainClose`: asked per request, whether it is the last one here. */
  constructor(
    socket: Socket,
    info: ConnectionInfo,
    runtime: HttpRuntime,
    early: Buffer | null,
    onClosed: (connection: DownstreamConnection) => void,
    drainClose: () => boolean = () => false,
  ) {
    this.info = info
    this.runtime = runtime
    this.onClosed = onClosed
    this.drainClose = drainClose
    const { config, stats } = runtime
    this.transport = new SocketTransport(socket, runtime.bufferLimitBytes, config.delayedCloseTimeoutMs)
    stats.downstream_cx_total.value++
    stats.downstream_cx_active.value++
    if (info.tls !== null) {
      stats.downstream_cx_ssl_total.value++
      stats.downstream_cx_ssl_active.value++
    }
    this.idleTimer = new LazyTimer(() => {
      stats.downstream_cx_idle_timeout.value++
      this.leave()
    })
    if (config.common.maxConnectionDurationMs !== null && config.common.maxConnectionDurationMs > 0) {
      this.ageTimer = new LazyTimer(() => {
        stats.downstream_cx_max_duration_reached.value++
        this.drain()
      })
      this.maxAgeMs = this.scaled('connection-max', config.common.maxConnectionDurationMs)
      this.ageTimer.set(this.maxAgeMs)
    }
    const alpn = info.tls?.alpn ?? ''
    if (config.codecType === 'HTTP2' || (config.codecType === 'AUTO' && alpn === 'h2')) this.startCodec('http2')
    else if (config.codecType === 'HTTP1' || alpn !== '') this.startCodec('http1')
    everySecond.add(this)
    this.onIdle()
    socket.on('drain', () => this.codec?.onTransportDrain())
    socket.on('end', () => {
      this.leftRequests = this.exchanges.length > 0
      if (this.codec === null) socket.destroy()
      else this.codec.onTransportEnd()
    })
    socket.on('error', () => {})
    socket.on('close', () => this.onSocketClose())
    if (early !== null && early.length > 0) this.feed(early)
    readShared(socket, chunk => this.feed(chunk))
    // Accepted sockets are paused until now (ActiveListener.listen).
    socket.resume()
  }

  private scaled(kind: 'connection-idle' | 'connection-max', ms: number): number {
    const { overload } = this.runtime
    return overload === null ? ms : overload.timeoutMs(kind, ms)
  }

  /** Overload shortens timeouts more, or less, than it did. */
  rescaleTimeouts(): void {
    const { common } = this.runtime.config
    const idleMs = this.scaled('connection-idle', common.idleTimeoutMs)
    const maxAgeMs = this.scaled('connection-max', common.maxConnectionDurationMs ?? 0)
    this.idleTimer.shift(idleMs - this.idleMs)
    this.ageTimer?.shift(maxAgeMs - this.maxAgeMs)
    this.idleMs = idleMs
    this.maxAgeMs = maxAgeMs
    for (const exchange of this.exchanges) exchange.rescaleTimeouts()
  }

  /** What is in progress. */
  get streams(): Iterable<Exchange> {
    return this.exchanges.slice()
  }

  private startCodec(protocol: 'http1' | 'http2'): Codec {
    const { config, stats } = this.runtime
    const limits = headLimits(config.common, config.maxRequestHeadersKb)
    if (protocol === 'http2') {
      stats.downstream_cx_http2_total.value++
      stats.downstream_cx_http2_active.value++
      this.codec = new Http2ServerCodec(this.transport, this, {
        http2: config.http2.allowConnect || !config.upgrades.some(u => u.enabled) ? config.http2 : { ...config.http2, allowConnect: true },
        limits,
        stats: this.runtime.codecStats.http2,
        drainTimeoutMs: config.drainTimeoutMs,
      })
    } else {
      stats.downstream_cx_http1_total.value++
      stats.downstream_cx_http1_active.value++
      this.runtime.codecStats.showHttp1()
      this.codec = new Http1ServerCodec(this.transport, this, {
        limits,
        allowAbsoluteUrl: config.http1.allowAbsoluteUrl,
        allowCustomMethods: config.http1.allowCustomMethods,
        headerCase: headerCase(config.http1),
        enableTrailers: true,
      })
    }
    return this.codec
  }

  /** HOT. */
  private feed(chunk: Buffer): void {
    const begins = this.bytesRead === 0
    this.bytesRead += chunk.length
    if (begins && this.refusedForOverload()) return
    if (this.codec !== null) this.codec.feed(chunk)
    else this.sniff(chunk)
  }

  /** The first bytes of a client that gets no codec. */
  private refusedForOverload(): boolean {
    const { overload, stats } = this.runtime
    if (overload === null || !overload.refusesCodec()) return false
    stats.downstream_rq_overload_close.value++
    this.destroy()
    return true
  }

  /** codec_type AUTO in the clear: the HTTP/2 preface, or HTTP/1. */
  private sniff(chunk: Buffer): void {
    const seen = this.sniffed === null ? chunk : Buffer.concat([this.sniffed, chunk])
    const length = Math.min(seen.length, PREFACE.length)
    if (seen.compare(PREFACE, 0, length, 0, length) === 0) {
      if (seen.length < PREFACE.length) {
        this.sniffed = ownBytes(seen)
        this.onHeadPending(true)
        return
      }
      this.onHeadPending(false)
      this.startCodec('http2').feed(seen)
    } else this.startCodec('http1').feed(seen)
    this.sniffed = null
  }

  // ---- ServerHandler ----------------------------------------------------------------------------------------------------------

  onRequest(stream: ServerStream, head: RequestHead, end: boolean): void {
    this.idleTimer.clear()
    this.requests++
    const { config, stats } = this.runtime
    const max = config.common.maxRequestsPerConnection
    if (max !== null && max > 0 && this.requests >= max) {
      if (this.requests === max) stats.downstream_cx_max_requests_reached.value++
      if (stream.version === 'HTTP/2') this.drain()
      else stream.closeAfter()
    }
    if (!this.draining && this.drainClose()) {
      if (stream.version === 'HTTP/2') this.drain()
      else {
        stats.downstream_cx_drain_close.value++
        stream.closeAfter()
      }
    }
    if (this.runtime.overload !== null && !this.draining) this.endForOverload(stream, this.runtime.overload)
    const exchange = handleRequest(this.runtime, this, stream, head, end)
    this.onExchange(exchange)
  }

  /** This request is the last one here, where overload says so. */
  private endForOverload(stream: ServerStream, overload: Overload): void {
    const http2 = stream.version === 'HTTP/2'
    if (overload.endsKeepalive()) {
      this.runtime.stats.downstream_cx_overload_disable_keepalive.value++
      if (http2) this.drain()
      else stream.closeAfter()
    } else if (http2 && overload.sendsGoaway()) this.drain()
  }

  onExchange(exchange: Exchange): void {
    if (!exchange.ended) exchange.place = this.exchanges.push(exchange) - 1
  }

  onExchangeEnd(exchange: Exchange): void {
    const { place } = exchange
    if (place === -1) return
    exchange.place = -1
    const last = this.exchanges.pop()!
    if (last === exchange) return
    this.exchanges[place] = last
    last.place = place
  }

  redirect(previous: Exchange, head: RequestHead, dropBody: boolean): void {
    handleRedirected(previous, head, dropBody)
  }

  onBadRequest(stream: ServerStream, error: CodecError, partial: RequestHead | null): void {
    const { runtime } = this
    const { stats } = runtime
    this.protocolError = true
    stats.downstream_rq_total.value++
    if (stream.version === 'HTTP/2') stats.downstream_rq_http2_total.value++
    else stats.downstream_rq_http1_total.value++
    if (error.status === 431) stats.downstream_rq_too_large.value++
    else stats.downstream_cx_protocol_error.value++
    if (error.stat !== '') runtime.codecStats.count(error.stat)
    const headers = new HeaderList()
    const body = Buffer.from(error.message, 'utf8')
    headers.append('content-length', String(body.length))
    headers.append('content-type', 'text/plain')
    headers.append('date', httpDate(Date.now()))
    headers.append('server', runtime.config.serverName)
    if (runtime.config.via !== '') headers.append('via', runtime.config.via)
    const info = this.unreadInfo(stream.version, error.details, ResponseFlag.DownstreamProtocolError)
    info.request = partial
    info.responseCode = error.status
    info.bytesSent = body.length
    runtime.hcmStats.completed(error.status, runtime.listenerHttp)
    writeAccessLogs(runtime.accessLogs, info)
    if (stream.version !== 'HTTP/2') stream.closeAfter()
    stream.sendHead(responseHead(error.status, headers, body.length), false)
    stream.sendData(body, true)
  }

  onRefusedHead(error: CodecError): void {
    const { stats, accessLogs } = this.runtime
    stats.downstream_rq_total.value++
    stats.downstream_rq_http2_total.value++
    stats.downstream_rq_rx_reset.value++
    writeAccessLogs(accessLogs, this.unreadInfo('HTTP/2', error.details, ResponseFlag.DownstreamProtocolError))
  }

  /** What logs say of a request that never became one. */
  private unreadInfo(protocol: HttpVersion, details: string, flag: number): StreamInfo {
    const info = new StreamInfo(this.info, Date.now(), performance.now())
    info.refusedProtocol = protocol
    info.responseFlags = flag
    info.responseCodeDetails = details
    info.endedAt = performance.now()
    return info
  }

  /** An HTTP/1 request that ended inside its head; `status` 0: the client left. */
  private logUnread(status: number, details: string, flag: number): void {
    const { stats, hcmStats, accessLogs, listenerHttp } = this.runtime
    this.insideHead = false
    stats.downstream_rq_total.value++
    stats.downstream_rq_http1_total.value++
    if (status === 0) stats.downstream_rq_rx_reset.value++
    else hcmStats.completed(status, listenerHttp)
    const info = this.unreadInfo('HTTP/1.1', details, flag)
    info.responseCode = status
    writeAccessLogs(accessLogs, info)
  }

  onIdle(): void {
    if (this.draining) {
      this.leave()
      return
    }
    const idleMs = this.runtime.config.common.idleTimeoutMs
    if (idleMs <= 0) return
    this.idleMs = this.scaled('connection-idle', idleMs)
    this.idleTimer.set(this.idleMs)
  }

  onHeadPending(pending: boolean): void {
    this.insideHead = pending
    const ms = this.runtime.config.requestHeadersTimeoutMs
    if (ms <= 0) return
    if (!pending) {
      this.headTimer?.clear()
      return
    }
    this.headTimer ??= new LazyTimer(() => this.onHeadTimeout())
    this.headTimer.set(ms)
  }

  private onHeadTimeout(): void {
    const { stats, config } = this.runtime
    stats.downstream_rq_header_timeout.value++
    const reply = localReply('request-headers-timeout', '')
    if (!(this.codec instanceof Http2ServerCodec) && !this.closed) {
      if (this.insideHead && this.codec !== null) this.logUnread(reply.status, reply.details, 0)
      this.transport.write(
        `HTTP/1.1 ${reply.status} Request Timeout\r\ncontent-length: ${reply.body.length}\r\ncontent-type: text/plain\r\n` +
          `server: ${config.serverName}\r\ndate: ${httpDate(Date.now())}\r\n${config.via === '' ? '' : `via: ${config.via}\r\n`}connection: close\r\n\r\n${reply.body}`,
      )
    }
    this.shut()
  }

  onConnectionError(error: CodecError): void {
    this.protocolError = true
    this.runtime.stats.downstream_cx_protocol_error.value++
    if (error.stat !== '') this.runtime.codecStats.count(error.stat)
  }

  // ---- ends -------------------------------------------------------------------------------------------------------------------

  /** Finish what is in progress, take nothing new. */
  drain(): void {
    if (this.draining) return
    this.draining = true
    this.runtime.stats.downstream_cx_drain_close.value++
    if (this.codec === null) this.shut()
    else this.codec.drain()
    if (this.exchanges.length === 0 && this.codec !== null && this.codec.activeStreams === 0) this.leave()
  }

  /** Nothing is in progress: HTTP/1 closes now; HTTP/2 after both phases of its GOAWAY, so that no request on its way is lost. */
  private leave(): void {
    if (this.codec instanceof Http2ServerCodec) this.codec.drain()
    else this.shut()
  }

  /** A drain has begun: an HTTP/2 client hears GOAWAY now, which loses nothing; an HTTP/1 client with its next answer (`drainClose`). */
  announceDrain(): void {
    if (this.codec instanceof Http2ServerCodec) this.drain()
  }

  /** Close now: what is written goes out, nothing more is read. */
  shut(): void {
    if (this.closed) return
    this.closedBy ||= 'local'
    this.codec?.flush()
    this.codec?.onTransportClose({ code: 'local', details: 'downstream_connection_closed' })
    this.transport.end()
  }

  /** Report the bytes moved since the last time, and what waits or is open now. */
  sweep(): void {
    const { stats } = this.runtime
    const { bytesWritten } = this.transport
    stats.downstream_cx_rx_bytes_total.value += this.bytesRead - this.reportedRead
    stats.downstream_cx_tx_bytes_total.value += bytesWritten - this.reportedWritten
    this.reportedRead = this.bytesRead
    this.reportedWritten = bytesWritten
    this.report(this.transport.writableLength, this.codec instanceof Http2ServerCodec ? this.codec.activeStreams : 0)
  }

  private report(waiting: number, streams: number): void {
    const { stats, codecStats } = this.runtime
    if (waiting !== this.reportedWaiting) stats.downstream_cx_tx_bytes_buffered.value += waiting - this.reportedWaiting
    if (streams !== this.reportedStreams) codecStats.http2.streams_active += streams - this.reportedStreams
    this.reportedWaiting = waiting
    this.reportedStreams = streams
  }

  destroy(): void {
    this.closedBy ||= 'local'
    this.transport.destroy()
  }

  private onSocketClose(): void {
    if (this.closed) return
    this.closed = true
    this.idleTimer.dispose()
    this.headTimer?.dispose()
    this.ageTimer?.dispose()
    const { stats } = this.runtime
    const leftInHead = this.insideHead && this.closedBy === '' && this.codec instanceof Http1ServerCodec
    if (leftInHead) this.logUnread(0, 'downstream_remote_disconnect', ResponseFlag.DownstreamConnectionTermination)
    const active = this.leftRequests || leftInHead || this.exchanges.length > 0
    this.codec?.onTransportClose({
      code: this.protocolError ? 'protocol-error' : 'connection-closed',
      details: this.protocolError ? 'codec_error' : 'downstream_remote_disconnect',
    })
    stats.downstream_cx_active.value--
    stats.downstream_cx_destroy.value++
    const local = this.closedBy === 'local' || this.transport.endedFirst
    if (local) stats.downstream_cx_destroy_local.value++
    else stats.downstream_cx_destroy_remote.value++
    if (active) {
      stats.downstream_cx_destroy_active_rq.value++
      if (local) stats.downstream_cx_destroy_local_active_rq.value++
      else stats.downstream_cx_destroy_remote_active_rq.value++
    }
    if (this.info.tls !== null) stats.downstream_cx_ssl_active.value--
    if (this.codec instanceof Http2ServerCodec) stats.downstream_cx_http2_active.value--
    else if (this.codec !== null) stats.downstream_cx_http1_active.value--
    if (this.transport.closeTimedOut) stats.downstream_cx_delayed_close_timeout.value++
    everySecond.remove(this)
    this.sweep()
    this.report(0, 0)
    stats.downstream_cx_length_ms.record(performance.now() - this.startedAt)
    this.onClosed(this)
  }
}
