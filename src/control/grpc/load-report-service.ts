// envoy.service.load_stats.v3.LoadReportingService: proxies tell what load their clusters had, and it becomes the observed traffic. Added to
// the gRPC port by grpc-port.ts. Who may report is who may have a configuration: the ADS server's own judgement of node and token, asked at
// every report, and the proxy has to be registered. Our proxies are asked for latencies too; the real Envoy reports what it has.
// Invariant: a report of any size costs one pass; a client that reports more often than it was told to is ended.
import { create, toBinary } from '@bufbuild/protobuf'
import { DurationSchema } from '@bufbuild/protobuf/wkt'
import type { Node } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import { LoadStatsRequestSchema, LoadStatsResponseSchema } from '../../xds/gen/envoy/service/load_stats/v3/lrs_pb.js'
import { OWN_METRICS_KEY, STREAM_LOAD_STATS } from '../../xds/load-reports/load-report.js'
import { type ReportedCluster, ReportReader } from '../../xds/load-reports/report-reader.js'
import type { Acceptance } from '../../xds/server/server.js'
import { type CatalogInstance, meshServiceOf } from '../catalog/catalog-types.js'
import { ClusterMeanings } from '../traffic/cluster-name.js'
import type { ObservedTraffic, ReportedLoad, TrafficReporter } from '../traffic/observed-traffic.js'
import type { GrpcCall } from './grpc-call.js'
import type { GrpcServer } from './grpc-server.js'
import { GrpcStatus } from './grpc-status.js'
import { decodeOrEnd } from './unary-method.js'

export interface LoadReportSources {
  readonly traffic: ObservedTraffic
  readonly trustDomain: string
  /** The judgement of the ADS server. */
  accept(node: Node, metadata: (key: string) => string | undefined): Acceptance
  /** By the key that the judgement names. */
  proxy(nodeKey: string): CatalogInstance | undefined
  /** Connections count in the place of requests. */
  isTcp(service: string): boolean
}

/** Reports that may come beside those that are due: the first of a stream, and what a stall of ours has held back. */
const SPARE_REPORTS = 10

export function addLoadReports(server: GrpcServer, sources: LoadReportSources): void {
  const reading: Reading = { reader: new ReportReader(), meanings: new ClusterMeanings(sources.trustDomain) }
  server.add(STREAM_LOAD_STATS, call => {
    const stream = new LoadReportStream(call, sources, reading)
    call.events = {
      onMessage: message => stream.onMessage(message),
      onHalfClose: () => call.end(GrpcStatus.OK),
      onClosed: () => stream.close(),
    }
  })
}

/** What all streams share: one message is read at a time. */
interface Reading {
  readonly reader: ReportReader
  readonly meanings: ClusterMeanings
}

class LoadReportStream {
  private readonly call: GrpcCall
  private readonly sources: LoadReportSources
  private readonly reading: Reading
  private readonly openedAt = performance.now()
  private node: Node | undefined
  private reporter: TrafficReporter | null = null
  private reports = 0

  constructor(call: GrpcCall, sources: LoadReportSources, reading: Reading) {
    this.call = call
    this.sources = sources
    this.reading = reading
  }

  onMessage(message: Buffer): void {
    const { intervalMs } = this.sources.traffic
    if (++this.reports > SPARE_REPORTS + (2 * (performance.now() - this.openedAt)) / intervalMs) {
      this.call.end(GrpcStatus.RESOURCE_EXHAUSTED, `a report every ${intervalMs} ms was asked for, and more came`)
      return
    }
    // Every report of ours says the node again, and it counts once.
    if (this.node === undefined) {
      const first = decodeOrEnd(this.call, LoadStatsRequestSchema, message)
      if (first === undefined) return
      this.node = first.node
    }
    if (!this.reading.reader.read(message)) {
      this.call.end(GrpcStatus.INVALID_ARGUMENT, `the message is no ${LoadStatsRequestSchema.typeName}`)
      return
    }
    const found = this.identify()
    if ('code' in found) {
      this.call.end(found.code, found.message)
      return
    }
    if (this.reporter === null) this.askForReports(intervalMs)
    this.take(this.reporterOf(found.nodeKey, meshServiceOf(found.proxy)))
  }

  /** Whose report it is, or why it is not taken. */
  private identify(): { nodeKey: string; proxy: CatalogInstance } | { code: GrpcStatus; message: string } {
    const { call, sources, node } = this
    if (node === undefined) return { code: GrpcStatus.INVALID_ARGUMENT, message: 'the first request has no node' }
    const accepted = sources.accept(node, key => call.metadata(key))
    if (!('ok' in accepted)) return { code: accepted.code as GrpcStatus, message: accepted.message }
    const nodeKey = accepted.nodeKey ?? node.id
    const proxy = sources.proxy(nodeKey)
    if (proxy?.Proxy === undefined) return { code: GrpcStatus.FAILED_PRECONDITION, message: `${node.id} is no registered proxy` }
    return { nodeKey, proxy }
  }

  close(): void {
    this.reporter?.close()
  }

  private askForReports(intervalMs: number): void {
    const seconds = Math.floor(intervalMs / 1000)
    const loadReportingInterval = create(DurationSchema, { seconds: BigInt(seconds), nanos: (intervalMs - seconds * 1000) * 1e6 })
    this.call.addMetadata(OWN_METRICS_KEY, '1')
    this.call.send(toBinary(LoadStatsResponseSchema, create(LoadStatsResponseSchema, { sendAllClusters: true, loadReportingInterval })))
  }

  /** The registration may change under an open stream. */
  private reporterOf(nodeKey: string, service: string): TrafficReporter {
    const { reporter } = this
    if (reporter?.proxy === nodeKey && reporter.service === service) return reporter
    reporter?.close()
    this.reporter = this.sources.traffic.reporter(nodeKey, service)
    return this.reporter
  }

  private take(reporter: TrafficReporter): void {
    const { traffic, isTcp } = this.sources
    const { reader, meanings } = this.reading
    reporter.begin()
    for (let i = 0; i < reader.count; i++) {
      const cluster = reader.cluster(i)
      if (cluster.localities === 0 && cluster.dropped === 0) continue
      const meaning = meanings.of(cluster.name)
      if (meaning === undefined) continue
      const sinceMs = cluster.intervalMs === -1 ? traffic.intervalMs : cluster.intervalMs
      if (meaning.kind === 'inbound') reporter.inbound(loadOf(cluster, isTcp(reporter.service)), sinceMs)
      else reporter.upstream(meaning.destination, meaning.subset, loadOf(cluster, isTcp(meaning.destination)), sinceMs)
    }
    reporter.end()
  }
}

const NO_LATENCIES: readonly number[] = []

function loadOf(cluster: ReportedCluster, tcp: boolean): ReportedLoad {
  const { successes, errors, active, issued, connectFailures, latencies } = cluster
  // They came to no host, and failed.
  const lost = cluster.dropped + cluster.unreached
  // A connection has no answer to judge it by: it was made, or it was not.
  return tcp
    ? { successes: issued, failures: connectFailures + lost, active, latencies: NO_LATENCIES }
    : { successes, failures: errors + lost, active, latencies }
}
