import { describe, expect, test } from 'vitest'
import type { ConfigEntryIndex } from '../../../src/control/config-entries/types.js'
import { type ChainRequest, compileDiscoveryChain } from '../../../src/control/discovery-chain/compile.js'
import { entries, protocol, resolver, router, splitter, subsets } from './entries.js'

const TD = 'td.consul'
type Overrides = Partial<Omit<ChainRequest, 'entries' | 'service'>>

const compile = (service: string, index: ConfigEntryIndex, overrides: Overrides = {}) =>
  compileDiscoveryChain({ service, datacenter: 'dc1', trustDomain: TD, entries: index, ...overrides })

function chainOf(service: string, index: ConfigEntryIndex, overrides: Overrides = {}) {
  const result = compile(service, index, overrides)
  if ('errors' in result) throw new Error(JSON.stringify(result.errors))
  return result.chain
}

const errorsOf = (service: string, index: ConfigEntryIndex, overrides: Overrides = {}) => {
  const result = compile(service, index, overrides)
  return 'errors' in result ? result.errors.map(error => error.reason).join('\n') : ''
}

const splitsOf = (service: string, index: ConfigEntryIndex) => {
  const chain = chainOf(service, index)
  const node = chain.Nodes[chain.StartNode]!
  return node.Type === 'splitter' ? node.Splits : []
}

describe('discovery chain', () => {
  test('no entries: the default chain, in the shape of Consul’s API', () => {
    expect(JSON.parse(JSON.stringify(chainOf('web', entries())))).toEqual({
      ServiceName: 'web',
      Namespace: 'default',
      Partition: 'default',
      Datacenter: 'dc1',
      Default: true,
      Protocol: 'tcp',
      StartNode: 'resolver:web.default.default.dc1',
      Nodes: {
        'resolver:web.default.default.dc1': {
          Type: 'resolver',
          Name: 'web.default.default.dc1',
          Resolver: { Default: true, ConnectTimeout: '5s', Target: 'web.default.default.dc1' },
        },
      },
      Targets: {
        'web.default.default.dc1': {
          ID: 'web.default.default.dc1',
          Service: 'web',
          Namespace: 'default',
          Partition: 'default',
          Datacenter: 'dc1',
          MeshGateway: {},
          Subset: {},
          ConnectTimeout: '5s',
          SNI: `web.default.dc1.internal.${TD}`,
          Name: `web.default.dc1.internal.${TD}`,
          TransparentProxy: {},
        },
      },
    })
  })

  test('protocol: service-defaults, else proxy-defaults, else tcp', () => {
    const proxyDefaults = { Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'HTTP' } }
    expect(chainOf('web', entries(proxyDefaults)).Protocol).toBe('http')
    expect(chainOf('web', entries(proxyDefaults, protocol('web', 'grpc'))).Protocol).toBe('grpc')
    expect(chainOf('web', entries(proxyDefaults, { Kind: 'service-defaults', Name: 'web', MaxInboundConnections: 3 })).Protocol).toBe(
      'http',
    )
    expect(chainOf('web', entries()).Protocol).toBe('tcp')
  })

  test('the canary: router, splitter with a leg of weight 0, subsets', () => {
    const chain = chainOf(
      'api',
      entries(
        protocol('api', 'http'),
        resolver('api', { ...subsets, DefaultSubset: 'v1', ConnectTimeout: '2s', RequestTimeout: '9s' }),
        splitter('api', { Weight: 100, ServiceSubset: 'v1' }, { Weight: 0, ServiceSubset: 'v2' }),
        router('api', { Match: { HTTP: { PathPrefix: '/v2' } }, Destination: { ServiceSubset: 'v2' } }),
      ),
    )
    expect(chain.StartNode).toBe('router:api.default.default')
    expect(chain.Default).toBeUndefined()
    expect(Object.keys(chain.Nodes).sort()).toEqual([
      'resolver:v1.api.default.default.dc1',
      'resolver:v2.api.default.default.dc1',
      'router:api.default.default',
      'splitter:api.default.default',
    ])
    const start = chain.Nodes[chain.StartNode]!
    // The route to a subset passes the splitter by; everything else goes to it by the catch-all at the end.
    expect(start.Type === 'router' && start.Routes.map(route => [route.Definition.Match?.HTTP?.PathPrefix, route.NextNode])).toEqual([
      ['/v2', 'resolver:v2.api.default.default.dc1'],
      ['/', 'splitter:api.default.default'],
    ])
    expect(chain.Nodes['splitter:api.default.default']).toMatchObject({
      Splits: [
        { Weight: 100, NextNode: 'resolver:v1.api.default.default.dc1' },
        { Weight: 0, NextNode: 'resolver:v2.api.default.default.dc1' },
      ],
    })
    expect(chain.Nodes['resolver:v1.api.default.default.dc1']).toMatchObject({ Resolver: { ConnectTimeout: '2s', RequestTimeout: '9s' } })
    expect(chain.Targets['v2.api.default.default.dc1']).toMatchObject({
      ServiceSubset: 'v2',
      Subset: { Filter: 'Service.Meta.version == v2', OnlyPassing: true },
      SNI: `v2.api.default.dc1.internal.${TD}`,
      ConnectTimeout: '2s',
    })
  })

  test('only the router of the top service counts', () => {
    const index = entries(
      protocol('web', 'http'),
      protocol('api', 'http'),
      router('web', { Match: { HTTP: { PathPrefix: '/api' } }, Destination: { Service: 'api' } }),
      router('api', { Match: { HTTP: { PathPrefix: '/x' } }, Destination: { Service: 'elsewhere' } }),
    )
    const chain = chainOf('web', index)
    expect(Object.keys(chain.Nodes)).not.toContain('router:api.default.default')
    expect(Object.keys(chain.Targets).sort()).toEqual(['api.default.default.dc1', 'web.default.default.dc1'])
  })

  test('nested splitters are flattened: weights multiply, request headers of the child win, response headers of the parent', () => {
    const headers = (value: string) => ({ RequestHeaders: { Set: { x: value }, Remove: [value] }, ResponseHeaders: { Set: { y: value } } })
    const index = entries(
      protocol('a', 'http'),
      protocol('b', 'http'),
      protocol('c', 'http'),
      splitter('a', { Weight: 60, Service: 'b', ...headers('parent') }, { Weight: 40 }),
      splitter('b', { Weight: 50, ...headers('child') }, { Weight: 50, Service: 'c' }),
    )
    const splits = splitsOf('a', index)
    expect(splits.map(split => [split.Weight, split.NextNode])).toEqual([
      [30, 'resolver:b.default.default.dc1'],
      [30, 'resolver:c.default.default.dc1'],
      [40, 'resolver:a.default.default.dc1'],
    ])
    expect(splits[0]!.Definition).toMatchObject({
      RequestHeaders: { Set: { x: 'child' }, Remove: ['parent', 'child'] },
      ResponseHeaders: { Set: { y: 'parent' } },
    })
    expect(splits[1]!.Definition).toMatchObject({ Service: 'c', RequestHeaders: { Set: { x: 'parent' } } })
    expect(Object.keys(chainOf('a', index).Nodes)).not.toContain('splitter:b.default.default')
  })

  test('flattened weights keep hundredths', () => {
    const index = entries(
      protocol('a', 'http'),
      protocol('b', 'http'),
      splitter('a', { Weight: 33.33, Service: 'b' }, { Weight: 66.67 }),
      splitter('b', { Weight: 0.01 }, { Weight: 99.99, ServiceSubset: 'v1' }),
      resolver('b', subsets),
    )
    expect(splitsOf('a', index).map(split => split.Weight)).toEqual([0, 33.33, 66.67])
  })

  test('the first hash-based balancer of a split is the splitter’s', () => {
    const lb = (Policy: string) => ({ LoadBalancer: { Policy } })
    const chain = chainOf(
      'a',
      entries(
        protocol('a', 'http'),
        protocol('b', 'http'),
        protocol('c', 'http'),
        splitter('a', { Weight: 50 }, { Weight: 25, Service: 'b' }, { Weight: 25, Service: 'c' }),
        resolver('a', lb('random')),
        resolver('b', lb('maglev')),
        resolver('c', lb('ring_hash')),
      ),
    )
    expect(chain.Nodes[chain.StartNode]).toMatchObject({ LoadBalancer: { Policy: 'maglev' } })
  })

  test('redirects are followed, the default subset of the last service applies, and the chain is no default chain', () => {
    const index = entries(
      resolver('web', { Redirect: { Service: 'mid' } }),
      resolver('mid', { Redirect: { Service: 'api', Datacenter: 'dc2' } }),
      resolver('api', { ...subsets, DefaultSubset: 'v1' }),
    )
    const chain = chainOf('web', index)
    expect(chain.StartNode).toBe('resolver:v1.api.default.default.dc2')
    expect(Object.keys(chain.Targets)).toEqual(['v1.api.default.default.dc2'])
    // A redirect to a service without entries ends at a default resolver, and is still none.
    expect(chainOf('web', entries(resolver('web', { Redirect: { Service: 'plain' } }))).Default).toBeUndefined()
  })

  test('a redirect to a peer ends there, although the peered service has the redirecting name', () => {
    const chain = chainOf('web', entries(resolver('web', { Redirect: { Service: 'web', Peer: 'east' } })))
    expect(chain.Targets['web.default.default.external.east']).toMatchObject({ Peer: 'east', Datacenter: '', SNI: '' })
    expect(chain.StartNode).toBe('resolver:web.default.default.external.east')
  })

  test('failover: by subset, else *, never to itself, without failover of the targets', () => {
    const raws = [
      resolver('web', { ...subsets, Failover: { v1: { ServiceSubset: 'v2' }, '*': { Datacenters: ['dc1', 'dc2'] } } }),
      resolver('backup', { Failover: { '*': { Service: 'never' } } }),
      resolver('other', { Failover: { '*': { Targets: [{ Service: 'other' }, { Service: 'backup' }, { Peer: 'east' }] } } }),
    ]
    // A subset is reached through a redirect to it.
    const failover = (service: string, ServiceSubset?: string) => {
      const chain = chainOf('top', entries(...raws, resolver('top', { Redirect: { Service: service, ServiceSubset } })))
      const node = chain.Nodes[chain.StartNode]!
      return { targets: node.Type === 'resolver' ? node.Resolver.Failover?.Targets : [], known: Object.keys(chain.Targets) }
    }
    expect(failover('web').targets).toEqual(['web.default.default.dc2'])
    expect(failover('web', 'v1').targets).toEqual(['v2.web.default.default.dc1'])
    expect(failover('web', 'v2').targets).toEqual(['v2.web.default.default.dc2'])
    const other = failover('other')
    expect(other.targets).toEqual(['backup.default.default.dc1', 'other.default.default.external.east'])
    expect(other.known).toContain('backup.default.default.dc1')
    expect(other.known.join()).not.toContain('never')
  })

  test('a failover whose targets are all the target itself is none', () => {
    const chain = chainOf('web', entries(resolver('web', { Failover: { '*': { Datacenters: ['dc1'] } } })))
    expect(chain.Nodes[chain.StartNode]).not.toHaveProperty('Resolver.Failover')
  })

  test('overrides: only those that change something give a customization hash', () => {
    const index = entries(protocol('web', 'http'), splitter('web', { Weight: 100 }), resolver('web', { ConnectTimeout: '3s' }))
    expect(chainOf('web', index, { overrideProtocol: 'http', overrideConnectTimeoutMs: 3000 }).CustomizationHash).toBeUndefined()
    const tcp = chainOf('web', index, { overrideProtocol: 'tcp' })
    expect(tcp).toMatchObject({ Protocol: 'tcp', StartNode: 'resolver:web.default.default.dc1' })
    expect(tcp.CustomizationHash).toMatch(/^[0-9a-f]{8}$/)
    const slow = chainOf('web', index, { overrideConnectTimeoutMs: 7000 })
    expect(slow.CustomizationHash).not.toBe(tcp.CustomizationHash)
    expect(slow.Targets['web.default.default.dc1']!.ConnectTimeout).toBe('7s')
    expect(chainOf('web', index, { overrideConnectTimeoutMs: 7000 }).CustomizationHash).toBe(slow.CustomizationHash)
    const remote = chainOf('web', index, { overrideMeshGateway: 'remote' })
    expect(remote.CustomizationHash).toMatch(/^[0-9a-f]{8}$/)
    expect(remote.Targets['web.default.default.dc1']!.MeshGateway).toEqual({ Mode: 'remote' })
  })

  test('external SNI changes the SNI and not the name, and forbids redirect, subsets and failover', () => {
    const external = { Kind: 'service-defaults', Name: 'ext', ExternalSNI: 'ext.example.com' }
    const { Targets } = chainOf('ext', entries(external))
    expect(Targets['ext.default.default.dc1']).toMatchObject({
      SNI: 'ext.example.com',
      External: true,
      Name: `ext.default.dc1.internal.${TD}`,
    })
    expect(errorsOf('ext', entries(external, resolver('ext', subsets)))).toMatch(/cannot define subsets/)
    expect(errorsOf('ext', entries(external, resolver('ext', { Failover: { '*': { Service: 'b' } } })))).toMatch(/cannot define failover/)
  })
})

describe('chains that do not compile', () => {
  test.each<[string, string, Record<string, unknown>[], RegExp]>([
    [
      'consul#8466: a router on a tcp service is an error, not a crash',
      'web',
      [router('web', { Match: { HTTP: { PathPrefix: '/' } } })],
      /"tcp" that does not permit advanced routing or splitting/,
    ],
    ['a splitter on a tcp service', 'web', [splitter('web', { Weight: 100 })], /does not permit advanced routing/],
    [
      'a missing subset',
      'web',
      [protocol('web', 'http'), splitter('web', { Weight: 100, ServiceSubset: 'v9' })],
      /does not have a subset named "v9"/,
    ],
    [
      'an inherited property is no subset',
      'web',
      [protocol('web', 'http'), resolver('web', subsets), splitter('web', { Weight: 100, ServiceSubset: 'constructor' })],
      /does not have a subset named "constructor"/,
    ],
    [
      'protocols that differ',
      'web',
      [protocol('web', 'http'), protocol('api', 'grpc'), splitter('web', { Weight: 50 }, { Weight: 50, Service: 'api' })],
      /inconsistent protocols; service "api" has "grpc" which is not "http"/,
    ],
    [
      'splitters in a circle',
      'a',
      [
        protocol('a', 'http'),
        protocol('b', 'http'),
        splitter('a', { Weight: 100, Service: 'b' }),
        splitter('b', { Weight: 100, Service: 'a' }),
      ],
      /circular reference: \[splitter:a.default.default -> splitter:b.default.default -> splitter:a.default.default\]/,
    ],
    [
      'redirects in a circle',
      'a',
      [resolver('a', { Redirect: { Service: 'b' } }), resolver('b', { Redirect: { Service: 'a' } })],
      /circular resolver redirect: \[a.default.default.dc1 -> b.default.default.dc1 -> a.default.default.dc1\]/,
    ],
    [
      'failover to a missing subset',
      'a',
      [resolver('a', { Failover: { '*': { Service: 'b', ServiceSubset: 'v9' } } })],
      /"b" does not have a subset named "v9"/,
    ],
  ])('%s', (_name, service, raws, reason) => {
    expect(errorsOf(service, entries(...raws))).toMatch(reason)
  })

  test('splitters that multiply without end are refused', () => {
    const names = Array.from({ length: 12 }, (_, i) => `s${i}`)
    const raws = names.flatMap((name, i) => {
      const legs =
        names[i + 1] === undefined
          ? [{ Weight: 100 }]
          : [
              { Weight: 50, Service: names[i + 1] },
              { Weight: 50, Service: `${names[i + 1]}-b` },
            ]
      const twin = splitter(`${name}-b`, ...legs.map(leg => ({ ...leg })))
      return [protocol(name, 'http'), protocol(`${name}-b`, 'http'), splitter(name, ...legs), twin]
    })
    expect(errorsOf('s0', entries(...raws))).toMatch(/more than 1000 split legs/)
  })

  test('a very long chain of splitters is refused or compiled, without overflowing the stack', () => {
    const raws = Array.from({ length: 5000 }, (_, i) => splitter(`s${i}`, { Weight: 100, Service: `s${i + 1}` }))
    const index = entries({ Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } }, ...raws)
    expect(errorsOf('s0', index)).toMatch(/nests more than|more than 2000 nodes/)
  })
})
