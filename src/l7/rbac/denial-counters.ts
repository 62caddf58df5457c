// Denials by the rule that decided: `<rbac scope>.policy.<name>.denied`, a label in the Prometheus form (envoy.rbac_policy_name). Called
// by the HTTP and the network RBAC filter after a denial only. Invariant: at most MAX_DENIAL_NAMES names per filter, the rest are `other`.

import type { Counter } from '../../metrics/stat.js'
import type { RbacStats } from '../../metrics/stat-names.js'

/** Distinct intentions or policies counted by name under one RBAC filter. */
export const MAX_DENIAL_NAMES = 64
const MAX_NAME_CHARS = 128

export class DenialCounters {
  private readonly stats: RbacStats
  private readonly byName = new Map<string, Counter>()

  constructor(stats: RbacStats) {
    this.stats = stats
  }

  /** `name`: of the intention or policy; '' = none matched, counted as `none`. */
  count(name: string): void {
    let counter = this.byName.get(name)
    if (counter === undefined) {
      const full = this.byName.size >= MAX_DENIAL_NAMES
      counter = this.stats.policy(full ? 'other' : statSegment(name), 'denied')
      if (!full) this.byName.set(name, counter)
    }
    counter.value++
  }
}

/** `web -> api` is `web->api`: one segment of a stat name, so without dots. */
function statSegment(name: string): string {
  if (name === '') return 'none'
  return name
    .replace(/\s*->\s*/g, '->')
    .replace(/[^\w*>/-]+/g, '_')
    .slice(0, MAX_NAME_CHARS)
}
