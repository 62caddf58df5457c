// Loads an executable's bundle, or says in one line why there is none. Plain JavaScript that any Node reads: an old one is told so. The executables are
// scripts and not modules (package.json beside them): of a start that loads modules Node's loader for them takes a tenth.
const { existsSync } = require('node:fs')
const nodeModule = require('node:module')
const { join } = require('node:path')
const { pathToFileURL } = require('node:url')

const OLDEST = [20, 19]
const BUNDLE = join(__dirname, '../dist/bundle')

/** Whether this Node can run what is there; if not, the reason is on stderr and the exit code is 1. */
function isUsable() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
    return refused(`Node ${OLDEST.join('.')} or later is needed, this is ${process.version}`)
  const built = ['outrigger-main.js', 'proxy/proxy-main.cjs'].every(name => existsSync(join(BUNDLE, name)))
  return built || refused('dist/ is not there: run `npm run build`')
}

/** The module of dist/bundle with that name; null where there is none to be used. */
function loadBundle(name) {
  if (!isUsable()) return null
  // Node 22 and later keep what V8 compiled for the next start.
  if (nodeModule.enableCompileCache !== undefined) nodeModule.enableCompileCache()
  return import(pathToFileURL(join(BUNDLE, `${name}.js`)).href)
}

function refused(reason) {
  process.exitCode = 1
  console.error(`outrigger: ${reason}`)
  return false
}

module.exports = { isUsable, loadBundle }
