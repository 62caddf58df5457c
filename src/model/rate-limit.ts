// What a request is counted by (envoy.config.route.v3.RateLimit) as model: of routes and virtual hosts, and of the local rate limit filter itself.

import type { HeaderMatcher, QueryParameterMatcher } from './matcher.js'

export interface RateLimitAction {
  readonly kind:
    | 'source_cluster'
    | 'destination_cluster'
    | 'remote_address'
    | 'generic_key'
    | 'request_headers'
    | 'header_value_match'
    | 'query_parameter_value_match'
    | 'metadata'
    | 'masked_remote_address'
  readonly key: string
  readonly value: string
  readonly headerName: string
  readonly skipIfAbsent: boolean
  readonly expectMatch: boolean
  readonly headers: readonly HeaderMatcher[]
  readonly queryParameters: readonly QueryParameterMatcher[]
  /** Of the route, in place of the request's dynamic metadata. */
  readonly routeMetadata: boolean
  readonly metadataNamespace: string
  readonly metadataPath: readonly string[]
  readonly prefixLengthV4: number
  readonly prefixLengthV6: number
}

export interface RateLimit {
  readonly stage: number
  readonly disableKey: string
  readonly actions: readonly RateLimitAction[]
}
