// tcp_proxy tunneling_config in a real process: TCP connections inside CONNECT and POST streams to a second listener that ends them
// (connect_config), over HTTP/1.1 and HTTP/2, in the clear and over mTLS; bytes, half-closes, resets, refusals and limits.
import { once } from 'node:events'
import http2 from 'node:http2'
import net, { type AddressInfo, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AnyCa, downstreamTls, spiffe, upstreamTls } from '../support/mesh-certificates.js'
import { EchoOrigin, HttpOrigin, http, TcpOrigin } from '../support/origins.js'
import { fileAccessLog, freePort, hcm, listener, ProxyProcess, staticCluster, stopAll, tcpProxy, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const echo = new EchoOrigin()
const driven: Socket[] = []
const handed = new TcpOrigin(socket => driven.push(socket))
const refusing = new HttpOrigin()
const ports = new Map<string, number>()
const posts = http2.createServer()
const seen: { head: http2.IncomingHttpHeaders; sessions: number }[] = []
let proxy: ProxyProcess

const explicit = (http2Used: boolean) => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: http2Used ? { http2_protocol_options: {} } : { http_protocol_options: {} },
    },
  },
})
const auto = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      auto_config: {},
    },
  },
}

/** The far end: CONNECT ends here and its bytes go to `cluster`. */
const ending = (cluster: string) =>
  hcm({
    stat_prefix: `end_${cluster}`,
    http2_protocol_options: { allow_connect: true },
    upgrade_configs: [{ upgrade_type: 'CONNECT' }],
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [
            {
              match: { connect_matcher: {} },
              route: { cluster, timeout: '0s', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
            },
          ],
        },
      ],
    },
  })

beforeAll(async () => {
  await Promise.all([echo.listen(), handed.listen(), refusing.listen()])
  posts.on('session', session => session.on('error', () => {}))
  let sessions = 0
  posts.on('session', () => sessions++)
  posts.on('stream', (stream, head) => {
    stream.on('error', () => {})
    seen.push({ head, sessions })
    stream.respond({ ':status': 200 })
    stream.pipe(stream)
  })
  await new Promise<void>(resolve => posts.listen(0, '127.0.0.1', resolve))
  refusing.respond = (request, socket) => void socket.write(http('no', '403 Forbidden', { 'x-path': request.path }))
  const ca = new AnyCa()
  const leaf = ca.service('db')
  const firstFailure = { consecutive_5xx: 1, max_ejection_percent: 100 }
  const names = [
    'h1',
    'h2',
    'mtls',
    'driven-h1',
    'driven-h2',
    'post',
    'refused',
    'ejected',
    'spared',
    'down',
    'limited',
    'end-echo',
    'end-driven',
    'end-mtls',
  ]
  for (const name of names) ports.set(name, await freePort())
  const at = (name: string) => ports.get(name)!
  const tunnel = (cluster: string, more: object = {}, filter: object = {}) =>
    tcpProxy(cluster, {
      stat_prefix: cluster,
      tunneling_config: { hostname: 'db.internal:5432', ...more },
      access_log: [fileAccessLog(`LOG ${cluster} %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_TRANSPORT_FAILURE_REASON%`)],
      ...filter,
    })
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('h1', at('h1'), [tunnel('h1')]),
          listener('h2', at('h2'), [tunnel('h2')]),
          listener('mtls', at('mtls'), [tunnel('mtls')]),
          listener('driven-h1', at('driven-h1'), [tunnel('driven-h1')]),
          listener('driven-h2', at('driven-h2'), [tunnel('driven-h2')]),
          listener('post', at('post'), [
            tunnel('post', {
              hostname: 'from-%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%',
              use_post: true,
              post_path: '/tunnel?x=1',
              headers_to_add: [
                { header: { key: 'x-port', value: '%DOWNSTREAM_LOCAL_PORT%' } },
                { header: { key: 'x-fixed', value: 'yes' } },
              ],
            }),
          ]),
          listener('refused', at('refused'), [tunnel('refused', {}, { max_connect_attempts: 3 })]),
          listener('ejected', at('ejected'), [tunnel('ejected')]),
          listener('spared', at('spared'), [tunnel('spared')]),
          listener('down', at('down'), [tunnel('down', {}, { max_connect_attempts: 2 })]),
          listener('limited', at('limited'), [tunnel('limited')]),
          listener('end-echo', at('end-echo'), [ending('echo')]),
          listener('end-driven', at('end-driven'), [ending('driven')]),
          listener(
            'end-mtls',
            at('end-mtls'),
            [ending('echo')],
            {},
            { transport_socket: downstreamTls(leaf, ca.pem, { alpn_protocols: ['h2'] }) },
          ),
        ],
        clusters: [
          staticCluster('h1', at('end-echo'), explicit(false)),
          staticCluster('h2', at('end-echo'), explicit(true)),
          staticCluster('mtls', at('end-mtls'), { ...auto, transport_socket: upstreamTls(leaf, ca.pem, spiffe('db')) }),
          staticCluster('driven-h1', at('end-driven'), explicit(false)),
          staticCluster('driven-h2', at('end-driven'), explicit(true)),
          staticCluster('post', (posts.address() as AddressInfo).port, explicit(true)),
          staticCluster('refused', refusing.port, explicit(false)),
          staticCluster('ejected', refusing.port, { ...explicit(false), outlier_detection: firstFailure }),
          staticCluster('spared', refusing.port, {
            ...explicit(false),
            outlier_detection: firstFailure,
            metadata: { filter_metadata: { outrigger: { spare_refusing_hosts: true } } },
          }),
          staticCluster('down', await freePort(), explicit(true)),
          staticCluster('limited', at('end-echo'), { ...explicit(true), circuit_breakers: { thresholds: [{ max_requests: 2 }] } }),
          staticCluster('echo', echo.port),
          staticCluster('driven', handed.port),
        ],
      },
    },
  })
})
afterAll(async () => {
  await stopAll()
  await Promise.all([echo.close(), handed.close(), refusing.close()])
  posts.close()
})

async function dial(name: string, port = ports.get(name)!): Promise<Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Resolves when the socket is closed, by an end or a reset. */
function closing(socket: Socket): Promise<unknown> {
  return new Promise(resolve =>
    socket
      .resume()
      .on('end', () => socket.end())
      .once('close', resolve),
  )
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  await once(socket.resume(), 'end')
  return Buffer.concat(chunks)
}

const stat = (name: string) => proxy.stat(name)

describe.each(['h1', 'h2', 'mtls'])('a tunnel over %s', name => {
  it('moves bytes both ways and passes a half-close on: the answer after it still arrives', async () => {
    const client = await dial(name)
    const all = readAll(client)
    client.write('hello ')
    client.end('world')
    expect((await all).toString()).toBe('hello world')
    client.destroy()
    await proxy.untilLog(`LOG ${name} - 11 11`)
  })

  it('moves 8 MB unchanged against a reader that pauses', async () => {
    const sent = Buffer.alloc(8 * 1024 * 1024)
    for (let i = 0; i < sent.length; i += 4) sent.writeUInt32LE((i * 2654435761) >>> 0, i)
    const client = await dial(name)
    client.pause()
    client.end(sent)
    await proxy.untilStat(`cluster.${name}.upstream_rq_active`, value => value >= 1)
    const got = await readAll(client)
    expect(got.equals(sent)).toBe(true)
  })

  it('leaves nothing behind', async () => {
    await proxy.untilStat(`tcp.${name}.downstream_cx_total`, value => value >= 2)
    await proxy.untilStat(`cluster.${name}.upstream_rq_active`, value => value === 0)
    expect(await stat(`cluster.${name}.upstream_rq_total`)).toBe(2)
  })
})

describe('over HTTP/2', () => {
  it('many clients share one upstream connection', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => dial('h2')))
    const answers = clients.map(readAll)
    for (const [i, client] of clients.entries()) client.end(`client ${i}`)
    expect((await Promise.all(answers)).map(String)).toEqual(clients.map((_, i) => `client ${i}`))
    expect(await stat('cluster.h2.upstream_cx_total')).toBe(1)
    expect(await stat('cluster.h2.upstream_cx_http2_total')).toBe(1)
    for (const client of clients) client.destroy()
  })

  it('a POST carries the path, the formatted host and the added headers', async () => {
    const client = await dial('post')
    const all = readAll(client)
    client.end('in a post')
    expect((await all).toString()).toBe('in a post')
    expect(seen[0]!.head).toMatchObject({
      ':method': 'POST',
      ':path': '/tunnel?x=1',
      ':scheme': 'http',
      ':authority': 'from-127.0.0.1',
      'x-port': String(ports.get('post')),
      'x-fixed': 'yes',
    })
  })

  it('max_requests overflow closes the client with UO and names the limit', async () => {
    const held = await Promise.all([dial('limited'), dial('limited')])
    for (const client of held) client.write('x')
    await proxy.untilStat('cluster.limited.upstream_rq_active', value => value === 2)
    const third = await dial('limited')
    await closing(third)
    await proxy.untilLog('LOG limited UO')
    await proxy.untilLog(/upstream limited: limit max_requests 2 is reached/)
    for (const client of held) client.destroy()
    await proxy.untilStat('cluster.limited.upstream_rq_active', value => value === 0)
  })
})

describe.each(['driven-h1', 'driven-h2'])('ends over %s', name => {
  it('the server’s half-close arrives while the client still sends', async () => {
    const at = driven.length
    const client = await dial(name)
    const server = await until('the far connection', () => driven[at])
    server.end('last words')
    expect((await readAll(client)).toString()).toBe('last words')
    client.end('and mine')
    expect((await readAll(server)).toString()).toBe('and mine')
    client.destroy()
    await proxy.untilStat(`cluster.${name}.upstream_rq_active`, value => value === 0)
  })

  it('a client’s reset reaches the server, and a server’s the client', async () => {
    const at = driven.length
    const client = await dial(name)
    const server = await until('the far connection', () => driven[at])
    server.on('error', () => {})
    client.resetAndDestroy()
    await closing(server)
    const second = await dial(name)
    const next = await until('the second far connection', () => driven[at + 1])
    next.resetAndDestroy()
    await closing(second)
    await proxy.untilStat(`cluster.${name}.upstream_rq_active`, value => value === 0)
  })
})

describe('no tunnel', () => {
  it('another status than 2xx is a failed connection, tried again up to max_connect_attempts', async () => {
    const client = await dial('refused')
    client.write('early')
    await closing(client)
    await proxy.untilLog(/LOG refused \S*UF\S* .*status_403/)
    expect(refusing.requests.map(request => [request.method, request.path])).toEqual(Array(3).fill(['CONNECT', 'db.internal:5432']))
    expect(await stat('cluster.refused.upstream_cx_connect_attempts_exceeded')).toBe(1)
  })

  it('an endpoint that refuses is ejected, unless the metadata of its cluster spare it', async () => {
    for (const name of ['ejected', 'spared']) await closing(await dial(name))
    expect(await stat('cluster.ejected.outlier_detection.ejections_active')).toBe(1)
    expect(await stat('cluster.spared.outlier_detection.ejections_active')).toBe(0)
  })

  it('nor is an endpoint that cannot be reached', async () => {
    const client = await dial('down')
    await closing(client)
    await proxy.untilLog(/LOG down \S*UF\S* .*Connection_refused/)
    expect(await stat('cluster.down.upstream_cx_connect_fail')).toBe(2)
  })
})

describe.skipIf(envoyBin === undefined)('the real Envoy (needs ENVOY_BIN)', () => {
  it('ends our tunnels, and we end its', async () => {
    const endPort = await freePort()
    const startPort = await freePort()
    const bootstrap = (end: number, start: number, far: number) => ({
      static_resources: {
        listeners: [
          listener('end', end, [ending('echo')]),
          listener('start', start, [tcpProxy('far', { tunneling_config: { hostname: 'db.internal:5432' } })]),
        ],
        clusters: [staticCluster('echo', echo.port), staticCluster('far', far, explicit(true))],
      },
    })
    const oursEnd = await freePort()
    const oursStart = await freePort()
    await ProxyProcess.start({ bootstrap: bootstrap(endPort, startPort, oursEnd), bin: envoyBin! })
    await ProxyProcess.start({ bootstrap: bootstrap(oursEnd, oursStart, endPort) })
    for (const port of [startPort, oursStart]) {
      const client = await dial('', port)
      const all = readAll(client)
      client.end('between the two')
      expect((await all).toString()).toBe('between the two')
    }
  })
})
