// HTTP/1 and HTTP/2 through the real proxy process, in all four combinations: what goes in comes out, nothing grows while a peer does not
// read, resets travel, GOAWAY and refused streams lose no request.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import http2, { type Http2Session, type ServerHttp2Stream } from 'node:http2'
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { Http2FrameClient } from '../support/http2-frame-client.js'
import { data, END, frame, GET, headers, parseFrames, settings } from '../support/http2-frames.js'
import { http as answer, HttpOrigin } from '../support/origins.js'
import { combinations, MatrixClient, MatrixOrigin, overHttp2, readAll, type Version } from '../support/protocol-matrix.js'
import { freePort, hcm, listener, ProxyProcess, router, routesTo, staticCluster, stopAll, typed, until } from '../support/proxy-process.js'

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

let origin: MatrixOrigin
let raw: HttpOrigin
let proxy: ProxyProcess
const ports = new Map<string, number>()
const open: { close(): void }[] = []
const closed = new Map<string, number>()

function note(what: string): void {
  closed.set(what, (closed.get(what) ?? 0) + 1)
}

function client(version: Version, name: string): MatrixClient {
  const made = new MatrixClient(version, ports.get(name)!)
  open.push(made)
  return made
}

/** Writes until told to stop, as fast as the peer takes it. */
function pour(response: ServerResponse, total: number, written: (bytes: number) => void): void {
  const chunk = Buffer.alloc(64 * 1024, 'x')
  let sent = 0
  const more = () => {
    while (sent < total && !response.destroyed) {
      sent += chunk.length
      written(sent)
      if (!response.write(chunk)) {
        response.once('drain', more)
        return
      }
    }
    if (sent >= total) response.end()
  }
  more()
}

let poured = 0
let swallowed: IncomingMessage | null = null

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = request.url ?? ''
  if (url === '/echo') {
    request.pipe(response)
    return
  }
  if (url === '/inspect') {
    const body = await readAll(request)
    response.end(
      JSON.stringify({
        method: request.method,
        url,
        raw: request.rawHeaders,
        headers: request.headers,
        trailers: request.trailers,
        length: body.length,
      }),
    )
    return
  }
  if (url === '/trailers') {
    await readAll(request)
    response.writeHead(200, { trailer: 'x-sum' })
    response.write('body')
    response.addTrailers({ 'x-sum': '42', 'x-got': String(request.trailers['x-up'] ?? 'none') })
    response.end()
    return
  }
  if (url.startsWith('/status/')) {
    await readAll(request)
    response.writeHead(Number(url.slice(8)), { 'x-answer': 'yes', etag: '"e"' })
    response.end()
    return
  }
  if (url === '/head') {
    response.writeHead(200, { 'content-length': '5' })
    response.end(request.method === 'HEAD' ? undefined : 'hello')
    return
  }
  if (url === '/hints') {
    response.writeEarlyHints({ link: '</a.css>; rel=preload' })
    response.end('hinted')
    return
  }
  if (url === '/cookies') {
    response.setHeader('set-cookie', ['a=1', 'b=2, with comma', 'c=3'])
    response.setHeader('x-multi', ['one', 'two'])
    response.end(String(request.headers.cookie))
    return
  }
  if (url === '/pour') {
    poured = 0
    pour(response, 1 << 30, bytes => (poured = bytes))
    response.on('close', () => note('pour'))
    return
  }
  if (url === '/swallow') {
    swallowed = request
    request.on('close', () => note('swallow'))
    return
  }
  if (url === '/early') {
    response.writeHead(403)
    response.end('no need to read that')
    return
  }
  if (url === '/reset-before' || url === '/reset-after') {
    const stream = (response as unknown as { stream?: ServerHttp2Stream }).stream
    const kill = () => (stream === undefined ? response.socket?.destroy() : stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR))
    if (url === '/reset-before') kill()
    else {
      response.writeHead(200)
      response.write('partial', () => setImmediate(kill))
    }
    return
  }
  if (url === '/hang') {
    note('hang-open')
    response.on('close', () => note('hang'))
    return
  }
  response.end(`${request.method} ${url}`)
}

beforeAll(async () => {
  origin = await new MatrixOrigin((request, response) => void handle(request, response)).listen()
  raw = await new HttpOrigin().listen()
  const listeners: object[] = []
  ports.set('small', await freePort())
  const buffer = typed('envoy.filters.http.buffer', 'filters.http.buffer.v3.Buffer', { max_request_bytes: 10 })
  listeners.push(
    listener('to-small', ports.get('small')!, [hcm({ stat_prefix: 'small', route_config: routesTo('raw') }, [buffer, router])]),
  )
  for (const name of ['1', '2', 'raw', 'limits']) {
    ports.set(name, await freePort())
    listeners.push(
      listener(`to-${name}`, ports.get(name)!, [
        hcm({
          stat_prefix: name,
          codec_type: 'AUTO',
          route_config: routesTo(name === 'limits' ? 'raw' : name),
          ...(name === 'limits'
            ? {
                request_headers_timeout: '0.3s',
                request_timeout: '0.4s',
                max_request_headers_kb: 8,
                common_http_protocol_options: { idle_timeout: '0.5s', max_requests_per_connection: 3, max_headers_count: 20 },
                stream_idle_timeout: '0.6s',
              }
            : {}),
        }),
      ]),
    )
  }
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners,
        clusters: [staticCluster('1', origin.port(1)), staticCluster('2', origin.port(2), overHttp2), staticCluster('raw', raw.port)],
      },
    },
  })
})

afterAll(async () => {
  for (const one of open) one.close()
  await stopAll()
  origin.close()
  await raw.close()
})

describe.each(combinations)('HTTP/%i to HTTP/%i', (down, up) => {
  const here = () => client(down, String(up))

  it('carries GET and POST with their bodies', async () => {
    const c = here()
    expect((await c.ask({ path: '/a?b=c' })).body.toString()).toBe('GET /a?b=c')
    const echoed = await c.ask({ method: 'POST', path: '/echo', body: 'some body' })
    expect(echoed.status).toBe(200)
    expect(echoed.body.toString()).toBe('some body')
    const empty = await c.ask({ method: 'POST', path: '/echo', body: '', headers: { 'content-length': '0' } })
    expect(empty.body.length).toBe(0)
  })

  it('carries 4 MB both ways unchanged', async () => {
    const body = randomBytes(4 << 20)
    const reply = await here().ask({ method: 'POST', path: '/echo', body })
    expect(reply.body.equals(body)).toBe(true)
  })

  it('says the same host, method, path and headers to the origin', async () => {
    const c = here()
    const reply = await c.ask({ path: '/inspect', headers: { 'x-one': 'a', 'x-two': 'b', te: 'trailers' } })
    const seen = JSON.parse(reply.body.toString())
    expect(seen.headers.host ?? seen.headers[':authority']).toBe('test')
    expect(seen.headers['x-one']).toBe('a')
    expect(seen.headers['x-forwarded-proto']).toBe('http')
    expect(seen.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    expect(seen.headers.connection ?? 'none').toMatch(/^(none|keep-alive|TE)$/)
    expect(seen.headers.te ?? 'trailers').toBe('trailers')
  })

  it('keeps the order of equal header names', async () => {
    const seen = JSON.parse((await here().ask({ path: '/inspect', headers: { 'x-multi': ['1', '2', '3'] } })).body.toString())
    const rawHeaders = seen.raw as string[]
    const values = rawHeaders.flatMap((name, i) => (i % 2 === 0 && name.toLowerCase() === 'x-multi' ? [rawHeaders[i + 1]!] : []))
    expect(values.join(', ')).toBe('1, 2, 3')
    const reply = await here().ask({ path: '/cookies' })
    expect(reply.headers['set-cookie']).toEqual(['a=1', 'b=2, with comma', 'c=3'])
    expect(reply.headers['x-multi']).toBe('one, two')
  })

  it('joins cookie crumbs with `; ` for HTTP/1 and keeps all of them', async () => {
    const reply = await here().ask({ path: '/cookies', headers: { cookie: down === 2 ? ['a=1', 'b=2', 'c=3'] : 'a=1; b=2; c=3' } })
    expect(reply.body.toString()).toBe('a=1; b=2; c=3')
  })

  it('carries trailers both ways', async () => {
    const reply = await here().ask({
      method: 'POST',
      path: '/trailers',
      body: 'x',
      trailers: { 'x-up': 'upward' },
      headers: { te: 'trailers' },
    })
    expect(reply.body.toString()).toBe('body')
    expect(reply.trailers['x-sum']).toBe('42')
    expect(reply.trailers['x-got']).toBe('upward')
  })

  it('answers HEAD, 204 and 304 without a body and keeps the connection', async () => {
    const c = here()
    const head = await c.ask({ method: 'HEAD', path: '/head' })
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '5', 0])
    for (const status of [204, 304]) {
      const reply = await c.ask({ path: `/status/${status}` })
      expect([reply.status, reply.body.length, reply.headers['x-answer']]).toEqual([status, 0, 'yes'])
      expect(reply.headers['transfer-encoding']).toBeUndefined()
    }
    expect((await c.ask({ path: '/after' })).body.toString()).toBe('GET /after')
  })

  it('passes 103 on before the final response', async () => {
    const reply = await here().ask({ path: '/hints' })
    expect(reply.informational).toEqual([103])
    expect(reply.body.toString()).toBe('hinted')
  })

  it('stops reading from an origin whose client does not read, and goes on when it does', async () => {
    const gone = closed.get('pour') ?? 0
    const before = await proxy.residentBytes()
    const stream = await openGet(down, '/pour')
    await standsStill(() => poured)
    expect(poured).toBeGreaterThan(0)
    expect(poured).toBeLessThan(24 << 20)
    const stuckAt = poured
    stream.resume()
    await until('the origin writes on', () => poured > stuckAt + (16 << 20))
    stream.destroy()
    await until('the origin sees the client go', () => (closed.get('pour') ?? 0) > gone)
    expect((await proxy.residentBytes()) - before).toBeLessThan(64 << 20)
  })

  it('stops reading from a client whose origin does not read, and goes on when it does', async () => {
    const { sent, stream } = startUpload(down)
    await until('the request reaches the origin', () => swallowed)
    const request = swallowed!
    swallowed = null
    request.pause()
    await standsStill(sent)
    expect(sent()).toBeLessThan(24 << 20)
    const stuckAt = sent()
    request.resume()
    await until('the client writes on', () => sent() > stuckAt + (16 << 20))
    const gone = closed.get('swallow') ?? 0
    stream.destroy()
    await until('the origin sees the client go', () => (closed.get('swallow') ?? 0) > gone)
  })

  it('delivers a response that comes before the end of the request', async () => {
    const reply = await here()
      .ask({ method: 'POST', path: '/early', body: Buffer.alloc(100_000) })
      .catch((error: Error) => error)
    if (reply instanceof Error) throw reply
    expect(reply.status).toBe(403)
    expect((await here().ask({ path: '/next' })).status).toBe(200)
  })

  it('answers 503 when the origin resets before its response, and breaks the message after', async () => {
    const c = here()
    const reply = await c.ask({ path: '/reset-before' })
    expect(reply.status).toBe(503)
    expect(reply.body.toString()).toMatch(
      /^upstream connect error or disconnect\/reset before headers\. reset reason: (connection termination|remote reset)/,
    )
    await expect(c.ask({ path: '/reset-after' })).rejects.toThrow()
    expect((await here().ask({ path: '/after' })).status).toBe(200)
  })

  it('tells the origin when the client leaves', async () => {
    const before = closed.get('hang') ?? 0
    const opened = closed.get('hang-open') ?? 0
    const stream = await openGet(down, '/hang', false)
    await until('the request reaches the origin', () => (closed.get('hang-open') ?? 0) > opened)
    stream.destroy()
    await until('the origin sees the client go', () => (closed.get('hang') ?? 0) > before)
  })

  function startUpload(version: Version): { sent: () => number; stream: { destroy(): void } } {
    const chunk = Buffer.alloc(64 * 1024)
    let bytes = 0
    const target =
      version === 1
        ? http.request({ host: '127.0.0.1', port: ports.get(String(up))!, method: 'POST', path: '/swallow', headers: { host: 'test' } })
        : client(2, String(up)).http2.request({ ':method': 'POST', ':path': '/swallow', ':authority': 'test' }, { endStream: false })
    target.on('error', () => {})
    const more = () => {
      if (target.destroyed) return
      target.write(chunk, () => {
        bytes += chunk.length
        if (bytes < 1 << 30) setImmediate(more)
      })
    }
    more()
    return { sent: () => bytes, stream: target }
  }

  async function openGet(version: Version, path: string, untilHead = true): Promise<{ resume(): unknown; destroy(): void }> {
    if (version === 1) {
      const request = http.get({ host: '127.0.0.1', port: ports.get(String(up))!, path, agent: false, headers: { host: 'test' } })
      request.on('error', () => {})
      if (!untilHead) return { resume: () => request, destroy: () => request.destroy() }
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      response.on('error', () => {})
      return response
    }
    const stream = client(2, String(up)).http2.request({ ':path': path, ':authority': 'test' })
    stream.on('error', () => {})
    if (untilHead) await once(stream, 'response')
    return stream
  }
})

/** Until a number has stopped changing. */
async function standsStill(read: () => number): Promise<void> {
  let last = -1
  let same = 0
  await until('the flow stops', async () => {
    const now = read()
    same = now === last ? same + 1 : 0
    last = now
    return same >= 20
  })
}

describe('one message in is one message out', () => {
  it('refuses HTTP/2 bodies that do not match their content-length before HTTP/1 sees an end', async () => {
    const c = client(2, 'raw')
    raw.requests.length = 0
    const stream = c.http2.request(
      { ':method': 'POST', ':path': '/short', ':authority': 'test', 'content-length': '10' },
      { endStream: false },
    )
    const [error] = await Promise.all([once(stream, 'error').then(([e]) => e as Error), Promise.resolve(stream.end('1234'))]).catch(e => [
      e as Error,
    ])
    expect(error!.message).toMatch(/PROTOCOL_ERROR|content-length|Invalid/i)
    expect(raw.requests.filter(request => request.path === '/short')).toEqual([])
    expect((await c.ask({ path: '/next' })).body.toString()).toBe('GET /next')
  })

  it('breaks the HTTP/2 stream when an HTTP/1 origin sends less than its content-length', async () => {
    raw.respond = (_request, socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n1234')
    const c = client(2, 'raw')
    await expect(c.ask({ path: '/short' })).rejects.toThrow()
    raw.respond = (request, socket) => void socket.write(answer(`${request.method} ${request.path}`))
    expect((await c.ask({ path: '/ok' })).status).toBe(200)
  })

  it('answers pipelined requests in order', async () => {
    const c = await Http1Client.connect(ports.get('2')!)
    const paths = ['/1', '/2', '/3', '/4', '/5']
    const answers = paths.map(() => c.expect())
    c.socket.write(paths.map(path => `GET ${path} HTTP/1.1\r\nhost: t\r\n\r\n`).join(''))
    expect((await Promise.all(answers)).map(one => one.body)).toEqual(paths.map(path => `GET ${path}`))
    c.destroy()
  })

  it('tells HTTP/1 and HTTP/2 apart by the preface, however it is cut', async () => {
    const h2 = net.connect(ports.get('raw')!, '127.0.0.1')
    const got: Buffer[] = []
    h2.on('data', chunk => got.push(chunk))
    h2.setNoDelay(true)
    for (const byte of PREFACE) {
      h2.write(byte)
      await new Promise(resolve => setImmediate(resolve))
    }
    h2.write(Buffer.concat([settings(), headers(1, GET, END)]))
    await until('an HTTP/2 response', () => {
      try {
        return parseFrames(Buffer.concat(got)).some(one => one.type === 1)
      } catch {
        return false
      }
    })
    h2.destroy()
    const h1 = await Http1Client.connect(ports.get('raw')!)
    expect((await h1.send('PROPFIND /x HTTP/1.1\r\nhost: t\r\n\r\n')).body).toBe('PROPFIND /x')
    h1.destroy()
  })
})

describe('limits name themselves', () => {
  it('408 after request_headers_timeout', async () => {
    const c = await Http1Client.connect(ports.get('limits')!)
    const reply = await c.send('GET / HTTP/1.1\r\nhost: ')
    expect([reply.status, reply.body]).toEqual([408, 'request header timeout'])
    await c.untilClosed()
  })

  it('408 after request_timeout, in HTTP/1 and HTTP/2', async () => {
    const c = await Http1Client.connect(ports.get('limits')!)
    const reply = await c.send('POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n12')
    expect([reply.status, reply.body]).toEqual([408, 'request timeout'])
    await c.untilClosed()
    const stream = client(2, 'limits').http2.request({ ':method': 'POST', ':path': '/', ':authority': 't' }, { endStream: false })
    stream.on('error', () => {})
    stream.write('12')
    const [head] = await once(stream, 'response')
    expect(head[':status']).toBe(408)
  })

  it('431 for a head above max_request_headers_kb or max_headers_count', async () => {
    for (const fields of [`x: ${'v'.repeat(9000)}\r\n`, 'x: y\r\n'.repeat(30)]) {
      const c = await Http1Client.connect(ports.get('limits')!)
      const reply = await c.send(`GET / HTTP/1.1\r\nhost: t\r\n${fields}\r\n`)
      expect(reply.status).toBe(431)
      expect(reply.body).toMatch(/max_request_headers_kb|max_headers_count/)
      await c.untilClosed()
    }
    const h2 = client(2, 'limits')
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
    const c = await Http1Client.connect(ports.get('limits')!)
    expect((await c.get('/1')).headers.get('connection')).toBeUndefined()
    await c.get('/2')
    expect((await c.get('/3')).headers.get('connection')).toBe('close')
    await c.untilClosed()
    const session = http2.connect(`http://127.0.0.1:${ports.get('limits')}`)
    open.push(session as unknown as { close(): void })
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
    const c = await Http1Client.connect(ports.get('limits')!)
    await c.get('/')
    await c.untilClosed()
    // RFC 9113 §6.8: two GOAWAYs with a round trip between them, so that a request on its way is not lost in doubt.
    const h2 = await Http2FrameClient.connect(ports.get('limits')!)
    h2.acknowledgePing(await h2.until('the PING behind GOAWAY', frames => frames.find(one => one.type === 6) ?? null))
    await h2.closed
    expect(h2.lastIds).toEqual([0x7fffffff, 0])
    expect(await proxy.stat('http.limits.downstream_cx_idle_timeout')).toBeGreaterThanOrEqual(2)
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
              hcm({ stat_prefix: 'aged', route_config: routesTo('1'), common_http_protocol_options: { max_connection_duration: '0.3s' } }),
            ]),
          ],
          clusters: [staticCluster('1', origin.port(1))],
        },
      },
    })
    const h1 = await Http1Client.connect(port)
    await h1.get('/')
    await h1.untilClosed()
    const session = http2.connect(`http://127.0.0.1:${port}`)
    await once(session, 'goaway')
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
          listeners: [listener('in', port, [hcm({ route_config: routesTo('1'), drain_timeout: '600s' })])],
          clusters: [staticCluster('1', origin.port(1))],
        },
      },
    })
    const h1 = await Http1Client.connect(port)
    await h1.get('/')
    // By frames: nghttp2 refuses, by itself, a request that is made after GOAWAY came, which is when the one on its way is made here.
    const h2 = await Http2FrameClient.connect(port)
    h2.write(headers(1, [[':method', 'POST'], ...request2('/echo').slice(1)]), data(1, 'first '))
    await h2.until('the answer has begun', () => h2.body(1) === 'first ')
    await through.post('/drain_listeners?graceful&skip_exit')
    const roundTrip = await h2.until('the PING behind GOAWAY', frames => frames.find(one => one.type === 6) ?? null)
    expect(h2.lastIds).toEqual([0x7fffffff])
    h2.write(headers(3, request2('/last'), END))
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

describe('abort storm (http-party/node-http-proxy#1559)', () => {
  it('leaves nothing behind when 2,000 clients leave at every phase', async () => {
    const phases = [
      '',
      'GET /hang HT',
      'GET /hang HTTP/1.1\r\nhost: t\r\n\r\n',
      'POST /swallow HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\nabc',
      'GET /pour HTTP/1.1\r\nhost: t\r\n\r\n',
      'GET /a HTTP/1.1\r\nhost: t\r\n\r\nGET /hang HTTP/1.1\r\nhost: t\r\n\r\n',
      `${PREFACE}`,
      Buffer.concat([Buffer.from(PREFACE), settings(), headers(1, request2('/hang'), END), headers(3, request2('/pour'), END)]),
      Buffer.concat([Buffer.from(PREFACE), settings(), headers(1, [[':method', 'POST'], ...request2('/swallow').slice(1)])]),
      Buffer.concat([Buffer.from(PREFACE), settings(), headers(1, request2('/hang'), END), frame(3, 0, 1, Buffer.from([0, 0, 0, 8]))]),
    ]
    const total = 2000
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < total) {
        const i = next++
        const socket = net.connect(ports.get(i % 2 === 0 ? '1' : '2')!, '127.0.0.1')
        socket.on('error', () => {})
        await once(socket, 'connect')
        const bytes = phases[Math.floor(i / 2) % phases.length]!
        if (bytes.length > 0) await new Promise<void>(resolve => socket.write(bytes, () => resolve()))
        if (i % 3 === 0) await new Promise(resolve => setImmediate(resolve))
        if (i % 7 === 0) socket.resetAndDestroy()
        else socket.destroy()
        await new Promise(resolve => setImmediate(resolve))
      }
    }
    await Promise.all(Array.from({ length: 20 }, worker))
    for (const one of open.splice(0)) one.close()
    await until('every gauge is back at zero', async () => {
      const stats = await proxy.stats()
      for (const [name, value] of stats) {
        if (!/^(http\.(1|2)\.downstream_(cx|rq)_active|cluster\.(1|2)\.upstream_rq_(active|pending_active))$/.test(name)) continue
        if (value !== 0) throw new Error(`${name} = ${value}`)
      }
      return true
    })
    expect((await client(1, '1').ask({ path: '/fine' })).status).toBe(200)
    expect((await client(2, '2').ask({ path: '/fine' })).status).toBe(200)
  })
})

function request2(path: string): [string, string][] {
  return [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 't'],
  ]
}
