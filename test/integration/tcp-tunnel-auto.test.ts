// TCP services ride tunnels without anybody asking: once every sidecar of the service is ours and has acknowledged a listener that takes
// them, and back on plain connections from the moment that another one is registered. No client notices either change.
import { once } from 'node:events'
import net, { type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { EchoOrigin } from '../support/origins.js'
import { type ProxyProcess, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const echo = new EchoOrigin()
const mesh = new MeshFixture()
let web: Registered
let webSidecar: ProxyProcess

beforeAll(async () => {
  await echo.listen()
  await mesh.start()
  await mesh.register('db', { name: 'db', port: echo.port, protocol: 'tcp' })
  web = await mesh.register('web', { name: 'web', upstreams: ['db'] })
  await mesh.intention('db', [{ Name: 'web', Action: 'allow' }])
  webSidecar = await mesh.sidecar('web')
})
afterAll(async () => {
  await mesh.stop()
  await echo.close()
})

async function says(text: string): Promise<Socket | null> {
  const socket = net.connect({ port: web.upstreams.get('db')!, host: '127.0.0.1' })
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(text)
  const heard = await new Promise<string>(resolve => {
    socket.once('data', chunk => resolve(chunk.toString()))
    socket.once('close', () => resolve(''))
  })
  if (heard === text) return socket
  socket.destroy()
  return null
}

/** The form that new connections take, and that they are served in it. */
async function untilForm(form: 'tunnels' | 'plain'): Promise<void> {
  await until(`web calls db by ${form}`, async () => {
    const { body } = await webSidecar.get('/clusters')
    return body.includes('tunnel~db.default.dc1') === (form === 'tunnels') && body.includes('\ndb.default.dc1') === (form === 'plain')
  })
  const sockets = await Promise.all(Array.from({ length: 5 }, (_, i) => says(`hello ${i}`)))
  expect(sockets).not.toContain(null)
  for (const socket of sockets) socket!.destroy()
}

describe('outrigger_tcp_tunnel auto, the default', () => {
  it('is plain while no sidecar of the service runs, and tunnels once the only one has acknowledged', async () => {
    expect((await webSidecar.get('/clusters')).body).not.toContain('tunnel~db')
    await mesh.sidecar('db')
    await untilForm('tunnels')
    const kept = await Promise.all([says('one'), says('two'), says('three')])
    const stats = await webSidecar.stats()
    const of = (name: string) => [...stats].find(([stat]) => stat.startsWith('cluster.tunnel~db') && stat.endsWith(`.consul.${name}`))![1]
    // Streams are counted as what they are, on one connection.
    expect([of('upstream_rq_active'), of('upstream_cx_active')]).toEqual([3, 1])
    for (const socket of kept) socket!.destroy()
  })

  it('goes back at once when an instance is registered whose sidecar is not there yet, and keeps what is open', async () => {
    const open = (await until('a tunnel', () => says('open')))!
    const joined = await mesh.register('db-2', { name: 'db', port: echo.port, protocol: 'tcp' })
    expect(joined.publicPort).toBeGreaterThan(0)
    await untilForm('plain')
    open.write('still')
    expect(String((await once(open, 'data'))[0])).toBe('still')
    open.destroy()
    await mesh.sidecar('db-2')
    await untilForm('tunnels')
    await mesh.deregister('db-2')
  })

  it('a service with a limit of connections stays plain', async () => {
    const limit = (MaxInboundConnections: number) =>
      mesh.write('/v1/config', { Kind: 'service-defaults', Name: 'db', Protocol: 'tcp', MaxInboundConnections })
    await mesh.acknowledged('db', await limit(5))
    await untilForm('plain')
    await mesh.acknowledged('db', await limit(0))
    await untilForm('tunnels')
  })

  it.skipIf(envoyBin === undefined)('stays plain while one of the sidecars is a real Envoy (needs ENVOY_BIN)', async () => {
    await mesh.register('db-3', { name: 'db', port: echo.port, protocol: 'tcp' })
    const envoy = await mesh.sidecar('db-3', envoyBin!)
    await untilForm('plain')
    await mesh.deregister('db-3')
    await untilForm('tunnels')
    await envoy.kill()
  })

  it('off is plain everywhere', async () => {
    await mesh.write('/v1/config', { Kind: 'proxy-defaults', Name: 'global', Config: { outrigger_tcp_tunnel: 'off' } })
    await untilForm('plain')
  })
})
