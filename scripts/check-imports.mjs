// The import direction of the design. Each layer imports only what stands below it, and so does each folder of the layers that FOLDERS
// names; no file imports itself by way of others (types count); only cli, dataplane, sidecar, control and xds see protobuf. Part of `npm test`.
// Prints every offence and exits 1.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const src = join(dirname(fileURLToPath(import.meta.url)), '../src')

/** Layer -> what it may import: layers, or folders of one. A file at the root of src is a layer of its own. */
const LAYERS = {
  'index.ts': ['embed', 'l7/explain', 'l7/filters/custom'],
  embed: ['sidecar', 'control', 'l7/explain', 'l7/filters/custom', 'io', 'model'],
  // Runs in browsers: it meets the control plane over HTTP alone. What both say of the same thing has one rule.
  console: ['model/instance-version.ts'],
  cli: ['dataplane', 'sidecar', 'control', 'kubernetes', 'automation', 'io'],
  // consul-dataplane's job. The bootstrap's form is one with that of our own control plane.
  dataplane: [
    'control/http-api/bootstrap.ts',
    'control/http-api/bootstrap-config.ts',
    'control/config-entries/duration.ts',
    'xds/client',
    'xds/gen',
    'xds/server-distance.ts',
    'io',
  ],
  sidecar: ['proxy', 'xds', 'l7', 'upstream', 'mtls', 'metrics', 'io', 'model'],
  // A client of the control plane's HTTP API, like any other.
  kubernetes: ['io'],
  // The same; durations are read as everywhere.
  automation: ['control/config-entries/duration.ts', 'vault', 'io'],
  control: ['xds', 'mtls', 'vault', 'l7/codec', 'io', 'model'],
  xds: ['metrics', 'io', 'model'],
  proxy: ['l7', 'upstream', 'mtls', 'metrics', 'io', 'model'],
  l7: ['upstream', 'mtls', 'metrics', 'io', 'model'],
  upstream: ['mtls', 'metrics', 'io', 'model'],
  mtls: ['vault', 'metrics', 'io', 'model'],
  // A client of Vault's HTTP API.
  vault: ['io'],
  metrics: ['io', 'model'],
  io: [],
  model: [],
}

/** Inside a layer: folder -> the folders and files of the same layer that it may import. A request reads forwards through l7. */
const FOLDERS = {
  l7: {
    explain: [
      'server',
      'tracing',
      'filters',
      'router',
      'client',
      'reply',
      'log',
      'route',
      'format',
      'rbac',
      'match',
      'grpc',
      'stream',
      'codec',
    ],
    server: ['tracing', 'filters', 'router', 'client', 'reply', 'log', 'route', 'format', 'rbac', 'match', 'grpc', 'stream', 'codec'],
    filters: ['router', 'client', 'reply', 'log', 'route', 'format', 'rbac', 'match', 'grpc', 'stream', 'codec'],
    router: ['client', 'reply', 'log', 'route', 'format', 'match', 'grpc', 'stream', 'codec'],
    client: ['reply', 'log', 'route', 'format', 'match', 'grpc', 'stream', 'codec'],
    reply: ['log', 'route', 'format', 'match', 'grpc', 'stream', 'codec'],
    tracing: ['otlp', 'reply', 'route', 'format', 'match', 'grpc', 'stream', 'codec'],
    log: ['otlp', 'format', 'match', 'grpc', 'stream', 'codec'],
    route: ['format', 'match', 'grpc', 'stream', 'codec'],
    format: ['match', 'grpc', 'stream', 'codec'],
    rbac: ['match', 'stream', 'codec'],
    match: ['grpc', 'stream', 'codec'],
    otlp: ['grpc', 'codec'],
    grpc: ['codec'],
    stream: ['codec'],
    codec: [],
  },
  upstream: {
    cluster: ['balance', 'health', 'dns', 'connect', 'host', 'hash'],
    balance: ['host', 'hash'],
    health: ['host', 'hash'],
    dns: ['host', 'hash'],
    connect: ['host', 'hash'],
    host: ['hash'],
    hash: [],
  },
  mtls: {
    tls: ['secrets', 'peer', 'x509', 'spiffe.ts'],
    secrets: ['peer', 'x509', 'spiffe.ts'],
    ca: ['peer', 'x509', 'spiffe.ts'],
    peer: ['x509', 'spiffe.ts'],
    x509: ['spiffe.ts'],
  },
  xds: {
    client: ['gen', 'grpc-service.ts', 'message-parts.ts', 'type-urls.ts'],
    server: ['gen', 'grpc-service.ts', 'type-urls.ts'],
    dump: ['resources', 'gen', 'type-urls.ts'],
    resources: ['gen', 'message-parts.ts', 'type-urls.ts'],
    'load-reports': ['resources', 'address-message.ts', 'gen'],
    'health-discovery': ['resources', 'address-message.ts', 'gen'],
  },
}

const SEES_PROTOBUF = new Set(['cli', 'dataplane', 'sidecar', 'control', 'xds'])

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      if (path !== join(src, 'xds/gen')) yield* sources(path)
    } else if (/\.tsx?$/.test(path)) yield path
  }
}

const within = (path, allowed) => path === allowed || path.startsWith(`${allowed}/`)

/** Why `from` may not import `to` (both relative to src), or ''. */
function whyForbidden(from, to) {
  const [layer, folder] = from.split('/')
  const [toLayer, toFolder] = to.split('/')
  if (to.startsWith('xds/gen/') && !SEES_PROTOBUF.has(layer)) return `${layer} may not see protobuf`
  if (layer !== toLayer) {
    if (!(layer in LAYERS)) return `${layer} is in no rule: name it in scripts/check-imports.mjs`
    return LAYERS[layer].some(allowed => within(to, allowed)) ? '' : `${layer} may not import ${toLayer}/${toFolder ?? ''}`
  }
  const folders = FOLDERS[layer]
  if (folders === undefined || folder === toFolder || folder.endsWith('.ts')) return ''
  if (!(folder in folders)) return `${layer}/${folder} is in no rule: name it in scripts/check-imports.mjs`
  return folders[folder].includes(toFolder) ? '' : `${layer}/${folder} may not import ${layer}/${toFolder}`
}

const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g

/** File -> the files of src that it imports. */
const imports = new Map()
const offences = new Map()
for (const path of sources(src)) {
  const file = relative(src, path).split(sep).join('/')
  const layer = file.split('/')[0]
  const text = readFileSync(path, 'utf8')
  const targets = []
  imports.set(file, targets)
  for (const match of text.matchAll(IMPORT)) {
    const target = match[1] ?? match[2]
    if (!target.startsWith('.')) {
      if (target.startsWith('@bufbuild/') && !SEES_PROTOBUF.has(layer))
        offences.set(`${file} -> ${target}`, `${layer} may not see protobuf`)
      continue
    }
    const named = relative(src, join(dirname(path), target))
      .split(sep)
      .join('/')
    const [ts, tsx] = ['.ts', '.tsx'].map(ending => named.replace(/\.js$/, ending))
    const to = existsSync(join(src, tsx)) ? tsx : ts
    if (existsSync(join(src, to))) targets.push(to)
    const why = whyForbidden(file, to)
    if (why !== '') offences.set(`${file} -> ${to}`, why)
  }
  if (/process\.env\b/.test(text) && layer !== 'cli' && layer !== 'embed')
    offences.set(`${file} -> process.env`, 'only cli and embed read process.env')
}

/** Files that import themselves by way of others, each set of them as one list (Tarjan's strongly connected components). */
function loops() {
  const found = []
  const index = new Map()
  const low = new Map()
  const stack = []
  const visit = file => {
    index.set(file, index.size)
    low.set(file, index.get(file))
    stack.push(file)
    for (const to of imports.get(file) ?? []) {
      if (!index.has(to)) {
        visit(to)
        low.set(file, Math.min(low.get(file), low.get(to)))
      } else if (stack.includes(to)) low.set(file, Math.min(low.get(file), index.get(to)))
    }
    if (low.get(file) !== index.get(file)) return
    const members = stack.splice(stack.indexOf(file))
    if (members.length > 1) found.push(members)
  }
  for (const file of imports.keys()) if (!index.has(file)) visit(file)
  return found
}

let bad = 0
const complain = line => {
  bad++
  console.error(line)
}
for (const [edge, why] of offences) complain(`src/${edge}: ${why}`)
for (const members of loops()) complain(`a loop of files: ${members.sort().join(', ')}`)
if (bad > 0) process.exit(1)
console.log('import direction: ok')
