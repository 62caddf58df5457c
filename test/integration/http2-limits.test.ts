// The limits of a connection manager that name themselves, and the ends of connections, in HTTP/1 and HTTP/2 through the real proxy
// process: no request is lost by a connection's end. What goes through otherwise: http2.test.ts.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import http2, { type Http2Session } from 'node:http2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { Http2FrameClient } from '../support/http2-frame-client.js'
import { data, END, headers, requestFields } from '../support/http2-frames.js'
import { MatrixClient, MatrixOrigin, readAll, type Version } from '../support/protocol-matrix.js'
import { freePort, hcm, listener, ProxyProcess, router, routesTo, staticCluster, stopAll, typed } from '../support/proxy-process.js'

const BUFFER = typed('envoy.filters.http.buffer', 'filters.http.buffer.v3.Buffer', { max_request_bytes: 10 })
/** No limit of time beside those of number and size: how long a test takes decides nothing. */
const LISTENERS = {
  timers: {
    request_headers_timeout: '0.3s',
    request_timeout: '0.4s',
    stream_idle_timeout: '0.6s',
    common_http_protocol_options: { idle_timeout: '0.5s' },
  },
  counts: { max_request_headers_kb: 8, common_http_protocol_options: { max_requests_per_connection: 3, max_headers_count: 20 } },
  small: {},
}

let origin: MatrixOrigin
let proxy: ProxyProcess
const ports = new Map<string, number>()
const open: { close(): void }[] = []

function client(version: Version, name: string): MatrixClient {
  const made = new MatrixClient(version, ports.get(name)!)
  open.push(made)
  return made
}

/** What is no echo is answered when it has come to its end. */
async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === '/echo') {
    request.pipe(response)
    return
  }
  await readAll(request)
  response.end(`${request.method} ${request.url}`)
}

beforeAll(async () => {
  origin = await new MatrixOrigin((request, response) => void handle(request, response).catch(() => {})).listen()
  const listeners: object[] = []
  for (const [name, limits] of Object.entries(LISTENERS)) {
    ports.set(name, await freePort())
    const manager = hcm({ stat_prefix: name, route_config: routesTo('app'), ...limits }, name === 'small' ? [BUFFER, router] : [router])
    listeners.push(listener(name, ports.get(name)!, [manager]))
  }
  proxy = await ProxyProcess.start({ bootstrap: { static_resources: { listeners, clusters: [staticCluster('app', origin.port(1))] } } })
})

afterAll(async () => {
  for (const one of open) one.close()
  await stopAll()
  origin.close()
})

describe('limits name themselves', () => {
  it('408 after request_headers_timeout', async () => {
    const c = await Http1Client.connect(ports.get('timers')!)
    const reply = await c.send('GET / HTTP/1.1\r\nhost: ')
    expect([reply.status, reply.body]).toEqual([408, 'request header timeout'])
    await c.untilClosed()
  })

  it('408 after request_timeout, in HTTP/1 and HTTP/2', async () => {
    const c = await Http1Client.connect(ports.get('timers')!)
    const reply = await c.send('POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n12')
    expect([reply.status, reply.body]).toEqual([408, 'request timeout'])
    await c.untilClosed()
    const stream = client(2, 'timers').http2.request({ ':method': 'POST', ':path': '/', ':authority': 't' }, { endStream: false })
    stream.on('error', () => {})
    stream.write('12')
    const [head] = await once(stream, 'response')
    expect(head[':status']).toBe(408)
  })

  it('431 for a head above max_request_headers_kb or max_headers_count', async () => {
    for (const fields of [`x: ${'v'.repeat(9000)}\r\n`, 'x: y\r\n'.repeat(30)]) {
      const c = await Http1Client.connect(ports.get('counts')!)
      const reply = await c.send(`GET / HTTP/1.1\r\nhost: t\r\n${fields}\r\n`)
      expect(reply.status).toBe(431)
      expect(reply.body).toMatch(/max_request_headers_kb|max_headers_count/)
      await c.untilClosed()
    }
    const h2 = client(2, 'counts')
    const reply = await h2.ask({ headers: { x: 'v'.repeat(9000) } }).catch((error: Error) => error)
    if (!(reply instanceof Error)) expect(reply.status).toBe(431)
  })

  it('413 for a body above the limit of the buffer filter, in HTTP/1 and HTTP/2', async () => {
    for (const version of [1, 2] as const) {
      const reply = await client(version, 'small').ask({ method: 'POST', path: '/', body: 'more than ten bytes' })
      expect(reply.status).toBe(413)
      expect(reply.body.toString()).toMatch(/^Payload Too Large.*10/)
    }
  })

  it('closes after max_requests_per_connection, and says so before', async () => {
    const c = await Http1Client.connect(ports.get('counts')!)
    expect((await c.get('/1')).headers.get('connection')).toBeUndefined()
    await c.get('/2')
    expect((await c.get('/3')).headers.get('connection')).toBe('close')
    await c.untilClosed()
    const session = http2.connect(`http://127.0.0.1:${ports.get('counts')}`)
    open.push(session as { close(): void })
    const goneAway = once(session, 'goaway')
    for (const path of ['/1', '/2', '/3']) {
      const stream = session.request({ ':path': path, ':authority': 't' })
      stream.resume()
      expect((await once(stream, 'response'))[0][':status']).toBe(200)
    }
    await goneAway
    await closedSession(session)
  })

  it('closes a connection idle for idle_timeout', async () => {
    const c = await Http1Client.connect(ports.get('timers')!)
    await c.get('/')
    await c.untilClosed()
    // RFC 9113 §6.8: two GOAWAYs with a round trip between them, so that a request on its way is not lost in doubt.
    const h2 = await Http2FrameClient.connect(ports.get('timers')!)
    h2.acknowledgePing(await h2.until('the PING behind GOAWAY', frames => frames.find(one => one.type === 6) ?? null))
    await h2.closed
    expect(h2.lastIds).toEqual([0x7fffffff, 0])
    expect(await proxy.stat('http.timers.downstream_cx_idle_timeout')).toBeGreaterThanOrEqual(2)
  })
})

async function closedSession(session: Http2Session): Promise<void> {
  if (!session.destroyed) await once(session, 'close')
}

describe('drain', () => {
  it('ends a connection of max_connection_duration: HTTP/1 at once when idle, HTTP/2 after GOAWAY', async () => {
    const port = await freePort()
    const through = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          listeners: [
            listener('aged', port, [
              hcm({
                stat_prefix: 'aged',
                route_config: routesTo('app'),
                common_http_protocol_options: { max_connection_duration: '1.5s' },
              }),
            ]),
          ],
          clusters: [staticCluster('app', origin.port(1))],
        },
      },
    })
    const h1 = await Http1Client.connect(port)
    const session = http2.connect(`http://127.0.0.1:${port}`)
    const goneAway = once(session, 'goaway')
    await h1.get('/')
    await h1.untilClosed()
    await goneAway
    await closedSession(session)
    expect(await through.stat('http.aged.downstream_cx_max_duration_reached')).toBe(2)
    await through.kill()
  })

  it('answers with Connection: close and GOAWAY, and finishes what is in flight', async () => {
    const port = await freePort()
    // No time decides: the client below ends the round trip of the GOAWAY by its PING, and drain_timeout is far away.
    const through = await ProxyProcess.start({
      flags: ['--drain-strategy', 'immediate'],
      bootstrap: {
        static_resources: {
          listeners: [listener('in', port, [hcm({ route_config: routesTo('app'), drain_timeout: '600s' })])],
          clusters: [staticCluster('app', origin.port(1))],
        },
      },
    })
    const h1 = await Http1Client.connect(port)
    await h1.get('/')
    // By frames: nghttp2 refuses, by itself, a request that is made after GOAWAY came, which is when the one on its way is made here.
    const h2 = await Http2FrameClient.connect(port)
    h2.write(headers(1, requestFields('/echo', 'POST')), data(1, 'first '))
    await h2.until('the answer has begun', () => h2.body(1) === 'first ')
    await through.post('/drain_listeners?graceful&skip_exit')
    const roundTrip = await h2.until('the PING behind GOAWAY', frames => frames.find(one => one.type === 6) ?? null)
    expect(h2.lastIds).toEqual([0x7fffffff])
    h2.write(headers(3, requestFields('/last'), END))
    h2.acknowledgePing(roundTrip)
    await h2.until('the answer to the request on its way', () => h2.body(3) === 'GET /last')
    await h2.until('the second GOAWAY', () => h2.lastIds.length === 2)
    expect(h2.lastIds).toEqual([0x7fffffff, 3])
    h2.write(data(1, 'second', 1))
    await h2.closed
    expect(h2.body(1)).toBe('first second')
    expect((await h1.get('/')).headers.get('connection')).toBe('close')
    await h1.untilClosed()
    await through.kill()
  })
})
