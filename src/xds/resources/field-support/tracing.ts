// Field support of tracing: what connection managers, routes and access logs say of it, and the tracers.
// Messages in alphabetical order; message-support.ts has the shape, field-support-table.ts joins the tables.

import type { SupportTable } from './message-support.js'

export const TRACING_SUPPORT: SupportTable = {
  'envoy.config.route.v3.Decorator': { supported: 'operation propagate' },
  'envoy.config.route.v3.Tracing': {
    supported: 'client_sampling random_sampling overall_sampling custom_tags operation upstream_operation',
  },
  'envoy.config.trace.v3.OpenTelemetryConfig': {
    supported:
      'grpc_service http_service service_name resource_detectors sampler max_cache_size set_telemetry_sdk_resource_attributes set_service_name_resource_attribute set_instrumentation_scope',
    refused: { exporter: 'exporter extensions are not supported; use grpc_service or http_service' },
  },
  'envoy.config.trace.v3.Tracing': { supported: 'http' },
  'envoy.config.trace.v3.Tracing.Http': { supported: 'name typed_config' },
  'envoy.config.trace.v3.ZipkinConfig': {
    supported:
      'collector_cluster collector_endpoint trace_id_128bit shared_span_context collector_endpoint_version collector_hostname trace_context_option collector_service timestamp_trace_ids',
    accepted: { split_spans_for_request: 'has no effect in Envoy 1.40 either; see spawn_upstream_span' },
  },
  'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig': {
    supported:
      'common_config http_service grpc_service disable_builtin_labels resource_attributes resource_detectors body attributes stat_prefix log_name buffer_flush_interval buffer_size_bytes custom_tags formatters',
    accepted: { filter_state_objects_to_log: '' },
  },
  'envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension': { supported: 'typed_config' },
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing': {
    supported:
      'client_sampling random_sampling overall_sampling verbose max_path_tag_length custom_tags provider spawn_upstream_span operation upstream_operation no_context_propagation',
  },
  'envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig': { supported: 'pack_trace_reason use_request_id_for_trace_sampling' },
  'envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig': { supported: '' },
  'envoy.extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig': { supported: 'attributes' },
  'envoy.extensions.tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig': { supported: '' },
  'envoy.extensions.tracers.opentelemetry.samplers.v3.ParentBasedSamplerConfig': { supported: 'wrapped_sampler' },
  'envoy.extensions.tracers.opentelemetry.samplers.v3.TraceIdRatioBasedSamplerConfig': { supported: 'sampling_percentage' },
  'envoy.type.tracing.v3.CustomTag': {
    supported: 'tag literal environment request_header metadata value',
    accepted: { value_type: 'values are strings' },
  },
  'envoy.type.tracing.v3.CustomTag.Environment': { supported: 'name default_value' },
  'envoy.type.tracing.v3.CustomTag.Header': { supported: 'name default_value' },
  'envoy.type.tracing.v3.CustomTag.Literal': { supported: 'value' },
  'envoy.type.tracing.v3.CustomTag.Metadata': { supported: 'kind metadata_key default_value' },
  'opentelemetry.proto.common.v1.AnyValue': {
    supported: 'string_value array_value kvlist_value',
    refused: {
      bool_value: 'only strings, lists and maps are supported, as in Envoy',
      int_value: 'only strings, lists and maps are supported, as in Envoy',
      double_value: 'only strings, lists and maps are supported, as in Envoy',
      bytes_value: 'only strings, lists and maps are supported, as in Envoy',
    },
  },
  'opentelemetry.proto.common.v1.ArrayValue': { supported: 'values' },
  'opentelemetry.proto.common.v1.KeyValue': { supported: 'key value' },
  'opentelemetry.proto.common.v1.KeyValueList': { supported: 'values' },
}
