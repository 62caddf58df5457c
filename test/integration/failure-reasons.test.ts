// A failing upstream is said where it was seen: once in the log, with host, limit or timer, its value and where it is set; in the body for
// clients who may know, in Envoy's words for all others; and under the request's id by /recent_requests and `outrigger why`.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../support/cli-fixture.js'
import { Front, localities, panicOff, to } from '../support/front-proxy.js'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { assignment, freePort, hcm, listener, router, socketAddress, staticCluster, stopAll, typed } from '../support/proxy-process.js'

/** What the sidecar of a callee says. */
const TOLD = ['x-outrigger-reason', 'x-outrigger-denied-by']
const origin = new HttpOrigin(({ path }, socket) => {
  if (path.startsWith('/slow') || path.startsWith('/silent') || path.startsWith('/long')) return
  if (path.startsWith('/err')) return void socket.write('HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n')
  if (path.startsWith('/cut')) socket.destroy()
  else if (path.startsWith('/told'))
    socket.write(`HTTP/1.1 503 No\r\n${TOLD.map(name => `${name}: inner\r\n`).join('')}Content-Length: 0\r\n\r\n`)
  else socket.write(http('fine'))
})
let front: Front
let plainPort: number
let authzPort: number
let limitPort: number
let dead: number

const limits = { circuit_breakers: { thresholds: [{ max_requests: 0 }] } }
const filterOf = (name: string, type: string, config: object = {}): object =>
  typed(`envoy.filters.http.${name}`, `filters.http.${type}`, config)
const onRoute = (name: string, type: string, config: object): object => ({
  typed_per_filter_config: {
    [`envoy.filters.http.${name}`]: { '@type': `type.googleapis.com/envoy.extensions.filters.http.${type}`, ...config },
  },
})
const all = { numerator: 100 }
const bucket = { max_tokens: 1, tokens_per_fill: 1, fill_interval: '3600s' }
const limit = { stat_prefix: 'few', token_bucket: bucket, filter_enabled: { default_value: all }, filter_enforced: { default_value: all } }
const routes = [
  to('/dead', 'dead'),
  to('/slow/route', 'app', { timeout: '0.05s' }, { name: 'short' }),
  to('/slow/try', 'app', { timeout: '5s', retry_policy: { num_retries: 0, retry_on: 'reset', per_try_timeout: '0.04s' } }),
  to('/cut', 'app'),
  to('/full', 'full'),
  to('/sick', 'sick'),
  { match: { prefix: '/nowhere' }, route: { cluster_header: 'x-cluster' } },
  to('/fine', 'app'),
  to('/told', 'app'),
  to('/silent', 'app', { timeout: '0s', idle_timeout: '0.06s' }),
  to('/long', 'app', { timeout: '0s', max_stream_duration: { max_stream_duration: '0.07s' } }),
  to('/err', 'app', { retry_policy: { retry_on: '5xx', num_retries: 1, retry_back_off: { base_interval: '0.001s' } } }),
  to('/shed', 'shed'),
  to('/unnamed', 'unnamed'),
  to('/abort', 'app', {}, onRoute('fault', 'fault.v3.HTTPFault', { abort: { http_status: 503, percentage: all } })),
  to('/few', 'app', {}, onRoute('local_ratelimit', 'local_ratelimit.v3.LocalRateLimit', limit)),
]

const explaining = { metadata: { filter_metadata: { outrigger: { explain: true } } } }
/** A listener whose filter asks a service that is not there. */
const asking = (port: number, filter: object): object => {
  const rate_limits = [{ actions: [{ generic_key: { descriptor_value: 'any' } }] }]
  const hosts = [{ name: 'all', domains: ['*'], routes: [to('/', 'app', { rate_limits })] }]
  return listener(`asking-${port}`, port, [hcm({ route_config: { name: 'asking', virtual_hosts: hosts } }, [filter, router])], explaining)
}

beforeAll(async () => {
  await origin.listen()
  plainPort = await freePort()
  dead = await freePort()
  authzPort = await freePort()
  limitPort = await freePort()
  const sick = [{ lb_endpoints: [{ health_status: 'UNHEALTHY', endpoint: { address: socketAddress(1) } }] }]
  front = await Front.start({
    routes,
    clusters: [
      staticCluster('app', origin.port),
      staticCluster('dead', dead),
      staticCluster('gone', dead),
      staticCluster('full', origin.port, limits),
      localities('sick', sick, panicOff),
      {
        name: 'shed',
        type: 'STATIC',
        load_assignment: {
          ...assignment('shed', [origin.port]),
          policy: { drop_overloads: [{ category: 'spare', drop_percentage: all }] },
        },
      },
      {
        name: 'unnamed',
        type: 'STRICT_DNS',
        load_assignment: {
          cluster_name: 'unnamed',
          endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 'nobody.invalid', port_value: 1 } } } }] }],
        },
      },
    ],
    listener: explaining,
    filters: [
      filterOf('fault', 'fault.v3.HTTPFault'),
      filterOf('local_ratelimit', 'local_ratelimit.v3.LocalRateLimit', { stat_prefix: 'few' }),
    ],
    listeners: [
      asking(
        authzPort,
        filterOf('ext_authz', 'ext_authz.v3.ExtAuthz', {
          http_service: { server_uri: { uri: `http://127.0.0.1:${dead}`, cluster: 'gone', timeout: '1s' } },
        }),
      ),
      asking(
        limitPort,
        filterOf('ratelimit', 'ratelimit.v3.RateLimit', {
          domain: 'd',
          failure_mode_deny: true,
          rate_limit_service: { transport_api_version: 'V3', grpc_service: { envoy_grpc: { cluster_name: 'gone' } } },
        }),
      ),
      listener('plain', plainPort, [hcm({ route_config: { name: 'r', virtual_hosts: [{ name: 'all', domains: ['*'], routes }] } })]),
    ],
  })
})
afterAll(async () => {
  await stopAll()
  await origin.close()
})

const cases: readonly (readonly [path: string, status: number, envoys: string, reason: (app: number) => string])[] = [
  [
    '/slow/route',
    504,
    'upstream request timeout',
    app => `no answer from 127.0.0.1:${app} within 50 ms, the request timeout, set by route short of virtual host all`,
  ],
  [
    '/slow/try',
    504,
    'upstream request timeout',
    app =>
      `no answer from 127.0.0.1:${app} within 40 ms, the per-try timeout, set by the retry policy of route routes[2] of virtual host all`,
  ],
  [
    '/full',
    503,
    'upstream connect error or disconnect/reset before headers. reset reason: overflow',
    () => 'limit max_requests 0 is reached, set by the circuit breakers of cluster full',
  ],
  ['/sick', 503, 'no healthy upstream', () => 'none of the 1 endpoints of cluster sick may be used: 1 are out by the control plane'],
  ['/nowhere', 503, '', () => 'route routes[6] leads to cluster nobody, which is not there'],
  ['/unrouted', 404, '', () => 'no route of route config r matches'],
  [
    '/cut',
    503,
    'upstream connect error or disconnect/reset before headers. reset reason: connection termination',
    app => `127.0.0.1:${app} closed the connection after the request was sent`,
  ],
  ['/silent', 504, 'stream timeout', () => 'silence for 60 ms, the stream idle timeout, set by the route'],
  ['/long', 504, 'downstream duration timeout', () => 'the stream lasted 70 ms, the max_stream_duration, set by the route'],
  ['/shed', 503, 'unconditional drop overload', () => 'dropped by drop_overloads of cluster shed, category spare'],
  ['/unnamed', 503, 'no healthy upstream', () => 'cluster unnamed has no endpoints: DNS '],
]

/** As `outrigger why` has it. */
async function whyFailed(id: string): Promise<string | undefined> {
  const { code, out, err } = await runCommand(['why', id, '--admin', `127.0.0.1:${front.proxy.adminPort}`])
  expect(code, err).toBe(0)
  return /failure: (.*)/.exec(out)?.[1]
}

describe('the reason', () => {
  it.each(cases)('of %s is in the body beside us, and Envoy’s words are all that others get', async (path, status, envoys, reason) => {
    const headers = { 'x-cluster': 'nobody' }
    const beside = await front.ask(path, { headers })
    expect([beside.status, beside.body]).toEqual([status, expect.stringContaining(reason(origin.port))])
    expect(beside.body.startsWith(envoys)).toBe(true)
    const other = await fetchOnce(plainPort, path, headers)
    expect(other.status).toBe(status)
    expect(other.body).not.toContain('set by')
    expect(other.body).not.toContain(String(origin.port))
    // Neither learns more from the headers, as neither is a mesh peer.
    expect([beside.headers.get('x-outrigger-reason'), other.headers.get('x-outrigger-reason')]).toEqual([undefined, undefined])
  })

  it('names the header that the cluster should have come from', async () => {
    expect((await front.ask('/nowhere')).body).toBe('route routes[6] takes its cluster from header x-cluster, which the request has not')
  })

  it('of a limit is the limit, and of an abort that it is wanted, whose body stays as it is', async () => {
    expect((await front.ask('/few')).status).toBe(200)
    expect((await front.ask('/few')).body).toContain('over the local rate limit of this sidecar (stat_prefix few): 1 each 3600000 ms')
    expect((await front.ask('/abort', { headers: { 'x-request-id': 'aborted' } })).body).toBe('fault filter abort')
    expect(await whyFailed('aborted')).toBe('the fault filter aborts it, as it is configured to')
  })

  it('of an answer that tries could not mend is told by `why`, and leaves the answer alone', async () => {
    expect(await front.ask('/err', { headers: { 'x-request-id': 'spent' } })).toMatchObject({ status: 500, body: '' })
    expect(await whyFailed('spent')).toMatch(/answered 500 to the last of 2 tries, as many as the retry policy of route .* allows$/)
  })

  it.each([
    ['authorization', () => authzPort, 403, /^the authorization service \(cluster gone\) gives no answer, and failure_mode_allow is off: /],
    [
      'rate limit',
      () => limitPort,
      500,
      /^the rate limit service \(cluster gone\) gives no answer, and failure_mode_deny is on: gRPC status 14/,
    ],
  ] as const)('of a silent %s service is in the body and in the log', async (service, port, status, reason) => {
    const answer = await fetchOnce(port(), '/')
    expect([answer.status, answer.body]).toEqual([status, expect.stringMatching(reason)])
    await front.proxy.untilLog(`upstream gone: the ${service} service (cluster gone) gives no answer`)
  })

  it('that the callee’s sidecar gave goes on to the application beside us, and to nobody else', async () => {
    const beside = await front.ask('/told')
    expect(TOLD.map(name => beside.headers.get(name))).toEqual(['inner', 'inner'])
    const other = await fetchOnce(plainPort, '/told')
    expect([other.status, ...TOLD.map(name => other.headers.get(name))]).toEqual([503, undefined, undefined])
  })

  it('is said once in the log, however many requests fail', async () => {
    for (let i = 0; i < 5; i++) expect(await front.status('/dead')).toBe(503)
    await front.proxy.untilLog(`upstream dead: no connection to 127.0.0.1:${dead}: `)
    await front.logged('/dead', '503 UF')
    expect(front.proxy.log.split('upstream dead: ')).toHaveLength(2)
  })

  it('leaves response flags and details as Envoy has them', async () => {
    await front.status('/slow/route')
    await front.logged('/slow/route', '504 UT response_timeout')
  })
})

describe('outrigger why', () => {
  const admin = (): string => `127.0.0.1:${front.proxy.adminPort}`
  const why = (id: string, ...more: string[]) => runCommand(['why', id, '--admin', admin(), ...more])

  it('tells the story of a failed request', async () => {
    await front.ask('/slow/route?secret-looking', {
      headers: { 'x-request-id': 'story-1', authorization: 'Bearer hidden', cookie: 'a=hidden' },
    })
    const { code, out } = await why('story-1')
    expect(code).toBe(0)
    expect(out).toContain('GET test/slow/route?secret-looking -> 504 UT')
    expect(out).toContain('listener front')
    expect(out).toContain('route short of virtual host all')
    expect(out).toContain('passed over routes[0] (prefix "/dead"): path: not prefix "/dead"')
    expect(out).toContain(`cluster app, endpoint 127.0.0.1:${origin.port}`)
    expect(out).toContain('failure: no answer from 127.0.0.1:')
    expect(out).toMatch(/upstream request sent [\d.]+ ms, .*end [\d.]+ ms/)
    expect(out).not.toContain('hidden')
  })

  it('tells of a good one too, as JSON where that is asked for', async () => {
    await front.ask('/fine', { headers: { 'x-request-id': 'story-2' } })
    const [hop] = JSON.parse((await why('story-2', '--json')).out)
    expect(hop.request).toMatchObject({ status: 200, flags: '-', details: 'via_upstream', route: 'routes[7]', cluster: 'app', tries: 1 })
  })

  it('keeps failed requests while good ones pass in numbers', async () => {
    await front.ask('/dead', { headers: { 'x-request-id': 'kept' } })
    const client = await (await import('../support/http1-client.js')).Http1Client.connect(front.port)
    for (let i = 0; i < 1100; i++) await client.send(`GET /fine HTTP/1.1\r\nhost: test\r\nx-request-id: good-${i}\r\n\r\n`)
    client.destroy()
    expect((await why('kept')).out).toContain('/dead -> 503')
    expect((await why('good-1099')).code).toBe(0)
    expect(await why('good-0')).toMatchObject({ code: 1, err: expect.stringContaining('remembers good-0') })
  })
})
