// Ring hash and maglev: the request's hash chooses the priority and then, by a table per priority, the host. Also consistent hashing
// with bounded loads (hash_balance_factor; Mirrokni et al., arXiv 1608.01350, with the random jump of arXiv 1908.08762).
// Called by UpstreamCluster.pick and subset-load-balancer; the tables are hash-ring and maglev-table.

import { mersenneTwister } from '../hash/mersenne-twister.js'
import type { Host } from '../host/host.js'
import type { HashTable, WeightedHosts } from './hash-table.js'
import { normalizeWeights } from './hash-table.js'
import type { LbContext, LbEnvironment, LoadBalancer } from './load-balancer.js'
import { below } from './load-balancer.js'
import type { PriorityLoads } from './priority-load.js'
import { choosePriority, computePriorityLoads, excludePriorities } from './priority-load.js'

interface PriorityTable {
  readonly table: HashTable
  weighted: WeightedHosts
  /** Shares by host, made when bounded loads first ask for one. */
  shares: Map<Host, number> | null
}

export class HashLoadBalancer implements LoadBalancer {
  private readonly env: LbEnvironment
  private readonly newTable: () => HashTable
  private readonly balanceFactor: number
  private readonly tables: PriorityTable[] = []
  private loads: PriorityLoads | null = null
  private onlyPriority = -1
  private version = 0

  /** `balanceFactor`: per cent of the average load a host may carry; 0 = unbounded. */
  constructor(env: LbEnvironment, newTable: () => HashTable, balanceFactor: number) {
    this.env = env
    this.newTable = newTable
    this.balanceFactor = balanceFactor
  }

  // HOT: once a request. bench/micro/load-balancer.bench.ts.
  pick(ctx: LbContext, given = -1): Host | null {
    if (this.version !== this.env.hosts.version) this.refresh()
    let hi: number
    let lo: number
    if (ctx.hash !== null) {
      hi = Number(ctx.hash >> 32n)
      lo = Number(ctx.hash & 0xffffffffn)
    } else {
      hi = below(ctx.random(), 4294967296)
      lo = below(ctx.random(), 4294967296)
    }
    const choice = given >= 0 ? given : this.choosePriority(ctx, hi, lo)
    const priority = this.tables[choice >> 1]
    if (priority === undefined) return null
    if (this.loads!.panic[choice >> 1]) this.env.stats.main.lb_healthy_panic.value++
    let host: Host | null = null
    for (let attempt = 0; attempt < ctx.maxAttempts; attempt++) {
      host = priority.table.choose(hi, lo, attempt)
      if (host !== null && this.balanceFactor > 0) host = this.bounded(host, priority, lo)
      if (host === null || !ctx.shouldSkip(host)) return host
    }
    return host
  }

  private choosePriority(ctx: LbContext, hi: number, lo: number): number {
    const excluded = ctx.excludedPriorities ?? null
    if (this.onlyPriority >= 0 && (excluded === null || excluded.size === 0)) return this.onlyPriority * 2
    // 2^32 = 96 (mod 100)
    const roll = ((hi % 100) * 96 + (lo % 100)) % 100
    return choosePriority(excluded !== null && excluded.size > 0 ? excludePriorities(this.loads!, excluded) : this.loads!, roll)
  }

  private refresh(): void {
    const { sets } = this.env.hosts
    this.version = this.env.hosts.version
    this.loads = computePriorityLoads(sets, this.env.panicThreshold)
    this.onlyPriority = this.loads.healthy.indexOf(100)
    this.tables.length = Math.min(this.tables.length, sets.length)
    for (let i = 0; i < sets.length; i++) {
      const weighted = normalizeWeights(sets[i]!, this.loads.panic[i]!, this.env.localityWeighted)
      const known = this.tables[i]
      const entry = known ?? { table: this.newTable(), weighted, shares: null }
      if (known === undefined) this.tables.push(entry)
      entry.weighted = weighted
      entry.shares = null
      entry.table.update(weighted)
    }
  }

  /** `host`, or when it is over its bound another one, by a shuffle that the hash seeds. O(hosts) at worst, when all are loaded. */
  private bounded(host: Host, priority: PriorityTable, seed: number): Host {
    const { weighted } = priority
    const slots = Math.floor(((this.env.stats.main.upstream_rq_active.value + 1) * this.balanceFactor + 99) / 100)
    let least = host
    let leastOverload = overload(host, slots, shareOf(host, priority))
    if (leastOverload <= 1) return host
    const count = weighted.hosts.length
    // A Fisher–Yates shuffle that only notes the places it touched.
    const swapped = new Map<number, number>()
    mersenneTwister.seed(seed)
    for (let i = 0; i < count; i++) {
      const other = i + mersenneTwister.below(count - i)
      const index = swapped.get(other) ?? other
      swapped.set(other, swapped.get(i) ?? i)
      const candidate = weighted.hosts[index]!
      if (candidate === host) continue
      const factor = overload(candidate, slots, weighted.weights[index]!)
      if (factor <= 1) return candidate
      if (factor < leastOverload) {
        least = candidate
        leastOverload = factor
      }
    }
    return least
  }
}

function overload(host: Host, totalSlots: number, weight: number): number {
  return host.activeRequests / Math.max(1, Math.ceil(totalSlots * weight))
}

function shareOf(host: Host, priority: PriorityTable): number {
  const { hosts, weights, minWeight, maxWeight } = priority.weighted
  // Equal weights, the common case, need no search.
  if (minWeight === maxWeight) return maxWeight
  if (priority.shares === null) {
    priority.shares = new Map()
    for (let i = 0; i < hosts.length; i++) priority.shares.set(hosts[i]!, weights[i]!)
  }
  return priority.shares.get(host) ?? minWeight
}
