// The load of clusters since they were last reported: what their hosts count anyhow, less what it was then. Kept and asked by
// load-reporter.ts. What is reported of which cluster is as in Envoy 1.40; for our own control plane also latencies and failed connections,
// and nothing of a cluster that had nothing to do. Invariant: a request path pays nothing for it, and what is remembered is bounded by the
// clusters and hosts that there are.

import { cumulativeBuckets } from '../../metrics/histogram.js'
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

/** What a host had counted when it was last reported. */
interface HostCounted {
  successes: number
  errors: number
  issued: number
  connectFailures: number
}

/** What a cluster had. */
interface ClusterCounted {
  /** Clock ms: its interval began then. */
  since: number
  overflows: number
  readonly drops: Map<string, number>
  /** Requests that took no longer than each bound, and all of them. */
  latencies: readonly number[]
  finished: number
}

const LATENCY_NAMES = [...LATENCY_BOUNDS_MS, Number.POSITIVE_INFINITY].map((_, n) => `${OWN_METRICS.latencyPrefix}${n}`)
const NO_LATENCIES = LATENCY_NAMES.map(() => 0)

export class ClusterLoads {
  private readonly clusters: ReportedClusters
  private readonly tracked = new Map<string, ClusterCounted>()
  private readonly hosts = new WeakMap<Host, HostCounted>()

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
    const counted: ClusterCounted = { since, overflows: 0, drops: new Map(), latencies: NO_LATENCIES, finished: 0 }
    if (cluster === undefined) return counted
    for (const host of cluster.hosts) this.takeHost(host)
    counted.overflows = overflowsOf(cluster)
    for (const [category, count] of cluster.drops) counted.drops.set(category, count)
    takeLatencies(cluster, counted)
    return counted
  }

  private takeCluster(cluster: UpstreamCluster, counted: ClusterCounted, perEndpoint: boolean, own: boolean, now: number): ClusterLoad {
    const localities: LocalityLoad[] = []
    let connectFailures = 0
    for (const { priority, localities: groups } of cluster.priorities.sets) {
      for (const group of groups) {
        const { load, failures } = this.takeLocality(group, priority, perEndpoint)
        connectFailures += failures
        if (load.successes + load.errors + load.active + load.issued + (own ? failures : 0) > 0) localities.push(load)
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
    const metrics = own ? [...failuresMetric(connectFailures), ...takeLatencies(cluster, counted)] : []
    if (metrics.length > 0 && localities.length > 0) localities[0] = { ...localities[0]!, metrics }
    const intervalMs = now - counted.since
    counted.since = now
    counted.overflows = overflows
    return { name: cluster.name, serviceName: edsNameOf(cluster), localities, dropped, droppedByCategory, intervalMs }
  }

  private takeLocality(
    { hosts, locality }: LocalityHosts,
    priority: number,
    perEndpoint: boolean,
  ): { readonly load: LocalityLoad; readonly failures: number } {
    const sums: RequestLoad = { successes: 0, errors: 0, active: 0, issued: 0 }
    const endpoints: EndpointLoad[] = []
    let failures = 0
    for (const host of hosts) {
      const load = this.takeHost(host)
      failures += load.connectFailures
      if (load.successes + load.errors + load.active + load.issued === 0) continue
      sums.successes += load.successes
      sums.errors += load.errors
      sums.active += load.active
      sums.issued += load.issued
      if (perEndpoint) endpoints.push({ ...load, address: host.address })
    }
    return { load: { ...sums, locality, priority, endpoints, metrics: [] }, failures }
  }

  private takeHost(host: Host): RequestLoad & { readonly connectFailures: number } {
    const { stats, elsewhere } = host
    const successes = stats.rqSuccess + (elsewhere?.rqSuccess ?? 0)
    const errors = stats.rqError + (elsewhere?.rqError ?? 0)
    const issued = stats.rqTotal + (elsewhere?.rqTotal ?? 0)
    const connectFailures = stats.cxConnectFail + (elsewhere?.cxConnectFail ?? 0)
    const before = this.hosts.get(host)
    const active = host.activeRequests + (elsewhere?.activeRequests ?? 0)
    if (before === undefined) {
      this.hosts.set(host, { successes, errors, issued, connectFailures })
      return { successes, errors, active, issued, connectFailures }
    }
    // Counts fall where a worker process has died with some of them.
    const since = {
      successes: Math.max(0, successes - before.successes),
      errors: Math.max(0, errors - before.errors),
      active,
      issued: Math.max(0, issued - before.issued),
      connectFailures: Math.max(0, connectFailures - before.connectFailures),
    }
    before.successes = successes
    before.errors = errors
    before.issued = issued
    before.connectFailures = connectFailures
    return since
  }
}

/** Requests that a circuit breaker refused. */
function overflowsOf({ traffic: { main } }: UpstreamCluster): number {
  return main.upstream_rq_pending_overflow.value + main.upstream_rq_active_overflow.value
}

/** '' where its endpoints go by the cluster's own name. */
function edsNameOf({ name, config: { discovery } }: UpstreamCluster): string {
  return discovery.kind === 'eds' && discovery.serviceName !== name ? discovery.serviceName : ''
}

function failuresMetric(count: number): LoadMetric[] {
  return count === 0 ? [] : [{ name: OWN_METRICS.connectFailures, count }]
}

/** How many requests fell between which bounds since the last time. */
function takeLatencies(cluster: UpstreamCluster, counted: ClusterCounted): LoadMetric[] {
  const times = cluster.traffic.requestTimes
  if (times === null || times.sampleCount === counted.finished) return []
  const total = times.sampleCount
  const below = [...cumulativeBuckets(times.bins(false), LATENCY_BOUNDS_MS), total]
  const metrics: LoadMetric[] = []
  let lower = 0
  let lowerBefore = 0
  below.forEach((count, n) => {
    const before = counted.latencies[n]!
    const since = count - lower - (before - lowerBefore)
    if (since > 0) metrics.push({ name: LATENCY_NAMES[n]!, count: since })
    lower = count
    lowerBefore = before
  })
  counted.latencies = below
  counted.finished = total
  return metrics
}
