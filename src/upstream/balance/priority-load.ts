// Which share of the traffic each priority gets, from the health of its hosts: Envoy's priority levels, overprovisioning, degraded
// hosts and panic mode (docs: intro/arch_overview/upstream/load_balancing/{priority,degraded,panic_threshold}).
// Pure functions; called by the load balancers when a host set changed, and `choosePriority` per pick.

import type { HostSet } from '../host/host-set.js'

export interface PriorityLoads {
  /** Per cent of the traffic to healthy hosts, by priority; with `degraded` they sum up to 100. */
  readonly healthy: readonly number[]
  readonly degraded: readonly number[]
  /** Priorities that use all their hosts, whatever their health. */
  readonly panic: readonly boolean[]
  /** Per cent, after overprovisioning: shown by the admin API and by tests. */
  readonly availability: readonly number[]
  readonly degradedAvailability: readonly number[]
}

/** `panicThreshold` 0–100 per cent; 0 = never panic. */
export function computePriorityLoads(sets: readonly HostSet[], panicThreshold: number): PriorityLoads {
  const health = sets.map(set => availability(set, set.healthy))
  const degradedHealth = sets.map(set => availability(set, set.degraded))
  const healthy = sets.map(() => 0)
  const degraded = sets.map(() => 0)
  const panic = sets.map(() => false)
  const total = Math.min(100, health.reduce((sum, n) => sum + n, 0) + degradedHealth.reduce((sum, n) => sum + n, 0))
  if (total > 0) distribute(healthy, degraded, health, degradedHealth, total)
  if (panicThreshold === 0 && total === 0) {
    // Nobody will be found there, but the shares must sum up to 100.
    healthy[0] = 100
    return { healthy, degraded, panic, availability: health, degradedAvailability: degradedHealth }
  }
  let totalPanic = true
  for (let i = 0; i < sets.length; i++) {
    panic[i] = total === 100 ? false : inPanic(sets[i]!, panicThreshold)
    totalPanic &&= panic[i]!
  }
  if (totalPanic) distributeInPanic(sets, healthy, degraded)
  else if (total === 0) healthy[0] = 100
  return { healthy, degraded, panic, availability: health, degradedAvailability: degradedHealth }
}

/** The priority for a number 0..99 and whether its degraded hosts are meant: `priority * 2 + (degraded ? 1 : 0)`. */
export function choosePriority(loads: { healthy: readonly number[]; degraded: readonly number[] }, roll: number): number {
  const target = roll + 1
  let sum = 0
  for (let i = 0; i < loads.healthy.length; i++) {
    sum += loads.healthy[i]!
    if (target <= sum) return i * 2
  }
  for (let i = 0; i < loads.degraded.length; i++) {
    sum += loads.degraded[i]!
    if (target <= sum) return i * 2 + 1
  }
  return 0
}

/** Whether less than `threshold` per cent of the hosts that count are healthy or degraded. */
export function inPanic(set: HostSet, threshold: number): boolean {
  const count = set.hosts.length - set.excluded.length
  const usable = count === 0 ? 0 : (100 * set.healthy.length) / count + (100 * set.degraded.length) / count
  return usable < Math.min(100, threshold)
}

/**
 * The loads without some priorities (retry_priority previous_priorities): as if the excluded ones had no healthy hosts.
 * When nothing is left, the original loads.
 */
export function excludePriorities(loads: PriorityLoads, excluded: ReadonlySet<number>): PriorityLoads {
  const health = loads.availability.map((value, i) => (excluded.has(i) ? 0 : value))
  const degradedHealth = loads.degradedAvailability.map((value, i) => (excluded.has(i) ? 0 : value))
  const total = Math.min(100, health.reduce((sum, n) => sum + n, 0) + degradedHealth.reduce((sum, n) => sum + n, 0))
  if (total === 0) return loads
  const healthy = health.map(() => 0)
  const degraded = health.map(() => 0)
  distribute(healthy, degraded, health, degradedHealth, total)
  return { ...loads, healthy, degraded }
}

function availability(set: HostSet, usable: HostSet['hosts']): number {
  const count = set.hosts.length - set.excluded.length
  if (count <= 0) return 0
  const part = set.weightedPriorityHealth ? weightOf(usable) : usable.length
  const whole = set.weightedPriorityHealth ? weightOf(set.hosts) - weightOf(set.excluded) : count
  return Math.min(100, Math.floor((set.overprovisioningFactor * part) / whole))
}

function weightOf(hosts: HostSet['hosts']): number {
  let sum = 0
  for (const host of hosts) sum += host.weight
  return sum
}

function distribute(healthy: number[], degraded: number[], health: number[], degradedHealth: number[], total: number): void {
  let left = 100
  for (let i = 0; i < health.length; i++) {
    healthy[i] = Math.min(left, Math.floor((health[i]! * 100) / total))
    left -= healthy[i]!
  }
  for (let i = 0; i < degradedHealth.length; i++) {
    degraded[i] = Math.min(left, Math.floor((degradedHealth[i]! * 100) / total))
    left -= degraded[i]!
  }
  // What is left are rounding errors: they go to the first priority that can take them.
  if (left === 0) return
  const first = health.findIndex(n => n > 0)
  if (first >= 0) healthy[first]! += left
  else {
    const firstDegraded = degradedHealth.findIndex(n => n > 0)
    degraded[firstDegraded]! += left
  }
}

function distributeInPanic(sets: readonly HostSet[], healthy: number[], degraded: number[]): void {
  const count = sets.reduce((sum, set) => sum + set.hosts.length, 0)
  degraded.fill(0)
  if (count === 0) {
    healthy.fill(0)
    healthy[0] = 100
    return
  }
  let left = 100
  for (let i = 0; i < sets.length; i++) {
    healthy[i] = Math.floor((100 * sets[i]!.hosts.length) / count)
    left -= healthy[i]!
  }
  const first = sets.findIndex(set => set.hosts.length > 0)
  healthy[first]! += left
}
