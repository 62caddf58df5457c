// HttpProtocolOptions, Http1ProtocolOptions and Http2ProtocolOptions (envoy.config.core.v3) -> model, with Envoy 1.40's defaults.
// Called by http-connection-manager.ts (downstream) and cluster.ts (upstream).

import type { CommonHttpOptions, Http1Options, Http2Options } from '../../model/http-connection-manager.js'
import {
  type Http1ProtocolOptions,
  type Http2ProtocolOptions,
  type HttpProtocolOptions,
  HttpProtocolOptions_HeadersWithUnderscoresActionSchema,
} from '../gen/envoy/config/core/v3/protocol_pb.js'
import { describeType, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'
import { durationMsOr, enumName } from './values.js'

const HOUR_MS = 3_600_000

/** Of a connection manager, whose limit of heads is max_request_headers_kb. */
export function decodeDownstreamCommon(options: HttpProtocolOptions | undefined, ctx: Ctx): CommonHttpOptions {
  if (options?.maxResponseHeadersKb !== undefined) ctx.at('max_response_headers_kb').error('is for clusters')
  return decodeCommonHttp(options)
}

export function decodeCommonHttp(options: HttpProtocolOptions | undefined): CommonHttpOptions {
  return {
    idleTimeoutMs: durationMsOr(options?.idleTimeout, HOUR_MS),
    maxConnectionDurationMs: positiveOrNull(durationMsOr(options?.maxConnectionDuration, null)),
    maxHeadersCount: options?.maxHeadersCount ?? 100,
    maxResponseHeadersKb: positiveOrNull(options?.maxResponseHeadersKb ?? null),
    maxStreamDurationMs: positiveOrNull(durationMsOr(options?.maxStreamDuration, null)),
    headersWithUnderscoresAction: enumName(
      HttpProtocolOptions_HeadersWithUnderscoresActionSchema,
      options?.headersWithUnderscoresAction ?? 0,
    ) as CommonHttpOptions['headersWithUnderscoresAction'],
    maxRequestsPerConnection: positiveOrNull(options?.maxRequestsPerConnection ?? null),
  }
}

/** Envoy reads 0 as "no limit" in all of these. */
function positiveOrNull(value: number | null): number | null {
  return value === null || value <= 0 ? null : value
}

export function decodeHttp1(options: Http1ProtocolOptions | undefined, ctx: Ctx): Http1Options {
  return {
    allowAbsoluteUrl: options?.allowAbsoluteUrl ?? true,
    acceptHttp10: options?.acceptHttp10 ?? false,
    allowCustomMethods: options?.allowCustomMethods ?? false,
    defaultHostForHttp10: options?.defaultHostForHttp10 ?? '',
    headerKeyFormat: decodeHeaderKeyFormat(options, ctx.at('header_key_format')),
  }
}

function decodeHeaderKeyFormat(options: Http1ProtocolOptions | undefined, ctx: Ctx): Http1Options['headerKeyFormat'] {
  const format = options?.headerKeyFormat?.headerFormat
  switch (format?.case) {
    case 'properCaseWords':
      return 'proper'
    case 'statefulFormatter': {
      const at = ctx.at('stateful_formatter').at('typed_config')
      if (format.value.typedConfig === undefined) return 'default'
      const { typeName, typeUrl, known } = unpackAny(format.value.typedConfig, at)
      if (typeName === 'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig') return 'preserve'
      if (!known) at.error(`unknown header formatter '${format.value.name}' (${describeType(typeUrl)})`)
      return 'default'
    }
    default:
      return 'default'
  }
}

const MIB = 1024 * 1024

/** Defaults of Envoy 1.36 and later: 1024 streams, 16 MiB stream and 24 MiB connection window. */
export function decodeHttp2(options: Http2ProtocolOptions | undefined, ctx: Ctx): Http2Options {
  const keepalive = options?.connectionKeepalive
  if (options?.overrideStreamErrorOnInvalidHttpMessage !== undefined && options.streamErrorOnInvalidHttpMessaging) {
    ctx.at('stream_error_on_invalid_http_messaging').warn('ignored: override_stream_error_on_invalid_http_message is set')
  }
  return {
    hpackTableSize: options?.hpackTableSize ?? 4096,
    maxConcurrentStreams: options?.maxConcurrentStreams ?? 1024,
    initialStreamWindowSize: options?.initialStreamWindowSize ?? 16 * MIB,
    initialConnectionWindowSize: options?.initialConnectionWindowSize ?? 24 * MIB,
    allowConnect: options?.allowConnect ?? false,
    maxOutboundFrames: options?.maxOutboundFrames ?? 10_000,
    maxOutboundControlFrames: options?.maxOutboundControlFrames ?? 1000,
    maxConsecutiveInboundFramesWithEmptyPayload: options?.maxConsecutiveInboundFramesWithEmptyPayload ?? 1,
    maxInboundPriorityFramesPerStream: options?.maxInboundPriorityFramesPerStream ?? 100,
    maxInboundWindowUpdateFramesPerDataFrameSent: options?.maxInboundWindowUpdateFramesPerDataFrameSent ?? 10,
    keepaliveIntervalMs: durationMsOr(keepalive?.interval, null),
    keepaliveTimeoutMs: durationMsOr(keepalive?.timeout, 10_000),
  }
}
