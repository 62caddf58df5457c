// What a source of xDS resources names, opened: streams (ADS or of one type), polls, files, a SPIFFE Workload API. Which of them are open, how they
// reach their servers, and what the gauges say of their streams. Opened and listened to by XdsBridge and NamedSubscriptions.

import { systemClock } from '../io/clock.js'
import { googleGrpcStats } from '../metrics/reporting-stats.js'
import type { AdsStats } from '../metrics/subscription-stats.js'
import type { Bootstrap } from '../model/bootstrap.js'
import type { Cluster } from '../model/cluster.js'
import type { ApiConfigSource, ConfigSource } from '../model/config-source.js'
import type { UpstreamTlsContext } from '../mtls/tls/upstream-tls.js'
import type { Server, ServerLog } from '../proxy/server.js'
import {
  AdsClient,
  type AdsClientStatus,
  type AdsTarget,
  type AdsTargetSource,
  type XdsUpdate,
  type XdsVerdict,
} from '../xds/client/client.js'
import type { DiscoveryClient } from '../xds/client/client-options.js'
import { FileSubscription } from '../xds/client/file-subscription.js'
import { type FetchOutcome, RestClient } from '../xds/client/rest-client.js'
import type { Node } from '../xds/gen/envoy/config/core/v3/base_pb.js'
import { discoveryResponseFromJson } from '../xds/resources/discovery-response.js'
import { SECRET_TYPE } from '../xds/type-urls.js'
import { targetOfGoogle, targetsOfCluster } from './grpc-target.js'
import { postJson } from './post-json.js'
import { isWorkloadApi } from './workload-api/endpoint-socket.js'
import { WorkloadApiClient } from './workload-api/workload-api-client.js'

export interface XdsSourcesOptions {
  readonly bootstrap: Bootstrap
  readonly server: Server
  readonly stats: AdsStats
  readonly log: ServerLog
  readonly random: () => number
  /** By the target URI of a google_grpc service: servers that whoever runs this proxy chooses. */
  readonly managementServers?: ReadonlyMap<string, AdsTargetSource>
  onUpdate(update: XdsUpdate, source: ConfigSource): XdsVerdict | undefined | Promise<XdsVerdict | undefined>
  /** A stream could not be had, or has ended. */
  onUnreachable(): void
  /** What is wanted of a file of secrets and is not in it. */
  readonly secrets: {
    lackedBy(source: ConfigSource, update: XdsUpdate): readonly string[]
    unreadIn(source: ConfigSource): readonly string[]
  }
}

export class XdsSources {
  /** Who asks. */
  node: Node
  private readonly options: XdsSourcesOptions
  /** The streams among `open`. */
  private readonly clients: AdsClient[] = []
  private readonly open = new Set<DiscoveryClient>()

  constructor(options: XdsSourcesOptions, node: Node) {
    this.options = options
    this.node = node
  }

  close(): void {
    for (const client of this.open) client.close()
  }

  openFile(source: Extract<ConfigSource, { kind: 'path' }>, typeUrl: string): FileSubscription {
    const { path, watchedDirectory } = source
    // Secrets that a file lacks, or that cannot be read, hold nothing up.
    const isOfSecrets = typeUrl === SECRET_TYPE
    return new FileSubscription({
      path,
      watchedDirectory: watchedDirectory === '' ? undefined : watchedDirectory,
      typeUrl,
      readJson: discoveryResponseFromJson,
      onUpdate: update =>
        this.options.onUpdate(isOfSecrets ? { ...update, absent: this.options.secrets.lackedBy(source, update) } : update, source),
      onFailure: () => {
        if (!isOfSecrets) return
        void this.options.onUpdate(
          { typeUrl, resources: [], removed: [], absent: this.options.secrets.unreadIn(source), systemVersion: '' },
          source,
        )
      },
      logger: this.logger(),
    })
  }

  closeClient(client: DiscoveryClient): void {
    client.close()
    this.open.delete(client)
    const at = this.clients.indexOf(client as AdsClient)
    if (at >= 0) this.clients.splice(at, 1)
  }

  openPoll(
    source: Extract<ConfigSource, { kind: 'rest' }>,
    typeUrl: string,
    onFetched: (outcome: FetchOutcome) => void = () => {},
  ): RestClient {
    const { cluster, refreshDelayMs, requestTimeoutMs } = source
    const client = new RestClient({
      typeUrl,
      node: this.node,
      refreshDelayMs,
      post: (path, body, callback) =>
        postJson(this.options.server.httpClient, cluster, { path, body, timeoutMs: requestTimeoutMs }, callback),
      readJson: discoveryResponseFromJson,
      onUpdate: update => this.options.onUpdate(update, source),
      onFetched,
      clock: systemClock,
      random: this.options.random,
      logger: this.logger(),
    })
    this.open.add(client)
    return client
  }

  openClient(api: ApiConfigSource, onlyType: string | undefined, source: ConfigSource): AdsClient | null {
    const chosen = api.services.map(({ target }) => this.options.managementServers?.get(target)).find(source => source !== undefined)
    const targets = chosen ?? this.targetsOf(api)
    if (Array.isArray(targets) && targets.length === 0) return null
    const client = this.newClient(targets, api, onlyType, source)
    this.clients.push(client)
    this.open.add(client)
    return client
  }

  private targetsOf(api: ApiConfigSource): AdsTarget[] {
    const targets: AdsTarget[] = []
    for (const service of api.services) {
      if (service.target !== '')
        targets.push(
          targetOfGoogle(
            service,
            source => this.options.server.readSource(source),
            prefix => googleGrpcStats(this.options.server.store, prefix),
          ),
        )
      else {
        const cluster = this.options.bootstrap.clusters.find(candidate => candidate.name === service.cluster)
        if (cluster !== undefined) targets.push(...targetsOfCluster(cluster, service, () => this.tlsOf(service.cluster)))
      }
    }
    return targets
  }

  private newClient(
    targets: readonly AdsTarget[] | AdsTargetSource,
    api: ApiConfigSource,
    onlyType: string | undefined,
    source: ConfigSource,
  ): AdsClient {
    return new AdsClient({
      targets,
      node: this.node,
      apiType: api.apiType,
      ...(onlyType === undefined ? {} : { onlyType }),
      setNodeOnFirstMessageOnly: api.setNodeOnFirstMessageOnly,
      ...(api.rateLimit === null ? {} : { rateLimit: api.rateLimit }),
      onUpdate: update => this.options.onUpdate(update, source),
      onStatus: status => this.onStatus(status),
      random: this.options.random,
      logger: this.logger(),
    })
  }

  /** The static cluster that a source asks, where it is a SPIFFE Workload API. */
  workloadApiOf(source: ConfigSource): Cluster | undefined {
    const service = source.kind === 'api' ? source.api.services[0] : undefined
    return this.options.bootstrap.clusters.find(cluster => cluster.name === service?.cluster && isWorkloadApi(cluster))
  }

  /** Null: the source is none, or not asked for secrets. */
  openWorkloadApi(source: Extract<ConfigSource, { kind: 'api' }>, typeUrl: string): WorkloadApiClient | null {
    const cluster = typeUrl === SECRET_TYPE ? this.workloadApiOf(source) : undefined
    if (cluster === undefined) return null
    const targets = targetsOfCluster(cluster, source.api.services[0]!, () => this.tlsOf(cluster.name))
    if (targets.length === 0) return null
    const client = new WorkloadApiClient({
      targets,
      onUpdate: update => this.options.onUpdate(update, source),
      clock: systemClock,
      random: this.options.random,
      logger: this.logger(),
    })
    this.open.add(client)
    return client
  }

  private tlsOf(clusterName: string): UpstreamTlsContext | null {
    const cluster = this.options.server.clusters.get(clusterName) ?? this.options.server.clusters.warming(clusterName)
    return cluster === undefined || cluster.config.tls === null
      ? null
      : this.options.server.tlsContexts.upstream(cluster.config.tls, cluster)
  }

  private logger() {
    const { log } = this.options
    return {
      info: (fields: object, message: string): void => log('info', message, fields as Record<string, unknown>, 'config'),
      warn: (fields: object, message: string): void => log('warn', message, fields as Record<string, unknown>, 'config'),
    }
  }

  private onStatus(status: AdsClientStatus): void {
    const { controlPlane } = this.options.stats
    controlPlane.connected_state.value = this.clients.some(client => client.status().connected) ? 1 : 0
    this.options.stats.identifier.value = status.identifier
    let limited = 0
    let pending = 0
    for (const client of this.clients) {
      limited += client.controlPlane.rateLimitEnforced
      pending += client.controlPlane.pendingRequests
    }
    controlPlane.rate_limit_enforced.value = limited
    controlPlane.pending_requests.value = pending
    if (!status.connected && status.lastFailure !== null) this.options.onUnreachable()
  }
}
