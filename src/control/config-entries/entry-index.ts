// Config entries by kind and name, in memory: `ConfigEntryIndex` over a `Map` a kind.
// Used by the store's readers, `validateWrite` (which looks at a changed copy) and tests. Names are Map keys, so any name is safe.
import type { ConfigEntry, ConfigEntryIndex, ConfigEntryKind, EntryOfKind } from './types.js'

export type EntryChange =
  | { readonly op: 'put'; readonly entry: ConfigEntry }
  | { readonly op: 'delete'; readonly kind: ConfigEntryKind; readonly name: string }

export function entryIndex(entries: Iterable<ConfigEntry>): ConfigEntryIndex {
  const byKind = new Map<ConfigEntryKind, Map<string, ConfigEntry>>()
  for (const entry of entries) {
    let named = byKind.get(entry.Kind)
    if (named === undefined) byKind.set(entry.Kind, (named = new Map()))
    named.set(entry.Name, entry)
  }
  return {
    get: <K extends ConfigEntryKind>(kind: K, name: string) => byKind.get(kind)?.get(name) as EntryOfKind<K> | undefined,
    list: <K extends ConfigEntryKind>(kind: K) => [...(byKind.get(kind)?.values() ?? [])] as EntryOfKind<K>[],
  }
}

/** `base` as it would be after `change`; `base` itself is untouched and read only when asked. */
export function withChange(base: ConfigEntryIndex, change: EntryChange): ConfigEntryIndex {
  const kind = change.op === 'put' ? change.entry.Kind : change.kind
  const name = change.op === 'put' ? change.entry.Name : change.name
  const replacement = change.op === 'put' ? change.entry : undefined
  return {
    get: <K extends ConfigEntryKind>(k: K, n: string) =>
      (k as ConfigEntryKind) === kind && n === name ? (replacement as EntryOfKind<K> | undefined) : base.get(k, n),
    list: <K extends ConfigEntryKind>(k: K) => {
      const all = base.list(k)
      if ((k as ConfigEntryKind) !== kind) return all
      const rest = all.filter(entry => entry.Name !== name)
      return replacement === undefined ? rest : [...rest, replacement as EntryOfKind<K>]
    },
  }
}
