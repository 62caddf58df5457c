// The compiled discovery chain: Consul's JSON shape (`/v1/discovery-chain/:service`), so that it can be served as it is.
// Made by `compile.ts`; the snapshot turns it into routes, clusters and endpoints.
// Invariant: every `NextNode`, `Target` and failover target names an existing entry of `Nodes` / `Targets`.
import type {
  Duration,
  EnvoyExtension,
  FailoverPolicy,
  LoadBalancer,
  MeshGateway,
  PrioritizeByLocality,
  ResolverSubset,
  ServiceRoute,
  ServiceSplit,
  TransparentProxy,
  UserMap,
} from '../config-entries/types.js'

export interface DiscoveryRoute {
  readonly Definition: ServiceRoute
  readonly NextNode: string
}

export interface DiscoverySplit {
  readonly Definition: ServiceSplit
  /** Effective weight after flattening, 0–100 in steps of 0.01; use it, not Definition.Weight. */
  readonly Weight: number
  readonly NextNode: string
}

export interface DiscoveryFailover {
  /** Target ids in the order to try. */
  readonly Targets: readonly string[]
  readonly Policy?: FailoverPolicy
}

export interface DiscoveryResolver {
  readonly Default?: boolean
  readonly ConnectTimeout: Duration
  readonly RequestTimeout?: Duration
  readonly Target: string
  readonly Failover?: DiscoveryFailover
}

export interface RouterNode {
  readonly Type: 'router'
  readonly Name: string
  readonly Routes: readonly DiscoveryRoute[]
}

export interface SplitterNode {
  readonly Type: 'splitter'
  readonly Name: string
  readonly Splits: readonly DiscoverySplit[]
  /** Ours: copies of that many percent of the requests go to this node too (splitter-mirror.ts). */
  readonly Mirror?: { readonly NextNode: string; readonly Percent: number }
  readonly LoadBalancer?: LoadBalancer
}

export interface ResolverNode {
  readonly Type: 'resolver'
  readonly Name: string
  readonly Resolver: DiscoveryResolver
  readonly LoadBalancer?: LoadBalancer
}

export type DiscoveryNode = RouterNode | SplitterNode | ResolverNode

export interface DiscoveryTarget {
  readonly ID: string
  readonly Service: string
  readonly ServiceSubset?: string
  readonly Namespace: string
  readonly Partition: string
  readonly Datacenter: string
  readonly Peer?: string
  readonly MeshGateway: MeshGateway
  readonly Subset: ResolverSubset
  readonly ConnectTimeout: Duration
  /** Server name for TLS; ExternalSNI if set. */
  readonly SNI: string
  /** Cluster name without the `<hash>~` prefix: shaped like SNI, never changed by ExternalSNI. */
  readonly Name: string
  readonly External?: boolean
  readonly TransparentProxy: TransparentProxy
  readonly PrioritizeByLocality?: PrioritizeByLocality
}

export interface CompiledDiscoveryChain {
  readonly ServiceName: string
  readonly Namespace: string
  readonly Partition: string
  readonly Datacenter: string
  /** Eight hex digits when an override changed the chain; prefix of cluster names (`<hash>~`). */
  readonly CustomizationHash?: string
  readonly Default?: boolean
  readonly Protocol: string
  readonly ServiceMeta?: UserMap<string>
  readonly EnvoyExtensions?: readonly EnvoyExtension[]
  readonly StartNode: string
  /** Keyed `router:|splitter:|resolver:` + Name. */
  readonly Nodes: Readonly<Record<string, DiscoveryNode>>
  readonly Targets: Readonly<Record<string, DiscoveryTarget>>
}
