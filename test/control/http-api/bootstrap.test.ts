import { describe, expect, it } from 'vitest'
import { envoyBootstrap, statsTags } from '../../../src/control/http-api/bootstrap.js'
import { resolveSinks } from '../../../src/control/http-api/bootstrap-config.js'

const OPTIONS = {
  proxyId: 'web-sidecar-proxy',
  service: 'web',
  nodeName: 'node-1',
  datacenter: 'dc1',
  grpcHost: '127.0.0.1',
  grpcPort: 8502,
  adminHost: '127.0.0.1',
  adminPort: 19000,
}
// biome-ignore lint/suspicious/noExplicitAny: the document is looked into freely.
const bootstrap = (more = {}): any => envoyBootstrap({ ...OPTIONS, ...more })
const TD = '11111111-2222-3333-4444-555555555555.consul'

/** Envoy's rule: the outer group leaves the name, the inner one is the value. */
function extract(name: string): { rest: string; tags: Record<string, string> } {
  const tags: Record<string, string> = {}
  let rest = name
  for (const { tag_name, regex } of statsTags(OPTIONS)) {
    const match = regex === undefined ? null : new RegExp(regex).exec(name)
    if (match === null) continue
    tags[tag_name] = match[2] ?? ''
    rest = name.slice(0, name.indexOf(match[1]!)) + name.slice(name.indexOf(match[1]!) + match[1]!.length)
  }
  return { rest, tags }
}

describe('envoyBootstrap', () => {
  it('names the node as Consul does, and gets all else by delta ADS, waiting for it as long as it takes', () => {
    const { node, dynamic_resources: dynamic, admin, static_resources } = bootstrap()
    expect(node).toEqual({
      id: 'web-sidecar-proxy',
      cluster: 'web',
      metadata: { namespace: 'default', partition: 'default', node_name: 'node-1' },
    })
    expect(dynamic.ads_config).toMatchObject({ api_type: 'DELTA_GRPC', grpc_services: { envoy_grpc: { cluster_name: 'local_agent' } } })
    expect(dynamic.lds_config).toEqual({ ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' })
    expect(dynamic.cds_config).toEqual(dynamic.lds_config)
    expect(admin.address.socket_address).toEqual({ address: '127.0.0.1', port_value: 19000 })
    expect(static_resources.clusters[0]).toMatchObject({ name: 'local_agent', type: 'STATIC', connect_timeout: '1s' })
    expect(static_resources.listeners).toBeUndefined()
  })

  it('adds TLS, a host name, a token and a Prometheus listener when asked to', () => {
    const { static_resources, dynamic_resources: dynamic } = bootstrap({
      grpcHost: 'control.internal',
      grpcCaPem: 'PEM',
      token: 't',
      configs: [{ envoy_prometheus_bind_addr: '0.0.0.0:9102' }],
    })
    const [cluster] = static_resources.clusters
    expect(cluster.type).toBe('STRICT_DNS')
    expect(cluster.transport_socket.typed_config).toMatchObject({
      sni: 'control.internal',
      common_tls_context: { validation_context: { trusted_ca: { inline_string: 'PEM' } } },
    })
    expect(dynamic.ads_config.grpc_services.initial_metadata).toEqual([{ key: 'x-consul-token', value: 't' }])
    expect(static_resources.clusters[1]).toMatchObject({ name: 'self_admin' })
    expect(static_resources.listeners[0].address.socket_address).toEqual({ address: '0.0.0.0', port_value: 9102 })
  })

  it('reaches the control plane by a unix socket, without a name to verify', () => {
    const [cluster] = bootstrap({ grpcPath: '/alloc/tmp/consul_grpc.sock', grpcCaPem: 'PEM' }).static_resources.clusters
    expect(cluster.type).toBe('STATIC')
    expect(cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address).toEqual({ pipe: { path: '/alloc/tmp/consul_grpc.sock' } })
    expect(cluster.transport_socket.typed_config.sni).toBeUndefined()
  })

  it('an admin port that nobody knows before cannot be asked by such a listener', () => {
    expect(() => bootstrap({ adminPort: 0, configs: [{ envoy_ready_bind_addr: '0.0.0.0:19100' }] })).toThrow('admin_bind: port 0')
    expect(bootstrap({ adminPort: 0 }).admin.address.socket_address.port_value).toBe(0)
  })

  it('the listener for probes serves /ready, /live and /startup, and nothing else of the admin', () => {
    const [listener] = bootstrap({ configs: [{ envoy_ready_bind_addr: '0.0.0.0:19100' }] }).static_resources.listeners
    const routes = listener.filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes
    expect(routes.map((route: { match: object }) => route.match)).toEqual([
      { path: '/ready' },
      { path: '/live' },
      { path: '/startup' },
      { prefix: '/' },
    ])
    expect(routes.at(-1)).toMatchObject({ direct_response: { status: 404 } })
  })
})

describe('keys of Proxy.Config', () => {
  it('the registration’s go over those of proxy-defaults', () => {
    const configs = [
      { envoy_statsd_url: 'udp://10.0.0.1:8125', envoy_stats_flush_interval: '2s' },
      { envoy_statsd_url: 'udp://127.0.0.1:9125', ENVOY_STATS_TAGS: ['team=pay', 'canary'] },
    ]
    const { stats_sinks, stats_flush_interval, stats_config } = bootstrap({ configs })
    expect(stats_sinks).toEqual([
      {
        name: 'envoy.stat_sinks.statsd',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.config.metrics.v3.StatsdSink',
          address: { socket_address: { address: '127.0.0.1', port_value: 9125 } },
        },
      },
    ])
    expect(stats_flush_interval).toBe('2s')
    expect(stats_config.stats_tags).toEqual(
      expect.arrayContaining([
        { tag_name: 'team', fixed_value: 'pay' },
        { tag_name: 'canary', fixed_value: '1' },
      ]),
    )
  })

  it('serve one page of the admin endpoint each, and carry JSON of the user’s own', () => {
    const cluster = { name: 'zipkin', type: 'STATIC' }
    const { static_resources, tracing, stats_config } = bootstrap({
      configs: [
        {
          envoy_stats_bind_addr: '127.0.0.1:9103',
          envoy_ready_bind_addr: '[::1]:9104',
          envoy_extra_static_clusters_json: JSON.stringify(cluster),
          envoy_tracing_json: '{"http":{}}',
          envoy_stats_config_json: '{"use_all_default_tags":false}',
        },
      ],
    })
    expect(static_resources.clusters.map(({ name }: { name: string }) => name)).toEqual(['local_agent', 'self_admin', 'zipkin'])
    expect(static_resources.listeners).toMatchObject([
      { name: 'envoy_metrics_listener', address: { socket_address: { address: '127.0.0.1', port_value: 9103 } } },
      { name: 'envoy_ready_listener', address: { socket_address: { address: '::1', port_value: 9104 } } },
    ])
    expect(tracing).toEqual({ http: {} })
    expect(stats_config).toEqual({ use_all_default_tags: false })
  })

  it('are left out where they are of no use', () => {
    const configs = [{ envoy_statsd_url: 'nowhere', envoy_prometheus_bind_addr: 'nowhere', envoy_tracing_json: '{' }]
    expect(bootstrap({ configs })).toEqual(bootstrap())
  })
})

// Consul's own form of a variable, not JavaScript's.
const HOST_URL = 'udp://$' + '{HOST_IP}:8125'

describe('a statsd server of the environment', () => {
  const sinkOf = (url: string, environment: Record<string, string>) => {
    const made = bootstrap({ configs: [{ envoy_dogstatsd_url: url }] })
    const problem = resolveSinks(made, name => environment[name])
    return problem ?? made.stats_sinks[0].typed_config.address
  }

  it.each([
    ['$STATSD', { STATSD: 'udp://10.0.0.1:8125' }],
    [HOST_URL, { HOST_IP: '10.0.0.1' }],
    ['udp://$HOST_IP:$PORT', { HOST_IP: '10.0.0.1', PORT: '8125' }],
  ])('%s is where whoever starts the proxy says', (url, environment) => {
    expect(sinkOf(url, environment)).toEqual({ socket_address: { address: '10.0.0.1', port_value: 8125 } })
  })

  it('may be a socket; without the variable, or with one that says no address, nothing is started', () => {
    expect(sinkOf('$STATSD', { STATSD: 'unix:///run/dog.sock' })).toEqual({ pipe: { path: '/run/dog.sock' } })
    expect(sinkOf(HOST_URL, {})).toBe(`statsd address "${HOST_URL}": $HOST_IP is not set in the environment`)
    expect(sinkOf('$STATSD', { STATSD: 'localhost' })).toBe(
      'statsd address "$STATSD": "localhost" is neither udp://address:port nor unix:///path',
    )
  })
})

describe("the user's own tags", () => {
  it('are lower case, come first, and stand in the place of those of Consul', () => {
    const { stats_config } = bootstrap({ configs: [{ envoy_stats_tags: ['Team=mesh', 'canary', 'local_cluster=mine'] }] })
    const tags: { tag_name: string; fixed_value?: string }[] = stats_config.stats_tags
    expect(tags.slice(0, 3)).toEqual([
      { tag_name: 'team', fixed_value: 'mesh' },
      { tag_name: 'canary', fixed_value: '1' },
      { tag_name: 'local_cluster', fixed_value: 'mine' },
    ])
    expect(tags.filter(({ tag_name }) => tag_name === 'local_cluster')).toHaveLength(1)
    expect(tags).toContainEqual({ tag_name: 'consul.source.datacenter', fixed_value: 'dc1' })
  })
})

describe('statsTags', () => {
  it('take a mesh cluster’s name apart', () => {
    const { rest, tags } = extract(`cluster.v2.api.default.dc1.internal.${TD}.upstream_rq_total`)
    expect(rest).toBe('cluster.upstream_rq_total')
    expect(tags).toEqual({
      'consul.destination.custom_hash': '',
      'consul.destination.service_subset': 'v2',
      'consul.destination.service': 'api',
      'consul.destination.namespace': 'default',
      'consul.destination.partition': '',
      'consul.destination.datacenter': 'dc1',
      'consul.destination.routing_type': 'internal',
      'consul.destination.trust_domain': TD.replace('.consul', ''),
      'consul.destination.target': 'v2.api.default.dc1',
      'consul.destination.full_target': `v2.api.default.dc1.internal.${TD.replace('.consul', '')}`,
    })
  })

  it.each([
    [`cluster.failover-target~0~api.default.dc1.internal.${TD}.upstream_cx_total`, 'consul.destination.custom_hash', 'failover-target~0'],
    [`cluster.deadbeef~api.default.dc1.internal.${TD}.upstream_cx_total`, 'consul.destination.service', 'api'],
    [`cluster.api.default.peer1.external.${TD}.upstream_cx_total`, 'consul.destination.peer', 'peer1'],
    ['http.upstream.api.default.default.dc1.downstream_rq_total', 'consul.upstream.service', 'api'],
    ['http.upstream.api.default.default.dc1.downstream_rq_total', 'consul.upstream.datacenter', 'dc1'],
    ['tcp.upstream_peered.api.default.peer1.downstream_cx_total', 'consul.upstream.peer', 'peer1'],
  ])('of %s: %s is %s', (name, tag, value) => {
    expect(extract(name).tags[tag]).toBe(value)
  })

  it('leave the stat prefix that dashboards select by, and names that are not of the mesh alone', () => {
    expect(extract('http.upstream.api.default.default.dc1.downstream_rq_total').rest).toBe('http.upstream.downstream_rq_total')
    for (const name of ['cluster.local_app.upstream_rq_total', 'http.public_listener.downstream_rq_total'])
      expect(extract(name)).toEqual({ rest: name, tags: {} })
  })

  it('fix the source', () => {
    const fixed = statsTags(OPTIONS).flatMap(({ tag_name, fixed_value }) => (fixed_value === undefined ? [] : [[tag_name, fixed_value]]))
    expect(Object.fromEntries(fixed)).toEqual({
      local_cluster: 'web',
      'consul.source.service': 'web',
      'consul.source.namespace': 'default',
      'consul.source.partition': 'default',
      'consul.source.datacenter': 'dc1',
    })
  })
})
