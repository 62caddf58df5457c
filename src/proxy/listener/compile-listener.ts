// Listener model -> the version that runs: matcher, TLS contexts, filters, routes, stats handles. Called by ListenerRegistry for each
// accepted config, never per connection. Errors are collected by path: they make the NACK, and nothing of a refused listener is kept.

import { socketOptions } from '../../io/socket-options.js'
import type { UpstreamPools } from '../../l7/client/upstream-pools.js'
import { DownstreamCodecStats } from '../../l7/codec/codec-stats.js'
import { compileFilters, type FilterEnvironment } from '../../l7/filters/compile-filters.js'
import { formatOrText } from '../../l7/format/header-format.js'
import type { LogSinks } from '../../l7/log/access-log-sink.js'
import type { UpstreamFailures } from '../../l7/log/failure-log.js'
import type { GrpcLoggers } from '../../l7/log/grpc-access-log.js'
import { type OpenAccessLog, openAccessLog } from '../../l7/log/open-access-log.js'
import type { OtlpLoggers } from '../../l7/log/otlp-access-log.js'
import type { RecentRequests } from '../../l7/log/recent-requests.js'
import type { Runtime } from '../../l7/match/runtime-fraction.js'
import { compileLocalReplyRewriter } from '../../l7/reply/local-reply-rewriter.js'
import { compileHeaderMutations } from '../../l7/route/header-mutations.js'
import { RouteHolder, type RouteSource } from '../../l7/route/route-holder.js'
import { RouteScopes } from '../../l7/route/route-scopes.js'
import { compileRouteTable } from '../../l7/route/route-table.js'
import { tcpHashPolicy } from '../../l7/route/tcp-hash-policy.js'
import { HttpRuntime } from '../../l7/server/http-runtime.js'
import type { Overload } from '../../l7/server/overload.js'
import { sourceOf } from '../../l7/stream/connection-info.js'
import type { StreamInfo } from '../../l7/stream/stream-info.js'
import type { OwnNames } from '../../l7/tracing/span-tags.js'
import type { Tracers } from '../../l7/tracing/tracers.js'
import { TracingRuntime } from '../../l7/tracing/tracing-runtime.js'
import {
  hcmStats,
  ListenerFilterStats,
  type ListenerStats,
  listenerStatName,
  listenerStats,
  tcpProxyStats,
} from '../../metrics/stat-names.js'
import type { StatsStore } from '../../metrics/stats-store.js'
import { adsStats } from '../../metrics/subscription-stats.js'
import type { AccessLog } from '../../model/access-log.js'
import type { Checked, ConfigError } from '../../model/config-error.js'
import type { ConfigSource } from '../../model/config-source.js'
import type { HttpConnectionManager } from '../../model/http-connection-manager.js'
import type { FilterChain, Listener, TcpTunneling } from '../../model/listener.js'
import { OUTRIGGER_METADATA } from '../../model/metadata.js'
import type { ScopedRoutes } from '../../model/scoped-routes.js'
import type { SdsSecretRef } from '../../model/tls.js'
import type { DownstreamTlsContext } from '../../mtls/tls/downstream-tls.js'
import type { TlsContexts } from '../../mtls/tls/tls-contexts.js'
import type { ClusterRegistry } from '../../upstream/cluster/cluster-registry.js'
import type { AwaitedConfig } from '../awaited-config.js'
import { awaitedSecrets, notingSecrets } from '../awaited-secrets.js'
import type { ExtensionRegistry } from '../extension-registry.js'
import { compilePreFilters } from '../network/network-filters.js'
import type { RdsStats, RouteRegistry } from '../route-registry.js'
import { type ScopeRegistry, ScopeUser } from '../scope-registry.js'
import type { Tunneling } from '../tcp/tcp-upstream.js'
import type { ChainRuntime, Terminal } from './chain-runtime.js'
import { resolveListener } from './discovered-listener.js'
import { FilterChainMatcher } from './filter-chain-match.js'
import type { ListenerVersion } from './listener-version.js'

export interface ListenerEnvironment {
  readonly store: StatsStore
  readonly clusters: ClusterRegistry
  readonly pools: UpstreamPools
  readonly tlsContexts: TlsContexts
  readonly routes: RouteRegistry
  readonly scopes: ScopeRegistry
  readonly extensions: ExtensionRegistry
  readonly sinks: LogSinks
  readonly grpcLoggers: GrpcLoggers
  readonly failures: UpstreamFailures
  readonly recent: RecentRequests
  readonly otlpLoggers: OtlpLoggers
  readonly tracers: Tracers
  /** Node id and zone, as spans say them. */
  readonly spanNames: OwnNames
  readonly runtime: Runtime
  readonly random: () => number
  readonly serviceCluster: string
  /** `worker_<n>`, in stat names. */
  readonly thread: string
  /** Null: the bootstrap has no overload manager. */
  readonly overload: Overload | null
  readonly filterEnvironment: Omit<FilterEnvironment, 'stats' | 'listenerMetadata'>
  readonly drainClose: (model: Listener) => boolean
  readonly log: ListenerVersion['log']
}

/** What a version holds beside its chains: given back when it is replaced. */
export interface CompiledListener {
  /** As it was given: some filters of it may come over ECDS. */
  readonly source: Listener
  readonly version: ListenerVersion
  /** Routes, secrets and filters that must be there before the listener may serve. */
  readonly awaited: readonly AwaitedConfig[]
  /** Clusters that tcp_proxy filters and inline routes name. */
  readonly clusterNames: ReadonlySet<string>
  release(): void
}

const ADS: ConfigSource = { kind: 'ads' }

/** `onChange`: a filter of it that comes over ECDS changed, so that it is to be compiled anew. */
export function compileListener(source: Listener, env: ListenerEnvironment, onChange: () => void = () => {}): Checked<CompiledListener> {
  const resolved = resolveListener(source, env.extensions, onChange)
  const { model } = resolved
  const stats = listenerStats(env.store, statNameOf(model), env.thread)
  const errors = logErrors(model.accessLogs, '', env)
  const kernel = model.originalDst || model.transparent ? socketOptions() : null
  if (kernel?.ok === false) errors.push({ path: model.originalDst ? 'listener_filters' : 'transparent', reason: kernel.reason })
  const tlsOf = new Map<FilterChain, DownstreamTlsContext>()
  for (const [path, chain] of chainsOf(model)) {
    errors.push(...terminalLogErrors(chain, path, env))
    if (chain.tls === null) continue
    const tls = env.tlsContexts.downstream(chain.tls, stats)
    if (tls.ok) tlsOf.set(chain, tls.value)
    else errors.push(...tls.errors.map(({ path: at, reason }) => ({ path: `${path}.transport_socket.typed_config.${at}`, reason })))
  }
  if (errors.length > 0) {
    resolved.release()
    stats.release()
    return { ok: false, errors }
  }
  const releases: (() => void)[] = [() => stats.release(), resolved.release]
  const secrets = [...tlsOf.values()].flatMap(({ secretRefs }) => secretRefs)
  const awaited: AwaitedConfig[] = [...resolved.awaited]
  const clusterNames = new Set<string>()
  const matcher = new FilterChainMatcher<ChainRuntime>(model, chain => {
    return {
      model: chain,
      tls: tlsOf.get(chain) ?? null,
      missingFilter: resolved.missingFilterOf(chain),
      preFilters: compilePreFilters(chain.filters, env.store, model.metadata, env.filterEnvironment, env.runtime),
      terminal: compileTerminal(chain, model, stats, env, { awaited, secrets, clusterNames, releases }),
    }
  })
  awaited.push(...awaitedSecrets(env.tlsContexts.registry, secrets))
  const accessLogs = compileLogs(model.accessLogs, env)
  const { log } = env
  const filterStats = new ListenerFilterStats(env.store)
  // Shown from the start, as in Envoy.
  if (model.tlsInspector) void filterStats.tlsInspector
  if (model.httpInspector) void filterStats.httpInspector
  if (model.proxyProtocol !== null) void filterStats.proxyProtocol
  const drainClose = (): boolean => env.drainClose(model)
  const version: ListenerVersion = {
    name: model.name,
    model,
    matcher,
    stats,
    filterStats,
    missingFilter: resolved.missingFilter,
    socketOptions: kernel?.ok === true ? kernel.value : null,
    drainClose,
    accessLogs,
    log,
    overload: overloadOf(model, env),
  }
  const release = (): void => {
    for (const giveBack of releases) giveBack()
  }
  return { ok: true, value: { source, version, awaited, clusterNames, release }, warnings: [] }
}

function overloadOf({ bypassOverload }: Listener, { overload }: ListenerEnvironment): Overload | null {
  return bypassOverload === true ? null : overload
}

function statNameOf({ statPrefix, address }: Listener): string {
  if (statPrefix !== '') return statPrefix
  return address.kind === 'pipe' ? listenerStatName(address.path, null) : listenerStatName(address.host, address.port)
}

/** Every filter chain with its path in the listener. */
function chainsOf({ filterChains, defaultFilterChain }: Listener): [path: string, FilterChain][] {
  const chains = filterChains.map((chain, i): [string, FilterChain] => [`filter_chains[${i}]`, chain])
  return defaultFilterChain === null ? chains : [...chains, ['default_filter_chain', defaultFilterChain]]
}

function terminalLogErrors({ filters }: FilterChain, path: string, env: ListenerEnvironment): ConfigError[] {
  return filters.flatMap((filter, i) => {
    if (filter.kind !== 'httpConnectionManager' && filter.kind !== 'tcpProxy') return []
    const logs = filter.kind === 'tcpProxy' ? filter.tcpProxy.accessLogs : filter.hcm.accessLogs
    return logErrors(logs, `${path}.filters[${i}].typed_config.`, env)
  })
}

function logErrors(logs: readonly AccessLog[], prefix: string, env: ListenerEnvironment): ConfigError[] {
  return logs.flatMap((log, i) => {
    const reason = log.sink.kind === 'grpc' || log.sink.kind === 'opentelemetry' ? null : env.sinks.problem(log.sink)
    return reason === null ? [] : [{ path: `${prefix}access_log[${i}].typed_config.path`, reason }]
  })
}

interface Collected {
  readonly awaited: AwaitedConfig[]
  readonly secrets: SdsSecretRef[]
  readonly clusterNames: Set<string>
  readonly releases: (() => void)[]
}

function compileTerminal(
  chain: FilterChain,
  listener: Listener,
  stats: ListenerStats,
  env: ListenerEnvironment,
  collected: Collected,
): Terminal {
  const last = chain.filters[chain.filters.length - 1]
  switch (last?.kind) {
    case 'httpConnectionManager':
      return { kind: 'http', runtime: compileHttp(last.hcm, listener, stats, env, collected) }
    case 'tcpProxy': {
      const config = last.tcpProxy
      if (config.cluster !== '') collected.clusterNames.add(config.cluster)
      for (const entry of config.weightedClusters) collected.clusterNames.add(entry.name)
      const tcpStats = tcpProxyStats(env.store, config.statPrefix)
      collected.releases.push(() => tcpStats.release())
      return {
        kind: 'tcp',
        runtime: {
          config,
          stats: tcpStats.main,
          clusters: env.clusters,
          pools: env.pools,
          accessLogs: compileLogs(config.accessLogs, env),
          listenerLogs: compileLogs(listener.accessLogs, env),
          random: env.random,
          tunneling: compileTunneling(config.tunneling),
          bufferLimitBytes: listener.perConnectionBufferLimitBytes,
          hash: tcpHashPolicy(config.hashPolicy),
          failures: env.failures,
        },
      }
    }
    case 'directResponse':
      return { kind: 'directResponse', body: last.body }
    case 'echo':
      return { kind: 'echo' }
    default:
      return { kind: 'directResponse', body: new Uint8Array() }
  }
}

function compileTunneling(model: TcpTunneling | null): Tunneling | null {
  if (model === null) return null
  return {
    hostname: formatOrText(model.hostname),
    postPath: model.postPath,
    headers: compileHeaderMutations(model.headersToAdd, []),
  }
}

function compileLogs(models: readonly AccessLog[], env: ListenerEnvironment): OpenAccessLog[] {
  return models.map(model => openAccessLog(model, env, { runtime: env.runtime, random: env.random }))
}

function compileHttp(
  config: HttpConnectionManager,
  listener: Listener,
  stats: ListenerStats,
  env: ListenerEnvironment,
  collected: Collected,
): HttpRuntime {
  const hcm = hcmStats(env.store, config.statPrefix)
  collected.releases.push(() => hcm.release())
  const routes = openRoutes(config, env, collected)
  const outrigger = listener.metadata.get(OUTRIGGER_METADATA)
  for (const filter of config.httpFilters) {
    if (filter.kind === 'discovered' && !filter.discovery.withoutWarming)
      collected.awaited.push(env.extensions.awaited('http', filter.name, filter.discovery))
  }
  const { made, named } = notingSecrets(env.filterEnvironment.secrets, secrets =>
    compileFilters(config.httpFilters, {
      ...env.filterEnvironment,
      secrets,
      stats: hcm,
      listenerMetadata: listener.metadata,
      serviceCluster: env.serviceCluster,
    }),
  )
  const { factories, router, release } = made
  collected.secrets.push(...named)
  if (release !== undefined) collected.releases.push(release)
  const used = config.tracing === null ? null : env.tracers.use(config.tracing.provider)
  if (used !== null) collected.releases.push(() => used.release())
  // Shown from the start, as in Envoy, traced or not.
  void hcm.tracing
  return new HttpRuntime({
    config,
    routerSettings: router,
    routes,
    filters: factories,
    clusters: env.clusters,
    pools: env.pools,
    hcmStats: hcm,
    listenerHttp: stats.http(config.statPrefix),
    accessLogs: compileLogs(config.accessLogs, env),
    localReplyRewriter: config.localReply === null ? null : compileLocalReplyRewriter(config.localReply),
    bufferLimitBytes: listener.perConnectionBufferLimitBytes,
    serviceCluster: env.serviceCluster,
    serviceNode: env.spanNames.nodeId,
    random: env.random,
    explainDenials: outrigger !== undefined,
    failures: env.failures,
    recent: env.recent,
    onDenied: info => logDenied(info, env),
    codecStats: new DownstreamCodecStats(env.store, hcm.main),
    overload: overloadOf(listener, env),
    tracing:
      used === null
        ? null
        : new TracingRuntime(config.tracing!, {
            tracer: used.tracer,
            stats: hcm.tracing,
            runtime: env.runtime,
            random: env.random,
            names: env.spanNames,
            clusters: env.clusters,
            requestId: config.requestId,
            egress: listener.trafficDirection === 'OUTBOUND',
            routerSpans: () => router.current.startChildSpan,
          }),
  })
}

function openRoutes(config: HttpConnectionManager, env: ListenerEnvironment, collected: Collected): RouteSource {
  const { routeTable, scopedRoutes } = config
  if (scopedRoutes !== undefined) return openScopes(config, scopedRoutes, env, collected)
  if (routeTable !== null) {
    const table = compileRouteTable(routeTable, { runtime: env.runtime, stats: env.store })
    collected.releases.push(() => table.release())
    for (const name of table.clusterNames) collected.clusterNames.add(name)
    return new RouteHolder(table)
  }
  const name = config.rdsName ?? ''
  collected.awaited.push(env.routes.awaited(name, config.rdsInitialFetchTimeoutMs))
  const rds = adsStats(env.store).rds(config.statPrefix, name)
  collected.releases.push(() => env.routes.drop(name, rds))
  return env.routes.hold(name, config.rdsSource ?? ADS, rds)
}

function openScopes(
  { statPrefix, rdsInitialFetchTimeoutMs: initialFetchTimeoutMs }: HttpConnectionManager,
  scopedRoutes: ScopedRoutes,
  env: ListenerEnvironment,
  collected: Collected,
): RouteSource {
  const { routes, runtime } = env
  const scopes = new RouteScopes(scopedRoutes.keyBuilder, routes.empty)
  const statsOf = (table: string): RdsStats => adsStats(env.store).rds(statPrefix, table)
  const onTableDemanded = (source: ConfigSource, table: string): void => env.scopes.onTableDemanded?.(source, table)
  const user = new ScopeUser({
    scopedRoutes,
    initialFetchTimeoutMs,
    scopes,
    routes,
    runtime,
    stats: env.store,
    statsOf,
    onTableDemanded,
  })
  env.scopes.add(user)
  collected.awaited.push(user)
  const from = scopedRoutes.scopes
  if (from.kind === 'inline') {
    user.update(from.list)
    for (const name of user.clusterNames()) collected.clusterNames.add(name)
  } else env.scopes.hold(from.source, user)
  collected.releases.push(() => {
    env.scopes.remove(user)
    if (from.kind === 'dynamic') env.scopes.drop(from.source, user)
    user.release()
  })
  return scopes
}

function logDenied(info: StreamInfo, env: ListenerEnvironment): void {
  env.log('info', `request denied: ${info.deniedBy}`, {
    listener: info.connection.listenerName,
    source: sourceOf(info.connection),
    method: info.request?.method,
    path: info.request?.path,
    details: info.responseCodeDetails,
  })
}
