// HttpConnectionManager (envoy.extensions.filters.network.http_connection_manager.v3) -> model, with Envoy's defaults filled in.
// Called by network-filters.ts. What would change who is trusted or where a request goes is an error; the rest is listed.

import type { HttpConnectionManager, LocalReplyConfig, UpgradeConfig, XfccMode } from '../../model/http-connection-manager.js'
import { NO_ROUTES } from '../../model/route.js'
import {
  type HttpConnectionManager as HcmMessage,
  HttpConnectionManager_CodecType,
  HttpConnectionManager_ForwardClientCertDetailsSchema,
  HttpConnectionManager_PathWithEscapedSlashesAction,
  HttpConnectionManager_ServerHeaderTransformationSchema,
  type LocalReplyConfig as LocalReplyConfigMessage,
} from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { decodeAccessLogFilter, decodeAccessLogs, decodeLogFormat } from './access-log.js'
import { decodeCidrs } from './address.js'
import { decodeConfigSource, initialFetchTimeoutMs } from './config-source.js'
import { readDataSource } from './data-source.js'
import type { Ctx } from './field-path.js'
import { decodeHttpFilters } from './http-filter.js'
import { decodeEarlyMutations } from './http-filters/mutations.js'
import { decodeDownstreamCommon, decodeHttp1, decodeHttp2 } from './http-options.js'
import { decodeIpDetection } from './ip-detection.js'
import { decodeRouteTable } from './route.js'
import { decodeScopedRoutes } from './scoped-routes.js'
import { decodeRequestId, decodeTracing } from './tracing.js'
import { decodeHeaderOptions, durationMsOr, enumName } from './values.js'

const CODECS: Record<HttpConnectionManager_CodecType, HttpConnectionManager['codecType']> = {
  [HttpConnectionManager_CodecType.AUTO]: 'AUTO',
  [HttpConnectionManager_CodecType.HTTP1]: 'HTTP1',
  [HttpConnectionManager_CodecType.HTTP2]: 'HTTP2',
  [HttpConnectionManager_CodecType.HTTP3]: 'AUTO', // refused below
}

const ESCAPED_SLASHES: Record<HttpConnectionManager_PathWithEscapedSlashesAction, HttpConnectionManager['pathWithEscapedSlashes']> = {
  [HttpConnectionManager_PathWithEscapedSlashesAction.IMPLEMENTATION_SPECIFIC_DEFAULT]: 'KEEP_UNCHANGED',
  [HttpConnectionManager_PathWithEscapedSlashesAction.KEEP_UNCHANGED]: 'KEEP_UNCHANGED',
  [HttpConnectionManager_PathWithEscapedSlashesAction.REJECT_REQUEST]: 'REJECT_REQUEST',
  [HttpConnectionManager_PathWithEscapedSlashesAction.UNESCAPE_AND_REDIRECT]: 'UNESCAPE_AND_REDIRECT',
  [HttpConnectionManager_PathWithEscapedSlashesAction.UNESCAPE_AND_FORWARD]: 'UNESCAPE_AND_FORWARD',
}

const DEFAULT_MAX_HEADERS_KB = 60

export function decodeHttpConnectionManager(hcm: HcmMessage, ctx: Ctx): HttpConnectionManager {
  if (hcm.codecType === HttpConnectionManager_CodecType.HTTP3) ctx.at('codec_type').error('HTTP/3 is not supported')
  const routes = decodeRouteSpecifier(hcm, ctx)
  const details = hcm.setCurrentClientCertDetails
  if (hcm.stripMatchingHostPort && hcm.stripPortMode.case === 'stripAnyHostPort' && hcm.stripPortMode.value) {
    ctx.at('strip_matching_host_port').error('only one of strip_matching_host_port and strip_any_host_port may be set')
  }
  if (hcm.originalIpDetectionExtensions.length > 0 && (hcm.useRemoteAddress || hcm.xffNumTrustedHops > 0)) {
    ctx.at('original_ip_detection_extensions').error('cannot be used with use_remote_address or xff_num_trusted_hops')
  }
  if ((hcm.http2ProtocolOptions?.maxHeaderFieldSizeKb ?? 0) > (hcm.maxRequestHeadersKb ?? DEFAULT_MAX_HEADERS_KB))
    ctx.at('http2_protocol_options').at('max_header_field_size_kb').error('must not exceed max_request_headers_kb')
  return {
    statPrefix: hcm.statPrefix,
    codecType: CODECS[hcm.codecType] ?? 'AUTO',
    ...routes,
    httpFilters: decodeHttpFilters(hcm.httpFilters, ctx, 'http_filters'),
    addUserAgent: hcm.addUserAgent ?? false,
    http1: decodeHttp1(hcm.httpProtocolOptions, ctx.at('http_protocol_options')),
    http2: decodeHttp2(hcm.http2ProtocolOptions, ctx.at('http2_protocol_options')),
    common: decodeDownstreamCommon(hcm.commonHttpProtocolOptions, ctx.at('common_http_protocol_options')),
    serverName: hcm.serverName || 'envoy',
    serverHeaderTransformation: enumName(
      HttpConnectionManager_ServerHeaderTransformationSchema,
      hcm.serverHeaderTransformation,
    ) as HttpConnectionManager['serverHeaderTransformation'],
    schemeToOverwrite: decodeScheme(hcm),
    maxRequestHeadersKb: hcm.maxRequestHeadersKb ?? DEFAULT_MAX_HEADERS_KB,
    streamIdleTimeoutMs: durationMsOr(hcm.streamIdleTimeout, 300_000),
    requestTimeoutMs: durationMsOr(hcm.requestTimeout, 0),
    requestHeadersTimeoutMs: durationMsOr(hcm.requestHeadersTimeout, 0),
    drainTimeoutMs: durationMsOr(hcm.drainTimeout, 5000),
    delayedCloseTimeoutMs: durationMsOr(hcm.delayedCloseTimeout, 1000),
    accessLogs: decodeAccessLogs(hcm.accessLog, ctx, 'access_log'),
    useRemoteAddress: hcm.useRemoteAddress ?? false,
    xffNumTrustedHops: hcm.xffNumTrustedHops,
    earlyHeaderMutations: decodeEarlyMutations(hcm.earlyHeaderMutationExtensions, ctx, 'early_header_mutation_extensions'),
    originalIpDetection: decodeIpDetection(hcm.originalIpDetectionExtensions, ctx, 'original_ip_detection_extensions'),
    skipXffAppend: hcm.skipXffAppend,
    via: hcm.via,
    generateRequestId: hcm.generateRequestId ?? true,
    preserveExternalRequestId: hcm.preserveExternalRequestId,
    alwaysSetRequestIdInResponse: hcm.alwaysSetRequestIdInResponse,
    xfccMode: enumName(HttpConnectionManager_ForwardClientCertDetailsSchema, hcm.forwardClientCertDetails) as XfccMode,
    xfccDetails: {
      subject: details?.subject ?? false,
      cert: details?.cert ?? false,
      chain: details?.chain ?? false,
      dns: details?.dns ?? false,
      uri: details?.uri ?? false,
    },
    proxy100Continue: hcm.proxy100Continue,
    upgrades: decodeUpgrades(hcm, ctx),
    normalizePath: hcm.normalizePath ?? false,
    mergeSlashes: hcm.mergeSlashes,
    pathWithEscapedSlashes: ESCAPED_SLASHES[hcm.pathWithEscapedSlashesAction] ?? 'KEEP_UNCHANGED',
    stripMatchingHostPort: hcm.stripMatchingHostPort,
    stripAnyHostPort: hcm.stripPortMode.case === 'stripAnyHostPort' && hcm.stripPortMode.value,
    stripTrailingHostDot: hcm.stripTrailingHostDot,
    localReply: hcm.localReplyConfig === undefined ? null : decodeLocalReply(hcm.localReplyConfig, ctx.at('local_reply_config')),
    internalCidrRanges: decodeCidrs(hcm.internalAddressConfig?.cidrRanges ?? [], ctx.at('internal_address_config'), 'cidr_ranges'),
    ...(hcm.appendLocalOverload ? { appendLocalOverload: true } : {}),
    appendXForwardedPort: hcm.appendXForwardedPort,
    tracing: hcm.tracing === undefined ? null : decodeTracing(hcm.tracing, ctx.at('tracing')),
    requestId: decodeRequestId(hcm.requestIdExtension, ctx.at('request_id_extension')),
  }
}

type RouteFields = Pick<HttpConnectionManager, 'routeTable' | 'rdsName' | 'rdsInitialFetchTimeoutMs' | 'rdsSource' | 'scopedRoutes'>

function decodeRouteSpecifier(hcm: HcmMessage, ctx: Ctx): RouteFields {
  const specifier = hcm.routeSpecifier
  switch (specifier.case) {
    case 'routeConfig':
      return { routeTable: decodeRouteTable(specifier.value, ctx.at('route_config'), false), rdsName: null, rdsInitialFetchTimeoutMs: 0 }
    case 'rds': {
      const { routeConfigName, configSource } = specifier.value
      const source = decodeConfigSource(configSource, ctx.at('rds').at('config_source'))
      if (routeConfigName === '') ctx.at('rds').at('route_config_name').error('value length must be at least 1 characters')
      const fields = { routeTable: null, rdsName: routeConfigName, rdsInitialFetchTimeoutMs: initialFetchTimeoutMs(configSource) }
      return source === null ? fields : { ...fields, rdsSource: source }
    }
    case 'scopedRoutes': {
      const { scopedRoutes, initialFetchTimeoutMs: rdsInitialFetchTimeoutMs } = decodeScopedRoutes(specifier.value, ctx.at('scoped_routes'))
      return scopedRoutes === null
        ? { routeTable: NO_ROUTES, rdsName: null, rdsInitialFetchTimeoutMs: 0 }
        : { routeTable: null, rdsName: null, rdsInitialFetchTimeoutMs, scopedRoutes }
    }
    default:
      // The missing oneof has been reported.
      return { routeTable: NO_ROUTES, rdsName: null, rdsInitialFetchTimeoutMs: 0 }
  }
}

function decodeScheme(hcm: HcmMessage): HttpConnectionManager['schemeToOverwrite'] {
  const transformation = hcm.schemeHeaderTransformation?.transformation
  if (transformation?.case !== 'schemeToOverwrite') return ''
  return transformation.value === 'https' ? 'https' : transformation.value === 'http' ? 'http' : ''
}

function decodeUpgrades(hcm: HcmMessage, ctx: Ctx): UpgradeConfig[] {
  const seen = new Set<string>()
  return hcm.upgradeConfigs.map((upgrade, i) => {
    const at = ctx.at('upgrade_configs', i)
    const upgradeType = upgrade.upgradeType.toLowerCase()
    if (seen.has(upgradeType)) at.at('upgrade_type').error(`multiple upgrade configs with the same name: '${upgrade.upgradeType}'`)
    seen.add(upgradeType)
    return {
      upgradeType,
      enabled: upgrade.enabled ?? true,
    }
  })
}

function decodeLocalReply(config: LocalReplyConfigMessage, ctx: Ctx): LocalReplyConfig {
  return {
    mappers: config.mappers.map((mapper, i) => {
      const at = ctx.at('mappers', i)
      const format = mapper.bodyFormatOverride
      const body = mapper.body === undefined ? null : readDataSource(mapper.body, at.at('body'))
      return {
        filter: mapper.filter === undefined ? { kind: 'or' as const, filters: [] } : decodeAccessLogFilter(mapper.filter, at.at('filter')),
        statusCode: mapper.statusCode ?? null,
        body: body === null ? null : Buffer.from(body).toString('latin1'),
        format: format === undefined ? null : decodeLogFormat(format, at.at('body_format_override')),
        contentType: format?.contentType ?? '',
        headersToAdd: decodeHeaderOptions(mapper.headersToAdd, at, 'headers_to_add'),
      }
    }),
    format: config.bodyFormat === undefined ? null : decodeLogFormat(config.bodyFormat, ctx.at('body_format')),
    contentType: config.bodyFormat?.contentType ?? '',
  }
}
