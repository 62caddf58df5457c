// The config entries that are in force: in memory for readers (`ConfigEntryIndex`), in the store for the next start.
// Written by the HTTP API and the mesh file; read by the chain compiler, the intentions and the snapshot builder.
// Invariant: an entry is here only if it parsed and every chain that it touches compiled with it; a refused write changes nothing.
import { parseConfigEntry } from './config-entries/parse-config-entry.js'
import type { ConfigEntry, ConfigEntryIndex, ConfigEntryKind, ConfigError, EntryOfKind } from './config-entries/types.js'
import { validateWrite } from './discovery-chain/validate-write.js'
import type { Commit, Store } from './store/store.js'

export const MAX_CONFIG_ENTRIES = 20_000

export type WriteResult =
  | { readonly ok: true; readonly changed: boolean }
  | { readonly ok: false; readonly errors: readonly ConfigError[] }
  /** Check-and-set: the entry is not at the given index. */
  | { readonly ok: false; readonly conflict: true }

export interface EntryChangeEvent {
  readonly kind: ConfigEntryKind
  readonly name: string
  readonly before: ConfigEntry | undefined
  readonly after: ConfigEntry | undefined
}

/** Names the clusters of the chains that a write is checked against. */
export interface EntryScope {
  readonly datacenter: string
  readonly trustDomain: string
  /** Would a sidecar refuse what comes of the entry? Its errors, with paths in the entry. */
  readonly check?: (entry: ConfigEntry, before: ConfigEntryIndex) => readonly ConfigError[]
}

export class ConfigEntryTable implements ConfigEntryIndex {
  private readonly store: Store
  private readonly scope: EntryScope
  private readonly kinds = new Map<ConfigEntryKind, Map<string, ConfigEntry>>()
  private readonly listeners: ((event: EntryChangeEvent) => void)[] = []
  private entryCount = 0

  private constructor(store: Store, scope: EntryScope) {
    this.store = store
    this.scope = scope
    store.subscribe(['config-entry'], commit => this.follow(commit))
  }

  static async open(store: Store, scope: EntryScope): Promise<ConfigEntryTable> {
    const table = new ConfigEntryTable(store, scope)
    for (const record of await store.list('config-entry')) table.set({ ...(record.value as ConfigEntry), ...indexes(record) })
    return table
  }

  get size(): number {
    return this.entryCount
  }

  get<K extends ConfigEntryKind>(kind: K, name: string): EntryOfKind<K> | undefined {
    return this.kinds.get(kind)?.get(name) as EntryOfKind<K> | undefined
  }

  list<K extends ConfigEntryKind>(kind: K): readonly EntryOfKind<K>[] {
    return [...(this.kinds.get(kind)?.values() ?? [])] as EntryOfKind<K>[]
  }

  all(): ConfigEntry[] {
    return [...this.kinds.values()].flatMap(named => [...named.values()])
  }

  onChange(listener: (event: EntryChangeEvent) => void): void {
    this.listeners.push(listener)
  }

  /** `raw` is an entry in any spelling. With `cas`: written only if the entry's ModifyIndex is that (0: only if there is none). */
  async put(raw: unknown, cas?: number): Promise<WriteResult> {
    const parsed = parseConfigEntry(raw)
    if ('errors' in parsed) return { ok: false, errors: parsed.errors }
    const { CreateIndex: _create, ModifyIndex: _modify, ...content } = parsed.entry
    const entry = content as ConfigEntry
    return this.store.exclusive(async () => {
      const before = this.get(entry.Kind, entry.Name)
      if (cas !== undefined && cas !== (before?.ModifyIndex ?? 0)) return { ok: false, conflict: true }
      if (before !== undefined && sameEntry(before, entry)) return { ok: true, changed: false }
      if (before === undefined && this.entryCount >= MAX_CONFIG_ENTRIES)
        return { ok: false, errors: [{ path: '', reason: `there are ${MAX_CONFIG_ENTRIES} config entries already, which is the limit` }] }
      const { datacenter, trustDomain, check } = this.scope
      const errors = validateWrite({ entries: this, change: { op: 'put', entry }, datacenter, trustDomain })
      if (errors.length > 0) return { ok: false, errors }
      const refusals = check?.(entry, this) ?? []
      if (refusals.length > 0) return { ok: false, errors: refusals }
      await this.store.put('config-entry', key(entry.Kind, entry.Name), entry)
      return { ok: true, changed: true }
    })
  }

  delete(kind: ConfigEntryKind, name: string, cas?: number): Promise<WriteResult> {
    return this.store.exclusive(async () => {
      const before = this.get(kind, name)
      if (cas !== undefined && cas !== (before?.ModifyIndex ?? 0)) return { ok: false, conflict: true }
      if (before === undefined) return { ok: true, changed: false }
      const errors = validateWrite({ entries: this, change: { op: 'delete', kind, name }, ...this.scope })
      if (errors.length > 0) return { ok: false, errors }
      await this.store.delete('config-entry', key(kind, name))
      return { ok: true, changed: true }
    })
  }

  /** The only way in which memory changes after the start: what the store has committed. */
  private follow({ changes }: Commit): void {
    for (const { key, record } of changes) {
      const slash = key.indexOf('/')
      const kind = key.slice(0, slash) as ConfigEntryKind
      const name = key.slice(slash + 1)
      const before = this.get(kind, name)
      const after = record === undefined ? undefined : { ...(record.value as ConfigEntry), ...indexes(record) }
      if (after !== undefined) this.set(after)
      else if (this.kinds.get(kind)?.delete(name) === true) this.entryCount--
      for (const listener of this.listeners) listener({ kind, name, before, after })
    }
  }

  private set(entry: ConfigEntry): void {
    let named = this.kinds.get(entry.Kind)
    if (named === undefined) this.kinds.set(entry.Kind, (named = new Map()))
    if (!named.has(entry.Name)) this.entryCount++
    named.set(entry.Name, entry)
  }
}

/** A slash can't be in a kind, so the first one ends it. */
function key(kind: string, name: string): string {
  return `${kind}/${name}`
}

function indexes(record: { readonly createIndex: number; readonly modifyIndex: number }): { CreateIndex: number; ModifyIndex: number } {
  return { CreateIndex: record.createIndex, ModifyIndex: record.modifyIndex }
}

/** Equal as written; order of keys counts, since header lists and routes are ordered and the parser fixes the rest. */
function sameEntry(before: ConfigEntry, entry: ConfigEntry): boolean {
  const { CreateIndex: _create, ModifyIndex: _modify, ...content } = before
  return JSON.stringify(content) === JSON.stringify(entry)
}
