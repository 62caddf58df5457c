// The xDS server of src/xds in a test, with resources written as Envoy's JSON: one node, one snapshot, start and stop on the same port.
import { createRegistry, type DescMessage, fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { ClusterSchema } from '../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { TypedExtensionConfigSchema } from '../../src/xds/gen/envoy/config/core/v3/extension_pb.js'
import { ClusterLoadAssignmentSchema } from '../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { VirtualHostSchema } from '../../src/xds/gen/envoy/config/route/v3/route_components_pb.js'
import { RouteConfigurationSchema } from '../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import { ScopedRouteConfigurationSchema } from '../../src/xds/gen/envoy/config/route/v3/scoped_route_pb.js'
import { SecretSchema } from '../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { knownSchemas } from '../../src/xds/resources/schemas.js'
import { type AdsNack, AdsServer } from '../../src/xds/server/server.js'
import { makeResource, makeSnapshot, type Resource, type ResourceChildren } from '../../src/xds/server/snapshot.js'
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  EXTENSION_CONFIG_TYPE,
  LISTENER_TYPE,
  ROUTE_TYPE,
  SCOPED_ROUTE_TYPE,
  SECRET_TYPE,
  VIRTUAL_HOST_TYPE,
} from '../../src/xds/type-urls.js'
import { attachAds, grpcJsServer } from './grpc-js-ads.js'
import { freePort, socketAddress, until } from './proxy-process.js'

const registry = createRegistry(...knownSchemas())

export interface MeshConfig {
  readonly clusters?: readonly object[]
  readonly endpoints?: readonly object[]
  readonly listeners?: readonly object[]
  readonly routes?: readonly object[]
  readonly secrets?: readonly object[]
  readonly scopes?: readonly object[]
  readonly virtualHosts?: readonly object[]
  readonly extensions?: readonly object[]
}

const NODE = 'test-sidecar'

function pack(schema: DescMessage, typeUrl: string, key: string, json: object): Resource {
  const name = (json as Record<string, string>)[key]!
  const bytes = toBinary(schema, fromJson(schema, json as JsonValue, { registry }))
  const children: ResourceChildren[] = typeUrl === CLUSTER_TYPE ? [{ typeUrl: ENDPOINT_TYPE, names: [name] }] : []
  return makeResource(name, typeUrl, bytes, children)
}

export class AdsFixture {
  port = 0
  readonly nacks: AdsNack[] = []
  streamsOpened = 0
  private version = 0
  private config: MeshConfig = {}
  private ads: AdsServer | null = null
  private server: grpc.Server | null = null

  constructor(private readonly credentials = grpc.ServerCredentials.createInsecure()) {}

  async start(): Promise<this> {
    if (this.port === 0) this.port = await freePort()
    this.ads = new AdsServer({
      accept: () => ({ ok: true }),
      onNack: nack => this.nacks.push(nack),
      onStreamOpen: () => this.streamsOpened++,
    })
    this.server = grpcJsServer()
    attachAds(this.ads, this.server, { singleType: true })
    const { server } = this
    await until(
      'the xDS port',
      () =>
        new Promise((resolve, reject) =>
          server.bindAsync(`127.0.0.1:${this.port}`, this.credentials, (error, port) => (error ? reject(error) : resolve(port))),
        ),
    )
    this.push()
    return this
  }

  /** As a killed process: streams are cut without a word. */
  kill(): void {
    this.server?.forceShutdown()
    this.server = null
    this.ads = null
  }

  /** Replace the given types; the others stay. */
  set(config: MeshConfig): void {
    this.config = { ...this.config, ...config }
    this.push()
  }

  private push(): void {
    const { clusters = [], endpoints = [], listeners = [], routes = [], secrets = [], scopes = [], virtualHosts = [] } = this.config
    const { extensions = [] } = this.config
    this.ads?.setSnapshot(
      NODE,
      makeSnapshot([
        ...clusters.map(json => pack(ClusterSchema, CLUSTER_TYPE, 'name', json)),
        ...endpoints.map(json => pack(ClusterLoadAssignmentSchema, ENDPOINT_TYPE, 'cluster_name', json)),
        ...listeners.map(json => pack(ListenerSchema, LISTENER_TYPE, 'name', json)),
        ...routes.map(json => pack(RouteConfigurationSchema, ROUTE_TYPE, 'name', json)),
        ...secrets.map(json => pack(SecretSchema, SECRET_TYPE, 'name', json)),
        ...scopes.map(json => pack(ScopedRouteConfigurationSchema, SCOPED_ROUTE_TYPE, 'name', json)),
        ...extensions.map(json => pack(TypedExtensionConfigSchema, EXTENSION_CONFIG_TYPE, 'name', json)),
        ...virtualHosts.map(json => pack(VirtualHostSchema, VIRTUAL_HOST_TYPE, 'name', json)),
      ]),
      String(++this.version),
    )
  }

  /** Set, and wait until the proxy has taken it. */
  async apply(config: MeshConfig): Promise<void> {
    this.set(config)
    await this.synced()
  }

  synced(): Promise<unknown> {
    return until('the proxy acknowledges the snapshot', () => this.ads?.isSynced(NODE))
  }

  bootstrap(apiType: 'DELTA_GRPC' | 'GRPC' = 'DELTA_GRPC'): object {
    const services = [{ envoy_grpc: { cluster_name: 'xds' } }]
    return {
      node: { id: NODE, cluster: 'test' },
      dynamic_resources: {
        ads_config: { api_type: apiType, transport_api_version: 'V3', grpc_services: services },
        cds_config: { ads: {}, resource_api_version: 'V3' },
        lds_config: { ads: {}, resource_api_version: 'V3' },
      },
      static_resources: {
        clusters: [
          {
            name: 'xds',
            type: 'STATIC',
            connect_timeout: '1s',
            typed_extension_protocol_options: {
              'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
                '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
                explicit_http_config: { http2_protocol_options: {} },
              },
            },
            load_assignment: {
              cluster_name: 'xds',
              endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(this.port) } }] }],
            },
          },
        ],
      },
    }
  }
}

export const adsSource = { ads: {}, resource_api_version: 'V3' }

export function edsCluster(name: string, more: object = {}): object {
  return { name, type: 'EDS', connect_timeout: '2s', eds_cluster_config: { eds_config: adsSource }, ...more }
}
