// The unmodified consul-dataplane (DATAPLANE_BIN) between our control plane and a proxy, ours and the real Envoy: it dials `consul://`
// targets with an empty :authority, asks for features, servers and bootstrap parameters, logs in, relays xDS and DNS. In the open, and with
// ACLs and TLS; as a sidecar and as a DNS proxy. Skipped by name where it is absent.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dataplaneBin } from '../support/dataplane.js'
import { CiLogins, DataplaneMesh, dnsAnswer, MANAGEMENT, untilDns } from '../support/dataplane-mesh.js'
import { AnyCa } from '../support/mesh-certificates.js'
import { proxyBin, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']

const proxies = [
  ['our proxy before both', proxyBin],
  ['the real Envoy before web (ENVOY_BIN)', envoyBin],
] as const

describe.skipIf(dataplaneBin === undefined)('the unmodified consul-dataplane (DATAPLANE_BIN), in the open', () => {
  const mesh = new DataplaneMesh({})
  const plain = ['-tls-disabled']
  beforeAll(() => mesh.start())
  afterAll(() => mesh.stop())

  it.each(proxies)('%s', async (_name, front) => {
    if (front === undefined) return
    const api = await mesh.dataplane({ proxyId: 'api-sidecar-proxy', executable: proxyBin, flags: plain })
    const web = await mesh.dataplane({ proxyId: 'web-sidecar-proxy', executable: front, flags: plain })
    await mesh.answers(api, web)
    await untilDns(web, 'api.service.consul', '127.0.0.1')
    await api.stop()
    await web.stop()
  })

  it('answers DNS in dns-proxy mode', async () => {
    const proxy = await mesh.dataplane({ flags: plain })
    await untilDns(proxy, 'web.service.consul', '127.0.0.1')
    expect(await dnsAnswer(proxy.dnsPort, 'nobody.service.consul')).toBe('ENOTFOUND')
    await proxy.stop()
  })

  it('is told what it lacks: a proxy that is not registered', async () => {
    const nobody = await mesh.dataplane({ proxyId: 'nobody', executable: proxyBin, flags: plain })
    await nobody.end()
    expect(nobody.output).toContain('Service not found')
  })
})

describe.skipIf(dataplaneBin === undefined)('the unmodified consul-dataplane (DATAPLANE_BIN), with ACLs and TLS', () => {
  const ca = new AnyCa('gRPC CA')
  const server = ca.leaf({ dns: ['server.dc1.consul'], usages: ['serverAuth'] })
  const logins = new CiLogins()
  const mesh = new DataplaneMesh({
    acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT },
    grpcTls: { certPem: server.cert, keyPem: server.key },
  })
  const secure = ['-ca-certs', join(mesh.dir, 'ca.pem'), '-tls-server-name', 'server.dc1.consul']
  const withToken = (token: string): string[] => [...secure, '-credential-type', 'static', '-static-token', token]
  const withLogin = (bearer: string): string[] => [
    ...secure,
    ...['-credential-type', 'login', '-login-auth-method', 'ci', '-login-bearer-token', bearer],
  ]
  const tokenOf = async (grants: object): Promise<string> =>
    ((await mesh.put('/v1/acl/token', grants)) as { readonly SecretID: string }).SecretID

  beforeAll(async () => {
    writeFileSync(join(mesh.dir, 'ca.pem'), ca.pem)
    await mesh.start()
    await logins.addTo(mesh)
  })
  afterAll(() => mesh.stop())

  it.each(proxies)('%s: api by login, web by a token of its own', async (_name, front) => {
    if (front === undefined) return
    const token = await tokenOf({ ServiceIdentities: [{ ServiceName: 'web' }] })
    const api = await mesh.dataplane({ proxyId: 'api-sidecar-proxy', executable: proxyBin, flags: withLogin(await logins.bearer('api')) })
    const web = await mesh.dataplane({ proxyId: 'web-sidecar-proxy', executable: front, flags: withToken(token) })
    await mesh.answers(api, web)
    // A service identity may see every service and node, whose names its upstreams have.
    await untilDns(web, 'api.service.consul', '127.0.0.1')
    await api.stop()
    await web.stop()
    const tokens = await fetch(`http://${mesh.plane.httpAddress}/v1/acl/tokens?authmethod=ci`, {
      headers: { 'x-consul-token': MANAGEMENT },
    })
    expect(await tokens.json(), 'logged out at its end').toEqual([])
  })

  it('in dns-proxy mode shows what its token may see', async () => {
    const all = await mesh.dataplane({
      flags: withToken(await tokenOf({ TemplatedPolicies: [{ TemplateName: 'builtin/dns' }] })),
    })
    await untilDns(all, 'api.service.consul', '127.0.0.1')
    const nothing = await mesh.dataplane({ flags: withToken(await tokenOf({})) })
    await untilDns(nothing, 'api.service.consul', 'ENOTFOUND')
    await all.stop()
    await nothing.stop()
  })

  it.each([
    [
      'a token of another service',
      async () => withToken(await tokenOf({ ServiceIdentities: [{ ServiceName: 'web' }] })),
      'lacks permission \'service:write\' on \\"api\\"',
    ],
    ['a truncated token', async () => withToken(MANAGEMENT.slice(0, 20)), 'ACL not found'],
    [
      'a bearer token of another service',
      async () => withLogin(await logins.bearer('web')),
      'lacks permission \'service:write\' on \\"api\\"',
    ],
    ['half a bearer token', async () => withLogin((await logins.bearer('api')).slice(0, 40)), 'Permission denied'],
  ])('is told what it lacks: %s, and the others go on', async (_what, flags, reason) => {
    const refused = await mesh.dataplane({ proxyId: 'api-sidecar-proxy', executable: proxyBin, flags: await flags() })
    await until(
      `"${reason}"`,
      () => refused.output.replaceAll('\\"', '"').includes(reason.replaceAll('\\"', '"')) || Promise.reject(new Error(refused.output)),
    )
    await refused.stop()
  })
})
