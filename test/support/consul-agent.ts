// A real Consul (CONSUL_BIN) as a control plane for tests: one server agent with Connect and xDS on free ports, its state in a folder of
// its own; its HTTP API; the bootstraps that `consul connect envoy` prints, and sidecars started with them or by that command itself.
// Invariant: stopAll() and stop() in afterAll leave no process and no folder behind.
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ControlPlaneProcess } from './control-plane-process.js'
import { freePort, ProxyProcess, proxyBin } from './proxy-process.js'

export const consulBin = process.env['CONSUL_BIN']
const execute = promisify(execFile)
const STARTS_WITHIN_MS = 90_000

export class ConsulAgent extends ControlPlaneProcess {
  private readonly bin: string

  constructor(bin = consulBin ?? 'consul') {
    super('outrigger-consul-')
    this.bin = bin
  }

  /** Starts the server, or starts it again after kill() with the same ports and state; resolves when it has a leader and a CA. */
  async start(config: object = {}): Promise<this> {
    const file = join(this.dir, 'agent.json')
    if (this.httpPort === 0) {
      await this.choosePorts()
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
    await this.run(this.bin, ['agent', `-config-file=${file}`], '/v1/connect/ca/roots', STARTS_WITHIN_MS)
    return this
  }

  // biome-ignore lint/suspicious/noExplicitAny: JSON of the API under test
  async api<T = any>(method: string, path: string, body?: object): Promise<T> {
    const { text } = await this.request(method, path, body)
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
    const { stdout } = await execute(this.bin, [...args], { env: this.environment, maxBuffer: 1 << 24 })
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

  private get environment(): NodeJS.ProcessEnv {
    return { ...process.env, CONSUL_HTTP_ADDR: this.url, CONSUL_GRPC_ADDR: `http://127.0.0.1:${this.grpcPort}` }
  }
}
