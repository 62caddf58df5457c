// One task: what it asks, when it runs, how it went. Made by task-table.ts, woken by the watches of what it asked.
//
//   waiting (something it asked is not known) -> settling (buffer period) -> running -> idle
//        ^                                          ^                          |  failed: again, later each time, then idle
//        '------------------------------------------'---- a change ------------'
//
// Invariant: at most one run or dry run at a time, whoever asked for it; what changes meanwhile is looked at when it has ended, and stop()
// ends all of them. A task that fails, throws or hangs on its programs harms no other: everything of it is caught here and shown in its status.
import { createHash, randomUUID } from 'node:crypto'
import { fullJitterMs } from '../../io/backoff.js'
import { NO_TIMER, type Timer, type WallClock } from '../../io/clock.js'
import { readSources, type TaskInputs } from '../answers/data-sources.js'
import type { AskedAnswers, WatchHub } from '../answers/watch-hub.js'
import type { TaskConfig } from '../config/sync-config.js'
import { type Applied, type Change, type Driver, DriverError, type Preview } from '../drivers/driver.js'
import { pause } from '../pause.js'
import { BufferTimer } from './buffer-timer.js'
import type { AppliedRecord } from './sync-state.js'
import { KEPT_EVENTS, type TaskEvent, type TaskStatus, taskStatusOf } from './task-event.js'

export interface TaskContext {
  readonly hub: WatchHub
  readonly clock: WallClock
  readonly random: () => number
  /** Runs of all tasks; waits for a place among them. */
  readonly place: <T>(run: () => Promise<T>) => Promise<T>
  readonly onRun: (task: TaskRunner, event: TaskEvent, more: RunDetails) => void
  /** What was applied last, by this process, an earlier one, or another that led. */
  readonly applied: () => AppliedRecord | undefined
  readonly setApplied: (applied: AppliedRecord) => void
}

export interface RunDetails {
  readonly fingerprint: string
  /** What was asked for it. */
  readonly asked: readonly string[]
  readonly files: Applied['files']
}

interface Prepared {
  readonly change: Change
  readonly asked: readonly string[]
  /** Of what triggers it. */
  readonly trigger: string
  readonly fingerprint: string
}

/** CTS tries three times in all. */
const MAX_ATTEMPTS = 3
const RETRY_BASE_MS = 1_000
const RETRY_MAX_MS = 20_000
const NOTHING_NEW = 'nothing has changed'

export class TaskRunner {
  readonly events: TaskEvent[] = []
  /** Why it is not ready, or cannot be; '' = all is well. */
  problem = ''
  private readonly buffer: BufferTimer
  private schedule: Timer = NO_TIMER
  private stopping = new AbortController()
  private isActive = false
  private isRunning = false
  private hasChanged = false
  private isReady = false
  /** What triggered the last run that was begun. */
  private lastTrigger: string | undefined
  private nextReason = 'start'
  private idle: (() => void)[] = []

  constructor(
    readonly config: TaskConfig,
    private readonly driver: Driver,
    private readonly context: TaskContext,
  ) {
    this.buffer = new BufferTimer(config.buffer, context.clock, () => this.consider())
  }

  get status(): TaskStatus {
    return taskStatusOf(this.events)
  }

  /** Begins to follow its inputs; runs as soon as they are there. `hasRun`: by hand, and again only where they are others by now. */
  start(hasRun = false): void {
    if (this.isActive) return
    this.isActive = true
    this.liveSignal()
    if (!hasRun) this.lastTrigger = undefined
    this.nextReason = hasRun ? this.usualReason : 'start'
    this.armSchedule()
    this.consider()
  }

  /** Follows nothing any more; resolves when a run that goes on, by hand too, has ended. */
  async stop(): Promise<void> {
    this.isActive = false
    this.buffer.cancel()
    this.schedule.cancel()
    this.stopping.abort()
    this.isReady = false
    await this.whenIdle()
    // It may have been started again meanwhile.
    if (!this.isActive) this.context.hub.hold(this, new Set())
  }

  /** A watch has news. */
  onChange(): void {
    if (!this.isActive) return
    // Until it is ready for the first time it only waits for answers: there is nothing to settle.
    if (this.isReady) this.buffer.changed()
    else this.consider()
  }

  /** By hand or by the API: now, whatever has changed. */
  async runNow(reason: string): Promise<TaskEvent> {
    const signal = this.liveSignal()
    const prepared = await this.claim(signal)
    this.lastTrigger = prepared.trigger
    return await this.run(prepared, reason, signal)
  }

  /** Never beside a run: what some drivers look at, and the plan they make of it, is what a run works on. */
  async inspect(): Promise<Preview> {
    const signal = this.liveSignal()
    const { change } = await this.claim(signal)
    try {
      return await change.preview(AbortSignal.any([signal, AbortSignal.timeout(INSPECT_MS)]))
    } finally {
      this.ended()
    }
  }

  private get usualReason(): string {
    return this.config.condition?.kind ?? 'template'
  }

  /** Aborted by the next stop(). */
  private liveSignal(): AbortSignal {
    if (this.stopping.signal.aborted) this.stopping = new AbortController()
    return this.stopping.signal
  }

  private armSchedule(): void {
    const { condition } = this.config
    if (condition?.kind !== 'schedule') return
    const { clock } = this.context
    const now = clock.wallNow()
    const next = condition.cron.next(now)
    if (next === undefined) return
    this.schedule = clock.after(Math.min(next - now, LONGEST_TIMER_MS), () => {
      if (clock.wallNow() >= next) {
        this.nextReason = 'schedule'
        this.lastTrigger = undefined
        this.consider()
      }
      this.armSchedule()
    })
  }

  /** Looks at what is known now, and runs where that is new. */
  private consider(): void {
    if (!this.isActive) return
    if (this.isRunning) {
      this.hasChanged = true
      return
    }
    const prepared = this.prepare()
    if (prepared === undefined) return
    this.isReady = true
    if (prepared.trigger === this.lastTrigger) return
    const reason = this.nextReason
    this.nextReason = this.usualReason
    this.lastTrigger = prepared.trigger
    // As an earlier process has left it; a driver finds out by itself whether something is to be done, but a webhook would be told again.
    if (reason === 'start' && prepared.fingerprint === this.context.applied()?.inputs && this.config.driver.kind === 'webhook') return
    this.run(prepared, reason, this.stopping.signal).catch((error: Error) => {
      this.problem = error.message
    })
  }

  /** Undefined: something is missing, or wrong; `problem` says what. */
  private prepare(): Prepared | undefined {
    const { hub } = this.context
    const answers = hub.answers()
    let prepared: Prepared | undefined
    try {
      prepared = this.evaluate(answers)
      this.problem = ''
    } catch (error) {
      this.problem = (error as Error).message
    }
    const refused = hub.hold(this, answers.asked)
    const problems = [refused, ...hub.problems(this)].filter(each => each !== '')
    if (problems.length > 0) this.problem = problems.join('; ')
    if (answers.missing.size === 0) return prepared
    this.problem ||= `waits for ${[...answers.missing].slice(0, SHOWN_PATHS).join(', ')}`
    return undefined
  }

  private evaluate(answers: AskedAnswers): Prepared {
    const { condition, inputs } = this.config
    const triggering: TaskInputs | undefined =
      condition === null || condition.kind === 'schedule' ? undefined : readSources([condition], answers)
    const sources = condition !== null && condition.kind !== 'schedule' && condition.isInput ? [condition, ...inputs] : inputs
    const change = this.driver.prepare(answers, readSources(sources, answers))
    const fingerprint = createHash('sha256').update(change.content).digest('hex')
    const trigger = condition?.kind === 'schedule' ? 'schedule' : triggering === undefined ? fingerprint : JSON.stringify(triggering)
    return { change, trigger, fingerprint, asked: [...answers.asked] }
  }

  /** Waits for what it asks and until nothing of it runs; from then on nothing else will, before the caller's has ended. */
  private async claim(signal: AbortSignal): Promise<Prepared> {
    try {
      for (let waitedMs = 0; ; ) {
        if (signal.aborted) throw new DriverError('was stopped before anything changed')
        if (this.isRunning) {
          await this.whenIdle()
          continue
        }
        const prepared = this.prepare()
        if (prepared !== undefined) {
          this.isRunning = true
          return prepared
        }
        if (waitedMs >= ANSWERS_WITHIN_MS) throw new DriverError(`is not ready: ${this.problem}`)
        await pause(ANSWER_STEP_MS, this.context.clock, signal)
        waitedMs += ANSWER_STEP_MS
      }
    } finally {
      // What a task that is off has asked, nobody follows.
      if (!this.isActive) this.context.hub.hold(this, new Set())
    }
  }

  private async run(prepared: Prepared, reason: string, signal: AbortSignal): Promise<TaskEvent> {
    const { clock, random, place } = this.context
    this.isRunning = true
    const startMs = clock.wallNow()
    let outcome: Pick<TaskEvent, 'success' | 'error' | 'output' | 'rolledBack' | 'changed' | 'summary'> | undefined
    let files: Applied['files']
    let attempts = 0
    const { fingerprint } = prepared
    const idempotencyKey = idBehind(this.context.applied()?.id ?? this.config.name, fingerprint)
    while (outcome === undefined) {
      attempts++
      try {
        const applied = await place(() => prepared.change.apply({ signal, idempotencyKey, trigger: reason }))
        files = applied.files
        outcome = {
          success: true,
          error: '',
          rolledBack: false,
          output: applied.output,
          changed: applied.changed,
          summary: applied.changed ? applied.summary : applied.summary || NOTHING_NEW,
        }
        this.context.setApplied({ inputs: fingerprint, id: idempotencyKey })
      } catch (error) {
        const failure = error instanceof DriverError ? error : new DriverError((error as Error).message)
        if (attempts < MAX_ATTEMPTS && !failure.isFinal && !signal.aborted) {
          await pause(fullJitterMs(attempts - 1, RETRY_BASE_MS, RETRY_MAX_MS, random), clock, signal)
          if (!signal.aborted && !this.hasChanged) continue
          // What has changed may be nothing that it sees: then, too, this was not its last attempt.
          this.lastTrigger = undefined
        }
        outcome = {
          success: false,
          error: failure.message,
          rolledBack: failure.rolledBack,
          output: failure.output,
          changed: false,
          summary: '',
        }
      }
    }
    const event: TaskEvent = {
      id: randomUUID(),
      ...outcome,
      trigger: reason,
      attempts,
      startTime: new Date(startMs).toISOString(),
      endTime: new Date(clock.wallNow()).toISOString(),
    }
    this.events.unshift(event)
    this.events.length = Math.min(this.events.length, KEPT_EVENTS)
    try {
      this.context.onRun(this, event, { fingerprint, asked: prepared.asked, files })
    } finally {
      this.ended()
    }
    return event
  }

  private ended(): void {
    this.isRunning = false
    for (const resolve of this.idle.splice(0)) resolve()
    if (!this.hasChanged) return
    this.hasChanged = false
    this.onChange()
  }

  private async whenIdle(): Promise<void> {
    while (this.isRunning) await new Promise<void>(resolve => this.idle.push(resolve))
  }
}

/** Of what is told behind what was told last: the same for whoever tries it again, another one when the same inputs come back. */
function idBehind(lastId: string, fingerprint: string): string {
  return createHash('sha256').update(`${lastId}\n${fingerprint}`).digest('hex').slice(0, 32)
}

const LONGEST_TIMER_MS = 3_600_000
const INSPECT_MS = 600_000
const ANSWER_STEP_MS = 100
const ANSWERS_WITHIN_MS = 10_000
const SHOWN_PATHS = 3
