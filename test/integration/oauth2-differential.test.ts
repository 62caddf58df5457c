// oauth2 and credential_injector in the real Envoy and in Outrigger, beside one small authorization server: the same logins, renewals,
// refusals and sign-outs, with cookies, token requests and forwarded requests compared, and each proxy's session shown to the other. Needs
// ENVOY_BIN; skipped by name elsewhere.
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Answer, envoyBin, exchange, type Peer, startPair } from '../support/envoy-pair.js'
import { hcm, listener, router, staticCluster, stopAll, typed } from '../support/proxy-process.js'

const encoded = (value: object | string): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const ID_TOKEN = [encoded({ alg: 'RS256' }), encoded({ exp: 4_000_000_000 }), encoded('x')].join('.')
const asked: string[] = []

function serve(answer: (incoming: IncomingMessage, body: string) => { status: number; body: string }): Promise<Server> {
  const server = createServer((incoming, response) => {
    let body = ''
    incoming.on('data', chunk => (body += chunk))
    incoming.on('end', () => {
      const { status, body: text } = answer(incoming, body)
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(text)
    })
  })
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)))
}

/** The token endpoint: the code says what it answers. */
function tokenAnswer({ method, url, headers }: IncomingMessage, body: string): { status: number; body: string } {
  const { host, authorization = '', accept, 'content-type': type } = headers
  asked.push([method, url, host, authorization, accept, type, body.replace(/code_verifier=[\w-]{43}$/, 'code_verifier=*')].join(' '))
  if (/code=bad|refresh_token=gone/.test(body)) return { status: 400, body: 'no' }
  if (body.includes('code=nojson')) return { status: 200, body: 'no' }
  if (body.includes('code=noexp')) return { status: 200, body: '{"access_token":"a"}' }
  const tokens = {
    access_token: `acc+ess/=${body.includes('refresh') ? 2 : 1}`,
    expires_in: 3600,
    refresh_token: 'ref1',
    id_token: ID_TOKEN,
  }
  return { status: 200, body: JSON.stringify(tokens) }
}

function bootstrap(port: number, origin: number, tokens: number): object {
  const secret = (name: string): object => ({ name })
  const base = {
    token_endpoint: { cluster: 'oauth', uri: 'http://oauth.test/token?x=1', timeout: '3s' },
    authorization_endpoint: 'http://auth.test/authorize?a=b&client_id=old',
    credentials: { client_id: 'client', token_secret: secret('token'), hmac_secret: secret('hmac') },
    redirect_uri: 'http://%REQ(:authority)%/callback',
    redirect_path_matcher: { path: { exact: '/callback' } },
    signout_path: { path: { exact: '/signout' } },
    forward_bearer_token: true,
    auth_scopes: ['user', 'openid', 'a b'],
    resources: ['http://r/1'],
    pass_through_matcher: [{ name: 'x-pass', present_match: true }],
    deny_redirect_matcher: [{ name: 'x-ajax', present_match: true }],
    allow_failed_matcher: [{ name: 'x-allow', present_match: true }],
  }
  const to = (prefix: string, config: object | null): object => ({
    match: { prefix },
    route: { cluster: 'origin' },
    response_headers_to_add: [{ header: { key: 'x-route', value: '1' } }],
    ...(config === null
      ? {}
      : {
          typed_per_filter_config: {
            'envoy.filters.http.oauth2': {
              '@type': 'type.googleapis.com/envoy.extensions.filters.http.oauth2.v3.OAuth2PerRoute',
              config: { ...base, ...config },
            },
          },
        }),
  })
  const at = (path: string): object => ({
    redirect_path_matcher: { path: { exact: `${path}/callback` } },
    redirect_uri: `http://%REQ(:authority)%${path}/callback`,
    signout_path: { path: { exact: `${path}/signout` } },
  })
  const basic = {
    ...at('/basic'),
    auth_type: 'BASIC_AUTH',
    forward_id_token: { header: 'x-id' },
    preserve_authorization_header: true,
    forward_bearer_token: false,
    stat_prefix: 'own',
    cookie_configs: {
      bearer_token_cookie_config: { same_site: 'LAX', path: '/basic', partitioned: true },
      oauth_nonce_cookie_config: { same_site: 'STRICT' },
    },
    credentials: {
      ...base.credentials,
      cookie_domain: 'a.test',
      cookie_names: { bearer_token: '__Secure-B', oauth_nonce: 'N' },
    },
  }
  const plain = { ...at('/plain'), disable_token_encryption: true, use_refresh_token: false, end_session_endpoint: 'http://auth.test/end' }
  const bye = {
    ...at('/bye'),
    end_session_endpoint: 'http://auth.test/end',
    post_logout_redirect_uri: { uri: 'http://%REQ(:authority)%/bye' },
  }
  const tls = { ...at('/tls'), auth_type: 'TLS_CLIENT_AUTH', disable_id_token_set_cookie: true, disable_refresh_token_set_cookie: true }
  const limited = { ...at('/limited'), allowed_redirect_domains: ['*.ok.test'] }
  const generic = (name: string, value: string): object => ({ name, generic_secret: { secret: { inline_string: value } } })
  return {
    static_resources: {
      secrets: [generic('token', 'se&cret'), generic('hmac', 'hmackey'), generic('credential', 'Zm9v')],
      listeners: [
        listener('in', port, [
          hcm(
            {
              stat_prefix: 'in',
              route_config: {
                virtual_hosts: [
                  {
                    name: 'all',
                    domains: ['*'],
                    routes: [
                      to('/basic', basic),
                      to('/plain', plain),
                      to('/bye', bye),
                      to('/tls', tls),
                      to('/limited', limited),
                      to('/', null),
                    ],
                  },
                ],
              },
            },
            [
              typed('envoy.filters.http.oauth2', 'filters.http.oauth2.v3.OAuth2', { config: base }),
              typed('envoy.filters.http.credential_injector', 'filters.http.credential_injector.v3.CredentialInjector', {
                credential: typed('generic', 'http.injected_credentials.generic.v3.Generic', {
                  credential: secret('credential'),
                  header: 'x-key',
                  header_value_prefix: 'Key ',
                }),
              }),
              router,
            ],
          ),
        ]),
      ],
      clusters: [staticCluster('origin', origin), staticCluster('oauth', tokens)],
    },
  }
}

/** A browser at one proxy. */
class Browser {
  readonly cookies = new Map<string, string>()
  private readonly peer: Peer

  constructor(peer: Peer) {
    this.peer = peer
  }

  async go(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await exchange(this.peer, { path, headers: { ...(cookie === '' ? {} : { cookie }), ...headers } })
    for (const field of (answer.headers['set-cookie'] as string[] | undefined) ?? []) {
      const [pair = ''] = field.split(';')
      const at = pair.indexOf('=')
      if (pair.endsWith('=deleted')) this.cookies.delete(pair.slice(0, at))
      else this.cookies.set(pair.slice(0, at), pair.slice(at + 1))
    }
    return answer
  }

  keep(cookies: ReadonlyMap<string, string>): void {
    this.cookies.clear()
    for (const [name, value] of cookies) this.cookies.set(name, value)
  }

  async begin(path: string): Promise<string> {
    return new URL(String((await this.go(path)).headers['location'])).searchParams.get('state')!
  }

  async logIn(path: string, callback: string): Promise<Answer> {
    return this.go(`${callback}?code=c%2F1&state=${await this.begin(path)}`)
  }
}

/** What is random or a time is replaced by its form. */
function shown({ status, headers, body }: Answer): unknown {
  const text = JSON.stringify({ status, headers, body })
    .replace(/(?<=Nonce|N|CodeVerifier)\.[0-9a-f]{16}(?==)/g, '.*')
    .replace(/[0-9a-f]{16}\.[A-Za-z0-9+/]{43}=/g, '*.*')
    .replace(/(OauthHMAC)=[A-Za-z0-9+/]{43}=/g, '$1=*')
    .replace(/(OauthExpires)=\d{10}/g, '$1=*')
    .replace(/((?:BearerToken|__Secure-B|IdToken|RefreshToken|CodeVerifier(?:\.\*)?))=[\w-]{43,}(?=;)/g, '$1=*')
    .replace(/Max-Age=\d{8,}/g, 'Max-Age=*')
    .replace(/code_challenge=[\w-]{43}/g, 'code_challenge=*')
    .replace(/state=[\w-]+/g, (state: string) => {
      const { url } = JSON.parse(Buffer.from(state.slice(6), 'base64url').toString()) as { url: string }
      return `state=<${url}>`
    })
  const answer = JSON.parse(text) as { body: string; headers: Record<string, string | string[]> }
  // Envoy writes a request's cookies, and those that it deletes, in any order.
  const set = answer.headers['set-cookie']
  if (Array.isArray(set)) set.sort()
  if (answer.body.startsWith('{')) {
    const seen = JSON.parse(answer.body) as { cookie?: string }
    if (seen.cookie !== undefined) seen.cookie = seen.cookie.split('; ').filter(Boolean).sort().join('; ')
    if (seen.cookie === '') delete seen.cookie
    return { ...answer, body: seen, headers: { ...answer.headers, 'content-length': '' } }
  }
  return answer
}

describe.skipIf(envoyBin === undefined)('oauth2 in Envoy and in Outrigger (needs ENVOY_BIN)', () => {
  let servers: Server[] = []
  let pair: { readonly envoy: Peer; readonly ours: Peer }

  beforeAll(async () => {
    const origin = await serve(({ url, headers }) => {
      const {
        authorization,
        cookie,
        'x-id': id,
        'x-key': key,
        'x-envoy-oauth-status': failed,
        'x-envoy-oauth-failure-reason': why,
      } = headers
      return { status: 200, body: JSON.stringify({ url, authorization, cookie, id, key, failed, why }) }
    })
    const tokens = await serve(tokenAnswer)
    servers = [origin, tokens]
    const [a, b] = servers.map(server => (server.address() as AddressInfo).port) as [number, number]
    pair = await startPair(port => bootstrap(port, a, b))
  })

  afterAll(async () => {
    await stopAll()
    for (const server of servers) server.close()
  })

  /** The same steps at both; what each answered, and what it asked the token endpoint. */
  async function both(steps: (browser: Browser) => Promise<Answer[]>): Promise<void> {
    const told: unknown[] = []
    for (const peer of [pair.envoy, pair.ours]) {
      asked.length = 0
      const answers = await steps(new Browser(peer))
      told.push({ answers: answers.map(shown), asked: [...asked] })
    }
    expect(told[1]).toEqual(told[0])
  }

  it.each([
    ['/x?q=1', '/callback'],
    ['/basic/x', '/basic/callback'],
    ['/plain/x', '/plain/callback'],
    ['/tls/x', '/tls/callback'],
  ])('a login at %s, what follows it, and its end', (path, callback) =>
    both(async browser => {
      const first = await browser.go(path)
      const state = new URL(String(first.headers['location'])).searchParams.get('state')!
      const begun = new Map(browser.cookies)
      const answers = [first, await browser.go(`${callback}?code=c%2F1&state=${state}`)]
      const session = new Map(browser.cookies)
      answers.push(await browser.go(path, { authorization: 'Bearer mine', 'x-id': 'forged' }))
      answers.push(await browser.go(`${callback}?code=c1&state=${state}`))
      for (const [name, value] of begun) browser.cookies.set(name, value)
      answers.push(await browser.go(`${callback}?code=c1&state=${state}`))
      for (const code of ['bad', 'nojson', 'noexp']) {
        browser.keep(begun)
        answers.push(await browser.go(`${callback}?code=${code}&state=${state}`))
      }
      browser.keep(session)
      answers.push(await browser.go(callback.replace('callback', 'signout')))
      return answers
    }),
  )

  it('a session that has ended, with and without a way to renew it', () =>
    both(async browser => {
      await browser.logIn('/x', '/callback')
      const session = new Map(browser.cookies)
      const answers: Answer[] = []
      const ended = new Map([...session, ['OauthExpires', '5']])
      browser.keep(ended)
      answers.push(await browser.go('/x'))
      for (const headers of [{}, { 'x-ajax': '1' }, { 'x-allow': '1' }] as Record<string, string>[]) {
        browser.keep(new Map([...ended, ['RefreshToken', 'gone']]))
        answers.push(await browser.go('/x', headers))
      }
      browser.keep(new Map([...session, ['BearerToken', 'forged']]))
      browser.cookies.delete('RefreshToken')
      answers.push(await browser.go('/x'))
      return answers
    }))

  it('what needs no session, and what is refused', () =>
    both(async browser => {
      const answers: Answer[] = []
      for (const [path, headers] of [
        ['/x', { 'x-pass': '1', authorization: 'a', cookie: 'BearerToken=x' }],
        ['/x', { 'x-ajax': '1' }],
        ['/x', { 'x-allow': '1', cookie: 'BearerToken=x; a=b; OauthNonce.1=2', authorization: 'a', 'x-envoy-oauth-status': 'forged' }],
        ['/signout', { cookie: 'OauthNonce.1=2; CodeVerifier=3; a=b' }],
        ['/bye/signout', {}],
        ['/plain/signout', { cookie: 'IdToken=idt' }],
        ['/limited/x', {}],
        ['/x', { 'x-forwarded-proto': 'https' }],
        ['/x', { 'content-type': 'application/grpc', 'x-ajax': '1' }],
        ['/callback?error=e&state=x', {}],
        ['/callback?code=1', {}],
        ['/callback?code=1&state=%%%', {}],
        ['/callback?code=1&state=e30', {}],
      ] as [string, Record<string, string>][]) {
        browser.cookies.clear()
        answers.push(await browser.go(path, headers))
      }
      return answers
    }))

  it("takes the other's session, and the other's login where it was begun", async () => {
    for (const [from, to] of [
      [pair.envoy, pair.ours],
      [pair.ours, pair.envoy],
    ] as const) {
      const one = new Browser(from)
      await one.logIn('/x', '/callback')
      const two = new Browser(to)
      two.keep(one.cookies)
      expect(JSON.parse((await two.go('/x')).body)).toMatchObject({ authorization: 'Bearer acc+ess/=1' })
      const begun = new Browser(from)
      const state = await begun.begin('/x')
      const finished = new Browser(to)
      finished.keep(begun.cookies)
      expect(await finished.go(`/callback?code=c1&state=${state}`)).toMatchObject({ status: 302 })
      expect((await finished.go('/x')).status).toBe(200)
    }
  })

  it('counts the same', async () => {
    const names = ['success', 'failure', 'passthrough', 'unauthorized_rq', 'refreshtoken_success', 'refreshtoken_failure'].flatMap(name => [
      `http.in.oauth_${name}`,
      `own.oauth_${name}`,
      `oauth_${name}`,
    ])
    names.push('http.in.credential_injector.injected', 'http.in.credential_injector.already_exists', 'http.in.credential_injector.failed')
    const [theirs, ours] = await Promise.all([pair.envoy, pair.ours].map(peer => peer.proxy.stats()))
    expect(names.map(name => [name, ours!.get(name)])).toEqual(names.map(name => [name, theirs!.get(name)]))
  })
})
