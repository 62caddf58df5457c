// A real Consul (CONSUL_BIN) as a control plane for tests: one server agent with Connect and xDS on free ports, its state in a folder of
// its own; its HTTP API; the bootstraps that `consul connect envoy` prints, and sidecars started with them or by that command itself.
// Invariant: stopAll() and stop() in afterAll leave no process and no folder behind.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort, ProxyProcess, proxyBin, until } from './proxy-process.js'

export const consulBin = process.env['CONSUL_BIN']
const run = promisify(execFile)
const STARTS_WITHIN_MS = 30_000

export class ConsulAgent {
  readonly dir = mkdtempSync(join(tmpdir(), 'outrigger-consul-'))
  httpPort = 0
  grpcPort = 0
  log = ''
  private child: ChildProcess | null = null
  private readonly bin: string
  private readonly proxies: ProxyProcess[] = []

  constructor(bin = consulBin ?? 'consul') {
    this.bin = bin
  }

  /** Starts the server, or starts it again after kill() with the same ports and state; resolves when it has a leader and a CA. */
  async start(config: object = {}): Promise<this> {
    const file = join(this.dir, 'agent.json')
    if (this.httpPort === 0) {
      this.httpPort = await freePort()
      this.grpcPort = await freePort()
      const ports = { http: this.httpPort, grpc: this.grpcPort, grpc_tls: -1, https: -1, dns: -1, serf_wan: -1 }
      const whole = {
        server: true,
        bootstrap_expect: 1,
        node_name: 'one',
        data_dir: join(this.dir, 'state'),
        bind_addr: '127.0.0.1',
        client_addr: '127.0.0.1',
        disable_update_check: true,
        disable_keyring_file: true,
        connect: { enabled: true },
        performance: { raft_multiplier: 1 },
        ports: { ...ports, server: await freePort(), serf_lan: await freePort() },
        log_level: 'warn',
        ...config,
      }
      writeFileSync(file, JSON.stringify(whole))
    }
    const child = spawn(this.bin, ['agent', `-config-file=${file}`], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child = child
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (this.log += chunk))
    await until(
      'Consul has a CA',
      async () => {
        if (child.exitCode !== null) throw new Error(`it ended: ${this.log}`)
        return (await fetch(`${this.url}/v1/connect/ca/roots`)).ok
      },
      STARTS_WITHIN_MS,
    )
    return this
  }

  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`
  }

  /** kill -9 of the agent; start() brings it back. */
  async kill(): Promise<void> {
    const { child } = this
    this.child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  async stop(): Promise<void> {
    await Promise.all(this.proxies.map(proxy => proxy.kill()))
    await this.kill()
    rmSync(this.dir, { recursive: true, force: true })
  }

  // biome-ignore lint/suspicious/noExplicitAny: JSON of the API under test
  async api<T = any>(method: string, path: string, body?: object): Promise<T> {
    const response = await fetch(`${this.url}${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    const text = await response.text()
    if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  put(path: string, body?: object): Promise<unknown> {
    return this.api('PUT', path, body)
  }

  register(service: object): Promise<unknown> {
    return this.put('/v1/agent/service/register?replace-existing-checks=true', service)
  }

  /** Writes a config entry. */
  entry(kind: string, name: string, body: object): Promise<unknown> {
    return this.put('/v1/config', { Kind: kind, Name: name, ...body })
  }

  intention(destination: string, sources: readonly object[], more: object = {}): Promise<unknown> {
    return this.entry('service-intentions', destination, { Sources: sources, ...more })
  }

  /** Runs a command of consul against this agent; resolves with its standard output. */
  async consul(...args: readonly string[]): Promise<string> {
    const { stdout } = await run(this.bin, [...args], { env: this.environment, maxBuffer: 1 << 24 })
    return stdout
  }

  /** What `consul connect envoy -bootstrap` prints: the file an Envoy would be started with. */
  async bootstrap(proxyId: string, adminPort: number, ...flags: readonly string[]): Promise<Record<string, unknown>> {
    const admin = `127.0.0.1:${adminPort}`
    return JSON.parse(await this.consul('connect', 'envoy', '-bootstrap', '-proxy-id', proxyId, '-admin-bind', admin, ...flags))
  }

  /** A sidecar with exactly the bootstrap that Consul prints for that proxy. */
  async sidecar(proxyId: string, options: { readonly bin?: string; readonly flags?: readonly string[] } = {}): Promise<ProxyProcess> {
    const adminPort = await freePort()
    const bootstrap = await this.bootstrap(proxyId, adminPort, ...(options.flags ?? []))
    return this.keep(await ProxyProcess.start({ bootstrap, adminPort, ...(options.bin === undefined ? {} : { bin: options.bin }) }))
  }

  /**
   * `consul connect envoy <what> -envoy-binary ...`: Consul itself writes the bootstrap into a pipe and execs the binary. The version is
   * not compared: 1.40 is newer than any Envoy that Consul 1.21 knows.
   */
  async launch(what: readonly string[], bin = proxyBin): Promise<ProxyProcess> {
    const adminPort = await freePort()
    const admin = ['-admin-bind', `127.0.0.1:${adminPort}`]
    const command = ['connect', 'envoy', ...what, ...admin, '-envoy-binary', bin, '-ignore-envoy-compatibility']
    return this.keep(await ProxyProcess.start({ bin: this.bin, argv: command, env: this.environment, adminPort, bootstrap: {} }))
  }

  private keep(proxy: ProxyProcess): ProxyProcess {
    this.proxies.push(proxy)
    return proxy
  }

  private get environment(): NodeJS.ProcessEnv {
    return { ...process.env, CONSUL_HTTP_ADDR: this.url, CONSUL_GRPC_ADDR: `http://127.0.0.1:${this.grpcPort}` }
  }
}
