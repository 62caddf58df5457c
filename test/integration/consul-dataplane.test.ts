// The unmodified consul-dataplane (DATAPLANE_BIN) between our control plane and a proxy, ours and the real Envoy: it dials `consul://`
// targets with an empty :authority, asks for features, servers and bootstrap parameters, logs in, relays xDS and DNS. In the open, and with
// ACLs and TLS; as a sidecar and as a DNS proxy. Skipped by name where it is absent.
import { generateKeyPairSync } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane, type ControlPlaneOptions } from '../../src/control/control-plane.js'
import { Dataplane, type DataplaneOptions, dataplaneBin, stopDataplanes } from '../support/dataplane.js'
import { fetchOnce } from '../support/http1-client.js'
import { AnyCa } from '../support/mesh-certificates.js'
import { HttpOrigin, http } from '../support/origins.js'
import { freePort, proxyBin, until } from '../support/proxy-process.js'

const envoyBin = process.env['ENVOY_BIN']
const WITHIN_MS = 60_000
const MANAGEMENT = '0e8f5a10-6a34-4a54-9d5b-0d5b2d7c6a01'

/** A control plane with `api` and `web`, whose sidecar has an upstream to `api`. */
class DataplaneMesh {
  readonly dir = mkdtempSync(join(tmpdir(), 'outrigger-dataplane-'))
  readonly origin = new HttpOrigin()
  readonly plane: ControlPlane
  upstreamPort = 0

  constructor(options: Partial<ControlPlaneOptions>) {
    this.plane = new ControlPlane({
      httpAddr: '127.0.0.1:0',
      grpcAddr: '127.0.0.1:0',
      nodeName: 'n1',
      defaultIntentionPolicy: 'allow',
      dns: { address: { host: '127.0.0.1', port: 0 } },
      ...options,
    })
  }

  async start(): Promise<void> {
    await this.origin.listen()
    this.origin.respond = (_request, socket) => socket.write(http('from the mesh'))
    await this.plane.start()
    this.upstreamPort = await freePort()
    const ttl = { TTL: '1h', Status: 'passing' }
    const service = async (name: string, port: number, upstreams: readonly object[]): Promise<void> => {
      const sidecar = { Port: await freePort(), Checks: [ttl], Proxy: { Upstreams: upstreams } }
      await this.put('/v1/agent/service/register', { Name: name, Port: port, Check: ttl, Connect: { SidecarService: sidecar } })
    }
    await service('api', this.origin.port, [])
    await service('web', 1, [{ DestinationName: 'api', LocalBindPort: this.upstreamPort }])
  }

  async put(path: string, body: unknown): Promise<unknown> {
    const headers = { 'x-consul-token': MANAGEMENT }
    const response = await fetch(`http://${this.plane.httpAddress}${path}`, { method: 'PUT', body: JSON.stringify(body), headers })
    const text = await response.text()
    expect(response.status, `${path}: ${text}`).toBe(200)
    return text === '' ? undefined : JSON.parse(text)
  }

  dataplane(options: Omit<DataplaneOptions, 'grpcAddress'>): Promise<Dataplane> {
    return Dataplane.start({ grpcAddress: this.plane.grpcAddress, ...options })
  }

  /** Through the sidecars of `web` and `api`, started by dataplanes. */
  async answers(api: Dataplane, web: Dataplane): Promise<void> {
    const response = await until(
      'an answer through both',
      async () => {
        if (api.ended || web.ended) throw new Error(`a dataplane ended:\n${api.output}\n${web.output}`)
        const got = await fetchOnce(this.upstreamPort)
        return got.status === 200 ? got : undefined
      },
      WITHIN_MS,
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${api.output}\n${web.output}`)
    })
    expect(response.body).toBe('from the mesh')
  }

  async stop(): Promise<void> {
    await stopDataplanes()
    await this.plane.stop()
    await this.origin.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** What a dataplane's DNS port says to `name`: addresses, or the code of the error. */
async function dnsAnswer(port: number, name: string): Promise<string> {
  const resolver = new Resolver({ timeout: 1_000, tries: 1 })
  resolver.setServers([`127.0.0.1:${port}`])
  return resolver.resolve4(name).then(
    addresses => addresses.join(),
    (error: NodeJS.ErrnoException) => error.code!,
  )
}

const untilDns = (dataplane: Dataplane, name: string, wanted: string): Promise<unknown> =>
  until(`${name} is ${wanted}`, async () => {
    const answer = await dnsAnswer(dataplane.dnsPort, name)
    return answer === wanted || Promise.reject(new Error(`${answer}\n${dataplane.output}`))
  })

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
    await until('its end', () => nobody.ended)
    expect(nobody.output).toContain('Service not found')
  })
})

describe.skipIf(dataplaneBin === undefined)('the unmodified consul-dataplane (DATAPLANE_BIN), with ACLs and TLS', () => {
  const ca = new AnyCa('gRPC CA')
  const server = ca.leaf({ dns: ['server.dc1.consul'], usages: ['serverAuth'] })
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
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
  const bearer = (service: string): Promise<string> =>
    new SignJWT({ service })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer('https://ci')
      .setAudience('mesh')
      .setIssuedAt()
      .setExpirationTime('10m')
      .sign(keys.privateKey)
  const tokenOf = async (grants: object): Promise<string> =>
    ((await mesh.put('/v1/acl/token', grants)) as { readonly SecretID: string }).SecretID

  beforeAll(async () => {
    writeFileSync(join(mesh.dir, 'ca.pem'), ca.pem)
    await mesh.start()
    await mesh.put('/v1/acl/auth-method', {
      Name: 'ci',
      Type: 'jwt',
      Config: {
        JWTValidationPubKeys: [keys.publicKey.export({ type: 'spki', format: 'pem' }).toString()],
        JWTSupportedAlgs: ['ES256'],
        BoundIssuer: 'https://ci',
        BoundAudiences: ['mesh'],
        ClaimMappings: { service: 'service' },
      },
    })
    await mesh.put('/v1/acl/binding-rule', { AuthMethod: 'ci', BindType: 'service', BindName: ['$', '{value.service}'].join('') })
  })
  afterAll(() => mesh.stop())

  it.each(proxies)('%s: api by login, web by a token of its own', async (_name, front) => {
    if (front === undefined) return
    const token = await tokenOf({ ServiceIdentities: [{ ServiceName: 'web' }] })
    const api = await mesh.dataplane({ proxyId: 'api-sidecar-proxy', executable: proxyBin, flags: withLogin(await bearer('api')) })
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
    ['a bearer token of another service', async () => withLogin(await bearer('web')), 'lacks permission \'service:write\' on \\"api\\"'],
    ['half a bearer token', async () => withLogin((await bearer('api')).slice(0, 40)), 'Permission denied'],
  ])('is told what it lacks: %s, and the others go on', async (_what, flags, reason) => {
    const refused = await mesh.dataplane({ proxyId: 'api-sidecar-proxy', executable: proxyBin, flags: await flags() })
    await until(
      `"${reason}"`,
      () => refused.output.replaceAll('\\"', '"').includes(reason.replaceAll('\\"', '"')) || Promise.reject(new Error(refused.output)),
    )
    await refused.stop()
  })
})
