// `vhost.<name>.vcluster.<name>.` and `vhost.<name>.route.<prefix>.`: the numbers of those requests that a virtual cluster or a route with
// a stat_prefix asks for. Made by the router where there is any; nearly every request has none (null). Cold beside the cluster's own.

import type { VirtualClusterHandles, VirtualClusterStats } from '../../metrics/stat-names.js'
import type { RequestHead } from '../codec/codec.js'
import type { CompiledRoute } from '../route/compiled-route.js'
import type { StreamInfo } from '../stream/stream-info.js'

export class RouteCounters {
  private readonly all: readonly VirtualClusterStats[]

  constructor(all: readonly VirtualClusterStats[]) {
    this.all = all
  }

  /** The counters of that route and of the first virtual cluster that matches (else `other`); names the latter in `info`. HOT. */
  static of(route: CompiledRoute, request: RequestHead, info: StreamInfo): RouteCounters | null {
    const { virtualHost, stats } = route
    const cluster = virtualHost.virtualClusters.length === 0 ? null : virtualHost.virtualClusterOf(request, info)
    if (cluster !== null) info.virtualClusterName = cluster.name
    const named = cluster === null ? null : cluster.stats
    if (named === null) return stats === null ? null : new RouteCounters([stats])
    return new RouteCounters(stats === null ? [named] : [named, stats])
  }

  count(name: keyof VirtualClusterHandles): void {
    for (const { main } of this.all) main[name].value++
  }

  chargeResponse(status: number): void {
    for (const { codes } of this.all) codes.charge(status)
  }

  chargeTime(ms: number): void {
    for (const stats of this.all) stats.upstream_rq_time.record(ms)
  }
}
