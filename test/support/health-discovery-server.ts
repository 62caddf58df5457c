// A health discovery server: asks for checks as a test says, and keeps what comes. Used by the tests of health discovery, ours and Envoy's.
import { create, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import type * as grpc from '@grpc/grpc-js'
import {
  HealthCheckSpecifierSchema,
  HealthCheckRequestOrEndpointHealthResponseSchema as RequestSchema,
} from '../../src/xds/gen/envoy/service/health/v3/hds_pb.js'
import { STREAM_HEALTH_CHECK } from '../../src/xds/health-discovery/health-report.js'
import { GrpcServices } from './grpc-services.js'

type Request = MessageShape<typeof RequestSchema>
type Specifier = MessageInitShape<typeof HealthCheckSpecifierSchema>
type Call = grpc.ServerDuplexStream<Request, Specifier>

export class HealthDiscoveryServer {
  readonly requests: Request[] = []
  streams = 0
  private readonly server = new GrpcServices()
  private call: Call | null = null

  constructor(private specifier: Specifier) {
    this.server.addStream<Request, Specifier>(
      {
        path: STREAM_HEALTH_CHECK,
        read: bytes => fromBinary(RequestSchema, bytes),
        write: value => toBinary(HealthCheckSpecifierSchema, create(HealthCheckSpecifierSchema, value)),
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

  /** Also what streams that come later are told first. */
  say(specifier: Specifier): void {
    this.specifier = specifier
    this.call?.write(specifier)
  }

  endStream(): void {
    this.call?.end()
    this.call = null
  }

  close(): void {
    this.server.close()
  }

  /** The newest report: what was said of each host, by cluster and locality. */
  get report(): string[] {
    const last = this.requests.at(-1)?.requestType
    if (last?.case !== 'endpointHealthResponse') return []
    return last.value.clusterEndpointsHealth.flatMap(({ clusterName, localityEndpointsHealth }) =>
      localityEndpointsHealth.flatMap(({ locality, endpointsHealth }) =>
        endpointsHealth.map(({ endpoint, healthStatus }) => {
          const address = endpoint?.address?.address
          const port = address?.case === 'socketAddress' ? address.value.portSpecifier.value : ''
          return `${clusterName} ${locality?.zone} ${port} ${healthStatus}`
        }),
      ),
    )
  }

  private serve(call: Call): void {
    this.streams++
    this.call = call
    call.on('error', () => {})
    call.once('data', () => call.write(this.specifier))
    call.on('data', (request: Request) => this.requests.push(request))
  }
}
