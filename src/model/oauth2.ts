// envoy.filters.http.oauth2 as validated config. Made by xds/resources/http-filters/oauth2, read by l7/filters/oauth2.

import type { HeaderMatcher, StringMatcher } from './matcher.js'
import type { SdsSecretRef } from './tls.js'

export type OAuth2Cookie = 'bearerToken' | 'hmac' | 'expires' | 'idToken' | 'refreshToken' | 'nonce' | 'codeVerifier'

export interface OAuth2CookieSettings {
  readonly name: string
  readonly path: string
  /** '' is none. */
  readonly sameSite: '' | 'Strict' | 'Lax' | 'None'
  readonly partitioned: boolean
}

export interface OAuth2Config {
  readonly tokenEndpoint: {
    readonly cluster: string
    readonly uri: string
    /** Of all tries together; 0 is none. */
    readonly timeoutMs: number
    readonly retries: number
    readonly retryBaseMs: number
    /** Of a wait, and as in Envoy of a try where there may be several. */
    readonly retryMaxMs: number
  }
  /** An absolute URL, perhaps with a query. */
  readonly authorizationEndpoint: string
  /** '': signing out ends here. */
  readonly endSessionEndpoint: string
  /** Format of where the provider sends a user who signed out; '' : the front page; null: it is not told. */
  readonly postLogoutRedirect: string | null
  readonly clientId: string
  /** null: the connection's certificate speaks for the client. */
  readonly clientSecret: SdsSecretRef | null
  readonly hmacSecret: SdsSecretRef
  readonly authType: 'body' | 'basic' | 'tls'
  readonly cookies: Readonly<Record<OAuth2Cookie, OAuth2CookieSettings>>
  /** '' : the host's own. */
  readonly cookieDomain: string
  /** A format. */
  readonly redirectUri: string
  readonly redirectPath: StringMatcher
  readonly signoutPath: StringMatcher
  readonly forwardBearerToken: boolean
  /** '': the id token is not put into a header. */
  readonly idTokenHeader: string
  readonly preserveAuthorizationHeader: boolean
  readonly passThrough: readonly HeaderMatcher[]
  readonly denyRedirect: readonly HeaderMatcher[]
  readonly allowFailed: readonly HeaderMatcher[]
  readonly scopes: readonly string[]
  readonly resources: readonly string[]
  readonly useRefreshToken: boolean
  readonly defaultExpiresInSeconds: number
  readonly refreshTokenExpiresInSeconds: number
  readonly nonceExpiresInSeconds: number
  readonly codeVerifierExpiresInSeconds: number
  readonly keepsAccessToken: boolean
  readonly keepsIdToken: boolean
  readonly keepsRefreshToken: boolean
  readonly encryptsTokens: boolean
  readonly idTokenExpiresAsAccessToken: boolean
  /** Format of scheme and host that a user comes back to; '' : those of the request. */
  readonly originalRequestUri: string
  /** Names and `*.suffix`; empty: any. */
  readonly allowedRedirectDomains: readonly string[]
  readonly statPrefix: string
}
