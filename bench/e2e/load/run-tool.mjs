// Runs a program of the bench pinned to a core where `taskset` is installed, and gives back what it prints. Used for wrk, h2load and the
// generators of our own.
import { execFileSync, spawn } from 'node:child_process'

const known = new Map()

/** Is `tool` installed? */
export function has(tool) {
  if (!known.has(tool)) {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' })
      known.set(tool, true)
    } catch {
      known.set(tool, false)
    }
  }
  return known.get(tool)
}

/** `core` null: not pinned. */
export function spawnPinned(core, command, args, options = {}) {
  return core !== null && has('taskset') ? spawn('taskset', ['-c', String(core), command, ...args], options) : spawn(command, args, options)
}

/** All that the program printed; its failure is an error. */
export function runTool(command, args, core) {
  return new Promise((resolve, reject) => {
    const child = spawnPinned(core, command, args)
    let out = ''
    child.stdout.on('data', chunk => (out += chunk))
    child.stderr.on('data', chunk => (out += chunk))
    child.on('error', reject)
    child.on('close', code => (code === 0 ? resolve(out) : reject(new Error(`${command}: exit ${code}: ${out.slice(-500)}`))))
  })
}
