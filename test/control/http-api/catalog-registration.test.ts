import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TestSidecar } from '../test-sidecar.js'
import { ApiFixture } from './api-fixture.js'

let api: ApiFixture
beforeEach(async () => {
  api = await ApiFixture.start()
})
afterEach(() => api.stop())

const ID = '40e4a748-2192-161a-0510-9bf59fe950b5'
const DB = {
  Node: 'Rack-7',
  ID,
  Address: '192.0.2.10',
  TaggedAddresses: { lan: '192.0.2.10', wan: '198.51.100.10' },
  NodeMeta: { 'external-source': 'legacy' },
  Service: {
    ID: 'db-1',
    Service: 'db',
    Tags: ['primary'],
    Port: 5432,
    Meta: { v: '7' },
    TaggedAddresses: { wan: { Address: '198.51.100.11', Port: 1 } },
  },
  Checks: [
    { CheckID: 'node-alive', Name: 'alive', Status: 'passing' },
    {
      CheckID: 'db-check',
      Name: 'db is there',
      Status: 'warning',
      Output: 'slow',
      Notes: 'n',
      ServiceID: 'db-1',
      Type: 'tcp',
      Interval: '5s',
      Timeout: '1s',
      Definition: { TCP: '192.0.2.10:5432', Interval: '5s', Timeout: '1s', DeregisterCriticalServiceAfter: '30s', Header: {}, HTTP: '' },
    },
  ],
}
const register = (body: object) => api.put('/v1/catalog/register', body)
const deregister = (body: object) => api.put('/v1/catalog/deregister', body)
const names = async (path: string, field: string): Promise<unknown[]> => (await api.get(path)).body.map((each: never) => each[field])

describe('PUT /v1/catalog/register', () => {
  it('registers a node with a service and checks, which every endpoint then shows as they were written', async () => {
    expect(await register(DB)).toMatchObject({ status: 200, body: true })
    const [, node] = (await api.get('/v1/catalog/nodes')).body.sort((a: { Node: string }, b: { Node: string }) =>
      a.Node > b.Node ? -1 : 1,
    )
    expect(node).toMatchObject({ Node: 'Rack-7', ID, Address: '192.0.2.10', Datacenter: 'dc1', TaggedAddresses: DB.TaggedAddresses })
    expect((await api.get('/v1/catalog/service/DB')).body).toMatchObject([
      {
        ID,
        Node: 'Rack-7',
        Address: '192.0.2.10',
        NodeMeta: { 'external-source': 'legacy' },
        ServiceID: 'db-1',
        ServiceName: 'db',
        ServiceTags: ['primary'],
        ServiceAddress: '',
        ServicePort: 5432,
        ServiceWeights: { Passing: 1, Warning: 1 },
        ServiceTaggedAddresses: { wan: { Address: '198.51.100.11', Port: 1 } },
      },
    ])
    const [entry] = (await api.get('/v1/health/service/db')).body
    expect(entry.Node.Node).toBe('Rack-7')
    expect(entry.Checks.map(({ CheckID }: { CheckID: string }) => CheckID)).toEqual(['node-alive', 'db-check'])
    expect(entry.Checks[1]).toMatchObject({
      Node: 'Rack-7',
      Status: 'warning',
      Output: 'slow',
      ServiceName: 'db',
      ServiceTags: ['primary'],
      Type: 'tcp',
      Interval: '5s',
      Timeout: '1s',
    })
    expect(entry.Checks[1].Definition).toEqual({
      TCP: '192.0.2.10:5432',
      Interval: '5s',
      Timeout: '1s',
      DeregisterCriticalServiceAfter: '30s',
    })
    expect((await api.get('/v1/catalog/node/rack-7')).body.Services['db-1'].Service).toBe('db')
    expect((await api.get('/v1/catalog/node-services/RACK-7')).body.Services).toHaveLength(1)
    expect(await names('/v1/health/node/rack-7', 'CheckID')).toEqual(['node-alive', 'db-check'])
    expect(await names('/v1/health/checks/db', 'CheckID')).toEqual(['db-check'])
    expect((await api.get('/v1/internal/ui/nodes')).body).toHaveLength(2)
    expect((await api.get('/v1/internal/ui/node/rack-7')).body.Services).toHaveLength(1)
    // The agent knows what is its own.
    expect((await api.get('/v1/agent/services')).body).toEqual({})
    expect((await api.get('/v1/agent/service/Rack-7%00db-1')).status).toBe(404)
  })

  it('near a node comes what is on it; the rest keeps its order', async () => {
    const on = (Node: string, ID: string) => ({
      Node,
      Address: '192.0.2.9',
      Service: { ID, Service: 'cache' },
      Check: { Node, Name: `c-${Node}`, Status: 'passing' },
    })
    for (const node of ['b', 'a', 'c']) await register(on(node, `cache-${node}`))
    await api.put('/v1/agent/service/register', { Name: 'cache' })
    const order = async (path: string, field = 'Node') => (await names(path, field)).join()
    expect(await order('/v1/catalog/service/cache')).toBe('a,b,c,node-1')
    expect(await order('/v1/catalog/service/cache?near=B')).toBe('b,a,c,node-1')
    expect(await order('/v1/catalog/service/cache?near=_agent')).toBe('node-1,a,b,c')
    expect(await order('/v1/catalog/service/cache?near=nobody')).toBe('a,b,c,node-1')
    expect(await order('/v1/catalog/nodes?near=c')).toBe('c,a,b,node-1')
    expect((await api.get('/v1/health/service/cache?near=c')).body[0].Node.Node).toBe('c')
    expect((await api.get('/v1/health/state/any?near=c')).body[0].Node).toBe('c')
    const { ID } = (await api.call('POST', '/v1/query', { Name: 'nearest', Service: { Service: 'cache', Near: 'b' } })).body
    const first = async (query: string) => (await api.get(`/v1/query/${ID}/execute${query}`)).body.Nodes[0].Node.Node
    expect([await first(''), await first('?near=c'), await first('?near=_agent')]).toEqual(['b', 'c', 'node-1'])
  })

  it.each([
    [{ Address: '1.2.3.4' }, 500, 'Must provide node'],
    [{ Node: 'a' }, 500, 'Must provide address if SkipNodeUpdate is not set'],
    [{ Node: 'a', Address: '1.2.3.4', ID: 'x' }, 500, 'Bad node ID: "x" is not a UUID'],
    [{ Node: 'a', Address: '1.2.3.4', Service: { ID: 's' } }, 500, 'Must provide service name (Service.Service) with ID'],
    [{ Node: 'a', Address: '1.2.3.4', Service: { Service: 's', Address: '0.0.0.0' } }, 500, 'Invalid service address'],
    [{ Node: 'a', Address: '1.2.3.4', Check: { Node: 'b', Name: 'c' } }, 500, 'check node "b" does not match node "a"'],
    [{ Node: 'a', Address: '1.2.3.4', Check: { Name: 'c', ServiceID: 'nope' } }, 500, 'Missing service registration'],
    [{ Node: 'a', Address: '1.2.3.4', Check: { Name: 'c', Status: 'good' } }, 400, 'Checks'],
    [{ Node: 'a b', Address: '1.2.3.4' }, 400, 'Node: must be 1 to 256 visible ASCII characters'],
    [{ Node: 'a', Address: '1.2.3.4', Datacenter: 'dc9' }, 500, 'No path to datacenter'],
    [{ Node: 'a', Address: '1.2.3.4', NodeMeta: { k: 'v'.repeat(513) } }, 400, 'NodeMeta.k: value is too long (limit 512 characters)'],
    [{ Node: 'a', Address: '1.2.3.4', Service: { Service: 's', Connect: { SidecarService: {} } } }, 400, 'Service.Connect.SidecarService'],
  ])('refuses %j and changes nothing', async (body, status, message) => {
    const answer = await register(body)
    expect(answer.status).toBe(status)
    if (message !== 'Checks') expect(answer.body).toContain(message)
    expect((await api.get('/v1/catalog/nodes')).body).toHaveLength(1)
  })

  it('leaves the node as it is with SkipNodeUpdate, and makes it where there is none', async () => {
    await register(DB)
    await register({ Node: 'rack-7', Address: '192.0.2.99', SkipNodeUpdate: true, Service: { Service: 'cache', Port: 1 } })
    expect((await api.get('/v1/catalog/node/rack-7')).body).toMatchObject({ Node: { Address: '192.0.2.10' }, Services: { cache: {} } })
    await register({ Node: 'new', SkipNodeUpdate: true, Service: { Service: 'x' } })
    expect((await api.get('/v1/catalog/node/new')).body.Node.Address).toBe('')
  })

  it('renames a node by its id, and reserves a name for the id that has it', async () => {
    await register(DB)
    const other = await register({ Node: 'rack-7', ID: ID.replace('4', '5'), Address: '192.0.2.11' })
    expect(other).toMatchObject({ status: 500, body: expect.stringContaining(`is reserved by node ${ID} with name Rack-7 (192.0.2.10)`) })
    await register({ Node: 'rack-8', ID, Address: '192.0.2.10' })
    expect((await api.get('/v1/catalog/node/rack-7')).body).toBeNull()
    expect((await api.get('/v1/catalog/service/db')).body).toEqual([])
    expect((await api.get('/v1/catalog/node/rack-8')).body.Node.ID).toBe(ID)
  })

  it('takes an agent’s own node as registered: its checks keep their definition, and only the status is taken', async () => {
    await api.put('/v1/agent/service/register', { Name: 'web', Port: 1, Check: { TTL: '1h' } })
    await register({
      Node: 'NODE-1',
      Address: '9.9.9.9',
      Check: { CheckID: 'service:web', Name: 'x', ServiceID: 'web', Status: 'passing' },
    })
    expect((await api.get('/v1/agent/checks')).body['service:web']).toMatchObject({ Type: 'ttl', Status: 'passing' })
    expect((await api.get('/v1/catalog/node/node-1')).body.Node.Address).toBe('127.0.0.1')
    expect(await deregister({ Node: 'node-1' })).toMatchObject({
      status: 500,
      body: expect.stringContaining('is this server’s own'.replace('’', "'")),
    })
    await deregister({ Node: 'node-1', ServiceID: 'web' })
    expect((await api.get('/v1/agent/checks')).body).toEqual({})
  })

  it('refuses a name that differs from another in case alone', async () => {
    await register(DB)
    expect(await register({ Node: 'b', Address: '1.1.1.1', Service: { Service: 'DB' } })).toMatchObject({
      status: 500,
      body: '"DB" differs from the service "db" in case alone',
    })
    expect(await api.put('/v1/agent/service/register', { Name: 'Db' })).toMatchObject({
      status: 400,
      body: 'Invalid service definition: Name: "Db" differs from the service "db" in case alone',
    })
  })

  it('wakes who waits for nodes, for a node’s services and for a service, and lets who reads the same again wait on', async () => {
    for (const path of ['/v1/catalog/nodes', '/v1/catalog/node/rack-7', '/v1/health/service/db', '/v1/health/node/rack-7']) {
      await deregister({ Node: 'rack-7' })
      expect(await api.blocks(path, () => register(DB))).toBe(true)
    }
    const { index } = await register(DB)
    expect((await register(DB)).index).toBe(index)
  })

  it('gives sidecars of other nodes to callers, at the node’s address where they have none', async () => {
    const proxy = {
      Kind: 'connect-proxy',
      Service: 'db-proxy',
      Port: 20_000,
      Proxy: { DestinationServiceName: 'db', DestinationServiceID: 'db-1' },
    }
    await register({
      Node: 'far',
      Address: '192.0.2.10',
      Service: proxy,
      Check: { CheckID: 'p', Name: 'p', ServiceID: 'db-proxy', Status: 'passing' },
    })
    await register({ Node: 'away', Address: '192.0.2.11', Service: { ...proxy, Address: '192.0.2.12' } })
    await api.put('/v1/agent/service/register', {
      Name: 'web',
      Port: 1,
      Connect: { SidecarService: { Proxy: { Upstreams: [{ DestinationName: 'db', LocalBindPort: 9191 }] } } },
    })
    const sidecar = new TestSidecar(api.plane.grpcAddress, 'web-sidecar-proxy')
    // The stream of a proxy says which node it is on.
    const far = new TestSidecar(api.plane.grpcAddress, 'db-proxy', undefined, 'far')
    try {
      await sidecar.until(() => sidecar.endpoints.size > 0)
      const [assignment] = sidecar.endpoints.values()
      const seen = assignment!.endpoints[0]!.lbEndpoints.map(({ hostIdentifier }) => hostIdentifier)
      expect(seen).toMatchObject(
        ['192.0.2.12', '192.0.2.10'].map(address => ({
          value: { address: { address: { value: { address, portSpecifier: { value: 20_000 } } } } },
        })),
      )
      expect(await names('/v1/catalog/connect/db', 'ServiceID')).toEqual(['db-proxy', 'db-proxy'])
      await far.until(() => far.listeners.size > 0)
      expect([...far.listeners.keys()]).toEqual(['public_listener:0.0.0.0:20000'])
      const states = (await api.get('/v1/outrigger/proxies')).body as { Node: string; ID: string; Connected: boolean }[]
      expect(states.map(({ Node, ID, Connected }) => `${Node} ${ID} ${Connected}`).sort()).toEqual([
        'away db-proxy false',
        'far db-proxy true',
        'node-1 web-sidecar-proxy true',
      ])
    } finally {
      sidecar.close()
      far.close()
    }
  })
})

describe('PUT /v1/catalog/deregister', () => {
  it('takes out a check, a service with its checks, or a node with all that is on it', async () => {
    await register(DB)
    expect((await deregister({ Node: 'rack-7', CheckID: 'db-check' })).body).toBe(true)
    expect(await names('/v1/health/node/rack-7', 'CheckID')).toEqual(['node-alive'])
    await register(DB)
    await deregister({ Node: 'rack-7', ServiceID: 'db-1', CheckID: 'node-alive' })
    expect(await names('/v1/health/node/rack-7', 'CheckID')).toEqual(['node-alive'])
    await register(DB)
    await deregister({ Node: 'rack-7' })
    expect(await names('/v1/catalog/nodes', 'Node')).toEqual(['node-1'])
    expect(await names('/v1/health/state/any', 'CheckID')).toEqual(['serfHealth'])
    expect((await deregister({ Node: 'rack-7' })).body).toBe(true)
    expect(await deregister({})).toMatchObject({ status: 500, body: 'Must provide node' })
  })
})

describe('the catalog in a transaction', () => {
  const txn = (...operations: object[]) => api.put('/v1/txn', operations)

  it('sets and reads a node, a service and a check beside keys, all at one index', async () => {
    const { status, body, index } = await txn(
      { Node: { Verb: 'set', Node: { Node: 'n2', Address: '192.0.2.2', Meta: { a: 'b' } } } },
      { Service: { Verb: 'set', Node: 'n2', Service: { ID: 's1', Service: 's', Port: 1 } } },
      { Check: { Verb: 'set', Check: { Node: 'n2', CheckID: 'c1', Name: 'c', ServiceID: 's1', Status: 'passing' } } },
      { KV: { Verb: 'set', Key: 'k', Value: 'dg==' } },
      { Service: { Verb: 'get', Node: 'n2', Service: { ID: 's1' } } },
    )
    expect(status).toBe(200)
    expect(body.Results[0].Node).toMatchObject({ Node: 'n2', Meta: { a: 'b' }, CreateIndex: index, ModifyIndex: index })
    expect(body.Results[2].Check).toMatchObject({ Node: 'n2', CheckID: 'c1', ServiceName: 's', ModifyIndex: index })
    expect(body.Results[3].KV).toMatchObject({ Key: 'k', ModifyIndex: index })
    expect(body.Results[4].Service).toMatchObject({ ID: 's1', Port: 1, ModifyIndex: index })
    expect(await names('/v1/catalog/service/s', 'Node')).toEqual(['n2'])
  })

  it('compares before it sets or deletes, and does nothing when one operation fails', async () => {
    const { index } = await txn({ Node: { Verb: 'cas', Node: { Node: 'n2', Address: '192.0.2.2', ModifyIndex: 0 } } })
    const failed = await txn(
      { Node: { Verb: 'delete-cas', Node: { Node: 'n2', ModifyIndex: index } } },
      { Node: { Verb: 'get', Node: { Node: 'n2' } } },
      { Service: { Verb: 'cas', Node: 'n2', Service: { Service: 's', ModifyIndex: 7 } } },
      { Check: { Verb: 'delete-cas', Check: { Node: 'n2', CheckID: 'c', ModifyIndex: 7 } } },
      { Check: { Verb: 'fly', Check: { Node: 'n2', CheckID: 'c' } } },
    )
    expect(failed).toMatchObject({
      status: 409,
      body: {
        Errors: [
          { OpIndex: 1, What: 'node "n2" doesn\'t exist' },
          { OpIndex: 2, What: 'failed to set service "s" on node "n2", index is stale' },
          { OpIndex: 3, What: 'failed to delete check "c" on node "n2", index is stale' },
          { OpIndex: 4, What: 'unknown Check verb "fly"' },
        ],
      },
    })
    expect(await names('/v1/catalog/nodes', 'Node')).toEqual(['n2', 'node-1'])
    expect((await txn({ Node: { Verb: 'delete-cas', Node: { Node: 'n2', ModifyIndex: index } } })).status).toBe(200)
    expect(await names('/v1/catalog/nodes', 'Node')).toEqual(['node-1'])
  })

  it('ends a session, whose keys are released in the same commit', async () => {
    const { ID: session } = (await api.put('/v1/session/create', {})).body
    await api.put(`/v1/kv/lock?acquire=${session}`, 'x')
    const { index } = await txn({ Session: { Verb: 'delete', Session: { ID: session } } })
    expect((await api.get('/v1/kv/lock')).body[0]).toMatchObject({ ModifyIndex: index })
    expect((await api.get('/v1/kv/lock')).body[0].Session).toBeUndefined()
    expect((await api.get('/v1/session/list')).body).toEqual([])
  })
})

describe('with ACLs', () => {
  it('asks for the node where the node changes, and for the service alone otherwise', async () => {
    const management = '8a1f0a3e-7f0b-4a70-9d0b-9b5f5a2b7c11'
    const acl = await ApiFixture.start({ acl: { defaultPolicy: 'deny', initialManagement: management } })
    try {
      const as = (token: string) => ({ 'x-consul-token': token })
      const put = async (path: string, body: object, token: string) => (await acl.call('PUT', path, body, as(token))).status
      await put('/v1/acl/policy', { Name: 'db', Rules: 'service "db" { policy = "write" }' }, management)
      const made = await acl.call('PUT', '/v1/acl/token', { Policies: [{ Name: 'db' }] }, as(management))
      const token = made.body.SecretID
      expect(await put('/v1/catalog/register', DB, token)).toBe(403)
      expect(await put('/v1/catalog/register', DB, management)).toBe(200)
      const again = { ...DB, NodeMeta: undefined, SkipNodeUpdate: true, Checks: [DB.Checks[1]!] }
      expect(await put('/v1/catalog/register', again, token)).toBe(200)
      expect(await put('/v1/catalog/register', { ...again, Checks: [DB.Checks[0]!] }, token)).toBe(403)
      expect(await put('/v1/catalog/register', { ...again, Service: { ID: 'db-1', Service: 'api' } }, token)).toBe(403)
      expect(await put('/v1/catalog/deregister', { Node: 'rack-7', CheckID: 'node-alive' }, token)).toBe(403)
      expect(await put('/v1/catalog/deregister', { Node: 'rack-7', CheckID: 'db-check' }, token)).toBe(200)
      expect(await put('/v1/catalog/deregister', { Node: 'rack-7', ServiceID: 'db-1' }, token)).toBe(200)
      expect(await put('/v1/catalog/deregister', { Node: 'rack-7' }, token)).toBe(403)
    } finally {
      await acl.stop()
    }
  })
})
