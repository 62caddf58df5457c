// The proxy as a whole: registries, their wiring, life from start to exit. The sidecar makes one from a Bootstrap and feeds its
// `config` decoded updates; admin reads it. It never sees protobuf or xDS streams.
//
//   PRE_INITIALIZING ──start(), first CDS, clusters warm──▶ INITIALIZING ──first LDS, listeners warm──▶ LIVE ──drain──▶ DRAINING ──▶ exit

import { systemClock } from '../io/clock.js'
import { onConnectionException } from '../io/socket-guard.js'
import { type AsyncGrpcClient, type AsyncHttpClient, UpstreamAsyncClient } from '../l7/client/async-client.js'
import { GrpcTargets } from '../l7/client/grpc-targets.js'
import { UpstreamHealthCheckTransport } from '../l7/client/health-check-transport.js'
import { UpstreamPools } from '../l7/client/upstream-pools.js'
import { toByteString } from '../l7/codec/byte-string.js'
import type { HttpFilter } from '../l7/filters/custom/custom-filter.js'
import { provideEnvironment } from '../l7/format/header-format.js'
import { type FlushRule, LogSinks } from '../l7/log/access-log-sink.js'
import { FailureLog } from '../l7/log/failure-log.js'
import { GrpcLoggers } from '../l7/log/grpc-access-log.js'
import { OtlpLoggers } from '../l7/log/otlp-access-log.js'
import { RecentRequests } from '../l7/log/recent-requests.js'
import { otlpUserAgent } from '../l7/otlp/otlp-client.js'
import { Tracers } from '../l7/tracing/tracers.js'
import { ExceptionLog } from '../metrics/exception-log.js'
import { refreshIntervalDelay, resetStreamCount } from '../metrics/overload-stats.js'
import { googleGrpcStats, grpcLogStats, openTelemetryTracerStats, otlpLogStats, zipkinTracerStats } from '../metrics/reporting-stats.js'
import {
  asyncClientStats,
  caresStats,
  clusterManagerStats,
  clusterStats,
  filesystemStats,
  restartGeneration,
  runtimeStats,
  showWatchdogs,
} from '../metrics/stat-names.js'
import { StatsStore } from '../metrics/stats-store.js'
import type { Bootstrap } from '../model/bootstrap.js'
import type { ConfigError } from '../model/config-error.js'
import type { Listener } from '../model/listener.js'
import type { OverloadConfig } from '../model/overload.js'
import type { DataSource, SdsSecretRef } from '../model/tls.js'
import { SecretRegistry } from '../mtls/secrets/secret-registry.js'
import { TlsContexts } from '../mtls/tls/tls-contexts.js'
import { ClusterRegistry, type ClusterRegistryOptions } from '../upstream/cluster/cluster-registry.js'
import { bindHostOf, Dial } from '../upstream/connect/connector.js'
import { DnsResolver } from '../upstream/dns/dns-resolver.js'
import { clusterSecrets } from './awaited-secrets.js'
import { CertificateWatch } from './certificate-watch.js'
import { ConfigChanges } from './config-changes.js'
import { Demands } from './demands.js'
import { DrainSequence } from './drain-sequence.js'
import { ExtensionRegistry } from './extension-registry.js'
import { AcceptGate } from './listener/accept-gate.js'
import type { SocketSharing } from './listener/active-listener.js'
import { ListenerRegistry } from './listener/listener-registry.js'
import { OverloadActions } from './overload/overload-actions.js'
import { OverloadWatch } from './overload/overload-watch.js'
import type { Predecessor } from './predecessor.js'
import type { MemoryUse, ProcessRole } from './process-role.js'
import { RouteRegistry } from './route-registry.js'
import { RuntimeLayers } from './runtime-layers.js'
import { ScopeRegistry } from './scope-registry.js'
import { ServerGauges, type ServerState } from './server-gauges.js'
import { StatsFlush } from './stats-flush.js'

export type LogSeverity = 'trace' | 'debug' | 'info' | 'warn' | 'error'

/** `component`: Envoy's name of the logger that would say it; `main` by default. */
export type ServerLog = (level: LogSeverity, message: string, fields?: Record<string, unknown>, component?: string) => void

export interface ServerOptions {
  readonly bootstrap: Bootstrap
  readonly store: StatsStore
  readonly log: ServerLog
  readonly drainTimeMs: number
  readonly drainStrategy: 'gradual' | 'immediate'
  readonly random: () => number
  readonly env: (name: string) => string | undefined
  /** When access log lines are written; absent: DEFAULT_FLUSH. */
  readonly accessLogFlush?: FlushRule
  /** HTTP filters of the embedding program, by full message name. */
  readonly customFilters?: ReadonlyMap<string, HttpFilter>
  /** Absent: this process does everything. */
  readonly role?: ProcessRole
  /** envoy.config.core.v3.Node, encoded: who sends access logs to gRPC services. */
  readonly node?: Uint8Array
  /** Envoy's five-part version string. */
  readonly version?: string
  /** The process that served before this one; absent: none. */
  readonly predecessor?: Predecessor
  /** Of hot restarts; absent: there are none. */
  readonly restartEpoch?: number
  /** What the processes of one chain of hot restarts share. */
  readonly baseId?: number
  /** Name and version of the program, as collectors of spans are told. */
  readonly program?: { readonly name: string; readonly version: string }
}

export class Server {
  readonly options: ServerOptions
  readonly store: StatsStore
  readonly clusters: ClusterRegistry
  private readonly clusterOptions: Omit<ClusterRegistryOptions, 'isReferenced'>
  private readonly resolver: DnsResolver
  readonly listeners: ListenerRegistry
  readonly routes: RouteRegistry
  readonly scopes: ScopeRegistry
  /** What requests ask for that the configuration does not have yet. */
  readonly demands: Demands
  readonly extensions: ExtensionRegistry
  /** Requests of our own to the clusters. */
  readonly httpClient: AsyncHttpClient
  readonly grpcClient: AsyncGrpcClient
  private readonly grpcTargets: GrpcTargets
  readonly secrets: SecretRegistry
  readonly tlsContexts: TlsContexts
  readonly sinks: LogSinks
  readonly grpcLoggers: GrpcLoggers
  readonly recent = new RecentRequests()
  readonly otlpLoggers: OtlpLoggers
  private readonly tracers: Tracers
  readonly startedAt = Date.now()
  readonly runtime: RuntimeLayers
  /** Takes every change of the config. */
  readonly config: ConfigChanges
  state: ServerState = 'PRE_INITIALIZING'
  /** POST /healthcheck/fail: /ready and the health_check filter say no. */
  healthFailed = false
  /** SDS: a TLS context needs a secret, or no longer does. Set by whoever fetches secrets. */
  onSecretWanted: ((ref: SdsSecretRef) => void) | null = null
  onSecretUnwanted: ((ref: SdsSecretRef) => void) | null = null
  /** All is initialised. Called once. */
  onLive: (() => void) | null = null
  /** A static listener that had to wait for clusters could not be bound: as fatal as an error of start(). */
  onStartFailure: ((errors: readonly ConfigError[]) => void) | null = null
  private readonly log: ServerLog
  readonly gauges: ServerGauges
  private readonly certificateWatch: CertificateWatch
  private readonly stopHearing: () => void
  private ldsSeen: boolean
  private cdsSeen: boolean
  /** The static resources are in use. */
  private begun = false
  private listenersStarted = false
  readonly statsFlush: StatsFlush
  /** Clusters are initialised: Envoy asks for listeners from then on. Called once. */
  onClustersInitialised: (() => void) | null = null
  /** Null without an overload manager. */
  readonly overloadActions: OverloadActions | null
  /** Null, too, in a worker: it is told. */
  private readonly overloadWatch: OverloadWatch | null
  private stopping = false
  private readonly drainSequence: DrainSequence
  private readonly inboundDrain: DrainSequence

  constructor(options: ServerOptions) {
    this.options = options
    this.store = options.store
    this.log = options.log
    const { bootstrap, store, random, role } = options
    const immediate = options.drainStrategy === 'immediate'
    this.drainSequence = new DrainSequence(options.drainTimeMs, immediate, random)
    this.inboundDrain = new DrainSequence(options.drainTimeMs, immediate, random)
    this.runtime = new RuntimeLayers(bootstrap.runtime, runtimeStats(store))
    showWatchdogs(store)
    resetStreamCount(store)
    refreshIntervalDelay(store)
    provideEnvironment(options.env)
    this.sinks = new LogSinks(options.accessLogFlush, filesystemStats(store))
    this.secrets = new SecretRegistry({
      environment: options.env,
      onWanted: ref => this.onSecretWanted?.(ref),
      onUnwanted: ref => this.onSecretUnwanted?.(ref),
    })
    this.tlsContexts = new TlsContexts({
      registry: this.secrets,
      ...(role?.kind === 'worker' ? { ticketSeed: role.ticketSeed } : {}),
      log: (level, message, fields) => this.log(level, message, fields, 'connection'),
    })
    this.certificateWatch = new CertificateWatch(
      () => this.tlsContexts.ownEndings(),
      (level, message) => this.log(level, message, undefined, 'connection'),
    )
    const { overload } = bootstrap
    this.overloadActions = overload === undefined ? null : new OverloadActions(overload, { store, random })
    const ownRequests = asyncClientStats(store)
    const pools = new UpstreamPools(this.tlsContexts, ownRequests.rq_total)
    const healthChecks = new UpstreamHealthCheckTransport(pools)
    this.resolver = new DnsResolver({ config: bootstrap.dnsResolver, stats: () => caresStats(store) })
    const { outlierEventLog } = bootstrap
    // Where others judge, others write.
    const logsEvents = role?.kind !== 'worker'
    this.clusterOptions = {
      clock: systemClock,
      random,
      defer: step => void setImmediate(step),
      log: (level, message) => this.log(level, message, undefined, 'upstream'),
      statsOf: name => clusterStats(store, name, bootstrap.node.locality.zone),
      updates: clusterManagerStats(store).cluster_updated,
      resolver: this.resolver,
      secrets: clusterSecrets(this.tlsContexts),
      healthCheckTransport: healthChecks,
      healthCheckDial: (host, address, listener) =>
        new Dial(
          {
            address,
            tls: pools.tlsFor(host),
            timeoutMs: host.cluster.config.connectTimeoutMs,
            sni: '',
            alpn: null,
            keepAlive: null,
            localAddress: bindHostOf(host.cluster.config),
          },
          { onDialled: ({ socket }) => listener.onReady(socket), onDialFailure: failure => listener.onFailure(failure.message) },
        ),
      localLocality: bootstrap.node.locality,
      localClusterName: bootstrap.localClusterName ?? null,
      ...(logsEvents ? { openEventLog: (path: string) => this.sinks.open({ kind: 'file', path }) } : {}),
      ...(logsEvents && outlierEventLog !== undefined
        ? { openOutlierLog: () => this.sinks.open({ kind: 'file', path: outlierEventLog }) }
        : {}),
      ...(role?.kind === 'worker' ? { remoteHealth: role.remoteHealth } : {}),
    }
    this.clusters = new ClusterRegistry({ ...this.clusterOptions, isReferenced: name => this.isReferenced(name) })
    this.demands = new Demands(systemClock, message => this.log('warn', message))
    this.routes = new RouteRegistry(this.runtime, store, this.demands)
    this.scopes = new ScopeRegistry(message => this.log('warn', message))
    this.extensions = new ExtensionRegistry(store)
    this.grpcTargets = new GrpcTargets({
      newClusters: () => this.newTargetClusters(),
      pools,
      clock: systemClock,
      readSource: source => this.readSource(source),
      stats: prefix => googleGrpcStats(store, prefix),
    })
    const client = new UpstreamAsyncClient(this.clusters, pools, random, ownRequests, this.grpcTargets)
    this.httpClient = client
    this.grpcClient = client
    this.grpcLoggers = new GrpcLoggers({
      client,
      clock: systemClock,
      random,
      stats: () => grpcLogStats(store),
      log: message => this.log('warn', message),
      node: options.node ?? new Uint8Array(),
    })
    const program = options.program ?? { name: 'outrigger', version: '' }
    const { node } = bootstrap
    this.otlpLoggers = new OtlpLoggers({
      transport: client,
      clock: systemClock,
      stats: prefix => otlpLogStats(store, prefix),
      log: message => this.log('warn', message),
      node: { id: node.id, cluster: node.cluster, zone: node.locality.zone },
      userAgent: otlpUserAgent(program),
    })
    this.tracers = new Tracers(
      {
        transport: client,
        clusters: this.clusters,
        clock: systemClock,
        runtime: this.runtime,
        program,
        serviceCluster: bootstrap.node.cluster,
        openTelemetryStats: () => openTelemetryTracerStats(store),
        zipkinStats: () => zipkinTracerStats(store),
        log: message => this.log('warn', message, undefined, 'tracing'),
      },
      bootstrap.tracer ?? null,
    )
    const failures = new FailureLog(systemClock, (message, fields) => this.log('warn', message, fields, 'upstream'))
    this.listeners = new ListenerRegistry(
      {
        store,
        clusters: this.clusters,
        pools,
        tlsContexts: this.tlsContexts,
        routes: this.routes,
        scopes: this.scopes,
        extensions: this.extensions,
        sinks: this.sinks,
        grpcLoggers: this.grpcLoggers,
        recent: this.recent,
        failures,
        otlpLoggers: this.otlpLoggers,
        tracers: this.tracers,
        spanNames: { nodeId: toByteString(node.id), zone: toByteString(node.locality.zone) },
        runtime: this.runtime,
        random,
        serviceCluster: bootstrap.node.cluster,
        thread: `worker_${role?.kind === 'worker' ? role.index : 0}`,
        overload: this.overloadActions?.overload ?? null,
        filterEnvironment: {
          store,
          runtime: this.runtime,
          random,
          httpClient: client,
          grpcClient: client,
          filterConfigs: this.extensions,
          customFilters: options.customFilters ?? new Map(),
          clusters: this.clusters,
          secrets: this.secrets,
          demands: this.demands,
          readSource: source => this.readSource(source),
          healthFailed: () => this.healthFailed,
          failures,
          shadowDenials: new FailureLog(systemClock, (message, fields) => this.log('info', message, fields, 'rbac'), 'intention'),
          log: (level, message) => this.log(level, message, undefined, 'filter'),
        },
        drainClose: model => this.drainClose(model),
        log: (level, message, fields) => this.log(level, message, fields, 'conn_handler'),
      },
      {
        drainTimeMs: () => options.drainTimeMs,
        immediateDrain: immediate,
        sharing: sharingOf(role),
        gate:
          overload === undefined ? null : new AcceptGate(this.overloadActions!.overload, overload, () => this.listeners.connectionCount),
        predecessor: options.predecessor ?? null,
      },
    )
    this.statsFlush = new StatsFlush(bootstrap.statsSinks, bootstrap.statsFlushIntervalMs, role?.kind === 'worker', {
      store,
      grpcClient: client,
      clusters: this.clusters,
      pools,
      random,
      node: options.node ?? new Uint8Array(),
      version: options.version ?? '',
      log: message => this.log('warn', message),
      beforeFlush: () => this.beforeFlush(),
      restartable: options.restartEpoch !== undefined,
    })
    if (this.overloadActions !== null) this.overloadActions.listeners = this.listeners
    this.overloadWatch = overload === undefined || role?.kind === 'worker' ? null : this.watchOverload(overload)
    this.config = new ConfigChanges(this, bootstrap.bindSource ?? null)
    this.gauges = new ServerGauges(this)
    if (options.restartEpoch !== undefined) restartGeneration(store).value = (options.predecessor?.generation ?? 0) + 1
    const exceptions = new ExceptionLog(this.gauges.stats.connection_exceptions, stack =>
      this.log('error', 'an exception ended a connection; this is a bug, and further ones of this cause are only counted', { stack }),
    )
    this.stopHearing = onConnectionException(error => exceptions.record(error))
    // What a worker is given has come to the primary already.
    this.ldsSeen = bootstrap.lds === null || role?.kind === 'worker'
    this.cdsSeen = bootstrap.cds === null || role?.kind === 'worker'
    this.routes.onSwap = () => this.clusters.releaseUnreferenced()
    this.clusters.onWarm(() => this.checkInit())
    this.clusters.onWarm(({ name }) => this.demands.ready('cluster', name))
  }

  /** Clusters that no route names, beside all others: their checks and connections count under their names, their hosts do not. */
  newClusters(): ClusterRegistry {
    return new ClusterRegistry({ ...this.clusterOptions, apart: true, isReferenced: () => false })
  }

  /** Of targets of google_grpc: nobody judges their endpoints, and their counts are nobody's. */
  private newTargetClusters(): ClusterRegistry {
    const { remoteHealth: _, ...options } = this.clusterOptions
    const uncounted = new StatsStore()
    return new ClusterRegistry({ ...options, statsOf: name => clusterStats(uncounted, name), apart: true, isReferenced: () => false })
  }

  private watchOverload(config: OverloadConfig): OverloadWatch {
    const { role, store } = this.options
    return new OverloadWatch(config, {
      store,
      measured: this,
      log: (level, message) => this.log(level, message),
      onLevel: (name, value) => {
        this.overloadActions?.set(name, value)
        if (role?.kind === 'primary') role.tellOverload(name, value)
      },
    })
  }

  /** Take the static resources; the rest comes by `config`. Errors name the resource by its bootstrap path. */
  async start(): Promise<ConfigError[]> {
    const { bootstrap } = this.options
    const errors = await this.config.applyStatic(bootstrap)
    if (errors.length > 0) return errors
    this.begun = true
    this.statsFlush.start()
    this.overloadWatch?.start()
    this.refreshGauges()
    return this.initialise()
  }

  /** Envoy's order: clusters first; then listeners are bound. With dynamic sources this goes on when their first answer is there. */
  private async initialise(): Promise<ConfigError[]> {
    if (this.listenersStarted || !this.cdsSeen || this.clusters.awaitedCount > 0) return []
    this.listenersStarted = true
    this.state = 'INITIALIZING'
    this.onClustersInitialised?.()
    const failures = await this.listeners.start()
    this.checkInit()
    const { listeners } = this.options.bootstrap
    return failures.map(({ name, reason }) => ({
      path: `static_resources.listeners[${listeners.findIndex(listener => listener.name === name)}].address`,
      reason,
    }))
  }

  /** Goes on with the start, where what it waits for has come. */
  checkInit(): void {
    if (!this.begun || this.state === 'LIVE' || this.state === 'DRAINING') return
    if (!this.listenersStarted) {
      void this.initialise().then(errors => {
        if (errors.length > 0) this.onStartFailure?.(errors)
      })
      return
    }
    if (!this.ldsSeen || this.listeners.warmingNames.length > 0) {
      this.listeners.whenWarm(() => {
        if (this.ldsSeen) this.becomeLive()
      })
      return
    }
    this.becomeLive()
  }

  private becomeLive(): void {
    const { role } = this.options
    if (this.state !== 'INITIALIZING' || (role?.kind === 'primary' && !role.ready())) return
    this.state = 'LIVE'
    this.gauges.stats.live.value = 1
    this.gauges.stats.state.value = 0
    this.gauges.stats.initialization_time_ms.record(Date.now() - this.startedAt)
    if (role?.kind !== 'worker') this.log('info', 'all dependencies initialized. starting workers')
    this.onLive?.()
  }

  /** The state that admin shows: a failed health check is Envoy's DRAINING. */
  get reportedState(): ServerState {
    return this.state === 'LIVE' && this.healthFailed ? 'DRAINING' : this.state
  }

  /** Why `/ready` says no, for its detail; '' when ready. */
  get notReadyReason(): string {
    if (this.state === 'LIVE') return this.healthFailed ? 'health check failed by POST /healthcheck/fail' : ''
    if (this.state === 'DRAINING') return 'draining'
    const missing: string[] = []
    if (!this.cdsSeen) missing.push('no clusters from the control plane yet')
    if (!this.ldsSeen) missing.push('no listeners from the control plane yet')
    const warming = [...this.clusters.names()].filter(
      name => this.clusters.warming(name) !== undefined && this.clusters.get(name) === undefined,
    )
    if (warming.length > 0)
      missing.push(`clusters wait for endpoints or secrets: ${warming.slice(0, 5).join(', ')}${warming.length > 5 ? ', …' : ''}`)
    const listeners = this.listeners.warmingNames
    if (listeners.length > 0) missing.push(`listeners wait for routes, secrets or filters: ${listeners.slice(0, 5).join(', ')}`)
    const { role } = this.options
    if (role?.kind === 'primary' && !role.ready()) missing.push('workers start')
    return missing.join('; ')
  }

  /** Text of a data source, or null when it cannot be read (yet). */
  readSource(source: DataSource): string | null {
    const result = this.secrets.read(source)
    return result.ok ? result.text : null
  }

  /** The first CDS or LDS answer has been applied (or its time is over). */
  sourceSeen(kind: 'cds' | 'lds'): void {
    if (kind === 'cds') this.cdsSeen = true
    else this.ldsSeen = true
    this.checkInit()
  }

  get clustersInitialised(): boolean {
    return this.listenersStarted
  }

  private isReferenced(name: string): boolean {
    for (const used of this.routes.clusterNames()) if (used === name) return true
    for (const used of this.scopes.clusterNames()) if (used === name) return true
    for (const used of this.listeners.clusterNames()) if (used === name) return true
    return false
  }

  /** Our own certificates that end soon without a successor: for /ready's detail. */
  expiryWarnings(): string[] {
    return this.certificateWatch.warnings()
  }

  // ---- stats ------------------------------------------------------------------------------------------------------------------

  private beforeFlush(): void {
    this.refreshGauges()
    // Each worker has the same certificates: the primary says it.
    if (this.options.role?.kind !== 'worker') this.gauges.stats.own_certificates_ending.value = this.certificateWatch.check()
  }

  /** Gauges that are read from the process; also called before each scrape. */
  refreshGauges(): void {
    this.gauges.refresh()
  }

  // ---- end --------------------------------------------------------------------------------------------------------------------

  /**
   * POST /drain_listeners: stop accepting, at once or after a graceful drain. Open connections stay; HTTP answers on them say close.
   * As Envoy 1.40 does: the process never ends by itself, and with `skipExit` the listeners go on accepting after the drain time.
   */
  drainListeners(options: { inboundOnly: boolean; graceful: boolean; skipExit: boolean }): void {
    if (!options.graceful) {
      this.listeners.stopAll(options.inboundOnly)
      return
    }
    const sequence = options.inboundOnly ? this.inboundDrain : this.drainSequence
    if (!sequence.start()) return
    if (sequence.immediate) this.listeners.announceDrain(options.inboundOnly)
    if (options.skipExit) return
    const timer = setTimeout(() => this.listeners.stopAll(options.inboundOnly), this.options.drainTimeMs)
    timer.unref()
  }

  /** Envoy's drain decision, but for a listener that itself goes away. */
  private drainClose(model: Listener): boolean {
    if (this.healthFailed && model.drainType !== 'MODIFY_ONLY') return true
    if (this.drainSequence.shouldClose()) return true
    return model.trafficDirection === 'INBOUND' && this.inboundDrain.shouldClose()
  }

  /** SIGTERM: idle connections end at once, busy ones within `graceMs`, then they are cut. Resolves when nothing is left. */
  async shutdown(graceMs: number): Promise<void> {
    if (this.stopping) return
    this.stopping = true
    this.state = 'DRAINING'
    this.gauges.stats.live.value = 0
    this.listeners.stopAll(false)
    this.listeners.drainAll()
    const deadline = performance.now() + graceMs
    while (this.listeners.connectionCount > 0 && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, 20))
    await this.close()
  }

  /** Another process serves now: this one accepts nothing more, asks its clients to leave over the drain time, and reports to that one. */
  handOver(): void {
    this.state = 'DRAINING'
    this.statsFlush.close()
    this.listeners.handOver()
  }

  get predecessor(): Predecessor | null {
    return this.options.predecessor ?? null
  }

  get restartEpoch(): number {
    return this.options.restartEpoch ?? 0
  }

  /** Clients' connections: of the workers too. */
  get connectionCount(): number {
    const { role } = this.options
    return this.listeners.connectionCount + (role?.kind === 'primary' ? role.totals().connections : 0)
  }

  /** Worker processes, or this one alone. */
  get concurrency(): number {
    const { role } = this.options
    return role?.kind === 'primary' ? role.concurrency : 1
  }

  /** Of this process and the workers. */
  memoryUse(): MemoryUse {
    const { role } = this.options
    const own = process.memoryUsage()
    if (role?.kind !== 'primary') return own
    const { memory } = role.totals()
    return {
      heapUsed: own.heapUsed + memory.heapUsed,
      heapTotal: own.heapTotal + memory.heapTotal,
      external: own.external + memory.external,
      rss: own.rss + memory.rss,
    }
  }

  async close(): Promise<void> {
    this.statsFlush.close()
    this.overloadWatch?.close()
    this.overloadActions?.close()
    this.stopHearing()
    this.listeners.destroyAll()
    this.grpcLoggers.close()
    this.otlpLoggers.close()
    await this.tracers.close()
    this.demands.close()
    this.clusters.close()
    this.grpcTargets.close()
    this.resolver.close()
    this.tlsContexts.close()
    this.secrets.close()
    await this.sinks.close()
  }
}

function sharingOf(role: ProcessRole | undefined): SocketSharing | null {
  if (role === undefined) return null
  return role.kind === 'worker' ? { kind: 'handed' } : { kind: 'hand-off', handOff: (listener, socket) => role.handOff(listener, socket) }
}
