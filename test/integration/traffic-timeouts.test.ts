// Timeouts through the real proxy: which one fires, what the client gets, and what details and flags say; and that streams are not cut
// where no timeout is asked for.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { fetchOnce, Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { fileAccessLog, freePort, hcm, listener, ProxyProcess, staticCluster, stopAll, until } from '../support/proxy-process.js'

const origin = new HttpOrigin()
let proxy: ProxyProcess
let port: number
let idlePort: number

const to = (prefix: string, more: object): object => ({ match: { prefix }, route: { cluster: 'app', ...more } })

beforeAll(async () => {
  await origin.listen()
  port = await freePort()
  idlePort = await freePort()
  const access_log = [fileAccessLog('LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%')]
  const routes = [
    to('/route', { timeout: '0.15s' }),
    to('/idle', { idle_timeout: '0.15s' }),
    to('/no-idle', { idle_timeout: '0s', timeout: '0s' }),
    to('/try-idle', { retry_policy: { retry_on: 'connect-failure', per_try_idle_timeout: '0.15s' } }),
    to('/max', { max_stream_duration: { max_stream_duration: '0.15s' } }),
    to('/stream', { timeout: '0s' }),
    to('/told/route', { timeout: '20s' }),
    to('/told/max', { max_stream_duration: { max_stream_duration: '20s' } }),
    to('/', {}),
  ]
  const route_config = { name: 'r', virtual_hosts: [{ name: 'all', domains: ['*'], routes }] }
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('front', port, [hcm({ route_config, access_log })]),
          listener('idle', idlePort, [hcm({ stat_prefix: 'idle', route_config, access_log, stream_idle_timeout: '1s' })]),
        ],
        clusters: [staticCluster('app', origin.port)],
      },
    },
  })
})

afterAll(async () => {
  await stopAll()
  await origin.close()
})

beforeEach(() => {
  origin.respond = () => {}
})

const logged = (line: RegExp) => until(`access log ${line}`, () => line.test(proxy.log) || Promise.reject(new Error(proxy.log.slice(-600))))
const chunkedHead = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'

describe('a server that does not answer', () => {
  it.each([
    ['/route', 504, 'UT', 'response_timeout', 'upstream request timeout'],
    ['/idle', 504, 'SI', 'stream_idle_timeout', 'stream timeout'],
    ['/try-idle', 504, 'UT', 'upstream_per_try_idle_timeout', 'upstream request timeout'],
    ['/max', 504, '-', 'max_duration_timeout', 'downstream duration timeout'],
  ])('%s: %i %s %s', async (path, status, flag, details, body) => {
    const answer = await fetchOnce(port, path)
    expect([answer.status, answer.body]).toEqual([status, body])
    await logged(new RegExp(`LOG ${path} ${status} ${flag} ${details}`))
    await proxy.untilStat('cluster.app.upstream_rq_active', value => value === 0)
  })

  it('the connection manager’s stream_idle_timeout', async () => {
    expect((await fetchOnce(idlePort, '/plain')).status).toBe(504)
    await logged(/LOG \/plain 504 SI stream_idle_timeout/)
    expect(await proxy.stat('http.idle.downstream_rq_idle_timeout')).toBe(1)
  })

  it('a client that does not finish its request gets 408, not 504', async () => {
    const client = await Http1Client.connect(idlePort)
    const answer = await client.send('POST /half HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf')
    expect(answer.status).toBe(408)
    await logged(/LOG \/half 408 SI stream_idle_timeout/)
    client.destroy()
  })
})

describe('a stream that has begun', () => {
  it('is cut by the route timeout as a broken message, never as a whole one', async () => {
    origin.respond = (_, socket) => void socket.write(`${chunkedHead}3\r\none\r\n`)
    const client = await Http1Client.connect(port)
    await expect(client.get('/route/cut')).rejects.toThrow(/closed with/)
    expect(client.rest.toString('latin1')).not.toMatch(/\r\n0\r\n\r\n$/)
    await logged(/LOG \/route\/cut 200 UT response_timeout/)
  })

  it.each(['/stream', '/no-idle'])('%s: is not cut while events come, longer than any other timeout here', async path => {
    let events = 0
    origin.respond = (_, socket) => {
      socket.write(chunkedHead)
      const timer = setInterval(() => {
        events++
        socket.write('3\r\none\r\n')
        if (events < 6) return
        clearInterval(timer)
        socket.write('0\r\n\r\n')
      }, 250)
    }
    const answer = await fetchOnce(idlePort, path)
    expect(answer.body).toBe('one'.repeat(6))
  })

  it('idle_timeout 0 of the route lifts the connection manager’s', async () => {
    origin.respond = (_, socket) => {
      socket.write(chunkedHead)
      setTimeout(() => socket.write('3\r\none\r\n0\r\n\r\n'), 1_500)
    }
    expect((await fetchOnce(idlePort, '/no-idle/quiet')).body).toBe('one')
  })

  it('x-envoy-expected-rq-timeout-ms tells the server what it has, and nothing where there is no timeout', async () => {
    origin.respond = (request, socket) => void socket.write(http(request.headers.get('x-envoy-expected-rq-timeout-ms') ?? 'none'))
    const told = await Promise.all(['/told/route', '/plain', '/stream', '/told/max'].map(path => fetchOnce(port, path)))
    expect(told.map(answer => answer.body)).toEqual(['20000', '15000', 'none', 'none'])
  })
})
