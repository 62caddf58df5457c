// Round robin and least request. Hosts of equal weight are picked without a schedule (a cursor, or the power of N choices); unequal
// weights and slow start go through an EDF schedule, whose members keep their turn when other endpoints come and go.
// Source: Envoy docs, intro/arch_overview/upstream/load_balancing/{load_balancers,slow_start}.

import type { SlowStart } from '../../model/cluster.js'
import type { Host } from '../host/host.js'
import type { HostSet } from '../host/host-set.js'
import { EdfScheduler } from './edf-scheduler.js'
import type { LbContext, LbEnvironment } from './load-balancer.js'
import { below } from './load-balancer.js'
import { type HostSource, ZoneAwareLoadBalancer } from './zone-aware-load-balancer.js'

class Turn {
  /** Next index of plain round robin. */
  cursor: number
  /** null until weights differ for the first time. */
  scheduler: EdfScheduler<Host> | null = null
  scheduled = false

  constructor(cursor: number) {
    this.cursor = cursor
  }
}

abstract class EdfLoadBalancer extends ZoneAwareLoadBalancer<Turn> {
  private readonly slowStart: SlowStart | null
  private readonly seed: number
  /** When the newest host in its slow start window became healthy; -Infinity = none. */
  private latestStartMs = Number.NEGATIVE_INFINITY
  /** False once all windows are over: spares the arithmetic per pick. */
  protected warmingUp = false
  private readonly weigh = (host: Host): number => this.weightOf(host)

  constructor(env: LbEnvironment, slowStart: SlowStart | null) {
    super(env)
    this.slowStart = slowStart !== null && slowStart.windowMs > 0 ? slowStart : null
    this.seed = below(env.random(), 0x7fffffff)
  }

  protected abstract baseWeight(host: Host): number
  protected abstract pickUnweighted(source: HostSource<Turn>, ctx: LbContext): Host

  protected newState(): Turn {
    return new Turn(this.seed)
  }

  protected override onRefresh(sets: readonly HostSet[]): void {
    if (this.slowStart === null) return
    const now = this.env.clock.now()
    for (const set of sets) {
      for (const host of set.healthy) {
        // Without active health checks the window begins when the host is first seen healthy.
        host.lastHealthyAtMs ??= now
        if (host.lastHealthyAtMs > this.latestStartMs && now - host.lastHealthyAtMs <= this.slowStart.windowMs) {
          this.latestStartMs = host.lastHealthyAtMs
        }
      }
    }
    this.warmingUp = now - this.latestStartMs <= this.slowStart.windowMs
  }

  protected pickFrom(source: HostSource<Turn>, ctx: LbContext): Host | null {
    const { state, hosts } = source
    if (source.version !== this.version) this.prepare(source)
    if (hosts.length === 0) return null
    if (!state.scheduled) return this.pickUnweighted(source, ctx)
    if (this.warmingUp && this.env.clock.now() - this.latestStartMs > this.slowStart!.windowMs) this.warmingUp = false
    return state.scheduler!.pick(this.weigh)
  }

  private prepare(source: HostSource<Turn>): void {
    const { state, hosts } = source
    source.version = this.version
    const scheduled = hosts.length > 1 && (this.warmingUp || !weightsAreEqual(hosts))
    if (!scheduled) {
      state.scheduled = false
      state.scheduler = null
      return
    }
    if (state.scheduler === null) {
      state.scheduler = new EdfScheduler()
      state.scheduler.fill(hosts, this.weigh, this.seed)
    } else state.scheduler.rebuild(hosts, this.weigh)
    state.scheduled = true
  }

  private weightOf(host: Host): number {
    const weight = this.baseWeight(host)
    const slowStart = this.slowStart
    if (!this.warmingUp || slowStart === null || host.lastHealthyAtMs === null || !host.healthy) return weight
    const healthyForMs = this.env.clock.now() - host.lastHealthyAtMs
    if (healthyForMs >= slowStart.windowMs) return weight
    const timeFactor = Math.max(1, healthyForMs) / slowStart.windowMs
    const aggression = slowStart.aggression > 0 ? slowStart.aggression : 1
    const factor = aggression === 1 || timeFactor === 1 ? timeFactor : timeFactor ** (1 / aggression)
    return weight * Math.max(factor, slowStart.minWeightPercent / 100)
  }
}

function weightsAreEqual(hosts: readonly Host[]): boolean {
  const weight = hosts[0]!.endpoint.weight
  for (let i = 1; i < hosts.length; i++) if (hosts[i]!.endpoint.weight !== weight) return false
  return true
}

export class RoundRobinLoadBalancer extends EdfLoadBalancer {
  protected baseWeight(host: Host): number {
    return host.endpoint.weight
  }

  protected pickUnweighted(source: HostSource<Turn>): Host {
    const { hosts, state } = source
    if (state.cursor >= hosts.length) state.cursor %= hosts.length
    return hosts[state.cursor++]!
  }
}

export interface LeastRequestOptions {
  readonly choiceCount: number
  readonly activeRequestBias: number
  readonly fullScan: boolean
  readonly slowStart: SlowStart | null
}

export class LeastRequestLoadBalancer extends EdfLoadBalancer {
  private readonly options: LeastRequestOptions

  constructor(env: LbEnvironment, options: LeastRequestOptions) {
    super(env, options.slowStart)
    this.options = options
  }

  protected baseWeight(host: Host): number {
    const bias = this.options.activeRequestBias
    const weight = host.endpoint.weight
    if (bias === 1) return weight / (host.activeRequests + 1)
    return bias === 0 ? weight : weight / (host.activeRequests + 1) ** bias
  }

  protected pickUnweighted(source: HostSource<Turn>, ctx: LbContext): Host {
    return this.options.fullScan ? scanForLeast(source.hosts, ctx) : leastOfChoices(source.hosts, this.options.choiceCount, ctx)
  }
}

function leastOfChoices(hosts: readonly Host[], choices: number, ctx: LbContext): Host {
  let best = hosts[below(ctx.random(), hosts.length)]!
  for (let i = 1; i < choices; i++) {
    const other = hosts[below(ctx.random(), hosts.length)]!
    if (other.activeRequests < best.activeRequests) best = other
  }
  return best
}

/** O(hosts), as asked for by FULL_SCAN. Ties are broken evenly, with one random number however many there are. */
function scanForLeast(hosts: readonly Host[], ctx: LbContext): Host {
  let least = Number.POSITIVE_INFINITY
  let ties = 0
  for (let i = 0; i < hosts.length; i++) {
    const active = hosts[i]!.activeRequests
    if (active < least) {
      least = active
      ties = 1
    } else if (active === least) ties++
  }
  let skip = below(ctx.random(), ties)
  for (let i = 0; ; i++) if (hosts[i]!.activeRequests === least && skip-- === 0) return hosts[i]!
}
