// The statsd sink's TCP form: one connection to a host of a cluster, dialled with the first lines and again after it ended. Made by
// stats-flush.ts. Invariant: what waits is bounded by MAX_WAITING_BYTES; beyond it the connection is given up and `statsd.cx_overflow`
// counts, as in Envoy. Whoever reads slowly loses stats, and costs nothing else.

import type { Socket } from 'node:net'
import type { UpstreamPools } from '../l7/client/upstream-pools.js'
import { statsdStats } from '../metrics/reporting-stats.js'
import type { StatsdTransport } from '../metrics/sinks/statsd-sink.js'
import type { Counter } from '../metrics/stat.js'
import type { StatsStore } from '../metrics/stats-store.js'
import type { UpstreamCluster } from '../upstream/cluster/cluster.js'
import { bindHostOf, Dial, type DialFailure, type DialListener, type Dialled } from '../upstream/connect/connector.js'
import type { Host } from '../upstream/host/host.js'

/** Envoy's bound of what waits to be sent to a statsd server. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024

interface ConnectionEnvironment {
  readonly store: StatsStore
  readonly clusters: { get(name: string): UpstreamCluster | undefined }
  readonly pools: UpstreamPools
  readonly random: () => number
}

export class StatsdConnection implements StatsdTransport, DialListener {
  private readonly cluster: string
  private readonly env: ConnectionEnvironment
  private readonly overflow: Counter
  private dial: Dial | null = null
  private socket: Socket | null = null
  private host: Host | null = null
  /** Until the connection is there. */
  private waiting = ''
  private closed = false

  constructor(cluster: string, env: ConnectionEnvironment) {
    this.cluster = cluster
    this.env = env
    this.overflow = statsdStats(env.store).cx_overflow
  }

  send(lines: readonly string[]): void {
    if (this.closed || lines.length === 0) return
    if (this.socket === null && this.dial === null && !this.connect()) return
    const text = `${lines.join('\n')}\n`
    if ((this.socket?.writableLength ?? this.waiting.length) + text.length > MAX_WAITING_BYTES) {
      this.overflow.value++
      this.release()
    } else if (this.socket === null) this.waiting += text
    else {
      this.socket.write(text)
      this.host!.cluster.traffic.main.upstream_cx_tx_bytes_total.value += Buffer.byteLength(text)
    }
  }

  close(): void {
    this.closed = true
    this.release()
  }

  onDialled({ socket }: Dialled): void {
    this.dial = null
    this.socket = socket
    socket.unref()
    socket.on('close', () => {
      if (this.socket === socket) this.release()
    })
    socket.on('end', () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.resume()
    const { waiting } = this
    this.waiting = ''
    if (waiting !== '') this.send([waiting.slice(0, -1)])
  }

  onDialFailure(_failure: DialFailure): void {
    this.dial = null
    if (this.host !== null) this.host.cluster.traffic.main.upstream_cx_connect_fail.value++
    this.release()
  }

  private connect(): boolean {
    const cluster = this.env.clusters.get(this.cluster)
    const host =
      cluster?.pick({ hash: null, metadataMatch: null, maxAttempts: 1, random: this.env.random, shouldSkip: () => false }) ?? null
    if (host === null) return false
    const { config, traffic } = host.cluster
    this.host = host
    host.activeConnections++
    host.stats.cxTotal++
    traffic.main.upstream_cx_total.value++
    traffic.main.upstream_cx_active.value++
    this.dial = new Dial(
      {
        address: host.address,
        tls: this.env.pools.tlsFor(host),
        timeoutMs: config.connectTimeoutMs,
        sni: '',
        alpn: null,
        keepAlive: config.tcpKeepalive,
        localAddress: bindHostOf(config),
      },
      this,
    )
    return true
  }

  private release(): void {
    this.waiting = ''
    const { dial, socket, host } = this
    this.dial = null
    this.socket = null
    this.host = null
    dial?.cancel()
    socket?.destroy()
    if (host === null) return
    host.activeConnections--
    host.cluster.traffic.main.upstream_cx_active.value--
    host.cluster.traffic.main.upstream_cx_destroy.value++
  }
}
