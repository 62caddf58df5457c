// ext_authz and the global rate limit in detail, through the real proxy against real services: what is asked, what an answer may change,
// what a route may override, and what happens when the service fails.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  type CheckRequest,
  CheckRequestSchema,
  type CheckResponse,
  CheckResponseSchema,
} from '../../src/xds/gen/envoy/service/auth/v3/external_auth_pb.js'
import {
  type RateLimitRequest,
  RateLimitRequestSchema,
  type RateLimitResponse,
  RateLimitResponse_Code,
  RateLimitResponseSchema,
} from '../../src/xds/gen/envoy/service/ratelimit/v3/rls_pb.js'
import { type Ask, Front, Lettered, perFilter, to } from '../support/front-proxy.js'
import { GrpcServices, http2Upstream } from '../support/grpc-services.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, router, routesTo, staticCluster, stopAll, typed } from '../support/proxy-process.js'

const apps = new Lettered(1)
const app = apps.origins[0]!
const authority = new HttpOrigin()
const services = new GrpcServices()
const checks: CheckRequest[] = []
const limits: RateLimitRequest[] = []
let decide: () => CheckResponse
let limit: () => RateLimitResponse
let front: Front
let byHttp: Front
let broken: Front
let open: Front

const option = (key: string, value: string) => ({ header: { key, value } })
const ok = (): CheckResponse => create(CheckResponseSchema, { status: { code: 0 } })
const within = (overallCode = RateLimitResponse_Code.OK): RateLimitResponse => create(RateLimitResponseSchema, { overallCode })
const fail = (): never => {
  throw { code: 14, details: 'not now' }
}

beforeAll(async () => {
  await Promise.all([apps.listen(), authority.listen()])
  services
    .add({
      path: '/envoy.service.auth.v3.Authorization/Check',
      read: bytes => fromBinary(CheckRequestSchema, bytes),
      write: (value: CheckResponse) => toBinary(CheckResponseSchema, value),
      handle: request => {
        checks.push(request)
        return decide()
      },
    })
    .add({
      path: '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit',
      read: bytes => fromBinary(RateLimitRequestSchema, bytes),
      write: (value: RateLimitResponse) => toBinary(RateLimitResponseSchema, value),
      handle: request => {
        limits.push(request)
        return limit()
      },
    })
  await services.listen()
  const grpc_service = { envoy_grpc: { cluster_name: 'services' }, timeout: '5s' }
  const authz = (config: object): object =>
    typed('envoy.filters.http.ext_authz', 'filters.http.ext_authz.v3.ExtAuthz', { transport_api_version: 'V3', ...config })
  const ratelimit = (config: object): object =>
    typed('envoy.filters.http.ratelimit', 'filters.http.ratelimit.v3.RateLimit', {
      domain: 'shop',
      timeout: '5s',
      rate_limit_service: { grpc_service, transport_api_version: 'V3' },
      ...config,
    })
  const [httpPort, brokenPort, openPort] = [await freePort(), await freePort(), await freePort()]
  const manager = (stat_prefix: string, ...filters: object[]): object[] => [
    hcm({ stat_prefix, route_config: routesTo('app') }, [...filters, router]),
  ]
  const perRoute = (config: object): object => ({
    typed_per_filter_config: perFilter('ext_authz', 'ext_authz.v3.ExtAuthzPerRoute', config),
  })
  const limited = (prefix: string, ...actions: object[]): object =>
    to(prefix, 'app', { rate_limits: [{ actions }] }, perRoute({ disabled: true }))
  front = await Front.start({
    routes: [
      to('/authz/off', 'app', {}, perRoute({ disabled: true })),
      to('/authz/named', 'app', {}, perRoute({ check_settings: { context_extensions: { rule: 'strict' } } })),
      to('/authz', 'app'),
      limited('/limit/header', { request_headers: { header_name: 'x-user', descriptor_key: 'user' } }),
      limited(
        '/limit/many',
        { generic_key: { descriptor_value: 'all' } },
        { remote_address: {} },
        { destination_cluster: {} },
        { source_cluster: {} },
      ),
      limited('/limit/match', {
        header_value_match: { descriptor_value: 'bots', headers: [{ name: 'user-agent', string_match: { contains: 'bot' } }] },
      }),
      limited('/limit', { generic_key: { descriptor_key: 'what', descriptor_value: 'plain' } }),
      to('/', 'app', {}, perRoute({ disabled: true })),
    ],
    filters: [
      authz({ grpc_service, status_on_error: { code: 'BadGateway' }, include_peer_certificate: true }),
      ratelimit({ enable_x_ratelimit_headers: 'DRAFT_VERSION_03' }),
    ],
    listeners: [
      listener(
        'by-http',
        httpPort,
        manager(
          'h',
          authz({
            http_service: {
              server_uri: { uri: 'http://authority.test', cluster: 'authority', timeout: '5s' },
              path_prefix: '/check',
              authorization_request: { headers_to_add: [{ key: 'x-asking', value: 'proxy' }] },
              authorization_response: {
                allowed_upstream_headers: { patterns: [{ prefix: 'x-user' }] },
                allowed_client_headers: { patterns: [{ exact: 'x-why' }] },
                allowed_client_headers_on_success: { patterns: [{ exact: 'x-session' }] },
              },
            },
            allowed_headers: { patterns: [{ exact: 'x-token' }] },
          }),
        ),
      ),
      listener('broken', brokenPort, manager('b', authz({ grpc_service }), ratelimit({ failure_mode_deny: true }))),
      listener('open', openPort, manager('o', authz({ grpc_service, failure_mode_allow: true, failure_mode_allow_header_add: true }))),
    ],
    clusters: [
      staticCluster('app', app.port),
      staticCluster('authority', authority.port),
      staticCluster('services', services.port, http2Upstream),
    ],
    bootstrap: { node: { id: 'n', cluster: 'callers' } },
  })
  byHttp = new Front(front.proxy, httpPort)
  broken = new Front(front.proxy, brokenPort)
  open = new Front(front.proxy, openPort)
})

afterAll(async () => {
  await stopAll()
  services.close()
  await Promise.all([apps.close(), authority.close()])
})

beforeEach(() => {
  apps.reset()
  checks.length = limits.length = authority.requests.length = 0
  decide = ok
  limit = within
})

describe('ext_authz by gRPC', () => {
  it('asks with the request, its peer and the route’s context', async () => {
    const ask: Ask = { method: 'POST', headers: { host: 'shop.test', 'x-token': 't' }, body: 'unasked' }
    expect(await front.status('/authz/named?q=1', ask)).toBe(200)
    const attributes = checks[0]!.attributes!
    const { method, path, host, headers, body, protocol } = attributes.request!.http!
    expect([method, path, host, headers['x-token'], body, protocol]).toEqual(['POST', '/authz/named?q=1', 'shop.test', 't', '', 'HTTP/1.1'])
    expect(attributes.contextExtensions).toEqual({ rule: 'strict' })
    const source = attributes.source!.address!.address
    expect(source.case === 'socketAddress' && source.value.address).toBe('127.0.0.1')
  })

  it('an allowing answer changes headers both ways', async () => {
    decide = () =>
      create(CheckResponseSchema, {
        status: { code: 0 },
        httpResponse: {
          case: 'okResponse',
          value: {
            headers: [option('x-user', 'ann'), option('x-over', 'new')],
            headersToRemove: ['x-secret'],
            responseHeadersToAdd: [option('x-seen', 'yes')],
          },
        },
      })
    const answer = await front.ask('/authz', { headers: { 'x-over': 'old', 'x-secret': '1' } })
    const { headers } = app.requests[0]!
    expect([headers.get('x-user'), headers.get('x-over'), headers.has('x-secret')]).toEqual(['ann', 'new', false])
    expect(answer.headers.get('x-seen')).toBe('yes')
  })

  it('a refusing answer has its own status, headers and body', async () => {
    decide = () =>
      create(CheckResponseSchema, {
        status: { code: 16 },
        httpResponse: {
          case: 'deniedResponse',
          value: { status: { code: 401 }, headers: [option('www-authenticate', 'Basic')], body: 'who are you' },
        },
      })
    const answer = await front.ask('/authz/denied')
    expect([answer.status, answer.headers.get('www-authenticate'), answer.body, app.requests.length]).toEqual([
      401,
      'Basic',
      'who are you',
      0,
    ])
    await front.logged('/authz/denied', '401 UAEX ext_authz_denied')
    decide = () => create(CheckResponseSchema, { status: { code: 7 } })
    expect(await front.status('/authz')).toBe(403)
  })

  it('a route may do without', async () => {
    expect(await front.status('/authz/off')).toBe(200)
    expect(checks).toHaveLength(0)
  })

  it('a service that fails: status_on_error; or through, marked, where that is allowed', async () => {
    decide = fail
    expect(await front.status('/authz/error')).toBe(502)
    await front.logged('/authz/error', '502 UAEX ext_authz_error')
    expect(app.requests).toHaveLength(0)
    expect(await open.status('/x')).toBe(200)
    expect(app.requests[0]!.headers.get('x-envoy-auth-failure-mode-allowed')).toBe('true')
    expect(await broken.status('/x')).toBe(403)
  })
})

describe('ext_authz by HTTP', () => {
  it('asks at its path with the allowed headers; takes what it may', async () => {
    authority.respond = (_, socket) => void socket.write(http('', '200 OK', { 'x-user-id': '7', 'x-other': 'no', 'x-session': 's' }))
    const answer = await byHttp.ask('/x?q=1', {
      method: 'POST',
      headers: { host: 'shop.test', 'x-token': 't', 'x-private': 'p', authorization: 'a' },
      body: 'b',
    })
    const [asked] = authority.requests
    expect([asked!.method, asked!.path, asked!.headers.get('host')]).toEqual(['POST', '/check/x?q=1', 'shop.test'])
    expect(['x-token', 'authorization', 'x-private', 'x-asking', 'content-length'].map(name => asked!.headers.get(name) ?? null)).toEqual([
      't',
      'a',
      null,
      'proxy',
      '0',
    ])
    const { headers } = app.requests[0]!
    expect([headers.get('x-user-id'), headers.has('x-other'), headers.has('x-session')]).toEqual(['7', false, false])
    expect([answer.headers.get('x-session'), answer.headers.has('x-user-id')]).toEqual(['s', false])
  })

  it.each([
    ['403 Forbidden', 403],
    ['401 Who', 401],
    ['302 Found', 302],
    ['500 Oops', 403],
  ])('%s: %i', async (status, expected) => {
    authority.respond = (_, socket) => void socket.write(http('told', status, { 'x-why': 'because', 'x-inner': '1' }))
    const answer = await byHttp.ask('/x')
    expect([answer.status, app.requests.length]).toEqual([expected, 0])
    if (status.startsWith('500')) return
    expect([answer.body, answer.headers.get('x-why'), answer.headers.has('x-inner')]).toEqual(['told', 'because', false])
  })
})

describe('the global rate limit', () => {
  const entries = () => limits.map(request => request.descriptors.map(({ entries }) => entries.map(({ key, value }) => `${key}=${value}`)))

  it.each<[string, Ask, string[]]>([
    ['/limit/header', { headers: { 'x-user': 'ann' } }, ['user=ann']],
    ['/limit/many', {}, ['generic_key=all', 'remote_address=127.0.0.1', 'destination_cluster=app', 'source_cluster=callers']],
    ['/limit/match', { headers: { 'user-agent': 'robot' } }, ['header_match=bots']],
    ['/limit', {}, ['what=plain']],
  ])('%s asks for its descriptor', async (path, ask, expected) => {
    expect(await front.status(path, ask)).toBe(200)
    expect(entries()).toEqual([[expected]])
    expect(limits[0]!.domain).toBe('shop')
  })

  it.each<[string, Ask]>([
    ['/limit/header', {}],
    ['/limit/match', { headers: { 'user-agent': 'person' } }],
    ['/elsewhere', {}],
  ])('%s %j: no descriptor, nobody is asked', async (path, ask) => {
    expect(await front.status(path, ask)).toBe(200)
    expect(limits).toHaveLength(0)
  })

  it('over the limit: 429 with the service’s headers and body; the application is not asked', async () => {
    limit = () =>
      create(RateLimitResponseSchema, {
        overallCode: RateLimitResponse_Code.OVER_LIMIT,
        responseHeadersToAdd: [{ key: 'x-slow', value: 'down' }],
        rawBody: Buffer.from('too fast'),
      })
    const answer = await front.ask('/limit/over')
    expect([answer.status, answer.body, answer.headers.get('x-slow'), answer.headers.get('x-envoy-ratelimited')]).toEqual([
      429,
      'too fast',
      'down',
      'true',
    ])
    expect(app.requests).toHaveLength(0)
    await front.logged('/limit/over', '429 RL request_rate_limited')
    expect(await front.proxy.stat('cluster.app.ratelimit.over_limit')).toBe(1)
  })

  it('within the limit: headers for the application', async () => {
    limit = () =>
      create(RateLimitResponseSchema, { overallCode: RateLimitResponse_Code.OK, requestHeadersToAdd: [{ key: 'x-left', value: '3' }] })
    expect(await front.status('/limit')).toBe(200)
    expect(app.requests[0]!.headers.get('x-left')).toBe('3')
  })

  it('a service that fails lets requests through and is counted', async () => {
    limit = fail
    expect(await front.status('/limit')).toBe(200)
    expect(await front.proxy.stat('cluster.app.ratelimit.error')).toBe(1)
    expect(await front.proxy.stat('cluster.app.ratelimit.failure_mode_allowed')).toBe(1)
  })
})
