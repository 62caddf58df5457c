// The event logs of the real proxy: hosts that outlier detection ejects and takes back, and what active health checks find, line by line as
// the real Envoy writes them (ENVOY_BIN).
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  freePort,
  hcm,
  listener,
  ProxyProcess,
  router,
  socketAddress,
  staticCluster,
  stopAll,
  typed,
  until,
} from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const folder = mkdtempSync(join(tmpdir(), 'event-logs-'))
let health: { status: string; degraded: boolean } = { status: '200 OK', degraded: false }
const app = new HttpOrigin(({ path }, socket) => {
  const { status, degraded } = path === '/healthz' ? health : { status: '500 Internal Server Error', degraded: false }
  socket.write(http('', status, degraded ? { 'x-envoy-degraded': '1' } : {}))
})
beforeAll(() => app.listen())
afterAll(async () => {
  await stopAll()
  await app.close()
  rmSync(folder, { recursive: true })
})

type Line = Record<string, unknown>

function linesOf(path: string): Line[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Line)
}

/** Without what the clock and the ports of this run put in. */
function told(lines: readonly Line[]): Line[] {
  return lines.map(({ timestamp, upstream_url, host, ...line }) => {
    const { socket_address } = (host ?? {}) as { socket_address?: Line }
    return {
      ...line,
      at: /^\d{4}-\d\d-\d\dT[\d:]+\.\d+Z$/.test(String(timestamp)),
      ...(upstream_url === undefined ? {} : { ours: upstream_url === `127.0.0.1:${app.port}` }),
      ...(socket_address === undefined ? {} : { host: { ...socket_address, port_value: socket_address['port_value'] === app.port } }),
    }
  })
}

async function run(bin?: string) {
  const path = (name: string): string => join(folder, `${bin === undefined ? 'ours' : 'envoy'}-${name}`)
  const [port, closed] = [await freePort(), await freePort()]
  const check = {
    timeout: '2s',
    interval: '0.05s',
    no_traffic_interval: '0.05s',
    unhealthy_threshold: 2,
    healthy_threshold: 1,
    http_health_check: { path: '/healthz' },
  }
  const eject = { consecutive_5xx: 2, interval: '0.05s', base_ejection_time: '0.05s', max_ejection_percent: 100 }
  const sink = typed('envoy.health_check.event_sinks.file', 'health_check.event_sinks.file.v3.HealthCheckEventFileSink', {
    event_log_path: path('loud'),
  })
  const endpoint = {
    endpoint: { address: socketAddress(app.port) },
    metadata: { filter_metadata: { 'envoy.lb': { canary: true } } },
  }
  const checked = { endpoints: [{ locality: { region: 'eu', zone: 'a' }, lb_endpoints: [endpoint] }] }
  const routes = ['enforced', 'watched'].map(cluster => ({ match: { prefix: `/${cluster}` }, route: { cluster } }))
  health = { status: '200 OK', degraded: false }
  const proxy = await ProxyProcess.start({
    bootstrap: {
      cluster_manager: { outlier_detection: { event_log_path: path('outlier') } },
      static_resources: {
        listeners: [
          listener('front', port, [
            hcm({ route_config: { name: 'r', virtual_hosts: [{ name: 'all', domains: ['*'], routes }] } }, [router]),
          ]),
        ],
        clusters: [
          staticCluster('enforced', app.port, { outlier_detection: eject }),
          staticCluster('watched', app.port, { outlier_detection: { ...eject, enforcing_consecutive_5xx: 0 } }),
          {
            ...staticCluster('quiet', 1, { health_checks: [{ ...check, event_log_path: path('quiet') }] }),
            load_assignment: { cluster_name: 'quiet', ...checked },
          },
          staticCluster('loud', closed, {
            health_checks: [{ ...check, event_logger: [sink], always_log_health_check_failures: true }],
          }),
        ],
      },
    },
    flags: ['--base-id', String((process.pid % 50_000) + 7), '--file-flush-interval-msec', '10'],
    untilReady: false,
    ...(bin ? { bin } : {}),
  })
  const has = (name: string, event: string) => until(`${event} in ${name}`, () => linesOf(path(name)).some(line => event in line))
  await has('quiet', 'add_healthy_event')
  health = { status: '200 OK', degraded: true }
  await has('quiet', 'degraded_healthy_host')
  health = { status: '200 OK', degraded: false }
  await has('quiet', 'no_longer_degraded_host')
  health = { status: '503 Service Unavailable', degraded: false }
  await has('quiet', 'eject_unhealthy_event')
  await until('failures are told of', () => linesOf(path('loud')).length > 3)
  for (const name of ['watched', 'watched', 'enforced', 'enforced']) await fetchOnce(port, `/${name}`)
  await until('it is back', () => linesOf(path('outlier')).some(({ action }) => action === 'UNEJECT'))
  await proxy.kill()
  return { outlier: told(linesOf(path('outlier'))), quiet: told(linesOf(path('quiet'))), loud: told(linesOf(path('loud')).slice(0, 3)) }
}

const OUTLIER = { type: 'CONSECUTIVE_5XX', num_ejections: 0, enforced: false, at: true, ours: true }
const HOST = { protocol: 'TCP', address: '127.0.0.1', resolver_name: '', ipv4_compat: false, network_namespace_filepath: '' }
const checkOf = (cluster_name: string, zone: { region: string; zone: string }, metadata: object) => ({
  health_checker_type: 'HTTP',
  cluster_name,
  locality: { ...zone, sub_zone: '' },
  ...metadata,
  at: true,
  host: { ...HOST, port_value: cluster_name === 'quiet' },
})
const QUIET = checkOf(
  'quiet',
  { region: 'eu', zone: 'a' },
  { metadata: { filter_metadata: { 'envoy.lb': { canary: true } }, typed_filter_metadata: {} } },
)
const LOUD = checkOf('loud', { region: '', zone: '' }, {})

const EXPECTED = {
  outlier: [
    { ...OUTLIER, cluster_name: 'watched', action: 'EJECT', eject_consecutive_event: {} },
    { ...OUTLIER, cluster_name: 'enforced', action: 'EJECT', num_ejections: 1, enforced: true, eject_consecutive_event: {} },
    { ...OUTLIER, cluster_name: 'enforced', action: 'UNEJECT', num_ejections: 1, secs_since_last_action: '0' },
  ],
  quiet: [
    { ...QUIET, add_healthy_event: { first_check: true } },
    { ...QUIET, degraded_healthy_host: {} },
    { ...QUIET, no_longer_degraded_host: {} },
    { ...QUIET, eject_unhealthy_event: { failure_type: 'ACTIVE', http_status_code: 503 } },
  ],
  loud: [
    { ...LOUD, health_check_failure_event: { failure_type: 'NETWORK', first_check: true, http_status_code: 0 } },
    { ...LOUD, health_check_failure_event: { failure_type: 'NETWORK', first_check: false, http_status_code: 0 } },
    { ...LOUD, health_check_failure_event: { failure_type: 'NETWORK', first_check: false, http_status_code: 0 } },
  ],
}

describe('event logs', () => {
  it('tell of ejections, returns and what health checks find', async () => {
    expect(await run()).toEqual(EXPECTED)
  })

  it.skipIf(envoyBin === undefined)('in the lines that Envoy writes', async () => {
    expect(await run(envoyBin)).toEqual(EXPECTED)
  })
})

it('a log that cannot be opened is refused', async () => {
  const nowhere = join(folder, 'no', 'such', 'folder')
  const bootstrap = {
    cluster_manager: { outlier_detection: { event_log_path: nowhere } },
    static_resources: {
      clusters: [
        staticCluster('checked', 1, {
          health_checks: [
            { timeout: '1s', interval: '1s', unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}, event_log_path: nowhere },
          ],
        }),
      ],
    },
  }
  const { code, stdout, stderr } = await ProxyProcess.run({ bootstrap, flags: ['--mode', 'validate'] })
  expect(code).toBe(1)
  expect(stdout + stderr).toContain('cluster_manager.outlier_detection.event_log_path')
  expect(stdout + stderr).toContain('static_resources.clusters[0].health_checks[0].event_log_path')
})
