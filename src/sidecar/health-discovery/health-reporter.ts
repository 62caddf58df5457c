// HDS: checks the hosts that the server of `hds_config` names, and tells it of them every interval that it asks for. Started by Sidecar; the
// hosts are checked-clusters.ts's, the stream is the proxy's own gRPC client's. What is sent and counted when is as in Envoy 1.40. Invariant: a
// specifier is taken whole or not at all, and the checks of the last good one go on without a stream.
//
//   WAITING (backoff) ──stream──▶ ASKING (node sent) ──specifier──▶ REPORTING ──interval──▶ report, again
//        ▲───────────────────────────── stream ends ──────────────────────┘

import { fullJitterMs } from '../../io/backoff.js'
import { type Clock, NO_TIMER, type Timer } from '../../io/clock.js'
import type { AsyncGrpcClient } from '../../l7/client/async-client.js'
import type { GrpcStream } from '../../l7/client/grpc-stream.js'
import type { HealthReporterHandles } from '../../metrics/reporting-stats.js'
import type { ConfigError } from '../../model/config-error.js'
import { type GrpcService, grpcServiceName } from '../../model/grpc-service.js'
import type { ServerLog } from '../../proxy/server.js'
import type { ClusterRegistry } from '../../upstream/cluster/cluster-registry.js'
import type { Node } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import { STREAM_HEALTH_CHECK } from '../../xds/health-discovery/health-report.js'
import { CheckedClusters, type ClusterRules } from './checked-clusters.js'

export interface HealthReporterOptions {
  readonly service: GrpcService
  readonly node: Node
  /** For the hosts to check alone. */
  readonly clusters: ClusterRegistry
  readonly rules: ClusterRules
  readonly client: AsyncGrpcClient
  readonly stats: HealthReporterHandles
  readonly clock: Clock
  readonly random: () => number
  readonly log: ServerLog
}

/** Envoy's. */
const FIRST_RETRY_MS = 1000
const MAX_RETRY_MS = 30_000

type Messages = typeof import('../../xds/health-discovery/health-discovery-messages.js')

export class HealthReporter {
  private readonly options: HealthReporterOptions
  private readonly checked: CheckedClusters
  private messages: Messages | null = null
  private stream: GrpcStream | null = null
  /** The specifier in use, as it came on this stream; null: none has. */
  private specifier: Buffer | null = null
  private intervalMs = 0
  private timer: Timer = NO_TIMER
  private attempts = 0
  private lastReason = ''
  /** What the log has said of a specifier that cannot be taken; '' = the last one could. */
  private lastRefusal = ''
  private closed = false

  constructor(options: HealthReporterOptions) {
    this.options = options
    this.checked = new CheckedClusters(options.clusters, options.rules)
  }

  async start(): Promise<void> {
    this.messages = await import('../../xds/health-discovery/health-discovery-messages.js')
    if (!this.closed) this.open()
  }

  close(): void {
    this.closed = true
    this.timer.cancel()
    this.stream?.close()
    this.stream = null
    this.checked.close()
  }

  private open(): void {
    const { client, service, node, stats } = this.options
    this.stream = client.exchange(service, STREAM_HEALTH_CHECK, {
      onMessage: message => this.onSpecifier(message),
      onEnd: (_status, reason) => this.onEnd(reason),
    })
    this.stream.send(this.messages!.writeRequest(node))
    stats.responses.value++
  }

  private onSpecifier(message: Buffer): void {
    const { stats } = this.options
    stats.requests.value++
    this.attempts = 0
    this.lastReason = ''
    if (this.specifier?.equals(message) === true) return
    const read = this.messages!.readSpecifier(message)
    const errors = read.ok ? this.checked.replace(read.orders.clusters) : read.errors
    if (!read.ok || errors.length > 0) {
      this.sayRefusal(errors)
      return
    }
    stats.updates.value++
    this.lastRefusal = ''
    this.specifier = Buffer.from(message)
    if (read.orders.intervalMs === this.intervalMs) return
    this.intervalMs = read.orders.intervalMs
    this.armReport()
  }

  /** Once for each that is another: a server may ask for the same again with every stream and every turn. */
  private sayRefusal(errors: readonly ConfigError[]): void {
    const { log, service } = this.options
    const refusal = errors.map(({ path, reason }) => (path === '' ? reason : `${path}: ${reason}`)).join('; ')
    if (refusal === this.lastRefusal) return
    this.lastRefusal = refusal
    log('warn', `health discovery: ${grpcServiceName(service)} asks for what cannot be checked: ${refusal}`)
  }

  private armReport(): void {
    this.timer.cancel()
    this.timer = this.options.clock.after(this.intervalMs, () => this.report())
  }

  private report(): void {
    const { stream } = this
    // A server that does not read is told with the next report.
    if (stream !== null && !stream.full) {
      stream.send(this.messages!.writeReport(this.checked.report()))
      this.options.stats.responses.value++
    }
    this.armReport()
  }

  private onEnd(reason: string): void {
    const { stats, service, clock, random, log } = this.options
    if (this.closed) return
    this.timer.cancel()
    this.stream = null
    this.specifier = null
    this.intervalMs = 0
    stats.errors.value++
    // A server that goes on refusing is told of once.
    if (reason !== this.lastReason)
      log('warn', `health discovery: the stream to ${grpcServiceName(service)} ended, and is opened again: ${reason}`)
    this.lastReason = reason
    this.timer = clock.after(fullJitterMs(this.attempts++, FIRST_RETRY_MS, MAX_RETRY_MS, random), () => this.open())
  }
}
