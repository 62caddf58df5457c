// HttpFilter messages of a connection manager -> HttpFilter model: one table from message name to decoder. Called by
// http-connection-manager.ts (and its upgrade_configs). An unknown filter is an error that names it, unless it is optional.

import type { HttpFilter, HttpFilterConfig } from '../../model/http-filter.js'
import type { ApiKeyAuth } from '../gen/envoy/extensions/filters/http/api_key_auth/v3/api_key_auth_pb.js'
import type { BandwidthLimit } from '../gen/envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit_pb.js'
import type { BasicAuth } from '../gen/envoy/extensions/filters/http/basic_auth/v3/basic_auth_pb.js'
import type { Buffer as BufferMessage } from '../gen/envoy/extensions/filters/http/buffer/v3/buffer_pb.js'
import type { Compressor } from '../gen/envoy/extensions/filters/http/compressor/v3/compressor_pb.js'
import type { CredentialInjector } from '../gen/envoy/extensions/filters/http/credential_injector/v3/credential_injector_pb.js'
import type { CsrfPolicy } from '../gen/envoy/extensions/filters/http/csrf/v3/csrf_pb.js'
import type { CustomResponse } from '../gen/envoy/extensions/filters/http/custom_response/v3/custom_response_pb.js'
import type { Decompressor } from '../gen/envoy/extensions/filters/http/decompressor/v3/decompressor_pb.js'
import type { ExtAuthz } from '../gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js'
import type { ExternalProcessor } from '../gen/envoy/extensions/filters/http/ext_proc/v3/ext_proc_pb.js'
import type { HTTPFault } from '../gen/envoy/extensions/filters/http/fault/v3/fault_pb.js'
import type { Config as GrpcHttp1Bridge } from '../gen/envoy/extensions/filters/http/grpc_http1_bridge/v3/config_pb.js'
import type { FilterConfig as GrpcStats } from '../gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js'
import type { HeaderMutation } from '../gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js'
import type { Config as HeaderToMetadata } from '../gen/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata_pb.js'
import type { HealthCheck } from '../gen/envoy/extensions/filters/http/health_check/v3/health_check_pb.js'
import type { JsonToMetadata } from '../gen/envoy/extensions/filters/http/json_to_metadata/v3/json_to_metadata_pb.js'
import type { JwtAuthentication } from '../gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js'
import type { LocalRateLimit } from '../gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js'
import type { OAuth2 } from '../gen/envoy/extensions/filters/http/oauth2/v3/oauth_pb.js'
import type { OnDemand } from '../gen/envoy/extensions/filters/http/on_demand/v3/on_demand_pb.js'
import type { RateLimit } from '../gen/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js'
import type { RBAC } from '../gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import type { Router } from '../gen/envoy/extensions/filters/http/router/v3/router_pb.js'
import type { Config as SetFilterState } from '../gen/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state_pb.js'
import type { Config as SetMetadata } from '../gen/envoy/extensions/filters/http/set_metadata/v3/set_metadata_pb.js'
import type { StatefulSession } from '../gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.js'
import type { HttpFilter as HttpFilterMessage } from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { describeType, type Unpacked, unpackAny } from './any.js'
import { customFilterOf, isCustomFilter } from './custom-filter.js'
import type { Ctx } from './field-path.js'
import { type DiscoveryPlace, decodeDiscovery } from './filter-discovery.js'
import { decodeCsrf, decodeExtAuthz, decodeHttpRbac, decodeJwtAuthn } from './http-filters/authorization.js'
import { decodeCompressor, decodeDecompressor } from './http-filters/compression.js'
import { decodeGrpcStats, decodeHeaderToMetadata, decodeRouter } from './http-filters/content.js'
import { decodeApiKeyAuth, decodeBasicAuth, decodeCredentialInjector } from './http-filters/credentials.js'
import { decodeCustomResponse } from './http-filters/custom-response.js'
import { decodeExtProc } from './http-filters/ext-proc.js'
import { decodeMatchedFilter, isMatchedFilter } from './http-filters/matched.js'
import { decodeJsonToMetadata, decodeSetFilterState, decodeSetMetadata } from './http-filters/metadata.js'
import { decodeMutations } from './http-filters/mutations.js'
import { decodeOAuth2 } from './http-filters/oauth2.js'
import { decodeOnDemand } from './http-filters/on-demand.js'
import { decodeStatefulSession } from './http-filters/session.js'
import {
  decodeBandwidthLimit,
  decodeFault,
  decodeHealthCheckFilter,
  decodeLocalRateLimit,
  decodeRateLimit,
} from './http-filters/traffic.js'

type FilterDecoder = (message: unknown, ctx: Ctx) => HttpFilterConfig | null

const FILTERS: ReadonlyMap<string, FilterDecoder> = new Map<string, FilterDecoder>([
  ['router.v3.Router', (m, ctx) => ({ kind: 'router', config: decodeRouter(m as Router, ctx) })],
  ['rbac.v3.RBAC', (m, ctx) => ({ kind: 'rbac', config: decodeHttpRbac(m as RBAC, ctx) })],
  ['grpc_stats.v3.FilterConfig', m => ({ kind: 'grpcStats', config: decodeGrpcStats(m as GrpcStats) })],
  [
    'grpc_http1_bridge.v3.Config',
    m => ({ kind: 'grpcHttp1Bridge', config: { upgradeProtobufToGrpc: (m as GrpcHttp1Bridge).upgradeProtobufToGrpc } }),
  ],
  ['grpc_web.v3.GrpcWeb', () => ({ kind: 'grpcWeb' })],
  ['header_to_metadata.v3.Config', (m, ctx) => ({ kind: 'headerToMetadata', config: decodeHeaderToMetadata(m as HeaderToMetadata, ctx) })],
  ['fault.v3.HTTPFault', (m, ctx) => ({ kind: 'fault', config: decodeFault(m as HTTPFault, ctx) })],
  ['cors.v3.Cors', () => ({ kind: 'cors' })],
  ['csrf.v3.CsrfPolicy', (m, ctx) => ({ kind: 'csrf', config: decodeCsrf(m as CsrfPolicy, ctx) })],
  ['basic_auth.v3.BasicAuth', (m, ctx) => ({ kind: 'basicAuth', config: decodeBasicAuth(m as BasicAuth, ctx) })],
  ['api_key_auth.v3.ApiKeyAuth', (m, ctx) => ({ kind: 'apiKeyAuth', config: decodeApiKeyAuth(m as ApiKeyAuth, ctx) })],
  ['buffer.v3.Buffer', m => ({ kind: 'buffer', config: { maxRequestBytes: (m as BufferMessage).maxRequestBytes ?? 0 } })],
  ['compressor.v3.Compressor', (m, ctx) => ({ kind: 'compressor', config: decodeCompressor(m as Compressor, ctx) })],
  ['decompressor.v3.Decompressor', (m, ctx) => ({ kind: 'decompressor', config: decodeDecompressor(m as Decompressor, ctx) })],
  [
    'local_ratelimit.v3.LocalRateLimit',
    (m, ctx) => ({ kind: 'localRateLimit', config: decodeLocalRateLimit(m as LocalRateLimit, ctx, false) }),
  ],
  ['ratelimit.v3.RateLimit', (m, ctx) => ({ kind: 'rateLimit', config: decodeRateLimit(m as RateLimit, ctx) })],
  ['ext_authz.v3.ExtAuthz', (m, ctx) => ({ kind: 'extAuthz', config: decodeExtAuthz(m as ExtAuthz, ctx) })],
  ['ext_proc.v3.ExternalProcessor', (m, ctx) => ({ kind: 'extProc', config: decodeExtProc(m as ExternalProcessor, ctx) })],
  ['jwt_authn.v3.JwtAuthentication', (m, ctx) => ({ kind: 'jwtAuthn', config: decodeJwtAuthn(m as JwtAuthentication, ctx) })],
  [
    'header_mutation.v3.HeaderMutation',
    (m, ctx) => {
      const { mutations, mostSpecificHeaderMutationsWins } = m as HeaderMutation
      const config = decodeMutations(mutations, ctx.at('mutations'))
      return { kind: 'headerMutation', config, mostSpecificWins: mostSpecificHeaderMutationsWins }
    },
  ],
  [
    'bandwidth_limit.v3.BandwidthLimit',
    (m, ctx) => ({ kind: 'bandwidthLimit', config: decodeBandwidthLimit(m as BandwidthLimit, ctx, false) }),
  ],
  [
    'oauth2.v3.OAuth2',
    (m, ctx) => {
      const { config } = m as OAuth2
      return { kind: 'oauth2', config: config === undefined ? null : decodeOAuth2(config, ctx.at('config')) }
    },
  ],
  [
    'credential_injector.v3.CredentialInjector',
    (m, ctx) => {
      const config = decodeCredentialInjector(m as CredentialInjector, ctx)
      return config === null ? null : { kind: 'credentialInjector', config }
    },
  ],
  ['set_metadata.v3.Config', m => ({ kind: 'setMetadata', config: decodeSetMetadata(m as SetMetadata) })],
  ['set_filter_state.v3.Config', (m, ctx) => ({ kind: 'setFilterState', config: decodeSetFilterState(m as SetFilterState, ctx) })],
  ['json_to_metadata.v3.JsonToMetadata', (m, ctx) => ({ kind: 'jsonToMetadata', config: decodeJsonToMetadata(m as JsonToMetadata, ctx) })],
  ['custom_response.v3.CustomResponse', (m, ctx) => ({ kind: 'customResponse', config: decodeCustomResponse(m as CustomResponse, ctx) })],
  [
    'stateful_session.v3.StatefulSession',
    (m, ctx) => ({ kind: 'statefulSession', config: decodeStatefulSession(m as StatefulSession, ctx) }),
  ],
  ['on_demand.v3.OnDemand', (m, ctx) => ({ kind: 'onDemand', config: decodeOnDemand(m as OnDemand, ctx) })],
  ['health_check.v3.HealthCheck', (m, ctx) => ({ kind: 'healthCheck', config: decodeHealthCheckFilter(m as HealthCheck, ctx) })],
])

const HTTP_FILTER_PACKAGE = 'envoy.extensions.filters.http.'

function decoderOf(typeName: string): FilterDecoder | undefined {
  return typeName.startsWith(HTTP_FILTER_PACKAGE) ? FILTERS.get(typeName.slice(HTTP_FILTER_PACKAGE.length)) : undefined
}

/** `unknown`: no HTTP filter; null after an error was recorded. */
export function decodeFilterConfig(unpacked: Unpacked, at: Ctx): HttpFilterConfig | 'unknown' | null {
  const { typeName, message, known } = unpacked
  if (isCustomFilter(unpacked, at)) {
    const config = customFilterOf(unpacked, at)
    return config === null ? null : { kind: 'custom', config }
  }
  const decoder = decoderOf(typeName)
  if (decoder === undefined || !known) return 'unknown'
  return message === null ? null : decoder(message, at)
}

/** What a place of the HTTP filter chain may be by ECDS. */
function placeOf({ sink }: Ctx): DiscoveryPlace<HttpFilterConfig> {
  return {
    what: 'HTTP filter',
    isKnown: typeName => decoderOf(typeName) !== undefined || sink.options.customFilters?.has(typeName) === true,
    decode: decodeKnownFilter,
  }
}

function decodeKnownFilter(unpacked: Unpacked, ctx: Ctx): HttpFilterConfig | null {
  const filter = decodeFilterConfig(unpacked, ctx)
  return filter === 'unknown' ? null : filter
}

/** null when the filter is left out: optional and unknown, or an error was recorded. */
function decodeHttpFilter(filter: HttpFilterMessage, ctx: Ctx, isLast: boolean): HttpFilter | null {
  const { name, disabled } = filter
  if (filter.configType.case === 'configDiscovery') {
    const discovery = decodeDiscovery(name, filter.configType.value, ctx.at('config_discovery'), placeOf(ctx))
    return discovery === null ? null : { name, disabled, kind: 'discovered', discovery: { ...discovery, isLast } }
  }
  const at = ctx.at('typed_config')
  if (filter.configType.case === undefined) {
    if (filter.isOptional) ctx.unsupported()
    else ctx.error(`unknown filter '${filter.name}' (no typed_config)`)
    return null
  }
  const unpacked = unpackAny(filter.configType.value, at)
  if (isMatchedFilter(unpacked.typeName)) {
    const matched = decodeMatchedFilter(unpacked, decodeFilterConfig, at)
    return matched === null ? null : { name, disabled, ...matched }
  }
  const decoded = decodeFilterConfig(unpacked, at)
  if (decoded === 'unknown') {
    if (filter.isOptional) ctx.unsupported()
    else at.error(`unknown filter '${filter.name}' (${describeType(unpacked.typeUrl)})`)
    return null
  }
  return decoded === null ? null : ({ name, disabled, ...decoded } as HttpFilter)
}

/** Filters in order; the last must be the router, and only the last. What is discovered is judged when it comes. */
export function decodeHttpFilters(filters: readonly HttpFilterMessage[], ctx: Ctx, field: string): HttpFilter[] {
  const errorsBefore = ctx.sink.errors.length
  const decoded = filters.map((filter, i) => decodeHttpFilter(filter, ctx.at(field, i), i === filters.length - 1))
  const present = decoded.filter(filter => filter !== null)
  decoded.forEach((filter, i) => {
    if (filter?.kind === 'router' && i < decoded.length - 1) {
      ctx.at(field, i).error(`terminal filter '${filter.name}' must be the last filter of the HTTP filter chain`)
    }
    if (filter?.kind === 'router' && filter.disabled) ctx.at(field, i).at('disabled').error('the terminal filter cannot be disabled')
  })
  const last = present.at(-1)
  const clean = ctx.sink.errors.length === errorsBefore
  if (last === undefined) {
    if (clean) ctx.at(field).error('the HTTP filter chain needs a router as its last filter')
  } else if (last.kind !== 'router' && last.kind !== 'discovered' && clean) {
    ctx
      .at(field, filters.length - 1)
      .error(`non-terminal filter '${last.name}' is the last filter of the HTTP filter chain; it must be the router`)
  }
  return present
}
