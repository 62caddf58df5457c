// Which part of a cluster serves, through the real proxy: priorities with overprovisioning and panic, localities by weight and by zone,
// subsets and their fallbacks, slow start, aggregates, cluster_header and ORIGINAL_DST. Shares are of many requests, with wide margins.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { endpoint, Front, Lettered, localities, panicOff, to } from '../support/front-proxy.js'
import { Http1Client } from '../support/http1-client.js'
import { staticCluster, stopAll } from '../support/proxy-process.js'

const apps = new Lettered(6)
let front: Front

const sick = { health_status: 'UNHEALTHY' }
const draining = { health_status: 'DRAINING' }
const version = (v: string, stage = 'prod'): object => ({ metadata: { filter_metadata: { 'envoy.lb': { v, stage } } } })
const wants = (labels: object): object => ({ metadata_match: { filter_metadata: { 'envoy.lb': labels } } })

beforeAll(async () => {
  await apps.listen()
  const [a, b, c, d, e, f] = apps.ports as [number, number, number, number, number, number]
  const tier = (priority: number, ...lb_endpoints: object[]): object => ({ priority, lb_endpoints })
  const zone = (name: string, ...lb_endpoints: object[]): object => ({ locality: { zone: name }, lb_endpoints })
  const subset = (name: string, config: object): object =>
    localities(
      name,
      [
        {
          lb_endpoints: [
            endpoint(a, version('1')),
            endpoint(b, version('2')),
            endpoint(c, version('2', 'canary')),
            endpoint(d, version('3')),
          ],
        },
      ],
      { lb_subset_config: { subset_selectors: [{ keys: ['v'] }, { keys: ['stage', 'v'] }], ...config } },
    )
  const aggregate = (name: string, ...clusters: string[]): object => ({
    name,
    connect_timeout: '1s',
    lb_policy: 'CLUSTER_PROVIDED',
    cluster_type: {
      name: 'envoy.clusters.aggregate',
      typed_config: { '@type': 'type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig', clusters },
    },
  })
  const byPolicy = (zone_aware_lb_config: object): object => ({
    load_balancing_policy: {
      policies: [
        {
          typed_extension_config: {
            name: 'envoy.load_balancing_policies.round_robin',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
              locality_lb_config: { zone_aware_lb_config: { min_cluster_size: 2, ...zone_aware_lb_config } },
            },
          },
        },
      ],
    },
  })
  const poor = [
    zone('here', endpoint(a, { load_balancing_weight: 3 })),
    zone('there', ...[b, c, d].map(port => endpoint(port, { load_balancing_weight: 1 }))),
  ]
  const clusters = [
    localities('failover', [tier(0, endpoint(a, sick)), tier(1, endpoint(b)), tier(2, endpoint(c))], panicOff),
    localities('half', [tier(0, endpoint(a), endpoint(c, sick)), tier(1, endpoint(b))], panicOff),
    // 80 % healthy times 1.4 is more than all of it.
    localities('enough', [tier(0, ...[a, c, d, e].map(port => endpoint(port)), endpoint(f, sick)), tier(1, endpoint(b))], panicOff),
    localities('strict', [tier(0, endpoint(a), endpoint(c, sick)), tier(1, endpoint(b))], {
      ...panicOff,
      load_assignment: {
        cluster_name: 'strict',
        policy: { overprovisioning_factor: 100 },
        endpoints: [tier(0, endpoint(a), endpoint(c, sick)), tier(1, endpoint(b))],
      },
    }),
    localities('panic', [tier(0, endpoint(a, sick), endpoint(b, sick), endpoint(c))], {
      common_lb_config: { healthy_panic_threshold: { value: 50 } },
    }),
    localities('no-panic', [tier(0, endpoint(a, sick), endpoint(b, sick), endpoint(c))], panicOff),
    localities('fail-traffic', [tier(0, endpoint(a, sick), endpoint(b, sick))], {
      common_lb_config: { healthy_panic_threshold: { value: 50 }, zone_aware_lb_config: { fail_traffic_on_panic: true } },
    }),
    localities('draining', [tier(0, endpoint(a, draining), endpoint(b))], panicOff),
    localities('degraded', [tier(0, endpoint(a, { health_status: 'DEGRADED' }), endpoint(b), endpoint(c), endpoint(d))], panicOff),
    localities('degraded-only', [tier(0, endpoint(a, { health_status: 'DEGRADED' }), endpoint(b, sick))], panicOff),
    localities(
      'weighted',
      [
        { ...zone('x', endpoint(a)), load_balancing_weight: 3 },
        { ...zone('y', endpoint(b), endpoint(c)), load_balancing_weight: 1 },
      ],
      { common_lb_config: { locality_weighted_lb_config: {} } },
    ),
    localities(
      'weight-lost',
      [
        { ...zone('x', endpoint(a, sick), endpoint(d)), load_balancing_weight: 1 },
        { ...zone('y', endpoint(b)), load_balancing_weight: 1 },
      ],
      { common_lb_config: { healthy_panic_threshold: { value: 0 }, locality_weighted_lb_config: {} } },
    ),
    localities('zoned', [zone('here', endpoint(a)), zone('there', endpoint(b))], zoneAware),
    localities('zone-poor', [zone('here', endpoint(a)), zone('there', endpoint(b), endpoint(c), endpoint(d))], zoneAware),
    localities('zone-small', [zone('here', endpoint(a)), zone('there', endpoint(b))], {
      common_lb_config: { zone_aware_lb_config: { routing_enabled: { value: 100 }, min_cluster_size: 3 } },
    }),
    localities('zone-some', [zone('here', endpoint(a)), zone('there', endpoint(b))], {
      common_lb_config: { zone_aware_lb_config: { routing_enabled: { value: 40 }, min_cluster_size: 2 } },
    }),
    localities('zone-forced', poor, byPolicy({ force_local_zone: {} })),
    localities('zone-forced-few', poor, byPolicy({ force_local_zone: { min_size: 2 } })),
    localities('zone-direct', poor, byPolicy({ force_locality_direct_routing: true })),
    localities('zone-by-weight', poor, byPolicy({ locality_basis: 'HEALTHY_HOSTS_WEIGHT' })),
    // The local cluster: as many callers here as there.
    localities('callers', [zone('here', endpoint(1)), zone('there', endpoint(2))]),
    subset('none', { fallback_policy: 'NO_FALLBACK' }),
    subset('any', { fallback_policy: 'ANY_ENDPOINT' }),
    subset('default', { fallback_policy: 'DEFAULT_SUBSET', default_subset: { v: '3' } }),
    subset('keyed', {
      fallback_policy: 'NO_FALLBACK',
      subset_selectors: [
        { keys: ['v'], fallback_policy: 'ANY_ENDPOINT' },
        { keys: ['stage', 'v'], fallback_policy: 'KEYS_SUBSET', fallback_keys_subset: ['v'] },
      ],
    }),
    localities('sick', [tier(0, endpoint(a, sick))], panicOff),
    localities('empty', []),
    staticCluster('good', b),
    aggregate('chain', 'sick', 'empty', 'good'),
    aggregate('chain-half', 'half-first', 'good'),
    localities('half-first', [tier(0, endpoint(a), endpoint(c, sick))], panicOff),
    aggregate('chain-none', 'sick', 'empty'),
    {
      name: 'original',
      type: 'ORIGINAL_DST',
      connect_timeout: '1s',
      lb_policy: 'CLUSTER_PROVIDED',
      original_dst_lb_config: { use_http_header: true },
    },
    {
      name: 'original-named',
      type: 'ORIGINAL_DST',
      connect_timeout: '1s',
      lb_policy: 'CLUSTER_PROVIDED',
      original_dst_lb_config: { use_http_header: true, http_header_name: 'x-target', upstream_port_override: a },
    },
    localities('least', [tier(0, endpoint(a), endpoint(b))], { lb_policy: 'LEAST_REQUEST', least_request_lb_config: { choice_count: 64 } }),
    localities('random', [tier(0, endpoint(a), endpoint(b))], { lb_policy: 'RANDOM' }),
    localities('slow-start', [tier(0, endpoint(a), endpoint(b))], {
      lb_policy: 'ROUND_ROBIN',
      round_robin_lb_config: { slow_start_config: { slow_start_window: '600s', min_weight_percent: { value: 10 } } },
    }),
  ]
  const names = clusters.map(cluster => (cluster as { name: string }).name)
  front = await Front.start({
    routes: [
      { match: { prefix: '/header' }, route: { cluster_header: 'x-cluster' } },
      ...['none', 'any', 'default', 'keyed'].flatMap(name => [
        to(`/${name}/v1/`, name, wants({ v: '1' })),
        to(`/${name}/v2/canary/`, name, wants({ v: '2', stage: 'canary' })),
        to(`/${name}/v2/beta/`, name, wants({ v: '2', stage: 'beta' })),
        to(`/${name}/v9/`, name, wants({ v: '9' })),
        to(`/${name}/other/`, name, wants({ colour: 'blue' })),
      ]),
      ...names.map(name => to(`/${name}/`, name)),
    ],
    clusters,
    bootstrap: {
      node: { id: 'caller', cluster: 'callers', locality: { zone: 'here' } },
      cluster_manager: { local_cluster_name: 'callers' },
    },
  })
})

const zoneAware = { common_lb_config: { zone_aware_lb_config: { routing_enabled: { value: 100 }, min_cluster_size: 2 } } }

afterAll(async () => {
  await stopAll()
  await apps.close()
})

beforeEach(() => apps.reset())

/** Shares in per cent over `times` requests. */
async function shares(path: string, times: number): Promise<Record<string, number>> {
  const client = await Http1Client.connect(front.port)
  const counts: Record<string, number> = {}
  for (let i = 0; i < times; i++) {
    const { body } = await client.get(path)
    counts[body] = (counts[body] ?? 0) + 100 / times
  }
  client.destroy()
  return counts
}

async function only(path: string, letters: string, times = 24): Promise<void> {
  expect(Object.keys(await shares(path, times)).sort()).toEqual(letters.split(''))
}

const NONE = 'no healthy upstream'
const within = (value: number | undefined, low: number, high: number): void => {
  expect(value).toBeGreaterThan(low)
  expect(value).toBeLessThan(high)
}

describe('priorities', () => {
  it.each([
    ['/failover/', 'b'],
    ['/enough/', 'acde'],
    ['/draining/', 'b'],
    ['/degraded/', 'bcd'],
    ['/degraded-only/', 'a'],
    ['/no-panic/', 'c'],
    ['/panic/', 'abc'],
  ])('%s serves from %s', async (path, letters) => {
    await only(path, letters)
  })

  it.each([
    // Half of it healthy, times 1.4: 70 %.
    ['/half/', 70],
    ['/strict/', 50],
  ])('%s: %i %% stay', async (path, expected) => {
    const found = await shares(path, 400)
    within(found['a'], expected - 12, expected + 12)
    expect(Object.keys(found).sort()).toEqual(['a', 'b'])
  })

  it('fail_traffic_on_panic: nobody instead of everybody', async () => {
    expect((await front.ask('/fail-traffic/')).body).toBe(NONE)
  })

  it('panic is counted', async () => {
    await only('/panic/', 'abc')
    expect(await front.proxy.stat('cluster.panic.lb_healthy_panic')).toBeGreaterThan(0)
  })
})

describe('localities', () => {
  it('by weight, whatever the number of endpoints', async () => {
    const found = await shares('/weighted/', 400)
    within(found['a'], 63, 87)
    expect(Object.keys(found).sort()).toEqual(['a', 'b', 'c'])
  })

  it('a locality that lost half of its endpoints keeps 70 % of its weight', async () => {
    const found = await shares('/weight-lost/', 400)
    // 0.7 to 1: 41 % and 59 %.
    within(found['d'], 29, 50)
    within(found['b'], 50, 71)
  })

  it('zone-aware: our own zone alone, when it can carry us', async () => {
    await only('/zoned/', 'a')
    expect(await front.proxy.stat('cluster.zoned.lb_zone_routing_all_directly')).toBeGreaterThan(0)
  })

  it('zone-aware: a poor zone keeps what it can carry and sends the rest away', async () => {
    const found = await shares('/zone-poor/', 400)
    // A quarter of the endpoints for half of the callers: half of ours stays.
    within(found['a'], 35, 65)
    expect(Object.keys(found).sort()).toEqual(['a', 'b', 'c', 'd'])
    expect(await front.proxy.stat('cluster.zone-poor.lb_zone_routing_sampled')).toBeGreaterThan(0)
  })

  it('zone-aware: for the part of the requests that routing_enabled says', async () => {
    const found = await shares('/zone-some/', 400)
    // 40 % stay here, and half of the rest comes here as well.
    within(found['a'], 58, 82)
  })

  it.each(['zone-forced', 'zone-direct', 'zone-by-weight'])('%s: all stays here', async name => {
    await only(`/${name}/`, 'a')
    expect(await front.proxy.stat(`cluster.${name}.lb_zone_routing_all_directly`)).toBeGreaterThan(0)
  })

  it('zone-aware: not all, where fewer are here than force_local_zone asks for', async () => {
    const found = await shares('/zone-forced-few/', 400)
    within(found['a'], 35, 65)
  })

  it('zone-aware: not below min_cluster_size', async () => {
    await only('/zone-small/', 'ab')
    expect(await front.proxy.stat('cluster.zone-small.lb_zone_cluster_too_small')).toBeGreaterThan(0)
  })
})

describe('subsets', () => {
  it.each([
    ['/none/v1/', 'a'],
    ['/none/v2/canary/', 'c'],
    ['/any/v9/', 'abcd'],
    ['/any/other/', 'abcd'],
    ['/any/', 'abcd'],
    ['/default/v1/', 'a'],
    ['/default/v9/', 'd'],
    ['/default/', 'd'],
    ['/keyed/v9/', 'abcd'],
    ['/keyed/v2/beta/', 'bc'],
  ])('%s serves from %s', async (path, letters) => {
    await only(path, letters)
  })

  it.each(['/none/v9/', '/none/v2/beta/', '/none/other/', '/none/', '/keyed/other/'])('%s: nobody', async path => {
    const answer = await front.ask(path)
    expect([answer.status, answer.body]).toEqual([503, NONE])
    await front.logged(path, '503 UH no_healthy_upstream')
  })
})

describe('clusters of clusters, and clusters named by the request', () => {
  it.each([['/chain/', 'b']])('%s serves from %s', async (path, letters) => {
    await only(path, letters)
  })

  it('an aggregate shares by health, as priorities do', async () => {
    const found = await shares('/chain-half/', 400)
    within(found['a'], 58, 82)
    expect(Object.keys(found).sort()).toEqual(['a', 'b'])
  })

  it('an aggregate of nothing healthy', async () => {
    expect((await front.ask('/chain-none/')).body).toBe(NONE)
  })

  it.each([
    ['good', 200, 'b'],
    ['sick', 503, NONE],
    ['nobody', 503, ''],
    ['', 503, ''],
  ])('cluster_header: %s: %i', async (cluster, status, body) => {
    const answer = await front.ask(`/header/${cluster}`, { headers: cluster === '' ? {} : { 'x-cluster': cluster } })
    expect([answer.status, answer.body]).toEqual([status, body])
    if (cluster === 'nobody') await front.logged('/header/nobody', '503 NC cluster_not_found')
  })

  it('ORIGINAL_DST by header, also of another name and with the port overridden', async () => {
    const target = (letter: number): string => `127.0.0.1:${apps.ports[letter]}`
    expect((await front.ask('/original/', { headers: { 'x-envoy-original-dst-host': target(2) } })).body).toBe('c')
    expect((await front.ask('/original-named/', { headers: { 'x-target': target(2) } })).body).toBe('a')
    for (const value of ['nonsense', '127.0.0.1', '127.0.0.1:99999', 'app.test:80'])
      expect((await front.ask('/original/', { headers: { 'x-envoy-original-dst-host': value } })).status).toBe(503)
    expect((await front.ask('/original/')).body).toBe(NONE)
  })
})

describe('policies', () => {
  it('random: both, and not in turn', async () => {
    const bodies: string[] = []
    for (let i = 0; i < 60; i++) bodies.push((await front.ask('/random/')).body)
    const repeats = bodies.filter((body, i) => body === bodies[i - 1]).length
    expect(repeats).toBeGreaterThan(8)
    expect(new Set(bodies)).toEqual(new Set(['a', 'b']))
  })

  it('least request: the one that is not busy', async () => {
    const client = await Http1Client.connect(front.port)
    apps.origins[0]!.respond = () => {}
    apps.origins[1]!.respond = () => {}
    client.get('/least/').catch(() => {})
    await front.proxy.untilStat('cluster.least.upstream_rq_active', value => value === 1)
    const busy = apps.origins[0]!.requests.length === 1 ? 'a' : 'b'
    apps.reset()
    await only('/least/', busy === 'a' ? 'b' : 'a', 12)
    client.destroy()
  })

  it('slow start: endpoints that all started together share alike', async () => {
    const found = await shares('/slow-start/', 100)
    within(found['a'], 40, 60)
  })
})
