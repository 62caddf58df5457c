// Builds what npm installs do not bring: generated protobuf code (src/xds/gen) and dist/. Run by `npm ci` (prepare) and by every npm
// script that needs dist/ (`--if-needed`), so that installs with scripts switched off work too. An install without development
// packages keeps the dist/ that is there, or is told in one line what is missing.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ownProtoPaths } from './own-protos.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const gen = join(root, 'src/xds/gen')
const dist = join(root, 'dist')
const BUILT = join(dist, 'bundle/outrigger-main.js')
/** What `bin/outrigger-proxy` loads next: a dist/ of an older release has the one above and not this. */
const PROXY_SCRIPTS = join(dist, 'bundle/proxy/proxy-main.cjs')
const isBuilt = () => existsSync(BUILT) && existsSync(PROXY_SCRIPTS)
/** What the generated code was made from: a checkout or an install changes the times of files, and generating takes a minute. */
const GEN_STAMP = join(gen, '.made-from')

/** A start that is tried for what V8 compiles. */
const MAX_TRIAL_MS = 30_000

const isInstalled = name => existsSync(join(root, 'node_modules', name, 'package.json'))

function newest(folder) {
  let latest = 0
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    latest = Math.max(latest, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs)
  }
  return latest
}

function generatorDigest() {
  const { version: protos } = createRequire(import.meta.url)('@grpc/grpc-js-xds/package.json')
  const { version: plugin } = JSON.parse(readFileSync(join(root, 'node_modules/@bufbuild/protoc-gen-es/package.json'), 'utf8'))
  const digest = createHash('sha256').update(`${protos} ${plugin}`)
  for (const name of [
    'scripts/generate-protos.mjs',
    'scripts/newer-proto-fields.mjs',
    'scripts/newer-proto-rules.mjs',
    'scripts/own-protos.mjs',
    ...ownProtoPaths(root),
  ])
    digest.update(name).update(readFileSync(join(root, name)))
  return digest.digest('hex')
}

async function generateIfChanged() {
  const digest = generatorDigest()
  if (existsSync(GEN_STAMP) && readFileSync(GEN_STAMP, 'utf8') === digest) return
  const { generateProtos } = await import('./generate-protos.mjs')
  generateProtos()
  writeFileSync(GEN_STAMP, digest)
}

/** What V8 compiles of the proxy, kept for its starts with this Node. */
function keepCompiled() {
  const options = /exec node (.*?) ?"\$0"/.exec(readFileSync(join(root, 'bin/outrigger-proxy'), 'utf8'))[1].split(' ')
  const { status, stderr } = spawnSync(process.execPath, [...options, join(root, 'scripts/code-cache.mjs')], {
    encoding: 'utf8',
    timeout: MAX_TRIAL_MS,
  })
  if (status !== 0)
    console.error(`outrigger: starts will take longer, since none could be tried here: ${(stderr ?? '').trim().split('\n')[0]}`)
}

async function main() {
  if (!['typescript', 'esbuild', '@bufbuild/buf'].every(isInstalled)) {
    if (isBuilt()) return
    console.error('outrigger: dist/ is not there, and the packages that build it are not installed: run `npm ci` without --omit=dev')
    if (!process.argv.includes('--prepare')) process.exitCode = 1
    return
  }
  await generateIfChanged()
  if (process.argv.includes('--protos-only')) return
  if (process.argv.includes('--if-needed') && isBuilt() && statSync(BUILT).mtimeMs >= newest(join(root, 'src'))) return
  rmSync(dist, { recursive: true, force: true })
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')], {
    stdio: 'inherit',
  })
  const { bundle } = await import('./bundle.mjs')
  await bundle(root)
  keepCompiled()
  const { bundleConsole } = await import('./bundle-console.mjs')
  await bundleConsole(root)
}

await main()
