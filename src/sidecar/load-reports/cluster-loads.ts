// The load of clusters since they were last reported: what their hosts count anyhow, less what it was then. Kept and asked by
// load-reporter.ts. What is reported of which cluster is as in Envoy 1.40; for our own control plane also latencies and failed connections,
// and nothing of a cluster that had nothing to do. Invariant: a request path pays nothing for it, and what is remembered is bounded by the
// clusters and hosts that there are.

import { bucketEnds } from '../../metrics/histogram.js'
import type { UpstreamCluster } from '../../upstream/cluster/cluster.js'
import type { Host } from '../../upstream/host/host.js'
import type { LocalityHosts } from '../../upstream/host/host-set.js'
import {
  type ClusterLoad,
  type EndpointLoad,
  LATENCY_BOUNDS_MS,
  type LoadMetric,
  type LocalityLoad,
  OWN_METRICS,
  type ReportTerms,
  type RequestLoad,
} from '../../xds/load-reports/load-report.js'

/** The clusters of the proxy: ClusterRegistry. */
export interface ReportedClusters {
  get(name: string): UpstreamCluster | undefined
  names(): string[]
}

/** What a cluster had. */
interface ClusterCounted {
  /** Clock ms: its interval began then. */
  since: number
  overflows: number
  unreached: number
  readonly drops: Map<string, number>
  /** Requests by the first bound that they took no longer than; null: none was reported yet. */
  latencies: Float64Array | null
  finished: number
}

/** What a cluster's or a group's hosts have counted since, summed up. */
interface HostSums extends RequestLoad {
  connectFailures: number
}

const LATENCY_NAMES = [...LATENCY_BOUNDS_MS, Number.POSITIVE_INFINITY].map((_, n) => `${OWN_METRICS.latencyPrefix}${n}`)
const LATENCY_ENDS = bucketEnds(LATENCY_BOUNDS_MS)

export class ClusterLoads {
  private readonly clusters: ReportedClusters
  private readonly tracked = new Map<string, ClusterCounted>()
  /** Of the host that was taken last: a report looks at thousands. */
  private readonly host: HostSums = { successes: 0, errors: 0, active: 0, issued: 0, connectFailures: 0 }
  private failures = 0
  private readonly latencies = new Float64Array(LATENCY_NAMES.length)

  constructor(clusters: ReportedClusters) {
    this.clusters = clusters
  }

  /** An interval begins: clusters that are not followed yet count from now, those that are not wanted any more are forgotten. */
  follow({ clusters }: ReportTerms, now: number): void {
    const wanted = new Set(clusters === 'all' ? this.clusters.names().filter(name => this.clusters.get(name) !== undefined) : clusters)
    for (const name of this.tracked.keys()) if (!wanted.has(name)) this.tracked.delete(name)
    for (const name of wanted) if (!this.tracked.has(name)) this.tracked.set(name, this.begin(this.clusters.get(name), now))
  }

  /** What was counted of each cluster since its last report; that begins anew. */
  take({ perEndpoint }: ReportTerms, own: boolean, now: number): ClusterLoad[] {
    const loads: ClusterLoad[] = []
    for (const [name, counted] of this.tracked) {
      const cluster = this.clusters.get(name)
      if (cluster === undefined) continue
      const load = this.takeCluster(cluster, counted, perEndpoint, own, now)
      if (!own || load.localities.length > 0 || load.dropped > 0 || load.droppedByCategory.length > 0) loads.push(load)
    }
    return loads
  }

  /** Of one that is not there yet everything will be reported. */
  private begin(cluster: UpstreamCluster | undefined, since: number): ClusterCounted {
    const counted: ClusterCounted = { since, overflows: 0, unreached: 0, drops: new Map(), latencies: null, finished: 0 }
    if (cluster === undefined) return counted
    for (const host of cluster.hosts) this.takeHost(host)
    counted.overflows = overflowsOf(cluster)
    counted.unreached = unreachedOf(cluster)
    for (const [category, count] of cluster.drops) counted.drops.set(category, count)
    this.takeLatencies(cluster, counted, [])
    return counted
  }

  private takeCluster(cluster: UpstreamCluster, counted: ClusterCounted, perEndpoint: boolean, own: boolean, now: number): ClusterLoad {
    const localities: LocalityLoad[] = []
    let connectFailures = 0
    for (const { priority, localities: groups } of cluster.priorities.sets) {
      for (const group of groups) {
        const load = this.takeLocality(group, priority, perEndpoint)
        const failures = own ? this.failures : 0
        connectFailures += failures
        if (load.successes + load.errors + load.active + load.issued + failures > 0) localities.push(load)
      }
    }
    const overflows = overflowsOf(cluster)
    let dropped = Math.max(0, overflows - counted.overflows)
    const droppedByCategory: { category: string; count: number }[] = []
    for (const [category, count] of cluster.drops) {
      const before = counted.drops.get(category) ?? 0
      // The cluster was made anew, and began at none.
      const since = count < before ? count : count - before
      if (since > 0) droppedByCategory.push({ category, count: since })
      dropped += since
      counted.drops.set(category, count)
    }
    const unreached = unreachedOf(cluster)
    const lost = own ? Math.max(0, unreached - counted.unreached) : 0
    if (lost > 0 && localities.length === 0) localities.push(noLocality())
    // Of the whole cluster, and told with its first locality.
    if (own && localities.length > 0) {
      const { metrics } = localities[0]!
      if (lost > 0) metrics.push({ name: OWN_METRICS.unreached, count: lost })
      if (connectFailures > 0) metrics.push({ name: OWN_METRICS.connectFailures, count: connectFailures })
      this.takeLatencies(cluster, counted, metrics)
    }
    const intervalMs = now - counted.since
    counted.since = now
    counted.overflows = overflows
    counted.unreached = unreached
    return { name: cluster.name, serviceName: edsNameOf(cluster), localities, dropped, droppedByCategory, intervalMs }
  }

  /** Its connections that could not be made are in `failures`, until the next is taken. */
  private takeLocality({ hosts, locality }: LocalityHosts, priority: number, perEndpoint: boolean): LocalityLoad {
    const endpoints: EndpointLoad[] = []
    const sums: LocalityLoad = { successes: 0, errors: 0, active: 0, issued: 0, locality, priority, endpoints, metrics: [] }
    this.failures = 0
    for (const host of hosts) {
      const { successes, errors, active, issued, connectFailures } = this.takeHost(host)
      this.failures += connectFailures
      if (successes + errors + active + issued === 0) continue
      sums.successes += successes
      sums.errors += errors
      sums.active += active
      sums.issued += issued
      if (perEndpoint) endpoints.push({ successes, errors, active, issued, address: host.address })
    }
    return sums
  }

  /** Good until the next host is taken. */
  private takeHost(host: Host): HostSums {
    const { stats, elsewhere } = host
    const successes = stats.rqSuccess + (elsewhere?.rqSuccess ?? 0)
    const errors = stats.rqError + (elsewhere?.rqError ?? 0)
    const issued = stats.rqTotal + (elsewhere?.rqTotal ?? 0)
    const connectFailures = stats.cxConnectFail + (elsewhere?.cxConnectFail ?? 0)
    const before = (host.reported ??= { successes: 0, errors: 0, issued: 0, connectFailures: 0 })
    // Counts fall where a worker process has died with some of them.
    const since = this.host
    since.successes = Math.max(0, successes - before.successes)
    since.errors = Math.max(0, errors - before.errors)
    since.active = host.activeRequests + (elsewhere?.activeRequests ?? 0)
    since.issued = Math.max(0, issued - before.issued)
    since.connectFailures = Math.max(0, connectFailures - before.connectFailures)
    before.successes = successes
    before.errors = errors
    before.issued = issued
    before.connectFailures = connectFailures
    return since
  }

  /** Adds how many requests fell between which bounds since the last time. */
  private takeLatencies(cluster: UpstreamCluster, counted: ClusterCounted, metrics: LoadMetric[]): void {
    const times = cluster.traffic.requestTimes
    if (times === null || times.sampleCount === counted.finished) return
    const { latencies } = this
    latencies.fill(0)
    times.countInto(LATENCY_ENDS, latencies)
    counted.latencies ??= new Float64Array(latencies.length)
    for (let n = 0; n < latencies.length; n++) {
      const since = latencies[n]! - counted.latencies[n]!
      if (since > 0) metrics.push({ name: LATENCY_NAMES[n]!, count: since })
    }
    counted.latencies.set(latencies)
    counted.finished = times.sampleCount
  }
}

/** Requests that a circuit breaker refused. */
function overflowsOf({ traffic: { main } }: UpstreamCluster): number {
  return main.upstream_rq_pending_overflow.value + main.upstream_rq_active_overflow.value
}

/** What found no host, which so is in no host's counts. */
function unreachedOf({ traffic: { main } }: UpstreamCluster): number {
  return main.upstream_cx_none_healthy.value
}

/** Of a cluster of which no host had anything to do. */
function noLocality(): LocalityLoad {
  const locality = { region: '', zone: '', subZone: '' }
  return { successes: 0, errors: 0, active: 0, issued: 0, locality, priority: 0, endpoints: [], metrics: [] }
}

/** '' where its endpoints go by the cluster's own name. */
function edsNameOf({ name, config: { discovery } }: UpstreamCluster): string {
  return discovery.kind === 'eds' && discovery.serviceName !== name ? discovery.serviceName : ''
}
