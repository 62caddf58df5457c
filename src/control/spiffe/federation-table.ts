// The federations in memory: fed by the store's commits alone, written by federations.ts, read by the snapshot builder (as FederationSources) and
// by the HTTP API, which can wait for changes.
import type { PeerBundle } from '../peering/peering-types.js'
import type { FederationSources } from '../snapshot/kinds/proxy-kind.js'
import { type Commit, put, type Store, type StoredRecord } from '../store/store.js'
import type { HeldLease } from '../store/task-leases.js'
import { WatchedIndex } from '../store/watched-index.js'
import type { Federation, FederationRecord, StoredFederation } from './federation-types.js'

export class FederationTable extends WatchedIndex implements FederationSources {
  private readonly records = new Map<string, StoredFederation>()
  private readonly listeners: ((names: readonly string[]) => void)[] = []

  private constructor(private readonly store: Store) {
    super(store.index)
  }

  static async open(store: Store): Promise<FederationTable> {
    const table = new FederationTable(store)
    store.subscribe(['federation'], commit => table.follow(commit))
    for (const record of await store.list('federation')) table.set(record)
    return table
  }

  /** Told after each change, with the names that it concerns. */
  onChange(listener: (names: readonly string[]) => void): void {
    this.listeners.push(listener)
  }

  get(name: string): StoredFederation | undefined {
    return this.records.get(name)
  }

  /** By name. */
  list(): StoredFederation[] {
    return [...this.records.values()].sort((a, b) => (a.Name < b.Name ? -1 : 1))
  }

  /** `decide` gives what is to be written from what is there now; undefined: nothing. */
  change(decide: () => FederationRecord | undefined, lease?: HeldLease): Promise<void> {
    return this.store.exclusive(async turn => {
      const record = decide()
      if (record !== undefined) await turn.transaction([put('federation', record.Name, record)])
    }, lease)
  }

  async remove(name: string): Promise<void> {
    await this.store.delete('federation', name)
  }

  named(name: string): Federation | undefined {
    const record = this.records.get(name)
    const bundle = record && bundleOf(record)
    return record && bundle && { bundle, idTemplate: record.IDTemplate === '' ? undefined : record.IDTemplate }
  }

  bundleOf(trustDomain: string): PeerBundle | undefined {
    const record = this.ofTrustDomain(trustDomain)
    return record && bundleOf(record)
  }

  ofTrustDomain(trustDomain: string): StoredFederation | undefined {
    return [...this.records.values()].find(({ TrustDomain }) => TrustDomain === trustDomain)
  }

  ofMesh(): readonly PeerBundle[] {
    return this.list().flatMap(record => (record.Mesh ? (bundleOf(record) ?? []) : []))
  }

  private follow({ index, changes }: Commit): void {
    for (const { key, record } of changes) {
      if (record === undefined) this.records.delete(key)
      else this.set(record)
    }
    this.advance(index)
    for (const listener of this.listeners) listener(changes.map(({ key }) => key))
  }

  private set({ key, value, createIndex, modifyIndex }: StoredRecord): void {
    this.records.set(key, { ...(value as FederationRecord), CreateIndex: createIndex, ModifyIndex: modifyIndex })
  }
}

function bundleOf({ TrustDomain: trustDomain, bundle }: FederationRecord): PeerBundle | undefined {
  return bundle && { trustDomain, rootPems: bundle.rootPems }
}
