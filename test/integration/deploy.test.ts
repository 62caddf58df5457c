// examples/deploy as far as it can be tried without the platforms: the image's root folder as a changed root (needs root), the manifests' own
// configuration and arguments in real processes, the Nomad job by our reader of HCL. The units of systemd: service-manager.test.ts.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { afterAll, describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { buildProgram } from '../../src/cli/program.js'
import { parseProxyFlags } from '../../src/cli/proxy-flags.js'
import { type HclObject, readHcl } from '../../src/control/hcl/read-hcl.js'
import { testIo } from '../support/command-io.js'
import { AnyCa } from '../support/mesh-certificates.js'
import { freePort, until } from '../support/proxy-process.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const deploy = join(root, 'examples/deploy')
const bin = join(root, 'bin/outrigger')
const dir = mkdtempSync(join(tmpdir(), 'outrigger-deploy-'))
const children: ChildProcess[] = []

afterAll(async () => {
  for (const child of children.reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
  }
  rmSync(dir, { recursive: true, force: true })
})

interface Container {
  readonly args: string[]
  readonly restartPolicy?: string
  readonly startupProbe: { readonly exec: { readonly command: string[] }; readonly httpGet: { readonly path: string } }
  readonly readinessProbe: { readonly httpGet: { readonly path: string } }
  readonly livenessProbe: { readonly httpGet: { readonly path: string } }
}

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly data: Readonly<Record<string, string>>
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly Container[]; readonly initContainers: readonly Container[] } }
  }
}

/** The command that the words name has each of their flags. */
function expectKnown(words: readonly string[]): void {
  let command: Command = buildProgram(testIo())
  const flags: string[] = []
  for (const word of words) {
    if (word === '--') break
    const next = command.commands.find(child => child.name() === word)
    if (next !== undefined) command = next
    else if (word.startsWith('-')) flags.push(word.replace(/^-+/, '').split('=')[0]!)
  }
  const known = command.options.map(({ long }) => long?.replace(/^-+/, ''))
  for (const flag of flags) expect(known, `${words.join(' ')}: -${flag}`).toContain(flag)
}

describe('container', () => {
  const image = join(dir, 'image')
  const inside = (...words: string[]) =>
    spawnSync('chroot', ['--userspec=65532:65532', image, '/usr/local/bin/node', ...words], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    })

  it.skipIf(process.getuid!() !== 0 || process.platform !== 'linux')(
    'the image has Node and Outrigger, runs as nobody, and has no shell',
    () => {
      const made = spawnSync(process.execPath, [join(deploy, 'container/assemble.mjs'), image, root], { encoding: 'utf8' })
      expect(made.stderr).toBe('')
      expect(inside('/opt/outrigger/bin/outrigger-proxy', '--version')).toMatchObject({
        status: 0,
        stdout: expect.stringContaining('Outrigger '),
      })
      const control = 'import("/opt/outrigger/node_modules/libsql/index.js").then(({ default: D }) => console.log(new D("/tmp/a.db").open))'
      expect(inside('-e', control)).toMatchObject({ status: 0, stdout: 'true\n' })
      // By its name alone, as commands and hooks of pods have it.
      const byName = (user: string, ...words: string[]) =>
        spawnSync('chroot', [`--userspec=${user}`, image, ...words], { encoding: 'utf8', env: { PATH: '/usr/local/bin:/usr/sbin' } })
      expect(byName('5995:5995', 'outrigger', 'k8s', 'leave')).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('OUTRIGGER_POD_SERVICE is not set'),
      })
      expect(byName('5995:5995', 'outrigger-proxy', '--version')).toMatchObject({
        status: 0,
        stdout: expect.stringContaining('Outrigger '),
      })
      if (spawnSync('nft', ['--version']).status === 0) {
        const rules = byName(
          '0:0',
          'outrigger',
          ...['connect', 'redirect-traffic', '-proxy-uid', '5995', '-proxy-inbound-port', '20000', '-dry-run'],
        )
        expect(rules).toMatchObject({ status: 0, stdout: expect.stringContaining('redirect to :20000') })
        expect(byName('0:0', 'nft', '--version')).toMatchObject({ status: 0 })
      }
      expect(inside('/opt/outrigger/bin/outrigger', 'ready', '--admin', '127.0.0.1:1')).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('the sidecar'),
      })
      const names = readdirSync(image, { recursive: true, encoding: 'utf8' })
      expect(names.filter(name => /(^|\/)(sh|bash|busybox|apt|npm)$/.test(name))).toEqual([])
    },
  )

  it('the Containerfile starts and checks what the image has', () => {
    const text = readFileSync(join(deploy, 'container/Containerfile'), 'utf8')
    expect(text).toMatch(/^USER 65532:65532$/m)
    const [, start] = /^ENTRYPOINT (\[.*\])$/m.exec(text)!
    const [, check] = /^ +CMD (\[.*\])$/m.exec(text)!
    expect(JSON.parse(start!)).toEqual(['/usr/local/bin/node', '/opt/outrigger/bin/outrigger'])
    expect(JSON.parse(check!).slice(0, 2)).toEqual(JSON.parse(start!))
    expectKnown(JSON.parse(check!).slice(2))
  })
})

describe('Nomad', () => {
  it('the job’s sidecar task has the flags that Nomad gives its own', () => {
    const job = readHcl(readFileSync(join(deploy, 'nomad/web.nomad.hcl'), 'utf8'))
    const find = (value: unknown, name: string): HclObject | undefined => {
      if (typeof value !== 'object' || value === null) return undefined
      if (Object.hasOwn(value, name)) return [(value as HclObject)[name]].flat()[0] as HclObject
      return Object.values(value)
        .map(each => find(each, name))
        .find(found => found !== undefined)
    }
    const task = find(job, 'sidecar_task')!
    const config = find(task, 'config')!
    expect((config['entrypoint'] as string[]).at(-1)).toBe('/opt/outrigger/bin/outrigger-proxy')
    const args = (config['args'] as string[]).map(word =>
      word.replace(/^\$\{meta\.connect\.log_level\}$/, 'info').replace(/^\$\{meta\.connect\.proxy_concurrency\}$/, '1'),
    )
    expect(parseProxyFlags(args)).toMatchObject({ errors: [], warnings: [], concurrency: 1, logLevel: 'info' })
  })
})

describe('Kubernetes', () => {
  const documents = (file: string): Manifest[] =>
    parseAllDocuments(readFileSync(join(deploy, 'kubernetes', file), 'utf8')).map(document => {
      expect(document.errors).toEqual([])
      return document.toJS() as Manifest
    })
  const ofKind = (all: readonly Manifest[], kind: string, name?: string): Manifest =>
    all.find(each => each.kind === kind && (name === undefined || each.metadata.name === name))!

  /** What stands for the pod's network and folders. */
  const places = new Map<string, string>()
  const placed = (text: string): string => [...places].reduce((result, [there, here]) => result.replaceAll(there, here), text)

  function start(args: readonly string[], env: Record<string, string>): () => string {
    let log = ''
    const child = spawn(process.execPath, [bin, ...args.map(placed)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    children.push(child)
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (log += chunk))
    return () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${log}`)
      return log
    }
  }

  function outrigger(args: readonly string[], env: Record<string, string>): string {
    const run = spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', env: { ...process.env, ...env }, timeout: 30_000 })
    expect(run.status, `${args.join(' ')}: ${run.stderr}`).toBe(0)
    return run.stdout
  }

  const probe = async (port: number, path: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined))?.status ?? 0

  it('control plane, agent and sidecar start with the manifests’ own words, and the probes tell it', async () => {
    const control = documents('control-plane.yaml')
    const web = documents('web-by-hand.yaml')
    const ca = new AnyCa('Cluster CA')
    const leaf = ca.leaf({ dns: ['outrigger-control.outrigger'], ips: [[127, 0, 0, 1]] })
    for (const folder of ['tls', 'ca', 'state', 'control.d', 'agent.d', 'service.d', 'token', 'data']) mkdirSync(join(dir, folder))
    writeFileSync(join(dir, 'tls/tls.crt'), leaf.cert)
    writeFileSync(join(dir, 'tls/tls.key'), leaf.key)
    writeFileSync(join(dir, 'tls/ca.crt'), ca.pem)
    writeFileSync(join(dir, 'ca/ca.crt'), ca.pem)
    const ports = { https: await freePort(), grpc: await freePort(), dns: await freePort() }
    places.set('/tls/', `${dir}/tls/`).set('/ca/', `${dir}/ca/`).set('/var/lib/outrigger', join(dir, 'state')).set('0.0.0.0', '127.0.0.1')
    places.set('"https": 8501', `"https": ${ports.https}`).set('"grpc_tls": 8503', `"grpc_tls": ${ports.grpc}`)
    places.set('"dns": 8600', `"dns": ${ports.dns}`)
    writeFileSync(join(dir, 'control.d/control.json'), placed(ofKind(control, 'ConfigMap').data['control.json']!))
    places.set('/etc/outrigger-service', join(dir, 'service.d'))
    const pod = ofKind(control, 'StatefulSet').spec.template.spec.containers[0]!
    const remote = { CONSUL_HTTP_ADDR: `https://127.0.0.1:${ports.https}`, CONSUL_CACERT: join(dir, 'ca/ca.crt') }
    const controlLog = start(
      pod.args.map(word => word.replace('/etc/outrigger', join(dir, 'control.d'))),
      {},
    )
    await until('the control plane', () => (controlLog().includes('https ') ? true : undefined))
    expect(outrigger(['ready'], remote)).toBe('LIVE\n')

    const secret = /SecretID: +(\S+)/.exec(outrigger(['acl', 'bootstrap'], remote))![1]!
    const admin = { ...remote, CONSUL_HTTP_TOKEN: secret }
    outrigger(['acl', 'policy', 'create', '-name=pods', '-rules=node_prefix "" { policy = "write" }'], admin)
    const token = /SecretID: +(\S+)/.exec(outrigger(['acl', 'token', 'create', '-service-identity=web', '-policy-name=pods'], admin))![1]!
    writeFileSync(join(dir, 'token/token'), token)
    writeFileSync(join(dir, 'token/tokens.json'), JSON.stringify({ acl: { tokens: { default: token, agent: token } } }))
    writeFileSync(join(dir, 'agent.d/agent.json'), placed(ofKind(web, 'ConfigMap', 'outrigger-agent').data['agent.json']!))
    writeFileSync(join(dir, 'service.d/web.json'), ofKind(web, 'ConfigMap', 'web-service').data['web.json']!)

    const [agent, sidecar] = ofKind(web, 'Deployment').spec.template.spec.initContainers as [Container, Container]
    expect([agent.restartPolicy, sidecar.restartPolicy]).toEqual(['Always', 'Always'])
    const local = { http: await freePort(), grpc: await freePort(), ready: await freePort() }
    places.set('/etc/outrigger', join(dir, 'agent.d')).set('-config-dir=/token', `-config-dir=${dir}/token`).set('=/data', `=${dir}/data`)
    places.set('outrigger-control.outrigger:8501', `127.0.0.1:${ports.https}`).set('$(POD_NAME)', 'web-0').set('$(POD_IP)', '127.0.0.1')
    places.set('=19100', `=${local.ready}`)
    const here = ['-http-port', String(local.http), '-grpc-port', String(local.grpc), '-dns-port', '-1']
    const pods = { CONSUL_HTTP_TOKEN_FILE: join(dir, 'token/token'), CONSUL_HTTP_ADDR: `127.0.0.1:${local.http}` }
    const agentLog = start([...agent.args, ...here], pods)
    await until('the agent', () => (agentLog().includes('http ') ? true : undefined))
    expect(outrigger(agent.startupProbe.exec.command.slice(2), pods)).toBe('LIVE\n')
    const split = sidecar.args.indexOf('--')
    const bind = ['-admin-bind', `127.0.0.1:${await freePort()}`]
    const sidecarLog = start([...sidecar.args.slice(0, split), ...bind, ...sidecar.args.slice(split)], {
      ...pods,
      CONSUL_GRPC_ADDR: `127.0.0.1:${local.grpc}`,
    })
    for (const { httpGet } of [sidecar.startupProbe, sidecar.readinessProbe, sidecar.livenessProbe])
      await until(`${httpGet.path} of the sidecar`, async () => {
        sidecarLog()
        return (await probe(local.ready, httpGet.path)) === 200 || undefined
      })
    expect(await probe(local.ready, '/stats')).toBe(404)
  }, 120_000)
})
