// `outrigger sync` as a process against a control plane of its own: it follows the catalog, answers its commands, runs once or dry, and ends
// with what it started. Two processes share the work by a lock, and kill -9 of the one hands it on.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { MeshFixture } from '../support/mesh-fixture.js'
import { until } from '../support/proxy-process.js'

const bin = fileURLToPath(new URL('../../bin/outrigger', import.meta.url))
const mesh = new MeshFixture()
const children: ChildProcess[] = []
beforeAll(() => mesh.start(), 100_000)
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await mesh.stop()
})

const at = (file: string): string => join(mesh.dir, file)
const read = (file: string): string => readFileSync(at(file), 'utf8')

interface Outcome {
  readonly out: string
  readonly err: string
  readonly code: number
}

async function run(...args: readonly string[]): Promise<Outcome> {
  const result = await promisify(execFile)(process.execPath, [bin, ...args]).catch(
    (error: { stdout: string; stderr: string; code: number }) => error,
  )
  return { out: result.stdout, err: result.stderr, code: 'code' in result ? result.code : 0 }
}

/** Resolves with the port of its status API. */
async function start(config: string, ...flags: readonly string[]): Promise<{ child: ChildProcess; port: string }> {
  const child = spawn(process.execPath, [bin, 'sync', '-config', at(config), '-http-addr', mesh.url, '-port', '0', ...flags], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  children.push(child)
  let out = ''
  child.stdout!.on('data', chunk => (out += chunk))
  await until('outrigger sync says where it is', async () => expect(out).toMatch(/status API at/), 60_000)
  return { child, port: /:(\d+)\n/.exec(out)![1]! }
}

function write(name: string, task: string, more = ''): string {
  writeFileSync(
    at(name),
    `working_dir = "${at(`${name}.d`)}"\nid = "${name}"\nbuffer_period { enabled = false }\n${more}\ntask "web" {\n${task}\n}\n`,
  )
  return name
}

const template = (out: string): string => `template {
  destination = "${at(out)}"
  contents    = "{{ range service \\"web\\" }}{{ .Port }};{{ end }}{{ keyOrDefault \\"k\\" \\"\\" }}"
}`

it('follows, answers its commands, and ends with SIGTERM', async () => {
  await mesh.register('web', { name: 'web', port: 8080 })
  const config = write('one.hcl', template('one.out'))
  const dry = await run('sync', '-config', at(config), '-http-addr', mesh.url, '-inspect')
  expect(dry).toMatchObject({ code: 0, out: expect.stringContaining('+8080;') })
  const { child, port } = await start(config)
  await until('the file', async () => expect(read('one.out')).toBe('8080;'))
  await mesh.write('/v1/kv/k', { x: 1 })
  await until('the new file', async () => expect(read('one.out')).toBe('8080;{"x":1}'))
  const flags = ['--port', port]
  expect((await run('sync', 'task', 'list', ...flags)).out).toMatch(/^web +template +on +successful /m)
  expect(await run('sync', 'task', 'disable', 'web', ...flags)).toMatchObject({ code: 0, out: 'web: disabled\n' })
  expect((await run('sync', 'task', 'list', '--json', ...flags)).out).toMatch(/"enabled": false/)
  writeFileSync(at('one.out'), 'by hand')
  expect((await run('sync', 'task', 'run', '-inspect', 'web', ...flags)).out).toMatch(/^-by hand$/m)
  expect((await run('sync', 'task', 'run', 'web', ...flags)).out).toBe(`web: wrote ${at('one.out')}\n`)
  expect(await run('sync', 'task', 'run', 'nothing', ...flags)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^outrigger: .*does not exist/),
  })
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})

it('runs once, and says what went wrong', async () => {
  const good = write('once.hcl', template('once.out'))
  expect(await run('sync', '-config', at(good), '-http-addr', mesh.url, '-once')).toMatchObject({
    code: 0,
    out: `web: wrote ${at('once.out')}\n`,
  })
  const bad = write('bad.hcl', template('bad.out').replace('contents', 'check = ["false"]\n contents'))
  expect(await run('sync', '-config', at(bad), '-http-addr', mesh.url, '-once')).toMatchObject({
    code: 1,
    err: 'outrigger: task web: check false: exit code 1\n',
  })
  writeFileSync(at('worse.yaml'), 'task:\n  - {name: x, colour: red}\n')
  expect(await run('sync', '-config', at('worse.yaml'))).toMatchObject({
    code: 1,
    err: expect.stringMatching(/task "x": needs one of module.*\noutrigger: .*task "x".colour: is no field of this block/),
  })
})

it('killed between rendering and swap leaves the old file whole, and killed before the reload has the program told by the next one', async () => {
  await mesh.register('web', { name: 'web', port: 8080 })
  const folder = at('killed')
  mkdirSync(folder)
  writeFileSync(join(folder, 'out'), 'the old one')
  const once = async (name: string, more: string): Promise<Outcome> => {
    const own = template('killed/out')
    const task = more.startsWith('check') ? own.replace('contents', `${more}\n contents`) : `${own}\n${more}`
    return run('sync', '-config', at(write(name, task)), '-http-addr', mesh.url, '-once')
  }
  // The check runs when all candidates are there and nothing is swapped in.
  const killed = await once('killed.hcl', 'check = ["sh", "-c", "kill -9 $PPID"]')
  expect(killed).toMatchObject({ out: '', code: null })
  expect([read('killed/out'), readdirSync(folder).length]).toEqual(['the old one', 2])
  // The next one takes away what lies there, and is killed when the file is in its place and the program not told.
  const told = at('killed.told')
  await once('killed.hcl', 'reload = ["sh", "-c", "kill -9 $PPID"]')
  expect([read('killed/out'), readdirSync(folder)]).toEqual([expect.stringMatching(/^8080;/), ['out']])
  expect(await once('killed.hcl', `reload = ["touch", "${told}"]`)).toMatchObject({
    code: 0,
    out: 'web: reloaded for files that were written before\n',
  })
  expect(existsSync(told)).toBe(true)
  rmSync(told)
  expect(await once('killed.hcl', `reload = ["touch", "${told}"]`)).toMatchObject({ code: 0 })
  expect(existsSync(told)).toBe(false)
})

it('of two that share the work the other goes on after kill -9', async () => {
  const shared = 'high_availability {\n  cluster {\n    storage "consul" { session_ttl = "10s" }\n  }\n}'
  const first = await start(write('ha-1.hcl', template('ha.out'), shared))
  await until('the first leads', async () => expect(read('ha.out')).not.toBe(''))
  const second = await start(write('ha-2.hcl', template('ha.out'), shared))
  expect((await run('sync', 'task', 'list', '--port', second.port)).out).toMatch(/^web +template +on +unknown$/m)
  first.child.kill('SIGKILL')
  // What the server does when the session has not been renewed for so long.
  const [{ Session }] = await mesh.read<[{ Session: string }]>('/v1/kv/consul-terraform-sync/cts/leader')
  await mesh.write(`/v1/session/destroy/${Session}`)
  await mesh.write('/v1/kv/k', { x: 2 })
  await until('the second leads', async () => expect(read('ha.out')).toContain('"x":2'), 60_000)
})
