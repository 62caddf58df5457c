// Aggregate clusters: the priorities of the child clusters, one child after the other, as one list of priorities; the traffic's share
// of each decides the child, whose own policy then picks (Envoy docs: intro/arch_overview/upstream/aggregate_cluster).
// Called by UpstreamCluster.pick of the aggregate. The host belongs to the child: its breakers, TLS and stats apply.
// Invariant: `levels` names clusters that have hosts of their own; aggregates within aggregates are resolved when the list is made, so
// that no cycle among them is ever followed by a pick.

import type { Host } from '../host/host.js'
import type { HostSet, PrioritySet } from '../host/host-set.js'
import type { LbContext, LoadBalancer } from './load-balancer.js'
import { below } from './load-balancer.js'
import type { PriorityLoads } from './priority-load.js'
import { choosePriority, computePriorityLoads, excludePriorities } from './priority-load.js'

/** What a cluster shows to others that pick from it or measure themselves by it: UpstreamCluster. */
export interface FoundCluster {
  /** Of an aggregate: the clusters that it stands for; null = it has hosts of its own. */
  readonly childNames: readonly string[] | null
  readonly hostSets: readonly HostSet[]
  /** Grows with every change of `hostSets`. */
  readonly hostSetVersion: number
  /** For zone-aware routing of other clusters. */
  readonly priorities: PrioritySet
  /** A host of one priority: `choice` is `priority * 2 + (degraded ? 1 : 0)`. */
  pickAt(ctx: LbContext, choice: number): Host | null
  /** Index in `hostSets` of the priority that `host` counts under here; -1 = it is no host of this cluster. */
  priorityOf(host: Host): number
}

export type FindCluster = (name: string) => FoundCluster | undefined

/** Clusters that one aggregate comes upon, through the aggregates within it too and each as often as it is named; the rest is left out. */
export const MAX_AGGREGATE_MEMBERS = 1024

/** A cluster that was come upon when the list was made: as long as it is the same, with the same hosts, the list is true. */
interface Member {
  readonly name: string
  readonly cluster: FoundCluster | undefined
  /** Of its host sets; 0 for aggregates, whose children are members too. */
  readonly version: number
}

interface Level {
  readonly cluster: FoundCluster
  readonly priority: number
}

export class AggregateLoadBalancer implements LoadBalancer {
  private readonly names: readonly string[]
  private readonly find: FindCluster
  private readonly panicThreshold: number
  private members: Member[] | null = null
  private levels: Level[] = []
  private loads: PriorityLoads | null = null

  constructor(names: readonly string[], find: FindCluster, panicThreshold: number) {
    this.names = names
    this.find = find
    this.panicThreshold = panicThreshold
  }

  /** Host sets of all children, in order: priorities of this cluster. Empty ones are left out. */
  linearize(): HostSet[] {
    this.members = []
    this.levels = []
    const sets: HostSet[] = []
    this.take(this.names, new Set(), this.members, sets)
    this.loads = sets.length === 0 ? null : computePriorityLoads(sets, this.panicThreshold)
    return sets
  }

  /** `path`: the aggregates that led here; one that contains itself counts as empty there. */
  private take(names: readonly string[], path: Set<FoundCluster>, members: Member[], sets: HostSet[]): void {
    for (const name of names) {
      if (members.length >= MAX_AGGREGATE_MEMBERS) return
      const cluster = this.find(name)
      const children = cluster?.childNames ?? null
      members.push({ name, cluster, version: cluster === undefined || children !== null ? 0 : cluster.hostSetVersion })
      if (cluster === undefined || path.has(cluster)) continue
      if (children === null) {
        for (const set of cluster.hostSets) {
          if (set.hosts.length === 0) continue
          this.levels.push({ cluster, priority: set.priority })
          sets.push({ ...set, priority: sets.length })
        }
        continue
      }
      path.add(cluster)
      this.take(children, path, members, sets)
      path.delete(cluster)
    }
  }

  /** A cluster behind this one has come, gone or changed its hosts since the list was made. */
  get changed(): boolean {
    const { members } = this
    if (members === null) return true
    for (const { name, cluster, version } of members) {
      if (this.find(name) !== cluster) return true
      if (version > 0 && cluster!.hostSetVersion !== version) return true
    }
    return false
  }

  pick(ctx: LbContext, given = -1): Host | null {
    if (this.changed) this.linearize()
    if (this.loads === null) return null
    const excluded = ctx.excludedPriorities ?? null
    const loads = excluded !== null && excluded.size > 0 ? excludePriorities(this.loads, excluded) : this.loads
    const choice = given >= 0 ? given : choosePriority(loads, roll(ctx))
    const level = this.levels[choice >> 1]
    if (level === undefined) return null
    return level.cluster.pickAt(ctx, level.priority * 2 + (choice & 1))
  }

  /** The priority of this cluster that `host` is in, for retry_priority; -1 = none (its child has changed since). */
  priorityOf(host: Host): number {
    if (this.changed) this.linearize()
    return this.levels.findIndex(level => level.cluster.priorityOf(host) === level.priority)
  }
}

/** Envoy rolls per pick, not by the request's hash, to choose among the children. */
function roll(ctx: LbContext): number {
  return below(ctx.random(), 100)
}
