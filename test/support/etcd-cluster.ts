// Real etcd processes on loopback ports in temporary directories, for tests that are skipped by name where there is none. A cluster of one by
// default; members can be killed, stopped, started again, and asked by `etcdctl`.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort, until } from './proxy-process.js'

function programIn(path: string, name: string): string | undefined {
  return path
    .split(':')
    .map(folder => join(folder, name))
    .find(existsSync)
}

/** Undefined: etcd is not installed here. */
export const etcdBin = process.env['ETCD_BIN'] ?? programIn(process.env['PATH'] ?? '', 'etcd')

export class EtcdMember {
  private child: ChildProcess | undefined

  constructor(
    readonly name: string,
    readonly clientPort: number,
    readonly peerPort: number,
    /** Answers `/health` in the clear. */
    private readonly healthPort: number,
    private readonly folder: string,
    private readonly args: readonly string[],
  ) {}

  get address(): string {
    return `127.0.0.1:${this.clientPort}`
  }

  get pid(): number {
    return this.child!.pid!
  }

  start(): void {
    const log = openSync(join(this.folder, `${this.name}.log`), 'a')
    this.child = spawn(etcdBin!, [...this.args], { stdio: ['ignore', log, log] })
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { child } = this
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill(signal)
    await ended
  }

  /** The member serves, and knows a leader. */
  async ready(): Promise<void> {
    await until(`etcd ${this.name} is well:\n${this.log()}`, () => isWell(this.healthPort), 30_000)
  }

  log(): string {
    return readFileSync(join(this.folder, `${this.name}.log`), 'utf8').slice(-2_000)
  }
}

function isWell(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const asked = request({ host: '127.0.0.1', port, path: '/health', timeout: 2_000 }, response => {
      let text = ''
      response.on('data', chunk => (text += chunk))
      response.on('end', () => resolve(text.includes('true')))
    })
    asked.on('error', () => resolve(false))
    asked.end()
  })
}

interface ServerTls {
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

export class EtcdCluster {
  private constructor(
    readonly members: readonly EtcdMember[],
    readonly folder: string,
    private readonly tls: ServerTls | undefined,
  ) {}

  /** `tls`: of its clients' port; `etcdctl` shows the same certificate as it does. */
  static async start({
    size = 1,
    args = [],
    tls,
  }: {
    readonly size?: number
    readonly args?: readonly string[]
    readonly tls?: ServerTls
  } = {}): Promise<EtcdCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'outrigger-etcd-'))
    const ports: { client: number; peer: number; health: number }[] = []
    for (let i = 0; i < size; i++) {
      const client = await freePort()
      ports.push({ client, peer: await freePort(), health: tls === undefined ? client : await freePort() })
    }
    const peers = ports.map(({ peer }, i) => `m${i}=http://127.0.0.1:${peer}`).join(',')
    const members = ports.map(({ client, peer, health }, i) => {
      const clientUrl = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${client}`
      const peerUrl = `http://127.0.0.1:${peer}`
      const data = join(folder, `m${i}`)
      // An election takes no longer than a test would wait for it.
      const timing = ['--heartbeat-interval', '50', '--election-timeout', '500']
      const urls = ['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl]
      const peering = ['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl, '--initial-cluster', peers]
      const secured =
        tls === undefined
          ? []
          : [
              ...['--cert-file', tls.certFile, '--key-file', tls.keyFile, '--trusted-ca-file', tls.caFile],
              ...['--listen-metrics-urls', `http://127.0.0.1:${health}`],
            ]
      const whole = ['--name', `m${i}`, '--data-dir', data, ...timing, ...urls, ...peering, ...secured, ...args]
      return new EtcdMember(`m${i}`, client, peer, health, folder, whole)
    })
    const cluster = new EtcdCluster(members, folder, tls)
    for (const member of members) member.start()
    await Promise.all(members.map(member => member.ready()))
    return cluster
  }

  /** As `--store` takes it. */
  get url(): string {
    return `${this.tls === undefined ? 'etcd' : 'etcds'}://${this.members.map(({ address }) => address).join(',')}`
  }

  async ctl(...args: string[]): Promise<string> {
    const endpoints = this.members.map(({ address }) => address).join(',')
    const env = { ...process.env, ETCDCTL_API: '3' }
    const { tls } = this
    const secured = tls === undefined ? [] : ['--cacert', tls.caFile, '--cert', tls.certFile, '--key', tls.keyFile]
    const { stdout } = await promisify(execFile)(join(etcdBin!, '../etcdctl'), ['--endpoints', endpoints, ...secured, ...args], { env })
    return stdout
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map(member => member.kill()))
    rmSync(this.folder, { recursive: true, force: true })
  }
}
