// What the builder makes of a mesh, decoded: shared by the tests of a sidecar's listeners, upstreams and endpoints.
import { type DescMessage, fromBinary } from '@bufbuild/protobuf'
import type { Any } from '@bufbuild/protobuf/wkt'
import { beforeEach, expect } from 'vitest'
import { Catalog } from '../../../src/control/catalog/catalog.js'
import { parseServiceDefinition } from '../../../src/control/catalog/service-definition.js'
import type { IntentionAction } from '../../../src/control/config-entries/types.js'
import { ConfigEntryTable } from '../../../src/control/config-entry-table.js'
import { healthEntry, ownNode } from '../../../src/control/http-api/shapes.js'
import { type BuiltSnapshot, SnapshotBuilder } from '../../../src/control/snapshot/build-snapshot.js'
import { NO_FEDERATIONS, NO_PEERS, type ProxyInstance } from '../../../src/control/snapshot/kinds/proxy-kind.js'
import { SIDECAR } from '../../../src/control/snapshot/kinds/sidecar.js'
import { MemoryStore } from '../../../src/control/store/memory-store.js'
import { ClusterSchema } from '../../../src/xds/gen/envoy/config/cluster/v3/cluster_pb.js'
import { ClusterLoadAssignmentSchema } from '../../../src/xds/gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '../../../src/xds/gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '../../../src/xds/gen/envoy/config/route/v3/route_pb.js'
import { HttpConnectionManagerSchema } from '../../../src/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE } from '../../../src/xds/type-urls.js'

export const TRUST_DOMAIN = '11111111-2222-3333-4444-555555555555.consul'
export const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const node = { id: 'node-id', name: 'node-1', address: '10.0.0.1', datacenter: 'dc1' }
export const cluster = (name: string): string => `${name}.default.dc1.internal.${TRUST_DOMAIN}`

export class Decoded {
  constructor(readonly built: BuiltSnapshot) {}
  names = (typeUrl: string): string[] => [...(this.built.snapshot.get(typeUrl)?.keys() ?? [])]
  cluster = (name: string) => this.message(ClusterSchema, CLUSTER_TYPE, name)
  listener = (name: string) => this.message(ListenerSchema, LISTENER_TYPE, name)
  endpoints = (name: string) => this.message(ClusterLoadAssignmentSchema, ENDPOINT_TYPE, name)
  table = (name: string) => this.message(RouteConfigurationSchema, ROUTE_TYPE, name)
  /** Of the last chain: the one for tunnels stands before it. */
  filters = (listener: string) => this.listener(listener).filterChains.at(-1)!.filters
  hcm = (listener: string) => unpack(HttpConnectionManagerSchema, this.filters(listener).at(-1)!.configType)

  // biome-ignore lint/suspicious/noExplicitAny: decoded messages are looked into freely.
  private message(schema: DescMessage, typeUrl: string, name: string): any {
    const resource = this.built.snapshot.get(typeUrl)?.get(name)
    if (resource === undefined) throw new Error(`no ${typeUrl} ${name}; there are ${this.names(typeUrl).join(', ')}`)
    return fromBinary(schema, resource.any.value)
  }
}

// biome-ignore lint/suspicious/noExplicitAny: decoded messages are looked into freely.
export function unpack(schema: DescMessage, config: { case: string | undefined; value?: unknown }): any {
  expect(config.case).toBe('typedConfig')
  const any = config.value as Any
  expect(any.typeUrl).toBe(`type.googleapis.com/${schema.typeName}`)
  return fromBinary(schema, any.value)
}

export const WEB = {
  Name: 'web',
  Port: 8080,
  Connect: { SidecarService: { Proxy: { Upstreams: [{ DestinationName: 'api', LocalBindPort: 9191 }] } } },
}

export const SUBSETS = {
  Kind: 'service-resolver',
  Name: 'api',
  Subsets: { v1: { Filter: 'Service.Meta.version == v1' }, v2: { Filter: 'Service.Meta.version == v2', OnlyPassing: true } },
} /** A catalog and config entries, new for each test of the file, and what the builder makes of them. */
export function snapshotHarness() {
  let catalog: Catalog
  let entries: ConfigEntryTable
  let policy: IntentionAction
  /** Services whose sidecars all take tunnels. */
  let tunnelled: Set<string>

  beforeEach(async () => {
    const store = new MemoryStore()
    catalog = await Catalog.open(store, { node: ownNode(node), sidecarMinPort: 21_000, sidecarMaxPort: 21_255 })
    entries = await ConfigEntryTable.open(store, { datacenter: 'dc1', trustDomain: TRUST_DOMAIN })
    policy = 'deny'
    tunnelled = new Set()
  })

  async function register(definition: object): Promise<void> {
    const parsed = parseServiceDefinition(definition, { strict: true })
    expect(parsed).toMatchObject({ ok: true })
    if (parsed.ok) expect(await catalog.register(parsed.value)).toMatchObject({ ok: true })
  }

  async function write(entry: object): Promise<void> {
    expect(await entries.put(entry)).toMatchObject({ ok: true })
  }

  function build(id: string, leaf: boolean = true): BuiltSnapshot {
    const builder = new SnapshotBuilder({
      catalog,
      tunnels: { accepts: service => tunnelled.has(service) },
      entries,
      datacenter: 'dc1',
      trustDomain: TRUST_DOMAIN,
      kinds: { 'connect-proxy': SIDECAR },
      defaultPolicy: () => policy,
      rootsPem: () => 'ROOTS',
      peers: NO_PEERS,
      federations: NO_FEDERATIONS,
      leaf: service => (leaf ? { chainPem: `CHAIN ${service}`, keyPem: `KEY ${service}` } : undefined),
      filterView: instance => healthEntry(catalog, instance),
    })
    return builder.build(catalog.instance(id) as ProxyInstance)
  }

  const decode = (id: string): Decoded => new Decoded(build(id))

  async function meshOf(protocol: string): Promise<void> {
    await register(WEB)
    await register({
      ID: 'api-v1',
      Name: 'api',
      Port: 9002,
      Address: '10.0.0.7',
      Meta: { version: 'v1' },
      Connect: { SidecarService: { Port: 20_001 } },
    })
    await register({
      ID: 'api-v2',
      Name: 'api',
      Port: 9003,
      Meta: { version: 'v2' },
      Connect: { SidecarService: { Address: '10.0.0.8', Port: 20_002 } },
    })
    if (protocol === 'tcp') return
    for (const Name of ['web', 'api']) await write({ Kind: 'service-defaults', Name, Protocol: protocol })
  }

  return {
    register,
    write,
    build,
    decode,
    meshOf,
    tunnelled: () => tunnelled,
    allow: () => {
      policy = 'allow'
    },
  }
}
