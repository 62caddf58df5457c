// What comes of peers in the resources of sidecars and mesh gateways: names, server names, identities and roots, in Consul's forms.
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { beforeAll, describe, expect, it } from 'vitest'
import type { ImportedService } from '../../../src/control/peering/peering-types.js'
import type { BuiltSnapshot } from '../../../src/control/snapshot/build-snapshot.js'
import { ClusterSchema } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import { SPIFFECertValidatorConfigSchema } from '../../../src/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE } from '../../../src/xds/type-urls.js'
import { SnapshotFixture } from '../snapshot/snapshot-fixture.js'

const DOMAIN = 'east-id.consul'
const CLUSTER = `db.default.east.external.${DOMAIN}`
const IMPORTED: ImportedService = {
  name: 'db',
  peer: 'east',
  protocol: 'tcp',
  sni: `db.default.default.here.external.${DOMAIN}`,
  spiffeIds: [`spiffe://${DOMAIN}/ns/default/dc/dc2/svc/db`],
  instances: [],
  ways: [
    {
      id: 'g',
      kind: 'mesh-gateway',
      name: 'g',
      tags: [],
      meta: {},
      address: '192.0.2.1',
      port: 443,
      weights: { Passing: 1, Warning: 1 },
      status: 'passing',
      node: { id: '', name: 'n', address: '192.0.2.1' },
    },
  ],
  hash: '',
  CreateIndex: 1,
  ModifyIndex: 1,
}

const VIRTUAL = '240.0.0.77'

let mesh: SnapshotFixture

function decoded<S extends DescMessage>(built: BuiltSnapshot, schema: S, type: string, name: string): MessageShape<S> {
  const named = built.snapshot.get(type)
  const resource = named?.get(name)
  if (resource === undefined) throw new Error(`no ${name}; there are ${[...(named?.keys() ?? [])].join(', ')}`)
  return fromBinary(schema, resource.any.value)
}

// biome-ignore lint/suspicious/noExplicitAny: any message that has a transport socket.
const socketOf = (schema: DescMessage, owner: any): any => fromBinary(schema, owner.transportSocket.configType.value.value)

const hosts = (built: BuiltSnapshot, name: string): string[] =>
  decoded(built, ClusterLoadAssignmentSchema, ENDPOINT_TYPE, name).endpoints.flatMap(({ lbEndpoints }) =>
    lbEndpoints.map(({ hostIdentifier }) => {
      const { value } = (hostIdentifier.value as { address?: { address: { value: unknown } } }).address!.address
      return (value as { address: string }).address
    }),
  )

beforeAll(async () => {
  mesh = await SnapshotFixture.open()
  mesh.peers = {
    bundle: peer => (peer === 'east' ? { trustDomain: DOMAIN, rootPems: ['EAST'] } : undefined),
    imported: (peer, service) => (peer === 'east' && service === 'db' ? IMPORTED : undefined),
    imports: () => [IMPORTED],
    virtualAddress: (peer, service) => (peer === 'east' && service === 'db' ? VIRTUAL : undefined),
    dialled: () => [],
    server: () => undefined,
  }
  const Upstreams = [
    { DestinationName: 'db', DestinationPeer: 'east', LocalBindPort: 9191 },
    { DestinationName: 'db', DestinationPeer: 'nobody', LocalBindPort: 9192 },
  ]
  expect(await mesh.register({ Name: 'web', Port: 1, Connect: { SidecarService: { Proxy: { Upstreams } } } })).toEqual([])
  expect(await mesh.register({ Name: 'through', Kind: 'mesh-gateway', Address: '192.0.2.9', Port: 8443 })).toEqual([])
})

describe('an upstream of a peer', () => {
  it('has a cluster by our name of the peer, with the server name and identities that the peer has told, and its roots', () => {
    const built = mesh.build('web-sidecar-proxy')
    const tls = socketOf(UpstreamTlsContextSchema, decoded(built, ClusterSchema, CLUSTER_TYPE, CLUSTER))
    expect(tls.sni).toBe(IMPORTED.sni)
    const { value: validation } = tls.commonTlsContext.validationContextType
    expect(validation.trustedCa.specifier.value).toContain('EAST')
    expect(
      validation.matchTypedSubjectAltNames.map(
        ({ matcher }: { matcher: { matchPattern: { value: string } } }) => matcher.matchPattern.value,
      ),
    ).toEqual(IMPORTED.spiffeIds)
    expect(hosts(built, CLUSTER)).toEqual(['192.0.2.1'])
    expect([...built.snapshot.get(LISTENER_TYPE)!.keys()]).toContain('db?peer=east:127.0.0.1:9191')
  })

  it('of one that nobody knows has no endpoints', () => {
    expect(hosts(mesh.build('web-sidecar-proxy'), 'db.default.nobody.external.unknown.invalid')).toEqual([])
  })

  it('goes by our own gateways in mode local', async () => {
    await mesh.write({ Kind: 'proxy-defaults', Name: 'global', MeshGateway: { Mode: 'local' } })
    expect(hosts(mesh.build('web-sidecar-proxy'), CLUSTER)).toEqual(['192.0.2.9'])
    await mesh.write({ Kind: 'service-defaults', Name: 'web', UpstreamConfig: { Defaults: { MeshGateway: { Mode: 'remote' } } } })
    expect(hosts(mesh.build('web-sidecar-proxy'), CLUSTER)).toEqual(['192.0.2.1'])
  })
})

describe('a transparent proxy', () => {
  const chains = (id: string): Record<string, unknown> => {
    const { filterChains } = decoded(mesh.build(id), ListenerSchema, LISTENER_TYPE, 'outbound_listener:127.0.0.1:15001')
    return Object.fromEntries(
      filterChains.map(({ name, filterChainMatch }) => [name, filterChainMatch?.prefixRanges.map(({ addressPrefix }) => addressPrefix)]),
    )
  }

  it('has a chain for each service that a peer exports, by its virtual address, whether it is named as an upstream or not', async () => {
    const Connect = { SidecarService: { Proxy: { Mode: 'transparent' } } }
    expect(await mesh.register({ Name: 'app', Port: 1, Connect })).toEqual([])
    expect(chains('app-sidecar-proxy')['db?peer=east']).toEqual([VIRTUAL])
    const built = mesh.build('app-sidecar-proxy')
    expect(socketOf(UpstreamTlsContextSchema, decoded(built, ClusterSchema, CLUSTER_TYPE, CLUSTER)).sni).toBe(IMPORTED.sni)
    const Upstreams = [{ DestinationName: 'db', DestinationPeer: 'east', LocalBindPort: 9291 }]
    expect(
      await mesh.register({ Name: 'named', Port: 1, Connect: { SidecarService: { Proxy: { Mode: 'transparent', Upstreams } } } }),
    ).toEqual([])
    expect(chains('named-sidecar-proxy')['db?peer=east']).toEqual([VIRTUAL])
    expect([...mesh.build('named-sidecar-proxy').snapshot.get(LISTENER_TYPE)!.keys()]).toContain('db?peer=east:127.0.0.1:9291')
  })

  it('has one chain for an address that a service of our own claims as well: two would have the listener refused', async () => {
    const TaggedAddresses = { virtual: { Address: VIRTUAL, Port: 1 } }
    expect(await mesh.register({ Name: 'greedy', Port: 1, TaggedAddresses, Connect: { SidecarService: { TaggedAddresses } } })).toEqual([])
    await mesh.write({ Kind: 'service-intentions', Name: 'greedy', Sources: [{ Name: 'app', Action: 'allow' }] })
    const claimed = Object.values(chains('app-sidecar-proxy')).flat()
    expect(claimed.filter(address => address === VIRTUAL)).toEqual([VIRTUAL])
    expect(mesh.build('app-sidecar-proxy').settled.problems.map(({ reason }) => reason)).toContain(
      `${VIRTUAL} of greedy is that of db of peer east too, which is not reached by it`,
    )
  })
})

describe('a service that is exported', () => {
  it('trusts its own mesh and the peers that may call it, each by its own roots, and no others', async () => {
    await mesh.write({
      Kind: 'exported-services',
      Name: 'default',
      Services: [{ Name: 'web', Consumers: [{ Peer: 'east' }, { Peer: 'nobody' }] }],
    })
    const built = mesh.build('web-sidecar-proxy')
    const name = [...built.snapshot.get(LISTENER_TYPE)!.keys()].find(each => each.startsWith('public_listener'))!
    const [chain] = decoded(built, ListenerSchema, LISTENER_TYPE, name).filterChains
    const { value: validation } = socketOf(DownstreamTlsContextSchema, chain).commonTlsContext.validationContextType
    expect(validation.trustedCa).toBeUndefined()
    const { trustDomains } = fromBinary(SPIFFECertValidatorConfigSchema, validation.customValidatorConfig.typedConfig.value)
    expect(trustDomains.map(domain => [domain.name, domain.trustBundle?.specifier.value])).toEqual([
      ['11111111-2222-3333-4444-555555555555.consul', expect.stringContaining('ROOTS')],
      [DOMAIN, expect.stringContaining('EAST')],
    ])
  })
})

describe('other gateways', () => {
  it('a terminating gateway answers to the names by which peers ask for what it stands before', async () => {
    expect(await mesh.register({ Name: 'outside', Port: 1, Address: '192.0.2.20' })).toEqual([])
    expect(await mesh.register({ Name: 'exit', Kind: 'terminating-gateway', Address: '192.0.2.10', Port: 8443 })).toEqual([])
    await mesh.write({ Kind: 'terminating-gateway', Name: 'exit', Services: [{ Name: 'outside' }] })
    await mesh.write({
      Kind: 'exported-services',
      Name: 'default',
      Services: [
        { Name: 'web', Consumers: [{ Peer: 'east' }, { Peer: 'nobody' }] },
        { Name: 'outside', Consumers: [{ Peer: 'east' }] },
      ],
    })
    const { filterChains } = decoded(mesh.build('exit'), ListenerSchema, LISTENER_TYPE, 'default:192.0.2.10:8443')
    const domain = '11111111-2222-3333-4444-555555555555.consul'
    expect(filterChains.map(({ filterChainMatch }) => filterChainMatch?.serverNames)).toEqual([
      [`outside.default.dc1.internal.${domain}`, `outside.default.default.east.external.${domain}`],
    ])
  })

  it('an ingress gateway reaches a peer by a resolver', async () => {
    await mesh.write({ Kind: 'service-resolver', Name: 'far', Redirect: { Service: 'db', Peer: 'east' } })
    await mesh.write({ Kind: 'ingress-gateway', Name: 'door', Listeners: [{ Port: 5432, Protocol: 'tcp', Services: [{ Name: 'far' }] }] })
    expect(await mesh.register({ Name: 'door', Kind: 'ingress-gateway', Address: '192.0.2.11' })).toEqual([])
    const built = mesh.build('door')
    expect(socketOf(UpstreamTlsContextSchema, decoded(built, ClusterSchema, CLUSTER_TYPE, CLUSTER)).sni).toBe(IMPORTED.sni)
    expect(hosts(built, CLUSTER)).toEqual(['192.0.2.9'])
  })
})

describe('a mesh gateway', () => {
  it('knows our exported services by the names of the peers, and theirs by the names that they told', () => {
    const built = mesh.build('through')
    const { filterChains } = decoded(built, ListenerSchema, LISTENER_TYPE, 'default:192.0.2.9:8443')
    const domain = '11111111-2222-3333-4444-555555555555.consul'
    expect(filterChains.map(({ filterChainMatch }) => filterChainMatch?.serverNames ?? [])).toEqual([
      [`outside.default.default.east.external.${domain}`],
      [`web.default.default.east.external.${domain}`, `web.default.default.nobody.external.${domain}`],
      [IMPORTED.sni],
      [],
    ])
    expect(hosts(built, CLUSTER)).toEqual(['192.0.2.1'])
  })
})
