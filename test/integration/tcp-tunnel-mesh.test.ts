// `outrigger_tcp_tunnel` in a mesh of real sidecars under the real control plane: many client connections of a TCP service on one mTLS
// connection, both forms taken side by side, and intentions that hold for tunnels as they do for connections.
import { once } from 'node:events'
import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { EchoOrigin, TcpOrigin } from '../support/origins.js'
import { type ProxyProcess, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const echo = new EchoOrigin()
const greeter = new TcpOrigin(socket => void socket.write('220 welcome'))
const mesh = new MeshFixture()
let web: Registered
let batch: Registered
let db: Registered
let webSidecar: ProxyProcess
let dbSidecar: ProxyProcess

const CLUSTER = /^cluster\.(?:tunnel~)?db\.default\.dc1\.internal\.[^.]+\.consul\.(\w+)$/

async function clusterStat(proxy: ProxyProcess, name: string): Promise<number> {
  for (const [stat, value] of await proxy.stats()) if (CLUSTER.exec(stat)?.[1] === name) return value
  return 0
}

beforeAll(async () => {
  await Promise.all([echo.listen(), greeter.listen()])
  await mesh.start()
  await mesh.write('/v1/config', { Kind: 'proxy-defaults', Name: 'global', Config: { outrigger_tcp_tunnel: 'use' } })
  db = await mesh.register('db', { name: 'db', port: echo.port, protocol: 'tcp' })
  await mesh.register('mail', { name: 'mail', port: greeter.port, protocol: 'tcp' })
  web = await mesh.register('web', { name: 'web', upstreams: ['db', 'mail'] })
  batch = await mesh.register('batch', { name: 'batch', upstreams: ['db'] })
  for (const to of ['db', 'mail']) await allow(to, ['web', 'batch'])
  webSidecar = await mesh.sidecar('web')
  await mesh.sidecar('batch')
  dbSidecar = await mesh.sidecar('db')
  await mesh.sidecar('mail')
})
afterAll(async () => {
  await mesh.stop()
  await Promise.all([echo.close(), greeter.close()])
})

const port = (caller: Registered, upstream: string) => caller.upstreams.get(upstream)!

function allow(destination: string, sources: readonly string[]): Promise<number> {
  return mesh.intention(destination, [...sources.map(Name => ({ Name, Action: 'allow' as const })), { Name: '*', Action: 'deny' as const }])
}

async function dial(port: number): Promise<Socket> {
  const socket = net.connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** What comes back first, or null when the connection is closed instead. */
function first(socket: Socket): Promise<string | null> {
  return new Promise(resolve => {
    socket.once('data', chunk => resolve(chunk.toString()))
    socket.once('close', () => resolve(null))
  })
}

async function says(port: number, text: string): Promise<Socket | null> {
  const socket = await dial(port)
  socket.write(text)
  if ((await first(socket)) === text) return socket
  socket.destroy()
  return null
}

/** The sidecar closes what it cannot carry: a refused try shows as a closed connection. */
async function untilServed(port: number): Promise<Socket> {
  return until('the upstream answers', () => says(port, 'ping'))
}

describe('a TCP service by tunnels', () => {
  it('carries many connections on one, with the caller’s identity checked', async () => {
    const warm = await untilServed(port(web, 'db'))
    const before = await clusterStat(webSidecar, 'upstream_cx_total')
    const sockets = await Promise.all(Array.from({ length: 30 }, (_, i) => says(port(web, 'db'), `hello ${i}`)))
    expect(sockets.every(socket => socket !== null)).toBe(true)
    expect(await clusterStat(webSidecar, 'upstream_cx_total')).toBe(before)
    expect(await clusterStat(webSidecar, 'upstream_rq_active')).toBe(31)
    for (const socket of [...sockets, warm]) socket!.destroy()
    await until('the tunnels end', async () => (await clusterStat(webSidecar, 'upstream_rq_active')) === 0)
    await dbSidecar.untilStat('cluster.local_app.upstream_cx_active', value => value === 0)
  })

  it('a server that speaks first is heard', async () => {
    const socket = await until('the mail server', async () => {
      const each = await dial(port(web, 'mail'))
      if ((await first(each)) === '220 welcome') return each
      each.destroy()
      return null
    })
    socket.destroy()
  })

  it('takes a plain connection of a mesh peer beside them', async () => {
    const { cert, key, ca } = await mesh.leaf('batch')
    const socket = tls.connect({ port: db.publicPort, host: '127.0.0.1', rejectUnauthorized: false, cert, key, ca })
    await once(socket, 'secureConnect')
    socket.write('no tunnel')
    expect(await first(socket)).toBe('no tunnel')
    socket.destroy()
  })

  it('a deny closes the open tunnels of the denied service and refuses new ones, and of no other; an allow brings it back', async () => {
    const denied = await untilServed(port(web, 'db'))
    const kept = await untilServed(port(batch, 'db'))
    const closed = new Promise(resolve => denied.once('close', resolve))
    await mesh.acknowledged('db', await allow('db', ['batch']))
    await closed
    expect(await says(port(web, 'db'), 'again')).toBeNull()
    kept.write('still')
    expect(await first(kept)).toBe('still')
    kept.destroy()
    await mesh.acknowledged('db', await allow('db', ['web', 'batch']))
    ;(await untilServed(port(web, 'db'))).destroy()
  })

  it.skipIf(envoyBin === undefined)('the real Envoy is caller and called (needs ENVOY_BIN)', async () => {
    const caller = await mesh.register('shop', { name: 'web', upstreams: ['db', 'files'] })
    await mesh.register('files', { name: 'files', port: echo.port, protocol: 'tcp' })
    await allow('files', ['web'])
    await mesh.sidecar('shop', envoyBin!)
    await mesh.sidecar('files', envoyBin!)
    ;(await untilServed(port(caller, 'db'))).destroy()
    ;(await untilServed(port(caller, 'files'))).destroy()
  })
})
