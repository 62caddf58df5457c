// The control plane in front of the real Envoy: its bootstrap, its resources, its certificates. Runs when ENVOY_BIN names the
// executable; skipped by name otherwise.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, type Server } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.js'

const envoy = process.env['ENVOY_BIN']

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

describe.skipIf(!envoy)('the real Envoy as the sidecars of a mesh (needs ENVOY_BIN)', () => {
  let dir: string
  let plane: ControlPlane
  const apps: Server[] = []
  const children: ChildProcess[] = []
  const upstreamPorts = new Map<string, number>()
  const adminPorts = new Map<string, number>()

  async function app(name: string): Promise<number> {
    const server = createHttpServer((request, response) => {
      response.setHeader('x-app', name)
      response.end(JSON.stringify({ name, xfcc: request.headers['x-forwarded-client-cert'], path: request.url }))
    }).listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    apps.push(server)
    return (server.address() as AddressInfo).port
  }

  async function write(path: string, body?: unknown, method = 'PUT'): Promise<Response> {
    const response = await fetch(`http://${plane.httpAddress}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response
  }

  async function register(id: string, name: string, meta: Record<string, string>, upstream?: string, protocol = 'http'): Promise<void> {
    const bind = await freePort()
    upstreamPorts.set(id, bind)
    const Upstreams = upstream === undefined ? [] : [{ DestinationName: upstream, LocalBindPort: bind }]
    await write('/v1/agent/service/register', {
      ID: id,
      Name: name,
      Port: await app(id),
      Meta: meta,
      Connect: { SidecarService: { Address: '127.0.0.1', Port: await freePort(), Proxy: { Upstreams } } },
    })
    await write('/v1/config', { Kind: 'service-defaults', Name: name, Protocol: protocol })
  }

  async function sidecar(id: string): Promise<void> {
    const admin = await freePort()
    adminPorts.set(id, admin)
    const bootstrap = await (
      await fetch(`http://${plane.httpAddress}/v1/outrigger/bootstrap/${id}-sidecar-proxy?admin_bind=127.0.0.1:${admin}`)
    ).text()
    const file = join(dir, `${id}.json`)
    writeFileSync(file, bootstrap)
    const child = spawn(envoy!, ['-c', file, '--base-id', String(admin), '--concurrency', '1', '-l', 'warning'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let log = ''
    child.stderr!.on('data', chunk => {
      log += chunk
    })
    children.push(child)
    for (let state = ''; state !== 'LIVE'; ) {
      if (child.exitCode !== null) throw new Error(`envoy ${id} ended: ${log}`)
      await new Promise(resolve => setTimeout(resolve, 50))
      state = await fetch(`http://127.0.0.1:${admin}/ready`).then(
        async response => (await response.text()).trim(),
        () => '',
      )
    }
    await synced(id)
  }

  async function synced(id: string, index = 0): Promise<void> {
    for (;;) {
      const proxy = (await (await fetch(`http://${plane.httpAddress}/v1/outrigger/proxies/${id}-sidecar-proxy`)).json()) as {
        Synced: boolean
        AcknowledgedIndex: number
      }
      if (JSON.stringify(proxy).includes('"Message"')) throw new Error(`envoy ${id} refused: ${JSON.stringify(proxy)}`)
      if (proxy.Synced && proxy.AcknowledgedIndex >= index) return
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  const request = async (from: string, path = '/', headers = {}): Promise<{ status: number; app: string | null; text: string }> => {
    const response = await fetch(`http://127.0.0.1:${upstreamPorts.get(from)}${path}`, { headers })
    return { status: response.status, app: response.headers.get('x-app'), text: await response.text() }
  }

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'outrigger-envoy-'))
    plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', nodeName: 'node-1' })
    await plane.start()
    await register('web', 'web', {}, 'api')
    await register('batch', 'batch', {}, 'api')
    await register('api-v1', 'api', { version: 'v1' })
    await register('api-v2', 'api', { version: 'v2' })
    await write('/v1/config', {
      Kind: 'service-resolver',
      Name: 'api',
      Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2' } },
    })
    await write('/v1/config', split(50))
    await write('/v1/config', { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] })
    await Promise.all(['web', 'batch', 'api-v1', 'api-v2'].map(sidecar))
  })

  afterAll(async () => {
    for (const child of children) {
      const gone = new Promise(resolve => child.once('exit', resolve))
      if (child.exitCode === null && child.kill('SIGKILL')) await gone
    }
    for (const server of apps) server.close()
    await plane?.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  const split = (v1: number) => ({
    Kind: 'service-splitter',
    Name: 'api',
    Splits: [
      { Weight: v1, ServiceSubset: 'v1' },
      { Weight: 100 - v1, ServiceSubset: 'v2' },
    ],
  })

  it('routes an allowed caller over mTLS and shows the caller to the application', async () => {
    const { status, text } = await request('web', '/hello')
    expect(status).toBe(200)
    expect(JSON.parse(text).xfcc).toMatch(/URI=spiffe:\/\/[^;]+\/ns\/default\/dc\/dc1\/svc\/web/)
  })

  it('refuses a caller without an intention', async () => {
    expect((await request('batch')).status).toBe(403)
  })

  it('splits by weight, and exactly at 0/100', async () => {
    const seen = new Set<string | null>()
    while (seen.size < 2) seen.add((await request('web')).app)
    const written = Number((await write('/v1/config', split(0))).headers.get('x-consul-index'))
    await synced('web', written)
    const after = new Set<string | null>()
    for (let i = 0; i < 40; i++) after.add((await request('web')).app)
    expect([...after]).toEqual(['api-v2'])
  })

  it('takes a router with matches, rewrites, header changes, retries and a failover chain, and a rotated leaf', async () => {
    await write('/v1/config', {
      Kind: 'service-router',
      Name: 'api',
      Routes: [
        {
          Match: {
            HTTP: {
              PathPrefix: '/v1/',
              Header: [{ Name: 'x-test', Prefix: 'a', Invert: true }],
              QueryParam: [{ Name: 'q', Present: true }],
            },
          },
          Destination: {
            ServiceSubset: 'v1',
            PrefixRewrite: '/',
            RequestTimeout: '3s',
            NumRetries: 2,
            RetryOn: ['5xx'],
            RetryOnStatusCodes: [429],
            RequestHeaders: { Set: { 'x-set': '1' }, Add: { 'x-add': '2' }, Remove: ['x-gone'] },
          },
        },
        { Match: { HTTP: { PathRegex: '/r[0-9]+', Methods: ['GET', 'PUT'] } }, Destination: { ServiceSubset: 'v1' } },
      ],
    })
    const written = Number(
      (
        await write('/v1/config', {
          Kind: 'service-resolver',
          Name: 'api',
          Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2' } },
          Failover: { v1: { ServiceSubset: 'v2' } },
          LoadBalancer: { Policy: 'ring_hash', HashPolicies: [{ Field: 'cookie', FieldValue: 'c', CookieConfig: { Session: true } }] },
        })
      ).headers.get('x-consul-index'),
    )
    await synced('web', written)
    const routed = await request('web', '/v1/x?q=1', { 'x-test': 'b' })
    expect([routed.status, routed.app, JSON.parse(routed.text).path]).toEqual([200, 'api-v1', '/x?q=1'])
    expect((await request('web', '/r12')).app).toBe('api-v1')
    expect((await request('web', '/other')).app).toBe('api-v2')
    const rotated = (await (await write('/v1/outrigger/ca/rotate-leaf?service=api')).json()) as { Index: number; SerialNumber: string }
    await synced('api-v2', rotated.Index)
    const certs = await (await fetch(`http://127.0.0.1:${adminPorts.get('api-v2')}/certs`)).text()
    expect(certs).toContain(rotated.SerialNumber.replaceAll(':', '').replace(/^0+/, ''))
    expect((await request('web', '/other')).status).toBe(200)
  })

  it('tags its cluster metrics as Consul does', async () => {
    const text = await (await fetch(`http://127.0.0.1:${adminPorts.get('web')}/stats/prometheus?filter=upstream_rq_total`)).text()
    expect(text).toMatch(
      /envoy_cluster_upstream_rq_total\{[^}]*consul_source_service="web"[^}]*consul_destination_service_subset="v2",consul_destination_service="api"[^}]*\} [1-9]/,
    )
    const http = await (await fetch(`http://127.0.0.1:${adminPorts.get('web')}/stats/prometheus?filter=downstream_rq_total`)).text()
    expect(http).toMatch(/consul_upstream_service="api"[^}]*envoy_http_conn_manager_prefix="upstream"/)
  })

  it('carries a tcp service, called from beside a grpc service', async () => {
    await write('/v1/config', { Kind: 'service-intentions', Name: 'store', Sources: [{ Name: 'ledger', Action: 'allow' }] })
    await register('store', 'store', {}, undefined, 'tcp')
    await register('ledger', 'ledger', {}, 'store', 'grpc')
    await Promise.all([sidecar('store'), sidecar('ledger')])
    expect((await request('ledger')).app).toBe('store')
  })
})
