// One decision about key/value pairs that is not yet written: it reads through what it has already changed, and gives the store's writes
// at the end. Made by `KvWriter`, worked on by the KV endpoints, transactions and the end of a session.
// Invariant: with `Blocked` it refuses to look at what another decision of the same commit has changed, since both would have one index,
// and a check-and-set could not tell them apart.
import { put, remove, type StoreWrite } from '../store/store.js'
import type { KvPair, KvTable, StoredPair } from './kv-table.js'

/** Thrown by a decision that must wait for the commit before it. Never leaves `KvWriter`. */
export class Blocked extends Error {}

/** `modifyIndex` of what is not yet committed. */
export const PENDING = -1

export interface Sessions {
  has(id: string): boolean
  /** Whether a key's lock may not be taken yet, because the session that held it was invalidated a moment ago. */
  isDelayed(key: string): boolean
}

export class KvChange {
  private readonly changed = new Map<string, KvPair | undefined>()

  constructor(
    private readonly table: KvTable,
    private readonly sessions: Sessions,
    /** Keys that earlier decisions of the same commit have changed. */
    private readonly taken: ReadonlySet<string> = new Set(),
  ) {}

  get keys(): Iterable<string> {
    return this.changed.keys()
  }

  writes(): StoreWrite[] {
    return [...this.changed].map(([key, pair]) => (pair === undefined ? remove('kv', key) : put('kv', key, stored(pair))))
  }

  get(key: string): KvPair | undefined {
    if (this.taken.has(key)) throw new Blocked()
    return this.changed.has(key) ? this.changed.get(key) : this.table.get(key)
  }

  list(prefix: string): KvPair[] {
    for (const key of this.taken) if (key.startsWith(prefix)) throw new Blocked()
    const pairs = this.table.list(prefix).filter(({ key }) => !this.changed.has(key))
    for (const [key, pair] of this.changed) if (pair !== undefined && key.startsWith(prefix)) pairs.push(pair)
    return pairs.sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  /** Keeps a lock that is held. Writes nothing when the pair is there already. */
  set(key: string, value: string, flags: string): KvPair {
    const before = this.get(key)
    return this.write(before, { key, value, flags, lockIndex: before?.lockIndex ?? 0, session: before?.session ?? '' })
  }

  /** `index` 0: only when there is no such key. */
  setIf(key: string, value: string, flags: string, index: number): KvPair | undefined {
    const before = this.get(key)
    if ((before?.modifyIndex ?? 0) !== index) return undefined
    return this.set(key, value, flags)
  }

  delete(key: string): void {
    if (this.get(key) !== undefined) this.changed.set(key, undefined)
  }

  /** True also when there is nothing to delete. */
  deleteIf(key: string, index: number): boolean {
    const before = this.get(key)
    if (before === undefined) return true
    if (before.modifyIndex !== index) return false
    this.delete(key)
    return true
  }

  deleteTree(prefix: string): void {
    for (const { key } of this.list(prefix)) this.changed.set(key, undefined)
  }

  /** Throws when there is no such session. Undefined: another one holds it, or its lock delay runs. */
  lock(key: string, value: string, flags: string, session: string): KvPair | undefined {
    if (session === '' || !this.sessions.has(session)) throw new Error(`invalid session ${JSON.stringify(session)}`)
    const before = this.get(key)
    if (before !== undefined && before.session !== '' && before.session !== session) return undefined
    const isHeld = before?.session === session
    if (!isHeld && this.sessions.isDelayed(key)) return undefined
    return this.write(before, { key, value, flags, lockIndex: (before?.lockIndex ?? 0) + (isHeld ? 0 : 1), session })
  }

  /** Undefined: that session does not hold it. */
  unlock(key: string, value: string, flags: string, session: string): KvPair | undefined {
    const before = this.get(key)
    if (session === '' || before?.session !== session) return undefined
    return this.write(before, { key, value, flags, lockIndex: before.lockIndex, session: '' })
  }

  /** What happens to the keys of a session that is no more. */
  endSession(keys: Iterable<string>, behavior: 'release' | 'delete'): void {
    for (const key of keys) {
      const pair = this.get(key)
      if (pair === undefined) continue
      if (behavior === 'delete') this.delete(key)
      else this.write(pair, { ...pair, session: '' })
    }
  }

  private write(before: KvPair | undefined, pair: StoredPair & { readonly key: string }): KvPair {
    if (before !== undefined && sameContent(before, pair)) return before
    const after = { ...pair, createIndex: before?.createIndex ?? PENDING, modifyIndex: PENDING }
    this.changed.set(pair.key, after)
    return after
  }
}

function stored({ value, flags, lockIndex, session }: KvPair): StoredPair {
  return { value, flags, lockIndex, session }
}

function sameContent(a: StoredPair, b: StoredPair): boolean {
  return a.value === b.value && a.flags === b.flags && a.lockIndex === b.lockIndex && a.session === b.session
}
