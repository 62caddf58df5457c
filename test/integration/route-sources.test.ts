// Where the routes of a request may come from besides one RDS table: scopes (in place and over SRDS) and virtual hosts over VHDS, from our
// xDS server; and all of xDS polled over REST. The same under a control plane that is not ours: go-control-plane-driver.test.ts.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource, edsCluster } from '../support/ads-fixture.js'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { assignment, freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'

const one = new HttpOrigin((_, socket) => void socket.write(http('one')))
const two = new HttpOrigin((_, socket) => void socket.write(http('two')))

beforeAll(async () => {
  await Promise.all([one.listen(), two.listen()])
})
afterEach(stopAll)
afterAll(async () => {
  await one.close()
  await two.close()
})

const answer = async (port: number, headers: Record<string, string> = {}): Promise<string> => {
  const { status, body } = await fetchOnce(port, '/', headers)
  return status === 200 ? body : String(status)
}
const untilAnswer = (port: number, expected: string, headers: Record<string, string> = {}): Promise<unknown> =>
  until(`the answer ${expected}`, async () => {
    const got = await answer(port, headers)
    return got === expected || Promise.reject(new Error(got))
  })

const clusters = (): object => ({
  clusters: [edsCluster('one'), edsCluster('two')],
  endpoints: [assignment('one', [one.port]), assignment('two', [two.port])],
})
const scope = (name: string, key: string, table: string): object => ({
  name,
  route_configuration_name: table,
  key: { fragments: [{ string_key: key }] },
})
const scoped = (scopes: object): object =>
  hcm({
    scoped_routes: {
      name: 'scopes',
      scope_key_builder: { fragments: [{ header_value_extractor: { name: 'x-scope', element_separator: ',', index: 1 } }] },
      rds_config_source: adsSource,
      ...scopes,
    },
  })
const front = (port: number, filter: object): object => listener('front', port, [filter])

describe.each(['GRPC', 'DELTA_GRPC'] as const)('scoped routes by %s', apiType => {
  it('come over SRDS, follow its changes, and answer 404 for keys that no scope has', async () => {
    const port = await freePort()
    const ads = await new AdsFixture().start()
    ads.set({
      ...clusters(),
      listeners: [front(port, scoped({ scoped_rds: { scoped_rds_config_source: adsSource } }))],
      scopes: [scope('a', 'blue', 'to-one'), scope('b', 'green', 'to-two')],
      routes: [routesTo('one', 'to-one'), routesTo('two', 'to-two')],
    })
    const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap(apiType) })
    expect(await answer(port, { 'x-scope': '0,blue' })).toBe('one')
    expect(await answer(port, { 'x-scope': '0,green' })).toBe('two')
    expect(await answer(port, { 'x-scope': '0,red' })).toBe('404')
    expect(await answer(port)).toBe('404')

    // The keys change places, and a scope goes.
    await ads.apply({ scopes: [scope('a', 'green', 'to-one'), scope('b', 'blue', 'to-two')] })
    await untilAnswer(port, 'two', { 'x-scope': '0,blue' })
    expect(await answer(port, { 'x-scope': '0,green' })).toBe('one')
    await ads.apply({ scopes: [scope('a', 'green', 'to-one')] })
    await untilAnswer(port, '404', { 'x-scope': '0,blue' })

    // A table that is not there yet: the old one serves until it is.
    ads.set({ scopes: [scope('a', 'green', 'later')] })
    await until('the new table is asked for', async () => [...(await proxy.stats()).keys()].some(name => name.includes('.rds.later.')))
    expect(await answer(port, { 'x-scope': '0,green' })).toBe('one')
    ads.set({ routes: [routesTo('two', 'later')] })
    await untilAnswer(port, 'two', { 'x-scope': '0,green' })
    expect(ads.nacks).toEqual([])

    // Two scopes with one key are refused, and what was there serves on.
    ads.set({ scopes: [scope('a', 'green', 'later'), scope('c', 'pink', 'later'), scope('d', 'pink', 'later')] })
    await until('the NACK', () => Promise.resolve(ads.nacks.length > 0))
    expect(JSON.stringify(ads.nacks[0])).toContain('scope key conflict')
    expect(await answer(port, { 'x-scope': '0,green' })).toBe('two')
    ads.kill()
  })

  it('stand in the connection manager, with their tables', async () => {
    const port = await freePort()
    const ads = await new AdsFixture().start()
    const inline = (name: string, key: string, cluster: string): object => ({
      ...scope(name, key, ''),
      route_configuration_name: '',
      route_configuration: routesTo(cluster),
    })
    const list = { scoped_route_configurations: [inline('a', 'blue', 'one'), inline('b', 'green', 'two')] }
    ads.set({
      ...clusters(),
      listeners: [front(port, scoped({ scoped_route_configurations_list: list }))],
    })
    await ProxyProcess.start({ bootstrap: ads.bootstrap(apiType) })
    expect(await answer(port, { 'x-scope': '0,blue' })).toBe('one')
    expect(await answer(port, { 'x-scope': '0,green' })).toBe('two')
    ads.kill()
  })
})

describe('VHDS', () => {
  const virtualHost = (name: string, domain: string, cluster: string): object => ({
    name: `web/${name}`,
    domains: [domain],
    routes: [{ match: { prefix: '/' }, route: { cluster } }],
  })

  it('adds virtual hosts to a table, changes them and takes them away', async () => {
    const port = await freePort()
    const ads = await new AdsFixture().start()
    const own = { name: 'own', domains: ['own.example'], routes: [{ match: { prefix: '/' }, route: { cluster: 'one' } }] }
    ads.set({
      ...clusters(),
      listeners: [front(port, hcm({ rds: { config_source: adsSource, route_config_name: 'web' } }))],
      routes: [{ name: 'web', virtual_hosts: [own], vhds: { config_source: adsSource } }],
      virtualHosts: [virtualHost('a', 'a.example', 'one'), { ...virtualHost('x', 'b.example', 'one'), name: 'other/x' }],
    })
    await ProxyProcess.start({ bootstrap: ads.bootstrap() })
    expect(await answer(port, { host: 'own.example' })).toBe('one')
    expect(await answer(port, { host: 'a.example' })).toBe('one')
    // A virtual host of another table.
    expect(await answer(port, { host: 'b.example' })).toBe('404')

    await ads.apply({ virtualHosts: [virtualHost('a', 'a.example', 'two'), virtualHost('b', 'b.example', 'two')] })
    await untilAnswer(port, 'two', { host: 'b.example' })
    expect(await answer(port, { host: 'a.example' })).toBe('two')
    await ads.apply({ virtualHosts: [virtualHost('b', 'b.example', 'two')] })
    await untilAnswer(port, '404', { host: 'a.example' })
    expect(await answer(port, { host: 'own.example' })).toBe('one')
    expect(ads.nacks).toEqual([])

    // A domain of the table itself.
    ads.set({ virtualHosts: [virtualHost('b', 'b.example', 'two'), virtualHost('c', 'own.example', 'two')] })
    await until('the NACK', () => Promise.resolve(ads.nacks.length > 0))
    expect(JSON.stringify(ads.nacks[0])).toContain('own.example')
    expect(await answer(port, { host: 'own.example' })).toBe('one')
    ads.kill()
  })
})

describe('REST', () => {
  const type = (name: string, json: object): object => ({ '@type': `type.googleapis.com/envoy.config.${name}`, ...json })

  it('polls clusters, endpoints, listeners and routes, and follows their changes', async () => {
    const port = await freePort()
    let version = 1
    let target = one.port
    const asked: { path: string; names: string[]; version: string }[] = []
    const source = {
      api_config_source: { api_type: 'REST', transport_api_version: 'V3', cluster_names: ['xds'], refresh_delay: '0.02s' },
      resource_api_version: 'V3',
    }
    const resources: Record<string, () => object> = {
      '/v3/discovery:clusters': () => type('cluster.v3.Cluster', edsCluster('app', { eds_cluster_config: { eds_config: source } })),
      '/v3/discovery:endpoints': () => type('endpoint.v3.ClusterLoadAssignment', assignment('app', [target])),
      '/v3/discovery:listeners': () =>
        type('listener.v3.Listener', front(port, hcm({ rds: { config_source: source, route_config_name: 'web' } }))),
      '/v3/discovery:routes': () => type('route.v3.RouteConfiguration', routesTo('app', 'web')),
    }
    const server = new HttpOrigin(({ path, body }, socket) => {
      const request = JSON.parse(body.toString())
      asked.push({ path, names: request.resource_names ?? [], version: request.version_info ?? '' })
      if (request.version_info === String(version)) socket.write('HTTP/1.1 304 Not Modified\r\n\r\n')
      else socket.write(http(JSON.stringify({ version_info: String(version), resources: [resources[path]!()] })))
    })
    await server.listen()
    await ProxyProcess.start({
      bootstrap: {
        node: { id: 'n', cluster: 'c' },
        dynamic_resources: { cds_config: source, lds_config: source },
        static_resources: { clusters: [staticCluster('xds', server.port)] },
      },
    })
    expect(await answer(port)).toBe('one')
    expect(asked.find(({ path }) => path === '/v3/discovery:endpoints')).toMatchObject({ names: ['app'] })
    expect(asked.find(({ path }) => path === '/v3/discovery:routes')).toMatchObject({ names: ['web'] })
    target = two.port
    version = 2
    await untilAnswer(port, 'two')
    expect(asked.some(each => each.path === '/v3/discovery:endpoints' && each.version === '1')).toBe(true)
    // A server that is gone changes nothing.
    await server.close()
    expect(await answer(port)).toBe('two')
  })
})
