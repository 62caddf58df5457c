// GET /config_status through a real proxy and ADS server: what became of each resource, why, and what was accepted without effect.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource, edsCluster } from '../support/ads-fixture.js'
import { TcpOrigin } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'

const ads = new AdsFixture()
/** Takes health checks, and never answers them. */
const silent = new TcpOrigin(() => {})
let proxy: ProxyProcess

interface Status {
  readonly name: string
  readonly state: string
  readonly since?: string
  readonly version?: string
  readonly serving_version?: string
}

const answer = (query = '') => proxy.json(`/config_status${query}`)

async function status(type: string, name: string): Promise<Status> {
  const { resources } = await answer(`?type=${type}&name=${name}`)
  expect(resources).toHaveLength(1)
  return resources[0]
}

beforeAll(async () => {
  await Promise.all([ads.start(), silent.listen()])
  const ports = [await freePort(), await freePort(), await freePort()] as const
  const serves = listener('serves', ports[0], [hcm({ route_config: routesTo('idle') })])
  const idle = staticCluster('idle', 1, { lb_policy: 'RING_HASH', ring_hash_lb_config: {}, track_timeout_budgets: true })
  ads.set({ clusters: [idle], listeners: [serves] })
  proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap(), flags: ['--component-log-level', 'config:error'] })
  const check = { timeout: '600s', interval: '600s', unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: '/' } }
  const unchecked = staticCluster('unchecked', silent.port, { health_checks: [check] })
  const rds = { route_config_name: 'never', config_source: { ...adsSource, initial_fetch_timeout: '0s' } }
  ads.set({
    clusters: [idle, edsCluster('absent'), unchecked],
    listeners: [
      { ...serves, filter_chains: [] },
      listener('waits', ports[1], [hcm({ rds })]),
      listener('broken', ports[2], [hcm({ codec_type: 'HTTP3', route_config: routesTo('idle') })]),
    ],
  })
  await until('the second update is judged', async () => (await answer()).counts.rejected === 2)
})
afterAll(async () => {
  await stopAll()
  ads.kill()
  await silent.close()
})

describe('/config_status', () => {
  it('counts by state, and shows what is wrong first', async () => {
    const { counts, resources } = await answer()
    expect(counts).toEqual({ rejected: 2, warming: 2, requested: 2, accepted: expect.any(Number) })
    expect(resources.map(({ state }: Status) => state).slice(0, 6)).toEqual([
      'rejected',
      'rejected',
      'warming',
      'warming',
      'requested',
      'requested',
    ])
  })

  it('has what serves, since when and in which version; the bootstrap too', async () => {
    expect(await status('Cluster', 'xds')).toMatchObject({ state: 'accepted', static: true })
    const { since } = await status('Cluster', 'idle')
    expect(Math.abs(Date.parse(since!) - Date.now())).toBeLessThan(600_000)
  })

  it('says why a resource was rejected, and that the last good version serves', async () => {
    const replaced = await status('Listener', 'serves')
    expect(replaced).toMatchObject({
      state: 'rejected',
      why: expect.stringMatching(/filter_chains/),
      serving_version: expect.stringMatching(/./),
    })
    expect(replaced.version).not.toBe(replaced.serving_version)
    expect(await status('Listener', 'broken')).toMatchObject({ state: 'rejected', why: expect.stringMatching(/codec_type/) })
  })

  it('says what a warming resource waits for, and what was asked for in vain', async () => {
    expect(await status('Listener', 'waits')).toMatchObject({ state: 'warming', why: expect.stringContaining('never') })
    expect(await status('Cluster', 'unchecked')).toMatchObject({
      state: 'warming',
      why: expect.stringContaining('first health checks'),
    })
    expect(await status('RouteConfiguration', 'never')).toMatchObject({ state: 'requested' })
    expect(await status('ClusterLoadAssignment', 'absent')).toMatchObject({ state: 'requested' })
  })

  it('lists the fields of a resource that were accepted without effect', async () => {
    expect(await status('Cluster', 'idle')).toMatchObject({ without_effect: ['track_timeout_budgets'] })
  })
})
