// /config_dump of everything that comes over xDS, here and in the real Envoy: the same resources, in the same form. Versions of single
// resources, times and ports are left out of the comparison; so is the order of resources, which is that of a hash table in Envoy.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource, edsCluster } from '../support/ads-fixture.js'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, socketAddress, staticCluster, stopAll, until } from '../support/proxy-process.js'

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

const envoy = process.env['ENVOY_BIN']
const origin = new HttpOrigin((_, socket) => void socket.write(http('one')))
beforeAll(() => origin.listen())
afterAll(async () => {
  await stopAll()
  await origin.close()
})

const virtualHost = (name: string, domain: string): object => ({
  name,
  domains: [domain],
  routes: [{ match: { prefix: '/' }, route: { cluster: 'one' } }],
})
const scopeKey = (key: string): object => ({ key: { fragments: [{ string_key: key }] } })
const builder = { fragments: [{ header_value_extractor: { name: 'x-scope', element_separator: ',', index: 1 } }] }
const scoped = (name: string, more: object): object =>
  hcm({ stat_prefix: name, scoped_routes: { name, scope_key_builder: builder, rds_config_source: adsSource, ...more } })

const endpoints = {
  cluster_name: 'one',
  endpoints: [
    {
      locality: { region: 'r', zone: 'z' },
      load_balancing_weight: 3,
      lb_endpoints: [
        {
          health_status: 'DEGRADED',
          metadata: { filter_metadata: { x: { y: 1 } } },
          endpoint: { hostname: 'h', address: socketAddress(1), health_check_config: { port_value: 8, hostname: 'checked' } },
        },
      ],
    },
    { priority: 1, lb_endpoints: [{ load_balancing_weight: 7, endpoint: { address: socketAddress(2) } }] },
  ],
}

interface World {
  readonly proxy: ProxyProcess
  readonly stop: () => void
}

async function start(bin: string | undefined): Promise<World> {
  const ads = await new AdsFixture().start()
  const [srds, inline, vhds] = [await freePort(), await freePort(), await freePort()]
  const list = [
    { name: 'i1', ...scopeKey('blue'), route_configuration: routesTo('one', 'in-scope') },
    { name: 'i2', ...scopeKey('green'), route_configuration: routesTo('one', 'in-scope') },
  ]
  ads.set({
    clusters: [edsCluster('one'), staticCluster('fixed', origin.port)],
    endpoints: [endpoints],
    listeners: [
      listener('srds', srds, [scoped('srds', { scoped_rds: { scoped_rds_config_source: adsSource } })]),
      listener('inline', inline, [scoped('inline', { scoped_route_configurations_list: { scoped_route_configurations: list } })]),
      listener('vhds', vhds, [hcm({ stat_prefix: 'vhds', rds: { config_source: adsSource, route_config_name: 'web' } })]),
    ],
    scopes: [
      { name: 'a', route_configuration_name: 'to-one', ...scopeKey('blue') },
      { name: 'b', route_configuration_name: 'to-two', ...scopeKey('green') },
    ],
    routes: [
      routesTo('fixed', 'to-one'),
      routesTo('one', 'to-two'),
      { name: 'web', virtual_hosts: [{ ...virtualHost('own', 'own.example') }], vhds: { config_source: adsSource } },
    ],
    virtualHosts: [virtualHost('web/a', 'a.example'), virtualHost('web/b', 'b.example')],
  })
  const proxy = await ProxyProcess.start({
    bootstrap: ads.bootstrap('DELTA_GRPC'),
    ...(bin === undefined ? {} : { bin, flags: ['--use-dynamic-base-id'] }),
  })
  await until('the scopes are there', async () => (await fetchOnce(srds, '/', { 'x-scope': '0,blue' })).status === 200)
  await until('the virtual hosts are there', async () => (await fetchOnce(vhds, '/', { host: 'a.example' })).status !== 404)
  return { proxy, stop: () => ads.kill() }
}

/** Without what differs from run to run. The user agent is the program's own. */
function comparable(value: Json): Json {
  if (Array.isArray(value)) return value.map(comparable).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(([key]) => !['user_agent_name', 'user_agent_build_version', 'extensions'].includes(key))
  return Object.fromEntries(
    kept
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, ['last_updated', 'port_value', 'version_info'].includes(key) ? 'some' : comparable(item as Json)]),
  )
}

const QUERIES = [
  'include_eds',
  'resource=dynamic_scoped_route_configs',
  'resource=inline_scoped_route_configs',
  'resource=dynamic_endpoint_configs',
  'resource=dynamic_endpoint_configs&include_eds',
  'resource=dynamic_route_configs&mask=route_config.virtual_hosts',
  'resource=dynamic_listeners&mask=name',
  'resource=dynamic_active_clusters&mask=cluster.name',
  'mask=version_info',
  'name_regex=one&include_eds',
  'name_regex=web',
]

async function dumps({ proxy }: World): Promise<Record<string, Json>> {
  const answers: Record<string, Json> = {}
  for (const query of QUERIES) {
    const { status, body } = await proxy.get(`/config_dump?${query}`)
    answers[query] = status === 200 ? comparable(JSON.parse(body)) : `${status} ${body}`
  }
  return answers
}

describe('/config_dump', () => {
  let ours: World
  let answers: Record<string, Json>
  beforeAll(async () => {
    ours = await start(undefined)
    answers = await dumps(ours)
  })
  afterAll(() => ours.stop())

  it('shows scopes, virtual hosts of VHDS, and endpoints with every default', () => {
    const text = (query: string): string => JSON.stringify(answers[query])
    expect(text('resource=dynamic_scoped_route_configs')).toContain('"route_configuration_name":"to-two"')
    expect(text('resource=inline_scoped_route_configs')).toContain('"name":"i2"')
    expect(text('resource=dynamic_route_configs&mask=route_config.virtual_hosts')).toContain('"name":"web/b"')
    expect(text('resource=dynamic_endpoint_configs&include_eds')).toContain('"policy":{"overprovisioning_factor":140}')
    expect(answers['resource=dynamic_endpoint_configs']).toBe('404 dynamic_endpoint_configs not found in config dump')
  })

  it('names the program in the node, as control planes are told', async () => {
    const { configs } = await ours.proxy.json('/config_dump?mask=bootstrap.node')
    expect(configs[0].bootstrap.node).toMatchObject({ id: 'test-sidecar', user_agent_build_version: { version: {} } })
  })

  it.skipIf(envoy === undefined)('is what Envoy 1.40 shows', async () => {
    const real = await start(envoy)
    const theirs = await dumps(real)
    real.stop()
    for (const query of QUERIES) expect(answers[query], query).toEqual(theirs[query])
  })
})
