// What Consul sends to a sidecar (both the older and the newer forms), decoded as dynamic resources without errors.

import { describe, expect, it } from 'vitest'
import {
  decodeClusterJson,
  decoded,
  decodeListenerJson,
  decodeRouteJson,
  endpointJson,
  errorsOf,
  hcm,
  httpFilter,
  type Json,
  listenerJson,
  networkFilter,
  router,
  TYPE,
  tls,
} from './messages.js'

const TRUST_DOMAIN = '11111111-2222-3333-4444-555555555555.consul'
const IDENTITY = (service: string): string => `^spiffe://${TRUST_DOMAIN}/ns/default/dc/[^/]+/svc/${service}$`
const leaf = {
  tls_certificates: [{ certificate_chain: { inline_string: 'CHAIN' }, private_key: { inline_string: 'KEY' } }],
  tls_params: {},
}
const publicTls = tls('Downstream', {
  common_tls_context: { ...leaf, validation_context: { trusted_ca: { inline_string: 'ROOTS' } }, alpn_protocols: ['http/1.1'] },
  require_client_certificate: true,
})
const principal = (service: string, older: boolean): Json => ({
  authenticated: { principal_name: { safe_regex: { ...(older ? { google_re2: {} } : {}), regex: IDENTITY(service) } } },
})
const rbac = (older: boolean): Json => ({
  policies: {
    'consul-intentions-layer4': {
      permissions: [{ any: true }],
      principals: [{ and_ids: { ids: [principal('web', older), { not_id: principal('batch', older) }] } }],
    },
    'consul-intentions-layer7-0': {
      permissions: [
        {
          and_rules: {
            rules: [
              { url_path: { path: { exact: '/admin' } } },
              { header: older ? { name: 'x', exact_match: 'y' } : { name: 'x', string_match: { exact: 'y' } } },
            ],
          },
        },
        {
          header: older
            ? { name: ':method', safe_regex_match: { google_re2: {}, regex: 'GET|POST' } }
            : { name: ':method', string_match: { safe_regex: { regex: 'GET|POST' } } },
        },
      ],
      principals: [principal('api', older)],
    },
  },
})
const HEADER_TO_METADATA = httpFilter('header_to_metadata.v3.Config', {
  request_rules: ['trust-domain', 'partition', 'namespace', 'datacenter', 'service'].map((key, i) => ({
    header: 'x-forwarded-client-cert',
    on_header_present: {
      metadata_namespace: 'consul',
      key,
      regex_value_rewrite: {
        pattern: { regex: '.*URI=spiffe://([^/]+.[^/]+)(?:/ap/([^/]+))?/ns/([^/]+)/dc/([^/]+)/svc/([^/;,]+).*' },
        substitution: `\\${i + 1}`,
      },
    },
  })),
})

describe.each([true, false])('Consul’s resources, older form: %s', older => {
  it('the public listener of an HTTP service', () => {
    const filters = [
      hcm({
        stat_prefix: 'public_listener',
        route_config: {
          name: 'public_listener',
          virtual_hosts: [
            { name: 'public_listener', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'local_app' } }] },
          ],
          ...(older ? { validate_clusters: false } : {}),
        },
        http_filters: [
          httpFilter('grpc_stats.v3.FilterConfig', { stats_for_all_methods: true }),
          httpFilter('grpc_http1_bridge.v3.Config'),
          httpFilter('rbac.v3.RBAC', { rules: rbac(older) }),
          HEADER_TO_METADATA,
          router(),
        ],
        tracing: { random_sampling: {} },
        forward_client_cert_details: 'APPEND_FORWARD',
        set_current_client_cert_details: { subject: true, cert: true, chain: true, dns: true, uri: true },
        upgrade_configs: [{ upgrade_type: 'websocket' }],
        normalize_path: true,
      }),
    ]
    const listener = decoded(
      decodeListenerJson(
        listenerJson(
          { filters, transport_socket: publicTls },
          {
            name: 'public_listener:0.0.0.0:21000',
            address: { socket_address: { address: '0.0.0.0', port_value: 21_000 } },
            traffic_direction: 'INBOUND',
          },
        ),
      ),
    )
    expect(listener).toMatchObject({ trafficDirection: 'INBOUND', unsupported: [] })
    const chain = listener.filterChains[0]!
    expect(chain.tls).toMatchObject({ requireClientCertificate: true, common: { alpnProtocols: ['http/1.1'], minVersion: 'TLSv1.2' } })
    expect(chain.filters[0]).toMatchObject({
      hcm: {
        xfccMode: 'APPEND_FORWARD',
        xfccDetails: { subject: true, cert: true, chain: true, dns: true, uri: true },
        normalizePath: true,
        upgrades: [{ upgradeType: 'websocket', enabled: true }],
      },
    })
    const kinds = chain.filters[0]?.kind === 'httpConnectionManager' ? chain.filters[0].hcm.httpFilters.map(filter => filter.kind) : []
    expect(kinds).toEqual(['grpcStats', 'grpcHttp1Bridge', 'rbac', 'headerToMetadata', 'router'])
  })

  it('the public listener of a TCP service, with RBAC first', () => {
    const filters = [
      networkFilter('rbac.v3.RBAC', {
        stat_prefix: 'connect_authz',
        rules: { policies: { 'consul-intentions-layer4': { permissions: [{ any: true }], principals: [principal('web', older)] } } },
      }),
      networkFilter('connection_limit.v3.ConnectionLimit', { stat_prefix: 'inbound_connection_limit', max_connections: 10 }),
      networkFilter('tcp_proxy.v3.TcpProxy', { stat_prefix: 'public_listener', cluster: 'local_app' }),
    ]
    const result = decodeListenerJson(
      listenerJson({ filters, transport_socket: publicTls }, { connection_balance_config: { exact_balance: {} } }),
    )
    expect(decoded(result).filterChains[0]!.filters.map(filter => filter.kind)).toEqual(['rbac', 'connectionLimit', 'tcpProxy'])
    expect(decoded(result).unsupported).toEqual(['connection_balance_config'])
  })

  it('an upstream cluster', () => {
    const name = `api.default.dc1.internal.${TRUST_DOMAIN}`
    const uri = `spiffe://${TRUST_DOMAIN}/ns/default/dc/dc1/svc/api`
    const sans = older
      ? { match_subject_alt_names: [{ exact: uri }] }
      : { match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: uri } }] }
    const http2 = older
      ? { http2_protocol_options: {} }
      : {
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': `${TYPE}envoy.extensions.upstreams.http.v3.HttpProtocolOptions`,
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        }
    const cluster = decoded(
      decodeClusterJson({
        name,
        alt_stat_name: name,
        type: 'EDS',
        eds_cluster_config: { eds_config: { ads: {}, resource_api_version: 'V3' } },
        connect_timeout: '5s',
        common_lb_config: { healthy_panic_threshold: {} },
        circuit_breakers: {},
        outlier_detection: {},
        ...http2,
        transport_socket: tls('Upstream', {
          sni: name,
          common_tls_context: { ...leaf, validation_context: { trusted_ca: { inline_string: 'ROOTS' }, ...sans } },
        }),
      }),
    )
    expect(cluster).toMatchObject({
      altStatName: name,
      healthyPanicPercent: 0,
      http: { protocol: 'http2' },
      outlier: { consecutive5xx: 5 },
      unsupported: [],
    })
    expect(cluster.tls).toMatchObject({ sni: name })
    expect(cluster.tls!.common.validation!.sanMatchers).toContainEqual({
      sanType: 'URI',
      matcher: { kind: 'exact', value: uri, ignoreCase: false },
    })
  })

  it('a route table with a split, matches and header changes', () => {
    const set = older ? { append: false } : { append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }
    const table = decoded(
      decodeRouteJson({
        name: 'api',
        ...(older ? { validate_clusters: true } : {}),
        virtual_hosts: [
          {
            name: 'api',
            domains: ['*'],
            routes: [
              {
                match: {
                  safe_regex: { ...(older ? { google_re2: {} } : {}), regex: '/v[0-9]+' },
                  query_parameters: [{ name: 'q', string_match: { exact: '1' } }],
                },
                route: {
                  cluster: 'x',
                  prefix_rewrite: '',
                  timeout: '0s',
                  retry_policy: { num_retries: 3, retry_on: 'connect-failure,retriable-status-codes', retriable_status_codes: [503] },
                },
                request_headers_to_add: [{ header: { key: 'x', value: 'y' }, ...set }],
              },
              {
                match: { prefix: '/' },
                route: {
                  weighted_clusters: {
                    clusters: [
                      { name: 'v1', weight: 9000 },
                      { name: 'v2', weight: 1000 },
                    ],
                    ...(older ? { total_weight: 10_000 } : {}),
                  },
                  hash_policy: [{ cookie: { name: 's', ttl: '0s', path: '/' }, terminal: true }],
                },
              },
            ],
          },
        ],
      }),
    )
    expect(table.validateClusters).toBe(older)
    const [first, second] = table.virtualHosts[0]!.routes
    expect(first!.mutations.requestAdd[0]).toEqual({ name: 'x', value: 'y', action: 'OVERWRITE_IF_EXISTS_OR_ADD', keepEmptyValue: false })
    expect(first!.action).toMatchObject({ timeoutMs: 0, retry: { numRetries: 3, retriableStatusCodes: [503] } })
    expect(second!.action).toMatchObject({ cluster: { kind: 'weighted', totalWeight: 10_000 } })
  })
})

describe('Consul’s other resources', () => {
  it('failover by an aggregate cluster', () => {
    const cluster = decoded(
      decodeClusterJson({
        name: 'api',
        alt_stat_name: 'api',
        connect_timeout: '5s',
        lb_policy: 'CLUSTER_PROVIDED',
        outlier_detection: {},
        cluster_type: {
          name: 'envoy.clusters.aggregate',
          typed_config: {
            '@type': `${TYPE}envoy.extensions.clusters.aggregate.v3.ClusterConfig`,
            clusters: ['failover-target~0~api', 'failover-target~1~api'],
          },
        },
      }),
    )
    expect(cluster).toMatchObject({
      lbPolicy: { kind: 'clusterProvided' },
      discovery: { kind: 'aggregate', clusters: ['failover-target~0~api', 'failover-target~1~api'] },
    })
  })

  it('a TCP service with builtin/ext-authz', () => {
    const authz = (config: Json): Json =>
      networkFilter('ext_authz.v3.ExtAuthz', { stat_prefix: 'response', transport_api_version: 'V3', ...config })
    const tcp = networkFilter('tcp_proxy.v3.TcpProxy', { stat_prefix: 'public_listener', cluster: 'local_app' })
    const service = { grpc_service: { envoy_grpc: { cluster_name: 'local_ext_authz' } } }
    const listener = decoded(decodeListenerJson(listenerJson({ filters: [authz({ ...service, failure_mode_allow: true }), tcp] })))
    expect(listener.filterChains[0]!.filters[0]).toMatchObject({
      kind: 'extAuthz',
      statPrefix: 'response',
      service: { cluster: 'local_ext_authz' },
      timeoutMs: 200,
      failureModeAllow: true,
      includePeerCertificate: false,
    })
    expect(errorsOf(decodeListenerJson(listenerJson({ filters: [authz({}), tcp] })))).toContain(
      'filter_chains[0].filters[0].typed_config.grpc_service: value is required',
    )
  })

  it('local_app behind a unix socket', () => {
    const assignment = {
      cluster_name: 'local_app',
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: '/run/app.sock' } } } }] }],
    }
    expect(
      decoded(decodeClusterJson({ name: 'local_app', type: 'STATIC', connect_timeout: '5s', load_assignment: assignment })).discovery,
    ).toMatchObject({
      assignment: { localities: [{ endpoints: [{ address: { kind: 'pipe', path: '/run/app.sock', mode: 0 } }] }] },
    })
  })

  it('an exposed path by source ranges', () => {
    const match = {
      source_prefix_ranges: [
        { address_prefix: '127.0.0.1', prefix_len: 8 },
        { address_prefix: '::1', prefix_len: 128 },
      ],
    }
    const listener = decoded(
      decodeListenerJson(listenerJson({ filter_chain_match: match, filters: [hcm()] }, { name: 'exposed_path_healthz:0.0.0.0:21500' })),
    )
    expect(listener.filterChains[0]!.match.sourcePrefixRanges).toEqual([
      { address: '127.0.0.1', prefixLength: 8 },
      { address: '::1', prefixLength: 128 },
    ])
  })

  it('a mesh gateway’s SNI passthrough', () => {
    const filters = [
      networkFilter('sni_cluster.v3.SniCluster'),
      networkFilter('tcp_proxy.v3.TcpProxy', { stat_prefix: 'mesh_gateway_local.default', cluster: '' }),
    ]
    expect(decoded(decodeListenerJson(listenerJson({ filters }))).filterChains[0]!.filters.map(filter => filter.kind)).toEqual([
      'sniCluster',
      'tcpProxy',
    ])
    const remote = [networkFilter('tcp_proxy.v3.TcpProxy', { stat_prefix: 'mesh_gateway_remote.dc2', cluster: 'dc2' })]
    const listener = decoded(
      decodeListenerJson(listenerJson({ filter_chain_match: { server_names: [`*.dc2.internal.${TRUST_DOMAIN}`] }, filters: remote })),
    )
    expect(listener.tlsInspector).toBe(true)
  })

  it('peered upstream through LOGICAL_DNS', () => {
    const assignment = { cluster_name: 'p', endpoints: [{ lb_endpoints: [endpointJson('gw.example.com', 443)] }] }
    expect(
      decoded(
        decodeClusterJson({
          name: 'p',
          type: 'LOGICAL_DNS',
          dns_lookup_family: 'V4_ONLY',
          dns_refresh_rate: '10s',
          respect_dns_ttl: true,
          load_assignment: assignment,
        }),
      ).discovery,
    ).toMatchObject({
      kind: 'logicalDns',
      dns: { family: 'V4_ONLY', refreshMs: 10_000, respectTtl: true },
    })
  })
})
