// Sessions: what holds locks of the key/value store for as long as its checks are well and its TTL is renewed. In memory, fed by the
// store's commits; made, renewed and ended here, ended too by their timers and by the catalog. Used by the session endpoints and `KvWriter`.
//
//   create -> held -> (destroy | TTL passed twice | a check critical or gone) -> ended: its keys are released or deleted in one commit,
//                                                                              and can't be locked again before the lock delay is over
//
// Invariant: a session that is gone holds no key; timers exist only for sessions that exist.
import { randomUUID } from 'node:crypto'
import { parseDuration } from '../config-entries/duration.js'
import type { KvChange } from '../kv/kv-change.js'
import type { KvTable } from '../kv/kv-table.js'
import type { Committed, KvWriter } from '../kv/kv-writer.js'
import { Renewals } from '../store/renewals.js'
import { type Commit, put, remove, type Store, type StoredRecord, type StoreWrite } from '../store/store.js'
import type { HeldLease } from '../store/task-leases.js'
import { WatchedIndex } from '../store/watched-index.js'

export type SessionBehavior = 'release' | 'delete'

export interface SessionRecord {
  readonly ID: string
  readonly Name: string
  readonly Node: string
  /** Nanoseconds. */
  readonly LockDelay: number
  readonly Behavior: SessionBehavior
  /** As it was given; '' for none. */
  readonly TTL: string
  readonly NodeChecks: readonly string[]
  readonly ServiceChecks: readonly { readonly ID: string; readonly Namespace: string }[]
}

export interface Session extends SessionRecord {
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

/** Why a session with these checks can't live, or undefined. */
export type CheckJudge = (session: SessionRecord) => string | undefined

export const MAX_SESSIONS = 10_000
/** Consul waits twice the TTL, so that a renewal that was late by one is no loss. */
const TTL_MULTIPLIER = 2
/** What could not be written is tried again, as long as its reason holds: a session that nobody ends would hold its locks for ever. */
const RETRY_MS = 1_000

export class SessionTable extends WatchedIndex {
  private readonly sessions = new Map<string, Session>()
  private readonly timers = new Map<string, NodeJS.Timeout>()
  /** Until when a key's lock can't be taken (ms of `now`). One timer a key takes it out again. */
  private readonly delays = new Map<string, NodeJS.Timeout>()
  /** Those that are being ended, or will be tried again in a moment. */
  private readonly ending = new Set<string>()
  /** Whose TTL has passed twice without a renewal. */
  private readonly lapsed = new Set<string>()
  private writer: KvWriter | undefined
  private stopped = false
  private readonly renewals: Renewals
  /** Of who ends sessions; the timers of other replicas end none. */
  private lease: HeldLease | undefined
  private release: (() => Promise<void>) | undefined

  private constructor(
    private readonly store: Store,
    private readonly table: KvTable,
    private readonly onProblem: (reason: string) => void,
  ) {
    super(store.index)
    this.renewals = new Renewals(store, 'sessions', id => this.rearm(id))
  }

  static async open(store: Store, table: KvTable, onProblem: (reason: string) => void): Promise<SessionTable> {
    const sessions = new SessionTable(store, table, onProblem)
    store.subscribe(['session'], commit => sessions.follow(commit))
    for (const record of await store.list('session')) sessions.add(record)
    return sessions
  }

  /** The writer needs the sessions to decide, and they need it to end. */
  start(writer: KvWriter): void {
    this.writer = writer
    this.release = this.store.leases.contend('sessions', lease => {
      this.lease = lease
      // As after a change of Consul's leader: each has its whole time again.
      for (const session of this.sessions.values()) this.arm(session)
    })
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.renewals.stop()
    await this.release?.()
    for (const timer of [...this.timers.values(), ...this.delays.values()]) clearTimeout(timer)
  }

  get size(): number {
    return this.sessions.size
  }

  has(id: string): boolean {
    return this.sessions.has(id)
  }

  isDelayed(key: string): boolean {
    return this.delays.has(key)
  }

  get(id: string): Session | undefined {
    return this.sessions.get(id)
  }

  /** All of them, or those of one node, in order of their ids. */
  list(node?: string): Session[] {
    const all = [...this.sessions.values()].filter(session => node === undefined || session.Node.toLowerCase() === node.toLowerCase())
    return all.sort((a, b) => (a.ID < b.ID ? -1 : 1))
  }

  /** Throws why not. `judge`: what it says of the checks as they are when the session is written. */
  create(record: Omit<SessionRecord, 'ID'>, judge: (record: Omit<SessionRecord, 'ID'>) => string | undefined): Promise<Committed<string>> {
    return this.writer!.run(() => {
      const problem = judge(record)
      if (problem !== undefined) throw new Error(problem)
      if (this.sessions.size >= MAX_SESSIONS) throw new Error(`there are ${MAX_SESSIONS} sessions already, which is the limit`)
      const ID = randomUUID()
      return { value: ID, writes: [put('session', ID, { ...record, ID } satisfies SessionRecord)] }
    })
  }

  /** Undefined: there is no such session. */
  renew(id: string): Session | undefined {
    const session = this.sessions.get(id)
    if (session === undefined) return undefined
    this.arm(session)
    const lifeMs = lifeMsOf(session)
    if (lifeMs > 0) this.renewals.renewed(id, lifeMs)
    return session
  }

  /** Ends a session, if there is one. `lease`: of who ends it by a timer or a check. */
  destroy(id: string, lease?: HeldLease): Promise<Committed<boolean>> {
    return this.writer!.run(change => {
      const write = this.endIn(change, id)
      return write === undefined ? { value: false } : { value: true, writes: [write] }
    }, lease)
  }

  /** As part of a decision about keys: releases or deletes those that the session holds. Undefined: there is no such session. */
  endIn(change: KvChange, id: string): StoreWrite | undefined {
    const session = this.sessions.get(id)
    if (session === undefined) return undefined
    change.endSession(this.table.heldKeys(id), session.Behavior)
    return remove('session', id)
  }

  /** Ends those whose checks are no longer well. Called at each change of the catalog's health. */
  judge(judge: CheckJudge): void {
    if (!this.endsSessions) return
    for (const session of this.sessions.values()) if (judge(session) !== undefined) this.end(session.ID, () => judge(session) !== undefined)
  }

  /** `isDue`: besides its TTL, whether it still has to end when it is tried again. */
  private end(id: string, isDue: () => boolean = () => false): void {
    if (this.ending.has(id)) return
    this.ending.add(id)
    const over = (): void => void this.ending.delete(id)
    this.destroy(id, this.lease).then(over, (error: Error) => {
      if (!this.stopped) this.onProblem(`session ${id} could not be ended: ${error.message}`)
      setTimeout(() => {
        over()
        if (this.endsSessions && !this.stopped && this.sessions.has(id) && (this.lapsed.has(id) || isDue())) this.end(id, isDue)
      }, RETRY_MS).unref()
    })
  }

  private follow({ index, changes }: Commit): void {
    for (const { key, record } of changes) {
      if (record !== undefined) this.add(record)
      else {
        this.delay(this.table.freedAt(index, key), (this.sessions.get(key)?.LockDelay ?? 0) / 1e6)
        clearTimeout(this.timers.get(key))
        this.timers.delete(key)
        this.lapsed.delete(key)
        this.sessions.delete(key)
      }
    }
    this.advance(index)
  }

  private add({ value, createIndex, modifyIndex }: StoredRecord): void {
    const session = { ...(value as SessionRecord), CreateIndex: createIndex, ModifyIndex: modifyIndex }
    this.sessions.set(session.ID, session)
    this.arm(session)
  }

  private get endsSessions(): boolean {
    return this.lease?.signal.aborted === false
  }

  private rearm(id: string): void {
    const session = this.sessions.get(id)
    if (session !== undefined) this.arm(session)
  }

  private arm(session: Session): void {
    clearTimeout(this.timers.get(session.ID))
    this.lapsed.delete(session.ID)
    const lifeMs = lifeMsOf(session)
    if (lifeMs === 0 || this.stopped) return
    const timer = setTimeout(() => {
      if (!this.endsSessions) return
      this.lapsed.add(session.ID)
      this.end(session.ID)
    }, lifeMs)
    timer.unref()
    this.timers.set(session.ID, timer)
  }

  private delay(keys: readonly string[], delayMs: number): void {
    if (delayMs <= 0) return
    for (const key of keys) {
      clearTimeout(this.delays.get(key))
      const timer = setTimeout(() => this.delays.delete(key), delayMs)
      timer.unref()
      this.delays.set(key, timer)
    }
  }
}

/** Without a renewal; 0: it has no TTL. */
function lifeMsOf({ TTL }: Session): number {
  return ((parseDuration(TTL || '0s') ?? 0) / 1e6) * TTL_MULTIPLIER
}
