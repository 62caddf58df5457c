// Commands that live for a while, as real processes against a real control plane: agent, lock, watch, monitor, connect envoy, leave.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort, until } from '../support/proxy-process.js'

const outrigger = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'outrigger-commands-'))
const conf = join(folder, 'conf.d')
const children: Started[] = []
const WITHIN_MS = 90_000
let env: NodeJS.ProcessEnv
let agent: Started
let ports: { http: number; https: number; grpc: number; grpcTls: number }

class Started {
  readonly child: ChildProcess
  out = ''
  err = ''
  /** Its exit code, once all that it said is here too. */
  readonly ended: Promise<number | null>
  private readonly gone: Promise<unknown>

  constructor(argv: readonly string[]) {
    this.child = spawn(process.execPath, [outrigger, ...argv], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout!.on('data', chunk => (this.out += chunk))
    this.child.stderr!.on('data', chunk => (this.err += chunk))
    this.ended = once(this.child, 'close').then(([code]) => code as number | null)
    this.gone = once(this.child, 'exit')
    children.push(this)
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.gone
  }
}

async function out(...argv: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [outrigger, ...argv], { env })
  return stdout
}

function write(name: string, text: string): void {
  writeFileSync(join(conf, name), text)
}

beforeAll(async () => {
  mkdirSync(conf)
  ports = { http: await freePort(), https: await freePort(), grpc: await freePort(), grpcTls: await freePort() }
  env = { ...process.env, CONSUL_HTTP_ADDR: `127.0.0.1:${ports.http}` }
  write(
    '10-agent.hcl',
    `server = true
node_name = "laptop"
datacenter = "east"
encrypt = "ignored"
pid_file = "${join(folder, 'agent.pid')}"
ports { http = ${ports.http}, https = ${ports.https}, grpc = ${ports.grpc}, grpc_tls = ${ports.grpcTls}, dns = -1 }
config_entries { bootstrap = [{ Kind = "service-defaults", Name = "web", Protocol = "http" }] }
`,
  )
  write(
    '20-web.hcl',
    `service {
  name = "web"
  port = 9001
  connect { sidecar_service {
    port = ${await freePort()}
    proxy { upstreams = [{ destination_name = "api", local_bind_port = ${await freePort()} }] }
  } }
}
check { id = "disk", name = "disk", ttl = "1h" }
`,
  )
  agent = new Started(['agent', '-data-dir', join(folder, 'state'), '-config-dir', conf])
  await until(
    'the agent answers',
    async () => {
      if (agent.child.exitCode !== null) throw new Error(agent.err)
      return (await fetch(`http://127.0.0.1:${ports.http}/v1/status/leader`)).ok
    },
    WITHIN_MS,
  )
})
afterAll(async () => {
  await Promise.all(children.map(each => each.kill()))
  rmSync(folder, { recursive: true, force: true })
})

describe('outrigger agent', () => {
  it('runs the control plane by Consul’s configuration files, and names what has no effect', async () => {
    expect(await out('catalog', 'datacenters')).toBe('east\n')
    expect(await out('catalog', 'services')).toContain('web\nweb-sidecar-proxy\n')
    expect(await out('config', 'read', '-kind=service-defaults', '-name=web')).toContain('"Protocol": "http"')
    expect(await out('members')).toMatch(/^laptop /m)
    expect(agent.err).toContain('keys of the configuration without effect here: encrypt')
    expect(agent.out).toContain(`https 127.0.0.1:${ports.https}\ngrpc 127.0.0.1:${ports.grpc}\ngrpc_tls 127.0.0.1:${ports.grpcTls}\n`)
    expect(readFileSync(join(folder, 'agent.pid'), 'utf8')).toBe(`${agent.child.pid}\n`)
  })

  it('reads its files again on SIGHUP and by the API, and refuses a bad one by name', async () => {
    write('30-more.json', JSON.stringify({ services: [{ name: 'more', port: 1 }], log_level: 'debug' }))
    agent.child.kill('SIGHUP')
    await until('the service is there', async () => (await out('catalog', 'services')).includes('more\n'), WITHIN_MS)
    write('30-more.json', JSON.stringify({ services: [{ name: 'more', prot: 1 }] }))
    await expect(out('reload')).rejects.toThrow('services[1].prot: unknown field')
    expect(await out('catalog', 'services')).toContain('more\n')
    rmSync(join(conf, '30-more.json'))
    expect(await out('reload')).toBe('Configuration reload triggered\n')
    expect(await out('catalog', 'services')).not.toContain('more\n')
  })

  it('says in one line that a port is in use, and that a folder cannot be made', async () => {
    const grpc = String(await freePort())
    const taken = new Started([
      'agent',
      '-dev',
      '-http-port',
      String(ports.http),
      '-grpc-port',
      grpc,
      '-dns-port',
      '-1',
      '-log-level',
      'err',
    ])
    expect(await taken.ended).toBe(1)
    expect(taken.err).toBe(`outrigger: --http-addr 127.0.0.1:${ports.http}: the address is already in use\n`)
    const nowhere = new Started(['control', '--data-dir', '/proc/nowhere/state', '--http-addr', '127.0.0.1:0', '--dns-addr', 'off'])
    expect(await nowhere.ended).toBe(1)
    expect(nowhere.err).toMatch(/^outrigger: data directory \/proc\/nowhere\/state: cannot be made: [^\n]+\n$/)
  })
})

describe('outrigger lock', () => {
  it('lets one run at a time, and the next when it is given back', async () => {
    const first = new Started([
      'lock',
      '-child-exit-code',
      'jobs/one',
      `echo held; while [ ! -e ${folder}/go ]; do sleep 0.05; done; exit 3`,
    ])
    await until('the first holds the lock', async () => first.out.includes('held'), WITHIN_MS)
    expect(await out('kv', 'get', '-detailed', 'jobs/one/.lock')).toMatch(/^Flags +3304740253564472344$/m)
    const impatient = new Started(['lock', '-try=300ms', 'jobs/one', 'echo', 'no'])
    expect(await impatient.ended).toBe(1)
    expect(impatient.err).toContain('Lock acquisition failed')
    const second = new Started(['lock', 'jobs/one', 'echo', 'second'])
    writeFileSync(join(folder, 'go'), '')
    expect(await first.ended).toBe(2)
    expect(await second.ended).toBe(0)
    expect(second.out).toBe('second\n')
  })

  it('ends the child when the session is taken away', async () => {
    const held = new Started(['lock', '-shell=false', 'jobs/lost', 'sleep', '600'])
    const session = async (): Promise<string | undefined> => {
      const sessions = (await (await fetch(`http://127.0.0.1:${ports.http}/v1/session/list`)).json()) as { ID: string; Name: string }[]
      return sessions.find(({ Name }) => Name.includes('jobs/lost'))?.ID
    }
    await until(
      'the lock is held',
      async () => {
        const answer = await fetch(`http://127.0.0.1:${ports.http}/v1/kv/jobs/lost/.lock`)
        return answer.ok && ((await answer.json()) as { Session?: string }[])[0]!.Session !== undefined
      },
      WITHIN_MS,
    )
    await fetch(`http://127.0.0.1:${ports.http}/v1/session/destroy/${await session()}`, { method: 'PUT' })
    expect(await held.ended).toBe(1)
    expect(held.err).toContain('the lock was lost')
  })

  it('lets as many run at a time as it is told', async () => {
    const wait = `echo in; while [ ! -e ${folder}/all ]; do sleep 0.05; done`
    const holders = [1, 2].map(() => new Started(['lock', '-n=2', 'jobs/two', wait]))
    await until('two hold a slot', async () => holders.every(each => each.out === 'in\n'), WITHIN_MS)
    const third = new Started(['lock', '-n=2', '-try=300ms', 'jobs/two', 'echo', 'no'])
    expect(await third.ended).toBe(1)
    writeFileSync(join(folder, 'all'), '')
    expect(await Promise.all(holders.map(each => each.ended))).toEqual([0, 0])
  })
})

describe('outrigger watch', () => {
  it('prints the present state where no program is named', async () => {
    await out('kv', 'put', 'watched/a', 'one')
    expect(JSON.parse(await out('watch', '-type=key', '-key=watched/a'))).toMatchObject({ Key: 'watched/a', Value: 'b25l' })
    expect(JSON.parse(await out('watch', '-type=keyprefix', '-prefix=watched/'))).toHaveLength(1)
    expect(JSON.parse(await out('watch', '-type=services'))).toHaveProperty('web')
    expect(JSON.parse(await out('watch', '-type=nodes'))).toHaveLength(1)
    expect(JSON.parse(await out('watch', '-type=service', '-service=web'))).toHaveLength(1)
    expect(JSON.parse(await out('watch', '-type=checks', '-service=web'))).toEqual(expect.any(Array))
    expect(JSON.parse(await out('watch', '-type=connect_roots'))).toHaveProperty('Roots')
    expect(JSON.parse(await out('watch', '-type=connect_leaf', '-service=web'))).toHaveProperty('CertPEM')
    expect(JSON.parse(await out('watch', '-type=agent_service', '-service-id=web'))).toMatchObject({ Service: 'web' })
    await expect(out('watch', '-type=nonsense')).rejects.toThrow('no such type')
  })

  it('gives each change to a program, with its index', async () => {
    const seen = join(folder, 'seen')
    const watch = new Started(['watch', '-type=key', '-key=watched/b', `cat >> ${seen}; echo "index $CONSUL_INDEX" >> ${seen}`])
    const text = (): string => (existsSync(seen) ? readFileSync(seen, 'utf8') : '')
    await until('it has told of the absent key', async () => text().includes('null\nindex'), WITHIN_MS)
    await out('kv', 'put', 'watched/b', 'two')
    await until('it has told of the change', async () => text().includes('"Value":"dHdv"'), WITHIN_MS)
    expect(text()).toMatch(/index [1-9]\d*\n/)
    watch.child.kill('SIGTERM')
    await watch.ended
  })
})

describe('outrigger monitor', () => {
  it('prints the log as it is written', async () => {
    const monitor = new Started(['monitor', '-log-level=debug'])
    await until(
      'a line has come',
      async () => {
        await out('reload')
        return monitor.out.includes('definitions of the configuration read')
      },
      WITHIN_MS,
    )
    monitor.child.kill('SIGTERM')
    await monitor.ended
  })
})

describe('outrigger connect envoy', () => {
  it('runs our proxy in its own process, over TLS, and troubleshoot finds the upstream', async () => {
    const admin = await freePort()
    const proxy = new Started(['connect', 'envoy', '-sidecar-for', 'web', `-admin-bind=127.0.0.1:${admin}`, '--', '-l', 'warning'])
    await until(
      'it is ready',
      async () => {
        if (proxy.child.exitCode !== null) throw new Error(proxy.err)
        return (await fetch(`http://127.0.0.1:${admin}/ready`)).ok
      },
      WITHIN_MS,
    )
    const endpoint = `-envoy-admin-endpoint=127.0.0.1:${admin}`
    expect(await out('troubleshoot', 'upstreams', endpoint)).toBe('==> Upstreams (explicit upstreams only) (1)\napi\n')
    const checked = new Started(['troubleshoot', 'proxy', endpoint, '-upstream-envoy-id=api'])
    expect(await checked.ended).toBe(1)
    expect(checked.out).toMatch(
      / ✓ Certificates are valid\n ✓ Envoy has 0 rejected configurations\n[\s\S]* ✓ Listener for upstream "api" found\n ✓ Cluster for upstream "api" found\n ✗ No healthy endpoints/,
    )
    expect(await out('proxies')).toMatch(/^web-sidecar-proxy +web +yes/m)
    proxy.child.kill('SIGTERM')
    expect(await proxy.ended).toBe(0)
  })
})

describe('outrigger leave', () => {
  it('ends the agent, and its pid file', async () => {
    expect(await out('leave')).toBe('Graceful leave complete\n')
    expect(await agent.ended).toBe(0)
    expect(existsSync(join(folder, 'agent.pid'))).toBe(false)
  })
})
