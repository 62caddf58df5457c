// oauth2 and what routes say of it -> model. Called by http-filter.ts and http-filter-override.ts.

import type { OAuth2Config, OAuth2Cookie, OAuth2CookieSettings } from '../../../model/oauth2.js'
import type { HttpUri } from '../../gen/envoy/config/core/v3/http_uri_pb.js'
import {
  type CookieConfig,
  CookieConfig_SameSite,
  OAuth2Config_AuthType,
  type OAuth2Config as OAuth2Message,
} from '../../gen/envoy/extensions/filters/http/oauth2/v3/oauth_pb.js'
import type { PathMatcher } from '../../gen/envoy/type/matcher/v3/path_pb.js'
import type { Ctx } from '../field-path.js'
import { checkFormat, modernFormat } from '../format-string.js'
import { decodeHeaderMatchers, decodeStringMatcher } from '../matchers.js'
import { decodeSdsRef } from '../tls.js'
import { decodeHeaderName, durationMsOr } from '../values.js'

const DEFAULT_SCOPES = ['user']
const OPENID = 'openid'
const WEEK_MS = 604_800_000
const TEN_MINUTES_MS = 600_000
const MAX_RETRIES = 16
const RETRY_BASE_MS = 1000
const NO_REF = { name: '', source: { kind: 'static' }, initialFetchTimeoutMs: 0 } as const
const NO_MATCH = { kind: 'exact', value: '\0', ignoreCase: false } as const

const AUTH_TYPES: ReadonlyMap<OAuth2Config_AuthType, OAuth2Config['authType']> = new Map([
  [OAuth2Config_AuthType.URL_ENCODED_BODY, 'body'],
  [OAuth2Config_AuthType.BASIC_AUTH, 'basic'],
  [OAuth2Config_AuthType.TLS_CLIENT_AUTH, 'tls'],
])

export function decodeOAuth2(config: OAuth2Message, ctx: Ctx): OAuth2Config {
  const { credentials } = config
  const authType = AUTH_TYPES.get(config.authType)
  if (authType === undefined)
    ctx.at('auth_type').error('private key JWTs are not supported; use URL_ENCODED_BODY, BASIC_AUTH or TLS_CLIENT_AUTH')
  if (!/^https?:\/\/[^/?#\s]+([/?#]\S*)?$/i.test(config.authorizationEndpoint) || !URL.canParse(config.authorizationEndpoint))
    ctx.at('authorization_endpoint').error(`'${config.authorizationEndpoint}' is no absolute URL of http or https`)
  if (/[\x00-\x20\x7f]/.test(config.endSessionEndpoint))
    ctx.at('end_session_endpoint').error('a URL has neither white space nor control characters')
  if (config.endSessionEndpoint !== '' && !config.authScopes.includes(OPENID))
    ctx.at('end_session_endpoint').error(`it is part of OpenID Connect: auth_scopes needs '${OPENID}'`)
  const hmac = credentials?.tokenFormation.case === 'hmacSecret' ? credentials.tokenFormation.value : undefined
  const secret = credentials?.tokenSecret
  if (secret === undefined && authType !== 'tls') ctx.at('credentials').at('token_secret').error('value is required')
  const at = ctx.at('credentials')
  return {
    tokenEndpoint: decodeTokenEndpoint(config.tokenEndpoint, config.retryPolicy, ctx),
    authorizationEndpoint: config.authorizationEndpoint,
    endSessionEndpoint: config.endSessionEndpoint,
    postLogoutRedirect: decodePostLogout(config.postLogoutRedirectUri, ctx),
    clientId: credentials?.clientId ?? '',
    clientSecret: secret === undefined || authType === 'tls' ? null : decodeSdsRef(secret, at.at('token_secret')),
    hmacSecret: hmac === undefined ? NO_REF : decodeSdsRef(hmac, at.at('hmac_secret')),
    authType: authType ?? 'body',
    cookies: decodeCookies(config),
    cookieDomain: credentials?.cookieDomain ?? '',
    redirectUri: decodeFormat(config.redirectUri, ctx.at('redirect_uri')),
    redirectPath: decodePath(config.redirectPathMatcher, ctx.at('redirect_path_matcher')),
    signoutPath: decodePath(config.signoutPath, ctx.at('signout_path')),
    forwardBearerToken: config.forwardBearerToken,
    idTokenHeader: decodeTokenHeader(config.forwardIdToken?.header ?? '', ctx.at('forward_id_token').at('header')),
    preserveAuthorizationHeader: config.preserveAuthorizationHeader,
    passThrough: decodeHeaderMatchers(config.passThroughMatcher, ctx, 'pass_through_matcher'),
    denyRedirect: decodeHeaderMatchers(config.denyRedirectMatcher, ctx, 'deny_redirect_matcher'),
    allowFailed: decodeHeaderMatchers(config.allowFailedMatcher, ctx, 'allow_failed_matcher'),
    scopes: config.authScopes.length === 0 ? DEFAULT_SCOPES : config.authScopes,
    resources: config.resources,
    useRefreshToken: config.useRefreshToken ?? true,
    defaultExpiresInSeconds: seconds(config.defaultExpiresIn, 0),
    refreshTokenExpiresInSeconds: seconds(config.defaultRefreshTokenExpiresIn, WEEK_MS),
    nonceExpiresInSeconds: seconds(config.csrfTokenExpiresIn, TEN_MINUTES_MS),
    codeVerifierExpiresInSeconds: seconds(config.codeVerifierTokenExpiresIn, TEN_MINUTES_MS),
    keepsAccessToken: !config.disableAccessTokenSetCookie,
    keepsIdToken: !config.disableIdTokenSetCookie,
    keepsRefreshToken: !config.disableRefreshTokenSetCookie,
    encryptsTokens: !config.disableTokenEncryption,
    idTokenExpiresAsAccessToken: config.useAccessTokenExpiryForIdTokenCookie,
    originalRequestUri: decodeFormat(config.originalRequestUri, ctx.at('original_request_uri')),
    allowedRedirectDomains: config.allowedRedirectDomains,
    statPrefix: config.statPrefix,
  }
}

function decodeTokenEndpoint(uri: HttpUri | undefined, retry: OAuth2Message['retryPolicy'], ctx: Ctx): OAuth2Config['tokenEndpoint'] {
  if (uri === undefined) ctx.at('token_endpoint').error('value is required')
  const retries = retry === undefined ? 0 : (retry.numRetries ?? 1)
  if (retries > MAX_RETRIES) ctx.at('retry_policy').at('num_retries').error(`at most ${MAX_RETRIES} retries of a token request`)
  const retryBaseMs = durationMsOr(retry?.retryBackOff?.baseInterval, RETRY_BASE_MS)
  const retryMaxMs = durationMsOr(retry?.retryBackOff?.maxInterval, retryBaseMs * 10)
  return {
    cluster: uri?.httpUpstreamType.case === 'cluster' ? uri.httpUpstreamType.value : '',
    uri: uri?.uri ?? '',
    timeoutMs: durationMsOr(uri?.timeout, 0),
    retries,
    retryBaseMs,
    retryMaxMs,
  }
}

function decodePostLogout(redirect: OAuth2Message['postLogoutRedirectUri'], ctx: Ctx): string | null {
  if (redirect?.config.case === 'disabled') return null
  return redirect?.config.case === 'uri' ? decodeFormat(redirect.config.value, ctx.at('post_logout_redirect_uri').at('uri')) : ''
}

function decodeFormat(text: string, ctx: Ctx): string {
  checkFormat(text, ctx)
  return modernFormat(text)
}

function decodeTokenHeader(name: string, ctx: Ctx): string {
  const header = decodeHeaderName(name, ctx)
  if (header === 'host') ctx.error('the ID token is not forwarded as the host')
  return header
}

function decodePath(path: PathMatcher | undefined, ctx: Ctx): OAuth2Config['redirectPath'] {
  return path?.rule.case === 'path' ? decodeStringMatcher(path.rule.value, ctx.at('path')) : NO_MATCH
}

function seconds(duration: Parameters<typeof durationMsOr>[0], fallbackMs: number): number {
  return Math.floor(durationMsOr(duration, fallbackMs) / 1000)
}

const SAME_SITE: Record<CookieConfig_SameSite, OAuth2CookieSettings['sameSite']> = {
  [CookieConfig_SameSite.DISABLED]: '',
  [CookieConfig_SameSite.STRICT]: 'Strict',
  [CookieConfig_SameSite.LAX]: 'Lax',
  [CookieConfig_SameSite.NONE]: 'None',
}

function decodeCookies({ credentials, cookieConfigs }: OAuth2Message): Readonly<Record<OAuth2Cookie, OAuth2CookieSettings>> {
  const names = credentials?.cookieNames
  const one = (name: string, given: string | undefined, config: CookieConfig | undefined) => ({
    name: given || name,
    path: config?.path || '/',
    sameSite: SAME_SITE[config?.sameSite ?? CookieConfig_SameSite.DISABLED],
    partitioned: config?.partitioned ?? false,
  })
  return {
    bearerToken: one('BearerToken', names?.bearerToken, cookieConfigs?.bearerTokenCookieConfig),
    hmac: one('OauthHMAC', names?.oauthHmac, cookieConfigs?.oauthHmacCookieConfig),
    expires: one('OauthExpires', names?.oauthExpires, cookieConfigs?.oauthExpiresCookieConfig),
    idToken: one('IdToken', names?.idToken, cookieConfigs?.idTokenCookieConfig),
    refreshToken: one('RefreshToken', names?.refreshToken, cookieConfigs?.refreshTokenCookieConfig),
    nonce: one('OauthNonce', names?.oauthNonce, cookieConfigs?.oauthNonceCookieConfig),
    codeVerifier: one('CodeVerifier', names?.codeVerifier, cookieConfigs?.codeVerifierCookieConfig),
  }
}
