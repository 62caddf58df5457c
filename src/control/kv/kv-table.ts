// The key/value pairs in memory, in order of their keys, with the indexes that blocking reads go by. Fed by the store's commits; read by
// the HTTP API, changed through `KvWriter`.
// Invariant: the index of a key or prefix never goes back, whatever is deleted and however often the process starts anew: what is gone
// leaves a tombstone, and tombstones that are themselves gone leave a floor.
import type { Commit, Store, StoredRecord } from '../store/store.js'

export interface KvPair {
  readonly key: string
  /** Base64. */
  readonly value: string
  /** An unsigned 64-bit number in decimal digits: more than a JavaScript number can hold. */
  readonly flags: string
  readonly lockIndex: number
  /** The session that holds the lock, or ''. */
  readonly session: string
  readonly createIndex: number
  readonly modifyIndex: number
}

export type StoredPair = Omit<KvPair, 'key' | 'createIndex' | 'modifyIndex'>

/** Deletions that are remembered one by one; older ones count as if something of every prefix had been deleted then. */
const MAX_TOMBSTONES = 10_000

export class KvTable {
  private readonly pairs = new Map<string, KvPair>()
  private readonly sorted: string[] = []
  private readonly tombstones = new Map<string, number>()
  /** Who waits, by the key or by the prefix. */
  private readonly keyWaiters = new Map<string, Set<() => void>>()
  private readonly prefixWaiters = new Map<string, Set<() => void>>()
  private readonly heldBy = new Map<string, Set<string>>()
  /** What the last commit took from whom. */
  private readonly freed = new Map<string, string[]>()
  private floor: number
  private lastIndex: number

  private constructor(index: number) {
    this.floor = Math.max(index, 1)
    this.lastIndex = this.floor
  }

  static async open(store: Store): Promise<KvTable> {
    const table = new KvTable(store.index)
    store.subscribe(['kv'], commit => table.follow(commit))
    for (const record of await store.list('kv')) table.set(toPair(record))
    return table
  }

  get size(): number {
    return this.pairs.size
  }

  get(key: string): KvPair | undefined {
    return this.pairs.get(key)
  }

  list(prefix: string): KvPair[] {
    const found: KvPair[] = []
    for (let at = lowerBound(this.sorted, prefix); at < this.sorted.length && this.sorted[at]!.startsWith(prefix); at++)
      found.push(this.pairs.get(this.sorted[at]!)!)
    return found
  }

  /** Keys under `prefix`, each cut after the first `separator` behind it. */
  keys(prefix: string, separator: string): string[] {
    const found: string[] = []
    for (const { key } of this.list(prefix)) {
      const cut = separator === '' ? -1 : key.indexOf(separator, prefix.length)
      const name = cut < 0 ? key : key.slice(0, cut + separator.length)
      if (found.at(-1) !== name) found.push(name)
    }
    return found
  }

  /** Keys that a session holds locked. */
  heldKeys(session: string): ReadonlySet<string> {
    return this.heldBy.get(session) ?? new Set()
  }

  /** Keys that a session lost by the commit of this index, which is the last one. */
  freedAt(index: number, session: string): readonly string[] {
    return this.lastIndex === index ? (this.freed.get(session) ?? []) : []
  }

  /** Of a key that is not there: that of the last change of any. */
  keyIndex(key: string): number {
    return this.pairs.get(key)?.modifyIndex ?? this.lastIndex
  }

  prefixIndex(prefix: string): number {
    let index = 0
    for (const { modifyIndex } of this.list(prefix)) index = Math.max(index, modifyIndex)
    if (index === 0 || prefix === '') return this.lastIndex
    for (const [key, deletedAt] of this.tombstones) if (deletedAt > index && key.startsWith(prefix)) index = deletedAt
    return Math.max(index, this.floor)
  }

  /** Calls `wake` at the next change of the key. Returns the way out. */
  watchKey(key: string, wake: () => void): () => void {
    return addWaiter(this.keyWaiters, key, wake)
  }

  watchPrefix(prefix: string, wake: () => void): () => void {
    return addWaiter(this.prefixWaiters, prefix, wake)
  }

  private follow({ index, changes }: Commit): void {
    this.lastIndex = index
    this.freed.clear()
    for (const { key, record } of changes) {
      if (record === undefined) this.delete(key, index)
      else this.set(toPair(record))
    }
    for (const { key } of changes) this.wake(key)
  }

  private set(pair: KvPair): void {
    const { key } = pair
    const before = this.pairs.get(key)
    if (before === undefined) this.sorted.splice(lowerBound(this.sorted, key), 0, key)
    if (pair.session !== before?.session) this.release(before)
    this.pairs.set(key, pair)
    this.tombstones.delete(key)
    if (pair.session === '') return
    const held = this.heldBy.get(pair.session)
    if (held === undefined) this.heldBy.set(pair.session, new Set([key]))
    else held.add(key)
  }

  private delete(key: string, index: number): void {
    const before = this.pairs.get(key)
    if (before === undefined) return
    this.release(before)
    this.pairs.delete(key)
    this.sorted.splice(lowerBound(this.sorted, key), 1)
    this.tombstones.set(key, index)
    if (this.tombstones.size <= MAX_TOMBSTONES) return
    const [oldest, deletedAt] = this.tombstones.entries().next().value!
    this.tombstones.delete(oldest)
    this.floor = Math.max(this.floor, deletedAt)
  }

  private release(pair: KvPair | undefined): void {
    if (pair === undefined || pair.session === '') return
    const held = this.heldBy.get(pair.session)
    held?.delete(pair.key)
    const freed = this.freed.get(pair.session)
    if (freed === undefined) this.freed.set(pair.session, [pair.key])
    else freed.push(pair.key)
    if (held?.size === 0) this.heldBy.delete(pair.session)
  }

  /** Who waits for the key, and for each of its prefixes. */
  private wake(key: string): void {
    wakeAll(this.keyWaiters.get(key))
    if (this.prefixWaiters.size === 0) return
    for (let length = 0; length <= key.length; length++) wakeAll(this.prefixWaiters.get(key.slice(0, length)))
  }
}

function toPair({ key, value, createIndex, modifyIndex }: StoredRecord): KvPair {
  return { key, ...(value as StoredPair), createIndex, modifyIndex }
}

function addWaiter(waiters: Map<string, Set<() => void>>, name: string, wake: () => void): () => void {
  const named = waiters.get(name) ?? new Set()
  waiters.set(name, named.add(wake))
  return () => {
    if (named.delete(wake) && named.size === 0 && waiters.get(name) === named) waiters.delete(name)
  }
}

function wakeAll(waiters: ReadonlySet<() => void> | undefined): void {
  if (waiters !== undefined) for (const wake of [...waiters]) wake()
}

/** Where `key` stands, or would. */
function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}
