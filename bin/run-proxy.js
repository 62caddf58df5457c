// The proxy's own scripts (dist/bundle/proxy), with what V8 made of them when they were built, which takes most of the compiling out of a start: it
// stands beside each script. V8 refuses what other options have made, and then compiles; but it believes that the rest fits, and a
// process ends where it does not (nodejs/node#62781). So a checksum says that it is whole and was made of this script by this very Node. With another
// Node than the one of the build, 22 and later keep what they compile themselves. Used by bin/outrigger-proxy, and by scripts/code-cache.mjs, which
// writes what is kept.
const v8 = require('node:v8')

// Of a process with V8 options that are not the usual ones, V8 takes nothing of what it compiled at another time, Node's own modules included: with
// Node 20 they are 17 of 75 ms. Nobody reads this option again once there is a heap. Before all else, for that reason.
v8.setFlagsFromString('--max-semi-space-size=0')

const { closeSync, fstatSync, openSync, readFileSync, readSync, writeFileSync } = require('node:fs')
const nodeModule = require('node:module')
const { dirname, join } = require('node:path')
const vm = require('node:vm')
/** Node 21 and 22.0 have none: there nothing is kept. */
const { crc32 } = require('node:zlib')

const FOLDER = join(__dirname, '../dist/bundle/proxy')
const ENTRY = join(FOLDER, 'proxy-main.cjs')
const SUM_BYTES = 4
/** What is around the text of a script, so that it is a function of what Node gives to one. */
const BEFORE = Buffer.from('(function (exports, require, module, __filename, __dirname) { ')
const AFTER = Buffer.from('\n})')

/**
 * V8's options while the proxy starts, and the usual ones again. What a start makes stays: a young generation that grows with it would keep its 8 MB
 * and more, 10 of 79 MB with 100 clusters, and be no sooner done. And what is done once made V8 optimize functions that nobody called again, 23 of
 * 165 ms: now it runs four times as much of one before that. Other versions than Node 20's count this otherwise.
 */
const STARTING = ['--semi-space-growth-factor=1']
const USUAL = ['--semi-space-growth-factor=2']
if (process.versions.v8.startsWith('11.')) {
  STARTING.push(`--interrupt-budget=${4 * 67_584}`)
  USUAL.push('--interrupt-budget=67584')
}
/** Node's modules that a start loads: while V8's options are the usual ones (above). */
const LOADED_AT_START = [
  'assert',
  'child_process',
  'crypto',
  'dgram',
  'dns',
  'fs/promises',
  'http',
  'net',
  'os',
  'perf_hooks',
  'stream',
  'tls',
]

/** What has been loaded, if it is to be kept: file name -> vm.Script. */
let loadedScripts = null
let starting = false

/** Of one version, too, there are builds for other machines and with other libraries. */
const MADE_BY = [process.version, process.arch, process.platform, JSON.stringify(process.config)].join()

const sumOf = (text, code) => crc32(code, crc32(text, crc32(MADE_BY)))

/** Keeps what V8 has compiled of what has been loaded. */
function keepCompiled() {
  if (crc32 === undefined) return
  for (const [file, script] of loadedScripts) {
    const code = script.createCachedData()
    const sum = Buffer.alloc(SUM_BYTES)
    sum.writeUInt32LE(sumOf(readScript(file), code))
    writeFileSync(`${file}.cache`, Buffer.concat([sum, code]))
  }
}

/** The script as a function, in one piece: V8 takes such a text as it is, where it would copy one that is put together. */
function readScript(file) {
  const fd = openSync(file)
  try {
    const { size } = fstatSync(fd)
    const text = Buffer.allocUnsafeSlow(BEFORE.length + size + AFTER.length)
    BEFORE.copy(text)
    const end = BEFORE.length + size
    for (let at = BEFORE.length; at < end; ) {
      const read = readSync(fd, text, at, end - at)
      if (read === 0) throw new Error(`${file} became shorter while it was read`)
      at += read
    }
    AFTER.copy(text, end)
    return text
  } finally {
    closeSync(fd)
  }
}

function compiled(file, text) {
  if (crc32 === undefined) return undefined
  let kept
  try {
    kept = readFileSync(`${file}.cache`)
  } catch {
    return undefined
  }
  const code = kept.subarray(SUM_BYTES)
  return kept.length > SUM_BYTES && sumOf(text, code) === kept.readUInt32LE() ? code : undefined
}

/** `{ proxyMain }`. `toKeep`: what is compiled will be kept. */
function loadProxy(toKeep = false) {
  if (toKeep) loadedScripts = new Map()
  if (toKeep || nodeModule.enableCompileCache === undefined || compiled(ENTRY, readScript(ENTRY)) !== undefined) {
    for (const name of LOADED_AT_START) require(`node:${name}`)
    STARTING.forEach(setOption)
    starting = true
    nodeModule._extensions['.cjs'] = load
  } else nodeModule.enableCompileCache()
  return require(ENTRY)
}

/** It serves. */
function started() {
  if (starting) USUAL.forEach(setOption)
}

function setOption(option) {
  v8.setFlagsFromString(option)
}

/** How Node loads a script of our folder: as it does itself, but for what is kept. */
function load(made, file) {
  if (dirname(file) !== FOLDER) return nodeModule._extensions['.js'](made, file)
  const text = readScript(file)
  // The bundler writes ASCII alone, so that V8 takes one byte a character.
  const script = new vm.Script(text.latin1Slice(), { filename: file, cachedData: compiled(file, text) })
  loadedScripts?.set(file, script)
  const require = name => made.require(name)
  script.runInThisContext().call(made.exports, made.exports, require, made, file, dirname(file))
}

module.exports = { keepCompiled, loadProxy, started }
