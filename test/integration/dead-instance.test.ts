// Two instances of a service and one dead sidecar, which the catalog still thinks well of: under our control plane no request and no
// connection fails, since what finds no connection goes to the other instance, and the dead one is ejected though it is half of all.
import { once } from 'node:events'
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { EchoOrigin, HttpOrigin, http } from '../support/origins.js'
import { type ProxyProcess, until } from '../support/proxy-process.js'

const POST = 'POST / HTTP/1.1\r\nhost: api\r\ncontent-length: 4\r\n\r\nonce'
const envoyBin = process.env['ENVOY_BIN']
const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const echo = new EchoOrigin()
const mesh = new MeshFixture()
let web: Registered
let webSidecar: ProxyProcess

beforeAll(async () => {
  await Promise.all([origin.listen(), echo.listen()])
  await mesh.start()
  const doomed: ProxyProcess[] = []
  for (const [name, port, protocol] of [
    ['api', origin.port, 'http'],
    ['db', echo.port, 'tcp'],
  ] as const) {
    for (const id of [`${name}-1`, `${name}-2`]) {
      await mesh.register(id, { name, port, protocol })
      const sidecar = await mesh.sidecar(id)
      if (id.endsWith('2')) doomed.push(sidecar)
    }
    await mesh.intention(name, [{ Name: 'web', Action: 'allow' }])
  }
  web = await mesh.register('web', { name: 'web', upstreams: ['api', 'db'] })
  webSidecar = await mesh.sidecar('web')
  const client = await Http1Client.connect(web.upstreams.get('api')!)
  await until('the upstream answers', async () => (await client.get('/')).status === 200)
  client.destroy()
  await until('the TCP upstream answers', () => says(web, 'warm').then(answer => answer === 'warm'))
  for (const sidecar of doomed) await sidecar.kill()
})
afterAll(async () => {
  await mesh.stop()
  await Promise.all([origin.close(), echo.close()])
})

async function says(caller: Registered, text: string): Promise<string | null> {
  const socket = net.connect({ port: caller.upstreams.get('db')!, host: '127.0.0.1' })
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(text)
  const answer = await new Promise<string | null>(resolve => {
    socket.once('data', chunk => resolve(chunk.toString()))
    socket.once('close', () => resolve(null))
  })
  socket.destroy()
  return answer
}

async function askAll(caller: Registered): Promise<void> {
  const clients = await Promise.all(Array.from({ length: 4 }, () => Http1Client.connect(caller.upstreams.get('api')!)))
  const statuses: number[] = []
  for (let round = 0; round < 25; round++)
    statuses.push(...(await Promise.all(clients.map(client => client.send(POST)))).map(({ status }) => status))
  for (const client of clients) client.destroy()
  expect(statuses).toEqual(new Array(100).fill(200))
}

describe('one of two instances is dead', () => {
  it('no HTTP request fails, whatever its method', async () => {
    const before = origin.requests.length
    await askAll(web)
    // Each has been served once.
    expect(origin.requests.length - before).toBe(100)
    const failed = [...(await webSidecar.stats())].filter(([name]) => /^cluster\.api\..*\.upstream_cx_connect_fail$/.test(name))
    expect(failed[0]![1]).toBeGreaterThan(0)
  })

  it('no TCP connection fails', async () => {
    for (let i = 0; i < 30; i++) expect(await says(web, `hello ${i}`)).toBe(`hello ${i}`)
  })

  it.skipIf(envoyBin === undefined)('the real Envoy does the same by that configuration (needs ENVOY_BIN)', async () => {
    const caller = await mesh.register('web-envoy', { name: 'web', upstreams: ['api', 'db'] })
    await mesh.sidecar('web-envoy', envoyBin!)
    await until('the upstream answers', () => says(caller, 'warm').then(answer => answer === 'warm'))
    await askAll(caller)
    for (let i = 0; i < 30; i++) expect(await says(caller, `hello ${i}`)).toBe(`hello ${i}`)
  })
})
