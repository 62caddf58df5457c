// Field support of the HTTP filters and what only they hold: the compressors, the fault and rate limit
// messages that they share.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const HTTP_FILTER_SUPPORT: SupportTable = {
  'envoy.config.ratelimit.v3.RateLimitServiceConfig': { supported: 'grpc_service transport_api_version' },
  'envoy.extensions.common.matching.v3.ExtensionWithMatcher': {
    supported: 'xds_matcher extension_config',
    refused: { matcher: 'the old form is not supported; use xds_matcher' },
  },
  'envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute': { supported: 'xds_matcher' },
  'envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor': {
    supported: 'entries token_bucket',
    refused: { shadow_mode: 'shadow mode of single descriptors is not supported; use filter_enforced' },
  },
  'envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry': { supported: 'key value' },
  'envoy.extensions.compression.brotli.compressor.v3.Brotli': {
    supported: 'quality encoder_mode window_bits input_block_bits chunk_size disable_literal_context_modeling',
  },
  'envoy.extensions.compression.brotli.decompressor.v3.Brotli': {
    supported: 'chunk_size',
    accepted: { disable_ring_buffer_reallocation: '' },
  },
  'envoy.extensions.compression.gzip.compressor.v3.Gzip': {
    supported: 'memory_level compression_level compression_strategy window_bits chunk_size',
  },
  'envoy.extensions.compression.gzip.decompressor.v3.Gzip': { supported: 'window_bits chunk_size max_inflate_ratio' },
  'envoy.extensions.compression.zstd.compressor.v3.Zstd': {
    supported: 'compression_level enable_checksum strategy chunk_size',
    refused: { dictionary: 'zstd dictionaries are not supported' },
  },
  'envoy.extensions.compression.zstd.decompressor.v3.Zstd': {
    supported: 'chunk_size',
    refused: { dictionaries: 'zstd dictionaries are not supported' },
  },
  'envoy.extensions.filters.common.fault.v3.FaultDelay': { supported: 'fixed_delay header_delay percentage' },
  'envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay': { supported: '' },
  'envoy.extensions.filters.common.fault.v3.FaultRateLimit': { supported: 'fixed_limit header_limit percentage' },
  'envoy.extensions.filters.common.fault.v3.FaultRateLimit.FixedLimit': { supported: 'limit_kbps' },
  'envoy.extensions.filters.common.fault.v3.FaultRateLimit.HeaderLimit': { supported: '' },
  'envoy.extensions.filters.common.matcher.action.v3.SkipFilter': { supported: '' },
  'envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue': {
    supported: 'object_key factory_key format_string skip_if_empty',
    accepted: { read_only: 'nobody here changes it', shared_with_upstream: 'filter state does not go upstream' },
  },
  'envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth': { supported: 'credentials key_sources forwarding' },
  'envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute': { supported: 'credentials key_sources allowed_clients forwarding' },
  'envoy.extensions.filters.http.api_key_auth.v3.Credential': { supported: 'key client' },
  'envoy.extensions.filters.http.api_key_auth.v3.Forwarding': { supported: 'header hide_credentials' },
  'envoy.extensions.filters.http.api_key_auth.v3.KeySource': { supported: 'header query cookie' },
  'envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit': {
    supported: 'stat_prefix enable_mode limit_kbps fill_interval runtime_enabled enable_response_trailers response_trailer_prefix',
  },
  'envoy.extensions.filters.http.basic_auth.v3.BasicAuth': {
    supported: 'users forward_username_header authentication_header allow_missing emit_dynamic_metadata realm',
  },
  'envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute': { supported: 'users realm' },
  'envoy.extensions.filters.http.buffer.v3.Buffer': { supported: 'max_request_bytes' },
  'envoy.extensions.filters.http.buffer.v3.BufferPerRoute': { supported: 'disabled buffer' },
  'envoy.extensions.filters.http.composite.v3.Composite': { supported: 'named_filter_chains matcher' },
  'envoy.extensions.filters.http.composite.v3.ExecuteFilterAction': {
    supported: 'typed_config filter_chain filter_chain_name sample_percent',
    refused: { dynamic_config: 'filters of an action that come over ECDS are not supported' },
  },
  'envoy.extensions.filters.http.composite.v3.FilterChainConfiguration': { supported: 'typed_config' },
  'envoy.extensions.filters.http.compressor.v3.Compressor': {
    supported:
      'content_length content_type disable_on_etag_header remove_accept_encoding_header runtime_enabled compressor_library request_direction_config response_direction_config choose_first',
  },
  'envoy.extensions.filters.http.compressor.v3.Compressor.CommonDirectionConfig': {
    supported: 'enabled min_content_length content_type content_type_matcher',
  },
  'envoy.extensions.filters.http.compressor.v3.Compressor.RequestDirectionConfig': { supported: 'common_config' },
  'envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig': {
    supported:
      'common_config disable_on_etag_header remove_accept_encoding_header uncompressible_response_codes weaken_etag_on_compress status_header_enabled',
  },
  'envoy.extensions.filters.http.compressor.v3.CompressorOverrides': {
    supported: 'response_direction_config',
    refused: { compressor_library: 'another library for a route is not supported' },
  },
  'envoy.extensions.filters.http.compressor.v3.CompressorPerRoute': { supported: 'disabled overrides' },
  'envoy.extensions.filters.http.compressor.v3.ResponseDirectionOverrides': { supported: 'remove_accept_encoding_header' },
  'envoy.extensions.filters.http.cors.v3.Cors': { supported: '' },
  'envoy.extensions.filters.http.cors.v3.CorsPolicy': {
    supported:
      'allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials filter_enabled shadow_enabled allow_private_network_access forward_not_matching_preflights',
  },
  'envoy.extensions.filters.http.credential_injector.v3.CredentialInjector': {
    supported: 'overwrite allow_request_without_credential credential',
  },
  'envoy.extensions.filters.http.csrf.v3.CsrfPolicy': { supported: 'filter_enabled shadow_enabled additional_origins' },
  'envoy.extensions.filters.http.custom_response.v3.CustomResponse': { supported: 'custom_response_matcher' },
  'envoy.extensions.filters.http.decompressor.v3.Decompressor': {
    supported: 'decompressor_library request_direction_config response_direction_config',
  },
  'envoy.extensions.filters.http.decompressor.v3.Decompressor.CommonDirectionConfig': { supported: 'enabled ignore_no_transform_header' },
  'envoy.extensions.filters.http.decompressor.v3.Decompressor.RequestDirectionConfig': {
    supported: 'common_config advertise_accept_encoding',
  },
  'envoy.extensions.filters.http.decompressor.v3.Decompressor.ResponseDirectionConfig': { supported: 'common_config' },
  'envoy.extensions.filters.http.ext_authz.v3.AuthorizationRequest': { supported: 'allowed_headers headers_to_add' },
  'envoy.extensions.filters.http.ext_authz.v3.AuthorizationResponse': {
    supported: 'allowed_upstream_headers allowed_upstream_headers_to_append allowed_client_headers allowed_client_headers_on_success',
    accepted: { dynamic_metadata_from_headers: '' },
  },
  'envoy.extensions.filters.http.ext_authz.v3.BufferSettings': { supported: 'max_request_bytes allow_partial_message pack_as_bytes' },
  'envoy.extensions.filters.http.ext_authz.v3.CheckSettings': {
    supported: 'context_extensions',
    accepted: { emit_client_span: '', disable_request_body_buffering: '', with_request_body: '' },
    refused: { grpc_service: 'a service of the route is not supported', http_service: 'a service of the route is not supported' },
  },
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz': {
    supported:
      'grpc_service http_service transport_api_version failure_mode_allow failure_mode_allow_header_add with_request_body clear_route_cache status_on_error metadata_context_namespaces filter_enabled deny_at_disable include_peer_certificate stat_prefix allowed_headers disallowed_headers',
    accepted: {
      clear_route_cache_headers: '',
      filter_metadata: '',
      emit_filter_state_stats: '',
      max_denied_response_body_bytes: '',
      enforce_response_header_limits: '',
      emit_client_span: '',
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
    refused: {
      shadow_mode: 'shadow mode is not supported; use filter_enabled',
      decoder_header_mutation_rules: 'header mutation rules are not supported',
    },
  },
  'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute': { supported: 'disabled check_settings' },
  'envoy.extensions.filters.http.ext_authz.v3.HttpService': {
    supported: 'server_uri path_prefix authorization_request authorization_response',
    accepted: { retry_policy: '' },
    refused: { path_override: 'another path for the check is not supported; use path_prefix' },
  },
  'envoy.extensions.filters.http.ext_proc.v3.ExtProcOverrides': {
    supported: 'processing_mode grpc_service failure_mode_allow',
    accepted: { emit_client_span: '' },
    refused: {
      processing_request_modifier: 'modifiers of what the processor gets are not supported',
      async_mode: 'not implemented (nor in Envoy)',
      request_attributes: 'not implemented (nor in Envoy)',
      response_attributes: 'not implemented (nor in Envoy)',
      metadata_options: 'those of the filter count',
      grpc_initial_metadata: "the service's initial_metadata is sent",
    },
  },
  'envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute': { supported: 'disabled overrides' },
  'envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor': {
    supported:
      'grpc_service failure_mode_allow processing_mode message_timeout stat_prefix max_message_timeout forward_rules allow_mode_override disable_immediate_response mutation_rules metadata_options disable_clear_route_cache route_cache_action status_on_error request_attributes response_attributes',
    accepted: { filter_metadata: '', deferred_close_timeout: '', allow_content_length_header: '', emit_client_span: '' },
    refused: {
      http_service: 'the processor is asked by gRPC; use grpc_service',
      send_body_without_waiting_for_header_response: 'a body waits for the answer to its head',
      allowed_override_modes: 'every mode_override is taken, or none; use allow_mode_override',
      on_processing_response: 'extensions of ext_proc are not supported',
      processing_request_modifier: 'modifiers of what the processor gets are not supported',
      observability_mode: 'observability mode is not supported',
    },
  },
  'envoy.extensions.filters.http.ext_proc.v3.HeaderForwardingRules': { supported: 'allowed_headers disallowed_headers' },
  'envoy.extensions.filters.http.ext_proc.v3.MetadataOptions': {
    supported: 'forwarding_namespaces receiving_namespaces',
    refused: { cluster_metadata_forwarding_namespaces: 'metadata of clusters is not sent to the processor' },
  },
  'envoy.extensions.filters.http.ext_proc.v3.MetadataOptions.MetadataNamespaces': {
    supported: 'untyped',
    refused: { typed: 'typed metadata is not sent to the processor' },
  },
  'envoy.extensions.filters.http.ext_proc.v3.ProcessingMode': {
    supported: 'request_header_mode response_header_mode request_body_mode response_body_mode request_trailer_mode response_trailer_mode',
  },
  'envoy.extensions.filters.http.fault.v3.FaultAbort': { supported: 'http_status grpc_status header_abort percentage response_body' },
  'envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort': { supported: '' },
  'envoy.extensions.filters.http.fault.v3.HTTPFault': {
    supported:
      'delay abort upstream_cluster headers downstream_nodes max_active_faults response_rate_limit delay_percent_runtime abort_percent_runtime delay_duration_runtime abort_http_status_runtime max_active_faults_runtime response_rate_limit_percent_runtime abort_grpc_status_runtime disable_downstream_cluster_stats filter_metadata',
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
    supported: 'mutations most_specific_header_mutations_wins',
  },
  'envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute': { supported: 'mutations' },
  'envoy.extensions.filters.http.header_mutation.v3.Mutations': {
    supported:
      'request_mutations response_mutations response_trailers_mutations request_trailers_mutations formatters query_parameter_mutations',
  },
  'envoy.extensions.filters.http.header_to_metadata.v3.Config': {
    supported: 'request_rules response_rules',
    accepted: { stat_prefix: '' },
  },
  'envoy.extensions.filters.http.header_to_metadata.v3.Config.KeyValuePair': {
    supported: 'metadata_namespace key value regex_value_rewrite type encode',
  },
  'envoy.extensions.filters.http.header_to_metadata.v3.Config.Rule': {
    supported: 'header cookie on_header_present on_header_missing remove',
  },
  'envoy.extensions.filters.http.health_check.v3.HealthCheck': {
    supported: 'pass_through_mode cache_time cluster_min_healthy_percentages headers',
  },
  'envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata': { supported: 'request_rules response_rules' },
  'envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata.KeyValuePair': {
    supported: 'metadata_namespace key value type preserve_existing_metadata_value',
  },
  'envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata.MatchRules': {
    supported: 'rules allow_content_types allow_empty_content_type allow_content_types_regex',
  },
  'envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata.Rule': { supported: 'selectors on_present on_missing on_error' },
  'envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata.Selector': { supported: 'key' },
  'envoy.extensions.filters.http.jwt_authn.v3.JwksAsyncFetch': {
    supported: 'failed_refetch_duration',
    accepted: { fast_listener: 'listeners never wait for keys' },
  },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication': {
    supported: 'providers rules bypass_cors_preflight requirement_map strip_failure_response stat_prefix',
    refused: { filter_state_rules: 'filter state rules are not supported' },
  },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtCacheConfig': { supported: 'jwt_cache_size', accepted: { jwt_max_token_size: '' } },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtClaimToHeader': {
    supported: 'header_name claim_name',
    refused: { claim_path: 'a path is not supported; use claim_name' },
  },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtHeader': { supported: 'name value_prefix' },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtProvider': {
    supported:
      'issuer audiences subjects require_expiration max_lifetime remote_jwks local_jwks forward from_headers from_params from_cookies forward_payload_header pad_forward_payload_header payload_in_metadata normalize_payload_in_metadata header_in_metadata failed_status_in_metadata clock_skew_seconds jwt_cache_config claim_to_headers clear_route_cache',
  },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.NormalizePayload': { supported: 'space_delimited_claims' },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement': {
    supported: 'provider_name provider_and_audiences requires_any requires_all allow_missing_or_failed allow_missing',
    refused: { extract_only_without_validation: 'claims of tokens that are not verified are not taken' },
  },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtRequirementAndList': { supported: 'requirements' },
  'envoy.extensions.filters.http.jwt_authn.v3.JwtRequirementOrList': { supported: 'requirements' },
  'envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig': { supported: 'disabled requirement_name' },
  'envoy.extensions.filters.http.jwt_authn.v3.ProviderWithAudiences': { supported: 'provider_name audiences' },
  'envoy.extensions.filters.http.jwt_authn.v3.RemoteJwks': { supported: 'http_uri cache_duration async_fetch retry_policy' },
  'envoy.extensions.filters.http.jwt_authn.v3.RequirementRule': { supported: 'match requires requirement_name' },
  'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit': {
    supported:
      'stat_prefix status token_bucket filter_enabled filter_enforced request_headers_to_add_when_not_enforced response_headers_to_add descriptors stage local_rate_limit_per_downstream_connection enable_x_ratelimit_headers rate_limited_as_resource_exhausted vh_rate_limits rate_limits max_dynamic_descriptors always_consume_default_token_bucket',
    accepted: { enable_retry_after_header: '', local_cluster_rate_limit: '' },
  },
  'envoy.extensions.filters.http.oauth2.v3.CookieConfig': { supported: 'same_site path partitioned' },
  'envoy.extensions.filters.http.oauth2.v3.CookieConfigs': {
    supported:
      'bearer_token_cookie_config oauth_hmac_cookie_config oauth_expires_cookie_config id_token_cookie_config refresh_token_cookie_config oauth_nonce_cookie_config code_verifier_cookie_config',
  },
  'envoy.extensions.filters.http.oauth2.v3.OAuth2': { supported: 'config' },
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Config': {
    supported:
      'token_endpoint retry_policy authorization_endpoint end_session_endpoint post_logout_redirect_uri credentials redirect_uri redirect_path_matcher signout_path forward_bearer_token forward_id_token preserve_authorization_header pass_through_matcher auth_scopes resources auth_type use_refresh_token default_expires_in deny_redirect_matcher default_refresh_token_expires_in disable_id_token_set_cookie disable_access_token_set_cookie disable_refresh_token_set_cookie cookie_configs stat_prefix csrf_token_expires_in code_verifier_token_expires_in disable_token_encryption allow_failed_matcher original_request_uri allowed_redirect_domains use_access_token_expiry_for_id_token_cookie',
    refused: {
      private_key_jwt_config: 'private key JWTs are not supported; use URL_ENCODED_BODY, BASIC_AUTH or TLS_CLIENT_AUTH',
      token_cookie_chunking: 'a token stands in one cookie',
    },
  },
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials': {
    supported: 'client_id token_secret hmac_secret cookie_names cookie_domain',
  },
  'envoy.extensions.filters.http.oauth2.v3.OAuth2Credentials.CookieNames': {
    supported: 'bearer_token oauth_hmac oauth_expires id_token refresh_token oauth_nonce code_verifier',
  },
  'envoy.extensions.filters.http.oauth2.v3.OAuth2PerRoute': { supported: 'config' },
  'envoy.extensions.filters.http.oauth2.v3.OAuth2TokenForwarding': { supported: 'header' },
  'envoy.extensions.filters.http.oauth2.v3.PostLogoutRedirectUri': { supported: 'disabled uri' },
  'envoy.extensions.filters.http.on_demand.v3.OnDemand': { supported: 'odcds' },
  'envoy.extensions.filters.http.on_demand.v3.OnDemandCds': {
    supported: 'source timeout',
    refused: { resources_locator: 'xdstp:// collections are not supported; clusters are asked for by their names' },
  },
  'envoy.extensions.filters.http.on_demand.v3.PerRouteConfig': { supported: 'odcds' },
  'envoy.extensions.filters.http.ratelimit.v3.RateLimit': {
    supported:
      'domain stage request_type timeout failure_mode_deny rate_limited_as_resource_exhausted rate_limit_service enable_x_ratelimit_headers disable_x_envoy_ratelimited_header rate_limited_status response_headers_to_add status_on_error',
    accepted: {
      filter_enabled: 'the limit always applies',
      filter_enforced: 'the limit always applies',
      failure_mode_deny_percent: '',
      metadata_namespace: '',
      enable_retry_after_header: '',
      stat_prefix: '',
    },
    refused: { rate_limits: 'rate limit actions of the filter are not supported; use those of the route' },
  },
  'envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute': {
    supported: 'vh_rate_limits domain',
    accepted: { override_option: 'not implemented (nor in Envoy)' },
    refused: { rate_limits: 'rate limit actions of the filter are not supported; use those of the route' },
  },
  'envoy.extensions.filters.http.rbac.v3.RBAC': {
    supported: 'rules rules_stat_prefix matcher shadow_rules shadow_matcher shadow_rules_stat_prefix track_per_rule_stats',
  },
  'envoy.extensions.filters.http.rbac.v3.RBACPerRoute': { supported: 'rbac' },
  'envoy.extensions.filters.http.router.v3.Router': {
    supported:
      'dynamic_stats start_child_span suppress_envoy_headers strict_check_headers respect_expected_rq_timeout upstream_http_filters',
    accepted: {
      suppress_grpc_request_failure_code_stats: 'a gRPC failure counts by its HTTP status',
      reject_connect_request_early_data: '',
      upstream_log: '',
      upstream_log_options: '',
    },
  },
  'envoy.extensions.filters.http.set_filter_state.v3.Config': { supported: 'on_request_headers clear_route_cache' },
  'envoy.extensions.filters.http.set_metadata.v3.Config': { supported: 'metadata_namespace value metadata' },
  'envoy.extensions.filters.http.set_metadata.v3.Metadata': {
    supported: 'metadata_namespace allow_overwrite value',
    refused: { typed_value: 'typed dynamic metadata is not supported; use value' },
  },
  'envoy.extensions.filters.http.stateful_session.v3.StatefulSession': {
    supported: 'session_state strict stat_prefix status_on_strict_destination_not_found',
  },
  'envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute': { supported: 'disabled stateful_session' },
  'envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec': { supported: '' },
  'envoy.extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy': {
    supported: 'body body_format status_code response_headers_to_add preserve_response_code_details response_code_details',
  },
  'envoy.extensions.http.custom_response.redirect_policy.v3.RedirectPolicy': {
    supported: 'uri redirect_action status_code response_headers_to_add request_headers_to_add',
    refused: { modify_request_headers_action: 'actions on request headers are extensions, and there is none; use request_headers_to_add' },
  },
  'envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation': { supported: 'mutations' },
  'envoy.extensions.http.injected_credentials.generic.v3.Generic': { supported: 'credential header header_value_prefix' },
  'envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState': { supported: 'cookie' },
  'envoy.extensions.http.stateful_session.envelope.v3.EnvelopeSessionState': { supported: 'header' },
  'envoy.extensions.http.stateful_session.envelope.v3.EnvelopeSessionState.Header': { supported: 'name' },
  'envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState': { supported: 'name' },
  'envoy.type.http.v3.Cookie': { supported: 'name ttl path attributes' },
  'envoy.type.http.v3.CookieAttribute': { supported: 'name value' },
}
