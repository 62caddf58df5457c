// A store that lives as long as its process: for tests, and for a control plane without a data directory.
// Records are kept as JSON text, as on disk, so that no one shares a live object with the store.
import { CommitFeed } from './commit-feed.js'
import {
  type Collection,
  type Commit,
  put,
  type RecordChange,
  remove,
  type Store,
  type StoreCompare,
  type StoredRecord,
  type StoreWrite,
  type TransactionResult,
} from './store.js'

interface Kept {
  readonly text: string
  readonly createIndex: number
  readonly modifyIndex: number
}

export class MemoryStore implements Store {
  private readonly collections = new Map<Collection, Map<string, Kept>>()
  private readonly feed = new CommitFeed()
  private lastIndex = 0

  get index(): number {
    return this.lastIndex
  }

  async get(collection: Collection, key: string): Promise<StoredRecord | undefined> {
    const kept = this.collections.get(collection)?.get(key)
    return kept === undefined ? undefined : toRecord(key, kept)
  }

  async list(collection: Collection, prefix = ''): Promise<StoredRecord[]> {
    const all = [...(this.collections.get(collection) ?? [])].filter(([key]) => key.startsWith(prefix))
    return all.sort(([a], [b]) => Buffer.from(a).compare(Buffer.from(b))).map(([key, kept]) => toRecord(key, kept))
  }

  async transaction(writes: readonly StoreWrite[], compares: readonly StoreCompare[] = []): Promise<TransactionResult> {
    const conflict = compares.find(({ collection, key, modifyIndex }) => (this.kept(collection, key)?.modifyIndex ?? 0) !== modifyIndex)
    if (conflict !== undefined) return { ok: false, conflict }
    const texts = writes.map(write => (write.op === 'put' ? JSON.stringify(write.value) : ''))
    const index = ++this.lastIndex
    const changes = writes.map((write, i) => this.apply(write, texts[i]!, index))
    this.feed.publish(
      index,
      changes.filter(change => change !== undefined),
    )
    return { ok: true, index }
  }

  async put(collection: Collection, key: string, value: unknown): Promise<number> {
    return this.write(put(collection, key, value))
  }

  async delete(collection: Collection, key: string): Promise<number> {
    return this.write(remove(collection, key))
  }

  exclusive<T>(task: () => Promise<T>): Promise<T> {
    return this.feed.exclusive(task)
  }

  subscribe(collections: readonly Collection[], listener: (commit: Commit) => void): () => void {
    return this.feed.subscribe(collections, listener)
  }

  async close(): Promise<void> {}

  private async write(write: StoreWrite): Promise<number> {
    await this.transaction([write])
    return this.lastIndex
  }

  private kept(collection: Collection, key: string): Kept | undefined {
    return this.collections.get(collection)?.get(key)
  }

  private apply(write: StoreWrite, text: string, index: number): RecordChange | undefined {
    const { collection, key } = write
    let records = this.collections.get(collection)
    if (records === undefined) this.collections.set(collection, (records = new Map()))
    if (write.op === 'delete') return records.delete(key) ? { collection, key, record: undefined } : undefined
    const kept: Kept = { text, createIndex: records.get(key)?.createIndex ?? index, modifyIndex: index }
    records.set(key, kept)
    return { collection, key, record: toRecord(key, kept) }
  }
}

function toRecord(key: string, { text, createIndex, modifyIndex }: Kept): StoredRecord {
  return { key, value: JSON.parse(text), createIndex, modifyIndex }
}
