// Scoped routes (ScopedRoutes of the connection manager, envoy.config.route.v3.ScopedRouteConfiguration) as model: a request's key, made of
// parts of its header fields, says which of many route tables it is routed by.

import type { ConfigSource } from './config-source.js'
import type { RouteTable } from './route.js'

/** One part of a request's key: of the first value of a header field, whole or split at a separator. */
export interface ScopeFragment {
  /** Lower case. */
  readonly header: string
  /** '' = the value is one element. */
  readonly separator: string
  readonly extract:
    | { readonly kind: 'index'; readonly index: number }
    /** The value of the first element that reads `key` separator value. */
    | { readonly kind: 'element'; readonly key: string; readonly separator: string }
}

/** The table of the requests whose key is `key`. */
export interface RouteScope {
  readonly name: string
  readonly key: readonly string[]
  /** The table by name is asked for once a request needs it. */
  readonly onDemand: boolean
  /** By name over RDS, from the source that the connection manager names; or a table of its own. */
  readonly routes: { readonly kind: 'rds'; readonly name: string } | { readonly kind: 'inline'; readonly table: RouteTable }
}

export interface ScopedRoutes {
  readonly name: string
  readonly keyBuilder: readonly ScopeFragment[]
  /** Where none is set, that of the scopes. */
  readonly rdsSource: ConfigSource
  readonly scopes:
    | { readonly kind: 'inline'; readonly list: readonly RouteScope[] }
    /** All scopes that this source has (SRDS). */
    | { readonly kind: 'dynamic'; readonly source: ConfigSource }
}

/** Keys are equal exactly where these are. */
export function scopeKey(fragments: readonly string[]): string {
  return JSON.stringify(fragments)
}

export function sameScopeKey(first: string, second: string): string {
  return `scope key conflict: the scopes '${first}' and '${second}' have the same key`
}
