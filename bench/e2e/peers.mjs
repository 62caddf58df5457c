// The proxies that the bench compares: how each is found, configured for a row, started and stopped.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { haproxyConfig, nginxConfig } from './configs.mjs'
import { has } from './load.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))

export function availablePeers() {
  const peers = ['outrigger']
  if (process.env.ENVOY_BIN && existsSync(process.env.ENVOY_BIN)) peers.push('envoy')
  if (has('nginx')) peers.push('nginx')
  if (has('haproxy')) peers.push('haproxy')
  for (const name of ['http-proxy', 'undici']) if (existsSync(join(root, 'node_modules', name))) peers.push(name)
  return peers
}

function pinned(core, command, args, options = {}) {
  const child = has('taskset') ? spawn('taskset', ['-c', String(core), command, ...args], options) : spawn(command, args, options)
  return child
}

export function waitForPort(port, child, timeoutMs = 15_000) {
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
        else setTimeout(attempt, 50)
      })
    }
    attempt()
  })
}

/** Start `peer` for a row on `core`; resolves when its port is open. Null when the peer cannot do the row. */
export async function startPeer(peer, row, ports, dir, certs, core) {
  const options = { stdio: ['ignore', 'ignore', 'pipe'] }
  let child
  if (peer === 'outrigger' || peer === 'envoy') {
    const file = join(dir, `${row.name}-${peer}.json`)
    writeFileSync(file, JSON.stringify(row.bootstrap({ ...ports, certs })).replaceAll('test.consul', certs.trustDomain))
    child =
      peer === 'outrigger'
        ? pinned(core, join(root, 'bin/outrigger-proxy'), ['-c', file, '-l', 'warning'], options)
        : pinned(core, process.env.ENVOY_BIN, ['-c', file, '--concurrency', '1', '-l', 'error', '--disable-hot-restart'], options)
  } else if (peer === 'nginx' && row.nginx) {
    const file = join(dir, 'nginx.conf')
    writeFileSync(file, nginxConfig({ ...ports, certs, dir, pair: row.pair }))
    child = pinned(core, 'nginx', ['-c', file, '-p', dir], options)
  } else if (peer === 'haproxy' && row.haproxy) {
    const file = join(dir, 'haproxy.cfg')
    writeFileSync(file, haproxyConfig({ ...ports, dir, pair: row.pair, tcp: row.tcp }))
    child = pinned(core, 'haproxy', ['-db', '-q', '-f', file], options)
  } else if ((peer === 'http-proxy' || peer === 'undici') && row.nodePeers) {
    child = pinned(core, process.execPath, [join(root, 'bench/e2e/node-peer.mjs'), peer, String(ports.port), String(ports.origin)], options)
  } else return null
  let errors = ''
  child.stderr.on('data', chunk => (errors = (errors + chunk).slice(-2000)))
  try {
    await waitForPort(ports.port, child)
  } catch (error) {
    child.kill('SIGKILL')
    throw new Error(`${peer}: ${error.message}: ${errors}`)
  }
  return child
}

/** Resident memory of a process and its children, in MB. */
export function residentMb(pid) {
  try {
    const pids = [
      pid,
      ...execFileSync('pgrep', ['-P', String(pid)])
        .toString()
        .trim()
        .split('\n'),
    ].filter(Boolean)
    return pids.reduce((sum, each) => sum + rss(each), 0)
  } catch {
    return rss(pid)
  }
}

function rss(pid) {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024
  } catch {
    return 0
  }
}

/** SIGTERM first: nginx takes its worker along only then. */
export function stopPeer(child) {
  return new Promise(resolve => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 1500)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    child.kill('SIGTERM')
  })
}
