// Field support of the bootstrap: its own messages, the runtime layers, the stats settings.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const BOOTSTRAP_SUPPORT: SupportTable = {
  'envoy.config.bootstrap.v3.Admin': {
    supported: 'access_log access_log_path address allow_paths',
    accepted: { profile_path: '', socket_options: '', ignore_global_conn_limit: '' },
  },
  'envoy.config.bootstrap.v3.Bootstrap': {
    supported:
      'node static_resources dynamic_resources cluster_manager stats_config stats_flush_interval stats_flush_on_admin stats_sinks overload_manager layered_runtime admin use_tcp_for_dns_lookups dns_resolution_config typed_dns_resolver_config tracing hds_config',
    accepted: {
      header_prefix: 'header names begin with x-envoy-',
      stats_eviction_interval: 'a stat goes with what it counts, not with time',
      enable_worker_cpu_affinity: '',
      node_context_params: '',
      flags_path: '',
      deferred_stat_options: 'a stat takes memory from its first use on, always',
      watchdog: '',
      watchdogs: '',
      enable_dispatcher_stats: '',
      stats_server_version_override: '',
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
    supported: 'local_cluster_name load_stats_config outlier_detection upstream_bind_config',
    accepted: { enable_deferred_cluster_creation: '' },
  },
  'envoy.config.bootstrap.v3.ClusterManager.OutlierDetection': {
    supported: 'event_log_path',
    accepted: { event_service: 'not implemented (nor in Envoy)' },
  },
  'envoy.config.bootstrap.v3.LayeredRuntime': { supported: 'layers' },
  'envoy.config.bootstrap.v3.RuntimeLayer': { supported: 'name static_layer admin_layer rtds_layer', accepted: { disk_layer: '' } },
  'envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer': { supported: '' },
  'envoy.config.bootstrap.v3.RuntimeLayer.RtdsLayer': { supported: 'name rtds_config' },
  'envoy.config.metrics.v3.DogStatsdSink': {
    supported: 'address prefix max_bytes_per_datagram',
    accepted: { scale_histogram_units_to_milliseconds: '' },
  },
  'envoy.config.metrics.v3.HistogramBucketSettings': { supported: 'match buckets', accepted: { bins: '' } },
  'envoy.config.metrics.v3.MetricsServiceConfig': {
    supported: 'grpc_service transport_api_version report_counters_as_deltas emit_tags_as_labels histogram_emit_mode',
    accepted: { batch_size: 'all metrics go in one message' },
  },
  'envoy.config.metrics.v3.StatsConfig': {
    supported: 'stats_tags use_all_default_tags stats_matcher histogram_bucket_settings',
    accepted: { allow_default_tag_overrides: '' },
  },
  'envoy.config.metrics.v3.StatsMatcher': { supported: 'reject_all exclusion_list inclusion_list' },
  'envoy.config.metrics.v3.StatsSink': { supported: 'name typed_config' },
  'envoy.config.metrics.v3.StatsdSink': {
    supported: 'address tcp_cluster_name prefix',
    accepted: { scale_histogram_units_to_milliseconds: '' },
  },
  'envoy.config.metrics.v3.TagSpecifier': { supported: 'tag_name regex fixed_value' },
  'envoy.config.overload.v3.BufferFactoryConfig': { supported: 'minimum_account_to_track_power_of_two' },
  'envoy.config.overload.v3.LoadShedPoint': { supported: 'name triggers' },
  'envoy.config.overload.v3.OverloadAction': { supported: 'name triggers typed_config' },
  'envoy.config.overload.v3.OverloadManager': {
    supported: 'refresh_interval resource_monitors actions loadshed_points buffer_factory_config',
  },
  'envoy.config.overload.v3.ResourceMonitor': { supported: 'name typed_config' },
  'envoy.config.overload.v3.ScaleTimersOverloadActionConfig': { supported: 'timer_scale_factors' },
  'envoy.config.overload.v3.ScaleTimersOverloadActionConfig.ScaleTimer': { supported: 'timer min_timeout min_scale' },
  'envoy.config.overload.v3.ScaledTrigger': { supported: 'scaling_threshold saturation_threshold' },
  'envoy.config.overload.v3.ThresholdTrigger': { supported: 'value' },
  'envoy.config.overload.v3.Trigger': { supported: 'name threshold scaled' },
  'envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig': { supported: 'max_memory_bytes' },
  'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig': {
    supported: 'max_active_downstream_connections',
  },
  'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig': {
    supported: 'max_heap_size_bytes',
    refused: { max_heap_size_bytes_runtime: 'the limit does not come from the runtime; use max_heap_size_bytes' },
  },
  'envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig': { supported: 'filename' },
  'envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig': {
    supported: 'grpc_service report_counters_as_deltas report_histograms_as_deltas emit_tags_as_attributes use_tag_extracted_name prefix',
    accepted: { max_data_points_per_request: 'all metrics go in one request', resource_detectors: '' },
    refused: {
      http_service: 'metrics go by gRPC; use grpc_service',
      custom_metric_conversions: 'the matcher API is not supported here',
    },
  },
  'envoy.service.runtime.v3.Runtime': { supported: 'name layer' },
}
