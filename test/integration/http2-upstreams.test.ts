import { once } from 'node:events'
import http2, { type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type net from 'node:net'
import tls from 'node:tls'
import { afterAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { END, frame, goaway, headers, settings } from '../support/http2-frames.js'
import { AnyCa, downstreamTls, spiffe, upstreamTls } from '../support/mesh-certificates.js'
import { http as answer, HttpOrigin, TcpOrigin } from '../support/origins.js'
import { httpOptions, MatrixClient, overHttp2, readAll } from '../support/protocol-matrix.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'

const ca = new AnyCa()
const uri = spiffe('api')
const leaf = ca.leaf({ uris: [uri], usages: ['clientAuth', 'serverAuth'] })
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

afterAll(stopAll)

describe('an HTTP/2 upstream that goes away', () => {
  it('fails no request when GOAWAY comes in the middle of load', async () => {
    let served = 0
    const server = http2.createServer()
    server.on('session', (session: ServerHttp2Session) => {
      let seen = 0
      session.on('error', () => {})
      session.on('stream', (stream: ServerHttp2Stream) => {
        stream.on('error', () => {})
        served++
        if (++seen === 20) session.close()
        setImmediate(() => {
          if (stream.destroyed) return
          stream.respond({ ':status': 200 })
          stream.end('ok')
        })
      })
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const port = await freePort()
    const through = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          listeners: [listener('in', port, [hcm({ route_config: routesTo('up') })])],
          clusters: [staticCluster('up', (server.address() as net.AddressInfo).port, overHttp2)],
        },
      },
    })
    const clients = Array.from({ length: 8 }, () => new MatrixClient(2, port))
    const counts = new Map<number, number>()
    await Promise.all(
      clients.map(async one => {
        for (let i = 0; i < 10; i++)
          for (const reply of await Promise.all(Array.from({ length: 8 }, () => one.ask({ path: '/' }))))
            counts.set(reply.status, (counts.get(reply.status) ?? 0) + 1)
      }),
    )
    expect([...counts]).toEqual([[200, 640]])
    expect(served).toBeGreaterThanOrEqual(640)
    for (const one of clients) one.close()
    server.close()
    await through.kill()
  })

  it('sends streams above the last id of a GOAWAY, and refused ones, again (nodejs/node#55888)', async () => {
    let connections = 0
    const upstream = await new TcpOrigin(socket => {
      const first = ++connections
      let held = Buffer.alloc(0)
      let preface = false
      socket.write(settings())
      socket.on('data', chunk => {
        held = Buffer.concat([held, chunk])
        if (!preface) {
          if (held.length < PREFACE.length) return
          held = held.subarray(PREFACE.length)
          preface = true
        }
        while (held.length >= 9) {
          const length = held.readUIntBE(0, 3)
          if (held.length < 9 + length) return
          const type = held[3]!
          const id = held.readUInt32BE(5)
          const flags = held[4]!
          held = held.subarray(9 + length)
          if (type === 4 && (flags & 1) === 0) socket.write(frame(4, 1, 0))
          if (type !== 1) continue
          if (first === 1) socket.end(goaway(0))
          else if (id === 1) socket.write(frame(3, 0, id, Buffer.from([0, 0, 0, 7])))
          else socket.write(headers(id, [[':status', '200']], END))
        }
      })
    }).listen()
    const port = await freePort()
    const through = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          listeners: [listener('in', port, [hcm({ route_config: routesTo('up') })])],
          clusters: [staticCluster('up', upstream.port, overHttp2)],
        },
      },
    })
    const c = new MatrixClient(1, port)
    expect((await c.ask({ method: 'POST', body: 'again please' })).status).toBe(200)
    expect(connections).toBe(2)
    c.close()
    await upstream.close()
    await through.kill()
  })

  it('retries a request that met a connection closed under keep-alive when nothing of it was sent (istio#55138)', async () => {
    let connections = 0
    const upstream = await new HttpOrigin((request, socket) => {
      socket.write(answer(String(++connections)))
      if (request.index === 0) socket.end()
    }).listen()
    const port = await freePort()
    const through = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          listeners: [listener('in', port, [hcm({ route_config: routesTo('up') })])],
          clusters: [staticCluster('up', upstream.port)],
        },
      },
    })
    const c = new MatrixClient(1, port)
    for (let i = 0; i < 100; i++) expect((await c.ask({ path: '/' })).status).toBe(200)
    c.close()
    await upstream.close()
    await through.kill()
  })
})

describe('ALPN', () => {
  it('chooses the codec downstream, and h2 or http/1.1 upstream by what the origin offers; upgrades fall back', async () => {
    const tlsOptions = { cert: leaf.cert, key: leaf.key, ca: ca.pem, requestCert: true, rejectUnauthorized: false, allowHTTP1: true }
    const both = http2.createSecureServer(tlsOptions, (request, response) => response.end(request.httpVersion))
    both.on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello')
    })
    const sockets = new Set<net.Socket>()
    const onlyOld = tls.createServer({ ...tlsOptions, ALPNProtocols: ['http/1.1'] }, socket => {
      socket.on('error', () => {})
      socket.on('data', () => socket.write(answer('1.1')))
    })
    for (const server of [both, onlyOld]) {
      server.on('connection', socket => sockets.add(socket))
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    }
    const port = await freePort()
    const auto = httpOptions({ auto_config: { http_protocol_options: {}, http2_protocol_options: {} } })
    const secure = (name: string, server: typeof both | typeof onlyOld) =>
      staticCluster(name, (server.address() as net.AddressInfo).port, {
        ...auto,
        transport_socket: upstreamTls(leaf, ca.pem, uri),
      })
    const through = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          listeners: [
            listener(
              'in',
              port,
              [
                hcm({
                  upgrade_configs: [{ upgrade_type: 'websocket' }],
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'all',
                        domains: ['*'],
                        routes: [
                          { match: { prefix: '/old' }, route: { cluster: 'old' } },
                          { match: { prefix: '/' }, route: { cluster: 'both' } },
                        ],
                      },
                    ],
                  },
                }),
              ],
              {},
              { transport_socket: downstreamTls(leaf, ca.pem, { alpn_protocols: ['h2', 'http/1.1'] }) },
            ),
          ],
          clusters: [secure('both', both), secure('old', onlyOld)],
        },
      },
    })
    const mine = { ca: ca.pem, cert: leaf.cert, key: leaf.key, rejectUnauthorized: false }
    const h1 = await Http1Client.connect(port, { ...mine, ALPNProtocols: ['http/1.1'] })
    expect((await h1.get('/')).body).toBe('2.0')
    expect((await h1.get('/old')).body).toBe('1.1')
    h1.destroy()
    const plain = await Http1Client.connect(port, mine)
    expect((await plain.get('/')).body).toBe('2.0')
    plain.destroy()
    const session = http2.connect(`https://127.0.0.1:${port}`, { ...mine, checkServerIdentity: () => undefined })
    await once(session, 'connect')
    expect(session.alpnProtocol).toBe('h2')
    for (const [path, version] of [
      ['/', '2.0'],
      ['/old', '1.1'],
    ] as const) {
      const stream = session.request({ ':path': path, ':authority': 't' })
      expect((await readAll(stream)).toString()).toBe(version)
    }
    session.destroy()
    const upgraded = await Http1Client.connect(port, { ...mine, ALPNProtocols: ['http/1.1'] })
    const reply = await upgraded.get('/ws', {
      connection: 'upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    })
    expect(reply.status).toBe(101)
    await until('the first bytes of the tunnel', () => upgraded.rest.toString() === 'hello')
    upgraded.destroy()
    for (const socket of sockets) socket.destroy()
    both.close()
    onlyOld.close()
    await through.kill()
  })
})
