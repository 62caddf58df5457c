// What a kind of proxy is to the snapshot builder: how its view is gathered, and which resources are made from that view. Implemented by one
// file a kind beside this one; called by build-snapshot.ts, which knows none of them by itself.
// Invariants: a kind reads config entries and endpoints through the context alone, so that whatever it reads is recorded as a dependency;
// what it makes depends on what is registered, not on the instance's id, so that proxies that are alike share it; listeners, clusters and
// routes come from the view alone, so that a change of endpoints makes none of them anew.
import type { Resource } from '../../../xds/server/snapshot.js'
import type { CatalogInstance } from '../../catalog/catalog-types.js'
import type { HealthStatus } from '../../catalog/check-definition.js'
import type { ExposedCheck } from '../../catalog/check-exposure.js'
import type { ProxyRegistration } from '../../catalog/service-definition.js'
import type { ConfigEntryIndex, ConfigError, IntentionAction } from '../../config-entries/types.js'
import type { ImportedService, PeerBundle } from '../../peering/peering-types.js'
import type { Federation } from '../../spiffe/federation-types.js'
import type { EndpointLookup } from '../endpoints.js'
import type { PlacesOfTargets } from '../failover-order.js'

export type ProxyInstance = CatalogInstance & {
  readonly Proxy: ProxyRegistration
  /** Paths that checks of the service behind it ask for through it, if it exposes them. */
  readonly exposedChecks?: readonly ExposedCheck[]
}

/** What the whole mesh has in common. */
export interface MeshSources {
  readonly datacenter: string
  readonly trustDomain: string
  defaultPolicy(): IntentionAction
  rootsPem(): string
  leaf(service: string): { readonly chainPem: string; readonly keyPem: string } | undefined
  readonly peers: PeerSources
  readonly federations: FederationSources
}

/** What is known of federated trust domains. */
export interface FederationSources {
  /** Undefined: there is none of that name, or its bundle has not come. */
  named(name: string): Federation | undefined
  bundleOf(trustDomain: string): PeerBundle | undefined
  /** Of the trust domains whose workloads are services of this mesh. */
  ofMesh(): readonly PeerBundle[]
}

/** What is known of peers. */
export interface PeerSources {
  /** Undefined: nothing of it is trusted (yet, or any more). */
  bundle(peer: string): PeerBundle | undefined
  imported(peer: string, service: string): ImportedService | undefined
  /** Everything that peers export to us. */
  imports(): readonly ImportedService[]
  /** By which transparent proxies are asked for an imported service. */
  virtualAddress(peer: string, service: string): string | undefined
  /** Control planes that we dial. */
  dialled(): readonly { readonly serverName: string; readonly addresses: readonly string[] }[]
  /** Where peers reach our own control plane, for a gateway that hands them on; undefined: they don't. */
  server(): { readonly serverName: string; readonly host: string; readonly port: number } | undefined
}

export const NO_PEERS: PeerSources = {
  bundle: () => undefined,
  imported: () => undefined,
  imports: () => [],
  virtualAddress: () => undefined,
  dialled: () => [],
  server: () => undefined,
}

export const NO_FEDERATIONS: FederationSources = { named: () => undefined, bundleOf: () => undefined, ofMesh: () => [] }

export interface VirtualService {
  readonly service: string
  readonly addresses: readonly string[]
  /** Registrations of its sidecars let each be dialled by its own address. */
  readonly dialledDirectly: boolean
}

/** The catalog as kinds read it. */
export interface RegisteredServices {
  serviceNames(): Iterable<string>
  instancesOf(service: string): readonly CatalogInstance[]
  /** The mesh reaches it. */
  isInMesh(service: string): boolean
  /** Where the mesh reaches the service: its sidecars, connect-native instances and terminating gateways. */
  connectInstancesOf(service: string): readonly CatalogInstance[]
  /** Services that transparent proxies may be asked for, with the addresses that stand for each. */
  virtualServices(): readonly VirtualService[]
  /** Its own; of a sidecar without one that of the service behind it; else its node's. */
  addressOf(instance: CatalogInstance): string
  health(instance: CatalogInstance): HealthStatus
  /** Whether a subset with this filter has the instance. */
  inSubset(instance: CatalogInstance, filter: string | undefined): boolean
}

export interface BuildContext {
  readonly mesh: MeshSources
  readonly entries: ConfigEntryIndex
  /** Takes parts of the configuration that have no effect, with their path. */
  readonly problems: ConfigError[]
  /** What is registered, for a gateway that stands before it. */
  readonly catalog: RegisteredServices
  /** Where the proxy is, and what it may fail over to. */
  readonly places: PlacesOfTargets
  /** Whether every sidecar of the service is known to take tunnels. */
  readonly acceptsTunnels: (service: string) => boolean
}

export interface ProxyKind<View> {
  /** Throws `SnapshotError` when the proxy can't be served yet, or not as configured. */
  view(proxy: ProxyInstance, context: BuildContext): View
  listeners(view: View): Resource[]
  clusters(view: View): Resource[]
  routes(view: View): Resource[]
  endpoints(view: View, lookup: EndpointLookup): Resource[]
  /** What its listeners name as secrets of the snapshot. */
  secrets?(view: View): Resource[]
  /** Whether what is made takes tunnels of TCP connections. */
  acceptsTunnels(view: View): boolean
  /** Of a kind of which many proxies differ by their place alone: what has the place in it is made for each, the rest once for all of them. */
  readonly placed?: PlacedListeners<View>
}

/** `listeners` in two parts. */
export interface PlacedListeners<View> {
  /** Without them, or with others, the rest would be the same. */
  unplaced(proxy: ProxyInstance): ProxyInstance
  /** Those without the proxy's place. */
  shared(view: View): Resource[]
  /** Those with it; `view` is that of a proxy which is the same but for its place: what is made of it alone may be kept by it. */
  own(view: View, proxy: ProxyInstance, problems: ConfigError[]): Resource[]
}

/** The last good snapshot stays. */
export class SnapshotError extends Error {
  /** What was read before it was thrown, so that a change of it is another try; set by the builder. */
  dependencies: ReadonlySet<string> = new Set()
}

/** Part of the configuration is such that no sidecar could take it: refused when it is written, and never sent. */
export class RefusedConfig extends SnapshotError {}
