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
import type { SharedApplied } from '../status/shared-applied.js'
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
  /** null: nobody shares the work. */
  readonly shared: SharedApplied | null
  readonly driverOf: (task: TaskConfig) => Driver
  readonly onEvent: (task: string, event: TaskEvent) => void
}

export class TaskTable {
  private readonly runners = new Map<string, TaskRunner>()
  private readonly places = new Places(MAX_RUNS)
  /** Names of those that are being deleted: for others they are gone, but for their names. */
  private readonly leaving = new Set<string>()
  private isLeading = false
  /** Counts the times that this process began or ended to lead. */
  private term = 0

  constructor(private readonly context: TaskTableContext) {}

  get(name: string): TaskRunner | undefined {
    return this.leaving.has(name) ? undefined : this.runners.get(name)
  }

  /** Nobody else may have its name yet. */
  isLeaving(name: string): boolean {
    return this.leaving.has(name)
  }

  all(): readonly TaskRunner[] {
    return [...this.runners.values()].filter(({ config }) => !this.leaving.has(config.name))
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
      setApplied: applied => {
        state.state.applied[config.name] = applied
        this.context.shared?.save(state.state.applied)
      },
    })
    this.runners.set(config.name, runner)
    return runner
  }

  /** By the API: it is there after a restart as well. `hasRun`: by hand, just now. */
  create(runner: TaskRunner, source: Plain, by: string, hasRun: boolean): void {
    const { name } = runner.config
    this.context.state.state.created[name] = source
    this.context.state.save()
    this.context.audit.write({ task: name, action: 'create', by })
    if (this.isLeading && this.isEnabled(runner)) runner.start(hasRun)
  }

  /** A task that was added to be looked at or tried. */
  async forget(runner: TaskRunner): Promise<void> {
    const { name } = runner.config
    await runner.stop()
    if (this.runners.get(name) === runner) this.runners.delete(name)
  }

  /** Resolves when nothing of it runs any more; until then its name is taken. A restart does not bring it back, whenever that comes. */
  async delete(runner: TaskRunner, by: string): Promise<void> {
    const { state, audit, shared } = this.context
    const { name } = runner.config
    delete state.state.created[name]
    state.save()
    audit.write({ task: name, action: 'delete', by })
    this.leaving.add(name)
    await this.forget(runner)
    this.leaving.delete(name)
    for (const part of [state.state.enabled, state.state.applied, state.state.owed]) delete part[name]
    state.save()
    shared?.save(state.state.applied)
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

  /** This process is the one that acts, from where the last one stopped. */
  async lead(): Promise<void> {
    const term = ++this.term
    const { shared, state } = this.context
    if (shared !== null) {
      const known = await shared.load()
      if (term !== this.term) return
      Object.assign(state.state.applied, known)
    }
    this.isLeading = true
    for (const runner of this.all()) if (this.isEnabled(runner)) runner.start()
  }

  /** Another one may act from now on: resolves when nothing of ours runs any more. */
  async yield(): Promise<void> {
    this.term++
    this.isLeading = false
    await Promise.all([...this.runners.values()].map(runner => runner.stop()))
    await this.context.shared?.settled()
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
