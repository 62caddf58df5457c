// What the clusters of one proxy need of the program around them: time, chance, stats, the network. Filled in by the proxy (and by
// tests, which move the time by hand); ClusterRegistry adds `find` and hands it to every UpstreamCluster.

import type { Clock } from '../../io/clock.js'
import type { ClusterStats } from '../../metrics/stat-names.js'
import type { Cluster } from '../../model/cluster.js'
import type { Locality } from '../../model/endpoint.js'
import type { FindCluster } from '../balance/aggregate-load-balancer.js'
import type { NameResolver } from '../dns/dns-resolver.js'
import type { EventLog } from '../health/event-log.js'
import type { HealthCheckDial, HealthCheckTransport } from '../health/health-check-transport.js'
import type { RemoteHealth } from '../health/health-verdicts.js'
import type { HostCluster } from '../host/host.js'

/** The secrets by SDS of TLS contexts of clusters. */
export interface ClusterSecrets {
  /** Names of those of the config that have not come, and may be waited for. Nothing is asked for. */
  missing(config: Cluster): readonly string[]
  /** Makes the TLS contexts, so that their secrets are asked for as long as the cluster has this config. */
  hold(cluster: HostCluster): void
  /** Calls `done` once none is missing, at once where none is. Returns the way to stop waiting. */
  whenComplete(config: Cluster, done: () => void): () => void
}

export interface ClusterDeps {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Runs a step soon, outside the present call; `setImmediate` outside tests. */
  readonly defer: (step: () => void) => void
  readonly log: (level: 'info' | 'warn', message: string) => void
  /** Handles of `cluster.<alt_stat_name or name>.`. */
  readonly statsOf: (statName: string) => ClusterStats
  /** `cluster_manager.cluster_updated`: the hosts of a cluster in use, or their health, have changed. Absent: nobody counts. */
  readonly updates?: { value: number }
  readonly resolver: NameResolver
  /** null: HTTP and gRPC health checks fail. */
  readonly healthCheckTransport: HealthCheckTransport | null
  readonly healthCheckDial: HealthCheckDial
  /** Of a file of health check events; absent: nowhere. */
  readonly openEventLog?: (path: string) => EventLog
  /** Of outlier detection's events; absent: nowhere. */
  readonly openOutlierLog?: () => EventLog
  /** Absent: secrets are waited for by nobody. */
  readonly secrets?: ClusterSecrets
  /** Another process checks and ejects the hosts; absent: this one does. */
  readonly remoteHealth?: RemoteHealth
  /** Another cluster, for aggregates and zone-aware routing. */
  readonly find: FindCluster
  /** Where this proxy runs (node.locality) and the cluster it belongs to (cluster_manager.local_cluster_name). */
  readonly localLocality: Locality | null
  readonly localClusterName: string | null
  /** These stand beside clusters that may have the same names (health discovery): their hosts are no members of those. Absent: false. */
  readonly apart?: boolean
}
