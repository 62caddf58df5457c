// Bootstraps of the bench rows: Outrigger and Envoy get the same file. Each function takes the ports of the run and what its row varies.

const h2Options = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: { http2_protocol_options: {} },
  },
}
const autoOptions = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    auto_config: { http_protocol_options: {}, http2_protocol_options: {} },
  },
}

/** By the stream that the proxy has open already. */
export const adsSource = { ads: {}, resource_api_version: 'V3' }

const router = {
  name: 'envoy.filters.http.router',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
}

/** What Consul makes of intentions: one principal a source, as a regex over the SPIFFE id. */
function rbac(regexes) {
  return {
    name: 'envoy.filters.http.rbac',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC',
      rules: {
        action: 'ALLOW',
        policies: {
          'consul-intentions-layer4': {
            permissions: [{ any: true }],
            principals: regexes.map(regex => ({ authenticated: { principal_name: { safe_regex: { google_re2: {}, regex } } } })),
          },
        },
      },
    },
  }
}

export function hcm(statPrefix, cluster, extra = {}, filters = [], routes = null) {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      stat_prefix: statPrefix,
      route_config: {
        name: statPrefix,
        virtual_hosts: [{ name: statPrefix, domains: ['*'], routes: routes ?? [{ match: { prefix: '/' }, route: { cluster } }] }],
      },
      http_filters: [...filters, router],
      ...extra,
    },
  }
}

function tcpProxy(name, target, more = {}) {
  return {
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
      stat_prefix: name,
      cluster: target,
      ...more,
    },
  }
}

export function listener(name, port, filter, tls, direction) {
  return {
    name,
    traffic_direction: direction,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [filter], ...(tls ? { transport_socket: tls } : {}) }],
  }
}

export function cluster(name, port, options, tls) {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '5s',
    // Out of the way: with Envoy's default of 1024 a bench of more connections would measure overflow.
    circuit_breakers: { thresholds: [{ max_connections: 100000, max_pending_requests: 100000, max_requests: 100000, max_retries: 100 }] },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }] }],
    },
    ...(options ? { typed_extension_protocol_options: options } : {}),
    ...(tls ? { transport_socket: tls } : {}),
  }
}

function downstreamTls(certs, alpn) {
  return {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      require_client_certificate: true,
      common_tls_context: {
        ...(alpn ? { alpn_protocols: alpn } : {}),
        tls_certificates: [{ certificate_chain: { inline_string: certs.server.chain }, private_key: { inline_string: certs.server.key } }],
        validation_context: { trusted_ca: { inline_string: certs.ca } },
      },
    },
  }
}

function upstreamTls(certs, resume = true) {
  return {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      sni: `api.default.dc1.internal.${certs.trustDomain}`,
      ...(resume ? {} : { max_session_keys: 0 }),
      common_tls_context: {
        tls_certificates: [{ certificate_chain: { inline_string: certs.client.chain }, private_key: { inline_string: certs.client.key } }],
        validation_context: {
          trusted_ca: { inline_string: certs.ca },
          match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: certs.server.uri } }],
        },
      },
    },
  }
}

function bootstrap(adminPort, listeners, clusters) {
  return {
    node: { id: 'bench', cluster: 'bench' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
    static_resources: { listeners, clusters },
  }
}

/** One process, one hop. `http2Up`: the cluster speaks HTTP/2; `websocket`: upgrades pass; `routes`: instead of the one for all paths. */
export function oneHop({ port, origin, admin, http2Up, websocket, routes }) {
  const extra = websocket ? { upgrade_configs: [{ upgrade_type: 'websocket' }] } : {}
  return bootstrap(
    admin,
    [listener('in', port, hcm('bench', 'origin', extra, [], routes ?? null))],
    [cluster('origin', origin, http2Up ? h2Options : null)],
  )
}

/** A plain TCP proxy. */
export function tcpHop({ port, origin, admin }) {
  return bootstrap(admin, [listener('in', port, tcpProxy('in', 'origin'))], [cluster('origin', origin)])
}

/** `count` more static clusters beside the one that serves. */
export function manyClusters({ port, origin, admin, count }) {
  const more = Array.from({ length: count }, (_, i) => cluster(`service-${i}`, origin))
  return bootstrap(admin, [listener('in', port, hcm('bench', 'origin'))], [cluster('origin', origin), ...more])
}

/** Everything by ADS from `xds`; the clusters and listeners come from management-server.mjs. */
export function fromManagementServer({ admin, xds }) {
  const services = [{ envoy_grpc: { cluster_name: 'xds' } }]
  return {
    ...bootstrap(admin, [], [cluster('xds', xds, h2Options)]),
    dynamic_resources: {
      ads_config: { api_type: 'DELTA_GRPC', transport_api_version: 'V3', grpc_services: services },
      cds_config: adsSource,
      lds_config: adsSource,
    },
  }
}

/** Two hops in one process: client -> out -> mTLS -> in -> origin, with RBAC, routes and stats on, as Consul would configure it. */
export function mtlsPair({ port, innerPort, origin, admin, certs, mesh, http2Up, sources = 1 }) {
  const alpn = mesh === 'h1' ? ['http/1.1'] : ['h2', 'http/1.1']
  const middle = mesh === 'auto' ? autoOptions : mesh === 'h2' ? h2Options : null
  const allowed = name => `^spiffe://${certs.trustDomain}/ns/default/dc/[^/]+/svc/${name}$`
  const others = Array.from({ length: sources - 1 }, (_, i) => allowed(`client-${i}`))
  return bootstrap(
    admin,
    [
      listener('web:127.0.0.1', port, hcm('upstream.api.default.default.dc1', 'api'), null, 'OUTBOUND'),
      listener(
        'public_listener:127.0.0.1',
        innerPort,
        hcm(
          'public_listener',
          'local_app',
          {
            forward_client_cert_details: 'APPEND_FORWARD',
            set_current_client_cert_details: { subject: true, uri: true },
            normalize_path: true,
          },
          [rbac([...others, allowed('web')])],
        ),
        downstreamTls(certs, alpn),
        'INBOUND',
      ),
    ],
    [cluster('api', innerPort, middle, upstreamTls(certs)), cluster('local_app', origin, http2Up ? h2Options : null)],
  )
}

/** TCP through an mTLS pair; with `tunnel` in CONNECT streams of shared HTTP/2 connections instead of a TLS connection each. */
export function tcpPair({ port, innerPort, origin, admin, certs, tunnel, resume = true }) {
  const ending = hcm(
    'in',
    'local_app',
    { http2_protocol_options: { allow_connect: true }, upgrade_configs: [{ upgrade_type: 'CONNECT' }] },
    [],
    [
      {
        match: { connect_matcher: {} },
        route: { cluster: 'local_app', timeout: '0s', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
      },
    ],
  )
  return bootstrap(
    admin,
    [
      listener('out', port, tcpProxy('out', 'api', tunnel ? { tunneling_config: { hostname: 'db.internal:5432' } } : {})),
      listener('in', innerPort, tunnel ? ending : tcpProxy('in', 'local_app'), downstreamTls(certs, tunnel ? ['h2'] : null)),
    ],
    [cluster('api', innerPort, tunnel ? h2Options : null, upstreamTls(certs, resume)), cluster('local_app', origin)],
  )
}
