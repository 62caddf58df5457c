// The proxy's own scripts (dist/bundle/proxy), with what V8 made of them when they were built, which takes most of the compiling out of a start. Node 22
// and later keep that themselves (run-bundle.mjs); here it stands beside each script. V8 refuses what other flags have made, and then compiles; but
// it believes that the rest fits, and a process ends where it does not (nodejs/node#62781). So a digest says that it is whole and was made of this
// script by this very Node. Used by bin/outrigger-proxy, and by scripts/code-cache.mjs, which writes what is kept.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import module, { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import vm from 'node:vm'

const FOLDER = fileURLToPath(new URL('../dist/bundle/proxy', import.meta.url))

const DIGEST_BYTES = 32

/** What has been loaded: file name -> vm.Script. */
const loadedScripts = new Map()

/** Of one version, too, there are builds for other machines and with other libraries. */
const MADE_BY = [process.version, process.arch, process.platform, JSON.stringify(process.config)].join()

const digestOf = (source, code) => createHash('sha256').update(MADE_BY).update(source).update(code).digest()

/** Keeps what V8 has compiled of what has been loaded. */
export function keepCompiled() {
  for (const [file, script] of loadedScripts) {
    const code = script.createCachedData()
    writeFileSync(`${file}.cache`, Buffer.concat([digestOf(readFileSync(file), code), code]))
  }
}

function compiled(file, source) {
  let kept
  try {
    kept = readFileSync(`${file}.cache`)
  } catch {
    return undefined
  }
  const code = kept.subarray(DIGEST_BYTES)
  return digestOf(source, code).equals(kept.subarray(0, DIGEST_BYTES)) ? code : undefined
}

/** `{ runProxy }`. */
export function loadProxy() {
  const require = createRequire(import.meta.url)
  if (module.enableCompileCache === undefined) require.extensions['.cjs'] = load
  return require(`${FOLDER}/run-proxy.cjs`)
}

/** How Node loads a script of our folder: as it does itself, but for the cache. */
function load(made, file) {
  if (dirname(file) !== FOLDER) return module._extensions['.js'](made, file)
  const source = readFileSync(file)
  // The bundler writes ASCII alone, so that V8 takes one byte a character.
  const script = new vm.Script(module.wrap(source.toString('latin1')), { filename: file, cachedData: compiled(file, source) })
  loadedScripts.set(file, script)
  const require = name => made.require(name)
  script.runInThisContext().call(made.exports, made.exports, require, made, file, dirname(file))
}
