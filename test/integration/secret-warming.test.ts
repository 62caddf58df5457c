// Listeners and clusters whose secrets come by SDS are not in use before those are there, or before it is clear that they do not come: beside
// the real Envoy where it is installed, and with worker processes.
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource, edsCluster } from '../support/ads-fixture.js'
import { envoyBin, exchange } from '../support/envoy-pair.js'
import { Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions, type Leaf } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  assignment,
  freePort,
  hcm,
  listener,
  type ProxyOptions,
  ProxyProcess,
  router,
  routesTo,
  staticCluster,
  stopAll,
  typed,
  until,
} from '../support/proxy-process.js'

const ca = new AnyCa()
const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const web = clientOptions(ca.service('web'), ca.pem)
const leaf = ca.service('api')
let dir: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-warming-'))
  await origin.listen()
})
afterAll(async () => {
  await stopAll()
  await origin.close()
  rmSync(dir, { recursive: true, force: true })
})

// ---- config pieces --------------------------------------------------------------------------------------------------------------

const secret = (name: string, { cert, key }: Leaf = leaf): object => ({
  name,
  tls_certificate: { certificate_chain: { inline_string: cert }, private_key: { inline_string: key } },
})
/** Of a certificate with another one's key. */
const broken = (name: string): object => secret(name, { cert: leaf.cert, key: ca.service('other').key })
const roots = (name: string): object => ({ name, validation_context: { trusted_ca: { inline_string: ca.pem } } })
const token = (name: string): object => ({ name, generic_secret: { secret: { inline_string: 'opensesame' } } })
const ticketKeys = (name: string): object => ({
  name,
  session_ticket_keys: { keys: [{ inline_bytes: Buffer.alloc(80, 7).toString('base64') }] },
})

/** By a stream of its own from the static cluster `xds`. */
const stream = (timeout?: string, api_type: 'GRPC' | 'DELTA_GRPC' = 'GRPC'): object => ({
  api_config_source: { api_type, transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }] },
  resource_api_version: 'V3',
  ...(timeout === undefined ? {} : { initial_fetch_timeout: timeout }),
})
const onAds = (timeout: string): object => ({ ...adsSource, initial_fetch_timeout: timeout })

const tlsSocket = (type: string, common: object, more: object = {}): object => ({
  name: 'tls',
  typed_config: {
    '@type': `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${type}`,
    common_tls_context: common,
    ...more,
  },
})
/** A filter chain's `transport_socket` with its certificate by SDS. */
const served = (name: string, sds_config: object, common: object = {}, more: object = {}): object => ({
  transport_socket: tlsSocket('DownstreamTlsContext', { tls_certificate_sds_secret_configs: [{ name, sds_config }], ...common }, more),
})
const shown = (name: string, sds_config: object): object =>
  tlsSocket('UpstreamTlsContext', { tls_certificate_sds_secret_configs: [{ name, sds_config }] })

const injector = (name: string, sds_config: object): object =>
  typed('injector', 'filters.http.credential_injector.v3.CredentialInjector', {
    credential: {
      name: 'generic',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic',
        credential: { name, sds_config },
      },
    },
  })

const fileOf = (...names: string[]): string =>
  JSON.stringify({
    resources: names.map(name => ({
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
      ...secret(name),
    })),
  })

const toApp = (filters?: object[]): object => hcm({ route_config: routesTo('app') }, filters as object[] | undefined)

function bootstrap(sds: AdsFixture, listeners: readonly object[], clusters: readonly object[] = []): object {
  const { node, static_resources } = sds.bootstrap() as { node: object; static_resources: { clusters: object[] } }
  return {
    node,
    static_resources: { clusters: [...static_resources.clusters, staticCluster('app', origin.port), ...clusters], listeners },
  }
}

/** An origin that demands a certificate of ours. */
async function tlsOrigin(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer({ cert: leaf.cert, key: leaf.key, ca: ca.pem, requestCert: true }, (_, response) => response.end('ok'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

// ---- what is seen ---------------------------------------------------------------------------------------------------------------

/** `closed`: refused, nobody listens. `dropped`: accepted and ended without a handshake. `served`: a request over TLS is answered. */
async function seen(port: number): Promise<'closed' | 'dropped' | 'served'> {
  const listens = await new Promise<boolean>(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
  if (!listens) return 'closed'
  try {
    const client = await Http1Client.connect(port, web)
    const { status } = await client.get('/')
    client.destroy()
    return status === 200 ? 'served' : 'dropped'
  } catch {
    return 'dropped'
  }
}

type Program = Pick<ProxyOptions, 'bin' | 'flags'>

async function started(program: Program, config: object): Promise<ProxyProcess> {
  const proxy = await ProxyProcess.start({ ...program, bootstrap: config, untilReady: false })
  await until('the admin', async () => (await proxy.get('/server_info')).status === 200)
  return proxy
}
const proxies: { readonly name: string; readonly program: Program }[] = [
  { name: 'Outrigger', program: {} },
  { name: 'Outrigger with two workers', program: { flags: ['--concurrency', '2'] } },
  ...(envoyBin === undefined ? [] : [{ name: 'Envoy', program: { bin: envoyBin, flags: ['-l', 'error'] } }]),
]

const state = async (proxy: ProxyProcess): Promise<string> => {
  const { status, body } = await proxy.get('/ready')
  return `${status} ${body.trim()}`
}
const notReady = (port: number): string => `listener.127.0.0.1_${port}.server_ssl_socket_factory.downstream_context_secrets_not_ready`

describe.each(proxies)('$name', ({ name, program }) => {
  const isEnvoy = name === 'Envoy'
  const start = (config: object): Promise<ProxyProcess> => started(program, config)
  let sds: AdsFixture
  beforeAll(async () => {
    sds = await new AdsFixture().start()
  })
  afterAll(() => sds.kill())

  describe('a listener of the bootstrap', () => {
    it('opens when certificate, roots and ticket keys have all come', async () => {
      const port = await freePort()
      const names = ['all-leaf', 'all-roots', 'all-keys']
      const chain = served(
        'all-leaf',
        stream('0s'),
        { validation_context_sds_secret_config: { name: 'all-roots', sds_config: stream('0s') } },
        { session_ticket_keys_sds_secret_config: { name: 'all-keys', sds_config: stream('0s') } },
      )
      const proxy = await start(bootstrap(sds, [listener('public', port, [toApp()], {}, chain)]))
      const secrets = [secret('all-leaf'), roots('all-roots'), ticketKeys('all-keys')]
      for (const [i, secretName] of names.entries()) {
        expect(await seen(port)).toBe('closed')
        expect(await state(proxy)).toBe('503 INITIALIZING')
        sds.set({ secrets: secrets.slice(0, i + 1) })
        await proxy.untilStat(`sds.${secretName}.update_success`, value => value === 1)
      }
      await proxy.ready()
      expect(await seen(port)).toBe('served')
      expect(await proxy.stat(notReady(port))).toBe(0)
      await proxy.kill()
    })

    it('opens when initial_fetch_timeout is over, drops who comes and counts them, and serves once the secret comes after all', async () => {
      const port = await freePort()
      const proxy = await start(bootstrap(sds, [listener('public', port, [toApp()], {}, served('late', stream('1.5s')))]))
      expect(await seen(port)).toBe('closed')
      expect(await state(proxy)).toBe('503 INITIALIZING')
      await proxy.ready()
      expect(await proxy.stat('sds.late.init_fetch_timeout')).toBe(1)
      expect(await seen(port)).toBe('dropped')
      await proxy.untilStat(notReady(port), value => value > 0)
      sds.set({ secrets: [secret('late')] })
      await until('it serves', async () => (await seen(port)) === 'served')
      await proxy.kill()
    })

    it.each([
      ['refused', 'GRPC', 'update_rejected'],
      ['said not to be there', 'DELTA_GRPC', 'update_success'],
    ] as const)('opens without the secret when it is %s', async (_, apiType, counted) => {
      const port = await freePort()
      const secretName = `none-${apiType}`
      sds.set({ secrets: apiType === 'GRPC' ? [broken(secretName)] : [] })
      const proxy = await start(bootstrap(sds, [listener('public', port, [toApp()], {}, served(secretName, stream('0s', apiType)))]))
      await proxy.ready()
      await until('the port', async () => (await seen(port)) === 'dropped')
      expect(await proxy.stat(`sds.${secretName}.${counted}`)).toBeGreaterThanOrEqual(1)
      await proxy.kill()
    })

    it('waits for a secret of a filter', async () => {
      const port = await freePort()
      const filters = [injector('token', stream('0s')), router]
      const proxy = await start(bootstrap(sds, [listener('public', port, [toApp(filters)])]))
      expect(await seen(port)).toBe('closed')
      expect(await state(proxy)).toBe('503 INITIALIZING')
      sds.set({ secrets: [token('token')] })
      await proxy.ready()
      expect((await exchange({ port, proxy }, { path: '/' })).status).toBe(200)
      expect(await proxy.stat('http.ingress.credential_injector.injected')).toBe(1)
      await proxy.kill()
    })

    it('goes on without the secret of a filter after its timeout', async () => {
      const port = await freePort()
      const filters = [injector('no-token', stream('0.5s')), router]
      const proxy = await start(bootstrap(sds, [listener('public', port, [toApp(filters)])]))
      await proxy.ready()
      expect((await exchange({ port, proxy }, { path: '/' })).status).toBe(401)
      expect(await proxy.stat('http.ingress.credential_injector.failed')).toBe(1)
      await proxy.kill()
    })

    it.each([
      ['has it', fileOf('filed'), 'served', 'update_success'],
      ['has another one', fileOf('other'), 'dropped', 'update_rejected'],
      // Envoy takes a file with one secret alone.
      ['has both', fileOf('other', 'filed'), isEnvoy ? 'dropped' : 'served', isEnvoy ? 'update_rejected' : 'update_success'],
      ['is empty', fileOf(), 'dropped', 'update_rejected'],
      ['cannot be read', 'no JSON', 'dropped', 'update_failure'],
    ] as const)('does not wait for a file that %s', async (what, text, expected, counted) => {
      const port = await freePort()
      const path = join(dir, `${name} ${what}.json`)
      writeFileSync(path, text)
      const file = { path_config_source: { path }, resource_api_version: 'V3', initial_fetch_timeout: '0s' }
      const proxy = await start(bootstrap(sds, [listener('public', port, [toApp()], {}, served('filed', file))]))
      await proxy.ready()
      await until('the port', async () => (await seen(port)) === expected)
      const counts = ['update_attempt', 'update_success', 'update_rejected', 'update_failure', 'init_fetch_timeout']
      const stats = await proxy.stats()
      expect(counts.filter(count => stats.get(`sds.filed.${count}`) !== 0)).toEqual(['update_attempt', counted])
      await proxy.kill()
    })

    it('is not waited for by --mode validate', async () => {
      const config = bootstrap(sds, [listener('public', await freePort(), [toApp()], {}, served('never', stream('0s')))])
      const run = await ProxyProcess.run({ ...program, bootstrap: config, flags: [...(program.flags ?? []), '--mode', 'validate'] })
      expect([run.code, run.stdout + run.stderr]).toEqual([0, expect.stringContaining('OK')])
    })

    it.skipIf(isEnvoy)('ends by SIGTERM while it waits', async () => {
      const port = await freePort()
      const proxy = await start(bootstrap(sds, [listener('public', port, [toApp()], {}, served('never', stream('0s')))]))
      expect(await state(proxy)).toBe('503 INITIALIZING')
      proxy.signal('SIGTERM')
      expect((await proxy.exit).code).toBe(0)
      await proxy.stop()
    })
  })

  describe('a cluster of the bootstrap', () => {
    it('holds up the start until its secret has come', async () => {
      const port = await freePort()
      const tls = await tlsOrigin()
      const cluster = staticCluster('tls', tls.port, { transport_socket: shown('client', stream('0s')) })
      const proxy = await start(bootstrap(sds, [listener('front', port, [hcm({ route_config: routesTo('tls') })])], [cluster]))
      await proxy.untilStat('cluster.tls.warming_state', value => value === 1)
      expect(await state(proxy)).toBe('503 PRE_INITIALIZING')
      expect(await seen(port)).toBe('closed')
      sds.set({ secrets: [secret('client')] })
      await proxy.ready()
      expect(await proxy.stat('cluster.tls.warming_state')).toBe(0)
      expect((await exchange({ port, proxy }, { path: '/' })).status).toBe(200)
      await proxy.kill()
      tls.server.close()
    })

    it('serves without after the timeout: requests are 503, and each connection that is tried counts', async () => {
      const port = await freePort()
      const cluster = staticCluster('tls', origin.port, { transport_socket: shown('no-client', stream('0.7s')) })
      const proxy = await start(bootstrap(sds, [listener('front', port, [hcm({ route_config: routesTo('tls') })])], [cluster]))
      await proxy.ready()
      expect(await proxy.stat('sds.no-client.init_fetch_timeout')).toBe(1)
      const answer = await exchange({ port, proxy }, { path: '/' })
      expect(answer.status).toBe(503)
      expect(answer.body).toBe('upstream connect error or disconnect/reset before headers. reset reason: remote connection failure')
      await proxy.untilStat('cluster.tls.client_ssl_socket_factory.upstream_context_secrets_not_ready', value => value === 1)
      await proxy.kill()
    })
  })

  describe('over one ADS stream', () => {
    it('everything else is acknowledged and serves while a listener waits; the old version serves while a new one does', async () => {
      const ads = await new AdsFixture().start()
      const [port, plain] = [await freePort(), await freePort()]
      const front = (secretName: string): object => listener('tls', port, [toApp()], {}, served(secretName, onAds('0s')))
      const base = { clusters: [edsCluster('app')], endpoints: [assignment('app', [origin.port])] }
      ads.set({ ...base, listeners: [listener('plain', plain, [toApp()])] })
      const proxy = await start(ads.bootstrap('GRPC'))
      await proxy.ready()
      await ads.apply({ listeners: [listener('plain', plain, [toApp()]), front('one')] })
      await proxy.untilStat('listener_manager.total_listeners_warming', value => value === 1)
      expect(await state(proxy)).toBe('200 LIVE')
      // The stream goes on: endpoints, routes and clusters come and are taken.
      await ads.apply({ clusters: [edsCluster('app'), edsCluster('more')], endpoints: [...base.endpoints, assignment('more', [1])] })
      expect(await seen(port)).toBe('closed')
      expect((await exchange({ port: plain, proxy }, { path: '/' })).status).toBe(200)
      ads.set({ secrets: [secret('one')] })
      await until('it serves', async () => (await seen(port)) === 'served')
      expect(await proxy.stat('listener_manager.total_listeners_warming')).toBe(0)
      await ads.apply({ listeners: [listener('plain', plain, [toApp()]), front('two')] })
      await proxy.untilStat('listener_manager.total_listeners_warming', value => value === 1)
      expect(await seen(port)).toBe('served')
      expect(await proxy.stat(notReady(port))).toBe(0)
      // Replaced while it waits, then by what it was, then removed.
      await ads.apply({ listeners: [listener('plain', plain, [toApp()]), front('three')] })
      await proxy.untilStat('listener_manager.total_listeners_warming', value => value === 1)
      ads.set({ secrets: [secret('one'), secret('three', ca.service('renamed'))] })
      await proxy.untilStat('listener_manager.total_listeners_warming', value => value === 0)
      expect(await seen(port)).toBe('served')
      await ads.apply({ listeners: [listener('plain', plain, [toApp()]), front('four')] })
      await proxy.untilStat('listener_manager.total_listeners_warming', value => value === 1)
      await ads.apply({ listeners: [listener('plain', plain, [toApp()])] })
      await proxy.untilStat('listener_manager.total_listeners_warming', value => value === 0)
      await until('the port closes', async () => (await seen(port)) === 'closed')
      expect(ads.nacks).toEqual([])
      await proxy.kill()
      ads.kill()
    })

    it('a cluster warms until its secret is here, and the old version of one serves until the new one’s is', async () => {
      const ads = await new AdsFixture().start()
      const tls = await tlsOrigin()
      const port = await freePort()
      const cluster = (secretName: string): object => edsCluster('tls', { transport_socket: shown(secretName, onAds('0s')) })
      ads.set({
        clusters: [cluster('first')],
        endpoints: [assignment('tls', [tls.port])],
        listeners: [listener('front', port, [hcm({ route_config: routesTo('tls') })])],
        secrets: [secret('first')],
      })
      const proxy = await start(ads.bootstrap('GRPC'))
      await proxy.ready()
      expect((await exchange({ port, proxy }, { path: '/' })).status).toBe(200)
      ads.set({ clusters: [cluster('second')] })
      await proxy.untilStat('cluster_manager.warming_clusters', value => value === 1)
      expect((await exchange({ port, proxy }, { path: '/' })).status).toBe(200)
      ads.set({ secrets: [secret('first'), secret('second', ca.service('second'))] })
      await proxy.untilStat('cluster_manager.warming_clusters', value => value === 0)
      expect((await exchange({ port, proxy }, { path: '/' })).status).toBe(200)
      expect(await proxy.stat('cluster.tls.client_ssl_socket_factory.upstream_context_secrets_not_ready')).toBe(0)
      await ads.synced()
      await proxy.kill()
      ads.kill()
      tls.server.close()
    })

    it('a second user of a secret that has timed out waits no more', async () => {
      const ads = await new AdsFixture().start()
      const [first, second] = [await freePort(), await freePort()]
      const front = (port: number): object => listener(`on-${port}`, port, [toApp()], {}, served('shared', onAds('1s')))
      ads.set({ clusters: [edsCluster('app')], endpoints: [assignment('app', [origin.port])], listeners: [front(first)] })
      const proxy = await start(ads.bootstrap('GRPC'))
      await proxy.ready()
      await proxy.untilStat('sds.shared.init_fetch_timeout', value => value === 1)
      await ads.apply({ listeners: [front(first), front(second)] })
      expect(await seen(second)).toBe('dropped')
      expect(await proxy.stat('sds.shared.init_fetch_timeout')).toBe(1)
      await proxy.kill()
      ads.kill()
    })
  })
})
