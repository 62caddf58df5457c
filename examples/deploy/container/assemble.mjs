// Puts together the root folder of an image that has nothing but Node and Outrigger: no shell, no package manager, no other program. Run by the
// Containerfile in its build stage, and by the test in a folder of its own:  node assemble.mjs OUT [PACKAGE]
// PACKAGE is a folder with an installed or built package (where this file lies in, by default).
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'

/** The user that the image runs as; in no other file than the image's own /etc/passwd. */
const UID = 65532

const [out, from = join(import.meta.dirname, '../../..')] = process.argv.slice(2)
if (out === undefined) {
  console.error('usage: node assemble.mjs OUT [PACKAGE]')
  process.exit(2)
}
const root = resolve(out)
const source = resolve(from)
const app = join(root, 'opt/outrigger')

if (!existsSync(join(source, 'dist/bundle'))) {
  console.error(`${source}: no dist/bundle: npm run build makes it`)
  process.exit(1)
}
/** Of what the package holds, all that runs. */
const { files } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'))
const parts = files.filter(part => /^(bin$|dist\/)/.test(part) && part !== 'dist/types')
for (const part of [...parts, 'package.json', 'LICENSE'])
  cpSync(join(source, part), join(app, part), { recursive: true, dereference: true })
for (const [name, folder] of productionPackages()) {
  const target = join(app, 'node_modules', name)
  cpSync(folder, target, { recursive: true, dereference: true })
  for (const file of readdirSync(target, { recursive: true, encoding: 'utf8' }))
    if (file.endsWith('.node')) copyLibraries(join(target, file))
}
copy(process.execPath, join(root, 'usr/local/bin/node'))
chmodSync(join(root, 'usr/local/bin/node'), 0o755)
copyLibraries(process.execPath)
// Without a shell and env, what starts a program by its name is its first line alone.
for (const [name, flags] of [
  ['outrigger', ''],
  ['outrigger-proxy', ' --max-semi-space-size=8'],
]) {
  const program = join(app, 'bin', name)
  writeFileSync(program, readFileSync(program, 'utf8').replace(/^#!.*$/m, `#!/usr/local/bin/node${flags}`), { mode: 0o755 })
  symlinkSync(`/opt/outrigger/bin/${name}`, join(root, 'usr/local/bin', name))
}
// Of transparent pods: what `connect redirect-traffic` tells the kernel's rules by.
const nft = programOf('nft')
if (nft === undefined) console.log('no nft here: this image cannot redirect the traffic of transparent pods')
else {
  copy(nft, join(root, 'usr/sbin/nft'))
  chmodSync(join(root, 'usr/sbin/nft'), 0o755)
  copyLibraries(nft)
}
mkdirSync(join(root, 'etc'), { recursive: true })
writeFileSync(join(root, 'etc/passwd'), `outrigger:x:${UID}:${UID}:Outrigger:/var/lib/outrigger:/nonexistent\n`)
writeFileSync(join(root, 'etc/group'), `outrigger:x:${UID}:\n`)
writeFileSync(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n')
mkdirSync(join(root, 'tmp'), { recursive: true })
chmodSync(join(root, 'tmp'), 0o1777)
mkdirSync(join(root, 'var/lib/outrigger'), { recursive: true, mode: 0o700 })
if (process.getuid() === 0) chownSync(join(root, 'var/lib/outrigger'), UID, UID)

function programOf(name) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']
  return folders.map(folder => join(folder, name)).find(file => existsSync(file))
}

/** Name and folder of each package that the bundles load at run time, with theirs. */
function productionPackages() {
  const found = new Map()
  const add = (folder, optional, name) => {
    if (found.has(name)) return
    const at = folderOf(name, folder)
    // npm installs for both C libraries where it cannot tell; the image has glibc.
    if (at === null || (optional && name.endsWith('-musl'))) {
      if (optional) return
      throw new Error(`${name}, which ${folder} needs, is not installed`)
    }
    found.set(name, at)
    walk(at)
  }
  const walk = folder => {
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    for (const name of Object.keys(dependencies)) if (!(name in optionalDependencies)) add(folder, false, name)
    for (const name of Object.keys(optionalDependencies)) add(folder, true, name)
  }
  walk(source)
  return found
}

/** As Node looks for it: in each node_modules on the way up. */
function folderOf(name, start) {
  for (const folder of createRequire(join(start, 'package.json')).resolve.paths(name) ?? []) {
    const at = join(folder, name)
    if (existsSync(join(at, 'package.json'))) return realpathSync(at)
  }
  return null
}

/** The shared libraries that a program or an addon is linked to. */
function copyLibraries(file) {
  const linked = execFileSync('ldd', [file], { encoding: 'utf8' })
  for (const [, library] of linked.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)) copy(library, join(root, library))
}

function copy(file, target) {
  mkdirSync(dirname(target), { recursive: true })
  copyFileSync(realpathSync(file), target)
}
