// A cluster's certificate changes while requests wait for a connection that is still shaking hands: none of them is forgotten.
import net from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { AdsFixture, edsCluster } from '../support/ads-fixture.js'
import { Http1Client } from '../support/http1-client.js'
import { AnyCa, downstreamTls, spiffe, upstreamTls } from '../support/mesh-certificates.js'
import { HttpOrigin, http, TcpOrigin } from '../support/origins.js'
import { assignment, freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'

const ca = new AnyCa()
const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const held: (() => void)[] = []
let inbound = 0
/** Lets nothing through before the test says so. */
const gate = new TcpOrigin(client => {
  client.pause()
  held.push(() => {
    const server = net.connect({ port: inbound, host: '127.0.0.1' })
    for (const socket of [client, server]) socket.on('error', () => {})
    client.pipe(server)
    server.pipe(client)
  })
})

beforeAll(async () => {
  await origin.listen()
  await gate.listen()
  inbound = await freePort()
  await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener(
            'public',
            inbound,
            [hcm({ route_config: routesTo('app') })],
            {},
            { transport_socket: downstreamTls(ca.service('api'), ca.pem) },
          ),
        ],
        clusters: [staticCluster('app', origin.port)],
      },
    },
  })
})
afterAll(async () => {
  await stopAll()
  await gate.close()
  await origin.close()
})

it('requests that wait for a handshake when certificate and trust bundle rotate are served all the same', async () => {
  const ads = await new AdsFixture().start()
  const outbound = await freePort()
  const upstream = (bundle: string): object =>
    edsCluster('api', { connect_timeout: '10s', transport_socket: upstreamTls(ca.service('web'), bundle, spiffe('api')) })
  ads.set({
    // A bundle that only grows would keep the pool.
    clusters: [upstream(ca.pem + new AnyCa('First CA').pem)],
    endpoints: [assignment('api', [gate.port])],
    listeners: [listener('out', outbound, [hcm({ route_config: routesTo('api') })])],
  })
  const proxy = await ProxyProcess.start({ bootstrap: ads.bootstrap() })
  const clients = await Promise.all(Array.from({ length: 5 }, () => Http1Client.connect(outbound)))
  const answers = clients.map(client => client.get('/'))
  await until('the requests wait', async () => (await proxy.stat('cluster.api.upstream_rq_pending_active')) === clients.length)
  for (let i = 0; i < 2; i++) {
    await ads.apply({ clusters: [upstream(ca.pem + new AnyCa(`Next CA ${i}`).pem)] })
    // The next request finds the trust bundle changed: the pool that the others wait in is replaced.
    const client = await Http1Client.connect(outbound)
    clients.push(client)
    answers.push(client.get('/'))
    await until('it waits too', async () => (await proxy.stat('cluster.api.upstream_rq_pending_active')) === clients.length)
  }
  const opener = setInterval(() => {
    for (const open of held.splice(0)) open()
  }, 10)
  const statuses = (await Promise.all(answers)).map(answer => answer.status)
  clearInterval(opener)
  expect(statuses).toEqual(clients.map(() => 200))
  expect(await proxy.stat('cluster.api.upstream_rq_pending_active')).toBe(0)
  for (const client of clients) client.destroy()
  await proxy.stop()
  ads.kill()
})

it('the route timeout also ends a request that still waits for its connection', async () => {
  const outbound = await freePort()
  const proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          listener('out', outbound, [
            hcm({
              route_config: {
                name: 'r',
                virtual_hosts: [
                  { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'api', timeout: '0.2s' } }] },
                ],
              },
            }),
          ]),
        ],
        clusters: [
          staticCluster('api', gate.port, {
            connect_timeout: '20s',
            transport_socket: upstreamTls(ca.service('web'), ca.pem, spiffe('api')),
          }),
        ],
      },
    },
  })
  const client = await Http1Client.connect(outbound)
  const answer = await client.get('/')
  expect([answer.status, answer.body]).toEqual([504, 'upstream request timeout'])
  expect(await proxy.stat('cluster.api.upstream_rq_pending_active')).toBe(0)
  client.destroy()
  await proxy.stop()
})
