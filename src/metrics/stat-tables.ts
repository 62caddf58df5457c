// The names of Envoy 1.40's stats, one table per kind of object, as its `/stats` shows them. Data only: stat-names.ts turns the
// tables into handle bundles. A name stands in the kind (counter, gauge, histogram) that Envoy gives it; dashboards depend on it.
// Names that Envoy makes only when they first happen (response codes, cipher names, ...) are not here.
import { defineStatGroup } from './stat-group.js'

/** `listener.<address>.` */
export const LISTENER = defineStatGroup({
  counters: [
    'downstream_cx_destroy',
    'downstream_cx_overflow',
    'downstream_cx_overload_reject',
    'downstream_cx_total',
    'downstream_cx_transport_socket_connect_timeout',
    'downstream_global_cx_overflow',
    'downstream_listener_filter_error',
    'downstream_listener_filter_remote_close',
    'downstream_pre_cx_timeout',
    'no_filter_chain_match',
  ],
  gauges: ['downstream_cx_active', 'downstream_pre_cx_active'],
  histograms: { connections_accepted_per_socket_event: 'unspecified', downstream_cx_length_ms: 'milliseconds' },
})

/** What a listener of the config has beside: the admin's own has no extensions. */
export const LISTENER_EXTENSIONS = defineStatGroup({ counters: ['extension_config_missing', 'network_extension_config_missing'] })

/** `listener.<address>.worker_<n>.` */
export const LISTENER_WORKER = defineStatGroup({ counters: ['downstream_cx_total'], gauges: ['downstream_cx_active'] })

/** `listener.<address>.http.<prefix>.` */
export const LISTENER_HTTP = defineStatGroup({
  counters: [
    'downstream_rq_1xx',
    'downstream_rq_2xx',
    'downstream_rq_3xx',
    'downstream_rq_4xx',
    'downstream_rq_5xx',
    'downstream_rq_completed',
  ],
})

/** `<listener or cluster>.ssl.` */
export const TLS = defineStatGroup({
  counters: [
    'connection_error',
    'fail_verify_cert_hash',
    'fail_verify_error',
    'fail_verify_no_cert',
    'fail_verify_san',
    'handshake',
    'no_certificate',
    'ocsp_staple_failed',
    'ocsp_staple_omitted',
    'ocsp_staple_requests',
    'ocsp_staple_responses',
    'session_reused',
  ],
})

/** `http.<prefix>.`: the HTTP connection manager. */
export const HTTP_CONNECTION_MANAGER = defineStatGroup({
  counters: [
    'downstream_cx_delayed_close_timeout',
    'downstream_cx_destroy',
    'downstream_cx_destroy_active_rq',
    'downstream_cx_destroy_local',
    'downstream_cx_destroy_local_active_rq',
    'downstream_cx_destroy_remote',
    'downstream_cx_destroy_remote_active_rq',
    'downstream_cx_drain_close',
    'downstream_cx_http1_total',
    'downstream_cx_http2_total',
    'downstream_cx_http3_total',
    'downstream_cx_idle_timeout',
    'downstream_cx_max_duration_reached',
    'downstream_cx_max_requests_reached',
    'downstream_cx_overload_disable_keepalive',
    'downstream_cx_protocol_error',
    'downstream_cx_rx_bytes_total',
    'downstream_cx_ssl_total',
    'downstream_cx_total',
    'downstream_cx_tx_bytes_total',
    'downstream_cx_upgrades_total',
    'downstream_flow_control_paused_reading_total',
    'downstream_flow_control_resumed_reading_total',
    'downstream_rq_1xx',
    'downstream_rq_2xx',
    'downstream_rq_3xx',
    'downstream_rq_4xx',
    'downstream_rq_5xx',
    'downstream_rq_completed',
    'downstream_rq_failed_path_normalization',
    'downstream_rq_header_timeout',
    'downstream_rq_http1_total',
    'downstream_rq_http2_total',
    'downstream_rq_http3_total',
    'downstream_rq_idle_timeout',
    'downstream_rq_max_duration_reached',
    'downstream_rq_non_relative_path',
    'downstream_rq_overload_close',
    'downstream_rq_redirected_with_normalized_path',
    'downstream_rq_rejected_via_ip_detection',
    'downstream_rq_response_before_rq_complete',
    'downstream_rq_rx_reset',
    'downstream_rq_timeout',
    'downstream_rq_too_large',
    'downstream_rq_too_many_premature_resets',
    'downstream_rq_total',
    'downstream_rq_tx_reset',
    'downstream_rq_ws_on_non_ws_route',
    'rs_too_large',
  ],
  gauges: [
    'downstream_cx_active',
    'downstream_cx_http1_active',
    'downstream_cx_http1_soft_drain',
    'downstream_cx_http2_active',
    'downstream_cx_http3_active',
    'downstream_cx_rx_bytes_buffered',
    'downstream_cx_ssl_active',
    'downstream_cx_tx_bytes_buffered',
    'downstream_cx_upgrades_active',
    'downstream_rq_active',
  ],
  histograms: { downstream_cx_length_ms: 'milliseconds', downstream_rq_time: 'milliseconds' },
})

/** `http.<prefix>.`: the router filter. */
export const ROUTER = defineStatGroup({
  counters: [
    'no_cluster',
    'no_route',
    'passthrough_internal_redirect_bad_location',
    'passthrough_internal_redirect_no_route',
    'passthrough_internal_redirect_predicate',
    'passthrough_internal_redirect_too_many_redirects',
    'passthrough_internal_redirect_unsafe_scheme',
    'rq_direct_response',
    'rq_overload_local_reply',
    'rq_redirect',
    'rq_reset_after_downstream_response_started',
    'rq_total',
  ],
})

/** `http.<prefix>.tracing.` */
export const TRACING = defineStatGroup({
  counters: ['client_enabled', 'health_check', 'not_traceable', 'random_sampling', 'service_forced'],
})

/** `tracing.opentelemetry.` */
export const OPENTELEMETRY_TRACER = defineStatGroup({ counters: ['spans_dropped', 'spans_sent', 'timer_flushed'] })

/** `tracing.zipkin.` */
export const ZIPKIN_TRACER = defineStatGroup({
  counters: ['reports_dropped', 'reports_failed', 'reports_sent', 'reports_skipped_no_cluster', 'spans_sent', 'timer_flushed'],
})

/** `http.<prefix>.rbac.` or `<prefix>.rbac.` */
export const RBAC = defineStatGroup({ counters: ['allowed', 'denied', 'shadow_allowed', 'shadow_denied'] })

/** `tcp.<prefix>.` */
export const TCP_PROXY = defineStatGroup({
  counters: [
    'downstream_cx_drain_close',
    'downstream_cx_no_route',
    'downstream_cx_overload_close',
    'downstream_cx_rx_bytes_total',
    'downstream_cx_total',
    'downstream_cx_tx_bytes_total',
    'downstream_flow_control_paused_reading_total',
    'downstream_flow_control_resumed_reading_total',
    'early_data_received_count_total',
    'idle_timeout',
    'max_downstream_connection_duration',
    'route_delayed_total',
    'upstream_flush_total',
  ],
  gauges: ['downstream_cx_rx_bytes_buffered', 'downstream_cx_tx_bytes_buffered', 'upstream_flush_active'],
})

/** `connection_limit.<prefix>.` */
export const CONNECTION_LIMIT = defineStatGroup({ counters: ['limited_connections'], gauges: ['active_connections'] })

/** `ext_authz.<stat_prefix>.` of the network filter. */
export const NETWORK_EXT_AUTHZ = defineStatGroup({
  counters: ['total', 'ok', 'denied', 'error', 'disabled', 'failure_mode_allowed', 'cx_closed'],
  gauges: ['active'],
})

/** `vhost.<name>.vcluster.<name>.` and `vhost.<name>.route.<prefix>.` */
export const VIRTUAL_CLUSTER = defineStatGroup({
  counters: [
    'upstream_rq_retry',
    'upstream_rq_retry_limit_exceeded',
    'upstream_rq_retry_overflow',
    'upstream_rq_retry_success',
    'upstream_rq_timeout',
    'upstream_rq_total',
  ],
})

/** `cluster.<name>.` */
export const CLUSTER = defineStatGroup({
  counters: [
    'assignment_stale',
    'assignment_timeout_received',
    'assignment_use_cached',
    'bind_errors',
    'default.total_match_count',
    'lb_healthy_panic',
    'lb_local_cluster_not_ok',
    'lb_recalculate_zone_structures',
    'lb_subsets_created',
    'lb_subsets_fallback',
    'lb_subsets_fallback_panic',
    'lb_subsets_removed',
    'lb_subsets_selected',
    'lb_zone_cluster_too_small',
    'lb_zone_no_capacity_left',
    'lb_zone_routing_all_directly',
    'lb_zone_routing_cross_zone',
    'lb_zone_routing_sampled',
    'membership_change',
    'original_dst_host_invalid',
    'retry_or_shadow_abandoned',
    'update_attempt',
    'update_empty',
    'update_failure',
    'update_no_rebuild',
    'update_success',
    'upstream_cx_close_notify',
    'upstream_cx_connect_attempts_exceeded',
    'upstream_cx_connect_fail',
    'upstream_cx_connect_timeout',
    'upstream_cx_connect_with_0_rtt',
    'upstream_cx_destroy',
    'upstream_cx_destroy_local',
    'upstream_cx_destroy_local_with_active_rq',
    'upstream_cx_destroy_remote',
    'upstream_cx_destroy_remote_with_active_rq',
    'upstream_cx_destroy_with_active_rq',
    'upstream_cx_http1_total',
    'upstream_cx_http2_total',
    'upstream_cx_http3_total',
    'upstream_cx_idle_timeout',
    'upstream_cx_max_duration_reached',
    'upstream_cx_max_requests',
    'upstream_cx_none_healthy',
    'upstream_cx_overflow',
    'upstream_cx_pool_overflow',
    'upstream_cx_preconnect_skipped',
    'upstream_cx_protocol_error',
    'upstream_cx_rx_bytes_total',
    'upstream_cx_total',
    'upstream_cx_tx_bytes_total',
    'upstream_flow_control_backed_up_total',
    'upstream_flow_control_drained_total',
    'upstream_flow_control_paused_reading_total',
    'upstream_flow_control_resumed_reading_total',
    'upstream_http3_broken',
    'upstream_internal_redirect_failed_total',
    'upstream_internal_redirect_succeeded_total',
    'upstream_rq_completed',
    'upstream_rq_0rtt',
    'upstream_rq_active_overflow',
    'upstream_rq_cancelled',
    'upstream_rq_maintenance_mode',
    'upstream_rq_max_duration_reached',
    'upstream_rq_pending_failure_eject',
    'upstream_rq_pending_overflow',
    'upstream_rq_pending_total',
    'upstream_rq_per_try_idle_timeout',
    'upstream_rq_per_try_timeout',
    'upstream_rq_retry',
    'upstream_rq_retry_backoff_exponential',
    'upstream_rq_retry_backoff_ratelimited',
    'upstream_rq_retry_limit_exceeded',
    'upstream_rq_retry_overflow',
    'upstream_rq_retry_success',
    'upstream_rq_rx_reset',
    'upstream_rq_rx_reset_no_error',
    'upstream_rq_timeout',
    'upstream_rq_total',
    'upstream_rq_tx_reset',
  ],
  gauges: [
    'lb_subsets_active',
    'max_host_weight',
    'membership_degraded',
    'membership_excluded',
    'membership_healthy',
    'membership_total',
    'upstream_cx_active',
    'upstream_cx_rx_bytes_buffered',
    'upstream_cx_tx_bytes_buffered',
    'upstream_queue_overloaded',
    'upstream_rq_active',
    'upstream_rq_pending_active',
    'version',
    'warming_state',
  ],
  histograms: { upstream_cx_connect_ms: 'milliseconds', upstream_cx_length_ms: 'milliseconds', upstream_rq_per_cx: 'unspecified' },
})

/** `cluster.<name>.circuit_breakers.<priority>.` */
export const CIRCUIT_BREAKER = defineStatGroup({
  gauges: ['cx_open', 'cx_pool_open', 'rq_open', 'rq_pending_open', 'rq_retry_open'],
})

/** The same prefix, when `track_remaining` is set. */
export const CIRCUIT_BREAKER_REMAINING = defineStatGroup({
  gauges: ['remaining_cx', 'remaining_cx_pools', 'remaining_pending', 'remaining_retries', 'remaining_rq'],
})

/** `cluster.<name>.outlier_detection.` */
export const OUTLIER_DETECTION = defineStatGroup({
  counters: [
    'ejections_consecutive_5xx',
    'ejections_detected_consecutive_5xx',
    'ejections_detected_consecutive_gateway_failure',
    'ejections_detected_consecutive_local_origin_failure',
    'ejections_detected_degradation',
    'ejections_detected_failure_percentage',
    'ejections_detected_local_origin_failure_percentage',
    'ejections_detected_local_origin_success_rate',
    'ejections_detected_success_rate',
    'ejections_enforced_consecutive_5xx',
    'ejections_enforced_consecutive_gateway_failure',
    'ejections_enforced_consecutive_local_origin_failure',
    'ejections_enforced_failure_percentage',
    'ejections_enforced_local_origin_failure_percentage',
    'ejections_enforced_local_origin_success_rate',
    'ejections_enforced_success_rate',
    'ejections_enforced_total',
    'ejections_overflow',
    'ejections_success_rate',
    'ejections_total',
  ],
  gauges: ['ejections_active'],
})

/** `cluster.<name>.health_check.` */
export const HEALTH_CHECK = defineStatGroup({
  counters: ['attempt', 'failure', 'network_failure', 'passive_failure', 'success', 'verify_cluster'],
  gauges: ['degraded', 'healthy'],
})

/** `http1.` of all listeners, `cluster.<name>.http1.` of a cluster. */
export const HTTP1_CODEC = defineStatGroup({
  counters: [
    'dropped_headers_with_underscores',
    'metadata_not_supported_error',
    'requests_rejected_with_underscores_in_headers',
    'response_flood',
  ],
})

/** `http2.` of all listeners, `cluster.<name>.http2.` of a cluster. */
export const HTTP2_CODEC = defineStatGroup({
  counters: [
    'cookies_total_bytes_too_large',
    'dropped_headers_with_underscores',
    'goaway_sent',
    'header_list_size_too_large',
    'header_overflow',
    'headers_cb_no_stream',
    'inbound_empty_frames_flood',
    'inbound_priority_frames_flood',
    'inbound_window_update_frames_flood',
    'keepalive_timeout',
    'metadata_empty_frames',
    'outbound_control_flood',
    'outbound_flood',
    'requests_rejected_with_underscores_in_headers',
    'rx_messaging_error',
    'rx_reset',
    'stream_refused_errors',
    'trailers',
    'tx_flush_timeout',
    'tx_reset',
  ],
  gauges: ['deferred_stream_close', 'outbound_control_frames_active', 'outbound_frames_active', 'pending_send_bytes', 'streams_active'],
  histograms: { cookie_count: 'unspecified', cookie_size: 'bytes', header_count: 'unspecified', header_list_size: 'bytes' },
})

/** `server.` */
export const SERVER = defineStatGroup({
  counters: [
    'connection_exceptions',
    'debug_assertion_failures',
    'dropped_stat_flushes',
    'dynamic_unknown_fields',
    'envoy_bug_failures',
    'envoy_notifications',
    'main_thread.watchdog_mega_miss',
    'main_thread.watchdog_miss',
    'static_unknown_fields',
    'wip_protos',
    'worker_0.watchdog_mega_miss',
    'worker_0.watchdog_miss',
  ],
  gauges: [
    'compilation_settings.fips_mode',
    'concurrency',
    'days_until_first_cert_expiring',
    'hot_restart_epoch',
    'live',
    'memory_allocated',
    'memory_heap_size',
    'memory_physical_size',
    'own_certificates_ending',
    'parent_connections',
    'seconds_until_first_ocsp_response_expiring',
    'state',
    'stats_recent_lookups',
    'total_connections',
    'uptime',
    'version',
  ],
  histograms: { initialization_time_ms: 'milliseconds' },
})

/** `listener_manager.` */
export const LISTENER_MANAGER = defineStatGroup({
  counters: [
    'listener_added',
    'listener_create_failure',
    'listener_create_success',
    'listener_in_place_updated',
    'listener_modified',
    'listener_removed',
    'listener_stopped',
  ],
  gauges: [
    'total_filter_chains_draining',
    'total_listeners_active',
    'total_listeners_draining',
    'total_listeners_warming',
    'workers_pinned',
    'workers_started',
  ],
})

/** `tls_inspector.` */
export const TLS_INSPECTOR = defineStatGroup({
  counters: ['alpn_found', 'alpn_not_found', 'client_hello_too_large', 'sni_found', 'sni_not_found', 'tls_found', 'tls_not_found'],
  histograms: { bytes_processed: 'bytes' },
})

/** `http_inspector.` */
export const HTTP_INSPECTOR = defineStatGroup({
  counters: ['http10_found', 'http11_found', 'http2_found', 'http_not_found', 'read_error'],
})

/** `cluster_manager.` */
export const CLUSTER_MANAGER = defineStatGroup({
  counters: [
    'cluster_added',
    'cluster_modified',
    'cluster_removed',
    'cluster_updated',
    'cluster_updated_via_merge',
    'update_merge_cancelled',
    'update_out_of_merge_window',
  ],
  gauges: ['active_clusters', 'warming_clusters'],
})

/** `runtime.` */
export const RUNTIME = defineStatGroup({
  counters: ['deprecated_feature_use', 'load_error', 'load_success', 'override_dir_exists', 'override_dir_not_exists'],
  gauges: ['admin_overrides_active', 'deprecated_feature_seen_since_process_start', 'num_keys', 'num_layers'],
})

/** `main_thread.` and `workers.` beside those of SERVER: one event loop has no watchdog over it, so they stay 0. */
export const WATCHDOG = defineStatGroup({ counters: ['watchdog_mega_miss', 'watchdog_miss'] })

/** `cluster.<name>.client_ssl_socket_factory.`, `listener.<address>.server_ssl_socket_factory.` */
export const TLS_SOCKET_FACTORY = defineStatGroup({
  counters: ['downstream_context_secrets_not_ready', 'ssl_context_update_by_sds', 'upstream_context_secrets_not_ready'],
})

/** `control_plane.` */
export const CONTROL_PLANE = defineStatGroup({ counters: ['rate_limit_enforced'], gauges: ['connected_state', 'pending_requests'] })

/** An xDS subscription: `listener_manager.lds.`, `cluster_manager.cds.`, `http.<prefix>.rds.<name>.`, `sds.<name>.` */
export const SUBSCRIPTION = defineStatGroup({
  counters: ['init_fetch_timeout', 'update_attempt', 'update_failure', 'update_rejected', 'update_success'],
  gauges: ['update_time', 'version'],
  histograms: { update_duration: 'milliseconds' },
})

/** `cluster.<name>.`: what an EDS cluster has beyond CLUSTER, which holds the rest of its subscription's names. */
export const EDS_SUBSCRIPTION = defineStatGroup({
  counters: ['init_fetch_timeout', 'update_rejected'],
  gauges: ['update_time'],
  histograms: { update_duration: 'milliseconds' },
})

/** With SUBSCRIPTION for SDS. */
export const SECRET_ROTATION = defineStatGroup({ counters: ['key_rotation_failed'] })

/** With SUBSCRIPTION for CDS and RDS. */
export const CONFIG_RELOAD = defineStatGroup({ counters: ['config_reload'], gauges: ['config_reload_time_ms'] })

/** With SUBSCRIPTION for ECDS. */
export const EXTENSION_CONFIG = defineStatGroup({ counters: ['config_conflict', 'config_fail', 'config_reload'] })

/** `proxy_proto.versions.v<n>.` and `proxy_proto.` of the PROXY protocol listener filter. */
export const PROXY_PROTOCOL_VERSION = defineStatGroup({ counters: ['disallowed', 'error', 'found'] })
export const PROXY_PROTOCOL = defineStatGroup({ counters: ['not_found_allowed', 'not_found_disallowed'] })

/** `filesystem.`: the access logs. */
export const FILESYSTEM = defineStatGroup({
  counters: ['flushed_by_timer', 'reopen_failed', 'write_buffered', 'write_completed', 'write_failed'],
  gauges: ['write_total_buffered'],
})

/** `load_reporter.`: LRS. */
export const LOAD_REPORTER = defineStatGroup({ counters: ['errors', 'requests', 'responses', 'retries'] })

/** `hds_delegate.` */
export const HDS_DELEGATE = defineStatGroup({ counters: ['errors', 'requests', 'responses', 'updates'] })

/** `access_logs.grpc_access_log.` */
export const GRPC_LOG = defineStatGroup({ counters: ['logs_dropped', 'logs_written'] })

/** `grpc.<stat_prefix>.`: of google_grpc, by the status that the server gave. */
export const GOOGLE_GRPC = defineStatGroup({
  counters: [
    'google_grpc_client_creation',
    'streams_total',
    'streams_closed_0',
    'streams_closed_1',
    'streams_closed_2',
    'streams_closed_3',
    'streams_closed_4',
    'streams_closed_5',
    'streams_closed_6',
    'streams_closed_7',
    'streams_closed_8',
    'streams_closed_9',
    'streams_closed_10',
    'streams_closed_11',
    'streams_closed_12',
    'streams_closed_13',
    'streams_closed_14',
    'streams_closed_15',
    'streams_closed_16',
  ],
})

/** `statsd.`: of its TCP form. */
export const STATSD = defineStatGroup({ counters: ['cx_overflow'] })

/** `dns.cares.` */
export const CARES = defineStatGroup({
  counters: ['get_addr_failure', 'not_found', 'reinits', 'resolve_total', 'timeouts'],
  gauges: ['pending_resolutions'],
})

/** `thread_local_cluster_manager.<thread>.` */
export const INFLATED_CLUSTERS = defineStatGroup({ gauges: ['clusters_inflated'] })
