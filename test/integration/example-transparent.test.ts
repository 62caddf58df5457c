// The deployment of examples/transparent runs by its one command where it can, and says in one line why where it cannot.
import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const script = fileURLToPath(new URL('../../examples/transparent/run.mjs', import.meta.url))
const isRoot = process.getuid?.() === 0
const needed = ['unshare', 'ip', 'mount', 'curl', 'nft']
const namespaces =
  isRoot &&
  needed.every(tool => spawnSync(tool, ['--version']).error === undefined) &&
  spawnSync('unshare', ['--net', '--mount', 'true']).status === 0

it.skipIf(!namespaces)('examples/transparent runs by one command (needs root, namespaces and nft)', { timeout: 180_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--once'], { timeout: 170_000 })
  expect(stdout).toContain('by name:                  shop /cart\n')
  expect(stdout).toContain('by its virtual address:   shop /cart\n')
  expect(stdout).toContain('out of the mesh:          partner /offers\n')
  expect(stdout).toMatch(/and not, where forbidden: curl: \((52|56)\)/)
  expect(stdout).toMatch(/what web may not call: {4}curl: \((52|56)\)/)
})

const mayChangeUser = isRoot && spawnSync('setpriv', ['--reuid', '65534', '--clear-groups', 'true']).status === 0

it.skipIf(!mayChangeUser)('a user who may not is told so', () => {
  const { status, stderr } = spawnSync('setpriv', ['--reuid', '65534', '--clear-groups', process.execPath, script, '--once'], {
    encoding: 'utf8',
  })
  expect(status).toBe(1)
  expect(stderr).toBe('namespaces and redirecting rules are made by root alone: sudo node examples/transparent/run.mjs\n')
})
