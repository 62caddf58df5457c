// One proxy's snapshot from the catalog, the config entries, its intentions and certificates. Called by `SnapshotPublisher` for each proxy
// that a change concerns; what a proxy is made of, its kind says (`kinds/`).
// What was read is recorded while it is read, so the publisher knows exactly which later change concerns which proxy. What several proxies
// share is made and encoded once: the assignment of a cluster for all that have it, everything for proxies that are alike.
import { makeSnapshot, type Resource, resourcesOf, type Snapshot } from '../../xds/server/snapshot.js'
import type { CatalogIndex } from '../catalog/catalog-index.js'
import type { CatalogInstance } from '../catalog/catalog-types.js'
import { addressOf } from '../catalog/instance-address.js'
import { localityOf } from '../catalog/instance-locality.js'
import type { Locality } from '../catalog/locality.js'
import type { ServiceKind } from '../catalog/service-definition.js'
import { type FilterInstance, subsetFilter } from '../config-entries/filter-expression.js'
import type { ConfigEntryIndex, ConfigEntryKind, ConfigError, EntryOfKind } from '../config-entries/types.js'
import type { DiscoveryTarget } from '../discovery-chain/types.js'
import { EndpointSet } from './endpoint-set.js'
import type { EndpointLookup, Way } from './endpoints.js'
import {
  type FederationSources,
  type MeshSources,
  type PeerSources,
  type ProxyInstance,
  type ProxyKind,
  type RegisteredServices,
  SnapshotError,
  type VirtualService,
} from './kinds/proxy-kind.js'
import type { TunnelReadiness } from './tunnel-readiness.js'

export interface SnapshotSources extends MeshSources {
  readonly catalog: CatalogIndex
  readonly entries: ConfigEntryIndex
  readonly kinds: ProxyKinds
  readonly tunnels: Pick<TunnelReadiness, 'accepts'>
  /** An instance as filter expressions see it. */
  filterView(instance: CatalogInstance): FilterInstance
}

/** What a view holds is between a kind and itself. */
// biome-ignore lint/suspicious/noExplicitAny: only the kind that made a view reads it.
export type ProxyKinds = Readonly<Partial<Record<ServiceKind, ProxyKind<any>>>>

/** What changes only with the proxy's configuration, and the way to its endpoints. */
export interface SettledPart {
  /** Shared by every snapshot that has them, so that two of them are compared at a glance. */
  readonly resources: Snapshot
  /** Keys of `entryKey` and `kindKey`: what it was made from. */
  readonly dependencies: ReadonlySet<string>
  /** Parts of the configuration that have no effect, with their path. */
  readonly problems: readonly ConfigError[]
  readonly endpoints: (lookup: EndpointLookup) => readonly Resource[]
  readonly acceptsTunnels: boolean
}

export interface BuiltSnapshot {
  readonly snapshot: Snapshot
  readonly settled: SettledPart
  /** Keys of `serviceKey`. */
  readonly endpointDependencies: ReadonlySet<string>
  /** Where the proxy is; undefined: nobody says. */
  readonly locality: Locality | undefined
}

export const entryKey = (kind: ConfigEntryKind, name: string): string => `entry:${kind}/${name}`
/** Depended on by who lists a whole kind. */
export const kindKey = (kind: ConfigEntryKind): string => `kind:${kind}`
/** Depended on by who asks whether the service takes tunnels. */
export const tunnelKey = (service: string): string => `tunnel:${service.toLowerCase()}`
/** Names of services are the same in any case. */
export const serviceKey = (name: string): string => `service:${name.toLowerCase()}`

/** Depended on by who lists the names of all services. */
export const NAMES_KEY = 'names'
/** Depended on by who trusts a peer. */
export const peerKey = (peer: string): string => `peer:${peer}`
/** Depended on by who knows a peer's service by name and identity. */
export const importKey = (peer: string, service: string): string => `import:${peer}/${service.toLowerCase()}`
/** Depended on by who connects to a peer's service. */
export const importWaysKey = (peer: string, service: string): string => `ways:${peer}/${service.toLowerCase()}`
/** Depended on by who lists all that is imported, and all peers. */
export const PEERS_KEY = 'peers'
/** Depended on by who goes out by our own mesh gateways. */
export const GATEWAYS_KEY = 'mesh-gateways'
/** Depended on by who trusts federated trust domains. */
export const FEDERATIONS_KEY = 'federations'
/** Depended on by who lists services with their virtual addresses. */
export const VIRTUAL_KEY = 'virtual'
/** Depended on by who shows the certificate of the service. */
export const leafKey = (service: string): string => `leaf:${service}`
/** The other way round; undefined: another key. */
export const serviceOfLeafKey = (key: string): string | undefined => (key.startsWith('leaf:') ? key.slice('leaf:'.length) : undefined)

/** Of the instances that a target is reached by. */
const waysKey = ({ Peer, Service }: DiscoveryTarget): string => (Peer ? importWaysKey(Peer, Service) : serviceKey(Service))

const NO_ENDPOINTS = new EndpointSet([])
/** Compiled filters kept; a mesh has few distinct ones. */
const MAX_COMPILED_FILTERS = 10_000
const MAX_LOOKUPS = 50_000

export class SnapshotBuilder {
  private readonly sources: SnapshotSources
  private readonly filters = new Map<string, (instance: FilterInstance) => boolean>()
  /** By service in lower case, then by the way and the subset's filter. */
  private readonly lookups = new Map<string, Map<string, EndpointSet>>()
  private readonly alike = new Map<string, { readonly settled: SettledPart; readonly view: unknown }>()
  /** By what those were made from: their keys. */
  private readonly alikeBy = new Map<string, Set<string>>()
  /** Those of `alike` that depend on where a proxy is: theirs are kept by place. */
  private readonly placed = new Set<string>()
  private readonly imports = new Map<string, EndpointSet>()
  private gateways: EndpointSet | undefined

  constructor(sources: SnapshotSources) {
    this.sources = sources
  }

  /** Throws `SnapshotError` when the proxy can't be served yet, or not as configured. */
  build(registered: ProxyInstance): BuiltSnapshot {
    const exposedChecks = this.sources.catalog.exposedChecks(registered)
    const proxy = exposedChecks.length === 0 ? registered : { ...registered, exposedChecks }
    const kind = this.sources.kinds[proxy.Kind]
    if (kind === undefined) throw new Error(`proxy ${proxy.ID}: nobody makes resources for kind "${proxy.Kind}"`)
    const { placed } = kind
    const locality = localityOf(this.sources.catalog, proxy)
    const common = alikeKey(placed === undefined ? proxy : placed.unplaced(proxy))
    const inPlace = (): string => `${JSON.stringify(locality)} ${common}`
    let key = this.placed.has(common) ? inPlace() : common
    let alike = this.alike.get(key)
    if (alike === undefined) {
      let readsPlace = false
      alike = this.settle(proxy, kind, () => {
        readsPlace = true
        return locality
      })
      if (readsPlace) {
        this.placed.add(common)
        key = inPlace()
      }
      this.alike.set(key, alike)
      for (const dependency of alike.settled.dependencies) {
        const keys = this.alikeBy.get(dependency)
        if (keys === undefined) this.alikeBy.set(dependency, new Set([key]))
        else keys.add(key)
      }
    }
    const { settled, view } = alike
    return madeFrom(settled.dependencies, () =>
      this.withEndpoints(
        placed === undefined ? settled : withOwnListeners(settled, problems => placed.own(view, proxy, problems)),
        locality,
      ),
    )
  }

  /** The snapshot of before with its endpoints looked up anew: for a change that concerns nothing else of it. */
  refresh(before: BuiltSnapshot): BuiltSnapshot {
    return madeFrom(before.settled.dependencies, () => this.withEndpoints(before.settled, before.locality))
  }

  /** Instances of the service, or their health, are others now. */
  serviceChanged(name: string): void {
    this.lookups.delete(name.toLowerCase())
  }

  /** Instances of a peer's service, or the ways to it, are others now. */
  importChanged(peer: string, service: string): void {
    this.imports.delete(importWaysKey(peer, service))
  }

  /** Our own mesh gateways, or their health, are others now. */
  gatewaysChanged(): void {
    this.gateways = undefined
  }

  /** What the key stands for is another now: what was made for one proxy may no longer be right for those that are alike. */
  inputChanged(key: string): void {
    for (const each of this.alikeBy.get(key) ?? []) this.alike.delete(each)
    this.alikeBy.delete(key)
  }

  /** What no key stands for: roots, the default policy. */
  everythingChanged(): void {
    this.forgetAlike()
  }

  /** Those that are alike have had their turn. */
  forgetAlike(): void {
    this.alike.clear()
    this.placed.clear()
    this.alikeBy.clear()
  }

  /** All of it but listeners of its own place. */
  private settle(
    proxy: ProxyInstance,
    kind: NonNullable<ProxyKinds[ServiceKind]>,
    from: () => Locality | undefined,
  ): { settled: SettledPart; view: unknown } {
    const dependencies = new Set<string>()
    const problems: ConfigError[] = []
    const acceptsTunnels = (service: string): boolean => {
      dependencies.add(tunnelKey(service))
      return this.sources.tunnels.accepts(service)
    }
    return madeFrom(dependencies, () => {
      const view: unknown = kind.view(proxy, {
        mesh: {
          ...this.sources,
          leaf: this.recordedLeaf(dependencies),
          peers: this.recordedPeers(dependencies),
          federations: this.recordedFederations(dependencies),
        },
        entries: recording(this.sources.entries, dependencies),
        catalog: this.recordedCatalog(dependencies),
        problems,
        places: {
          from,
          of: target => {
            dependencies.add(waysKey(target))
            return this.endpoints(target, 'mesh').localities
          },
        },
        acceptsTunnels,
      })
      const listeners = kind.placed === undefined ? kind.listeners(view) : kind.placed.shared(view)
      const settled = {
        resources: makeSnapshot([...kind.clusters(view), ...listeners, ...kind.routes(view), ...(kind.secrets?.(view) ?? [])]),
        dependencies,
        problems,
        endpoints: (lookup: EndpointLookup) => kind.endpoints(view, lookup),
        acceptsTunnels: kind.acceptsTunnels(view),
      }
      return { settled, view }
    })
  }

  private recordedLeaf(dependencies: Set<string>): MeshSources['leaf'] {
    return service => {
      dependencies.add(leafKey(service))
      return this.sources.leaf(service)
    }
  }

  /** A mesh has few, and they change seldom: whoever trusts one is made anew with each. */
  private recordedFederations(dependencies: Set<string>): FederationSources {
    const { federations } = this.sources
    const read = (): FederationSources => {
      dependencies.add(FEDERATIONS_KEY)
      return federations
    }
    return {
      named: name => read().named(name),
      bundleOf: trustDomain => read().bundleOf(trustDomain),
      ofMesh: () => read().ofMesh(),
    }
  }

  private recordedPeers(dependencies: Set<string>): PeerSources {
    const { peers } = this.sources
    return {
      bundle: peer => {
        dependencies.add(peerKey(peer))
        return peers.bundle(peer)
      },
      imported: (peer, service) => {
        dependencies.add(importKey(peer, service))
        return peers.imported(peer, service)
      },
      imports: () => {
        dependencies.add(PEERS_KEY)
        return peers.imports()
      },
      virtualAddress: (peer, service) => {
        dependencies.add(importKey(peer, service))
        return peers.virtualAddress(peer, service)
      },
      dialled: () => {
        dependencies.add(PEERS_KEY)
        return peers.dialled()
      },
      server: () => peers.server(),
    }
  }

  private recordedCatalog(dependencies: Set<string>): RegisteredServices {
    const { catalog } = this.sources
    let virtual: readonly VirtualService[] | undefined
    return {
      serviceNames: () => {
        dependencies.add(NAMES_KEY)
        return catalog.serviceNames()
      },
      instancesOf: service => {
        dependencies.add(serviceKey(service))
        return catalog.instancesOf(service)
      },
      isInMesh: service => {
        dependencies.add(serviceKey(service))
        return catalog.isInMesh(service)
      },
      connectInstancesOf: service => {
        dependencies.add(serviceKey(service))
        return catalog.connectInstancesOf(service)
      },
      virtualServices: () => {
        dependencies.add(VIRTUAL_KEY)
        virtual ??= catalog.virtualServiceNames().map(service => ({
          service,
          addresses: catalog.virtualAddressesOf(service),
          dialledDirectly: catalog.isDialledDirectly(service),
        }))
        return virtual
      },
      addressOf: instance => addressOf(catalog, instance),
      health: instance => catalog.health(instance),
      inSubset: (instance, filter) => this.filter(filter)?.(this.sources.filterView(instance)) ?? true,
    }
  }

  private withEndpoints(settled: SettledPart, locality: Locality | undefined): BuiltSnapshot {
    const endpointDependencies = new Set<string>()
    const endpoints = settled.endpoints((target, way = 'mesh') => {
      if (way === 'gateways') endpointDependencies.add(GATEWAYS_KEY)
      else endpointDependencies.add(waysKey(target))
      const set = this.endpoints(target, way)
      return locality !== undefined && target.PrioritizeByLocality?.Mode === 'failover' ? set.nearestFirst(locality) : set
    })
    return { snapshot: new Map([...settled.resources, ...makeSnapshot(endpoints)]), settled, endpointDependencies, locality }
  }

  private endpoints(target: DiscoveryTarget, way: Way): EndpointSet {
    const { datacenter } = this.sources
    if (way === 'gateways') return (this.gateways ??= this.ownGateways())
    if (target.Peer) return this.waysTo(target.Peer, target.Service)
    // There is one datacenter here: what names another has no instances.
    if (target.Datacenter !== datacenter) return NO_ENDPOINTS
    const name = target.Service.toLowerCase()
    let sets = this.lookups.get(name)
    if (sets === undefined) {
      // Upstreams may name services that never are, and go again.
      if (this.lookups.size >= MAX_LOOKUPS) this.lookups.clear()
      this.lookups.set(name, (sets = new Map()))
    }
    const key = `${way} ${target.Subset.Filter ?? ''}`
    let set = sets.get(key)
    if (set === undefined) sets.set(key, (set = this.lookUp(target, way)))
    return set
  }

  private waysTo(peer: string, service: string): EndpointSet {
    const key = importWaysKey(peer, service)
    const known = this.imports.get(key)
    if (known !== undefined) return known
    const imported = this.sources.peers.imported(peer, service)
    if (imported === undefined) return NO_ENDPOINTS
    const set = new EndpointSet(
      imported.ways.map(({ address, port, weights, status, Locality }) => ({
        instance: { SocketPath: '', Port: port, Weights: weights },
        address,
        health: status,
        locality: Locality,
      })),
    )
    this.imports.set(key, set)
    return set
  }

  private ownGateways(): EndpointSet {
    const { catalog } = this.sources
    const gateways = catalog.meshGateways().map(instance => ({
      instance,
      address: addressOf(catalog, instance),
      health: catalog.health(instance),
      locality: localityOf(catalog, instance),
    }))
    return new EndpointSet(gateways)
  }

  private lookUp(target: DiscoveryTarget, way: Way): EndpointSet {
    const { catalog } = this.sources
    const instances = way === 'mesh' ? catalog.connectInstancesOf(target.Service) : catalog.instancesOf(target.Service)
    const filter = this.filter(target.Subset.Filter)
    // A gateway stands before every subset of its services: it chooses of them itself.
    const chosen =
      filter === undefined
        ? instances
        : instances.filter(instance => instance.Kind === 'terminating-gateway' || filter(this.sources.filterView(instance)))
    return new EndpointSet(
      chosen.map(instance => ({
        instance,
        address: addressOf(catalog, instance),
        health: catalog.health(instance),
        locality: localityOf(catalog, instance),
      })),
    )
  }

  private filter(expression: string | undefined): ((instance: FilterInstance) => boolean) | undefined {
    const known = this.filters.get(expression ?? '')
    if (known !== undefined) return known
    const filter = subsetFilter(expression)
    if (filter === undefined) return undefined
    if (this.filters.size >= MAX_COMPILED_FILTERS) this.filters.clear()
    this.filters.set(expression!, filter)
    return filter
  }
}

/** What can't be made says what it was to be made from: a change of that is another try. */
function madeFrom<T>(dependencies: ReadonlySet<string>, make: () => T): T {
  try {
    return make()
  } catch (error) {
    if (error instanceof SnapshotError) error.dependencies = dependencies
    throw error
  }
}

function withOwnListeners(settled: SettledPart, own: (problems: ConfigError[]) => readonly Resource[]): SettledPart {
  const problems = [...settled.problems]
  const resources = new Map(settled.resources)
  for (const [typeUrl, byName] of makeSnapshot(own(problems)))
    resources.set(typeUrl, new Map([...byName, ...resourcesOf(resources, typeUrl)]))
  return { ...settled, resources, problems }
}

/** Equal for proxies that get the same: all that is registered but whose it is. */
export function alikeKey(proxy: ProxyInstance): string {
  const { ID: _id, Node: _node, Locality: _locality, CreateIndex: _created, ModifyIndex: _modified, ...rest } = proxy
  return JSON.stringify({ ...rest, Proxy: { ...proxy.Proxy, DestinationServiceID: '' } })
}

/** `entries`, noting each entry that is looked for (found or not) and each kind that is listed. */
function recording(entries: ConfigEntryIndex, dependencies: Set<string>): ConfigEntryIndex {
  return {
    get: <K extends ConfigEntryKind>(kind: K, name: string): EntryOfKind<K> | undefined => {
      dependencies.add(entryKey(kind, name))
      return entries.get(kind, name)
    },
    list: <K extends ConfigEntryKind>(kind: K): readonly EntryOfKind<K>[] => {
      dependencies.add(kindKey(kind))
      return entries.list(kind)
    },
  }
}
