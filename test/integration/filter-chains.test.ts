// Filter chains over real sockets: chosen by server name, ALPN, transport protocol and source address after a look at the ClientHello
// (however it is cut up), SNI passthrough, and a server-first protocol that is not kept waiting.
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AnyCa, clientOptions, downstreamTls } from '../support/mesh-certificates.js'
import { TcpOrigin } from '../support/origins.js'
import { freePort, listener, ProxyProcess, staticCluster, stopAll, tcpProxy, typed } from '../support/proxy-process.js'

const ca = new AnyCa()
const web = clientOptions(ca.service('web'), ca.pem)
/** Names itself before the client says a word. */
const greeter = (name: string): TcpOrigin =>
  new TcpOrigin(socket => {
    socket.write(name)
    socket.resume().on('end', () => socket.end())
  })
const names = ['exact', 'wildcard', 'h2', 'default', 'plain', 'source', 'first'] as const
const origins = new Map(names.map(name => [name, greeter(name)]))
/** A TLS server of its own behind the passthrough. */
let behind: tls.Server
let chains: number
let pass: number
let gateway: number
let first: number
let proxy: ProxyProcess

const inspector = typed('tls_inspector', 'filters.listener.tls_inspector.v3.TlsInspector')

beforeAll(async () => {
  const own = ca.leaf({ dns: ['passed.internal'] })
  behind = tls.createServer({ cert: own.cert, key: own.key }, socket => socket.end('passed through'))
  behind.listen(0, '127.0.0.1')
  await once(behind, 'listening')
  for (const origin of origins.values()) await origin.listen()
  chains = await freePort()
  pass = await freePort()
  gateway = await freePort()
  first = await freePort()
  const chain = (name: (typeof names)[number], filter_chain_match: object, secure: boolean, more: object = {}): object => ({
    name,
    filter_chain_match,
    filters: [tcpProxy(name)],
    ...(secure ? { transport_socket: downstreamTls(ca.service('api'), ca.pem, more) } : {}),
  })
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          {
            ...listener('chains', chains, []),
            listener_filters: [inspector],
            filter_chains: [
              chain('source', { transport_protocol: 'tls', source_prefix_ranges: [{ address_prefix: '127.0.0.9', prefix_len: 32 }] }, true),
              chain('exact', { transport_protocol: 'tls', server_names: ['a.internal'] }, true),
              chain('wildcard', { transport_protocol: 'tls', server_names: ['*.internal'] }, true),
              chain('h2', { transport_protocol: 'tls', application_protocols: ['h2'] }, true, { alpn_protocols: ['h2'] }),
              chain('default', { transport_protocol: 'tls' }, true),
              chain('plain', { transport_protocol: 'raw_buffer' }, false),
            ],
          },
          {
            ...listener('pass', pass, []),
            listener_filters: [inspector],
            filter_chains: [
              {
                filter_chain_match: { server_names: ['*.internal', 'passed.internal'] },
                filters: [typed('envoy.filters.network.sni_cluster', 'filters.network.sni_cluster.v3.SniCluster'), tcpProxy('none')],
              },
            ],
          },
          {
            // As Consul has it on a mesh gateway: no match, no cluster.
            ...listener('gateway', gateway, [
              typed('envoy.filters.network.sni_cluster', 'filters.network.sni_cluster.v3.SniCluster'),
              tcpProxy(''),
            ]),
            listener_filters: [inspector],
          },
          listener('first', first, [tcpProxy('first')]),
        ],
        clusters: [
          ...[...origins].map(([name, origin]) => staticCluster(name, origin.port)),
          staticCluster('passed.internal', (behind.address() as net.AddressInfo).port),
          staticCluster('none', 1),
        ],
      },
    },
  })
})
afterAll(async () => {
  await stopAll()
  behind.close()
  for (const origin of origins.values()) await origin.close()
})

/** The greeting that comes over TLS. */
async function greeting(options: tls.ConnectionOptions): Promise<string> {
  const socket = tls.connect({ port: chains, host: '127.0.0.1', rejectUnauthorized: false, ...web, ...options })
  const [data] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  return data.toString()
}

describe('tls_inspector', () => {
  it('chooses by server name, exact before wildcard, in any case', async () => {
    expect(await greeting({ servername: 'a.internal' })).toBe('exact')
    expect(await greeting({ servername: 'A.Internal' })).toBe('exact')
    expect(await greeting({ servername: 'b.internal' })).toBe('wildcard')
    expect(await greeting({ servername: 'x.y.internal' })).toBe('wildcard')
    expect(await greeting({ servername: 'other.example' })).toBe('default')
    expect(await greeting({})).toBe('default')
  })

  it('chooses by ALPN where no server name decides', async () => {
    expect(await greeting({ ALPNProtocols: ['h2', 'http/1.1'] })).toBe('h2')
    expect(await greeting({ ALPNProtocols: ['http/1.1'] })).toBe('default')
    expect(await greeting({ ALPNProtocols: ['h2'], servername: 'a.internal' })).toBe('exact')
  })

  it('chooses by source address', async () => {
    expect(await greeting({ localAddress: '127.0.0.9' } as tls.ConnectionOptions)).toBe('source')
  })

  it('takes clear text to the raw_buffer chain, and what the client said first is not lost', async () => {
    const socket = net.connect({ port: chains, host: '127.0.0.1' })
    socket.write('hello')
    expect(String((await once(socket, 'data'))[0])).toBe('plain')
    socket.destroy()
  })

  it('reads a ClientHello that comes one byte at a time', async () => {
    const raw = net.connect({ port: chains, host: '127.0.0.1', noDelay: true })
    await once(raw, 'connect')
    const { Duplex } = await import('node:stream')
    let slow = true
    const bytewise = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        if (!slow) {
          raw.write(chunk, () => done())
          return
        }
        void (async () => {
          for (let i = 0; i < chunk.length; i++) {
            raw.write(chunk.subarray(i, i + 1))
            if (i % 16 === 0) await new Promise(resolve => setImmediate(resolve))
          }
          done()
        })()
      },
    })
    raw.on('data', chunk => {
      slow = false
      bytewise.push(chunk)
    })
    const socket = tls.connect({ socket: bytewise, rejectUnauthorized: false, ...web, servername: 'a.internal' })
    expect(String((await once(socket, 'data'))[0])).toBe('exact')
    socket.destroy()
    raw.destroy()
  })

  it('a client that says nothing, or garbage, gets no chain and leaves nothing behind', async () => {
    const silent = net.connect({ port: chains, host: '127.0.0.1' }).resume()
    await once(silent, 'connect')
    silent.end()
    await once(silent, 'close')
    const garbage = net.connect({ port: chains, host: '127.0.0.1' }).resume()
    garbage.on('error', () => {})
    garbage.write(Buffer.from([0x16, 0x03, 0x01, 0x40, 0x00, 0x02, 0xff, 0xff, 0xff]))
    garbage.end()
    await new Promise(resolve => garbage.once('close', resolve))
    await proxy.untilStat(`listener.127.0.0.1_${chains}.downstream_pre_cx_active`, value => value === 0)
  })
})

describe('sni_cluster', () => {
  it('passes the handshake through to the cluster of that name: the certificate is the origin’s own', async () => {
    for (const port of [pass, gateway]) {
      const socket = tls.connect({ port, host: '127.0.0.1', ca: ca.pem, servername: 'passed.internal' })
      await once(socket, 'secureConnect')
      expect(socket.authorized).toBe(true)
      expect(String((await once(socket, 'data'))[0])).toBe('passed through')
      socket.destroy()
    }
  })

  it('closes the connection for a name without a cluster, and for one that no chain takes', async () => {
    for (const servername of ['unknown.internal', 'elsewhere.example']) {
      const socket = tls.connect({ port: pass, host: '127.0.0.1', ca: ca.pem, servername })
      const failed = await new Promise(resolve => {
        socket.once('error', () => resolve('error'))
        socket.once('secureConnect', () => resolve('handshake'))
      })
      expect(failed).toBe('error')
    }
  })
})

it('a server that speaks first is heard at once on a listener without TLS: nobody waits for the client', async () => {
  const socket = net.connect({ port: first, host: '127.0.0.1' })
  expect(String((await once(socket, 'data'))[0])).toBe('first')
  socket.destroy()
})
