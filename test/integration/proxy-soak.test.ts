// A long life in short: one sidecar under config churn with ever new names, certificate rotations, clients and host names that nobody has seen
// before, aborts in every phase, scrapes. What it holds afterwards must be what it held at first: names of stats, descriptors, memory after a
// garbage collection (which the overload manager is made to ask for). Some seconds long in `npm test`; `npm run soak:proxy` takes 20 minutes
// (SOAK_SECONDS), compares with the third minute, and keeps its numbers in bench/results.
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AdsFixture, adsSource } from '../support/ads-fixture.js'
import { Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { assignment, freePort, hcm, listener, ProxyProcess, router, stopAll, typed } from '../support/proxy-process.js'

const seconds = Number(process.env['SOAK_SECONDS'] ?? 0)
/** Of the short form: until the first measure, and in all. */
const SHORT = { settledMs: 6000, allMs: 18_000 }
const THIRD_MINUTE_MS = 180_000
const RESULTS = fileURLToPath(new URL('../../bench/results/soak-proxy.json', import.meta.url))
const TYPES = 'type.googleapis.com/envoy'
const INJECTED = 'envoy.resource_monitors.injected_resource'
const NAMES_AT_ONCE = 4

const ads = new AdsFixture()
const ca = new AnyCa()
const origin = new HttpOrigin((request, socket) => void socket.write(http(request.path)))
let folder = ''
let proxy: ProxyProcess
let ports: { plain: number; mesh: number }

const secrets = (round: number): object[] => {
  const leaf = ca.service(`api-${round % 7}`)
  return [
    { name: 'server', tls_certificate: { certificate_chain: { inline_string: leaf.cert }, private_key: { inline_string: leaf.key } } },
    { name: 'roots', validation_context: { trusted_ca: { inline_string: ca.pem } } },
  ]
}

/** Of one round: clusters, routes, a listener version and log files of its own names, and those of the last few rounds. */
function config(round: number): Parameters<AdsFixture['set']>[0] {
  const names = Array.from({ length: NAMES_AT_ONCE }, (_, i) => `service-${round + i}`)
  const routes = (table: string): object => ({
    name: table,
    virtual_hosts: [
      ...names.map(name => ({ name, domains: [`${name}.test`], routes: [{ match: { prefix: `/${name}` }, route: { cluster: name } }] })),
      { name: 'rest', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: names[0]! } }] },
    ],
  })
  const log = {
    name: 'file',
    typed_config: {
      '@type': `${TYPES}.extensions.access_loggers.file.v3.FileAccessLog`,
      path: join(folder, `access-${round % 50}.log`),
    },
  }
  const manager = (table: string): object =>
    hcm({ stat_prefix: table, access_log: [log], rds: { route_config_name: table, config_source: adsSource } }, [
      typed('grpc_stats', 'filters.http.grpc_stats.v3.FilterConfig', { stats_for_all_methods: true }),
      router,
    ])
  const tls = {
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': `${TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
        require_client_certificate: true,
        common_tls_context: {
          tls_certificate_sds_secret_configs: [{ name: 'server', sds_config: adsSource }],
          validation_context_sds_secret_config: { name: 'roots', sds_config: adsSource },
        },
      },
    },
  }
  return {
    clusters: names.map(name => ({ name, type: 'STATIC', connect_timeout: '1s', load_assignment: assignment(name, [origin.port]) })),
    routes: [routes('plain'), routes('mesh')],
    listeners: [listener('plain', ports.plain, [manager('plain')]), listener('mesh', ports.mesh, [manager('mesh')], {}, tls)],
    secrets: secrets(round),
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-soak-'))
  writeFileSync(join(folder, 'pressure'), '0')
  await origin.listen()
  await ads.start()
  ports = { plain: await freePort(), mesh: await freePort() }
  ads.set(config(0))
  proxy = await ProxyProcess.start({
    bootstrap: {
      ...ads.bootstrap(),
      overload_manager: {
        refresh_interval: '0.05s',
        resource_monitors: [
          {
            name: INJECTED,
            typed_config: {
              '@type': `${TYPES}.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig`,
              filename: join(folder, 'pressure'),
            },
          },
        ],
        actions: [{ name: 'envoy.overload_actions.shrink_heap', triggers: [{ name: INJECTED, threshold: { value: 1 } }] }],
      },
    },
    flags: ['-l', 'error'],
  })
})

afterAll(async () => {
  await stopAll()
  ads.kill()
  await origin.close()
  rmSync(folder, { recursive: true, force: true })
})

async function ask(client: Http1Client, path: string, headers: Readonly<Record<string, string>>): Promise<number> {
  try {
    return (await client.get(path, headers)).status
  } finally {
    client.destroy()
  }
}

/** Half a request, a reset in the middle of the answer, a connection that says nothing. */
function abort(n: number): Promise<void> {
  return new Promise(resolve => {
    const socket = net.connect(ports.plain, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.on('connect', () => {
      if (n % 3 === 0) socket.write('POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nfew')
      else if (n % 3 === 1) socket.write(`GET /a HTTP/1.1\r\nhost: abort-${n}.test\r\n\r\n`)
      setImmediate(() => socket.resetAndDestroy())
    })
  })
}

async function playRound(round: number): Promise<void> {
  await ads.apply(config(round))
  const fresh = Array.from({ length: 5 }, async (_, i) => {
    const name = `client-${round}-${i}`
    const client = await Http1Client.connect(ports.plain)
    return ask(client, `/pkg.Service${round}/Method${i}`, { host: `${name}.test`, [`x-${name}`]: name, 'content-type': 'application/grpc' })
  })
  const mesh = async (): Promise<number> => {
    const options = { ...clientOptions(ca.service(`web-${round}`), ca.pem), servername: `sni-${round}.test` }
    return ask(await Http1Client.connect(ports.mesh, options), '/', {})
  }
  const statuses = await Promise.all([...fresh, mesh()])
  expect(
    statuses.every(status => status === 200),
    `round ${round}: ${statuses.join(' ')}`,
  ).toBe(true)
  await Promise.all(Array.from({ length: 6 }, (_, i) => abort(round * 6 + i)))
  if (round % 10 === 0) for (const path of ['/stats', '/stats/prometheus', '/config_dump', '/clusters?format=json']) await proxy.get(path)
}

async function press(pressure: string): Promise<void> {
  writeFileSync(join(folder, 'next'), pressure)
  renameSync(join(folder, 'next'), join(folder, 'pressure'))
  await proxy.untilStat(`overload.${INJECTED}.pressure`, value => value === Number(pressure) * 100)
}

/** After a garbage collection, or two: what the first frees may hold what the second does. */
async function measure(): Promise<{ names: number; descriptors: number; bytes: number }> {
  for (let i = 0; i < 2; i++) {
    const before = await proxy.stat('overload.envoy.overload_actions.shrink_heap.shrink_count')
    await press('1')
    await proxy.untilStat('overload.envoy.overload_actions.shrink_heap.shrink_count', value => value > before)
    await press('0')
  }
  const descriptors = readdirSync(`/proc/${proxy.child.pid}/fd`).length
  const stats = await proxy.stats()
  return { names: stats.size, descriptors, bytes: stats.get('server.memory_allocated')! }
}

it('a sidecar that has seen ever new names, clients and aborts holds what it held before', {
  timeout: (seconds + 120) * 1000,
}, async () => {
  const startedAt = performance.now()
  const elapsedMs = (): number => performance.now() - startedAt
  let round = 1
  const settled = (): boolean => elapsedMs() >= (seconds === 0 ? SHORT.settledMs : THIRD_MINUTE_MS)
  const over = (): boolean => elapsedMs() >= (seconds === 0 ? SHORT.allMs : seconds * 1000)
  while (!settled()) await playRound(round++)
  const first = await measure()
  const firstAt = round
  while (!over()) await playRound(round++)
  const last = await measure()
  console.info(`soak: ${round} rounds in ${(elapsedMs() / 1000).toFixed(0)} s; ${JSON.stringify(first)} -> ${JSON.stringify(last)}`)
  if (seconds > 0) writeFileSync(RESULTS, `${JSON.stringify({ seconds, rounds: { first: firstAt, last: round }, first, last }, null, 2)}\n`)
  // The methods that clients name are counted apart up to their bound; the short form ends on the way to it.
  const growingNames = seconds === 0 ? (round - firstAt) * 5 * 8 : 0
  expect(last.names).toBeLessThanOrEqual(first.names + growingNames)
  // The pools hold as many connections as there were requests at once, which is six to twelve by chance; what leaks does so hundreds of times.
  expect(last.descriptors).toBeLessThanOrEqual(first.descriptors + 12)
  expect(last.bytes / first.bytes).toBeLessThan(seconds === 0 ? 1.25 : 1.1)
})
