// `outrigger dev` and `outrigger run` as a developer uses them: two applications that know nothing of a mesh are in one, with mTLS between them, by
// one line each; a changed file starts its application anew; exit codes, signals and `kill -9` leave nothing behind.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce } from '../support/http1-client.js'
import { freePort, until } from '../support/proxy-process.js'

const outrigger = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'outrigger-dev-'))
const started: Command[] = []

class Command {
  readonly child: ChildProcess
  log = ''
  /** It has ended, and all that it said is here. */
  private silent = false

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(process.execPath, [outrigger, ...args], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.child.stdout!, this.child.stderr!]) stream.on('data', (chunk: Buffer) => (this.log += chunk))
    this.child.once('close', () => {
      this.silent = true
    })
    started.push(this)
  }

  async says(text: string | RegExp): Promise<void> {
    const has = (): boolean => (typeof text === 'string' ? this.log.includes(text) : text.test(this.log))
    await until(`it says ${text}`, () => {
      if (!has() && this.silent) throw new Error(`it ended: ${this.log}`)
      return has()
    })
  }

  async end(): Promise<number | null> {
    if (!this.silent) await once(this.child, 'close')
    return this.child.exitCode
  }
}

function application(name: string, code: string): void {
  writeFileSync(join(folder, name), code)
}

const API = (words: string): string => `
import { createServer } from 'node:http'
createServer((request, response) => {
  const caller = /URI=([^;,]+)/.exec(request.headers['x-forwarded-client-cert'] ?? '')?.[1]
  response.end('${words} ' + caller)
}).listen(process.env.PORT, '127.0.0.1', () => console.log('api listens, pid ' + process.pid))
`
const WEB = `
import { createServer } from 'node:http'
createServer(async (_request, response) => response.end(await (await fetch(process.env.API_URL)).text()))
  .listen(process.env.PORT, '127.0.0.1', () => console.log('web listens'))
`

/** From the line on; what users are promised is two minutes. */
const PROMISED_MS = 120_000
const steps: { readonly step: string; readonly ms: number }[] = []
let begun = 0
const passed = (step: string): void => void steps.push({ step, ms: Math.round(performance.now() - begun) })

let httpPort: number
let webPort: number
let dev: Command
const env = (): NodeJS.ProcessEnv => ({ CONSUL_HTTP_ADDR: `127.0.0.1:${httpPort}` })
const proxies = async (): Promise<readonly { ID: string; Connected: boolean }[]> =>
  (await fetch(`http://127.0.0.1:${httpPort}/v1/outrigger/proxies`)).json() as never
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

beforeAll(async () => {
  application('api.mjs', API('hello'))
  application('web.mjs', WEB)
  httpPort = await freePort()
  webPort = await freePort()
  const services = ['--service', 'api=node api.mjs', '--service', 'web=node web.mjs', '--upstream', 'web=api', '--port', `web=${webPort}`]
  begun = performance.now()
  dev = new Command(['dev', '--http-addr', `127.0.0.1:${httpPort}`, ...services])
  await dev.says('the mesh is there')
  passed('control plane and sidecars')
  await dev.says('web listens')
  await dev.says('api listens')
  passed('applications')
}, PROMISED_MS)

afterAll(async () => {
  for (const { child } of started) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const answer = async (port: number): Promise<string> => (await fetchOnce(port, '/')).body.toString()

it('two applications are in a mesh with mTLS by one line: the callee is told who calls, by certificate', async () => {
  expect(await until('web answers', async () => (await answer(webPort)).match(/^hello spiffe:.*/)?.[0])).toMatch(
    /^hello spiffe:\/\/.*\/svc\/web$/,
  )
  passed('a call by mTLS')
  expect(steps.map(({ step }) => step)).toEqual(['control plane and sidecars', 'applications', 'a call by mTLS'])
  expect(steps.at(-1)!.ms, JSON.stringify(steps)).toBeLessThan(PROMISED_MS)
  // Whole lines, each behind the name of who wrote it; no colours without a terminal.
  expect(dev.log).toMatch(/^web +\| web listens$/m)
  expect(dev.log).not.toContain('\x1b')
})

it('a changed file starts its application anew, and that alone', async () => {
  const webStarts = dev.log.split('web listens').length
  application('api.mjs', API('again'))
  await dev.says(/its files have changed[\s\S]*api listens/)
  await until('the new one answers', async () => (await answer(webPort)).startsWith('again'))
  expect(dev.log.split('web listens').length).toBe(webStarts)
})

describe('run', () => {
  it('is in the mesh until it ends, with its exit code, and leaves nothing', async () => {
    const job = new Command(['run', '--service', 'job', '--upstream', 'api', '--', process.execPath, '-e', JOB], env())
    expect(await job.end()).toBe(7)
    expect(job.log).toMatch(/again spiffe:\/\/.*\/svc\/job/)
    expect((await proxies()).map(({ ID }) => ID).sort()).toEqual(['api-sidecar-proxy', 'web-sidecar-proxy'])
  })

  it('hands signals on, and ends as the application does', async () => {
    const code = "process.on('SIGTERM', () => process.exit(3)); setInterval(() => {}, 1000); console.log('runs')"
    const job = new Command(['run', '--service', 'job', '--', process.execPath, '-e', code], env())
    await job.says('runs')
    expect((await proxies()).find(({ ID }) => ID === 'job-sidecar-proxy')?.Connected).toBe(true)
    const second = new Command(['run', '--service', 'job', '--', 'true'], env())
    expect(await second.end()).toBe(1)
    expect(second.log).toContain('runs already: name this one by --id')
    job.child.kill('SIGTERM')
    expect(await job.end()).toBe(3)
  })

  it('killed, leaves no process of its own', async () => {
    const code = "console.log('pid ' + process.pid); setInterval(() => {}, 1000)"
    const job = new Command(['run', '--service', 'lost', '--', process.execPath, '-e', code], env())
    await job.says(/pid \d+\n/)
    const pid = Number(/pid (\d+)/.exec(job.log)![1])
    job.child.kill('SIGKILL')
    await until('the application is gone', () => !isAlive(pid))
    await until('its sidecar is gone', async () => (await proxies()).find(({ ID }) => ID === 'lost-sidecar-proxy')?.Connected === false)
  })

  it('says in one line what it cannot do', async () => {
    const none = new Command(['run', '--service', 'job', '--', '/no/such/program'], env())
    expect(await none.end()).toBe(1)
    expect(none.log).toContain('ENOENT')
    const nowhere = new Command(['run', '--service', 'job', '--', 'true'], { CONSUL_HTTP_ADDR: '127.0.0.1:1' })
    expect(await nowhere.end()).toBe(1)
    expect(nowhere.log).toContain('cannot reach the control plane')
  })
})

it('Ctrl-C ends all of it', async () => {
  const pid = Number(/api listens, pid (\d+)(?![\s\S]*api listens)/.exec(dev.log)![1])
  dev.child.kill('SIGINT')
  expect(await dev.end()).toBe(0)
  await until('the application is gone', () => !isAlive(pid))
})

const JOB = `
fetch(process.env.API_URL).then(response => response.text()).then(text => {
  console.log(text)
  process.exit(7)
})
`
