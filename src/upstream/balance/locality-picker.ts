// Locality weighted load balancing: picks the locality of a priority by its weight, reduced when too many of its hosts are down
// (Envoy docs: intro/arch_overview/upstream/load_balancing/locality_weight). Used by zone-aware-load-balancer, one per priority and health.

import type { HostSet } from '../host/host-set.js'
import { EdfScheduler } from './edf-scheduler.js'
import { below } from './load-balancer.js'

interface WeightedLocality {
  readonly slot: number
  readonly removed: boolean
  readonly index: number
  readonly weight: number
}

/** Any number far above the count of localities: a random point of the schedule's period. */
const START_RANGE = 1 << 20

const weightOf = (member: WeightedLocality): number => member.weight

export class LocalityPicker {
  private readonly scheduler = new EdfScheduler<WeightedLocality>()
  private readonly random: () => number

  constructor(random: () => number) {
    this.random = random
  }

  update(set: HostSet, kind: 'healthy' | 'degraded'): void {
    const members: WeightedLocality[] = []
    set.localities.forEach((locality, index) => {
      const count = locality.hosts.length - locality.excludedCount
      if (count <= 0 || locality.weight === 0) return
      const available = Math.min(1, ((set.overprovisioningFactor / 100) * locality[kind].length) / count)
      const weight = locality.weight * available
      if (weight > 0) members.push({ slot: index, removed: false, index, weight })
    })
    this.scheduler.fill(members, weightOf, below(this.random(), START_RANGE))
  }

  /** Index among the set's localities, or -1 when no locality has weight. */
  pick(): number {
    return this.scheduler.pick(weightOf)?.index ?? -1
  }
}
