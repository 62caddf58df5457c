// envoy.config.route.v3.RateLimit (descriptor actions of virtual hosts and routes) -> model. Called by route.ts and route-action.ts.

import type { RateLimit, RateLimitAction } from '../../model/rate-limit.js'
import {
  type RateLimit_Action,
  RateLimit_Action_MetaData_Source,
  type RateLimit as RateLimitMessage,
} from '../gen/envoy/config/route/v3/route_components_pb.js'
import type { Ctx } from './field-path.js'
import { decodeHeaderMatchers, decodeQueryParameters } from './matchers.js'

export function decodeRateLimits(limits: readonly RateLimitMessage[], ctx: Ctx, field: string): RateLimit[] {
  return limits.map((limit, i) => ({
    stage: limit.stage ?? 0,
    disableKey: limit.disableKey,
    actions: limit.actions.map((action, j) => decodeAction(action, ctx.at(field, i).at('actions', j))).filter(action => action !== null),
  }))
}

const EMPTY = {
  key: '',
  value: '',
  headerName: '',
  skipIfAbsent: false,
  expectMatch: true,
  headers: [],
  queryParameters: [],
  routeMetadata: false,
  metadataNamespace: '',
  metadataPath: [],
  prefixLengthV4: 32,
  prefixLengthV6: 128,
}

function decodeAction(action: RateLimit_Action, ctx: Ctx): RateLimitAction | null {
  const specifier = action.actionSpecifier
  switch (specifier.case) {
    case 'sourceCluster':
      return { ...EMPTY, kind: 'source_cluster', key: 'source_cluster' }
    case 'destinationCluster':
      return { ...EMPTY, kind: 'destination_cluster', key: 'destination_cluster' }
    case 'remoteAddress':
      return { ...EMPTY, kind: 'remote_address', key: 'remote_address' }
    case 'maskedRemoteAddress':
      return {
        ...EMPTY,
        kind: 'masked_remote_address',
        key: 'masked_remote_address',
        prefixLengthV4: specifier.value.v4PrefixMaskLen ?? 32,
        prefixLengthV6: specifier.value.v6PrefixMaskLen ?? 128,
      }
    case 'requestHeaders': {
      const { headerName, descriptorKey, skipIfAbsent } = specifier.value
      return { ...EMPTY, kind: 'request_headers', key: descriptorKey, headerName: headerName.toLowerCase(), skipIfAbsent }
    }
    case 'genericKey':
      return { ...EMPTY, kind: 'generic_key', key: specifier.value.descriptorKey || 'generic_key', value: specifier.value.descriptorValue }
    case 'headerValueMatch': {
      const { descriptorKey, descriptorValue, expectMatch, headers } = specifier.value
      return {
        ...EMPTY,
        kind: 'header_value_match',
        key: descriptorKey || 'header_match',
        value: descriptorValue,
        expectMatch: expectMatch ?? true,
        headers: decodeHeaderMatchers(headers, ctx.at('header_value_match'), 'headers'),
      }
    }
    case 'queryParameterValueMatch': {
      const { descriptorKey, descriptorValue, expectMatch, queryParameters } = specifier.value
      return {
        ...EMPTY,
        kind: 'query_parameter_value_match',
        key: descriptorKey || 'query_match',
        value: descriptorValue,
        expectMatch: expectMatch ?? true,
        queryParameters: decodeQueryParameters(queryParameters, ctx.at('query_parameter_value_match'), 'query_parameters'),
      }
    }
    case 'dynamicMetadata':
    case 'metadata': {
      const { descriptorKey, metadataKey, defaultValue } = specifier.value
      return {
        ...EMPTY,
        kind: 'metadata',
        key: descriptorKey,
        value: defaultValue,
        skipIfAbsent: specifier.case === 'metadata' && specifier.value.skipIfAbsent,
        routeMetadata: specifier.case === 'metadata' && specifier.value.source === RateLimit_Action_MetaData_Source.ROUTE_ENTRY,
        metadataNamespace: metadataKey?.key ?? '',
        metadataPath: metadataKey?.path.map(segment => (segment.segment.case === 'key' ? segment.segment.value : '')) ?? [],
      }
    }
    default:
      return null // the missing oneof, or an extension: reported
  }
}
