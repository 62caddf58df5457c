// Discovery methods as grpc-js wants them, over protobuf-es messages. Used by the ADS client, one method a stream. Only the discovery messages are imported: the resources inside stay bytes, so no other Envoy type is loaded.

import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf'
import type { MethodDefinition } from '@grpc/grpc-js'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from './gen/envoy/service/discovery/v3/discovery_pb.js'

/** 50 MiB, the largest discovery message taken or sent; what Consul's dataplane uses. */
export const MAX_MESSAGE_BYTES = 50 * 1024 * 1024

function serializer<S extends DescMessage>(schema: S): (message: MessageShape<S>) => Buffer {
  return message => {
    const bytes = toBinary(schema, message)
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
}

function deserializer<S extends DescMessage>(schema: S): (bytes: Buffer) => MessageShape<S> {
  return bytes => fromBinary(schema, bytes)
}

function bidiMethod<Req extends DescMessage, Res extends DescMessage>(
  path: string,
  request: Req,
  response: Res,
): MethodDefinition<MessageShape<Req>, MessageShape<Res>> {
  return {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: serializer(request),
    requestDeserialize: deserializer(request),
    responseSerialize: serializer(response),
    responseDeserialize: deserializer(response),
  }
}

/** The state-of-the-world method at `path` (`/package.Service/Method`). */
export function stateOfTheWorldMethod(path: string): MethodDefinition<DiscoveryRequest, DiscoveryResponse> {
  return bidiMethod(path, DiscoveryRequestSchema, DiscoveryResponseSchema)
}

/** The delta method at `path` (`/package.Service/Method`). */
export function deltaMethod(path: string): MethodDefinition<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
  return bidiMethod(path, DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema)
}
