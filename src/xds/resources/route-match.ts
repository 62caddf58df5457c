// envoy.config.route.v3.RouteMatch -> model. Called by route.ts and by the JWT filter's rules, which match requests the same way.

import { NO_CONDITIONS, type PathMatch, type RouteMatch } from '../../model/route-match.js'
import type { RouteMatch as RouteMatchMessage } from '../gen/envoy/config/route/v3/route_components_pb.js'
import type { Ctx } from './field-path.js'
import { decodeHeaderMatchers, decodeMetadataMatcher, decodeQueryParameters, decodeRegex, decodeStringMatcher } from './matchers.js'
import { decodeTemplateMatch } from './uri-template.js'
import { decodeRuntimeFraction } from './values.js'

export function decodeRouteMatch(match: RouteMatchMessage | undefined, ctx: Ctx): RouteMatch {
  // The constraint has reported that there is none.
  if (match === undefined) return NO_CONDITIONS
  return {
    path: decodePathMatch(match, ctx),
    headers: decodeHeaderMatchers(match.headers, ctx, 'headers'),
    queryParameters: decodeQueryParameters(match.queryParameters, ctx, 'query_parameters'),
    cookies: match.cookies.flatMap(({ name, stringMatch, invertMatch }, i) =>
      // Its absence has been reported.
      stringMatch === undefined
        ? []
        : [{ name, matcher: decodeStringMatcher(stringMatch, ctx.at('cookies', i).at('string_match')), invert: invertMatch }],
    ),
    runtimeFraction: match.runtimeFraction === undefined ? null : decodeRuntimeFraction(match.runtimeFraction),
    grpc: match.grpc !== undefined,
    tlsContext:
      match.tlsContext === undefined
        ? null
        : { presented: match.tlsContext.presented ?? null, validated: match.tlsContext.validated ?? null },
    dynamicMetadata: match.dynamicMetadata.map((matcher, i) => decodeMetadataMatcher(matcher, ctx.at('dynamic_metadata', i))),
  }
}

function decodePathMatch(match: RouteMatchMessage, ctx: Ctx): PathMatch {
  const specifier = match.pathSpecifier
  const caseSensitive = match.caseSensitive ?? true
  switch (specifier.case) {
    case 'prefix':
    case 'path':
    case 'pathSeparatedPrefix':
      return { kind: specifier.case, value: specifier.value, caseSensitive }
    case 'safeRegex':
      return { kind: 'regex', value: decodeRegex(specifier.value, ctx.at('safe_regex')) }
    case 'connectMatcher':
      return { kind: 'connect' }
    case 'pathMatchPolicy': {
      const template = decodeTemplateMatch(specifier.value.typedConfig, ctx.at('path_match_policy').at('typed_config'))
      return template === null ? NO_CONDITIONS.path : { kind: 'regex', value: template.pattern }
    }
    default:
      return NO_CONDITIONS.path // the missing oneof: reported
  }
}
