// What a replica knows of the state in etcd: every record in memory, read whole once and followed by a watch from then on; and how long ago the
// last proof was that it is not behind. Made by `EtcdStore`, which writes and tells the mirror of its own commits.
//
//   load -> [watch] -> commit: `head` and its records in one revision -> memory -> subscribers -> who waits for that revision
//             |-- ended -> is what we know still etcd's history? -- yes -> watch from the next revision
//             |                                                 \- no (compacted, restored from a backup) -> load, tell the difference
//             `-- each second: which revision has `head` at the quorum? Once memory has it, memory was not older than the question
//
// Invariants: commits reach memory in their order, each once; an index never goes back, also where etcd did; without contact memory stays as it is
// and `lastContactMs` grows.
import { type Event, Event_EventType, type WatchResponse } from '../../../xds/gen/etcd/etcd_pb.js'
import { RecurringProblem } from '../../recurring-problem.js'
import { type Kept, RecordTable } from '../journal/record-table.js'
import type { Collection, Contact, RecordChange, StoreWrite } from '../store.js'
import { type EtcdClient, EtcdError, type EtcdStream } from './etcd-client.js'
import {
  byRevision,
  bytesOf,
  decodeRecord,
  type EtcdIdentity,
  type EtcdLayout,
  etcdOf,
  type Head,
  isAt,
  makeHead,
  putOp,
  textOf,
} from './etcd-layout.js'
import { type LoadedState, loadState, type OtherKey } from './load-state.js'
import { applyRow, readParts } from './staged-commit.js'

export interface MirrorEvents {
  /** In order of indexes. */
  onCommit(index: number, changes: readonly RecordChange[]): void
  /** A key that is no record's: of `held/` or `note/`. Undefined: it is gone. */
  onKey(key: string, other: OtherKey | undefined): void
  onProblem(reason: string): void
  /** Of a state that is new: what comes from elsewhere goes on from its own. */
  readonly firstIndex: number
}

interface RecordKey {
  readonly collection: Collection
  readonly key: string
  /** Undefined: it is gone. */
  readonly kept: Kept | undefined
}

interface Waiter {
  readonly revision: bigint
  resolve(): void
  reject(error: Error): void
}

const HEARTBEAT_MS = 1_000
const HEARTBEAT_TIMEOUT_MS = 2_500
/** Without a proof that memory is current for so long, there is no leader as far as this replica knows. */
const LEADER_LOST_MS = 5_000
const CATCH_UP_MS = 8_000
const MIN_PAUSE_MS = 50
const MAX_PAUSE_MS = 2_000
/** Transactions that are remembered by their ids, for who has not heard what became of theirs. */
const MAX_REMEMBERED = 4_096
/** What an index is raised by where etcd has been restored: more than were committed since any backup. */
const RESTORED_GAP = 1_000_000

export class EtcdMirror implements Contact {
  readonly table = new RecordTable()
  private headNow!: Head
  private headAt = 0n
  private etcdNow: EtcdIdentity = { cluster: '', term: 0 }
  /** Up to where the watch has told. */
  private watchedAt = 0n
  /** The watch asked for what etcd has thrown away. */
  private isCompacted = false
  private readonly others = new Map<string, OtherKey>()
  private readonly waiters = new Set<Waiter>()
  private readonly remembered = new Map<string, number>()
  private stream: Pick<EtcdStream<unknown>, 'close'> | undefined
  private wakeFollower: (() => void) | undefined
  private loading: Promise<void> | undefined
  private asking: Promise<bigint> | undefined
  private askingNext: Promise<bigint> | undefined
  private contactAt = Number.NEGATIVE_INFINITY
  /** The last question whether memory is current was not answered. */
  private isSilent = false
  private heartbeatTimer: NodeJS.Timeout | undefined
  private closed = false
  private readonly watchProblem: RecurringProblem
  /** Times that memory was read anew: what was committed in between is not known one by one. */
  gaps = 0

  private constructor(
    private readonly client: EtcdClient,
    private readonly layout: EtcdLayout,
    private readonly events: MirrorEvents,
  ) {
    this.watchProblem = new RecurringProblem(events.onProblem, 'watch: it goes on')
  }

  /** Reads everything, and follows from then on. Rejects with one line. */
  static async open(client: EtcdClient, layout: EtcdLayout, events: MirrorEvents): Promise<EtcdMirror> {
    const mirror = new EtcdMirror(client, layout, events)
    const asked = performance.now()
    const state = await mirror.loadOrBegin()
    mirror.standAt(state)
    for (const [collection, key, kept] of state.table.rows()) mirror.table.keep(collection, key, kept)
    for (const other of state.others) mirror.setOther(other.key, other)
    mirror.contactAt = asked
    void mirror.follow()
    mirror.beat()
    if (await mirror.raiseIfRestored(state)) await mirror.catchUp()
    return mirror
  }

  get head(): Head {
    return this.headNow
  }

  get headRevision(): bigint {
    return this.headAt
  }

  /** What etcd last said of itself. */
  get etcd(): EtcdIdentity {
    return this.etcdNow
  }

  /** Since when memory may be behind, in ms. */
  get lastContactMs(): number {
    return performance.now() - this.contactAt
  }

  get knowsLeader(): boolean {
    return this.lastContactMs < LEADER_LOST_MS
  }

  /** Throws one line where there has been none for too long: who asks need not wait to be told so. */
  requireContact(): void {
    if (!this.knowsLeader && this.isSilent)
      throw new Error(`etcd ${this.client.endpoint}: no contact for ${Math.round(this.lastContactMs / 1_000)} s; nothing was written`)
  }

  /** Index of a transaction of the last few thousand. */
  indexOf(id: string): number | undefined {
    return this.remembered.get(id)
  }

  /** Resolves once memory is not being read anew. */
  async settled(): Promise<void> {
    while (this.loading !== undefined) await this.loading
  }

  /** Resolves once memory holds what was committed anywhere before the call. Rejects where that can't be proven. */
  async catchUp(): Promise<void> {
    this.requireContact()
    const asked = performance.now()
    await this.reached(await this.askHead())
    this.contactAt = Math.max(this.contactAt, asked)
  }

  /** Resolves once memory holds the commit of this revision. */
  reached(revision: bigint): Promise<void> {
    if (this.headAt >= revision) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => waiter.reject(new Error(`etcd: commits do not arrive here (watch of ${this.client.endpoint})`)),
        CATCH_UP_MS,
      )
      const done = (then: () => void): void => {
        clearTimeout(timer)
        this.waiters.delete(waiter)
        then()
      }
      const waiter: Waiter = { revision, resolve: () => done(resolve), reject: error => done(() => reject(error)) }
      this.waiters.add(waiter)
    })
  }

  /** A commit of this replica, which etcd has confirmed to follow what is here. */
  committed(revision: bigint, head: Head, writes: readonly StoreWrite[], texts: readonly string[]): void {
    if (this.loading !== undefined || revision <= this.headAt) return
    this.advance(revision, head, () => writes.map((write, i) => this.table.apply(write, texts[i]!, head.index)).filter(isChange))
  }

  /** `head` as it is now without its parts: they are in their places. */
  unstaged(revision: bigint, head: Head): void {
    if (this.loading !== undefined || revision <= this.headAt) return
    this.headNow = head
    this.headAt = revision
  }

  close(): void {
    this.closed = true
    clearTimeout(this.heartbeatTimer)
    this.stream?.close()
    this.wakeFollower?.()
    for (const waiter of [...this.waiters]) waiter.reject(new Error('the store is closed'))
  }

  // ---- the watch -------------------------------------------------------------------------------------------------------------------

  private async follow(): Promise<void> {
    for (let pauseMs = MIN_PAUSE_MS; !this.closed; ) {
      const began = performance.now()
      try {
        if (this.isCompacted || !(await this.isContinued())) await this.readAnew()
        await this.watch()
      } catch (error) {
        if (!this.closed) this.watchProblem.failed(`watch: ${(error as Error).message}`)
      }
      if (this.closed) return
      pauseMs = performance.now() - began > 10 * MAX_PAUSE_MS ? MIN_PAUSE_MS : Math.min(2 * pauseMs, MAX_PAUSE_MS)
      await new Promise<void>(resolve => {
        this.wakeFollower = resolve
        setTimeout(resolve, pauseMs).unref()
      })
    }
  }

  /** Whether etcd's history holds what memory has seen last, in its place. */
  private async isContinued(): Promise<boolean> {
    try {
      const revision = this.headAt > this.watchedAt ? this.headAt : this.watchedAt
      const { kvs } = await this.client.range({ key: bytesOf(this.layout.head), revision })
      return kvs[0] !== undefined && kvs[0].modRevision === this.headAt && this.layout.decodeHead(kvs[0].value).id === this.headNow.id
    } catch (error) {
      if (error instanceof EtcdError && error.isOutsideHistory) return false
      throw error
    }
  }

  /** Resolves when the watch has ended, however. */
  private async watch(): Promise<void> {
    const { key, rangeEnd } = this.layout.followed
    let ended: () => void = () => {}
    const end = new Promise<void>(resolve => {
      ended = resolve
    })
    const request = { case: 'createRequest' as const, value: { key, rangeEnd, startRevision: this.watchedAt + 1n } }
    this.stream = await this.client.watch({ requestUnion: request }, { onMessage: message => this.take(message), onEnd: () => ended() })
    if (this.closed) this.stream.close()
    await end
    this.stream = undefined
  }

  private async take({ events, canceled, cancelReason, compactRevision }: WatchResponse): Promise<void> {
    try {
      if (canceled) {
        if (compactRevision > 0n) this.isCompacted = true
        throw new Error(cancelReason === '' ? 'the member has ended it' : cancelReason)
      }
      for (const group of byRevision(events)) await this.takeGroup(group.revision, group.events)
      this.watchProblem.wentWell()
    } catch (error) {
      this.watchProblem.failed(`watch: ${(error as Error).message}`)
      this.stream?.close()
    }
  }

  private async takeGroup(revision: bigint, events: readonly Event[]): Promise<void> {
    let head: Head | undefined
    const records: RecordKey[] = []
    for (const { type, kv } of events) {
      const key = textOf(kv!.key)
      const isPut = type === Event_EventType.PUT
      const record = this.layout.parseRecordKey(key)
      if (key === this.layout.head) {
        if (!isPut) throw new Error(`the state under ${this.layout.prefix} was deleted at etcd`)
        head = this.layout.decodeHead(kv!.value)
      } else if (record !== undefined) records.push({ ...record, kept: isPut ? decodeRecord(kv!.value) : undefined })
      else this.setOther(key, isPut ? { key, value: kv!.value, createRevision: kv!.createRevision } : undefined)
    }
    if (head !== undefined && revision > this.headAt) await this.follows(revision, head, records)
    this.watchedAt = revision
  }

  private setOther(key: string, other: OtherKey | undefined): void {
    if (other === undefined) this.others.delete(key)
    else this.others.set(key, other)
    this.events.onKey(key, other)
  }

  private async follows(revision: bigint, head: Head, records: readonly RecordKey[]): Promise<void> {
    if (head.index === this.headNow.index) {
      // Its parts are in their places.
      this.headNow = head
      this.headAt = revision
      this.wake()
    } else if (head.staged > 0) {
      const rows = await readParts(this.client, this.layout, head, revision)
      // While they were read this replica may have been told that the commit is its own, and may have gone on from there.
      if (revision <= this.headAt) return
      this.advance(revision, head, () => rows.map(row => applyRow(this.table, row, head.index)).filter(isChange))
    } else {
      const real = records.filter(({ collection, key, kept }) => kept !== undefined || this.table.kept(collection, key) !== undefined)
      this.advance(revision, head, () => real.map(({ collection, key, kept }) => this.table.keep(collection, key, kept)))
    }
  }

  private advance(revision: bigint, head: Head, change: () => readonly RecordChange[]): void {
    this.headNow = head
    this.headAt = revision
    const changes = change()
    this.table.index = head.index
    this.remember(head)
    this.events.onCommit(head.index, changes)
    this.wake()
  }

  private remember({ id, index }: Head): void {
    this.remembered.set(id, index)
    if (this.remembered.size > MAX_REMEMBERED) this.remembered.delete(this.remembered.keys().next().value!)
  }

  private wake(): void {
    for (const waiter of [...this.waiters]) if (waiter.revision <= this.headAt) waiter.resolve()
  }

  // ---- reading anew ----------------------------------------------------------------------------------------------------------------

  private async loadOrBegin(): Promise<LoadedState> {
    for (;;) {
      const state = await loadState(this.client, this.layout)
      if (state.head !== undefined) return state as LoadedState
      // Of two that begin at the same time one begins.
      const head = makeHead({ index: this.events.firstIndex, id: '', staged: 0, ...state.etcd })
      await this.client.txn({ compare: [isAt(this.layout.head, 0n)], success: [putOp(this.layout.head, bytesOf(JSON.stringify(head)))] })
    }
  }

  /** Memory as it is at etcd now; what differs is one commit for the subscribers. */
  private async readAnew(): Promise<void> {
    let done: () => void = () => {}
    this.loading = new Promise(resolve => {
      done = resolve
    })
    try {
      this.events.onProblem('etcd does not have the history any more that this replica has followed: reading the whole state')
      let state = await loadState(this.client, this.layout)
      if (state.head === undefined) throw new Error(`there is no state under ${this.layout.prefix} any more`)
      const went = state.head.index < this.headNow.index || (state.head.index === this.headNow.index && state.head.id !== this.headNow.id)
      while (state.head !== undefined && went && state.head.index <= this.table.index) {
        await this.raise(state as LoadedState, this.table.index + 1)
        state = await loadState(this.client, this.layout)
      }
      this.takeAnew(state as LoadedState)
    } finally {
      this.loading = undefined
      done()
    }
  }

  private takeAnew(state: LoadedState): void {
    const before = new Map(this.table.rows().map(([collection, key, kept]) => [`${collection}/${key}`, { collection, key, kept }]))
    const changes: RecordChange[] = []
    for (const [collection, key, kept] of state.table.rows()) {
      const known = before.get(`${collection}/${key}`)
      before.delete(`${collection}/${key}`)
      if (known === undefined || known.kept.modifyIndex !== kept.modifyIndex || known.kept.text !== kept.text)
        changes.push(this.table.keep(collection, key, kept))
    }
    for (const { collection, key } of before.values()) changes.push(this.table.keep(collection, key, undefined))
    this.gaps++
    for (const waiter of [...this.waiters])
      if (waiter.revision > state.revision) waiter.reject(new Error('etcd has been restored to an earlier state meanwhile'))
    this.standAt(state)
    const gone = new Set(this.others.keys())
    for (const other of state.others) {
      gone.delete(other.key)
      this.setOther(other.key, other)
    }
    for (const key of gone) this.setOther(key, undefined)
    this.events.onCommit(state.head.index, changes)
    this.wake()
  }

  private standAt({ head, headRevision, revision, etcd }: LoadedState): void {
    this.isCompacted = false
    this.etcdNow = etcd
    this.table.index = head.index
    this.headNow = head
    this.headAt = headRevision
    this.watchedAt = revision
    this.remember(head)
  }

  /** Nobody who runs remembers a higher index, but clients may. */
  private async raiseIfRestored({ head, headRevision, etcd }: LoadedState): Promise<boolean> {
    if (head.index === 0 || (head.cluster === etcd.cluster && head.term <= etcd.term)) return false
    this.events.onProblem('etcd has been restored from a backup since the last write: indexes go on from where they may have been')
    await this.raise({ head, headRevision, etcd }, head.index + RESTORED_GAP)
    return true
  }

  /** The next one who looks sees the index raised, by whoever was first. */
  private async raise({ head, headRevision, etcd }: Pick<LoadedState, 'head' | 'headRevision' | 'etcd'>, index: number): Promise<void> {
    // Parts are found by the id.
    const raised = makeHead({ ...head, ...etcd, index, id: head.staged > 0 ? head.id : `raised-${index}` })
    await this.client.txn({
      compare: [isAt(this.layout.head, headRevision)],
      success: [putOp(this.layout.head, bytesOf(JSON.stringify(raised)))],
    })
  }

  // ---- contact ---------------------------------------------------------------------------------------------------------------------

  private beat(): void {
    this.heartbeatTimer = setTimeout(() => {
      this.proveContact()
        .catch(() => {
          this.isSilent = true
          this.stream?.close()
        })
        .finally(() => {
          if (!this.closed) this.beat()
        })
    }, HEARTBEAT_MS)
    this.heartbeatTimer.unref()
  }

  private async proveContact(): Promise<void> {
    const asked = performance.now()
    await this.reached(await this.askQuorum(HEARTBEAT_TIMEOUT_MS))
    this.contactAt = Math.max(this.contactAt, asked)
    this.isSilent = false
  }

  /** Who asks while a question is under way shares the next one: that one may have been answered before they came. */
  private askHead(): Promise<bigint> {
    if (this.asking === undefined) {
      this.asking = this.askQuorum(CATCH_UP_MS).finally(() => (this.asking = undefined))
      return this.asking
    }
    this.askingNext ??= this.asking
      .catch(() => {})
      .then(() => {
        this.askingNext = undefined
        return this.askHead()
      })
    return this.askingNext
  }

  /** Revision of `head` as a majority has it. */
  private async askQuorum(withinMs: number): Promise<bigint> {
    const { kvs, header } = await this.client.range({ key: bytesOf(this.layout.head), keysOnly: true }, withinMs)
    this.etcdNow = etcdOf(header!)
    if (kvs[0] === undefined) throw new Error(`there is no state under ${this.layout.prefix} any more`)
    return kvs[0].modRevision
  }
}

const isChange = (change: RecordChange | undefined): change is RecordChange => change !== undefined
