// One proxy's snapshot from the catalog, the config entries, its intentions and certificates. Called by `SnapshotPublisher` for
// each proxy that a change concerns; calls the chain compiler and the one-file-a-resource builders.
// What was read is recorded while it is read, so the publisher knows exactly which later change concerns which proxy.
import { makeSnapshot, type Snapshot } from '../../xds/server/snapshot.js'
import type { Catalog, CatalogInstance } from '../catalog/catalog.js'
import type { ProxyRegistration, Upstream } from '../catalog/service-definition.js'
import { type CompiledFilter, compileFilter, type FilterInstance } from '../config-entries/filter-expression.js'
import type {
  ConfigEntryIndex,
  ConfigEntryKind,
  ConfigError,
  EntryOfKind,
  IntentionAction,
  JwtProvider,
  UpstreamConfig,
} from '../config-entries/types.js'
import { compileDiscoveryChain } from '../discovery-chain/compile.js'
import { envoyId, filterName } from '../discovery-chain/names.js'
import { isHttpLike, serviceProtocol } from '../discovery-chain/service-protocol.js'
import type { CompiledDiscoveryChain, DiscoveryTarget } from '../discovery-chain/types.js'
import { compileIntentions, jwtIssuers } from '../intentions/compile.js'
import { intentionsFor } from '../intentions/match.js'
import { intentionTable } from '../intentions/table.js'
import type { Intention } from '../intentions/types.js'
import { buildClusters } from './clusters.js'
import { buildEndpoints, type TargetEndpoint } from './endpoints.js'
import { buildListeners } from './listeners.js'
import { readProxyConfig, readUpstreamSettings } from './proxy-config.js'
import type { ProxyView, UpstreamView } from './proxy-view.js'
import { buildRoutes } from './routes.js'

export type ProxyInstance = CatalogInstance & { readonly Proxy: ProxyRegistration }

export interface SnapshotSources {
  readonly catalog: Catalog
  readonly entries: ConfigEntryIndex
  readonly datacenter: string
  readonly trustDomain: string
  readonly nodeAddress: string
  defaultPolicy(): IntentionAction
  rootsPem(): string
  leaf(service: string): { readonly chainPem: string; readonly keyPem: string } | undefined
  /** An instance as filter expressions see it. */
  filterView(instance: CatalogInstance): FilterInstance
}

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

/** The proxy cannot be served yet, or not as configured: the last good snapshot stays. */
export class SnapshotError extends Error {}

/** Compiled filters kept; a mesh has few distinct ones. */
const MAX_COMPILED_FILTERS = 10_000

export class SnapshotBuilder {
  private readonly sources: SnapshotSources
  private readonly filters = new Map<string, CompiledFilter>()

  constructor(sources: SnapshotSources) {
    this.sources = sources
  }

  /** Throws `SnapshotError` when the service has no leaf yet or an upstream's chain does not compile. */
  build(proxy: ProxyInstance): BuiltSnapshot {
    const dependencies = new Set<string>()
    const problems: ConfigError[] = []
    const view = this.view(proxy, recording(this.sources.entries, dependencies), problems)
    for (const { chain } of view.upstreams) for (const target of Object.values(chain.Targets)) dependencies.add(serviceKey(target.Service))
    const snapshot = makeSnapshot([
      ...buildClusters(view),
      ...buildEndpoints(view, target => this.endpoints(target)),
      ...buildListeners(view),
      ...buildRoutes(view),
    ])
    return { snapshot, dependencies, problems }
  }

  private view(proxy: ProxyInstance, entries: ConfigEntryIndex, problems: ConfigError[]): ProxyView {
    const { datacenter, trustDomain } = this.sources
    const service = proxy.Proxy.DestinationServiceName
    const leaf = this.sources.leaf(service)
    if (leaf === undefined) throw new SnapshotError(`service ${service} has no certificate yet`)
    const proxyDefaults = entries.get('proxy-defaults', 'global')
    const serviceDefaults = entries.get('service-defaults', service)
    const config = readProxyConfig({ proxyDefaults, serviceDefaults, registration: proxy.Proxy.Config }, problems)
    const protocol = config.protocol ?? serviceProtocol(entries, service)
    const http = isHttpLike(protocol)
    const defaultAction = this.sources.defaultPolicy()
    const intentions = intentionsFor(entries, service)
    const upstreamConfig = serviceDefaults?.UpstreamConfig
    return {
      proxy,
      protocol,
      config,
      mesh: entries.get('mesh', 'mesh'),
      accessLogs: proxyDefaults?.AccessLogs,
      identity: {
        trustDomain,
        datacenter,
        certificateChainPem: leaf.chainPem,
        privateKeyPem: leaf.keyPem,
        rootsPem: this.sources.rootsPem(),
      },
      rbac: compileIntentions(intentions, { defaultAction, http, trustDomain, jwtIssuers: jwtIssuers(entries) }),
      intentionTable: intentionTable(service, intentions, { defaultAction, http }),
      jwtProviders: http ? jwtProviders(intentions, entries) : [],
      upstreams: proxy.Proxy.Upstreams.map(upstream => this.upstream(upstream, upstreamConfig, entries, problems)),
    }
  }

  private upstream(
    upstream: Upstream,
    config: { readonly Overrides?: readonly UpstreamConfig[]; readonly Defaults?: UpstreamConfig } | undefined,
    entries: ConfigEntryIndex,
    problems: ConfigError[],
  ): UpstreamView {
    const name = upstream.DestinationName
    const datacenter = upstream.Datacenter || this.sources.datacenter
    const override = config?.Overrides?.find(candidate => candidate.Name === name)
    const settings = readUpstreamSettings(config?.Defaults, override, upstream.Config, problems)
    const result = compileDiscoveryChain({
      service: name,
      datacenter,
      trustDomain: this.sources.trustDomain,
      entries,
      ...(settings.protocol === undefined ? {} : { overrideProtocol: settings.protocol }),
      ...(settings.connectTimeoutMs === undefined ? {} : { overrideConnectTimeoutMs: settings.connectTimeoutMs }),
    })
    if ('errors' in result) throw new SnapshotError(`upstream ${name}: ${result.errors.map(({ reason }) => reason).join('; ')}`)
    const chain: CompiledDiscoveryChain = result.chain
    return {
      upstream,
      envoyId: envoyId({ name, ...(upstream.Datacenter === '' ? {} : { datacenter: upstream.Datacenter }) }),
      filterName: filterName(name, upstream.DestinationNamespace, upstream.DestinationPartition, datacenter),
      chain,
      settings,
    }
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

function jwtProviders(intentions: readonly Intention[], entries: ConfigEntryIndex): JwtProvider[] {
  const names = new Set<string>()
  for (const { jwt, permissions = [] } of intentions)
    for (const requirement of [jwt, ...permissions.map(permission => permission.JWT)])
      for (const provider of requirement?.Providers ?? []) names.add(provider.Name)
  return [...names]
    .sort()
    .map(name => entries.get('jwt-provider', name))
    .filter(entry => entry !== undefined)
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
