// The stats flush: ends the interval of the histograms and gives what was counted to the sinks of the bootstrap, every
// `stats_flush_interval`, or where `stats_flush_on_admin` says so when the admin shows stats. Made by Server, which starts and closes it.
// Invariant: with worker processes the primary alone flushes, with their counts added to its own; only the values of histograms, which
// sums do not hold, are told to statsd by the process that recorded them.

import type { AsyncGrpcClient } from '../l7/client/async-client.js'
import type { UpstreamPools } from '../l7/client/upstream-pools.js'
import type { Histogram } from '../metrics/histogram.js'
import { MetricsServiceSink, STREAM_METRICS } from '../metrics/sinks/metrics-service-sink.js'
import { EXPORT_METRICS, OpenTelemetrySink } from '../metrics/sinks/open-telemetry-sink.js'
import type { StatsSink, ValueSink } from '../metrics/sinks/stats-sink.js'
import { StatsdLines } from '../metrics/sinks/statsd-lines.js'
import { StatsdSink, UdpTransport } from '../metrics/sinks/statsd-sink.js'
import type { StatsStore } from '../metrics/stats-store.js'
import type { Address } from '../model/address.js'
import { grpcServiceName } from '../model/grpc-service.js'
import type { MetricsServiceSinkConfig, OpenTelemetrySinkConfig, StatsdSinkConfig, StatsSinkConfig } from '../model/stats-sink.js'
import type { UpstreamCluster } from '../upstream/cluster/cluster.js'
import { StatsdConnection } from './statsd-connection.js'

/** An export that is not answered by then has failed. */
const DEFAULT_EXPORT_TIMEOUT_MS = 10_000
/** Where there is no `stats_flush_interval`. */
const LOOK_INTERVAL_MS = 5000

export interface StatsFlushEnvironment {
  readonly store: StatsStore
  readonly grpcClient: AsyncGrpcClient
  readonly clusters: { get(name: string): UpstreamCluster | undefined }
  readonly pools: UpstreamPools
  readonly random: () => number
  /** envoy.config.core.v3.Node, encoded. */
  readonly node: Uint8Array
  readonly version: string
  readonly log: (message: string) => void
  /** What is looked at so often, too: gauges that are read from the process, certificates near their end. */
  readonly beforeFlush: () => void
  /** A process that takes over goes on from what was counted since the last flush. */
  readonly restartable: boolean
}

export class StatsFlush {
  private readonly env: StatsFlushEnvironment
  private readonly sinks: readonly StatsSink[]
  /** 0: only when the admin shows stats. */
  private readonly intervalMs: number
  /** A worker's counts are taken from it by the primary. */
  private readonly ofWorker: boolean
  private timer: NodeJS.Timeout | null = null

  constructor(configs: readonly StatsSinkConfig[], intervalMs: number, ofWorker: boolean, env: StatsFlushEnvironment) {
    this.env = env
    this.intervalMs = intervalMs
    this.ofWorker = ofWorker
    const statsd = configs.filter(config => config.kind === 'statsd').map(config => statsdSink(config, env))
    if (statsd.length > 0) env.store.onValue = (histogram, value) => tell(statsd, histogram, value)
    const services = ofWorker ? [] : configs.filter(config => config.kind !== 'statsd').map(config => serviceSink(config, env))
    this.sinks = [...statsd, ...services]
  }

  start(): void {
    const { beforeFlush } = this.env
    this.timer = this.intervalMs === 0 ? setInterval(beforeFlush, LOOK_INTERVAL_MS) : setInterval(() => this.flush(), this.intervalMs)
    this.timer.unref()
  }

  /** The admin is about to show stats. */
  onAdmin(): void {
    if (this.intervalMs === 0) this.flush()
  }

  close(): void {
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
    this.env.store.onValue = null
    for (const sink of this.sinks) sink.close()
  }

  private flush(): void {
    const { store } = this.env
    this.env.beforeFlush()
    if (this.ofWorker) return
    store.flush()
    if (this.sinks.length === 0) {
      if (this.env.restartable) store.markFlushed()
      return
    }
    const flushed = store.takeFlushed()
    for (const sink of this.sinks) sink.flush(flushed)
  }
}

function tell(sinks: readonly ValueSink[], histogram: Histogram, value: number): void {
  for (const sink of sinks) sink.value(histogram, value)
}

function statsdSink({ to, prefix, tags, maxDatagramBytes }: StatsdSinkConfig, env: StatsFlushEnvironment): ValueSink {
  const lines = new StatsdLines(prefix, tags ? env.store.tags : null)
  if (to.kind === 'tcp') return new StatsdSink(lines, new StatsdConnection(to.cluster, env))
  return new StatsdSink(lines, new UdpTransport(socketAddressOf(to.address), maxDatagramBytes))
}

function socketAddressOf(address: Address): { readonly host: string; readonly port: number } {
  if (address.kind === 'pipe') throw new Error('datagrams go to an IP address')
  return address
}

function serviceSink(config: MetricsServiceSinkConfig | OpenTelemetrySinkConfig, env: StatsFlushEnvironment): StatsSink {
  const { grpcClient, node, version, log } = env
  const { tags } = env.store
  const { service } = config
  if (config.kind === 'metrics-service') {
    return new MetricsServiceSink(config, {
      open: onEnd => grpcClient.stream(service, STREAM_METRICS, onEnd),
      tags,
      node,
      now: Date.now,
      log,
    })
  }
  return new OpenTelemetrySink(config, {
    export: request => {
      grpcClient.unary(service, EXPORT_METRICS, request, service.timeoutMs ?? DEFAULT_EXPORT_TIMEOUT_MS, (status, _message, details) => {
        if (status !== 0) log(`stats sink: the export to ${grpcServiceName(service)} failed: ${details} (gRPC status ${status})`)
      })
    },
    tags,
    version,
    now: Date.now,
  })
}
