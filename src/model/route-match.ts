// What a route, or a rule of jwt_authn, asks of a request (envoy.config.route.v3.RouteMatch) as model: what l7/match/route-match compiles.

import type { HeaderMatcher, MetadataMatcher, QueryParameterMatcher, RuntimeFraction, StringMatcher } from './matcher.js'

export type PathMatch =
  | { readonly kind: 'prefix' | 'path' | 'pathSeparatedPrefix'; readonly value: string; readonly caseSensitive: boolean }
  | { readonly kind: 'regex'; readonly value: string }
  | { readonly kind: 'connect' }

export interface RouteMatch {
  readonly path: PathMatch
  readonly headers: readonly HeaderMatcher[]
  readonly queryParameters: readonly QueryParameterMatcher[]
  readonly cookies: readonly { readonly name: string; readonly matcher: StringMatcher; readonly invert: boolean }[]
  readonly runtimeFraction: RuntimeFraction | null
  readonly grpc: boolean
  readonly tlsContext: { readonly presented: boolean | null; readonly validated: boolean | null } | null
  readonly dynamicMetadata: readonly MetadataMatcher[]
}

/** Nothing is asked. */
export const NO_CONDITIONS: RouteMatch = {
  path: { kind: 'prefix', value: '', caseSensitive: true },
  headers: [],
  queryParameters: [],
  cookies: [],
  runtimeFraction: null,
  grpc: false,
  tlsContext: null,
  dynamicMetadata: [],
}
