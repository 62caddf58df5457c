// The proxy's own scripts (dist/bundle/proxy), with what V8 made of them when they were built, which takes most of the compiling out of a start. Node 22
// and later keep that themselves (run-bundle.mjs); here it stands beside each script, and V8 refuses what another version or other flags
// have made: then it compiles. Used by bin/outrigger-proxy, and by scripts/code-cache.mjs, which writes what is kept.
import { existsSync, readFileSync } from 'node:fs'
import module, { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import vm from 'node:vm'

const FOLDER = fileURLToPath(new URL('../dist/bundle/proxy', import.meta.url))

/** What has been loaded: file name -> vm.Script. */
export const loadedScripts = new Map()

/** `{ runProxy }`. */
export function loadProxy() {
  const require = createRequire(import.meta.url)
  if (module.enableCompileCache === undefined) require.extensions['.cjs'] = load
  return require(`${FOLDER}/run-proxy.cjs`)
}

/** How Node loads a script of our folder: as it does itself, but for the cache. */
function load(made, file) {
  if (dirname(file) !== FOLDER) return module._extensions['.js'](made, file)
  // The bundler writes ASCII alone, so that V8 takes one byte a character.
  const source = readFileSync(file, 'latin1')
  const kept = `${file}.cache`
  const script = new vm.Script(module.wrap(source), {
    filename: file,
    cachedData: existsSync(kept) ? readFileSync(kept) : undefined,
  })
  loadedScripts.set(file, script)
  const require = name => made.require(name)
  script.runInThisContext().call(made.exports, made.exports, require, made, file, dirname(file))
}
