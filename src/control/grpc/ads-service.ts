// The ADS server's methods on the control plane's own gRPC port: a call of the HTTP/2 engine as the stream that xds/server reads and writes.
// Called by `ControlPlane` when it opens the port.
import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '../../xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import type { DiscoveryStream } from '../../xds/server/discovery-stream.js'
import type { AdsServer } from '../../xds/server/server.js'
import { ADS_METHODS } from '../../xds/type-urls.js'
import type { GrpcCall } from './grpc-call.js'
import type { GrpcServer } from './grpc-server.js'
import { GrpcStatus } from './grpc-status.js'

export function addAds(server: GrpcServer, ads: AdsServer): void {
  server.add(ADS_METHODS.delta, call =>
    ads.serve(
      {
        protocol: 'delta',
        stream: streamOf<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(call, DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema),
      },
      null,
    ),
  )
  server.add(ADS_METHODS.stateOfTheWorld, call =>
    ads.serve(
      { protocol: 'sotw', stream: streamOf<DiscoveryRequest, DiscoveryResponse>(call, DiscoveryRequestSchema, DiscoveryResponseSchema) },
      null,
    ),
  )
}

function streamOf<Q extends MessageShape<DescMessage>, A extends MessageShape<DescMessage>>(
  call: GrpcCall,
  request: DescMessage,
  response: DescMessage,
): DiscoveryStream<Q, A> {
  return {
    peer: call.peer,
    metadata: key => call.metadata(key),
    listen(events) {
      call.events = {
        onMessage(message) {
          let decoded: Q
          try {
            decoded = fromBinary(request, message) as Q
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
    send: message => call.send(toBinary(response, message)),
    end: end => call.end((end?.code ?? GrpcStatus.OK) as GrpcStatus, end?.message),
  }
}
