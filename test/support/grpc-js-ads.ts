// The ADS server on a grpc-js server, as control planes in Node have it: the tests' peer beside the product's own gRPC port.
import * as grpc from '@grpc/grpc-js'
import type { DeltaDiscoveryRequest, DiscoveryRequest } from '../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { deltaMethod, MAX_MESSAGE_BYTES, stateOfTheWorldMethod } from '../../src/xds/grpc-service.js'
import type { DiscoveryStream } from '../../src/xds/server/discovery-stream.js'
import type { AdsServer } from '../../src/xds/server/server.js'
import {
  ADS_METHODS,
  CLUSTER_TYPE,
  type DiscoveryMethods,
  ENDPOINT_TYPE,
  EXTENSION_CONFIG_TYPE,
  LISTENER_TYPE,
  methodsForType,
  ROUTE_TYPE,
  RUNTIME_TYPE,
  SCOPED_ROUTE_TYPE,
  SECRET_TYPE,
} from '../../src/xds/type-urls.js'

const SINGLE_TYPES = [
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  LISTENER_TYPE,
  ROUTE_TYPE,
  SCOPED_ROUTE_TYPE,
  SECRET_TYPE,
  RUNTIME_TYPE,
  EXTENSION_CONFIG_TYPE,
]

/** A grpc-js server that takes messages as large as the product's. */
export const grpcJsServer = () =>
  new grpc.Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 30_000,
  })

/** Adds the aggregated service, and with `singleType` also the services of one type each (SecretDiscoveryService and so on). */
export function attachAds(ads: AdsServer, server: grpc.Server, { singleType = false }: { singleType?: boolean } = {}): void {
  addService(ads, server, ADS_METHODS, null)
  if (singleType) for (const typeUrl of SINGLE_TYPES) addService(ads, server, methodsForType(typeUrl)!, typeUrl)
}

function addService(ads: AdsServer, server: grpc.Server, methods: DiscoveryMethods, onlyType: string | null): void {
  const responseSerialize = (bytes: Uint8Array): Buffer => Buffer.from(bytes)
  const delta = { ...deltaMethod(methods.delta), responseSerialize }
  const stateOfTheWorld = { ...stateOfTheWorldMethod(methods.stateOfTheWorld), responseSerialize }
  server.addService(
    { delta, stateOfTheWorld },
    {
      delta: (stream: Duplex<DeltaDiscoveryRequest>) => ads.serve({ protocol: 'delta', stream: streamOf(stream) }, onlyType),
      stateOfTheWorld: (stream: Duplex<DiscoveryRequest>) => ads.serve({ protocol: 'sotw', stream: streamOf(stream) }, onlyType),
    },
  )
}

type Duplex<Request> = grpc.ServerDuplexStream<Request, Uint8Array>

function streamOf<Request>(stream: Duplex<Request>): DiscoveryStream<Request> {
  return {
    peer: stream.getPeer(),
    metadata(key) {
      const value = stream.metadata.get(key)[0]
      return value === undefined ? undefined : String(value)
    },
    listen(events) {
      stream.on('data', request => events.onRequest(request))
      for (const event of ['end', 'cancelled', 'error']) stream.on(event, () => events.onClosed())
    },
    send(response) {
      stream.write(response)
    },
    end(end) {
      if (end === null) stream.end()
      else stream.emit('error', { code: end.code, details: end.message })
    },
  }
}
