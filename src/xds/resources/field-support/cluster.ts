// Field support of clusters and endpoints: the cluster itself, its circuit breakers, outlier detection, endpoints,
// upstream protocol options and the cluster extensions.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const CLUSTER_SUPPORT: SupportTable = {
  'envoy.config.cluster.v3.CircuitBreakers': { supported: 'thresholds per_host_thresholds' },
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds': {
    supported: 'priority max_connections max_pending_requests max_requests max_retries retry_budget track_remaining max_connection_pools',
  },
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget': {
    supported: 'budget_percent min_retry_concurrency',
    accepted: { budget_interval: 'requests under way are counted' },
  },
  'envoy.config.cluster.v3.Cluster': {
    supported:
      'transport_socket_matches name alt_stat_name type cluster_type eds_cluster_config connect_timeout per_connection_buffer_limit_bytes lb_policy load_assignment health_checks max_requests_per_connection circuit_breakers upstream_http_protocol_options common_http_protocol_options http_protocol_options http2_protocol_options typed_extension_protocol_options dns_refresh_rate dns_failure_refresh_rate respect_dns_ttl dns_lookup_family dns_resolvers dns_jitter use_tcp_for_dns_lookups dns_resolution_config typed_dns_resolver_config outlier_detection cleanup_interval upstream_bind_config lb_subset_config ring_hash_lb_config maglev_lb_config original_dst_lb_config least_request_lb_config round_robin_lb_config common_lb_config transport_socket metadata protocol_selection upstream_connection_options ignore_health_on_host_removal load_balancing_policy',
    accepted: {
      queuing_policies: 'requests that wait go in their order',
      preconnect_policy: 'connections are opened when they are needed',
      stats_matcher: '',
      per_connection_buffer_high_watermark_timeout: '',
      wait_for_warm_on_init: '',
      close_connections_on_host_health_failure: '',
      lrs_server: '',
      lrs_report_endpoint_metrics: '',
      track_timeout_budgets: '',
      track_cluster_stats: '',
      connection_pool_per_downstream_connection: '',
    },
    refused: {
      transport_socket_matcher: 'the matcher API is not supported; use transport_socket_matches',
      filters: 'upstream network filters are not supported',
      upstream_config: 'custom upstreams are not supported',
    },
  },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig': {
    supported:
      'healthy_panic_threshold zone_aware_lb_config locality_weighted_lb_config ignore_new_hosts_until_first_hc close_connections_on_host_set_change consistent_hashing_lb_config override_host_status',
    accepted: { update_merge_window: '' },
  },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig': { supported: 'use_hostname_for_hashing hash_balance_factor' },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig': { supported: '' },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig': {
    supported: 'routing_enabled min_cluster_size fail_traffic_on_panic',
  },
  'envoy.config.cluster.v3.Cluster.CustomClusterType': { supported: 'name typed_config' },
  'envoy.config.cluster.v3.Cluster.EdsClusterConfig': { supported: 'eds_config service_name' },
  'envoy.config.cluster.v3.Cluster.LbSubsetConfig': {
    supported: 'fallback_policy default_subset subset_selectors locality_weight_aware scale_locality_weight panic_mode_any list_as_any',
    refused: { metadata_fallback_policy: 'FALLBACK_LIST is not supported' },
  },
  'envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector': {
    supported: 'keys single_host_per_subset fallback_policy fallback_keys_subset',
  },
  'envoy.config.cluster.v3.Cluster.LeastRequestLbConfig': { supported: 'choice_count active_request_bias slow_start_config' },
  'envoy.config.cluster.v3.Cluster.MaglevLbConfig': { supported: 'table_size' },
  'envoy.config.cluster.v3.Cluster.OriginalDstLbConfig': {
    supported: 'use_http_header http_header_name upstream_port_override',
    refused: { metadata_key: 'the original destination from metadata is not supported' },
  },
  'envoy.config.cluster.v3.Cluster.RefreshRate': { supported: 'base_interval max_interval' },
  'envoy.config.cluster.v3.Cluster.RingHashLbConfig': { supported: 'minimum_ring_size hash_function maximum_ring_size' },
  'envoy.config.cluster.v3.Cluster.RoundRobinLbConfig': { supported: 'slow_start_config' },
  'envoy.config.cluster.v3.Cluster.SlowStartConfig': { supported: 'slow_start_window aggression min_weight_percent' },
  'envoy.config.cluster.v3.Cluster.TransportSocketMatch': { supported: 'name match transport_socket' },
  'envoy.config.cluster.v3.LoadBalancingPolicy': { supported: 'policies' },
  'envoy.config.cluster.v3.LoadBalancingPolicy.Policy': { supported: 'typed_extension_config' },
  'envoy.config.cluster.v3.OutlierDetection': {
    supported:
      'consecutive_5xx interval base_ejection_time max_ejection_percent enforcing_consecutive_5xx enforcing_success_rate success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor consecutive_gateway_failure enforcing_consecutive_gateway_failure split_external_local_origin_errors consecutive_local_origin_failure enforcing_consecutive_local_origin_failure enforcing_local_origin_success_rate failure_percentage_threshold enforcing_failure_percentage enforcing_failure_percentage_local_origin failure_percentage_minimum_hosts failure_percentage_request_volume max_ejection_time max_ejection_time_jitter successful_active_health_check_uneject_host always_eject_one_host',
    accepted: { detect_degraded_hosts: '', monitors: '' },
  },
  'envoy.config.cluster.v3.UpstreamConnectionOptions': {
    supported: 'tcp_keepalive',
    accepted: { set_local_interface_name_on_upstream_connections: '', happy_eyeballs_config: '' },
  },
  'envoy.config.endpoint.v3.ClusterLoadAssignment': {
    supported: 'cluster_name endpoints policy',
    refused: { named_endpoints: 'not implemented (nor in Envoy)' },
  },
  'envoy.config.endpoint.v3.ClusterLoadAssignment.Policy': {
    supported: 'drop_overloads overprovisioning_factor endpoint_stale_after weighted_priority_health',
  },
  'envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.DropOverload': { supported: 'category drop_percentage' },
  'envoy.config.endpoint.v3.Endpoint': {
    supported: 'address health_check_config hostname',
    accepted: { observability_name: '', additional_addresses: 'the first address is used' },
  },
  'envoy.config.endpoint.v3.Endpoint.HealthCheckConfig': {
    supported: 'port_value hostname disable_active_health_check',
    refused: { address: 'checking another address is not supported; use port_value' },
  },
  'envoy.config.endpoint.v3.LbEndpoint': {
    supported: 'endpoint health_status metadata load_balancing_weight',
    refused: { endpoint_name: 'not implemented (nor in Envoy)' },
  },
  'envoy.config.endpoint.v3.LocalityLbEndpoints': {
    supported: 'locality lb_endpoints load_balancer_endpoints load_balancing_weight priority',
    accepted: { metadata: '', proximity: 'not implemented (nor in Envoy)' },
    refused: { leds_cluster_locality_config: 'LEDS is not supported' },
  },
  'envoy.config.endpoint.v3.LocalityLbEndpoints.LbEndpointList': { supported: 'lb_endpoints' },
  'envoy.extensions.clusters.aggregate.v3.ClusterConfig': { supported: 'clusters' },
  'envoy.extensions.clusters.dns.v3.DnsCluster': {
    supported:
      'dns_refresh_rate dns_failure_refresh_rate respect_dns_ttl dns_jitter typed_dns_resolver_config dns_lookup_family all_addresses_in_single_endpoint dns_min_refresh_rate',
  },
  'envoy.extensions.clusters.dns.v3.DnsCluster.RefreshRate': { supported: 'base_interval max_interval' },
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig': {
    supported:
      'resolvers use_resolvers_as_fallback filter_unroutable_families dns_resolver_options query_timeout_seconds query_tries rotate_nameservers',
    accepted: {
      edns0_max_payload_size: "c-ares' own size (1232)",
      max_udp_channel_duration: 'each query has a socket of its own',
      qcache_max_ttl: 'answers are not cached',
      reinit_channel_on_timeout: 'each query has a socket of its own',
      udp_max_queries: 'each query has a socket of its own',
    },
  },
  'envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig': {
    supported: 'num_retries num_resolver_threads',
  },
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    supported:
      'common_http_protocol_options upstream_http_protocol_options explicit_http_config use_downstream_protocol_config auto_config http_filters',
    accepted: {
      request_mirror_policies: 'the policies of the route count',
      hash_policy: 'the hash policy of the route counts',
      retry_policy: 'the retry policy of the route counts',
      header_validation_config: '',
    },
    refused: { outlier_detection: 'which answers are failures cannot be chosen: those of 500 and above are' },
  },
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig': {
    supported: 'http_protocol_options http2_protocol_options',
    accepted: { http3_protocol_options: 'HTTP/3 is never used', alternate_protocols_cache_options: 'HTTP/3 is never used' },
  },
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig': {
    supported: 'http_protocol_options http2_protocol_options',
    refused: { http3_protocol_options: 'HTTP/3 is not supported' },
  },
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig': {
    supported: 'http_protocol_options http2_protocol_options',
    accepted: { http3_protocol_options: 'HTTP/3 is never used' },
  },
}
