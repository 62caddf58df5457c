// A control plane with `api` and `web` for dataplanes, real ones and ours, and what is asked through them. Used by
// test/integration/consul-dataplane.test.ts and sidecar-under-consul.test.ts.
import { generateKeyPairSync } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { expect } from 'vitest'
import { ControlPlane, type ControlPlaneOptions } from '../../src/control/control-plane.js'
import { Dataplane, type DataplaneOptions, stopDataplanes } from './dataplane.js'
import { fetchOnce } from './http1-client.js'
import { HttpOrigin, http } from './origins.js'
import { freePort, until } from './proxy-process.js'

const WITHIN_MS = 60_000
export const MANAGEMENT = '0e8f5a10-6a34-4a54-9d5b-0d5b2d7c6a01'

/** A control plane with `api` and `web`, whose sidecar has an upstream to `api`. */
export class DataplaneMesh {
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

  /** Through the sidecars of `web` and `api`, started by dataplanes. What is asked before that of `api` serves would have it ejected for 30 s. */
  async answers(api: Dataplane, web: Dataplane): Promise<void> {
    await until('the sidecar of api', async () => (await fetchOnce(api.adminPort, '/ready')).status === 200, WITHIN_MS)
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
export async function dnsAnswer(port: number, name: string): Promise<string> {
  const resolver = new Resolver({ timeout: 1_000, tries: 1 })
  resolver.setServers([`127.0.0.1:${port}`])
  return resolver.resolve4(name).then(
    addresses => addresses.join(),
    (error: NodeJS.ErrnoException) => error.code!,
  )
}

export const untilDns = (dataplane: Dataplane, name: string, wanted: string): Promise<unknown> =>
  until(`${name} is ${wanted}`, async () => {
    const answer = await dnsAnswer(dataplane.dnsPort, name)
    return answer === wanted || Promise.reject(new Error(`${answer}\n${dataplane.output}`))
  })

/** The auth method `ci`: whoever brings a token of it is the service that the token names. */
export class CiLogins {
  private readonly keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })

  async addTo(mesh: DataplaneMesh): Promise<void> {
    await mesh.put('/v1/acl/auth-method', {
      Name: 'ci',
      Type: 'jwt',
      Config: {
        JWTValidationPubKeys: [this.keys.publicKey.export({ type: 'spki', format: 'pem' }).toString()],
        JWTSupportedAlgs: ['ES256'],
        BoundIssuer: 'https://ci',
        BoundAudiences: ['mesh'],
        ClaimMappings: { service: 'service' },
      },
    })
    await mesh.put('/v1/acl/binding-rule', { AuthMethod: 'ci', BindType: 'service', BindName: ['$', '{value.service}'].join('') })
  }

  bearer(service: string): Promise<string> {
    return new SignJWT({ service })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer('https://ci')
      .setAudience('mesh')
      .setIssuedAt()
      .setExpirationTime('10m')
      .sign(this.keys.privateKey)
  }
}
