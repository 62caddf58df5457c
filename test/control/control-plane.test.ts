import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ControlPlane, type ControlPlaneOptions } from '../../src/control/control-plane.js'
import { CLUSTER_TYPE, LISTENER_TYPE } from '../../src/xds/type-urls.js'
import { TestSidecar } from './test-sidecar.js'

// biome-ignore lint/suspicious/noExplicitAny: answers of the API are looked into freely.
type Json = any

let dir: string
const planes: ControlPlane[] = []
const sidecars: TestSidecar[] = []
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-control-'))
})
afterEach(async () => {
  for (const sidecar of sidecars.splice(0)) sidecar.close()
  for (const plane of planes.splice(0)) await plane.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', ...options })
  planes.push(plane)
  await plane.start()
  return plane
}

function connect(plane: ControlPlane, id: string, token?: string): TestSidecar {
  const sidecar = new TestSidecar(plane.grpcAddress, id, token)
  sidecars.push(sidecar)
  return sidecar
}

async function call(
  plane: ControlPlane,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: Json; headers: Headers }> {
  const response = await fetch(`http://${plane.httpAddress}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const json = response.headers.get('content-type')?.includes('json')
  return { status: response.status, body: json ? JSON.parse(text) : text, headers: response.headers }
}

async function put(plane: ControlPlane, path: string, body?: unknown): Promise<void> {
  const { status, body: answer } = await call(plane, 'PUT', path, body)
  expect([status, answer]).toEqual([200, expect.anything()])
}

const web = {
  Name: 'web',
  Port: 9001,
  Connect: {
    SidecarService: { Address: '127.0.0.1', Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: 9191 }] } },
  },
}
const api = (version: number) => ({
  ID: `api-v${version}`,
  Name: 'api',
  Port: 9001 + version,
  Meta: { version: `v${version}` },
  Connect: { SidecarService: { Address: '127.0.0.1' } },
})
const splitter = (v1: number) => ({
  Kind: 'service-splitter',
  Name: 'api',
  Splits: [
    { Weight: v1, ServiceSubset: 'v1' },
    { Weight: 100 - v1, ServiceSubset: 'v2' },
  ],
})

async function mesh(plane: ControlPlane): Promise<void> {
  for (const service of [web, api(1), api(2)]) await put(plane, '/v1/agent/service/register', service)
  for (const name of ['web', 'api']) await put(plane, '/v1/config', { Kind: 'service-defaults', Name: name, Protocol: 'http' })
  await put(plane, '/v1/config', {
    Kind: 'service-resolver',
    Name: 'api',
    Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2' } },
  })
  await put(plane, '/v1/config', splitter(90))
  await put(plane, '/v1/config', { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] })
}

const shares = (sidecar: TestSidecar): number[] => {
  const action = sidecar.routes.get('api')?.virtualHosts[0]?.routes[0]?.action
  const specifier = action?.case === 'route' ? action.value.clusterSpecifier : undefined
  return specifier?.case === 'weightedClusters' ? specifier.value.clusters.map(({ weight }) => weight ?? -1) : []
}

describe('ControlPlane', () => {
  it('serves a sidecar its listeners, clusters, endpoints and routes, and moves the split when the entry changes', async () => {
    const plane = await start()
    await mesh(plane)
    const sidecar = connect(plane, 'web-sidecar-proxy')
    await sidecar.until(() => shares(sidecar).length === 2 && sidecar.endpoints.size === 2)
    expect(shares(sidecar)).toEqual([9000, 1000])
    expect([...sidecar.listeners.keys()].sort()).toEqual(['api:127.0.0.1:9191', 'public_listener:127.0.0.1:21000'])
    const { TrustDomain } = (await call(plane, 'GET', '/v1/connect/ca/roots')).body
    expect([...sidecar.clusters.keys()].sort()).toEqual([
      'local_app',
      `v1.api.default.dc1.internal.${TrustDomain}`,
      `v2.api.default.dc1.internal.${TrustDomain}`,
    ])
    const assignment = sidecar.endpoints.get(`v2.api.default.dc1.internal.${TrustDomain}`)!
    const endpoint = assignment.endpoints[0]!.lbEndpoints[0]!.hostIdentifier
    const address = endpoint.case === 'endpoint' ? endpoint.value.address!.address : undefined
    expect(address?.case === 'socketAddress' && address.value.portSpecifier.value).toBe(21002)

    await put(plane, '/v1/config', splitter(0))
    await sidecar.until(() => shares(sidecar)[0] === 0)
    expect(shares(sidecar)).toEqual([0, 10000])
  })

  it('says per proxy what it has acknowledged, and up to which write', async () => {
    const plane = await start()
    await mesh(plane)
    const before = (await call(plane, 'GET', '/v1/outrigger/proxies/web-sidecar-proxy')).body
    expect(before).toMatchObject({ Connected: false, Synced: false, Service: 'web' })
    const sidecar = connect(plane, 'web-sidecar-proxy')
    const written = Number((await call(plane, 'PUT', '/v1/config', splitter(50))).headers.get('x-consul-index'))
    const state = await poll(plane, 'web-sidecar-proxy', proxy => proxy.Synced && proxy.AcknowledgedIndex >= written)
    expect(shares(sidecar)).toEqual([5000, 5000])
    const clusters = state.Streams[0].Types.find((type: { TypeURL: string }) => type.TypeURL === CLUSTER_TYPE)
    expect(Object.keys(clusters.AckedVersions)).toHaveLength(3)
    const metrics = (await call(plane, 'GET', '/v1/agent/metrics?format=prometheus')).body as string
    expect(Number(/outrigger_control_propagation_seconds_count (\d+)/.exec(metrics)![1])).toBeGreaterThan(0)
  })

  it('keeps a refused update as a NACK with the proxy that sent it', async () => {
    const plane = await start()
    await mesh(plane)
    const sidecar = connect(plane, 'web-sidecar-proxy')
    await poll(plane, 'web-sidecar-proxy', proxy => proxy.Synced)
    sidecar.refuse = { typeUrl: LISTENER_TYPE, message: 'public_listener: no such filter' }
    await put(plane, '/v1/config', { Kind: 'service-intentions', Name: 'web', Sources: [{ Name: 'api', Action: 'allow' }] })
    const state = await poll(plane, 'web-sidecar-proxy', proxy => JSON.stringify(proxy).includes('no such filter'))
    expect(state.Synced).toBe(false)
  })

  it('gives each service its own identity, shared by its instances, and inline certificates of one trust domain', async () => {
    const plane = await start()
    await mesh(plane)
    const one = (await call(plane, 'GET', '/v1/agent/connect/ca/leaf/api')).body
    const again = (await call(plane, 'GET', '/v1/agent/connect/ca/leaf/api')).body
    expect(again.SerialNumber).toBe(one.SerialNumber)
    const certificate = new X509Certificate(one.CertPEM)
    expect(certificate.subjectAltName).toContain('/ns/default/dc/dc1/svc/api')
    expect(one.ServiceURI).toMatch(/^spiffe:\/\/[0-9a-f-]{36}\.consul\/ns\/default\/dc\/dc1\/svc\/api$/)
    // Connect-native programs ask before they register.
    expect((await call(plane, 'GET', '/v1/agent/connect/ca/leaf/nobody')).body.ServiceURI).toMatch(/\/svc\/nobody$/)
  })

  it('sends a new leaf to the service at once when it is rotated, and to no other', async () => {
    const plane = await start()
    await mesh(plane)
    const first = connect(plane, 'api-v1-sidecar-proxy')
    const other = connect(plane, 'web-sidecar-proxy')
    await poll(plane, 'api-v1-sidecar-proxy', proxy => proxy.Synced)
    await poll(plane, 'web-sidecar-proxy', proxy => proxy.Synced)
    const responses = other.responses.length
    const before = first.responses.length
    const rotated = (await call(plane, 'PUT', '/v1/outrigger/ca/rotate-leaf?service=api')).body
    expect(rotated.SerialNumber).not.toBe(rotated.PreviousSerialNumber)
    await first.until(() => first.responses.length > before)
    const state = await poll(plane, 'api-v1-sidecar-proxy', proxy => proxy.Synced)
    expect(state.AcknowledgedIndex).toBeGreaterThanOrEqual(rotated.Index)
    expect(other.responses).toHaveLength(responses)
    expect((await call(plane, 'PUT', '/v1/outrigger/ca/rotate-leaf?service=nobody')).status).toBe(404)
  })

  it('rotates the root with both roots trusted meanwhile', async () => {
    const plane = await start()
    await mesh(plane)
    connect(plane, 'web-sidecar-proxy')
    await poll(plane, 'web-sidecar-proxy', proxy => proxy.Synced)
    const { body } = await call(plane, 'PUT', '/v1/outrigger/ca/rotate-root')
    expect(body.ActiveRootID).not.toBe(body.PreviousRootID)
    const { Roots, ActiveRootID } = (await call(plane, 'GET', '/v1/connect/ca/roots')).body
    expect(ActiveRootID).toBe(body.ActiveRootID)
    expect(Roots).toHaveLength(2)
    expect((await call(plane, 'GET', '/v1/connect/ca/roots?pem')).body.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  })

  it('comes back after a stop with the same identities, entries and versions, so that a reconnect changes nothing', async () => {
    const plane = await start({ dataDir: dir })
    await mesh(plane)
    const sidecar = connect(plane, 'web-sidecar-proxy')
    const before = await poll(plane, 'web-sidecar-proxy', proxy => proxy.Synced)
    const leaf = (await call(plane, 'GET', '/v1/agent/connect/ca/leaf/web')).body
    sidecar.close()
    await plane.stop()
    const again = await start({ dataDir: dir })
    connect(again, 'web-sidecar-proxy')
    const after = await poll(again, 'web-sidecar-proxy', proxy => proxy.Synced)
    const acked = (state: Json): object =>
      Object.fromEntries(state.Streams[0].Types.map((type: Json) => [type.TypeURL, type.AckedVersions]))
    expect(acked(after)).toEqual(acked(before))
    expect((await call(again, 'GET', '/v1/agent/connect/ca/leaf/web')).body.SerialNumber).toBe(leaf.SerialNumber)
  })

  it('keeps private keys sealed on disk when an encryption key is given, and refuses another key', async () => {
    const plane = await start({ dataDir: dir, encryptionKey: 'a secret of some length' })
    await mesh(plane)
    await call(plane, 'GET', '/v1/agent/connect/ca/leaf/api')
    await plane.stop()
    await expect(start({ dataDir: dir, encryptionKey: 'another secret of some length' })).rejects.toThrow(/encryption key/)
    const again = await start({ dataDir: dir, encryptionKey: 'a secret of some length' })
    expect((await call(again, 'GET', '/v1/connect/ca/roots')).status).toBe(200)
  })

  it.each([
    [{ grpcAddr: '0.0.0.0:0' }, /--grpc-addr 0\.0\.0\.0:0: .*token.* and TLS/],
    [{ httpAddr: '0.0.0.0:0' }, /--http-addr 0\.0\.0\.0:0: .*token/],
    [{ httpAddr: 'nonsense' }, /--http-addr "nonsense": must be host:port/],
  ])('refuses to serve other machines without a token: %j', async (options, message) => {
    await expect(start(options)).rejects.toThrow(message)
  })

  it('names the address that is in use', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    try {
      await expect(start({ httpAddr: `127.0.0.1:${port}` })).rejects.toThrow(`--http-addr 127.0.0.1:${port}: the address is already in use`)
      await expect(start({ grpcAddr: `127.0.0.1:${port}` })).rejects.toThrow(`--grpc-addr 127.0.0.1:${port}: the address is already in use`)
    } finally {
      server.close()
    }
  })

  it('closes a stream without the token, and one with a wrong one', async () => {
    const plane = await start({ grpcToken: 'right' })
    await mesh(plane)
    for (const [token, code] of [
      [undefined, 16],
      ['wrong', 7],
    ] as const) {
      const sidecar = connect(plane, 'web-sidecar-proxy', token)
      await sidecar.until(() => sidecar.error !== undefined)
      expect(sidecar.error!.code).toBe(code)
      expect(sidecar.listeners.size).toBe(0)
    }
    const sidecar = connect(plane, 'web-sidecar-proxy', 'right')
    await sidecar.until(() => sidecar.listeners.size === 2)
  })

  it('serves a proxy that connects before it is registered, and removes the config of a deregistered one from nobody else', async () => {
    const plane = await start()
    const sidecar = connect(plane, 'web-sidecar-proxy')
    await mesh(plane)
    const v2 = () => [...sidecar.clusters.keys()].find(cluster => cluster.startsWith('v2.'))
    await sidecar.until(() => sidecar.listeners.size === 2 && v2() !== undefined)
    await put(plane, '/v1/agent/service/deregister/api-v2')
    const name = v2()!
    await sidecar.until(() => sidecar.endpoints.get(name)?.endpoints[0]?.lbEndpoints.length === 0)
    expect((await call(plane, 'GET', '/v1/agent/services')).body).not.toHaveProperty('api-v2-sidecar-proxy')
  })
})

async function poll(plane: ControlPlane, id: string, check: (proxy: Json) => boolean): Promise<Json> {
  for (;;) {
    const { body } = await call(plane, 'GET', `/v1/outrigger/proxies/${id}`)
    if (check(body)) return body
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
