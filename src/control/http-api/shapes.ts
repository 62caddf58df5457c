// The catalog in the JSON shapes of Consul's HTTP API (agent, catalog and health endpoints). Pure; used by the route files, and by the
// snapshot builder for what filter expressions select from.
import { isIP } from 'node:net'
import type { AgentLease } from '../agents/agent-leases.js'
import type { CatalogIndex } from '../catalog/catalog-index.js'
import { type CatalogCheck, type CatalogInstance, type CatalogNode, OWN_NODE } from '../catalog/catalog-types.js'
import { exposedPort } from '../catalog/check-exposure.js'
import { SERVER_RPC_PORT } from '../catalog/server-instance.js'
import type { ProxyRegistration, Upstream } from '../catalog/service-definition.js'
import type { VirtualIps } from '../catalog/virtual-ips.js'
import { durationFromMs } from '../config-entries/duration.js'
import { CONSUL_VERSION } from '../consul-version.js'
import type { NodeInfo } from './context.js'
import { formatAddress, type HostPort } from './listen-addresses.js'

const NO_PROXY = { Mode: '', MeshGateway: {}, Expose: {} }

const meshGateway = ({ MeshGateway: Mode }: Pick<Upstream, 'MeshGateway'>): object => (Mode === undefined ? {} : { Mode })

function upstreamShape(upstream: Upstream): object {
  return {
    DestinationType: upstream.DestinationType,
    DestinationName: upstream.DestinationName,
    ...(upstream.DestinationPeer === undefined ? {} : { DestinationPeer: upstream.DestinationPeer }),
    ...(upstream.Datacenter === '' ? {} : { Datacenter: upstream.Datacenter }),
    ...(upstream.LocalBindSocketPath === ''
      ? { LocalBindAddress: upstream.LocalBindAddress, LocalBindPort: upstream.LocalBindPort }
      : { LocalBindSocketPath: upstream.LocalBindSocketPath, LocalBindSocketMode: upstream.LocalBindSocketMode }),
    Config: upstream.Config,
    MeshGateway: meshGateway(upstream),
  }
}

export function proxyShape(proxy: ProxyRegistration): object {
  if (proxy.DestinationServiceName === '') return { Mode: '', Config: proxy.Config, MeshGateway: {}, Expose: {} }
  return {
    DestinationServiceName: proxy.DestinationServiceName,
    ...(proxy.DestinationServiceID === '' ? {} : { DestinationServiceID: proxy.DestinationServiceID }),
    ...(proxy.LocalServiceSocketPath === ''
      ? { LocalServiceAddress: proxy.LocalServiceAddress, LocalServicePort: proxy.LocalServicePort }
      : { LocalServiceSocketPath: proxy.LocalServiceSocketPath }),
    Mode: proxy.Mode ?? '',
    ...(proxy.TransparentProxy === undefined ? {} : { TransparentProxy: proxy.TransparentProxy }),
    ...(proxy.MutualTLSMode === undefined ? {} : { MutualTLSMode: proxy.MutualTLSMode }),
    Config: proxy.Config,
    Upstreams: proxy.Upstreams.map(upstreamShape),
    MeshGateway: meshGateway(proxy),
    Expose: proxy.Expose ?? {},
  }
}

export function agentService(instance: CatalogInstance, datacenter: string): Record<string, unknown> {
  return {
    ...(instance.Kind === '' ? {} : { Kind: instance.Kind }),
    ID: instance.ID,
    Service: instance.Service,
    Tags: instance.Tags,
    Meta: instance.Meta,
    Port: instance.Port,
    Address: instance.Address,
    ...(instance.SocketPath === '' ? {} : { SocketPath: instance.SocketPath }),
    TaggedAddresses: instance.TaggedAddresses,
    Weights: instance.Weights,
    EnableTagOverride: instance.EnableTagOverride,
    ...(instance.Proxy === undefined ? {} : { Proxy: proxyShape(instance.Proxy) }),
    ...(instance.Native ? { Connect: { Native: true } } : {}),
    ...(instance.Locality === undefined ? {} : { Locality: instance.Locality }),
    CreateIndex: instance.CreateIndex,
    ModifyIndex: instance.ModifyIndex,
    Datacenter: datacenter,
  }
}

/** This server as a node of its own catalog, with what Consul's agents say of themselves. */
export function ownNode(node: NodeInfo): CatalogNode {
  const family = isIP(node.address) === 6 ? 'ipv6' : 'ipv4'
  const tagged = { lan: node.address, [`lan_${family}`]: node.address, wan: node.address, [`wan_${family}`]: node.address }
  return {
    ID: node.id,
    Node: node.name,
    Address: node.address,
    Datacenter: node.datacenter,
    TaggedAddresses: tagged,
    Meta: { 'consul-network-segment': '', 'consul-version': CONSUL_VERSION },
    ...(node.locality && { Locality: node.locality }),
    CreateIndex: 1,
    ModifyIndex: 1,
  }
}

export function nodeShape(node: CatalogNode): Record<string, unknown> {
  const { ID, Node, Address, Datacenter, TaggedAddresses, Meta, Locality, CreateIndex, ModifyIndex } = node
  return { ID, Node, Address, Datacenter, TaggedAddresses, Meta, ...(Locality && { Locality }), CreateIndex, ModifyIndex }
}

const GOSSIP_PORTS = { lan: 8_301, wan: 8_302 } as const

/** Of Consul's gossip, which nobody speaks here. */
const GOSSIP_VERSIONS = { ProtocolMin: 1, ProtocolMax: 5, ProtocolCur: 2, DelegateMin: 2, DelegateMax: 5, DelegateCur: 4 } as const

/** `Config` of `/v1/agent/self`; `version` is ours. */
export function agentConfigShape(node: NodeInfo, version: string, isServer: boolean) {
  return {
    Datacenter: node.datacenter,
    PrimaryDatacenter: node.datacenter,
    NodeName: node.name,
    NodeID: node.id,
    Revision: '',
    Server: isServer,
    Version: CONSUL_VERSION,
    VersionMetadata: `outrigger-${version}`,
    BuildDate: '1970-01-01T00:00:01Z',
  }
}

/** Of an agent's `DebugConfig`, by which Nomad finds the DNS of its machine. */
export function dnsConfigShape(address: HostPort | undefined) {
  if (address === undefined) return { DNSPort: -1, DNSAddrs: [] }
  const at = formatAddress(address)
  return { DNSPort: address.port, DNSAddrs: [`tcp://${at}`, `udp://${at}`] }
}

/** A server as a member of the cluster, of the LAN or of the WAN. */
export function memberShape(
  node: NodeInfo,
  wan: boolean,
  { port, caPem, acls }: { readonly port: number; readonly caPem: string | undefined; readonly acls: boolean },
) {
  return {
    Name: wan ? `${node.name}.${node.datacenter}` : node.name,
    Addr: node.address,
    Port: wan ? GOSSIP_PORTS.wan : GOSSIP_PORTS.lan,
    Tags: {
      acls: acls ? '1' : '0',
      bootstrap: '1',
      build: `${CONSUL_VERSION}:00000000`,
      dc: node.datacenter,
      ft_fs: '1',
      ft_si: '1',
      [caPem === undefined ? 'grpc_port' : 'grpc_tls_port']: String(port),
      id: node.id,
      port: String(SERVER_RPC_PORT),
      raft_vsn: '3',
      role: 'consul',
      segment: '',
      vsn: '2',
      vsn_max: '3',
      vsn_min: '2',
      wan_join_port: String(GOSSIP_PORTS.wan),
    },
    Status: 1,
    ...GOSSIP_VERSIONS,
  }
}

/** The agent of another machine as a member: alive, or failed. */
export function agentMemberShape({ node, nodeId, address, version, alive }: AgentLease, datacenter: string) {
  return {
    Name: node,
    Addr: address,
    Port: GOSSIP_PORTS.lan,
    Tags: {
      build: `${CONSUL_VERSION}:00000000`,
      dc: datacenter,
      id: nodeId,
      outrigger: version,
      role: 'node',
      segment: '',
      vsn: '2',
      vsn_max: '3',
      vsn_min: '2',
    },
    Status: alive ? 1 : 4,
    ...GOSSIP_VERSIONS,
  }
}

/** The check of the agent's own liveness, which every node has: this process answers. */
export const SERF_HEALTH = 'serfHealth'

export function serfHealthShape(node: CatalogNode): Record<string, unknown> {
  return {
    Node: node.Node,
    CheckID: SERF_HEALTH,
    Name: 'Serf Health Status',
    Status: 'passing',
    Notes: '',
    Output: 'Agent alive and reachable',
    ServiceID: '',
    ServiceName: '',
    ServiceTags: [],
    Type: '',
    Interval: '',
    Timeout: '',
    ExposedPort: 0,
    Definition: {},
    CreateIndex: 1,
    ModifyIndex: 1,
  }
}

/** Checks that nobody runs at intervals. */
const UNTIMED: ReadonlySet<string> = new Set(['ttl', 'alias', 'maintenance'])

/** Where a check belongs: the catalog, or a change of it that is not yet written. */
interface CheckPlaces {
  instanceOn(nodeKey: string, id: string): CatalogInstance | undefined
  nodeOf(check: { readonly Node: string }): CatalogNode
}

export function checkShape(catalog: CheckPlaces, check: CatalogCheck): Record<string, unknown> {
  const { definition, registered } = check
  const service = catalog.instanceOn(check.Node, definition.ServiceID)
  const untimed = UNTIMED.has(definition.Type)
  return {
    Node: catalog.nodeOf(check).Node,
    CheckID: definition.CheckID,
    Name: definition.Name,
    Status: check.status,
    Notes: definition.Notes,
    Output: check.output,
    ServiceID: definition.ServiceID,
    ServiceName: service?.Service ?? '',
    ServiceTags: service?.Tags ?? [],
    Type: registered?.Type ?? definition.Type,
    Interval: registered?.Interval ?? (untimed ? '' : durationFromMs(definition.intervalMs)),
    Timeout: registered?.Timeout ?? (untimed ? '' : durationFromMs(definition.timeoutMs)),
    ExposedPort: exposedPort(check),
    Definition: registered?.Definition ?? {},
    CreateIndex: check.CreateIndex,
    ModifyIndex: check.ModifyIndex,
  }
}

/** The checks of an instance: its node's, then its own. */
function checksShape(catalog: CatalogIndex, instance: CatalogInstance): Record<string, unknown>[] {
  return [...(instance.Node === OWN_NODE ? [serfHealthShape(catalog.ownNode)] : []), ...ownChecksShape(catalog, instance)]
}

/** Without the agent's own liveness: who asks the agent itself can tell. */
export function ownChecksShape(catalog: CatalogIndex, instance: CatalogInstance): Record<string, unknown>[] {
  return catalog.checksOf(instance).map(check => checkShape(catalog, check))
}

/** Every check of a node, with those of its services. */
export function nodeChecksShape(catalog: CatalogIndex, nodeKey: string): Record<string, unknown>[] {
  const serf = nodeKey === OWN_NODE ? [serfHealthShape(catalog.ownNode)] : []
  return [...serf, ...catalog.checksOn(nodeKey).map(check => checkShape(catalog, check))]
}

/** An element of `/v1/health/service/:name`. */
export function healthEntry(catalog: CatalogIndex, instance: CatalogInstance) {
  return {
    Node: nodeShape(catalog.nodeOf(instance)),
    Service: { ...nodeService(catalog, instance), ID: instance.ID, Service: instance.Service },
    Checks: checksShape(catalog, instance),
  }
}

/** A service of `/v1/catalog/node/:node` and `/v1/catalog/node-services/:node`. */
export function nodeService(catalog: VirtualAddresses, instance: CatalogInstance): Record<string, unknown> {
  const { Datacenter: _datacenter, ...service } = agentService(instance, '')
  return {
    Kind: instance.Kind,
    // Go prints structures that are empty.
    Proxy: NO_PROXY,
    Connect: {},
    ...service,
    TaggedAddresses: taggedAddresses(catalog, instance),
  }
}

interface VirtualAddresses {
  readonly virtualIps: VirtualIps
}

/** With the virtual address of the service that a proxy or connect-native instance stands for. */
function taggedAddresses({ virtualIps }: VirtualAddresses, instance: CatalogInstance): CatalogInstance['TaggedAddresses'] {
  const service = instance.Proxy?.DestinationServiceName || (instance.Native ? instance.Service : '')
  const virtual = virtualIps.of(service)
  if (virtual === undefined) return instance.TaggedAddresses
  return { ...instance.TaggedAddresses, 'consul-virtual': { Address: virtual, Port: instance.Port } }
}

/** An element of `/v1/catalog/service/:name`. */
export function catalogService(catalog: CatalogIndex, instance: CatalogInstance): Record<string, unknown> {
  const node = catalog.nodeOf(instance)
  return {
    ID: node.ID,
    Node: node.Node,
    Address: node.Address,
    Datacenter: node.Datacenter,
    TaggedAddresses: node.TaggedAddresses,
    NodeMeta: node.Meta,
    ServiceKind: instance.Kind,
    ServiceID: instance.ID,
    ServiceName: instance.Service,
    ServiceTags: instance.Tags,
    ServiceAddress: instance.Address,
    ServiceTaggedAddresses: taggedAddresses(catalog, instance),
    ServiceWeights: instance.Weights,
    ServiceMeta: instance.Meta,
    ServicePort: instance.Port,
    ServiceSocketPath: instance.SocketPath,
    ServiceEnableTagOverride: instance.EnableTagOverride,
    ServiceProxy: instance.Proxy === undefined ? NO_PROXY : proxyShape(instance.Proxy),
    ServiceConnect: instance.Native ? { Native: true } : {},
    ...(instance.Locality === undefined ? {} : { ServiceLocality: instance.Locality }),
    CreateIndex: instance.CreateIndex,
    ModifyIndex: instance.ModifyIndex,
  }
}
