#!/usr/bin/env node
// Starts a proxy and restarts it without losing a connection, as Envoy's hot-restarter does:
//
//   node examples/hot-restart/hot-restarter.mjs ./start.sh
//
// The script is started with RESTART_EPOCH in its environment and execs the proxy with --restart-epoch "$RESTART_EPOCH". SIGHUP starts the
// next epoch; SIGTERM and SIGINT end all; SIGUSR1 is passed on. A process that ends with an error ends the others, but for one that failed
// to start while an older one serves: then that one goes on.
import { spawn } from 'node:child_process'

const [script, ...args] = process.argv.slice(2)
if (script === undefined) {
  console.error('usage: hot-restarter.mjs SCRIPT [ARGUMENT...]')
  process.exit(1)
}

/** How long the processes may take to end. */
const MAX_END_MS = 30_000
const running = new Map()
let epoch = 0
let ending = false

function start() {
  const own = epoch++
  const child = spawn(script, args, { stdio: 'inherit', env: { ...process.env, RESTART_EPOCH: String(own) } })
  running.set(child, own)
  console.error(`hot-restarter: epoch ${own} is process ${child.pid}`)
  child.once('error', error => ended(child, own, error.message))
  child.once('exit', (code, signal) => ended(child, own, code === 0 ? null : (signal ?? `exit code ${code}`)))
}

function ended(child, own, problem) {
  if (!running.delete(child)) return
  if (problem !== null && !ending) {
    console.error(`hot-restarter: epoch ${own} ended: ${problem}`)
    // The one before it has not been asked to leave: the next try takes the same number.
    if (own === epoch - 1 && running.size > 0) epoch = own
    else end('SIGTERM', 1)
  }
  if (running.size === 0) process.exit(ending ? process.exitCode : problem === null ? 0 : 1)
}

function end(signal, code) {
  ending = true
  process.exitCode = code
  for (const child of running.keys()) child.kill(signal)
  setTimeout(() => {
    for (const child of running.keys()) child.kill('SIGKILL')
  }, MAX_END_MS).unref()
}

process.on('SIGHUP', () => {
  if (!ending) start()
})
process.on('SIGTERM', () => end('SIGTERM', 0))
process.on('SIGINT', () => end('SIGTERM', 0))
process.on('SIGUSR1', () => {
  for (const child of running.keys()) child.kill('SIGUSR1')
})
start()
