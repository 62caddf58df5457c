// Memory rows of the bench: resident memory with 10,000 idle keep-alive connections, and while a 100 MB body is streamed.
//   --peers outrigger,envoy   --connections 10000   --json FILE
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { benchCertificates } from './certificates.mjs'
import { oneHop } from './configs.mjs'
import { availablePeers, residentMb, startPeer, stopPeer, waitForPort } from './peers.mjs'

const read = (name, fallback) => {
  const i = process.argv.indexOf(`--${name}`)
  return i === -1 ? fallback : process.argv[i + 1]
}
const REQUEST = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
const BODY_BYTES = 100 * 1024 * 1024

/** Open `count` connections, one request on each, and keep them. */
async function openIdle(port, count) {
  const sockets = []
  for (let i = 0; i < count; i += 200) {
    await Promise.all(
      Array.from({ length: Math.min(200, count - i) }, () => {
        return new Promise((resolve, reject) => {
          // A loopback address holds only 28,000 ports: that is enough here.
          const socket = net.connect({ port, host: '127.0.0.1' }, () => socket.write(REQUEST))
          sockets.push(socket)
          socket.once('data', resolve)
          socket.once('error', reject)
        })
      }),
    )
  }
  return sockets
}

/** A slow body: the origin streams 100 MB, the client reads as it comes. Returns the highest resident memory seen. */
async function streamPeak(port, pid) {
  let peak = residentMb(pid)
  const started = performance.now()
  const timer = setInterval(() => (peak = Math.max(peak, residentMb(pid))), 20)
  const bytes = await new Promise((resolve, reject) => {
    http
      .get({ port, host: '127.0.0.1', path: '/big', agent: false }, response => {
        let sum = 0
        response.on('data', chunk => (sum += chunk.length))
        response.on('end', () => resolve(sum))
      })
      .on('error', reject)
  })
  clearInterval(timer)
  if (bytes !== BODY_BYTES) throw new Error(`${bytes} bytes came`)
  return { peak, mbPerS: bytes / 1e6 / ((performance.now() - started) / 1000) }
}

function startOrigin(port) {
  const chunk = Buffer.alloc(64 * 1024, 120)
  const server = http.createServer((request, response) => {
    if (request.url !== '/big') {
      response.end('ok')
      return
    }
    response.writeHead(200, { 'content-length': BODY_BYTES })
    let left = BODY_BYTES
    const push = () => {
      while (left > 0) {
        left -= chunk.length
        if (!response.write(chunk)) {
          response.once('drain', push)
          return
        }
      }
      response.end()
    }
    push()
  })
  return new Promise(resolve => server.listen(port, '127.0.0.1', () => resolve(server)))
}

const peers = read(
  'peers',
  availablePeers()
    .filter(peer => peer === 'outrigger' || peer === 'envoy')
    .join(','),
).split(',')
const count = Number(read('connections', '10000'))
const base = Number(read('port-base', '28100'))
const dir = mkdtempSync(join(tmpdir(), 'outrigger-bench-'))
const certs = await benchCertificates(dir)
const origin = await startOrigin(base + 3)
const results = []
try {
  for (const peer of peers) {
    const row = { name: 'memory', bootstrap: oneHop }
    const ports = { port: base + 1, origin: base + 3, admin: base + 4 }
    const child = await startPeer(peer, row, ports, dir, certs, 0)
    await waitForPort(ports.port, child)
    const before = residentMb(child.pid)
    const sockets = await openIdle(ports.port, count)
    await new Promise(resolve => setTimeout(resolve, 3000))
    const idle = residentMb(child.pid)
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => setTimeout(resolve, 2000))
    const warm = await streamPeak(ports.port, child.pid)
    const floor = residentMb(child.pid)
    const again = await streamPeak(ports.port, child.pid)
    const entry = {
      peer,
      startMb: Math.round(before),
      idleConnections: count,
      idleMb: Math.round(idle),
      kbPerConnection: Number((((idle - before) * 1024) / count).toFixed(1)),
      streamGrowthMb: Math.round(again.peak - floor),
      streamMbPerS: Math.round(Math.max(warm.mbPerS, again.mbPerS)),
    }
    results.push(entry)
    console.log(JSON.stringify(entry))
    await stopPeer(child)
  }
} finally {
  origin.closeAllConnections()
  origin.close()
  rmSync(dir, { recursive: true, force: true })
}
const json = read('json', '')
if (json !== '') writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`)
