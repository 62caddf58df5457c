// The ADS server's methods on the control plane's own gRPC port: a call of the HTTP/2 engine as the stream that xds/server reads and writes.
// Called by `ControlPlane` when it opens the port.
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
} from '../../xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import type { DiscoveryStream } from '../../xds/server/discovery-stream.js'
import type { AdsServer } from '../../xds/server/server.js'
import { ADS_METHODS } from '../../xds/type-urls.js'
import type { GrpcCall } from './grpc-call.js'
import type { GrpcServer } from './grpc-server.js'
import { GrpcStatus } from './grpc-status.js'

export function addAds(server: GrpcServer, ads: AdsServer): void {
  server.add(ADS_METHODS.delta, call => {
    const stream = streamOf<DeltaDiscoveryRequest>(call, DeltaDiscoveryRequestSchema)
    ads.serve({ protocol: 'delta', stream }, null)
  })
  server.add(ADS_METHODS.stateOfTheWorld, call => {
    const stream = streamOf<DiscoveryRequest>(call, DiscoveryRequestSchema)
    ads.serve({ protocol: 'sotw', stream }, null)
  })
}

function streamOf<Request extends MessageShape<DescMessage>>(call: GrpcCall, request: DescMessage): DiscoveryStream<Request> {
  return {
    peer: call.peer,
    metadata: key => call.metadata(key),
    listen(events) {
      call.events = {
        onMessage(message) {
          let decoded: Request
          try {
            decoded = fromBinary(request, message) as Request
          } catch {
            call.end(GrpcStatus.INVALID_ARGUMENT, `the message is no ${request.typeName}`)
            return
          }
          events.onRequest(decoded)
        },
        onHalfClose: () => events.onClosed(),
        onClosed: () => events.onClosed(),
      }
    },
    send: message => call.send(message),
    end: end => call.end((end?.code ?? GrpcStatus.OK) as GrpcStatus, end?.message),
  }
}
