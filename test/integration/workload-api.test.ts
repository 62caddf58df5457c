// Identity from the SPIFFE Workload API (a strict fake on a unix socket): real proxies with the flag or with a marked cluster take certificate and
// bundles from it, follow rotation without closing what is open, choose among several identities, verify each trust domain by its own bundle
// alone, wait for an identity that comes late, and cease to use one that is taken back.
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions, type Leaf } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'
import { fakeSvid, serialOf, WorkloadApiServer } from '../support/workload-api-server.js'

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3'
const ca = new AnyCa('example.org')
const partner = new AnyCa('partner.test')
const api = 'spiffe://example.org/api'
const web: Leaf = ca.leaf({ uris: ['spiffe://example.org/web'] })
const billing: Leaf = partner.leaf({ uris: ['spiffe://partner.test/billing'] })
/** Of example.org, says the certificate; signed by the partner. */
const forged: Leaf = partner.leaf({ uris: ['spiffe://example.org/web'] })

const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
const workload = new WorkloadApiServer()

beforeAll(async () => {
  await Promise.all([origin.listen(), workload.start()])
})
afterAll(async () => {
  await stopAll()
  await origin.close()
  workload.close()
})

const source = {
  api_config_source: {
    api_type: 'GRPC',
    transport_api_version: 'V3',
    grpc_services: [{ envoy_grpc: { cluster_name: 'spiffe_workload_api' } }],
  },
  resource_api_version: 'V3',
}

function downstream(certificate: string, bundle: string): object {
  return {
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': `${TLS}.DownstreamTlsContext`,
        require_client_certificate: true,
        common_tls_context: {
          tls_certificate_sds_secret_configs: [{ name: certificate, sds_config: source }],
          validation_context_sds_secret_config: { name: bundle, sds_config: source },
        },
      },
    },
  }
}

/** Serial number of what is served to `leaf`, or null when it is not let in. */
async function served(port: number, leaf: Leaf = web): Promise<string | null> {
  try {
    const client = await Http1Client.connect(port, { ...clientOptions(leaf, ca.pem), checkServerIdentity: () => undefined })
    const serial = (client.socket as TLSSocket).getPeerCertificate().serialNumber
    const { status } = await client.get('/')
    client.destroy()
    return status === 200 ? serial : null
  } catch {
    return null
  }
}

async function startProxy(certificate: string, bundle: string, endpoint = workload.endpoint, more: object[] = []) {
  const port = await freePort()
  const proxy = await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        clusters: [staticCluster('app', origin.port), ...more],
        listeners: [listener('public', port, [hcm({ route_config: routesTo('app') })], {}, downstream(certificate, bundle))],
      },
    },
    flags: endpoint === '' ? [] : ['--spiffe-endpoint-socket', endpoint],
  })
  return { proxy, port }
}

describe('a proxy with --spiffe-endpoint-socket', () => {
  it('serves nobody before it has an identity, then with it, follows rotation, and stops when it is taken back', async () => {
    workload.set(null)
    const { proxy, port } = await startProxy('default', 'ROOTCA')
    await proxy.untilLog('has no identity for this proxy')
    expect(await served(port)).toBeNull()

    const first = fakeSvid(ca, api)
    workload.set({ svids: [first] })
    expect(await until('the first certificate', () => served(port))).toBe(serialOf(first))
    const open = await Http1Client.connect(port, { ...clientOptions(web, ca.pem), checkServerIdentity: () => undefined })
    expect((await open.get('/')).status).toBe(200)

    const second = fakeSvid(ca, api)
    workload.set({ svids: [second] })
    await until('the second certificate', async () => (await served(port)) === serialOf(second))
    expect((await open.get('/')).status).toBe(200)
    expect(await served(port, billing)).toBeNull()

    // The stream ends: asked again, and what is held stays meanwhile.
    const asked = workload.calls.FetchX509SVID
    workload.drop()
    expect(await served(port)).toBe(serialOf(second))
    await until('asked again', () => workload.calls.FetchX509SVID > asked)

    // A message with something wrong changes nothing.
    workload.sendRaw(Buffer.from([0x0a, 0x02, 0x0a, 0x00]))
    await proxy.untilLog('a message of the Workload API is discarded')
    expect(await served(port)).toBe(serialOf(second))

    workload.set(null)
    await until('no handshake without an identity', async () => (await served(port)) === null)
    await proxy.untilLog('TLS secrets have been taken back')
    expect((await open.get('/')).status).toBe(200)
    const third = fakeSvid(ca, api)
    workload.set({ svids: [third] })
    expect(await until('the identity is back', () => served(port))).toBe(serialOf(third))
    expect(await proxy.stat('sds.default.update_success')).toBeGreaterThanOrEqual(3)
    const dump = (await proxy.get('/config_dump')).body
    expect(dump).toContain('[redacted]')
    expect(proxy.log + dump).not.toContain('PRIVATE KEY')
    open.destroy()
    await proxy.stop()
  })

  it('takes the identity that is asked for by id or hint, and says which there are when there is no such', async () => {
    const [one, two] = [fakeSvid(ca, 'spiffe://example.org/one'), fakeSvid(ca, api, 'internal')]
    workload.set({ svids: [one, two] })
    const byId = await startProxy(api, 'spiffe://example.org')
    const byHint = await startProxy('internal', 'spiffe://example.org')
    const none = await startProxy('spiffe://example.org/nobody', 'ROOTCA')
    expect(await until('by id', () => served(byId.port))).toBe(serialOf(two))
    expect(await until('by hint', () => served(byHint.port))).toBe(serialOf(two))
    await none.proxy.untilLog("gives no secret 'spiffe://example.org/nobody': no identity has that id; there are spiffe://example.org/one")
    expect(await served(none.port)).toBeNull()
    await Promise.all([byId, byHint, none].map(({ proxy }) => proxy.stop()))
  })
})

describe('federated trust domains', () => {
  it('are each verified by their own bundle alone, and no longer once they are gone', async () => {
    const svid = fakeSvid(ca, api)
    workload.set({ svids: [svid], federated: { 'spiffe://partner.test': partner.pem } })
    const { proxy, port } = await startProxy('default', 'ALL')
    expect(await until('ours', () => served(port))).toBe(serialOf(svid))
    expect(await served(port, billing)).toBe(serialOf(svid))
    expect(await served(port, forged)).toBeNull()
    workload.set({ svids: [svid] })
    await until('the partner is not federated any more', async () => (await served(port, billing)) === null)
    expect(await served(port)).toBe(serialOf(svid))
    await proxy.stop()
  })

  it('come with the identities where the API has no stream of bundles; over TCP, and by a marked cluster', async () => {
    const old = await new WorkloadApiServer({ bundles: false, tcp: true }).start()
    const svid = fakeSvid(ca, api)
    old.set({ svids: [svid], federated: { 'spiffe://partner.test': partner.pem } })
    const port = Number(old.endpoint.split(':').at(-1))
    const cluster = staticCluster('spiffe_workload_api', port, {
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          explicit_http_config: { http2_protocol_options: {} },
        },
      },
      metadata: { filter_metadata: { outrigger: { workload_api: true } } },
    })
    const { proxy, port: public_ } = await startProxy('default', 'ALL', '', [cluster])
    expect(await until('the partner', () => served(public_, billing))).toBe(serialOf(svid))
    expect(old.calls.FetchX509Bundles).toBe(0)
    await proxy.stop()
    old.close()
  })
})

describe('the address', () => {
  it('from the environment: a wrong one is said and the proxy serves; a wrong flag is refused', async () => {
    const env = { ...process.env, SPIFFE_ENDPOINT_SOCKET: '/run/agent.sock' }
    const proxy = await ProxyProcess.start({ bootstrap: {}, env })
    await proxy.untilLog('$SPIFFE_ENDPOINT_SOCKET')
    await proxy.stop()
    const run = await ProxyProcess.run({ bootstrap: {}, flags: ['--spiffe-endpoint-socket', 'tcp://localhost:1'] })
    expect(run.code).toBe(1)
    expect(run.stderr).toContain("--spiffe-endpoint-socket: 'tcp://localhost:1' names no IP address")
  })

  it('from the environment, with worker processes', async () => {
    const svid = fakeSvid(ca, api)
    workload.set({ svids: [svid] })
    const port = await freePort()
    const proxy = await ProxyProcess.start({
      bootstrap: {
        static_resources: {
          clusters: [staticCluster('app', origin.port)],
          listeners: [listener('public', port, [hcm({ route_config: routesTo('app') })], {}, downstream('default', 'ROOTCA'))],
        },
      },
      env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: workload.endpoint },
      flags: ['--concurrency', '2'],
    })
    expect(await until('a worker serves it', () => served(port))).toBe(serialOf(svid))
    workload.set(null)
    await until('taken back in the workers too', async () => (await served(port)) === null)
    await proxy.stop()
  })
})
