// One proxy's snapshot from the catalog, the config entries, its intentions and certificates. Called by `SnapshotPublisher` for each proxy
// that a change concerns; what a proxy is made of, its kind says (`kinds/`).
// What was read is recorded while it is read, so the publisher knows exactly which later change concerns which proxy.
import { makeSnapshot, type Snapshot } from '../../xds/server/snapshot.js'
import type { Catalog, CatalogInstance } from '../catalog/catalog.js'
import type { ServiceKind } from '../catalog/service-definition.js'
import { type CompiledFilter, compileFilter, type FilterInstance } from '../config-entries/filter-expression.js'
import type { ConfigEntryIndex, ConfigEntryKind, ConfigError, EntryOfKind } from '../config-entries/types.js'
import type { DiscoveryTarget } from '../discovery-chain/types.js'
import type { TargetEndpoint } from './endpoints.js'
import type { MeshSources, ProxyInstance, ProxyKind } from './kinds/proxy-kind.js'

export interface SnapshotSources extends MeshSources {
  readonly catalog: Catalog
  readonly entries: ConfigEntryIndex
  readonly nodeAddress: string
  readonly kinds: ProxyKinds
  /** An instance as filter expressions see it. */
  filterView(instance: CatalogInstance): FilterInstance
}

/** What a view holds is between a kind and itself. */
// biome-ignore lint/suspicious/noExplicitAny: only the kind that made a view reads it.
export type ProxyKinds = Readonly<Partial<Record<ServiceKind, ProxyKind<any>>>>

export interface BuiltSnapshot {
  readonly snapshot: Snapshot
  /** Keys of `entryKey` and `serviceKey`: what the snapshot was made from. */
  readonly dependencies: ReadonlySet<string>
  /** Parts of the configuration that have no effect, with their path. */
  readonly problems: readonly ConfigError[]
}

export const entryKey = (kind: ConfigEntryKind, name: string): string => `entry:${kind}/${name}`
/** Depended on by who lists a whole kind. */
export const kindKey = (kind: ConfigEntryKind): string => `kind:${kind}`
export const serviceKey = (name: string): string => `service:${name}`

/** Compiled filters kept; a mesh has few distinct ones. */
const MAX_COMPILED_FILTERS = 10_000

export class SnapshotBuilder {
  private readonly sources: SnapshotSources
  private readonly filters = new Map<string, CompiledFilter>()

  constructor(sources: SnapshotSources) {
    this.sources = sources
  }

  /** Throws `SnapshotError` when the proxy can't be served yet, or not as configured. */
  build(proxy: ProxyInstance): BuiltSnapshot {
    const dependencies = new Set<string>()
    const problems: ConfigError[] = []
    const kind = this.sources.kinds[proxy.Kind]
    if (kind === undefined) throw new Error(`proxy ${proxy.ID}: nobody makes resources for kind "${proxy.Kind}"`)
    const view = kind.view(proxy, { mesh: this.sources, entries: recording(this.sources.entries, dependencies), problems })
    const snapshot = makeSnapshot([
      ...kind.clusters(view),
      ...kind.endpoints(view, target => {
        dependencies.add(serviceKey(target.Service))
        return this.endpoints(target)
      }),
      ...kind.listeners(view),
      ...kind.routes(view),
    ])
    return { snapshot, dependencies, problems }
  }

  private endpoints(target: DiscoveryTarget): TargetEndpoint[] {
    const { catalog, datacenter, nodeAddress } = this.sources
    // There is one datacenter here: what names another has no instances.
    if (target.Datacenter !== datacenter || target.Peer) return []
    const instances = catalog.connectInstancesOf(target.Service)
    const filter = this.filter(target.Subset.Filter)
    const chosen = filter === undefined ? instances : instances.filter(instance => filter(this.sources.filterView(instance)))
    return chosen.map(instance => ({
      instance,
      // A sidecar registered without an address stands beside its service.
      address: instance.Address || behind(catalog, instance)?.Address || nodeAddress,
      health: catalog.health(instance),
    }))
  }

  private filter(expression: string | undefined): ((instance: FilterInstance) => boolean) | undefined {
    if (!expression) return undefined
    let compiled = this.filters.get(expression)
    if (compiled === undefined) {
      if (this.filters.size >= MAX_COMPILED_FILTERS) this.filters.clear()
      compiled = compileFilter(expression)
      this.filters.set(expression, compiled)
    }
    // Entries with a filter that does not compile are refused when written; should one be here, its subset is empty, not everything.
    return 'predicate' in compiled ? compiled.predicate : () => false
  }
}

function behind(catalog: Catalog, instance: CatalogInstance): CatalogInstance | undefined {
  const id = instance.Proxy?.DestinationServiceID
  return id ? catalog.instance(id) : undefined
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
