import { create, type DescMessage, type JsonValue, toBinary } from '@bufbuild/protobuf'
import { AnySchema } from '@bufbuild/protobuf/wkt'
import { describe, expect, it } from 'vitest'
import {
  type ConfigDumpQuery,
  type ConfigDumpState,
  configDump,
  configDumpQuery,
  type DumpEntry,
} from '../../../src/xds/dump/config-dump.js'
import { BootstrapSchema } from '../../../src/xds/gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { ClusterSchema } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import { ScopedRouteConfigurationSchema } from '../../../src/xds/gen/envoy/config/route/v3/scoped_route_pb.js'
import { SecretSchema } from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { clusterJson, hcm, type Json, listenerJson, message, routeJson, TYPE, tls } from '../resources/messages.js'

const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 678)
const TIME = '2026-01-02T03:04:05.678Z'

function entry(desc: DescMessage, json: Json, versionInfo = '7'): DumpEntry {
  const value = toBinary(desc, message(desc, json))
  return {
    name: String(json['name'] ?? json['cluster_name']),
    resource: { typeUrl: TYPE + desc.typeName, value },
    versionInfo,
    lastUpdatedMs: AT,
  }
}

const LEAF = {
  tls_certificates: [
    { certificate_chain: { inline_string: 'CERT' }, private_key: { inline_string: 'SECRET-KEY' }, password: { inline_bytes: 'U0VDUkVU' } },
  ],
}
const bootstrap = message(BootstrapSchema, {
  node: { id: 'n', cluster: 'c' },
  dynamic_resources: {
    ads_config: {
      api_type: 'GRPC',
      grpc_services: [
        {
          envoy_grpc: { cluster_name: 'x' },
          initial_metadata: [
            { key: 'x-consul-token', value: 'SECRET-TOKEN' },
            { key: 'a', value: 'b' },
          ],
        },
      ],
    },
  },
})

const STATE: ConfigDumpState = {
  bootstrap: { message: bootstrap, lastUpdatedMs: AT },
  clusters: {
    versionInfo: '3',
    static: [entry(ClusterSchema, clusterJson({ name: 'local_app' }), '')],
    active: [entry(ClusterSchema, clusterJson({ name: 'api', transport_socket: tls('Upstream', { sni: 's', common_tls_context: LEAF }) }))],
    warming: [],
  },
  extensions: null,
  listeners: {
    versionInfo: '4',
    static: [],
    dynamic: [
      {
        name: 'in',
        active: entry(
          ListenerSchema,
          listenerJson({ filters: [hcm()], transport_socket: tls('Downstream', { common_tls_context: LEAF }) }, { name: 'in' }),
        ),
        warming: null,
        draining: null,
        error: {
          failedConfiguration: entry(ListenerSchema, listenerJson(undefined, { name: 'in', stat_prefix: 'bad' })).resource,
          lastUpdateAttemptMs: AT,
          details: 'no',
          versionInfo: '8',
        },
      },
    ],
  },
  scopes: {
    inline: [],
    dynamic: [
      {
        name: 'scopes',
        versionInfo: '5',
        scopes: [
          {
            name: 'a',
            resource: entry(ScopedRouteConfigurationSchema, { name: 'a', route_configuration_name: 'r', key: { fragments: [] } }).resource!,
          },
        ],
        lastUpdatedMs: AT,
      },
    ],
  },
  routes: { static: [], dynamic: [entry(RouteConfigurationSchema, routeJson())] },
  endpoints: { static: [], dynamic: [entry(ClusterLoadAssignmentSchema, { cluster_name: 'api' })] },
  secrets: { static: [entry(SecretSchema, { name: 's', tls_certificate: LEAF.tls_certificates[0] })], active: [], warming: [] },
}

const dump = (query: ConfigDumpQuery = {}) => configDump(STATE, query)
function configs(query: ConfigDumpQuery = {}): Json[] {
  const answer = dump(query)
  if (answer.status !== 200) throw new Error(answer.body)
  return (answer.body['configs'] ?? []) as Json[]
}
const typeOf = (config: Json): string => String(config['@type']).replace(`${TYPE}envoy.admin.v3.`, '')

describe('/config_dump', () => {
  it('prints Envoy’s dumps in Envoy’s order, endpoints only when asked', () => {
    const order = [
      'BootstrapConfigDump',
      'ClustersConfigDump',
      'ListenersConfigDump',
      'ScopedRoutesConfigDump',
      'RoutesConfigDump',
      'SecretsConfigDump',
    ]
    expect(configs().map(typeOf)).toEqual(order)
    expect(configs(configDumpQuery(new URLSearchParams('include_eds'))).map(typeOf)).toEqual([
      ...order.slice(0, 2),
      'EndpointsConfigDump',
      ...order.slice(2),
    ])
  })

  it('prints proto field names, versions, times and the state of a refused update', () => {
    const [, clusters, listeners] = configs()
    expect(clusters).toMatchObject({
      version_info: '3',
      static_clusters: [
        {
          cluster: { '@type': `${TYPE}envoy.config.cluster.v3.Cluster`, name: 'local_app', load_assignment: { cluster_name: 'c' } },
          last_updated: TIME,
        },
      ],
      dynamic_active_clusters: [{ version_info: '7', cluster: { name: 'api' }, last_updated: TIME }],
    })
    expect((clusters!['static_clusters'] as Json[])[0]).not.toHaveProperty('version_info')
    expect(clusters).not.toHaveProperty('dynamic_warming_clusters')
    expect(listeners).toMatchObject({
      version_info: '4',
      dynamic_listeners: [
        {
          name: 'in',
          active_state: {
            version_info: '7',
            listener: {
              name: 'in',
              filter_chains: [
                {
                  filters: [
                    {
                      name: 'hcm',
                      typed_config: { stat_prefix: 'a', route_config: { virtual_hosts: [{ routes: [{ match: { prefix: '/' } }] }] } },
                    },
                  ],
                },
              ],
            },
          },
          error_state: { failed_configuration: { stat_prefix: 'bad' }, last_update_attempt: TIME, details: 'no', version_info: '8' },
        },
      ],
    })
  })

  it('never shows a private key, a password or a token', () => {
    const text = JSON.stringify(configs({ includeEds: true }))
    expect(text).not.toMatch(/SECRET|U0VDUkVU/)
    expect(text).toContain('"certificate_chain":{"inline_string":"CERT"}')
    expect(text).toContain('"private_key":{"inline_string":"[redacted]"}')
    expect(text).toContain('"password":{"inline_bytes":"W3JlZGFjdGVkXQ=="}')
    expect(text).toContain('{"key":"x-consul-token","value":"[redacted]"},{"key":"a","value":"b"}')
  })

  it('redacts inside a TypedStruct, of a known type and of an unknown one', () => {
    const socket = (typeUrl: string): Json => ({
      name: 'tls',
      typed_config: { '@type': `${TYPE}udpa.type.v1.TypedStruct`, type_url: typeUrl, value: { common_tls_context: LEAF, sni: 'shown' } },
    })
    for (const typeUrl of [`${TYPE}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext`, `${TYPE}a.b.C`]) {
      const state = {
        ...STATE,
        clusters: { ...STATE.clusters, active: [entry(ClusterSchema, clusterJson({ transport_socket: socket(typeUrl) }))] },
      }
      const text = JSON.stringify(configDump(state, { resource: 'dynamic_active_clusters' }))
      expect(text).not.toMatch(/SECRET|U0VDUkVU/)
      expect(text).toContain('shown')
    }
  })

  it('shows an Any of an unknown type as @type and base64, and bytes that do not parse too', () => {
    const listener = message(ListenerSchema, listenerJson())
    listener.filterChains[0]!.filters[0]!.configType = { case: 'typedConfig', value: anyOf('a/b.C', [1, 2, 3]) }
    listener.filterChains[0]!.filters.push({
      ...listener.filterChains[0]!.filters[0]!,
      configType: { case: 'typedConfig', value: anyOf(`${TYPE}envoy.extensions.filters.network.echo.v3.Echo`, [255]) },
    })
    const raw = { typeUrl: TYPE + ListenerSchema.typeName, value: toBinary(ListenerSchema, listener) }
    const state = {
      ...STATE,
      listeners: { versionInfo: '', static: [{ name: 'l', resource: raw, versionInfo: '', lastUpdatedMs: AT }], dynamic: [] },
    }
    const answer = configDump(state, { resource: 'static_listeners' })
    expect(answer.body).toMatchObject({
      configs: [
        {
          listener: {
            filter_chains: [{ filters: [{ typed_config: { '@type': 'a/b.C', value: 'AQID' } }, { typed_config: { value: '/w==' } }] }],
          },
        },
      ],
    })
  })

  it('?resource= prints the elements of one field', () => {
    expect(configs({ resource: 'dynamic_listeners' })).toMatchObject([
      { '@type': `${TYPE}envoy.admin.v3.ListenersConfigDump.DynamicListener`, name: 'in' },
    ])
    expect(configs({ resource: 'dynamic_endpoint_configs', includeEds: true })).toMatchObject([
      { endpoint_config: { cluster_name: 'api' } },
    ])
    expect(dump({ resource: 'dynamic_endpoint_configs' })).toMatchObject({ status: 404 })
    expect(configs({ resource: 'dynamic_scoped_route_configs' })).toEqual([
      {
        '@type': `${TYPE}envoy.admin.v3.ScopedRoutesConfigDump.DynamicScopedRouteConfigs`,
        name: 'scopes',
        version_info: '5',
        scoped_route_configs: [
          { '@type': `${TYPE}envoy.config.route.v3.ScopedRouteConfiguration`, name: 'a', route_configuration_name: 'r', key: {} },
        ],
        last_updated: TIME,
      },
    ])
    expect(dump({ resource: 'static_listeners' })).toEqual({ status: 200, body: {} })
    expect(dump({ resource: 'foo' })).toEqual({ status: 404, body: 'foo not found in config dump' })
    expect(dump({ resource: 'bootstrap' })).toEqual({
      status: 400,
      body: 'bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field',
    })
  })

  it('?mask= keeps the named fields', () => {
    expect(configs({ mask: 'bootstrap.node.id' })).toEqual([
      { '@type': `${TYPE}envoy.admin.v3.BootstrapConfigDump`, bootstrap: { node: { id: 'n' } } },
    ])
    expect(configs({ resource: 'static_clusters', mask: 'cluster.name' })).toEqual([
      {
        '@type': `${TYPE}envoy.admin.v3.ClustersConfigDump.StaticCluster`,
        cluster: { '@type': `${TYPE}envoy.config.cluster.v3.Cluster`, name: 'local_app' },
      },
    ])
    expect(configs({ mask: 'version_info' }).map(typeOf)).toEqual(['ClustersConfigDump', 'ListenersConfigDump'])
    // No path may go through a list or past a field, and one that is none spoils the others.
    for (const mask of ['bootstrap.nosuch', 'bootstrap.node.id.x', 'static_clusters.cluster.name', 'bootstrap,static_clusters'])
      expect(dump({ mask })).toEqual({ status: 400, body: `FieldMask ${mask} could not be successfully applied to any configs.` })
    for (const mask of ['nosuch', 'cluster', 'cluster.nosuch', 'cluster.name,nosuch', 'cluster.load_assignment.endpoints.priority'])
      expect(dump({ resource: 'static_clusters', mask })).toMatchObject({ status: 400 })
    expect(dump({ mask: ',' })).toEqual(dump())
    expect(dump({ mask: 'foo' })).toEqual({ status: 400, body: 'FieldMask foo could not be successfully applied to any configs.' })
  })

  it('?name_regex= filters by the whole name', () => {
    const names = (nameRegex: string): JsonValue[] =>
      configs({ resource: 'dynamic_active_clusters', nameRegex }).map(config => (config['cluster'] as { name: string }).name)
    expect(names('a.*')).toEqual(['api'])
    expect(names('a')).toEqual([])
    expect(dump({ nameRegex: '(' })).toMatchObject({
      status: 400,
      body: expect.stringMatching(/^INVALID_ARGUMENT: Error while parsing name_regex from \(: /),
    })
  })
})

function anyOf(typeUrl: string, bytes: number[]) {
  return create(AnySchema, { typeUrl, value: Uint8Array.from(bytes) })
}
