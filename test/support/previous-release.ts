// The release before this one as a package that runs, for tests of upgrades: its commit's tree, built once with the packages of this checkout, or
// with its own where it needs one that is gone, and kept below node_modules/.cache. PREVIOUS_RELEASE names another commit or tag, or a folder
// with a built package. Invariant: where there is no git, not that commit (a shallow clone) or no registry for such a package, there is none,
// and its tests are skipped by name.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
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
  const cache = join(root, 'node_modules/.cache/previous-release')
  const built = join(cache, commit)
  if (existsSync(built)) return built
  const folder = join(cache, `${commit}.${process.pid}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const tree = spawnSync('git', ['-C', root, 'archive', commit], { maxBuffer: 1024 * 1024 * 1024 })
  execFileSync('tar', ['-x', '-C', folder], { input: tree.stdout })
  if (needsPackagesOfItsOwn(folder)) {
    const flags = ['ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund']
    if (spawnSync('npm', flags, { cwd: folder, stdio: 'ignore' }).status !== 0) return undefined
  } else symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  // Made anew where its sources differ.
  if (existsSync(join(root, 'src/xds/gen'))) cpSync(join(root, 'src/xds/gen'), join(folder, 'src/xds/gen'), { recursive: true })
  execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
  try {
    renameSync(folder, built)
  } catch (error) {
    // Another process has built the same meanwhile.
    if (!existsSync(built)) throw error
    rmSync(folder, { recursive: true, force: true })
  }
  return built
}

function needsPackagesOfItsOwn(folder: string): boolean {
  const { dependencies = {}, devDependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >
  return Object.keys({ ...dependencies, ...devDependencies }).some(name => !existsSync(join(root, 'node_modules', name, 'package.json')))
}
