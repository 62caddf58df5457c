// Filters that ask another service, through the real proxy: ext_authz over HTTP and gRPC (with the body), and the global rate limit.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
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
import { GrpcServices, http2Upstream } from '../support/grpc-services.js'
import { Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, router, routesTo, staticCluster, stopAll, typed } from '../support/proxy-process.js'

const app = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const http1Authz = new HttpOrigin((request, socket) => {
  const allowed = request.body.toString().includes('good')
  socket.write(allowed ? http('', '200 OK', { 'x-user': 'ann' }) : http('go away', '403 Forbidden', { 'x-why': 'body' }))
})
const server = new GrpcServices()
const checks: CheckRequest[] = []
const limits: RateLimitRequest[] = []
let authzPort: number
let grpcAuthzPort: number
let limitPort: number

beforeAll(async () => {
  await Promise.all([app.listen(), http1Authz.listen()])
  server.add({
    path: '/envoy.service.auth.v3.Authorization/Check',
    read: bytes => fromBinary(CheckRequestSchema, bytes),
    write: (value: CheckResponse) => toBinary(CheckResponseSchema, value),
    handle: request => {
      checks.push(request)
      const allowed = request.attributes?.request?.http?.body === 'good'
      return create(CheckResponseSchema, { status: { code: allowed ? 0 : 7 } })
    },
  })
  server.add({
    path: '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit',
    read: bytes => fromBinary(RateLimitRequestSchema, bytes),
    write: (value: RateLimitResponse) => toBinary(RateLimitResponseSchema, value),
    handle: request => {
      limits.push(request)
      const over = request.descriptors[0]?.entries[0]?.value === 'bob'
      return create(RateLimitResponseSchema, { overallCode: over ? RateLimitResponse_Code.OVER_LIMIT : RateLimitResponse_Code.OK })
    },
  })
  await server.listen()
  authzPort = await freePort()
  grpcAuthzPort = await freePort()
  limitPort = await freePort()
  const with_request_body = { max_request_bytes: 1000, allow_partial_message: false }
  const service = { envoy_grpc: { cluster_name: 'services' }, timeout: '20s' }
  const authz = (config: object): object =>
    typed('envoy.filters.http.ext_authz', 'filters.http.ext_authz.v3.ExtAuthz', {
      transport_api_version: 'V3',
      with_request_body,
      ...config,
    })
  const limited = {
    name: 'limited',
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: [
          {
            match: { prefix: '/' },
            route: { cluster: 'app', rate_limits: [{ actions: [{ request_headers: { header_name: 'x-user', descriptor_key: 'user' } }] }] },
          },
        ],
      },
    ],
  }
  await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('authz', authzPort, [
            hcm({ route_config: routesTo('app') }, [
              authz({
                http_service: {
                  server_uri: { uri: 'http://authz.test', cluster: 'authz', timeout: '20s' },
                  authorization_response: { allowed_upstream_headers: { patterns: [{ exact: 'x-user' }] } },
                },
              }),
              router,
            ]),
          ]),
          listener('grpc-authz', grpcAuthzPort, [
            hcm({ stat_prefix: 'g', route_config: routesTo('app') }, [authz({ grpc_service: service }), router]),
          ]),
          listener('limit', limitPort, [
            hcm({ stat_prefix: 'l', route_config: limited }, [
              typed('envoy.filters.http.ratelimit', 'filters.http.ratelimit.v3.RateLimit', {
                domain: 'test',
                timeout: '20s',
                rate_limit_service: { grpc_service: service, transport_api_version: 'V3' },
              }),
              router,
            ]),
          ]),
        ],
        clusters: [
          staticCluster('app', app.port),
          staticCluster('authz', http1Authz.port),
          staticCluster('services', server.port, http2Upstream),
        ],
      },
    },
  })
})

afterAll(async () => {
  await stopAll()
  server.close()
  await Promise.all([app.close(), http1Authz.close()])
})

async function post(port: number, head: string, body: string) {
  const client = await Http1Client.connect(port)
  try {
    return await client.send(`POST /x HTTP/1.1\r\nhost: x\r\n${head}\r\n\r\n${body}`)
  } finally {
    client.destroy()
  }
}

describe('ext_authz', () => {
  it.each([
    ['HTTP', () => authzPort],
    ['gRPC', () => grpcAuthzPort],
  ])('%s: is asked with the body, which then goes on whole', async (_kind, port) => {
    app.requests.length = 0
    expect((await post(port(), 'content-length: 4', 'good')).body).toBe('ok')
    expect((await post(port(), 'transfer-encoding: chunked', '4\r\ngood\r\n0\r\n\r\n')).body).toBe('ok')
    expect(app.requests.map(request => request.body.toString())).toEqual(['good', 'good'])
    expect((await post(port(), 'content-length: 3', 'bad')).status).toBe(403)
    expect(app.requests).toHaveLength(2)
  })

  it('HTTP: the service’s headers reach the application, its refusal the client', async () => {
    app.requests.length = 0
    await post(authzPort, 'x-user: forged\r\ncontent-length: 4', 'good')
    expect(app.requests[0]!.headers.get('x-user')).toBe('ann')
    expect((await post(authzPort, 'content-length: 3', 'bad')).body).toBe('go away')
  })

  it('a body past the limit is a 413 and is never let through unchecked', async () => {
    app.requests.length = 0
    checks.length = 0
    for (const port of [authzPort, grpcAuthzPort]) expect((await post(port, 'content-length: 2000', 'x'.repeat(2000))).status).toBe(413)
    expect([app.requests.length, checks.length]).toEqual([0, 0])
  })
})

describe('global rate limit', () => {
  it('asks with the route’s descriptors; OVER_LIMIT is a 429', async () => {
    expect((await post(limitPort, 'x-user: ann\r\ncontent-length: 0', '')).body).toBe('ok')
    const answer = await post(limitPort, 'x-user: bob\r\ncontent-length: 0', '')
    expect([answer.status, answer.headers.get('x-envoy-ratelimited')]).toEqual([429, 'true'])
    expect(limits[0]).toMatchObject({ domain: 'test', descriptors: [{ entries: [{ key: 'user', value: 'ann' }] }] })
  })
})
