// Bundles the library, the executables and the demo: dist/bundle/*.js with what they import, in few files, since loading hundreds of modules one by one is
// most of what a start costs. Called by build.mjs after tsc; bin/* run what comes out. Native packages stay outside, so they are all that an
// installed package depends on; the licences of the others go into THIRD-PARTY.txt beside the bundle.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'

/** CommonJS packages in an ES module want `require` for Node's own modules. */
const REQUIRE = `import { createRequire as createBundleRequire } from 'node:module'
const require = createBundleRequire(import.meta.url)`

const NATIVE_PACKAGES = ['libsql', 'koffi']

const ENTRIES = ['index', 'cli/proxy-main', 'cli/outrigger-main', 'cli/demo/demo-main', 'cli/demo/application', 'cli/demo/guard']

/**
 * The runtime of the generated code looks through everything that a file imports, and what that imports, for each file anew: exponential in
 * the depth, and a second of CPU for Envoy's. The types that a file's fields name stand in the files that it imports itself.
 */
const directImportsOnly = {
  name: 'direct-imports-only',
  setup({ onLoad }) {
    onLoad({ filter: /protobuf[\\/]dist[\\/]esm[\\/]codegenv2[\\/]file\.js$/ }, ({ path }) => {
      const source = readFileSync(path, 'utf8')
      const contents = source.replace('export function fileDesc(', 'function hydrate(')
      if (contents === source) throw new Error(`${path}: fileDesc is not where it was`)
      return {
        contents: `${contents}
const alone = file => Object.create(file, { dependencies: { value: [] } })
export const fileDesc = (base64, imports) => hydrate(base64, imports?.map(alone))
`,
      }
    })
  },
}

export async function bundle(root) {
  const outdir = join(root, 'dist/bundle')
  rmSync(outdir, { recursive: true, force: true })
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ENTRIES.map(name => join(root, `dist/${name}.js`)),
    entryNames: '[name]',
    metafile: true,
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    outdir,
    external: NATIVE_PACKAGES,
    legalComments: 'none',
    logLevel: 'warning',
    banner: { js: REQUIRE },
    plugins: [directImportsOnly],
  })
  writeFileSync(join(outdir, 'THIRD-PARTY.txt'), notices(root, Object.keys(metafile.inputs)))
  copyTypes(join(root, 'dist'), join(root, 'dist/types'))
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
