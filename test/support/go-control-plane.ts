// go-control-plane as a process: builds test/support/go-control-plane with `go` once (kept under the system's temporary folder, named by
// the hash of its sources), starts it, sets its snapshots, reads what it saw; and its own integration driver, `pkg/test/main`. Used by
// test/integration/go-control-plane*.test.ts.
// Invariant: stopControlPlanes() in afterAll leaves no process behind; a server also ends when the test's end of its stdin does.
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { freePort, until } from './proxy-process.js'

const sources = fileURLToPath(new URL('./go-control-plane', import.meta.url))
const hash = createHash('sha256')
for (const file of ['main.go', 'go.mod', 'go.sum']) hash.update(readFileSync(join(sources, file)))
const folder = join(tmpdir(), `outrigger-go-control-plane-${hash.digest('hex').slice(0, 16)}`)
const binary = join(folder, 'server')
const driver = join(folder, 'driver')
/** The first build compiles all of Envoy's messages. */
export const BUILD_WITHIN_MS = 300_000

/** Why the tests cannot run here, or ''. A binary that an earlier run built is used without asking. */
function missing(built: string): string {
  if (existsSync(built)) return ''
  if (process.env['GO_CONTROL_PLANE'] !== '1') return 'GO_CONTROL_PLANE=1 is not set'
  return spawnSync('go', ['version']).status === 0 ? '' : 'go is not installed'
}

export const goControlPlaneMissing = missing(binary)
export const goDriverMissing = missing(driver)

/** Builds the server unless it is there. Rejects with the compiler's words. */
export function buildControlPlane(): Promise<void> {
  return build('.', binary)
}

/** The same for go-control-plane's integration driver, which comes with the module. */
export function buildDriver(): Promise<void> {
  return build('github.com/envoyproxy/go-control-plane/pkg/test/main', driver)
}

async function build(what: string, target: string): Promise<void> {
  if (existsSync(target)) return
  mkdirSync(folder, { recursive: true })
  const half = `${target}.${process.pid}`
  await promisify(execFile)('go', ['build', '-o', half, what], { cwd: sources, timeout: BUILD_WITHIN_MS - 10_000 })
  renameSync(half, target)
}

/** Runs the driver to its end: its exit code, and what it said. It ends by itself after a minute without a proxy. */
export async function runDriver(args: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(driver, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}

/** One line of the server's log; names as in the discovery messages. */
export interface Seen {
  readonly seq: number
  readonly kind: 'open' | 'close' | 'request' | 'response'
  readonly stream: number
  readonly delta: boolean
  readonly type: string
  readonly version?: string
  readonly nonce?: string
  readonly names?: readonly string[]
  readonly subscribe?: readonly string[]
  readonly unsubscribe?: readonly string[]
  readonly initial?: Readonly<Record<string, string>>
  readonly removed?: readonly string[]
  readonly count?: number
  readonly node?: string
  readonly error?: string
  readonly code?: number
  readonly metadata?: Readonly<Record<string, string>>
  readonly peer?: string
}

const started = new Set<GoControlPlane>()

export class GoControlPlane {
  readonly port: number
  private readonly controlPort: number
  private readonly args: readonly string[]
  private child: ChildProcess | null = null
  private version = 0

  private constructor(port: number, controlPort: number, args: readonly string[]) {
    this.port = port
    this.controlPort = controlPort
    this.args = args
  }

  static async start(...args: string[]): Promise<GoControlPlane> {
    const server = new GoControlPlane(await freePort(), await freePort(), args)
    started.add(server)
    await server.restart()
    return server
  }

  /** Starts it again after kill(), on the same ports and with no snapshot. */
  async restart(): Promise<void> {
    const address = (port: number): string => `127.0.0.1:${port}`
    this.child = spawn(binary, ['-xds', address(this.port), '-control', address(this.controlPort), ...this.args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await once(this.child.stdout!, 'data')
  }

  async kill(): Promise<void> {
    const { child } = this
    this.child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** A whole new snapshot, of all types. Returns its version. */
  async set(...resources: readonly object[]): Promise<string> {
    const version = `v${++this.version}`
    await this.post(`/snapshot?version=${version}`, resources)
    return version
  }

  async post(path: string, body: readonly object[] = []): Promise<void> {
    const answer = await this.call('POST', path, JSON.stringify(body))
    if (answer.status !== 200) throw new Error(`${path}: ${answer.body}`)
  }

  async seen(since = 0): Promise<Seen[]> {
    return JSON.parse((await this.call('GET', `/log?since=${since}`, '')).body) as Seen[]
  }

  /** Requests of a type (by the last part of its name), oldest first. */
  async requests(type?: string): Promise<Seen[]> {
    return (await this.seen()).filter(one => one.kind === 'request' && (type === undefined || one.type.endsWith(`.${type}`)))
  }

  /** Waits for a request and returns it. */
  request(what: string, check: (one: Seen) => boolean): Promise<Seen> {
    return until(what, async () => (await this.requests()).find(check))
  }

  private call(method: string, path: string, body: string): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port: this.controlPort, method, path, agent: false }, response => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', chunk => (text += chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
      })
      sent.on('error', reject)
      sent.end(body)
    })
  }
}

/** Ends every server of this test file; call it in afterAll. */
export async function stopControlPlanes(): Promise<void> {
  await Promise.all([...started].map(server => server.kill()))
  started.clear()
}
