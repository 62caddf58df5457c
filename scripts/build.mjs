// Builds what npm installs do not bring: generated protobuf code (src/xds/gen) and dist/. Run by `npm ci` (prepare) and by every npm
// script that needs dist/ (`--if-needed`), so that installs with scripts switched off work too.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from './bundle.mjs'
import { generateProtos } from './generate-protos.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const gen = join(root, 'src/xds/gen')
const dist = join(root, 'dist')

function newest(folder) {
  let latest = 0
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    latest = Math.max(latest, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs)
  }
  return latest
}

const genStamp = join(gen, 'envoy/config/bootstrap/v3/bootstrap_pb.ts')
const generators = ['scripts/generate-protos.mjs', 'scripts/newer-proto-fields.mjs'].map(name => statSync(join(root, name)).mtimeMs)
generators.push(newest(join(root, 'src/control/grpc/proto')))
if (!existsSync(genStamp) || statSync(genStamp).mtimeMs < Math.max(...generators)) generateProtos()

const distStamp = join(dist, 'bundle/proxy-main.js')
if (process.argv.includes('--if-needed') && existsSync(distStamp) && statSync(distStamp).mtimeMs >= newest(join(root, 'src')))
  process.exit(0)
if (!process.argv.includes('--protos-only')) {
  rmSync(dist, { recursive: true, force: true })
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.build.json')], {
    stdio: 'inherit',
  })
  await bundle(root)
}
