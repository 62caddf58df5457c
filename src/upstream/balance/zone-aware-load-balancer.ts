// What round robin, least request, random and pick-first share: from a request to the list of hosts it may use, by priority, panic
// mode, locality weights and zone-aware routing. Subclasses only choose within that list. Called by UpstreamCluster.pick.
// Invariant: everything derived from the host sets belongs to one `version` of them; pick() refreshes first when it moved on.

import type { Host } from '../host/host.js'
import type { HostSet, LocalityHosts, PrioritySet } from '../host/host-set.js'
import type { LbContext, LbEnvironment, LoadBalancer } from './load-balancer.js'
import { below } from './load-balancer.js'
import { LocalityPicker } from './locality-picker.js'
import type { PriorityLoads } from './priority-load.js'
import { choosePriority, computePriorityLoads, excludePriorities, inPanic } from './priority-load.js'
import { chooseLocality, computeZoneRouting, type ZoneRouting } from './zone-routing.js'

/** One list of hosts and what a policy keeps for it (a cursor, a schedule). */
export class HostSource<S> {
  hosts: readonly Host[]
  /** Host set version that `state` was made for; 0 = never. */
  version = 0
  state: S

  constructor(hosts: readonly Host[], state: S) {
    this.hosts = hosts
    this.state = state
  }
}

interface PrioritySources<S> {
  readonly all: HostSource<S>
  readonly healthy: HostSource<S>
  readonly degraded: HostSource<S>
  readonly healthyByLocality: HostSource<S>[]
  readonly degradedByLocality: HostSource<S>[]
  readonly healthyPicker: LocalityPicker
  readonly degradedPicker: LocalityPicker
}

/** Until the first pick. */
const INITIAL_LOADS: PriorityLoads = { healthy: [100], degraded: [0], panic: [false], availability: [0], degradedAvailability: [0] }
const NO_ZONE_ROUTING: ZoneRouting = { kind: 'none' }

export abstract class ZoneAwareLoadBalancer<S> implements LoadBalancer {
  protected readonly env: LbEnvironment
  protected version = 0
  private local: PrioritySet | null = null
  private localVersion = 0
  private sets: readonly HostSet[] = []
  private loads = INITIAL_LOADS
  /** The priority that gets everything, or -1: most clusters have one, and need no roll of the dice. */
  private onlyPriority = -1
  private readonly sources: PrioritySources<S>[] = []
  private zoneRouting: ZoneRouting = NO_ZONE_ROUTING

  constructor(env: LbEnvironment) {
    this.env = env
  }

  // HOT: once a request. bench/micro/load-balancer.bench.ts.
  pick(ctx: LbContext, choice = -1): Host | null {
    if (this.version !== this.env.hosts.version || (this.env.zoneAware !== null && this.localChanged())) this.refresh()
    let host: Host | null = null
    for (let attempt = 0; attempt < ctx.maxAttempts; attempt++) {
      const source = this.chooseSource(ctx, choice)
      if (source === null) return null
      host = this.pickFrom(source, ctx)
      if (host === null || !ctx.shouldSkip(host)) return host
    }
    return host
  }

  /** The state of a new source. */
  protected abstract newState(): S
  protected abstract pickFrom(source: HostSource<S>, ctx: LbContext): Host | null
  /** Called once per change of the host sets, before the next pick. */
  protected onRefresh(_sets: readonly HostSet[]): void {}

  private refresh(): void {
    const { env } = this
    this.sets = env.hosts.sets
    this.version = env.hosts.version
    this.loads = computePriorityLoads(this.sets, env.panicThreshold)
    this.onlyPriority = this.loads.healthy.indexOf(100)
    this.sources.length = Math.min(this.sources.length, this.sets.length)
    for (let i = 0; i < this.sets.length; i++) {
      const set = this.sets[i]!
      const old = this.sources[i]
      if (old === undefined) this.sources.push(this.newSources(set))
      else {
        old.all.hosts = set.hosts
        old.healthy.hosts = set.healthy
        old.degraded.hosts = set.degraded
        this.updateLocalities(old.healthyByLocality, set.localities, 'healthy')
        this.updateLocalities(old.degradedByLocality, set.localities, 'degraded')
        if (env.localityWeighted) {
          old.healthyPicker.update(set, 'healthy')
          old.degradedPicker.update(set, 'degraded')
        }
      }
    }
    if (env.zoneAware !== null) {
      this.local = env.localHosts()
      this.localVersion = this.local?.version ?? 0
      this.zoneRouting =
        this.local === null ? NO_ZONE_ROUTING : computeZoneRouting(this.sets[0]!, this.local.sets[0]!, env.zoneAware, env.stats)
    }
    this.onRefresh(this.sets)
  }

  private localChanged(): boolean {
    const local = this.env.localHosts()
    return local !== this.local || (local !== null && local.version !== this.localVersion)
  }

  private newSources(set: HostSet): PrioritySources<S> {
    const healthyPicker = new LocalityPicker(this.env.random)
    const degradedPicker = new LocalityPicker(this.env.random)
    if (this.env.localityWeighted) {
      healthyPicker.update(set, 'healthy')
      degradedPicker.update(set, 'degraded')
    }
    const sources: PrioritySources<S> = {
      all: new HostSource(set.hosts, this.newState()),
      healthy: new HostSource(set.healthy, this.newState()),
      degraded: new HostSource(set.degraded, this.newState()),
      healthyByLocality: [],
      degradedByLocality: [],
      healthyPicker,
      degradedPicker,
    }
    this.updateLocalities(sources.healthyByLocality, set.localities, 'healthy')
    this.updateLocalities(sources.degradedByLocality, set.localities, 'degraded')
    return sources
  }

  private updateLocalities(sources: HostSource<S>[], localities: readonly LocalityHosts[], kind: 'healthy' | 'degraded'): void {
    sources.length = Math.min(sources.length, localities.length)
    for (let i = 0; i < localities.length; i++) {
      const old = sources[i]
      if (old === undefined) sources.push(new HostSource(localities[i]![kind], this.newState()))
      else old.hosts = localities[i]![kind]
    }
  }

  private chooseSource(ctx: LbContext, given: number): HostSource<S> | null {
    const { env } = this
    let choice = given
    if (choice < 0) {
      const excluded = ctx.excludedPriorities ?? null
      if (excluded !== null && excluded.size > 0) choice = choosePriority(excludePriorities(this.loads, excluded), below(ctx.random(), 100))
      else choice = this.onlyPriority >= 0 ? this.onlyPriority * 2 : choosePriority(this.loads, below(ctx.random(), 100))
    }
    const priority = choice >> 1
    const degraded = (choice & 1) === 1
    const sources = this.sources[priority]
    if (sources === undefined) return null
    if (this.loads.panic[priority]) {
      env.stats.main.lb_healthy_panic.value++
      return env.zoneAware?.failTrafficOnPanic === true ? null : sources.all
    }
    if (env.localityWeighted) {
      const locality = (degraded ? sources.degradedPicker : sources.healthyPicker).pick()
      if (locality >= 0) return (degraded ? sources.degradedByLocality : sources.healthyByLocality)[locality] ?? null
    }
    const whole = degraded ? sources.degraded : sources.healthy
    if (priority !== 0 || this.zoneRouting.kind === 'none' || env.zoneAware === null || this.local === null) return whole
    if (env.zoneAware.routingEnabledPercent < 100 && below(ctx.random(), 100) >= env.zoneAware.routingEnabledPercent) return whole
    if (inPanic(this.local.sets[0]!, env.panicThreshold)) {
      env.stats.main.lb_local_cluster_not_ok.value++
      return env.zoneAware.failTrafficOnPanic ? null : whole
    }
    const locality = chooseLocality(this.zoneRouting, ctx.random, env.stats)
    return (degraded ? sources.degradedByLocality : sources.healthyByLocality)[locality] ?? whole
  }
}

/** envoy.load_balancing_policies.random: every usable host alike, whatever its weight. */
export class RandomLoadBalancer extends ZoneAwareLoadBalancer<null> {
  protected newState(): null {
    return null
  }

  protected pickFrom(source: HostSource<null>, ctx: LbContext): Host | null {
    const { hosts } = source
    return hosts.length === 0 ? null : hosts[below(ctx.random(), hosts.length)]!
  }
}

/** The first usable host in the order of the config. */
export class PickFirstLoadBalancer extends ZoneAwareLoadBalancer<null> {
  protected newState(): null {
    return null
  }

  protected pickFrom(source: HostSource<null>, ctx: LbContext): Host | null {
    const { hosts } = source
    // A retry that rejects the first host gets the next one, not the same again.
    if (ctx.maxAttempts > 1) for (const host of hosts) if (!ctx.shouldSkip(host)) return host
    return hosts[0] ?? null
  }
}
