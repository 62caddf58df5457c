// What a user installs: the files that `npm pack` takes, run where nothing else is.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

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
  for (const path of ['LICENSE', 'README.md', 'CHANGELOG.md', 'bin/outrigger', 'bin/outrigger-proxy', 'dist/bundle/THIRD-PARTY.txt'])
    expect(paths).toContain(path)
  expect(
    paths.filter(path => !/^(bin|dist\/bundle|docs|examples)\/|^(LICENSE|README\.md|CHANGELOG\.md|package\.json)$/.test(path)),
  ).toEqual([])
  for (const path of paths.filter(name => name.endsWith('.js')))
    expect(readFileSync(join(root, path), 'utf8')).not.toContain('sourceMappingURL')
  expect(readFileSync(join(root, 'LICENSE'), 'utf8')).toContain('Apache License')
  expect(manifest()).toMatchObject({ license: 'Apache-2.0', dependencies: { libsql: expect.any(String) } })
  expect(manifest().private).toBeUndefined()
})

test('package and what it depends on stay below 60 MB', () => {
  const native = ['@libsql', 'libsql', '@neon-rs', 'detect-libc']
    .map(name => bytesBelow(join(root, 'node_modules', name)))
    .reduce((a, b) => a + b)
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

test.each(['outrigger', 'outrigger-proxy'])('%s without its bundle says what makes it', name => {
  const bare = mkdtempSync(join(folder, 'bare-'))
  cpSync(join(root, 'bin'), join(bare, 'bin'), { recursive: true })
  const { stderr, status } = spawnSync(process.execPath, [join(bare, 'bin', name), '--version'], { encoding: 'utf8' })
  expect({ stderr, status }).toEqual({ stderr: 'outrigger: dist/ is not there: run `npm run build`\n', status: 1 })
})

test('an install without development packages keeps dist/, or is told in one line that it is not there', () => {
  const bare = mkdtempSync(join(folder, 'omit-dev-'))
  cpSync(join(root, 'scripts'), join(bare, 'scripts'), { recursive: true })
  writeFileSync(join(bare, 'package.json'), '{"type":"module"}')
  const prepare = () => spawnSync(process.execPath, ['scripts/build.mjs', '--prepare'], { cwd: bare, encoding: 'utf8' })
  const without = prepare()
  expect([without.status, without.stdout]).toEqual([0, ''])
  expect(without.stderr).toMatch(/^outrigger: dist\/ is not there, [^\n]*\n$/)
  mkdirSync(join(bare, 'dist/bundle'), { recursive: true })
  writeFileSync(join(bare, 'dist/bundle/proxy-main.js'), '')
  const { status, stdout, stderr } = prepare()
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' })
  expect(existsSync(join(bare, 'dist/bundle/proxy-main.js'))).toBe(true)
})
