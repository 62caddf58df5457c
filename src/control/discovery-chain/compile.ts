// Config entries to the compiled discovery chain of one service, as Consul compiles it.
// Called by the snapshot for each upstream, by `/v1/discovery-chain` and by `validateWrite`. Pure: same entries, same chain.
//
//   router (top service only) → splitter → … → splitter → resolver (redirects followed, default subset applied) → target + failover
//
// Invariant: a chain that comes out has no cycles, every reference resolves, and all its services speak one protocol.
import { createHash } from 'node:crypto'
import { durationFromMs, durationMs } from '../config-entries/duration.js'
import { mirrorOf } from '../config-entries/splitter-mirror.js'
import type {
  ConfigEntryIndex,
  ConfigError,
  FailoverTarget,
  LoadBalancer,
  MeshGatewayMode,
  ResolverFailover,
  RouteDestination,
  ServiceResolver,
} from '../config-entries/types.js'
import { findCycle, reachable } from './chain-graph.js'
import { flattenSplitters, MAX_SPLIT_LEGS } from './flatten-splitters.js'
import { DEFAULT_TENANCY } from './names.js'
import { isHttpLike, serviceProtocol } from './service-protocol.js'
import { DEFAULT_CONNECT_TIMEOUT_MS, type MutableTarget, TargetTable } from './target-table.js'
import type { CompiledDiscoveryChain, DiscoveryNode, DiscoveryRoute, DiscoverySplit, ResolverNode } from './types.js'

export interface ChainRequest {
  readonly service: string
  readonly namespace?: string
  readonly partition?: string
  readonly datacenter: string
  readonly trustDomain: string
  readonly entries: ConfigEntryIndex
  /** From the downstream's upstream config. tcp takes routers and splitters out of the chain. */
  readonly overrideProtocol?: string
  readonly overrideConnectTimeoutMs?: number
  readonly overrideMeshGateway?: MeshGatewayMode
}

export type ChainResult = { readonly chain: CompiledDiscoveryChain } | { readonly errors: readonly ConfigError[] }

/** Nodes and targets of one chain; it also bounds how deep the compiler recurses through splitters. */
export const MAX_CHAIN_NODES = 2000

export function compileDiscoveryChain(request: ChainRequest): ChainResult {
  return new ChainCompiler(request).compile()
}

/** Single use. Methods that can fail note why in `#errors` and return undefined. */
class ChainCompiler {
  private readonly request: ChainRequest
  private readonly namespace: string
  private readonly partition: string
  private readonly routingDisabled: boolean
  private readonly errors: ConfigError[] = []
  private readonly nodes = new Map<string, DiscoveryNode>()
  private readonly targets: TargetTable
  private readonly retained = new Set<string>()
  private readonly protocols = new Set<string>()
  private readonly customized = { protocol: false, connectTimeout: false, meshGateway: false }
  private protocol = ''
  private usesRouting = false
  private depth = 0

  constructor(request: ChainRequest) {
    this.request = request
    this.namespace = request.namespace || DEFAULT_TENANCY
    this.partition = request.partition || DEFAULT_TENANCY
    this.targets = new TargetTable(request, this.namespace, this.partition)
    this.routingDisabled = request.overrideProtocol ? !isHttpLike(request.overrideProtocol) : false
  }

  compile(): ChainResult {
    const { service, datacenter, entries, overrideProtocol } = this.request
    const start = this.start()
    if (start === undefined || this.errors.length > 0) return { errors: this.errors }
    const cycle = findCycle(this.nodes, start)
    if (cycle !== undefined) return this.failed(`detected circular reference: [${cycle.join(' -> ')}]`)
    if (!flattenSplitters(this.nodes)) {
      return this.failed(`discovery chain ${quote(service)} has more than ${MAX_SPLIT_LEGS} split legs`)
    }
    if (this.usesRouting && !isHttpLike(this.protocol)) {
      return this.failed(
        `discovery chain ${quote(service)} uses a protocol ${quote(this.protocol)} that does not permit advanced routing or splitting behavior`,
      )
    }
    if (overrideProtocol && overrideProtocol !== this.protocol) {
      this.protocol = overrideProtocol
      this.customized.protocol = true
    }
    const used = reachable(this.nodes, start)
    const hash = this.customizationHash()
    const defaults = entries.get('service-defaults', service)
    const extensions = [...(entries.get('proxy-defaults', 'global')?.EnvoyExtensions ?? []), ...(defaults?.EnvoyExtensions ?? [])]
    const chain: CompiledDiscoveryChain = {
      ServiceName: service,
      Namespace: this.namespace,
      Partition: this.partition,
      Datacenter: datacenter,
      ...(hash && { CustomizationHash: hash }),
      ...(this.isDefault(start) && { Default: true }),
      Protocol: this.protocol,
      ...(defaults?.Meta && { ServiceMeta: defaults.Meta }),
      ...(extensions.length > 0 && { EnvoyExtensions: extensions }),
      StartNode: start,
      Nodes: toRecord([...this.nodes].filter(([key]) => used.has(key))),
      Targets: toRecord([...this.targets.all()].filter(([id]) => this.retained.has(id))),
    }
    return { chain }
  }

  /** Key of the first node: the router of the top service if there is one, else its splitter or resolver. */
  private start(): string | undefined {
    const { service, entries } = this.request
    const router = entries.get('service-router', service)
    if (router !== undefined && this.routingDisabled) this.customized.protocol = true
    if (router === undefined || this.routingDisabled) return this.splitterOrResolver(this.targets.named({ service }))
    this.usesRouting = true
    this.recordProtocol(service)
    const catchAll = { Service: service, Namespace: this.namespace, Partition: this.partition }
    const routes = [...router.Routes, { Match: { HTTP: { PathPrefix: '/' } }, Destination: catchAll }]
    const Routes: DiscoveryRoute[] = []
    for (const route of routes) {
      const destination: RouteDestination = route.Destination ?? {}
      const target = this.targets.named({
        service: destination.Service || service,
        subset: destination.ServiceSubset,
        namespace: destination.Namespace,
        partition: destination.Partition,
      })
      // A route to a subset goes past the splitter.
      const NextNode = destination.ServiceSubset ? this.resolver(target) : this.splitterOrResolver(target)
      if (NextNode !== undefined) Routes.push({ Definition: route, NextNode })
    }
    const Name = this.serviceKey(service, this.namespace, this.partition)
    return this.record({ Type: 'router', Name, Routes })
  }

  private splitterOrResolver(target: MutableTarget): string | undefined {
    return this.splitter(target.Service, target.Namespace, target.Partition) ?? this.resolver(target)
  }

  /** Key of the service's splitter, undefined if it has none (or none counts). */
  private splitter(service: string, namespace: string, partition: string): string | undefined {
    const Name = this.serviceKey(service, namespace, partition)
    const key = `splitter:${Name}`
    if (this.nodes.has(key)) return key
    const entry = inDefaultTenancy(namespace, partition) ? this.request.entries.get('service-splitter', service) : undefined
    if (entry === undefined) return undefined
    if (this.routingDisabled) {
      this.customized.protocol = true
      return undefined
    }
    if (this.depth >= MAX_CHAIN_NODES) {
      this.failed(`discovery chain ${quote(this.request.service)} nests more than ${MAX_CHAIN_NODES} splitters`)
      return undefined
    }
    this.usesRouting = true
    // Recorded before its legs, so that a loop below ends here and is found by the cycle check.
    this.record({ Type: 'splitter', Name, Splits: [] })
    this.depth++
    const Splits: DiscoverySplit[] = []
    let balancer: LoadBalancer | undefined
    for (const split of entry.Splits) {
      const to = { service: split.Service || service, namespace: split.Namespace || namespace, partition: split.Partition || partition }
      const isSelf = to.service === service && to.namespace === namespace && to.partition === partition
      const nested = isSelf || split.ServiceSubset ? undefined : this.splitter(to.service, to.namespace, to.partition)
      const NextNode = nested ?? this.resolver(this.targets.named({ ...to, subset: split.ServiceSubset }))
      if (NextNode === undefined) continue
      Splits.push({ Definition: split, Weight: split.Weight, NextNode })
      const next = this.nodes.get(NextNode)
      // One route action has one hash policy: the first leg that hashes decides.
      if (balancer === undefined && next?.Type === 'resolver' && isHashBased(next.LoadBalancer)) balancer = next.LoadBalancer
    }
    this.depth--
    const mirror = mirrorOf(entry)
    const isCopied = ({ Definition }: DiscoverySplit): boolean =>
      Definition.ServiceSubset === mirror?.subset && (Definition.Service ?? service) === service
    // One of the legs, so that its node is there.
    const copied = Splits.find(isCopied)
    const Mirror = mirror && copied && { NextNode: copied.NextNode, Percent: mirror.percent }
    return this.record({ Type: 'splitter', Name, Splits, ...(Mirror && { Mirror }), ...(balancer && { LoadBalancer: balancer }) })
  }

  /** Key of the resolver node for `wanted`, redirects and the default subset applied. */
  private resolver(wanted: MutableTarget): string | undefined {
    const resolved = this.resolve(wanted)
    if (resolved === undefined) return undefined
    const { target, entry } = resolved
    const key = `resolver:${target.ID}`
    if (this.nodes.has(key)) return key
    const node = this.resolverNode(target, entry)
    if (node === undefined) return undefined
    const failover = entry === undefined ? undefined : failoverFor(entry, target.ServiceSubset)
    const Failover = failover && this.failover(target, failover)
    return this.record(Failover === undefined ? node : { ...node, Resolver: { ...node.Resolver, Failover } })
  }

  /** The target that stays after redirects and the default subset, with the entry that governs it. */
  private resolve(wanted: MutableTarget): { target: MutableTarget; entry: ServiceResolver | undefined } | undefined {
    let target = wanted
    const seen = new Set<string>()
    for (;;) {
      if (!target.Peer) this.recordProtocol(target.Service, target.Namespace, target.Partition)
      const entry = inDefaultTenancy(target.Namespace, target.Partition)
        ? this.request.entries.get('service-resolver', target.Service)
        : undefined
      if (seen.has(target.ID)) {
        this.failed(`detected circular resolver redirect: [${[...seen, target.ID].join(' -> ')}]`)
        return undefined
      }
      seen.add(target.ID)
      const redirected = entry?.Redirect && this.targets.rewritten(target, entry.Redirect)
      if (redirected && redirected.ID !== target.ID) {
        target = redirected
      } else if (!target.ServiceSubset && entry?.DefaultSubset && !target.Peer) {
        target = this.targets.rewritten(target, { ServiceSubset: entry.DefaultSubset })
      } else {
        return { target, entry }
      }
    }
  }

  private resolverNode(target: MutableTarget, entry: ServiceResolver | undefined): ResolverNode | undefined {
    const { entries, overrideConnectTimeoutMs, overrideMeshGateway } = this.request
    const subset = target.ServiceSubset
    if (subset && !(entry?.Subsets && Object.hasOwn(entry.Subsets, subset))) {
      this.failed(`service ${quote(target.Service)} does not have a subset named ${quote(subset)}`)
      return undefined
    }
    let timeoutMs = durationMs(entry?.ConnectTimeout) || DEFAULT_CONNECT_TIMEOUT_MS
    if (overrideConnectTimeoutMs !== undefined && overrideConnectTimeoutMs > 0 && overrideConnectTimeoutMs !== timeoutMs) {
      timeoutMs = overrideConnectTimeoutMs
      this.customized.connectTimeout = true
    }
    target.ConnectTimeout = durationFromMs(timeoutMs)
    if (subset) target.Subset = entry!.Subsets![subset]!
    const prioritized = entry?.PrioritizeByLocality ?? entries.get('proxy-defaults', 'global')?.PrioritizeByLocality
    if (prioritized) target.PrioritizeByLocality = prioritized
    const defaults = inDefaultTenancy(target.Namespace, target.Partition) ? entries.get('service-defaults', target.Service) : undefined
    if (defaults?.ExternalSNI) {
      target.SNI = defaults.ExternalSNI
      target.External = true
      if (!this.checkExternal(target.Service, entry)) return undefined
    } else {
      const proxyDefaults = entries.get('proxy-defaults', 'global')
      let mode = defaults?.MeshGateway?.Mode ?? proxyDefaults?.MeshGateway?.Mode
      if (overrideMeshGateway !== undefined && overrideMeshGateway !== mode) {
        mode = overrideMeshGateway
        this.customized.meshGateway = true
      }
      if (mode !== undefined) target.MeshGateway = { Mode: mode }
      const direct = defaults?.TransparentProxy?.DialedDirectly || proxyDefaults?.TransparentProxy?.DialedDirectly
      if (direct) target.TransparentProxy = { DialedDirectly: true }
    }
    this.retained.add(target.ID)
    return {
      Type: 'resolver',
      Name: target.ID,
      Resolver: {
        ...(isDefaultResolver(entry) && { Default: true }),
        ConnectTimeout: target.ConnectTimeout,
        ...(entry?.RequestTimeout && { RequestTimeout: entry.RequestTimeout }),
        Target: target.ID,
      },
      ...(entry?.LoadBalancer && { LoadBalancer: entry.LoadBalancer }),
    }
  }

  private checkExternal(service: string, entry: ServiceResolver | undefined): boolean {
    const refused = (what: string) => {
      this.failed(`service ${quote(service)} has an external SNI set; cannot define ${what} for external services`)
      return false
    }
    if (entry?.Redirect !== undefined) return refused('redirects')
    if (Object.keys(entry?.Subsets ?? {}).length > 0) return refused('subsets')
    if (Object.keys(entry?.Failover ?? {}).length > 0) return refused('failover')
    return true
  }

  /** Failover targets are resolved (redirects, default subsets) but get no failover of their own. */
  private failover(target: MutableTarget, failover: ResolverFailover) {
    const { Service, ServiceSubset, Namespace, Datacenters = [], Targets = [] } = failover
    const shared: FailoverTarget = { Service, ServiceSubset, Namespace }
    const wanted =
      Datacenters.length > 0 ? Datacenters.map(Datacenter => ({ ...shared, Datacenter })) : Targets.length > 0 ? Targets : [shared]
    const ids: string[] = []
    for (const rewrite of wanted) {
      const candidate = this.targets.rewritten(target, rewrite)
      if (candidate.ID === target.ID) continue
      const resolved = this.resolve(candidate)
      if (resolved === undefined || this.resolverNode(resolved.target, resolved.entry) === undefined) continue
      ids.push(resolved.target.ID)
    }
    if (ids.length === 0) return undefined
    const Policy = failover.Policy?.Mode ? failover.Policy : this.request.entries.get('proxy-defaults', 'global')?.FailoverPolicy
    return { Targets: ids, ...(Policy && { Policy }) }
  }

  private recordProtocol(service: string, namespace = this.namespace, partition = this.partition) {
    const sid = this.serviceKey(service, namespace, partition)
    if (this.protocols.has(sid)) return
    this.protocols.add(sid)
    const protocol = serviceProtocol(this.request.entries, service)
    if (this.protocol === '') this.protocol = protocol
    else if (this.protocol !== protocol) {
      this.failed(
        `discovery chain ${quote(this.request.service)} uses inconsistent protocols; service ${quote(service)} has ${quote(protocol)} which is not ${quote(this.protocol)}`,
      )
    }
  }

  private record(node: DiscoveryNode): string {
    const key = `${node.Type}:${node.Name}`
    if (!this.nodes.has(key) && this.nodes.size >= MAX_CHAIN_NODES) {
      this.failed(`discovery chain ${quote(this.request.service)} has more than ${MAX_CHAIN_NODES} nodes`)
    }
    this.nodes.set(key, node)
    return key
  }

  private serviceKey(service: string, namespace: string, partition: string) {
    return `${service}.${namespace}.${partition}`
  }

  private failed(reason: string): { errors: readonly ConfigError[] } {
    if (!this.errors.some(error => error.reason === reason)) this.errors.push({ path: '', reason })
    return { errors: this.errors }
  }

  private isDefault(start: string): boolean {
    const node = this.nodes.get(start)!
    if (node.Type !== 'resolver' || !node.Resolver.Default) return false
    const target = this.targets.byId(node.Resolver.Target)!
    return target.Service === this.request.service && target.Namespace === this.namespace && target.Partition === this.partition
  }

  /** Only overrides that changed something count, so that two downstreams with the same effect share clusters. */
  private customizationHash(): string | undefined {
    const { protocol, connectTimeout, meshGateway } = this.customized
    if (!protocol && !connectTimeout && !meshGateway) return undefined
    const { overrideProtocol, overrideConnectTimeoutMs, overrideMeshGateway } = this.request
    const parts = [
      protocol ? overrideProtocol : null,
      connectTimeout ? overrideConnectTimeoutMs : null,
      meshGateway ? overrideMeshGateway : null,
    ]
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 8)
  }
}

const quote = (text: string) => JSON.stringify(text)

/** The stored entries live in the default namespace and partition. */
const inDefaultTenancy = (namespace: string, partition: string) => namespace === DEFAULT_TENANCY && partition === DEFAULT_TENANCY

const isHashBased = (lb: LoadBalancer | undefined) => lb?.Policy === 'ring_hash' || lb?.Policy === 'maglev'

function failoverFor(entry: ServiceResolver, subset: string | undefined): ResolverFailover | undefined {
  const failover = entry.Failover
  if (failover === undefined) return undefined
  if (subset && Object.hasOwn(failover, subset)) return failover[subset]
  return Object.hasOwn(failover, '*') ? failover['*'] : undefined
}

function isDefaultResolver(entry: ServiceResolver | undefined): boolean {
  return (
    entry === undefined ||
    (!entry.DefaultSubset &&
      Object.keys(entry.Subsets ?? {}).length === 0 &&
      entry.Redirect === undefined &&
      Object.keys(entry.Failover ?? {}).length === 0 &&
      entry.ConnectTimeout === undefined &&
      entry.RequestTimeout === undefined &&
      entry.LoadBalancer === undefined)
  )
}

/** Keys hold dots or colons, so none of them is special; the prototype is dropped all the same. */
function toRecord<V>(members: readonly (readonly [string, V])[]): Readonly<Record<string, V>> {
  return Object.assign(Object.create(null) as Record<string, V>, Object.fromEntries(members))
}
