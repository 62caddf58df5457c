// One try of the TCP proxy to reach an endpoint: a connection of its own, or a stream of a shared HTTP connection
// (tunneling_config). Made by TcpProxySession, which only sees a pipe to relay to. The try owns what was counted for it, breakers
// included, and gives it back once, in release().

import type { Duplex } from 'node:stream'
import type { UpstreamPools } from '../../l7/client/upstream-pools.js'
import { type TunnelFailure, UpstreamTunnel } from '../../l7/client/upstream-tunnel.js'
import type { RequestHead } from '../../l7/codec/codec.js'
import { HeaderList } from '../../l7/codec/header-list.js'
import type { FormatFunction } from '../../l7/format/header-format.js'
import type { HeaderMutator } from '../../l7/route/header-mutations.js'
import { nextUpstreamConnectionId, type StreamInfo, type UpstreamConnectionInfo } from '../../l7/stream/stream-info.js'
import { bindHostOf, Dial, type DialFailure, type DialListener, type Dialled } from '../../upstream/connect/connector.js'
import type { Host } from '../../upstream/host/host.js'

/** A socket, or a tunnel that behaves like one. */
export type UpstreamPipe = Duplex & { destroySoon?(): void; resetAndDestroy?(): void }

export interface TcpUpstreamListener {
  onUpstreamOpen(pipe: UpstreamPipe, connection: UpstreamConnectionInfo): void
  /** `reason`: what logs show of `why`. */
  onUpstreamFailure(kind: TunnelFailure, why: string, reason: string): void
}

export interface TcpUpstream {
  /** Calls the listener once, now or later. */
  dial(): void
  /** So much has been moved in all, by now. */
  report(bytesSent: number, bytesReceived: number): void
  /** Ends the try, open or not, and gives back what it counted; byte counts are what the relay moved. Idempotent. */
  release(bytesSent: number, bytesReceived: number, lengthMs: number): void
}

/** TcpProxy.TunnelingConfig, compiled. */
export interface Tunneling {
  readonly hostname: FormatFunction
  /** '' = CONNECT, else the path of a POST. */
  readonly postPath: string
  readonly headers: HeaderMutator | null
}

/** A TCP (and TLS) connection for this client alone. */
export class DirectUpstream implements TcpUpstream, DialListener {
  private readonly host: Host
  private readonly pools: UpstreamPools
  private readonly listener: TcpUpstreamListener
  private connecting: Dial | null = null
  private counted = false
  /** In the counters already. */
  private reportedSent = 0
  private reportedReceived = 0
  /** One of upstream_rq_pending_active, then of upstream_rq_active. */
  private request: 'none' | 'pending' | 'active' = 'none'
  private failed: DialFailure | null = null
  /** By its reset, or by its FIN after ours. */
  private endedByPeer = false
  private startedAt = 0
  private readonly onHostRoom = (): void => {
    this.stopWaiting()
    this.dial()
  }

  constructor(host: Host, pools: UpstreamPools, listener: TcpUpstreamListener) {
    this.host = host
    this.pools = pools
    this.listener = listener
  }

  dial(): void {
    const { host } = this
    const { config, traffic } = host.cluster
    const breakers = host.cluster.breakers('DEFAULT')
    // Envoy's tcp_proxy refuses where the cluster is full; its pool lets a client wait where the host is, unless nobody is before it.
    if (breakers.fullFor(host.activeConnections) && host.tcpConnections > 0) {
      this.waitForHost()
      return
    }
    if (!breakers.tryConnection()) {
      this.listener.onUpstreamFailure('overflow', breakers.describe('max_connections'), '')
      return
    }
    this.counted = true
    this.enterPending()
    host.tcpConnections++
    host.activeConnections++
    host.stats.cxTotal++
    traffic.main.upstream_cx_total.value++
    traffic.main.upstream_cx_active.value++
    this.startedAt = performance.now()
    this.connecting = new Dial(
      {
        address: host.address,
        tls: this.pools.tlsFor(host),
        timeoutMs: config.connectTimeoutMs,
        sni: '',
        alpn: null,
        keepAlive: config.tcpKeepalive,
        localAddress: bindHostOf(config),
      },
      this,
    )
  }

  onDialled({ socket, peer }: Dialled): void {
    this.connecting = null
    this.leavePending()
    this.request = 'active'
    const { main } = this.host.cluster.traffic
    main.upstream_rq_total.value++
    main.upstream_rq_active.value++
    this.host.stats.rqTotal++
    this.host.activeRequests++
    main.upstream_cx_connect_ms.record(performance.now() - this.startedAt)
    // Of two FINs the later one ends the connection.
    socket.on('end', () => {
      this.endedByPeer = socket.writableEnded
    })
    socket.on('error', () => {
      this.endedByPeer = true
    })
    this.listener.onUpstreamOpen(socket, { id: nextUpstreamConnectionId(), host: this.host, peer, socket })
  }

  onDialFailure(failure: DialFailure): void {
    this.connecting = null
    const { host } = this
    const stats = host.cluster.traffic.main
    this.failed = failure
    this.leavePending()
    stats.upstream_rq_pending_failure_eject.value++
    stats.upstream_cx_connect_fail.value++
    if (failure.kind === 'timeout') stats.upstream_cx_connect_timeout.value++
    if (failure.bind) stats.bind_errors.value++
    host.stats.cxConnectFail++
    this.listener.onUpstreamFailure('failed', failure.message, failure.reason)
  }

  private waitForHost(): void {
    const { host, onHostRoom } = this
    const breakers = host.cluster.breakers('DEFAULT')
    const stats = host.cluster.traffic.main
    stats.upstream_cx_overflow.value++
    if (!breakers.tryPending()) {
      this.listener.onUpstreamFailure('overflow', breakers.describe('max_pending_requests'), '')
      return
    }
    this.enterPending()
    host.tcpWaiters.add(onHostRoom)
  }

  private stopWaiting(): void {
    const { host } = this
    if (!host.tcpWaiters.delete(this.onHostRoom)) return
    host.cluster.breakers('DEFAULT').releasePending()
  }

  /** Envoy's tcp_proxy counts each connection as a request of the cluster. */
  private enterPending(): void {
    if (this.request !== 'none') return
    this.request = 'pending'
    const { main } = this.host.cluster.traffic
    main.upstream_rq_pending_total.value++
    main.upstream_rq_pending_active.value++
  }

  private leavePending(): void {
    if (this.request !== 'pending') return
    this.request = 'none'
    this.host.cluster.traffic.main.upstream_rq_pending_active.value--
  }

  report(bytesSent: number, bytesReceived: number): void {
    const stats = this.host.cluster.traffic.main
    stats.upstream_cx_rx_bytes_total.value += bytesReceived - this.reportedReceived
    stats.upstream_cx_tx_bytes_total.value += bytesSent - this.reportedSent
    this.reportedReceived = bytesReceived
    this.reportedSent = bytesSent
  }

  release(bytesSent: number, bytesReceived: number, lengthMs: number): void {
    this.stopWaiting()
    if (this.connecting !== null) this.host.cluster.traffic.main.upstream_rq_cancelled.value++
    this.connecting?.cancel()
    this.connecting = null
    this.leavePending()
    const opened = this.request === 'active'
    if (opened) {
      this.host.cluster.traffic.main.upstream_rq_active.value--
      this.host.activeRequests--
    }
    this.request = 'none'
    if (!this.counted) return
    this.counted = false
    const { host } = this
    const stats = host.cluster.traffic.main
    host.tcpConnections--
    host.activeConnections--
    stats.upstream_cx_active.value--
    const byPeer = this.failed === null ? this.endedByPeer : this.failed.kind !== 'timeout'
    host.cluster.traffic.chargeDestroyed(byPeer, opened)
    this.report(bytesSent, bytesReceived)
    stats.upstream_cx_length_ms.record(lengthMs)
    host.cluster.breakers('DEFAULT').releaseConnection()
    for (const next of host.tcpWaiters) {
      next()
      break
    }
  }
}

/** A stream of a connection that the cluster's HTTP pools keep, and count. */
export class TunneledUpstream implements TcpUpstream {
  private readonly tunnel: UpstreamTunnel

  constructor(host: Host, pools: UpstreamPools, tunneling: Tunneling, info: StreamInfo, listener: TcpUpstreamListener) {
    const tls = host.cluster.config.tls !== null
    const head: RequestHead = {
      method: tunneling.postPath === '' ? 'CONNECT' : 'POST',
      scheme: tunneling.postPath === '' ? '' : tls ? 'https' : 'http',
      authority: tunneling.hostname(info),
      path: tunneling.postPath,
      version: 'HTTP/1.1',
      headers: new HeaderList(),
      upgrade: '',
      contentLength: -1,
      hostName: 'host',
      expectContinue: false,
    }
    tunneling.headers?.apply(head.headers, info)
    // Not protocolFor(): that keeps a client's CONNECT on HTTP/1.1, while this one is ours and HTTP/2 is what it is for.
    const { protocol } = host.cluster.config.http
    const pool = pools.poolFor(host, protocol === 'downstream' ? 'http1' : protocol, 'DEFAULT', '')
    this.tunnel = new UpstreamTunnel(host, pool, host.cluster.breakers('DEFAULT'), head, {
      onTunnelOpen: tunnel => listener.onUpstreamOpen(tunnel, tunnel.connection),
      onTunnelFailure: (kind, why, reason) => listener.onUpstreamFailure(kind, why, reason),
    })
    this.tunnel.on('error', () => {})
  }

  dial(): void {
    this.tunnel.dial()
  }

  /** The pool counts connections and their bytes. */
  report(): void {}

  release(): void {
    if (!this.tunnel.writableEnded) this.tunnel.destroy()
  }
}
