// Sidecars in this very process: their HTTP filters, their life, and that neither the process nor a second sidecar feels them.
// What they load with their first start is loaded here before, outside of any test's time.
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import '../../src/sidecar/sidecar.js'
import { ConfigRefusedError, type HttpFilter, type LogLine, registerHttpFilter, Sidecar, type SidecarOptions } from '../../src/index.js'

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const ROUTER = { name: 'router', typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' } }
const LOOPBACK = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })

let origin: Server
let originPort = 0
/** Holds the answers to /slow. */
const held: (() => void)[] = []
const open: Sidecar[] = []

beforeAll(async () => {
  origin = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    if (request.url === '/slow') await new Promise<void>(resolve => held.push(resolve))
    response.end(JSON.stringify({ path: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() }))
  })
  await new Promise<void>(resolve => origin.listen(0, '127.0.0.1', resolve))
  originPort = (origin.address() as AddressInfo).port
})
afterEach(async () => {
  for (const sidecar of open.splice(0)) await sidecar.close()
})
afterAll(() => {
  origin.closeAllConnections()
  origin.close()
})

function bootstrap(httpFilters: readonly object[] = [], route: object = {}, port = 0): object {
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'origin' }, ...route }]
  const manager = {
    '@type': HCM,
    stat_prefix: 'in',
    http_filters: [...httpFilters, ROUTER],
    route_config: { name: 'r', virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
  }
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: LOOPBACK(originPort) } }] }]
  return {
    static_resources: {
      listeners: [{ name: 'in', address: LOOPBACK(port), filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }] }],
      clusters: [{ name: 'origin', load_assignment: { cluster_name: 'origin', endpoints } }],
    },
  }
}

async function start(options: SidecarOptions): Promise<Sidecar> {
  const sidecar = await Sidecar.start(options)
  open.push(sidecar)
  await sidecar.ready()
  return sidecar
}

const urlOf = (sidecar: Sidecar): string => `http://${sidecar.listeners().get('in')![0]}`

describe('HTTP filters', () => {
  /** Tags requests; routes may tag otherwise. */
  const tag: HttpFilter<{ readonly tag: string }> = {
    typeUrl: 'type.googleapis.com/test.Tag',
    parseConfig({ tag }) {
      if (typeof tag !== 'string') throw new Error('tag: must be text')
      return { tag }
    },
    decode: message => ({ tag: Buffer.from(message).toString() }),
    create: (config, context) => call => ({
      onRequest(request) {
        context.counter('tagged').add(2)
        request.headers.set('x-tag', (call.routeConfig ?? config).tag)
      },
    }),
  }
  const typed = (value: object, type = 'type.googleapis.com/test.Tag') => ({ '@type': type, ...value })
  const inStruct = (value: object) => ({
    '@type': 'type.googleapis.com/xds.type.v3.TypedStruct',
    type_url: 'type.googleapis.com/test.Tag',
    value,
  })
  const tagOf = async (sidecar: Sidecar): Promise<string> =>
    ((await (await fetch(`${urlOf(sidecar)}/`)).json()) as { headers: Record<string, string> }).headers['x-tag']!

  it.each([
    ['beside @type', typed({ tag: 'a' })],
    ['in a TypedStruct', inStruct({ tag: 'a' })],
  ])('read their configuration %s', async (_where, config) => {
    const sidecar = await start({ bootstrap: bootstrap([{ name: 'tag', typed_config: config }]), httpFilters: [tag] })
    expect(await tagOf(sidecar)).toBe('a')
    expect(sidecar.stats().get('http.in.tag.tagged')).toBe(2)
  })

  it('have a configuration of the route', async () => {
    const route = { typed_per_filter_config: { tag: typed({ tag: 'b' }) } }
    const sidecar = await start({ bootstrap: bootstrap([{ name: 'tag', typed_config: typed({ tag: 'a' }) }], route), httpFilters: [tag] })
    expect(await tagOf(sidecar)).toBe('b')
  })

  it('refuse what is wrong with either, by its path', async () => {
    const route = { typed_per_filter_config: { tag: inStruct({ tag: 1 }) } }
    const wrong = bootstrap([{ name: 'tag', typed_config: typed({}) }], route)
    const refused = await Sidecar.start({ bootstrap: wrong, httpFilters: [tag] }).catch(error => error as unknown)
    expect(refused).toBeInstanceOf(ConfigRefusedError)
    expect((refused as ConfigRefusedError).problems).toEqual([
      { path: expect.stringMatching(/typed_per_filter_config\["tag"\]$/), reason: 'test.Tag: tag: must be text' },
      { path: expect.stringMatching(/http_filters\[0\]\.typed_config$/), reason: 'test.Tag: tag: must be text' },
    ])
  })

  it('are unknown to sidecars that were not given them', async () => {
    await start({ bootstrap: bootstrap(), httpFilters: [tag] })
    const config = bootstrap([{ name: 'tag', typed_config: typed({ tag: 'a' }) }])
    await expect(Sidecar.start({ bootstrap: config })).rejects.toThrow("unknown filter 'tag' (type.googleapis.com/test.Tag)")
  })

  it('that are registered are known to all that start then', async () => {
    const takeBack = registerHttpFilter(tag)
    const config = bootstrap([{ name: 'tag', typed_config: typed({ tag: 'r' }) }])
    expect(() => registerHttpFilter({ ...tag })).toThrow("two HTTP filters are of the type 'test.Tag'")
    expect(await tagOf(await start({ bootstrap: config }))).toBe('r')
    takeBack()
    await expect(Sidecar.start({ bootstrap: config })).rejects.toThrow('unknown filter')
  })

  it('have no type of the proxy itself', async () => {
    const own = { ...tag, typeUrl: ROUTER.typed_config['@type'] }
    await expect(Sidecar.start({ bootstrap: bootstrap(), httpFilters: [own] })).rejects.toThrow("is a type of the proxy's own")
  })

  it('that throw end their request, are counted and said once, and the sidecar goes on', async () => {
    const lines: LogLine[] = []
    const fragile: HttpFilter = {
      typeUrl: 'test.Fragile',
      parseConfig: json => json,
      create: () => () => ({
        onRequest({ path }) {
          if (path === '/bad') throw new Error('this one')
        },
      }),
    }
    const sidecar = await start({
      bootstrap: bootstrap([{ name: 'fragile', typed_config: typed({}, 'test/test.Fragile') }]),
      httpFilters: [fragile],
      log: line => void lines.push(line),
    })
    const statuses = []
    for (const path of ['/bad', '/good', '/bad']) statuses.push((await fetch(`${urlOf(sidecar)}${path}`)).status)
    expect(statuses).toEqual([500, 200, 500])
    expect(sidecar.stats().get('http.in.fragile.errors')).toBe(2)
    expect(lines.filter(({ message }) => message.includes('this one'))).toHaveLength(1)
  })

  it('read and replace a body on the wire, and bound it', async () => {
    const shout: HttpFilter = {
      typeUrl: 'test.Shout',
      parseConfig: json => json,
      create: () => () => ({
        async onRequest(_request, call) {
          call.replaceRequestBody((await call.readRequestBody(8)).toString().toUpperCase().repeat(2))
        },
      }),
    }
    const sidecar = await start({
      bootstrap: bootstrap([{ name: 'shout', typed_config: typed({}, 'test/test.Shout') }]),
      httpFilters: [shout],
    })
    const short = await fetch(`${urlOf(sidecar)}/`, { method: 'POST', body: 'hello' })
    expect(await short.json()).toMatchObject({ body: 'HELLOHELLO', headers: { 'content-length': '10' } })
    expect((await fetch(`${urlOf(sidecar)}/`, { method: 'POST', body: 'much longer' })).status).toBe(413)
  })
})

describe('a sidecar in process', () => {
  it('shares nothing with a second one, nor with the process', async () => {
    const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'exit', 'uncaughtException', 'unhandledRejection', 'warning']
    const listeners = () => signals.map(name => process.listenerCount(name))
    const before = listeners()
    const [a, b] = [await start({ bootstrap: bootstrap() }), await start({ bootstrap: bootstrap() })]
    expect(listeners()).toEqual(before)
    await fetch(urlOf(a))
    expect([a, b].map(sidecar => sidecar.stats().get('http.in.downstream_rq_total'))).toEqual([1, 0])
    await a.close()
    expect((await fetch(urlOf(b))).status).toBe(200)
    expect(process.exitCode).toBeUndefined()
  })

  it('explains where a request would go, and sends nothing', async () => {
    const sidecar = await start({ bootstrap: bootstrap() })
    const { listeners } = await sidecar.explain({ host: 'a', path: '/x', headers: [['x-a', 'b']], listener: 'in' })
    expect(listeners).toMatchObject([{ listener: 'in', outcome: expect.stringContaining('origin') }])
    expect(sidecar.stats().get('http.in.downstream_rq_total')).toBe(0)
    await expect(sidecar.explain({ host: '' })).rejects.toThrow('host: a host name is needed')
  })

  it('says what it is given wrong, and leaves nothing open', async () => {
    const taken = await start({ bootstrap: bootstrap() })
    const port = Number(taken.listeners().get('in')![0]!.split(':')[1])
    await expect(Sidecar.start({ bootstrap: bootstrap([], {}, port) })).rejects.toThrow('already in use')
    await expect(Sidecar.start({ bootstrap: 'node: [' })).rejects.toThrow('not valid YAML or JSON')
    await expect(Sidecar.start({})).rejects.toThrow('either bootstrap or xds')
    await expect(Sidecar.start({ xds: { address: 'nowhere', node: { id: 'a', cluster: 'b' } } })).rejects.toThrow('no host:port')
  })

  it('lets what runs finish when it drains, takes nothing new, and frees its address', async () => {
    const sidecar = await start({ bootstrap: bootstrap() })
    const url = new URL(`${urlOf(sidecar)}/slow`)
    const answer = new Promise<IncomingMessage>((resolve, reject) => httpRequest(url, resolve).on('error', reject).end())
    while (held.length === 0) await new Promise(resolve => setImmediate(resolve))
    const drained = sidecar.drain({ graceMs: 10_000 })
    await expect(
      new Promise((resolve, reject) => connect(Number(url.port), url.hostname, () => resolve(1)).on('error', reject)),
    ).rejects.toThrow('ECONNREFUSED')
    held.shift()!()
    const response = await answer
    response.resume()
    expect([response.statusCode, response.headers['connection']]).toEqual([200, 'close'])
    await drained
  })

  it('cuts what runs when it closes in mid-drain', async () => {
    const sidecar = await start({ bootstrap: bootstrap() })
    const cut = fetch(`${urlOf(sidecar)}/slow`).then(
      () => 'answered',
      () => 'cut',
    )
    while (held.length === 0) await new Promise(resolve => setImmediate(resolve))
    void sidecar.drain({ graceMs: 60_000 })
    await sidecar.close()
    expect(await cut).toBe('cut')
    held.shift()!()
  })
})
