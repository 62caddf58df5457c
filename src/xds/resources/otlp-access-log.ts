// envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig -> model, with the older form of its service
// (common_config). Called by access-log.ts.

import type { OtlpLogTarget, OtlpTemplate } from '../../model/access-log.js'
import type { OpenTelemetryAccessLogConfig } from '../gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.js'
import type { AnyValue, KeyValueList } from '../gen/opentelemetry/proto/common/v1/common_pb.js'
import { checkApiVersion } from './config-source.js'
import { decodeCustomTags } from './custom-tags.js'
import type { Ctx } from './field-path.js'
import { checkFormat } from './format-string.js'
import { decodeFormatters } from './formatters.js'
import { decodeOtlpTarget, decodeResourceDetectors } from './tracing.js'
import { durationMsOr } from './values.js'

const DEFAULT_BUFFER_FLUSH_MS = 1000
const DEFAULT_BUFFER_BYTES = 16_384
const MAX_TEMPLATE_DEPTH = 16

/** Null after an error was recorded. */
export function decodeOtlpLog(config: OpenTelemetryAccessLogConfig, ctx: Ctx): OtlpLogTarget | null {
  const { commonConfig: common } = config
  if (common !== undefined) checkApiVersion(common.transportApiVersion, ctx.at('common_config'), 'transport_api_version')
  const older = common?.grpcService
  const both = older !== undefined && (config.grpcService !== undefined || config.httpService !== undefined)
  if (both) ctx.at('common_config').error('one service is enough: common_config beside grpc_service or http_service')
  const service = older === undefined ? decodeOtlpTarget(config, ctx) : decodeOtlpTarget({ grpcService: older }, ctx.at('common_config'))
  if (service === null) {
    ctx.error('one of grpc_service, http_service, common_config.grpc_service is required')
    return null
  }
  const values = config.resourceAttributes?.values ?? []
  const commands = decodeFormatters(config.formatters, ctx)
  return {
    kind: 'opentelemetry',
    service,
    logName: config.logName || (common?.logName ?? ''),
    statPrefix: config.statPrefix,
    builtinLabels: !config.disableBuiltinLabels,
    resourceAttributes: values.flatMap(({ key, value }, i): [string, string][] => {
      if (value?.value.case === 'stringValue') return [[key, value.value.value]]
      ctx.at('resource_attributes').at('values', i).at('value').error('only string values are supported')
      return []
    }),
    resourceDetectors: decodeResourceDetectors(config.resourceDetectors, ctx, 'resource_detectors'),
    body: config.body === undefined ? null : decodeTemplate(config.body, ctx.at('body'), 0, commands),
    attributes: decodeEntries(config.attributes, ctx.at('attributes'), 0, commands),
    customTags: decodeCustomTags(config.customTags, ctx, 'custom_tags'),
    flushIntervalMs: durationMsOr(config.bufferFlushInterval ?? common?.bufferFlushInterval, DEFAULT_BUFFER_FLUSH_MS),
    bufferBytes: config.bufferSizeBytes ?? common?.bufferSizeBytes ?? DEFAULT_BUFFER_BYTES,
  }
}

function decodeEntries(list: KeyValueList | undefined, ctx: Ctx, depth: number, commands: ReadonlySet<string>): [string, OtlpTemplate][] {
  return (list?.values ?? []).map(({ key, value }, i) => {
    const at = ctx.at('values', i).at('value')
    if (value !== undefined) return [key, decodeTemplate(value, at, depth, commands)]
    at.error('value is required')
    return [key, '']
  })
}

function decodeTemplate({ value }: AnyValue, ctx: Ctx, depth: number, commands: ReadonlySet<string>): OtlpTemplate {
  if (depth > MAX_TEMPLATE_DEPTH) {
    ctx.error(`values are nested more than ${MAX_TEMPLATE_DEPTH} deep`)
    return ''
  }
  switch (value.case) {
    case 'stringValue':
      checkFormat(value.value, ctx.at('string_value'), commands)
      return value.value
    case 'arrayValue':
      return {
        kind: 'list',
        items: value.value.values.map((item, i) => decodeTemplate(item, ctx.at('array_value').at('values', i), depth + 1, commands)),
      }
    case 'kvlistValue':
      return { kind: 'map', entries: decodeEntries(value.value, ctx.at('kvlist_value'), depth + 1, commands) }
    default:
      ctx.error('only string values, nested key value lists and array values are supported')
      return ''
  }
}
