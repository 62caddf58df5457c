// A terminating gateway between a sidecar and services outside of the mesh: plain, over TLS with a client certificate, by host name without
// registration, TCP; with the intentions of each service. The gateway is our proxy, and the real Envoy where ENVOY_BIN names it.
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AnyCa } from '../support/mesh-certificates.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { EchoOrigin, HttpOrigin, http } from '../support/origins.js'
import { type ProxyProcess, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const billing = new HttpOrigin(({ path, headers }, socket) => void socket.write(http(`billing ${path} ${headers.get('host')}`)))
const echo = new EchoOrigin()
const ca = new AnyCa('Outside CA')
const server = ca.leaf({ dns: ['vault.example.com'] })
const vault = https.createServer({ ...server, ca: ca.pem, requestCert: true, rejectUnauthorized: true }, (request, response) => {
  response.end(
    `vault for ${(request.socket as TLSSocket).getPeerCertificate().subject.CN}, asked as ${(request.socket as TLSSocket).servername}`,
  )
})
const mesh = new MeshFixture()
let web: Registered

async function define(Name: string, Protocol: string, more: object = {}): Promise<void> {
  await mesh.write('/v1/config', { Kind: 'service-defaults', Name, Protocol, ...more })
}

async function ask(service: string, path = '/'): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${web.upstreams.get(service)}${path}`)
  return { status: response.status, text: await response.text() }
}

const allow = (service: string, Action = 'allow') => mesh.intention(service, [{ Name: 'web', Action }])

beforeAll(async () => {
  await Promise.all([billing.listen(), echo.listen(), new Promise<void>(resolve => vault.listen(0, '127.0.0.1', resolve))])
  await mesh.start()
  const client = ca.leaf({ commonName: 'the gateway' })
  for (const [name, pem] of [
    ['ca.pem', ca.pem],
    ['revoking.pem', ca.pem + ca.crl([Buffer.from(new X509Certificate(server.cert).serialNumber, 'hex')])],
    ['client.pem', client.cert],
    ['client.key', client.key],
  ] as const)
    writeFileSync(join(mesh.dir, name), pem)
  web = await mesh.register('web', { name: 'web', upstreams: ['billing', 'vault', 'impostor', 'revoked', 'partner', 'legacy'] })
  await define('billing', 'http')
  await define('vault', 'http')
  await define('impostor', 'http')
  await define('revoked', 'http')
  await define('legacy', 'tcp')
  await define('partner', 'http', { Destination: { Addresses: ['localhost'], Port: billing.port } })
  for (const [Name, Port] of [
    ['billing', billing.port],
    ['vault', (vault.address() as AddressInfo).port],
    ['impostor', (vault.address() as AddressInfo).port],
    ['revoked', (vault.address() as AddressInfo).port],
    ['legacy', echo.port],
  ] as const)
    await mesh.write('/v1/agent/service/register', { Name, Port, Address: '127.0.0.1' })
  const tls = { CAFile: join(mesh.dir, 'ca.pem'), CertFile: join(mesh.dir, 'client.pem'), KeyFile: join(mesh.dir, 'client.key') }
  for (const gateway of ['exit', 'exit-envoy'])
    await mesh.write('/v1/config', {
      Kind: 'terminating-gateway',
      Name: gateway,
      Services: [
        { Name: 'billing' },
        { Name: 'vault', ...tls, SNI: 'vault.example.com' },
        { Name: 'impostor', ...tls, SNI: 'another.example.com' },
        { Name: 'revoked', ...tls, CAFile: join(mesh.dir, 'revoking.pem'), SNI: 'vault.example.com' },
        { Name: 'partner' },
        { Name: 'legacy' },
      ],
    })
  for (const service of ['billing', 'vault', 'impostor', 'revoked', 'partner', 'legacy']) await allow(service)
  await mesh.sidecar('web')
})
afterAll(async () => {
  await mesh.stop()
  await Promise.all([billing.close(), echo.close()])
  vault.close()
})

const proxies = [
  ['outrigger-proxy', 'exit', undefined],
  ...(envoyBin ? [['the real Envoy', 'exit-envoy', envoyBin] as const] : []),
] as const

describe.each(proxies)('a terminating gateway: %s', (_label, name, bin) => {
  let gateway: ProxyProcess
  beforeAll(async () => {
    const other = name === 'exit' ? 'exit-envoy' : 'exit'
    await mesh.write(`/v1/agent/service/deregister/${other}`).catch(() => {})
    await mesh.registerGateway('terminating-gateway', name)
    gateway = await mesh.gateway(name, bin)
    await mesh.acknowledged('web', await allow('billing'))
  })
  afterAll(() => gateway.kill())

  it('hands requests to an instance that has no sidecar', async () => {
    expect(await ask('billing', '/invoice')).toMatchObject({ status: 200, text: expect.stringMatching(/^billing \/invoice /) })
  })

  it('speaks TLS to a service with its client certificate and server name', async () => {
    expect(await ask('vault')).toEqual({ status: 200, text: 'vault for the gateway, asked as vault.example.com' })
  })

  it('refuses a server whose certificate is not the name that was asked for', async () => {
    expect((await ask('impostor')).status).toBe(503)
  })

  it('refuses a server whose certificate a list beside the CA revokes, and serves the others', async () => {
    expect((await ask('revoked')).status).toBe(503)
    expect((await ask('vault')).status).toBe(200)
  })

  it('reaches a destination by its host name, which the request then names', async () => {
    expect(await ask('partner', '/hello')).toEqual({ status: 200, text: 'billing /hello localhost' })
  })

  it('passes the bytes of a TCP service', async () => {
    const socket = net.connect(web.upstreams.get('legacy')!, '127.0.0.1')
    socket.write('ping')
    expect(String((await once(socket, 'data'))[0])).toBe('ping')
    socket.destroy()
  })

  it('decides by the intentions of the service', async () => {
    await mesh.proxyAcknowledged(name, await allow('billing', 'deny'))
    // Envoy lets a connection that is there end by the rules under which it began.
    await until('it is refused', async () => (await ask('billing')).status === 403)
    await mesh.proxyAcknowledged(name, await allow('billing'))
    await until('it is allowed again', async () => (await ask('billing')).status === 200)
  })

  it('counts under the names of its callers', async () => {
    await until(
      'the request is counted',
      async () => ((await gateway.stats()).get('http.upstream.billing.default.default.dc1.downstream_rq_2xx') ?? 0) > 0,
    )
  })
})

describe('the catalog', () => {
  it('lists what the gateway stands before, and the gateway as the way to it', async () => {
    const linked = await mesh.read('/v1/catalog/gateway-services/exit')
    expect(linked.map(({ Service }: { Service: { Name: string } }) => Service.Name)).toEqual([
      'billing',
      'impostor',
      'legacy',
      'partner',
      'revoked',
      'vault',
    ])
    const way = await mesh.read('/v1/health/connect/billing')
    expect(way).toMatchObject([{ Service: { Kind: 'terminating-gateway' } }])
  })
})
