// Field support of route configurations, and the retry extensions that a route names.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const ROUTE_SUPPORT: SupportTable = {
  'envoy.config.route.v3.CorsPolicy': {
    supported:
      'allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials filter_enabled shadow_enabled allow_private_network_access forward_not_matching_preflights',
  },
  'envoy.config.route.v3.CookieMatcher': { supported: 'name string_match invert_match' },
  'envoy.config.route.v3.DirectResponseAction': {
    supported: 'status body',
    refused: { body_format: 'formatted bodies are not supported; use local_reply_config' },
  },
  'envoy.config.route.v3.FilterConfig': { supported: 'config is_optional disabled' },
  'envoy.config.route.v3.HeaderMatcher': {
    supported:
      'name exact_match safe_regex_match range_match present_match prefix_match suffix_match contains_match string_match invert_match treat_missing_header_as_empty',
  },
  'envoy.config.route.v3.HedgePolicy': {
    supported: 'hedge_on_per_try_timeout',
    accepted: { initial_requests: 'not implemented (nor in Envoy)', additional_request_chance: 'not implemented (nor in Envoy)' },
  },
  'envoy.config.route.v3.InternalRedirectPolicy': {
    supported: 'max_internal_redirects redirect_response_codes predicates allow_cross_scheme_redirect response_headers_to_copy',
  },
  'envoy.config.route.v3.NonForwardingAction': { supported: '' },
  'envoy.config.route.v3.QueryParameterMatcher': { supported: 'name string_match present_match' },
  'envoy.config.route.v3.RateLimit': {
    supported: 'stage disable_key actions',
    accepted: { x_ratelimit_option: '', limit: '' },
    refused: {
      apply_on_stream_done: 'rate limits at the end of a stream are not supported',
      hits_addend: 'every request counts once',
    },
  },
  'envoy.config.route.v3.RateLimit.Action': {
    supported:
      'source_cluster destination_cluster request_headers remote_address generic_key header_value_match dynamic_metadata metadata masked_remote_address query_parameter_value_match',
    refused: {
      extension: 'rate limit action extensions are not supported',
      query_parameters: 'values of query parameters are not supported; use query_parameter_value_match',
      remote_address_match: 'matching the remote address is not supported; use masked_remote_address',
    },
  },
  'envoy.config.route.v3.RateLimit.Action.DestinationCluster': { supported: '' },
  'envoy.config.route.v3.RateLimit.Action.DynamicMetaData': { supported: 'descriptor_key metadata_key default_value' },
  'envoy.config.route.v3.RateLimit.Action.GenericKey': { supported: 'descriptor_value descriptor_key', accepted: { default_value: '' } },
  'envoy.config.route.v3.RateLimit.Action.HeaderValueMatch': {
    supported: 'descriptor_key descriptor_value expect_match headers',
    accepted: { default_value: '' },
  },
  'envoy.config.route.v3.RateLimit.Action.MaskedRemoteAddress': { supported: 'v4_prefix_mask_len v6_prefix_mask_len' },
  'envoy.config.route.v3.RateLimit.Action.MetaData': { supported: 'descriptor_key metadata_key default_value source skip_if_absent' },
  'envoy.config.route.v3.RateLimit.Action.QueryParameterValueMatch': {
    supported: 'descriptor_key descriptor_value expect_match query_parameters',
    accepted: { default_value: '' },
  },
  'envoy.config.route.v3.RateLimit.Action.RemoteAddress': { supported: '' },
  'envoy.config.route.v3.RateLimit.Action.RequestHeaders': { supported: 'header_name descriptor_key skip_if_absent' },
  'envoy.config.route.v3.RateLimit.Action.SourceCluster': { supported: '' },
  'envoy.config.route.v3.RedirectAction': {
    supported:
      'https_redirect scheme_redirect host_redirect port_redirect path_redirect prefix_rewrite regex_rewrite path_rewrite response_code strip_query',
  },
  'envoy.config.route.v3.RetryPolicy': {
    supported:
      'retry_on num_retries per_try_timeout per_try_idle_timeout retry_priority retry_host_predicate host_selection_retry_max_attempts retriable_status_codes retry_back_off rate_limited_retry_back_off retriable_headers retriable_request_headers',
    accepted: { refresh_cluster_on_retry: 'see the metadata outrigger.retry_repick', retry_options_predicates: '' },
  },
  'envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff': { supported: 'reset_headers max_interval' },
  'envoy.config.route.v3.RetryPolicy.ResetHeader': { supported: 'name format' },
  'envoy.config.route.v3.RetryPolicy.RetryBackOff': { supported: 'base_interval max_interval' },
  'envoy.config.route.v3.RetryPolicy.RetryHostPredicate': { supported: 'name typed_config' },
  'envoy.config.route.v3.RetryPolicy.RetryPriority': { supported: 'name typed_config' },
  'envoy.config.route.v3.Route': {
    supported:
      'name match route redirect direct_response non_forwarding_action metadata typed_per_filter_config request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove stat_prefix decorator tracing',
    accepted: {
      per_request_buffer_limit_bytes: 'per_connection_buffer_limit_bytes bounds what is kept for a retry',
      request_body_buffer_limit: 'per_connection_buffer_limit_bytes bounds what is kept for a retry',
    },
    refused: { route_specifiers: 'route specifiers are not supported', filter_action: 'not implemented (nor in Envoy)' },
  },
  'envoy.config.route.v3.RouteAction': {
    supported:
      'cluster cluster_header weighted_clusters cluster_not_found_response_code metadata_match prefix_rewrite regex_rewrite path_rewrite_policy path_rewrite host_rewrite host_rewrite_literal auto_host_rewrite host_rewrite_header host_rewrite_path_regex append_x_forwarded_host timeout idle_timeout retry_policy request_mirror_policies priority rate_limits include_vh_rate_limits hash_policy cors max_grpc_timeout grpc_timeout_offset upgrade_configs hedge_policy max_stream_duration internal_redirect_policy internal_redirect_action max_internal_redirects',
    accepted: {
      flush_timeout: '',
      early_data_policy: '',
      retry_policy_typed_config: '',
    },
    refused: {
      cluster_specifier_plugin: 'cluster specifier plugins are not supported',
      inline_cluster_specifier_plugin: 'cluster specifier plugins are not supported',
    },
  },
  'envoy.config.route.v3.RouteAction.HashPolicy': {
    supported: 'header cookie connection_properties query_parameter filter_state terminal',
  },
  'envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties': { supported: 'source_ip' },
  'envoy.config.route.v3.RouteAction.HashPolicy.Cookie': { supported: 'name ttl path attributes' },
  'envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute': { supported: 'name value' },
  'envoy.config.route.v3.RouteAction.HashPolicy.FilterState': { supported: 'key' },
  'envoy.config.route.v3.RouteAction.HashPolicy.Header': { supported: 'header_name regex_rewrite' },
  'envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter': { supported: 'name' },
  'envoy.config.route.v3.RouteAction.MaxStreamDuration': {
    supported: 'max_stream_duration grpc_timeout_header_max grpc_timeout_header_offset',
  },
  'envoy.config.route.v3.RouteAction.RequestMirrorPolicy': {
    supported: 'cluster cluster_header runtime_fraction disable_shadow_host_suffix_append',
    accepted: { trace_sampled: '' },
    refused: {
      request_headers_mutations: 'header mutations of mirrored requests are not supported',
      host_rewrite_literal: 'the host of mirrored requests cannot be set',
    },
  },
  'envoy.config.route.v3.RouteAction.UpgradeConfig': { supported: 'upgrade_type enabled connect_config' },
  'envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig': {
    supported: '',
    accepted: { allow_post: '' },
    refused: { proxy_protocol_config: 'PROXY protocol towards upstreams is not supported' },
  },
  'envoy.config.route.v3.RouteConfiguration': {
    supported:
      'name virtual_hosts internal_only_headers response_headers_to_add response_headers_to_remove request_headers_to_add request_headers_to_remove most_specific_header_mutations_wins validate_clusters max_direct_response_body_size_bytes request_mirror_policies ignore_port_in_host_matching ignore_path_parameters_in_path_matching typed_per_filter_config vhds',
    accepted: { metadata: '' },
    refused: {
      vhost_header: 'virtual hosts by another header are not supported',
      route_specifiers: 'route specifiers are not supported',
      cluster_specifier_plugins: 'cluster specifier plugins are not supported',
    },
  },
  'envoy.config.route.v3.RouteList': { supported: 'routes' },
  'envoy.config.route.v3.RouteMatch': {
    supported:
      'prefix path safe_regex connect_matcher path_separated_prefix path_match_policy case_sensitive runtime_fraction headers query_parameters grpc tls_context dynamic_metadata cookies',
    refused: { filter_state: 'matching filter state is not supported' },
  },
  'envoy.config.route.v3.RouteMatch.ConnectMatcher': { supported: '' },
  'envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions': { supported: '' },
  'envoy.config.route.v3.RouteMatch.TlsContextMatchOptions': { supported: 'presented validated' },
  'envoy.config.route.v3.ScopedRouteConfiguration': {
    supported: 'name route_configuration_name route_configuration key on_demand',
  },
  'envoy.config.route.v3.ScopedRouteConfiguration.Key': { supported: 'fragments' },
  'envoy.config.route.v3.ScopedRouteConfiguration.Key.Fragment': { supported: 'string_key' },
  'envoy.config.route.v3.Vhds': { supported: 'config_source' },
  'envoy.config.route.v3.VirtualCluster': { supported: 'headers name' },
  'envoy.config.route.v3.VirtualHost': {
    supported:
      'name domains routes matcher require_tls virtual_clusters rate_limits request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove cors typed_per_filter_config include_request_attempt_count include_attempt_count_in_response retry_policy hedge_policy request_mirror_policies metadata',
    accepted: {
      per_request_buffer_limit_bytes: 'per_connection_buffer_limit_bytes bounds what is kept for a retry',
      request_body_buffer_limit: 'per_connection_buffer_limit_bytes bounds what is kept for a retry',
      retry_policy_typed_config: '',
      include_is_timeout_retry_header: '',
    },
    refused: { route_specifiers: 'route specifiers are not supported' },
  },
  'envoy.config.route.v3.WeightedCluster': {
    supported: 'clusters header_name use_hash_policy',
    accepted: { total_weight: 'the actual sum counts, as in Envoy', runtime_key_prefix: '' },
  },
  'envoy.config.route.v3.WeightedCluster.ClusterWeight': {
    supported:
      'name cluster_header weight metadata_match request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove typed_per_filter_config host_rewrite_literal',
  },
  'envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig': { supported: 'allowed_route_names' },
  'envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig': { supported: '' },
  'envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig': { supported: '' },
  'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig': { supported: 'path_template' },
  'envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig': { supported: 'path_template_rewrite' },
  'envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate': { supported: '' },
  'envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig': { supported: 'metadata_match' },
  'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate': { supported: '' },
  'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig': { supported: 'update_frequency' },
}
