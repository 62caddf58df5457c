// The config entries as they would be after some changes, without changing them: what `validateWrite` looks at before it lets a write in.
import type { ConfigEntry, ConfigEntryIndex, ConfigEntryKind, EntryOfKind } from './types.js'

export type EntryChange =
  | { readonly op: 'put'; readonly entry: ConfigEntry }
  | { readonly op: 'delete'; readonly kind: ConfigEntryKind; readonly name: string }

/** `base` as it would be after `changes`, of which a later one of the same name wins; `base` itself is untouched and read only when asked. */
export function withChanges(base: ConfigEntryIndex, changes: readonly EntryChange[]): ConfigEntryIndex {
  const kinds = new Map<ConfigEntryKind, Map<string, ConfigEntry | undefined>>()
  for (const change of changes) {
    const kind = change.op === 'put' ? change.entry.Kind : change.kind
    const named = kinds.get(kind) ?? new Map<string, ConfigEntry | undefined>()
    kinds.set(kind, named)
    if (change.op === 'put') named.set(change.entry.Name, change.entry)
    else named.set(change.name, undefined)
  }
  return {
    get: <K extends ConfigEntryKind>(kind: K, name: string) => {
      const named = kinds.get(kind)
      return named?.has(name) ? (named.get(name) as EntryOfKind<K> | undefined) : base.get(kind, name)
    },
    list: <K extends ConfigEntryKind>(kind: K) => {
      const named = kinds.get(kind)
      if (named === undefined) return base.list(kind)
      const changed = [...named.values()].filter(entry => entry !== undefined) as EntryOfKind<K>[]
      return [...base.list(kind).filter(entry => !named.has(entry.Name)), ...changed]
    },
  }
}

export function withChange(base: ConfigEntryIndex, change: EntryChange): ConfigEntryIndex {
  return withChanges(base, [change])
}
