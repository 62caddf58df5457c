import { describe, expect, it } from 'vitest'
import type { CorsPolicy, CsrfPolicy } from '../../../src/model/http-filter.js'
import { ALWAYS, FakeCall, FakeEnvironment, NEVER, requestHead, responseHead, runHead } from './fake-call.js'

const exact = (value: string) => ({ kind: 'exact' as const, value, ignoreCase: false })

function cors(fields: Partial<CorsPolicy> = {}) {
  const config: CorsPolicy = {
    allowOrigin: [exact('https://shop.example')],
    allowMethods: 'GET, PUT',
    allowHeaders: 'x-a',
    exposeHeaders: 'x-b',
    maxAge: '600',
    allowCredentials: true,
    allowPrivateNetworkAccess: false,
    enabled: ALWAYS,
    shadowEnabled: null,
    forwardNotMatchingPreflights: true,
    ...fields,
  }
  return { overrides: { f: { disabled: false, kind: 'cors' as const, config } } }
}

describe('cors filter', () => {
  const origin = { origin: 'https://shop.example' }
  const preflight = { ...origin, 'access-control-request-method': 'PUT' }

  it('marks the answer to an allowed origin', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead({}, origin), undefined, cors())
    const { filter, status } = runHead(world.factory({ kind: 'cors' }), call)
    expect(status).toBe('continue')
    const head = responseHead()
    filter!.responseHead!(call, head, true, false)
    expect(
      ['access-control-allow-origin', 'access-control-allow-credentials', 'access-control-expose-headers'].map(name =>
        head.headers.get(name),
      ),
    ).toEqual(['https://shop.example', 'true', 'x-b'])
    expect(world.counter('http.in.cors.origin_valid')).toBe(1)
  })

  it('answers preflights itself', () => {
    const call = new FakeCall(requestHead({ method: 'OPTIONS' }, preflight), undefined, cors())
    runHead(new FakeEnvironment().factory({ kind: 'cors' }), call)
    expect(call.reply).toMatchObject({ status: 200, body: '', details: 'cors_response' })
    expect(call.reply?.headers?.get('access-control-allow-methods')).toBe('GET, PUT')
    expect(call.reply?.headers?.get('access-control-max-age')).toBe('600')
  })

  it.each(['https://shop.example.evil', 'null', 'HTTPS://SHOP.EXAMPLE', 'http://shop.example'])('gives %s no marks', value => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead({}, { origin: value }), undefined, cors())
    const { filter, status } = runHead(world.factory({ kind: 'cors' }), call)
    const head = responseHead()
    filter!.responseHead!(call, head, true, false)
    expect([status, head.headers.has('access-control-allow-origin')]).toEqual(['continue', false])
    expect(world.counter('http.in.cors.origin_invalid')).toBe(1)
  })

  it('does nothing without a policy, an origin, or when off', () => {
    const factory = new FakeEnvironment().factory({ kind: 'cors' })
    expect(runHead(factory, new FakeCall(requestHead({}, origin))).filter).toBeNull()
    expect(runHead(factory, new FakeCall(requestHead(), undefined, cors())).filter).toBeNull()
    expect(runHead(factory, new FakeCall(requestHead({}, origin), undefined, cors({ enabled: NEVER }))).filter).toBeNull()
  })

  it('takes from the virtual host what the route leaves unset, and whether it is on from the route alone', () => {
    const unset = { allowMethods: '', allowOrigin: [], allowCredentials: null, forwardNotMatchingPreflights: null }
    const call = new FakeCall(requestHead({ method: 'OPTIONS' }, preflight), undefined, cors({ ...unset, maxAge: '7' }))
    call.generalOverrides = [cors({ enabled: NEVER }).overrides.f]
    const { filter } = runHead(new FakeEnvironment().factory({ kind: 'cors' }), call)
    expect(call.reply?.headers?.get('access-control-allow-methods')).toBe('GET, PUT')
    expect(call.reply?.headers?.get('access-control-max-age')).toBe('7')
    const head = responseHead()
    filter!.responseHead!(call, head, true, false)
    expect(head.headers.get('access-control-allow-credentials')).toBe('true')
  })

  it('an asterisk for methods and header names is what the browser asks for', () => {
    const asked = { ...preflight, 'access-control-request-headers': 'x-q,x-r' }
    const call = new FakeCall(requestHead({ method: 'OPTIONS' }, asked), undefined, cors({ allowMethods: '*', allowHeaders: '*' }))
    runHead(new FakeEnvironment().factory({ kind: 'cors' }), call)
    expect(call.reply?.headers?.get('access-control-allow-methods')).toBe('PUT')
    expect(call.reply?.headers?.get('access-control-allow-headers')).toBe('x-q,x-r')
  })

  it('answers a preflight of another origin without allowing it where it is not forwarded', () => {
    const call = new FakeCall(
      requestHead({ method: 'OPTIONS' }, { ...preflight, origin: 'https://evil' }),
      undefined,
      cors({ forwardNotMatchingPreflights: false }),
    )
    runHead(new FakeEnvironment().factory({ kind: 'cors' }), call)
    expect(call.reply!.status).toBe(200)
    expect(call.reply!.headers!.has('access-control-allow-origin')).toBe(false)
  })
})

describe('csrf filter', () => {
  const filter = (fields: Partial<CsrfPolicy> = {}) => ({
    kind: 'csrf',
    config: { enabled: ALWAYS, shadowEnabled: null, additionalOrigins: [exact('cdn.example')], ...fields },
  })
  const run = (headers: Record<string, string>, method = 'POST', fields: Partial<CsrfPolicy> = {}) => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead({ method }, headers))
    runHead(world.factory(filter(fields)), call)
    return { call, world }
  }

  it.each([[{ origin: 'http://api.example' }], [{ origin: 'https://cdn.example' }], [{ referer: 'http://api.example/page?x' }]])(
    'passes %j',
    headers => {
      expect(run(headers as Record<string, string>).call.reply).toBeNull()
    },
  )

  it.each([
    [{}],
    [{ origin: 'null' }],
    [{ origin: 'http://api.example.evil' }],
    [{ origin: 'http://evil', referer: 'http://api.example/' }],
    [{ origin: 'http://evil#@api.example' }],
  ])('refuses %j', headers => {
    expect(run(headers as Record<string, string>).call.reply).toMatchObject({
      status: 403,
      body: 'Invalid origin',
      details: 'csrf_origin_mismatch',
    })
  })

  // As the real Envoy counted them.
  it.each([
    [{}, 'missing_source_origin'],
    [{ referer: 'http://' }, 'missing_source_origin'],
    [{ origin: 'null', referer: 'http://api.example/' }, 'missing_source_origin'],
    [{ origin: 'http://evil' }, 'request_invalid'],
    [{ referer: '/page' }, 'request_invalid'],
  ])('counts %j as %s alone', (headers, counter) => {
    const { call, world } = run(headers as Record<string, string>)
    const counted = ['missing_source_origin', 'request_invalid', 'request_valid'].filter(name => world.counter(`http.in.csrf.${name}`) > 0)
    expect([call.reply?.status, counted]).toEqual([403, [counter]])
  })

  it('lets safe methods be, and only counts in the shadow', () => {
    expect(run({ origin: 'http://evil' }, 'GET').call.reply).toBeNull()
    const { call, world } = run({ origin: 'http://evil' }, 'PUT', { enabled: NEVER, shadowEnabled: ALWAYS })
    expect(call.reply).toBeNull()
    expect(world.counter('http.in.csrf.request_invalid')).toBe(1)
  })
})
