// One row for all its peers: the origin, then samples round by round, the peers interleaved and their order turned each round, so that the
// drift of a shared machine hits all alike.
import { cpSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawnPinned } from './load/run-tool.mjs'
import { canDo, stopPeer, waitForPort } from './peers.mjs'

/** The proxy has core 0 for itself; load and origin share core 1. */
const PROXY_CORE = 0
const LOAD_CORE = 1
const ORIGIN = fileURLToPath(new URL('origin.mjs', import.meta.url))

/** Ports that nobody listens on now. */
async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      return new Promise((resolve, reject) => {
        const server = net.createServer()
        server.once('error', reject)
        server.listen(0, '127.0.0.1', () => resolve(server))
      })
    }),
  )
  const ports = servers.map(server => server.address().port)
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))))
  return ports
}

/** `context`: dir, certs, rounds, seconds, quick. Gives `Map<peer name, samples>`; a peer that failed is told to `onFailure`. */
export async function runRow(row, peers, context, onFailure) {
  const able = peers.filter(peer => canDo(peer, row))
  const [proxyCore, loadCore] = context.quick ? [null, null] : [PROXY_CORE, LOAD_CORE]
  const [originPort] = await freePorts(1)
  const origin = spawnPinned(loadCore, process.execPath, [ORIGIN, row.origin, String(originPort)], { stdio: 'ignore' })
  const samples = new Map()
  try {
    await waitForPort(originPort, origin)
    for (let round = 0; round < context.rounds; round++) {
      for (const peer of round % 2 === 0 ? able : [...able].reverse()) {
        const [port, innerPort, admin] = await freePorts(3)
        const dir = join(context.dir, row.name)
        cpSync(context.certs.dir, dir, { recursive: true })
        const run = { ...context, dir, proxyCore, loadCore, ports: { port, innerPort, admin, origin: originPort } }
        try {
          const sample = await row.measure(run, peer)
          samples.set(peer.name, [...(samples.get(peer.name) ?? []), sample])
        } catch (error) {
          onFailure(peer, error)
        }
      }
    }
  } finally {
    await stopPeer(origin)
  }
  return samples
}
