// Our sidecars under a real Consul (CONSUL_BIN; skipped by name without it): `consul connect envoy` starts one, the bootstraps it prints
// start the others, and all that Consul sends is taken. Identity, intentions, JWT, splits, routes, failover, CA rotation, a restart.
import net from 'node:net'
import tls from 'node:tls'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ConsulAgent, consulBin } from '../support/consul-agent.js'
import { type Answer, fetchOnce, Http1Client } from '../support/http1-client.js'
import { EchoOrigin, HttpOrigin, http } from '../support/origins.js'
import { MatrixClient, MatrixOrigin } from '../support/protocol-matrix.js'
import { freePort, type ProxyProcess, stopAll, until } from '../support/proxy-process.js'

/** An application that says what reached it. */
const app = (name: string): HttpOrigin =>
  new HttpOrigin((request, socket) => {
    const status = request.headers.get('x-want-status') ?? '200 OK'
    const body = JSON.stringify({ app: name, path: request.path, headers: Object.fromEntries(request.headers) })
    socket.write(http(body, status, { 'x-app': name }))
  })

interface Seen {
  readonly app: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}
const seen = (answer: Answer): Seen => JSON.parse(answer.body)

describe.skipIf(consulBin === undefined)('a real Consul', { timeout: 150_000 }, () => {
  const v1 = app('v1')
  const v2 = app('v2')
  const other = app('other')
  const echo = new EchoOrigin()
  const h2 = new MatrixOrigin((request, response) => response.end(`${request.httpVersion} ${request.headers['x-forwarded-client-cert']}`))
  const upstreams = new Map<string, number>()
  const publicPorts = new Map<string, number>()
  const proxies = new Map<string, ProxyProcess>()
  let consul: ConsulAgent
  let trustDomain: string

  const port = (name: string): number => upstreams.get(name)!
  const get = (path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> => fetchOnce(port('api'), path, headers)
  const untilStatus = (status: number, path: string, withinMs?: number): Promise<unknown> =>
    until(
      `${path} answers ${status}`,
      async () => {
        const answer = await get(path)
        return answer.status === status || Promise.reject(new Error(`${answer.status} ${answer.body.slice(0, 100)}`))
      },
      withinMs,
    )
  const untilApp = (name: string): Promise<unknown> => until(`${name} answers`, async () => seen(await get('/')).app === name)

  async function service(id: string, name: string, appPort: number, version = '', needs: readonly string[] = []): Promise<void> {
    publicPorts.set(id, await freePort())
    for (const need of needs) upstreams.set(need, await freePort())
    const sidecar = {
      Address: '127.0.0.1',
      Port: publicPorts.get(id),
      // Without Consul's own check of the port, which is critical until it has run for the first time.
      Checks: [{ Name: 'as the service', AliasService: id }],
      Proxy: { Upstreams: needs.map(need => ({ DestinationName: need, LocalBindPort: port(need) })) },
    }
    const checks = [{ CheckID: `alive-${id}`, Name: 'alive', TTL: '10h', Status: 'passing' }]
    const common = { ID: id, Name: name, Address: '127.0.0.1', Port: appPort, Meta: { version }, Checks: checks }
    await consul.register({ ...common, Connect: { SidecarService: sidecar } })
    // Said once by the service itself, so that an agent that restarts remembers it.
    await consul.put(`/v1/agent/check/pass/alive-${id}`)
  }

  /** Who signed the certificate that a sidecar shows to the mesh. */
  function issuerOf(id: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = tls.connect({ port: publicPorts.get(id)!, host: '127.0.0.1', rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerX509Certificate()?.issuer))
        socket.destroy()
      })
      socket.once('error', reject)
    })
  }

  async function refused(): Promise<string[]> {
    const found: string[] = []
    for (const [id, proxy] of proxies)
      for (const [name, value] of await proxy.stats())
        if (name.endsWith('update_rejected') && value > 0) found.push(`${id} ${name} ${value}`)
    return found
  }

  beforeAll(async () => {
    for (const origin of [v1, v2, other, echo, h2]) await origin.listen()
    consul = await new ConsulAgent().start({ default_intention_policy: 'deny' })
    trustDomain = (await consul.api('GET', '/v1/connect/ca/roots')).TrustDomain
    await consul.entry('proxy-defaults', 'global', { Config: { protocol: 'http' }, AccessLogs: { Enabled: true } })
    await consul.entry('service-defaults', 'db', { Protocol: 'tcp' })
    await consul.entry('service-defaults', 'h2', { Protocol: 'http2' })
    await service('web', 'web', 1, '', ['api', 'db', 'h2'])
    await service('api1', 'api', v1.port, 'v1')
    await service('api2', 'api', v2.port, 'v2')
    await service('other', 'other', other.port)
    await service('db', 'db', echo.port)
    await service('h2', 'h2', h2.port(2))
    for (const name of ['api', 'other', 'db', 'h2']) await consul.intention(name, [{ Name: 'web', Action: 'allow' }])
    const version = (meta: string): object => ({ Filter: `Service.Meta.version == ${meta}` })
    await consul.entry('service-resolver', 'api', {
      DefaultSubset: 'v1',
      Subsets: { v1: version('v1'), v2: version('v2') },
      Failover: { v1: { ServiceSubset: 'v2' } },
    })
    proxies.set('web', await consul.launch(['-sidecar-for', 'web']))
    const rest = ['api1', 'api2', 'other', 'db', 'h2']
    for (const id of rest) proxies.set(id, await consul.sidecar(`${id}-sidecar-proxy`))
    await untilStatus(200, '/')
  }, 120_000)

  afterAll(async () => {
    await stopAll()
    await consul?.stop()
    for (const origin of [v1, v2, other, echo, h2]) await origin.close()
  })

  it('carries HTTP/1, HTTP/2 and TCP, each with the identity of the caller', async () => {
    const uri = `URI=spiffe://${trustDomain}/ns/default/dc/dc1/svc/web`
    const { headers } = seen(await get('/hello', { 'x-forwarded-client-cert': 'By=evil' }))
    expect(headers['x-forwarded-client-cert']).toContain(uri)
    expect(headers['x-forwarded-client-cert']).toContain(`By=spiffe://${trustDomain}/ns/default/dc/dc1/svc/api;`)
    expect(headers['x-forwarded-client-cert']).not.toContain('evil')
    const client = new MatrixClient(2, port('h2'))
    const reply = await until('HTTP/2', async () => {
      const reply = await client.ask({ path: '/h2' })
      return reply.status === 200 ? reply : null
    })
    client.close()
    expect(reply.body.toString()).toMatch(/^2\.0 /)
    expect(reply.body.toString()).toContain(uri)
    expect(await until('TCP', () => exchange(port('db')))).toBe('ping')
  })

  it('follows intentions: by path, method and header, by JWT, and for a live TCP connection', async () => {
    const rule = (Action: string, HTTP: object): object => ({ Action, HTTP })
    const header = [{ Name: 'x-key', Exact: 'k' }]
    const permissions = [rule('deny', { PathPrefix: '/admin' }), rule('allow', { PathPrefix: '/', Methods: ['GET'], Header: header })]
    await consul.intention('api', [{ Name: 'web', Permissions: permissions }])
    await untilStatus(403, '/')
    expect((await get('/', { 'x-key': 'k' })).status).toBe(200)
    const denied = await get('/x/../admin', { 'x-key': 'k' })
    expect([denied.status, denied.body]).toEqual([403, 'RBAC: access denied'])

    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
    const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' }] }
    const jwks = Buffer.from(JSON.stringify(keys)).toString('base64')
    await consul.entry('jwt-provider', 'people', { Issuer: 'https://people', JSONWebKeySet: { Local: { JWKS: jwks } } })
    const claims = [{ Path: ['role'], Value: 'admin' }]
    const providers = { Providers: [{ Name: 'people', VerifyClaims: claims }] }
    await consul.intention('api', [{ Name: 'web', Permissions: [{ ...rule('allow', { PathPrefix: '/' }), JWT: providers }] }])
    const token = async (role: string): Promise<Readonly<Record<string, string>>> => {
      const jwt = new SignJWT({ role }).setProtectedHeader({ alg: 'ES256', kid: 'one' }).setIssuer('https://people')
      return { authorization: `Bearer ${await jwt.setExpirationTime('1h').sign(privateKey)}` }
    }
    const admin = await token('admin')
    await until('the token counts', async () => (await get('/', admin)).status === 200)
    expect((await get('/', await token('user'))).status).toBe(403)
    expect((await get('/')).status).toBe(403)
    await consul.intention('api', [{ Name: 'web', Action: 'allow' }])
    await untilStatus(200, '/')

    const live = net.connect(port('db'), '127.0.0.1')
    live.on('error', () => {})
    live.write('live')
    await new Promise(resolve => live.once('data', resolve))
    const closed = new Promise(resolve => live.once('close', resolve))
    await consul.intention('db', [{ Name: 'web', Action: 'deny' }])
    await closed
    await until('nobody new', async () => (await exchange(port('db'))) === '')
    await consul.intention('db', [{ Name: 'web', Action: 'allow' }])
  })

  it('routes, rewrites and retries by service-router', async () => {
    const change = { Set: { 'x-added': 'yes' }, Remove: ['x-removed'] }
    const elsewhere = { Service: 'other', PrefixRewrite: '/new', RequestHeaders: change, ResponseHeaders: { Remove: ['x-app'] } }
    const retry = { NumRetries: 2, RetryOnStatusCodes: [418] }
    await consul.entry('service-router', 'api', {
      Routes: [
        { Match: { HTTP: { PathPrefix: '/old', QueryParam: [{ Name: 'q', Exact: '1' }] } }, Destination: elsewhere },
        { Match: { HTTP: { PathRegex: '/v[0-9]+' } }, Destination: { ServiceSubset: 'v2' } },
        { Match: { HTTP: { PathExact: '/retry' } }, Destination: retry },
      ],
    })
    const answer = await until('the route', async () => {
      const answer = await get('/old/x?q=1', { 'x-removed': '1' })
      return seen(answer).app === 'other' ? answer : null
    })
    expect(seen(answer)).toMatchObject({ path: '/new/x?q=1', headers: { 'x-added': 'yes' } })
    expect(seen(answer).headers['x-removed']).toBeUndefined()
    expect(answer.headers.has('x-app')).toBe(false)
    expect(seen(await get('/old')).app).toBe('v1')
    expect(seen(await get('/v12')).app).toBe('v2')
    const before = v1.requests.length
    expect((await get('/retry', { 'x-want-status': '418 Teapot' })).status).toBe(418)
    expect(v1.requests.length - before).toBe(3)
  })

  it('fails over to another subset while a health check fails, and comes back', async () => {
    await consul.put('/v1/agent/check/fail/alive-api1')
    await untilApp('v2')
    await consul.put('/v1/agent/check/pass/alive-api1')
    await untilApp('v1')
    await consul.put('/v1/agent/service/maintenance/api1?enable=true')
    await untilApp('v2')
    await consul.put('/v1/agent/service/maintenance/api1?enable=false')
    await untilApp('v1')
  })

  it('moves a canary and rotates the root of the CA under traffic: no request fails', async () => {
    const failures: string[] = []
    let sent = 0
    let stopped = false
    const loop = async (keepAlive: boolean): Promise<void> => {
      let client: Http1Client | null = null
      while (!stopped) {
        try {
          client ??= await Http1Client.connect(port('api'))
          const answer = await client.get('/')
          sent++
          if (answer.status !== 200) failures.push(`${answer.status} ${answer.body}`)
          if (!keepAlive || answer.headers.get('connection') === 'close') {
            client.destroy()
            client = null
          }
        } catch (error) {
          failures.push((error as Error).message)
          client = null
        }
        await new Promise(resolve => setTimeout(resolve, 5))
      }
      client?.destroy()
    }
    const more = async (): Promise<void> => {
      const target = sent + 50
      await until('more requests', () => sent >= target || failures.length > 0)
    }
    const loops = [loop(true), loop(true), loop(false)]
    await more()
    for (const weight of [0, 50]) {
      const splits = [
        { Weight: weight, ServiceSubset: 'v1' },
        { Weight: 100 - weight, ServiceSubset: 'v2' },
      ]
      await consul.entry('service-splitter', 'api', { Splits: splits })
      const reached = v2.requests.length
      await until('the canary has traffic', () => v2.requests.length > reached + 5)
    }
    const legs = ['api1', 'api2'] as const
    const before = await Promise.all(legs.map(issuerOf))
    const { Config } = await consul.api('GET', '/v1/connect/ca/configuration')
    await consul.put('/v1/connect/ca/configuration', {
      Provider: 'consul',
      Config: { ...Config, PrivateKeyType: 'ec', PrivateKeyBits: 384 },
    })
    // Consul renews each leaf within half a minute, at random: one leg is enough.
    const renewed = async (): Promise<boolean> => (await Promise.all(legs.map(issuerOf))).some((issuer, i) => issuer !== before[i])
    await until('a leaf of the new root', renewed, 60_000)
    await more()
    stopped = true
    await Promise.all(loops)
    expect(failures).toEqual([])
  })

  it('runs as a mesh gateway, which passes TLS through by its server name', async () => {
    const gateway = await freePort()
    await consul.register({ Kind: 'mesh-gateway', ID: 'gateway', Name: 'gateway', Address: '127.0.0.1', Port: gateway })
    proxies.set('gateway', await consul.sidecar('gateway'))
    const leaf = await consul.api('GET', '/v1/agent/connect/ca/leaf/web')
    const identity = { cert: leaf.CertPEM, key: leaf.PrivateKeyPEM, servername: `other.default.dc1.internal.${trustDomain}` }
    const answer = await until('other answers', async () => fetchOnce(gateway, '/', {}, identity))
    expect(seen(answer).app).toBe('other')
  })

  it('goes on while Consul is gone, and takes its config again afterwards', async () => {
    await consul.kill()
    await proxies.get('web')!.untilLog('control plane stream ended')
    expect((await get('/')).status).toBe(200)
    await consul.start()
    // The sidecars try again after up to 30 s, and Consul itself takes the upstream listeners back until it has read its state again.
    const deny = (): Promise<unknown> =>
      consul.intention('api', [{ Name: 'web', Permissions: [{ Action: 'allow', HTTP: { PathPrefix: '/only' } }] }])
    await until('Consul takes writes', () => deny().then(() => true))
    await untilStatus(403, '/', 90_000)
    await untilStatus(200, '/only', 20_000)
  })

  it('had nothing to refuse in all of this', async () => {
    expect(await refused()).toEqual([])
  })
})

/** What comes back for `ping`, '' when the connection is closed instead. */
function exchange(port: number): Promise<string> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('ping'))
    socket.on('data', data => {
      resolve(String(data))
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(''))
  })
}
