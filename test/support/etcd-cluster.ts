// Real etcd processes on loopback ports (or where etcd-network.ts puts them) in temporary directories, for tests that are skipped by name where
// there is none. A cluster of one by default; members can be killed, stopped, started again, and asked by `etcdctl`.
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

/** Where a member runs. */
export interface EtcdPlace {
  readonly host: string
  /** Before etcd's own command line: what brings it there. */
  readonly command: readonly string[]
}

const HERE: EtcdPlace = { host: '127.0.0.1', command: [] }

export class EtcdMember {
  private child: ChildProcess | undefined

  constructor(
    readonly name: string,
    private readonly place: EtcdPlace,
    readonly clientPort: number,
    readonly peerPort: number,
    /** Answers `/health` in the clear. */
    private readonly healthPort: number,
    private readonly folder: string,
    private readonly args: readonly string[],
  ) {}

  get address(): string {
    return `${this.place.host}:${this.clientPort}`
  }

  get pid(): number {
    return this.child!.pid!
  }

  start(): void {
    const log = openSync(join(this.folder, `${this.name}.log`), 'a')
    const [program, ...args] = [...this.place.command, etcdBin!, ...this.args]
    this.child = spawn(program!, args, { stdio: ['ignore', log, log] })
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
    await until(`etcd ${this.name} is well:\n${this.log()}`, () => isWell(this.place.host, this.healthPort), 30_000)
  }

  log(): string {
    return readFileSync(join(this.folder, `${this.name}.log`), 'utf8').slice(-2_000)
  }
}

function isWell(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const asked = request({ host, port, path: '/health', timeout: 2_000 }, response => {
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

  /** `tls`: of its clients' port; `etcdctl` shows the same certificate as it does. `places`: of each member; here by default. */
  static async start({
    size = 1,
    places = [],
    args = [],
    tls,
  }: {
    readonly size?: number
    readonly places?: readonly EtcdPlace[]
    readonly args?: readonly string[]
    readonly tls?: ServerTls
  } = {}): Promise<EtcdCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'outrigger-etcd-'))
    const ports: { place: EtcdPlace; client: number; peer: number; health: number }[] = []
    for (let i = 0; i < size; i++) {
      const client = await freePort()
      ports.push({ place: places[i] ?? HERE, client, peer: await freePort(), health: tls === undefined ? client : await freePort() })
    }
    const peers = ports.map(({ place, peer }, i) => `m${i}=http://${place.host}:${peer}`).join(',')
    const members = ports.map(({ place, client, peer, health }, i) => {
      const clientUrl = `${tls === undefined ? 'http' : 'https'}://${place.host}:${client}`
      const peerUrl = `http://${place.host}:${peer}`
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
              ...['--listen-metrics-urls', `http://${place.host}:${health}`],
            ]
      const whole = ['--name', `m${i}`, '--data-dir', data, ...timing, ...urls, ...peering, ...secured, ...args]
      return new EtcdMember(`m${i}`, place, client, peer, health, folder, whole)
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

  /** The member that leads now. */
  async leader(): Promise<number> {
    const status = JSON.parse(await this.ctl('endpoint', 'status', '-w', 'json')) as {
      Status: { header: { member_id: number }; leader: number }
    }[]
    return Math.max(
      0,
      status.findIndex(({ Status }) => Status.leader === Status.header.member_id),
    )
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map(member => member.kill()))
    rmSync(this.folder, { recursive: true, force: true })
  }
}
