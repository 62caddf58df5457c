// Connections to one host for one protocol and one routing priority, and the requests that wait for one. Knows no HTTP: the
// connection type C is l7's (a socket with a codec), made by the factory that the proxy hands in at start.
//
//   acquire(waiter) ──▶ a connection with room ──▶ waiter.onPoolReady(connection)
//               └─ none: pending queue (bounded by max_pending_requests), Dial ──▶ factory ──▶ waiters in order
//
// HTTP/1: `idle` is a stack, the youngest first, so that the others can time out. HTTP/2: the connections are tried in order.

import type net from 'node:net'
import type { PeerIdentity } from '../../mtls/peer/peer-identity.js'
import type { UpstreamTlsContext } from '../../mtls/tls/upstream-tls.js'
import type { Breakers } from '../host/breakers.js'
import type { Host, HostPool } from '../host/host.js'
import { Dial, type DialFailure, type DialListener, type Dialled } from './connector.js'

export interface PooledConnection {
  /** May take another stream now or later. */
  readonly usable: boolean
  readonly activeStreams: number
  readonly maxStreams: number
  /** The peer has said how many streams it takes; until then `maxStreams` is an assumption. */
  readonly limitKnown: boolean
  /** Set by the pool: no stream has used this connection yet. */
  fresh: boolean
  /** Kept by the pool: it is on the list of connections with room. */
  pooled: boolean
  close(graceful: boolean): void
}

export type PoolFailure =
  | { readonly kind: 'overflow'; readonly limit: 'max_pending_requests' | 'max_connection_pools' }
  | { readonly kind: 'connect'; readonly failure: DialFailure }
  | { readonly kind: 'closed' }

export interface PoolWaiter<C> {
  onPoolReady(connection: C): void
  onPoolFailure(failure: PoolFailure): void
}

export type PoolProtocol = 'http1' | 'http2' | 'auto'

export interface PoolOptions<C extends PooledConnection> {
  readonly host: Host
  readonly protocol: PoolProtocol
  readonly breakers: Breakers
  readonly connectTimeoutMs: number
  readonly keepAlive: { readonly timeSeconds: number | null } | null
  readonly localAddress: string
  readonly sni: string
  /** What a connection was verified against; a different key means a different pool. */
  readonly key: string
  /** It has no connection, dial or waiter any more. Absent: it stays, for the next request. */
  readonly onEmpty?: (pool: HttpPool<C>) => void
  createConnection(socket: net.Socket, protocol: 'http1' | 'http2', pool: HttpPool<C>, peer: PeerIdentity | null): C
}

/** Streams that one HTTP/2 connection is thought to take, as long as the host has never said: how many connections a burst dials. */
const ASSUMED_STREAMS = 100
const ALPN_AUTO = ['h2', 'http/1.1']

export class HttpPool<C extends PooledConnection> implements HostPool {
  readonly host: Host
  /** Changed by l7/client/upstream-pools alone, to one that covers it. */
  key: string
  /** Newest TLS context: certificates rotate under a living pool. */
  tls: UpstreamTlsContext | null
  private readonly options: PoolOptions<C>
  private readonly connections: C[] = []
  private readonly idle: C[] = []
  private readonly dials = new Set<PendingDial<C>>()
  private waiters: PoolWaiter<C>[] = []
  private closed = false
  /** Counts as one of max_connection_pools: while it has a connection, a dial or somebody who waits. */
  private counted = false
  /** What the last connection spoke: how many waiters one dial of `auto` can serve. */
  private lastProtocol: 'http1' | 'http2' | null = null

  constructor(options: PoolOptions<C>, tls: UpstreamTlsContext | null) {
    this.options = options
    this.host = options.host
    this.key = options.key
    this.tls = tls
  }

  /** HOT. Calls waiter.onPoolReady or onPoolFailure, now or later. */
  acquire(waiter: PoolWaiter<C>): void {
    const connection = this.takeReady()
    if (connection !== null) {
      waiter.onPoolReady(connection)
      return
    }
    if (this.closed) {
      waiter.onPoolFailure({ kind: 'closed' })
      return
    }
    const { breakers } = this.options
    if (!this.counted && !this.takePlace()) {
      this.leavePlace()
      waiter.onPoolFailure({ kind: 'overflow', limit: 'max_connection_pools' })
      return
    }
    if (!breakers.tryPending()) {
      this.leavePlace()
      waiter.onPoolFailure({ kind: 'overflow', limit: 'max_pending_requests' })
      return
    }
    const stats = this.host.cluster.traffic.main
    stats.upstream_rq_pending_total.value++
    stats.upstream_rq_pending_active.value++
    this.host.pendingRequests++
    this.waiters.push(waiter)
    if (!this.ensureDials() && this.dials.size === 0 && this.connections.length === 0) {
      // Nothing will ever serve it: cluster or host are at a connection limit and this pool has no connection (Envoy opens one anyway).
      breakers.forceConnection()
      this.dial()
    }
  }

  /** The waiter gave up (timeout, downstream reset). */
  cancel(waiter: PoolWaiter<C>): void {
    const index = this.waiters.indexOf(waiter)
    if (index === -1) return
    this.waiters.splice(index, 1)
    this.leavePending()
    this.host.cluster.traffic.main.upstream_rq_cancelled.value++
    this.leavePlace()
  }

  /** One more pool, at the cost of an idle one of the same host where the limit is reached (as Envoy). */
  private takePlace(): boolean {
    const { breakers, host } = this.options
    if (breakers.poolsFull) for (const pool of host.pools.values()) if (pool.closeIdle()) break
    this.counted = breakers.tryConnectionPool()
    return this.counted
  }

  private leavePlace(): void {
    if (this.connections.length + this.dials.size + this.waiters.length > 0) return
    if (this.counted) this.options.breakers.releaseConnectionPool()
    this.counted = false
    this.options.onEmpty?.(this)
  }

  closeIdle(): boolean {
    if (this.connections.length === 0 || this.dials.size + this.waiters.length > 0) return false
    if (this.connections.some(connection => connection.activeStreams > 0)) return false
    for (const connection of [...this.connections]) connection.close(true)
    return true
  }

  private takeReady(): C | null {
    const idle = this.idle
    while (idle.length > 0) {
      const connection = idle[idle.length - 1]!
      if (!connection.usable || connection.activeStreams >= connection.maxStreams) {
        idle.pop()
        connection.pooled = false
        continue
      }
      if (connection.activeStreams + 1 >= connection.maxStreams) {
        idle.pop()
        connection.pooled = false
      }
      return connection
    }
    return null
  }

  private leavePending(): void {
    this.options.breakers.releasePending()
    this.host.cluster.traffic.main.upstream_rq_pending_active.value--
    this.host.pendingRequests--
  }

  /** How many of the waiters one new connection can serve, as far as one knows. */
  private streamsPerConnection(): number {
    if (this.options.protocol === 'http1' || (this.options.protocol === 'auto' && this.lastProtocol === 'http1')) return 1
    const { cluster, streamLimit } = this.host
    return Math.max(1, Math.min(streamLimit < 0 ? ASSUMED_STREAMS : streamLimit, cluster.config.http.http2.maxConcurrentStreams))
  }

  /** Connections that will take more waiters when they stand, or when the host has said how many streams it takes. */
  private get expected(): number {
    let expected = this.dials.size
    for (const connection of this.connections) if (!connection.limitKnown && connection.usable) expected++
    return expected
  }

  /** Dial as many connections as the waiters need and the breaker allows; false when one was refused. */
  private ensureDials(): boolean {
    const perConnection = this.streamsPerConnection()
    for (let expected = this.expected; expected * perConnection < this.waiters.length; expected++) {
      if (!this.options.breakers.tryConnection(this.host.activeConnections)) return false
      this.dial()
    }
    return true
  }

  private dial(): void {
    const { host, options } = this
    const cluster = host.cluster
    cluster.traffic.main.upstream_cx_total.value++
    cluster.traffic.main.upstream_cx_active.value++
    host.stats.cxTotal++
    host.activeConnections++
    if (options.protocol !== 'auto') this.countProtocol(options.protocol)
    this.dials.add(new PendingDial(this, options))
  }

  /** With the connection where the config decides, else with ALPN; the codec's numbers are there from then on, as in Envoy. */
  private countProtocol(protocol: 'http1' | 'http2'): void {
    const { stats } = this.host.cluster
    if (protocol === 'http2') {
      stats.main.upstream_cx_http2_total.value++
      void stats.http2
    } else {
      stats.main.upstream_cx_http1_total.value++
      void stats.http1
    }
  }

  dialled(dial: PendingDial<C>, result: Dialled): void {
    this.dials.delete(dial)
    const stats = this.host.cluster.traffic.main
    stats.upstream_cx_connect_ms.record(performance.now() - dial.startedAt)
    const protocol = this.options.protocol === 'auto' ? (result.alpn === 'h2' ? 'http2' : 'http1') : this.options.protocol
    this.lastProtocol = protocol
    if (this.options.protocol === 'auto') this.countProtocol(protocol)
    const connection = this.options.createConnection(result.socket, protocol, this, result.peer)
    this.connections.push(connection)
    this.offer(connection)
    this.serve()
    // Replaced meanwhile: it carries those that waited for it, and nobody else.
    if (this.closed) connection.close(true)
  }

  dialFailed(dial: PendingDial<C>, failure: DialFailure): void {
    this.dials.delete(dial)
    this.connectionGone()
    const { host } = this
    const stats = host.cluster.traffic.main
    host.stats.cxConnectFail++
    stats.upstream_cx_connect_fail.value++
    if (failure.kind === 'timeout') stats.upstream_cx_connect_timeout.value++
    if (failure.bind) stats.bind_errors.value++
    host.cluster.traffic.chargeDestroyed(failure.kind !== 'timeout', false)
    // As Envoy: a failed connection fails what it was dialled for; with nothing else dialling or open, everything waiting.
    const servable = this.dials.size + (this.closed ? 0 : this.connections.length)
    const share = servable === 0 ? this.waiters.length : this.waiters.length - servable * this.streamsPerConnection()
    const failed = share > 0 ? this.waiters.splice(0, share) : []
    if (failed.length > 0) stats.upstream_rq_pending_failure_eject.value += failed.length
    for (const waiter of failed) {
      this.leavePending()
      waiter.onPoolFailure({ kind: 'connect', failure })
    }
    this.leavePlace()
  }

  /** Give waiting requests the connections that have room; dial for the rest. */
  private serve(): void {
    while (this.waiters.length > 0) {
      const connection = this.takeReady()
      if (connection === null) break
      const waiter = this.waiters.shift()!
      this.leavePending()
      waiter.onPoolReady(connection)
    }
    if (this.waiters.length > 0) this.dialForWaiters()
  }

  /** A replaced pool still serves those who were waiting; where it can't dial for them they are told. */
  private dialForWaiters(): void {
    if (this.ensureDials() || !this.closed || this.dials.size > 0) return
    const waiters = this.waiters
    this.waiters = []
    for (const waiter of waiters) {
      this.leavePending()
      waiter.onPoolFailure({ kind: 'closed' })
    }
  }

  /** A stream of the connection ended and it has room again. */
  onStreamFree(connection: C): void {
    if (this.closed) {
      if (connection.activeStreams === 0) connection.close(true)
      return
    }
    if (connection.usable) this.offer(connection)
    if (this.waiters.length > 0) this.serve()
  }

  /** The host has said how many streams the connection takes: more than one dared to open, or fewer than one thought. */
  onStreamLimit(connection: C): void {
    if (this.closed) return
    if (connection.usable) this.offer(connection)
    if (this.waiters.length > 0) this.serve()
  }

  private offer(connection: C): void {
    if (connection.pooled) return
    connection.pooled = true
    this.idle.push(connection)
  }

  /** No new streams on it (GOAWAY, Connection: close, max requests). */
  onDraining(connection: C): void {
    if (connection.pooled) {
      connection.pooled = false
      this.idle.splice(this.idle.indexOf(connection), 1)
    }
    if (this.waiters.length > 0) this.dialForWaiters()
  }

  /** Its socket is gone. */
  onClosed(connection: C): void {
    const index = this.connections.indexOf(connection)
    if (index === -1) return
    this.connections.splice(index, 1)
    this.onDraining(connection)
    this.connectionGone()
    if (this.waiters.length > 0) this.dialForWaiters()
    this.leavePlace()
  }

  private connectionGone(): void {
    const { host } = this
    host.activeConnections--
    host.cluster.traffic.main.upstream_cx_active.value--
    this.options.breakers.releaseConnection()
  }

  close(graceful: boolean): void {
    this.closed = true
    if (!graceful) {
      const waiters = this.waiters
      this.waiters = []
      for (const waiter of waiters) {
        this.leavePending()
        waiter.onPoolFailure({ kind: 'closed' })
      }
      for (const dial of [...this.dials]) {
        dial.cancel()
        this.dials.delete(dial)
        this.connectionGone()
      }
    }
    for (const connection of [...this.connections]) connection.close(graceful)
    this.leavePlace()
  }
}

class PendingDial<C extends PooledConnection> implements DialListener {
  readonly startedAt = performance.now()
  private readonly pool: HttpPool<C>
  private readonly connecting: Dial

  constructor(pool: HttpPool<C>, options: PoolOptions<C>) {
    this.pool = pool
    this.connecting = new Dial(
      {
        address: options.host.address,
        tls: pool.tls,
        timeoutMs: options.connectTimeoutMs,
        sni: options.sni,
        alpn: options.protocol === 'auto' ? ALPN_AUTO : options.protocol === 'http2' ? ['h2'] : null,
        keepAlive: options.keepAlive,
        localAddress: options.localAddress,
      },
      this,
    )
  }

  onDialled(result: Dialled): void {
    this.pool.dialled(this, result)
  }

  onDialFailure(failure: DialFailure): void {
    this.pool.dialFailed(this, failure)
  }

  cancel(): void {
    this.connecting.cancel()
  }
}
