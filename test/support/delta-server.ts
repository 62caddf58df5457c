// A management server in delta form that answers by the letter of a test: what each name gets, at once, later or never, with aliases and
// without a resource. Serves the aggregated service and those of virtual hosts and clusters alone; keeps every request.
import { create, createRegistry, type DescMessage, fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import type * as grpc from '@grpc/grpc-js'
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  ResourceSchema,
} from '../../src/xds/gen/envoy/service/discovery/v3/discovery_pb.js'
import { deltaMethod } from '../../src/xds/grpc-service.js'
import { knownSchemas } from '../../src/xds/resources/schemas.js'
import { ADS_METHODS, CLUSTER_TYPE, EXTENSION_CONFIG_TYPE, methodsForType, VIRTUAL_HOST_TYPE } from '../../src/xds/type-urls.js'
import { GrpcServices } from './grpc-services.js'
import { socketAddress } from './proxy-process.js'

const registry = createRegistry(...knownSchemas())
const byType = new Map(knownSchemas().map(schema => [`type.googleapis.com/${schema.typeName}`, schema]))

export interface DeltaAnswer {
  /** JSON by name; null: an empty resource, which says that there is none. */
  readonly resources?: readonly { readonly name: string; readonly aliases?: readonly string[]; readonly json: object | null }[]
  readonly removed?: readonly string[]
}

export interface DeltaAsked {
  readonly typeUrl: string
  readonly subscribe: readonly string[]
  readonly unsubscribe: readonly string[]
  readonly error: string
}

type Call = grpc.ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>

export class DeltaServer {
  readonly asked: DeltaAsked[] = []
  streams = 0
  private readonly server = new GrpcServices()
  private readonly calls = new Map<string, Call>()
  private nonce = 0

  /** `answer`: what a request that subscribes to names is answered with; null: nothing, for now. No names: all that there is. */
  constructor(private readonly answer: (typeUrl: string, names: readonly string[]) => DeltaAnswer | null) {
    const methods = [ADS_METHODS, ...[VIRTUAL_HOST_TYPE, CLUSTER_TYPE, EXTENSION_CONFIG_TYPE].map(type => methodsForType(type)!)]
    for (const { delta } of methods)
      this.server.addStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(
        {
          path: deltaMethod(delta).path,
          read: bytes => deltaMethod(delta).requestDeserialize(Buffer.from(bytes)),
          write: value => toBinary(DeltaDiscoveryResponseSchema, value),
        },
        call => this.serve(call),
      )
  }

  async listen(): Promise<this> {
    await this.server.listen()
    return this
  }

  get port(): number {
    return this.server.port
  }

  close(): void {
    this.server.close()
  }

  /** Names subscribed to of a type so far, in order. */
  names(typeUrl: string): string[] {
    return this.asked.flatMap(asked => (asked.typeUrl === typeUrl ? asked.subscribe : []))
  }

  dropped(typeUrl: string): string[] {
    return this.asked.flatMap(asked => (asked.typeUrl === typeUrl ? asked.unsubscribe : []))
  }

  push(typeUrl: string, { resources = [], removed = [] }: DeltaAnswer): void {
    const call = this.calls.get(typeUrl)
    if (call === undefined) throw new Error(`nobody has asked for ${typeUrl}`)
    const schema = byType.get(typeUrl)!
    call.write(
      create(DeltaDiscoveryResponseSchema, {
        typeUrl,
        nonce: String(++this.nonce),
        systemVersionInfo: String(this.nonce),
        removedResources: [...removed],
        resources: resources.map(({ name, aliases = [], json }) =>
          create(ResourceSchema, {
            name,
            aliases: [...aliases],
            version: String(this.nonce),
            ...(json === null ? {} : { resource: pack(schema, json) }),
          }),
        ),
      }),
    )
  }

  private serve(call: Call): void {
    this.streams++
    call.on('data', (request: DeltaDiscoveryRequest) => {
      const { typeUrl, resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe, errorDetail, responseNonce } = request
      const isFirst = this.calls.get(typeUrl) !== call
      this.calls.set(typeUrl, call)
      this.asked.push({ typeUrl, subscribe, unsubscribe, error: errorDetail?.message ?? '' })
      if (subscribe.length === 0 && !(isFirst && responseNonce === '')) return
      const answer = this.answer(typeUrl, subscribe)
      if (answer !== null) this.push(typeUrl, answer)
    })
    call.on('end', () => call.end())
    call.on('error', () => {})
  }
}

function pack(schema: DescMessage, json: object) {
  return anyPack(schema, fromJson(schema, json as JsonValue, { registry }))
}

/** A static cluster that such a server is reached by. */
export function xdsCluster(name: string, port: number): object {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '2s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(port) } }] }] },
  }
}

export const deltaAds = (cluster: string): object => ({
  api_type: 'DELTA_GRPC',
  transport_api_version: 'V3',
  grpc_services: [{ envoy_grpc: { cluster_name: cluster } }],
})
