// A value of every key of `Proxy.Config`, of a proxy and of one of its upstreams, for entry-fields.test.ts.

export const LISTENER = JSON.stringify({
  address: { socket_address: { address: '127.0.0.1', port_value: 9999 } },
  filter_chains: [
    {
      filters: [
        {
          name: 'tcp',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
            stat_prefix: 'mine',
            cluster: 'local_app',
          },
        },
      ],
    },
  ],
})
const HTTP_LISTENER = JSON.stringify({
  address: { socket_address: { address: '127.0.0.1', port_value: 9999 } },
  filter_chains: [
    {
      filters: [
        {
          name: 'http',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
            stat_prefix: 'mine',
            route_config: { virtual_hosts: [{ name: 'v', domains: ['*'] }] },
            http_filters: [
              { name: 'router', typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' } },
            ],
          },
        },
      ],
    },
  ],
})
export const CLUSTER = JSON.stringify({ name: 'mine', type: 'STATIC', connect_timeout: '7s', load_assignment: { cluster_name: 'mine' } })
const BINDS = { extra: { address: '127.0.0.7', port: 9443 } }

interface ConfigValue {
  readonly value: unknown
  readonly besides?: Readonly<Record<string, unknown>>
}

const TCP = { protocol: 'tcp' }

/** By key; `besides` are other keys of the same map. */
export const CONFIG_VALUES: {
  readonly proxy: Readonly<Record<string, ConfigValue>>
  readonly upstream: Readonly<Record<string, ConfigValue>>
} = {
  proxy: {
    protocol: { value: 'grpc' },
    bind_address: { value: '127.0.0.9' },
    bind_port: { value: 8123 },
    local_connect_timeout_ms: { value: 1 },
    local_request_timeout_ms: { value: 2 },
    local_idle_timeout_ms: { value: 3 },
    max_inbound_connections: { value: 4 },
    balance_inbound_connections: { value: 'exact_balance' },
    max_request_headers_kb: { value: 5 },
    xds_fetch_timeout_ms: { value: 6 },
    envoy_public_listener_json: { value: HTTP_LISTENER },
    envoy_local_cluster_json: { value: CLUSTER },
    envoy_listener_tracing_json: { value: '{"random_sampling":{"value":10}}' },
    connect_timeout_ms: { value: 1_234 },
    envoy_gateway_bind_addresses: { value: BINDS },
    envoy_gateway_bind_tagged_addresses: { value: true },
    envoy_gateway_no_default_bind: { value: true },
    envoy_mesh_gateway_bind_addresses: { value: BINDS },
    envoy_mesh_gateway_bind_tagged_addresses: { value: true },
    envoy_mesh_gateway_no_default_bind: { value: true },
    envoy_dns_discovery_type: { value: 'STRICT_DNS' },
    outrigger_transparent_ipv6: { value: true },
    outrigger_http1_only: { value: true },
    outrigger_tcp_tunnel: { value: 'off', besides: TCP },
    envoy_prometheus_bind_addr: { value: '0.0.0.0:9102' },
    envoy_stats_bind_addr: { value: '0.0.0.0:9103' },
    envoy_ready_bind_addr: { value: '0.0.0.0:9104' },
    envoy_statsd_url: { value: 'udp://127.0.0.1:8125' },
    envoy_dogstatsd_url: { value: 'unix:///var/run/dog.sock' },
    envoy_stats_tags: { value: ['a=b'] },
    envoy_stats_flush_interval: { value: '12s' },
    envoy_stats_config_json: { value: '{}' },
    envoy_extra_stats_sinks_json: { value: '{"name":"x"}' },
    envoy_extra_static_clusters_json: { value: '{"name":"x"},{"name":"y"}' },
    envoy_extra_static_listeners_json: { value: '{"name":"x"}' },
    envoy_tracing_json: { value: '{"http":{"name":"x"}}' },
  },
  upstream: {
    protocol: { value: 'http' },
    connect_timeout_ms: { value: 1 },
    limits: { value: { max_connections: 1 } },
    passive_health_check: { value: { max_failures: 1 } },
    balance_outbound_connections: { value: 'exact_balance' },
    envoy_listener_json: { value: LISTENER },
    envoy_cluster_json: { value: CLUSTER },
    outrigger_http1_only: { value: true, besides: { protocol: 'http' } },
    outrigger_tcp_tunnel: { value: 'use' },
  },
}
