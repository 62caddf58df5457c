import { request as httpRequest } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ControlPlane } from '../../../src/control/control-plane.js'

// biome-ignore lint/suspicious/noExplicitAny: answers of the API are looked into freely.
type Json = any

interface Answer {
  readonly status: number
  readonly body: Json
  readonly headers: Headers
}

let plane: ControlPlane
beforeEach(async () => {
  plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', nodeName: 'node-1' })
  await plane.start()
})
afterEach(() => plane.stop())

async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const payload = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
  const response = await fetch(`http://${plane.httpAddress}${path}`, { method, headers, ...payload })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json')
  return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers }
}

const get = (path: string) => call('GET', path)
const put = (path: string, body?: unknown) => call('PUT', path, body)
const API = {
  ID: 'api-v1',
  Name: 'api',
  Port: 9002,
  Tags: ['http'],
  Meta: { version: 'v1' },
  Check: { CheckID: 'api-ttl', TTL: '1h', Status: 'passing' },
  Connect: { SidecarService: { Proxy: { Upstreams: [{ DestinationName: 'db', LocalBindPort: 9191 }] } } },
}

describe('/v1/agent', () => {
  it('registers, shows and removes a service with its sidecar', async () => {
    expect(await put('/v1/agent/service/register', API)).toMatchObject({ status: 200, body: '' })
    const { body: services } = await get('/v1/agent/services')
    expect(Object.keys(services)).toEqual(['api-v1', 'api-v1-sidecar-proxy'])
    expect(services['api-v1']).toMatchObject({
      ID: 'api-v1',
      Service: 'api',
      Port: 9002,
      Weights: { Passing: 1, Warning: 1 },
      Datacenter: 'dc1',
    })
    const { body: sidecar } = await get('/v1/agent/service/api-v1-sidecar-proxy')
    expect(sidecar).toMatchObject({
      Kind: 'connect-proxy',
      Service: 'api-sidecar-proxy',
      Port: 21_000,
      Proxy: {
        DestinationServiceName: 'api',
        DestinationServiceID: 'api-v1',
        LocalServicePort: 9002,
        Upstreams: [{ DestinationName: 'db', LocalBindPort: 9191 }],
      },
      ContentHash: expect.stringMatching(/^[0-9a-f]{16}$/),
    })
    expect((await put('/v1/agent/service/deregister/api-v1')).status).toBe(200)
    expect((await get('/v1/agent/services')).body).toEqual({})
    expect(await get('/v1/agent/service/api-v1')).toMatchObject({ status: 404, body: 'unknown service ID: api-v1' })
    expect(await put('/v1/agent/service/deregister/api-v1')).toMatchObject({
      status: 404,
      body: expect.stringContaining('Unknown service ID "api-v1"'),
    })
  })

  it('answers bad input with one plain line that names the field', async () => {
    expect(await put('/v1/agent/service/register', { Port: 1 })).toMatchObject({
      status: 400,
      body: 'Invalid service definition: Name: missing',
    })
    expect(await put('/v1/agent/service/register', '{')).toMatchObject({
      status: 400,
      body: expect.stringMatching(/^Request decode failed/),
    })
    expect(await put('/v1/agent/service/register', ' '.repeat(2_000_000))).toMatchObject({ status: 413 })
    const deep = `{"Kind":"proxy-defaults","Name":"global","Config":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`
    expect(await put('/v1/config', deep)).toMatchObject({ status: 400, body: 'Request decode failed: nested too deeply' })
    expect(await get('/v1/nothing')).toMatchObject({ status: 404 })
    expect(await put('/v1/agent/services')).toMatchObject({ status: 405 })
  })

  it('reads JSON whatever its content type, and never lets a key reach a prototype', async () => {
    const body = '{"Name":"a","Port":1,"Meta":{"__proto__":"x","constructor":"y"}}'
    expect((await call('PUT', '/v1/agent/service/register', body, { 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(
      200,
    )
    const text = await (await fetch(`http://${plane.httpAddress}/v1/agent/service/a`)).text()
    expect(text).toContain('"Meta":{"__proto__":"x","constructor":"y"}')
    expect(({} as Json).x).toBeUndefined()
  })

  it('takes TTL heartbeats and shows health as status codes', async () => {
    await put('/v1/agent/service/register', API)
    expect((await get('/v1/agent/health/service/id/api-v1')).status).toBe(200)
    expect((await put('/v1/agent/check/warn/api-ttl?note=hot')).status).toBe(200)
    expect(await get('/v1/agent/health/service/name/api')).toMatchObject({ status: 429, body: [{ AggregatedStatus: 'warning' }] })
    expect((await put('/v1/agent/check/update/api-ttl', { Status: 'critical', Output: 'gone' })).status).toBe(200)
    expect(await get('/v1/agent/health/service/id/api-v1?format=text')).toMatchObject({ status: 503, body: 'critical' })
    expect((await get('/v1/agent/checks')).body['api-ttl']).toMatchObject({ Status: 'critical', Output: 'gone', ServiceName: 'api' })
    expect((await put('/v1/agent/check/pass/nothing')).status).toBe(404)
    expect((await put('/v1/agent/check/update/api-ttl', { Status: 'odd' })).status).toBe(400)
    expect((await put('/v1/agent/check/register', { Name: 'extra', ServiceID: 'api-v1', TTL: '1h', Status: 'passing' })).status).toBe(200)
    expect((await put('/v1/agent/check/deregister/extra')).status).toBe(200)
  })

  it('tells clients who it is and where xDS is', async () => {
    const { body } = await get('/v1/agent/self')
    expect(body.Config).toMatchObject({ Datacenter: 'dc1', NodeName: 'node-1' })
    expect(`127.0.0.1:${body.xDS.Ports.Plaintext}`).toBe(plane.grpcAddress)
    expect((await get('/v1/status/leader')).body).toBe('127.0.0.1:8300')
    expect(body.Config.Version).toMatch(/^1\.2\d\.\d+$/)
    expect(body.Outrigger.Version).toBeTypeOf('string')
    const { body: metrics } = await get('/v1/agent/metrics?format=prometheus')
    expect(metrics).toMatch(/^outrigger_control_service_instances 0$/m)
  })
})

describe('/v1/catalog and /v1/health', () => {
  it('list services, instances and their health in Consul’s shapes', async () => {
    await put('/v1/agent/service/register', API)
    expect((await get('/v1/catalog/services')).body).toEqual({ consul: [], api: ['http'], 'api-sidecar-proxy': ['http'] })
    expect((await get('/v1/catalog/service/api')).body).toMatchObject([
      { ServiceID: 'api-v1', ServicePort: 9002, Node: 'node-1', ServiceMeta: { version: 'v1' } },
    ])
    const { body: health } = await get('/v1/health/service/api')
    expect(health).toMatchObject([
      {
        Node: { Node: 'node-1' },
        Service: { ID: 'api-v1', Service: 'api' },
        Checks: [{ CheckID: 'serfHealth' }, { CheckID: 'api-ttl', Status: 'passing' }],
      },
    ])
    expect((await get('/v1/health/connect/api')).body).toMatchObject([{ Service: { ID: 'api-v1-sidecar-proxy', Kind: 'connect-proxy' } }])
    await put('/v1/agent/check/fail/api-ttl')
    expect((await get('/v1/health/service/api?passing')).body).toEqual([])
    expect((await get('/v1/health/connect/api?passing')).body).toEqual([])
    expect((await get('/v1/health/state/critical')).body).toContainEqual(expect.objectContaining({ CheckID: 'api-ttl', Node: 'node-1' }))
  })

  it('filter by tag and expression', async () => {
    await put('/v1/agent/service/register', API)
    await put('/v1/agent/service/register', { ID: 'api-v2', Name: 'api', Port: 1, Tags: ['http', 'new'], Meta: { version: 'v2' } })
    const ids = async (query: string) => (await get(`/v1/health/service/api?${query}`)).body.map((entry: Json) => entry.Service.ID)
    expect(await ids('tag=http')).toEqual(['api-v1', 'api-v2'])
    expect(await ids('tag=http&tag=new')).toEqual(['api-v2'])
    expect(await ids(`filter=${encodeURIComponent('Service.Meta.version == "v1"')}`)).toEqual(['api-v1'])
    expect((await get('/v1/health/service/api?filter=%3D%3D')).status).toBe(400)
  })

  it('hold a blocking query until that service changes, and answer the others at once or at the end of the wait', async () => {
    await put('/v1/agent/service/register', API)
    const { headers } = await get('/v1/health/service/api')
    const index = Number(headers.get('x-consul-index'))
    expect(index).toBeGreaterThan(0)
    let answered = false
    const held = get(`/v1/health/service/api?index=${index}&wait=1m`).finally(() => (answered = true))
    await put('/v1/agent/service/register', { Name: 'other', Port: 1 })
    expect((await get(`/v1/health/service/api?index=${index}&wait=1ms`)).headers.get('x-consul-index')).toBe(String(index))
    expect(answered).toBe(false)
    await put('/v1/agent/check/fail/api-ttl')
    const { body, headers: after } = await held
    expect(body[0].Checks[1].Status).toBe('critical')
    expect(Number(after.get('x-consul-index'))).toBeGreaterThan(index)
    expect((await get('/v1/health/service/api?index=x')).status).toBe(400)
    expect((await get(`/v1/health/service/api?index=${index}&wait=soon`)).status).toBe(400)
  })

  it('wake a query on a service that did not exist', async () => {
    const index = Number((await get('/v1/health/service/new')).headers.get('x-consul-index'))
    const held = get(`/v1/health/service/new?index=${index}&wait=1m`)
    await put('/v1/agent/service/register', { Name: 'new', Port: 1 })
    expect((await held).body).toHaveLength(1)
  })
})

describe('/v1/config', () => {
  const defaults = { Kind: 'service-defaults', Name: 'api', Protocol: 'http' }

  it('writes, reads, lists and deletes entries', async () => {
    expect(await put('/v1/config', { kind: 'service-defaults', name: 'api', protocol: 'http' })).toMatchObject({ status: 200, body: true })
    expect((await get('/v1/config/service-defaults/api')).body).toMatchObject({ ...defaults, ModifyIndex: expect.any(Number) })
    expect((await get('/v1/config/service-defaults')).body).toMatchObject([defaults])
    expect((await call('DELETE', '/v1/config/service-defaults/api')).status).toBe(200)
    expect(await get('/v1/config/service-defaults/api')).toMatchObject({
      status: 404,
      body: 'Config entry not found for "service-defaults" / "api"',
    })
    expect(await get('/v1/config/nonsense')).toMatchObject({ status: 400, body: 'invalid config entry kind: nonsense' })
  })

  it('checks and sets', async () => {
    expect((await put('/v1/config?cas=0', defaults)).body).toBe(true)
    expect((await put('/v1/config?cas=0', { ...defaults, Protocol: 'grpc' })).body).toBe(false)
    const { ModifyIndex } = (await get('/v1/config/service-defaults/api')).body
    expect((await put(`/v1/config?cas=${ModifyIndex}`, { ...defaults, Protocol: 'grpc' })).body).toBe(true)
    expect((await call('DELETE', '/v1/config/service-defaults/api?cas=1')).body).toBe(false)
  })

  it.each(['config', 'kv/k', 'operator/autopilot/configuration'])('%s: an index to check that is none is refused', async path => {
    expect(await put(`/v1/${path}?cas=abc`, defaults)).toMatchObject({
      status: 400,
      body: expect.stringMatching(/cas.*: "abc" is no index/),
    })
  })

  it.each([
    [{ Kind: 'service-splitter', Name: 'api', Splits: [{ Weight: 60 }, { Weight: 30, ServiceSubset: 'x' }] }, /weight/i],
    [{ Kind: 'service-splitter', Name: 'api', Splits: [{ Weight: 100, ServiceSubset: 'missing' }] }, /missing/],
    [{ Kind: 'service-splitter', Name: 'tcp-service', Splits: [{ Weight: 100 }] }, /tcp-service|protocol/],
    [{ Kind: 'service-defaults', Name: 'api', Protokol: 'http' }, /Protokol: unknown field/],
    [{ Kind: 'bound-api-gateway', Name: 'x' }, /only read/],
  ])('refuses %j with the reason, and changes nothing', async (entry, message) => {
    await put('/v1/config', defaults)
    const before = (await get('/v1/config')).body
    const { status, body } = await put('/v1/config', entry)
    expect(status).toBe(400)
    expect(body).toMatch(message)
    expect(body).not.toContain('\n')
    expect((await get('/v1/config')).body).toEqual(before)
  })

  it('refuses to delete what a chain needs', async () => {
    await put('/v1/config', defaults)
    await put('/v1/config', { Kind: 'service-splitter', Name: 'api', Splits: [{ Weight: 100 }] })
    expect((await call('DELETE', '/v1/config/service-defaults/api')).status).toBe(400)
    expect((await get('/v1/config/service-defaults/api')).status).toBe(200)
  })

  it('says in a header when an intention names a service nobody knows', async () => {
    await put('/v1/agent/service/register', { Name: 'api', Port: 1 })
    const { headers } = await put('/v1/config', { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'wbe', Action: 'allow' }] })
    expect(headers.get('x-consul-warning')).toContain('wbe')
  })
})

describe('/v1/connect', () => {
  const intentions = {
    Kind: 'service-intentions',
    Name: 'api',
    Sources: [
      { Name: 'web', Action: 'allow' },
      { Name: 'mobile', Permissions: [{ Action: 'allow', HTTP: { PathPrefix: '/v1/' } }] },
      { Name: '*', Action: 'deny' },
    ],
  }
  beforeEach(async () => {
    await put('/v1/config', { Kind: 'service-defaults', Name: 'api', Protocol: 'http' })
    await put('/v1/config', intentions)
  })

  it('lists, matches and checks intentions', async () => {
    const { body: all } = await get('/v1/connect/intentions')
    expect(all.map((intention: Json) => [intention.SourceName, intention.Precedence, intention.Action])).toEqual([
      ['mobile', 9, undefined],
      ['web', 9, 'allow'],
      ['*', 8, 'deny'],
    ])
    const matches = await get('/v1/connect/intentions/match?by=source&name=web')
    expect(matches.body.web.map((intention: Json) => intention.SourceName)).toEqual(['web', '*'])
    const allowed = async (source: string) => (await get(`/v1/connect/intentions/check?source=${source}&destination=api`)).body.Allowed
    expect([await allowed('web'), await allowed('batch'), await allowed('mobile')]).toEqual([true, false, false])
    expect((await get('/v1/connect/intentions/check?source=web')).status).toBe(400)
  })

  it('edits one intention of an entry', async () => {
    expect((await put('/v1/connect/intentions/exact?source=batch&destination=api', { Action: 'allow' })).body).toBe(true)
    expect((await get('/v1/connect/intentions/exact?source=batch&destination=api')).body).toMatchObject({ Action: 'allow', Precedence: 9 })
    expect((await call('DELETE', '/v1/connect/intentions/exact?source=batch&destination=api')).status).toBe(200)
    expect((await get('/v1/connect/intentions/exact?source=batch&destination=api')).status).toBe(404)
    expect((await get('/v1/connect/intentions')).body).toHaveLength(3)
  })

  it('knows when an intention was made and changed by its id; one of an entry has no time', async () => {
    const { ID } = (await call('POST', '/v1/connect/intentions', { SourceName: 'batch', DestinationName: 'api', Action: 'allow' })).body
    const made = (await get(`/v1/connect/intentions/${ID}`)).body
    expect(Math.abs(Date.parse(made.CreatedAt) - Date.now())).toBeLessThan(60_000)
    expect(made.UpdatedAt).toBe(made.CreatedAt)
    await put(`/v1/connect/intentions/${ID}`, { Action: 'deny' })
    const changed = (await get(`/v1/connect/intentions/${ID}`)).body
    expect(changed).toMatchObject({ Action: 'deny', CreatedAt: made.CreatedAt })
    expect(Date.parse(changed.UpdatedAt)).toBeGreaterThanOrEqual(Date.parse(made.UpdatedAt))
    expect((await get('/v1/connect/intentions/exact?source=web&destination=api')).body.CreatedAt).toBe('0001-01-01T00:00:00Z')
  })

  it('authorises a client certificate’s identity', async () => {
    const { TrustDomain } = (await get('/v1/connect/ca/roots')).body
    const authorize = async (uri: string) =>
      call('POST', '/v1/agent/connect/authorize', { Target: 'api', ClientCertURI: uri, ClientCertSerial: '1' })
    const id = (service: string, domain = TrustDomain) => `spiffe://${domain}/ns/default/dc/dc1/svc/${service}`
    expect((await authorize(id('web'))).body).toEqual({ Authorized: true, Reason: expect.stringContaining('web -> api') })
    expect((await authorize(id('batch'))).body.Authorized).toBe(false)
    expect((await authorize(id('web', 'other.consul'))).body).toMatchObject({
      Authorized: false,
      Reason: expect.stringContaining('external trust domain'),
    })
    expect((await authorize('http://x')).status).toBe(400)
  })

  it('explains decisions with method and path', async () => {
    const explain = async (query: string) => (await get(`/v1/outrigger/explain?to=api&${query}`)).body
    expect(await explain('from=mobile&method=get&path=/v1/x')).toMatchObject({ allowed: true, intention: 'mobile -> api' })
    expect(await explain('from=mobile&method=GET&path=/admin')).toMatchObject({ allowed: false, reason: expect.stringContaining('/admin') })
    expect(await explain('from=batch')).toMatchObject({ allowed: false, intention: '* -> api', protocol: 'http' })
  })

  it('serves compiled chains', async () => {
    const { body } = await get('/v1/discovery-chain/api')
    expect(body.Chain).toMatchObject({ ServiceName: 'api', Protocol: 'http', Default: true })
  })
})

describe('access', () => {
  it('is refused under a name that only points here, but not under those of this machine (DNS rebinding)', async () => {
    const port = Number(plane.httpAddress.split(':')[1])
    const status = (host: string) =>
      new Promise(resolve => {
        httpRequest({ port, host: '127.0.0.1', path: '/v1/agent/self', headers: { host } }, response => {
          response.resume()
          resolve(response.statusCode)
        }).end()
      })
    expect(await status('attacker.example')).toBe(403)
    expect([await status('localhost:1'), await status('127.0.0.1'), await status('[::1]:80')]).toEqual([200, 200, 200])
  })

  it('needs the token when there is one, wherever clients put it', async () => {
    await plane.stop()
    plane = new ControlPlane({ httpAddr: '127.0.0.1:0', grpcAddr: '127.0.0.1:0', httpToken: 'secret', grpcToken: 'secret' })
    await plane.start()
    for (const headers of [{}, { 'x-consul-token': 'wrong' }, { authorization: 'Bearer wrong' }] as Record<string, string>[])
      expect(await call('GET', '/v1/agent/self', undefined, headers)).toMatchObject({ status: 403, body: 'Permission denied' })
    for (const headers of [{ 'x-consul-token': 'secret' }, { authorization: 'Bearer secret' }] as Record<string, string>[])
      expect((await call('GET', '/v1/agent/self', undefined, headers)).status).toBe(200)
    expect((await get('/v1/agent/self?token=secret')).status).toBe(200)
    await call('PUT', '/v1/agent/service/register', API, { 'x-consul-token': 'secret' })
    const { body } = await call('GET', '/v1/outrigger/bootstrap/api-v1-sidecar-proxy', undefined, { 'x-consul-token': 'secret' })
    expect(body.dynamic_resources.ads_config.grpc_services.initial_metadata).toEqual([{ key: 'x-consul-token', value: 'secret' }])
  })

  it("gives sidecars the gRPC port's own token where it has one, but only to those who have shown the other", async () => {
    for (const [httpToken, expected] of [
      ['http-secret', 'grpc-secret'],
      [undefined, 'shown'],
    ] as const) {
      await plane.stop()
      plane = new ControlPlane({
        httpAddr: '127.0.0.1:0',
        grpcAddr: '127.0.0.1:0',
        ...(httpToken === undefined ? {} : { httpToken }),
        grpcToken: 'grpc-secret',
      })
      await plane.start()
      const shown = { 'x-consul-token': httpToken ?? 'shown' }
      await call('PUT', '/v1/agent/service/register', API, shown)
      const { body } = await call('GET', '/v1/outrigger/bootstrap/api-v1-sidecar-proxy', undefined, shown)
      expect(body.dynamic_resources.ads_config.grpc_services.initial_metadata).toEqual([{ key: 'x-consul-token', value: expected }])
    }
  })
})

// Nothing listens where the sidecar would: a check of its own stands for it.
const WITH_SIDECAR = { ...API, Connect: { SidecarService: { Check: { CheckID: 'sidecar-ttl', TTL: '1h', Status: 'passing' } } } }

describe('maintenance', () => {
  beforeEach(async () => {
    await put('/v1/agent/service/register', WITH_SIDECAR)
  })

  const passing = async (): Promise<number> => (await get('/v1/health/connect/api?passing')).body.length

  it('takes one service out, its sidecar with it, wakes who waits for it, and brings it back', async () => {
    const index = (await get('/v1/health/connect/api?passing')).headers.get('x-consul-index')
    const waiting = get(`/v1/health/connect/api?passing&index=${index}&wait=60s`)
    expect(await put('/v1/agent/service/maintenance/api-v1?enable=true&reason=new%20disk')).toMatchObject({ status: 200, body: '' })
    expect((await waiting).body).toEqual([])
    const check = (await get('/v1/agent/checks')).body['_service_maintenance:api-v1']
    expect(check).toMatchObject({
      CheckID: '_service_maintenance:api-v1',
      Name: 'Service Maintenance Mode',
      Status: 'critical',
      Notes: 'new disk',
      ServiceID: 'api-v1',
      Type: 'maintenance',
    })
    expect(await get('/v1/agent/health/service/id/api-v1?format=text')).toMatchObject({ status: 503, body: 'maintenance' })
    await put('/v1/agent/service/register?replace-existing-checks=true', { ...WITH_SIDECAR, Tags: ['other'] })
    expect(await passing()).toBe(0)
    await put('/v1/agent/service/maintenance/api-v1?enable=false')
    expect(await passing()).toBe(1)
  })

  it('takes the node out with everything on it', async () => {
    await put('/v1/agent/service/register', { Name: 'db', Port: 5432 })
    await put('/v1/agent/maintenance?enable=true')
    expect(await passing()).toBe(0)
    expect((await get('/v1/health/service/db?passing')).body).toEqual([])
    const { body: checks } = await get('/v1/health/node/node-1')
    expect(checks.find((check: Json) => check.CheckID === '_node_maintenance')).toMatchObject({
      Name: 'Node Maintenance Mode',
      Notes: 'Maintenance mode is enabled for this node, but no reason was provided. This is a default message.',
      ServiceID: '',
      ServiceName: '',
    })
    await put('/v1/agent/maintenance?enable=false')
    expect(await passing()).toBe(1)
  })

  it('names what is missing, as Consul does', async () => {
    expect(await put('/v1/agent/maintenance')).toMatchObject({ status: 400, body: 'Missing value for enable' })
    expect(await put('/v1/agent/maintenance?enable=maybe')).toMatchObject({ status: 400, body: 'Invalid value for enable: "maybe"' })
    expect(await put('/v1/agent/service/maintenance/nope?enable=true')).toMatchObject({
      status: 404,
      body: 'Unknown service ID "nope". Ensure that the service ID is passed, not the service name.',
    })
  })
})

describe('/v1/catalog/node-services', () => {
  it('lists the services of the node, and none of another', async () => {
    await put('/v1/agent/service/register', API)
    const { body, headers } = await get('/v1/catalog/node-services/node-1')
    expect(body.Node.Node).toBe('node-1')
    expect(body.Services.map((service: Json) => service.ID)).toEqual(['consul', 'api-v1', 'api-v1-sidecar-proxy'])
    expect(Number(headers.get('x-consul-index'))).toBeGreaterThan(0)
    expect((await get('/v1/catalog/node-services/other')).body).toEqual({ Node: null, Services: [] })
  })
})

describe('/v1/connect/ca/configuration', () => {
  const path = '/v1/connect/ca/configuration'

  it('shows the configuration in force, and no key', async () => {
    const { status, body, headers } = await get(path)
    expect(status).toBe(200)
    expect(body).toMatchObject({
      Provider: 'consul',
      Config: { LeafCertTTL: '72h', IntermediateCertTTL: '8760h', RootCertTTL: '87600h', PrivateKeyType: 'ec', PrivateKeyBits: 256 },
      ForceWithoutCrossSigning: false,
    })
    expect(body.ModifyIndex).toBe(Number(headers.get('x-consul-index')))
    expect(JSON.stringify(body)).not.toContain('PRIVATE KEY')
  })

  it('changes lifetimes under the same root; what was read can be written back', async () => {
    const root = (await get('/v1/connect/ca/roots')).body.ActiveRootID
    const { body, headers } = await get(path)
    const waiting = get(`${path}?index=${headers.get('x-consul-index')}&wait=60s`)
    expect(await put(path, { ...body, Config: { ...body.Config, LeafCertTTL: '1h30m' } })).toMatchObject({ status: 200, body: '' })
    expect((await waiting).body.Config.LeafCertTTL).toBe('1h30m')
    expect((await get('/v1/connect/ca/roots')).body.ActiveRootID).toBe(root)
  })

  it('rotates to a new root for another key type', async () => {
    const before = (await get('/v1/connect/ca/roots')).body
    expect((await put(path, { Provider: 'consul', Config: { PrivateKeyType: 'ec', PrivateKeyBits: 384 } })).status).toBe(200)
    const after = (await get('/v1/connect/ca/roots')).body
    expect(after.ActiveRootID).not.toBe(before.ActiveRootID)
    expect(after.Roots.map((root: Json) => root.ID)).toContain(before.ActiveRootID)
    expect(after.Roots.find((root: Json) => root.Active).PrivateKeyBits).toBe(384)
  })

  it('refuses in one line that names the field, and changes nothing', async () => {
    const before = (await get(path)).body
    for (const [body, text] of [
      [{ Provider: 'aws-pca', Config: {} }, 'Provider: "aws-pca" is not offered here; must be "consul", "files" or "vault"'],
      [{ Provider: 'vault', Config: {} }, 'must provide a Vault token or configure a Vault auth method'],
      [{ Config: { LeafCertTTL: '1m' } }, 'LeafCertTTL: must be at least 1h'],
      [{ Config: { LeafTTL: '1h' } }, 'LeafTTL: is not a field of this provider'],
      [[], 'Request decode failed'],
    ] as const) {
      const answer = await put(path, body)
      expect(answer.status).toBe(400)
      expect(answer.body).toContain(text)
    }
    expect((await get(path)).body).toEqual(before)
  })
})
