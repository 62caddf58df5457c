// A pooled connection to an endpoint: a socket, the client codec on it, idle and age limits. Made by the pool's factory, closed by
// its codec, its timers or its pool. It is the ClientHandler of its codec and the PooledConnection of its pool; streams are
// opened by upstream-request.ts.

import type net from 'node:net'
import { LazyTimer } from '../../io/lazy-timer.js'
import { everySecond, type Swept } from '../../io/second-sweep.js'
import { readShared } from '../../io/shared-read.js'
import { SocketTransport } from '../../io/socket-transport.js'
import type { UpstreamHttp } from '../../model/cluster.js'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import { localAddressText } from '../../upstream/connect/connector.js'
import type { HttpPool, PooledConnection } from '../../upstream/connect/http-pool.js'
import type { Host } from '../../upstream/host/host.js'
import type { ClientCodec, ClientEvents, ClientHandler, ClientStream, CodecError, StreamReset } from '../codec/codec.js'
import { DEFAULT_MAX_HEADERS_KB, DEFAULT_MAX_HTTP1_RESPONSE_HEADERS_KB, headerCase, headLimits } from '../codec/codec-options.js'
import { upstreamHttp2Stats } from '../codec/codec-stats.js'
import { Http1ClientCodec } from '../codec/http1/client-codec.js'
import { Http2ClientCodec } from '../codec/http2/client-codec.js'
import { TunnelClientCodec } from '../codec/tunnel-client-codec.js'
import { nextUpstreamConnectionId, type UpstreamConnectionInfo } from '../stream/stream-info.js'

/** A learned keep-alive timeout is used up to this margin, so that we close before the peer does (istio#55138 and the like). */
const KEEPALIVE_MARGIN_MS = 1000

export class UpstreamConnection implements PooledConnection, ClientHandler, UpstreamConnectionInfo, Swept {
  readonly id = nextUpstreamConnectionId()
  readonly host: Host
  readonly protocol: 'http1' | 'http2'
  readonly peer: PeerIdentity | null
  readonly localAddress: string
  fresh = true
  pooled = false
  readonly transport: SocketTransport
  private readonly codec: ClientCodec
  private readonly pool: HttpPool<UpstreamConnection>
  private readonly options: UpstreamHttp
  private readonly idleTimer: LazyTimer
  private ageTimer: NodeJS.Timeout | null = null
  private requests = 0
  private bytesRead = 0
  /** Of what was read and written, so much is in the counters. */
  private reportedRead = 0
  private reportedWritten = 0
  /** Of the gauges of bytes that wait and of open streams, so much is this connection's. */
  private reportedWaiting = 0
  private reportedStreams = 0
  private closed = false
  /** Its FIN or reset came before ours. */
  private endedByPeer = false
  private draining = false

  /** `tunnel`: bytes only, for a CONNECT that ends here. */
  constructor(
    socket: net.Socket,
    protocol: 'http1' | 'http2',
    pool: HttpPool<UpstreamConnection>,
    options: UpstreamHttp,
    peer: PeerIdentity | null,
    bufferLimitBytes: number,
    tunnel: boolean,
  ) {
    this.pool = pool
    this.host = pool.host
    this.protocol = protocol
    this.peer = peer
    this.options = options
    this.localAddress = localAddressText(socket)
    this.transport = new SocketTransport(socket, bufferLimitBytes, 0)
    const limits = headLimits(
      options.common,
      options.common.maxResponseHeadersKb ?? (protocol === 'http2' ? DEFAULT_MAX_HEADERS_KB : DEFAULT_MAX_HTTP1_RESPONSE_HEADERS_KB),
    )
    if (tunnel) this.codec = new TunnelClientCodec(this.transport, this)
    else if (protocol === 'http2')
      this.codec = new Http2ClientCodec(this.transport, this, {
        http2: options.http2,
        limits,
        stats: upstreamHttp2Stats(pool.host.cluster),
        ...(pool.host.streamLimit > 0 && { streamsBeforeSettings: pool.host.streamLimit }),
      })
    else this.codec = new Http1ClientCodec(this.transport, this, { limits, headerCase: headerCase(options.http1), enableTrailers: true })
    this.idleTimer = new LazyTimer(() => {
      this.pool.host.cluster.traffic.main.upstream_cx_idle_timeout.value++
      this.close(true)
    })
    if (options.common.maxConnectionDurationMs !== null) {
      this.ageTimer = setTimeout(() => {
        this.pool.host.cluster.traffic.main.upstream_cx_max_duration_reached.value++
        this.close(true)
      }, options.common.maxConnectionDurationMs)
      this.ageTimer.unref()
    }
    socket.on('drain', () => this.codec.onTransportDrain())
    socket.on('end', () => {
      this.endedByPeer = !this.transport.endedFirst
      this.codec.onTransportEnd()
    })
    socket.on('error', () => {
      this.endedByPeer = !this.transport.endedFirst
    })
    socket.on('close', () => this.onSocketClose())
    readShared(socket, chunk => {
      this.bytesRead += chunk.length
      this.codec.feed(chunk)
    })
    everySecond.add(this)
    this.armIdle()
  }

  get socket(): net.Socket {
    return this.transport.socket
  }

  get usable(): boolean {
    return this.codec.usable && !this.draining && !this.transport.socket.destroyed
  }

  get activeStreams(): number {
    return this.codec.activeStreams
  }

  get maxStreams(): number {
    return Math.min(this.codec.maxStreams, this.protocol === 'http2' ? this.options.http2.maxConcurrentStreams : 1)
  }

  get limitKnown(): boolean {
    return this.codec.limitKnown
  }

  /** HOT. Null when the connection has just become unusable: the caller asks the pool again. */
  newStream(events: ClientEvents): ClientStream | null {
    if (!this.usable) return null
    const stream = this.codec.newStream(events)
    if (stream === null) return null
    this.idleTimer.clear()
    this.fresh = this.requests === 0
    this.requests++
    const max = this.options.common.maxRequestsPerConnection
    if (max !== null && max > 0 && this.requests >= max) {
      this.host.cluster.traffic.main.upstream_cx_max_requests.value++
      this.draining = true
      this.pool.onDraining(this)
      if (this.protocol === 'http1') this.codec.drain()
    }
    return stream
  }

  /** A request has ended on this connection; with none left the idle time starts. */
  onStreamFree(): void {
    if (this.draining) {
      if (this.activeStreams === 0) this.close(true)
      return
    }
    if (this.activeStreams === 0) this.armIdle()
    this.pool.onStreamFree(this)
  }

  /** The next connection to this host begins with the limit that this one was told. */
  onStreamLimit(): void {
    this.host.streamLimit = this.codec.maxStreams
    this.pool.onStreamLimit(this)
  }

  onDraining(): void {
    this.draining = true
    this.pool.onDraining(this)
  }

  onConnectionError(error: CodecError): void {
    this.host.cluster.traffic.main.upstream_cx_protocol_error.value++
    if (error.stat !== '') this.host.cluster.countCodec?.(error.stat)
    this.draining = true
    this.pool.onDraining(this)
    this.transport.destroy()
  }

  close(graceful: boolean): void {
    if (this.closed) return
    this.draining = true
    if (graceful && this.activeStreams > 0) {
      this.pool.onDraining(this)
      this.codec.drain()
      return
    }
    this.onClosed({ code: 'local', details: 'upstream_connection_closed' })
    if (graceful) this.transport.end()
    this.transport.destroy()
  }

  /** Report the bytes moved since the last time, and what waits or is open now. */
  sweep(): void {
    const stats = this.host.cluster.traffic.main
    const { bytesWritten } = this.transport
    stats.upstream_cx_rx_bytes_total.value += this.bytesRead - this.reportedRead
    stats.upstream_cx_tx_bytes_total.value += bytesWritten - this.reportedWritten
    this.reportedRead = this.bytesRead
    this.reportedWritten = bytesWritten
    this.report(this.transport.writableLength, this.protocol === 'http2' ? this.codec.activeStreams : 0)
  }

  private report(waiting: number, streams: number): void {
    const { cluster } = this.host
    if (waiting !== this.reportedWaiting) cluster.traffic.main.upstream_cx_tx_bytes_buffered.value += waiting - this.reportedWaiting
    if (streams !== this.reportedStreams) upstreamHttp2Stats(cluster).streams_active += streams - this.reportedStreams
    this.reportedWaiting = waiting
    this.reportedStreams = streams
  }

  private armIdle(): void {
    let idleMs = this.options.common.idleTimeoutMs
    const learnedS = this.codec instanceof Http1ClientCodec ? this.codec.keepAliveTimeoutS : -1
    if (learnedS >= 0) {
      const learnedMs = Math.max(1, learnedS * 1000 - KEEPALIVE_MARGIN_MS)
      if (idleMs === 0 || learnedMs < idleMs) idleMs = learnedMs
    }
    if (idleMs > 0) this.idleTimer.set(idleMs)
  }

  private onSocketClose(): void {
    this.onClosed({ code: 'connection-closed', details: 'upstream_reset_before_response_started{connection_termination}' })
  }

  private onClosed(reason: StreamReset): void {
    if (this.closed) return
    this.closed = true
    this.idleTimer.dispose()
    if (this.ageTimer !== null) clearTimeout(this.ageTimer)
    everySecond.remove(this)
    this.sweep()
    this.report(0, 0)
    this.codec.onTransportClose(reason)
    const { main } = this.host.cluster.traffic
    // A tunnel is no connection of requests.
    if (!(this.codec instanceof TunnelClientCodec)) main.upstream_rq_per_cx.record(this.requests)
    if (this.codec.peerCloses) main.upstream_cx_close_notify.value++
    // By us unless the peer ended it first: also what a timeout or a client that went away made the codec close.
    this.host.cluster.traffic.chargeDestroyed(this.endedByPeer, this.codec.cutShort)
    this.pool.onClosed(this)
  }
}
