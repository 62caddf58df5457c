// Rows about the process itself: how soon it answers, what it holds in memory with many clusters or idle connections, what a scrape costs.
import net from 'node:net'
import { answers, expect, get } from '../checks.mjs'
import { manyClusters, oneHop } from '../configs/envoy-config.mjs'
import { cpuOf, residentMb } from '../measure/process-cost.mjs'
import { spawnPeer, startPeer, stopPeer, waitForPort } from '../peers.mjs'
import { loadedRow } from './loaded-row.mjs'

const IDLE_CONNECTIONS = 10_000
const OPENED_AT_ONCE = 200
const SCRAPES = 40
/** After the last answer, for garbage to be collected and buffers to be given back. */
const SETTLE_MS = 3000
const REQUEST = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

/** From exec to the first 200. */
async function timeStart(row, run, peer) {
  const from = performance.now()
  const child = spawnPeer(peer, row, run)
  try {
    await waitForPort(run.ports.port, child, { everyMs: 3 })
    await get(run.ports.port, '/')
    const startMs = performance.now() - from
    return { startMs, cpuUs: cpuOf(child.pid).cpuUs, rssMb: residentMb(child.pid) }
  } finally {
    await stopPeer(child)
  }
}

const start = {
  name: 'start',
  unit: 'start',
  origin: 'http1',
  figure: 'startMs',
  bootstrap: oneHop,
  peers: ['nginx', 'haproxy', 'http-proxy', 'pipe'],
  measure: (run, peer) => timeStart(start, run, peer),
}

function clustersRow(count) {
  const row = {
    name: `clusters-${count}`,
    unit: 'start',
    origin: 'http1',
    figure: 'rssMb',
    bootstrap: made => manyClusters({ ...made, count: made.quick ? 10 : count }),
    measure: (run, peer) => timeStart(row, run, peer),
  }
  return row
}

/** Connections that have had one answer each and stay open. */
async function openIdle(port, count) {
  const sockets = []
  for (let i = 0; i < count; i += OPENED_AT_ONCE) {
    await Promise.all(
      Array.from({ length: Math.min(OPENED_AT_ONCE, count - i) }, () => {
        return new Promise((resolve, reject) => {
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

const idle = {
  name: 'idle-10000',
  unit: 'connection',
  origin: 'http1',
  figure: 'rssMb',
  bootstrap: oneHop,
  peers: ['nginx'],
  async measure(run, peer) {
    const count = run.quick ? 100 : IDLE_CONNECTIONS
    const child = await startPeer(peer, idle, run)
    let sockets = []
    try {
      const before = residentMb(child.pid)
      const cpuBefore = cpuOf(child.pid)
      sockets = await openIdle(run.ports.port, count)
      const cpuAfter = cpuOf(child.pid)
      if (!run.quick) await pause(SETTLE_MS)
      expect(
        sockets.every(socket => !socket.destroyed),
        'an idle connection was closed',
      )
      const rssMb = residentMb(child.pid)
      const cpuUs = (cpuAfter.cpuUs - cpuBefore.cpuUs) / count
      return { rssMb, kbPerConnection: ((rssMb - before) * 1024) / count, cpuUs }
    } finally {
      for (const socket of sockets) socket.destroy()
      await stopPeer(child)
    }
  },
}

export const processRows = [
  start,
  clustersRow(100),
  clustersRow(1000),
  clustersRow(5000),
  idle,
  loadedRow({
    name: 'scrape',
    unit: 'scrape',
    bootstrap: made => manyClusters({ ...made, count: 100 }),
    check: answers(),
    load: async ({ ports, quick }) => {
      const from = performance.now()
      const units = quick ? 2 : SCRAPES
      for (let i = 0; i < units; i++) {
        const page = await get(ports.admin, '/stats/prometheus')
        expect(page.includes('envoy_cluster_upstream_cx_total'), 'the page has no counters of clusters')
      }
      return { units, seconds: (performance.now() - from) / 1000 }
    },
  }),
]
