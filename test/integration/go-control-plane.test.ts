// A sidecar under a control plane that is not ours: go-control-plane, the library that most xDS servers are made of. What it is asked, in
// which order, and what is answered is compared with what Envoy 1.40 does under the same server (ENVOY_BIN runs the cases marked so).
// The server is built by `go` in a minute or more, so these tests run where GO_CONTROL_PLANE=1 is set or an earlier run left its binary
// in the temporary folder; elsewhere they are skipped by name.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { adsSource } from '../support/ads-fixture.js'
import {
  BUILD_WITHIN_MS,
  buildControlPlane,
  GoControlPlane,
  goControlPlaneMissing,
  type Seen,
  stopControlPlanes,
} from '../support/go-control-plane.js'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  assignment,
  freePort,
  hcm,
  listener,
  ProxyProcess,
  routesTo,
  staticCluster,
  stopAll,
  typed,
  until,
} from '../support/proxy-process.js'
import { SteadyTraffic } from '../support/steady-traffic.js'

const one = new HttpOrigin((_, socket) => void socket.write(http('one')))
const two = new HttpOrigin((_, socket) => void socket.write(http('two')))
const ca = new AnyCa()
let dir: string

// ---- resources --------------------------------------------------------------------------------------------------------------------

const prefix = 'type.googleapis.com/envoy.'
const resource = (type: string, json: object): object => ({ '@type': `${prefix}${type}`, ...json })
const cluster = (name: string, source: object = adsSource, more: object = {}): object =>
  resource('config.cluster.v3.Cluster', { name, type: 'EDS', connect_timeout: '2s', eds_cluster_config: { eds_config: source }, ...more })
const endpoints = (name: string, ports: readonly number[]): object =>
  resource('config.endpoint.v3.ClusterLoadAssignment', assignment(name, ports))
const routes = (name: string, to: string, more: object = {}): object =>
  resource('config.route.v3.RouteConfiguration', { ...routesTo(to, name), ...more })
const front = (port: number, table: string, source: object = adsSource, chain: object = {}): object =>
  resource(
    'config.listener.v3.Listener',
    listener('front', port, [hcm({ rds: { config_source: source, route_config_name: table } })], {}, chain),
  )
const twice = { virtual_hosts: ['a', 'b'].map(name => ({ name, domains: ['same'], routes: [{ match: { prefix: '/' }, redirect: {} }] })) }

type ApiType = 'GRPC' | 'DELTA_GRPC'

const h2 = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': `${prefix}extensions.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  },
}
const xdsCluster = (port: number, more: object = {}): object =>
  staticCluster('xds', port, { typed_extension_protocol_options: h2, ...more })
const grpcService = { envoy_grpc: { cluster_name: 'xds' } }
const ownStream = (apiType: ApiType, more: object = {}): object => ({
  api_config_source: { api_type: apiType, transport_api_version: 'V3', grpc_services: [grpcService], ...more },
  resource_api_version: 'V3',
})

function bootstrap(server: GoControlPlane, apiType: ApiType, ads: object = {}, sources: object = {}, xds: object = {}): object {
  return {
    node: { id: 'sidecar-1', cluster: 'web' },
    dynamic_resources: {
      ads_config: { api_type: apiType, transport_api_version: 'V3', grpc_services: [grpcService], ...ads },
      cds_config: adsSource,
      lds_config: adsSource,
      ...sources,
    },
    static_resources: { clusters: [xdsCluster(server.port, xds)] },
  }
}

const short = (type: string): string => type.slice(type.lastIndexOf('.') + 1)
/** What a request says, in few words: type, names, + for an ACK, - for a NACK. */
function said({ type, names, subscribe, unsubscribe, nonce, error }: Seen): string {
  const asked = [...(names ?? []), ...(subscribe ?? []), ...(unsubscribe ?? []).map(name => `!${name}`)].join()
  return `${short(type)}(${asked})${error !== undefined ? '-' : nonce !== undefined ? '+' : ''}`
}

const body = async (port: number): Promise<string> => {
  const answer = await fetchOnce(port)
  return answer.status === 200 ? answer.body : String(answer.status)
}
const untilBody = (port: number, expected: string): Promise<unknown> =>
  until(`the answer ${expected}`, async () => (await body(port)) === expected || Promise.reject(new Error(await body(port))))

beforeAll(async () => {
  if (goControlPlaneMissing !== '') return
  dir = mkdtempSync(join(tmpdir(), 'outrigger-gcp-'))
  await Promise.all([buildControlPlane(), one.listen(), two.listen()])
}, BUILD_WITHIN_MS)
afterEach(async () => {
  await stopAll()
  await stopControlPlanes()
})
afterAll(async () => {
  if (goControlPlaneMissing !== '') return
  await one.close()
  await two.close()
  rmSync(dir, { recursive: true, force: true })
})

describe.skipIf(goControlPlaneMissing !== '').each(['GRPC', 'DELTA_GRPC'] as const)('go-control-plane by %s', apiType => {
  let server: GoControlPlane
  let port: number
  const delta = apiType === 'DELTA_GRPC'
  const base = (to = one): object[] => [cluster('app'), endpoints('app', [to.port]), front(port, 'main'), routes('main', 'app')]

  beforeEach(async () => {
    port = await freePort()
  })

  /** A server with a first snapshot, and a sidecar that serves it. */
  async function start(...args: string[]): Promise<ProxyProcess> {
    server = await GoControlPlane.start(...args)
    await server.set(...base())
    const proxy = await ProxyProcess.start({ bootstrap: bootstrap(server, apiType) })
    await untilBody(port, 'one')
    return proxy
  }

  // ENVOY_BIN: Envoy is asked the same, so that the order stays the one that control planes are used to.
  it.each([
    ['the sidecar', undefined],
    ...(process.env['ENVOY_BIN'] === undefined ? [] : [['Envoy', process.env['ENVOY_BIN']] as const]),
  ] as const)('%s asks for clusters, their endpoints, then listeners, then routes', async (_, bin) => {
    server = await GoControlPlane.start()
    await server.set(...base())
    await ProxyProcess.start({ bootstrap: bootstrap(server, apiType), ...(bin === undefined ? {} : { bin }) })
    await untilBody(port, 'one')
    await server.request('the ACK of the routes', request => said(request) === `RouteConfiguration(${delta ? '' : 'main'})+`)
    const requests = await server.requests()
    expect(requests.filter(({ nonce }) => nonce === undefined).map(said)).toEqual([
      'Cluster()',
      'ClusterLoadAssignment(app)',
      'Listener()',
      'RouteConfiguration(main)',
    ])
    const order = requests.map(said)
    // The clusters are acknowledged when they are warm, and before listeners are asked for.
    expect(order.indexOf('Cluster()+')).toBeGreaterThan(order.indexOf('ClusterLoadAssignment(app)'))
    expect(order.indexOf('Cluster()+')).toBeLessThan(order.indexOf('Listener()'))
    expect(requests.map(({ node }) => node)).toEqual(requests.map(() => 'sidecar-1'))
    expect(requests.filter(({ error }) => error !== undefined)).toEqual([])
    const [stream] = await server.seen()
    expect(stream!.metadata![':authority']).toBe('xds')
  })

  it('follows changes of each type, names what it wants and what it wants no more', async () => {
    const proxy = await start()
    await server.set(...base(two))
    await untilBody(port, 'two')
    await server.set(...base(two), cluster('other'), endpoints('other', [one.port]), routes('next', 'other'))
    await server.request('the endpoints of the new cluster', request => said(request).includes('other)'))
    await server.set(
      ...[cluster('app'), cluster('other'), endpoints('app', [two.port]), endpoints('other', [one.port])],
      ...[front(port, 'next'), routes('next', 'other')],
    )
    await untilBody(port, 'one')
    await server.set(cluster('other'), endpoints('other', [one.port]), front(port, 'next'), routes('next', 'other'))
    if (delta) {
      await server.request('EDS without app', ({ unsubscribe }) => unsubscribe?.includes('app') === true)
      await server.request('RDS without main', ({ unsubscribe }) => unsubscribe?.includes('main') === true)
    } else {
      await server.request('EDS without app', request => said(request).startsWith('ClusterLoadAssignment(other)'))
      await server.request('RDS without main', request => said(request).startsWith('RouteConfiguration(next)'))
    }
    await until('the removed cluster is gone', async () => !(await proxy.get('/clusters')).body.includes('app::'))
    expect(await body(port)).toBe('one')
    await server.set(cluster('other'), endpoints('other', [one.port]), routes('next', 'other'))
    await until('the removed listener refuses', () =>
      fetchOnce(port).then(
        () => false,
        () => true,
      ),
    )
  })

  it('refuses a bad resource by path, serves the last good one, does not spin, and recovers', async () => {
    const proxy = await start()
    const good = await server.set(...base())
    await server.set(cluster('app'), endpoints('app', [two.port]), front(port, 'main'), routes('main', 'app', twice))
    const nack = await server.request('the NACK', ({ error }) => error !== undefined)
    expect(nack).toMatchObject({ code: 13, error: expect.stringMatching(/^main: virtual_hosts\[1\]\.domains\[0\]: /) })
    if (!delta) expect(nack).toMatchObject({ version: good, names: ['main'] })
    // The good endpoints of the same snapshot are taken.
    await untilBody(port, 'two')
    await proxy.untilStat('http.ingress.rds.main.update_rejected', value => value >= 1)
    // go-control-plane resends a refused state-of-the-world snapshot as fast as it is refused.
    const nacks = (await server.requests('RouteConfiguration')).filter(({ error }) => error !== undefined)
    expect(nacks.length).toBeLessThan(delta ? 2 : 20)
    await server.set(...base())
    await untilBody(port, 'one')
    const last = await server.set(
      cluster('app'),
      endpoints('app', [one.port]),
      front(port, 'main'),
      routes('main', 'app', { vhds: undefined }),
    )
    await until('the last version is taken', async () =>
      (await server.requests('RouteConfiguration')).some(({ version, error }) => error === undefined && (delta || version === last)),
    )
  })

  it('starts though the first routes are refused, as Envoy does, and takes them when they are mended', async () => {
    server = await GoControlPlane.start()
    await server.set(cluster('app'), endpoints('app', [one.port]), front(port, 'main'), routes('main', 'app', twice))
    await ProxyProcess.start({ bootstrap: bootstrap(server, apiType) })
    expect(await body(port)).toBe('404')
    await server.set(...base())
    await untilBody(port, 'one')
  })

  it('after a cut stream it says what it has, and takes what changed meanwhile', async () => {
    const proxy = await start()
    const before = (await server.seen()).length
    await server.post('/disconnect')
    await until('the types are asked for again', async () => {
      const again = (await server.seen(before)).filter(({ kind, nonce }) => kind === 'request' && nonce === undefined)
      return again.length === 4 && again
    })
    const again = (await server.seen(before)).filter(({ kind, nonce }) => kind === 'request' && nonce === undefined)
    expect(again.map(said)).toEqual(['Cluster()', 'ClusterLoadAssignment(app)', 'Listener()', 'RouteConfiguration(main)'])
    if (delta) {
      expect(again.map(({ initial }) => Object.keys(initial ?? {}))).toEqual([['app'], ['app'], ['front'], ['main']])
      const sent = (await server.seen(before)).filter(({ kind }) => kind === 'response')
      expect(sent.flatMap(({ names }) => names ?? [])).toEqual([])
    } else expect(again.map(({ version }) => version)).toEqual(['v1', 'v1', 'v1', 'v1'])
    await server.set(...base(two))
    await untilBody(port, 'two')
    expect(await proxy.stat('control_plane.connected_state')).toBe(1)
  })

  it('killed and restarted under traffic: no failed request, and new config is taken afterwards', async () => {
    const proxy = await start()
    const traffic = new SteadyTraffic(port, 8)
    await traffic.more(50)
    await server.kill()
    await proxy.untilStat('control_plane.connected_state', value => value === 0)
    await traffic.more(50)
    await server.restart()
    await proxy.untilStat('control_plane.connected_state', value => value === 1)
    // An empty server knows nothing yet; what is served stays.
    await traffic.more(50)
    await server.set(...base(two))
    await untilBody(port, 'two')
    await traffic.more(50)
    await traffic.stop()
    expect(traffic.failures).toEqual([])
  })

  it('a message of more than 4 MB, with 1,000 clusters and 1,000 routes', async () => {
    server = await GoControlPlane.start()
    const many = Array.from({ length: 1000 }, (_, i) => `service-${i}`)
    const table = {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [
            ...many.map(name => ({
              match: { prefix: `/${name}/` },
              metadata: { filter_metadata: { note: { text: 'x'.repeat(5000) } } },
              route: { cluster: name },
            })),
            { match: { prefix: '/' }, route: { cluster: 'service-999' } },
          ],
        },
      ],
    }
    const all = (to: HttpOrigin): object[] => [
      ...many.map(name => cluster(name)),
      ...many.map(name => endpoints(name, [to.port])),
      front(port, 'main'),
      routes('main', '', table),
    ]
    await server.set(...all(one))
    const proxy = await ProxyProcess.start({ bootstrap: bootstrap(server, apiType), untilReady: false })
    await until('ready', async () => (await proxy.get('/ready')).status === 200, 60_000)
    expect((await fetchOnce(port, '/service-500/')).body).toBe('one')
    await server.set(...all(two))
    await until('the change', async () => (await fetchOnce(port, '/service-500/')).body === 'two', 30_000)
    expect((await server.requests()).filter(({ error }) => error !== undefined)).toEqual([])
  }, 120_000)

  it('500 versions in a row: the last one wins, and memory does not grow with them', async () => {
    const proxy = await start()
    const churn = [
      cluster('app'),
      endpoints('app', [two.port]),
      front(port, 'main'),
      routes('main', 'app', { response_headers_to_add: [{ header: { key: 'x-version', value: '{{n}}' } }] }),
    ]
    const last = async (): Promise<string> => (await fetchOnce(port)).headers.get('x-version') ?? ''
    await server.post('/churn?count=250&from=1', churn)
    await until('version 250', async () => (await last()) === '250', 30_000)
    const before = await proxy.residentBytes()
    await server.post('/churn?count=500&from=251', churn)
    await until('version 750', async () => (await last()) === '750', 30_000)
    expect((await proxy.residentBytes()) - before).toBeLessThan(128 * 1024 * 1024)
    expect((await server.requests()).filter(({ error }) => error !== undefined)).toEqual([])
  })

  it('a stream of its own for each type, with secrets, and only the names that are in use', async () => {
    server = await GoControlPlane.start('-cache', 'snapshot-open')
    const source = ownStream(apiType, { grpc_services: [{ ...grpcService, initial_metadata: [{ key: 'x-token', value: 'abc' }] }] })
    const leaf = ca.service('api')
    const tls = {
      transport_socket: typed('tls', 'transport_sockets.tls.v3.DownstreamTlsContext', {
        common_tls_context: { tls_certificate_sds_secret_configs: [{ name: 'leaf', sds_config: source }] },
      }),
    }
    const secret = (certificate = leaf): object =>
      resource('extensions.transport_sockets.tls.v3.Secret', {
        name: 'leaf',
        tls_certificate: { certificate_chain: { inline_string: certificate.cert }, private_key: { inline_string: certificate.key } },
      })
    const all = (to: HttpOrigin, certificate = leaf): object[] => [
      cluster('app', source),
      endpoints('app', [to.port]),
      endpoints('unused', [to.port]),
      front(port, 'main', source, tls),
      routes('main', 'app'),
      routes('unused', 'app'),
      secret(certificate),
    ]
    await server.set(...all(one))
    const whole = bootstrap(server, apiType) as { dynamic_resources: object }
    await ProxyProcess.start({ bootstrap: { ...whole, dynamic_resources: { cds_config: source, lds_config: source } } })
    const get = async (): Promise<[body: string, serial: string]> => {
      const client = await Http1Client.connect(port, clientOptions(null, ca.pem))
      const serial = (client.socket as TLSSocket).getPeerCertificate().serialNumber
      const answer = await client.get('/')
      client.destroy()
      return [answer.body, serial]
    }
    const first = await until('the answer', get)
    expect(first[0]).toBe('one')
    const opened = (await server.seen()).filter(({ kind }) => kind === 'open')
    expect(opened.map(({ type }) => short(type)).sort()).toEqual([
      'Cluster',
      'ClusterLoadAssignment',
      'Listener',
      'RouteConfiguration',
      'Secret',
    ])
    expect(opened.map(({ metadata }) => metadata!['x-token'])).toEqual(opened.map(() => 'abc'))
    await server.set(...all(two, ca.service('api')))
    await until('new endpoints and a new certificate', async () => {
      const [text, serial] = await get()
      return text === 'two' && serial !== first[1]
    })
    expect((await server.requests()).filter(({ error }) => error !== undefined)).toEqual([])
  })

  it('linear caches: endpoints, routes and secrets that come later than what names them', async () => {
    server = await GoControlPlane.start('-cache', 'mux')
    await server.post('/linear', [cluster('app'), front(port, 'main')])
    const proxy = await ProxyProcess.start({ bootstrap: bootstrap(server, apiType), untilReady: false })
    await server.request('the endpoints', request => said(request).startsWith('ClusterLoadAssignment(app)'))
    expect((await proxy.get('/ready')).status).toBe(503)
    await server.post('/linear', [endpoints('app', [one.port])])
    await server.request('the routes', request => said(request).startsWith('RouteConfiguration(main)'))
    await server.post('/linear', [routes('main', 'app')])
    await untilBody(port, 'one')
    await server.post('/linear', [endpoints('app', [two.port])])
    await untilBody(port, 'two')
    await server.post(`/linear?type=${prefix}config.listener.v3.Listener&delete=front`)
    await until('the removed listener refuses', () =>
      fetchOnce(port).then(
        () => false,
        () => true,
      ),
    )
    expect((await server.requests()).filter(({ error }) => error !== undefined)).toEqual([])
  })

  it('endpoints and routes that never come: it starts after initial_fetch_timeout, and takes them when they do', async () => {
    const impatient = { ...adsSource, initial_fetch_timeout: '0.3s' }
    server = await GoControlPlane.start('-cache', 'snapshot-open')
    await server.set(cluster('app', impatient), front(port, 'main', impatient))
    const proxy = await ProxyProcess.start({ bootstrap: bootstrap(server, apiType) })
    expect(await body(port)).toBe('404')
    await server.set(cluster('app', impatient), front(port, 'main', impatient), routes('main', 'app'))
    await untilBody(port, '503')
    if (!delta) expect(await proxy.stat('cluster.app.init_fetch_timeout')).toBe(1)
    await server.set(cluster('app', impatient), endpoints('app', [one.port]), front(port, 'main', impatient), routes('main', 'app'))
    await untilBody(port, 'one')
  })

  it('nothing comes at all: it is ready after the initial_fetch_timeout of clusters and listeners', async () => {
    server = await GoControlPlane.start()
    const impatient = { ...adsSource, initial_fetch_timeout: '0.3s' }
    const proxy = await ProxyProcess.start({
      bootstrap: bootstrap(server, apiType, {}, { cds_config: impatient, lds_config: impatient }),
    })
    // It is ready whether the server has heard of it or not.
    await server.request('the listeners', request => said(request) === 'Listener()')
    expect((await server.requests()).filter(({ nonce }) => nonce === undefined).map(said)).toEqual(['Cluster()', 'Listener()'])
    expect(await proxy.stat('cluster_manager.cds.init_fetch_timeout')).toBe(1)
    expect(await proxy.stat('listener_manager.lds.init_fetch_timeout')).toBe(1)
    await server.set(...base())
    await untilBody(port, 'one')
  })

  // go-control-plane sends heartbeats in this form only.
  it.skipIf(delta)('resources with a time to live stay while heartbeats come and go without them', async () => {
    server = await GoControlPlane.start('-heartbeat', '300ms')
    const mortal = [cluster('app'), endpoints('app', [one.port]), front(port, 'main'), routes('main', 'app')].map((one, i) =>
      i === 2 ? { ttl: '5s', resource: one } : one,
    )
    await server.set(...mortal)
    const proxy = await ProxyProcess.start({ bootstrap: bootstrap(server, apiType) })
    await untilBody(port, 'one')
    const heartbeats = async (): Promise<number> =>
      (await server.seen()).filter(({ kind, type }) => kind === 'response' && short(type) === 'Listener').length
    await until('heartbeats', async () => (await heartbeats()) >= 10)
    expect(await body(port)).toBe('one')
    expect((await server.requests()).filter(({ error }) => error !== undefined)).toEqual([])
    await server.kill()
    await until('its time is over', () =>
      fetchOnce(port).then(
        () => false,
        () => true,
      ),
    )
    expect(await proxy.stat('listener_manager.listener_removed')).toBe(1)
  })

  it('RTDS before all else: a runtime layer decides fractions of routes, changes them, and gives back what it overrode', async () => {
    server = await GoControlPlane.start()
    const runtime = (layer: object): object => resource('service.runtime.v3.Runtime', { name: 'flags', layer })
    const table = {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [
            {
              match: { prefix: '/', runtime_fraction: { default_value: { numerator: 100 }, runtime_key: 'share.of.app' } },
              route: { cluster: 'app' },
            },
            { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'rest' } } },
          ],
        },
      ],
    }
    const all = (...more: object[]): object[] => [
      cluster('app'),
      endpoints('app', [one.port]),
      front(port, 'main'),
      routes('main', '', table),
      ...more,
    ]
    await server.set(...all(runtime({ share: { of: { app: 0 } } })))
    const proxy = await ProxyProcess.start({
      bootstrap: {
        ...bootstrap(server, apiType),
        layered_runtime: {
          layers: [
            { name: 'base', static_layer: { 'share.of.app': 100, other: 'x' } },
            { name: 'dynamic', rtds_layer: { name: 'flags', rtds_config: adsSource } },
          ],
        },
      },
    })
    const order = (await server.requests()).filter(({ nonce }) => nonce === undefined).map(said)
    expect(order.slice(0, 2)).toEqual(['Runtime(flags)', 'Cluster()'])
    await untilBody(port, 'rest')
    expect(await proxy.json('/runtime')).toEqual({
      layers: ['base', 'dynamic'],
      entries: {
        'share.of.app': { final_value: '0', layer_values: ['100', '0'] },
        other: { final_value: 'x', layer_values: ['x', ''] },
      },
    })
    await server.set(...all(runtime({ 'share.of.app': 100 })))
    await untilBody(port, 'one')
    await server.set(...all(runtime({ 'share.of.app': 0 })))
    await untilBody(port, 'rest')
    await server.set(...all(runtime({})))
    await untilBody(port, 'one')
    expect(await proxy.stat('runtime.update_success')).toBeGreaterThanOrEqual(4)
  })

  it.each([
    ['ads without ads_config', adsSource, /^app: eds_cluster_config\.eds_config\.ads: ads_config is required/],
    [
      'a cluster that is not static',
      { api_config_source: { api_type: apiType, transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'app' } }] } },
      /^app: eds_cluster_config\.eds_config\.api_config_source\.grpc_services\[0\]\.envoy_grpc\.cluster_name: must have a statically/,
    ],
  ])('refuses a source that could never be asked, as Envoy does: %s', async (_, source, reason) => {
    server = await GoControlPlane.start('-cache', 'snapshot-open')
    await server.set(cluster('app', source), routes('main', 'app'))
    const whole = bootstrap(server, apiType) as { dynamic_resources: object }
    await ProxyProcess.start({ bootstrap: { ...whole, dynamic_resources: { cds_config: ownStream(apiType) } } })
    expect((await server.request('the NACK', ({ error }) => error !== undefined)).error).toMatch(reason)
  })

  it('names of xdstp:// form are names like others', async () => {
    const name = (type: string): string => `xdstp://authority/envoy.config.${type}/app?a=b`
    const eds = name('endpoint.v3.ClusterLoadAssignment')
    const rds = name('route.v3.RouteConfiguration')
    server = await GoControlPlane.start()
    const named = cluster('app', adsSource, { eds_cluster_config: { eds_config: adsSource, service_name: eds } })
    await server.set(named, endpoints(eds, [one.port]), front(port, rds), routes(rds, 'app'))
    await ProxyProcess.start({ bootstrap: bootstrap(server, apiType) })
    await untilBody(port, 'one')
  })

  it('google_grpc in the clear', async () => {
    server = await GoControlPlane.start()
    await server.set(...base())
    const google = { google_grpc: { target_uri: `127.0.0.1:${server.port}`, stat_prefix: 'xds' } }
    await ProxyProcess.start({
      bootstrap: bootstrap(server, apiType, { grpc_services: [{ ...google, initial_metadata: [{ key: 'x-token', value: 'abc' }] }] }),
    })
    await untilBody(port, 'one')
    expect((await server.seen())[0]!.metadata!['x-token']).toBe('abc')
  })

  it('set_node_on_first_message_only, and rate_limit_settings', async () => {
    server = await GoControlPlane.start()
    await server.set(...base())
    await ProxyProcess.start({
      bootstrap: bootstrap(server, apiType, {
        set_node_on_first_message_only: true,
        rate_limit_settings: { max_tokens: 2, fill_rate: 20 },
      }),
    })
    await untilBody(port, 'one')
    // The server itself puts the node into later state-of-the-world requests before they can be seen.
    const later = delta ? '' : 'sidecar-1'
    expect((await server.requests()).map(({ node }) => node ?? '').slice(0, 3)).toEqual(['sidecar-1', later, later])
  })

  it('mutual TLS to the server: its names are checked by the cluster, and a rotated client certificate is shown', async () => {
    const leaf = ca.service('server')
    const write = (name: string, text: string): string => {
      const path = join(dir, `${apiType}-${name}`)
      writeFileSync(`${path}.new`, text)
      renameSync(`${path}.new`, path)
      return path
    }
    server = await GoControlPlane.start(
      ...['-cert', write('cert.pem', leaf.cert), '-key', write('key.pem', leaf.key), '-client-ca', write('ca.pem', ca.pem)],
    )
    await server.set(...base())
    const own = (name: string): { certificate_chain: object; private_key: object } => {
      const certificate = ca.service(name)
      return {
        certificate_chain: { filename: write('client.pem', certificate.cert) },
        private_key: { filename: write('client.key', certificate.key) },
      }
    }
    const tls = (uri: string): object => ({
      transport_socket: typed('tls', 'transport_sockets.tls.v3.UpstreamTlsContext', {
        common_tls_context: {
          tls_certificates: [own('first')],
          validation_context: {
            trusted_ca: { filename: join(dir, `${apiType}-ca.pem`) },
            match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { suffix: uri } }],
          },
        },
      }),
    })
    const wrong = await ProxyProcess.start({
      bootstrap: bootstrap(server, apiType, {}, {}, tls('/svc/other')),
      untilReady: false,
    })
    await wrong.untilStat('cluster.xds.ssl.fail_verify_san', value => value >= 1)
    expect(await server.seen()).toEqual([])
    await wrong.kill()
    await ProxyProcess.start({ bootstrap: bootstrap(server, apiType, {}, {}, tls('/svc/server')) })
    await untilBody(port, 'one')
    expect((await server.seen())[0]!.peer).toMatch(/\/svc\/first$/)
    own('second')
    await until('a stream with the second certificate', async () => {
      await server.kill()
      await server.restart()
      await until('a stream', async () => (await server.seen()).length > 0)
      return (await server.seen())[0]!.peer!.endsWith('/svc/second')
    })
  })
})
