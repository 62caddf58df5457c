// The hosts that a health discovery server wants checked: clusters of their own beside those of the proxy, which no route can name. Kept and
// asked by health-reporter.ts. Invariant: a host, and what its checks have found, outlives a new specifier that still has it and its checks.

import type { Cluster } from '../../model/cluster.js'
import type { ConfigError } from '../../model/config-error.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { ClusterRegistry } from '../../upstream/cluster/cluster-registry.js'
import { HealthFlag, type Host } from '../../upstream/host/host.js'
import type { ClusterHealth, ReportedHealth } from '../../xds/health-discovery/health-report.js'

export class CheckedClusters {
  private readonly clusters: ClusterRegistry
  /** In the specifier's order. */
  private names: readonly string[] = []

  constructor(clusters: ClusterRegistry) {
    this.clusters = clusters
  }

  /** Everything that is to be checked from now on. */
  replace(wanted: readonly Cluster[]): readonly ConfigError[] {
    const names = new Set(wanted.map(({ name }) => name))
    for (const name of this.names) if (!names.has(name)) this.clusters.remove(name)
    this.names = [...names]
    return wanted.flatMap((cluster, i) => {
      const refused = this.clusters.apply(cluster)
      return refused === null ? [] : [{ path: `cluster_health_checks[${i}]`, reason: refused }]
    })
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
