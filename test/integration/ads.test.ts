// A sidecar under a real ADS server: every resource type, refusals that leave the last good config serving, and changes under traffic
// that no client notices.
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource, edsCluster } from '../support/ads-fixture.js'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  assignment,
  freePort,
  hcm,
  listener,
  ProxyProcess,
  routesTo,
  socketAddress,
  staticCluster,
  stopAll,
  tcpProxy,
  until,
} from '../support/proxy-process.js'
import { SteadyTraffic } from '../support/steady-traffic.js'

const one = new HttpOrigin((_, socket) => void socket.write(http('one')))
const two = new HttpOrigin((_, socket) => void socket.write(http('two')))

beforeAll(async () => {
  await one.listen()
  await two.listen()
})
afterAll(async () => {
  await stopAll()
  await one.close()
  await two.close()
})

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const HTTP_TYPE = `type.googleapis.com/${HTTP_OPTIONS}`

describe.each(['DELTA_GRPC', 'GRPC'] as const)('ADS by %s', apiType => {
  let ads: AdsFixture
  let proxy: ProxyProcess
  let port: number

  const rdsListener = (more: object = {}) =>
    listener('front', port, [hcm({ rds: { config_source: adsSource, route_config_name: 'main' }, ...more })])

  beforeEach(async () => {
    port = await freePort()
    ads = await new AdsFixture().start()
    ads.set({
      clusters: [edsCluster('app')],
      endpoints: [assignment('app', [one.port])],
      listeners: [rdsListener()],
      routes: [routesTo('app', 'main')],
    })
    proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap(apiType) })
  })
  afterEach(async () => {
    await proxy.kill()
    ads.kill()
  })

  it('serves LDS, RDS, CDS and EDS, and follows changes of each', async () => {
    expect((await fetchOnce(port)).body).toBe('one')
    await ads.apply({ endpoints: [assignment('app', [two.port])] })
    expect((await fetchOnce(port)).body).toBe('two')
    await ads.apply({
      clusters: [edsCluster('app'), edsCluster('other')],
      endpoints: [assignment('app', [two.port]), assignment('other', [one.port])],
      routes: [routesTo('other', 'main')],
    })
    expect((await fetchOnce(port)).body).toBe('one')
    const dump = await proxy.json('/config_dump?include_eds')
    const section = (type: string) => dump.configs.find((each: { '@type': string }) => each['@type'].endsWith(type))
    expect(
      section('.ClustersConfigDump')
        .dynamic_active_clusters.map((each: { cluster: { name: string } }) => each.cluster.name)
        .sort(),
    ).toEqual(['app', 'other'])
    expect(section('.ListenersConfigDump').dynamic_listeners[0].active_state.listener.name).toBe('front')
    expect(section('.RoutesConfigDump').dynamic_route_configs[0].route_config.name).toBe('main')
    expect(section('.EndpointsConfigDump').dynamic_endpoint_configs).toHaveLength(2)
    expect(await proxy.stat('control_plane.connected_state')).toBe(1)
    expect(await proxy.stat('cluster_manager.active_clusters')).toBe(3)
    const added = await freePort()
    await ads.apply({ listeners: [rdsListener(), listener('tcp', added, [tcpProxy('app')])] })
    expect((await fetchOnce(added)).body).toBe('two')
    await ads.apply({ listeners: [rdsListener()] })
    await until('the removed listener refuses', () =>
      fetchOnce(added).then(
        () => false,
        () => true,
      ),
    )
  })

  it('refuses a listener whose address is taken, though it waits for its routes, and says so in /ready', async () => {
    const holder = net.createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const taken = { ...rdsListener(), name: 'taken', address: socketAddress((holder.address() as AddressInfo).port) }
    const known = ads.nacks.length
    ads.set({ listeners: [rdsListener(), taken] })
    const nack = await until('the NACK', () => ads.nacks[known])
    expect(nack.message).toMatch(/taken: address: cannot bind '127\.0\.0\.1:\d+': the address is already in use/)
    expect((await fetchOnce(port)).body).toBe('one')
    const detail = async (): Promise<unknown> => (await proxy.get('/ready')).headers['x-outrigger-detail']
    expect(await detail()).toMatch(/listener taken: cannot bind/)
    await ads.apply({ listeners: [rdsListener()] })
    expect(await detail()).toBeUndefined()
    holder.close()
  })

  it('passes over a cluster by the name of a static one, and says so once', async () => {
    await ads.apply({ clusters: [edsCluster('app'), staticCluster('xds', one.port)], endpoints: [assignment('app', [two.port])] })
    await until('the new endpoints', async () => (await fetchOnce(port)).body === 'two')
    expect(ads.nacks).toEqual([])
    const line = 'Cluster xds is static: what comes by its name is passed over'
    await proxy.untilLog(line)
    expect(proxy.log.split(line)).toHaveLength(2)
    const dump = await proxy.json('/config_dump')
    const clusters = dump.configs.find((each: { '@type': string }) => each['@type'].endsWith('.ClustersConfigDump'))
    expect(clusters.dynamic_active_clusters.map((each: { cluster: { name: string } }) => each.cluster.name)).toEqual(['app'])
  })

  // The hold of an acknowledgement ends by itself after 15 s.
  it('aggregates that contain each other hold back no acknowledgement', async () => {
    const aggregate = (name: string, ...clusters: string[]): object => ({
      name,
      connect_timeout: '1s',
      lb_policy: 'CLUSTER_PROVIDED',
      cluster_type: {
        name: 'envoy.clusters.aggregate',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig', clusters },
      },
    })
    const since = performance.now()
    await ads.apply({ clusters: [edsCluster('app'), aggregate('a', 'b'), aggregate('b', 'a', 'app'), aggregate('self', 'self')] })
    expect(performance.now() - since).toBeLessThan(8000)
    expect(await proxy.stat('cluster_manager.warming_clusters')).toBe(0)
    await ads.apply({ listeners: [listener('front', port, [hcm({ route_config: routesTo('a') })])] })
    expect((await fetchOnce(port)).body).toBe('one')
  })

  it('a listener whose own routes name a cluster that is not there answers 503 until it is', async () => {
    const own = await freePort()
    await ads.apply({ listeners: [rdsListener(), listener('own', own, [hcm({ route_config: routesTo('later') })])] })
    expect(ads.nacks).toEqual([])
    await until('the listener', async () => (await fetchOnce(own)).status === 503)
    await ads.apply({
      clusters: [edsCluster('app'), edsCluster('later')],
      endpoints: [assignment('app', [one.port]), assignment('later', [two.port])],
    })
    await until('its cluster', async () => (await fetchOnce(own)).body === 'two')
  })

  it('at the start a listener serves while another one waits for its routes', async () => {
    const ready = await freePort()
    const unrouted = hcm({ rds: { config_source: adsSource, route_config_name: 'nowhere' } })
    const other = await new AdsFixture().start()
    other.set({
      clusters: [edsCluster('app')],
      endpoints: [assignment('app', [one.port])],
      listeners: [listener('waiting', await freePort(), [unrouted]), listener('ready', ready, [hcm({ route_config: routesTo('app') })])],
      routes: [],
    })
    const starting = await ProxyProcess.start({ bootstrap: other.bootstrap(apiType), untilReady: false })
    await until('the listener that has all it needs', async () => (await fetchOnce(ready).catch(() => null))?.body === 'one')
    expect((await starting.get('/ready')).status).toBe(503)
    await starting.kill()
    other.kill()
  })

  it('refuses a bad resource by path, takes the good ones beside it and keeps the last good one serving', async () => {
    const bad = { ...edsCluster('app'), lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 9_999_999_999 } }
    ads.set({ clusters: [bad, edsCluster('good')], endpoints: [assignment('app', [one.port]), assignment('good', [two.port])] })
    const nack = await until('the NACK', () => ads.nacks[0])
    expect(nack.typeUrl).toMatch(/Cluster$/)
    expect(nack.message).toMatch(/app/)
    expect(nack.message).toMatch(/ring_hash_lb_config/)
    expect((await fetchOnce(port)).body).toBe('one')
    await proxy.untilStat('cluster_manager.cds.update_rejected', value => value >= 1)
    await until('the good one', async () => (await proxy.get('/clusters')).body.includes(`good::127.0.0.1:${two.port}::`))
    ads.set({ clusters: [edsCluster('app')], listeners: [{ ...rdsListener(), filter_chains: [{ filters: [{ name: 'x' }] }] }] })
    await until('the listener NACK', () => ads.nacks.find(each => each.typeUrl.endsWith('Listener')))
    expect((await fetchOnce(port)).body).toBe('one')
    await proxy.untilStat('listener_manager.lds.update_rejected', value => value >= 1)
    const dump = await proxy.json('/config_dump')
    const listeners = dump.configs.find((each: { '@type': string }) => each['@type'].endsWith('.ListenersConfigDump')).dynamic_listeners
    expect(listeners[0].error_state.details).toMatch(/filter/)
    expect(listeners[0].active_state.listener.name).toBe('front')
    await ads.apply({ listeners: [rdsListener()] })
    expect((await fetchOnce(port)).body).toBe('one')
  })

  it('control plane killed and restarted under traffic: no failed request, and it takes new config afterwards', async () => {
    const traffic = new SteadyTraffic(port, 8)
    await traffic.more(50)
    ads.kill()
    await proxy.untilStat('control_plane.connected_state', value => value === 0)
    await traffic.more(50)
    await ads.start()
    await proxy.untilStat('control_plane.connected_state', value => value === 1)
    await traffic.more(50)
    await ads.apply({ endpoints: [assignment('app', [two.port])] })
    expect((await fetchOnce(port)).body).toBe('two')
    await traffic.more(50)
    await traffic.stop()
    expect(traffic.failures).toEqual([])
  })

  it('a removed cluster keeps serving while a route names it, and goes when none does', async () => {
    const traffic = new SteadyTraffic(port, 4)
    await traffic.more(20)
    await ads.apply({
      clusters: [edsCluster('next')],
      endpoints: [assignment('next', [two.port])],
    })
    await traffic.more(50)
    expect(traffic.bodies.get('two')).toBeUndefined()
    await ads.apply({ routes: [routesTo('next', 'main')] })
    await until('the new cluster serves', () => traffic.bodies.get('two'))
    await traffic.more(20)
    await traffic.stop()
    expect(traffic.failures).toEqual([])
    await until('the old cluster is gone', async () => !(await proxy.get('/clusters')).body.includes('app::'))
  })
})

describe('ADS: live connections', () => {
  let ads: AdsFixture
  let proxy: ProxyProcess
  let port: number
  const front = (more: object = {}) =>
    listener('front', port, [hcm({ route_config: routesTo('app'), upgrade_configs: [{ upgrade_type: 'websocket' }], ...more })])

  beforeEach(async () => {
    port = await freePort()
    ads = await new AdsFixture().start()
    ads.set({ clusters: [edsCluster('app')], endpoints: [assignment('app', [one.port])], listeners: [front()] })
    proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap(), flags: ['--drain-time-s', '1'] })
  })
  afterEach(async () => {
    await proxy.kill()
    ads.kill()
    one.respond = (_, socket) => void socket.write(http('one'))
  })

  it('a listener update drops neither kept-alive connections nor WebSockets', async () => {
    one.respond = (request, socket) => {
      if (!request.headers.has('upgrade')) {
        socket.write(http('one'))
        return
      }
      socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n')
      socket.on('data', chunk => socket.write(chunk))
    }
    const kept = await Http1Client.connect(port)
    expect((await kept.get('/')).body).toBe('one')
    const ws = await Http1Client.connect(port)
    const upgraded = await ws.get('/ws', {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version': '13',
    })
    expect(upgraded.status).toBe(101)
    for (const server of ['first', 'second', 'third']) {
      await ads.apply({ listeners: [front({ server_name: server })] })
      const answer = await kept.get('/')
      expect([answer.status, answer.headers.get('server')]).toEqual([200, server])
      const at = ws.bytes
      ws.socket.write('ping!')
      await until('the echo', () => ws.bytes === at + 5)
    }
    expect(await proxy.stat(`listener.127.0.0.1_${port}.downstream_cx_total`)).toBe(2)
    expect(await proxy.stat('listener_manager.total_listeners_draining')).toBe(0)
    kept.destroy()
    ws.destroy()
  })

  // As Consul's property-override, ConnectTimeoutMs and PassiveHealthCheck do: the cluster changes, its endpoints stay.
  it('a cluster whose connection settings change goes on serving without a failed request', async () => {
    const traffic = new SteadyTraffic(port, 4)
    await traffic.more(50)
    const options = {
      typed_extension_protocol_options: { [HTTP_OPTIONS]: { '@type': HTTP_TYPE, explicit_http_config: { http_protocol_options: {} } } },
    }
    for (const more of [{ connect_timeout: '3s' }, { per_connection_buffer_limit_bytes: 65_536 }, options, {}]) {
      await ads.apply({ clusters: [edsCluster('app', more)] })
      await traffic.more(50)
    }
    await traffic.stop()
    expect(traffic.failures).toEqual([])
  })

  it('an equal update touches nothing', async () => {
    const before = await proxy.stats()
    await ads.apply({ listeners: [{ ...front(), metadata: {} }] })
    await ads.apply({ clusters: [edsCluster('app', { metadata: {} })] })
    const after = await proxy.stats()
    expect(after.get('listener_manager.lds.update_success')).toBeGreaterThan(before.get('listener_manager.lds.update_success')!)
    for (const name of [
      'listener_manager.listener_modified',
      'listener_manager.listener_in_place_updated',
      'cluster_manager.cluster_modified',
    ])
      expect(after.get(name), name).toBe(before.get(name))
  })

  it('a listener that moves to another address drains the old one', async () => {
    const kept = await Http1Client.connect(port)
    await kept.get('/')
    const moved = await freePort()
    await ads.apply({ listeners: [listener('front', moved, [hcm({ route_config: routesTo('app') })])] })
    await until('the new address', () =>
      fetchOnce(moved).then(
        answer => answer.status === 200,
        () => false,
      ),
    )
    await kept.untilClosed()
    await until('the old address refuses', () =>
      fetchOnce(port).then(
        () => false,
        () => true,
      ),
    )
  })

  it('a listener whose port is taken does not stop the others', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port: busy } = taken.address() as net.AddressInfo
    ads.set({ listeners: [front(), listener('busy', busy, [hcm({ route_config: routesTo('app') })])] })
    await proxy.untilStat('listener_manager.listener_create_failure', value => value >= 1)
    expect((await fetchOnce(port)).body).toBe('one')
    await proxy.untilLog(`127.0.0.1:${busy}`)
    taken.close()
  })
})
