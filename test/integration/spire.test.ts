// Real SPIRE (skipped by name where SPIRE_SERVER_BIN and SPIRE_AGENT_BIN are not set): a proxy with identities from the Workload API, rotation of
// short-lived ones, a bootstrap as SPIRE's tutorial gives it to Envoy over SDS, unchanged (also in the real Envoy where ENVOY_BIN is set),
// federation between SPIRE and our control plane over their bundle endpoints, and a mesh some of whose services have SPIRE's identities.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../src/control/control-plane.js'
import { Http1Client } from '../support/http1-client.js'
import { AnyCa, clientOptions } from '../support/mesh-certificates.js'
import { MeshFixture } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, hcm, listener, ProxyProcess, proxyBin, routesTo, staticCluster, stopAll, until } from '../support/proxy-process.js'
import { hasSpire, Spire } from '../support/spire.js'

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3'
const API = 'spiffe://example.org/ns/default/sa/default/backend'
/** As Envoy writes the name of a secret in that of a stat. */
const ROTATIONS = 'sds.spiffe_example.org/ns/default/sa/default/backend.update_success'
const envoy = process.env['ENVOY_BIN']

describe.skipIf(!hasSpire)('SPIRE (SPIRE_SERVER_BIN, SPIRE_AGENT_BIN)', () => {
  const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
  let spire: Spire

  beforeAll(async () => {
    await origin.listen()
    spire = await Spire.start('example.org')
    spire.entry(API, '-x509SVIDTTL', '30')
  }, 120_000)
  afterAll(async () => {
    await stopAll()
    await origin.close()
    await spire.stop()
  })

  const sds = (cluster: string): object => ({
    resource_api_version: 'V3',
    api_config_source: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: { envoy_grpc: { cluster_name: cluster } } },
  })

  const tlsContext = (type: string, cluster: string, bundle: string): object => ({
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': `${TLS}.${type}`,
        ...(type === 'DownstreamTlsContext' ? { require_client_certificate: true } : {}),
        common_tls_context: {
          tls_certificate_sds_secret_configs: [{ name: API, sds_config: sds(cluster) }],
          combined_validation_context: {
            default_validation_context: { match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: API } }] },
            validation_context_sds_secret_config: { name: bundle, sds_config: sds(cluster) },
          },
          tls_params: { ecdh_curves: ['X25519:P-256:P-521:P-384'] },
        },
      },
    },
  })

  /** A front listener in the clear, that calls the inner one over mTLS: both with the identity of SPIRE. */
  async function startPair(cluster: string, bundle: string, bin: string, flags: string[], more: object[]) {
    const [front, inner] = [await freePort(), await freePort()]
    const proxy = await ProxyProcess.start({
      bin,
      flags,
      bootstrap: {
        node: { id: 'backend', cluster: 'demo-cluster-spire' },
        static_resources: {
          listeners: [
            listener('front', front, [hcm({ route_config: routesTo('backend') })]),
            listener('inner', inner, [hcm({ route_config: routesTo('app') })], {}, tlsContext('DownstreamTlsContext', cluster, bundle)),
          ],
          clusters: [
            ...more,
            staticCluster('app', origin.port),
            staticCluster('backend', inner, tlsContext('UpstreamTlsContext', cluster, bundle)),
          ],
        },
      },
    })
    return { proxy, front, inner }
  }

  async function status(port: number): Promise<number> {
    const client = await Http1Client.connect(port)
    const answer = await client.get('/')
    client.destroy()
    return answer.status
  }

  it('gives a proxy its identity and bundles by the Workload API, and a new certificate before the old one ends', async () => {
    const { proxy, front, inner } = await startPair(
      'spiffe_workload_api',
      'ALL',
      proxyBin,
      ['--spiffe-endpoint-socket', spire.endpoint],
      [],
    )
    await until('200 over mTLS', async () => (await status(front)) === 200)
    const before = await proxy.stat(ROTATIONS)
    await until('a rotation', async () => (await proxy.stat(ROTATIONS)) > before)
    expect(await status(front)).toBe(200)
    const stranger = new AnyCa('stranger')
    const client = Http1Client.connect(inner, { ...clientOptions(stranger.leaf({ uris: [API] }), stranger.pem), rejectUnauthorized: false })
    expect(await client.then(async connected => (await connected.get('/')).status).catch(() => 'refused')).toBe('refused')
    await proxy.stop()
  })

  it('keeps its identity while agent and server are killed as a certificate is replaced, and follows them when they are back', {
    timeout: 180_000,
  }, async () => {
    const flags = ['--spiffe-endpoint-socket', spire.endpoint]
    const { proxy, front } = await startPair('spiffe_workload_api', 'ALL', proxyBin, flags, [])
    await until('200 over mTLS', async () => (await status(front)) === 200)
    for (const part of ['agent', 'server', 'agent'] as const) {
      const before = await proxy.stat(ROTATIONS)
      await until('a rotation', async () => (await proxy.stat(ROTATIONS)) > before)
      await spire.kill(part)
      expect(await status(front)).toBe(200)
      await spire.restart(part)
      expect(await status(front)).toBe(200)
    }
    const before = await proxy.stat(ROTATIONS)
    await until('a rotation after all', async () => (await proxy.stat(ROTATIONS)) > before)
    expect(await status(front)).toBe(200)
    // What it has is nowhere but with the agent: one that begins anew has it from there.
    await proxy.kill()
    const next = await startPair('spiffe_workload_api', 'ALL', proxyBin, flags, [])
    await until('200 over mTLS again', async () => (await status(next.front)) === 200)
    await next.proxy.stop()
  })

  const agentCluster = (): object => ({
    name: 'spire_agent',
    connect_timeout: '0.25s',
    http2_protocol_options: {},
    load_assignment: {
      cluster_name: 'spire_agent',
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: spire.agentSocket } } } }] }],
    },
  })

  it.each([
    ['outrigger', proxyBin],
    ['Envoy (ENVOY_BIN)', envoy],
  ])('serves SDS to %s as SPIRE’s tutorial configures it: by trust domain, ROOTCA and ALL, side by side', async (_name, bin) => {
    if (bin === undefined) return
    for (const bundle of ['spiffe://example.org', 'ALL']) {
      const flags = bin === envoy ? ['--use-dynamic-base-id'] : []
      const { proxy, front } = await startPair('spire_agent', bundle, bin, flags, [agentCluster()])
      await until(`200 over mTLS, trusting ${bundle}`, async () => (await status(front)) === 200)
      await proxy.stop()
    }
  })

  it('gives services of a mesh their identities, which call, and are called by, one that stays with the mesh’s CA', async () => {
    const bundlePort = await freePort()
    const mesh = new MeshFixture(['--spiffe-bundle-addr', `127.0.0.1:${bundlePort}`])
    try {
      await mesh.start()
      const { TrustDomain: ours } = await mesh.read('/v1/connect/ca/roots')
      // Each with the other, by their bundle endpoints.
      await mesh.write('/v1/outrigger/spiffe/federation/spire', {
        TrustDomain: 'example.org',
        Mesh: true,
        BundleEndpointURL: `https://127.0.0.1:${spire.bundlePort}`,
        BundleEndpointProfile: 'https_spiffe',
        EndpointSPIFFEID: 'spiffe://example.org/spire/server',
        TrustBundle: spire.command('bundle', 'show', '-format', 'spiffe'),
      })
      await mesh.write('/v1/outrigger/spiffe/federation/spire/refresh')
      const bundle = await (await fetch(`${mesh.url}/v1/outrigger/spiffe/bundle`)).text()
      spire.federate(ours, `https://127.0.0.1:${bundlePort}/`, `spiffe://${ours}/agent/server/dc/dc1`, bundle)
      expect(await spire.commandBeside('federation', 'refresh', '-id', ours)).toMatch(/refreshed/i)
      for (const service of ['web', 'api']) spire.entry(`spiffe://example.org/mesh/${service}`, '-federatesWith', ours)

      await mesh.write('/v1/config', {
        Kind: 'proxy-defaults',
        Name: 'global',
        Config: { protocol: 'http', outrigger_spiffe_id: 'spiffe://example.org/mesh/{service}' },
      })
      const web = await mesh.register('web', { name: 'web', upstreams: ['api', 'old'] })
      await mesh.register('api', { name: 'api', port: origin.port })
      const old = await mesh.register('old', { name: 'old', port: origin.port, upstreams: ['api'] })
      await mesh.write('/v1/config', { Kind: 'service-defaults', Name: 'old', Protocol: 'http', Meta: { outrigger_spiffe_id: '' } })
      for (const name of ['api', 'old'])
        await mesh.intention(name, [
          { Name: 'web', Action: 'allow' },
          { Name: 'old', Action: 'allow' },
          { Name: '*', Action: 'deny' },
        ])
      const flags = ['--spiffe-endpoint-socket', spire.endpoint]
      const api = await mesh.sidecar('api', undefined, flags)
      await mesh.sidecar('old')
      await mesh.sidecar('web', undefined, flags)
      await until('web reaches api', async () => (await status(web.upstreams.get('api')!)) === 200)
      await until('web reaches old', async () => (await status(web.upstreams.get('old')!)) === 200)
      await until('old reaches api', async () => (await status(old.upstreams.get('api')!)) === 200)
      expect((await api.get('/certs')).body).toContain('spiffe://example.org/mesh/api')
      // Denied by the name that the mesh knows, whatever the certificate calls it.
      const index = await mesh.intention('api', [
        { Name: 'web', Action: 'deny' },
        { Name: '*', Action: 'allow' },
      ])
      await mesh.acknowledged('api', index)
      expect([await status(web.upstreams.get('api')!), await status(old.upstreams.get('api')!)]).toEqual([403, 200])
    } finally {
      await mesh.stop()
    }
  }, 120_000)

  it('federates with our control plane, and our control plane with it', async () => {
    const plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: 'off', nodeName: 'n', spiffeBundleAddr: '127.0.0.1:0' })
    await plane.start()
    const api = `http://${plane.httpAddress}/v1/outrigger/spiffe`
    const put = (path: string, body?: object) => fetch(`${api}/${path}`, { method: 'PUT', ...(body ? { body: JSON.stringify(body) } : {}) })
    const federation = {
      TrustDomain: 'example.org',
      Mesh: true,
      BundleEndpointURL: `https://127.0.0.1:${spire.bundlePort}`,
      BundleEndpointProfile: 'https_spiffe',
      EndpointSPIFFEID: 'spiffe://example.org/spire/server',
      TrustBundle: spire.command('bundle', 'show', '-format', 'spiffe'),
    }
    expect((await put('federation/spire', federation)).status).toBe(200)
    const refreshed = await put('federation/spire/refresh')
    expect(await refreshed.text()).toContain('"Problem":""')
    const roots = (await (await fetch(`http://${plane.httpAddress}/v1/connect/ca/roots`)).json()) as { TrustDomain: string }
    const ours = roots.TrustDomain
    spire.federate(
      ours,
      `https://${plane.spiffeBundleAddress}/`,
      `spiffe://${ours}/agent/server/dc/dc1`,
      await (await fetch(`${api}/bundle`)).text(),
    )
    expect(await spire.commandBeside('federation', 'refresh', '-id', ours)).toMatch(/refreshed/i)
    expect(spire.command('bundle', 'list')).toContain(ours)
    await plane.stop()
  })
})
