// Secrets from where Envoy takes them: over ADS (identity-changes.test.ts), from an SDS stream of their own and from files, with
// rotation of certificate and validation context, half-written files, and a listener whose secrets come after its timeout. What waits for
// secrets, and how long: secret-warming.test.ts.
import { X509Certificate } from 'node:crypto'
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture } from '../support/ads-fixture.js'
import { Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions, type Leaf } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'

const ca = new AnyCa()
const otherCa = new AnyCa('Other CA')
const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const web = clientOptions(ca.service('web'), ca.pem)
const other = clientOptions(otherCa.service('web'), ca.pem)
let dir: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'outrigger-sds-'))
  await origin.listen()
})
afterAll(async () => {
  await stopAll()
  await origin.close()
  rmSync(dir, { recursive: true, force: true })
})

const leafSecret = (leaf: Leaf): object => ({
  name: 'server',
  tls_certificate: { certificate_chain: { inline_string: leaf.cert }, private_key: { inline_string: leaf.key } },
})
const rootsSecret = (pem: string): object => ({ name: 'roots', validation_context: { trusted_ca: { inline_string: pem } } })

function withSds(source: (name: string) => object): object {
  return {
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
        require_client_certificate: true,
        common_tls_context: {
          tls_certificate_sds_secret_configs: [{ name: 'server', sds_config: source('server') }],
          validation_context_sds_secret_config: { name: 'roots', sds_config: source('roots') },
        },
      },
    },
  }
}

/** Serial number of what is served, or null when the client is not let in. */
async function served(port: number, options = web): Promise<string | null> {
  try {
    const client = await Http1Client.connect(port, options)
    const serial = (client.socket as TLSSocket).getPeerCertificate().serialNumber
    const { status } = await client.get('/')
    client.destroy()
    return status === 200 ? serial : null
  } catch {
    return null
  }
}

describe('a gRPC stream of its own', () => {
  it('brings certificate and roots, rotates both without closing what is open, and refuses connections before, when its time is over', async () => {
    const sds = await new AdsFixture().start()
    const port = await freePort()
    const xds = sds.bootstrap() as { node: object; static_resources: { clusters: object[] } }
    const source = (): object => ({
      api_config_source: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }] },
      resource_api_version: 'V3',
      initial_fetch_timeout: '0.5s',
    })
    const proxy = await ProxyProcess.start({
      bootstrap: {
        node: xds.node,
        static_resources: {
          clusters: [...xds.static_resources.clusters, staticCluster('app', origin.port)],
          listeners: [listener('public', port, [hcm({ route_config: routesTo('app') })], {}, withSds(source))],
        },
      },
    })
    expect(await served(port)).toBeNull()
    const notReady = `listener.127.0.0.1_${port}.server_ssl_socket_factory.downstream_context_secrets_not_ready`
    expect(await proxy.stat(notReady)).toBe(1)
    sds.set({ secrets: [leafSecret(ca.service('api')), rootsSecret(ca.pem)] })
    const first = await until('the first certificate is served', () => served(port))
    const open = await Http1Client.connect(port, web)
    expect((await open.get('/')).status).toBe(200)
    sds.set({ secrets: [leafSecret(ca.service('api')), rootsSecret(ca.pem)] })
    await until('the second certificate is served', async () => {
      const serial = await served(port)
      return serial !== null && serial !== first
    })
    expect(await served(port, other)).toBeNull()
    sds.set({ secrets: [leafSecret(ca.service('api')), rootsSecret(otherCa.pem)] })
    await until('the other CA is trusted', () => served(port, other))
    expect(await served(port)).toBeNull()
    expect((await open.get('/')).status).toBe(200)
    expect(sds.nacks).toEqual([])
    const stats = await proxy.stats()
    expect(stats.get('sds.server.update_success')).toBeGreaterThanOrEqual(2)
    expect(stats.get('sds.roots.update_success')).toBeGreaterThanOrEqual(2)
    expect(stats.get('sds.server.update_rejected')).toBe(0)
    expect(stats.get('sds.server.version')).not.toBe(0)
    expect(stats.get('sds.roots.key_rotation_failed')).toBe(0)
    const owner = `listener.127.0.0.1_${port}`
    expect(stats.get(`${owner}.server_ssl_socket_factory.ssl_context_update_by_sds`)).toBeGreaterThanOrEqual(2)
    // What is counted by a negotiated name goes on over a rotation.
    expect(stats.get(`${owner}.ssl.versions.TLSv1.3`)).toBeGreaterThanOrEqual(4)
    const expiry = new Date(new X509Certificate(otherCa.pem).validTo).getTime() / 1000
    expect(stats.get(`${owner}.ssl.certificate.roots.expiration_unix_time_seconds`)).toBe(expiry)
    open.destroy()
    await proxy.stop()
    sds.kill()
  })

  it('refuses a broken secret (NACK) and goes on with the last good one', async () => {
    const sds = await new AdsFixture().start()
    sds.set({ secrets: [leafSecret(ca.service('api')), rootsSecret(ca.pem)] })
    const port = await freePort()
    const xds = sds.bootstrap() as { node: object; static_resources: { clusters: object[] } }
    const source = (): object => ({
      api_config_source: { api_type: 'DELTA_GRPC', transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }] },
      resource_api_version: 'V3',
    })
    const proxy = await ProxyProcess.start({
      bootstrap: {
        node: xds.node,
        static_resources: {
          clusters: [...xds.static_resources.clusters, staticCluster('app', origin.port)],
          listeners: [listener('public', port, [hcm({ route_config: routesTo('app') })], {}, withSds(source))],
        },
      },
    })
    const first = await until('the first certificate is served', () => served(port))
    sds.set({ secrets: [leafSecret({ cert: ca.service('api').cert, key: ca.service('api').key }), rootsSecret(ca.pem)] })
    await until('the NACK', () => sds.nacks.length > 0)
    expect(JSON.stringify(sds.nacks)).not.toContain('PRIVATE KEY')
    expect(await served(port)).toBe(first)
    expect(await proxy.stat('sds.server.update_rejected')).toBeGreaterThanOrEqual(1)
    expect(await proxy.stat('sds.roots.update_rejected')).toBe(0)
    await proxy.stop()
    sds.kill()
  })
})

describe('one name from several sources', () => {
  it('is as many secrets: each listener shows what its own source says, and follows only that', async () => {
    const [ads, own, second] = [await new AdsFixture().start(), await new AdsFixture().start(), await new AdsFixture().start()]
    const leaves = { ads: ca.service('from-ads'), own: ca.service('from-own'), second: ca.service('from-second') }
    ads.set({ secrets: [leafSecret(leaves.ads), rootsSecret(ca.pem)] })
    own.set({ secrets: [leafSecret(leaves.own), rootsSecret(ca.pem)] })
    second.set({ secrets: [leafSecret(leaves.second), rootsSecret(otherCa.pem)] })
    const bootstrap = ads.bootstrap() as { node: object; static_resources: { clusters: object[] } }
    const stream = (cluster_name: string) => (): object => ({
      api_config_source: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [{ envoy_grpc: { cluster_name } }] },
      resource_api_version: 'V3',
    })
    const xds = (fixture: AdsFixture, name: string): object => ({
      ...(fixture.bootstrap() as typeof bootstrap).static_resources.clusters[0],
      name,
    })
    const file = join(dir, 'same-name.json')
    const type = { '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret' }
    const filed = ca.service('from-file')
    writeFileSync(file, JSON.stringify({ resources: [leafSecret(filed), rootsSecret(ca.pem)].map(secret => ({ ...type, ...secret })) }))
    const sources = {
      ads: () => ({ ads: {}, resource_api_version: 'V3' }),
      own: stream('own'),
      second: stream('second'),
      file: () => ({ path_config_source: { path: file }, resource_api_version: 'V3' }),
    }
    const ports = new Map<string, number>()
    for (const name of Object.keys(sources)) ports.set(name, await freePort())
    const proxy = await ProxyProcess.start({
      bootstrap: {
        ...bootstrap,
        static_resources: {
          clusters: [...bootstrap.static_resources.clusters, xds(own, 'own'), xds(second, 'second'), staticCluster('app', origin.port)],
          listeners: Object.entries(sources).map(([name, source]) =>
            listener(name, ports.get(name)!, [hcm({ route_config: routesTo('app') })], {}, withSds(source)),
          ),
        },
      },
    })
    const serial = (leaf: Leaf): string => new X509Certificate(leaf.cert).serialNumber
    const shows = async (name: string, leaf: Leaf, options = web): Promise<void> => {
      await until(`${name} shows its own`, async () => (await served(ports.get(name)!, options)) === serial(leaf))
    }
    await shows('ads', leaves.ads)
    await shows('own', leaves.own)
    await shows('second', leaves.second, other)
    await shows('file', filed)
    const next = ca.service('from-own')
    own.set({ secrets: [leafSecret(next), rootsSecret(ca.pem)] })
    await shows('own', next)
    await shows('ads', leaves.ads)
    await shows('second', leaves.second, other)
    await shows('file', filed)
    // Whom the second source trusts is nobody to the others.
    expect(await served(ports.get('ads')!, other)).toBeNull()
    expect(await served(ports.get('second')!)).toBeNull()
    await proxy.stop()
    for (const fixture of [ads, own, second]) fixture.kill()
  })
})

describe('files', () => {
  it('a file of SDS resources: replaced by rename it rotates, half-written it changes nothing until it is whole', async () => {
    const folder = join(dir, 'sds')
    mkdirSync(folder)
    const file = (name: string): string => join(folder, `${name}.json`)
    const text = (secret: object): string =>
      JSON.stringify({
        resources: [{ '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret', ...secret }],
      })
    const replace = (name: string, content: string): void => {
      writeFileSync(`${file(name)}.new`, content)
      renameSync(`${file(name)}.new`, file(name))
    }
    replace('server', text(leafSecret(ca.service('api'))))
    replace('roots', text(rootsSecret(ca.pem)))
    const port = await freePort()
    const source = (name: string): object => ({ path_config_source: { path: file(name) }, resource_api_version: 'V3' })
    const proxy = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          clusters: [staticCluster('app', origin.port)],
          listeners: [listener('public', port, [hcm({ route_config: routesTo('app') })], {}, withSds(source))],
        },
      },
    })
    const first = await until('the first certificate is served', () => served(port))
    const next = text(leafSecret(ca.service('api')))
    replace('server', next.slice(0, next.length / 2))
    expect(await served(port)).toBe(first)
    replace('server', next)
    const second = await until('the second certificate is served', async () => {
      const serial = await served(port)
      return serial !== first ? serial : null
    })
    replace('roots', text(rootsSecret(otherCa.pem)))
    await until('the other CA is trusted', () => served(port, other))
    expect(second).not.toBe(first)
    await proxy.stop()
  })

  it('certificate and key by filename: a pair written one after the other is taken once it fits together', async () => {
    const folder = join(dir, 'pem')
    mkdirSync(folder)
    const [certFile, keyFile, caFile] = ['cert.pem', 'key.pem', 'ca.pem'].map(name => join(folder, name)) as [string, string, string]
    const put = (path: string, content: string): void => {
      writeFileSync(`${path}.new`, content)
      renameSync(`${path}.new`, path)
    }
    const before = ca.service('api')
    put(certFile, before.cert)
    put(keyFile, before.key)
    put(caFile, ca.pem)
    const port = await freePort()
    const proxy = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          clusters: [staticCluster('app', origin.port)],
          listeners: [
            listener(
              'public',
              port,
              [hcm({ route_config: routesTo('app') })],
              {},
              {
                transport_socket: {
                  name: 'tls',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
                    require_client_certificate: true,
                    common_tls_context: {
                      tls_certificates: [
                        {
                          certificate_chain: { filename: certFile },
                          private_key: { filename: keyFile },
                          watched_directory: { path: folder },
                        },
                      ],
                      validation_context: { trusted_ca: { filename: caFile }, watched_directory: { path: folder } },
                    },
                  },
                },
              },
            ),
          ],
        },
      },
    })
    const first = await served(port)
    expect(first).not.toBeNull()
    const after = ca.service('api')
    put(certFile, after.cert)
    expect(await served(port)).toBe(first)
    put(keyFile, after.key)
    await until('the new pair is served', async () => {
      const serial = await served(port)
      return serial !== null && serial !== first
    })
    put(caFile, otherCa.pem.slice(0, 100))
    expect(await served(port)).not.toBeNull()
    put(caFile, otherCa.pem)
    await until('the other CA is trusted', () => served(port, other))
    await proxy.stop()
  })
})
