// A whole mesh for integration tests: bin/outrigger control as a real process with its state in a folder, services registered over its
// HTTP API, sidecars from the bootstraps it gives out. Invariant: stop() in afterAll leaves no process and no folder behind.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { freePort, ProxyProcess, until } from './proxy-process.js'

const outriggerBin = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
const run = promisify(execFile)

export interface ServiceShape {
  readonly name: string
  /** Where the application listens; default: nobody does. */
  readonly port?: number
  readonly upstreams?: readonly string[]
  readonly protocol?: 'http' | 'http2' | 'grpc' | 'tcp'
}

export interface Registered {
  /** The sidecar's public mTLS port. */
  readonly publicPort: number
  /** Upstream name -> local port of the sidecar. */
  readonly upstreams: ReadonlyMap<string, number>
}

export interface ProxyState {
  readonly Connected: boolean
  readonly Synced: boolean
  readonly AcknowledgedIndex: number
}

export class MeshFixture {
  readonly dir = mkdtempSync(join(tmpdir(), 'outrigger-mesh-'))
  httpPort = 0
  grpcPort = 0
  log = ''
  private child: ChildProcess | null = null
  private readonly flags: readonly string[]
  private readonly proxies: ProxyProcess[] = []

  constructor(flags: readonly string[] = []) {
    this.flags = flags
  }

  async start(): Promise<this> {
    if (this.httpPort === 0) {
      this.httpPort = await freePort()
      this.grpcPort = await freePort()
    }
    const addresses = ['--http-addr', `127.0.0.1:${this.httpPort}`, '--grpc-addr', `127.0.0.1:${this.grpcPort}`]
    const argv = [outriggerBin, 'control', '--data-dir', join(this.dir, 'state'), '--log-level', 'warn', ...addresses, ...this.flags]
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child = child
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (this.log += chunk))
    await until(
      'the control plane answers',
      async () => {
        if (child.exitCode !== null) throw new Error(`it ended: ${this.log}`)
        return (await fetch(`${this.url}/v1/status/leader`)).ok
      },
      20_000,
    )
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`
  }

  /** kill -9: nothing is flushed, nobody is told. */
  async kill(): Promise<void> {
    const { child } = this
    this.child = null
    if (child === null) return
    const gone = once(child, 'exit')
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await gone
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.proxies.map(proxy => proxy.kill()))
    await this.kill()
    rmSync(this.dir, { recursive: true, force: true })
  }

  /** The index of the write: what `acknowledged` waits for. Rejects unless the answer is 200. */
  async write(path: string, body?: object, method = 'PUT'): Promise<number> {
    const { index } = await this.writeFor(path, body, method)
    return index
  }

  async writeFor(path: string, body?: object, method = 'PUT'): Promise<{ index: number; text: string }> {
    const response = await fetch(`${this.url}${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    const text = await response.text()
    if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return { index: Number(response.headers.get('x-consul-index') ?? 0), text }
  }

  // biome-ignore lint/suspicious/noExplicitAny: JSON of the API under test
  async read<T = any>(path: string): Promise<T> {
    const response = await fetch(`${this.url}${path}`)
    if (response.status !== 200) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as T
  }

  async register(id: string, { name, port, upstreams = [], protocol = 'http' }: ServiceShape): Promise<Registered> {
    const publicPort = await freePort()
    const binds = new Map<string, number>()
    for (const upstream of upstreams) binds.set(upstream, await freePort())
    await this.write('/v1/config', { Kind: 'service-defaults', Name: name, Protocol: protocol })
    await this.write('/v1/agent/service/register', {
      ID: id,
      Name: name,
      Port: port ?? 1,
      Connect: {
        SidecarService: {
          Address: '127.0.0.1',
          Port: publicPort,
          Proxy: { Upstreams: [...binds].map(([DestinationName, LocalBindPort]) => ({ DestinationName, LocalBindPort })) },
        },
      },
    })
    return { publicPort, upstreams: binds }
  }

  /** Starts the sidecar of an instance and waits until it has all of its config. */
  async sidecar(id: string, bin?: string): Promise<ProxyProcess> {
    const { admin: _own, ...bootstrap } = await this.read<Record<string, unknown>>(`/v1/outrigger/bootstrap/${id}-sidecar-proxy`)
    const proxy = await ProxyProcess.start({
      bootstrap,
      ...(bin === undefined ? {} : { bin, flags: ['--base-id', String(process.pid % 60_000)] }),
    })
    this.proxies.push(proxy)
    await this.acknowledged(id, 0)
    return proxy
  }

  async state(id: string): Promise<ProxyState> {
    return await this.read<ProxyState>(`/v1/outrigger/proxies/${id}-sidecar-proxy`)
  }

  /** Resolves once the sidecar has acknowledged all that was written up to that index. */
  async acknowledged(id: string, index: number): Promise<void> {
    await until(`${id} acknowledges index ${index}`, async () => {
      const state = await this.state(id)
      return (state.Connected && state.Synced && state.AcknowledgedIndex >= index) || Promise.reject(new Error(JSON.stringify(state)))
    })
  }

  intention(destination: string, sources: readonly object[]): Promise<number> {
    return this.write('/v1/config', { Kind: 'service-intentions', Name: destination, Sources: sources })
  }

  /** Runs a command of bin/outrigger against this mesh; resolves with its standard output. */
  async outrigger(...args: readonly string[]): Promise<string> {
    const { stdout } = await run(process.execPath, [outriggerBin, ...args, '--http-addr', `127.0.0.1:${this.httpPort}`])
    return stdout
  }

  /** Certificate and key of a service, as a client of the mesh shows them. */
  async leaf(service: string): Promise<{ cert: string; key: string; ca: string; uri: string }> {
    const { CertPEM, PrivateKeyPEM, ServiceURI } = await this.read(`/v1/agent/connect/ca/leaf/${service}`)
    const ca = await (await fetch(`${this.url}/v1/connect/ca/roots?pem=true`)).text()
    return { cert: CertPEM, key: PrivateKeyPEM, ca, uri: ServiceURI }
  }
}
