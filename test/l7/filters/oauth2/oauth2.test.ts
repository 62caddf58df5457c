// oauth2: a login from the redirect to the session, sessions that end, and what must not pass. Compared with Envoy, whose cookies it reads and
// which reads its cookies, in integration/oauth2-differential.test.ts.
import { beforeEach, describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { decodeState, isAllowedHost } from '../../../../src/l7/filters/oauth2/authorization-url.js'
import { decryptToken, encryptToken, isSigned, signSession } from '../../../../src/l7/filters/oauth2/oauth-secrets.js'
import type { OAuth2Config, OAuth2Cookie, OAuth2CookieSettings } from '../../../../src/model/oauth2.js'
import { FakeCall, FakeEnvironment, requestHead, responseHead, runHead } from '../fake-call.js'

const NAMES: Readonly<Record<OAuth2Cookie, string>> = {
  bearerToken: 'BearerToken',
  hmac: 'OauthHMAC',
  expires: 'OauthExpires',
  idToken: 'IdToken',
  refreshToken: 'RefreshToken',
  nonce: 'OauthNonce',
  codeVerifier: 'CodeVerifier',
}
const cookies = Object.fromEntries(
  Object.entries(NAMES).map(([key, name]) => [key, { name, path: '/', sameSite: '', partitioned: false }]),
) as Record<OAuth2Cookie, OAuth2CookieSettings>
const exactly = (value: string) => ({ kind: 'exact' as const, value, ignoreCase: false })
const present = (name: string) => ({ name, match: { kind: 'present' as const, present: true }, invert: false, treatMissingAsEmpty: false })
const CONFIG: OAuth2Config = {
  tokenEndpoint: { cluster: 'oauth', uri: 'https://oauth.test/token?x=1', timeoutMs: 3000, retries: 0, retryBaseMs: 100, retryMaxMs: 1000 },
  authorizationEndpoint: 'https://auth.test/authorize?a=b',
  endSessionEndpoint: '',
  postLogoutRedirect: '',
  clientId: 'client',
  clientSecret: { name: 'token', source: { kind: 'static' }, initialFetchTimeoutMs: 0 },
  hmacSecret: { name: 'hmac', source: { kind: 'static' }, initialFetchTimeoutMs: 0 },
  authType: 'body',
  cookies,
  cookieDomain: '',
  redirectUri: 'https://%REQ(:authority)%/callback',
  redirectPath: exactly('/callback'),
  signoutPath: exactly('/signout'),
  forwardBearerToken: true,
  idTokenHeader: '',
  preserveAuthorizationHeader: false,
  passThrough: [present('x-pass')],
  denyRedirect: [present('x-ajax')],
  allowFailed: [present('x-allow')],
  scopes: ['user', 'openid'],
  resources: ['https://r/1'],
  useRefreshToken: true,
  defaultExpiresInSeconds: 0,
  refreshTokenExpiresInSeconds: 604_800,
  nonceExpiresInSeconds: 600,
  codeVerifierExpiresInSeconds: 600,
  keepsAccessToken: true,
  keepsIdToken: true,
  keepsRefreshToken: true,
  encryptsTokens: true,
  idTokenExpiresAsAccessToken: false,
  originalRequestUri: '',
  allowedRedirectDomains: [],
  statPrefix: '',
}

let world: FakeEnvironment
beforeEach(() => {
  world = new FakeEnvironment()
  world.secrets.setStatic({ name: 'token', kind: 'generic', secret: { kind: 'inline', text: 'se&cret' } })
  world.secrets.setStatic({ name: 'hmac', kind: 'generic', secret: { kind: 'inline', text: 'hmackey' } })
})

/** What a browser keeps. */
class Jar {
  readonly held = new Map<string, string>()

  take(headers: HeaderList | null | undefined): void {
    for (const field of headers?.getAll('set-cookie') ?? []) {
      const [pair = ''] = field.split(';')
      const at = pair.indexOf('=')
      if (pair.endsWith('=deleted')) this.held.delete(pair.slice(0, at))
      else this.held.set(pair.slice(0, at), pair.slice(at + 1))
    }
  }

  get header(): Record<string, string> {
    return this.held.size === 0 ? {} : { cookie: [...this.held].map(([name, value]) => `${name}=${value}`).join('; ') }
  }
}

function ask(path: string, jar: Jar, headers: Record<string, string> = {}, config: Partial<OAuth2Config> = {}) {
  const factory = world.factory({ kind: 'oauth2', config: { ...CONFIG, ...config } })
  const call = new FakeCall(requestHead({ path, scheme: 'https', authority: 'a.test' }, { ...jar.header, ...headers }))
  const { filter, status } = runHead(factory, call)
  return { call, filter: filter!, status }
}

const TOKENS = { access_token: 'access', id_token: 'id', refresh_token: 'refresh', expires_in: 3600 }
function answerToken(body: unknown, status = 200): void {
  const asked = world.http.shift()!
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  asked.answer({ kind: 'response', status, headers: new HeaderList(), body: Buffer.from(text), trailers: null })
}

function login(jar: Jar, config: Partial<OAuth2Config> = {}): URL {
  const { call } = ask('/x?q=1', jar, {}, config)
  jar.take(call.reply!.headers)
  return new URL(call.reply!.headers!.get('location')!)
}

function logIn(jar: Jar, tokens: unknown = TOKENS, config: Partial<OAuth2Config> = {}) {
  const state = login(jar, config).searchParams.get('state')!
  const { call, status } = ask(`/callback?code=c%2F1&state=${state}`, jar, {}, config)
  expect(status).toBe('stop')
  const { request, cluster } = world.http[0]!
  answerToken(tokens)
  jar.take(call.reply!.headers)
  return { call, request, cluster, state }
}

describe('a login', () => {
  it('begins at the authorization endpoint, with PKCE and a state of its own', () => {
    const jar = new Jar()
    const url = login(jar)
    expect(`${url.origin}${url.pathname}`).toBe('https://auth.test/authorize')
    const { state, code_challenge: challenge, ...rest } = Object.fromEntries(url.searchParams)
    expect(rest).toEqual({
      a: 'b',
      client_id: 'client',
      code_challenge_method: 'S256',
      redirect_uri: 'https://a.test/callback',
      resource: 'https://r/1',
      response_type: 'code',
      scope: 'user openid',
    })
    expect(challenge).toMatch(/^[\w-]{43}$/)
    expect(decodeState(state!)).toMatchObject({ url: 'https://a.test/x?q=1' })
    expect([...jar.held.keys()].map(name => name.replace(/\.[0-9a-f]{16}$/, '.*'))).toEqual([
      'OauthNonce.*',
      'OauthNonce',
      'CodeVerifier.*',
      'CodeVerifier',
    ])
    expect(world.counter('http.in.oauth_unauthorized_rq')).toBe(1)
  })

  it('exchanges the code and sends the user back with a session, which the next request shows', () => {
    const jar = new Jar()
    const { call, request, cluster } = logIn(jar)
    expect([cluster, request.method, request.path, request.authority]).toEqual(['oauth', 'POST', '/token?x=1', 'oauth.test'])
    const body = request.body!.toString()
    expect(body).toMatch(
      /^grant_type=authorization_code&code=c%2F1&client_id=client&client_secret=se%26cret&redirect_uri=https%3A%2F%2Fa\.test%2Fcallback&code_verifier=[\w-]{43}$/,
    )
    expect(call.reply).toMatchObject({ status: 302, details: 'oauth.logged_in' })
    expect(call.reply!.headers!.get('location')).toBe('https://a.test/x?q=1')
    expect([...jar.held.keys()].sort()).toEqual(['BearerToken', 'IdToken', 'OauthExpires', 'OauthHMAC', 'RefreshToken'])
    expect(jar.held.get('BearerToken')).not.toContain('access')

    const next = ask('/x', jar, { authorization: 'Bearer mine', 'x-envoy-oauth-status': 'failed' })
    expect(next.status).toBe('continue')
    const { headers } = next.call.request
    expect([headers.get('authorization'), headers.get('cookie'), headers.has('x-envoy-oauth-status')]).toEqual([
      'Bearer access',
      'BearerToken=access; IdToken=id',
      false,
    ])
    expect(world.counter('http.in.oauth_success')).toBe(2)
  })

  it('refuses an answer that was not made for this browser, or for this secret', () => {
    const jar = new Jar()
    const state = login(jar).searchParams.get('state')!
    const refused = (path: string, of: Jar) => {
      const { call } = ask(path, of)
      expect(call.reply).toMatchObject({ status: 401, body: 'OAuth flow failed.' })
      return call.reply!.details
    }
    expect(refused(`/callback?code=1&state=${state}`, new Jar())).toBe('CSRF_token_validation_failed')
    expect(refused('/callback?code=1', jar)).toBe('Code_or_state_query_param_does_not_exist')
    expect(refused('/callback?code=1&state=e30', jar)).toBe('State_query_param_is_not_valid')
    expect(refused(`/callback?error=no&state=${state}`, jar)).toBe('OAuth_server_returned_an_error')
    const forged = decodeState(state)!
    const other = Buffer.from(JSON.stringify({ url: 'https://a.test/', csrf_token: `${forged.csrfToken}x`, flow_id: forged.flowId }))
    expect(refused(`/callback?code=1&state=${other.toString('base64url')}`, jar)).toBe('CSRF_token_validation_failed')
    const verifier = new Jar()
    for (const [name, value] of jar.held) verifier.held.set(name, name.startsWith('CodeVerifier') ? 'AAAA' : value)
    expect(refused(`/callback?code=1&state=${state}`, verifier)).toBe('Failed_to_decrypt_code_verifier')
    expect(world.http).toEqual([])
    expect(world.counter('http.in.oauth_failure')).toBe(6)
  })

  it.each([
    ['an error', 'no', 400, 'Failed_to_get_access_token:_response_code:_400'],
    ['no JSON', 'no', 200, 'Failed_to_parse_oauth_response_body'],
    ['no token', { expires_in: 3 }, 200, 'No_access_token_found_in_the_token_exchange_response'],
    ['no end', { access_token: 'a' }, 200, 'No_default_or_explicit_access_token_expiration_found_in_the_token_exchange_response'],
    ['a token that breaks a cookie', { access_token: 'a; b', expires_in: 3 }, 200, 'No_access_token_found_in_the_token_exchange_response'],
  ])('refuses the user where the token endpoint answers %s', (_what, body, status, details) => {
    const jar = new Jar()
    const state = login(jar).searchParams.get('state')!
    const { call } = ask(`/callback?code=1&state=${state}`, jar)
    answerToken(body, status)
    expect(call.reply).toMatchObject({ status: 401, details })
    jar.take(call.reply!.headers)
    expect(jar.held.size).toBe(0)
  })

  it('comes back from a second tab without asking again, but never to the redirect path itself', () => {
    const jar = new Jar()
    const flow = new Jar()
    const state = login(flow).searchParams.get('state')!
    logIn(jar)
    for (const [name, value] of flow.held) jar.held.set(name, value)
    const { call } = ask(`/callback?code=1&state=${state}`, jar)
    expect([call.reply!.details, call.reply!.headers!.get('location')]).toEqual(['oauth.race_redirect', 'https://a.test/x?q=1'])
    expect(world.http).toEqual([])
  })

  it('tries the token endpoint again, as often as it may', () => {
    const config = { tokenEndpoint: { ...CONFIG.tokenEndpoint, retries: 1 } }
    const jar = new Jar()
    const state = login(jar, config).searchParams.get('state')!
    const { call } = ask(`/callback?code=1&state=${state}`, jar, {}, config)
    answerToken('busy', 503)
    world.clock.advance(25)
    answerToken(TOKENS)
    expect(call.reply).toMatchObject({ status: 302, details: 'oauth.logged_in' })
  })

  it('asks no longer for a client that has gone, whether an answer or the next try is awaited', () => {
    const config = { tokenEndpoint: { ...CONFIG.tokenEndpoint, retries: 1 } }
    for (const between of [false, true]) {
      world.randomValue = 0.5
      const jar = new Jar()
      const state = login(jar, config).searchParams.get('state')!
      const { call, filter } = ask(`/callback?code=1&state=${state}`, jar, {}, config)
      const asked = world.http[0]!
      if (between) answerToken('busy', 503)
      filter.finished!(call)
      if (!between) expect(asked.cancelled).toBe(true)
      world.http.length = 0
      world.clock.advance(10_000)
      expect(world.http).toEqual([])
    }
  })

  it('gives all tries together the time that the token endpoint has', () => {
    world.randomValue = 0.99
    const config = { tokenEndpoint: { ...CONFIG.tokenEndpoint, retries: 9 } }
    const jar = new Jar()
    const state = login(jar, config).searchParams.get('state')!
    const { call } = ask(`/callback?code=1&state=${state}`, jar, {}, config)
    const waits: number[] = []
    const given: number[] = []
    while (call.reply === null) {
      given.push(world.http[0]!.request.timeoutMs)
      world.clock.advance(500)
      world.http.shift()!.answer({ kind: 'failure', reason: 'timeout', message: 'no answer' })
      if (call.reply !== null) break
      const asked = world.clock.now()
      while (world.http.length === 0) world.clock.advance(1)
      waits.push(world.clock.now() - asked)
    }
    expect(waits).toEqual([99, 198, 396])
    expect(given).toEqual([1000, 1000, 1000, 807])
    expect(call.reply).toMatchObject({ status: 401, details: 'Failed_to_get_access_token_due_to_HTTP_request_failure' })
  })

  it.each(['overflow', 'no-cluster', 'no-healthy-upstream', 'too-large'] as const)('does not try again after %s', reason => {
    const config = { tokenEndpoint: { ...CONFIG.tokenEndpoint, retries: 1 } }
    const jar = new Jar()
    const state = login(jar, config).searchParams.get('state')!
    const { call } = ask(`/callback?code=1&state=${state}`, jar, {}, config)
    world.http.shift()!.answer({ kind: 'failure', reason, message: 'no' })
    expect(call.reply).toMatchObject({ status: 401 })
  })

  it('puts nothing that the client wrote into a Set-Cookie: the id of a login is the one that its token was signed for', () => {
    const jar = new Jar()
    const state = decodeState(login(jar).searchParams.get('state')!)!
    for (const [name] of jar.held) if (name.includes('.')) jar.held.delete(name)
    for (const flowId of ['x\r\nset-cookie: a=b', `${state.flowId}0`]) {
      const text = JSON.stringify({ url: state.url, csrf_token: state.csrfToken, flow_id: flowId })
      const { call } = ask(`/callback?error=e&state=${Buffer.from(text).toString('base64url')}`, jar)
      expect(call.reply).toMatchObject({ status: 401 })
      expect(call.reply!.headers?.getAll('set-cookie') ?? []).toEqual([])
    }
    for (const url of ['https://a.test/\0', 'https://a.test/\x7f', 'https://a\x01.test/', 'https://a.test/#\x01']) {
      const text = JSON.stringify({ url, csrf_token: state.csrfToken, flow_id: state.flowId })
      const { call } = ask(`/callback?code=1&state=${Buffer.from(text).toString('base64url')}`, jar)
      expect(call.reply!.details, url).toBe('State_url_can_not_be_initialized')
    }
    const text = JSON.stringify({ url: 'https://a.test/à', csrf_token: state.csrfToken, flow_id: state.flowId })
    expect(ask(`/callback?code=1&state=${Buffer.from(text).toString('base64url')}`, jar).call.reply).toBeNull()
  })
})

describe('a session', () => {
  it('that was changed, ended or signed for another host is none', () => {
    const jar = new Jar()
    logIn(jar)
    jar.held.delete('RefreshToken')
    // The refresh token is signed too.
    expect(ask('/x', jar).status).toBe('stop')
    const whole = new Jar()
    logIn(whole, { access_token: 'access', expires_in: 60 })
    expect(ask('/x', whole).status).toBe('continue')
    whole.held.set('OauthExpires', '99999999999')
    expect(ask('/x', whole).status).toBe('stop')
    const late = new Jar()
    logIn(late, { access_token: 'access', expires_in: 60 })
    world.wallMs += 61_000
    expect(ask('/x', late).call.reply).toMatchObject({ status: 302 })
  })

  it('is renewed by its refresh token, for the request and for the browser', () => {
    const jar = new Jar()
    logIn(jar)
    world.wallMs += 3_601_000
    const { call, filter, status } = ask('/x', jar)
    expect(status).toBe('stop')
    expect(world.http[0]!.request.body!.toString()).toBe(
      'grant_type=refresh_token&refresh_token=refresh&client_id=client&client_secret=se%26cret',
    )
    answerToken({ access_token: 'newer', expires_in: 60 })
    expect([call.resumed, call.request.headers.get('authorization')]).toEqual([1, 'Bearer newer'])
    expect(call.request.headers.get('cookie')).toBe('BearerToken=newer; IdToken=id')
    const head = responseHead()
    filter.responseHead!(call, head, true, false)
    jar.take(head.headers)
    expect(ask('/x', jar).status).toBe('continue')
    expect(world.counter('http.in.oauth_refreshtoken_success')).toBe(1)
  })

  it('whose tokens come twice is that of the first: nobody sees the others', () => {
    for (const encryptsTokens of [true, false]) {
      const jar = new Jar()
      logIn(jar, TOKENS, { encryptsTokens })
      const cookie = `${jar.header['cookie']}; BearerToken=forged; IdToken=forged; a=1; a=2`
      const { call, status } = ask('/x', new Jar(), { cookie }, { encryptsTokens })
      expect([status, call.request.headers.get('cookie')]).toEqual(['continue', 'BearerToken=access; IdToken=id; a=1; a=2'])
    }
  })

  it('that is renewed has no token that was not ours', () => {
    const jar = new Jar()
    logIn(jar)
    const refreshToken = jar.held.get('RefreshToken')!
    const { call, filter } = ask('/x', new Jar(), { cookie: `RefreshToken=${refreshToken}; IdToken=forged; BearerToken=forged` })
    answerToken({ access_token: 'newer', expires_in: 60 })
    expect([call.resumed, call.request.headers.get('cookie')]).toEqual([1, 'BearerToken=newer'])
    const head = responseHead()
    filter.responseHead!(call, head, true, false)
    expect(head.headers.getAll('set-cookie').filter(field => field.startsWith('IdToken'))).toEqual([
      'IdToken=deleted; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT',
    ])
  })

  it('that cannot be renewed begins anew, is refused, or goes on as nobody', () => {
    const jar = new Jar()
    logIn(jar)
    world.wallMs += 3_601_000
    const outcome = (headers: Record<string, string>) => {
      const { call } = ask('/x', jar, headers)
      answerToken('no', 400)
      return call
    }
    expect(outcome({}).reply).toMatchObject({ status: 302, details: 'oauth.missing_credentials' })
    expect(outcome({ 'x-ajax': '1' }).reply).toMatchObject({ status: 401 })
    const nobody = outcome({ 'x-allow': '1' })
    expect([nobody.resumed, nobody.request.headers.get('x-envoy-oauth-status'), nobody.request.headers.has('cookie')]).toEqual([
      1,
      'failed',
      false,
    ])
    expect(world.counter('http.in.oauth_refreshtoken_failure')).toBe(3)
  })

  it('ends at the sign-out path, at the provider too where it has an end of sessions', () => {
    const jar = new Jar()
    logIn(jar)
    const out = ask('/signout?x', jar).call.reply!
    expect([out.status, out.details, out.headers!.get('location')]).toEqual([302, 'oauth.sign_out', 'https://a.test/'])
    const away = ask(
      '/signout',
      jar,
      {},
      { endSessionEndpoint: 'https://auth.test/end', postLogoutRedirect: 'https://%REQ(:authority)%/bye' },
    )
    expect(away.call.reply!.headers!.get('location')).toBe(
      'https://auth.test/end?id_token_hint=id&client_id=client&post_logout_redirect_uri=https%3A%2F%2Fa.test%2Fbye',
    )
    jar.take(out.headers)
    expect(jar.held.size).toBe(0)
  })
})

describe('without a session', () => {
  it('passes what pass_through_matcher names untouched, refuses what may not be redirected, lets through what may fail', () => {
    const passed = ask('/x', new Jar(), { 'x-pass': '1', authorization: 'a' })
    expect([passed.status, passed.call.request.headers.get('authorization')]).toEqual(['continue', 'a'])
    expect(ask('/x', new Jar(), { 'x-ajax': '1' }).call.reply).toMatchObject({ status: 401 })
    const { call, status } = ask('/x', new Jar(), { 'x-allow': '1', cookie: 'BearerToken=forged; a=b' })
    expect([status, call.request.headers.get('cookie'), call.request.headers.get('x-envoy-oauth-status')]).toEqual([
      'continue',
      'a=b',
      'failed',
    ])
  })

  it('answers 503 until its secrets are there, and follows them', () => {
    const ref = { name: 'later', source: { kind: 'ads' as const }, initialFetchTimeoutMs: 0 }
    const config = { ...CONFIG, hmacSecret: ref }
    const factory = world.factory({ kind: 'oauth2', config })
    const once = () => {
      const call = new FakeCall(requestHead({ path: '/x', scheme: 'https', authority: 'a.test' }))
      runHead(factory, call)
      return call.reply!.status
    }
    expect(once()).toBe(503)
    // Anybody could sign with none.
    world.secrets.setSecret(ref, { name: 'later', kind: 'generic', secret: { kind: 'inline', text: '' } })
    expect(once()).toBe(503)
    world.secrets.setSecret(ref, { name: 'later', kind: 'generic', secret: { kind: 'inline', text: 'k' } })
    expect(once()).toBe(302)
  })

  it('sends nobody to a host that is not allowed', () => {
    const { call } = ask('/x', new Jar(), {}, { allowedRedirectDomains: ['*.ok.test'] })
    expect(call.reply).toMatchObject({ status: 401 })
    expect(
      ['https://a.ok.test/x', 'http://A.OK.test:8080', 'https://ok.test', 'https://evil.test/.ok.test'].map(url =>
        isAllowedHost(url, ['*.ok.test']),
      ),
    ).toEqual([true, true, false, false])
    expect(isAllowedHost('https://user@a.ok.test/', ['*.ok.test'])).toBe(false)
    // To a browser that is evil.test.
    expect(isAllowedHost('https://evil.test\\.ok.test/', ['*.ok.test'])).toBe(false)
  })
})

describe('what is signed and encrypted', () => {
  it('reads what was encrypted under the same secret, and nothing else', () => {
    const encrypted = encryptToken('token', 'k')
    expect([decryptToken(encrypted, 'k'), encryptToken('token', 'k') === encrypted]).toEqual(['token', false])
    for (const other of [decryptToken(encrypted, 'other'), decryptToken('plain', 'k'), decryptToken('', 'k')])
      expect(other).not.toBe('token')
  })

  it('takes the older form of a signature too', () => {
    const session = { domain: 'd', expires: '1', accessToken: 'a', idToken: '', refreshToken: '' }
    const signature = signSession(session, 'k')
    const older = Buffer.from(Buffer.from(signature, 'base64').toString('hex')).toString('base64')
    expect([
      isSigned(session, signature, 'k'),
      isSigned(session, older, 'k'),
      isSigned({ ...session, expires: '2' }, signature, 'k'),
    ]).toEqual([true, true, false])
  })
})
