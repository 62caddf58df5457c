// Writes where a rollout stands, and with it the entries that it owns. Called by rollout-engine.ts for each transition and after each interval.
//
//   allowed by the table? -> written by others since? -> may the entries become that? -> one transaction: entries, status, audit record
//
// Invariant: status and entries change together or not at all, so that what is read after a kill -9 is what the sidecars have been told.
import type { WallClock } from '../../io/clock.js'
import type { EntryChange } from '../config-entries/entry-index.js'
import { parseConfigEntry } from '../config-entries/parse-config-entry.js'
import type { ConfigError } from '../config-entries/types.js'
import type { ConfigEntryTable } from '../config-entry-table.js'
import { put, type Store, type StoreWrite, type Turn } from '../store/store.js'
import type { HeldLease } from '../store/task-leases.js'
import { entriesAt, intrusion, takeOverProblem } from './owned-entries.js'
import type { Position } from './rollout-plan.js'
import type { RolloutRecord, RolloutTable } from './rollout-table.js'
import { type AuditRecord, NOT_OWNED, OWN_INDEX, type Rollout, type RolloutStatus } from './rollout-types.js'
import { type Event, isActive, isAllowed, type Phase } from './transitions.js'

/** `unknown` names what is not there, `refused` what may not be done. */
export class RolloutError extends Error {
  constructor(
    readonly code: 'unknown' | 'refused',
    message: string,
  ) {
    super(message)
  }
}

export interface Change {
  readonly event: Event
  readonly to: Phase
  readonly reason: string
  /** Where the entries go; without it they stay. */
  readonly position?: Position
  /** Accessor id; absent: the control plane by itself. */
  readonly by?: string
  readonly patch?: Partial<RolloutStatus>
}

/** Undefined: by an operator, who may ask any replica. */
export type Mover = HeldLease | undefined

export interface WriterParts {
  readonly store: Store
  readonly entries: ConfigEntryTable
  readonly table: RolloutTable
  readonly clock: WallClock
  onMove(): void
}

export const MAX_AUDIT_RECORDS = 100

export class RolloutWriter {
  constructor(private readonly parts: WriterParts) {}

  /**
   * Resolves with the record as it is then: conflicted, where others have written the entries. Throws `RolloutError`, and `LeaseLost` where the
   * mover's task is another's by now; nothing has changed then.
   */
  apply({ rollout }: RolloutRecord, change: Change, mover: Mover): Promise<RolloutRecord> {
    const { store, table, entries } = this.parts
    return store.exclusive(async turn => {
      const { status } = table.get(rollout.Name)!
      const { event, to, position } = change
      if (!isAllowed(status.Phase, event, to))
        throw new RolloutError('refused', `rollout ${rollout.Name} is ${status.Phase}: ${event} is not possible`)
      // Asked again: two may have been started at the same time.
      if (event === 'start') refuseRival(rollout, table)
      const intruder = event === 'start' || event === 'conflict' ? undefined : intrusion(rollout, status, entries)
      if (intruder !== undefined) {
        const conflict = { event: 'conflict', to: 'Conflicted', reason: intruder } as const
        await this.write(turn, rollout, this.after(status, conflict), [])
        return table.get(rollout.Name)!
      }
      const writes = position === undefined ? [] : this.entryWrites(rollout, status, position)
      const moved = position === undefined ? {} : this.movedTo(rollout, position, writes)
      await this.write(turn, rollout, this.after({ ...status, ...moved }, change, status), writes)
      if (writes.length > 0) this.parts.onMove()
      return table.get(rollout.Name)!
    }, mover)
  }

  /** Changes what is known of the phase, not the phase. Undefined: another replica has moved it meanwhile; nothing is changed. */
  note(
    { rollout, status: judged }: RolloutRecord,
    patch: Partial<RolloutStatus>,
    mover: Mover,
    told?: Pick<AuditRecord, 'Event' | 'Reason'>,
  ): Promise<RolloutRecord | undefined> {
    return this.parts.store.exclusive(async turn => {
      const status = this.parts.table.get(rollout.Name)?.status
      if (status === undefined || status.Since !== judged.Since || status.Phase !== judged.Phase || status.Step !== judged.Step)
        return undefined
      const next = { ...status, ...patch }
      const { Phase, Weight } = next
      const record = told && { At: this.parts.clock.wallNow(), From: Phase, To: Phase, Weight, By: '', ...told }
      await this.write(turn, rollout, { ...next, Audit: record === undefined ? next.Audit : bounded([...next.Audit, record]) }, [])
      return this.parts.table.get(rollout.Name)!
    }, mover)
  }

  /** Why the rollout could not begin now; empty where it could. */
  startErrors(rollout: Rollout, position: Position): readonly ConfigError[] {
    const problem = takeOverProblem(rollout, this.parts.entries)
    if (problem !== undefined) return [{ path: '', reason: problem }]
    return this.plan(entriesAt(rollout, position, this.parts.entries, false)).errors
  }

  private entryWrites(rollout: Rollout, status: RolloutStatus, position: Position): readonly StoreWrite[] {
    const { entries } = this.parts
    const problem = status.SplitterIndex === NOT_OWNED ? takeOverProblem(rollout, entries) : undefined
    if (problem !== undefined) throw new RolloutError('refused', problem)
    const { writes, errors } = this.plan(entriesAt(rollout, position, entries, status.RouterIndex !== NOT_OWNED))
    const [error] = errors
    if (error !== undefined)
      throw new RolloutError('refused', `the move is refused: ${error.path === '' ? '' : `${error.path}: `}${error.reason}`)
    return writes
  }

  /** As `ConfigEntryTable.put` would judge them. */
  private plan(changes: readonly EntryChange[]): { readonly writes: readonly StoreWrite[]; readonly errors: readonly ConfigError[] } {
    const errors: ConfigError[] = []
    const parsed = changes.map((change): EntryChange => {
      if (change.op === 'delete') return change
      const result = parseConfigEntry(change.entry)
      if ('entry' in result) return { op: 'put', entry: result.entry }
      errors.push(...result.errors)
      return change
    })
    return errors.length > 0 ? { writes: [], errors } : this.parts.entries.plan(parsed)
  }

  private movedTo({ Service }: Rollout, position: Position, writes: readonly StoreWrite[]): Partial<RolloutStatus> {
    const { entries, clock } = this.parts
    // An entry that is as it should be already is not written, and keeps its index.
    const indexOf = (kind: 'service-splitter' | 'service-router'): number =>
      writes.some(({ key }) => key === `${kind}/${Service}`) ? OWN_INDEX : (entries.get(kind, Service)?.ModifyIndex ?? NOT_OWNED)
    return {
      Weight: position.weight,
      MirrorPercent: position.mirrorPercent,
      MovedAt: clock.wallNow(),
      AcceptedAt: 0,
      SplitterIndex: indexOf('service-splitter'),
      RouterIndex: position.cohorts ? indexOf('service-router') : NOT_OWNED,
    }
  }

  private after(moved: RolloutStatus, { event, to, reason, by = '', patch }: Change, before = moved): RolloutStatus {
    const now = this.parts.clock.wallNow()
    const next = { ...moved, Phase: to, Since: now, Reason: reason, ...patch }
    const record: AuditRecord = { At: now, Event: event, From: before.Phase, To: to, Weight: next.Weight, Reason: reason, By: by }
    return { ...next, Audit: bounded([...moved.Audit, record]) }
  }

  private async write(turn: Turn, { Name }: Rollout, status: RolloutStatus, writes: readonly StoreWrite[]): Promise<void> {
    await turn.transaction([...writes, put('rollout-status', Name, status)])
  }
}

/** Throws where another rollout moves the same service. */
export function refuseRival({ Name, Service }: Rollout, table: RolloutTable): void {
  const other = table.list().find(({ rollout, status }) => rollout.Name !== Name && rollout.Service === Service && isActive(status.Phase))
  if (other !== undefined) throw new RolloutError('refused', `rollout ${other.rollout.Name} moves service ${Service} already`)
}

const bounded = (records: readonly AuditRecord[]): readonly AuditRecord[] => records.slice(-MAX_AUDIT_RECORDS)
