// Subsets by metadata: one balancer of the cluster's policy for every combination of values of the selectors' keys, chosen by the
// route's metadata_match, with fallbacks (Envoy docs: intro/arch_overview/upstream/load_balancing/subsets). Called by UpstreamCluster.
// A change of hosts touches only the subsets those hosts are in. Invariant: `members[slot]` says in which subsets a host is.

import type { SubsetConfig, SubsetSelector } from '../../model/cluster.js'
import type { Endpoint, Locality } from '../../model/endpoint.js'
import type { JsonObject, JsonValue, Metadata } from '../../model/metadata.js'
import { LB_METADATA } from '../../model/metadata.js'
import type { Host } from '../host/host.js'
import { buildHostSets, PrioritySet, sameLocality } from '../host/host-set.js'
import type { LbContext, LbEnvironment, LoadBalancer } from './load-balancer.js'

/** Most subsets of one cluster; list_as_any multiplies them. */
const MAX_SUBSETS = 65_536

interface Subset {
  readonly key: string
  readonly hosts: Set<Host>
  readonly set: PrioritySet
  readonly balancer: LoadBalancer
  /** single_host_per_subset: `hosts` in config order, of which the first is used. */
  readonly single: boolean
  first: Host | null
}

interface Membership {
  readonly host: Host
  endpoint: Endpoint
  priority: number
  locality: Locality
  flags: number
  subsets: Subset[]
  inDefault: boolean
}

/** What a request asks for, derived once per route: keys and values in the order of the keys. */
interface Criteria {
  readonly key: string
  readonly keys: string
  readonly entries: readonly (readonly [string, JsonValue])[]
}

export class SubsetLoadBalancer implements LoadBalancer {
  private readonly env: LbEnvironment
  private readonly config: SubsetConfig
  private readonly newBalancer: (env: LbEnvironment) => LoadBalancer
  private readonly selectors = new Map<string, SubsetSelector>()
  private readonly selectorKeys: readonly (readonly string[])[]
  private readonly subsets = new Map<string, Subset>()
  private readonly members: (Membership | undefined)[] = []
  private readonly defaultHosts = new Set<Host>()
  private readonly any: LoadBalancer
  private readonly defaultSet: PrioritySet
  private readonly defaultSubset: LoadBalancer
  private readonly criteria = new WeakMap<Metadata, Criteria>()
  private version = 0
  private limitReported = false

  constructor(env: LbEnvironment, config: SubsetConfig, newBalancer: (env: LbEnvironment) => LoadBalancer) {
    this.env = { ...env, localityWeighted: env.localityWeighted && config.localityWeightAware }
    this.config = config
    this.newBalancer = newBalancer
    for (const selector of config.selectors) {
      const keys = joinKeys([...selector.keys].sort())
      if (!this.selectors.has(keys)) this.selectors.set(keys, selector)
    }
    this.selectorKeys = [...this.selectors.values()].map(selector => [...selector.keys].sort())
    this.any = newBalancer(this.env)
    this.defaultSet = this.prioritySetOf(this.defaultHosts)
    this.defaultSubset = newBalancer({ ...this.env, hosts: this.defaultSet })
  }

  pick(ctx: LbContext, choice = -1): Host | null {
    if (this.version !== this.env.hosts.version) this.refresh()
    return this.pickBy(this.criteriaOf(ctx.metadataMatch), ctx, choice)
  }

  close(): void {
    const { stats } = this.env
    stats.main.lb_subsets_active.value -= this.subsets.size
    stats.main.lb_subsets_removed.value += this.subsets.size
    this.subsets.clear()
  }

  private pickBy(criteria: Criteria | null, ctx: LbContext, choice: number): Host | null {
    const { stats } = this.env
    if (criteria !== null) {
      const subset = this.subsets.get(criteria.key)
      if (subset !== undefined && subset.hosts.size > 0) {
        stats.main.lb_subsets_selected.value++
        return subset.single ? subset.first : subset.balancer.pick(ctx, choice)
      }
      const selector = this.selectors.get(criteria.keys)
      if (selector !== undefined && selector.fallback !== 'NOT_DEFINED') return this.fallBack(selector, criteria, ctx, choice)
    }
    if (this.config.fallback === 'NO_FALLBACK') return null
    const host = (this.config.fallback === 'ANY_ENDPOINT' ? this.any : this.defaultSubset).pick(ctx, choice)
    if (host !== null) {
      stats.main.lb_subsets_fallback.value++
      return host
    }
    if (!this.config.panicModeAny) return null
    const last = this.any.pick(ctx, choice)
    if (last !== null) stats.main.lb_subsets_fallback_panic.value++
    return last
  }

  private fallBack(selector: SubsetSelector, criteria: Criteria, ctx: LbContext, choice: number): Host | null {
    switch (selector.fallback) {
      case 'ANY_ENDPOINT':
        return this.any.pick(ctx, choice)
      case 'DEFAULT_SUBSET':
        return this.defaultSubset.pick(ctx, choice)
      case 'KEYS_SUBSET': {
        // Fewer keys each time (config validation demands it), so this ends.
        const kept = criteria.entries.filter(([key]) => selector.fallbackKeys.includes(key))
        return kept.length < criteria.entries.length ? this.pickBy(makeCriteria(kept), ctx, choice) : null
      }
      default:
        return null
    }
  }

  private criteriaOf(match: Metadata | null): Criteria | null {
    if (match === null) return null
    let criteria = this.criteria.get(match)
    if (criteria === undefined) {
      const wanted = match.get(LB_METADATA)
      if (wanted === undefined) return null
      criteria = makeCriteria(Object.entries(wanted))
      this.criteria.set(match, criteria)
    }
    return criteria
  }

  /** Brings memberships up to the present hosts: a pass of reference compares, work only for what changed. */
  private refresh(): void {
    const { sets } = this.env.hosts
    this.version = this.env.hosts.version
    const touched = new Set<Subset>()
    let defaultTouched = false
    for (let slot = 0; slot < this.members.length; slot++) {
      const member = this.members[slot]
      if (member === undefined || !member.host.removed) continue
      this.leave(member, touched)
      defaultTouched ||= member.inDefault
      this.members[slot] = undefined
    }
    for (const set of sets) {
      for (const host of set.hosts) {
        const member = this.members[host.slot]
        if (member === undefined) {
          const joined = this.join(host, touched)
          defaultTouched ||= joined.inDefault
          continue
        }
        const sameMetadata = member.endpoint.metadata === host.endpoint.metadata
        const same =
          member.endpoint === host.endpoint &&
          member.flags === host.flags &&
          member.priority === host.priority &&
          member.locality === host.locality
        if (same) continue
        defaultTouched ||= member.inDefault
        if (sameMetadata) {
          for (const subset of member.subsets) touched.add(subset)
          note(member, host)
        } else {
          this.leave(member, touched)
          defaultTouched = this.join(host, touched).inDefault || defaultTouched
        }
      }
    }
    for (const subset of touched) this.settle(subset)
    if (defaultTouched) this.defaultSet.invalidate()
    this.countDuplicates()
  }

  private join(host: Host, touched: Set<Subset>): Membership {
    const fields = host.endpoint.metadata.get(LB_METADATA)
    const member: Membership = {
      host,
      endpoint: host.endpoint,
      priority: host.priority,
      locality: host.locality,
      flags: host.flags,
      subsets: [],
      inDefault: matchesLabels(this.config.defaultSubset, fields, this.config.listAsAny),
    }
    if (member.inDefault) this.defaultHosts.add(host)
    if (fields !== undefined) {
      for (const keys of this.selectorKeys) {
        for (const entries of combinations(keys, fields, this.config.listAsAny)) {
          const subset = this.subsetOf(keys, entries)
          if (subset === null || subset.hosts.has(host)) continue
          subset.hosts.add(host)
          member.subsets.push(subset)
          touched.add(subset)
        }
      }
    }
    this.members[host.slot] = member
    return member
  }

  private leave(member: Membership, touched: Set<Subset>): void {
    for (const subset of member.subsets) {
      subset.hosts.delete(member.host)
      touched.add(subset)
    }
    this.defaultHosts.delete(member.host)
  }

  private subsetOf(keys: readonly string[], entries: readonly (readonly [string, JsonValue])[]): Subset | null {
    const key = criteriaKey(entries)
    const known = this.subsets.get(key)
    if (known !== undefined) return known
    if (this.subsets.size >= MAX_SUBSETS) {
      if (!this.limitReported)
        this.env.warn(`lb_subset_config: more than ${MAX_SUBSETS} subsets (MAX_SUBSETS); the others use the fallback`)
      this.limitReported = true
      return null
    }
    const hosts = new Set<Host>()
    const set = this.prioritySetOf(hosts)
    const subset: Subset = {
      key,
      hosts,
      set,
      balancer: this.newBalancer({ ...this.env, hosts: set }),
      single: this.selectors.get(joinKeys(keys))?.singleHostPerSubset ?? false,
      first: null,
    }
    this.subsets.set(key, subset)
    this.env.stats.main.lb_subsets_active.value++
    this.env.stats.main.lb_subsets_created.value++
    return subset
  }

  private settle(subset: Subset): void {
    if (subset.hosts.size === 0) {
      if (!this.subsets.delete(subset.key)) return
      subset.balancer.close?.()
      this.env.stats.main.lb_subsets_active.value--
      this.env.stats.main.lb_subsets_removed.value++
      return
    }
    subset.set.invalidate()
    if (!subset.single) return
    subset.first = null
    for (const host of subset.hosts) {
      const first = subset.first
      if (first === null || host.priority < first.priority || (host.priority === first.priority && host.position < first.position)) {
        subset.first = host
      }
    }
  }

  private countDuplicates(): void {
    if (!this.config.selectors.some(selector => selector.singleHostPerSubset)) return
    let duplicates = 0
    for (const subset of this.subsets.values()) if (subset.single) duplicates += subset.hosts.size - 1
    this.env.stats.scope.gauge('lb_subsets_single_host_per_subset_duplicate').value = duplicates
  }

  private prioritySetOf(hosts: ReadonlySet<Host>): PrioritySet {
    return new PrioritySet(() => {
      const whole = this.env.hosts.sets
      const options = whole[0]!
      return buildHostSets(
        [...hosts].sort((a, b) => a.position - b.position),
        {
          overprovisioningFactor: options.overprovisioningFactor,
          weightedPriorityHealth: options.weightedPriorityHealth,
          localLocality: options.localLocality,
          localityWeight: (priority, locality, count) => {
            const all = whole[priority]?.localities.find(group => sameLocality(group.locality, locality))
            if (all === undefined) return 0
            return this.config.scaleLocalityWeight ? Math.round((all.weight * count) / all.hosts.length) : all.weight
          },
        },
      )
    })
  }
}

function note(member: Membership, host: Host): void {
  member.endpoint = host.endpoint
  member.flags = host.flags
  member.priority = host.priority
  member.locality = host.locality
}

function joinKeys(keys: readonly string[]): string {
  return JSON.stringify(keys)
}

function makeCriteria(entries: readonly (readonly [string, JsonValue])[]): Criteria {
  const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1))
  return { key: criteriaKey(sorted), keys: joinKeys(sorted.map(([key]) => key)), entries: sorted }
}

function criteriaKey(entries: readonly (readonly [string, JsonValue])[]): string {
  return JSON.stringify(entries.map(([key, value]) => [key, canonical(value)]))
}

/** The same text for the same value, whatever the order of an object's keys. */
function canonical(value: JsonValue): unknown {
  if (Array.isArray(value)) return value.map(item => canonical(item as JsonValue))
  if (typeof value !== 'object' || value === null) return value
  const object = value as JsonObject
  return Object.keys(object)
    .sort()
    .map(key => [key, canonical(object[key]!)])
}

/** One list of entries for every way to take one value of each key; none when the host lacks a key. */
function combinations(keys: readonly string[], fields: JsonObject, listAsAny: boolean): (readonly [string, JsonValue])[][] {
  let result: (readonly [string, JsonValue])[][] = [[]]
  for (const key of keys) {
    if (!Object.hasOwn(fields, key)) return []
    const value = fields[key]!
    const values = listAsAny && Array.isArray(value) ? (value as readonly JsonValue[]) : [value]
    result = result.flatMap(entries => values.map(each => [...entries, [key, each] as const]))
    if (result.length > MAX_SUBSETS) return []
  }
  return keys.length === 0 ? [] : result
}

function matchesLabels(labels: ReadonlyMap<string, JsonValue>, fields: JsonObject | undefined, listAsAny: boolean): boolean {
  for (const [key, wanted] of labels) {
    if (fields === undefined || !Object.hasOwn(fields, key)) return false
    const value = fields[key]!
    const text = JSON.stringify(canonical(wanted))
    const values = listAsAny && Array.isArray(value) ? (value as readonly JsonValue[]) : [value]
    if (!values.some(each => JSON.stringify(canonical(each)) === text)) return false
  }
  return true
}
