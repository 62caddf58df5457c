// `npm run demo` as a user runs it: real processes, real ports, each run on a span of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { PORT_SPAN, portsInUse, portTable } from '../../src/cli/demo/port-table.js'
import { freeSpan } from '../support/port-range.js'
import { proxyBin } from '../support/proxy-process.js'

/** Beside the executable that the other integration tests run (OUTRIGGER_BIN names another build). */
const DEMO_MAIN = join(dirname(proxyBin), '../dist/cli/demo/demo-main.js')
const RUN_TIMEOUT_MS = 180_000
const envoy = process.env['ENVOY_BIN']

class Demo {
  readonly child: ChildProcess
  text = ''
  readonly ended: Promise<number | null>
  private readonly watchers = new Set<() => void>()

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [DEMO_MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.child.stdout!, this.child.stderr!])
      stream.on('data', (chunk: Buffer) => {
        this.text += chunk.toString('utf8')
        for (const watcher of this.watchers) watcher()
      })
    this.ended = new Promise(resolve =>
      this.child.once('close', code => {
        for (const watcher of this.watchers) watcher()
        resolve(code)
      }),
    )
  }

  /** Resolves when that has been printed, or the demo has ended. */
  printed(what: string): Promise<void> {
    return new Promise(resolve => {
      const watcher = (): void => {
        if (!this.text.includes(what) && this.child.exitCode === null) return
        this.watchers.delete(watcher)
        resolve()
      }
      this.watchers.add(watcher)
      watcher()
    })
  }
}

const demos: Demo[] = []
function demo(...args: string[]): Demo {
  const started = new Demo(...args)
  demos.push(started)
  return started
}

/** Resolves when nothing listens on the demo's ports any more; the test's own time limit ends the wait. */
async function portsFree(base: number): Promise<void> {
  while ((await portsInUse(portTable(base))).length > 0) await new Promise(resolve => setTimeout(resolve, 20))
}

afterEach(async () => {
  for (const { child } of demos.splice(0)) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
})

describe('the demo', () => {
  it('--once shows every fact and exits 0', { timeout: RUN_TIMEOUT_MS }, async () => {
    const base = await freeSpan(PORT_SPAN)
    const run = demo('--once', '--port-base', String(base))
    expect([await run.ended, run.text]).toEqual([0, expect.stringContaining('Every fact held.')])
    expect(run.text).not.toContain('FAILED')
    expect(run.text).toMatch(/ok +the sidecar says why: .*no intention matched.*batch/)
    expect(run.text).not.toContain('\x1b')
    expect(await portsInUse(portTable(base))).toEqual([])
  })

  it('names a port that is in use, and starts nothing', async () => {
    const base = await freeSpan(PORT_SPAN)
    const { application } = portTable(base).instances['api-v1']
    const server = createServer().listen(application, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    const run = demo('--once', '--port-base', String(base))
    const code = await run.ended
    server.close()
    expect([code, run.text]).toEqual([
      1,
      `demo: port 127.0.0.1:${application} (the application api-v1) is in use\ndemo: free it, or move all ports with --port-base\n`,
    ])
  })

  it('stays up until Ctrl-C, which stops every process', { timeout: RUN_TIMEOUT_MS }, async () => {
    const base = await freeSpan(PORT_SPAN)
    const run = demo('--port-base', String(base))
    await run.printed('Ctrl-C stops everything.')
    const line = run.text.split('\n').find(text => text.includes('/hello') && text.includes('curl http')) ?? ''
    const answer = await fetch(/http\S+/.exec(line)?.[0] ?? '')
    expect(await answer.json()).toMatchObject({ service: 'web', upstream: { status: 200, body: { service: 'api', version: 'v2' } } })
    run.child.kill('SIGINT')
    expect(await run.ended).toBe(0)
    await portsFree(base)
  })

  it('leaves no process behind when it is killed', { timeout: RUN_TIMEOUT_MS }, async () => {
    const base = await freeSpan(PORT_SPAN)
    const run = demo('--port-base', String(base))
    await run.printed('1. ')
    run.child.kill('SIGKILL')
    await run.ended
    await portsFree(base)
  })

  it('refuses an instance that it does not have', async () => {
    const run = demo('--once', '--envoy', 'nobody')
    expect([await run.ended, run.text]).toEqual([1, expect.stringMatching(/^demo: option '--envoy <names>'.*"nobody" is none of/)])
  })
})

describe.skipIf(!envoy)('the demo with the real Envoy (needs ENVOY_BIN)', () => {
  it.each(['web', 'api', 'all'])('--envoy %s', { timeout: RUN_TIMEOUT_MS }, async names => {
    expect(existsSync(envoy!)).toBe(true)
    const run = demo('--once', '--envoy', names, '--port-base', String(await freeSpan(PORT_SPAN)))
    expect([await run.ended, run.text]).toEqual([0, expect.stringContaining('Every fact held.')])
  })
})
