// A sidecar whose own certificate has expired, or is near its end without a successor, says so: in the log, in /ready's detail and by a gauge,
// whoever issued it. By inline certificates and by an SDS file, which is then renewed.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AnyCa, downstreamTls, type Leaf, spiffe } from '../support/mesh-certificates.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'

const HOUR_MS = 3_600_000
const ca = new AnyCa()
const dir = mkdtempSync(join(tmpdir(), 'outrigger-own-'))
const file = join(dir, 'leaf.json')
let proxy: ProxyProcess

const leafFor = (name: string, fromMs: number, untilMs: number): Leaf => ca.leaf({ uris: [spiffe(name)], fromMs, untilMs })

/** Taken by rename, as whoever renews certificates does. */
function deliver(leaf: Leaf): void {
  const certificate = { certificate_chain: { inline_string: leaf.cert }, private_key: { inline_string: leaf.key } }
  const type = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret'
  writeFileSync(`${file}.new`, JSON.stringify({ resources: [{ '@type': type, name: 'leaf', tls_certificate: certificate }] }))
  renameSync(`${file}.new`, file)
}

const gauge = (): Promise<number> => proxy.stat('server.own_certificates_ending')
const detail = async (): Promise<string> => String((await proxy.get('/ready')).headers['x-outrigger-detail'] ?? '')

beforeAll(async () => {
  const now = Date.now()
  deliver(leafFor('near', now - 10 * HOUR_MS, now + HOUR_MS / 2))
  const serve = (name: string, port: number, transport: object): object =>
    listener(name, port, [hcm({ route_config: routesTo('app') })], {}, { transport_socket: transport })
  const sds = {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      common_tls_context: {
        tls_certificate_sds_secret_configs: [
          { name: 'leaf', sds_config: { path_config_source: { path: file }, resource_api_version: 'V3' } },
        ],
      },
    },
  }
  const bootstrap = {
    stats_flush_interval: '0.1s',
    static_resources: {
      listeners: [
        serve('by-file', await freePort(), sds),
        serve('fine', await freePort(), downstreamTls(leafFor('fine', now - HOUR_MS, now + HOUR_MS), ca.pem)),
        serve('late', await freePort(), downstreamTls(leafFor('late', now - 2 * HOUR_MS, now - HOUR_MS), ca.pem)),
      ],
      clusters: [staticCluster('app', 1)],
    },
  }
  proxy = await ProxyProcess.start({ bootstrap })
})
afterAll(async () => {
  await stopAll()
  rmSync(dir, { recursive: true })
})

it('says which have expired or end soon, and not those that have time', async () => {
  await proxy.untilLog(`our own certificate ${spiffe('near')} (<inline>) ends at `)
  await proxy.untilLog(`our own certificate ${spiffe('late')} (<inline>) has expired at `)
  expect(proxy.log).not.toContain(spiffe('fine'))
  await until('the gauge', async () => (await gauge()) === 2)
  const said = await detail()
  expect(said).toContain(spiffe('near'))
  expect(said).toMatch(/svc\/late \(<inline>\) has expired at \S+Z, and no successor has come: peers refuse it/)
})

it('takes it back when a successor comes', async () => {
  deliver(leafFor('renewed', Date.now() - HOUR_MS, Date.now() + 10 * HOUR_MS))
  await proxy.untilLog(`our own certificate ${spiffe('near')} has been replaced`)
  await until('the gauge', async () => (await gauge()) === 1)
  expect(await detail()).not.toContain(spiffe('near'))
})
