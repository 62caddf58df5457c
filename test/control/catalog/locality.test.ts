// Where nodes and services are, and what the sidecars of each zone are told: the nearest instances first.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ApiFixture } from '../http-api/api-fixture.js'
import { TestSidecar } from '../test-sidecar.js'

let api: ApiFixture
const sidecars: TestSidecar[] = []
beforeEach(async () => {
  api = await ApiFixture.start({ locality: { Region: 'eu', Zone: 'a' } })
})
afterEach(async () => {
  for (const sidecar of sidecars.splice(0)) sidecar.close()
  await api.stop()
})

interface Place {
  readonly Region: string
  readonly Zone?: string
}

async function put(path: string, body: object): Promise<void> {
  const answer = await api.put(path, body)
  expect([path, answer.status, answer.status === 200 ? '' : answer.body]).toEqual([path, 200, ''])
}

/** A node with an instance of a service and its sidecar. */
async function place(node: string, address: string, service: string, locality: Place | undefined, own?: Place): Promise<void> {
  const on = { Node: node, Address: address, ...(locality && { Locality: locality }) }
  const where = own && { Locality: own }
  await put('/v1/catalog/register', { ...on, Service: { ID: service, Service: service, Port: 1, ...where } })
  const proxy = { DestinationServiceName: service, DestinationServiceID: service, Upstreams: service === 'web' ? UPSTREAMS : [] }
  const sidecar = { ID: `${service}-sidecar`, Service: `${service}-sidecar`, Kind: 'connect-proxy', Port: 20_000, Proxy: proxy }
  await put('/v1/catalog/register', { ...on, Service: sidecar })
}

const UPSTREAMS = [{ DestinationName: 'api', LocalBindPort: 9_191 }]

async function callerOn(node: string): Promise<TestSidecar> {
  const sidecar = new TestSidecar(api.plane.grpcAddress, 'web-sidecar', undefined, node)
  sidecars.push(sidecar)
  await sidecar.until(() => sidecar.endpoints.size > 0)
  return sidecar
}

/** By priority: the addresses, each with its locality. */
function order(sidecar: TestSidecar): string[][] {
  const [assignment] = sidecar.endpoints.values()
  const byPriority: string[][] = []
  for (const { priority, locality, lbEndpoints } of assignment!.endpoints)
    for (const { hostIdentifier } of lbEndpoints) {
      const endpoint = hostIdentifier.value as { address: { address: { value: { address: string } } } }
      const where = locality === undefined ? '' : ` ${locality.region}/${locality.zone}`
      byPriority[priority] = [...(byPriority[priority] ?? []), endpoint.address.address.value.address + where]
    }
  return byPriority
}

const overprovisioning = (sidecar: TestSidecar): number | undefined => [...sidecar.endpoints.values()][0]!.policy?.overprovisioningFactor

async function fourApis(): Promise<void> {
  await place('n1', '10.0.0.1', 'api', { Region: 'eu', Zone: 'a' })
  await place('n2', '10.0.0.2', 'api', { Region: 'eu', Zone: 'b' })
  await place('n3', '10.0.0.3', 'api', { Region: 'us', Zone: 'a' })
  await place('n4', '10.0.0.4', 'api', undefined)
}

describe('PrioritizeByLocality', () => {
  it('gives each proxy the instances of its zone first, then those of its region, then the others', async () => {
    await fourApis()
    await place('w1', '10.0.1.1', 'web', { Region: 'eu', Zone: 'a' })
    await place('w2', '10.0.1.2', 'web', { Region: 'us' })
    await place('w3', '10.0.1.3', 'web', undefined)
    await put('/v1/config', { Kind: 'proxy-defaults', Name: 'global', PrioritizeByLocality: { Mode: 'failover' } })
    const near = await callerOn('w1')
    expect(order(near)).toEqual([['10.0.0.1 eu/a'], ['10.0.0.2 eu/b'], ['10.0.0.4', '10.0.0.3 us/a']])
    expect(overprovisioning(near)).toBe(100_000)
    expect(order(await callerOn('w2'))).toEqual([['10.0.0.3 us/a'], ['10.0.0.4', '10.0.0.1 eu/a', '10.0.0.2 eu/b']])
    // Who is nowhere has nothing near.
    const nowhere = await callerOn('w3')
    expect(order(nowhere)).toEqual([['10.0.0.4', '10.0.0.1 eu/a', '10.0.0.2 eu/b', '10.0.0.3 us/a']])
    expect(overprovisioning(nowhere)).toBeUndefined()
  })

  it('is explained: how many are near, how many are well, and where requests go', async () => {
    await fourApis()
    await place('w1', '10.0.1.1', 'web', { Region: 'eu', Zone: 'a' })
    await place('w3', '10.0.1.3', 'web', undefined)
    const lines = async (): Promise<string[]> => (await api.get('/v1/outrigger/explain?from=web&to=api')).body.localities
    expect(await lines()).toEqual([])
    await put('/v1/config', { Kind: 'proxy-defaults', Name: 'global', PrioritizeByLocality: { Mode: 'failover' } })
    await put('/v1/catalog/register', {
      ...{ Node: 'n1', Address: '10.0.0.1', SkipNodeUpdate: true },
      Check: { Name: 'down', ServiceID: 'api-sidecar', Status: 'critical' },
    })
    expect(await lines()).toEqual([
      'api: where a proxy says no locality, and neither its service nor its node does, all instances are alike',
      'api: from eu/a: its zone (0 of 1 healthy), then the rest of eu (1 of 1 healthy), then elsewhere (2 of 2 healthy); requests go to the rest of eu, the nearest with a healthy instance',
    ])
  })

  it('is off by default, and a resolver stands over proxy-defaults', async () => {
    await fourApis()
    await place('w1', '10.0.1.1', 'web', { Region: 'eu', Zone: 'a' })
    const caller = await callerOn('w1')
    expect(order(caller)).toHaveLength(1)
    await put('/v1/config', { Kind: 'service-resolver', Name: 'api', PrioritizeByLocality: { Mode: 'failover' } })
    await caller.until(() => order(caller).length === 3)
    await put('/v1/config', { Kind: 'proxy-defaults', Name: 'global', PrioritizeByLocality: { Mode: 'failover' } })
    await put('/v1/config', { Kind: 'service-resolver', Name: 'api', PrioritizeByLocality: { Mode: 'none' } })
    await caller.until(() => order(caller).length === 1)
  })

  it('follows proxies and instances that move', async () => {
    await fourApis()
    await place('w1', '10.0.1.1', 'web', { Region: 'eu', Zone: 'a' })
    await put('/v1/config', { Kind: 'proxy-defaults', Name: 'global', PrioritizeByLocality: { Mode: 'failover' } })
    const caller = await callerOn('w1')
    const first = (): string => order(caller)[0]!.join()
    expect(first()).toBe('10.0.0.1 eu/a')
    // The node of an instance; the service itself, which its sidecar follows; the node of the caller; the caller's service.
    await place('n1', '10.0.0.1', 'api', { Region: 'eu', Zone: 'c' })
    await caller.until(() => first() === '10.0.0.2 eu/b,10.0.0.1 eu/c')
    await place('n2', '10.0.0.2', 'api', { Region: 'eu', Zone: 'b' }, { Region: 'eu', Zone: 'a' })
    await caller.until(() => first() === '10.0.0.2 eu/a')
    await place('w1', '10.0.1.1', 'web', { Region: 'us', Zone: 'a' })
    await caller.until(() => first() === '10.0.0.3 us/a')
    await place('w1', '10.0.1.1', 'web', { Region: 'us', Zone: 'a' }, { Region: 'eu', Zone: 'c' })
    await caller.until(() => first() === '10.0.0.1 eu/c')
  })
})

describe('order-by-locality', () => {
  const resolver = (Policy: object) => ({
    ...{ Kind: 'service-resolver', Name: 'api' },
    Failover: {
      '*': {
        Targets: [{ Service: 'far' }, { Service: 'listed' }, { Service: 'region' }, { Service: 'zone' }, { Service: 'none' }],
        Policy,
      },
    },
  })
  /** The addresses of the targets, in the order in which they are tried. */
  const tried = (sidecar: TestSidecar): string[] =>
    [...sidecar.endpoints.keys()]
      .filter(name => name.startsWith('failover-target~'))
      .sort()
      .map(name => {
        const [endpoint] = sidecar.endpoints.get(name)!.endpoints.flatMap(({ lbEndpoints }) => lbEndpoints)
        if (endpoint === undefined) return ''
        return (endpoint.hostIdentifier.value as { address: { address: { value: { address: string } } } }).address.address.value.address
      })

  async function targets(): Promise<void> {
    await place('n0', '10.0.0.9', 'api', { Region: 'asia', Zone: 'a' })
    await place('n1', '10.0.0.1', 'far', { Region: 'africa', Zone: 'a' })
    await place('n2', '10.0.0.2', 'listed', { Region: 'us', Zone: 'a' })
    await place('n3', '10.0.0.3', 'region', { Region: 'eu', Zone: 'b' })
    await place('n4', '10.0.0.4', 'zone', { Region: 'eu', Zone: 'a' })
  }
  const listed = ['10.0.0.9', '10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '']

  it('fails over to the nearest target first, each proxy by its own place, and the regions of the policy before others', async () => {
    await targets()
    await place('w1', '10.0.1.1', 'web', { Region: 'eu', Zone: 'a' })
    await place('w2', '10.0.1.2', 'web', { Region: 'us', Zone: 'b' })
    await place('w3', '10.0.1.3', 'web', undefined)
    await put('/v1/config', resolver({ Mode: 'order-by-locality', Regions: ['us', 'eu'] }))
    const [near, west, nowhere] = [await callerOn('w1'), await callerOn('w2'), await callerOn('w3')]
    // The service itself stays the first, and what has no instances is the last.
    const inEurope = ['10.0.0.9', '10.0.0.4', '10.0.0.3', '10.0.0.2', '10.0.0.1', '']
    await near.until(() => tried(near).join() === inEurope.join())
    await west.until(() => tried(west).join() === ['10.0.0.9', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.1', ''].join())
    await nowhere.until(() => tried(nowhere).join() === ['10.0.0.9', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.1', ''].join())
    expect((await api.get('/v1/outrigger/explain?from=web&to=api')).body.localities).toEqual([
      'api: from no known place it fails over to listed, then region, then zone, then far, then none',
      'api: from eu/a it fails over to zone, then region, then listed, then far, then none',
      'api: from us/b it fails over to listed, then region, then zone, then far, then none',
    ])

    // A subset is where its instances are, not where all of its service's are.
    await put('/v1/catalog/register', {
      Node: 'n4',
      SkipNodeUpdate: true,
      Service: { ID: 'far-v1', Service: 'far', Port: 1, Connect: { Native: true } },
    })
    await put('/v1/config', { Kind: 'service-resolver', Name: 'far', Subsets: { v2: { Filter: 'Service.ID != "far-v1"' } } })
    const byName = ['far', 'listed', 'region', 'zone', 'none'].map(Service => ({
      Service,
      ...(Service === 'far' && { ServiceSubset: 'v2' }),
    }))
    const ofSubset = { '*': { Targets: byName, Policy: { Mode: 'order-by-locality', Regions: ['us', 'eu'] } } }
    await put('/v1/config', { Kind: 'service-resolver', Name: 'api', Failover: ofSubset })
    await near.until(() => tried(near).join() === inEurope.join())
    expect((await api.get('/v1/outrigger/explain?from=web&to=api')).body.localities).toContain(
      'api: from eu/a it fails over to zone, then region, then listed, then far (v2), then none',
    )
    await put('/v1/catalog/deregister', { Node: 'n4', ServiceID: 'far-v1' })
    await put('/v1/config', resolver({ Mode: 'order-by-locality', Regions: ['us', 'eu'] }))

    // What moves is tried in its new place; what comes is no more the last; a check that fails moves nothing.
    await place('n1', '10.0.0.1', 'far', { Region: 'eu', Zone: 'a' })
    await near.until(() => tried(near).join() === ['10.0.0.9', '10.0.0.1', '10.0.0.4', '10.0.0.3', '10.0.0.2', ''].join())
    await put('/v1/config', resolver({ Mode: 'sequential' }))
    await near.until(() => tried(near).join() === listed.join())
    await west.until(() => tried(west).join() === listed.join())
  })

  it('is taken from proxy-defaults where a resolver has no policy of its own', async () => {
    await targets()
    await place('w1', '10.0.1.1', 'web', { Region: 'eu', Zone: 'a' })
    await put('/v1/config', resolver({}))
    const near = await callerOn('w1')
    await near.until(() => tried(near).join() === listed.join())
    await put('/v1/config', { Kind: 'proxy-defaults', Name: 'global', FailoverPolicy: { Mode: 'order-by-locality' } })
    await near.until(() => tried(near).join() === ['10.0.0.9', '10.0.0.4', '10.0.0.3', '10.0.0.1', '10.0.0.2', ''].join())
  })
})

describe('localities', () => {
  it('of nodes and services are shown, and a sidecar takes its service’s', async () => {
    await place('n1', '10.0.0.1', 'api', { Region: 'us', Zone: 'a' })
    await put('/v1/agent/service/register', {
      Name: 'web',
      Port: 1,
      Locality: { Region: 'eu', Zone: 'b' },
      Connect: { SidecarService: {} },
    })
    const nodes = (await api.get('/v1/catalog/nodes')).body as { Node: string; Locality: object }[]
    expect(nodes.map(({ Node, Locality }) => [Node, Locality])).toEqual([
      ['n1', { Region: 'us', Zone: 'a' }],
      ['node-1', { Region: 'eu', Zone: 'a' }],
    ])
    expect((await api.get('/v1/health/service/api')).body[0].Node.Locality).toEqual({ Region: 'us', Zone: 'a' })
    expect((await api.get('/v1/agent/service/web-sidecar-proxy')).body.Locality).toEqual({ Region: 'eu', Zone: 'b' })
    expect((await api.get('/v1/catalog/service/web')).body[0].ServiceLocality).toEqual({ Region: 'eu', Zone: 'b' })
    const bootstrap = (await api.get('/v1/outrigger/bootstrap/web-sidecar-proxy')).body
    expect(bootstrap.node.locality).toEqual({ region: 'eu', zone: 'b' })
    await put('/v1/agent/service/register', { Name: 'web', Port: 1, Connect: { SidecarService: {} } })
    expect((await api.get('/v1/outrigger/bootstrap/web-sidecar-proxy')).body.node.locality).toEqual({ region: 'eu', zone: 'a' })
  })

  it('without a region are refused', async () => {
    const answer = await api.put('/v1/agent/service/register', { Name: 'web', Port: 1, Locality: { Zone: 'b' } })
    expect([answer.status, answer.body]).toEqual([400, expect.stringContaining('Locality.Region: must be set where Zone is')])
    const node = await api.put('/v1/catalog/register', { Node: 'n9', Address: '10.0.0.9', Locality: { Zone: 'b' } })
    expect(node.status).toBe(400)
  })
})
