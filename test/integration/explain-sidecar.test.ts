// "Where would this go?" asked of a running sidecar (POST /explain, `outrigger explain --admin`): each step with what decided it, the same
// answer as the request itself gets, and nothing counted for having asked.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../support/cli-fixture.js'
import { type Ask, Front, Lettered, localities, to } from '../support/front-proxy.js'
import { AnyCa, clientOptions, downstreamTls, spiffe } from '../support/mesh-certificates.js'
import {
  allowOnly,
  freePort,
  hcm,
  httpRbac,
  listener,
  networkRbac,
  router,
  routesTo,
  socketAddress,
  staticCluster,
  stopAll,
} from '../support/proxy-process.js'

const ca = new AnyCa()
const web = ca.service('web')
const batch = ca.service('batch')
const apps = new Lettered(2)
let front: Front
let admin: string
let securePort: number

const header = (name: string, exact: string): object => ({ name, string_match: { exact } })
const policies = {
  action: 'ALLOW',
  policies: {
    reads: { permissions: [{ header: header(':method', 'GET') }], principals: [{ any: true }] },
    writers: { permissions: [{ header: header('x-role', 'writer') }], principals: [{ any: true }] },
  },
}

beforeAll(async () => {
  await apps.listen()
  securePort = await freePort()
  const [a, b] = apps.ports as [number, number]
  const endpoints = [a, await freePort()].map((port, i) => ({
    endpoint: { address: socketAddress(port) },
    health_status: i === 0 ? 'HEALTHY' : 'UNHEALTHY',
  }))
  front = await Front.start({
    filters: [httpRbac(policies)],
    routes: [
      { name: 'canary', match: { prefix: '/api', headers: [header('x-canary', 'yes')] }, route: { cluster: 'b' } },
      { match: { prefix: '/api', query_parameters: [{ name: 'v', string_match: { exact: '2' } }] }, route: { cluster: 'b' } },
      to('/api', 'a', { timeout: '3s', retry_policy: { retry_on: 'connect-failure,5xx', num_retries: 4, per_try_timeout: '1s' } }),
      { match: { path: '/old' }, redirect: { path_redirect: '/new' } },
      {
        match: { prefix: '/split' },
        route: {
          weighted_clusters: {
            clusters: [
              { name: 'a', weight: 90 },
              { name: 'b', weight: 10 },
            ],
          },
        },
      },
      { match: { prefix: '/gone' }, route: { cluster_header: 'x-cluster' } },
    ],
    clusters: [localities('a', [{ lb_endpoints: endpoints }]), staticCluster('b', b)],
    listeners: [
      listener(
        'secure',
        securePort,
        [networkRbac(allowOnly(spiffe('web'))), hcm({ route_config: routesTo('b') }, [router])],
        {},
        { name: 'mutual', transport_socket: downstreamTls(ca.service('api'), ca.pem) },
      ),
    ],
  })
  admin = `127.0.0.1:${front.proxy.adminPort}`
})
afterAll(async () => {
  await stopAll()
  await apps.close()
})

// biome-ignore lint/suspicious/noExplicitAny: the answer's JSON is what is looked at.
async function explained(...flags: string[]): Promise<any> {
  const run = await runCommand(['explain', '--admin', admin, '--json', '--host', 'test', ...flags])
  expect(run).toMatchObject({ code: 0, err: '' })
  return JSON.parse(run.out).listeners[0]
}

const atFront = (...flags: string[]) => explained('--listener', 'front', ...flags)

describe('the route', () => {
  it('comes with those that were passed over and the condition that each misses', async () => {
    const { http, filter_chain } = await atFront('--path', '/api/items?v=1', '--header', 'x-canary: no')
    expect(filter_chain).toEqual({ name: '', tls: false, match: 'anything' })
    expect(http).toMatchObject({
      virtual_host: 'all',
      route: { name: 'routes[2]', match: 'prefix "/api"', action: 'forward to cluster a' },
      passed_over: [
        { route: 'canary', missed: 'header x-canary exact "yes": it is another' },
        { route: 'routes[1]', missed: 'query parameter v exact "2"' },
      ],
      outcome: 'forwarded to cluster a',
    })
  })

  it('shows timeouts and retries with the place where each is set', async () => {
    const { http } = await atFront('--path', '/api')
    expect(http.retries).toEqual({ set_by: 'route', on: ['5xx', 'connect-failure'], tries: 4 })
    expect(http.timeouts).toEqual(
      expect.arrayContaining([
        { name: 'request', ms: 3000, set_by: 'route routes[2]' },
        { name: 'per try', ms: 1000, set_by: 'retry policy of the route' },
        { name: 'stream idle', ms: 300_000, set_by: 'connection manager' },
        { name: 'connect', ms: 1000, set_by: 'cluster a' },
      ]),
    )
    expect((await atFront('--path', '/gone', '--header', 'x-cluster: nowhere')).http.timeouts[0]).toEqual({
      name: 'request',
      ms: 15_000,
      set_by: 'default',
    })
  })

  it('may split, answer by itself, lead nowhere or not be there', async () => {
    const split = await atFront('--path', '/split')
    expect(split.http.clusters.map(({ name, weight, total_weight }: Record<string, unknown>) => [name, weight, total_weight])).toEqual([
      ['a', 90, 100],
      ['b', 10, 100],
    ])
    expect((await atFront('--path', '/old')).outcome).toBe('answered 301: a redirect')
    expect((await atFront('--path', '/gone', '--header', 'x-cluster: nowhere')).http.clusters).toEqual([
      { name: 'nowhere', state: 'unknown', detail: 'there is no such cluster' },
    ])
    expect((await atFront('--path', '/nope')).outcome).toBe('answered 404: no route of virtual host all matches')
  })
})

it('shows each endpoint with its health and why it is out', async () => {
  const { http } = await atFront('--path', '/api')
  const [cluster] = http.clusters
  expect(cluster).toMatchObject({ name: 'a', state: 'ready', type: 'static', lb_policy: 'roundRobin', connect_timeout_ms: 1000 })
  expect(cluster.endpoints).toEqual([
    expect.objectContaining({ eligible: false, health: 'UNHEALTHY', reason: 'the control plane says that it is unhealthy' }),
    expect.objectContaining({ eligible: true, health: 'HEALTHY', address: `127.0.0.1:${apps.ports[0]}` }),
  ])
})

describe('authorisation', () => {
  it('names the policy that allows, and what the nearest one lacked', async () => {
    expect((await atFront('--path', '/api')).http.filters).toEqual([
      { name: 'envoy.filters.http.rbac', verdict: 'passes', reason: 'policy "reads" allows', rule: 'reads' },
    ])
    const denied = await atFront('--path', '/api', '--method', 'POST')
    expect(denied.http.filters[0]).toMatchObject({ verdict: 'denies', status: 403, reason: expect.stringContaining('method POST did not') })
    expect(denied.outcome).toMatch(/^answered 403 by envoy\.filters\.http\.rbac: /)
  })

  it('asks who a TLS client is, and lets the network filters judge the name', async () => {
    const at = (...flags: string[]) => explained('--port', String(securePort), ...flags)
    expect((await at()).outcome).toBe('closed: the filter chain wants a client certificate; say whose by source')
    expect(await at('--from', spiffe('web'))).toMatchObject({
      filter_chain: { name: 'mutual', tls: true },
      outcome: 'forwarded to cluster b',
    })
    // A bare name is a service of our own mesh.
    expect((await at('--from', 'batch')).outcome).toMatch(/^closed by envoy\.filters\.network\.rbac: no policy matched/)
  })
})

it('says what the request itself then meets, and counts nothing', async () => {
  const asked: readonly (readonly [string, Ask, RegExp])[] = [
    ['/api', {}, /^forwarded/],
    ['/api', { method: 'POST' }, /^answered 403/],
    ['/old', {}, /^answered 301/],
    ['/nope', {}, /^answered 404/],
    ['/%00', {}, /^answered 404/],
  ]
  // Not the bytes of connections, which are counted a little later.
  const counted = async (): Promise<unknown> =>
    [...(await front.proxy.stats())].filter(([name]) => /^(http\.ingress|cluster|listener\.127|vhost)\..*(_rq|rbac|retry|lb_)/.test(name))
  for (const [path, ask, outcome] of asked) {
    const status = await front.status(path, ask)
    const before = await counted()
    const { outcome: said } = await atFront('--path', path, '--method', ask.method ?? 'GET')
    expect(said).toMatch(outcome)
    expect(await counted()).toEqual(before)
    expect(said.startsWith('forwarded') ? 200 : Number(said.slice(9, 12))).toBe(status)
  }
  expect(await front.status('/api', { headers: { 'x-canary': 'yes' } })).toBe(200)
})

it('prints a tree', async () => {
  const { out } = await runCommand(['explain', '--admin', admin, '--host', 'test', '--path', '/api', '--listener', 'front'])
  expect(out).toContain('GET test/api\n└─ listener front (127.0.0.1:')
  expect(out).toContain('│  └─ routes[1] (prefix "/api", query parameter v exact "2") misses query parameter v exact "2"')
  expect(out).toMatch(/out 127\.0\.0\.1:\d+ UNHEALTHY: the control plane says that it is unhealthy\n/)
})

describe('what is wrong with the question', () => {
  it.each([
    [['--path', 'api'], 'path: must begin with / and hold no blank'],
    [['--header', 'nonsense'], 'header: must be name:value'],
    [['--port', '99999'], 'port: "99999" is none'],
    [['--source-address', 'here'], 'source_address: "here" is no IP address'],
  ])('%j is refused', async (flags, reason) => {
    expect(await runCommand(['explain', '--admin', admin, '--host', 'test', ...flags])).toMatchObject({
      code: 1,
      err: expect.stringContaining(reason),
    })
  })

  it('is told where the sidecar is not', async () => {
    const run = await runCommand(['explain', '--admin', `127.0.0.1:${await freePort()}`, '--host', 'test'])
    expect(run.err).toMatch(/cannot reach the sidecar at .*--admin says where its admin listens/)
  })
})

it('a client of that name meets the same rule', async () => {
  const { Http1Client } = await import('../support/http1-client.js')
  const client = await Http1Client.connect(securePort, { ...clientOptions(web, ca.pem), servername: 'api' })
  expect((await client.send('GET / HTTP/1.1\r\nhost: x\r\n\r\n')).status).toBe(200)
  client.destroy()
  await expect(
    (async () => {
      const refused = await Http1Client.connect(securePort, { ...clientOptions(batch, ca.pem), servername: 'api' })
      await refused.send('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
    })(),
  ).rejects.toThrow()
})

describe('proxy-config', () => {
  const config = async (view: string, ...more: string[]) => (await runCommand(['proxy-config', view, '--admin', admin, ...more])).out

  it('shows clusters, endpoints, listeners, routes, secrets and log levels', async () => {
    expect(await config('clusters')).toMatch(/^a +2 +bootstrap$/m)
    expect(await config('endpoints')).toMatch(new RegExp(`^a +127\\.0\\.0\\.1:${apps.ports[0]} +HEALTHY +- +1$`, 'm'))
    expect(await config('listeners')).toMatch(new RegExp(`^secure +127\\.0\\.0\\.1:${securePort}$`, 'm'))
    expect(await config('routes')).toMatch(/^r +all +canary +prefix \/api, headers +b$/m)
    expect(await config('routes')).toMatch(/^r +all +routes\[4\] +prefix \/split +a \(90\), b \(10\)$/m)
    expect(await config('secrets')).toMatch(/^own +spiffe:\/\/\S+\/svc\/api +\S+ +\S+ +0$/m)
    expect(await config('log', '--level', 'upstream:debug')).toContain('  upstream: debug\n')
    expect(JSON.parse(await config('listeners', '--json')).listener_statuses).toHaveLength(2)
  })
})
