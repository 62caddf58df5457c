// The hosts that a health discovery server wants checked: clusters of their own beside those of the proxy, which no route can name. Kept and
// asked by health-reporter.ts. Invariant: a host, and what its checks have found, outlives a new specifier that still has it and its checks.

import type { Cluster } from '../../model/cluster.js'
import type { ConfigError } from '../../model/config-error.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import { type ClusterRegistry, MAX_CLUSTERS } from '../../upstream/cluster/cluster-registry.js'
import { HealthFlag, type Host } from '../../upstream/host/host.js'
import type { ClusterHealth, ReportedHealth } from '../../xds/health-discovery/health-report.js'

/** What holds for every cluster of the proxy, wherever it comes from (ConfigChanges). As in Envoy, not the bind address of the manager's. */
export interface ClusterRules {
  checkCluster(cluster: Cluster): readonly ConfigError[]
}

export class CheckedClusters {
  private readonly clusters: ClusterRegistry
  private readonly rules: ClusterRules
  /** In the specifier's order. */
  private names: readonly string[] = []

  constructor(clusters: ClusterRegistry, rules: ClusterRules) {
    this.clusters = clusters
    this.rules = rules
  }

  /** Everything that is to be checked from now on; with errors, what was checked before still is. */
  replace(wanted: readonly Cluster[]): readonly ConfigError[] {
    if (wanted.length > MAX_CLUSTERS)
      return [{ path: 'cluster_health_checks', reason: `more than ${MAX_CLUSTERS} clusters (MAX_CLUSTERS)` }]
    const errors = wanted.flatMap((cluster, i) =>
      this.rules.checkCluster(cluster).map(({ path, reason }) => ({ path: `cluster_health_checks[${i}].${path}`, reason })),
    )
    if (errors.length > 0) return errors
    const names = new Set(wanted.map(({ name }) => name))
    for (const name of this.names) if (!names.has(name)) this.clusters.remove(name)
    this.names = [...names]
    for (const cluster of wanted) this.clusters.apply(cluster)
    return []
  }

  report(): ClusterHealth[] {
    return this.names.flatMap(name => {
      const cluster = this.clusters.get(name) ?? this.clusters.warming(name)
      return cluster === undefined ? [] : [{ name, localities: localitiesOf(cluster) }]
    })
  }

  close(): void {
    this.names = []
    this.clusters.close()
  }
}

function localitiesOf(cluster: UpstreamCluster): ClusterHealth['localities'] {
  return cluster.hostSets.flatMap(({ localities }) =>
    localities.map(({ locality, hosts }) => ({ locality, hosts: hosts.map(host => ({ address: host.address, health: healthOf(host) })) })),
  )
}

/** As Envoy: a degraded host is not healthy either. */
function healthOf(host: Host): ReportedHealth {
  if (host.health === 'healthy') return 'HEALTHY'
  return host.hasFlag(HealthFlag.ACTIVE_HC_TIMEOUT) ? 'TIMEOUT' : 'UNHEALTHY'
}
