// From the xDS streams to the proxy: opens what the bootstrap names (ADS, or per-type sources, or files), decodes each resource, hands
// good ones to the Server and bad ones back as the NACK, and keeps the EDS, RDS and SDS subscriptions in step with what is in use.
// The raw bytes of accepted and refused resources stay here for /config_dump.

import type { JsonObject as ProtoJsonObject } from '@bufbuild/protobuf'
import { create } from '@bufbuild/protobuf'
import { adsStats, type SubscriptionStats, subscriptionStats } from '../metrics/stat-names.js'
import type { StatsStore } from '../metrics/stats-store.js'
import type { Bootstrap, DynamicSource } from '../model/bootstrap.js'
import type { ConfigError } from '../model/config-error.js'
import type { ApiConfigSource, ConfigSource } from '../model/config-source.js'
import type { SdsSecretRef } from '../model/tls.js'
import type { UpstreamTlsContext } from '../mtls/tls/upstream-tls.js'
import type { Server, ServerLog } from '../proxy/server.js'
import { xxHash64 } from '../upstream/hash/xx-hash.js'
import { AdsClient, type AdsClientStatus, type AdsTarget, type XdsUpdate, type XdsVerdict } from '../xds/client/client.js'
import { FileSubscription } from '../xds/client/file-subscription.js'
import { type Node, NodeSchema } from '../xds/gen/envoy/config/core/v3/base_pb.js'
import {
  decodeCluster,
  decodeEndpointAssignment,
  decodeListener,
  decodeRouteConfiguration,
  decodeRuntime,
  decodeSecret,
} from '../xds/resources/decode.js'
import { schemaRegistry } from '../xds/resources/schemas.js'
import { unreachableClusterSources, unreachableListenerSources } from '../xds/resources/source-references.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, RUNTIME_TYPE, SECRET_TYPE } from '../xds/type-urls.js'
import { metadataOf, targetsOfCluster } from './grpc-target.js'
import { isSameSource, type NamedResource, NamedSubscriptions } from './named-subscriptions.js'
import type { TrackedResources } from './tracked-resources.js'

export interface XdsBridgeOptions {
  readonly bootstrap: Bootstrap
  readonly server: Server
  readonly store: StatsStore
  readonly tracked: TrackedResources
  readonly userAgent: { readonly name: string; readonly version: string }
  readonly log: ServerLog
  readonly random: () => number
}

export class XdsBridge {
  private readonly options: XdsBridgeOptions
  private readonly server: Server
  private readonly node: Node
  private ads: AdsClient | null = null
  private readonly clients: AdsClient[] = []
  private readonly files: FileSubscription[] = []
  private readonly stats
  private readonly subscriptions = new Map<string, SubscriptionStats>()
  /** By the name of a wanted secret. */
  private readonly secretStats = new Map<string, SubscriptionStats>()
  private readonly named: NamedSubscriptions
  private readonly timers = new Set<NodeJS.Timeout>()
  private releaseCdsAck: (() => void) | null = null
  private syncQueued = false
  private closed = false

  constructor(options: XdsBridgeOptions) {
    this.options = options
    this.server = options.server
    this.stats = adsStats(options.store)
    this.node = nodeMessage(options)
    this.subscriptions.set(LISTENER_TYPE, this.stats.lds)
    this.subscriptions.set(CLUSTER_TYPE, this.stats.cds)
    this.named = new NamedSubscriptions({
      ads: () => this.ads,
      openClient: (source, typeUrl) => this.openClient(source.api, typeUrl, source),
      closeClient: client => this.closeClient(client),
      openFile: (source, typeUrl) => this.openFile(source, typeUrl),
    })
  }

  start(): void {
    const { bootstrap } = this.options
    if (bootstrap.ads !== null) {
      this.ads = this.openClient(bootstrap.ads, undefined, { kind: 'ads' })
      if (this.ads === null) this.options.log('error', 'dynamic_resources.ads_config: no cluster or target to reach the management server')
    }
    this.openRuntime(() => this.openClusters())
    this.ads?.start()
  }

  /** Envoy's first: RTDS layers, which clusters and all else may depend on. `done` once, when each came or its time is over. */
  private openRuntime(done: () => void): void {
    for (const { rtds } of this.server.runtime.layers) {
      if (rtds === null) continue
      this.missingRuntime.add(rtds.name)
      if (!this.subscriptions.has(RUNTIME_TYPE)) this.subscriptions.set(RUNTIME_TYPE, subscriptionStats(this.options.store, 'runtime'))
      if (rtds.initialFetchTimeoutMs > 0) {
        this.after(rtds.initialFetchTimeoutMs, () => {
          if (this.missingRuntime.has(rtds.name)) this.subscriptions.get(RUNTIME_TYPE)!.init_fetch_timeout.value++
          this.runtimeSeen(rtds.name)
        })
      }
      this.named.add(RUNTIME_TYPE, rtds)
    }
    if (this.missingRuntime.size === 0) done()
    else this.onRuntime = done
  }

  private runtimeSeen(name: string): void {
    if (!this.missingRuntime.delete(name) || this.missingRuntime.size > 0) return
    // After the ACK of the update that did it.
    queueMicrotask(() => this.onRuntime())
  }

  private openClusters(): void {
    if (this.closed) return
    const { bootstrap, server } = this.options
    this.openSource(bootstrap.cds, CLUSTER_TYPE, 'cds')
    // Envoy's order: listeners are asked for once the clusters are initialised, after the ACK of the update that did it.
    const openListeners = (): void => queueMicrotask(() => this.openSource(bootstrap.lds, LISTENER_TYPE, 'lds'))
    if (server.clustersInitialised) this.openSource(bootstrap.lds, LISTENER_TYPE, 'lds')
    else server.onClustersInitialised = openListeners
    server.clusters.onEdsNamesChange(() => this.queueSync())
    server.routes.onNamesChange = () => this.queueSync()
    server.onSecretWanted = ref => this.wantSecret(ref)
    server.onSecretUnwanted = ref => this.dropSecret(ref)
    for (const ref of server.secrets.wanted()) this.wantSecret(ref)
    this.syncNames()
    server.clusters.onWarm(() => this.resumeCdsAck())
  }

  get adsStatus(): AdsClientStatus | null {
    return this.ads?.status() ?? null
  }

  close(): void {
    this.closed = true
    for (const timer of this.timers) clearTimeout(timer)
    for (const client of this.clients) client.close()
    for (const file of this.files) file.close()
    this.named.close()
  }

  /** Once, unless the bridge is closed first. */
  private after(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer)
      run()
    }, ms)
    timer.unref()
    this.timers.add(timer)
  }

  // ---- sources ----------------------------------------------------------------------------------------------------------------

  private openSource(dynamic: DynamicSource | null, typeUrl: string, kind: 'cds' | 'lds'): void {
    if (dynamic === null || this.closed) return
    const { source } = dynamic
    if (dynamic.initialFetchTimeoutMs > 0) {
      this.after(dynamic.initialFetchTimeoutMs, () => {
        if (this.subscriptions.get(typeUrl)!.update_success.value === 0) this.subscriptions.get(typeUrl)!.init_fetch_timeout.value++
        this.server.sourceSeen(kind)
      })
    }
    switch (source.kind) {
      case 'ads':
        this.ads?.subscribe(typeUrl, { wildcard: true })
        return
      case 'api': {
        const client = this.openClient(source.api, typeUrl, source)
        client?.subscribe(typeUrl, { wildcard: true })
        client?.start()
        return
      }
      case 'path': {
        const file = this.openFile(source, typeUrl)
        this.files.push(file)
        void file.start()
      }
    }
  }

  private openFile(source: Extract<ConfigSource, { kind: 'path' }>, typeUrl: string): FileSubscription {
    const { path, watchedDirectory } = source
    return new FileSubscription({
      registry: schemaRegistry(),
      path,
      watchedDirectory: watchedDirectory === '' ? undefined : watchedDirectory,
      typeUrl,
      onUpdate: update => this.onUpdate(update, source),
      logger: this.logger(),
    })
  }

  private closeClient(client: AdsClient): void {
    client.close()
    this.clients.splice(this.clients.indexOf(client), 1)
  }

  private openClient(api: ApiConfigSource, onlyType: string | undefined, source: ConfigSource): AdsClient | null {
    const targets: AdsTarget[] = []
    for (const service of api.services) {
      if (service.target !== '') targets.push({ address: service.target, metadata: metadataOf(service) })
      else {
        const cluster = this.options.bootstrap.clusters.find(candidate => candidate.name === service.cluster)
        if (cluster !== undefined) targets.push(...targetsOfCluster(cluster, service, () => this.tlsOf(service.cluster)))
      }
    }
    if (targets.length === 0) return null
    const client = new AdsClient({
      targets,
      node: this.node,
      apiType: api.apiType,
      ...(onlyType === undefined ? {} : { onlyType }),
      setNodeOnFirstMessageOnly: api.setNodeOnFirstMessageOnly,
      ...(api.rateLimit === null ? {} : { rateLimit: api.rateLimit }),
      onUpdate: update => this.onUpdate(update, source),
      onStatus: status => this.onStatus(status),
      random: this.options.random,
      logger: this.logger(),
    })
    this.clients.push(client)
    return client
  }

  private tlsOf(clusterName: string): UpstreamTlsContext | null {
    const cluster = this.server.clusters.get(clusterName) ?? this.server.clusters.warming(clusterName)
    return cluster === undefined || cluster.config.tls === null ? null : this.server.tlsContexts.upstream(cluster.config.tls, cluster)
  }

  private logger() {
    const { log } = this.options
    return {
      info: (fields: object, message: string): void => log('info', message, fields as Record<string, unknown>),
      warn: (fields: object, message: string): void => log('warn', message, fields as Record<string, unknown>),
    }
  }

  private onStatus(status: AdsClientStatus): void {
    const { controlPlane } = this.stats
    controlPlane.connected_state.value = this.clients.some(client => client.status().connected) ? 1 : 0
    this.stats.identifier.value = status.identifier
    let limited = 0
    let pending = 0
    for (const client of this.clients) {
      limited += client.controlPlane.rateLimitEnforced
      pending += client.controlPlane.pendingRequests
    }
    controlPlane.rate_limit_enforced.value = limited
    controlPlane.pending_requests.value = pending
    if (!status.connected && status.lastFailure !== null) {
      for (const subscription of this.subscriptions.values()) subscription.update_failure.value++
    }
  }

  // ---- subscriptions ----------------------------------------------------------------------------------------------------------

  /** Names change in bursts while an update is applied; one diff per turn, but before the update's ACK (AdsClient flushes after). */
  private queueSync(): void {
    if (this.applying) {
      this.syncQueued = true
      return
    }
    this.syncNames()
  }

  private applying = false
  /** RTDS resources that have neither come nor timed out. */
  private readonly missingRuntime = new Set<string>()
  private onRuntime = (): void => {}

  private syncNames(): void {
    if (this.closed) return
    const { clusters, routes } = this.server
    const endpoints = clusters.edsSubscriptions().map(({ serviceName, source }) => ({ name: serviceName, source }))
    this.replace(ENDPOINT_TYPE, endpoints)
    this.replace(ROUTE_TYPE, routes.subscriptions())
  }

  private replace(typeUrl: string, wanted: readonly NamedResource[]): void {
    for (const name of this.named.replace(typeUrl, wanted)) this.options.tracked.remove(typeUrl, name)
  }

  private wantSecret({ name, source }: SdsSecretRef): void {
    if (source.kind === 'static') return
    if (!this.secretStats.has(name)) this.secretStats.set(name, this.stats.sds(name))
    this.named.add(SECRET_TYPE, { name, source })
  }

  private dropSecret({ name, source }: SdsSecretRef): void {
    if (source.kind === 'static') return
    this.named.remove(SECRET_TYPE, { name, source })
    if (this.server.secrets.wanted().some(ref => ref.name === name)) return
    this.secretStats.get(name)?.release()
    this.secretStats.delete(name)
  }

  // ---- updates ----------------------------------------------------------------------------------------------------------------

  /** `source`: where it comes from. */
  private onUpdate(update: XdsUpdate, source: ConfigSource): XdsVerdict | undefined {
    const startedAt = performance.now()
    this.applying = true
    const rejected: { name: string; errors: readonly ConfigError[] }[] = []
    const stats = this.statsOf(update.typeUrl)
    for (const resource of update.resources) {
      const errors = this.applyResource(update.typeUrl, resource, source)
      if (errors.length > 0) {
        rejected.push({ name: resource.name, errors })
        this.options.tracked.refuse(update.typeUrl, resource, errors)
        // The start does not wait for a resource that came and was refused.
        if (update.typeUrl === ROUTE_TYPE) this.server.routes.refused(resource.name)
        else if (update.typeUrl === ENDPOINT_TYPE) this.server.clusters.assignmentAbsent(resource.name)
        this.options.log('warn', `refused ${shortType(update.typeUrl)} ${resource.name}`, { errors })
      } else this.options.tracked.accept(update.typeUrl, resource)
    }
    for (const name of update.removed) this.removeResource(update.typeUrl, name)
    if (update.typeUrl === SECRET_TYPE) this.countSecrets(update, rejected, startedAt)
    else if (update.typeUrl === ENDPOINT_TYPE) this.countAssignments(update, rejected, startedAt)
    if (stats !== null) {
      stats.update_attempt.value++
      if (rejected.length > 0) stats.update_rejected.value++
      else {
        stats.update_success.value++
        showVersion(stats, update.systemVersion)
      }
      stats.update_duration.record(performance.now() - startedAt)
    }
    if (update.typeUrl === CLUSTER_TYPE) {
      this.holdCdsAck()
      this.server.sourceSeen('cds')
    } else if (update.typeUrl === LISTENER_TYPE) this.server.sourceSeen('lds')
    this.applying = false
    if (this.syncQueued) {
      this.syncQueued = false
      this.syncNames()
    }
    return rejected.length > 0 ? { rejected } : undefined
  }

  private countSecrets(update: XdsUpdate, rejected: readonly { readonly name: string }[], startedAt: number): void {
    for (const { name, version } of update.resources) {
      const stats = this.secretStats.get(name)
      if (stats === undefined) continue
      stats.update_attempt.value++
      if (rejected.some(refused => refused.name === name)) stats.update_rejected.value++
      else {
        stats.update_success.value++
        showVersion(stats, version)
        stats.update_duration.record(performance.now() - startedAt)
      }
    }
  }

  /** Attempts and successes are counted by the cluster itself. */
  private countAssignments(update: XdsUpdate, rejected: readonly { readonly name: string }[], startedAt: number): void {
    for (const { name, version } of update.resources) {
      const isRejected = rejected.some(refused => refused.name === name)
      for (const { stats } of this.server.clusters.edsUsersOf(name)) {
        if (isRejected) {
          stats.eds.update_attempt.value++
          stats.eds.update_rejected.value++
        } else {
          showVersion(stats.eds, version)
          stats.eds.update_duration.record(performance.now() - startedAt)
        }
      }
    }
  }

  /** The control plane sends routes and listeners once CDS is acknowledged: while a cluster has no endpoints yet, the ACK waits. */
  private holdCdsAck(): void {
    if (this.ads === null || this.releaseCdsAck !== null || this.server.clusters.warmingCount === 0) return
    this.releaseCdsAck = this.ads.pause(CLUSTER_TYPE)
    this.after(MAX_CDS_HOLD_MS, () => this.finishCdsHold())
  }

  private resumeCdsAck(): void {
    if (this.server.clusters.warmingCount === 0) this.finishCdsHold()
  }

  private finishCdsHold(): void {
    const release = this.releaseCdsAck
    this.releaseCdsAck = null
    release?.()
  }

  private applyResource(typeUrl: string, resource: XdsUpdate['resources'][number], source: ConfigSource): readonly ConfigError[] {
    const { server } = this
    const bytes = resource.any.value
    switch (typeUrl) {
      case CLUSTER_TYPE: {
        const decoded = decodeCluster(bytes)
        if (!decoded.ok) return decoded.errors
        const errors = unreachableClusterSources(decoded.value, this.options.bootstrap)
        return errors.length > 0 ? errors : server.applyCluster(decoded.value)
      }
      case ENDPOINT_TYPE: {
        const decoded = decodeEndpointAssignment(bytes)
        if (!decoded.ok) return decoded.errors
        server.applyAssignment(decoded.value)
        return []
      }
      case LISTENER_TYPE: {
        const decoded = decodeListener(bytes)
        if (!decoded.ok) return decoded.errors
        const errors = [...unreachableListenerSources(decoded.value, this.options.bootstrap), ...server.checkListener(decoded.value)]
        if (errors.length === 0) void server.applyListener(decoded.value)
        return errors
      }
      case ROUTE_TYPE: {
        const decoded = decodeRouteConfiguration(bytes)
        if (!decoded.ok) return decoded.errors
        const errors = server.checkRoute(decoded.value)
        if (errors.length === 0) server.applyRoute(decoded.value)
        return errors
      }
      case SECRET_TYPE: {
        const decoded = decodeSecret(bytes)
        if (!decoded.ok) return decoded.errors
        // The same name from another source is another secret.
        const refs = server.secrets.wanted().filter(ref => ref.name === resource.name && isSameSource(ref.source, source))
        return refs.map(ref => server.applySecret(ref, decoded.value)).find(errors => errors.length > 0) ?? []
      }
      case RUNTIME_TYPE: {
        const decoded = decodeRuntime(bytes)
        if (decoded.ok) server.runtime.set(resource.name, decoded.value)
        this.runtimeSeen(resource.name)
        return decoded.ok ? [] : decoded.errors
      }
      default:
        return [{ path: 'type_url', reason: `unexpected resource type ${typeUrl}` }]
    }
  }

  private removeResource(typeUrl: string, name: string): void {
    this.options.tracked.remove(typeUrl, name)
    if (typeUrl === CLUSTER_TYPE) this.server.removeCluster(name)
    else if (typeUrl === LISTENER_TYPE) this.server.removeListener(name)
    else if (typeUrl === ROUTE_TYPE) this.server.routes.remove(name)
    else if (typeUrl === ENDPOINT_TYPE) this.server.clusters.assignmentAbsent(name)
    else if (typeUrl === RUNTIME_TYPE) {
      this.server.runtime.set(name, new Map())
      this.runtimeSeen(name)
    }
  }

  private statsOf(typeUrl: string): SubscriptionStats | null {
    return this.subscriptions.get(typeUrl) ?? null
  }
}

/** A cluster that never gets its endpoints must not hold the stream for ever: its own initial_fetch_timeout is 15 s by default. */
const MAX_CDS_HOLD_MS = 15_000

/** `version` is Envoy's: the xxHash64 of the text, as far as a number holds it. */
function showVersion(stats: SubscriptionStats, version: string): void {
  stats.update_time.value = Date.now()
  stats.version.value = Number(xxHash64(Buffer.from(version)))
  stats.version_text.value = version
}

function shortType(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1)
}

function nodeMessage(options: XdsBridgeOptions): Node {
  const { node } = options.bootstrap
  const [major = 0, minor = 0, patch = 0] = options.userAgent.version.split('.').map(Number)
  return create(NodeSchema, {
    id: node.id,
    cluster: node.cluster,
    metadata: node.metadata as ProtoJsonObject,
    locality: { region: node.locality.region, zone: node.locality.zone, subZone: node.locality.subZone },
    userAgentName: options.userAgent.name,
    userAgentVersionType: {
      case: 'userAgentBuildVersion',
      value: { version: { majorNumber: major, minorNumber: minor, patch } },
    },
  })
}
