// The README's commands, pasted block by block into a new shell, as a reader would. Those that install, test or show the demo are what CI runs.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
/** The ports that the README names. Where one is taken by somebody else the blocks cannot run. */
const PORTS = [8500, 8502, 8600, 9002, 9003, 9191, 9901, 10000, 21000, 21001, 21002]

/** Shell blocks, those that begin with `npm ci` aside. */
function blocks(): string[] {
  const found = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^```\n([\s\S]*?)^```$/gm)].map(match => match[1]!)
  return found.filter(block => /^(bin\/outrigger|# )/.test(block))
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise(resolve => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

let folder: string
let shell: ChildProcess | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-readme-'))
  for (const name of ['bin', 'dist', 'examples']) symlinkSync(join(root, name), join(folder, name))
})
afterEach(async () => {
  if (shell?.pid !== undefined) while (signalled(-shell.pid)) await new Promise(resolve => setImmediate(resolve))
  rmSync(folder, { recursive: true, force: true })
})

/** Whether there was still somebody to stop: what a block leaves running is in the shell's process group. */
function signalled(group: number): boolean {
  try {
    return process.kill(group, 'SIGKILL')
  } catch {
    return false
  }
}

async function paste(block: string): Promise<{ code: number; output: string }> {
  const running = spawn('bash', ['-e', '-c', block], { cwd: folder, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  shell = running
  let output = ''
  for (const stream of [running.stdout, running.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = (await once(running, 'exit')) as [number]
  return { code, output }
}

test('every block of commands is found', () => {
  expect(blocks().map(block => block.split('\n').length)).toEqual([5, 21])
})

test('the plain proxy', async ({ skip }) => {
  for (const port of PORTS) if (!(await isFree(port))) skip(`port ${port} of the README is taken`)
  const { code, output } = await paste(blocks()[0]!)
  expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/OK\nLIVE\n/) })
})

test('a mesh of your own', async ({ skip }) => {
  for (const port of PORTS) if (!(await isFree(port))) skip(`port ${port} of the README is taken`)
  const { code, output } = await paste(blocks()[1]!)
  expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^api-v[12]: GET \/\n/) })
  const lines = output.split('\n')
  expect(lines.filter(line => /^api-v[12]: GET \/$/.test(line))).toHaveLength(7)
  expect(output).toContain('applied service-splitter/api')
  expect(output).toMatch(/allowed: /)
  expect(output).toMatch(/web-sidecar-proxy/)
})
