import { describe, expect, it } from 'vitest'
import { parseBootstrap } from '../../src/xds/bootstrap.js'
import {
  bootstrapJson,
  clusterJson,
  decoded,
  errorsOf,
  hcm,
  httpFilter,
  type Json,
  listenerJson,
  networkFilter,
  routeJson,
  router,
  TYPE,
  tls,
} from './resources/messages.js'

const parse = (json: Json) => parseBootstrap(JSON.stringify(json))

/** As `consul connect envoy -bootstrap` prints it, shortened. */
const CONSUL_BOOTSTRAP = {
  admin: { access_log_path: '/dev/null', address: { socket_address: { address: '127.0.0.1', port_value: 19_000 } } },
  node: { cluster: 'web', id: 'web-sidecar-proxy', metadata: { namespace: 'default', partition: 'default' } },
  layered_runtime: { layers: [{ name: 'base', static_layer: { 're2.max_program_size.error_level': 1_048_576 } }] },
  static_resources: {
    clusters: [
      {
        name: 'local_agent',
        ignore_health_on_host_removal: false,
        connect_timeout: '1s',
        type: 'STATIC',
        http2_protocol_options: {},
        loadAssignment: {
          clusterName: 'local_agent',
          endpoints: [{ lbEndpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: 8502 } } } }] }],
        },
      },
    ],
  },
  stats_config: {
    stats_tags: [
      {
        regex:
          '^cluster\\.(?:passthrough~)?((?:([^.]+)~)?(?:[^.]+\\.)?[^.]+\\.[^.]+\\.(?:[^.]+\\.)?[^.]+\\.internal[^.]*\\.[^.]+\\.consul\\.)',
        tag_name: 'consul.destination.custom_hash',
      },
      { tag_name: 'local_cluster', fixed_value: 'web' },
    ],
    use_all_default_tags: true,
  },
  dynamic_resources: {
    lds_config: { ads: {}, resource_api_version: 'V3' },
    cds_config: { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' },
    ads_config: {
      api_type: 'DELTA_GRPC',
      transport_api_version: 'V3',
      grpc_services: { initial_metadata: [{ key: 'x-consul-token', value: 'secret' }], envoy_grpc: { cluster_name: 'local_agent' } },
    },
  },
}

describe('parseBootstrap', () => {
  it('reads what Consul writes', () => {
    // Consul's template gives grpc_services as one object, which Envoy's JSON reader takes for a list of one.
    const bootstrap = decoded(parse(CONSUL_BOOTSTRAP))
    expect(bootstrap).toMatchObject({
      node: { id: 'web-sidecar-proxy', cluster: 'web', metadata: { namespace: 'default', partition: 'default' }, locality: { region: '' } },
      ads: {
        apiType: 'DELTA_GRPC',
        services: [{ cluster: 'local_agent', initialMetadata: [{ key: 'x-consul-token', value: 'secret' }] }],
        setNodeOnFirstMessageOnly: false,
      },
      lds: { source: { kind: 'ads' }, initialFetchTimeoutMs: 15_000 },
      cds: { source: { kind: 'ads' }, initialFetchTimeoutMs: 0 },
      admin: { address: { port: 19_000 } },
      stats: { useAllDefaultTags: true, rejectAll: false, inclusion: null, exclusion: null },
      statsFlushIntervalMs: 5000,
      clusters: [{ name: 'local_agent', http: { protocol: 'http2' }, connectTimeoutMs: 1000 }],
    })
    expect(bootstrap.runtime[0]!.values.get('re2.max_program_size.error_level')).toBe(1_048_576)
    expect(bootstrap.stats.tags).toEqual([
      { name: 'consul.destination.custom_hash', regex: expect.stringMatching(/^\^cluster/), fixedValue: null },
      { name: 'local_cluster', regex: null, fixedValue: 'web' },
    ])
  })

  it('takes YAML, with YAML 1.1 booleans in plain scalars, anchors and merge keys', () => {
    const bootstrap = decoded(
      parseBootstrap(`
node: {id: "yes", cluster: b}
stats_config: {use_all_default_tags: no}
static_resources:
  clusters:
  - &base
    name: a
    type: STATIC
    connect_timeout: 0.25s
    respect_dns_ttl: off
  - <<: *base
    name: b
`),
    )
    expect(bootstrap.node.id).toBe('yes')
    expect(bootstrap.stats.useAllDefaultTags).toBe(false)
    expect(bootstrap.clusters.map(cluster => [cluster.name, cluster.connectTimeoutMs])).toEqual([
      ['a', 250],
      ['b', 250],
    ])
  })

  it('takes the forms that Envoy’s readers take beyond ProtoJSON and YAML 1.2', () => {
    const text = `
node: {id: a, id: b}
static_resources:
  clusters:
    name: c
    type: strict-dns
    dns_lookup_family: "1"
    respect_dns_ttl: "true"
    per_connection_buffer_limit_bytes: {value: "1e2"}
    load_assignment: {cluster_name: c, endpoints: {lb_endpoints: {endpoint: {address: {pipe: {path: /s, mode: 0600}}}}}}
`
    const bootstrap = decoded(parseBootstrap(text))
    expect(bootstrap.node.id).toBe('b')
    expect(bootstrap.clusters[0]).toMatchObject({
      perConnectionBufferLimitBytes: 100,
      discovery: {
        kind: 'strictDns',
        dns: { family: 'V4_ONLY', respectTtl: true },
        assignment: { localities: [{ endpoints: [{ address: { kind: 'pipe', mode: 0o600 } }] }] },
      },
    })
  })

  it('takes camelCase and snake_case', () => {
    expect(
      decoded(parse({ staticResources: { clusters: [{ name: 'c', connectTimeout: '2s', load_assignment: { clusterName: 'c' } }] } }))
        .clusters[0]!.connectTimeoutMs,
    ).toBe(2000)
  })

  it('merges --config-yaml over the file as protobuf merges: scalars replaced, messages merged, lists appended', () => {
    const file = {
      node: { id: 'a', cluster: 'b', locality: { zone: 'z' } },
      static_resources: { clusters: [clusterJson({ name: 'one' })] },
    }
    const overlay = 'node: {id: other}\nstatic_resources: {clusters: [{name: two}]}\nadmin: {address: {pipe: {path: /admin}}}'
    const bootstrap = decoded(parseBootstrap([JSON.stringify(file), overlay]))
    expect(bootstrap.node).toMatchObject({ id: 'other', cluster: 'b', locality: { zone: 'z' } })
    expect(bootstrap.clusters.map(cluster => cluster.name)).toEqual(['one', 'two'])
    expect(bootstrap.admin!.address).toEqual({ kind: 'pipe', path: '/admin', mode: 0 })
  })

  it('lists what has no effect, for each resource and for all', () => {
    const bootstrap = decoded(
      parse(
        bootstrapJson(listenerJson(undefined, { freebind: true }), clusterJson({ track_timeout_budgets: true }), {
          enable_dispatcher_stats: true,
        }),
      ),
    )
    expect(bootstrap.listeners[0]!.unsupported).toEqual(['freebind'])
    expect(bootstrap.clusters[0]!.unsupported).toEqual(['track_timeout_budgets'])
    expect(bootstrap.unsupported).toEqual([
      'static_resources.listeners[0].freebind',
      'static_resources.clusters[0].track_timeout_budgets',
      'enable_dispatcher_stats',
    ])
  })

  it('takes fields of Envoy 1.40 that are younger than the .proto files of grpc-js-xds', () => {
    const bootstrap = decoded(
      parse(
        bootstrapJson(
          undefined,
          clusterJson({
            transport_socket: tls('Upstream', { auto_host_sni: true }),
            common_http_protocol_options: { max_response_headers_kb: 300 },
          }),
        ),
      ),
    )
    expect(bootstrap.clusters[0]).toMatchObject({
      tls: { autoHostSni: true, autoSniSanValidation: false },
      http: { common: { maxResponseHeadersKb: 300 } },
    })
    expect(parse(bootstrapJson(undefined, clusterJson({ transport_socket: tls('Upstream', { auto_host_sni: 'x' }) })))).toMatchObject({
      errors: [{ path: 'static_resources.clusters[0].transport_socket.typed_config.auto_host_sni', reason: 'expected boolean, got "x"' }],
    })
  })

  it('reads, lists or refuses those by name', () => {
    const withRoute = (route: Record<string, unknown>) =>
      parse(bootstrapJson(listenerJson({ filters: [hcm({ route_config: routeJson(route) })] })))
    const cookie = { name: 'v', string_match: { exact: '2' }, invert_match: true }
    const listener = decoded(withRoute({ match: { prefix: '/', cookies: [cookie] }, request_body_buffer_limit: 1 })).listeners[0]!
    const filter = listener.filterChains[0]!.filters[0]!
    expect(filter).toMatchObject({
      hcm: {
        routeTable: {
          virtualHosts: [{ routes: [{ match: { cookies: [{ name: 'v', matcher: { kind: 'exact', value: '2' }, invert: true }] } }] }],
        },
      },
    })
    expect(listener.unsupported).toEqual([expect.stringMatching(/request_body_buffer_limit$/)])
    expect(withRoute({ match: { prefix: '/' }, route: { cluster: 'c', path_rewrite: '/%REQ(a)%' } }).ok).toBe(true)
    expect(errorsOf(withRoute({ match: { prefix: '/' }, route: { cluster: 'c', path_rewrite: '/%NO(a)%' } }))).toEqual([
      expect.stringMatching(/path_rewrite: .*NO/),
    ])
    expect(errorsOf(withRoute({ match: { prefix: '/', filter_state: [{ key: 'a', string_match: { exact: 'b' } }] } }))).toHaveLength(1)
  })

  it('takes node id and cluster from the command line', () => {
    const json = { ...bootstrapJson(), dynamic_resources: { cds_config: { path_config_source: { path: '/' } } } }
    expect(errorsOf(parse(json))).toEqual([expect.stringMatching(/^node: node 'id' and 'cluster' are required/)])
    expect(decoded(parseBootstrap(JSON.stringify(json), { serviceNode: 'n', serviceCluster: 'c' })).node).toMatchObject({
      id: 'n',
      cluster: 'c',
    })
  })

  it('flattens the layers of the runtime, and keeps where RTDS layers come from', () => {
    const layers = [
      { name: 'a', static_layer: { x: { y: 1 }, z: true, f: { numerator: 5, denominator: 'TEN_THOUSAND' } } },
      { name: 'admin', admin_layer: {} },
      { name: 'b', static_layer: { 'x.y': 2 } },
      { name: 'r', rtds_layer: { name: 'run', rtds_config: { ads: {}, initial_fetch_timeout: '1s' } } },
    ]
    const { runtime } = decoded(parse({ layered_runtime: { layers } }))
    expect(runtime.map(({ name, values }) => [name, ...values])).toEqual([
      ['a', ['x.y', 1], ['z', true], ['f', 0.05]],
      ['admin'],
      ['b', ['x.y', 2]],
      ['r'],
    ])
    expect(runtime[3]!.rtds).toEqual({ name: 'run', source: { kind: 'ads' }, initialFetchTimeoutMs: 1000 })
  })
})

describe('parseBootstrap refuses, naming the field', () => {
  it('text that is not YAML', () => {
    const errors = errorsOf(parseBootstrap('static_resources: [\n  a: b: c'))
    expect(errors[0]).toMatch(/^: not valid YAML or JSON: .* at line \d+, column \d+/)
  })

  it('a document that is no mapping', () => {
    expect(errorsOf(parseBootstrap('- a\n- b'))).toEqual([': expected an object, got a list'])
    expect(errorsOf(parseBootstrap('just text'))).toEqual([': expected an object, got a string'])
  })

  it('YAML aliases that would expand without bound (billion laughs)', () => {
    const levels = Array.from({ length: 30 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(10).fill(`*l${i}`).join(', ')}]`)
    expect(errorsOf(parseBootstrap(`l0: &l0 x\n${levels.join('\n')}\n`))[0]).toMatch(/^: not valid YAML or JSON: Excessive alias count/)
  })

  const cases: [what: string, json: Json, errors: (string | RegExp)[]][] = [
    [
      'an unknown field',
      { static_resources: { clusters: [{ name: 'c', conect_timeout: '1s' }] } },
      ['static_resources.clusters[0].conect_timeout: unknown field: envoy.config.cluster.v3.Cluster has no such field'],
    ],
    [
      'an unknown field inside an Any',
      bootstrapJson(listenerJson({ filters: [networkFilter('tcp_proxy.v3.TcpProxy', { stat_prefix: 'a', cluster: 'c', foo: 1 })] })),
      [
        'static_resources.listeners[0].filter_chains[0].filters[0].typed_config.foo: unknown field: envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy has no such field',
      ],
    ],
    [
      'a missing field',
      bootstrapJson(listenerJson({ filters: [networkFilter('tcp_proxy.v3.TcpProxy', { cluster: 'c' })] })),
      ['static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stat_prefix: value length must be at least 1 characters'],
    ],
    [
      'an unknown filter',
      bootstrapJson(listenerJson({ filters: [networkFilter('mysql_proxy.v3.MySQLProxy', { stat_prefix: 'a' }, 'db')] })),
      [
        /^static_resources\.listeners\[0\]\.filter_chains\[0\]\.filters\[0\]\.typed_config: unknown filter 'db' \(type\.googleapis\.com\/envoy\.extensions\.filters\.network\.mysql_proxy/,
      ],
    ],
    [
      'a wrong type',
      { static_resources: { clusters: [{ name: 'c', connect_timeout: 5 }] } },
      [/^static_resources\.clusters\[0\]\.connect_timeout: /],
    ],
    ['a bad enum name', { static_resources: { clusters: [{ name: 'c', type: 'STATICC' }] } }, [/^static_resources\.clusters\[0\]\.type: /]],
    ['a list for an object', { static_resources: [] }, ['static_resources: expected an object, got a list']],
    [
      'both members of a oneof',
      { static_resources: { clusters: [{ name: 'c', type: 'STATIC', cluster_type: { name: 'x' } }] } },
      [/cluster_type: another field of cluster_discovery_type is already set/, /unknown cluster type 'x'/],
    ],
    [
      'one field in both spellings',
      { node: { id: 'a', userAgentName: 'b', user_agent_name: 'c' } },
      ['node.user_agent_name: field is given twice'],
    ],
    [
      'a route to an unknown cluster',
      bootstrapJson(listenerJson({ filters: [hcm()] }), clusterJson({ name: 'other' })),
      [
        "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes[0].route.cluster: route: unknown cluster 'c'",
      ],
    ],
    [
      'an unknown static secret',
      bootstrapJson(
        undefined,
        clusterJson({
          transport_socket: tls('Upstream', { common_tls_context: { validation_context_sds_secret_config: { name: 'ca' } } }),
        }),
      ),
      [
        'static_resources.clusters[0].transport_socket.typed_config.common_tls_context.validation_context_sds_secret_config: unknown static secret: ca',
      ],
    ],
    [
      'secrets of listeners that could never come: static ones that there are not, and ADS without ads_config',
      bootstrapJson(
        listenerJson({
          filters: [
            hcm({
              http_filters: [
                httpFilter('credential_injector.v3.CredentialInjector', {
                  credential: {
                    name: 'generic',
                    typed_config: {
                      '@type': `${TYPE}envoy.extensions.http.injected_credentials.generic.v3.Generic`,
                      credential: { name: 'token', sds_config: { ads: {}, resource_api_version: 'V3' } },
                    },
                  },
                }),
                router(),
              ],
            }),
          ],
          transport_socket: tls('Downstream', {
            common_tls_context: { tls_certificates: [{ certificate_chain: { filename: 'c' }, private_key: { filename: 'k' } }] },
            session_ticket_keys_sds_secret_config: { name: 'keys' },
          }),
        }),
      ),
      [
        'static_resources.listeners[0].filter_chains[0].transport_socket.typed_config.session_ticket_keys_sds_secret_config: unknown static secret: keys',
        'static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.credential.typed_config.credential.sds_config.ads: ads_config is required in the bootstrap',
      ],
    ],
    [
      'an xDS cluster that is not static',
      {
        ...bootstrapJson(),
        node: { id: 'a', cluster: 'b' },
        dynamic_resources: {
          ads_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'zz' } }] },
        },
      },
      [/^dynamic_resources\.ads_config\.grpc_services\[0\]\.envoy_grpc\.cluster_name: must have a statically defined/],
    ],
    [
      'a duplicate cluster',
      { static_resources: { clusters: [clusterJson(), clusterJson()] } },
      ["static_resources.clusters[1].name: duplicate cluster 'c'"],
    ],
    [
      'an unknown local cluster',
      { cluster_manager: { local_cluster_name: 'l' } },
      ["cluster_manager.local_cluster_name: local cluster 'l' must be defined"],
    ],
    [
      'a tag regex that is none',
      { stats_config: { stats_tags: [{ tag_name: 't', regex: '(' }] } },
      [/^stats_config\.stats_tags\[0\]\.regex: invalid regex/],
    ],
    [
      'a host name as admin address',
      { admin: { address: { socket_address: { address: 'localhost', port_value: 1 } } } },
      [/^admin\.address\.socket_address\.address: malformed IP address/],
    ],
  ]
  for (const [what, json, errors] of cases) {
    it(what, () => {
      const found = errorsOf(parse(json))
      expect(found).toEqual(errors.map(error => (typeof error === 'string' ? error : expect.stringMatching(error))))
    })
  }

  it('JSON nested deeper than protobuf allows', () => {
    let rule: Json = { any: true }
    for (let i = 0; i < 120; i++) rule = { not_rule: rule }
    const filters = [
      networkFilter('rbac.v3.RBAC', { stat_prefix: 'a', rules: { policies: { p: { permissions: [rule], principals: [{ any: true }] } } } }),
      networkFilter('echo.v3.Echo'),
    ]
    expect(errorsOf(parse(bootstrapJson(listenerJson({ filters })))).join()).toMatch(/nested deeper than 100 levels/)
  })

  it('keys that try to reach the prototype (CVE-2018-16487 and its like)', () => {
    const result = parseBootstrap(
      '{"__proto__": {"polluted": 1}, "node": {"id": "a", "metadata": {"__proto__": {"x": 1}, "constructor": {"y": 1}}}}',
    )
    expect(errorsOf(result)).toEqual(['__proto__: unknown field: envoy.config.bootstrap.v3.Bootstrap has no such field'])
    expect(({} as { polluted?: number; x?: number }).polluted ?? ({} as { x?: number }).x).toBeUndefined()
  })
})
