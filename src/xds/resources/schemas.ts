// The Envoy message types that may stand in an Any that we read, by full name. Used by any.ts to unpack, by json-message.ts to read
// `@type` objects of a bootstrap, and by config-dump.ts to print. A type that is missing here is an unknown extension.

import type { DescMessage } from '@bufbuild/protobuf'
import { StringValueSchema } from '@bufbuild/protobuf/wkt'
import { BootstrapSchema } from '../gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import { ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.js'
import { TypedExtensionConfigSchema } from '../gen/envoy/config/core/v3/extension_pb.js'
import { ClusterLoadAssignmentSchema } from '../gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { FileBasedMetadataConfigSchema } from '../gen/envoy/config/grpc_credential/v3/file_based_metadata_pb.js'
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.js'
import { MetricsServiceConfigSchema } from '../gen/envoy/config/metrics/v3/metrics_service_pb.js'
import { DogStatsdSinkSchema, StatsdSinkSchema } from '../gen/envoy/config/metrics/v3/stats_pb.js'
import { ScaleTimersOverloadActionConfigSchema } from '../gen/envoy/config/overload/v3/overload_pb.js'
import { ActionSchema } from '../gen/envoy/config/rbac/v3/rbac_pb.js'
import { FilterConfigSchema, RouteListSchema, RouteSchema, VirtualHostSchema } from '../gen/envoy/config/route/v3/route_components_pb.js'
import { RouteConfigurationSchema } from '../gen/envoy/config/route/v3/route_pb.js'
import { ScopedRouteConfigurationSchema } from '../gen/envoy/config/route/v3/scoped_route_pb.js'
import { OpenTelemetryConfigSchema } from '../gen/envoy/config/trace/v3/opentelemetry_pb.js'
import { ZipkinConfigSchema } from '../gen/envoy/config/trace/v3/zipkin_pb.js'
import { FileAccessLogSchema } from '../gen/envoy/extensions/access_loggers/file/v3/file_pb.js'
import { ExpressionFilterSchema } from '../gen/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js'
import { HttpGrpcAccessLogConfigSchema, TcpGrpcAccessLogConfigSchema } from '../gen/envoy/extensions/access_loggers/grpc/v3/als_pb.js'
import { OpenTelemetryAccessLogConfigSchema } from '../gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.js'
import { StderrAccessLogSchema, StdoutAccessLogSchema } from '../gen/envoy/extensions/access_loggers/stream/v3/stream_pb.js'
import { ClusterConfigSchema } from '../gen/envoy/extensions/clusters/aggregate/v3/cluster_pb.js'
import { DnsClusterSchema } from '../gen/envoy/extensions/clusters/dns/v3/dns_cluster_pb.js'
import {
  ExtensionWithMatcherPerRouteSchema,
  ExtensionWithMatcherSchema,
} from '../gen/envoy/extensions/common/matching/v3/extension_matcher_pb.js'
import { BrotliSchema } from '../gen/envoy/extensions/compression/brotli/compressor/v3/brotli_pb.js'
import { BrotliSchema as BrotliDecompressorSchema } from '../gen/envoy/extensions/compression/brotli/decompressor/v3/brotli_pb.js'
import { GzipSchema } from '../gen/envoy/extensions/compression/gzip/compressor/v3/gzip_pb.js'
import { GzipSchema as GzipDecompressorSchema } from '../gen/envoy/extensions/compression/gzip/decompressor/v3/gzip_pb.js'
import { ZstdSchema } from '../gen/envoy/extensions/compression/zstd/compressor/v3/zstd_pb.js'
import { ZstdSchema as ZstdDecompressorSchema } from '../gen/envoy/extensions/compression/zstd/decompressor/v3/zstd_pb.js'
import { SkipFilterSchema } from '../gen/envoy/extensions/filters/common/matcher/action/v3/skip_action_pb.js'
import { ApiKeyAuthPerRouteSchema, ApiKeyAuthSchema } from '../gen/envoy/extensions/filters/http/api_key_auth/v3/api_key_auth_pb.js'
import { BandwidthLimitSchema } from '../gen/envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit_pb.js'
import { BasicAuthPerRouteSchema, BasicAuthSchema } from '../gen/envoy/extensions/filters/http/basic_auth/v3/basic_auth_pb.js'
import { BufferPerRouteSchema, BufferSchema } from '../gen/envoy/extensions/filters/http/buffer/v3/buffer_pb.js'
import { CompositeSchema, ExecuteFilterActionSchema } from '../gen/envoy/extensions/filters/http/composite/v3/composite_pb.js'
import { CompressorPerRouteSchema, CompressorSchema } from '../gen/envoy/extensions/filters/http/compressor/v3/compressor_pb.js'
import { CorsPolicySchema, CorsSchema } from '../gen/envoy/extensions/filters/http/cors/v3/cors_pb.js'
import { CredentialInjectorSchema } from '../gen/envoy/extensions/filters/http/credential_injector/v3/credential_injector_pb.js'
import { CsrfPolicySchema } from '../gen/envoy/extensions/filters/http/csrf/v3/csrf_pb.js'
import { CustomResponseSchema } from '../gen/envoy/extensions/filters/http/custom_response/v3/custom_response_pb.js'
import { DecompressorSchema } from '../gen/envoy/extensions/filters/http/decompressor/v3/decompressor_pb.js'
import { ExtAuthzPerRouteSchema, ExtAuthzSchema } from '../gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js'
import { ExternalProcessorSchema, ExtProcPerRouteSchema } from '../gen/envoy/extensions/filters/http/ext_proc/v3/ext_proc_pb.js'
import { HTTPFaultSchema } from '../gen/envoy/extensions/filters/http/fault/v3/fault_pb.js'
import { ConfigSchema as GrpcHttp1BridgeSchema } from '../gen/envoy/extensions/filters/http/grpc_http1_bridge/v3/config_pb.js'
import { FilterConfigSchema as GrpcStatsSchema } from '../gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js'
import { GrpcWebSchema } from '../gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.js'
import {
  HeaderMutationPerRouteSchema,
  HeaderMutationSchema,
} from '../gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js'
import { ConfigSchema as HeaderToMetadataSchema } from '../gen/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata_pb.js'
import { HealthCheckSchema } from '../gen/envoy/extensions/filters/http/health_check/v3/health_check_pb.js'
import { JsonToMetadataSchema } from '../gen/envoy/extensions/filters/http/json_to_metadata/v3/json_to_metadata_pb.js'
import { JwtAuthenticationSchema, PerRouteConfigSchema } from '../gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js'
import { LocalRateLimitSchema as HttpLocalRateLimitSchema } from '../gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js'
import { OAuth2PerRouteSchema, OAuth2Schema } from '../gen/envoy/extensions/filters/http/oauth2/v3/oauth_pb.js'
import {
  PerRouteConfigSchema as OnDemandPerRouteSchema,
  OnDemandSchema,
} from '../gen/envoy/extensions/filters/http/on_demand/v3/on_demand_pb.js'
import { RateLimitPerRouteSchema, RateLimitSchema } from '../gen/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js'
import { RBACSchema as HttpRbacSchema, RBACPerRouteSchema } from '../gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import { RouterSchema } from '../gen/envoy/extensions/filters/http/router/v3/router_pb.js'
import { ConfigSchema as SetFilterStateSchema } from '../gen/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state_pb.js'
import { ConfigSchema as SetMetadataSchema } from '../gen/envoy/extensions/filters/http/set_metadata/v3/set_metadata_pb.js'
import {
  StatefulSessionPerRouteSchema,
  StatefulSessionSchema,
} from '../gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.js'
import { UpstreamCodecSchema } from '../gen/envoy/extensions/filters/http/upstream_codec/v3/upstream_codec_pb.js'
import { HttpInspectorSchema } from '../gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js'
import { OriginalDstSchema } from '../gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js'
import { ProxyProtocolSchema } from '../gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js'
import { TlsInspectorSchema } from '../gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js'
import { ConnectionLimitSchema } from '../gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js'
import { ConfigSchema as DirectResponseSchema } from '../gen/envoy/extensions/filters/network/direct_response/v3/config_pb.js'
import { EchoSchema } from '../gen/envoy/extensions/filters/network/echo/v3/echo_pb.js'
import { ExtAuthzSchema as NetworkExtAuthzSchema } from '../gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.js'
import { HttpConnectionManagerSchema } from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { LocalRateLimitSchema as NetworkLocalRateLimitSchema } from '../gen/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.js'
import { RBACSchema as NetworkRbacSchema } from '../gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.js'
import { SniClusterSchema } from '../gen/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster_pb.js'
import { TcpProxySchema } from '../gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js'
import { HealthCheckEventFileSinkSchema } from '../gen/envoy/extensions/health_check/event_sinks/file/v3/file_pb.js'
import { LocalResponsePolicySchema } from '../gen/envoy/extensions/http/custom_response/local_response_policy/v3/local_response_policy_pb.js'
import { RedirectPolicySchema } from '../gen/envoy/extensions/http/custom_response/redirect_policy/v3/redirect_policy_pb.js'
import { HeaderMutationSchema as EarlyHeaderMutationSchema } from '../gen/envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation_pb.js'
import { PreserveCaseFormatterConfigSchema } from '../gen/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case_pb.js'
import { GenericSchema as GenericCredentialSchema } from '../gen/envoy/extensions/http/injected_credentials/generic/v3/generic_pb.js'
import { CustomHeaderConfigSchema } from '../gen/envoy/extensions/http/original_ip_detection/custom_header/v3/custom_header_pb.js'
import { XffConfigSchema } from '../gen/envoy/extensions/http/original_ip_detection/xff/v3/xff_pb.js'
import { CookieBasedSessionStateSchema } from '../gen/envoy/extensions/http/stateful_session/cookie/v3/cookie_pb.js'
import { EnvelopeSessionStateSchema } from '../gen/envoy/extensions/http/stateful_session/envelope/v3/envelope_pb.js'
import { HeaderBasedSessionStateSchema } from '../gen/envoy/extensions/http/stateful_session/header/v3/header_pb.js'
import { AllowListedRoutesConfigSchema } from '../gen/envoy/extensions/internal_redirect/allow_listed_routes/v3/allow_listed_routes_config_pb.js'
import { PreviousRoutesConfigSchema } from '../gen/envoy/extensions/internal_redirect/previous_routes/v3/previous_routes_config_pb.js'
import { SafeCrossSchemeConfigSchema } from '../gen/envoy/extensions/internal_redirect/safe_cross_scheme/v3/safe_cross_scheme_config_pb.js'
import { ClusterProvidedSchema } from '../gen/envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided_pb.js'
import { LeastRequestSchema } from '../gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js'
import { MaglevSchema } from '../gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.js'
import { PickFirstSchema } from '../gen/envoy/extensions/load_balancing_policies/pick_first/v3/pick_first_pb.js'
import { RandomSchema } from '../gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.js'
import { RingHashSchema } from '../gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.js'
import { RoundRobinSchema } from '../gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js'
import { SubsetSchema } from '../gen/envoy/extensions/load_balancing_policies/subset/v3/subset_pb.js'
import { WrrLocalitySchema } from '../gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.js'
import {
  ApplicationProtocolInputSchema,
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  DirectSourceIPInputSchema,
  DynamicMetadataInputSchema,
  FilterStateInputSchema,
  ServerNameInputSchema,
  SourceIPInputSchema,
  SourcePortInputSchema,
  SourceTypeInputSchema,
  TransportProtocolInputSchema,
} from '../gen/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.js'
import {
  DnsSanInputSchema,
  SubjectInputSchema,
  UriSanInputSchema,
} from '../gen/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs_pb.js'
import { ConsistentHashingSchema } from '../gen/envoy/extensions/matching/input_matchers/consistent_hashing/v3/consistent_hashing_pb.js'
import { IpSchema } from '../gen/envoy/extensions/matching/input_matchers/ip/v3/ip_pb.js'
import { MetadataSchema as MetadataMatcherSchema } from '../gen/envoy/extensions/matching/input_matchers/metadata/v3/metadata_pb.js'
import { CaresDnsResolverConfigSchema } from '../gen/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver_pb.js'
import { GetAddrInfoDnsResolverConfigSchema } from '../gen/envoy/extensions/network/dns_resolver/getaddrinfo/v3/getaddrinfo_dns_resolver_pb.js'
import { UriTemplateMatchConfigSchema } from '../gen/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.js'
import { UriTemplateRewriteConfigSchema } from '../gen/envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite_pb.js'
import { UuidRequestIdConfigSchema } from '../gen/envoy/extensions/request_id/uuid/v3/uuid_pb.js'
import { CgroupMemoryConfigSchema } from '../gen/envoy/extensions/resource_monitors/cgroup_memory/v3/cgroup_memory_pb.js'
import { DownstreamConnectionsConfigSchema } from '../gen/envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections_pb.js'
import { FixedHeapConfigSchema } from '../gen/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap_pb.js'
import { InjectedResourceConfigSchema } from '../gen/envoy/extensions/resource_monitors/injected_resource/v3/injected_resource_pb.js'
import { OmitCanaryHostsPredicateSchema } from '../gen/envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts_pb.js'
import { OmitHostMetadataConfigSchema } from '../gen/envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config_pb.js'
import { PreviousHostsPredicateSchema } from '../gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js'
import { PreviousPrioritiesConfigSchema } from '../gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.js'
import { SinkConfigSchema as OpenTelemetrySinkSchema } from '../gen/envoy/extensions/stat_sinks/open_telemetry/v3/open_telemetry_pb.js'
import { EnvironmentResourceDetectorConfigSchema } from '../gen/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/environment_resource_detector_pb.js'
import { StaticConfigResourceDetectorConfigSchema } from '../gen/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/static_config_resource_detector_pb.js'
import { AlwaysOnSamplerConfigSchema } from '../gen/envoy/extensions/tracers/opentelemetry/samplers/v3/always_on_sampler_pb.js'
import { ParentBasedSamplerConfigSchema } from '../gen/envoy/extensions/tracers/opentelemetry/samplers/v3/parent_based_sampler_pb.js'
import { TraceIdRatioBasedSamplerConfigSchema } from '../gen/envoy/extensions/tracers/opentelemetry/samplers/v3/trace_id_ratio_based_sampler_pb.js'
import { RawBufferSchema } from '../gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js'
import { SecretSchema } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { DownstreamTlsContextSchema, UpstreamTlsContextSchema } from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { SPIFFECertValidatorConfigSchema } from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js'
import { HttpProtocolOptionsSchema } from '../gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js'
import { ResourceSchema } from '../gen/envoy/service/discovery/v3/discovery_pb.js'
import { RuntimeSchema } from '../gen/envoy/service/runtime/v3/rtds_pb.js'
import {
  HttpRequestHeaderMatchInputSchema,
  HttpRequestQueryParamMatchInputSchema,
  HttpResponseHeaderMatchInputSchema,
} from '../gen/envoy/type/matcher/v3/http_inputs_pb.js'
import {
  HttpResponseLocalReplyMatchInputSchema,
  HttpResponseStatusCodeClassMatchInputSchema,
  HttpResponseStatusCodeMatchInputSchema,
} from '../gen/envoy/type/matcher/v3/status_code_input_pb.js'
import { TypedStructSchema as UdpaTypedStructSchema } from '../gen/udpa/type/v1/typed_struct_pb.js'
import { CelMatcherSchema } from '../gen/xds/type/matcher/v3/cel_pb.js'
import { ServerNameMatcherSchema } from '../gen/xds/type/matcher/v3/domain_pb.js'
import { HttpAttributesCelMatchInputSchema } from '../gen/xds/type/matcher/v3/http_inputs_pb.js'
import { IPMatcherSchema } from '../gen/xds/type/matcher/v3/ip_pb.js'
import { TypedStructSchema } from '../gen/xds/type/v3/typed_struct_pb.js'

const SCHEMAS: readonly DescMessage[] = [
  BootstrapSchema,
  ClusterSchema,
  ClusterLoadAssignmentSchema,
  ListenerSchema,
  RouteConfigurationSchema,
  ScopedRouteConfigurationSchema,
  VirtualHostSchema,
  RouteSchema,
  RouteListSchema,
  SecretSchema,
  RuntimeSchema,
  TypedExtensionConfigSchema,
  FilterConfigSchema,
  OpenTelemetryConfigSchema,
  ZipkinConfigSchema,
  FileAccessLogSchema,
  ExpressionFilterSchema,
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
  OpenTelemetryAccessLogConfigSchema,
  StderrAccessLogSchema,
  StdoutAccessLogSchema,
  StatsdSinkSchema,
  DogStatsdSinkSchema,
  FileBasedMetadataConfigSchema,
  MetricsServiceConfigSchema,
  OpenTelemetrySinkSchema,
  FixedHeapConfigSchema,
  CgroupMemoryConfigSchema,
  DownstreamConnectionsConfigSchema,
  InjectedResourceConfigSchema,
  ScaleTimersOverloadActionConfigSchema,
  ClusterConfigSchema,
  DnsClusterSchema,
  CaresDnsResolverConfigSchema,
  GetAddrInfoDnsResolverConfigSchema,
  BrotliSchema,
  BrotliDecompressorSchema,
  GzipSchema,
  GzipDecompressorSchema,
  ZstdSchema,
  ZstdDecompressorSchema,
  ExtensionWithMatcherSchema,
  ExtensionWithMatcherPerRouteSchema,
  SkipFilterSchema,
  CompositeSchema,
  ExecuteFilterActionSchema,
  BufferPerRouteSchema,
  BufferSchema,
  CompressorPerRouteSchema,
  CompressorSchema,
  CorsPolicySchema,
  CorsSchema,
  ApiKeyAuthPerRouteSchema,
  ApiKeyAuthSchema,
  BandwidthLimitSchema,
  BasicAuthPerRouteSchema,
  BasicAuthSchema,
  CsrfPolicySchema,
  DecompressorSchema,
  ExtAuthzPerRouteSchema,
  ExtAuthzSchema,
  ExtProcPerRouteSchema,
  ExternalProcessorSchema,
  HTTPFaultSchema,
  GrpcHttp1BridgeSchema,
  GrpcStatsSchema,
  GrpcWebSchema,
  HeaderMutationPerRouteSchema,
  HeaderMutationSchema,
  HeaderToMetadataSchema,
  HealthCheckSchema,
  JwtAuthenticationSchema,
  OnDemandSchema,
  OnDemandPerRouteSchema,
  PerRouteConfigSchema,
  HttpLocalRateLimitSchema,
  RateLimitPerRouteSchema,
  RateLimitSchema,
  RBACPerRouteSchema,
  HttpRbacSchema,
  RouterSchema,
  StatefulSessionPerRouteSchema,
  StatefulSessionSchema,
  CredentialInjectorSchema,
  GenericCredentialSchema,
  JsonToMetadataSchema,
  OAuth2PerRouteSchema,
  OAuth2Schema,
  SetFilterStateSchema,
  SetMetadataSchema,
  CustomResponseSchema,
  LocalResponsePolicySchema,
  RedirectPolicySchema,
  EarlyHeaderMutationSchema,
  CookieBasedSessionStateSchema,
  EnvelopeSessionStateSchema,
  HeaderBasedSessionStateSchema,
  UpstreamCodecSchema,
  HttpInspectorSchema,
  OriginalDstSchema,
  ProxyProtocolSchema,
  TlsInspectorSchema,
  ConnectionLimitSchema,
  NetworkExtAuthzSchema,
  DirectResponseSchema,
  EchoSchema,
  HttpConnectionManagerSchema,
  NetworkLocalRateLimitSchema,
  NetworkRbacSchema,
  SniClusterSchema,
  TcpProxySchema,
  HealthCheckEventFileSinkSchema,
  PreserveCaseFormatterConfigSchema,
  CustomHeaderConfigSchema,
  XffConfigSchema,
  AllowListedRoutesConfigSchema,
  PreviousRoutesConfigSchema,
  SafeCrossSchemeConfigSchema,
  ClusterProvidedSchema,
  LeastRequestSchema,
  MaglevSchema,
  PickFirstSchema,
  RandomSchema,
  RingHashSchema,
  RoundRobinSchema,
  SubsetSchema,
  WrrLocalitySchema,
  UuidRequestIdConfigSchema,
  OmitCanaryHostsPredicateSchema,
  OmitHostMetadataConfigSchema,
  PreviousHostsPredicateSchema,
  PreviousPrioritiesConfigSchema,
  EnvironmentResourceDetectorConfigSchema,
  StaticConfigResourceDetectorConfigSchema,
  AlwaysOnSamplerConfigSchema,
  ParentBasedSamplerConfigSchema,
  TraceIdRatioBasedSamplerConfigSchema,
  RawBufferSchema,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
  SPIFFECertValidatorConfigSchema,
  HttpProtocolOptionsSchema,
  UriTemplateMatchConfigSchema,
  UriTemplateRewriteConfigSchema,
  ActionSchema,
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  SourceIPInputSchema,
  SourcePortInputSchema,
  DirectSourceIPInputSchema,
  DynamicMetadataInputSchema,
  SourceTypeInputSchema,
  ServerNameInputSchema,
  TransportProtocolInputSchema,
  ApplicationProtocolInputSchema,
  DnsSanInputSchema,
  SubjectInputSchema,
  UriSanInputSchema,
  IpSchema,
  MetadataMatcherSchema,
  CelMatcherSchema,
  HttpAttributesCelMatchInputSchema,
  HttpRequestHeaderMatchInputSchema,
  HttpRequestQueryParamMatchInputSchema,
  HttpResponseHeaderMatchInputSchema,
  HttpResponseLocalReplyMatchInputSchema,
  HttpResponseStatusCodeClassMatchInputSchema,
  HttpResponseStatusCodeMatchInputSchema,
  FilterStateInputSchema,
  ConsistentHashingSchema,
  ServerNameMatcherSchema,
  IPMatcherSchema,
  StringValueSchema,
  UdpaTypedStructSchema,
  TypedStructSchema,
]

/** What may stand around a resource in an answer: no configuration itself. */
const ENVELOPES: readonly DescMessage[] = [ResourceSchema]

const byName: ReadonlyMap<string, DescMessage> = new Map([...SCHEMAS, ...ENVELOPES].map(schema => [schema.typeName, schema]))

export function schemaOf(typeName: string): DescMessage | undefined {
  return byName.get(typeName)
}

export function knownSchemas(): readonly DescMessage[] {
  return SCHEMAS
}
