// One row for all its peers: the origin, then samples round by round, the peers interleaved and their order turned each round, so that the
// drift of a shared machine hits all alike.
import { cpSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawnPinned } from './load/run-tool.mjs'
import { canDo, isJudged, stopPeer, waitForPort } from './peers.mjs'

/** The proxy has core 0 for itself; load and origin share core 1. */
const PROXY_CORE = 0
const LOAD_CORE = 1
/** Of `runPaired`, in each of its rounds. */
const PAIRS_A_ROUND = 8
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
export function runRow(row, peers, context, onFailure) {
  const able = peers.filter(peer => canDo(peer, row))
  return withOrigin(row, context, async newRun => {
    const samples = new Map(able.map(peer => [peer.name, []]))
    for (let round = 0; round < context.rounds; round++) {
      for (const peer of inTurn(able, round)) {
        if (round > 0 && !isJudged(peer)) continue
        try {
          samples.get(peer.name).push(await row.measure(await newRun(), peer))
        } catch (error) {
          onFailure(peer, error)
        }
      }
    }
    return new Map([...samples].filter(([, list]) => list.length > 0))
  })
}

/** The same for two builds that run at once and are loaded in turn, so that the two samples of a pair are a second apart. */
export function runPaired(row, peers, context, onFailure) {
  if (row.open === undefined) return runRow(row, peers, { ...context, rounds: context.rounds * PAIRS_A_ROUND }, onFailure)
  return withOrigin(row, context, async newRun => {
    const samples = new Map(peers.map(peer => [peer.name, []]))
    for (let round = 0; round < context.rounds; round++) {
      const proxies = []
      try {
        for (const peer of inTurn(peers, round)) proxies.push({ peer, proxy: await row.open(await newRun(), peer) })
        for (let pair = 0; pair < PAIRS_A_ROUND; pair++) {
          for (const { peer, proxy } of inTurn(proxies, pair)) samples.get(peer.name).push(await proxy.sample())
        }
      } catch (error) {
        onFailure(peers[0], error)
      } finally {
        for (const { proxy } of proxies) await proxy.close()
      }
    }
    return samples
  })
}

const inTurn = (list, round) => (round % 2 === 0 ? list : [...list].reverse())

/** `body(newRun)`, with the row's origin running; `newRun()` is what one start of a proxy needs, with ports of its own. */
async function withOrigin(row, context, body) {
  const [proxyCore, loadCore] = context.quick ? [null, null] : [PROXY_CORE, LOAD_CORE]
  const [originPort] = await freePorts(1)
  const origin = spawnPinned(loadCore, process.execPath, [ORIGIN, row.origin, String(originPort)], { stdio: 'ignore' })
  let runs = 0
  const newRun = async () => {
    const [port, innerPort, admin] = await freePorts(3)
    const dir = join(context.dir, `${row.name}-${runs++}`)
    cpSync(context.certs.dir, dir, { recursive: true })
    return { ...context, dir, proxyCore, loadCore, ports: { port, innerPort, admin, origin: originPort } }
  }
  try {
    await waitForPort(originPort, origin)
    return await body(newRun)
  } finally {
    await stopPeer(origin)
  }
}
