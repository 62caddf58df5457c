// x-forwarded-client-cert as the real Envoy writes it: the same bootstrap and the same requests to both, and the origin must get the
// same header, in all five modes and for all details. Runs when ENVOY_BIN names the executable; skipped by name otherwise.
import type { ConnectionOptions } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions, downstreamTls, spiffe } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll } from '../support/proxy-process.js'

const envoy = process.env['ENVOY_BIN']
const ca = new AnyCa()
const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const modes = ['SANITIZE', 'FORWARD_ONLY', 'APPEND_FORWARD', 'SANITIZE_SET', 'ALWAYS_FORWARD_ONLY'] as const
const sets: Record<string, object> = {
  none: {},
  uri: { uri: true },
  all: { subject: true, cert: true, chain: true, dns: true, uri: true },
}
const servers = {
  spiffe: ca.service('api'),
  kuma: ca.leaf({ uris: [spiffe('api'), 'kuma://version/v1'] }),
  dns: ca.leaf({ dns: ['api.internal'], commonName: 'api' }),
}
const clients: Record<string, ConnectionOptions | null> = {
  clear: null,
  'a service': clientOptions(ca.service('web'), ca.pem),
  'a service with a subject': clientOptions(ca.leaf({ uris: [spiffe('web')], commonName: 'web' }), ca.pem),
  'a service with a URI of another scheme': clientOptions(ca.leaf({ uris: ['kuma://version/v1', spiffe('web')] }), ca.pem),
  'a service with DNS names': clientOptions(ca.leaf({ uris: [spiffe('web')], dns: ['web.internal', '*.web.internal'] }), ca.pem),
  'a subject with quotes and separators': clientOptions(ca.leaf({ uris: [spiffe('web')], commonName: 'a "b", c; d=e\\f+g' }), ca.pem),
}
const incoming: Record<string, Record<string, string>> = {
  nothing: {},
  'a header': { 'x-forwarded-client-cert': 'By=spiffe://a;Hash=1;URI=spiffe://b' },
  'an empty header': { 'x-forwarded-client-cert': '' },
}

describe.skipIf(!envoy)('XFCC beside the real Envoy (needs ENVOY_BIN)', () => {
  const started: { proxy: ProxyProcess; ports: Map<string, number> }[] = []

  beforeAll(async () => {
    await origin.listen()
    for (const bin of [undefined, envoy]) {
      const ports = new Map<string, number>()
      const listeners: object[] = []
      for (const mode of modes)
        for (const [set, set_current_client_cert_details] of Object.entries(sets))
          for (const server of ['clear', ...Object.keys(servers)]) {
            const name = `${mode}-${set}-${server}`
            const at = await freePort()
            ports.set(name, at)
            const filters = [
              hcm({ stat_prefix: name, route_config: routesTo('app'), forward_client_cert_details: mode, set_current_client_cert_details }),
            ]
            const leaf = servers[server as keyof typeof servers]
            listeners.push(listener(name, at, filters, {}, leaf === undefined ? {} : { transport_socket: downstreamTls(leaf, ca.pem) }))
          }
      const bootstrap = { static_resources: { listeners, clusters: [staticCluster('app', origin.port)] } }
      started.push({ proxy: await ProxyProcess.start({ bootstrap, ...(bin === undefined ? {} : { bin }) }), ports })
    }
  })
  afterAll(async () => {
    await stopAll()
    await origin.close()
  })

  for (const mode of modes)
    it(mode, async () => {
      for (const set of Object.keys(sets))
        for (const [client, options] of Object.entries(clients))
          for (const server of options === null ? ['clear'] : Object.keys(servers)) {
            const connections: Http1Client[] = []
            for (const { ports } of started)
              connections.push(await Http1Client.connect(ports.get(`${mode}-${set}-${server}`)!, options ?? undefined))
            for (const [given, headers] of Object.entries(incoming)) {
              const seen: (string | undefined)[] = []
              for (const connection of connections) {
                expect((await connection.get('/', headers)).status).toBe(200)
                seen.push(origin.requests.at(-1)!.headers.get('x-forwarded-client-cert'))
              }
              expect(seen[0], `${mode}, details ${set}, server ${server}, client ${client}, ${given}`).toBe(seen[1])
            }
            for (const connection of connections) connection.destroy()
          }
    })
})
