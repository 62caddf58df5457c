// Counters of what holds a connection back or ends it: slow readers on both sides, a client that does not close, a source address that
// nobody has, a reset before the first byte. Beside the real Envoy where there is one (ENVOY_BIN), which counts at the same events.
import { once } from 'node:events'
import http2 from 'node:http2'
import net, { type AddressInfo, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { HttpOrigin, http, TcpOrigin } from '../support/origins.js'
import {
  freePort,
  hcm,
  listener,
  ProxyProcess,
  router,
  routesTo,
  staticCluster,
  stopAll,
  tcpProxy,
  typed,
} from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const PROXIES: readonly (readonly [name: string, bin: string | undefined])[] = [
  ['outrigger', undefined],
  ...(envoyBin === undefined ? [] : [['envoy', envoyBin] as const]),
]

/** More than the kernel keeps of two connections. */
const LARGE = 48 * 1024 * 1024
const SMALL_BUFFERS = { per_connection_buffer_limit_bytes: 32 * 1024 }
const HTTP2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
}
const UNHAD = { upstream_bind_config: { source_address: { address: '192.0.2.1', port_value: 0 } } }

const origin = new HttpOrigin((request, socket) => {
  if (request.path === '/large') socket.write(http('x'.repeat(LARGE)))
  else socket.write(http('bye', '200 OK', { connection: 'close' }))
})
const held: Socket[] = []
const raw = new TcpOrigin(socket => held.push(socket))
const silent = http2.createServer()
silent.on('stream', stream => stream.on('error', () => {}))

beforeAll(async () => {
  await Promise.all([origin.listen(), raw.listen(), once(silent.listen(0, '127.0.0.1'), 'listening')])
})
afterAll(async () => {
  await stopAll()
  await Promise.all([origin.close(), raw.close()])
  silent.close()
})

async function dial(port: number): Promise<Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

describe.each(PROXIES)('%s', (_name, bin) => {
  const ports = { app: 0, slow: 0, raw: 0, h2: 0, bound: 0, inspected: 0 }
  let proxy: ProxyProcess

  beforeAll(async () => {
    for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort()
    const web = (name: keyof typeof ports) =>
      listener(
        name,
        ports[name],
        [hcm({ stat_prefix: name, route_config: routesTo(name), delayed_close_timeout: '0.2s' }, [router])],
        SMALL_BUFFERS,
      )
    proxy = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          listeners: [
            web('app'),
            web('slow'),
            web('h2'),
            web('bound'),
            listener('raw', ports.raw, [tcpProxy('raw', { stat_prefix: 'raw' })], SMALL_BUFFERS),
            listener('inspected', ports.inspected, [tcpProxy('raw', { stat_prefix: 'inspected' })], {
              stat_prefix: 'inspected',
              listener_filters: [typed('envoy.filters.listener.tls_inspector', 'filters.listener.tls_inspector.v3.TlsInspector')],
            }),
          ],
          clusters: [
            staticCluster('app', origin.port, SMALL_BUFFERS),
            staticCluster('slow', raw.port, SMALL_BUFFERS),
            staticCluster('raw', raw.port, SMALL_BUFFERS),
            staticCluster('h2', (silent.address() as AddressInfo).port, HTTP2),
            staticCluster('bound', origin.port, UNHAD),
          ],
        },
      },
      ...(bin === undefined ? {} : { bin, flags: ['--use-dynamic-base-id'] }),
    })
  })
  afterAll(() => proxy.kill())

  const some = (value: number): boolean => value > 0

  /** The next connection that reaches the origin of bytes. */
  async function reached(open: () => Promise<Socket>): Promise<{ readonly client: Socket; readonly server: Socket }> {
    const at = held.length
    const client = await open()
    await expect.poll(() => held.length).toBeGreaterThan(at)
    return { client, server: held[at]! }
  }

  it('a client that reads nothing pauses the upstream, and reads on: HTTP', async () => {
    const client = await dial(ports.app)
    client.write('GET /large HTTP/1.1\r\nhost: x\r\n\r\n')
    await proxy.untilStat('cluster.app.upstream_flow_control_paused_reading_total', some)
    await proxy.untilStat('http.app.downstream_cx_tx_bytes_buffered', some)
    expect(await proxy.stat('http.app.downstream_flow_control_paused_reading_total')).toBe(0)
    let bytes = 0
    client.on('data', chunk => (bytes += chunk.length))
    await expect.poll(() => bytes).toBeGreaterThan(LARGE)
    await proxy.untilStat('cluster.app.upstream_flow_control_resumed_reading_total', some)
    await proxy.untilStat('http.app.downstream_cx_tx_bytes_buffered', value => value === 0)
    client.destroy()
  })

  it('an upstream that reads nothing pauses the client: HTTP', async () => {
    const { client, server } = await reached(async () => {
      const socket = await dial(ports.slow)
      socket.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${LARGE}\r\n\r\n`)
      socket.write(Buffer.alloc(LARGE))
      return socket
    })
    await proxy.untilStat('cluster.slow.upstream_flow_control_backed_up_total', some)
    await proxy.untilStat('http.slow.downstream_flow_control_paused_reading_total', some)
    await proxy.untilStat('cluster.slow.upstream_cx_tx_bytes_buffered', some)
    let bytes = 0
    server.on('data', chunk => (bytes += chunk.length))
    await expect.poll(() => bytes).toBeGreaterThan(LARGE)
    const unmatched = async (paused: string, resumed: string) => {
      const stats = await proxy.stats()
      return stats.get(paused)! - stats.get(resumed)!
    }
    const names = ['cluster.slow.upstream_flow_control_backed_up_total', 'cluster.slow.upstream_flow_control_drained_total'] as const
    await expect.poll(() => unmatched(...names)).toBe(0)
    const downstream = 'http.slow.downstream_flow_control'
    await expect.poll(() => unmatched(`${downstream}_paused_reading_total`, `${downstream}_resumed_reading_total`)).toBe(0)
    client.destroy()
  })

  it('the same of the TCP proxy', async () => {
    const { client, server } = await reached(() => dial(ports.raw))
    server.write(Buffer.alloc(LARGE))
    await proxy.untilStat('cluster.raw.upstream_flow_control_paused_reading_total', some)
    await proxy.untilStat('tcp.raw.downstream_cx_tx_bytes_buffered', some)
    client.write(Buffer.alloc(LARGE))
    await proxy.untilStat('tcp.raw.downstream_flow_control_paused_reading_total', some)
    client.resume()
    server.resume()
    await proxy.untilStat('cluster.raw.upstream_flow_control_resumed_reading_total', some)
    await proxy.untilStat('tcp.raw.downstream_flow_control_resumed_reading_total', some)
    client.destroy()
    await proxy.untilStat('tcp.raw.downstream_cx_tx_bytes_buffered', value => value === 0)
  })

  it('a client that does not close after its answer is ended when delayed_close_timeout is over', async () => {
    const client = await dial(ports.app)
    client.resume()
    client.write('GET / HTTP/1.1\r\nthis is no header\r\n\r\n')
    await once(client, 'end')
    await proxy.untilStat('http.app.downstream_cx_delayed_close_timeout', value => value === 1)
    client.destroy()
  })

  it('streams of HTTP/2 that are open, on both sides', async () => {
    const session = http2.connect(`http://127.0.0.1:${ports.h2}`)
    session.on('error', () => {})
    for (let i = 0; i < 3; i++) session.request({ ':path': '/' }).on('error', () => {})
    await proxy.untilStat('http2.streams_active', value => value === 3)
    await proxy.untilStat('cluster.h2.http2.streams_active', value => value === 3)
    session.destroy()
    await proxy.untilStat('http2.streams_active', value => value === 0)
    await proxy.untilStat('cluster.h2.http2.streams_active', value => value === 0)
  })

  it('connections that the upstream closes by its word', async () => {
    const client = await Http1Client.connect(ports.app)
    expect((await client.send('GET / HTTP/1.1\r\nhost: x\r\n\r\n')).body).toBe('bye')
    await proxy.untilStat('cluster.app.upstream_cx_close_notify', value => value === 1)
    client.destroy()
  })

  it('a source address that the host does not have', async () => {
    const client = await Http1Client.connect(ports.bound)
    expect((await client.send('GET / HTTP/1.1\r\nhost: x\r\n\r\n')).status).toBe(503)
    await proxy.untilStat('cluster.bound.bind_errors', value => value === 1)
    client.destroy()
  })

  it('a client that resets before its first byte, where a listener filter waits for it', async () => {
    const client = await dial(ports.inspected)
    await proxy.untilStat('listener.inspected.downstream_pre_cx_active', value => value === 1)
    client.resetAndDestroy()
    await proxy.untilStat('listener.inspected.downstream_listener_filter_error', value => value === 1)
  })
})
