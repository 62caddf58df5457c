// The terminal TCP filter: connect to an endpoint of the cluster and move bytes both ways, half-closes included, with backpressure.
// Called by the connection once its network filters have let it pass; nothing is dialled before that (so a denied client never
// sees a server-first greeting). Ends exactly once, in finish(). HOT: the relay.

import type { Socket } from 'node:net'
import { BulkWriter } from '../../io/bulk-writer.js'
import { DirectWriter } from '../../io/direct-write.js'
import { LazyTimer } from '../../io/lazy-timer.js'
import { resetSocket } from '../../io/reset-socket.js'
import { everySecond, type Swept } from '../../io/second-sweep.js'
import { readShared } from '../../io/shared-read.js'
import type { UpstreamPools } from '../../l7/client/upstream-pools.js'
import type { TunnelFailure } from '../../l7/client/upstream-tunnel.js'
import type { UpstreamFailures } from '../../l7/log/failure-log.js'
import { type OpenAccessLog, writeAccessLogs, writeListenerLogs } from '../../l7/log/open-access-log.js'
import { connectReason, noHostReason } from '../../l7/router/failure-reason.js'
import { originalDestination } from '../../l7/router/pick-context.js'
import type { ConnectionInfo } from '../../l7/stream/connection-info.js'
import { ResponseFlag } from '../../l7/stream/response-flags.js'
import { StreamInfo, type UpstreamConnectionInfo } from '../../l7/stream/stream-info.js'
import type { TcpProxyHandles } from '../../metrics/stat-names.js'
import type { TcpProxy } from '../../model/listener.js'
import { OUTRIGGER_METADATA } from '../../model/metadata.js'
import type { ClusterRegistry } from '../../upstream/cluster/cluster-registry.js'
import { localAddressText } from '../../upstream/connect/connector.js'
import type { Host } from '../../upstream/host/host.js'
import type { FilterState } from '../network/network-filter.js'
import {
  DirectUpstream,
  type TcpUpstream,
  type TcpUpstreamListener,
  TunneledUpstream,
  type Tunneling,
  type UpstreamPipe,
} from './tcp-upstream.js'

/** A tcp_proxy filter compiled for running. */
export interface TcpProxyRuntime {
  readonly config: TcpProxy
  readonly stats: TcpProxyHandles
  readonly clusters: ClusterRegistry
  readonly pools: UpstreamPools
  /** Null: a connection to the endpoint for each client. */
  readonly tunneling: Tunneling | null
  /** The filter's own, and the listener's: both have one line a connection. */
  readonly accessLogs: readonly OpenAccessLog[]
  readonly listenerLogs: readonly OpenAccessLog[]
  /** Most bytes waiting for the client before the upstream is not read from. */
  readonly bufferLimitBytes: number
  readonly random: () => number
  readonly hash: ((info: ConnectionInfo) => bigint | null) | null
  readonly failures: UpstreamFailures
}

/** Read of a client while its upstream is dialled. */
const MAX_EARLY_BYTES = 64 * 1024
const MAX_TOTAL_WEIGHT = 2 ** 32

export class TcpProxySession implements TcpUpstreamListener, Swept {
  readonly info: StreamInfo
  private readonly runtime: TcpProxyRuntime
  private readonly downstream: Socket
  private upstream: UpstreamPipe | null = null
  private attempt: TcpUpstream | null = null
  private host: Host | null = null
  private attempts = 0
  /** In the counters already. */
  private reportedReceived = 0
  private reportedSent = 0
  /** Of what waits for clients, so much is this one's. */
  private reportedWaiting = 0
  private clientPaused = false
  private upstreamPaused = false
  private connected = false
  private finished = false
  /** What the client sent before the upstream is there. */
  private early: Buffer[]
  private earlyBytes = 0
  private readonly onEarly = (chunk: Buffer): void => {
    this.early.push(chunk)
    this.earlyBytes += chunk.length
    if (this.earlyBytes >= MAX_EARLY_BYTES) this.downstream.pause()
  }
  private readonly idle: LazyTimer | null
  private readonly age: NodeJS.Timeout | null = null
  private readonly cluster: string

  /** `early`: bytes that were read before. Some more are read while the upstream is dialled: a socket that nobody reads hears no reset. */
  constructor(downstream: Socket, connection: ConnectionInfo, runtime: TcpProxyRuntime, state: FilterState, early: Buffer | null) {
    this.downstream = downstream
    this.runtime = runtime
    this.early = early === null ? [] : [early]
    this.info = new StreamInfo(connection, Date.now(), performance.now())
    for (const { namespace, key, value } of state.metadata) this.info.setDynamicMetadata(namespace, key, value)
    const { stats, config } = runtime
    stats.downstream_cx_total.value++
    everySecond.add(this)
    this.cluster = state.cluster !== '' ? state.cluster : pickCluster(config, runtime.random)
    this.idle = config.idleTimeoutMs > 0 ? new LazyTimer(() => this.onIdleTimeout()) : null
    if (config.maxDownstreamConnectionDurationMs !== null) {
      this.age = setTimeout(() => {
        stats.max_downstream_connection_duration.value++
        this.info.responseFlags |= ResponseFlag.DurationTimeout
        this.close()
      }, config.maxDownstreamConnectionDurationMs)
      this.age.unref()
    }
    downstream.on('error', () => {})
    downstream.on('close', hadError => this.onDownstreamClose(hadError === true))
    downstream.on('data', this.onEarly)
    downstream.resume()
    this.connect()
  }

  private connect(): void {
    const { runtime, info } = this
    info.upstreamCluster = this.cluster
    const cluster = runtime.clusters.get(this.cluster)
    if (cluster === undefined) {
      runtime.stats.downstream_cx_no_route.value++
      info.responseFlags |= ResponseFlag.NoClusterFound
      this.close()
      return
    }
    if (this.attempts >= Math.max(1, runtime.config.maxConnectAttempts)) {
      cluster.traffic.main.upstream_cx_connect_attempts_exceeded.value++
      info.responseFlags |= ResponseFlag.UpstreamRetryLimitExceeded
      this.close()
      return
    }
    this.attempts++
    const host = cluster.pick({
      hash: runtime.hash === null ? null : runtime.hash(info.connection),
      metadataMatch: runtime.config.metadataMatch,
      shouldSkip: () => false,
      maxAttempts: 1,
      random: runtime.random,
      originalDst: originalDestination(cluster, info.connection, null),
    })
    if (host === null) {
      cluster.traffic.main.upstream_cx_none_healthy.value++
      info.responseFlags |= ResponseFlag.NoHealthyUpstream
      runtime.failures.record(cluster.name, 'no endpoint', noHostReason(cluster))
      this.close()
      return
    }
    this.host = host
    info.selectedHost = host
    info.upstreamRequestAttemptCount++
    const { pools, tunneling } = runtime
    this.attempt = tunneling === null ? new DirectUpstream(host, pools, this) : new TunneledUpstream(host, pools, tunneling, info, this)
    this.attempt.dial()
  }

  onUpstreamFailure(kind: TunnelFailure, why: string, reason: string): void {
    const { host, info, runtime } = this
    this.releaseAttempt()
    if (kind === 'overflow') {
      info.responseFlags |= ResponseFlag.UpstreamOverflow
      runtime.failures.record(
        host!.cluster.name,
        kind,
        `limit ${why} is reached, set by the circuit breakers of cluster ${host!.cluster.name}`,
      )
      this.close()
      return
    }
    if (kind === 'refused' && sparesRefusing(host!)) host!.cluster.recordLocalOriginSuccess(host!)
    else host!.cluster.recordConnectFailure(host!)
    runtime.failures.record(host!.cluster.name, 'connect-failure', connectReason(host!, why))
    info.responseFlags |= ResponseFlag.UpstreamConnectionFailure
    info.upstreamTransportFailureReason = reason
    this.connect()
  }

  private releaseAttempt(): void {
    const { attempt, info } = this
    this.attempt = null
    attempt?.release(info.bytesReceived, info.bytesSent, performance.now() - info.startedAt)
  }

  onUpstreamOpen(upstream: UpstreamPipe, connection: UpstreamConnectionInfo): void {
    if (this.finished) {
      upstream.on('error', () => {})
      upstream.destroy()
      return
    }
    const { downstream, info, host } = this
    this.upstream = upstream
    this.connected = true
    info.responseFlags &= ~ResponseFlag.UpstreamConnectionFailure
    info.upstreamHost = host
    info.useConnection(connection, info.startedAt)
    info.upstreamLocalAddress = localAddressText(connection.socket)
    if (host !== null) host.cluster.recordLocalOriginSuccess(host)
    upstream.on('error', () => {})
    downstream.off('data', this.onEarly)
    const { bufferLimitBytes } = this.runtime
    const upstreamLimitBytes = host?.cluster.config.perConnectionBufferLimitBytes ?? bufferLimitBytes
    const toClient = new BulkWriter(downstream, bufferLimitBytes, DirectWriter.of(downstream))
    const toUpstream = new BulkWriter(upstream, upstreamLimitBytes, DirectWriter.of(upstream))
    downstream.on('drain', () => this.resumeUpstream(upstream))
    upstream.on('drain', () => this.resumeClient())
    upstream.on('end', () => downstream.end())
    downstream.on('end', () => upstream.end())
    upstream.on('close', () => this.onUpstreamClose(upstream.errored !== null))
    for (const chunk of this.early.splice(0)) {
      info.bytesReceived += chunk.length
      if (!toUpstream.write(chunk)) this.pauseClient()
    }
    readShared(upstream, chunk => {
      info.bytesSent += chunk.length
      this.touch()
      if (!toClient.write(chunk)) this.pauseUpstream(upstream)
    })
    readShared(downstream, chunk => {
      info.bytesReceived += chunk.length
      this.touch()
      if (!toUpstream.write(chunk)) this.pauseClient()
    })
    this.touch()
    if (downstream.readableEnded) upstream.end()
    if (!upstream.writableNeedDrain) downstream.resume()
  }

  /** The upstream takes no more for now. */
  private pauseClient(): void {
    this.downstream.pause()
    if (this.clientPaused) return
    this.clientPaused = true
    this.runtime.stats.downstream_flow_control_paused_reading_total.value++
  }

  private resumeClient(): void {
    this.downstream.resume()
    if (!this.clientPaused) return
    this.clientPaused = false
    this.runtime.stats.downstream_flow_control_resumed_reading_total.value++
  }

  /** The client takes no more for now. */
  private pauseUpstream(upstream: UpstreamPipe): void {
    upstream.pause()
    if (this.upstreamPaused) return
    this.upstreamPaused = true
    this.host!.cluster.traffic.main.upstream_flow_control_paused_reading_total.value++
  }

  private resumeUpstream(upstream: UpstreamPipe): void {
    upstream.resume()
    if (!this.upstreamPaused) return
    this.upstreamPaused = false
    this.host!.cluster.traffic.main.upstream_flow_control_resumed_reading_total.value++
  }

  private touch(): void {
    this.idle?.set(this.runtime.config.idleTimeoutMs)
  }

  private onIdleTimeout(): void {
    this.runtime.stats.idle_timeout.value++
    this.close()
  }

  private onUpstreamClose(hadError: boolean): void {
    if (this.finished) return
    // A reset is passed on as one: the client must not take it for an orderly end.
    if (hadError) {
      resetSocket(this.downstream)
      // As Envoy, which knows of no reset where the upstream is a tunnel.
      if (this.runtime.tunneling === null) this.info.responseFlags |= ResponseFlag.UpstreamRemoteReset
      this.finish()
      return
    }
    if (!this.downstream.writableEnded && !this.downstream.destroyed) this.downstream.end()
    if (this.downstream.readableEnded) this.finish()
    else this.downstream.destroySoon?.()
  }

  private onDownstreamClose(hadError: boolean): void {
    if (this.finished) return
    if (!this.connected) this.info.responseFlags |= ResponseFlag.DownstreamConnectionTermination
    // As above: what the client broke off must not look finished to the upstream.
    if (hadError && this.upstream !== null) resetSocket(this.upstream)
    this.finish()
  }

  /** Close both sides. */
  close(): void {
    if (this.finished) return
    this.downstream.destroySoon?.()
    if (!this.downstream.destroyed) this.downstream.destroy()
    this.finish()
  }

  /** Report the bytes moved since the last time, and what waits now. */
  sweep(): void {
    const { info } = this
    const { stats } = this.runtime
    stats.downstream_cx_rx_bytes_total.value += info.bytesReceived - this.reportedReceived
    stats.downstream_cx_tx_bytes_total.value += info.bytesSent - this.reportedSent
    this.reportedReceived = info.bytesReceived
    this.reportedSent = info.bytesSent
    const waiting = this.finished ? 0 : this.downstream.writableLength
    if (waiting !== this.reportedWaiting) stats.downstream_cx_tx_bytes_buffered.value += waiting - this.reportedWaiting
    this.reportedWaiting = waiting
    this.attempt?.report(info.bytesReceived, info.bytesSent)
  }

  /** The client has gone; what it sent still goes out. */
  private flushUpstream(upstream: UpstreamPipe): void {
    const { stats } = this.runtime
    if (upstream.writableLength > 0) {
      stats.upstream_flush_total.value++
      stats.upstream_flush_active.value++
      upstream.once('close', () => {
        stats.upstream_flush_active.value--
      })
    }
    upstream.destroySoon?.()
  }

  private finish(): void {
    if (this.finished) return
    this.finished = true
    this.idle?.dispose()
    if (this.age !== null) clearTimeout(this.age)
    const { upstream, runtime, info } = this
    if (upstream !== null && !upstream.destroyed) {
      if (upstream.writableEnded) this.flushUpstream(upstream)
      else upstream.destroy()
    }
    info.endedAt = performance.now()
    everySecond.remove(this)
    this.sweep()
    this.releaseAttempt()
    info.upstreamBytesSent = info.bytesReceived
    info.upstreamBytesReceived = info.bytesSent
    writeListenerLogs(runtime.listenerLogs, info)
    writeAccessLogs(runtime.accessLogs, info)
  }
}

/**
 * Envoy counts a tunnel that is refused as a connection that failed. Where the cluster's metadata say so (our control plane's do), it is the
 * connection that stood and was closed which it would have been without a tunnel: a caller who is denied must not eject the host for others.
 */
function sparesRefusing({ cluster }: Host): boolean {
  return cluster.config.metadata.get(OUTRIGGER_METADATA)?.['spare_refusing_hosts'] === true
}

function pickCluster(config: TcpProxy, random: () => number): string {
  const { weightedClusters } = config
  if (weightedClusters.length === 0) return config.cluster
  let total = 0
  for (const entry of weightedClusters) total += entry.weight
  let point = Math.floor(random() * Math.min(total, MAX_TOTAL_WEIGHT))
  for (const entry of weightedClusters) {
    if (point < entry.weight) return entry.name
    point -= entry.weight
  }
  return weightedClusters[weightedClusters.length - 1]!.name
}
