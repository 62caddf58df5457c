// The proxies that the bench compares: how each is found, configured for a row, started and stopped. A row says by its `peers` which of
// them can do it; Outrigger and Envoy do all of them with the same bootstrap.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { haproxyConfig } from './configs/haproxy-config.mjs'
import { nginxConfig } from './configs/nginx-config.mjs'
import { has, spawnPinned } from './load/run-tool.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
const NODE_PEERS = ['http-proxy', 'http-proxy-3', '@fastify/http-proxy', 'undici']
const FLOORS = ['pipe', 'onread-proxy', 'tls-pipe']

/** A proxy under test. `dist`: which build of ours, '' = this one. */
const subject = (name, kind, dist = '') => ({ name, kind, dist })

export function availablePeers() {
  const peers = [subject('outrigger', 'outrigger')]
  if (process.env.ENVOY_BIN && existsSync(process.env.ENVOY_BIN)) peers.push(subject('envoy', 'envoy'))
  for (const tool of ['nginx', 'haproxy']) if (has(tool)) peers.push(subject(tool, tool))
  for (const name of NODE_PEERS) if (existsSync(join(root, 'node_modules', name))) peers.push(subject(name, 'node'))
  for (const name of FLOORS) peers.push(subject(name, 'node'))
  return peers
}

/** This build against another one, by its dist folder. */
export function pairedPeers(dist) {
  const other = resolve(dist)
  if (!existsSync(join(other, 'cli/proxy-main.js')))
    throw new Error(`--against: ${other} is no dist folder (cli/proxy-main.js is not there)`)
  return [subject('this', 'outrigger'), subject('against', 'outrigger', other)]
}

/** Can `peer` do `row`? Rows name the others by peer, or the Node peers together. */
export function canDo(peer, row) {
  if (peer.kind === 'outrigger' || peer.kind === 'envoy') return true
  const able = row.peers ?? []
  return able.includes(peer.name) || (NODE_PEERS.includes(peer.name) && able.includes('node'))
}

/** Judged by figures: sampled in every round. The others are there for their order of magnitude. */
export function isJudged({ kind, name }) {
  return kind !== 'node' || name === 'onread-proxy' || name === 'tls-pipe'
}

/** The command of one of our builds: its own executable beside `dist`, else Node with the options that ours starts with. */
function outriggerCommand(dist) {
  const own = join(root, 'bin/outrigger-proxy')
  if (dist === '') return [own, []]
  const beside = join(dirname(dist), 'bin/outrigger-proxy')
  if (basename(dist) === 'dist' && existsSync(beside)) return [beside, []]
  const flags = /exec node (.*?) ?"\$0"/.exec(readFileSync(own, 'utf8'))?.[1] ?? ''
  const script = `const { proxyMain } = await import(${JSON.stringify(pathToFileURL(join(dist, 'cli/proxy-main.js')).href)})
await proxyMain(process.argv.slice(1))`
  return [process.execPath, [...flags.split(' ').filter(Boolean), '--input-type=module', '-e', script, '--']]
}

/** Starts `peer` for `row` without waiting. `bootstrap`: instead of the row's. */
export function spawnPeer(peer, row, run, bootstrap = row.bootstrap) {
  const { dir, certs, proxyCore, ports } = run
  // A machine's own certificates, which its tools may name so, are read by Node before it does anything else: half of a start, and no proxy asks for them.
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env
  const options = { stdio: ['ignore', 'ignore', 'pipe'], env }
  const made = { ...ports, certs, dir, quick: run.quick, pair: row.pair === true, tcp: row.tcp === true }
  let child
  if (peer.kind === 'outrigger' || peer.kind === 'envoy') {
    const file = join(dir, `${row.name}-${peer.name}.json`)
    writeFileSync(file, JSON.stringify(bootstrap(made)))
    const [command, args] =
      peer.kind === 'envoy'
        ? [process.env.ENVOY_BIN, ['--concurrency', '1', '--disable-hot-restart', '-l', 'error']]
        : outriggerCommand(peer.dist)
    child = spawnPinned(proxyCore, command, [...args, ...(peer.kind === 'envoy' ? [] : ['-l', 'warning']), '-c', file], options)
  } else if (peer.kind === 'nginx') {
    const file = join(dir, 'nginx.conf')
    writeFileSync(file, nginxConfig(made))
    child = spawnPinned(proxyCore, 'nginx', ['-c', file, '-p', dir], options)
  } else if (peer.kind === 'haproxy') {
    const file = join(dir, 'haproxy.cfg')
    writeFileSync(file, haproxyConfig(made))
    child = spawnPinned(proxyCore, 'haproxy', ['-db', '-q', '-f', file], options)
  } else {
    const script = join(root, 'bench/e2e/node-peer.mjs')
    child = spawnPinned(proxyCore, process.execPath, [script, peer.name, String(ports.port), String(ports.origin), certs.dir], options)
  }
  child.errors = ''
  child.stderr.on('data', chunk => (child.errors = (child.errors + chunk).slice(-2000)))
  return child
}

/** Started, and its port is open. */
export async function startPeer(peer, row, run, bootstrap = row.bootstrap) {
  const child = spawnPeer(peer, row, run, bootstrap)
  try {
    await waitForPort(run.ports.port, child)
  } catch (error) {
    child.kill('SIGKILL')
    throw new Error(`${error.message}: ${child.errors}`)
  }
  return child
}

export function waitForPort(port, child, { timeoutMs = 30_000, everyMs = 20 } = {}) {
  const deadline = performance.now() + timeoutMs
  return new Promise((resolve, reject) => {
    const attempt = () => {
      if (child.exitCode !== null) return reject(new Error(`exited with ${child.exitCode}`))
      const socket = net.connect({ port, host: '127.0.0.1' })
      socket.on('connect', () => {
        socket.destroy()
        resolve()
      })
      socket.on('error', () => {
        if (performance.now() > deadline) reject(new Error(`port ${port} does not open`))
        else setTimeout(attempt, everyMs)
      })
    }
    attempt()
  })
}

/** SIGTERM first: nginx takes its worker along only then. */
export function stopPeer(child) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise(resolve => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 1500)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    child.kill('SIGTERM')
  })
}
