// A failing upstream is said where it was seen: once in the log, with host, limit or timer, its value and where it is set; in the body for
// clients who may know, in Envoy's words for all others; and under the request's id by /recent_requests and `outrigger why`.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../support/cli-fixture.js'
import { Front, localities, panicOff, to } from '../support/front-proxy.js'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, socketAddress, staticCluster, stopAll } from '../support/proxy-process.js'

/** What the sidecar of a callee says. */
const TOLD = ['x-outrigger-reason', 'x-outrigger-denied-by']
const origin = new HttpOrigin(({ path }, socket) => {
  if (path.startsWith('/slow')) return
  if (path.startsWith('/cut')) socket.destroy()
  else if (path.startsWith('/told'))
    socket.write(`HTTP/1.1 503 No\r\n${TOLD.map(name => `${name}: inner\r\n`).join('')}Content-Length: 0\r\n\r\n`)
  else socket.write(http('fine'))
})
let front: Front
let plainPort: number
let dead: number

const limits = { circuit_breakers: { thresholds: [{ max_requests: 0 }] } }
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
]

beforeAll(async () => {
  await origin.listen()
  plainPort = await freePort()
  dead = await freePort()
  const sick = [{ lb_endpoints: [{ health_status: 'UNHEALTHY', endpoint: { address: socketAddress(1) } }] }]
  front = await Front.start({
    routes,
    clusters: [
      staticCluster('app', origin.port),
      staticCluster('dead', dead),
      staticCluster('full', origin.port, limits),
      localities('sick', sick, panicOff),
    ],
    listener: { metadata: { filter_metadata: { outrigger: { explain: true } } } },
    listeners: [
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
]

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
