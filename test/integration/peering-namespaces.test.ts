// Two meshes in two network namespaces, each with addresses of its own and one link between them: control planes, sidecars and mesh gateways have
// no other way to each other. The test itself stands in neither: it asks by socket files. Needs root; elsewhere it is skipped by name.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../support/proxy-process.js'

const outriggerBin = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
/** Root, and allowed to make namespaces. */
const missing = ((): string => {
  if (process.getuid?.() !== 0) return 'needs root'
  try {
    execFileSync('ip', ['netns', 'add', `probe-${process.pid}`])
    execFileSync('ip', ['netns', 'del', `probe-${process.pid}`])
    return ''
  } catch {
    return 'needs network namespaces'
  }
})()

class Place {
  readonly namespace: string
  readonly api: string
  private readonly children: ChildProcess[] = []

  constructor(
    readonly dir: string,
    readonly name: string,
    readonly address: string,
  ) {
    this.namespace = `outrigger-${name}-${process.pid}`
    this.api = join(dir, `${name}.sock`)
  }

  ip(...args: string[]): void {
    execFileSync('ip', ['-n', this.namespace, ...args])
  }

  start(...argv: string[]): void {
    const all = ['netns', 'exec', this.namespace, process.execPath, outriggerBin, ...argv]
    this.children.push(spawn('ip', all, { stdio: ['ignore', 'ignore', 'inherit'] }))
  }

  /** The control plane, at an address that only the other namespace and this one reach. */
  async control(): Promise<void> {
    const tls = ['--grpc-tls-addr', `${this.address}:8503`, '--allow-open', '--node-address', this.address]
    const state = ['--data-dir', join(this.dir, this.name), '--datacenter', this.name, '--dns-addr', 'off', '--log-level', 'error']
    this.start('control', '--http-addr', `unix://${this.api}`, '--grpc-addr', '127.0.0.1:8502', ...tls, ...state)
    await until(`${this.name} answers`, async () => (await ask(this.api, '/v1/status/leader')).status === 200)
  }

  proxy(admin: number, ...argv: string[]): void {
    this.start(...argv, '--http-addr', `unix://${this.api}`, '--admin-bind', `127.0.0.1:${admin}`, '--', '--log-level', 'error')
  }

  async outrigger(...argv: string[]): Promise<string> {
    return (await promisify(execFile)(process.execPath, [outriggerBin, ...argv, '--http-addr', `unix://${this.api}`])).stdout
  }

  async put(path: string, body: object): Promise<void> {
    const { status, text } = await ask(this.api, path, JSON.stringify(body))
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`)
  }

  stop(): void {
    for (const child of this.children) child.kill('SIGKILL')
    execFileSync('ip', ['netns', 'del', this.namespace])
  }
}

function ask(socketPath: string, path: string, body?: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = http.request({ socketPath, path, method: body === undefined ? 'GET' : 'PUT' }, response => {
      let text = ''
      response.on('data', chunk => (text += chunk))
      response.once('end', () => resolve({ status: response.statusCode!, text }))
    })
    sent.once('error', reject)
    sent.end(body)
  })
}

describe.skipIf(missing !== '')(`two network namespaces ${missing}`, () => {
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-places-'))
  const east = new Place(dir, 'east', '10.213.7.1')
  const west = new Place(dir, 'west', '10.213.7.2')
  const application = http.createServer((request, response) => void response.end(`east ${request.url}`))
  const upstream = join(dir, 'upstream.sock')

  beforeAll(async () => {
    for (const { namespace } of [east, west]) execFileSync('ip', ['netns', 'add', namespace])
    east.ip('link', 'add', 'link0', 'type', 'veth', 'peer', 'name', 'link0', 'netns', west.namespace)
    for (const place of [east, west]) {
      place.ip('addr', 'add', `${place.address}/24`, 'dev', 'link0')
      place.ip('link', 'set', 'lo', 'up')
      place.ip('link', 'set', 'link0', 'up')
    }
    await new Promise<void>(resolve => application.listen(join(dir, 'api.sock'), resolve))
    await Promise.all([east.control(), west.control()])

    await east.put('/v1/config', { Kind: 'service-defaults', Name: 'api', Protocol: 'http' })
    await east.put('/v1/config', {
      Kind: 'service-intentions',
      Name: 'api',
      Sources: [{ Name: 'web', Peer: 'west', Action: 'allow' }],
    })
    const sidecar = { Address: east.address, Port: 20_000 }
    await east.put('/v1/agent/service/register', { Name: 'api', SocketPath: join(dir, 'api.sock'), Connect: { SidecarService: sidecar } })
    await west.put('/v1/config', { Kind: 'service-defaults', Name: 'web', Protocol: 'http', MeshGateway: { Mode: 'local' } })
    const Upstreams = [{ DestinationName: 'api', DestinationPeer: 'east', LocalBindSocketPath: upstream, LocalBindSocketMode: '0600' }]
    await west.put('/v1/agent/service/register', {
      Name: 'web',
      Port: 1,
      Connect: { SidecarService: { Address: west.address, Port: 20_000, Proxy: { Upstreams } } },
    })
    const token = (await east.outrigger('peering', 'generate-token', '-name', 'west')).trim()
    await west.outrigger('peering', 'establish', '-name', 'east', '-peering-token', token)
    await east.outrigger('services', 'export', '-name', 'api', '-consumer-peers', 'west')
    east.proxy(19_001, 'connect', 'envoy', '-sidecar-for', 'api')
    east.proxy(19_002, 'gateway', 'mesh', '-address', `${east.address}:8443`)
    west.proxy(19_001, 'connect', 'envoy', '-sidecar-for', 'web')
    west.proxy(19_002, 'gateway', 'mesh', '-address', `${west.address}:8443`)
  })
  afterAll(async () => {
    east.stop()
    west.stop()
    await new Promise(resolve => application.close(resolve))
    rmSync(dir, { recursive: true, force: true })
  })

  const imported = async (): Promise<string[]> =>
    JSON.parse((await ask(west.api, '/v1/imported-services')).text).map(({ Service }: { Service: string }) => Service)
  const answers = () =>
    until('it answers', async () => {
      const { status, text } = await ask(upstream, '/x')
      return text === 'east /x' || Promise.reject(new Error(`${status} ${text}`))
    })

  it('a call goes from one to the other by the gateways of both', async () => {
    await answers()
  })

  it('a link that is cut heals: the peer learns what changed meanwhile, and calls go on', async () => {
    east.ip('link', 'set', 'link0', 'down')
    await east.put('/v1/agent/service/register', { Name: 'more', Port: 2, Address: east.address })
    await east.outrigger('services', 'export', '-name', 'more', '-consumer-peers', 'west')
    expect(await imported()).toEqual(['api'])
    east.ip('link', 'set', 'link0', 'up')
    await until('it is imported', async () => (await imported()).length === 2)
    await answers()
  })
})
