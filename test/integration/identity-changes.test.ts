// Identity and intentions changing under load: certificates rotate (inline and by SDS) with no connection dropped, and a changed
// intention reaches connections that are already open.
import { once } from 'node:events'
import tls, { type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdsFixture, adsSource, edsCluster } from '../support/ads-fixture.js'
import { Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions, downstreamTls, type Leaf, spiffe, upstreamTls } from '../support/mesh-certificates.js'
import { EchoOrigin, HttpOrigin, http } from '../support/origins.js'
import {
  allowOnly,
  assignment,
  freePort,
  hcm,
  httpRbac,
  listener,
  networkRbac,
  ProxyProcess,
  router,
  routesTo,
  stopAll,
  tcpProxy,
  until,
} from '../support/proxy-process.js'

const ca = new AnyCa()
const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const echo = new EchoOrigin()
const nobody = spiffe('nobody')

beforeAll(async () => {
  await origin.listen()
  await echo.listen()
})
afterAll(async () => {
  await stopAll()
  await origin.close()
  await echo.close()
})

const options = clientOptions(ca.service('web'), ca.pem)
const serialOf = (client: Http1Client): string => (client.socket as TLSSocket).getPeerCertificate().serialNumber

async function sidecar(config: (port: number) => object): Promise<{ ads: AdsFixture; proxy: ProxyProcess; port: number }> {
  const port = await freePort()
  const ads = await new AdsFixture().start()
  ads.set({
    clusters: [edsCluster('app'), edsCluster('echo')],
    endpoints: [assignment('app', [origin.port]), assignment('echo', [echo.port])],
    ...config(port),
  })
  return { ads, proxy: await ProxyProcess.start({ bootstrap: ads.bootstrap() }), port }
}

/** 50 connections that keep asking while `change` runs. */
async function underLoad(port: number, change: () => Promise<void>): Promise<string[]> {
  const failures: string[] = []
  let stopping = false
  const clients = await Promise.all(Array.from({ length: 50 }, () => Http1Client.connect(port, options)))
  const loops = clients.map(async client => {
    while (!stopping) {
      try {
        const answer = await client.get('/')
        if (answer.status !== 200) failures.push(String(answer.status))
      } catch (error) {
        failures.push((error as Error).message)
        return
      }
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  })
  await change()
  stopping = true
  await Promise.all(loops)
  for (const client of clients) client.destroy()
  return failures
}

async function servedSerial(port: number): Promise<string> {
  const client = await Http1Client.connect(port, options)
  const serial = serialOf(client)
  expect((await client.get('/')).status).toBe(200)
  client.destroy()
  return serial
}

describe('certificate rotation', () => {
  it('inline, five times under 50 connections: nothing is dropped, new connections see the new certificate', async () => {
    const front = (port: number, leaf: Leaf) =>
      listener('public', port, [hcm({ route_config: routesTo('app') })], {}, { transport_socket: downstreamTls(leaf, ca.pem) })
    const { ads, proxy, port } = await sidecar(at => ({ listeners: [front(at, ca.service('api'))] }))
    const serials = new Set([await servedSerial(port)])
    const failures = await underLoad(port, async () => {
      for (let i = 0; i < 5; i++) {
        await ads.apply({ listeners: [front(port, ca.service('api'))] })
        serials.add(await servedSerial(port))
      }
    })
    expect(failures).toEqual([])
    expect(serials.size).toBe(6)
    expect((await proxy.json('/certs')).certificates.length).toBeLessThan(8)
    await proxy.stop()
    ads.kill()
  })

  it('by SDS, both ways: server and client certificates change under load', async () => {
    const secret = (name: string, leaf: Leaf) => ({
      name,
      tls_certificate: { certificate_chain: { inline_string: leaf.cert }, private_key: { inline_string: leaf.key } },
    })
    const roots = { name: 'roots', validation_context: { trusted_ca: { inline_string: ca.pem } } }
    const sds = (name: string) => ({ name, sds_config: adsSource })
    const transport = (type: string, leaf: string, more: object = {}) => ({
      name: 'tls',
      typed_config: {
        '@type': `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${type}`,
        common_tls_context: { tls_certificate_sds_secret_configs: [sds(leaf)], validation_context_sds_secret_config: sds('roots') },
        ...more,
      },
    })
    const { ads, proxy, port } = await sidecar(at => ({
      listeners: [
        listener(
          'public',
          at,
          [hcm({ route_config: routesTo('app') })],
          {},
          {
            transport_socket: transport('DownstreamTlsContext', 'server', { require_client_certificate: true }),
          },
        ),
      ],
      secrets: [secret('server', ca.service('api')), roots],
    }))
    const serials = new Set([await servedSerial(port)])
    const failures = await underLoad(port, async () => {
      for (let i = 0; i < 3; i++) {
        const leaf = ca.service('api')
        await ads.apply({ secrets: [secret('server', leaf), roots] })
        serials.add(
          await until('the new certificate', async () => {
            const serial = await servedSerial(port)
            return serials.has(serial) ? null : serial
          }),
        )
      }
    })
    expect(failures).toEqual([])
    expect(serials.size).toBe(4)
    const dump = (await proxy.get('/config_dump')).body
    expect(dump).toContain('dynamic_active_secrets')
    expect(dump).not.toContain('PRIVATE KEY')
    await proxy.stop()
    ads.kill()
  })

  it('a cluster’s client certificate rotates under load without a failed request', async () => {
    const server = await sidecar(at => ({
      listeners: [
        listener(
          'public',
          at,
          [hcm({ route_config: routesTo('app') })],
          {},
          { transport_socket: downstreamTls(ca.service('api'), ca.pem) },
        ),
      ],
    }))
    const upstream = () => edsCluster('api', { transport_socket: upstreamTls(ca.service('web'), ca.pem, spiffe('api')) })
    const client = await sidecar(at => ({
      clusters: [upstream()],
      endpoints: [assignment('api', [server.port])],
      listeners: [listener('out', at, [hcm({ route_config: routesTo('api') })])],
    }))
    const failures: string[] = []
    let stopping = false
    const loops = Array.from({ length: 20 }, async () => {
      const connection = await Http1Client.connect(client.port)
      while (!stopping) {
        const answer = await connection.get('/').catch((error: Error) => ({ status: error.message }))
        if (answer.status !== 200) failures.push(String(answer.status))
        if (connection.closed) return
        await new Promise(resolve => setTimeout(resolve, 5))
      }
      connection.destroy()
    })
    for (let i = 0; i < 4; i++) {
      await client.ads.apply({ clusters: [upstream()] })
      const sent = origin.requests.length
      await until('requests on the new certificate', () => origin.requests.length > sent + 40)
    }
    stopping = true
    await Promise.all(loops)
    expect(failures).toEqual([])
    await client.proxy.stop()
    await server.proxy.stop()
    client.ads.kill()
    server.ads.kill()
  })
})

describe('a changed intention on live connections', () => {
  it('L7: the next request on an open connection is refused, and passes again when allowed', async () => {
    const front = (port: number, allowed: string) =>
      listener(
        'public',
        port,
        [hcm({ route_config: routesTo('app') }, [httpRbac(allowOnly(allowed)), router])],
        {},
        {
          transport_socket: downstreamTls(ca.service('api'), ca.pem),
        },
      )
    const { ads, proxy, port } = await sidecar(at => ({ listeners: [front(at, spiffe('web'))] }))
    const client = await Http1Client.connect(port, options)
    expect((await client.get('/')).status).toBe(200)
    await ads.apply({ listeners: [front(port, nobody)] })
    expect((await client.get('/')).status).toBe(403)
    await ads.apply({ listeners: [front(port, spiffe('web'))] })
    expect((await client.get('/')).status).toBe(200)
    client.destroy()
    await proxy.stop()
    ads.kill()
  })

  it('L4: an open connection is closed, one that is still allowed stays', async () => {
    const rules = (...uris: string[]) => ({
      action: 'ALLOW',
      policies: Object.fromEntries(
        uris.map(uri => [uri, { permissions: [{ any: true }], principals: [{ authenticated: { principal_name: { exact: uri } } }] }]),
      ),
    })
    const front = (port: number, ...uris: string[]) =>
      listener('public', port, [networkRbac(rules(...uris)), tcpProxy('echo')], {}, { transport_socket: downstreamTls(leaf, ca.pem) })
    const leaf = ca.service('api')
    const { ads, proxy, port } = await sidecar(at => ({ listeners: [front(at, spiffe('web'), spiffe('batch'))] }))
    const dial = async (service: string): Promise<TLSSocket> => {
      const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...clientOptions(ca.service(service), ca.pem) })
      socket.on('error', () => {})
      await once(socket, 'secureConnect')
      socket.write('hi')
      await once(socket, 'data')
      return socket
    }
    const web = await dial('web')
    const batch = await dial('batch')
    const closed = once(batch.resume(), 'close')
    await ads.apply({ listeners: [front(port, spiffe('web'))] })
    await closed
    web.write('still here')
    expect(String((await once(web, 'data'))[0])).toBe('still here')
    web.destroy()
    await until('its upstream connection is closed too', () => echo.sockets.size === 0)
    await proxy.stop()
    ads.kill()
  })
})
