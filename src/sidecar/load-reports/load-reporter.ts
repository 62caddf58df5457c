// LRS: tells the server of `cluster_manager.load_stats_config` what load the clusters had, every interval that it asks for. Started by
// Sidecar; the counts are cluster-loads.ts's, the stream is the proxy's own gRPC client's. When what is sent, counted and tried again is as
// in Envoy 1.40. Invariant: a server that is not there costs one try every RETRY_MS and nothing else, and what was counted meanwhile is in
// the first report of the next stream.
//
//   WAITING (retry) ──stream──▶ ASKING (node sent) ──terms──▶ REPORTING ──interval──▶ report, again
//       ▲─────────────────────────── stream ends ───────────────────┘

import { create } from '@bufbuild/protobuf'
import { NO_TIMER, type Timer, type WallClock } from '../../io/clock.js'
import type { AsyncGrpcClient } from '../../l7/client/async-client.js'
import type { GrpcStream } from '../../l7/client/grpc-stream.js'
import type { LoadReporterHandles } from '../../metrics/reporting-stats.js'
import { type GrpcService, grpcServiceName } from '../../model/grpc-service.js'
import type { ServerLog } from '../../proxy/server.js'
import { type Node, NodeSchema } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import { OWN_METRICS_KEY, type ReportTerms, STREAM_LOAD_STATS } from '../../xds/load-reports/load-report.js'
import { ClusterLoads, type ReportedClusters } from './cluster-loads.js'

export interface LoadReporterOptions {
  readonly service: GrpcService
  readonly node: Node
  readonly clusters: ReportedClusters
  readonly client: AsyncGrpcClient
  readonly stats: LoadReporterHandles
  readonly clock: WallClock
  readonly log: ServerLog
  /** What worker processes have counted is asked for first; absent: there are none. */
  readonly collect?: () => Promise<void>
}

/** Envoy's. */
const RETRY_MS = 5000
const NO_BYTES = new Uint8Array(0)
const SPARE_BYTES = 1024
const SUPPORTS_ALL_CLUSTERS = 'envoy.lrs.supports_send_all_clusters'

type Messages = typeof import('../../xds/load-reports/load-report-messages.js')

export class LoadReporter {
  private readonly options: LoadReporterOptions
  private readonly node: Node
  private readonly loads: ClusterLoads
  private messages: Messages | null = null
  private nodeBytes: Uint8Array = NO_BYTES
  /** Of the last report, and some: the next one is about as long. */
  private reportBytes = 0
  private stream: GrpcStream | null = null
  private terms: ReportTerms | null = null
  /** The server is our own control plane. */
  private own = false
  private timer: Timer = NO_TIMER
  private lastReason = ''
  private closed = false

  constructor(options: LoadReporterOptions) {
    this.options = options
    const { node } = options
    this.node = create(NodeSchema, { ...node, clientFeatures: [...node.clientFeatures, SUPPORTS_ALL_CLUSTERS] })
    this.loads = new ClusterLoads(options.clusters)
  }

  async start(): Promise<void> {
    this.messages = await import('../../xds/load-reports/load-report-messages.js')
    this.nodeBytes = this.messages.encodeReporter(this.node)
    if (!this.closed) this.open()
  }

  close(): void {
    this.closed = true
    this.timer.cancel()
    this.stream?.close()
    this.stream = null
  }

  private open(): void {
    const { client, service } = this.options
    // Whoever answers this time has not said yet whether it is ours.
    this.own = false
    this.stream = client.exchange(service, STREAM_LOAD_STATS, {
      onMetadata: metadata => {
        this.own = metadata.has(OWN_METRICS_KEY)
      },
      onMessage: answer => this.onAnswer(answer),
      onEnd: (_status, reason) => this.onEnd(reason),
    })
    this.send(this.stream)
  }

  private onAnswer(bytes: Buffer): void {
    const { clock, stats } = this.options
    const read = this.messages!.readTerms(bytes)
    if (!read.ok) {
      this.stream?.close()
      this.onEnd(`its answer is refused: ${read.error.path}${read.error.path === '' ? '' : ': '}${read.error.reason}`)
      return
    }
    stats.requests.value++
    this.lastReason = ''
    this.terms = read.terms
    this.loads.follow(read.terms, clock.now())
    this.armReport(read.terms)
  }

  private armReport({ intervalMs }: ReportTerms): void {
    this.timer.cancel()
    this.timer = this.options.clock.after(intervalMs, () => void this.report())
  }

  private async report(): Promise<void> {
    const { collect } = this.options
    const { stream } = this
    if (collect !== undefined) await collect()
    if (stream !== null && stream === this.stream) this.send(stream)
  }

  /** The first message of all says who reports, and no more. */
  private send(stream: GrpcStream): void {
    const { stats, clock } = this.options
    const { terms } = this
    // A server that does not read is told all of it with the next report.
    if (!stream.full) {
      const loads = terms === null ? [] : this.loads.take(terms, this.own, clock.now())
      const report = this.messages!.writeReport(this.nodeBytes, loads, this.reportBytes)
      this.reportBytes = report.length + SPARE_BYTES
      stream.send(report)
      stats.responses.value++
    }
    if (terms === null) return
    this.loads.follow(terms, clock.now())
    this.armReport(terms)
  }

  private onEnd(reason: string): void {
    const { stats, service, clock, log } = this.options
    if (this.closed) return
    this.timer.cancel()
    this.stream = null
    stats.errors.value++
    // A server that goes on refusing is told of once.
    if (reason !== this.lastReason)
      log('warn', `load reports: the stream to ${grpcServiceName(service)} ended, and is opened again: ${reason}`)
    this.lastReason = reason
    this.timer = clock.after(RETRY_MS, () => {
      stats.retries.value++
      this.open()
    })
  }
}
