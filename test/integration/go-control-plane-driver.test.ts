// go-control-plane's own integration driver (`pkg/test/main`) with our proxy in Envoy's place: it serves snapshots by one way of xDS after
// the other and asks every listener of them (HTTP by RDS, by scoped routes and by VHDS, TCP; with TLS by SDS too). Its bootstraps are the
// samples that come with it. Runs where GO_CONTROL_PLANE=1 is set or an earlier run left its binary; elsewhere skipped by name.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { BUILD_WITHIN_MS, buildDriver, goDriverMissing, runDriver } from '../support/go-control-plane.js'
import { HttpOrigin, http } from '../support/origins.js'
import { assignment, freePort, ProxyProcess, stopAll } from '../support/proxy-process.js'

type Mode = 'ads' | 'xds' | 'rest' | 'delta' | 'delta-ads'

const origin = new HttpOrigin((_, socket) => void socket.write(http('Default message')))
const LISTENERS = 8

beforeAll(async () => {
  if (goDriverMissing !== '') return
  await Promise.all([buildDriver(), origin.listen()])
}, BUILD_WITHIN_MS)
afterEach(stopAll)
afterAll(async () => {
  if (goDriverMissing === '') await origin.close()
})

/** The sample bootstrap of a mode, in few words. */
function bootstrap(mode: Mode, ports: { readonly xds: number; readonly gateway: number; readonly als: number }): object {
  const apiType = mode.startsWith('delta') ? 'DELTA_GRPC' : 'GRPC'
  const rest = { api_type: 'REST', refresh_delay: { nanos: 500_000_000 }, cluster_names: ['xds_cluster'] }
  const grpc = { api_type: apiType, grpc_services: { envoy_grpc: { cluster_name: 'xds_cluster' } }, set_node_on_first_message_only: true }
  const api = { transport_api_version: 'V3', ...(mode === 'rest' ? rest : grpc) }
  const ads = mode.endsWith('ads')
  const source = { resource_api_version: 'V3', ...(ads ? { ads: {} } : { api_config_source: api }) }
  const cluster = (name: string, port: number): object => ({
    name,
    connect_timeout: '1s',
    load_assignment: assignment(name, [port]),
    ...(mode === 'rest' ? {} : { http2_protocol_options: {} }),
  })
  return {
    node: { cluster: 'test-cluster', id: 'test-id' },
    dynamic_resources: { ...(ads ? { ads_config: api } : {}), cds_config: source, lds_config: source },
    static_resources: {
      clusters: [cluster('xds_cluster', mode === 'rest' ? ports.gateway : ports.xds), cluster('als_cluster', ports.als)],
    },
    ...(ads ? {} : { layered_runtime: { layers: [{ name: 'runtime-0', rtds_layer: { name: 'runtime-0', rtds_config: source } }] } }),
  }
}

/** The first of as many free ports in a row as there are listeners. */
async function basePort(): Promise<number> {
  for (let first = await freePort(), last = first; ; ) {
    if (last === first + LISTENERS - 1) return first
    const port = await freePort()
    if (port !== last + 1) first = port
    last = port
  }
}

describe.skipIf(goDriverMissing !== '' || process.env['GO_CONTROL_PLANE'] !== '1')("go-control-plane's integration driver", () => {
  const cases: [Mode, string[]][] = [
    ['ads', []],
    ['xds', []],
    ['rest', []],
    ['delta', []],
    ['delta-ads', []],
    ['ads', ['-tls']],
    ['delta', ['-tls']],
  ]
  it.each(cases)(
    'passes by %s %s',
    async (mode, flags) => {
      const ports = { xds: await freePort(), gateway: await freePort(), als: await freePort() }
      const numbers = { port: ports.xds, gateway: ports.gateway, als: ports.als, upstream: origin.port, base: await basePort() }
      const args = Object.entries(numbers).flatMap(([name, value]) => [`-${name}`, String(value)])
      // A request waits 100 ms at most; one round without a failure is enough for each of the snapshots.
      const run = runDriver([`-xds=${mode}`, '-r=20', '-u=2', ...args, ...flags])
      await ProxyProcess.start({ bootstrap: bootstrap(mode, ports), untilReady: false })
      const { code, output } = await run
      expect(code, output).toBe(0)
      expect(output).toContain(`Test for ${mode} passed!`)
    },
    120_000,
  )
})
