// The files under examples/ are what a new user runs first: each is read by the code that it is meant for.
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { demoMesh } from '../src/cli/demo/mesh.js'
import { portTable } from '../src/cli/demo/port-table.js'
import { runOutrigger } from '../src/cli/outrigger-main.js'
import { ControlPlane } from '../src/control/control-plane.js'
import { parseBootstrap } from '../src/xds/bootstrap.js'
import { testIo } from './support/command-io.js'
import { proxyBin } from './support/proxy-process.js'

const MAX_EXAMPLE_LINES = 110
const envoy = process.env['ENVOY_BIN']
const example = (name: string): string => `${import.meta.dirname}/../examples/${name}`

it.each([
  'mesh.yaml',
  'config-entries.yaml',
  'static-bootstrap.yaml',
  'observability/tracing/bootstrap.yaml',
  'observability/tracing/proxy-defaults.yaml',
])('%s fits on a page or two', name => {
  expect(readFileSync(example(name), 'utf8').split('\n').length).toBeLessThan(MAX_EXAMPLE_LINES)
})

describe('examples/mesh.yaml', () => {
  let plane: ControlPlane | undefined
  afterEach(() => plane?.stop())

  it("is the demo's mesh", () => {
    expect(parse(readFileSync(example('mesh.yaml'), 'utf8'))).toEqual(demoMesh(portTable()))
  })

  it('starts a control plane, to which examples/config-entries.yaml can be applied', async () => {
    plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', meshFile: example('mesh.yaml') })
    await plane.start()
    let text = ''
    const print = (part: string | Buffer): void => void (text += part.toString())
    const io = { ...testIo(), out: print, err: print }
    const at = ['--http-addr', plane.httpAddress]
    expect(await runOutrigger(['apply', '-f', example('config-entries.yaml'), ...at], io)).toBe(0)
    expect(text).toBe('applied service-router/api\napplied service-splitter/api\napplied service-intentions/api\n')
    text = ''
    await runOutrigger(['explain', '--from', 'batch', '--to', 'api', '--method', 'GET', '--path', '/reports/today', ...at], io)
    expect(text).toMatch(/^allowed: /)
    text = ''
    await runOutrigger(['explain', '--from', 'web', '--to', 'api', '--method', 'DELETE', '--path', '/x', ...at], io)
    expect(text).toMatch(/^denied: /)
  })
})

describe.each(['static-bootstrap.yaml', 'observability/tracing/bootstrap.yaml'])('examples/%s', name => {
  const path = example(name)

  it('is a bootstrap that our proxy reads', () => {
    const parsed = parseBootstrap(readFileSync(path, 'utf8'))
    expect(parsed).toMatchObject({ ok: true, warnings: [] })
  })

  it('is one that our proxy finds valid', () => {
    expect(execFileSync(process.execPath, [proxyBin, '--mode', 'validate', '-c', path], { encoding: 'utf8' })).toMatch(/OK\n$/)
  })

  it.skipIf(!envoy)('is one that the real Envoy takes (needs ENVOY_BIN)', () => {
    execFileSync(envoy!, ['--mode', 'validate', '-c', path, '-l', 'error'], { stdio: 'pipe' })
  })
})

describe('examples/embed', () => {
  it.each([
    ['sidecar.mjs', [], '200 hello\n200 hello\n200 hello\nretries: 3\n'],
    [
      'http-filter.mjs',
      [],
      '401 a key is needed\n200 acme pays with **** **** **** 4444\n200 nobody pays with 1111 2222 3333 4444\nrefused: 1, acme: 1\n',
    ],
    ['control-plane.test.mjs', ['--test', '--test-reporter=tap'], /# pass 2\n# fail 0\n/],
  ])('%s runs to its end', (name, flags, shown) => {
    const { stdout, stderr, status } = spawnSync(process.execPath, [...flags, example(`embed/${name}`)], { encoding: 'utf8' })
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
    if (typeof shown === 'string') expect(stdout).toBe(shown)
    else expect(stdout).toMatch(shown)
  })
})

describe('the ports of the examples', () => {
  const folders = readdirSync(example(''), { withFileTypes: true }).filter(entry => entry.isDirectory())
  const fixedPorts = (folder: string): Set<number> => {
    const texts = readdirSync(example(folder), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => readFileSync(`${entry.parentPath}/${entry.name}`, 'utf8'))
    return new Set(texts.flatMap(text => [...text.matchAll(/\b2[89]\d{3}\b/g)].map(([port]) => Number(port))))
  }

  it('are of one example alone, so that two can run side by side', () => {
    // A deployment counts up from the hundreds that it is given, so the hundreds are compared.
    const owners = new Map<number, Set<string>>()
    for (const { name } of folders)
      for (const port of fixedPorts(name)) {
        const hundred = Math.floor(port / 100) * 100
        owners.set(hundred, (owners.get(hundred) ?? new Set()).add(name))
      }
    expect(owners.size).toBeGreaterThan(4)
    expect([...owners.keys()]).toContain(29_000)
    expect([...owners].filter(([, names]) => names.size > 1)).toEqual([])
  })
})
