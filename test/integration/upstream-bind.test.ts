// Where connections to clusters come from: upstream_bind_config of a cluster, and that of the cluster manager for all others; requests, TCP
// connections and health checks alike, compared with the real Envoy (ENVOY_BIN).
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchOnce } from '../support/http1-client.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, router, staticCluster, stopAll, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const from = new Map<string, Set<string>>()
const app = new HttpOrigin(({ path }, socket) => {
  from.set(path, (from.get(path) ?? new Set()).add(socket.remoteAddress ?? ''))
  socket.write(http('ok'))
})
beforeAll(() => app.listen())
afterAll(async () => {
  await stopAll()
  await app.close()
})

const bind = (address: string): object => ({ upstream_bind_config: { source_address: { address, port_value: 0 } } })

async function run(bin?: string) {
  from.clear()
  const port = await freePort()
  const check = { timeout: '1s', interval: '1s', unhealthy_threshold: 1, healthy_threshold: 1 }
  const checks = (path: string): object => ({ health_checks: [{ ...check, http_health_check: { path } }] })
  const routes = ['own', 'all'].map(cluster => ({ match: { prefix: `/${cluster}` }, route: { cluster } }))
  const proxy = await ProxyProcess.start({
    bootstrap: {
      cluster_manager: bind('127.0.0.8'),
      static_resources: {
        listeners: [
          listener('front', port, [hcm({ route_config: { name: 'r', virtual_hosts: [{ name: 'v', domains: ['*'], routes }] } }, [router])]),
        ],
        clusters: [
          staticCluster('own', app.port, { ...bind('127.0.0.9'), ...checks('/check-own') }),
          staticCluster('all', app.port, checks('/check-all')),
        ],
      },
    },
    flags: ['--base-id', String((process.pid % 50_000) + 9)],
    ...(bin ? { bin } : {}),
  })
  for (const path of ['/own', '/all']) await fetchOnce(port, path)
  await until('both are checked', () => from.has('/check-own') && from.has('/check-all'))
  await proxy.kill()
  return Object.fromEntries([...from].map(([path, addresses]) => [path, [...addresses]]))
}

const EXPECTED = { '/own': ['127.0.0.9'], '/check-own': ['127.0.0.9'], '/all': ['127.0.0.8'], '/check-all': ['127.0.0.8'] }

describe('upstream_bind_config', () => {
  it("is the cluster's own, else that of all", async () => {
    expect(await run()).toEqual(EXPECTED)
  })

  it.skipIf(envoyBin === undefined)('as in Envoy', async () => {
    expect(await run(envoyBin)).toEqual(EXPECTED)
  })
})
