// RuntimeFeatureFlag and RuntimeUInt32 in the real Envoy and in Outrigger: what /runtime_modify says of their keys holds for the next request.
// The side of Envoy needs ENVOY_BIN, and is skipped by name elsewhere.
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exchange, type Peer } from '../support/envoy-pair.js'
import { Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, router, staticCluster, stopAll, typed } from '../support/proxy-process.js'

const TEXT = 'a text of some length '.repeat(20)
const origin = new HttpOrigin((request, socket) => {
  if (request.path === '/reset') {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf', () => socket.resetAndDestroy())
    return
  }
  const accepted = request.headers.get('accept-encoding') ?? 'none'
  socket.write(http(TEXT, '200 OK', { 'content-type': 'text/plain', 'x-accepted': accepted }))
})

const library = { name: 'gzip', typed_config: { '@type': 'type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip' } }
const flag = (runtime_key: string): object => ({ default_value: true, runtime_key })

const bootstrap = (port: number): object => ({
  layered_runtime: { layers: [{ name: 'admin', admin_layer: {} }] },
  static_resources: {
    listeners: [
      listener('main', port, [
        typed('limit', 'filters.network.connection_limit.v3.ConnectionLimit', {
          stat_prefix: 'gate',
          max_connections: 1,
          runtime_enabled: { default_value: false, runtime_key: 'gate.on' },
        }),
        hcm(
          {
            access_log: [
              {
                ...typed('stdout', 'access_loggers.stream.v3.StdoutAccessLog', {
                  log_format: { text_format_source: { inline_string: 'LOG %REQ(x-mark)%\n' } },
                }),
                filter: { status_code_filter: { comparison: { op: 'GE', value: { default_value: 200, runtime_key: 'log.from' } } } },
              },
            ],
            route_config: {
              virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] }],
            },
          },
          [
            typed('compressor', 'filters.http.compressor.v3.Compressor', {
              compressor_library: library,
              response_direction_config: {
                common_config: { enabled: flag('gzip.on'), min_content_length: 30 },
                remove_accept_encoding_header: true,
              },
            }),
            router,
          ],
        ),
      ]),
    ],
    clusters: [staticCluster('app', origin.port)],
  },
})

const envoyBin = process.env['ENVOY_BIN']
const sides: readonly (readonly [name: string, bin: string | undefined])[] = [
  ['Outrigger', undefined],
  ...(envoyBin === undefined ? [] : [['Envoy', envoyBin] as const]),
]

beforeAll(() => origin.listen())
afterAll(async () => {
  await stopAll()
  await origin.close()
})

describe.each(sides)('%s', (_name, bin) => {
  let peer: Peer

  beforeAll(async () => {
    const port = await freePort()
    const own = bin === undefined ? {} : { bin, flags: ['--file-flush-interval-msec', '20', '-l', 'error'] }
    peer = { port, proxy: await ProxyProcess.start({ bootstrap: bootstrap(port), ...own }) }
  })

  const connect = (): Promise<Http1Client> => Http1Client.connect(peer.port)

  const modify = async (query: string): Promise<void> => {
    expect((await peer.proxy.post(`/runtime_modify?${query}`)).body).toBe('OK\n')
  }

  it('a compressor compresses while its key says so, and takes Accept-Encoding off only then', async () => {
    const ask = async (): Promise<unknown[]> => {
      const { headers, body } = await exchange(peer, { path: '/', headers: { 'accept-encoding': 'gzip' } })
      const text = headers['content-encoding'] === 'gzip' ? gunzipSync(Buffer.from(body, 'latin1')).toString() : body
      return [headers['content-encoding'], headers['x-accepted'], text === TEXT]
    }
    expect(await ask()).toEqual(['gzip', 'none', true])
    await modify('gzip.on=false')
    expect(await ask()).toEqual([undefined, 'gzip', true])
    expect(await peer.proxy.stat('http.ingress.compressor.gzip.gzip.response.not_compressed')).toBe(1)
    await modify('gzip.on=')
    expect(await ask()).toEqual(['gzip', 'none', true])
  })

  // Envoy counts connections down that it never counted up, and refuses every one from then on.
  it.skipIf(bin !== undefined)('a connection limit counts and refuses from when its key says so', async () => {
    const [first, second] = [await connect(), await connect()]
    expect([await first.get('/'), await second.get('/')].map(({ status }) => status)).toEqual([200, 200])
    await modify('gate.on=true')
    const counted = await connect()
    expect((await counted.get('/')).status).toBe(200)
    await expect(exchange(peer, { path: '/' })).rejects.toThrow()
    expect(await peer.proxy.stat('connection_limit.gate.limited_connections')).toBe(1)
    await modify('gate.on=')
    expect((await exchange(peer, { path: '/' })).status).toBe(200)
    for (const client of [first, second, counted]) client.destroy()
  })

  it('a comparison of the log has its bound from its key', async () => {
    await modify('log.from=500')
    await exchange(peer, { path: '/', headers: { 'x-mark': 'below' } })
    await modify('log.from=200')
    await exchange(peer, { path: '/', headers: { 'x-mark': 'again' } })
    await peer.proxy.untilLog('LOG again')
    expect(peer.proxy.log).not.toContain('LOG below')
  })

  it('a reset inside a response is a protocol error of the upstream', async () => {
    await expect(exchange(peer, { path: '/reset' })).rejects.toThrow()
    await peer.proxy.untilStat('cluster.app.upstream_cx_protocol_error', value => value === 1)
    expect(await peer.proxy.stat('cluster.app.upstream_cx_destroy_remote_with_active_rq')).toBe(1)
  })
})
