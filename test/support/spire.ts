// A real SPIRE server and agent on loopback and unix sockets, for tests that are skipped by name where SPIRE_SERVER_BIN and SPIRE_AGENT_BIN are not
// set: join token attestation, entries by unix uid, short-lived identities, an agent that syncs every second.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort, until } from './proxy-process.js'

const serverBin = process.env['SPIRE_SERVER_BIN'] ?? ''
const agentBin = process.env['SPIRE_AGENT_BIN'] ?? ''

export const hasSpire = serverBin !== '' && agentBin !== ''

type Part = 'server' | 'agent'

export class Spire {
  log = ''
  private readonly dir = mkdtempSync(join(tmpdir(), 'outrigger-spire-'))
  private readonly children = new Map<Part, ChildProcess>()

  private constructor(
    readonly trustDomain: string,
    private readonly port: number,
    readonly bundlePort: number,
  ) {}

  static async start(trustDomain: string): Promise<Spire> {
    const spire = new Spire(trustDomain, await freePort(), await freePort())
    await spire.startServer()
    await spire.startAgent()
    return spire
  }

  /** As in SPIFFE_ENDPOINT_SOCKET. */
  get endpoint(): string {
    return `unix://${this.agentSocket}`
  }

  get agentSocket(): string {
    return join(this.dir, 'agent.sock')
  }

  /** Of the workloads of this user. */
  entry(id: string, ...more: string[]): void {
    const parent = `spiffe://${this.trustDomain}/agent`
    this.command('entry', 'create', '-parentID', parent, '-spiffeID', id, '-selector', `unix:uid:${process.getuid!()}`, ...more)
  }

  /** With another trust domain, by https_spiffe; `bundle`: its document of now. */
  federate(trustDomain: string, url: string, endpointId: string, bundle: string): void {
    const file = join(this.dir, `${trustDomain}.json`)
    writeFileSync(file, bundle)
    const endpoint = ['-bundleEndpointURL', url, '-bundleEndpointProfile', 'https_spiffe', '-endpointSpiffeID', endpointId]
    const given = ['-trustDomainBundlePath', file, '-trustDomainBundleFormat', 'spiffe']
    this.command('federation', 'create', '-trustDomain', trustDomain, ...endpoint, ...given)
  }

  command(...args: string[]): string {
    const [first, second, ...rest] = args
    return execFileSync(serverBin, [first!, second!, '-socketPath', join(this.dir, 'server.sock'), ...rest], { encoding: 'utf8' })
  }

  /** For what calls back into this process, whose event loop must not stand still meanwhile. */
  async commandBeside(...args: string[]): Promise<string> {
    const [first, second, ...rest] = args
    const { stdout } = await promisify(execFile)(serverBin, [first!, second!, '-socketPath', join(this.dir, 'server.sock'), ...rest])
    return stdout
  }

  async stop(): Promise<void> {
    await Promise.all([this.kill('agent'), this.kill('server')])
    rmSync(this.dir, { recursive: true, force: true })
  }

  /** `kill -9`. */
  async kill(part: Part): Promise<void> {
    const child = this.children.get(part)
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
  }

  /** With the keys and the state that it had. */
  async restart(part: Part): Promise<void> {
    // The socket of the one before lies there still.
    if (part === 'agent') rmSync(this.agentSocket, { force: true })
    this.run(part)
    await this.serves(part)
  }

  private async startServer(): Promise<void> {
    const config = `
server {
  bind_address = "127.0.0.1"
  bind_port = "${this.port}"
  socket_path = "${join(this.dir, 'server.sock')}"
  trust_domain = "${this.trustDomain}"
  data_dir = "${this.dir}"
  log_level = "WARN"
  ca_ttl = "1h"
  federation { bundle_endpoint { address = "127.0.0.1" port = ${this.bundlePort} refresh_hint = "10s" } }
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "${join(this.dir, 'data.sqlite3')}" } }
  KeyManager "disk" { plugin_data { keys_path = "${join(this.dir, 'server-keys.json')}" } }
  NodeAttestor "join_token" { plugin_data {} }
}`
    writeFileSync(this.configOf('server'), config)
    this.run('server')
    await this.serves('server')
  }

  private async startAgent(): Promise<void> {
    writeFileSync(join(this.dir, 'bundle.pem'), this.command('bundle', 'show'))
    const token = /Token: (\S+)/.exec(this.command('token', 'generate', '-spiffeID', `spiffe://${this.trustDomain}/agent`))![1]
    const config = `
agent {
  server_address = "127.0.0.1"
  server_port = "${this.port}"
  socket_path = "${this.agentSocket}"
  trust_domain = "${this.trustDomain}"
  trust_bundle_path = "${join(this.dir, 'bundle.pem')}"
  join_token = "${token}"
  data_dir = "${this.dir}"
  log_level = "WARN"
  experimental { sync_interval = "1s" }
}
plugins {
  KeyManager "disk" { plugin_data { directory = "${this.dir}" } }
  NodeAttestor "join_token" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}`
    writeFileSync(this.configOf('agent'), config)
    this.run('agent')
    await this.serves('agent')
  }

  private async serves(part: Part): Promise<void> {
    if (part === 'server')
      await until('the SPIRE server is healthy', () => this.command('healthcheck', '-shallow=false').includes('healthy'))
    else await until('the SPIRE agent serves', () => existsSync(this.agentSocket))
  }

  private configOf(part: Part): string {
    return join(this.dir, `${part}.conf`)
  }

  private run(part: Part): void {
    const bin = part === 'server' ? serverBin : agentBin
    const child = spawn(bin, ['run', '-config', this.configOf(part)], { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (this.log += chunk))
    this.children.set(part, child)
  }
}
