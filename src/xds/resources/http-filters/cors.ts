// The CORS policy in its two messages: the per-filter config (envoy.extensions.filters.http.cors.v3.CorsPolicy) and the deprecated
// field of routes and virtual hosts (envoy.config.route.v3.CorsPolicy) -> model. Called by http-filter-override.ts and route.ts.

import type { CorsPolicy } from '../../../model/http-filter.js'
import type { CorsPolicy as RouteCorsPolicy } from '../../gen/envoy/config/route/v3/route_components_pb.js'
import type { CorsPolicy as CorsPolicyMessage } from '../../gen/envoy/extensions/filters/http/cors/v3/cors_pb.js'
import type { Ctx } from '../field-path.js'
import { decodeStringMatchers } from '../matchers.js'
import { decodeRuntimeFraction } from '../values.js'

const ALWAYS = { numerator: 100, denominator: 100, runtimeKey: '' }

export function decodeCors(policy: CorsPolicyMessage, ctx: Ctx): CorsPolicy {
  return decode(policy, ctx, policy.filterEnabled === undefined ? ALWAYS : decodeRuntimeFraction(policy.filterEnabled))
}

export function decodeRouteCors(policy: RouteCorsPolicy, ctx: Ctx): CorsPolicy {
  const specifier = policy.enabledSpecifier
  return decode(policy, ctx, specifier.case === 'filterEnabled' ? decodeRuntimeFraction(specifier.value) : ALWAYS)
}

function decode(policy: CorsPolicyMessage | RouteCorsPolicy, ctx: Ctx, enabled: CorsPolicy['enabled']): CorsPolicy {
  return {
    allowOrigin: decodeStringMatchers(policy.allowOriginStringMatch, ctx, 'allow_origin_string_match'),
    allowMethods: policy.allowMethods,
    allowHeaders: policy.allowHeaders,
    exposeHeaders: policy.exposeHeaders,
    maxAge: policy.maxAge,
    allowCredentials: policy.allowCredentials ?? null,
    allowPrivateNetworkAccess: policy.allowPrivateNetworkAccess ?? null,
    enabled,
    shadowEnabled: policy.shadowEnabled === undefined ? null : decodeRuntimeFraction(policy.shadowEnabled),
    forwardNotMatchingPreflights: policy.forwardNotMatchingPreflights ?? null,
  }
}
