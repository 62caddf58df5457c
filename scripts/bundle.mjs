// Bundles the executables: dist/bundle/{proxy-main,outrigger-main}.js with what they import, in few files, since loading hundreds of modules
// one by one is most of what a start costs. Called by build.mjs after tsc; bin/* run what comes out. Native packages stay outside.
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

/** CommonJS packages in an ES module want `require` for Node's own modules. */
const REQUIRE = `import { createRequire as createBundleRequire } from 'node:module'
const require = createBundleRequire(import.meta.url)`

const NATIVE_PACKAGES = ['libsql']

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
  await build({
    entryPoints: ['proxy-main', 'outrigger-main'].map(name => join(root, `dist/cli/${name}.js`)),
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
}
