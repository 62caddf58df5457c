// From the xDS streams to the proxy: opens what the bootstrap names (ADS, or per-type sources, or files), decodes each resource, hands
// good ones to the Server and bad ones back as the NACK, and keeps the EDS, RDS and SDS subscriptions in step with what is in use.
// The raw bytes of accepted and refused resources stay here for /config_dump.

import type { JsonObject as ProtoJsonObject } from '@bufbuild/protobuf'
import { create } from '@bufbuild/protobuf'
import { adsStats, type SubscriptionStats } from '../metrics/stat-names.js'
import type { StatsStore } from '../metrics/stats-store.js'
import type { ApiConfigSource, Bootstrap, DynamicSource } from '../model/bootstrap.js'
import type { ConfigError } from '../model/config-error.js'
import type { SdsSecretRef } from '../model/tls.js'
import { secretKey } from '../mtls/secret-registry.js'
import type { Server, ServerLog } from '../proxy/server.js'
import { AdsClient, type AdsClientStatus, type AdsTarget, type XdsUpdate, type XdsVerdict } from '../xds/client.js'
import { FileSubscription } from '../xds/file-subscription.js'
import { type Node, NodeSchema } from '../xds/gen/envoy/config/core/v3/base_pb.js'
import { decodeCluster, decodeEndpointAssignment, decodeListener, decodeRouteConfiguration, decodeSecret } from '../xds/resources/decode.js'
import { schemaRegistry } from '../xds/resources/schemas.js'
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../xds/type-urls.js'
import { targetOfCluster } from './grpc-target.js'
import type { TrackedResources } from './tracked-resources.js'

/** Whether a stream or a file is where a reference takes its secret from. */
type SecretFilter = (ref: SdsSecretRef) => boolean

const noSecrets: SecretFilter = () => false

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
  private readonly secretClients = new Map<string, AdsClient>()
  private readonly secretFiles = new Map<string, FileSubscription>()
  private readonly wanted = new Map<string, Set<string>>([
    [ENDPOINT_TYPE, new Set()],
    [ROUTE_TYPE, new Set()],
    [SECRET_TYPE, new Set()],
  ])
  private readonly timers: NodeJS.Timeout[] = []
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
  }

  start(): void {
    const { bootstrap, server } = this.options
    if (bootstrap.ads !== null) {
      this.ads = this.openClient(bootstrap.ads, undefined, ref => ref.source.kind === 'ads')
      if (this.ads === null) this.options.log('error', 'dynamic_resources.ads_config: no cluster or target to reach the management server')
    }
    this.openSource(bootstrap.cds, CLUSTER_TYPE, 'cds')
    this.openSource(bootstrap.lds, LISTENER_TYPE, 'lds')
    server.clusters.onEdsNamesChange(() => this.queueSync())
    server.routes.onNamesChange = () => this.queueSync()
    server.onSecretWanted = ref => this.wantSecret(ref)
    server.onSecretUnwanted = ref => this.dropSecret(ref)
    for (const ref of server.secrets.wanted()) this.wantSecret(ref)
    this.syncNames()
    server.clusters.onWarm(() => this.resumeCdsAck())
    this.ads?.start()
    for (const client of this.clients) if (client !== this.ads) client.start()
  }

  get adsStatus(): AdsClientStatus | null {
    return this.ads?.status() ?? null
  }

  close(): void {
    this.closed = true
    for (const timer of this.timers) clearTimeout(timer)
    for (const client of this.clients) client.close()
    for (const file of [...this.files, ...this.secretFiles.values()]) file.close()
  }

  // ---- sources ----------------------------------------------------------------------------------------------------------------

  private openSource(dynamic: DynamicSource | null, typeUrl: string, kind: 'cds' | 'lds'): void {
    if (dynamic === null) return
    const { source } = dynamic
    if (dynamic.initialFetchTimeoutMs > 0) {
      const timer = setTimeout(() => {
        if (this.subscriptions.get(typeUrl)!.update_success.value === 0) this.subscriptions.get(typeUrl)!.init_fetch_timeout.value++
        this.server.sourceSeen(kind)
      }, dynamic.initialFetchTimeoutMs)
      timer.unref()
      this.timers.push(timer)
    }
    switch (source.kind) {
      case 'ads':
        this.ads?.subscribe(typeUrl, { wildcard: true })
        return
      case 'api': {
        const client = this.openClient(source.api, typeUrl, noSecrets)
        client?.subscribe(typeUrl, { wildcard: true })
        return
      }
      case 'path': {
        const file = new FileSubscription({
          registry: schemaRegistry(),
          path: source.path,
          watchedDirectory: source.watchedDirectory === '' ? undefined : source.watchedDirectory,
          typeUrl,
          onUpdate: update => this.onUpdate(update, noSecrets),
          logger: this.logger(),
        })
        this.files.push(file)
        void file.start()
      }
    }
  }

  /** `answers`: which secrets are asked for there. The same name from another source is another secret. */
  private openClient(api: ApiConfigSource, onlyType: string | undefined, answers: SecretFilter): AdsClient | null {
    const targets: AdsTarget[] = []
    for (const service of api.services) {
      const metadata = service.initialMetadata.map(entry => [entry.key, entry.value] as const)
      if (service.target !== '') targets.push({ address: service.target, metadata })
      else {
        const cluster = this.options.bootstrap.clusters.find(candidate => candidate.name === service.cluster)
        if (cluster !== undefined) targets.push(...targetOfCluster(cluster, metadata, source => this.server.readSource(source)))
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
      onUpdate: update => this.onUpdate(update, answers),
      onStatus: status => this.onStatus(status),
      random: this.options.random,
      logger: this.logger(),
    })
    this.clients.push(client)
    return client
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

  private syncNames(): void {
    if (this.closed || this.ads === null) return
    this.diff(ENDPOINT_TYPE, this.server.clusters.edsNames())
    this.diff(ROUTE_TYPE, this.server.routes.names())
  }

  private diff(typeUrl: string, names: readonly string[]): void {
    const known = this.wanted.get(typeUrl)!
    const next = new Set(names)
    const added = names.filter(name => !known.has(name))
    const gone = [...known].filter(name => !next.has(name))
    this.wanted.set(typeUrl, next)
    if (added.length > 0) this.ads!.subscribe(typeUrl, added)
    if (gone.length > 0) {
      this.ads!.unsubscribe(typeUrl, gone)
      for (const name of gone) this.options.tracked.remove(typeUrl, name)
    }
  }

  private wantSecret(ref: SdsSecretRef): void {
    switch (ref.source.kind) {
      case 'ads':
        if (this.ads !== null && !this.wanted.get(SECRET_TYPE)!.has(ref.name)) {
          this.wanted.get(SECRET_TYPE)!.add(ref.name)
          this.ads.subscribe(SECRET_TYPE, [ref.name])
        }
        return
      case 'grpc': {
        const { cluster } = ref.source
        const key = secretClientKey(ref.source)
        let client = this.secretClients.get(key)
        if (client === undefined) {
          const service = { cluster, target: '', authority: '', timeoutMs: null, initialMetadata: [] }
          const opened = this.openClient(
            { apiType: ref.source.delta ? 'DELTA_GRPC' : 'GRPC', services: [service], rateLimit: null, setNodeOnFirstMessageOnly: false },
            SECRET_TYPE,
            other => other.source.kind === 'grpc' && other.source.cluster === cluster,
          )
          if (opened === null) {
            this.options.log('error', `SDS: no static cluster '${cluster}' to reach the server of secret '${ref.name}'`)
            return
          }
          client = opened
          this.secretClients.set(key, client)
          client.subscribe(SECRET_TYPE, [ref.name])
          client.start()
          return
        }
        client.subscribe(SECRET_TYPE, [ref.name])
        return
      }
      case 'file': {
        const key = secretKey(ref)
        const file = new FileSubscription({
          registry: schemaRegistry(),
          path: ref.source.path,
          typeUrl: SECRET_TYPE,
          onUpdate: update => this.onUpdate(update, other => secretKey(other) === key),
          logger: this.logger(),
        })
        this.secretFiles.set(key, file)
        void file.start()
        return
      }
      case 'static':
        return
    }
  }

  private dropSecret(ref: SdsSecretRef): void {
    if (ref.source.kind === 'ads' && this.ads !== null) {
      this.wanted.get(SECRET_TYPE)!.delete(ref.name)
      this.ads.unsubscribe(SECRET_TYPE, [ref.name])
    } else if (ref.source.kind === 'grpc') this.secretClients.get(secretClientKey(ref.source))?.unsubscribe(SECRET_TYPE, [ref.name])
    else if (ref.source.kind === 'file') {
      const key = secretKey(ref)
      this.secretFiles.get(key)?.close()
      this.secretFiles.delete(key)
    }
  }

  // ---- updates ----------------------------------------------------------------------------------------------------------------

  private onUpdate(update: XdsUpdate, answers: SecretFilter): XdsVerdict | undefined {
    const startedAt = performance.now()
    this.applying = true
    const rejected: { name: string; errors: readonly ConfigError[] }[] = []
    const stats = this.statsOf(update.typeUrl)
    for (const resource of update.resources) {
      const errors = this.applyResource(update.typeUrl, resource, answers)
      if (errors.length > 0) {
        rejected.push({ name: resource.name, errors })
        this.options.tracked.refuse(update.typeUrl, resource, errors)
        if (update.typeUrl === ROUTE_TYPE) this.server.routes.refused(resource.name)
        this.options.log('warn', `refused ${shortType(update.typeUrl)} ${resource.name}`, { errors })
      } else this.options.tracked.accept(update.typeUrl, resource)
    }
    for (const name of update.removed) this.removeResource(update.typeUrl, name)
    if (stats !== null) {
      stats.update_attempt.value++
      if (rejected.length > 0) stats.update_rejected.value++
      else {
        stats.update_success.value++
        stats.update_time.value = Date.now()
        stats.version_text.value = update.systemVersion
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

  /** The control plane sends routes and listeners once CDS is acknowledged: while a cluster has no endpoints yet, the ACK waits. */
  private holdCdsAck(): void {
    if (this.ads === null || this.releaseCdsAck !== null || this.server.clusters.warmingCount === 0) return
    this.releaseCdsAck = this.ads.pause(CLUSTER_TYPE)
    const timer = setTimeout(() => this.finishCdsHold(), MAX_CDS_HOLD_MS)
    timer.unref()
    this.timers.push(timer)
  }

  private resumeCdsAck(): void {
    if (this.server.clusters.warmingCount === 0) this.finishCdsHold()
  }

  private finishCdsHold(): void {
    const release = this.releaseCdsAck
    this.releaseCdsAck = null
    release?.()
  }

  private applyResource(typeUrl: string, resource: XdsUpdate['resources'][number], answers: SecretFilter): readonly ConfigError[] {
    const { server } = this
    const bytes = resource.any.value
    switch (typeUrl) {
      case CLUSTER_TYPE: {
        const decoded = decodeCluster(bytes)
        return decoded.ok ? server.applyCluster(decoded.value) : decoded.errors
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
        const errors = server.checkListener(decoded.value)
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
        const refs = server.secrets.wanted().filter(ref => ref.name === resource.name && answers(ref))
        return refs.map(ref => server.applySecret(ref, decoded.value)).find(errors => errors.length > 0) ?? []
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
  }

  private statsOf(typeUrl: string): SubscriptionStats | null {
    return this.subscriptions.get(typeUrl) ?? null
  }
}

/** A cluster that never gets its endpoints must not hold the stream for ever: its own initial_fetch_timeout is 15 s by default. */
const MAX_CDS_HOLD_MS = 15_000

function secretClientKey(source: { readonly cluster: string; readonly delta: boolean }): string {
  return `${source.cluster} ${source.delta}`
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
