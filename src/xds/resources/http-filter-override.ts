// typed_per_filter_config of route tables, virtual hosts, routes and weighted clusters -> HttpFilterOverride by filter name,
// through FilterConfig {config, is_optional, disabled} too. Called by route.ts and route-action.ts.

import type { Any } from '@bufbuild/protobuf/wkt'
import type { HttpFilterOverride } from '../../model/http-filter.js'
import type { FilterConfig } from '../gen/envoy/config/route/v3/route_components_pb.js'
import type { ExtensionWithMatcherPerRoute } from '../gen/envoy/extensions/common/matching/v3/extension_matcher_pb.js'
import type { ApiKeyAuthPerRoute } from '../gen/envoy/extensions/filters/http/api_key_auth/v3/api_key_auth_pb.js'
import type { BandwidthLimit } from '../gen/envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit_pb.js'
import type { BasicAuthPerRoute } from '../gen/envoy/extensions/filters/http/basic_auth/v3/basic_auth_pb.js'
import type { BufferPerRoute } from '../gen/envoy/extensions/filters/http/buffer/v3/buffer_pb.js'
import type { CompressorPerRoute } from '../gen/envoy/extensions/filters/http/compressor/v3/compressor_pb.js'
import type { CorsPolicy } from '../gen/envoy/extensions/filters/http/cors/v3/cors_pb.js'
import type { CsrfPolicy } from '../gen/envoy/extensions/filters/http/csrf/v3/csrf_pb.js'
import type { CustomResponse } from '../gen/envoy/extensions/filters/http/custom_response/v3/custom_response_pb.js'
import type { ExtAuthzPerRoute } from '../gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js'
import type { ExtProcPerRoute } from '../gen/envoy/extensions/filters/http/ext_proc/v3/ext_proc_pb.js'
import type { HTTPFault } from '../gen/envoy/extensions/filters/http/fault/v3/fault_pb.js'
import type { HeaderMutationPerRoute } from '../gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js'
import type { Config as HeaderToMetadata } from '../gen/envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata_pb.js'
import type { JsonToMetadata } from '../gen/envoy/extensions/filters/http/json_to_metadata/v3/json_to_metadata_pb.js'
import type { PerRouteConfig } from '../gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js'
import type { LocalRateLimit } from '../gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js'
import type { OAuth2PerRoute } from '../gen/envoy/extensions/filters/http/oauth2/v3/oauth_pb.js'
import type { PerRouteConfig as OnDemandPerRoute } from '../gen/envoy/extensions/filters/http/on_demand/v3/on_demand_pb.js'
import type { RateLimitPerRoute } from '../gen/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js'
import type { RBACPerRoute } from '../gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import type { Config as SetFilterState } from '../gen/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state_pb.js'
import type { Config as SetMetadata } from '../gen/envoy/extensions/filters/http/set_metadata/v3/set_metadata_pb.js'
import type { StatefulSessionPerRoute } from '../gen/envoy/extensions/filters/http/stateful_session/v3/stateful_session_pb.js'
import { describeType, unpackAny } from './any.js'
import { customOverrideOf, isCustomFilter } from './custom-filter.js'
import type { Ctx } from './field-path.js'
import { decodeCsrf, decodeHttpRbac } from './http-filters/authorization.js'
import { decodeCompressorOverride } from './http-filters/compression.js'
import { decodeHeaderToMetadata } from './http-filters/content.js'
import { decodeCors } from './http-filters/cors.js'
import { decodeApiKeyAuthOverride, decodeBasicAuthOverride } from './http-filters/credentials.js'
import { decodeCustomResponse } from './http-filters/custom-response.js'
import { decodeExtProcOverride } from './http-filters/ext-proc.js'
import { decodeSkipTree } from './http-filters/matched.js'
import { decodeJsonToMetadata, decodeSetFilterState, decodeSetMetadata } from './http-filters/metadata.js'
import { decodeMutations } from './http-filters/mutations.js'
import { decodeOAuth2 } from './http-filters/oauth2.js'
import { decodeOnDemand } from './http-filters/on-demand.js'
import { decodeStatefulSessionOverride } from './http-filters/session.js'
import { decodeBandwidthLimit, decodeFault, decodeLocalRateLimit, decodeRateLimitOverride } from './http-filters/traffic.js'

export const CORS_FILTER_NAME = 'envoy.filters.http.cors'

const WITH_MATCHER = 'envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute'
const FILTER_CONFIG = 'envoy.config.route.v3.FilterConfig'
const PACKAGE = 'envoy.extensions.filters.http.'

type OverrideDecoder = (message: unknown, ctx: Ctx) => HttpFilterOverride | null

const OVERRIDES: ReadonlyMap<string, OverrideDecoder> = new Map<string, OverrideDecoder>([
  [
    'rbac.v3.RBACPerRoute',
    (m, ctx) => {
      const { rbac } = m as RBACPerRoute
      // Without an RBAC the filter is off for the route (Envoy: "If absent, no RBAC policy will be applied").
      return { disabled: false, kind: 'rbac', config: rbac === undefined ? null : decodeHttpRbac(rbac, ctx.at('rbac')) }
    },
  ],
  ['fault.v3.HTTPFault', (m, ctx) => ({ disabled: false, kind: 'fault', config: decodeFault(m as HTTPFault, ctx) })],
  ['cors.v3.CorsPolicy', (m, ctx) => ({ disabled: false, kind: 'cors', config: decodeCors(m as CorsPolicy, ctx) })],
  ['csrf.v3.CsrfPolicy', (m, ctx) => ({ disabled: false, kind: 'csrf', config: decodeCsrf(m as CsrfPolicy, ctx) })],
  ['basic_auth.v3.BasicAuthPerRoute', (m, ctx) => decodeBasicAuthOverride(m as BasicAuthPerRoute, ctx)],
  ['api_key_auth.v3.ApiKeyAuthPerRoute', (m, ctx) => decodeApiKeyAuthOverride(m as ApiKeyAuthPerRoute, ctx)],
  [
    'buffer.v3.BufferPerRoute',
    m => {
      const { override } = m as BufferPerRoute
      if (override.case === 'buffer')
        return { disabled: false, kind: 'buffer', config: { maxRequestBytes: override.value.maxRequestBytes ?? 0 } }
      return { disabled: override.case === 'disabled', kind: 'buffer', config: null }
    },
  ],
  [
    'local_ratelimit.v3.LocalRateLimit',
    (m, ctx) => ({ disabled: false, kind: 'localRateLimit', config: decodeLocalRateLimit(m as LocalRateLimit, ctx, true) }),
  ],
  [
    'ext_authz.v3.ExtAuthzPerRoute',
    (m, ctx) => {
      const { override } = m as ExtAuthzPerRoute
      const settings = override.case === 'checkSettings' ? override.value : null
      if (settings?.disableRequestBodyBuffering && settings.withRequestBody !== undefined)
        ctx.at('check_settings').error('only one of disable_request_body_buffering and with_request_body may be set')
      const extensions = Object.entries(settings?.contextExtensions ?? {})
      return { disabled: override.case === 'disabled' && override.value, kind: 'extAuthz', contextExtensions: new Map(extensions) }
    },
  ],
  ['ext_proc.v3.ExtProcPerRoute', (m, ctx) => decodeExtProcOverride(m as ExtProcPerRoute, ctx)],
  [
    'jwt_authn.v3.PerRouteConfig',
    m => {
      const specifier = (m as PerRouteConfig).requirementSpecifier
      return {
        disabled: specifier.case === 'disabled',
        kind: 'jwtAuthn',
        requirementName: specifier.case === 'requirementName' ? specifier.value : '',
      }
    },
  ],
  [
    'header_mutation.v3.HeaderMutationPerRoute',
    (m, ctx) => ({
      disabled: false,
      kind: 'headerMutation',
      config: decodeMutations((m as HeaderMutationPerRoute).mutations, ctx.at('mutations')),
    }),
  ],
  ['on_demand.v3.PerRouteConfig', (m, ctx) => ({ disabled: false, kind: 'onDemand', config: decodeOnDemand(m as OnDemandPerRoute, ctx) })],
  ['ratelimit.v3.RateLimitPerRoute', m => decodeRateLimitOverride(m as RateLimitPerRoute)],
  [
    'bandwidth_limit.v3.BandwidthLimit',
    (m, ctx) => ({ disabled: false, kind: 'bandwidthLimit', config: decodeBandwidthLimit(m as BandwidthLimit, ctx, true) }),
  ],
  [
    'custom_response.v3.CustomResponse',
    (m, ctx) => ({ disabled: false, kind: 'customResponse', config: decodeCustomResponse(m as CustomResponse, ctx) }),
  ],
  [
    'oauth2.v3.OAuth2PerRoute',
    (m, ctx) => {
      const { config } = m as OAuth2PerRoute
      return config === undefined ? null : { disabled: false, kind: 'oauth2', config: decodeOAuth2(config, ctx.at('config')) }
    },
  ],
  ['stateful_session.v3.StatefulSessionPerRoute', (m, ctx) => decodeStatefulSessionOverride(m as StatefulSessionPerRoute, ctx)],
  [
    'header_to_metadata.v3.Config',
    (m, ctx) => {
      const config = decodeHeaderToMetadata(m as HeaderToMetadata, ctx)
      if (config.request.length + config.response.length === 0) ctx.error('one of request_rules and response_rules is required')
      return { disabled: false, kind: 'headerToMetadata', config }
    },
  ],
  ['set_metadata.v3.Config', m => ({ disabled: false, kind: 'setMetadata', config: decodeSetMetadata(m as SetMetadata) })],
  [
    'set_filter_state.v3.Config',
    (m, ctx) => ({ disabled: false, kind: 'setFilterState', config: decodeSetFilterState(m as SetFilterState, ctx) }),
  ],
  [
    'json_to_metadata.v3.JsonToMetadata',
    (m, ctx) => ({ disabled: false, kind: 'jsonToMetadata', config: decodeJsonToMetadata(m as JsonToMetadata, ctx) }),
  ],
  ['compressor.v3.CompressorPerRoute', m => decodeCompressorOverride(m as CompressorPerRoute)],
])

export function decodeFilterOverrides(configs: { [name: string]: Any }, ctx: Ctx): ReadonlyMap<string, HttpFilterOverride> {
  const overrides = new Map<string, HttpFilterOverride>()
  for (const [name, any] of Object.entries(configs)) {
    const override = decodeOverride(name, any, ctx.at('typed_per_filter_config', name), false)
    if (override !== null) overrides.set(name, override)
  }
  return overrides
}

function decodeOverride(name: string, any: Any, ctx: Ctx, optional: boolean): HttpFilterOverride | null {
  const unpacked = unpackAny(any, ctx)
  const { typeName, typeUrl, message, known } = unpacked
  if (isCustomFilter(unpacked, ctx)) {
    const config = customOverrideOf(unpacked, ctx)
    return config === null ? null : { disabled: false, kind: 'custom', config }
  }
  if (typeName === FILTER_CONFIG && message !== null && !optional) return decodeFilterConfig(name, message as FilterConfig, ctx)
  if (typeName === WITH_MATCHER && message !== null)
    return {
      disabled: false,
      kind: 'matched',
      tree: decodeSkipTree((message as ExtensionWithMatcherPerRoute).xdsMatcher, ctx.at('xds_matcher')),
    }
  const decoder = typeName.startsWith(PACKAGE) ? OVERRIDES.get(typeName.slice(PACKAGE.length)) : undefined
  if (decoder !== undefined) return message === null ? null : decoder(message, ctx)
  if (optional) ctx.unsupported()
  else if (message !== null || !known) ctx.error(`unknown per-filter config for '${name}' (${describeType(typeUrl)})`)
  return null
}

/** FilterConfig: `disabled` wins and its config is ignored; an empty one just enables a filter that is disabled by default. */
function decodeFilterConfig(name: string, config: FilterConfig, ctx: Ctx): HttpFilterOverride | null {
  if (config.disabled) return { disabled: true, kind: 'generic' }
  if (config.config === undefined) {
    ctx.at('config').error(`empty per-filter config for '${name}'`)
    return null
  }
  if (config.config.typeUrl === '') return { disabled: false, kind: 'generic' }
  const at = ctx.at('config')
  if (!config.isOptional && config.config.typeUrl.endsWith(`/${FILTER_CONFIG}`)) {
    at.error('a FilterConfig may not hold another one')
    return null
  }
  return decodeOverride(name, config.config, at, config.isOptional)
}
