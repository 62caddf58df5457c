// Loads an executable's bundle, or says in one line why there is none. Plain JavaScript that any Node reads: an old one is told so.
import { existsSync } from 'node:fs'
import module from 'node:module'

const OLDEST = [20, 19]

/** The module of dist/bundle with that name; null: the reason is on stderr and the exit code is 1. */
export async function loadBundle(name) {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
    return refused(`Node ${OLDEST.join('.')} or later is needed, this is ${process.version}`)
  const file = new URL(`../dist/bundle/${name}.js`, import.meta.url)
  const scripts = new URL('../dist/bundle/proxy/run-proxy.cjs', import.meta.url)
  if (!existsSync(file) || !existsSync(scripts)) return refused('dist/ is not there: run `npm run build`')
  // Node 22 and later keep what V8 compiled for the next start.
  if (module.enableCompileCache !== undefined) module.enableCompileCache()
  return import(file.href)
}

function refused(reason) {
  process.exitCode = 1
  console.error(`outrigger: ${reason}`)
  return null
}
