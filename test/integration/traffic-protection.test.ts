// Breakers, outlier detection, active health checks and the limiting filters, through the real proxy on real sockets.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  assignment,
  fileAccessLog,
  freePort,
  hcm,
  listener,
  ProxyProcess,
  router,
  staticCluster,
  stopAll,
  typed,
  until,
} from '../support/proxy-process.js'

const app = new HttpOrigin()
const sick = new HttpOrigin()
const shadow = new HttpOrigin()
let proxy: ProxyProcess
let port: number
let filteredPort: number
let gatePort: number

const panicOff = { common_lb_config: { healthy_panic_threshold: { value: 0 } } }
const breaker = (limits: object): object => ({ circuit_breakers: { thresholds: [limits] } })
const to = (prefix: string, cluster: string, more: object = {}): object => ({ match: { prefix }, route: { cluster, ...more } })

beforeAll(async () => {
  await Promise.all([app.listen(), sick.listen(), shadow.listen()])
  port = await freePort()
  filteredPort = await freePort()
  gatePort = await freePort()
  const access_log = [fileAccessLog('LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%')]
  const table = (routes: object[]): object => ({ name: 'r', virtual_hosts: [{ name: 'all', domains: ['*'], routes }] })
  const library = (name: string, type: string): object =>
    typed(`envoy.filters.http.compressor.${name}`, 'filters.http.compressor.v3.Compressor', {
      response_direction_config: { common_config: { min_content_length: 50, content_type: ['text/plain'] } },
      compressor_library: typed(name, type),
    })
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('front', port, [
            hcm({
              access_log,
              route_config: table([
                to('/connections', 'connections'),
                to('/pending', 'pending'),
                to('/requests', 'requests'),
                to('/outlier', 'outlier'),
                to('/checked', 'checked'),
                to('/tcp-checked', 'tcp-checked'),
                to('/once', 'once'),
                to('/mirror', 'app', { request_mirror_policies: [{ cluster: 'shadow' }] }),
                to('/', 'app'),
              ]),
            }),
          ]),
          listener('filtered', filteredPort, [
            hcm({ stat_prefix: 'filtered', access_log, route_config: table([to('/', 'app')]) }, [
              typed('envoy.filters.http.buffer', 'filters.http.buffer.v3.Buffer', { max_request_bytes: 1000 }),
              library('gzip', 'compression.gzip.compressor.v3.Gzip'),
              library('brotli', 'compression.brotli.compressor.v3.Brotli'),
              router,
            ]),
          ]),
          listener('gate', gatePort, [
            typed('envoy.filters.network.connection_limit', 'filters.network.connection_limit.v3.ConnectionLimit', {
              stat_prefix: 'gate',
              max_connections: 1,
            }),
            hcm({ stat_prefix: 'gate', route_config: table([to('/', 'app')]) }),
          ]),
        ],
        clusters: [
          staticCluster('app', app.port),
          staticCluster('shadow', shadow.port),
          staticCluster('connections', app.port, breaker({ max_connections: 1, max_pending_requests: 1 })),
          staticCluster('pending', app.port, breaker({ max_pending_requests: 0 })),
          staticCluster('requests', app.port, breaker({ max_requests: 1 })),
          staticCluster('once', app.port, { max_requests_per_connection: 1 }),
          {
            name: 'outlier',
            type: 'STATIC',
            connect_timeout: '1s',
            load_assignment: assignment('outlier', [sick.port]),
            outlier_detection: { consecutive_5xx: 2, interval: '0.1s', base_ejection_time: '2s', max_ejection_percent: 100 },
            ...panicOff,
          },
          ...(['checked', 'tcp-checked'] as const).map(name => ({
            name,
            type: 'STATIC',
            connect_timeout: '1s',
            load_assignment: assignment(name, [sick.port]),
            health_checks: [
              {
                timeout: '5s',
                interval: '0.05s',
                no_traffic_interval: '0.05s',
                unhealthy_threshold: 1,
                healthy_threshold: 1,
                ...(name === 'checked' ? { http_health_check: { path: '/healthz' } } : { tcp_health_check: {} }),
              },
            ],
            ...panicOff,
          })),
        ],
      },
    },
  })
})

afterAll(async () => {
  await stopAll()
  await Promise.all([app.close(), sick.close(), shadow.close()])
})

beforeEach(() => {
  app.requests.length = 0
  app.respond = (_, socket) => void socket.write(http('ok'))
  sick.respond = (_, socket) => void socket.write(http('ok'))
})

const logged = (line: RegExp) => until(`access log ${line}`, () => line.test(proxy.log))

describe('circuit breakers', () => {
  it.each([
    ['connections', 'max_pending_requests 1', 2],
    ['requests', 'max_requests 1', 1],
    ['pending', 'max_pending_requests 0', 0],
  ])('%s: 503 UO that names the limit', async (cluster, limit, before) => {
    app.respond = () => {}
    const held = await Promise.all(Array.from({ length: before }, () => Http1Client.connect(port)))
    for (const [i, client] of held.entries()) {
      client.get(`/${cluster}`).catch(() => {})
      await proxy.untilStat('http.ingress.downstream_rq_active', value => value === i + 1)
      // While its connection is being made the first request is a pending one itself.
      await until('the first request at the origin', () => app.requests.length === 1)
    }
    const answer = await fetchOnce(port, `/${cluster}/over`)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('x-envoy-overloaded')).toBe('true')
    expect(answer.body).toContain(limit)
    await logged(
      new RegExp(`LOG /${cluster}/over 503 UO upstream_reset_before_response_started\\{overflow\\|${limit.replace(' ', '_')}\\}`),
    )
    const counter = cluster === 'requests' ? 'upstream_rq_active_overflow' : 'upstream_rq_pending_overflow'
    expect(await proxy.stat(`cluster.${cluster}.${counter}`)).toBe(1)
    for (const client of held) client.destroy()
    await proxy.untilStat('http.ingress.downstream_rq_active', value => value === 0)
    await proxy.untilStat(`cluster.${cluster}.circuit_breakers.default.rq_open`, value => value === 0)
  })
})

describe('endpoints that fail', () => {
  it('are ejected after consecutive_5xx, answered for with UH, and come back', async () => {
    sick.respond = (_, socket) => void socket.write(http('', '500 Oops'))
    expect((await fetchOnce(port, '/outlier')).status).toBe(500)
    expect((await fetchOnce(port, '/outlier')).status).toBe(500)
    const answer = await fetchOnce(port, '/outlier/ejected')
    expect([answer.status, answer.body]).toEqual([503, 'no healthy upstream'])
    expect(await proxy.stat('cluster.outlier.outlier_detection.ejections_active')).toBe(1)
    await logged(/LOG \/outlier\/ejected 503 UH no_healthy_upstream/)
    sick.respond = (_, socket) => void socket.write(http('back'))
    await proxy.untilStat('cluster.outlier.outlier_detection.ejections_active', value => value === 0)
    expect((await fetchOnce(port, '/outlier')).body).toBe('back')
  })

  it('are taken out by the HTTP health check and put back', async () => {
    await proxy.untilStat('cluster.checked.membership_healthy', value => value === 1)
    sick.respond = (request, socket) => void socket.write(request.path === '/healthz' ? http('', '503 Busy') : http('ok'))
    await proxy.untilStat('cluster.checked.membership_healthy', value => value === 0)
    expect((await fetchOnce(port, '/checked')).status).toBe(503)
    sick.respond = (_, socket) => void socket.write(http('ok'))
    await proxy.untilStat('cluster.checked.membership_healthy', value => value === 1)
    expect((await fetchOnce(port, '/checked')).body).toBe('ok')
  })

  it('are found by the TCP health check', async () => {
    await proxy.untilStat('cluster.tcp-checked.membership_healthy', value => value === 1)
    const { port: sickPort } = sick
    await sick.close()
    await proxy.untilStat('cluster.tcp-checked.membership_healthy', value => value === 0)
    expect((await fetchOnce(port, '/tcp-checked')).status).toBe(503)
    await sick.listen(sickPort)
    await proxy.untilStat('cluster.tcp-checked.membership_healthy', value => value === 1)
    expect((await fetchOnce(port, '/tcp-checked')).body).toBe('ok')
  })
})

describe('limits', () => {
  it('max_requests_per_connection: a new upstream connection for each request', async () => {
    for (let i = 0; i < 3; i++) await fetchOnce(port, '/once')
    expect(new Set(app.requests.map(request => request.connection)).size).toBe(3)
  })

  it('connection_limit: the second connection is closed, the first one lives', async () => {
    const first = await Http1Client.connect(gatePort)
    expect((await first.get('/')).body).toBe('ok')
    const second = await Http1Client.connect(gatePort).catch(() => null)
    await second?.untilClosed()
    expect((await first.get('/')).body).toBe('ok')
    expect(await proxy.stat('connection_limit.gate.limited_connections')).toBe(1)
    first.destroy()
  })
})

describe('bodies', () => {
  const post = async (to: number, head: string, body: string) => {
    const client = await Http1Client.connect(to)
    try {
      return await client.send(`POST /body HTTP/1.1\r\nhost: x\r\n${head}\r\n\r\n${body}`)
    } finally {
      client.destroy()
    }
  }

  it('buffer: a chunked body goes on whole, with its length', async () => {
    expect((await post(filteredPort, 'transfer-encoding: chunked', '5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n')).body).toBe('ok')
    expect(app.requests[0]!.headers.get('content-length')).toBe('11')
    expect(app.requests[0]!.body.toString()).toBe('hello world')
  })

  it('buffer: 413 past the limit, and nothing reaches the server', async () => {
    expect((await post(filteredPort, 'content-length: 1001', 'x'.repeat(1001))).status).toBe(413)
    expect((await post(filteredPort, 'transfer-encoding: chunked', `3e9\r\n${'x'.repeat(1001)}\r\n0\r\n\r\n`)).status).toBe(413)
    expect(app.requests).toHaveLength(0)
  })

  it.each(['gzip', 'br'])('compressor: %s of a long body is that body', async coding => {
    const text = Array.from({ length: 20_000 }, (_unused, i) => `line ${i}`).join('\n')
    app.respond = (_, socket) => void socket.write(http(text, '200 OK', { 'content-type': 'text/plain' }))
    const response = await fetch(`http://127.0.0.1:${filteredPort}/`, { headers: { 'accept-encoding': coding } })
    expect(response.headers.get('content-encoding')).toBe(coding)
    // fetch decodes by itself, and fails on a broken stream.
    expect(await response.text()).toBe(text)
  })

  it('mirroring: the shadow gets the request, its answer is dropped', async () => {
    shadow.respond = (_, socket) => void socket.write(http('', '500 Oops'))
    expect((await fetchOnce(port, '/mirror')).body).toBe('ok')
    await until('the shadow request', () => shadow.requests.length === 1)
    expect(shadow.requests[0]!.headers.get('host')).toBe('test-shadow')
  })
})
