// From the xDS streams to the proxy: opens what the bootstrap names (by xds-sources.ts), gives each resource to its kind (resource-kinds/),
// hands what was refused back as the NACK, and keeps the EDS, RDS and SDS subscriptions in step with what is in use.
// The raw bytes of accepted and refused resources go to TrackedResources for /config_dump.

import { inSlices, type Steps } from '../io/slices.js'
import type { StatsStore } from '../metrics/stats-store.js'
import { adsStats } from '../metrics/subscription-stats.js'
import type { Address } from '../model/address.js'
import type { Bootstrap, DynamicSource } from '../model/bootstrap.js'
import type { ConfigError } from '../model/config-error.js'
import type { ConfigSource } from '../model/config-source.js'
import type { DemandKind, ProcessDemand } from '../proxy/demands.js'
import type { Server, ServerLog } from '../proxy/server.js'
import type { AdsClient, AdsClientStatus, AdsTargetSource, Rejection, XdsResource, XdsUpdate, XdsVerdict } from '../xds/client/client.js'
import type { FileSubscription } from '../xds/client/file-subscription.js'
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  EXTENSION_CONFIG_TYPE,
  LISTENER_TYPE,
  ROUTE_TYPE,
  SCOPED_ROUTE_TYPE,
  SECRET_TYPE,
  VIRTUAL_HOST_TYPE,
} from '../xds/type-urls.js'
import { EVERYTHING, type NamedResource, NamedSubscriptions } from './named-subscriptions.js'
import { subscribingNode, type UserAgent } from './node-message.js'
import { ClusterKind } from './resource-kinds/cluster-kind.js'
import { type DecodingRules, dynamicDecoder } from './resource-kinds/dynamic-decoder.js'
import { EndpointKind } from './resource-kinds/endpoint-kind.js'
import { ExtensionKind } from './resource-kinds/extension-kind.js'
import { ListenerKind } from './resource-kinds/listener-kind.js'
import type { Applied, ResourceKind } from './resource-kinds/resource-kind.js'
import { RouteKind } from './resource-kinds/route-kind.js'
import { RuntimeKind } from './resource-kinds/runtime-kind.js'
import { ScopedRouteKind } from './resource-kinds/scoped-route-kind.js'
import { SecretKind } from './resource-kinds/secret-kind.js'
import { countFetch } from './resource-kinds/subscription-counts.js'
import { VirtualHostKind } from './resource-kinds/virtual-host-kind.js'
import type { TrackedResources } from './tracked-resources.js'
import type { FedUpdate } from './workers/fed-resources.js'
import { XdsSources } from './xds-sources.js'

export interface XdsBridgeOptions extends DecodingRules {
  readonly bootstrap: Bootstrap
  readonly server: Server
  readonly store: StatsStore
  readonly tracked: TrackedResources
  readonly userAgent: UserAgent
  readonly log: ServerLog
  readonly random: () => number
  /** By the target URI of a google_grpc service: servers that whoever runs this proxy chooses. */
  readonly managementServers?: ReadonlyMap<string, AdsTargetSource>
  /** Processes that take what this one accepts. */
  readonly followers?: XdsFollowers
  /** In a worker process, which opens no source: whom it asks. What comes is put in by take(). */
  readonly primary?: PrimarySource
}

export interface PrimarySource {
  /** Names of which nothing had been wanted so far. */
  onWanted(typeUrl: string, source: ConfigSource, names: readonly string[]): void
  /** Of requests: the primary does not know them. */
  onDemand(demand: ProcessDemand): void
}

/** What is asked for by the names that requests have. */
const DEMANDED_TYPES: Readonly<Record<DemandKind, string>> = {
  'virtual-host': VIRTUAL_HOST_TYPE,
  cluster: CLUSTER_TYPE,
}

export interface XdsFollowers {
  /** Resolves once it is in use everywhere: the ACK waits for that. */
  follow(update: FedUpdate): Promise<void>
  /** Nobody is asked for these any more. */
  forget(typeUrl: string, source: ConfigSource, names: readonly string[]): void
}

export class XdsBridge {
  private readonly options: XdsBridgeOptions
  private readonly server: Server
  private ads: AdsClient | null = null
  private readonly sources: XdsSources
  private readonly files: FileSubscription[] = []
  private readonly stats
  private readonly kinds: ReadonlyMap<string, ResourceKind>
  private readonly secrets: SecretKind
  private readonly extensions: ExtensionKind
  private readonly runtime: RuntimeKind
  private readonly named: NamedSubscriptions
  private readonly timers = new Set<NodeJS.Timeout>()
  private releaseCdsAck: (() => void) | null = null
  private syncQueued = false
  /** What was said once of resources with static names: as many as the bootstrap has. */
  private readonly passedOver = new Set<string>()
  /** Updates that are being applied. */
  private applying = 0
  private closed = false

  constructor(options: XdsBridgeOptions) {
    this.options = options
    this.server = options.server
    this.stats = adsStats(options.store)
    const { primary, followers, managementServers } = options
    this.sources = new XdsSources(
      {
        bootstrap: options.bootstrap,
        server: options.server,
        stats: this.stats,
        log: options.log,
        random: options.random,
        ...(managementServers === undefined ? {} : { managementServers }),
        onUpdate: (update, source) => this.onUpdate(update, source),
        onUnreachable: () => this.onUnreachable(),
        secrets: { lackedBy: (...what) => this.secrets.lackedBy(...what), unreadIn: source => this.secrets.unreadIn(source) },
      },
      subscribingNode(options.bootstrap.node, null, options.userAgent),
    )
    const { sources } = this
    const isFed = primary !== undefined
    this.named = new NamedSubscriptions({
      ads: () => this.ads,
      openClient: (source, typeUrl) =>
        isFed ? null : (sources.openWorkloadApi(source, typeUrl) ?? sources.openClient(source.api, typeUrl, source)),
      closeClient: client => sources.closeClient(client),
      // A server of the whole state ends the stream for one name that it does not give (SPIRE's agent), and what else was asked on it with it.
      isApart: (typeUrl, source) =>
        typeUrl === SECRET_TYPE && source.kind === 'api' && source.api.apiType === 'GRPC' && sources.workloadApiOf(source) === undefined,
      openPoll: (source, typeUrl) => (isFed ? null : sources.openPoll(source, typeUrl)),
      openFile: (source, typeUrl) => (isFed ? null : sources.openFile(source, typeUrl)),
      ...(primary === undefined ? {} : { onSubscribed: (...what) => primary.onWanted(...what) }),
      ...(followers === undefined ? {} : { onUnsubscribed: (...what) => followers.forget(...what) }),
    })
    const { bootstrap, server, store } = options
    const decode = dynamicDecoder(options, server.gauges.stats, options.log, options.tracked)
    this.secrets = new SecretKind({
      server,
      decode,
      named: this.named,
      ads: this.stats,
      takesBack: source => sources.workloadApiOf(source) !== undefined,
      after: (ms, run) => this.after(ms, run),
      log: options.log,
    })
    this.runtime = new RuntimeKind(server, decode, this.named, store, (ms, run) => this.after(ms, run))
    this.extensions = new ExtensionKind(server, decode, bootstrap, (ms, run) => this.after(ms, run))
    const kinds = [
      new ClusterKind(server, decode, bootstrap, this.stats, () => this.holdCdsAck()),
      new EndpointKind(server, decode),
      new ListenerKind(server, decode, bootstrap, this.stats),
      new RouteKind(server, decode, bootstrap),
      new ScopedRouteKind(server, decode),
      new VirtualHostKind(server, decode, bootstrap),
      this.extensions,
      this.secrets,
      this.runtime,
    ]
    this.kinds = new Map(kinds.map(kind => [kind.typeUrl, kind]))
  }

  /** `admin`: where it listens, or will. */
  start(admin: Address | null): void {
    const { bootstrap, userAgent } = this.options
    this.sources.node = subscribingNode(bootstrap.node, admin, userAgent)
    if (bootstrap.ads !== null) {
      this.ads = this.sources.openClient(bootstrap.ads, undefined, { kind: 'ads' })
      if (this.ads === null) this.options.log('error', 'dynamic_resources.ads_config: no cluster or target to reach the management server')
    }
    this.runtime.start(() => this.openClusters())
    this.ads?.start()
  }

  private openClusters(): void {
    if (this.closed) return
    const { bootstrap, server } = this.options
    const openListeners = (): void => this.openSource(bootstrap.lds, LISTENER_TYPE, 'lds')
    this.openSource(bootstrap.cds, CLUSTER_TYPE, 'cds')
    // Envoy's order: listeners are asked for once the clusters are initialised, after the ACK of the update that did it.
    if (server.clustersInitialised) openListeners()
    else
      server.onClustersInitialised = () => {
        if (this.ads === null) queueMicrotask(openListeners)
        else this.ads.whenAnswered(openListeners)
      }
    this.watchNames()
    server.clusters.onWarm(() => this.resumeCdsAck())
  }

  /** In the place of start(), in a worker process. */
  startFed(): void {
    this.watchNames()
  }

  /** Of a worker process: the number of resources that were refused. */
  async take({ source, ...update }: FedUpdate): Promise<number> {
    const verdict = await this.onUpdate({ ...update, systemVersion: '' }, source)
    return verdict?.rejected.length ?? 0
  }

  private watchNames(): void {
    const { server } = this
    server.clusters.onEdsNamesChange(() => this.queueSync())
    server.routes.onNamesChange = () => this.queueSync()
    server.scopes.onSourcesChange = () => this.queueSync()
    server.extensions.onNamesChange = () => this.queueSync()
    this.watchDemands()
    this.secrets.start()
    this.syncNames()
  }

  private watchDemands(): void {
    const { demands, scopes } = this.server
    const { primary } = this.options
    demands.onWanted = demand => {
      primary?.onDemand(demand)
      this.named.add(DEMANDED_TYPES[demand.kind], demand)
    }
    demands.onUnwanted = demand => this.named.remove(DEMANDED_TYPES[demand.kind], demand, demand.kind === 'cluster')
    if (primary !== undefined) scopes.onTableDemanded = (source, name) => primary.onDemand({ kind: 'route-table', source, name })
  }

  /** A request in another process has no route or cluster without it. */
  demand(demand: ProcessDemand): void {
    const { demands, scopes } = this.server
    if (demand.kind === 'route-table') scopes.load(demand.source, demand.name)
    else demands.want(demand)
  }

  get adsStatus(): AdsClientStatus | null {
    return this.ads?.status() ?? null
  }

  close(): void {
    this.closed = true
    for (const timer of this.timers) clearTimeout(timer)
    this.sources.close()
    for (const file of this.files) file.close()
    this.named.close()
  }

  /** Once, unless the bridge is closed first. Returns the way to stop it. */
  private after(ms: number, run: () => void): () => void {
    const timer = setTimeout(() => {
      this.timers.delete(timer)
      run()
    }, ms)
    timer.unref()
    this.timers.add(timer)
    return () => {
      clearTimeout(timer)
      this.timers.delete(timer)
    }
  }

  // ---- sources ----------------------------------------------------------------------------------------------------------------

  private openSource(dynamic: DynamicSource | null, typeUrl: string, kind: 'cds' | 'lds'): void {
    if (dynamic === null || this.closed) return
    const stats = this.stats[kind]
    const { source } = dynamic
    if (dynamic.initialFetchTimeoutMs > 0) {
      this.after(dynamic.initialFetchTimeoutMs, () => {
        if (stats.update_success.value === 0) stats.init_fetch_timeout.value++
        this.server.sourceSeen(kind)
      })
    }
    switch (source.kind) {
      case 'ads':
        this.ads?.subscribe(typeUrl, { wildcard: true })
        return
      case 'api': {
        const client = this.sources.openClient(source.api, typeUrl, source)
        client?.subscribe(typeUrl, { wildcard: true })
        client?.start()
        return
      }
      case 'rest': {
        const poll = this.sources.openPoll(source, typeUrl, outcome => countFetch(stats, outcome))
        poll.subscribe(typeUrl, { wildcard: true })
        poll.start()
        return
      }
      case 'path': {
        const file = this.sources.openFile(source, typeUrl)
        this.files.push(file)
        void file.start()
      }
    }
  }

  private onUnreachable(): void {
    const { lds, cds } = this.options.bootstrap
    if (lds !== null) this.stats.lds.update_failure.value++
    if (cds !== null) this.stats.cds.update_failure.value++
    if (this.runtime.subscription !== null) this.runtime.subscription.update_failure.value++
  }

  // ---- subscriptions ----------------------------------------------------------------------------------------------------------

  /** Names change in bursts while an update is applied; one diff per turn, but before the update's ACK (AdsClient flushes after). */
  private queueSync(): void {
    if (this.applying > 0) {
      this.syncQueued = true
      return
    }
    this.syncNames()
  }

  private syncNames(): void {
    if (this.closed) return
    const { clusters, routes, scopes, demands } = this.server
    const endpoints = clusters.edsSubscriptions().map(({ serviceName, source }) => ({ name: serviceName, source }))
    this.replace(ENDPOINT_TYPE, endpoints)
    const everything = (source: ConfigSource): NamedResource => ({ name: EVERYTHING, source })
    this.replace(SCOPED_ROUTE_TYPE, scopes.sources().map(everything))
    this.replace(ROUTE_TYPE, routes.subscriptions())
    this.replace(EXTENSION_CONFIG_TYPE, this.extensions.wanted())
    this.replace(VIRTUAL_HOST_TYPE, [...routes.virtualHostSources().map(everything), ...demands.of('virtual-host')])
  }

  private replace(typeUrl: string, wanted: readonly NamedResource[]): void {
    const { tracked } = this.options
    for (const name of this.named.replace(typeUrl, wanted)) {
      if (name === EVERYTHING) tracked.clear(typeUrl)
      else tracked.remove(typeUrl, name)
    }
  }

  // ---- updates ----------------------------------------------------------------------------------------------------------------

  /**
   * `source`: where it comes from. A promise where a verdict takes longer than a slice of one turn, or waits for something: the ACK, and
   * what depends on it, wait for it, and the stream is not read.
   */
  private onUpdate(update: XdsUpdate, source: ConfigSource): XdsVerdict | undefined | Promise<XdsVerdict | undefined> {
    const startedAt = performance.now()
    const kind = this.kinds.get(update.typeUrl)
    if (kind === undefined) return { rejected: update.resources.map(({ name }) => ({ name, errors: [unexpectedType(update.typeUrl)] })) }
    this.applying++
    const settle = (errors: readonly (readonly ConfigError[])[]): readonly Rejection[] | Promise<readonly Rejection[]> =>
      inSlices(this.settle(kind, update, source, errors, startedAt))
    const verdictOf = (rejected: readonly Rejection[]): XdsVerdict | undefined | Promise<XdsVerdict | undefined> => {
      const verdict = rejected.length > 0 ? { rejected } : undefined
      return this.followed(update, source, rejected)?.then(() => verdict) ?? verdict
    }
    const results = inSlices(this.applyAll(kind, update, source))
    if (results instanceof Promise || results.some(result => result instanceof Promise)) {
      return Promise.resolve(results)
        .then(applied => Promise.all(applied))
        .then(settle)
        .then(verdictOf)
    }
    const rejected = settle(results as readonly (readonly ConfigError[])[])
    return rejected instanceof Promise ? rejected.then(verdictOf) : verdictOf(rejected)
  }

  private *applyAll(kind: ResourceKind, update: XdsUpdate, source: ConfigSource): Steps<Applied[]> {
    if (kind.removesFirst) yield* this.remove(kind, update.removed, source)
    const results: Applied[] = []
    for (const resource of update.resources) {
      const passedOver = this.closed || kind.isStatic?.(resource.name) === true
      results.push(passedOver ? [] : yield* applyOne(kind, resource, source))
      yield
    }
    return results
  }

  private *settle(
    kind: ResourceKind,
    update: XdsUpdate,
    source: ConfigSource,
    errors: readonly (readonly ConfigError[])[],
    startedAt: number,
  ): Steps<readonly Rejection[]> {
    const rejected: Rejection[] = []
    for (const [i, resource] of update.resources.entries()) {
      if (!this.judge(kind, resource, errors[i]!)) rejected.push({ name: resource.name, errors: errors[i]! })
      yield
    }
    if (!kind.removesFirst) yield* this.remove(kind, update.removed, source)
    if (rejected.length < update.resources.length + update.removed.length) this.options.tracked.settle(update.typeUrl, update.systemVersion)
    kind.settled({ update, source, refused: new Set(rejected.map(({ name }) => name)), durationMs: performance.now() - startedAt })
    this.applying--
    if (this.syncQueued && this.applying === 0) {
      this.syncQueued = false
      this.syncNames()
    }
    return rejected
  }

  /** Only what was accepted goes on. Null: to nobody. */
  private followed(update: XdsUpdate, source: ConfigSource, rejected: readonly Rejection[]): Promise<void> | null {
    const { typeUrl, resources, removed, absent } = update
    const { followers } = this.options
    if (followers === undefined) return null
    const refused = new Set(rejected.map(({ name }) => name))
    const accepted = resources.filter(({ name }) => !refused.has(name))
    // Who waits for a secret waits no longer for one that was refused.
    const missing = typeUrl === SECRET_TYPE ? [...(absent ?? []), ...refused] : absent
    return followers.follow({ typeUrl, source, resources: accepted, removed, ...(missing === undefined ? {} : { absent: missing }) })
  }

  /** Is it accepted, or passed over without a word to the server? */
  private judge(kind: ResourceKind, resource: XdsResource, errors: readonly ConfigError[]): boolean {
    const { tracked, log } = this.options
    if (kind.isStatic?.(resource.name) === true) {
      const line = `${shortType(kind.typeUrl)} ${resource.name} is static: what comes by its name is passed over`
      if (!this.passedOver.has(line)) log('warn', line, undefined, 'config')
      this.passedOver.add(line)
      return true
    }
    if (errors.length === 0) {
      tracked.accept(kind.typeUrl, resource)
      return true
    }
    tracked.refuse(kind.typeUrl, resource, errors)
    kind.refused(resource.name)
    log('warn', `refused ${shortType(kind.typeUrl)} ${resource.name}`, { errors }, 'config')
    return false
  }

  private *remove(kind: ResourceKind, names: readonly string[], source: ConfigSource): Steps<void> {
    for (const name of names) {
      this.options.tracked.remove(kind.typeUrl, name)
      kind.remove(name, source)
      yield
    }
  }

  /** The control plane sends routes and listeners once CDS is acknowledged: while a cluster has no endpoints yet, the ACK waits. */
  private holdCdsAck(): void {
    if (this.ads === null || this.releaseCdsAck !== null || this.server.clusters.awaitedCount === 0) return
    this.releaseCdsAck = this.ads.pause(CLUSTER_TYPE)
    this.after(MAX_CDS_HOLD_MS, () => this.finishCdsHold())
  }

  private resumeCdsAck(): void {
    if (this.server.clusters.awaitedCount === 0) this.finishCdsHold()
  }

  private finishCdsHold(): void {
    const release = this.releaseCdsAck
    this.releaseCdsAck = null
    release?.()
  }
}

/** A cluster that never gets its endpoints must not hold the stream for ever: its own initial_fetch_timeout is 15 s by default. */
const MAX_CDS_HOLD_MS = 15_000

/** A bug in one resource's way in is that resource's refusal, and the others are applied. */
function* applyOne(kind: ResourceKind, resource: XdsResource, source: ConfigSource): Steps<Applied> {
  const failed = (error: unknown): ConfigError[] => [{ path: '', reason: `internal error: ${(error as Error).message}` }]
  try {
    const given = kind.apply(resource, source)
    const result = 'next' in given ? yield* given : given
    return result instanceof Promise ? result.catch(failed) : result
  } catch (error) {
    return failed(error)
  }
}

function unexpectedType(typeUrl: string): ConfigError {
  return { path: 'type_url', reason: `unexpected resource type ${typeUrl}` }
}

function shortType(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1)
}
