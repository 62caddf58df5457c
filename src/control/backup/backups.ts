// The backups of a control plane: made by a schedule or when asked for, listed, put back, and removed when they have had their time.
// Opened by open-backups.ts; commanded by the HTTP API. Takes the state from the store (state-file/), writes to a `BackupTarget`.
//
//   due? -> what does the target have? -> still due? -> save state -> encrypt -> write -> remove what retention does not keep
//
// Invariants: backups are made one after another; a failure changes nothing and stops nothing, but is counted, logged and tried again soon.
import type { Timer, WallClock } from '../../io/clock.js'
import type { ControlLogger } from '../log-feed.js'
import { restoreState, saveState } from '../state-file/state-file.js'
import type { Store } from '../store/store.js'
import type { HeldLease } from '../store/task-leases.js'
import { makeBackup, openBackup } from './backup-file.js'
import type { BackupKeys } from './backup-keys.js'
import { backupName, meshOf, parseBackupName } from './backup-name.js'
import type { BackupSchedule } from './backup-schedule.js'
import type { BackupTarget, StoredBackup } from './backup-target.js'
import { expired, type Retention } from './retention.js'

export interface BackupParts {
  readonly store: Store
  readonly datacenter: string
  readonly trustDomain: string
  readonly target: BackupTarget
  /** Undefined: backups are not encrypted. */
  readonly keys: (() => Promise<BackupKeys>) | undefined
  /** Undefined: only when asked for. */
  readonly schedule: BackupSchedule | undefined
  readonly retention: Retention
  readonly clock: WallClock
  readonly log: ControlLogger
  onMade(): void
  onFailure(): void
}

export interface MadeBackup {
  readonly name: string
  readonly atMs: number
  readonly index: number
  readonly bytes: number
  readonly seconds: number
}

export interface BackupStatus {
  readonly target: string
  readonly schedule: string | undefined
  readonly keep: string
  readonly encrypted: boolean
  readonly running: boolean
  /** Made by this process. */
  readonly lastMade: MadeBackup | undefined
  /** Of the newest one that is known, whoever made it. */
  readonly lastAtMs: number | undefined
  readonly lastFailure: { readonly atMs: number; readonly reason: string } | undefined
  readonly failuresInARow: number
  readonly nextMs: number | undefined
}

/** How often the time is looked at: whatever the clock of the machine is set to, a backup is late by no more. */
const LOOK_MS = 15_000
const FIRST_RETRY_MS = 60_000
const MAX_RETRY_MS = 900_000
/** A time that is further ahead was told by a clock that was wrong; those of replicas differ by less. */
const AHEAD_MS = 300_000

export class Backups {
  private readonly mesh: string
  private timer: Timer | undefined
  private release: (() => Promise<void>) | undefined
  private stopped = false
  private running: Promise<MadeBackup> | undefined
  private waiting: Promise<MadeBackup> | undefined
  private lastMade: MadeBackup | undefined
  private lastAtMs: number | undefined
  private lastFailure: BackupStatus['lastFailure']
  private failuresInARow = 0
  /** On the monotonic clock: a pause does not grow where the date is set back. */
  private retryAtMs = 0

  constructor(private readonly parts: BackupParts) {
    this.mesh = meshOf(parts.trustDomain)
  }

  /** Of the replicas that share a state one keeps the schedule. */
  start(): void {
    const { schedule, store } = this.parts
    if (schedule === undefined) return
    this.release = store.leases.contend('backups', lease => void this.look(lease))
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.timer?.cancel()
    await this.release?.()
    this.parts.target.close()
    await this.running?.catch(() => {})
  }

  get status(): BackupStatus {
    const { target, schedule, retention, keys, clock } = this.parts
    const { running, lastMade, lastAtMs, lastFailure, failuresInARow } = this
    const now = clock.wallNow()
    const dueMs = schedule && Math.max(schedule.dueMs(this.credible(lastAtMs)), now + Math.max(0, this.retryAtMs - clock.now()))
    return {
      target: target.description,
      schedule: schedule?.text,
      keep: retention.text,
      encrypted: keys !== undefined,
      running: running !== undefined,
      lastMade,
      lastAtMs,
      lastFailure,
      failuresInARow,
      nextMs: dueMs,
    }
  }

  /** Of this mesh, newest first. */
  async list(): Promise<StoredBackup[]> {
    const all = await this.parts.target.list()
    return all.filter(({ mesh }) => mesh === this.mesh)
  }

  /** Makes one of the state as it is now or later. Rejects with one line, which has been logged. */
  now(): Promise<MadeBackup> {
    // One that is under way may have taken the state before the caller's last write.
    this.waiting ??= Promise.resolve(this.running)
      .catch(() => {})
      .then(() => {
        this.waiting = undefined
        return this.run()
      })
    return this.waiting
  }

  /** Puts a backup in place of the present state, all of it or nothing. `latest` is the newest. Resolves with its name. */
  async restore(asked: string): Promise<string> {
    const name = asked === 'latest' ? (await this.list())[0]?.name : asked
    if (name === undefined) throw new Error('there is no backup of this mesh')
    if (parseBackupName(name) === undefined) throw new Error(`"${name}" is no name of a backup`)
    const { state } = await openBackup(await this.parts.target.read(name), await this.parts.keys?.()).catch((error: Error) => {
      throw new Error(`${name}: ${error.message}`)
    })
    await restoreState(this.parts.store, state)
    this.parts.log.warn({ name }, 'backup restored: the state of before is gone')
    return name
  }

  private async look(lease: HeldLease): Promise<void> {
    if (lease.signal.aborted) return
    if (this.isDue())
      await this.makeWhereMissing(lease).catch(() => {
        // Has been counted and logged.
      })
    if (!lease.signal.aborted) this.timer = this.parts.clock.after(LOOK_MS, () => void this.look(lease))
  }

  private isDue(): boolean {
    const { clock, schedule } = this.parts
    return clock.now() >= this.retryAtMs && clock.wallNow() >= schedule!.dueMs(this.credible(this.lastAtMs))
  }

  /** Else one backup from a wrong clock's future would end the schedule until then. */
  private credible(atMs: number | undefined): number | undefined {
    return atMs !== undefined && atMs <= this.parts.clock.wallNow() + AHEAD_MS ? atMs : undefined
  }

  private async makeWhereMissing({ signal }: HeldLease): Promise<void> {
    // Another replica may have made it, or this one before it was started anew.
    this.lastAtMs = await this.counted(async () => (await this.list()).find(({ atMs }) => this.credible(atMs) !== undefined)?.atMs)
    if (!signal.aborted && this.isDue()) await this.now()
  }

  private run(): Promise<MadeBackup> {
    this.running = this.counted(() => this.make()).finally(() => {
      this.running = undefined
    })
    return this.running
  }

  private async make(): Promise<MadeBackup> {
    const { store, datacenter, trustDomain, target, keys, clock, log } = this.parts
    const start = clock.now()
    const atMs = Math.floor(clock.wallNow() / 1_000) * 1_000
    const key = (await keys?.())?.current
    const { file: state, index, counts } = await saveState(store)
    const createdAt = new Date(atMs).toISOString()
    const file = await makeBackup({ createdAt, datacenter, trustDomain, index, counts }, state, key)
    const name = backupName(datacenter, trustDomain, atMs, index)
    await target.write(name, file)
    const made: MadeBackup = { name, atMs, index, bytes: file.length, seconds: (clock.now() - start) / 1_000 }
    this.lastMade = made
    this.lastAtMs = atMs
    this.failuresInARow = 0
    this.retryAtMs = 0
    this.parts.onMade()
    log.info({ name, index, bytes: made.bytes, seconds: made.seconds, key: key?.id }, 'backup made')
    const removed = await this.removeExpired(name)
    if (removed > 0) log.info({ removed }, `backups removed, ${this.parts.retention.text} stay`)
    return made
  }

  /** What was made just now stays, even where the names of others say that they are newer. */
  private async removeExpired(made: string): Promise<number> {
    const { target, retention, clock } = this.parts
    const gone = expired(await this.list(), retention, clock.wallNow()).filter(({ name }) => name !== made)
    for (const { name } of gone) await target.remove(name)
    return gone.length
  }

  /** Counts, logs and passes on what `task` rejects with. */
  private async counted<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await task()
    } catch (error) {
      if (this.stopped) throw error
      const { clock, log, target } = this.parts
      const reason = (error as Error).message
      const atMs = clock.wallNow()
      this.parts.onFailure()
      this.retryAtMs = clock.now() + Math.min(FIRST_RETRY_MS * 2 ** this.failuresInARow, MAX_RETRY_MS)
      this.failuresInARow++
      this.lastFailure = { atMs, reason }
      const last = this.lastAtMs === undefined ? 'none is known' : `the last good one is of ${new Date(this.lastAtMs).toISOString()}`
      log.error({ target: target.description, failures: this.failuresInARow }, `backup failed: ${reason} (${last})`)
      throw error
    }
  }
}
