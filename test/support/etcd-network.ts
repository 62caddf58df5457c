// Three network namespaces on a bridge, one for each member of an etcd cluster, and a cgroup for the disk of each: faults as networks and disks have
// them (packets that vanish, in one direction too; writes that take long), which no relay can make. Needs root; where that, `ip` or `nft` is
// missing, `networkProblem` says so and tests are skipped by name. Invariant: close() leaves nothing of it behind.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EtcdPlace } from './etcd-cluster.js'

/** The throttling of cgroup 1; that of cgroup 2 is asked of the device's own controller, which containers seldom have. */
const BLKIO = '/sys/fs/cgroup/blkio'
const THROTTLE = 'blkio.throttle.write_iops_device'

/** '' = there can be namespaces here. */
export const networkProblem = ((): string => {
  if (process.getuid?.() !== 0) return 'needs root'
  const probe = `probe-${process.pid}`
  try {
    execFileSync('ip', ['netns', 'add', probe], { stdio: 'ignore' })
    try {
      execFileSync('ip', ['netns', 'exec', probe, 'nft', 'add', 'table', 'inet', 'probe'], { stdio: 'ignore' })
      execFileSync('ip', ['-n', probe, 'link', 'add', 'probe', 'type', 'bridge'], { stdio: 'ignore' })
    } finally {
      execFileSync('ip', ['netns', 'del', probe], { stdio: 'ignore' })
    }
    return ''
  } catch {
    return 'needs network namespaces with bridges and nft'
  }
})()

/** The disks of members can be slowed down. */
export const canSlowDisks = existsSync(join(BLKIO, THROTTLE))

export class EtcdNetwork {
  private readonly bridge = `orb${process.pid}`
  private readonly names: readonly string[]
  /** Of the temporary directory. */
  private readonly device = deviceOf(tmpdir())

  private constructor(size: number) {
    this.names = Array.from({ length: size }, (_, i) => `outrigger-etcd-${process.pid}-${i}`)
  }

  static make(size: number): EtcdNetwork {
    const network = new EtcdNetwork(size)
    const { bridge } = network
    ip('link', 'add', bridge, 'type', 'bridge')
    ip('addr', 'add', `${network.host(-1)}/24`, 'dev', bridge)
    ip('link', 'set', bridge, 'up')
    network.names.forEach((name, i) => {
      ip('netns', 'add', name)
      ip('link', 'add', `${bridge}-${i}`, 'type', 'veth', 'peer', 'name', 'link0', 'netns', name)
      ip('link', 'set', `${bridge}-${i}`, 'master', bridge, 'up')
      ip('-n', name, 'addr', 'add', `${network.host(i)}/24`, 'dev', 'link0')
      ip('-n', name, 'link', 'set', 'lo', 'up')
      ip('-n', name, 'link', 'set', 'link0', 'up')
      if (canSlowDisks) mkdirSync(join(BLKIO, name))
    })
    return network
  }

  get places(): EtcdPlace[] {
    return this.names.map((name, i) => ({
      host: this.host(i),
      command: [
        ...(canSlowDisks ? ['sh', '-c', `echo $$ > ${BLKIO}/${name}/tasks && exec "$@"`, 'sh'] : []),
        ...['ip', 'netns', 'exec', name],
      ],
    }))
  }

  /** Member `i` and the other members lose what they send to each other; clients reach it. */
  partition(i: number): void {
    const others = this.names.map((_, other) => this.host(other)).filter(host => host !== this.host(i))
    this.drop(i, { from: others, to: others })
  }

  /** Member `i` is heard by the others and hears nothing of them. */
  deafen(i: number): void {
    this.drop(i, { from: this.names.map((_, other) => this.host(other)).filter(host => host !== this.host(i)), to: [] })
  }

  /** Clients and member `i` lose what they send to each other. */
  hide(i: number): void {
    this.drop(i, { from: [this.host(-1)], to: [this.host(-1)] })
  }

  heal(i: number): void {
    this.nft(i, 'table inet cut {}\ndelete table inet cut')
  }

  /** So many writes a second; 0: as fast as it can. */
  slowDisk(i: number, writes: number): void {
    writeFileSync(join(BLKIO, this.names[i]!, THROTTLE), `${this.device} ${writes}`)
  }

  /** Of what runs in it nothing may run any more. */
  close(): void {
    for (const name of this.names) {
      ip('netns', 'del', name)
      if (canSlowDisks) rmdirSync(join(BLKIO, name))
    }
    ip('link', 'del', this.bridge)
  }

  /** Of member `i`; -1: of the bridge, where clients are. */
  private host(i: number): string {
    return `10.214.${process.pid % 256}.${i + 10}`
  }

  private drop(i: number, { from, to }: { readonly from: readonly string[]; readonly to: readonly string[] }): void {
    const chain = (hook: string, field: string, hosts: readonly string[]): string =>
      hosts.length === 0 ? '' : `chain ${hook} { type filter hook ${hook} priority 0; ip ${field} { ${hosts.join(', ')} } drop; }\n`
    this.nft(i, `table inet cut {\n${chain('input', 'saddr', from)}${chain('output', 'daddr', to)}}`)
  }

  private nft(i: number, rules: string): void {
    execFileSync('ip', ['netns', 'exec', this.names[i]!, 'nft', '-f', '-'], { input: `${rules}\n` })
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args)
}

function deviceOf(path: string): string {
  const { dev } = statSync(path)
  return `${Math.floor(dev / 256)}:${dev % 256}`
}
