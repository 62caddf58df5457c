// A TCP reset on one side of tcp_proxy, over every transport of the other side: the proxy lives, the other side learns that it was
// broken off, and nothing stays open. `resetAndDestroy` of a TLS or unix socket throws, which once ended the whole process.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net, { type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AnyCa, clientOptions, downstreamTls, spiffe, upstreamTls } from '../support/mesh-certificates.js'
import { freePort, listener, ProxyProcess, staticCluster, stopAll, tcpProxy, until } from '../support/proxy-process.js'

const ca = new AnyCa()
const web = ca.service('web')
const api = ca.service('api')
const dir = mkdtempSync(join(tmpdir(), 'outrigger-resets-'))
const pipePath = join(dir, 'app.sock')

type Side = 'plain' | 'tls' | 'unix'
/** Connections as the application sees them, the raw socket below TLS beside them. */
const accepted: { side: Side; socket: Socket; raw: Socket }[] = []
const servers: net.Server[] = []
const ports = { plain: 0, tls: 0, unix: 0, secured: 0 }
let proxy: ProxyProcess

function serve(side: Side, listen: (server: net.Server) => void): Promise<unknown> {
  const server = net.createServer(raw => {
    const socket = side === 'tls' ? new tls.TLSSocket(raw, { isServer: true, cert: api.cert, key: api.key }) : raw
    raw.on('error', () => {})
    socket.on('error', () => {})
    accepted.push({ side, socket, raw })
    socket.on('data', chunk => socket.write(chunk))
  })
  servers.push(server)
  listen(server)
  return once(server, 'listening')
}

beforeAll(async () => {
  for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort()
  await serve('plain', server => server.listen(0, '127.0.0.1'))
  await serve('tls', server => server.listen(0, '127.0.0.1'))
  await serve('unix', server => server.listen(pipePath))
  const portOf = (index: number): number => (servers[index]!.address() as net.AddressInfo).port
  proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('plain', ports.plain, [tcpProxy('plain')]),
          listener('tls', ports.tls, [tcpProxy('tls')]),
          listener('unix', ports.unix, [tcpProxy('unix')]),
          listener('secured', ports.secured, [tcpProxy('plain')], {}, { transport_socket: downstreamTls(api, ca.pem) }),
        ],
        clusters: [
          staticCluster('plain', portOf(0)),
          staticCluster('tls', portOf(1), { transport_socket: upstreamTls(web, ca.pem, spiffe('api')) }),
          {
            name: 'unix',
            type: 'STATIC',
            load_assignment: {
              cluster_name: 'unix',
              endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: pipePath } } } }] }],
            },
          },
        ],
      },
    },
  })
})
afterAll(async () => {
  await stopAll()
  for (const server of servers) server.close()
  rmSync(dir, { recursive: true, force: true })
})

/** A client whose first bytes came back; `raw` is what can be reset. */
async function connected(name: keyof typeof ports): Promise<{ socket: Socket; raw: Socket; app: (typeof accepted)[number] }> {
  const before = accepted.length
  const raw = net.connect({ host: '127.0.0.1', port: ports[name], allowHalfOpen: true })
  raw.on('error', () => {})
  await once(raw, 'connect')
  const socket: Socket =
    name === 'secured' ? tls.connect({ socket: raw, ...clientOptions(web, ca.pem), checkServerIdentity: () => undefined }) : raw
  socket.on('error', () => {})
  socket.write('hello')
  await once(socket, 'data')
  return { socket, raw, app: accepted[before]! }
}

/** Not `once`: that rejects on the error that a reset is. */
function closing(socket: Socket): Promise<void> {
  return new Promise(resolve => socket.once('close', () => resolve()))
}

async function settled(): Promise<void> {
  expect(proxy.child.exitCode).toBeNull()
  await until('no connection left', async () => {
    const stats = await proxy.stats()
    return ['plain', 'tls', 'unix'].every(name => (stats.get(`cluster.${name}.upstream_cx_active`) ?? 0) === 0)
  })
}

describe('a reset by the client', () => {
  it.each(['plain', 'tls', 'unix', 'secured'] as const)('ends the connection to the application: %s', async name => {
    const { raw, app } = await connected(name)
    const closed = closing(app.socket)
    raw.resetAndDestroy()
    await closed
    await settled()
  })
})

describe('a reset by the application', () => {
  it.each(['plain', 'tls', 'secured'] as const)('reaches the client as an error, not as an end: %s', async name => {
    const { socket, app } = await connected(name)
    let ended = false
    socket.on('end', () => {
      ended = true
    })
    const closed = closing(socket)
    app.raw.resetAndDestroy()
    await closed
    expect(ended).toBe(false)
    await settled()
  })

  it('of a unix socket ends the client', async () => {
    const { socket, app } = await connected('unix')
    const closed = closing(socket)
    app.raw.destroy()
    socket.end()
    await closed
    await settled()
  })
})
