// Which endpoint serves, through the real proxy: weights, hashes, subsets, priorities, failover, ORIGINAL_DST, DNS and pipes; and what
// a change of config does to connections that stand.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import dnsPacket from 'dns-packet'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { AdsFixture, edsCluster } from '../support/ads-fixture.js'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { assignment, freePort, hcm, listener, ProxyProcess, routesTo, socketAddress, stopAll, until } from '../support/proxy-process.js'

const origins = [new HttpOrigin(), new HttpOrigin(), new HttpOrigin()]
const [a, b] = origins as [HttpOrigin, HttpOrigin, HttpOrigin]

beforeAll(async () => {
  await Promise.all(origins.map(origin => origin.listen()))
})

beforeEach(() => {
  for (const [i, origin] of origins.entries()) {
    origin.requests.length = 0
    origin.respond = (_, socket) => void socket.write(http('abc'[i]!))
  }
})

afterAll(async () => {
  await stopAll()
  await Promise.all(origins.map(origin => origin.close()))
})

const endpoint = (port: number, more: object = {}): object => ({ endpoint: { address: socketAddress(port) }, ...more })
const cluster = (name: string, endpoints: object[], more: object = {}): object => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: { cluster_name: name, endpoints },
  ...more,
})

async function answers(port: number, path: string, times: number, headers: Record<string, string> = {}): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (let i = 0; i < times; i++) {
    const { body } = await fetchOnce(port, path, headers)
    counts[body] = (counts[body] ?? 0) + 1
  }
  return counts
}

describe('static clusters', () => {
  let port: number
  let dnsPort: number
  let dnsAnswer = '127.0.0.1'
  let dnsQueries = 0
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-pipe-'))
  const dns = createSocket('udp4')
  const piped = net.createServer(socket => socket.on('data', () => socket.write(http('piped'))))
  let proxy: ProxyProcess

  beforeAll(async () => {
    port = await freePort()
    const pipe = join(dir, 'app.sock')
    piped.listen(pipe)
    await once(piped, 'listening')
    dns.on('message', (message, from) => {
      const query = dnsPacket.decode(message)
      dnsQueries++
      const answer =
        query.questions![0]!.type === 'A' ? [{ type: 'A' as const, name: query.questions![0]!.name, ttl: 1, data: dnsAnswer }] : []
      dns.send(
        dnsPacket.encode({
          type: 'response',
          id: query.id!,
          flags: dnsPacket.RECURSION_DESIRED,
          questions: query.questions!,
          answers: answer,
        }),
        from.port,
        from.address,
      )
    })
    dns.bind(0, '127.0.0.1')
    await once(dns, 'listening')
    dnsPort = (dns.address() as AddressInfo).port
    const ports = origins.map(origin => origin.port)
    const to = (name: string, more: object = {}): object => ({ match: { prefix: `/${name}` }, route: { cluster: name, ...more } })
    const panicOff = { common_lb_config: { healthy_panic_threshold: { value: 0 } } }
    const version = (v: string): object => ({ metadata: { filter_metadata: { 'envoy.lb': { v } } } })
    proxy = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          listeners: [
            listener('front', port, [
              hcm({
                route_config: {
                  name: 'r',
                  virtual_hosts: [
                    {
                      name: 'all',
                      domains: ['*'],
                      routes: [
                        to('weighted'),
                        to('least'),
                        to('ring', { hash_policy: [{ header: { header_name: 'x-user' } }] }),
                        to('maglev', { hash_policy: [{ cookie: { name: 'sid', ttl: '0s', path: '/' } }] }),
                        to('subset', { metadata_match: { filter_metadata: { 'envoy.lb': { v: '2' } } } }),
                        to('priority'),
                        to('locality'),
                        to('aggregate'),
                        to('original'),
                        to('dns'),
                        to('pipe'),
                        to('sick'),
                      ],
                    },
                  ],
                },
              }),
            ]),
          ],
          clusters: [
            cluster('weighted', [
              { lb_endpoints: [endpoint(ports[0]!, { load_balancing_weight: 3 }), endpoint(ports[1]!, { load_balancing_weight: 1 })] },
            ]),
            cluster('least', [{ lb_endpoints: ports.map(p => endpoint(p)) }], {
              lb_policy: 'LEAST_REQUEST',
              least_request_lb_config: { choice_count: 100 },
            }),
            cluster('ring', [{ lb_endpoints: ports.map(p => endpoint(p)) }], { lb_policy: 'RING_HASH' }),
            cluster('maglev', [{ lb_endpoints: ports.map(p => endpoint(p)) }], { lb_policy: 'MAGLEV' }),
            cluster('subset', [{ lb_endpoints: [endpoint(ports[0]!, version('1')), endpoint(ports[1]!, version('2'))] }], {
              lb_subset_config: { fallback_policy: 'NO_FALLBACK', subset_selectors: [{ keys: ['v'] }] },
            }),
            cluster('priority', [
              { priority: 0, lb_endpoints: [endpoint(ports[0]!), endpoint(ports[2]!, { health_status: 'UNHEALTHY' })] },
              { priority: 1, lb_endpoints: [endpoint(ports[1]!)] },
            ]),
            cluster(
              'locality',
              [
                { locality: { zone: 'x' }, load_balancing_weight: 9, lb_endpoints: [endpoint(ports[0]!)] },
                { locality: { zone: 'y' }, load_balancing_weight: 1, lb_endpoints: [endpoint(ports[1]!)] },
              ],
              { common_lb_config: { locality_weighted_lb_config: {} } },
            ),
            cluster('sick', [{ lb_endpoints: [endpoint(ports[0]!, { health_status: 'UNHEALTHY' })] }], panicOff),
            {
              name: 'aggregate',
              connect_timeout: '1s',
              lb_policy: 'CLUSTER_PROVIDED',
              cluster_type: {
                name: 'envoy.clusters.aggregate',
                typed_config: {
                  '@type': 'type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig',
                  clusters: ['sick', 'least'],
                },
              },
            },
            {
              name: 'original',
              type: 'ORIGINAL_DST',
              connect_timeout: '1s',
              lb_policy: 'CLUSTER_PROVIDED',
              original_dst_lb_config: { use_http_header: true },
            },
            cluster(
              'dns',
              [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 'app.test', port_value: ports[0]! } } } }] }],
              {
                type: 'STRICT_DNS',
                respect_dns_ttl: true,
                dns_lookup_family: 'V4_ONLY',
                dns_resolvers: [socketAddress(dnsPort)],
              },
            ),
            cluster('pipe', [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: pipe } } } }] }]),
          ],
        },
      },
    })
  })

  afterAll(() => {
    dns.close()
    piped.close()
    rmSync(dir, { recursive: true, force: true })
  })

  it('weighted round robin keeps its weights', async () => {
    // The schedule starts at a random place (as Envoy's does), so a window of it may be one off.
    const counts = await answers(port, '/weighted', 40)
    expect(counts['a']! + counts['b']!).toBe(40)
    expect(Math.abs(counts['a']! - 30)).toBeLessThanOrEqual(1)
  })

  it('least request avoids the endpoint that is busy', async () => {
    a.respond = () => {}
    const held: Http1Client[] = []
    // Hosts are drawn at random: go on until one request is held at a.
    await until('requests at a', async () => {
      if (a.requests.length > 0) return true
      const client = await Http1Client.connect(port)
      held.push(client)
      client.get('/least/held').catch(() => {})
      return false
    })
    const counts = await answers(port, '/least', 12)
    for (const client of held) client.destroy()
    expect(Object.keys(counts)).not.toContain('a')
  })

  it('ring hash by header: one key, one endpoint; many keys, all of them', async () => {
    const seen = new Set<string>()
    for (let user = 0; user < 25; user++) {
      const counts = await answers(port, '/ring', 3, { 'x-user': `u${user}` })
      expect(Object.keys(counts)).toHaveLength(1)
      seen.add(Object.keys(counts)[0]!)
    }
    expect(seen.size).toBe(3)
  })

  it('maglev by a cookie that it sets: the next request with it lands there too', async () => {
    for (let i = 0; i < 10; i++) {
      const first = await fetchOnce(port, '/maglev')
      const cookie = first.headers.get('set-cookie')!
      expect(cookie).toMatch(/^sid="[0-9a-f]{16}"; Path=\/; HttpOnly$/)
      expect(await answers(port, '/maglev', 3, { cookie: cookie.split(';')[0]! })).toEqual({ [first.body]: 3 })
    }
  })

  it('a subset by metadata', async () => {
    expect(await answers(port, '/subset', 6)).toEqual({ b: 6 })
  })

  it('overprovisioning: half healthy serves 70 %, the rest goes to the next priority', async () => {
    const counts = await answers(port, '/priority', 200)
    expect(Object.keys(counts).sort()).toEqual(['a', 'b'])
    expect(counts['a']).toBeGreaterThan(110)
    expect(counts['b']).toBeGreaterThan(30)
  })

  it('locality weights', async () => {
    const counts = await answers(port, '/locality', 50)
    expect(counts).toEqual({ a: 45, b: 5 })
  })

  it('no healthy endpoint and no panic: 503, and the aggregate goes to its next cluster', async () => {
    expect((await fetchOnce(port, '/sick')).status).toBe(503)
    expect((await fetchOnce(port, '/aggregate')).status).toBe(200)
  })

  it('ORIGINAL_DST by header, 503 without one', async () => {
    expect((await fetchOnce(port, '/original', { 'x-envoy-original-dst-host': `127.0.0.1:${b.port}` })).body).toBe('b')
    expect((await fetchOnce(port, '/original')).status).toBe(503)
  })

  it('a pipe', async () => {
    expect((await fetchOnce(port, '/pipe')).body).toBe('piped')
  })

  it('STRICT_DNS follows the name when its TTL is over, and asks once a TTL, not once a request', async () => {
    const before = dnsQueries
    expect(await answers(port, '/dns', 40)).toEqual({ a: 40 })
    expect(dnsQueries - before).toBeLessThan(20)
    dnsAnswer = '127.0.0.9'
    await until('the new address', async () => (await proxy.get('/clusters')).body.includes(`127.0.0.9:${a.port}`))
    expect((await proxy.get('/clusters')).body).not.toContain(`dns::127.0.0.1:${a.port}`)
  })
})

describe('changes of config', () => {
  const ads = new AdsFixture()
  let port: number
  let proxy: ProxyProcess

  const front = (): object =>
    listener('front', port, [hcm({ rds: { route_config_name: 'routes', config_source: { ads: {}, resource_api_version: 'V3' } } })])

  beforeAll(async () => {
    port = await freePort()
    await ads.start()
    ads.set({
      clusters: [edsCluster('app')],
      endpoints: [assignment('app', [a.port, b.port])],
      listeners: [front()],
      routes: [routesTo('app')],
    })
    proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap() })
    await ads.synced()
  })

  afterAll(() => ads.kill())

  it('a route change keeps the client’s connection', async () => {
    const client = await Http1Client.connect(port)
    expect((await client.get('/')).status).toBe(200)
    await ads.apply({
      routes: [
        {
          name: 'routes',
          virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 418 } }] }],
        },
      ],
    })
    await until('the new route', async () => (await client.get('/')).status === 418)
    expect(client.closed).toBe(false)
    await ads.apply({ routes: [routesTo('app')] })
    await until('the old route', async () => (await client.get('/')).status === 200)
    client.destroy()
  })

  it('one endpoint goes: the other one’s connection is used on; equal updates change nothing', async () => {
    await answers(port, '/', 4)
    const before = b.connections
    await ads.apply({ clusters: [edsCluster('app')], endpoints: [assignment('app', [a.port, b.port])] })
    await ads.apply({ endpoints: [assignment('app', [b.port])] })
    await proxy.untilStat('cluster.app.membership_total', value => value === 1)
    expect(await answers(port, '/', 4)).toEqual({ b: 4 })
    expect(b.connections).toBe(before)
  })

  it('a cluster that is removed before its route is replaced keeps serving', async () => {
    ads.set({ clusters: [], endpoints: [] })
    await ads.synced()
    for (let i = 0; i < 5; i++) expect((await fetchOnce(port, '/')).status).toBe(200)
    await ads.apply({ clusters: [edsCluster('app')], endpoints: [assignment('app', [a.port])] })
    await until('the endpoint of the new cluster', async () => (await fetchOnce(port, '/')).body === 'a')
  })

  it.each([
    ['a weight sum of 0', { route: { weighted_clusters: { clusters: [{ name: 'app', weight: 0 }] } } }, /weight/],
    ['a bad regex', { match: { safe_regex: { regex: '(' } }, route: { cluster: 'app' } }, /regex/],
    ['an unknown cluster with validate_clusters', { route: { cluster: 'nobody' } }, /nobody/],
  ])('%s is refused by path and the old routes stay', async (_what, route, reason) => {
    const before = ads.nacks.length
    ads.set({
      routes: [
        {
          name: 'routes',
          validate_clusters: true,
          virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, ...route }] }],
        },
      ],
    })
    await until('the NACK', () => ads.nacks.length > before)
    expect(JSON.stringify(ads.nacks.at(-1))).toMatch(reason)
    expect((await fetchOnce(port, '/')).status).toBe(200)
    await ads.apply({ routes: [routesTo('app')] })
  })
})
