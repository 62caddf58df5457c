// Zone-aware routing: how much of the traffic stays in the proxy's own locality, so that every locality of the upstream cluster gets
// its fair share (Envoy docs: intro/arch_overview/upstream/load_balancing/zone_aware). Only priority 0 takes part.
// Computed by zone-aware-load-balancer when hosts change; `chooseLocality` runs per pick.

import type { ClusterStats } from '../../metrics/stat-names.js'
import type { Cluster } from '../../model/cluster.js'
import type { Host } from '../host/host.js'
import type { HostSet } from '../host/host-set.js'
import { sameLocality } from '../host/host-set.js'
import { below } from './load-balancer.js'

export type ZoneRouting =
  | { readonly kind: 'none' }
  | { readonly kind: 'direct' }
  | {
      readonly kind: 'residual'
      /** Of 10,000 requests, how many stay local. */
      readonly localShare: number
      /** Cumulative spare capacity by locality, in 1/10,000. */
      readonly residual: readonly number[]
    }

const NONE: ZoneRouting = { kind: 'none' }

/** `localSet` holds the hosts of the proxy's own cluster. */
export function computeZoneRouting(
  upstream: HostSet,
  localSet: HostSet,
  config: NonNullable<Cluster['zoneAware']>,
  stats: ClusterStats,
): ZoneRouting {
  stats.main.lb_recalculate_zone_structures.value++
  const forced = config.forceLocalMinSize
  if (upstream.localities.length < 2 || (localSet.localities.length < 2 && forced === null)) return NONE
  if (!localSet.hasLocalLocality || localSet.localities[0]!.hosts.length === 0) {
    stats.main.lb_local_cluster_not_ok.value++
    return NONE
  }
  if (upstream.healthy.length < config.minClusterSize) {
    stats.main.lb_zone_cluster_too_small.value++
    return NONE
  }
  const shares = localityShares(upstream, localSet, config.byWeight ? weightOf : countOf)
  const hasLocal = upstream.hasLocalLocality
  if (hasLocal && forced !== null && upstream.localities[0]!.healthy.length >= forced) return { kind: 'direct' }
  if (hasLocal && shares[0]!.upstream > 0 && shares[0]!.upstream >= shares[0]!.local) return { kind: 'direct' }
  const localShare = hasLocal && shares[0]!.local > 0 ? Math.floor((shares[0]!.upstream * 10_000) / shares[0]!.local) : 0
  const residual: number[] = []
  let sum = 0
  for (let i = 0; i < shares.length; i++) {
    if (!(i === 0 && hasLocal)) sum += Math.max(0, shares[i]!.upstream - shares[i]!.local)
    residual.push(sum)
  }
  return { kind: 'residual', localShare, residual }
}

/** Index of the locality to use. */
export function chooseLocality(routing: ZoneRouting, random: () => number, stats: ClusterStats): number {
  if (routing.kind !== 'residual') {
    stats.main.lb_zone_routing_all_directly.value++
    return 0
  }
  if (below(random(), 10_000) < routing.localShare) {
    stats.main.lb_zone_routing_sampled.value++
    return 0
  }
  stats.main.lb_zone_routing_cross_zone.value++
  const { residual } = routing
  const total = residual[residual.length - 1]!
  if (total === 0) {
    stats.main.lb_zone_no_capacity_left.value++
    return below(random(), residual.length)
  }
  const threshold = below(random(), total)
  let i = 0
  while (threshold >= residual[i]!) i++
  return i
}

type Capacity = (hosts: readonly Host[]) => number

const countOf: Capacity = hosts => hosts.length
const weightOf: Capacity = hosts => hosts.reduce((sum, { weight }) => sum + weight, 0)

function localityShares(upstream: HostSet, localSet: HostSet, capacityOf: Capacity): { local: number; upstream: number }[] {
  const totalLocal = capacityOf(localSet.healthy)
  const totalUpstream = capacityOf(upstream.healthy)
  return upstream.localities.map(group => {
    if (group.healthy.length === 0) return { local: 0, upstream: 0 }
    const mine = localSet.localities.find(other => other.healthy.length > 0 && sameLocality(other.locality, group.locality))
    return {
      local: totalLocal > 0 ? Math.floor((10_000 * capacityOf(mine?.healthy ?? [])) / totalLocal) : 0,
      upstream: totalUpstream > 0 ? Math.floor((10_000 * capacityOf(group.healthy)) / totalUpstream) : 0,
    }
  })
}
