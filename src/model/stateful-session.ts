// envoy.filters.http.stateful_session as validated config: how a client is kept at the endpoint that served it. Made by
// xds/resources/http-filters/session, read by l7/filters/stateful-session.

export interface CookieAttributes {
  /** '' is none. */
  readonly path: string
  /** null or 0: a cookie of the browser's session. */
  readonly ttlSeconds: number | null
  readonly attributes: readonly { readonly name: string; readonly value: string }[]
}

export type SessionState =
  | ({ readonly kind: 'cookie'; readonly name: string } & CookieAttributes)
  /** The endpoint stands in the header alone. */
  | { readonly kind: 'header'; readonly name: string }
  /** The endpoint is wrapped around a session header of the upstream's own. */
  | { readonly kind: 'envelope'; readonly name: string }

export interface StatefulSessionConfig {
  /** null: no sessions. */
  readonly state: SessionState | null
  /** No other endpoint will do. */
  readonly strict: boolean
  /** '' : nothing is counted. */
  readonly statPrefix: string
  /** Of the answer where a strict session's endpoint is not there. */
  readonly missingStatus: number
}
