// The comment at the head of a file, the README and docs/ name only files and folders that are there. Part of `npm test`; prints each
// absent name and exits 1. A name is what ends like source (.ts, .mjs, .md) or begins like a path of this repository; it is
// found by its end, so that `http2/stream.ts` and `stream.ts` both mean that one file of the codec. `*` is any text.
// And test/ mirrors src/: a folder of tests is one of sources, and a test named like a source of its folder's folders stands in that one.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const TOP = 'src|test|docs|bench|scripts|examples|bin'
const NAME = new RegExp(`(?<![\\w./*-])(?:(?:${TOP})/[\\w./*-]*|[\\w./*-]+\\.(?:ts|mjs|md)\\b)`, 'g')

/** What is no source of ours, where git cannot say so. */
const NOT_OURS = /^(?:\.git|node_modules|dist|src\/xds\/gen)$/

function filesBelow(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap(entry => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) return NOT_OURS.test(path) ? [] : filesBelow(path)
    return [path]
  })
}

/** Of an archive, or where git is not installed: the files that are there. */
function allFiles() {
  const { status, stdout } = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  return status === 0 ? [...new Set(stdout.split('\n'))] : filesBelow('')
}

const files = allFiles().filter(file => file !== '' && existsSync(join(root, file)))
// Generated, so in no index: named by its folder alone.
const paths = new Set(['src/xds/gen', ...files])
for (const file of files) for (let at = file.indexOf('/'); at !== -1; at = file.indexOf('/', at + 1)) paths.add(file.slice(0, at))
const ends = new Set()
for (const path of paths) {
  ends.add(path)
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) ends.add(path.slice(at + 1))
}

function isThere(name) {
  const plain = name.replace(/^\.{1,2}\//, '').replace(/[./]+$/, '')
  if (!plain.includes('*')) return ends.has(plain)
  const pattern = new RegExp(`^${plain.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`)
  return [...ends].some(end => pattern.test(end))
}

/** The comment that a source file begins with. */
function head(text) {
  const lines = text.split('\n')
  const end = lines.findIndex(line => !/^(?:#!|\/\/|\s*$)/.test(line))
  return lines.slice(0, end === -1 ? lines.length : end).join('\n')
}

let absent = 0
for (const file of files) {
  const text = readFileSync(join(root, file), 'utf8')
  const isDoc = file === 'README.md' || /^docs\/.*\.md$/.test(file)
  if (!isDoc && !/\.(?:ts|mjs)$/.test(file)) continue
  for (const [name] of (isDoc ? text : head(text)).matchAll(NAME)) {
    if (isThere(name)) continue
    absent++
    console.error(`${file}: names ${name}, which is not there`)
  }
}

/** Tests of no one folder: of processes, of benches and bundles, and what tests share. */
const OF_ALL = /^test\/(?:integration|bench|fuzz|support)\//
let misplaced = 0
for (const file of files) {
  if (!/^test\/.*\/.*\.ts$/.test(file) || OF_ALL.test(file)) continue
  const folder = `src/${dirname(file).slice('test/'.length)}`
  if (!paths.has(folder)) {
    misplaced++
    console.error(`${file}: there is no ${folder} that it could mirror`)
    continue
  }
  const [, name] = /([^/]+)\.test\.ts$/.exec(file) ?? []
  const isSource = path => ['.ts', '.tsx'].some(ending => path.endsWith(`/${name}${ending}`))
  if (name === undefined || files.some(path => isSource(path) && dirname(path) === folder)) continue
  const source = files.find(path => path.startsWith(`${folder}/`) && isSource(path))
  if (source === undefined) continue
  misplaced++
  console.error(`${file}: its source is ${source}`)
}
if (absent + misplaced > 0) process.exit(1)
console.log('names of files: ok')
