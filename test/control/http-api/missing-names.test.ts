import { afterAll, beforeAll, expect, it } from 'vitest'
import { ApiFixture } from './api-fixture.js'

let api: ApiFixture
beforeAll(async () => {
  api = await ApiFixture.start()
})
afterAll(() => api.stop())

it.each([
  ['GET', 'catalog/service/', 'Missing service name'],
  ['GET', 'catalog/node/', 'Missing node name'],
  ['GET', 'catalog/node-services/?index=1', 'Missing node name'],
  ['GET', 'catalog/gateway-services/', 'Missing gateway name'],
  ['GET', 'health/node/', 'Missing node name'],
  ['GET', 'health/service/?passing', 'Missing service name'],
  ['GET', 'health/state/', 'Missing check state'],
  ['GET', 'internal/ui/node/', 'Missing node name'],
  ['GET', 'agent/health/service/id/', 'Missing serviceID'],
  ['GET', 'agent/health/service/name/', 'Missing service Name'],
  ['PUT', 'agent/service/maintenance/?enable=true', 'Missing service ID'],
  ['GET', 'discovery-chain/', 'Missing chain name'],
  ['PUT', 'event/fire/', 'Missing name'],
  ['GET', 'peering/', 'Must specify a name to fetch.'],
  ['PUT', 'session/destroy/', 'Missing session'],
  ['GET', 'session/info/', 'Missing session'],
  ['GET', 'session/node/', 'Missing node name'],
])('%s /v1/%s says that the name is missing', async (method, path, text) => {
  expect(await api.call(method, `/v1/${path}`)).toMatchObject({ status: 400, body: text })
})

it('headers and parameters that every read has', async () => {
  const plain = await api.get('/v1/catalog/services')
  expect([plain.headers.get('x-consul-default-acl-policy'), plain.headers.get('x-cache')]).toEqual(['allow', null])
  const cached = await api.get('/v1/catalog/services?cached')
  expect([cached.headers.get('x-cache'), cached.headers.get('age')]).toEqual(['HIT', '0'])
  expect((await api.get('/v1/catalog/services?cached&consistent')).body).toBe(
    'Cannot specify ?cached with ?consistent, conflicting semantics.',
  )
  expect((await api.get('/v1/health/service/web?sg=all')).body).toContain('Sameness groups are a Consul Enterprise feature')
})

it.each([
  [{ Name: 'web', Address: '0.0.0.0' }, 'Invalid service definition: Address: Invalid service address'],
  [{ Name: 'web', Check: { TTL: '10s', Interval: '3s' } }, 'Invalid service definition: Check: Interval and TTL cannot both be specified'],
])('no agent takes %j', async (definition, text) => {
  expect(await api.put('/v1/agent/service/register', definition)).toMatchObject({ status: 400, body: text })
})

it('no transaction takes the empty name for that of this node', async () => {
  const check = { Node: '', CheckID: 'c', Name: 'c', Status: 'critical' }
  for (const operation of [
    { Node: { Verb: 'get', Node: { Node: '' } } },
    { Service: { Verb: 'set', Node: '', Service: { ID: 'x', Service: 'x' } } },
    { Check: { Verb: 'set', Check: check } },
  ])
    expect([400, 409]).toContain((await api.put('/v1/txn', [operation])).status)
  expect((await api.get('/v1/agent/checks')).body).toEqual({})
})
