// Fields of Envoy 1.40's API that are younger than the .proto files that @grpc/grpc-js-xds ships, by file and message; put into
// the copies that generate-protos.mjs compiles, so that they are read, listed or refused like any other field instead of being
// unknown. Numbers and types are those of Envoy's API. A field whose type is not there either is left out.

const MATCHER = 'envoy/type/matcher/v3/string.proto'
const PERCENT = 'envoy/type/v3/percent.proto'
const WRAPPERS = 'google/protobuf/wrappers.proto'
const DURATION = 'google/protobuf/duration.proto'
const STRUCT = 'google/protobuf/struct.proto'
const ANY = 'google/protobuf/any.proto'
const EXTENSION = 'envoy/config/core/v3/extension.proto'
const ADDRESS = 'envoy/config/core/v3/address.proto'
const STATS = 'envoy/config/metrics/v3/stats.proto'
const XDS_MATCHER = 'xds/type/matcher/v3/matcher.proto'
const MUTATION = 'envoy/config/common/mutation_rules/v3/mutation_rules.proto'
const BASE = 'envoy/config/core/v3/base.proto'
const FORMAT = 'envoy/config/core/v3/substitution_format_string.proto'
const GRPC = 'envoy/config/core/v3/grpc_service.proto'
const ROUTE = 'envoy/config/route/v3/route_components.proto'
const BACKOFF = 'envoy/config/core/v3/backoff.proto'
const HTTP_SERVICE = 'envoy/config/core/v3/http_service.proto'
const CUSTOM_TAG = 'envoy/type/tracing/v3/custom_tag.proto'

const bool = 'google.protobuf.BoolValue'
const uint32 = 'google.protobuf.UInt32Value'
const uint64 = 'google.protobuf.UInt64Value'
const duration = 'google.protobuf.Duration'
const percent = 'envoy.type.v3.Percent'
const extension = 'envoy.config.core.v3.TypedExtensionConfig'
const fraction = 'envoy.config.core.v3.RuntimeFractionalPercent'

/** The message is in a file that is younger as a whole; of whoever uses it the field is refused. */
const CEL_CONFIG =
  'message CelExpressionConfig {\n  bool enable_string_conversion = 1;\n  bool enable_string_concat = 2;\n  bool enable_string_functions = 3;\n}'

/**
 * file -> { imports, messages and enums added at its end, options that are gone by now, path of a message (or a oneof in it) -> field
 * declarations }.
 */
export const NEWER_FIELDS = {
  'envoy/config/bootstrap/v3/bootstrap.proto': {
    imports: [MATCHER, DURATION],
    fields: {
      Bootstrap: [`${duration} stats_eviction_interval = 42`, 'bool enable_worker_cpu_affinity = 43'],
      Admin: ['repeated envoy.type.matcher.v3.StringMatcher allow_paths = 7'],
    },
  },
  'envoy/config/cluster/v3/circuit_breaker.proto': {
    imports: [DURATION],
    fields: { 'CircuitBreakers.Thresholds.RetryBudget': [`${duration} budget_interval = 3`] },
  },
  'envoy/config/cluster/v3/cluster.proto': {
    imports: [XDS_MATCHER, STATS, DURATION, EXTENSION, 'envoy/type/matcher/v3/metadata.proto'],
    messages: [`message QueuingPolicies {\n  ${extension} pending_rq_policy = 1;\n}`],
    fields: {
      Cluster: [
        'xds.type.matcher.v3.Matcher transport_socket_matcher = 59',
        'envoy.config.metrics.v3.StatsMatcher stats_matcher = 61',
        `${duration} per_connection_buffer_high_watermark_timeout = 60`,
        `${duration} dns_jitter = 58`,
        'QueuingPolicies queuing_policies = 62',
      ],
      'Cluster.PreconnectPolicy': ['envoy.type.matcher.v3.MetadataMatcher preconnect_enabled_metadata = 3'],
    },
  },
  'envoy/config/cluster/v3/outlier_detection.proto': {
    imports: [WRAPPERS],
    fields: { OutlierDetection: [`${bool} detect_degraded_hosts = 26`] },
  },
  'envoy/config/core/v3/address.proto': {
    fields: { SocketAddress: ['string network_namespace_filepath = 7'], BindConfig: ['bool validate_network_namespaces = 7'] },
  },
  'envoy/config/core/v3/base.proto': {
    imports: [STRUCT],
    // A record may stand in its place.
    dropped: ['KeyValue entry = 1 [(validate.rules).message = {required: true}]'],
    messages: [
      'message KeyValuePair {\n  string key = 1 [(validate.rules).string = {min_len: 1, max_bytes: 16384}];\n  google.protobuf.Value value = 2;\n}',
    ],
    fields: {
      WatchedDirectory: ['bool watch_modify = 2'],
      KeyValueAppend: ['KeyValuePair record = 3', 'KeyValue entry = 1'],
    },
  },
  'envoy/config/core/v3/config_source.proto': {
    imports: [DURATION],
    fields: { PathConfigSource: [`${duration} poll_interval = 3`] },
  },
  'envoy/config/core/v3/grpc_service.proto': {
    imports: [ANY],
    fields: {
      'GrpcService.GoogleGrpc': [
        'repeated google.protobuf.Any channel_credentials_plugin = 9',
        'repeated google.protobuf.Any call_credentials_plugin = 10',
      ],
    },
  },
  'envoy/config/core/v3/health_check.proto': {
    fields: { HealthCheck: ['string name = 27'], 'HealthCheck.HttpHealthCheck': ['bool use_alpn_protocol = 15'] },
  },
  'envoy/config/core/v3/protocol.proto': {
    imports: [PERCENT, WRAPPERS, MATCHER],
    fields: {
      HttpProtocolOptions: [`${percent} max_connection_duration_jitter = 8`, `${uint32} max_response_headers_kb = 7`],
      Http1ProtocolOptions: ['repeated envoy.type.matcher.v3.StringMatcher ignore_http_11_upgrade = 11'],
      Http2ProtocolOptions: [
        `${uint64} max_metadata_size = 17`,
        `${bool} enable_huffman_encoding = 18`,
        `${uint32} max_header_field_size_kb = 19`,
        `${bool} disallow_obs_text = 20`,
        `${uint64} stream_reset_burst = 21`,
        `${uint64} stream_reset_rate = 22`,
      ],
    },
  },
  'envoy/config/core/v3/http_service.proto': {
    imports: [EXTENSION],
    fields: { HttpService: [`repeated ${extension} formatters = 3`] },
  },
  'envoy/config/endpoint/v3/endpoint_components.proto': { fields: { Endpoint: ['string observability_name = 5'] } },
  'envoy/config/listener/v3/listener.proto': {
    imports: [STATS, DURATION, ADDRESS, 'envoy/config/core/v3/config_source.proto'],
    messages: ['message FcdsConfig {\n  string name = 1;\n  envoy.config.core.v3.ConfigSource config_source = 2;\n}'],
    fields: {
      AdditionalAddress: ['envoy.config.core.v3.TcpKeepalive tcp_keepalive = 3'],
      Listener: [
        'envoy.config.metrics.v3.StatsMatcher stats_matcher = 39',
        `${duration} per_connection_buffer_high_watermark_timeout = 38`,
        'envoy.config.core.v3.TcpKeepalive tcp_keepalive = 37',
        'FcdsConfig fcds_config = 36',
      ],
    },
  },
  'envoy/config/metrics/v3/stats.proto': {
    imports: [WRAPPERS],
    fields: {
      StatsConfig: [`${bool} allow_default_tag_overrides = 5`],
      HistogramBucketSettings: [`${uint32} bins = 3`],
      StatsdSink: ['bool scale_histogram_units_to_milliseconds = 4'],
      DogStatsdSink: ['bool scale_histogram_units_to_milliseconds = 5'],
    },
  },
  'envoy/config/overload/v3/overload.proto': {
    fields: { 'ScaleTimersOverloadActionConfig.TimerType': ['HTTP_DOWNSTREAM_CONNECTION_MAX = 4', 'HTTP_DOWNSTREAM_STREAM_FLUSH = 5'] },
  },
  'envoy/type/metadata/v3/metadata.proto': { fields: { 'MetadataKey.PathSegment.segment': ['uint32 index = 2'] } },
  'envoy/extensions/transport_sockets/tls/v3/secret.proto': {
    fields: { GenericSecret: ['map<string, envoy.config.core.v3.DataSource> secrets = 2'] },
  },
  'envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.proto': {
    messages: ['enum TlvLocation {\n  DYNAMIC_METADATA = 0;\n  FILTER_STATE = 1;\n}'],
    fields: { ProxyProtocol: ['TlvLocation tlv_location = 6'] },
  },
  'envoy/config/rbac/v3/rbac.proto': {
    imports: [EXTENSION],
    messages: [
      'enum MetadataSource {\n  DYNAMIC = 0;\n  ROUTE = 1;\n}',
      'message SourcedMetadata {\n  envoy.type.matcher.v3.MetadataMatcher metadata_matcher = 1 [(validate.rules).message = {required: true}];\n  MetadataSource metadata_source = 2 [(validate.rules).enum = {defined_only: true}];\n}',
      CEL_CONFIG,
    ],
    fields: {
      'Permission.rule': ['SourcedMetadata sourced_metadata = 14'],
      'Principal.identifier': ['SourcedMetadata sourced_metadata = 13', `${extension} custom = 14`],
      Policy: ['CelExpressionConfig cel_config = 5'],
    },
  },
  [MUTATION]: {
    imports: [MATCHER],
    messages: ['message RemoveOnMatch {\n  envoy.type.matcher.v3.StringMatcher key_matcher = 1;\n}'],
    fields: { 'HeaderMutation.action': ['RemoveOnMatch remove_on_match = 3'] },
  },
  'envoy/config/accesslog/v3/accesslog.proto': { fields: { 'ComparisonFilter.Op': ['NE = 3'] } },
  'envoy/config/metrics/v3/metrics_service.proto': { fields: { MetricsServiceConfig: ['uint32 batch_size = 6'] } },
  'envoy/extensions/access_loggers/filters/cel/v3/cel.proto': {
    messages: [CEL_CONFIG],
    fields: { ExpressionFilter: ['CelExpressionConfig cel_config = 2'] },
  },
  'envoy/extensions/filters/network/ext_authz/v3/ext_authz.proto': {
    fields: {
      ExtAuthz: [
        'bool send_tls_alert_on_denial = 9',
        'repeated string metadata_context_namespaces = 10',
        'repeated string typed_metadata_context_namespaces = 11',
        'bool shadow_mode = 12',
      ],
    },
  },
  'envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap.proto': {
    messages: ['message RuntimeUInt64 {\n  uint64 default_value = 2;\n  string runtime_key = 3;\n}'],
    fields: { FixedHeapConfig: ['RuntimeUInt64 max_heap_size_bytes_runtime = 2'] },
  },
  'envoy/extensions/stat_sinks/open_telemetry/v3/open_telemetry.proto': {
    imports: [EXTENSION, HTTP_SERVICE, XDS_MATCHER],
    fields: {
      SinkConfig: [
        `repeated ${extension} resource_detectors = 7`,
        'xds.type.matcher.v3.Matcher custom_metric_conversions = 8',
        'uint32 max_data_points_per_request = 10',
        'envoy.config.core.v3.HttpService http_service = 9',
      ],
    },
  },
  'xds/type/matcher/v3/string.proto': {
    imports: ['xds/core/v3/extension.proto'],
    fields: { 'StringMatcher.match_pattern': ['xds.core.v3.TypedExtensionConfig custom = 8'] },
  },
  'envoy/config/route/v3/route.proto': {
    imports: [EXTENSION],
    fields: { RouteConfiguration: ['string vhost_header = 18', `repeated ${extension} route_specifiers = 19`] },
  },
  'envoy/config/route/v3/route_components.proto': {
    imports: [WRAPPERS, DURATION, EXTENSION, FORMAT, MUTATION, 'envoy/type/matcher/v3/filter_state.proto'],
    messages: [
      `message CookieMatcher {
  string name = 1 [(validate.rules).string = {min_len: 1}];
  envoy.type.matcher.v3.StringMatcher string_match = 2 [(validate.rules).message = {required: true}];
  bool invert_match = 3;
}`,
      `message RateLimitHitsAddend {
  ${uint64} number = 1;
  string format = 2;
  bool is_negative_hits = 3;
}`,
      'message RateLimitQueryParameters {\n  string query_parameter_name = 1;\n  string descriptor_key = 2;\n  bool skip_if_absent = 3;\n}',
      'message RateLimitRemoteAddressMatch {\n  string descriptor_value = 1;\n  string descriptor_key = 2;\n  string default_value = 3;\n}',
    ],
    fields: {
      VirtualHost: [`${uint64} request_body_buffer_limit = 25`, `repeated ${extension} route_specifiers = 26`],
      Route: [`${uint64} request_body_buffer_limit = 20`, `repeated ${extension} route_specifiers = 21`],
      WeightedCluster: [`${bool} use_hash_policy = 5`],
      RouteMatch: ['repeated CookieMatcher cookies = 17', 'repeated envoy.type.matcher.v3.FilterStateMatcher filter_state = 16'],
      RouteAction: ['string path_rewrite = 45', 'string host_rewrite = 44', `${duration} flush_timeout = 42`],
      'RouteAction.RequestMirrorPolicy': [
        'repeated envoy.config.common.mutation_rules.v3.HeaderMutation request_headers_mutations = 7',
        'string host_rewrite_literal = 8',
      ],
      RetryPolicy: ['bool refresh_cluster_on_retry = 14'],
      RedirectAction: ['string path_rewrite = 10'],
      Tracing: ['string operation = 5', 'string upstream_operation = 6'],
      DirectResponseAction: ['envoy.config.core.v3.SubstitutionFormatString body_format = 3'],
      RateLimit: ['bool apply_on_stream_done = 6', 'uint32 x_ratelimit_option = 7', 'RateLimitHitsAddend hits_addend = 5'],
      'RateLimit.Action.action_specifier': [
        'RateLimitQueryParameters query_parameters = 12',
        'RateLimitRemoteAddressMatch remote_address_match = 13',
      ],
      'RateLimit.Action.GenericKey': ['string default_value = 3'],
      'RateLimit.Action.HeaderValueMatch': ['string default_value = 5'],
      'RateLimit.Action.QueryParameterValueMatch': ['string default_value = 5'],
    },
  },
  'envoy/config/trace/v3/opentelemetry.proto': {
    imports: [WRAPPERS, EXTENSION],
    fields: {
      OpenTelemetryConfig: [
        `${uint32} max_cache_size = 6`,
        `${bool} set_telemetry_sdk_resource_attributes = 7`,
        `${bool} set_service_name_resource_attribute = 8`,
        `${bool} set_instrumentation_scope = 9`,
        `${extension} exporter = 10`,
      ],
    },
  },
  'envoy/config/trace/v3/zipkin.proto': {
    imports: [HTTP_SERVICE],
    // Either of the two forms of a collector is enough since collector_service is there.
    dropped: [' [(validate.rules).string = {min_len: 1}]'],
    messages: ['enum TraceContextOption {\n  USE_B3 = 0;\n  USE_B3_WITH_W3C_PROPAGATION = 1;\n}'],
    fields: {
      ZipkinConfig: [
        'TraceContextOption trace_context_option = 8',
        'envoy.config.core.v3.HttpService collector_service = 9',
        'bool timestamp_trace_ids = 10',
      ],
    },
  },
  'envoy/extensions/access_loggers/open_telemetry/v3/logs_service.proto': {
    imports: [EXTENSION, GRPC, HTTP_SERVICE, CUSTOM_TAG, DURATION, WRAPPERS],
    dropped: [' [(validate.rules).message = {required: true}]'],
    fields: {
      OpenTelemetryAccessLogConfig: [
        'envoy.config.core.v3.HttpService http_service = 8',
        'envoy.config.core.v3.GrpcService grpc_service = 9',
        'string log_name = 10',
        `${duration} buffer_flush_interval = 11`,
        `${uint32} buffer_size_bytes = 12`,
        'repeated string filter_state_objects_to_log = 13',
        'repeated envoy.type.tracing.v3.CustomTag custom_tags = 14',
        `repeated ${extension} resource_detectors = 15`,
      ],
    },
  },
  [CUSTOM_TAG]: {
    messages: ['enum CustomTagValueType {\n  UNSPECIFIED = 0;\n  STRING = 1;\n  INT = 2;\n  DOUBLE = 3;\n  BOOL = 4;\n}'],
    fields: { 'CustomTag.type': ['string value = 6'], CustomTag: ['CustomTagValueType value_type = 7'] },
  },
  'envoy/extensions/common/ratelimit/v3/ratelimit.proto': {
    // Of an entry's key the decoder asks it; a value may be empty by now, and stands for any.
    dropped: [' [(validate.rules).string = {min_len: 1}]'],
    fields: { LocalRateLimitDescriptor: ['bool shadow_mode = 3'] },
  },
  'envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.proto': {
    imports: [DURATION, WRAPPERS],
    fields: {
      CaresDnsResolverConfig: [
        `${uint64} query_timeout_seconds = 6 [(validate.rules).uint64 = {gte: 1}]`,
        `${uint32} query_tries = 7 [(validate.rules).uint32 = {gte: 1}]`,
        'bool rotate_nameservers = 8',
        `${uint32} edns0_max_payload_size = 9 [(validate.rules).uint32 = {gte: 512 lte: 4096}]`,
        `${duration} max_udp_channel_duration = 10 [(validate.rules).duration = {gte {}}]`,
        'bool reinit_channel_on_timeout = 11',
        `${uint32} qcache_max_ttl = 12`,
      ],
    },
  },
  'envoy/extensions/network/dns_resolver/getaddrinfo/v3/getaddrinfo_dns_resolver.proto': {
    imports: [WRAPPERS],
    fields: { GetAddrInfoDnsResolverConfig: [`${uint32} num_retries = 1`, `${uint32} num_resolver_threads = 2`] },
  },
  'envoy/extensions/filters/http/composite/v3/composite.proto': {
    imports: [XDS_MATCHER],
    messages: [`message FilterChainConfiguration {\n  repeated ${extension} typed_config = 1;\n}`],
    fields: {
      Composite: ['map<string, FilterChainConfiguration> named_filter_chains = 1', 'xds.type.matcher.v3.Matcher matcher = 2'],
      ExecuteFilterAction: ['FilterChainConfiguration filter_chain = 4', 'string filter_chain_name = 5'],
    },
  },
  'envoy/extensions/filters/http/compressor/v3/compressor.proto': {
    imports: [MATCHER, EXTENSION],
    fields: {
      CompressorOverrides: [`${extension} compressor_library = 2`],
      'Compressor.CommonDirectionConfig': ['repeated envoy.type.matcher.v3.StringMatcher content_type_matcher = 4'],
      'Compressor.ResponseDirectionConfig': [
        'bool weaken_etag_on_compress = 6',
        'repeated uint32 uncompressible_response_codes = 4',
        'bool status_header_enabled = 5',
      ],
    },
  },
  'envoy/extensions/filters/http/ext_authz/v3/ext_authz.proto': {
    imports: [STRUCT, WRAPPERS, BASE, GRPC],
    fields: {
      ExtAuthz: [
        'repeated string clear_route_cache_headers = 34',
        'google.protobuf.Struct filter_metadata = 28',
        'bool emit_filter_state_stats = 29',
        'uint32 max_denied_response_body_bytes = 30',
        'bool enforce_response_header_limits = 31',
        'bool shadow_mode = 32',
        `${bool} emit_client_span = 33`,
      ],
      HttpService: ['string path_override = 10', 'envoy.config.core.v3.RetryPolicy retry_policy = 9'],
      CheckSettings: ['envoy.config.core.v3.GrpcService grpc_service = 4', 'HttpService http_service = 5', `${bool} emit_client_span = 6`],
    },
  },
  'envoy/extensions/filters/http/ext_proc/v3/ext_proc.proto': {
    imports: [EXTENSION, HTTP_SERVICE, WRAPPERS, 'envoy/type/v3/http_status.proto'],
    messages: ['message ExtProcHttpService {\n  envoy.config.core.v3.HttpService http_service = 1;\n}'],
    fields: {
      ExternalProcessor: [
        'ExtProcHttpService http_service = 20',
        'bool send_body_without_waiting_for_header_response = 21',
        'repeated ProcessingMode allowed_override_modes = 22',
        `${extension} on_processing_response = 23`,
        'envoy.type.v3.HttpStatus status_on_error = 24',
        `${extension} processing_request_modifier = 25`,
        'bool allow_content_length_header = 26',
        `${bool} emit_client_span = 27`,
      ],
      ExtProcOverrides: [`${bool} failure_mode_allow = 8`, `${extension} processing_request_modifier = 9`, `${bool} emit_client_span = 10`],
      MetadataOptions: ['MetadataNamespaces cluster_metadata_forwarding_namespaces = 3'],
    },
  },
  'envoy/extensions/filters/http/ext_proc/v3/processing_mode.proto': {
    fields: { 'ProcessingMode.BodySendMode': ['FULL_DUPLEX_STREAMED = 4', 'GRPC = 5'] },
  },
  'envoy/extensions/filters/http/fault/v3/fault.proto': { fields: { FaultAbort: ['string response_body = 6'] } },
  'envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto': {
    imports: [EXTENSION, MUTATION, BASE],
    fields: {
      Mutations: [
        'repeated envoy.config.core.v3.KeyValueMutation query_parameter_mutations = 3',
        'repeated envoy.config.common.mutation_rules.v3.HeaderMutation response_trailers_mutations = 4',
        'repeated envoy.config.common.mutation_rules.v3.HeaderMutation request_trailers_mutations = 5',
        `repeated ${extension} formatters = 6`,
      ],
    },
  },
  'envoy/type/matcher/v3/status_code_input.proto': { messages: ['message HttpResponseLocalReplyMatchInput {}'], fields: {} },
  'envoy/extensions/filters/http/set_filter_state/v3/set_filter_state.proto': { fields: { Config: ['bool clear_route_cache = 2'] } },
  'envoy/extensions/http/injected_credentials/generic/v3/generic.proto': { fields: { Generic: ['string header_value_prefix = 3'] } },
  'envoy/extensions/http/injected_credentials/oauth2/v3/oauth2.proto': {
    messages: ['message EndpointParameter {\n  string name = 1 [(validate.rules).string = {min_len: 1}];\n  string value = 2;\n}'],
    // Not needed by every auth_type any more.
    dropped: [
      `transport_sockets.tls.v3.SdsSecretConfig client_secret = 2
        [(validate.rules).message = {required: true}]`,
    ],
    fields: {
      OAuth2: ['repeated EndpointParameter endpoint_params = 5'],
      'OAuth2.AuthType': ['TLS_CLIENT_AUTH = 2'],
      'OAuth2.ClientCredentials': ['envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig client_secret = 2'],
    },
  },
  'envoy/extensions/filters/http/oauth2/v3/oauth.proto': {
    imports: [BASE, DURATION, WRAPPERS],
    dropped: [
      `transport_sockets.tls.v3.SdsSecretConfig token_secret = 2
      [(validate.rules).message = {required: true}]`,
    ],
    messages: [
      `message CookieConfig {
  enum SameSite {
    DISABLED = 0;
    STRICT = 1;
    LAX = 2;
    NONE = 3;
  }
  SameSite same_site = 1 [(validate.rules).enum = {defined_only: true}];
  string path = 2 [(validate.rules).string = {pattern: "^$|^/[^\\\\x00-\\\\x1f\\\\x7f \\",;<>\\\\\\\\]*$"}];
  bool partitioned = 3;
}
message CookieConfigs {
  CookieConfig bearer_token_cookie_config = 1;
  CookieConfig oauth_hmac_cookie_config = 2;
  CookieConfig oauth_expires_cookie_config = 3;
  CookieConfig id_token_cookie_config = 4;
  CookieConfig refresh_token_cookie_config = 5;
  CookieConfig oauth_nonce_cookie_config = 6;
  CookieConfig code_verifier_cookie_config = 7;
}
message PrivateKeyJwtConfig {
  enum SigningAlgorithm {
    RS256 = 0;
    RS384 = 1;
    RS512 = 2;
    ES256 = 3;
    ES384 = 4;
    ES512 = 5;
  }
  SigningAlgorithm signing_algorithm = 1 [(validate.rules).enum = {defined_only: true}];
  ${duration} assertion_lifetime = 2 [(validate.rules).duration = {gte {seconds: 1}}];
  string assertion_audience = 3;
}
message OAuth2TokenForwarding {
  string header = 1 [(validate.rules).string = {min_len: 1, well_known_regex: HTTP_HEADER_NAME, strict: false}];
}
message PostLogoutRedirectUri {
  oneof config {
    option (validate.required) = true;
    bool disabled = 1 [(validate.rules).bool = {const: true}];
    string uri = 2 [(validate.rules).string = {min_len: 1}];
  }
}
message TokenCookieChunking {
  ${uint32} max_cookie_size = 1 [(validate.rules).uint32 = {lte: 4096, gte: 512}];
  ${uint32} max_chunks = 2 [(validate.rules).uint32 = {lte: 16, gte: 2}];
}
message OAuth2PerRoute {
  OAuth2Config config = 1 [(validate.rules).message = {required: true}];
}`,
    ],
    fields: {
      'OAuth2Credentials.CookieNames': ['string oauth_nonce = 6', 'string code_verifier = 7'],
      OAuth2Credentials: [
        // Not needed by every auth_type any more.
        'envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig token_secret = 2',
        'string cookie_domain = 5 [(validate.rules).string = {pattern: "^$|^[^\\\\x00-\\\\x1f\\\\x7f \\",;<>\\\\\\\\]+$"}]',
      ],
      'OAuth2Config.AuthType': ['TLS_CLIENT_AUTH = 2', 'PRIVATE_KEY_JWT = 3'],
      OAuth2Config: [
        'envoy.config.core.v3.RetryPolicy retry_policy = 18',
        'string end_session_endpoint = 23',
        'PostLogoutRedirectUri post_logout_redirect_uri = 33',
        'OAuth2TokenForwarding forward_id_token = 31',
        'bool disable_access_token_set_cookie = 19',
        'bool disable_refresh_token_set_cookie = 20',
        'CookieConfigs cookie_configs = 21',
        'string stat_prefix = 22',
        `${duration} csrf_token_expires_in = 24`,
        `${duration} code_verifier_token_expires_in = 25`,
        'bool disable_token_encryption = 26',
        'repeated envoy.config.route.v3.HeaderMatcher allow_failed_matcher = 27',
        'string original_request_uri = 28',
        'repeated string allowed_redirect_domains = 29',
        'bool use_access_token_expiry_for_id_token_cookie = 30',
        'PrivateKeyJwtConfig private_key_jwt_config = 32',
        'TokenCookieChunking token_cookie_chunking = 34',
      ],
    },
  },
  'envoy/extensions/filters/http/stateful_session/v3/stateful_session.proto': {
    fields: { StatefulSession: ['string stat_prefix = 3', 'uint32 status_on_strict_destination_not_found = 4'] },
  },
  'envoy/type/http/v3/cookie.proto': {
    messages: [
      `message CookieAttribute {
  string name = 1 [(validate.rules).string = {min_len: 1, max_bytes: 16384, well_known_regex: HTTP_HEADER_NAME, strict: false}];
  string value = 2 [(validate.rules).string = {max_bytes: 16384, well_known_regex: HTTP_HEADER_VALUE, strict: false}];
}`,
    ],
    fields: { Cookie: ['repeated CookieAttribute attributes = 4'] },
  },
  'envoy/extensions/http/custom_response/local_response_policy/v3/local_response_policy.proto': {
    messages: [],
    fields: {
      LocalResponsePolicy: [
        `oneof response_code_details_action {
    bool preserve_response_code_details = 5 [(validate.rules).bool = {const: true}];
    string response_code_details = 6 [(validate.rules).string = {min_len: 1}];
  }`,
      ],
    },
  },
  'envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata.proto': { fields: { Config: ['string stat_prefix = 3'] } },
  'envoy/extensions/filters/http/jwt_authn/v3/config.proto': {
    messages: [
      'message ExtractOnlyWithoutValidation {\n  string verification_status_header = 1;\n}',
      'message JwtClaimPathSegment {\n  string key = 1;\n}',
    ],
    fields: {
      JwtCacheConfig: ['uint32 jwt_max_token_size = 2'],
      JwtAuthentication: ['string stat_prefix = 7'],
      JwtClaimToHeader: ['repeated JwtClaimPathSegment claim_path = 3'],
      'JwtRequirement.requires_type': ['ExtractOnlyWithoutValidation extract_only_without_validation = 7'],
    },
  },
  'envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.proto': {
    imports: [ROUTE, WRAPPERS],
    fields: {
      LocalRateLimit: [
        'repeated envoy.config.route.v3.RateLimit rate_limits = 17',
        `${uint32} max_dynamic_descriptors = 18`,
        'bool enable_retry_after_header = 19',
      ],
    },
  },
  'envoy/extensions/filters/http/ratelimit/v3/rate_limit.proto': {
    imports: [BASE, ROUTE],
    fields: {
      RateLimit: [
        `${fraction} filter_enabled = 14`,
        `${fraction} filter_enforced = 15`,
        `${fraction} failure_mode_deny_percent = 16`,
        'repeated envoy.config.route.v3.RateLimit rate_limits = 17',
        'string metadata_namespace = 18',
        'bool enable_retry_after_header = 19',
      ],
    },
  },
  'envoy/extensions/filters/http/router/v3/router.proto': {
    imports: [WRAPPERS],
    fields: { Router: [`${bool} reject_connect_request_early_data = 10`] },
  },
  'envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto': {
    imports: [WRAPPERS],
    fields: {
      TlsInspector: [
        `${bool} enable_ja4_fingerprinting = 3`,
        'bool close_connection_on_client_hello_parsing_errors = 4',
        `${uint32} max_client_hello_size = 5`,
      ],
    },
  },
  'envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto': {
    imports: [DURATION, PERCENT, XDS_MATCHER],
    messages: [
      'enum ForwardClientCertFormat {\n  TEXT = 0;\n  JSON = 1;\n}',
      'message ForwardProtoConfig {\n  repeated uint32 https_destination_ports = 1;\n  repeated uint32 http_destination_ports = 2;\n}',
    ],
    fields: {
      HttpConnectionManager: [
        'bool http1_safe_max_connection_duration = 58',
        `${duration} stream_flush_timeout = 59`,
        `${percent} drain_timeout_jitter = 62`,
        'xds.type.matcher.v3.Matcher forward_client_cert_matcher = 60',
        'bool record_route_resolution_stats = 63',
        'ForwardProtoConfig forward_proto_config = 61',
      ],
      'HttpConnectionManager.Tracing': ['string operation = 11', 'string upstream_operation = 12', 'bool no_context_propagation = 13'],
      'HttpConnectionManager.SetCurrentClientCertDetails': ['bool issuer = 8', 'ForwardClientCertFormat format = 7'],
    },
  },
  'envoy/extensions/filters/network/rbac/v3/rbac.proto': { imports: [DURATION], fields: { RBAC: [`${duration} delay_deny = 8`] } },
  'envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto': {
    imports: [BACKOFF, PERCENT, WRAPPERS, EXTENSION, ANY],
    messages: [
      'message NewerTlvEntry {\n  uint32 type = 1;\n  bytes value = 2;\n}',
      'message NewerRequestIdExtension {\n  google.protobuf.Any typed_config = 1;\n}',
      'enum ProxyProtocolTlvMergePolicy {\n  ADD_IF_ABSENT = 0;\n  OVERWRITE_BY_TYPE_IF_EXISTS_OR_ADD = 1;\n  APPEND_IF_EXISTS_OR_ADD = 2;\n}',
      'enum UpstreamConnectMode {\n  IMMEDIATE = 0;\n  ON_DOWNSTREAM_DATA = 1;\n  ON_DOWNSTREAM_TLS_HANDSHAKE = 2;\n}',
    ],
    fields: {
      TcpProxy: [
        'envoy.config.core.v3.BackoffStrategy backoff_options = 18',
        `${percent} max_downstream_connection_duration_jitter_percentage = 20`,
        `${uint32} max_early_data_bytes = 22`,
        `${bool} check_drain_close = 24`,
        'repeated NewerTlvEntry proxy_protocol_tlvs = 19',
        'UpstreamConnectMode upstream_connect_mode = 21',
        'ProxyProtocolTlvMergePolicy proxy_protocol_tlv_merge_policy = 23',
      ],
      'TcpProxy.TunnelingConfig': [
        'string request_id_header = 8',
        'string request_id_metadata_key = 9',
        `repeated ${extension} formatters = 10`,
        'NewerRequestIdExtension request_id_extension = 7',
      ],
    },
  },
  'envoy/extensions/http/original_ip_detection/xff/v3/xff.proto': {
    imports: [ADDRESS, WRAPPERS],
    messages: [
      `message XffTrustedCidrs {
  repeated envoy.config.core.v3.CidrRange cidrs = 1;
}`,
    ],
    fields: { XffConfig: ['XffTrustedCidrs xff_trusted_cidrs = 2', `${bool} skip_xff_append = 3`] },
  },
  'envoy/extensions/matching/common_inputs/network/v3/network_inputs.proto': {
    imports: ['validate/validate.proto'],
    messages: [
      'message NetworkNamespaceInput {}',
      `message DynamicMetadataInput {
  message PathSegment {
    oneof segment {
      option (validate.required) = true;
      string key = 1 [(validate.rules).string = {min_len: 1}];
    }
  }
  string filter = 1 [(validate.rules).string = {min_len: 1}];
  repeated PathSegment path = 2 [(validate.rules).repeated = {min_items: 1}];
}`,
    ],
    fields: { FilterStateInput: ['string field = 2'] },
  },
  'envoy/extensions/load_balancing_policies/common/v3/common.proto': {
    imports: [ROUTE, WRAPPERS],
    messages: [
      `message ForceLocalZone {\n  ${uint32} min_size = 1;\n}`,
      'enum LocalityBasis {\n  HEALTHY_HOSTS_NUM = 0;\n  HEALTHY_HOSTS_WEIGHT = 1;\n}',
    ],
    fields: {
      'LocalityLbConfig.ZoneAwareLbConfig': [
        'bool force_locality_direct_routing = 4',
        'ForceLocalZone force_local_zone = 5',
        'LocalityBasis locality_basis = 6',
      ],
      ConsistentHashingLbConfig: ['repeated envoy.config.route.v3.RouteAction.HashPolicy hash_policy = 3'],
    },
  },
  'envoy/extensions/transport_sockets/tls/v3/common.proto': {
    imports: [EXTENSION],
    fields: {
      TlsParameters: ['repeated uint32 compliance_policies = 6'],
      TlsCertificate: ['TlsParameters tls_params = 9'],
      CertificateValidationContext: ['bool suppress_client_ca_list = 18'],
    },
  },
  'envoy/extensions/transport_sockets/tls/v3/tls.proto': {
    imports: [EXTENSION],
    fields: {
      UpstreamTlsContext: ['bool auto_host_sni = 6', 'bool auto_sni_san_validation = 7'],
      DownstreamTlsContext: ['bool prefer_client_ciphers = 11'],
      CommonTlsContext: [`${extension} custom_tls_certificate_selector = 16`],
    },
  },
  'envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.proto': {
    imports: [BASE],
    fields: {
      SPIFFECertValidatorConfig: ['envoy.config.core.v3.DataSource trust_bundles = 2'],
      'SPIFFECertValidatorConfig.TrustDomain': ['string workload_trust_domain = 3'],
    },
  },
  'envoy/extensions/upstreams/http/v3/http_protocol_options.proto': {
    imports: [ROUTE],
    messages: ['message UpstreamOutlierDetection {}'],
    fields: {
      HttpProtocolOptions: [
        'repeated envoy.config.route.v3.RouteAction.RequestMirrorPolicy request_mirror_policies = 9',
        'repeated envoy.config.route.v3.RouteAction.HashPolicy hash_policy = 10',
        'envoy.config.route.v3.RetryPolicy retry_policy = 11',
        'UpstreamOutlierDetection outlier_detection = 8',
      ],
    },
  },
  'envoy/extensions/filters/http/basic_auth/v3/basic_auth.proto': {
    fields: {
      BasicAuth: ['string authentication_header = 3', 'bool allow_missing = 4', 'bool emit_dynamic_metadata = 5', 'string realm = 6'],
      BasicAuthPerRoute: ['string realm = 2'],
    },
  },
  // cel.expr is google.api.expr by another name: the same messages, field by field.
  'xds/type/v3/cel.proto': {
    // The decoder asks for one of those that it reads.
    dropped: ['    option (validate.required) = true;\n'],
    fields: {
      'CelExpression.expr_specifier': [
        'google.api.expr.v1alpha1.ParsedExpr cel_expr_parsed = 3',
        'google.api.expr.v1alpha1.CheckedExpr cel_expr_checked = 4',
      ],
      CelExpression: ['string cel_expr_string = 5'],
    },
  },
  [XDS_MATCHER]: { fields: { 'Matcher.OnMatch': ['bool keep_matching = 3'] } },
}

/** Files that are younger as a whole (or of another project, and not shipped), by path. */
export const NEWER_FILES = {
  'envoy/extensions/http/stateful_session/envelope/v3/envelope.proto': `syntax = "proto3";
package envoy.extensions.http.stateful_session.envelope.v3;
import "validate/validate.proto";
message EnvelopeSessionState {
  message Header {
    string name = 1 [(validate.rules).string = {min_len: 1}];
  }
  Header header = 1 [(validate.rules).message = {required: true}];
}
`,
  'envoy/extensions/filters/http/api_key_auth/v3/api_key_auth.proto': `syntax = "proto3";
package envoy.extensions.filters.http.api_key_auth.v3;
import "udpa/annotations/sensitive.proto";
import "validate/validate.proto";
message ApiKeyAuth {
  repeated Credential credentials = 1;
  repeated KeySource key_sources = 2;
  Forwarding forwarding = 3;
}
message ApiKeyAuthPerRoute {
  repeated Credential credentials = 1;
  repeated KeySource key_sources = 2;
  repeated string allowed_clients = 3;
  Forwarding forwarding = 4;
}
message Credential {
  string key = 1 [(udpa.annotations.sensitive) = true, (validate.rules).string = {min_len: 1}];
  string client = 2 [(validate.rules).string = {min_len: 1}];
}
message KeySource {
  string header = 1 [(validate.rules).string = {max_len: 1024}];
  string query = 2 [(validate.rules).string = {max_len: 1024}];
  string cookie = 3 [(validate.rules).string = {max_len: 1024}];
}
message Forwarding {
  string header = 1;
  bool hide_credentials = 2;
}
`,
  'envoy/extensions/matching/input_matchers/metadata/v3/metadata.proto': `syntax = "proto3";
package envoy.extensions.matching.input_matchers.metadata.v3;
import "envoy/type/matcher/v3/value.proto";
import "validate/validate.proto";
message Metadata {
  envoy.type.matcher.v3.ValueMatcher value = 1 [(validate.rules).message = {required: true}];
  bool invert = 4;
}
`,
  'envoy/extensions/resource_monitors/cgroup_memory/v3/cgroup_memory.proto': `syntax = "proto3";
package envoy.extensions.resource_monitors.cgroup_memory.v3;
import "validate/validate.proto";
message CgroupMemoryConfig {
  optional uint64 max_memory_bytes = 1 [(validate.rules).uint64 = {gt: 0}];
}
`,
  'envoy/extensions/tracers/opentelemetry/samplers/v3/parent_based_sampler.proto': `syntax = "proto3";
package envoy.extensions.tracers.opentelemetry.samplers.v3;
import "${EXTENSION}";
message ParentBasedSamplerConfig {
  ${extension} wrapped_sampler = 1;
}
`,
  'envoy/extensions/tracers/opentelemetry/samplers/v3/trace_id_ratio_based_sampler.proto': `syntax = "proto3";
package envoy.extensions.tracers.opentelemetry.samplers.v3;
import "${PERCENT}";
message TraceIdRatioBasedSamplerConfig {
  envoy.type.v3.FractionalPercent sampling_percentage = 1;
}
`,
  'opentelemetry/proto/common/v1/common.proto': `syntax = "proto3";
package opentelemetry.proto.common.v1;
message AnyValue {
  oneof value {
    string string_value = 1;
    bool bool_value = 2;
    int64 int_value = 3;
    double double_value = 4;
    ArrayValue array_value = 5;
    KeyValueList kvlist_value = 6;
    bytes bytes_value = 7;
  }
}
message ArrayValue {
  repeated AnyValue values = 1;
}
message KeyValueList {
  repeated KeyValue values = 1;
}
message KeyValue {
  string key = 1;
  AnyValue value = 2;
}
`,
  'envoy/extensions/clusters/common/dns/v3/dns.proto': `syntax = "proto3";
package envoy.extensions.clusters.common.dns.v3;
enum DnsLookupFamily {
  UNSPECIFIED = 0;
  AUTO = 1;
  V4_ONLY = 2;
  V6_ONLY = 3;
  V4_PREFERRED = 4;
  ALL = 5;
}
`,
  'envoy/extensions/clusters/dns/v3/dns_cluster.proto': `syntax = "proto3";
package envoy.extensions.clusters.dns.v3;
import "${EXTENSION}";
import "envoy/extensions/clusters/common/dns/v3/dns.proto";
import "${DURATION}";
import "validate/validate.proto";
message DnsCluster {
  message RefreshRate {
    ${duration} base_interval = 1 [(validate.rules).duration = {required: true gt {nanos: 1000000}}];
    ${duration} max_interval = 2 [(validate.rules).duration = {gt {nanos: 1000000}}];
  }
  ${duration} dns_refresh_rate = 3 [(validate.rules).duration = {gt {nanos: 1000000}}];
  RefreshRate dns_failure_refresh_rate = 4;
  bool respect_dns_ttl = 5;
  ${duration} dns_jitter = 6 [(validate.rules).duration = {gte {}}];
  ${extension} typed_dns_resolver_config = 7;
  envoy.extensions.clusters.common.dns.v3.DnsLookupFamily dns_lookup_family = 8;
  bool all_addresses_in_single_endpoint = 9;
  ${duration} dns_min_refresh_rate = 10 [(validate.rules).duration = {gte {seconds: 1}}];
}
`,
}

/** The text of a .proto file with its newer fields in. Throws when a message is not there, so that an update of the files is noticed. */
export function withNewerFields(file, text) {
  const newer = NEWER_FIELDS[file]
  if (newer === undefined) return text
  let out = text.replaceAll('\r\n', '\n')
  for (const option of newer.dropped ?? []) {
    if (!out.includes(option)) throw new Error(`${file} has no ${option} any more`)
    out = out.replaceAll(option, '')
  }
  for (const [path, fields] of Object.entries(newer.fields)) {
    let at = 0
    for (const name of path.split('.')) {
      const found = new RegExp(`^ *(?:message|oneof|enum) ${name} \\{\\n`, 'gm')
      found.lastIndex = at
      if (found.exec(out) === null) throw new Error(`${file} has no message ${path}`)
      at = found.lastIndex
    }
    // A field that the file has by now is left alone.
    const missing = fields.filter(field => !new RegExp(`\\b${/\w+ = \d+(?= \[|$)/.exec(field)[0]}\\b`).test(messageAt(out, at)))
    // Of an enum the zero comes first.
    if (/\benum \w+ \{\n$/.test(out.slice(0, at))) at = out.indexOf(' = 0;\n', at) + ' = 0;\n'.length
    out = `${out.slice(0, at)}${missing.map(field => `  ${field};\n`).join('')}${out.slice(at)}`
  }
  const imports = (newer.imports ?? []).filter(name => !out.includes(`import "${name}"`)).map(name => `import "${name}";\n`)
  out = out.replace(/^import /m, `${imports.join('')}import `)
  return [out, ...(newer.messages ?? [])].join('\n')
}

/** The body of the message that opens at `at`, nested ones included. */
function messageAt(text, at) {
  let depth = 1
  let end = at
  while (depth > 0 && end < text.length) {
    if (text[end] === '{') depth++
    else if (text[end] === '}') depth--
    end++
  }
  return text.slice(at, end)
}
