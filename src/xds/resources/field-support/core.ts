// Field support of what every resource is built of: addresses, config sources, data sources, health checks, protocol
// options, header changes.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const CORE_SUPPORT: SupportTable = {
  'envoy.config.common.mutation_rules.v3.HeaderMutation': { supported: 'remove append remove_on_match' },
  'envoy.config.common.mutation_rules.v3.HeaderMutationRules': {
    supported: 'allow_all_routing allow_envoy disallow_system disallow_all allow_expression disallow_expression disallow_is_error',
  },
  'envoy.config.common.mutation_rules.v3.RemoveOnMatch': { supported: 'key_matcher' },
  'envoy.config.core.v3.Address': {
    supported: 'socket_address pipe',
    refused: { envoy_internal_address: 'internal listeners are not supported' },
  },
  'envoy.config.core.v3.AggregatedConfigSource': { supported: '' },
  'envoy.config.core.v3.ApiConfigSource': {
    supported:
      'api_type transport_api_version cluster_names grpc_services refresh_delay request_timeout rate_limit_settings set_node_on_first_message_only',
    accepted: { config_validators: '' },
  },
  'envoy.config.core.v3.BackoffStrategy': { supported: 'base_interval max_interval' },
  'envoy.config.core.v3.BindConfig': {
    supported: 'source_address',
    accepted: {
      validate_network_namespaces: '',
      freebind: '',
      socket_options: '',
      extra_source_addresses: '',
      additional_source_addresses: '',
      local_address_selector: '',
    },
  },
  'envoy.config.core.v3.CidrRange': { supported: 'address_prefix prefix_len' },
  'envoy.config.core.v3.ConfigSource': {
    supported: 'path path_config_source api_config_source ads self initial_fetch_timeout resource_api_version',
    accepted: { authorities: '' },
  },
  'envoy.config.core.v3.DataSource': { supported: 'filename inline_bytes inline_string environment_variable watched_directory' },
  'envoy.config.core.v3.DnsResolutionConfig': { supported: 'resolvers dns_resolver_options' },
  'envoy.config.core.v3.DnsResolverOptions': { supported: 'use_tcp_for_dns_lookups no_default_search_domain' },
  'envoy.config.core.v3.ExtensionConfigSource': {
    supported: 'config_source default_config apply_default_config_without_warming type_urls',
  },
  'envoy.config.core.v3.GrpcMethodList': { supported: 'services' },
  'envoy.config.core.v3.GrpcMethodList.Service': { supported: 'name method_names' },
  'envoy.config.core.v3.GrpcService': { supported: 'envoy_grpc google_grpc timeout initial_metadata', accepted: { retry_policy: '' } },
  'envoy.config.core.v3.GrpcService.EnvoyGrpc': {
    supported: 'cluster_name authority',
    accepted: { retry_policy: '', max_receive_message_length: 'bounded by our own limit', skip_envoy_headers: '' },
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc': {
    supported: 'target_uri channel_credentials call_credentials stat_prefix channel_args',
    accepted: { credentials_factory_name: '', config: '', per_stream_buffer_limit_bytes: '' },
    refused: {
      channel_credentials_plugin: 'credentials by a plugin are not supported; use ssl_credentials',
      call_credentials_plugin: 'call credentials are not supported; use initial_metadata',
    },
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials': {
    supported: 'access_token from_plugin',
    refused: {
      google_compute_engine: 'of call credentials there are access_token and from_plugin',
      google_refresh_token: 'of call credentials there are access_token and from_plugin',
      service_account_jwt_access: 'of call credentials there are access_token and from_plugin',
      google_iam: 'of call credentials there are access_token and from_plugin',
      sts_service: 'of call credentials there are access_token and from_plugin',
    },
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.CallCredentials.MetadataCredentialsFromPlugin': { supported: 'name typed_config' },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.ChannelArgs': { supported: 'args' },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.ChannelArgs.Value': { supported: 'string_value int_value' },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.ChannelCredentials': {
    supported: 'ssl_credentials local_credentials',
    refused: { google_default: 'there are ssl_credentials and local_credentials' },
  },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.GoogleLocalCredentials': { supported: '' },
  'envoy.config.core.v3.GrpcService.GoogleGrpc.SslCredentials': { supported: 'root_certs private_key cert_chain' },
  'envoy.config.core.v3.HeaderValue': { supported: 'key value raw_value' },
  'envoy.config.core.v3.HeaderValueOption': { supported: 'header append append_action keep_empty_value' },
  'envoy.config.core.v3.HealthCheck': {
    supported:
      'name timeout interval initial_jitter interval_jitter interval_jitter_percent unhealthy_threshold healthy_threshold alt_port reuse_connection http_health_check tcp_health_check grpc_health_check no_traffic_interval no_traffic_healthy_interval unhealthy_interval unhealthy_edge_interval healthy_edge_interval event_log_path event_logger always_log_health_check_failures always_log_health_check_success',
    accepted: {
      event_service: 'not implemented (nor in Envoy)',
      tls_options: '',
      transport_socket_match_criteria: '',
    },
    refused: { custom_health_check: 'custom health checkers are not supported' },
  },
  'envoy.config.core.v3.HealthCheck.GrpcHealthCheck': { supported: 'service_name authority initial_metadata' },
  'envoy.config.core.v3.HealthCheck.HttpHealthCheck': {
    supported:
      'host path request_headers_to_add request_headers_to_remove expected_statuses retriable_statuses codec_client_type service_name_matcher method send receive response_buffer_size',
    accepted: { use_alpn_protocol: '' },
  },
  'envoy.config.core.v3.HealthCheck.Payload': { supported: 'text binary' },
  'envoy.config.core.v3.HealthCheck.TcpHealthCheck': {
    supported: 'send receive',
    refused: { proxy_protocol_config: 'PROXY protocol towards upstreams is not supported' },
  },
  'envoy.config.core.v3.HealthStatusSet': { supported: 'statuses' },
  'envoy.config.core.v3.Http1ProtocolOptions': {
    supported: 'allow_absolute_url accept_http_10 default_host_for_http_10 header_key_format allow_custom_methods',
    accepted: {
      enable_trailers: 'trailers are always passed on',
      allow_chunked_length: 'a request with both lengths is always refused',
      ignore_http_11_upgrade: '',
      override_stream_error_on_invalid_http_message: '',
      send_fully_qualified_url: '',
      use_balsa_parser: '',
    },
  },
  'envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat': { supported: 'proper_case_words stateful_formatter' },
  'envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords': { supported: '' },
  'envoy.config.core.v3.Http2ProtocolOptions': {
    supported:
      'hpack_table_size max_concurrent_streams initial_stream_window_size initial_connection_window_size allow_connect max_outbound_frames max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload max_inbound_priority_frames_per_stream max_inbound_window_update_frames_per_data_frame_sent connection_keepalive',
    accepted: {
      allow_metadata: 'METADATA frames are ignored',
      stream_error_on_invalid_http_messaging: 'a malformed message always ends its stream only',
      override_stream_error_on_invalid_http_message: 'a malformed message always ends its stream only',
      max_metadata_size: '',
      enable_huffman_encoding: '',
      max_header_field_size_kb: '',
      disallow_obs_text: '',
      stream_reset_burst: 'resets are bounded by our own limit',
      stream_reset_rate: 'resets are bounded by our own limit',
      custom_settings_parameters: '',
      use_oghttp2_codec: '',
    },
  },
  'envoy.config.core.v3.HttpProtocolOptions': {
    supported:
      'idle_timeout max_connection_duration max_headers_count max_stream_duration headers_with_underscores_action max_requests_per_connection max_response_headers_kb',
    accepted: { max_connection_duration_jitter: '' },
  },
  'envoy.config.core.v3.HttpService': {
    supported: 'http_uri request_headers_to_add',
    refused: { formatters: 'formatter extensions are not supported here' },
  },
  'envoy.config.core.v3.HttpUri': { supported: 'uri cluster timeout' },
  'envoy.config.core.v3.JsonFormatOptions': { supported: 'sort_properties' },
  'envoy.config.core.v3.KeepaliveSettings': {
    supported: 'interval timeout',
    accepted: { interval_jitter: '', connection_idle_interval: '' },
  },
  'envoy.config.core.v3.KeyValueAppend': {
    supported: 'record action',
    refused: { entry: 'the older form; use record' },
  },
  'envoy.config.core.v3.KeyValueMutation': { supported: 'append remove' },
  'envoy.config.core.v3.KeyValuePair': { supported: 'key value' },
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
  'envoy.config.core.v3.PathConfigSource': { supported: 'path watched_directory', accepted: { poll_interval: '' } },
  'envoy.config.core.v3.Pipe': { supported: 'path mode' },
  'envoy.config.core.v3.RateLimitSettings': { supported: 'max_tokens fill_rate' },
  'envoy.config.core.v3.RetryPolicy': {
    supported: 'retry_back_off num_retries',
    accepted: { retry_on: '', retry_priority: '', retry_host_predicate: '', host_selection_retry_max_attempts: '' },
  },
  'envoy.config.core.v3.RuntimeDouble': { supported: 'default_value', accepted: { runtime_key: 'the default value counts' } },
  'envoy.config.core.v3.RuntimeFeatureFlag': { supported: 'default_value runtime_key' },
  'envoy.config.core.v3.RuntimeFractionalPercent': { supported: 'default_value runtime_key' },
  'envoy.config.core.v3.RuntimeUInt32': { supported: 'default_value runtime_key' },
  'envoy.config.core.v3.SchemeHeaderTransformation': { supported: 'scheme_to_overwrite', accepted: { match_upstream: '' } },
  'envoy.config.core.v3.SelfConfigSource': { supported: 'transport_api_version' },
  'envoy.config.core.v3.SocketAddress': {
    supported: 'protocol address port_value',
    accepted: { ipv4_compat: '' },
    refused: {
      network_namespace_filepath: 'network namespaces are not supported',
      named_port: 'named ports need an address resolver; give port_value',
      resolver_name: 'custom address resolvers are not supported',
    },
  },
  'envoy.config.core.v3.SubstitutionFormatString': {
    supported: 'text_format json_format text_format_source omit_empty_values content_type formatters json_format_options',
  },
  'envoy.config.core.v3.TcpKeepalive': {
    supported: 'keepalive_time',
    accepted: { keepalive_probes: 'the value of the system counts', keepalive_interval: 'the value of the system counts' },
  },
  'envoy.config.core.v3.TransportSocket': { supported: 'name typed_config' },
  'envoy.config.core.v3.TypedExtensionConfig': { supported: 'name typed_config' },
  'envoy.config.core.v3.UpstreamHttpProtocolOptions': {
    supported: 'auto_sni auto_san_validation',
    refused: { override_auto_sni_header: 'SNI from another header is not supported' },
  },
  'envoy.config.core.v3.WatchedDirectory': { supported: 'path', accepted: { watch_modify: 'every change is seen' } },
  'envoy.config.grpc_credential.v3.FileBasedMetadataConfig': { supported: 'secret_data header_key header_prefix' },
  'envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink': { supported: 'event_log_path' },
}
