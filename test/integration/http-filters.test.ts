// The HTTP filters that need no other service, through the real proxy, each by a per-route override: CORS, CSRF, fault injection, local
// rate limit, buffer, compressor, header mutation. What the client gets and what reached the application.
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Ask, Front, fraction, Lettered, percent, perFilter, to } from '../support/front-proxy.js'
import { Http1Client } from '../support/http1-client.js'
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
const mutation = (mutations: object): object => perFilter('header_mutation', 'header_mutation.v3.HeaderMutationPerRoute', { mutations })
const append = (key: string, value: string, append_action = 'APPEND_IF_EXISTS_OR_ADD'): object => ({
  append: { header: { key, value }, append_action },
})
const compressor = (name: string, type: string): object =>
  typed(`envoy.filters.http.compressor.${name}`, 'filters.http.compressor.v3.Compressor', {
    response_direction_config: { common_config: { min_content_length: 100 }, disable_on_etag_header: true },
    compressor_library: typed(name, type),
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
      ['/buffer/small', perFilter('buffer', 'buffer.v3.BufferPerRoute', { buffer: { max_request_bytes: 10 } })],
      ['/buffer/off', perFilter('buffer', 'buffer.v3.BufferPerRoute', { disabled: true })],
      ['/plain', perFilter('compressor.gzip', 'compressor.v3.CompressorPerRoute', { disabled: true })],
      [
        '/mutate',
        mutation({
          request_mutations: [
            { remove: 'x-gone' },
            append('x-new', '%REQ(:METHOD)%'),
            append('x-over', 'w', 'OVERWRITE_IF_EXISTS_OR_ADD'),
            append('x-if', 'w', 'OVERWRITE_IF_EXISTS'),
            append('x-absent', 'w', 'ADD_IF_ABSENT'),
          ],
          response_mutations: [{ remove: 'x-origin' }, append('x-code', '%RESPONSE_CODE%')],
        }),
      ],
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
      typed('envoy.filters.http.buffer', 'filters.http.buffer.v3.Buffer', { max_request_bytes: 5000 }),
      compressor('gzip', 'compression.gzip.compressor.v3.Gzip'),
      compressor('brotli', 'compression.brotli.compressor.v3.Brotli'),
      typed('envoy.filters.http.header_mutation', 'filters.http.header_mutation.v3.HeaderMutation', {
        mutations: { request_mutations: [append('x-filter', 'chain')] },
      }),
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

describe('buffer', () => {
  it.each([
    ['/buffer/small', 10, 200],
    ['/buffer/small', 11, 413],
    ['/x', 5000, 200],
    ['/x', 5001, 413],
    ['/buffer/off', 6000, 200],
  ])('%s with %i bytes: %i', async (path, length, status) => {
    expect(await front.status(path, { method: 'POST', body: 'x'.repeat(length) })).toBe(status)
    expect(app.requests.map(request => request.body.length)).toEqual(status === 200 ? [length] : [])
  })
})

describe('compressor', () => {
  const text = 'all work and no play '.repeat(100)
  const raw = async (path: string, headers: Record<string, string>): Promise<{ coding: string; body: string; vary: string | null }> => {
    const response = await new Promise<{ head: string; body: Buffer }>((resolve, reject) => {
      void Http1Client.connect(front.port).then(client => {
        const chunks: Buffer[] = []
        client.socket.on('data', chunk => chunks.push(chunk))
        client.socket.on('close', () => {
          const all = Buffer.concat(chunks)
          const end = all.indexOf('\r\n\r\n')
          resolve({ head: all.toString('latin1', 0, end), body: all.subarray(end + 4) })
        })
        const lines = Object.entries({ host: 'test', connection: 'close', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
        client.socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
      }, reject)
    })
    const field = (name: string): string | null => new RegExp(`^${name}: (.*)$`, 'im').exec(response.head)?.[1] ?? null
    const coding = field('content-encoding') ?? 'identity'
    const body = field('transfer-encoding') === 'chunked' ? dechunk(response.body) : response.body
    const plain = coding === 'gzip' ? gunzipSync(body) : coding === 'br' ? brotliDecompressSync(body) : body
    return { coding, body: plain.toString(), vary: field('vary') }
  }

  it.each([
    ['/x', 'gzip', 'gzip'],
    ['/x', 'br', 'br'],
    ['/x', 'gzip;q=0.2, br;q=0.9', 'br'],
    ['/x', 'gzip;q=0', 'identity'],
    ['/x', 'deflate', 'identity'],
    ['/plain', 'gzip', 'identity'],
  ])('%s accept-encoding %s: %s', async (path, accept, coding) => {
    app.respond = (_, socket) => void socket.write(http(text, '200 OK', { 'content-type': 'text/plain' }))
    const answer = await raw(path, { 'accept-encoding': accept })
    expect([answer.coding, answer.body]).toEqual([coding, text])
    if (coding !== 'identity') expect(answer.vary).toMatch(/accept-encoding/i)
  })

  it.each([
    ['a short body', { 'content-type': 'text/plain' }, 'short'],
    ['another type', { 'content-type': 'image/png' }, text],
    ['what is encoded already', { 'content-type': 'text/plain', 'content-encoding': 'zstd' }, text],
    ['no-transform', { 'content-type': 'text/plain', 'cache-control': 'no-transform' }, text],
    ['a body with an etag, where that is said', { 'content-type': 'text/plain', etag: '"1"' }, text],
  ])('leaves %s alone', async (_what, headers: Readonly<Record<string, string>>, body) => {
    app.respond = (_, socket) => void socket.write(http(body, '200 OK', headers))
    const answer = await raw('/x', { 'accept-encoding': 'gzip' })
    expect([answer.coding, answer.body]).toEqual([headers['content-encoding'] ?? 'identity', body])
  })
})

function dechunk(bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; ; ) {
    const line = bytes.indexOf('\r\n', at)
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16)
    if (!(size > 0)) return Buffer.concat(parts)
    parts.push(bytes.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
}

it('header mutation: the route’s, with the filter’s own', async () => {
  app.respond = (_, socket) => void socket.write(http('ok', '201 Made', { 'x-origin': 'yes' }))
  const answer = await front.ask('/mutate', { headers: { 'x-gone': '1', 'x-over': 'o', 'x-absent': 'o' } })
  const { headers } = app.requests[0]!
  expect(['x-gone', 'x-new', 'x-over', 'x-if', 'x-absent', 'x-filter'].map(name => headers.get(name) ?? null)).toEqual([
    null,
    'GET',
    'w',
    null,
    'o',
    'chain',
  ])
  expect([answer.headers.get('x-origin') ?? null, answer.headers.get('x-code')]).toEqual([null, '201'])
})
