// What a running server takes and refuses, each resource by one call that returns its errors.
import { afterEach, describe, expect, it } from 'vitest'
import { StatsStore } from '../../src/metrics/stats-store.js'
import type { Bootstrap } from '../../src/model/bootstrap.js'
import type { Listener } from '../../src/model/listener.js'
import { Server } from '../../src/proxy/server.js'
import { parseBootstrap } from '../../src/xds/bootstrap.js'
import { AnyCa } from '../support/mesh-certificates.js'
import { freePort, hcm, listener, routesTo, staticCluster } from '../support/proxy-process.js'

const leaf = new AnyCa().service('api')
const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

async function bootstrapOf(listeners: readonly object[]): Promise<Bootstrap> {
  const parsed = parseBootstrap(JSON.stringify({ static_resources: { listeners, clusters: [staticCluster('app', 1)] } }))
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
  return parsed.value
}

async function started(env: (name: string) => string | undefined = () => undefined): Promise<Server> {
  const server = new Server({
    bootstrap: await bootstrapOf([]),
    store: new StatsStore(),
    log: () => {},
    drainTimeMs: 100,
    drainStrategy: 'immediate',
    random: Math.random,
    env,
  })
  servers.push(server)
  expect(await server.start()).toEqual([])
  return server
}

async function model(config: object): Promise<Listener> {
  return (await bootstrapOf([config])).listeners[0]!
}

const tlsSocket = {
  name: 'tls',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    common_tls_context: {
      tls_certificates: [{ certificate_chain: { inline_string: leaf.cert }, private_key: { inline_string: leaf.key } }],
    },
  },
}

/** The key comes from the environment, so that each time it is read can be counted. */
async function secured(port: number, routes = 'routes'): Promise<Listener> {
  const base = await model(listener('front', port, [hcm({ route_config: routesTo('app', routes) })], {}, { transport_socket: tlsSocket }))
  const chain = base.filterChains[0]!
  const [certificate] = chain.tls!.common.certificates
  const common = { ...chain.tls!.common, certificates: [{ ...certificate!, privateKey: { kind: 'env', name: 'KEY' } as const }] }
  return { ...base, filterChains: [{ ...chain, tls: { ...chain.tls!, common } }] }
}

describe('ConfigChanges', () => {
  it('a listener update builds its TLS material once', async () => {
    let reads = 0
    const server = await started(() => {
      reads++
      return leaf.key
    })
    const port = await freePort()
    expect(await server.config.applyListener(await secured(port))).toEqual([])
    expect(reads).toBe(1)
    expect(await server.config.applyListener(await secured(port, 'others'))).toEqual([])
    expect(reads).toBe(2)
  })

  it('a default filter chain is judged like the others', async () => {
    const server = await started()
    const bad = await secured(await freePort())
    const [chain] = bad.filterChains
    const errors = await server.config.applyListener({ ...bad, filterChains: [], defaultFilterChain: chain! })
    expect(errors.slice(0, 1)).toMatchObject([
      { path: expect.stringMatching(/^default_filter_chain\.transport_socket\.typed_config\.common_tls_context/) },
    ])
    expect(server.listeners.active).toEqual([])
  })

  it('a listener whose address is taken is refused, also while it must wait for its routes', async () => {
    const server = await started()
    const port = await freePort()
    expect(await server.config.applyListener(await model(listener('first', port, [hcm({ route_config: routesTo('app') })])))).toEqual([])
    const rds = { config_source: { ads: {}, resource_api_version: 'V3' }, route_config_name: 'r' }
    const inline = await model(listener('second', port, [hcm({ route_config: routesTo('app') })]))
    const ads = { dynamic_resources: { ads_config: { api_type: 'GRPC', grpc_services: [{ envoy_grpc: { cluster_name: 'app' } }] } } }
    const parsed = parseBootstrap(
      JSON.stringify({
        node: { id: 'n', cluster: 'c' },
        ...ads,
        static_resources: { listeners: [listener('third', port, [hcm({ rds })])], clusters: [staticCluster('app', 1)] },
      }),
    )
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors))
    for (const refused of [inline, parsed.value.listeners[0]!]) {
      expect(await server.config.applyListener(refused)).toEqual([
        { path: 'address', reason: expect.stringContaining(`cannot bind '127.0.0.1:${port}': the address is already in use`) },
      ])
      expect(server.listeners.bindProblems).toEqual([expect.stringContaining(`listener ${refused.name}: cannot bind`)])
      server.config.removeListener(refused.name)
      expect(server.listeners.bindProblems).toEqual([])
    }
    expect(server.listeners.active.map(({ version }) => version.name)).toEqual(['first'])
    expect(server.listeners.warmingNames).toEqual([])
  })

  it('a moved listener that cannot be bound serves on where it was', async () => {
    const server = await started()
    const [here, taken] = [await freePort(), await freePort()]
    const at = (name: string, port: number): Promise<Listener> => model(listener(name, port, [hcm({ route_config: routesTo('app') })]))
    expect(await server.config.applyListener(await at('other', taken))).toEqual([])
    expect(await server.config.applyListener(await at('mine', here))).toEqual([])
    expect(await server.config.applyListener(await at('mine', taken))).toHaveLength(1)
    expect(server.listeners.active.map(each => each.addresses[0])).toContainEqual({ kind: 'socket', host: '127.0.0.1', port: here })
    expect(await server.config.applyListener(await at('mine', here))).toEqual([])
    expect(server.listeners.bindProblems).toEqual([expect.stringContaining('listener mine')])
  })

  it('counts static clusters as added, and equal updates not at all', async () => {
    const server = await started()
    const added = (): number => server.store.counter('cluster_manager.cluster_added').value
    expect(added()).toBe(1)
    const [cluster] = (await bootstrapOf([])).clusters
    expect(server.config.applyCluster({ ...cluster!, name: 'more' })).toEqual([])
    expect(server.config.applyCluster({ ...cluster!, name: 'more' })).toEqual([])
    expect(added()).toBe(2)
    expect(server.config.applyCluster({ ...cluster!, connectTimeoutMs: 1 })).toMatchObject([{ path: 'name' }])
  })
})
