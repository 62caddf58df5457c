// A user's own listeners and clusters in place of ours: what of them is kept, and what the mesh does not give up.
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import { beforeEach, describe, expect, it } from 'vitest'
import { ClusterSchema } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { HttpConnectionManagerSchema } from '../../../src/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { DownstreamTlsContextSchema } from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { CLUSTER_TYPE, LISTENER_TYPE } from '../../../src/xds/type-urls.js'
import { SnapshotFixture } from './snapshot-fixture.js'

let mesh: SnapshotFixture
beforeEach(async () => {
  mesh = await SnapshotFixture.open()
})

const TCP_FILTER = {
  name: 'tcp',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    stat_prefix: 'mine',
    cluster: 'local_app',
  },
}
const HTTP_FILTER = {
  name: 'http',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'mine',
    route_config: { virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'local_app' } }] }] },
    http_filters: [{ name: 'router', typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' } }],
  },
}
const listener = (...filters: object[]): string =>
  JSON.stringify({
    '@type': 'type.googleapis.com/envoy.config.listener.v3.Listener',
    name: 'custom',
    address: { socket_address: { address: '0.0.0.0', port_value: 7777 } },
    filter_chains: [{ filters }],
  })

const web = (proxy: object): object => ({ Name: 'web', Port: 8080, Connect: { SidecarService: { Proxy: proxy } } })

function resource<S extends DescMessage>(schema: S, typeUrl: string, name: string): MessageShape<S> {
  return fromBinary(schema, mesh.build('web-sidecar-proxy').snapshot.get(typeUrl)!.get(name)!.any.value)
}

const typed = (config: { readonly case: string | undefined; readonly value?: unknown }): Any => config.value as Any

describe('envoy_public_listener_json', () => {
  it('keeps mesh TLS and the intentions of a TCP service', async () => {
    expect(await mesh.register(web({ Config: { envoy_public_listener_json: listener(TCP_FILTER) } }))).toEqual([])
    const built = resource(ListenerSchema, LISTENER_TYPE, 'public_listener:0.0.0.0:21000')
    expect(built.address!.address.value).toMatchObject({ portSpecifier: { value: 7777 } })
    const [chain] = built.filterChains
    expect(chain!.filters.map(({ name }) => name)).toEqual(['envoy.filters.network.rbac', 'tcp'])
    const tls = fromBinary(DownstreamTlsContextSchema, typed(chain!.transportSocket!.configType).value)
    expect(tls.requireClientCertificate).toBe(true)
    expect(built.metadata!.filterMetadata['outrigger']).toBeDefined()
  })

  it('puts the intentions before the filters of an HTTP service, and refuses a chain that has no place for them', async () => {
    await mesh.write({ Kind: 'service-defaults', Name: 'web', Protocol: 'http' })
    expect(await mesh.register(web({ Config: { envoy_public_listener_json: listener(TCP_FILTER) } }))).toEqual([
      expect.stringMatching(/^Connect\.SidecarService\.Proxy\.Config\.envoy_public_listener_json: .*needs an http_connection_manager/),
    ])
    expect(await mesh.register(web({ Config: { envoy_public_listener_json: listener(HTTP_FILTER) } }))).toEqual([])
    const [chain] = resource(ListenerSchema, LISTENER_TYPE, 'public_listener:0.0.0.0:21000').filterChains
    const hcm = fromBinary(HttpConnectionManagerSchema, typed(chain!.filters[0]!.configType).value)
    expect(hcm.httpFilters.map(({ name }) => name)).toEqual(['envoy.filters.http.rbac', 'router'])
    expect(hcm.statPrefix).toBe('mine')
  })

  it.each([
    ['{', /must be a JSON object/],
    ['{"filter_chains": [], "nobody": 1}', /nobody: unknown field/],
    ['{"filter_chains": []}', /has no filter chain/],
    [JSON.stringify({ '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster' }), /must be of type envoy.config.listener/],
    [listener({ ...TCP_FILTER, typed_config: { ...TCP_FILTER.typed_config, stat_prefix: '' } }), /sidecars would refuse it/],
  ])('refuses %s', async (json, reason) => {
    const errors = await mesh.register(web({ Config: { envoy_public_listener_json: json } }))
    expect(errors).toEqual([expect.stringMatching(reason)])
    expect(mesh.catalog.size).toBe(0)
  })
})

describe('an upstream’s hatches', () => {
  const cluster = { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'mine', type: 'STATIC', connect_timeout: '7s' }
  const upstream = (config: object): object => web({ Upstreams: [{ DestinationName: 'api', LocalBindPort: 9191, Config: config }] })

  it('come in place of the listener and cluster, under our names and with mesh TLS', async () => {
    const config = {
      envoy_listener_json: listener(TCP_FILTER),
      envoy_cluster_json: JSON.stringify({ ...cluster, load_assignment: { cluster_name: 'mine' } }),
    }
    expect(await mesh.register(upstream(config))).toEqual([])
    expect(resource(ListenerSchema, LISTENER_TYPE, 'api:127.0.0.1:9191').address!.address.value).toMatchObject({
      portSpecifier: { value: 7777 },
    })
    const built = resource(ClusterSchema, CLUSTER_TYPE, mesh.cluster('api'))
    expect(built.connectTimeout!.seconds).toBe(7n)
    expect(built.transportSocket!.name).toBe('tls')
  })

  it('have no effect, and say so, where the service has a chain of its own', async () => {
    await mesh.write({ Kind: 'service-resolver', Name: 'api', ConnectTimeout: '3s' })
    await mesh.register(upstream({ envoy_cluster_json: JSON.stringify(cluster) }))
    expect(resource(ClusterSchema, CLUSTER_TYPE, mesh.cluster('api')).connectTimeout!.seconds).toBe(3n)
    expect(mesh.build('web-sidecar-proxy').settled.problems).toEqual([
      { path: 'Proxy.Upstreams.Config.envoy_cluster_json', reason: 'has no effect: api has a discovery chain of its own' },
    ])
  })
})

describe('envoy_local_cluster_json and envoy_listener_tracing_json', () => {
  it('make local_app and the tracing of every HTTP listener', async () => {
    await mesh.write({ Kind: 'service-defaults', Name: 'web', Protocol: 'http' })
    const config = {
      envoy_local_cluster_json: JSON.stringify({
        name: 'x',
        type: 'STATIC',
        connect_timeout: '9s',
        load_assignment: { cluster_name: 'x' },
      }),
      envoy_listener_tracing_json: JSON.stringify({ random_sampling: { value: 10 } }),
    }
    expect(await mesh.register(web({ Config: config }))).toEqual([])
    expect(resource(ClusterSchema, CLUSTER_TYPE, 'local_app').connectTimeout!.seconds).toBe(9n)
    const [chain] = resource(ListenerSchema, LISTENER_TYPE, 'public_listener:0.0.0.0:21000').filterChains
    const hcm = fromBinary(HttpConnectionManagerSchema, typed(chain!.filters.at(-1)!.configType).value)
    expect(hcm.tracing!.randomSampling!.value).toBe(10)
  })

  const tracedBy = async (type: string, content: object): Promise<string[]> => {
    await mesh.write({ Kind: 'service-defaults', Name: 'web', Protocol: 'http' })
    const provider = { name: 'z', typed_config: { '@type': `type.googleapis.com/envoy.config.trace.v3.${type}`, ...content } }
    return mesh.register(web({ Config: { envoy_listener_tracing_json: JSON.stringify({ provider }) } }))
  }
  const zipkin = { collector_cluster: 'c', collector_endpoint: '/api/v2/spans', collector_endpoint_version: 'HTTP_JSON' }

  it('carry a provider over', async () => {
    expect(await tracedBy('ZipkinConfig', zipkin)).toEqual([])
    const [chain] = resource(ListenerSchema, LISTENER_TYPE, 'public_listener:0.0.0.0:21000').filterChains
    const hcm = fromBinary(HttpConnectionManagerSchema, typed(chain!.filters.at(-1)!.configType).value)
    expect(hcm.tracing!.provider).toMatchObject({ name: 'z', configType: { value: { typeUrl: expect.stringMatching(/ZipkinConfig$/) } } })
  })

  it('refuse a provider that sidecars have not, or would refuse', async () => {
    expect(await tracedBy('DatadogConfig', { collector_cluster: 'c' })).toEqual([expect.stringMatching(/DatadogConfig is not known here/)])
    expect(await tracedBy('ZipkinConfig', { ...zipkin, collector_endpoint_version: 'GRPC' })).toEqual([
      expect.stringMatching(/envoy_listener_tracing_json: .*must be HTTP_JSON or HTTP_PROTO/),
    ])
  })
})
