// Small constructors of Envoy messages that every resource file needs: packed extensions, addresses, durations, ADS config source.
// Invariant: maps are built in sorted order, so the same meaning gives the same bytes (a resource's version is their hash).
import { create, type DescMessage, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import type { Any, Duration } from '@bufbuild/protobuf/wkt'
import { AnySchema, DurationSchema } from '@bufbuild/protobuf/wkt'
import { type Address, AddressSchema, type CidrRangeSchema } from '../../xds/gen/envoy/config/core/v3/address_pb.js'
import { type DataSource, DataSourceSchema } from '../../xds/gen/envoy/config/core/v3/base_pb.js'
import {
  ApiConfigSource_ApiType,
  ApiVersion,
  type ConfigSource,
  ConfigSourceSchema,
} from '../../xds/gen/envoy/config/core/v3/config_source_pb.js'

/** Consul's. */
const SDS_TIMEOUT_MS = 5_000

/** What `create` takes for a message: plain objects with optional fields, and not the message itself, so that it can be spread. */
export type Init<S extends DescMessage> = Exclude<MessageInitShape<S>, MessageShape<S>>

export function pack<S extends DescMessage>(schema: S, init: MessageInitShape<S>): Any {
  return create(AnySchema, { typeUrl: `type.googleapis.com/${schema.typeName}`, value: toBinary(schema, create(schema, init)) })
}

export function duration(ms: number): Duration {
  const seconds = Math.trunc(ms / 1_000)
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1_000) * 1e6) })
}

export function socketAddress(address: string, port: number): Address {
  return create(AddressSchema, {
    address: { case: 'socketAddress', value: { address, portSpecifier: { case: 'portValue', value: port } } },
  })
}

/** The range of one IP address. */
export function singleAddress(address: string): Init<typeof CidrRangeSchema> {
  return { addressPrefix: address, prefixLen: address.includes(':') ? 128 : 32 }
}

export function pipeAddress(path: string, mode = 0): Address {
  return create(AddressSchema, { address: { case: 'pipe', value: { path, mode } } })
}

export function inlineString(value: string): DataSource {
  return create(DataSourceSchema, { specifier: { case: 'inlineString', value } })
}

/** Of the proxy's own machine. */
export function fileSource(filename: string): DataSource {
  return create(DataSourceSchema, { specifier: { case: 'filename', value: filename } })
}

/** Of a server of the operator's, by a cluster of the proxy's bootstrap. */
export function grpcConfigSource(clusterName: string): ConfigSource {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: {
      case: 'apiConfigSource',
      value: {
        apiType: ApiConfigSource_ApiType.GRPC,
        transportApiVersion: ApiVersion.V3,
        grpcServices: [{ targetSpecifier: { case: 'envoyGrpc', value: { clusterName } }, timeout: duration(SDS_TIMEOUT_MS) }],
      },
    },
    resourceApiVersion: ApiVersion.V3,
  })
}

export function adsConfigSource(initialFetchTimeoutMs?: number): ConfigSource {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: { case: 'ads', value: {} },
    resourceApiVersion: ApiVersion.V3,
    ...(initialFetchTimeoutMs === undefined ? {} : { initialFetchTimeout: duration(initialFetchTimeoutMs) }),
  })
}
