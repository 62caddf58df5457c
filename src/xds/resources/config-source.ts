// envoy.config.core.v3.ConfigSource, ApiConfigSource and GrpcService -> model: where resources and secrets come from, and how a gRPC
// service is reached. Called by bootstrap.ts, tls.ts, cluster.ts, http-connection-manager.ts and the filters that call a service.

import { existsSync } from 'node:fs'
import type { ApiConfigSource, ConfigSource } from '../../model/config-source.js'
import type { GrpcService } from '../../model/grpc-service.js'
import type { HeaderValue } from '../gen/envoy/config/core/v3/base_pb.js'
import {
  ApiConfigSource_ApiType,
  type ApiConfigSource as ApiConfigSourceMessage,
  ApiVersion,
  type ConfigSource as ConfigSourceMessage,
} from '../gen/envoy/config/core/v3/config_source_pb.js'
import type { GrpcService as GrpcServiceMessage } from '../gen/envoy/config/core/v3/grpc_service_pb.js'
import type { Ctx } from './field-path.js'
import { decodeGoogle } from './google-grpc.js'
import { isMetadataKey, isMetadataValue } from './grpc-metadata.js'
import { durationMsOr } from './values.js'

/** Envoy's wait for the first answer of a subscription; 0 would be for ever. */
export const DEFAULT_INITIAL_FETCH_TIMEOUT_MS = 15_000

export const NO_GRPC_SERVICE: GrpcService = { cluster: '', target: '', authority: '', timeoutMs: null, initialMetadata: [] }

export function decodeGrpcService(service: GrpcServiceMessage | undefined, ctx: Ctx): GrpcService {
  if (service === undefined) return NO_GRPC_SERVICE // a constraint reports it where it is required
  const target = service.targetSpecifier
  const google = target.case === 'googleGrpc' ? decodeGoogle(target.value, ctx.at('google_grpc')) : null
  return {
    cluster: target.case === 'envoyGrpc' ? target.value.clusterName : '',
    target: target.case === 'googleGrpc' ? target.value.targetUri : '',
    authority: target.case === 'envoyGrpc' ? target.value.authority : (google?.authority ?? ''),
    timeoutMs: durationMsOr(service.timeout, null),
    initialMetadata: [
      ...service.initialMetadata.map((header, i) => decodeMetadataEntry(header, ctx.at('initial_metadata', i))),
      ...(google?.tokens ?? []).map(token => ({ key: 'authorization', value: `Bearer ${token}` })),
    ],
    ...(google === null ? {} : { google: google.target }),
    ...(google === null || google.ssl === null ? {} : { ssl: google.ssl }),
    ...(google === null || google.files.length === 0 ? {} : { fileCredentials: google.files }),
  }
}

/** Envoy fills %COMMANDS% from the request that the call is made for; here there is none. */
function decodeMetadataEntry(header: HeaderValue, ctx: Ctx): { key: string; value: string } {
  const key = header.key.toLowerCase()
  if (key !== '' && !isMetadataKey(key)) ctx.at('key').error(`'${header.key}' is no key of gRPC metadata`)
  if (!isMetadataValue(header.value)) ctx.at('value').error('a value of gRPC metadata has printable ASCII characters alone')
  if (header.value.replaceAll('%%', '').includes('%')) ctx.at('value').error('no %COMMAND% is possible here; write %% for a percent sign')
  return { key, value: header.value.replaceAll('%%', '%') }
}

/** Envoy 1.40 takes AUTO as V3; V2 is gone. */
export function checkApiVersion(version: ApiVersion, ctx: Ctx, field: string): void {
  if (version === ApiVersion.V2) ctx.at(field).error('V2 is not supported; set V3')
}

/** Of ADS; for a source of one type, decodeSourceOfOneType. */
export function decodeApiConfigSource(source: ApiConfigSourceMessage, ctx: Ctx): ApiConfigSource {
  let apiType: ApiConfigSource['apiType'] = 'GRPC'
  switch (source.apiType) {
    case ApiConfigSource_ApiType.DELTA_GRPC:
    case ApiConfigSource_ApiType.AGGREGATED_DELTA_GRPC:
      apiType = 'DELTA_GRPC'
      break
    case ApiConfigSource_ApiType.GRPC:
    case ApiConfigSource_ApiType.AGGREGATED_GRPC:
      break
    case ApiConfigSource_ApiType.REST:
      ctx.at('api_type').error('ADS is GRPC or DELTA_GRPC; REST is for a config source of one type')
      break
    default:
      ctx.at('api_type').error('value is required: GRPC or DELTA_GRPC')
  }
  checkApiVersion(source.transportApiVersion, ctx, 'transport_api_version')
  if (source.clusterNames.length > 0) ctx.at('cluster_names').error('gRPC sources use grpc_services')
  if (source.grpcServices.length === 0) ctx.at('grpc_services').error('value must contain at least 1 item(s)')
  if (source.grpcServices.length > 2) ctx.at('grpc_services').error('at most two services (the second for failover) are allowed')
  const rate = source.rateLimitSettings
  if (rate?.fillRate !== undefined && !Number.isFinite(rate.fillRate))
    ctx.at('rate_limit_settings').at('fill_rate').error('must be a finite number')
  return {
    apiType,
    services: source.grpcServices.map((service, i) => decodeGrpcService(service, ctx.at('grpc_services', i))),
    rateLimit: rate === undefined ? null : { maxTokens: rate.maxTokens ?? 100, fillRate: rate.fillRate ?? 10 },
    setNodeOnFirstMessageOnly: source.setNodeOnFirstMessageOnly,
  }
}

function decodeSourceOfOneType(source: ApiConfigSourceMessage, ctx: Ctx): ApiConfigSource {
  const { apiType, grpcServices } = source
  if (apiType === ApiConfigSource_ApiType.AGGREGATED_GRPC || apiType === ApiConfigSource_ApiType.AGGREGATED_DELTA_GRPC)
    ctx.at('api_type').error('an aggregated source is not supported here; use ads, or GRPC or DELTA_GRPC')
  if (grpcServices.length > 1) ctx.at('grpc_services').error('one service is enough: the second one, for failover, is for ads_config')
  return decodeApiConfigSource(source, ctx)
}

/** Envoy's wait for the answer of one poll. */
const DEFAULT_REST_TIMEOUT_MS = 1000

function decodeRestSource(source: ApiConfigSourceMessage, ctx: Ctx): ConfigSource {
  if (source.transportApiVersion === ApiVersion.V2) ctx.at('transport_api_version').error('V2 is not supported; set V3')
  if (source.grpcServices.length > 0) ctx.at('grpc_services').error('REST sources use cluster_names')
  if (source.clusterNames.length !== 1) ctx.at('cluster_names').error('REST must have a singleton cluster name specified')
  if (source.refreshDelay === undefined) ctx.at('refresh_delay').error('refresh_delay is required for REST API configuration sources')
  return {
    kind: 'rest',
    cluster: source.clusterNames[0] ?? '',
    refreshDelayMs: durationMsOr(source.refreshDelay, 0),
    requestTimeoutMs: durationMsOr(source.requestTimeout, DEFAULT_REST_TIMEOUT_MS),
  }
}

/** null after an error was recorded. `self` means the ADS stream here: it is the only server a resource can have come from. */
export function decodeConfigSource(source: ConfigSourceMessage | undefined, ctx: Ctx): ConfigSource | null {
  if (source === undefined) {
    ctx.error('value is required')
    return null
  }
  checkApiVersion(source.resourceApiVersion, ctx, 'resource_api_version')
  const specifier = source.configSourceSpecifier
  switch (specifier.case) {
    case 'ads':
      return { kind: 'ads' }
    case 'self':
      checkApiVersion(specifier.value.transportApiVersion, ctx.at('self'), 'transport_api_version')
      return { kind: 'ads' }
    case 'apiConfigSource':
      if (specifier.value.apiType === ApiConfigSource_ApiType.REST) return decodeRestSource(specifier.value, ctx.at('api_config_source'))
      return { kind: 'api', api: decodeSourceOfOneType(specifier.value, ctx.at('api_config_source')) }
    case 'pathConfigSource':
      checkExists(specifier.value.path, ctx.at('path_config_source').at('path'))
      return { kind: 'path', path: specifier.value.path, watchedDirectory: specifier.value.watchedDirectory?.path ?? '' }
    case 'path':
      if (specifier.value === '') ctx.at('path').error('value length must be at least 1 characters')
      checkExists(specifier.value, ctx.at('path'))
      return { kind: 'path', path: specifier.value, watchedDirectory: '' }
    default:
      return null // the missing oneof has been reported
  }
}

/** A watch on a file that is not there yet would never fire; Envoy refuses it too. */
function checkExists(path: string, ctx: Ctx): void {
  if (path !== '' && !existsSync(path)) ctx.error(`paths must refer to an existing path in the system: '${path}' does not exist`)
}

export function initialFetchTimeoutMs(source: ConfigSourceMessage | undefined): number {
  return durationMsOr(source?.initialFetchTimeout, DEFAULT_INITIAL_FETCH_TIMEOUT_MS)
}
