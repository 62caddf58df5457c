// JWT authentication end to end, with tokens that jose signs: jwt_authn with local and remote JWKS (remote through a cluster of the
// proxy), its metadata in RBAC rules, and the same from the control plane's jwt-provider and intentions.
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Http1Client } from '../support/http1-client.js'
import { MeshFixture, type Registered } from '../support/mesh-fixture.js'
import { HttpOrigin, http } from '../support/origins.js'
import {
  freePort,
  hcm,
  httpRbac,
  listener,
  ProxyProcess,
  router,
  routesTo,
  staticCluster,
  stopAll,
  typed,
} from '../support/proxy-process.js'

const origin = new HttpOrigin((_, socket) => void socket.write(http('ok')))
let jwks = ''
const keys = new HttpOrigin((_, socket) => void socket.write(http(jwks, '200 OK', { 'content-type': 'application/json' })))
const mesh = new MeshFixture()
type PrivateKey = Awaited<ReturnType<typeof generateKeyPair>>['privateKey']
let signing: PrivateKey
let stranger: PrivateKey
const ports = { local: 0, remote: 0, late: 0 }
let api: Registered

async function token(claims: JWTPayload = {}, key = signing, kid = 'k1'): Promise<string> {
  const jwt = new SignJWT({ iss: 'https://issuer', aud: 'mesh', ...claims }).setProtectedHeader({ alg: 'ES256', kid }).setIssuedAt()
  return claims.exp === undefined ? await jwt.setExpirationTime('1h').sign(key) : await jwt.sign(key)
}

async function jwk(pair: Awaited<ReturnType<typeof generateKeyPair>>, kid: string): Promise<object> {
  return { ...(await exportJWK(pair.publicKey)), kid, alg: 'ES256', use: 'sig' }
}

beforeAll(async () => {
  await origin.listen()
  await keys.listen()
  const pair = await generateKeyPair('ES256', { extractable: true })
  const other = await generateKeyPair('ES256')
  signing = pair.privateKey
  stranger = other.privateKey
  jwks = JSON.stringify({ keys: [await jwk(pair, 'k1')] })
  for (const name of ['local', 'remote', 'late'] as const) ports[name] = await freePort()
  const down = await freePort()
  const provider = (source: object): object => ({
    issuer: 'https://issuer',
    audiences: ['mesh'],
    payload_in_metadata: 'payload',
    forward: false,
    ...source,
  })
  const authn = (source: object): object =>
    typed('envoy.filters.http.jwt_authn', 'filters.http.jwt_authn.v3.JwtAuthentication', {
      providers: { p: provider(source) },
      rules: [{ match: { prefix: '/open' } }, { match: { prefix: '/' }, requires: { provider_name: 'p' } }],
    })
  const admins = httpRbac({
    action: 'DENY',
    policies: {
      'admins only': {
        permissions: [{ and_rules: { rules: [{ url_path: { path: { prefix: '/admin' } } }] } }],
        principals: [
          {
            not_id: {
              metadata: {
                filter: 'envoy.filters.http.jwt_authn',
                path: [{ key: 'payload' }, { key: 'role' }],
                value: { string_match: { exact: 'admin' } },
              },
            },
          },
        ],
      },
    },
  })
  const remote = (cluster: string): object => ({
    remote_jwks: { http_uri: { uri: 'http://keys/jwks', cluster, timeout: '10s' }, cache_duration: '300s' },
  })
  const front = (name: 'local' | 'remote' | 'late', source: object): object =>
    listener(name, ports[name], [hcm({ stat_prefix: name, route_config: routesTo('app') }, [authn(source), admins, router])])
  await ProxyProcess.start({
    bootstrap: {
      static_resources: {
        listeners: [
          front('local', { local_jwks: { inline_string: jwks } }),
          front('remote', remote('keys')),
          front('late', remote('down')),
        ],
        clusters: [staticCluster('app', origin.port), staticCluster('keys', keys.port), staticCluster('down', down)],
      },
    },
  })

  await mesh.start()
  await mesh.write('/v1/config', {
    Kind: 'jwt-provider',
    Name: 'issuer',
    Issuer: 'https://issuer',
    Audiences: ['mesh'],
    JSONWebKeySet: { Local: { JWKS: Buffer.from(jwks).toString('base64') } },
  })
  api = await mesh.register('api', { name: 'api', port: origin.port })
  for (const name of ['web', 'batch']) await mesh.register(name, { name })
  await mesh.intention('api', [
    {
      Name: 'web',
      Permissions: [
        {
          Action: 'allow',
          HTTP: { PathPrefix: '/admin' },
          JWT: { Providers: [{ Name: 'issuer', VerifyClaims: [{ Path: ['role'], Value: 'admin' }] }] },
        },
        { Action: 'allow', HTTP: { PathPrefix: '/items' }, JWT: { Providers: [{ Name: 'issuer' }] } },
        { Action: 'allow', HTTP: { PathPrefix: '/open' } },
      ],
    },
    { Name: 'batch', Action: 'allow' },
  ])
  await mesh.sidecar('api')
})
afterAll(async () => {
  await stopAll()
  await mesh.stop()
  await origin.close()
  await keys.close()
})

async function ask(port: number, path: string, bearer?: string): Promise<{ status: number; body: string }> {
  const client = await Http1Client.connect(port)
  const answer = await client.get(path, bearer === undefined ? {} : { authorization: `Bearer ${bearer}` })
  client.destroy()
  return answer
}

describe.each(['local', 'remote'] as const)('jwt_authn with %s JWKS', kind => {
  it('lets a good token pass without forwarding it, and needs none where no rule asks', async () => {
    expect((await ask(ports[kind], '/open')).status).toBe(200)
    expect((await ask(ports[kind], '/items', await token())).status).toBe(200)
    expect(origin.requests.at(-1)!.headers.get('authorization')).toBeUndefined()
  })

  it('refuses a missing, expired, foreign, tampered or wrongly addressed token with 401 and Envoy’s words', async () => {
    const seen = origin.requests.length
    const good = await token()
    const [head, , signature] = good.split('.') as [string, string, string]
    const forged = Buffer.from(JSON.stringify({ iss: 'https://issuer', aud: 'mesh', role: 'admin', exp: 4e9 })).toString('base64url')
    const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url')
    const answers = [
      await ask(ports[kind], '/items'),
      await ask(ports[kind], '/items', await token({ exp: 1_000_000 })),
      await ask(ports[kind], '/items', await token({}, stranger)),
      await ask(ports[kind], '/items', `${head}.${forged}.${signature}`),
      await ask(ports[kind], '/items', `${none}.${forged}.`),
      await ask(ports[kind], '/items', await token({ aud: 'elsewhere' })),
      await ask(ports[kind], '/items', await token({ iss: 'https://evil' })),
    ]
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 403, 401])
    expect(answers[0]!.body).toBe('Jwt is missing')
    expect(answers[1]!.body).toBe('Jwt is expired')
    expect(answers[2]!.body).toBe('Jwt verification fails')
    expect(answers[5]!.body).toBe('Audiences in Jwt are not allowed')
    expect(origin.requests.length).toBe(seen)
  })

  it('gives its claims to the RBAC rules behind it', async () => {
    expect((await ask(ports[kind], '/admin', await token())).status).toBe(403)
    expect((await ask(ports[kind], '/admin', await token({ role: 'user' }))).status).toBe(403)
    expect((await ask(ports[kind], '/admin', await token({ role: 'admin' }))).status).toBe(200)
  })
})

describe('remote JWKS', () => {
  it('is fetched once and kept', async () => {
    await ask(ports.remote, '/items', await token())
    const fetched = keys.requests.length
    for (let i = 0; i < 5; i++) expect((await ask(ports.remote, '/items', await token())).status).toBe(200)
    expect(keys.requests.length).toBe(fetched)
    expect(keys.requests[0]!.path).toBe('/jwks')
  })

  it('fails closed when it cannot be fetched', async () => {
    const answer = await ask(ports.late, '/items', await token({ role: 'admin' }))
    expect([answer.status, answer.body]).toEqual([401, 'Jwks remote fetch is failed'])
    expect((await ask(ports.late, '/open')).status).toBe(200)
  })
})

describe('intentions with JWT', () => {
  const from = async (service: string, path: string, bearer?: string): Promise<number> => {
    const { cert, key, ca } = await mesh.leaf(service)
    const client = await Http1Client.connect(api.publicPort, { cert, key, ca })
    const { status } = await client.get(path, bearer === undefined ? {} : { authorization: `Bearer ${bearer}` })
    client.destroy()
    return status
  }

  it('ask for the token where the permission does, and only there', async () => {
    expect(await from('web', '/open')).toBe(200)
    expect(await from('web', '/items')).toBe(403)
    expect(await from('web', '/items', await token())).toBe(200)
    expect(await from('web', '/admin', await token())).toBe(403)
    expect(await from('web', '/admin', await token({ role: 'admin' }))).toBe(200)
    expect(await from('batch', '/admin')).toBe(200)
  })

  it('refuse a bad token, whatever it claims', async () => {
    const expired = await token({ role: 'admin', exp: 1_000_000 })
    const foreign = await token({ role: 'admin' }, stranger)
    for (const bad of [expired, foreign, 'x.y.z']) {
      expect([401, 403]).toContain(await from('web', '/admin', bad))
      expect([401, 403]).toContain(await from('web', '/items', bad))
    }
  })

  it('explain says that the token is missing', async () => {
    const text = await mesh.outrigger('explain', '--from', 'web', '--to', 'api', '--method', 'GET', '--path', '/items')
    expect(text).toMatch(/^denied: web -> api GET \/items/)
    expect(text).toContain('needs a valid JWT')
  })
})
