// Rows in which config changes under traffic: what requests feel while it is applied (`apply-*`, `churn`), and how long it takes. An open
// loop of few requests runs through one listener; the change comes by ADS from management-server.mjs.
import { adsSource, cluster, fromManagementServer, hcm, listener } from '../configs/envoy-config.mjs'
import { generating } from '../load/load.mjs'
import { cpuOf, residentMb } from '../measure/process-cost.mjs'
import { percentiles } from '../measure/statistics.mjs'
import { spawnPeer, stopPeer, waitForPort } from '../peers.mjs'

const REQUESTS_PER_SECOND = 200
const CHANGES_PER_SECOND = 50
/** A change that is applied at once is still watched for this long. */
const WINDOW_MS = 2000
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

const range = (count, make) => Array.from({ length: count }, (_, i) => make(i))

/** The listener that serves, with its routes by RDS. */
const served = ports => [
  listener(
    'in',
    ports.port,
    hcm('bench', 'origin', { route_config: undefined, rds: { route_config_name: 'routes', config_source: adsSource } }),
  ),
]
const toOrigin = { route: { cluster: 'origin' } }
const catchAll = { match: { prefix: '/' }, ...toOrigin }
const tableOf = hosts => [{ name: 'routes', virtual_hosts: hosts }]
const plainTable = tableOf([{ name: 'all', domains: ['*'], routes: [catchAll] }])

/** Starts a proxy that serves by ADS, loads it, lets `change` happen, and reports what the requests of that time saw. */
async function underLoad(row, run, peer, endpoints, change) {
  const { ManagementServer } = await import('../management-server.mjs')
  const server = await new ManagementServer().start()
  const ports = { ...run.ports, xds: server.port }
  const child = spawnPeer(peer, row, { ...run, ports }, fromManagementServer)
  let traffic = null
  try {
    const base = [row.eds ? edsCluster('origin') : cluster('origin', ports.origin)]
    server.prepare({ clusters: base, listeners: served(ports), routes: plainTable, ...(row.eds ? { endpoints: endpoints(ports, 0) } : {}) })
    const ready = server.push()
    await Promise.race([ready, exited(child)])
    await waitForPort(ports.port, child)
    traffic = await generating('http1Open', { port: ports.port, perSecond: run.quick ? 50 : REQUESTS_PER_SECOND }, run.loadCore)
    await pause(run.quick ? 200 : 1500)
    const cpuBefore = cpuOf(child.pid)
    const { from, to, applyMs } = await change(server, base, ports)
    const cpuAfter = cpuOf(child.pid)
    const { samples } = await traffic.stop()
    traffic = null
    const seen = samples.filter(([at]) => at >= from - 5 && at <= to).map(sample => sample[1])
    if (seen.length === 0) throw new Error('no request was answered during the change')
    const cpuUs = cpuAfter.cpuUs - cpuBefore.cpuUs
    return { ...percentiles(seen), applyMs, cpuUs, rssMb: residentMb(child.pid) }
  } catch (error) {
    throw child.errors === '' ? error : new Error(`${error.message}: ${child.errors}`)
  } finally {
    await traffic?.stop().catch(() => {})
    await stopPeer(child)
    server.stop()
  }
}

function exited(child) {
  return new Promise((_, reject) => child.once('exit', code => reject(new Error(`exited with ${code}`))))
}

/** One change: `before(count, ports)` is there when traffic starts, `after(count, ports)` is applied. */
function applyRow(name, count, before, after) {
  const row = {
    name,
    unit: 'change',
    origin: 'http1',
    figure: 'p99Ms',
    bootstrap: fromManagementServer,
    measure: (run, peer) =>
      underLoad(row, run, peer, null, async (server, base, ports) => {
        const size = run.quick ? 20 : count
        if (before !== null) {
          server.prepare(before(size, base, ports))
          await server.push()
          await pause(run.quick ? 50 : 1000)
        }
        server.prepare(after(size, base, ports))
        const from = Date.now()
        await server.push()
        const applied = Date.now()
        const to = Math.max(applied, from + (run.quick ? 100 : WINDOW_MS))
        await pause(to - applied)
        return { from, to, applyMs: applied - from }
      }),
  }
  return row
}

function edsCluster(name) {
  return { name, type: 'EDS', connect_timeout: '5s', eds_cluster_config: { eds_config: adsSource } }
}

/** Ten endpoints that are all the one origin, of which the weights change. */
const churning = (ports, turn) => [
  {
    cluster_name: 'origin',
    endpoints: [
      {
        lb_endpoints: range(10, i => ({
          endpoint: { address: { socket_address: { address: `127.0.0.${i + 1}`, port_value: ports.origin } } },
          load_balancing_weight: 1 + ((i + turn) % 10),
        })),
      },
    ],
  },
]

const moreClusters = (count, base, ports) => ({ clusters: [...base, ...range(count, i => cluster(`service-${i}`, ports.origin))] })
const oneHostManyRoutes = count => ({
  routes: tableOf([
    { name: 'all', domains: ['*'], routes: [...range(count, i => ({ match: { prefix: `/r-${i}/` }, ...toOrigin })), catchAll] },
  ]),
})
const manyHosts = count => ({
  routes: tableOf([
    ...range(count, i => ({ name: `h-${i}`, domains: [`h-${i}.example`], routes: [catchAll] })),
    { name: 'all', domains: ['*'], routes: [catchAll] },
  ]),
})

const churn = {
  name: 'churn',
  unit: 'change',
  origin: 'http1',
  figure: 'p99Ms',
  eds: true,
  bootstrap: fromManagementServer,
  measure: (run, peer) =>
    underLoad(churn, run, peer, churning, async (server, _base, ports) => {
      const from = Date.now()
      const changes = CHANGES_PER_SECOND * run.seconds
      for (let turn = 1; turn <= changes; turn++) {
        server.prepare({ endpoints: churning(ports, turn) })
        void server.push()
        await pause(Math.max(0, from + (turn * 1000) / CHANGES_PER_SECOND - Date.now()))
      }
      return { from, to: Date.now(), applyMs: Number.NaN }
    }),
}

export const configRows = [
  churn,
  applyRow('apply-clusters-1000', 1000, null, moreClusters),
  applyRow('apply-clusters-5000', 5000, null, moreClusters),
  applyRow('apply-clusters-removed', 5000, moreClusters, (_count, base) => ({ clusters: base })),
  applyRow('apply-routes-10000', 10_000, null, oneHostManyRoutes),
  applyRow('apply-hosts-10000', 10_000, null, manyHosts),
]
