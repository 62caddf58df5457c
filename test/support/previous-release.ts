// The release before this one as a package that runs, for tests of upgrades: its commit's tree with the packages that it names, built once and kept
// in the temporary folder. PREVIOUS_RELEASE names another commit or tag, or a folder with a built package.
// Invariant: where there is no git, not that commit (a shallow clone) or no registry of packages, there is none, and its tests are skipped by name.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Until there is a tag: the tree before several control planes, templates, and Vault's references. */
const PREVIOUS = '945848d'
const root = fileURLToPath(new URL('../..', import.meta.url))

/** A folder with bin/ and dist/. */
export function previousRelease(): string | undefined {
  const wanted = process.env['PREVIOUS_RELEASE'] ?? PREVIOUS
  if (existsSync(join(wanted, 'bin/outrigger'))) return wanted
  const git = (...args: string[]) => spawnSync('git', ['-C', root, ...args], { encoding: 'utf8' })
  const { status, stdout } = git('rev-parse', '--verify', '--quiet', `${wanted}^{commit}`)
  if (status !== 0) return undefined
  const commit = stdout.trim()
  // Not below node_modules: the compiler takes what is there for a package of somebody else.
  const cache = join(tmpdir(), `outrigger-previous-release-${userInfo().uid}`)
  const built = join(cache, commit)
  if (existsSync(built)) return built
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  const folder = mkdtempSync(join(cache, `${commit}.`))
  try {
    const tree = spawnSync('git', ['-C', root, 'archive', commit], { maxBuffer: 1024 * 1024 * 1024 })
    execFileSync('tar', ['-x', '-C', folder], { input: tree.stdout })
    const flags = ['ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund']
    if (spawnSync('npm', flags, { cwd: folder, stdio: 'ignore' }).status !== 0) return undefined
    execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
    // Another process may have built the same meanwhile.
    if (!existsSync(built)) renameSync(folder, built)
    return built
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
