// Consul's own Go client as a judge: builds test/support/consul-api-go with `go` once (kept under the system's temporary folder, named by
// the hash of its sources) and runs its calls against an agent. Used by test/integration/consul-api-go.test.ts.
import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const sources = fileURLToPath(new URL('./consul-api-go', import.meta.url))
const hash = createHash('sha256')
for (const file of readdirSync(sources).sort()) hash.update(readFileSync(join(sources, file)))
const folder = join(tmpdir(), `outrigger-consul-api-go-${hash.digest('hex').slice(0, 16)}`)
const binary = join(folder, 'judge')
/** Without a build cache, and with the modules still to come. */
export const BUILD_WITHIN_MS = 300_000
export const RUN_WITHIN_MS = 240_000

const DOWNLOAD_WITHIN_MS = 120_000

function missing(): string {
  if (existsSync(binary)) return ''
  const { error, status } = spawnSync('go', ['mod', 'download'], { cwd: sources, timeout: DOWNLOAD_WITHIN_MS })
  if (error !== undefined && (error as NodeJS.ErrnoException).code === 'ENOENT') return '(go is not installed)'
  return status === 0 ? '' : '(its modules are not to be had by the go that is installed)'
}

/** Why the tests cannot run here, or ''. */
export const consulApiGoMissing = missing()

export interface Verdict {
  readonly name: string
  /** Empty: the call did what it does with Consul. */
  readonly error: string
}

/** Builds the judge unless it is there. Rejects with the compiler's words. */
export async function buildJudge(): Promise<void> {
  if (existsSync(binary)) return
  mkdirSync(folder, { recursive: true })
  const half = `${binary}.${process.pid}`
  await promisify(execFile)('go', ['build', '-o', half, '.'], { cwd: sources, timeout: BUILD_WITHIN_MS - 10_000 })
  renameSync(half, binary)
}

/** Every call's verdict, in the order in which they were made. */
export async function judge(httpAddress: string): Promise<Verdict[]> {
  const env = { ...process.env, CONSUL_HTTP_ADDR: httpAddress }
  const { stdout } = await promisify(execFile)(binary, [], { env, timeout: RUN_WITHIN_MS, maxBuffer: 1 << 24 })
  return stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Verdict)
}
