// A store that lives as long as its process: for tests, and for a control plane without a data directory.
import { CommitFeed, leasedTurn } from './commit-feed.js'
import { RecordTable } from './journal/record-table.js'
import { NoReplicas } from './replica-notes.js'
import {
  ALONE,
  type Collection,
  type Commit,
  put,
  remove,
  type Store,
  type StoreCompare,
  type StoredRecord,
  type StoreWrite,
  type TransactionResult,
  type Turn,
} from './store.js'
import { type HeldLease, LocalLeases } from './task-leases.js'

export class MemoryStore implements Store {
  private readonly records = new RecordTable()
  private readonly feed = new CommitFeed()
  readonly leases = new LocalLeases()
  readonly notes = new NoReplicas()
  readonly contact = ALONE
  readonly isShared = false

  get index(): number {
    return this.records.index
  }

  async get(collection: Collection, key: string): Promise<StoredRecord | undefined> {
    return this.records.get(collection, key)
  }

  async list(collection: Collection, prefix = ''): Promise<StoredRecord[]> {
    return this.records.list(collection, prefix)
  }

  async transaction(writes: readonly StoreWrite[], compares: readonly StoreCompare[] = []): Promise<TransactionResult> {
    const { records } = this
    const conflict = compares.find(({ collection, key, modifyIndex }) => (records.kept(collection, key)?.modifyIndex ?? 0) !== modifyIndex)
    if (conflict !== undefined) return { ok: false, conflict }
    const texts = writes.map(write => (write.op === 'put' ? JSON.stringify(write.value) : ''))
    const index = ++records.index
    const changes = writes.map((write, i) => records.apply(write, texts[i]!, index))
    this.feed.publish(
      index,
      changes.filter(change => change !== undefined),
    )
    return { ok: true, index }
  }

  async put(collection: Collection, key: string, value: unknown): Promise<number> {
    await this.transaction([put(collection, key, value)])
    return this.records.index
  }

  async delete(collection: Collection, key: string): Promise<number> {
    await this.transaction([remove(collection, key)])
    return this.records.index
  }

  exclusive<T>(task: (turn: Turn) => Promise<T>, lease?: HeldLease): Promise<T> {
    return this.feed.exclusive(() => task(leasedTurn(this, lease)))
  }

  /** Nobody else writes. */
  async catchUp(): Promise<void> {}

  subscribe(collections: readonly Collection[], listener: (commit: Commit) => void): () => void {
    return this.feed.subscribe(collections, listener)
  }

  async close(): Promise<void> {}
}
