// What config updates must not touch, through the real proxy and a real ADS server: ejections, health, pools and hash tables survive
// equal updates and changes elsewhere; what is removed drains, and does not fail what is under way.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource, edsCluster } from '../support/ads-fixture.js'
import { endpoint, Lettered, panicOff, to } from '../support/front-proxy.js'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, stopAll, until } from '../support/proxy-process.js'

const apps = new Lettered(3)
const ads = new AdsFixture()
let proxy: ProxyProcess
let port: number

const outlier_detection = {
  consecutive_5xx: 2,
  interval: '1000s',
  base_ejection_time: '1000s',
  max_ejection_time: '1000s',
  max_ejection_percent: 100,
  enforcing_success_rate: 0,
}
const health_checks = [
  {
    timeout: '5s',
    interval: '0.05s',
    no_traffic_interval: '0.05s',
    unhealthy_threshold: 1,
    healthy_threshold: 1,
    http_health_check: { path: '/healthz' },
  },
]
const clusters = (more: { readonly timeout?: string; readonly without?: string } = {}): object[] =>
  [
    edsCluster('plain'),
    edsCluster('ejecting', { outlier_detection, ...panicOff }),
    edsCluster('checked', { health_checks, ...panicOff }),
    edsCluster('ring', { lb_policy: 'RING_HASH' }),
    edsCluster('maglev', { lb_policy: 'MAGLEV' }),
    edsCluster('leaving', { connect_timeout: more.timeout ?? '2s' }),
  ].filter(cluster => (cluster as { name: string }).name !== more.without)

const names = ['plain', 'ejecting', 'checked', 'ring', 'maglev', 'leaving']
const load = (name: string, ports: readonly number[], more: object = {}): object => ({
  cluster_name: name,
  endpoints: [{ lb_endpoints: ports.map(each => endpoint(each, more)) }],
})
const endpoints = (changed: Readonly<Record<string, readonly number[]>> = {}): object[] =>
  names.map(name => load(name, changed[name] ?? apps.ports))
const hashed = { hash_policy: [{ header: { header_name: 'x-user' } }] }
const routes = (without = ''): object => ({
  name: 'routes',
  virtual_hosts: [
    {
      name: 'all',
      domains: ['*'],
      routes: names.filter(name => name !== without).map(name => to(`/${name}`, name, name === 'ring' || name === 'maglev' ? hashed : {})),
    },
  ],
})

beforeAll(async () => {
  await apps.listen()
  port = await freePort()
  await ads.start()
  ads.set({
    clusters: clusters(),
    endpoints: endpoints(),
    listeners: [listener('front', port, [hcm({ rds: { route_config_name: 'routes', config_source: adsSource } })])],
    routes: [routes()],
  })
  proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap('GRPC') })
  await ads.synced()
})

afterAll(async () => {
  await stopAll()
  ads.kill()
  await apps.close()
})

beforeEach(() => apps.reset())

/**
 * Sends everything again several times: in a state-of-the-world stream each response has all resources of its type, so that a change of
 * one cluster (`leaving`) and of its endpoints brings the others once more, equal to what they were.
 */
async function updateAll(): Promise<void> {
  const before = await proxy.stats()
  for (const timeout of ['3s', '2s']) {
    await ads.apply({ clusters: clusters({ timeout }), endpoints: endpoints(), routes: [routes()] })
    await ads.apply({ endpoints: endpoints({ leaving: apps.ports.slice(timeout === '3s' ? 1 : 0) }) })
  }
  for (const name of ['cluster_manager.cds.update_success', 'cluster.plain.update_attempt'])
    await proxy.untilStat(name, value => value > (before.get(name) ?? 0))
}

async function answers(path: string, times: number, headers: Record<string, string> = {}): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (let i = 0; i < times; i++) {
    const { body } = await fetchOnce(port, path, headers)
    counts[body] = (counts[body] ?? 0) + 1
  }
  return counts
}

describe('equal updates', () => {
  it('leave an ejection as it is', async () => {
    apps.origins[0]!.respond = (_, socket) => void socket.write(http('bad', '500 Oops'))
    await until('an ejection', async () => {
      await fetchOnce(port, '/ejecting')
      return (await proxy.stat('cluster.ejecting.outlier_detection.ejections_active')) === 1
    })
    await updateAll()
    expect(await proxy.stat('cluster.ejecting.outlier_detection.ejections_active')).toBe(1)
    expect(await proxy.stat('cluster.ejecting.outlier_detection.ejections_enforced_total')).toBe(1)
    expect(await answers('/ejecting', 8)).toEqual({ b: 4, c: 4 })
    // Also when another endpoint of the cluster goes and comes.
    await ads.apply({ endpoints: endpoints({ ejecting: apps.ports.slice(0, 2) }) })
    expect(await answers('/ejecting', 4)).toEqual({ b: 4 })
    await ads.apply({ endpoints: endpoints() })
    await until('the third is back', async () => 'c' in (await answers('/ejecting', 4)))
    expect(await answers('/ejecting', 4)).toEqual({ b: 2, c: 2 })
  })

  it('leave a failed health check as it is', async () => {
    await proxy.untilStat('cluster.checked.membership_healthy', value => value === 3)
    apps.origins[2]!.respond = (request, socket) => void socket.write(request.path === '/healthz' ? http('', '503 Busy') : http('bad'))
    await proxy.untilStat('cluster.checked.membership_healthy', value => value === 2)
    await updateAll()
    expect(await proxy.stat('cluster.checked.membership_healthy')).toBe(2)
    const found = await answers('/checked', 8)
    expect(Object.keys(found).sort()).toEqual(['a', 'b'])
  })

  it('leave pools and their connections as they are', async () => {
    await answers('/plain', 9)
    const before = await proxy.stat('cluster.plain.upstream_cx_total')
    await updateAll()
    await answers('/plain', 9)
    expect(await proxy.stat('cluster.plain.upstream_cx_total')).toBe(before)
    expect(await proxy.stat('cluster.plain.upstream_cx_destroy')).toBe(0)
  })

  it.each(['ring', 'maglev'])('leave the %s table as it is', async policy => {
    const users = Array.from({ length: 12 }, (_unused, i) => ({ 'x-user': `user-${i}` }))
    const placed = async (): Promise<string[]> => {
      const found: string[] = []
      for (const user of users) found.push((await fetchOnce(port, `/${policy}`, user)).body)
      return found
    }
    const before = await placed()
    const rebuilt = await proxy.stat(`cluster.${policy}.membership_change`)
    await updateAll()
    // The same endpoints in another order are equal too.
    await ads.apply({ endpoints: endpoints({ [policy]: [...apps.ports].reverse() }) })
    expect(await proxy.stat(`cluster.${policy}.membership_change`)).toBe(rebuilt)
    expect(await proxy.stat(`cluster.${policy}.update_no_rebuild`)).toBeGreaterThan(0)
    expect(await placed()).toEqual(before)
  })

  it('a weight changes in place', async () => {
    const before = await proxy.stat('cluster.plain.upstream_cx_total')
    await answers('/plain', 6)
    await ads.apply({ endpoints: [...endpoints().slice(1), load('plain', apps.ports, { load_balancing_weight: 5 })] })
    await answers('/plain', 6)
    expect(await proxy.stat('cluster.plain.membership_total')).toBe(3)
    expect((await proxy.stat('cluster.plain.upstream_cx_total')) - before).toBeLessThanOrEqual(3)
  })
})

describe('what is removed', () => {
  it('an endpoint: what is under way there ends well, then its connections go', async () => {
    const held: (() => void)[] = []
    for (const origin of apps.origins) {
      origin.respond = (request, socket) => {
        if (request.path === '/leaving/slow') held.push(() => socket.write(http('late')))
        else socket.write(http('ok'))
      }
    }
    const clients = await Promise.all(apps.origins.map(() => Http1Client.connect(port)))
    const waiting = clients.map(client => client.get('/leaving/slow'))
    await until('all three are under way', () => held.length === 3)
    await ads.apply({ endpoints: endpoints({ leaving: [apps.ports[1]!] }) })
    await proxy.untilStat('cluster.leaving.membership_total', value => value === 1)
    for (const release of held) release()
    for (const answer of await Promise.all(waiting)) expect(answer.body).toBe('late')
    await proxy.untilStat('cluster.leaving.upstream_cx_active', value => value <= 1)
    for (const client of clients) client.destroy()
    apps.reset()
    expect(await answers('/leaving', 3)).toEqual({ b: 3 })
  })

  it('a cluster that a route still names serves on, with requests under way; it goes with the route', async () => {
    let release: (() => void) | null = null
    apps.origins[1]!.respond = (request, socket) => {
      if (request.path === '/leaving/slow') release = () => void socket.write(http('late'))
      else socket.write(http('b'))
    }
    const client = await Http1Client.connect(port)
    const waiting = client.get('/leaving/slow')
    await until('it is under way', () => release)
    await ads.apply({ clusters: clusters({ without: 'leaving' }) })
    expect(await answers('/leaving', 3)).toEqual({ b: 3 })
    await ads.apply({ routes: [routes('leaving')] })
    await until('no route', async () => (await fetchOnce(port, '/leaving')).status === 404)
    ;(release as (() => void) | null)?.()
    expect((await waiting).body).toBe('late')
    client.destroy()
    await until('the cluster is gone', async () => !(await proxy.get('/clusters')).body.includes('leaving::'))
  })
})
