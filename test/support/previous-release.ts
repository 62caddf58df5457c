// The release before this one as a package that runs, for tests of upgrades: its commit's tree with the packages that it names, built once and kept
// in the temporary folder. PREVIOUS_RELEASE names another commit or tag, or a folder with a built package.
// Invariant: where it cannot be had (no git or tar, not that commit in a shallow clone, no registry of packages, a build that fails or takes too
// long), the reason stands in the name of what is skipped. Both steps together end well before TEST_FILE_LIMIT_S of .ci/run.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Until there is a tag: the tree before several control planes, templates, and Vault's references. */
const PREVIOUS = '945848d'
const INSTALL_WITHIN_MS = 240_000
const BUILD_WITHIN_MS = 300_000
const INSTALL = ['ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund']
/** What the tests start is there. */
const BUILT = ['bin/outrigger', 'bin/outrigger-proxy', 'dist/bundle/outrigger-main.js']
const root = fileURLToPath(new URL('../..', import.meta.url))

export interface PreviousRelease {
  /** With bin/ and dist/. */
  readonly folder: string
  /** Why it is not there; empty where it is. */
  readonly missing: string
}

const isBuilt = (folder: string): boolean => BUILT.every(file => existsSync(join(folder, file)))
const absent = (missing: string): PreviousRelease => ({ folder: '', missing: `(${missing})` })

export function previousRelease(): PreviousRelease {
  const wanted = process.env['PREVIOUS_RELEASE'] ?? PREVIOUS
  if (isBuilt(wanted)) return { folder: wanted, missing: '' }
  const { status, stdout } = spawnSync('git', ['-C', root, 'rev-parse', '--verify', '--quiet', `${wanted}^{commit}`], { encoding: 'utf8' })
  if (status !== 0) return absent(`git has no commit ${wanted} here`)
  const commit = stdout.trim()
  // Not below node_modules: the compiler takes what is there for a package of somebody else.
  const cache = join(tmpdir(), `outrigger-previous-release-${process.getuid?.() ?? 0}`)
  const built = join(cache, commit)
  if (isBuilt(built)) return { folder: built, missing: '' }
  mkdirSync(cache, { recursive: true, mode: 0o700 })
  const folder = mkdtempSync(join(cache, `${commit}.`))
  try {
    const failed = buildInto(folder, commit)
    if (failed !== undefined) return absent(failed)
    // Another process may have built the same meanwhile.
    if (!isBuilt(built)) {
      rmSync(built, { recursive: true, force: true })
      renameSync(folder, built)
    }
    return { folder: built, missing: '' }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What failed, or undefined. */
function buildInto(folder: string, commit: string): string | undefined {
  const tree = spawnSync('git', ['-C', root, 'archive', commit], { maxBuffer: 1 << 30 })
  if (tree.status !== 0 || spawnSync('tar', ['-x', '-C', folder], { input: tree.stdout }).status !== 0)
    return `${commit} could not be unpacked`
  if (spawnSync('npm', INSTALL, { cwd: folder, stdio: 'ignore', timeout: INSTALL_WITHIN_MS }).status !== 0)
    return `the packages of ${commit} could not be installed`
  generateInOneRun(join(folder, 'scripts/generate-protos.mjs'))
  const build = spawnSync(process.execPath, ['scripts/build.mjs'], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: BUILD_WITHIN_MS,
  })
  return build.status === 0 && isBuilt(folder) ? undefined : `${commit} could not be built`
}

/** That release ran protoc-gen-es once for each folder, which takes minutes where the cores are shared; the output is the same. */
function generateInOneRun(script: string): void {
  const text = readFileSync(script, 'utf8')
  if (!text.includes('strategy:'))
    writeFileSync(script, text.replace("'import_extension=js'] }", "'import_extension=js'], strategy: 'all' }"))
}
