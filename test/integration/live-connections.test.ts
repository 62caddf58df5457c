// Connections that go on for long: their bytes are counted while they live, and a tunnel that one side has left does not stay.
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, hcm, listener, ProxyProcess, proxyBin, routesTo, staticCluster, stopAll } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const PROXIES: readonly (readonly [string, string])[] = [
  ['outrigger', proxyBin],
  ...(envoyBin === undefined ? [] : [['envoy', envoyBin] as const]),
]
const UPGRADE =
  'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n'
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

describe.each(PROXIES)('%s', (_name, bin) => {
  /** What the application has accepted, newest last. */
  const accepted: net.Socket[] = []
  let closed = 0
  let app: net.Server
  let proxy: ProxyProcess
  let httpPort: number
  let tcpPort: number

  beforeAll(async () => {
    app = net.createServer({ allowHalfOpen: true }, socket => {
      accepted.push(socket)
      socket.on('error', () => {})
      socket.on('close', () => closed++)
      socket.on('data', data => {
        if (data.includes('/ws')) socket.write(SWITCH)
        else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n0123456789')
      })
    })
    await new Promise<void>(resolve => app.listen(0, '127.0.0.1', resolve))
    httpPort = await freePort()
    tcpPort = await freePort()
    const tcp = {
      name: 'envoy.filters.network.tcp_proxy',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
        stat_prefix: 'raw',
        cluster: 'app',
      },
    }
    proxy = await ProxyProcess.start({
      bin,
      flags: bin === proxyBin ? [] : ['--use-dynamic-base-id'],
      bootstrap: {
        static_resources: {
          listeners: [
            listener('http', httpPort, [
              hcm({ stat_prefix: 'web', route_config: routesTo('app'), upgrade_configs: [{ upgrade_type: 'websocket' }] }),
            ]),
            listener('tcp', tcpPort, [tcp]),
          ],
          clusters: [staticCluster('app', (app.address() as net.AddressInfo).port)],
        },
      },
    })
  })
  afterAll(async () => {
    for (const socket of accepted) socket.destroy()
    app.close()
    await stopAll()
  })

  const stat = async (name: string) =>
    Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec((await proxy.get(`/stats?filter=${name}`)).body)?.[1] ?? -1)
  /** A client that has got its first bytes. */
  const open = (port: number, request: string) =>
    new Promise<net.Socket>(resolve => {
      const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      socket.on('error', () => {})
      socket.once('data', () => resolve(socket))
      socket.write(request)
    })

  it('HTTP: bytes of a response that is still coming are counted, on both sides', async () => {
    const client = await open(httpPort, 'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
    for (const name of [
      'http.web.downstream_cx_rx_bytes_total',
      'http.web.downstream_cx_tx_bytes_total',
      'cluster.app.upstream_cx_rx_bytes_total',
    ])
      await expect.poll(() => stat(name)).toBeGreaterThan(10)
    client.destroy()
  })

  it('TCP: bytes of a connection that lives are counted', async () => {
    const before = await stat('cluster.app.upstream_cx_tx_bytes_total')
    const client = await open(tcpPort, 'hello')
    for (const name of ['tcp.raw.downstream_cx_rx_bytes_total', 'tcp.raw.downstream_cx_tx_bytes_total'])
      await expect.poll(() => stat(name)).toBeGreaterThan(4)
    await expect.poll(() => stat('cluster.app.upstream_cx_tx_bytes_total')).toBeGreaterThan(before)
    client.destroy()
  })

  it('a WebSocket whose client has ended its half ends, though the application keeps its own open', async () => {
    const client = await open(httpPort, UPGRADE)
    const gone = new Promise(resolve => client.once('close', resolve))
    const before = closed
    client.once('end', () => client.destroy())
    client.end()
    await gone
    // The application learns of it with the first bytes it sends, or by the reset.
    const afterWriting = () => {
      accepted.at(-1)!.write('still here')
      return closed
    }
    await expect.poll(afterWriting).toBeGreaterThan(before)
    await expect.poll(() => stat('http.web.downstream_rq_active')).toBe(0)
  })

  it('and one whose application has ended its half, though the client keeps its own open', async () => {
    const client = await open(httpPort, UPGRADE)
    const ended = new Promise(resolve => client.once('end', resolve))
    accepted.at(-1)!.end()
    client.resume()
    await ended
    await expect.poll(() => stat('http.web.downstream_rq_active')).toBe(0)
    client.destroy()
  })
})
