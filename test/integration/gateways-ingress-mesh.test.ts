// An ingress gateway (host names, headers, limits, the mesh's own certificate, `*`, TCP, DNS) and a mesh gateway (connections handed on by server
// name) before real sidecars. Both gateways are our proxy, and the real Envoy where ENVOY_BIN names it.
import { once } from 'node:events'
import { request } from 'node:http'
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MeshFixture } from '../support/mesh-fixture.js'
import { EchoOrigin, HttpOrigin, http } from '../support/origins.js'
import { freePort, type ProxyProcess, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const origin = new HttpOrigin(({ path, headers }, socket) => void socket.write(http(`api ${path} ${headers.get('x-from') ?? '-'}`)))
const echo = new EchoOrigin()
const mesh = new MeshFixture()
const ports = { http: 0, wild: 0, tls: 0, tcp: 0, mesh: 0 }

function ask(port: number, host: string): Promise<{ status: number; text: string; seen: string | undefined }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path: '/x', headers: { host } }, response => {
      let text = ''
      response.on('data', chunk => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode!, text, seen: response.headers['x-door'] as string | undefined }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

const door = (Hosts = ['api.example.com']): object => ({
  Kind: 'ingress-gateway',
  Name: 'door',
  Listeners: [
    {
      Port: ports.http,
      Protocol: 'http',
      Services: [
        {
          Name: 'api',
          Hosts,
          RequestHeaders: { Add: { 'x-from': 'door' } },
          ResponseHeaders: { Set: { 'x-door': '1' } },
          MaxConnections: 9,
        },
      ],
    },
    { Port: ports.wild, Protocol: 'http', Services: [{ Name: '*' }] },
    { Port: ports.tls, Protocol: 'http', TLS: { Enabled: true }, Services: [{ Name: 'api' }] },
    { Port: ports.tcp, Protocol: 'tcp', Services: [{ Name: 'db' }] },
  ],
})

beforeAll(async () => {
  await Promise.all([origin.listen(), echo.listen()])
  await mesh.start()
  for (const name of ['http', 'wild', 'tls', 'tcp'] as const) ports[name] = await freePort()
  await mesh.register('api', { name: 'api', port: origin.port })
  await mesh.register('db', { name: 'db', port: echo.port, protocol: 'tcp' })
  for (const service of ['api', 'db'])
    await mesh.intention(service, [
      { Name: 'door', Action: 'allow' },
      { Name: 'client', Action: 'allow' },
    ])
  await mesh.write('/v1/config', door())
  await mesh.write('/v1/agent/service/register', { Kind: 'ingress-gateway', Name: 'door', Address: '127.0.0.1' })
  ports.mesh = await mesh.registerGateway('mesh-gateway', 'through')
  await mesh.sidecar('api')
  await mesh.sidecar('db')
})
afterAll(async () => {
  await mesh.stop()
  await Promise.all([origin.close(), echo.close()])
})

const proxies = [['outrigger-proxy', undefined], ...(envoyBin ? [['the real Envoy', envoyBin] as const] : [])] as const

describe.each(proxies)('an ingress gateway: %s', (_label, bin) => {
  let gateway: ProxyProcess
  beforeAll(async () => {
    gateway = await mesh.gateway('door', bin)
    await until('it answers', async () => (await ask(ports.http, 'api.example.com')).status === 200)
  })
  afterAll(() => gateway.kill())

  it('serves a service under its hosts, with its headers', async () => {
    expect(await ask(ports.http, 'api.example.com')).toEqual({ status: 200, text: 'api /x door', seen: '1' })
    expect(await ask(ports.http, `api.example.com:${ports.http}`)).toMatchObject({ status: 200 })
    expect((await ask(ports.http, 'other.example.com')).status).toBe(404)
  })

  it('serves every service of its protocol under its ingress name', async () => {
    expect((await ask(ports.wild, 'api.ingress.consul')).text).toBe('api /x -')
    expect((await ask(ports.wild, 'db.ingress.consul')).status).toBe(404)
  })

  it("shows the mesh's certificate with its ingress names", async () => {
    const ca = await (await fetch(`${mesh.url}/v1/connect/ca/roots?pem=true`)).text()
    const socket = tls.connect({ host: '127.0.0.1', port: ports.tls, servername: 'api.ingress.consul', ca })
    await once(socket, 'secureConnect')
    expect(socket.authorized).toBe(true)
    socket.destroy()
  })

  it('passes the bytes of a TCP service', async () => {
    const socket = net.connect(ports.tcp, '127.0.0.1')
    socket.write('ping')
    expect(String((await once(socket, 'data'))[0])).toBe('ping')
    socket.destroy()
  })

  it('follows a change of hosts', async () => {
    await mesh.proxyAcknowledged('door', await mesh.write('/v1/config', door(['new.example.com'])))
    expect((await ask(ports.http, 'new.example.com')).status).toBe(200)
    await mesh.proxyAcknowledged('door', await mesh.write('/v1/config', door()))
  })
})

describe.each(proxies)('a mesh gateway: %s', (_label, bin) => {
  let gateway: ProxyProcess
  beforeAll(async () => {
    gateway = await mesh.gateway('through', bin)
  })
  afterAll(() => gateway.kill())

  it('hands a connection on by its server name, whose certificates are those of the two ends', async () => {
    const { cert, key, ca } = await mesh.leaf('client')
    const { uri } = await mesh.leaf('db')
    const servername = `db.default.dc1.internal.${new URL(uri).host}`
    const socket = tls.connect({ host: '127.0.0.1', port: ports.mesh, servername, cert, key, ca, checkServerIdentity: () => undefined })
    await once(socket, 'secureConnect')
    expect(socket.getPeerCertificate().subjectaltname).toBe(`URI:${uri}`)
    socket.write('ping')
    expect(String((await once(socket, 'data'))[0])).toBe('ping')
    socket.destroy()
    await until('it is counted', async () => (await gateway.stat('tcp.mesh_gateway_local.default.downstream_cx_total')) > 0)
  })
})

describe('the catalog', () => {
  it('lists what comes in by the gateway, and the gateway as the way in', async () => {
    const linked = await mesh.read('/v1/catalog/gateway-services/door')
    expect(linked.map(({ Service, Port }: { Service: { Name: string }; Port: number }) => [Service.Name, Port])).toEqual([
      ['api', ports.http],
      ['api', ports.wild],
      ['api', ports.tls],
      ['db', ports.tcp],
    ])
    expect(await mesh.read('/v1/health/ingress/api')).toMatchObject([{ Service: { Kind: 'ingress-gateway', Service: 'door' } }])
  })
})
