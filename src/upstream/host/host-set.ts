// The hosts of one priority, sorted into the lists that load balancers pick from, and the set of all priorities.
// Owned by UpstreamCluster (all hosts) and subset-load-balancer (some hosts). Lists are immutable snapshots, rebuilt lazily: a change
// only marks the set (`invalidate`), the next pick rebuilds once, however many hosts changed in between.
// Invariant: `version` grows with every change, so a load balancer knows whether what it derived is still true.

import type { Locality } from '../../model/endpoint.js'
import type { Host } from './host.js'

export interface LocalityHosts {
  readonly locality: Locality
  /** load_balancing_weight of the locality; 0 = none. */
  readonly weight: number
  readonly hosts: readonly Host[]
  readonly healthy: readonly Host[]
  readonly degraded: readonly Host[]
  readonly excludedCount: number
}

export interface HostSet {
  readonly priority: number
  readonly hosts: readonly Host[]
  readonly healthy: readonly Host[]
  readonly degraded: readonly Host[]
  readonly excluded: readonly Host[]
  /** Of the proxy's own locality first, when `hasLocalLocality`. */
  readonly localities: readonly LocalityHosts[]
  readonly hasLocalLocality: boolean
  /** Where this proxy runs; null = unknown. */
  readonly localLocality: Locality | null
  /** Whether locality weights are given for this priority. */
  readonly localityWeights: boolean
  /** Per cent. */
  readonly overprovisioningFactor: number
  readonly weightedPriorityHealth: boolean
}

export interface HostSetOptions {
  readonly overprovisioningFactor: number
  readonly weightedPriorityHealth: boolean
  readonly localLocality: Locality | null
  /** Weight of a locality at a priority; 0 = none. */
  readonly localityWeight: (priority: number, locality: Locality, hostCount: number) => number
}

/** Priorities are 0..127 in Envoy's API. */
export const MAX_PRIORITIES = 128

export class PrioritySet {
  version = 1
  private built = 0
  private current: readonly HostSet[] = []
  private readonly build: () => readonly HostSet[]

  constructor(build: () => readonly HostSet[]) {
    this.build = build
  }

  invalidate(): void {
    this.version++
  }

  /** By priority, at least one, without gaps. */
  get sets(): readonly HostSet[] {
    if (this.built !== this.version) {
      this.current = this.build()
      this.built = this.version
    }
    return this.current
  }
}

/** Sorts `hosts` (any priorities, in config order) into host sets. O(hosts). */
export function buildHostSets(hosts: readonly Host[], options: HostSetOptions): HostSet[] {
  let top = 0
  for (const host of hosts) if (host.priority > top) top = host.priority
  if (top === 0) return [buildHostSet(0, hosts, options)]
  const byPriority: Host[][] = Array.from({ length: Math.min(top + 1, MAX_PRIORITIES) }, () => [])
  for (const host of hosts) byPriority[host.priority]!.push(host)
  return byPriority.map((list, priority) => buildHostSet(priority, list, options))
}

export function sameLocality(a: Locality, b: Locality): boolean {
  return a === b || (a.region === b.region && a.zone === b.zone && a.subZone === b.subZone)
}

function buildHostSet(priority: number, hosts: readonly Host[], options: HostSetOptions): HostSet {
  const all = sortByHealth(hosts)
  const groups = groupByLocality(hosts)
  let hasLocalLocality = false
  if (options.localLocality !== null) {
    const local = groups.findIndex(group => sameLocality(group.locality, options.localLocality!))
    if (local >= 0) {
      hasLocalLocality = true
      if (local > 0) groups.unshift(...groups.splice(local, 1))
    }
  }
  let localityWeights = false
  const localities = groups.map(group => {
    // With one locality its lists are the whole priority's lists.
    const lists = groups.length === 1 ? all : sortByHealth(group.hosts)
    const weight = options.localityWeight(priority, group.locality, group.hosts.length)
    if (weight > 0) localityWeights = true
    return {
      locality: group.locality,
      weight,
      hosts: group.hosts,
      healthy: lists.healthy,
      degraded: lists.degraded,
      excludedCount: lists.excluded.length,
    }
  })
  return {
    priority,
    hosts,
    healthy: all.healthy,
    degraded: all.degraded,
    excluded: all.excluded,
    localities,
    hasLocalLocality,
    localLocality: options.localLocality,
    localityWeights,
    overprovisioningFactor: options.overprovisioningFactor,
    weightedPriorityHealth: options.weightedPriorityHealth,
  }
}

function sortByHealth(hosts: readonly Host[]): { healthy: readonly Host[]; degraded: readonly Host[]; excluded: readonly Host[] } {
  let flags = 0
  for (let i = 0; i < hosts.length; i++) flags |= hosts[i]!.flags
  if (flags === 0) return { healthy: hosts, degraded: [], excluded: [] }
  const healthy: Host[] = []
  const degraded: Host[] = []
  const excluded: Host[] = []
  for (const host of hosts) {
    if (host.flags === 0) {
      healthy.push(host)
      continue
    }
    const health = host.health
    if (health === 'healthy') healthy.push(host)
    else if (health === 'degraded') degraded.push(host)
    if (host.excluded) excluded.push(host)
  }
  return { healthy, degraded, excluded }
}

function groupByLocality(hosts: readonly Host[]): { locality: Locality; hosts: readonly Host[] }[] {
  if (hosts.length === 0) return []
  const first = hosts[0]!.locality
  let single = true
  for (let i = 1; i < hosts.length && single; i++) single = sameLocality(hosts[i]!.locality, first)
  if (single) return [{ locality: first, hosts }]
  const groups: { locality: Locality; hosts: Host[] }[] = []
  const byName = new Map<string, Host[]>()
  let previous = first
  let list: Host[] | undefined
  for (const host of hosts) {
    if (list === undefined || !sameLocality(host.locality, previous)) {
      previous = host.locality
      const name = `${previous.region}\0${previous.zone}\0${previous.subZone}`
      list = byName.get(name)
      if (list === undefined) {
        list = []
        byName.set(name, list)
        groups.push({ locality: previous, hosts: list })
      }
    }
    list.push(host)
  }
  return groups
}
