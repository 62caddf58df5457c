// Field support of the HTTP connection manager and the extensions that only it holds.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const HTTP_CONNECTION_MANAGER_SUPPORT: SupportTable = {
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager': {
    supported:
      'codec_type stat_prefix rds route_config scoped_routes http_filters add_user_agent common_http_protocol_options http_protocol_options http2_protocol_options server_name server_header_transformation scheme_header_transformation max_request_headers_kb stream_idle_timeout request_timeout request_headers_timeout drain_timeout delayed_close_timeout access_log use_remote_address xff_num_trusted_hops original_ip_detection_extensions early_header_mutation_extensions internal_address_config skip_xff_append via generate_request_id preserve_external_request_id always_set_request_id_in_response forward_client_cert_details set_current_client_cert_details proxy_100_continue upgrade_configs normalize_path merge_slashes path_with_escaped_slashes_action local_reply_config strip_matching_host_port strip_any_host_port strip_trailing_host_dot append_x_forwarded_port append_local_overload tracing request_id_extension',
    accepted: {
      stream_error_on_invalid_http_message: 'HTTP/1 connections end, HTTP/2 streams end',
      http1_safe_max_connection_duration: 'connections always end between requests',
      stream_flush_timeout: '',
      drain_timeout_jitter: '',
      record_route_resolution_stats: '',
      http3_protocol_options: '',
      access_log_flush_interval: '',
      flush_access_log_on_new_request: '',
      access_log_options: '',
      represent_ipv4_remote_address_as_ipv4_mapped_ipv6: '',
      proxy_status_config: '',
      typed_header_validation_config: '',
      add_proxy_protocol_connection_state: '',
    },
    refused: {
      forward_proto_config: 'x-forwarded-proto by the destination port is not supported',
      forward_client_cert_matcher: 'the matcher API is not supported; use forward_client_cert_details',
      path_normalization_options: 'not implemented (nor in Envoy)',
    },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig': {
    supported: 'cidr_ranges',
    accepted: { unix_sockets: '' },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails': {
    supported: 'subject cert chain dns uri',
    accepted: { issuer: '' },
    refused: { format: 'x-forwarded-client-cert is text' },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig': {
    supported: 'upgrade_type enabled',
    refused: { filters: 'filters of an upgrade are not supported; those of the connection manager run' },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter': {
    supported: 'name typed_config config_discovery is_optional disabled',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig': { supported: 'mappers body_format' },
  'envoy.extensions.filters.network.http_connection_manager.v3.Rds': { supported: 'config_source route_config_name' },
  'envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper': {
    supported: 'filter status_code body body_format_override headers_to_add',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.ScopedRds': {
    supported: 'scoped_rds_config_source',
    refused: { srds_resources_locator: 'scoped routes come from scoped_rds_config_source' },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.ScopedRouteConfigurationsList': {
    supported: 'scoped_route_configurations',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes': {
    supported: 'name scope_key_builder rds_config_source scoped_route_configurations_list scoped_rds',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder': { supported: 'fragments' },
  'envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder': {
    supported: 'header_value_extractor',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor': {
    supported: 'name element_separator index element',
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes.ScopeKeyBuilder.FragmentBuilder.HeaderValueExtractor.KvElement':
    { supported: 'separator key' },
  'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig': {
    supported: '',
    accepted: { forward_reason_phrase: '', formatter_type_on_envoy_headers: '' },
  },
  'envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig': {
    supported: 'header_name allow_extension_to_set_address_as_trusted reject_with_status',
  },
  'envoy.extensions.http.original_ip_detection.xff.v3.XffConfig': {
    supported: 'xff_num_trusted_hops xff_trusted_cidrs skip_xff_append',
  },
  'envoy.extensions.http.original_ip_detection.xff.v3.XffTrustedCidrs': { supported: 'cidrs' },
}
