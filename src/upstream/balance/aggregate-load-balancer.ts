// Aggregate clusters: the priorities of the child clusters, one child after the other, as one list of priorities; the traffic's share
// of each decides the child, whose own policy then picks (Envoy docs: intro/arch_overview/upstream/aggregate_cluster).
// Called by UpstreamCluster.pick of the aggregate. The host belongs to the child: its breakers, TLS and stats apply.

import type { Host } from '../host/host.js'
import type { HostSet, PrioritySet } from '../host/host-set.js'
import type { LbContext, LoadBalancer } from './load-balancer.js'
import { below } from './load-balancer.js'
import type { PriorityLoads } from './priority-load.js'
import { choosePriority, computePriorityLoads, excludePriorities } from './priority-load.js'

/** What a cluster shows to others that pick from it or measure themselves by it: UpstreamCluster. */
export interface FoundCluster {
  /** Of an aggregate: the children's, one after the other. */
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

export class AggregateLoadBalancer implements LoadBalancer {
  private readonly names: readonly string[]
  private readonly find: FindCluster
  private readonly panicThreshold: number
  private children: (FoundCluster | undefined)[] = []
  private versions: number[] = []
  private levels: { readonly cluster: FoundCluster; readonly priority: number }[] = []
  private loads: PriorityLoads | null = null
  /** Set while this aggregate is looked through: one that contains itself counts as empty there. */
  private visiting = false

  constructor(names: readonly string[], find: FindCluster, panicThreshold: number) {
    this.names = names
    this.find = find
    this.panicThreshold = panicThreshold
  }

  /** Host sets of all children, in order: priorities of this cluster. Empty ones are left out. */
  linearize(): HostSet[] {
    this.levels = []
    this.children = []
    this.versions = []
    const sets: HostSet[] = []
    if (this.visiting) return sets
    this.visiting = true
    for (const name of this.names) {
      const child = this.find(name)
      this.children.push(child)
      this.versions.push(child?.hostSetVersion ?? 0)
      if (child === undefined) continue
      for (const set of child.hostSets) {
        if (set.hosts.length === 0) continue
        sets.push({ ...set, priority: sets.length })
        this.levels.push({ cluster: child, priority: set.priority })
      }
    }
    this.visiting = false
    this.loads = sets.length === 0 ? null : computePriorityLoads(sets, this.panicThreshold)
    return sets
  }

  /** Changes when any child does. */
  get changed(): boolean {
    if (this.visiting) return false
    if (this.children.length !== this.names.length) return true
    this.visiting = true
    let changed = false
    for (let i = 0; i < this.names.length && !changed; i++) {
      const child = this.find(this.names[i]!)
      changed = child !== this.children[i] || (child !== undefined && child.hostSetVersion !== this.versions[i])
    }
    this.visiting = false
    return changed
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
    if (this.visiting) return -1
    this.visiting = true
    const priority = this.levels.findIndex(level => level.cluster.priorityOf(host) === level.priority)
    this.visiting = false
    return priority
  }
}

/** Envoy rolls per pick, not by the request's hash, to choose among the children. */
function roll(ctx: LbContext): number {
  return below(ctx.random(), 100)
}
