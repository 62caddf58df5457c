// ACLs through the real HTTP and xDS ports: who is asked for what, what lists hide, the answers in Consul's words. That no route is without
// a rule is asserted when the server is built, so a route that is forgotten fails every case here.
import { generateKeyPairSync } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../../src/control/control-plane.js'
import { TestSidecar } from '../test-sidecar.js'

const MANAGEMENT = '8a1f0a3e-7f0b-4a70-9d0b-9b5f5a2b7c11'
let plane: ControlPlane

beforeAll(async () => {
  plane = new ControlPlane({
    httpAddr: '127.0.0.1:0',
    grpcAddr: '127.0.0.1:0',
    nodeName: 'n1',
    acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT },
  })
  await plane.start()
  for (const name of ['web', 'api', 'db'])
    await call('PUT', '/v1/agent/service/register', MANAGEMENT, {
      Name: name,
      Port: 80,
      Check: { TTL: '10m', Status: 'passing' },
      Connect: { SidecarService: {} },
    })
})
afterAll(() => plane.stop())

async function call(
  method: string,
  path: string,
  token?: string,
  body?: unknown,
): Promise<{ status: number; body: unknown; headers: Headers }> {
  const response = await fetch(`http://${plane.httpAddress}${path}`, {
    method,
    headers: token === undefined ? {} : { 'x-consul-token': token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const json = response.headers.get('content-type')?.includes('json') === true
  return { status: response.status, body: json && text !== '' ? JSON.parse(text) : text, headers: response.headers }
}

async function tokenWith(rules: string): Promise<string> {
  const name = `p-${Math.abs([...rules].reduce((hash, char) => (hash * 31 + char.charCodeAt(0)) | 0, 7))}`
  await call('PUT', '/v1/acl/policy', MANAGEMENT, { Name: name, Rules: rules })
  const { body } = await call('PUT', '/v1/acl/token', MANAGEMENT, { Policies: [{ Name: name }] })
  return (body as { SecretID: string }).SecretID
}

it.each([
  ['/v1/snapshot', 'aaaaaaaa-0000-0000-0000-00000000000f', 'ACL not found'],
  ['/v1/snapshot', undefined, "lacks permission 'acl:write'"],
  ['/v1/kv/a', undefined, 'lacks permission'],
])('the body of PUT %s is not waited for where the token may not write it', async (path, token, reason) => {
  const { hostname, port } = new URL(`http://${plane.httpAddress}`)
  const headers = { 'content-length': 2_000_000, ...(token !== undefined && { 'x-consul-token': token }) }
  const asked = request({ hostname, port, path, method: 'PUT', headers })
  asked.on('error', () => {})
  asked.flushHeaders()
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  expect([answer.statusCode, await text(answer)]).toEqual([403, expect.stringContaining(reason)])
  asked.destroy()
})

describe('what installers count on', () => {
  it('500 and Consul’s words for what is there already, 400 for what can’t be read', async () => {
    const rules = 'service "a" { policy = "read" }'
    expect((await call('PUT', '/v1/acl/policy', MANAGEMENT, { Name: 'k8s/one', Rules: rules })).status).toBe(200)
    expect(await call('PUT', '/v1/acl/policy', MANAGEMENT, { Name: 'k8s/one', Rules: rules })).toMatchObject({
      status: 500,
      body: 'Invalid Policy: A Policy with Name "k8s/one" already exists',
    })
    expect((await call('GET', '/v1/acl/policy/name/k8s/one', MANAGEMENT)).body).toMatchObject({ Name: 'k8s/one', Rules: rules })
    expect(await call('PUT', '/v1/acl/token', MANAGEMENT, { Policies: [{ Name: 'nope' }] })).toMatchObject({ status: 500 })
    expect(await call('PUT', '/v1/acl/policy', MANAGEMENT, { ID: 'x', Name: 'y' })).toMatchObject({
      status: 400,
      body: 'Cannot specify the ID when creating a new policy',
    })
    expect(await call('PUT', '/v1/acl/policy', MANAGEMENT, { Name: 7 })).toMatchObject({ status: 400, body: 'Name: must be a string' })
    expect(await call('PUT', '/v1/acl/token/00000000-1111-0000-0000-000000000000', MANAGEMENT, {})).toMatchObject({
      status: 500,
      body: 'cannot find token 00000000-1111-0000-0000-000000000000',
    })
  })

  it('an auth method that is written again is the newer one, of the same type', async () => {
    const { publicKey } = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    const method = { Name: 'again', Type: 'jwt', Config: { JWTValidationPubKeys: [publicKey] } }
    expect((await call('PUT', '/v1/acl/auth-method', MANAGEMENT, method)).status).toBe(200)
    expect((await call('PUT', '/v1/acl/auth-method', MANAGEMENT, { ...method, Description: 'newer' })).status).toBe(200)
    expect((await call('GET', '/v1/acl/auth-method/again', MANAGEMENT)).body).toMatchObject({ Description: 'newer' })
    expect(await call('PUT', '/v1/acl/auth-method', MANAGEMENT, { ...method, Type: 'kubernetes' })).toMatchObject({
      status: 500,
      body: 'Changing an auth method\'s type from "jwt" to "kubernetes" is not permitted.',
    })
  })

  it('the roles of one policy, the token of the query before that of a header', async () => {
    const { body } = await call('PUT', '/v1/acl/policy', MANAGEMENT, { Name: 'linked' })
    const { ID } = body as { ID: string }
    await call('PUT', '/v1/acl/role', MANAGEMENT, { Name: 'with', Policies: [{ ID }] })
    await call('PUT', '/v1/acl/role', MANAGEMENT, { Name: 'without' })
    const roles = (await call('GET', `/v1/acl/roles?policy=${ID}`, MANAGEMENT)).body as { Name: string }[]
    expect(roles.map(({ Name }) => Name)).toEqual(['with'])
    expect((await call('GET', `/v1/agent/self?token=${MANAGEMENT}`, 'nobody-knows-it')).status).toBe(200)
    expect((await call('GET', '/v1/agent/self?token=nobody-knows-it', MANAGEMENT)).status).toBe(403)
    expect((await call('GET', '/v1/agent/members', MANAGEMENT)).body).toMatchObject([{ Tags: { acls: '1' } }])
  })
})

describe('who is refused', () => {
  it('everybody without a token, with the permission that is lacking', async () => {
    const { status, body } = await call('GET', '/v1/agent/self')
    expect(status).toBe(403)
    expect(body).toBe(
      'Permission denied: anonymous token lacks permission \'agent:read\' on "n1". The anonymous token is used implicitly when a request does not specify a token.',
    )
  })

  it('a token that is not there', async () => {
    for (const token of ['nope', `${MANAGEMENT}x`, MANAGEMENT.toUpperCase()]) {
      const { status, body } = await call('GET', '/v1/catalog/services', token)
      expect([status, body]).toEqual([403, 'ACL not found'])
    }
  })

  it('a registration of another service, which is then not there', async () => {
    const token = await tokenWith('service "web" { policy = "write" }\nnode_prefix "" { policy = "read" }')
    const refused = await call('PUT', '/v1/agent/service/register', token, { Name: 'api', ID: 'api-2', Port: 81 })
    expect(refused.status).toBe(403)
    expect(refused.body).toMatch(/^Permission denied: token with AccessorID '[0-9a-f-]{36}' lacks permission 'service:write' on "api"$/)
    expect((await call('GET', '/v1/agent/service/api-2', MANAGEMENT)).status).toBe(404)
    expect((await call('PUT', '/v1/agent/service/register', token, { Name: 'web', ID: 'web-2', Port: 81 })).status).toBe(200)
    expect((await call('PUT', '/v1/agent/service/deregister/api', token)).status).toBe(403)
    expect((await call('PUT', '/v1/agent/service/deregister/web-2', token)).status).toBe(200)
  })

  it('writes of config entries by their kinds', async () => {
    const token = await tokenWith('service "web" { policy = "write" intentions = "write" }')
    const put = async (entry: object): Promise<number> => (await call('PUT', '/v1/config', token, entry)).status
    expect(await put({ Kind: 'service-defaults', Name: 'web', Protocol: 'http' })).toBe(200)
    expect(await put({ Kind: 'service-defaults', Name: 'api', Protocol: 'http' })).toBe(403)
    expect(await put({ Kind: 'service-intentions', Name: 'web', Sources: [{ Name: 'api', Action: 'allow' }] })).toBe(200)
    expect(await put({ Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'allow' }] })).toBe(403)
    expect(await put({ Kind: 'proxy-defaults', Name: 'global' })).toBe(403)
    expect(await put({ Kind: 'mesh' })).toBe(403)
  })

  it('intentions of a service that one may write, in the query, and of another, in the body', async () => {
    const token = await tokenWith('service "web" { policy = "write" intentions = "write" }\n# intentions')
    const post = async (query: string, body: object): Promise<number> =>
      (await call('POST', `/v1/connect/intentions${query}`, token, { SourceName: 'db', Action: 'allow', ...body })).status
    expect(await post('?destination=web', { DestinationName: 'api' })).toBe(403)
    expect(await post('', { destination_name: 'api', DestinationName: 'web' })).toBe(403)
    await post('', { destination_name: 'web', DestinationName: 'api' })
    expect((await call('GET', '/v1/connect/intentions/exact?source=db&destination=api', MANAGEMENT)).status).toBe(404)
    expect((await call('DELETE', '/v1/connect/intentions/exact?source=db&destination=web', token)).status).toBe(200)
    expect((await call('DELETE', '/v1/connect/intentions/exact?source=db&destination=web&destination=api', token)).status).toBe(403)
    expect(await post('', { DestinationName: 'default/web' })).toBe(200)
    expect((await call('DELETE', '/v1/connect/intentions/exact?source=db&destination=web', token)).status).toBe(200)
  })

  it('prepared queries by the names that they have and are to have; those without one are for who knows their id', async () => {
    const token = await tokenWith('query "mine" { policy = "write" }')
    const query = (Name: string): object => ({ Name, Service: { Service: 'web' } })
    const create = async (Name: string): Promise<string> =>
      ((await call('POST', '/v1/query', MANAGEMENT, query(Name))).body as { ID: string }).ID
    const [mine, theirs, nameless] = [await create('mine'), await create('theirs'), await create('')]
    const put = async (id: string, Name: string): Promise<number> => (await call('PUT', `/v1/query/${id}`, token, query(Name))).status
    expect(await put(theirs, 'mine-too')).toBe(403)
    expect(await put(theirs, '')).toBe(403)
    expect(await put(mine, 'another')).toBe(403)
    expect(await put(mine, 'mine')).toBe(200)
    expect((await call('GET', `/v1/query/${mine}/explain`, token)).status).toBe(200)
    expect((await call('GET', `/v1/query/${theirs}/explain`, token)).status).toBe(403)
    const listed = async (by: string): Promise<string[]> =>
      ((await call('GET', '/v1/query', by)).body as { ID: string }[]).map(({ ID }) => ID).sort()
    expect(await listed(token)).toEqual([mine])
    expect(await listed(MANAGEMENT)).toEqual([mine, theirs, nameless].sort())
    expect((await call('GET', `/v1/query/${nameless}`, token)).body).toHaveLength(1)
    expect((await call('DELETE', `/v1/query/${theirs}`, token)).status).toBe(403)
    expect((await call('DELETE', `/v1/query/${mine}`, token)).status).toBe(200)
  })

  it('sessions by the nodes that they are of', async () => {
    await call('PUT', '/v1/catalog/register', MANAGEMENT, { Node: 'n2', Address: '10.0.0.2' })
    const ofServer = await tokenWith('session "n1" { policy = "write" }')
    const ofNode = await tokenWith('session "n2" { policy = "write" }')
    const created = await call('PUT', '/v1/session/create', ofNode, { Node: 'n2', NodeChecks: [] })
    const { ID } = created.body as { ID: string }
    const end = [{ Session: { Verb: 'delete', Session: { ID } } }]
    for (const [path, body] of [
      [`/v1/session/renew/${ID}`, undefined],
      [`/v1/session/destroy/${ID}`, undefined],
      ['/v1/txn', end],
    ] as const)
      expect((await call('PUT', path, ofServer, body)).status, path).toBe(403)
    expect((await call('PUT', `/v1/session/renew/${ID}`, ofNode)).status).toBe(200)
    expect((await call('PUT', '/v1/txn', ofNode, end)).status).toBe(200)
  })

  it('whoever may write a service, and chooses the SPIFFE id that others know it by', async () => {
    const token = await tokenWith('service "web" { policy = "write" }')
    const of = async (by: string, method: string, path: string, body?: unknown): Promise<number> =>
      (await call(method, path, by, body)).status
    const entry = (id?: string) => ({
      Kind: 'service-defaults',
      Name: 'web',
      ...(id === undefined ? {} : { Meta: { outrigger_spiffe_id: id } }),
    })
    expect(await of(token, 'PUT', '/v1/config', entry('spiffe://example.org/api'))).toBe(403)
    expect(await of(token, 'PUT', '/v1/config', { kind: 'service-defaults', name: 'web', meta: { outrigger_spiffe_id: '' } })).toBe(403)
    expect(await of(token, 'PUT', '/v1/outrigger/config-entries', [entry('spiffe://example.org/api')])).toBe(403)
    expect(await of(MANAGEMENT, 'PUT', '/v1/config', entry('spiffe://example.org/web'))).toBe(200)
    expect(await of(token, 'PUT', '/v1/config', { ...entry('spiffe://example.org/web'), Protocol: 'http' })).toBe(200)
    expect(await of(token, 'PUT', '/v1/config', entry())).toBe(403)
    expect(await of(token, 'DELETE', '/v1/config/service-defaults/web')).toBe(403)
    expect(await of(MANAGEMENT, 'DELETE', '/v1/config/service-defaults/web')).toBe(200)
  })
})

describe('what lists show', () => {
  it('what may be seen, and say that there is more', async () => {
    const token = await tokenWith('service "web" { policy = "read" }\nnode_prefix "" { policy = "read" }')
    const services = await call('GET', '/v1/catalog/services', token)
    expect(services.body).toEqual({ web: [] })
    expect(services.headers.get('x-consul-results-filtered-by-acls')).toBe('true')
    expect(Object.keys((await call('GET', '/v1/agent/services', token)).body as object)).toEqual(['web'])
    expect((await call('GET', '/v1/health/service/api', token)).body).toEqual([])
    expect((await call('GET', '/v1/health/service/web', token)).body).toHaveLength(1)
    const nodeless = await tokenWith('service "web" { policy = "read" }\n# no nodes')
    expect((await call('GET', '/v1/health/service/web', nodeless)).body).toEqual([])
  })

  it('all of it to a management token', async () => {
    const { body, headers } = await call('GET', '/v1/catalog/services', MANAGEMENT)
    expect(Object.keys(body as object)).toEqual(expect.arrayContaining(['web', 'api', 'db']))
    expect(headers.has('x-consul-results-filtered-by-acls')).toBe(false)
  })
})

describe('/v1/acl', () => {
  it('is closed to who has no acl rule; secrets are for writers and owners', async () => {
    const reader = await tokenWith('acl = "read"')
    const nobody = await tokenWith('service "web" { policy = "read" }\n# nobody')
    expect((await call('GET', '/v1/acl/tokens', nobody)).status).toBe(403)
    const tokens = (await call('GET', '/v1/acl/tokens', reader)).body as { SecretID: string }[]
    expect(tokens.filter(({ SecretID }) => SecretID !== '<hidden>').map(({ SecretID }) => SecretID)).toEqual([reader])
    const self = (await call('GET', '/v1/acl/token/self', nobody)).body as { SecretID: string; AccessorID: string }
    expect(self.SecretID).toBe(nobody)
    expect((await call('PUT', `/v1/acl/token/${self.AccessorID}`, nobody, { Policies: [{ Name: 'global-management' }] })).status).toBe(403)
  })

  it('policies, roles and templates by id and by name, and what is not there', async () => {
    const { body } = await call('PUT', '/v1/acl/role', MANAGEMENT, { Name: 'ops', ServiceIdentities: [{ ServiceName: 'web' }] })
    const { ID } = body as { ID: string }
    expect((await call('GET', '/v1/acl/role/name/ops', MANAGEMENT)).body).toMatchObject({ ID, Name: 'ops' })
    expect((await call('GET', '/v1/acl/policy/name/global-management', MANAGEMENT)).body).toMatchObject({
      ID: '00000000-0000-0000-0000-000000000001',
    })
    expect((await call('GET', '/v1/acl/role/00000000-0000-0000-0000-0000000000ff', MANAGEMENT)).status).toBe(404)
    const preview = await call('POST', '/v1/acl/templated-policy/preview/builtin/service', MANAGEMENT, { Name: 'web' })
    expect((preview.body as { Rules: string }).Rules).toContain('service "web-sidecar-proxy"')
    expect((await call('PUT', '/v1/acl/bootstrap')).body).toMatch(
      /^Permission denied: ACL bootstrap no longer allowed \(reset index: \d+\)$/,
    )
  })

  it('answers that ACLs are off where they are', async () => {
    const open = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0' })
    await open.start()
    const response = await fetch(`http://${open.httpAddress}/v1/acl/tokens`)
    expect([response.status, await response.text()]).toEqual([401, 'ACL support disabled'])
    await open.stop()
  })
})

describe('sidecars', () => {
  it('need service:write on what they stand before, and lose their stream with it', async () => {
    const token = await tokenWith('service "web" { policy = "write" }\n# sidecar')
    const mine = new TestSidecar(plane.grpcAddress, 'web-sidecar-proxy', token)
    await mine.until(() => mine.listeners.size > 0)
    const foreign = new TestSidecar(plane.grpcAddress, 'api-sidecar-proxy', token)
    await foreign.until(() => foreign.error !== undefined)
    expect(foreign.error).toMatchObject({ code: 7, details: expect.stringMatching(/lacks permission 'service:write' on "api"/) })
    const unknown = new TestSidecar(plane.grpcAddress, 'web-sidecar-proxy', 'nope')
    await unknown.until(() => unknown.error !== undefined)
    expect(unknown.error).toMatchObject({ code: 16 })
    const self = (await call('GET', '/v1/acl/token/self', token)).body as { AccessorID: string }
    await call('DELETE', `/v1/acl/token/${self.AccessorID}`, MANAGEMENT)
    await mine.until(() => mine.error !== undefined)
    expect(mine.error).toMatchObject({ code: 16 })
    for (const sidecar of [mine, foreign, unknown]) sidecar.close()
  })
})

describe('the agent’s own tokens', () => {
  it('the default one speaks for requests without a token, and dns for the port, until they are taken away', async () => {
    const own = new ControlPlane({
      httpAddr: '127.0.0.1:0',
      grpcAddr: '127.0.0.1:0',
      nodeName: 'n1',
      acl: { defaultPolicy: 'deny', initialManagement: MANAGEMENT },
      dns: { address: { host: '127.0.0.1', port: 0 } },
    })
    await own.start()
    const ask = async (method: string, path: string, token?: string, body?: unknown): Promise<readonly [number, string]> => {
      const response = await fetch(`http://${own.httpAddress}${path}`, {
        method,
        headers: token === undefined ? {} : { 'x-consul-token': token },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      return [response.status, await response.text()]
    }
    const resolver = new Resolver()
    resolver.setServers([own.dnsAddress])
    const address = (): Promise<string> =>
      resolver.resolve4('web.service.consul').then(
        found => found.join(),
        (error: NodeJS.ErrnoException) => error.code!,
      )
    try {
      await ask('PUT', '/v1/agent/service/register', MANAGEMENT, { Name: 'web', Port: 80, Address: '10.0.0.9' })
      const [, created] = await ask('PUT', '/v1/acl/token', MANAGEMENT, { TemplatedPolicies: [{ TemplateName: 'builtin/dns' }] })
      const { SecretID, AccessorID } = JSON.parse(created) as { SecretID: string; AccessorID: string }
      expect(JSON.parse((await ask('GET', '/v1/catalog/services'))[1])).toEqual({})
      expect(await address()).toBe('ENOTFOUND')
      expect(await ask('PUT', '/v1/agent/token/nosuch', MANAGEMENT, { Token: SecretID })).toEqual([404, 'Token "nosuch" is unknown'])
      expect((await ask('PUT', '/v1/agent/token/default', SecretID, { Token: SecretID }))[0]).toBe(403)

      expect((await ask('PUT', '/v1/agent/token/dns', MANAGEMENT, { Token: SecretID }))[0]).toBe(200)
      expect(await address()).toBe('10.0.0.9')
      expect(JSON.parse((await ask('GET', '/v1/catalog/services'))[1])).toEqual({})
      expect((await ask('PUT', '/v1/agent/token/acl_token', MANAGEMENT, { Token: SecretID }))[0]).toBe(200)
      expect(Object.keys(JSON.parse((await ask('GET', '/v1/catalog/services'))[1]))).toContain('web')
      expect(JSON.parse((await ask('GET', '/v1/acl/token/self'))[1])).toMatchObject({ AccessorID })
      // A token that is shown is the one that counts.
      expect(await ask('GET', '/v1/catalog/services', 'nope')).toEqual([403, 'ACL not found'])

      expect((await ask('DELETE', `/v1/acl/token/${AccessorID}`, MANAGEMENT))[0]).toBe(200)
      expect(await address()).toBe('EREFUSED')
      expect((await ask('PUT', '/v1/agent/token/dns', MANAGEMENT, { Token: '' }))[0]).toBe(200)
      expect((await ask('PUT', '/v1/agent/token/default', MANAGEMENT, { Token: '' }))[0]).toBe(200)
      expect(await address()).toBe('ENOTFOUND')
    } finally {
      await own.stop()
    }
  })

  it('say what a form may offer', async () => {
    const token = await tokenWith('key_prefix "app/" { policy = "write" }')
    const questions = [
      { Resource: 'key', Segment: 'app/x', Access: 'write' },
      { Resource: 'key', Segment: 'x', Access: 'read' },
      { Resource: 'operator', Access: 'read' },
    ]
    const { status, body } = await call('POST', '/v1/internal/acl/authorize', token, questions)
    expect(status).toBe(200)
    expect((body as { Allow: boolean }[]).map(({ Allow }) => Allow)).toEqual([true, false, false])
    expect((await call('POST', '/v1/internal/acl/authorize', token, [{ Resource: 'moon', Access: 'read' }])).status).toBe(400)
    expect((await call('POST', '/v1/internal/acl/authorize', token, Array(65).fill(questions[0]))).status).toBe(400)
  })
})
