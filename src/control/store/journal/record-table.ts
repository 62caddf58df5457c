// The records of a store in memory: what the files of a data directory say, and what readers are answered from. Filled by
// state-directory.ts, changed by `JournalStore` once a transaction is durable. Values are kept as JSON text, so no one shares a live object.
import type { Collection, RecordChange, StoredRecord, StoreWrite } from '../store.js'

export interface Kept {
  readonly text: string
  readonly createIndex: number
  readonly modifyIndex: number
}

/** One record as the files have it: collection, key, value, createIndex, modifyIndex. */
export type RecordRow = readonly [collection: Collection, key: string, value: unknown, createIndex: number, modifyIndex: number]
/** One write as the files have it; without a value: the key is deleted. */
export type WriteRow = readonly [collection: Collection, key: string, value?: unknown]

export class RecordTable {
  private readonly collections = new Map<Collection, Map<string, Kept>>()
  index = 0

  get size(): number {
    let size = 0
    for (const records of this.collections.values()) size += records.size
    return size
  }

  kept(collection: Collection, key: string): Kept | undefined {
    return this.collections.get(collection)?.get(key)
  }

  get(collection: Collection, key: string): StoredRecord | undefined {
    const kept = this.kept(collection, key)
    return kept === undefined ? undefined : toRecord(key, kept)
  }

  has(collection: Collection): boolean {
    return (this.collections.get(collection)?.size ?? 0) > 0
  }

  list(collection: Collection, prefix: string): StoredRecord[] {
    const found: [bytes: Buffer, key: string, kept: Kept][] = []
    for (const [key, kept] of this.collections.get(collection) ?? []) if (key.startsWith(prefix)) found.push([Buffer.from(key), key, kept])
    return found.sort(([a], [b]) => a.compare(b)).map(([, key, kept]) => toRecord(key, kept))
  }

  /** Every record as it is now; later changes don't show. */
  rows(): (readonly [Collection, string, Kept])[] {
    return [...this.collections].flatMap(([collection, records]) => [...records].map(([key, kept]) => [collection, key, kept] as const))
  }

  restore([collection, key, value, createIndex, modifyIndex]: RecordRow): void {
    this.keep(collection, key, { text: JSON.stringify(value), createIndex, modifyIndex })
  }

  /** As it was kept elsewhere, with its indexes; undefined: it is gone. */
  keep(collection: Collection, key: string, kept: Kept | undefined): RecordChange {
    if (kept === undefined) this.of(collection).delete(key)
    else this.of(collection).set(key, kept)
    return { collection, key, record: kept && toRecord(key, kept) }
  }

  /** `text`: of what a put writes. Undefined where nothing changed. */
  apply(write: StoreWrite, text: string, index: number): RecordChange | undefined {
    const { collection, key } = write
    const records = this.of(collection)
    if (write.op === 'delete') return records.delete(key) ? { collection, key, record: undefined } : undefined
    const kept: Kept = { text, createIndex: records.get(key)?.createIndex ?? index, modifyIndex: index }
    records.set(key, kept)
    return { collection, key, record: toRecord(key, kept) }
  }

  private of(collection: Collection): Map<string, Kept> {
    let records = this.collections.get(collection)
    if (records === undefined) this.collections.set(collection, (records = new Map()))
    return records
  }
}

function toRecord(key: string, { text, createIndex, modifyIndex }: Kept): StoredRecord {
  return { key, value: JSON.parse(text), createIndex, modifyIndex }
}
