// All that one proxy's resources are made from, gathered in one readonly value: its registration, merged config, compiled chains
// of its upstreams, intentions and certificates. Made by `build-snapshot.ts`, read by the one-file-a-resource builders.
// Invariant: a builder reads nothing else, so that equal views give equal bytes.

import type { IntentionTable } from '../../model/intention.js'
import type { CatalogInstance } from '../catalog/catalog-types.js'
import type { ExposedCheck } from '../catalog/check-exposure.js'
import type { ProxyRegistration, Upstream } from '../catalog/service-definition.js'
import type { AccessLogs, ConfigError, ExposePath, JwtProvider, Mesh } from '../config-entries/types.js'
import { customizedClusterName, failoverClusterName } from '../discovery-chain/names.js'
import { isHttpLike } from '../discovery-chain/service-protocol.js'
import type { CompiledDiscoveryChain, DiscoveryNode, DiscoveryTarget, ResolverNode } from '../discovery-chain/types.js'
import type { CompiledIntentions } from '../intentions/types.js'
import type { PeerBundle } from '../peering/peering-types.js'
import type { NamedExtension } from './extensions/envoy-extension.js'
import type { ProxyConfig, UpstreamSettings } from './proxy-config.js'

/** The cluster of the application itself. */
export const LOCAL_APP = 'local_app'

export interface ProxyIdentity {
  readonly trustDomain: string
  readonly datacenter: string
  readonly certificate: ProxyCertificate
  /** All trusted roots. */
  readonly rootsPem: string
  /** Of other trust domains whose workloads may call the service: peers', and federated ones. */
  readonly otherBundles: readonly PeerBundle[]
}

/** Issued by the mesh's CA (leaf, then intermediates), or asked by the proxy itself of the Workload API under this id. */
export type ProxyCertificate =
  | { readonly kind: 'issued'; readonly chainPem: string; readonly keyPem: string }
  | { readonly kind: 'workload'; readonly id: string }

/** Whom to expect at a target that is known by more, or others, than what our own CA issues: one of a peer, or one that SPIRE knows. */
export interface TargetPeer {
  readonly spiffeIds: readonly string[]
  /** Each trust domain's certificates by its own roots alone. Empty: nothing is known; the identities are nobody's then. */
  readonly bundles: readonly PeerBundle[]
  /** A service of our own mesh. */
  readonly ours: boolean
}

/** By the target's ID; of our own targets those alone that have an id from a Workload API. */
export type TargetPeers = ReadonlyMap<string, TargetPeer>

/** One of a check is open to this machine and its `sources` alone. */
export type ExposedPath = ExposePath | ExposedCheck

export interface UpstreamView {
  readonly upstream: Upstream
  /** Consul's EnvoyID: route table name, virtual host name, listener prefix. */
  readonly envoyId: string
  /** `<service>.<namespace>.<partition>.<datacenter>`, in stat prefixes. */
  readonly filterName: string
  readonly chain: CompiledDiscoveryChain
  readonly settings: UpstreamSettings
  /** Escape hatches that apply: only where the chain is the default one. */
  readonly listenerJson: string | undefined
  readonly clusterJson: string | undefined
  /** Of a service of the chain, where they are not all the chain's. */
  readonly protocolOf?: (service: string) => string
  /** Whom to expect at targets of peers. */
  readonly peers: TargetPeers
  /** The connections to this TCP upstream travel in CONNECT streams. */
  readonly tunnel: boolean
  /** By which a transparent proxy's application asks for it. An upstream with none of them and no port of its own has no listener. */
  readonly virtualAddresses: readonly string[]
}

/** Of a proxy that its application knows nothing of: the kernel hands it every connection. */
export interface TransparentView {
  readonly outboundPort: number
  /** What goes to no service of the mesh is let through (it is cut off where the mesh entry says `MeshDestinationsOnly`). */
  readonly passesOthers: boolean
  /** Instances that are dialled by their own addresses. */
  readonly direct: readonly DirectService[]
  /** What is reached through a terminating gateway, by the addresses that it has outside. */
  readonly destinations: readonly DestinationService[]
}

/** A service of `Destination`s. Each address has a cluster of its own, whose name is also the server name that the gateway goes by. */
export interface DestinationService {
  readonly target: DiscoveryTarget
  readonly protocol: string
  readonly filterName: string
  readonly port: number
  readonly addresses: readonly { readonly address: string; readonly cluster: string }[]
}

export interface DirectService {
  readonly target: DiscoveryTarget
  readonly peer: TargetPeer | undefined
  readonly filterName: string
  readonly addresses: readonly string[]
}

export interface ProxyView {
  readonly proxy: CatalogInstance & { readonly Proxy: ProxyRegistration }
  readonly protocol: string
  readonly config: ProxyConfig
  readonly mesh: Mesh | undefined
  readonly accessLogs: AccessLogs | undefined
  readonly identity: ProxyIdentity
  readonly rbac: CompiledIntentions
  readonly shadowRbac?: CompiledIntentions
  readonly intentionTable: IntentionTable
  /** Providers that the intentions name, sorted by name. */
  readonly jwtProviders: readonly JwtProvider[]
  readonly upstreams: readonly UpstreamView[]
  /** Undefined: in mode `direct` the application dials the listener of each upstream. */
  readonly transparent: TransparentView | undefined
  /** Clients without mesh TLS reach the application by its own port (`MutualTLSMode`). */
  readonly permissive: boolean
  /** Reached without mesh TLS, each on a port of its own. */
  readonly exposed: readonly ExposedPath[]
  /** Of the service, in order: they change what the builders have made. */
  readonly extensions: readonly NamedExtension[]
  /** Takes what is found to have no effect while resources are made. */
  readonly problems: ConfigError[]
}

/** What it takes to receive the mesh's connections to one service. */
export type InboundView = Pick<
  ProxyView,
  'protocol' | 'config' | 'mesh' | 'accessLogs' | 'identity' | 'rbac' | 'shadowRbac' | 'jwtProviders'
>

/** One EDS cluster of a chain: its name and the target it reaches. */
export interface TargetCluster {
  readonly name: string
  readonly target: DiscoveryTarget
}

/** What a resolver node becomes: one EDS cluster, or an aggregate over one a failover target. */
export interface ResolverClusters {
  readonly name: string
  readonly node: ResolverNode
  readonly targets: readonly TargetCluster[]
  readonly failover: boolean
}

export function isHttp2(protocol: string): boolean {
  return protocol === 'http2' || protocol === 'grpc'
}

export function chainNode(chain: CompiledDiscoveryChain, name: string): DiscoveryNode {
  const node = Object.hasOwn(chain.Nodes, name) ? chain.Nodes[name] : undefined
  if (node === undefined) throw new Error(`discovery chain of ${chain.ServiceName} has no node ${name}`)
  return node
}

function chainTarget(chain: CompiledDiscoveryChain, id: string): DiscoveryTarget {
  const target = Object.hasOwn(chain.Targets, id) ? chain.Targets[id] : undefined
  if (target === undefined) throw new Error(`discovery chain of ${chain.ServiceName} has no target ${id}`)
  return target
}

export function resolverClusters(chain: CompiledDiscoveryChain, node: ResolverNode): ResolverClusters {
  const primary = chainTarget(chain, node.Resolver.Target)
  const name = customizedClusterName(chain.CustomizationHash, primary.Name)
  const others = node.Resolver.Failover?.Targets ?? []
  if (others.length === 0) return { name, node, targets: [{ name, target: primary }], failover: false }
  const targets = [primary, ...others.map(id => chainTarget(chain, id))]
  return { name, node, targets: targets.map((target, i) => ({ name: failoverClusterName(i, name), target })), failover: true }
}

type TunnelEnd = Pick<ProxyView, 'protocol' | 'config' | 'extensions' | 'permissive'>

/**
 * Whether the public listener takes CONNECT streams beside plain connections. A service with a limit of connections does so only when told
 * to: a stream beyond the limit waits for another to end, where a connection is refused. Neither does one with extensions, which add their
 * filters to the chain of plain connections.
 */
export function acceptsTunnels({ protocol, config, extensions, permissive }: TunnelEnd): boolean {
  // To tell tunnels from connections the ClientHello is awaited, and a client in the clear may wait for the server to speak first.
  if (permissive || isHttpLike(protocol) || config.tcpTunnel === 'off' || config.publicListenerJson !== undefined) return false
  return config.tcpTunnel !== 'auto' || (config.maxInboundConnections === 0 && extensions.length === 0)
}

/** Every cluster of a chain, in order of node names, so that the order never depends on how the chain was compiled. */
export function chainClusters(chain: CompiledDiscoveryChain): ResolverClusters[] {
  return Object.keys(chain.Nodes)
    .sort()
    .map(name => chainNode(chain, name))
    .filter((node): node is ResolverNode => node.Type === 'resolver')
    .map(node => resolverClusters(chain, node))
}

/** The cluster that requests at node `name` go to; the node must be a resolver. */
export function clusterOfNode(chain: CompiledDiscoveryChain, name: string): string {
  const node = chainNode(chain, name)
  if (node.Type !== 'resolver') throw new Error(`discovery chain of ${chain.ServiceName}: node ${name} is no resolver`)
  return resolverClusters(chain, node).name
}
