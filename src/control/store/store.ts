// What the control plane asks of a place that keeps its state: small JSON records in collections, changed in awaited transactions that
// each take the next index (Consul's X-Consul-Index), and told to whoever listens. Implemented by `JournalStore` (a data directory),
// `MemoryStore`, and `EtcdStore`, which several replicas of the control plane share. Used by the catalog, the config entries, the CA, the
// leaf certificates and whatever else has state.
//
//   exclusive: read memory -> decide -> turn.transaction(writes, compares) -> subscribers change their memory -> the promise resolves
//
// Invariants: a transaction is kept whole or not at all, and durably once its promise resolves; every subscriber has been told of it
// by then, in order of indexes; an index never goes back. Only memory that a subscription feeds may be read without waiting; what is
// written because of what it says is written in an exclusive task, or with a compare: other replicas write too.

import type { ReplicaNotes } from './replica-notes.js'
import type { HeldLease, TaskLeases } from './task-leases.js'

/** What is kept. `meta` holds single values (index, node id), the others one record per object. */
export type Collection =
  | 'meta'
  | 'node'
  | 'service'
  | 'check'
  | 'virtual-ip'
  | 'config-entry'
  | 'mesh-file'
  | 'ca'
  | 'leaf'
  | 'acl-token'
  | 'acl-policy'
  | 'acl-role'
  | 'acl-auth-method'
  | 'acl-binding-rule'
  | 'kv'
  | 'session'
  | 'prepared-query'
  | 'agent-lease'
  | 'peering'
  | 'peering-import'
  | 'federation'
  | 'rollout'
  | 'rollout-status'
  | 'gateway-certificate'

export interface StoredRecord {
  readonly key: string
  readonly value: unknown
  readonly createIndex: number
  readonly modifyIndex: number
}

export type StoreWrite =
  /** `value` must be JSON. */
  | { readonly op: 'put'; readonly collection: Collection; readonly key: string; readonly value: unknown }
  /** Of a key that is not there: nothing. */
  | { readonly op: 'delete'; readonly collection: Collection; readonly key: string }

/** Holds when the record's modifyIndex is this one; 0: when there is no such record. */
export interface StoreCompare {
  readonly collection: Collection
  readonly key: string
  readonly modifyIndex: number
}

export type TransactionResult =
  | { readonly ok: true; readonly index: number }
  /** The first compare that did not hold; nothing was written. */
  | { readonly ok: false; readonly conflict: StoreCompare }

export interface RecordChange {
  readonly collection: Collection
  readonly key: string
  /** Undefined: it was deleted. */
  readonly record: StoredRecord | undefined
}

/** One transaction as its subscribers see it. */
export interface Commit {
  readonly index: number
  readonly changes: readonly RecordChange[]
}

/** How an exclusive task writes: nothing is written where memory was not what the store holds. One transaction a turn. */
export interface Turn {
  transaction(writes: readonly StoreWrite[], compares?: readonly StoreCompare[]): Promise<TransactionResult>
}

/** How far memory is known to be the newest state. */
export interface Contact {
  /** Memory lacks nothing that was written longer ago than this. */
  readonly lastContactMs: number
  /** It is short enough to be called current. */
  readonly knowsLeader: boolean
}

/** Of a store that nobody else writes. */
export const ALONE: Contact = { lastContactMs: 0, knowsLeader: true }

export interface Store {
  /** Index of the last committed write; 0 for a new store. */
  readonly index: number
  readonly leases: TaskLeases
  readonly notes: ReplicaNotes
  /** Other replicas may write to it. */
  readonly isShared: boolean
  readonly contact: Contact
  get(collection: Collection, key: string): Promise<StoredRecord | undefined>
  /** All records of a collection, or those whose key begins with `prefix`; in order of the keys' bytes. */
  list(collection: Collection, prefix?: string): Promise<StoredRecord[]>
  /** Rejects with one line when the state can't be written; nothing has changed then. Without writes it takes an index all the same. */
  transaction(writes: readonly StoreWrite[], compares?: readonly StoreCompare[]): Promise<TransactionResult>
  /** A transaction of one write. Resolves with its index. */
  put(collection: Collection, key: string, value: unknown): Promise<number>
  delete(collection: Collection, key: string): Promise<number>
  /**
   * Runs `task` while no other one does: for who reads its memory, decides by it and then writes, by its turn. Not to be nested. What
   * `task` throws is passed on. Where replicas share the store and another one has written meanwhile, the task is run again with memory
   * as it is now: what it does before its transaction must bear that. `lease`: nothing is written once that is another's.
   */
  exclusive<T>(task: (turn: Turn) => Promise<T>, lease?: HeldLease): Promise<T>
  /** Resolves once memory holds what was written anywhere before the call. Rejects where that can't be proven. */
  catchUp(): Promise<void>
  /** `listener` must not throw; it is told of commits that touch one of the collections, with those changes only. Returns the way out. */
  subscribe(collections: readonly Collection[], listener: (commit: Commit) => void): () => void
  /** Waits for what is under way; nothing may be asked afterwards. Safe to call twice. */
  close(): Promise<void>
}

export const put = (collection: Collection, key: string, value: unknown): StoreWrite => ({ op: 'put', collection, key, value })
export const remove = (collection: Collection, key: string): StoreWrite => ({ op: 'delete', collection, key })
