import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import type { AsyncResult } from '../../../../src/l7/client/async-client.js'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { ResponseFlag } from '../../../../src/l7/stream/response-flags.js'
import type { ExtAuthzConfig } from '../../../../src/model/http-filter.js'
import { CheckRequestSchema, CheckResponseSchema } from '../../../../src/xds/gen/envoy/service/auth/v3/external_auth_pb.js'
import { ALWAYS, connectionInfo, FakeCall, FakeEnvironment, NEVER, OFF, ON, requestHead, responseHead, runHead } from '../fake-call.js'

const GRPC = { kind: 'grpc' as const, grpc: { cluster: 'authz', target: '', authority: '', timeoutMs: 200, initialMetadata: [] } }
const exact = (value: string) => ({ kind: 'exact' as const, value, ignoreCase: false })
const HTTP: ExtAuthzConfig['service'] = {
  kind: 'http',
  cluster: 'authz',
  uri: 'http://authz:9000',
  timeoutMs: 250,
  pathPrefix: '/check',
  allowedRequestHeaders: [exact('x-user')],
  headersToAdd: [{ key: 'x-from', value: 'mesh' }],
  allowedUpstreamHeaders: [exact('x-id')],
  allowedUpstreamHeadersToAppend: [],
  allowedClientHeaders: [],
  allowedClientHeadersOnSuccess: [exact('x-trace')],
}

function filter(fields: Partial<ExtAuthzConfig> = {}) {
  return {
    kind: 'extAuthz',
    config: {
      service: GRPC,
      failureModeAllow: false,
      failureModeAllowHeaderAdd: false,
      withRequestBody: null,
      clearRouteCache: true,
      statusOnError: 403,
      filterEnabled: null,
      denyAtDisable: OFF,
      includePeerCertificate: true,
      statPrefix: '',
      metadataContextNamespaces: ['jwt'],
      allowedHeaders: [],
      disallowedHeaders: [exact('cookie')],
      ...fields,
    },
  }
}

const ok = (fields: Parameters<typeof create<typeof CheckResponseSchema>>[1] = {}) =>
  Buffer.from(toBinary(CheckResponseSchema, create(CheckResponseSchema, fields)))
const http = (status: number, headers: [string, string][] = [], body = ''): AsyncResult => ({
  kind: 'response',
  status,
  headers: HeaderList.of(...headers),
  body: Buffer.from(body),
  trailers: null,
})

describe('ext_authz over gRPC', () => {
  it('describes source, destination and request as CheckRequest says', () => {
    const world = new FakeEnvironment()
    const head = requestHead({ method: 'POST', path: '/a?b=1' }, { 'x-user': 'ann', cookie: 'secret', 'x-list': ['1', '2'] })
    const call = new FakeCall(head, connectionInfo('spiffe://td/ns/default/dc/dc1/svc/web'), {
      overrides: { f: { disabled: false, kind: 'extAuthz', contextExtensions: new Map([['team', 'shop']]) } },
    })
    call.info.setDynamicMetadata('jwt', 'sub', 'ann')
    expect(runHead(world.factory(filter()), call).status).toBe('stop')
    expect(world.grpc[0]).toMatchObject({ path: '/envoy.service.auth.v3.Authorization/Check', timeoutMs: 200 })
    const { attributes } = fromBinary(CheckRequestSchema, world.grpc[0]!.message)
    expect(attributes?.source?.principal).toBe('spiffe://td/ns/default/dc/dc1/svc/web')
    expect(attributes?.source?.certificate).toBe('PEM')
    expect(attributes?.source?.address?.address.value).toMatchObject({ address: '10.0.0.1', portSpecifier: { value: 5555 } })
    expect(attributes?.destination?.address?.address.value).toMatchObject({ address: '10.0.0.2', portSpecifier: { value: 8080 } })
    expect(attributes?.destination?.principal).toBe('spiffe://td/ns/default/dc/dc1/svc/api')
    expect(attributes?.request?.http).toMatchObject({
      method: 'POST',
      path: '/a?b=1',
      host: 'api.example',
      scheme: 'http',
      protocol: 'HTTP/1.1',
    })
    expect(attributes?.request?.http?.headers).toEqual({
      ':authority': 'api.example',
      ':method': 'POST',
      ':path': '/a?b=1',
      ':scheme': 'http',
      'x-user': 'ann',
      'x-list': '1,2',
    })
    expect(attributes?.contextExtensions).toEqual({ team: 'shop' })
    expect(attributes?.metadataContext?.filterMetadata).toEqual({ jwt: { sub: 'ann' } })
    expect(attributes?.tlsSession?.sni).toBe('api')
  })

  it('does to the request what an OK says, but leaves host, pseudo-headers and framing alone', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead({ path: '/a?drop=1&keep=2' }, { 'x-old': '1', 'x-list': 'a', 'x-id': 'forged' }))
    const { filter: made } = runHead(world.factory(filter()), call)
    world.grpc[0]!.answer(
      0,
      ok({
        status: { code: 0 },
        httpResponse: {
          case: 'okResponse',
          value: {
            headers: [
              { header: { key: 'x-id', value: 'ann' } },
              { header: { key: 'x-list', value: 'b' }, append: true },
              { header: { key: 'x-absent', value: 'b' }, append: true },
              { header: { key: 'content-length', value: '5' } },
              { header: { key: 'x-bad', value: 'a\r\nb: c' } },
            ],
            headersToRemove: ['X-Old', 'host', ':path'],
            queryParametersToSet: [{ key: 'n', value: 'a b' }],
            queryParametersToRemove: ['drop'],
            responseHeadersToAdd: [{ header: { key: 'x-seen', value: 'yes' } }],
          },
        },
        dynamicMetadata: { who: 'ann' },
      }),
      '',
    )
    expect(call.resumed).toBe(1)
    const { headers } = call.request
    expect([headers.get('x-id'), headers.get('x-list'), headers.has('x-absent'), headers.has('x-old')]).toEqual([
      'ann',
      'a,b',
      false,
      false,
    ])
    expect([headers.has('content-length'), headers.has('x-bad')]).toEqual([false, false])
    expect(call.request.path).toBe('/a?keep=2&n=a%20b')
    expect(call.routeCleared).toBe(1)
    expect(call.info.dynamicMetadata('envoy.filters.http.ext_authz')).toEqual({ who: 'ann' })
    const response = responseHead()
    made!.responseHead!(call, response, false, false)
    expect(response.headers.get('x-seen')).toBe('yes')
    expect(world.counter('http.in.ext_authz.ok')).toBe(1)
    expect(world.counter('cluster.backend.ext_authz.ok')).toBe(1)
  })

  it('refuses as the service says, 403 by default', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead())
    const { filter: made } = runHead(world.factory(filter()), call)
    world.grpc[0]!.answer(
      0,
      ok({
        status: { code: 7 },
        httpResponse: {
          case: 'deniedResponse',
          value: { status: { code: 401 }, body: 'who are you', headers: [{ header: { key: 'www-authenticate', value: 'Basic' } }] },
        },
      }),
      '',
    )
    expect(call.reply).toMatchObject({
      status: 401,
      body: 'who are you',
      details: 'ext_authz_denied',
      flags: ResponseFlag.UnauthorizedExternalService,
    })
    const head = responseHead(401)
    made!.responseHead!(call, head, false, true)
    expect(head.headers.get('www-authenticate')).toBe('Basic')
    const plain = new FakeCall(requestHead())
    runHead(world.factory(filter()), plain)
    world.grpc[1]!.answer(0, ok({ status: { code: 16 } }), '')
    expect(plain.reply?.status).toBe(403)
  })

  it('fails closed: a failure, a timeout and a malformed answer refuse; failure_mode_allow lets pass and says so', () => {
    const world = new FakeEnvironment()
    for (const [status, bytes] of [
      [14, Buffer.alloc(0)],
      [4, Buffer.alloc(0)],
      [0, Buffer.from([0x0a, 0x7f])],
    ] as const) {
      const call = new FakeCall(requestHead())
      runHead(world.factory(filter()), call)
      world.grpc.at(-1)!.answer(status, bytes, '')
      expect(call.reply).toMatchObject({ status: 403, details: 'ext_authz_error' })
    }
    const open = new FakeCall(requestHead({}, { 'x-envoy-auth-failure-mode-allowed': 'forged' }))
    runHead(world.factory(filter({ failureModeAllow: true, failureModeAllowHeaderAdd: true })), open)
    expect(open.request.headers.has('x-envoy-auth-failure-mode-allowed')).toBe(false)
    world.grpc.at(-1)!.answer(14, Buffer.alloc(0), '')
    expect(open.resumed).toBe(1)
    expect(open.request.headers.get('x-envoy-auth-failure-mode-allowed')).toBe('true')
    expect(world.counter('http.in.ext_authz.error')).toBe(4)
    expect(world.counter('http.in.ext_authz.failure_mode_allowed')).toBe(1)
  })

  it('sends the body where asked, and whether it is all of it', () => {
    const world = new FakeEnvironment()
    const spec = filter({ withRequestBody: { maxBytes: 4, allowPartial: true, packAsBytes: true } })
    const call = new FakeCall(requestHead({ method: 'POST', contentLength: 10 }, { 'x-envoy-auth-partial-body': 'forged' }))
    runHead(world.factory(spec), call, false)
    expect(call.buffering).toMatchObject({ maxBytes: 4, allowPartial: true })
    call.buffering!.done(Buffer.from([0xff, 1, 2, 3]), false)
    const sent = fromBinary(CheckRequestSchema, world.grpc[0]!.message).attributes?.request?.http
    expect([...sent!.rawBody]).toEqual([0xff, 1, 2, 3])
    expect(sent?.headers['x-envoy-auth-partial-body']).toBe('true')
  })

  it('honours filter_enabled and deny_at_disable, and cancels when the client leaves', () => {
    const world = new FakeEnvironment()
    expect(runHead(world.factory(filter({ filterEnabled: NEVER })), new FakeCall(requestHead())).status).toBe('continue')
    const denied = new FakeCall(requestHead())
    runHead(world.factory(filter({ filterEnabled: NEVER, denyAtDisable: ON })), denied)
    expect(denied.reply?.status).toBe(403)
    const switched = new FakeCall(requestHead())
    world.runtime.set('authz.deny', true)
    runHead(world.factory(filter({ filterEnabled: NEVER, denyAtDisable: { defaultValue: false, runtimeKey: 'authz.deny' } })), switched)
    expect(switched.reply?.status).toBe(403)
    const call = new FakeCall(requestHead())
    const { filter: made } = runHead(world.factory(filter({ filterEnabled: ALWAYS })), call)
    call.ended = true
    made!.finished!(call)
    expect(world.grpc[0]!.cancelled).toBe(true)
    world.grpc[0]!.answer(0, ok(), '')
    expect(call.resumed).toBe(0)
  })
})

describe('ext_authz over HTTP', () => {
  it('asks with the allowed headers only and takes the allowed ones back', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(
      requestHead({ path: '/a?b' }, { 'x-user': 'ann', 'x-other': '1', authorization: 'Bearer t', 'x-id': 'forged' }),
    )
    const { filter: made } = runHead(world.factory(filter({ service: HTTP })), call)
    const { cluster, request } = world.http[0]!
    expect([cluster, request.path, request.method, request.authority, request.timeoutMs]).toEqual([
      'authz',
      '/check/a?b',
      'GET',
      'api.example',
      250,
    ])
    expect(request.headers.lower.toSorted()).toEqual(['authorization', 'content-length', 'x-from', 'x-user'])
    world.http[0]!.answer(
      http(200, [
        ['x-id', 'ann'],
        ['x-secret', '1'],
        ['x-trace', 't1'],
        ['x-envoy-auth-headers-to-remove', 'x-other'],
      ]),
    )
    expect(call.resumed).toBe(1)
    expect([call.request.headers.get('x-id'), call.request.headers.has('x-secret'), call.request.headers.has('x-other')]).toEqual([
      'ann',
      false,
      false,
    ])
    const head = responseHead()
    made!.responseHead!(call, head, false, false)
    expect(head.headers.get('x-trace')).toBe('t1')
  })

  it('passes a refusal on, and treats 5xx as a failure', () => {
    const world = new FakeEnvironment()
    const call = new FakeCall(requestHead())
    const { filter: made } = runHead(world.factory(filter({ service: HTTP })), call)
    world.http[0]!.answer(
      http(
        302,
        [
          ['location', '/login'],
          ['set-cookie', 'a=1'],
          ['set-cookie', 'b=2'],
          ['content-length', '2'],
        ],
        'go',
      ),
    )
    expect(call.reply).toMatchObject({ status: 302, body: 'go', details: 'ext_authz_denied' })
    const head = responseHead(302)
    made!.responseHead!(call, head, false, true)
    expect(head.headers.get('location')).toBe('/login')
    expect(head.headers.getAll('set-cookie')).toEqual(['a=1', 'b=2'])
    expect(head.headers.has('content-length')).toBe(false)
    const failing = new FakeCall(requestHead())
    runHead(world.factory(filter({ service: HTTP, statusOnError: 503 })), failing)
    world.http[1]!.answer(http(500))
    expect(failing.reply).toMatchObject({ status: 503, details: 'ext_authz_error' })
  })
})
