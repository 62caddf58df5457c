// What a route may do besides forwarding, through the real proxy: redirects of every kind, direct responses with their bodies, rewrites,
// mirrors by fraction, weights, header edits, and the limits of a stream.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Ask, Front, Lettered, percent, to } from '../support/front-proxy.js'
import { http } from '../support/origins.js'
import { staticCluster, stopAll, until } from '../support/proxy-process.js'

const apps = new Lettered(3)
const [app, other, shadow] = apps.origins as [(typeof apps.origins)[0], (typeof apps.origins)[0], (typeof apps.origins)[0]]
const dir = mkdtempSync(join(tmpdir(), 'outrigger-routes-'))
let front: Front

const redirect = (prefix: string, action: object): object => ({ match: { prefix }, redirect: action })
const direct = (prefix: string, status: number, body?: object): object => ({
  match: { prefix },
  direct_response: { status, ...(body === undefined ? {} : { body }) },
})
const regex = (pattern: string, substitution: string): object => ({ pattern: { regex: pattern }, substitution })
const mirror = (share: number): object => ({
  request_mirror_policies: [{ cluster: 'shadow', runtime_fraction: { default_value: percent(share) } }],
})

beforeAll(async () => {
  await apps.listen()
  const file = join(dir, 'body.html')
  writeFileSync(file, '<p>from a file</p>')
  front = await Front.start({
    routes: [
      redirect('/r/host', { host_redirect: 'b.test' }),
      redirect('/r/port', { port_redirect: 8443 }),
      redirect('/r/https', { https_redirect: true }),
      redirect('/r/scheme', { scheme_redirect: 'wss' }),
      redirect('/r/path', { path_redirect: '/new?own=1' }),
      redirect('/r/prefix', { prefix_rewrite: '/moved' }),
      redirect('/r/regex', { regex_rewrite: regex('^/r/regex/([^/]+)/(.*)$', '/\\2/\\1') }),
      redirect('/r/strip', { path_redirect: '/bare', strip_query: true }),
      redirect('/r/302', { host_redirect: 'b.test', response_code: 'FOUND' }),
      redirect('/r/303', { host_redirect: 'b.test', response_code: 'SEE_OTHER' }),
      redirect('/r/307', { host_redirect: 'b.test', response_code: 'TEMPORARY_REDIRECT' }),
      redirect('/r/308', { host_redirect: 'b.test', response_code: 'PERMANENT_REDIRECT' }),
      direct('/d/empty', 204),
      direct('/d/inline', 418, { inline_string: 'short and stout' }),
      direct('/d/bytes', 200, { inline_bytes: Buffer.from('bytes').toString('base64') }),
      direct('/d/file', 404, { filename: file }),
      to('/w/prefix/', 'app', { prefix_rewrite: '/' }),
      to('/w/regex', 'app', { regex_rewrite: regex('/v([0-9]+)/', '/version-\\1/') }),
      to('/w/host', 'app', { host_rewrite_literal: 'inner.test' }),
      to('/w/header-host', 'app', { host_rewrite_header: 'x-host' }),
      to('/w/path-host', 'app', { host_rewrite_path_regex: regex('^/w/path-host/([a-z]+).*$', '\\1.test') }),
      to('/w/forwarded', 'app', { host_rewrite_literal: 'inner.test', append_x_forwarded_host: true }),
      to('/m/all', 'app', mirror(100)),
      to('/m/none', 'app', mirror(0)),
      to('/m/half', 'app', mirror(50)),
      to('/m/two', 'app', { request_mirror_policies: [{ cluster: 'shadow' }, { cluster: 'other' }] }),
      {
        match: { prefix: '/s/only' },
        route: {
          weighted_clusters: {
            clusters: [
              { name: 'app', weight: 0 },
              { name: 'other', weight: 3 },
            ],
          },
        },
      },
      {
        match: { prefix: '/s/most' },
        route: {
          weighted_clusters: {
            clusters: [
              { name: 'app', weight: 4 },
              { name: 'other', weight: 1 },
            ],
          },
        },
      },
      to(
        '/h',
        'app',
        {},
        {
          request_headers_to_add: [
            { header: { key: 'x-level', value: 'route' } },
            { header: { key: 'x-set', value: '%REQ(x-in)%' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
          ],
          request_headers_to_remove: ['x-secret'],
          response_headers_to_add: [{ header: { key: 'x-out', value: '%RESPONSE_CODE%' } }],
          response_headers_to_remove: ['server-secret'],
        },
      ),
      to('/t/grpc-max', 'app', { max_stream_duration: { grpc_timeout_header_max: '0.15s' } }),
      to('/t/grpc-offset', 'app', { max_stream_duration: { grpc_timeout_header_max: '0s', grpc_timeout_header_offset: '0.25s' } }),
      to('/t/stream', 'app', { max_stream_duration: { max_stream_duration: '0.15s' } }),
      to('/t/idle', 'app', { idle_timeout: '0.15s' }),
      { match: { prefix: '/q', query_parameters: [{ name: 'v', string_match: { exact: '2' } }] }, direct_response: { status: 202 } },
      {
        match: { prefix: '/q', headers: [{ name: 'x-v', string_match: { safe_regex: { regex: '[0-9]+' } } }] },
        direct_response: { status: 203 },
      },
      { match: { prefix: '/q', runtime_fraction: { default_value: percent(0) } }, direct_response: { status: 500 } },
      { match: { path: '/Q/Exact', case_sensitive: false }, direct_response: { status: 205 } },
      { match: { path_separated_prefix: '/q/part' }, direct_response: { status: 206 } },
      { match: { safe_regex: { regex: '/q/[a-c]{3}' } }, direct_response: { status: 207 } },
      { match: { prefix: '/q', grpc: {} }, direct_response: { status: 208 } },
      to('/', 'app'),
    ],
    clusters: [staticCluster('app', app.port), staticCluster('other', other.port), staticCluster('shadow', shadow.port)],
    virtualHost: {
      request_headers_to_add: [{ header: { key: 'x-level', value: 'virtual host' } }],
    },
  })
})

afterAll(async () => {
  await stopAll()
  await apps.close()
  rmSync(dir, { recursive: true, force: true })
})

beforeEach(() => apps.reset())

describe('redirects', () => {
  it.each([
    ['/r/host/x?q=1', 301, 'http://b.test/r/host/x?q=1'],
    ['/r/port', 301, 'http://a.test:8443/r/port'],
    ['/r/https/x', 301, 'https://a.test/r/https/x'],
    ['/r/scheme', 301, 'wss://a.test/r/scheme'],
    ['/r/path?q=1', 301, 'http://a.test/new?own=1'],
    ['/r/prefix/x?q=1', 301, 'http://a.test/moved/x?q=1'],
    ['/r/regex/one/two', 301, 'http://a.test/two/one'],
    ['/r/strip?q=1', 301, 'http://a.test/bare'],
    ['/r/302', 302, 'http://b.test/r/302'],
    ['/r/303', 303, 'http://b.test/r/303'],
    ['/r/307', 307, 'http://b.test/r/307'],
    ['/r/308', 308, 'http://b.test/r/308'],
  ])('%s: %i %s', async (path, status, location) => {
    const answer = await front.ask(path, { headers: { host: 'a.test' } })
    expect([answer.status, answer.headers.get('location'), app.requests.length]).toEqual([status, location, 0])
  })

  it('keeps a port in the host, but not one that belongs to the old scheme', async () => {
    const location = async (path: string, host: string): Promise<string | undefined> =>
      (await front.ask(path, { headers: { host } })).headers.get('location')
    expect(await location('/r/path', 'a.test:8080')).toBe('http://a.test:8080/new?own=1')
    expect(await location('/r/https', 'a.test:80')).toBe('https://a.test/r/https')
  })
})

describe('direct responses', () => {
  it.each([
    ['/d/empty', 204, ''],
    ['/d/inline', 418, 'short and stout'],
    ['/d/bytes', 200, 'bytes'],
    ['/d/file', 404, '<p>from a file</p>'],
  ])('%s: %i', async (path, status, body) => {
    const answer = await front.ask(path)
    expect([answer.status, answer.body, app.requests.length]).toEqual([status, body, 0])
    await front.logged(path, `${status} - direct_response`)
  })
})

describe('rewrites', () => {
  it.each<[string, Record<string, string>, string, string]>([
    ['/w/prefix/x?q=1', {}, '/x?q=1', 'a.test'],
    ['/w/regex/v12/x?p=/v3/', {}, '/w/regex/version-12/x?p=/v3/', 'a.test'],
    ['/w/host', {}, '/w/host', 'inner.test'],
    ['/w/header-host', { 'x-host': 'named.test' }, '/w/header-host', 'named.test'],
    ['/w/header-host', {}, '/w/header-host', 'a.test'],
    ['/w/path-host/shop?x=1', {}, '/w/path-host/shop?x=1', 'shop.test'],
  ])('%s %j', async (path, headers, seenPath, seenHost) => {
    await front.ask(path, { headers: { host: 'a.test', ...headers } })
    expect([app.requests[0]!.path, app.requests[0]!.headers.get('host')]).toEqual([seenPath, seenHost])
    if (seenPath !== path) expect(app.requests[0]!.headers.get('x-envoy-original-path')).toBe(path)
  })

  it('append_x_forwarded_host', async () => {
    await front.ask('/w/forwarded', { headers: { host: 'a.test' } })
    expect(app.requests[0]!.headers.get('x-forwarded-host')).toBe('a.test')
  })
})

describe('mirrors and weights', () => {
  const many = async (path: string, times: number): Promise<void> => {
    for (let i = 0; i < times; i++) expect((await front.ask(path, { method: 'POST', body: 'copy' })).status).toBe(200)
  }

  it('all, none, and about half; with the body, and without waiting', async () => {
    shadow.respond = () => {}
    await many('/m/none', 10)
    await many('/m/all', 5)
    await until('five copies', () => shadow.requests.length === 5)
    expect(shadow.requests.map(request => [request.path, request.body.toString(), request.headers.get('host')])).toEqual(
      Array.from({ length: 5 }, () => ['/m/all', 'copy', 'test-shadow']),
    )
    await many('/m/half', 60)
    await front.proxy.untilStat('cluster.shadow.upstream_rq_total', value => value > 15)
    expect(shadow.requests.length).toBeLessThan(55)
  })

  it('two mirrors of one request', async () => {
    const before = await front.proxy.stat('http.async-client.rq_total')
    await many('/m/two', 2)
    await until('both have copies', () => shadow.requests.length === 2 && other.requests.length === 2)
    expect((await front.proxy.stat('http.async-client.rq_total')) - before).toBe(4)
    expect(app.requests).toHaveLength(2)
  })

  it('a weight of 0 is never chosen, the others by their share', async () => {
    expect(await front.answers('/s/only', 20)).toEqual({ b: 20 })
    const found = await front.answers('/s/most', 200)
    expect(found['a']).toBeGreaterThan(130)
    expect(found['b']).toBeGreaterThan(15)
  })
})

describe('matches', () => {
  it.each<[string, Ask, number]>([
    ['/q?v=2', {}, 202],
    ['/q?v=22', {}, 200],
    ['/q?w=1&v=2', {}, 202],
    ['/q', { headers: { 'x-v': '17' } }, 203],
    ['/q', { headers: { 'x-v': '17a' } }, 200],
    ['/q/eXACT', {}, 205],
    ['/q/part', {}, 206],
    ['/q/part/x', {}, 206],
    ['/q/parted', {}, 200],
    ['/q/abc?x=1', {}, 207],
    ['/q/abcd', {}, 200],
    ['/q', { method: 'POST', headers: { 'content-type': 'application/grpc+proto' }, body: '' }, 208],
  ])('%s %j: %i', async (path, ask, status) => {
    const answer = await front.ask(path, ask)
    // A direct response to gRPC is a trailers-only 200.
    expect(status === 208 ? answer.headers.has('grpc-status') : answer.status).toBe(status === 208 ? true : status)
    expect(app.requests).toHaveLength(status === 200 ? 1 : 0)
  })
})

it('headers: added at each level, overwritten, removed', async () => {
  app.respond = (_, socket) => void socket.write(http('ok', '201 Made', { 'server-secret': '1' }))
  const answer = await front.ask('/h', { headers: { 'x-in': 'in', 'x-set': 'old', 'x-secret': '1' } })
  const { headers } = app.requests[0]!
  expect([headers.get('x-level'), headers.get('x-set'), headers.has('x-secret')]).toEqual(['route, virtual host', 'in', false])
  expect([answer.headers.get('x-out'), answer.headers.has('server-secret')]).toEqual(['201', false])
})

describe('limits of a stream', () => {
  const grpc = (timeout?: string): Ask => ({
    method: 'POST',
    headers: { 'content-type': 'application/grpc', ...(timeout === undefined ? {} : { 'grpc-timeout': timeout }) },
    body: '',
  })
  beforeEach(() => {
    app.respond = () => {}
  })

  it.each([
    ['/t/grpc-max', grpc('30S'), '4'],
    ['/t/grpc-offset', grpc('400m'), '4'],
    ['/t/stream', grpc(), '4'],
  ])('%s: DEADLINE_EXCEEDED', async (path, ask, status) => {
    const answer = await front.ask(path, ask)
    expect([answer.status, answer.headers.get('grpc-status')]).toEqual([200, status])
    await until('the upstream stream is called off', async () => (await front.proxy.stat('cluster.app.upstream_rq_active')) === 0)
  })

  it.each([
    ['/t/stream', '504 - max_duration_timeout'],
    ['/t/idle', '504 SI stream_idle_timeout'],
  ])('%s: %s', async (path, line) => {
    expect((await front.ask(path)).status).toBe(504)
    await front.logged(path, line)
  })

  it('the server is told of the deadline as it was clamped', async () => {
    app.respond = (_, socket) => void socket.write(http('', '200 OK', { 'content-type': 'application/grpc', 'grpc-status': '0' }))
    await front.ask('/t/grpc-max', grpc('30S'))
    expect(app.requests[0]!.headers.get('grpc-timeout')).toMatch(/^\d+[mSun]$/)
  })
})
