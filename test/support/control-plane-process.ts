// A control plane for tests as a process of its own, whichever it is: its free ports, its state in a folder, its HTTP API, the sidecars
// started against it. MeshFixture (bin/outrigger control) and ConsulAgent (a real Consul) say how it is started and what it is told.
// Invariant: stop() in afterAll leaves no process and no folder behind.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, type ProxyProcess, until } from './proxy-process.js'

export class ControlPlaneProcess {
  readonly dir: string
  httpPort = 0
  grpcPort = 0
  log = ''
  private child: ChildProcess | null = null
  private readonly proxies: ProxyProcess[] = []

  constructor(folderPrefix: string) {
    this.dir = mkdtempSync(join(tmpdir(), folderPrefix))
  }

  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`
  }

  /** The ports of the first start are those of every later one. */
  protected async choosePorts(): Promise<void> {
    if (this.httpPort !== 0) return
    this.httpPort = await freePort()
    this.grpcPort = await freePort()
  }

  /** Resolves once `readyPath` of the HTTP API answers 2xx; rejects with its log when the process ends first. */
  protected async run(bin: string, argv: readonly string[], readyPath: string, withinMs: number): Promise<void> {
    const child = spawn(bin, argv, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child = child
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (this.log += chunk))
    await until(
      `the control plane answers ${readyPath}`,
      async () => {
        if (child.exitCode !== null) throw new Error(`it ended: ${this.log}`)
        return (await fetch(`${this.url}${readyPath}`)).ok
      },
      withinMs,
    )
  }

  /** kill -9: nothing is flushed, nobody is told. start() brings it back. */
  kill(): Promise<void> {
    return this.end('SIGKILL')
  }

  /** As an orchestrator ends it. start() brings it back. */
  terminate(): Promise<void> {
    return this.end('SIGTERM')
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this
    this.child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }

  async stop(): Promise<void> {
    await Promise.all(this.proxies.map(proxy => proxy.kill()))
    await this.kill()
    rmSync(this.dir, { recursive: true, force: true })
  }

  /** A request of the HTTP API. Rejects unless the answer is 200. */
  protected async request(method: string, path: string, body?: object): Promise<{ headers: Headers; text: string }> {
    const response = await fetch(`${this.url}${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    const text = await response.text()
    if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return { headers: response.headers, text }
  }

  /** stop() ends this sidecar too. */
  protected keep(proxy: ProxyProcess): ProxyProcess {
    this.proxies.push(proxy)
    return proxy
  }
}
