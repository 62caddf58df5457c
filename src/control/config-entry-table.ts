// The config entries that are in force: in memory for readers (`ConfigEntryIndex`), in the store for the next start.
// Written by the HTTP API and the mesh file; read by the chain compiler, the intentions and the snapshot builder.
// Invariant: an entry is here only if it parsed and every chain that it touches compiled with it; a refused write changes nothing.
import { type EntryChange, withChanges } from './config-entries/entry-index.js'
import { parseConfigEntry } from './config-entries/parse-config-entry.js'
import type { ConfigEntry, ConfigEntryIndex, ConfigEntryKind, ConfigError, EntryOfKind } from './config-entries/types.js'
import { validateWrite } from './discovery-chain/validate-write.js'
import { dnsDomains } from './dns/dns-domains.js'
import { ownNameErrors } from './gateways/own-names.js'
import { type Commit, put, remove, type Store, type StoreWrite, type Turn } from './store/store.js'

export const MAX_CONFIG_ENTRIES = 20_000
/** Of more changes at once, errors are told without the change that is at fault: finding it takes a look at each. */
const MAX_BLAMED_CHANGES = 200

/** Check-and-set: the entry is not at the given index. */
type Conflict = { readonly ok: false; readonly conflict: true }
type Refused = { readonly ok: false; readonly errors: readonly ConfigError[] }

export type WriteResult = { readonly ok: true; readonly changed: boolean; readonly entry: ConfigEntry } | Refused | Conflict
export type DeleteResult = { readonly ok: true } | Refused | Conflict

/** An error of one of several changes; `change` is -1 where none of them alone is at fault. */
export interface ChangeError extends ConfigError {
  readonly change: number
}

/** What several changes come to, judged by the state after all of them. */
export interface ChangePlan {
  /** The entries as they would be. */
  readonly after: ConfigEntryIndex
  readonly writes: readonly StoreWrite[]
  readonly errors: readonly ChangeError[]
}

interface Judged {
  readonly entries: readonly ConfigEntry[]
  readonly errors: readonly ChangeError[]
}

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
  /** That the mesh's names end with, in lower case. */
  readonly ownDomains?: readonly string[]
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

  get datacenter(): string {
    return this.scope.datacenter
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
    const { entry } = parsed
    return this.store.exclusive(async turn => {
      if (!this.isAt(entry.Kind, entry.Name, cas)) return { ok: false, conflict: true }
      const { writes, errors } = this.plan([{ op: 'put', entry }])
      if (errors.length > 0) return { ok: false, errors }
      if (writes.length > 0) await turn.transaction(writes)
      return { ok: true, changed: writes.length > 0, entry }
    })
  }

  /** What `make` makes of the entry as it is now: an entry in any spelling, or undefined: there is none then. Nobody else writes in between. */
  change<K extends ConfigEntryKind>(
    kind: K,
    name: string,
    make: (before: EntryOfKind<K> | undefined) => object | undefined,
  ): Promise<{ readonly ok: true; readonly errors?: never } | Refused> {
    return this.store.exclusive(async turn => {
      const made = make(this.get(kind, name))
      const parsed = made === undefined ? undefined : parseConfigEntry(made)
      if (parsed !== undefined && 'errors' in parsed) return { ok: false, errors: parsed.errors }
      const { writes, errors } = this.plan([parsed === undefined ? { op: 'delete', kind, name } : { op: 'put', entry: parsed.entry }])
      if (errors.length > 0) return { ok: false, errors }
      if (writes.length > 0) await turn.transaction(writes)
      return { ok: true }
    })
  }

  /** All of them or none, judged by the state after all of them. */
  putAll(raws: readonly unknown[]): Promise<Judged> {
    return this.judge(raws, async ({ errors, writes }, turn) => {
      if (errors.length === 0 && writes.length > 0) await turn.transaction(writes)
    })
  }

  /** What `putAll` would say; nothing is written. */
  tryAll(raws: readonly unknown[]): Promise<Judged> {
    return this.judge(raws, async () => {})
  }

  private async judge(raws: readonly unknown[], act: (plan: ChangePlan, turn: Turn) => Promise<void>): Promise<Judged> {
    const parsed = raws.map(parseConfigEntry)
    const errors = parsed.flatMap((one, change) => ('errors' in one ? one.errors.map(error => ({ ...error, change })) : []))
    const entries = parsed.flatMap(one => ('entry' in one ? [one.entry] : []))
    if (errors.length > 0) return { entries, errors }
    return this.store.exclusive(async turn => {
      const plan = this.plan(entries.map(entry => ({ op: 'put', entry })))
      await act(plan, turn)
      return { entries, errors: plan.errors }
    })
  }

  /** The same with the entries as they would be, and those of `raws` that differ from what is there. */
  async preview(
    raws: readonly unknown[],
  ): Promise<Judged & { readonly after: ConfigEntryIndex; readonly changes: readonly ConfigEntry[] }> {
    let after: ConfigEntryIndex = this
    const judged = await this.judge(raws, async plan => {
      after = plan.after
    })
    return { ...judged, after, changes: judged.entries.filter(entry => this.writeOf({ op: 'put', entry }) !== undefined) }
  }

  delete(kind: ConfigEntryKind, name: string, cas?: number): Promise<DeleteResult> {
    return this.store.exclusive(async turn => {
      if (!this.isAt(kind, name, cas)) return { ok: false, conflict: true }
      const { writes, errors } = this.plan([{ op: 'delete', kind, name }])
      if (errors.length > 0) return { ok: false, errors }
      if (writes.length > 0) await turn.transaction(writes)
      return { ok: true }
    })
  }

  /** For who writes more in the same transaction; call it, and write, in one turn of `store.exclusive`. */
  plan(changes: readonly EntryChange[]): ChangePlan {
    const effective = changes.flatMap((change, i) => {
      const write = this.writeOf(change)
      return write === undefined ? [] : [{ change, write, i }]
    })
    const after = withChanges(this, changes)
    const writes = effective.map(({ write }) => write)
    const added = effective.filter(({ change }) => change.op === 'put' && this.get(change.entry.Kind, change.entry.Name) === undefined)
    if (added.length > 0 && this.entryCount + added.length > MAX_CONFIG_ENTRIES) {
      const reason = `there are ${MAX_CONFIG_ENTRIES} config entries already, which is the limit`
      return { after, writes, errors: [{ path: '', reason, change: added.at(-1)!.i }] }
    }
    const errors = this.errorsOf(effective.map(({ change }) => change))
    return { after, writes, errors: errors.map(error => ({ ...error, change: effective[error.change]?.i ?? -1 })) }
  }

  private errorsOf(changes: readonly EntryChange[]): ChangeError[] {
    const { datacenter, trustDomain, ownDomains = dnsDomains(undefined), check } = this.scope
    const validate = (some: readonly EntryChange[]): ConfigError[] =>
      validateWrite({ entries: this, change: some, datacenter, trustDomain })
    const without = (i: number): EntryChange[] => changes.filter((_, j) => j !== i)
    const errors = validate(changes)
    if (errors.length > 0) {
      const others = changes.length > MAX_BLAMED_CHANGES ? [] : changes.map((_, i) => validate(without(i)))
      // The change without which the error is gone.
      return errors.map(error => ({ ...error, change: others.findIndex(rest => !rest.some(isSame(error))) }))
    }
    return changes.flatMap((change, i) => {
      if (change.op === 'delete') return []
      const { entry } = change
      const found = [...ownNameErrors(entry, ownDomains), ...(check?.(entry, withChanges(this, without(i))) ?? [])]
      return found.map(error => ({ ...error, change: i }))
    })
  }

  private isAt(kind: ConfigEntryKind, name: string, cas: number | undefined): boolean {
    return cas === undefined || cas === (this.get(kind, name)?.ModifyIndex ?? 0)
  }

  /** Undefined when the change changes nothing. */
  private writeOf(change: EntryChange): StoreWrite | undefined {
    if (change.op === 'delete')
      return this.get(change.kind, change.name) === undefined ? undefined : remove('config-entry', key(change.kind, change.name))
    const { CreateIndex: _create, ModifyIndex: _modify, ...entry } = change.entry
    const before = this.get(change.entry.Kind, change.entry.Name)
    if (before !== undefined && sameEntry(before, entry as ConfigEntry)) return undefined
    return put('config-entry', key(change.entry.Kind, change.entry.Name), entry)
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

const isSame = (a: ConfigError) => (b: ConfigError) => a.path === b.path && a.reason === b.reason

/** Equal as written; order of keys counts, since header lists and routes are ordered and the parser fixes the rest. */
function sameEntry(before: ConfigEntry, entry: ConfigEntry): boolean {
  const { CreateIndex: _create, ModifyIndex: _modify, ...content } = before
  return JSON.stringify(content) === JSON.stringify(entry)
}
