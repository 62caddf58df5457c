// Config as it comes, from the bootstrap and over xDS, taken or refused: each apply* judges what only the running program can (key
// material, log files, clusters that a route names), applies, and returns its errors; a refused resource leaves its last good version
// serving. Called by Server.start for what is static and by the resource kinds of src/sidecar for what is not.

import { isDeepStrictEqual } from 'node:util'
import type { Steps } from '../io/slices.js'
import type { LogSinks } from '../l7/log/access-log-sink.js'
import type { Runtime } from '../l7/match/runtime-fraction.js'
import { compileRouteTable } from '../l7/route/route-table.js'
import { clusterManagerStats, inflatedClusters } from '../metrics/stat-names.js'
import type { StatsStore } from '../metrics/stats-store.js'
import type { Address } from '../model/address.js'
import type { Bootstrap } from '../model/bootstrap.js'
import type { Cluster } from '../model/cluster.js'
import type { ConfigError } from '../model/config-error.js'
import type { EndpointAssignment } from '../model/endpoint.js'
import type { Listener } from '../model/listener.js'
import type { RouteTable } from '../model/route.js'
import type { SdsSecretRef, Secret, UpstreamTls } from '../model/tls.js'
import type { SecretRegistry } from '../mtls/secrets/secret-registry.js'
import { checkSecret } from '../mtls/tls/tls-checks.js'
import type { TlsContexts } from '../mtls/tls/tls-contexts.js'
import type { ClusterRegistry } from '../upstream/cluster/cluster-registry.js'
import type { ListenerRegistry } from './listener/listener-registry.js'
import type { RouteRegistry } from './route-registry.js'

export interface ConfigHolders {
  readonly sinks: LogSinks
  readonly store: StatsStore
  readonly clusters: ClusterRegistry
  readonly listeners: ListenerRegistry
  readonly routes: RouteRegistry
  readonly secrets: SecretRegistry
  readonly tlsContexts: TlsContexts
  readonly runtime: Runtime
}

export class ConfigChanges {
  private readonly to: ConfigHolders
  /** Of clusters without an upstream_bind_config. */
  private readonly bindSource: Address | null
  private readonly stats
  private readonly inflated

  constructor(holders: ConfigHolders, bindSource: Address | null) {
    this.to = holders
    this.bindSource = bindSource
    this.stats = clusterManagerStats(holders.store)
    this.inflated = inflatedClusters(holders.store)
    holders.clusters.onWarm(() => this.refreshClusterGauges())
    holders.clusters.onRemoved(() => this.refreshClusterGauges())
  }

  /** The static resources. Errors name the resource by its bootstrap path; with errors no listener has been bound. */
  async applyStatic({ secrets, clusters, listeners, outlierEventLog }: Bootstrap): Promise<ConfigError[]> {
    const errors = this.checkEventLog(outlierEventLog, 'cluster_manager.outlier_detection')
    for (const secret of secrets) this.to.secrets.setStatic(secret)
    clusters.forEach((cluster, i) => {
      errors.push(...below(`static_resources.clusters[${i}]`, this.applyCluster(cluster, true)))
    })
    for (const [i, listener] of listeners.entries()) {
      const refused = errors.length > 0 ? this.to.listeners.check(listener) : await this.to.listeners.apply(listener, true)
      errors.push(...below(`static_resources.listeners[${i}]`, refused))
    }
    return errors
  }

  /** What applyStatic would refuse; nothing is bound or dialled (--mode validate). */
  checkStatic({ secrets, clusters, listeners, outlierEventLog }: Bootstrap): ConfigError[] {
    for (const secret of secrets) this.to.secrets.setStatic(secret)
    return [
      ...this.checkEventLog(outlierEventLog, 'cluster_manager.outlier_detection'),
      ...clusters.flatMap((cluster, i) => below(`static_resources.clusters[${i}]`, this.checkCluster(cluster))),
      ...listeners.flatMap((listener, i) => below(`static_resources.listeners[${i}]`, this.to.listeners.check(listener))),
    ]
  }

  applyCluster(given: Cluster, isStatic = false): ConfigError[] {
    const { clusters } = this.to
    const cluster = given.bindSource === null && this.bindSource !== null ? { ...given, bindSource: this.bindSource } : given
    const errors = this.checkCluster(cluster)
    if (errors.length > 0) return errors
    const present = clusters.warming(cluster.name) ?? clusters.get(cluster.name)
    const refused = clusters.apply(cluster, isStatic)
    if (refused !== null) return [{ path: 'name', reason: refused }]
    this.showClusterStats(cluster)
    if (present !== undefined && isDeepStrictEqual(present.config, cluster)) return []
    if (present === undefined) this.stats.cluster_added.value++
    else this.stats.cluster_modified.value++
    this.refreshClusterGauges()
    return []
  }

  /** What of it cannot be used, for reasons that its text does not show. */
  checkCluster({ tls, transportSocketMatches, healthChecks }: Cluster): ConfigError[] {
    const checkTls = (model: UpstreamTls | null, at: string): ConfigError[] =>
      model === null ? [] : below(`${at}.typed_config`, this.to.tlsContexts.check(model))
    return [
      ...checkTls(tls, 'transport_socket'),
      ...transportSocketMatches.flatMap((match, i) => checkTls(match.tls, `transport_socket_matches[${i}].transport_socket`)),
      ...healthChecks.flatMap(({ events }, i) => (events?.paths ?? []).flatMap(path => this.checkEventLog(path, `health_checks[${i}]`))),
    ]
  }

  private checkEventLog(path: string | undefined, at: string): ConfigError[] {
    const problem = path === undefined ? null : this.to.sinks.problem({ kind: 'file', path })
    return problem === null ? [] : [{ path: `${at}.event_log_path`, reason: problem }]
  }

  /** The groups that a cluster has by its configuration are there from the start, as in Envoy: dashboards and alerts need the zeros. */
  private showClusterStats({ name, tls, outlier, discovery }: Cluster): void {
    const { clusters } = this.to
    const stats = (clusters.warming(name) ?? clusters.get(name))?.stats
    if (stats === undefined) return
    if (tls !== null) void stats.tls
    if (outlier !== null) void stats.outlierDetection
    if (discovery.kind === 'eds') void stats.eds
  }

  removeCluster(name: string): void {
    this.to.clusters.remove(name)
    this.stats.cluster_removed.value++
    this.refreshClusterGauges()
  }

  applyAssignment(assignment: EndpointAssignment): void {
    this.to.clusters.applyAssignment(assignment)
  }

  /** The errors may come a moment later: an address that is new is bound first. What needs no binding is in use when this returns. */
  applyListener(listener: Listener): Promise<readonly ConfigError[]> {
    return this.to.listeners.apply(listener)
  }

  removeListener(name: string): void {
    this.to.listeners.remove(name)
    this.to.clusters.releaseUnreferenced()
  }

  /** Refused with validate_clusters, when it names a cluster that is not known. */
  *applyRoute(table: RouteTable): Steps<ConfigError[]> {
    const { clusters, routes, runtime } = this.to
    if (table.validateClusters) {
      const unknown = [...compileRouteTable(table, { runtime }).clusterNames].filter(
        name => clusters.get(name) === undefined && clusters.warming(name) === undefined,
      )
      if (unknown.length > 0)
        return unknown.map(name => ({ path: 'virtual_hosts', reason: `unknown cluster '${name}' (validate_clusters)` }))
    }
    yield* routes.apply(table)
    return []
  }

  applySecret(ref: SdsSecretRef, secret: Secret): readonly ConfigError[] {
    const errors = checkSecret(secret, this.to.secrets)
    if (errors.length === 0) this.to.secrets.setSecret(ref, secret)
    return errors
  }

  private refreshClusterGauges(): void {
    const { clusters } = this.to
    this.stats.active_clusters.value = clusters.configuredCount
    this.stats.warming_clusters.value = clusters.warmingCount
    for (const thread of this.inflated) thread.clusters_inflated.value = this.stats.active_clusters.value
  }
}

function below(prefix: string, errors: readonly ConfigError[]): ConfigError[] {
  return errors.map(({ path, reason }) => ({ path: path === '' ? prefix : `${prefix}.${path}`, reason }))
}
