// HTTP/1 and HTTP/2 through the real proxy process, in all four combinations: what goes in comes out, nothing grows while a peer does not
// read, resets travel, clients that leave leave nothing behind. Limits and drain: http2-limits.test.ts.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import http2, { type ServerHttp2Stream } from 'node:http2'
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { END, frame, GET, headers, parseFrames, requestFields, settings } from '../support/http2-frames.js'
import { http as answer, HttpOrigin } from '../support/origins.js'
import { combinations, MatrixClient, MatrixOrigin, overHttp2, readAll, type Version } from '../support/protocol-matrix.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'

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
    const stream = (response as { stream?: ServerHttp2Stream }).stream
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
  for (const name of ['1', '2', 'raw']) {
    ports.set(name, await freePort())
    listeners.push(listener(`to-${name}`, ports.get(name)!, [hcm({ stat_prefix: name, route_config: routesTo(name) })]))
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
      Buffer.concat([Buffer.from(PREFACE), settings(), headers(1, requestFields('/hang'), END), headers(3, requestFields('/pour'), END)]),
      Buffer.concat([Buffer.from(PREFACE), settings(), headers(1, requestFields('/swallow', 'POST'))]),
      Buffer.concat([Buffer.from(PREFACE), settings(), headers(1, requestFields('/hang'), END), frame(3, 0, 1, Buffer.from([0, 0, 0, 8]))]),
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
