// Two bootstraps and the traffic through them, for the comparison of stat names with the real Envoy: `small` is one listener and one
// cluster; `rich` has a bit of each thing that counts. Both proxies get the same ones, with ports of their own.
import net from 'node:net'
import type tls from 'node:tls'
import { Http1Client } from './http1-client.js'
import { AnyCa, clientOptions, downstreamTls, spiffe } from './mesh-certificates.js'
import { HttpOrigin, TcpOrigin } from './origins.js'
import {
  fileAccessLog,
  freePort,
  hcm,
  httpRbac,
  listener,
  networkRbac,
  router,
  socketAddress,
  staticCluster,
  tcpProxy,
  typed,
} from './proxy-process.js'

export interface World {
  readonly bootstrap: object
  /** Ports as they stand in stat names: `127.0.0.1_<port>`. */
  readonly ports: ReadonlyMap<string, number>
  traffic(): Promise<void>
}

const ca = new AnyCa()
const leaf = ca.leaf({ uris: [spiffe('api')], usages: ['clientAuth', 'serverAuth'] })

export const origin = new HttpOrigin()
export const echo = new TcpOrigin(socket => socket.on('data', chunk => void socket.write(chunk)))

async function ask(port: number, path: string, headers = ''): Promise<number> {
  const client = await Http1Client.connect(port)
  try {
    return (await client.send(`GET ${path} HTTP/1.1\r\nhost: test\r\n${headers}\r\n`)).status
  } finally {
    client.destroy()
  }
}

export async function smallWorld(): Promise<World> {
  const port = await freePort()
  return {
    bootstrap: {
      static_resources: {
        listeners: [
          listener('front', port, [
            hcm({
              stat_prefix: 'ingress',
              route_config: {
                name: 'r',
                virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] }],
              },
            }),
          ]),
        ],
        clusters: [staticCluster('app', origin.port)],
      },
    },
    ports: new Map([['front', port]]),
    traffic: async () => {
      for (let i = 0; i < 3; i++) await ask(port, '/')
    },
  }
}

export async function richWorld(): Promise<World> {
  const [front, secure, tcp, proxied, dead] = [await freePort(), await freePort(), await freePort(), await freePort(), await freePort()]
  const route = (prefix: string, cluster: string, more: object = {}): object => ({ match: { prefix }, route: { cluster, ...more } })
  const routes = {
    name: 'r',
    virtual_hosts: [
      {
        name: 'v',
        domains: ['*'],
        virtual_clusters: [{ name: 'gets', headers: [{ name: ':method', string_match: { exact: 'GET' } }] }],
        routes: [
          { ...route('/counted', 'app'), stat_prefix: 'counted' },
          route('/dead', 'dead', { retry_policy: { retry_on: 'connect-failure', num_retries: 1 } }),
          route('/http2', 'app2'),
          route('/checked', 'checked'),
          route('/zoned', 'zoned'),
          { match: { prefix: '/moved' }, redirect: { path_redirect: '/elsewhere' } },
          { match: { prefix: '/here' }, direct_response: { status: 200, body: { inline_string: 'here' } } },
          route('/', 'app'),
        ],
      },
    ],
  }
  const allow = { action: 'ALLOW', policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } } }
  const filters = [
    httpRbac(allow),
    typed('envoy.filters.http.cors', 'filters.http.cors.v3.Cors'),
    typed('envoy.filters.http.fault', 'filters.http.fault.v3.HTTPFault'),
    typed('envoy.filters.http.local_ratelimit', 'filters.http.local_ratelimit.v3.LocalRateLimit', { stat_prefix: 'limit' }),
    typed('envoy.filters.http.buffer', 'filters.http.buffer.v3.Buffer', { max_request_bytes: 65536 }),
    typed('envoy.filters.http.grpc_stats', 'filters.http.grpc_stats.v3.FilterConfig', { emit_filter_state: true }),
    router,
  ]
  const tlsInspector = typed('envoy.filters.listener.tls_inspector', 'filters.listener.tls_inspector.v3.TlsInspector')
  const httpInspector = typed('envoy.filters.listener.http_inspector', 'filters.listener.http_inspector.v3.HttpInspector')
  const proxyProtocol = typed('envoy.filters.listener.proxy_protocol', 'filters.listener.proxy_protocol.v3.ProxyProtocol')
  const check = { timeout: '1s', interval: '60s', unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: '/healthz' } }
  const http2 = {
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  }
  return {
    bootstrap: {
      node: { id: 'n', cluster: 'c', locality: { region: 'r', zone: 'here' } },
      layered_runtime: { layers: [{ name: 'static', static_layer: { some: { key: 1 } } }] },
      static_resources: {
        listeners: [
          listener(
            'front',
            front,
            [hcm({ stat_prefix: 'ingress', route_config: routes, access_log: [fileAccessLog('%RESPONSE_CODE%')] }, filters)],
            {
              listener_filters: [httpInspector],
            },
          ),
          listener(
            'secure',
            secure,
            [networkRbac(allow, 'net'), hcm({ stat_prefix: 'secure', route_config: routes })],
            { listener_filters: [tlsInspector] },
            { transport_socket: downstreamTls(leaf, ca.pem) },
          ),
          listener('tcp', tcp, [tcpProxy('echo', { stat_prefix: 'tcp_in' })], {
            listener_filters: [proxyProtocol],
            stat_prefix: 'named',
          }),
          listener('proxied', proxied, [tcpProxy('dead', { stat_prefix: 'tcp_dead' })]),
        ],
        clusters: [
          staticCluster('app', origin.port, { outlier_detection: {} }),
          staticCluster('app2', dead, http2),
          staticCluster('checked', origin.port, { health_checks: [check] }),
          staticCluster('echo', echo.port, { alt_stat_name: 'echo_alt' }),
          staticCluster('dead', dead, {
            circuit_breakers: { thresholds: [{ track_remaining: true }] },
            track_cluster_stats: { timeout_budgets: false },
          }),
          {
            name: 'zoned',
            type: 'STATIC',
            load_assignment: {
              cluster_name: 'zoned',
              endpoints: [{ locality: { zone: 'here' }, lb_endpoints: [{ endpoint: { address: socketAddress(origin.port) } }] }],
            },
          },
          {
            name: 'named',
            type: 'STRICT_DNS',
            load_assignment: {
              cluster_name: 'named',
              endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(origin.port, 'localhost') } }] }],
            },
          },
        ],
      },
    },
    ports: new Map([
      ['front', front],
      ['secure', secure],
      ['proxied', proxied],
    ]),
    traffic: async () => {
      for (const path of ['/', '/counted', '/dead', '/http2', '/checked', '/zoned', '/moved', '/here']) await ask(front, path)
      await askSecurely(secure)
      await throughTcp(tcp, 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nhello', 'hello')
      await throughTcp(proxied, 'hello', '')
    },
  }
}

async function askSecurely(port: number): Promise<void> {
  const client = await Http1Client.connect(port, clientOptions(leaf, ca.pem) as tls.ConnectionOptions)
  await client.send('GET / HTTP/1.1\r\nhost: test\r\n\r\n')
  client.destroy()
}

/** Sends, waits for the answer, or for the end where none comes. */
function throughTcp(port: number, sent: string, answer: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    let got = ''
    socket.on('connect', () => socket.write(sent))
    socket.on('data', chunk => {
      got += chunk
      if (answer !== '' && got === answer) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => (got === answer ? resolve() : reject(new Error(`${got} in place of ${answer}`))))
  })
}
