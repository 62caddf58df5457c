// Field support of listeners, listener filters and access logs.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const LISTENER_SUPPORT: SupportTable = {
  'envoy.config.accesslog.v3.AccessLog': { supported: 'name filter typed_config' },
  'envoy.config.accesslog.v3.AccessLogFilter': {
    supported:
      'status_code_filter duration_filter not_health_check_filter traceable_filter runtime_filter and_filter or_filter header_filter response_flag_filter grpc_status_filter metadata_filter log_type_filter extension_filter',
  },
  'envoy.config.accesslog.v3.AndFilter': { supported: 'filters' },
  'envoy.config.accesslog.v3.ComparisonFilter': { supported: 'op value' },
  'envoy.config.accesslog.v3.DurationFilter': { supported: 'comparison' },
  'envoy.config.accesslog.v3.ExtensionFilter': { supported: 'typed_config', accepted: { name: '' } },
  'envoy.config.accesslog.v3.GrpcStatusFilter': { supported: 'statuses exclude' },
  'envoy.config.accesslog.v3.HeaderFilter': { supported: 'header' },
  'envoy.config.accesslog.v3.LogTypeFilter': { supported: 'types exclude' },
  'envoy.config.accesslog.v3.MetadataFilter': { supported: 'matcher match_if_key_not_found' },
  'envoy.config.accesslog.v3.NotHealthCheckFilter': { supported: '' },
  'envoy.config.accesslog.v3.OrFilter': { supported: 'filters' },
  'envoy.config.accesslog.v3.ResponseFlagFilter': { supported: 'flags' },
  'envoy.config.accesslog.v3.RuntimeFilter': { supported: 'runtime_key percent_sampled', accepted: { use_independent_randomness: '' } },
  'envoy.config.accesslog.v3.StatusCodeFilter': { supported: 'comparison' },
  'envoy.config.accesslog.v3.TraceableFilter': { supported: '' },
  'envoy.config.listener.v3.AdditionalAddress': { supported: 'address', accepted: { tcp_keepalive: '', socket_options: '' } },
  'envoy.config.listener.v3.Filter': {
    supported: 'name typed_config config_discovery',
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
      'name address additional_addresses stat_prefix filter_chains filter_chain_matcher default_filter_chain per_connection_buffer_limit_bytes metadata deprecated_v1 drain_type listener_filters listener_filters_timeout continue_on_listener_filters_timeout traffic_direction access_log tcp_backlog_size bind_to_port ignore_global_conn_limit bypass_overload_manager use_original_dst transparent',
    accepted: {
      enable_reuse_port: 'one process accepts',
      stats_matcher: '',
      per_connection_buffer_high_watermark_timeout: '',
      tcp_keepalive: '',
      freebind: '',
      socket_options: '',
      tcp_fast_open_queue_length: '',
      connection_balance_config: 'connections go to the workers in turn',
      reuse_port: 'deprecated; enable_reuse_port is read',
      max_connections_to_accept_per_socket_event: '',
      enable_mptcp: '',
    },
    refused: {
      fcds_config: 'filter chain discovery is not supported',
      udp_listener_config: 'UDP listeners are not supported',
      api_listener: 'API listeners are not supported',
      internal_listener: 'internal listeners are not supported',
    },
  },
  'envoy.config.listener.v3.Listener.DeprecatedV1': { supported: 'bind_to_port' },
  'envoy.config.listener.v3.ListenerFilter': {
    supported: 'name typed_config config_discovery',
    accepted: { filter_disabled: 'the filter always runs' },
  },
  'envoy.extensions.access_loggers.file.v3.FileAccessLog': { supported: 'path format json_format typed_json_format log_format' },
  'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter': {
    supported: 'expression',
    refused: { cel_config: 'options of CEL are not supported' },
  },
  'envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig': {
    supported: 'log_name grpc_service transport_api_version buffer_flush_interval buffer_size_bytes',
    accepted: {
      filter_state_objects_to_log: '',
      grpc_stream_retry_policy: 'a stream that ends is always opened again, with backoff',
      custom_tags: '',
    },
  },
  'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig': {
    supported: 'common_config additional_request_headers_to_log additional_response_headers_to_log additional_response_trailers_to_log',
  },
  'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig': { supported: 'common_config' },
  'envoy.extensions.access_loggers.stream.v3.StderrAccessLog': { supported: 'log_format' },
  'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog': { supported: 'log_format' },
  'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector': { supported: '' },
  'envoy.extensions.filters.listener.original_dst.v3.OriginalDst': { supported: '' },
  'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol': {
    supported: 'allow_requests_without_proxy_protocol',
    accepted: {
      tlv_location: '',
      rules: '',
      pass_through_tlvs: '',
      stat_prefix: '',
    },
    refused: { disallowed_versions: 'both versions are taken' },
  },
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector': {
    supported: '',
    accepted: {
      enable_ja4_fingerprinting: '',
      close_connection_on_client_hello_parsing_errors: '',
      max_client_hello_size: '',
      enable_ja3_fingerprinting: '',
      initial_read_buffer_size: '',
    },
  },
}
