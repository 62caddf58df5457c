// What docs/differences.md says and no other test shows, through the real process; where Envoy is installed, its column too.
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FakeDns } from '../support/fake-dns.js'
import { fetchOnce } from '../support/http1-client.js'
import { Http2FrameClient } from '../support/http2-frame-client.js'
import { AnyCa, clientOptions, downstreamTls, spiffe } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  fileAccessLog,
  freePort,
  hcm,
  listener,
  ProxyProcess,
  routesTo,
  socketAddress,
  staticCluster,
  stopAll,
  until,
} from '../support/proxy-process.js'

const envoy = process.env['ENVOY_BIN']
const ca = new AnyCa()
const leaf = ca.leaf({ dns: ['api.example'], uris: [spiffe('api')], usages: ['serverAuth', 'clientAuth'] })
const origin = new HttpOrigin((request, socket) => void socket.write(http(request.headers.get('x-envoy-internal') ?? 'external')))

beforeAll(() => origin.listen())
afterAll(async () => {
  await stopAll()
  await origin.close()
})

interface World {
  readonly proxy: ProxyProcess
  readonly plain: number
  readonly secure: number
}

async function start(bin: string | undefined): Promise<World> {
  const [plain, secure] = [await freePort(), await freePort()]
  const proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('plain', plain, [hcm({ internal_address_config: {}, route_config: routesTo('app') })]),
          listener(
            'secure',
            secure,
            [hcm({ route_config: routesTo('app'), access_log: [fileAccessLog('sni=%REQUESTED_SERVER_NAME%.')] })],
            {},
            { transport_socket: downstreamTls(leaf, ca.pem) },
          ),
        ],
        clusters: [staticCluster('app', origin.port)],
      },
    },
    ...(bin === undefined ? {} : { bin, flags: ['--use-dynamic-base-id'] }),
  })
  return { proxy, plain, secure }
}

async function status(port: number, head: string): Promise<number> {
  const socket = net.connect(port, '127.0.0.1')
  let got = ''
  socket.on('error', () => {})
  socket.write(`${head}\r\n\r\n`)
  for await (const chunk of socket) {
    got += String(chunk)
    if (got.includes('\r\n\r\n')) break
  }
  return Number(got.split(' ')[1])
}

const CODING = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:'

describe('Outrigger', () => {
  let world: World
  /** Of a client that waits while the others are asked: it has 15 s. */
  let letGo: Promise<void>
  beforeAll(async () => {
    world = await start(undefined)
    const socket = net.connect(world.secure, '127.0.0.1')
    letGo = new Promise(resolve => socket.on('error', () => {}).once('close', () => resolve()))
  })

  it('internal_address_config without cidr_ranges: nobody is internal', async () => {
    expect((await fetchOnce(world.plain, '/', { 'x-forwarded-for': '10.1.2.3' })).body).toBe('external')
  })

  it('a transfer coding that is none is 400', async () => {
    for (const coding of ['chunkedx', ',chunked']) expect([coding, await status(world.plain, `${CODING} ${coding}`)]).toEqual([coding, 400])
  })

  it('%REQUESTED_SERVER_NAME% is also what TLS termination saw, without tls_inspector', async () => {
    const socket = tls.connect({ ...clientOptions(leaf, ca.pem), port: world.secure, host: '127.0.0.1', servername: 'api.example' })
    socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
    for await (const _ of socket);
    await world.proxy.untilLog('sni=api.example.')
  })

  it('the receive windows of HTTP/2 are 1 MiB a stream and 8 MiB a connection, though Envoy’s defaults are asked for', async () => {
    const client = await Http2FrameClient.connect(world.plain)
    const settings = await client.until('SETTINGS', frames => frames.find(({ type }) => type === 4) ?? null)
    const entries = new Map<number, number>()
    for (let at = 0; at < settings.payload.length; at += 6)
      entries.set(settings.payload.readUInt16BE(at), settings.payload.readUInt32BE(at + 2))
    expect(entries.get(4)).toBe(1024 * 1024)
    const update = await client.until('WINDOW_UPDATE', frames => frames.find(({ type, streamId }) => type === 8 && streamId === 0) ?? null)
    expect(update.payload.readUInt32BE(0)).toBe(8 * 1024 * 1024 - 65_535)
  })

  it('a client that never finishes its handshake is let go', async () => {
    await letGo
    expect(await world.proxy.stat(`listener.127.0.0.1_${world.secure}.downstream_cx_transport_socket_connect_timeout`)).toBe(1)
  })
})

describe('two workers', () => {
  const dns = new FakeDns()
  const silent = new HttpOrigin(() => {})
  let port: number
  let proxy: ProxyProcess
  beforeAll(async () => {
    port = await freePort()
    await silent.listen()
    await dns.listen()
    dns.names.set('app.test', { a: ['127.0.0.1'], ttl: 600 })
    const named = {
      name: 'named',
      type: 'STRICT_DNS',
      dns_resolvers: [socketAddress(dns.port)],
      dns_lookup_family: 'V4_ONLY',
      respect_dns_ttl: true,
      load_assignment: { cluster_name: 'named', endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(1, 'app.test') } }] }] },
    }
    const limited = staticCluster('app', silent.port, { circuit_breakers: { thresholds: [{ max_requests: 1 }] } })
    proxy = await ProxyProcess.start({
      bootstrap: {
        static_resources: { listeners: [listener('front', port, [hcm({ route_config: routesTo('app') })])], clusters: [named, limited] },
      },
      flags: ['--concurrency', '2'],
    })
  })
  afterAll(async () => {
    dns.close()
    await silent.close()
  })

  it('each asks for the names of DNS clusters', async () => {
    await until('both have asked', () => Promise.resolve(dns.count('app.test') >= 2))
  })

  it('each has the whole limit of a breaker, and the gauges say how many are open', async () => {
    const sockets = [net.connect(port, '127.0.0.1'), net.connect(port, '127.0.0.1')]
    for (const socket of sockets) socket.on('error', () => {}).write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await proxy.untilStat('cluster.app.circuit_breakers.default.rq_open', open => open === 2)
    expect(await proxy.stat('cluster.app.upstream_rq_pending_overflow')).toBe(0)
    for (const socket of sockets) socket.destroy()
  })
})

describe.skipIf(envoy === undefined)('Envoy, of the same', () => {
  let world: World
  beforeAll(async () => {
    world = await start(envoy)
  })

  it('takes RFC 1918 addresses as internal', async () => {
    expect((await fetchOnce(world.plain, '/', { 'x-forwarded-for': '10.1.2.3' })).body).toBe('true')
  })

  it('answers 501 to a transfer coding that it does not know', async () => {
    expect(await status(world.plain, `${CODING} chunkedx`)).toBe(501)
  })
})
