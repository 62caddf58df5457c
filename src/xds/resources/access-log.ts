// envoy.config.accesslog.v3.AccessLog and SubstitutionFormatString -> model: file, stdout and stderr loggers with all of Envoy's
// built-in filters. Called by listener.ts, network-filters.ts, http-connection-manager.ts, http-filter.ts, bootstrap.ts.

import type { JsonObject as JsonObjectMessage } from '@bufbuild/protobuf'
import type { AccessLog, AccessLogFilter, GrpcLogTarget, LogFormat } from '../../model/access-log.js'
import {
  type AccessLogFilter as AccessLogFilterMessage,
  type AccessLog as AccessLogMessage,
  type ComparisonFilter,
  ComparisonFilter_OpSchema,
} from '../gen/envoy/config/accesslog/v3/accesslog_pb.js'
import type { SubstitutionFormatString } from '../gen/envoy/config/core/v3/substitution_format_string_pb.js'
import { AccessLogTypeSchema } from '../gen/envoy/data/accesslog/v3/accesslog_pb.js'
import type { FileAccessLog } from '../gen/envoy/extensions/access_loggers/file/v3/file_pb.js'
import { ExpressionFilterSchema } from '../gen/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js'
import type {
  CommonGrpcAccessLogConfig,
  HttpGrpcAccessLogConfig,
  TcpGrpcAccessLogConfig,
} from '../gen/envoy/extensions/access_loggers/grpc/v3/als_pb.js'
import type { OpenTelemetryAccessLogConfig } from '../gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.js'
import type { StderrAccessLog, StdoutAccessLog } from '../gen/envoy/extensions/access_loggers/stream/v3/stream_pb.js'
import { describeType, unpackAny, unpackAs } from './any.js'
import { decodeCelText } from './cel.js'
import { checkApiVersion, decodeGrpcService } from './config-source.js'
import { readDataSource } from './data-source.js'
import type { Ctx } from './field-path.js'
import { checkFormat } from './format-string.js'
import { decodeFormatters } from './formatters.js'
import { decodeHeaderMatcher, decodeMetadataMatcher } from './matchers.js'
import { decodeOtlpLog } from './otlp-access-log.js'
import { decodeFraction, durationMsOr, enumName, plainJson, plainObject } from './values.js'

const DEFAULT_FORMAT: LogFormat = { text: null, json: null, omitEmptyValues: false }

export function decodeAccessLogs(logs: readonly AccessLogMessage[], ctx: Ctx, field: string): AccessLog[] {
  return logs.map((log, i) => decodeAccessLog(log, ctx.at(field, i))).filter(log => log !== null)
}

/** null: a logger we do not have; it is listed (a log that is not written changes no traffic). */
function decodeAccessLog(log: AccessLogMessage, ctx: Ctx): AccessLog | null {
  const filter = log.filter === undefined ? null : decodeAccessLogFilter(log.filter, ctx.at('filter'))
  const configCtx = ctx.at('typed_config')
  if (log.configType.case !== 'typedConfig') {
    configCtx.error('value is required')
    return null
  }
  const { typeName, typeUrl, message, known } = unpackAny(log.configType.value, configCtx)
  if (message === null) {
    if (known) return null
    if (typeUrl === '') configCtx.error(`unknown access logger '${log.name}' (${describeType(typeUrl)})`)
    else configCtx.unsupported()
    return null
  }
  switch (typeName) {
    case 'envoy.extensions.access_loggers.file.v3.FileAccessLog': {
      const file = message as FileAccessLog
      return { name: log.name, filter, sink: { kind: 'file', path: file.path }, format: decodeFileFormat(file, configCtx) }
    }
    case 'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog':
    case 'envoy.extensions.access_loggers.stream.v3.StderrAccessLog': {
      const kind = typeName.endsWith('StdoutAccessLog') ? ('stdout' as const) : ('stderr' as const)
      const format = (message as StdoutAccessLog | StderrAccessLog).accessLogFormat
      return {
        name: log.name,
        filter,
        sink: { kind },
        format: format.case === 'logFormat' ? decodeLogFormat(format.value, configCtx.at('log_format')) : DEFAULT_FORMAT,
      }
    }
    case 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig': {
      const http = message as HttpGrpcAccessLogConfig
      const sink: GrpcLogTarget = {
        ...decodeGrpcTarget('http', http.commonConfig, configCtx.at('common_config')),
        requestHeaders: http.additionalRequestHeadersToLog.map(lowerCase),
        responseHeaders: http.additionalResponseHeadersToLog.map(lowerCase),
        responseTrailers: http.additionalResponseTrailersToLog.map(lowerCase),
      }
      return { name: log.name, filter, sink, format: DEFAULT_FORMAT }
    }
    case 'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig': {
      const sink = decodeGrpcTarget('tcp', (message as TcpGrpcAccessLogConfig).commonConfig, configCtx.at('common_config'))
      return { name: log.name, filter, sink, format: DEFAULT_FORMAT }
    }
    case 'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig': {
      const sink = decodeOtlpLog(message as OpenTelemetryAccessLogConfig, configCtx)
      return sink === null ? null : { name: log.name, filter, sink, format: DEFAULT_FORMAT }
    }
    default:
      configCtx.error(`unknown access logger '${log.name}' (${typeUrl})`)
      return null
  }
}

const DEFAULT_BUFFER_FLUSH_MS = 1000
const DEFAULT_BUFFER_BYTES = 16_384

function decodeGrpcTarget(protocol: 'http' | 'tcp', common: CommonGrpcAccessLogConfig | undefined, ctx: Ctx): GrpcLogTarget {
  if (common !== undefined) checkApiVersion(common.transportApiVersion, ctx, 'transport_api_version')
  return {
    kind: 'grpc',
    protocol,
    logName: common?.logName ?? '',
    service: decodeGrpcService(common?.grpcService, ctx.at('grpc_service')),
    flushIntervalMs: durationMsOr(common?.bufferFlushInterval, DEFAULT_BUFFER_FLUSH_MS),
    bufferBytes: common?.bufferSizeBytes ?? DEFAULT_BUFFER_BYTES,
    requestHeaders: [],
    responseHeaders: [],
    responseTrailers: [],
  }
}

function lowerCase(name: string): string {
  return name.toLowerCase()
}

function decodeFileFormat(file: FileAccessLog, ctx: Ctx): LogFormat {
  const format = file.accessLogFormat
  switch (format.case) {
    case 'format':
      checkFormat(format.value, ctx.at('format'))
      return { text: format.value, json: null, omitEmptyValues: false }
    case 'jsonFormat':
    case 'typedJsonFormat':
      checkJsonFormat(format.value, ctx.at(format.case === 'jsonFormat' ? 'json_format' : 'typed_json_format'), new Set())
      return { text: null, json: plainObject(format.value), omitEmptyValues: false }
    case 'logFormat':
      return decodeLogFormat(format.value, ctx.at('log_format'))
    default:
      return DEFAULT_FORMAT
  }
}

export function decodeLogFormat(format: SubstitutionFormatString, ctx: Ctx): LogFormat {
  const { omitEmptyValues } = format
  const extensions = decodeFormatters(format.formatters, ctx)
  switch (format.format.case) {
    case 'textFormat':
      checkFormat(format.format.value, ctx.at('text_format'), extensions)
      return { text: format.format.value, json: null, omitEmptyValues }
    case 'textFormatSource': {
      const bytes = readDataSource(format.format.value, ctx.at('text_format_source'))
      const text = bytes === null ? '' : Buffer.from(bytes).toString('utf8')
      checkFormat(text, ctx.at('text_format_source'), extensions)
      return { text, json: null, omitEmptyValues }
    }
    case 'jsonFormat':
      checkJsonFormat(format.format.value, ctx.at('json_format'), extensions)
      return {
        text: null,
        json: plainObject(format.jsonFormatOptions?.sortProperties ? sorted(format.format.value) : format.format.value),
        omitEmptyValues,
      }
    default:
      return { text: null, json: null, omitEmptyValues }
  }
}

function checkJsonFormat(value: unknown, ctx: Ctx, extensions: ReadonlySet<string>): void {
  const plain = plainJson(value)
  if (typeof plain === 'string') checkFormat(plain, ctx, extensions)
  else if (typeof plain === 'object' && plain !== null) for (const item of Object.values(plain)) checkJsonFormat(item, ctx, extensions)
}

/** `sort_properties`: keys in byte order at every depth. */
function sorted(value: JsonObjectMessage): JsonObjectMessage {
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, typeof item === 'object' && item !== null && !Array.isArray(item) ? sorted(item) : item]),
  )
}

function comparison(filter: ComparisonFilter | undefined): { op: 'EQ' | 'GE' | 'LE' | 'NE'; value: number; runtimeKey: string } {
  return {
    op: enumName(ComparisonFilter_OpSchema, filter?.op ?? 0) as 'EQ' | 'GE' | 'LE' | 'NE',
    value: filter?.value?.defaultValue ?? 0,
    runtimeKey: filter?.value?.runtimeKey ?? '',
  }
}

/** Stand-in for a filter that cannot be had: nothing is logged. */
const NOTHING: AccessLogFilter = { kind: 'or', filters: [] }

export function decodeAccessLogFilter(filter: AccessLogFilterMessage, ctx: Ctx): AccessLogFilter {
  const specifier = filter.filterSpecifier
  switch (specifier.case) {
    case 'statusCodeFilter':
      return { kind: 'statusCode', ...comparison(specifier.value.comparison) }
    case 'durationFilter':
      return { kind: 'duration', ...comparison(specifier.value.comparison) }
    case 'notHealthCheckFilter':
      return { kind: 'notHealthCheck' }
    case 'traceableFilter':
      return { kind: 'traceable' }
    case 'runtimeFilter':
      return { kind: 'runtime', fraction: decodeFraction(specifier.value.percentSampled, specifier.value.runtimeKey, 0) }
    case 'andFilter':
    case 'orFilter': {
      const and = specifier.case === 'andFilter'
      const inner = ctx.at(and ? 'and_filter' : 'or_filter')
      return { kind: and ? 'and' : 'or', filters: specifier.value.filters.map((f, i) => decodeAccessLogFilter(f, inner.at('filters', i))) }
    }
    case 'headerFilter':
      if (specifier.value.header === undefined) return NOTHING
      return { kind: 'header', header: decodeHeaderMatcher(specifier.value.header, ctx.at('header_filter').at('header')) }
    case 'responseFlagFilter':
      return { kind: 'responseFlag', flags: specifier.value.flags }
    case 'grpcStatusFilter':
      return { kind: 'grpcStatus', statuses: specifier.value.statuses, exclude: specifier.value.exclude }
    case 'logTypeFilter': {
      const { types, exclude } = specifier.value
      return { kind: 'logType', types: types.map(type => enumName(AccessLogTypeSchema, type)), exclude }
    }
    case 'metadataFilter':
      if (specifier.value.matcher === undefined) return NOTHING
      return {
        kind: 'metadata',
        matcher: decodeMetadataMatcher(specifier.value.matcher, ctx.at('metadata_filter').at('matcher')),
        matchIfMissing: specifier.value.matchIfKeyNotFound ?? true,
      }
    case 'extensionFilter': {
      const at = ctx.at('extension_filter').at('typed_config')
      const message = unpackAs(specifier.value.configType.value, ExpressionFilterSchema, at)
      if (message === null) return NOTHING
      return { kind: 'cel', expression: decodeCelText(message.expression, at.at('expression')) }
    }
    default:
      return NOTHING // the missing oneof has been reported
  }
}
