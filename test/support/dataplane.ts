// One unmodified consul-dataplane (DATAPLANE_BIN) as a process: its flags with free ports, its output, its end. Used by
// test/integration/consul-dataplane.test.ts. Invariant: stopDataplanes() in afterAll leaves no process behind.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { freePort } from './proxy-process.js'

export const dataplaneBin = process.env['DATAPLANE_BIN']

const started: Dataplane[] = []

export interface DataplaneOptions {
  readonly grpcAddress: string
  /** In dns-proxy mode there is none. */
  readonly proxyId?: string
  readonly executable?: string
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export class Dataplane {
  readonly adminPort: number
  readonly dnsPort: number
  output = ''
  private readonly child: ChildProcess
  private readonly gone: Promise<unknown>

  private constructor(child: ChildProcess, adminPort: number, dnsPort: number) {
    this.child = child
    this.adminPort = adminPort
    this.dnsPort = dnsPort
    this.gone = once(child, 'exit')
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', chunk => {
        this.output += chunk
      })
  }

  static async start({ grpcAddress, proxyId, executable, flags = [], env = {} }: DataplaneOptions): Promise<Dataplane> {
    const [admin, dns, metrics, lifecycle] = [await freePort(), await freePort(), await freePort(), await freePort()]
    const at = grpcAddress.lastIndexOf(':')
    const args = [
      ['-addresses', grpcAddress.slice(0, at)],
      ['-grpc-port', grpcAddress.slice(at + 1)],
      ['-consul-dns-bind-port', String(dns)],
      ...(proxyId === undefined
        ? [['-mode', 'dns-proxy']]
        : [
            ['-proxy-id', proxyId],
            ['-proxy-node-name', 'n1'],
            ['-envoy-admin-bind-port', String(admin)],
            ['-envoy-executable-path', executable!],
          ]),
      ['-telemetry-prom-merge-port', String(metrics)],
      ['-graceful-port', String(lifecycle)],
      flags,
    ]
    const child = spawn(dataplaneBin!, args.flat(), { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    const dataplane = new Dataplane(child, admin, dns)
    started.push(dataplane)
    return dataplane
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  async stop(): Promise<void> {
    if (this.ended) return
    this.child.kill('SIGTERM')
    await this.gone
  }
}

export async function stopDataplanes(): Promise<void> {
  await Promise.all(started.splice(0).map(dataplane => dataplane.stop()))
}
