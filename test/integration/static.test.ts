// A static bootstrap in a real process: what it proxies and answers itself, and the admin API around it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, staticCluster, stopAll } from '../support/proxy-process.js'

const origin = new HttpOrigin()
const secretText = 'do-not-print-this'

function routes(): object {
  const route = (match: object, rest: object) => ({ match, ...rest })
  return {
    name: 'local',
    validate_clusters: false,
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: [
          route({ path: '/direct' }, { direct_response: { status: 418, body: { inline_string: 'short and stout' } } }),
          route({ path: '/old' }, { redirect: { path_redirect: '/new', response_code: 'FOUND' } }),
          route({ path: '/secure' }, { redirect: { https_redirect: true } }),
          route({ prefix: '/rewrite/' }, { route: { cluster: 'app', prefix_rewrite: '/' } }),
          route({ path: '/nowhere' }, { route: { cluster: 'unknown' } }),
          route({ prefix: '/' }, { route: { cluster: 'app' } }),
        ],
      },
    ],
  }
}

function bootstrap(port: number): object {
  return {
    node: { id: 'static-1', cluster: 'static' },
    static_resources: {
      listeners: [listener('front', port, [hcm({ route_config: routes() })], { traffic_direction: 'INBOUND' })],
      clusters: [staticCluster('app', origin.port)],
      secrets: [{ name: 'hidden', generic_secret: { secret: { inline_string: secretText } } }],
    },
  }
}

beforeAll(async () => {
  await origin.listen()
})
afterAll(async () => {
  await stopAll()
  await origin.close()
})

describe.each(['yaml', 'json'] as const)('a static bootstrap in %s', format => {
  let port: number
  let proxy: ProxyProcess

  beforeAll(async () => {
    port = await freePort()
    proxy = await ProxyProcess.start({ bootstrap: bootstrap(port), format })
  })
  afterAll(() => proxy.stop())

  it('proxies a request with its body and keeps the connection', async () => {
    const client = await Http1Client.connect(port)
    origin.respond = (request, socket) => void socket.write(http(`${request.method} ${request.path} ${request.body}`))
    const first = await client.send('POST /a?b=c HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello')
    expect(first.status).toBe(200)
    expect(first.body).toBe('POST /a?b=c hello')
    expect(first.headers.get('server')).toBe('envoy')
    expect(first.headers.get('x-envoy-upstream-service-time')).toMatch(/^\d+$/)
    const second = await client.send('POST /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n')
    expect(second.body).toBe('POST /c abc')
    client.destroy()
    const seen = origin.requests.at(-1)!
    expect(seen.headers.get('x-forwarded-proto')).toBe('http')
    expect(seen.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('answers direct responses, redirects, rewrites and unknown clusters', async () => {
    const direct = await fetchOnce(port, '/direct')
    expect([direct.status, direct.body]).toEqual([418, 'short and stout'])
    const found = await fetchOnce(port, '/old', { host: 'example.com' })
    expect([found.status, found.headers.get('location')]).toEqual([302, 'http://example.com/new'])
    const secure = await fetchOnce(port, '/secure', { host: 'example.com' })
    expect([secure.status, secure.headers.get('location')]).toEqual([301, 'https://example.com/secure'])
    await fetchOnce(port, '/rewrite/me')
    expect(origin.requests.at(-1)!.path).toBe('/me')
    expect((await fetchOnce(port, '/nowhere')).status).toBe(503)
  })

  it('refuses ambiguous messages without one byte to the origin', async () => {
    const before = origin.requests.length
    for (const bad of [
      'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n',
      'GET / HTTP/1.1\r\nhost : a\r\n\r\n',
      'GET / HTTP/1.1\nhost: a\n\n',
    ]) {
      const client = await Http1Client.connect(port)
      const answer = await client.send(bad)
      expect(answer.status, bad).toBe(400)
      await client.untilClosed()
    }
    expect(origin.requests.length).toBe(before)
  })
})

describe('the admin API', () => {
  let port: number
  let proxy: ProxyProcess

  beforeAll(async () => {
    port = await freePort()
    proxy = await ProxyProcess.start({ bootstrap: bootstrap(port) })
    origin.respond = (_, socket) => void socket.write(http('ok'))
    await fetchOnce(port, '/')
  })
  afterAll(() => proxy.stop())

  it('/ready and /healthcheck', async () => {
    expect((await proxy.get('/ready')).body).toBe('LIVE\n')
    expect((await proxy.post('/healthcheck/fail')).body).toBe('OK\n')
    expect((await proxy.get('/ready')).status).toBe(503)
    expect((await proxy.get('/server_info')).body).toContain('"state": "DRAINING"')
    await proxy.post('/healthcheck/ok')
    expect((await proxy.get('/ready')).status).toBe(200)
    expect((await proxy.get('/healthcheck/fail')).status).toBe(405)
    expect((await proxy.get('/no/such')).status).toBe(404)
  })

  it('/server_info has the version in five parts, the node and the flags', async () => {
    const info = await proxy.json('/server_info')
    expect(info.version.split('/')).toHaveLength(5)
    expect(info.version.split('/')[1]).toBe('1.40.0')
    expect(info.state).toBe('LIVE')
    expect(info.node).toMatchObject({ id: 'static-1', cluster: 'static' })
    expect(info.command_line_options).toMatchObject({ concurrency: 1, drain_time: '5s', drain_strategy: 'Gradual', mode: 'Serve' })
  })

  it('/stats in its forms', async () => {
    const text = (await proxy.get('/stats?filter=ingress.*rq_total')).body
    expect(text).toMatch(/^http\.ingress\.downstream_rq_total: [1-9]/m)
    expect(text).not.toContain('cluster.')
    expect((await proxy.get('/stats?filter=%5B')).status).toBe(400)
    const json = await proxy.json('/stats?format=json&usedonly')
    expect(json.stats.find((stat: { name?: string }) => stat.name === 'cluster.app.upstream_rq_200').value).toBeGreaterThan(0)
    expect(json.stats.some((stat: { histograms?: unknown }) => stat.histograms !== undefined)).toBe(true)
    const prometheus = (await proxy.get('/stats/prometheus')).body
    expect(prometheus).toMatch(/^# TYPE envoy_cluster_upstream_rq_total counter$/m)
    expect(prometheus).toMatch(
      /^envoy_http_downstream_rq_xx\{envoy_response_code_class="2",envoy_http_conn_manager_prefix="ingress"\} [1-9]/m,
    )
    expect((await proxy.get('/stats?format=prometheus')).body).toContain('envoy_cluster_membership_total{envoy_cluster_name="app"} 1')
  })

  it('/clusters and /listeners, text and JSON', async () => {
    const text = (await proxy.get('/clusters')).body
    expect(text).toContain('app::observability_name::app\n')
    expect(text).toContain(`app::127.0.0.1:${origin.port}::health_flags::healthy\n`)
    expect(text).toContain('app::added_via_api::false\n')
    const clusters = await proxy.json('/clusters?format=json')
    const app = clusters.cluster_statuses.find((status: { name: string }) => status.name === 'app')
    expect(app.host_statuses[0].address.socket_address).toEqual({ address: '127.0.0.1', port_value: origin.port })
    expect(app.host_statuses[0].health_status.eds_health_status).toBe('HEALTHY')
    expect((await proxy.get('/listeners')).body).toBe(`front::127.0.0.1:${port}\n`)
    const listeners = await proxy.json('/listeners?format=json')
    expect(listeners.listener_statuses).toEqual([
      { name: 'front', local_address: { socket_address: { address: '127.0.0.1', port_value: port } } },
    ])
  })

  it('/config_dump has Envoy’s sections, endpoints when asked, and no secret', async () => {
    const whole = await proxy.get('/config_dump?include_eds')
    expect(whole.body).not.toContain(secretText)
    expect(whole.body).not.toContain(Buffer.from(secretText).toString('base64'))
    const types = JSON.parse(whole.body).configs.map((section: { '@type': string }) => section['@type'].split('.').at(-1))
    expect(types).toEqual(
      expect.arrayContaining([
        'BootstrapConfigDump',
        'ClustersConfigDump',
        'ListenersConfigDump',
        'EndpointsConfigDump',
        'SecretsConfigDump',
      ]),
    )
    const dump = await proxy.json('/config_dump')
    expect(dump.configs.some((section: { '@type': string }) => section['@type'].endsWith('EndpointsConfigDump'))).toBe(false)
    const listeners = await proxy.json('/config_dump?resource=static_listeners')
    expect(listeners.configs[0].listener.name).toBe('front')
    const masked = await proxy.json('/config_dump?resource=static_clusters&mask=cluster.name')
    expect(masked.configs[0].cluster).toEqual({ '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'app' })
    expect((await proxy.get('/config_dump?resource=no_such_thing')).status).toBe(404)
  })

  it('/logging shows and sets the level', async () => {
    expect((await proxy.post('/logging?level=debug')).body).toContain('debug')
    expect((await proxy.post('/logging')).body).toContain('debug')
    expect((await proxy.post('/logging?level=nonsense')).status).toBe(400)
    for (const name of ['__proto__', 'constructor', 'toString']) expect((await proxy.post(`/logging?level=${name}`)).status).toBe(400)
    expect((await proxy.post('/logging?level=info')).status).toBe(200)
  })

  it('/reset_counters', async () => {
    expect(await proxy.stat('http.ingress.downstream_rq_total')).toBeGreaterThan(0)
    await proxy.post('/reset_counters')
    expect(await proxy.stat('http.ingress.downstream_rq_total')).toBe(0)
    expect(await proxy.stat('cluster.app.membership_total')).toBe(1)
  })
})

const envoy = process.env['ENVOY_BIN']

/** Every path of keys and array items in a JSON value, values left out. */
function shape(value: unknown, path = '', out = new Set<string>()): Set<string> {
  if (Array.isArray(value)) for (const item of value) shape(item, `${path}[]`, out)
  else if (value !== null && typeof value === 'object')
    for (const [key, inner] of Object.entries(value)) shape(inner, `${path}.${key}`, out)
  else out.add(path)
  return out
}

describe.skipIf(!envoy)('admin JSON beside the real Envoy’s (needs ENVOY_BIN)', () => {
  it('has every key that Envoy has in /listeners, /clusters, /server_info and /config_dump', async () => {
    const ours = await ProxyProcess.start({ bootstrap: bootstrap(await freePort()) })
    const theirs = await ProxyProcess.start({ bootstrap: bootstrap(await freePort()), bin: envoy! })
    const flagsOfEnvoyOnly = /command_line_options|\.node\.|extensions|hot_restart|user_agent/
    for (const path of ['/listeners?format=json', '/clusters?format=json', '/server_info', '/config_dump', '/certs', '/memory']) {
      const missing = [...shape(await theirs.json(path))].filter(key => !flagsOfEnvoyOnly.test(key))
      const have = shape(await ours.json(path))
      expect(
        missing.filter(key => !have.has(key)),
        path,
      ).toEqual([])
    }
    await theirs.stop()
    await ours.stop()
  })
})
