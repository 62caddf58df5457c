// The state in etcd v3, shared by as many replicas of the control plane as there are. Reads are answered from memory, which a watch keeps as etcd
// has it (etcd-mirror.ts); writes go to etcd one after another, each with a compare that says after which commit it comes. Opened by `ControlPlane`
// for `--store etcd://…`, and loaded with it alone.
//
//   transaction -> line -> [compares judged in memory -> etcd: is `head` still what memory has? then `head` and records] -> memory -> promise
//                              ^------- another replica was first: its commit into memory, judged again -------|
//   exclusive: the task is run again where another replica has written since it looked; where it wrote nothing, a quorum is asked whether
//              what it looked at was the newest state
//
// Invariants: a transaction is done at most once, also where etcd's answer got lost: done again it has the same compare, which holds once; what nobody
// can know is said to be unknown. Nothing is written on the ground of memory that was behind.
import { randomUUID } from 'node:crypto'
import { CommitFeed } from '../commit-feed.js'
import type { Kept } from '../journal/record-table.js'
import {
  type Collection,
  type Commit,
  type Contact,
  put,
  remove,
  type Store,
  type StoreCompare,
  type StoredRecord,
  type StoreWrite,
  type TransactionResult,
  type Turn,
} from '../store.js'
import { type HeldLease, LeaseLost } from '../task-leases.js'
import { EtcdClient, EtcdError } from './etcd-client.js'
import { bytesOf, deleteOp, EtcdLayout, encodeRecord, foundBy, getOp, isAt, isSince, makeHead, putOp } from './etcd-layout.js'
import { EtcdLeases } from './etcd-leases.js'
import { EtcdMirror } from './etcd-mirror.js'
import { EtcdNotes } from './etcd-notes.js'
import { type EtcdStoreOptions, readEtcdOptions } from './etcd-options.js'
import { EtcdSession } from './etcd-session.js'
import { layDownParts, MAX_OPERATIONS, MAX_REQUEST_BYTES, partsAreThere, putInPlace } from './staged-commit.js'

/** Where other replicas write all the time. */
const WRITE_MS = 30_000
const MAX_WAITING = 10_000

interface Write {
  readonly writes: readonly StoreWrite[]
  readonly texts: readonly string[]
  readonly compares: readonly StoreCompare[]
  /** Memory's index when it was decided; undefined: it does not depend on it. */
  readonly basis: number | undefined
  readonly lease: HeldLease | undefined
}

/** Another replica has written since the task looked. Never leaves `exclusive`. */
class Outrun extends Error {}

export class EtcdStore implements Store {
  readonly leases: EtcdLeases
  readonly notes: EtcdNotes
  readonly isShared = true
  private readonly feed = new CommitFeed()
  private readonly client: EtcdClient
  private readonly layout: EtcdLayout
  private readonly session: EtcdSession
  private mirror!: EtcdMirror
  private line: Promise<unknown> = Promise.resolve()
  private waiting = 0
  private closed = false

  private constructor(options: EtcdStoreOptions, onProblem: (reason: string) => void) {
    const address = readEtcdOptions(options)
    this.layout = new EtcdLayout(address.prefix)
    this.client = new EtcdClient(address)
    this.session = new EtcdSession(this.client, onProblem)
    this.notes = new EtcdNotes(randomUUID(), this.client, this.layout, this.session, onProblem)
    this.leases = new EtcdLeases(this.client, this.layout, this.session, onProblem)
  }

  /** Rejects with one line that says what is wrong where. `firstIndex`: of a state that is new. */
  static async open(options: EtcdStoreOptions, onProblem: (reason: string) => void, firstIndex = 0): Promise<EtcdStore> {
    const store = new EtcdStore(options, onProblem)
    try {
      store.mirror = await EtcdMirror.open(store.client, store.layout, {
        onCommit: (index, changes) => store.feed.publish(index, changes),
        onKey: (key, other) => {
          if (key.startsWith(store.layout.held)) store.leases.keyChanged(key, other)
          else if (key.startsWith(store.layout.note)) store.notes.keyChanged(key, other)
        },
        onProblem,
        firstIndex,
      })
      await store.session.start()
    } catch (error) {
      store.mirror?.close()
      store.client.close()
      throw new Error(`--store ${options.store}: ${(error as Error).message}`)
    }
    return store
  }

  get index(): number {
    return this.mirror.table.index
  }

  get contact(): Contact {
    return this.mirror
  }

  async get(collection: Collection, key: string): Promise<StoredRecord | undefined> {
    return this.mirror.table.get(collection, key)
  }

  async list(collection: Collection, prefix = ''): Promise<StoredRecord[]> {
    return this.mirror.table.list(collection, prefix)
  }

  catchUp(): Promise<void> {
    return this.mirror.catchUp()
  }

  transaction(writes: readonly StoreWrite[], compares: readonly StoreCompare[] = []): Promise<TransactionResult> {
    return this.write(writes, compares, undefined, undefined)
  }

  async put(collection: Collection, key: string, value: unknown): Promise<number> {
    return this.writeOne(put(collection, key, value))
  }

  async delete(collection: Collection, key: string): Promise<number> {
    return this.writeOne(remove(collection, key))
  }

  exclusive<T>(task: (turn: Turn) => Promise<T>, lease?: HeldLease): Promise<T> {
    return this.feed.exclusive(() => this.takeTurns(task, lease))
  }

  subscribe(collections: readonly Collection[], listener: (commit: Commit) => void): () => void {
    return this.feed.subscribe(collections, listener)
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    await this.line
    await this.session.close()
    this.mirror.close()
    this.client.close()
  }

  private async takeTurns<T>(task: (turn: Turn) => Promise<T>, lease: HeldLease | undefined): Promise<T> {
    for (const end = performance.now() + WRITE_MS; ; ) {
      await this.mirror.settled()
      let basis = this.index
      let isOutrun = false
      // Written, or not for certain: not to be done a second time.
      let isSettled = false
      const turn: Turn = {
        transaction: async (writes, compares = []) => {
          try {
            const result = await this.write(writes, compares, basis, lease)
            if (result.ok) {
              basis = result.index
              isSettled = true
            }
            return result
          } catch (error) {
            if (error instanceof Outrun) isOutrun = true
            else isSettled = true
            throw error
          }
        },
      }
      const outcome = await task(turn).then(
        value => () => value,
        (error: Error) => () => {
          throw error
        },
      )
      // What was looked at may have been behind although nothing came of it.
      if (!isOutrun && !isSettled) await this.mirror.catchUp()
      if (!isOutrun && (isSettled || this.index === basis)) return outcome()
      if (performance.now() > end)
        throw new Error(`other replicas have written all the time for ${WRITE_MS / 1_000} s; nothing was written`)
    }
  }

  private async writeOne(write: StoreWrite): Promise<number> {
    const result = await this.transaction([write])
    return result.ok ? result.index : this.index
  }

  /** One after another: each begins with memory as the one before has left it. */
  private write(
    writes: readonly StoreWrite[],
    compares: readonly StoreCompare[],
    basis: number | undefined,
    lease: HeldLease | undefined,
  ): Promise<TransactionResult> {
    if (this.closed) return Promise.reject(new Error('the store is closed'))
    if (this.waiting >= MAX_WAITING) return Promise.reject(new Error(`${MAX_WAITING} writes wait for etcd already, which is the limit`))
    const texts = writes.map(write => (write.op === 'put' ? JSON.stringify(write.value) : ''))
    this.waiting++
    const run = this.line.then(() => this.commit({ writes, texts, compares, basis, lease })).finally(() => this.waiting--)
    this.line = run.catch(() => {})
    return run
  }

  private async commit(write: Write): Promise<TransactionResult> {
    const id = randomUUID()
    for (const end = performance.now() + WRITE_MS; ; ) {
      const { mirror } = this
      await mirror.settled()
      mirror.requireContact()
      if (write.lease?.signal.aborted) throw new LeaseLost(write.lease)
      if (write.basis !== undefined && this.index !== write.basis) throw new Outrun()
      const { compares } = write
      const conflict = compares.find(
        ({ collection, key, modifyIndex }) => (mirror.table.kept(collection, key)?.modifyIndex ?? 0) !== modifyIndex,
      )
      if (conflict !== undefined) {
        const judgedAt = this.index
        await mirror.catchUp()
        if (this.index === judgedAt) return { ok: false, conflict }
        continue
      }
      const index = (await this.unstage()) ? await this.attempt(id, write) : undefined
      if (index !== undefined) return { ok: true, index }
      if (performance.now() > end)
        throw new Error(`other replicas have written all the time for ${WRITE_MS / 1_000} s; nothing was written`)
    }
  }

  /** Resolves with the index; undefined: another replica was first, and memory has its commit. */
  private async attempt(id: string, { writes, texts, lease }: Write): Promise<number | undefined> {
    const { client, layout, mirror } = this
    const { head, headRevision, gaps } = mirror
    const index = head.index + 1
    const records = this.encode(writes, texts, index)
    const bytes = [...records].reduce((sum, [key, kept]) => sum + 2 * Buffer.byteLength(key) + Buffer.byteLength(kept?.text ?? ''), 0)
    const isLarge = records.size > MAX_OPERATIONS || bytes > MAX_REQUEST_BYTES
    const staged = isLarge ? await layDownParts(client, layout, id, writes, texts) : 0
    const next = makeHead({ index, id, staged, ...mirror.etcd })
    const heldKey = lease === undefined ? undefined : this.leases.keyOf(lease)
    const response = await client
      .txn({
        compare: [
          isAt(layout.head, headRevision),
          ...(heldKey === undefined ? [] : [isSince(heldKey.key, heldKey.since)]),
          ...partsAreThere(layout, id, staged),
        ],
        success: [
          putOp(layout.head, bytesOf(JSON.stringify(next))),
          ...(isLarge ? [] : [...records].map(([key, kept]) => (kept === undefined ? deleteOp(key) : putOp(key, encodeRecord(kept))))),
        ],
        failure: [getOp(layout.head), ...(heldKey === undefined ? [] : [getOp(heldKey.key)])],
      })
      .catch(error => this.afterFailure(error, id))
    if (typeof response === 'number') return response
    if (response.succeeded) {
      const { revision } = response.header!
      mirror.committed(revision, next, writes, texts)
      await mirror.reached(revision)
      return index
    }
    const found = foundBy(response.responses[0])
    if (found === undefined) throw new Error(`there is no state under ${layout.prefix} any more; nothing was written`)
    if (found.modRevision === headRevision) {
      // Parts that another replica took for a leftover are laid down again.
      if (heldKey === undefined || foundBy(response.responses[1])?.createRevision === heldKey.since) return undefined
      throw new LeaseLost(lease!)
    }
    await mirror.reached(found.modRevision)
    const before = mirror.indexOf(id)
    if (before === undefined && mirror.gaps !== gaps)
      throw new Error('contact with etcd was lost for long: whether it was written is not known')
    return before
  }

  /** What the records will be, each key once. */
  private encode(writes: readonly StoreWrite[], texts: readonly string[], index: number): Map<string, Kept | undefined> {
    const records = new Map<string, Kept | undefined>()
    writes.forEach(({ op, collection, key }, i) => {
      const name = this.layout.recordKey(collection, key)
      const before = records.has(name) ? records.get(name) : this.mirror.table.kept(collection, key)
      records.set(name, op === 'delete' ? undefined : { text: texts[i]!, createIndex: before?.createIndex ?? index, modifyIndex: index })
    })
    return records
  }

  /** Puts what the last commit has left staged in its place. False: look again. */
  private async unstage(): Promise<boolean> {
    const { mirror } = this
    const { head, headRevision } = mirror
    if (head.staged === 0) return true
    const done = await putInPlace(this.client, this.layout, head, headRevision, mirror.table).catch(error => {
      throw honest(error)
    })
    if (done === undefined) await mirror.catchUp()
    else mirror.unstaged(done.revision, done.head)
    return done !== undefined
  }

  /** Resolves with the index where it was written although etcd has said otherwise; rejects with one line that says what is known. */
  private async afterFailure(error: unknown, id: string): Promise<number> {
    if (error instanceof EtcdError && error.isExhausted) {
      await this.mirror.catchUp()
      const index = this.mirror.indexOf(id)
      if (index !== undefined) return index
    }
    throw honest(error)
  }
}

function honest(error: unknown): unknown {
  if (!(error instanceof EtcdError)) return error
  return new Error(`${error.message}; ${error.isOutcomeUnknown ? 'whether it was written is not known' : 'nothing was written'}`)
}
