// Tokens, policies, roles, auth methods and binding rules: in memory for who asks on each request, in the store for the next start and the
// other readers. Written by http-api/acl.ts and by logins; read by token-resolver.ts and the DNS, HTTP and gRPC servers through it.
// Judging what is written (names, links, rules) is acl-writes.ts's; this file keeps and finds.
// Invariant: memory changes only by the store's commits, so a refused or failed write is never seen.
import { createHash } from 'node:crypto'
import type { Collection, Commit, RecordChange, Store, StoredRecord } from '../store/store.js'
import {
  type AclPolicy,
  type AclRole,
  type AclToken,
  type AuthMethod,
  type BindingRule,
  BUILTIN_POLICIES,
  type Indexed,
} from './acl-types.js'

/** Of each kind; a mesh has a few policies for each service. */
export const MAX_ACL_OBJECTS = 100_000

const COLLECTIONS = ['acl-token', 'acl-policy', 'acl-role', 'acl-auth-method', 'acl-binding-rule'] as const satisfies readonly Collection[]
export type AclCollection = (typeof COLLECTIONS)[number]

interface Kinds {
  'acl-token': AclToken
  'acl-policy': AclPolicy
  'acl-role': AclRole
  'acl-auth-method': AuthMethod
  'acl-binding-rule': BindingRule
}

export class AclTable {
  private readonly kinds = new Map<AclCollection, Map<string, Indexed<Kinds[AclCollection]>>>(COLLECTIONS.map(name => [name, new Map()]))
  /** SHA-256 of the secret -> accessor: a look-up whose time says nothing of the secrets that are there. */
  private readonly accessorBySecret = new Map<string, string>()
  private readonly names = new Map<string, string>()
  private readonly listeners: (() => void)[] = []
  /** Grows with each change: what was resolved before is asked for again. */
  version = 0

  private constructor() {
    for (const policy of BUILTIN_POLICIES) this.keep('acl-policy', policy.ID, { ...policy, CreateIndex: 1, ModifyIndex: 1 })
  }

  static async load(store: Store): Promise<AclTable> {
    const table = new AclTable()
    // Subscribed first: what is committed while the lists are read is seen again, and is the newer one.
    store.subscribe(COLLECTIONS, commit => table.apply(commit))
    for (const collection of COLLECTIONS)
      for (const record of await store.list(collection))
        if (!table.isNewer(collection, record)) table.change({ collection, key: record.key, record })
    return table
  }

  onChange(listener: () => void): void {
    this.listeners.push(listener)
  }

  get<C extends AclCollection>(collection: C, key: string): Indexed<Kinds[C]> | undefined {
    return this.kinds.get(collection)!.get(keyIn(collection, key)) as Indexed<Kinds[C]> | undefined
  }

  /** In order of creation. */
  list<C extends AclCollection>(collection: C): Indexed<Kinds[C]>[] {
    return [...(this.kinds.get(collection)!.values() as Iterable<Indexed<Kinds[C]>>)].sort((a, b) => a.CreateIndex - b.CreateIndex)
  }

  size(collection: AclCollection): number {
    return this.kinds.get(collection)!.size
  }

  byName(collection: 'acl-policy', name: string): Indexed<AclPolicy> | undefined
  byName(collection: 'acl-role', name: string): Indexed<AclRole> | undefined
  byName(collection: 'acl-policy' | 'acl-role', name: string): Indexed<AclPolicy> | Indexed<AclRole> | undefined {
    const id = this.names.get(`${collection} ${name}`)
    return id === undefined ? undefined : this.get(collection as 'acl-policy', id)
  }

  tokenOfSecret(secret: string): Indexed<AclToken> | undefined {
    const accessor = this.accessorBySecret.get(digest(secret))
    return accessor === undefined ? undefined : this.get('acl-token', accessor)
  }

  private isNewer(collection: AclCollection, record: StoredRecord): boolean {
    const known = this.get(collection, record.key)
    return known !== undefined && known.ModifyIndex > record.modifyIndex
  }

  private apply(commit: Commit): void {
    for (const change of commit.changes) this.change(change)
    this.version++
    for (const listener of this.listeners) listener()
  }

  private change({ collection, key, record }: RecordChange): void {
    const kind = collection as AclCollection
    this.forget(kind, key)
    if (record === undefined) return
    const value = { ...(record.value as Kinds[AclCollection]), CreateIndex: record.createIndex, ModifyIndex: record.modifyIndex }
    this.keep(kind, key, value)
  }

  private keep(collection: AclCollection, key: string, value: Indexed<Kinds[AclCollection]>): void {
    this.kinds.get(collection)!.set(keyIn(collection, key), value)
    if ('SecretID' in value) this.accessorBySecret.set(digest(value.SecretID), key)
    if (collection === 'acl-policy' || collection === 'acl-role') this.names.set(`${collection} ${(value as AclPolicy).Name}`, key)
  }

  private forget(collection: AclCollection, key: string): void {
    const value = this.get(collection, key)
    if (value === undefined) return
    this.kinds.get(collection)!.delete(keyIn(collection, key))
    if ('SecretID' in value) this.accessorBySecret.delete(digest(value.SecretID))
    if (collection === 'acl-policy' || collection === 'acl-role') this.names.delete(`${collection} ${(value as AclPolicy).Name}`)
  }
}

/** An accessor may be its maker's: it is a UUID, whose case says nothing. */
function keyIn(collection: AclCollection, key: string): string {
  return collection === 'acl-token' ? key.toLowerCase() : key
}

function digest(secret: string): string {
  return createHash('sha256').update(secret).digest('base64')
}
