// The HTTP filters that need no other service, through the real proxy, each by a per-route override: CORS, CSRF, fault injection, local
// rate limit. What the client gets and what reached the application.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Ask, Front, fraction, Lettered, percent, perFilter, to } from '../support/front-proxy.js'
import { http } from '../support/origins.js'
import { staticCluster, stopAll, typed } from '../support/proxy-process.js'

const apps = new Lettered(1)
const app = apps.origins[0]!
let front: Front

// ---- config ----------------------------------------------------------------------------------------------------------------------

const cors = (more: object = {}): object =>
  perFilter('cors', 'cors.v3.CorsPolicy', {
    allow_origin_string_match: [{ exact: 'https://ok.test' }, { suffix: '.wild.test' }],
    allow_methods: 'GET,POST',
    allow_headers: 'x-a',
    expose_headers: 'x-c',
    max_age: '600',
    allow_credentials: true,
    ...more,
  })
const csrf = (more: object = {}): object =>
  perFilter('csrf', 'csrf.v3.CsrfPolicy', { filter_enabled: fraction(100), additional_origins: [{ suffix: '.friend.test' }], ...more })
const fault = (config: object): object => perFilter('fault', 'fault.v3.HTTPFault', config)
const abort = (status: number, share = 100): object => ({ abort: { http_status: status, percentage: percent(share) } })
const bucket = (tokens: number): object => ({ max_tokens: tokens, tokens_per_fill: tokens, fill_interval: '1000s' })
const limit = (tokens: number, more: object = {}): object =>
  perFilter('local_ratelimit', 'local_ratelimit.v3.LocalRateLimit', {
    stat_prefix: 'lrl',
    token_bucket: bucket(tokens),
    filter_enabled: fraction(100),
    filter_enforced: fraction(100),
    ...more,
  })
const routes = [
  ...(
    [
      ['/cors/off', cors({ filter_enabled: fraction(0) })],
      ['/cors/no-forward', cors({ forward_not_matching_preflights: false })],
      ['/cors', cors()],
      ['/csrf/shadow', csrf({ filter_enabled: fraction(0), shadow_enabled: fraction(100) })],
      ['/csrf', csrf()],
      ['/fault/abort', fault(abort(418))],
      ['/fault/grpc', fault({ abort: { grpc_status: 14, percentage: percent(100) } })],
      ['/fault/never', fault(abort(418, 0))],
      ['/fault/match', fault({ ...abort(418), headers: [{ name: 'x-chaos', string_match: { exact: 'on' } }] })],
      ['/fault/cluster', fault({ ...abort(418), upstream_cluster: 'other' })],
      ['/fault/delay', fault({ delay: { fixed_delay: '0.12s', percentage: percent(100) } })],
      [
        '/fault/header',
        fault({ delay: { header_delay: {}, percentage: percent(100) }, abort: { header_abort: {}, percentage: percent(100) } }),
      ],
      ['/limit/two', limit(2, { response_headers_to_add: [{ header: { key: 'x-limited', value: 'yes' } }] })],
      ['/limit/status', limit(1, { status: { code: 'ServiceUnavailable' }, enable_x_ratelimit_headers: 'DRAFT_VERSION_03' })],
      ['/limit/grpc', limit(1, { rate_limited_as_resource_exhausted: true })],
      [
        '/limit/dry',
        limit(1, { filter_enforced: fraction(0), request_headers_to_add_when_not_enforced: [{ header: { key: 'x-over', value: '1' } }] }),
      ],
      ['/limit/disabled', limit(1, { filter_enabled: fraction(0) })],
    ] as const
  ).map(([prefix, overrides]) => to(prefix, 'app', {}, { typed_per_filter_config: overrides })),
  to(
    '/limit/who',
    'app',
    { rate_limits: [{ actions: [{ request_headers: { header_name: 'x-who', descriptor_key: 'who' } }] }] },
    {
      typed_per_filter_config: limit(4, {
        descriptors: [
          { entries: [{ key: 'who', value: 'bob' }], token_bucket: bucket(1) },
          { entries: [{ key: 'who', value: 'eve' }], token_bucket: bucket(2) },
        ],
      }),
    },
  ),
  to('/', 'app'),
]

beforeAll(async () => {
  await apps.listen()
  front = await Front.start({
    routes,
    clusters: [staticCluster('app', app.port)],
    filters: [
      typed('envoy.filters.http.fault', 'filters.http.fault.v3.HTTPFault'),
      typed('envoy.filters.http.cors', 'filters.http.cors.v3.Cors'),
      typed('envoy.filters.http.csrf', 'filters.http.csrf.v3.CsrfPolicy', { filter_enabled: fraction(0) }),
      typed('envoy.filters.http.local_ratelimit', 'filters.http.local_ratelimit.v3.LocalRateLimit', { stat_prefix: 'lrl' }),
    ],
  })
})

afterAll(async () => {
  await stopAll()
  await apps.close()
})

beforeEach(() => apps.reset())

// ---- tests -----------------------------------------------------------------------------------------------------------------------

const preflight = (origin: string, more: Record<string, string> = {}): Ask => ({
  method: 'OPTIONS',
  headers: { origin, 'access-control-request-method': 'POST', ...more },
})

describe('CORS', () => {
  it('answers a preflight of an allowed origin itself', async () => {
    const answer = await front.ask('/cors/x', preflight('https://a.wild.test'))
    expect(answer.status).toBe(200)
    expect(Object.fromEntries([...answer.headers].filter(([name]) => name.startsWith('access-control')))).toEqual({
      'access-control-allow-origin': 'https://a.wild.test',
      'access-control-allow-methods': 'GET,POST',
      'access-control-allow-headers': 'x-a',
      'access-control-expose-headers': 'x-c',
      'access-control-max-age': '600',
      'access-control-allow-credentials': 'true',
    })
    expect(app.requests).toHaveLength(0)
  })

  it.each([
    ['/cors/x', preflight('https://evil.test'), 1],
    ['/cors/no-forward/x', preflight('https://evil.test'), 0],
    ['/cors/off/x', preflight('https://ok.test'), 1],
    ['/x', preflight('https://ok.test'), 1],
  ])('%s: a preflight that it does not allow names no origin (%j), forwarded: %i', async (path, ask, forwarded) => {
    const answer = await front.ask(path, ask)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('access-control-allow-origin')).toBe(undefined)
    expect(app.requests).toHaveLength(forwarded)
  })

  it('marks the answer to an allowed origin, takes the application’s own mark away, leaves another origin alone', async () => {
    app.respond = (_, socket) => void socket.write(http('ok', '200 OK', { 'access-control-allow-origin': '*' }))
    const allowed = await front.ask('/cors/x', { headers: { origin: 'https://ok.test' } })
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://ok.test')
    expect(allowed.headers.get('access-control-expose-headers')).toBe('x-c')
    const other = await front.ask('/cors/x', { headers: { origin: 'https://evil.test' } })
    expect(other.status).toBe(200)
    expect(other.headers.get('access-control-allow-origin')).toBe('*')
    expect(await front.proxy.stat('http.ingress.cors.origin_invalid')).toBeGreaterThan(0)
  })
})

describe('CSRF', () => {
  it.each([
    ['/csrf', 'POST', 'http://test', 200],
    ['/csrf', 'POST', 'http://a.friend.test', 200],
    ['/csrf', 'POST', 'http://evil.test', 403],
    ['/csrf', 'PUT', 'http://evil.test', 403],
    ['/csrf', 'DELETE', 'http://evil.test', 403],
    ['/csrf', 'PATCH', '', 403],
    ['/csrf', 'GET', 'http://evil.test', 200],
    ['/csrf/shadow', 'POST', 'http://evil.test', 200],
    ['/x', 'POST', 'http://evil.test', 200],
  ])('%s %s from %s: %i', async (path, method, origin, status) => {
    const headers: Record<string, string> = origin === '' ? {} : { origin }
    const answer = await front.ask(path, { method, headers, body: 'x' })
    expect([answer.status, app.requests.length]).toEqual([status, status === 200 ? 1 : 0])
    if (status === 403) expect(answer.body).toBe('Invalid origin')
  })

  it('takes the referer where there is no origin', async () => {
    expect(await front.status('/csrf', { method: 'POST', headers: { referer: 'http://a.friend.test/page' }, body: 'x' })).toBe(200)
    expect(await front.status('/csrf', { method: 'POST', headers: { referer: 'http://evil.test/?friend.test' }, body: 'x' })).toBe(403)
  })
})

describe('fault injection', () => {
  it.each([
    ['/fault/abort', {}, 418],
    ['/fault/never', {}, 200],
    ['/fault/match', {}, 200],
    ['/fault/match', { 'x-chaos': 'on' }, 418],
    ['/fault/cluster', {}, 200],
    ['/fault/header', {}, 200],
    ['/fault/header', { 'x-envoy-fault-abort-request': '429' }, 429],
    ['/fault/header', { 'x-envoy-fault-abort-request': '199' }, 200],
    ['/fault/header', { 'x-envoy-fault-abort-request': '429', 'x-envoy-fault-abort-request-percentage': '0' }, 200],
  ])('abort: %s %j: %i', async (path, headers: Readonly<Record<string, string>>, status) => {
    const answer = await front.ask(path, { headers })
    expect([answer.status, app.requests.length]).toEqual([status, status === 200 ? 1 : 0])
    if (status !== 200) expect(answer.body).toBe('fault filter abort')
  })

  it('abort with a gRPC status', async () => {
    const answer = await front.ask('/fault/grpc', { method: 'POST', headers: { 'content-type': 'application/grpc' }, body: '' })
    expect([answer.status, answer.headers.get('grpc-status'), answer.headers.get('grpc-message')]).toEqual([
      200,
      '14',
      'fault filter abort',
    ])
  })

  it('says FI and DI in the log', async () => {
    await front.ask('/fault/abort/logged')
    await front.logged('/fault/abort/logged', '418 FI fault_filter_abort')
    await front.ask('/fault/delay/logged')
    await front.logged('/fault/delay/logged', '200 DI via_upstream')
  })

  it.each([
    ['/fault/delay', {}, 115],
    ['/fault/header', { 'x-envoy-fault-delay-request': '80' }, 75],
  ])('delay: %s %j', async (path, headers: Readonly<Record<string, string>>, atLeastMs) => {
    const start = performance.now()
    expect(await front.status(path, { headers, method: 'POST', body: 'waits' })).toBe(200)
    expect(performance.now() - start).toBeGreaterThanOrEqual(atLeastMs)
    expect(app.requests[0]!.body.toString()).toBe('waits')
  })
})

describe('local rate limit', () => {
  const many = async (path: string, count: number, ask?: Ask): Promise<number[]> => {
    const statuses: number[] = []
    for (let i = 0; i < count; i++) statuses.push(await front.status(path, ask))
    return statuses
  }

  it('lets the bucket’s tokens pass, then 429 with its headers; another route has its own bucket', async () => {
    expect(await many('/limit/two', 3)).toEqual([200, 200, 429])
    const answer = await front.ask('/limit/two')
    expect([answer.body, answer.headers.get('x-limited')]).toEqual(['local_rate_limited', 'yes'])
    expect(app.requests).toHaveLength(2)
    expect(await front.proxy.stat('lrl.http_local_rate_limit.rate_limited')).toBeGreaterThanOrEqual(2)
  })

  it('answers with the status it is given, and says what is left', async () => {
    const first = await front.ask('/limit/status')
    expect([first.status, first.headers.get('x-ratelimit-limit'), first.headers.get('x-ratelimit-remaining')]).toEqual([200, '1', '0'])
    expect(await front.status('/limit/status')).toBe(503)
  })

  it('gRPC: RESOURCE_EXHAUSTED', async () => {
    const grpc: Ask = { method: 'POST', headers: { 'content-type': 'application/grpc' }, body: '' }
    await front.ask('/limit/grpc', grpc)
    const answer = await front.ask('/limit/grpc', grpc)
    expect([answer.status, answer.headers.get('grpc-status')]).toEqual([200, '8'])
  })

  it('not enforced: the request goes on, marked', async () => {
    expect(await many('/limit/dry', 2)).toEqual([200, 200])
    expect(app.requests.map(request => request.headers.get('x-over'))).toEqual([undefined, '1'])
  })

  it('not enabled: as if it were not there', async () => {
    expect(await many('/limit/disabled', 3)).toEqual([200, 200, 200])
  })

  it('descriptors: bob has one, eve two, everybody else the default', async () => {
    const who = (name: string): Ask => ({ headers: { 'x-who': name } })
    expect(await many('/limit/who', 2, who('bob'))).toEqual([200, 429])
    expect(await many('/limit/who', 3, who('eve'))).toEqual([200, 200, 429])
  })
})
