// What sidecars in mode transparent are sent: the outbound listener, its chains by virtual address, passthrough, and permissive mTLS.
import { createRegistry, type DescMessage, fromBinary, toJson } from '@bufbuild/protobuf'
import { beforeEach, describe, expect, it } from 'vitest'
import { ClusterSchema } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { knownSchemas } from '../../../src/xds/resources/schemas.js'
import { CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../../src/xds/type-urls.js'
import { SnapshotFixture } from './snapshot-fixture.js'

const registry = createRegistry(...knownSchemas())
let mesh: SnapshotFixture

const TRANSPARENT = { Kind: 'proxy-defaults', Name: 'global', Mode: 'transparent' }
const OUTBOUND = 'outbound_listener:127.0.0.1:15001'
const allow = (source: string, ...names: string[]) =>
  names.map(Name => ({ Kind: 'service-intentions', Name, Sources: [{ Name: source, Action: 'allow' }] }))

beforeEach(async () => {
  mesh = await SnapshotFixture.open()
  for (const [i, Name] of ['api', 'db', 'web'].entries())
    expect(await mesh.register({ Name, Port: 8080 + i, Address: `10.0.0.${i + 1}`, Connect: { SidecarService: {} } })).toEqual([])
})

async function write(...entries: object[]): Promise<void> {
  for (const entry of entries) await mesh.write(entry)
}

// biome-ignore lint/suspicious/noExplicitAny: decoded messages are looked into freely.
function sent(id: string, type: string, schema: DescMessage): Record<string, any> {
  return Object.fromEntries(
    [...(mesh.build(id).snapshot.get(type) ?? [])].map(([name, { any }]) => [
      name,
      toJson(schema, fromBinary(schema, any.value), { registry }),
    ]),
  )
}
const listeners = (id = 'web-sidecar-proxy') => sent(id, LISTENER_TYPE, ListenerSchema)
const clusters = (id = 'web-sidecar-proxy') => sent(id, CLUSTER_TYPE, ClusterSchema)

describe('mode transparent', () => {
  it('has one outbound listener, with a chain for each service that may be called', async () => {
    await write(TRANSPARENT, ...allow('web', 'api', 'db'), { Kind: 'service-defaults', Name: 'db', Protocol: 'http' })
    const { [OUTBOUND]: outbound, ...others } = listeners()
    expect(Object.keys(others)).toEqual([expect.stringContaining('public_listener:')])
    expect(outbound).toMatchObject({
      address: { socketAddress: { address: '127.0.0.1', portValue: 15_001 } },
      trafficDirection: 'OUTBOUND',
      listenerFilters: [
        {
          name: 'envoy.filters.listener.original_dst',
          typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst' },
        },
      ],
      filterChains: [
        {
          name: 'api',
          filterChainMatch: { prefixRanges: [{ addressPrefix: '240.0.0.1', prefixLen: 32 }] },
          filters: [
            {
              name: 'envoy.filters.network.tcp_proxy',
              typedConfig: { statPrefix: 'upstream.api.default.default.dc1', cluster: mesh.cluster('api') },
            },
          ],
        },
        {
          name: 'db',
          filterChainMatch: { prefixRanges: [{ addressPrefix: '240.0.0.2', prefixLen: 32 }] },
          filters: [
            { name: 'envoy.filters.network.http_connection_manager', typedConfig: { statPrefix: 'upstream.db.default.default.dc1' } },
          ],
        },
      ],
      defaultFilterChain: {
        filters: [{ typedConfig: { statPrefix: 'upstream.original-destination', cluster: 'original-destination' } }],
      },
    })
    expect(clusters()['original-destination']).toEqual({
      name: 'original-destination',
      type: 'ORIGINAL_DST',
      lbPolicy: 'CLUSTER_PROVIDED',
      connectTimeout: '5s',
    })
    expect(Object.keys(clusters())).toEqual(['local_app', mesh.cluster('api'), mesh.cluster('db'), 'original-destination'])
  })

  it('knows nothing of services that the intentions forbid, and of itself', async () => {
    await write(TRANSPARENT, ...allow('web', 'api', 'web'), ...allow('other', 'db'))
    expect(listeners()[OUTBOUND].filterChains.map(({ name }: { name: string }) => name)).toEqual(['api'])
    await write({ Kind: 'service-intentions', Name: '*', Sources: [{ Name: 'web', Action: 'allow' }] })
    expect(listeners()[OUTBOUND].filterChains.map(({ name }: { name: string }) => name)).toEqual(['api', 'db'])
    await write({ Kind: 'service-intentions', Name: 'db', Sources: [{ Name: 'web', Action: 'deny' }] })
    expect(listeners()[OUTBOUND].filterChains.map(({ name }: { name: string }) => name)).toEqual(['api'])
  })

  it('keeps a service whose permissions decide by request', async () => {
    const Permissions = [{ Action: 'allow', HTTP: { PathPrefix: '/open' } }]
    await write(TRANSPARENT, { Kind: 'service-defaults', Name: 'db', Protocol: 'http' })
    await write({ Kind: 'service-intentions', Name: 'db', Sources: [{ Name: 'web', Permissions }] })
    expect(listeners()[OUTBOUND].filterChains.map(({ name }: { name: string }) => name)).toEqual(['db'])
  })

  it('lets nothing else out where the mesh says so, and has no listener then that leads nowhere', async () => {
    await write(TRANSPARENT, { Kind: 'mesh', Name: 'mesh', TransparentProxy: { MeshDestinationsOnly: true } })
    expect(listeners()).not.toHaveProperty([OUTBOUND])
    await write(...allow('web', 'api'))
    expect(listeners()[OUTBOUND]).not.toHaveProperty('defaultFilterChain')
    expect(clusters()).not.toHaveProperty('original-destination')
  })

  it('leaves explicit upstreams their listeners', async () => {
    const Upstreams = [{ DestinationName: 'api', LocalBindPort: 9191 }]
    await mesh.register({ Name: 'web', Port: 8082, Connect: { SidecarService: { Proxy: { Mode: 'transparent', Upstreams } } } })
    expect(listeners()[OUTBOUND]).not.toHaveProperty('filterChains')
    await write(...allow('web', 'api'))
    expect(Object.keys(listeners())).toEqual([expect.stringContaining('public'), 'api:127.0.0.1:9191', OUTBOUND])
    expect(listeners()[OUTBOUND].filterChains).toHaveLength(1)
  })

  it('sends the route table of a chain that is reached by its virtual address alone', async () => {
    await write(TRANSPARENT, ...allow('web', 'db'), { Kind: 'service-defaults', Name: 'db', Protocol: 'http' })
    await write({ Kind: 'service-resolver', Name: 'db', ConnectTimeout: '3s' })
    expect([...mesh.build('web-sidecar-proxy').snapshot.get(ROUTE_TYPE)!.keys()]).toEqual(['db'])
  })

  it('takes addresses of its own choice for a service, and none twice', async () => {
    const TaggedAddresses = { virtual: { Address: '10.96.0.7', Port: 80 } }
    await mesh.register({ Name: 'api', Port: 8080, TaggedAddresses, Connect: { SidecarService: {} } })
    await mesh.register({ Name: 'db', Port: 8081, TaggedAddresses, Connect: { SidecarService: {} } })
    await write(TRANSPARENT, ...allow('web', 'api', 'db'))
    const ranges = listeners()[OUTBOUND].filterChains.map((chain: { filterChainMatch: { prefixRanges: { addressPrefix: string }[] } }) =>
      chain.filterChainMatch.prefixRanges.map(({ addressPrefix }) => addressPrefix),
    )
    expect(ranges).toEqual([['10.96.0.7', '240.0.0.1'], ['240.0.0.2']])
    expect(mesh.build('web-sidecar-proxy').settled.problems).toEqual([
      { path: 'TaggedAddresses.virtual', reason: '10.96.0.7 of db has no effect: it is an address of api too' },
    ])
  })

  it.each([
    ['the registration', { TransparentProxy: { OutboundListenerPort: 16_001 } }, [], 16_001],
    ['service-defaults', {}, [{ Kind: 'service-defaults', Name: 'web', TransparentProxy: { OutboundListenerPort: 17_001 } }], 17_001],
    ['proxy-defaults', {}, [{ ...TRANSPARENT, TransparentProxy: { OutboundListenerPort: 18_001 } }], 18_001],
  ])('listens where %s says', async (_where, proxy, entries, port) => {
    await write(TRANSPARENT, ...entries)
    await mesh.register({ Name: 'web', Port: 8082, Connect: { SidecarService: { Proxy: proxy } } })
    expect(listeners()).toHaveProperty([`outbound_listener:127.0.0.1:${port}`])
  })

  it('is left by a registration that says direct', async () => {
    await write(TRANSPARENT)
    await mesh.register({ Name: 'web', Port: 8082, Connect: { SidecarService: { Proxy: { Mode: 'direct' } } } })
    expect(Object.keys(listeners())).toHaveLength(1)
  })
})

it('instances that are dialled directly have chains of their own addresses, over mesh TLS', async () => {
  await write(TRANSPARENT, ...allow('web', 'api'), { Kind: 'service-defaults', Name: 'api', TransparentProxy: { DialedDirectly: true } })
  const name = `passthrough~${mesh.cluster('api')}`
  expect(listeners()[OUTBOUND].filterChains).toMatchObject([
    { filterChainMatch: { prefixRanges: [{ addressPrefix: '240.0.0.1' }] } },
    {
      filterChainMatch: { prefixRanges: [{ addressPrefix: '10.0.0.1', prefixLen: 32 }] },
      filters: [{ typedConfig: { cluster: name, statPrefix: 'upstream.api.default.default.dc1' } }],
    },
  ])
  expect(clusters()[name]).toMatchObject({
    type: 'ORIGINAL_DST',
    lbPolicy: 'CLUSTER_PROVIDED',
    transportSocket: { name: 'tls', typedConfig: { sni: mesh.cluster('api') } },
  })
})

describe('permissive mTLS', () => {
  const PERMITS = { Kind: 'mesh', Name: 'mesh', AllowEnablingPermissiveMutualTLS: true }

  it('takes clients without TLS at the port of the application', async () => {
    await write(PERMITS, { Kind: 'service-defaults', Name: 'api', MutualTLSMode: 'permissive' })
    const [listener] = Object.values(listeners('api-sidecar-proxy'))
    expect(listener.listenerFilters).toMatchObject([{ name: 'envoy.filters.listener.original_dst' }])
    expect(listener.filterChains).toHaveLength(2)
    expect(listener.filterChains[0]).toMatchObject({
      filterChainMatch: { destinationPort: 8080 },
      filters: [{ typedConfig: { cluster: 'local_app', statPrefix: 'permissive_public_listener' } }],
    })
    expect(listener.filterChains[0]).not.toHaveProperty('transportSocket')
    expect(listener.filterChains[1]).toHaveProperty('transportSocket')
  })

  it('is not for a registration to decide where the mesh does not let it', async () => {
    const api = { Name: 'api', Port: 8080, Connect: { SidecarService: { Proxy: { MutualTLSMode: 'permissive' } } } }
    await mesh.register(api)
    expect(mesh.build('api-sidecar-proxy').settled.problems).toMatchObject([{ path: 'Proxy.MutualTLSMode' }])
    expect(JSON.stringify(listeners('api-sidecar-proxy'))).not.toContain('permissive_public_listener')
    await write(PERMITS)
    expect(JSON.stringify(listeners('api-sidecar-proxy'))).toContain('permissive_public_listener')
  })
})

describe('destinations behind a terminating gateway', () => {
  const outside = (Name: string, Protocol: string, Port: number, ...Addresses: string[]) => ({
    Kind: 'service-defaults',
    Name,
    Protocol,
    Destination: { Addresses, Port },
  })
  const cluster = (address: string, service: string): string => `destination.${address.replaceAll('.', '-')}.${mesh.cluster(service)}`

  beforeEach(async () => {
    await write(
      TRANSPARENT,
      outside('ledger', 'tcp', 5432, 'db.example.com', '192.0.2.7'),
      outside('pay', 'http', 80, 'pay.example.com'),
      outside('mail', 'http', 80, 'mail.example.com', 'pay.example.com'),
      outside('other', 'tcp', 1, 'other.example.com'),
      ...allow('web', 'ledger', 'pay', 'mail'),
      { Kind: 'terminating-gateway', Name: 'exit', Services: [{ Name: '*' }] },
    )
    expect(await mesh.register({ Name: 'exit', Kind: 'terminating-gateway', Address: '10.0.0.9', Port: 8443 })).toEqual([])
  })

  it('are told apart by server name or address and port, and on a port of HTTP by host', () => {
    const outbound = listeners()[OUTBOUND]
    expect(outbound.listenerFilters.map(({ name }: { name: string }) => name)).toEqual([
      'envoy.filters.listener.original_dst',
      'envoy.filters.listener.tls_inspector',
    ])
    expect(outbound.filterChains).toMatchObject([
      {
        filterChainMatch: { destinationPort: 5432, serverNames: ['db.example.com'] },
        filters: [{ typedConfig: { cluster: cluster('db.example.com', 'ledger') } }],
      },
      { filterChainMatch: { destinationPort: 5432, prefixRanges: [{ addressPrefix: '192.0.2.7', prefixLen: 32 }] } },
      { name: 'destination.80.~http', filterChainMatch: { destinationPort: 80 } },
    ])
    const hosts = outbound.filterChains[2].filters[0].typedConfig.routeConfig.virtualHosts
    expect(hosts.map(({ domains }: { domains: string[] }) => domains[0])).toEqual(['mail.example.com', 'pay.example.com'])
    expect(mesh.build('web-sidecar-proxy').settled.problems).toEqual([
      { path: 'Destination.Addresses', reason: 'pay.example.com:80 of pay has no effect: it is a destination of mail too' },
    ])
  })

  it('have a cluster each, of which the gateway knows the name', () => {
    const name = cluster('db.example.com', 'ledger')
    expect(clusters()[name]).toMatchObject({ type: 'EDS', transportSocket: { typedConfig: { sni: name } } })
    expect(clusters('exit')[name]).toMatchObject({
      loadAssignment: {
        endpoints: [{ lbEndpoints: [{ endpoint: { address: { socketAddress: { address: 'db.example.com', portValue: 5432 } } } }] }],
      },
    })
    const [listener] = Object.values(listeners('exit'))
    expect(JSON.stringify(listener.filterChains.map(({ filterChainMatch }: { filterChainMatch: object }) => filterChainMatch))).toContain(
      name,
    )
  })
})
