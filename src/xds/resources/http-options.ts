// HttpProtocolOptions, Http1ProtocolOptions and Http2ProtocolOptions (envoy.config.core.v3) -> model, with the defaults of
// model/defaults.ts. Called by http-connection-manager.ts (downstream) and cluster.ts (upstream).

import { COMMON_HTTP_DEFAULTS, HTTP1_DEFAULTS, HTTP2_DEFAULTS } from '../../model/defaults.js'
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

/** Of a connection manager, whose limit of heads is max_request_headers_kb. */
export function decodeDownstreamCommon(options: HttpProtocolOptions | undefined, ctx: Ctx): CommonHttpOptions {
  if (options?.maxResponseHeadersKb !== undefined) ctx.at('max_response_headers_kb').error('is for clusters')
  return decodeCommonHttp(options)
}

export function decodeCommonHttp(options: HttpProtocolOptions | undefined): CommonHttpOptions {
  return {
    idleTimeoutMs: durationMsOr(options?.idleTimeout, COMMON_HTTP_DEFAULTS.idleTimeoutMs),
    maxConnectionDurationMs: positiveOrNull(durationMsOr(options?.maxConnectionDuration, null)),
    maxHeadersCount: options?.maxHeadersCount ?? COMMON_HTTP_DEFAULTS.maxHeadersCount,
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
    allowAbsoluteUrl: options?.allowAbsoluteUrl ?? HTTP1_DEFAULTS.allowAbsoluteUrl,
    acceptHttp10: options?.acceptHttp10 ?? HTTP1_DEFAULTS.acceptHttp10,
    allowCustomMethods: options?.allowCustomMethods ?? HTTP1_DEFAULTS.allowCustomMethods,
    defaultHostForHttp10: options?.defaultHostForHttp10 ?? HTTP1_DEFAULTS.defaultHostForHttp10,
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

export function decodeHttp2(options: Http2ProtocolOptions | undefined, ctx: Ctx): Http2Options {
  const keepalive = options?.connectionKeepalive
  if (options?.overrideStreamErrorOnInvalidHttpMessage !== undefined && options.streamErrorOnInvalidHttpMessaging) {
    ctx.at('stream_error_on_invalid_http_messaging').warn('ignored: override_stream_error_on_invalid_http_message is set')
  }
  return {
    hpackTableSize: options?.hpackTableSize ?? HTTP2_DEFAULTS.hpackTableSize,
    maxConcurrentStreams: options?.maxConcurrentStreams ?? HTTP2_DEFAULTS.maxConcurrentStreams,
    initialStreamWindowSize: options?.initialStreamWindowSize ?? HTTP2_DEFAULTS.initialStreamWindowSize,
    initialConnectionWindowSize: options?.initialConnectionWindowSize ?? HTTP2_DEFAULTS.initialConnectionWindowSize,
    allowConnect: options?.allowConnect ?? HTTP2_DEFAULTS.allowConnect,
    maxOutboundFrames: options?.maxOutboundFrames ?? HTTP2_DEFAULTS.maxOutboundFrames,
    maxOutboundControlFrames: options?.maxOutboundControlFrames ?? HTTP2_DEFAULTS.maxOutboundControlFrames,
    maxConsecutiveInboundFramesWithEmptyPayload:
      options?.maxConsecutiveInboundFramesWithEmptyPayload ?? HTTP2_DEFAULTS.maxConsecutiveInboundFramesWithEmptyPayload,
    maxInboundPriorityFramesPerStream: options?.maxInboundPriorityFramesPerStream ?? HTTP2_DEFAULTS.maxInboundPriorityFramesPerStream,
    maxInboundWindowUpdateFramesPerDataFrameSent:
      options?.maxInboundWindowUpdateFramesPerDataFrameSent ?? HTTP2_DEFAULTS.maxInboundWindowUpdateFramesPerDataFrameSent,
    keepaliveIntervalMs: durationMsOr(keepalive?.interval, HTTP2_DEFAULTS.keepaliveIntervalMs),
    keepaliveTimeoutMs: durationMsOr(keepalive?.timeout, HTTP2_DEFAULTS.keepaliveTimeoutMs),
  }
}
