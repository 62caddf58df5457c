// Bundles the web console: dist/console/index.html and assets/ with a hash in each name, so that browsers keep them for good. Called by
// build.mjs after the bundle of the program. What is not ours in it is named in THIRD-PARTY.txt beside it.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { build } from 'esbuild'
import { notices } from './bundle.mjs'

export async function bundleConsole(root) {
  const source = join(root, 'src/console')
  const outdir = join(root, 'dist/console')
  rmSync(outdir, { recursive: true, force: true })
  mkdirSync(outdir, { recursive: true })
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [join(source, 'main.tsx')],
    outdir: join(outdir, 'assets'),
    entryNames: 'console-[hash]',
    metafile: true,
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['es2022', 'chrome109', 'firefox115', 'safari16'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    tsconfig: join(source, 'tsconfig.json'),
    legalComments: 'none',
    logLevel: 'warning',
  })
  const asset = ending => {
    const path = Object.keys(metafile.outputs).find(name => name.endsWith(ending))
    if (path === undefined) throw new Error(`the console's bundle has no ${ending} file`)
    return `assets/${basename(path)}`
  }
  const page = readFileSync(join(source, 'index.html'), 'utf8').replace('{{script}}', asset('.js')).replace('{{style}}', asset('.css'))
  writeFileSync(join(outdir, 'index.html'), page)
  cpSync(join(source, 'favicon.svg'), join(outdir, 'favicon.svg'))
  writeFileSync(join(outdir, 'THIRD-PARTY.txt'), notices(root, Object.keys(metafile.inputs)))
}
