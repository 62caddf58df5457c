// What Consul's web interface reads of gateways and exports, in its shapes; and what its agents merge into proxies.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

let api: ApiFixture
beforeAll(async () => {
  api = await ApiFixture.start()
  const entries = [
    { Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } },
    {
      Kind: 'ingress-gateway',
      Name: 'door',
      Listeners: [{ Port: 8080, Protocol: 'http', Services: [{ Name: 'web', Hosts: ['web.example.com'] }, { Name: 'api' }] }],
    },
    { Kind: 'terminating-gateway', Name: 'exit', Services: [{ Name: 'db' }] },
    { Kind: 'service-intentions', Name: 'db', Sources: [{ Name: 'web', Action: 'allow' }] },
    { Kind: 'service-intentions', Name: 'api', Sources: [{ Name: 'web', Action: 'deny' }] },
    { Kind: 'exported-services', Name: 'default', Services: [{ Name: 'web', Consumers: [{ Peer: 'east' }] }] },
  ]
  for (const entry of entries) expect((await api.put('/v1/config', entry)).status, JSON.stringify(entry)).toBe(200)
  await api.put('/v1/agent/service/register', { Name: 'web', Port: 80, Tags: ['v1'], Check: { TTL: '1h', Status: 'passing' } })
})
afterAll(() => api.stop())

it('which services are behind a gateway, with their instances', async () => {
  const { body } = await api.get('/v1/internal/ui/gateway-services-nodes/door')
  expect(body).toMatchObject([
    { Name: 'api', InstanceCount: 0, GatewayConfig: { Addresses: [] } },
    { Name: 'web', InstanceCount: 1, Tags: ['v1'], ChecksPassing: 2, GatewayConfig: { Addresses: ['web.example.com:8080'] } },
  ])
  expect((await api.get('/v1/internal/ui/gateway-services-nodes/nobody')).body).toEqual([])
  expect(
    await api.blocks('/v1/internal/ui/gateway-services-nodes/door', () => api.put('/v1/agent/service/register', { Name: 'api', Port: 1 })),
  ).toBe(true)
})

it('which intentions are about the services behind a gateway', async () => {
  const { body } = await api.get('/v1/internal/ui/gateway-intentions/exit')
  expect(body).toMatchObject([{ SourceName: 'web', DestinationName: 'db', Action: 'allow' }])
})

it('what is exported to a peer', async () => {
  expect((await api.get('/v1/internal/ui/exported-services?peer=east')).body).toMatchObject([{ Name: 'web', InstanceCount: 1 }])
  expect((await api.get('/v1/internal/ui/exported-services?peer=west')).body).toEqual([])
})

it('the versions of a service, by its notes or else its tags', async () => {
  const instances = [
    { ID: 'pay-1', Meta: { version: '10.0' }, Tags: ['v1'] },
    { ID: 'pay-2', Meta: { version: '9.1' } },
    { ID: 'pay-3', Tags: ['http', 'v2'] },
    { ID: 'pay-4', Tags: ['volatile'] },
  ]
  for (const instance of instances) await api.put('/v1/agent/service/register', { Name: 'pay', Port: 80, ...instance })
  const { body } = await api.get('/v1/internal/ui/services')
  const versions = new Map(body.map(({ Name, Versions }: { Name: string; Versions: string[] }) => [Name, Versions]))
  expect([versions.get('pay'), versions.get('web')]).toEqual([['9.1', '10.0', 'v2'], ['v1']])
})

it('which methods an endpoint has', async () => {
  const { status, headers } = await api.call('OPTIONS', '/v1/kv/a')
  expect([status, headers.get('allow')]).toEqual([200, 'OPTIONS,GET,PUT,DELETE'])
})

it('proxies with what the config entries add to them, where it is asked for', async () => {
  await api.put('/v1/config', { Kind: 'service-defaults', Name: 'shop', Protocol: 'grpc', MeshGateway: { Mode: 'local' } })
  await api.put('/v1/agent/service/register', {
    Name: 'shop',
    Port: 80,
    Connect: { SidecarService: { Proxy: { Config: { local_connect_timeout_ms: 7 } } } },
  })
  const plain = { Config: { local_connect_timeout_ms: 7 }, MeshGateway: {} }
  const merged = { Config: { protocol: 'grpc', local_connect_timeout_ms: 7 }, MeshGateway: { Mode: 'local' } }
  for (const [query, proxy] of [
    ['', plain],
    ['?merge-central-config', merged],
  ] as const) {
    expect((await api.get(`/v1/health/connect/shop${query}`)).body).toMatchObject([{ Service: { Proxy: proxy } }])
    expect((await api.get(`/v1/catalog/connect/shop${query}`)).body).toMatchObject([{ ServiceProxy: proxy }])
    const { Services } = (await api.get(`/v1/catalog/node-services/node-1${query}`)).body
    expect(Services.find(({ ID }: { ID: string }) => ID === 'shop-sidecar-proxy')).toMatchObject({ Proxy: proxy })
  }
  expect(
    await api.blocks('/v1/health/connect/shop?merge-central-config', () =>
      api.put('/v1/config', { Kind: 'service-defaults', Name: 'shop', Protocol: 'http' }),
    ),
  ).toBe(true)
})
