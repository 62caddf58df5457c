// The config entries as they would be after one change, without changing them: what `validateWrite` looks at before it lets a write in.
import type { ConfigEntry, ConfigEntryIndex, ConfigEntryKind, EntryOfKind } from './types.js'

export type EntryChange =
  | { readonly op: 'put'; readonly entry: ConfigEntry }
  | { readonly op: 'delete'; readonly kind: ConfigEntryKind; readonly name: string }

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
