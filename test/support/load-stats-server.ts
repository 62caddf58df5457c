// A load reporting server: asks for reports the way a test says, and keeps what comes. Used by the tests of load reports, ours and Envoy's.
import { create, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import type { ClusterStats } from '../../src/xds/gen/envoy/config/endpoint/v3/load_report_pb.js'
import { LoadStatsRequestSchema, LoadStatsResponseSchema } from '../../src/xds/gen/envoy/service/load_stats/v3/lrs_pb.js'
import { STREAM_LOAD_STATS } from '../../src/xds/load-reports/load-report.js'
import { GrpcServices } from './grpc-services.js'

type Request = MessageShape<typeof LoadStatsRequestSchema>
type Response = MessageInitShape<typeof LoadStatsResponseSchema>
type Call = grpc.ServerDuplexStream<Request, Response>

/** Sums over all reports of a cluster. */
export interface ClusterSums {
  readonly successes: number
  readonly errors: number
  readonly issued: number
  readonly dropped: number
  readonly categories: Readonly<Record<string, number>>
}

export class LoadStatsServer {
  readonly requests: Request[] = []
  readonly tokens: (string | undefined)[] = []
  private readonly server = new GrpcServices()

  /** Metadata of the answer. */
  constructor(
    private readonly answer: Response,
    private readonly metadata: Readonly<Record<string, string>> = {},
  ) {
    this.server.addStream<Request, Response>(
      {
        path: STREAM_LOAD_STATS,
        read: bytes => fromBinary(LoadStatsRequestSchema, bytes),
        write: value => toBinary(LoadStatsResponseSchema, create(LoadStatsResponseSchema, value)),
      },
      call => this.serve(call),
    )
  }

  async listen(credentials?: grpc.ServerCredentials): Promise<this> {
    await this.server.listen(credentials)
    return this
  }

  get port(): number {
    return this.server.port
  }

  close(): void {
    this.server.close()
  }

  /** All reports of a cluster, the oldest first. */
  reportsOf(cluster: string): ClusterStats[] {
    return this.requests.flatMap(({ clusterStats }) => clusterStats.filter(({ clusterName }) => clusterName === cluster))
  }

  sums(cluster: string): ClusterSums {
    const sums = { successes: 0, errors: 0, issued: 0, dropped: 0, categories: {} as Record<string, number> }
    for (const { upstreamLocalityStats, totalDroppedRequests, droppedRequests } of this.reportsOf(cluster)) {
      sums.dropped += Number(totalDroppedRequests)
      for (const { category, droppedCount } of droppedRequests)
        sums.categories[category] = (sums.categories[category] ?? 0) + Number(droppedCount)
      for (const locality of upstreamLocalityStats) {
        sums.successes += Number(locality.totalSuccessfulRequests)
        sums.errors += Number(locality.totalErrorRequests)
        sums.issued += Number(locality.totalIssuedRequests)
      }
    }
    return sums
  }

  private serve(call: Call): void {
    const metadata = new grpc.Metadata()
    for (const [key, value] of Object.entries(this.metadata)) metadata.set(key, value)
    call.sendMetadata(metadata)
    this.tokens.push(call.metadata.get('x-consul-token')[0]?.toString())
    call.on('error', () => {})
    call.once('data', () => call.write(this.answer))
    call.on('data', (request: Request) => this.requests.push(request))
  }
}
