// RouteAction.internal_redirect_policy, and its deprecated form internal_redirect_action -> model. Called by route-action.ts.

import type { InternalRedirectPolicy, InternalRedirectPredicate } from '../../model/route.js'
import {
  type InternalRedirectPolicy as InternalRedirectPolicyMessage,
  type RouteAction,
  RouteAction_InternalRedirectAction,
} from '../gen/envoy/config/route/v3/route_components_pb.js'
import type { AllowListedRoutesConfig } from '../gen/envoy/extensions/internal_redirect/allow_listed_routes/v3/allow_listed_routes_config_pb.js'
import { describeType, unpackAny } from './any.js'
import type { Ctx } from './field-path.js'

const REDIRECTS = [301, 302, 303, 307, 308]
const DEFAULT_STATUSES = [302]
const DEFAULT_MAX = 1

export function decodeInternalRedirect(action: RouteAction, ctx: Ctx): InternalRedirectPolicy | null {
  const policy = action.internalRedirectPolicy
  if (policy !== undefined) return decodePolicy(policy, ctx.at('internal_redirect_policy'))
  if (action.internalRedirectAction !== RouteAction_InternalRedirectAction.HANDLE_INTERNAL_REDIRECT) return null
  return {
    maxRedirects: action.maxInternalRedirects ?? DEFAULT_MAX,
    statuses: DEFAULT_STATUSES,
    predicates: [],
    allowCrossScheme: false,
    responseHeadersToCopy: [],
  }
}

function decodePolicy(policy: InternalRedirectPolicyMessage, ctx: Ctx): InternalRedirectPolicy {
  const statuses = policy.redirectResponseCodes
  for (const code of statuses) {
    if (!REDIRECTS.includes(code)) ctx.at('redirect_response_codes').warn(`${code} is no redirect and is ignored`)
  }
  return {
    maxRedirects: policy.maxInternalRedirects ?? DEFAULT_MAX,
    statuses: statuses.length === 0 ? DEFAULT_STATUSES : statuses.filter(code => REDIRECTS.includes(code)),
    predicates: policy.predicates.flatMap((predicate, i) => {
      const at = ctx.at('predicates', i).at('typed_config')
      if (predicate.typedConfig === undefined) {
        at.error(`internal redirect predicate '${predicate.name}' has no typed_config`)
        return []
      }
      return decodePredicate(predicate.name, predicate.typedConfig, at)
    }),
    allowCrossScheme: policy.allowCrossSchemeRedirect,
    responseHeadersToCopy: policy.responseHeadersToCopy.map((header, i) => {
      const name = header.toLowerCase()
      if (name.startsWith(':') || name === 'host')
        ctx.at('response_headers_to_copy', i).error(':-prefixed headers or Hosts may not be specified here')
      return name
    }),
  }
}

function decodePredicate(name: string, config: Parameters<typeof unpackAny>[0], ctx: Ctx): InternalRedirectPredicate[] {
  const { typeName, typeUrl, message, known } = unpackAny(config, ctx)
  switch (typeName) {
    case 'envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig':
      return [{ kind: 'previousRoutes' }]
    case 'envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig':
      return [{ kind: 'safeCrossScheme' }]
    case 'envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig':
      return [{ kind: 'allowListedRoutes', routeNames: (message as AllowListedRoutesConfig | null)?.allowedRouteNames ?? [] }]
    default:
      if (message !== null || !known) ctx.error(`unknown internal redirect predicate '${name}' (${describeType(typeUrl)})`)
      return []
  }
}
