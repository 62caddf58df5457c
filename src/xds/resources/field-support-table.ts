// The table behind field-support.ts: for every Envoy message that the decoders read, each of its fields and what we do with it.
// Edited by hand when a decoder learns a field; a test compares it with the message descriptors, and docs/compatibility.md is
// printed from it (scripts/compatibility-table.mjs). A type that may recurse into an ignored field is not listed.

/** Field names separated by spaces where no note is needed; a note per field elsewhere. */
export interface MessageSupport {
  readonly supported: string
  readonly accepted?: Readonly<Record<string, string>>
  readonly refused?: Readonly<Record<string, string>>
}

export const SUPPORT_TABLE: Readonly<Record<string, MessageSupport>> = {
  'envoy.config.accesslog.v3.AccessLog': { supported: 'name filter typed_config' },
  'envoy.config.accesslog.v3.AccessLogFilter': {
    supported:
      'status_code_filter duration_filter not_health_check_filter traceable_filter runtime_filter and_filter or_filter header_filter response_flag_filter grpc_status_filter metadata_filter',
    accepted: { extension_filter: 'nothing passes an unknown filter', log_type_filter: 'nothing passes an unknown filter' },
  },
  'envoy.config.accesslog.v3.AndFilter': { supported: 'filters' },
  'envoy.config.accesslog.v3.ComparisonFilter': { supported: 'op value' },
  'envoy.config.accesslog.v3.DurationFilter': { supported: 'comparison' },
  'envoy.config.accesslog.v3.GrpcStatusFilter': { supported: 'statuses exclude' },
  'envoy.config.accesslog.v3.HeaderFilter': { supported: 'header' },
  'envoy.config.accesslog.v3.MetadataFilter': { supported: 'matcher match_if_key_not_found' },
  'envoy.config.accesslog.v3.NotHealthCheckFilter': { supported: '' },
  'envoy.config.accesslog.v3.OrFilter': { supported: 'filters' },
  'envoy.config.accesslog.v3.ResponseFlagFilter': { supported: 'flags' },
  'envoy.config.accesslog.v3.RuntimeFilter': { supported: 'runtime_key percent_sampled', accepted: { use_independent_randomness: '' } },
  'envoy.config.accesslog.v3.StatusCodeFilter': { supported: 'comparison' },
  'envoy.config.accesslog.v3.TraceableFilter': { supported: '' },
  'envoy.config.bootstrap.v3.Admin': {
    supported: 'access_log access_log_path profile_path address',
    accepted: { socket_options: '', ignore_global_conn_limit: '' },
  },
  'envoy.config.bootstrap.v3.Bootstrap': {
    supported:
      'node static_resources dynamic_resources cluster_manager stats_config stats_flush_interval layered_runtime admin header_prefix',
    accepted: {
      node_context_params: '',
      hds_config: '',
      flags_path: '',
      stats_sinks: '',
      deferred_stat_options: '',
      stats_flush_on_admin: '',
      watchdog: '',
      watchdogs: '',
      tracing: '',
      overload_manager: '',
      enable_dispatcher_stats: '',
      stats_server_version_override: '',
      use_tcp_for_dns_lookups: '',
      dns_resolution_config: '',
      typed_dns_resolver_config: '',
      bootstrap_extensions: '',
      fatal_actions: '',
      config_sources: '',
      default_config_source: '',
      default_socket_interface: '',
      certificate_provider_instances: '',
      inline_headers: '',
      perf_tracing_file_path: '',
      default_regex_engine: 'RE2',
      xds_delegate_extension: '',
      xds_config_tracker_extension: '',
      listener_manager: '',
      application_log_config: '',
      grpc_async_client_manager_config: '',
      memory_allocator_manager: '',
    },
  },
  'envoy.config.bootstrap.v3.Bootstrap.DynamicResources': {
    supported: 'lds_config cds_config ads_config',
    refused: {
      lds_resources_locator: 'xdstp:// collections are not supported; use lds_config',
      cds_resources_locator: 'xdstp:// collections are not supported; use cds_config',
    },
  },
  'envoy.config.bootstrap.v3.Bootstrap.StaticResources': { supported: 'listeners clusters secrets' },
  'envoy.config.bootstrap.v3.ClusterManager': {
    supported: 'local_cluster_name',
    accepted: { outlier_detection: '', upstream_bind_config: '', load_stats_config: '', enable_deferred_cluster_creation: '' },
  },
  'envoy.config.bootstrap.v3.LayeredRuntime': { supported: 'layers' },
  'envoy.config.bootstrap.v3.RuntimeLayer': { supported: 'name static_layer admin_layer', accepted: { disk_layer: '', rtds_layer: '' } },
  'envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer': { supported: '' },
  'envoy.config.cluster.v3.CircuitBreakers': { supported: 'thresholds per_host_thresholds' },
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds': {
    supported: 'priority max_connections max_pending_requests max_requests max_retries retry_budget track_remaining max_connection_pools',
  },
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget': { supported: 'budget_percent min_retry_concurrency' },
  'envoy.config.cluster.v3.Cluster': {
    supported:
      'transport_socket_matches name alt_stat_name type cluster_type eds_cluster_config connect_timeout per_connection_buffer_limit_bytes lb_policy load_assignment health_checks max_requests_per_connection circuit_breakers upstream_http_protocol_options common_http_protocol_options http_protocol_options http2_protocol_options typed_extension_protocol_options dns_refresh_rate dns_failure_refresh_rate respect_dns_ttl dns_lookup_family dns_resolvers dns_resolution_config outlier_detection cleanup_interval upstream_bind_config lb_subset_config ring_hash_lb_config maglev_lb_config original_dst_lb_config least_request_lb_config round_robin_lb_config common_lb_config transport_socket metadata protocol_selection upstream_connection_options ignore_health_on_host_removal load_balancing_policy preconnect_policy',
    accepted: {
      use_tcp_for_dns_lookups: '',
      typed_dns_resolver_config: '',
      wait_for_warm_on_init: '',
      close_connections_on_host_health_failure: '',
      lrs_server: '',
      lrs_report_endpoint_metrics: '',
      track_timeout_budgets: '',
      track_cluster_stats: '',
      connection_pool_per_downstream_connection: '',
    },
    refused: { filters: 'upstream network filters are not supported', upstream_config: 'custom upstreams are not supported' },
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
  'envoy.config.cluster.v3.Cluster.PreconnectPolicy': {
    supported: 'per_upstream_preconnect_ratio',
    accepted: { predictive_preconnect_ratio: '' },
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
    accepted: { monitors: '' },
  },
  'envoy.config.cluster.v3.UpstreamConnectionOptions': {
    supported: 'tcp_keepalive',
    accepted: { set_local_interface_name_on_upstream_connections: '', happy_eyeballs_config: '' },
  },
  'envoy.config.common.mutation_rules.v3.HeaderMutation': { supported: 'remove append' },
  'envoy.config.core.v3.Address': {
    supported: 'socket_address pipe',
    refused: { envoy_internal_address: 'internal listeners are not supported' },
  },
  'envoy.config.core.v3.AggregatedConfigSource': { supported: '' },
  'envoy.config.core.v3.ApiConfigSource': {
    supported: 'api_type transport_api_version cluster_names grpc_services rate_limit_settings set_node_on_first_message_only',
    accepted: { refresh_delay: '', request_timeout: '', config_validators: '' },
  },
  'envoy.config.core.v3.BackoffStrategy': { supported: 'base_interval max_interval' },
  'envoy.config.core.v3.BindConfig': {
    supported: 'source_address',
    accepted: { freebind: '', socket_options: '', extra_source_addresses: '', additional_source_addresses: '', local_address_selector: '' },
  },
  'envoy.config.core.v3.CidrRange': { supported: 'address_prefix prefix_len' },
  'envoy.config.core.v3.ConfigSource': {
    supported: 'path path_config_source api_config_source ads self initial_fetch_timeout resource_api_version',
    accepted: { authorities: '' },
  },
  'envoy.config.core.v3.DataSource': { supported: 'filename inline_bytes inline_string environment_variable watched_directory' },
  'envoy.config.core.v3.DnsResolutionConfig': { supported: 'resolvers', accepted: { dns_resolver_options: '' } },
  'envoy.config.core.v3.GrpcMethodList': { supported: 'services' },
  'envoy.config.core.v3.GrpcMethodList.Service': { supported: 'name method_names' },
  'envoy.config.core.v3.GrpcService': { supported: 'envoy_grpc google_grpc timeout initial_metadata', accepted: { retry_policy: '' } },
  'envoy.config.core.v3.GrpcService.EnvoyGrpc': {
    supported: 'cluster_name authority',
    accepted: { retry_policy: '', max_receive_message_length: 'bounded by our own limit', skip_envoy_headers: '' },
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc': {
    supported: 'target_uri',
    accepted: { stat_prefix: '', credentials_factory_name: '', config: '', per_stream_buffer_limit_bytes: '', channel_args: '' },
    refused: {
      channel_credentials: 'TLS for google_grpc is not supported; use envoy_grpc with a TLS cluster',
      call_credentials: 'call credentials are not supported; use initial_metadata',
    },
  },
  'envoy.config.core.v3.HeaderValue': { supported: 'key value raw_value' },
  'envoy.config.core.v3.HeaderValueOption': { supported: 'header append append_action keep_empty_value' },
  'envoy.config.core.v3.HealthCheck': {
    supported:
      'timeout interval initial_jitter interval_jitter interval_jitter_percent unhealthy_threshold healthy_threshold alt_port reuse_connection http_health_check tcp_health_check grpc_health_check no_traffic_interval no_traffic_healthy_interval unhealthy_interval unhealthy_edge_interval healthy_edge_interval',
    accepted: {
      event_log_path: '',
      event_logger: '',
      event_service: '',
      always_log_health_check_failures: '',
      always_log_health_check_success: '',
      tls_options: '',
      transport_socket_match_criteria: '',
    },
    refused: { custom_health_check: 'custom health checkers are not supported' },
  },
  'envoy.config.core.v3.HealthCheck.GrpcHealthCheck': { supported: 'service_name authority initial_metadata' },
  'envoy.config.core.v3.HealthCheck.HttpHealthCheck': {
    supported:
      'host path request_headers_to_add request_headers_to_remove expected_statuses retriable_statuses codec_client_type service_name_matcher method',
    accepted: { send: '', response_buffer_size: '' },
    refused: { receive: 'matching response bodies is not supported' },
  },
  'envoy.config.core.v3.HealthCheck.Payload': { supported: 'text binary' },
  'envoy.config.core.v3.HealthCheck.TcpHealthCheck': {
    supported: 'send receive',
    refused: { proxy_protocol_config: 'PROXY protocol towards upstreams is not supported' },
  },
  'envoy.config.core.v3.HealthStatusSet': { supported: 'statuses' },
  'envoy.config.core.v3.Http1ProtocolOptions': {
    supported: 'allow_absolute_url accept_http_10 default_host_for_http_10 header_key_format enable_trailers allow_chunked_length',
    accepted: {
      override_stream_error_on_invalid_http_message: '',
      send_fully_qualified_url: '',
      use_balsa_parser: '',
      allow_custom_methods: '',
    },
  },
  'envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat': { supported: 'proper_case_words stateful_formatter' },
  'envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords': { supported: '' },
  'envoy.config.core.v3.Http2ProtocolOptions': {
    supported:
      'hpack_table_size max_concurrent_streams initial_stream_window_size initial_connection_window_size allow_connect allow_metadata max_outbound_frames max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload max_inbound_priority_frames_per_stream max_inbound_window_update_frames_per_data_frame_sent stream_error_on_invalid_http_messaging override_stream_error_on_invalid_http_message connection_keepalive',
    accepted: { custom_settings_parameters: '', use_oghttp2_codec: '' },
  },
  'envoy.config.core.v3.HttpProtocolOptions': {
    supported:
      'idle_timeout max_connection_duration max_headers_count max_stream_duration headers_with_underscores_action max_requests_per_connection',
  },
  'envoy.config.core.v3.HttpUri': { supported: 'uri cluster timeout' },
  'envoy.config.core.v3.KeepaliveSettings': {
    supported: 'interval timeout',
    accepted: { interval_jitter: '', connection_idle_interval: '' },
  },
  'envoy.config.core.v3.Locality': { supported: 'region zone sub_zone' },
  'envoy.config.core.v3.Metadata': { supported: 'filter_metadata', accepted: { typed_filter_metadata: '' } },
  'envoy.config.core.v3.Node': {
    supported: 'id cluster metadata locality',
    accepted: {
      dynamic_parameters: '',
      user_agent_name: 'set by us',
      user_agent_version: 'set by us',
      user_agent_build_version: 'set by us',
      extensions: 'set by us',
      client_features: '',
      listening_addresses: '',
    },
  },
  'envoy.config.core.v3.PathConfigSource': { supported: 'path watched_directory' },
  'envoy.config.core.v3.Pipe': { supported: 'path mode' },
  'envoy.config.core.v3.RateLimitSettings': { supported: 'max_tokens fill_rate' },
  'envoy.config.core.v3.RetryPolicy': {
    supported: 'retry_back_off num_retries',
    accepted: { retry_on: '', retry_priority: '', retry_host_predicate: '', host_selection_retry_max_attempts: '' },
  },
  'envoy.config.core.v3.RuntimeDouble': { supported: 'default_value', accepted: { runtime_key: 'the default value counts' } },
  'envoy.config.core.v3.RuntimeFeatureFlag': { supported: 'default_value', accepted: { runtime_key: 'the default value counts' } },
  'envoy.config.core.v3.RuntimeFractionalPercent': { supported: 'default_value runtime_key' },
  'envoy.config.core.v3.RuntimeUInt32': { supported: 'default_value', accepted: { runtime_key: 'the default value counts' } },
  'envoy.config.core.v3.SchemeHeaderTransformation': { supported: 'scheme_to_overwrite', accepted: { match_upstream: '' } },
  'envoy.config.core.v3.SelfConfigSource': { supported: 'transport_api_version' },
  'envoy.config.core.v3.SocketAddress': {
    supported: 'protocol address port_value',
    accepted: { ipv4_compat: '' },
    refused: {
      named_port: 'named ports need an address resolver; give port_value',
      resolver_name: 'custom address resolvers are not supported',
    },
  },
  'envoy.config.core.v3.SubstitutionFormatString': {
    supported: 'text_format json_format text_format_source omit_empty_values content_type',
    accepted: { formatters: '', json_format_options: '' },
  },
  'envoy.config.core.v3.TcpKeepalive': { supported: 'keepalive_probes keepalive_time keepalive_interval' },
  'envoy.config.core.v3.TransportSocket': { supported: 'name typed_config' },
  'envoy.config.core.v3.TypedExtensionConfig': { supported: 'name typed_config' },
  'envoy.config.core.v3.UpstreamHttpProtocolOptions': {
    supported: 'auto_sni auto_san_validation',
    refused: { override_auto_sni_header: 'SNI from another header is not supported' },
  },
  'envoy.config.core.v3.WatchedDirectory': { supported: 'path' },
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
    accepted: { additional_addresses: 'the first address is used' },
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
  'envoy.config.listener.v3.AdditionalAddress': { supported: 'address', accepted: { socket_options: '' } },
  'envoy.config.listener.v3.Filter': {
    supported: 'name typed_config',
    refused: { config_discovery: 'extension config discovery is not supported' },
  },
  'envoy.config.listener.v3.FilterChain': {
    supported: 'filter_chain_match filters metadata transport_socket transport_socket_connect_timeout name',
    accepted: { on_demand_configuration: '' },
    refused: { use_proxy_proto: 'use the proxy_protocol listener filter' },
  },
  'envoy.config.listener.v3.FilterChainMatch': {
    supported:
      'destination_port prefix_ranges direct_source_prefix_ranges source_type source_prefix_ranges source_ports server_names transport_protocol application_protocols',
    refused: { address_suffix: 'not implemented (nor in Envoy)', suffix_len: 'not implemented (nor in Envoy)' },
  },
  'envoy.config.listener.v3.Listener': {
    supported:
      'name address additional_addresses stat_prefix filter_chains default_filter_chain per_connection_buffer_limit_bytes metadata deprecated_v1 drain_type listener_filters listener_filters_timeout continue_on_listener_filters_timeout traffic_direction enable_reuse_port access_log tcp_backlog_size bind_to_port ignore_global_conn_limit',
    accepted: {
      freebind: '',
      socket_options: '',
      tcp_fast_open_queue_length: '',
      connection_balance_config: 'one thread accepts',
      reuse_port: 'deprecated; enable_reuse_port is read',
      max_connections_to_accept_per_socket_event: '',
      enable_mptcp: '',
      bypass_overload_manager: 'there is no overload manager',
    },
    refused: {
      filter_chain_matcher: 'the matcher API is not supported; use filter_chain_match',
      use_original_dst: 'transparent proxying is not supported yet',
      transparent: 'transparent proxying is not supported yet',
      udp_listener_config: 'UDP listeners are not supported',
      api_listener: 'API listeners are not supported',
      internal_listener: 'internal listeners are not supported',
    },
  },
  'envoy.config.listener.v3.Listener.DeprecatedV1': { supported: 'bind_to_port' },
  'envoy.config.listener.v3.ListenerFilter': {
    supported: 'name typed_config',
    accepted: { filter_disabled: 'the filter always runs' },
    refused: { config_discovery: 'extension config discovery is not supported' },
  },
  'envoy.config.metrics.v3.HistogramBucketSettings': { supported: 'match buckets' },
  'envoy.config.metrics.v3.StatsConfig': { supported: 'stats_tags use_all_default_tags stats_matcher histogram_bucket_settings' },
  'envoy.config.metrics.v3.StatsMatcher': { supported: 'reject_all exclusion_list inclusion_list' },
  'envoy.config.metrics.v3.TagSpecifier': { supported: 'tag_name regex fixed_value' },
  'envoy.config.ratelimit.v3.RateLimitServiceConfig': { supported: 'grpc_service transport_api_version' },
  'envoy.config.rbac.v3.Permission': {
    supported:
      'and_rules or_rules any header url_path destination_ip destination_port destination_port_range metadata not_rule requested_server_name',
    refused: { matcher: 'RBAC matcher extensions are not supported', uri_template: 'URI template matchers are not supported' },
  },
  'envoy.config.rbac.v3.Permission.Set': { supported: 'rules' },
  'envoy.config.rbac.v3.Policy': {
    supported: 'permissions principals',
    refused: { condition: 'CEL conditions are not supported', checked_condition: 'CEL conditions are not supported' },
  },
  'envoy.config.rbac.v3.Principal': {
    supported: 'and_ids or_ids any authenticated source_ip direct_remote_ip remote_ip header url_path metadata not_id',
    refused: { filter_state: 'filter state principals are not supported' },
  },
  'envoy.config.rbac.v3.Principal.Authenticated': { supported: 'principal_name' },
  'envoy.config.rbac.v3.Principal.Set': { supported: 'ids' },
  'envoy.config.rbac.v3.RBAC': { supported: 'action policies', accepted: { audit_logging_options: '' } },
  'envoy.config.route.v3.CorsPolicy': {
    supported:
      'allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials filter_enabled shadow_enabled allow_private_network_access forward_not_matching_preflights',
  },
  'envoy.config.route.v3.DirectResponseAction': { supported: 'status body' },
  'envoy.config.route.v3.FilterConfig': { supported: 'config is_optional disabled' },
  'envoy.config.route.v3.HeaderMatcher': {
    supported:
      'name exact_match safe_regex_match range_match present_match prefix_match suffix_match contains_match string_match invert_match treat_missing_header_as_empty',
  },
  'envoy.config.route.v3.HedgePolicy': {
    supported: 'initial_requests hedge_on_per_try_timeout',
    accepted: { additional_request_chance: 'not implemented (nor in Envoy)' },
  },
  'envoy.config.route.v3.InternalRedirectPolicy': {
    supported: 'max_internal_redirects redirect_response_codes',
    accepted: { allow_cross_scheme_redirect: 'cross-scheme redirects are never followed', response_headers_to_copy: '' },
    refused: { predicates: 'internal redirect predicates are not supported' },
  },
  'envoy.config.route.v3.NonForwardingAction': { supported: '' },
  'envoy.config.route.v3.QueryParameterMatcher': { supported: 'name string_match present_match' },
  'envoy.config.route.v3.RateLimit': { supported: 'stage disable_key actions', accepted: { limit: '' } },
  'envoy.config.route.v3.RateLimit.Action': {
    supported:
      'source_cluster destination_cluster request_headers remote_address generic_key header_value_match dynamic_metadata metadata masked_remote_address query_parameter_value_match',
    refused: { extension: 'rate limit action extensions are not supported' },
  },
  'envoy.config.route.v3.RateLimit.Action.DestinationCluster': { supported: '' },
  'envoy.config.route.v3.RateLimit.Action.DynamicMetaData': { supported: 'descriptor_key metadata_key default_value' },
  'envoy.config.route.v3.RateLimit.Action.GenericKey': { supported: 'descriptor_value descriptor_key' },
  'envoy.config.route.v3.RateLimit.Action.HeaderValueMatch': { supported: 'descriptor_key descriptor_value expect_match headers' },
  'envoy.config.route.v3.RateLimit.Action.MaskedRemoteAddress': { supported: 'v4_prefix_mask_len v6_prefix_mask_len' },
  'envoy.config.route.v3.RateLimit.Action.MetaData': { supported: 'descriptor_key metadata_key default_value source skip_if_absent' },
  'envoy.config.route.v3.RateLimit.Action.QueryParameterValueMatch': {
    supported: 'descriptor_key descriptor_value expect_match query_parameters',
  },
  'envoy.config.route.v3.RateLimit.Action.RemoteAddress': { supported: '' },
  'envoy.config.route.v3.RateLimit.Action.RequestHeaders': { supported: 'header_name descriptor_key skip_if_absent' },
  'envoy.config.route.v3.RateLimit.Action.SourceCluster': { supported: '' },
  'envoy.config.route.v3.RedirectAction': {
    supported:
      'https_redirect scheme_redirect host_redirect port_redirect path_redirect prefix_rewrite regex_rewrite response_code strip_query',
  },
  'envoy.config.route.v3.RetryPolicy': {
    supported:
      'retry_on num_retries per_try_timeout per_try_idle_timeout retry_priority retry_host_predicate host_selection_retry_max_attempts retriable_status_codes retry_back_off rate_limited_retry_back_off retriable_headers retriable_request_headers',
    accepted: { retry_options_predicates: '' },
  },
  'envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff': { supported: 'reset_headers max_interval' },
  'envoy.config.route.v3.RetryPolicy.ResetHeader': { supported: 'name format' },
  'envoy.config.route.v3.RetryPolicy.RetryBackOff': { supported: 'base_interval max_interval' },
  'envoy.config.route.v3.RetryPolicy.RetryHostPredicate': { supported: 'name typed_config' },
  'envoy.config.route.v3.RetryPolicy.RetryPriority': { supported: 'name typed_config' },
  'envoy.config.route.v3.Route': {
    supported:
      'name match route redirect direct_response non_forwarding_action metadata typed_per_filter_config request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove per_request_buffer_limit_bytes stat_prefix',
    accepted: { decorator: '', tracing: '' },
    refused: { filter_action: 'not implemented (nor in Envoy)' },
  },
  'envoy.config.route.v3.RouteAction': {
    supported:
      'cluster cluster_header weighted_clusters cluster_not_found_response_code metadata_match prefix_rewrite regex_rewrite host_rewrite_literal auto_host_rewrite host_rewrite_header host_rewrite_path_regex append_x_forwarded_host timeout idle_timeout retry_policy request_mirror_policies priority rate_limits include_vh_rate_limits hash_policy cors max_grpc_timeout grpc_timeout_offset upgrade_configs internal_redirect_policy internal_redirect_action max_internal_redirects hedge_policy max_stream_duration',
    accepted: { early_data_policy: '', retry_policy_typed_config: '' },
    refused: {
      cluster_specifier_plugin: 'cluster specifier plugins are not supported',
      inline_cluster_specifier_plugin: 'cluster specifier plugins are not supported',
      path_rewrite_policy: 'path rewrite extensions are not supported',
    },
  },
  'envoy.config.route.v3.RouteAction.HashPolicy': {
    supported: 'header cookie connection_properties query_parameter filter_state terminal',
  },
  'envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties': { supported: 'source_ip' },
  'envoy.config.route.v3.RouteAction.HashPolicy.Cookie': { supported: 'name ttl path', accepted: { attributes: '' } },
  'envoy.config.route.v3.RouteAction.HashPolicy.FilterState': { supported: 'key' },
  'envoy.config.route.v3.RouteAction.HashPolicy.Header': { supported: 'header_name regex_rewrite' },
  'envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter': { supported: 'name' },
  'envoy.config.route.v3.RouteAction.MaxStreamDuration': {
    supported: 'max_stream_duration grpc_timeout_header_max grpc_timeout_header_offset',
  },
  'envoy.config.route.v3.RouteAction.RequestMirrorPolicy': {
    supported: 'cluster cluster_header runtime_fraction disable_shadow_host_suffix_append',
    accepted: { trace_sampled: '' },
  },
  'envoy.config.route.v3.RouteAction.UpgradeConfig': { supported: 'upgrade_type enabled connect_config' },
  'envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig': {
    supported: '',
    accepted: { allow_post: '' },
    refused: { proxy_protocol_config: 'PROXY protocol towards upstreams is not supported' },
  },
  'envoy.config.route.v3.RouteConfiguration': {
    supported:
      'name virtual_hosts internal_only_headers response_headers_to_add response_headers_to_remove request_headers_to_add request_headers_to_remove most_specific_header_mutations_wins validate_clusters max_direct_response_body_size_bytes request_mirror_policies ignore_port_in_host_matching ignore_path_parameters_in_path_matching typed_per_filter_config',
    accepted: { metadata: '' },
    refused: { vhds: 'VHDS is not supported', cluster_specifier_plugins: 'cluster specifier plugins are not supported' },
  },
  'envoy.config.route.v3.RouteMatch': {
    supported:
      'prefix path safe_regex connect_matcher path_separated_prefix case_sensitive runtime_fraction headers query_parameters grpc tls_context dynamic_metadata',
    refused: { path_match_policy: 'path match extensions are not supported' },
  },
  'envoy.config.route.v3.RouteMatch.ConnectMatcher': { supported: '' },
  'envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions': { supported: '' },
  'envoy.config.route.v3.RouteMatch.TlsContextMatchOptions': { supported: 'presented validated' },
  'envoy.config.route.v3.VirtualCluster': { supported: 'headers name' },
  'envoy.config.route.v3.VirtualHost': {
    supported:
      'name domains routes require_tls virtual_clusters rate_limits request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove cors typed_per_filter_config include_request_attempt_count include_attempt_count_in_response retry_policy hedge_policy per_request_buffer_limit_bytes request_mirror_policies metadata',
    accepted: { retry_policy_typed_config: '', include_is_timeout_retry_header: '' },
    refused: { matcher: 'the matcher API is not supported; use routes' },
  },
  'envoy.config.route.v3.WeightedCluster': {
    supported: 'clusters header_name',
    accepted: { total_weight: 'the actual sum counts, as in Envoy', runtime_key_prefix: '' },
  },
  'envoy.config.route.v3.WeightedCluster.ClusterWeight': {
    supported:
      'name cluster_header weight metadata_match request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove typed_per_filter_config host_rewrite_literal',
  },
  'envoy.extensions.access_loggers.file.v3.FileAccessLog': { supported: 'path format json_format typed_json_format log_format' },
  'envoy.extensions.access_loggers.stream.v3.StderrAccessLog': { supported: 'log_format' },
  'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog': { supported: 'log_format' },
  'envoy.extensions.clusters.aggregate.v3.ClusterConfig': { supported: 'clusters' },
  'envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor': { supported: 'entries token_bucket' },
  'envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry': { supported: 'key value' },
  'envoy.extensions.compression.brotli.compressor.v3.Brotli': {
    supported: 'quality window_bits',
    accepted: { encoder_mode: '', input_block_bits: '', chunk_size: '', disable_literal_context_modeling: '' },
  },
  'envoy.extensions.compression.gzip.compressor.v3.Gzip': {
    supported: 'memory_level compression_level window_bits',
    accepted: { compression_strategy: '', chunk_size: '' },
  },
  'envoy.extensions.filters.common.fault.v3.FaultDelay': { supported: 'fixed_delay header_delay percentage' },
  'envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay': { supported: '' },
  'envoy.extensions.filters.common.fault.v3.FaultRateLimit': { supported: 'fixed_limit', accepted: { header_limit: '', percentage: '' } },
  'envoy.extensions.filters.common.fault.v3.FaultRateLimit.FixedLimit': { supported: 'limit_kbps' },
  'envoy.extensions.filters.http.buffer.v3.Buffer': { supported: 'max_request_bytes' },
  'envoy.extensions.filters.http.buffer.v3.BufferPerRoute': { supported: 'disabled buffer' },
  'envoy.extensions.filters.http.compressor.v3.Compressor': {
    supported:
      'content_length content_type disable_on_etag_header remove_accept_encoding_header runtime_enabled compressor_library response_direction_config choose_first',
    accepted: { request_direction_config: 'requests are not compressed' },
  },
  'envoy.extensions.filters.http.compressor.v3.Compressor.CommonDirectionConfig': { supported: 'enabled min_content_length content_type' },
  'envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig': {
    supported: 'common_config disable_on_etag_header remove_accept_encoding_header',
  },
  'envoy.extensions.filters.http.compressor.v3.CompressorPerRoute': { supported: 'disabled', accepted: { overrides: '' } },
  'envoy.extensions.filters.http.cors.v3.Cors': { supported: '' },
  'envoy.extensions.filters.http.cors.v3.CorsPolicy': {
    supported:
      'allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials filter_enabled shadow_enabled allow_private_network_access forward_not_matching_preflights',
  },
  'envoy.extensions.filters.http.csrf.v3.CsrfPolicy': { supported: 'filter_enabled shadow_enabled additional_origins' },
  'envoy.extensions.filters.http.ext_authz.v3.AuthorizationRequest': { supported: 'allowed_headers headers_to_add' },
  'envoy.extensions.filters.http.ext_authz.v3.AuthorizationResponse': {
    supported: 'allowed_upstream_headers allowed_upstream_headers_to_append allowed_client_headers allowed_client_headers_on_success',
    accepted: { dynamic_metadata_from_headers: '' },
  },
  'envoy.extensions.filters.http.ext_authz.v3.BufferSettings': { supported: 'max_request_bytes allow_partial_message pack_as_bytes' },
  'envoy.extensions.filters.http.ext_authz.v3.CheckSettings': {
    supported: 'context_extensions',
    accepted: { disable_request_body_buffering: '', with_request_body: '' },
  },
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz': {
    supported:
      'grpc_service http_service transport_api_version failure_mode_allow failure_mode_allow_header_add with_request_body clear_route_cache status_on_error metadata_context_namespaces filter_enabled deny_at_disable include_peer_certificate stat_prefix allowed_headers disallowed_headers',
    accepted: {
      validate_mutations: '',
      typed_metadata_context_namespaces: '',
      route_metadata_context_namespaces: '',
      route_typed_metadata_context_namespaces: '',
      filter_enabled_metadata: 'the check is always made',
      bootstrap_metadata_labels_key: '',
      include_tls_session: '',
      charge_cluster_response_stats: '',
      encode_raw_headers: '',
      enable_dynamic_metadata_ingestion: '',
    },
    refused: { decoder_header_mutation_rules: 'header mutation rules are not supported' },
  },
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute': { supported: 'disabled check_settings' },
  'envoy.extensions.filters.http.ext_authz.v3.HttpService': {
    supported: 'server_uri path_prefix authorization_request authorization_response',
  },
  'envoy.extensions.filters.http.fault.v3.FaultAbort': { supported: 'http_status grpc_status header_abort percentage' },
  'envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort': { supported: '' },
  'envoy.extensions.filters.http.fault.v3.HTTPFault': {
    supported:
      'delay abort upstream_cluster headers downstream_nodes max_active_faults response_rate_limit delay_percent_runtime abort_percent_runtime',
    accepted: {
      delay_duration_runtime: '',
      abort_http_status_runtime: '',
      max_active_faults_runtime: '',
      response_rate_limit_percent_runtime: '',
      abort_grpc_status_runtime: '',
      disable_downstream_cluster_stats: '',
      filter_metadata: '',
    },
  },
  'envoy.extensions.filters.http.grpc_http1_bridge.v3.Config': {
    supported: 'upgrade_protobuf_to_grpc',
    accepted: { ignore_query_parameters: '' },
  },
  'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig': {
    supported: 'emit_filter_state individual_method_stats_allowlist stats_for_all_methods enable_upstream_stats',
    accepted: { replace_dots_in_grpc_service_name: '' },
  },
  'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb': { supported: '' },
  'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation': {
    supported: 'mutations',
    accepted: { most_specific_header_mutations_wins: '' },
  },
  'envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute': { supported: 'mutations' },
  'envoy.extensions.filters.http.header_mutation.v3.Mutations': { supported: 'request_mutations response_mutations' },
  'envoy.extensions.filters.http.header_to_metadata.v3.Config': { supported: 'request_rules response_rules' },
  'envoy.extensions.filters.http.header_to_metadata.v3.Config.KeyValuePair': {
    supported: 'metadata_namespace key value regex_value_rewrite type encode',
  },
  'envoy.extensions.filters.http.header_to_metadata.v3.Config.Rule': {
    supported: 'header cookie on_header_present on_header_missing remove',
  },
  'envoy.extensions.filters.http.health_check.v3.HealthCheck': {
    supported: 'pass_through_mode cache_time cluster_min_healthy_percentages headers',
  },
  'envoy.extensions.filters.http.jwt_authn.v3.JwksAsyncFetch': { supported: 'fast_listener failed_refetch_duration' },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication': {
    supported: 'providers rules bypass_cors_preflight requirement_map strip_failure_response',
    refused: { filter_state_rules: 'filter state rules are not supported' },
  },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtCacheConfig': { supported: 'jwt_cache_size' },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtClaimToHeader': { supported: 'header_name claim_name' },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtHeader': { supported: 'name value_prefix' },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtProvider': {
    supported:
      'issuer audiences subjects require_expiration max_lifetime remote_jwks local_jwks forward from_headers from_params from_cookies forward_payload_header pad_forward_payload_header payload_in_metadata header_in_metadata failed_status_in_metadata clock_skew_seconds jwt_cache_config claim_to_headers clear_route_cache',
    refused: { normalize_payload_in_metadata: 'normalising claims is not supported' },
  },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement': {
    supported: 'provider_name provider_and_audiences requires_any requires_all allow_missing_or_failed allow_missing',
  },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtRequirementAndList': { supported: 'requirements' },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtRequirementOrList': { supported: 'requirements' },
  'envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig': { supported: 'disabled requirement_name' },
  'envoy.extensions.filters.http.jwt_authn.v3.ProviderWithAudiences': { supported: 'provider_name audiences' },
  'envoy.extensions.filters.http.jwt_authn.v3.RemoteJwks': { supported: 'http_uri cache_duration async_fetch retry_policy' },
  'envoy.extensions.filters.http.jwt_authn.v3.RequirementRule': { supported: 'match requires requirement_name' },
  'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit': {
    supported:
      'stat_prefix status token_bucket filter_enabled filter_enforced request_headers_to_add_when_not_enforced response_headers_to_add descriptors stage local_rate_limit_per_downstream_connection enable_x_ratelimit_headers rate_limited_as_resource_exhausted',
    accepted: {
      local_cluster_rate_limit: '',
      vh_rate_limits: '',
      always_consume_default_token_bucket: '',
    },
  },
  'envoy.extensions.filters.http.ratelimit.v3.RateLimit': {
    supported:
      'domain stage request_type timeout failure_mode_deny rate_limited_as_resource_exhausted rate_limit_service enable_x_ratelimit_headers disable_x_envoy_ratelimited_header rate_limited_status response_headers_to_add status_on_error',
    accepted: { stat_prefix: '' },
  },
  'envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute': {
    supported: '',
    accepted: { vh_rate_limits: '', override_option: '', rate_limits: '', domain: '' },
  },
  'envoy.extensions.filters.http.rbac.v3.RBAC': {
    supported: 'rules rules_stat_prefix shadow_rules shadow_rules_stat_prefix',
    accepted: { shadow_matcher: '', track_per_rule_stats: '' },
    refused: { matcher: 'the matcher API is not supported; use rules' },
  },
  'envoy.extensions.filters.http.rbac.v3.RBACPerRoute': { supported: 'rbac' },
  'envoy.extensions.filters.http.router.v3.Router': {
    supported:
      'dynamic_stats start_child_span suppress_envoy_headers strict_check_headers respect_expected_rq_timeout suppress_grpc_request_failure_code_stats upstream_http_filters',
    accepted: { upstream_log: '', upstream_log_options: '' },
  },
  'envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec': { supported: '' },
  'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector': { supported: '' },
  'envoy.extensions.filters.listener.original_dst.v3.OriginalDst': { supported: '' },
  'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol': {
    supported: '',
    accepted: { rules: '', allow_requests_without_proxy_protocol: 'the header is always required', pass_through_tlvs: '', stat_prefix: '' },
    refused: { disallowed_versions: 'all versions are accepted' },
  },
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector': {
    supported: '',
    accepted: { enable_ja3_fingerprinting: '', initial_read_buffer_size: '' },
  },
  'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit': {
    supported: 'stat_prefix max_connections delay runtime_enabled',
  },
  'envoy.extensions.filters.network.direct_response.v3.Config': { supported: 'response' },
  'envoy.extensions.filters.network.echo.v3.Echo': { supported: '' },
  'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz': {
    supported: 'stat_prefix grpc_service failure_mode_allow include_peer_certificate transport_api_version include_tls_session',
    accepted: { filter_enabled_metadata: 'every connection is checked', bootstrap_metadata_labels_key: '' },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager': {
    supported:
      'codec_type stat_prefix rds route_config http_filters add_user_agent tracing common_http_protocol_options http_protocol_options http2_protocol_options server_name server_header_transformation scheme_header_transformation max_request_headers_kb stream_idle_timeout request_timeout request_headers_timeout drain_timeout delayed_close_timeout access_log use_remote_address xff_num_trusted_hops internal_address_config skip_xff_append via generate_request_id preserve_external_request_id always_set_request_id_in_response forward_client_cert_details set_current_client_cert_details proxy_100_continue upgrade_configs normalize_path merge_slashes path_with_escaped_slashes_action local_reply_config strip_matching_host_port strip_any_host_port stream_error_on_invalid_http_message strip_trailing_host_dot append_x_forwarded_port',
    accepted: {
      http3_protocol_options: '',
      access_log_flush_interval: '',
      flush_access_log_on_new_request: '',
      access_log_options: '',
      represent_ipv4_remote_address_as_ipv4_mapped_ipv6: '',
      request_id_extension: 'UUIDs',
      proxy_status_config: '',
      typed_header_validation_config: '',
      append_local_overload: '',
      add_proxy_protocol_connection_state: '',
    },
    refused: {
      scoped_routes: 'scoped routes are not supported',
      original_ip_detection_extensions: 'original IP detection extensions are not supported',
      early_header_mutation_extensions: 'early header mutation is not supported',
      path_normalization_options: 'not implemented (nor in Envoy)',
    },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig': {
    supported: 'cidr_ranges',
    accepted: { unix_sockets: '' },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails': {
    supported: 'subject cert chain dns uri',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing': {
    supported: 'random_sampling',
    accepted: {
      client_sampling: '',
      overall_sampling: '',
      verbose: '',
      max_path_tag_length: '',
      custom_tags: '',
      provider: '',
      spawn_upstream_span: '',
    },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig': {
    supported: 'upgrade_type filters enabled',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter': {
    supported: 'name typed_config is_optional disabled',
    refused: { config_discovery: 'extension config discovery is not supported' },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig': { supported: 'mappers body_format' },
  'envoy.extensions.filters.network.http_connection_manager.v3.Rds': { supported: 'config_source route_config_name' },
  'envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper': {
    supported: 'filter status_code body body_format_override headers_to_add',
  },
  'envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit': {
    supported: 'stat_prefix token_bucket runtime_enabled',
    accepted: { share_key: '' },
  },
  'envoy.extensions.filters.network.rbac.v3.RBAC': {
    supported: 'rules shadow_rules shadow_rules_stat_prefix stat_prefix',
    accepted: { shadow_matcher: '', enforcement_type: 'enforced before the first byte and on every change' },
    refused: { matcher: 'the matcher API is not supported; use rules' },
  },
  'envoy.extensions.filters.network.sni_cluster.v3.SniCluster': { supported: '' },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy': {
    supported:
      'stat_prefix cluster weighted_clusters metadata_match idle_timeout access_log max_connect_attempts hash_policy tunneling_config max_downstream_connection_duration',
    accepted: {
      downstream_idle_timeout: '',
      upstream_idle_timeout: '',
      access_log_flush_interval: '',
      flush_access_log_on_connected: '',
      access_log_options: '',
    },
    refused: { on_demand: 'on-demand cluster discovery is not supported' },
  },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig': {
    supported: 'hostname use_post',
    accepted: { headers_to_add: '', propagate_response_headers: '', post_path: '', propagate_response_trailers: '' },
  },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster': { supported: 'clusters' },
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight': {
    supported: 'name weight',
    refused: { metadata_match: 'subset matches of weighted TCP clusters are not supported' },
  },
  'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig': {
    supported: '',
    accepted: { forward_reason_phrase: '', formatter_type_on_envoy_headers: '' },
  },
  'envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided': { supported: '' },
  'envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig': {
    supported: 'use_hostname_for_hashing hash_balance_factor',
  },
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig': { supported: 'zone_aware_lb_config locality_weighted_lb_config' },
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig': { supported: '' },
  'envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig': {
    supported: 'routing_enabled min_cluster_size fail_traffic_on_panic',
  },
  'envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig': { supported: 'slow_start_window aggression min_weight_percent' },
  'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest': {
    supported: 'choice_count active_request_bias slow_start_config locality_lb_config enable_full_scan selection_method',
  },
  'envoy.extensions.load_balancing_policies.maglev.v3.Maglev': {
    supported: 'table_size consistent_hashing_lb_config locality_weighted_lb_config',
  },
  'envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst': { supported: 'shuffle_address_list' },
  'envoy.extensions.load_balancing_policies.random.v3.Random': { supported: 'locality_lb_config' },
  'envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash': {
    supported:
      'hash_function minimum_ring_size maximum_ring_size use_hostname_for_hashing hash_balance_factor consistent_hashing_lb_config locality_weighted_lb_config',
  },
  'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin': { supported: 'slow_start_config locality_lb_config' },
  'envoy.extensions.load_balancing_policies.subset.v3.Subset': {
    supported:
      'fallback_policy default_subset subset_selectors locality_weight_aware scale_locality_weight panic_mode_any list_as_any subset_lb_policy',
    accepted: { allow_redundant_keys: '' },
    refused: { metadata_fallback_policy: 'FALLBACK_LIST is not supported' },
  },
  'envoy.extensions.load_balancing_policies.subset.v3.Subset.LbSubsetSelector': {
    supported: 'keys single_host_per_subset fallback_policy fallback_keys_subset',
  },
  'envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality': { supported: 'endpoint_picking_policy' },
  'envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate': { supported: '' },
  'envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig': { supported: 'metadata_match' },
  'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate': { supported: '' },
  'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig': { supported: 'update_frequency' },
  'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer': { supported: '' },
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext': {
    supported:
      'trusted_ca system_root_certs watched_directory verify_certificate_spki verify_certificate_hash match_typed_subject_alt_names match_subject_alt_names crl allow_expired_certificate trust_chain_verification custom_validator_config only_verify_leaf_cert_crl max_verify_depth',
    refused: {
      ca_certificate_provider_instance: 'certificate providers are not supported',
      require_signed_certificate_timestamp: 'not implemented (nor in Envoy)',
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.SystemRootCerts': { supported: '' },
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext': {
    supported:
      'tls_params tls_certificates tls_certificate_sds_secret_configs validation_context validation_context_sds_secret_config combined_validation_context alpn_protocols',
    accepted: { key_log: '' },
    refused: {
      tls_certificate_provider_instance: 'certificate providers are not supported',
      tls_certificate_certificate_provider: 'certificate providers are not supported',
      tls_certificate_certificate_provider_instance: 'certificate providers are not supported',
      validation_context_certificate_provider: 'certificate providers are not supported',
      validation_context_certificate_provider_instance: 'certificate providers are not supported',
      custom_handshaker: 'custom handshakers are not supported',
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext': {
    supported: 'default_validation_context validation_context_sds_secret_config',
    refused: {
      validation_context_certificate_provider: 'certificate providers are not supported',
      validation_context_certificate_provider_instance: 'certificate providers are not supported',
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext': {
    supported:
      'common_tls_context require_client_certificate require_sni disable_stateless_session_resumption disable_stateful_session_resumption session_timeout',
    accepted: {
      session_ticket_keys: 'keys are our own',
      session_ticket_keys_sds_secret_config: 'keys are our own',
      full_scan_certs_on_sni_mismatch: '',
    },
    refused: { ocsp_staple_policy: 'OCSP stapling is not supported' },
  },
  'envoy.extensions.transport_sockets.tls.v3.GenericSecret': { supported: 'secret' },
  'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig': { supported: 'trust_domains' },
  'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig.TrustDomain': { supported: 'name trust_bundle' },
  'envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig': { supported: 'name sds_config' },
  'envoy.extensions.transport_sockets.tls.v3.Secret': {
    supported: 'name tls_certificate session_ticket_keys validation_context generic_secret',
  },
  'envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher': { supported: 'san_type matcher', accepted: { oid: '' } },
  'envoy.extensions.transport_sockets.tls.v3.TlsCertificate': {
    supported: 'certificate_chain private_key watched_directory password',
    accepted: { ocsp_staple: '', signed_certificate_timestamp: '' },
    refused: {
      pkcs12: 'PKCS#12 is not supported; use certificate_chain and private_key',
      private_key_provider: 'private key providers are not supported',
    },
  },
  'envoy.extensions.transport_sockets.tls.v3.TlsParameters': {
    supported: 'tls_minimum_protocol_version tls_maximum_protocol_version cipher_suites ecdh_curves signature_algorithms',
  },
  'envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys': { supported: 'keys' },
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext': {
    supported: 'common_tls_context sni allow_renegotiation max_session_keys',
    accepted: { enforce_rsa_key_usage: '' },
  },
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    supported:
      'common_http_protocol_options upstream_http_protocol_options explicit_http_config use_downstream_protocol_config auto_config http_filters',
    accepted: { header_validation_config: '' },
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
  'envoy.type.matcher.v3.DoubleMatcher': { supported: 'range exact' },
  'envoy.type.matcher.v3.ListMatcher': { supported: 'one_of' },
  'envoy.type.matcher.v3.ListStringMatcher': { supported: 'patterns' },
  'envoy.type.matcher.v3.MetadataMatcher': { supported: 'filter path value invert' },
  'envoy.type.matcher.v3.MetadataMatcher.PathSegment': { supported: 'key' },
  'envoy.type.matcher.v3.OrMatcher': { supported: 'value_matchers' },
  'envoy.type.matcher.v3.PathMatcher': { supported: 'path' },
  'envoy.type.matcher.v3.RegexMatchAndSubstitute': { supported: 'pattern substitution' },
  'envoy.type.matcher.v3.RegexMatcher': { supported: 'google_re2 regex' },
  'envoy.type.matcher.v3.RegexMatcher.GoogleRE2': { supported: '', accepted: { max_program_size: '' } },
  'envoy.type.matcher.v3.StringMatcher': {
    supported: 'exact prefix suffix safe_regex contains ignore_case',
    refused: { custom: 'custom string matchers are not supported' },
  },
  'envoy.type.matcher.v3.ValueMatcher': { supported: 'null_match double_match string_match bool_match present_match list_match or_match' },
  'envoy.type.matcher.v3.ValueMatcher.NullMatch': { supported: '' },
  'envoy.type.metadata.v3.MetadataKey': { supported: 'key path' },
  'envoy.type.metadata.v3.MetadataKey.PathSegment': { supported: 'key' },
  'envoy.type.v3.DoubleRange': { supported: 'start end' },
  'envoy.type.v3.FractionalPercent': { supported: 'numerator denominator' },
  'envoy.type.v3.HashPolicy': { supported: 'source_ip filter_state' },
  'envoy.type.v3.HashPolicy.FilterState': { supported: 'key' },
  'envoy.type.v3.HashPolicy.SourceIp': { supported: '' },
  'envoy.type.v3.HttpStatus': { supported: 'code' },
  'envoy.type.v3.Int32Range': { supported: 'start end' },
  'envoy.type.v3.Int64Range': { supported: 'start end' },
  'envoy.type.v3.Percent': { supported: 'value' },
  'envoy.type.v3.TokenBucket': { supported: 'max_tokens tokens_per_fill fill_interval' },
  'udpa.type.v1.TypedStruct': { supported: 'type_url value' },
  'xds.type.v3.TypedStruct': { supported: 'type_url value' },
}
