// HTTP, network and listener filters whose configuration comes over ECDS, through the real proxy: over ADS in both forms and from a file; what a request gets
// before the first one, after a change, after a refusal. The real Envoy passes the same tests (OUTRIGGER_BIN).
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource } from '../support/ads-fixture.js'
import { fetchOnce } from '../support/http1-client.js'
import { fileAccessLog, freePort, hcm, listener, ProxyProcess, router, stopAll, until } from '../support/proxy-process.js'

const ours = process.env['OUTRIGGER_BIN'] === undefined ? it : it.skip
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
    expect(await until('the NACK', () => ads.nacks[0]?.message ?? null)).toMatch(/envoy\.extensions\.filters\.http\.buffer\.v3\.Buffer/)
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
  await proxy.untilStat(`${stats('last')}.init_fetch_timeout`, value => value === 1)
  ads.set({ extensions: [extension('last', { '@type': ROUTER })] })
  await becomes(port, 200)
  ads.kill()
})

describe('network filters', () => {
  const RBAC = `${TYPE}envoy.extensions.filters.network.rbac.v3.RBAC`
  const DIRECT = `${TYPE}envoy.extensions.filters.network.direct_response.v3.Config`
  const ECHO = `${TYPE}envoy.extensions.filters.network.echo.v3.Echo`
  const rules = (action: string): object => ({
    '@type': RBAC,
    stat_prefix: 'r',
    rules: { action, policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } } },
  })
  const says = (text: string): object => ({ '@type': DIRECT, response: { inline_string: text } })
  const read = (port: number): Promise<string> =>
    new Promise(resolve => {
      const socket = connect(port, '127.0.0.1')
      let text = ''
      socket.on('data', chunk => (text += chunk))
      socket.on('error', () => {})
      socket.on('close', () => resolve(text))
    })
  const network = (name: string): string => `extension_config_discovery.network_filter.${name}`
  const untilRead = (port: number, text: string): Promise<unknown> =>
    until(`the text ${text}`, async () => (await read(port)) === text || Promise.reject(new Error(await read(port))))

  ours('hold the listener until the first ones', async () => {
    const port = await freePort()
    const ads = await new AdsFixture().start()
    ads.set({
      listeners: [listener('front', port, [discovered('gate', adsSource, [RBAC]), discovered('end', adsSource, [DIRECT])])],
      extensions: [extension('gate', rules('ALLOW'))],
    })
    const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap(), untilReady: false })
    await until('the first one', async () => (await proxy.stat(`${network('gate')}.config_reload`)) === 1)
    expect(await read(port)).toBe('')
    expect(await proxy.stat('listener_manager.total_listeners_warming')).toBe(1)
    ads.set({ extensions: [extension('gate', rules('ALLOW')), extension('end', says('one'))] })
    await untilRead(port, 'one')
    expect(await proxy.stat('listener_manager.total_listeners_warming')).toBe(0)
    ads.kill()
  })

  it.each(['GRPC', 'DELTA_GRPC'] as const)('come over ADS by %s, the terminal one too, and change', async apiType => {
    const port = await freePort()
    const ads = await new AdsFixture().start()
    ads.set({
      listeners: [listener('front', port, [discovered('gate', adsSource, [RBAC]), discovered('end', adsSource, [DIRECT, ECHO])])],
      extensions: [extension('gate', rules('ALLOW')), extension('end', says('one'))],
    })
    const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap(apiType) })
    await untilRead(port, 'one')
    ads.set({ extensions: [extension('gate', rules('ALLOW')), extension('end', says('two'))] })
    await untilRead(port, 'two')
    ads.set({ extensions: [extension('gate', rules('DENY')), extension('end', says('two'))] })
    await untilRead(port, '')
    // Not what it may be: the last good one stays.
    ads.set({ extensions: [extension('gate', says('three')), extension('end', says('two'))] })
    await proxy.untilStat(`${network('gate')}.update_rejected`, value => value > 0)
    expect(await until('the NACK', () => ads.nacks[0]?.message ?? null)).toMatch(/direct_response/)
    expect(await read(port)).toBe('')
    ads.set({ extensions: [extension('gate', rules('ALLOW')), extension('end', says('four'))] })
    await untilRead(port, 'four')
    expect(await proxy.stat(`${network('end')}.config_reload`)).toBe(3)
    ads.kill()
  })

  ours('a connection manager comes so too; with a source that nobody can reach it is refused', async () => {
    const port = await freePort()
    const HCM = `${TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`
    const routes = (status: number): object => ({
      route_config: {
        name: 'r',
        virtual_hosts: [{ name: 'a', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status } }] }],
      },
    })
    const web = (config: object): object => extension('web', (hcm(config, [router]) as { typed_config: object }).typed_config)
    const nowhere = { api_config_source: { api_type: 'GRPC', grpc_services: [{ envoy_grpc: { cluster_name: 'nowhere' } }] } }
    const ads = await new AdsFixture().start()
    ads.set({ listeners: [listener('front', port, [discovered('web', adsSource, [HCM])])], extensions: [web(routes(201))] })
    const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap() })
    await becomes(port, 201)
    ads.set({ extensions: [web({ rds: { route_config_name: 'r', config_source: nowhere } })] })
    await proxy.untilStat(`${network('web')}.update_rejected`, value => value > 0)
    expect(await until('the NACK', () => ads.nacks[0]?.message ?? null)).toMatch(/web: typed_config\.rds\.config_source.*nowhere/)
    expect(await statusOf(port)).toBe(201)
    ads.set({ extensions: [web(routes(202))] })
    await becomes(port, 202)
    ads.kill()
  })

  ours('a rule that changes ends the connections that it denies', async () => {
    const port = await freePort()
    const ads = await new AdsFixture().start()
    ads.set({
      listeners: [listener('front', port, [discovered('gate', adsSource, [RBAC]), discovered('end', adsSource, [ECHO])])],
      extensions: [extension('gate', rules('ALLOW')), extension('end', { '@type': ECHO })],
    })
    await ProxyProcess.start({ bootstrap: ads.bootstrap() })
    const socket = connect(port, '127.0.0.1')
    const echoed = new Promise(resolve => socket.once('data', resolve))
    socket.on('error', () => {})
    socket.write('hello')
    expect(String(await echoed)).toBe('hello')
    const closed = new Promise(resolve => socket.once('close', resolve))
    ads.set({ extensions: [extension('gate', rules('DENY')), extension('end', { '@type': ECHO })] })
    await closed
    ads.kill()
  })

  it('without a configuration connections are closed and counted, with a default they are not', async () => {
    const [port, other] = [await freePort(), await freePort()]
    const ads = await new AdsFixture().start()
    const source = { ...adsSource, initial_fetch_timeout: '0.3s' }
    const byDefault = discovered('has-default', source, [DIRECT], {
      default_config: says('default'),
      apply_default_config_without_warming: true,
    })
    ads.set({
      listeners: [listener('front', port, [discovered('gone', source, [DIRECT])]), listener('other', other, [byDefault])],
    })
    const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap('GRPC') })
    expect(await read(other)).toBe('default')
    expect(await read(port)).toBe('')
    expect(await proxy.stat(`listener.127.0.0.1_${port}.network_extension_config_missing`)).toBe(1)
    await proxy.untilStat(`${network('gone')}.init_fetch_timeout`, value => value === 1)
    ads.set({ extensions: [extension('gone', says('here')), extension('has-default', says('own'))] })
    await untilRead(port, 'here')
    await untilRead(other, 'own')
    ads.kill()
  })
})

describe('listener filters', () => {
  const PROXY = `${TYPE}envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol`
  const INSPECTOR = `${TYPE}envoy.extensions.filters.listener.http_inspector.v3.HttpInspector`

  it('come over ADS; until then, and without a default, connections are closed and counted', async () => {
    const port = await freePort()
    const ads = await new AdsFixture().start()
    const source = { ...adsSource, initial_fetch_timeout: '0.3s' }
    const chain = (name: string, text: string, match: object = {}): object => ({
      name,
      filter_chain_match: match,
      filters: [
        {
          name: 'end',
          typed_config: {
            '@type': `${TYPE}envoy.extensions.filters.network.direct_response.v3.Config`,
            response: { inline_string: text },
          },
        },
      ],
    })
    ads.set({
      listeners: [
        {
          name: 'front',
          address: { socket_address: { address: '127.0.0.1', port_value: port } },
          listener_filters: [discovered('look', source, [PROXY, INSPECTOR])],
          filter_chains: [chain('http', 'is http', { application_protocols: ['http/1.1'] })],
          default_filter_chain: chain('other', 'is not'),
        },
      ],
    })
    const said = (bytes: string): Promise<string> =>
      new Promise(resolve => {
        const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
        let text = ''
        socket.on('data', chunk => (text += chunk))
        socket.on('error', () => {})
        socket.on('close', () => resolve(text))
      })
    const becomesText = (text: string): Promise<unknown> =>
      until(text, async () => (await said('GET / HTTP/1.1\r\nhost: a\r\n\r\n')) === text || Promise.reject(new Error('not yet')))
    const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap('GRPC') })
    expect(await said('GET / HTTP/1.1\r\nhost: a\r\n\r\n')).toBe('')
    expect(await proxy.stat(`listener.127.0.0.1_${port}.extension_config_missing`)).toBe(1)
    ads.set({ extensions: [extension('look', { '@type': INSPECTOR })] })
    await becomesText('is http')
    expect(await said('other\r\n\r\n')).toBe('is not')
    ads.set({ extensions: [extension('look', { '@type': PROXY, allow_requests_without_proxy_protocol: true })] })
    await becomesText('is not')
    expect(await proxy.stat('extension_config_discovery.tcp_listener_filter.look.config_reload')).toBe(2)
    ads.kill()
  })
})
