// Upgrades, WebSocket and CONNECT through the real proxy process: raw handshakes, so that every byte is ours. What a refused or abandoned
// upgrade leaves behind is the point of most of these (demands: CVE-2026-73548, CVE-2026-2833, CVE-2024-23326, node-http-proxy#783).
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import net from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { EchoOrigin, HttpOrigin, http, type OriginRequest } from '../support/origins.js'
import { MatrixClient } from '../support/protocol-matrix.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const accept = (key: string) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
const HANDSHAKE = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': KEY }

let app: HttpOrigin
let echo: EchoOrigin
let app2: http2.Http2Server
let proxy: ProxyProcess
const ports = new Map<string, number>()
const sessions: ClientHttp2Session[] = []
let sawEnd = 0
let sawClose = 0
let arrived = ''

/** 101, then an echo; its end follows the client's. */
function acceptUpgrade(request: OriginRequest, socket: Socket, first = ''): void {
  const key = request.headers.get('sec-websocket-key')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.get('upgrade')}\r\n${
      key === undefined ? '' : `Sec-WebSocket-Accept: ${accept(key)}\r\n`
    }X-From: app\r\n\r\n${first}`,
  )
  socket.on('data', chunk => {
    arrived += chunk.toString()
    if (!socket.write(chunk)) {
      socket.pause()
      socket.once('drain', () => socket.resume())
    }
  })
}

function respond(request: OriginRequest, socket: Socket): void {
  socket.once('close', () => sawClose++)
  socket.once('end', () => sawEnd++)
  const [, kind = ''] = request.path.split('/')
  switch (kind) {
    case 'ws':
      acceptUpgrade(request, socket)
      return
    case 'first':
      acceptUpgrade(request, socket, 'server speaks first')
      return
    case 'refuse':
      socket.on('data', chunk => (arrived += chunk.toString()))
      socket.write(http('refused', request.path.slice(8).replace('-', ' ')))
      return
    case 'refuse-upgrade-header':
      socket.write(http('not switched', '200 OK', { connection: 'upgrade', upgrade: 'websocket' }))
      return
    case 'silent':
      socket.on('data', chunk => (arrived += chunk.toString()))
      return
    case 'late':
      socket.on('data', chunk => (arrived += chunk.toString()))
      void until('the test lets it go', () => letGo).then(() => acceptUpgrade(request, socket))
      return
    case 'cut':
      acceptUpgrade(request, socket, 'half a fra')
      socket.resetAndDestroy()
      return
    default:
      socket.write(http(`${request.method} ${request.path}`))
  }
}

let letGo = false

beforeAll(async () => {
  app = await new HttpOrigin(respond).listen()
  echo = await new EchoOrigin().listen()
  app2 = http2.createServer({ settings: { enableConnectProtocol: true } })
  app2.on('sessionError', () => {})
  app2.on('stream', (stream, head) => {
    stream.on('error', () => {})
    if (head[':protocol'] !== 'websocket') {
      stream.respond({ ':status': head[':method'] === 'CONNECT' ? 400 : 200 })
      stream.end(`plain ${head[':path']}`)
      return
    }
    stream.on('close', () => sawClose++)
    if (head[':path'] === '/refuse') {
      stream.respond({ ':status': 403 })
      stream.end('refused')
      return
    }
    stream.respond({ ':status': 200, 'x-from': 'app2' })
    stream.pipe(stream)
  })
  await new Promise<void>(resolve => app2.listen(0, '127.0.0.1', resolve))
  const allowed = { upgrade_configs: [{ upgrade_type: 'websocket' }, { upgrade_type: 'custom' }] }
  const connect = (more: object) => ({
    virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { connect_matcher: {} }, route: { cluster: 'echo', ...more } }] }],
  })
  const listeners: object[] = []
  const add = async (name: string, config: object) => {
    const port = await freePort()
    ports.set(name, port)
    listeners.push(listener(name, port, [hcm({ stat_prefix: name, ...config })]))
  }
  const h2 = { http2_protocol_options: { allow_connect: true } }
  await add('ws', { ...allowed, ...h2, route_config: routesTo('app') })
  await add('ws2', { ...allowed, ...h2, route_config: routesTo('app2') })
  await add('off', { ...h2, route_config: routesTo('app') })
  await add('connect', {
    ...h2,
    upgrade_configs: [{ upgrade_type: 'CONNECT' }],
    route_config: connect({ upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] }),
  })
  await add('connect-off', { ...h2, route_config: connect({}) })
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners,
        clusters: [
          staticCluster('app', app.port),
          staticCluster('app2', (app2.address() as AddressInfo).port, {
            typed_extension_protocol_options: {
              'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
                '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
                explicit_http_config: { http2_protocol_options: { allow_connect: true } },
              },
            },
          }),
          staticCluster('echo', echo.port),
        ],
      },
    },
  })
})

afterAll(async () => {
  for (const session of sessions) session.destroy()
  await stopAll()
  await app.close()
  await echo.close()
  app2.close()
})

beforeEach(() => {
  for (const client of clients.splice(0)) client.destroy()
  for (const session of sessions.splice(0)) session.destroy()
  sawEnd = 0
  sawClose = 0
  arrived = ''
  letGo = false
  app.requests.length = 0
})

const clients: Http1Client[] = []

async function connect(name: string): Promise<Http1Client> {
  const client = await Http1Client.connect(ports.get(name)!)
  clients.push(client)
  return client
}

function head(path: string, fields: Readonly<Record<string, string>> = HANDSHAKE, method = 'GET'): string {
  const lines = Object.entries({ Host: 'test', ...fields }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** No tunnel, no upstream request, no upstream connection in use. */
async function nothingLeft(name: string, cluster: string): Promise<void> {
  await until('gauges at zero', async () => {
    const stats = await proxy.stats()
    for (const gauge of [`http.${name}.downstream_rq_active`, `http.${name}.downstream_cx_active`, `cluster.${cluster}.upstream_rq_active`])
      if ((stats.get(gauge) ?? 0) !== 0) throw new Error(`${gauge} = ${stats.get(gauge)}`)
    return true
  })
}

describe('an HTTP/1 upgrade', () => {
  it('carries the handshake and frames both ways', async () => {
    const c = await connect('ws')
    const reply = await c.send(head('/ws'))
    expect([reply.status, reply.headers.get('sec-websocket-accept'), reply.headers.get('x-from')]).toEqual([101, accept(KEY), 'app'])
    expect(reply.headers.get('upgrade')?.toLowerCase()).toBe('websocket')
    expect(reply.headers.get('connection')?.toLowerCase()).toBe('upgrade')
    expect(reply.headers.has('content-length') || reply.headers.has('transfer-encoding')).toBe(false)
    // The time runs from the end of the request, which a tunnel's has not seen (as in Envoy).
    expect(reply.headers.has('x-envoy-upstream-service-time')).toBe(false)
    const seen = app.requests[0]!
    expect([
      seen.headers.get('upgrade')?.toLowerCase(),
      seen.headers.get('connection')?.toLowerCase(),
      seen.headers.get('sec-websocket-key'),
    ]).toEqual(['websocket', 'upgrade', KEY])
    for (const frame of ['one', 'two', 'three']) {
      const before = c.rest.length
      c.socket.write(frame)
      await until('the echo', () => c.rest.length === before + frame.length)
    }
    expect(c.rest.toString()).toBe('onetwothree')
    c.destroy()
    await nothingLeft('ws', 'app')
  })

  it('carries 8 MB each way unchanged', async () => {
    const c = await connect('ws')
    await c.send(head('/ws'))
    const sent = Buffer.alloc(8 << 20, 'abcdefg')
    let got = 0
    const sum = createHash('sha256')
    c.socket.removeAllListeners('data')
    c.socket.on('data', chunk => {
      got += chunk.length
      sum.update(chunk)
    })
    c.socket.write(sent)
    await until('all of it comes back', () => got >= sent.length)
    expect(sum.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'))
    c.destroy()
  })

  it('WS 1: a refused upgrade leaks no upstream socket (node-http-proxy#783)', async () => {
    for (const status of ['403-Forbidden', '401-Unauthorized', '200-OK', '500-Oops']) {
      const c = await connect('ws')
      const reply = await c.send(head(`/refuse/${status}`))
      expect([reply.status, reply.body]).toEqual([Number(status.slice(0, 3)), 'refused'])
      c.destroy()
    }
    await until('every upstream connection is closed', () => app.sockets.size === 0)
    await nothingLeft('ws', 'app')
  })

  it('WS 2: a reset in the tunnel, from either side, ends the other side and nothing else', async () => {
    const c = await connect('ws')
    await c.send(head('/cut')).catch(() => null)
    await c.untilClosed()
    const d = await connect('ws')
    await d.send(head('/ws'))
    d.socket.resetAndDestroy()
    await until('the app sees the end', () => sawClose >= 2)
    expect((await (await connect('ws')).get('/still-alive')).status).toBe(200)
  })

  it('WS 3: bytes that come with either head are not lost', async () => {
    const c = await connect('ws')
    const reply = c.expect()
    c.socket.write(`${head('/ws')}early frame`)
    expect((await reply).status).toBe(101)
    await until('the early frame comes back', () => c.rest.toString() === 'early frame')
    c.destroy()
    const d = await connect('ws')
    expect((await d.send(head('/first'))).status).toBe(101)
    await until('the first bytes of the server', () => d.rest.toString() === 'server speaks first')
    d.destroy()
  })

  it('WS 4: half-close goes through, and the rest of the other direction still arrives', async () => {
    const c = await connect('ws')
    await c.send(head('/ws'))
    c.socket.end('last words')
    await c.untilClosed()
    expect(c.rest.toString()).toBe('last words')
    expect(sawEnd).toBeGreaterThanOrEqual(1)
    await until('the app closes', () => app.sockets.size === 0)
    await nothingLeft('ws', 'app')
  })

  it('leaks nothing when clients leave at any point of it', async () => {
    for (let i = 0; i < 200; i++) {
      const socket = net.connect(ports.get('ws')!, '127.0.0.1')
      socket.on('error', () => {})
      await once(socket, 'connect')
      const path = ['/ws', '/silent', '/refuse/403-Forbidden', '/first'][i % 4]!
      const text = head(path)
      socket.write(i % 5 === 0 ? text.slice(0, 60) : text)
      if (i % 3 === 0) await new Promise(resolve => setImmediate(resolve))
      if (i % 3 === 1) socket.write('data')
      if (i % 2 === 0) socket.resetAndDestroy()
      else socket.destroy()
    }
    // A connection that was made for a client that left first has carried nothing: it may wait for the next request.
    await until('every upstream connection of an upgrade is closed', () => [...app.sockets].every(socket => socket.bytesRead === 0))
    await nothingLeft('ws', 'app')
  })
})

describe('an upgrade that is not accepted', () => {
  it('holds what the client sends until 101 (CVE-2026-2833)', async () => {
    const c = await connect('ws')
    const reply = c.expect()
    c.socket.write(`${head('/late')}GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n`)
    await until('the upgrade reaches the app', () => app.requests.length === 1)
    const c2 = await connect('ws')
    expect((await c2.get('/other')).status).toBe(200)
    c2.destroy()
    expect(arrived).toBe('')
    letGo = true
    expect((await reply).status).toBe(101)
    await until('held bytes arrive after the 101', () => arrived.startsWith('GET /smuggled'))
    c.destroy()
  })

  it.each(['200-OK', '403-Forbidden', '426-Upgrade'])(
    'never forwards a pipelined request, nor reuses the connection, after %s (CVE-2026-73548)',
    async status => {
      const c = await connect('ws')
      const reply = c.expect()
      c.socket.write(`${head(`/refuse/${status}`)}GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n`)
      expect((await reply).status).toBe(Number(status.slice(0, 3)))
      await until('the upstream connection is closed', () => app.sockets.size === 0)
      expect(arrived).toBe('')
      const d = await connect('ws')
      await d.get('/next')
      expect(app.requests[1]!.connection).toBeGreaterThan(app.requests[0]!.connection)
      expect(app.requests.map(request => request.path)).not.toContain('/smuggled')
      c.destroy()
      d.destroy()
      for (const socket of app.sockets) socket.destroy()
    },
  )

  it('is no tunnel because a 200 says `Upgrade` (CVE-2024-23326)', async () => {
    const c = await connect('ws')
    const reply = await c.send(head('/refuse-upgrade-header'))
    expect([reply.status, reply.body]).toEqual([200, 'not switched'])
    await nothingLeftButConnections('ws', 'app')
    c.destroy()
  })

  it('403 where the type is not configured, and no byte goes up', async () => {
    for (const [name, type] of [
      ['off', 'websocket'],
      ['ws', 'other'],
    ] as const) {
      const c = await connect(name)
      expect((await c.send(head('/ws', { ...HANDSHAKE, upgrade: type }))).status).toBe(403)
      c.destroy()
    }
    expect(app.requests.length).toBe(0)
  })

  it('h2c is never tunnelled: the request goes on as plain HTTP/1, or not at all', async () => {
    for (const name of ['ws', 'off']) {
      const c = await connect(name)
      const reply = await c.send(
        head('/h2c', { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' }),
      )
      expect([200, 403]).toContain(reply.status)
      c.destroy()
    }
    for (const request of app.requests) {
      expect(request.headers.has('upgrade')).toBe(false)
      expect(request.headers.has('http2-settings')).toBe(false)
    }
  })

  it('an Upgrade with a body is refused or goes without one of the two (CVE-2026-58055)', async () => {
    const c = await connect('ws')
    const reply = await c.send(`${head('/ws', { ...HANDSHAKE, 'content-length': '5' }, 'POST')}hello`).catch(() => null)
    if (reply !== null && reply.status < 400)
      expect(app.requests.every(r => !(r.headers.has('upgrade') && r.headers.has('content-length')))).toBe(true)
    c.destroy()
    for (const socket of app.sockets) socket.destroy()
    const d = await connect('ws')
    expect((await d.get('/clean')).body).toBe('GET /clean')
    d.destroy()
  })
})

async function nothingLeftButConnections(name: string, cluster: string): Promise<void> {
  await until('no request is left', async () => {
    const stats = await proxy.stats()
    return (stats.get(`http.${name}.downstream_rq_active`) ?? 0) + (stats.get(`cluster.${cluster}.upstream_rq_active`) ?? 0) === 0
  })
}

describe.each([
  ['HTTP/1', 'ws', 'app'],
  ['HTTP/2', 'ws2', 'app2'],
])('HTTP/2 extended CONNECT (RFC 8441) to %s', (_label, name, cluster) => {
  it('carries frames both ways and the end of both', async () => {
    const stream = await extendedConnect(name, '/ws')
    const [reply] = await once(stream, 'response')
    expect(reply[':status']).toBe(200)
    expect(reply['x-from']).toBe(cluster)
    expect(reply['sec-websocket-accept']).toBeUndefined()
    const got: Buffer[] = []
    stream.on('data', chunk => got.push(chunk))
    stream.write('ping')
    await until('the echo', () => Buffer.concat(got).toString() === 'ping')
    stream.end('bye')
    await once(stream, 'end')
    expect(Buffer.concat(got).toString()).toBe('pingbye')
    await nothingLeftButConnections(name, cluster)
  })

  it('tells the client of a refusal, with the status', async () => {
    const path = name === 'ws' ? '/refuse/403-Forbidden' : '/refuse'
    const stream = await extendedConnect(name, path)
    const [reply] = await once(stream, 'response')
    expect(reply[':status']).toBe(403)
    stream.close()
    await nothingLeftButConnections(name, cluster)
  })

  it('a reset by the client ends the other side', async () => {
    const stream = await extendedConnect(name, '/ws')
    await once(stream, 'response')
    stream.close(http2.constants.NGHTTP2_CANCEL)
    await until('the app sees the end', () => sawClose >= 1)
    await nothingLeftButConnections(name, cluster)
  })
})

it('HTTP/1 upgrade to an HTTP/2 app', async () => {
  const c = await connect('ws2')
  const reply = await c.send(head('/ws'))
  expect([reply.status, reply.headers.get('sec-websocket-accept'), reply.headers.get('upgrade')]).toEqual([101, accept(KEY), 'websocket'])
  c.socket.write('over two')
  await until('the echo', () => c.rest.toString() === 'over two')
  c.socket.end()
  await c.untilClosed()
  const refused = await connect('ws2')
  expect((await refused.send(head('/refuse'))).status).toBe(403)
  refused.destroy()
  await nothingLeft('ws2', 'app2')
})

async function extendedConnect(name: string, path: string): Promise<ClientHttp2Stream> {
  const session = http2.connect(`http://127.0.0.1:${ports.get(name)}`)
  sessions.push(session)
  await once(session, 'remoteSettings')
  const stream = session.request(
    {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':path': path,
      ':authority': 'test',
      'sec-websocket-version': '13',
    },
    { endStream: false },
  )
  stream.on('error', () => {})
  return stream
}

describe('CONNECT', () => {
  it('with connect_config becomes a TCP tunnel, and nothing goes up before the 200 (CVE-2025-64763)', async () => {
    const c = await connect('connect')
    const reply = c.expect(true)
    c.socket.write('CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\nearly')
    expect((await reply).status).toBe(200)
    await until('the tunnel echoes', () => c.rest.toString() === 'early')
    c.socket.write(' late')
    await until('the tunnel echoes on', () => c.rest.toString() === 'early late')
    c.socket.end()
    await c.untilClosed()
    await nothingLeft('connect', 'echo')
  })

  it('over HTTP/2 becomes a TCP tunnel', async () => {
    const session = http2.connect(`http://127.0.0.1:${ports.get('connect')}`)
    sessions.push(session)
    const stream = session.request({ ':method': 'CONNECT', ':authority': 'example.com:443' }, { endStream: false })
    const [reply] = await once(stream, 'response')
    expect(reply[':status']).toBe(200)
    const got: Buffer[] = []
    stream.on('data', chunk => got.push(chunk))
    stream.end('through')
    await once(stream, 'end')
    expect(Buffer.concat(got).toString()).toBe('through')
  })

  it('without it is refused, in HTTP/1 and HTTP/2, and reaches nobody (CVE-2026-73547)', async () => {
    const before = echo.connections
    const c = await connect('connect-off')
    const reply = await c.send('CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n')
    expect([403, 404]).toContain(reply.status)
    c.destroy()
    const session = http2.connect(`http://127.0.0.1:${ports.get('connect-off')}`)
    sessions.push(session)
    const stream = session.request({ ':method': 'CONNECT', ':authority': 'example.com:443' }, { endStream: false })
    stream.on('error', () => {})
    const status = await Promise.race([
      once(stream, 'response').then(([one]) => one[':status']),
      once(stream, 'close').then(() => 403),
    ]).catch(() => 403)
    expect([403, 404]).toContain(status)
    expect(echo.connections).toBe(before)
    expect((await new MatrixClient(1, ports.get('ws')!).ask({ path: '/fine' })).status).toBe(200)
  })
})
