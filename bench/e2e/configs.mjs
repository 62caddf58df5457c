// Proxy configs of the bench rows. Outrigger and Envoy get the same bootstrap file; the others get what their users would write.

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

const router = {
  name: 'envoy.filters.http.router',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
}

function rbac(principal) {
  return {
    name: 'envoy.filters.http.rbac',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC',
      rules: {
        action: 'ALLOW',
        policies: {
          'consul-intentions-layer4': {
            permissions: [{ any: true }],
            principals: [{ authenticated: { principal_name: { safe_regex: { google_re2: {}, regex: principal } } } }],
          },
        },
      },
    },
  }
}

function hcm(statPrefix, cluster, extra = {}, filters = [], routes = null) {
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

function listener(name, port, filter, tls, direction) {
  return {
    name,
    traffic_direction: direction,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [filter], ...(tls ? { transport_socket: tls } : {}) }],
  }
}

function cluster(name, port, options, tls) {
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

function upstreamTls(certs) {
  return {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      sni: 'api.default.dc1.internal.test.consul',
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

/** One process, one hop. `http2Down` only affects the load; `http2Up` the cluster. */
export function oneHop({ port, origin, admin, http2Up }) {
  return bootstrap(admin, [listener('in', port, hcm('bench', 'origin'))], [cluster('origin', origin, http2Up ? h2Options : null)])
}

/** Two hops in one process: client -> out -> mTLS -> in -> origin, with RBAC, routes and stats on, as Consul would configure it. */
export function mtlsPair({ port, innerPort, origin, admin, certs, mesh, http2Down, http2Up }) {
  const alpn = mesh === 'h1' ? ['http/1.1'] : ['h2', 'http/1.1']
  const middle = mesh === 'auto' ? autoOptions : mesh === 'h2' ? h2Options : null
  void http2Down
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
          [rbac('^spiffe://test.consul/ns/default/dc/[^/]+/svc/web$')],
        ),
        downstreamTls(certs, alpn),
        'INBOUND',
      ),
    ],
    [cluster('api', innerPort, middle, upstreamTls(certs)), cluster('local_app', origin, http2Up ? h2Options : null)],
  )
}

/** TCP through an mTLS pair; with `tunnel` in CONNECT streams of shared HTTP/2 connections instead of a TLS connection each. */
export function tcpPair({ port, innerPort, origin, admin, certs, tunnel }) {
  const proxy = (name, target, more = {}) => ({
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
      stat_prefix: name,
      cluster: target,
      ...more,
    },
  })
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
      listener('out', port, proxy('out', 'api', tunnel ? { tunneling_config: { hostname: 'db.internal:5432' } } : {})),
      listener('in', innerPort, tunnel ? ending : proxy('in', 'local_app'), downstreamTls(certs, tunnel ? ['h2'] : null)),
    ],
    [cluster('api', innerPort, tunnel ? h2Options : null, upstreamTls(certs)), cluster('local_app', origin)],
  )
}

export function nginxConfig({ port, innerPort, origin, certs, dir, pair }) {
  const common = 'access_log off; keepalive_requests 100000000; keepalive_timeout 3600s;'
  const up = (name, target) => `upstream ${name} { server 127.0.0.1:${target}; keepalive 512; keepalive_requests 100000000; }`
  const location = (target, extra = '') =>
    `location / { proxy_pass ${target}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; ${extra} }`
  const servers = pair
    ? `${up('inner', innerPort)} ${up('origin', origin)}
       server { listen 127.0.0.1:${port}; ${location('https://inner', `proxy_ssl_certificate ${dir}/client.pem; proxy_ssl_certificate_key ${dir}/client.key; proxy_ssl_trusted_certificate ${dir}/ca.pem; proxy_ssl_verify off; proxy_ssl_protocols TLSv1.3;`)} }
       server { listen 127.0.0.1:${innerPort} ssl; ssl_certificate ${dir}/server.pem; ssl_certificate_key ${dir}/server.key; ssl_client_certificate ${dir}/ca.pem; ssl_verify_client on; ssl_protocols TLSv1.3; ${location('http://origin')} }`
    : `${up('origin', origin)} server { listen 127.0.0.1:${port}; ${location('http://origin')} }`
  void certs
  return `daemon off; worker_processes 1; error_log stderr crit; pid ${dir}/nginx.pid; events { worker_connections 4096; }
http { ${common} client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s; ${servers} }`
}

export function haproxyConfig({ port, innerPort, origin, dir, pair, tcp }) {
  const mode = tcp ? 'tcp' : 'http'
  const head = `global
  nbthread 1
  maxconn 4000
defaults
  mode ${mode}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  ${tcp ? '' : 'option http-keep-alive'}
`
  if (!pair) return `${head}listen in\n  bind 127.0.0.1:${port}\n  server origin 127.0.0.1:${origin} maxconn 10000\n`
  return `${head}listen out
  bind 127.0.0.1:${port}
  server inner 127.0.0.1:${innerPort} ssl crt ${dir}/client.both.pem ca-file ${dir}/ca.pem verify required ssl-min-ver TLSv1.3 alpn http/1.1
listen inner
  bind 127.0.0.1:${innerPort} ssl crt ${dir}/server.both.pem ca-file ${dir}/ca.pem verify required ssl-min-ver TLSv1.3 alpn http/1.1
  server origin 127.0.0.1:${origin}
`
}
