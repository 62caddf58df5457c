// A whole mesh for integration tests: bin/outrigger control as a real process with its state in a folder, services registered over its
// HTTP API, sidecars from the bootstraps it gives out. Invariant: stop() in afterAll leaves no process and no folder behind.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ControlPlaneProcess } from './control-plane-process.js'
import { freePort, ProxyProcess, until } from './proxy-process.js'

const outriggerBin = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
const execute = promisify(execFile)
/** As long as a sidecar may take: it is the same runtime, on the same busy machine. */
const STARTS_WITHIN_MS = 90_000

export interface ServiceShape {
  readonly name: string
  /** Where the application listens; default: nobody does. */
  readonly port?: number
  readonly upstreams?: readonly string[]
  readonly protocol?: 'http' | 'http2' | 'grpc' | 'tcp'
  readonly meta?: Readonly<Record<string, string>>
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

export class MeshFixture extends ControlPlaneProcess {
  private readonly flags: readonly string[]
  private readonly sidecars = new Set<string>()

  constructor(flags: readonly string[] = []) {
    super('outrigger-mesh-')
    this.flags = flags
  }

  /** `bin`: of another release. */
  async start(bin = outriggerBin): Promise<this> {
    await this.choosePorts()
    const addresses = ['--http-addr', `127.0.0.1:${this.httpPort}`, '--grpc-addr', `127.0.0.1:${this.grpcPort}`]
    const argv = [bin, 'control', '--data-dir', join(this.dir, 'state'), '--log-level', 'warn', ...addresses, ...this.flags]
    await this.run(process.execPath, argv, '/v1/status/leader', STARTS_WITHIN_MS)
    return this
  }

  /** The index of the write: what `acknowledged` waits for. Rejects unless the answer is 200. */
  async write(path: string, body?: object, method = 'PUT'): Promise<number> {
    const { index } = await this.writeFor(path, body, method)
    return index
  }

  async writeFor(path: string, body?: object, method = 'PUT'): Promise<{ index: number; text: string }> {
    const { headers, text } = await this.request(method, path, body)
    return { index: Number(headers.get('x-consul-index') ?? 0), text }
  }

  // biome-ignore lint/suspicious/noExplicitAny: JSON of the API under test
  async read<T = any>(path: string): Promise<T> {
    return JSON.parse((await this.request('GET', path)).text) as T
  }

  async register(id: string, { name, port, upstreams = [], protocol = 'http', meta = {} }: ServiceShape): Promise<Registered> {
    const publicPort = await freePort()
    const binds = new Map<string, number>()
    for (const upstream of upstreams) binds.set(upstream, await freePort())
    await this.write('/v1/config', { Kind: 'service-defaults', Name: name, Protocol: protocol })
    await this.write('/v1/agent/service/register', {
      ID: id,
      Name: name,
      Port: port ?? 1,
      Meta: meta,
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

  /** Starts the sidecar of an instance and waits until it has all of its config, is known to listen, and every other one knows that. */
  async sidecar(id: string, bin?: string, more: readonly string[] = []): Promise<ProxyProcess> {
    const { admin: _own, ...bootstrap } = await this.read<Record<string, unknown>>(`/v1/outrigger/bootstrap/${id}-sidecar-proxy`)
    const flags = [...more]
    const options = bin === undefined ? { flags } : { bin, flags: [...flags, '--base-id', String(process.pid % 60_000)] }
    const proxy = this.keep(await ProxyProcess.start({ bootstrap, ...options }))
    await this.acknowledged(id, 0)
    this.sidecars.add(id)
    await this.listening(id)
    return proxy
  }

  /** Registers a gateway; resolves with its port. */
  async registerGateway(kind: string, name: string, config: object = {}): Promise<number> {
    const Port = await freePort()
    await this.write('/v1/agent/service/register', { Kind: kind, Name: name, Address: '127.0.0.1', Port, Proxy: { Config: config } })
    return Port
  }

  /** Starts a registered gateway and waits until it has all of its config. */
  async gateway(name: string, bin?: string): Promise<ProxyProcess> {
    const { admin: _own, ...bootstrap } = await this.read<Record<string, unknown>>(`/v1/outrigger/bootstrap/${name}`)
    const flags = ['--base-id', String((process.pid % 50_000) + 7)]
    const proxy = this.keep(await ProxyProcess.start({ bootstrap, ...(bin === undefined ? {} : { bin, flags }) }))
    await this.proxyAcknowledged(name, 0)
    return proxy
  }

  /** The instance leaves; its sidecar's process stays. */
  async deregister(id: string): Promise<void> {
    this.sidecars.delete(id)
    await this.write(`/v1/agent/service/deregister/${id}`)
  }

  /** Consul's own check of a sidecar, where the registration names no other. */
  private async listening(id: string): Promise<void> {
    let index = 0
    await until(`${id}'s sidecar passes its check`, async () => {
      const checks = await this.read<Record<string, { Status: string; ModifyIndex: number }>>('/v1/agent/checks')
      const check = checks[`service:${id}-sidecar-proxy:1`]
      index = check?.ModifyIndex ?? 0
      return check === undefined || check.Status === 'passing' || Promise.reject(new Error(check.Status))
    })
    for (const other of this.sidecars) if ((await this.state(other)).Connected) await this.acknowledged(other, index)
  }

  async state(id: string): Promise<ProxyState> {
    return await this.read<ProxyState>(`/v1/outrigger/proxies/${id}-sidecar-proxy`)
  }

  /** Resolves once the sidecar has acknowledged all that was written up to that index. */
  async acknowledged(id: string, index: number): Promise<void> {
    await this.proxyAcknowledged(`${id}-sidecar-proxy`, index)
  }

  async proxyAcknowledged(proxyId: string, index: number): Promise<void> {
    await until(`${proxyId} acknowledges index ${index}`, async () => {
      const state = await this.read<ProxyState>(`/v1/outrigger/proxies/${proxyId}`)
      return (state.Connected && state.Synced && state.AcknowledgedIndex >= index) || Promise.reject(new Error(JSON.stringify(state)))
    })
  }

  intention(destination: string, sources: readonly object[]): Promise<number> {
    return this.write('/v1/config', { Kind: 'service-intentions', Name: destination, Sources: sources })
  }

  /** Runs a command of bin/outrigger against this mesh; resolves with its standard output. */
  async outrigger(...args: readonly string[]): Promise<string> {
    const { stdout } = await execute(process.execPath, [outriggerBin, ...args, '--http-addr', `127.0.0.1:${this.httpPort}`])
    return stdout
  }

  /** Certificate and key of a service, as a client of the mesh shows them. */
  async leaf(service: string): Promise<{ cert: string; key: string; ca: string; uri: string }> {
    const { CertPEM, PrivateKeyPEM, ServiceURI } = await this.read(`/v1/agent/connect/ca/leaf/${service}`)
    const ca = await (await fetch(`${this.url}/v1/connect/ca/roots?pem=true`)).text()
    return { cert: CertPEM, key: PrivateKeyPEM, ca, uri: ServiceURI }
  }
}
