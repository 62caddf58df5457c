// What ends with a refused or broken request, and what does not: the stream, the connection that others share, the pool's connection;
// and that logs say of each what Envoy's do.
import { once } from 'node:events'
import http2 from 'node:http2'
import type net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { Http2FrameClient } from '../support/http2-frame-client.js'
import { END, type Fields, type Frame, GET, headers, POST } from '../support/http2-frames.js'
import { HttpOrigin, http } from '../support/origins.js'
import { fileAccessLog, freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll } from '../support/proxy-process.js'

const H2 = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const PROTOCOL_ERROR = 1
const origin = new HttpOrigin()
const resetting = http2.createServer()
const schemes: string[] = []
let proxy: ProxyProcess
const ports = new Map<string, number>()
const port = (name: string): number => ports.get(name)!

beforeAll(async () => {
  origin.respond = ({ path: to }, socket) => {
    if (to === '/ws') socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
    else if (to === '/again' && origin.requests.filter(request => request.path === to).length === 1)
      socket.end('HTTP/1.1 100 Continue\r\n\r\n')
    else socket.write(http('ok'))
  }
  await origin.listen()
  resetting.on('stream', (stream, fields) => {
    stream.on('error', () => {})
    if (fields[':path'] === '/scheme') {
      schemes.push(String(fields[':scheme']))
      stream.respond({ ':status': 200 }, { endStream: true })
    } else stream.close(PROTOCOL_ERROR)
  })
  await once(resetting.listen(0, '127.0.0.1'), 'listening')
  for (const name of ['front', 'slow', 'reset', 'down']) ports.set(name, await freePort())
  const access_log = [
    fileAccessLog(
      'LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %PROTOCOL% [%UPSTREAM_TRANSPORT_FAILURE_REASON%]',
    ),
  ]
  const routes = {
    name: 'r',
    virtual_hosts: [
      {
        name: 'v',
        domains: ['*'],
        routes: [
          { match: { prefix: '/deny' }, direct_response: { status: 403, body: { inline_string: 'no' } } },
          { match: { prefix: '/again' }, route: { cluster: 'app', retry_policy: { retry_on: 'reset' } } },
          { match: { prefix: '/' }, route: { cluster: 'app', upgrade_configs: [{ upgrade_type: 'websocket' }] } },
        ],
      },
    ],
  }
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('front', port('front'), [hcm({ route_config: routes, access_log })]),
          listener('slow', port('slow'), [
            hcm({ stat_prefix: 'slow', route_config: routes, access_log, request_timeout: '0.2s', request_headers_timeout: '0.2s' }),
          ]),
          listener('reset', port('reset'), [hcm({ stat_prefix: 'reset', route_config: routesTo('reset'), access_log })]),
          listener('down', port('down'), [hcm({ stat_prefix: 'down', route_config: routesTo('nobody'), access_log })]),
        ],
        clusters: [
          staticCluster('app', origin.port),
          staticCluster('nobody', await freePort()),
          staticCluster('reset', (resetting.address() as net.AddressInfo).port, {
            typed_extension_protocol_options: {
              [H2]: {
                '@type': `type.googleapis.com/${H2}`,
                explicit_http_config: { http2_protocol_options: {} },
              },
            },
          }),
        ],
      },
    },
  })
})
afterAll(async () => {
  await stopAll()
  await origin.close()
  await new Promise(resolve => resetting.close(resolve))
})

const path = (fields: Fields, to: string): Fields => fields.map(([name, value]) => [name, name === ':path' ? to : value] as const)
const ended = (id: number) => (frames: readonly Frame[]) =>
  frames.find(one => one.streamId === id && ((one.type <= 1 && (one.flags & 1) === 1) || one.type === 3)) ?? null

describe('an HTTP/2 connection outlives', () => {
  it.each([
    ['an answer of ours to a request that still comes', 'front', () => [headers(1, path(POST, '/deny'))]],
    ['the timeout of one', 'slow', () => [headers(1, POST)]],
    [
      'a CONNECT that is refused',
      'front',
      () => [
        headers(1, [
          [':method', 'CONNECT'],
          [':authority', 'a.test:80'],
        ]),
      ],
    ],
    [
      'a head over the limit',
      'front',
      () => [headers(1, [...GET, ...Array.from({ length: 120 }, (_, i) => [`x-${i}`, 'v'] as const)], END)],
    ],
    ['a malformed head', 'front', () => [headers(1, [...GET, ['connection', 'close']], END)]],
  ] as const)('%s', async (_what, name, first) => {
    const client = await Http2FrameClient.connect(port(name))
    client.write(...first())
    await client.until('the end of the first stream', ended(1))
    client.write(headers(3, GET, END))
    await client.until('an answer on the second', frames => frames.find(one => one.streamId === 3 && one.type === 1) ?? null)
    expect(client.lastIds).toEqual([])
  })
})

describe('HTTP/1 pipelining', () => {
  it('takes one connection to the upstream, and logs requests in their order', async () => {
    const client = await Http1Client.connect(port('front'))
    const line = (to: string): string => `GET ${to} HTTP/1.1\r\nhost: a.test\r\n\r\n`
    client.socket.write(`${line('/p1')}${line('/p2')}${line('/p3')}BAD\r\n\r\n`)
    await client.untilClosed()
    await proxy.untilLog(/LOG - 400 DPE http1\.codec_error HTTP\/1\.1/)
    expect([...proxy.log.matchAll(/LOG (\/p\d|-) (200|400)/g)].map(([, path, status]) => `${path} ${status}`)).toEqual([
      '/p1 200',
      '/p2 200',
      '/p3 200',
      '- 400',
    ])
    expect(new Set(origin.requests.filter(({ path: of }) => of.startsWith('/p')).map(({ connection }) => connection)).size).toBe(1)
  })
})

describe('a request', () => {
  it('is tried again where it broke off behind an interim response', async () => {
    const client = await Http1Client.connect(port('front'))
    const answer = await client.get('/again')
    expect([answer.status, answer.body]).toEqual([200, 'ok'])
    expect(origin.requests.filter(({ path: of }) => of === '/again')).toHaveLength(2)
  })
})

describe('logs and answers say', () => {
  it('of a malformed HTTP/2 head what is wrong with it', async () => {
    const client = await Http2FrameClient.connect(port('front'))
    client.write(headers(1, [...GET.slice(1), ['x', 'y']], END), headers(3, [...GET, ['te', 'gzip']], END))
    await client.until('both resets', frames => frames.filter(one => one.type === 3).length === 2)
    await proxy.untilLog(/LOG - 0 DPE http2\.violation\.of\.messaging\.rule HTTP\/2/)
    await proxy.untilLog(/LOG - 0 DPE http2\.invalid\.header\.field HTTP\/2/)
  })

  it('of a client that left, or was too slow, inside its head', async () => {
    const gone = await Http1Client.connect(port('front'))
    gone.socket.write('GET /half HTTP/1.1\r\nho')
    // Both are read by then: the second connection's answer comes after the first's bytes.
    await (await Http1Client.connect(port('front'))).get('/whole')
    gone.destroy()
    await proxy.untilLog(/LOG - 0 DC downstream_remote_disconnect HTTP\/1\.1/)
    const slow = await Http1Client.connect(port('slow'))
    slow.socket.write('GET /slow HTTP/1.1\r\nho')
    await slow.untilClosed()
    await proxy.untilLog(/LOG - 408 - request_header_timeout HTTP\/1\.1/)
  })

  it('of a stream that the upstream reset for a protocol error: 502 UPE', async () => {
    const client = await Http1Client.connect(port('reset'))
    const answer = await client.get('/broken')
    expect([answer.status, answer.body]).toEqual([502, expect.stringMatching(/reset reason: protocol error$/)])
    await proxy.untilLog(/LOG \/broken 502 UPE upstream_reset_before_response_started\{protocol_error\}/)
  })

  it('to the upstream which scheme the client named, over a connection without TLS too', async () => {
    const client = await Http2FrameClient.connect(port('reset'))
    const named = (scheme: string): Fields =>
      path(GET, '/scheme').map(([name, value]) => [name, name === ':scheme' ? scheme : value] as const)
    client.write(headers(1, named('https'), END), headers(3, [...named('http'), ['x-forwarded-proto', 'https']], END))
    await client.until('both answers', frames => frames.filter(one => one.type === 1).length === 2)
    expect(schemes.sort()).toEqual(['http', 'https'])
  })

  it('of a WebSocket that ends nothing unusual, whoever ends it', async () => {
    const client = await Http1Client.connect(port('front'))
    client.socket.write('GET /ws HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
    await client.untilClosed()
    await proxy.untilLog(/LOG \/ws 101 - via_upstream HTTP\/1\.1/)
  })

  it('that a field that came twice goes on twice', async () => {
    const client = await Http1Client.connect(port('front'))
    await client.send('GET /twice HTTP/1.1\r\nhost: a.test\r\nauthorization: a\r\nauthorization: b\r\nx-a: 1\r\nx-a: 2\r\n\r\n')
    const { head } = origin.requests.find(({ path: of }) => of === '/twice')!
    expect(head.match(/^(?:authorization|x-a): .*$/gm)).toEqual(['authorization: a', 'authorization: b', 'x-a: 1', 'x-a: 2'])
  })

  it('why a connection was refused, in words and without the address', async () => {
    await (await Http1Client.connect(port('down'))).get('/down')
    await proxy.untilLog(
      'LOG /down 503 UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused} HTTP/1.1 [delayed_connect_error:_Connection_refused]',
    )
  })
})
