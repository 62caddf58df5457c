// Moves the rollouts: looks at each that runs a few times a second, and does what its author asks, the sidecars allow and transitions.ts knows.
// Made by open-rollouts.ts; commanded by the HTTP API (`put`, `delete`, `act`); writes through `RolloutWriter`.
//
//   written by others? -> taken by the sidecars? -> good in the last interval? -> long enough? -> the next step
//
// Invariants: of one rollout one thing is done at a time, and an abort ends what is under way; nothing that matters is in memory alone, so a
// control plane that was killed goes on where it was.
import type { Timer } from '../../io/clock.js'
import { durationMs } from '../config-entries/duration.js'
import { put, remove } from '../store/store.js'
import { type HeldLease, LeaseLost } from '../store/task-leases.js'
import { intrusion } from './owned-entries.js'
import type { Acceptance, AskAcceptance } from './proxy-acceptance.js'
import { intervalMs, type JudgeParts, judge, noticeId, noticeOf } from './rollout-judge.js'
import { END, mirrorPosition, type Position, pauseMs, positionOf, START, stepsOf } from './rollout-plan.js'
import { READY, type RolloutRecord, type RolloutTable } from './rollout-table.js'
import type { Rollout, Webhook } from './rollout-types.js'
import { type Change, RolloutError, RolloutWriter, refuseRival, type WriterParts } from './rollout-writer.js'
import { isActive, type Phase, TRANSITIONS } from './transitions.js'

export const ACTIONS = ['start', 'promote', 'pause', 'resume', 'abort'] as const
export type Action = (typeof ACTIONS)[number]

export interface EngineParts extends WriterParts, JudgeParts {
  readonly acceptance: AskAcceptance
  onEnd(phase: Phase): void
  onProblem(rollout: string, reason: string): void
}

/** What a control plane has of rollouts. */
export interface Rollouts {
  readonly table: RolloutTable
  readonly engine: RolloutEngine
}

export const MAX_ROLLOUTS = 1_000
export const TICK_MS = 250
/** When each can be said. */
const POSSIBLE: Readonly<Record<Action, (phase: Phase) => boolean>> = {
  start: phase => !isActive(phase),
  promote: phase => phase === 'Mirroring' || phase === 'Stepping' || phase === 'Gated',
  pause: phase => TRANSITIONS[phase].pause !== undefined,
  resume: phase => TRANSITIONS[phase].resume !== undefined,
  abort: phase => TRANSITIONS[phase].abort !== undefined,
}
const { Phase: _phase, Since: _since, Reason: _reason, Audit: _audit, ...UNSTARTED } = READY
/** A step begins with nothing known of it. */
const UNKNOWN = { AcceptedAt: 0, AnalysedAt: 0, Good: 0, Failures: 0, Holds: 0, Verdict: '', VerdictReason: '' } as const

export class RolloutEngine {
  private readonly parts: EngineParts
  private readonly writer: RolloutWriter
  /** What is under way, by rollout. */
  private readonly running = new Map<string, { readonly done: Promise<unknown>; readonly abort: AbortController }>()
  private timer: Timer | undefined
  private stopped = false
  /** One replica moves the rollouts: what it writes by itself is refused once another has the task. */
  private lease: HeldLease | undefined
  private unsubscribe: (() => void) | undefined
  private release: (() => Promise<void>) | undefined
  /** Before it nothing could be heard of the sidecars. */
  private startedAt = 0

  constructor(parts: EngineParts) {
    this.parts = parts
    this.writer = new RolloutWriter(parts)
  }

  /** Goes on with what ran when the control plane ended. */
  start(): void {
    const { store } = this.parts
    // Another replica may have been told to start one.
    this.unsubscribe = store.subscribe(['rollout-status'], () => {
      if (this.timer === undefined) this.arm()
    })
    this.release = store.leases.contend('rollouts', lease => {
      this.lease = lease
      this.startedAt = this.now()
      this.arm()
      lease.signal.addEventListener('abort', () => this.pauseAll(), { once: true })
    })
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.unsubscribe?.()
    this.pauseAll()
    await this.release?.()
  }

  /** Whoever has the task now goes on from what is written. */
  private pauseAll(): void {
    this.timer?.cancel()
    this.timer = undefined
    for (const { abort } of this.running.values()) abort.abort()
  }

  /** Writes what the author wants. Resolves with what stands against a start today. Throws `RolloutError` while the rollout runs. */
  async put(rollout: Rollout): Promise<readonly string[]> {
    const { store, table } = this.parts
    await store.exclusive(async turn => {
      const before = table.get(rollout.Name)
      if (before !== undefined && JSON.stringify(before.rollout) === JSON.stringify(rollout)) return
      if (before !== undefined && isActive(before.status.Phase)) throw busy(before, 'changed')
      if (before === undefined && table.size >= MAX_ROLLOUTS)
        throw new RolloutError('refused', `there are ${MAX_ROLLOUTS} rollouts already, which is the limit`)
      await turn.transaction([put('rollout', rollout.Name, rollout)])
    })
    return this.writer.startErrors(rollout, firstPosition(rollout)).map(({ path, reason }) => (path === '' ? reason : `${path}: ${reason}`))
  }

  async delete(name: string): Promise<void> {
    const { store, table } = this.parts
    await store.exclusive(async turn => {
      const before = table.get(name)
      if (before === undefined) return
      if (isActive(before.status.Phase)) throw busy(before, 'deleted')
      await turn.transaction([remove('rollout', name), remove('rollout-status', name)])
    })
  }

  /** What a person says. Resolves when it is done, and written. */
  async act(name: string, action: Action, by: string, why = ''): Promise<void> {
    // No gate, no webhook and no query is waited for by who wants out.
    if (action === 'abort') this.running.get(name)?.abort.abort()
    await this.alone(name, async () => {
      const record = this.parts.table.get(name)
      if (record === undefined) throw new RolloutError('unknown', `there is no rollout ${JSON.stringify(name)}`)
      const said = `${action} by ${by === '' ? 'an operator' : `token ${by}`}${why === '' ? '' : `: ${why}`}`
      await this.obey(record, action, { by, reason: said })
    })
    this.arm(0)
  }

  private async obey(record: RolloutRecord, action: Action, said: { readonly by: string; readonly reason: string }): Promise<void> {
    const { rollout, status } = record
    const { Phase } = status
    if (!POSSIBLE[action](Phase)) throw new RolloutError('refused', `rollout ${rollout.Name} is ${Phase}: ${action} is not possible`)
    switch (action) {
      case 'start':
        this.requireStart(rollout)
        return this.write(record, { event: 'start', to: 'Starting', ...said, patch: UNSTARTED })
      case 'promote':
        return this.forward(record, said)
      case 'pause':
        return this.write(record, { event: 'pause', to: 'Paused', ...said, patch: { PausedFrom: Phase } })
      case 'resume': {
        // The time in which it was paused is none of its step's.
        const AcceptedAt = status.AcceptedAt === 0 ? 0 : status.AcceptedAt + this.now() - status.Since
        const to = status.PausedFrom === '' ? 'Stepping' : status.PausedFrom
        return this.write(record, { event: 'resume', to, ...said, patch: { PausedFrom: '', AcceptedAt } })
      }
      case 'abort':
        return Phase === 'Starting'
          ? this.write(record, { event: 'abort', to: 'RolledBack', ...said })
          : this.goBack(record, { event: 'abort', ...said })
    }
  }

  /** Throws what stands against it. */
  private requireStart(rollout: Rollout): void {
    const { table, isHealthy } = this.parts
    const { Service, To } = rollout
    refuseRival(rollout, table)
    const [error] = this.writer.startErrors(rollout, firstPosition(rollout))
    if (error !== undefined) throw new RolloutError('refused', error.path === '' ? error.reason : `${error.path}: ${error.reason}`)
    if (!isHealthy(Service, To)) throw new RolloutError('refused', `subset ${To} of ${Service} has no instance that is not critical`)
  }

  // ---- what goes by itself -----------------------------------------------------------------------------------------------------------

  private now(): number {
    return this.parts.clock.wallNow()
  }

  /** One task of a rollout after another. */
  private async alone(name: string, task: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const before = this.running.get(name)
    // Whoever aborts, aborts what waits in the same line too.
    const abort = before?.abort ?? new AbortController()
    const done = (before?.done ?? Promise.resolve()).then(() => task(abort.signal))
    const entry = { done: done.catch(() => {}), abort }
    this.running.set(name, entry)
    try {
      await done
    } finally {
      if (this.running.get(name) === entry) this.running.delete(name)
    }
  }

  private arm(afterMs = TICK_MS): void {
    if (this.stopped || this.lease?.signal.aborted !== false || this.parts.table.active === 0) return
    this.timer?.cancel()
    this.timer = this.parts.clock.after(afterMs, () => {
      this.timer = undefined
      this.tick()
    })
  }

  private tick(): void {
    for (const { rollout, status } of this.parts.table.list()) {
      // What takes longer than a tick is not asked twice.
      if (!isActive(status.Phase) || this.running.has(rollout.Name)) continue
      this.alone(rollout.Name, signal => this.advance(rollout.Name, signal)).catch((error: Error) => {
        if (!(error instanceof LeaseLost)) this.parts.onProblem(rollout.Name, error.message)
      })
    }
    this.arm()
  }

  private async advance(name: string, signal: AbortSignal): Promise<void> {
    const record = this.parts.table.get(name)
    if (record === undefined || !isActive(record.status.Phase)) return
    const intruder = intrusion(record.rollout, record.status, this.parts.entries)
    if (intruder !== undefined) return this.write(record, { event: 'conflict', to: 'Conflicted', reason: intruder })
    switch (record.status.Phase) {
      case 'Starting':
        return this.begin(record, signal)
      case 'Finishing':
        return this.settle(record, { event: 'succeed', to: 'Succeeded', reason: `all requests go to ${record.rollout.To}` }, signal)
      case 'RollingBack':
        return this.settle(record, { event: 'restored', to: 'RolledBack', reason: record.status.Reason }, signal)
      default:
        return this.watch(record, signal)
    }
  }

  /** Asks who wants to be asked before, then makes the first move. */
  private async begin(record: RolloutRecord, signal: AbortSignal): Promise<void> {
    const { rollout } = record
    const failures = await this.notifyAll('before', record, signal)
    if (signal.aborted) return
    if (failures.length > 0) return this.write(record, { event: 'fail', to: 'RolledBack', reason: failures.join('; ') })
    const isMirrored = rollout.Mirror !== undefined
    await this.move(record, {
      event: isMirrored ? 'mirror' : 'step',
      to: isMirrored ? 'Mirroring' : 'Stepping',
      position: firstPosition(rollout),
      reason: isMirrored ? `copies of ${rollout.Mirror!.Percent} % go to ${rollout.To}` : stepReason(rollout, 0),
      patch: { ...UNKNOWN, Step: isMirrored ? -1 : 0 },
    })
  }

  private async watch(record: RolloutRecord, signal: AbortSignal): Promise<void> {
    const { status } = record
    const taken = this.acceptance(record)
    const refusal = this.refusal(record, taken)
    if (refusal !== undefined) return this.goBack(record, { event: 'fail', reason: refusal })
    let known: RolloutRecord | undefined = record
    if (status.AcceptedAt === 0) {
      if (taken.pending.length > 0) return
      const now = this.now()
      known = await this.writer.note(record, { AcceptedAt: now, AnalysedAt: now }, this.lease)
    }
    const judged = known && (await this.analyse(known, signal))
    if (judged !== undefined) await this.goOn(judged)
  }

  /** Of the last move. */
  private acceptance({ rollout, status }: RolloutRecord): Acceptance {
    return this.parts.acceptance(rollout.Service, status.SplitterIndex, status.MovedAt)
  }

  /** Of the sidecars: who said no, or nothing for too long. */
  private refusal({ rollout, status }: RolloutRecord, { pending, refused }: Acceptance): string | undefined {
    const [first] = refused
    if (first !== undefined) return `proxies: ${first.proxy} refuses the configuration: ${first.message}`
    if (status.AcceptedAt !== 0 || pending.length === 0 || !this.isOverdue({ rollout, status })) return undefined
    return `proxies: not taken within ${rollout.AcceptTimeout} by ${pending.slice(0, 3).join(', ')}${pending.length > 3 ? ` and ${pending.length - 3} more` : ''}`
  }

  private isOverdue({ rollout, status }: Pick<RolloutRecord, 'rollout' | 'status'>): boolean {
    return this.now() - Math.max(status.MovedAt, this.startedAt) > durationMs(rollout.AcceptTimeout)
  }

  /** Once an interval. Undefined: there is nothing more to do with it now. */
  private async analyse(record: RolloutRecord, signal: AbortSignal): Promise<RolloutRecord | undefined> {
    const { rollout, status } = record
    const { Analysis } = rollout
    const now = this.now()
    if (Analysis === undefined) return record
    if (now - Math.max(status.AnalysedAt, this.startedAt) < intervalMs(Analysis, this.parts.reportIntervalMs)) return record
    const { kind, reason } = await judge(record, Analysis, this.parts, now, signal)
    if (signal.aborted) return undefined
    // Whoever has paused it has said that it may wait.
    const isHeld = kind === 'hold' && status.Phase !== 'Paused'
    const Failures = status.Failures + (kind === 'bad' ? 1 : 0)
    const Holds = isHeld ? status.Holds + 1 : kind === 'hold' ? status.Holds : 0
    const patch = { AnalysedAt: now, Verdict: kind, VerdictReason: reason, Good: status.Good + (kind === 'good' ? 1 : 0), Failures, Holds }
    const isOver = Failures >= Analysis.FailureLimit || Holds >= Analysis.HoldLimit
    if (kind !== 'good' && isOver) {
      await this.goBack(record, { event: 'fail', reason, patch })
      return undefined
    }
    return this.writer.note(record, patch, this.lease, kind === 'good' ? undefined : { Event: 'analysis', Reason: `${kind}: ${reason}` })
  }

  private async goOn(record: RolloutRecord): Promise<void> {
    const { rollout, status } = record
    if (status.Phase !== 'Mirroring' && status.Phase !== 'Stepping') return
    const step = status.Phase === 'Mirroring' ? undefined : stepsOf(rollout)[status.Step]!
    const waitMs = step === undefined ? durationMs(rollout.Mirror?.Duration) : pauseMs(step)
    const isProven = rollout.Analysis === undefined || status.Verdict === 'good'
    if (!isProven || this.now() - status.AcceptedAt < waitMs) return
    if (step?.Gate === 'manual')
      await this.write(record, { event: 'gate', to: 'Gated', reason: `step ${status.Step + 1} waits to be promoted` })
    else await this.forward(record, {})
  }

  /** To the next step, or to the end behind the last. */
  private async forward(record: RolloutRecord, said: { readonly by?: string; readonly reason?: string }): Promise<void> {
    const { rollout, status } = record
    const next = status.Step + 1
    if (next >= stepsOf(rollout).length) {
      const { reason = 'the last step is over' } = said
      return this.move(record, { event: 'finish', to: 'Finishing', position: END, ...said, reason })
    }
    const position = positionOf(rollout, next)
    if (position.weight > status.Weight && !this.parts.isHealthy(rollout.Service, rollout.To)) {
      const reason = `subset ${rollout.To} has no instance that is not critical`
      if (said.by !== undefined) throw new RolloutError('refused', reason)
      if (status.VerdictReason !== reason) await this.writer.note(record, { Verdict: 'hold', VerdictReason: reason }, this.lease)
      return
    }
    const { reason = stepReason(rollout, next) } = said
    await this.move(record, { event: 'step', to: 'Stepping', position, ...said, reason, patch: { ...UNKNOWN, Step: next } })
  }

  private goBack(record: RolloutRecord, change: Pick<Change, 'event' | 'reason' | 'by' | 'patch'>): Promise<void> {
    return this.move(record, { ...change, to: 'RollingBack', position: START, patch: { ...change.patch, PausedFrom: '' } })
  }

  /** A move that the entries do not allow ends in a rollback; a rollback that they do not allow, in a conflict. */
  private async move(record: RolloutRecord, change: Change): Promise<void> {
    try {
      await this.write(record, change)
    } catch (error) {
      const isAsked = change.by !== undefined && change.event !== 'abort'
      if (!(error instanceof RolloutError) || isAsked) throw error
      const { message: reason } = error
      // An operator's abort is written also where another replica has the task.
      const said = change.by === undefined ? {} : { by: change.by }
      if (record.status.Phase === 'Starting') await this.write(record, { event: 'fail', to: 'RolledBack', reason })
      else if (change.to === 'RollingBack' || change.to === 'Finishing')
        await this.write(record, { event: 'conflict', to: 'Conflicted', reason, ...said })
      else await this.goBack(record, { event: 'fail', reason })
    }
  }

  /** The last move is out: waits until the sidecars have it, tells who wants to know, and is done. */
  private async settle(record: RolloutRecord, change: Change, signal: AbortSignal): Promise<void> {
    const { pending } = this.acceptance(record)
    if (pending.length > 0 && !this.isOverdue(record)) return
    const late = pending.length === 0 ? [] : [`not yet taken by ${pending.slice(0, 3).join(', ')}`]
    const failures = await this.notifyAll('after', record, signal)
    if (signal.aborted) return
    await this.write(record, { ...change, reason: [change.reason, ...late, ...failures].join('; ') })
  }

  private async write(record: RolloutRecord, change: Change): Promise<void> {
    const { status } = await this.writer.apply(record, change, change.by === undefined ? this.lease : undefined)
    if (!isActive(status.Phase)) this.parts.onEnd(status.Phase)
  }

  private async notifyAll(when: Webhook['When'], record: RolloutRecord, signal: AbortSignal): Promise<string[]> {
    const wanted = record.rollout.Webhooks.filter(({ When }) => When === when)
    const { calls } = this.parts
    const told = wanted.map(webhook => calls.notify(webhook, noticeOf(webhook, record), noticeId(webhook, record), signal))
    const results = await Promise.all(told)
    return results.filter(failure => failure !== undefined)
  }
}

function firstPosition(rollout: Rollout): Position {
  return rollout.Mirror === undefined ? positionOf(rollout, 0) : mirrorPosition(rollout)
}

function stepReason(rollout: Rollout, step: number): string {
  const steps = stepsOf(rollout)
  return `step ${step + 1} of ${steps.length}: ${steps[step]!.Weight} % go to ${rollout.To}`
}

function busy({ rollout, status }: RolloutRecord, what: string): RolloutError {
  return new RolloutError('refused', `rollout ${rollout.Name} is ${status.Phase} and cannot be ${what}: abort it first`)
}
