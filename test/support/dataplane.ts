// One dataplane as a process: the unmodified consul-dataplane (DATAPLANE_BIN), or `outrigger sidecar` by the same flags; its output, its end.
// Used by test/integration/consul-dataplane.test.ts and sidecar-under-consul.test.ts. Invariant: stopDataplanes() in afterAll leaves no process
// behind.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { freePort } from './proxy-process.js'

const outriggerBin = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
export const dataplaneBin = process.env['DATAPLANE_BIN']

const started: Dataplane[] = []

export interface DataplaneOptions {
  readonly program?: 'consul-dataplane' | 'outrigger sidecar'
  readonly grpcAddress: string
  /** In dns-proxy mode there is none. */
  readonly proxyId?: string
  /** The proxy that consul-dataplane runs; absent: `outrigger sidecar` is both. */
  readonly executable?: string
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export class Dataplane {
  readonly adminPort: number
  readonly dnsPort: number
  readonly metricsPort: number
  readonly lifecyclePort: number
  output = ''
  private readonly child: ChildProcess
  private readonly gone: Promise<unknown>
  /** Ended, and all that it said is here. */
  private readonly closed: Promise<unknown>

  private constructor(child: ChildProcess, [adminPort, dnsPort, metricsPort, lifecyclePort]: readonly [number, number, number, number]) {
    this.child = child
    this.adminPort = adminPort
    this.dnsPort = dnsPort
    this.metricsPort = metricsPort
    this.lifecyclePort = lifecyclePort
    this.gone = once(child, 'exit')
    this.closed = once(child, 'close')
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', chunk => {
        this.output += chunk
      })
  }

  static async start({
    program = 'consul-dataplane',
    grpcAddress,
    proxyId,
    executable,
    flags = [],
    env = {},
  }: DataplaneOptions): Promise<Dataplane> {
    const ports = [await freePort(), await freePort(), await freePort(), await freePort()] as const
    const [admin, dns, metrics, lifecycle] = ports
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
            ...(executable === undefined ? [] : [['-envoy-executable-path', executable]]),
          ]),
      ['-telemetry-prom-merge-port', String(metrics)],
      ['-graceful-port', String(lifecycle)],
      flags,
    ]
    const command = program === 'outrigger sidecar' ? [process.execPath, outriggerBin, 'sidecar'] : [dataplaneBin!]
    const child = spawn(command[0]!, [...command.slice(1), ...args.flat()], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    const dataplane = new Dataplane(child, ports)
    started.push(dataplane)
    return dataplane
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name)
  }

  /** Resolves with its exit code, or the signal that ended it. */
  async end(): Promise<unknown> {
    await this.closed
    return this.child.exitCode ?? this.child.signalCode
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
