// Agents of other machines against a real control plane, in one process: leases, sync, what is forwarded and what is kept, DNS, gRPC, rights.
// Terms are short here; test/integration/agents.test.ts has real processes and real terms.

import { Resolver } from 'node:dns/promises'
import { mkdtempSync, rmSync } from 'node:fs'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { ClientAgent, type ClientAgentOptions } from '../../../src/control/agent/client-agent.js'
import { ControlPlane, type ControlPlaneOptions } from '../../../src/control/control-plane.js'
import { parseAddress } from '../../../src/control/http-api/listen-addresses.js'
import { AnyCa } from '../../support/mesh-certificates.js'
import { freePort, until } from '../../support/proxy-process.js'
import { TestSidecar } from '../test-sidecar.js'

const MANAGEMENT = 'c7d9fe42-9a51-4f0e-8b6b-54b0f5f60a77'
const TERMS = { ttlMs: 900, reapAfterMs: 60_000 }
const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const plane = new ControlPlane({
    httpAddr: '127.0.0.1:0',
    grpcAddr: '127.0.0.1:0',
    nodeName: 'server',
    defaultIntentionPolicy: 'allow',
    agents: TERMS,
    dns: { address: { host: '127.0.0.1', port: 0 } },
    ...options,
  })
  await plane.start()
  cleanups.push(() => plane.stop())
  return plane
}

interface Lines {
  readonly agent: ClientAgent
  readonly log: string[]
}

async function startAgent(address: string, options: Partial<ClientAgentOptions> = {}): Promise<Lines> {
  const log: string[] = []
  const add = (_fields: object, message: string): void => void log.push(message)
  const agent = new ClientAgent({
    servers: [parseAddress(address, 'server')],
    httpAddr: '127.0.0.1:0',
    grpcAddr: { host: '127.0.0.1', port: 0 },
    dns: { address: { host: '127.0.0.1', port: 0 } },
    nodeName: 'a1',
    nodeAddress: '10.1.0.1',
    retryMs: 50,
    log: { debug: add, info: add, warn: add, error: add },
    ...options,
  })
  await agent.start()
  cleanups.push(() => agent.stop())
  return { agent, log }
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

async function call(address: string, method: string, path: string, body?: unknown, token?: string): Promise<Answer> {
  const response = await fetch(`http://${address}${path}`, {
    method,
    headers: token === undefined ? {} : { 'x-consul-token': token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

async function json<T>(address: string, path: string, token?: string): Promise<T> {
  return JSON.parse((await call(address, 'GET', path, undefined, token)).text) as T
}

interface Health {
  readonly Node: { readonly Node: string; readonly Address: string }
  readonly Service: { readonly ID: string }
  readonly Checks: readonly { readonly CheckID: string; readonly Status: string }[]
}
const passing = async (address: string, service: string, token?: string): Promise<string[]> =>
  (await json<Health[]>(address, `/v1/health/service/${service}?passing`, token)).map(({ Node }) => Node.Node)
const untilPassing = (address: string, service: string, nodes: readonly string[]): Promise<unknown> =>
  until(`${service} on ${nodes}`, async () => {
    const found = await passing(address, service)
    return found.sort().join() === nodes.join() || Promise.reject(new Error(found.join()))
  })
const WEB = { Name: 'web', Port: 80, Check: { CheckID: 'web-ttl', TTL: '1h', Status: 'passing' } }

describe('what is on the machine', () => {
  it('is registered, changed and taken out at the control plane', async () => {
    const plane = await startPlane()
    const { agent } = await startAgent(plane.httpAddress)
    expect((await call(agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB)).status).toBe(200)
    await untilPassing(plane.httpAddress, 'web', ['a1'])
    const [entry] = await json<Health[]>(plane.httpAddress, '/v1/health/service/web')
    expect(entry).toMatchObject({ Node: { Node: 'a1', Address: '10.1.0.1' }, Service: { ID: 'web' } })
    expect(entry!.Checks.map(({ CheckID, Status }) => [CheckID, Status]).sort()).toEqual([
      ['serfHealth', 'passing'],
      ['web-ttl', 'passing'],
    ])

    await call(agent.httpAddress, 'PUT', '/v1/agent/check/fail/web-ttl')
    await untilPassing(plane.httpAddress, 'web', [])
    await call(agent.httpAddress, 'PUT', '/v1/agent/check/deregister/web-ttl')
    await untilPassing(plane.httpAddress, 'web', ['a1'])
    await call(agent.httpAddress, 'PUT', '/v1/agent/service/deregister/web')
    await until('the service is gone', async () => (await json<unknown[]>(plane.httpAddress, '/v1/catalog/service/web')).length === 0)
    expect(await json(plane.httpAddress, '/v1/agent/services'), 'nothing of it is the server’s').toEqual({})
  })

  it('that of files too, and what has left them goes', async () => {
    const plane = await startPlane()
    const { agent } = await startAgent(plane.httpAddress)
    const files = { services: [WEB, { name: 'db', port: 5432 }], checks: [], configEntries: [] }
    expect((await agent.applyDefinitions(files)).errors).toEqual([])
    await untilPassing(plane.httpAddress, 'db', ['a1'])
    await agent.applyDefinitions({ ...files, services: [WEB] })
    await untilPassing(plane.httpAddress, 'db', [])
    await untilPassing(plane.httpAddress, 'web', ['a1'])
  })

  it('outlives a restart of the agent, which takes out what was registered by another hand', async () => {
    const plane = await startPlane()
    const dataDir = mkdtempSync(join(tmpdir(), 'outrigger-agent-'))
    cleanups.push(() => rmSync(dataDir, { recursive: true, force: true }))
    const first = await startAgent(plane.httpAddress, { dataDir })
    await call(first.agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB)
    await untilPassing(plane.httpAddress, 'web', ['a1'])
    await first.agent.stop()
    await call(plane.httpAddress, 'PUT', '/v1/catalog/register', {
      Node: 'a1',
      SkipNodeUpdate: true,
      Service: { Service: 'stray', Port: 1 },
    })
    await call(plane.httpAddress, 'PUT', '/v1/catalog/deregister', { Node: 'a1', ServiceID: 'web' })
    const second = await startAgent(plane.httpAddress, { dataDir })
    expect(Object.keys(await json<object>(second.agent.httpAddress, '/v1/agent/services'))).toEqual(['web'])
    await untilPassing(plane.httpAddress, 'web', ['a1'])
    await untilPassing(plane.httpAddress, 'stray', [])
  })

  it('keeps the ports of checks that a config entry has exposed, over a restart too', async () => {
    const plane = await startPlane()
    await call(plane.httpAddress, 'PUT', '/v1/config', { Kind: 'proxy-defaults', Name: 'global', Expose: { Checks: true } })
    const dataDir = mkdtempSync(join(tmpdir(), 'outrigger-agent-'))
    cleanups.push(() => rmSync(dataDir, { recursive: true, force: true }))
    const first = await startAgent(plane.httpAddress, { dataDir })
    const exposedAt = async ({ agent }: Lines, check: string): Promise<number> =>
      (await json<Record<string, { ExposedPort: number }>>(agent.httpAddress, '/v1/agent/checks'))[check]!.ExposedPort
    for (const [Name, port] of [
      ['web', 21_500],
      ['db', 21_501],
    ] as const) {
      const Check = { CheckID: Name, HTTP: 'http://127.0.0.1:1/', Interval: '1h' }
      await call(first.agent.httpAddress, 'PUT', '/v1/agent/service/register', { Name, Port: 80, Check, Connect: { SidecarService: {} } })
      await until(`${Name} is exposed`, async () => (await exposedAt(first, Name)) === port)
    }
    await call(first.agent.httpAddress, 'PUT', '/v1/agent/service/deregister/web')
    await first.agent.stop()
    const second = await startAgent(plane.httpAddress, { dataDir })
    await call(second.agent.httpAddress, 'PUT', '/v1/agent/service/register', { ...WEB, Name: 'late' })
    await untilPassing(plane.httpAddress, 'late', ['a1'])
    expect(await exposedAt(second, 'db')).toBe(21_501)
  })

  it('what the control plane refuses is said once, and the rest is there', async () => {
    const plane = await startPlane()
    await call(plane.httpAddress, 'PUT', '/v1/agent/service/register', { Name: 'Taken', Port: 1 })
    const { agent, log } = await startAgent(plane.httpAddress)
    await call(agent.httpAddress, 'PUT', '/v1/agent/service/register', { Name: 'taken', Port: 2 })
    await call(agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB)
    await untilPassing(plane.httpAddress, 'web', ['a1'])
    expect(log.filter(line => line.includes('differs from the service "Taken" in case alone'))).toHaveLength(1)
  })
})

describe('the lease of a node', () => {
  it('lost: serfHealth critical and out of xDS; held again: back', async () => {
    const plane = await startPlane()
    const dataDir = mkdtempSync(join(tmpdir(), 'outrigger-agent-'))
    cleanups.push(() => rmSync(dataDir, { recursive: true, force: true }))
    const { agent } = await startAgent(plane.httpAddress, { dataDir })
    const ttl = { TTL: '1h', Status: 'passing' }
    await call(agent.httpAddress, 'PUT', '/v1/agent/service/register', {
      ...WEB,
      Connect: { SidecarService: { Port: 20_000, Checks: [ttl] } },
    })
    await call(plane.httpAddress, 'PUT', '/v1/agent/service/register', {
      Name: 'front',
      Port: 1,
      Connect: { SidecarService: { Checks: [ttl], Proxy: { Upstreams: [{ DestinationName: 'web', LocalBindPort: 9_000 }] } } },
    })
    const sidecar = new TestSidecar(plane.grpcAddress, 'front-sidecar-proxy')
    cleanups.push(() => sidecar.close())
    const healthy = (): string =>
      [...sidecar.endpoints.values()]
        .flatMap(({ endpoints }) => endpoints.flatMap(({ lbEndpoints }) => lbEndpoints.map(({ healthStatus }) => String(healthStatus))))
        .join()
    await sidecar.until(() => healthy() === '1')
    await agent.stop()
    await sidecar.until(() => healthy() === '2')
    expect(await passing(plane.httpAddress, 'web')).toEqual([])
    const members = await json<{ Name: string; Status: number }[]>(plane.httpAddress, '/v1/agent/members')
    expect(members.map(({ Name, Status }) => [Name, Status])).toEqual([
      ['server', 1],
      ['a1', 4],
    ])
    await startAgent(plane.httpAddress, { dataDir })
    await sidecar.until(() => healthy() === '1')
  })

  it('lost for too long: the node is removed; so it is when it leaves, at once', async () => {
    const plane = await startPlane({ agents: { ttlMs: 200, reapAfterMs: 200 } })
    const lost = await startAgent(plane.httpAddress)
    const nodes = async (): Promise<string[]> =>
      (await json<{ Node: string }[]>(plane.httpAddress, '/v1/catalog/nodes')).map(({ Node }) => Node)
    await until('a1 joins', async () => (await nodes()).includes('a1'))
    await lost.agent.stop()
    await until('a1 is reaped', async () => !(await nodes()).includes('a1'))
    const leaving = await startAgent(plane.httpAddress, { nodeName: 'a2' })
    await call(leaving.agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB)
    await untilPassing(plane.httpAddress, 'web', ['a2'])
    await leaving.agent.leave()
    expect(await nodes()).toEqual(['server'])
    expect(await json(plane.httpAddress, '/v1/catalog/service/web')).toEqual([])
  })

  it('an agent that lies about its name is refused, and disturbs nobody', async () => {
    const plane = await startPlane()
    const honest = await startAgent(plane.httpAddress)
    await call(honest.agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB)
    await untilPassing(plane.httpAddress, 'web', ['a1'])
    const liar = await startAgent(plane.httpAddress, { nodeName: 'A1', nodeAddress: '10.6.6.6' })
    await call(liar.agent.httpAddress, 'PUT', '/v1/agent/service/register', { ...WEB, ID: 'web-2' })
    expect(liar.log.join('\n')).toMatch(/refuses this node: node "A1" is held by another agent \(node ID [0-9a-f-]{36}, 10\.1\.0\.1\)/)
    const server = await startAgent(plane.httpAddress, { nodeName: 'server' })
    expect(server.log.join('\n')).toContain("is the control plane's own")
    const [entry, ...more] = await json<Health[]>(plane.httpAddress, '/v1/health/service/web')
    expect(more).toEqual([])
    expect(entry).toMatchObject({ Node: { Address: '10.1.0.1' }, Service: { ID: 'web' } })
    expect(await json(liar.agent.httpAddress, '/v1/agent/self')).toMatchObject({ Stats: { consul: { lease: 'refused' } } })
  })

  it('a node that somebody registered by hand, with another ID, is not taken over', async () => {
    const plane = await startPlane()
    await call(plane.httpAddress, 'PUT', '/v1/catalog/register', {
      Node: 'a1',
      ID: '8f246b77-f3e1-ff88-5b48-8ec93abf3e05',
      Address: '10.9.9.9',
    })
    const { log } = await startAgent(plane.httpAddress)
    expect(log.join('\n')).toContain('Node name a1 is reserved by node 8f246b77-f3e1-ff88-5b48-8ec93abf3e05')
  })

  it('of another datacenter, with half a secret or none: refused by the field', async () => {
    const plane = await startPlane()
    const { log } = await startAgent(plane.httpAddress, { datacenter: 'dc9' })
    expect(log.join('\n')).toContain('this is datacenter "dc1", and the agent is of "dc9"')
    const node = { Node: 'x', ID: '8f246b77-f3e1-ff88-5b48-8ec93abf3e05', Address: '10.0.0.1' }
    for (const [body, reason] of [
      [{ ...node, Secret: 'short' }, 'Secret'],
      [{ ...node, ID: '', Secret: 'x'.repeat(32) }, 'ID'],
      [{ ...node, Address: '', Secret: 'x'.repeat(32) }, 'Address'],
    ] as const) {
      const { status, text } = await call(plane.httpAddress, 'PUT', '/v1/outrigger/agents/lease', body)
      expect([status, text]).toEqual([400, expect.stringContaining(reason)])
    }
    expect((await call(plane.httpAddress, 'PUT', '/v1/outrigger/agents/leave', { Node: 'x', Secret: 'y' })).status).toBe(404)
  })

  it('is made to leave by an operator', async () => {
    const plane = await startPlane()
    const { agent } = await startAgent(plane.httpAddress)
    await agent.stop()
    expect((await call(plane.httpAddress, 'PUT', '/v1/agent/force-leave/a1')).status).toBe(200)
    expect((await json<unknown[]>(plane.httpAddress, '/v1/catalog/nodes')).length).toBe(1)
    expect((await call(plane.httpAddress, 'PUT', '/v1/agent/force-leave/a1')).status).toBe(500)
  })
})

describe('what the control plane answers', () => {
  it('comes through the agent, reads and writes; bodies and headers are the server’s', async () => {
    const plane = await startPlane()
    const { agent } = await startAgent(plane.httpAddress)
    expect((await call(agent.httpAddress, 'PUT', '/v1/kv/a/b?flags=7', 'value')).text).toBe('true')
    const raw = await call(agent.httpAddress, 'GET', '/v1/kv/a/b?raw')
    expect(raw.text).toBe('"value"')
    expect(raw.headers.get('x-consul-index')).toMatch(/^\d+$/)
    expect((await call(agent.httpAddress, 'GET', '/v1/kv/nothing')).status).toBe(404)
    expect((await call(agent.httpAddress, 'GET', '/v1/nothing')).status).toBe(404)
    expect(await json(agent.httpAddress, '/v1/agent/self')).toMatchObject({ Config: { NodeName: 'a1', Server: false } })
  })

  it('is asked once for equal blocking reads, and each is woken', async () => {
    const plane = await startPlane()
    const { agent } = await startAgent(plane.httpAddress)
    await call(agent.httpAddress, 'PUT', '/v1/kv/x', 1)
    const index = (await call(agent.httpAddress, 'GET', '/v1/kv/x')).headers.get('x-consul-index')
    const reads = Array.from({ length: 20 }, () => call(agent.httpAddress, 'GET', `/v1/kv/x?raw&index=${index}&wait=30s`))
    const waiting = async (): Promise<number> =>
      (await json<{ Gauges: { Name: string; Value: number }[] }>(plane.httpAddress, '/v1/agent/metrics')).Gauges.find(
        ({ Name }) => Name === 'consul.rpc.queries_blocking',
      )!.Value
    await until('it waits', async () => (await waiting()) === 1)
    await call(plane.httpAddress, 'PUT', '/v1/kv/x', 2)
    expect((await Promise.all(reads)).map(({ text }) => text)).toEqual(Array.from({ length: 20 }, () => '2'))
    // Who goes away leaves nothing behind.
    const abort = new AbortController()
    const left = fetch(`http://${agent.httpAddress}/v1/kv/y?index=${index}0&wait=60s`, { signal: abort.signal }).catch(() => undefined)
    abort.abort()
    await left
    await until('nobody waits', async () => (await waiting()) === 0)
  })

  it('with ?cached is kept fresh by the agent', async () => {
    const plane = await startPlane()
    const { agent } = await startAgent(plane.httpAddress)
    await call(plane.httpAddress, 'PUT', '/v1/agent/service/register', { Name: 'api', Port: 1 })
    const read = (): Promise<Answer> => call(agent.httpAddress, 'GET', '/v1/health/service/api?cached')
    expect((await read()).headers.get('x-cache')).toBe('MISS')
    const hit = await read()
    expect([hit.headers.get('x-cache'), hit.headers.get('age')]).toEqual(['HIT', '0'])
    expect(hit.headers.get('x-consul-knownleader')).toBe('true')
    await call(plane.httpAddress, 'PUT', '/v1/agent/service/register', { Name: 'api', ID: 'api-2', Port: 2 })
    await until('the change, from the cache', async () => {
      const { headers, text } = await read()
      return headers.get('x-cache') === 'HIT' && (JSON.parse(text) as unknown[]).length === 2
    })
  })

  it('stays, with its age, while no server answers; the machine’s own goes on', async () => {
    const httpPort = await freePort()
    const dataDir = mkdtempSync(join(tmpdir(), 'outrigger-plane-'))
    cleanups.push(() => rmSync(dataDir, { recursive: true, force: true }))
    const options = { httpAddr: `127.0.0.1:${httpPort}`, dataDir }
    const plane = await startPlane(options)
    const { agent } = await startAgent(plane.httpAddress)
    await call(agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB)
    await untilPassing(agent.httpAddress, 'web', ['a1'])
    const resolver = new Resolver({ timeout: 20_000, tries: 1 })
    resolver.setServers([agent.dnsAddress])
    expect(await resolver.resolve4('web.service.consul')).toEqual(['10.1.0.1'])
    await plane.stop()

    const stale = await call(agent.httpAddress, 'GET', '/v1/health/service/web?passing')
    expect((JSON.parse(stale.text) as Health[]).map(({ Node }) => Node.Node)).toEqual(['a1'])
    expect(stale.headers.get('x-cache')).toBe('HIT')
    expect(stale.headers.get('x-consul-knownleader')).toBe('false')
    // Consul's clients read a whole number.
    expect(stale.headers.get('x-consul-lastcontact')).toMatch(/^\d+$/)
    expect(Number(stale.headers.get('age'))).toBeGreaterThanOrEqual(0)
    expect(await resolver.resolve4('web.service.consul')).toEqual(['10.1.0.1'])
    const unknown = await call(agent.httpAddress, 'GET', '/v1/kv/never-asked')
    expect([unknown.status, unknown.text]).toEqual([500, expect.stringContaining('No known Consul servers')])
    expect((await call(agent.httpAddress, 'PUT', '/v1/kv/x', 1)).status).toBe(500)
    // Local things are local.
    expect((await call(agent.httpAddress, 'PUT', '/v1/agent/service/register', { Name: 'late', Port: 1 })).status).toBe(200)
    expect(Object.keys(await json<object>(agent.httpAddress, '/v1/agent/services')).sort()).toEqual(['late', 'web'])

    const again = await startPlane(options)
    await untilPassing(again.httpAddress, 'late', ['a1'])
    await untilPassing(again.httpAddress, 'web', ['a1'])
  })

  it('a server that has forgotten everything is told all of it', async () => {
    const httpPort = await freePort()
    const options = { httpAddr: `127.0.0.1:${httpPort}` }
    const plane = await startPlane(options)
    const { agent } = await startAgent(plane.httpAddress)
    await call(agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB)
    await untilPassing(plane.httpAddress, 'web', ['a1'])
    await plane.stop()
    const again = await startPlane(options)
    await untilPassing(again.httpAddress, 'web', ['a1'])
  })

  it('xDS for sidecars of the machine, by the agent’s gRPC port and under the node’s name', async () => {
    const plane = await startPlane()
    const { agent } = await startAgent(plane.httpAddress)
    await call(agent.httpAddress, 'PUT', '/v1/agent/service/register', { ...WEB, Connect: { SidecarService: { Port: 20_000 } } })
    await untilPassing(plane.httpAddress, 'web', ['a1'])
    const sidecar = new TestSidecar(agent.grpcAddress, 'web-sidecar-proxy', undefined, 'a1')
    cleanups.push(() => sidecar.close())
    await sidecar.until(() => sidecar.listeners.size > 0)
    expect([...sidecar.listeners.keys()][0]).toMatch(/^public_listener:/)
    const bootstrap = JSON.stringify(await json(agent.httpAddress, '/v1/outrigger/bootstrap/web-sidecar-proxy'))
    expect(bootstrap).toContain('"node_name":"a1"')
    expect(bootstrap).toContain(`"port_value":${agent.grpcAddress.split(':')[1]}`)
  })
})

describe('where ACLs are on', () => {
  async function guarded(): Promise<{ plane: ControlPlane; token: (grants: object) => Promise<string> }> {
    const plane = await startPlane({ acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT } })
    return {
      plane,
      token: async grants => {
        const { text } = await call(plane.httpAddress, 'PUT', '/v1/acl/token', grants, MANAGEMENT)
        return (JSON.parse(text) as { SecretID: string }).SecretID
      },
    }
  }

  it('the agent joins by its token, and is refused without', async () => {
    const { plane, token } = await guarded()
    const { log } = await startAgent(plane.httpAddress)
    expect(log.join('\n')).toContain('lacks permission \'node:write\' on "a1"')
    const agent = await token({ NodeIdentities: [{ NodeName: 'a2', Datacenter: 'dc1' }], ServiceIdentities: [{ ServiceName: 'web' }] })
    const joined = await startAgent(plane.httpAddress, { nodeName: 'a2', tokens: { agent } })
    expect((await call(joined.agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB)).status, 'nobody’s token').toBe(403)
    const web = await token({ ServiceIdentities: [{ ServiceName: 'web' }] })
    expect((await call(joined.agent.httpAddress, 'PUT', '/v1/agent/service/register', { ...WEB, Name: 'api' }, web)).text).toContain(
      'lacks permission \'service:write\' on "api"',
    )
    expect((await call(joined.agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB, 'nope')).text).toBe('ACL not found')
    expect((await call(joined.agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB, web)).status).toBe(200)
    await until('the service', async () => (await passing(plane.httpAddress, 'web', MANAGEMENT)).join() === 'a2')
    // Forwarded requests are judged where they are answered; what shows no token has the default one.
    expect((await call(joined.agent.httpAddress, 'GET', '/v1/kv/x')).status).toBe(403)
    const reader = await token({ Policies: [{ Name: 'global-management' }] })
    expect((await call(joined.agent.httpAddress, 'PUT', '/v1/agent/token/default', { Token: reader }, MANAGEMENT)).status).toBe(200)
    expect((await call(joined.agent.httpAddress, 'GET', '/v1/kv/x')).status).toBe(404)
  })

  it('what a token may do here is remembered while no server answers', async () => {
    const { plane, token } = await guarded()
    const agent = await token({ NodeIdentities: [{ NodeName: 'a1', Datacenter: 'dc1' }] })
    const web = await token({ ServiceIdentities: [{ ServiceName: 'web' }] })
    const joined = await startAgent(plane.httpAddress, { tokens: { agent } })
    expect((await call(joined.agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB, web)).status).toBe(200)
    await plane.stop()
    expect((await call(joined.agent.httpAddress, 'PUT', '/v1/agent/service/register', { ...WEB, Port: 81 }, web)).status).toBe(200)
    expect((await call(joined.agent.httpAddress, 'PUT', '/v1/agent/service/register', { ...WEB, Name: 'api' }, web)).status).toBe(403)
    const never = await call(joined.agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB, MANAGEMENT)
    expect([never.status, never.text]).toEqual([500, expect.stringContaining('no server answers')])
  })
})

describe('over TLS', () => {
  it('the server is verified, and one of another CA is refused with its reason', async () => {
    const ca = new AnyCa('agents')
    const leaf = ca.leaf({ dns: ['server.dc1.consul'], usages: ['serverAuth'] })
    const plane = await startPlane({
      httpsAddr: '127.0.0.1:0',
      configured: () => ({ tls: { https: { certPem: leaf.cert, keyPem: leaf.key }, grpc: {} } }),
    })
    const serverName = 'server.dc1.consul'
    const { agent } = await startAgent(plane.httpsAddress, { serverTls: { caPem: ca.pem, serverName } })
    await call(agent.httpAddress, 'PUT', '/v1/agent/service/register', WEB)
    await untilPassing(plane.httpAddress, 'web', ['a1'])
    const { log } = await startAgent(plane.httpsAddress, { nodeName: 'a2', serverTls: { caPem: new AnyCa('others').pem, serverName } })
    expect(log.join('\n')).toMatch(/no server: .*(certificate|signature)/)
  })

  it('its own API is served with the operator’s certificate, and with the next one from a reload on; a bad one changes nothing', async () => {
    const plane = await startPlane()
    const ca = new AnyCa('machine')
    const tlsOf = (name: string) => {
      const { cert, key } = ca.leaf({ dns: [name], usages: ['serverAuth'] })
      return { certPem: cert, keyPem: key }
    }
    const { agent } = await startAgent(plane.httpAddress, { httpAddr: 'off', httpsAddr: '127.0.0.1:0', httpsTls: tlsOf('first') })
    expect(agent.httpAddress).toBe('')
    const { host, port } = parseAddress(agent.httpsAddress, 'https')
    const ask = (servername: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const options = { host, port, servername, ca: ca.pem, path: '/v1/agent/self', agent: false as const }
        get(options, response => {
          response.resume().once('end', () => resolve(String(response.statusCode)))
        }).once('error', reject)
      })
    expect(await ask('first')).toBe('200')
    expect(() => agent.useCertificate({ ...tlsOf('second'), keyPem: tlsOf('other').keyPem })).toThrow('TLS of https')
    expect(await ask('first')).toBe('200')
    agent.useCertificate(tlsOf('second'))
    expect(await ask('second')).toBe('200')
    await expect(ask('first')).rejects.toThrow(/altnames|does not match/)
  })
})
