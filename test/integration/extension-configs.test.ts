// HTTP filters whose configuration comes over ECDS, through the real proxy: over ADS in both forms and from a file; what a request gets
// before the first one, after a change, after a refusal. The real Envoy passes the same tests (OUTRIGGER_BIN).
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource } from '../support/ads-fixture.js'
import { fetchOnce } from '../support/http1-client.js'
import { fileAccessLog, freePort, hcm, listener, ProxyProcess, router, stopAll, until } from '../support/proxy-process.js'

const TYPE = 'type.googleapis.com/'
const FAULT = `${TYPE}envoy.extensions.filters.http.fault.v3.HTTPFault`
const BUFFER = `${TYPE}envoy.extensions.filters.http.buffer.v3.Buffer`
const ROUTER = `${TYPE}envoy.extensions.filters.http.router.v3.Router`
const LOG = 'LOG %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-ecds-'))
})
afterAll(async () => {
  await stopAll()
  rmSync(dir, { recursive: true, force: true })
})

const abort = (status: number): object => ({ '@type': FAULT, abort: { http_status: status, percentage: { numerator: 100 } } })
const extension = (name: string, config: object): object => ({ name, typed_config: config })
const discovered = (name: string, source: object, types: readonly string[] = [FAULT], more: object = {}): object => ({
  name,
  config_discovery: { config_source: source, type_urls: types, ...more },
})
const front = (port: number, filters: readonly object[]): object =>
  listener('front', port, [
    hcm(
      {
        access_log: [fileAccessLog(LOG)],
        route_config: {
          name: 'r',
          virtual_hosts: [{ name: 'a', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] }],
        },
      },
      filters,
    ),
  ])
const statusOf = async (port: number): Promise<number> => (await fetchOnce(port)).status
const becomes = (port: number, status: number): Promise<unknown> =>
  until(`the answer ${status}`, async () => (await statusOf(port)) === status || Promise.reject(new Error(String(await statusOf(port)))))
const stats = (name: string): string => `extension_config_discovery.http_filter.${name}`

describe.each(['GRPC', 'DELTA_GRPC'] as const)('over ADS by %s', apiType => {
  it('holds the listener until the first one, follows changes, keeps the last good one when one is refused', async () => {
    const port = await freePort()
    const ads = await new AdsFixture().start()
    ads.set({ listeners: [front(port, [discovered('fault', adsSource), router])] })
    const proxy = await ProxyProcess.start({
      bootstrap: ads.bootstrap(apiType),
      untilReady: false,
      flags: ['--file-flush-interval-msec', '20'],
    })
    await until('the subscription', async () => (await proxy.stats()).has(`${stats('fault')}.config_reload`))
    await expect(fetchOnce(port)).rejects.toThrow()
    ads.set({ extensions: [extension('fault', abort(418))] })
    await becomes(port, 418)
    ads.set({ extensions: [extension('fault', abort(419))] })
    await becomes(port, 419)
    // Not what the filter may be.
    ads.set({ extensions: [extension('fault', { '@type': BUFFER, max_request_bytes: 5 })] })
    await proxy.untilStat(`${stats('fault')}.update_rejected`, value => value > 0)
    expect(await statusOf(port)).toBe(419)
    expect(ads.nacks[0]?.message).toMatch(/envoy\.extensions\.filters\.http\.buffer\.v3\.Buffer/)
    ads.set({ extensions: [extension('fault', abort(420))] })
    await becomes(port, 420)
    expect(await proxy.stat(`${stats('fault')}.config_reload`)).toBeGreaterThanOrEqual(3)
    expect(await proxy.stat(`${stats('fault')}.config_fail`)).toBeGreaterThan(0)
    const { configs } = await proxy.json('/config_dump?resource=ecds_filters')
    expect(configs).toMatchObject([
      {
        '@type': `${TYPE}envoy.admin.v3.EcdsConfigDump.EcdsFilterConfig`,
        ecds_filter: { '@type': `${TYPE}envoy.config.core.v3.TypedExtensionConfig`, name: 'fault', typed_config: { '@type': FAULT } },
      },
    ])
    ads.kill()
  })
})

it('a config that is removed leaves the default, or 500', async () => {
  const port = await freePort()
  const ads = await new AdsFixture().start()
  const byDefault = discovered('has-default', adsSource, [FAULT], {
    default_config: abort(430),
    apply_default_config_without_warming: true,
  })
  ads.set({
    listeners: [front(port, [discovered('gone', adsSource), byDefault, router])],
    extensions: [extension('gone', { '@type': FAULT }), extension('has-default', { '@type': FAULT })],
  })
  const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap(), flags: ['--file-flush-interval-msec', '20'] })
  await becomes(port, 200)
  ads.set({ extensions: [extension('gone', { '@type': FAULT })] })
  await becomes(port, 430)
  ads.set({ extensions: [] })
  await becomes(port, 500)
  await proxy.untilLog(/LOG 500 NFCF/)
  ads.kill()
})

it('from a file: a default is in use at once, and what comes in its place', async () => {
  const port = await freePort()
  const path = join(dir, 'fault.json')
  const write = (version: string, ...resources: object[]): void => {
    const marked = resources.map(resource => ({ '@type': `${TYPE}envoy.config.core.v3.TypedExtensionConfig`, ...resource }))
    writeFileSync(`${path}.new`, JSON.stringify({ version_info: version, resources: marked }))
    renameSync(`${path}.new`, path)
  }
  write('1', extension('other', abort(421)))
  const source = { path_config_source: { path }, resource_api_version: 'V3', initial_fetch_timeout: '0.2s' }
  const filter = discovered('file', source, [FAULT], { default_config: abort(431), apply_default_config_without_warming: true })
  await ProxyProcess.start({
    bootstrap: { node: { id: 'a', cluster: 'b' }, static_resources: { listeners: [front(port, [filter, router])] } },
  })
  expect(await statusOf(port)).toBe(431)
  write('2', extension('file', abort(432)))
  await becomes(port, 432)
})

it('the router may be discovered; without it, and when the time is over, requests get 500', async () => {
  const port = await freePort()
  const ads = await new AdsFixture().start()
  const source = { ...adsSource, initial_fetch_timeout: '0.3s' }
  ads.set({ listeners: [front(port, [discovered('last', source, [ROUTER])])] })
  const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap('GRPC') })
  expect(await statusOf(port)).toBe(500)
  expect(await proxy.stat(`${stats('last')}.init_fetch_timeout`)).toBe(1)
  ads.set({ extensions: [extension('last', { '@type': ROUTER })] })
  await becomes(port, 200)
  ads.kill()
})
