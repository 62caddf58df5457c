// All tasks of a process: those of the configuration, those of the API; on and off; what was applied, audited, remembered.
// Made by automation.ts, asked by the status API and the command. Invariant: while this process does not lead, nothing is followed and nothing
// runs; at most MAX_RUNS tasks run at one time.
import type { WallClock } from '../../io/clock.js'
import type { WatchHub } from '../answers/watch-hub.js'
import type { Plain } from '../config/config-fields.js'
import { MAX_TASKS } from '../config/read-sync-config.js'
import type { TaskConfig } from '../config/sync-config.js'
import type { Driver } from '../drivers/driver.js'
import { Places } from '../places.js'
import type { AuditLog } from './audit-log.js'
import type { StateFile } from './sync-state.js'
import type { TaskEvent } from './task-event.js'
import { type RunDetails, TaskRunner } from './task-runner.js'

const MAX_RUNS = 8

export interface TaskTableContext {
  readonly hub: WatchHub
  readonly clock: WallClock
  readonly random: () => number
  readonly state: StateFile
  readonly audit: AuditLog
  readonly driverOf: (task: TaskConfig) => Driver
  readonly onEvent: (task: string, event: TaskEvent) => void
}

export class TaskTable {
  private readonly runners = new Map<string, TaskRunner>()
  private readonly places = new Places(MAX_RUNS)
  private isLeading = false

  constructor(private readonly context: TaskTableContext) {}

  get(name: string): TaskRunner | undefined {
    return this.runners.get(name)
  }

  all(): readonly TaskRunner[] {
    return [...this.runners.values()]
  }

  /** Whether it is on, were this process leading. */
  isEnabled({ config }: TaskRunner): boolean {
    return this.context.state.state.enabled[config.name] ?? config.enabled
  }

  add(config: TaskConfig): TaskRunner {
    if (this.runners.has(config.name)) throw new Error(`task ${config.name} is there already`)
    if (this.runners.size >= MAX_TASKS) throw new Error(`more than ${MAX_TASKS} tasks`)
    const { hub, clock, random, state, driverOf } = this.context
    const runner = new TaskRunner(config, driverOf(config), {
      hub,
      clock,
      random,
      place: run => this.places.run(run),
      onRun: (task, event, more) => this.ran(task, event, more),
      applied: () => state.state.applied[config.name],
      setApplied: fingerprint => {
        state.state.applied[config.name] = fingerprint
      },
    })
    this.runners.set(config.name, runner)
    if (this.isLeading && this.isEnabled(runner)) runner.start()
    return runner
  }

  /** By the API: it is there after a restart as well. */
  create(config: TaskConfig, source: Plain, by: string): TaskRunner {
    const runner = this.add(config)
    this.context.state.state.created[config.name] = source
    this.context.state.save()
    this.context.audit.write({ task: config.name, action: 'create', by })
    return runner
  }

  /** A task that was added to be looked at. */
  async forget(name: string): Promise<void> {
    const runner = this.runners.get(name)
    this.runners.delete(name)
    await runner?.stop()
  }

  async delete(name: string, by: string): Promise<void> {
    await this.forget(name)
    const { state, audit } = this.context
    for (const part of [state.state.created, state.state.enabled, state.state.applied]) delete part[name]
    state.save()
    audit.write({ task: name, action: 'delete', by })
  }

  async setEnabled(runner: TaskRunner, enabled: boolean, by: string): Promise<void> {
    const { name } = runner.config
    if (this.isEnabled(runner) === enabled) return
    this.context.state.state.enabled[name] = enabled
    this.context.state.save()
    this.context.audit.write({ task: name, action: enabled ? 'enable' : 'disable', by })
    if (!enabled) await runner.stop()
    else if (this.isLeading) runner.start()
  }

  /** This process is the one that acts. */
  lead(): void {
    this.isLeading = true
    for (const runner of this.runners.values()) if (this.isEnabled(runner)) runner.start()
  }

  /** Another one may act from now on: resolves when nothing of ours runs any more. */
  async yield(): Promise<void> {
    this.isLeading = false
    await Promise.all(this.all().map(runner => runner.stop()))
  }

  private ran({ config }: TaskRunner, event: TaskEvent, { fingerprint, asked, files }: RunDetails): void {
    const { audit, state, onEvent } = this.context
    const { startTime: _start, endTime: _end, ...shown } = event
    try {
      audit.write({
        task: config.name,
        action: 'run',
        driver: config.driver.kind,
        ...shown,
        durationMs: Date.parse(event.endTime) - Date.parse(event.startTime),
        inputs: fingerprint,
        asked,
        ...(files === undefined ? {} : { files }),
      })
      state.save()
    } finally {
      onEvent(config.name, event)
    }
  }
}
