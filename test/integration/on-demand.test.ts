// envoy.filters.http.on_demand through the real proxy: virtual hosts by VHDS, route tables of scopes, clusters by ODCDS, each asked for by
// the first request that needs it. The real Envoy passes the same tests (OUTRIGGER_BIN), but for those named `ours`.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { CLUSTER_TYPE, ROUTE_TYPE, SCOPED_ROUTE_TYPE, VIRTUAL_HOST_TYPE } from '../../src/xds/type-urls.js'
import { type DeltaAnswer, DeltaServer, deltaAds, xdsCluster } from '../support/delta-server.js'
import { Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  fileAccessLog,
  freePort,
  hcm,
  listener,
  ProxyProcess,
  router,
  routesTo,
  staticCluster,
  stopAll,
  typed,
  until,
} from '../support/proxy-process.js'

const isEnvoy = process.env['OUTRIGGER_BIN'] !== undefined
const ours = isEnvoy ? it.skip : it
const origin = new HttpOrigin(({ body }, socket) => void socket.write(http(`app ${body}`)))
const servers: DeltaServer[] = []

beforeAll(() => origin.listen())
afterEach(async () => {
  await stopAll()
  for (const server of servers.splice(0)) server.close()
})
afterAll(() => origin.close())

const ads = { ads: {}, resource_api_version: 'V3' }
const LOG = 'LOG %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%'
const onDemand = (config: object = {}): object => typed('envoy.filters.http.on_demand', 'filters.http.on_demand.v3.OnDemand', config)
const api = { api_config_source: deltaAds('xds'), resource_api_version: 'V3' }

type Answers = Readonly<Record<string, (names: readonly string[]) => DeltaAnswer | null>>

async function serve(answers: Answers): Promise<DeltaServer> {
  const server = await new DeltaServer((typeUrl, names) => answers[typeUrl]?.(names) ?? null).listen()
  servers.push(server)
  return server
}

interface Front {
  readonly routes: object
  readonly filters?: readonly object[]
  readonly flags?: readonly string[]
  readonly clusters?: readonly object[]
}

async function start(server: DeltaServer, { routes, filters = [onDemand()], flags = [], clusters = [] }: Front) {
  const port = await freePort()
  const manager = hcm({ access_log: [fileAccessLog(LOG)], ...routes }, [...filters, router])
  const proxy = await ProxyProcess.start({
    bootstrap: {
      node: { id: 'n', cluster: 'c' },
      dynamic_resources: { ads_config: deltaAds('xds') },
      static_resources: {
        clusters: [xdsCluster('xds', server.port), staticCluster('app', origin.port), ...clusters],
        listeners: [listener('front', port, [manager])],
      },
    },
    flags: ['--file-flush-interval-msec', '20', ...flags],
  })
  return { port, proxy }
}

const answer = async (port: number, headers: Record<string, string>, body?: string): Promise<string> => {
  const client = await Http1Client.connect(port)
  const lines = Object.entries({ host: 'test', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  const length = body === undefined ? '' : `content-length: ${body.length}\r\n`
  const got = await client.send(`${body === undefined ? 'GET' : 'POST'} / HTTP/1.1\r\n${lines.join('')}${length}\r\n${body ?? ''}`)
  client.destroy()
  return got.status === 200 ? got.body : String(got.status)
}

describe('VHDS', () => {
  const rds = { rds: { config_source: ads, route_config_name: 'web' } }
  const table = { name: 'web', virtual_hosts: [], vhds: { config_source: ads } }
  const host = (name: string, domain: string, path = '/'): object => ({
    name,
    domains: [domain],
    routes: [{ match: { prefix: path }, route: { cluster: 'app' } }],
  })
  const routes = (): DeltaAnswer => ({ resources: [{ name: 'web', json: table }] })
  const first = (): DeltaAnswer => ({ resources: [{ name: 'web/first', json: host('first', 'first.known') }] })
  /** Hosts `x.known` are known, by an alias. */
  const byAlias = (names: readonly string[]): DeltaAnswer => {
    if (names.length === 0) return first()
    return {
      resources: names.map(alias => {
        const domain = alias.slice(4)
        if (!domain.endsWith('.known')) return { name: alias, aliases: [alias], json: null }
        return { name: `web/vh-${domain}`, aliases: [alias], json: host(`web/vh-${domain}`, domain) }
      }),
    }
  }

  it('asks for the host of the first request by its alias, and answers the ones after it without asking', async () => {
    const server = await serve({ [ROUTE_TYPE]: routes, [VIRTUAL_HOST_TYPE]: byAlias })
    const { port, proxy } = await start(server, { routes: rds })
    expect(await answer(port, { host: 'A.known' })).toBe('app ')
    expect(await answer(port, { host: 'a.known' })).toBe('app ')
    expect(await answer(port, { host: 'b.known' }, 'with a body')).toBe('app with a body')
    expect(server.names(VIRTUAL_HOST_TYPE)).toEqual(['web/a.known', 'web/b.known'])
    // The server has no such host.
    expect(await answer(port, { host: 'c.unknown' })).toBe('404')
    await proxy.untilLog(/LOG 404 NR route_not_found/)
    expect(server.names(VIRTUAL_HOST_TYPE).slice(2)).toEqual(['web/c.unknown'])
    expect(server.asked.filter(({ error }) => error !== '')).toEqual([])
  })

  ours('what the server has not is let go, and asked for again: it may have come', async () => {
    const server = await serve({ [ROUTE_TYPE]: routes, [VIRTUAL_HOST_TYPE]: byAlias })
    const { port } = await start(server, { routes: rds })
    for (let i = 0; i < 3; i++) expect(await answer(port, { host: 'c.unknown' })).toBe('404')
    expect(server.names(VIRTUAL_HOST_TYPE)).toEqual(['web/c.unknown', 'web/c.unknown', 'web/c.unknown'])
    await until('the end', () => server.dropped(VIRTUAL_HOST_TYPE).length === 3)
  })

  it('lets many requests for one host wait for one answer', async () => {
    const server = await serve({
      [ROUTE_TYPE]: routes,
      [VIRTUAL_HOST_TYPE]: names => (names.length === 0 ? first() : null),
    })
    const { port } = await start(server, { routes: rds })
    const waiting = Array.from({ length: 20 }, () => answer(port, { host: 'late.known:80' }))
    await until('the question', () => server.names(VIRTUAL_HOST_TYPE).includes('web/late.known:80'))
    server.push(VIRTUAL_HOST_TYPE, byAlias(['web/late.known:80']))
    // The domain is not what was asked for: none of the requests matches it, and all go on.
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['404']))
  })

  ours('a host that is taken back is asked for again', async () => {
    const server = await serve({ [ROUTE_TYPE]: routes, [VIRTUAL_HOST_TYPE]: byAlias })
    const { port } = await start(server, { routes: rds })
    expect(await answer(port, { host: 'a.known' })).toBe('app ')
    server.push(VIRTUAL_HOST_TYPE, { removed: ['web/vh-a.known'] })
    await until('the second question', async () => {
      expect(await answer(port, { host: 'a.known' })).toBe('app ')
      return server.names(VIRTUAL_HOST_TYPE).filter(name => name === 'web/a.known').length === 2
    })
  })

  it('comes by a stream of its own', async () => {
    const own = { ...table, vhds: { config_source: api } }
    const server = await serve({ [ROUTE_TYPE]: () => ({ resources: [{ name: 'web', json: own }] }), [VIRTUAL_HOST_TYPE]: byAlias })
    const { port } = await start(server, { routes: rds })
    expect(await answer(port, { host: 'a.known' })).toBe('app ')
    expect(server.streams).toBe(2)
  })

  ours('workers ask their primary, and every one of them has what came', async () => {
    const server = await serve({ [ROUTE_TYPE]: routes, [VIRTUAL_HOST_TYPE]: byAlias })
    const { port } = await start(server, { routes: rds, flags: ['--concurrency', '2'] })
    for (let i = 0; i < 4; i++) {
      expect(await answer(port, { host: 'a.known' })).toBe('app ')
      expect(await answer(port, { host: 'no.unknown' })).toBe('404')
    }
    expect(server.names(VIRTUAL_HOST_TYPE).filter(name => name === 'web/a.known')).toEqual(['web/a.known'])
  })

  ours('a request that has a host but no route is answered once it was asked for', async () => {
    const server = await serve({
      [ROUTE_TYPE]: routes,
      [VIRTUAL_HOST_TYPE]: names => ({
        resources: names.map(alias => ({ name: 'web/one', aliases: [alias], json: host('web/one', 'one.known', '/only') })),
      }),
    })
    for (const flags of [[], ['--concurrency', '2']]) {
      const { port, proxy } = await start(server, { routes: rds, flags })
      for (let i = 0; i < 4; i++) expect(await answer(port, { host: 'one.known' })).toBe('404')
      await proxy.stop()
    }
  })

  ours('an empty first answer says that there is nothing yet', async () => {
    const server = await serve({ [ROUTE_TYPE]: routes, [VIRTUAL_HOST_TYPE]: names => (names.length === 0 ? {} : byAlias(names)) })
    // Long before the wait for the first answer is over.
    const began = performance.now()
    const { port } = await start(server, { routes: rds })
    expect(performance.now() - began).toBeLessThan(14_000)
    expect(await answer(port, { host: 'a.known' })).toBe('app ')
  })

  ours('without the filter nothing is asked', async () => {
    const server = await serve({ [ROUTE_TYPE]: routes, [VIRTUAL_HOST_TYPE]: byAlias })
    const { port } = await start(server, { routes: rds, filters: [] })
    expect(await answer(port, { host: 'a.known' })).toBe('404')
    expect(server.names(VIRTUAL_HOST_TYPE)).toEqual([])
  })
})

describe('scopes', () => {
  const builder = { fragments: [{ header_value_extractor: { name: 'x-scope', element_separator: ',', index: 0 } }] }
  const scoped = {
    scoped_routes: {
      name: 's',
      scope_key_builder: builder,
      rds_config_source: ads,
      scoped_rds: { scoped_rds_config_source: ads },
    },
  }
  const scope = (name: string, key: string, on_demand: boolean): object => ({
    name,
    on_demand,
    route_configuration_name: `table-${name}`,
    key: { fragments: [{ string_key: key }] },
  })
  const answers: Answers = {
    [SCOPED_ROUTE_TYPE]: () => ({
      resources: [
        { name: 'now', json: scope('now', 'red', false) },
        { name: 'later', json: scope('later', 'blue', true) },
      ],
    }),
    [ROUTE_TYPE]: names => ({ resources: names.map(name => ({ name, json: routesTo('app', name) })) }),
  }

  it.each(isEnvoy ? [[]] : [[], ['--concurrency', '2']])(
    'a table on demand is asked for by the first request of its scope (flags %j)',
    async (...flags) => {
      const server = await serve(answers)
      const { port } = await start(server, { routes: scoped, flags: flags as string[] })
      expect(await answer(port, { 'x-scope': 'red' })).toBe('app ')
      expect(server.names(ROUTE_TYPE)).toEqual(['table-now'])
      // A scope that is not there.
      expect(await answer(port, { 'x-scope': 'green' })).toBe('404')
      for (let i = 0; i < 4; i++) expect(await answer(port, { 'x-scope': 'blue' })).toBe('app ')
      expect(server.names(ROUTE_TYPE)).toEqual(['table-now', 'table-later'])
    },
  )
})

describe('ODCDS', () => {
  const byHeader = (more: object = {}): object => ({
    route_config: {
      name: 'r',
      virtual_hosts: [
        { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster_header: 'x-cluster' }, ...more }] },
      ],
    },
  })
  const clusters = (names: readonly string[]): DeltaAnswer | null => {
    const asked = names.filter(name => name !== '*')
    if (asked.some(name => name.startsWith('silent'))) return null
    const known = asked.filter(name => name.startsWith('made'))
    return {
      resources: known.map(name => ({ name, json: staticCluster(name, origin.port) })),
      removed: asked.filter(name => !known.includes(name)),
    }
  }
  const odcds = (source: object, more: object = {}): object => ({ odcds: { source, ...more } })

  it.each([
    ['ads', ads],
    ['a stream of its own', api],
  ])('a cluster that a request names is asked for, by %s', async (_, source) => {
    const server = await serve({ [CLUSTER_TYPE]: clusters })
    const { port, proxy } = await start(server, { routes: byHeader(), filters: [onDemand(odcds(source, { timeout: '2s' }))] })
    expect(await answer(port, { 'x-cluster': 'made-1' })).toBe('app ')
    expect(await answer(port, { 'x-cluster': 'made-1' })).toBe('app ')
    expect(await answer(port, { 'x-cluster': 'made-2' }, 'body')).toBe('app body')
    expect(await answer(port, { 'x-cluster': 'app' })).toBe('app ')
    expect(server.names(CLUSTER_TYPE).filter(name => name !== '*')).toEqual(['made-1', 'made-2'])
    // The server has it not, or says nothing: 503 as without the filter.
    expect(await answer(port, { 'x-cluster': 'none' })).toBe('503')
    await proxy.untilLog(/LOG 503 NC cluster_not_found/)
    expect(await answer(port, { 'x-cluster': 'silent' })).toBe('503')
    expect(await answer(port, {})).toBe('503')
    // It comes after all.
    server.push(CLUSTER_TYPE, { resources: [{ name: 'silent', json: staticCluster('silent', origin.port) }] })
    await until('the cluster', async () => (await answer(port, { 'x-cluster': 'silent' })) === 'app ')
    if (isEnvoy) return
    // It goes, and is asked for anew.
    server.push(CLUSTER_TYPE, { removed: ['made-1'] })
    await until('the second question', async () => {
      await answer(port, { 'x-cluster': 'made-1' })
      return server.names(CLUSTER_TYPE).filter(name => name === 'made-1').length > 1
    })
    await until('the cluster', async () => (await answer(port, { 'x-cluster': 'made-1' })) === 'app ')
  })

  it('a route says where from, or that nothing is asked', async () => {
    const server = await serve({ [CLUSTER_TYPE]: clusters })
    const own = {
      typed_per_filter_config: {
        'envoy.filters.http.on_demand': { '@type': 'type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.PerRouteConfig' },
      },
    }
    const off = await start(server, { routes: byHeader(own), filters: [onDemand(odcds(ads))] })
    expect(await answer(off.port, { 'x-cluster': 'made-1' })).toBe('503')
    const on = {
      typed_per_filter_config: {
        'envoy.filters.http.on_demand': {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.PerRouteConfig',
          ...odcds(api),
        },
      },
    }
    const other = await start(server, { routes: byHeader(on) })
    expect(await answer(other.port, { 'x-cluster': 'made-1' })).toBe('app ')
  })

  ours('workers ask their primary', async () => {
    const server = await serve({ [CLUSTER_TYPE]: clusters })
    const { port } = await start(server, {
      routes: byHeader(),
      filters: [onDemand(odcds(api, { timeout: '5s' }))],
      flags: ['--concurrency', '2'],
    })
    for (let i = 0; i < 4; i++) expect(await answer(port, { 'x-cluster': 'made-1' })).toBe('app ')
    expect(await answer(port, { 'x-cluster': 'none' })).toBe('503')
    expect(server.names(CLUSTER_TYPE)).toEqual(['made-1', 'none'])
  })

  it('a virtual host on demand whose cluster is on demand', async () => {
    const server = await serve({
      [CLUSTER_TYPE]: clusters,
      [ROUTE_TYPE]: () => ({ resources: [{ name: 'web', json: { name: 'web', vhds: { config_source: ads } } }] }),
      [VIRTUAL_HOST_TYPE]: names => ({
        resources:
          names.length === 0
            ? [{ name: 'web/first', json: { name: 'first', domains: ['first'] } }]
            : names.map(name => ({
                name,
                json: { name, domains: [name.slice(4)], routes: [{ match: { prefix: '/' }, route: { cluster: 'made-3' } }] },
              })),
      }),
    })
    const { port } = await start(server, {
      routes: { rds: { config_source: ads, route_config_name: 'web' } },
      filters: [onDemand(odcds(api))],
    })
    expect(await answer(port, { host: 'x' })).toBe('app ')
  })
})
