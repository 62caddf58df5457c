// envoy.filters.http.oauth2: users log in at an authorization server by the code flow with PKCE, and are known afterwards by cookies that this
// filter signs. Nothing of a login is kept here: all of it is in cookies and in the `state` that goes through the user's browser, in Envoy's
// forms, so that any proxy with the same secret goes on with it.
//
//   requestHead ──pass_through, or a signed session──▶ goes on
//      ├─ sign-out path ──▶ 302, cookies removed
//      ├─ redirect path ──▶ EXCHANGING ──▶ 302 to where the user wanted to go, with a session | 401
//      ├─ refresh token ──▶ REFRESHING ──▶ goes on with a new session | as without one
//      └─ no session ────▶ 302 to the authorization endpoint | 401 (deny_redirect) | goes on as nobody (allow_failed)

import type { HttpFilterOverride } from '../../../model/http-filter.js'
import type { OAuth2Config } from '../../../model/oauth2.js'
import type { AsyncCall } from '../../client/async-client.js'
import type { RequestHead, ResponseHead } from '../../codec/codec.js'
import { HeaderList } from '../../codec/header-list.js'
import { queryParameter } from '../../match/query-parameter.js'
import { compileOnce } from '../compile-once.js'
import type { FilterContext } from '../filter-environment.js'
import type { FilterCall, FilterExplanation, FilterFactory, FilterStatus, StreamFilter } from '../http-filter.js'
import { decodeState, isAllowedHost, type LoginState, parseAbsoluteUrl } from './authorization-url.js'
import { CompiledOAuth2 } from './compiled-oauth2.js'
import { RequestCookies } from './oauth-cookies.js'
import { decryptToken, isCsrfToken, isSigned } from './oauth-secrets.js'
import { type Session, sessionOf } from './oauth-session.js'
import type { TokenResult } from './token-client.js'

const STATUS = 'x-envoy-oauth-status'
const FAILURE_REASON = 'x-envoy-oauth-failure-reason'

export function oauth2Filter(name: string, disabled: boolean, config: OAuth2Config | null, ctx: FilterContext): FilterFactory {
  const own = config === null ? null : new CompiledOAuth2(config, ctx, true)
  const loginOf = compileOnce((override: HttpFilterOverride & { kind: 'oauth2' }) => new CompiledOAuth2(override.config, ctx, false))
  return {
    name,
    disabled,
    create(call: FilterCall): StreamFilter {
      const override = call.overrideFor(name)
      const compiled = override?.kind === 'oauth2' ? loginOf(override) : own
      return compiled === null ? SANITIZER : new OAuth2Filter(compiled)
    },
  }
}

/** What only this filter says must not come from outside, whether it has a config or not. */
function sanitize({ headers }: RequestHead): void {
  headers.remove(STATUS)
  headers.remove(FAILURE_REASON)
}

const SANITIZER: StreamFilter = {
  requestHead(_call, head) {
    sanitize(head)
    return 'continue'
  },
}

/** What the authorization server sent back; `flowId` '' where it is not known whose it is. */
type Callback =
  | { readonly url: string; readonly code: string; readonly flowId: string }
  | { readonly problem: string; readonly flowId: string }

class OAuth2Filter implements StreamFilter {
  private readonly compiled: CompiledOAuth2
  private pending: AsyncCall | null = null
  /** Of a refreshed request: its response carries it. */
  private renewed: Session | null = null
  private cookies!: RequestCookies
  /** The cookies are a session of ours, though it may have ended. */
  private signed = false

  constructor(compiled: CompiledOAuth2) {
    this.compiled = compiled
  }

  requestHead(call: FilterCall, head: RequestHead): FilterStatus {
    const { compiled } = this
    const { config, stats } = compiled
    sanitize(head)
    if (compiled.passes(head)) {
      stats.oauth_passthrough.value++
      return 'continue'
    }
    if (!compiled.ready) {
      stats.oauth_failure.value++
      call.sendReply(503, 'Service Unavailable', 'OAuth2_secrets_are_not_ready', 0)
      return 'stop'
    }
    this.openCookies(head)
    if (compiled.isSignOut(head.path)) {
      call.sendHead(302, 'oauth.sign_out', compiled.signOut(call.info, head, this.cookies))
      return 'stop'
    }
    const isCallback = compiled.isCallback(head.path)
    if (this.hasSession(head)) {
      stats.oauth_success.value++
      compiled.forwardTokens(head, this.cookies.get(config.cookies.bearerToken.name), this.cookies.get(config.cookies.idToken.name))
      if (isCallback) return this.comeBack(call, head)
      this.goOn(head)
      return 'continue'
    }
    if (isCallback) return this.exchange(call, head)
    const refreshToken = this.cookies.get(config.cookies.refreshToken.name)
    if (config.useRefreshToken && refreshToken !== '') {
      this.pending = compiled.client.refresh(refreshToken, compiled.clientSecret, result => this.onRefreshed(call, head, result))
      return 'stop'
    }
    return this.withoutSession(call, head, 'Unauthorized', head.path)
  }

  explain(_call: FilterCall, head: RequestHead): FilterExplanation {
    const { compiled } = this
    sanitize(head)
    if (compiled.passes(head)) return { verdict: 'passes', reason: 'pass_through_matcher' }
    if (!compiled.ready) return { verdict: 'denies', reason: 'its secrets are not there yet', status: 503 }
    this.openCookies(head)
    if (compiled.isSignOut(head.path)) return { verdict: 'denies', reason: 'it signs the user out', status: 302 }
    if (compiled.isCallback(head.path)) return { verdict: 'unknown', reason: 'the token endpoint decides' }
    if (this.hasSession(head)) return { verdict: 'passes', reason: 'its session is signed and has not ended' }
    if (compiled.config.useRefreshToken && this.cookies.get(compiled.config.cookies.refreshToken.name) !== '')
      return { verdict: 'unknown', reason: 'the token endpoint decides: there is a refresh token' }
    if (compiled.allowsFailed(head)) return { verdict: 'passes', reason: 'without a session, by allow_failed_matcher' }
    if (compiled.deniesRedirect(head)) return { verdict: 'denies', reason: 'it has no session (deny_redirect_matcher)', status: 401 }
    return { verdict: 'denies', reason: 'it has no session, and is sent to log in', status: 302 }
  }

  responseHead(_call: FilterCall, head: ResponseHead): FilterStatus {
    const { renewed } = this
    if (renewed !== null) this.compiled.setSession(head.headers, renewed, this.cookies)
    this.renewed = null
    return 'continue'
  }

  finished(): void {
    this.pending?.cancel()
    this.pending = null
  }

  /** Cookies with their tokens decrypted; what could say who it is, and was not made here, goes. */
  private openCookies(head: RequestHead): void {
    const { config, hmacSecret } = this.compiled
    const cookies = new RequestCookies(head.headers)
    this.cookies = cookies
    for (const { name } of [config.cookies.bearerToken, config.cookies.idToken, config.cookies.refreshToken]) {
      cookies.keepFirst(name)
      const encrypted = config.encryptsTokens ? cookies.get(name) : ''
      if (encrypted !== '') cookies.set(name, decryptToken(encrypted, hmacSecret) ?? encrypted)
    }
    cookies.write(head.headers)
    if (!config.preserveAuthorizationHeader) head.headers.remove('authorization')
    if (config.idTokenHeader !== '') head.headers.remove(config.idTokenHeader)
  }

  private hasSession(head: RequestHead): boolean {
    const { cookies } = this
    const { config, hmacSecret, ctx } = this.compiled
    const names = config.cookies
    const expires = cookies.get(names.expires.name)
    const session = {
      domain: config.cookieDomain || head.authority,
      expires,
      accessToken: cookies.get(names.bearerToken.name),
      idToken: cookies.get(names.idToken.name),
      refreshToken: cookies.get(names.refreshToken.name),
    }
    this.signed = isSigned(session, cookies.get(names.hmac.name), hmacSecret)
    return this.signed && /^\d{1,15}$/.test(expires) && Number(expires) * 1000 > ctx.wallClock()
  }

  /** Upstream gets the user's tokens, and nothing of how he came by them. */
  private goOn(head: RequestHead): void {
    this.cookies.remove(this.compiled.isFlowCookie)
    this.cookies.write(head.headers)
  }

  // ---- the answer of the authorization server ---------------------------------------------------------------------------------------

  private readCallback({ path }: RequestHead): Callback {
    const state = queryParameter(path, 'state')
    const code = queryParameter(path, 'code')
    const known = state === undefined ? null : this.readState(state)
    const flowId = known?.flowId ?? ''
    if (queryParameter(path, 'error') !== undefined) return { problem: 'OAuth_server_returned_an_error', flowId }
    if (code === undefined || known === null) return { problem: 'Code_or_state_query_param_does_not_exist', flowId: '' }
    if ('problem' in known) return { problem: known.problem, flowId }
    return { url: known.url, code, flowId }
  }

  private readState(text: string): LoginState | { readonly problem: string; readonly flowId: string } {
    const { config, hmacSecret } = this.compiled
    const state = decodeState(text)
    if (state === null) return { problem: 'State_query_param_is_not_valid', flowId: '' }
    const { name } = config.cookies.nonce
    const cookie = this.cookies.get(`${name}.${state.flowId}`) || this.cookies.get(name)
    // Else somebody else's login would become this user's session (RFC 6819 §5.3.5). What is not signed of the state, its URL and its id, is
    // whatever the client wrote: the id stands in Set-Cookie later.
    if (!isCsrfToken(state.csrfToken, state.flowId, cookie, hmacSecret)) return { problem: 'CSRF_token_validation_failed', flowId: '' }
    const { flowId } = state
    if (parseAbsoluteUrl(state.url) === null) return { problem: 'State_url_can_not_be_initialized', flowId }
    if (!isAllowedHost(state.url, config.allowedRedirectDomains))
      return { problem: 'State_url_host_is_not_in_the_allowed_redirect_domains', flowId }
    return state
  }

  /** Another tab has logged the user in meanwhile. */
  private comeBack(call: FilterCall, head: RequestHead): FilterStatus {
    const { compiled } = this
    const callback = this.readCallback(head)
    if ('problem' in callback) return this.refuse(call, callback.problem, callback.flowId)
    if (compiled.isCallback(parseAbsoluteUrl(callback.url)!.path))
      return this.refuse(call, 'State_url_query_params_matches_the_redirect_path_matcher', callback.flowId)
    const headers = HeaderList.of(['location', callback.url])
    compiled.removeFlowCookies(headers, callback.flowId)
    call.sendHead(302, 'oauth.race_redirect', headers)
    return 'stop'
  }

  private exchange(call: FilterCall, head: RequestHead): FilterStatus {
    const { compiled } = this
    const { config, hmacSecret, clientSecret } = compiled
    const callback = this.readCallback(head)
    if ('problem' in callback) return this.refuse(call, callback.problem, callback.flowId)
    const { url, code, flowId } = callback
    const { name } = config.cookies.codeVerifier
    const encrypted = this.cookies.get(`${name}.${flowId}`) || this.cookies.get(name)
    if (encrypted === '') return this.refuse(call, 'Code_verifier_cookie_is_missing_in_the_request', flowId)
    const verifier = decryptToken(encrypted, hmacSecret)
    if (verifier === null) return this.refuse(call, 'Failed_to_decrypt_code_verifier', flowId)
    const redirectUri = compiled.redirectUri(call.info)
    this.pending = compiled.client.exchangeCode(code, redirectUri, verifier, clientSecret, result => {
      this.pending = null
      if (call.ended) return
      if ('problem' in result) {
        this.refuse(call, result.details, flowId)
        return
      }
      const headers = new HeaderList()
      compiled.setSession(headers, sessionOf(result, config, head.authority, compiled.ctx.wallClock()), this.cookies)
      compiled.removeFlowCookies(headers, flowId)
      headers.append('location', url)
      compiled.stats.oauth_success.value++
      call.sendHead(302, 'oauth.logged_in', headers)
    })
    return 'stop'
  }

  // ---- a session that has ended, or none --------------------------------------------------------------------------------------------

  private onRefreshed(call: FilterCall, head: RequestHead, result: TokenResult): void {
    this.pending = null
    if (call.ended) return
    const { compiled, cookies } = this
    const { config, stats } = compiled
    if ('problem' in result) {
      if (result.problem === 'refused') {
        stats.oauth_refreshtoken_failure.value++
        if (this.withoutSession(call, head, 'Failed to refresh the access token', '') === 'continue') call.resume()
      } else if (compiled.allowsFailed(head)) {
        this.goOnAsNobody(head, result.details.replaceAll('_', ' '))
        call.resume()
      } else this.refuse(call, result.details, '')
      return
    }
    const names = config.cookies
    const kept = config.keepsRefreshToken && result.refreshToken === '' ? cookies.get(names.refreshToken.name) : result.refreshToken
    const session = sessionOf({ ...result, refreshToken: kept }, config, head.authority, compiled.ctx.wallClock())
    // What the answer does not renew is what we gave the user, or nothing.
    if (!this.signed) cookies.remove(name => compiled.isTokenCookie(name))
    if (session.accessToken !== '') cookies.set(names.bearerToken.name, session.accessToken)
    if (session.idToken !== '') cookies.set(names.idToken.name, session.idToken)
    stats.oauth_refreshtoken_success.value++
    stats.oauth_success.value++
    compiled.forwardTokens(head, session.accessToken, session.idToken)
    this.renewed = session
    this.goOn(head)
    call.resume()
  }

  private withoutSession(call: FilterCall, head: RequestHead, why: string, path: string): FilterStatus {
    const { compiled } = this
    const about = path === '' ? '' : `: ${path}`
    if (compiled.allowsFailed(head)) {
      this.goOnAsNobody(head, `${why}, and forwarding as unauthorized because OAuth failure is allowed${about}`)
      return 'continue'
    }
    if (compiled.deniesRedirect(head))
      return this.refuse(call, `${why}, and redirecting to OAuth server is not allowed${path === '' ? '' : about}`.replaceAll(' ', '_'), '')
    const login = compiled.login(call.info, head)
    if ('problem' in login) return this.refuse(call, login.problem, '')
    call.sendHead(302, 'oauth.missing_credentials', login.headers)
    compiled.stats.oauth_unauthorized_rq.value++
    return 'stop'
  }

  private goOnAsNobody(head: RequestHead, reason: string): void {
    const { compiled, cookies } = this
    cookies.remove(name => compiled.isTokenCookie(name) || compiled.isFlowCookie(name))
    cookies.write(head.headers)
    head.headers.set(STATUS, 'failed')
    head.headers.set(FAILURE_REASON, reason)
    compiled.stats.oauth_allow_failed_passthrough.value++
  }

  private refuse(call: FilterCall, details: string, flowId: string): FilterStatus {
    const { compiled } = this
    compiled.stats.oauth_failure.value++
    let headers: HeaderList | null = null
    if (flowId !== '') compiled.removeFlowCookies((headers = new HeaderList()), flowId)
    call.sendReply(401, 'OAuth flow failed.', details, 0, headers)
    return 'stop'
  }
}
