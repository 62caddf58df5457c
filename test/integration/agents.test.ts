// Agents of other machines as real processes: a control plane, two agents with a service each behind our sidecars, and what becomes of the mesh
// when an agent is killed, when the control plane comes again, and while it is away.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, ProxyProcess, until } from '../support/proxy-process.js'

const bin = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
const dir = mkdtempSync(join(tmpdir(), 'outrigger-agents-'))
const WITHIN_MS = 60_000

/** `outrigger …` that goes on; started again with the same arguments after a kill. */
class Running {
  log = ''
  private child: ChildProcess | undefined

  constructor(
    readonly httpPort: number,
    private readonly args: readonly string[],
  ) {}

  async start(): Promise<void> {
    const child = spawn(bin, this.args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child = child
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (this.log += chunk))
    await until(
      'its HTTP API',
      async () => {
        if (child.exitCode !== null) throw new Error(`it ended:\n${this.log}`)
        return (await fetch(`${this.url}/v1/agent/version`)).ok
      },
      WITHIN_MS,
    )
  }

  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }

  async put(path: string, body?: object): Promise<void> {
    const response = await fetch(`${this.url}${path}`, { method: 'PUT', ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    expect(response.status, `${path}: ${await response.text()}`).toBe(200)
  }

  async read<T>(path: string): Promise<T> {
    return (await (await fetch(`${this.url}${path}`)).json()) as T
  }
}

interface Entry {
  readonly Node: { readonly Node: string }
}
interface Check {
  readonly CheckID: string
  readonly Status: string
  readonly Output: string
}

const origins = [new HttpOrigin(), new HttpOrigin()]
const proxies: ProxyProcess[] = []
const agents: Running[] = []
/** The only one that each agent gives to an exposed check. */
const exposePorts: number[] = []
let server: Running
let grpcPort: number
let upstreamPort: number

const passing = async (at: Running): Promise<string[]> =>
  (await at.read<Entry[]>('/v1/health/service/api?passing')).map(({ Node }) => Node.Node).sort()
const untilPassing = (at: Running, nodes: readonly string[]): Promise<unknown> =>
  until(`api passes on ${nodes}`, async () => ((await passing(at)).join() === nodes.join() ? true : undefined), WITHIN_MS)

async function sidecar(agent: Running, id: string): Promise<void> {
  const { admin: _own, ...bootstrap } = await agent.read<Record<string, unknown>>(`/v1/outrigger/bootstrap/${id}`)
  proxies.push(await ProxyProcess.start({ bootstrap, untilReady: false }))
}

/** Which origins answer through the mesh. */
async function answers(count: number): Promise<Set<string>> {
  const seen = new Set<string>()
  for (let i = 0; i < count; i++) {
    const { status, body } = await fetchOnce(upstreamPort)
    seen.add(status === 200 ? body : String(status))
  }
  return seen
}

beforeAll(async () => {
  for (const [i, origin] of origins.entries()) {
    await origin.listen()
    origin.respond = (_request, socket) => socket.write(http(`from a${i + 1}`))
  }
  const httpPort = await freePort()
  grpcPort = await freePort()
  writeFileSync(join(dir, 'mesh.yaml'), 'default_intention_policy: allow\n')
  server = new Running(httpPort, [
    ...['control', '--http-addr', `127.0.0.1:${httpPort}`, '--grpc-addr', `127.0.0.1:${grpcPort}`, '--dns-addr', 'off'],
    ...['--data-dir', join(dir, 'server'), '--node-name', 'server', '-c', join(dir, 'mesh.yaml')],
  ])
  await server.start()
  upstreamPort = await freePort()
  for (const i of [1, 2]) {
    const port = await freePort()
    const definitions = join(dir, `a${i}.json`)
    const connect = {
      sidecar_service: {
        port: await freePort(),
        proxy: i === 1 ? { expose: { checks: true } } : { upstreams: [{ destination_name: 'api', local_bind_port: upstreamPort }] },
      },
    }
    const check = { http: `http://127.0.0.1:${origins[i - 1]!.port}/`, interval: '200ms' }
    const exposePort = await freePort()
    const ports = { expose_min_port: exposePort, expose_max_port: exposePort }
    writeFileSync(definitions, JSON.stringify({ ports, services: [{ name: 'api', port: origins[i - 1]!.port, check, connect }] }))
    exposePorts.push(exposePort)
    const agent = new Running(port, [
      ...['agent', '-retry-join', `127.0.0.1:${httpPort}`, '-node', `a${i}`, '-advertise', '127.0.0.1', '-http-port', String(port)],
      ...['-grpc-port', String(await freePort()), '-dns-port', '-1', '-data-dir', join(dir, `a${i}`), '-config-file', definitions],
    ])
    agents.push(agent)
    await agent.start()
  }
  for (const agent of agents) await sidecar(agent, 'api-sidecar-proxy')
}, 120_000)
afterAll(async () => {
  for (const proxy of proxies) await proxy.kill()
  for (const running of [...agents, server]) await running.end('SIGKILL')
  for (const origin of origins) await origin.close()
  rmSync(dir, { recursive: true, force: true })
})

describe('two agents and a control plane', () => {
  it('make one mesh: services of both machines, each behind its own sidecar', async () => {
    await untilPassing(server, ['a1', 'a2'])
    await until('both answer', async () => (await answers(10)).size === 2, WITHIN_MS)
    expect([...(await answers(10))].sort()).toEqual(['from a1', 'from a2'])
  })

  it('a check that its sidecar exposes goes through it, to that path alone', async () => {
    const [port] = exposePorts
    const check = await until('the check', async () => {
      const checks = await server.read<(Check & { readonly ExposedPort: number })[]>('/v1/health/node/a1')
      return checks.find(({ CheckID, Status, Output }) => CheckID === 'service:api' && Status === 'passing' && Output.includes(`:${port}/`))
    })
    expect(check.ExposedPort).toBe(port)
    expect(await fetchOnce(port!)).toMatchObject({ status: 200, body: 'from a1' })
    expect(await fetchOnce(port!, '/other')).toMatchObject({ status: 404 })
    const [elsewhere] = (await server.read<{ ExposedPort: number; CheckID: string }[]>('/v1/health/node/a2')).filter(
      ({ CheckID }) => CheckID === 'service:api',
    )
    expect(elsewhere!.ExposedPort).toBe(0)
  })

  it('one that is killed is critical, and its instances are used no more; it comes back', async () => {
    await agents[0]!.end('SIGKILL')
    await until(
      'serfHealth is critical',
      async () => {
        const checks = await server.read<Check[]>('/v1/health/node/a1')
        return checks.find(({ CheckID }) => CheckID === 'serfHealth')?.Status === 'critical'
      },
      WITHIN_MS,
    )
    expect(await passing(server)).toEqual(['a2'])
    await until('only the other answers', async () => [...(await answers(6))].join() === 'from a2', WITHIN_MS)
    await agents[0]!.start()
    await untilPassing(server, ['a1', 'a2'])
    await until('both answer', async () => (await answers(10)).size === 2, WITHIN_MS)
  })

  it('while the control plane is away they answer for it, and afterwards say what has happened', async () => {
    const agent = agents[1]!
    expect(await passing(agent)).toEqual(['a1', 'a2'])
    await server.end('SIGKILL')
    const stale = await fetch(`${agent.url}/v1/health/service/api?passing`)
    expect(stale.headers.get('x-cache')).toBe('HIT')
    expect(stale.headers.get('x-consul-knownleader')).toBe('false')
    expect(((await stale.json()) as Entry[]).map(({ Node }) => Node.Node).sort()).toEqual(['a1', 'a2'])
    expect(Object.keys(await agent.read<object>('/v1/agent/services')).sort()).toEqual(['api', 'api-sidecar-proxy'])
    expect((await answers(4)).has('503'), 'the sidecars keep what they have').toBe(false)
    await agent.put('/v1/agent/service/register', { Name: 'meanwhile', Port: 1 })
    await server.start()
    await until('the new service', async () => (await server.read<unknown[]>('/v1/catalog/service/meanwhile')).length === 1, WITHIN_MS)
    await untilPassing(server, ['a1', 'a2'])
  })

  it('one that leaves in order takes its node along', async () => {
    await agents[0]!.end('SIGINT')
    expect((await server.read<{ Node: string }[]>('/v1/catalog/nodes')).map(({ Node }) => Node)).toEqual(['a2', 'server'])
    expect(await passing(server)).toEqual(['a2'])
  })
})
