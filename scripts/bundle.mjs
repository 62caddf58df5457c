// Bundles the library, the executables and the demo: dist/bundle/*.js with what they import, in few files, since loading hundreds of modules one by one is
// most of what a start costs. Called by build.mjs after tsc; bin/* run what comes out. Native packages stay outside, so they are all that an
// installed package depends on; the licences of the others go into THIRD-PARTY.txt beside the bundle.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build, transform } from 'esbuild'

/** CommonJS packages in an ES module want `require` for Node's own modules. */
const REQUIRE = `import { createRequire as createBundleRequire } from 'node:module'
const require = createBundleRequire(import.meta.url)`

const TARGET = 'node20'
/** Of the proxy's scripts: stack traces name lines. */
const LINE_LIMIT = 160
const NATIVE_PACKAGES = ['libsql', 'koffi']

const ENTRIES = ['index', 'cli/outrigger-main', 'cli/demo/demo-main', 'cli/demo/application', 'cli/demo/guard']

/**
 * The library compiles how a message is read and written together with all that it may contain, which for a bootstrap is all of Envoy's API.
 * What a message contains is compiled when one comes that does.
 */
const compiledAtFirstUse = {
  name: 'compiled-at-first-use',
  setup({ onLoad }) {
    const change = (files, from, to, more = '') =>
      onLoad({ filter: files }, ({ path }) => {
        const source = readFileSync(path, 'utf8')
        const contents = source.replaceAll(from, to)
        if (contents === source) throw new Error(`${path}: what compiles a message is not where it was`)
        return { contents: contents + more }
      })
    change(
      /protobuf[\\/]dist[\\/]esm[\\/](?:to-binary|to-json|from-json)\.js$/,
      /(compiled(?:Reader|Writer))\(field\.message\)/g,
      'compiledLater($1, field.message)',
      `
function compiledLater(compiledFor, desc) {
  let compiled = null
  return (a, b, c) => (compiled ??= compiledFor(desc))(a, b, c)
}
`,
    )
    change(
      /protobuf[\\/]dist[\\/]esm[\\/]from-binary\.js$/,
      /compiledReader\(field\.message\)/g,
      'readerLater(field.message)',
      `
function readerLater(desc) {
  let compiled = null
  return {
    read: (a, b, c, d) => (compiled ??= compiledReader(desc)).read(a, b, c, d),
    readGroup: (a, b, c, d) => (compiled ??= compiledReader(desc)).readGroup(a, b, c, d),
  }
}
`,
    )
    // Most messages are no wrappers, which their names tell without their fields.
    change(
      /protobuf[\\/]dist[\\/]esm[\\/]wkt[\\/]wrappers\.js$/,
      'const f = messageDesc.fields[0];',
      'if (!isWrapperTypeName(messageDesc.typeName)) return false;\n    const f = messageDesc.fields[0];',
    )
  },
}

export async function bundle(root) {
  const outdir = join(root, 'dist/bundle')
  rmSync(outdir, { recursive: true, force: true })
  const options = entries => ({
    absWorkingDir: root,
    entryPoints: entries.map(name => join(root, `dist/${name}.js`)),
    entryNames: '[name]',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: TARGET,
    external: NATIVE_PACKAGES,
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [compiledAtFirstUse],
  })
  const { metafile } = await build({ ...options(ENTRIES), metafile: true, outdir, banner: { js: REQUIRE } })
  await bundleProxy(options(['cli/proxy-main']), join(outdir, 'proxy'))
  writeFileSync(join(outdir, 'THIRD-PARTY.txt'), notices(root, Object.keys(metafile.inputs)))
  copyTypes(join(root, 'dist'), join(root, 'dist/types'))
}

/**
 * The proxy once more, as scripts and not modules: V8 can keep what it compiled of a script (bin/run-proxy.js). They are made of the modules
 * that the bundler makes, file by file, so that what is constant in them stays constant.
 */
async function bundleProxy(options, folder) {
  const { outputFiles } = await build({ ...options, outdir: folder, outExtension: { '.js': '.cjs' }, write: false })
  mkdirSync(folder, { recursive: true })
  for (const { path, text } of outputFiles) {
    const { code } = await transform(text, {
      format: 'cjs',
      platform: 'node',
      target: TARGET,
      sourcefile: path.replace(/cjs$/, 'mjs'),
      // Of a script that was compiled before, V8 knows no more who loads for it: what is loaded later is required.
      supported: { 'dynamic-import': false },
      define: { 'import.meta.url': 'scriptUrl' },
      // A process keeps the text of what it runs: without its indentation a fifth less. Names stay, for stack traces.
      minifyWhitespace: true,
      lineLimit: LINE_LIMIT,
      legalComments: 'none',
      banner: `const scriptUrl = require('node:url').pathToFileURL(__filename).href`,
      logLevel: 'warning',
    })
    writeFileSync(path, code)
  }
}

/** The declarations of index.ts and of what they name: the public types, and nothing of the inside. */
function copyTypes(from, to) {
  rmSync(to, { recursive: true, force: true })
  const wanted = ['index.d.ts']
  for (const file of wanted) {
    const text = readFileSync(join(from, file), 'utf8').replace(/^\/\/# sourceMappingURL=.*\n?/m, '')
    mkdirSync(dirname(join(to, file)), { recursive: true })
    writeFileSync(join(to, file), text)
    for (const [, name] of text.matchAll(/from '(\.[^']*)\.js'/g)) {
      const next = join(dirname(file), `${name}.d.ts`)
      if (!wanted.includes(next)) wanted.push(next)
    }
  }
}

/** Name, version and licence text of each package that has a file in the bundle. */
export function notices(root, inputs) {
  const folders = new Set()
  for (const input of inputs) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)
    if (match !== null) folders.add(match[1])
  }
  const parts = [...folders].sort().map(folder => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    const file = readdirSync(join(root, folder)).find(entry => /^licen[cs]e/i.test(entry))
    const text = file !== undefined && existsSync(join(root, folder, file)) ? readFileSync(join(root, folder, file), 'utf8').trim() : ''
    return `${name} ${version} (${license})\n\n${text}`.trim()
  })
  return `Packages that are part of this bundle, with their licences.\n\n${parts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}
