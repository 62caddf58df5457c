// The import direction of the design: each layer may import only what stands below it, and only cli, control and xds see protobuf.
// Part of `npm test`. Prints each forbidden import and exits 1.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const src = join(dirname(fileURLToPath(import.meta.url)), '../src')

const ALLOWED = {
  cli: ['sidecar', 'control', 'proxy', 'xds', 'l7', 'upstream', 'mtls', 'metrics', 'io', 'model'],
  sidecar: ['proxy', 'xds', 'l7', 'upstream', 'mtls', 'metrics', 'io', 'model'],
  control: ['xds', 'mtls', 'l7/rbac', 'metrics', 'io', 'model'],
  xds: ['metrics', 'io', 'model'],
  proxy: ['l7', 'upstream', 'mtls', 'metrics', 'io', 'model'],
  l7: ['upstream', 'mtls', 'metrics', 'io', 'model'],
  upstream: ['mtls', 'metrics', 'io', 'model'],
  mtls: ['metrics', 'io', 'model'],
  metrics: ['io', 'model'],
  io: [],
  model: [],
}
const SEES_PROTOBUF = new Set(['cli', 'sidecar', 'control', 'xds'])

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      if (path !== join(src, 'xds/gen')) yield* sources(path)
    } else if (path.endsWith('.ts')) yield path
  }
}

let forbidden = 0
for (const file of sources(src)) {
  const layer = relative(src, file).split(sep)[0]
  if (!(layer in ALLOWED)) continue
  const text = readFileSync(file, 'utf8')
  for (const match of text.matchAll(/(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g)) {
    const target = match[1] ?? match[2]
    let reason = ''
    if (target.startsWith('.')) {
      const to = relative(src, join(dirname(file), target))
        .split(sep)
        .join('/')
      const toLayer = to.split('/')[0]
      if (toLayer !== layer && !ALLOWED[layer].some(allowed => to === allowed || to.startsWith(`${allowed}/`)))
        reason = `${layer} may not import ${to}`
      if (to.startsWith('xds/gen/') && !SEES_PROTOBUF.has(layer)) reason = `${layer} may not see protobuf`
    } else if (target.startsWith('@bufbuild/') && !SEES_PROTOBUF.has(layer)) reason = `${layer} may not see protobuf`
    if (/process\.env\b/.test(text) && layer !== 'cli') reason = reason || 'only cli reads process.env'
    if (reason !== '') {
      forbidden++
      console.error(`${relative(join(src, '..'), file)}: ${target}: ${reason}`)
    }
  }
}
if (forbidden > 0) process.exit(1)
console.log('import direction: ok')
