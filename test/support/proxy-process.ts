// One outrigger-proxy as a real process: writes its bootstrap, starts bin/outrigger-proxy, waits for /ready, keeps its log, reads its
// stats, stops it by pid. Used by test/integration. OUTRIGGER_BIN names another executable (the real Envoy takes the same flags).
// Invariant: stopAll() in afterAll leaves no process and no folder behind.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { freePort } from './port-range.js'

export { freePort }

export const proxyBin = process.env['OUTRIGGER_BIN'] ?? fileURLToPath(new URL('../../bin/outrigger-proxy', import.meta.url))

/** OUTRIGGER_CONCURRENCY=2 runs every test that does not say otherwise with worker processes. */
const DEFAULT_FLAGS = [
  ['--drain-time-s', '5'],
  ['--concurrency', process.env['OUTRIGGER_CONCURRENCY'] ?? '1'],
] as const
const READY_WITHIN_MS = 90_000
const STOP_WITHIN_MS = 20_000

/** Polls another process until `check` holds; fails with `what` and the last value seen. */
export async function until<T>(what: string, check: () => T | Promise<T>, withinMs = 60_000): Promise<NonNullable<T>> {
  const deadline = Date.now() + withinMs
  let last: unknown
  while (Date.now() < deadline) {
    try {
      const value = await check()
      if (value) return value as NonNullable<T>
      last = value
    } catch (error) {
      last = error
    }
    await new Promise(resolve => setTimeout(resolve, 15))
  }
  throw new Error(`not within ${withinMs} ms: ${what} (last: ${last instanceof Error ? last.message : JSON.stringify(last)})`)
}

export interface AdminAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export interface ProxyRun {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface ProxyOptions {
  /** A bootstrap object (its `admin` is added when missing), or the file's text. */
  readonly bootstrap: object | string
  readonly format?: 'json' | 'yaml'
  readonly flags?: readonly string[]
  readonly bin?: string
  readonly untilReady?: boolean
  /** Where the bootstrap's own `admin` listens, when it has one. */
  readonly adminPort?: number
  /** The whole command line in place of ours: for a launcher that writes the bootstrap and execs the proxy itself. */
  readonly argv?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

const started = new Set<ProxyProcess>()

export class ProxyProcess {
  readonly adminPort: number
  readonly child: ChildProcess
  log = ''
  exit: Promise<ProxyRun>
  private readonly dir: string

  private constructor(child: ChildProcess, adminPort: number, dir: string) {
    this.child = child
    this.adminPort = adminPort
    this.dir = dir
    let stdout = ''
    let stderr = ''
    child.stdout!.on('data', (chunk: Buffer) => {
      stdout += chunk
      this.log += chunk
    })
    child.stderr!.on('data', (chunk: Buffer) => {
      stderr += chunk
      this.log += chunk
    })
    this.exit = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }))
  }

  static async start(options: ProxyOptions): Promise<ProxyProcess> {
    const adminPort = options.adminPort ?? (await freePort())
    const proxy = spawnProxy(options, adminPort, (child, dir) => new ProxyProcess(child, adminPort, dir))
    started.add(proxy)
    if (options.untilReady !== false) await proxy.ready()
    return proxy
  }

  /** Run to the end: for bad input and --mode validate. */
  static async run(options: ProxyOptions): Promise<ProxyRun> {
    const proxy = await ProxyProcess.start({ ...options, untilReady: false })
    const timer = setTimeout(() => proxy.child.kill('SIGKILL'), READY_WITHIN_MS)
    const run = await proxy.exit
    clearTimeout(timer)
    proxy.clean()
    return run
  }

  async ready(): Promise<void> {
    let gone = false
    void this.exit.then(() => {
      gone = true
    })
    try {
      await until('/ready', async () => gone || (await this.get('/ready')).status === 200, READY_WITHIN_MS)
    } catch (error) {
      const why = await this.get('/ready').catch(() => null)
      throw new Error(`${(error as Error).message}; ${why?.body} ${why?.headers['x-outrigger-detail']}\n${this.log}`)
    }
    if (gone) throw new Error(`the proxy ended before it was ready:\n${this.log}`)
  }

  get(path: string): Promise<AdminAnswer> {
    return this.admin('GET', path)
  }

  post(path: string): Promise<AdminAnswer> {
    return this.admin('POST', path)
  }

  private admin(method: string, path: string): Promise<AdminAnswer> {
    return new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port: this.adminPort, path, method, agent: false }, response => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', chunk => (body += chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
        response.on('error', reject)
      })
      sent.on('error', reject)
      sent.end()
    })
  }

  async json(path: string) {
    return JSON.parse((await this.get(path)).body)
  }

  /** A counter's or gauge's value by its full name; 0 when it is not there. */
  async stat(name: string): Promise<number> {
    return (await this.stats()).get(name) ?? 0
  }

  async stats(): Promise<Map<string, number>> {
    const lines = (await this.get('/stats')).body.split('\n')
    const values = new Map<string, number>()
    for (const line of lines) {
      const at = line.lastIndexOf(': ')
      if (at > 0) values.set(line.slice(0, at), Number(line.slice(at + 2)))
    }
    return values
  }

  untilStat(name: string, check: (value: number) => boolean, withinMs?: number): Promise<unknown> {
    return until(
      `${name} as expected`,
      async () => check(await this.stat(name)) || Promise.reject(new Error(`${name} = ${await this.stat(name)}`)),
      withinMs,
    )
  }

  /** The log comes through a pipe: what the process wrote before its last answer may arrive after it. */
  async untilLog(line: string | RegExp): Promise<void> {
    await until(`the log line ${line}`, () => (typeof line === 'string' ? this.log.includes(line) : line.test(this.log)))
  }

  residentBytes(): Promise<number> {
    return this.stat('server.memory_physical_size')
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name)
  }

  async stop(): Promise<ProxyRun> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_WITHIN_MS)
    const run = await this.exit
    clearTimeout(timer)
    this.clean()
    return run
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exit
    this.clean()
  }

  private clean(): void {
    started.delete(this)
    rmSync(this.dir, { recursive: true, force: true })
  }
}

function spawnProxy(options: ProxyOptions, adminPort: number, make: (child: ChildProcess, dir: string) => ProxyProcess): ProxyProcess {
  const dir = mkdtempSync(join(tmpdir(), 'outrigger-test-'))
  const yaml = options.format === 'yaml' || typeof options.bootstrap === 'string'
  const file = join(dir, yaml ? 'bootstrap.yaml' : 'bootstrap.json')
  if (typeof options.bootstrap === 'string') writeFileSync(file, options.bootstrap)
  else {
    const whole = { admin: { address: socketAddress(adminPort) }, ...options.bootstrap }
    writeFileSync(file, yaml ? stringify(whole) : JSON.stringify(whole))
  }
  const bin = options.bin ?? proxyBin
  const flags = options.flags ?? []
  // Envoy refuses a flag that stands twice.
  const defaults = DEFAULT_FLAGS.flatMap(([name, value]) => (flags.includes(name) ? [] : [name, value]))
  const own = ['--disable-hot-restart', ...(flags.includes('-c') ? [] : ['-c', file]), ...defaults, ...flags]
  const env = options.env ?? process.env
  return make(spawn(bin, options.argv ?? own, { stdio: ['ignore', 'pipe', 'pipe'], env }), dir)
}

/** Ends every proxy of this test file; call it in afterAll. */
export async function stopAll(): Promise<void> {
  await Promise.all([...started].map(proxy => proxy.kill()))
}

// ---- config pieces, as Envoy's JSON ---------------------------------------------------------------------------------------------

export function socketAddress(port: number, address = '127.0.0.1'): object {
  return { socket_address: { address, port_value: port } }
}

const types = 'type.googleapis.com/envoy.extensions'

export function typed(name: string, type: string, config: object = {}): object {
  return { name, typed_config: { '@type': `${types}.${type}`, ...config } }
}

export const router = typed('envoy.filters.http.router', 'filters.http.router.v3.Router')

export function hcm(config: object, filters: readonly object[] = [router]): object {
  return typed('envoy.filters.network.http_connection_manager', 'filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'ingress',
    http_filters: filters,
    ...config,
  })
}

export function tcpProxy(cluster: string, config: object = {}): object {
  return typed('envoy.filters.network.tcp_proxy', 'filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'tcp', cluster, ...config })
}

export function networkRbac(rules: object, prefix = 'rbac'): object {
  return typed('envoy.filters.network.rbac', 'filters.network.rbac.v3.RBAC', { stat_prefix: prefix, rules })
}

export function httpRbac(rules: object): object {
  return typed('envoy.filters.http.rbac', 'filters.http.rbac.v3.RBAC', { rules })
}

/** RBAC rules that allow one SPIFFE URI and nothing else. */
export function allowOnly(uri: string): object {
  return {
    action: 'ALLOW',
    policies: { intention: { permissions: [{ any: true }], principals: [{ authenticated: { principal_name: { exact: uri } } }] } },
  }
}

export function listener(name: string, port: number, filters: readonly object[], more: object = {}, chain: object = {}): object {
  return { name, address: socketAddress(port), filter_chains: [{ filters, ...chain }], ...more }
}

export function routesTo(cluster: string, name = 'routes'): object {
  return { name, virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster } }] }] }
}

export function staticCluster(name: string, port: number, more: object = {}): object {
  return { name, type: 'STATIC', connect_timeout: '2s', load_assignment: assignment(name, [port]), ...more }
}

export function assignment(name: string, ports: readonly number[]): object {
  return { cluster_name: name, endpoints: [{ lb_endpoints: ports.map(port => ({ endpoint: { address: socketAddress(port) } })) }] }
}

export const fileAccessLog = (format: string): object =>
  typed('envoy.access_loggers.stdout', 'access_loggers.stream.v3.StdoutAccessLog', {
    log_format: { text_format_source: { inline_string: `${format}\n` } },
  })
