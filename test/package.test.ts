// What a user installs: the files that `npm pack` takes, run where nothing else is.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const NOBODY = 65534
const MAX_INSTALLED_BYTES = 60 * 1024 * 1024
let folder: string

interface Packed {
  readonly unpackedSize: number
  readonly files: readonly { readonly path: string; readonly size: number }[]
}

let packed: Packed
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-package-'))
  const out = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8' })
  packed = (JSON.parse(out) as Packed[])[0]!
  // As an installation has them: readable by all, written by nobody.
  for (const { path } of packed.files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    cpSync(join(root, path), join(folder, path))
  }
  execFileSync('chmod', ['-R', 'a+rX', folder])
})
afterAll(() => rmSync(folder, { recursive: true }))

function bytesBelow(path: string): number {
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0)
}

const manifest = () => JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

test('the package holds executables, their bundle and documents, and nothing that points outside of it', () => {
  const paths = packed.files.map(file => file.path)
  for (const path of [
    'LICENSE',
    'README.md',
    'CHANGELOG.md',
    'bin/outrigger',
    'bin/outrigger-proxy',
    'bin/package.json',
    'dist/bundle/THIRD-PARTY.txt',
    'dist/bundle/index.js',
    'dist/console/index.html',
    'dist/console/THIRD-PARTY.txt',
  ])
    expect(paths).toContain(path)
  expect(
    paths.filter(
      path =>
        !/^(bin|dist\/bundle|dist\/console|dist\/types|docs|examples)\/|^(LICENSE|README\.md|CHANGELOG\.md|package\.json)$/.test(path),
    ),
  ).toEqual([])
  for (const path of paths.filter(name => name.endsWith('.js')))
    expect(readFileSync(join(root, path), 'utf8')).not.toContain('sourceMappingURL')
  expect(readFileSync(join(root, 'LICENSE'), 'utf8')).toContain('Apache License')
  expect(manifest()).toMatchObject({
    license: 'Apache-2.0',
    dependencies: { libsql: expect.any(String) },
    optionalDependencies: { koffi: expect.any(String) },
  })
  expect(manifest().private).toBeUndefined()
})

test('package and what it depends on stay below 60 MB', () => {
  const folders = ['@libsql', 'libsql', '@neon-rs', 'detect-libc', 'koffi', '@koromix'].map(name => join(root, 'node_modules', name))
  // What is optional need not be there.
  const native = folders.filter(folder => existsSync(folder)).reduce((sum, folder) => sum + bytesBelow(folder), 0)
  expect(packed.unpackedSize + native).toBeLessThan(MAX_INSTALLED_BYTES)
})

test('the bundle names every package that is part of it with its licence', () => {
  const notices = readFileSync(join(root, 'dist/bundle/THIRD-PARTY.txt'), 'utf8')
  for (const name of ['@bufbuild/protobuf', '@grpc/grpc-js', 'commander', 'fastify', 'pino', 'zod']) expect(notices).toContain(`\n${name} `)
})

test.each([
  [
    'outrigger-proxy',
    /^\noutrigger-proxy {2}version: 0001[0-9a-f]{36}\/1\.40\.0\/Clean\/RELEASE\/\S+\n\nOutrigger 0\.1\.0, standing for Envoy 1\.40\.0\n$/,
  ],
  ['outrigger', /0\.1\.0/],
])('%s says its version as another user, where no other package is', (name, version) => {
  const identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  const { stdout, stderr, status } = spawnSync(join(folder, 'bin', name), ['--version'], { encoding: 'utf8', cwd: '/', ...identity })
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
  expect(stdout).toMatch(version)
})

test.each(['outrigger', 'outrigger-proxy'])('%s runs by node itself where there is no shell', name => {
  const { status, stdout } = spawnSync(process.execPath, [join(folder, 'bin', name), '--version'], { encoding: 'utf8', env: { PATH: '' } })
  expect([status, stdout.includes('0.1.0')]).toEqual([0, true])
})

test.each(['outrigger', 'outrigger-proxy'])('%s without its bundle says what makes it', name => {
  const bare = mkdtempSync(join(folder, 'bare-'))
  cpSync(join(root, 'bin'), join(bare, 'bin'), { recursive: true })
  const { stderr, status } = spawnSync(process.execPath, [join(bare, 'bin', name), '--version'], { encoding: 'utf8' })
  expect({ stderr, status }).toEqual({ stderr: 'outrigger: dist/ is not there: run `npm run build`\n', status: 1 })
})

const scripts = join(root, 'dist/bundle/proxy')
/** The one that says whether this Node made them, and the largest one. */
const kept = existsSync(scripts)
  ? readdirSync(scripts)
      .filter(name => name.endsWith('.cache'))
      .sort((a, b) => statSync(join(scripts, b)).size - statSync(join(scripts, a)).size)
      .filter((name, i) => i === 0 || name === 'proxy-main.cjs.cache')
  : []

test.skipIf(kept.length < 2).each(kept)('what V8 compiled at the build serves its own script alone, and whole: %s', name => {
  const file = join(folder, 'dist/bundle/proxy', name)
  const whole = readFileSync(join(scripts, name))
  const garbled = Buffer.from(whole)
  for (let at = 5000; at < 5400; at++) garbled[at]! ^= 0x5a
  for (const bytes of [whole, garbled, whole.subarray(0, whole.length / 2), whole.subarray(0, 2), Buffer.alloc(0)]) {
    writeFileSync(file, bytes)
    // With the options of the executable: V8 looks at nothing that was made with others.
    const { status, signal, stderr } = spawnSync(join(folder, 'bin/outrigger-proxy'), ['--mode', 'validate', '--config-yaml', '{}'], {
      encoding: 'utf8',
    })
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
  }
  writeFileSync(file, whole)
})

test('the young generation grows once the proxy serves, to what the executable allows', () => {
  const code = `
    const { loadProxy, started } = require('./bin/run-proxy.js')
    loadProxy()
    started()
    let kept = []
    for (let i = 0; i < 3e6; i++) if (kept.push({ i }) > 2e5) kept = []
    const { space_size } = require('node:v8').getHeapSpaceStatistics().find(each => each.space_name === 'new_space')
    console.log(space_size / 2 ** 20)`
  const { stdout } = spawnSync(process.execPath, ['--max-semi-space-size=4', '-e', code], { encoding: 'utf8', cwd: folder })
  // Two of them; V8 14 keeps less of them than they may have.
  expect(Number(stdout)).toBeGreaterThan(4)
  expect(Number(stdout)).toBeLessThanOrEqual(8)
})

test('an install without development packages keeps dist/, or is told in one line that it is not there', () => {
  const bare = mkdtempSync(join(folder, 'omit-dev-'))
  cpSync(join(root, 'scripts'), join(bare, 'scripts'), { recursive: true })
  writeFileSync(join(bare, 'package.json'), '{"type":"module"}')
  const prepare = () => spawnSync(process.execPath, ['scripts/build.mjs', '--prepare'], { cwd: bare, encoding: 'utf8' })
  const without = prepare()
  expect([without.status, without.stdout]).toEqual([0, ''])
  expect(without.stderr).toMatch(/^outrigger: dist\/ is not there, [^\n]*\n$/)
  mkdirSync(join(bare, 'dist/bundle/proxy'), { recursive: true })
  for (const file of ['outrigger-main.js', 'proxy/proxy-main.cjs']) writeFileSync(join(bare, 'dist/bundle', file), '')
  const { status, stdout, stderr } = prepare()
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' })
  expect(existsSync(join(bare, 'dist/bundle/outrigger-main.js'))).toBe(true)
})

describe('as a dependency of a TypeScript project', () => {
  let project: string
  beforeAll(() => {
    project = join(folder, 'project')
    mkdirSync(join(project, 'node_modules/@types'), { recursive: true })
    symlinkSync(folder, join(project, 'node_modules/outrigger'))
    for (const name of ['@types/node', 'undici-types', 'libsql']) {
      if (existsSync(join(root, 'node_modules', name))) symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name))
    }
    writeFileSync(join(project, 'package.json'), '{"type":"module"}')
    writeFileSync(join(project, 'main.ts'), PROGRAM)
    const compilerOptions = { module: 'node16', moduleResolution: 'node16', target: 'es2022', strict: true, types: ['node'] }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['main.ts'] }))
  })

  test('its types compile under strict rules, and the program runs', () => {
    const tsc = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project], { encoding: 'utf8' })
    expect({ stdout: tsc.stdout, status: tsc.status }).toEqual({ stdout: '', status: 0 })
    const run = spawnSync(process.execPath, [join(project, 'main.js')], { encoding: 'utf8' })
    expect({ stdout: run.stdout, stderr: run.stderr, status: run.status }).toEqual({ stdout: 'tagged 1 acme\n', stderr: '', status: 0 })
  })

  test('its types are the public ones, and name nothing else', () => {
    const types = packed.files.map(file => file.path).filter(path => path.startsWith('dist/types/'))
    expect(types.sort()).toEqual([
      'dist/types/embed/config-refused-error.d.ts',
      'dist/types/embed/control-plane.d.ts',
      'dist/types/embed/log-line.d.ts',
      'dist/types/embed/register-http-filter.d.ts',
      'dist/types/embed/sidecar.d.ts',
      'dist/types/embed/xds-bootstrap.d.ts',
      'dist/types/index.d.ts',
      'dist/types/l7/explain/explanation.d.ts',
      'dist/types/l7/filters/custom/custom-filter.d.ts',
    ])
    for (const path of types) {
      const code = readFileSync(join(root, path), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
      expect([path, /\bany\b/.test(code)]).toEqual([path, false])
    }
  })

  test.each([
    'outrigger/dist/bundle/index.js',
    'outrigger/dist/bundle/outrigger-main.js',
    'outrigger/src/index.ts',
    'outrigger/package.json',
  ])('%s cannot be imported', name => {
    const code = `await import('${name}').then(() => console.log('reached'), error => console.log(error.code))`
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8', cwd: project })
    expect(stdout).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED\n')
  })

  test('importing it starts nothing and loads neither proxy nor control plane', () => {
    const code = `await import('outrigger'); console.log(process.memoryUsage().heapUsed < 12e6)`
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8', cwd: project })
    expect(stdout).toBe('true\n')
  })
})

const PROGRAM = `
import { ConfigRefusedError, ControlPlane, type HttpFilter, registerHttpFilter, Sidecar, type SidecarOptions } from 'outrigger'

interface Tags { readonly tenant: string }
const tags: HttpFilter<Tags, { readonly off: boolean }> = {
  typeUrl: 'test.Tags',
  parseConfig({ tenant }) {
    if (typeof tenant !== 'string') throw new Error('tenant: must be text')
    return { tenant }
  },
  parseRouteConfig: ({ off }) => ({ off: off === true }),
  create: ({ tenant }, context) => call =>
    call.routeConfig?.off === true
      ? null
      : {
          async onRequest(request) {
            request.headers.set('x-tenant', tenant)
            context.counter(tenant).add()
            call.reply({ status: 200, body: 'tagged ' + String((await call.readRequestBody(10)).length) + ' ' + tenant })
          },
          onResponseData: (chunk, end) => (end ? chunk : undefined),
        },
}
registerHttpFilter(tags)
registerHttpFilter({ typeUrl: 'test.Inferred', parseConfig: json => ({ size: Object.keys(json).length }), create: ({ size }) => () => (size > 0 ? {} : null) })
const manager = {
  '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  stat_prefix: 'in',
  http_filters: [
    { name: 'tags', typed_config: { '@type': 'a/test.Tags', tenant: 'acme' } },
    { name: 'router', typed_config: { '@type': 'a/envoy.extensions.filters.http.router.v3.Router' } },
  ],
  route_config: { virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 204 } }] }] },
}
const options: SidecarOptions = {
  bootstrap: {
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
          filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
        },
      ],
    },
  },
  httpFilters: [{ ...tags, typeUrl: 'test.Other' }],
}
const sidecar = await Sidecar.start(options)
await sidecar.ready()
const response = await fetch('http://' + sidecar.listeners().get('in')![0], { method: 'POST', body: 'x' })
console.log(await response.text())
const control: ControlPlane = await ControlPlane.start()
const refused: unknown = await control.apply({ services: [{}] }).catch((error: unknown) => error)
if (!(refused instanceof ConfigRefusedError) || refused.problems.length === 0) throw new Error('applied')
await control.close()
await sidecar.drain({ graceMs: 1000 })
`

// `npm run bench -- --against` and a debugger run the compiled modules as they are; only there Node looks for the names that CommonJS packages export.
test.each(['cli/run-proxy.js', 'cli/program.js', 'index.js'])('dist/%s loads without being bundled', name => {
  const module = new URL(`../dist/${name}`, import.meta.url).href
  execFileSync(process.execPath, ['--input-type=module', '-e', `await import(${JSON.stringify(module)})`], { stdio: 'pipe' })
})
