// One configuration of oauth2, compiled: matchers, formats, secrets and counters, and the answers that it gives (log in, sign out, cookies of a
// session). Made by oauth2.ts, once for the filter and once for each override of a route.

import type { Counter } from '../../../metrics/stat.js'
import type { HeaderMatcher } from '../../../model/matcher.js'
import type { OAuth2Config } from '../../../model/oauth2.js'
import { toByteString } from '../../codec/byte-string.js'
import type { RequestHead } from '../../codec/codec.js'
import { HeaderList } from '../../codec/header-list.js'
import { type FormatFunction, formatOrText } from '../../format/header-format.js'
import { compileHeaderMatchers } from '../../match/header-matcher.js'
import { compileStringMatcher } from '../../match/string-matcher.js'
import type { StreamInfo } from '../../stream/stream-info.js'
import type { FilterContext } from '../filter-environment.js'
import { GenericSecret } from '../generic-secret.js'
import { authorizationUrl, encodeQueryText, encodeState, isAllowedHost } from './authorization-url.js'
import { isOfFlow, type RequestCookies, SetCookies } from './oauth-cookies.js'
import { codeChallenge, csrfToken, encryptToken, newCodeVerifier, newFlowId, signSession } from './oauth-secrets.js'
import type { Session } from './oauth-session.js'
import { TokenClient } from './token-client.js'

const COUNTERS = [
  'oauth_unauthorized_rq',
  'oauth_failure',
  'oauth_passthrough',
  'oauth_success',
  'oauth_refreshtoken_success',
  'oauth_refreshtoken_failure',
  'oauth_allow_failed_passthrough',
] as const

export class CompiledOAuth2 {
  readonly config: OAuth2Config
  readonly ctx: FilterContext
  readonly client: TokenClient
  readonly stats: Readonly<Record<(typeof COUNTERS)[number], Counter>>
  readonly redirectUri: FormatFunction
  readonly passes: (head: RequestHead) => boolean
  readonly allowsFailed: (head: RequestHead) => boolean
  readonly deniesRedirect: (head: RequestHead) => boolean
  readonly isCallback: (path: string) => boolean
  readonly isSignOut: (path: string) => boolean
  private readonly secret: GenericSecret | null
  private readonly hmac: GenericSecret
  private readonly setCookies: SetCookies
  private readonly originalUri: FormatFunction | null
  private readonly postLogout: FormatFunction | null

  /** `ofFilter`: counted under the connection manager; what a route says is counted under its own prefix alone, as in Envoy. */
  constructor(config: OAuth2Config, ctx: FilterContext, ofFilter: boolean) {
    this.config = config
    this.ctx = ctx
    this.client = new TokenClient(config, ctx)
    const { secrets } = ctx.env
    this.hmac = new GenericSecret(config.hmacSecret, secrets)
    this.secret = config.clientSecret === null ? null : new GenericSecret(config.clientSecret, secrets)
    this.stats = ctx.counters(ofFilter ? ctx.httpScope(config.statPrefix) : ctx.scope(config.statPrefix), COUNTERS)
    this.setCookies = new SetCookies(config)
    this.redirectUri = formatOrText(config.redirectUri)
    this.originalUri = config.originalRequestUri === '' ? null : formatOrText(config.originalRequestUri)
    this.postLogout = config.postLogoutRedirect ? formatOrText(config.postLogoutRedirect) : null
    this.passes = anyOf(config.passThrough)
    this.allowsFailed = anyOf(config.allowFailed)
    this.deniesRedirect = anyOf(config.denyRedirect)
    const [callback, signOut] = [compileStringMatcher(config.redirectPath), compileStringMatcher(config.signoutPath)]
    this.isCallback = path => callback(pathAlone(path))
    this.isSignOut = path => signOut(pathAlone(path))
  }

  get ready(): boolean {
    // An empty one would be anybody's.
    return !!this.hmac.value && (this.secret === null || !!this.secret.value)
  }

  get hmacSecret(): string {
    return this.hmac.value ?? ''
  }

  get clientSecret(): string {
    return this.secret?.value ?? ''
  }

  readonly isFlowCookie = (name: string): boolean => {
    const { hmac, expires, refreshToken, nonce, codeVerifier } = this.config.cookies
    return (
      name === hmac.name ||
      name === expires.name ||
      name === refreshToken.name ||
      isOfFlow(name, nonce.name) ||
      isOfFlow(name, codeVerifier.name)
    )
  }

  isTokenCookie(name: string): boolean {
    return name === this.config.cookies.bearerToken.name || name === this.config.cookies.idToken.name
  }

  forwardTokens({ headers }: RequestHead, accessToken: string, idToken: string): void {
    const { forwardBearerToken, idTokenHeader } = this.config
    if (forwardBearerToken && accessToken !== '') headers.set('authorization', `Bearer ${accessToken}`)
    if (idTokenHeader !== '' && idToken !== '') headers.set(idTokenHeader, idToken)
  }

  /** The way to the authorization endpoint, and the cookies of a login that begins. */
  login(info: StreamInfo, head: RequestHead): { readonly headers: HeaderList } | { readonly problem: string } {
    const { config, setCookies, hmacSecret } = this
    const { nonce, codeVerifier } = config.cookies
    const base = this.originalUri === null ? `${schemeOf(head)}://${head.authority}` : this.originalUri(info)
    if (!isAllowedHost(base, config.allowedRedirectDomains))
      return { problem: 'authority_or_original_request_uri_failed_domain_allow-list_validation' }
    const redirectUri = this.redirectUri(info)
    if (!isAllowedHost(redirectUri, config.allowedRedirectDomains)) return { problem: 'redirect_uri_failed_domain_allow-list_validation' }
    const headers = new HeaderList()
    const flowId = newFlowId()
    const token = csrfToken(flowId, hmacSecret)
    for (const name of [`${nonce.name}.${flowId}`, nonce.name]) setCookies.set(headers, nonce, name, token, config.nonceExpiresInSeconds)
    const verifier = newCodeVerifier()
    const encrypted = encryptToken(verifier, hmacSecret)
    for (const name of [`${codeVerifier.name}.${flowId}`, codeVerifier.name])
      setCookies.set(headers, codeVerifier, name, encrypted, config.codeVerifierExpiresInSeconds)
    const parameters = {
      client_id: encodeQueryText(toByteString(config.clientId)),
      response_type: 'code',
      scope: encodeQueryText(toByteString(config.scopes.join(' '))),
      state: encodeState({ url: `${base}${head.path}`, csrfToken: token, flowId }),
      redirect_uri: encodeQueryText(redirectUri),
      code_challenge: codeChallenge(verifier),
      code_challenge_method: 'S256',
    }
    headers.append('location', authorizationUrl(config.authorizationEndpoint, parameters, config.resources))
    return { headers }
  }

  signOut(info: StreamInfo, head: RequestHead, cookies: RequestCookies): HeaderList {
    const { config, setCookies } = this
    const { hmac, bearerToken, idToken, refreshToken, expires, nonce, codeVerifier } = config.cookies
    const headers = new HeaderList()
    for (const cookie of [hmac, bearerToken, idToken, refreshToken, expires]) setCookies.remove(headers, cookie, cookie.name)
    for (const name of cookies.sent)
      for (const cookie of [nonce, codeVerifier]) if (isOfFlow(name, cookie.name)) setCookies.remove(headers, cookie, name)
    const home = `${schemeOf(head)}://${head.authority}/`
    if (config.endSessionEndpoint === '') {
      headers.append('location', home)
      return headers
    }
    const hint = `id_token_hint=${encodeQueryText(cookies.get(idToken.name))}&client_id=${encodeQueryText(toByteString(config.clientId))}`
    const back = this.postLogout === null ? home : this.postLogout(info)
    const redirect = config.postLogoutRedirect === null ? '' : `&post_logout_redirect_uri=${encodeQueryText(back)}`
    headers.append('location', `${config.endSessionEndpoint}?${hint}${redirect}`)
    return headers
  }

  /** `cookies`: the request's, of which those go that the session has no more. */
  setSession(headers: HeaderList, session: Session, cookies: RequestCookies): void {
    const { config, setCookies, hmacSecret } = this
    const { hmac, expires, bearerToken, idToken, refreshToken } = config.cookies
    setCookies.set(headers, hmac, hmac.name, signSession(session, hmacSecret), session.expiresIn)
    setCookies.set(headers, expires, expires.name, session.expires, session.expiresIn)
    const tokens = [
      [bearerToken, session.accessToken, session.expiresIn],
      [idToken, session.idToken, session.idTokenExpiresIn],
      [refreshToken, session.refreshToken, session.refreshTokenExpiresIn],
    ] as const
    for (const [cookie, token, seconds] of tokens) {
      const value = config.encryptsTokens ? encryptToken(token, hmacSecret) : token
      if (token !== '') setCookies.set(headers, cookie, cookie.name, value, seconds)
      else if (cookies.sent.has(cookie.name)) setCookies.remove(headers, cookie, cookie.name)
    }
  }

  removeFlowCookies(headers: HeaderList, flowId: string): void {
    const { nonce, codeVerifier } = this.config.cookies
    for (const cookie of [nonce, codeVerifier]) {
      if (flowId !== '') this.setCookies.remove(headers, cookie, `${cookie.name}.${flowId}`)
      this.setCookies.remove(headers, cookie, cookie.name)
    }
  }
}

function anyOf(matchers: readonly HeaderMatcher[]): (head: RequestHead) => boolean {
  const tests = matchers.map(matcher => compileHeaderMatchers([matcher])!)
  return head => tests.some(test => test(head, null))
}

function pathAlone(path: string): string {
  const end = path.search(/[?#]/)
  return end === -1 ? path : path.slice(0, end)
}

function schemeOf({ scheme }: RequestHead): string {
  return scheme === 'http' ? 'http' : 'https'
}
