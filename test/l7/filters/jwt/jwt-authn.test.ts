import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { CompactSign, exportJWK } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import type { JwtProvider, JwtRequirement } from '../../../../src/model/http-filter.js'
import { hasOpenssl, selfSigned } from '../../../support/self-signed.js'
import { FakeCall, FakeEnvironment, requestHead, runHead } from '../fake-call.js'

const NOW = 1_700_000_000
let privateKey: KeyObject
let otherKey: KeyObject
let jwks: string
let publicPem: string

beforeAll(async () => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  privateKey = pair.privateKey
  publicPem = pair.publicKey.export({ type: 'spki', format: 'pem' }) as string
  otherKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  jwks = JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'k1', alg: 'ES256' }] })
})

function sign(claims: Record<string, unknown>, header: Record<string, unknown> = {}, key: KeyObject = privateKey): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify({ iss: 'okta', exp: NOW + 600, ...claims })))
    .setProtectedHeader({ alg: 'ES256', kid: 'k1', ...header })
    .sign(key)
}

function provider(fields: Partial<JwtProvider> = {}): JwtProvider {
  return {
    name: 'okta',
    issuer: 'okta',
    audiences: [],
    subjects: null,
    requireExpiration: false,
    maxLifetimeMs: null,
    forward: false,
    forwardPayloadHeader: '',
    padForwardPayloadHeader: false,
    payloadInMetadata: '',
    spaceDelimitedClaims: [],
    headerInMetadata: '',
    failedStatusInMetadata: '',
    fromHeaders: [],
    fromParams: [],
    fromCookies: [],
    clockSkewSeconds: 60,
    claimToHeaders: [],
    clearRouteCache: false,
    jwks: { kind: 'local', source: { kind: 'inline', text: jwks } },
    cacheSize: 0,
    ...fields,
  }
}

const REMOTE = {
  kind: 'remote' as const,
  uri: 'https://idp.example:8443/keys?v=1',
  cluster: 'idp',
  timeoutMs: 5000,
  cacheMs: 600_000,
  asyncFetch: false,
  failedRefetchMs: 1000,
  retries: 0,
  retryBaseMs: 1000,
  retryMaxMs: 10_000,
}

const OKTA: JwtRequirement = { kind: 'provider', provider: 'okta', audiences: [] }

function filter(requires: JwtRequirement = OKTA, providers: readonly JwtProvider[] = [provider()], fields: Record<string, unknown> = {}) {
  return {
    kind: 'jwtAuthn',
    config: {
      providers: new Map(providers.map(one => [one.name, one])),
      rules: [
        {
          match: {
            path: { kind: 'prefix', value: '/', caseSensitive: true },
            headers: [],
            queryParameters: [],
            cookies: [],
            runtimeFraction: null,
            grpc: false,
            tlsContext: null,
            dynamicMetadata: [],
          },
          requires,
        },
      ],
      requirementMap: new Map<string, JwtRequirement>([['open', { kind: 'none' }]]),
      bypassCorsPreflight: false,
      stripFailureResponse: false,
      statPrefix: '',
      ...fields,
    },
  }
}

async function run(
  world: FakeEnvironment,
  spec: ReturnType<typeof filter>,
  headers: Record<string, string>,
  path = '/x',
): Promise<FakeCall> {
  const call = new FakeCall(requestHead({ path }, headers))
  if (runHead(world.factory(spec), call).status === 'continue') call.resume()
  await call.decided
  return call
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

describe('jwt_authn filter', () => {
  it('passes a good token and takes it off the request', async () => {
    const world = new FakeEnvironment()
    const call = await run(world, filter(), bearer(await sign({})))
    expect(call.reply).toBeNull()
    expect(call.resumed).toBe(1)
    expect(call.request.headers.has('authorization')).toBe(false)
    expect(world.counter('http.in.jwt_authn.allowed')).toBe(1)
  })

  it('answers a missing token with 401 and a plain challenge', async () => {
    const world = new FakeEnvironment()
    const call = await run(world, filter(), {})
    expect(call.reply).toMatchObject({ status: 401, body: 'Jwt is missing', details: 'jwt_authn_access_denied{Jwt_is_missing}' })
    expect(call.reply?.headers?.get('www-authenticate')).toBe('Bearer realm="http://api.example/x"')
    expect(world.counter('http.in.jwt_authn.denied')).toBe(1)
  })

  it.each([
    ['expired', { exp: NOW - 61 }, 'Jwt is expired', 401],
    ['not yet valid', { nbf: NOW + 61 }, 'Jwt not yet valid', 401],
    ['of another issuer', { iss: 'evil' }, 'Jwt issuer is not configured', 401],
    ['with an exp that is a string', { exp: 'soon' }, 'Jwt payload [exp] field is not an integer', 401],
  ])('refuses a token that is %s', async (_what, claims, text, status) => {
    const call = await run(new FakeEnvironment(), filter(), bearer(await sign(claims)))
    expect(call.reply).toMatchObject({ status, body: text })
    expect(call.reply?.headers?.get('www-authenticate')).toContain('error="invalid_token"')
  })

  it('allows the configured clock skew', async () => {
    expect((await run(new FakeEnvironment(), filter(), bearer(await sign({ exp: NOW - 59 })))).resumed).toBe(1)
  })

  it('answers a wrong audience with 403, and compares audiences without scheme and slash', async () => {
    const providers = [provider({ audiences: ['https://api/'] })]
    expect((await run(new FakeEnvironment(), filter(OKTA, providers), bearer(await sign({ aud: 'api' })))).resumed).toBe(1)
    const call = await run(new FakeEnvironment(), filter(OKTA, providers), bearer(await sign({ aud: ['other'] })))
    expect(call.reply).toMatchObject({ status: 403, body: 'Audiences in Jwt are not allowed' })
  })

  it('refuses a bad signature, an unknown key id, and tokens that are none', async () => {
    expect((await run(new FakeEnvironment(), filter(), bearer(await sign({}, {}, otherKey)))).reply?.body).toBe('Jwt verification fails')
    expect((await run(new FakeEnvironment(), filter(), bearer(await sign({}, { kid: 'k2' })))).reply?.body).toContain('match kid or alg')
    expect((await run(new FakeEnvironment(), filter(), bearer('a.b'))).reply?.body).toContain('two dots')
  })

  it('CVE-2015-9235 class: neither `none` nor a public key as HMAC secret is accepted', async () => {
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"iss":"okta"}').toString('base64url')}.AA`
    expect((await run(new FakeEnvironment(), filter(), bearer(none))).reply?.body).toBe('Jwt header [alg] is not supported')
    const keyless = JSON.stringify({ keys: [JSON.parse(jwks).keys[0]].map(({ alg: _alg, kid: _kid, ...key }) => key) })
    const confused = await new CompactSign(Buffer.from(JSON.stringify({ iss: 'okta' })))
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(publicPem))
    const call = await run(
      new FakeEnvironment(),
      filter(OKTA, [provider({ jwks: { kind: 'local', source: { kind: 'inline', text: keyless } } })]),
      bearer(confused),
    )
    expect(call.reply?.status).toBe(401)
  })

  it.skipIf(!hasOpenssl)('takes keys as `{kid: PEM}` of certificates, by the id of each, and nothing else in that form', async () => {
    const { cert, key } = selfSigned('rsa:2048')
    const read = (document: object) => [provider({ jwks: { kind: 'local', source: { kind: 'inline', text: JSON.stringify(document) } } })]
    const ask = async (document: object, kid: string) => {
      const token = await new CompactSign(Buffer.from(JSON.stringify({ iss: 'okta', exp: NOW + 600 })))
        .setProtectedHeader({ alg: 'RS256', kid })
        .sign(createPrivateKey(key))
      const call = await run(new FakeEnvironment(), filter(OKTA, read(document)), bearer(token))
      return call.reply?.status ?? 'passes'
    }
    expect(await ask({ other: cert, mine: cert }, 'mine')).toBe('passes')
    expect(await ask({ other: cert }, 'mine')).toBe(401)
    expect(await ask({ mine: publicPem }, 'mine')).toBe(401)
    expect(await ask({ mine: '-----BEGIN CERTIFICATE-----' }, 'mine')).toBe(401)
  })

  it('CVE-2022-36083 class: a token with an unknown critical extension is refused', async () => {
    const head = Buffer.from('{"alg":"ES256","kid":"k1","crit":["x"],"x":1}').toString('base64url')
    const good = await sign({})
    const call = await run(new FakeEnvironment(), filter(), bearer(`${head}.${good.split('.').slice(1).join('.')}`))
    expect(call.reply?.status).toBe(401)
  })

  it('finds tokens in parameters, cookies and headers of any prefix, and removes a parameter', async () => {
    const token = await sign({})
    const byDefault = await run(new FakeEnvironment(), filter(), {}, `/x?a=1&access_token=${token}&b=2`)
    expect(byDefault.request.path).toBe('/x?a=1&b=2')
    const providers = [provider({ fromHeaders: [{ name: 'x-jwt', valuePrefix: 'jwt ' }], fromCookies: ['session'] })]
    expect((await run(new FakeEnvironment(), filter(OKTA, providers), { 'x-jwt': `jwt ${token}` })).resumed).toBe(1)
    expect((await run(new FakeEnvironment(), filter(OKTA, providers), { cookie: `a=b; session=${token}` })).resumed).toBe(1)
    expect((await run(new FakeEnvironment(), filter(OKTA, providers), bearer(token))).reply?.body).toBe('Jwt is missing')
  })

  it('writes payload, header and claims where the provider says, and never lets a client write them', async () => {
    const providers = [
      provider({
        forward: true,
        payloadInMetadata: 'jwt_payload_okta',
        headerInMetadata: 'jwt_header',
        forwardPayloadHeader: 'x-payload',
        padForwardPayloadHeader: true,
        claimToHeaders: [
          { headerName: 'x-role', claimName: 'nested.role' },
          { headerName: 'x-none', claimName: 'missing' },
        ],
        clearRouteCache: true,
      }),
    ]
    const token = await sign({ nested: { role: 'admin' } })
    const call = await run(new FakeEnvironment(), filter(OKTA, providers), {
      ...bearer(token),
      'x-role': 'forged',
      'x-none': 'forged',
      'x-payload': 'forged',
    })
    expect(call.request.headers.getAll('x-role')).toEqual(['admin'])
    expect(call.request.headers.has('x-none')).toBe(false)
    const [payload] = call.request.headers.getAll('x-payload')
    expect(payload!.length % 4).toBe(0)
    expect(payload!.replace(/=+$/, '')).toBe(token.split('.')[1])
    expect(call.request.headers.get('authorization')).toBe(`Bearer ${token}`)
    expect(call.info.dynamicMetadata('envoy.filters.http.jwt_authn')).toMatchObject({
      jwt_payload_okta: { iss: 'okta', nested: { role: 'admin' } },
      jwt_header: { alg: 'ES256' },
    })
    expect(call.routeCleared).toBe(1)
  })

  it("Consul's requires_any with allow_missing_or_failed never refuses, and keeps the payload of a good token", async () => {
    const requires: JwtRequirement = { kind: 'any', requirements: [OKTA, { kind: 'allowMissingOrFailed' }] }
    const providers = [provider({ payloadInMetadata: 'jwt_payload_okta' })]
    for (const headers of [{}, bearer('junk'), bearer(await sign({}, {}, otherKey))]) {
      const call = await run(new FakeEnvironment(), filter(requires, providers), headers)
      expect(call.resumed).toBe(1)
      expect(call.info.dynamicMetadata('envoy.filters.http.jwt_authn')?.['jwt_payload_okta']).toBeUndefined()
    }
    const good = await run(new FakeEnvironment(), filter(requires, providers), bearer(await sign({})))
    expect(good.info.dynamicMetadata('envoy.filters.http.jwt_authn')?.['jwt_payload_okta']).toMatchObject({ iss: 'okta' })
  })

  it('allow_missing passes no token but refuses a bad one', async () => {
    const requires: JwtRequirement = { kind: 'any', requirements: [{ kind: 'allowMissing' }, OKTA] }
    expect((await run(new FakeEnvironment(), filter(requires), {})).resumed).toBe(1)
    expect((await run(new FakeEnvironment(), filter(requires), bearer(await sign({ exp: 1 })))).reply?.body).toBe('Jwt is expired')
  })

  it('requires all of several providers', async () => {
    const second = provider({ name: 'two', issuer: 'two', fromHeaders: [{ name: 'x-two', valuePrefix: '' }] })
    const requires: JwtRequirement = { kind: 'all', requirements: [OKTA, { kind: 'provider', provider: 'two', audiences: [] }] }
    const token = await sign({})
    expect((await run(new FakeEnvironment(), filter(requires, [provider(), second]), bearer(token))).reply?.status).toBe(401)
    const call = await run(new FakeEnvironment(), filter(requires, [provider(), second]), {
      ...bearer(token),
      'x-two': await sign({ iss: 'two' }),
    })
    expect(call.resumed).toBe(1)
  })

  it('fetches remote keys once for concurrent requests and keeps them for the cache time', async () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter(OKTA, [provider({ jwks: REMOTE })]))
    const token = await sign({})
    const calls = [1, 2].map(() => new FakeCall(requestHead({}, bearer(token))))
    for (const call of calls) expect(runHead(factory, call).status).toBe('stop')
    expect(world.http).toHaveLength(1)
    expect(world.http[0]).toMatchObject({ cluster: 'idp', request: { method: 'GET', path: '/keys?v=1', authority: 'idp.example:8443' } })
    world.http[0]!.answer({ kind: 'response', status: 200, headers: new HeaderList(), body: Buffer.from(jwks), trailers: null })
    for (const call of calls) {
      await call.decided
      expect(call.resumed).toBe(1)
    }
    const third = new FakeCall(requestHead({}, bearer(token)))
    runHead(factory, third)
    await third.decided
    expect(world.http).toHaveLength(1)
    world.clock.advance(600_001)
    runHead(factory, new FakeCall(requestHead({}, bearer(token))))
    expect(world.http).toHaveLength(2)
    expect(world.counter('http.in.jwt_authn.jwks_fetch_success')).toBe(1)
  })

  it('refuses while keys cannot be fetched, after the configured retries', async () => {
    const world = new FakeEnvironment()
    world.randomValue = 0.5
    const factory = world.factory(filter(OKTA, [provider({ jwks: { ...REMOTE, retries: 1 } })]))
    const call = new FakeCall(requestHead({}, bearer(await sign({}))))
    runHead(factory, call)
    world.http[0]!.answer({ kind: 'failure', reason: 'reset', message: 'x' })
    world.clock.advance(500)
    expect(world.http).toHaveLength(2)
    world.http[1]!.answer({ kind: 'response', status: 500, headers: new HeaderList(), body: Buffer.alloc(0), trailers: null })
    await call.decided
    expect(call.reply).toMatchObject({ status: 401, body: 'Jwks remote fetch is failed' })
    expect(world.counter('http.in.jwt_authn.jwks_fetch_failed')).toBe(1)
  })

  it('async fetch asks at once, again after a failure, and keeps old keys while a refetch fails', async () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter(OKTA, [provider({ jwks: { ...REMOTE, asyncFetch: true } })]))
    expect(world.http).toHaveLength(1)
    world.http[0]!.answer({ kind: 'failure', reason: 'timeout', message: '' })
    world.clock.advance(1000)
    expect(world.http).toHaveLength(2)
    world.http[1]!.answer({ kind: 'response', status: 200, headers: new HeaderList(), body: Buffer.from(jwks), trailers: null })
    world.clock.advance(595_000)
    expect(world.http).toHaveLength(3)
    world.http[2]!.answer({ kind: 'failure', reason: 'timeout', message: '' })
    const call = new FakeCall(requestHead({}, bearer(await sign({}))))
    runHead(factory, call)
    await call.decided
    expect(call.resumed).toBe(1)
  })

  it('answers from the token cache without waiting, but still looks at the clock', async () => {
    const world = new FakeEnvironment()
    const factory = world.factory(filter(OKTA, [provider({ cacheSize: 2 })]))
    const headers = bearer(await sign({}))
    const first = new FakeCall(requestHead({}, headers))
    expect(runHead(factory, first).status).toBe('stop')
    await first.decided
    expect(runHead(factory, new FakeCall(requestHead({}, headers))).status).toBe('continue')
    expect(world.counter('http.in.jwt_authn.jwt_cache_hit')).toBe(1)
    world.wallMs += 700_000
    const late = new FakeCall(requestHead({}, headers))
    runHead(factory, late)
    expect(late.reply?.body).toBe('Jwt is expired')
  })

  it('lets CORS preflights pass where asked, and honours the requirement of the route', async () => {
    const world = new FakeEnvironment()
    const spec = filter(OKTA, [provider()], { bypassCorsPreflight: true })
    const preflight = new FakeCall(requestHead({ method: 'OPTIONS' }, { origin: 'https://a', 'access-control-request-method': 'PUT' }))
    expect(runHead(world.factory(spec), preflight).status).toBe('continue')
    expect(world.counter('http.in.jwt_authn.cors_preflight_bypassed')).toBe(1)
    const open = new FakeCall(requestHead(), undefined, {
      overrides: { f: { disabled: false, kind: 'jwtAuthn', requirementName: 'open' } },
    })
    expect(runHead(world.factory(spec), open).status).toBe('continue')
    const wrong = new FakeCall(requestHead(), undefined, {
      overrides: { f: { disabled: false, kind: 'jwtAuthn', requirementName: 'nope' } },
    })
    runHead(world.factory(spec), wrong)
    expect(wrong.reply?.status).toBe(403)
  })

  it('strips the reason where asked', async () => {
    const call = await run(new FakeEnvironment(), filter(OKTA, [provider()], { stripFailureResponse: true }), {})
    expect(call.reply).toMatchObject({ status: 401, body: '', headers: null })
  })

  it('does nothing to a request that ended while its token was verified', async () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead({}, bearer(await sign({}))))
    const factory = world.factory(filter())
    runHead(factory, call)
    call.ended = true
    // Later requests are verified after it.
    for (let i = 0; i < 5; i++) {
      const later = new FakeCall(requestHead({}, bearer(await sign({}))))
      runHead(factory, later)
      await later.decided
    }
    expect(call.resumed).toBe(0)
    expect(call.reply).toBeNull()
  })
})
