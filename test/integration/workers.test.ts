// --concurrency 2: two worker processes behind one admin and one xDS stream. What a client or an operator sees is that of one process:
// counts add up, config and bans hold everywhere, a drain reaches everybody; and a worker that is killed takes its own connections along.
import { readFileSync } from 'node:fs'
import type tls from 'node:tls'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource, edsCluster } from '../support/ads-fixture.js'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions, downstreamTls, spiffe } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  allowOnly,
  assignment,
  freePort,
  hcm,
  httpRbac,
  listener,
  ProxyProcess,
  router,
  routesTo,
  staticCluster,
  stopAll,
  tcpProxy,
  typed,
  until,
} from '../support/proxy-process.js'

const one = new HttpOrigin((_, socket) => void socket.write(http('one')))
const two = new HttpOrigin((_, socket) => void socket.write(http('two')))
const WORKERS = ['--concurrency', '2']

beforeAll(async () => {
  await one.listen()
  await two.listen()
})
afterAll(async () => {
  await stopAll()
  await one.close()
  await two.close()
})

/** The worker processes of a proxy. */
function workersOf(proxy: ProxyProcess): number[] {
  const { pid } = proxy.child
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Of a client whose next request fails or is answered. */
const answers = (client: Http1Client, path = '/'): Promise<boolean> =>
  client.get(path).then(
    ({ status }) => status === 200,
    () => false,
  )

/** So many that each worker has some. */
const connectAll = (port: number, count = 8): Promise<Http1Client[]> =>
  Promise.all(Array.from({ length: count }, () => Http1Client.connect(port)))

async function startStatic(clusters: readonly object[], listeners: (port: number) => object[], flags: readonly string[] = []) {
  const port = await freePort()
  const bootstrap = {
    layered_runtime: { layers: [{ name: 'admin', admin_layer: {} }] },
    static_resources: { clusters, listeners: listeners(port) },
  }
  return { port, proxy: await ProxyProcess.start({ bootstrap, flags: [...WORKERS, ...flags] }) }
}

describe('a static configuration', () => {
  it('spreads connections evenly, and every count is the sum of the workers', async () => {
    const { proxy, port } = await startStatic([staticCluster('app', one.port)], at => [
      listener('in', at, [hcm({ route_config: routesTo('app') })]),
    ])
    const clients = await connectAll(port)
    // Answered, and so accepted and handed on.
    expect(await Promise.all(clients.map(client => answers(client)))).not.toContain(false)
    const worker = (index: number) => proxy.stat(`listener.127.0.0.1_${port}.worker_${index}.downstream_cx_active`)
    expect([await worker(0), await worker(1)]).toEqual([4, 4])
    for (let round = 0; round < 4; round++) expect(await Promise.all(clients.map(client => answers(client)))).not.toContain(false)
    const stats = await proxy.stats()
    expect(stats.get('http.ingress.downstream_rq_total')).toBe(40)
    expect(stats.get('http.ingress.downstream_rq_2xx')).toBe(40)
    expect(stats.get('http.ingress.downstream_cx_active')).toBe(8)
    expect(stats.get('cluster.app.upstream_rq_200')).toBe(40)
    expect(stats.get('cluster.app.membership_total')).toBe(1)
    expect(stats.get('cluster_manager.cluster_added')).toBe(1)
    expect(stats.get('listener_manager.listener_added')).toBe(1)
    expect(stats.get('server.total_connections')).toBe(8)
    expect(stats.get('server.concurrency')).toBe(2)
    const prometheus = (await proxy.get('/stats/prometheus')).body
    expect(prometheus).toMatch(/envoy_http_downstream_rq_time_count\{envoy_http_conn_manager_prefix="ingress"\} 40\n/)
    expect((await proxy.get('/clusters')).body).toMatch(/app::127\.0\.0\.1:\d+::rq_total::40\n/)
    expect((await proxy.json('/recent_requests')).requests).toHaveLength(40)
    expect((await proxy.json('/server_info')).command_line_options.concurrency).toBe(2)
    const resident = workersOf(proxy).map(pid => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024)
    expect(Number((await proxy.json('/memory')).total_physical_bytes)).toBeGreaterThan(resident[0]! + resident[1]!)
    await proxy.post('/reset_counters')
    expect(await proxy.stat('http.ingress.downstream_rq_total')).toBe(0)
    expect(await answers(clients[0]!)).toBe(true)
    expect(await proxy.stat('http.ingress.downstream_rq_total')).toBe(1)
    for (const client of clients) client.destroy()
    await proxy.untilStat('http.ingress.downstream_cx_active', value => value === 0)
  })

  it('a worker that is killed takes its own connections along and is replaced; what it counted stays', async () => {
    const { proxy, port } = await startStatic([staticCluster('app', one.port)], at => [
      listener('in', at, [hcm({ route_config: routesTo('app') })]),
    ])
    const clients = await connectAll(port)
    expect(await Promise.all(clients.map(client => answers(client)))).not.toContain(false)
    expect(await proxy.stat('http.ingress.downstream_rq_total')).toBe(8)
    const [killed] = workersOf(proxy)
    process.kill(killed!, 'SIGKILL')
    await until('its connections end', () => clients.filter(client => client.closed).length === 4)
    const left = clients.filter(client => !client.closed)
    expect(await Promise.all(left.map(client => answers(client)))).toEqual([true, true, true, true])
    // New ones are served at once, by whoever is there.
    expect((await fetchOnce(port)).body).toBe('one')
    await until('another worker serves', async () => (await proxy.stat('server.workers_running')) === 2 && workersOf(proxy).length === 2)
    expect(workersOf(proxy)).not.toContain(killed)
    expect(await proxy.stat('server.worker_restarts')).toBe(1)
    const fresh = await connectAll(port, 2)
    expect(await Promise.all(fresh.map(client => answers(client)))).toEqual([true, true])
    const stats = await proxy.stats()
    expect(stats.get('http.ingress.downstream_rq_total')).toBe(8 + 4 + 1 + 2)
    expect(stats.get('http.ingress.downstream_cx_active')).toBe(6)
    await proxy.untilLog(/worker \d \(process \d+\) ended: SIGKILL/)
  })

  it('SIGTERM to the whole process group lets busy requests finish in every worker, and leaves no process behind', async () => {
    const held: (() => void)[] = []
    const slow = await new HttpOrigin((_, socket) => void held.push(() => socket.write(http('late')))).listen()
    const { proxy, port } = await startStatic([staticCluster('app', slow.port)], at => [
      listener('in', at, [hcm({ route_config: routesTo('app') })]),
    ])
    const clients = await connectAll(port, 4)
    const busy = clients.map(client => client.get('/slow'))
    await until('the requests are under way', () => held.length === 4)
    const pids = workersOf(proxy)
    for (const pid of pids) process.kill(pid, 'SIGTERM')
    proxy.signal('SIGTERM')
    await until('it accepts nothing any more', () =>
      Http1Client.connect(port).then(
        client => client.destroy(),
        () => true,
      ),
    )
    for (const answer of held) answer()
    expect((await Promise.all(busy)).map(({ body }) => body)).toEqual(['late', 'late', 'late', 'late'])
    expect((await proxy.exit).code).toBe(0)
    expect(pids.filter(isAlive)).toEqual([])
    await slow.close()
  })

  it('workers end with a primary that is killed, and /quitquitquit ends all', async () => {
    const start = () => startStatic([staticCluster('app', one.port)], at => [listener('in', at, [hcm({ route_config: routesTo('app') })])])
    for (const end of [(proxy: ProxyProcess) => proxy.signal('SIGKILL'), (proxy: ProxyProcess) => void proxy.post('/quitquitquit')]) {
      const { proxy } = await start()
      const pids = workersOf(proxy)
      end(proxy)
      await until('every worker is gone', () => pids.filter(isAlive).length === 0)
    }
  })

  it('an address that is taken ends the start with the reason, as with one process', async () => {
    const run = await ProxyProcess.run({
      bootstrap: {
        static_resources: { listeners: [listener('in', one.port, [tcpProxy('app')])], clusters: [staticCluster('app', one.port)] },
      },
      flags: WORKERS,
    })
    expect(run.code).toBe(1)
    expect(run.stderr).toContain(
      `static_resources.listeners[0].address: cannot bind '127.0.0.1:${one.port}': the address is already in use`,
    )
  })

  it('what the admin is told reaches every worker: health, runtime, log levels, a graceful drain', async () => {
    const health = typed('envoy.filters.http.health_check', 'filters.http.health_check.v3.HealthCheck', {
      pass_through_mode: false,
      headers: [{ name: ':path', string_match: { exact: '/health' } }],
    })
    const fault = typed('envoy.filters.http.fault', 'filters.http.fault.v3.HTTPFault', {
      abort: { http_status: 418, percentage: { numerator: 0 } },
    })
    const { proxy, port } = await startStatic(
      [staticCluster('app', one.port)],
      at => [listener('in', at, [hcm({ route_config: routesTo('app') }, [health, fault, router])])],
      ['--drain-strategy', 'immediate'],
    )
    const clients = await connectAll(port, 4)
    const statuses = async (path: string) =>
      new Set((await Promise.all(clients.map(client => client.get(path)))).map(({ status }) => status))
    expect(await statuses('/health')).toEqual(new Set([200]))
    await proxy.post('/runtime_modify?fault.http.abort.abort_percent=100')
    await until('every worker aborts', async () => (await statuses('/')).has(200) === false)
    // One that starts later knows it too.
    process.kill(workersOf(proxy)[0]!, 'SIGKILL')
    await until(
      'another worker serves',
      async () => (await proxy.stat('server.worker_restarts')) === 1 && (await proxy.stat('server.workers_running')) === 2,
    )
    const fresh = await connectAll(port, 4)
    expect((await Promise.all(fresh.map(client => client.get('/')))).map(({ status }) => status)).toEqual([418, 418, 418, 418])
    await proxy.post('/runtime_modify?fault.http.abort.abort_percent=')
    await until('no worker aborts', async () =>
      (await Promise.all(fresh.map(client => client.get('/')))).every(({ status }) => status === 200),
    )
    await proxy.post('/drain_listeners?graceful')
    await until('every worker asks its clients to leave', async () => {
      const left = await Promise.all(fresh.filter(client => !client.closed).map(client => client.get('/').catch(() => null)))
      return left.every(answer => answer === null || answer.headers.get('connection') === 'close')
    })
  })
})

describe('hosts are judged once, for all workers', () => {
  it('a host that one worker finds failing is banned by every one, and health checks come from one process', async () => {
    let checks = 0
    let failing = true
    const bad = await new HttpOrigin((request, socket) => {
      if (request.path === '/check') checks++
      void socket.write(request.path === '/check' || !failing ? http('bad') : http('no', '503 Service Unavailable'))
    }).listen()
    const { proxy, port } = await startStatic(
      [
        {
          ...staticCluster('app', one.port),
          load_assignment: assignment('app', [one.port, bad.port]),
          health_checks: [
            {
              timeout: '60s',
              interval: '3600s',
              no_traffic_interval: '3600s',
              unhealthy_threshold: 1,
              healthy_threshold: 1,
              http_health_check: { path: '/check' },
            },
          ],
          outlier_detection: { consecutive_5xx: 1, base_ejection_time: '100s', max_ejection_percent: 50, interval: '3600s' },
        },
      ],
      at => [listener('in', at, [hcm({ route_config: routesTo('app') })])],
    )
    expect(checks).toBe(1)
    const clients = await connectAll(port, 2)
    let statuses: number[] = []
    await until('the ban', async () => {
      statuses.push((await clients[0]!.get('/')).status)
      return (await proxy.stat('cluster.app.outlier_detection.ejections_active')) === 1
    })
    expect(statuses.filter(status => status === 503)).toHaveLength(1)
    await until('the other worker knows', async () => {
      statuses = []
      for (let i = 0; i < 6; i++) statuses.push((await clients[1]!.get('/')).status)
      return !statuses.includes(503)
    })
    expect((await proxy.get('/clusters')).body).toMatch(new RegExp(`app::127.0.0.1:${bad.port}::health_flags::/failed_outlier_check`))
    expect(await proxy.stat('cluster.app.outlier_detection.ejections_enforced_total')).toBe(1)
    expect(await proxy.stat('cluster.app.membership_healthy')).toBe(1)
    failing = false
    await bad.close()
  })
})

describe('under a management server', () => {
  it('an update is in every worker when it is acknowledged; a refused one changes nothing; a worker that starts later has it all', async () => {
    const ads = await new AdsFixture().start()
    const port = await freePort()
    const front = listener('front', port, [hcm({ rds: { config_source: adsSource, route_config_name: 'main' } })])
    ads.set({
      clusters: [edsCluster('app'), edsCluster('other')],
      endpoints: [assignment('app', [one.port]), assignment('other', [two.port])],
      listeners: [front],
      routes: [routesTo('app', 'main')],
    })
    const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap(), flags: WORKERS })
    const clients = await connectAll(port, 4)
    const bodies = async () => new Set((await Promise.all(clients.map(client => client.get('/')))).map(({ body }) => body))
    expect(await bodies()).toEqual(new Set(['one']))
    for (const [cluster, body] of [
      ['other', 'two'],
      ['app', 'one'],
      ['other', 'two'],
    ] as const) {
      await ads.apply({ routes: [routesTo(cluster, 'main')] })
      expect(await bodies()).toEqual(new Set([body]))
    }
    await ads.apply({ endpoints: [assignment('app', [one.port]), assignment('other', [one.port])] })
    expect(await bodies()).toEqual(new Set(['one']))
    // A taken address, and a route table that is none.
    ads.set({ listeners: [front, listener('taken', two.port, [tcpProxy('app')])] })
    await until('the NACK', () => ads.nacks.some(nack => JSON.stringify(nack).includes('the address is already in use')))
    ads.set({ listeners: [front] })
    await ads.synced()
    expect(await bodies()).toEqual(new Set(['one']))
    expect(await proxy.stat('server.worker_config_refused')).toBe(0)
    const added = await freePort()
    await ads.apply({ listeners: [front, listener('more', added, [hcm({ route_config: routesTo('app') })])] })
    expect(new Set((await Promise.all([1, 2, 3, 4].map(() => fetchOnce(added)))).map(({ body }) => body))).toEqual(new Set(['one']))
    for (const pid of workersOf(proxy)) process.kill(pid, 'SIGKILL')
    // Clients that come while nobody serves wait for the next worker.
    expect((await fetchOnce(port)).body).toBe('one')
    expect((await fetchOnce(added)).body).toBe('one')
    await ads.apply({ listeners: [front] })
    await until('the removed listener refuses', () =>
      fetchOnce(added).then(
        () => false,
        () => true,
      ),
    )
    expect(ads.streamsOpened).toBe(1)
    await proxy.stop()
    ads.kill()
  })

  it('mTLS by SDS: a rotated leaf is served by every worker, a session is resumed at another one, a denied peer is denied by all', async () => {
    const ads = await new AdsFixture().start()
    const port = await freePort()
    const ca = new AnyCa()
    const client = ca.service('web')
    const stranger = ca.service('mallory')
    const newLeaf = () => {
      const leaf = ca.service('api')
      const pair = { certificate_chain: { inline_string: leaf.cert }, private_key: { inline_string: leaf.key } }
      return { leaf, secret: { name: 'leaf', tls_certificate: pair } }
    }
    const first = newLeaf()
    const tlsSocket = JSON.parse(JSON.stringify(downstreamTls(first.leaf, ca.pem)))
    const common = tlsSocket.typed_config.common_tls_context
    delete common.tls_certificates
    common.tls_certificate_sds_secret_configs = [{ name: 'leaf', sds_config: adsSource }]
    const secured = listener(
      'in',
      port,
      [hcm({ route_config: routesTo('app') }, [httpRbac(allowOnly(spiffe('web'))), router])],
      {},
      { transport_socket: tlsSocket },
    )
    ads.set({ clusters: [edsCluster('app')], endpoints: [assignment('app', [one.port])], listeners: [secured], secrets: [first.secret] })
    const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap(), flags: WORKERS })
    const connect = (options: tls.ConnectionOptions) => Http1Client.connect(port, options)
    const serials = async () => {
      const clients = await Promise.all([1, 2].map(() => connect(clientOptions(client, ca.pem))))
      const found = clients.map(each => (each.socket as TLSSocket).getPeerX509Certificate()!.serialNumber)
      for (const each of clients) expect(await answers(each)).toBe(true)
      for (const each of clients) each.destroy()
      return new Set(found)
    }
    const before = await serials()
    expect(before.size).toBe(1)
    const next = newLeaf()
    await ads.apply({ secrets: [next.secret] })
    const after = await serials()
    expect(after.size).toBe(1)
    expect(after).not.toEqual(before)
    for (let i = 0; i < 2; i++) {
      const denied = await connect(clientOptions(stranger, ca.pem))
      expect((await denied.get('/')).status).toBe(403)
      denied.destroy()
    }
    let session: Buffer | undefined
    const full = await connect(clientOptions(client, ca.pem))
    full.socket.on('session', (ticket: Buffer) => (session = ticket))
    expect(await answers(full)).toBe(true)
    await until('a session ticket', () => session !== undefined)
    for (let i = 0; i < 2; i++) {
      const resumed = await connect({ ...clientOptions(client, ca.pem), session: session! })
      expect((resumed.socket as TLSSocket).isSessionReused()).toBe(true)
      expect(await answers(resumed)).toBe(true)
      resumed.destroy()
    }
    await proxy.stop()
    ads.kill()
  })
})
