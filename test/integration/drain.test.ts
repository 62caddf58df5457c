// How a sidecar ends: SIGTERM, /quitquitquit and /drain_listeners, with idle and busy connections.
import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  fileAccessLog,
  freePort,
  hcm,
  listener,
  ProxyProcess,
  routesTo,
  staticCluster,
  stopAll,
  tcpProxy,
  until,
} from '../support/proxy-process.js'

const origin = new HttpOrigin()
/** Answers that the test gives when it likes. */
const held: (() => void)[] = []

beforeAll(async () => {
  await origin.listen()
})
beforeEach(() => {
  held.length = 0
  origin.respond = (request, socket) => {
    if (request.path === '/slow') held.push(() => socket.write(http('late but whole')))
    else socket.write(http('ok'))
  }
})
afterAll(async () => {
  await stopAll()
  await origin.close()
})

async function start(flags: readonly string[] = []) {
  const port = await freePort()
  const outbound = await freePort()
  const raw = await freePort()
  const proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('in', port, [hcm({ route_config: routesTo('app'), access_log: [fileAccessLog('LOG %REQ(:PATH)% %RESPONSE_CODE%')] })], {
            traffic_direction: 'INBOUND',
          }),
          listener('out', outbound, [hcm({ stat_prefix: 'out', route_config: routesTo('app') })], { traffic_direction: 'OUTBOUND' }),
          listener('raw', raw, [tcpProxy('app')]),
        ],
        clusters: [staticCluster('app', origin.port)],
      },
    },
    flags,
  })
  return { proxy, port, outbound, raw }
}

const refused = (port: number): Promise<boolean> =>
  fetchOnce(port).then(
    () => false,
    () => true,
  )

async function idleClient(port: number): Promise<Http1Client> {
  const client = await Http1Client.connect(port)
  expect((await client.get('/')).status).toBe(200)
  return client
}

describe('SIGTERM', () => {
  it('closes idle connections at once, lets busy ones finish, writes the access log, exits 0', async () => {
    const { proxy, port } = await start(['--drain-time-s', '60'])
    const idle = await idleClient(port)
    const silent = await Http1Client.connect(port)
    const busy = await Http1Client.connect(port)
    const answer = busy.get('/slow')
    await until('the slow request', () => held[0])
    proxy.signal('SIGTERM')
    await Promise.all([idle.untilClosed(), silent.untilClosed()])
    expect(busy.closed).toBe(false)
    expect(await refused(port)).toBe(true)
    held[0]!()
    const got = await answer
    expect([got.status, got.body, got.headers.get('connection')]).toEqual([200, 'late but whole', 'close'])
    await busy.untilClosed()
    const run = await proxy.exit
    expect(run.code).toBe(0)
    expect(run.stdout + run.stderr).toContain('LOG /slow 200')
  })

  it('cuts what is still busy after --shutdown-grace-s, whatever the drain time, and exits 0', async () => {
    const { proxy, port, raw } = await start(['--drain-time-s', '600', '--shutdown-grace-s', '1'])
    const busy = await Http1Client.connect(port)
    const answer = busy.get('/slow')
    const tcp = await Http1Client.connect(raw)
    await until('the slow request', () => held[0])
    const failed = expect(answer).rejects.toThrow(/closed/)
    proxy.signal('SIGTERM')
    expect((await proxy.exit).code).toBe(0)
    await failed
    await tcp.untilClosed()
  })

  it.each(['a second SIGTERM', '/quitquitquit'])('%s exits 0 at once, with requests and tunnels open', async how => {
    const { proxy, port, raw } = await start(['--drain-time-s', '600', '--shutdown-grace-s', '600'])
    const busy = await Http1Client.connect(port)
    const failed = expect(busy.get('/slow')).rejects.toThrow(/closed/)
    const tcp = await Http1Client.connect(raw)
    await until('the slow request', () => held[0])
    if (how === '/quitquitquit') expect((await proxy.post('/quitquitquit')).body).toBe('OK\n')
    else {
      proxy.signal('SIGTERM')
      await until('the listener is closed', () => refused(port))
      proxy.signal('SIGTERM')
    }
    expect((await proxy.exit).code).toBe(0)
    await failed
    await tcp.untilClosed()
  })

  it('exits 0 at once when nothing is open, by SIGINT and /quitquitquit too', async () => {
    const [a, b, c] = await Promise.all([start(), start(), start()])
    a.proxy.signal('SIGTERM')
    b.proxy.signal('SIGINT')
    expect((await c.proxy.post('/quitquitquit')).body).toBe('OK\n')
    for (const { proxy } of [a, b, c]) expect((await proxy.exit).code).toBe(0)
  })

  it('finishes a response that is half way to a slow client', async () => {
    const big = 'x'.repeat(8 * 1024 * 1024)
    origin.respond = (_, socket) => void socket.write(http(big))
    const { proxy, port } = await start(['--drain-time-s', '600'])
    const client = await Http1Client.connect(port)
    const answer = client.get('/')
    await once(client.socket, 'data')
    client.socket.pause()
    proxy.signal('SIGTERM')
    await until('the listener is closed', () => refused(port))
    client.socket.resume()
    expect((await answer).body.length).toBe(big.length)
    expect((await proxy.exit).code).toBe(0)
  })
})

describe('POST /drain_listeners', () => {
  it('stops all listeners now; what is open finishes; the process stays', async () => {
    const { proxy, port, outbound } = await start()
    const busy = await Http1Client.connect(port)
    const answer = busy.get('/slow')
    await until('the slow request', () => held[0])
    expect((await proxy.post('/drain_listeners')).body).toBe('OK\n')
    await until('both refuse', async () => (await refused(port)) && (await refused(outbound)))
    held[0]!()
    expect((await answer).body).toBe('late but whole')
    expect((await proxy.get('/ready')).status).toBe(200)
    expect(await proxy.stat('listener_manager.listener_stopped')).toBe(3)
    expect((await proxy.stop()).code).toBe(0)
  })

  it('?inboundonly leaves outbound listeners alone', async () => {
    const { proxy, port, outbound } = await start()
    await proxy.post('/drain_listeners?inboundonly')
    await until('inbound refuses', () => refused(port))
    expect((await fetchOnce(outbound)).status).toBe(200)
    expect((await proxy.stop()).code).toBe(0)
  })

  it('?graceful: clients are told to leave, new connections are taken until the drain time is over; the process stays', async () => {
    const { proxy, port } = await start(['--drain-time-s', '1', '--drain-strategy', 'immediate'])
    const kept = await idleClient(port)
    await proxy.post('/drain_listeners?graceful')
    expect(kept.closed).toBe(false)
    const during = await fetchOnce(port)
    expect([during.status, during.headers.get('connection')]).toEqual([200, 'close'])
    expect((await kept.get('/')).headers.get('connection')).toBe('close')
    await kept.untilClosed()
    await until('the listener refuses', () => refused(port))
    expect((await proxy.get('/ready')).status).toBe(200)
    expect((await proxy.stop()).code).toBe(0)
  })

  it('?graceful&inboundonly tells inbound clients alone', async () => {
    const { proxy, port, outbound } = await start(['--drain-strategy', 'immediate'])
    await proxy.post('/drain_listeners?graceful&inboundonly&skip_exit')
    expect((await fetchOnce(port)).headers.get('connection')).toBe('close')
    expect((await fetchOnce(outbound)).headers.get('connection')).toBeUndefined()
    expect((await proxy.stop()).code).toBe(0)
  })

  it('?graceful&skip_exit: the listener goes on after the drain time, every answer says close (as Envoy 1.40 does)', async () => {
    const { proxy, port } = await start(['--drain-time-s', '1', '--drain-strategy', 'gradual'])
    await proxy.post('/drain_listeners?graceful&skip_exit')
    await until('the drain time is over', async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => fetchOnce(port)))
      return answers.every(answer => answer.headers.get('connection') === 'close')
    })
    expect((await fetchOnce(port)).status).toBe(200)
    expect((await proxy.stop()).code).toBe(0)
  })
})

describe('POST /healthcheck/fail', () => {
  it('asks HTTP clients to go elsewhere while it still serves', async () => {
    const { proxy, port } = await start()
    const client = await idleClient(port)
    await proxy.post('/healthcheck/fail')
    const answer = await client.get('/')
    expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close'])
    await client.untilClosed()
    await proxy.post('/healthcheck/ok')
    expect((await fetchOnce(port)).headers.get('connection')).toBeUndefined()
    await proxy.stop()
  })
})
