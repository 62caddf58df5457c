// What a cluster may use, through the real proxy: the connect timeout against an address that never answers, every circuit breaker for
// each of the two priorities, and that what was held is given back.
import http2 from 'node:http2'
import net, { type AddressInfo, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Front, Lettered, to } from '../support/front-proxy.js'
import { FullBacklog } from '../support/full-backlog.js'
import { Http1Client } from '../support/http1-client.js'
import { http } from '../support/origins.js'
import { overHttp2 } from '../support/protocol-matrix.js'
import { freePort, listener, staticCluster, stopAll, tcpProxy, until } from '../support/proxy-process.js'

const apps = new Lettered(1)
const app = apps.origins[0]!
let hole: FullBacklog
let front: Front
let tcpPort: number

type Limits = Readonly<Record<string, number>>
const breakers = (DEFAULT: Limits, HIGH: Limits): object => ({
  circuit_breakers: {
    thresholds: [
      { priority: 'DEFAULT', ...DEFAULT },
      { priority: 'HIGH', ...HIGH },
    ],
  },
})
const again = { retry_policy: { retry_on: '5xx', num_retries: 1, retry_back_off: { base_interval: '0.001s' } } }
const both = (name: string, action: object = {}): object[] => [
  to(`/${name}/high`, name, { priority: 'HIGH', ...action }),
  to(`/${name}`, name, action),
]

beforeAll(async () => {
  await apps.listen()
  hole = await FullBacklog.start()
  tcpPort = await freePort()
  front = await Front.start({
    routes: [
      to('/hole/again', 'hole', { retry_policy: { retry_on: 'connect-failure', num_retries: 1 } }),
      to('/hole', 'hole'),
      ...both('requests'),
      ...both('connections'),
      ...both('pending'),
      ...both('retries', again),
      to('/host', 'host'),
      to('/', 'app'),
    ],
    listeners: [listener('tcp', tcpPort, [tcpProxy('hole')])],
    virtualHost: { include_request_attempt_count: true },
    clusters: [
      staticCluster('app', app.port),
      staticCluster('hole', hole.port, { connect_timeout: '0.15s' }),
      staticCluster('requests', app.port, breakers({ max_requests: 1 }, { max_requests: 2 })),
      staticCluster('connections', app.port, {
        ...breakers({ max_connections: 1, max_pending_requests: 1 }, { max_connections: 2, max_pending_requests: 1 }),
      }),
      staticCluster('host', app.port, { circuit_breakers: { per_host_thresholds: [{ max_connections: 1 }] } }),
      staticCluster('pending', hole.port, {
        connect_timeout: '60s',
        ...breakers({ max_pending_requests: 1 }, { max_pending_requests: 2 }),
      }),
      staticCluster('retries', app.port, breakers({ max_retries: 1 }, { max_retries: 2 })),
    ],
  })
})

afterAll(async () => {
  await stopAll()
  await hole.close()
  await apps.close()
})

beforeEach(() => apps.reset())

describe('a connection that is not made in connect_timeout', () => {
  it('is a 503 UF that says so', async () => {
    const answer = await front.ask('/hole')
    expect(answer.status).toBe(503)
    expect(answer.body).toBe('upstream connect error or disconnect/reset before headers. reset reason: connection timeout')
    await front.logged('/hole', '503 UF upstream_reset_before_response_started{connection_timeout}')
    const stats = await front.proxy.stats()
    expect(stats.get('cluster.hole.upstream_cx_connect_timeout')).toBe(1)
    expect(stats.get('cluster.hole.upstream_cx_connect_fail')).toBe(1)
    expect(stats.get('cluster.hole.upstream_cx_active')).toBe(0)
    expect(stats.get('cluster.hole.upstream_rq_pending_active')).toBe(0)
  })

  it('is tried again as connect-failure', async () => {
    expect(await front.status('/hole/again')).toBe(503)
    await front.logged('/hole/again', '503 URX,UF')
    expect(await front.proxy.stat('cluster.hole.upstream_rq_retry')).toBe(1)
  })

  it('closes a TCP client', async () => {
    const before = await front.proxy.stat('cluster.hole.upstream_cx_connect_timeout')
    const socket = net.connect({ port: tcpPort, host: '127.0.0.1' })
    socket.on('error', () => {})
    await new Promise(resolve => socket.resume().once('close', resolve))
    expect(await front.proxy.stat('cluster.hole.upstream_cx_connect_timeout')).toBeGreaterThan(before)
    expect(await front.proxy.stat('tcp.tcp.downstream_cx_total')).toBe(1)
  })
})

describe('circuit breakers, by priority', () => {
  const kinds = [
    { name: 'requests', gauge: 'rq_open', overflow: 'upstream_rq_active_overflow', normal: 1, high: 2, waiting: 0 },
    { name: 'connections', gauge: 'cx_open', overflow: 'upstream_rq_pending_overflow', normal: 2, high: 3, waiting: 1 },
    { name: 'pending', gauge: 'rq_pending_open', overflow: 'upstream_rq_pending_overflow', normal: 1, high: 2, waiting: 2 },
  ] as const

  it.each(kinds)('$name', async ({ name, gauge, overflow, normal, high, waiting }) => {
    app.respond = () => {}
    const held: Http1Client[] = []
    const active = (): Promise<number> => front.proxy.stat('http.ingress.downstream_rq_active')
    const hold = async (path: string, times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        const client = await Http1Client.connect(front.port)
        // A connection must stand before the next request can want one of its own.
        const served = app.requests.length + (i < times - waiting ? 1 : 0)
        client.get(path).catch(() => {})
        held.push(client)
        await until('the request is where it waits', async () => app.requests.length >= served && (await active()) === held.length)
      }
    }
    await hold(`/${name}`, normal)
    expect(await front.proxy.stat(`cluster.${name}.circuit_breakers.default.${gauge}`)).toBe(1)
    expect(await front.status(`/${name}/over`)).toBe(503)
    await front.logged(`/${name}/over`, `503 UO upstream_reset_before_response_started{overflow`)
    // The other priority has limits of its own.
    expect(await front.proxy.stat(`cluster.${name}.circuit_breakers.high.${gauge}`)).toBe(0)
    await hold(`/${name}/high`, high)
    expect(await front.proxy.stat(`cluster.${name}.circuit_breakers.high.${gauge}`)).toBe(1)
    const answer = await front.ask(`/${name}/high/over`)
    expect([answer.status, answer.headers.get('x-envoy-overloaded')]).toEqual([503, 'true'])
    expect(await front.proxy.stat(`cluster.${name}.${overflow}`)).toBe(2)
    for (const client of held) client.destroy()
    await front.proxy.untilStat('http.ingress.downstream_rq_active', value => value === 0)
    // A connection may stay open, idle, when its request is called off.
    for (const priority of name === 'connections' ? [] : ['default', 'high'])
      await front.proxy.untilStat(`cluster.${name}.circuit_breakers.${priority}.${gauge}`, value => value === 0)
    if (name === 'pending') return
    apps.reset()
    expect(await front.status(`/${name}`)).toBe(200)
    expect(await front.status(`/${name}/high`)).toBe(200)
  })

  it('per_host_thresholds: the second request waits for the one connection of the host', async () => {
    const held: Socket[] = []
    app.respond = (_request, socket) => {
      held.push(socket)
    }
    const first = front.ask('/host/1')
    await until('the first request', () => held.length === 1)
    const second = front.ask('/host/2')
    await front.proxy.untilStat('cluster.host.upstream_rq_pending_active', value => value === 1)
    expect(await front.proxy.stat('cluster.host.upstream_cx_active')).toBe(1)
    expect(await front.proxy.stat('cluster.host.upstream_cx_overflow')).toBe(1)
    expect(held).toHaveLength(1)
    held[0]!.write(http('one'))
    expect((await first).body).toBe('one')
    await until('the second request', () => held.length === 2)
    held[1]!.write(http('two'))
    expect((await second).body).toBe('two')
    expect(await front.proxy.stat('cluster.host.upstream_cx_total')).toBe(1)
  })

  it('max_retries: a retry above it is not made, and the answer is the failure itself', async () => {
    // Every first try fails, every second one hangs: it is a retry until it is answered.
    app.respond = (request, socket) => {
      if (request.headers.get('x-envoy-attempt-count') === '1') socket.write(http('', '500 Oops'))
    }
    const waiting: Http1Client[] = []
    const wait = async (path: string): Promise<void> => {
      const client = await Http1Client.connect(front.port)
      waiting.push(client)
      client.get(path).catch(() => {})
      await front.proxy.untilStat('cluster.retries.upstream_rq_retry', value => value === waiting.length)
    }
    await wait('/retries')
    expect(await front.status('/retries/over')).toBe(500)
    await front.logged('/retries/over', '500 UO via_upstream')
    await wait('/retries/high')
    await wait('/retries/high')
    expect(await front.status('/retries/high/over')).toBe(500)
    expect(await front.proxy.stat('cluster.retries.upstream_rq_retry_overflow')).toBe(2)
    for (const client of waiting) client.destroy()
    for (const priority of ['default', 'high'])
      await front.proxy.untilStat(`cluster.retries.circuit_breakers.${priority}.rq_retry_open`, value => value === 0)
  })
})

describe('an HTTP/2 origin that takes few streams on a connection', () => {
  it.each([1, 3])('of %i: 60 requests at once are all answered, and none was refused', async limit => {
    let refused = 0
    let most = 0
    const server = http2.createServer({ settings: { maxConcurrentStreams: limit } })
    server.on('session', session => {
      let open = 0
      session.on('stream', stream => {
        most = Math.max(most, ++open)
        stream.on('error', () => {})
        stream.on('close', () => {
          open--
          if (stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM) refused++
        })
        setImmediate(() => {
          stream.respond({ ':status': 200 })
          stream.end('done')
        })
      })
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const few = await Front.start({
      routes: [to('/', 'few')],
      clusters: [staticCluster('few', (server.address() as AddressInfo).port, overHttp2)],
    })
    const answers = await Promise.all(Array.from({ length: 60 }, () => few.ask('/')))
    expect(answers.map(answer => answer.status).filter(status => status !== 200)).toEqual([])
    expect(most).toBeLessThanOrEqual(limit)
    const stats = await few.proxy.stats()
    expect([
      refused,
      stats.get('cluster.few.upstream_rq_rx_reset') ?? 0,
      stats.get('cluster.few.upstream_rq_reuse_race_retry') ?? 0,
    ]).toEqual([0, 0, 0])
    await few.proxy.stop()
    server.close()
  })
})
