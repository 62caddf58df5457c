// Tracing of connection managers, routes and the bootstrap, with its providers (OpenTelemetry, Zipkin) -> model. A provider that we do
// not have is an error that names it: a proxy that was asked for spans and sends none would look as if nothing had happened.

import type { RuntimeFraction } from '../../model/matcher.js'
import type {
  Decorator,
  OpenTelemetryTracerConfig,
  OtlpTarget,
  RequestIdOptions,
  ResourceDetector,
  RouteTracing,
  Sampler,
  TracerConfig,
  Tracing,
  ZipkinTracerConfig,
} from '../../model/tracing.js'
import type { TypedExtensionConfig } from '../gen/envoy/config/core/v3/extension_pb.js'
import type { GrpcService as GrpcServiceMessage } from '../gen/envoy/config/core/v3/grpc_service_pb.js'
import type { HttpService as HttpServiceMessage } from '../gen/envoy/config/core/v3/http_service_pb.js'
import type { Decorator as DecoratorMessage, Tracing as RouteTracingMessage } from '../gen/envoy/config/route/v3/route_components_pb.js'
import type { Tracing_Http } from '../gen/envoy/config/trace/v3/http_tracer_pb.js'
import type { OpenTelemetryConfig } from '../gen/envoy/config/trace/v3/opentelemetry_pb.js'
import { TraceContextOption, type ZipkinConfig, ZipkinConfig_CollectorEndpointVersion } from '../gen/envoy/config/trace/v3/zipkin_pb.js'
import type {
  HttpConnectionManager_Tracing,
  RequestIDExtension,
} from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { UuidRequestIdConfigSchema } from '../gen/envoy/extensions/request_id/uuid/v3/uuid_pb.js'
import type { StaticConfigResourceDetectorConfig } from '../gen/envoy/extensions/tracers/opentelemetry/resource_detectors/v3/static_config_resource_detector_pb.js'
import type { ParentBasedSamplerConfig } from '../gen/envoy/extensions/tracers/opentelemetry/samplers/v3/parent_based_sampler_pb.js'
import type { TraceIdRatioBasedSamplerConfig } from '../gen/envoy/extensions/tracers/opentelemetry/samplers/v3/trace_id_ratio_based_sampler_pb.js'
import type { FractionalPercent } from '../gen/envoy/type/v3/percent_pb.js'
import { describeType, unpackAny, unpackAs } from './any.js'
import { decodeGrpcService } from './config-source.js'
import { decodeCustomTags } from './custom-tags.js'
import type { Ctx } from './field-path.js'
import { checkFormat } from './format-string.js'
import { decodeHttpService } from './http-service.js'
import { decodeFraction } from './values.js'

const DEFAULT_MAX_PATH_TAG_LENGTH = 256
const DEFAULT_MAX_CACHED_SPANS = 1024
const DEFAULT_REPORT_TIMEOUT_MS = 5000
const DEFAULT_SERVICE_NAME = 'unknown_service:envoy'
const MAX_SAMPLER_DEPTH = 8

export function decodeTracing(tracing: HttpConnectionManager_Tracing, ctx: Ctx): Tracing {
  const { clientSampling, randomSampling, overallSampling } = tracing
  return {
    provider: tracing.provider === undefined ? null : decodeTracer(tracing.provider, ctx.at('provider')),
    sampling: {
      // As Envoy's: whole percents, but hundredths of one for what is drawn at random.
      client: { numerator: Math.trunc(clientSampling?.value ?? 100), denominator: 100, runtimeKey: 'tracing.client_enabled' },
      random: { numerator: Math.round((randomSampling?.value ?? 100) * 100), denominator: 10_000, runtimeKey: 'tracing.random_sampling' },
      overall: { numerator: Math.trunc(overallSampling?.value ?? 100), denominator: 100, runtimeKey: 'tracing.global_enabled' },
    },
    verbose: tracing.verbose,
    maxPathTagLength: tracing.maxPathTagLength ?? DEFAULT_MAX_PATH_TAG_LENGTH,
    customTags: decodeCustomTags(tracing.customTags, ctx, 'custom_tags'),
    spawnUpstreamSpan: tracing.spawnUpstreamSpan ?? false,
    operation: checkedFormat(tracing.operation, ctx.at('operation')),
    upstreamOperation: checkedFormat(tracing.upstreamOperation, ctx.at('upstream_operation')),
    propagates: !tracing.noContextPropagation,
  }
}

export function decodeRouteTracing(tracing: RouteTracingMessage, ctx: Ctx): RouteTracing {
  const chance = (percent: FractionalPercent | undefined, runtimeKey: string): RuntimeFraction => decodeFraction(percent, runtimeKey)
  return {
    sampling: {
      client: chance(tracing.clientSampling, 'tracing.client_enabled'),
      random: chance(tracing.randomSampling, 'tracing.random_sampling'),
      overall: chance(tracing.overallSampling, 'tracing.global_enabled'),
    },
    customTags: decodeCustomTags(tracing.customTags, ctx, 'custom_tags'),
    operation: checkedFormat(tracing.operation, ctx.at('operation')),
    upstreamOperation: checkedFormat(tracing.upstreamOperation, ctx.at('upstream_operation')),
  }
}

export function decodeDecorator(decorator: DecoratorMessage): Decorator {
  return { operation: decorator.operation, propagate: decorator.propagate ?? true }
}

function checkedFormat(text: string, ctx: Ctx): string {
  checkFormat(text, ctx)
  return text
}

/** request_id_extension: only UUIDs. */
export function decodeRequestId(extension: RequestIDExtension | undefined, ctx: Ctx): RequestIdOptions {
  const uuid =
    extension?.typedConfig === undefined ? null : unpackAs(extension.typedConfig, UuidRequestIdConfigSchema, ctx.at('typed_config'))
  return { packTraceReason: uuid?.packTraceReason ?? true, useForTraceSampling: uuid?.useRequestIdForTraceSampling ?? true }
}

/** Null after an error was recorded. */
export function decodeTracer(http: Tracing_Http, ctx: Ctx): TracerConfig | null {
  const at = ctx.at('typed_config')
  if (http.configType.case === undefined) {
    at.error(`tracer '${http.name}' has no typed_config`)
    return null
  }
  const { typeName, typeUrl, message, known } = unpackAny(http.configType.value, at)
  if (message === null) {
    if (!known) {
      at.error(`tracer '${http.name}' is not supported (${describeType(typeUrl)}): use envoy.tracers.opentelemetry or envoy.tracers.zipkin`)
    }
    return null
  }
  switch (typeName) {
    case 'envoy.config.trace.v3.OpenTelemetryConfig':
      return decodeOpenTelemetry(message as OpenTelemetryConfig, at)
    case 'envoy.config.trace.v3.ZipkinConfig':
      return decodeZipkin(message as ZipkinConfig, at)
    default:
      at.error(`'${typeUrl}' is no tracer`)
      return null
  }
}

function decodeOpenTelemetry(config: OpenTelemetryConfig, ctx: Ctx): OpenTelemetryTracerConfig {
  if (config.grpcService === undefined && config.httpService === undefined) ctx.error('one of grpc_service and http_service is required')
  return {
    kind: 'opentelemetry',
    target: decodeOtlpTarget(config, ctx),
    serviceName: config.serviceName === '' ? DEFAULT_SERVICE_NAME : config.serviceName,
    resourceDetectors: decodeResourceDetectors(config.resourceDetectors, ctx, 'resource_detectors'),
    sampler: config.sampler === undefined ? null : decodeSampler(config.sampler, ctx.at('sampler'), 0),
    maxCachedSpans: config.maxCacheSize ?? DEFAULT_MAX_CACHED_SPANS,
    sdkAttributes: config.setTelemetrySdkResourceAttributes ?? true,
    serviceNameAttribute: config.setServiceNameResourceAttribute ?? true,
    instrumentationScope: config.setInstrumentationScope ?? true,
  }
}

interface OtlpServices {
  readonly grpcService?: GrpcServiceMessage
  readonly httpService?: HttpServiceMessage
}

/** Null where neither is set. */
export function decodeOtlpTarget({ grpcService, httpService }: OtlpServices, ctx: Ctx): OtlpTarget | null {
  if (grpcService !== undefined && httpService !== undefined) {
    ctx.error('OpenTelemetry cannot have both grpc_service and http_service')
    return null
  }
  if (httpService !== undefined) {
    return { kind: 'http', service: decodeHttpService(httpService, DEFAULT_REPORT_TIMEOUT_MS, ctx.at('http_service')) }
  }
  if (grpcService === undefined) return null
  return { kind: 'grpc', service: decodeGrpcService(grpcService, ctx.at('grpc_service')) }
}

export function decodeResourceDetectors(detectors: readonly TypedExtensionConfig[], ctx: Ctx, field: string): ResourceDetector[] {
  const decoded = detectors.map((detector, i): ResourceDetector | null => {
    const at = ctx.at(field, i).at('typed_config')
    if (detector.typedConfig === undefined) {
      at.error('value is required')
      return null
    }
    const { typeName, typeUrl, message, known } = unpackAny(detector.typedConfig, at)
    if (typeName.endsWith('.EnvironmentResourceDetectorConfig') && message !== null) return { kind: 'environment' }
    if (typeName.endsWith('.StaticConfigResourceDetectorConfig') && message !== null) {
      return { kind: 'static', attributes: Object.entries((message as StaticConfigResourceDetectorConfig).attributes) }
    }
    if (message !== null || !known) at.error(`resource detector '${detector.name}' is not supported (${describeType(typeUrl)})`)
    return null
  })
  return decoded.filter(detector => detector !== null)
}

function decodeSampler(sampler: TypedExtensionConfig, ctx: Ctx, depth: number): Sampler | null {
  const at = ctx.at('typed_config')
  if (sampler.typedConfig === undefined) {
    at.error('value is required')
    return null
  }
  if (depth > MAX_SAMPLER_DEPTH) {
    at.error(`samplers are nested more than ${MAX_SAMPLER_DEPTH} deep`)
    return null
  }
  const { typeName, typeUrl, message, known } = unpackAny(sampler.typedConfig, at)
  if (message === null && known) return null
  if (message !== null && typeName.endsWith('.AlwaysOnSamplerConfig')) return { kind: 'alwaysOn' }
  if (message !== null && typeName.endsWith('.TraceIdRatioBasedSamplerConfig')) {
    const { numerator, denominator } = decodeFraction((message as TraceIdRatioBasedSamplerConfig).samplingPercentage)
    return { kind: 'traceIdRatio', ratio: numerator / denominator }
  }
  if (message !== null && typeName.endsWith('.ParentBasedSamplerConfig')) {
    const { wrappedSampler } = message as ParentBasedSamplerConfig
    const wrappedAt = at.at('wrapped_sampler')
    if (wrappedSampler === undefined) wrappedAt.error('value is required')
    const wrapped = wrappedSampler === undefined ? null : decodeSampler(wrappedSampler, wrappedAt, depth + 1)
    return wrapped === null ? null : { kind: 'parentBased', wrapped }
  }
  at.error(`sampler '${sampler.name}' is not supported (${describeType(typeUrl)})`)
  return null
}

function decodeZipkin(config: ZipkinConfig, ctx: Ctx): ZipkinTracerConfig {
  const { HTTP_JSON, HTTP_PROTO } = ZipkinConfig_CollectorEndpointVersion
  const version = config.collectorEndpointVersion
  if (version !== HTTP_JSON && version !== HTTP_PROTO) ctx.at('collector_endpoint_version').error('must be HTTP_JSON or HTTP_PROTO')
  if (config.collectorService === undefined) {
    if (config.collectorCluster === '') ctx.at('collector_cluster').error('collector_cluster or collector_service is required')
    else if (config.collectorEndpoint === '') ctx.at('collector_endpoint').error('is required beside collector_cluster')
  }
  return {
    kind: 'zipkin',
    collector:
      config.collectorService === undefined
        ? {
            cluster: config.collectorCluster,
            host: config.collectorHostname || config.collectorCluster,
            path: config.collectorEndpoint,
            timeoutMs: DEFAULT_REPORT_TIMEOUT_MS,
            headers: [],
          }
        : decodeHttpService(config.collectorService, DEFAULT_REPORT_TIMEOUT_MS, ctx.at('collector_service')),
    encoding: version === HTTP_PROTO ? 'protobuf' : 'json',
    traceId128Bit: config.traceId128bit,
    timestampTraceIds: config.timestampTraceIds,
    sharedSpanContext: config.sharedSpanContext ?? true,
    w3c: config.traceContextOption === TraceContextOption.USE_B3_WITH_W3C_PROPAGATION,
  }
}
