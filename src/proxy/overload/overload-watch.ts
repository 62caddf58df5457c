// Looks at the resources of the bootstrap's overload manager every `refresh_interval` and sets how far each action and load shed point is in
// force. Made by Server in the process that measures (with workers: the primary); what follows from a level is OverloadActions', in each
// process that serves. Invariant: a level is the highest of its triggers'; a reading that fails leaves what it was.

import type { Histogram } from '../../metrics/histogram.js'
import {
  loadShedPointStats,
  type OverloadLevelStats,
  type OverloadResourceStats,
  overloadActionStats,
  overloadResourceStats,
  refreshIntervalDelay,
} from '../../metrics/overload-stats.js'
import type { StatsStore } from '../../metrics/stats-store.js'
import type { LoadShedPoint, OverloadAction, OverloadConfig, OverloadRule, OverloadTrigger, ResourceMonitor } from '../../model/overload.js'
import { type MeasuredProcess, pressureOf } from './resource-monitors.js'

export interface OverloadWatchEnvironment {
  readonly store: StatsStore
  readonly measured: MeasuredProcess
  readonly log: (level: 'info' | 'warn', message: string) => void
  /** Of an action or load shed point that changed. */
  readonly onLevel: (name: OverloadAction | LoadShedPoint, value: number) => void
}

interface Resource {
  readonly monitor: ResourceMonitor
  readonly stats: OverloadResourceStats
  pressure: number
  failure: string
}

interface Rule {
  readonly rule: OverloadRule<OverloadAction | LoadShedPoint>
  readonly stats: OverloadLevelStats
  value: number
}

export class OverloadWatch {
  private readonly env: OverloadWatchEnvironment
  private readonly intervalMs: number
  private readonly resources: readonly Resource[]
  private readonly rules: readonly Rule[]
  private readonly delay: Histogram
  /** performance.now() of the last look. */
  private refreshedAt = 0
  private timer: NodeJS.Timeout | null = null

  constructor(config: OverloadConfig, env: OverloadWatchEnvironment) {
    this.env = env
    this.intervalMs = config.refreshIntervalMs
    const { store } = env
    this.delay = refreshIntervalDelay(store)
    this.resources = config.monitors.map(monitor => ({
      monitor,
      stats: overloadResourceStats(store, monitor.name, monitor.kind !== 'downstream-connections'),
      pressure: 0,
      failure: '',
    }))
    this.rules = [
      ...config.actions.map(rule => ({ rule, stats: overloadActionStats(store, rule.name), value: 0 })),
      ...config.shedPoints.map(rule => ({ rule, stats: loadShedPointStats(store, rule.name), value: 0 })),
    ]
  }

  start(): void {
    this.timer = setInterval(() => this.refresh(), this.intervalMs)
    this.timer.unref()
  }

  close(): void {
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
  }

  refresh(): void {
    const now = performance.now()
    if (this.refreshedAt > 0) this.delay.record(now - this.refreshedAt)
    this.refreshedAt = now
    for (const resource of this.resources) this.measure(resource)
    for (const rule of this.rules) this.judge(rule)
  }

  private measure(resource: Resource): void {
    const { monitor, stats } = resource
    try {
      resource.pressure = pressureOf(monitor, this.env.measured)
      resource.failure = ''
      stats.pressure.value = Math.trunc(resource.pressure * 100)
    } catch (error) {
      const { message } = error as Error
      stats.failedUpdates.value++
      if (message !== resource.failure) this.env.log('warn', `overload: ${monitor.name}: ${message}`)
      resource.failure = message
    }
  }

  private judge(entry: Rule): void {
    const { rule, stats } = entry
    let value = 0
    for (const trigger of rule.triggers) value = Math.max(value, triggerLevel(trigger, this.pressure(trigger.resource)))
    if (value === entry.value) return
    if (value >= 1 !== entry.value >= 1) this.env.log('info', `overload: ${rule.name} became ${value >= 1 ? 'active' : 'inactive'}`)
    entry.value = value
    if (stats.active !== null) stats.active.value = value >= 1 ? 1 : 0
    stats.scalePercent.value = Math.trunc(value * 100)
    this.env.onLevel(rule.name, value)
  }

  private pressure(resource: string): number {
    return this.resources.find(({ monitor }) => monitor.name === resource)?.pressure ?? 0
  }
}

/** 0 to 1. A threshold is reached by its own value; a scaled trigger begins above its first and is whole at its second. */
export function triggerLevel({ from, to }: OverloadTrigger, pressure: number): number {
  if (pressure >= to) return 1
  return pressure <= from ? 0 : (pressure - from) / (to - from)
}
